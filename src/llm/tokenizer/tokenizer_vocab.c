// SPDX-License-Identifier: Apache-2.0
//
// The vocabulary in memory: each token's bytes as they appear in text, and the table that finds a
// token by its bytes. Byte-level vocabularies write each byte as one printable character (GPT-2's
// alphabet: a space is U+0120), SentencePiece ones write a space as U+2581; both are undone here,
// once. Refused are duplicates, since an id would then depend on which of them is found.
#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_hex.h"
#include "llm/tokenizer/tokenizer_priv.h"
#include "llm/tokenizer/unicode_class.h"

#define ESCAPED_SPACE "\xe2\x96\x81"

// -- forms of a token
// ------------------------------------------------------------------------------

// The byte that a character of GPT-2's alphabet stands for, or -1. Printable Latin-1 stands for
// itself, the other 68 bytes follow from U+0100 on.
static int byte_of_character(uint32_t code)
{
    const bool is_itself = (code >= 0x21 && code <= 0x7e) || (code >= 0xa1 && code <= 0xac) ||
                           (code >= 0xae && code <= 0xff);
    if (is_itself) {
        return (int)code;
    }
    if (code >= 0x100 && code <= 0x120) {
        return (int)(code - 0x100); // 0x00 to 0x20
    }
    if (code >= 0x121 && code <= 0x142) {
        return (int)(code - 0x121 + 0x7f); // 0x7f to 0xa0
    }
    return code == 0x143 ? 0xad : -1;
}

bool tp_byte_level_decode(tp_str text, char *ret_bytes, size_t *ret_size)
{
    size_t size = 0;
    for (size_t at = 0; at < text.size;) {
        uint32_t code = 0;
        at += tp_unicode_decode((const uint8_t *)text.data + at, text.size - at, &code);
        const int byte = byte_of_character(code);
        if (byte < 0) {
            return false;
        }
        ret_bytes[size++] = (char)byte;
    }
    *ret_size = size;
    return true;
}

// U+2581 back to spaces.
static size_t unescape_spaces(tp_str text, char *ret_bytes)
{
    size_t size = 0;
    for (size_t at = 0; at < text.size; size++) {
        const bool is_space = text.size - at >= 3 && memcmp(text.data + at, ESCAPED_SPACE, 3) == 0;
        ret_bytes[size] = is_space ? ' ' : text.data[at];
        at += is_space ? 3 : 1;
    }
    return size;
}

// "<0x0A>"; the byte, or -1.
static int parse_byte_token(tp_str text)
{
    if (text.size != 6 || memcmp(text.data, "<0x", 3) != 0 || text.data[5] != '>') {
        return -1;
    }
    return tp_hex_byte(text.data + 3);
}

// -- the table
// -------------------------------------------------------------------------------------

static uint32_t piece_hash(const uint8_t *bytes, size_t size)
{
    static const uint64_t factor = UINT64_C(0x9e3779b97f4a7c15);
    uint64_t hash = size * factor;
    uint64_t word = 0;
    for (; size > 8; bytes += 8, size -= 8) {
        memcpy(&word, bytes, 8);
        hash = (hash ^ word) * factor;
        hash ^= hash >> 32;
    }
    word = 0;
    for (size_t i = 0; i < size; i++) {
        word |= (uint64_t)bytes[i] << (8 * i);
    }
    hash = (hash ^ word) * factor;
    return (uint32_t)(hash >> 32);
}

uint32_t tp_vocab_find(const tp_tokenizer *t, const uint8_t *bytes, size_t size)
{
    const uint32_t hash = piece_hash(bytes, size);
    const uint32_t mask = t->piece_slots - 1;
    for (uint32_t at = hash & mask; t->pieces[at].id != TP_NO_TOKEN; at = (at + 1) & mask) {
        const tp_piece_slot *slot = &t->pieces[at];
        if (slot->hash == hash) {
            const tp_str piece = tp_token_bytes(t, slot->id);
            if (piece.size == size && memcmp(piece.data, bytes, size) == 0) {
                return slot->id;
            }
        }
    }
    return TP_NO_TOKEN;
}

static tapeout_status insert_piece(tp_tokenizer *t, uint32_t id, tapeout_error *err)
{
    const tp_str piece = tp_token_bytes(t, id);
    const uint32_t hash = piece_hash((const uint8_t *)piece.data, piece.size);
    const uint32_t mask = t->piece_slots - 1;
    uint32_t at = hash & mask;
    for (uint32_t probes = 0; t->pieces[at].id != TP_NO_TOKEN; at = (at + 1) & mask) {
        const tp_piece_slot *slot = &t->pieces[at];
        if (slot->hash == hash && tp_str_equal(tp_token_bytes(t, slot->id), piece)) {
            return tp_fail_at(err, TAPEOUT_E_CORRUPT, id,
                              "tokenizer: entries %u and %u of tokenizer.ggml.tokens are the same, "
                              "'%.*s'",
                              slot->id, id, TP_STR_ARGS(piece));
        }
        if (++probes > TP_MAX_TOKEN_PROBES) {
            return tp_fail(err, TAPEOUT_E_LIMIT,
                           "tokenizer: more than %u entries of tokenizer.ggml.tokens have one "
                           "hash value; the file was made to be slow",
                           TP_MAX_TOKEN_PROBES);
        }
    }
    t->pieces[at] = (tp_piece_slot){hash, id};
    t->longest = piece.size > t->longest ? (uint32_t)piece.size : t->longest;
    return TAPEOUT_OK;
}

// -- reading
// ---------------------------------------------------------------------------------------

static tapeout_status check_counts(const tp_tokenizer_spec *spec, tapeout_error *err)
{
    if (spec->token_count == 0) {
        return tp_fail(err, TAPEOUT_E_CORRUPT, "tokenizer: tokenizer.ggml.tokens is empty");
    }
    if (spec->token_count > TP_MAX_TOKENS) {
        return tp_fail(err, TAPEOUT_E_LIMIT,
                       "tokenizer: tokenizer.ggml.tokens has %u entries, at most %u are taken",
                       spec->token_count, TP_MAX_TOKENS);
    }
    if (spec->types != NULL && spec->type_count != spec->token_count) {
        return tp_fail(err, TAPEOUT_E_CORRUPT,
                       "tokenizer: tokenizer.ggml.token_type has %u entries, tokenizer.ggml.tokens "
                       "has %u; they must agree",
                       spec->type_count, spec->token_count);
    }
    if (spec->scores != NULL && spec->score_count != spec->token_count) {
        return tp_fail(err, TAPEOUT_E_CORRUPT,
                       "tokenizer: tokenizer.ggml.scores has %u entries, tokenizer.ggml.tokens has "
                       "%u; they must agree",
                       spec->score_count, spec->token_count);
    }
    return TAPEOUT_OK;
}

static tapeout_status allocate(tp_tokenizer *t, const tp_tokenizer_spec *spec, tapeout_error *err)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < spec->token_count; i++) {
        if (spec->tokens[i].size > TP_MAX_TOKEN_BYTES) {
            return tp_fail_at(err, TAPEOUT_E_LIMIT, i,
                              "tokenizer: entry %u of tokenizer.ggml.tokens has %zu bytes, at most "
                              "%u are taken",
                              i, spec->tokens[i].size, TP_MAX_TOKEN_BYTES);
        }
        total += spec->tokens[i].size;
    }
    if (total > TP_MAX_VOCAB_BYTES) {
        return tp_fail(
            err, TAPEOUT_E_LIMIT,
            "tokenizer: the entries of tokenizer.ggml.tokens have %llu bytes, at most %u "
            "are taken",
            (unsigned long long)total, TP_MAX_VOCAB_BYTES);
    }
    t->count = spec->token_count;
    t->bytes_size = (uint32_t)total + 1;
    uint32_t slots = 2;
    while (slots / 2 < t->count) {
        slots *= 2;
    }
    t->piece_slots = slots;
    t->kinds = tp_alloc_array(t->alloc, t->count, sizeof(t->kinds[0]));
    t->bytes = tp_alloc(t->alloc, t->bytes_size);
    t->offsets = tp_alloc_array(t->alloc, (size_t)t->count + 1, sizeof(t->offsets[0]));
    t->pieces = tp_alloc_array(t->alloc, slots, sizeof(t->pieces[0]));
    if (t->kinds == NULL || t->bytes == NULL || t->offsets == NULL || t->pieces == NULL) {
        return tp_fail_nomem(err);
    }
    memset(t->pieces, 0xff, (size_t)slots * sizeof(t->pieces[0]));
    memset(t->byte_ids, 0xff, sizeof(t->byte_ids));
    return TAPEOUT_OK;
}

static tapeout_status read_kind(const tp_tokenizer_spec *spec, uint32_t id, uint8_t *ret_kind,
                                tapeout_error *err)
{
    static const uint8_t kinds[] = {
        [0] = TP_KIND_UNUSED,
        [TP_TOKEN_TYPE_NORMAL] = TP_KIND_NORMAL,
        [TP_TOKEN_TYPE_UNKNOWN] = TP_KIND_UNKNOWN,
        [TP_TOKEN_TYPE_CONTROL] = TP_KIND_CONTROL,
        [TP_TOKEN_TYPE_USER] = TP_KIND_USER,
        [TP_TOKEN_TYPE_UNUSED] = TP_KIND_UNUSED,
        [TP_TOKEN_TYPE_BYTE] = TP_KIND_BYTE,
    };
    const int32_t type = spec->types == NULL ? TP_TOKEN_TYPE_NORMAL : spec->types[id];
    if (type < 0 || type > TP_TOKEN_TYPE_BYTE) {
        return tp_fail_at(err, TAPEOUT_E_CORRUPT, id,
                          "tokenizer: entry %u of tokenizer.ggml.token_type is %d, expected 0 to 6",
                          id, type);
    }
    *ret_kind = spec->tokens[id].size == 0 ? TP_KIND_UNUSED : kinds[type];
    return TAPEOUT_OK;
}

// Writes the bytes of one token behind those of the others, and puts it where text finds it.
static tapeout_status read_token(tp_tokenizer *t, uint32_t id, tp_str text, tapeout_error *err)
{
    char *bytes = t->bytes + t->offsets[id];
    size_t size = text.size;
    bool is_found = t->kinds[id] <= TP_KIND_UNUSED && size > 0;
    const int byte = t->kinds[id] == TP_KIND_BYTE ? parse_byte_token(text) : -1;
    if (size > 0) {
        memcpy(bytes, text.data, size);
    }
    if (byte >= 0) {
        bytes[0] = (char)byte;
        size = 1;
        is_found = false;
    } else if (t->kinds[id] == TP_KIND_BYTE && t->kind != TP_TOKENIZER_BPE) {
        return tp_fail_at(err, TAPEOUT_E_CORRUPT, id,
                          "tokenizer: entry %u of tokenizer.ggml.tokens is '%.*s', by its type a "
                          "byte, which is written like <0x0A>",
                          id, TP_STR_ARGS(text));
    } else if (is_found && t->kind == TP_TOKENIZER_BPE) {
        is_found = tp_byte_level_decode(text, bytes, &size);
        if (!is_found) { // no text can become it
            size = text.size;
            memcpy(bytes, text.data, size);
        }
    } else if (is_found) {
        is_found = memchr(text.data, ' ', size) == NULL; // a space is never written as one
        size = unescape_spaces(text, bytes);
    }
    t->offsets[id + 1] = t->offsets[id] + (uint32_t)size;
    if (is_found) {
        TP_TRY(insert_piece(t, id, err));
    }
    const bool is_byte = byte >= 0 || (t->kind == TP_TOKENIZER_BPE && is_found && size == 1);
    if (is_byte) {
        uint32_t *place = &t->byte_ids[(uint8_t)bytes[0]];
        if (*place != TP_NO_TOKEN) {
            return tp_fail_at(err, TAPEOUT_E_CORRUPT, id,
                              "tokenizer: entries %u and %u of tokenizer.ggml.tokens are the same "
                              "byte, 0x%02X",
                              *place, id, (uint8_t)bytes[0]);
        }
        *place = id;
    }
    return TAPEOUT_OK;
}

tapeout_status tp_vocab_read_kinds(tp_tokenizer *t, const tp_tokenizer_spec *spec,
                                   tapeout_error *err)
{
    TP_TRY(check_counts(spec, err));
    TP_TRY(allocate(t, spec, err));
    for (uint32_t id = 0; id < t->count; id++) {
        TP_TRY(read_kind(spec, id, &t->kinds[id], err));
    }
    return TAPEOUT_OK;
}

tapeout_status tp_vocab_read_tokens(tp_tokenizer *t, const tp_tokenizer_spec *spec,
                                    tapeout_error *err)
{
    t->offsets[0] = 0;
    for (uint32_t id = 0; id < t->count; id++) {
        TP_TRY(read_token(t, id, spec->tokens[id], err));
    }
    return TAPEOUT_OK;
}

// -- asking
// ----------------------------------------------------------------------------------------

uint32_t tp_tokenizer_vocab_count(const tp_tokenizer *tokenizer)
{
    return tokenizer->count;
}

bool tp_tokenizer_is_control(const tp_tokenizer *tokenizer, uint32_t id)
{
    return id < tokenizer->count && tokenizer->kinds[id] >= TP_KIND_UNKNOWN;
}

tp_str tp_tokenizer_piece(const tp_tokenizer *tokenizer, uint32_t id)
{
    if (id >= tokenizer->count || tokenizer->kinds[id] >= TP_KIND_UNKNOWN ||
        tokenizer->kinds[id] == TP_KIND_UNUSED) {
        return (tp_str){"", 0};
    }
    return tp_token_bytes(tokenizer, id);
}

tp_str tp_tokenizer_special_text(const tp_tokenizer *tokenizer, uint32_t id)
{
    return tp_tokenizer_is_control(tokenizer, id) ? tp_token_bytes(tokenizer, id)
                                                  : tp_tokenizer_piece(tokenizer, id);
}

uint32_t tp_vocab_find_spelled(const tp_tokenizer *t, tp_str text)
{
    char bytes[TP_MAX_TOKEN_BYTES];
    size_t size = 0;
    if (text.size == 0 || text.size > sizeof(bytes)) {
        return TP_NO_TOKEN;
    }
    if (t->kind == TP_TOKENIZER_BPE) {
        if (!tp_byte_level_decode(text, bytes, &size)) {
            return TP_NO_TOKEN;
        }
        return tp_vocab_find(t, (const uint8_t *)bytes, size);
    }
    const int byte = parse_byte_token(text);
    if (byte >= 0) {
        return t->byte_ids[byte];
    }
    if (memchr(text.data, ' ', text.size) != NULL) {
        return TP_NO_TOKEN;
    }
    size = unescape_spaces(text, bytes);
    return tp_vocab_find(t, (const uint8_t *)bytes, size);
}

int64_t tp_tokenizer_find(const tp_tokenizer *tokenizer, tp_str text)
{
    uint32_t id = tp_specials_find(tokenizer, text);
    id = id == TP_NO_TOKEN ? tp_vocab_find_spelled(tokenizer, text) : id;
    return id == TP_NO_TOKEN ? -1 : (int64_t)id;
}
