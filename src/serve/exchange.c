// SPDX-License-Identifier: Apache-2.0
//
// One request on its way: find the route, undo the content coding, run the handler, turn a failure
// into the status and the body that its family of clients expects, compress what is worth it. Runs
// on the loop's thread or on another; it touches its own exchange and what is shared and
// synchronized.
#include "serve/serve_priv.h"

#include "base/tp_error.h"
#include "base/tp_hex.h"
#include "table/tp_json.h"

#include <string.h>

enum { COMPRESS_FROM_BYTES = 1400, KEEP_BYTES = 256 << 10 };

void tp_serve_exchange_init(serve_exchange *exchange, serve_state *state)
{
    memset(exchange, 0, sizeof(*exchange));
    exchange->state = state;
    tp_http_reply_init(&exchange->reply, state->env->alloc);
    // A step of the inflater more than a body may have, for its last piece.
    tp_buffer_init(&exchange->inflated, state->env->alloc, state->max_body_bytes);
    tp_buffer_init(&exchange->scratch, state->env->alloc, TP_MAX_HTTP_REPLY_BYTES);
}

static void buffer_settle(tp_buffer *buffer)
{
    tp_buffer_clear(buffer);
    tp_buffer_shrink(buffer, KEEP_BYTES);
}

void tp_serve_exchange_clear(serve_exchange *exchange)
{
    tp_engine_unref(exchange->state->engine, exchange->model);
    exchange->model = NULL;
    tp_upload_free(&exchange->upload);
    exchange->opens_upload = false;
    exchange->request = NULL;
    exchange->route = NULL;
    exchange->body = (tp_str){NULL, 0};
    exchange->fail_status = 0;
    exchange->fail_code = NULL;
    exchange->retry_ns = 0;
    exchange->charged_tokens = 0;
    exchange->has_key_in_target = false;
    memset(exchange->limits, 0, sizeof(exchange->limits));
    tp_serve_auth_clear(exchange);
    exchange->later = NULL;
    exchange->is_verbatim = false;
    exchange->is_taken = false;
    exchange->error.message[0] = '\0';
    exchange->row_count = exchange->compute_ns = exchange->unseen_count = 0;
    exchange->tokens = (serve_tokens){0};
    memset(exchange->params, 0, sizeof(exchange->params));
    tp_http_reply_clear(&exchange->reply);
    buffer_settle(&exchange->reply.body);
    buffer_settle(&exchange->inflated);
    buffer_settle(&exchange->scratch);
}

void tp_serve_exchange_deinit(serve_exchange *exchange)
{
    tp_serve_exchange_clear(exchange);
    tp_http_reply_deinit(&exchange->reply);
    tp_buffer_deinit(&exchange->inflated);
    tp_buffer_deinit(&exchange->scratch);
}

tapeout_status tp_serve_fail_as(serve_exchange *exchange, int http_status, tapeout_status status)
{
    exchange->fail_status = http_status;
    return status;
}

void tp_serve_fail_code(serve_exchange *exchange, const char *code)
{
    exchange->fail_code = exchange->route->family == SERVE_FAMILY_OPENAI ? code : NULL;
}

// Without `default`: a new code must decide here.
int tp_serve_http_status(tapeout_status status)
{
    switch (status) {
    case TAPEOUT_OK:
        return 200;
    case TAPEOUT_E_INVALID:
    case TAPEOUT_E_CORRUPT:
    case TAPEOUT_E_DATA:
    case TAPEOUT_E_UNSUPPORTED:
        return 400;
    case TAPEOUT_E_NOT_FOUND:
        return 404;
    case TAPEOUT_E_EXISTS:
    case TAPEOUT_E_GATE:
        return 409;
    case TAPEOUT_E_LIMIT:
        return 413;
    case TAPEOUT_E_UNTRUSTED:
    case TAPEOUT_E_DENIED:
        return 403;
    case TAPEOUT_E_FULL:
    case TAPEOUT_E_BUSY:
    case TAPEOUT_E_UNAVAILABLE:
    case TAPEOUT_E_NOMEM:
    case TAPEOUT_E_CANCELLED:
    case TAPEOUT_E_UNKNOWN:
        return 503;
    case TAPEOUT_E_TIMEOUT:
        return 504;
    case TAPEOUT_E_IO:
    case TAPEOUT_E_INTERNAL:
        return 500;
    }
    return 500;
}

static const char *mlflow_code_of(int http_status)
{
    switch (http_status) {
    case 400:
    case 413:
    case 415:
        return "BAD_REQUEST";
    case 401:
        return "UNAUTHENTICATED";
    case 403:
        return "PERMISSION_DENIED";
    case 404:
        return "RESOURCE_DOES_NOT_EXIST";
    case 429:
        return "REQUEST_LIMIT_EXCEEDED";
    case 503:
        return "TEMPORARILY_UNAVAILABLE";
    default:
        return "INTERNAL_ERROR";
    }
}

static const char *openai_type_of(int http_status)
{
    switch (http_status) {
    case 401:
        return "authentication_error";
    case 403:
        return "permission_error";
    case 404:
        return "not_found_error";
    case 429:
        return "rate_limit_error";
    case 503:
        return "unavailable_error";
    default:
        return http_status < 500 ? "invalid_request_error" : "server_error";
    }
}

// Without `default`: a new family must decide here.
static const char *challenge_of(serve_family family)
{
    switch (family) {
    case SERVE_FAMILY_MLFLOW:
        return "www-authenticate: Basic realm=\"mlflow\"\r\n";
    case SERVE_FAMILY_PLAIN:
    case SERVE_FAMILY_OPENAI:
        break;
    }
    return "www-authenticate: Bearer realm=\"tapeout\"\r\n";
}

void tp_serve_failure_write(tp_http_reply *reply, serve_family family, const serve_failure *failure)
{
    const int http_status = failure->http_status;
    tp_buffer *body = &reply->body;
    tp_buffer_clear(body);
    tp_buffer_clear(&reply->headers);
    reply->status = http_status;
    reply->content_type = "application/json";
    switch (family) {
    case SERVE_FAMILY_PLAIN:
        tp_buffer_append_text(body, "{\"error\":");
        tp_json_append_str(body, failure->message);
        break;
    case SERVE_FAMILY_MLFLOW:
        tp_buffer_printf(body, "{\"error_code\":\"%s\",\"message\":",
                         failure->code != NULL ? failure->code : mlflow_code_of(http_status));
        tp_json_append_str(body, failure->message);
        break;
    case SERVE_FAMILY_OPENAI:
        tp_buffer_append_text(body, "{\"error\":{\"message\":");
        tp_json_append_str(body, failure->message);
        tp_buffer_printf(body,
                         ",\"type\":\"%s\",\"param\":null,\"code\":", openai_type_of(http_status));
        if (failure->code == NULL) {
            tp_buffer_append_text(body, "null}");
        } else {
            tp_buffer_printf(body, "\"%s\"}", failure->code);
        }
        break;
    }
    tp_buffer_append_char(body, '}');
    if (failure->retry_ns == SERVE_RETRY_NEVER) {
        tp_buffer_append_text(&reply->headers, "x-should-retry: false\r\n");
    } else if (http_status == 429 || http_status == 503) {
        // Whole seconds, upwards: too early would be refused again.
        const uint64_t seconds = failure->retry_ns / 1000000000u + 1;
        tp_buffer_printf(&reply->headers, "retry-after: %llu\r\n", (unsigned long long)seconds);
    }
    if (http_status == 401) {
        tp_buffer_append_text(&reply->headers, challenge_of(family));
    }
}

static void write_failure(serve_exchange *exchange, int http_status, tp_str message)
{
    serve_family family = SERVE_FAMILY_PLAIN;
    if (exchange->route != NULL) {
        family = exchange->route->family;
    } else if (tp_serve_is_mlflow(exchange->request)) {
        // Its clients tell a route that is missing from a thing that is missing by the code alone.
        family = SERVE_FAMILY_MLFLOW;
        exchange->fail_code = "ENDPOINT_NOT_FOUND";
    }
    const serve_failure failure = {http_status, message, exchange->fail_code, exchange->retry_ns};
    tp_serve_failure_write(&exchange->reply, family, &failure);
    tp_serve_limits_write(exchange, &exchange->reply.headers);
}

bool tp_serve_is_stopped(const serve_state *state)
{
    return state->is_stopped != NULL &&
           atomic_load_explicit(state->is_stopped, memory_order_acquire);
}

// What the machine reports stays in the log; the caller learns that it was not their fault, and
// what its disk has to do with it.
static void write_machine_failure(serve_exchange *exchange, tapeout_status status)
{
    if (status == TAPEOUT_E_FULL) {
        write_failure(exchange, 503,
                      TP_STR("nothing was stored: the server's disk is full or read-only; it goes "
                             "on by itself when that is over"));
    } else if (status == TAPEOUT_E_IO && tp_serve_is_stopped(exchange->state)) {
        exchange->retry_ns = SERVE_RETRY_NEVER;
        write_failure(exchange, 503,
                      TP_STR("this server only reads: a sync of its disk failed, so that what it "
                             "stored could be lost; look after the disk, then start it anew"));
    } else {
        write_failure(exchange, 500,
                      TP_STR("internal error; the server's log has more under this request's id"));
    }
}

static void append_allow(tp_buffer *headers, uint32_t allowed)
{
    tp_buffer_append_text(headers, "allow: OPTIONS");
    for (int method = 0; method < TP_HTTP_METHOD_COUNT; method++) {
        if ((allowed >> method & 1) != 0) {
            tp_buffer_append_text(headers, ", ");
            tp_buffer_append_text(headers, tp_http_method_name((tp_http_method)method));
        }
    }
    if ((allowed >> TP_HTTP_GET & 1) != 0) {
        tp_buffer_append_text(headers, ", HEAD");
    }
    tp_buffer_append_text(headers, "\r\n");
}

// No route: unknown path, wrong method, or OPTIONS, which every known path answers.
static void answer_without_route(serve_exchange *exchange, uint32_t allowed)
{
    const tp_http_request *request = exchange->request;
    const bool is_server_wide = request->target.size == 1 && request->target.data[0] == '*';
    if (allowed == 0 && !(request->method == TP_HTTP_OPTIONS && is_server_wide)) {
        write_failure(exchange, 404, TP_STR("no such route; /openapi.json lists those there are"));
        return;
    }
    if (request->method == TP_HTTP_OPTIONS) {
        exchange->reply.status = 204;
    } else {
        write_failure(exchange, 405, TP_STR("this route does not know the method; see Allow"));
    }
    append_allow(&exchange->reply.headers, allowed);
}

static tapeout_status undo_coding(serve_exchange *exchange, tapeout_error *err)
{
    const tp_http_request *request = exchange->request;
    if (request->content_coding == TP_HTTP_IDENTITY) {
        exchange->body = tp_buffer_view(&request->body);
        return TAPEOUT_OK;
    }
    TP_TRY(tp_http_inflate(request->content_coding, tp_buffer_view(&request->body),
                           &exchange->inflated, err));
    exchange->body = tp_buffer_view(&exchange->inflated);
    return TAPEOUT_OK;
}

// Which bundle answered: also where the body's form has no place for it.
static void name_model(serve_exchange *exchange)
{
    const tp_served *model = exchange->model;
    tp_buffer *headers = &exchange->reply.headers;
    tp_buffer_append_str(headers, TP_STR("x-tapeout-model: "));
    tp_buffer_append_str(headers, model->header);
    tp_buffer_append_str(headers, TP_STR("\r\n"));
}

static void compress_reply(serve_exchange *exchange)
{
    tp_http_reply *reply = &exchange->reply;
    if (reply->body.size < COMPRESS_FROM_BYTES || exchange->is_verbatim) {
        return;
    }
    const tp_http_coding coding =
        tp_http_coding_accepted(tp_http_header_find(exchange->request, "accept-encoding"));
    tp_buffer_append_text(&reply->headers, "vary: accept-encoding\r\n");
    if (coding == TP_HTTP_IDENTITY) {
        return;
    }
    tp_buffer_clear(&exchange->scratch);
    // Without memory for it the reply goes out as it is.
    if (tp_http_deflate(coding, tp_buffer_view(&reply->body), &exchange->scratch, NULL) ==
            TAPEOUT_OK &&
        exchange->scratch.size < reply->body.size) {
        const tp_buffer plain = reply->body;
        reply->body = exchange->scratch;
        exchange->scratch = plain;
        tp_buffer_append_text(&reply->headers, coding == TP_HTTP_GZIP
                                                   ? "content-encoding: gzip\r\n"
                                                   : "content-encoding: deflate\r\n");
    }
}

// URLs are kept in logs, histories and proxies. Looked for as sent, and decoded once.
static bool has_key(tp_str target)
{
    char decoded[TP_MAX_HTTP_TARGET_BYTES];
    size_t size = 0;
    if (target.size == 0 || tp_api_key_is_within(target)) {
        return target.size > 0;
    }
    if (target.size > sizeof(decoded) || memchr(target.data, '%', target.size) == NULL) {
        return false;
    }
    for (size_t i = 0; i < target.size; i++) {
        const char *at = target.data + i;
        const int byte = *at == '%' && i + 2 < target.size ? tp_hex_byte(at + 1) : -1;
        decoded[size++] = byte < 0 ? *at : (char)byte;
        i += byte < 0 ? 0 : 2;
    }
    return tp_api_key_is_within((tp_str){decoded, size});
}

void tp_serve_exchange_begin(serve_exchange *exchange, const tp_http_request *request)
{
    exchange->request = request;
    exchange->route = tp_serve_route_find(request, exchange->params, &exchange->allowed_methods);
    exchange->has_key_in_target = has_key(request->target);
    tp_serve_authenticate(exchange);
}

bool tp_serve_exchange_is_barred(serve_exchange *exchange)
{
    if (exchange->has_key_in_target) {
        write_failure(
            exchange, 400,
            TP_STR("an API key in a URL is no secret any more: revoke it, and send keys in "
                   "the Authorization header"));
    } else if (exchange->route == NULL) {
        answer_without_route(exchange, exchange->allowed_methods);
    }
    return exchange->has_key_in_target || exchange->route == NULL;
}

void tp_serve_exchange_run(serve_exchange *exchange)
{
    if (tp_serve_exchange_is_barred(exchange)) {
        return;
    }
    tapeout_error *err = &exchange->error;
    tapeout_status status = tp_serve_admit(exchange, err);
    if (status == TAPEOUT_OK) {
        status = undo_coding(exchange, err);
    }
    if (status == TAPEOUT_OK) {
        status = exchange->route->handler(exchange, err);
    }
    if (!exchange->is_taken) {
        tp_serve_exchange_settle(exchange, status);
    }
}

void tp_serve_exchange_settle(serve_exchange *exchange, tapeout_status status)
{
    tapeout_error *err = &exchange->error;
    if (status == TAPEOUT_OK) {
        status = tp_buffer_check(&exchange->reply.body, "reply", err);
    }
    if (status != TAPEOUT_OK) {
        const int http_status =
            exchange->fail_status != 0 ? exchange->fail_status : tp_serve_http_status(status);
        if (http_status == 500 || status == TAPEOUT_E_FULL) {
            write_machine_failure(exchange, status);
        } else {
            write_failure(exchange, http_status, tp_str_from(err->message));
        }
        return;
    }
    if (exchange->model != NULL && exchange->route->right == TP_RIGHT_SCORE) {
        name_model(exchange);
    }
    tp_serve_limits_write(exchange, &exchange->reply.headers);
    compress_reply(exchange);
}

bool tp_serve_exchange_is_large(const serve_exchange *exchange)
{
    const tp_http_request *request = exchange->request;
    if (exchange->route != NULL &&
        (exchange->route->when == SERVE_LONG || exchange->route->when == SERVE_UPLOAD ||
         exchange->route->when == SERVE_SLOW)) {
        return true;
    }
    if (exchange->login == SERVE_LOGIN_PENDING) {
        return true;
    }
    return request->body.size > (request->content_coding == TP_HTTP_IDENTITY
                                     ? TP_SERVE_INLINE_BYTES
                                     : TP_SERVE_INLINE_CODED_BYTES);
}

static void note_idle(void *user, const tp_model_spec *spec)
{
    (void)spec; // that there is one is all
    *(bool *)user = true;
}

tapeout_status tp_serve_check_some(const serve_exchange *exchange, tapeout_error *err)
{
    bool is_idle = false;
    if (tp_engine_list(exchange->state->engine, NULL, 0) > 0) {
        return TAPEOUT_OK;
    }
    tp_engine_idle_each(exchange->state->engine, note_idle, &is_idle);
    if (is_idle) {
        return tp_fail(err, TAPEOUT_E_BUSY, "no model is loaded: name the one to load again");
    }
    return atomic_load_explicit(&exchange->state->is_ready, memory_order_acquire)
               ? tp_fail(err, TAPEOUT_E_NOT_FOUND, "no model is served here")
               : tp_fail(err, TAPEOUT_E_BUSY, "no model is loaded yet");
}

static tapeout_status fail_unserved(const serve_exchange *exchange, tapeout_error *err)
{
    const tp_str *params = exchange->params;
    TP_TRY(tp_serve_check_some(exchange, err));
    if (params[1].size > 0) {
        return tp_fail(err, TAPEOUT_E_NOT_FOUND, "no model \"%.*s\" of version \"%.*s\" is served",
                       TP_STR_ARGS(params[0]), TP_STR_ARGS(params[1]));
    }
    return tp_fail(err, TAPEOUT_E_NOT_FOUND, "no model \"%.*s\" is served", TP_STR_ARGS(params[0]));
}

// A model of which the caller may not know is answered like one that is not there, to the letter.
tapeout_status tp_serve_model_find(serve_exchange *exchange, tapeout_error *err)
{
    const tp_str tenant = tp_serve_tenant(exchange);
    if (!tp_principal_may(exchange->principal, TP_RIGHT_READ, tenant, exchange->params[0])) {
        return fail_unserved(exchange, err);
    }
    exchange->model =
        tp_engine_find(exchange->state->engine, tenant, exchange->params[0], exchange->params[1]);
    if (exchange->model == NULL) {
        return fail_unserved(exchange, err);
    }
    return tp_serve_require(exchange, exchange->route->right, exchange->model->name, err);
}

typedef struct model_search {
    const serve_exchange *exchange;
    bool (*kind)(const tp_served *model);
} model_search;

static bool is_wanted(void *user, const tp_served *model)
{
    const model_search *search = user;
    return search->kind(model) &&
           tp_principal_may(search->exchange->principal, search->exchange->route->right,
                            model->tenant, model->name);
}

tp_served *tp_serve_model_first(const serve_exchange *exchange,
                                bool (*kind)(const tp_served *model))
{
    model_search search = {exchange, kind};
    return tp_engine_first(exchange->state->engine, is_wanted, &search);
}

size_t tp_serve_models_list(const serve_exchange *exchange, tp_served **ret_models)
{
    tp_engine *engine = exchange->state->engine;
    const size_t count = tp_engine_list(engine, ret_models, TP_MAX_SERVED_MODELS);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (tp_principal_may(exchange->principal, TP_RIGHT_READ, ret_models[i]->tenant,
                             ret_models[i]->name)) {
            ret_models[kept++] = ret_models[i];
        } else {
            tp_engine_unref(engine, ret_models[i]);
        }
    }
    return kept;
}

tapeout_status tp_serve_table_find(serve_exchange *exchange, tapeout_error *err)
{
    TP_TRY(tp_serve_model_find(exchange, err));
    if (exchange->model->scorer == NULL) {
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                       "\"%.*s\" is a language model; ask it by /v1/chat/completions",
                       TP_STR_ARGS(exchange->model->name));
    }
    return TAPEOUT_OK;
}

static bool is_table(const tp_served *model)
{
    return model->scorer != NULL;
}

tapeout_status tp_serve_table_first(serve_exchange *exchange, tapeout_error *err)
{
    exchange->model = tp_serve_model_first(exchange, is_table);
    if (exchange->model != NULL) {
        return TAPEOUT_OK;
    }
    TP_TRY(tp_serve_check_some(exchange, err));
    return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                   "only language models are served; ask them by /v1/chat/completions");
}

tapeout_status tp_serve_body_json(serve_exchange *exchange, yyjson_doc **ret_doc,
                                  tapeout_error *err)
{
    if (exchange->body.size == 0) {
        return tp_fail(err, TAPEOUT_E_INVALID, "the request has no body; JSON is expected");
    }
    const tapeout_status status =
        tp_json_parse(exchange->state->env->alloc, exchange->body, "request body", ret_doc, err);
    // Nesting too deep is the client's mistake in form, not in size.
    return status == TAPEOUT_E_LIMIT || status == TAPEOUT_E_CORRUPT ? TAPEOUT_E_INVALID : status;
}
