// SPDX-License-Identifier: Apache-2.0
//
// Walking a grammar byte by byte. A place is a set of (node, stack) pairs that read a byte next.
// Stacks are shared lists of frames, each kept once; sets of pairs are kept once too, as numbered
// states with a row of 256 successors that is filled as it is asked for. So a walk over bytes that
// were seen before is an array access each, as in a lazily built deterministic automaton.
//
// A state may be made abstract: frames deeper than some depth are replaced by one that stands for
// anything, counters far from their bounds by one that stands for all such. Where a walk comes to
// depend on what was left out, the state says so (GRAMMAR_STATE_OPEN) and goes on with the rest.
#ifndef GRAMMAR_WALK_H
#define GRAMMAR_WALK_H

#include "base/tp_buffer.h"
#include "llm/grammar/grammar_priv.h"

enum {
    GRAMMAR_STATE_DEAD = 0, // the number of the state without pairs and flags
    GRAMMAR_STATE_COMPLETE = 1,
    GRAMMAR_STATE_OPEN = 2,
};

typedef struct walk_frame {
    uint64_t hash; // of content, the same in every walk
    uint32_t parent;
    uint32_t node; // where a call returns to, or a counter's LOOP
    uint32_t count;
    uint16_t depth;
    bool is_counter;
    bool is_abstract;
} walk_frame;

typedef struct walk_pair {
    uint32_t node, frame;
} walk_pair;

typedef struct walk_state {
    uint64_t hash;
    uint32_t begin, count; // of its pairs
    uint32_t flags;
    uint32_t row; // plus one; 0: none yet
} walk_state;

typedef struct walk_table { // numbers by hash, open addressing; the owner compares
    uint32_t *slots;        // plus one
    uint32_t capacity;
} walk_table;

// @thread confined
typedef struct grammar_walk {
    const tapeout_allocator *alloc;
    const tp_grammar *grammar;
    walk_frame *frames;
    uint32_t frame_count, frame_capacity;
    walk_table frame_table;
    walk_pair *pairs; // of all states
    uint32_t pair_count, pair_capacity;
    walk_state *states;
    uint32_t state_count, state_capacity;
    walk_table state_table;
    uint32_t **blocks; // of rows
    uint32_t block_count, block_capacity;
    uint32_t row_count;
    // While a set is being closed:
    walk_pair *queue;
    uint32_t queue_count, queue_capacity;
    uint32_t new_begin; // its pairs stand behind those of the last state
    uint32_t new_flags;
    uint64_t *seen; // pairs met, open addressing; zero is free
    uint32_t seen_count, seen_capacity;
    tapeout_status status; // of the set being closed
} grammar_walk;

tapeout_status tp_grammar_walk_init(grammar_walk *walk, const tapeout_allocator *alloc,
                                    const tp_grammar *grammar, tapeout_error *err);
void tp_grammar_walk_deinit(grammar_walk *walk);
tapeout_status tp_grammar_walk_start(grammar_walk *walk, uint32_t *ret_state, tapeout_error *err);
tapeout_status tp_grammar_walk_step(grammar_walk *walk, uint32_t state, uint8_t byte,
                                    uint32_t *ret_state, tapeout_error *err);
// The successor if it is known: a number, or UINT32_MAX.
uint32_t tp_grammar_walk_peek(const grammar_walk *walk, uint32_t state, uint8_t byte);
// The state with at most `depth` frames of each stack known, counters far from their bounds merged.
tapeout_status tp_grammar_walk_abstract(grammar_walk *walk, uint32_t state, uint32_t depth,
                                        uint32_t *ret_state, tapeout_error *err);
// The same state in another walk over the same grammar.
tapeout_status tp_grammar_walk_copy(const grammar_walk *from, uint32_t state, grammar_walk *to,
                                    uint32_t *ret_state, tapeout_error *err);
// What the state is, in bytes that are the same in every walk.
void tp_grammar_walk_key(const grammar_walk *walk, uint32_t state, tp_buffer *key);
// True when it has grown so much that its owner should copy the state to a new one.
bool tp_grammar_walk_is_full(const grammar_walk *walk);
bool tp_grammar_walk_reads(const grammar_walk *walk, uint32_t state); // some byte can follow

#endif
