// SPDX-License-Identifier: Apache-2.0
//
// The arena: alignment, zeroing, the ceiling, clearing.
#include "base/tp_arena.h"

#include "test.h"

#include <string.h>

static void test_things_do_not_overlap_or_move(void)
{
    enum { COUNT = 3000 };
    test_allocator allocator;
    test_allocator_init(&allocator);
    tp_arena arena;
    tp_arena_init(&arena, &allocator.base, SIZE_MAX);
    static unsigned char *things[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        const size_t size = i % 97;
        things[i] = tp_arena_alloc(&arena, size);
        ASSERT(things[i] != NULL);
        ASSERT_EQ_UINT((uintptr_t)things[i] % 16, 0);
        for (size_t j = 0; j < size; j++) {
            ASSERT_EQ_UINT(things[i][j], 0);
        }
        memset(things[i], (int)(i % 251) + 1, size);
    }
    for (size_t i = 0; i < COUNT; i++) {
        for (size_t j = 0; j < i % 97; j++) {
            ASSERT_EQ_UINT(things[i][j], i % 251 + 1);
        }
    }
    ASSERT(allocator.count < 12); // blocks grow geometrically
    tp_arena_deinit(&arena);
    ASSERT_EQ_UINT(allocator.live, 0);
}

static void test_large_things_fit(void)
{
    test_allocator allocator;
    test_allocator_init(&allocator);
    tp_arena arena;
    tp_arena_init(&arena, &allocator.base, SIZE_MAX);
    unsigned char *large = tp_arena_alloc(&arena, 3000000);
    ASSERT(large != NULL && large[2999999] == 0);
    ASSERT(tp_arena_alloc(&arena, 8) != NULL);
    ASSERT(tp_arena_array(&arena, SIZE_MAX / 2, 4) == NULL);
    ASSERT_FAILS(tp_arena_check(&arena, "plan", &test_err), TAPEOUT_E_LIMIT, "plan");
    ASSERT(tp_arena_alloc(&arena, SIZE_MAX - 8) == NULL);
    tp_arena_deinit(&arena);
    ASSERT_EQ_UINT(allocator.live, 0);
}

static void test_ceiling(void)
{
    test_allocator allocator;
    test_allocator_init(&allocator);
    tp_arena arena;
    tp_arena_init(&arena, &allocator.base, 10000);
    size_t given = 0;
    while (tp_arena_alloc(&arena, 100) != NULL) {
        given += 100;
    }
    ASSERT(given > 8000 && given <= 10000);
    ASSERT(arena.total_bytes <= 10000);
    ASSERT_FAILS(tp_arena_check(&arena, "request", &test_err), TAPEOUT_E_LIMIT,
                 "request: needs more than the 10000 bytes allowed");
    tp_arena_clear(&arena);
    ASSERT_OK(tp_arena_check(&arena, "request", &test_err));
    ASSERT(tp_arena_alloc(&arena, 100) != NULL);
    tp_arena_deinit(&arena);
    ASSERT_EQ_UINT(allocator.live, 0);
}

static void test_clear_keeps_the_largest_block(void)
{
    test_allocator allocator;
    test_allocator_init(&allocator);
    tp_arena arena;
    tp_arena_init(&arena, &allocator.base, SIZE_MAX);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 500; i++) {
            unsigned char *thing = tp_arena_alloc(&arena, 100);
            ASSERT(thing[0] == 0 && thing[99] == 0);
            memset(thing, 0xff, 100);
        }
        tp_arena_clear(&arena);
        ASSERT_EQ_UINT(allocator.live, 1);
        ASSERT(arena.total_bytes >= 28672); // of blocks of 4096, 8192, 16384, 32768
    }
    tp_arena_deinit(&arena);
    ASSERT_EQ_UINT(allocator.live, 0);
}

static void test_str_is_terminated(void)
{
    test_allocator allocator;
    test_allocator_init(&allocator);
    tp_arena arena;
    tp_arena_init(&arena, &allocator.base, SIZE_MAX);
    const tp_str copy = tp_arena_str(&arena, (tp_str){"a\0bcd", 4});
    ASSERT_EQ_BYTES(copy.data, copy.size + 1, "a\0bc", 5);
    ASSERT_EQ_STR(tp_arena_str(&arena, (tp_str){NULL, 0}).data, "");
    tp_arena_deinit(&arena);
}

TEST_MAIN(TEST(test_things_do_not_overlap_or_move), TEST(test_large_things_fit), TEST(test_ceiling),
          TEST(test_clear_keeps_the_largest_block), TEST(test_str_is_terminated))
