// SPDX-License-Identifier: Apache-2.0
//
// Uploads between the loop and the disk. Letting one in, writing a piece and finishing are jobs on
// another thread, one after another, since each of them may have to wait for the disk: a write into
// the page cache too, once the kernel holds back who writes more than the disk takes. So the loop
// never waits, and between two jobs no thread is taken.
//
// The steps of all uploads stand in one line for the few threads that are theirs (upload_line.c).
//
// An upload belongs to its client's connection until there is a reply; what a client leaves behind
// goes on another thread too, for a large file is not removed at once.
#include "serve/server_priv.h"

#include "base/tp_alloc.h"

#include <stddef.h>
#include <string.h>

enum { STATUS_CLIENT_LEFT = 499 }; // nginx's number for it, in the log alone

typedef struct server_upload {
    tp_loop_job base; // first
    server_shard *shard;
    tp_client *client;
    serve_exchange exchange;
    upload_turn turn;         // for the step
    tp_http_upload_step step; // that is being done
    bool is_answered;         // there is a reply
} server_upload;

static void upload_free(server_upload *self)
{
    tp_serve_exchange_deinit(&self->exchange);
    tp_free(self->shard->server->env.alloc, self, sizeof(*self));
}

bool tp_server_is_upload(void *user, const tp_http_request *request)
{
    (void)user;
    tp_str params[SERVE_MAX_PARAMS];
    uint32_t allowed = 0;
    if (request->method != TP_HTTP_PUT) {
        return false;
    }
    const serve_route *route = tp_serve_route_find(request, params, &allowed);
    return route != NULL && route->when == SERVE_UPLOAD;
}

// -- a step --------------------------------------------------------------------------------------
static void on_run(tp_loop_job *base)
{
    server_upload *self = (server_upload *)base;
    serve_exchange *exchange = &self->exchange;
    if (self->step == TP_HTTP_UPLOAD_HEAD) {
        self->is_answered = !tp_serve_upload_open(exchange);
        return;
    }
    self->is_answered = !tp_serve_upload_write(exchange, tp_buffer_view(&exchange->request->body));
    if (!self->is_answered && self->step == TP_HTTP_UPLOAD_LAST) {
        tp_serve_upload_finish(exchange);
        self->is_answered = true;
    }
}

static void account(server_upload *self, int status, uint64_t bytes)
{
    self->exchange.reply_status = status;
    self->exchange.reply_bytes = bytes;
    tp_server_account(self->shard, &self->exchange);
}

// On the loop's thread again.
static void on_answer(tp_loop_job *base)
{
    server_upload *self = (server_upload *)base;
    tp_upload_line_leave(&self->turn);
    if (self->step == TP_HTTP_UPLOAD_HEAD) {
        tp_serve_auth_settle(&self->exchange);
    }
    if (self->is_answered) {
        base->reply = &self->exchange.reply;
        account(self, base->reply->status, tp_http_reply_size(base->reply));
    } else {
        tp_http_upload_go_on(&base->client->http);
    }
}

static void on_done(tp_loop_job *base)
{
    server_upload *self = (server_upload *)base;
    if (self->is_answered) {
        base->client->http.upload_owner = NULL;
        upload_free(self);
    }
}

static server_upload *upload_begin(server_shard *shard, tp_client *client)
{
    server_upload *self = tp_alloc_zero(shard->server->env.alloc, sizeof(*self));
    if (self == NULL) {
        return NULL;
    }
    self->shard = shard;
    self->client = client;
    self->base.run = on_run;
    self->base.answer = on_answer;
    self->base.done = on_done;
    tp_serve_exchange_init(&self->exchange, &shard->server->state);
    self->exchange.auth = shard->auth;
    memcpy(self->exchange.peer, client->peer, sizeof(self->exchange.peer));
    tp_serve_exchange_begin(&self->exchange, &client->http.request);
    client->http.upload_owner = self;
    return self;
}

static void step_start(server_upload *self)
{
    if (tp_client_offload(self->client, &self->base, NULL) != TAPEOUT_OK) {
        tp_upload_line_leave(&self->turn);
        tp_http_connection_refuse(&self->client->http, 503, "no thread for an upload");
    }
}

void tp_server_upload_step(server_shard *shard, tp_client *client)
{
    server_upload *self = client->http.upload_step == TP_HTTP_UPLOAD_HEAD
                              ? upload_begin(shard, client)
                              : client->http.upload_owner;
    if (self == NULL) {
        tp_http_connection_refuse(&client->http, 503, "out of memory");
        return;
    }
    self->step = client->http.upload_step;
    if (tp_upload_line_enter(&shard->uploads, &self->turn)) {
        step_start(self);
    }
}

void tp_server_uploads_start(server_shard *shard)
{
    for (upload_turn *turn = tp_upload_line_next(&shard->uploads); turn != NULL;
         turn = tp_upload_line_next(&shard->uploads)) {
        step_start((server_upload *)((char *)turn - offsetof(server_upload, turn)));
    }
}

// -- the end of one that is not finished ---------------------------------------------------------
static void on_remove(uv_work_t *work)
{
    server_upload *self = work->data;
    tp_upload_free(&self->exchange.upload);
}

static void on_removed(uv_work_t *work, int status)
{
    (void)status; // never cancelled
    upload_free(work->data);
}

void tp_server_upload_gone(void *user, tp_client *client, bool is_refused)
{
    server_shard *shard = user;
    server_upload *self = client->http.upload_owner;
    if (!is_refused) {
        account(self, STATUS_CLIENT_LEFT, 0);
    }
    self->exchange.request = NULL;     // it goes with the connection
    tp_upload_line_leave(&self->turn); // where it was still waiting
    self->base.work.data = self;
    if (uv_queue_work(tp_loop_uv(shard->loop), &self->base.work, on_remove, on_removed) != 0) {
        upload_free(self); // slowly is better than not
    }
}
