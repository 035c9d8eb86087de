// SPDX-License-Identifier: Apache-2.0
//
// What all of MLflow's routes share: the fields are read, a handle on the tenant's registry is
// borrowed, the route's own call runs, and a failure gets the code that MLflow's clients branch on.
// Also what the server says of itself to them.
#include "registry/tp_telling.h"
#include "serve/mlflow_ask.h"
#include "serve/mlflow_calls.h"
#include "serve/serve_handlers.h"

#include "base/limits.h"
#include "base/tp_error.h"
#include "table/tp_json.h"

// Without `default`: a new status must decide here.
static void name_failure(serve_exchange *exchange, tapeout_status status)
{
    switch (status) {
    case TAPEOUT_OK:
        return;
    case TAPEOUT_E_INVALID:
    case TAPEOUT_E_CORRUPT:
    case TAPEOUT_E_DATA:
    case TAPEOUT_E_LIMIT:
        exchange->fail_status = 400;
        exchange->fail_code = "INVALID_PARAMETER_VALUE";
        return;
    case TAPEOUT_E_EXISTS:
        exchange->fail_status = 400;
        exchange->fail_code = "RESOURCE_ALREADY_EXISTS";
        return;
    case TAPEOUT_E_NOT_FOUND:
        exchange->fail_status = 404;
        exchange->fail_code = "RESOURCE_DOES_NOT_EXIST";
        return;
    case TAPEOUT_E_UNTRUSTED:
    case TAPEOUT_E_DENIED:
    case TAPEOUT_E_GATE:
        exchange->fail_status = 403;
        exchange->fail_code = "PERMISSION_DENIED";
        return;
    case TAPEOUT_E_UNSUPPORTED:
        exchange->fail_status = 501;
        exchange->fail_code = "NOT_IMPLEMENTED";
        return;
    case TAPEOUT_E_IO:
    case TAPEOUT_E_FULL:
    case TAPEOUT_E_BUSY:
    case TAPEOUT_E_UNAVAILABLE:
    case TAPEOUT_E_NOMEM:
    case TAPEOUT_E_CANCELLED:
    case TAPEOUT_E_TIMEOUT:
    case TAPEOUT_E_UNKNOWN:
    case TAPEOUT_E_INTERNAL:
        return; // by the HTTP status of each
    }
}

// A GET's fields stand in its query; a body of no bytes is one of no fields.
static tapeout_status read_fields(mlflow_ask *ask, tapeout_error *err)
{
    serve_exchange *exchange = ask->exchange;
    const tp_http_method method = exchange->request->method;
    if (method == TP_HTTP_PUT || method == TP_HTTP_OPTIONS) {
        return TAPEOUT_OK; // the body is an artifact
    }
    tp_str text = exchange->body.size > 0 ? exchange->body : TP_STR("{}");
    if (method == TP_HTTP_GET || method == TP_HTTP_HEAD) {
        tp_buffer_clear(&exchange->scratch);
        TP_TRY(tp_ask_query_json(exchange->request->query, &exchange->scratch, err));
        TP_TRY(tp_buffer_check(&exchange->scratch, "query", err));
        text = tp_buffer_view(&exchange->scratch);
    }
    TP_TRY(tp_json_parse(exchange->state->env->alloc, text, "request", &ask->doc, err));
    ask->root = yyjson_doc_get_root(ask->doc);
    return yyjson_is_obj(ask->root)
               ? TAPEOUT_OK
               : tp_fail(err, TAPEOUT_E_INVALID, "the request must be a JSON object");
}

static tapeout_status run_call(mlflow_ask *ask, tapeout_error *err)
{
    serve_exchange *exchange = ask->exchange;
    TP_TRY(read_fields(ask, err));
    if (exchange->state->store == NULL) {
        return tp_fail(err, TAPEOUT_E_UNAVAILABLE, "this server has no registry");
    }
    TP_TRY(
        tp_serve_store_take(exchange->state->store, tp_serve_tenant(exchange), &ask->handle, err));
    ask->mlflow = &ask->handle->mlflow;
    const tp_teller teller = {.audit = exchange->state->audit,
                              .who = exchange->principal == NULL ? TP_STR("anonymous")
                                                                 : exchange->principal->id,
                              .tenant = tp_serve_tenant(exchange)};
    tp_registry_teller_set(ask->handle->registry, &teller);
    exchange->reply.content_type = "application/json";
    tp_buffer_append_char(ask->json, '{');
    TP_TRY(exchange->route->call(ask, err));
    if (ask->json != NULL) {
        tp_buffer_append_char(ask->json, '}');
    }
    return TAPEOUT_OK;
}

tapeout_status tp_serve_mlflow_model(serve_exchange *exchange, tapeout_error *err)
{
    mlflow_ask ask = {.exchange = exchange, .json = &exchange->reply.body};
    tp_arena_init(&ask.arena, exchange->state->env->alloc, TP_MAX_MLFLOW_ASK_BYTES);
    const tapeout_status status = run_call(&ask, err);
    if (ask.handle != NULL) {
        tp_registry_teller_set(ask.handle->registry, NULL);
    }
    tp_serve_store_give(exchange->state->store, ask.handle);
    yyjson_doc_free(ask.doc);
    tp_arena_deinit(&ask.arena);
    if (exchange->fail_status == 0) {
        name_failure(exchange, status);
    }
    return status;
}

tapeout_status tp_serve_mlflow(serve_exchange *exchange, tapeout_error *err)
{
    const tapeout_status status =
        tp_serve_require(exchange, exchange->route->right, TP_STR(""), err);
    if (status != TAPEOUT_OK) {
        name_failure(exchange, status);
        return status;
    }
    return tp_serve_mlflow_model(exchange, err);
}

tapeout_status tp_serve_mlflow_info(serve_exchange *exchange, tapeout_error *err)
{
    (void)err;
    exchange->reply.content_type = "application/json";
    tp_buffer_append_text(
        &exchange->reply.body,
        "{\"store_type\":\"SqlStore\",\"workspaces_enabled\":false,"
        "\"artifact_serving_enabled\":true,\"multipart_uploads_enabled\":false,"
        "\"multipart_downloads_enabled\":false,\"artifacts_presigned_only\":false,"
        "\"presigned_upload_run_id_supported\":false,"
        "\"presigned_upload_model_id_supported\":false,"
        "\"model_artifact_presigned_downloads_supported\":false,"
        "\"trace_archival_enabled\":false,\"features_enabled\":{\"gateway\":false},"
        "\"tracking_auth\":\"\"}");
    return TAPEOUT_OK;
}

tapeout_status tp_mlflow_refuse(mlflow_ask *ask, tapeout_error *err)
{
    (void)ask;
    return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                   "uploads in parts and presigned addresses are not offered; send the whole file "
                   "by PUT");
}
