// SPDX-License-Identifier: Apache-2.0
//
// The running server over real sockets: start, refusal to start, hot swap under load, draining,
// slow clients (W4). `make torture` opens as many slow connections as descriptors allow, `make
// test` some.
#include "serve_cases.h"

#include "base/tp_alloc.h"
#include "base/tp_clock.h"
#include "base/tp_context.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <tapeout/serve.h>
#include <unistd.h>

typedef struct running {
    tapeout_context *context;
    tapeout_server *server;
    pthread_t thread;
    tapeout_status status;
    tapeout_error error;
    char bundle[512];
    atomic_uint lines; // of the log
    atomic_bool is_listening;
} running;

static void on_log(void *user, const char *lines, size_t size)
{
    running *self = user;
    for (size_t i = 0; i < size; i++) {
        atomic_fetch_add(&self->lines, lines[i] == '\n');
    }
    if (memmem(lines, size, "\"event\":\"listening\"", 19) != NULL) {
        atomic_store(&self->is_listening, true);
    }
}

static void *run(void *user)
{
    running *self = user;
    self->status = tapeout_server_run(self->server, &self->error);
    return NULL;
}

static void start(running *self, const char *config)
{
    memset(self, 0, sizeof(*self));
    (void)snprintf(self->bundle, sizeof(self->bundle), "%s",
                   serve_case_bundle(SERVE_CASE_BINARY, 1));
    tapeout_context_options context_options;
    tapeout_context_options_init(&context_options);
    context_options.home = test_temp_dir();
    context_options.thread_count = 1;
    ASSERT_OK(tapeout_context_new(&context_options, &self->context, &test_err));
    static char path[512];
    tapeout_serve_options options;
    tapeout_serve_options_init(&options);
    if (config != NULL) {
        (void)snprintf(path, sizeof(path), "%s/serve.yaml", test_temp_dir());
        FILE *file = fopen(path, "w");
        ASSERT(file != NULL && fputs(config, file) >= 0 && fclose(file) == 0);
        options.config = path;
    }
    const tapeout_serve_model model = {.model = self->bundle};
    options.models = &model;
    options.model_count = 1;
    options.listen = "127.0.0.1:0";
    options.thread_count = 2;
    options.no_auth = true;
    options.log = on_log;
    options.log_user = self;
    ASSERT_OK(tapeout_server_open(self->context, &options, &self->server, &test_err));
    ASSERT(pthread_create(&self->thread, NULL, run, self) == 0);
    while (!atomic_load(&self->is_listening)) {
        (void)usleep(1000);
    }
}

static void finish(running *self)
{
    tapeout_server_stop(self->server);
    ASSERT(pthread_join(self->thread, NULL) == 0);
    ASSERT_EQ_INT(self->status, TAPEOUT_OK);
    tapeout_server_close(&self->server);
    tapeout_context_free(self->context);
}

static int dial(const running *self)
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons(tapeout_server_port(self->server)),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT(fd >= 0);
    const struct timeval limit = {.tv_sec = 20};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static bool send_text(int fd, const char *text)
{
    return send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text);
}

// Reads one reply with a length; its status, or 0 when the connection ended.
static int read_reply(int fd, char *ret_text, size_t capacity)
{
    size_t size = 0;
    while (size + 1 < capacity) {
        const ssize_t got = recv(fd, ret_text + size, capacity - size - 1, 0);
        if (got <= 0) {
            return 0;
        }
        size += (size_t)got;
        ret_text[size] = '\0';
        const char *end = strstr(ret_text, "\r\n\r\n");
        const char *length = strstr(ret_text, "content-length: ");
        uint64_t body = 0;
        if (end == NULL || length == NULL) {
            continue;
        }
        length += strlen("content-length: ");
        ASSERT(tp_str_to_uint64((tp_str){length, strcspn(length, "\r")}, &body));
        if (size >= (size_t)(end + 4 - ret_text) + body) {
            return (ret_text[9] - '0') * 100 + (ret_text[10] - '0') * 10 + (ret_text[11] - '0');
        }
    }
    return 0;
}

#define SCORE "POST /score HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n{\"age\":40}"
#define READY "GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n"

static void test_serves_and_stops(void)
{
    running self;
    char text[4096];
    start(&self, NULL);
    const int fd = dial(&self);
    ASSERT(send_text(fd, SCORE SCORE));
    ASSERT_EQ_INT(read_reply(fd, text, sizeof(text)), 200);
    (void)close(fd);
    finish(&self);
    ASSERT(atomic_load(&self.lines) >= 4);
}

static int ask(const running *self, const char *request, char text[8192])
{
    const int fd = dial(self);
    ASSERT(send_text(fd, request));
    const int status = read_reply(fd, text, 8192);
    (void)close(fd);
    return status;
}

#define CREATE                                                                                     \
    "POST /api/2.0/mlflow/experiments/create HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n"    \
    "{\"name\":\"%c\"}"

// After a sync that failed, wherever that was, nothing is stored and all else goes on.
static void test_only_reads_after_a_failed_sync(void)
{
    running self;
    char text[8192];
    start(&self, NULL);
    char create[256];
    (void)snprintf(create, sizeof(create), CREATE, 'a');
    ASSERT_EQ_INT(ask(&self, READY, text), 200);
    ASSERT_EQ_INT(ask(&self, create, text), 200);
    atomic_store(tp_context_stop(self.context), true);
    (void)snprintf(create, sizeof(create), CREATE, 'b');
    ASSERT_EQ_INT(ask(&self, create, text), 503);
    ASSERT(strstr(text, "\"error_code\":\"TEMPORARILY_UNAVAILABLE\"") != NULL);
    ASSERT(strstr(text, "this server only reads") != NULL);
    ASSERT_EQ_INT(ask(&self, READY, text), 503);
    ASSERT(strstr(text, "\r\n\r\nread-only: ") != NULL);
    ASSERT_EQ_INT(ask(&self, "GET /v2/health/ready HTTP/1.1\r\nHost: a\r\n\r\n", text), 200);
    ASSERT_EQ_INT(ask(&self, SCORE, text), 200);
    ASSERT_EQ_INT(ask(&self,
                      "GET /api/2.0/mlflow/experiments/get?experiment_id=0 HTTP/1.1\r\n"
                      "Host: a\r\n\r\n",
                      text),
                  200);
    finish(&self);
}

static void test_refuses_to_start(void)
{
    tapeout_context_options context_options;
    tapeout_context_options_init(&context_options);
    context_options.home = test_temp_dir();
    tapeout_context *context = NULL;
    ASSERT_OK(tapeout_context_new(&context_options, &context, &test_err));
    char bundle[512];
    (void)snprintf(bundle, sizeof(bundle), "%s", serve_case_bundle(SERVE_CASE_BINARY, 1));
    tapeout_serve_model model = {.model = bundle};
    tapeout_serve_options options;
    tapeout_serve_options_init(&options);
    options.models = &model;
    options.model_count = 1;
    options.listen = "127.0.0.1:0";
    tapeout_server *server = NULL;
    // T23: with keys, and without; beyond loopback either takes TLS too.
    options.listen = "0.0.0.0:0";
    ASSERT_FAILS(tapeout_server_open(context, &options, &server, &test_err), TAPEOUT_E_DENIED,
                 "loopback");
    options.no_auth = true;
    ASSERT_FAILS(tapeout_server_open(context, &options, &server, &test_err), TAPEOUT_E_DENIED,
                 "loopback");
    options.listen = "127.0.0.1:0";
    model.model = "/does/not/exist.tapeout";
    // Found out when it loads, before it says that it listens.
    tapeout_status status = tapeout_server_open(context, &options, &server, &test_err);
    if (status == TAPEOUT_OK) {
        status = tapeout_server_run(server, &test_err);
        tapeout_server_close(&server);
    }
    ASSERT(status != TAPEOUT_OK);
    ASSERT(strstr(test_err.message, "/does/not/exist.tapeout") != NULL);
    ASSERT(server == NULL);
    model.model = bundle;
    ASSERT_OK(tapeout_server_open(context, &options, &server, &test_err));
    char taken[64];
    (void)snprintf(taken, sizeof(taken), "127.0.0.1:%u", tapeout_server_port(server));
    options.listen = taken;
    tapeout_server *second = NULL;
    ASSERT_FAILS(tapeout_server_open(context, &options, &second, &test_err), TAPEOUT_E_EXISTS,
                 "in use");
    tapeout_server_close(&server);
    tapeout_context_free(context);
}

typedef struct load {
    const running *self;
    atomic_bool *stop;
    unsigned answered;
    unsigned failed;
    unsigned mixed; // a version that does not go with its bundle
    unsigned newest;
} load;

// Each version has one hash: remembers the first it sees.
static void *ask_on_and_on(void *user)
{
    load *work = user;
    static char hashes[1024][65];
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    char text[4096];
    const int fd = dial(work->self);
    while (!atomic_load(work->stop)) {
        if (fd < 0 || !send_text(fd, SCORE) || read_reply(fd, text, sizeof(text)) != 200) {
            work->failed++;
            break;
        }
        const char *version = strstr(text, "\"version\":\"");
        const char *hash = strstr(text, "\"sha256\":\"");
        ASSERT(version != NULL && hash != NULL);
        version += 11;
        uint64_t number = 0;
        ASSERT(tp_str_to_uint64((tp_str){version, strcspn(version, "\"")}, &number));
        ASSERT(number < 1024);
        (void)pthread_mutex_lock(&lock);
        if (hashes[number][0] == '\0') {
            memcpy(hashes[number], hash + 10, 64);
        }
        work->mixed += memcmp(hashes[number], hash + 10, 64) != 0;
        (void)pthread_mutex_unlock(&lock);
        work->newest = number > work->newest ? (unsigned)number : work->newest;
        work->answered++;
    }
    (void)close(fd);
    return NULL;
}

static void test_hot_swap_fails_no_request(void)
{
    enum { CLIENTS = 3, SWAPS = 20 };
    running self;
    start(&self, NULL);
    char other[600];
    char first[600];
    (void)snprintf(other, sizeof(other), "%s.other", self.bundle);
    (void)snprintf(first, sizeof(first), "%s.first", self.bundle);
    ASSERT(rename(self.bundle, first) == 0);
    (void)serve_case_bundle(SERVE_CASE_BINARY, 2);
    ASSERT(rename(self.bundle, other) == 0);
    atomic_bool stop = false;
    load work[CLIENTS];
    pthread_t threads[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        work[i] = (load){.self = &self, .stop = &stop};
        ASSERT(pthread_create(&threads[i], NULL, ask_on_and_on, &work[i]) == 0);
    }
    for (int i = 0; i < SWAPS; i++) {
        // A new inode each time, as a deployment does it.
        char fresh[600];
        (void)snprintf(fresh, sizeof(fresh), "%s.%d", self.bundle, i);
        ASSERT(link(i % 2 == 0 ? other : first, fresh) == 0);
        ASSERT(rename(fresh, self.bundle) == 0);
        tapeout_server_reload(self.server);
        (void)usleep(30000);
    }
    atomic_store(&stop, true);
    unsigned newest = 0;
    for (int i = 0; i < CLIENTS; i++) {
        ASSERT(pthread_join(threads[i], NULL) == 0);
        ASSERT_EQ_UINT(work[i].failed, 0);
        ASSERT_EQ_UINT(work[i].mixed, 0);
        ASSERT(work[i].answered > 10);
        newest = work[i].newest > newest ? work[i].newest : newest;
    }
    ASSERT(newest > 3);
    finish(&self);
}

static void test_a_bad_swap_changes_nothing(void)
{
    running self;
    char text[4096];
    start(&self, NULL);
    FILE *file = fopen(self.bundle, "r+");
    // In place would change the served mapping; a new file is what a deployment writes.
    ASSERT(file != NULL && fclose(file) == 0);
    char bad[600];
    (void)snprintf(bad, sizeof(bad), "%s.bad", self.bundle);
    file = fopen(bad, "w");
    ASSERT(file != NULL && fputs("no bundle", file) >= 0 && fclose(file) == 0);
    ASSERT(rename(bad, self.bundle) == 0);
    tapeout_server_reload(self.server);
    (void)usleep(200000);
    const int fd = dial(&self);
    ASSERT(send_text(fd, SCORE));
    ASSERT_EQ_INT(read_reply(fd, text, sizeof(text)), 200);
    ASSERT(strstr(text, "\"version\":\"1\"") != NULL);
    ASSERT(send_text(fd, READY));
    ASSERT_EQ_INT(read_reply(fd, text, sizeof(text)), 200);
    (void)close(fd);
    finish(&self);
}

static void test_draining_is_not_ready_and_ends_what_runs(void)
{
    running self;
    char text[4096];
    start(&self, NULL);
    const int half = dial(&self); // half a request
    const int idle = dial(&self);
    ASSERT(send_text(half, "POST /score HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n{\"age"));
    ASSERT(send_text(idle, READY));
    ASSERT_EQ_INT(read_reply(idle, text, sizeof(text)), 200);
    tapeout_server_stop(self.server);
    (void)usleep(100000);
    ASSERT(send_text(idle, READY));
    ASSERT_EQ_INT(read_reply(idle, text, sizeof(text)), 503);
    ASSERT(strstr(text, "connection: close\r\n") != NULL);
    (void)usleep(700000);
    ASSERT_EQ_INT(dial(&self), -1);
    ASSERT(send_text(half, "\":40}"));
    ASSERT_EQ_INT(read_reply(half, text, sizeof(text)), 200);
    ASSERT(pthread_join(self.thread, NULL) == 0);
    ASSERT_EQ_INT(self.status, TAPEOUT_OK);
    (void)close(half);
    (void)close(idle);
    tapeout_server_close(&self.server);
    tapeout_context_free(self.context);
}

static void test_slow_clients_hurt_nobody(void)
{
    const char *full = getenv("TAPEOUT_TEST_FULL");
    struct rlimit limit;
    ASSERT(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    const size_t most = limit.rlim_cur > 20500 ? 10000 : limit.rlim_cur / 2 - 100;
    const size_t count = full != NULL && strcmp(full, "1") == 0 ? most : most < 300 ? most : 300;
    running self;
    char text[4096];
    start(&self, "timeouts: {head: 1, body: 1, idle: 60}\n");
    int *slow = tp_alloc_array_zero(tp_allocator_default(), count, sizeof(*slow));
    for (size_t i = 0; i < count; i++) {
        slow[i] = dial(&self);
        ASSERT(slow[i] >= 0);
        ASSERT(send_text(slow[i], i % 3 == 0   ? "GET /livez HT"
                                  : i % 3 == 1 ? "POST /score HTTP/1.1\r\nHost: a\r\n"
                                                 "Content-Length: 100\r\n\r\n{"
                                               : ""));
    }
    uint64_t slowest_ns = 0;
    const int good = dial(&self);
    for (int i = 0; i < 100; i++) {
        const uint64_t begin_ns = tp_clock_monotonic_ns();
        ASSERT(send_text(good, SCORE));
        ASSERT_EQ_INT(read_reply(good, text, sizeof(text)), 200);
        const uint64_t took_ns = tp_clock_monotonic_ns() - begin_ns;
        slowest_ns = took_ns > slowest_ns ? took_ns : slowest_ns;
    }
    ASSERT(slowest_ns < 1000000000);
    // Those that began something are told so; idle ones may stay.
    ASSERT_EQ_INT(read_reply(slow[0], text, sizeof(text)), 408);
    ASSERT_EQ_INT(read_reply(slow[1], text, sizeof(text)), 408);
    ASSERT(send_text(slow[2], SCORE));
    ASSERT_EQ_INT(read_reply(slow[2], text, sizeof(text)), 200);
    for (size_t i = 0; i < count; i++) {
        (void)close(slow[i]);
    }
    tp_free_array(tp_allocator_default(), slow, count, sizeof(*slow));
    (void)close(good);
    finish(&self);
}

static void test_a_reply_that_is_not_taken(void)
{
    running self;
    char text[4096];
    start(&self, "timeouts: {write: 1}\n");
    const int deaf = dial(&self);
    const int small = 4096;
    (void)setsockopt(deaf, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    const uint64_t begin_ns = tp_clock_monotonic_ns();
    bool is_open = true;
    // Asks for much and reads nothing, until the server has had enough.
    while (is_open && tp_clock_monotonic_ns() - begin_ns < 20000000000u) {
        is_open = send(deaf, "GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n", 40,
                       MSG_NOSIGNAL | MSG_DONTWAIT) >= 0 ||
                  errno == EAGAIN;
        (void)usleep(1000);
    }
    ASSERT(!is_open);
    const int good = dial(&self);
    ASSERT(send_text(good, SCORE));
    ASSERT_EQ_INT(read_reply(good, text, sizeof(text)), 200);
    (void)close(deaf);
    (void)close(good);
    finish(&self);
}

static void test_connections_beyond_the_limit(void)
{
    running self;
    char text[4096];
    start(&self, "limits: {connections: 4}\n");
    int fds[64];
    bool is_refused = false;
    for (int i = 0; i < 64; i++) {
        fds[i] = dial(&self);
        ASSERT(fds[i] >= 0);
        (void)send_text(fds[i], READY);
        is_refused = is_refused || read_reply(fds[i], text, sizeof(text)) != 200;
    }
    ASSERT(is_refused);
    for (int i = 0; i < 64; i++) {
        (void)close(fds[i]);
    }
    (void)usleep(300000);
    const int fd = dial(&self);
    ASSERT(send_text(fd, READY));
    ASSERT_EQ_INT(read_reply(fd, text, sizeof(text)), 200);
    (void)close(fd);
    finish(&self);
}

TEST_MAIN(TEST(test_serves_and_stops), TEST(test_only_reads_after_a_failed_sync),
          TEST(test_refuses_to_start), TEST_SLOW(test_hot_swap_fails_no_request, 120),
          TEST(test_a_bad_swap_changes_nothing),
          TEST(test_draining_is_not_ready_and_ends_what_runs),
          TEST_SLOW(test_slow_clients_hurt_nobody, 240), TEST(test_a_reply_that_is_not_taken),
          TEST(test_connections_beyond_the_limit))
