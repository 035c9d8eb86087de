// SPDX-License-Identifier: Apache-2.0
//
// The allocator's helpers: overflow, zero sizes, alignment, sizes given back as asked for (the test
// allocator checks them).
#include "base/tp_alloc.h"

#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void test_overflow_is_no_memory(void)
{
    test_allocator allocator;
    test_allocator_init(&allocator);
    const tapeout_allocator *alloc = &allocator.base;
    ASSERT(tp_alloc_array(alloc, SIZE_MAX / 2, 3) == NULL);
    ASSERT(tp_alloc_array_zero(alloc, SIZE_MAX, SIZE_MAX) == NULL);
    ASSERT(tp_alloc_aligned(alloc, SIZE_MAX - 1) == NULL);
    ASSERT(tp_strndup(alloc, "x", SIZE_MAX) == NULL);
    uint32_t *block = tp_alloc_array(alloc, 3, sizeof(*block));
    ASSERT(tp_resize_array(alloc, block, 3, SIZE_MAX / 2, sizeof(*block)) == NULL);
    tp_free_array(alloc, block, 3, sizeof(*block));
    ASSERT_EQ_UINT(allocator.count, 1);
    ASSERT_EQ_UINT(allocator.live, 0);
}

static void test_nothing_is_a_block(void)
{
    test_allocator allocator;
    test_allocator_init(&allocator);
    const tapeout_allocator *alloc = &allocator.base;
    void *block = tp_alloc(alloc, 0);
    ASSERT(block != NULL);
    ASSERT_EQ_UINT(allocator.live_bytes, 1); // allocators need not know what zero bytes are
    block = tp_resize_array(alloc, block, 0, 5, 8);
    ASSERT(block != NULL);
    block = tp_resize_array(alloc, block, 5, 0, 8);
    ASSERT(block != NULL);
    tp_free_array(alloc, block, 0, 8);
    tp_free(alloc, NULL, 17);
    tp_free_aligned(alloc, NULL, 17);
    ASSERT_EQ_UINT(allocator.live, 0);
}

static void test_zeroed(void)
{
    test_allocator allocator;
    test_allocator_init(&allocator);
    const unsigned char zeros[24] = {0};
    unsigned char *block = tp_alloc_array_zero(&allocator.base, 3, 8);
    ASSERT_EQ_BYTES(block, 24, zeros, 24);
    tp_free(&allocator.base, block, 24);
    block = tp_alloc_zero(&allocator.base, 24);
    ASSERT_EQ_BYTES(block, 24, zeros, 24);
    tp_free(&allocator.base, block, 24);
}

static void test_resize_keeps_items(void)
{
    test_allocator allocator;
    test_allocator_init(&allocator);
    uint32_t *items = tp_resize_array(&allocator.base, NULL, 0, 4, sizeof(*items));
    for (uint32_t i = 0; i < 4; i++) {
        items[i] = i * 7;
    }
    items = tp_resize_array(&allocator.base, items, 4, 1000, sizeof(*items));
    for (uint32_t i = 0; i < 4; i++) {
        ASSERT_EQ_UINT(items[i], i * 7);
    }
    items = tp_resize_array(&allocator.base, items, 1000, 2, sizeof(*items));
    ASSERT_EQ_UINT(items[1], 7);
    allocator.fail_at = allocator.count + 1;
    ASSERT(tp_resize_array(&allocator.base, items, 2, 9, sizeof(*items)) == NULL);
    ASSERT_EQ_UINT(items[1], 7); // the old block is as it was
    tp_free_array(&allocator.base, items, 2, sizeof(*items));
    ASSERT_EQ_UINT(allocator.live, 0);
}

static void test_aligned_and_padded(void)
{
    test_allocator allocator;
    test_allocator_init(&allocator);
    for (size_t size = 0; size < 200; size++) {
        unsigned char *block = tp_alloc_aligned(&allocator.base, size);
        ASSERT_EQ_UINT((uintptr_t)block % 64, 0);
        memset(block, 1, size);
        for (size_t i = 0; i < 64; i++) {
            ASSERT_EQ_UINT(block[size + i], 0);
        }
        tp_free_aligned(&allocator.base, block, size);
    }
    ASSERT_EQ_UINT(allocator.live, 0);
}

// Whether the mapping that holds an address is marked for large pages.
static bool is_marked(const void *block)
{
    char line[512];
    bool is_in = false;
    bool is_large = false;
    FILE *file = fopen("/proc/self/smaps", "r");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        char *end;
        const uintptr_t first = (uintptr_t)strtoull(line, &end, 16);
        if (end != line && *end == '-') {
            is_in = (uintptr_t)block >= first && (uintptr_t)block < strtoull(end + 1, NULL, 16);
        } else if (is_in && strncmp(line, "VmFlags:", 8) == 0) {
            is_large = strstr(line, " hg") != NULL;
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return is_large;
}

static void test_large_pages_are_asked_for_inside_alone(void)
{
    enum { LARGE = 2 << 20, SIZE = 4 * LARGE };
    unsigned char *block =
        mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT(block != MAP_FAILED);
    if (access("/sys/kernel/mm/transparent_hugepage", F_OK) != 0) {
        test_skip("this kernel has no large pages");
    }
    tp_advise_large_pages(NULL, SIZE);
    unsigned char *inner = block + (-(uintptr_t)block & (LARGE - 1));
    tp_advise_large_pages(inner + 1, 2 * LARGE - 2); // no whole one
    ASSERT(!is_marked(inner));
    ASSERT(!is_marked(inner + LARGE));
    tp_advise_large_pages(inner + 1, 2 * LARGE); // the second alone
    ASSERT(!is_marked(inner));
    ASSERT(is_marked(inner + LARGE));
    ASSERT(!is_marked(inner + 2 * LARGE));
    ASSERT_EQ_UINT(munmap(block, SIZE), 0);
}

static void test_strndup_terminates(void)
{
    const tapeout_allocator *alloc = tp_allocator_default();
    char *copy = tp_strndup(alloc, "hello", 4);
    ASSERT_EQ_STR(copy, "hell");
    tp_free(alloc, copy, 5);
    copy = tp_strndup(alloc, NULL, 0);
    ASSERT_EQ_STR(copy, "");
    tp_free(alloc, copy, 1);
}

TEST_MAIN(TEST(test_overflow_is_no_memory), TEST(test_nothing_is_a_block), TEST(test_zeroed),
          TEST(test_resize_keeps_items), TEST(test_aligned_and_padded),
          TEST(test_large_pages_are_asked_for_inside_alone), TEST(test_strndup_terminates))
