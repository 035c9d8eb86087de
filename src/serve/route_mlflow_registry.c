// SPDX-License-Identifier: Apache-2.0
//
// MLflow's model registry over HTTP. Each call asks for the route's right on the model that it
// names; what names none asks for all of them. The audit log hears of changes where they are made
// (registry/tp_telling.h).
#include "registry/tp_mlflow_registry.h"
#include "serve/mlflow_ask.h"
#include "serve/mlflow_calls.h"

#include "base/limits.h"
#include "base/tp_error.h"

#include <stdio.h>
#include <string.h>

// The fields are right and the caller may do this to the model.
static tapeout_status check(mlflow_ask *ask, tp_str name, tapeout_error *err)
{
    TP_TRY(tp_ask_check(ask, err));
    return tp_serve_require(ask->exchange, ask->exchange->route->right, name, err);
}

static tp_str caller(const mlflow_ask *ask)
{
    const tp_principal *principal = ask->exchange->principal;
    return principal == NULL ? TP_STR("") : principal->name;
}

// name and version, as most calls have them.
static tp_mlflow_change change_of(mlflow_ask *ask, bool has_version)
{
    tp_mlflow_change change = {.name = tp_ask_needed_text(ask, "name"), .who = caller(ask)};
    if (has_version) {
        change.version = tp_ask_integer(ask, "version", 0);
        if (change.version < 1) {
            tp_ask_refuse(ask, "\"version\" must be a number from 1 on");
        }
    }
    return change;
}

static tapeout_status answer_model(mlflow_ask *ask, tp_str name, tapeout_error *err)
{
    tp_buffer_append_text(ask->json, "\"registered_model\":");
    return tp_mlflow_registered_get(ask->mlflow, name, ask->json, err);
}

static tapeout_status answer_version(mlflow_ask *ask, tp_str name, int64_t version,
                                     tapeout_error *err)
{
    tp_buffer_append_text(ask->json, "\"model_version\":");
    return tp_mlflow_version_get(ask->mlflow, name, version, ask->json, err);
}

// What an alias points to stays: the client is told so, and not to come again.
static tapeout_status unregister(mlflow_ask *ask, const tp_mlflow_change *change,
                                 tapeout_error *err)
{
    const tapeout_status status = tp_mlflow_unregister(ask->mlflow, change, err);
    if (status == TAPEOUT_E_BUSY) {
        ask->exchange->fail_status = 409;
        ask->exchange->fail_code = "RESOURCE_CONFLICT";
    }
    return status;
}

// -- registered models ---------------------------------------------------------------------------
tapeout_status tp_mlflow_registry_create(mlflow_ask *ask, tapeout_error *err)
{
    const tp_mlflow_registered_spec spec = {
        .name = tp_ask_needed_text(ask, "name"),
        .description = tp_ask_text(ask, "description"),
        .owner = caller(ask),
        .tags = tp_ask_pairs(ask, "tags", TP_MAX_MLFLOW_BATCH),
    };
    TP_TRY(check(ask, spec.name, err));
    TP_TRY(tp_mlflow_registered_create(ask->mlflow, &spec, err));
    return answer_model(ask, spec.name, err);
}

tapeout_status tp_mlflow_registry_get(mlflow_ask *ask, tapeout_error *err)
{
    const tp_str name = tp_ask_needed_text(ask, "name");
    TP_TRY(check(ask, name, err));
    return answer_model(ask, name, err);
}

tapeout_status tp_mlflow_registry_update(mlflow_ask *ask, tapeout_error *err)
{
    tp_mlflow_change change = change_of(ask, false);
    change.value = tp_ask_text(ask, "description");
    TP_TRY(check(ask, change.name, err));
    TP_TRY(tp_mlflow_describe(ask->mlflow, &change, err));
    return answer_model(ask, change.name, err);
}

tapeout_status tp_mlflow_registry_rename(mlflow_ask *ask, tapeout_error *err)
{
    tp_mlflow_change change = change_of(ask, false);
    change.value = tp_ask_needed_text(ask, "new_name");
    TP_TRY(check(ask, change.name, err));
    TP_TRY(check(ask, change.value, err));
    TP_TRY(tp_mlflow_registered_rename(ask->mlflow, &change, err));
    return answer_model(ask, change.value, err);
}

tapeout_status tp_mlflow_registry_delete(mlflow_ask *ask, tapeout_error *err)
{
    const tp_mlflow_change change = change_of(ask, false);
    TP_TRY(check(ask, change.name, err));
    return unregister(ask, &change, err);
}

static tp_mlflow_search search_of(mlflow_ask *ask)
{
    tp_mlflow_search search = tp_ask_search(ask, "view_type");
    search.max_results = search.max_results == 0 ? 100 : search.max_results;
    return search;
}

tapeout_status tp_mlflow_registry_search(mlflow_ask *ask, tapeout_error *err)
{
    const tp_mlflow_search search = search_of(ask);
    TP_TRY(check(ask, TP_STR(""), err));
    return tp_mlflow_registered_search(ask->mlflow, &search, ask->json, err);
}

tapeout_status tp_mlflow_registry_latest(mlflow_ask *ask, tapeout_error *err)
{
    const tp_str name = tp_ask_needed_text(ask, "name");
    const tp_mlflow_texts stages = tp_ask_texts(ask, "stages");
    TP_TRY(check(ask, name, err));
    return tp_mlflow_version_latest(ask->mlflow, name, stages, ask->json, err);
}

static tapeout_status change_tag(mlflow_ask *ask, bool has_version, bool is_removed,
                                 tapeout_error *err)
{
    tp_mlflow_change change = change_of(ask, has_version);
    change.key = tp_ask_needed_text(ask, "key");
    change.value = tp_ask_text(ask, "value");
    TP_TRY(check(ask, change.name, err));
    return is_removed ? tp_mlflow_untag(ask->mlflow, &change, err)
                      : tp_mlflow_tag(ask->mlflow, &change, err);
}

tapeout_status tp_mlflow_registry_tag(mlflow_ask *ask, tapeout_error *err)
{
    return change_tag(ask, false, false, err);
}

tapeout_status tp_mlflow_registry_untag(mlflow_ask *ask, tapeout_error *err)
{
    return change_tag(ask, false, true, err);
}

static tapeout_status move_alias(mlflow_ask *ask, tp_mlflow_change *change, tapeout_error *err)
{
    change->key = tp_ask_needed_text(ask, "alias");
    TP_TRY(check(ask, change->name, err));
    return tp_mlflow_alias(ask->mlflow, change, err);
}

tapeout_status tp_mlflow_registry_alias(mlflow_ask *ask, tapeout_error *err)
{
    tp_mlflow_change change = change_of(ask, true);
    return move_alias(ask, &change, err);
}

tapeout_status tp_mlflow_registry_unalias(mlflow_ask *ask, tapeout_error *err)
{
    tp_mlflow_change change = change_of(ask, false);
    return move_alias(ask, &change, err);
}

tapeout_status tp_mlflow_registry_by_alias(mlflow_ask *ask, tapeout_error *err)
{
    const tp_str name = tp_ask_needed_text(ask, "name");
    const tp_str alias = tp_ask_needed_text(ask, "alias");
    TP_TRY(check(ask, name, err));
    tp_buffer_append_text(ask->json, "\"model_version\":");
    return tp_mlflow_version_by_alias(ask->mlflow, name, alias, ask->json, err);
}

// -- versions ------------------------------------------------------------------------------------
tapeout_status tp_mlflow_versions_create(mlflow_ask *ask, tapeout_error *err)
{
    const tp_mlflow_version_spec spec = {
        .name = tp_ask_needed_text(ask, "name"),
        .source = tp_ask_needed_text(ask, "source"),
        .run_id = tp_ask_text(ask, "run_id"),
        .model_id = tp_ask_text(ask, "model_id"),
        .description = tp_ask_text(ask, "description"),
        .owner = caller(ask),
        .tags = tp_ask_pairs(ask, "tags", TP_MAX_MLFLOW_BATCH),
    };
    int64_t version = 0;
    TP_TRY(check(ask, spec.name, err));
    TP_TRY(tp_mlflow_version_create(ask->mlflow, &spec, &version, err));
    return answer_version(ask, spec.name, version, err);
}

tapeout_status tp_mlflow_versions_get(mlflow_ask *ask, tapeout_error *err)
{
    const tp_mlflow_change what = change_of(ask, true);
    TP_TRY(check(ask, what.name, err));
    return answer_version(ask, what.name, what.version, err);
}

tapeout_status tp_mlflow_versions_update(mlflow_ask *ask, tapeout_error *err)
{
    tp_mlflow_change change = change_of(ask, true);
    change.value = tp_ask_text(ask, "description");
    TP_TRY(check(ask, change.name, err));
    TP_TRY(tp_mlflow_describe(ask->mlflow, &change, err));
    return answer_version(ask, change.name, change.version, err);
}

tapeout_status tp_mlflow_versions_delete(mlflow_ask *ask, tapeout_error *err)
{
    const tp_mlflow_change change = change_of(ask, true);
    TP_TRY(check(ask, change.name, err));
    return unregister(ask, &change, err);
}

tapeout_status tp_mlflow_versions_stage(mlflow_ask *ask, tapeout_error *err)
{
    tp_mlflow_change change = change_of(ask, true);
    change.value = tp_ask_needed_text(ask, "stage");
    change.archives = tp_ask_flag(ask, "archive_existing_versions");
    TP_TRY(check(ask, change.name, err));
    TP_TRY(tp_mlflow_stage(ask->mlflow, &change, err));
    return answer_version(ask, change.name, change.version, err);
}

tapeout_status tp_mlflow_versions_search(mlflow_ask *ask, tapeout_error *err)
{
    const tp_mlflow_search search = search_of(ask);
    TP_TRY(check(ask, TP_STR(""), err));
    return tp_mlflow_version_search(ask->mlflow, &search, ask->json, err);
}

tapeout_status tp_mlflow_versions_uri(mlflow_ask *ask, tapeout_error *err)
{
    const tp_mlflow_change what = change_of(ask, true);
    tp_buffer uri;
    TP_TRY(check(ask, what.name, err));
    tp_buffer_init(&uri, ask->exchange->state->env->alloc, TP_MAX_MLFLOW_TEXT_BYTES);
    tp_buffer_append_text(&uri, "mlflow-artifacts:/");
    const tapeout_status status =
        tp_mlflow_version_folder(ask->mlflow, what.name, what.version, &uri, err);
    if (status == TAPEOUT_OK) {
        tp_ask_put_text(ask, "artifact_uri", tp_buffer_view(&uri));
    }
    tp_buffer_deinit(&uri);
    return status;
}

tapeout_status tp_mlflow_versions_file(mlflow_ask *ask, tapeout_error *err)
{
    const tp_mlflow_change what = change_of(ask, true);
    const tp_str path = tp_ask_needed_text(ask, "path");
    tp_buffer folder;
    TP_TRY(check(ask, what.name, err));
    tp_buffer_init(&folder, ask->exchange->state->env->alloc, TP_MAX_MLFLOW_TEXT_BYTES);
    tapeout_status status =
        tp_mlflow_version_folder(ask->mlflow, what.name, what.version, &folder, err);
    if (status == TAPEOUT_OK) {
        status = tp_mlflow_send_below(ask, &folder, path, err);
    }
    tp_buffer_deinit(&folder);
    return status;
}

tapeout_status tp_mlflow_versions_tag(mlflow_ask *ask, tapeout_error *err)
{
    return change_tag(ask, true, false, err);
}

tapeout_status tp_mlflow_versions_untag(mlflow_ask *ask, tapeout_error *err)
{
    return change_tag(ask, true, true, err);
}
