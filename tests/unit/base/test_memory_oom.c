// SPDX-License-Identifier: Apache-2.0
//
// Every allocation of arena, buffer and dictionary fails in turn.
#include "base/tp_alloc.h"
#include "base/tp_arena.h"
#include "base/tp_buffer.h"
#include "base/tp_dict.h"
#include "base/tp_error.h"
#include "test.h"

static tapeout_status fill_arena(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    (void)user;
    tp_arena arena;
    tp_arena_init(&arena, alloc, SIZE_MAX);
    bool failed = false;
    for (size_t i = 0; i < 200 && !failed; i++) {
        failed =
            tp_arena_alloc(&arena, 500) == NULL || tp_arena_str(&arena, TP_STR("x")).data == NULL;
    }
    const tapeout_status status = tp_arena_check(&arena, "arena", err);
    ASSERT(failed == (status != TAPEOUT_OK));
    tp_arena_deinit(&arena);
    return status;
}

static void test_arena(void)
{
    test_out_of_memory(fill_arena, NULL);
}

static tapeout_status fill_buffer(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    (void)user;
    tp_buffer buffer;
    tp_buffer_init(&buffer, alloc, SIZE_MAX);
    for (int i = 0; i < 2000; i++) {
        tp_buffer_printf(&buffer, "row %d;", i);
        tp_buffer_append_u64le(&buffer, 1);
    }
    const tapeout_status status = tp_buffer_check(&buffer, "buffer", err);
    tp_buffer_deinit(&buffer);
    return status;
}

static void test_buffer(void)
{
    test_out_of_memory(fill_buffer, NULL);
}

static tapeout_status fill_dict(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    (void)user;
    tp_dict dict;
    tp_dict_init(&dict, alloc);
    tapeout_status status = TAPEOUT_OK;
    for (int i = 0; i < 3000 && status == TAPEOUT_OK; i++) {
        char key[32];
        uint32_t index = 0;
        const int size = snprintf(key, sizeof(key), "k%d", i);
        status = tp_dict_add(&dict, (tp_str){key, (size_t)size}, &index);
    }
    tp_dict_deinit(&dict);
    return status == TAPEOUT_E_NOMEM ? tp_fail_nomem(err) : status;
}

static void test_dict(void)
{
    test_out_of_memory(fill_dict, NULL);
}

static tapeout_status use_aligned(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    (void)user;
    void *block = tp_alloc_aligned(alloc, 100);
    char *text = tp_strndup(alloc, "abc", 3);
    const tapeout_status status = block == NULL || text == NULL ? tp_fail_nomem(err) : TAPEOUT_OK;
    tp_free_aligned(alloc, block, 100);
    tp_free(alloc, text, 4);
    return status;
}

static void test_blocks(void)
{
    test_out_of_memory(use_aligned, NULL);
}

TEST_MAIN(TEST(test_arena), TEST(test_buffer), TEST(test_dict), TEST(test_blocks))
