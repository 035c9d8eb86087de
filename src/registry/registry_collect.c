// SPDX-License-Identifier: Apache-2.0
//
// Which blobs are named, and removing those that are not: after a version is removed, and by
// `tapeout gc` for what crashes and failures left behind. Whoever puts a blob names it in the same
// transaction of the kind TP_STORE_ALONE, and both are asked under that lock, so that an
// acknowledged blob is never taken. A blob younger than the grace time stays in any case: its
// writer may be one that names it later.
#include "base/tp_clock.h"
#include "base/tp_error.h"
#include "registry/registry_priv.h"

// Every part of the program that names blobs has a line here; `part` NULL: always there.
static const struct {
    const char *part;
    const char *sql;
} namers[] = {
    {NULL, "SELECT 1 FROM versions WHERE sha256 = $1 LIMIT 1"},
    {"mlflow", "SELECT 1 FROM mlflow_artifacts WHERE sha256 = $1 LIMIT 1"},
};

static tapeout_status is_named(tp_store *store, tp_str hex, bool *ret_is_named, tapeout_error *err)
{
    bool is_found = false;
    for (size_t i = 0; i < sizeof(namers) / sizeof(namers[0]) && !is_found; i++) {
        int64_t version = 1;
        if (namers[i].part != NULL) {
            TP_TRY(tp_store_schema_version(store, namers[i].part, &version, err));
        }
        if (version > 0) {
            tp_rows rows;
            tp_store_query(store, &rows, namers[i].sql, TP_SQL(tp_sql_text(hex)));
            is_found = tp_rows_next(&rows);
            TP_TRY(tp_rows_close(&rows, err));
        }
    }
    *ret_is_named = is_found;
    return TAPEOUT_OK;
}

// Asked twice: without the lock, so that what is kept costs nobody anything, and with it before the
// blob goes.
static tapeout_status remove_unless_named(tp_registry *registry, const tp_blobs *blobs, tp_str hex,
                                          bool *ret_is_named, tapeout_error *err)
{
    TP_TRY(is_named(registry->store, hex, ret_is_named, err));
    if (*ret_is_named) {
        return TAPEOUT_OK;
    }
    TP_TRY(tp_store_begin(registry->store, TP_STORE_ALONE, err));
    tapeout_status status = is_named(registry->store, hex, ret_is_named, err);
    if (status == TAPEOUT_OK && !*ret_is_named) {
        status = blobs->remove(registry, hex, err);
    }
    tp_store_rollback(registry->store); // nothing was written: the lock was all that it was for
    return status;
}

tapeout_status tp_registry_sweep(tp_registry *registry, tp_str hex, tapeout_error *err)
{
    bool named = false;
    if (hex.size == 0) {
        return TAPEOUT_OK;
    }
    TP_TRY(tp_blob_claim(registry, err));
    return remove_unless_named(registry, registry->blobs, hex, &named, err);
}

// -- collecting ----------------------------------------------------------------------------------
typedef struct collecting {
    tp_registry *registry;
    int64_t before_s; // blobs that were written later stay
    uint64_t removed;
    uint64_t removed_bytes;
    uint64_t kept;
} collecting;

static tapeout_status collect_blob(void *user, const blob_about *about, tapeout_error *err)
{
    collecting *it = user;
    // An old copy says nothing of the age of what it is a copy of.
    const tp_blobs *blobs = about->is_copy ? &tp_blobs_local : it->registry->blobs;
    bool named = true;
    if (about->modified_s < it->before_s) {
        TP_TRY(remove_unless_named(it->registry, blobs, tp_str_from(about->hex), &named, err));
    }
    if (!named) {
        it->removed++;
        it->removed_bytes += about->size;
    } else if (!about->is_copy) {
        it->kept++;
    }
    return TAPEOUT_OK;
}

static tapeout_status collect_answers(tp_registry *registry, int64_t *ret_count, tapeout_error *err)
{
    const int64_t oldest_us = tp_clock_unix_us() - TP_ANSWERS_KEPT_S * INT64_C(1000000);
    return tp_store_run(registry->store, "DELETE FROM answers WHERE given_us < $1",
                        TP_SQL(tp_sql_int(oldest_us)), ret_count, err);
}

tapeout_status tp_registry_collect(tp_registry *registry, uint64_t grace_s, tp_buffer *json,
                                   tapeout_error *err)
{
    const int64_t now_s = tp_clock_unix_us() / 1000000;
    collecting it = {.registry = registry};
    it.before_s = grace_s > (uint64_t)now_s ? 0 : now_s - (int64_t)grace_s + 1;
    TP_TRY(tp_blob_claim(registry, err));
    TP_TRY(tp_blob_list(registry, collect_blob, &it, err));
    TP_TRY(tp_upload_sweep(registry, err));
    int64_t answers = 0;
    TP_TRY(collect_answers(registry, &answers, err));
    tp_buffer_printf(json,
                     "{\"removed\":%llu,\"removed_bytes\":%llu,\"kept\":%llu,"
                     "\"answers_removed\":%lld}",
                     (unsigned long long)it.removed, (unsigned long long)it.removed_bytes,
                     (unsigned long long)it.kept, (long long)answers);
    return TAPEOUT_OK;
}
