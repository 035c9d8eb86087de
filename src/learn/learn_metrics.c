// SPDX-License-Identifier: Apache-2.0
//
// The front of the metrics: words, the figures of a set of rows, and their bootstrap intervals.
//
// A replicate draws as many rows as there are, with replacement: position p of replicate b takes
// row random(seed, b, p). That is a new weight for each row and nothing else, so a replicate costs
// a few passes over a plan that was sorted once. Intervals are the percentiles of the replicates
// (Efron, 1979), interpolated linearly; replicates in which a figure does not exist are left out.
#include "learn/tp_metrics.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_random.h"
#include "learn/learn_priv.h"
#include "learn/metrics_priv.h"

#include <math.h>

// -- words ---------------------------------------------------------------------------------------
static const struct {
    tp_str word;
    bool larger_is_better;
} metric_table[TP_METRIC_COUNT] = {
#define TP_METRIC_ROW(name, text, larger) {{(text), sizeof(text) - 1}, (larger)},
    TP_METRIC_MAP(TP_METRIC_ROW)
#undef TP_METRIC_ROW
};

const char *tp_metric_word(tp_metric metric)
{
    return (unsigned)metric < TP_METRIC_COUNT ? metric_table[metric].word.data : "unknown";
}

bool tp_metric_from_word(tp_str word, tp_metric *ret_metric)
{
    for (uint32_t m = 0; m < TP_METRIC_COUNT; m++) {
        if (tp_str_equal(word, metric_table[m].word)) {
            *ret_metric = (tp_metric)m;
            return true;
        }
    }
    return false;
}

bool tp_metric_larger_is_better(tp_metric metric)
{
    return (unsigned)metric < TP_METRIC_COUNT && metric_table[metric].larger_is_better;
}

// -- scratch of the workers ----------------------------------------------------------------------
typedef struct bootstrap {
    const metric_plan *plan;
    uint64_t seed;
    size_t worker_count;
    size_t scratch_count; // doubles a worker: R + 3 K
    double *scratch;      // [worker_count][scratch_count]
    double *values;       // [replicates][TP_METRIC_COUNT]
} bootstrap;

static metric_scratch scratch_of(const bootstrap *run, size_t worker)
{
    double *own = run->scratch + worker * run->scratch_count;
    return (metric_scratch){own, own + run->plan->row_count};
}

static tapeout_status run_replicate(void *user, size_t task_index, size_t worker_index,
                                    tapeout_error *err)
{
    (void)err; // nothing here can fail
    const bootstrap *run = user;
    const metric_plan *plan = run->plan;
    const metric_scratch scratch = scratch_of(run, worker_index);
    for (uint32_t r = 0; r < plan->row_count; r++) {
        scratch.row_weight[r] = 0.0;
    }
    for (uint32_t position = 0; position < plan->row_count; position++) {
        const uint64_t row = tp_random_below(run->seed, task_index, position, plan->row_count);
        scratch.row_weight[row] += metric_weight(plan->data, row);
    }
    tp_metric_evaluate(plan, &scratch, run->values + task_index * TP_METRIC_COUNT);
    return TAPEOUT_OK;
}

// -- percentiles ---------------------------------------------------------------------------------
static double percentile(const double *values, const uint32_t *order, uint32_t count, double share)
{
    const double place = share * (double)(count - 1);
    const uint32_t below = (uint32_t)place;
    const uint32_t above = below + 1 < count ? below + 1 : below;
    const double low = values[order[below]];
    return low + (values[order[above]] - low) * (place - (double)below);
}

// The replicates of one metric, [2 × replicates] doubles and [replicates] indexes of scratch.
static tapeout_status interval_of(const bootstrap *run, uint32_t replicates, uint32_t metric,
                                  tp_metric_values *ret_values, tapeout_error *err)
{
    const tapeout_allocator *alloc = run->plan->alloc;
    double *values = tp_alloc_array(alloc, replicates, sizeof(double));
    uint32_t *order = tp_alloc_array(alloc, replicates, sizeof(uint32_t));
    tapeout_status status = TAPEOUT_OK;
    if (values == NULL || order == NULL) {
        status = tp_fail_nomem(err);
    }
    uint32_t count = 0;
    for (uint32_t b = 0; status == TAPEOUT_OK && b < replicates; b++) {
        const double value = run->values[(size_t)b * TP_METRIC_COUNT + metric];
        values[count] = value;
        count += isnan(value) ? 0 : 1;
    }
    if (status == TAPEOUT_OK && count > 0) {
        status = tp_learn_sort(alloc, values, count, order, err);
    }
    if (status == TAPEOUT_OK && count > 0) {
        ret_values->low[metric] = percentile(values, order, count, 0.025);
        ret_values->high[metric] = percentile(values, order, count, 0.975);
    }
    tp_free_array(alloc, values, replicates, sizeof(double));
    tp_free_array(alloc, order, replicates, sizeof(uint32_t));
    return status;
}

// -- computing -----------------------------------------------------------------------------------
static tapeout_status run_bootstrap(const tp_env *env, bootstrap *run, uint32_t replicates,
                                    tp_metric_values *ret_values, tapeout_error *err)
{
    const metric_scratch scratch = scratch_of(run, 0);
    for (uint32_t r = 0; r < run->plan->row_count; r++) {
        scratch.row_weight[r] = metric_weight(run->plan->data, r);
    }
    tp_metric_evaluate(run->plan, &scratch, ret_values->value);
    if (run->plan->row_count == 0) {
        return TAPEOUT_OK;
    }
    TP_TRY(tp_pool_for(env->pool, replicates, run_replicate, run, err));
    for (uint32_t m = 0; replicates > 0 && m < TP_METRIC_COUNT; m++) {
        TP_TRY(interval_of(run, replicates, m, ret_values, err));
    }
    return TAPEOUT_OK;
}

tapeout_status tp_metrics_compute(const tp_env *env, const tp_metric_data *data,
                                  uint32_t replicates, uint64_t seed, tp_metric_values *ret_values,
                                  tapeout_error *err)
{
    if (replicates > TP_MAX_BOOTSTRAP_REPLICATES) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "metrics: %u bootstrap replicates; at most %u",
                       replicates, TP_MAX_BOOTSTRAP_REPLICATES);
    }
    metric_plan plan;
    TP_TRY(tp_metric_plan_init(env, data, &plan, err));
    bootstrap run = {.plan = &plan,
                     .seed = seed,
                     .worker_count = tp_pool_worker_count(env->pool),
                     .scratch_count = (size_t)data->row_count + 3 * (size_t)data->class_count};
    const size_t scratch_count = run.worker_count * run.scratch_count;
    const size_t value_count = (size_t)replicates * TP_METRIC_COUNT;
    run.scratch = tp_alloc_array(env->alloc, scratch_count, sizeof(double));
    run.values = tp_alloc_array(env->alloc, value_count, sizeof(double));
    tp_metric_values values;
    for (uint32_t m = 0; m < TP_METRIC_COUNT; m++) {
        values.value[m] = values.low[m] = values.high[m] = (double)NAN;
    }
    const bool has_memory =
        (run.scratch != NULL || scratch_count == 0) && (run.values != NULL || value_count == 0);
    const tapeout_status status =
        has_memory ? run_bootstrap(env, &run, replicates, &values, err) : tp_fail_nomem(err);
    tp_free_array(env->alloc, run.scratch, scratch_count, sizeof(double));
    tp_free_array(env->alloc, run.values, value_count, sizeof(double));
    tp_metric_plan_deinit(&plan);
    if (status == TAPEOUT_OK) {
        *ret_values = values;
    }
    return status;
}

void tp_metrics_confusion(const tp_metric_data *data, uint64_t *ret_counts)
{
    const size_t classes = data->class_count;
    for (size_t i = 0; i < classes * classes; i++) {
        ret_counts[i] = 0;
    }
    for (uint64_t r = 0; r < data->row_count; r++) {
        const size_t truth = (size_t)data->target[r];
        const size_t forecast = (size_t)data->prediction[r];
        if (truth < classes && forecast < classes) {
            ret_counts[truth * classes + forecast]++;
        }
    }
}
