// SPDX-License-Identifier: Apache-2.0
//
// A vocabulary for tests: every byte, pieces as real vocabularies have them, characters cut at odd
// places, two tokens of the same bytes, control tokens; and whatever the test adds.
#ifndef GRAMMAR_VOCAB_H
#define GRAMMAR_VOCAB_H

#include "base/tp_arena.h"
#include "llm/grammar/tp_grammar.h"

enum { VOCAB_EOG = 0, VOCAB_CONTROL = 1, VOCAB_FIRST_BYTE = 2 };

typedef struct grammar_vocab {
    tp_arena arena;
    tp_str *pieces;
    uint32_t count, capacity;
    tp_vocab_index *index;
} grammar_vocab;

void grammar_vocab_init(grammar_vocab *vocab);
// A piece of its own, copied.
void grammar_vocab_add(grammar_vocab *vocab, tp_str piece);
// Pieces of 1 to 7 bytes out of `text`, wherever the seed puts the cuts.
void grammar_vocab_cut(grammar_vocab *vocab, tp_str text, uint64_t seed);
void grammar_vocab_index(grammar_vocab *vocab);
void grammar_vocab_deinit(grammar_vocab *vocab);

// Accepts `text` in pieces that the seed chooses. The length of what was accepted; `ret_complete`
// is set where all was and the text may end.
size_t grammar_vocab_accept(const grammar_vocab *vocab, tp_constraint *constraint, tp_str text,
                            uint64_t seed, bool *ret_complete);

#endif
