// SPDX-License-Identifier: Apache-2.0
//
// From ids to text, at once or as they are generated. A piece may end inside a character; while a
// text grows, such bytes wait, so that whoever reads along never sees half a character. At once,
// the bytes are what the tokens say, broken or not: decode is the inverse of encode.
#include "base/tp_error.h"
#include "llm/tokenizer/tokenizer_priv.h"

static tapeout_status check_id(const tp_tokenizer *t, uint32_t id, tapeout_error *err)
{
    if (id < t->count) {
        return TAPEOUT_OK;
    }
    return tp_fail_at(err, TAPEOUT_E_INVALID, id,
                      "tokenizer: there is no token %u; the vocabulary has %u", id, t->count);
}

// The piece of a token at its place. `strips` says that a space in front of the next piece would be
// the model's own: at the start, and behind a special token as when encoding.
static tp_str next_piece(const tp_tokenizer *t, uint32_t id, bool shows_special, bool *strips)
{
    tp_str piece = shows_special ? tp_tokenizer_special_text(t, id) : tp_tokenizer_piece(t, id);
    const bool is_special = t->kinds[id] >= TP_KIND_USER;
    if (*strips && !is_special && piece.size > 0 && piece.data[0] == ' ') {
        piece.data++;
        piece.size--;
    }
    const bool is_hidden = is_special && piece.size == 0;
    *strips = (*strips && is_hidden) || (is_special && t->has_space_prefix);
    return piece;
}

static bool strips_first(const tp_tokenizer *t)
{
    return t->kind == TP_TOKENIZER_WORDPIECE || t->has_space_prefix;
}

tapeout_status tp_tokenizer_decode(const tp_tokenizer *tokenizer, const uint32_t *ids, size_t count,
                                   bool show_special, tp_buffer *text, tapeout_error *err)
{
    bool strips = strips_first(tokenizer);
    for (size_t i = 0; i < count; i++) {
        TP_TRY(check_id(tokenizer, ids[i], err));
        tp_buffer_append_str(text, next_piece(tokenizer, ids[i], show_special, &strips));
    }
    return tp_buffer_check(text, "tokenizer: text of the tokens", err);
}

// -- as it is generated
// ----------------------------------------------------------------------------

void tp_detokenizer_init(tp_detokenizer *detokenizer, const tp_tokenizer *tokenizer,
                         bool shows_special)
{
    *detokenizer = (tp_detokenizer){.tokenizer = tokenizer,
                                    .shows_special = shows_special,
                                    .strips_space = strips_first(tokenizer)};
}

void tp_detokenizer_continue(tp_detokenizer *detokenizer)
{
    detokenizer->strips_space = false;
}

static void put_broken(tp_detokenizer *d, tp_buffer *text)
{
    if (d->pending_count > 0) {
        tp_buffer_append(text, "\xef\xbf\xbd", 3);
        d->pending_count = 0;
    }
}

// How long the character is that begins with this byte; 0: none does.
static unsigned character_length(uint8_t first)
{
    if (first < 0x80) {
        return 1;
    }
    if (first < 0xc2 || first > 0xf4) {
        return 0;
    }
    return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

// Whether `byte` may follow what waits; the second byte decides on overlong forms and surrogates.
static bool continues(const tp_detokenizer *d, uint8_t byte)
{
    if ((byte & 0xc0) != 0x80) {
        return false;
    }
    if (d->pending_count > 1) {
        return true;
    }
    switch ((uint8_t)d->pending[0]) {
    case 0xe0:
        return byte >= 0xa0;
    case 0xed:
        return byte < 0xa0;
    case 0xf0:
        return byte >= 0x90;
    case 0xf4:
        return byte < 0x90;
    default:
        return true;
    }
}

static void put_byte(tp_detokenizer *d, uint8_t byte, tp_buffer *text)
{
    if (d->pending_count > 0) {
        if (continues(d, byte)) {
            d->pending[d->pending_count++] = (char)byte;
            if (d->pending_count == character_length((uint8_t)d->pending[0])) {
                tp_buffer_append(text, d->pending, d->pending_count);
                d->pending_count = 0;
            }
            return;
        }
        put_broken(d, text);
    }
    const unsigned length = character_length(byte);
    if (length == 1) {
        tp_buffer_append_char(text, (char)byte);
        return;
    }
    d->pending[0] = (char)byte;
    d->pending_count = 1;
    if (length == 0) {
        put_broken(d, text);
    }
}

tapeout_status tp_detokenizer_push(tp_detokenizer *detokenizer, uint32_t id, tp_buffer *text,
                                   tapeout_error *err)
{
    TP_TRY(check_id(detokenizer->tokenizer, id, err));
    const tp_str piece = next_piece(detokenizer->tokenizer, id, detokenizer->shows_special,
                                    &detokenizer->strips_space);
    for (size_t i = 0; i < piece.size; i++) {
        put_byte(detokenizer, (uint8_t)piece.data[i], text);
    }
    return tp_buffer_check(text, "tokenizer: text of the tokens", err);
}

void tp_detokenizer_flush(tp_detokenizer *detokenizer, tp_buffer *text)
{
    put_broken(detokenizer, text);
}
