// SPDX-License-Identifier: Apache-2.0
//
// target_mean: the smoothed mean that a record gets, and that a training row's value has not seen
// its own target: turning one target over changes the value of every other row of the level but
// none in its own fold.
#include "feature_cases.h"

#include "base/tp_alloc.h"
#include "feature/feature_fit.h"

#include <math.h>

enum { ROWS = 400 };

static char lines_text[ROWS][64];
static const char *lines[ROWS];
static double target[ROWS];

static void make_rows(void)
{
    for (int i = 0; i < ROWS; i++) {
        (void)snprintf(lines_text[i], sizeof(lines_text[i]), "%d,%d,true,L%d", i, i, i % 3);
        lines[i] = lines_text[i];
        target[i] = i % 5 < 2 ? 1 : 0;
    }
}

static void test_serving_mean(void)
{
    static const char *const train[] = {"1,1,true,A", "2,1,true,A", "3,1,true,A", "4,1,true,B",
                                        "5,1,true,"};
    static const char *const others[] = {"1,1,true,A", "1,1,true,B", "1,1,true,C", "1,1,true,"};
    static const double y[] = {1, 0, 1, 0, 1};
    feature_case c = {.row_count = 0};
    case_rows(&c, train, 5);
    case_fit(&c, "m = target_mean(s, smoothing = 2)\nplain = target_mean(s, smoothing = 0)", y);
    case_rows(&c, others, 4);
    case_run(&c, TP_FEATURE_SERVE, 1024);
    ASSERT_EQ_F64(case_value(&c, "m", 0), (2 + 2 * 0.6) / (3 + 2.0));
    ASSERT_EQ_F64(case_value(&c, "m", 1), (0 + 2 * 0.6) / (1 + 2.0));
    ASSERT_EQ_F64(case_value(&c, "m", 2), 0.6); // unseen: the mean of all
    ASSERT_EQ_F64(case_value(&c, "m", 3), (double)NAN);
    ASSERT_EQ_F64(case_value(&c, "plain", 0), 2.0 / 3.0);
    ASSERT_EQ_UINT(case_counts(&c, "m").unseen, 1);
    case_free(&c);
}

static void train_values(const double *y, double *ret_values)
{
    feature_case c = {.row_count = 0};
    case_rows(&c, lines, ROWS);
    case_fit(&c, "m = target_mean(s, smoothing = 5)", y);
    case_run(&c, TP_FEATURE_TRAIN, 64);
    for (uint64_t i = 0; i < ROWS; i++) {
        ret_values[i] = case_value(&c, "m", i);
    }
    case_free(&c);
}

static void test_out_of_fold(void)
{
    double before[ROWS];
    double after[ROWS];
    make_rows();
    train_values(target, before);
    for (int turned = 0; turned < 20; turned++) {
        target[turned] = 1 - target[turned];
        train_values(target, after);
        target[turned] = 1 - target[turned];
        const uint32_t fold = tp_feature_fold(7, (uint64_t)turned);
        int changed = 0;
        for (int i = 0; i < ROWS; i++) {
            if (tp_feature_fold(7, (uint64_t)i) == fold) {
                ASSERT_EQ_F64(after[i], before[i]); // to the last bit, the row itself among them
            }
            ASSERT(isfinite(before[i]) && isfinite(after[i]));
            changed += after[i] != before[i];
        }
        ASSERT(changed > ROWS / 2);
    }
}

// By hand: each row's value from the other folds alone.
static void test_training_values(void)
{
    double got[ROWS];
    make_rows();
    train_values(target, got);
    for (int i = 0; i < ROWS; i++) {
        const uint32_t fold = tp_feature_fold(7, (uint64_t)i);
        double sums[2] = {0, 0}; // of all levels, of the row's
        double counts[2] = {0, 0};
        for (int k = 0; k < ROWS; k++) {
            if (tp_feature_fold(7, (uint64_t)k) != fold) {
                sums[0] += target[k];
                counts[0]++;
                sums[1] += k % 3 == i % 3 ? target[k] : 0;
                counts[1] += k % 3 == i % 3 ? 1 : 0;
            }
        }
        ASSERT_EQ_F64(got[i], (sums[1] + 5 * (sums[0] / counts[0])) / (counts[1] + 5));
    }
}

static void test_folds_are_even(void)
{
    uint32_t counts[TP_FEATURE_FOLDS] = {0};
    for (uint64_t i = 0; i < 100000; i++) {
        counts[tp_feature_fold(3, i)]++;
    }
    for (int i = 0; i < TP_FEATURE_FOLDS; i++) {
        ASSERT(counts[i] > 19500 && counts[i] < 20500);
    }
}

static void test_weights(void)
{
    static const char *const train[] = {"1,1,true,A", "2,1,true,A"};
    static const double y[] = {1, 0};
    static const double weight[] = {3, 1};
    feature_case c = {.row_count = 0};
    case_rows(&c, train, 2);
    ASSERT_OK(tp_feature_parse(&c.env, TP_STR("m = target_mean(s, 0)"), &case_schema, &c.program,
                               &test_err));
    const tp_feature_fit_data data = {
        .table = c.table, .rows = {NULL, 2}, .target = y, .weight = weight};
    ASSERT_OK(tp_feature_fit(&c.env, c.program, &data, &test_err));
    case_run(&c, TP_FEATURE_SERVE, 1024);
    ASSERT_EQ_F64(case_value(&c, "m", 0), 0.75);
    case_free(&c);
}

static void test_needs_a_target(void)
{
    static const char *const train[] = {"1,1,true,A"};
    feature_case c = {.row_count = 0};
    case_rows(&c, train, 1);
    ASSERT_OK(tp_feature_parse(&c.env, TP_STR("m = target_mean(s)"), &case_schema, &c.program,
                               &test_err));
    const tp_feature_fit_data data = {.table = c.table, .rows = {NULL, 1}};
    ASSERT_FAILS(tp_feature_fit(&c.env, c.program, &data, &test_err), TAPEOUT_E_INVALID,
                 "features:1:5: target_mean needs a target");
    static const double y[] = {1};
    const tp_feature_fit_data with = {.table = c.table, .rows = {NULL, 1}, .target = y};
    ASSERT_OK(tp_feature_fit(&c.env, c.program, &with, &test_err));
    case_run(&c, TP_FEATURE_TRAIN, 1024);
    ASSERT_EQ_F64(case_value(&c, "m", 0), (double)NAN); // nothing known but its own target
    case_free(&c);
}

TEST_MAIN(TEST(test_serving_mean), TEST(test_out_of_fold), TEST(test_training_values),
          TEST(test_folds_are_even), TEST(test_weights), TEST(test_needs_a_target))
