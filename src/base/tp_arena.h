// SPDX-License-Identifier: Apache-2.0
//
// An arena: many small things of one lifetime (a parse, a plan, a request), freed at once. Blocks
// grow geometrically up to a ceiling that the owner names; nothing is moved once handed out.
#ifndef TP_ARENA_H
#define TP_ARENA_H

#include "base/tp_str.h"

#include <tapeout/context.h>

typedef struct tp_arena_block tp_arena_block;

typedef struct tp_arena {
    const tapeout_allocator *alloc;
    tp_arena_block *blocks; // newest first
    size_t used_bytes;      // in the newest block
    size_t total_bytes;     // over all blocks
    size_t max_bytes;       // E_LIMIT beyond
    tapeout_status status;  // the last failure: E_NOMEM or E_LIMIT
} tp_arena;

void tp_arena_init(tp_arena *arena, const tapeout_allocator *alloc, size_t max_bytes);
void tp_arena_deinit(tp_arena *arena);

// Forgets everything but keeps the largest block, for the next request.
void tp_arena_clear(tp_arena *arena);

// Zeroed memory aligned to 16 bytes; NULL when there is none or the ceiling is reached.
void *tp_arena_alloc(tp_arena *arena, size_t size_bytes);
void *tp_arena_array(tp_arena *arena, size_t count, size_t item_size);

// A copy with a NUL behind it; `data` is NULL when there is no memory.
tp_str tp_arena_str(tp_arena *arena, tp_str text);

// For whoever got NULL: E_NOMEM, or E_LIMIT with a message that names `what`; OK where nothing
// has failed since the arena was made or cleared.
tapeout_status tp_arena_check(const tp_arena *arena, const char *what, tapeout_error *err);

#endif
