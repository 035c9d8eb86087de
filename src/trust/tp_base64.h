// SPDX-License-Identifier: Apache-2.0
//
// Base64 of RFC 4648 with padding, one text for the same bytes: what is not exactly what encoding
// writes (white space, other alphabets, missing padding, spare bits) is refused.
#ifndef TP_BASE64_H
#define TP_BASE64_H

#include "base/tp_arena.h"
#include "base/tp_buffer.h"

// Of one of libsodium's variants (sodium_base64_VARIANT_…); all of the text, at most `capacity`
// bytes.
bool tp_base64_read(tp_str text, int variant, uint8_t *ret_bytes, size_t capacity,
                    size_t *ret_size);

void tp_base64_append(tp_buffer *text, tp_str bytes);

// Into the arena; {NULL, 0} for text that is no base64 and without memory (the arena says which).
tp_str tp_base64_decode(tp_arena *arena, tp_str text);
// Into `ret_bytes` of exactly `size` bytes; false where it is another number of bytes.
bool tp_base64_decode_exact(tp_str text, uint8_t *ret_bytes, size_t size);

#endif
