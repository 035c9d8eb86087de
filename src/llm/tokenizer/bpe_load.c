// SPDX-License-Identifier: Apache-2.0
//
// What decides which pair merges first: the list of merges of a byte-level vocabulary, or the
// scores of a SentencePiece one. Both become ranks, the lowest first. A merge that names a token
// that is not there, or whose result is none, is refused: such a list belongs to another
// vocabulary.
#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "llm/tokenizer/tokenizer_priv.h"

#include <math.h>

// The token of one side of a merge, by its spelling in the vocabulary.
static uint32_t find_side(const tp_tokenizer *t, const char *text, size_t size)
{
    char bytes[TP_MAX_TOKEN_BYTES];
    size_t decoded = 0;
    if (size == 0 || size > sizeof(bytes) ||
        !tp_byte_level_decode((tp_str){text, size}, bytes, &decoded)) {
        return TP_NO_TOKEN;
    }
    return tp_vocab_find(t, (const uint8_t *)bytes, decoded);
}

static uint32_t find_product(const tp_tokenizer *t, uint32_t left, uint32_t right)
{
    char bytes[2 * TP_MAX_TOKEN_BYTES];
    const tp_str a = tp_token_bytes(t, left);
    const tp_str b = tp_token_bytes(t, right);
    memcpy(bytes, a.data, a.size);
    memcpy(bytes + a.size, b.data, b.size);
    return tp_vocab_find(t, (const uint8_t *)bytes, a.size + b.size);
}

static tapeout_status insert_merge(tp_tokenizer *t, tp_merge_slot merge, tapeout_error *err)
{
    const uint32_t mask = t->merge_slots - 1;
    uint32_t at = tp_pair_hash(merge.left, merge.right) & mask;
    for (uint32_t probes = 0; t->merges[at].id != TP_NO_TOKEN; at = (at + 1) & mask) {
        if (t->merges[at].left == merge.left && t->merges[at].right == merge.right) {
            return TAPEOUT_OK; // listed twice: the first one counts
        }
        if (++probes > TP_MAX_TOKEN_PROBES) {
            return tp_fail(err, TAPEOUT_E_LIMIT,
                           "tokenizer: more than %u entries of tokenizer.ggml.merges have one hash "
                           "value; the file was made to be slow",
                           TP_MAX_TOKEN_PROBES);
        }
    }
    t->merges[at] = merge;
    return TAPEOUT_OK;
}

static tapeout_status read_merge(tp_tokenizer *t, tp_str text, uint32_t rank, tapeout_error *err)
{
    // The left side may begin with what looks like a space but is none: look behind the first byte.
    const char *space = text.size < 3 ? NULL : memchr(text.data + 1, ' ', text.size - 1);
    if (space == NULL) {
        return tp_fail_at(err, TAPEOUT_E_CORRUPT, rank,
                          "tokenizer: entry %u of tokenizer.ggml.merges is '%.*s', expected two "
                          "tokens and a space between them",
                          rank, TP_STR_ARGS(text));
    }
    const size_t size = (size_t)(space - text.data);
    const uint32_t left = find_side(t, text.data, size);
    const uint32_t right = find_side(t, space + 1, text.size - size - 1);
    const uint32_t id =
        left == TP_NO_TOKEN || right == TP_NO_TOKEN ? TP_NO_TOKEN : find_product(t, left, right);
    if (id == TP_NO_TOKEN) {
        return tp_fail_at(
            err, TAPEOUT_E_CORRUPT, rank,
            "tokenizer: entry %u of tokenizer.ggml.merges is '%.*s', but %s is not in "
            "tokenizer.ggml.tokens",
            rank, TP_STR_ARGS(text),
            left == TP_NO_TOKEN    ? "its left side"
            : right == TP_NO_TOKEN ? "its right side"
                                   : "what they are together");
    }
    return insert_merge(t, (tp_merge_slot){left, right, rank, id}, err);
}

tapeout_status tp_merges_read(tp_tokenizer *t, const tp_tokenizer_spec *spec, tapeout_error *err)
{
    if (spec->merges == NULL) {
        return tp_fail(err, TAPEOUT_E_CORRUPT,
                       "tokenizer: tokenizer.ggml.merges is missing, which a model of kind gpt2 "
                       "needs");
    }
    if (spec->merge_count > TP_MAX_MERGES) {
        return tp_fail(err, TAPEOUT_E_LIMIT,
                       "tokenizer: tokenizer.ggml.merges has %u entries, at most %u are taken",
                       spec->merge_count, TP_MAX_MERGES);
    }
    uint32_t slots = 2;
    while (slots / 5 * 3 < spec->merge_count + 1) { // at most six in ten are taken
        slots *= 2;
    }
    t->merge_slots = slots;
    t->merges = tp_alloc_array(t->alloc, slots, sizeof(t->merges[0]));
    if (t->merges == NULL) {
        return tp_fail_nomem(err);
    }
    memset(t->merges, 0xff, (size_t)slots * sizeof(t->merges[0]));
    for (uint32_t i = 0; i < spec->merge_count; i++) {
        TP_TRY(read_merge(t, spec->merges[i], i, err));
    }
    return TAPEOUT_OK;
}

// A float's bits so that a higher score has a lower rank; never UINT32_MAX for a finite one.
static uint32_t rank_of_score(float score)
{
    uint32_t bits = 0;
    const float value = score == 0 ? 0 : score; // -0 is 0
    memcpy(&bits, &value, sizeof(bits));
    return (bits & 0x80000000u) != 0 ? bits : 0x7fffffffu - bits;
}

// Where a space inside a token follows a byte, text may not be cut between such a byte and a space.
static void note_crossings(tp_tokenizer *t)
{
    for (uint32_t id = 0; id < t->count; id++) {
        const tp_str piece = tp_token_bytes(t, id);
        for (size_t i = 1; i < piece.size; i++) {
            t->crosses_space[(uint8_t)piece.data[i - 1]] |= piece.data[i] == ' ';
        }
    }
}

tapeout_status tp_scores_read(tp_tokenizer *t, const tp_tokenizer_spec *spec, tapeout_error *err)
{
    if (spec->scores == NULL) {
        return tp_fail(err, TAPEOUT_E_CORRUPT,
                       "tokenizer: tokenizer.ggml.scores is missing, which a model of kind llama "
                       "needs");
    }
    t->ranks = tp_alloc_array(t->alloc, t->count, sizeof(t->ranks[0]));
    if (t->ranks == NULL) {
        return tp_fail_nomem(err);
    }
    for (uint32_t i = 0; i < t->count; i++) {
        if (!isfinite(spec->scores[i])) {
            return tp_fail_at(err, TAPEOUT_E_CORRUPT, i,
                              "tokenizer: entry %u of tokenizer.ggml.scores is not finite", i);
        }
        t->ranks[i] = rank_of_score(spec->scores[i]);
    }
    note_crossings(t);
    return TAPEOUT_OK;
}
