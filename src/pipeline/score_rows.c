// SPDX-License-Identifier: Apache-2.0
//
// Scoring rows by a program and a model that are not in a bundle yet: the same blocks and the same
// predictor as a session, with margins kept, for evaluation, calibration and thresholds.
#include "pipeline/pipeline_priv.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"

#include <string.h>

typedef struct score_worker {
    double *columns_data; // [F][TP_FEATURE_BLOCK_ROWS]
    double **columns;     // [F]
    double *probability;  // [K][TP_FEATURE_BLOCK_ROWS]
    double *margin;       // [K][TP_FEATURE_BLOCK_ROWS]
    tp_predictor *predictor;
} score_worker;

typedef struct score_job {
    const tp_env *env;
    const tp_model *model;
    tp_feature_run *run;
    uint32_t feature_count;
    score_worker *workers;
    size_t worker_count;
    pipeline_scores *scores;
} score_job;

static tapeout_status worker_init(const score_job *job, score_worker *worker, tapeout_error *err)
{
    const tapeout_allocator *alloc = job->env->alloc;
    const size_t outputs = job->scores->output_count;
    worker->columns_data =
        tp_alloc_array(alloc, (size_t)job->feature_count * TP_FEATURE_BLOCK_ROWS, sizeof(double));
    worker->columns = tp_alloc_array(alloc, job->feature_count, sizeof(*worker->columns));
    worker->probability = tp_alloc_array(alloc, outputs * TP_FEATURE_BLOCK_ROWS, sizeof(double));
    worker->margin = tp_alloc_array(alloc, outputs * TP_FEATURE_BLOCK_ROWS, sizeof(double));
    if (worker->columns_data == NULL || worker->columns == NULL || worker->probability == NULL ||
        worker->margin == NULL) {
        return tp_fail_nomem(err);
    }
    for (uint32_t f = 0; f < job->feature_count; f++) {
        worker->columns[f] = worker->columns_data + (size_t)f * TP_FEATURE_BLOCK_ROWS;
    }
    return tp_predictor_new(job->env, job->model, TP_FEATURE_BLOCK_ROWS, &worker->predictor, err);
}

static void worker_deinit(const score_job *job, score_worker *worker)
{
    const tapeout_allocator *alloc = job->env->alloc;
    const size_t outputs = job->scores->output_count;
    tp_free_array(alloc, worker->columns_data, (size_t)job->feature_count * TP_FEATURE_BLOCK_ROWS,
                  sizeof(double));
    tp_free_array(alloc, worker->columns, job->feature_count, sizeof(*worker->columns));
    tp_free_array(alloc, worker->probability, outputs * TP_FEATURE_BLOCK_ROWS, sizeof(double));
    tp_free_array(alloc, worker->margin, outputs * TP_FEATURE_BLOCK_ROWS, sizeof(double));
    tp_predictor_free(worker->predictor);
}

static void spread(double *to, const double *from, const pipeline_scores *scores,
                   const tp_feature_block *block)
{
    for (uint32_t k = 0; k < scores->output_count; k++) {
        memcpy(to + k * scores->row_count + block->row_begin, from + (size_t)k * block->row_count,
               block->row_count * sizeof(*to));
    }
}

static tapeout_status score_block(void *user, size_t index, size_t worker_index, tapeout_error *err)
{
    score_job *job = user;
    score_worker *worker = &job->workers[worker_index];
    pipeline_scores *scores = job->scores;
    const uint64_t begin = (uint64_t)index * TP_FEATURE_BLOCK_ROWS;
    const uint64_t left = scores->row_count - begin;
    const tp_feature_block block = {.row_begin = begin,
                                    .row_count = left < TP_FEATURE_BLOCK_ROWS
                                                     ? (uint32_t)left
                                                     : (uint32_t)TP_FEATURE_BLOCK_ROWS,
                                    .outputs = NULL,
                                    .output_count = job->feature_count,
                                    .values = worker->columns};
    TP_TRY(tp_env_check(job->env, err));
    TP_TRY(tp_feature_run_block(job->run, worker_index, &block, err));
    const tp_prediction result = {.margin = worker->margin,
                                  .probability =
                                      scores->class_stride > 0 ? worker->probability : NULL,
                                  .prediction = scores->prediction + begin};
    tp_predict(worker->predictor, (const double *const *)worker->columns, block.row_count, &result);
    spread(scores->margin, worker->margin, scores, &block);
    if (scores->class_stride > 0) {
        spread(scores->probability, worker->probability, scores, &block);
    }
    return TAPEOUT_OK;
}

static tapeout_status score_all(score_job *job, tapeout_error *err)
{
    const size_t blocks =
        (size_t)((job->scores->row_count + TP_FEATURE_BLOCK_ROWS - 1) / TP_FEATURE_BLOCK_ROWS);
    for (size_t i = 0; i < job->worker_count; i++) {
        TP_TRY(worker_init(job, &job->workers[i], err));
    }
    return tp_pool_for(job->env->pool, blocks, score_block, job, err);
}

static tapeout_status scores_init(const tapeout_allocator *alloc, const tp_model *model,
                                  uint64_t row_count, pipeline_scores *scores, tapeout_error *err)
{
    const tp_model_parts *parts = tp_model_view(model);
    memset(scores, 0, sizeof(*scores));
    scores->row_count = row_count;
    scores->output_count = parts->task == TP_TASK_MULTICLASS ? parts->class_count : 1;
    scores->class_stride = parts->class_count == 0 ? 0 : scores->output_count;
    scores->prediction = tp_alloc_array(alloc, row_count, sizeof(double));
    scores->margin = tp_alloc_array(alloc, row_count * scores->output_count, sizeof(double));
    if (scores->class_stride > 0) {
        scores->probability =
            tp_alloc_array(alloc, row_count * scores->output_count, sizeof(double));
    }
    const bool complete = scores->prediction != NULL && scores->margin != NULL &&
                          (scores->class_stride == 0 || scores->probability != NULL);
    return complete || row_count == 0 ? TAPEOUT_OK : tp_fail_nomem(err);
}

void tp_pipeline_scores_deinit(const tapeout_allocator *alloc, pipeline_scores *scores)
{
    const size_t wide = (size_t)scores->row_count * scores->output_count;
    tp_free_array(alloc, scores->prediction, (size_t)scores->row_count, sizeof(double));
    tp_free_array(alloc, scores->margin, wide, sizeof(double));
    tp_free_array(alloc, scores->probability, wide, sizeof(double));
    memset(scores, 0, sizeof(*scores));
}

tapeout_status tp_pipeline_score(const tp_env *env, pipeline_learned learned,
                                 const pipeline_rows *rows, pipeline_scores *ret_scores,
                                 tapeout_error *err)
{
    score_job job = {.env = env,
                     .model = learned.model,
                     .feature_count = tp_feature_output_count(learned.program),
                     .worker_count = tp_pool_worker_count(env->pool),
                     .scores = ret_scores};
    tapeout_status status = scores_init(env->alloc, learned.model, rows->count, ret_scores, err);
    if (status == TAPEOUT_OK) {
        job.workers = tp_alloc_array_zero(env->alloc, job.worker_count, sizeof(*job.workers));
        status = job.workers == NULL
                     ? tp_fail_nomem(err)
                     : tp_feature_run_new(env, learned.program, job.worker_count, &job.run, err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_feature_run_bind(
            job.run, rows->table, (tp_row_choice){rows->index, rows->count}, TP_FEATURE_SERVE, err);
    }
    if (status == TAPEOUT_OK) {
        status = score_all(&job, err);
    }
    for (size_t i = 0; job.workers != NULL && i < job.worker_count; i++) {
        worker_deinit(&job, &job.workers[i]);
    }
    tp_free_array(env->alloc, job.workers, job.worker_count, sizeof(*job.workers));
    tp_feature_run_free(job.run);
    if (status != TAPEOUT_OK) {
        tp_pipeline_scores_deinit(env->alloc, ret_scores);
    }
    return status;
}

tp_metric_data tp_pipeline_metric_data(const tp_target *target, const tp_model *model,
                                       const pipeline_rows *rows, const pipeline_scores *scores,
                                       const tp_gbt_options *options)
{
    const tp_model_parts *parts = tp_model_view(model);
    return (tp_metric_data){.task = parts->task,
                            .objective = parts->objective,
                            .class_count = target->class_count,
                            .row_count = rows->count,
                            .target = rows->target,
                            .weight = rows->weight,
                            .probability = scores->probability,
                            .prediction = scores->prediction,
                            .quantile = options == NULL ? 0.5 : options->quantile,
                            .tweedie_power = options == NULL ? 1.5 : options->tweedie_power};
}
