// SPDX-License-Identifier: Apache-2.0
//
// The registry's models and versions, read in MLflow's words.
#include "registry/tp_mlflow_registry.h"

#include "base/limits.h"
#include "base/tp_error.h"
#include "registry/mlflow_priv.h"
#include "registry/tp_entry.h"
#include "table/tp_json.h"

#define IS_THERE "(m.is_kept = 1 OR EXISTS (SELECT 1 FROM versions w WHERE w.model_id = m.id))"
#define MODEL_COLUMNS                                                                              \
    "SELECT m.id, m.name, m.created_us, m.updated_us, m.description, m.owner FROM models m WHERE "
#define VERSION_COLUMNS                                                                            \
    "SELECT m.id, m.name, v.version, v.created_us, v.updated_us, v.description, v.owner, "         \
    "v.stage, "                                                                                    \
    "v.source, v.run_id, v.logged_model_id, v.reason FROM versions v "                             \
    "JOIN models m ON m.id = v.model_id WHERE "

// -- what can be searched ------------------------------------------------------------------------
static const mlflow_attribute model_attributes[] = {
    {"name", "m.name", MLFLOW_TEXT},
    {"creation_timestamp", "m.created_us / 1000", MLFLOW_INTEGER},
    {"last_updated_timestamp", "m.updated_us / 1000", MLFLOW_INTEGER},
    {"timestamp", "m.updated_us / 1000", MLFLOW_INTEGER},
    {NULL, NULL, MLFLOW_TEXT},
};

static const mlflow_entity models = {
    .what = "a registered model",
    .attributes = model_attributes,
    .related = {[MLFLOW_TAG] = "FROM model_tags x WHERE x.model_id = m.id"},
    .absent_tag_differs = true,
};

static const mlflow_attribute version_attributes[] = {
    {"name", "m.name", MLFLOW_TEXT},
    {"version_number", "v.version", MLFLOW_INTEGER},
    {"version", "v.version", MLFLOW_INTEGER},
    {"run_id", "v.run_id", MLFLOW_TEXT},
    {"source_path", "v.source", MLFLOW_TEXT},
    {"current_stage", "v.stage", MLFLOW_TEXT},
    {"creation_timestamp", "v.created_us / 1000", MLFLOW_INTEGER},
    {"last_updated_timestamp", "v.updated_us / 1000", MLFLOW_INTEGER},
    {NULL, NULL, MLFLOW_TEXT},
};

static const mlflow_entity versions = {
    .what = "a version",
    .attributes = version_attributes,
    .related = {[MLFLOW_TAG] = "FROM version_tags x WHERE x.model_id = v.model_id "
                               "AND x.version = v.version"},
    .absent_tag_differs = true,
};

// -- versions ------------------------------------------------------------------------------------
static tapeout_status write_aliases(tp_mlflow *mlflow, tp_sql_values entry, tp_buffer *json,
                                    tapeout_error *err)
{
    tp_rows rows;
    bool is_begun = false;
    tp_store_query(mlflow->store, &rows,
                   "SELECT alias FROM aliases WHERE model_id = $1 AND version = $2 ORDER BY alias",
                   entry);
    while (tp_rows_next(&rows)) {
        if (!is_begun) {
            tp_json_append_key(json, "aliases");
        }
        tp_buffer_append_text(json, is_begun ? "," : "[");
        tp_json_append_str(json, tp_rows_text(&rows, 0));
        is_begun = true;
    }
    tp_buffer_append_text(json, is_begun ? "]" : "");
    return tp_rows_close(&rows, err);
}

static tapeout_status write_version(tp_mlflow *mlflow, const tp_rows *rows, tp_buffer *json,
                                    tapeout_error *err)
{
    static const char *const names[] = {"description", "user_id",  "current_stage", "source",
                                        "run_id",      "model_id", "status_message"};
    const tp_sql_values entry =
        TP_SQL(tp_sql_int(tp_rows_int(rows, 0)), tp_sql_int(tp_rows_int(rows, 2)));
    tp_buffer_append_char(json, '{');
    tp_json_put_str(json, "name", tp_rows_text(rows, 1));
    tp_buffer_printf(json, ",\"version\":\"%lld\"", (long long)tp_rows_int(rows, 2));
    tp_json_put_i64(json, "creation_timestamp", tp_rows_int(rows, 3) / 1000);
    tp_json_put_i64(json, "last_updated_timestamp", tp_rows_int(rows, 4) / 1000);
    for (int i = 0; i < 7; i++) {
        const tp_str text = tp_rows_text(rows, 5 + i);
        if (text.size > 0) {
            tp_json_put_str(json, names[i], text);
        }
    }
    tp_json_put_str(json, "status", TP_STR("READY"));
    TP_TRY(write_aliases(mlflow, entry, json, err));
    TP_TRY(tp_mlflow_put_pairs(mlflow, "tags",
                               "SELECT key, value FROM version_tags WHERE model_id = $1 "
                               "AND version = $2 ORDER BY key",
                               entry, json, err));
    tp_buffer_append_char(json, '}');
    return TAPEOUT_OK;
}

tapeout_status tp_mlflow_version_get(tp_mlflow *mlflow, tp_str name, int64_t version,
                                     tp_buffer *json, tapeout_error *err)
{
    tp_rows rows;
    bool has_row = false;
    TP_TRY(tp_mlflow_query(mlflow, VERSION_COLUMNS "m.name = $1 AND v.version = $2",
                           TP_SQL(tp_sql_text(name), tp_sql_int(version)), &rows, err));
    tapeout_status status = tp_mlflow_next(&rows, &has_row, err);
    if (status == TAPEOUT_OK) {
        status = has_row ? write_version(mlflow, &rows, json, err)
                         : tp_fail(err, TAPEOUT_E_NOT_FOUND,
                                   "Model Version (name=%.*s, version=%lld) not found",
                                   TP_STR_ARGS(name), (long long)version);
    }
    tp_mlflow_end(&rows);
    return status;
}

tapeout_status tp_mlflow_version_by_alias(tp_mlflow *mlflow, tp_str name, tp_str alias,
                                          tp_buffer *json, tapeout_error *err)
{
    tp_entry model;
    int64_t version = 0;
    TP_TRY(tp_entry_find(mlflow->store, name, 0, &model, err));
    TP_TRY(tp_alias_version(mlflow->store, name, alias, &version, err));
    return version > 0 ? tp_mlflow_version_get(mlflow, name, version, json, err)
                       : tp_fail(err, TAPEOUT_E_INVALID, "Registered model alias %.*s not found",
                                 TP_STR_ARGS(alias));
}

tapeout_status tp_mlflow_version_search(tp_mlflow *mlflow, const tp_mlflow_search *search,
                                        tp_buffer *json, tapeout_error *err)
{
    mlflow_sql sql;
    tp_mlflow_sql_init(&sql, mlflow->alloc);
    tp_mlflow_sql_add(&sql, VERSION_COLUMNS "1 = 1");
    tapeout_status status =
        tp_mlflow_search_add(&sql, &versions, search, "m.name, v.version DESC", err);
    if (status == TAPEOUT_OK) {
        status = tp_mlflow_search_run(mlflow, &sql, "model_versions", write_version, json, err);
    }
    tp_mlflow_sql_deinit(&sql);
    return status;
}

// "Production" and the like, whatever their case; NULL: none.
const char *tp_mlflow_stage_name(tp_str word)
{
    static const char *const known[] = {"None", "Staging", "Production", "Archived"};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (tp_str_equal_ignore_case(word, tp_str_from(known[i]))) {
            return known[i];
        }
    }
    return NULL;
}

static tapeout_status write_latest(tp_mlflow *mlflow, int64_t model_id, tp_mlflow_texts stages,
                                   const char *list, tp_buffer *json, tapeout_error *err)
{
    mlflow_sql sql;
    tp_mlflow_sql_init(&sql, mlflow->alloc);
    tp_mlflow_sql_add(&sql, VERSION_COLUMNS "m.id = ");
    tp_mlflow_sql_integer(&sql, model_id);
    tp_mlflow_sql_add(&sql, " AND v.version = (SELECT max(w.version) FROM versions w "
                            "WHERE w.model_id = v.model_id AND w.stage = v.stage)");
    for (uint32_t i = 0; i < stages.count; i++) {
        const char *stage = tp_mlflow_stage_name(stages.items[i]);
        tp_mlflow_sql_add(&sql, i == 0 ? " AND v.stage IN (" : ", ");
        tp_mlflow_sql_text(&sql, stage == NULL ? stages.items[i] : tp_str_from(stage));
    }
    tp_mlflow_sql_add(&sql, stages.count > 0 ? ")" : "");
    const tp_mlflow_search search = {.max_results = 0};
    tapeout_status status = tp_mlflow_search_add(&sql, &versions, &search, "v.version", err);
    if (status == TAPEOUT_OK) {
        status = tp_mlflow_search_run(mlflow, &sql, list, write_version, json, err);
    }
    tp_mlflow_sql_deinit(&sql);
    return status;
}

tapeout_status tp_mlflow_version_latest(tp_mlflow *mlflow, tp_str name, tp_mlflow_texts stages,
                                        tp_buffer *json, tapeout_error *err)
{
    tp_entry model;
    TP_TRY(tp_entry_find(mlflow->store, name, 0, &model, err));
    return write_latest(mlflow, model.model_id, stages, "model_versions", json, err);
}

// -- models --------------------------------------------------------------------------------------
static tapeout_status write_model_aliases(tp_mlflow *mlflow, tp_sql_values id, tp_buffer *json,
                                          tapeout_error *err)
{
    tp_rows rows;
    bool is_begun = false;
    tp_store_query(mlflow->store, &rows,
                   "SELECT alias, version FROM aliases WHERE model_id = $1 ORDER BY alias", id);
    while (tp_rows_next(&rows)) {
        tp_buffer_append_text(json, is_begun ? ",{" : ",\"aliases\":[{");
        tp_json_put_str(json, "alias", tp_rows_text(&rows, 0));
        tp_buffer_printf(json, ",\"version\":\"%lld\"}", (long long)tp_rows_int(&rows, 1));
        is_begun = true;
    }
    tp_buffer_append_text(json, is_begun ? "]" : "");
    return tp_rows_close(&rows, err);
}

static tapeout_status write_model(tp_mlflow *mlflow, const tp_rows *rows, tp_buffer *json,
                                  tapeout_error *err)
{
    const int64_t id = tp_rows_int(rows, 0);
    const tp_sql_values value = TP_SQL(tp_sql_int(id));
    tp_buffer_append_char(json, '{');
    tp_json_put_str(json, "name", tp_rows_text(rows, 1));
    tp_json_put_i64(json, "creation_timestamp", tp_rows_int(rows, 2) / 1000);
    tp_json_put_i64(json, "last_updated_timestamp", tp_rows_int(rows, 3) / 1000);
    if (tp_rows_text(rows, 4).size > 0) {
        tp_json_put_str(json, "description", tp_rows_text(rows, 4));
    }
    if (tp_rows_text(rows, 5).size > 0) {
        tp_json_put_str(json, "user_id", tp_rows_text(rows, 5));
    }
    TP_TRY(write_model_aliases(mlflow, value, json, err));
    TP_TRY(tp_mlflow_put_pairs(mlflow, "tags",
                               "SELECT key, value FROM model_tags WHERE model_id = $1 ORDER BY key",
                               value, json, err));
    TP_TRY(write_latest(mlflow, id, (tp_mlflow_texts){NULL, 0}, "latest_versions", json, err));
    tp_buffer_append_char(json, '}');
    return TAPEOUT_OK;
}

tapeout_status tp_mlflow_registered_get(tp_mlflow *mlflow, tp_str name, tp_buffer *json,
                                        tapeout_error *err)
{
    tp_rows rows;
    bool has_row = false;
    TP_TRY(tp_mlflow_query(mlflow, MODEL_COLUMNS IS_THERE " AND m.name = $1",
                           TP_SQL(tp_sql_text(name)), &rows, err));
    tapeout_status status = tp_mlflow_next(&rows, &has_row, err);
    if (status == TAPEOUT_OK) {
        status = has_row ? write_model(mlflow, &rows, json, err)
                         : tp_fail(err, TAPEOUT_E_NOT_FOUND,
                                   "Registered Model with name=%.*s not found", TP_STR_ARGS(name));
    }
    tp_mlflow_end(&rows);
    return status;
}

tapeout_status tp_mlflow_registered_search(tp_mlflow *mlflow, const tp_mlflow_search *search,
                                           tp_buffer *json, tapeout_error *err)
{
    mlflow_sql sql;
    tp_mlflow_sql_init(&sql, mlflow->alloc);
    tp_mlflow_sql_add(&sql, MODEL_COLUMNS IS_THERE);
    tapeout_status status = tp_mlflow_search_add(&sql, &models, search, "m.name", err);
    if (status == TAPEOUT_OK) {
        status = tp_mlflow_search_run(mlflow, &sql, "registered_models", write_model, json, err);
    }
    tp_mlflow_sql_deinit(&sql);
    return status;
}
