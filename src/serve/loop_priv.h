// SPDX-License-Identifier: Apache-2.0
//
// A loop inside: its turns (loop.c), its clients (loop_client.c), TLS between them and their
// sockets (loop_tls.c), and the replies that come in pieces (loop_stream.c).
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

// -- loop_client.c -------------------------------------------------------------------------------
// Takes in the client that waits at the listener.
void tp_loop_client_accept(tp_loop *loop);
// Sends what the client's connection has to say, and sets its deadline.
void tp_loop_client_flush(tp_client *client);
void tp_loop_client_close(tp_client *client);
// The peer sends nothing more.
void tp_loop_client_ended(tp_client *client);
// Sends `out` as it is. True when the socket took all of it at once; what it did not take is on its
// way, and `out` is empty. Only while no other write is.
bool tp_loop_client_send(tp_client *client, tp_buffer *out);
// Its deadline has passed.
void tp_loop_client_expire(tp_client *client);
// When so many bytes must have been taken, if they are sent from now on.
uint64_t tp_loop_write_deadline(const tp_client *client, size_t size_bytes);

// -- loop_tls.c, of a client with TLS ------------------------------------------------------------
void tp_loop_tls_receive(tp_client *client, const char *data, size_t size);
bool tp_loop_tls_has_output(tp_client *client); // besides what stands in http.out
bool tp_loop_tls_send(tp_client *client);       // a step; as tp_loop_client_send
void tp_loop_tls_shrink(tp_client *client);     // gives back what an idle client does not need

// -- loop_stream.c -------------------------------------------------------------------------------
// Hands on what streams have for their clients.
void tp_loop_streams_deliver(tp_loop *loop);
// The client is being closed: its stream, if it has one, hears of it.
void tp_stream_client_gone(tp_client *client);
// The client's job has ended: what its stream has may be delivered.
void tp_stream_work_done(tp_client *client);

#endif
