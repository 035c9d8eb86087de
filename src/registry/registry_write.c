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

// SQLite is the judge, since it is SQLite that lists it later.
static tapeout_status check_json(tp_registry *registry, const char *json, const char *what,
                                 tapeout_error *err)
{
    TP_TRY(check_text(json, what, err));
    if (json == NULL) {
        return TAPEOUT_OK;
    }
    sqlite3_stmt *statement = NULL;
    TP_TRY(tp_registry_prepare(registry, "SELECT json_valid(?1)", &statement, err));
    tapeout_status status = TAPEOUT_OK;
    if (sqlite3_bind_text(statement, 1, json, -1, SQLITE_STATIC) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW) {
        status = tp_registry_fail(registry, "cannot be read", err);
    } else if (sqlite3_column_int(statement, 0) == 0) {
        status = tp_fail(err, TAPEOUT_E_INVALID, "registry: %s: not JSON", what);
    }
    (void)sqlite3_finalize(statement); // says again what step said
    return status;
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

// The next number of the name; the model is made when it is new.
static tapeout_status next_version(tp_registry *registry, const char *name, int64_t now_us,
                                   int64_t ret_ids[2], tapeout_error *err)
{
    sqlite3_stmt *statement = NULL;
    TP_TRY(
        tp_registry_prepare(registry,
                            "INSERT INTO models(name, created_us, last_version) VALUES(?1, ?2, 1) "
                            "ON CONFLICT(name) DO UPDATE SET last_version = last_version + 1 "
                            "RETURNING id, last_version",
                            &statement, err));
    tapeout_status status = TAPEOUT_OK;
    if (sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC) != SQLITE_OK ||
        sqlite3_bind_int64(statement, 2, now_us) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW) {
        status = tp_registry_fail(registry, "cannot number the version", err);
    } else {
        ret_ids[0] = sqlite3_column_int64(statement, 0);
        ret_ids[1] = sqlite3_column_int64(statement, 1);
    }
    (void)sqlite3_finalize(statement); // says again what step said
    return status;
}

static int bind_text(sqlite3_stmt *statement, int index, const char *text, const char *otherwise)
{
    return sqlite3_bind_text(statement, index, text == NULL ? otherwise : text, -1, SQLITE_STATIC);
}

static tapeout_status insert_version(tp_registry *registry, const tapeout_registration *what,
                                     const tapeout_model_ref *ref, const int64_t numbers[4],
                                     tapeout_error *err)
{
    sqlite3_stmt *statement = NULL;
    TP_TRY(tp_registry_prepare(registry,
                               "INSERT INTO versions(model_id, version, size, created_us, sha256, "
                               "refused, reason, gates, timings, facts) "
                               "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                               &statement, err));
    int code = SQLITE_OK;
    for (int i = 0; i < 4 && code == SQLITE_OK; i++) {
        code = sqlite3_bind_int64(statement, i + 1, numbers[i]);
    }
    if (code != SQLITE_OK || bind_text(statement, 5, ref->sha256, "") != SQLITE_OK ||
        sqlite3_bind_int(statement, 6, what->is_refused ? 1 : 0) != SQLITE_OK ||
        bind_text(statement, 7, what->reason, "") != SQLITE_OK ||
        bind_text(statement, 8, what->gates, "[]") != SQLITE_OK ||
        bind_text(statement, 9, what->timings, "{}") != SQLITE_OK ||
        bind_text(statement, 10, what->facts, "{}") != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_DONE) {
        code = SQLITE_ERROR;
    }
    const tapeout_status status = code == SQLITE_OK
                                      ? TAPEOUT_OK
                                      : tp_registry_fail(registry, "cannot store the version", err);
    (void)sqlite3_finalize(statement);
    return status;
}

static tapeout_status register_locked(tp_registry *registry, const tapeout_registration *what,
                                      tp_str data, tapeout_model_ref *ref, tapeout_error *err)
{
    const int64_t now_us = tp_clock_unix_us();
    int64_t ids[2] = {0, 0};
    TP_TRY(next_version(registry, what->name, now_us, ids, err));
    const int64_t numbers[4] = {ids[0], ids[1], (int64_t)data.size, now_us};
    TP_TRY(insert_version(registry, what, ref, numbers, err));
    ref->version = (uint64_t)ids[1];
    return tp_registry_commit(registry, err);
}

// The blob comes before the row, and goes again when the row does not come.
static tapeout_status register_data(tp_registry *registry, const tapeout_registration *what,
                                    tp_str data, tapeout_model_ref *ref, tapeout_error *err)
{
    const tp_sha256 hash = tp_sha256_of(data.data, data.size);
    tp_sha256_hex(&hash, ref->sha256);
    if (what->sha256 != NULL && strcmp(what->sha256, ref->sha256) != 0) {
        return tp_fail(err, TAPEOUT_E_CORRUPT,
                       "registry: %s has SHA-256 %s where %s is expected: it was changed",
                       what->bundle, ref->sha256, what->sha256);
    }
    TP_TRY(tp_blob_path(registry->home, tp_str_from(ref->sha256), ref->path, err));
    TP_TRY(tp_registry_begin(registry, err));
    bool is_new = false;
    tapeout_status status = tp_blob_put(registry, data, &hash, &is_new, err);
    if (status == TAPEOUT_OK) {
        status = register_locked(registry, what, data, ref, err);
    }
    if (status != TAPEOUT_OK) {
        if (is_new && sqlite3_get_autocommit(registry->db) == 0) {
            (void)tp_blob_remove(registry, tp_str_from(ref->sha256),
                                 NULL); // one too many is harmless
        }
        tp_registry_rollback(registry);
    }
    return status;
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
static tapeout_status delete_row(tp_registry *registry, const model_name *name, tapeout_error *err)
{
    sqlite3_stmt *statement = NULL;
    TP_TRY(tp_registry_prepare(registry,
                               "DELETE FROM versions WHERE version = ?2 AND model_id = "
                               "(SELECT id FROM models WHERE name = ?1)",
                               &statement, err));
    tapeout_status status = TAPEOUT_OK;
    if (sqlite3_bind_text(statement, 1, name->name.data, (int)name->name.size, SQLITE_STATIC) !=
            SQLITE_OK ||
        sqlite3_bind_int64(statement, 2, name->version) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_DONE) {
        status = sqlite3_extended_errcode(registry->db) == SQLITE_CONSTRAINT_FOREIGNKEY
                     ? tp_fail(err, TAPEOUT_E_BUSY,
                               "registry: an alias points to %.*s:%lld; move the alias first",
                               TP_STR_ARGS(name->name), (long long)name->version)
                     : tp_registry_fail(registry, "cannot remove the version", err);
    }
    (void)sqlite3_finalize(statement);
    return status;
}

static tapeout_status is_named(tp_registry *registry, const char *hex, bool *ret_is_named,
                               tapeout_error *err)
{
    sqlite3_stmt *statement = NULL;
    TP_TRY(tp_registry_prepare(registry, "SELECT 1 FROM versions WHERE sha256 = ?1 LIMIT 1",
                               &statement, err));
    tapeout_status status = TAPEOUT_OK;
    const int bound = sqlite3_bind_text(statement, 1, hex, -1, SQLITE_STATIC);
    const int step = bound == SQLITE_OK ? sqlite3_step(statement) : bound;
    if (step == SQLITE_ROW || step == SQLITE_DONE) {
        *ret_is_named = step == SQLITE_ROW;
    } else {
        status = tp_registry_fail(registry, "cannot be read", err);
    }
    (void)sqlite3_finalize(statement);
    return status;
}

// The row is gone for good; the blob goes unless another version has it.
static tapeout_status sweep(tp_registry *registry, const char *hex, tapeout_error *err)
{
    bool named = true;
    TP_TRY(tp_registry_begin(registry, err));
    tapeout_status status = is_named(registry, hex, &named, err);
    if (status == TAPEOUT_OK && !named) {
        status = tp_blob_remove(registry, tp_str_from(hex), err);
    }
    tp_registry_rollback(registry); // nothing was written
    return status;
}

tapeout_status tp_registry_remove(tp_registry *registry, tp_str model, tapeout_error *err)
{
    model_name name;
    TP_TRY(tp_model_name_parse(model, &name, err));
    if (name.version == 0) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "\"%.*s\" is no single version: say which, as in %.*s:1", TP_STR_ARGS(model),
                       TP_STR_ARGS(name.name));
    }
    TP_TRY(tp_registry_begin(registry, err));
    tapeout_model_ref ref;
    tapeout_status status = tp_registry_find(registry, &name, &ref, err);
    if (status == TAPEOUT_OK) {
        status = delete_row(registry, &name, err);
    }
    if (status != TAPEOUT_OK) {
        tp_registry_rollback(registry);
        return status;
    }
    TP_TRY(tp_registry_commit(registry, err));
    return sweep(registry, ref.sha256, err);
}
