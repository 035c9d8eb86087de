// SPDX-License-Identifier: Apache-2.0
//
// The growable buffer: contents, the ceiling to the byte, the failure that sticks.
#include "base/tp_buffer.h"

#include "base/tp_alloc.h"
#include "test.h"

#include <string.h>

static void test_appends(void)
{
    test_allocator allocator;
    test_allocator_init(&allocator);
    tp_buffer buffer;
    tp_buffer_init(&buffer, &allocator.base, 1000);
    tp_buffer_append_text(&buffer, "ab");
    tp_buffer_append_char(&buffer, 'c');
    tp_buffer_append_str(&buffer, TP_STR("de"));
    tp_buffer_append_str(&buffer, (tp_str){NULL, 0});
    tp_buffer_append_zeros(&buffer, 2);
    tp_buffer_printf(&buffer, "%d-%s", 42, "x");
    tp_buffer_append_u32le(&buffer, 0x04030201);
    tp_buffer_append_u64le(&buffer, 0x0807060504030201);
    tp_buffer_append_f64le(&buffer, 1.0);
    const char want[] = "abcde\0\0"
                        "42-x"
                        "\1\2\3\4"
                        "\1\2\3\4\5\6\7\10"
                        "\0\0\0\0\0\0\xf0\x3f";
    ASSERT_EQ_BYTES(buffer.data, buffer.size, want, sizeof(want) - 1);
    ASSERT_OK(tp_buffer_check(&buffer, "test", &test_err));
    tp_buffer_deinit(&buffer);
    ASSERT_EQ_UINT(allocator.live, 0);
}

static void test_grows_over_many_sizes(void)
{
    test_allocator allocator;
    test_allocator_init(&allocator);
    tp_buffer buffer;
    tp_buffer_init(&buffer, &allocator.base, SIZE_MAX);
    for (size_t i = 0; i < 100000; i++) {
        tp_buffer_append_char(&buffer, (char)(i % 113));
    }
    tp_buffer_printf(&buffer, "%s", "no ceiling, no overflow");
    ASSERT_OK(tp_buffer_check(&buffer, "big", &test_err));
    for (size_t i = 0; i < 100000; i++) {
        ASSERT_EQ_INT(buffer.data[i], i % 113);
    }
    ASSERT(allocator.count < 16);
    tp_buffer_deinit(&buffer);
}

static void test_ceiling_to_the_byte(void)
{
    for (size_t max = 0; max < 200; max++) {
        test_allocator allocator;
        test_allocator_init(&allocator);
        tp_buffer buffer;
        tp_buffer_init(&buffer, &allocator.base, max);
        for (size_t i = 0; i < max; i++) {
            tp_buffer_append_char(&buffer, 'x');
        }
        ASSERT_OK(tp_buffer_check(&buffer, "body", &test_err));
        ASSERT(allocator.peak_bytes <= 2 * max + 64);
        tp_buffer_append_char(&buffer, 'y');
        ASSERT_EQ_UINT(buffer.size, max);
        ASSERT_FAILS(tp_buffer_check(&buffer, "body", &test_err), TAPEOUT_E_LIMIT,
                     "body: more than");
        tp_buffer_deinit(&buffer);
        ASSERT_EQ_UINT(allocator.live, 0);
    }
}

// vsnprintf writes a NUL behind the text; it must not count.
static void test_printf_up_to_the_ceiling(void)
{
    test_allocator allocator;
    test_allocator_init(&allocator);
    tp_buffer buffer;
    tp_buffer_init(&buffer, &allocator.base, 100);
    tp_buffer_printf(&buffer, "%0*d", 100, 7);
    ASSERT_OK(tp_buffer_check(&buffer, "line", &test_err));
    ASSERT_EQ_UINT(buffer.size, 100);
    ASSERT_EQ_INT(buffer.data[99], '7');
    tp_buffer_clear(&buffer);
    tp_buffer_printf(&buffer, "%0*d", 101, 7);
    ASSERT(tp_buffer_check(&buffer, "line", NULL) == TAPEOUT_E_LIMIT);
    ASSERT_EQ_UINT(buffer.size, 0);
    tp_buffer_deinit(&buffer);
}

static void test_failure_sticks_until_cleared(void)
{
    test_allocator allocator;
    test_allocator_init(&allocator);
    tp_buffer buffer;
    tp_buffer_init(&buffer, &allocator.base, 4);
    tp_buffer_append_text(&buffer, "ab");
    tp_buffer_append_text(&buffer, "cde");
    tp_buffer_append_text(&buffer, "f"); // would fit
    ASSERT_EQ_BYTES(buffer.data, buffer.size, "ab", 2);
    ASSERT(tp_buffer_reserve(&buffer, 1) == NULL);
    tp_buffer_clear(&buffer);
    tp_buffer_append_text(&buffer, "fg");
    ASSERT_EQ_BYTES(buffer.data, buffer.size, "fg", 2);
    tp_buffer_deinit(&buffer);
}

static void test_reserve_and_take(void)
{
    test_allocator allocator;
    test_allocator_init(&allocator);
    tp_buffer buffer;
    tp_buffer_init(&buffer, &allocator.base, 5000);
    char *place = tp_buffer_reserve(&buffer, 3000);
    memset(place, 'z', 3000);
    ASSERT_EQ_UINT(buffer.size, 0);
    buffer.size += 3000;
    ASSERT(tp_buffer_reserve(&buffer, 2001) == NULL);
    char *data = NULL;
    size_t size = 0;
    size_t capacity = 0;
    tp_buffer_take(&buffer, &data, &size, &capacity);
    ASSERT_EQ_UINT(size, 3000);
    ASSERT(buffer.data == NULL && buffer.size == 0 && buffer.max_size == 5000);
    tp_free(&allocator.base, data, capacity);
    tp_buffer_deinit(&buffer);
    ASSERT_EQ_UINT(allocator.live, 0);
}

TEST_MAIN(TEST(test_appends), TEST(test_grows_over_many_sizes), TEST(test_ceiling_to_the_byte),
          TEST(test_printf_up_to_the_ceiling), TEST(test_failure_sticks_until_cleared),
          TEST(test_reserve_and_take))
