// SPDX-License-Identifier: Apache-2.0
//
// libsodium's base64, which takes the same time whatever the bytes and refuses spare bits; here it
// is given no characters to skip, must use up its input, and is shown ASCII alone.
#include "trust/tp_base64.h"

#include <sodium.h>

void tp_base64_append(tp_buffer *text, tp_str bytes)
{
    const size_t size = sodium_base64_ENCODED_LEN(bytes.size, sodium_base64_VARIANT_ORIGINAL);
    char *place = tp_buffer_reserve(text, size); // one more than is written: a NUL
    if (place != NULL) {
        (void)sodium_bin2base64(place, size, (const unsigned char *)bytes.data, bytes.size,
                                sodium_base64_VARIANT_ORIGINAL);
        text->size += size - 1;
    }
}

bool tp_base64_read(tp_str text, int variant, uint8_t *ret_bytes, size_t capacity, size_t *ret_size)
{
    const char *end = NULL;
    // Of a negative char libsodium's arithmetic makes a character that it is not.
    for (size_t i = 0; i < text.size; i++) {
        if ((unsigned char)text.data[i] >= 0x80) {
            return false;
        }
    }
    return text.data != NULL &&
           sodium_base642bin(ret_bytes, capacity, text.data, text.size, NULL, ret_size, &end,
                             variant) == 0 &&
           end == text.data + text.size;
}

static bool decode(tp_str text, uint8_t *ret_bytes, size_t capacity, size_t *ret_size)
{
    return tp_base64_read(text, sodium_base64_VARIANT_ORIGINAL, ret_bytes, capacity, ret_size);
}

tp_str tp_base64_decode(tp_arena *arena, tp_str text)
{
    const size_t capacity = text.size / 4 * 3 + 1;
    uint8_t *bytes = text.data == NULL ? NULL : tp_arena_alloc(arena, capacity);
    size_t size = 0;
    return bytes != NULL && decode(text, bytes, capacity, &size) ? (tp_str){(char *)bytes, size}
                                                                 : (tp_str){NULL, 0};
}

bool tp_base64_decode_exact(tp_str text, uint8_t *ret_bytes, size_t size)
{
    size_t decoded = 0;
    return text.data != NULL && decode(text, ret_bytes, size, &decoded) && decoded == size;
}
