// SPDX-License-Identifier: Apache-2.0
//
// Hexadecimal digits: every byte value read as a digit, hashes written and read back, and what is
// refused.
#include "base/tp_hex.h"

#include "test.h"

#include <stdint.h>
#include <string.h>

static void test_every_digit(void)
{
    static const char lower[] = "0123456789abcdef";
    static const char upper[] = "0123456789ABCDEF";
    for (int c = 0; c < 256; c++) {
        const char *low = c == 0 ? NULL : strchr(lower, c);
        const char *high = c == 0 ? NULL : strchr(upper, c);
        const int expected = low != NULL    ? (int)(low - lower)
                             : high != NULL ? (int)(high - upper)
                                            : -1;
        ASSERT_EQ_INT(tp_hex_digit((char)c), expected);
    }
}

static void test_byte(void)
{
    ASSERT_EQ_INT(tp_hex_byte("00"), 0);
    ASSERT_EQ_INT(tp_hex_byte("aF"), 0xaf);
    ASSERT_EQ_INT(tp_hex_byte("ff and more"), 0xff);
    ASSERT_EQ_INT(tp_hex_byte("4g"), -1);
    ASSERT_EQ_INT(tp_hex_byte("g4"), -1);
    ASSERT_EQ_INT(tp_hex_byte(""), -1); // its end is no digit, and nothing behind it is read
}

static void test_round_trip(void)
{
    uint8_t bytes[256];
    uint8_t back[256];
    char text[2 * sizeof(bytes) + 1];
    for (int i = 0; i < 256; i++) {
        bytes[i] = (uint8_t)i;
    }
    tp_hex_write(bytes, sizeof(bytes), text);
    ASSERT_EQ_UINT(strlen(text), 2 * sizeof(bytes));
    ASSERT(memcmp(text, "000102", 6) == 0 && strcmp(text + 508, "feff") == 0);
    ASSERT(tp_hex_read(text, back, sizeof(back)));
    ASSERT(memcmp(bytes, back, sizeof(back)) == 0);
}

static void test_one_way_to_write_a_hash(void)
{
    static const char *const refused[] = {"00FF", "0g00", "00 0", "-100", "0x00", "000"};
    uint8_t bytes[2];
    ASSERT(tp_hex_read("00ff", bytes, 2) && bytes[0] == 0 && bytes[1] == 0xff);
    ASSERT(tp_hex_read("", bytes, 0));
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        ASSERT(!tp_hex_read(refused[i], bytes, 2));
    }
}

TEST_MAIN(TEST(test_every_digit), TEST(test_byte), TEST(test_round_trip),
          TEST(test_one_way_to_write_a_hash))
