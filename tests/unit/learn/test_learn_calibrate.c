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
                                     ROWS};
static const tp_held_out plain = {calibration_margin, calibration_target, NULL, ROWS};

static void test_platt_equals_scikit_learn(void)
{
    const tp_env env = tp_env_plain();
    tp_calibration got;
    ASSERT_OK(tp_calibration_fit(&env, TP_CALIBRATION_PLATT, &weighted, &got, &test_err));
    // The minimum is flat: scikit-learn stops at a gradient of 1e-5 or so.
    ASSERT(fabs(got.platt_a - calibration_platt[0]) < 1e-4);
    ASSERT(fabs(got.platt_b - calibration_platt[1]) < 1e-4);
    ASSERT_EQ_F64(tp_calibration_apply(&got, 0.5), tp_logistic(got.platt_a * 0.5 + got.platt_b));
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
        const double gap = tp_calibration_apply(&got, calibration_margin[r]) - aim;
        sums[0] += gap;
        sums[1] += gap * calibration_margin[r];
    }
    ASSERT(fabs(sums[0]) < 1e-7 && fabs(sums[1]) < 1e-7);
}

static void test_isotonic_equals_scikit_learn(void)
{
    const tp_env env = tp_env_plain();
    tp_calibration got;
    ASSERT_OK(tp_calibration_fit(&env, TP_CALIBRATION_ISOTONIC, &weighted, &got, &test_err));
    for (uint32_t r = 0; r < ROWS; r++) {
        const double value = tp_calibration_apply(&got, calibration_margin[r]);
        ASSERT(fabs(value - calibration_isotonic[r]) < 1e-12);
    }
    for (uint32_t i = 1; i < got.point_count; i++) {
        ASSERT(got.points[i] > got.points[i - 1] && got.values[i] > got.values[i - 1]);
    }
    ASSERT_EQ_F64(tp_calibration_apply(&got, -1e300), got.values[0]);
    ASSERT_EQ_F64(tp_calibration_apply(&got, 1e300), got.values[got.point_count - 1]);
    tp_calibration_deinit(env.alloc, &got);
}

// A step between -1 and 3 lies at 1, and 1 itself is above it.
static void test_isotonic_steps_lie_between(void)
{
    const tp_env env = tp_env_plain();
    const double margin[] = {3.0, -1.0, -2.0, 4.0};
    const double target[] = {1.0, 0.0, 0.0, 1.0};
    const tp_held_out rows = {margin, target, NULL, 4};
    tp_calibration got;
    ASSERT_OK(tp_calibration_fit(&env, TP_CALIBRATION_ISOTONIC, &rows, &got, &test_err));
    ASSERT_EQ_UINT(got.point_count, 2);
    ASSERT_EQ_F64(tp_calibration_apply(&got, nextafter(1.0, 0.0)), 0.0);
    ASSERT_EQ_F64(tp_calibration_apply(&got, 1.0), 1.0);
    tp_calibration_deinit(env.alloc, &got);
}

static void test_one_class_is_refused(void)
{
    const tp_env env = tp_env_plain();
    const double margin[] = {1.0, 2.0};
    const double target[] = {1.0, 1.0};
    const tp_held_out rows = {margin, target, NULL, 2};
    tp_calibration got;
    ASSERT_FAILS(tp_calibration_fit(&env, TP_CALIBRATION_PLATT, &rows, &got, &test_err),
                 TAPEOUT_E_DATA, "one class alone");
    ASSERT_FAILS(tp_calibration_fit(&env, 7, &rows, &got, &test_err), TAPEOUT_E_INVALID,
                 "method 7");
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
          TEST(test_one_class_is_refused), TEST(test_out_of_memory_leaves_nothing))
