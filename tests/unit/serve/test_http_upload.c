// SPDX-License-Identifier: Apache-2.0
//
// Bodies that are handed out in pieces, without a socket: what is there at each step, that nothing
// is asked for before the head was let in, how large a piece gets, and each way in which one ends.
#include "http_cases.h"

#include "base/tp_error.h"

#include <string.h>

enum { MAX_STEPS = 64, LARGE_BYTES = 3 * TP_MAX_HTTP_PIECE_BYTES + 100 };

#define NEXT "GET /next HTTP/1.1\r\nHost: a\r\n\r\n"

// A client whose PUTs are uploads, and who takes them.
typedef struct uploader {
    http_probe probe; // first
    tp_http_upload_step steps[MAX_STEPS];
    size_t sizes[MAX_STEPS]; // of the pieces
    int count;
    char received[LARGE_BYTES + 1];
    size_t received_size;
    int gone; // -1: because the client left; 1: by a refusal
    int asked;
    int refuse_at; // the step at which there is a reply; -1: only at the end
} uploader;

static void reply(tp_http_connection *connection, int status)
{
    tp_http_reply answer;
    tp_http_reply_init(&answer, connection->shared->alloc);
    answer.status = status;
    connection->upload_owner = NULL;
    tp_http_connection_reply(connection, &answer);
    tp_http_reply_deinit(&answer);
}

// What whoever was handed the request does with it.
static void take(uploader *self)
{
    tp_http_connection *connection = &self->probe.connection;
    const int step = self->count - 1;
    if (step == self->refuse_at) {
        reply(connection, 403);
    } else if (connection->upload_step == TP_HTTP_UPLOAD_NONE ||
               connection->upload_step == TP_HTTP_UPLOAD_LAST) {
        reply(connection, 200);
    } else {
        connection->upload_owner = self;
        tp_http_upload_go_on(connection);
    }
}

static void on_request(void *user, tp_http_connection *connection)
{
    uploader *self = user;
    const tp_buffer *body = &connection->request.body;
    ASSERT(self->count < MAX_STEPS && connection->state == TP_HTTP_HANDLING);
    self->steps[self->count] = connection->upload_step;
    self->sizes[self->count++] = body->size;
    ASSERT(body->size <= LARGE_BYTES - self->received_size);
    for (size_t i = 0; i < body->size; i++) {
        self->received[self->received_size + i] = body->data[i];
    }
    self->received_size += body->size;
    if (!self->probe.is_slow) {
        take(self);
    }
}

static void on_refused(void *user, tp_http_connection *connection, int status, const char *why)
{
    uploader *self = user;
    ASSERT(why != NULL && connection->state == TP_HTTP_CLOSING);
    self->probe.refused_status = status;
}

static bool is_upload(void *user, const tp_http_request *request)
{
    ((uploader *)user)->asked++;
    return request->method == TP_HTTP_PUT;
}

static void on_gone(void *user, tp_http_connection *connection, bool is_refused)
{
    uploader *self = user;
    ASSERT(connection->upload_owner == self && self->gone == 0);
    self->gone = is_refused ? 1 : -1;
}

static void uploader_init(uploader *self)
{
    http_probe_init(&self->probe);
    self->count = self->gone = self->asked = 0;
    self->received_size = 0;
    self->refuse_at = -1;
    self->probe.shared.handle = on_request;
    self->probe.shared.refused = on_refused;
    self->probe.shared.is_upload = is_upload;
    self->probe.shared.upload_gone = on_gone;
    self->probe.shared.user = self;
}

static void feed(uploader *self, const char *text)
{
    http_probe_feed(&self->probe, text, strlen(text), false);
}

// The handler has done its step; what waits is looked at.
static void go_on(uploader *self)
{
    take(self);
    tp_http_connection_resume(&self->probe.connection);
}

static const char *large_body(void)
{
    static char body[LARGE_BYTES];
    for (size_t i = 0; i < sizeof(body); i++) {
        body[i] = (char)(i % 253);
    }
    return body;
}

static void feed_large(uploader *self, size_t step)
{
    char head[128];
    const char *body = large_body();
    (void)snprintf(head, sizeof(head), "PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n",
                   LARGE_BYTES);
    feed(self, head);
    for (size_t at = 0; at < LARGE_BYTES; at += step) {
        const size_t size = LARGE_BYTES - at < step ? LARGE_BYTES - at : step;
        tp_http_connection_feed(&self->probe.connection, body + at, size);
    }
}

static void assert_large(const uploader *self)
{
    ASSERT_EQ_INT(self->count, 5); // the head, three whole pieces, the end
    ASSERT_EQ_INT(self->steps[0], TP_HTTP_UPLOAD_HEAD);
    ASSERT_EQ_UINT(self->sizes[0], 0);
    for (int i = 1; i < 4; i++) {
        ASSERT_EQ_INT(self->steps[i], TP_HTTP_UPLOAD_PIECE);
        ASSERT_EQ_UINT(self->sizes[i], TP_MAX_HTTP_PIECE_BYTES);
    }
    ASSERT_EQ_INT(self->steps[4], TP_HTTP_UPLOAD_LAST);
    ASSERT_EQ_UINT(self->sizes[4], 100);
    ASSERT_EQ_BYTES(self->received, self->received_size, large_body(), LARGE_BYTES);
}

// -- cases ---------------------------------------------------------------------------------------
static void try_pieces(size_t step)
{
    static uploader self;
    uploader_init(&self);
    feed_large(&self, step);
    assert_large(&self);
    ASSERT_EQ_INT(http_probe_status(&self.probe, 0), 200);
    ASSERT_EQ_INT(self.probe.connection.state, TP_HTTP_IDLE);
    ASSERT(self.probe.allocator.peak_bytes < 3 * TP_MAX_HTTP_PIECE_BYTES);
    feed(&self, NEXT); // and is as before
    ASSERT_EQ_INT(self.steps[5], TP_HTTP_UPLOAD_NONE);
    ASSERT_EQ_INT(http_probe_status(&self.probe, 1), 200);
    http_probe_deinit(&self.probe);
    ASSERT_EQ_INT(self.gone, 0);
}

static void test_pieces(void)
{
    try_pieces(LARGE_BYTES);
    try_pieces(997);
    try_pieces(1);
}

static void test_a_body_of_one_piece_exactly(void)
{
    static uploader self;
    char head[128];
    uploader_init(&self);
    (void)snprintf(head, sizeof(head), "PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: %u\r\n\r\n",
                   TP_MAX_HTTP_PIECE_BYTES);
    feed(&self, head);
    http_probe_feed(&self.probe, large_body(), TP_MAX_HTTP_PIECE_BYTES, false);
    ASSERT_EQ_INT(self.count, 2);
    ASSERT_EQ_INT(self.steps[1], TP_HTTP_UPLOAD_LAST);
    ASSERT_EQ_UINT(self.received_size, TP_MAX_HTTP_PIECE_BYTES);
    ASSERT_EQ_INT(http_probe_status(&self.probe, 0), 200);
    http_probe_deinit(&self.probe);
}

// Bodies that are held may be shorter than a piece: then pieces are, too.
static void test_small_pieces(void)
{
    static uploader self;
    uploader_init(&self);
    self.probe.shared.max_body_bytes = 4;
    tp_http_connection_deinit(&self.probe.connection);
    tp_http_connection_init(&self.probe.connection, &self.probe.shared);
    feed(&self, "PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789");
    ASSERT_EQ_INT(self.count, 4);
    ASSERT_EQ_UINT(self.sizes[1], 4);
    ASSERT_EQ_BYTES(self.received, self.received_size, "0123456789", 10);
    ASSERT_EQ_INT(http_probe_status(&self.probe, 0), 200);
    http_probe_deinit(&self.probe);
}

static void test_chunks(void)
{
    static uploader self;
    uploader_init(&self);
    feed(&self, "PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                "3\r\nabc\r\n5;x\r\ndefgh\r\n0\r\nEvil: yes\r\n\r\n" NEXT);
    ASSERT_EQ_INT(self.count, 3);
    ASSERT_EQ_INT(self.steps[1], TP_HTTP_UPLOAD_LAST);
    ASSERT_EQ_BYTES(self.received, self.received_size, "abcdefgh", 8);
    ASSERT_EQ_INT(http_probe_status(&self.probe, 1), 200);
    http_probe_deinit(&self.probe);
}

// More of them than another body may have: nothing is kept of them.
static void test_many_chunks(void)
{
    static uploader self;
    uploader_init(&self);
    feed(&self, "PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (unsigned i = 0; i <= TP_MAX_HTTP_CHUNKS; i++) {
        tp_http_connection_feed(&self.probe.connection, "1\r\nx\r\n", 6);
    }
    feed(&self, "0\r\n\r\n");
    ASSERT_EQ_INT(self.probe.refused_status, 0);
    ASSERT_EQ_UINT(self.received_size, TP_MAX_HTTP_CHUNKS + 1);
    ASSERT_EQ_INT(http_probe_status(&self.probe, 0), 200);
    http_probe_deinit(&self.probe);
}

static void test_what_is_no_upload(void)
{
    static uploader self;
    uploader_init(&self);
    feed(&self, "PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
                "PUT /a HTTP/1.1\r\nHost: a\r\n\r\n"
                "PUT /a HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: "
                "3\r\n\r\nabc");
    ASSERT_EQ_INT(self.asked, 0);
    feed(&self, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\ndef");
    ASSERT_EQ_INT(self.asked, 1);
    ASSERT_EQ_INT(self.count, 4);
    for (int i = 0; i < 4; i++) {
        ASSERT_EQ_INT(self.steps[i], TP_HTTP_UPLOAD_NONE);
        ASSERT_EQ_INT(http_probe_status(&self.probe, i), 200);
    }
    // Their limit is that of all bodies.
    feed(&self, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n");
    ASSERT_EQ_INT(self.probe.refused_status, 413);
    http_probe_deinit(&self.probe);
}

static void test_an_upload_has_no_limit_here(void)
{
    static uploader self;
    uploader_init(&self);
    self.probe.is_slow = true;
    feed(&self, "PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\n");
    ASSERT_EQ_INT(self.count, 1);
    ASSERT_EQ_UINT(self.probe.connection.request.content_length, (uint64_t)1 << 63);
    reply(&self.probe.connection, 413);
    ASSERT_EQ_INT(self.probe.connection.state, TP_HTTP_CLOSING);
    http_probe_deinit(&self.probe);
}

static void test_continue_only_for_who_is_let_in(void)
{
    static uploader self;
    uploader_init(&self);
    self.probe.is_slow = true;
    feed(&self, "PUT /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                "Content-Length: 2\r\n\r\n");
    ASSERT_EQ_INT(self.count, 1);
    ASSERT_EQ_UINT(self.probe.connection.out.size, 0);
    go_on(&self);
    ASSERT_EQ_INT(http_probe_status(&self.probe, 0), 100);
    feed(&self, "{}");
    go_on(&self);
    ASSERT_EQ_INT(http_probe_status(&self.probe, 1), 200);
    ASSERT_EQ_INT(http_probe_status(&self.probe, 2), 0);
    tp_buffer_clear(&self.probe.connection.out);
    feed(&self, "PUT /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                "Content-Length: 2\r\n\r\n");
    self.refuse_at = 2;
    go_on(&self);
    ASSERT_EQ_INT(http_probe_status(&self.probe, 0), 403);
    ASSERT(http_probe_sent(&self.probe, "connection: close\r\n"));
    ASSERT_EQ_INT(self.probe.connection.state, TP_HTTP_CLOSING);
    http_probe_deinit(&self.probe);
}

// Whatever comes meanwhile waits, and is never looked at after a refusal.
static void try_refused(int at)
{
    static uploader self;
    uploader_init(&self);
    feed(&self, NEXT); // on a connection that was to stay
    self.count = 0;
    self.refuse_at = at;
    feed_large(&self, LARGE_BYTES);
    feed(&self, NEXT);
    ASSERT_EQ_INT(self.count, at + 1);
    ASSERT_EQ_INT(http_probe_status(&self.probe, 1), 403);
    ASSERT_EQ_INT(http_probe_status(&self.probe, 2), 0);
    ASSERT_EQ_INT(self.probe.connection.state, TP_HTTP_CLOSING);
    ASSERT(http_probe_sent(&self.probe, "connection: close"));
    http_probe_deinit(&self.probe);
    ASSERT_EQ_INT(self.gone, 0);
}

static void test_refused(void)
{
    try_refused(0);
    try_refused(1);
    try_refused(3);
}

static void test_who_takes_pieces_slowly(void)
{
    static uploader self;
    uploader_init(&self);
    self.probe.is_slow = true;
    feed(&self, "PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 786532\r\n\r\n");
    size_t at = 0;
    while (at < LARGE_BYTES || self.probe.connection.state == TP_HTTP_HANDLING) {
        const size_t step = LARGE_BYTES - at < 50000 ? LARGE_BYTES - at : 50000;
        if (step > 0 && tp_http_connection_wants_bytes(&self.probe.connection)) {
            http_probe_feed(&self.probe, large_body() + at, step, false);
            at += step;
        } else {
            go_on(&self); // only when nothing more is taken
        }
        ASSERT(self.probe.connection.pending.size < TP_MAX_HTTP_PENDING_BYTES + 50000);
    }
    ASSERT_EQ_INT(LARGE_BYTES, 786532);
    assert_large(&self);
    ASSERT_EQ_INT(http_probe_status(&self.probe, 0), 200);
    ASSERT(self.probe.allocator.peak_bytes < 4 * TP_MAX_HTTP_PIECE_BYTES);
    http_probe_deinit(&self.probe);
}

static void test_ends(void)
{
    static uploader self;
    // Broken chunks.
    uploader_init(&self);
    feed(&self, "PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX");
    ASSERT_EQ_INT(self.probe.refused_status, 400);
    ASSERT_EQ_INT(self.gone, 1);
    http_probe_deinit(&self.probe);
    // A deadline.
    uploader_init(&self);
    feed(&self, "PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc");
    ASSERT_EQ_UINT(self.probe.connection.request.body_bytes, 3);
    tp_http_connection_refuse(&self.probe.connection, 408, "too slow");
    ASSERT_EQ_INT(self.gone, 1);
    http_probe_deinit(&self.probe);
    // The client sends nothing more, between two pieces and while one is being taken.
    for (int i = 0; i < 2; i++) {
        uploader_init(&self);
        self.probe.is_slow = i == 1;
        feed(&self, "PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
        tp_http_connection_end(&self.probe.connection);
        ASSERT_EQ_INT(self.probe.refused_status, i == 0 ? 400 : 0);
        if (i == 1) {
            go_on(&self);
        }
        ASSERT_EQ_INT(self.probe.refused_status, 400);
        ASSERT_EQ_INT(self.gone, 1);
        ASSERT_EQ_INT(self.probe.connection.state, TP_HTTP_CLOSING);
        http_probe_deinit(&self.probe);
    }
    // The client is gone.
    uploader_init(&self);
    feed(&self, "PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc");
    ASSERT_EQ_INT(self.gone, 0);
    http_probe_deinit(&self.probe);
    ASSERT_EQ_INT(self.gone, -1);
}

// Who is closed while a step is being done is not gone on with.
static void test_closed_meanwhile(void)
{
    static uploader self;
    uploader_init(&self);
    self.probe.is_slow = true;
    feed(&self, "PUT /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    self.probe.connection.state = TP_HTTP_CLOSING;
    go_on(&self);
    ASSERT_EQ_INT(self.probe.connection.state, TP_HTTP_CLOSING);
    ASSERT_EQ_UINT(self.probe.connection.out.size, 0);
    http_probe_deinit(&self.probe);
    ASSERT_EQ_INT(self.gone, -1);
}

// Pieces count against what all bodies may take together.
static void test_budget(void)
{
    static uploader self;
    tp_http_budget budget = {.max_bytes = TP_MAX_HTTP_PIECE_BYTES / 2};
    uploader_init(&self);
    self.probe.shared.budget = &budget;
    feed_large(&self, LARGE_BYTES);
    ASSERT_EQ_INT(self.probe.refused_status, 503);
    ASSERT_EQ_INT(self.gone, 1);
    http_probe_deinit(&self.probe);
    ASSERT_EQ_UINT(atomic_load(&budget.used_bytes), 0);
}

// Every allocation fails in turn: refused with 503, closed, or as if nothing had happened.
static void test_memory(void)
{
    static uploader self;
    for (size_t i = 1;; i++) {
        uploader_init(&self);
        self.probe.allocator.fail_at = i;
        feed_large(&self, LARGE_BYTES);
        const bool is_done = self.probe.allocator.count < i;
        const int status = self.probe.refused_status;
        ASSERT(status == 0 || status == 503);
        ASSERT(status == 0 || self.gone == (self.count > 0));
        if (status == 0 && self.probe.connection.out.status == TAPEOUT_OK) {
            assert_large(&self);
        }
        http_probe_deinit(&self.probe);
        if (is_done) {
            ASSERT(i > 3);
            return;
        }
    }
}

// What comes while a piece is taken, and for which there is no memory, is missing in the middle:
// what comes behind it must not be taken for it.
static void test_what_could_not_be_held_back(void)
{
    static uploader self;
    uploader_init(&self);
    self.probe.is_slow = true;
    feed(&self, "PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n");
    self.probe.connection.upload_owner = &self;
    self.probe.allocator.fail_at = self.probe.allocator.count + 1;
    feed(&self, "01234");
    feed(&self, "56789" NEXT);
    go_on(&self);
    ASSERT_EQ_INT(self.probe.refused_status, 503);
    ASSERT_EQ_INT(self.gone, 1);
    ASSERT_EQ_INT(self.count, 1);
    http_probe_deinit(&self.probe);
}

TEST_MAIN(TEST(test_pieces), TEST(test_a_body_of_one_piece_exactly), TEST(test_small_pieces),
          TEST(test_chunks), TEST(test_many_chunks), TEST(test_what_is_no_upload),
          TEST(test_an_upload_has_no_limit_here), TEST(test_continue_only_for_who_is_let_in),
          TEST(test_refused), TEST(test_who_takes_pieces_slowly), TEST(test_ends),
          TEST(test_closed_meanwhile), TEST(test_budget), TEST(test_memory),
          TEST(test_what_could_not_be_held_back))
