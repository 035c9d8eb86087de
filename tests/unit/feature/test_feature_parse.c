// SPDX-License-Identifier: Apache-2.0
//
// What a program may look like, and what a mistake is told: line, column, what was expected, the
// nearest known name. Every message here is one that a person will read.
#include "feature_cases.h"

#include "base/limits.h"
#include "base/tp_alloc.h"

#include <math.h>
#include <string.h>

static void expect(const char *text, const char *part)
{
    case_error(text);
    test_assert_message(__FILE__, __LINE__, &test_err, part);
}

static void test_form(void)
{
    feature_case c = {.row_count = 0};
    static const char *const rows[] = {"3,2,true,UA"};
    case_rows(&c, rows, 1);
    case_eval(&c, "\n# a comment\n  a = x   # behind\r\n\nb2 = (a +\n   n)\n_hidden = s\n"
                  "c = category(_hidden)\n`odd name` = 1e2 + .5 # numbers\nd2 = -x - -1\n"
                  "p = 1 + 2 * 3 - 4 / 2\nq = not x > n or true and false\nhour = x\nr2 = hour\n");
    ASSERT_EQ_UINT(tp_feature_output_count(c.program), 9);
    ASSERT_EQ_F64(case_value(&c, "a", 0), 3);
    ASSERT_EQ_F64(case_value(&c, "b2", 0), 5);
    ASSERT_EQ_F64(case_value(&c, "odd name", 0), 100.5);
    ASSERT_EQ_F64(case_value(&c, "d2", 0), -2);
    ASSERT_EQ_F64(case_value(&c, "p", 0), 5);
    ASSERT_EQ_F64(case_value(&c, "q", 0), 0);
    ASSERT_EQ_F64(case_value(&c, "r2", 0), 3); // a name without ( is no function
    case_free(&c);
}

static void test_column_before_feature(void)
{
    feature_case c = {.row_count = 0};
    static const char *const rows[] = {"3,2"};
    case_rows(&c, rows, 1);
    case_eval(&c, "x = x + 1\ny = x * 10\nz = y + 1");
    ASSERT_EQ_F64(case_value(&c, "x", 0), 4);
    ASSERT_EQ_F64(case_value(&c, "y", 0), 30); // the raw column, not the feature
    ASSERT_EQ_F64(case_value(&c, "z", 0), 31);
    case_free(&c);
}

static void test_outputs_know_their_columns(void)
{
    const tp_env env = tp_env_plain();
    tp_feature_program *program = NULL;
    ASSERT_OK(tp_feature_parse(&env, TP_STR("_a = n + x\nq = _a * x\nw = weekday(t)"), &case_schema,
                               &program, &test_err));
    const tp_feature_output *q = tp_feature_output_at(program, 0);
    ASSERT_EQ_UINT(tp_feature_output_count(program), 2);
    ASSERT_EQ_UINT(q->column_count, 2);
    ASSERT_EQ_UINT(q->columns[0], 0);
    ASSERT_EQ_UINT(q->columns[1], 1);
    ASSERT(!q->is_category);
    ASSERT(tp_feature_uses_column(program, 6) && !tp_feature_uses_column(program, 3));
    tp_feature_program_free(program);
}

static void test_names(void)
{
    expect("a = xx + nn", "features:1:5: no column or earlier feature is called 'xx'; did you mean "
                          "'x'?");
    expect("speed = x\nb2 = n\nc = 1 + sped", "features:3:9: no column or earlier feature is "
                                              "called 'sped'; did you mean 'speed'?");
    expect("a = later\nlater = x", "features:1:5: no column or earlier feature is called 'later'");
    expect("a = mediann(x)", "features:1:5: no function is called 'mediann'");
    expect("a = standardise(x)",
           "no function is called 'standardise'; did you mean 'standardize'?");
    expect("a = hour", "features:1:5: no column or earlier feature is called 'hour'; as a function "
                       "it needs (...)");
    expect("a = x\nb2 = x\na = n", "features:3:1: 'a' is defined already in line 1");
}

static void test_syntax(void)
{
    expect("a x", "features:1:3: expected '=' behind the feature's name, found 'x'");
    expect("= x", "features:1:1: expected a feature's name, found '='");
    expect("a = ", "features:1:5: expected a name, a number, a text or '(', found the end");
    expect("a = (x\nb = 2", "features:2:1: expected ')', found 'b'");
    expect("a = x y", "features:1:7: expected an operator or the end of the line, found 'y'");
    expect("a = 1 < x < 2", "features:1:11: comparisons do not chain; write a < b and b < c");
    expect("a = min(x n)", "expected ',' or ')', found 'n'");
    expect("a = 12abc", "features:1:5: '12abc' is no number");
    expect("a = 1e999", "'1e999' is no number");
    expect("a = s == \"open", "features:1:10: text that begins here has no end");
    expect("a = s == \"o\\q\"", "features:1:12: unknown escape");
    expect("a = s == 'x'", "texts stand in double quotes");
    expect("a = x ^ 2", "features:1:7: '^' means nothing here");
    expect("a = x \x01", "control character 0x01");
    expect("é = x ^ 2", "features:1:7:"); // characters, not bytes
    expect("a = \xff", "is not UTF-8");
    expect("", "the program defines no feature");
    expect("_a = x", "the program defines no feature");
}

static void test_types(void)
{
    expect("a = x + s", "features:1:7: '+' between a number and a text has no meaning");
    expect("a = s + u", "use concat(a, b)");
    expect("a = s > x", "'>' between a text and a number has no meaning");
    expect("a = t * 2", "'*' between a timestamp and a number has no meaning");
    expect("a = log(s)", "features:1:9: log takes a number, and this is a text");
    expect("a = if(x, 1, 2)", "if takes a truth value, and this is a number; compare it with");
    expect("a = x and b", "and takes a truth value, and this is a number");
    expect("a = if(b, 1, s)", "if takes values of one type, not a number and a text");
    expect("carrier = s", "features:1:1: 'carrier' is a text, and a feature is a number or a "
                          "category; wrap it in category(...)");
    expect("a = t", "'a' is a timestamp, and a feature is a number or a category; take a part");
    expect("a = hour(d)", "hour takes a timestamp; a date has no time of day");
    expect("a = hour(x)", "hour takes a date or timestamp, and this is a number");
    expect("a = year(d, \"UTC\")", "a date has no time of day, so no zone either");
    expect("a = d > \"soon\"", "\"soon\" is no date or timestamp; write YYYY-MM-DD");
    expect("a = category(s) + 1", "'+' between a category and a number has no meaning");
    expect("a = impute(s, median)", "a text has no median or mean");
    expect("a = lag(s, 1, s, t)", "lag takes numbers, dates or timestamps as its value");
    expect("a = category(category(s))", "category takes a text, and this is a category");
}

static void test_arguments(void)
{
    expect("a = impute(x)", "impute needs 'strategy': impute(x, strategy, value)");
    expect("a = impute(x, medain)", "features:1:15: 'strategy' of impute is one of median, mean, "
                                    "most_frequent, constant; did you mean 'median'?");
    expect("a = impute(x, constant)", "impute(x, constant, value) needs the value");
    expect("a = impute(x, mean, 3)", "impute takes 'value' with constant alone");
    expect("a = impute(x, constant, \"a\")", "'value' of impute is a number, written out");
    expect("a = category(s, mincount = 5)", "features:1:28: category has no argument 'mincount'; "
                                            "did you mean 'min_count'?");
    expect("a = category(s, min_count = x)", "'min_count' of category is a whole number from 1");
    expect("a = category(s, 5, min_count = 5)", "'min_count' is given twice");
    expect("a = category(x = s, 5)", "an argument without a name follows one with a name");
    expect("a = abs(x, n)", "abs takes at most 1 argument: abs(x)");
    expect("a = bin(x, 1)", "'n' of bin is a whole number from 2 to 65535");
    expect("a = hash(s, 0)", "'n' of hash is a whole number from 1");
    expect("a = clip(x, 5, 1)", "the lower bound of clip lies above the upper one");
    expect("a = target_mean(s, smoothing = -1)", "'smoothing' of target_mean is a number from 0");
    expect("a = lag(x, 1)", "lag needs 'group': lag(x, n, group, order)");
    expect("a = hour(t, x)", "'zone' is a time zone's name in quotes");
}

// A program of `count` pieces of `piece` between `head` and `tail`.
static char *repeat(const char *head, const char *piece, size_t count, const char *tail)
{
    const size_t size = strlen(head) + count * strlen(piece) + strlen(tail);
    char *text = tp_alloc_zero(tp_allocator_default(), size + 1);
    size_t at = strlen(head);
    memcpy(text, head, at);
    for (size_t i = 0; i < count; i++, at += strlen(piece)) {
        memcpy(text + at, piece, strlen(piece));
    }
    memcpy(text + at, tail, strlen(tail));
    return text;
}

static void expect_repeated(const char *head, const char *piece, size_t count, const char *tail,
                            const char *part)
{
    char *text = repeat(head, piece, count, tail);
    expect(text, part);
    tp_free(tp_allocator_default(), text, strlen(text) + 1);
}

static void test_limits(void)
{
    expect_repeated("a = ", "(", 5000, "", "nested more than 100 deep");
    expect_repeated("a = ", "-", 5000, "x", "nested more than 100 deep");
    expect_repeated("a = ", "not ", 5000, "b", "nested more than 100 deep");
    expect_repeated("a = x", " + x", 5000, "", "the expression is more than 1000 operations deep");
    expect_repeated("a = min(x", ", x", 5000, ")", "more than 64 arguments");
    const tp_env env = tp_env_plain();
    tp_feature_program *program = NULL;
    char *text = repeat("a = x #", "x", TP_MAX_FEATURE_TEXT_BYTES, "");
    ASSERT_FAILS(tp_feature_parse(&env, tp_str_from(text), &case_schema, &program, &test_err),
                 TAPEOUT_E_LIMIT, "exceeds the limit");
    tp_free(tp_allocator_default(), text, strlen(text) + 1);
}

static void test_chains_are_bounded(void)
{
    const tp_env env = tp_env_plain();
    tp_buffer text;
    tp_buffer_init(&text, env.alloc, 1u << 20);
    tp_buffer_append_text(&text, "f0 = x\n");
    for (int i = 1; i < 8000; i++) { // each feature needs all before it: n² steps
        tp_buffer_printf(&text, "f%d = f%d + %d\n", i, i - 1, i);
    }
    tp_feature_program *program = NULL;
    ASSERT_FAILS(tp_feature_parse(&env, tp_buffer_view(&text), &case_schema, &program, &test_err),
                 TAPEOUT_E_INVALID, "build on each other so much");
    tp_buffer_deinit(&text);
}

TEST_MAIN(TEST(test_form), TEST(test_column_before_feature), TEST(test_outputs_know_their_columns),
          TEST(test_names), TEST(test_syntax), TEST(test_types), TEST(test_arguments),
          TEST(test_limits), TEST(test_chains_are_bounded))
