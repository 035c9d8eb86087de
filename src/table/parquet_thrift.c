// SPDX-License-Identifier: Apache-2.0
//
// The compact form of Thrift, as far as Parquet's footer and page headers need it: a struct is a
// row of fields, each a byte with the distance of its number from the last one and its type, then
// the value; integers are varints, zigzag; an end byte closes it. Nothing is allocated, and a list
// cannot say it has more elements than bytes follow, so a reader is done in time linear in the
// size. Spec: apache/thrift, doc/specs/thrift-compact-protocol.md.
#include "table/parquet_priv.h"

#include "base/limits.h"

enum { VARINT_BITS = 7, VARINT_MAX_SHIFT = 63 };

static uint64_t read_varint(tp_cursor *cursor)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift <= VARINT_MAX_SHIFT; shift += VARINT_BITS) {
        const uint8_t byte = tp_cursor_u8(cursor);
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            return cursor->failed ? 0 : value;
        }
    }
    cursor->failed = true; // longer than any 64-bit number
    return 0;
}

static int64_t read_zigzag(tp_cursor *cursor)
{
    const uint64_t value = read_varint(cursor);
    return (int64_t)(value >> 1 ^ (~(value & 1) + 1));
}

bool tp_thrift_next(tp_cursor *cursor, thrift_field *field)
{
    // A failure further inside has left the cursor somewhere in a value.
    const uint8_t byte = cursor->failed ? THRIFT_STOP : tp_cursor_u8(cursor);
    const uint8_t type = byte & 0x0f;
    if (cursor->failed || byte == THRIFT_STOP) {
        return false;
    }
    const int64_t id = byte >> 4 != 0 ? field->id + (byte >> 4) : read_zigzag(cursor);
    if (type == THRIFT_STOP || type > THRIFT_STRUCT || id < 0 || id > INT16_MAX) {
        cursor->failed = true;
    }
    *field = (thrift_field){(thrift_type)type, (int32_t)(cursor->failed ? 0 : id)};
    return !cursor->failed;
}

int64_t tp_thrift_number(tp_cursor *cursor, const thrift_field *field)
{
    switch (field->type) {
    case THRIFT_TRUE:
        return 1;
    case THRIFT_FALSE:
        return 0;
    case THRIFT_I16:
    case THRIFT_I32:
    case THRIFT_I64:
        return read_zigzag(cursor);
    case THRIFT_STOP:
    case THRIFT_I8:
    case THRIFT_DOUBLE:
    case THRIFT_BINARY:
    case THRIFT_LIST:
    case THRIFT_SET:
    case THRIFT_MAP:
    case THRIFT_STRUCT:
        break;
    }
    cursor->failed = true;
    return 0;
}

static tp_str read_bytes(tp_cursor *cursor)
{
    const uint64_t size = read_varint(cursor);
    if (cursor->failed || size > tp_cursor_left(cursor)) {
        cursor->failed = true;
        return (tp_str){NULL, 0};
    }
    return tp_cursor_bytes(cursor, (size_t)size);
}

tp_str tp_thrift_text(tp_cursor *cursor, const thrift_field *field)
{
    if (field->type != THRIFT_BINARY) {
        cursor->failed = true;
        return (tp_str){NULL, 0};
    }
    return read_bytes(cursor);
}

// The head of a list: how many and of what.
static uint32_t read_list(tp_cursor *cursor, thrift_type *ret_type)
{
    const uint8_t head = tp_cursor_u8(cursor);
    const uint64_t count = head >> 4 == 0x0f ? read_varint(cursor) : head >> 4;
    *ret_type = (thrift_type)(head & 0x0f);
    if (cursor->failed || count > tp_cursor_left(cursor) || count > UINT32_MAX) {
        cursor->failed = true;
        return 0;
    }
    return (uint32_t)count;
}

uint32_t tp_thrift_list(tp_cursor *cursor, const thrift_field *field, thrift_type type)
{
    thrift_type found = THRIFT_STOP;
    const uint32_t count = field->type == THRIFT_LIST ? read_list(cursor, &found) : 0;
    if (field->type != THRIFT_LIST || (count > 0 && found != type)) {
        cursor->failed = true;
        return 0;
    }
    return count;
}

static void skip_value(tp_cursor *cursor, thrift_type type, uint32_t depth);

static void skip_struct(tp_cursor *cursor, uint32_t depth)
{
    thrift_field field = {0};
    while (tp_thrift_next(cursor, &field)) {
        skip_value(cursor, field.type, depth);
    }
}

// Booleans take a byte each in a list, and none as a field.
static void skip_element(tp_cursor *cursor, thrift_type type, uint32_t depth)
{
    if (type == THRIFT_TRUE || type == THRIFT_FALSE) {
        (void)tp_cursor_skip(cursor, 1); // a failure stays in the cursor
    } else {
        skip_value(cursor, type, depth);
    }
}

static void skip_list(tp_cursor *cursor, uint32_t depth)
{
    thrift_type type = THRIFT_STOP;
    const uint32_t count = read_list(cursor, &type);
    for (uint32_t i = 0; i < count && !cursor->failed; i++) {
        skip_element(cursor, type, depth);
    }
}

static void skip_map(tp_cursor *cursor, uint32_t depth)
{
    const uint64_t count = read_varint(cursor);
    if (cursor->failed || count > tp_cursor_left(cursor)) {
        cursor->failed = true;
        return;
    }
    const uint8_t types = count > 0 ? tp_cursor_u8(cursor) : 0;
    for (uint64_t i = 0; i < count && !cursor->failed; i++) {
        skip_element(cursor, (thrift_type)(types >> 4), depth);
        skip_element(cursor, (thrift_type)(types & 0x0f), depth);
    }
}

static void skip_value(tp_cursor *cursor, thrift_type type, uint32_t depth)
{
    if (depth >= TP_MAX_PARQUET_DEPTH) {
        cursor->failed = true;
        return;
    }
    switch (type) {
    case THRIFT_TRUE:
    case THRIFT_FALSE:
        return;
    case THRIFT_I8:
        (void)tp_cursor_skip(cursor, 1); // failures stay in the cursor, here and below
        return;
    case THRIFT_I16:
    case THRIFT_I32:
    case THRIFT_I64:
        (void)read_varint(cursor);
        return;
    case THRIFT_DOUBLE:
        (void)tp_cursor_skip(cursor, sizeof(double));
        return;
    case THRIFT_BINARY:
        (void)read_bytes(cursor);
        return;
    case THRIFT_LIST:
    case THRIFT_SET:
        skip_list(cursor, depth + 1);
        return;
    case THRIFT_MAP:
        skip_map(cursor, depth + 1);
        return;
    case THRIFT_STRUCT:
        skip_struct(cursor, depth + 1);
        return;
    case THRIFT_STOP:
        break;
    }
    cursor->failed = true;
}

void tp_thrift_skip(tp_cursor *cursor, const thrift_field *field)
{
    skip_value(cursor, field->type, 0);
}
