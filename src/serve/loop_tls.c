// SPDX-License-Identifier: Apache-2.0
//
// A client's bytes through TLS. What comes in is decrypted at once and fed to the connection, whose
// own limits hold it up. What goes out is encrypted in steps, the next when the socket has taken
// the last, so that a large reply is never there twice. A handshake has the time that a request's
// head has, counted from the moment the connection was accepted.
#include "serve/loop_priv.h"

#include "base/tp_alloc.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

enum { RECORD_BYTES = 16384 };

// The reply that is being encrypted, if any, and how far.
static bool has_plain(const tp_client *client)
{
    return client->plain_done < client->plain.size;
}

bool tp_loop_tls_has_output(tp_client *client)
{
    return has_plain(client) || tp_tls_session_wire(client->tls)->size > 0;
}

// Encrypts the next step of what the connection has to say. False when TLS has failed.
static bool encrypt_step(tp_client *client)
{
    if (!has_plain(client)) {
        // Replies to come must not move what is being sent: the buffers change places.
        const tp_buffer spare = client->plain;
        client->plain = client->http.out;
        client->http.out = spare;
        tp_buffer_clear(&client->http.out);
        client->plain_done = 0;
        client->plain_deadline_ms = tp_loop_write_deadline(client, client->plain.size);
    }
    const size_t left = client->plain.size - client->plain_done;
    const size_t step = left < TP_MAX_TLS_STEP_BYTES ? left : TP_MAX_TLS_STEP_BYTES;
    if (!tp_tls_session_write(client->tls, client->plain.data + client->plain_done, step)) {
        return false;
    }
    client->plain_done += step;
    if (!has_plain(client)) {
        tp_buffer_clear(&client->plain);
        client->plain_done = 0;
    }
    return true;
}

bool tp_loop_tls_send(tp_client *client)
{
    tp_buffer *wire = tp_tls_session_wire(client->tls);
    const bool has_text = has_plain(client) || client->http.out.size > 0;
    if (has_text && wire->size < TP_MAX_TLS_STEP_BYTES && !encrypt_step(client)) {
        tp_loop_client_close(client);
        return false;
    }
    const bool is_sent = tp_loop_client_send(client, wire);
    if (!is_sent && has_text) {
        client->deadline_ms = client->plain_deadline_ms; // of the whole reply, not of this step
    }
    return is_sent;
}

// The handshake or a record was bad: the alert that says so is sent if that is possible at once.
static void refuse(tp_client *client)
{
    tp_loop *loop = client->loop;
    if (!tp_tls_session_is_ready(client->tls) && loop->options.tls_failed != NULL) {
        loop->options.tls_failed(loop->options.user, client, tp_tls_session_why(client->tls));
    }
    if (client->is_writing || client->job != NULL || client->stream != NULL) {
        tp_loop_client_close(client);
        return;
    }
    // Nothing of HTTP is on its way, so this ends as any connection does.
    client->http.state = TP_HTTP_CLOSING;
    tp_buffer_clear(&client->http.out);
    tp_buffer_clear(&client->http.pending);
    tp_loop_client_flush(client);
}

// Nothing of ours follows a client's last word of a handshake (there are no tickets), so that the
// system would let 40 ms pass before it acknowledges it. A client that sends without TCP_NODELAY
// holds its first request back until then.
static void acknowledge(tp_client *client)
{
    const int on = 1;
    uv_os_fd_t fd;
    if (uv_fileno((const uv_handle_t *)&client->tcp, &fd) == 0) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on)); // slower without
    }
}

void tp_loop_tls_receive(tp_client *client, const char *data, size_t size)
{
    char plain[RECORD_BYTES];
    size_t got = 0;
    tp_tls_event event;
    const bool was_ready = tp_tls_session_is_ready(client->tls);
    tp_tls_session_feed(client->tls, data, size);
    while ((event = tp_tls_session_read(client->tls, plain, sizeof(plain), &got)) == TP_TLS_DATA) {
        client->http.request.peer_name = tp_tls_session_peer(client->tls);
        tp_http_connection_feed(&client->http, plain, got);
    }
    if (!was_ready && event == TP_TLS_WAIT && tp_tls_session_is_ready(client->tls)) {
        acknowledge(client);
    }
    switch (event) {
    case TP_TLS_FAILED:
        refuse(client);
        break;
    case TP_TLS_END:
        tp_loop_client_ended(client);
        break;
    case TP_TLS_DATA:
    case TP_TLS_WAIT:
        tp_loop_client_flush(client);
        break;
    }
}

void tp_loop_tls_shrink(tp_client *client)
{
    tp_buffer_shrink(&client->plain, TP_MAX_HTTP_IDLE_BYTES);
    tp_buffer_shrink(tp_tls_session_wire(client->tls), TP_MAX_HTTP_IDLE_BYTES);
}
