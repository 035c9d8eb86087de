// SPDX-License-Identifier: Apache-2.0
//
// A loop inside: its clients (loop.c) and the replies that come in pieces (loop_stream.c).
#ifndef LOOP_PRIV_H
#define LOOP_PRIV_H

#include "serve/tp_loop.h"

#include <pthread.h>

enum { LOOP_READ_BUFFER_BYTES = 64 << 10 };

struct tp_loop {
    tp_loop_options options;
    tp_http_shared shared;
    uv_loop_t uv;
    uv_tcp_t listener;
    uv_timer_t sweep;
    uv_async_t wake;
    uv_check_t check;
    atomic_int phase;
    bool is_listening;
    bool is_ending;
    pthread_mutex_t stream_lock; // guards what streams hold for the loop; a leaf
    tp_stream *streams_ready;    // that have something for the loop, newest first
    uint32_t stream_count;       // that are not freed yet; the loop's own
    tp_client *clients;
    uint32_t client_count;
    // Written by the loop alone, read by whoever asks for statistics.
    atomic_uint_fast64_t open;
    atomic_uint_fast64_t accepted;
    atomic_uint_fast64_t refused;
    atomic_uint_fast64_t received;
    atomic_uint_fast64_t sent;
    char read_buffer[LOOP_READ_BUFFER_BYTES];
};

// Sends what the client's connection has to say, and sets its deadline.
void tp_loop_client_flush(tp_client *client);
void tp_loop_client_close(tp_client *client);

// Hands on what streams have for their clients.
void tp_loop_streams_deliver(tp_loop *loop);
// The client is being closed: its stream, if it has one, hears of it.
void tp_stream_client_gone(tp_client *client);
// The client's job has ended: what its stream has may be delivered.
void tp_stream_work_done(tp_client *client);

#endif
