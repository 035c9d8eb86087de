// SPDX-License-Identifier: Apache-2.0
//
// A reply as bytes. Every one has a length, a date and the request's id; a body goes out unless the
// request was HEAD; "Connection: close" is said where it is meant.
#include "serve/tp_http.h"

#include <string.h>

// The statuses that this server sends.
const char *tp_http_status_text(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 204:
        return "No Content";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 406:
        return "Not Acceptable";
    case 408:
        return "Request Timeout";
    case 409:
        return "Conflict";
    case 413:
        return "Content Too Large";
    case 414:
        return "URI Too Long";
    case 415:
        return "Unsupported Media Type";
    case 417:
        return "Expectation Failed";
    case 429:
        return "Too Many Requests";
    case 431:
        return "Request Header Fields Too Large";
    case 501:
        return "Not Implemented";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return status < 500 ? "Error" : "Internal Server Error";
    }
}

void tp_http_reply_init(tp_http_reply *reply, const tapeout_allocator *alloc)
{
    memset(reply, 0, sizeof(*reply));
    reply->status = 200;
    tp_buffer_init(&reply->headers, alloc, TP_MAX_HTTP_HEAD_BYTES);
    tp_buffer_init(&reply->body, alloc, TP_MAX_HTTP_REPLY_BYTES);
}

uint64_t tp_http_reply_size(const tp_http_reply *reply)
{
    return reply->file.is_open ? reply->file.size : reply->body.size;
}

void tp_http_reply_deinit(tp_http_reply *reply)
{
    tp_http_file_close(&reply->file);
    tp_buffer_deinit(&reply->headers);
    tp_buffer_deinit(&reply->body);
}

void tp_http_reply_clear(tp_http_reply *reply)
{
    reply->status = 200;
    reply->content_type = NULL;
    reply->close = false;
    tp_http_file_close(&reply->file);
    tp_buffer_clear(&reply->headers);
    tp_buffer_clear(&reply->body);
}

static void append_number(tp_buffer *out, uint64_t value)
{
    char digits[20];
    size_t count = 0;
    do {
        digits[sizeof(digits) - ++count] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    tp_buffer_append(out, digits + sizeof(digits) - count, count);
}

// Appending piece by piece is several times as fast as formatting, and every request pays for it.
static void append_status_and_headers(tp_buffer *out, const tp_http_shared *shared,
                                      const tp_http_reply *reply)
{
    if (reply->status == 200) {
        tp_buffer_append_str(out, TP_STR("HTTP/1.1 200 OK\r\n"));
    } else {
        tp_buffer_append_str(out, TP_STR("HTTP/1.1 "));
        append_number(out, (uint64_t)reply->status);
        tp_buffer_append_char(out, ' ');
        tp_buffer_append_text(out, tp_http_status_text(reply->status));
        tp_buffer_append_str(out, TP_STR("\r\n"));
    }
    if (shared->date[0] != '\0') {
        tp_buffer_append_str(out, TP_STR("date: "));
        tp_buffer_append_text(out, shared->date);
        tp_buffer_append_str(out, TP_STR("\r\n"));
    }
    if (shared->hsts_s > 0) {
        tp_buffer_append_str(out, TP_STR("strict-transport-security: max-age="));
        append_number(out, shared->hsts_s);
        tp_buffer_append_str(out, TP_STR("\r\n"));
    }
    if (reply->content_type != NULL) {
        tp_buffer_append_str(out, TP_STR("content-type: "));
        tp_buffer_append_text(out, reply->content_type);
        tp_buffer_append_str(out, TP_STR("\r\n"));
    }
    tp_buffer_append_str(out, tp_buffer_view(&reply->headers));
}

static void append_connection_and_id(tp_buffer *out, const tp_http_connection *connection,
                                     bool closes)
{
    const tp_http_request *request = &connection->request;
    if (!request->keep_alive || closes || connection->shared->draining) {
        tp_buffer_append_str(out, TP_STR("connection: close\r\n"));
    } else if (request->version_minor == 0) {
        tp_buffer_append_str(out, TP_STR("connection: keep-alive\r\n"));
    }
    tp_buffer_append_str(out, TP_STR("x-request-id: "));
    tp_buffer_append_text(out, request->id);
    tp_buffer_append_str(out, TP_STR("\r\n\r\n"));
}

void tp_http_reply_write(tp_buffer *out, const tp_http_connection *connection,
                         const tp_http_reply *reply)
{
    append_status_and_headers(out, connection->shared, reply);
    if (reply->status != 204) {
        tp_buffer_append_str(out, TP_STR("content-length: "));
        append_number(out, tp_http_reply_size(reply));
        tp_buffer_append_str(out, TP_STR("\r\n"));
    }
    append_connection_and_id(out, connection, reply->close);
    if (connection->request.method != TP_HTTP_HEAD && !reply->file.is_open) {
        tp_buffer_append_str(out, tp_buffer_view(&reply->body));
    }
}

void tp_http_reply_head_write(tp_buffer *out, const tp_http_connection *connection,
                              const tp_http_reply *head)
{
    const bool is_chunked = connection->request.version_minor > 0;
    append_status_and_headers(out, connection->shared, head);
    if (is_chunked) {
        tp_buffer_append_str(out, TP_STR("transfer-encoding: chunked\r\n"));
    }
    append_connection_and_id(out, connection, head->close || !is_chunked);
}
