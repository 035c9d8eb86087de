// SPDX-License-Identifier: Apache-2.0
//
// Protocol Buffers' wire: each form of a field, lists packed and not, and what is none.
#include "import/protobuf_priv.h"

#include "test.h"

#include <string.h>

// A cursor over bytes that end at an unreadable page.
static tp_cursor open_bytes(const char *bytes, size_t size)
{
    tp_cursor cursor;
    char *guarded = test_guarded(size);
    memcpy(guarded, bytes, size);
    tp_cursor_init(&cursor, guarded, size);
    return cursor;
}

#define OPEN(literal) open_bytes(literal, sizeof(literal) - 1)

static void test_each_form(void)
{
    tp_cursor cursor = OPEN("\x08\x96\x01"                         // 1: varint 150
                            "\x11\x00\x00\x00\x00\x00\x00\xf0\x3f" // 2: float64 1
                            "\x1a\x02hi"                           // 3: bytes
                            "\x25\x00\x00\x80\x3f"                 // 4: float32 1
                            "\x80\x80\x01\x00");                   // 2048: varint 0
    tp_protobuf_field field;
    bool any = false;
    ASSERT_OK(tp_protobuf_next(&cursor, &field, &any, &test_err));
    ASSERT(any && field.number == 1 && field.wire == TP_PROTOBUF_VARINT && field.value == 150);
    ASSERT_OK(tp_protobuf_next(&cursor, &field, &any, &test_err));
    ASSERT(field.number == 2 && field.wire == TP_PROTOBUF_FIXED64);
    ASSERT_EQ_F64(tp_protobuf_f64(field.value), 1);
    ASSERT_OK(tp_protobuf_next(&cursor, &field, &any, &test_err));
    ASSERT(field.number == 3 && tp_str_equal(field.bytes, TP_STR("hi")));
    ASSERT_OK(tp_protobuf_next(&cursor, &field, &any, &test_err));
    ASSERT(field.number == 4 && field.wire == TP_PROTOBUF_FIXED32);
    ASSERT_EQ_F64((double)tp_protobuf_f32(field.value), 1);
    ASSERT_OK(tp_protobuf_next(&cursor, &field, &any, &test_err));
    ASSERT(any && field.number == 2048 && field.value == 0);
    ASSERT_OK(tp_protobuf_next(&cursor, &field, &any, &test_err));
    ASSERT(!any);
}

static void test_what_is_no_field(void)
{
    static const struct {
        const char *bytes;
        size_t size;
        const char *part;
    } cases[] = {
        {"\x08", 1, "cut short at byte 1"},
        {"\x08\x80", 2, "cut short"},
        {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11, "cut short"}, // beyond 64 bits
        {"\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80", 11, "cut short"}, // eleven bytes
        {"\x11\0\0\0", 4, "cut short"},
        {"\x25\0\0", 3, "cut short"},
        {"\x1a\x03hi", 4, "exceeds its message"},
        {"\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, "exceeds its message"},
        {"\x0b", 1, "a group"},
        {"\x0c", 1, "a group"},
        {"\x0e", 1, "does not exist"},
        {"\x0f", 1, "does not exist"},
        {"\x00\x01", 2, "without a number"},
        {"\x80", 1, "without a number"},
        {"\x80\x80\x80\x80\x10\x00", 6, "without a number"}, // a number beyond 32 bits
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tp_cursor cursor = open_bytes(cases[i].bytes, cases[i].size);
        tp_protobuf_field field;
        bool any = false;
        ASSERT_FAILS(tp_protobuf_next(&cursor, &field, &any, &test_err), TAPEOUT_E_CORRUPT,
                     cases[i].part);
    }
}

static tp_protobuf_field first_field(tp_cursor cursor)
{
    tp_protobuf_field field;
    bool any = false;
    ASSERT_OK(tp_protobuf_next(&cursor, &field, &any, &test_err));
    ASSERT(any);
    return field;
}

static void test_lists(void)
{
    uint64_t values[4] = {0};
    uint32_t count = 0;
    tp_protobuf_field field = first_field(OPEN("\x0a\x03\x05\x96\x01"));
    ASSERT_OK(tp_protobuf_count(&field, TP_PROTOBUF_VARINT, &count, &test_err));
    ASSERT_EQ_UINT(count, 2);
    tp_protobuf_values(&field, TP_PROTOBUF_VARINT, values);
    ASSERT_EQ_UINT(values[0], 5);
    ASSERT_EQ_UINT(values[1], 150);
    field = first_field(OPEN("\x0a\x08\0\0\x80\x3f\0\0\0\x40"));
    ASSERT_OK(tp_protobuf_count(&field, TP_PROTOBUF_FIXED32, &count, &test_err));
    ASSERT_EQ_UINT(count, 2);
    tp_protobuf_values(&field, TP_PROTOBUF_FIXED32, values);
    ASSERT_EQ_F64((double)tp_protobuf_f32(values[1]), 2);
    ASSERT_OK(tp_protobuf_count(&field, TP_PROTOBUF_FIXED64, &count, &test_err));
    ASSERT_EQ_UINT(count, 1);
    tp_protobuf_values(&field, TP_PROTOBUF_FIXED64, values);
    ASSERT_EQ_UINT(values[0], 0x400000003f800000u);
    field = first_field(OPEN("\x08\x07"));
    ASSERT_OK(tp_protobuf_count(&field, TP_PROTOBUF_VARINT, &count, &test_err));
    ASSERT_EQ_UINT(count, 1);
    tp_protobuf_values(&field, TP_PROTOBUF_VARINT, values);
    ASSERT_EQ_UINT(values[0], 7);
    ASSERT_FAILS(tp_protobuf_count(&field, TP_PROTOBUF_FIXED32, &count, &test_err),
                 TAPEOUT_E_CORRUPT, "no list of numbers");
    field = first_field(OPEN("\x0a\x03\0\0\0"));
    ASSERT_FAILS(tp_protobuf_count(&field, TP_PROTOBUF_FIXED32, &count, &test_err),
                 TAPEOUT_E_CORRUPT, "a part of a number");
    field = first_field(OPEN("\x0a\x02\x01\x80"));
    ASSERT_FAILS(tp_protobuf_count(&field, TP_PROTOBUF_VARINT, &count, &test_err),
                 TAPEOUT_E_CORRUPT, "cut short");
}

TEST_MAIN(TEST(test_each_form), TEST(test_what_is_no_field), TEST(test_lists))
