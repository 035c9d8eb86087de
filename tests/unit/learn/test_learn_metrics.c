// SPDX-License-Identifier: Apache-2.0
//
// Metrics against scikit-learn's figures, against their definitions on tiny cases, and against
// themselves with other numbers of threads.
#include "learn/tp_metrics.h"

#include "base/tp_pool.h"
#include "base/tp_random.h"
#include "learn/metrics_priv.h"
#include "metric_tables.h"
#include "test.h"

#include <math.h>
#include <string.h>

static bool is_near(double got, double want)
{
    if (isnan(got) || isnan(want)) {
        return isnan(got) && isnan(want);
    }
    return fabs(got - want) <= 1e-12 * (1.0 + fabs(want));
}

static void test_equals_scikit_learn(void)
{
    const tp_env env = tp_env_plain();
    for (size_t i = 0; i < sizeof(metric_cases) / sizeof(metric_cases[0]); i++) {
        tp_metric_values got;
        ASSERT_OK(tp_metrics_compute(&env, &metric_cases[i].data, 0, 0, &got, &test_err));
        for (uint32_t m = 0; m < TP_METRIC_COUNT; m++) {
            if (!is_near(got.value[m], metric_cases[i].want[m])) {
                test_fail(__FILE__, __LINE__, "case %zu, %s: got %.17g, want %.17g", i,
                          tp_metric_word((tp_metric)m), got.value[m], metric_cases[i].want[m]);
            }
            ASSERT(isnan(got.low[m]) && isnan(got.high[m]));
        }
    }
}

// Every pair of a positive and a negative, the definition of the area.
static double auc_by_pairs(const tp_metric_data *data)
{
    double won = 0.0;
    double pairs = 0.0;
    for (uint64_t i = 0; i < data->row_count; i++) {
        for (uint64_t j = 0; j < data->row_count; j++) {
            if (data->target[i] == 1.0 && data->target[j] == 0.0) {
                const double a = data->probability[i];
                const double b = data->probability[j];
                pairs += 1.0;
                won += a > b ? 1.0 : a == b ? 0.5 : 0.0;
            }
        }
    }
    return won / pairs;
}

static void test_auc_is_exact_on_ties(void)
{
    const tp_env env = tp_env_plain();
    tp_metric_values got;
    ASSERT_OK(tp_metrics_compute(&env, &metric_cases[0].data, 0, 0, &got, &test_err));
    ASSERT_EQ_F64(got.value[TP_METRIC_AUC], auc_by_pairs(&metric_cases[0].data));
}

static void test_undefined_is_nan(void)
{
    const tp_env env = tp_env_plain();
    const double target[] = {1.0, 1.0};
    const double score[] = {0.5, 0.75};
    const double choice[] = {1.0, 1.0};
    tp_metric_data data = {.task = TP_TASK_BINARY,
                           .objective = TP_OBJECTIVE_BINARY,
                           .class_count = 2,
                           .row_count = 2,
                           .target = target,
                           .probability = score,
                           .prediction = choice};
    tp_metric_values got;
    ASSERT_OK(tp_metrics_compute(&env, &data, 20, 1, &got, &test_err));
    ASSERT(isnan(got.value[TP_METRIC_AUC]) && isnan(got.low[TP_METRIC_AUC]));
    ASSERT(isnan(got.value[TP_METRIC_RMSE]));
    ASSERT_EQ_F64(got.value[TP_METRIC_ACCURACY], 1.0);
    ASSERT_EQ_F64(got.low[TP_METRIC_ACCURACY], 1.0);
    data.row_count = 0;
    ASSERT_OK(tp_metrics_compute(&env, &data, 20, 1, &got, &test_err));
    for (uint32_t m = 0; m < TP_METRIC_COUNT; m++) {
        ASSERT(isnan(got.value[m]) && isnan(got.low[m]) && isnan(got.high[m]));
    }
}

// A precision without a forecast and a recall without a case are 0, as in scikit-learn; a class
// that does not occur at all has no part in a mean over classes.
static void test_nothing_over_nothing(void)
{
    const tp_env env = tp_env_plain();
    const double zeros[] = {0.0, 0.0, 0.0};
    const double ones[] = {0.0, 1.0, 1.0};
    const double score[] = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.5, 0.3, 0.1};
    tp_metric_data data = {.task = TP_TASK_BINARY,
                           .class_count = 2,
                           .row_count = 3,
                           .target = ones,
                           .probability = score,
                           .prediction = zeros};
    tp_metric_values got;
    ASSERT_OK(tp_metrics_compute(&env, &data, 0, 0, &got, &test_err));
    ASSERT_EQ_F64(got.value[TP_METRIC_PRECISION], 0.0);
    ASSERT_EQ_F64(got.value[TP_METRIC_RECALL], 0.0);
    ASSERT_EQ_F64(got.value[TP_METRIC_F1], 0.0);
    data.target = zeros;
    data.prediction = ones;
    ASSERT_OK(tp_metrics_compute(&env, &data, 0, 0, &got, &test_err));
    ASSERT_EQ_F64(got.value[TP_METRIC_RECALL], 0.0);
    data.task = TP_TASK_MULTICLASS;
    data.class_count = 3;
    data.target = ones;
    ASSERT_OK(tp_metrics_compute(&env, &data, 0, 0, &got, &test_err));
    ASSERT_EQ_F64(got.value[TP_METRIC_F1], 1.0);
}

static void test_targets_must_be_classes(void)
{
    const tp_env env = tp_env_plain();
    const double target[] = {0.0, 2.0};
    const double score[] = {0.5, 0.75};
    const double choice[] = {0.0, 1.0};
    tp_metric_data data = {.task = TP_TASK_BINARY,
                           .class_count = 2,
                           .row_count = 2,
                           .target = target,
                           .probability = score,
                           .prediction = choice};
    tp_metric_values got;
    ASSERT_FAILS(tp_metrics_compute(&env, &data, 0, 0, &got, &test_err), TAPEOUT_E_INVALID,
                 "row 1");
    data.target = choice;
    data.prediction = target;
    ASSERT_FAILS(tp_metrics_compute(&env, &data, 0, 0, &got, &test_err), TAPEOUT_E_INVALID,
                 "prediction");
}

static void test_same_intervals_for_any_threads(void)
{
    const size_t cases = sizeof(metric_cases) / sizeof(metric_cases[0]);
    for (size_t i = 0; i < cases; i++) {
        tp_metric_values first;
        for (uint32_t threads = 1; threads <= 7; threads += 3) {
            tp_env env = tp_env_plain();
            ASSERT_OK(tp_pool_new(env.alloc, threads, &env.pool, &test_err));
            tp_metric_values got;
            ASSERT_OK(tp_metrics_compute(&env, &metric_cases[i].data, 50, 7, &got, &test_err));
            if (threads == 1) {
                first = got;
            }
            ASSERT_EQ_BYTES(&got, sizeof(got), &first, sizeof(first));
            tp_pool_free(env.pool);
        }
    }
}

static void test_intervals_hold_the_value(void)
{
    const tp_env env = tp_env_plain();
    tp_metric_values got;
    tp_metric_values other;
    ASSERT_OK(tp_metrics_compute(&env, &metric_cases[0].data, 200, 1, &got, &test_err));
    ASSERT_OK(tp_metrics_compute(&env, &metric_cases[0].data, 200, 2, &other, &test_err));
    ASSERT(got.low[TP_METRIC_AUC] < got.value[TP_METRIC_AUC]);
    ASSERT(got.value[TP_METRIC_AUC] < got.high[TP_METRIC_AUC]);
    ASSERT(got.low[TP_METRIC_AUC] != other.low[TP_METRIC_AUC]);
    // The mean of R draws has about the deviation of a draw over sqrt(R); four of them is 95 %.
    const double accuracy = got.value[TP_METRIC_ACCURACY];
    const double deviation =
        sqrt(accuracy * (1.0 - accuracy) / (double)metric_cases[0].data.row_count);
    const double width = got.high[TP_METRIC_ACCURACY] - got.low[TP_METRIC_ACCURACY];
    ASSERT(width > 3.0 * deviation && width < 5.0 * deviation);
}

static void test_weight_is_repetition(void)
{
    const tp_env env = tp_env_plain();
    const tp_metric_data *data = &metric_cases[5].data; // integer weights
    double target[300];
    double prediction[300];
    uint64_t count = 0;
    for (uint64_t r = 0; r < data->row_count; r++) {
        for (uint32_t i = 0; i < (uint32_t)data->weight[r]; i++) {
            target[count] = data->target[r];
            prediction[count++] = data->prediction[r];
        }
    }
    tp_metric_data repeated = *data;
    repeated.weight = NULL;
    repeated.row_count = count;
    repeated.target = target;
    repeated.prediction = prediction;
    tp_metric_values got;
    tp_metric_values want;
    ASSERT_OK(tp_metrics_compute(&env, data, 0, 0, &got, &test_err));
    ASSERT_OK(tp_metrics_compute(&env, &repeated, 0, 0, &want, &test_err));
    for (uint32_t m = 0; m < TP_METRIC_COUNT; m++) {
        ASSERT(is_near(got.value[m], want.value[m]));
    }
}

static void test_confusion(void)
{
    const double target[] = {0, 0, 1, 1, 2, 2, 2};
    const double choice[] = {0, 1, 1, 1, 2, 0, 2};
    const tp_metric_data data = {.task = TP_TASK_MULTICLASS,
                                 .class_count = 3,
                                 .row_count = 7,
                                 .target = target,
                                 .prediction = choice};
    const uint64_t want[9] = {1, 1, 0, 0, 2, 0, 1, 0, 2};
    uint64_t got[9];
    tp_metrics_confusion(&data, got);
    ASSERT_EQ_BYTES(got, sizeof(got), want, sizeof(want));
}

static void test_words(void)
{
    for (uint32_t m = 0; m < TP_METRIC_COUNT; m++) {
        tp_metric found = TP_METRIC_COUNT;
        ASSERT(tp_metric_from_word(tp_str_from(tp_metric_word((tp_metric)m)), &found));
        ASSERT_EQ_UINT(found, m);
    }
    tp_metric found;
    ASSERT(!tp_metric_from_word(TP_STR("accuracyy"), &found));
    ASSERT(tp_metric_larger_is_better(TP_METRIC_AUC));
    ASSERT(!tp_metric_larger_is_better(TP_METRIC_RMSE));
}

static tapeout_status scenario(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    const metric_case *one = user;
    tp_env env = tp_env_plain();
    env.alloc = alloc;
    tp_metric_values values = {.value = {42.0}};
    const tapeout_status status = tp_metrics_compute(&env, &one->data, 3, 1, &values, err);
    ASSERT(status == TAPEOUT_OK || values.value[0] == 42.0);
    return status;
}

static void test_out_of_memory_leaves_nothing(void)
{
    metric_case binary = metric_cases[0];
    metric_case multiclass = metric_cases[3];
    metric_case values = metric_cases[4];
    test_out_of_memory(scenario, &binary);
    test_out_of_memory(scenario, &multiclass);
    test_out_of_memory(scenario, &values);
}

TEST_MAIN(TEST(test_equals_scikit_learn), TEST(test_auc_is_exact_on_ties),
          TEST(test_undefined_is_nan), TEST(test_nothing_over_nothing),
          TEST(test_targets_must_be_classes), TEST(test_same_intervals_for_any_threads),
          TEST(test_intervals_hold_the_value), TEST(test_weight_is_repetition),
          TEST(test_confusion), TEST(test_words), TEST(test_out_of_memory_leaves_nothing))
