// SPDX-License-Identifier: Apache-2.0
//
// The routes that machinery asks: is it alive, is it ready, which version, which metrics, which
// routes. Alive means that the process answers; ready, that models are loaded and no drain has
// begun. Clients of these look at the status alone; the bodies follow each protocol's own words.
#include "serve/serve_handlers.h"

#include "base/tp_error.h"

#include <tapeout/context.h>

static tapeout_status answer_text(serve_exchange *exchange, int status, const char *content_type,
                                  const char *body)
{
    exchange->reply.status = status;
    exchange->reply.content_type = content_type;
    tp_buffer_append_text(&exchange->reply.body, body);
    if (status == 503) {
        tp_buffer_append_text(&exchange->reply.headers, "retry-after: 1\r\n");
    }
    return TAPEOUT_OK;
}

static bool is_ready(const serve_exchange *exchange)
{
    return atomic_load_explicit(&exchange->state->is_ready, memory_order_acquire);
}

tapeout_status tp_serve_root(serve_exchange *exchange, tapeout_error *err)
{
    (void)err;
    return answer_text(exchange, 200, "application/json",
                       "{\"name\":\"tapeout\",\"status\":\"alive\","
                       "\"for_ollama_clients\":\"Ollama is running\"}");
}

tapeout_status tp_serve_live(serve_exchange *exchange, tapeout_error *err)
{
    (void)err;
    return answer_text(exchange, 200, "text/plain; charset=utf-8", "ok\n");
}

// Also told here: that nothing is stored any more. Whoever balances by what can be predicted asks
// /v2/health/ready, which goes on saying yes.
tapeout_status tp_serve_ready(serve_exchange *exchange, tapeout_error *err)
{
    (void)err;
    if (is_ready(exchange) && tp_serve_is_stopped(exchange->state)) {
        return answer_text(exchange, 503, "text/plain; charset=utf-8",
                           "read-only: a sync of the disk failed; predictions go on, nothing is "
                           "stored until the server is started anew\n");
    }
    return is_ready(exchange)
               ? answer_text(exchange, 200, "text/plain; charset=utf-8", "ok\n")
               : answer_text(exchange, 503, "text/plain; charset=utf-8", "not ready\n");
}

tapeout_status tp_serve_ping(serve_exchange *exchange, tapeout_error *err)
{
    (void)err;
    return answer_text(exchange, is_ready(exchange) ? 200 : 503, "text/plain; charset=utf-8", "\n");
}

// As llama.cpp's server answers; whoever has eyes for the status alone is served as well.
tapeout_status tp_serve_health(serve_exchange *exchange, tapeout_error *err)
{
    (void)err;
    return is_ready(exchange)
               ? answer_text(exchange, 200, "application/json", "{\"status\":\"ok\"}")
               : answer_text(exchange, 503, "application/json",
                             "{\"error\":{\"code\":503,\"message\":\"Loading model\","
                             "\"type\":\"unavailable_error\"}}");
}

tapeout_status tp_serve_version(serve_exchange *exchange, tapeout_error *err)
{
    (void)err;
    return answer_text(exchange, 200, "text/plain; charset=utf-8", tapeout_version());
}

tapeout_status tp_serve_v2_live(serve_exchange *exchange, tapeout_error *err)
{
    (void)err;
    return answer_text(exchange, 200, "application/json", "{\"live\":true}");
}

tapeout_status tp_serve_v2_ready(serve_exchange *exchange, tapeout_error *err)
{
    (void)err;
    return is_ready(exchange) ? answer_text(exchange, 200, "application/json", "{\"ready\":true}")
                              : answer_text(exchange, 503, "application/json", "{\"ready\":false}");
}

tapeout_status tp_serve_metrics(serve_exchange *exchange, tapeout_error *err)
{
    (void)err;
    serve_state *state = exchange->state;
    exchange->reply.content_type = "text/plain; version=0.0.4; charset=utf-8";
    if (state->refresh_metrics != NULL) {
        state->refresh_metrics(state->user);
    }
    tp_monitor_write(state->monitor, &exchange->reply.body);
    tp_monitor_write_process(&exchange->reply.body);
    return TAPEOUT_OK;
}

tapeout_status tp_serve_openapi(serve_exchange *exchange, tapeout_error *err)
{
    (void)err;
    exchange->reply.content_type = "application/json";
    tp_serve_openapi_write(&exchange->reply.body);
    return TAPEOUT_OK;
}
