// SPDX-License-Identifier: Apache-2.0
//
// A model, a server and a client for the benchmarks over HTTP; see bench_http.h. The data is that
// of `csv make`; its target is noise, which costs what signal costs.
#include "bench_http.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <tapeout/train.h>
#include <unistd.h>

enum { START_MS = 20000 };

static const char spec[] =
    "name: bench\ndata: {train: data.csv}\ntarget: {column: x1}\ntask: regression\n"
    "features: |\n"
    "  a = standardize(impute(x0, median))\n  b = log1p(abs(x2)) / (1 + impute(x3, mean))\n"
    "  c = x4\n  d = x5\n  e = x6\n  f = x7 - x5\n  g = category(c0, 50)\n  h = category(c1, 50)\n"
    "  i = category(concat(c0, \"-\", c2), 30)\n  j = category(c3, 10)\n"
    "model: {trees: 100, leaves: 63}\ngates: {single_row_us: \"<= 1000000\"}\n"
    "evaluate: {bootstrap: 0}\n";

const char tp_bench_record[] = "{\"x0\": 12.5, \"x2\": -3, \"x3\": null, \"x4\": 0.25, \"x5\": 17, "
                               "\"x6\": -1e4, \"x7\": 5, \"c0\": \"level 1\", \"c1\": \"level 7\", "
                               "\"c2\": \"level 30\", \"c3\": \"level 99\"}";

char *tp_bench_train(tapeout_context *context, const char *folder)
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
        (void)fprintf(stderr, "bench http: %s\n", err.message);
        exit(1);
    }
    return json;
}

tapeout_context *tp_bench_context(const char *folder, const char *name)
{
    char home[4096];
    tapeout_context_options options;
    tapeout_context *context = NULL;
    tapeout_error err = {0};
    (void)snprintf(home, sizeof(home), "%s/%s", folder, name);
    tapeout_context_options_init(&options);
    options.home = home;
    if (tapeout_context_new(&options, &context, &err) != TAPEOUT_OK) {
        (void)fprintf(stderr, "bench http: %s\n", err.message);
        exit(1);
    }
    return context;
}

// -- over HTTP -----------------------------------------------------------------------------------
static void *serve(void *user)
{
    tapeout_error err;
    if (tapeout_server_run(user, &err) != TAPEOUT_OK) {
        (void)fprintf(stderr, "bench http: %s\n", err.message);
        exit(1);
    }
    return NULL;
}

int tp_bench_connect(uint16_t port)
{
    const struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    return connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0 ? fd : -1;
}

// The bytes of a whole reply, or 0 while there is more to come.
static size_t reply_size(const bench_client *self)
{
    const char *end = memmem(self->reply, self->size, "\r\n\r\n", 4);
    const char *length = end == NULL ? NULL : strcasestr(self->reply, "content-length:");
    if (length == NULL || length > end) {
        return 0;
    }
    const size_t whole = (size_t)(end - self->reply) + 4 + strtoul(length + 15, NULL, 10);
    return self->size >= whole ? whole : 0;
}

bool tp_bench_take(bench_client *self, bool must_be_ok, bool *ret_is_ok)
{
    const ssize_t got =
        recv(self->fd, self->reply + self->size, sizeof(self->reply) - 1 - self->size, 0);
    if (got <= 0) {
        (void)fputs("bench http: the server closed a connection\n", stderr);
        exit(1);
    }
    self->size += (size_t)got;
    self->reply[self->size] = '\0';
    if (reply_size(self) == 0) {
        return false;
    }
    *ret_is_ok = strncmp(self->reply, "HTTP/1.1 200", 12) == 0;
    if (must_be_ok && !*ret_is_ok) {
        (void)fprintf(stderr, "bench http: %.*s\n", (int)self->size, self->reply);
        exit(1);
    }
    self->size = 0;
    return true;
}

void tp_bench_send(const bench_client *self, const char *text, size_t size)
{
    if (send(self->fd, text, size, MSG_NOSIGNAL) != (ssize_t)size) {
        (void)fputs("bench http: cannot send\n", stderr);
        exit(1);
    }
}

static void wait_until_ready(uint16_t port)
{
    static bench_client self;
    static const char ask[] = "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    bool is_ok = false;
    self.fd = tp_bench_connect(port);
    for (int ms = 0; !is_ok && ms < START_MS; ms += 20) {
        (void)poll(NULL, 0, 20);
        tp_bench_send(&self, ask, sizeof(ask) - 1);
        while (!tp_bench_take(&self, false, &is_ok)) {
        }
    }
    (void)close(self.fd);
}

void tp_bench_serve(tapeout_context *context, const char *folder,
                    const tapeout_serve_options *options, bench_server *ret_server)
{
    char bundle[4096];
    tapeout_error err = {0};
    tapeout_serve_options all = *options;
    bench_server self = {.server = NULL};
    (void)snprintf(bundle, sizeof(bundle), "%s/bench.tapeout", folder);
    const tapeout_serve_model model = {.model = bundle};
    all.thread_count = 1;
    all.listen = "127.0.0.1:0";
    all.models = &model;
    all.model_count = 1;
    all.quiet_requests = true;
    if (tapeout_server_open(context, &all, &self.server, &err) != TAPEOUT_OK ||
        pthread_create(&self.thread, NULL, serve, self.server) != 0) {
        (void)fprintf(stderr, "bench http: %s\n", err.message);
        exit(1);
    }
    self.port = tapeout_server_port(self.server);
    wait_until_ready(self.port);
    *ret_server = self;
}

void tp_bench_serve_end(bench_server *self)
{
    tapeout_server_stop(self->server);
    (void)pthread_join(self->thread, NULL);
    tapeout_server_close(&self->server);
}
