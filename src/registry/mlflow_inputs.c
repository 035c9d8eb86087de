// SPDX-License-Identifier: Apache-2.0
//
// What went into a run and what came out: data sets by name and digest, logged models by id.
#include "registry/mlflow_priv.h"

#include "base/limits.h"
#include "base/tp_error.h"
#include "table/tp_json.h"

// -- writing -------------------------------------------------------------------------------------
typedef struct dataset_call {
    tp_str run_id;
    const tp_mlflow_dataset *dataset;
    tp_str context;
    tp_str tags; // JSON
} dataset_call;

static tapeout_status dataset_locked(tp_mlflow *mlflow, void *user, tapeout_error *err)
{
    const dataset_call *call = user;
    const tp_mlflow_dataset *dataset = call->dataset;
    TP_TRY(tp_mlflow_run_need(mlflow, call->run_id, err));
    return tp_mlflow_exec(
        mlflow,
        "INSERT INTO mlflow_run_datasets(run_id, name, digest, source_type, source, schema_text, "
        "profile, context, tags) VALUES($1, $2, $3, $4, $5, $6, $7, $8, $9) "
        "ON CONFLICT(run_id, name, digest) DO UPDATE SET context = excluded.context, "
        "tags = excluded.tags",
        TP_SQL(tp_sql_text(call->run_id), tp_sql_text(dataset->name), tp_sql_text(dataset->digest),
               tp_sql_text(dataset->source_type), tp_sql_text(dataset->source),
               tp_sql_text(dataset->schema), tp_sql_text(dataset->profile),
               tp_sql_text(call->context), tp_sql_text(call->tags)),
        NULL, err);
}

static tapeout_status check_dataset(const tp_mlflow_dataset *dataset, tapeout_error *err)
{
    if (dataset->name.size == 0 || dataset->digest.size == 0) {
        return tp_fail(err, TAPEOUT_E_INVALID, "a data set needs name and digest");
    }
    TP_TRY(tp_mlflow_length_check("the data set's name", dataset->name, TP_MAX_MLFLOW_NAME_BYTES,
                                  err));
    TP_TRY(tp_mlflow_length_check("the data set's digest", dataset->digest, TP_MAX_MLFLOW_KEY_BYTES,
                                  err));
    TP_TRY(tp_mlflow_length_check("the data set's source", dataset->source,
                                  TP_MAX_MLFLOW_TEXT_BYTES, err));
    TP_TRY(tp_mlflow_length_check("the data set's schema", dataset->schema,
                                  TP_MAX_MLFLOW_DATASET_BYTES, err));
    return tp_mlflow_length_check("the data set's profile", dataset->profile,
                                  TP_MAX_MLFLOW_DATASET_BYTES, err);
}

tapeout_status tp_mlflow_run_dataset(tp_mlflow *mlflow, tp_str run_id,
                                     const tp_mlflow_dataset *dataset, tapeout_error *err)
{
    dataset_call call = {.run_id = run_id, .dataset = dataset};
    tp_buffer tags;
    TP_TRY(check_dataset(dataset, err));
    tp_buffer_init(&tags, mlflow->alloc, TP_MAX_MLFLOW_DATASET_BYTES);
    tp_buffer_append_char(&tags, '[');
    for (uint32_t i = 0; i < dataset->tags.count; i++) {
        const tp_mlflow_pair *tag = &dataset->tags.items[i];
        tp_buffer_append_text(&tags, i > 0 ? ",{" : "{");
        tp_json_put_str(&tags, "key", tag->key);
        tp_json_put_str(&tags, "value", tag->value);
        tp_buffer_append_char(&tags, '}');
        if (tp_str_equal(tag->key, TP_STR("mlflow.data.context"))) {
            call.context = tag->value;
        }
    }
    tp_buffer_append_char(&tags, ']');
    tapeout_status status = tp_buffer_check(&tags, "the data set's tags", err);
    if (status == TAPEOUT_OK) {
        call.tags = tp_buffer_view(&tags);
        status = tp_mlflow_transact(mlflow, dataset_locked, &call, err);
    }
    tp_buffer_deinit(&tags);
    return status;
}

typedef struct model_call {
    tp_str run_id;
    const tp_mlflow_model_use *use;
    bool is_output;
} model_call;

static tapeout_status model_locked(tp_mlflow *mlflow, void *user, tapeout_error *err)
{
    const model_call *call = user;
    TP_TRY(tp_mlflow_run_need(mlflow, call->run_id, err));
    TP_TRY(tp_mlflow_model_need(mlflow, call->use->model_id, err));
    return tp_mlflow_exec(mlflow,
                          "INSERT INTO mlflow_run_models(run_id, is_output, model_id, step) "
                          "VALUES($1, $2, $3, $4) ON CONFLICT(run_id, is_output, model_id) "
                          "DO UPDATE SET step = excluded.step",
                          TP_SQL(tp_sql_text(call->run_id), tp_sql_int(call->is_output),
                                 tp_sql_text(call->use->model_id), tp_sql_int(call->use->step)),
                          NULL, err);
}

tapeout_status tp_mlflow_run_model(tp_mlflow *mlflow, tp_str run_id, const tp_mlflow_model_use *use,
                                   bool is_output, tapeout_error *err)
{
    model_call call = {run_id, use, is_output};
    return tp_mlflow_transact(mlflow, model_locked, &call, err);
}

// -- reading -------------------------------------------------------------------------------------
static void write_dataset(const tp_rows *rows, tp_buffer *json)
{
    static const char *const names[] = {"name",   "digest", "source_type",
                                        "source", "schema", "profile"};
    tp_buffer_append_text(json, "{\"tags\":");
    tp_buffer_append_str(json, tp_rows_text(rows, 6));
    tp_buffer_append_text(json, ",\"dataset\":{");
    for (int i = 0; i < 6; i++) {
        const tp_str text = tp_rows_text(rows, i);
        if (text.size > 0) {
            tp_json_put_str(json, names[i], text);
        }
    }
    tp_buffer_append_text(json, "}}");
}

tapeout_status tp_mlflow_put_inputs(tp_mlflow *mlflow, tp_sql_values run_id, tp_buffer *json,
                                    tapeout_error *err)
{
    tp_rows rows;
    bool is_begun = false;
    tp_store_query(mlflow->store, &rows,
                   "SELECT name, digest, source_type, source, schema_text, profile, tags "
                   "FROM mlflow_run_datasets WHERE run_id = $1 ORDER BY name, digest",
                   run_id);
    while (tp_rows_next(&rows)) {
        tp_buffer_append_text(json, is_begun ? "," : "\"dataset_inputs\":[");
        write_dataset(&rows, json);
        is_begun = true;
    }
    tp_buffer_append_text(json, is_begun ? "]" : "");
    TP_TRY(tp_rows_close(&rows, err));
    return tp_mlflow_put_models(mlflow, run_id, false, json, err);
}

tapeout_status tp_mlflow_put_models(tp_mlflow *mlflow, tp_sql_values run_id, bool is_output,
                                    tp_buffer *json, tapeout_error *err)
{
    tp_rows rows;
    bool is_begun = false;
    tp_store_query(mlflow->store, &rows,
                   is_output ? "SELECT model_id, step FROM mlflow_run_models "
                               "WHERE run_id = $1 AND is_output = 1 ORDER BY step, model_id"
                             : "SELECT model_id, step FROM mlflow_run_models "
                               "WHERE run_id = $1 AND is_output = 0 ORDER BY step, model_id",
                   run_id);
    while (tp_rows_next(&rows)) {
        if (!is_begun) {
            tp_json_append_key(json, is_output ? "model_outputs" : "model_inputs");
        }
        tp_buffer_append_text(json, is_begun ? ",{" : "[{");
        tp_json_put_str(json, "model_id", tp_rows_text(&rows, 0));
        if (is_output) {
            tp_json_put_i64(json, "step", tp_rows_int(&rows, 1));
        }
        tp_buffer_append_char(json, '}');
        is_begun = true;
    }
    tp_buffer_append_text(json, is_begun ? "]" : "");
    return tp_rows_close(&rows, err);
}
