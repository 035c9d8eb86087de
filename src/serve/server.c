// SPDX-License-Identifier: Apache-2.0
//
// The life of a server: start the loops, load, announce, answer, drain, end. Opening and closing
// stand in server_open.c, loading in server_load.c. Probes are answered from the first moment,
// models as soon as they are loaded; the line that says "listening" waits for the models, but not
// longer than two seconds, so that who waits for it finds a server that answers.
//
// Draining: readiness falls at once, while connections are still accepted for half a second, so
// that a balancer has seen it; then the listener and idle connections are closed, and what is under
// way is finished, within a limit. A second request to stop takes no such time.
//
// Everything that decides runs on loop 0: signals, stop and reload only wake it.
#include "serve/server_priv.h"

#include "base/limits.h"
#include "base/tp_error.h"
#include "serve/serve_log.h"

#include <signal.h>
#include <sys/resource.h>

enum { ANNOUNCE_MS = 2000, DRAIN_GRACE_MS = 500 };

// -- log -----------------------------------------------------------------------------------------
void tp_server_log_models(struct tapeout_server *server, tp_buffer *log)
{
    tp_served *models[TP_MAX_SERVED_MODELS];
    const size_t count = tp_engine_list(server->state.engine, models, TP_MAX_SERVED_MODELS);
    for (size_t i = 0; i < count; i++) {
        tp_serve_log_begin(log, "model");
        tp_serve_log_str(log, "model", models[i]->name);
        tp_serve_log_str(log, "version", models[i]->version);
        tp_serve_log_str(log, "sha256", tp_str_from(models[i]->sha256));
        tp_serve_log_str(log, "path", tp_str_from(models[i]->path));
        tp_serve_log_str(log, "signed", tp_str_from(models[i]->admitted.signers));
        tp_serve_log_end(log);
        tp_engine_unref(server->state.engine, models[i]);
    }
}

void tp_server_announce(struct tapeout_server *server)
{
    if (server->is_announced) {
        return;
    }
    server->is_announced = true;
    tp_buffer log;
    tp_buffer_init(&log, server->env.alloc, TP_MAX_SERVE_LOG_BYTES);
    tp_serve_log_begin(&log, "listening");
    tp_serve_log_str(&log, "url", tp_str_from(server->url));
    tp_serve_log_u64(&log, "threads", server->shard_count);
    tp_buffer_append_text(&log, atomic_load(&server->state.is_ready) ? ",\"ready\":true"
                                                                     : ",\"ready\":false");
    tp_serve_log_str(&log, "try", TP_STR("curl -d '{...}' URL/score"));
    tp_serve_log_end(&log);
    tp_server_log_models(server, &log);
    tp_server_log(server, &log);
    tp_buffer_deinit(&log);
}

void tp_server_log_event(struct tapeout_server *server, const char *event, const char *message)
{
    tp_buffer log;
    tp_buffer_init(&log, server->env.alloc, TP_MAX_SERVE_LOG_BYTES);
    tp_serve_log_begin(&log, event);
    if (message != NULL) {
        tp_serve_log_str(&log, "error", tp_str_from(message));
    }
    tp_serve_log_end(&log);
    tp_server_log(server, &log);
    tp_buffer_deinit(&log);
}

// -- the end -------------------------------------------------------------------------------------
static void set_phase(struct tapeout_server *server, tp_loop_phase phase)
{
    for (uint32_t i = 0; i < server->shard_count; i++) {
        tp_loop_phase_set(server->shards[i].loop, phase);
    }
}

static void on_kill_timer(uv_timer_t *timer)
{
    struct tapeout_server *server = timer->data;
    tp_server_log_event(server, "drain_timeout",
                        "requests were still under way; their connections are closed");
    set_phase(server, TP_LOOP_KILL);
}

static void stop_accepting(struct tapeout_server *server)
{
    set_phase(server, TP_LOOP_STOP);
    // Only fails for a timer that is being closed.
    (void)uv_timer_start(&server->timer, on_kill_timer, server->config->drain_ms, 0);
}

static void on_grace_timer(uv_timer_t *timer)
{
    stop_accepting(timer->data);
}

void tp_server_drain(struct tapeout_server *server, bool is_urgent)
{
    atomic_store_explicit(&server->state.is_ready, false, memory_order_release);
    if (!server->is_draining) {
        server->is_draining = true;
        tp_server_log_event(server, "draining", NULL);
        set_phase(server, TP_LOOP_DRAIN);
        if (!is_urgent) {
            (void)uv_timer_start(&server->timer, on_grace_timer, DRAIN_GRACE_MS, 0);
            return;
        }
    }
    stop_accepting(server);
}

// -- what wakes loop 0 ---------------------------------------------------------------------------
static void on_announce_timer(uv_timer_t *timer)
{
    tp_server_announce(timer->data);
}

void tp_server_on_wake(uv_async_t *async)
{
    struct tapeout_server *server = async->data;
    if (atomic_exchange(&server->reload_wanted, false) && !server->is_draining) {
        tp_server_load_start(server);
    }
    const uint32_t stops = atomic_load(&server->stop_count);
    if (stops > 0 && (!server->is_draining || stops > 1)) {
        tp_server_drain(server, stops > 1);
    }
    // Loop 0 outlives the others, for it holds the timer that ends them.
    if (atomic_load(&server->ended_count) == server->shard_count - 1) {
        uv_unref((uv_handle_t *)&server->wake);
    }
}

void tp_server_on_signal(uv_signal_t *handle, int number)
{
    struct tapeout_server *server = handle->data;
    if (number == SIGHUP) {
        tapeout_server_reload(server);
        return;
    }
    if (number == SIGINT) {
        atomic_fetch_add(&server->stop_count, 1); // a person waits: no grace
    }
    tapeout_server_stop(server);
}

void tapeout_server_stop(tapeout_server *server)
{
    atomic_fetch_add(&server->stop_count, 1);
    (void)uv_async_send(&server->wake); // cannot fail while the server is open
}

void tapeout_server_reload(tapeout_server *server)
{
    atomic_store(&server->reload_wanted, true);
    (void)uv_async_send(&server->wake);
}

// -- running -------------------------------------------------------------------------------------
static void *run_shard(void *user)
{
    server_shard *shard = user;
    tp_loop_run(shard->loop);
    atomic_fetch_add(&shard->server->ended_count, 1);
    (void)uv_async_send(&shard->server->wake); // loop 0 is still running
    return NULL;
}

// Each connection takes a descriptor; the usual soft limit of 1024 would be reached first.
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit); // with the old limit there are fewer connections
    }
}

static tapeout_status start_threads(struct tapeout_server *server, tapeout_error *err)
{
    for (uint32_t i = 1; i < server->shard_count; i++) {
        server_shard *shard = &server->shards[i];
        if (pthread_create(&shard->thread, NULL, run_shard, shard) != 0) {
            atomic_fetch_add(&server->ended_count, server->shard_count - i);
            return tp_fail(err, TAPEOUT_E_BUSY, "cannot start %u threads", server->shard_count);
        }
        shard->has_thread = true;
    }
    return TAPEOUT_OK;
}

tapeout_status tapeout_server_run(tapeout_server *server, tapeout_error *err)
{
    // A peer that has gone must not end the process; threads made here inherit the mask.
    sigset_t pipe_signal;
    sigset_t old_mask;
    (void)sigemptyset(&pipe_signal);
    (void)sigaddset(&pipe_signal, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &pipe_signal, &old_mask);
    raise_descriptor_limit();
    tapeout_status status = start_threads(server, err);
    if (status == TAPEOUT_OK) {
        status = tp_server_access_start(server, err);
    }
    if (status == TAPEOUT_OK) {
        tp_server_tls_start(server);
        if (server->options.no_auth) {
            tp_server_log_event(server, "no_auth",
                                "anybody who reaches this address may do everything");
        }
        tp_server_load_start(server);
        tp_server_watch_start(server);
        (void)uv_timer_start(&server->timer, on_announce_timer, ANNOUNCE_MS, 0);
    } else {
        tp_server_drain(server, true);
    }
    tp_loop_run(server->shards[0].loop);
    for (uint32_t i = 1; i < server->shard_count; i++) {
        if (server->shards[i].has_thread) {
            (void)pthread_join(server->shards[i].thread, NULL);
        }
    }
    tp_server_access_stop(server);
    for (uint32_t i = 0; i < server->shard_count; i++) {
        tp_server_turned(&server->shards[i]);
    }
    (void)pthread_sigmask(SIG_SETMASK, &old_mask, NULL);
    if (status == TAPEOUT_OK && server->run_status != TAPEOUT_OK) {
        return tp_fail(err, server->run_status, "%s", server->load_error.message);
    }
    if (status == TAPEOUT_OK) {
        tp_server_log_event(server, "stopped", NULL);
    }
    return status;
}

tapeout_status tapeout_serve_run(tapeout_context *context, const tapeout_serve_options *options,
                                 tapeout_error *err)
{
    tapeout_server *server = NULL;
    TP_TRY(tapeout_server_open(context, options, &server, err));
    const tapeout_status status = tapeout_server_run(server, err);
    tapeout_server_close(&server);
    return status;
}
