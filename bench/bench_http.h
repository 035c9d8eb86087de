// SPDX-License-Identifier: Apache-2.0
//
// What the benchmarks over HTTP share: a table's model of ten features and 100 trees, a server in a
// thread of this process, and a client that reads whole replies. What goes wrong ends the process.
#ifndef BENCH_HTTP_H
#define BENCH_HTTP_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <tapeout/serve.h>

enum { BENCH_REPLY_BYTES = 1 << 16 };

// One record of the model, as JSON.
extern const char tp_bench_record[];

// From FOLDER/data.csv (`csv make`) to FOLDER/bench.tapeout. The JSON of tapeout_train.
char *tp_bench_train(tapeout_context *context, const char *folder);

typedef struct bench_client {
    int fd;
    size_t size; // of what has come of the reply
    char reply[BENCH_REPLY_BYTES];
} bench_client;

int tp_bench_connect(uint16_t port);
void tp_bench_send(const bench_client *self, const char *text, size_t size);
// Reads once; whether a whole reply has come. Ends the process where it is not a 200 and
// `must_be_ok`.
bool tp_bench_take(bench_client *self, bool must_be_ok, bool *ret_is_ok);

typedef struct bench_server {
    tapeout_server *server;
    pthread_t thread;
    uint16_t port;
} bench_server;

// FOLDER/bench.tapeout behind one thread on a port of its own, by `options` for the rest; waits
// until it is ready. Ended by tp_bench_serve_end, which waits until the thread has ended.
void tp_bench_serve(tapeout_context *context, const char *folder,
                    const tapeout_serve_options *options, bench_server *ret_server);
void tp_bench_serve_end(bench_server *self);

// With its home below the folder.
tapeout_context *tp_bench_context(const char *folder, const char *name);

#endif
