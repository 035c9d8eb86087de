// SPDX-License-Identifier: Apache-2.0
//
// Ollama's /api/chat and /api/generate, the requests: options of its own names, messages or a
// prompt with a system text. A request with neither asks that the model be loaded or given up.
#include "serve/ollama.h"
#include "serve/serve_handlers.h"

#include "base/limits.h"
#include "base/tp_clock.h"
#include "base/tp_error.h"
#include "serve/serve_audit.h"
#include "table/tp_json.h"

#include <string.h>

// num_predict below zero is "as much as there is room for".
static tapeout_status read_length(yyjson_val *options, tp_generation_request *request,
                                  tapeout_error *err)
{
    double count = -1;
    TP_TRY(tp_llm_number(options, "num_predict", (llm_range){-2, 4294967295.0}, &count, err));
    if (count == 0) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "options.num_predict is 0; give a number of tokens, or -1");
    }
    request->max_tokens = count < 0 ? 0 : (uint32_t)count;
    return TAPEOUT_OK;
}

static tapeout_status read_format(const serve_exchange *exchange, yyjson_val *format,
                                  tp_grammar **ret_grammar, tapeout_error *err)
{
    const tp_str word = tp_json_str(format);
    if (format == NULL || yyjson_is_null(format) || (yyjson_is_str(format) && word.size == 0)) {
        return TAPEOUT_OK;
    }
    if (tp_str_equal(word, TP_STR("json"))) {
        return tp_grammar_from_json_object(exchange->state->env, NULL, ret_grammar, err);
    }
    return yyjson_is_obj(format)
               ? tp_llm_schema_read(exchange, format, ret_grammar, err)
               : tp_fail(err, TAPEOUT_E_INVALID, "format: \"json\" or a JSON Schema is expected");
}

static tapeout_status read_common(serve_exchange *exchange, yyjson_val *body, llm_params *params,
                                  llm_ask *ask, tapeout_error *err)
{
    yyjson_val *options = yyjson_obj_get(body, "options");
    if (options != NULL && !yyjson_is_obj(options) && !yyjson_is_null(options)) {
        return tp_fail(err, TAPEOUT_E_INVALID, "options: an object is expected");
    }
    TP_TRY(tp_llm_params_read(exchange, options, params, ask, err));
    TP_TRY(read_length(options, &ask->generation, err));
    ask->generation.choice_count = 1;
    ask->streams = true;
    TP_TRY(tp_llm_flag(body, "stream", &ask->streams, err));
    TP_TRY(tp_llm_flag(body, "logprobs", &ask->generation.wants_logprobs, err));
    TP_TRY(
        tp_llm_count(body, "top_logprobs", (llm_range){0, 20}, &ask->generation.top_logprobs, err));
    return read_format(exchange, yyjson_obj_get(body, "format"), &ask->generation.grammar, err);
}

static tapeout_status refuse_images(yyjson_val *object, tapeout_error *err)
{
    return yyjson_arr_size(yyjson_obj_get(object, "images")) > 0
               ? tp_fail(err, TAPEOUT_E_INVALID, "images: this model reads text alone")
               : TAPEOUT_OK;
}

// Whether to think is a variable of templates that know it.
static tapeout_status read_think(const serve_exchange *exchange, yyjson_val *body,
                                 yyjson_doc **ret_doc, tapeout_error *err)
{
    yyjson_val *think = yyjson_obj_get(body, "think");
    if (!yyjson_is_bool(think)) {
        return TAPEOUT_OK;
    }
    return tp_json_parse(exchange->state->env->alloc,
                         yyjson_get_bool(think) ? TP_STR("{\"enable_thinking\":true}")
                                                : TP_STR("{\"enable_thinking\":false}"),
                         "think", ret_doc, err);
}

// num_ctx is how much of the server's context this conversation may take.
static tapeout_status narrow_context(const serve_exchange *exchange, yyjson_val *body, llm_ask *ask,
                                     tapeout_error *err)
{
    const uint32_t most = tp_scheduler_context(tp_llm_host_scheduler(exchange->model->llm));
    uint32_t context = most;
    TP_TRY(tp_llm_count(yyjson_obj_get(body, "options"), "num_ctx", (llm_range){1, 4294967295.0},
                        &context, err));
    if (context > most) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "options.num_ctx: %u tokens are wanted and this server gives %u; leave it "
                       "out, or raise llm.context",
                       context, most);
    }
    if (ask->prompt.count >= context) {
        return tp_fail(err, TAPEOUT_E_LIMIT,
                       "a prompt of %zu tokens leaves no room in options.num_ctx, %u",
                       ask->prompt.count, context);
    }
    const uint32_t left = context - (uint32_t)ask->prompt.count;
    uint32_t *max_tokens = &ask->generation.max_tokens;
    if (context < most && (*max_tokens == 0 || *max_tokens > left)) {
        *max_tokens = left;
    }
    return TAPEOUT_OK;
}

static tapeout_status start(serve_exchange *exchange, yyjson_val *body, const llm_dialect *dialect,
                            llm_ask *ask, tapeout_error *err)
{
    TP_TRY(narrow_context(exchange, body, ask, err));
    tp_str name = tp_json_get_str(body, "model");
    name = name.size == 0 ? exchange->model->name : name;
    TP_TRY(tp_ollama_keep(exchange, body, err));
    return tp_llm_answer_start(exchange, dialect, "", ask, name, err);
}

// `messages`, as they are written for templates.
static tapeout_status prepare(const serve_exchange *exchange, yyjson_val *body, tp_str messages,
                              llm_ask *ask, tapeout_error *err)
{
    llm_chat chat = {.messages = messages, .is_parallel = true};
    yyjson_doc *extra = NULL;
    TP_TRY(tp_llm_tools_read(yyjson_obj_get(body, "tools"), NULL, &chat, err));
    TP_TRY(read_think(exchange, body, &extra, err));
    chat.extra = yyjson_doc_get_root(extra);
    const tapeout_status status = tp_llm_chat_prepare(exchange, &chat, ask, err);
    yyjson_doc_free(extra);
    return status;
}

// A request without messages or prompt asks that the model be loaded; with keep_alive 0, unloaded.
static tapeout_status answer_loading(serve_exchange *exchange, yyjson_val *body, bool is_chat,
                                     tapeout_error *err)
{
    tp_buffer *json = &exchange->reply.body;
    TP_TRY(tp_ollama_keep(exchange, body, err));
    const bool unloads = tp_ollama_is_unloading(exchange->model);
    if (unloads) {
        // The exchange has a reference of its own, which is the last to go.
        TP_TRY(tp_engine_unload(exchange->state->engine, exchange->model->tenant,
                                exchange->model->name, err));
        tp_serve_models_changed(exchange);
    }
    exchange->reply.content_type = "application/json";
    tp_buffer_append_text(json, "{\"model\":");
    tp_json_append_str(json, tp_json_get_str(body, "model"));
    tp_buffer_append_text(json, ",\"created_at\":");
    tp_ollama_time_write(tp_clock_unix_us(), json);
    tp_buffer_append_text(json, is_chat ? ",\"message\":{\"role\":\"assistant\",\"content\":\"\"}"
                                        : ",\"response\":\"\"");
    tp_buffer_append_text(json, unloads ? ",\"done\":true,\"done_reason\":\"unload\"}\n"
                                        : ",\"done\":true,\"done_reason\":\"load\"}\n");
    return TAPEOUT_OK;
}

static tapeout_status ask_chat(serve_exchange *exchange, yyjson_val *body, llm_params *params,
                               llm_ask *ask, tapeout_error *err)
{
    yyjson_val *messages = yyjson_obj_get(body, "messages");
    yyjson_val *message = NULL;
    size_t index = 0;
    size_t count = 0;
    if (messages == NULL || yyjson_is_null(messages) ||
        (yyjson_is_arr(messages) && yyjson_arr_size(messages) == 0)) {
        return answer_loading(exchange, body, true, err);
    }
    TP_TRY(read_common(exchange, body, params, ask, err));
    yyjson_arr_foreach(messages, index, count, message)
    {
        TP_TRY(refuse_images(message, err));
    }
    tp_buffer text;
    tp_buffer_init(&text, exchange->state->env->alloc, (size_t)TP_MAX_HTTP_BODY_BYTES * 2);
    tapeout_status status = tp_llm_messages_write(messages, &text, err);
    if (status == TAPEOUT_OK) {
        status = prepare(exchange, body, tp_buffer_view(&text), ask, err);
    }
    tp_buffer_deinit(&text);
    return status == TAPEOUT_OK ? start(exchange, body, &tp_ollama_chat_dialect, ask, err) : status;
}

static tapeout_status prepare_prompt(const serve_exchange *exchange, yyjson_val *body, llm_ask *ask,
                                     tapeout_error *err)
{
    const tp_str system = tp_json_get_str(body, "system");
    const tp_str prompt = tp_json_get_str(body, "prompt");
    tp_buffer text;
    tp_buffer_init(&text, exchange->state->env->alloc, (size_t)TP_MAX_HTTP_BODY_BYTES * 2);
    tp_buffer_append_char(&text, '[');
    if (system.size > 0) {
        tp_buffer_append_text(&text, "{\"role\":\"system\",\"content\":");
        tp_json_append_str(&text, system);
        tp_buffer_append_text(&text, "},");
    }
    tp_buffer_append_text(&text, "{\"role\":\"user\",\"content\":");
    tp_json_append_str(&text, prompt);
    tp_buffer_append_text(&text, "}]");
    tapeout_status status = tp_buffer_check(&text, "prompt", err);
    if (status == TAPEOUT_OK) {
        status = prepare(exchange, body, tp_buffer_view(&text), ask, err);
    }
    tp_buffer_deinit(&text);
    return status;
}

static tapeout_status refuse_generate(yyjson_val *body, tapeout_error *err)
{
    static const char *const keys[] = {"suffix", "template"};
    for (size_t i = 0; i < 2; i++) {
        if (tp_json_get_str(body, keys[i]).size > 0) {
            return tp_fail(err, TAPEOUT_E_INVALID, "%s is not understood", keys[i]);
        }
    }
    if (yyjson_arr_size(yyjson_obj_get(body, "context")) > 0) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "context is not understood; send the conversation to /api/chat");
    }
    return refuse_images(body, err);
}

static tapeout_status ask_generate(serve_exchange *exchange, yyjson_val *body, llm_params *params,
                                   llm_ask *ask, tapeout_error *err)
{
    yyjson_val *prompt = yyjson_obj_get(body, "prompt");
    const tp_str text = tp_json_str(prompt);
    bool is_raw = false;
    if (prompt != NULL && !yyjson_is_null(prompt) && !yyjson_is_str(prompt)) {
        return tp_fail(err, TAPEOUT_E_INVALID, "prompt: a text is expected");
    }
    if (text.size == 0) {
        return answer_loading(exchange, body, false, err);
    }
    TP_TRY(refuse_generate(body, err));
    TP_TRY(read_common(exchange, body, params, ask, err));
    TP_TRY(tp_llm_flag(body, "raw", &is_raw, err));
    if (is_raw || !tp_llm_host_has_template(exchange->model->llm)) {
        TP_TRY(tp_llm_tokens_read(exchange, prompt, "prompt", &ask->prompt, err));
    } else if (memchr(text.data, '\0', text.size) != NULL) {
        return tp_fail(err, TAPEOUT_E_INVALID, "prompt: the text holds a NUL character");
    } else {
        TP_TRY(prepare_prompt(exchange, body, ask, err));
    }
    return start(exchange, body, &tp_ollama_generate_dialect, ask, err);
}

tapeout_status tp_serve_ollama_chat(serve_exchange *exchange, tapeout_error *err)
{
    return tp_llm_ask_with(exchange, ask_chat, err);
}

tapeout_status tp_serve_ollama_generate(serve_exchange *exchange, tapeout_error *err)
{
    return tp_llm_ask_with(exchange, ask_generate, err);
}
