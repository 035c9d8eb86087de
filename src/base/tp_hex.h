// SPDX-License-Identifier: Apache-2.0
//
// Hexadecimal digits. Reading a digit takes either case, as escapes in texts do; hashes and ids are
// written in one way, in lower case, and read back in no other. For secrets there is libsodium's
// sodium_bin2hex, whose time does not depend on the bytes.
#ifndef TP_HEX_H
#define TP_HEX_H

#include <stdbool.h>
#include <stddef.h>

// The digit's value, or -1.
static inline int tp_hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    const char low = (char)(c | 0x20);
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

// The byte that two digits at `text` name, or -1; the second is read only behind a good first.
static inline int tp_hex_byte(const char *text)
{
    const int high = tp_hex_digit(text[0]);
    const int low = high < 0 ? -1 : tp_hex_digit(text[1]);
    return low < 0 ? -1 : high * 16 + low;
}

// `size` bytes as 2 * size digits and an end: `ret_text` has room for 2 * size + 1.
void tp_hex_write(const void *bytes, size_t size, char *ret_text);

// 2 * size lower-case digits at `text`; false, and nothing to rely on, where there are others.
bool tp_hex_read(const char *text, void *ret_bytes, size_t size);

#endif
