// SPDX-License-Identifier: Apache-2.0
//
// The arena: a list of blocks, newest first, each twice the size of the one before until a block is
// a megabyte. A thing larger than the next block gets a block of its own size.
#include "base/tp_arena.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"

#include <stdalign.h>
#include <string.h>

enum { BLOCK_FIRST_BYTES = 4096, BLOCK_MAX_BYTES = 1 << 20, ALIGNMENT = 16 };

struct tp_arena_block {
    alignas(ALIGNMENT) tp_arena_block *next;
    size_t capacity; // of `data`
    alignas(ALIGNMENT) unsigned char data[];
};

void tp_arena_init(tp_arena *arena, const tapeout_allocator *alloc, size_t max_bytes)
{
    *arena = (tp_arena){.alloc = alloc, .max_bytes = max_bytes};
}

static void free_blocks(tp_arena *arena, tp_arena_block *block)
{
    while (block != NULL) {
        tp_arena_block *next = block->next;
        tp_free(arena->alloc, block, sizeof(*block) + block->capacity);
        block = next;
    }
}

void tp_arena_deinit(tp_arena *arena)
{
    free_blocks(arena, arena->blocks);
    tp_arena_init(arena, arena->alloc, arena->max_bytes);
}

void tp_arena_clear(tp_arena *arena)
{
    tp_arena_block *largest = NULL;
    for (tp_arena_block *block = arena->blocks; block != NULL; block = block->next) {
        largest = largest == NULL || block->capacity > largest->capacity ? block : largest;
    }
    while (arena->blocks != NULL) {
        tp_arena_block *block = arena->blocks;
        arena->blocks = block->next;
        if (block != largest) {
            tp_free(arena->alloc, block, sizeof(*block) + block->capacity);
        }
    }
    if (largest != NULL) {
        largest->next = NULL;
        arena->total_bytes = largest->capacity;
    }
    arena->blocks = largest;
    arena->used_bytes = 0;
    arena->status = TAPEOUT_OK;
}

// Puts a block of at least `size` bytes in front. The ceiling counts what blocks hold, so the last
// block is cut to what is left of it.
static bool add_block(tp_arena *arena, size_t size)
{
    const size_t left = arena->max_bytes - arena->total_bytes;
    if (size > left) {
        arena->status = TAPEOUT_E_LIMIT;
        return false;
    }
    size_t capacity = BLOCK_FIRST_BYTES;
    if (arena->blocks != NULL) {
        capacity = arena->blocks->capacity < BLOCK_MAX_BYTES / 2 ? arena->blocks->capacity * 2
                                                                 : BLOCK_MAX_BYTES;
    }
    capacity = capacity > left ? left : capacity;
    capacity = capacity < size ? size : capacity;
    if (capacity > SIZE_MAX - sizeof(tp_arena_block)) {
        arena->status = TAPEOUT_E_LIMIT;
        return false;
    }
    tp_arena_block *block = tp_alloc(arena->alloc, sizeof(*block) + capacity);
    if (block == NULL) {
        arena->status = TAPEOUT_E_NOMEM;
        return false;
    }
    block->next = arena->blocks;
    block->capacity = capacity;
    arena->blocks = block;
    arena->used_bytes = 0;
    arena->total_bytes += capacity;
    return true;
}

void *tp_arena_alloc(tp_arena *arena, size_t size_bytes)
{
    const size_t used = (arena->used_bytes + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    const tp_arena_block *block = arena->blocks;
    size_t at = used;
    if (block == NULL || used > block->capacity || size_bytes > block->capacity - used) {
        if (!add_block(arena, size_bytes)) {
            return NULL;
        }
        at = 0;
    }
    void *data = arena->blocks->data + at;
    arena->used_bytes = at + size_bytes;
    return memset(data, 0, size_bytes);
}

void *tp_arena_array(tp_arena *arena, size_t count, size_t item_size)
{
    size_t size_bytes = 0;
    if (__builtin_mul_overflow(count, item_size, &size_bytes)) {
        arena->status = TAPEOUT_E_LIMIT;
        return NULL;
    }
    return tp_arena_alloc(arena, size_bytes);
}

tp_str tp_arena_str(tp_arena *arena, tp_str text)
{
    char *copy = text.size == SIZE_MAX ? NULL : tp_arena_alloc(arena, text.size + 1);
    if (copy == NULL) {
        return (tp_str){NULL, 0};
    }
    if (text.size > 0) {
        memcpy(copy, text.data, text.size);
    }
    return (tp_str){copy, text.size};
}

tapeout_status tp_arena_check(const tp_arena *arena, const char *what, tapeout_error *err)
{
    if (arena->status == TAPEOUT_E_LIMIT) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "%s: needs more than the %zu bytes allowed for it",
                       what, arena->max_bytes);
    }
    return arena->status == TAPEOUT_OK ? TAPEOUT_OK : tp_fail_nomem(err);
}
