// SPDX-License-Identifier: Apache-2.0
//
// Registering and changing by MLflow's API, on the calls of tp_entry.h; the log hears of each
// change in its transaction (tp_telling.h). A version's files stay where they were logged; its
// source says where that is, in one of the forms that clients send, and leads to a folder of this
// store or is refused.
#include "registry/tp_mlflow_registry.h"

#include "base/limits.h"
#include "base/tp_error.h"
#include "registry/mlflow_import.h"
#include "registry/mlflow_path.h"
#include "registry/mlflow_priv.h"
#include "registry/tp_entry.h"

#include <stdio.h>
#include <string.h>

#define PRODUCTION_ALIAS "prod"

// -- sources -------------------------------------------------------------------------------------
static tapeout_status fail_source(tp_str source, tapeout_error *err)
{
    return tp_fail(err, TAPEOUT_E_INVALID,
                   "Invalid model version source \"%.*s\": it must lead to a folder of this "
                   "server's store, as models:/m-…, models:/NAME/3, runs:/RUN/path and "
                   "mlflow-artifacts:/path do",
                   TP_STR_ARGS(source));
}

static tp_str behind(tp_str text, tp_str prefix)
{
    return (tp_str){text.data + prefix.size, text.size - prefix.size};
}

// "first/rest"; the rest is empty without a slash.
static tp_str split_first(tp_str text, tp_str *ret_rest)
{
    const char *slash = text.size == 0 ? NULL : memchr(text.data, '/', text.size);
    const size_t size = slash == NULL ? text.size : (size_t)(slash - text.data);
    *ret_rest = slash == NULL ? (tp_str){"", 0} : (tp_str){slash + 1, text.size - size - 1};
    return (tp_str){text.data, size};
}

static tapeout_status append_path(tp_buffer *folder, tp_str path, tapeout_error *err)
{
    if (path.size > 0) {
        TP_TRY(tp_mlflow_path_check(path, err));
        tp_buffer_append_char(folder, '/');
        tp_buffer_append_str(folder, path);
    }
    return tp_buffer_check(folder, "the source's folder", err);
}

// The folder behind a source that names no version of a registered model.
static tapeout_status resolve_plain(tp_mlflow *mlflow, tp_str source, tp_buffer *ret_folder,
                                    tp_buffer *ret_run, tapeout_error *err)
{
    tp_str rest;
    if (tp_str_has_prefix(source, TP_STR("models:/m-"))) {
        const tp_str id = split_first(behind(source, TP_STR("models:/")), &rest);
        TP_TRY(tp_mlflow_model_origin(mlflow, id, ret_folder, ret_run, err));
        return append_path(ret_folder, rest, err);
    }
    if (tp_str_has_prefix(source, TP_STR("runs:/"))) {
        const tp_str id = split_first(behind(source, TP_STR("runs:/")), &rest);
        TP_TRY(tp_mlflow_run_folder(mlflow, id, ret_folder, err));
        return append_path(ret_folder, rest, err);
    }
    if (tp_str_has_prefix(source, TP_STR("mlflow-artifacts:/"))) {
        const tp_str path = behind(source, TP_STR("mlflow-artifacts:/"));
        TP_TRY(tp_mlflow_path_check(path, err));
        tp_buffer_append_str(ret_folder, path);
        return tp_buffer_check(ret_folder, "the source's folder", err);
    }
    return fail_source(source, err);
}

static tapeout_status read_source(tp_mlflow *mlflow, tp_str name, int64_t version,
                                  tp_buffer *ret_source, tapeout_error *err)
{
    tp_rows rows;
    bool has_row = false;
    TP_TRY(tp_mlflow_query(mlflow,
                           "SELECT v.source FROM versions v JOIN models m ON m.id = v.model_id "
                           "WHERE m.name = $1 AND v.version = $2",
                           TP_SQL(tp_sql_text(name), tp_sql_int(version)), &rows, err));
    tapeout_status status = tp_mlflow_next(&rows, &has_row, err);
    if (status == TAPEOUT_OK && !has_row) {
        status =
            tp_fail(err, TAPEOUT_E_NOT_FOUND, "Model Version (name=%.*s, version=%lld) not found",
                    TP_STR_ARGS(name), (long long)version);
    } else if (status == TAPEOUT_OK) {
        tp_buffer_append_str(ret_source, tp_rows_text(&rows, 0));
        status = tp_buffer_check(ret_source, "the version's source", err);
    }
    tp_mlflow_end(&rows);
    return status;
}

// A source as it is stored: one that names another version becomes that version's own.
static tapeout_status settle_source(tp_mlflow *mlflow, tp_str source, tp_buffer *ret_source,
                                    tapeout_error *err)
{
    tp_str rest;
    int64_t version = 0;
    if (!tp_str_has_prefix(source, TP_STR("models:/")) ||
        tp_str_has_prefix(source, TP_STR("models:/m-"))) {
        tp_buffer_append_str(ret_source, source);
        return tp_buffer_check(ret_source, "the source", err);
    }
    const tp_str name = split_first(behind(source, TP_STR("models:/")), &rest);
    return tp_str_to_int64(rest, &version) && version > 0
               ? read_source(mlflow, name, version, ret_source, err)
               : fail_source(source, err);
}

tapeout_status tp_mlflow_version_folder(tp_mlflow *mlflow, tp_str name, int64_t version,
                                        tp_buffer *ret_folder, tapeout_error *err)
{
    tp_buffer source;
    tp_buffer_init(&source, mlflow->alloc, TP_MAX_MLFLOW_TEXT_BYTES);
    tapeout_status status = read_source(mlflow, name, version, &source, err);
    if (status == TAPEOUT_OK && source.size == 0) {
        status = tp_fail(err, TAPEOUT_E_NOT_FOUND,
                         "%.*s version %lld was not logged through MLflow and has no artifacts",
                         TP_STR_ARGS(name), (long long)version);
    } else if (status == TAPEOUT_OK) {
        status = resolve_plain(mlflow, tp_buffer_view(&source), ret_folder, NULL, err);
    }
    tp_buffer_deinit(&source);
    return status;
}

// -- creating ------------------------------------------------------------------------------------
typedef struct registered_call {
    const tp_mlflow_registered_spec *spec;
    tp_telling telling;
} registered_call;

static tapeout_status registered_body(tp_store *store, void *user, tapeout_error *err)
{
    registered_call *call = user;
    const tp_mlflow_registered_spec *spec = call->spec;
    const tp_model_facts facts = {spec->name, spec->description, spec->owner,
                                  tp_mlflow_now_ms() * 1000};
    tp_entry entry;
    TP_TRY(tp_model_create(store, &facts, err));
    TP_TRY(tp_entry_find(store, spec->name, 0, &entry, err));
    for (uint32_t i = 0; i < spec->tags.count; i++) {
        TP_TRY(tp_tag_set(store, &entry, spec->tags.items[i].key, spec->tags.items[i].value, err));
    }
    tp_telling_add(&call->telling, "model", spec->name);
    return TAPEOUT_OK;
}

tapeout_status tp_mlflow_registered_create(tp_mlflow *mlflow, const tp_mlflow_registered_spec *spec,
                                           tapeout_error *err)
{
    registered_call call = {.spec = spec, .telling = {.kind = "model.created"}};
    TP_TRY(tp_mlflow_length_check("the description", spec->description, TP_MAX_MLFLOW_TEXT_BYTES,
                                  err));
    return tp_registry_transact(mlflow->registry, TP_STORE_ALONE, registered_body, &call,
                                &call.telling, err);
}

typedef struct version_call {
    const tp_mlflow_version_spec *spec;
    tp_registry *registry;
    mlflow_bundle bundle;
    char hex[TP_SHA256_HEX_SIZE + 1];
    tp_version_facts facts;
    tp_entry entry;
    tp_telling telling;
    char version[24]; // as the log has it
} version_call;

static blob_source bundle_source(const version_call *call)
{
    return (blob_source){.data = {(const char *)call->bundle.map.data, call->bundle.map.size},
                         .hash = call->bundle.hash};
}

static tapeout_status version_body(tp_store *store, void *user, tapeout_error *err)
{
    version_call *call = user;
    const tp_mlflow_pairs tags = call->spec->tags;
    tp_entry model;
    TP_TRY(tp_entry_find(store, call->spec->name, 0, &model, err));
    if (call->bundle.is_there) {
        bool is_new = false; // one too many is harmless: it is collected
        const blob_source source = bundle_source(call);
        TP_TRY(tp_blob_put(call->registry, &source, &is_new, err));
    }
    TP_TRY(tp_version_create(store, &call->facts, &call->entry, err));
    for (uint32_t i = 0; i < tags.count; i++) {
        TP_TRY(tp_tag_set(store, &call->entry, tags.items[i].key, tags.items[i].value, err));
    }
    (void)snprintf(call->version, sizeof(call->version), "%lld", (long long)call->entry.version);
    tp_telling_add(&call->telling, "model", call->spec->name);
    tp_telling_add(&call->telling, "version", tp_str_from(call->version));
    tp_telling_add(&call->telling, "source", call->spec->source);
    return TAPEOUT_OK;
}

static tapeout_status create_from(tp_mlflow *mlflow, version_call *call, tp_buffer *source,
                                  tp_buffer *run, tapeout_error *err)
{
    const tp_mlflow_version_spec *spec = call->spec;
    tp_buffer folder;
    TP_TRY(settle_source(mlflow, spec->source, source, err));
    tp_buffer_init(&folder, mlflow->alloc, TP_MAX_MLFLOW_TEXT_BYTES);
    tapeout_status status = resolve_plain(mlflow, tp_buffer_view(source), &folder, run, err);
    const tp_str prefix = TP_STR("models:/");
    const bool is_logged = tp_str_has_prefix(spec->source, TP_STR("models:/m-"));
    if (status == TAPEOUT_OK) {
        status = tp_mlflow_import(mlflow, tp_buffer_view(&folder), spec->name, &call->bundle, err);
    }
    if (status == TAPEOUT_OK) {
        if (call->bundle.is_there) {
            tp_sha256_hex(&call->bundle.hash, call->hex);
        }
        call->facts = (tp_version_facts){
            .model = spec->name,
            .sha256 = tp_str_from(call->hex),
            .size_bytes = call->bundle.is_there ? (int64_t)call->bundle.map.size : 0,
            .now_us = tp_mlflow_now_ms() * 1000,
            .reason = tp_str_from(call->bundle.message),
            .gates = TP_STR("[]"),
            .timings = TP_STR("{}"),
            .facts = TP_STR("{}"),
            .description = spec->description,
            .owner = spec->owner,
            .source = tp_buffer_view(source),
            .run_id = spec->run_id.size > 0 ? spec->run_id : tp_buffer_view(run),
            .logged_model_id = spec->model_id.size == 0 && is_logged ? behind(spec->source, prefix)
                                                                     : spec->model_id,
        };
        if (call->bundle.is_there) {
            const blob_source bytes = bundle_source(call);
            status = tp_blob_send(call->registry, &bytes, err);
        }
        if (status == TAPEOUT_OK) {
            status = tp_registry_transact(mlflow->registry, TP_STORE_ALONE, version_body, call,
                                          &call->telling, err);
        }
        tp_mlflow_import_end(&call->bundle);
    }
    tp_buffer_deinit(&folder);
    return status;
}

tapeout_status tp_mlflow_version_create(tp_mlflow *mlflow, const tp_mlflow_version_spec *spec,
                                        int64_t *ret_version, tapeout_error *err)
{
    version_call call = {
        .spec = spec, .registry = mlflow->registry, .telling = {.kind = "model.registered"}};
    tp_buffer source;
    tp_buffer run;
    TP_TRY(tp_mlflow_length_check("the description", spec->description, TP_MAX_MLFLOW_TEXT_BYTES,
                                  err));
    tp_buffer_init(&source, mlflow->alloc, TP_MAX_MLFLOW_TEXT_BYTES);
    tp_buffer_init(&run, mlflow->alloc, TP_MAX_MLFLOW_TEXT_BYTES);
    const tapeout_status status = create_from(mlflow, &call, &source, &run, err);
    tp_buffer_deinit(&source);
    tp_buffer_deinit(&run);
    if (status == TAPEOUT_OK) {
        *ret_version = call.entry.version;
    }
    return status;
}

// -- changing ------------------------------------------------------------------------------------
// What is changed, and what the log hears of it: of which model or version, and what more.
typedef struct mlflow_edit {
    tp_mlflow_change what;
    tp_store_body body;
    tp_audit_field more[2]; // up to one without a key
    bool names_version;     // apart from the model
    tp_telling telling;
    char model[TP_MAX_MODEL_NAME_BYTES + 32];
    char version[24];
} mlflow_edit;

static tapeout_status edit_body(tp_store *store, void *user, tapeout_error *err)
{
    mlflow_edit *edit = user;
    tp_mlflow_change *it = &edit->what;
    TP_TRY(edit->body(store, it, err));
    (void)snprintf(edit->version, sizeof(edit->version), "%lld", (long long)it->version);
    (void)snprintf(edit->model, sizeof(edit->model), "%.*s%s%s", TP_STR_ARGS(it->name),
                   it->version == 0 || edit->names_version ? "" : ":",
                   it->version == 0 || edit->names_version ? "" : edit->version);
    tp_telling_add(&edit->telling, "model", tp_str_from(edit->model));
    for (size_t i = 0; i < 2 && edit->more[i].key != NULL; i++) {
        tp_telling_add(&edit->telling, edit->more[i].key, edit->more[i].text);
    }
    if (edit->names_version && it->version != 0) {
        tp_telling_add(&edit->telling, "version", tp_str_from(edit->version));
    }
    return TAPEOUT_OK;
}

static tapeout_status run_edit(tp_mlflow *mlflow, tp_store_kind kind, mlflow_edit *edit,
                               tapeout_error *err)
{
    return tp_registry_transact(mlflow->registry, kind, edit_body, edit, &edit->telling, err);
}

static tapeout_status describe_body(tp_store *store, void *user, tapeout_error *err)
{
    const tp_mlflow_change *it = user;
    tp_entry entry;
    TP_TRY(tp_entry_find(store, it->name, it->version, &entry, err));
    return tp_entry_set_text(store, &entry, TP_ENTRY_DESCRIPTION, it->value, err);
}

tapeout_status tp_mlflow_describe(tp_mlflow *mlflow, const tp_mlflow_change *it, tapeout_error *err)
{
    TP_TRY(tp_mlflow_length_check("the description", it->value, TP_MAX_MLFLOW_TEXT_BYTES, err));
    tp_mlflow_change copy = *it;
    return tp_store_transact(mlflow->store, TP_STORE_ROWS, describe_body, &copy, err);
}

static tapeout_status rename_body(tp_store *store, void *user, tapeout_error *err)
{
    const tp_mlflow_change *it = user;
    return tp_model_rename(store, it->name, it->value, err);
}

tapeout_status tp_mlflow_registered_rename(tp_mlflow *mlflow, const tp_mlflow_change *it,
                                           tapeout_error *err)
{
    mlflow_edit edit = {.what = *it,
                        .body = rename_body,
                        .more = {{"to", it->value}},
                        .telling = {.kind = "model.renamed"}};
    return run_edit(mlflow, TP_STORE_ALONE, &edit, err);
}

static tapeout_status remove_body(tp_store *store, void *user, tapeout_error *err)
{
    const tp_mlflow_change *it = user;
    return it->version == 0 ? tp_model_remove(store, it->name, err)
                            : tp_version_remove(store, it->name, it->version, err);
}

tapeout_status tp_mlflow_unregister(tp_mlflow *mlflow, const tp_mlflow_change *it,
                                    tapeout_error *err)
{
    mlflow_edit edit = {.what = *it, .body = remove_body, .telling = {.kind = "model.removed"}};
    return run_edit(mlflow, TP_STORE_ALONE, &edit, err);
}

static tapeout_status tag_body(tp_store *store, void *user, tapeout_error *err)
{
    const tp_mlflow_change *it = user;
    tp_entry entry;
    TP_TRY(tp_entry_find(store, it->name, it->version, &entry, err));
    return tp_tag_set(store, &entry, it->key, it->value, err);
}

tapeout_status tp_mlflow_tag(tp_mlflow *mlflow, const tp_mlflow_change *it, tapeout_error *err)
{
    TP_TRY(tp_mlflow_key_check("tag", it->key, err));
    TP_TRY(tp_mlflow_length_check("the tag's value", it->value, TP_MAX_MLFLOW_REGISTRY_TAG_BYTES,
                                  err));
    mlflow_edit edit = {.what = *it,
                        .body = tag_body,
                        .more = {{"key", it->key}, {"value", it->value}},
                        .telling = {.kind = "model.tagged"}};
    return run_edit(mlflow, TP_STORE_ROWS, &edit, err);
}

// What is not there any more is no failure, as in MLflow.
static tapeout_status untag_body(tp_store *store, void *user, tapeout_error *err)
{
    const tp_mlflow_change *it = user;
    tp_entry entry;
    TP_TRY(tp_entry_find(store, it->name, it->version, &entry, err));
    const tapeout_status status = tp_tag_remove(store, &entry, it->key, err);
    return status == TAPEOUT_E_NOT_FOUND ? TAPEOUT_OK : status;
}

tapeout_status tp_mlflow_untag(tp_mlflow *mlflow, const tp_mlflow_change *it, tapeout_error *err)
{
    mlflow_edit edit = {.what = *it,
                        .body = untag_body,
                        .more = {{"key", it->key}},
                        .telling = {.kind = "model.untagged"}};
    return run_edit(mlflow, TP_STORE_ROWS, &edit, err);
}

// -- aliases and stages --------------------------------------------------------------------------
static tapeout_status move_alias(tp_store *store, const tp_mlflow_change *it, tp_str alias,
                                 int64_t version, tapeout_error *err)
{
    const tp_alias_move move = {
        .model = it->name,
        .alias = alias,
        .kind = version > 0 ? TP_ALIAS_SET : TP_ALIAS_REMOVE,
        .to_version = version,
        .from_version = TP_ALIAS_ANYWHERE,
        .who = it->who,
        .now_us = tp_mlflow_now_ms() * 1000,
    };
    return tp_alias_apply(store, &move, NULL, err);
}

static tapeout_status alias_body(tp_store *store, void *user, tapeout_error *err)
{
    const tp_mlflow_change *it = user;
    const tapeout_status status = move_alias(store, it, it->key, it->version, err);
    // Taking away what is not there is no failure, as in MLflow, unless it is the model.
    tp_entry entry;
    return status == TAPEOUT_E_NOT_FOUND && it->version == 0
               ? tp_entry_find(store, it->name, 0, &entry, err)
               : status;
}

// MLflow's own rules: what would read as a version or as the newest one is no alias.
static tapeout_status check_alias(tp_str alias, tapeout_error *err)
{
    bool is_version = alias.size > 1 && (alias.data[0] == 'v' || alias.data[0] == 'V');
    for (size_t i = 1; i < alias.size && is_version; i++) {
        is_version = alias.data[i] >= '0' && alias.data[i] <= '9';
    }
    if (alias.size == 0 || is_version || tp_str_equal_ignore_case(alias, TP_STR("latest"))) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "Invalid alias name \"%.*s\": not empty, not \"latest\", not as v1",
                       TP_STR_ARGS(alias));
    }
    return TAPEOUT_OK;
}

tapeout_status tp_mlflow_alias(tp_mlflow *mlflow, const tp_mlflow_change *it, tapeout_error *err)
{
    TP_TRY(check_alias(it->key, err));
    mlflow_edit edit = {.what = *it,
                        .body = alias_body,
                        .more = {{"alias", it->key}},
                        .names_version = true,
                        .telling = {.kind = it->version != 0 ? "alias.set" : "alias.removed"}};
    return run_edit(mlflow, TP_STORE_ALONE, &edit, err);
}

// The others of the stage go to the archive.
static tapeout_status archive_others(tp_store *store, const tp_entry *entry, const char *stage,
                                     tapeout_error *err)
{
    return tp_store_run(store,
                        "UPDATE versions SET stage = 'Archived', updated_us = $1 "
                        "WHERE model_id = $2 AND version <> $3 AND stage = $4",
                        TP_SQL(tp_sql_int(tp_mlflow_now_ms() * 1000), tp_sql_int(entry->model_id),
                               tp_sql_int(entry->version), tp_sql_word(stage)),
                        NULL, err);
}

static tapeout_status stage_body(tp_store *store, void *user, tapeout_error *err)
{
    const tp_mlflow_change *it = user;
    const char *stage = tp_mlflow_stage_name(it->value);
    const tp_str alias = TP_STR(PRODUCTION_ALIAS);
    tp_entry entry;
    int64_t served = 0;
    TP_TRY(tp_entry_find(store, it->name, it->version, &entry, err));
    TP_TRY(tp_alias_version(store, it->name, alias, &served, err));
    if (strcmp(stage, "Production") == 0) {
        TP_TRY(move_alias(store, it, alias, it->version, err));
    } else if (served == it->version) {
        TP_TRY(move_alias(store, it, alias, 0, err));
    }
    if (it->archives) {
        TP_TRY(archive_others(store, &entry, stage, err));
    }
    return tp_entry_set_text(store, &entry, TP_ENTRY_STAGE, tp_str_from(stage), err);
}

tapeout_status tp_mlflow_stage(tp_mlflow *mlflow, const tp_mlflow_change *it, tapeout_error *err)
{
    if (tp_mlflow_stage_name(it->value) == NULL) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "Invalid Model Version stage: %.*s. It is one of None, Staging, Production, "
                       "Archived",
                       TP_STR_ARGS(it->value));
    }
    mlflow_edit edit = {.what = *it,
                        .body = stage_body,
                        .more = {{"stage", it->value}},
                        .telling = {.kind = "model.staged"}};
    return run_edit(mlflow, TP_STORE_ALONE, &edit, err);
}
