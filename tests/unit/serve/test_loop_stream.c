// SPDX-License-Identifier: Apache-2.0
//
// Replies that another thread makes, over real sockets: whole and in pieces, for both versions of
// HTTP, with a client that leaves, one that never reads, and a loop that is told to end. And an
// upload that has to wait for its turn.
#include "serve/tp_loop.h"

#include "base/tp_alloc.h"

#include "test.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    PIECES = 20,
    FLOOD_BYTES = 64 << 10,
    PATIENCE_MS = 20000,
    BODY_MS = 2000,   // that a client has for a body
    TURN_MS = 2500,   // that it waits for its turn
    THINKING_MS = 500 // and then takes itself
};

// What the first segment of the path asks for.
typedef enum script { SCRIPT_WHOLE, SCRIPT_PIECES, SCRIPT_FLOOD, SCRIPT_WAIT } script;

typedef struct producer {
    struct fixture *fixture;
    tp_stream *stream;
    script script;
    atomic_bool is_gone;
} producer;

typedef struct fixture {
    tp_loop *loop;
    pthread_t thread;
    int listen_fd;
    struct sockaddr_in address;
    test_allocator allocator;
    pthread_mutex_t lock; // the test allocator has none
    tapeout_allocator locked;
    atomic_int opened;
    atomic_int answered;
    atomic_int gone;
    atomic_int done;
    atomic_ullong sent_bytes;
    tp_loop_job job; // of an upload
    tp_http_reply reply;
} fixture;

static void *locked_alloc(void *user, size_t size)
{
    fixture *self = user;
    (void)pthread_mutex_lock(&self->lock);
    void *block = self->allocator.base.alloc(self->allocator.base.user, size);
    (void)pthread_mutex_unlock(&self->lock);
    return block;
}

static void *locked_resize(void *user, void *block, size_t old_size, size_t new_size)
{
    fixture *self = user;
    (void)pthread_mutex_lock(&self->lock);
    block = self->allocator.base.resize(self->allocator.base.user, block, old_size, new_size);
    (void)pthread_mutex_unlock(&self->lock);
    return block;
}

static void locked_free(void *user, void *block, size_t size)
{
    fixture *self = user;
    (void)pthread_mutex_lock(&self->lock);
    self->allocator.base.free(self->allocator.base.user, block, size);
    (void)pthread_mutex_unlock(&self->lock);
}

static void on_gone(void *user)
{
    producer *self = user;
    atomic_store(&self->is_gone, true);
    atomic_fetch_add(&self->fixture->gone, 1);
}

static void on_answered(void *user, int status, uint64_t sent_bytes, bool is_gone)
{
    producer *self = user;
    ASSERT(is_gone || status == 200);
    atomic_fetch_add(&self->fixture->answered, 1);
    atomic_store(&self->fixture->sent_bytes, sent_bytes);
}

static void on_done(void *user)
{
    producer *self = user;
    fixture *owner = self->fixture;
    tp_free(&owner->locked, self, sizeof(*self));
    atomic_fetch_add(&owner->done, 1);
}

static void produce_pieces(producer *self)
{
    tp_http_reply head;
    tp_http_reply_init(&head, &self->fixture->locked);
    head.content_type = "text/event-stream";
    tp_stream_begin(self->stream, &head);
    tp_http_reply_deinit(&head);
    if (self->script == SCRIPT_PIECES) {
        for (int i = 0; i < PIECES; i++) {
            tp_stream_write(self->stream, TP_STR("piece\n"));
            (void)usleep(500);
        }
    }
    static char flood[FLOOD_BYTES];
    for (int i = 0; i < PATIENCE_MS && !atomic_load(&self->is_gone); i++) {
        if (self->script == SCRIPT_FLOOD) {
            tp_stream_write(self->stream, (tp_str){flood, sizeof(flood)});
        } else if (self->script == SCRIPT_PIECES) {
            break;
        }
        (void)usleep(1000);
    }
    tp_stream_end(self->stream);
}

static void *produce(void *argument)
{
    producer *self = argument;
    if (self->script != SCRIPT_WHOLE) {
        produce_pieces(self);
        return NULL;
    }
    tp_http_reply reply;
    tp_http_reply_init(&reply, &self->fixture->locked);
    reply.content_type = "text/plain";
    tp_buffer_append_text(&reply.body, "all of it");
    tp_stream_answer(self->stream, &reply);
    tp_http_reply_deinit(&reply);
    return NULL;
}

// -- an upload, whose first step takes long ------------------------------------------------------
static bool is_upload(void *user, const tp_http_request *request)
{
    (void)user;
    return request->method == TP_HTTP_PUT;
}

static void on_upload_gone(void *user, tp_client *client, bool is_refused)
{
    (void)client;
    (void)is_refused;
    atomic_fetch_add(&((fixture *)user)->gone, 1);
}

static void on_step_run(tp_loop_job *job)
{
    if (job->client->http.upload_step == TP_HTTP_UPLOAD_HEAD) {
        (void)usleep(TURN_MS * 1000);
    }
}

static void on_step_answer(tp_loop_job *job)
{
    fixture *self = job->client->http.upload_owner;
    if (job->client->http.upload_step == TP_HTTP_UPLOAD_LAST) {
        job->client->http.upload_owner = NULL;
        job->reply = &self->reply;
    } else {
        tp_http_upload_go_on(&job->client->http);
    }
}

static void on_step_done(tp_loop_job *job)
{
    (void)job;
}

static void take_step(fixture *self, tp_client *client)
{
    client->http.upload_owner = self;
    self->job = (tp_loop_job){.run = on_step_run, .answer = on_step_answer, .done = on_step_done};
    ASSERT_OK(tp_client_offload(client, &self->job, &test_err));
}

static void on_handle(void *user, tp_client *client)
{
    fixture *self = user;
    if (client->http.upload_step != TP_HTTP_UPLOAD_NONE) {
        take_step(self, client);
        return;
    }
    producer *made = tp_alloc_zero(&self->locked, sizeof(*made));
    const tp_str path = client->http.request.segments[0];
    pthread_t thread;
    made->fixture = self;
    made->script = tp_str_equal(path, TP_STR("pieces"))  ? SCRIPT_PIECES
                   : tp_str_equal(path, TP_STR("flood")) ? SCRIPT_FLOOD
                   : tp_str_equal(path, TP_STR("wait"))  ? SCRIPT_WAIT
                                                         : SCRIPT_WHOLE;
    const tp_stream_events events = {on_gone, on_answered, on_done, made};
    ASSERT_OK(tp_stream_open(client, &events, &made->stream, &test_err));
    atomic_fetch_add(&self->opened, 1);
    ASSERT_EQ_INT(pthread_create(&thread, NULL, produce, made), 0);
    ASSERT_EQ_INT(pthread_detach(thread), 0);
}

static void *run_loop(void *argument)
{
    fixture *self = argument;
    tp_loop_run(self->loop);
    return NULL;
}

static void start(fixture *self)
{
    memset(self, 0, sizeof(*self));
    test_allocator_init(&self->allocator);
    ASSERT_EQ_INT(pthread_mutex_init(&self->lock, NULL), 0);
    self->locked = (tapeout_allocator){locked_alloc, locked_resize, locked_free, self};
    self->address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    self->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t size = sizeof(self->address);
    ASSERT_EQ_INT(bind(self->listen_fd, (const struct sockaddr *)&self->address, size), 0);
    ASSERT_EQ_INT(getsockname(self->listen_fd, (struct sockaddr *)&self->address, &size), 0);
    const tp_loop_options options = {.alloc = &self->locked,
                                     .listen_fd = self->listen_fd,
                                     .max_connections = 100,
                                     .max_body_bytes = 1000,
                                     .timeouts = {10000, 10000, BODY_MS, 10000},
                                     .handle = on_handle,
                                     .is_upload = is_upload,
                                     .upload_gone = on_upload_gone,
                                     .user = self};
    ASSERT_OK(tp_loop_new(&options, &self->loop, &test_err));
    ASSERT_EQ_INT(pthread_create(&self->thread, NULL, run_loop, self), 0);
}

// Every stream that was opened has been answered and done with, and nothing is left.
static void stop(fixture *self, tp_loop_phase phase)
{
    tp_loop_phase_set(self->loop, phase);
    ASSERT_EQ_INT(pthread_join(self->thread, NULL), 0);
    tp_loop_free(self->loop);
    (void)close(self->listen_fd);
    ASSERT_EQ_INT(atomic_load(&self->answered), atomic_load(&self->opened));
    ASSERT_EQ_INT(atomic_load(&self->done), atomic_load(&self->opened));
    ASSERT_EQ_UINT(self->allocator.live, 0);
    (void)pthread_mutex_destroy(&self->lock);
}

static int ask(const fixture *self, const char *request)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT_EQ_INT(connect(fd, (const struct sockaddr *)&self->address, sizeof(self->address)), 0);
    ASSERT_EQ_INT(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
    return fd;
}

// Reads until `end` stands at the end of what came, or the connection ends.
static void read_until(int fd, const char *end, char *ret_text, size_t size)
{
    size_t used = 0;
    ret_text[0] = '\0';
    while (used + 1 < size && (used < strlen(end) || end[0] == '\0' ||
                               strcmp(ret_text + used - strlen(end), end) != 0)) {
        const ssize_t got = recv(fd, ret_text + used, size - 1 - used, 0);
        if (got <= 0) {
            return;
        }
        used += (size_t)got;
        ret_text[used] = '\0';
    }
}

static void wait_for(const atomic_int *counter, int value)
{
    for (int i = 0; i < PATIENCE_MS && atomic_load(counter) < value; i++) {
        (void)usleep(1000);
    }
    ASSERT(atomic_load(counter) >= value);
}

// The pieces of a chunked body joined; asserts that it is well-formed.
static size_t join_chunks(const char *body, char *ret_joined)
{
    size_t used = 0;
    for (;;) {
        unsigned size = 0;
        int step = 0;
        // NOLINT: the text is our own server's.
        for (; strchr("0123456789abcdef", body[step]) != NULL && body[step] != '\0'; step++) {
            size = size * 16 +
                   (unsigned)(body[step] <= '9' ? body[step] - '0' : body[step] - 'a' + 10);
        }
        ASSERT(step > 0 && strncmp(body + step, "\r\n", 2) == 0);
        body += step + 2;
        if (size == 0) {
            ASSERT_EQ_STR(body, "\r\n");
            ret_joined[used] = '\0';
            return used;
        }
        memcpy(ret_joined + used, body, size);
        used += size;
        ASSERT(strncmp(body + size, "\r\n", 2) == 0);
        body += size + 2;
    }
}

static void test_whole(void)
{
    static fixture self;
    char text[4096];
    start(&self);
    const int fd = ask(&self, "GET /whole HTTP/1.1\r\nHost: a\r\n\r\n");
    read_until(fd, "all of it", text, sizeof(text));
    ASSERT(strstr(text, "content-length: 9\r\n") != NULL);
    ASSERT(strstr(text, "\r\n\r\nall of it") != NULL);
    (void)close(fd);
    stop(&self, TP_LOOP_STOP);
    ASSERT_EQ_INT(atomic_load(&self.gone), 0);
}

static void test_pieces(void)
{
    static fixture self;
    char text[8192];
    char joined[8192];
    start(&self);
    const int fd = ask(&self, "GET /pieces HTTP/1.1\r\nHost: a\r\n\r\n");
    // The connection goes on behind the reply; a second request waits for its turn.
    for (int round = 0; round < 2; round++) {
        read_until(fd, "\r\n0\r\n\r\n", text, sizeof(text));
        ASSERT(strstr(text, "HTTP/1.1 200 OK\r\n") == text);
        ASSERT(strstr(text, "transfer-encoding: chunked\r\n") != NULL);
        ASSERT(strstr(text, "content-length") == NULL);
        ASSERT_EQ_UINT(join_chunks(strstr(text, "\r\n\r\n") + 4, joined), PIECES * 6);
        ASSERT(strncmp(joined, "piece\npiece\n", 12) == 0);
        if (round == 0) {
            const char *again = "GET /pieces HTTP/1.1\r\nHost: a\r\n\r\n";
            ASSERT_EQ_INT(send(fd, again, strlen(again), MSG_NOSIGNAL), strlen(again));
        }
    }
    ASSERT_EQ_UINT(atomic_load(&self.sent_bytes), PIECES * 6);
    (void)close(fd);
    stop(&self, TP_LOOP_STOP);
    ASSERT_EQ_INT(atomic_load(&self.gone), 0);
}

static void test_pieces_1_0(void)
{
    static fixture self;
    char text[4096];
    start(&self);
    const int fd = ask(&self, "GET /pieces HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    read_until(fd, "", text, sizeof(text)); // to the end of the connection
    ASSERT(strstr(text, "transfer-encoding") == NULL);
    ASSERT(strstr(text, "connection: close\r\n") != NULL);
    ASSERT_EQ_UINT(strlen(strstr(text, "\r\n\r\n") + 4), PIECES * 6);
    (void)close(fd);
    stop(&self, TP_LOOP_STOP);
}

static void test_client_leaves(void)
{
    static fixture self;
    (void)signal(SIGPIPE, SIG_IGN); // as the program does
    start(&self);
    for (int i = 1; i <= 20; i++) {
        const int fd = ask(&self, i % 2 == 0 ? "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"
                                             : "GET /flood HTTP/1.1\r\nHost: a\r\n\r\n");
        wait_for(&self.opened, i);
        (void)close(fd);
        wait_for(&self.gone, i);
        wait_for(&self.done, i);
    }
    stop(&self, TP_LOOP_STOP);
}

// Case O7: who never reads is closed, and others do not notice.
static void test_client_never_reads(void)
{
    static fixture self;
    char text[4096];
    start(&self);
    const int lazy = ask(&self, "GET /flood HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_for(&self.opened, 1);
    const int fd = ask(&self, "GET /pieces HTTP/1.1\r\nHost: a\r\n\r\n");
    read_until(fd, "\r\n0\r\n\r\n", text, sizeof(text));
    ASSERT(strstr(text, "piece") != NULL);
    wait_for(&self.gone, 1);
    (void)close(lazy);
    (void)close(fd);
    stop(&self, TP_LOOP_STOP);
    ASSERT(self.allocator.peak_bytes < (size_t)8 << 20);
}

static void test_loop_is_killed(void)
{
    static fixture self;
    start(&self);
    const int fd = ask(&self, "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_for(&self.opened, 1);
    stop(&self, TP_LOOP_KILL);
    ASSERT_EQ_INT(atomic_load(&self.gone), 1);
    (void)close(fd);
}

// The time for a body is the client's: what it waits for its turn does not count.
static void test_an_upload_waits_for_its_turn(void)
{
    static fixture self;
    char text[4096];
    start(&self);
    tp_http_reply_init(&self.reply, &self.locked);
    const int fd = ask(&self, "PUT /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                              "Content-Length: 5\r\n\r\n");
    read_until(fd, "100 Continue\r\n\r\n", text, sizeof(text));
    (void)usleep(THINKING_MS * 1000);
    ASSERT_EQ_INT(send(fd, "12345", 5, MSG_NOSIGNAL), 5);
    read_until(fd, "\r\n\r\n", text, sizeof(text));
    ASSERT(strstr(text, "HTTP/1.1 200 OK\r\n") == text);
    ASSERT_EQ_INT(atomic_load(&self.gone), 0);
    (void)close(fd);
    tp_http_reply_deinit(&self.reply);
    stop(&self, TP_LOOP_STOP);
}

TEST_MAIN(TEST(test_whole), TEST(test_pieces), TEST(test_pieces_1_0), TEST(test_client_leaves),
          TEST(test_client_never_reads), TEST(test_loop_is_killed),
          TEST(test_an_upload_waits_for_its_turn))
