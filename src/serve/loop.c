// SPDX-License-Identifier: Apache-2.0
//
// libuv underneath: a loop listens, takes clients in (loop_client.c), and ends in phases. One timer
// for all connections compares deadlines four times a second: ten thousand idle ones cost nothing
// else.
#include "serve/loop_priv.h"

#include "base/tp_alloc.h"
#include "base/tp_clock.h"
#include "base/tp_error.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

enum { SWEEP_MS = 250, LISTEN_BACKLOG = 1024 };

// -- turns ---------------------------------------------------------------------------------------
static void update_date(tp_http_shared *shared)
{
    const time_t now = (time_t)(tp_clock_unix_us() / 1000000);
    struct tm parts;
    static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    if (gmtime_r(&now, &parts) != NULL) {
        // Not strftime: names of days must not follow a locale.
        (void)snprintf(shared->date, sizeof(shared->date), "%s, %02d %s %04d %02d:%02d:%02d GMT",
                       days[parts.tm_wday], parts.tm_mday, months[parts.tm_mon],
                       (parts.tm_year + 1900) % 10000, parts.tm_hour, parts.tm_min, parts.tm_sec);
    }
}

static void loop_end(tp_loop *loop)
{
    if (!loop->is_ending) {
        loop->is_ending = true;
        uv_close((uv_handle_t *)&loop->sweep, NULL);
        uv_close((uv_handle_t *)&loop->wake, NULL);
        uv_close((uv_handle_t *)&loop->check, NULL);
    }
}

static void apply_phase(tp_loop *loop)
{
    const int phase = atomic_load_explicit(&loop->phase, memory_order_acquire);
    loop->shared.draining = phase >= TP_LOOP_DRAIN;
    if (phase < TP_LOOP_STOP) {
        return;
    }
    if (loop->is_listening) {
        loop->is_listening = false;
        uv_close((uv_handle_t *)&loop->listener, NULL);
    }
    for (tp_client *client = loop->clients, *next = NULL; client != NULL; client = next) {
        next = client->next;
        if (phase == TP_LOOP_KILL || (client->http.state == TP_HTTP_IDLE && !client->is_writing)) {
            tp_loop_client_close(client);
        }
    }
    // A stream whose client has left ends as soon as its producer has heard of it.
    if (loop->clients == NULL && loop->stream_count == 0) {
        loop_end(loop);
    }
}

static void on_sweep(uv_timer_t *timer)
{
    tp_loop *loop = timer->data;
    update_date(&loop->shared);
    const uint64_t now = uv_now(&loop->uv);
    for (tp_client *client = loop->clients, *next = NULL; client != NULL; client = next) {
        next = client->next;
        if (!client->is_closing && client->deadline_ms != 0 && client->deadline_ms <= now) {
            tp_loop_client_expire(client);
        }
    }
    apply_phase(loop);
}

static void on_wake(uv_async_t *async)
{
    tp_loop *loop = async->data;
    tp_loop_streams_deliver(loop);
    apply_phase(loop);
}

static void on_check(uv_check_t *check)
{
    const tp_loop *loop = check->data;
    if (loop->options.turned != NULL) {
        loop->options.turned(loop->options.user);
    }
}

static void on_handle(void *user, tp_http_connection *connection)
{
    tp_loop *loop = user;
    // The connection is the client's first member.
    loop->options.handle(loop->options.user, (tp_client *)connection);
}

static bool on_is_upload(void *user, const tp_http_request *request)
{
    tp_loop *loop = user;
    return loop->options.is_upload(loop->options.user, request);
}

static void on_upload_gone(void *user, tp_http_connection *connection, bool is_refused)
{
    tp_loop *loop = user;
    loop->options.upload_gone(loop->options.user, (tp_client *)connection, is_refused);
}

static void on_refused(void *user, tp_http_connection *connection, int status, const char *why)
{
    tp_loop *loop = user;
    if (loop->options.refused != NULL) {
        loop->options.refused(loop->options.user, (tp_client *)connection, status, why);
    }
}

static void on_connection(uv_stream_t *listener, int status)
{
    // Otherwise no descriptor is free: libuv has dropped the connection and tries again.
    if (status == 0) {
        tp_loop_client_accept(listener->data);
    }
}

// -- the loop ------------------------------------------------------------------------------------
static int loop_handles_init(tp_loop *loop)
{
    int code = uv_tcp_init(&loop->uv, &loop->listener);
    if (code == 0) {
        code = uv_timer_init(&loop->uv, &loop->sweep);
    }
    if (code == 0) {
        code = uv_async_init(&loop->uv, &loop->wake, on_wake);
    }
    if (code == 0) {
        code = uv_check_init(&loop->uv, &loop->check);
    }
    loop->listener.data = loop->sweep.data = loop->wake.data = loop->check.data = loop;
    return code;
}

static int loop_listen(tp_loop *loop)
{
    const int fd = fcntl(loop->options.listen_fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) {
        return uv_translate_sys_error(errno);
    }
    int code = uv_tcp_open(&loop->listener, fd);
    if (code != 0) {
        (void)close(fd);
        return code;
    }
    loop->is_listening = true;
    code = uv_listen((uv_stream_t *)&loop->listener, LISTEN_BACKLOG, on_connection);
    if (code == 0) {
        code = uv_timer_start(&loop->sweep, on_sweep, 0, SWEEP_MS);
    }
    return code == 0 ? uv_check_start(&loop->check, on_check) : code;
}

tapeout_status tp_loop_new(const tp_loop_options *options, tp_loop **ret_loop, tapeout_error *err)
{
    tp_loop *loop = tp_alloc_zero(options->alloc, sizeof(*loop));
    if (loop == NULL) {
        return tp_fail_nomem(err);
    }
    loop->options = *options;
    (void)pthread_mutex_init(&loop->stream_lock, NULL); // cannot fail for a plain mutex
    loop->shared = (tp_http_shared){.alloc = options->alloc,
                                    .max_body_bytes = options->max_body_bytes,
                                    .budget = options->budget,
                                    .id_seed = options->id_seed,
                                    .hsts_s = options->tls == NULL ? 0 : options->hsts_s,
                                    .handle = on_handle,
                                    .is_upload = options->is_upload == NULL ? NULL : on_is_upload,
                                    .upload_gone = on_upload_gone,
                                    .refused = on_refused,
                                    .user = loop};
    update_date(&loop->shared);
    int code = uv_loop_init(&loop->uv);
    if (code != 0) {
        (void)pthread_mutex_destroy(&loop->stream_lock);
        tp_free(options->alloc, loop, sizeof(*loop));
        return tp_fail(err, TAPEOUT_E_IO, "cannot make an event loop: %s", uv_strerror(code));
    }
    code = loop_handles_init(loop);
    if (code == 0) {
        code = loop_listen(loop);
    }
    if (code != 0) {
        tp_loop_free(loop);
        return tp_fail(err, TAPEOUT_E_IO, "cannot listen: %s", uv_strerror(code));
    }
    *ret_loop = loop;
    return TAPEOUT_OK;
}

void tp_loop_run(tp_loop *loop)
{
    (void)uv_run(&loop->uv, UV_RUN_DEFAULT); // returns zero once every handle is closed
}

static void close_handle(uv_handle_t *handle, void *user)
{
    (void)user;
    if (!uv_is_closing(handle)) {
        uv_close(handle, NULL);
    }
}

void tp_loop_free(tp_loop *loop)
{
    if (loop == NULL) {
        return;
    }
    for (tp_client *client = loop->clients, *next = NULL; client != NULL; client = next) {
        next = client->next;
        tp_loop_client_close(client);
    }
    uv_walk(&loop->uv, close_handle, NULL);
    (void)uv_run(&loop->uv, UV_RUN_DEFAULT);
    (void)uv_loop_close(&loop->uv); // every handle is closed by now
    (void)pthread_mutex_destroy(&loop->stream_lock);
    tp_free(loop->options.alloc, loop, sizeof(*loop));
}

void tp_loop_phase_set(tp_loop *loop, tp_loop_phase phase)
{
    int old = atomic_load_explicit(&loop->phase, memory_order_relaxed);
    while (old < (int)phase &&
           !atomic_compare_exchange_weak_explicit(&loop->phase, &old, (int)phase,
                                                  memory_order_release, memory_order_relaxed)) {
    }
    (void)uv_async_send(&loop->wake); // fails only for a closed handle, and then the loop has ended
}

void tp_loop_wake(tp_loop *loop)
{
    (void)uv_async_send(&loop->wake); // fails only for a closed handle
}

tp_loop_stats tp_loop_stats_read(const tp_loop *loop)
{
    return (tp_loop_stats){
        .connections_open = atomic_load_explicit(&loop->open, memory_order_relaxed),
        .connections_accepted = atomic_load_explicit(&loop->accepted, memory_order_relaxed),
        .connections_refused = atomic_load_explicit(&loop->refused, memory_order_relaxed),
        .received_bytes = atomic_load_explicit(&loop->received, memory_order_relaxed),
        .sent_bytes = atomic_load_explicit(&loop->sent, memory_order_relaxed),
    };
}

uv_loop_t *tp_loop_uv(tp_loop *loop)
{
    return &loop->uv;
}

void *tp_loop_user(tp_loop *loop)
{
    return loop->options.user;
}
