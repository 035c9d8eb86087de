// SPDX-License-Identifier: Apache-2.0
//
// Every allocation of reading a request to a language model fails in turn: it is said with 503, in
// the family's form where there is memory for it, nothing is left behind, and the same request is
// read afterwards as before.
#include "llm_ask.h"
#include "test.h"

#include <string.h>

typedef struct request_case {
    const char *path;
    const char *body;
} request_case;

#define SCHEMA                                                                                     \
    "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}},\"required\":[\"a\"]}"

// All are accepted, and end where there is no stream.
static const request_case requests[] = {
    {"/v1/responses", "{\"input\":\"hi\",\"instructions\":\"be brief\",\"stop\":[\"a\"]}"},
    {"/v1/responses",
     "{\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"hi\"}]},"
     "{\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"f\",\"arguments\":\"{}\"},"
     "{\"type\":\"function_call_output\",\"call_id\":\"c\",\"output\":\"42\"}],"
     "\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"parameters\":" SCHEMA "}]}"},
    {"/v1/responses", "{\"input\":\"hi\",\"text\":{\"format\":{\"type\":\"json_schema\","
                      "\"schema\":" SCHEMA "}}}"},
    {"/api/chat", "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"think\":true,"
                  "\"options\":{\"num_predict\":5,\"stop\":\"x\"},\"format\":" SCHEMA "}"},
    {"/api/chat",
     "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":[{\"type\":\"function\","
     "\"function\":{\"name\":\"f\",\"strict\":true,\"parameters\":" SCHEMA "}}]}"},
    {"/api/generate", "{\"prompt\":\"hi\",\"system\":\"be brief\",\"format\":\"json\"}"},
    {"/api/generate", "{\"prompt\":\"hi\",\"raw\":true}"},
    {"/v1/chat/completions",
     "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":\"assistant\",\"content\":"
     "null,\"tool_calls\":[{\"id\":\"c\",\"type\":\"function\",\"function\":{\"name\":\"f\","
     "\"arguments\":\"{}\"}}]},{\"role\":\"tool\",\"content\":\"1\"}],\"tools\":[{\"type\":"
     "\"function\",\"function\":{\"name\":\"f\",\"parameters\":" SCHEMA "}}],\"tool_choice\":"
     "\"required\"}"},
    {"/v1/completions", "{\"prompt\":\"hi\",\"logit_bias\":{\"5\":1},\"echo\":true}"},
};

static llm_ask_server server;
static test_allocator allocator;

static int ask(const request_case *what, tapeout_error *ret_error)
{
    serve_exchange exchange;
    tp_serve_exchange_init(&exchange, &server.state);
    const int status =
        llm_ask_post(&exchange, what->path, (tp_str){what->body, strlen(what->body)});
    *ret_error = exchange.error;
    tp_serve_exchange_clear(&exchange);
    tp_serve_exchange_deinit(&exchange);
    return status;
}

// Fails the n-th allocation; false when the request makes fewer.
static bool fail_at(const request_case *what, size_t n, bool for_ever)
{
    tapeout_error error;
    const size_t live = allocator.live;
    allocator.count = 0;
    allocator.fail_at = n;
    allocator.fail_for_ever = for_ever;
    const int status = ask(what, &error);
    const bool has_failed = allocator.count >= n;
    allocator.fail_at = 0;
    if (allocator.live != live) {
        test_fail(__FILE__, __LINE__, "%s: allocation %zu failed, %zu blocks are left", what->path,
                  n, allocator.live - live);
    }
    // What is only an ornament may be left out.
    if (has_failed && status != 503 && strstr(error.message, "comes later") == NULL) {
        test_fail(__FILE__, __LINE__, "%s: allocation %zu failed: %d %s", what->path, n, status,
                  error.message);
    }
    return has_failed;
}

static void test_requests(void)
{
    tapeout_error error;
    test_allocator_init(&allocator);
    llm_ask_open(&server, &allocator.base, test_source_dir());
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        ASSERT_EQ_INT(ask(&requests[i], &error), 400);
        if (strstr(error.message, "comes later") == NULL) {
            test_fail(__FILE__, __LINE__, "%s: %s", requests[i].path, error.message);
        }
        for (size_t n = 1; fail_at(&requests[i], n, n % 2 == 0); n++) {
        }
        ASSERT_EQ_INT(ask(&requests[i], &error), 400);
        ASSERT(strstr(error.message, "comes later") != NULL);
    }
    llm_ask_close(&server);
    ASSERT_EQ_UINT(allocator.live, 0);
}

TEST_MAIN(TEST_SLOW(test_requests, 300))
