// SPDX-License-Identifier: Apache-2.0
//
// The HTTP connection over arbitrary bytes. The first byte cuts the input into pieces; whatever the
// cut, the same requests must be handed out, the same bytes sent, and the same state reached (but
// of two faults in one line a refusal may name either). Every request that is handed out keeps what
// the connection promises of it. PUT is an upload, whose pieces are handed out one by one; some are
// answered before their end.
#include "base/tp_alloc.h"
#include "serve/tp_http.h"

#include <stdlib.h>
#include <string.h>

enum { PIECE_BYTES = 1 << 12 }; // of an upload, and the longest of other bodies

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
    if (!condition) {
        abort();
    }
}

typedef struct outcome {
    tp_buffer sent;
    uint64_t hash; // over all requests
    unsigned count;
    bool has_upload;
    tp_http_state state;
} outcome;

static void mix(outcome *result, tp_str text)
{
    result->hash = result->hash * 31 + tp_str_hash(text) + text.size;
}

static bool is_upload(void *user, const tp_http_request *request)
{
    (void)user;
    check(request->content_coding == TP_HTTP_IDENTITY && request->body.size == 0);
    return request->method == TP_HTTP_PUT;
}

static void on_upload_gone(void *user, tp_http_connection *connection, bool is_refused)
{
    outcome *result = user;
    check(connection->state == (is_refused ? TP_HTTP_CLOSING : connection->state));
    check(connection->upload_owner == result && result->has_upload);
    result->has_upload = false;
}

// Of an upload what has come so far. True where the rest is to come.
static bool take_piece(outcome *result, tp_http_connection *connection)
{
    const tp_http_request *request = &connection->request;
    const bool is_first = connection->upload_step == TP_HTTP_UPLOAD_HEAD;
    check(connection->state == TP_HTTP_HANDLING && request->method == TP_HTTP_PUT);
    check(is_first ? request->body_bytes == 0 : connection->upload_owner == result);
    check(request->body.size <= PIECE_BYTES);
    if (is_first) {
        result->has_upload = true;
        connection->upload_owner = result;
    }
    if (connection->upload_step == TP_HTTP_UPLOAD_LAST ||
        (is_first && tp_str_has_suffix(request->target, TP_STR("no")))) {
        connection->upload_owner = NULL;
        result->has_upload = false;
        return false;
    }
    tp_http_upload_go_on(connection);
    return true;
}

static void on_request(void *user, tp_http_connection *connection)
{
    outcome *result = user;
    const tp_http_request *request = &connection->request;
    result->count++;
    mix(result, request->target);
    mix(result, tp_buffer_view(&request->body));
    if (connection->upload_step != TP_HTTP_UPLOAD_NONE && take_piece(result, connection)) {
        return;
    }
    check(request->segment_count <= TP_MAX_HTTP_SEGMENTS);
    for (uint32_t i = 0; i < request->segment_count; i++) {
        const tp_str segment = request->segments[i];
        mix(result, segment);
        check(segment.size > 0 && tp_utf8_check(segment, NULL));
        check(memchr(segment.data, 0, segment.size) == NULL);
        check(memchr(segment.data, '\\', segment.size) == NULL);
        check(!tp_str_equal(segment, TP_STR("..")) && !tp_str_contains(segment, TP_STR("/../")));
    }
    for (uint32_t i = 0; i < request->header_count; i++) {
        mix(result, request->headers[i].name);
        mix(result, request->headers[i].value);
        check(request->headers[i].name.size > 0);
        check(memchr(request->headers[i].value.data, '\n', request->headers[i].value.size) == NULL);
    }
    check(tp_http_header_count(request, "host") <= 1);
    check(tp_http_header_count(request, "content-length") +
              tp_http_header_count(request, "transfer-encoding") <=
          1);
    tp_http_reply reply;
    tp_http_reply_init(&reply, connection->shared->alloc);
    reply.content_type = "text/plain";
    tp_buffer_append_text(&reply.body, "fine");
    tp_http_connection_reply(connection, &reply);
    tp_http_reply_deinit(&reply);
}

static void run(const uint8_t *data, size_t size, size_t step, outcome *result)
{
    const tapeout_allocator *alloc = tp_allocator_default();
    *result = (outcome){.hash = 1};
    tp_http_shared shared = {.alloc = alloc,
                             .max_body_bytes = PIECE_BYTES,
                             .id_seed = 7,
                             .handle = on_request,
                             .is_upload = is_upload,
                             .upload_gone = on_upload_gone,
                             .user = result};
    tp_buffer_init(&result->sent, alloc, 64 << 20);
    tp_http_connection connection;
    tp_http_connection_init(&connection, &shared);
    for (size_t i = 0; i < size; i += step) {
        const size_t part = size - i < step ? size - i : step;
        tp_http_connection_feed(&connection, data + i, part);
        // The owner sends and goes on, until nothing moves.
        while (connection.out.size > 0) {
            tp_buffer_append_str(&result->sent, tp_buffer_view(&connection.out));
            tp_buffer_clear(&connection.out);
            tp_http_connection_resume(&connection);
        }
    }
    result->state = connection.state;
    check(connection.pending.size == 0);
    tp_http_connection_deinit(&connection);
    check(!result->has_upload);
}

// Up to the headers of the last reply where that refuses, else all of it.
static size_t comparable(const tp_buffer *sent)
{
    static const char refusal[] = "HTTP/1.1 400 ";
    const size_t size = sizeof(refusal) - 1;
    for (size_t at = sent->size < size ? 0 : sent->size - size; at > 0; at--) {
        if (memcmp(sent->data + at, "HTTP/1.1 ", 9) == 0) {
            return memcmp(sent->data + at, refusal, size) == 0 ? at + size : sent->size;
        }
    }
    return sent->size >= size && memcmp(sent->data, refusal, size) == 0 ? size : sent->size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    const size_t step = 1 + data[0] % 64;
    outcome whole;
    outcome cut;
    run(data + 1, size - 1, size, &whole);
    run(data + 1, size - 1, step, &cut);
    check(whole.count == cut.count && whole.hash == cut.hash && whole.state == cut.state);
    const size_t same = comparable(&whole.sent);
    check(same == comparable(&cut.sent));
    check(same == 0 || memcmp(whole.sent.data, cut.sent.data, same) == 0);
    tp_buffer_deinit(&whole.sent);
    tp_buffer_deinit(&cut.sent);
    return 0;
}
