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
#include "bench_http.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CONNECTIONS = 16 };

static int single(tapeout_context *context, const char *folder)
{
    char *json = tp_bench_train(context, folder);
    const char *got = strstr(json, "\"got\":");
    const bool is_missing = got == NULL;
    printf("{\"single_row_us\": %.2f}\n", is_missing ? -1 : strtod(got + 6, NULL));
    tapeout_text_free(context, json);
    return is_missing;
}

// -- over HTTP -----------------------------------------------------------------------------------
static double requests_per_s(uint16_t port, double seconds)
{
    static bench_client clients[CONNECTIONS];
    struct pollfd polls[CONNECTIONS];
    char request[1024];
    bool is_ok = false;
    uint64_t count = 0;
    const int size =
        snprintf(request, sizeof(request),
                 "POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                 "application/json\r\nContent-Length: %zu\r\n\r\n"
                 "{\"dataframe_records\": [%s]}",
                 strlen(tp_bench_record) + strlen("{\"dataframe_records\": []}"), tp_bench_record);
    for (int i = 0; i < CONNECTIONS; i++) {
        clients[i].fd = tp_bench_connect(port);
        polls[i] = (struct pollfd){.fd = clients[i].fd, .events = POLLIN};
        tp_bench_send(&clients[i], request, (size_t)size);
    }
    const uint64_t start_ns = tp_clock_monotonic_ns();
    double elapsed_s = 0;
    while (elapsed_s < seconds) {
        (void)poll(polls, CONNECTIONS, 1000);
        for (int i = 0; i < CONNECTIONS; i++) {
            if (polls[i].revents != 0 && tp_bench_take(&clients[i], true, &is_ok)) {
                count++;
                tp_bench_send(&clients[i], request, (size_t)size);
            }
        }
        elapsed_s = (double)(tp_clock_monotonic_ns() - start_ns) * 1e-9;
    }
    for (int i = 0; i < CONNECTIONS; i++) {
        (void)close(clients[i].fd);
    }
    return (double)count / elapsed_s;
}

static int http(tapeout_context *context, const char *folder, double seconds)
{
    tapeout_serve_options options;
    bench_server server;
    tapeout_text_free(context, tp_bench_train(context, folder));
    tapeout_serve_options_init(&options);
    options.no_auth = true;
    tp_bench_serve(context, folder, &options, &server);
    printf("{\"requests_per_s\": %.0f}\n", requests_per_s(server.port, seconds));
    tp_bench_serve_end(&server);
    return 0;
}

int tp_bench_pipeline(int argc, char **argv)
{
    if (argc < 3) {
        (void)fputs("usage: pipeline single FOLDER | pipeline http FOLDER SECONDS\n", stderr);
        return 2;
    }
    tapeout_context *context = tp_bench_context(argv[2], "home");
    const int status = strcmp(argv[1], "single") == 0
                           ? single(context, argv[2])
                           : http(context, argv[2], strtod(argv[3], NULL));
    tapeout_context_free(context);
    return status;
}
