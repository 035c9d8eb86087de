// SPDX-License-Identifier: Apache-2.0
//
// Artifacts over HTTP: files by their path below the store's root, folders of runs and logged
// models by their ids. A file comes in in pieces, which are hashed as they are written, and gets
// its name at the end; only one in a content coding comes in whole, within the limit of every body.
// It goes out in pieces, as it came in, as something to save and not to show.
#include "serve/mlflow_ask.h"
#include "serve/mlflow_calls.h"

#include "base/limits.h"
#include "base/tp_error.h"
#include "registry/tp_store.h"
#include "table/tp_json.h"
#include "trust/tp_audit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

enum { PATH_SEGMENT = 4 }; // of api, 2.0, mlflow-artifacts, artifacts, …

// The rest of the request's path. A "/" within a segment was written %2F, which no client does.
static tapeout_status read_path(const mlflow_ask *ask, tp_buffer *path, tapeout_error *err)
{
    const tp_http_request *request = ask->exchange->request;
    tp_buffer_init(path, ask->exchange->state->env->alloc, TP_MAX_HTTP_TARGET_BYTES);
    for (uint32_t i = PATH_SEGMENT; i < request->segment_count; i++) {
        if (tp_str_contains(request->segments[i], TP_STR("/"))) {
            return tp_fail(err, TAPEOUT_E_INVALID, "an encoded '/' in an artifact's path");
        }
        tp_buffer_append_text(path, i > PATH_SEGMENT ? "/" : "");
        tp_buffer_append_str(path, request->segments[i]);
    }
    return tp_buffer_check(path, "artifact path", err);
}

// What leaves the store is on the record first.
static tapeout_status tell_export(const mlflow_ask *ask, tp_str path, size_t size,
                                  tapeout_error *err)
{
    const serve_exchange *exchange = ask->exchange;
    char bytes[24];
    (void)snprintf(bytes, sizeof(bytes), "%zu", size);
    const tp_audit_field fields[] = {{"what", TP_STR("artifact")},
                                     {"tenant", tp_serve_tenant(exchange)},
                                     {"path", path},
                                     {"bytes", tp_str_from(bytes)}};
    const tp_str who = exchange->principal == NULL ? TP_STR("anonymous") : exchange->principal->id;
    const tp_audit_note note = {"export", who, fields, sizeof(fields) / sizeof(fields[0])};
    return exchange->state->audit == NULL ? TAPEOUT_OK
                                          : tp_audit_tell(exchange->state->audit, &note, err);
}

static tapeout_status send_file(mlflow_ask *ask, tp_str path, tapeout_error *err)
{
    serve_exchange *exchange = ask->exchange;
    tp_map map;
    TP_TRY(tp_mlflow_artifact_open(ask->mlflow, path, &map, err));
    tapeout_status status = tell_export(ask, path, map.size, err);
    const int fd = status == TAPEOUT_OK ? fcntl(map.fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (status == TAPEOUT_OK && fd < 0) {
        status = tp_fail_errno(err, errno, "no descriptor for an artifact");
    }
    const size_t size = map.size;
    tp_map_close(&map);
    TP_TRY(status);
    tp_buffer_clear(&exchange->reply.body);
    exchange->reply.file = (tp_http_file){.is_open = true, .fd = fd, .size = size};
    exchange->reply.content_type = "application/octet-stream";
    exchange->is_verbatim = true;
    tp_buffer_append_text(&exchange->reply.headers, "content-disposition: attachment\r\n"
                                                    "x-content-type-options: nosniff\r\n");
    ask->json = NULL;
    return TAPEOUT_OK;
}

tapeout_status tp_mlflow_artifacts_get(mlflow_ask *ask, tapeout_error *err)
{
    tp_buffer path;
    tapeout_status status = read_path(ask, &path, err);
    if (status == TAPEOUT_OK) {
        status = send_file(ask, tp_buffer_view(&path), err);
    }
    tp_buffer_deinit(&path);
    return status;
}

tapeout_status tp_mlflow_send_below(mlflow_ask *ask, tp_buffer *root, tp_str path,
                                    tapeout_error *err)
{
    tp_buffer_append_char(root, '/');
    tp_buffer_append_str(root, path);
    TP_TRY(tp_buffer_check(root, "artifact path", err));
    return send_file(ask, tp_buffer_view(root), err);
}

// Of a run, by its id in the query.
tapeout_status tp_mlflow_artifacts_get_of_run(mlflow_ask *ask, tapeout_error *err)
{
    const tp_str given = tp_ask_text(ask, "run_id");
    const tp_str run_id = given.size > 0 ? given : tp_ask_needed_text(ask, "run_uuid");
    const tp_str path = tp_ask_needed_text(ask, "path");
    tp_buffer root;
    TP_TRY(tp_ask_check(ask, err));
    tp_buffer_init(&root, ask->exchange->state->env->alloc, TP_MAX_HTTP_TARGET_BYTES);
    tapeout_status status = tp_mlflow_run_folder(ask->mlflow, run_id, &root, err);
    if (status == TAPEOUT_OK) {
        status = tp_mlflow_send_below(ask, &root, path, err);
    }
    tp_buffer_deinit(&root);
    return status;
}

// One whose body is here already.
static tapeout_status put_body(mlflow_ask *ask, tp_str path, tapeout_error *err)
{
    tp_upload *upload = NULL;
    TP_TRY(tp_mlflow_artifact_begin(ask->mlflow, path, &upload, err));
    tapeout_status status = tp_upload_write(upload, ask->exchange->body, err);
    if (status == TAPEOUT_E_IO) {
        tp_store_stop(tp_registry_store(ask->handle->registry)); // a failed sync
    }
    if (status == TAPEOUT_OK) {
        status = tp_mlflow_artifact_put(ask->mlflow, path, upload, err);
    }
    tp_upload_free(&upload);
    return status;
}

static tapeout_status put(mlflow_ask *ask, tp_str path, tapeout_error *err)
{
    serve_exchange *exchange = ask->exchange;
    if (exchange->opens_upload) {
        return tp_mlflow_artifact_begin(ask->mlflow, path, &exchange->upload, err);
    }
    return exchange->upload != NULL
               ? tp_mlflow_artifact_put(ask->mlflow, path, exchange->upload, err)
               : put_body(ask, path, err);
}

tapeout_status tp_mlflow_artifacts_put(mlflow_ask *ask, tapeout_error *err)
{
    tp_buffer path;
    tapeout_status status = read_path(ask, &path, err);
    if (status == TAPEOUT_OK) {
        status = put(ask, tp_buffer_view(&path), err);
    }
    tp_buffer_deinit(&path);
    return status;
}

tapeout_status tp_mlflow_artifacts_delete(mlflow_ask *ask, tapeout_error *err)
{
    tp_buffer path;
    tapeout_status status = read_path(ask, &path, err);
    if (status == TAPEOUT_OK) {
        status = tp_mlflow_artifact_remove(ask->mlflow, tp_buffer_view(&path), err);
    }
    tp_buffer_deinit(&path);
    return status;
}

// Names within the folder that is asked for.
tapeout_status tp_mlflow_artifacts_list(mlflow_ask *ask, tapeout_error *err)
{
    const tp_str folder = tp_ask_text(ask, "path");
    TP_TRY(tp_ask_check(ask, err));
    return tp_mlflow_artifact_list(ask->mlflow, folder, TP_STR(""), ask->json, err);
}

// What lies at `path` below `root`, with paths that begin at `root`.
static tapeout_status list_below(mlflow_ask *ask, tp_buffer *root, tp_str path, tapeout_error *err)
{
    tp_json_append_key(ask->json, "root_uri");
    tp_buffer uri;
    tp_buffer_init(&uri, ask->exchange->state->env->alloc, TP_MAX_HTTP_TARGET_BYTES);
    tp_buffer_append_text(&uri, "mlflow-artifacts:/");
    tp_buffer_append_str(&uri, tp_buffer_view(root));
    tp_json_append_str(ask->json, tp_buffer_view(&uri));
    tp_buffer_deinit(&uri);
    tp_buffer_append_char(ask->json, ',');
    if (path.size > 0) {
        tp_buffer_append_char(root, '/');
        tp_buffer_append_str(root, path);
    }
    TP_TRY(tp_buffer_check(root, "artifact path", err));
    return tp_mlflow_artifact_list(ask->mlflow, tp_buffer_view(root), path, ask->json, err);
}

tapeout_status tp_mlflow_artifacts_of_run(mlflow_ask *ask, tapeout_error *err)
{
    const tp_str given = tp_ask_text(ask, "run_id");
    const tp_str run_id = given.size > 0 ? given : tp_ask_needed_text(ask, "run_uuid");
    const tp_str path = tp_ask_text(ask, "path");
    tp_buffer root;
    TP_TRY(tp_ask_check(ask, err));
    tp_buffer_init(&root, ask->exchange->state->env->alloc, TP_MAX_HTTP_TARGET_BYTES);
    tapeout_status status = tp_mlflow_run_folder(ask->mlflow, run_id, &root, err);
    if (status == TAPEOUT_OK) {
        status = list_below(ask, &root, path, err);
    }
    tp_buffer_deinit(&root);
    return status;
}

tapeout_status tp_mlflow_models_artifacts(mlflow_ask *ask, tapeout_error *err)
{
    const tp_str path = tp_ask_text(ask, "artifact_directory_path");
    tp_buffer root;
    TP_TRY(tp_ask_check(ask, err));
    tp_buffer_init(&root, ask->exchange->state->env->alloc, TP_MAX_HTTP_TARGET_BYTES);
    tapeout_status status =
        tp_mlflow_model_origin(ask->mlflow, ask->exchange->params[0], &root, NULL, err);
    if (status == TAPEOUT_OK) {
        status = list_below(ask, &root, path, err);
    }
    tp_buffer_deinit(&root);
    return status;
}
