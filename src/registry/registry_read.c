// SPDX-License-Identifier: Apache-2.0
//
// Looking things up: where a name leads, and which name is meant by one that leads nowhere.
#include "base/tp_alloc.h"
#include "base/tp_arena.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "registry/registry_priv.h"

#include <stdio.h>
#include <string.h>

// -- nearest name --------------------------------------------------------------------------------
// Fewer names are a poorer hint, not a failure.
static size_t collect_names(tp_registry *registry, tp_arena *arena, tp_str *names)
{
    tp_rows rows;
    tp_store_query(registry->store, &rows,
                   "SELECT name FROM models m WHERE is_kept = 1 OR EXISTS "
                   "(SELECT 1 FROM versions WHERE model_id = m.id) ORDER BY name LIMIT $1",
                   TP_SQL(tp_sql_int(TP_MAX_REGISTRY_NEAREST)));
    size_t count = 0;
    while (count < TP_MAX_REGISTRY_NEAREST && tp_rows_next(&rows)) {
        names[count] = tp_arena_str(arena, tp_rows_text(&rows, 0));
        if (names[count].data == NULL) {
            break;
        }
        count++;
    }
    (void)tp_rows_close(&rows, NULL);
    return count;
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
    const size_t count = collect_names(registry, &arena, names);
    const int nearest = tp_str_nearest(name, names, count);
    const tapeout_status status =
        nearest < 0 ? tp_fail(err, TAPEOUT_E_NOT_FOUND,
                              "no model named \"%.*s\" is registered in %s; tapeout list shows "
                              "what is, and a path needs a slash",
                              TP_STR_ARGS(name), registry->home)
                    : tp_fail(err, TAPEOUT_E_NOT_FOUND,
                              "no model named \"%.*s\" is registered in %s; did you mean \"%.*s\"?",
                              TP_STR_ARGS(name), registry->home, TP_STR_ARGS(names[nearest]));
    tp_arena_deinit(&arena);
    tp_free_array(registry->alloc, names, capacity, sizeof(tp_str));
    return status;
}

// -- finding -------------------------------------------------------------------------------------
// Why there is no such row: the name, the version, the alias, or all of them refused.
static tapeout_status explain_missing(tp_registry *registry, const model_name *name,
                                      tapeout_error *err)
{
    tp_rows rows;
    tp_store_query(registry->store, &rows,
                   "SELECT max(version) FROM versions WHERE model_id = "
                   "(SELECT id FROM models WHERE name = $1)",
                   TP_SQL(tp_sql_text(name->name)));
    const bool has_row = tp_rows_next(&rows) && !tp_rows_is_null(&rows, 0);
    const long long newest = has_row ? (long long)tp_rows_int(&rows, 0) : 0;
    TP_TRY(tp_rows_close(&rows, err));
    if (!has_row) {
        return fail_unknown(registry, name->name, err);
    }
    if (name->version != 0) {
        return tp_fail(err, TAPEOUT_E_NOT_FOUND,
                       "%.*s has no version %lld; the newest is %.*s:%lld", TP_STR_ARGS(name->name),
                       (long long)name->version, TP_STR_ARGS(name->name), newest);
    }
    if (name->alias.size > 0) {
        return tp_fail(err, TAPEOUT_E_NOT_FOUND, "%.*s has no alias \"%.*s\"",
                       TP_STR_ARGS(name->name), TP_STR_ARGS(name->alias));
    }
    return tp_fail(err, TAPEOUT_E_GATE,
                   "every version of %.*s was refused by its gates; name one, as in "
                   "%.*s:%lld, to use it all the same",
                   TP_STR_ARGS(name->name), TP_STR_ARGS(name->name), newest);
}

static tapeout_status fill_ref(tp_registry *registry, const tp_rows *rows, const model_name *name,
                               tapeout_model_ref *ret_ref, tapeout_error *err)
{
    tapeout_model_ref ref = {.is_registered = true};
    ref.version = (uint64_t)tp_rows_int(rows, 0);
    const tp_str hex = tp_rows_text(rows, 1);
    ref.is_refused = tp_rows_int(rows, 2) != 0;
    if (hex.size > 0) {
        TP_TRY(tp_blob_path(registry->home, hex, ref.path, err));
        memcpy(ref.sha256, hex.data, hex.size); // 64 digits, as tp_blob_path has checked
    }
    memcpy(ref.name, name->name.data, name->name.size);
    *ret_ref = ref;
    return TAPEOUT_OK;
}

static void query_version(tp_store *store, const model_name *name, tp_rows *rows)
{
    if (name->version != 0) {
        tp_store_query(store, rows,
                       "SELECT version, sha256, refused FROM versions WHERE version = $2 "
                       "AND model_id = (SELECT id FROM models WHERE name = $1)",
                       TP_SQL(tp_sql_text(name->name), tp_sql_int(name->version)));
    } else if (name->alias.size > 0) {
        tp_store_query(store, rows,
                       "SELECT v.version, v.sha256, v.refused FROM models m "
                       "JOIN aliases a ON a.model_id = m.id AND a.alias = $2 "
                       "JOIN versions v ON v.model_id = m.id AND v.version = a.version "
                       "WHERE m.name = $1",
                       TP_SQL(tp_sql_text(name->name), tp_sql_text(name->alias)));
    } else {
        tp_store_query(store, rows,
                       "SELECT version, sha256, refused FROM versions WHERE refused = 0 "
                       "AND model_id = (SELECT id FROM models WHERE name = $1) "
                       "ORDER BY version DESC LIMIT 1",
                       TP_SQL(tp_sql_text(name->name)));
    }
}

tapeout_status tp_registry_find(tp_registry *registry, const model_name *name,
                                tapeout_model_ref *ret_ref, tapeout_error *err)
{
    tp_rows rows;
    query_version(registry->store, name, &rows);
    const bool has_row = tp_rows_next(&rows);
    const tapeout_status status =
        has_row ? fill_ref(registry, &rows, name, ret_ref, err) : TAPEOUT_OK;
    TP_TRY(tp_rows_close(&rows, err));
    TP_TRY(status);
    return has_row ? TAPEOUT_OK : explain_missing(registry, name, err);
}

tapeout_status tp_registry_resolve(tp_registry *registry, tp_str model, tapeout_model_ref *ret_ref,
                                   tapeout_error *err)
{
    model_name name;
    tapeout_model_ref ref;
    TP_TRY(tp_model_name_parse(model, &name, err));
    TP_TRY(tp_registry_find(registry, &name, &ref, err));
    if (ref.sha256[0] == '\0') {
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                       "registry: %s:%llu has no bundle: what was logged for it is kept but cannot "
                       "be run here",
                       ref.name, (unsigned long long)ref.version);
    }
    const tapeout_status status = tp_blob_fetch(registry, tp_str_from(ref.sha256), err);
    if (status == TAPEOUT_E_NOT_FOUND) {
        return tp_fail(err, TAPEOUT_E_CORRUPT,
                       "registry: the bundle of %s:%llu is gone from %s; restore it or remove the "
                       "version",
                       ref.name, (unsigned long long)ref.version,
                       registry->s3 == NULL ? ref.path : tp_s3_place(registry->s3));
    }
    if (status != TAPEOUT_OK) {
        tp_error_prefix(err, "registry: %s:%llu", ref.name, (unsigned long long)ref.version);
        return status;
    }
    *ret_ref = ref;
    return TAPEOUT_OK;
}
