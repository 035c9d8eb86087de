// SPDX-License-Identifier: Apache-2.0
//
// Schemas by parts of the program, each with its own list of steps. The table `schema_parts` says
// how far each part is; a step and its number are committed together, under the lock of all
// writers, so that many processes may open a new store at once.
#include "base/limits.h"
#include "base/tp_error.h"
#include "registry/store_priv.h"

#include <string.h>

// -- words ---------------------------------------------------------------------------------------
static const char *const words[TP_STORE_WORDS] = {"{id}",   "{int}",   "{real}", "{text}",
                                                  "{blob}", "{table}", "{keyed}"};

static size_t word_at(const char *text)
{
    for (size_t i = 0; i < TP_STORE_WORDS; i++) {
        if (strncmp(text, words[i], strlen(words[i])) == 0) {
            return i;
        }
    }
    return TP_STORE_WORDS;
}

tapeout_status tp_store_translate(const tp_store *store, const char *step, tp_buffer *ret_sql,
                                  tapeout_error *err)
{
    tp_buffer_init(ret_sql, store->alloc, TP_MAX_STORE_SQL_BYTES);
    for (const char *at = step; *at != '\0';) {
        const size_t word = *at == '{' ? word_at(at) : TP_STORE_WORDS;
        if (word < TP_STORE_WORDS) {
            tp_buffer_append_text(ret_sql, store->driver->words[word]);
            at += strlen(words[word]);
        } else {
            tp_buffer_append_char(ret_sql, *at++);
        }
    }
    tp_buffer_append_char(ret_sql, '\0');
    const tapeout_status status = tp_buffer_check(ret_sql, "registry: a schema", err);
    if (status != TAPEOUT_OK) {
        tp_buffer_deinit(ret_sql);
    }
    return status;
}

// -- versions ------------------------------------------------------------------------------------
tapeout_status tp_store_schema_version(tp_store *store, const char *part, int64_t *ret_version,
                                       tapeout_error *err)
{
    bool has_versions = false;
    TP_TRY(store->driver->has_versions(store, &has_versions, err));
    int64_t version = 0;
    if (has_versions) {
        tp_rows rows;
        tp_store_query(store, &rows, "SELECT version FROM schema_parts WHERE part = $1",
                       TP_SQL(tp_sql_word(part)));
        while (tp_rows_next(&rows)) {
            version = tp_rows_int(&rows, 0);
        }
        TP_TRY(tp_rows_close(&rows, err));
    }
    *ret_version = version;
    return TAPEOUT_OK;
}

static tapeout_status check_version(const tp_store *store, const tp_store_schema *schema,
                                    int64_t version, tapeout_error *err)
{
    if (version > (int64_t)schema->step_count) {
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                       "registry: %s was written by a later tapeout (schema %lld of %s, this one "
                       "knows %zu): use that version",
                       store->where, (long long)version, schema->part, schema->step_count);
    }
    return TAPEOUT_OK;
}

static tapeout_status take_step(tp_store *store, const tp_store_schema *schema, int64_t version,
                                tapeout_error *err)
{
    tp_buffer sql;
    TP_TRY(tp_store_translate(store, schema->steps[version], &sql, err));
    const tapeout_status status = store->driver->script(store, sql.data, err);
    tp_buffer_deinit(&sql);
    TP_TRY(status);
    return tp_store_run(store,
                        "INSERT INTO schema_parts(part, version) VALUES($1, $2) "
                        "ON CONFLICT(part) DO UPDATE SET version = excluded.version",
                        TP_SQL(tp_sql_word(schema->part), tp_sql_int(version + 1)), NULL, err);
}

static tapeout_status migrate_locked(tp_store *store, void *user, tapeout_error *err)
{
    const tp_store_schema *schema = user;
    bool has_versions = false;
    TP_TRY(store->driver->has_versions(store, &has_versions, err));
    if (!has_versions) {
        TP_TRY(store->driver->make_versions(store, err));
    }
    int64_t version = 0; // another may have been quicker
    TP_TRY(tp_store_schema_version(store, schema->part, &version, err));
    TP_TRY(check_version(store, schema, version, err));
    for (; version < (int64_t)schema->step_count; version++) {
        TP_TRY(take_step(store, schema, version, err));
    }
    return TAPEOUT_OK;
}

tapeout_status tp_store_migrate(tp_store *store, const tp_store_schema *schema, tapeout_error *err)
{
    int64_t version = 0;
    TP_TRY(tp_store_schema_version(store, schema->part, &version, err));
    TP_TRY(check_version(store, schema, version, err));
    if (version == (int64_t)schema->step_count) {
        return TAPEOUT_OK;
    }
    tp_store_schema copy = *schema;
    return tp_store_transact(store, TP_STORE_ALONE, migrate_locked, &copy, err);
}
