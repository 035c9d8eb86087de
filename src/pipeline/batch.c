// SPDX-License-Identifier: Apache-2.0
//
// Scoring a whole table and measuring a model on new data. The rows go through the same session as
// a single record of the server's does.
#include "pipeline/tp_batch.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "pipeline/pipeline_priv.h"
#include "table/tp_json.h"
#include "table/tp_value.h"

#include <stdio.h>

enum { EVALUATE_REPLICATES = 200, EVALUATE_SEED = 1 };

// -- reading -------------------------------------------------------------------------------------

static bool has_field(const tp_field *fields, uint32_t count, tp_str name)
{
    bool found = false;
    for (uint32_t i = 0; i < count && !found; i++) {
        found = tp_str_equal(fields[i].name, name);
    }
    return found;
}

// The model does without a column; who asks for one by name does not.
static tapeout_status check_columns(const tp_batch *batch, const tapeout_table *table,
                                    tapeout_error *err)
{
    for (size_t i = 0; i < batch->keep_count; i++) {
        const tp_column *column = tp_table_find(table, batch->keep[i]);
        if (column == NULL || column->is_absent) {
            return tp_fail(err, TAPEOUT_E_INVALID, "%s: there is no column \"%.*s\" to keep",
                           batch->path, TP_STR_ARGS(batch->keep[i]));
        }
    }
    const tp_str target = tp_scorer_target(batch->scorer)->name;
    const tp_column *column = batch->with_target ? tp_table_find(table, target) : NULL;
    if (column != NULL && column->is_absent) {
        return tp_fail(err, TAPEOUT_E_DATA,
                       "%s: there is no column \"%.*s\", which is what the model predicts: "
                       "bring data that has it",
                       batch->path, TP_STR_ARGS(target));
    }
    return TAPEOUT_OK;
}

tapeout_status tp_batch_read(const tp_batch *batch, tapeout_table **ret_table, tapeout_error *err)
{
    const tp_schema *schema = tp_scorer_schema(batch->scorer);
    const tp_target *target = tp_scorer_target(batch->scorer);
    const size_t most = schema->count + batch->keep_count + 1;
    tp_field *fields = tp_alloc_array(batch->env->alloc, most, sizeof(*fields));
    if (fields == NULL) {
        return tp_fail_nomem(err);
    }
    uint32_t count = 0;
    for (; count < schema->count; count++) {
        fields[count] = schema->fields[count];
    }
    if (batch->with_target) {
        fields[count++] = (tp_field){target->name, target->type};
    }
    // A kept column that the model does not know is carried as the text that it is.
    for (size_t i = 0; i < batch->keep_count; i++) {
        if (!has_field(fields, count, batch->keep[i])) {
            fields[count++] = (tp_field){batch->keep[i], TAPEOUT_TYPE_STRING};
        }
    }
    const tp_schema expect = {fields, count};
    tp_csv_options csv;
    tp_csv_options_init(&csv);
    csv.missing = tp_scorer_missing(batch->scorer, &csv.missing_count);
    csv.expect = &expect;
    const tp_read_options options = {batch->duckdb_library, NULL, &csv};
    tapeout_table *table = NULL;
    tapeout_status status = tp_table_read(batch->env, batch->path, &options, &table, err);
    tp_free_array(batch->env->alloc, fields, most, sizeof(*fields));
    if (status == TAPEOUT_OK) {
        status = check_columns(batch, table, err);
    }
    if (status != TAPEOUT_OK) {
        tp_table_unref(table);
        return status;
    }
    *ret_table = table;
    return TAPEOUT_OK;
}

// -- predicting ----------------------------------------------------------------------------------

typedef struct predict_job {
    const tp_batch *batch;
    const tapeout_table *table;
    tp_arena arena; // names of the result's columns
    tp_field *fields;
    uint32_t field_count;
    tp_table_builder *builder;
    tp_scores scores;
    tp_explanation explanation;
} predict_job;

static tapeout_status add_field(predict_job *job, tapeout_type type, const char *prefix,
                                tp_str name)
{
    tp_buffer text;
    tp_buffer_init(&text, job->batch->env->alloc, TP_MAX_SPEC_BYTES);
    tp_buffer_append_text(&text, prefix);
    tp_buffer_append_str(&text, name);
    const tp_str copy = tp_arena_str(&job->arena, tp_buffer_view(&text));
    const bool failed = text.status != TAPEOUT_OK || copy.data == NULL;
    tp_buffer_deinit(&text);
    if (failed) {
        return TAPEOUT_E_NOMEM;
    }
    job->fields[job->field_count++] = (tp_field){copy, type};
    return TAPEOUT_OK;
}

static tapeout_type prediction_type(const tp_target *target)
{
    return target->class_count == 0  ? TAPEOUT_TYPE_FLOAT64
           : target->classes_are_int ? TAPEOUT_TYPE_INT64
                                     : TAPEOUT_TYPE_STRING;
}

static tapeout_status add_why_fields(predict_job *job)
{
    const tp_target *target = tp_scorer_target(job->batch->scorer);
    const tp_schema *schema = tp_scorer_schema(job->batch->scorer);
    const bool many = target->task == TP_TASK_MULTICLASS;
    for (uint32_t k = 0; k < (many ? target->class_count : 1); k++) {
        char prefix[256] = "why_";
        if (many) {
            (void)snprintf(prefix, sizeof(prefix), "why_%.*s_",
                           TP_STR_ARGS(target->class_names[k]));
        }
        for (uint32_t c = 0; c < schema->count; c++) {
            TP_TRY(add_field(job, TAPEOUT_TYPE_FLOAT64, prefix, schema->fields[c].name));
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status make_fields(predict_job *job, tapeout_error *err)
{
    const tp_target *target = tp_scorer_target(job->batch->scorer);
    const size_t classes = target->class_count + 1;
    const size_t most = job->batch->keep_count + 1 + classes +
                        classes * tp_scorer_schema(job->batch->scorer)->count;
    job->fields = tp_arena_array(&job->arena, most, sizeof(*job->fields));
    if (job->fields == NULL) {
        return tp_fail_nomem(err);
    }
    for (size_t i = 0; i < job->batch->keep_count; i++) {
        const tp_column *column = tp_table_find(job->table, job->batch->keep[i]);
        if (column == NULL) {
            return tp_fail(err, TAPEOUT_E_INVALID, "%s: there is no column \"%.*s\" to keep",
                           job->batch->path, TP_STR_ARGS(job->batch->keep[i]));
        }
        job->fields[job->field_count++] = (tp_field){column->name, column->type};
    }
    tapeout_status status = add_field(job, prediction_type(target), "prediction", TP_STR(""));
    if (status == TAPEOUT_OK && target->task == TP_TASK_BINARY) {
        status = add_field(job, TAPEOUT_TYPE_FLOAT64, "probability", TP_STR(""));
    }
    for (uint32_t k = 0; target->task == TP_TASK_MULTICLASS && k < target->class_count; k++) {
        if (status == TAPEOUT_OK) {
            status = add_field(job, TAPEOUT_TYPE_FLOAT64, "p_", target->class_names[k]);
        }
    }
    if (status == TAPEOUT_OK && job->batch->explain) {
        status = add_why_fields(job);
    }
    return status == TAPEOUT_OK ? TAPEOUT_OK : tp_fail_nomem(err);
}

static tapeout_status copy_value(predict_job *job, uint32_t field, const tp_column *column,
                                 uint64_t row)
{
    tp_table_builder *builder = job->builder;
    if (!tp_column_is_valid(column, row)) {
        return tp_table_builder_null(builder, field);
    }
    switch (column->type) {
    case TAPEOUT_TYPE_BOOL:
        return tp_table_builder_bool(builder, field,
                                     (column->values.bits[row >> 3] >> (row & 7) & 1) != 0);
    case TAPEOUT_TYPE_FLOAT64:
        return tp_table_builder_f64(builder, field, column->values.f64[row]);
    case TAPEOUT_TYPE_DATE:
        return tp_table_builder_days(builder, field, column->values.days[row]);
    case TAPEOUT_TYPE_STRING:
        return tp_table_builder_str(builder, field,
                                    tp_dict_get(column->dict, (uint32_t)column->values.codes[row]));
    case TAPEOUT_TYPE_INT64:
    case TAPEOUT_TYPE_TIMESTAMP:
    case TAPEOUT_TYPE_TIMESTAMP_TZ:
        break;
    }
    return tp_table_builder_i64(builder, field, column->values.i64[row]);
}

static tapeout_status append_prediction(predict_job *job, uint32_t field, uint64_t row)
{
    const tp_target *target = tp_scorer_target(job->batch->scorer);
    const double value = job->scores.prediction[row];
    if (target->class_count == 0) {
        return tp_table_builder_f64(job->builder, field, value);
    }
    const tp_str name = target->class_names[(uint32_t)value];
    int64_t number = 0;
    if (target->classes_are_int && tp_parse_i64(name, &number)) {
        return tp_table_builder_i64(job->builder, field, number);
    }
    return tp_table_builder_str(job->builder, field, name);
}

static tapeout_status append_row(predict_job *job, uint64_t row)
{
    const tp_target *target = tp_scorer_target(job->batch->scorer);
    const uint32_t wide = target->task == TP_TASK_BINARY ? 1 : target->class_count;
    const uint32_t whys = job->explanation.output_count * job->explanation.column_count;
    uint32_t field = 0;
    for (; field < job->batch->keep_count; field++) {
        const tp_column *column = tp_table_find(job->table, job->batch->keep[field]);
        TP_TRY(copy_value(job, field, column, row));
    }
    TP_TRY(append_prediction(job, field++, row));
    for (uint32_t k = 0; k < wide; k++) {
        TP_TRY(tp_table_builder_f64(job->builder, field++,
                                    job->scores.probability[k * job->scores.row_count + row]));
    }
    for (uint32_t w = 0; w < whys; w++) {
        TP_TRY(tp_table_builder_f64(job->builder, field++,
                                    job->explanation.values[w * job->scores.row_count + row]));
    }
    return TAPEOUT_OK;
}

// Which features met categories that fitting did not know, and in how many rows.
static void tell_unseen(const tp_batch *batch, const tp_session *session)
{
    const tp_feature_program *program = tp_scorer_program(batch->scorer);
    for (uint32_t i = 0; i < tp_feature_output_count(program); i++) {
        const uint64_t rows = tp_session_counts(session, i).unseen;
        if (rows > 0) {
            tp_buffer_append_text(batch->unseen, batch->unseen->size == 0 ? "" : ", ");
            tp_buffer_append_str(batch->unseen, tp_feature_output_at(program, i)->name);
            tp_buffer_printf(batch->unseen, " in %llu %s", (unsigned long long)rows,
                             rows == 1 ? "row" : "rows");
        }
    }
}

static tapeout_status build_result(predict_job *job, tp_session *session,
                                   tapeout_table **ret_result, tapeout_error *err)
{
    const tp_row_choice all = {NULL, job->table->row_count};
    TP_TRY(make_fields(job, err));
    TP_TRY(tp_session_score(session, job->table, all, &job->scores, err));
    if (job->batch->unseen != NULL) {
        tell_unseen(job->batch, session);
    }
    if (job->batch->explain) {
        TP_TRY(tp_session_explain(session, job->table, all, &job->explanation, err));
    }
    const tp_schema schema = {job->fields, job->field_count};
    TP_TRY(tp_table_builder_new(job->batch->env->alloc, &schema, &job->builder, err));
    for (uint64_t row = 0; row < job->table->row_count; row++) {
        const tapeout_status status = append_row(job, row);
        if (status != TAPEOUT_OK) {
            return tp_fail(err, status, "predict: the result does not fit into a table");
        }
    }
    return tp_table_builder_take(job->builder, ret_result, err);
}

tapeout_status tp_batch_predict(const tp_batch *batch, const tapeout_table *table,
                                tapeout_table **ret_result, tapeout_error *err)
{
    predict_job job = {.batch = batch, .table = table};
    tp_session *session = NULL;
    tp_arena_init(&job.arena, batch->env->alloc, TP_MAX_BUNDLE_SCHEMA_BYTES);
    tapeout_status status = tp_session_new(batch->env, batch->scorer, &session, err);
    if (status == TAPEOUT_OK) {
        status = build_result(&job, session, ret_result, err);
    }
    tp_table_builder_free(job.builder);
    tp_session_free(session);
    tp_arena_deinit(&job.arena);
    return status;
}

// -- evaluating ----------------------------------------------------------------------------------

// Rows that have a target, and the target's values in the model's terms.
static tapeout_status target_rows(const tp_batch *batch, const tapeout_table *table,
                                  pipeline_rows *ret_rows, tapeout_error *err)
{
    pipeline_dataset dataset = {.alloc = batch->env->alloc,
                                .target = *tp_scorer_target(batch->scorer)};
    const tp_column *column = tp_table_find(table, dataset.target.name);
    if (column == NULL || column->null_count == column->row_count) {
        return tp_fail(err, TAPEOUT_E_DATA,
                       "evaluate: the data has no values in the target \"%.*s\"",
                       TP_STR_ARGS(dataset.target.name));
    }
    const uint64_t count = column->row_count - column->null_count;
    *ret_rows = (pipeline_rows){.table = table};
    ret_rows->index = tp_alloc_array(batch->env->alloc, count, sizeof(*ret_rows->index));
    if (ret_rows->index == NULL) {
        return tp_fail_nomem(err);
    }
    for (uint64_t row = 0; row < column->row_count; row++) {
        if (tp_column_is_valid(column, row)) {
            ret_rows->index[ret_rows->count++] = (uint32_t)row;
        }
    }
    return tp_pipeline_target_values(&dataset, NULL, ret_rows, err);
}

static tapeout_status evaluate_rows(const tp_batch *batch, const pipeline_rows *rows,
                                    tp_buffer *ret_json, tapeout_error *err)
{
    const pipeline_learned learned = {tp_scorer_program(batch->scorer),
                                      tp_scorer_model(batch->scorer)};
    pipeline_scores scores = {0};
    tp_metric_values values;
    TP_TRY(tp_pipeline_score(batch->env, learned, rows, &scores, err));
    const tp_metric_data data = tp_pipeline_metric_data(tp_scorer_target(batch->scorer),
                                                        learned.model, rows, &scores, NULL);
    const tapeout_status status =
        tp_metrics_compute(batch->env, &data, EVALUATE_REPLICATES, EVALUATE_SEED, &values, err);
    tp_pipeline_scores_deinit(batch->env->alloc, &scores);
    TP_TRY(status);
    tp_buffer_append_text(ret_json, "{\"metrics\":");
    tp_pipeline_metrics_append(ret_json, &values, false);
    tp_buffer_append_text(ret_json, ",\"intervals\":");
    tp_pipeline_metrics_append(ret_json, &values, true);
    tp_buffer_append_text(ret_json, ",\"rows\":");
    tp_json_append_u64(ret_json, rows->count);
    tp_buffer_append_char(ret_json, '}');
    return tp_buffer_check(ret_json, "evaluate", err);
}

tapeout_status tp_batch_evaluate(const tp_batch *batch, const tapeout_table *table,
                                 tp_buffer *ret_json, tapeout_error *err)
{
    pipeline_rows rows = {0};
    tapeout_status status = target_rows(batch, table, &rows, err);
    if (status == TAPEOUT_OK) {
        status = evaluate_rows(batch, &rows, ret_json, err);
    }
    tp_free_array(batch->env->alloc, rows.index, rows.count, sizeof(*rows.index));
    tp_free_array(batch->env->alloc, rows.target, rows.count, sizeof(*rows.target));
    return status;
}
