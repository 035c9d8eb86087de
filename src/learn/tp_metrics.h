// SPDX-License-Identifier: Apache-2.0
//
// Metrics with bootstrap intervals, overall and by cohort. Sums run in row order, resampling comes
// from (seed, replicate, position): the same figures for any number of threads.
#ifndef TP_METRICS_H
#define TP_METRICS_H

#include "learn/tp_learn.h"

// X(name, word in JSON and in gates, larger is better)
#define TP_METRIC_MAP(X)                                                                           \
    X(AUC, "auc", true)                                                                            \
    X(AVERAGE_PRECISION, "average_precision", true)                                                \
    X(LOG_LOSS, "log_loss", false)                                                                 \
    X(BRIER, "brier", false)                                                                       \
    X(CALIBRATION_ERROR, "calibration_error", false)                                               \
    X(ACCURACY, "accuracy", true)                                                                  \
    X(F1, "f1", true)                                                                              \
    X(PRECISION, "precision", true)                                                                \
    X(RECALL, "recall", true)                                                                      \
    X(RMSE, "rmse", false)                                                                         \
    X(MAE, "mae", false)                                                                           \
    X(MAPE, "mape", false)                                                                         \
    X(R2, "r2", true)                                                                              \
    X(PINBALL, "pinball", false)                                                                   \
    X(DEVIANCE, "deviance", false)

typedef enum tp_metric {
#define TP_METRIC_ENUM(name, word, larger) TP_METRIC_##name,
    TP_METRIC_MAP(TP_METRIC_ENUM)
#undef TP_METRIC_ENUM
        TP_METRIC_COUNT
} tp_metric;

const char *tp_metric_word(tp_metric metric);
bool tp_metric_from_word(tp_str word, tp_metric *ret_metric);
bool tp_metric_larger_is_better(tp_metric metric);

typedef struct tp_metric_data {
    tp_task task;
    tp_objective objective;
    uint32_t class_count;
    uint64_t row_count;
    const double *target;      // [R] class index or value
    const double *weight;      // [R] or NULL
    const double *probability; // as tp_prediction
    const double *prediction;  // [R]
    double quantile;
    double tweedie_power;
} tp_metric_data;

// NaN where a metric is not defined for the task or the rows.
typedef struct tp_metric_values {
    double value[TP_METRIC_COUNT];
    double low[TP_METRIC_COUNT];  // bootstrap 2.5 %
    double high[TP_METRIC_COUNT]; // bootstrap 97.5 %
} tp_metric_values;

// `replicates` 0 leaves low and high NaN.
tapeout_status tp_metrics_compute(const tp_env *env, const tp_metric_data *data,
                                  uint32_t replicates, uint64_t seed, tp_metric_values *ret_values,
                                  tapeout_error *err);

// Rows of true class × columns of predicted class, [class_count]².
void tp_metrics_confusion(const tp_metric_data *data, uint64_t *ret_counts);

// The threshold that a rule chooses on given probabilities: maximize f1 | accuracy | youden,
// or {precision | recall at least x}.
typedef struct tp_threshold_rule {
    enum {
        TP_THRESHOLD_FIXED,
        TP_THRESHOLD_MAX_F1,
        TP_THRESHOLD_MAX_ACCURACY,
        TP_THRESHOLD_MAX_YOUDEN,
        TP_THRESHOLD_MIN_PRECISION,
        TP_THRESHOLD_MIN_RECALL
    } kind;
    double value; // the fixed threshold, or the least precision or recall
} tp_threshold_rule;

tapeout_status tp_threshold_choose(const tp_env *env, const tp_metric_data *data,
                                   const tp_threshold_rule *rule, double *ret_threshold,
                                   tapeout_error *err);

// Rows that the model was not trained on. For K classes the margin is the log-odds of each class.
typedef struct tp_held_out {
    const double *margin; // [row_count], or [K][row_count]
    const double *target; // [row_count] 0 or 1, or the index of the class
    const double *weight; // [row_count] or NULL
    uint64_t row_count;
    uint32_t curve_count; // 1 for a binary model, else K
} tp_held_out;

// log(p / (1 - p)), within ±36.1.
double tp_calibration_log_odds(double probability);

// Fits a calibration: method as in tp_calibration. E_DATA when the rows lack a class.
tapeout_status tp_calibration_fit(const tp_env *env, uint32_t method, const tp_held_out *rows,
                                  tp_calibration *ret_calibration, tapeout_error *err);

#endif
