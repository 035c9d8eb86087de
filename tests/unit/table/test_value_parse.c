// SPDX-License-Identifier: Apache-2.0
//
// Reading numbers: the three ways (exact power, 128-bit product, big integers) at their borders,
// and what is refused. Expected values are the compiler's own literals, which are correctly
// rounded.
#include "table/tp_value.h"

#include "test.h"

#include <math.h>
#include <string.h>

static double parse(const char *text)
{
    double value = -1.0;
    if (!tp_parse_f64(tp_str_from(text), &value)) {
        test_fail(__FILE__, __LINE__, "refused: %s", text);
    }
    return value;
}

static void test_reads_plain_numbers(void)
{
    ASSERT_EQ_F64(parse("0"), 0.0);
    ASSERT_EQ_F64(parse("-0"), -0.0);
    ASSERT_EQ_F64(parse("12.5"), 12.5);
    ASSERT_EQ_F64(parse("+3"), 3.0);
    ASSERT_EQ_F64(parse(".5"), 0.5);
    ASSERT_EQ_F64(parse("5."), 5.0);
    ASSERT_EQ_F64(parse("1E5"), 1e5);
    ASSERT_EQ_F64(parse("1e-05"), 1e-5);
    ASSERT_EQ_F64(parse("000.25"), 0.25);
}

static void test_rounds_correctly_beyond_53_bits(void)
{
    ASSERT_EQ_F64(parse("9007199254740993"), 9007199254740992.0);
    ASSERT_EQ_F64(parse("9007199254740995"), 9007199254740996.0);
    ASSERT_EQ_F64(parse("10.357019999999999"), 10.357019999999999);
    ASSERT_EQ_F64(parse("1e23"), 1e23);
    ASSERT_EQ_F64(parse("8.5e-302"), 8.5e-302);
    ASSERT_EQ_F64(parse("2.2250738585072011e-308"), 2.2250738585072011e-308);
    ASSERT_EQ_F64(parse("2.2250738585072014e-308"), 2.2250738585072014e-308);
    ASSERT_EQ_F64(parse("1.7976931348623157e308"), 1.7976931348623157e308);
    ASSERT_EQ_F64(parse("1.7976931348623159e308"), INFINITY);
    ASSERT_EQ_F64(parse("4.9e-324"), 4.9e-324);
    ASSERT_EQ_F64(parse("2.4703282292062327e-324"), 0.0);
    ASSERT_EQ_F64(parse("2.4703282292062328e-324"), 4.9e-324);
}

// Half way between 1 and the next double, exactly and a digit to each side: only big integers know.
static void test_settles_half_way_points(void)
{
    ASSERT_EQ_F64(parse("1.00000000000000011102230246251565404236316680908203125"), 1.0);
    ASSERT_EQ_F64(parse("1.00000000000000011102230246251565404236316680908203126"),
                  1.0000000000000002);
    ASSERT_EQ_F64(parse("1.00000000000000011102230246251565404236316680908203124"), 1.0);
    ASSERT_EQ_F64(parse("1.00000000000000033306690738754696212708950042724609375"),
                  1.0000000000000004);
}

static void test_settles_with_digits_far_behind(void)
{
    char text[1200] = "1.00000000000000011102230246251565404236316680908203125";
    const size_t start = strlen(text);
    memset(text + start, '0', 1000);
    text[start + 1000] = '\0';
    ASSERT_EQ_F64(parse(text), 1.0);
    text[start + 999] = '1';
    ASSERT_EQ_F64(parse(text), 1.0000000000000002);
}

static void test_survives_huge_exponents(void)
{
    ASSERT_EQ_F64(parse("1e400"), INFINITY);
    ASSERT_EQ_F64(parse("-1e400"), -INFINITY);
    ASSERT_EQ_F64(parse("1e-400"), 0.0);
    ASSERT_EQ_F64(parse("1e99999999999999999999999"), INFINITY);
    ASSERT_EQ_F64(parse("1e-99999999999999999999999"), 0.0);
    ASSERT_EQ_F64(parse("0e99999999999999999999999"), 0.0);
    char text[600] = "0.";
    memset(text + 2, '0', 499);
    memcpy(text + 501, "1e500", sizeof "1e500");
    ASSERT_EQ_F64(parse(text), 1.0);
}

static void test_reads_words(void)
{
    ASSERT_EQ_F64(parse("inf"), INFINITY);
    ASSERT_EQ_F64(parse("-Infinity"), -INFINITY);
    ASSERT(isnan(parse("NaN")));
}

static void test_refuses_what_is_no_number(void)
{
    static const char *const texts[] = {"",      ".",   "e5", "1e", "1e+",  "-",     "+",
                                        "1.2.3", "0x1", "1 ", " 1", "nanx", "1_0",   "1f",
                                        "1,0",   "--1", "1-", "in", "infi", "1e5.0", "1e 5"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        double value = 7.0;
        if (tp_parse_f64(tp_str_from(texts[i]), &value)) {
            test_fail(__FILE__, __LINE__, "taken: \"%s\"", texts[i]);
        }
        ASSERT_EQ_F64(value, 7.0);
    }
}

static void test_reads_integers_to_their_ends(void)
{
    int64_t value = 0;
    ASSERT(tp_parse_i64(TP_STR("9223372036854775807"), &value));
    ASSERT_EQ_INT(value, INT64_MAX);
    ASSERT(tp_parse_i64(TP_STR("-9223372036854775808"), &value));
    ASSERT_EQ_INT(value, INT64_MIN);
    ASSERT(tp_parse_i64(TP_STR("+007"), &value));
    ASSERT_EQ_INT(value, 7);
    ASSERT(!tp_parse_i64(TP_STR("9223372036854775808"), &value));
    ASSERT(!tp_parse_i64(TP_STR("-9223372036854775809"), &value));
    ASSERT(!tp_parse_i64(TP_STR("18446744073709551617"), &value));
    ASSERT(!tp_parse_i64(TP_STR(""), &value));
    ASSERT(!tp_parse_i64(TP_STR("-"), &value));
    ASSERT(!tp_parse_i64(TP_STR("1.0"), &value));
    ASSERT_EQ_INT(value, 7);
}

static void test_reads_booleans(void)
{
    bool value = false;
    ASSERT(tp_parse_bool(TP_STR("TRUE"), &value) && value);
    ASSERT(tp_parse_bool(TP_STR("False"), &value) && !value);
    ASSERT(!tp_parse_bool(TP_STR("1"), &value));
    ASSERT(!tp_parse_bool(TP_STR("t"), &value));
    ASSERT(!tp_parse_bool(TP_STR(""), &value));
}

TEST_MAIN(TEST(test_reads_plain_numbers), TEST(test_rounds_correctly_beyond_53_bits),
          TEST(test_settles_half_way_points), TEST(test_settles_with_digits_far_behind),
          TEST(test_survives_huge_exponents), TEST(test_reads_words),
          TEST(test_refuses_what_is_no_number), TEST(test_reads_integers_to_their_ends),
          TEST(test_reads_booleans))
