// SPDX-License-Identifier: Apache-2.0
#include "llm_ask.h"

#include "llm/gguf/tp_gguf_write.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char chat_template[] =
    "{% if tools %}<tools>{{ tools | tojson }}</tools>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content or '' }}"
    "{% for c in m.tool_calls or [] %}<tool_call>{{ c.function | tojson }}</tool_call>{% endfor %}"
    "<|im_end|>\n{% endfor %}"
    "{% if enable_thinking %}<think>{% endif %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

static void check(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void write_model(const char *source_dir, const char *path)
{
    const tp_env env = tp_env_plain();
    char tiny[4096];
    tp_gguf *gguf = NULL;
    tp_gguf_builder builder;
    (void)snprintf(tiny, sizeof(tiny), "%s/tests/conformance/llm_tiny/llama-q4_1.gguf", source_dir);
    check(tp_gguf_open(&env, tiny, &gguf, NULL) == TAPEOUT_OK);
    tp_gguf_builder_init(&builder, env.alloc);
    tp_gguf_builder_copy_all(&builder, gguf);
    tp_gguf_builder_str(&builder, "tokenizer.chat_template", TP_STR(chat_template));
    check(tp_gguf_write(&env, path, &builder, NULL, NULL, NULL) == TAPEOUT_OK);
    tp_gguf_builder_deinit(&builder);
    tp_gguf_close(&gguf);
}

void llm_ask_open(llm_ask_server *server, const tapeout_allocator *alloc, const char *source_dir)
{
    static const tp_metric_family none[] = {
        {"t_total", "None.", TP_METRIC_COUNTER, false, 1, {NULL}}};
    memset(server, 0, sizeof(*server));
    (void)snprintf(server->folder, sizeof(server->folder), "/tmp/llm_ask_XXXXXX");
    check(mkdtemp(server->folder) != NULL);
    (void)snprintf(server->path, sizeof(server->path), "%s/chat.gguf", server->folder);
    write_model(source_dir, server->path);
    server->env = tp_env_plain();
    server->env.alloc = alloc;
    const tp_principal_spec everybody = {.id = TP_STR("anonymous"), .grants = TP_STR("admin")};
    check(tp_principal_new(alloc, &everybody, &server->state.anonymous, NULL) == TAPEOUT_OK);
    serve_state *state = &server->state;
    state->env = &server->env;
    state->max_body_bytes = 1 << 20;
    state->max_rows = 1000;
    atomic_store(&state->is_ready, true);
    check(tp_monitor_new(alloc, none, 1, 1, &state->monitor, NULL) == TAPEOUT_OK);
    const tp_engine_options options = {.llm = {.thread_count = 1, .running_max = 1}};
    check(tp_engine_new(&server->env, &options, &state->engine, NULL) == TAPEOUT_OK);
    const tp_model_spec model = {.path = server->path};
    check(tp_engine_install(state->engine, &model, 1, NULL, NULL) == TAPEOUT_OK);
}

void llm_ask_close(llm_ask_server *server)
{
    tp_principal_unref(server->state.anonymous);
    tp_engine_free(server->state.engine);
    tp_monitor_free(server->state.monitor);
    check(unlink(server->path) == 0 && rmdir(server->folder) == 0);
}

int llm_ask_post(serve_exchange *exchange, const char *path, tp_str body)
{
    static tp_http_request request;
    request.method = TP_HTTP_POST;
    request.segment_count = 0;
    while (*path == '/') {
        const size_t size = strcspn(path + 1, "/");
        request.segments[request.segment_count++] = (tp_str){path + 1, size};
        path += 1 + size;
    }
    // Borrowed as it is: a reader looks at it and changes nothing.
    request.body = (tp_buffer){.alloc = exchange->state->env->alloc,
                               .data = (char *)(uintptr_t)body.data,
                               .size = body.size,
                               .capacity = body.size,
                               .max_size = body.size};
    tp_serve_exchange_begin(exchange, &request);
    tp_serve_exchange_run(exchange);
    return exchange->reply.status;
}
