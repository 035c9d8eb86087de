// SPDX-License-Identifier: Apache-2.0
//
// What the metrics of one set of rows need only once: ranks and the terms that take a logarithm.
#include "learn/metrics_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "kernels/tp_math.h"
#include "learn/learn_priv.h"

#include <float.h>
#include <math.h>

static const double nan_value = (double)NAN;

// Clipped to the nearest numbers to 0 and 1 that differ from them by an epsilon, as scikit-learn
// does: a certain and wrong forecast costs 36.04, not infinity.
double tp_metric_log_loss_term(double probability_of_truth)
{
    double p = probability_of_truth;
    p = p < DBL_EPSILON ? DBL_EPSILON : p;
    p = p > 1.0 - DBL_EPSILON ? 1.0 - DBL_EPSILON : p;
    return -tp_log(p);
}

static double poisson_term(double target, double prediction)
{
    const double log_part = target > 0.0 ? target * tp_log(target / prediction) : 0.0;
    return 2.0 * (log_part - target + prediction);
}

static double tweedie_term(double power, double target, double prediction)
{
    if (power == 2.0) {
        return 2.0 * (tp_log(prediction / target) + target / prediction - 1.0);
    }
    const double a = 1.0 - power;
    const double b = 2.0 - power;
    return 2.0 * (tp_pow(target > 0.0 ? target : 0.0, b) / (a * b) -
                  target * tp_pow(prediction, a) / a + tp_pow(prediction, b) / b);
}

double tp_metric_deviance_term(const tp_metric_data *data, double target, double prediction)
{
    const bool is_poisson = data->objective == TP_OBJECTIVE_POISSON;
    if (!is_poisson && data->objective != TP_OBJECTIVE_TWEEDIE) {
        return (target - prediction) * (target - prediction);
    }
    const double power = is_poisson ? 1.0 : data->tweedie_power;
    const bool is_defined = prediction > 0.0 && (power >= 2.0 ? target > 0.0 : target >= 0.0);
    if (!is_defined) {
        return nan_value;
    }
    return power == 1.0 ? poisson_term(target, prediction)
                        : tweedie_term(power, target, prediction);
}

// -- terms ---------------------------------------------------------------------------------------
static void fill_binary(metric_plan *plan)
{
    const tp_metric_data *data = plan->data;
    for (uint32_t r = 0; r < plan->row_count; r++) {
        const double p = data->probability[r];
        const double truth = data->target[r];
        plan->loss[r] = tp_metric_log_loss_term(truth != 0.0 ? p : 1.0 - p);
        plan->spread[r] = (truth - p) * (truth - p);
    }
}

static void fill_multiclass(metric_plan *plan)
{
    const tp_metric_data *data = plan->data;
    for (uint32_t r = 0; r < plan->row_count; r++) {
        const uint32_t truth = (uint32_t)data->target[r];
        double spread = 0.0;
        for (uint32_t k = 0; k < data->class_count; k++) {
            const double p = data->probability[(size_t)k * data->row_count + r];
            const double distance = (k == truth ? 1.0 : 0.0) - p;
            spread += distance * distance;
        }
        plan->spread[r] = spread;
        plan->loss[r] =
            tp_metric_log_loss_term(data->probability[(size_t)truth * data->row_count + r]);
    }
}

static void fill_values(metric_plan *plan)
{
    const tp_metric_data *data = plan->data;
    for (uint32_t r = 0; r < plan->row_count; r++) {
        plan->loss[r] = tp_metric_deviance_term(data, data->target[r], data->prediction[r]);
    }
}

// -- ranks ---------------------------------------------------------------------------------------
// Ascending order turned round; within a tie the order does not matter.
static tapeout_status rank_class(void *user, size_t task_index, size_t worker_index,
                                 tapeout_error *err)
{
    (void)worker_index; // a ranking needs no scratch of a worker
    const metric_plan *plan = user;
    const tp_metric_data *data = plan->data;
    const metric_ranking *ranking = &plan->rankings[task_index];
    const double *score = data->probability + task_index * data->row_count;
    const double positive = data->task == TP_TASK_BINARY ? 1.0 : (double)task_index;
    const uint32_t count = plan->row_count;
    TP_TRY(tp_learn_sort(plan->alloc, score, count, ranking->row, err));
    for (uint32_t i = 0; i < count / 2; i++) {
        const uint32_t swap = ranking->row[i];
        ranking->row[i] = ranking->row[count - 1 - i];
        ranking->row[count - 1 - i] = swap;
    }
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t row = ranking->row[i];
        const bool is_last = i + 1 == count || score[ranking->row[i + 1]] != score[row];
        const bool is_positive = data->target[row] == positive;
        ranking->flags[i] =
            (uint8_t)((is_positive ? RANK_POSITIVE : 0) | (is_last ? RANK_LAST_OF_TIE : 0));
    }
    return TAPEOUT_OK;
}

static bool has_nan(const double *values, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        if (isnan(values[i])) {
            return true;
        }
    }
    return false;
}

static tapeout_status plan_rankings(const tp_env *env, metric_plan *plan, tapeout_error *err)
{
    const tp_metric_data *data = plan->data;
    const uint32_t count = data->task == TP_TASK_BINARY ? 1 : data->class_count;
    if (has_nan(data->probability, count * data->row_count)) {
        return TAPEOUT_OK;
    }
    plan->rankings = tp_alloc_array_zero(plan->alloc, count, sizeof(*plan->rankings));
    if (plan->rankings == NULL) {
        return tp_fail_nomem(err);
    }
    plan->ranking_count = count;
    for (uint32_t k = 0; k < count; k++) {
        metric_ranking *ranking = &plan->rankings[k];
        ranking->row = tp_alloc_array(plan->alloc, plan->row_count, sizeof(*ranking->row));
        ranking->flags = tp_alloc_array(plan->alloc, plan->row_count, sizeof(*ranking->flags));
        if (ranking->row == NULL || ranking->flags == NULL) {
            return tp_fail_nomem(err);
        }
    }
    return tp_pool_for(env->pool, count, rank_class, plan, err);
}

// -- life ----------------------------------------------------------------------------------------
static tapeout_status check_classes(const tp_metric_data *data, const char *what,
                                    const double *values, tapeout_error *err)
{
    for (uint64_t r = 0; r < data->row_count; r++) {
        const double value = values[r];
        if (!(value >= 0.0 && value < data->class_count) || value != (double)(uint32_t)value) {
            return tp_fail_at(err, TAPEOUT_E_INVALID, r,
                              "metrics: %s %g in row %llu is no class index below %u", what, value,
                              (unsigned long long)r, data->class_count);
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status check_data(const tp_metric_data *data, tapeout_error *err)
{
    if (data->row_count > UINT32_MAX) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "metrics: %llu rows; at most %u",
                       (unsigned long long)data->row_count, UINT32_MAX);
    }
    const bool is_class = data->task == TP_TASK_BINARY || data->task == TP_TASK_MULTICLASS;
    if (!is_class) {
        return TAPEOUT_OK;
    }
    if (data->class_count < 2 || data->class_count > TP_MAX_CLASSES ||
        (data->task == TP_TASK_BINARY && data->class_count != 2)) {
        return tp_fail(err, TAPEOUT_E_INVALID, "metrics: %u classes; expected 2 to %u",
                       data->class_count, TP_MAX_CLASSES);
    }
    TP_TRY(check_classes(data, "target", data->target, err));
    return check_classes(data, "prediction", data->prediction, err);
}

static tapeout_status plan_fill(const tp_env *env, metric_plan *plan, tapeout_error *err)
{
    const tp_metric_data *data = plan->data;
    const bool is_class = data->task == TP_TASK_BINARY || data->task == TP_TASK_MULTICLASS;
    plan->loss = tp_alloc_array(plan->alloc, plan->row_count, sizeof(double));
    if (is_class) {
        plan->spread = tp_alloc_array(plan->alloc, plan->row_count, sizeof(double));
    }
    if (plan->row_count == 0) {
        return TAPEOUT_OK;
    }
    if (plan->loss == NULL || (is_class && plan->spread == NULL)) {
        return tp_fail_nomem(err);
    }
    if (!is_class) {
        fill_values(plan);
        return TAPEOUT_OK;
    }
    if (data->task == TP_TASK_BINARY) {
        fill_binary(plan);
    } else {
        fill_multiclass(plan);
    }
    return plan_rankings(env, plan, err);
}

tapeout_status tp_metric_plan_init(const tp_env *env, const tp_metric_data *data,
                                   metric_plan *ret_plan, tapeout_error *err)
{
    TP_TRY(check_data(data, err));
    metric_plan plan = {.alloc = env->alloc, .data = data, .row_count = (uint32_t)data->row_count};
    const tapeout_status status = plan_fill(env, &plan, err);
    if (status != TAPEOUT_OK) {
        tp_metric_plan_deinit(&plan);
        return status;
    }
    *ret_plan = plan;
    return TAPEOUT_OK;
}

void tp_metric_plan_deinit(metric_plan *plan)
{
    const size_t rows = plan->row_count;
    for (uint32_t k = 0; k < plan->ranking_count; k++) {
        metric_ranking *ranking = &plan->rankings[k];
        tp_free_array(plan->alloc, ranking->row, rows, sizeof(*ranking->row));
        tp_free_array(plan->alloc, ranking->flags, rows, sizeof(*ranking->flags));
    }
    tp_free_array(plan->alloc, plan->rankings, plan->ranking_count, sizeof(*plan->rankings));
    tp_free_array(plan->alloc, plan->loss, rows, sizeof(double));
    tp_free_array(plan->alloc, plan->spread, rows, sizeof(double));
    *plan = (metric_plan){0};
}
