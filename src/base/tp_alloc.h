// SPDX-License-Identifier: Apache-2.0
//
// All memory of the library goes through these few functions, so that a test can make the n-th
// allocation fail and count what was not given back. Sizes are passed back on free: allocators
// that keep none are possible, and a test allocator can check them.
#ifndef TP_ALLOC_H
#define TP_ALLOC_H

#include <tapeout/context.h>

// The C library's malloc. Never NULL.
const tapeout_allocator *tp_allocator_default(void);

// `size_bytes` zero gives a valid block of no bytes or NULL; callers treat both alike.
void *tp_alloc(const tapeout_allocator *alloc, size_t size_bytes);
void *tp_alloc_zero(const tapeout_allocator *alloc, size_t size_bytes);

// count × item_size bytes; NULL when the product overflows.
void *tp_alloc_array(const tapeout_allocator *alloc, size_t count, size_t item_size);
void *tp_alloc_array_zero(const tapeout_allocator *alloc, size_t count, size_t item_size);

// Keeps the first min(old, new) items. On failure NULL, and the old block stays valid.
void *tp_resize_array(const tapeout_allocator *alloc, void *block, size_t old_count,
                      size_t new_count, size_t item_size);

void tp_free(const tapeout_allocator *alloc, void *block, size_t size_bytes);
void tp_free_array(const tapeout_allocator *alloc, void *block, size_t count, size_t item_size);

// A block aligned to 64 bytes and padded by 64 bytes that may be read (for vector loads past the
// end). Given back with tp_free_aligned and the same size.
void *tp_alloc_aligned(const tapeout_allocator *alloc, size_t size_bytes);
void tp_free_aligned(const tapeout_allocator *alloc, void *block, size_t size_bytes);

// Asks for large pages under a block that is read or written all over the place: with pages of 4
// KiB each such access costs a walk through the page tables, more so in a virtual machine. A hint:
// it changes no contents, and where the system has no large pages, or the block none that lies
// whole within it, nothing happens. Before the first write, or the small pages are there already.
void tp_advise_large_pages(void *block, size_t size_bytes);

// A copy of `size_bytes` bytes with a NUL after them, size_bytes + 1 in all.
char *tp_strndup(const tapeout_allocator *alloc, const char *text, size_t size_bytes);

#endif
