// SPDX-License-Identifier: Apache-2.0
//
// The masks of a grammar, kept by the place that they were computed for. Bounded in bytes; the one
// that was not asked for the longest goes first.
#ifndef GRAMMAR_MASK_H
#define GRAMMAR_MASK_H

#include "base/tp_str.h"

#include <tapeout/context.h>
#include <tapeout/status.h>

enum { GRAMMAR_MAX_OPEN = 512 }; // tokens that one mask leaves to be decided by the whole stack

typedef struct grammar_mask {
    uint32_t *bits; // [word_count]
    uint32_t word_count;
    uint32_t open[GRAMMAR_MAX_OPEN]; // tokens that depend on what the key does not show
    uint32_t open_count;
    bool needs_more; // too many of them: ask with more of the stack in the key
} grammar_mask;

typedef struct grammar_mask_cache grammar_mask_cache; // @thread synchronized

tapeout_status tp_grammar_mask_cache_new(const tapeout_allocator *alloc, grammar_mask_cache **ret,
                                         tapeout_error *err);
void tp_grammar_mask_cache_free(grammar_mask_cache *cache);

// Copies the mask of `key` into `*mask`, whose `bits` are the caller's; false where there is none.
bool tp_grammar_mask_find(grammar_mask_cache *cache, tp_str key, grammar_mask *mask);
// Keeps a copy. Without memory for it nothing is kept, and nothing is wrong.
void tp_grammar_mask_keep(grammar_mask_cache *cache, tp_str key, const grammar_mask *mask);

#endif
