// SPDX-License-Identifier: Apache-2.0
//
// POST /registry/models/{model}/aliases/{alias}/promote and …/rollback: {"version": 3, "reason":
// "…"}, where a rollback may leave the version out. The reply is the evidence; a version that the
// policy keeps out is answered 403, with the evidence of that.
#include "serve/serve_handlers.h"
#include "serve/serve_store.h"

#include "base/tp_error.h"
#include "pipeline/tp_gate.h"
#include "table/tp_json.h"

#include <stdio.h>

typedef struct gate_request {
    int64_t version; // 0: none was said
    tp_str reason;
} gate_request;

static tapeout_status read_request(yyjson_val *root, gate_request *ret_request, tapeout_error *err)
{
    yyjson_obj_iter at = yyjson_obj_iter_with(root);
    if (!yyjson_is_obj(root)) {
        return tp_fail(err, TAPEOUT_E_INVALID, "wants {\"version\": 3, \"reason\": \"...\"}");
    }
    for (yyjson_val *key = NULL; (key = yyjson_obj_iter_next(&at)) != NULL;) {
        yyjson_val *value = yyjson_obj_iter_get_val(key);
        if (yyjson_equals_str(key, "version") && yyjson_is_uint(value) &&
            yyjson_get_uint(value) > 0 && yyjson_get_uint(value) <= INT64_MAX) {
            ret_request->version = (int64_t)yyjson_get_uint(value);
        } else if (yyjson_equals_str(key, "reason") && yyjson_is_str(value)) {
            ret_request->reason = tp_json_str(value);
        } else {
            return tp_fail(err, TAPEOUT_E_INVALID,
                           "\"%s\" is not known here or has a wrong value: \"version\" is a number "
                           "from 1, \"reason\" a text",
                           yyjson_get_str(key));
        }
    }
    return TAPEOUT_OK;
}

typedef tapeout_status (*gate_decide)(const tp_gate_call *call, const tp_gate_ask *ask,
                                      tp_buffer *json, tapeout_error *err);

// Evidence of a refusal, with the sentence in front.
static void write_refusal(serve_exchange *exchange, const tp_buffer *evidence,
                          const tapeout_error *why)
{
    tp_buffer *json = &exchange->reply.body;
    exchange->reply.status = 403;
    exchange->reply.content_type = "application/json";
    tp_buffer_append_char(json, '{');
    tp_json_append_key(json, "error");
    tp_json_append_str(json, tp_str_from(why->message));
    tp_buffer_append_char(json, ',');
    tp_buffer_append(json, evidence->data + 1, evidence->size - 1); // without its brace
}

static tapeout_status decide_on(serve_exchange *exchange, const gate_request *request,
                                gate_decide decide, tapeout_error *err)
{
    char model[TP_MAX_MODEL_NAME_BYTES + 32];
    const serve_state *state = exchange->state;
    serve_handle *handle = NULL;
    tp_buffer evidence;
    tapeout_error why = {0};
    (void)snprintf(model, sizeof(model), "%.*s", TP_STR_ARGS(exchange->params[0]));
    if (request->version > 0) {
        (void)snprintf(model, sizeof(model), "%.*s:%lld", TP_STR_ARGS(exchange->params[0]),
                       (long long)request->version);
    }
    TP_TRY(tp_serve_store_take(state->store, tp_serve_tenant(exchange), &handle, err));
    tp_buffer_init(&evidence, state->env->alloc, TP_MAX_GATE_BYTES);
    // A tenant's log lies in its own home.
    const bool is_operator = tp_str_equal(handle->tenant, TP_STR(TP_TENANT_OPERATOR));
    const tp_gate_call call = {state->env, handle->home, handle->registry,
                               is_operator ? state->audit : NULL, state->is_stopped};
    const tp_gate_ask ask = {.model = tp_str_from(model),
                             .alias = exchange->params[1],
                             .who = exchange->principal->id,
                             .reason = request->reason};
    tapeout_status status = decide(&call, &ask, &evidence, &why);
    tp_serve_store_give(state->store, handle);
    if (status == TAPEOUT_OK) {
        exchange->reply.content_type = "application/json";
        tp_buffer_append_str(&exchange->reply.body, tp_buffer_view(&evidence));
        state->alias_moved(state->user);
    } else if (status == TAPEOUT_E_GATE && evidence.size > 0) {
        write_refusal(exchange, &evidence, &why);
        status = TAPEOUT_OK;
    } else if (err != NULL) {
        *err = why;
    }
    tp_buffer_deinit(&evidence);
    return status;
}

static tapeout_status answer(serve_exchange *exchange, gate_decide decide, bool needs_version,
                             tapeout_error *err)
{
    yyjson_doc *doc = NULL;
    gate_request request = {.version = 0};
    TP_TRY(tp_serve_require(exchange, exchange->route->right, exchange->params[0], err));
    if (!tp_model_name_is_valid(exchange->params[0]) || exchange->state->store == NULL) {
        return tp_fail(err, TAPEOUT_E_NOT_FOUND, "no model of that name is registered");
    }
    TP_TRY(tp_serve_body_json(exchange, &doc, err));
    tapeout_status status = read_request(yyjson_doc_get_root(doc), &request, err);
    if (status == TAPEOUT_OK && needs_version && request.version == 0) {
        status = tp_fail(err, TAPEOUT_E_INVALID, "\"version\" is needed: which one to promote");
    }
    if (status == TAPEOUT_OK) {
        status = decide_on(exchange, &request, decide, err);
    }
    yyjson_doc_free(doc);
    return status;
}

tapeout_status tp_serve_promote(serve_exchange *exchange, tapeout_error *err)
{
    return answer(exchange, tp_gate_promote, true, err);
}

tapeout_status tp_serve_roll_back(serve_exchange *exchange, tapeout_error *err)
{
    return answer(exchange, tp_gate_roll_back, false, err);
}
