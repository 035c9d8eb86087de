// SPDX-License-Identifier: Apache-2.0
//
// A body that is handed out in pieces, for what is too large to be held. The parser pauses behind
// the head, and the request is handed out without a body: whoever has it lets it in or answers at
// once, and only who is let in hears "100 Continue". Then each piece is handed out, and the last
// one together with the end of the body, after which comes the reply.
//
// Every time the connection is `handling`: what still comes in waits in `pending`, and when that is
// full nothing is read, so that a client is never faster than what takes its pieces. One piece, and
// what is pending, is all that an upload holds.
#include "serve/http_priv.h"

#include "base/tp_clock.h"

bool tp_http_upload_begin(tp_http_connection *connection, bool expects_continue)
{
    const tp_http_shared *shared = connection->shared;
    const tp_http_request *request = &connection->request;
    const bool has_body =
        (connection->parser.flags & F_CHUNKED) != 0 || request->content_length > 0;
    if (shared->is_upload == NULL || !has_body || request->content_coding != TP_HTTP_IDENTITY ||
        !shared->is_upload(shared->user, request)) {
        return false;
    }
    connection->upload_step = TP_HTTP_UPLOAD_HEAD;
    connection->upload_expects_continue = expects_continue;
    return true;
}

// A piece fits into the buffer that bodies have anyway.
static size_t piece_bytes(const tp_http_connection *connection)
{
    const size_t most = connection->request.body.max_size;
    return most < TP_MAX_HTTP_PIECE_BYTES ? most : TP_MAX_HTTP_PIECE_BYTES;
}

size_t tp_http_upload_room(const tp_http_connection *connection, size_t size)
{
    if (connection->upload_step == TP_HTTP_UPLOAD_NONE) {
        return size;
    }
    const size_t room = piece_bytes(connection) - connection->request.body.size;
    return size < room ? size : room;
}

bool tp_http_upload_is_full(const tp_http_connection *connection)
{
    return connection->upload_step == TP_HTTP_UPLOAD_PIECE &&
           connection->state == TP_HTTP_BODY_PART &&
           connection->request.body.size == piece_bytes(connection);
}

// From here until tp_http_upload_go_on it is not the client that takes its time.
void tp_http_upload_hand_out(tp_http_connection *connection)
{
    if (connection->upload_step != TP_HTTP_UPLOAD_NONE) {
        connection->handed_out_ns = tp_clock_monotonic_ns();
    }
}

void tp_http_upload_complete(tp_http_connection *connection)
{
    if (connection->upload_step != TP_HTTP_UPLOAD_NONE) {
        connection->upload_step = TP_HTTP_UPLOAD_LAST;
    }
}

bool tp_http_upload_is_under_way(const tp_http_connection *connection)
{
    return connection->upload_step == TP_HTTP_UPLOAD_HEAD ||
           connection->upload_step == TP_HTTP_UPLOAD_PIECE;
}

void tp_http_upload_go_on(tp_http_connection *connection)
{
    if (connection->state != TP_HTTP_HANDLING || !tp_http_upload_is_under_way(connection)) {
        return; // closed meanwhile
    }
    if (connection->upload_step == TP_HTTP_UPLOAD_HEAD && connection->upload_expects_continue) {
        tp_buffer_append_text(&connection->out, "HTTP/1.1 100 Continue\r\n\r\n");
    }
    tp_buffer_clear(&connection->request.body);
    connection->request.held_up_ns += tp_clock_monotonic_ns() - connection->handed_out_ns;
    connection->upload_step = TP_HTTP_UPLOAD_PIECE;
    connection->state = TP_HTTP_BODY_PART;
}

void tp_http_upload_gone(tp_http_connection *connection, bool is_refused)
{
    const tp_http_shared *shared = connection->shared;
    if (connection->upload_owner != NULL) {
        shared->upload_gone(shared->user, connection, is_refused);
        connection->upload_owner = NULL;
    }
}
