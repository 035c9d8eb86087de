// SPDX-License-Identifier: Apache-2.0
//
// String views: comparisons, integers at their limits, UTF-8 against a table and a second way of
// checking, hashes, the nearest name.
#include "base/tp_str.h"

#include "base/tp_random.h"
#include "test.h"

#include <string.h>

static void test_comparisons(void)
{
    ASSERT(tp_str_equal(TP_STR("a\0b"), TP_STR("a\0b")));
    ASSERT(!tp_str_equal(TP_STR("a\0b"), TP_STR("a\0c")));
    ASSERT(tp_str_equal((tp_str){NULL, 0}, TP_STR("")));
    ASSERT(tp_str_equal_ignore_case(TP_STR("Content-LENGTH"), TP_STR("content-length")));
    ASSERT(!tp_str_equal_ignore_case(TP_STR("\xc3\x84"), TP_STR("\xc3\xa4"))); // ASCII alone
    ASSERT(!tp_str_equal_ignore_case(TP_STR("["), TP_STR("{")));
    ASSERT_EQ_INT(tp_str_compare(TP_STR("ab"), TP_STR("b")), -1);
    ASSERT_EQ_INT(tp_str_compare(TP_STR("ab"), TP_STR("a")), 1);
    ASSERT_EQ_INT(tp_str_compare(TP_STR("\xff"), TP_STR("a")), 1); // bytes are unsigned
    ASSERT_EQ_INT(tp_str_compare(TP_STR(""), (tp_str){NULL, 0}), 0);
    ASSERT(tp_str_has_prefix(TP_STR("abc"), TP_STR("ab")) &&
           !tp_str_has_prefix(TP_STR("a"), TP_STR("ab")));
    ASSERT(tp_str_has_suffix(TP_STR("abc"), TP_STR("bc")) &&
           !tp_str_has_suffix(TP_STR("c"), TP_STR("bc")));
    ASSERT(tp_str_has_suffix((tp_str){NULL, 0}, TP_STR("")));
    ASSERT(tp_str_contains(TP_STR("a\0bc"), TP_STR("\0b")) &&
           !tp_str_contains(TP_STR("ab"), TP_STR("ba")));
    ASSERT(tp_str_contains(TP_STR(""), TP_STR("")));
    ASSERT(tp_str_equal(tp_str_trim(TP_STR(" \t\r\n a b\n ")), TP_STR("a b")));
    ASSERT_EQ_UINT(tp_str_trim(TP_STR(" \n")).size, 0);
    ASSERT_EQ_UINT(tp_str_from(NULL).size, 0);
}

static void test_integers(void)
{
    static const struct {
        const char *text;
        bool good;
        int64_t value;
    } cases[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"+7", true, 7},
        {"007", true, 7},
        {"-12", true, -12},
        {"9223372036854775807", true, INT64_MAX},
        {"9223372036854775808", false, 0},
        {"-9223372036854775808", true, INT64_MIN},
        {"-9223372036854775809", false, 0},
        {"99999999999999999999999", false, 0},
        {"", false, 0},
        {"-", false, 0},
        {"+", false, 0},
        {"+-1", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"1.", false, 0},
        {"0x1", false, 0},
        {"1_000", false, 0},
        {"\xd9\xa1", false, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t value = 4711;
        ASSERT(tp_str_to_int64(tp_str_from(cases[i].text), &value) == cases[i].good);
        ASSERT_EQ_INT(value, cases[i].good ? cases[i].value : 4711);
    }
    uint64_t value = 4711;
    ASSERT(tp_str_to_uint64(TP_STR("18446744073709551615"), &value) && value == UINT64_MAX);
    ASSERT(!tp_str_to_uint64(TP_STR("18446744073709551616"), &value) && value == UINT64_MAX);
    ASSERT(!tp_str_to_uint64(TP_STR("-1"), &value));
    ASSERT(!tp_str_to_uint64(TP_STR(""), &value));
}

static void test_utf8_table(void)
{
    static const struct {
        const char *text;
        int bad_at; // -1: well-formed
    } cases[] = {
        {"", -1},
        {"plain ASCII text, longer than eight", -1},
        {"\x7f", -1},
        {"\xc2\x80", -1},
        {"\xdf\xbf", -1},
        {"\xe0\xa0\x80", -1},
        {"\xed\x9f\xbf", -1},
        {"\xee\x80\x80", -1},
        {"\xef\xbf\xbf", -1},
        {"\xf0\x90\x80\x80", -1},
        {"\xf4\x8f\xbf\xbf", -1},
        {"12345678\xe2\x82\xac"
         "12345678",
         -1},
        {"\x80", 0},
        {"a\xbf", 1},
        {"\xc0\xaf", 0},
        {"\xc1\xbf", 0},
        {"\xe0\x9f\xbf", 0},
        {"\xed\xa0\x80", 0},
        {"\xed\xbf\xbf", 0},
        {"\xf0\x8f\xbf\xbf", 0},
        {"\xf4\x90\x80\x80", 0},
        {"\xf5\x80\x80\x80", 0},
        {"\xff", 0},
        {"\xfe", 0},
        {"12345678\xc2", 8},
        {"1234567\xe2\x82", 7},
        {"\xf0\x90\x80", 0},
        {"\xe2\x28\xa1", 0},
        {"\xc2\x41", 0},
        {"abcdefgh12\xf8zzzzzzzz", 10},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t offset = 99;
        const bool good = tp_utf8_check(tp_str_from(cases[i].text), &offset);
        ASSERT(good == (cases[i].bad_at < 0));
        ASSERT_EQ_UINT(offset, good ? 99 : (size_t)cases[i].bad_at);
        ASSERT(tp_utf8_check(tp_str_from(cases[i].text), NULL) == good);
    }
    ASSERT(tp_utf8_check((tp_str){"a\0b", 3}, NULL));
}

// Every code point encodes to what the check takes, and every surrogate to what it refuses.
static void test_utf8_every_code_point(void)
{
    for (uint32_t c = 0x80; c < 0x110000; c++) {
        char bytes[4];
        size_t size = 0;
        if (c < 0x800) {
            bytes[size++] = (char)(0xc0 | (c >> 6));
        } else if (c < 0x10000) {
            bytes[size++] = (char)(0xe0 | (c >> 12));
            bytes[size++] = (char)(0x80 | ((c >> 6) & 0x3f));
        } else {
            bytes[size++] = (char)(0xf0 | (c >> 18));
            bytes[size++] = (char)(0x80 | ((c >> 12) & 0x3f));
            bytes[size++] = (char)(0x80 | ((c >> 6) & 0x3f));
        }
        bytes[size++] = (char)(0x80 | (c & 0x3f));
        const bool surrogate = c >= 0xd800 && c < 0xe000;
        ASSERT(tp_utf8_check((tp_str){bytes, size}, NULL) == !surrogate);
        ASSERT(!tp_utf8_check((tp_str){bytes, size - 1}, NULL));
    }
}

static void test_utf8_does_not_overread(void)
{
    for (size_t size = 0; size < 40; size++) {
        char *text = test_guarded(size);
        memset(text, 'a', size);
        ASSERT(tp_utf8_check((tp_str){text, size}, NULL));
        if (size > 0) {
            text[size - 1] = (char)0xf0; // asks for three more
            size_t offset = 0;
            ASSERT(!tp_utf8_check((tp_str){text, size}, &offset));
            ASSERT_EQ_UINT(offset, size - 1);
        }
    }
}

// The same on every machine; the pinned values come from a second implementation, in Python.
static void test_hash_values(void)
{
    ASSERT_EQ_UINT(tp_str_hash((tp_str){NULL, 0}), 0x1402b3d3fba96e19);
    ASSERT_EQ_UINT(tp_str_hash(TP_STR("a")), 0xc909ac995cc94ff3);
    ASSERT_EQ_UINT(tp_str_hash(TP_STR("abcde")), 0x3bcc6ea861704064);
    ASSERT_EQ_UINT(tp_str_hash(TP_STR("abcdefghijk")), 0x96dad965b97b4049);
    ASSERT_EQ_UINT(tp_str_hash(TP_STR("The quick brown fox jumps over the lazy dog")),
                   0x9d670963b5221158);
    uint64_t seen[64];
    for (size_t size = 0; size < 64; size++) {
        char *text = test_guarded(size);
        memset(text, 0, size);
        seen[size] = tp_str_hash((tp_str){text, size});
        for (size_t i = 0; i < size; i++) {
            ASSERT(seen[i] != seen[size]);
        }
    }
}

// Flipping any bit of the input flips each bit of the hash about half the time.
static void check_mixing(size_t size)
{
    enum { ROUNDS = 4000, BITS_MAX = 37 * 8 };
    static int flips[BITS_MAX][64];
    memset(flips, 0, sizeof(flips));
    for (size_t round = 0; round < ROUNDS; round++) {
        char text[BITS_MAX / 8];
        for (size_t i = 0; i < size; i++) {
            text[i] = (char)tp_random_u64(7, round, i);
        }
        const uint64_t before = tp_str_hash((tp_str){text, size});
        for (size_t bit = 0; bit < size * 8; bit++) {
            text[bit / 8] ^= (char)(1 << (bit % 8));
            const uint64_t changed = before ^ tp_str_hash((tp_str){text, size});
            text[bit / 8] ^= (char)(1 << (bit % 8));
            for (size_t i = 0; i < 64; i++) {
                flips[bit][i] += (int)((changed >> i) & 1);
            }
        }
    }
    for (size_t bit = 0; bit < size * 8; bit++) {
        for (size_t i = 0; i < 64; i++) {
            // 2000 expected, standard deviation 32; eight of them.
            ASSERT(flips[bit][i] > 1744 && flips[bit][i] < 2256);
        }
    }
}

static void test_hash_mixes(void)
{
    const size_t sizes[] = {3, 6, 13, 21, 37};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        check_mixing(sizes[i]);
    }
}

static void test_nearest(void)
{
    const tp_str names[] = {TP_STR("learning_rate"), TP_STR("leaves"), TP_STR("trees"),
                            TP_STR("early_stopping")};
    ASSERT_EQ_INT(tp_str_nearest(TP_STR("learning_rat"), names, 4), 0);
    ASSERT_EQ_INT(tp_str_nearest(TP_STR("laeves"), names, 4), 1); // neighbours swapped
    ASSERT_EQ_INT(tp_str_nearest(TP_STR("laevse"), names, 4), 1); // twice, which is two edits
    ASSERT_EQ_INT(tp_str_nearest(TP_STR("tree"), names, 4), 2);
    ASSERT_EQ_INT(tp_str_nearest(TP_STR("erly_stoping"), names, 4), 3);
    ASSERT_EQ_INT(tp_str_nearest(TP_STR("leaves"), names, 4), 1);
    ASSERT_EQ_INT(tp_str_nearest(TP_STR("colour"), names, 4), -1);
    ASSERT_EQ_INT(tp_str_nearest(TP_STR("x"), names, 4), -1);
    ASSERT_EQ_INT(tp_str_nearest(TP_STR("leaves"), names, 0), -1);
    const tp_str same[] = {TP_STR("abcd"), TP_STR("abce")};
    ASSERT_EQ_INT(tp_str_nearest(TP_STR("abcx"), same, 2), 0); // the first of equals
    const tp_str pair[] = {TP_STR("no"), TP_STR("")};
    ASSERT_EQ_INT(tp_str_nearest(TP_STR("xy"), pair, 2), -1); // nothing in common
    static char longer[5000];
    memset(longer, 'a', sizeof(longer));
    const tp_str huge = {longer, sizeof(longer)};
    ASSERT_EQ_INT(tp_str_nearest(huge, &huge, 1), -1);
    ASSERT_EQ_INT(tp_str_nearest(TP_STR("aaaa"), &huge, 1), -1);
    const tp_str edge = {longer, 128};
    ASSERT_EQ_INT(tp_str_nearest(edge, &edge, 1), 0);
}

TEST_MAIN(TEST(test_comparisons), TEST(test_integers), TEST(test_utf8_table),
          TEST(test_utf8_every_code_point), TEST(test_utf8_does_not_overread),
          TEST(test_hash_values), TEST(test_hash_mixes), TEST(test_nearest))
