// SPDX-License-Identifier: Apache-2.0
//
// Numbers in feature programs: operators, functions, missing values, what becomes missing and is
// counted, and the fitted functions of one number against figures worked out by hand.
#include "feature_cases.h"

#include <math.h>

static const char *const rows[] = {"4,2,true", "-1,0,false", ",3,true", "2.5,,", "9,-7,false"};

static void eval(feature_case *c, const char *text)
{
    case_rows(c, rows, 5);
    case_eval(c, text);
}

static void test_operators(void)
{
    feature_case c = {.row_count = 0};
    eval(&c, "sum = x + n * 2 - 1\n"
             "ratio = x / n   # by zero in the second row\n"
             "rest = n % 4\n"
             "minus = -(x - 1)\n"
             "one = -1 + 2\n");
    ASSERT_EQ_F64(case_value(&c, "sum", 0), 7);
    ASSERT_EQ_F64(case_value(&c, "sum", 2), (double)NAN);
    ASSERT_EQ_F64(case_value(&c, "ratio", 0), 2);
    ASSERT_EQ_F64(case_value(&c, "ratio", 1), (double)NAN);
    ASSERT_EQ_F64(case_value(&c, "ratio", 4), 9.0 / -7.0);
    ASSERT_EQ_F64(case_value(&c, "rest", 2), 3);
    ASSERT_EQ_F64(case_value(&c, "rest", 4), 1); // -7 % 4 has the divisor's sign
    ASSERT_EQ_F64(case_value(&c, "minus", 0), -3);
    ASSERT_EQ_F64(case_value(&c, "one", 3), 1);
    ASSERT_EQ_UINT(case_counts(&c, "ratio").invalid, 1);
    ASSERT_EQ_UINT(case_counts(&c, "ratio").missing, 3);
    ASSERT_EQ_UINT(case_counts(&c, "sum").invalid, 0);
    case_free(&c);
}

static void test_logic(void)
{
    feature_case c = {.row_count = 0};
    eval(&c, "gt = x > n\nle = x <= 2.5\neq = n == 3\nne = n != 3\n"
             "both = b and x > 0\neither = b or x > 0\nnope = not b\n"
             "bad = if(n == 0, x / n, 0)\nneg = if(n > 0, 1, sqrt(n))\npick = if(x > 2, 1, "
             "if(is_missing(x), -1, 0))\ngone = "
             "is_missing(n)\n"
             "filled = coalesce(x, n, 0)\nsafe = if(n == 0, 0, x / n)");
    ASSERT_EQ_F64(case_value(&c, "gt", 0), 1);
    ASSERT_EQ_F64(case_value(&c, "gt", 2), (double)NAN);
    ASSERT_EQ_F64(case_value(&c, "le", 3), 1);
    ASSERT_EQ_F64(case_value(&c, "eq", 2), 1);
    ASSERT_EQ_F64(case_value(&c, "ne", 2), 0);
    ASSERT_EQ_F64(case_value(&c, "both", 1), 0);
    ASSERT_EQ_F64(case_value(&c, "both", 2), (double)NAN); // true and missing
    ASSERT_EQ_F64(case_value(&c, "either", 2), 1);         // true or missing
    ASSERT_EQ_F64(case_value(&c, "either", 3), 1);         // missing or true
    ASSERT_EQ_F64(case_value(&c, "both", 4), 0);           // false and true
    ASSERT_EQ_F64(case_value(&c, "nope", 0), 0);
    ASSERT_EQ_F64(case_value(&c, "pick", 2), (double)NAN); // a missing condition
    ASSERT_EQ_F64(case_value(&c, "pick", 1), 0);
    ASSERT_EQ_F64(case_value(&c, "gone", 3), 1);
    ASSERT_EQ_F64(case_value(&c, "filled", 2), 3);
    ASSERT_EQ_F64(case_value(&c, "safe", 1), 0);
    ASSERT_EQ_UINT(case_counts(&c, "safe").invalid, 0); // the division was not what was picked
    ASSERT_EQ_UINT(case_counts(&c, "bad").invalid, 1);
    ASSERT_EQ_UINT(case_counts(&c, "neg").invalid, 1); // and here it was
    case_free(&c);
}

// Nothing divided by zero is missing and no more.
static void test_missing_is_not_invalid(void)
{
    static const char *const none[] = {",0", "1,"};
    feature_case c = {.row_count = 0};
    case_rows(&c, none, 2);
    case_eval(&c, "a = x / n\nb2 = n % 0\nc = log(x - 5) + sqrt(n - 1)");
    ASSERT_EQ_UINT(case_counts(&c, "a").invalid, 0);
    ASSERT_EQ_UINT(case_counts(&c, "a").missing, 2);
    ASSERT_EQ_UINT(case_counts(&c, "b2").invalid, 1);
    ASSERT_EQ_UINT(case_counts(&c, "c").invalid, 2); // each row by one of the two
    case_free(&c);
}

static void test_functions(void)
{
    feature_case c = {.row_count = 0};
    eval(&c, "lo = min(x, n, 1)\nhi = max(x, n)\nab = abs(x)\nro = round(x)\nfl = floor(x)\n"
             "ce = ceil(x)\nsq = sqrt(x)\ncl = clip(x, 0, 3)\nlg = log(x)\nlp = log1p(x)\n"
             "ex = exp(n * 1000)\npo = pow(x, n)\n");
    ASSERT_EQ_F64(case_value(&c, "lo", 0), 1);
    ASSERT_EQ_F64(case_value(&c, "lo", 4), -7);
    ASSERT_EQ_F64(case_value(&c, "hi", 0), 4);
    ASSERT_EQ_F64(case_value(&c, "hi", 2), (double)NAN);
    ASSERT_EQ_F64(case_value(&c, "ab", 1), 1);
    ASSERT_EQ_F64(case_value(&c, "ro", 3), 3);
    ASSERT_EQ_F64(case_value(&c, "fl", 3), 2);
    ASSERT_EQ_F64(case_value(&c, "ce", 3), 3);
    ASSERT_EQ_F64(case_value(&c, "sq", 0), 2);
    ASSERT_EQ_F64(case_value(&c, "sq", 1), (double)NAN);
    ASSERT_EQ_UINT(case_counts(&c, "sq").invalid, 1);
    ASSERT_EQ_F64(case_value(&c, "cl", 4), 3);
    ASSERT_EQ_F64(case_value(&c, "cl", 1), 0);
    ASSERT_EQ_UINT(case_counts(&c, "lg").invalid, 1);
    ASSERT_EQ_UINT(case_counts(&c, "lp").invalid, 1); // log1p(-1)
    ASSERT_EQ_UINT(case_counts(&c, "lp").missing, 2);
    ASSERT_EQ_F64(case_value(&c, "ex", 1), 1);
    ASSERT_EQ_UINT(case_counts(&c, "ex").invalid, 2); // exp(2000), exp(3000)
    ASSERT_EQ_F64(case_value(&c, "ex", 4), 0);
    ASSERT_EQ_F64(case_value(&c, "po", 0), 16);
    case_free(&c);
}

static void test_infinity_is_missing(void)
{
    static const char *const infinite[] = {"inf,1", "1e308,1", "2,1"};
    feature_case c = {.row_count = 0};
    case_rows(&c, infinite, 3);
    case_eval(&c, "raw = x\nbig = x * 100");
    ASSERT_EQ_F64(case_value(&c, "raw", 0), (double)NAN);
    ASSERT_EQ_UINT(case_counts(&c, "raw").invalid, 1);
    ASSERT_EQ_UINT(case_counts(&c, "big").invalid, 2);
    ASSERT_EQ_UINT(case_counts(&c, "big").missing, 2);
    ASSERT_EQ_F64(case_value(&c, "big", 2), 200);
    case_free(&c);
}

static void test_fitted(void)
{
    feature_case c = {.row_count = 0};
    eval(&c, "med = impute(x, median)\nmean = impute(x, mean)\nfrq = impute(n, most_frequent)\n"
             "con = impute(x, constant, value = -9)\nstd = standardize(n)\nmm = minmax(n)\n"
             "rob = robust_scale(n)\nbins = bin(n, 2)\n");
    ASSERT_EQ_F64(case_value(&c, "med", 2), 3.25); // of -1 2.5 4 9
    ASSERT_EQ_F64(case_value(&c, "mean", 2), 3.625);
    ASSERT_EQ_F64(case_value(&c, "mean", 0), 4);
    ASSERT_EQ_F64(case_value(&c, "frq", 3), -7); // all once: the smallest
    ASSERT_EQ_F64(case_value(&c, "con", 2), -9);
    // n: 2 0 3 -7, mean -0.5, squares 6.25 + 0.25 + 12.25 + 42.25 = 61
    ASSERT_EQ_F64(case_value(&c, "std", 0), 2.5 / sqrt(61.0 / 4));
    ASSERT_EQ_F64(case_value(&c, "std", 3), (double)NAN);
    ASSERT_EQ_F64(case_value(&c, "mm", 2), 1);
    ASSERT_EQ_F64(case_value(&c, "mm", 1), 0.7);
    // quartiles of -7 0 2 3: -1.75, 1, 2.25
    ASSERT_EQ_F64(case_value(&c, "rob", 2), 2.0 / 4.0);
    ASSERT_EQ_F64(case_value(&c, "bins", 0), 1);
    ASSERT_EQ_F64(case_value(&c, "bins", 1), 0);
    ASSERT_EQ_F64(case_value(&c, "bins", 3), (double)NAN);
    case_free(&c);
}

// Many tasks: their moments and keys are joined.
static void test_fitted_over_many_rows(void)
{
    enum { MANY = 65536 };
    static const char *lines[MANY];
    for (int i = 0; i < MANY; i++) {
        lines[i] = i < MANY / 2 ? "1000000000,0" : "1000000002,7";
    }
    feature_case c = {.row_count = 0};
    case_rows(&c, lines, MANY);
    case_eval(&c, "s2 = standardize(x)\nm = minmax(x)\nr = robust_scale(n)\nb2 = bin(n, 2)\n"
                  "i = impute(n, median)");
    ASSERT_EQ_F64(case_value(&c, "s2", 0), -1);
    ASSERT_EQ_F64(case_value(&c, "s2", MANY - 1), 1);
    ASSERT_EQ_F64(case_value(&c, "m", MANY - 1), 1);
    ASSERT_EQ_F64(case_value(&c, "r", 0), -0.5);
    ASSERT_EQ_F64(case_value(&c, "b2", 5), 0);
    ASSERT_EQ_F64(case_value(&c, "b2", MANY - 1), 1);
    case_free(&c);
}

static void test_constant_column_scales_to_zero(void)
{
    static const char *const same[] = {"0.1", "0.1", "0.1"};
    feature_case c = {.row_count = 0};
    case_rows(&c, same, 3);
    case_eval(&c, "a = standardize(x)\nb2 = minmax(x)\nc = robust_scale(x)\nd2 = bin(x, 4)");
    ASSERT_EQ_F64(case_value(&c, "a", 0), 0);
    ASSERT_EQ_F64(case_value(&c, "b2", 1), 0);
    ASSERT_EQ_F64(case_value(&c, "c", 2), 0);
    ASSERT_EQ_F64(case_value(&c, "d2", 2), 0);
    case_free(&c);
}

static void test_impute_of_nothing(void)
{
    static const char *const none[] = {",1", ",2"};
    feature_case c = {.row_count = 0};
    case_rows(&c, none, 2);
    ASSERT_OK(tp_feature_parse(&c.env, TP_STR("a = n\nb2 = impute(x, median)"), &case_schema,
                               &c.program, &test_err));
    const tp_feature_fit_data data = {.table = c.table, .rows = {NULL, 2}};
    ASSERT_FAILS(tp_feature_fit(&c.env, c.program, &data, &test_err), TAPEOUT_E_DATA,
                 "features:2:6: impute finds no value");
    case_free(&c);
}

TEST_MAIN(TEST(test_operators), TEST(test_logic), TEST(test_functions),
          TEST(test_missing_is_not_invalid), TEST(test_fitted_over_many_rows),
          TEST(test_infinity_is_missing), TEST(test_fitted),
          TEST(test_constant_column_scales_to_zero), TEST(test_impute_of_nothing))
