// SPDX-License-Identifier: Apache-2.0
//
// The event loop of one thread: accepts connections, moves bytes between sockets and
// tp_http_connection, and sees to it that nobody is waited for too long. Several loops listen on
// one socket, each in its own thread; they share nothing else, so a request costs no lock here.
//
// A client's bytes pass through two functions of loop_client.c, transport_receive and
// transport_send. Where the options name TLS it stands between those and the connection; nothing
// else touches a socket.
//
// @thread A loop and its clients are `confined` to the thread that runs it, but for
// tp_loop_phase_set and tp_loop_stats.
#ifndef TP_LOOP_H
#define TP_LOOP_H

#include "serve/tp_http.h"
#include "serve/tp_tls.h"

#include <stdatomic.h>
#include <uv.h>

typedef struct tp_loop tp_loop;
typedef struct tp_client tp_client;

typedef struct tp_loop_timeouts {
    uint32_t idle_ms;  // between requests
    uint32_t head_ms;  // from the first byte of a request to the end of its headers
    uint32_t body_ms;  // grace for the body; every 16 KiB received earn a second more
    uint32_t write_ms; // grace for a reply to be taken; every 16 KiB earn a second more
} tp_loop_timeouts;

typedef struct tp_loop_options {
    const tapeout_allocator *alloc;
    int listen_fd; // duplicated
    uint32_t max_connections;
    size_t max_body_bytes;
    tp_http_budget *budget; // of all loops; NULL: none
    uint64_t id_seed;
    tp_loop_timeouts timeouts;
    tp_tls *tls;     // NULL: plain HTTP
    uint32_t hsts_s; // with TLS: how long clients are told to insist on it; 0: they are not
    void (*handle)(void *user, tp_client *client); // a whole request is there; see tp_client_answer
    bool (*is_upload)(void *user,
                      const tp_http_request *request); // see tp_http_shared; may be NULL
    void (*upload_gone)(void *user, tp_client *client, bool is_refused); // with is_upload
    void (*refused)(void *user, tp_client *client, int status, const char *why);
    void (*tls_failed)(void *user, tp_client *client,
                       const char *why); // of a handshake; may be NULL
    void (*turned)(void *user);          // once a turn of the loop, after its events
    void *user;
} tp_loop_options;

// How far the end has come. Set from any thread; only ever upwards.
typedef enum tp_loop_phase {
    TP_LOOP_RUN,
    TP_LOOP_DRAIN, // still accepts; every reply ends its connection
    TP_LOOP_STOP,  // accepts nothing, closes idle connections; ends with the last request
    TP_LOOP_KILL   // closes all connections
} tp_loop_phase;

typedef struct tp_loop_stats {
    uint64_t connections_open;
    uint64_t connections_accepted;
    uint64_t connections_refused; // beyond max_connections
    uint64_t received_bytes;
    uint64_t sent_bytes;
} tp_loop_stats;

// A piece of work for another thread. `run` is called there; then on the loop's own thread
// `answer`, whereupon the client is answered with `reply` unless it has gone, and last `done`.
typedef struct tp_loop_job {
    uv_work_t work;
    tp_client *client;
    void (*run)(struct tp_loop_job *job);
    void (*answer)(struct tp_loop_job *job);
    void (*done)(struct tp_loop_job *job); // frees the job
    tp_http_reply *reply;                  // NULL: the answer comes by a stream
} tp_loop_job;

// A reply that comes later and from another thread, whole or in pieces. What a producer writes is
// kept until the loop's thread takes it; a client that does not take its pieces is closed once
// TP_MAX_HTTP_OUT_BYTES of them wait.
//
// The producer says exactly once how it ends, with tp_stream_answer or tp_stream_end, whatever has
// become of the client, and does not touch the stream after that.
typedef struct tp_stream tp_stream;

// Called on the loop's thread.
typedef struct tp_stream_events {
    // The client has left before the end: nothing that is written will be read. At most once.
    void (*gone)(void *user);
    // The reply is on its way, or the client is about to be forgotten (status 0 where it has seen
    // nothing of a reply); its request can be looked at for the last time. Once.
    void (*answered)(void *user, int status, uint64_t sent_bytes, bool is_gone);
    // The producer has ended and the stream is no more. Once, the last call.
    void (*done)(void *user);
    void *user;
} tp_stream_events;

struct tp_client {
    tp_http_connection http;
    tp_loop *loop;
    uv_tcp_t tcp;
    uv_write_t write;
    uv_shutdown_t shutdown;
    tp_buffer sending;          // what the write under way points into
    tp_tls_session *tls;        // NULL: plain
    tp_buffer plain;            // with TLS: replies that are being encrypted,
    size_t plain_done;          // how far,
    uint64_t plain_deadline_ms; // and until when
    uint64_t accepted_ms;       // of the loop's clock, as the next
    uint64_t deadline_ms;       // 0: none
    tp_loop_job *job;           // under way in another thread
    tp_stream *stream;          // of a reply that comes later
    uint8_t peer[16];           // its address, an IPv4 one mapped, of IPv6 the network (/64)
    bool is_writing;
    bool is_reading;
    bool is_shut; // our side has said its last
    bool is_closing;
    bool is_closed; // the handle is gone; memory waits for the job
    tp_client *next;
    tp_client *previous;
};

tapeout_status tp_loop_new(const tp_loop_options *options, tp_loop **ret_loop, tapeout_error *err);
// Runs until the phase and the last connection end it.
void tp_loop_run(tp_loop *loop);
void tp_loop_free(tp_loop *loop); // after tp_loop_run returned, or before it was called
void tp_loop_phase_set(tp_loop *loop, tp_loop_phase phase);
void tp_loop_wake(tp_loop *loop); // to a turn, if it sleeps; from any thread, while it has a client
tp_loop_stats tp_loop_stats_read(const tp_loop *loop);
uv_loop_t *tp_loop_uv(tp_loop *loop);
void *tp_loop_user(tp_loop *loop);

// For the request that the client's connection handed out; on the loop's thread.
tapeout_status tp_stream_open(tp_client *client, const tp_stream_events *events,
                              tp_stream **ret_stream, tapeout_error *err);
// From any thread, one at a time. A whole reply; its buffers are moved out.
void tp_stream_answer(tp_stream *stream, tp_http_reply *reply);
// The head of a reply in pieces, the same way; then pieces, then the end.
void tp_stream_begin(tp_stream *stream, tp_http_reply *head);
void tp_stream_write(tp_stream *stream, tp_str piece);
void tp_stream_end(tp_stream *stream);

// Hands `job` to another thread. E_NOMEM or E_BUSY when that is not possible; then nothing happens.
tapeout_status tp_client_offload(tp_client *client, tp_loop_job *job, tapeout_error *err);

#endif
