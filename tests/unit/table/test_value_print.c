// SPDX-License-Identifier: Apache-2.0
//
// Printing numbers: the shortest digits, the layout, and that what is printed reads back to the
// same bits, over seeded random doubles of every exponent.
#include "table/tp_value.h"

#include "base/tp_random.h"
#include "test.h"

#include <float.h>
#include <math.h>
#include <string.h>

static const char *print(double value)
{
    static char text[TP_VALUE_TEXT_SIZE + 1];
    const size_t size = tp_print_f64(value, text);
    ASSERT(size <= TP_VALUE_TEXT_SIZE);
    text[size] = '\0';
    return text;
}

static void test_prints_the_shortest(void)
{
    ASSERT_EQ_STR(print(0.1), "0.1");
    ASSERT_EQ_STR(print(0.1 + 0.2), "0.30000000000000004");
    ASSERT_EQ_STR(print(1.0 / 3.0), "0.3333333333333333");
    ASSERT_EQ_STR(print(5e-324), "5e-324");
    ASSERT_EQ_STR(print(DBL_MAX), "1.7976931348623157e+308");
    ASSERT_EQ_STR(print(DBL_MIN), "2.2250738585072014e-308");
    ASSERT_EQ_STR(print(9007199254740993.0), "9007199254740992");
    ASSERT_EQ_STR(print(1e23), "1e+23");
    ASSERT_EQ_STR(print(2e-44), "2e-44");
    ASSERT_EQ_STR(print(9.5367431640625e-07), "9.5367431640625e-7");
}

static void test_lays_out_as_people_write(void)
{
    ASSERT_EQ_STR(print(0.0), "0");
    ASSERT_EQ_STR(print(-0.0), "-0");
    ASSERT_EQ_STR(print(100.0), "100");
    ASSERT_EQ_STR(print(-1.5), "-1.5");
    ASSERT_EQ_STR(print(1e20), "100000000000000000000");
    ASSERT_EQ_STR(print(1e21), "1e+21");
    ASSERT_EQ_STR(print(0.000001), "0.000001");
    ASSERT_EQ_STR(print(0.0000001), "1e-7");
    ASSERT_EQ_STR(print(INFINITY), "inf");
    ASSERT_EQ_STR(print(-INFINITY), "-inf");
    ASSERT_EQ_STR(print(NAN), "nan");
}

static void check_round_trip(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    if (isnan(value)) {
        return;
    }
    double back = 0.0;
    const char *text = print(value);
    ASSERT(tp_parse_f64(tp_str_from(text), &back));
    ASSERT_EQ_F64(back, value);
}

static void test_reads_back_to_the_same_bits(void)
{
    for (uint64_t i = 0; i < 200000; i++) {
        check_round_trip(tp_random_u64(1, 0, i));
    }
    for (uint64_t exponent = 0; exponent < 2048; exponent++) {
        check_round_trip(exponent << 52);
        check_round_trip(exponent << 52 | 1);
        check_round_trip(exponent << 52 | ((UINT64_C(1) << 52) - 1));
    }
}

static void test_prints_integers(void)
{
    char text[TP_VALUE_TEXT_SIZE];
    ASSERT_EQ_BYTES(text, tp_print_i64(INT64_MIN, text), "-9223372036854775808", 20);
    ASSERT_EQ_BYTES(text, tp_print_i64(INT64_MAX, text), "9223372036854775807", 19);
    ASSERT_EQ_BYTES(text, tp_print_i64(0, text), "0", 1);
}

TEST_MAIN(TEST(test_prints_the_shortest), TEST(test_lays_out_as_people_write),
          TEST(test_reads_back_to_the_same_bits), TEST(test_prints_integers))
