// SPDX-License-Identifier: Apache-2.0
//
// Opening a server and closing it: the configuration is read, models are found (not yet loaded),
// the address is bound, and each thread gets a loop of its own on a duplicate of the one listening
// socket. Whatever can be told to be wrong before the first request is told here. Closing takes a
// server that was opened half way as well.
#include "serve/server_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_clock.h"
#include "base/tp_context.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "base/tp_sandbox.h"
#include "base/tp_thread.h"
#include "registry/tp_signature_store.h"
#include "serve/serve_audit.h"
#include "serve/serve_store.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

enum { DEFAULT_MAX_THREADS = 8 };

void tapeout_serve_options_init(tapeout_serve_options *options)
{
    memset(options, 0, sizeof(*options));
    options->struct_size = sizeof(*options);
}

// Beyond loopback it must be known who asks, and nobody on the way may read or change what is said.
static tapeout_status check_exposure(const struct tapeout_server *server,
                                     const struct sockaddr_storage *address, tapeout_error *err)
{
    const bool has_tls = server->config->has_tls;
    const bool has_auth = !server->options.no_auth;
    if (tp_serve_address_is_loopback(address) || (has_tls && has_auth)) {
        return TAPEOUT_OK;
    }
    return tp_fail(err, TAPEOUT_E_DENIED,
                   "%s: beyond loopback the server needs TLS and authentication, and has no %s; "
                   "give %s, or listen on 127.0.0.1",
                   server->config->listen,
                   has_tls    ? "authentication"
                   : has_auth ? "TLS"
                              : "TLS and no authentication",
                   has_tls ? "up --no-auth" : "--tls-cert and --tls-key (or --tls self to try)");
}

// Who may call nobody can't have its models elsewhere.
static tapeout_status settle_blobs(struct tapeout_server *server, tapeout_error *err)
{
    TP_TRY(tp_context_blobs_set(server->context, server->config->blobs, err));
    const char *blobs = tp_context_blobs(server->context);
    return blobs == NULL || !server->config->is_airgapped
               ? TAPEOUT_OK
               : tp_fail(err, TAPEOUT_E_INVALID,
                         "serve: --airgap lets the server call nobody, and its blobs are in "
                         "%.*s; leave one of the two out",
                         (int)strcspn(blobs, "?"), blobs);
}

// From here on it is the user's process, and nothing in the home is made by another.
static tapeout_status give_up_rights(const struct tapeout_server *server, tapeout_error *err)
{
    if (server->config->user != NULL) {
        TP_TRY(tp_sandbox_become(server->config->user, err));
    }
    return server->config->is_airgapped ? tp_sandbox_airgap(false, err) : TAPEOUT_OK;
}

static tapeout_status bind_address(struct tapeout_server *server, tapeout_error *err)
{
    struct sockaddr_storage address;
    TP_TRY(tp_serve_address_parse(server->config->listen, &address, err));
    TP_TRY(check_exposure(server, &address, err));
    if (!server->config->tls_self) {
        TP_TRY(tp_server_tls_open(server, &address, err)); // a key may be root's alone
    }
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
    TP_TRY(give_up_rights(server, err));
    if (server->config->tls_self) {
        TP_TRY(tp_server_tls_open(server, &address, err)); // and what is made is the user's
    }
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
    (void)snprintf(server->url, sizeof(server->url), is_v4 ? "%s://%s:%u" : "%s://[%s]:%u",
                   server->tls == NULL ? "http" : "https", host, server->port);
    return TAPEOUT_OK;
}

static void wake_loop(void *loop)
{
    tp_loop_wake(loop);
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
        .budget = &server->bodies,
        .id_seed = seed,
        .timeouts = config->timeouts,
        .tls = server->tls,
        .hsts_s = config->hsts_s,
        .handle = tp_server_handle,
        .is_upload = tp_server_is_upload,
        .upload_gone = tp_server_upload_gone,
        .refused = tp_server_refused,
        .tls_failed = tp_server_tls_failed,
        .turned = tp_server_turned,
        .user = shard,
    };
    TP_TRY(tp_loop_new(&options, &shard->loop, err));
    shard->uploads =
        (upload_gate){.line = &server->uploads, .wake = wake_loop, .user = shard->loop};
    return TAPEOUT_OK;
}

static tapeout_status open_handles(struct tapeout_server *server, tapeout_error *err)
{
    uv_loop_t *uv = tp_loop_uv(server->shards[0].loop);
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    int code = uv_async_init(uv, &server->wake, tp_server_on_wake);
    server->wake.data = server->timer.data = server;
    if (code == 0) {
        code = uv_timer_init(uv, &server->timer);
        uv_unref((uv_handle_t *)&server->timer);
    }
    for (size_t i = 0; code == 0 && server->options.handle_signals && i < 3; i++) {
        code = uv_signal_init(uv, &server->signals[i]);
        server->signals[i].data = server;
        if (code == 0) {
            code = uv_signal_start(&server->signals[i], tp_server_on_signal, numbers[i]);
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

static void on_alias_moved(void *user)
{
    tapeout_server_reload(user);
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
    TP_TRY(tp_context_store_set(server->context, server->config->store, err));
    TP_TRY(settle_blobs(server, err));
    TP_TRY(tp_server_jwks_check(server, err));
    TP_TRY(bind_address(server, err));
    // Where that fails the files count as they are.
    (void)tp_signatures_adopt_home(server->context, NULL);
    TP_TRY(tp_server_load_models(server, false, err));
    const uint32_t processors = tp_processor_count();
    const uint32_t usual = processors < DEFAULT_MAX_THREADS ? processors : DEFAULT_MAX_THREADS;
    const uint32_t count = server->config->thread_count > 0 ? server->config->thread_count : usual;
    if (count > TP_MAX_THREADS) {
        return tp_fail(err, TAPEOUT_E_INVALID, "%u threads, at most %u", count, TP_MAX_THREADS);
    }
    server->config->engine.home = tp_context_home(server->context);
    server->config->engine.look = tp_signatures_look;
    server->config->engine.look_user = server->context;
    server->config->engine.allow_unsigned =
        server->config->allow_unsigned || tp_context_allows_unsigned(server->context);
    TP_TRY(tp_engine_new(&server->env, &server->config->engine, &server->state.engine, err));
    TP_TRY(tp_monitor_new(alloc, tp_server_families, METRIC_COUNT, count, &server->state.monitor,
                          err));
    const tp_str version = tp_str_from(tapeout_version());
    tp_monitor_set(server->state.monitor,
                   tp_monitor_series(server->state.monitor, METRIC_BUILD, &version), 1);
    server->state.env = &server->env;
    server->state.is_stopped = tp_context_stop(server->context);
    const serve_store_place place = {.home = tp_context_home(server->context),
                                     .database = tp_context_store(server->context),
                                     .blobs = tp_context_blobs(server->context),
                                     .is_stopped = server->state.is_stopped};
    TP_TRY(tp_serve_store_new(alloc, &place, &server->state.store, err));
    server->state.max_body_bytes = (size_t)server->config->max_body_bytes;
    server->state.max_artifact_bytes = server->config->max_artifact_bytes;
    server->state.max_rows = server->config->max_rows;
    server->bodies.max_bytes = (size_t)server->config->max_bodies_bytes;
    server->state.llm_deadline_ms = server->config->llm_deadline_ms;
    server->state.refresh_metrics = tp_server_refresh_metrics;
    server->state.alias_moved = on_alias_moved;
    server->state.user = server;
    server->state.models_changed = tp_server_models_changed;
    server->shards = tp_alloc_array_zero(alloc, count, sizeof(*server->shards));
    if (server->shards == NULL) {
        return tp_fail_nomem(err);
    }
    server->shard_count = count;
    for (uint32_t i = 0; i < count; i++) {
        TP_TRY(open_shard(server, i, err));
    }
    TP_TRY(tp_server_access_open(server, err));
    // The loops have duplicates; with this one open too the kernel would go on accepting after
    // them.
    (void)close(server->listen_fd);
    server->listen_fd = -1;
    TP_TRY(open_handles(server, err));
    return tp_server_audit_open(server, err);
}

tapeout_status tapeout_server_open(tapeout_context *context, const tapeout_serve_options *options,
                                   tapeout_server **ret_server, tapeout_error *err)
{
    if (context == NULL || options == NULL || ret_server == NULL ||
        options->struct_size != sizeof(*options)) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "tapeout_server_open: fill the options with tapeout_serve_options_init");
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
    tp_upload_line_init(&server->uploads, SERVER_UPLOAD_JOBS);
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
    tp_server_access_close(server);
    tp_free_array(alloc, server->shards, server->shard_count, sizeof(*server->shards));
    if (server->listen_fd >= 0) {
        (void)close(server->listen_fd);
    }
    tp_server_audit_close(server);
    tp_engine_free(server->state.engine);
    tp_serve_store_free(server->state.store);
    tp_monitor_free(server->state.monitor);
    tp_tls_free(server->tls);
    if (server->config != NULL) {
        tp_serve_config_deinit(server->config);
        tp_free(alloc, server->config, sizeof(*server->config));
    }
    tp_arena_deinit(&server->models_arena);
    (void)pthread_mutex_destroy(&server->log_lock);
    tp_upload_line_deinit(&server->uploads);
    tp_free(alloc, server, sizeof(*server));
}
