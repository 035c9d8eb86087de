// SPDX-License-Identifier: Apache-2.0
//
// Artifacts: a table of folders and the names in them, and the bytes in the registry's blob store
// under their own hash. A path is never one of a file system, so there is nothing that it could
// lead out of. A blob is synced before its row; one whose row is gone goes with the garbage
// collection.
#include "registry/mlflow_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "registry/mlflow_path.h"
#include "table/tp_json.h"

#include <string.h>

#define SCHEME "mlflow-artifacts:/"

tapeout_status tp_mlflow_folder_of(tp_str uri, tp_buffer *ret_folder, tapeout_error *err)
{
    const tp_str scheme = TP_STR(SCHEME);
    if (!tp_str_has_prefix(uri, scheme)) {
        return tp_fail(err, TAPEOUT_E_INTERNAL, "\"%.*s\" is no place in this store",
                       TP_STR_ARGS(uri));
    }
    tp_buffer_append(ret_folder, uri.data + scheme.size, uri.size - scheme.size);
    return tp_buffer_check(ret_folder, "the artifacts' folder", err);
}

// -- finding -------------------------------------------------------------------------------------
typedef enum entry_kind { ENTRY_NONE, ENTRY_FILE, ENTRY_FOLDER } entry_kind;

// What stands under the path, with the hash of a file.
static tapeout_status find_entry(tp_mlflow *mlflow, tp_str path, entry_kind *ret_kind,
                                 char ret_hex[TP_SHA256_HEX_SIZE + 1], tapeout_error *err)
{
    tp_str folder;
    tp_str name;
    tp_rows rows;
    entry_kind kind = ENTRY_NONE;
    tp_mlflow_path_split(path, &folder, &name);
    tp_store_query(mlflow->store, &rows,
                   "SELECT sha256 FROM mlflow_artifacts WHERE folder = $1 AND name = $2",
                   TP_SQL(tp_sql_text(folder), tp_sql_text(name)));
    while (tp_rows_next(&rows)) {
        const tp_str hex = tp_rows_text(&rows, 0);
        kind = hex.size == TP_SHA256_HEX_SIZE ? ENTRY_FILE : ENTRY_FOLDER;
        if (kind == ENTRY_FILE && ret_hex != NULL) {
            memcpy(ret_hex, hex.data, hex.size);
            ret_hex[hex.size] = '\0';
        }
    }
    TP_TRY(tp_rows_close(&rows, err));
    *ret_kind = kind;
    return TAPEOUT_OK;
}

tapeout_status tp_mlflow_artifact_open(tp_mlflow *mlflow, tp_str path, tp_map *ret_map,
                                       tapeout_error *err)
{
    char hex[TP_SHA256_HEX_SIZE + 1];
    char file[TP_MAX_PATH_BYTES];
    entry_kind kind = ENTRY_NONE;
    TP_TRY(tp_mlflow_path_check(path, err));
    TP_TRY(find_entry(mlflow, path, &kind, hex, err));
    if (kind != ENTRY_FILE) {
        return tp_fail(err, TAPEOUT_E_NOT_FOUND, "no artifact \"%.*s\"%s", TP_STR_ARGS(path),
                       kind == ENTRY_FOLDER ? "; it is a folder" : "");
    }
    TP_TRY(tp_blob_path(mlflow->registry->home, tp_str_from(hex), file, err));
    TP_TRY(tp_blob_fetch(mlflow->registry, tp_str_from(hex), err));
    if (tp_map_open(file, ret_map, NULL) == TAPEOUT_OK) {
        return TAPEOUT_OK;
    }
    // A copy of what lies in S3 may have gone in this very moment.
    TP_TRY(tp_blob_fetch(mlflow->registry, tp_str_from(hex), err));
    return tp_map_open(file, ret_map, err);
}

tapeout_status tp_mlflow_artifact_list(tp_mlflow *mlflow, tp_str folder, tp_str prefix,
                                       tp_buffer *json, tapeout_error *err)
{
    tp_rows rows;
    bool is_begun = false;
    if (folder.size > 0) {
        TP_TRY(tp_mlflow_path_check(folder, err));
    }
    tp_store_query(mlflow->store, &rows,
                   "SELECT name, sha256, size FROM mlflow_artifacts WHERE folder = $1 "
                   "ORDER BY name",
                   TP_SQL(tp_sql_text(folder)));
    tp_buffer_append_text(json, "\"files\":[");
    while (tp_rows_next(&rows)) {
        const bool is_folder = tp_rows_text(&rows, 1).size == 0;
        char path[2 * TP_MAX_MLFLOW_PATH_BYTES + 1];
        const tp_str name = tp_rows_text(&rows, 0);
        size_t size = 0;
        if (prefix.size > 0 && prefix.size < TP_MAX_MLFLOW_PATH_BYTES) {
            memcpy(path, prefix.data, prefix.size);
            path[prefix.size] = '/';
            size = prefix.size + 1;
        }
        memcpy(path + size, name.data, name.size); // a part of a path that was checked
        tp_buffer_append_text(json, is_begun ? ",{" : "{");
        tp_json_put_str(json, "path", (tp_str){path, size + name.size});
        tp_buffer_append_text(json, is_folder ? ",\"is_dir\":true" : ",\"is_dir\":false");
        if (!is_folder && tp_rows_int(&rows, 2) > 0) {
            tp_json_put_i64(json, "file_size", tp_rows_int(&rows, 2));
        }
        tp_buffer_append_char(json, '}');
        is_begun = true;
    }
    tp_buffer_append_char(json, ']');
    return tp_rows_close(&rows, err);
}

// -- putting -------------------------------------------------------------------------------------
typedef struct put_call {
    tp_mlflow *mlflow;
    tp_str path;
    tp_str below;       // of a removal
    blob_source source; // of a put
} put_call;

static tapeout_status fail_clash(tp_str path, tapeout_error *err)
{
    return tp_fail(err, TAPEOUT_E_INVALID,
                   "artifact path \"%.*s\" would be a file and a folder at once",
                   TP_STR_ARGS(path));
}

// The folders that the path stands in, each made where it is missing.
static tapeout_status make_folders(tp_mlflow *mlflow, tp_str path, tapeout_error *err)
{
    tp_str folder;
    tp_str name;
    for (tp_mlflow_path_split(path, &folder, &name); folder.size > 0;) {
        const tp_str child = folder;
        entry_kind kind = ENTRY_NONE;
        TP_TRY(find_entry(mlflow, child, &kind, NULL, err));
        if (kind == ENTRY_FILE) {
            return fail_clash(child, err);
        }
        if (kind == ENTRY_FOLDER) {
            return TAPEOUT_OK; // and so are those above
        }
        tp_mlflow_path_split(child, &folder, &name);
        TP_TRY(tp_mlflow_exec(mlflow,
                              "INSERT INTO mlflow_artifacts(folder, name, sha256, size) "
                              "VALUES($1, $2, '', 0) ON CONFLICT(folder, name) DO NOTHING",
                              TP_SQL(tp_sql_text(folder), tp_sql_text(name)), NULL, err));
    }
    return TAPEOUT_OK;
}

static tapeout_status put_row(const put_call *call, const char *hex, tapeout_error *err)
{
    tp_str folder;
    tp_str name;
    tp_mlflow_path_split(call->path, &folder, &name);
    return tp_mlflow_exec(call->mlflow,
                          "INSERT INTO mlflow_artifacts(folder, name, sha256, size) "
                          "VALUES($1, $2, $3, $4) ON CONFLICT(folder, name) DO UPDATE SET "
                          "sha256 = excluded.sha256, size = excluded.size",
                          TP_SQL(tp_sql_text(folder), tp_sql_text(name), tp_sql_word(hex),
                                 tp_sql_int((int64_t)call->source.data.size)),
                          NULL, err);
}

static tapeout_status put_locked(tp_store *store, void *user, tapeout_error *err)
{
    (void)store;
    const put_call *call = user;
    entry_kind kind = ENTRY_NONE;
    bool is_new = false; // one too many is harmless: it is collected
    char hex[TP_SHA256_HEX_SIZE + 1];
    TP_TRY(find_entry(call->mlflow, call->path, &kind, NULL, err));
    if (kind == ENTRY_FOLDER) {
        return fail_clash(call->path, err);
    }
    TP_TRY(make_folders(call->mlflow, call->path, err));
    TP_TRY(tp_blob_put(call->mlflow->registry, &call->source, &is_new, err));
    tp_sha256_hex(&call->source.hash, hex);
    return put_row(call, hex, err);
}

tapeout_status tp_mlflow_artifact_begin(tp_mlflow *mlflow, tp_str path, tp_upload **ret_upload,
                                        tapeout_error *err)
{
    entry_kind kind = ENTRY_NONE;
    TP_TRY(tp_mlflow_path_check(path, err));
    TP_TRY(find_entry(mlflow, path, &kind, NULL, err));
    // Asked again under the lock; here it spares the client its bytes.
    return kind == ENTRY_FOLDER ? fail_clash(path, err)
                                : tp_upload_open(mlflow->registry, ret_upload, err);
}

tapeout_status tp_mlflow_artifact_put(tp_mlflow *mlflow, tp_str path, tp_upload *upload,
                                      tapeout_error *err)
{
    tp_map map;
    put_call call = {.mlflow = mlflow, .path = path, .source = {.upload = upload}};
    TP_TRY(tp_mlflow_path_check(path, err));
    tapeout_status status = tp_upload_finish(upload, &call.source.hash, err);
    if (status == TAPEOUT_E_IO) {
        tp_store_stop(mlflow->store); // a failed sync, as in putting a blob
    }
    TP_TRY(status);
    TP_TRY(tp_upload_map(upload, &map, err));
    call.source.data = (tp_str){(const char *)map.data, map.size};
    status = tp_blob_send(mlflow->registry, &call.source, err);
    if (status == TAPEOUT_OK) {
        status = tp_store_transact(mlflow->store, TP_STORE_ALONE, put_locked, &call, err);
    }
    tp_map_close(&map);
    return status;
}

// -- removing ------------------------------------------------------------------------------------
static tapeout_status remove_locked(tp_mlflow *mlflow, void *user, tapeout_error *err)
{
    const put_call *call = user;
    tp_str folder;
    tp_str name;
    tp_mlflow_path_split(call->path, &folder, &name);
    TP_TRY(tp_mlflow_exec(mlflow, "DELETE FROM mlflow_artifacts WHERE folder = $1 AND name = $2",
                          TP_SQL(tp_sql_text(folder), tp_sql_text(name)), NULL, err));
    // What lies in it, at any depth: folders that are the path or begin with it and a slash.
    return tp_mlflow_exec(mlflow,
                          "DELETE FROM mlflow_artifacts WHERE folder = $1 OR "
                          "substr(folder, 1, $2) = $3",
                          TP_SQL(tp_sql_text(call->path),
                                 tp_sql_int((int64_t)tp_mlflow_characters(call->path) + 1),
                                 tp_sql_text(call->below)),
                          NULL, err);
}

tapeout_status tp_mlflow_artifact_remove(tp_mlflow *mlflow, tp_str path, tapeout_error *err)
{
    char below[TP_MAX_MLFLOW_PATH_BYTES + 1];
    TP_TRY(tp_mlflow_path_check(path, err));
    memcpy(below, path.data, path.size);
    below[path.size] = '/';
    put_call call = {.mlflow = mlflow, .path = path, .below = {below, path.size + 1}};
    return tp_mlflow_transact(mlflow, remove_locked, &call, err);
}
