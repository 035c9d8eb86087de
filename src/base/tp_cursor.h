// SPDX-License-Identifier: Apache-2.0
//
// The one bounds-checked reader for everything that comes from a file or a socket. It never casts
// the bytes, reads little-endian explicitly, and checks by what is left, so no length can overflow.
// After a failed read the cursor stays where it was and `failed` is set: a parser may read a group
// of fields and look once.
#ifndef TP_CURSOR_H
#define TP_CURSOR_H

#include "base/tp_str.h"

#include <tapeout/status.h>

typedef struct tp_cursor {
    const uint8_t *data;
    size_t size;
    size_t position;
    bool failed;
} tp_cursor;

void tp_cursor_init(tp_cursor *cursor, const void *data, size_t size);
size_t tp_cursor_left(const tp_cursor *cursor);
bool tp_cursor_has(const tp_cursor *cursor, size_t size);

uint8_t tp_cursor_u8(tp_cursor *cursor); // zero on failure, as are the others
uint16_t tp_cursor_u16(tp_cursor *cursor);
uint32_t tp_cursor_u32(tp_cursor *cursor);
uint64_t tp_cursor_u64(tp_cursor *cursor);
int32_t tp_cursor_i32(tp_cursor *cursor);
int64_t tp_cursor_i64(tp_cursor *cursor);
float tp_cursor_f32(tp_cursor *cursor);
double tp_cursor_f64(tp_cursor *cursor);

// `size` bytes as a view into the data; {NULL, 0} on failure.
tp_str tp_cursor_bytes(tp_cursor *cursor, size_t size);

// A u64 length, at most `max_size`, and that many bytes.
tp_str tp_cursor_string64(tp_cursor *cursor, uint64_t max_size);

// count × item_size bytes, the product checked; NULL on failure.
const uint8_t *tp_cursor_array(tp_cursor *cursor, uint64_t count, size_t item_size);

bool tp_cursor_skip(tp_cursor *cursor, uint64_t size);
bool tp_cursor_seek(tp_cursor *cursor, uint64_t position);
bool tp_cursor_align(tp_cursor *cursor, size_t alignment); // a power of two

// OK, or E_CORRUPT: "<what>: cut short at byte N of M".
tapeout_status tp_cursor_check(const tp_cursor *cursor, const char *what, tapeout_error *err);

#endif
