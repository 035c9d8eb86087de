// SPDX-License-Identifier: Apache-2.0
//
// A model from a spec, then one raw record at a time: inside the process as the gate single_row_us
// times it, and over HTTP with one server thread and one client thread that keeps 16 connections
// busy. The data is that of `csv make`; its target is noise, which costs what signal costs.
//
//   pipeline single FOLDER         {"single_row_us": ...}
//   pipeline http FOLDER SECONDS   {"requests_per_s": ...}
#include "bench.h"

#include "base/tp_clock.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <tapeout/serve.h>
#include <tapeout/train.h>
#include <unistd.h>

enum { CONNECTIONS = 16, REPLY_BYTES = 1 << 16, START_MS = 20000 };

static const char spec[] =
    "name: bench\ndata: {train: data.csv}\ntarget: {column: x1}\ntask: regression\n"
    "features: |\n"
    "  a = standardize(impute(x0, median))\n  b = log1p(abs(x2)) / (1 + impute(x3, mean))\n"
    "  c = x4\n  d = x5\n  e = x6\n  f = x7 - x5\n  g = category(c0, 50)\n  h = category(c1, 50)\n"
    "  i = category(concat(c0, \"-\", c2), 30)\n  j = category(c3, 10)\n"
    "model: {trees: 100, leaves: 63}\ngates: {single_row_us: \"<= 1000000\"}\n"
    "evaluate: {bootstrap: 0}\n";

static const char record[] = "{\"x0\": 12.5, \"x2\": -3, \"x3\": null, \"x4\": 0.25, \"x5\": 17, "
                             "\"x6\": -1e4, \"x7\": 5, \"c0\": \"level 1\", \"c1\": \"level 7\", "
                             "\"c2\": \"level 30\", \"c3\": \"level 99\"}";

// Also leaves FOLDER/bench.tapeout behind, for the server.
static char *train(tapeout_context *context, const char *folder)
{
    char path[4096];
    char out[4096];
    char *json = NULL;
    tapeout_error err = {0};
    tapeout_train_options options;
    tapeout_train_options_init(&options);
    (void)snprintf(path, sizeof(path), "%s/spec.yaml", folder);
    (void)snprintf(out, sizeof(out), "%s/bench.tapeout", folder);
    options.out_path = out;
    FILE *file = fopen(path, "w");
    if (file == NULL || fputs(spec, file) < 0 || fclose(file) != 0 ||
        tapeout_train(context, path, &options, &json, &err) != TAPEOUT_OK) {
        (void)fprintf(stderr, "bench pipeline: %s\n", err.message);
        exit(1);
    }
    return json;
}

static int single(tapeout_context *context, const char *folder)
{
    const char *json = train(context, folder);
    const char *got = strstr(json, "\"got\":");
    printf("{\"single_row_us\": %.2f}\n", got == NULL ? -1 : strtod(got + 6, NULL));
    return got == NULL;
}

// -- over HTTP -----------------------------------------------------------------------------------

typedef struct client {
    int fd;
    size_t size; // of what has come of the reply
    char reply[REPLY_BYTES];
} client;

static void *serve(void *user)
{
    tapeout_error err;
    if (tapeout_server_run(user, &err) != TAPEOUT_OK) {
        (void)fprintf(stderr, "bench pipeline: %s\n", err.message);
        exit(1);
    }
    return NULL;
}

static int connect_to(uint16_t port)
{
    const struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    return connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0 ? fd : -1;
}

// The bytes of a whole reply, or 0 while there is more to come.
static size_t reply_size(const client *self)
{
    const char *end = memmem(self->reply, self->size, "\r\n\r\n", 4);
    const char *length = end == NULL ? NULL : strcasestr(self->reply, "content-length:");
    if (length == NULL || length > end) {
        return 0;
    }
    const size_t whole = (size_t)(end - self->reply) + 4 + strtoul(length + 15, NULL, 10);
    return self->size >= whole ? whole : 0;
}

// Whether a whole reply has come; ends the process where it is not a 200 and `must_be_ok`.
static bool take_reply(client *self, bool must_be_ok, bool *ret_is_ok)
{
    const ssize_t got =
        recv(self->fd, self->reply + self->size, sizeof(self->reply) - 1 - self->size, 0);
    if (got <= 0) {
        (void)fputs("bench pipeline: the server closed a connection\n", stderr);
        exit(1);
    }
    self->size += (size_t)got;
    self->reply[self->size] = '\0';
    if (reply_size(self) == 0) {
        return false;
    }
    *ret_is_ok = strncmp(self->reply, "HTTP/1.1 200", 12) == 0;
    if (must_be_ok && !*ret_is_ok) {
        (void)fprintf(stderr, "bench pipeline: %.*s\n", (int)self->size, self->reply);
        exit(1);
    }
    self->size = 0;
    return true;
}

static void send_all(const client *self, const char *text, size_t size)
{
    if (send(self->fd, text, size, MSG_NOSIGNAL) != (ssize_t)size) {
        (void)fputs("bench pipeline: cannot send\n", stderr);
        exit(1);
    }
}

static void wait_until_ready(uint16_t port)
{
    static client self;
    static const char ask[] = "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    bool is_ok = false;
    self.fd = connect_to(port);
    for (int ms = 0; !is_ok && ms < START_MS; ms += 20) {
        (void)poll(NULL, 0, 20);
        send_all(&self, ask, sizeof(ask) - 1);
        while (!take_reply(&self, false, &is_ok)) {
        }
    }
    (void)close(self.fd);
}

static double requests_per_s(uint16_t port, double seconds)
{
    static client clients[CONNECTIONS];
    struct pollfd polls[CONNECTIONS];
    char request[1024];
    bool is_ok = false;
    uint64_t count = 0;
    const int size = snprintf(request, sizeof(request),
                              "POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                              "application/json\r\nContent-Length: %zu\r\n\r\n"
                              "{\"dataframe_records\": [%s]}",
                              sizeof(record) - 1 + strlen("{\"dataframe_records\": []}"), record);
    for (int i = 0; i < CONNECTIONS; i++) {
        clients[i].fd = connect_to(port);
        polls[i] = (struct pollfd){.fd = clients[i].fd, .events = POLLIN};
        send_all(&clients[i], request, (size_t)size);
    }
    const uint64_t start_ns = tp_clock_monotonic_ns();
    double elapsed_s = 0;
    while (elapsed_s < seconds) {
        (void)poll(polls, CONNECTIONS, 1000);
        for (int i = 0; i < CONNECTIONS; i++) {
            if (polls[i].revents != 0 && take_reply(&clients[i], true, &is_ok)) {
                count++;
                send_all(&clients[i], request, (size_t)size);
            }
        }
        elapsed_s = (double)(tp_clock_monotonic_ns() - start_ns) * 1e-9;
    }
    return (double)count / elapsed_s;
}

static int http(tapeout_context *context, const char *folder, double seconds)
{
    char bundle[4096];
    tapeout_error err = {0};
    tapeout_server *server = NULL;
    tapeout_serve_options options;
    pthread_t thread;
    (void)train(context, folder);
    (void)snprintf(bundle, sizeof(bundle), "%s/bench.tapeout", folder);
    const tapeout_serve_model model = {.model = bundle};
    tapeout_serve_options_init(&options);
    options.thread_count = 1;
    options.listen = "127.0.0.1:0";
    options.models = &model;
    options.model_count = 1;
    options.no_auth = true;
    options.quiet_requests = true;
    if (tapeout_server_open(context, &options, &server, &err) != TAPEOUT_OK ||
        pthread_create(&thread, NULL, serve, server) != 0) {
        (void)fprintf(stderr, "bench pipeline: %s\n", err.message);
        return 1;
    }
    wait_until_ready(tapeout_server_port(server));
    printf("{\"requests_per_s\": %.0f}\n", requests_per_s(tapeout_server_port(server), seconds));
    return 0; // the process ends here, and the server with it
}

int tp_bench_pipeline(int argc, char **argv)
{
    tapeout_context_options options;
    tapeout_context *context = NULL;
    tapeout_error err;
    char home[4096];
    if (argc < 3) {
        (void)fputs("usage: pipeline single FOLDER | pipeline http FOLDER SECONDS\n", stderr);
        return 2;
    }
    (void)snprintf(home, sizeof(home), "%s/home", argv[2]);
    tapeout_context_options_init(&options);
    options.home = home;
    if (tapeout_context_new(&options, &context, &err) != TAPEOUT_OK) {
        (void)fprintf(stderr, "bench pipeline: %s\n", err.message);
        return 1;
    }
    return strcmp(argv[1], "single") == 0 ? single(context, argv[2])
                                          : http(context, argv[2], strtod(argv[3], NULL));
}
