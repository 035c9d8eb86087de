// SPDX-License-Identifier: Apache-2.0
//
// The metrics themselves, each as docs/metrics.md defines it, under given weights of the rows. The
// definitions are scikit-learn's wherever it has one. Sums run in row order or in rank order; a row
// of weight 0 is as good as absent.
#include "learn/metrics_priv.h"

#include "base/tp_alloc.h"
#include "kernels/tp_math.h"

#include <float.h>
#include <math.h>

static const double nan_value = (double)NAN;

// 0 / 0 is 0: a precision without a forecast, a recall without a case.
static double ratio_or_zero(double numerator, double denominator)
{
    return denominator > 0.0 ? numerator / denominator : 0.0;
}

// A negative counts the positives ranked above it, and half of those that tie with it: the area
// under the ROC curve by trapezoids. Average precision adds at each distinct score the gain in
// recall times the precision there.
void tp_metric_rank(const metric_ranking *ranking, uint32_t row_count, const double *row_weight,
                    double ret_auc_and_precision[2])
{
    double positive = 0.0;
    double negative = 0.0;
    double tie_positive = 0.0;
    double tie_negative = 0.0;
    double twice_area = 0.0;
    double precision = 0.0;
    for (uint32_t i = 0; i < row_count; i++) {
        const double weight = row_weight[ranking->row[i]];
        const bool is_positive = (ranking->flags[i] & RANK_POSITIVE) != 0;
        tie_positive += is_positive ? weight : 0.0;
        tie_negative += is_positive ? 0.0 : weight;
        if ((ranking->flags[i] & RANK_LAST_OF_TIE) != 0) {
            twice_area += tie_negative * (2.0 * positive + tie_positive);
            positive += tie_positive;
            negative += tie_negative;
            if (tie_positive > 0.0) {
                precision += tie_positive * (positive / (positive + negative));
            }
            tie_positive = 0.0;
            tie_negative = 0.0;
        }
    }
    const bool is_defined = positive > 0.0 && negative > 0.0;
    ret_auc_and_precision[0] = is_defined ? twice_area / (2.0 * positive * negative) : nan_value;
    ret_auc_and_precision[1] = positive > 0.0 ? precision / positive : nan_value;
}

// -- calibration error ---------------------------------------------------------------------------
// Ten bins of equal width by the stated probability; in each the distance of the mean probability
// from the share that came true, weighted by the bin.
typedef struct reliability {
    double weight[TP_CALIBRATION_BINS];
    double stated[TP_CALIBRATION_BINS];
    double came_true[TP_CALIBRATION_BINS];
} reliability;

static void reliability_add(reliability *bins, double probability, double outcome, double weight)
{
    if (!(probability >= 0.0)) {
        bins->weight[0] = nan_value;
        return;
    }
    const double scaled = probability * TP_CALIBRATION_BINS;
    const uint32_t bin =
        scaled < TP_CALIBRATION_BINS ? (uint32_t)scaled : (uint32_t)TP_CALIBRATION_BINS - 1;
    bins->weight[bin] += weight;
    bins->stated[bin] += weight * probability;
    bins->came_true[bin] += weight * outcome;
}

static double reliability_error(const reliability *bins)
{
    double total = 0.0;
    double error = 0.0;
    for (uint32_t b = 0; b < TP_CALIBRATION_BINS; b++) {
        total += bins->weight[b];
        error += fabs(bins->came_true[b] - bins->stated[b]);
    }
    return error / total;
}

// -- binary --------------------------------------------------------------------------------------
void tp_metric_evaluate_binary(const metric_plan *plan, const double *row_weight, double *ret_value)
{
    const tp_metric_data *data = plan->data;
    reliability bins = {{0}, {0}, {0}};
    double total = 0.0;
    double loss = 0.0;
    double spread = 0.0;
    double cell[2][2] = {{0.0, 0.0}, {0.0, 0.0}}; // [truth][forecast]
    for (uint32_t r = 0; r < plan->row_count; r++) {
        const double weight = row_weight[r];
        total += weight;
        loss += weight * plan->loss[r];
        spread += weight * plan->spread[r];
        cell[data->target[r] != 0.0][data->prediction[r] != 0.0] += weight;
        reliability_add(&bins, data->probability[r], data->target[r], weight);
    }
    const double forecast = cell[0][1] + cell[1][1];
    const double actual = cell[1][0] + cell[1][1];
    ret_value[TP_METRIC_LOG_LOSS] = loss / total;
    ret_value[TP_METRIC_BRIER] = spread / total;
    ret_value[TP_METRIC_CALIBRATION_ERROR] = reliability_error(&bins);
    if (total > 0.0) {
        ret_value[TP_METRIC_ACCURACY] = (cell[0][0] + cell[1][1]) / total;
        ret_value[TP_METRIC_PRECISION] = ratio_or_zero(cell[1][1], forecast);
        ret_value[TP_METRIC_RECALL] = ratio_or_zero(cell[1][1], actual);
        ret_value[TP_METRIC_F1] = ratio_or_zero(2.0 * cell[1][1], forecast + actual);
    }
    if (plan->ranking_count == 1) {
        double rank[2];
        tp_metric_rank(plan->rankings, plan->row_count, row_weight, rank);
        ret_value[TP_METRIC_AUC] = rank[0];
        ret_value[TP_METRIC_AVERAGE_PRECISION] = rank[1];
    }
}

// -- multiclass ----------------------------------------------------------------------------------
// Unweighted means over the classes that occur, as truth or as forecast.
static void macro_scores(const double *class_sums, uint32_t class_count, double *ret_value)
{
    const double *hit = class_sums;
    const double *actual = class_sums + class_count;
    const double *forecast = class_sums + 2 * (size_t)class_count;
    double precision = 0.0;
    double recall = 0.0;
    double f1 = 0.0;
    double classes = 0.0;
    for (uint32_t k = 0; k < class_count; k++) {
        if (actual[k] + forecast[k] > 0.0) {
            classes += 1.0;
            precision += ratio_or_zero(hit[k], forecast[k]);
            recall += ratio_or_zero(hit[k], actual[k]);
            f1 += ratio_or_zero(2.0 * hit[k], forecast[k] + actual[k]);
        }
    }
    ret_value[TP_METRIC_PRECISION] = precision / classes;
    ret_value[TP_METRIC_RECALL] = recall / classes;
    ret_value[TP_METRIC_F1] = f1 / classes;
}

// One class against the rest, unweighted mean over the classes for which the figure exists.
static void macro_ranks(const metric_plan *plan, const double *row_weight, double *ret_value)
{
    double sums[2] = {0.0, 0.0};
    double counts[2] = {0.0, 0.0};
    for (uint32_t k = 0; k < plan->ranking_count; k++) {
        double rank[2];
        tp_metric_rank(&plan->rankings[k], plan->row_count, row_weight, rank);
        for (uint32_t i = 0; i < 2; i++) {
            sums[i] += isnan(rank[i]) ? 0.0 : rank[i];
            counts[i] += isnan(rank[i]) ? 0.0 : 1.0;
        }
    }
    ret_value[TP_METRIC_AUC] = sums[0] / counts[0];
    ret_value[TP_METRIC_AVERAGE_PRECISION] = sums[1] / counts[1];
}

// The probability given to the class that was forecast.
static double stated_probability(const tp_metric_data *data, uint32_t row, uint32_t forecast)
{
    return data->probability[(size_t)forecast * data->row_count + row];
}

void tp_metric_evaluate_multiclass(const metric_plan *plan, const metric_scratch *scratch,
                                   double *ret_value)
{
    const tp_metric_data *data = plan->data;
    const uint32_t classes = data->class_count;
    double *hit = scratch->class_sums;
    double *actual = hit + classes;
    double *forecast = actual + classes;
    for (size_t i = 0; i < 3 * (size_t)classes; i++) {
        scratch->class_sums[i] = 0.0;
    }
    reliability bins = {{0}, {0}, {0}};
    double total = 0.0;
    double loss = 0.0;
    double spread = 0.0;
    double hits = 0.0;
    for (uint32_t r = 0; r < plan->row_count; r++) {
        const double weight = scratch->row_weight[r];
        const uint32_t truth = (uint32_t)data->target[r];
        const uint32_t choice = (uint32_t)data->prediction[r];
        const double is_hit = truth == choice ? 1.0 : 0.0;
        total += weight;
        loss += weight * plan->loss[r];
        spread += weight * plan->spread[r];
        hits += weight * is_hit;
        hit[truth] += weight * is_hit;
        actual[truth] += weight;
        forecast[choice] += weight;
        reliability_add(&bins, stated_probability(data, r, choice), is_hit, weight);
    }
    ret_value[TP_METRIC_LOG_LOSS] = loss / total;
    ret_value[TP_METRIC_BRIER] = spread / total;
    ret_value[TP_METRIC_ACCURACY] = hits / total;
    ret_value[TP_METRIC_CALIBRATION_ERROR] = reliability_error(&bins);
    macro_scores(scratch->class_sums, classes, ret_value);
    macro_ranks(plan, scratch->row_weight, ret_value);
}

// -- values --------------------------------------------------------------------------------------
// The share of the variance explained; like scikit-learn 1 or 0 where there is no variance, and
// undefined for less than two rows.
static double r_squared(const metric_plan *plan, const double *row_weight, double squares)
{
    const double *target = plan->data->target;
    double total = 0.0;
    double sum = 0.0;
    uint64_t rows = 0;
    for (uint32_t r = 0; r < plan->row_count; r++) {
        total += row_weight[r];
        sum += row_weight[r] * target[r];
        rows += row_weight[r] > 0.0;
    }
    const double mean = sum / total;
    double variation = 0.0;
    for (uint32_t r = 0; r < plan->row_count; r++) {
        variation += row_weight[r] * (target[r] - mean) * (target[r] - mean);
    }
    if (rows < 2) {
        return nan_value;
    }
    if (variation == 0.0) {
        return squares == 0.0 ? 1.0 : 0.0;
    }
    return 1.0 - squares / variation;
}

void tp_metric_evaluate_values(const metric_plan *plan, const double *row_weight, double *ret_value)
{
    const tp_metric_data *data = plan->data;
    double total = 0.0;
    double squares = 0.0;
    double absolute = 0.0;
    double relative = 0.0;
    double pinball = 0.0;
    double deviance = 0.0;
    for (uint32_t r = 0; r < plan->row_count; r++) {
        const double weight = row_weight[r];
        if (weight == 0.0) {
            continue; // a term that is not a number must not count in a replicate without its row
        }
        const double error = data->target[r] - data->prediction[r];
        const double size = fabs(data->target[r]);
        total += weight;
        squares += weight * error * error;
        absolute += weight * fabs(error);
        relative += weight * (fabs(error) / (size > DBL_EPSILON ? size : DBL_EPSILON));
        pinball += weight * (error >= 0.0 ? data->quantile : data->quantile - 1.0) * error;
        deviance += weight * plan->loss[r];
    }
    ret_value[TP_METRIC_RMSE] = tp_sqrt(squares / total);
    ret_value[TP_METRIC_MAE] = absolute / total;
    ret_value[TP_METRIC_MAPE] = relative / total;
    ret_value[TP_METRIC_R2] = r_squared(plan, row_weight, squares);
    ret_value[TP_METRIC_DEVIANCE] = deviance / total;
    if (data->objective == TP_OBJECTIVE_QUANTILE) {
        ret_value[TP_METRIC_PINBALL] = pinball / total;
    }
}

void tp_metric_evaluate(const metric_plan *plan, const metric_scratch *scratch, double *ret_value)
{
    for (uint32_t m = 0; m < TP_METRIC_COUNT; m++) {
        ret_value[m] = nan_value;
    }
    if (plan->row_count == 0) {
        return;
    }
    switch (plan->data->task) {
    case TP_TASK_BINARY:
        tp_metric_evaluate_binary(plan, scratch->row_weight, ret_value);
        return;
    case TP_TASK_MULTICLASS:
        tp_metric_evaluate_multiclass(plan, scratch, ret_value);
        return;
    case TP_TASK_REGRESSION:
    case TP_TASK_QUANTILE:
    case TP_TASK_COUNT:
        tp_metric_evaluate_values(plan, scratch->row_weight, ret_value);
        return;
    }
}
