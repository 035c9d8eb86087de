// SPDX-License-Identifier: Apache-2.0
//
// Between the files that compute metrics. A plan holds what does not depend on how often a row
// counts: the rows in order of each class's probability and the costly term of each row. Evaluating
// the plan under given row weights is then a few linear passes, once for the rows as they are and
// once for each bootstrap replicate.
#ifndef METRICS_PRIV_H
#define METRICS_PRIV_H

#include "learn/tp_metrics.h"

enum { TP_CALIBRATION_BINS = 10 };

// One place of a ranking, most probable first.
enum { RANK_POSITIVE = 1, RANK_LAST_OF_TIE = 2 };

typedef struct metric_ranking {
    uint32_t *row;  // [R]
    uint8_t *flags; // [R]
} metric_ranking;

typedef struct metric_plan {
    const tapeout_allocator *alloc;
    const tp_metric_data *data;
    uint32_t row_count;       // R
    uint32_t ranking_count;   // 1 for binary, K for multiclass, 0 for values
    metric_ranking *rankings; // NULL where a probability is NaN
    double *loss;             // [R] logarithmic loss, or deviance
    double *spread;           // [R] squared distance of the probabilities; classes only
} metric_plan;

// `row_weight` [R]; `class_sums` [3][K] scratch; `ret_value` [TP_METRIC_COUNT] NaN on entry.
typedef struct metric_scratch {
    double *row_weight;
    double *class_sums;
} metric_scratch;

tapeout_status tp_metric_plan_init(const tp_env *env, const tp_metric_data *data,
                                   metric_plan *ret_plan, tapeout_error *err);
void tp_metric_plan_deinit(metric_plan *plan);

void tp_metric_evaluate(const metric_plan *plan, const metric_scratch *scratch, double *ret_value);
void tp_metric_evaluate_binary(const metric_plan *plan, const double *row_weight,
                               double *ret_value);
void tp_metric_evaluate_multiclass(const metric_plan *plan, const metric_scratch *scratch,
                                   double *ret_value);
void tp_metric_evaluate_values(const metric_plan *plan, const double *row_weight,
                               double *ret_value);

// Area under the ROC curve and average precision of one ranking; NaN without both classes.
void tp_metric_rank(const metric_ranking *ranking, uint32_t row_count, const double *row_weight,
                    double ret_auc_and_precision[2]);

// The terms of one row.
double tp_metric_log_loss_term(double probability_of_truth);
double tp_metric_deviance_term(const tp_metric_data *data, double target, double prediction);

static inline double metric_weight(const tp_metric_data *data, uint64_t row)
{
    return data->weight != NULL ? data->weight[row] : 1.0;
}

#endif
