// SPDX-License-Identifier: Apache-2.0
//
// A client from its socket's birth to its end. A turn reads what has come, lets the connection
// parse and answer, and tries to send at once; only what the socket does not take becomes a queued
// write.
//
// A connection ends gently: our side is shut, what still comes in is thrown away for a moment, then
// it is closed. Closing at once with unread bytes would make the kernel send a reset, which can
// destroy the reply (a refusal, most often) before the client has read it.
#include "serve/loop_priv.h"

#include "base/tp_alloc.h"
#include "base/tp_clock.h"
#include "base/tp_error.h"

#include <netinet/in.h>
#include <string.h>

enum { LINGER_MS = 1000, RATE_BYTES_PER_S = 16 << 10 };

// One writer, so no atomic addition is needed.
static void count(atomic_uint_fast64_t *counter, uint64_t more)
{
    const uint64_t old = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, old + more, memory_order_relaxed);
}

// -- the end of a client -------------------------------------------------------------------------
static void client_free(tp_client *client)
{
    tp_loop *loop = client->loop;
    if (client->previous != NULL) {
        client->previous->next = client->next;
    } else {
        loop->clients = client->next;
    }
    if (client->next != NULL) {
        client->next->previous = client->previous;
    }
    loop->client_count--;
    atomic_store_explicit(&loop->open, loop->client_count, memory_order_relaxed);
    tp_http_connection_deinit(&client->http);
    tp_buffer_deinit(&client->sending);
    tp_buffer_deinit(&client->plain);
    tp_tls_session_free(client->tls);
    tp_free(loop->options.alloc, client, sizeof(*client));
}

static void on_client_closed(uv_handle_t *handle)
{
    tp_client *client = handle->data;
    client->is_closed = true;
    if (client->job == NULL) {
        client_free(client);
    }
}

void tp_loop_client_close(tp_client *client)
{
    if (!client->is_closing) {
        client->is_closing = true;
        tp_stream_client_gone(client);
        client->http.state = TP_HTTP_CLOSING;
        uv_close((uv_handle_t *)&client->tcp, on_client_closed);
    }
}

static void on_client_shut(uv_shutdown_t *request, int status)
{
    tp_client *client = request->data;
    if (status != 0 || client->http.has_ended) {
        tp_loop_client_close(client);
    }
}

static void client_end_gently(tp_client *client)
{
    if (client->is_shut || client->is_closing) {
        return;
    }
    client->is_shut = true;
    client->shutdown.data = client;
    if (client->tls != NULL) {
        tp_tls_session_end(client->tls);
        (void)tp_loop_client_send(client, tp_tls_session_wire(client->tls)); // closes on failure
        if (client->is_closing) {
            return;
        }
    }
    if (client->http.has_ended ||
        uv_shutdown(&client->shutdown, (uv_stream_t *)&client->tcp, on_client_shut) != 0) {
        tp_loop_client_close(client);
    }
}

// -- deadlines -----------------------------------------------------------------------------------
static uint64_t earned_ms(uint64_t size_bytes)
{
    return size_bytes * 1000 / RATE_BYTES_PER_S;
}

// As far as it is the client's doing.
static uint64_t request_age_ms(const tp_client *client)
{
    const tp_http_request *request = &client->http.request;
    return (tp_clock_monotonic_ns() - request->begin_ns - request->held_up_ns) / 1000000;
}

uint64_t tp_loop_write_deadline(const tp_client *client, size_t size_bytes)
{
    return uv_now(&client->loop->uv) + client->loop->options.timeouts.write_ms +
           earned_ms(size_bytes);
}

static void client_set_deadline(tp_client *client)
{
    const tp_loop_timeouts *timeouts = &client->loop->options.timeouts;
    const uint64_t now = uv_now(&client->loop->uv);
    if (client->is_shut) {
        client->deadline_ms = now + LINGER_MS;
        return;
    }
    if (client->is_writing) {
        return; // set when the write began
    }
    if (client->tls != NULL && !tp_tls_session_is_ready(client->tls)) {
        client->deadline_ms = client->accepted_ms + timeouts->head_ms;
        return;
    }
    switch (client->http.state) {
    case TP_HTTP_IDLE:
        client->deadline_ms = now + timeouts->idle_ms;
        break;
    case TP_HTTP_HEAD_PART:
        client->deadline_ms = now + timeouts->head_ms;
        client->deadline_ms -=
            request_age_ms(client) < timeouts->head_ms ? request_age_ms(client) : timeouts->head_ms;
        break;
    case TP_HTTP_BODY_PART: {
        const uint64_t grace = timeouts->body_ms + earned_ms(client->http.request.body_bytes);
        const uint64_t age = request_age_ms(client);
        client->deadline_ms = now + (age < grace ? grace - age : 0);
        break;
    }
    case TP_HTTP_HANDLING:
    case TP_HTTP_CLOSING:
        client->deadline_ms = 0;
        break;
    }
}

void tp_loop_client_expire(tp_client *client)
{
    const tp_http_state state = client->http.state;
    client->deadline_ms = 0;
    if (!client->is_writing && (state == TP_HTTP_HEAD_PART || state == TP_HTTP_BODY_PART)) {
        tp_http_connection_refuse(&client->http, 408, "the request took too long to arrive");
        tp_loop_client_flush(client);
    } else {
        tp_loop_client_close(client);
    }
}

// -- bytes ---------------------------------------------------------------------------------------
static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)suggested;
    const tp_client *client = handle->data;
    // libuv hands the bytes over before it asks for memory again: one buffer serves all.
    *buffer = uv_buf_init(client->loop->read_buffer, LOOP_READ_BUFFER_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer);

static void client_read(tp_client *client, bool wanted)
{
    if (client->is_closing || wanted == client->is_reading) {
        return;
    }
    client->is_reading = wanted;
    if (!wanted) {
        (void)uv_read_stop((uv_stream_t *)&client->tcp); // always succeeds
    } else if (uv_read_start((uv_stream_t *)&client->tcp, on_alloc, on_read) != 0) {
        tp_loop_client_close(client);
    }
}

static void on_written(uv_write_t *request, int status)
{
    tp_client *client = request->data;
    client->is_writing = false;
    tp_buffer_clear(&client->sending);
    if (status != 0) {
        tp_loop_client_close(client);
    } else if (!client->is_closing) {
        tp_http_connection_resume(&client->http);
        tp_loop_client_flush(client);
    }
}

bool tp_loop_client_send(tp_client *client, tp_buffer *out)
{
    uv_buf_t view = uv_buf_init(out->data, (unsigned)out->size);
    // A piece of a file goes by way of the loop, so that a fast client does not keep it to itself.
    const bool is_queued = client->http.file.is_open;
    const int written =
        out->size == 0 || is_queued ? 0 : uv_try_write((uv_stream_t *)&client->tcp, &view, 1);
    if (written < 0 && written != UV_EAGAIN) {
        tp_loop_client_close(client);
        return false;
    }
    const size_t done = written > 0 ? (size_t)written : 0;
    count(&client->loop->sent, out->size);
    if (done == out->size) {
        tp_buffer_clear(out);
        return true;
    }
    // The rest waits in a buffer of its own, for replies to come must not move it.
    const tp_buffer spare = client->sending;
    client->sending = *out;
    *out = spare;
    const size_t left = client->sending.size - done;
    view = uv_buf_init(client->sending.data + done, (unsigned)left);
    client->write.data = client;
    client->is_writing = true;
    client->deadline_ms = tp_loop_write_deadline(client, left);
    if (uv_write(&client->write, (uv_stream_t *)&client->tcp, &view, 1, on_written) != 0) {
        client->is_writing = false;
        tp_loop_client_close(client);
    }
    return false;
}

// Sends what the connection has to say, or a step of it. True when the socket took it at once.
static bool transport_send(tp_client *client)
{
    return client->tls == NULL ? tp_loop_client_send(client, &client->http.out)
                               : tp_loop_tls_send(client);
}

static bool has_output(tp_client *client)
{
    tp_http_connection_refill(&client->http);
    return client->http.out.size > 0 || (client->tls != NULL && tp_loop_tls_has_output(client));
}

void tp_loop_client_flush(tp_client *client)
{
    while (!client->is_closing && !client->is_writing && has_output(client)) {
        if (client->http.out.status != TAPEOUT_OK) {
            tp_loop_client_close(client);
            return;
        }
        if (transport_send(client)) {
            tp_http_connection_resume(&client->http);
        }
    }
    if (client->is_closing) {
        return;
    }
    if (!client->is_writing && client->http.state == TP_HTTP_CLOSING) {
        client_end_gently(client);
    }
    if (!client->is_writing && client->http.state == TP_HTTP_IDLE) {
        tp_http_connection_shrink(&client->http);
        tp_buffer_shrink(&client->sending, TP_MAX_HTTP_IDLE_BYTES);
        if (client->tls != NULL) {
            tp_loop_tls_shrink(client);
        }
    }
    client_set_deadline(client);
    client_read(client, client->is_shut || tp_http_connection_wants_bytes(&client->http));
}

static void transport_receive(tp_client *client, const char *data, size_t size)
{
    count(&client->loop->received, size);
    if (client->is_shut) {
        return;
    }
    if (client->tls != NULL) {
        tp_loop_tls_receive(client, data, size);
        return;
    }
    tp_http_connection_feed(&client->http, data, size);
    tp_loop_client_flush(client);
}

void tp_loop_client_ended(tp_client *client)
{
    // Who waits for a reply in pieces and says goodbye does not wait any more.
    if (client->is_shut || client->stream != NULL ||
        (client->tls != NULL && !tp_tls_session_is_ready(client->tls))) {
        tp_loop_client_close(client);
        return;
    }
    client_read(client, false);
    tp_http_connection_end(&client->http);
    tp_loop_client_flush(client);
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    tp_client *client = stream->data;
    if (size > 0) {
        transport_receive(client, buffer->base, (size_t)size);
        return;
    }
    if (size == UV_EOF) {
        tp_loop_client_ended(client);
    } else if (size < 0) {
        tp_loop_client_close(client);
    }
}

// -- jobs ----------------------------------------------------------------------------------------
static void on_work(uv_work_t *work)
{
    tp_loop_job *job = work->data;
    job->run(job);
}

static void on_work_done(uv_work_t *work, int status)
{
    (void)status; // jobs are never cancelled
    tp_loop_job *job = work->data;
    tp_client *client = job->client;
    client->job = NULL;
    job->answer(job);
    if (!client->is_closing && job->reply != NULL) {
        tp_http_connection_reply(&client->http, job->reply);
    }
    job->done(job);
    tp_stream_work_done(client);
    if (client->is_closed) {
        client_free(client);
    } else if (!client->is_closing) {
        tp_http_connection_resume(&client->http);
        tp_loop_client_flush(client);
    }
}

tapeout_status tp_client_offload(tp_client *client, tp_loop_job *job, tapeout_error *err)
{
    job->client = client;
    job->work.data = job;
    if (uv_queue_work(&client->loop->uv, &job->work, on_work, on_work_done) != 0) {
        return tp_fail(err, TAPEOUT_E_BUSY, "no thread for a large request");
    }
    client->job = job;
    return TAPEOUT_OK;
}

// -- the beginning -------------------------------------------------------------------------------
static void client_refuse_full(tp_client *client)
{
    static const char reply[] = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n"
                                "retry-after: 1\r\nconnection: close\r\n\r\n";
    uv_buf_t view = uv_buf_init((char *)(uintptr_t)reply, sizeof(reply) - 1);
    if (client->loop->options.tls == NULL) {
        // Best effort: it is closed anyway.
        (void)uv_try_write((uv_stream_t *)&client->tcp, &view, 1);
    }
    count(&client->loop->refused, 1);
    tp_loop_client_close(client);
}

// By what callers are slowed down who guess: of IPv6, where one has 2^64 addresses, the network.
static void note_peer(tp_client *client)
{
    struct sockaddr_storage address = {0};
    int size = sizeof(address);
    if (uv_tcp_getpeername(&client->tcp, (struct sockaddr *)&address, &size) != 0) {
        return; // all that cannot be told count as one
    }
    if (address.ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address;
        client->peer[10] = client->peer[11] = 0xff;
        memcpy(client->peer + 12, &v4->sin_addr, 4);
    } else if (address.ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address;
        const bool is_mapped = IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr);
        memcpy(client->peer, &v6->sin6_addr, is_mapped ? 16 : 8);
    }
}

void tp_loop_client_accept(tp_loop *loop)
{
    tp_client *client = tp_alloc_zero(loop->options.alloc, sizeof(*client));
    if (client == NULL) {
        return;
    }
    client->loop = loop;
    tp_http_connection_init(&client->http, &loop->shared);
    tp_buffer_init(&client->sending, loop->options.alloc,
                   loop->options.tls == NULL ? client->http.out.max_size : TP_MAX_TLS_WIRE_BYTES);
    tp_buffer_init(&client->plain, loop->options.alloc, client->http.out.max_size);
    client->accepted_ms = uv_now(&loop->uv);
    (void)uv_tcp_init(&loop->uv, &client->tcp); // makes no socket yet, cannot fail
    client->tcp.data = client;
    client->next = loop->clients;
    if (client->next != NULL) {
        client->next->previous = client;
    }
    loop->clients = client;
    loop->client_count++;
    atomic_store_explicit(&loop->open, loop->client_count, memory_order_relaxed);
    count(&loop->accepted, 1);
    if (uv_accept((uv_stream_t *)&loop->listener, (uv_stream_t *)&client->tcp) != 0 ||
        (loop->options.tls != NULL && tp_tls_session_new(loop->options.tls, loop->options.alloc,
                                                         &client->tls, NULL) != TAPEOUT_OK)) {
        tp_loop_client_close(client);
        return;
    }
    if (loop->client_count > loop->options.max_connections) {
        client_refuse_full(client);
        return;
    }
    note_peer(client);
    (void)uv_tcp_nodelay(&client->tcp, 1); // slower without, not wrong
    client_set_deadline(client);
    client_read(client, true);
}
