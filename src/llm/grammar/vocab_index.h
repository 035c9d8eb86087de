// SPDX-License-Identifier: Apache-2.0
//
// The pieces of a vocabulary as a tree by their bytes, laid out in the order of a walk over it: a
// subtree is a run of nodes, and leaving one out is one assignment.
#ifndef VOCAB_INDEX_H
#define VOCAB_INDEX_H

#include "llm/grammar/tp_grammar.h"

#define VOCAB_NONE UINT32_MAX

typedef struct vocab_node {
    uint32_t end;   // one behind the last node of the subtree
    uint32_t token; // the first that ends here, or VOCAB_NONE
    uint16_t depth; // bytes before this one
    uint8_t byte;
    bool has_twins; // `same` goes on from `token`: seldom, and a look there is a miss in the cache
} vocab_node;

struct tp_vocab_index {
    const tapeout_allocator *alloc;
    uint32_t count; // of tokens
    vocab_node *nodes;
    uint32_t node_count;
    uint32_t *same;    // [count] another token of the same bytes, or VOCAB_NONE
    char *bytes;       // of all pieces
    uint32_t *offsets; // [count + 1] of `bytes`
    uint32_t *eog;     // [(count + 31) / 32] bits
    uint32_t longest;  // piece, in bytes
    uint64_t hash;     // of all of it
};

tp_str tp_vocab_index_piece(const tp_vocab_index *index, uint32_t id);
bool tp_vocab_index_is_eog(const tp_vocab_index *index, uint32_t id);

#endif
