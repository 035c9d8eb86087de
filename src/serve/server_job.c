// SPDX-License-Identifier: Apache-2.0
//
// Requests that the loop does not answer at once: large ones, whose handler runs on another thread,
// and those whose reply comes later, by a stream. A job belongs to the work on the other thread, if
// there is any, and to the stream, if there is one; the last of them frees it, on the loop's
// thread.
#include "serve/server_priv.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"

#include <string.h>

enum { STATUS_CLIENT_LEFT = 499 }; // nginx's number for it, in the log alone

struct serve_later {
    tp_stream *stream;
    pthread_mutex_t lock;      // a leaf; the handler may run on another thread
    serve_later_events events; // under it, as is what follows
    bool is_taken;
    bool is_gone;
};

typedef struct server_job {
    tp_loop_job base; // first
    server_shard *shard;
    serve_exchange exchange;
    serve_later later;
    uint32_t owner_count;
} server_job;

static void job_release(server_job *job)
{
    if (--job->owner_count == 0) {
        tp_serve_exchange_deinit(&job->exchange);
        (void)pthread_mutex_destroy(&job->later.lock);
        tp_free(job->shard->server->env.alloc, job, sizeof(*job));
    }
}

// -- the stream ----------------------------------------------------------------------------------
static void on_gone(void *user)
{
    serve_later *later = &((server_job *)user)->later;
    (void)pthread_mutex_lock(&later->lock);
    const bool is_taken = later->is_taken;
    later->is_gone = true;
    (void)pthread_mutex_unlock(&later->lock);
    if (is_taken) {
        later->events.gone(later->events.user);
    }
}

static void on_answered(void *user, int status, uint64_t sent_bytes, bool is_gone)
{
    server_job *job = user;
    job->exchange.reply_status = is_gone ? STATUS_CLIENT_LEFT : status;
    job->exchange.reply_bytes = sent_bytes;
    tp_server_account(job->shard, &job->exchange);
}

static void on_stream_done(void *user)
{
    server_job *job = user;
    if (job->later.is_taken) {
        job->later.events.done(job->later.events.user);
        tp_server_account_tokens(job->shard, &job->exchange);
    }
    job_release(job);
}

tapeout_status tp_serve_later_take(serve_exchange *exchange, const serve_later_events *events,
                                   tp_stream **ret_stream, tapeout_error *err)
{
    serve_later *later = exchange->later;
    if (later == NULL) {
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED, "nobody waits for a reply that comes later");
    }
    (void)pthread_mutex_lock(&later->lock);
    later->events = *events;
    later->is_taken = true;
    const bool is_gone = later->is_gone;
    (void)pthread_mutex_unlock(&later->lock);
    exchange->is_taken = true;
    *ret_stream = later->stream;
    if (is_gone) {
        events->gone(events->user);
    }
    return TAPEOUT_OK;
}

// -- the work ------------------------------------------------------------------------------------
static void run(server_job *job)
{
    tp_serve_exchange_run(&job->exchange);
    if (job->exchange.later != NULL && !job->exchange.is_taken) {
        tp_stream_answer(job->later.stream, &job->exchange.reply);
    }
}

static void on_work_run(tp_loop_job *base)
{
    run((server_job *)base);
}

// On the loop's thread again, before the reply goes out and the request is forgotten.
static void on_work_answer(tp_loop_job *base)
{
    server_job *job = (server_job *)base;
    tp_serve_auth_settle(&job->exchange);
    if (job->exchange.later == NULL) {
        job->exchange.reply_status = job->exchange.reply.status;
        job->exchange.reply_bytes = tp_http_reply_size(&job->exchange.reply);
        tp_server_account(job->shard, &job->exchange);
    }
}

static void on_work_done(tp_loop_job *base)
{
    job_release((server_job *)base);
}

static bool stream_open(server_job *job, tp_client *client)
{
    const tp_stream_events events = {on_gone, on_answered, on_stream_done, job};
    if (tp_stream_open(client, &events, &job->later.stream, NULL) != TAPEOUT_OK) {
        return false;
    }
    job->exchange.later = &job->later;
    job->owner_count++;
    return true;
}

bool tp_server_job_start(server_shard *shard, tp_client *client, bool is_later)
{
    server_job *job = tp_alloc_zero(shard->server->env.alloc, sizeof(*job));
    if (job == NULL) {
        return false;
    }
    job->shard = shard;
    job->owner_count = 1;                             // the work, or this call
    (void)pthread_mutex_init(&job->later.lock, NULL); // plain ones cannot fail
    tp_serve_exchange_init(&job->exchange, &shard->server->state);
    job->exchange.auth = shard->auth;
    memcpy(job->exchange.peer, client->peer, sizeof(job->exchange.peer));
    tp_serve_exchange_begin(&job->exchange, &client->http.request);
    if (is_later && !stream_open(job, client)) {
        job_release(job);
        return false;
    }
    job->base.run = on_work_run;
    job->base.answer = on_work_answer;
    job->base.done = on_work_done;
    job->base.reply = is_later ? NULL : &job->exchange.reply;
    if (tp_serve_exchange_is_large(&job->exchange) &&
        tp_client_offload(client, &job->base, NULL) == TAPEOUT_OK) {
        return true;
    }
    if (is_later) {
        run(job);
        tp_serve_auth_settle(&job->exchange);
    }
    job_release(job);
    return is_later;
}
