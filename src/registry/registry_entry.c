// SPDX-License-Identifier: Apache-2.0
//
// Models and versions as rows, and what people say about them. All of it runs inside the caller's
// transaction.
#include "registry/tp_entry.h"

#include "base/limits.h"
#include "base/tp_error.h"
#include "bundle/tp_bundle.h"

// -- finding -------------------------------------------------------------------------------------
tapeout_status tp_entry_find(tp_store *store, tp_str model, int64_t version, tp_entry *ret_entry,
                             tapeout_error *err)
{
    tp_rows rows;
    tp_store_query(store, &rows,
                   "SELECT m.id, v.version FROM models m LEFT JOIN versions v "
                   "ON v.model_id = m.id AND v.version = $2 WHERE m.name = $1 AND (m.is_kept = 1 "
                   "OR EXISTS (SELECT 1 FROM versions WHERE model_id = m.id))",
                   TP_SQL(tp_sql_text(model), tp_sql_int(version)));
    tp_entry entry = {0};
    const bool has_model = tp_rows_next(&rows);
    if (has_model) {
        entry = (tp_entry){.model_id = tp_rows_int(&rows, 0), .version = tp_rows_int(&rows, 1)};
    }
    TP_TRY(tp_rows_close(&rows, err));
    if (!has_model) {
        return tp_fail(err, TAPEOUT_E_NOT_FOUND, "no model named \"%.*s\" is registered",
                       TP_STR_ARGS(model));
    }
    if (entry.version != version) {
        return tp_fail(err, TAPEOUT_E_NOT_FOUND, "%.*s has no version %lld", TP_STR_ARGS(model),
                       (long long)version);
    }
    *ret_entry = entry;
    return TAPEOUT_OK;
}

static tapeout_status check_name(tp_str name, tapeout_error *err)
{
    return tp_model_name_is_valid(name)
               ? TAPEOUT_OK
               : tp_fail(err, TAPEOUT_E_INVALID,
                         "registry: \"%.*s\" is no name of a model: a letter or digit, then "
                         "letters, digits, '.', '_' and '-', at most %u in all",
                         TP_STR_ARGS(name), TP_MAX_MODEL_NAME_BYTES);
}

// -- models --------------------------------------------------------------------------------------
tapeout_status tp_model_create(tp_store *store, const tp_model_facts *facts, tapeout_error *err)
{
    TP_TRY(check_name(facts->name, err));
    int64_t changed = 0;
    // A row that is left of one that was removed is taken up again.
    TP_TRY(tp_store_run(
        store,
        "INSERT INTO models(name, created_us, updated_us, description, owner, is_kept) "
        "VALUES($1, $2, $3, $4, $5, 1) ON CONFLICT(name) DO UPDATE SET is_kept = 1, "
        "created_us = excluded.created_us, updated_us = excluded.updated_us, "
        "description = excluded.description, owner = excluded.owner WHERE models.is_kept = 0 "
        "AND NOT EXISTS (SELECT 1 FROM versions WHERE model_id = models.id)",
        TP_SQL(tp_sql_text(facts->name), tp_sql_int(facts->now_us), tp_sql_int(facts->now_us),
               tp_sql_text(facts->description), tp_sql_text(facts->owner)),
        &changed, err));
    return changed == 1 ? TAPEOUT_OK
                        : tp_fail(err, TAPEOUT_E_EXISTS, "there is a model named \"%.*s\" already",
                                  TP_STR_ARGS(facts->name));
}

tapeout_status tp_model_rename(tp_store *store, tp_str name, tp_str new_name, tapeout_error *err)
{
    tp_entry entry;
    TP_TRY(check_name(new_name, err));
    TP_TRY(tp_entry_find(store, name, 0, &entry, err));
    int64_t changed = 0;
    TP_TRY(tp_store_run(store,
                        "UPDATE models SET name = $2 WHERE id = $1 AND NOT EXISTS "
                        "(SELECT 1 FROM models WHERE name = $2)",
                        TP_SQL(tp_sql_int(entry.model_id), tp_sql_text(new_name)), &changed, err));
    if (changed != 1) {
        return tp_fail(err, TAPEOUT_E_EXISTS, "there is, or was, a model named \"%.*s\" already",
                       TP_STR_ARGS(new_name));
    }
    // The history goes with the model; that it was renamed stands in the audit log.
    return tp_store_run(store, "UPDATE alias_moves SET model = $2 WHERE model = $1",
                        TP_SQL(tp_sql_text(name), tp_sql_text(new_name)), NULL, err);
}

// E_BUSY with the first alias that points to the version, or to any for version 0.
static tapeout_status check_unused(tp_store *store, const tp_entry *entry, tp_str model,
                                   tapeout_error *err)
{
    tp_rows rows;
    tp_store_query(store, &rows,
                   "SELECT alias, version FROM aliases WHERE model_id = $1 "
                   "AND ($2 = 0 OR version = $2) ORDER BY alias LIMIT 1",
                   TP_SQL(tp_sql_int(entry->model_id), tp_sql_int(entry->version)));
    tapeout_status status = TAPEOUT_OK;
    while (tp_rows_next(&rows)) {
        status = tp_fail(err, TAPEOUT_E_BUSY,
                         "registry: an alias points to %.*s:%lld, \"%.*s\"; move the alias first",
                         TP_STR_ARGS(model), (long long)tp_rows_int(&rows, 1),
                         TP_STR_ARGS(tp_rows_text(&rows, 0)));
    }
    TP_TRY(tp_rows_close(&rows, err));
    return status;
}

static tapeout_status run_each(tp_store *store, const char *const *statements, size_t count,
                               const tp_entry *entry, tapeout_error *err)
{
    for (size_t i = 0; i < count; i++) {
        TP_TRY(tp_store_run(store, statements[i],
                            TP_SQL(tp_sql_int(entry->model_id), tp_sql_int(entry->version)), NULL,
                            err));
    }
    return TAPEOUT_OK;
}

// What stands below a version goes with it; $2 = 0 means all versions.
static tapeout_status delete_versions(tp_store *store, const tp_entry *entry, tapeout_error *err)
{
    static const char *const statements[] = {
        "DELETE FROM version_tags WHERE model_id = $1 AND ($2 = 0 OR version = $2)",
        "DELETE FROM version_origins WHERE model_id = $1 AND ($2 = 0 OR version = $2)",
        "DELETE FROM versions WHERE model_id = $1 AND ($2 = 0 OR version = $2)",
    };
    return run_each(store, statements, sizeof(statements) / sizeof(statements[0]), entry, err);
}

tapeout_status tp_model_remove(tp_store *store, tp_str name, tapeout_error *err)
{
    tp_entry entry;
    TP_TRY(tp_entry_find(store, name, 0, &entry, err));
    TP_TRY(check_unused(store, &entry, name, err));
    TP_TRY(delete_versions(store, &entry, err));
    TP_TRY(tp_store_run(store, "DELETE FROM model_tags WHERE model_id = $1",
                        TP_SQL(tp_sql_int(entry.model_id)), NULL, err));
    return tp_store_run(store,
                        "UPDATE models SET is_kept = 0, description = '', owner = '' WHERE id = $1",
                        TP_SQL(tp_sql_int(entry.model_id)), NULL, err);
}

// -- versions ------------------------------------------------------------------------------------
// The next number of the name; the model is made when it is new. Its row stays locked until the
// transaction ends, so that a number that is rolled back leaves no gap.
static tapeout_status next_version(tp_store *store, const tp_version_facts *facts,
                                   tp_entry *ret_entry, tapeout_error *err)
{
    tp_rows rows;
    tp_store_query(
        store, &rows,
        "INSERT INTO models(name, created_us, updated_us, last_version) "
        "VALUES($1, $2, $3, 1) ON CONFLICT(name) DO UPDATE SET "
        "last_version = models.last_version + 1, updated_us = excluded.updated_us "
        "RETURNING id, last_version",
        TP_SQL(tp_sql_text(facts->model), tp_sql_int(facts->now_us), tp_sql_int(facts->now_us)));
    while (tp_rows_next(&rows)) {
        *ret_entry =
            (tp_entry){.model_id = tp_rows_int(&rows, 0), .version = tp_rows_int(&rows, 1)};
    }
    return tp_rows_close(&rows, err);
}

static tp_sql_value json_or(tp_str json, const char *otherwise)
{
    return json.size > 0 ? tp_sql_text(json) : tp_sql_word(otherwise);
}

tapeout_status tp_version_create(tp_store *store, const tp_version_facts *facts,
                                 tp_entry *ret_entry, tapeout_error *err)
{
    TP_TRY(check_name(facts->model, err));
    tp_entry entry = {0};
    TP_TRY(next_version(store, facts, &entry, err));
    TP_TRY(tp_store_run(
        store,
        "INSERT INTO versions(model_id, version, sha256, size, created_us, updated_us, refused, "
        "reason, gates, timings, facts, description, owner, source, run_id, logged_model_id) "
        "VALUES($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
        TP_SQL(tp_sql_int(entry.model_id), tp_sql_int(entry.version), tp_sql_text(facts->sha256),
               tp_sql_int(facts->size_bytes), tp_sql_int(facts->now_us), tp_sql_int(facts->now_us),
               tp_sql_int(facts->is_refused ? 1 : 0), tp_sql_text(facts->reason),
               json_or(facts->gates, "[]"), json_or(facts->timings, "{}"),
               json_or(facts->facts, "{}"), tp_sql_text(facts->description),
               tp_sql_text(facts->owner), tp_sql_text(facts->source), tp_sql_text(facts->run_id),
               tp_sql_text(facts->logged_model_id)),
        NULL, err));
    if (facts->run_id.size > 0) {
        TP_TRY(tp_origin_add(store, &entry, "run", facts->run_id, err));
    }
    *ret_entry = entry;
    return TAPEOUT_OK;
}

tapeout_status tp_version_remove(tp_store *store, tp_str model, int64_t version, tapeout_error *err)
{
    tp_entry entry;
    TP_TRY(tp_entry_find(store, model, version, &entry, err));
    TP_TRY(check_unused(store, &entry, model, err));
    return delete_versions(store, &entry, err);
}

// -- what people say -----------------------------------------------------------------------------
tapeout_status tp_entry_set_text(tp_store *store, const tp_entry *entry, tp_entry_text which,
                                 tp_str text, tapeout_error *err)
{
    static const char *const of_model[] = {
        "UPDATE models SET description = $2 WHERE id = $1",
        "UPDATE models SET owner = $2 WHERE id = $1",
        NULL,
    };
    static const char *const of_version[] = {
        "UPDATE versions SET description = $2 WHERE model_id = $1 AND version = $3",
        "UPDATE versions SET owner = $2 WHERE model_id = $1 AND version = $3",
        "UPDATE versions SET stage = $2 WHERE model_id = $1 AND version = $3",
    };
    if (text.size > TP_MAX_DESCRIPTION_BYTES) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "registry: a text of %zu bytes, at most %u are kept",
                       text.size, TP_MAX_DESCRIPTION_BYTES);
    }
    int64_t changed = 0;
    if (entry->version != 0) {
        TP_TRY(tp_store_run(
            store, of_version[which],
            TP_SQL(tp_sql_int(entry->model_id), tp_sql_text(text), tp_sql_int(entry->version)),
            &changed, err));
    } else if (of_model[which] != NULL) {
        TP_TRY(tp_store_run(store, of_model[which],
                            TP_SQL(tp_sql_int(entry->model_id), tp_sql_text(text)), &changed, err));
    }
    return changed == 1 ? TAPEOUT_OK
                        : tp_fail(err, TAPEOUT_E_NOT_FOUND, "registry: no such version");
}

static tapeout_status check_tag(tp_str key, tp_str value, tapeout_error *err)
{
    if (key.size == 0 || key.size > TP_MAX_TAG_KEY_BYTES) {
        return tp_fail(err, key.size == 0 ? TAPEOUT_E_INVALID : TAPEOUT_E_LIMIT,
                       "registry: a tag's key has 1 to %u bytes, this one has %zu",
                       TP_MAX_TAG_KEY_BYTES, key.size);
    }
    if (value.size > TP_MAX_TAG_VALUE_BYTES) {
        return tp_fail(err, TAPEOUT_E_LIMIT,
                       "registry: a tag's value has at most %u bytes, that of \"%.*s\" has %zu",
                       TP_MAX_TAG_VALUE_BYTES, TP_STR_ARGS(key), value.size);
    }
    return TAPEOUT_OK;
}

tapeout_status tp_tag_set(tp_store *store, const tp_entry *entry, tp_str key, tp_str value,
                          tapeout_error *err)
{
    TP_TRY(check_tag(key, value, err));
    if (entry->version == 0) {
        return tp_store_run(
            store,
            "INSERT INTO model_tags(model_id, key, value) VALUES($1, $2, $3) "
            "ON CONFLICT(model_id, key) DO UPDATE SET value = excluded.value",
            TP_SQL(tp_sql_int(entry->model_id), tp_sql_text(key), tp_sql_text(value)), NULL, err);
    }
    return tp_store_run(store,
                        "INSERT INTO version_tags(model_id, version, key, value) "
                        "VALUES($1, $2, $3, $4) ON CONFLICT(model_id, version, key) DO UPDATE "
                        "SET value = excluded.value",
                        TP_SQL(tp_sql_int(entry->model_id), tp_sql_int(entry->version),
                               tp_sql_text(key), tp_sql_text(value)),
                        NULL, err);
}

tapeout_status tp_tag_remove(tp_store *store, const tp_entry *entry, tp_str key, tapeout_error *err)
{
    int64_t changed = 0;
    if (entry->version == 0) {
        TP_TRY(tp_store_run(store, "DELETE FROM model_tags WHERE model_id = $1 AND key = $2",
                            TP_SQL(tp_sql_int(entry->model_id), tp_sql_text(key)), &changed, err));
    } else {
        TP_TRY(tp_store_run(
            store, "DELETE FROM version_tags WHERE model_id = $1 AND version = $2 AND key = $3",
            TP_SQL(tp_sql_int(entry->model_id), tp_sql_int(entry->version), tp_sql_text(key)),
            &changed, err));
    }
    return changed == 1 ? TAPEOUT_OK
                        : tp_fail(err, TAPEOUT_E_NOT_FOUND, "registry: no tag \"%.*s\" is there",
                                  TP_STR_ARGS(key));
}

tapeout_status tp_origin_add(tp_store *store, const tp_entry *version, const char *kind, tp_str ref,
                             tapeout_error *err)
{
    return tp_store_run(store,
                        "INSERT INTO version_origins(model_id, version, kind, ref) "
                        "VALUES($1, $2, $3, $4) ON CONFLICT DO NOTHING",
                        TP_SQL(tp_sql_int(version->model_id), tp_sql_int(version->version),
                               tp_sql_word(kind), tp_sql_text(ref)),
                        NULL, err);
}
