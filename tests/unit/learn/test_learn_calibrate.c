// SPDX-License-Identifier: Apache-2.0
//
// Calibration against scikit-learn's, and what both methods promise.
#include "learn/tp_metrics.h"

#include "base/tp_alloc.h"
#include "kernels/tp_math.h"
#include "learn/learn_priv.h"
#include "metric_tables.h"
#include "test.h"

#include <math.h>

enum { ROWS = sizeof(calibration_margin) / sizeof(calibration_margin[0]) };

static const tp_held_out weighted = {calibration_margin, calibration_target, calibration_weight,
                                     ROWS, 1};
static const tp_held_out plain = {calibration_margin, calibration_target, NULL, ROWS, 1};

static void test_platt_equals_scikit_learn(void)
{
    const tp_env env = tp_env_plain();
    tp_calibration got;
    ASSERT_OK(tp_calibration_fit(&env, TP_CALIBRATION_PLATT, &weighted, &got, &test_err));
    // The minimum is flat: scikit-learn stops at a gradient of 1e-5 or so.
    ASSERT(fabs(got.curves[0].platt_a - calibration_platt[0]) < 1e-4);
    ASSERT(fabs(got.curves[0].platt_b - calibration_platt[1]) < 1e-4);
    ASSERT_EQ_F64(tp_calibration_apply(&got, 0, 0.5),
                  tp_logistic(got.curves[0].platt_a * 0.5 + got.curves[0].platt_b));
    tp_calibration_deinit(env.alloc, &got);
}

// At the minimum of the cross entropy the mean probability is the mean of Platt's targets.
static void test_platt_meets_its_condition(void)
{
    const tp_env env = tp_env_plain();
    tp_calibration got;
    ASSERT_OK(tp_calibration_fit(&env, TP_CALIBRATION_PLATT, &plain, &got, &test_err));
    double positive = 0.0;
    for (uint32_t r = 0; r < ROWS; r++) {
        positive += calibration_target[r];
    }
    const double high = (positive + 1.0) / (positive + 2.0);
    const double low = 1.0 / (ROWS - positive + 2.0);
    double sums[2] = {0.0, 0.0};
    for (uint32_t r = 0; r < ROWS; r++) {
        const double aim = calibration_target[r] != 0.0 ? high : low;
        const double gap = tp_calibration_apply(&got, 0, calibration_margin[r]) - aim;
        sums[0] += gap;
        sums[1] += gap * calibration_margin[r];
    }
    ASSERT(fabs(sums[0]) < 1e-7 && fabs(sums[1]) < 1e-7);
    tp_calibration_deinit(env.alloc, &got);
}

static void test_isotonic_equals_scikit_learn(void)
{
    const tp_env env = tp_env_plain();
    tp_calibration got;
    ASSERT_OK(tp_calibration_fit(&env, TP_CALIBRATION_ISOTONIC, &weighted, &got, &test_err));
    for (uint32_t r = 0; r < ROWS; r++) {
        const double value = tp_calibration_apply(&got, 0, calibration_margin[r]);
        ASSERT(fabs(value - calibration_isotonic[r]) < 1e-12);
    }
    for (uint32_t i = 1; i < got.curves[0].point_count; i++) {
        ASSERT(got.curves[0].points[i] > got.curves[0].points[i - 1] &&
               got.curves[0].values[i] > got.curves[0].values[i - 1]);
    }
    ASSERT_EQ_F64(tp_calibration_apply(&got, 0, -1e300), got.curves[0].values[0]);
    ASSERT_EQ_F64(tp_calibration_apply(&got, 0, 1e300),
                  got.curves[0].values[got.curves[0].point_count - 1]);
    tp_calibration_deinit(env.alloc, &got);
}

// A step between -1 and 3 lies at 1, and 1 itself is above it.
static void test_isotonic_steps_lie_between(void)
{
    const tp_env env = tp_env_plain();
    const double margin[] = {3.0, -1.0, -2.0, 4.0};
    const double target[] = {1.0, 0.0, 0.0, 1.0};
    const tp_held_out rows = {margin, target, NULL, 4, 1};
    tp_calibration got;
    ASSERT_OK(tp_calibration_fit(&env, TP_CALIBRATION_ISOTONIC, &rows, &got, &test_err));
    ASSERT_EQ_UINT(got.curves[0].point_count, 2);
    ASSERT_EQ_F64(tp_calibration_apply(&got, 0, nextafter(1.0, 0.0)), 0.0);
    ASSERT_EQ_F64(tp_calibration_apply(&got, 0, 1.0), 1.0);
    tp_calibration_deinit(env.alloc, &got);
}

static void test_one_class_is_refused(void)
{
    const tp_env env = tp_env_plain();
    const double margin[] = {1.0, 2.0};
    const double target[] = {1.0, 1.0};
    const tp_held_out rows = {margin, target, NULL, 2, 1};
    tp_calibration got;
    ASSERT_FAILS(tp_calibration_fit(&env, TP_CALIBRATION_PLATT, &rows, &got, &test_err),
                 TAPEOUT_E_DATA, "one class alone");
    ASSERT_FAILS(tp_calibration_fit(&env, 7, &rows, &got, &test_err), TAPEOUT_E_INVALID,
                 "method 7");
}

// Three classes on their log-odds: each curve is the one that a binary fit of its class against the
// others gives, and what they say is divided by its sum.
static void test_classes_one_against_the_others(void)
{
    enum { CLASSES = 3, COUNT = 240 };
    static double margin[CLASSES * COUNT];
    static double target[COUNT];
    for (uint32_t r = 0; r < COUNT; r++) {
        target[r] = (double)(r * 7 % 5 % CLASSES);
        for (uint32_t k = 0; k < CLASSES; k++) {
            margin[k * COUNT + r] =
                (double)((r * 13 + k * 5) % 17) / 4.0 - 2.0 + (target[r] == k ? 1.0 : 0.0);
        }
    }
    const tp_env env = tp_env_plain();
    const tp_held_out rows = {margin, target, NULL, COUNT, CLASSES};
    for (uint32_t method = TP_CALIBRATION_PLATT; method <= TP_CALIBRATION_ISOTONIC; method++) {
        tp_calibration got;
        ASSERT_OK(tp_calibration_fit(&env, method, &rows, &got, &test_err));
        ASSERT_EQ_UINT(got.curve_count, CLASSES);
        double probability[CLASSES] = {0.2, 0.7, 0.1};
        double want[CLASSES];
        double sum = 0.0;
        for (uint32_t k = 0; k < CLASSES; k++) {
            double is_class[COUNT];
            for (uint32_t r = 0; r < COUNT; r++) {
                is_class[r] = target[r] == k ? 1.0 : 0.0;
            }
            const tp_held_out alone = {margin + (size_t)k * COUNT, is_class, NULL, COUNT, 1};
            tp_calibration one;
            ASSERT_OK(tp_calibration_fit(&env, method, &alone, &one, &test_err));
            const double odds = log(probability[k] / (1.0 - probability[k]));
            want[k] = tp_calibration_apply(&one, 0, odds);
            ASSERT(fabs(tp_calibration_apply(&got, k, odds) - want[k]) < 1e-12);
            sum += want[k];
            tp_calibration_deinit(env.alloc, &one);
        }
        double total;
        tp_calibration_apply_classes(&got, 1, &total, probability);
        for (uint32_t k = 0; k < CLASSES; k++) {
            ASSERT(fabs(probability[k] - want[k] / sum) < 1e-12);
        }
        tp_calibration_deinit(env.alloc, &got);
    }
}

static void test_classes_that_none_believes_in(void)
{
    double never[] = {0.0};
    double from[] = {0.0};
    tp_calibration_curve curves[2] = {{.point_count = 1, .points = from, .values = never},
                                      {.point_count = 1, .points = from, .values = never}};
    const tp_calibration calibration = {TP_CALIBRATION_ISOTONIC, 2, curves};
    double probability[2] = {0.9, 0.1};
    double total;
    tp_calibration_apply_classes(&calibration, 1, &total, probability);
    ASSERT_EQ_F64(probability[0], 0.5);
    ASSERT_EQ_F64(probability[1], 0.5);
}

static void test_a_class_that_is_not_held_out(void)
{
    const tp_env env = tp_env_plain();
    const double margin[] = {1.0, 2.0, 0.0, 1.0, 0.5, 0.5};
    const double target[] = {0.0, 1.0};
    const tp_held_out rows = {margin, target, NULL, 2, 3};
    tp_calibration got;
    ASSERT_FAILS(tp_calibration_fit(&env, TP_CALIBRATION_PLATT, &rows, &got, &test_err),
                 TAPEOUT_E_DATA, "no row of some class");
    ASSERT(got.curves == NULL);
    ASSERT(fabs(tp_calibration_log_odds(1.0) - 36.04365338911715) < 1e-9);
    ASSERT(fabs(tp_calibration_log_odds(0.0) + 36.04365338911715) < 1e-9);
}

static tapeout_status scenario(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    (void)user;
    tp_env env = tp_env_plain();
    env.alloc = alloc;
    tp_calibration got = {0};
    const tapeout_status status =
        tp_calibration_fit(&env, TP_CALIBRATION_ISOTONIC, &plain, &got, err);
    tp_calibration_deinit(alloc, &got);
    return status;
}

static void test_out_of_memory_leaves_nothing(void)
{
    test_out_of_memory(scenario, NULL);
}

TEST_MAIN(TEST(test_platt_equals_scikit_learn), TEST(test_platt_meets_its_condition),
          TEST(test_isotonic_equals_scikit_learn), TEST(test_isotonic_steps_lie_between),
          TEST(test_one_class_is_refused), TEST(test_classes_one_against_the_others),
          TEST(test_classes_that_none_believes_in), TEST(test_a_class_that_is_not_held_out),
          TEST(test_out_of_memory_leaves_nothing))
