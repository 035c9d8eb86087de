// SPDX-License-Identifier: Apache-2.0
//
// A growable run of bytes with a ceiling named at birth. Appending to a buffer that has failed does
// nothing, so a writer appends freely and looks at the status once, at the end.
#ifndef TP_BUFFER_H
#define TP_BUFFER_H

#include "base/tp_str.h"

#include <tapeout/context.h>

typedef struct tp_buffer {
    const tapeout_allocator *alloc;
    char *data; // NULL while empty; not terminated
    size_t size;
    size_t capacity;
    size_t max_size;
    tapeout_status status; // the first failure: E_NOMEM or E_LIMIT
} tp_buffer;

void tp_buffer_init(tp_buffer *buffer, const tapeout_allocator *alloc, size_t max_size);
void tp_buffer_deinit(tp_buffer *buffer);
void tp_buffer_clear(tp_buffer *buffer); // size and status back to zero, memory kept
// Gives the memory of an empty buffer back if it is more than `kept_bytes`.
void tp_buffer_shrink(tp_buffer *buffer, size_t kept_bytes);

// Makes room for `size` more bytes and returns where they go, or NULL; the caller then adds what it
// wrote to `size` itself.
char *tp_buffer_reserve(tp_buffer *buffer, size_t size);

void tp_buffer_append(tp_buffer *buffer, const void *data, size_t size);
void tp_buffer_append_str(tp_buffer *buffer, tp_str text);
void tp_buffer_append_char(tp_buffer *buffer, char c);
void tp_buffer_append_text(tp_buffer *buffer, const char *terminated);
void tp_buffer_append_zeros(tp_buffer *buffer, size_t size);
void tp_buffer_printf(tp_buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void tp_buffer_append_u32le(tp_buffer *buffer, uint32_t value);
void tp_buffer_append_u64le(tp_buffer *buffer, uint64_t value);
void tp_buffer_append_f64le(tp_buffer *buffer, double value);

tp_str tp_buffer_view(const tp_buffer *buffer); // until the next append

// OK, or the first failure with a message that names `what`.
tapeout_status tp_buffer_check(const tp_buffer *buffer, const char *what, tapeout_error *err);

// Moves the bytes out: the caller owns `*ret_data` of `*ret_capacity` bytes allocated; the buffer
// is empty afterwards.
void tp_buffer_take(tp_buffer *buffer, char **ret_data, size_t *ret_size, size_t *ret_capacity);

#endif
