// SPDX-License-Identifier: Apache-2.0
//
// Evaluation on the test rows: every metric with its bootstrap interval, the same by cohort, the
// confusion of classes, importances, and a sketch of the predictions for later drift detection.
// What comes out is JSON text, for the report in the bundle and for the user alike.
#include "pipeline/pipeline_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "table/tp_json.h"
#include "table/tp_sketch.h"
#include "table/tp_value.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_COHORT_VALUES = 50, MIN_COHORT_ROWS = 30 };

typedef struct evaluate_job {
    const pipeline_subject *subject;
    const tp_env *env;
    const tp_spec *spec;
    const pipeline_dataset *dataset;
    const pipeline_fitted *fitted;
    pipeline_scores scores;
    pipeline_evaluation *result;
} evaluate_job;

void tp_pipeline_metrics_append(tp_buffer *json, const tp_metric_values *values, bool intervals)
{
    tp_buffer_append_char(json, '{');
    for (int m = 0; m < TP_METRIC_COUNT; m++) {
        if (isnan(values->value[m]) || (intervals && isnan(values->low[m]))) {
            continue;
        }
        tp_json_append_key(json, tp_metric_word((tp_metric)m));
        if (!intervals) {
            tp_json_append_f64(json, values->value[m]);
            continue;
        }
        tp_buffer_append_char(json, '[');
        tp_json_append_f64(json, values->low[m]);
        tp_buffer_append_char(json, ',');
        tp_json_append_f64(json, values->high[m]);
        tp_buffer_append_char(json, ']');
    }
    tp_buffer_append_char(json, '}');
}

static tapeout_status append_confusion(const evaluate_job *job, const tp_metric_data *data,
                                       tp_buffer *json, tapeout_error *err)
{
    const size_t classes = data->class_count;
    uint64_t *counts = tp_alloc_array_zero(job->env->alloc, classes * classes, sizeof(*counts));
    if (counts == NULL) {
        return tp_fail_nomem(err);
    }
    tp_metrics_confusion(data, counts);
    for (size_t i = 0; i < classes; i++) {
        tp_buffer_append_char(json, i == 0 ? '[' : ',');
        for (size_t j = 0; j < classes; j++) {
            tp_buffer_append_char(json, j == 0 ? '[' : ',');
            tp_json_append_u64(json, counts[i * classes + j]);
        }
        tp_buffer_append_char(json, ']');
    }
    tp_buffer_append_char(json, ']');
    tp_free_array(job->env->alloc, counts, classes * classes, sizeof(*counts));
    return TAPEOUT_OK;
}

// -- cohorts -------------------------------------------------------------------------------------

typedef struct cohort_value {
    int64_t code; // dictionary code or value; INT64_MIN for missing
    uint64_t count;
} cohort_value;

static int64_t cohort_of(const tp_column *column, uint32_t row)
{
    if (!tp_column_is_valid(column, row)) {
        return INT64_MIN;
    }
    if (column->type == TAPEOUT_TYPE_BOOL) {
        return column->values.bits[row >> 3] >> (row & 7) & 1;
    }
    if (column->type == TAPEOUT_TYPE_INT64) {
        return column->values.i64[row];
    }
    return column->values.codes[row];
}

static int compare_cohorts(const void *a, const void *b)
{
    const cohort_value *left = a;
    const cohort_value *right = b;
    if (left->count != right->count) {
        return left->count > right->count ? -1 : 1;
    }
    return (left->code > right->code) - (left->code < right->code);
}

// Rows of one cohort, with their scores gathered.
static tapeout_status cohort_metrics(const evaluate_job *job, const tp_column *column,
                                     const cohort_value *cohort, tp_buffer *json,
                                     tapeout_error *err)
{
    const pipeline_rows *rows = &job->dataset->test;
    const pipeline_scores *all = &job->scores;
    const size_t stride = all->class_stride;
    const size_t count = (size_t)cohort->count;
    double *data = tp_alloc_array(job->env->alloc, count * (2 + stride), sizeof(*data));
    if (data == NULL) {
        return tp_fail_nomem(err);
    }
    double *const target = data;
    double *const prediction = data + count;
    double *const probability = data + 2 * count;
    size_t filled = 0;
    for (uint64_t i = 0; i < rows->count; i++) {
        if (cohort_of(column, rows->index[i]) != cohort->code) {
            continue;
        }
        target[filled] = rows->target[i];
        prediction[filled] = all->prediction[i];
        for (size_t k = 0; k < stride; k++) {
            probability[k * count + filled] = all->probability[k * rows->count + i];
        }
        filled++;
    }
    const pipeline_rows chosen = {.count = count, .target = target};
    const pipeline_scores scores = {.prediction = prediction,
                                    .probability = stride > 0 ? probability : NULL};
    const tp_metric_data metric_data = tp_pipeline_metric_data(
        &job->dataset->target, job->fitted->model, &chosen, &scores, &job->spec->model.gbt);
    tp_metric_values values;
    const tapeout_status status = tp_metrics_compute(
        job->env, &metric_data, job->spec->evaluate.bootstrap, job->spec->seed, &values, err);
    if (status == TAPEOUT_OK) {
        tp_buffer_append_text(json, "{\"rows\":");
        tp_json_append_u64(json, count);
        tp_buffer_append_text(json, ",\"metrics\":");
        tp_pipeline_metrics_append(json, &values, false);
        tp_buffer_append_text(json, ",\"intervals\":");
        tp_pipeline_metrics_append(json, &values, true);
        tp_buffer_append_char(json, '}');
    }
    tp_free_array(job->env->alloc, data, count * (2 + stride), sizeof(*data));
    return status;
}

static void append_cohort_key(const tp_column *column, int64_t code, tp_buffer *json)
{
    char text[TP_VALUE_TEXT_SIZE];
    tp_str name = TP_STR("(missing)");
    if (code != INT64_MIN && column->type == TAPEOUT_TYPE_STRING) {
        name = tp_dict_get(column->dict, (uint32_t)code);
    } else if (code != INT64_MIN && column->type == TAPEOUT_TYPE_BOOL) {
        name = code != 0 ? TP_STR("true") : TP_STR("false");
    } else if (code != INT64_MIN) {
        name = (tp_str){text, tp_print_i64(code, text)};
    }
    tp_json_append_key_str(json, name);
}

static tapeout_status one_cohort_column(const evaluate_job *job, const tp_column *column,
                                        tp_buffer *json, tapeout_error *err)
{
    const pipeline_rows *rows = &job->dataset->test;
    cohort_value *values = tp_alloc_array(job->env->alloc, rows->count, sizeof(*values));
    if (values == NULL) {
        return tp_fail_nomem(err);
    }
    // Sorting the rows' values and counting runs needs no table of them.
    size_t count = 0;
    for (uint64_t i = 0; i < rows->count; i++) {
        values[i] = (cohort_value){cohort_of(column, rows->index[i]), 1};
    }
    qsort(values, rows->count, sizeof(*values), compare_cohorts);
    for (uint64_t i = 0; i < rows->count; i++) {
        if (count > 0 && values[count - 1].code == values[i].code) {
            values[count - 1].count++;
        } else {
            values[count++] = values[i];
        }
    }
    qsort(values, count, sizeof(*values), compare_cohorts);
    tapeout_status status = TAPEOUT_OK;
    tp_buffer_append_char(json, '{');
    for (size_t i = 0; i < count && i < MAX_COHORT_VALUES && status == TAPEOUT_OK; i++) {
        if (values[i].count >= MIN_COHORT_ROWS) {
            append_cohort_key(column, values[i].code, json);
            status = cohort_metrics(job, column, &values[i], json, err);
        }
    }
    tp_buffer_append_char(json, '}');
    tp_free_array(job->env->alloc, values, rows->count, sizeof(*values));
    return status;
}

static tapeout_status append_cohorts(const evaluate_job *job, tp_buffer *json, tapeout_error *err)
{
    const tp_yaml_strings *names = &job->spec->evaluate.cohorts;
    tp_buffer_append_char(json, '{');
    for (size_t i = 0; i < names->count; i++) {
        const tp_column *column = tp_table_find(job->dataset->test.table, names->items[i]);
        if (column == NULL ||
            (column->type != TAPEOUT_TYPE_STRING && column->type != TAPEOUT_TYPE_BOOL &&
             column->type != TAPEOUT_TYPE_INT64)) {
            return tp_fail(
                err, TAPEOUT_E_INVALID,
                "%s: evaluate: cohorts: there is no column of text, bool or whole numbers "
                "\"%.*s\"",
                job->spec->path, TP_STR_ARGS(names->items[i]));
        }
        tp_json_append_key_str(json, names->items[i]);
        TP_TRY(one_cohort_column(job, column, json, err));
    }
    tp_buffer_append_char(json, '}');
    return TAPEOUT_OK;
}

// -- the whole -----------------------------------------------------------------------------------

// The distribution of what the model says: of the probability, or of the predicted value.
static tapeout_status append_prediction_sketch(const evaluate_job *job, tp_buffer *json,
                                               tapeout_error *err)
{
    const pipeline_scores *scores = &job->scores;
    const bool is_binary = job->dataset->target.task == TP_TASK_BINARY;
    const tp_column column = {.name = is_binary ? TP_STR("probability") : TP_STR("prediction"),
                              .type = TAPEOUT_TYPE_FLOAT64,
                              .row_count = scores->row_count,
                              .values.f64 = is_binary ? scores->probability : scores->prediction};
    tp_arena arena;
    tp_sketch sketch;
    tp_arena_init(&arena, job->env->alloc, SIZE_MAX);
    const tapeout_status status = tp_sketch_column(
        job->env, &column, (tp_row_choice){NULL, scores->row_count}, &arena, &sketch, err);
    if (status == TAPEOUT_OK) {
        tp_pipeline_sketch_append(json, &sketch);
    }
    tp_arena_deinit(&arena);
    return status;
}

static void buffers_init(const tapeout_allocator *alloc, pipeline_evaluation *evaluation)
{
    tp_buffer *const buffers[] = {&evaluation->metrics_json,    &evaluation->intervals_json,
                                  &evaluation->cohorts_json,    &evaluation->confusion_json,
                                  &evaluation->importance_json, &evaluation->prediction_json,
                                  &evaluation->cross_json};
    for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++) {
        tp_buffer_init(buffers[i], alloc, TP_MAX_BUNDLE_SCHEMA_BYTES);
    }
}

static tapeout_status evaluate_scores(evaluate_job *job, tapeout_error *err)
{
    pipeline_evaluation *result = job->result;
    const tp_metric_data data =
        tp_pipeline_metric_data(&job->dataset->target, job->fitted->model, &job->dataset->test,
                                &job->scores, &job->spec->model.gbt);
    TP_TRY(tp_metrics_compute(job->env, &data, job->spec->evaluate.bootstrap, job->spec->seed,
                              &result->metrics, err));
    tp_pipeline_metrics_append(&result->metrics_json, &result->metrics, false);
    tp_pipeline_metrics_append(&result->intervals_json, &result->metrics, true);
    if (data.class_count > 0) {
        TP_TRY(append_confusion(job, &data, &result->confusion_json, err));
    }
    TP_TRY(append_cohorts(job, &result->cohorts_json, err));
    TP_TRY(tp_pipeline_importance(job->subject, &result->importance_json, err));
    TP_TRY(tp_pipeline_cross_validate(job->subject, &result->cross_json, err));
    return append_prediction_sketch(job, &result->prediction_json, err);
}

tapeout_status tp_pipeline_evaluate(const pipeline_subject *subject,
                                    pipeline_evaluation *ret_evaluation, tapeout_error *err)
{
    const tp_env *env = subject->env;
    const pipeline_learned learned = {subject->fitted->program, subject->fitted->model};
    memset(ret_evaluation, 0, sizeof(*ret_evaluation));
    buffers_init(env->alloc, ret_evaluation);
    evaluate_job job = {.subject = subject,
                        .env = env,
                        .spec = subject->spec,
                        .dataset = subject->dataset,
                        .fitted = subject->fitted,
                        .result = ret_evaluation};
    tp_env_progress(env, "evaluate", -1);
    tapeout_status status = tp_pipeline_score(env, learned, &job.dataset->test, &job.scores, err);
    if (status == TAPEOUT_OK) {
        status = evaluate_scores(&job, err);
    }
    tp_pipeline_scores_deinit(env->alloc, &job.scores);
    if (status != TAPEOUT_OK) {
        tp_pipeline_evaluation_deinit(ret_evaluation);
    }
    return status;
}

void tp_pipeline_evaluation_deinit(pipeline_evaluation *evaluation)
{
    tp_buffer_deinit(&evaluation->metrics_json);
    tp_buffer_deinit(&evaluation->intervals_json);
    tp_buffer_deinit(&evaluation->cohorts_json);
    tp_buffer_deinit(&evaluation->confusion_json);
    tp_buffer_deinit(&evaluation->importance_json);
    tp_buffer_deinit(&evaluation->prediction_json);
    tp_buffer_deinit(&evaluation->cross_json);
}
