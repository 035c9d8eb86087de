// SPDX-License-Identifier: Apache-2.0
//
// The server's certificate in its life: opened before anything is bound, watched once a second, and
// read again when a file has changed. A file that can't be used is told in the log and changes
// nothing: what was in use stays in use, and the next change is tried.
#include "serve/server_priv.h"

#include "base/limits.h"
#include "base/tp_context.h"
#include "base/tp_error.h"
#include "serve/serve_log.h"

#include <arpa/inet.h>
#include <unistd.h>

enum { WATCH_MS = 1000 };

// What clients are to find in a certificate of our own making: the address that is listened on, or
// where that is every one, the machine's name.
static void own_host(const struct sockaddr_storage *address, char *ret_host, size_t size)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
    const bool is_v4 = address->ss_family == AF_INET;
    const bool is_every =
        is_v4 ? v4->sin_addr.s_addr == INADDR_ANY : IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr);
    ret_host[0] = '\0';
    if (!is_every) {
        (void)inet_ntop(address->ss_family, is_v4 ? (const void *)&v4->sin_addr : &v6->sin6_addr,
                        ret_host,
                        (socklen_t)size); // empty where it fails: then only loopback is named
    } else if (gethostname(ret_host, size) != 0) {
        ret_host[0] = '\0';
    }
    ret_host[size - 1] = '\0';
}

tapeout_status tp_server_tls_open(struct tapeout_server *server,
                                  const struct sockaddr_storage *address, tapeout_error *err)
{
    tp_serve_config *config = server->config;
    const tapeout_allocator *alloc = server->env.alloc;
    if (!config->has_tls) {
        return TAPEOUT_OK;
    }
    if (config->tls_self) {
        char host[256];
        own_host(address, host, sizeof(host));
        TP_TRY(tp_tls_self_make(alloc, tp_context_home(server->context),
                                host[0] == '\0' ? NULL : host, server->self_cert, server->self_key,
                                err));
        config->tls.cert = server->self_cert;
        config->tls.key = server->self_key;
    }
    return tp_tls_new(alloc, &config->tls, &server->tls, err);
}

static void log_certificate(struct tapeout_server *server, const char *event)
{
    const tp_tls_facts facts = tp_tls_facts_read(server->tls);
    tp_buffer log;
    tp_buffer_init(&log, server->env.alloc, TP_MAX_SERVE_LOG_BYTES);
    tp_serve_log_begin(&log, event);
    tp_serve_log_str(&log, "certificate", tp_str_from(server->config->tls.cert));
    tp_serve_log_str(&log, "sha256", tp_str_from(facts.sha256));
    tp_serve_log_u64(&log, "expires",
                     facts.expires_unix_s > 0 ? (uint64_t)facts.expires_unix_s : 0);
    tp_serve_log_end(&log);
    tp_server_log(server, &log);
    tp_buffer_deinit(&log);
}

static void on_watch(uv_timer_t *timer)
{
    struct tapeout_server *server = timer->data;
    tapeout_error error = {0};
    if (!tp_tls_has_changed(server->tls)) {
        return;
    }
    if (tp_tls_reload(server->tls, &error) == TAPEOUT_OK) {
        log_certificate(server, "tls_reloaded");
    } else {
        tp_server_log_event(server, "tls_reload_failed", error.message);
    }
}

void tp_server_tls_start(struct tapeout_server *server)
{
    if (server->tls == NULL) {
        return;
    }
    log_certificate(server, "tls");
    // Neither fails for a timer of a running loop; it must not keep the loop alive.
    (void)uv_timer_init(tp_loop_uv(server->shards[0].loop), &server->tls_timer);
    server->tls_timer.data = server;
    (void)uv_timer_start(&server->tls_timer, on_watch, WATCH_MS, WATCH_MS);
    uv_unref((uv_handle_t *)&server->tls_timer);
}

void tp_server_tls_failed(void *user, tp_client *client, const char *why)
{
    server_shard *shard = user;
    struct tapeout_server *server = shard->server;
    (void)client;
    tp_monitor_add(server->state.monitor, shard->index, METRIC_TLS_FAILED, 1);
    if (server->config->logs_requests) {
        const size_t size_before = shard->log.size;
        tp_serve_log_begin(&shard->log, "tls_failed");
        tp_serve_log_str(&shard->log, "error", tp_str_from(why));
        tp_serve_log_end(&shard->log);
        tp_server_log_settle(shard, size_before);
    }
}
