// SPDX-License-Identifier: Apache-2.0
//
// UTF-8 one character at a time, for text that may hold anything: overlong forms, surrogates and
// values beyond U+10FFFF are no characters, and a byte that belongs to none stands for itself.
#include "llm/tokenizer/unicode_class.h"

#include <stdbool.h>

static bool is_continuation(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

size_t tp_unicode_decode(const uint8_t *data, size_t size, uint32_t *ret_code)
{
    *ret_code = TP_UNICODE_END;
    if (size == 0) {
        return 0;
    }
    const uint8_t first = data[0];
    if (first < 0x80) {
        *ret_code = first;
        return 1;
    }
    const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || size < length) {
        return 1;
    }
    uint32_t code = first & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if (!is_continuation(data[i])) {
            return 1;
        }
        code = code << 6 | (data[i] & 0x3fu);
    }
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (code < least[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
        return 1;
    }
    *ret_code = code;
    return length;
}

size_t tp_unicode_encode(uint32_t code, char *ret_bytes)
{
    if (code < 0x80) {
        ret_bytes[0] = (char)code;
        return 1;
    }
    const size_t length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = length - 1; i > 0; i--) {
        ret_bytes[i] = (char)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    ret_bytes[0] = (char)(lead[length] | code);
    return length;
}
