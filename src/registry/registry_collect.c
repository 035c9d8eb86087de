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

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

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

tapeout_status tp_registry_sweep(tp_registry *registry, tp_str hex, tapeout_error *err)
{
    tp_store *store = registry->store;
    if (hex.size == 0) {
        return TAPEOUT_OK;
    }
    bool named = true;
    TP_TRY(tp_store_begin(store, TP_STORE_ALONE, err));
    tapeout_status status = is_named(store, hex, &named, err);
    if (status == TAPEOUT_OK && !named) {
        status = tp_blob_remove(registry, hex, err);
    }
    tp_store_rollback(store); // nothing was written: the lock was all that it was for
    return status;
}

// -- collecting ----------------------------------------------------------------------------------
typedef struct collecting {
    tp_registry *registry;
    int64_t before_s; // blobs that were written later stay
    uint64_t removed;
    uint64_t removed_bytes;
    uint64_t kept;
} collecting;

static tapeout_status collect_blob(collecting *it, const char *folder, const char *name,
                                   tapeout_error *err)
{
    char hex[TP_SHA256_HEX_SIZE + 1];
    char path[TP_MAX_PATH_BYTES];
    const int size = snprintf(hex, sizeof(hex), "%s%s", folder, name);
    struct stat info;
    if (size != TP_SHA256_HEX_SIZE ||
        tp_blob_path(it->registry->home, tp_str_from(hex), path, NULL) != TAPEOUT_OK ||
        stat(path, &info) != 0) {
        return TAPEOUT_OK; // something else, or gone meanwhile
    }
    bool named = true;
    if (info.st_mtime < it->before_s) {
        TP_TRY(is_named(it->registry->store, tp_str_from(hex), &named, err));
    }
    if (named) {
        it->kept++;
        return TAPEOUT_OK;
    }
    TP_TRY(tp_blob_remove(it->registry, tp_str_from(hex), err));
    it->removed++;
    it->removed_bytes += (uint64_t)info.st_size;
    return TAPEOUT_OK;
}

// One folder under the lock, so that writers wait for a 256th of the whole at most.
static tapeout_status collect_folder(collecting *it, const char *folder, tapeout_error *err)
{
    char path[TP_MAX_PATH_BYTES];
    const int size = snprintf(path, sizeof(path), "%s/blobs/sha256/%s", it->registry->home, folder);
    DIR *entries = size > 0 && (size_t)size < sizeof(path) ? opendir(path) : NULL;
    if (entries == NULL) {
        return errno == ENOENT ? TAPEOUT_OK
                               : tp_fail_errno(err, errno, "registry: %s: cannot be read", path);
    }
    tapeout_status status = tp_store_begin(it->registry->store, TP_STORE_ALONE, err);
    for (const struct dirent *next = readdir(entries); next != NULL && status == TAPEOUT_OK;
         next = readdir(entries)) {
        status = collect_blob(it, folder, next->d_name, err);
    }
    tp_store_rollback(it->registry->store); // nothing was written
    (void)closedir(entries);
    return status;
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
    for (unsigned i = 0; i < 256; i++) {
        char folder[3];
        (void)snprintf(folder, sizeof(folder), "%02x", i);
        TP_TRY(collect_folder(&it, folder, err));
    }
    int64_t answers = 0;
    TP_TRY(collect_answers(registry, &answers, err));
    tp_buffer_printf(json,
                     "{\"removed\":%llu,\"removed_bytes\":%llu,\"kept\":%llu,"
                     "\"answers_removed\":%lld}",
                     (unsigned long long)it.removed, (unsigned long long)it.removed_bytes,
                     (unsigned long long)it.kept, (long long)answers);
    return TAPEOUT_OK;
}
