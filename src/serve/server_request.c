// SPDX-License-Identifier: Apache-2.0
//
// What happens to a request between the loop and its handler: small ones run at once on the loop's
// thread, others as jobs (server_job.c); each is counted, and logged in one line. Lines are
// gathered over a turn of the loop and handed on together.
#include "serve/server_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_clock.h"
#include "serve/serve_audit.h"
#include "serve/serve_log.h"

#include <string.h>

// A slot for each status that this server sends; what is not listed shares the last.
static uint32_t status_slot(int status)
{
    static const int statuses[SERVER_STATUS_SLOTS - 1] = {200, 204, 400, 401, 403, 404, 405, 406,
                                                          408, 409, 413, 414, 415, 417, 429, 431,
                                                          499, 500, 501, 503, 504, 505, 0};
    uint32_t slot = 0;
    while (slot < SERVER_STATUS_SLOTS - 1 && statuses[slot] != status) {
        slot++;
    }
    return slot;
}

static uint32_t route_slot(const serve_route *route)
{
    return route == NULL ? SERVER_MAX_ROUTES : (uint32_t)(route - tp_serve_routes);
}

static tp_str route_label(const serve_route *route)
{
    return route == NULL ? TP_STR("other") : tp_str_from(route->pattern);
}

static uint32_t request_series(struct tapeout_server *server, const serve_route *route,
                               tp_http_method method, int status)
{
    atomic_uint *place = &server->series[route_slot(route)][method][status_slot(status)];
    // Acquired, so that whoever has a series' number sees the series too.
    uint32_t known = atomic_load_explicit(place, memory_order_acquire);
    if (known == 0) {
        char code[16];
        const int size = snprintf(code, sizeof(code), "%d", status);
        const tp_str values[3] = {
            route_label(route), tp_str_from(tp_http_method_name(method)), {code, (size_t)size}};
        known = tp_monitor_series(server->state.monitor, METRIC_REQUESTS, values) + 1;
        atomic_store_explicit(place, known, memory_order_release);
    }
    return known - 1;
}

static uint32_t duration_series(struct tapeout_server *server, const serve_route *route)
{
    atomic_uint *place = &server->route_series[route_slot(route)];
    uint32_t known = atomic_load_explicit(place, memory_order_acquire);
    if (known == 0) {
        const tp_str values[1] = {route_label(route)};
        known = tp_monitor_series(server->state.monitor, METRIC_REQUEST_SECONDS, values) + 1;
        atomic_store_explicit(place, known, memory_order_release);
    }
    return known - 1;
}

// The model's series are found once, by whoever counts first; lock order: kit_lock, then the
// monitor's own.
static void find_model_series(tp_monitor *monitor, tp_served *model)
{
    const tp_str ok[3] = {model->name, model->version, TP_STR("ok")};
    const tp_str failed[3] = {model->name, model->version, TP_STR("error")};
    const tp_str info[3] = {model->name, model->version, tp_str_from(model->sha256)};
    (void)pthread_mutex_lock(&model->kit_lock);
    if (atomic_load_explicit(&model->has_series, memory_order_relaxed)) {
        (void)pthread_mutex_unlock(&model->kit_lock);
        return;
    }
    model->series[0] = tp_monitor_series(monitor, METRIC_MODEL_REQUESTS, ok);
    model->series[1] = tp_monitor_series(monitor, METRIC_MODEL_REQUESTS, failed);
    model->series[2] = tp_monitor_series(monitor, METRIC_MODEL_ROWS, ok);
    model->series[3] = tp_monitor_series(monitor, METRIC_MODEL_UNSEEN, ok);
    model->series[4] = tp_monitor_series(monitor, METRIC_MODEL_SECONDS, ok);
    tp_monitor_set(monitor, tp_monitor_series(monitor, METRIC_MODEL_INFO, info), 1);
    atomic_store_explicit(&model->has_series, true, memory_order_release);
    (void)pthread_mutex_unlock(&model->kit_lock);
}

static void count_model(server_shard *shard, const serve_exchange *exchange, uint64_t took_ns)
{
    tp_served *model = exchange->model;
    tp_served_stats *stats = &model->stats;
    tp_monitor *monitor = exchange->state->monitor;
    const bool is_good = exchange->reply_status < 400;
    atomic_fetch_add_explicit(is_good ? &stats->success_count : &stats->fail_count, 1,
                              memory_order_relaxed);
    atomic_fetch_add_explicit(is_good ? &stats->success_ns : &stats->fail_ns, took_ns,
                              memory_order_relaxed);
    atomic_store_explicit(&stats->last_ms, (uint64_t)(tp_clock_unix_us() / 1000),
                          memory_order_relaxed);
    if (!atomic_load_explicit(&model->has_series, memory_order_acquire)) {
        find_model_series(monitor, model);
    }
    tp_monitor_add(monitor, shard->index, model->series[is_good ? 0 : 1], 1);
    tp_monitor_add(monitor, shard->index, model->series[2], exchange->row_count);
    tp_monitor_add(monitor, shard->index, model->series[3], exchange->unseen_count);
    if (exchange->row_count > 0) {
        tp_monitor_observe(monitor, shard->index, model->series[4], exchange->compute_ns);
    }
}

// A query may hold anything, tokens too.
static tp_str without_query(tp_str target)
{
    const char *mark = memchr(target.data, '?', target.size);
    return (tp_str){target.data, mark == NULL ? target.size : (size_t)(mark - target.data)};
}

static void log_request(server_shard *shard, const serve_exchange *exchange, uint64_t took_ns)
{
    const tp_http_request *request = exchange->request;
    tp_buffer *log = &shard->log;
    tp_serve_log_begin(log, "request");
    tp_serve_log_str(log, "id", tp_str_from(request->id));
    if (request->trace_id[0] != '\0') {
        tp_serve_log_str(log, "trace_id", tp_str_from(request->trace_id));
    }
    tp_serve_log_str(log, "method", tp_str_from(tp_http_method_name(request->method)));
    tp_serve_log_str(log, "route", route_label(exchange->route));
    if (exchange->route == NULL && !exchange->has_key_in_target) {
        tp_serve_log_str(log, "target", without_query(request->target));
    }
    tp_serve_log_u64(log, "status", (uint64_t)exchange->reply_status);
    if (exchange->principal != NULL && exchange->auth != NULL) {
        tp_serve_log_str(log, "by", exchange->principal->id);
        tp_serve_log_str(log, "tenant", exchange->principal->tenant);
    }
    if (exchange->login_why != NULL) {
        tp_serve_log_str(log, "refused", tp_str_from(exchange->login_why));
    }
    tp_serve_log_ms(log, "ms", took_ns);
    tp_serve_log_u64(log, "bytes_in", request->body_bytes);
    tp_serve_log_u64(log, "bytes_out", exchange->reply_bytes);
    if (exchange->model != NULL) {
        tp_serve_log_str(log, "model", exchange->model->name);
        tp_serve_log_str(log, "version", exchange->model->version);
        tp_serve_log_u64(log, "rows", exchange->row_count);
    }
    if (exchange->error.message[0] != '\0') {
        tp_serve_log_str(log, "error", tp_str_from(exchange->error.message));
    }
    tp_serve_log_end(log);
}

// A turn with more lines than the buffer holds loses the rest, and says how many.
void tp_server_log_settle(server_shard *shard, size_t size_before)
{
    if (shard->log.status != TAPEOUT_OK) {
        shard->log.size = size_before;
        shard->log.status = TAPEOUT_OK;
        tp_monitor_add(shard->server->state.monitor, shard->index, METRIC_LOG_DROPPED, 1);
    }
}

void tp_server_account(server_shard *shard, const serve_exchange *exchange)
{
    struct tapeout_server *server = shard->server;
    const tp_http_request *request = exchange->request;
    const uint64_t took_ns = tp_clock_monotonic_ns() - request->begin_ns;
    tp_monitor *monitor = server->state.monitor;
    tp_monitor_add(monitor, shard->index,
                   request_series(server, exchange->route, request->method, exchange->reply_status),
                   1);
    tp_monitor_observe(monitor, shard->index, duration_series(server, exchange->route), took_ns);
    if (exchange->model != NULL && exchange->route->right == TP_RIGHT_SCORE) {
        count_model(shard, exchange, took_ns);
    }
    if (exchange->login_why != NULL) {
        tp_serve_audit_refused(exchange);
    }
    if (server->config->logs_requests) {
        const size_t size_before = shard->log.size;
        log_request(shard, exchange, took_ns);
        tp_server_log_settle(shard, size_before);
    }
}

void tp_server_handle(void *user, tp_client *client)
{
    server_shard *shard = user;
    serve_exchange *exchange = &shard->exchange;
    const tp_http_request *request = &client->http.request;
    if (client->http.upload_step != TP_HTTP_UPLOAD_NONE) {
        tp_server_upload_step(shard, client);
        return;
    }
    exchange->auth = shard->auth;
    memcpy(exchange->peer, client->peer, sizeof(exchange->peer));
    tp_serve_exchange_begin(exchange, request);
    const bool is_later = exchange->route != NULL && exchange->route->when >= SERVE_LATER;
    // Where no other thread is to be had, the loop does it itself: slowly is better than not.
    if ((is_later || tp_serve_exchange_is_large(exchange)) &&
        tp_server_job_start(shard, client, is_later)) {
        tp_serve_exchange_clear(exchange);
        return;
    }
    tp_serve_exchange_run(exchange);
    exchange->reply_status = exchange->reply.status;
    exchange->reply_bytes = tp_http_reply_size(&exchange->reply);
    tp_server_account(shard, exchange);
    tp_serve_auth_settle(exchange);
    tp_http_connection_reply(&client->http, &exchange->reply);
    tp_serve_exchange_clear(exchange);
}

void tp_server_refused(void *user, tp_client *client, int status, const char *why)
{
    server_shard *shard = user;
    struct tapeout_server *server = shard->server;
    const tp_http_request *request = &client->http.request;
    tp_monitor_add(server->state.monitor, shard->index,
                   request_series(server, NULL, TP_HTTP_OTHER, status), 1);
    if (server->config->logs_requests) {
        const size_t size_before = shard->log.size;
        tp_serve_log_begin(&shard->log, "refused");
        tp_serve_log_str(&shard->log, "id", tp_str_from(request->id));
        tp_serve_log_u64(&shard->log, "status", (uint64_t)status);
        tp_serve_log_str(&shard->log, "error", tp_str_from(why));
        tp_serve_log_end(&shard->log);
        tp_server_log_settle(shard, size_before);
    }
}

void tp_server_log(struct tapeout_server *server, const tp_buffer *lines)
{
    if (server->options.log != NULL && lines->size > 0) {
        (void)pthread_mutex_lock(&server->log_lock);
        server->options.log(server->options.log_user, lines->data, lines->size);
        (void)pthread_mutex_unlock(&server->log_lock);
    }
}

void tp_server_turned(void *user)
{
    server_shard *shard = user;
    tp_server_uploads_start(shard);
    if (shard->log.size > 0) {
        tp_server_log(shard->server, &shard->log);
        tp_buffer_clear(&shard->log);
    }
}
