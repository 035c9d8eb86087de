// SPDX-License-Identifier: Apache-2.0
//
// Logged models: what mlflow.<flavor>.log_model makes of a run since version 3. A model has an id
// of its own, params, tags and metrics, and a folder of artifacts; which versions of a registered
// model were made of it stands in its tags, where the client puts it.
#include "registry/mlflow_priv.h"

#include "base/limits.h"
#include "base/tp_error.h"
#include "table/tp_json.h"

#include <stdio.h>
#include <string.h>

#define COLUMNS                                                                                    \
    "SELECT l.model_id, l.experiment_id, l.name, l.artifact_uri, l.created_ms, l.updated_ms, "     \
    "l.status, l.model_type, l.source_run_id FROM mlflow_logged_models l WHERE "

enum { MODEL_ID_SIZE = MLFLOW_ID_SIZE + 2 }; // "m-" in front

// -- reading -------------------------------------------------------------------------------------
static tapeout_status write_model(tp_mlflow *mlflow, const tp_rows *rows, tp_buffer *json,
                                  tapeout_error *err)
{
    const tp_sql_values id = TP_SQL(tp_sql_text(tp_rows_text(rows, 0)));
    tp_buffer_append_text(json, "{\"info\":{");
    tp_json_put_str(json, "model_id", tp_rows_text(rows, 0));
    tp_buffer_printf(json, ",\"experiment_id\":\"%lld\"", (long long)tp_rows_int(rows, 1));
    tp_json_put_str(json, "name", tp_rows_text(rows, 2));
    tp_json_put_str(json, "artifact_uri", tp_rows_text(rows, 3));
    tp_json_put_i64(json, "creation_timestamp_ms", tp_rows_int(rows, 4));
    tp_json_put_i64(json, "last_updated_timestamp_ms", tp_rows_int(rows, 5));
    tp_json_put_str(json, "status", tp_rows_text(rows, 6));
    if (tp_rows_text(rows, 7).size > 0) {
        tp_json_put_str(json, "model_type", tp_rows_text(rows, 7));
    }
    if (tp_rows_text(rows, 8).size > 0) {
        tp_json_put_str(json, "source_run_id", tp_rows_text(rows, 8));
    }
    TP_TRY(tp_mlflow_put_pairs(mlflow, "tags",
                               "SELECT key, value FROM mlflow_model_tags WHERE model_id = $1 "
                               "ORDER BY key",
                               id, json, err));
    tp_buffer_append_text(json, "},\"data\":{");
    TP_TRY(tp_mlflow_put_pairs(mlflow, "params",
                               "SELECT key, value FROM mlflow_model_params WHERE model_id = $1 "
                               "ORDER BY key",
                               id, json, err));
    TP_TRY(tp_mlflow_put_metrics(mlflow,
                                 "SELECT value, is_nan, timestamp_ms, step, key, run_id, model_id, "
                                 "dataset_name, dataset_digest FROM mlflow_model_metrics "
                                 "WHERE model_id = $1 ORDER BY key, run_id, dataset_name",
                                 id, json, err));
    tp_buffer_append_text(json, "}}");
    return TAPEOUT_OK;
}

static tapeout_status fail_unknown(tp_str model_id, tapeout_error *err)
{
    return tp_fail(err, TAPEOUT_E_NOT_FOUND, "Logged model with ID '%.*s' not found",
                   TP_STR_ARGS(model_id));
}

tapeout_status tp_mlflow_model_get(tp_mlflow *mlflow, tp_str model_id, tp_buffer *json,
                                   tapeout_error *err)
{
    tp_rows rows;
    bool has_row = false;
    TP_TRY(tp_mlflow_query(mlflow, COLUMNS "l.model_id = $1 AND l.lifecycle = 'active'",
                           TP_SQL(tp_sql_text(model_id)), &rows, err));
    tapeout_status status = tp_mlflow_next(&rows, &has_row, err);
    if (status == TAPEOUT_OK) {
        status = has_row ? write_model(mlflow, &rows, json, err) : fail_unknown(model_id, err);
    }
    tp_mlflow_end(&rows);
    return status;
}

tapeout_status tp_mlflow_model_need(tp_mlflow *mlflow, tp_str model_id, tapeout_error *err)
{
    bool is_there = false;
    TP_TRY(tp_mlflow_exists(mlflow,
                            "SELECT 1 FROM mlflow_logged_models WHERE model_id = $1 "
                            "AND lifecycle = 'active'",
                            TP_SQL(tp_sql_text(model_id)), &is_there, err));
    return is_there ? TAPEOUT_OK : fail_unknown(model_id, err);
}

tapeout_status tp_mlflow_model_origin(tp_mlflow *mlflow, tp_str model_id, tp_buffer *ret_folder,
                                      tp_buffer *ret_run_id, tapeout_error *err)
{
    tp_rows rows;
    bool has_row = false;
    TP_TRY(tp_mlflow_query(mlflow, COLUMNS "l.model_id = $1 AND l.lifecycle = 'active'",
                           TP_SQL(tp_sql_text(model_id)), &rows, err));
    tapeout_status status = tp_mlflow_next(&rows, &has_row, err);
    if (status == TAPEOUT_OK && !has_row) {
        status = fail_unknown(model_id, err);
    } else if (status == TAPEOUT_OK) {
        if (ret_run_id != NULL) {
            tp_buffer_append_str(ret_run_id, tp_rows_text(&rows, 8));
        }
        status = tp_mlflow_folder_of(tp_rows_text(&rows, 3), ret_folder, err);
    }
    tp_mlflow_end(&rows);
    return status;
}

tapeout_status tp_mlflow_model_search(tp_mlflow *mlflow, const tp_mlflow_search *search,
                                      tp_buffer *json, tapeout_error *err)
{
    mlflow_sql sql;
    tp_mlflow_sql_init(&sql, mlflow->alloc);
    tp_mlflow_sql_add(&sql, COLUMNS "l.lifecycle = 'active'");
    tp_mlflow_sql_experiments(&sql, "l.experiment_id", &search->experiments);
    tapeout_status status = tp_mlflow_search_add(&sql, &tp_mlflow_logged_models, search,
                                                 "l.created_ms DESC, l.model_id", err);
    if (status == TAPEOUT_OK) {
        status = tp_mlflow_search_run(mlflow, &sql, "models", write_model, json, err);
    }
    tp_mlflow_sql_deinit(&sql);
    return status;
}

// -- writing -------------------------------------------------------------------------------------
typedef struct model_call {
    const tp_mlflow_model_spec *spec;
    int64_t experiment_id;
    tp_str model_id;
    tp_str name;
    tp_str state;
    tp_mlflow_pairs pairs;
    tp_str key;
} model_call;

static tapeout_status set_pairs(tp_mlflow *mlflow, const char *sql, tp_str model_id,
                                tp_mlflow_pairs pairs, tapeout_error *err)
{
    for (uint32_t i = 0; i < pairs.count; i++) {
        const tp_mlflow_pair *pair = &pairs.items[i];
        const tp_str value = tp_mlflow_cut(pair->value, TP_MAX_MLFLOW_TAG_BYTES);
        TP_TRY(tp_mlflow_exec(
            mlflow, sql, TP_SQL(tp_sql_text(model_id), tp_sql_text(pair->key), tp_sql_text(value)),
            NULL, err));
    }
    return TAPEOUT_OK;
}

static tapeout_status set_params(tp_mlflow *mlflow, tp_str model_id, tp_mlflow_pairs params,
                                 tapeout_error *err)
{
    return set_pairs(mlflow,
                     "INSERT INTO mlflow_model_params(model_id, key, value) VALUES($1, $2, $3) "
                     "ON CONFLICT(model_id, key) DO UPDATE SET value = excluded.value",
                     model_id, params, err);
}

static tapeout_status set_tags(tp_mlflow *mlflow, tp_str model_id, tp_mlflow_pairs tags,
                               tapeout_error *err)
{
    return set_pairs(mlflow,
                     "INSERT INTO mlflow_model_tags(model_id, key, value) VALUES($1, $2, $3) "
                     "ON CONFLICT(model_id, key) DO UPDATE SET value = excluded.value",
                     model_id, tags, err);
}

static tapeout_status insert(tp_mlflow *mlflow, const model_call *call, tp_str uri,
                             tapeout_error *err)
{
    const int64_t now = tp_mlflow_now_ms();
    return tp_mlflow_exec(
        mlflow,
        "INSERT INTO mlflow_logged_models(model_id, experiment_id, name, artifact_uri, created_ms, "
        "updated_ms, status, model_type, source_run_id, lifecycle) "
        "VALUES($1, $2, $3, $4, $5, $6, 'LOGGED_MODEL_PENDING', $7, $8, 'active')",
        TP_SQL(tp_sql_text(call->model_id), tp_sql_int(call->experiment_id),
               tp_sql_text(call->name), tp_sql_text(uri), tp_sql_int(now), tp_sql_int(now),
               tp_sql_text(call->spec->model_type), tp_sql_text(call->spec->source_run_id)),
        NULL, err);
}

static tapeout_status create_locked(tp_mlflow *mlflow, void *user, tapeout_error *err)
{
    const model_call *call = user;
    tp_buffer uri;
    tp_buffer_init(&uri, mlflow->alloc, TP_MAX_MLFLOW_TEXT_BYTES);
    tapeout_status status = tp_mlflow_experiment_need(mlflow, call->experiment_id, &uri, err);
    if (status == TAPEOUT_OK) {
        tp_buffer_printf(&uri, "/models/%.*s/artifacts", TP_STR_ARGS(call->model_id));
        status = tp_buffer_check(&uri, "the model's place", err);
    }
    if (status == TAPEOUT_OK) {
        status = insert(mlflow, call, tp_buffer_view(&uri), err);
    }
    tp_buffer_deinit(&uri);
    TP_TRY(status);
    TP_TRY(set_params(mlflow, call->model_id, call->spec->params, err));
    return set_tags(mlflow, call->model_id, call->spec->tags, err);
}

static tapeout_status check_pairs(const char *what, tp_mlflow_pairs pairs, tapeout_error *err)
{
    for (uint32_t i = 0; i < pairs.count; i++) {
        TP_TRY(tp_mlflow_key_check(what, pairs.items[i].key, err));
    }
    return TAPEOUT_OK;
}

// MLflow's own rule: what would break a URI that names the model.
static tapeout_status check_name(tp_str name, tapeout_error *err)
{
    TP_TRY(tp_mlflow_length_check("the model's name", name, TP_MAX_MLFLOW_NAME_BYTES, err));
    for (size_t i = 0; i < name.size; i++) {
        if (strchr("/:.%\"'", name.data[i]) != NULL || (unsigned char)name.data[i] < 0x20) {
            return tp_fail(err, TAPEOUT_E_INVALID,
                           "Invalid model name \"%.*s\": it must not hold / : . %% \" '",
                           TP_STR_ARGS(name));
        }
    }
    return TAPEOUT_OK;
}

tapeout_status tp_mlflow_model_create(tp_mlflow *mlflow, const tp_mlflow_model_spec *spec,
                                      tp_buffer *json, tapeout_error *err)
{
    char id[MODEL_ID_SIZE + 1] = "m-";
    char made[MLFLOW_NAME_SIZE];
    model_call call = {.spec = spec, .name = spec->name};
    TP_TRY(check_name(spec->name, err));
    TP_TRY(check_pairs("param", spec->params, err));
    TP_TRY(check_pairs("tag", spec->tags, err));
    if (!tp_mlflow_experiment_number(spec->experiment_id, &call.experiment_id)) {
        return tp_fail(err, TAPEOUT_E_NOT_FOUND, "No Experiment with id=%.*s exists",
                       TP_STR_ARGS(spec->experiment_id));
    }
    if (call.name.size == 0) {
        TP_TRY(tp_mlflow_name_make(made, err));
        call.name = tp_str_from(made);
    }
    TP_TRY(tp_mlflow_id_make(id + 2, err));
    call.model_id = tp_str_from(id);
    TP_TRY(tp_mlflow_transact(mlflow, create_locked, &call, err));
    return tp_mlflow_model_get(mlflow, call.model_id, json, err);
}

static tapeout_status change_row(tp_mlflow *mlflow, const char *sql, tp_str value, tp_str model_id,
                                 tapeout_error *err)
{
    int64_t changed = 0;
    TP_TRY(tp_mlflow_exec(
        mlflow, sql,
        TP_SQL(tp_sql_text(value), tp_sql_int(tp_mlflow_now_ms()), tp_sql_text(model_id)), &changed,
        err));
    return changed > 0 ? TAPEOUT_OK : fail_unknown(model_id, err);
}

tapeout_status tp_mlflow_model_finish(tp_mlflow *mlflow, tp_str model_id, tp_str state,
                                      tp_buffer *json, tapeout_error *err)
{
    if (!tp_str_equal(state, TP_STR("LOGGED_MODEL_READY")) &&
        !tp_str_equal(state, TP_STR("LOGGED_MODEL_PENDING")) &&
        !tp_str_equal(state, TP_STR("LOGGED_MODEL_UPLOAD_FAILED"))) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "\"%.*s\" is no status of a logged model: LOGGED_MODEL_READY, "
                       "LOGGED_MODEL_PENDING, LOGGED_MODEL_UPLOAD_FAILED",
                       TP_STR_ARGS(state));
    }
    TP_TRY(change_row(mlflow,
                      "UPDATE mlflow_logged_models SET status = $1, updated_ms = $2 "
                      "WHERE model_id = $3 AND lifecycle = 'active'",
                      state, model_id, err));
    return tp_mlflow_model_get(mlflow, model_id, json, err);
}

tapeout_status tp_mlflow_model_delete(tp_mlflow *mlflow, tp_str model_id, tapeout_error *err)
{
    return change_row(mlflow,
                      "UPDATE mlflow_logged_models SET lifecycle = $1, updated_ms = $2 "
                      "WHERE model_id = $3 AND lifecycle = 'active'",
                      TP_STR("deleted"), model_id, err);
}

static tapeout_status params_locked(tp_mlflow *mlflow, void *user, tapeout_error *err)
{
    const model_call *call = user;
    TP_TRY(tp_mlflow_model_need(mlflow, call->model_id, err));
    return set_params(mlflow, call->model_id, call->pairs, err);
}

tapeout_status tp_mlflow_model_params(tp_mlflow *mlflow, tp_str model_id, tp_mlflow_pairs params,
                                      tapeout_error *err)
{
    model_call call = {.model_id = model_id, .pairs = params};
    TP_TRY(check_pairs("param", params, err));
    return tp_mlflow_transact(mlflow, params_locked, &call, err);
}

static tapeout_status tags_locked(tp_mlflow *mlflow, void *user, tapeout_error *err)
{
    const model_call *call = user;
    TP_TRY(tp_mlflow_model_need(mlflow, call->model_id, err));
    return set_tags(mlflow, call->model_id, call->pairs, err);
}

tapeout_status tp_mlflow_model_tags(tp_mlflow *mlflow, tp_str model_id, tp_mlflow_pairs tags,
                                    tapeout_error *err)
{
    model_call call = {.model_id = model_id, .pairs = tags};
    TP_TRY(check_pairs("tag", tags, err));
    return tp_mlflow_transact(mlflow, tags_locked, &call, err);
}

tapeout_status tp_mlflow_model_untag(tp_mlflow *mlflow, tp_str model_id, tp_str key,
                                     tapeout_error *err)
{
    int64_t changed = 0;
    TP_TRY(tp_mlflow_model_need(mlflow, model_id, err));
    TP_TRY(tp_mlflow_exec(mlflow, "DELETE FROM mlflow_model_tags WHERE model_id = $1 AND key = $2",
                          TP_SQL(tp_sql_text(model_id), tp_sql_text(key)), &changed, err));
    return changed > 0 ? TAPEOUT_OK
                       : tp_fail(err, TAPEOUT_E_NOT_FOUND, "No tag with key '%.*s' on model '%.*s'",
                                 TP_STR_ARGS(key), TP_STR_ARGS(model_id));
}
