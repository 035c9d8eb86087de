// SPDX-License-Identifier: Apache-2.0
//
// Scoring: bind the feature program to a table, then block by block compute the features into
// columns and run the learner over them. A block is a task of the pool; each worker has its own
// columns and scratch. One row or a million take the same way, and no row's result depends on its
// neighbours.
#include "bundle/scorer_priv.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"

#include <string.h>

// What one worker writes to.
typedef struct session_worker {
    double **columns; // [F] → [TP_FEATURE_BLOCK_ROWS]
    tp_predictor *predictor;
} session_worker;

// A result array that grows and is kept.
typedef struct session_array {
    double *values;
    size_t capacity;
} session_array;

struct tp_session {
    const tp_env *env;
    const tp_scorer *scorer;
    tp_feature_run *run;
    session_worker *workers;
    size_t worker_count;
    session_array prediction;
    session_array probability;
    session_array shapley;
    session_array base;
    // The call under way.
    uint64_t row_count;
};

static size_t probability_stride(const tp_scorer *scorer)
{
    const tp_target *target = &scorer->target;
    return target->task == TP_TASK_BINARY ? 1 : target->class_count;
}

static tapeout_status worker_init(const tp_env *env, const tp_scorer *scorer,
                                  session_worker *worker, tapeout_error *err)
{
    const size_t count = scorer->feature_count;
    worker->columns = tp_alloc_array_zero(env->alloc, count + 1, sizeof(*worker->columns));
    if (worker->columns == NULL) {
        return tp_fail_nomem(err);
    }
    for (size_t i = 0; i < count; i++) {
        worker->columns[i] =
            tp_alloc_array(env->alloc, TP_FEATURE_BLOCK_ROWS, sizeof(*worker->columns[i]));
        if (worker->columns[i] == NULL) {
            return tp_fail_nomem(err);
        }
    }
    return tp_predictor_new(env, scorer->model, TP_FEATURE_BLOCK_ROWS, &worker->predictor, err);
}

static void worker_deinit(const tp_session *session, session_worker *worker)
{
    const tapeout_allocator *alloc = session->env->alloc;
    const size_t count = session->scorer->feature_count;
    for (size_t i = 0; worker->columns != NULL && i < count; i++) {
        tp_free_array(alloc, worker->columns[i], TP_FEATURE_BLOCK_ROWS, sizeof(double));
    }
    tp_free_array(alloc, worker->columns, count + 1, sizeof(*worker->columns));
    tp_predictor_free(worker->predictor);
}

tapeout_status tp_session_new(const tp_env *env, const tp_scorer *scorer, tp_session **ret_session,
                              tapeout_error *err)
{
    tp_session *session = tp_alloc_zero(env->alloc, sizeof(*session));
    if (session == NULL) {
        return tp_fail_nomem(err);
    }
    session->env = env;
    session->scorer = scorer;
    session->worker_count = tp_pool_worker_count(env->pool);
    session->workers =
        tp_alloc_array_zero(env->alloc, session->worker_count, sizeof(*session->workers));
    tapeout_status status = session->workers == NULL ? tp_fail_nomem(err) : TAPEOUT_OK;
    if (status == TAPEOUT_OK) {
        status =
            tp_feature_run_new(env, scorer->program, session->worker_count, &session->run, err);
    }
    for (size_t i = 0; status == TAPEOUT_OK && i < session->worker_count; i++) {
        status = worker_init(env, scorer, &session->workers[i], err);
    }
    if (status != TAPEOUT_OK) {
        tp_session_free(session);
        return status;
    }
    *ret_session = session;
    return TAPEOUT_OK;
}

static void array_free(const tapeout_allocator *alloc, session_array *array)
{
    tp_free_array(alloc, array->values, array->capacity, sizeof(*array->values));
}

void tp_session_free(tp_session *session)
{
    if (session == NULL) {
        return;
    }
    const tapeout_allocator *alloc = session->env->alloc;
    for (size_t i = 0; session->workers != NULL && i < session->worker_count; i++) {
        worker_deinit(session, &session->workers[i]);
    }
    tp_free_array(alloc, session->workers, session->worker_count, sizeof(*session->workers));
    tp_feature_run_free(session->run);
    array_free(alloc, &session->prediction);
    array_free(alloc, &session->probability);
    array_free(alloc, &session->shapley);
    array_free(alloc, &session->base);
    tp_free(alloc, session, sizeof(*session));
}

// Room for `count` values; what was there is forgotten.
static tapeout_status array_reserve(const tapeout_allocator *alloc, session_array *array,
                                    size_t count, tapeout_error *err)
{
    if (count <= array->capacity) {
        return TAPEOUT_OK;
    }
    double *values = tp_alloc_array(alloc, count, sizeof(*values));
    if (values == NULL) {
        return tp_fail_nomem(err);
    }
    array_free(alloc, array);
    *array = (session_array){values, count};
    return TAPEOUT_OK;
}

static uint32_t block_rows(const tp_session *session, uint64_t begin)
{
    const uint64_t left = session->row_count - begin;
    return left < TP_FEATURE_BLOCK_ROWS ? (uint32_t)left : (uint32_t)TP_FEATURE_BLOCK_ROWS;
}

static tapeout_status features_of_block(tp_session *session, size_t block, size_t worker,
                                        tapeout_error *err)
{
    const uint64_t begin = (uint64_t)block * TP_FEATURE_BLOCK_ROWS;
    const tp_feature_block request = {.row_begin = begin,
                                      .row_count = block_rows(session, begin),
                                      .outputs = NULL,
                                      .output_count = session->scorer->feature_count,
                                      .values = session->workers[worker].columns};
    return tp_feature_run_block(session->run, worker, &request, err);
}

// Multiclass probabilities come class by class for the block and are spread to class-major order
// over all rows.
static void predict_block(tp_session *session, uint64_t begin, uint32_t rows, size_t worker)
{
    session_worker *self = &session->workers[worker];
    const size_t stride = probability_stride(session->scorer);
    tp_prediction result = {.prediction = session->prediction.values + begin};
    double *spread = NULL;
    if (stride == 1) {
        result.probability = session->probability.values + begin;
    } else if (stride > 1) {
        spread = session->probability.values + session->row_count * stride +
                 worker * stride * TP_FEATURE_BLOCK_ROWS;
        result.probability = spread;
    }
    tp_predict(self->predictor, (const double *const *)self->columns, rows, &result);
    for (size_t k = 0; spread != NULL && k < stride; k++) {
        memcpy(session->probability.values + k * session->row_count + begin, spread + k * rows,
               rows * sizeof(*spread));
    }
}

static tapeout_status score_block(void *user, size_t block, size_t worker, tapeout_error *err)
{
    tp_session *session = user;
    const uint64_t begin = (uint64_t)block * TP_FEATURE_BLOCK_ROWS;
    TP_TRY(tp_env_check(session->env, err));
    TP_TRY(features_of_block(session, block, worker, err));
    predict_block(session, begin, block_rows(session, begin), worker);
    return TAPEOUT_OK;
}

static tapeout_status bind(tp_session *session, const tapeout_table *table, tp_row_choice rows,
                           tapeout_error *err)
{
    session->row_count = rows.count;
    return tp_feature_run_bind(session->run, table, rows, TP_FEATURE_SERVE, err);
}

static size_t block_count(const tp_session *session)
{
    return (size_t)((session->row_count + TP_FEATURE_BLOCK_ROWS - 1) / TP_FEATURE_BLOCK_ROWS);
}

tapeout_status tp_session_score(tp_session *session, const tapeout_table *table, tp_row_choice rows,
                                tp_scores *ret_scores, tapeout_error *err)
{
    const tapeout_allocator *alloc = session->env->alloc;
    const size_t stride = probability_stride(session->scorer);
    // Behind the rows: each worker's block of multiclass probabilities.
    const size_t spread = stride > 1 ? session->worker_count * TP_FEATURE_BLOCK_ROWS : 0;
    TP_TRY(bind(session, table, rows, err));
    TP_TRY(array_reserve(alloc, &session->prediction, rows.count, err));
    TP_TRY(array_reserve(alloc, &session->probability, (rows.count + spread) * stride, err));
    TP_TRY(tp_pool_for(session->env->pool, block_count(session), score_block, session, err));
    *ret_scores = (tp_scores){.row_count = rows.count,
                              .prediction = session->prediction.values,
                              .probability = stride > 0 ? session->probability.values : NULL};
    return TAPEOUT_OK;
}

tp_feature_counts tp_session_counts(const tp_session *session, uint32_t feature)
{
    return tp_feature_run_counts(session->run, feature);
}

// -- explanations --------------------------------------------------------------------------------

typedef struct explain_job {
    tp_session *session;
    tp_explain_groups groups;
    uint32_t output_count;
} explain_job;

static tapeout_status explain_block(void *user, size_t block, size_t worker, tapeout_error *err)
{
    explain_job *job = user;
    tp_session *session = job->session;
    const tp_scorer *scorer = session->scorer;
    const uint64_t begin = (uint64_t)block * TP_FEATURE_BLOCK_ROWS;
    const uint32_t rows = block_rows(session, begin);
    const size_t series = (size_t)job->output_count * scorer->schema.count;
    TP_TRY(tp_env_check(session->env, err));
    TP_TRY(features_of_block(session, block, worker, err));
    double *values = tp_alloc_array(session->env->alloc, series * rows, sizeof(*values));
    double *base = tp_alloc_array(session->env->alloc, job->output_count, sizeof(*base));
    tapeout_status status = TAPEOUT_OK;
    if (values == NULL || base == NULL) {
        status = tp_fail_nomem(err);
    }
    if (status == TAPEOUT_OK) {
        const tp_env inline_env = {.alloc = session->env->alloc};
        status = tp_model_explain(&inline_env, scorer->model, &job->groups,
                                  (const double *const *)session->workers[worker].columns, rows,
                                  &(tp_shapley){values, base}, err);
    }
    for (size_t s = 0; status == TAPEOUT_OK && s < series; s++) {
        memcpy(session->shapley.values + s * session->row_count + begin, values + s * rows,
               rows * sizeof(*values));
    }
    if (status == TAPEOUT_OK && block == 0) {
        memcpy(session->base.values, base, job->output_count * sizeof(*base));
    }
    tp_free_array(session->env->alloc, values, series * rows, sizeof(*values));
    tp_free_array(session->env->alloc, base, job->output_count, sizeof(*base));
    return status;
}

static tapeout_status explain_rows(explain_job *job, const tapeout_table *table, tp_row_choice rows,
                                   tapeout_error *err)
{
    tp_session *session = job->session;
    const tapeout_allocator *alloc = session->env->alloc;
    const size_t series = (size_t)job->output_count * session->scorer->schema.count;
    TP_TRY(bind(session, table, rows, err));
    TP_TRY(array_reserve(alloc, &session->shapley, series * rows.count, err));
    TP_TRY(array_reserve(alloc, &session->base, job->output_count, err));
    return tp_pool_for(session->env->pool, block_count(session), explain_block, job, err);
}

tapeout_status tp_session_explain(tp_session *session, const tapeout_table *table,
                                  tp_row_choice rows, tp_explanation *ret_explanation,
                                  tapeout_error *err)
{
    const tp_scorer *scorer = session->scorer;
    const size_t count = scorer->feature_count;
    tp_arena arena;
    tp_arena_init(&arena, session->env->alloc, SIZE_MAX);
    const uint32_t **lists = tp_arena_array(&arena, count, sizeof(*lists));
    uint32_t *sizes = tp_arena_array(&arena, count, sizeof(*sizes));
    if (lists == NULL || sizes == NULL) {
        tp_arena_deinit(&arena);
        return tp_fail_nomem(err);
    }
    for (uint32_t i = 0; i < count; i++) {
        const tp_feature_output *output = tp_feature_output_at(scorer->program, i);
        lists[i] = output->columns;
        sizes[i] = output->column_count;
    }
    explain_job job = {
        .session = session,
        .groups = {scorer->schema.count, lists, sizes},
        .output_count = scorer->target.task == TP_TASK_MULTICLASS ? scorer->target.class_count : 1};
    const tapeout_status status = explain_rows(&job, table, rows, err);
    tp_arena_deinit(&arena);
    TP_TRY(status);
    *ret_explanation = (tp_explanation){.row_count = rows.count,
                                        .output_count = job.output_count,
                                        .column_count = scorer->schema.count,
                                        .values = session->shapley.values,
                                        .base = session->base.values};
    return TAPEOUT_OK;
}
