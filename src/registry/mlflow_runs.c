// SPDX-License-Identifier: Apache-2.0
//
// Runs: making, reading, changing, searching. A run's name stands twice, in its row and as the tag
// mlflow.runName, because clients set and search it by either.
#include "registry/mlflow_priv.h"

#include "base/limits.h"
#include "base/tp_error.h"
#include "table/tp_json.h"

#include <stdio.h>

#define NAME_TAG "mlflow.runName"
#define COLUMNS                                                                                    \
    "SELECT r.run_id, r.experiment_id, r.name, r.user_id, r.status, r.start_ms, r.end_ms, "        \
    "r.artifact_uri, r.lifecycle FROM mlflow_runs r WHERE "

static tapeout_status fail_unknown(tp_str run_id, tapeout_error *err)
{
    return tp_fail(err, TAPEOUT_E_NOT_FOUND, "Run with id=%.*s not found", TP_STR_ARGS(run_id));
}

// -- reading -------------------------------------------------------------------------------------
static void write_info(const tp_rows *rows, tp_buffer *json)
{
    tp_buffer_append_char(json, '{');
    tp_json_put_str(json, "run_id", tp_rows_text(rows, 0));
    tp_json_put_str(json, "run_uuid", tp_rows_text(rows, 0));
    tp_json_put_str(json, "run_name", tp_rows_text(rows, 2));
    tp_buffer_printf(json, ",\"experiment_id\":\"%lld\"", (long long)tp_rows_int(rows, 1));
    tp_json_put_str(json, "user_id", tp_rows_text(rows, 3));
    tp_json_put_str(json, "status", tp_rows_text(rows, 4));
    tp_json_put_i64(json, "start_time", tp_rows_int(rows, 5));
    if (!tp_rows_is_null(rows, 6)) {
        tp_json_put_i64(json, "end_time", tp_rows_int(rows, 6));
    }
    tp_json_put_str(json, "artifact_uri", tp_rows_text(rows, 7));
    tp_json_put_str(json, "lifecycle_stage", tp_rows_text(rows, 8));
    tp_buffer_append_char(json, '}');
}

static tapeout_status write_run(tp_mlflow *mlflow, const tp_rows *rows, tp_buffer *json,
                                tapeout_error *err)
{
    const tp_sql_values id = TP_SQL(tp_sql_text(tp_rows_text(rows, 0)));
    tp_buffer_append_text(json, "{\"info\":");
    write_info(rows, json);
    tp_buffer_append_text(json, ",\"data\":{");
    TP_TRY(tp_mlflow_put_metrics(mlflow,
                                 "SELECT value, is_nan, timestamp_ms, step, key FROM "
                                 "mlflow_latest_metrics WHERE run_id = $1 ORDER BY key",
                                 id, json, err));
    TP_TRY(tp_mlflow_put_pairs(mlflow, "params",
                               "SELECT key, value FROM mlflow_params WHERE run_id = $1 "
                               "ORDER BY key",
                               id, json, err));
    TP_TRY(tp_mlflow_put_pairs(mlflow, "tags",
                               "SELECT key, value FROM mlflow_run_tags WHERE run_id = $1 "
                               "ORDER BY key",
                               id, json, err));
    tp_buffer_append_text(json, "},\"inputs\":{");
    TP_TRY(tp_mlflow_put_inputs(mlflow, id, json, err));
    tp_buffer_append_text(json, "},\"outputs\":{");
    TP_TRY(tp_mlflow_put_models(mlflow, id, true, json, err));
    tp_buffer_append_text(json, "}}");
    return TAPEOUT_OK;
}

static tapeout_status read_one(tp_mlflow *mlflow, tp_str run_id, bool whole, tp_buffer *json,
                               tapeout_error *err)
{
    tp_rows rows;
    bool has_row = false;
    TP_TRY(
        tp_mlflow_query(mlflow, COLUMNS "r.run_id = $1", TP_SQL(tp_sql_text(run_id)), &rows, err));
    tapeout_status status = tp_mlflow_next(&rows, &has_row, err);
    if (status == TAPEOUT_OK && !has_row) {
        status = fail_unknown(run_id, err);
    } else if (status == TAPEOUT_OK && whole) {
        status = write_run(mlflow, &rows, json, err);
    } else if (status == TAPEOUT_OK) {
        write_info(&rows, json);
    }
    tp_mlflow_end(&rows);
    return status;
}

tapeout_status tp_mlflow_run_get(tp_mlflow *mlflow, tp_str run_id, tp_buffer *json,
                                 tapeout_error *err)
{
    return read_one(mlflow, run_id, true, json, err);
}

// Of a run that is there.
static tapeout_status read_state(tp_mlflow *mlflow, tp_str run_id, bool *ret_is_active,
                                 tp_buffer *ret_uri, tapeout_error *err)
{
    tp_rows rows;
    bool has_row = false;
    TP_TRY(tp_mlflow_query(mlflow,
                           "SELECT lifecycle, artifact_uri FROM mlflow_runs "
                           "WHERE run_id = $1",
                           TP_SQL(tp_sql_text(run_id)), &rows, err));
    tapeout_status status = tp_mlflow_next(&rows, &has_row, err);
    if (status == TAPEOUT_OK && !has_row) {
        status = fail_unknown(run_id, err);
    } else if (status == TAPEOUT_OK) {
        *ret_is_active = tp_str_equal(tp_rows_text(&rows, 0), TP_STR("active"));
        if (ret_uri != NULL) {
            tp_buffer_append_str(ret_uri, tp_rows_text(&rows, 1));
        }
    }
    tp_mlflow_end(&rows);
    return status;
}

tapeout_status tp_mlflow_run_need(tp_mlflow *mlflow, tp_str run_id, tapeout_error *err)
{
    bool is_active = false;
    TP_TRY(read_state(mlflow, run_id, &is_active, NULL, err));
    return is_active ? TAPEOUT_OK
                     : tp_fail(err, TAPEOUT_E_INVALID,
                               "The run %.*s must be in the 'active' state; it is deleted",
                               TP_STR_ARGS(run_id));
}

tapeout_status tp_mlflow_run_folder(tp_mlflow *mlflow, tp_str run_id, tp_buffer *ret_folder,
                                    tapeout_error *err)
{
    bool is_active = false;
    tp_buffer uri;
    tp_buffer_init(&uri, mlflow->alloc, TP_MAX_MLFLOW_TEXT_BYTES);
    tapeout_status status = read_state(mlflow, run_id, &is_active, &uri, err);
    if (status == TAPEOUT_OK) {
        status = tp_mlflow_folder_of(tp_buffer_view(&uri), ret_folder, err);
    }
    tp_buffer_deinit(&uri);
    return status;
}

tapeout_status tp_mlflow_run_search(tp_mlflow *mlflow, const tp_mlflow_search *search,
                                    tp_buffer *json, tapeout_error *err)
{
    mlflow_sql sql;
    tp_mlflow_sql_init(&sql, mlflow->alloc);
    tp_mlflow_sql_add(&sql, COLUMNS);
    tp_mlflow_sql_add(&sql, tp_mlflow_view_sql(search->view));
    tp_mlflow_sql_experiments(&sql, "r.experiment_id", &search->experiments);
    tapeout_status status =
        tp_mlflow_search_add(&sql, &tp_mlflow_runs, search, "r.start_ms DESC, r.run_id", err);
    if (status == TAPEOUT_OK) {
        status = tp_mlflow_search_run(mlflow, &sql, "runs", write_run, json, err);
    }
    tp_mlflow_sql_deinit(&sql);
    return status;
}

// -- making --------------------------------------------------------------------------------------
typedef struct create_call {
    const tp_mlflow_run_spec *spec;
    int64_t experiment_id;
    tp_str run_id;
    tp_str name;
} create_call;

static tapeout_status set_tag(tp_mlflow *mlflow, tp_str run_id, tp_mlflow_pair tag,
                              tapeout_error *err)
{
    const tp_str value = tp_mlflow_cut(tag.value, TP_MAX_MLFLOW_TAG_BYTES);
    return tp_mlflow_exec(mlflow,
                          "INSERT INTO mlflow_run_tags(run_id, key, value) VALUES($1, $2, $3) "
                          "ON CONFLICT(run_id, key) DO UPDATE SET value = excluded.value",
                          TP_SQL(tp_sql_text(run_id), tp_sql_text(tag.key), tp_sql_text(value)),
                          NULL, err);
}

static tapeout_status insert_run(tp_mlflow *mlflow, const create_call *call, tp_str uri,
                                 tapeout_error *err)
{
    const tp_mlflow_run_spec *spec = call->spec;
    const int64_t start = spec->start_ms != 0 ? spec->start_ms : tp_mlflow_now_ms();
    return tp_mlflow_exec(mlflow,
                          "INSERT INTO mlflow_runs(run_id, experiment_id, name, user_id, "
                          "status, start_ms, artifact_uri, lifecycle) "
                          "VALUES($1, $2, $3, $4, 'RUNNING', $5, $6, 'active')",
                          TP_SQL(tp_sql_text(call->run_id), tp_sql_int(call->experiment_id),
                                 tp_sql_text(call->name), tp_sql_text(spec->user_id),
                                 tp_sql_int(start), tp_sql_text(uri)),
                          NULL, err);
}

static tapeout_status create_locked(tp_mlflow *mlflow, void *user, tapeout_error *err)
{
    const create_call *call = user;
    tp_buffer uri;
    tp_buffer_init(&uri, mlflow->alloc, TP_MAX_MLFLOW_TEXT_BYTES);
    tapeout_status status = tp_mlflow_experiment_need(mlflow, call->experiment_id, &uri, err);
    if (status == TAPEOUT_OK) {
        tp_buffer_printf(&uri, "/%.*s/artifacts", TP_STR_ARGS(call->run_id));
        status = tp_buffer_check(&uri, "the run's place", err);
    }
    if (status == TAPEOUT_OK) {
        status = insert_run(mlflow, call, tp_buffer_view(&uri), err);
    }
    tp_buffer_deinit(&uri);
    for (uint32_t i = 0; i < call->spec->tags.count && status == TAPEOUT_OK; i++) {
        status = set_tag(mlflow, call->run_id, call->spec->tags.items[i], err);
    }
    return status != TAPEOUT_OK
               ? status
               : set_tag(mlflow, call->run_id, (tp_mlflow_pair){TP_STR(NAME_TAG), call->name}, err);
}

// The name asked for, else that of the tag, else one that is made up.
static tapeout_status choose_name(const tp_mlflow_run_spec *spec, char made[MLFLOW_NAME_SIZE],
                                  tp_str *ret_name, tapeout_error *err)
{
    tp_str name = spec->name;
    for (uint32_t i = 0; i < spec->tags.count && name.size == 0; i++) {
        if (tp_str_equal(spec->tags.items[i].key, TP_STR(NAME_TAG))) {
            name = spec->tags.items[i].value;
        }
    }
    if (name.size == 0) {
        TP_TRY(tp_mlflow_name_make(made, err));
        name = tp_str_from(made);
    }
    *ret_name = tp_mlflow_cut(name, TP_MAX_MLFLOW_TAG_BYTES);
    return TAPEOUT_OK;
}

tapeout_status tp_mlflow_run_create(tp_mlflow *mlflow, const tp_mlflow_run_spec *spec,
                                    tp_buffer *json, tapeout_error *err)
{
    char id[MLFLOW_ID_SIZE + 1];
    char made[MLFLOW_NAME_SIZE];
    create_call call = {.spec = spec};
    for (uint32_t i = 0; i < spec->tags.count; i++) {
        TP_TRY(tp_mlflow_key_check("tag", spec->tags.items[i].key, err));
    }
    if (!tp_mlflow_experiment_number(spec->experiment_id, &call.experiment_id)) {
        return tp_fail(err, TAPEOUT_E_NOT_FOUND, "No Experiment with id=%.*s exists",
                       TP_STR_ARGS(spec->experiment_id));
    }
    if (spec->start_ms < 0) {
        return tp_fail(err, TAPEOUT_E_INVALID, "start_time %lld lies before 1970",
                       (long long)spec->start_ms);
    }
    TP_TRY(choose_name(spec, made, &call.name, err));
    TP_TRY(tp_mlflow_id_make(id, err));
    call.run_id = tp_str_from(id);
    TP_TRY(tp_mlflow_transact(mlflow, create_locked, &call, err));
    return read_one(mlflow, call.run_id, true, json, err);
}

// -- changing ------------------------------------------------------------------------------------
typedef struct update_call {
    tp_str run_id;
    const tp_mlflow_run_change *change;
    bool is_back;
} update_call;

static tapeout_status check_status(tp_str status, tapeout_error *err)
{
    static const char *const known[] = {"RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (tp_str_equal(status, tp_str_from(known[i]))) {
            return TAPEOUT_OK;
        }
    }
    return tp_fail(err, TAPEOUT_E_INVALID,
                   "\"%.*s\" is no status of a run: RUNNING, SCHEDULED, FINISHED, FAILED, KILLED",
                   TP_STR_ARGS(status));
}

static tapeout_status update_locked(tp_mlflow *mlflow, void *user, tapeout_error *err)
{
    const update_call *call = user;
    const tp_mlflow_run_change *change = call->change;
    TP_TRY(tp_mlflow_run_need(mlflow, call->run_id, err));
    if (change->status.size > 0) {
        TP_TRY(tp_mlflow_exec(mlflow, "UPDATE mlflow_runs SET status = $1 WHERE run_id = $2",
                              TP_SQL(tp_sql_text(change->status), tp_sql_text(call->run_id)), NULL,
                              err));
    }
    if (change->end_ms != 0) {
        TP_TRY(tp_mlflow_exec(mlflow, "UPDATE mlflow_runs SET end_ms = $1 WHERE run_id = $2",
                              TP_SQL(tp_sql_int(change->end_ms), tp_sql_text(call->run_id)), NULL,
                              err));
    }
    if (change->name.size > 0) {
        TP_TRY(
            set_tag(mlflow, call->run_id, (tp_mlflow_pair){TP_STR(NAME_TAG), change->name}, err));
        TP_TRY(tp_mlflow_exec(mlflow, "UPDATE mlflow_runs SET name = $1 WHERE run_id = $2",
                              TP_SQL(tp_sql_text(change->name), tp_sql_text(call->run_id)), NULL,
                              err));
    }
    return TAPEOUT_OK;
}

tapeout_status tp_mlflow_run_update(tp_mlflow *mlflow, tp_str run_id,
                                    const tp_mlflow_run_change *change, tp_buffer *json,
                                    tapeout_error *err)
{
    update_call call = {.run_id = run_id, .change = change};
    if (change->status.size > 0) {
        TP_TRY(check_status(change->status, err));
    }
    if (change->end_ms < 0) {
        return tp_fail(err, TAPEOUT_E_INVALID, "end_time %lld lies before 1970",
                       (long long)change->end_ms);
    }
    TP_TRY(tp_mlflow_transact(mlflow, update_locked, &call, err));
    return read_one(mlflow, run_id, false, json, err);
}

static tapeout_status delete_locked(tp_mlflow *mlflow, void *user, tapeout_error *err)
{
    const update_call *call = user;
    bool is_active = false;
    TP_TRY(read_state(mlflow, call->run_id, &is_active, NULL, err));
    return tp_mlflow_exec(mlflow, "UPDATE mlflow_runs SET lifecycle = $1 WHERE run_id = $2",
                          TP_SQL(tp_sql_text(call->is_back ? TP_STR("active") : TP_STR("deleted")),
                                 tp_sql_text(call->run_id)),
                          NULL, err);
}

tapeout_status tp_mlflow_run_delete(tp_mlflow *mlflow, tp_str run_id, bool is_back,
                                    tapeout_error *err)
{
    update_call call = {.run_id = run_id, .is_back = is_back};
    return tp_mlflow_transact(mlflow, delete_locked, &call, err);
}
