// SPDX-License-Identifier: Apache-2.0
//
// What pre-tokenizers ask of a character: its Unicode class, as a bit set. The table is of one
// version of Unicode (15.1), whatever the system's libraries know: ids may not depend on them.
#ifndef UNICODE_CLASS_H
#define UNICODE_CLASS_H

#include <stddef.h>
#include <stdint.h>

enum {
    TP_UNICODE_LETTER = 1, // \p{L}
    TP_UNICODE_NUMBER = 2, // \p{N}
    TP_UNICODE_SPACE = 4,  // White_Space, which is \s
    TP_UNICODE_MARK = 8,   // \p{M}
    TP_UNICODE_PUNCTUATION = 16,
    TP_UNICODE_SYMBOL = 32,
    TP_UNICODE_UPPER = 64,    // \p{Lu}, \p{Lt}
    TP_UNICODE_LOWER = 128,   // \p{Ll}
    TP_UNICODE_END = 0x1fffff // no code point: behind the end, or a byte that is no UTF-8
};

// Index of the block of 256 code points, then their classes.
extern const uint8_t tp_unicode_blocks[4352];
extern const uint8_t tp_unicode_classes[148][256];

static inline uint8_t tp_unicode_class(uint32_t code)
{
    return code < 0x110000 ? tp_unicode_classes[tp_unicode_blocks[code >> 8]][code & 0xff] : 0;
}

// The character at data[0, size): its code and, as the result, how many bytes it has. A byte that
// begins none counts as one of its own, with code TP_UNICODE_END and thus no class. 0 at the end.
size_t tp_unicode_decode(const uint8_t *data, size_t size, uint32_t *ret_code);

// UTF-8 of a code point; how many bytes, at most 4.
size_t tp_unicode_encode(uint32_t code, char *ret_bytes);

#endif
