// SPDX-License-Identifier: Apache-2.0
//
// See grammar_vocab.h.
#include "grammar_vocab.h"

#include "base/tp_alloc.h"
#include "base/tp_random.h"

#include <stdlib.h>
#include <string.h>

static const char *const common[] = {
    " ",
    "  ",
    "    ",
    "\n",
    "\n\n",
    "\n  ",
    "\n    ",
    "\t",
    "\"",
    "\":",
    "\": ",
    "\": \"",
    "\",",
    "\", \"",
    "\",\"",
    "\"}",
    "\"}]",
    "\"},",
    "{\"",
    "{}",
    "[]",
    "[[",
    "]]",
    "}}",
    "}]",
    "],",
    "},{\"",
    "[\"",
    "[{\"",
    "true",
    "false",
    "null",
    "tru",
    "e,",
    "12",
    "123",
    "000",
    "1.",
    "0.5",
    "-1",
    "e-",
    "99",
    "2026",
    "-01-",
    ":00",
    "name",
    " name",
    "value",
    "the",
    " the",
    "The",
    "ing",
    "a",
    "aa",
    "ab",
    "aab",
    "bb",
    "abc",
    "zz",
    "A",
    "id",
    "_id",
    "item",
    "children",
    "\\n",
    "\\\"",
    "\\u",
    "\\u00",
    "\\ud83d",
    "\\",
    "\\\\",
    "u00e9",
    "é",
    "è",
    "\xc3",
    "\xa9",
    "\xa9t",
    "日",
    "日本",
    "本\"",
    "\xe6\x97",
    "\xa5\xe6",
    "😀",
    "\xf0\x9f",
    "\x98\x80",
    "\xf0\x9f\x98",
    "x",
    "xy",
    "@",
    ".com",
    "-",
    "--",
    ".",
    "..",
    "/",
    "://",
    "www",
    "+",
    "=",
    ")",
    "(",
    "((",
    "))",
    "|",
    "*",
    "aaaaaaaaaaaaaaaa",
    "                                        ",
    "----------------------------------------------",
};

static void add(grammar_vocab *vocab, tp_str piece)
{
    if (vocab->count == vocab->capacity) {
        const uint32_t capacity = vocab->capacity == 0 ? 1024 : vocab->capacity * 2;
        tp_str *pieces = tp_resize_array(tp_allocator_default(), vocab->pieces, vocab->capacity,
                                         capacity, sizeof(*pieces));
        if (pieces == NULL) {
            abort();
        }
        vocab->pieces = pieces;
        vocab->capacity = capacity;
    }
    vocab->pieces[vocab->count++] = piece;
}

void grammar_vocab_add(grammar_vocab *vocab, tp_str piece)
{
    add(vocab, tp_arena_str(&vocab->arena, piece));
}

void grammar_vocab_init(grammar_vocab *vocab)
{
    *vocab = (grammar_vocab){0};
    tp_arena_init(&vocab->arena, tp_allocator_default(), (size_t)1 << 28);
    grammar_vocab_add(vocab, TP_STR("</s>")); // VOCAB_EOG, whatever bytes it has
    grammar_vocab_add(vocab, TP_STR(""));     // VOCAB_CONTROL
    for (int byte = 0; byte < 256; byte++) {
        const char c = (char)byte;
        grammar_vocab_add(vocab, (tp_str){&c, 1});
    }
    for (size_t i = 0; i < sizeof(common) / sizeof(common[0]); i++) {
        grammar_vocab_add(vocab, tp_str_from(common[i]));
    }
}

void grammar_vocab_cut(grammar_vocab *vocab, tp_str text, uint64_t seed)
{
    uint64_t turn = 0;
    for (size_t at = 0; at < text.size && turn < 2000;) {
        size_t size = 1 + tp_random_below(seed, 11, turn++, 7);
        size = size < text.size - at ? size : text.size - at;
        grammar_vocab_add(vocab, (tp_str){text.data + at, size});
        at += size;
    }
}

void grammar_vocab_index(grammar_vocab *vocab)
{
    static const uint32_t eog[] = {VOCAB_EOG};
    const tp_env env = tp_env_plain();
    tp_vocab_index_free(vocab->index);
    vocab->index = NULL;
    if (tp_vocab_index_new(&env, vocab->pieces, vocab->count, eog, 1, &vocab->index, NULL) !=
        TAPEOUT_OK) {
        abort();
    }
}

void grammar_vocab_deinit(grammar_vocab *vocab)
{
    tp_vocab_index_free(vocab->index);
    tp_free_array(tp_allocator_default(), vocab->pieces, vocab->capacity, sizeof(*vocab->pieces));
    tp_arena_deinit(&vocab->arena);
}

// One of the tokens that the text goes on with, any with equal right.
static uint32_t choose(const grammar_vocab *vocab, tp_str text, uint64_t random)
{
    uint32_t chosen = 0;
    uint64_t met = 0;
    for (uint32_t id = VOCAB_FIRST_BYTE; id < vocab->count; id++) {
        const tp_str piece = vocab->pieces[id];
        if (tp_str_has_prefix(text, piece) && tp_random_below(random, 5, id, ++met) == 0) {
            chosen = id;
        }
    }
    return chosen;
}

size_t grammar_vocab_accept(const grammar_vocab *vocab, tp_constraint *constraint, tp_str text,
                            uint64_t seed, bool *ret_complete)
{
    size_t at = 0;
    *ret_complete = false;
    while (at < text.size) {
        const uint32_t id =
            choose(vocab, (tp_str){text.data + at, text.size - at}, seed * 1000003 + at);
        const uint32_t *mask = NULL;
        if (tp_constraint_mask(constraint, &mask, NULL) != TAPEOUT_OK) {
            return at;
        }
        const bool is_allowed = (mask[id / 32] >> (id % 32) & 1) != 0;
        if ((tp_constraint_accept(constraint, id, NULL) == TAPEOUT_OK) != is_allowed) {
            abort(); // the mask and the step disagree
        }
        if (!is_allowed) {
            return at;
        }
        at += vocab->pieces[id].size;
    }
    *ret_complete = tp_constraint_is_complete(constraint);
    return at;
}
