// SPDX-License-Identifier: Apache-2.0
//
// Copies of a registry that is in use, and putting one back. A backup is a folder:
//
//     registry.sqlite     all rows as they were at one moment (VACUUM INTO)
//     blobs/sha256/ab/…   the bytes that the rows name, each checked against its hash
//     backup.json         written last: without it the folder is no backup
//
// Blobs never change, so that copying them after the rows gives one moment too; where a version and
// its bytes were removed in between, the rows are copied again. PostgreSQL has pg_dump for its
// rows.
#include "base/tp_alloc.h"
#include "base/tp_clock.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "registry/registry_priv.h"

#include <stdio.h>
#include <string.h>

enum { BACKUP_TRIES = 3 };

typedef struct copying {
    const tapeout_allocator *alloc;
    tp_registry
        *registry;    // whose blobs are copied, fetched where they are not in the home; or NULL
    tp_s3 *s3;        // where the blobs go as well, or NULL
    const char *from; // a home, or a backup
    const char *to;
    uint64_t blobs;
    uint64_t bytes;
} copying;

static tapeout_status join(const char *folder, const char *name, char ret_path[TP_MAX_PATH_BYTES],
                           tapeout_error *err)
{
    const int size = snprintf(ret_path, TP_MAX_PATH_BYTES, "%s/%s", folder, name);
    return size > 0 && (size_t)size < TP_MAX_PATH_BYTES
               ? TAPEOUT_OK
               : tp_fail(err, TAPEOUT_E_LIMIT, "backup: the path of the folder is too long");
}

// Copies a file whole, synced; its SHA-256 must be `hex`.
static tapeout_status copy_file(const tapeout_allocator *alloc, const char *from, const char *to,
                                tp_str hex, tapeout_error *err)
{
    tp_map map;
    TP_TRY(tp_map_open(from, &map, err));
    char found[TP_SHA256_HEX_SIZE + 1];
    const tp_sha256 hash = tp_sha256_of(map.data, map.size);
    tp_sha256_hex(&hash, found);
    tp_writer *writer = NULL;
    tapeout_status status =
        tp_str_equal(tp_str_from(found), hex)
            ? tp_writer_open(alloc, to, &writer, err)
            : tp_fail(err, TAPEOUT_E_CORRUPT, "backup: %s is damaged: its SHA-256 is %s, not %.*s",
                      from, found, TP_STR_ARGS(hex));
    if (status == TAPEOUT_OK) {
        status = tp_writer_write(writer, map.data, map.size, err);
        if (status == TAPEOUT_OK) {
            status = tp_writer_commit(&writer, err);
        } else {
            tp_writer_abort(&writer);
        }
    }
    tp_map_close(&map);
    return status;
}

static tapeout_status send_copy(tp_s3 *s3, const char *path, tp_str hex, tapeout_error *err)
{
    tp_map map;
    uint64_t size = 0;
    bool is_there = false;
    TP_TRY(tp_map_open(path, &map, err));
    tapeout_status status = tp_s3_put(s3, hex, (tp_str){(const char *)map.data, map.size}, err);
    if (status == TAPEOUT_OK) {
        status = tp_s3_find(s3, hex, &is_there, &size, err);
    }
    if (status == TAPEOUT_OK && (!is_there || size != map.size)) {
        status = tp_fail(err, TAPEOUT_E_UNAVAILABLE, "restore: %s has not kept what was sent",
                         tp_s3_place(s3));
    }
    tp_map_close(&map);
    return status;
}

static tapeout_status copy_blob(copying *it, tp_str hex, int64_t size, tapeout_error *err)
{
    char from[TP_MAX_PATH_BYTES];
    char to[TP_MAX_PATH_BYTES];
    TP_TRY(tp_blob_path(it->from, hex, from, err));
    TP_TRY(tp_blob_path(it->to, hex, to, err));
    if (!tp_path_exists(to)) {
        char folder[TP_MAX_PATH_BYTES];
        memcpy(folder, to, sizeof(folder));
        *strrchr(folder, '/') = '\0';
        if (it->registry != NULL) {
            TP_TRY(tp_blob_fetch(it->registry, hex, err));
        }
        TP_TRY(tp_directory_make(folder, err));
        TP_TRY(copy_file(it->alloc, from, to, hex, err));
    }
    if (it->s3 != NULL) {
        TP_TRY(send_copy(it->s3, to, hex, err));
    }
    it->blobs++;
    it->bytes += (uint64_t)size;
    return TAPEOUT_OK;
}

// The blobs that the rows of the SQLite file `path` name.
static tapeout_status copy_blobs(copying *it, const char *path, tapeout_error *err)
{
    tp_store *store = NULL;
    const tp_store_options options = {.where = path, .mode = TP_STORE_READ};
    TP_TRY(tp_store_open(it->alloc, &options, &store, err));
    int64_t has_mlflow = 0;
    tapeout_status status = tp_store_schema_version(store, "mlflow", &has_mlflow, err);
    it->blobs = 0;
    it->bytes = 0;
    if (status == TAPEOUT_OK) {
        tp_rows rows;
        tp_store_query(store, &rows,
                       has_mlflow > 0
                           ? "SELECT sha256, size FROM versions WHERE sha256 <> '' UNION "
                             "SELECT sha256, size FROM mlflow_artifacts WHERE sha256 <> ''"
                           : "SELECT DISTINCT sha256, size FROM versions WHERE sha256 <> ''",
                       TP_SQL_NONE);
        while (status == TAPEOUT_OK && tp_rows_next(&rows)) {
            status = copy_blob(it, tp_rows_text(&rows, 0), tp_rows_int(&rows, 1), err);
        }
        const tapeout_status closed = tp_rows_close(&rows, status == TAPEOUT_OK ? err : NULL);
        status = status == TAPEOUT_OK ? closed : status;
    }
    tp_store_close(&store);
    // Some may be there from an earlier try that was killed before their names were on disk.
    return status == TAPEOUT_OK ? tp_blob_names_sync(it->to, err) : status;
}

static tapeout_status copy_rows(tp_registry *registry, const char *path, tapeout_error *err)
{
    TP_TRY(tp_file_remove(path, err));
    TP_TRY(tp_store_run(registry->store, "VACUUM INTO $1", TP_SQL(tp_sql_word(path)), NULL, err));
    return tp_file_sync(path, err);
}

// -- the note at the end -------------------------------------------------------------------------
static tapeout_status write_note(const copying *it, const char *rows_path, tp_buffer *json,
                                 tapeout_error *err)
{
    char path[TP_MAX_PATH_BYTES];
    char hex[TP_SHA256_HEX_SIZE + 1];
    tp_sha256 hash;
    tp_writer *writer = NULL;
    TP_TRY(join(it->to, "backup.json", path, err));
    TP_TRY(tp_sha256_file(rows_path, &hash, err));
    tp_sha256_hex(&hash, hex);
    tp_buffer_printf(json,
                     "{\"format\":1,\"sha256\":\"%s\",\"created_us\":%lld,\"blobs\":%llu,"
                     "\"bytes\":%llu}",
                     hex, (long long)tp_clock_unix_us(), (unsigned long long)it->blobs,
                     (unsigned long long)it->bytes);
    TP_TRY(tp_buffer_check(json, "backup", err));
    TP_TRY(tp_writer_open(it->alloc, path, &writer, err));
    const tapeout_status status = tp_writer_write(writer, json->data, json->size, err);
    if (status != TAPEOUT_OK) {
        tp_writer_abort(&writer);
        return status;
    }
    return tp_writer_commit(&writer, err);
}

// The hash of the rows' file that the note names.
static tapeout_status read_note(const tapeout_allocator *alloc, const char *folder,
                                char ret_hex[TP_SHA256_HEX_SIZE + 1], tapeout_error *err)
{
    char path[TP_MAX_PATH_BYTES];
    tp_str text;
    TP_TRY(join(folder, "backup.json", path, err));
    if (!tp_path_exists(path)) {
        return tp_fail(err, TAPEOUT_E_NOT_FOUND,
                       "restore: %s is no backup, or one that was not finished: it has no "
                       "backup.json",
                       folder);
    }
    TP_TRY(tp_file_read(alloc, path, 4096, &text, err));
    static const char start[] = "{\"format\":1,\"sha256\":\"";
    const bool is_valid = text.size > sizeof(start) + TP_SHA256_HEX_SIZE &&
                          memcmp(text.data, start, sizeof(start) - 1) == 0;
    if (is_valid) {
        memcpy(ret_hex, text.data + sizeof(start) - 1, TP_SHA256_HEX_SIZE);
        ret_hex[TP_SHA256_HEX_SIZE] = '\0';
    }
    tp_free(alloc, (void *)(uintptr_t)text.data, text.size + 1);
    return is_valid
               ? TAPEOUT_OK
               : tp_fail(err, TAPEOUT_E_CORRUPT, "restore: %s: not as tapeout writes it", path);
}

// Before the rows are believed.
static tapeout_status check_rows(const char *path, const char *hex, tapeout_error *err)
{
    tp_sha256 hash;
    char found[TP_SHA256_HEX_SIZE + 1];
    TP_TRY(tp_sha256_file(path, &hash, err));
    tp_sha256_hex(&hash, found);
    return strcmp(found, hex) == 0
               ? TAPEOUT_OK
               : tp_fail(err, TAPEOUT_E_CORRUPT,
                         "restore: %s is damaged: its SHA-256 is %s, not %s", path, found, hex);
}

// -- both ways -----------------------------------------------------------------------------------
tapeout_status tp_registry_backup(tp_registry *registry, const char *folder, tp_buffer *json,
                                  tapeout_error *err)
{
    copying it = {
        .alloc = registry->alloc, .registry = registry, .from = registry->home, .to = folder};
    char rows_path[TP_MAX_PATH_BYTES];
    char note[TP_MAX_PATH_BYTES];
    if (tp_store_may_lose_answers(registry->store)) {
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                       "backup: the rows are in PostgreSQL: take them with pg_dump, then copy "
                       "%s%s; no tapeout gc in between",
                       registry->s3 == NULL ? registry->home : tp_s3_place(registry->s3),
                       registry->s3 == NULL ? "/blobs" : "");
    }
    TP_TRY(join(folder, "registry.sqlite", rows_path, err));
    TP_TRY(join(folder, "backup.json", note, err));
    TP_TRY(tp_directory_make(folder, err));
    TP_TRY(tp_file_remove(note, err)); // of an earlier one: it is none until the end
    tapeout_status status = TAPEOUT_E_NOT_FOUND;
    for (int i = 0; i < BACKUP_TRIES && status == TAPEOUT_E_NOT_FOUND; i++) {
        TP_TRY(copy_rows(registry, rows_path, err));
        status = copy_blobs(&it, rows_path, err);
    }
    TP_TRY(status);
    return write_note(&it, rows_path, json, err);
}

static tapeout_status restore_into(copying *it, tp_buffer *json, tapeout_error *err)
{
    char from[TP_MAX_PATH_BYTES];
    char to[TP_MAX_PATH_BYTES];
    char hex[TP_SHA256_HEX_SIZE + 1];
    TP_TRY(join(it->from, "registry.sqlite", from, err));
    TP_TRY(join(it->to, "registry.sqlite", to, err));
    TP_TRY(read_note(it->alloc, it->from, hex, err));
    TP_TRY(check_rows(from, hex, err));
    if (tp_path_exists(to)) {
        return tp_fail(err, TAPEOUT_E_EXISTS,
                       "restore: %s is there already: restore into another --home", to);
    }
    TP_TRY(tp_directory_make(it->to, err));
    TP_TRY(copy_blobs(it, from, err));
    TP_TRY(copy_file(it->alloc, from, to, tp_str_from(hex), err)); // last: now there is a registry
    tp_buffer_printf(json, "{\"blobs\":%llu,\"bytes\":%llu}", (unsigned long long)it->blobs,
                     (unsigned long long)it->bytes);
    return TAPEOUT_OK;
}

tapeout_status tp_registry_restore(const tapeout_allocator *alloc, const char *folder,
                                   const tp_registry_options *options, tp_buffer *json,
                                   tapeout_error *err)
{
    copying it = {.alloc = alloc, .from = folder, .to = options->home};
    if (options->blobs != NULL) {
        TP_TRY(tp_s3_open(alloc, options->blobs, options->world, &it.s3, err));
    }
    const tapeout_status status = restore_into(&it, json, err);
    tp_s3_close(&it.s3);
    return status;
}
