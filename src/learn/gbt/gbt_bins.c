// SPDX-License-Identifier: Apache-2.0
//
// How values become bins, chosen from a sample of the rows, one feature a task. The sample is made
// of short runs of rows, one at a random place in each of equal parts of the data: reading it costs
// a fraction of reading the data, and data that is sorted by something is sampled evenly.
#include "learn/gbt/gbt_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_random.h"

#include <math.h>
#include <string.h>

enum { SAMPLE_RUN_ROWS = 32 };

// What each worker needs for one feature after another.
typedef struct sample_scratch {
    double *values;   // [sample]
    uint64_t *spare;  // [2 · sample]
    uint32_t *counts; // [sample]
} sample_scratch;

typedef struct fit_job {
    const tp_env *env;
    const tp_learn_data *data;
    const tp_gbt_options *options;
    tp_gbt_bins *bins;
    size_t sample_rows;
    size_t worker_count;
    sample_scratch *scratch; // [workers]
} fit_job;

// Reads the sample of one feature.
static tapeout_status sample_read(const fit_job *job, size_t worker, uint32_t feature,
                                  double *ret_values, tapeout_error *err)
{
    const tp_learn_data *data = job->data;
    const bool is_all = job->sample_rows == data->row_count;
    const uint32_t most = data->block_rows > 0 ? data->block_rows : 1;
    const uint32_t step = is_all || most < SAMPLE_RUN_ROWS ? most : SAMPLE_RUN_ROWS;
    const uint64_t runs = (job->sample_rows + step - 1) / step;
    for (uint64_t run = 0; run < runs; run++) {
        const uint64_t done = run * step;
        const uint32_t count =
            job->sample_rows - done < step ? (uint32_t)(job->sample_rows - done) : step;
        uint64_t begin = done;
        if (!is_all) {
            // Parts are longer than a run, since the sample is smaller than the data.
            const uint64_t part = data->row_count / runs;
            begin = run * part +
                    tp_random_below(job->options->seed, TP_GBT_STREAM_SAMPLE, run, part - step + 1);
        }
        const tp_learn_slice slice = {worker, feature, count, begin};
        TP_TRY(data->read(data->user, &slice, ret_values + done, err));
    }
    return TAPEOUT_OK;
}

static tapeout_status fit_numeric(const fit_job *job, const sample_scratch *scratch,
                                  tp_gbt_column *column, tapeout_error *err)
{
    size_t present = 0;
    for (size_t i = 0; i < job->sample_rows; i++) {
        if (!isnan(scratch->values[i])) {
            scratch->values[present++] = scratch->values[i];
        }
    }
    double bounds[TP_GBT_BIN_SLOTS];
    tp_gbt_sort_doubles(scratch->values, scratch->spare, present);
    const uint32_t count =
        tp_gbt_bounds_choose(scratch->values, scratch->counts, present, job->options->bins, bounds);
    column->bounds = tp_alloc_array(job->env->alloc, count, sizeof(double));
    if (column->bounds == NULL) {
        return tp_fail_nomem(err);
    }
    memcpy(column->bounds, bounds, count * sizeof(double));
    column->bin_count = count;
    column->hist_count = count + 1;
    return TAPEOUT_OK;
}

// The most frequent codes get bins, the first code first among equals; a code that the sample shows
// less often than a bin needs shares bin 0.
static tapeout_status fit_category(const fit_job *job, const sample_scratch *scratch,
                                   tp_gbt_column *column, tapeout_error *err)
{
    const tapeout_allocator *alloc = job->env->alloc;
    const uint32_t codes = column->category_count;
    column->category_bins = tp_alloc_array_zero(alloc, codes, sizeof(uint8_t));
    column->bin_categories = tp_alloc_array_zero(alloc, TP_GBT_BIN_SLOTS, sizeof(uint32_t));
    uint32_t *counts = tp_alloc_array_zero(alloc, codes, sizeof(uint32_t));
    if (column->category_bins == NULL || column->bin_categories == NULL || counts == NULL) {
        tp_free_array(alloc, counts, codes, sizeof(uint32_t));
        return tp_fail_nomem(err);
    }
    for (size_t i = 0; i < job->sample_rows; i++) {
        const double value = scratch->values[i];
        if (value >= 0 && value < codes) {
            counts[(uint32_t)value]++;
        }
    }
    uint32_t bin_count = 1;
    while (bin_count < job->options->bins) {
        uint32_t best = 0;
        for (uint32_t code = 1; code < codes; code++) {
            best = counts[code] > counts[best] ? code : best;
        }
        if (codes == 0 || counts[best] < TP_GBT_MIN_ROWS_IN_BIN) {
            break;
        }
        counts[best] = 0;
        column->bin_categories[bin_count] = best;
        column->category_bins[best] = (uint8_t)bin_count;
        bin_count++;
    }
    column->bin_count = bin_count;
    column->hist_count = bin_count;
    tp_free_array(alloc, counts, codes, sizeof(uint32_t));
    return TAPEOUT_OK;
}

static tapeout_status fit_task(void *user, size_t task, size_t worker, tapeout_error *err)
{
    const fit_job *job = user;
    TP_TRY(tp_env_check(job->env, err));
    const tp_learn_feature *feature = &job->data->features[task];
    tp_gbt_column *column = &job->bins->columns[task];
    column->is_category = feature->is_category;
    column->category_count = feature->category_count;
    column->monotone = feature->is_category ? 0 : feature->monotone;
    const sample_scratch *scratch = &job->scratch[worker];
    TP_TRY(sample_read(job, worker, (uint32_t)task, scratch->values, err));
    return feature->is_category ? fit_category(job, scratch, column, err)
                                : fit_numeric(job, scratch, column, err);
}

static void scratch_free(const fit_job *job)
{
    const tapeout_allocator *alloc = job->env->alloc;
    for (size_t w = 0; job->scratch != NULL && w < job->worker_count; w++) {
        tp_free_array(alloc, job->scratch[w].values, job->sample_rows, sizeof(double));
        tp_free_array(alloc, job->scratch[w].spare, 2 * job->sample_rows, sizeof(uint64_t));
        tp_free_array(alloc, job->scratch[w].counts, job->sample_rows, sizeof(uint32_t));
    }
    tp_free_array(alloc, job->scratch, job->worker_count, sizeof(sample_scratch));
}

static tapeout_status scratch_new(fit_job *job, tapeout_error *err)
{
    const tapeout_allocator *alloc = job->env->alloc;
    job->scratch = tp_alloc_array_zero(alloc, job->worker_count, sizeof(sample_scratch));
    if (job->scratch == NULL) {
        return tp_fail_nomem(err);
    }
    for (size_t w = 0; w < job->worker_count; w++) {
        sample_scratch *scratch = &job->scratch[w];
        scratch->values = tp_alloc_array(alloc, job->sample_rows, sizeof(double));
        scratch->spare = tp_alloc_array(alloc, 2 * job->sample_rows, sizeof(uint64_t));
        scratch->counts = tp_alloc_array(alloc, job->sample_rows, sizeof(uint32_t));
        if (scratch->values == NULL || scratch->spare == NULL || scratch->counts == NULL) {
            return tp_fail_nomem(err);
        }
    }
    return TAPEOUT_OK;
}

tapeout_status tp_gbt_bins_fit(const tp_env *env, const tp_learn_data *data,
                               const tp_gbt_options *options, tp_gbt_bins *ret_bins,
                               tapeout_error *err)
{
    *ret_bins = (tp_gbt_bins){.alloc = env->alloc, .feature_count = data->feature_count};
    ret_bins->columns = tp_alloc_array_zero(env->alloc, data->feature_count, sizeof(tp_gbt_column));
    if (ret_bins->columns == NULL) {
        return tp_fail_nomem(err);
    }
    const bool is_all = data->row_count <= TP_GBT_SAMPLE_ROWS + TP_GBT_SAMPLE_ROWS / 8;
    fit_job job = {.env = env,
                   .data = data,
                   .options = options,
                   .bins = ret_bins,
                   .sample_rows = is_all ? data->row_count : TP_GBT_SAMPLE_ROWS,
                   .worker_count = tp_pool_worker_count(env->pool)};
    tapeout_status status = scratch_new(&job, err);
    if (status == TAPEOUT_OK) {
        status = tp_pool_for(env->pool, data->feature_count, fit_task, &job, err);
    }
    scratch_free(&job);
    TP_TRY(status);
    for (uint32_t f = 0; f < data->feature_count; f++) {
        ret_bins->columns[f].hist_begin = ret_bins->hist_size;
        ret_bins->hist_size += ret_bins->columns[f].hist_count;
    }
    return TAPEOUT_OK;
}

void tp_gbt_bins_deinit(tp_gbt_bins *bins)
{
    for (uint32_t f = 0; bins->columns != NULL && f < bins->feature_count; f++) {
        const tp_gbt_column *column = &bins->columns[f];
        if (column->bounds != NULL) {
            tp_free_array(bins->alloc, column->bounds, column->bin_count, sizeof(double));
        }
        if (column->category_bins != NULL) {
            tp_free_array(bins->alloc, column->category_bins, column->category_count,
                          sizeof(uint8_t));
        }
        if (column->bin_categories != NULL) {
            tp_free_array(bins->alloc, column->bin_categories, TP_GBT_BIN_SLOTS, sizeof(uint32_t));
        }
    }
    tp_free_array(bins->alloc, bins->columns, bins->feature_count, sizeof(tp_gbt_column));
    *bins = (tp_gbt_bins){0};
}
