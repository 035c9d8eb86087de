// SPDX-License-Identifier: Apache-2.0
//
// The cursor under arbitrary reads: the first half of the input says what to read, the second is
// read. A model of what must happen (the position in plain arithmetic) is kept beside it.
#include "base/tp_cursor.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
    if (!condition) {
        abort();
    }
}

// Touches every byte, so that a view that is too long is found.
static void touch(const void *bytes, size_t size)
{
    const volatile uint8_t *at = bytes;
    for (size_t i = 0; i < size; i++) {
        (void)at[i];
    }
}

static uint64_t argument(const uint8_t *plan, size_t plan_size, size_t at)
{
    uint64_t value = 0;
    for (size_t i = 0; i < 8; i++) {
        value = (value << 8) | (at + 1 + i < plan_size ? plan[at + 1 + i] : 0);
    }
    return (plan[at] & 0x40) != 0 ? value : value & 0xff; // small ones mostly
}

static void step(tp_cursor *cursor, unsigned kind, uint64_t value)
{
    const size_t left = tp_cursor_left(cursor);
    const size_t before = cursor->position;
    cursor->failed = false;
    switch (kind) {
    case 0:
        (void)tp_cursor_u64(cursor);
        check(cursor->failed == (left < 8));
        break;
    case 1:
        (void)tp_cursor_u16(cursor);
        check(cursor->failed == (left < 2));
        break;
    case 2: {
        const tp_str bytes = tp_cursor_bytes(cursor, (size_t)value);
        touch(bytes.data, bytes.size);
        check(cursor->failed == (left < value));
        break;
    }
    case 3: {
        const tp_str text = tp_cursor_string64(cursor, value);
        touch(text.data, text.size);
        check(cursor->failed || text.size <= value);
        break;
    }
    case 4: {
        const uint8_t *items = tp_cursor_array(cursor, value, 24);
        touch(items, items == NULL ? 0 : (size_t)value * 24);
        check(cursor->failed == (value > left / 24));
        break;
    }
    case 5:
        check(tp_cursor_skip(cursor, value) == (value <= left));
        break;
    case 6:
        check(tp_cursor_seek(cursor, value) == (value <= cursor->size));
        break;
    default:
        if (tp_cursor_align(cursor, (size_t)1 << (value % 16))) {
            check(cursor->position % ((size_t)1 << (value % 16)) == 0);
        }
        break;
    }
    check(cursor->position <= cursor->size);
    check(!cursor->failed || cursor->position == before);
    check((tp_cursor_check(cursor, "fuzz", NULL) == TAPEOUT_OK) == !cursor->failed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const size_t plan_size = size / 2;
    tp_cursor cursor;
    tp_cursor_init(&cursor, data + plan_size, size - plan_size);
    for (size_t i = 0; i < plan_size; i++) {
        step(&cursor, data[i] & 7, argument(data, plan_size, i));
    }
    return 0;
}
