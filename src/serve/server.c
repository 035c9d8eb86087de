// SPDX-License-Identifier: Apache-2.0
//
// The life of a server: bind, start the loops, load, announce, answer, drain, end. Probes are
// answered from the first moment, models as soon as they are loaded; the line that says "listening"
// waits for the models, but not longer than two seconds, so that who waits for it finds a server
// that answers.
//
// Draining: readiness falls at once, while connections are still accepted for half a second, so
// that a balancer has seen it; then the listener and idle connections are closed, and what is under
// way is finished, within a limit. A second request to stop takes no such time.
//
// Everything that decides runs on loop 0: signals, stop and reload only wake it.
#include "serve/server_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_clock.h"
#include "base/tp_context.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "base/tp_random.h"
#include "serve/serve_log.h"
#include "table/tp_json.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <tapeout/registry.h>
#include <unistd.h>

enum { ANNOUNCE_MS = 2000, DRAIN_GRACE_MS = 500, DEFAULT_MAX_THREADS = 8 };

void tapeout_serve_options_init(tapeout_serve_options *options)
{
    memset(options, 0, sizeof(*options));
    options->struct_size = sizeof(*options);
}

// -- log -----------------------------------------------------------------------------------------
static void log_models(struct tapeout_server *server, tp_buffer *log)
{
    tp_served *models[TP_MAX_SERVED_MODELS];
    const size_t count = tp_engine_list(server->state.engine, models, TP_MAX_SERVED_MODELS);
    for (size_t i = 0; i < count; i++) {
        tp_serve_log_begin(log, "model");
        tp_serve_log_str(log, "model", models[i]->name);
        tp_serve_log_str(log, "version", models[i]->version);
        tp_serve_log_str(log, "sha256", tp_str_from(models[i]->sha256));
        tp_serve_log_str(log, "path", tp_str_from(models[i]->path));
        tp_serve_log_end(log);
        tp_engine_unref(server->state.engine, models[i]);
    }
}

static void announce(struct tapeout_server *server)
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
    log_models(server, &log);
    tp_server_log(server, &log);
    tp_buffer_deinit(&log);
}

static void log_event(struct tapeout_server *server, const char *event, const char *message)
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
    log_event(server, "drain_timeout",
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

static void drain(struct tapeout_server *server, bool is_urgent)
{
    atomic_store_explicit(&server->state.is_ready, false, memory_order_release);
    if (!server->is_draining) {
        server->is_draining = true;
        log_event(server, "draining", NULL);
        set_phase(server, TP_LOOP_DRAIN);
        if (!is_urgent) {
            (void)uv_timer_start(&server->timer, on_grace_timer, DRAIN_GRACE_MS, 0);
            return;
        }
    }
    stop_accepting(server);
}

// -- loading -------------------------------------------------------------------------------------
// What was written, as paths: a registered name leads to its blob, and brings name and version.
static tapeout_status resolve_models(struct tapeout_server *server, tp_arena *arena,
                                     tp_model_spec *ret_specs, tapeout_error *err)
{
    const tp_serve_config *config = server->config;
    tapeout_model_ref ref;
    for (size_t i = 0; i < config->model_count; i++) {
        TP_TRY(tapeout_registry_resolve(server->context, config->models[i].path, &ref, err));
        tp_model_spec *spec = &ret_specs[i];
        *spec = config->models[i];
        spec->path = tp_arena_str(arena, tp_str_from(ref.path)).data;
        if (ref.is_registered && spec->name.size == 0) {
            spec->name = tp_arena_str(arena, tp_str_from(ref.name));
        }
        if (ref.is_registered && spec->version.size == 0) {
            char number[24];
            const int size =
                snprintf(number, sizeof(number), "%llu", (unsigned long long)ref.version);
            spec->version = tp_arena_str(arena, (tp_str){number, (size_t)size});
        }
        if (spec->path == NULL) {
            return tp_fail_nomem(err);
        }
    }
    return TAPEOUT_OK;
}

// Finding and loading what is to be served; without `install` only the former.
static tapeout_status load_models(struct tapeout_server *server, bool install, tapeout_error *err)
{
    const tapeout_allocator *alloc = server->env.alloc;
    const size_t count = server->config->model_count;
    tp_model_spec *specs = tp_alloc_array(alloc, count + 1, sizeof(*specs));
    if (specs == NULL) {
        return tp_fail_nomem(err);
    }
    tp_arena arena;
    tp_arena_init(&arena, alloc, TP_MAX_SERVED_TEXT_BYTES);
    tapeout_status status = resolve_models(server, &arena, specs, err);
    if (status == TAPEOUT_OK && install) {
        status = tp_engine_install(server->state.engine, specs, count, &server->loaded_count, err);
    }
    tp_arena_deinit(&arena);
    tp_free_array(alloc, specs, count + 1, sizeof(*specs));
    return status;
}

static void on_load(uv_work_t *work)
{
    struct tapeout_server *server = work->data;
    server->load_error = (tapeout_error){0};
    server->load_status = load_models(server, true, &server->load_error);
}

static void start_load(struct tapeout_server *server);

static void log_reload(struct tapeout_server *server)
{
    tp_buffer log;
    tp_buffer_init(&log, server->env.alloc, TP_MAX_SERVE_LOG_BYTES);
    tp_serve_log_begin(&log, "reloaded");
    tp_serve_log_u64(&log, "loaded", server->loaded_count);
    tp_serve_log_end(&log);
    log_models(server, &log);
    tp_server_log(server, &log);
    tp_buffer_deinit(&log);
}

static void on_loaded(uv_work_t *work, int status)
{
    (void)status; // never cancelled
    struct tapeout_server *server = work->data;
    server->is_loading = false;
    const bool was_ready = tp_engine_list(server->state.engine, NULL, 0) > 0 && server->has_loaded;
    if (server->load_status == TAPEOUT_OK && !server->is_draining) {
        atomic_store_explicit(&server->state.is_ready, true, memory_order_release);
    }
    if (server->load_status == TAPEOUT_OK && !was_ready) {
        server->has_loaded = true;
        announce(server);
    } else if (server->load_status == TAPEOUT_OK) {
        log_reload(server);
    } else if (was_ready) {
        // What was served before is served on.
        log_event(server, "reload_failed", server->load_error.message);
    } else {
        server->run_status = server->load_status;
        drain(server, true);
    }
    if (server->load_again && !server->is_draining) {
        start_load(server);
    }
}

// Reads the configuration again; the first load uses what the server was opened with.
static tapeout_status reread_config(struct tapeout_server *server, tapeout_error *err)
{
    const tapeout_allocator *alloc = server->env.alloc;
    if (server->options.config == NULL || !server->has_loaded) {
        return TAPEOUT_OK;
    }
    tp_serve_config *fresh = tp_alloc(alloc, sizeof(*fresh));
    if (fresh == NULL) {
        return tp_fail_nomem(err);
    }
    tp_serve_config_init(fresh, alloc);
    tapeout_serve_options options = server->options;
    options.model_count = 0; // a server with models of its own has none from the file
    const tapeout_status status =
        server->options.model_count > 0 ? TAPEOUT_OK : tp_serve_config_load(fresh, &options, err);
    if (status == TAPEOUT_OK && server->options.model_count == 0) {
        // Only the models change; addresses, threads and limits stay as long as the process.
        memcpy(server->config->models, fresh->models, sizeof(fresh->models));
        server->config->model_count = fresh->model_count;
        const tp_arena old = server->models_arena;
        server->models_arena = fresh->arena;
        tp_arena_init(&fresh->arena, alloc, 0);
        tp_arena gone = old;
        tp_arena_deinit(&gone);
    }
    tp_serve_config_deinit(fresh);
    tp_free(alloc, fresh, sizeof(*fresh));
    return status;
}

static void start_load(struct tapeout_server *server)
{
    if (server->is_loading) {
        server->load_again = true;
        return;
    }
    server->load_again = false;
    tapeout_error error = {0};
    if (reread_config(server, &error) != TAPEOUT_OK) {
        log_event(server, "reload_failed", error.message);
        return;
    }
    server->load.data = server;
    server->is_loading = true;
    // Fails only without a work function.
    (void)uv_queue_work(tp_loop_uv(server->shards[0].loop), &server->load, on_load, on_loaded);
}

// -- what wakes loop 0 ---------------------------------------------------------------------------
static void on_announce_timer(uv_timer_t *timer)
{
    announce(timer->data);
}

static void on_wake(uv_async_t *async)
{
    struct tapeout_server *server = async->data;
    if (atomic_exchange(&server->reload_wanted, false) && !server->is_draining) {
        start_load(server);
    }
    const uint32_t stops = atomic_load(&server->stop_count);
    if (stops > 0 && (!server->is_draining || stops > 1)) {
        drain(server, stops > 1);
    }
    // Loop 0 outlives the others, for it holds the timer that ends them.
    if (atomic_load(&server->ended_count) == server->shard_count - 1) {
        uv_unref((uv_handle_t *)&server->wake);
    }
}

static void on_signal(uv_signal_t *handle, int number)
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

// -- opening -------------------------------------------------------------------------------------
static tapeout_status bind_address(struct tapeout_server *server, tapeout_error *err)
{
    struct sockaddr_storage address;
    TP_TRY(tp_serve_address_parse(server->config->listen, &address, err));
    const int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return tp_fail_errno(err, errno, "cannot make a socket");
    }
    server->listen_fd = fd;
    const int on = 1;
    socklen_t size =
        address.ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)); // only a quicker restart
    if (bind(fd, (struct sockaddr *)&address, size) != 0 || listen(fd, SOMAXCONN) != 0) {
        return errno == EADDRINUSE
                   ? tp_fail(err, TAPEOUT_E_EXISTS,
                             "%s is in use by another process; listen on another port",
                             server->config->listen)
                   : tp_fail_errno(err, errno, "cannot listen on %s", server->config->listen);
    }
    size = sizeof(address);
    char host[64] = "";
    if (getsockname(fd, (struct sockaddr *)&address, &size) != 0) {
        return tp_fail_errno(err, errno, "cannot tell the port");
    }
    const bool is_v4 = address.ss_family == AF_INET;
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address;
    server->port = ntohs(is_v4 ? v4->sin_port : v6->sin6_port);
    (void)inet_ntop(address.ss_family, is_v4 ? (const void *)&v4->sin_addr : &v6->sin6_addr, host,
                    sizeof(host)); // large enough for either
    (void)snprintf(server->url, sizeof(server->url), is_v4 ? "http://%s:%u" : "http://[%s]:%u",
                   host, server->port);
    return TAPEOUT_OK;
}

static tapeout_status open_shard(struct tapeout_server *server, uint32_t index, tapeout_error *err)
{
    server_shard *shard = &server->shards[index];
    const tp_serve_config *config = server->config;
    shard->server = server;
    shard->index = index;
    tp_serve_exchange_init(&shard->exchange, &server->state);
    tp_buffer_init(&shard->log, server->env.alloc, TP_MAX_SERVE_LOG_BYTES);
    uint64_t seed = tp_clock_monotonic_ns() ^ (uint64_t)tp_clock_unix_us() << 20;
    // Ids need to differ, not to be secret; the clock's is enough where the system gives none.
    (void)uv_random(NULL, NULL, &seed, sizeof(seed), 0, NULL);
    const tp_loop_options options = {
        .alloc = server->env.alloc,
        .listen_fd = server->listen_fd,
        .max_connections = config->max_connections / server->shard_count + 1,
        .max_body_bytes = (size_t)config->max_body_bytes,
        .id_seed = seed,
        .timeouts = config->timeouts,
        .handle = tp_server_handle,
        .refused = tp_server_refused,
        .turned = tp_server_turned,
        .user = shard,
    };
    return tp_loop_new(&options, &shard->loop, err);
}

static tapeout_status open_handles(struct tapeout_server *server, tapeout_error *err)
{
    uv_loop_t *uv = tp_loop_uv(server->shards[0].loop);
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    int code = uv_async_init(uv, &server->wake, on_wake);
    server->wake.data = server->timer.data = server;
    if (code == 0) {
        code = uv_timer_init(uv, &server->timer);
        uv_unref((uv_handle_t *)&server->timer);
    }
    for (size_t i = 0; code == 0 && server->options.handle_signals && i < 3; i++) {
        code = uv_signal_init(uv, &server->signals[i]);
        server->signals[i].data = server;
        if (code == 0) {
            code = uv_signal_start(&server->signals[i], on_signal, numbers[i]);
            uv_unref((uv_handle_t *)&server->signals[i]);
        }
    }
    if (server->shard_count == 1) {
        uv_unref((uv_handle_t *)&server->wake);
    }
    return code == 0
               ? TAPEOUT_OK
               : tp_fail(err, TAPEOUT_E_IO, "cannot set up the server: %s", uv_strerror(code));
}

static tapeout_status open_parts(struct tapeout_server *server, tapeout_error *err)
{
    const tapeout_allocator *alloc = server->env.alloc;
    server->config = tp_alloc(alloc, sizeof(*server->config));
    if (server->config == NULL) {
        return tp_fail_nomem(err);
    }
    tp_serve_config_init(server->config, alloc);
    TP_TRY(tp_serve_config_load(server->config, &server->options, err));
    TP_TRY(load_models(server, false, err));
    TP_TRY(bind_address(server, err));
    const uint32_t processors = tp_processor_count();
    const uint32_t usual = processors < DEFAULT_MAX_THREADS ? processors : DEFAULT_MAX_THREADS;
    const uint32_t count = server->config->thread_count > 0 ? server->config->thread_count : usual;
    if (count > TP_MAX_THREADS) {
        return tp_fail(err, TAPEOUT_E_INVALID, "%u threads, at most %u", count, TP_MAX_THREADS);
    }
    TP_TRY(tp_engine_new(&server->env, &server->state.engine, err));
    TP_TRY(tp_monitor_new(alloc, tp_server_families, METRIC_COUNT, count, &server->state.monitor,
                          err));
    const tp_str version = tp_str_from(tapeout_version());
    tp_monitor_set(server->state.monitor,
                   tp_monitor_series(server->state.monitor, METRIC_BUILD, &version), 1);
    server->state.env = &server->env;
    server->state.max_body_bytes = (size_t)server->config->max_body_bytes;
    server->state.max_rows = server->config->max_rows;
    server->state.refresh_metrics = tp_server_refresh_metrics;
    server->state.user = server;
    server->shards = tp_alloc_array_zero(alloc, count, sizeof(*server->shards));
    if (server->shards == NULL) {
        return tp_fail_nomem(err);
    }
    server->shard_count = count;
    for (uint32_t i = 0; i < count; i++) {
        TP_TRY(open_shard(server, i, err));
    }
    // The loops have duplicates; with this one open too the kernel would go on accepting after
    // them.
    (void)close(server->listen_fd);
    server->listen_fd = -1;
    return open_handles(server, err);
}

tapeout_status tapeout_server_open(tapeout_context *context, const tapeout_serve_options *options,
                                   tapeout_server **ret_server, tapeout_error *err)
{
    if (context == NULL || options == NULL || ret_server == NULL ||
        options->struct_size != sizeof(*options)) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "tapeout_server_open: fill the options with tapeout_serve_options_init");
    }
    if (!options->no_auth) {
        return tp_fail(err, TAPEOUT_E_DENIED,
                       "serving needs --no-auth: there are no identities yet, so anybody on this "
                       "machine can ask the models; say so aloud to start");
    }
    const tp_env *env = tp_context_env(context);
    tapeout_server *server = tp_alloc_zero(env->alloc, sizeof(*server));
    if (server == NULL) {
        return tp_fail_nomem(err);
    }
    server->context = context;
    server->options = *options;
    server->env = *env;
    server->env.pool = NULL;
    server->env.progress = NULL;
    server->listen_fd = -1;
    tp_arena_init(&server->models_arena, env->alloc, 0);
    (void)pthread_mutex_init(&server->log_lock, NULL); // cannot fail with default attributes
    const tapeout_status status = open_parts(server, err);
    if (status != TAPEOUT_OK) {
        tapeout_server_close(&server);
        return status;
    }
    *ret_server = server;
    return TAPEOUT_OK;
}

uint16_t tapeout_server_port(const tapeout_server *server)
{
    return server->port;
}

void tapeout_server_close(tapeout_server **server_place)
{
    tapeout_server *server = *server_place;
    *server_place = NULL;
    if (server == NULL) {
        return;
    }
    const tapeout_allocator *alloc = server->env.alloc;
    for (uint32_t i = 0; i < server->shard_count; i++) {
        server_shard *shard = &server->shards[i];
        tp_loop_free(shard->loop);
        if (shard->server != NULL) {
            tp_serve_exchange_deinit(&shard->exchange);
            tp_buffer_deinit(&shard->log);
        }
    }
    tp_free_array(alloc, server->shards, server->shard_count, sizeof(*server->shards));
    if (server->listen_fd >= 0) {
        (void)close(server->listen_fd);
    }
    tp_engine_free(server->state.engine);
    tp_monitor_free(server->state.monitor);
    if (server->config != NULL) {
        tp_serve_config_deinit(server->config);
        tp_free(alloc, server->config, sizeof(*server->config));
    }
    tp_arena_deinit(&server->models_arena);
    (void)pthread_mutex_destroy(&server->log_lock);
    tp_free(alloc, server, sizeof(*server));
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
        start_load(server);
        (void)uv_timer_start(&server->timer, on_announce_timer, ANNOUNCE_MS, 0);
    } else {
        drain(server, true);
    }
    tp_loop_run(server->shards[0].loop);
    for (uint32_t i = 1; i < server->shard_count; i++) {
        if (server->shards[i].has_thread) {
            (void)pthread_join(server->shards[i].thread, NULL);
        }
    }
    for (uint32_t i = 0; i < server->shard_count; i++) {
        tp_server_turned(&server->shards[i]);
    }
    (void)pthread_sigmask(SIG_SETMASK, &old_mask, NULL);
    if (status == TAPEOUT_OK && server->run_status != TAPEOUT_OK) {
        return tp_fail(err, server->run_status, "%s", server->load_error.message);
    }
    if (status == TAPEOUT_OK) {
        log_event(server, "stopped", NULL);
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
