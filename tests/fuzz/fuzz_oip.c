// SPDX-License-Identifier: Apache-2.0
//
// Bodies of the scoring routes over a small model, trained when the first input comes. The first
// byte chooses the route; for packed tensors two bytes more say where the JSON ends. Whatever
// comes, the answer is 200 or a refusal with a body that is JSON, and asking twice gives the same
// bytes.
#include "base/tp_alloc.h"
#include "serve/serve_priv.h"
#include "table/tp_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tapeout/train.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
    if (!condition) {
        abort();
    }
}

static const char spec[] = "name: toy\n"
                           "data: {train: rows.csv, split: {by: random, test: 0.2}}\n"
                           "target: {column: bought, positive: 1}\n"
                           "features: |\n"
                           "  age = age\n"
                           "  wealth = log1p(income)\n"
                           "  city = category(city, min_count = 5)\n"
                           "  month = month(joined)\n"
                           "  member = if(member, 1, 0)\n"
                           "model: {learner: gbt, trees: 5, leaves: 4}\n";

static void write_file(const char *path, bool is_spec)
{
    FILE *file = fopen(path, "w");
    check(file != NULL);
    if (is_spec) {
        (void)fputs(spec, file);
    } else {
        (void)fputs("age,income,city,joined,member,bought\n", file);
    }
    for (int i = 0; !is_spec && i < 200; i++) {
        (void)fprintf(file, "%d,%d.5,%s,2020-%02d-07,%s,%d\n", 20 + i % 50, 1000 + i * 7 % 300,
                      i % 3 == 0 ? "Oslo" : "Lima", 1 + i % 12, i % 2 == 0 ? "true" : "false",
                      i % 50 > 25);
    }
    check(fclose(file) == 0);
}

// Everything lives as long as the process.
static serve_state *make_state(void)
{
    static serve_state state;
    static tp_env env;
    static const tp_metric_family none[] = {
        {"t_total", "None.", TP_METRIC_COUNTER, false, 1, {NULL}}};
    char folder[] = "/tmp/fuzz_oip_XXXXXX";
    char csv[64];
    char yaml[64];
    char bundle[64];
    check(mkdtemp(folder) != NULL);
    (void)snprintf(csv, sizeof(csv), "%s/rows.csv", folder);
    (void)snprintf(yaml, sizeof(yaml), "%s/spec.yaml", folder);
    (void)snprintf(bundle, sizeof(bundle), "%s/m.tapeout", folder);
    write_file(csv, false);
    write_file(yaml, true);
    tapeout_context_options context_options;
    tapeout_context_options_init(&context_options);
    context_options.thread_count = 1;
    context_options.home = folder;
    tapeout_context *context = NULL;
    check(tapeout_context_new(&context_options, &context, NULL) == TAPEOUT_OK);
    tapeout_train_options options;
    tapeout_train_options_init(&options);
    options.out_path = bundle;
    char *json = NULL;
    check(tapeout_train(context, yaml, &options, &json, NULL) == TAPEOUT_OK);
    tapeout_text_free(context, json);
    tapeout_context_free(context);
    env = tp_env_plain();
    const tp_principal_spec everybody = {.id = TP_STR("anonymous"), .grants = TP_STR("admin")};
    check(tp_principal_new(env.alloc, &everybody, &state.anonymous, NULL) == TAPEOUT_OK);
    state.env = &env;
    state.max_body_bytes = 1 << 20;
    state.max_rows = 1000;
    atomic_store(&state.is_ready, true);
    check(tp_monitor_new(env.alloc, none, 1, 1, &state.monitor, NULL) == TAPEOUT_OK);
    check(tp_engine_new(&env, &(tp_engine_options){0}, &state.engine, NULL) == TAPEOUT_OK);
    const tp_model_spec model = {.path = bundle};
    check(tp_engine_install(state.engine, &model, 1, NULL, NULL) == TAPEOUT_OK);
    return &state;
}

static void append_header(tp_http_request *request, const char *name, tp_str value)
{
    request->headers[request->header_count++] =
        (tp_http_header){.name = tp_str_from(name), .value = value};
}

static tp_http_request request;
static char header_length[16];

static void build_request(unsigned route, tp_str body, size_t json_size)
{
    static const char *const paths[][6] = {{"score"},
                                           {"v2", "models", "toy", "infer"},
                                           {"v2", "models", "toy", "infer"},
                                           {"invocations"},
                                           {"invocations"},
                                           {"v1", "models", "toy:predict"}};
    request.method = TP_HTTP_POST;
    request.segment_count = 0;
    request.header_count = 0;
    for (int i = 0; i < 6 && paths[route][i] != NULL; i++) {
        request.segments[request.segment_count++] = tp_str_from(paths[route][i]);
    }
    if (route == 2) {
        const int size = snprintf(header_length, sizeof(header_length), "%zu", json_size);
        append_header(&request, "inference-header-content-length",
                      (tp_str){header_length, (size_t)size});
    }
    if (route == 4) {
        append_header(&request, "content-type", TP_STR("text/csv"));
    }
    tp_buffer_clear(&request.body);
    tp_buffer_append_str(&request.body, body);
}

static void check_reply(const serve_exchange *exchange)
{
    const tp_http_reply *reply = &exchange->reply;
    check(reply->status == 200 || reply->status == 400 || reply->status == 413);
    tp_str json = tp_buffer_view(&reply->body);
    const char mark[] = "inference-header-content-length: ";
    tp_str headers = tp_buffer_view(&reply->headers);
    if (tp_str_has_prefix(headers, TP_STR(mark))) {
        headers = (tp_str){headers.data + sizeof(mark) - 1, headers.size - sizeof(mark) + 1};
        size_t digits = 0;
        while (headers.data[digits] != '\r') {
            digits++;
        }
        uint64_t size = 0;
        check(tp_str_to_uint64((tp_str){headers.data, digits}, &size) && size <= json.size);
        json.size = (size_t)size;
    }
    yyjson_doc *doc = NULL;
    check(tp_json_parse(exchange->state->env->alloc, json, "reply", &doc, NULL) == TAPEOUT_OK);
    yyjson_doc_free(doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static serve_state *state;
    if (state == NULL) {
        state = make_state();
        tp_buffer_init(&request.body, state->env->alloc, 1 << 20);
    }
    const unsigned route = size > 0 ? data[0] % 6 : 0;
    const size_t begin = route == 2 ? 3 : 1;
    if (size < begin || size > 1 << 16) {
        return 0;
    }
    const size_t json_size = route == 2 ? data[1] + 256u * data[2] : 0;
    build_request(route, (tp_str){(const char *)data + begin, size - begin}, json_size);
    serve_exchange first;
    serve_exchange second;
    tp_serve_exchange_init(&first, state);
    tp_serve_exchange_init(&second, state);
    tp_serve_exchange_begin(&first, &request);
    tp_serve_exchange_run(&first);
    tp_serve_exchange_begin(&second, &request);
    tp_serve_exchange_run(&second);
    check_reply(&first);
    check(first.reply.status == second.reply.status);
    check(tp_str_equal(tp_buffer_view(&first.reply.body), tp_buffer_view(&second.reply.body)));
    tp_serve_exchange_deinit(&first);
    tp_serve_exchange_deinit(&second);
    return 0;
}
