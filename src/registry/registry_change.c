// SPDX-License-Identifier: Apache-2.0
//
// The public calls that change what is said of a version, and those for upkeep: each opens the
// context's registry, does one thing in one transaction and closes it. The audit log hears of
// changes inside their transactions (telling.c), of upkeep before it is acknowledged.
#include <tapeout/registry.h>

#include "base/tp_clock.h"
#include "base/tp_context.h"
#include "base/tp_error.h"
#include "registry/registry_priv.h"
#include "registry/tp_entry.h"

#include <stdio.h>
#include <string.h>

static tapeout_status open_existing(tapeout_context *context, tp_registry **ret_registry,
                                    tapeout_error *err)
{
    // Reading first, so that a home without a registry does not get one.
    TP_TRY(tp_registry_open_of(context, TP_REGISTRY_READ, ret_registry, err));
    tp_registry_close(ret_registry);
    return tp_registry_open_of(context, TP_REGISTRY_WRITE, ret_registry, err);
}

static tapeout_status change(tapeout_context *context, tp_store_body body, void *user,
                             tp_telling *telling, tapeout_error *err)
{
    told_registry told;
    tapeout_status status = tp_told_registry_open_existing(context, &told, err);
    if (status == TAPEOUT_OK) {
        status = tp_registry_transact(told.registry, TP_STORE_ALONE, body, user, telling, err);
    }
    tp_told_registry_close(&told);
    return status;
}

// -- aliases -------------------------------------------------------------------------------------
typedef struct alias_job {
    tp_alias_move move;
    tp_telling telling;
    char version[24]; // as the log has it
} alias_job;

static tapeout_status move_alias(tp_store *store, void *user, tapeout_error *err)
{
    alias_job *job = user;
    const tp_alias_move *move = &job->move;
    TP_TRY(tp_alias_apply(store, move, NULL, err));
    tp_telling_add(&job->telling, "model", move->model);
    tp_telling_add(&job->telling, "alias", move->alias);
    if (move->kind == TP_ALIAS_SET) {
        (void)snprintf(job->version, sizeof(job->version), "%lld", (long long)move->to_version);
        tp_telling_add(&job->telling, "version", tp_str_from(job->version));
    }
    return TAPEOUT_OK;
}

static tapeout_status apply_move(tapeout_context *context, const tp_alias_move *move,
                                 const char *who, tapeout_error *err)
{
    alias_job job = {.move = *move};
    job.telling.kind = move->kind == TP_ALIAS_SET ? "alias.set" : "alias.removed";
    job.move.from_version = TP_ALIAS_ANYWHERE;
    job.move.who = who == NULL ? (tp_str){"", 0} : tp_str_from(who);
    job.move.now_us = tp_clock_unix_us();
    return change(context, move_alias, &job, &job.telling, err);
}

tapeout_status tapeout_registry_alias_set(tapeout_context *context, const char *model,
                                          const char *alias, const char *who, tapeout_error *err)
{
    if (context == NULL || model == NULL || alias == NULL) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "tapeout_registry_alias_set: needs a context, a model and an alias");
    }
    model_name name;
    TP_TRY(tp_model_name_parse(tp_str_from(model), &name, err));
    if (name.version == 0) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "\"%s\" is no single version: say which, as in %.*s:1", model,
                       TP_STR_ARGS(name.name));
    }
    const tp_alias_move move = {.model = name.name,
                                .alias = tp_str_from(alias),
                                .kind = TP_ALIAS_SET,
                                .to_version = name.version};
    return apply_move(context, &move, who, err);
}

tapeout_status tapeout_registry_alias_remove(tapeout_context *context, const char *name,
                                             const char *alias, const char *who, tapeout_error *err)
{
    if (context == NULL || name == NULL || alias == NULL) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "tapeout_registry_alias_remove: needs a context, a name and an alias");
    }
    const tp_alias_move move = {
        .model = tp_str_from(name), .alias = tp_str_from(alias), .kind = TP_ALIAS_REMOVE};
    return apply_move(context, &move, who, err);
}

static tapeout_status append_history(tp_registry *registry, const char *name, const char *alias,
                                     tp_buffer *json, tapeout_error *err)
{
    tp_entry entry;
    tp_store *store = tp_registry_store(registry);
    TP_TRY(tp_entry_find(store, tp_str_from(name), 0, &entry, err));
    tp_buffer_append_text(json, "{\"moves\":");
    TP_TRY(tp_alias_history(store, tp_str_from(name),
                            alias == NULL ? (tp_str){"", 0} : tp_str_from(alias), json, err));
    tp_buffer_append_char(json, '}');
    return TAPEOUT_OK;
}

// What is in `json` where `status` is OK.
static tapeout_status hand_out(tp_buffer *json, tapeout_status status, char **ret_json,
                               tapeout_error *err)
{
    if (status != TAPEOUT_OK) {
        tp_buffer_deinit(json);
        return status;
    }
    return tp_text_from_buffer(json, "registry: the answer", ret_json, err);
}

tapeout_status tapeout_registry_alias_history(tapeout_context *context, const char *name,
                                              const char *alias, char **ret_json,
                                              tapeout_error *err)
{
    if (context == NULL || name == NULL || ret_json == NULL) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "tapeout_registry_alias_history: needs a context, a name and a place for "
                       "the result");
    }
    tp_buffer json;
    tp_registry *registry = NULL;
    TP_TRY(open_existing(context, &registry, err));
    tp_buffer_init(&json, tp_context_env(context)->alloc, TP_MAX_REGISTRY_LIST_BYTES);
    const tapeout_status status = append_history(registry, name, alias, &json, err);
    tp_registry_close(&registry);
    return hand_out(&json, status, ret_json, err);
}

// -- tags ----------------------------------------------------------------------------------------
typedef struct tagging {
    tp_telling telling;
    tp_str model; // as it was given
    model_name name;
    tp_str key;
    const char *value; // NULL: remove
} tagging;

static tapeout_status tag(tp_store *store, void *user, tapeout_error *err)
{
    tagging *job = user;
    tp_entry entry;
    TP_TRY(tp_entry_find(store, job->name.name, job->name.version, &entry, err));
    const bool is_set = job->value != NULL;
    TP_TRY(is_set ? tp_tag_set(store, &entry, job->key, tp_str_from(job->value), err)
                  : tp_tag_remove(store, &entry, job->key, err));
    // Gates ask for tags, so who sets one is to be known.
    tp_telling_add(&job->telling, "model", job->model);
    tp_telling_add(&job->telling, "key", job->key);
    if (is_set) {
        tp_telling_add(&job->telling, "value", tp_str_from(job->value));
    }
    return TAPEOUT_OK;
}

tapeout_status tapeout_registry_tag(tapeout_context *context, const char *model, const char *key,
                                    const char *value, tapeout_error *err)
{
    if (context == NULL || model == NULL || key == NULL) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "tapeout_registry_tag: needs a context, a model and a key");
    }
    tagging job = {.telling = {.kind = value != NULL ? "model.tagged" : "model.untagged"},
                   .model = tp_str_from(model),
                   .key = tp_str_from(key),
                   .value = value};
    TP_TRY(tp_model_name_parse(tp_str_from(model), &job.name, err));
    if (job.name.alias.size > 0) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "\"%s\" is an alias, which may move: tag a version, as in %.*s:1", model,
                       TP_STR_ARGS(job.name.name));
    }
    return change(context, tag, &job, &job.telling, err);
}

// -- upkeep --------------------------------------------------------------------------------------
// Tells the log what was done with a folder (NULL: none), and what the answer says of it. `json` is
// the answer, a small object.
static tapeout_status tell_upkeep(const tapeout_context *context, const char *kind,
                                  const char *folder, const tp_buffer *json, tapeout_error *err)
{
    tp_audit_field fields[3] = {{"answer", tp_buffer_view(json)}};
    size_t count = 1;
    if (folder != NULL) {
        fields[count++] = (tp_audit_field){"what", TP_STR("registry")};
        fields[count++] = (tp_audit_field){"folder", tp_str_from(folder)};
    }
    const tp_audit_note note = {kind, {NULL, 0}, fields, count};
    return tp_registry_tell(context, &note, err);
}

tapeout_status tapeout_registry_collect(tapeout_context *context, uint64_t grace_seconds,
                                        char **ret_json, tapeout_error *err)
{
    if (context == NULL || ret_json == NULL) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "tapeout_registry_collect: needs a context and a place for the result");
    }
    tp_buffer json;
    tp_registry *registry = NULL;
    TP_TRY(open_existing(context, &registry, err));
    tp_buffer_init(&json, tp_context_env(context)->alloc, TP_MAX_REGISTRY_FACT_BYTES);
    tapeout_status status = tp_registry_collect(registry, grace_seconds, &json, err);
    tp_registry_close(&registry);
    if (status == TAPEOUT_OK) {
        status = tell_upkeep(context, "registry.collected", NULL, &json, err);
    }
    return hand_out(&json, status, ret_json, err);
}

tapeout_status tapeout_registry_backup(tapeout_context *context, const char *folder,
                                       char **ret_json, tapeout_error *err)
{
    if (context == NULL || folder == NULL || ret_json == NULL) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "tapeout_registry_backup: needs a context, a folder and a place for the "
                       "result");
    }
    tp_buffer json;
    tp_registry *registry = NULL;
    TP_TRY(open_existing(context, &registry, err));
    tp_buffer_init(&json, tp_context_env(context)->alloc, TP_MAX_REGISTRY_FACT_BYTES);
    tapeout_status status = tp_registry_backup(registry, folder, &json, err);
    tp_registry_close(&registry);
    if (status == TAPEOUT_OK) {
        status = tell_upkeep(context, "export", folder, &json, err);
    }
    return hand_out(&json, status, ret_json, err);
}

tapeout_status tapeout_registry_restore(tapeout_context *context, const char *folder,
                                        char **ret_json, tapeout_error *err)
{
    if (context == NULL || folder == NULL || ret_json == NULL) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "tapeout_registry_restore: needs a context, a folder and a place for the "
                       "result");
    }
    tp_buffer json;
    const tapeout_allocator *alloc = tp_context_env(context)->alloc;
    tp_buffer_init(&json, alloc, TP_MAX_REGISTRY_FACT_BYTES);
    const tp_registry_options options = {.home = tp_context_home(context),
                                         .blobs = tp_context_blobs(context)};
    tapeout_status status = tp_registry_restore(alloc, folder, &options, &json, err);
    if (status == TAPEOUT_OK) {
        status = tell_upkeep(context, "registry.restored", folder, &json, err);
    }
    return hand_out(&json, status, ret_json, err);
}
