// SPDX-License-Identifier: Apache-2.0
//
// Bodies of requests to a language model, over a tiny one that is made when the first input comes.
// Whatever comes, the answer is a refusal or (where nothing is generated) a reply, as JSON, and
// asking twice gives the same status, or 503 where the first has unloaded the model.
#ifndef LLM_REQUEST_H
#define LLM_REQUEST_H

#include "../unit/serve/llm_ask.h"
#include "base/tp_alloc.h"
#include "table/tp_json.h"

#include <stdlib.h>

static void llm_request_check(bool condition)
{
    if (!condition) {
        abort();
    }
}

static int llm_request_post(serve_state *state, const char *path, tp_str body)
{
    serve_exchange exchange;
    yyjson_doc *doc = NULL;
    tp_serve_exchange_init(&exchange, state);
    const int status = llm_ask_post(&exchange, path, body);
    // 503: an input before this one has unloaded the model.
    llm_request_check(status == 200 || status == 400 || status == 404 || status == 413 ||
                      status == 503);
    llm_request_check(tp_json_parse(state->env->alloc, tp_buffer_view(&exchange.reply.body),
                                    "reply", &doc, NULL) == TAPEOUT_OK);
    yyjson_doc_free(doc);
    tp_serve_exchange_clear(&exchange);
    tp_serve_exchange_deinit(&exchange);
    return status;
}

static llm_ask_server llm_request_server;

static void llm_request_close(void)
{
    llm_ask_close(&llm_request_server);
}

static int llm_request_fuzz(const char *path, const uint8_t *data, size_t size)
{
    if (llm_request_server.state.engine == NULL) {
        llm_ask_open(&llm_request_server, tp_allocator_default(), TEST_SOURCE_DIR);
        (void)atexit(llm_request_close); // else its folder stays
    }
    if (size <= 1 << 16) {
        const tp_str body = {(const char *)data, size};
        const int first = llm_request_post(&llm_request_server.state, path, body);
        const int again = llm_request_post(&llm_request_server.state, path, body);
        llm_request_check(again == first || again == 503);
    }
    return 0;
}

#endif
