// SPDX-License-Identifier: Apache-2.0
//
// Linear models of another program: sums of float32 in runs, each product fused, or step by step,
// and their bytes.
#include "learn/linear/tp_linear.h"

#include "base/tp_alloc.h"
#include "test.h"

#include <math.h>

enum { FEATURES = 5 };

// Numbers whose products and sums are all rounded.
static const double coefficients[2 * FEATURES] = {(double)0.1f,
                                                  (double)0.7f,
                                                  (double)-0.3f,
                                                  (double)2.3f,
                                                  (double)3.3f,
                                                  (double)-0.1f,
                                                  (double)-0.7f,
                                                  (double)0.3f,
                                                  1,
                                                  2};
static const double intercepts[2] = {(double)0.2f, -1};
static const double row[FEATURES] = {(double)0.3f, (double)-0.9f, (double)7.7f, (double)0.6f,
                                     (double)-1.1f};

static tp_linear *new_linear(uint32_t run)
{
    const tp_env env = tp_env_plain();
    const tp_linear_foreign from = {2, FEATURES, run, coefficients, intercepts};
    tp_linear *linear = NULL;
    ASSERT_OK(tp_linear_from(env.alloc, &from, &linear, &test_err));
    return linear;
}

static double margin_of(const tp_linear *linear, uint32_t output, const double *values)
{
    const double *columns[FEATURES];
    double margins[2];
    for (uint32_t f = 0; f < FEATURES; f++) {
        columns[f] = &values[f];
    }
    tp_linear_margins(linear, columns, 1, margins);
    return margins[output];
}

static void test_products_are_fused_and_runs_added(void)
{
    float w[FEATURES];
    float x[FEATURES];
    for (uint32_t f = 0; f < FEATURES; f++) {
        w[f] = (float)coefficients[f];
        x[f] = (float)row[f];
    }
    const float first = fmaf(x[1], w[1], x[0] * w[0]);
    const float second = fmaf(x[3], w[3], x[2] * w[2]);
    const float runs = x[4] * w[4] + (second + (first + 0.2f));
    const float whole = fmaf(x[4], w[4], fmaf(x[3], w[3], fmaf(x[2], w[2], first))) + 0.2f;
    float plain = 0.0f; // rounded after each product
    for (uint32_t f = 0; f < FEATURES; f++) {
        plain = x[f] * w[f] + plain;
    }
    ASSERT(plain + 0.2f != whole);
    tp_linear *linear = new_linear(2);
    ASSERT_EQ_F64(margin_of(linear, 0, row), (double)runs);
    tp_linear_free(linear);
    linear = new_linear(1024);
    ASSERT_EQ_F64(margin_of(linear, 0, row), (double)whole);
    ASSERT(margin_of(linear, 1, row) > 0.3);
    double missing[FEATURES] = {1, (double)NAN, 1, 1, 1};
    ASSERT(isnan(margin_of(linear, 0, missing)));
    tp_linear_free(linear);
}

static void test_steps_are_rounded_and_skip_what_is_missing(void)
{
    float steps = 0.2f;
    float present = 0.2f;
    for (uint32_t f = 0; f < FEATURES; f++) {
        steps += (float)row[f] * (float)coefficients[f];
        present += f == 1 ? 0.0f : (float)row[f] * (float)coefficients[f];
    }
    const double missing[FEATURES] = {row[0], (double)NAN, row[2], row[3], row[4]};
    tp_linear *linear = new_linear(0);
    tp_linear *fused = new_linear(1024);
    ASSERT_EQ_F64(margin_of(linear, 0, row), (double)steps);
    ASSERT(margin_of(fused, 0, row) != (double)steps);
    ASSERT_EQ_F64(margin_of(linear, 0, missing), (double)present);
    tp_linear_free(linear);
    tp_linear_free(fused);
}

static void there_and_back(uint32_t run, bool has_run)
{
    const tp_env env = tp_env_plain();
    const tp_learn_feature features[FEATURES] = {{.is_category = false}};
    tp_linear *linear = new_linear(run);
    tp_linear *again = NULL;
    tp_buffer bytes;
    tp_buffer_init(&bytes, env.alloc, 1 << 20);
    tp_linear_write(linear, &bytes);
    ASSERT_OK(tp_linear_read(&env, tp_buffer_view(&bytes), features, FEATURES, &again, &test_err));
    ASSERT_EQ_F64(margin_of(again, 0, row), margin_of(linear, 0, row));
    tp_linear_free(again);
    for (size_t size = 0; size < bytes.size; size++) {
        ASSERT(tp_linear_read(&env, (tp_str){bytes.data, size}, features, FEATURES, &again,
                              &test_err) == TAPEOUT_E_CORRUPT);
    }
    char *const scale = bytes.data + (has_run ? 20 : 16) + 16; // of the first feature
    scale[7] ^= 0x10;
    ASSERT_FAILS(
        tp_linear_read(&env, tp_buffer_view(&bytes), features, FEATURES, &again, &test_err),
        TAPEOUT_E_CORRUPT, "feature 0 before byte");
    scale[7] ^= 0x10;
    bytes.data[has_run ? 16 : 0] = 0; // the run, or a letter of the magic
    ASSERT_FAILS(
        tp_linear_read(&env, tp_buffer_view(&bytes), features, FEATURES, &again, &test_err),
        TAPEOUT_E_CORRUPT, "linear");
    tp_buffer_deinit(&bytes);
    tp_linear_free(linear);
}

static void test_there_and_back(void)
{
    there_and_back(2, true);
    there_and_back(0, false);
}

static void test_limits(void)
{
    const tp_env env = tp_env_plain();
    const tp_linear_foreign from = {2, 5000, 16, coefficients, intercepts};
    tp_linear *linear = NULL;
    ASSERT_FAILS(tp_linear_from(env.alloc, &from, &linear, &test_err), TAPEOUT_E_LIMIT,
                 "coefficients");
}

TEST_MAIN(TEST(test_products_are_fused_and_runs_added),
          TEST(test_steps_are_rounded_and_skip_what_is_missing), TEST(test_there_and_back),
          TEST(test_limits))
