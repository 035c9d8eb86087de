// SPDX-License-Identifier: Apache-2.0
//
// Every rule against trying each candidate by hand.
#include "learn/tp_metrics.h"

#include "metric_tables.h"
#include "test.h"

#include <math.h>

static tp_metric_values values_at(const tp_metric_data *data, double threshold)
{
    const tp_env env = tp_env_plain();
    double choice[200];
    for (uint64_t r = 0; r < data->row_count; r++) {
        choice[r] = data->probability[r] >= threshold ? 1.0 : 0.0;
    }
    tp_metric_data decided = *data;
    decided.prediction = choice;
    tp_metric_values values;
    ASSERT_OK(tp_metrics_compute(&env, &decided, 0, 0, &values, &test_err));
    return values;
}

static double choose(const tp_metric_data *data, tp_threshold_rule rule)
{
    const tp_env env = tp_env_plain();
    double threshold = -1.0;
    ASSERT_OK(tp_threshold_choose(&env, data, &rule, &threshold, &test_err));
    return threshold;
}

static void test_maximum_of_a_metric(void)
{
    for (uint32_t i = 0; i < 2; i++) { // without and with weights
        const tp_metric_data *data = &metric_cases[i].data;
        const double for_f1 = choose(data, (tp_threshold_rule){.kind = TP_THRESHOLD_MAX_F1});
        const double for_hits =
            choose(data, (tp_threshold_rule){.kind = TP_THRESHOLD_MAX_ACCURACY});
        const double best_f1 = values_at(data, for_f1).value[TP_METRIC_F1];
        const double best_hits = values_at(data, for_hits).value[TP_METRIC_ACCURACY];
        for (uint64_t r = 0; r < data->row_count; r++) {
            const tp_metric_values other = values_at(data, data->probability[r]);
            ASSERT(best_f1 >= other.value[TP_METRIC_F1] - 1e-12);
            ASSERT(best_hits >= other.value[TP_METRIC_ACCURACY] - 1e-12);
        }
    }
}

static void test_least_precision_gets_most_recall(void)
{
    const tp_metric_data *data = &metric_cases[0].data;
    const tp_threshold_rule rule = {.kind = TP_THRESHOLD_MIN_PRECISION, .value = 0.8};
    const tp_metric_values best = values_at(data, choose(data, rule));
    ASSERT(best.value[TP_METRIC_PRECISION] >= 0.8);
    for (uint64_t r = 0; r < data->row_count; r++) {
        const tp_metric_values other = values_at(data, data->probability[r]);
        ASSERT(other.value[TP_METRIC_PRECISION] < 0.8 ||
               other.value[TP_METRIC_RECALL] <= best.value[TP_METRIC_RECALL]);
    }
}

static void test_least_recall_gets_most_precision(void)
{
    const tp_metric_data *data = &metric_cases[1].data;
    const tp_threshold_rule rule = {.kind = TP_THRESHOLD_MIN_RECALL, .value = 0.6};
    const tp_metric_values best = values_at(data, choose(data, rule));
    ASSERT(best.value[TP_METRIC_RECALL] >= 0.6);
    for (uint64_t r = 0; r < data->row_count; r++) {
        const tp_metric_values other = values_at(data, data->probability[r]);
        ASSERT(other.value[TP_METRIC_RECALL] < 0.6 ||
               other.value[TP_METRIC_PRECISION] <= best.value[TP_METRIC_PRECISION] + 1e-12);
    }
}

static void test_youden(void)
{
    const double target[] = {0, 0, 1, 0, 0, 1};
    const double score[] = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6};
    const tp_metric_data data = {.task = TP_TASK_BINARY,
                                 .class_count = 2,
                                 .row_count = 6,
                                 .target = target,
                                 .probability = score,
                                 .prediction = target};
    // At 0.6 half of the positives and no negative; at 0.3 all, and half of the negatives: a tie,
    // which the higher one wins.
    ASSERT_EQ_F64(choose(&data, (tp_threshold_rule){.kind = TP_THRESHOLD_MAX_YOUDEN}), 0.6);
}

static void test_what_cannot_be_met_says_so(void)
{
    const tp_env env = tp_env_plain();
    const double target[] = {1, 0};
    const double score[] = {0.1, 0.9};
    tp_metric_data data = {.task = TP_TASK_BINARY,
                           .class_count = 2,
                           .row_count = 2,
                           .target = target,
                           .probability = score,
                           .prediction = target};
    tp_threshold_rule rule = {.kind = TP_THRESHOLD_MIN_PRECISION, .value = 0.9};
    double threshold = 7.0;
    ASSERT_FAILS(tp_threshold_choose(&env, &data, &rule, &threshold, &test_err), TAPEOUT_E_DATA,
                 "precision of 0.9");
    ASSERT_EQ_F64(threshold, 7.0);
    rule.value = 1.5;
    ASSERT_FAILS(tp_threshold_choose(&env, &data, &rule, &threshold, &test_err), TAPEOUT_E_INVALID,
                 "from 0 to 1");
    data.task = TP_TASK_REGRESSION;
    ASSERT_FAILS(tp_threshold_choose(&env, &data, &rule, &threshold, &test_err), TAPEOUT_E_INVALID,
                 "only binary");
}

TEST_MAIN(TEST(test_maximum_of_a_metric), TEST(test_least_precision_gets_most_recall),
          TEST(test_least_recall_gets_most_precision), TEST(test_youden),
          TEST(test_what_cannot_be_met_says_so))
