// SPDX-License-Identifier: Apache-2.0
//
// Choosing the probability from which on a binary model says yes. Every distinct probability of the
// rows is a candidate; they are walked from the highest down with running counts, so a rule costs
// one sort. Among equals the highest candidate wins: fewer rows are called positive.
#include "learn/tp_metrics.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "learn/metrics_priv.h"

#include <assert.h>
#include <math.h>

// What saying yes from a candidate on would give.
typedef struct outcome {
    double hit;      // weight of positives called positive
    double alarm;    // weight of negatives called positive
    double positive; // weight of all positives
    double negative;
} outcome;

// Larger is better; NaN when the rule is not met. A least precision asks for the most recall, a
// least recall for the most precision.
static double merit(const tp_threshold_rule *rule, const outcome *at)
{
    const double precision = at->hit / (at->hit + at->alarm);
    const double recall = at->hit / at->positive;
    switch (rule->kind) {
    case TP_THRESHOLD_MAX_F1:
        return 2.0 * at->hit / (at->hit + at->alarm + at->positive);
    case TP_THRESHOLD_MAX_ACCURACY:
        return (at->hit + (at->negative - at->alarm)) / (at->positive + at->negative);
    case TP_THRESHOLD_MAX_YOUDEN:
        return recall - at->alarm / at->negative;
    case TP_THRESHOLD_MIN_PRECISION:
        return precision >= rule->value ? recall : (double)NAN;
    case TP_THRESHOLD_MIN_RECALL:
        return recall >= rule->value ? precision : (double)NAN;
    case TP_THRESHOLD_FIXED:
        break;
    }
    return (double)NAN;
}

static void count_classes(const metric_plan *plan, outcome *ret_outcome)
{
    for (uint32_t r = 0; r < plan->row_count; r++) {
        const double weight = metric_weight(plan->data, r);
        *(plan->data->target[r] != 0.0 ? &ret_outcome->positive : &ret_outcome->negative) += weight;
    }
}

// The best candidate in `ret_threshold`; false when none meets the rule.
static bool search(const metric_plan *plan, const tp_threshold_rule *rule, double *ret_threshold)
{
    const metric_ranking *ranking = &plan->rankings[0];
    outcome at = {0.0, 0.0, 0.0, 0.0};
    count_classes(plan, &at);
    double best = -INFINITY;
    bool found = false;
    for (uint32_t i = 0; i < plan->row_count; i++) {
        const uint32_t row = ranking->row[i];
        const double weight = metric_weight(plan->data, row);
        *((ranking->flags[i] & RANK_POSITIVE) != 0 ? &at.hit : &at.alarm) += weight;
        if ((ranking->flags[i] & RANK_LAST_OF_TIE) == 0) {
            continue;
        }
        const double here = merit(rule, &at);
        if (here > best) {
            best = here;
            *ret_threshold = plan->data->probability[row];
            found = true;
        }
    }
    return found;
}

static tapeout_status check_rule(const tp_metric_data *data, const tp_threshold_rule *rule,
                                 tapeout_error *err)
{
    if (data->task != TP_TASK_BINARY) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "threshold: a %s model has none; only binary models decide by one",
                       tp_task_name(data->task));
    }
    const bool wants_share = rule->kind == TP_THRESHOLD_FIXED ||
                             rule->kind == TP_THRESHOLD_MIN_PRECISION ||
                             rule->kind == TP_THRESHOLD_MIN_RECALL;
    if (wants_share && !(rule->value >= 0.0 && rule->value <= 1.0)) {
        return tp_fail(err, TAPEOUT_E_INVALID, "threshold: %g; expected a number from 0 to 1",
                       rule->value);
    }
    return TAPEOUT_OK;
}

tapeout_status tp_threshold_choose(const tp_env *env, const tp_metric_data *data,
                                   const tp_threshold_rule *rule, double *ret_threshold,
                                   tapeout_error *err)
{
    TP_TRY(check_rule(data, rule, err));
    if (rule->kind == TP_THRESHOLD_FIXED) {
        *ret_threshold = rule->value;
        return TAPEOUT_OK;
    }
    metric_plan plan;
    TP_TRY(tp_metric_plan_init(env, data, &plan, err));
    double threshold = 0.0;
    const bool found = plan.ranking_count == 1 && search(&plan, rule, &threshold);
    tp_metric_plan_deinit(&plan);
    if (found) {
        *ret_threshold = threshold;
        return TAPEOUT_OK;
    }
    if (rule->kind == TP_THRESHOLD_MIN_PRECISION) {
        return tp_fail(err, TAPEOUT_E_DATA,
                       "threshold: no threshold reaches a precision of %g on %llu rows; ask for "
                       "less or improve the model",
                       rule->value, (unsigned long long)data->row_count);
    }
    return tp_fail(err, TAPEOUT_E_DATA,
                   "threshold: the %llu rows do not have both classes and probabilities; hold out "
                   "more rows or give a fixed threshold",
                   (unsigned long long)data->row_count);
}
