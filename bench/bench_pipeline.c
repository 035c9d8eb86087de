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

enum { CONNECTIONS = 16 };

static int single(tapeout_context *context, const char *folder)
{
    const char *json = tp_bench_train(context, folder);
    const char *got = strstr(json, "\"got\":");
    printf("{\"single_row_us\": %.2f}\n", got == NULL ? -1 : strtod(got + 6, NULL));
    return got == NULL;
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
    return (double)count / elapsed_s;
}

static int http(tapeout_context *context, const char *folder, double seconds)
{
    char bundle[4096];
    tapeout_serve_options options;
    (void)tp_bench_train(context, folder);
    (void)snprintf(bundle, sizeof(bundle), "%s/bench.tapeout", folder);
    const tapeout_serve_model model = {.model = bundle};
    tapeout_serve_options_init(&options);
    options.thread_count = 1;
    options.listen = "127.0.0.1:0";
    options.models = &model;
    options.model_count = 1;
    options.no_auth = true;
    options.quiet_requests = true;
    printf("{\"requests_per_s\": %.0f}\n",
           requests_per_s(tp_bench_serve(context, &options), seconds));
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
