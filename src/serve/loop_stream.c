// SPDX-License-Identifier: Apache-2.0
//
// Replies that another thread makes. A producer puts what it has into the stream, puts the stream
// on the loop's list, and wakes the loop, which takes everything at once: however many pieces came
// meanwhile, they are one chunk and one write.
//
// A stream outlives its client: when the client goes, the producer is told and goes on writing into
// nothing until it has said its end.
#include "serve/loop_priv.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"

#include <string.h>

struct tp_stream {
    tp_loop *loop;
    tp_stream_events events;
    // The loop's own.
    tp_client *client; // NULL: gone
    int status;        // of the reply; 0: it has not begun
    uint64_t sent_bytes;
    // Under the loop's stream_lock.
    tp_http_reply reply; // a whole one, or the head
    tp_buffer pieces;    // to be taken
    bool has_reply;
    bool is_whole; // what `reply` is
    bool is_ended;
    bool is_listed;
    tp_stream *next_ready;
};

tapeout_status tp_stream_open(tp_client *client, const tp_stream_events *events,
                              tp_stream **ret_stream, tapeout_error *err)
{
    tp_loop *loop = client->loop;
    const tapeout_allocator *alloc = loop->options.alloc;
    tp_stream *stream = tp_alloc_zero(alloc, sizeof(*stream));
    if (stream == NULL) {
        return tp_fail_nomem(err);
    }
    stream->loop = loop;
    stream->events = *events;
    stream->client = client;
    tp_http_reply_init(&stream->reply, alloc);
    tp_buffer_init(&stream->pieces, alloc, (size_t)TP_MAX_HTTP_OUT_BYTES * 2);
    client->stream = stream;
    loop->stream_count++;
    *ret_stream = stream;
    return TAPEOUT_OK;
}

static void stream_free(tp_stream *stream)
{
    tp_loop *loop = stream->loop;
    const tp_stream_events events = stream->events;
    tp_http_reply_deinit(&stream->reply);
    tp_buffer_deinit(&stream->pieces);
    tp_free(loop->options.alloc, stream, sizeof(*stream));
    loop->stream_count--;
    events.done(events.user);
}

// Called with the lock.
static void list(tp_stream *stream)
{
    tp_loop *loop = stream->loop;
    if (!stream->is_listed) {
        stream->is_listed = true;
        stream->next_ready = loop->streams_ready;
        loop->streams_ready = stream;
    }
}

// -- the producer's side -------------------------------------------------------------------------
// Called with the lock, which it gives back.
static void list_and_wake(tp_stream *stream)
{
    tp_loop *loop = stream->loop;
    list(stream);
    // Woken under the lock: after it the loop may have freed the stream and ended.
    (void)uv_async_send(&loop->wake); // fails only for a handle that is being closed
    (void)pthread_mutex_unlock(&loop->stream_lock);
}

static void move_reply(tp_stream *stream, tp_http_reply *reply, bool is_whole)
{
    const tp_http_reply taken = *reply;
    *reply = stream->reply;
    stream->reply = taken;
    stream->has_reply = true;
    stream->is_whole = is_whole;
}

void tp_stream_answer(tp_stream *stream, tp_http_reply *reply)
{
    (void)pthread_mutex_lock(&stream->loop->stream_lock);
    move_reply(stream, reply, true);
    stream->is_ended = true;
    list_and_wake(stream);
}

void tp_stream_begin(tp_stream *stream, tp_http_reply *head)
{
    (void)pthread_mutex_lock(&stream->loop->stream_lock);
    move_reply(stream, head, false);
    list_and_wake(stream);
}

void tp_stream_write(tp_stream *stream, tp_str piece)
{
    (void)pthread_mutex_lock(&stream->loop->stream_lock);
    tp_buffer_append_str(&stream->pieces, piece);
    list_and_wake(stream);
}

void tp_stream_end(tp_stream *stream)
{
    (void)pthread_mutex_lock(&stream->loop->stream_lock);
    stream->is_ended = true;
    list_and_wake(stream);
}

// -- the loop's side -----------------------------------------------------------------------------
// What was taken from a stream under the lock.
typedef struct delivery {
    tp_http_reply reply;
    tp_buffer pieces;
    bool has_reply;
    bool is_whole;
    bool is_ended;
} delivery;

// Swaps empty buffers in for full ones.
static void take(tp_stream *stream, delivery *taken)
{
    const tapeout_allocator *alloc = stream->loop->options.alloc;
    memset(taken, 0, sizeof(*taken));
    tp_http_reply_init(&taken->reply, alloc);
    tp_buffer_init(&taken->pieces, alloc, stream->pieces.max_size);
    const tp_buffer pieces = stream->pieces;
    stream->pieces = taken->pieces;
    taken->pieces = pieces;
    if (stream->has_reply) {
        const tp_http_reply reply = stream->reply;
        stream->reply = taken->reply;
        taken->reply = reply;
    }
    taken->has_reply = stream->has_reply;
    taken->is_whole = stream->is_whole;
    taken->is_ended = stream->is_ended;
    stream->has_reply = false;
}

static void finish_request(tp_stream *stream, bool is_gone)
{
    stream->client->stream = NULL;
    stream->events.answered(stream->events.user, stream->status, stream->sent_bytes, is_gone);
    stream->client = NULL;
}

static void deliver_to(tp_stream *stream, tp_client *client, delivery *taken)
{
    tp_http_connection *http = &client->http;
    if (taken->pieces.status != TAPEOUT_OK || http->out.size > TP_MAX_HTTP_OUT_BYTES) {
        tp_loop_client_close(client); // it does not read, or memory has run out
        return;
    }
    if (taken->has_reply) {
        stream->status = taken->reply.status;
    }
    if (taken->has_reply && taken->is_whole) {
        stream->sent_bytes = tp_http_reply_size(&taken->reply);
        finish_request(stream, false);
        tp_http_connection_reply(http, &taken->reply);
    } else {
        if (taken->has_reply) {
            tp_http_connection_begin(http, &taken->reply);
        }
        tp_http_connection_piece(http, tp_buffer_view(&taken->pieces));
        stream->sent_bytes += taken->pieces.size;
        if (taken->is_ended) {
            finish_request(stream, false);
            tp_http_connection_finish(http);
        }
    }
    if (taken->is_ended) {
        tp_http_connection_resume(http);
    }
    tp_loop_client_flush(client);
}

void tp_loop_streams_deliver(tp_loop *loop)
{
    (void)pthread_mutex_lock(&loop->stream_lock);
    tp_stream *stream = loop->streams_ready;
    loop->streams_ready = NULL;
    while (stream != NULL) {
        delivery taken;
        tp_stream *next = stream->next_ready;
        stream->is_listed = false;
        if (stream->client != NULL && stream->client->job != NULL) {
            list(stream); // its handler still runs, and looks at the request
            stream = next;
            continue;
        }
        take(stream, &taken);
        (void)pthread_mutex_unlock(&loop->stream_lock);
        if (stream->client != NULL) {
            deliver_to(stream, stream->client, &taken);
        }
        if (taken.is_ended) {
            stream_free(stream);
        }
        tp_http_reply_deinit(&taken.reply);
        tp_buffer_deinit(&taken.pieces);
        stream = next;
        (void)pthread_mutex_lock(&loop->stream_lock);
    }
    (void)pthread_mutex_unlock(&loop->stream_lock);
}

void tp_stream_client_gone(tp_client *client)
{
    tp_stream *stream = client->stream;
    if (stream == NULL) {
        return;
    }
    if (client->job == NULL) {
        finish_request(stream, true);
    }
    stream->events.gone(stream->events.user);
}

void tp_stream_work_done(tp_client *client)
{
    if (client->stream != NULL && client->is_closing) {
        finish_request(client->stream, true); // `gone` has been called
    }
    tp_loop_streams_deliver(client->loop);
}
