// SPDX-License-Identifier: Apache-2.0
//
// The connection: llhttp's callbacks gather one request, the parser pauses behind it, the request
// is handed out, and only when its reply stands in `out` does parsing go on. So at most one request
// of a connection exists at a time, and replies leave in order.
//
// While a request is being handled by another thread, or while the peer does not take its replies,
// bytes that still come in wait in `pending`, which is bounded: the owner stops reading when
// tp_http_connection_wants_bytes says no.
#include "serve/http_priv.h"

#include "base/tp_alloc.h"
#include "base/tp_clock.h"
#include "base/tp_random.h"

#include <string.h>

static int stop_full(tp_http_connection *connection, const tp_buffer *buffer, int status)
{
    return buffer->status == TAPEOUT_E_NOMEM
               ? tp_http_stop(connection, 503, "out of memory")
               : tp_http_stop(connection, status, "request head too large");
}

static uint64_t place_of(const tp_http_connection *connection, const char *data)
{
    return connection->chunk_offset + (uint64_t)(data - connection->chunk);
}

static int on_method(llhttp_t *parser, const char *data, size_t size)
{
    tp_http_connection *connection = parser->data;
    connection->method_end = place_of(connection, data + size);
    return 0;
}

// llhttp skips any number of spaces before the target; the grammar has one.
static int on_url(llhttp_t *parser, const char *data, size_t size)
{
    tp_http_connection *connection = parser->data;
    tp_buffer *head = &connection->request.head;
    if (head->size == 0 && place_of(connection, data) != connection->method_end + 1) {
        return tp_http_stop(connection, 400, "more than one space in the request line");
    }
    tp_buffer_append(head, data, size);
    if (head->status != TAPEOUT_OK) {
        return stop_full(connection, head, 414);
    }
    if (head->size > TP_MAX_HTTP_TARGET_BYTES) {
        return tp_http_stop(connection, 414, "request target too long");
    }
    connection->url_size = (uint32_t)head->size;
    return 0;
}

static int on_header_bytes(llhttp_t *parser, const char *data, size_t size)
{
    tp_http_connection *connection = parser->data;
    if (connection->state == TP_HTTP_BODY_PART) {
        return tp_http_on_trailer(connection, size);
    }
    tp_buffer *head = &connection->request.head;
    tp_buffer_append(head, data, size);
    return head->status == TAPEOUT_OK ? 0 : stop_full(connection, head, 431);
}

// Until the head is complete a view's `data` is an offset, since the buffer may still move.
static tp_str span_take(tp_http_connection *connection)
{
    const size_t end = connection->request.head.size;
    const size_t begin = connection->span_begin;
    connection->span_begin = (uint32_t)end;
    return (tp_str){(const char *)(uintptr_t)begin, end - begin};
}

static int on_header_field_complete(llhttp_t *parser)
{
    tp_http_connection *connection = parser->data;
    if (connection->state == TP_HTTP_BODY_PART) {
        return tp_http_on_trailer(connection, 2);
    }
    tp_http_request *request = &connection->request;
    if (request->header_count == TP_MAX_HTTP_HEADERS) {
        return tp_http_stop(connection, 431, "too many headers");
    }
    request->headers[request->header_count].name = span_take(connection);
    return 0;
}

static int on_header_value_complete(llhttp_t *parser)
{
    tp_http_connection *connection = parser->data;
    if (connection->state == TP_HTTP_BODY_PART) {
        return tp_http_on_trailer(connection, 2);
    }
    tp_http_request *request = &connection->request;
    request->headers[request->header_count].value = span_take(connection);
    request->header_count++;
    return 0;
}

static int on_url_complete(llhttp_t *parser)
{
    tp_http_connection *connection = parser->data;
    connection->span_begin = connection->url_size;
    return 0;
}

static tp_http_method method_of(const llhttp_t *parser)
{
    switch (llhttp_get_method((llhttp_t *)(uintptr_t)parser)) {
    case HTTP_GET:
        return TP_HTTP_GET;
    case HTTP_HEAD:
        return TP_HTTP_HEAD;
    case HTTP_POST:
        return TP_HTTP_POST;
    case HTTP_PUT:
        return TP_HTTP_PUT;
    case HTTP_PATCH:
        return TP_HTTP_PATCH;
    case HTTP_DELETE:
        return TP_HTTP_DELETE;
    case HTTP_OPTIONS:
        return TP_HTTP_OPTIONS;
    default:
        return TP_HTTP_OTHER;
    }
}

// Offsets become views, names lower case, values without the white space around them.
static void settle_headers(tp_http_request *request, uint32_t url_size)
{
    char *base = request->head.data;
    request->target = (tp_str){base, url_size};
    for (uint32_t i = 0; i < request->header_count; i++) {
        tp_http_header *header = &request->headers[i];
        char *name = base + (uintptr_t)header->name.data;
        for (size_t k = 0; k < header->name.size; k++) {
            if (name[k] >= 'A' && name[k] <= 'Z') {
                name[k] = (char)(name[k] + ('a' - 'A'));
            }
        }
        header->name.data = name;
        header->value.data = base + (uintptr_t)header->value.data;
        header->value = tp_str_trim(header->value);
    }
}

static bool is_id_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '_' || c == '.';
}

// A well-formed id of the client's is kept, so that its logs and ours meet; else one is made.
static void settle_id(tp_http_connection *connection)
{
    static const char hex[] = "0123456789abcdef";
    tp_http_request *request = &connection->request;
    const tp_str given = tp_http_header_find(request, "x-request-id");
    bool is_good = given.size > 0 && given.size <= TP_HTTP_ID_SIZE;
    for (size_t i = 0; is_good && i < given.size; i++) {
        is_good = is_id_char(given.data[i]);
    }
    if (is_good) {
        memcpy(request->id, given.data, given.size);
        request->id[given.size] = '\0';
        return;
    }
    tp_http_shared *shared = connection->shared;
    const uint64_t number = tp_random_u64(shared->id_seed, 0, shared->id_next++);
    for (int i = 0; i < 16; i++) {
        request->id[i] = hex[number >> (60 - 4 * i) & 15];
    }
    request->id[16] = '\0';
}

// W3C Trace Context: 00-<32 hex>-<16 hex>-<2 hex>, lower case, ids not all zero. A later version
// may go on behind a further '-'. A bad one is as none: never an error.
static void settle_trace(tp_http_request *request)
{
    request->trace_id[0] = '\0';
    const tp_str parent = tp_http_header_find(request, "traceparent");
    if (parent.size < 55 || memcmp(parent.data, "ff", 2) == 0 ||
        (parent.size > 55 && (memcmp(parent.data, "00", 2) == 0 || parent.data[55] != '-'))) {
        return;
    }
    bool has_trace = false;
    bool has_span = false;
    for (size_t i = 0; i < 55; i++) {
        const char c = parent.data[i];
        const bool is_dash = i == 2 || i == 35 || i == 52;
        const bool is_hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        if (is_dash ? c != '-' : !is_hex) {
            return;
        }
        has_trace = has_trace || (i > 2 && i < 35 && c != '0');
        has_span = has_span || (i > 35 && i < 52 && c != '0');
    }
    if (has_trace && has_span) {
        memcpy(request->trace_id, parent.data + 3, TP_HTTP_TRACE_SIZE);
        request->trace_id[TP_HTTP_TRACE_SIZE] = '\0';
    }
}

static int on_headers_complete(llhttp_t *parser)
{
    tp_http_connection *connection = parser->data;
    tp_http_request *request = &connection->request;
    settle_headers(request, connection->url_size);
    request->method = method_of(parser);
    request->version_minor = llhttp_get_http_minor(parser);
    settle_id(connection);
    settle_trace(request);
    bool expects_continue = false;
    const char *why = NULL;
    int status = tp_http_head_check(request, parser, &expects_continue, &why);
    if (status == 0) {
        status = tp_http_target_split(request, &why);
    }
    const bool is_upload = status == 0 && tp_http_upload_begin(connection, expects_continue);
    if (status == 0 && !is_upload) {
        status = tp_http_length_check(request, connection->shared->max_body_bytes, &why);
    }
    if (status != 0) {
        return tp_http_stop(connection, status, why);
    }
    // An Upgrade that we do not know is ignored, as RFC 9110 7.8 allows.
    parser->upgrade = 0;
    connection->state = TP_HTTP_BODY_PART;
    if (is_upload) {
        return HPE_PAUSED; // its body is not asked for before somebody takes it
    }
    if (expects_continue) {
        tp_buffer_append_text(&connection->out, "HTTP/1.1 100 Continue\r\n\r\n");
    }
    return 0;
}

static int on_message_begin(llhttp_t *parser)
{
    tp_http_connection *connection = parser->data;
    connection->state = TP_HTTP_HEAD_PART;
    connection->request.begin_ns = tp_clock_monotonic_ns();
    return 0;
}

static int on_message_complete(llhttp_t *parser)
{
    tp_http_connection *connection = parser->data;
    connection->request.keep_alive = llhttp_should_keep_alive(parser) != 0;
    tp_http_upload_complete(connection);
    return HPE_PAUSED;
}

static const llhttp_settings_t parser_settings = {
    .on_message_begin = on_message_begin,
    .on_method = on_method,
    .on_url = on_url,
    .on_url_complete = on_url_complete,
    .on_header_field = on_header_bytes,
    .on_header_field_complete = on_header_field_complete,
    .on_header_value = on_header_bytes,
    .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = tp_http_on_body,
    .on_chunk_header = tp_http_on_chunk_header,
    .on_chunk_extension_name = tp_http_on_chunk_extension,
    .on_chunk_extension_value = tp_http_on_chunk_extension,
    .on_message_complete = on_message_complete,
};

static void request_clear(tp_http_connection *connection)
{
    tp_http_request *request = &connection->request;
    request->header_count = 0;
    request->segment_count = 0;
    request->content_coding = TP_HTTP_IDENTITY;
    request->target = request->query = (tp_str){NULL, 0};
    request->content_length = request->body_bytes = request->held_up_ns = 0;
    request->id[0] = request->trace_id[0] = '\0';
    tp_buffer_clear(&request->head);
    tp_buffer_clear(&request->decoded_path);
    tp_buffer_clear(&request->body);
    connection->span_begin = connection->url_size = 0;
    connection->chunk_count = connection->extension_bytes = connection->trailer_bytes = 0;
    connection->upload_step = TP_HTTP_UPLOAD_NONE;
    connection->refuse_status = 0;
    connection->refuse_why = NULL;
}

void tp_http_connection_init(tp_http_connection *connection, tp_http_shared *shared)
{
    memset(connection, 0, sizeof(*connection));
    connection->shared = shared;
    llhttp_init(&connection->parser, HTTP_REQUEST, &parser_settings);
    connection->parser.data = connection;
    tp_http_request *request = &connection->request;
    tp_buffer_init(&request->head, shared->alloc, TP_MAX_HTTP_HEAD_BYTES);
    tp_buffer_init(&request->decoded_path, shared->alloc, TP_MAX_HTTP_TARGET_BYTES);
    tp_buffer_init(&request->body, shared->alloc, shared->max_body_bytes);
    tp_buffer_init(&connection->out, shared->alloc, (size_t)TP_MAX_HTTP_REPLY_BYTES * 2);
    tp_buffer_init(&connection->pending, shared->alloc, (size_t)TP_MAX_HTTP_PENDING_BYTES * 2);
    request_clear(connection);
}

void tp_http_connection_deinit(tp_http_connection *connection)
{
    tp_http_upload_gone(connection, false);
    tp_http_file_close(&connection->file);
    tp_buffer_deinit(&connection->request.head);
    tp_buffer_deinit(&connection->request.decoded_path);
    tp_buffer_deinit(&connection->request.body);
    tp_buffer_deinit(&connection->out);
    tp_buffer_deinit(&connection->pending);
    (void)tp_http_budget_update(connection); // gives back
}

void tp_http_connection_refuse(tp_http_connection *connection, int status, const char *why)
{
    if (connection->state == TP_HTTP_CLOSING) {
        return;
    }
    if (connection->request.id[0] == '\0') {
        connection->request.header_count = 0; // may still hold offsets
        settle_id(connection);
    }
    connection->request.keep_alive = false;
    tp_http_reply reply;
    tp_http_reply_init(&reply, connection->shared->alloc);
    reply.status = status;
    reply.close = true;
    reply.content_type = "application/json";
    if (status == 503) {
        tp_buffer_append_text(&reply.headers, "retry-after: 1\r\n");
    }
    tp_buffer_printf(&reply.body, "{\"error\":\"%s\"}", why);
    tp_http_reply_write(&connection->out, connection, &reply);
    tp_http_reply_deinit(&reply);
    connection->state = TP_HTTP_CLOSING;
    // The end may be a second away; what was received is not needed for it.
    tp_buffer_clear(&connection->pending);
    tp_buffer_clear(&connection->request.body);
    tp_buffer_shrink(&connection->pending, TP_MAX_HTTP_IDLE_BYTES);
    tp_buffer_shrink(&connection->request.body, TP_MAX_HTTP_IDLE_BYTES);
    (void)tp_http_budget_update(connection); // gives back
    if (connection->shared->refused != NULL) {
        connection->shared->refused(connection->shared->user, connection, status, why);
    }
    tp_http_upload_gone(connection, true);
}

static void refuse_parse_error(tp_http_connection *connection, llhttp_errno_t error)
{
    if (connection->refuse_status != 0) {
        tp_http_connection_refuse(connection, connection->refuse_status, connection->refuse_why);
        return;
    }
    // llhttp's reasons are fixed sentences of its own, never bytes of the request.
    const char *reason = llhttp_get_error_reason(&connection->parser);
    // The same code stands for a line that does not end behind the version.
    const bool is_version = error == HPE_INVALID_VERSION && reason != NULL &&
                            strcmp(reason, "Invalid HTTP version") == 0;
    if (is_version) {
        tp_http_connection_refuse(connection, 505, "HTTP version not supported");
    } else if (error == HPE_PAUSED_H2_UPGRADE) {
        tp_http_connection_refuse(connection, 505, "HTTP/2 is not spoken here");
    } else {
        const bool is_plain = reason != NULL && strpbrk(reason, "\"\\") == NULL;
        tp_http_connection_refuse(connection, 400, is_plain ? reason : "malformed request");
    }
}

// Keeps what cannot be looked at yet. The owner should have stopped reading long before the limit.
static void hold_back(tp_http_connection *connection, const char *data, size_t size)
{
    tp_buffer_append(&connection->pending, data, size);
    (void)tp_http_budget_update(connection); // beyond it, tp_http_connection_wants_bytes says no
    if (connection->pending.status != TAPEOUT_OK && connection->state != TP_HTTP_HANDLING) {
        tp_http_connection_refuse(connection, 503, "too much was sent ahead");
    }
}

static bool must_wait(const tp_http_connection *connection)
{
    return connection->state == TP_HTTP_HANDLING || connection->out.size >= TP_MAX_HTTP_OUT_BYTES;
}

static void parse(tp_http_connection *connection, const char *data, size_t size)
{
    while (size > 0 && connection->state != TP_HTTP_CLOSING) {
        if (must_wait(connection)) {
            hold_back(connection, data, size);
            return;
        }
        connection->chunk = data;
        size_t used = tp_http_upload_room(connection, size);
        const llhttp_errno_t error = llhttp_execute(&connection->parser, data, used);
        if (error != HPE_OK && error != HPE_PAUSED) {
            refuse_parse_error(connection, error);
            return;
        }
        if (error == HPE_PAUSED) {
            used = (size_t)(llhttp_get_error_pos(&connection->parser) - data);
            llhttp_resume(&connection->parser);
        }
        connection->chunk_offset += used;
        data += used;
        size -= used;
        if (error == HPE_PAUSED || tp_http_upload_is_full(connection)) {
            connection->state = TP_HTTP_HANDLING;
            tp_http_upload_hand_out(connection);
            connection->shared->handle(connection->shared->user, connection);
        }
    }
}

void tp_http_connection_feed(tp_http_connection *connection, const void *data, size_t size)
{
    if (connection->pending.size > 0 && connection->state != TP_HTTP_CLOSING) {
        hold_back(connection, data, size);
        return;
    }
    parse(connection, data, size);
}

void tp_http_connection_resume(tp_http_connection *connection)
{
    if (must_wait(connection)) {
        return;
    }
    if (connection->pending.status != TAPEOUT_OK) {
        // Some of what was sent is missing, and what lies behind it must not be taken for it.
        tp_http_connection_refuse(connection, 503, "out of memory");
        return;
    }
    if (connection->pending.size > 0) {
        // Moved out, since parsing may hold back its rest in `pending` again.
        tp_buffer taken = connection->pending;
        tp_buffer_init(&connection->pending, taken.alloc, taken.max_size);
        parse(connection, taken.data, taken.size);
        tp_buffer_deinit(&taken);
        (void)tp_http_budget_update(connection); // gives back, or has it already
    }
    if (connection->has_ended) {
        tp_http_connection_end(connection);
    }
}

void tp_http_connection_end(tp_http_connection *connection)
{
    connection->has_ended = true;
    if (connection->state == TP_HTTP_HANDLING || connection->pending.size > 0) {
        return;
    }
    if (connection->state == TP_HTTP_HEAD_PART || connection->state == TP_HTTP_BODY_PART) {
        tp_http_connection_refuse(connection, 400, "request cut short");
    }
    connection->state = TP_HTTP_CLOSING;
}

// The request is answered: on to the next, or to the end.
static void leave_request(tp_http_connection *connection, bool closes)
{
    const bool stays = connection->request.keep_alive && !closes && !connection->shared->draining &&
                       connection->out.status == TAPEOUT_OK;
    connection->state = stays ? TP_HTTP_IDLE : TP_HTTP_CLOSING;
    request_clear(connection);
    if (!stays) {
        tp_buffer_clear(&connection->pending);
    } else if (connection->has_ended && connection->pending.size == 0) {
        connection->state = TP_HTTP_CLOSING;
    }
}

void tp_http_connection_reply(tp_http_connection *connection, tp_http_reply *reply)
{
    if (connection->state != TP_HTTP_HANDLING) {
        return;
    }
    // A body that was not asked for, or not to its end, is never looked at.
    reply->close = reply->close || tp_http_upload_is_under_way(connection);
    tp_http_reply_write(&connection->out, connection, reply);
    if (reply->file.is_open && connection->request.method != TP_HTTP_HEAD) {
        connection->file = reply->file;
        reply->file = (tp_http_file){0};
        // What the head has announced holds, even if a drain begins before the end.
        connection->closes_after = reply->close || connection->shared->draining;
    } else {
        leave_request(connection, reply->close);
    }
}

void tp_http_connection_refill(tp_http_connection *connection)
{
    tp_http_file *file = &connection->file;
    if (!file->is_open) {
        return;
    }
    tp_http_file_append(file, &connection->out);
    const bool is_sent = file->offset == file->size;
    if (is_sent || connection->out.status != TAPEOUT_OK) {
        tp_http_file_close(file);
    }
    if (is_sent) {
        leave_request(connection, connection->closes_after);
    }
}

void tp_http_connection_begin(tp_http_connection *connection, const tp_http_reply *head)
{
    if (connection->state == TP_HTTP_HANDLING) {
        tp_http_reply_head_write(&connection->out, connection, head);
        // What the head has announced holds, even if a drain begins before the end.
        connection->closes_after =
            head->close || connection->request.version_minor == 0 || connection->shared->draining;
    }
}

void tp_http_connection_piece(tp_http_connection *connection, tp_str piece)
{
    if (connection->state != TP_HTTP_HANDLING || piece.size == 0) {
        return;
    }
    if (connection->request.version_minor == 0) {
        tp_buffer_append_str(&connection->out, piece);
        return;
    }
    tp_buffer_printf(&connection->out, "%zx\r\n", piece.size);
    tp_buffer_append_str(&connection->out, piece);
    tp_buffer_append_str(&connection->out, TP_STR("\r\n"));
}

void tp_http_connection_finish(tp_http_connection *connection)
{
    if (connection->state != TP_HTTP_HANDLING) {
        return;
    }
    if (connection->request.version_minor > 0) {
        tp_buffer_append_str(&connection->out, TP_STR("0\r\n\r\n"));
    }
    leave_request(connection, connection->closes_after);
}

bool tp_http_connection_wants_bytes(const tp_http_connection *connection)
{
    return connection->state != TP_HTTP_CLOSING && !connection->has_ended &&
           connection->pending.size < TP_MAX_HTTP_PENDING_BYTES &&
           connection->out.size < TP_MAX_HTTP_OUT_BYTES &&
           (connection->pending.size == 0 || !tp_http_budget_is_spent(connection));
}

void tp_http_connection_shrink(tp_http_connection *connection)
{
    tp_buffer_shrink(&connection->request.head, TP_MAX_HTTP_IDLE_BYTES);
    tp_buffer_shrink(&connection->request.decoded_path, TP_MAX_HTTP_IDLE_BYTES);
    tp_buffer_shrink(&connection->request.body, TP_MAX_HTTP_IDLE_BYTES);
    tp_buffer_shrink(&connection->out, TP_MAX_HTTP_IDLE_BYTES);
    tp_buffer_shrink(&connection->pending, TP_MAX_HTTP_IDLE_BYTES);
    (void)tp_http_budget_update(connection); // gives back
}
