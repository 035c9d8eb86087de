// SPDX-License-Identifier: Apache-2.0
//
// Registering and removing. Both hold the writers' lock over all that they do: registering copies
// the blob under it, so that the row follows the bytes and no other process takes them away between
// the two; removing commits the row's end first and looks at the blob in a second transaction, so
// that a crash between leaves at worst a blob that nobody names.
#include "base/tp_clock.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "registry/registry_priv.h"
#include "table/tp_json.h"

#include <stdio.h>
#include <string.h>

// -- registering ---------------------------------------------------------------------------------
static tapeout_status check_text(const char *text, const char *what, tapeout_error *err)
{
    if (text != NULL &&
        (strlen(text) > TP_MAX_REGISTRY_FACT_BYTES || !tp_utf8_check(tp_str_from(text), NULL))) {
        return tp_fail(err, TAPEOUT_E_INVALID, "registry: %s must be UTF-8 of at most %u bytes",
                       what, TP_MAX_REGISTRY_FACT_BYTES);
    }
    return TAPEOUT_OK;
}

static tapeout_status check_json(tp_registry *registry, const char *json, const char *what,
                                 tapeout_error *err)
{
    TP_TRY(check_text(json, what, err));
    if (json == NULL) {
        return TAPEOUT_OK;
    }
    yyjson_doc *doc = NULL;
    tapeout_error why = {0};
    const tapeout_status status =
        tp_json_parse(registry->alloc, tp_str_from(json), what, &doc, &why);
    if (status != TAPEOUT_OK) {
        return status == TAPEOUT_E_NOMEM ? tp_fail_nomem(err)
                                         : tp_fail(err, TAPEOUT_E_INVALID,
                                                   "registry: %s: not JSON: %s", what, why.message);
    }
    yyjson_doc_free(doc);
    return TAPEOUT_OK;
}

static tapeout_status check_registration(tp_registry *registry, const tapeout_registration *what,
                                         tapeout_error *err)
{
    if (what->name == NULL || what->bundle == NULL) {
        return tp_fail(err, TAPEOUT_E_INVALID, "registry: a registration needs name and bundle");
    }
    if (!tp_model_name_is_valid(tp_str_from(what->name))) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "registry: \"%s\" is no name of a model: a letter or digit, then letters, "
                       "digits, '.', '_' and '-', at most %u in all",
                       what->name, TP_MAX_MODEL_NAME_BYTES);
    }
    TP_TRY(check_text(what->reason, "reason", err));
    TP_TRY(check_json(registry, what->gates, "gates", err));
    TP_TRY(check_json(registry, what->timings, "timings", err));
    return check_json(registry, what->facts, "facts", err);
}

typedef struct registering {
    tp_registry *registry;
    const tapeout_registration *what;
    tp_str data;
    tp_sha256 hash;
    tapeout_model_ref *ref;
} registering;

// The next number of the name; the model is made when it is new. Its row stays locked until the
// transaction ends, so that a number that is rolled back leaves no gap.
static tapeout_status next_version(tp_store *store, const char *name, int64_t now_us,
                                   int64_t ret_ids[2], tapeout_error *err)
{
    tp_rows rows;
    tp_store_query(store, &rows,
                   "INSERT INTO models(name, created_us, updated_us, last_version) "
                   "VALUES($1, $2, $3, 1) ON CONFLICT(name) DO UPDATE SET "
                   "last_version = models.last_version + 1, updated_us = excluded.updated_us "
                   "RETURNING id, last_version",
                   TP_SQL(tp_sql_word(name), tp_sql_int(now_us), tp_sql_int(now_us)));
    while (tp_rows_next(&rows)) {
        ret_ids[0] = tp_rows_int(&rows, 0);
        ret_ids[1] = tp_rows_int(&rows, 1);
    }
    return tp_rows_close(&rows, err);
}

static tp_sql_value text_or(const char *text, const char *otherwise)
{
    return tp_sql_word(text == NULL ? otherwise : text);
}

static tapeout_status insert_version(const registering *job, tp_store *store, int64_t now_us,
                                     tapeout_error *err)
{
    const tapeout_registration *what = job->what;
    int64_t ids[2] = {0, 0};
    TP_TRY(next_version(store, what->name, now_us, ids, err));
    job->ref->version = (uint64_t)ids[1];
    return tp_store_run(store,
                        "INSERT INTO versions(model_id, version, sha256, size, created_us, "
                        "updated_us, refused, reason, gates, timings, facts) "
                        "VALUES($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
                        TP_SQL(tp_sql_int(ids[0]), tp_sql_int(ids[1]),
                               tp_sql_word(job->ref->sha256), tp_sql_int((int64_t)job->data.size),
                               tp_sql_int(now_us), tp_sql_int(now_us),
                               tp_sql_int(what->is_refused ? 1 : 0), text_or(what->reason, ""),
                               text_or(what->gates, "[]"), text_or(what->timings, "{}"),
                               text_or(what->facts, "{}")),
                        NULL, err);
}

// The blob comes before the row, and goes again when the row does not come.
static tapeout_status register_locked(tp_store *store, void *user, tapeout_error *err)
{
    const registering *job = user;
    bool is_new = false;
    tapeout_status status = tp_blob_put(job->registry, job->data, &job->hash, &is_new, err);
    if (status == TAPEOUT_OK) {
        status = insert_version(job, store, tp_clock_unix_us(), err);
    }
    if (status != TAPEOUT_OK && is_new) {
        // One too many is harmless.
        (void)tp_blob_remove(job->registry, tp_str_from(job->ref->sha256), NULL);
    }
    return status;
}

static tapeout_status register_data(tp_registry *registry, const tapeout_registration *what,
                                    tp_str data, tapeout_model_ref *ref, tapeout_error *err)
{
    registering job = {.registry = registry, .what = what, .data = data, .ref = ref};
    job.hash = tp_sha256_of(data.data, data.size);
    tp_sha256_hex(&job.hash, ref->sha256);
    if (what->sha256 != NULL && strcmp(what->sha256, ref->sha256) != 0) {
        return tp_fail(err, TAPEOUT_E_CORRUPT,
                       "registry: %s has SHA-256 %s where %s is expected: it was changed",
                       what->bundle, ref->sha256, what->sha256);
    }
    TP_TRY(tp_blob_path(registry->home, tp_str_from(ref->sha256), ref->path, err));
    return tp_store_transact(registry->store, TP_STORE_ALONE, register_locked, &job, err);
}

tapeout_status tp_registry_register(tp_registry *registry, const tapeout_registration *what,
                                    tapeout_model_ref *ret_ref, tapeout_error *err)
{
    TP_TRY(check_registration(registry, what, err));
    tapeout_model_ref ref = {.is_registered = true, .is_refused = what->is_refused};
    (void)snprintf(ref.name, sizeof(ref.name), "%s", what->name);
    tp_map map;
    TP_TRY(tp_map_open(what->bundle, &map, err));
    const tapeout_status status =
        register_data(registry, what, (tp_str){(const char *)map.data, map.size}, &ref, err);
    tp_map_close(&map);
    if (status == TAPEOUT_OK) {
        *ret_ref = ref;
    }
    return status;
}

// -- removing ------------------------------------------------------------------------------------
typedef struct removing {
    tp_registry *registry;
    model_name name;
    tapeout_model_ref ref;
} removing;

// What stands below a version goes with it; an alias that points to it keeps it.
static tapeout_status delete_row(tp_store *store, const model_name *name, tapeout_error *err)
{
    static const char *const statements[] = {
        "DELETE FROM version_tags WHERE version = $2 AND model_id = "
        "(SELECT id FROM models WHERE name = $1)",
        "DELETE FROM version_origins WHERE version = $2 AND model_id = "
        "(SELECT id FROM models WHERE name = $1)",
        "DELETE FROM versions WHERE version = $2 AND model_id = "
        "(SELECT id FROM models WHERE name = $1)",
    };
    for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]); i++) {
        TP_TRY(tp_store_run(store, statements[i],
                            TP_SQL(tp_sql_text(name->name), tp_sql_int(name->version)), NULL, err));
    }
    return TAPEOUT_OK;
}

static tapeout_status check_unused(tp_store *store, const model_name *name, tapeout_error *err)
{
    tp_rows rows;
    tp_store_query(store, &rows,
                   "SELECT a.alias FROM aliases a JOIN models m ON m.id = a.model_id "
                   "WHERE m.name = $1 AND a.version = $2 ORDER BY a.alias LIMIT 1",
                   TP_SQL(tp_sql_text(name->name), tp_sql_int(name->version)));
    tapeout_status status = TAPEOUT_OK;
    while (tp_rows_next(&rows)) {
        status = tp_fail(err, TAPEOUT_E_BUSY,
                         "registry: an alias points to %.*s:%lld, \"%.*s\"; move the alias first",
                         TP_STR_ARGS(name->name), (long long)name->version,
                         TP_STR_ARGS(tp_rows_text(&rows, 0)));
    }
    TP_TRY(tp_rows_close(&rows, err));
    return status;
}

static tapeout_status remove_locked(tp_store *store, void *user, tapeout_error *err)
{
    removing *job = user;
    TP_TRY(tp_registry_find(job->registry, &job->name, &job->ref, err));
    TP_TRY(check_unused(store, &job->name, err));
    return delete_row(store, &job->name, err);
}

// The row is gone for good; the blob goes unless another version has it. Nothing is written here,
// so that the lock is all that the transaction is for.
static tapeout_status sweep(tp_registry *registry, const char *hex, tapeout_error *err)
{
    tp_store *store = registry->store;
    TP_TRY(tp_store_begin(store, TP_STORE_ALONE, err));
    tp_rows rows;
    tp_store_query(store, &rows, "SELECT 1 FROM versions WHERE sha256 = $1 LIMIT 1",
                   TP_SQL(tp_sql_word(hex)));
    const bool is_named = tp_rows_next(&rows);
    tapeout_status status = tp_rows_close(&rows, err);
    if (status == TAPEOUT_OK && !is_named && hex[0] != '\0') {
        status = tp_blob_remove(registry, tp_str_from(hex), err);
    }
    tp_store_rollback(store);
    return status;
}

tapeout_status tp_registry_remove(tp_registry *registry, tp_str model, tapeout_error *err)
{
    removing job = {.registry = registry};
    TP_TRY(tp_model_name_parse(model, &job.name, err));
    if (job.name.version == 0) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "\"%.*s\" is no single version: say which, as in %.*s:1", TP_STR_ARGS(model),
                       TP_STR_ARGS(job.name.name));
    }
    TP_TRY(tp_store_transact(registry->store, TP_STORE_ALONE, remove_locked, &job, err));
    return sweep(registry, job.ref.sha256, err);
}
