// SPDX-License-Identifier: Apache-2.0
//
// The growable buffer. It doubles, never past its ceiling, and remembers its first failure.
#include "base/tp_buffer.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { CAPACITY_FIRST = 64 };

void tp_buffer_init(tp_buffer *buffer, const tapeout_allocator *alloc, size_t max_size)
{
    *buffer = (tp_buffer){.alloc = alloc, .max_size = max_size};
}

void tp_buffer_deinit(tp_buffer *buffer)
{
    tp_free(buffer->alloc, buffer->data, buffer->capacity);
    tp_buffer_init(buffer, buffer->alloc, buffer->max_size);
}

void tp_buffer_clear(tp_buffer *buffer)
{
    buffer->size = 0;
    buffer->status = TAPEOUT_OK;
}

void tp_buffer_shrink(tp_buffer *buffer, size_t kept_bytes)
{
    if (buffer->size == 0 && buffer->capacity > kept_bytes) {
        const tapeout_allocator *alloc = buffer->alloc;
        const size_t max_size = buffer->max_size;
        tp_buffer_deinit(buffer);
        tp_buffer_init(buffer, alloc, max_size);
    }
}

// Room for `size` bytes that count against the ceiling and for `spare` bytes (0 or 1) that do not.
static bool make_room(tp_buffer *buffer, size_t size, size_t spare)
{
    if (buffer->status != TAPEOUT_OK) {
        return false;
    }
    size_t need = 0;
    if (size > buffer->max_size - buffer->size ||
        __builtin_add_overflow(buffer->size + size, spare, &need)) {
        buffer->status = TAPEOUT_E_LIMIT;
        return false;
    }
    if (need <= buffer->capacity && buffer->data != NULL) {
        return true;
    }
    size_t capacity = buffer->capacity > SIZE_MAX / 2 ? need : buffer->capacity * 2;
    capacity = capacity < CAPACITY_FIRST ? CAPACITY_FIRST : capacity;
    capacity = capacity > buffer->max_size ? buffer->max_size : capacity;
    capacity = capacity < need ? need : capacity;
    char *data = tp_resize_array(buffer->alloc, buffer->data, buffer->capacity, capacity, 1);
    if (data == NULL) {
        buffer->status = TAPEOUT_E_NOMEM;
        return false;
    }
    buffer->data = data;
    buffer->capacity = capacity;
    return true;
}

char *tp_buffer_reserve(tp_buffer *buffer, size_t size)
{
    return make_room(buffer, size, 0) ? buffer->data + buffer->size : NULL;
}

void tp_buffer_append(tp_buffer *buffer, const void *data, size_t size)
{
    if (size > 0 && make_room(buffer, size, 0)) {
        memcpy(buffer->data + buffer->size, data, size);
        buffer->size += size;
    }
}

void tp_buffer_append_str(tp_buffer *buffer, tp_str text)
{
    tp_buffer_append(buffer, text.data, text.size);
}

void tp_buffer_append_char(tp_buffer *buffer, char c)
{
    tp_buffer_append(buffer, &c, 1);
}

void tp_buffer_append_text(tp_buffer *buffer, const char *terminated)
{
    tp_buffer_append(buffer, terminated, strlen(terminated));
}

void tp_buffer_append_zeros(tp_buffer *buffer, size_t size)
{
    if (size > 0 && make_room(buffer, size, 0)) {
        memset(buffer->data + buffer->size, 0, size);
        buffer->size += size;
    }
}

void tp_buffer_printf(tp_buffer *buffer, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    // vsnprintf wants a byte for its NUL, which is no part of the text.
    if (size <= 0 || !make_room(buffer, (size_t)size, 1)) {
        return;
    }
    va_start(args, format);
    (void)vsnprintf(buffer->data + buffer->size, (size_t)size + 1, format, args);
    va_end(args);
    buffer->size += (size_t)size;
}

void tp_buffer_append_u32le(tp_buffer *buffer, uint32_t value)
{
    const unsigned char bytes[4] = {(unsigned char)value, (unsigned char)(value >> 8),
                                    (unsigned char)(value >> 16), (unsigned char)(value >> 24)};
    tp_buffer_append(buffer, bytes, sizeof(bytes));
}

void tp_buffer_append_u64le(tp_buffer *buffer, uint64_t value)
{
    unsigned char bytes[8];
    for (unsigned i = 0; i < 8; i++) {
        bytes[i] = (unsigned char)(value >> (8 * i));
    }
    tp_buffer_append(buffer, bytes, sizeof(bytes));
}

void tp_buffer_append_f64le(tp_buffer *buffer, double value)
{
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof(bits));
    tp_buffer_append_u64le(buffer, bits);
}

tp_str tp_buffer_view(const tp_buffer *buffer)
{
    return (tp_str){buffer->data, buffer->size};
}

tapeout_status tp_buffer_check(const tp_buffer *buffer, const char *what, tapeout_error *err)
{
    if (buffer->status == TAPEOUT_E_LIMIT) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "%s: more than the %zu bytes allowed for it", what,
                       buffer->max_size);
    }
    return buffer->status == TAPEOUT_OK ? TAPEOUT_OK : tp_fail_nomem(err);
}

void tp_buffer_take(tp_buffer *buffer, char **ret_data, size_t *ret_size, size_t *ret_capacity)
{
    *ret_data = buffer->data;
    *ret_size = buffer->size;
    *ret_capacity = buffer->capacity;
    tp_buffer_init(buffer, buffer->alloc, buffer->max_size);
}
