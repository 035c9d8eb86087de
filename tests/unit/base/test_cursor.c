// SPDX-License-Identifier: Apache-2.0
//
// The bounded cursor: every read at every distance from the end, sizes near 2^64, the state after a
// failure. The data ends at an unreadable page.
#include "base/tp_cursor.h"

#include "test.h"

#include <math.h>
#include <string.h>

static void test_reads_little_endian(void)
{
    static const unsigned char data[] = {0xff, 0x02, 0x01, 0x04, 0x03, 0x02, 0x81, 8,    7,    6,
                                         5,    4,    3,    2,    0x81, 0,    0,    0xc0, 0x3f, 0,
                                         0,    0,    0,    0,    0,    0x08, 0xc0, 0xff, 0xff, 0xff,
                                         0xff, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    tp_cursor cursor;
    tp_cursor_init(&cursor, data, sizeof(data));
    ASSERT_EQ_UINT(tp_cursor_u8(&cursor), 0xff);
    ASSERT_EQ_UINT(tp_cursor_u16(&cursor), 0x0102);
    ASSERT_EQ_UINT(tp_cursor_u32(&cursor), 0x81020304);
    ASSERT_EQ_UINT(tp_cursor_u64(&cursor), 0x8102030405060708);
    ASSERT(tp_cursor_f32(&cursor) == 1.5f);
    ASSERT_EQ_F64(tp_cursor_f64(&cursor), -3.0);
    ASSERT_EQ_INT(tp_cursor_i32(&cursor), -1);
    ASSERT_EQ_INT(tp_cursor_i64(&cursor), -2);
    ASSERT_EQ_UINT(tp_cursor_left(&cursor), 0);
    ASSERT_OK(tp_cursor_check(&cursor, "test", &test_err));
}

static size_t read_kind(tp_cursor *cursor, int kind)
{
    switch (kind) {
    case 0:
        return (size_t)tp_cursor_u8(cursor) * 0 + 1;
    case 1:
        return (size_t)tp_cursor_u16(cursor) * 0 + 2;
    case 2:
        return (size_t)tp_cursor_u32(cursor) * 0 + 4;
    case 3:
        return (size_t)tp_cursor_u64(cursor) * 0 + 8;
    case 4:
        return tp_cursor_bytes(cursor, 5).size * 0 + 5;
    default:
        return tp_cursor_array(cursor, 3, 4) == NULL ? 12 : 12;
    }
}

static void test_every_read_at_the_end(void)
{
    for (int kind = 0; kind < 6; kind++) {
        for (size_t size = 0; size < 16; size++) {
            unsigned char *data = test_guarded(size);
            tp_cursor cursor;
            tp_cursor_init(&cursor, data, size);
            const size_t wanted = read_kind(&cursor, kind);
            ASSERT(cursor.failed == (wanted > size));
            ASSERT_EQ_UINT(cursor.position, cursor.failed ? 0 : wanted);
        }
    }
}

static void test_failure_yields_zero_and_stays(void)
{
    tp_cursor cursor;
    tp_cursor_init(&cursor, "\x07\x07\x07", 3);
    ASSERT_EQ_UINT(tp_cursor_u32(&cursor), 0);
    ASSERT(tp_cursor_bytes(&cursor, 4).data == NULL);
    ASSERT_EQ_UINT(tp_cursor_u8(&cursor), 7); // what fits is still read
    ASSERT_FAILS(tp_cursor_check(&cursor, "header", &test_err), TAPEOUT_E_CORRUPT,
                 "header: cut short at byte 1 of 3");
    ASSERT_EQ_UINT(test_err.offset, 1);
}

static void test_sizes_that_overflow(void)
{
    const char data[64] = {0};
    tp_cursor cursor;
    tp_cursor_init(&cursor, data, sizeof(data));
    ASSERT(tp_cursor_skip(&cursor, 10));
    ASSERT(!tp_cursor_has(&cursor, SIZE_MAX));
    ASSERT(!tp_cursor_skip(&cursor, UINT64_MAX));
    ASSERT(!tp_cursor_skip(&cursor, UINT64_MAX - 5));
    ASSERT(tp_cursor_array(&cursor, UINT64_C(1) << 61, 8) == NULL);
    ASSERT(tp_cursor_array(&cursor, UINT64_C(1) << 62, 4) == NULL);
    ASSERT(tp_cursor_array(&cursor, UINT64_MAX, 1) == NULL);
    ASSERT(!tp_cursor_seek(&cursor, 65));
    ASSERT(!tp_cursor_seek(&cursor, UINT64_MAX));
    ASSERT_EQ_UINT(cursor.position, 10);
    ASSERT(tp_cursor_array(&cursor, 6, 9) != NULL);
    ASSERT_EQ_UINT(cursor.position, 64);
    ASSERT(tp_cursor_seek(&cursor, 64) && tp_cursor_seek(&cursor, 0));
}

static void test_string64(void)
{
    unsigned char data[16] = {3, 0, 0, 0, 0, 0, 0, 0, 'a', 'b', 'c', 'd'};
    tp_cursor cursor;
    tp_cursor_init(&cursor, data, 12);
    tp_str text = tp_cursor_string64(&cursor, 3);
    ASSERT_EQ_BYTES(text.data, text.size, "abc", 3);
    ASSERT_EQ_UINT(cursor.position, 11);
    tp_cursor_init(&cursor, data, 12);
    ASSERT(tp_cursor_string64(&cursor, 2).data == NULL); // over the maximum
    ASSERT(cursor.failed && cursor.position == 0);
    tp_cursor_init(&cursor, data, 10);
    ASSERT(tp_cursor_string64(&cursor, 3).data == NULL); // cut short
    ASSERT(cursor.failed && cursor.position == 0);
    memset(data, 0xff, 8);
    tp_cursor_init(&cursor, data, 12);
    ASSERT(tp_cursor_string64(&cursor, UINT64_MAX).data == NULL);
    ASSERT(cursor.failed && cursor.position == 0);
    memset(data, 0, 8);
    tp_cursor_init(&cursor, data, 8);
    text = tp_cursor_string64(&cursor, 0);
    ASSERT(text.data != NULL && text.size == 0 && !cursor.failed);
}

static void test_align(void)
{
    const char data[20] = {0};
    tp_cursor cursor;
    tp_cursor_init(&cursor, data, sizeof(data));
    ASSERT(tp_cursor_align(&cursor, 8) && cursor.position == 0);
    (void)tp_cursor_u8(&cursor);
    ASSERT(tp_cursor_align(&cursor, 8) && cursor.position == 8);
    ASSERT(tp_cursor_skip(&cursor, 9));
    ASSERT(!tp_cursor_align(&cursor, 8) && cursor.position == 17);
}

static void test_empty(void)
{
    tp_cursor cursor;
    tp_cursor_init(&cursor, NULL, 0);
    ASSERT(tp_cursor_bytes(&cursor, 0).size == 0);
    ASSERT(tp_cursor_skip(&cursor, 0) && !cursor.failed);
    ASSERT_EQ_UINT(tp_cursor_u8(&cursor), 0);
    ASSERT(cursor.failed);
}

TEST_MAIN(TEST(test_reads_little_endian), TEST(test_every_read_at_the_end),
          TEST(test_failure_yields_zero_and_stays), TEST(test_sizes_that_overflow),
          TEST(test_string64), TEST(test_align), TEST(test_empty))
