// SPDX-License-Identifier: Apache-2.0
//
// The bounded reader. One function, `take`, moves the position; everything else is written with it.
// Sizes are compared with what is left, never added to the position before that.
#include "base/tp_cursor.h"

#include "base/tp_error.h"

#include <inttypes.h>
#include <string.h>

void tp_cursor_init(tp_cursor *cursor, const void *data, size_t size)
{
    *cursor = (tp_cursor){.data = data, .size = size};
}

size_t tp_cursor_left(const tp_cursor *cursor)
{
    return cursor->size - cursor->position;
}

bool tp_cursor_has(const tp_cursor *cursor, size_t size)
{
    return size <= tp_cursor_left(cursor);
}

// The next `size` bytes, or NULL with the cursor marked as failed and not moved.
static const uint8_t *take(tp_cursor *cursor, uint64_t size)
{
    static const uint8_t nothing[1];
    if (size > tp_cursor_left(cursor)) {
        cursor->failed = true;
        return NULL;
    }
    const uint8_t *bytes = cursor->data == NULL ? nothing : cursor->data + cursor->position;
    cursor->position += (size_t)size;
    return bytes;
}

static uint64_t take_le(tp_cursor *cursor, unsigned size)
{
    const uint8_t *bytes = take(cursor, size);
    uint64_t value = 0;
    for (unsigned i = 0; bytes != NULL && i < size; i++) {
        value |= (uint64_t)bytes[i] << (8 * i);
    }
    return value;
}

uint8_t tp_cursor_u8(tp_cursor *cursor)
{
    return (uint8_t)take_le(cursor, 1);
}

uint16_t tp_cursor_u16(tp_cursor *cursor)
{
    return (uint16_t)take_le(cursor, 2);
}

uint32_t tp_cursor_u32(tp_cursor *cursor)
{
    return (uint32_t)take_le(cursor, 4);
}

uint64_t tp_cursor_u64(tp_cursor *cursor)
{
    return take_le(cursor, 8);
}

int32_t tp_cursor_i32(tp_cursor *cursor)
{
    return (int32_t)(uint32_t)take_le(cursor, 4);
}

int64_t tp_cursor_i64(tp_cursor *cursor)
{
    return (int64_t)take_le(cursor, 8);
}

float tp_cursor_f32(tp_cursor *cursor)
{
    const uint32_t bits = tp_cursor_u32(cursor);
    float value = 0;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

double tp_cursor_f64(tp_cursor *cursor)
{
    const uint64_t bits = tp_cursor_u64(cursor);
    double value = 0;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

tp_str tp_cursor_bytes(tp_cursor *cursor, size_t size)
{
    const uint8_t *bytes = take(cursor, size);
    return bytes == NULL ? (tp_str){NULL, 0} : (tp_str){(const char *)bytes, size};
}

tp_str tp_cursor_string64(tp_cursor *cursor, uint64_t max_size)
{
    const size_t start = cursor->position;
    const bool failed = cursor->failed;
    cursor->failed = false;
    const uint64_t size = tp_cursor_u64(cursor);
    const uint8_t *bytes = NULL;
    if (!cursor->failed && size <= max_size) {
        bytes = take(cursor, size);
    }
    if (bytes == NULL) {
        cursor->position = start;
        cursor->failed = true;
        return (tp_str){NULL, 0};
    }
    cursor->failed = failed;
    return (tp_str){(const char *)bytes, (size_t)size};
}

const uint8_t *tp_cursor_array(tp_cursor *cursor, uint64_t count, size_t item_size)
{
    uint64_t size = 0;
    if (__builtin_mul_overflow(count, (uint64_t)item_size, &size)) {
        cursor->failed = true;
        return NULL;
    }
    return take(cursor, size);
}

bool tp_cursor_skip(tp_cursor *cursor, uint64_t size)
{
    return take(cursor, size) != NULL;
}

bool tp_cursor_seek(tp_cursor *cursor, uint64_t position)
{
    if (position > cursor->size) {
        cursor->failed = true;
        return false;
    }
    cursor->position = (size_t)position;
    return true;
}

bool tp_cursor_align(tp_cursor *cursor, size_t alignment)
{
    return tp_cursor_skip(cursor, (0 - cursor->position) & (alignment - 1));
}

tapeout_status tp_cursor_check(const tp_cursor *cursor, const char *what, tapeout_error *err)
{
    if (!cursor->failed) {
        return TAPEOUT_OK;
    }
    return tp_fail_at(err, TAPEOUT_E_CORRUPT, cursor->position, "%s: cut short at byte %zu of %zu",
                      what, cursor->position, cursor->size);
}
