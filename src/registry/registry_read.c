// SPDX-License-Identifier: Apache-2.0
//
// Looking things up: where a name leads, and the list of all. One statement each, so that every
// answer is of one moment.
#include "base/tp_alloc.h"
#include "base/tp_arena.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "registry/registry_priv.h"

#include <stdio.h>
#include <string.h>

// -- nearest name --------------------------------------------------------------------------------
static tapeout_status collect_names(tp_registry *registry, tp_arena *arena, tp_str *names,
                                    size_t *ret_count, tapeout_error *err)
{
    sqlite3_stmt *statement = NULL;
    TP_TRY(tp_registry_prepare(registry,
                               "SELECT name FROM models m WHERE EXISTS "
                               "(SELECT 1 FROM versions WHERE model_id = m.id) ORDER BY name",
                               &statement, err));
    size_t count = 0;
    while (count < TP_MAX_REGISTRY_NEAREST && sqlite3_step(statement) == SQLITE_ROW) {
        names[count] = tp_arena_str(arena, tp_registry_text(statement, 0));
        if (names[count].data == NULL) {
            break;
        }
        count++;
    }
    (void)sqlite3_finalize(statement); // fewer names are a poorer hint, not a failure
    *ret_count = count;
    return TAPEOUT_OK;
}

static tapeout_status fail_unknown(tp_registry *registry, tp_str name, tapeout_error *err)
{
    const size_t capacity = TP_MAX_REGISTRY_NEAREST;
    tp_str *names = tp_alloc_array_zero(registry->alloc, capacity, sizeof(tp_str));
    if (names == NULL) {
        return tp_fail_nomem(err);
    }
    tp_arena arena;
    tp_arena_init(&arena, registry->alloc, (size_t)capacity * (TP_MAX_MODEL_NAME_BYTES + 16) * 2);
    size_t count = 0;
    tapeout_status status = collect_names(registry, &arena, names, &count, err);
    if (status == TAPEOUT_OK) {
        const int nearest = tp_str_nearest(name, names, count);
        status =
            nearest < 0
                ? tp_fail(err, TAPEOUT_E_NOT_FOUND,
                          "no model named \"%.*s\" is registered in %s; tapeout list shows "
                          "what is, and a path needs a slash",
                          TP_STR_ARGS(name), registry->home)
                : tp_fail(err, TAPEOUT_E_NOT_FOUND,
                          "no model named \"%.*s\" is registered in %s; did you mean \"%.*s\"?",
                          TP_STR_ARGS(name), registry->home, TP_STR_ARGS(names[nearest]));
    }
    tp_arena_deinit(&arena);
    tp_free_array(registry->alloc, names, capacity, sizeof(tp_str));
    return status;
}

// -- finding -------------------------------------------------------------------------------------
// Says why there is no such row: the name, the version, the alias, or all of them refused.
static tapeout_status explain_missing(tp_registry *registry, const model_name *name,
                                      tapeout_error *err)
{
    sqlite3_stmt *statement = NULL;
    TP_TRY(tp_registry_prepare(registry,
                               "SELECT max(version), min(refused) FROM versions WHERE model_id = "
                               "(SELECT id FROM models WHERE name = ?1)",
                               &statement, err));
    tapeout_status status = TAPEOUT_OK;
    if (sqlite3_bind_text(statement, 1, name->name.data, (int)name->name.size, SQLITE_STATIC) !=
            SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW) {
        status = tp_registry_fail(registry, "cannot be read", err);
    } else if (sqlite3_column_type(statement, 0) == SQLITE_NULL) {
        status = fail_unknown(registry, name->name, err);
    } else if (name->version != 0) {
        status =
            tp_fail(err, TAPEOUT_E_NOT_FOUND, "%.*s has no version %lld; the newest is %.*s:%lld",
                    TP_STR_ARGS(name->name), (long long)name->version, TP_STR_ARGS(name->name),
                    (long long)sqlite3_column_int64(statement, 0));
    } else if (name->alias.size > 0) {
        status = tp_fail(err, TAPEOUT_E_NOT_FOUND, "%.*s has no alias \"%.*s\"",
                         TP_STR_ARGS(name->name), TP_STR_ARGS(name->alias));
    } else {
        status = tp_fail(err, TAPEOUT_E_GATE,
                         "every version of %.*s was refused by its gates; name one, as in "
                         "%.*s:%lld, to use it all the same",
                         TP_STR_ARGS(name->name), TP_STR_ARGS(name->name),
                         (long long)sqlite3_column_int64(statement, 0));
    }
    (void)sqlite3_finalize(statement);
    return status;
}

static tapeout_status fill_ref(tp_registry *registry, sqlite3_stmt *statement,
                               const model_name *name, tapeout_model_ref *ret_ref,
                               tapeout_error *err)
{
    tapeout_model_ref ref = {.is_registered = true};
    ref.version = (uint64_t)sqlite3_column_int64(statement, 0);
    const tp_str hex = tp_registry_text(statement, 1);
    ref.is_refused = sqlite3_column_int(statement, 2) != 0;
    TP_TRY(tp_blob_path(registry->home, hex, ref.path, err));
    memcpy(ref.sha256, hex.data, hex.size); // 64 digits, as tp_blob_path has checked
    memcpy(ref.name, name->name.data, name->name.size);
    *ret_ref = ref;
    return TAPEOUT_OK;
}

tapeout_status tp_registry_find(tp_registry *registry, const model_name *name,
                                tapeout_model_ref *ret_ref, tapeout_error *err)
{
    const char *sql = "SELECT version, sha256, refused FROM versions WHERE refused = 0 "
                      "AND model_id = (SELECT id FROM models WHERE name = ?1) "
                      "ORDER BY version DESC LIMIT 1";
    if (name->version != 0) {
        sql = "SELECT version, sha256, refused FROM versions WHERE version = ?2 "
              "AND model_id = (SELECT id FROM models WHERE name = ?1)";
    } else if (name->alias.size > 0) {
        sql = "SELECT v.version, v.sha256, v.refused FROM models m "
              "JOIN aliases a ON a.model_id = m.id AND a.alias = ?2 "
              "JOIN versions v ON v.model_id = m.id AND v.version = a.version WHERE m.name = ?1";
    }
    sqlite3_stmt *statement = NULL;
    TP_TRY(tp_registry_prepare(registry, sql, &statement, err));
    int code =
        sqlite3_bind_text(statement, 1, name->name.data, (int)name->name.size, SQLITE_STATIC);
    if (code == SQLITE_OK && name->version != 0) {
        code = sqlite3_bind_int64(statement, 2, name->version);
    } else if (code == SQLITE_OK && name->alias.size > 0) {
        code =
            sqlite3_bind_text(statement, 2, name->alias.data, (int)name->alias.size, SQLITE_STATIC);
    }
    code = code == SQLITE_OK ? sqlite3_step(statement) : code;
    tapeout_status status = TAPEOUT_OK;
    if (code == SQLITE_ROW) {
        status = fill_ref(registry, statement, name, ret_ref, err);
    } else if (code == SQLITE_DONE) {
        status = explain_missing(registry, name, err);
    } else {
        status = tp_registry_fail(registry, "cannot be read", err);
    }
    (void)sqlite3_finalize(statement);
    return status;
}

tapeout_status tp_registry_resolve(tp_registry *registry, tp_str model, tapeout_model_ref *ret_ref,
                                   tapeout_error *err)
{
    model_name name;
    tapeout_model_ref ref;
    TP_TRY(tp_model_name_parse(model, &name, err));
    TP_TRY(tp_registry_find(registry, &name, &ref, err));
    if (!tp_path_exists(ref.path)) {
        return tp_fail(err, TAPEOUT_E_CORRUPT,
                       "registry: the bundle of %s:%llu is gone from %s; restore it or remove the "
                       "version",
                       ref.name, (unsigned long long)ref.version, ref.path);
    }
    *ret_ref = ref;
    return TAPEOUT_OK;
}

// -- listing -------------------------------------------------------------------------------------
tapeout_status tp_registry_list(tp_registry *registry, tp_buffer *json, tapeout_error *err)
{
    // SQLite keeps numbers of stored JSON as they were written.
    static const char sql[] =
        "SELECT json_object('models', json_group_array(json(item))) FROM ("
        "SELECT json_object('name', m.name,"
        " 'created', strftime('%Y-%m-%dT%H:%M:%SZ', m.created_us / 1000000, 'unixepoch'),"
        " 'versions', (SELECT json_group_array(json(item)) FROM ("
        "SELECT json_object('version', v.version, 'sha256', v.sha256, 'size', v.size,"
        " 'path', ?1 || '/blobs/sha256/' || substr(v.sha256, 1, 2) || '/' || substr(v.sha256, 3),"
        " 'created', strftime('%Y-%m-%dT%H:%M:%SZ', v.created_us / 1000000, 'unixepoch'),"
        " 'refused', json(iif(v.refused, 'true', 'false')), 'reason', v.reason,"
        " 'aliases', (SELECT json_group_array(alias) FROM (SELECT alias FROM aliases"
        " WHERE model_id = m.id AND version = v.version ORDER BY alias)),"
        " 'gates', json(v.gates), 'timings', json(v.timings), 'facts', json(v.facts)) AS item"
        " FROM versions v WHERE v.model_id = m.id ORDER BY v.version))) AS item"
        " FROM models m WHERE EXISTS (SELECT 1 FROM versions WHERE model_id = m.id)"
        " ORDER BY m.name)";
    sqlite3_stmt *statement = NULL;
    TP_TRY(tp_registry_prepare(registry, sql, &statement, err));
    tapeout_status status = TAPEOUT_OK;
    if (sqlite3_bind_text(statement, 1, registry->home, -1, SQLITE_STATIC) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW) {
        tp_buffer_append_str(json, tp_registry_text(statement, 0));
    } else {
        status = tp_registry_fail(registry, "cannot be listed", err);
    }
    (void)sqlite3_finalize(statement);
    return status;
}
