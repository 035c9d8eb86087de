// SPDX-License-Identifier: Apache-2.0
//
// WordPiece as BERT has it: the text is cleaned, taken apart at space, punctuation and Chinese
// characters, folded to lower case without accents where the model says so; each word is then cut
// greedily into the longest pieces that the vocabulary has. A word that cannot be cut, or has more
// than 100 characters, is one unknown token. In the vocabulary a piece that begins a word has a
// space in front (GGUF writes U+2581) and one that goes on has none.
#include "base/limits.h"
#include "base/tp_buffer.h"
#include "base/tp_error.h"
#include "llm/tokenizer/tokenizer_priv.h"
#include "llm/tokenizer/unicode_class.h"

#include <utf8proc.h>

enum {
    WORD_CHARACTERS = 100, // of one word, at most
    DECOMPOSED_CODES = 32  // more than any character's canonical decomposition
};

typedef struct words {
    const tp_tokenizer *tokenizer;
    tp_ids *ids;
    tapeout_error *err;
    char word[4 * WORD_CHARACTERS + 1]; // behind a space
    uint16_t ends[WORD_CHARACTERS + 1]; // ends[i]: bytes of the word up to character i
    unsigned characters;                // may exceed what the word holds
} words;

// Characters that count as words of their own. The last but two range begins where the reference
// has it, 0x100 behind the block.
static bool is_chinese(uint32_t code)
{
    return (code >= 0x4e00 && code <= 0x9fff) || (code >= 0x3400 && code <= 0x4dbf) ||
           (code >= 0x20000 && code <= 0x2a6df) || (code >= 0x2a700 && code <= 0x2b73f) ||
           (code >= 0x2b740 && code <= 0x2b81f) || (code >= 0x2b920 && code <= 0x2ceaf) ||
           (code >= 0xf900 && code <= 0xfaff) || (code >= 0x2f800 && code <= 0x2fa1f);
}

static bool is_punctuation(uint32_t code)
{
    const uint8_t class = tp_unicode_class(code);
    return (class & TP_UNICODE_PUNCTUATION) != 0 ||
           (code < 0x80 && (class & TP_UNICODE_SYMBOL) != 0);
}

static void begin_word(words *w)
{
    w->word[0] = ' ';
    w->ends[0] = 1;
    w->characters = 0;
}

// The longest piece at character `from`; where it ends goes to `ret_to`.
static uint32_t longest_piece(const words *w, unsigned from, unsigned *ret_to)
{
    const uint8_t *word = (const uint8_t *)w->word;
    const size_t begin = from == 0 ? 0 : w->ends[from];
    for (unsigned to = w->characters; to > from; to--) {
        const size_t size = w->ends[to] - begin;
        if (size > w->tokenizer->longest) {
            continue;
        }
        const uint32_t id = tp_vocab_find(w->tokenizer, word + begin, size);
        if (id != TP_NO_TOKEN) {
            *ret_to = to;
            return id;
        }
    }
    return TP_NO_TOKEN;
}

static tapeout_status end_word(words *w)
{
    const size_t before = w->ids->count;
    const uint32_t unknown = (uint32_t)w->tokenizer->roles[TP_TOKEN_UNKNOWN];
    bool is_known = w->characters <= WORD_CHARACTERS;
    for (unsigned at = 0; is_known && at < w->characters;) {
        const uint32_t id = longest_piece(w, at, &at);
        is_known = id != TP_NO_TOKEN;
        if (is_known) {
            TP_TRY(tp_ids_append(w->ids, id, w->err));
        }
    }
    begin_word(w);
    if (!is_known) {
        w->ids->count = before;
        return tp_ids_append(w->ids, unknown, w->err);
    }
    return TAPEOUT_OK;
}

static void put_character(words *w, uint32_t code)
{
    if (w->characters < WORD_CHARACTERS) {
        const uint16_t end = w->ends[w->characters];
        w->ends[w->characters + 1] = (uint16_t)(end + tp_unicode_encode(code, w->word + end));
    }
    w->characters++;
}

static tapeout_status put_folded(words *w, uint32_t code)
{
    const tp_tokenizer *t = w->tokenizer;
    if (t->lowercases && code == 0x130) { // İ, the one letter whose lower case is two characters
        put_character(w, 'i');
        code = 0x307;
    } else if (t->lowercases) {
        code = (uint32_t)utf8proc_tolower((utf8proc_int32_t)code);
    }
    if (!is_punctuation(code)) {
        put_character(w, code);
        return TAPEOUT_OK;
    }
    TP_TRY(end_word(w));
    put_character(w, code);
    return end_word(w);
}

// Takes a character apart and drops its accents.
static tapeout_status put_stripped(words *w, uint32_t code)
{
    utf8proc_int32_t codes[DECOMPOSED_CODES];
    const utf8proc_ssize_t count = utf8proc_decompose_char(
        (utf8proc_int32_t)code, codes, DECOMPOSED_CODES, UTF8PROC_DECOMPOSE, NULL);
    for (utf8proc_ssize_t i = 0; i < count && i < DECOMPOSED_CODES; i++) {
        if (utf8proc_category(codes[i]) != UTF8PROC_CATEGORY_MN) {
            TP_TRY(put_folded(w, (uint32_t)codes[i]));
        }
    }
    return TAPEOUT_OK;
}

// Controls, private use, bytes that are no UTF-8. What is not assigned stays, as in the reference;
// the controls that separate lines do not, but for those on a typewriter.
static bool is_dropped(uint32_t code)
{
    if (code == 0xb || code == 0xc || code == 0x85 || code == 0xfffd) {
        return true;
    }
    return tp_unicode_class(code) == 0 &&
           utf8proc_category((utf8proc_int32_t)code) != UTF8PROC_CATEGORY_CN;
}

static tapeout_status put(words *w, uint32_t code)
{
    if (is_dropped(code)) {
        return TAPEOUT_OK;
    }
    if ((tp_unicode_class(code) & TP_UNICODE_SPACE) != 0) {
        return end_word(w);
    }
    const bool is_alone = is_chinese(code);
    if (is_alone) {
        TP_TRY(end_word(w));
    }
    TP_TRY(w->tokenizer->strips_accents ? put_stripped(w, code) : put_folded(w, code));
    return is_alone ? end_word(w) : TAPEOUT_OK;
}

tapeout_status tp_wordpiece_encode(const tp_tokenizer *t, tp_str text, tp_ids *ids,
                                   tapeout_error *err)
{
    words w = {.tokenizer = t, .ids = ids, .err = err};
    begin_word(&w);
    for (size_t at = 0; at < text.size;) {
        uint32_t code = 0;
        at += tp_unicode_decode((const uint8_t *)text.data + at, text.size - at, &code);
        TP_TRY(put(&w, code));
    }
    return end_word(&w);
}
