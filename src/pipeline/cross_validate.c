// SPDX-License-Identifier: Apache-2.0
//
// Cross-validation: the spec fitted anew on all folds but one and measured on that one, for each in
// turn. The folds are cut as the test was: by class at random, by group, or forward in time. Each
// fold is fitted with the number of trees and the threshold that the model itself ended with, so
// that no fold chooses for itself by what it is tested on. Only training rows take part.
#include "learn/tp_folds.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "pipeline/pipeline_priv.h"
#include "table/tp_json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct cross_job {
    const pipeline_subject *subject;
    tp_spec spec; // the subject's, with what was found out held fixed; shares its memory
    tp_folds_by by;
    uint32_t fold_count;
    uint32_t *part;           // [train rows]
    tp_metric_values *values; // [fold_count]
    tp_arena arena;
} cross_job;

static int compare_keys(const void *a, const void *b)
{
    const uint64_t left = *(const uint64_t *)a;
    const uint64_t right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

// Dense labels for equal keys: positions in the sorted list of distinct keys.
static uint32_t dense_labels(uint64_t *keys, uint64_t *sorted, uint64_t count, uint32_t *ret_labels)
{
    memcpy(sorted, keys, count * sizeof(*keys));
    qsort(sorted, count, sizeof(*sorted), compare_keys);
    uint64_t distinct = 0;
    for (uint64_t i = 0; i < count; i++) {
        if (distinct == 0 || sorted[distinct - 1] != sorted[i]) {
            sorted[distinct++] = sorted[i];
        }
    }
    for (uint64_t i = 0; i < count; i++) {
        const uint64_t *found = bsearch(&keys[i], sorted, distinct, sizeof(*sorted), compare_keys);
        ret_labels[i] = (uint32_t)(found - sorted);
    }
    return (uint32_t)distinct;
}

static tapeout_status label_groups(cross_job *job, tp_folds_options *options, tapeout_error *err)
{
    const pipeline_rows *rows = &job->subject->dataset->train;
    const tp_column *column = tp_table_find(rows->table, job->spec.data.split.column);
    uint64_t *keys = tp_arena_array(&job->arena, rows->count, sizeof(*keys));
    uint64_t *sorted = tp_arena_array(&job->arena, rows->count, sizeof(*sorted));
    uint32_t *labels = tp_arena_array(&job->arena, rows->count, sizeof(*labels));
    TP_TRY(tp_arena_check(&job->arena, "cross-validation", err));
    for (uint64_t i = 0; i < rows->count; i++) {
        keys[i] = tp_pipeline_group_key(column, rows->index[i]);
    }
    options->label_count = dense_labels(keys, sorted, rows->count, labels);
    options->label = labels;
    return TAPEOUT_OK;
}

static tapeout_status label_classes(cross_job *job, tp_folds_options *options, tapeout_error *err)
{
    const pipeline_dataset *dataset = job->subject->dataset;
    if (dataset->target.class_count == 0) {
        return TAPEOUT_OK;
    }
    uint32_t *labels = tp_arena_array(&job->arena, dataset->train.count, sizeof(*labels));
    TP_TRY(tp_arena_check(&job->arena, "cross-validation", err));
    for (uint64_t i = 0; i < dataset->train.count; i++) {
        labels[i] = (uint32_t)dataset->train.target[i];
    }
    options->label_count = dataset->target.class_count;
    options->label = labels;
    return TAPEOUT_OK;
}

static tapeout_status label_times(cross_job *job, tp_folds_options *options, tapeout_error *err)
{
    const pipeline_rows *rows = &job->subject->dataset->train;
    const tp_column *column = tp_table_find(rows->table, job->spec.data.split.column);
    double *times = tp_arena_array(&job->arena, rows->count, sizeof(*times));
    TP_TRY(tp_arena_check(&job->arena, "cross-validation", err));
    for (uint64_t i = 0; i < rows->count; i++) {
        times[i] = tp_pipeline_time_key(column, rows->index[i]);
    }
    options->time = times;
    return TAPEOUT_OK;
}

static tapeout_status assign_folds(cross_job *job, tapeout_error *err)
{
    const tp_split_by by = job->spec.data.split_by;
    tp_folds_options options = {.fold_count = job->fold_count, .seed = job->spec.seed};
    if (by == TP_SPLIT_GROUP) {
        options.by = TP_FOLDS_GROUP;
        TP_TRY(label_groups(job, &options, err));
    } else if (by == TP_SPLIT_TIME) {
        options.by = TP_FOLDS_TIME;
        TP_TRY(label_times(job, &options, err));
    } else {
        options.by = TP_FOLDS_RANDOM;
        TP_TRY(label_classes(job, &options, err));
    }
    const uint64_t count = job->subject->dataset->train.count;
    job->by = options.by;
    job->part = tp_arena_array(&job->arena, count, sizeof(*job->part));
    job->values = tp_arena_array(&job->arena, job->fold_count, sizeof(*job->values));
    TP_TRY(tp_arena_check(&job->arena, "cross-validation", err));
    return tp_folds_assign(job->subject->env, &options, count, job->part, err);
}

// The training rows that play `role` in `fold`, with their targets and weights.
static tapeout_status pick_rows(const cross_job *job, uint32_t fold, tp_folds_role role,
                                pipeline_rows *ret_rows, tapeout_error *err)
{
    const pipeline_rows *all = &job->subject->dataset->train;
    const tapeout_allocator *alloc = job->subject->env->alloc;
    uint64_t count = 0;
    for (uint64_t i = 0; i < all->count; i++) {
        count += tp_folds_role_of(job->by, job->part[i], fold) == role;
    }
    *ret_rows =
        (pipeline_rows){.table = all->table, .count = count, .is_training = role == TP_FOLDS_TRAIN};
    ret_rows->index = tp_alloc_array(alloc, count, sizeof(*ret_rows->index));
    ret_rows->target = tp_alloc_array(alloc, count, sizeof(*ret_rows->target));
    if (role == TP_FOLDS_TRAIN && all->weight != NULL) {
        ret_rows->weight = tp_alloc_array(alloc, count, sizeof(*ret_rows->weight));
    }
    if (ret_rows->index == NULL || ret_rows->target == NULL) {
        return tp_fail_nomem(err);
    }
    uint64_t filled = 0;
    for (uint64_t i = 0; i < all->count; i++) {
        if (tp_folds_role_of(job->by, job->part[i], fold) == role) {
            ret_rows->index[filled] = all->index[i];
            ret_rows->target[filled] = all->target[i];
            if (ret_rows->weight != NULL) {
                ret_rows->weight[filled] = all->weight[i];
            }
            filled++;
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status measure_fold(cross_job *job, const pipeline_dataset *dataset, uint32_t fold,
                                   tapeout_error *err)
{
    const tp_env *env = job->subject->env;
    pipeline_fitted fitted;
    pipeline_scores scores = {0};
    TP_TRY(tp_pipeline_fit(env, &job->spec, dataset, &fitted, err));
    const pipeline_learned learned = {fitted.program, fitted.model};
    tapeout_status status = tp_pipeline_score(env, learned, &dataset->test, &scores, err);
    if (status == TAPEOUT_OK) {
        const tp_metric_data data = tp_pipeline_metric_data(
            &dataset->target, fitted.model, &dataset->test, &scores, &job->spec.model.gbt);
        status = tp_metrics_compute(env, &data, 0, 0, &job->values[fold], err);
    }
    tp_pipeline_scores_deinit(env->alloc, &scores);
    tp_pipeline_fitted_deinit(&fitted);
    return status;
}

static tapeout_status run_fold(cross_job *job, uint32_t fold, tapeout_error *err)
{
    const tapeout_allocator *alloc = job->subject->env->alloc;
    pipeline_dataset dataset = *job->subject->dataset;
    dataset.hold_out = (pipeline_rows){0};
    dataset.train = (pipeline_rows){0};
    dataset.test = (pipeline_rows){0};
    tapeout_status status = pick_rows(job, fold, TP_FOLDS_TRAIN, &dataset.train, err);
    if (status == TAPEOUT_OK) {
        status = pick_rows(job, fold, TP_FOLDS_TEST, &dataset.test, err);
    }
    if (status == TAPEOUT_OK) {
        status = measure_fold(job, &dataset, fold, err);
    }
    tp_pipeline_rows_deinit(alloc, &dataset.train);
    tp_pipeline_rows_deinit(alloc, &dataset.test);
    return status;
}

// Mean and sample deviation over the folds, figure by figure.
static void append_summary(const cross_job *job, tp_buffer *json)
{
    tp_metric_values mean = job->values[0];
    tp_metric_values deviation = job->values[0];
    for (int m = 0; m < TP_METRIC_COUNT; m++) {
        double sum = 0;
        double squares = 0;
        for (uint32_t k = 0; k < job->fold_count; k++) {
            sum += job->values[k].value[m];
        }
        mean.value[m] = sum / job->fold_count;
        for (uint32_t k = 0; k < job->fold_count; k++) {
            const double from_mean = job->values[k].value[m] - mean.value[m];
            squares += from_mean * from_mean;
        }
        deviation.value[m] = sqrt(squares / (job->fold_count - 1));
    }
    tp_buffer_append_char(json, '{');
    tp_json_append_key(json, "mean");
    tp_pipeline_metrics_append(json, &mean, false);
    tp_json_append_key(json, "deviation");
    tp_pipeline_metrics_append(json, &deviation, false);
    tp_json_append_key(json, "folds");
    for (uint32_t k = 0; k < job->fold_count; k++) {
        tp_buffer_append_char(json, k == 0 ? '[' : ',');
        tp_pipeline_metrics_append(json, &job->values[k], false);
    }
    tp_buffer_append_text(json, "]}");
}

// Early stopping, calibration and the threshold's rule would each look at the fold that they are
// tested on; the folds get what the model ended with instead.
static void fix_choices(cross_job *job)
{
    const pipeline_fitted *fitted = job->subject->fitted;
    job->spec = *job->subject->spec;
    if (fitted->iterations > 0) {
        job->spec.model.gbt.trees = fitted->iterations;
    }
    job->spec.model.gbt.early_stopping = 0;
    job->spec.calibration_method = 0;
    if (job->subject->dataset->target.task == TP_TASK_BINARY) {
        job->spec.threshold = (tp_threshold_rule){.kind = TP_THRESHOLD_FIXED,
                                                  .value = tp_model_view(fitted->model)->threshold};
    }
}

tapeout_status tp_pipeline_cross_validate(const pipeline_subject *subject, tp_buffer *ret_json,
                                          tapeout_error *err)
{
    cross_job job = {.subject = subject, .fold_count = subject->spec->cross_validation.folds};
    if (job.fold_count == 0) {
        return TAPEOUT_OK;
    }
    tp_arena_init(&job.arena, subject->env->alloc, SIZE_MAX);
    fix_choices(&job);
    tapeout_status status = assign_folds(&job, err);
    for (uint32_t fold = 0; fold < job.fold_count && status == TAPEOUT_OK; fold++) {
        tp_env_progress(subject->env, "validate", (double)fold / job.fold_count);
        status = run_fold(&job, fold, err);
    }
    if (status == TAPEOUT_OK) {
        append_summary(&job, ret_json);
    } else {
        tp_error_prefix(err, "cross-validation");
    }
    tp_arena_deinit(&job.arena);
    return status;
}
