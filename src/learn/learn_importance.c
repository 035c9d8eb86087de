// SPDX-License-Identifier: Apache-2.0
//
// Permutation importance over rows that are read block by block: besides the results only the one
// shuffled feature is held for all rows.
#include "learn/tp_importance.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_random.h"
#include "learn/gbt/tp_gbt.h"
#include "learn/learn_priv.h"

#include <math.h>

static const uint32_t no_feature = UINT32_MAX;

typedef struct importance_worker {
    tp_predictor *predictor;
    const double **columns; // [F] into `values`
    double *values;         // [F][block_rows]
    double *probability;    // [K][block_rows]
} importance_worker;

typedef struct importance_job {
    const tp_env *env;
    const tp_model *model;
    const tp_learn_data *data;
    const tp_importance_options *options;
    uint32_t output_count; // K
    size_t worker_count;
    importance_worker *workers;
    double *column;      // [R] the feature at hand
    double *shuffled;    // [R]
    uint32_t *order;     // [R]
    double *probability; // [K][R]
    double *prediction;  // [R]
    uint32_t feature;    // whose values come from `shuffled`
} importance_job;

static uint32_t rows_of_block(const tp_learn_data *data, size_t block)
{
    const uint64_t left = data->row_count - (uint64_t)block * data->block_rows;
    return left < data->block_rows ? (uint32_t)left : data->block_rows;
}

static size_t block_count(const tp_learn_data *data)
{
    return (size_t)((data->row_count + data->block_rows - 1) / data->block_rows);
}

// -- scoring -------------------------------------------------------------------------------------
static tapeout_status score_block(void *user, size_t block, size_t worker_index, tapeout_error *err)
{
    const importance_job *job = user;
    const tp_learn_data *data = job->data;
    const importance_worker *worker = &job->workers[worker_index];
    const uint64_t begin = (uint64_t)block * data->block_rows;
    const uint32_t count = rows_of_block(data, block);
    for (uint32_t f = 0; f < data->feature_count; f++) {
        double *values = worker->values + (size_t)f * data->block_rows;
        worker->columns[f] = f == job->feature ? job->shuffled + begin : values;
        if (f != job->feature) {
            const tp_learn_slice slice = {worker_index, f, count, begin};
            TP_TRY(data->read(data->user, &slice, values, err));
        }
    }
    const tp_prediction out = {.probability = worker->probability,
                               .prediction = job->prediction + begin};
    tp_predict(worker->predictor, worker->columns, count, &out);
    for (uint32_t k = 0; k < job->output_count; k++) {
        double *whole = job->probability + (size_t)k * data->row_count + begin;
        for (uint32_t r = 0; r < count; r++) {
            whole[r] = worker->probability[(size_t)k * count + r];
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status score(importance_job *job, double *ret_value, tapeout_error *err)
{
    const tp_model_parts *parts = tp_model_view(job->model);
    const tp_learn_data *data = job->data;
    TP_TRY(tp_env_check(job->env, err));
    TP_TRY(tp_pool_for(job->env->pool, block_count(data), score_block, job, err));
    const tp_metric_data figures = {.task = parts->task,
                                    .objective = parts->objective,
                                    .class_count = parts->class_count,
                                    .row_count = data->row_count,
                                    .target = data->target,
                                    .weight = data->weight,
                                    .probability = job->probability,
                                    .prediction = job->prediction,
                                    .quantile = job->options->quantile,
                                    .tweedie_power = job->options->tweedie_power};
    tp_metric_values values;
    TP_TRY(tp_metrics_compute(job->env, &figures, 0, 0, &values, err));
    *ret_value = values.value[job->options->metric];
    return TAPEOUT_OK;
}

// -- one feature ---------------------------------------------------------------------------------
static tapeout_status read_block(void *user, size_t block, size_t worker, tapeout_error *err)
{
    const importance_job *job = user;
    const uint64_t begin = (uint64_t)block * job->data->block_rows;
    const tp_learn_slice slice = {worker, job->feature, rows_of_block(job->data, block), begin};
    return job->data->read(job->data->user, &slice, job->column + begin, err);
}

static tapeout_status permute_feature(importance_job *job, uint32_t feature, double baseline,
                                      double *ret_importance, tapeout_error *err)
{
    const uint32_t repeats = job->options->repeats;
    const uint32_t rows = (uint32_t)job->data->row_count;
    job->feature = feature;
    TP_TRY(tp_pool_for(job->env->pool, block_count(job->data), read_block, job, err));
    double sum = 0.0;
    for (uint32_t i = 0; i < repeats; i++) {
        for (uint32_t r = 0; r < rows; r++) {
            job->order[r] = r;
        }
        const uint64_t stream = (uint64_t)feature * repeats + i;
        tp_random_shuffle_u32(job->options->seed, stream, job->order, rows);
        for (uint32_t r = 0; r < rows; r++) {
            job->shuffled[r] = job->column[job->order[r]];
        }
        double value = 0.0;
        TP_TRY(score(job, &value, err));
        const double fall =
            tp_metric_larger_is_better(job->options->metric) ? baseline - value : value - baseline;
        sum += isnan(fall) ? 0.0 : fall;
    }
    *ret_importance = sum / (double)repeats;
    return TAPEOUT_OK;
}

static tapeout_status permute_all(importance_job *job, const uint64_t *splits,
                                  double *ret_importance, tapeout_error *err)
{
    double baseline = 0.0;
    job->feature = no_feature;
    TP_TRY(score(job, &baseline, err));
    if (isnan(baseline)) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "importance: %s is not defined for this model and these rows",
                       tp_metric_word(job->options->metric));
    }
    for (uint32_t f = 0; f < job->data->feature_count; f++) {
        ret_importance[f] = 0.0;
        if (splits == NULL || splits[f] > 0) {
            TP_TRY(permute_feature(job, f, baseline, &ret_importance[f], err));
        }
        tp_env_progress(job->env, "evaluate", (double)(f + 1) / job->data->feature_count);
    }
    return TAPEOUT_OK;
}

// -- memory --------------------------------------------------------------------------------------
static tapeout_status worker_init(const importance_job *job, importance_worker *worker,
                                  tapeout_error *err)
{
    const tapeout_allocator *alloc = job->env->alloc;
    const tp_learn_data *data = job->data;
    TP_TRY(tp_predictor_new(job->env, job->model, data->block_rows, &worker->predictor, err));
    const size_t features = data->feature_count;
    const size_t outputs = job->output_count;
    worker->columns = tp_alloc_array(alloc, features, sizeof(*worker->columns));
    worker->values = tp_alloc_array(alloc, features * data->block_rows, sizeof(double));
    worker->probability = tp_alloc_array_zero(alloc, outputs * data->block_rows, sizeof(double));
    const bool has_all =
        worker->columns != NULL && worker->values != NULL && worker->probability != NULL;
    return has_all ? TAPEOUT_OK : tp_fail_nomem(err);
}

static void worker_deinit(const importance_job *job, importance_worker *worker)
{
    const tapeout_allocator *alloc = job->env->alloc;
    const size_t features = job->data->feature_count;
    const size_t rows = job->data->block_rows;
    tp_predictor_free(worker->predictor);
    tp_free_array(alloc, worker->columns, features, sizeof(*worker->columns));
    tp_free_array(alloc, worker->values, features * rows, sizeof(double));
    tp_free_array(alloc, worker->probability, job->output_count * rows, sizeof(double));
}

static tapeout_status job_alloc(importance_job *job, tapeout_error *err)
{
    const tapeout_allocator *alloc = job->env->alloc;
    const size_t rows = (size_t)job->data->row_count;
    job->workers = tp_alloc_array_zero(alloc, job->worker_count, sizeof(*job->workers));
    job->column = tp_alloc_array(alloc, rows, sizeof(double));
    job->shuffled = tp_alloc_array(alloc, rows, sizeof(double));
    job->order = tp_alloc_array(alloc, rows, sizeof(uint32_t));
    job->probability = tp_alloc_array(alloc, job->output_count * rows, sizeof(double));
    job->prediction = tp_alloc_array(alloc, rows, sizeof(double));
    if (job->workers == NULL || job->column == NULL || job->shuffled == NULL ||
        job->order == NULL || job->probability == NULL || job->prediction == NULL) {
        return tp_fail_nomem(err);
    }
    for (size_t w = 0; w < job->worker_count; w++) {
        TP_TRY(worker_init(job, &job->workers[w], err));
    }
    return TAPEOUT_OK;
}

static void job_deinit(importance_job *job)
{
    const tapeout_allocator *alloc = job->env->alloc;
    const size_t rows = (size_t)job->data->row_count;
    for (size_t w = 0; job->workers != NULL && w < job->worker_count; w++) {
        worker_deinit(job, &job->workers[w]);
    }
    tp_free_array(alloc, job->workers, job->worker_count, sizeof(*job->workers));
    tp_free_array(alloc, job->column, rows, sizeof(double));
    tp_free_array(alloc, job->shuffled, rows, sizeof(double));
    tp_free_array(alloc, job->order, rows, sizeof(uint32_t));
    tp_free_array(alloc, job->probability, job->output_count * rows, sizeof(double));
    tp_free_array(alloc, job->prediction, rows, sizeof(double));
}

// How often each feature is split on; NULL for a linear model, which uses all.
static tapeout_status count_splits(const importance_job *job, uint64_t **ret_splits,
                                   tapeout_error *err)
{
    const tp_model_parts *parts = tp_model_view(job->model);
    const tapeout_allocator *alloc = job->env->alloc;
    const size_t count = job->data->feature_count;
    if (parts->kind != TP_LEARNER_GBT) {
        return TAPEOUT_OK;
    }
    double *gain = tp_alloc_array(alloc, count, sizeof(*gain));
    uint64_t *splits = tp_alloc_array(alloc, count, sizeof(*splits));
    if (gain == NULL || splits == NULL) {
        tp_free_array(alloc, gain, count, sizeof(*gain));
        tp_free_array(alloc, splits, count, sizeof(*splits));
        return tp_fail_nomem(err);
    }
    tp_gbt_importance(parts->gbt, gain, splits);
    tp_free_array(alloc, gain, count, sizeof(*gain));
    *ret_splits = splits;
    return TAPEOUT_OK;
}

tapeout_status tp_importance_permutation(const tp_env *env, const tp_model *model,
                                         const tp_learn_data *data,
                                         const tp_importance_options *options,
                                         double *ret_importance, tapeout_error *err)
{
    if (options->repeats == 0 || options->repeats > TP_MAX_IMPORTANCE_REPEATS) {
        return tp_fail(err, TAPEOUT_E_INVALID, "importance: %u repeats; expected 1 to %u",
                       options->repeats, TP_MAX_IMPORTANCE_REPEATS);
    }
    if (data->row_count == 0 || data->row_count > UINT32_MAX || data->feature_count == 0) {
        return tp_fail(err, TAPEOUT_E_DATA, "importance: %llu rows and %u features; nothing to do",
                       (unsigned long long)data->row_count, data->feature_count);
    }
    importance_job job = {.env = env,
                          .model = model,
                          .data = data,
                          .options = options,
                          .output_count = tp_model_output_count(tp_model_view(model)),
                          .worker_count = tp_pool_worker_count(env->pool)};
    uint64_t *splits = NULL;
    tapeout_status status = job_alloc(&job, err);
    if (status == TAPEOUT_OK) {
        status = count_splits(&job, &splits, err);
    }
    if (status == TAPEOUT_OK) {
        status = permute_all(&job, splits, ret_importance, err);
    }
    tp_free_array(env->alloc, splits, data->feature_count, sizeof(*splits));
    job_deinit(&job);
    return status;
}
