// SPDX-License-Identifier: Apache-2.0
//
// The allocator's helpers: products checked for overflow, zeroing, alignment. The only file that
// calls the C library's malloc.
//
// A size of zero is served as one byte, on the way in and on the way out: NULL always means that
// there is no memory, and a caller need not think about empty things.
#include "base/tp_alloc.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ALIGNMENT = 64, PADDING = 64, LARGE_PAGE = 2 << 20 };

static void *default_alloc(void *user, size_t size_bytes)
{
    (void)user;
    return malloc(size_bytes);
}

static void *default_resize(void *user, void *block, size_t old_size_bytes, size_t new_size_bytes)
{
    (void)user;
    (void)old_size_bytes;
    return realloc(block, new_size_bytes);
}

static void default_free(void *user, void *block, size_t size_bytes)
{
    (void)user;
    (void)size_bytes;
    free(block);
}

const tapeout_allocator *tp_allocator_default(void)
{
    static const tapeout_allocator allocator = {default_alloc, default_resize, default_free, NULL};
    return &allocator;
}

static size_t served(size_t size_bytes)
{
    return size_bytes == 0 ? 1 : size_bytes;
}

void *tp_alloc(const tapeout_allocator *alloc, size_t size_bytes)
{
    return alloc->alloc(alloc->user, served(size_bytes));
}

void *tp_alloc_zero(const tapeout_allocator *alloc, size_t size_bytes)
{
    void *block = tp_alloc(alloc, size_bytes);
    if (block != NULL) {
        memset(block, 0, served(size_bytes));
    }
    return block;
}

void *tp_alloc_array(const tapeout_allocator *alloc, size_t count, size_t item_size)
{
    size_t size_bytes = 0;
    return __builtin_mul_overflow(count, item_size, &size_bytes) ? NULL
                                                                 : tp_alloc(alloc, size_bytes);
}

void *tp_alloc_array_zero(const tapeout_allocator *alloc, size_t count, size_t item_size)
{
    size_t size_bytes = 0;
    return __builtin_mul_overflow(count, item_size, &size_bytes) ? NULL
                                                                 : tp_alloc_zero(alloc, size_bytes);
}

void *tp_resize_array(const tapeout_allocator *alloc, void *block, size_t old_count,
                      size_t new_count, size_t item_size)
{
    size_t size_bytes = 0;
    if (__builtin_mul_overflow(new_count, item_size, &size_bytes)) {
        return NULL;
    }
    if (block == NULL) {
        return tp_alloc(alloc, size_bytes);
    }
    return alloc->resize(alloc->user, block, served(old_count * item_size), served(size_bytes));
}

void tp_free(const tapeout_allocator *alloc, void *block, size_t size_bytes)
{
    if (block != NULL) {
        alloc->free(alloc->user, block, served(size_bytes));
    }
}

void tp_free_array(const tapeout_allocator *alloc, void *block, size_t count, size_t item_size)
{
    tp_free(alloc, block, count * item_size);
}

// The block begins 1 ... 64 bytes before the aligned address; the byte in front of the aligned
// address says how many.
void *tp_alloc_aligned(const tapeout_allocator *alloc, size_t size_bytes)
{
    size_t total = 0;
    if (__builtin_add_overflow(size_bytes, (size_t)ALIGNMENT + PADDING, &total)) {
        return NULL;
    }
    unsigned char *block = tp_alloc(alloc, total);
    if (block == NULL) {
        return NULL;
    }
    const size_t shift = ALIGNMENT - ((uintptr_t)block & (ALIGNMENT - 1));
    unsigned char *aligned = block + shift;
    aligned[-1] = (unsigned char)shift;
    memset(aligned + size_bytes, 0, PADDING);
    return aligned;
}

void tp_free_aligned(const tapeout_allocator *alloc, void *block, size_t size_bytes)
{
    if (block != NULL) {
        unsigned char *aligned = block;
        tp_free(alloc, aligned - aligned[-1], size_bytes + ALIGNMENT + PADDING);
    }
}

void tp_advise_large_pages(void *block, size_t size_bytes)
{
    // Whole large pages alone, so that what lies beside the block stays as it is.
    const size_t before = -(uintptr_t)block & (LARGE_PAGE - 1);
    if (block != NULL && size_bytes >= before + LARGE_PAGE) {
        const size_t inside = (size_bytes - before) & ~(size_t)(LARGE_PAGE - 1);
        (void)madvise((unsigned char *)block + before, inside, MADV_HUGEPAGE); // may be refused
    }
}

char *tp_strndup(const tapeout_allocator *alloc, const char *text, size_t size_bytes)
{
    char *copy = size_bytes == SIZE_MAX ? NULL : tp_alloc(alloc, size_bytes + 1);
    if (copy != NULL) {
        if (size_bytes > 0) {
            memcpy(copy, text, size_bytes);
        }
        copy[size_bytes] = 0;
    }
    return copy;
}
