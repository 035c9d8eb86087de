// SPDX-License-Identifier: Apache-2.0
//
// Experiments: a name and a number with tags, and where artifacts of its runs lie. "0" is there
// from the start. A deleted experiment keeps its name, as
// MLflow has it, and takes its runs with it, there and back.
#include "registry/mlflow_priv.h"

#include "base/limits.h"
#include "base/tp_error.h"
#include "registry/mlflow_path.h"
#include "table/tp_json.h"

#include <stdio.h>

#define SCHEME "mlflow-artifacts:/"
#define COLUMNS                                                                                    \
    "SELECT e.experiment_id, e.name, e.location, e.lifecycle, e.created_ms, e.updated_ms "         \
    "FROM mlflow_experiments e WHERE "

static tapeout_status fail_unknown(tp_str id, tapeout_error *err)
{
    return tp_fail(err, TAPEOUT_E_NOT_FOUND, "No Experiment with id=%.*s exists", TP_STR_ARGS(id));
}

static tapeout_status need_number(tp_str id, int64_t *ret_number, tapeout_error *err)
{
    return tp_mlflow_experiment_number(id, ret_number) ? TAPEOUT_OK : fail_unknown(id, err);
}

// -- making --------------------------------------------------------------------------------------
typedef struct create_call {
    tp_str name;
    tp_str location;
    tp_mlflow_pairs tags;
    int64_t id;
} create_call;

static tapeout_status set_tag(tp_mlflow *mlflow, int64_t id, const tp_mlflow_pair *tag,
                              tapeout_error *err)
{
    const tp_str value = tp_mlflow_cut(tag->value, TP_MAX_MLFLOW_TAG_BYTES);
    return tp_mlflow_exec(mlflow,
                          "INSERT INTO mlflow_experiment_tags(experiment_id, key, value) "
                          "VALUES($1, $2, $3) ON CONFLICT(experiment_id, key) "
                          "DO UPDATE SET value = excluded.value",
                          TP_SQL(tp_sql_int(id), tp_sql_text(tag->key), tp_sql_text(value)), NULL,
                          err);
}

// The row; without one in `call->id` where the name is taken.
static tapeout_status insert(tp_mlflow *mlflow, create_call *call, tapeout_error *err)
{
    const int64_t now = tp_mlflow_now_ms();
    tp_rows rows;
    bool has_row = false;
    TP_TRY(tp_mlflow_query(mlflow,
                           "INSERT INTO mlflow_experiments(name, location, lifecycle, created_ms, "
                           "updated_ms) VALUES($1, $2, 'active', $3, $4) "
                           "ON CONFLICT(name) DO NOTHING RETURNING experiment_id",
                           TP_SQL(tp_sql_text(call->name), tp_sql_text(call->location),
                                  tp_sql_int(now), tp_sql_int(now)),
                           &rows, err));
    const tapeout_status status = tp_mlflow_next(&rows, &has_row, err);
    call->id = has_row ? tp_rows_int(&rows, 0) : -1;
    tp_mlflow_end(&rows);
    return status;
}

static tapeout_status create_locked(tp_mlflow *mlflow, void *user, tapeout_error *err)
{
    create_call *call = user;
    TP_TRY(insert(mlflow, call, err));
    if (call->id < 0) {
        return tp_fail(err, TAPEOUT_E_EXISTS, "Experiment(name=%.*s) already exists",
                       TP_STR_ARGS(call->name));
    }
    char own[64];
    const int size = snprintf(own, sizeof(own), SCHEME "%lld", (long long)call->id);
    if (call->location.size == 0) {
        TP_TRY(tp_mlflow_exec(
            mlflow, "UPDATE mlflow_experiments SET location = $1 WHERE experiment_id = $2",
            TP_SQL(tp_sql_text((tp_str){own, (size_t)size}), tp_sql_int(call->id)), NULL, err));
    }
    for (uint32_t i = 0; i < call->tags.count; i++) {
        TP_TRY(set_tag(mlflow, call->id, &call->tags.items[i], err));
    }
    return TAPEOUT_OK;
}

static tapeout_status check_name(tp_str name, tapeout_error *err)
{
    if (name.size == 0) {
        return tp_fail(err, TAPEOUT_E_INVALID, "an experiment needs a name");
    }
    return tp_mlflow_length_check("the experiment's name", name, TP_MAX_MLFLOW_NAME_BYTES, err);
}

// Only our own store: a path of the client's or the server's disk is not for a caller to choose.
static tapeout_status check_location(tp_str location, tapeout_error *err)
{
    if (location.size == 0) {
        return TAPEOUT_OK;
    }
    const tp_str scheme = TP_STR(SCHEME);
    if (!tp_str_has_prefix(location, scheme)) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "artifact_location \"%.*s\": leave it out, or name a folder of this "
                       "server's store as in mlflow-artifacts:/folder",
                       TP_STR_ARGS(location));
    }
    const tp_str path = {location.data + scheme.size, location.size - scheme.size};
    return tp_mlflow_path_check(path, err);
}

tapeout_status tp_mlflow_experiment_create(tp_mlflow *mlflow, tp_str name, tp_str location,
                                           tp_mlflow_pairs tags, int64_t *ret_id,
                                           tapeout_error *err)
{
    create_call call = {name, location, tags, 0};
    TP_TRY(check_name(name, err));
    TP_TRY(check_location(location, err));
    for (uint32_t i = 0; i < tags.count; i++) {
        TP_TRY(tp_mlflow_key_check("tag", tags.items[i].key, err));
    }
    TP_TRY(tp_mlflow_transact(mlflow, create_locked, &call, err));
    *ret_id = call.id;
    return TAPEOUT_OK;
}

// -- reading -------------------------------------------------------------------------------------
static tapeout_status write_experiment(tp_mlflow *mlflow, const tp_rows *rows, tp_buffer *json,
                                       tapeout_error *err)
{
    const int64_t id = tp_rows_int(rows, 0);
    tp_buffer_printf(json, "{\"experiment_id\":\"%lld\"", (long long)id);
    tp_json_put_str(json, "name", tp_rows_text(rows, 1));
    tp_json_put_str(json, "artifact_location", tp_rows_text(rows, 2));
    tp_json_put_str(json, "lifecycle_stage", tp_rows_text(rows, 3));
    tp_json_put_i64(json, "creation_time", tp_rows_int(rows, 4));
    tp_json_put_i64(json, "last_update_time", tp_rows_int(rows, 5));
    TP_TRY(tp_mlflow_put_pairs(mlflow, "tags",
                               "SELECT key, value FROM mlflow_experiment_tags "
                               "WHERE experiment_id = $1 ORDER BY key",
                               TP_SQL(tp_sql_int(id)), json, err));
    tp_buffer_append_char(json, '}');
    return TAPEOUT_OK;
}

// The one row of the query.
static tapeout_status write_one(tp_mlflow *mlflow, const char *sql, tp_sql_values values,
                                bool *ret_is_there, tp_buffer *json, tapeout_error *err)
{
    tp_rows rows;
    TP_TRY(tp_mlflow_query(mlflow, sql, values, &rows, err));
    tapeout_status status = tp_mlflow_next(&rows, ret_is_there, err);
    if (status == TAPEOUT_OK && *ret_is_there) {
        status = write_experiment(mlflow, &rows, json, err);
    }
    tp_mlflow_end(&rows);
    return status;
}

tapeout_status tp_mlflow_experiment_get(tp_mlflow *mlflow, tp_str id, tp_buffer *json,
                                        tapeout_error *err)
{
    int64_t number = 0;
    bool is_there = false;
    TP_TRY(need_number(id, &number, err));
    TP_TRY(write_one(mlflow, COLUMNS "e.experiment_id = $1", TP_SQL(tp_sql_int(number)), &is_there,
                     json, err));
    return is_there ? TAPEOUT_OK : fail_unknown(id, err);
}

tapeout_status tp_mlflow_experiment_find(tp_mlflow *mlflow, tp_str name, tp_buffer *json,
                                         tapeout_error *err)
{
    bool is_there = false;
    TP_TRY(
        write_one(mlflow, COLUMNS "e.name = $1", TP_SQL(tp_sql_text(name)), &is_there, json, err));
    return is_there ? TAPEOUT_OK
                    : tp_fail(err, TAPEOUT_E_NOT_FOUND,
                              "Could not find experiment with name '%.*s'", TP_STR_ARGS(name));
}

tapeout_status tp_mlflow_experiment_search(tp_mlflow *mlflow, const tp_mlflow_search *search,
                                           tp_buffer *json, tapeout_error *err)
{
    mlflow_sql sql;
    tp_mlflow_sql_init(&sql, mlflow->alloc);
    tp_mlflow_sql_add(&sql, "SELECT e.experiment_id, e.name, e.location, e.lifecycle, "
                            "e.created_ms, e.updated_ms FROM mlflow_experiments e "
                            "WHERE ");
    tp_mlflow_sql_add(&sql, tp_mlflow_view_sql(search->view));
    tapeout_status status = tp_mlflow_search_add(&sql, &tp_mlflow_experiments, search,
                                                 "e.created_ms DESC, e.experiment_id DESC", err);
    if (status == TAPEOUT_OK) {
        status = tp_mlflow_search_run(mlflow, &sql, "experiments", write_experiment, json, err);
    }
    tp_mlflow_sql_deinit(&sql);
    return status;
}

tapeout_status tp_mlflow_experiment_need(tp_mlflow *mlflow, int64_t id, tp_buffer *ret_location,
                                         tapeout_error *err)
{
    tp_rows rows;
    bool has_row = false;
    TP_TRY(tp_mlflow_query(mlflow, COLUMNS "e.experiment_id = $1", TP_SQL(tp_sql_int(id)), &rows,
                           err));
    tapeout_status status = tp_mlflow_next(&rows, &has_row, err);
    if (status == TAPEOUT_OK && !has_row) {
        status =
            tp_fail(err, TAPEOUT_E_NOT_FOUND, "No Experiment with id=%lld exists", (long long)id);
    } else if (status == TAPEOUT_OK && !tp_str_equal(tp_rows_text(&rows, 3), TP_STR("active"))) {
        status = tp_fail(err, TAPEOUT_E_INVALID,
                         "The experiment %lld must be in the 'active' state; it is deleted",
                         (long long)id);
    } else if (status == TAPEOUT_OK && ret_location != NULL) {
        tp_buffer_append_str(ret_location, tp_rows_text(&rows, 2));
        status = tp_buffer_check(ret_location, "the experiment's location", err);
    }
    tp_mlflow_end(&rows);
    return status;
}

// -- changing ------------------------------------------------------------------------------------
typedef struct change_call {
    int64_t id;
    tp_str name;
    tp_mlflow_pair tag;
    bool is_back;
} change_call;

static tapeout_status rename_locked(tp_mlflow *mlflow, void *user, tapeout_error *err)
{
    const change_call *call = user;
    bool is_taken = false;
    TP_TRY(tp_mlflow_experiment_need(mlflow, call->id, NULL, err));
    TP_TRY(tp_mlflow_exists(mlflow,
                            "SELECT 1 FROM mlflow_experiments WHERE name = $1 "
                            "AND experiment_id <> $2",
                            TP_SQL(tp_sql_text(call->name), tp_sql_int(call->id)), &is_taken, err));
    if (is_taken) {
        return tp_fail(err, TAPEOUT_E_EXISTS, "Experiment(name=%.*s) already exists",
                       TP_STR_ARGS(call->name));
    }
    return tp_mlflow_exec(
        mlflow,
        "UPDATE mlflow_experiments SET name = $1, updated_ms = $2 "
        "WHERE experiment_id = $3",
        TP_SQL(tp_sql_text(call->name), tp_sql_int(tp_mlflow_now_ms()), tp_sql_int(call->id)), NULL,
        err);
}

tapeout_status tp_mlflow_experiment_rename(tp_mlflow *mlflow, tp_str id, tp_str name,
                                           tapeout_error *err)
{
    change_call call = {.name = name};
    TP_TRY(check_name(name, err));
    TP_TRY(need_number(id, &call.id, err));
    return tp_mlflow_transact(mlflow, rename_locked, &call, err);
}

static tapeout_status delete_locked(tp_mlflow *mlflow, void *user, tapeout_error *err)
{
    const change_call *call = user;
    const tp_str now = call->is_back ? TP_STR("active") : TP_STR("deleted");
    const tp_str before = call->is_back ? TP_STR("deleted") : TP_STR("active");
    int64_t changed = 0;
    TP_TRY(tp_mlflow_exec(mlflow,
                          "UPDATE mlflow_experiments SET lifecycle = $1, updated_ms = $2 "
                          "WHERE experiment_id = $3 AND lifecycle = $4",
                          TP_SQL(tp_sql_text(now), tp_sql_int(tp_mlflow_now_ms()),
                                 tp_sql_int(call->id), tp_sql_text(before)),
                          &changed, err));
    if (changed == 0) {
        return tp_fail(err, TAPEOUT_E_NOT_FOUND, "No %.*s Experiment with id=%lld exists",
                       TP_STR_ARGS(before), (long long)call->id);
    }
    return tp_mlflow_exec(mlflow,
                          "UPDATE mlflow_runs SET lifecycle = $1 "
                          "WHERE experiment_id = $2",
                          TP_SQL(tp_sql_text(now), tp_sql_int(call->id)), NULL, err);
}

tapeout_status tp_mlflow_experiment_delete(tp_mlflow *mlflow, tp_str id, bool is_back,
                                           tapeout_error *err)
{
    change_call call = {.is_back = is_back};
    TP_TRY(need_number(id, &call.id, err));
    return tp_mlflow_transact(mlflow, delete_locked, &call, err);
}

static tapeout_status tag_locked(tp_mlflow *mlflow, void *user, tapeout_error *err)
{
    const change_call *call = user;
    TP_TRY(tp_mlflow_experiment_need(mlflow, call->id, NULL, err));
    return set_tag(mlflow, call->id, &call->tag, err);
}

tapeout_status tp_mlflow_experiment_tag(tp_mlflow *mlflow, tp_str id, const tp_mlflow_pair *tag,
                                        tapeout_error *err)
{
    change_call call = {.tag = *tag};
    TP_TRY(tp_mlflow_key_check("tag", tag->key, err));
    TP_TRY(need_number(id, &call.id, err));
    return tp_mlflow_transact(mlflow, tag_locked, &call, err);
}

static tapeout_status untag_locked(tp_mlflow *mlflow, void *user, tapeout_error *err)
{
    const change_call *call = user;
    int64_t changed = 0;
    TP_TRY(tp_mlflow_experiment_need(mlflow, call->id, NULL, err));
    TP_TRY(tp_mlflow_exec(mlflow,
                          "DELETE FROM mlflow_experiment_tags "
                          "WHERE experiment_id = $1 AND key = $2",
                          TP_SQL(tp_sql_int(call->id), tp_sql_text(call->tag.key)), &changed, err));
    return changed > 0 ? TAPEOUT_OK
                       : tp_fail(err, TAPEOUT_E_NOT_FOUND,
                                 "No tag with name: %.*s in experiment with id %lld",
                                 TP_STR_ARGS(call->tag.key), (long long)call->id);
}

tapeout_status tp_mlflow_experiment_untag(tp_mlflow *mlflow, tp_str id, tp_str key,
                                          tapeout_error *err)
{
    change_call call = {.tag = {.key = key}};
    TP_TRY(need_number(id, &call.id, err));
    return tp_mlflow_transact(mlflow, untag_locked, &call, err);
}
