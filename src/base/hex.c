// SPDX-License-Identifier: Apache-2.0
//
// Hexadecimal digits of hashes and ids.
#include "base/tp_hex.h"

#include <stdint.h>

void tp_hex_write(const void *bytes, size_t size, char *ret_text)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *from = bytes;
    for (size_t i = 0; i < size; i++) {
        ret_text[2 * i] = digits[from[i] >> 4];
        ret_text[2 * i + 1] = digits[from[i] & 15];
    }
    ret_text[2 * size] = '\0';
}

bool tp_hex_read(const char *text, void *ret_bytes, size_t size)
{
    uint8_t *to = ret_bytes;
    for (size_t i = 0; i < 2 * size; i++) {
        if (text[i] >= 'A' && text[i] <= 'F') {
            return false;
        }
        const int digit = tp_hex_digit(text[i]);
        if (digit < 0) {
            return false;
        }
        to[i / 2] = (uint8_t)(i % 2 == 0 ? digit << 4 : to[i / 2] | digit);
    }
    return true;
}
