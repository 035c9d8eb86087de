// SPDX-License-Identifier: Apache-2.0
//
// Ollama's /api/chat and /api/generate, so that its clients work: lines of JSON where OpenAI has
// events, arguments of tools as objects, times in nanoseconds. Both stream unless told not to, and
// differ in where the text stands. Other routes of Ollama stand in ollama_models.c.
#include "serve/llm_answer.h"

#include "base/limits.h"
#include "base/tp_clock.h"
#include "base/tp_error.h"
#include "serve/ollama.h"
#include "table/tp_json.h"

#include <string.h>

// -- lines ---------------------------------------------------------------------------------------
static void line_begin(const llm_answer *answer, tp_buffer *out)
{
    tp_buffer_append_text(out, "{\"model\":");
    tp_json_append_str(out, tp_buffer_view(&answer->request_echo));
    tp_buffer_append_text(out, ",\"created_at\":");
    tp_ollama_time_write(tp_clock_unix_us(), out);
}

static void write_logprobs(llm_choice *choice, tp_buffer *out)
{
    if (choice->logprobs.size > 0) {
        tp_buffer_append_text(out, ",\"logprobs\":[");
        tp_buffer_append_str(out, tp_buffer_view(&choice->logprobs));
        tp_buffer_append_char(out, ']');
        tp_buffer_clear(&choice->logprobs);
    }
}

// A call that was cut off is none: its arguments are no JSON.
static bool write_call(const llm_call *call, bool is_first, tp_buffer *out)
{
    yyjson_doc *doc = NULL;
    if (tp_json_parse(out->alloc, tp_buffer_view(&call->arguments), "arguments", &doc, NULL) !=
        TAPEOUT_OK) {
        return false;
    }
    const bool is_object = yyjson_is_obj(yyjson_doc_get_root(doc));
    if (is_object) {
        tp_buffer_append_text(out, is_first ? ",\"tool_calls\":[" : ",");
        tp_buffer_append_text(out, "{\"function\":{\"name\":");
        tp_json_append_str(out, tp_buffer_view(&call->name));
        tp_buffer_append_text(out, ",\"arguments\":");
        tp_json_append_value(out, yyjson_doc_get_root(doc));
        tp_buffer_append_text(out, "}}");
    }
    yyjson_doc_free(doc);
    return is_object;
}

static void write_calls(const llm_choice *choice, tp_buffer *out)
{
    bool is_first = true;
    for (uint32_t i = 0; i < choice->call_count; i++) {
        is_first = !write_call(&choice->calls[i], is_first, out) && is_first;
    }
    tp_buffer_append_text(out, is_first ? "" : "]");
}

// What is said of an answer: a message, or the text alone.
typedef struct said {
    tp_str content;
    tp_str thinking;
    bool has_calls;
} said;

static void write_said(const llm_choice *choice, const said *what, tp_buffer *out)
{
    const bool is_chat = choice->answer->dialect == &tp_ollama_chat_dialect;
    tp_buffer_append_text(out, is_chat ? ",\"message\":{\"role\":\"assistant\",\"content\":"
                                       : ",\"response\":");
    tp_json_append_str(out, what->content.data == NULL ? (tp_str){"", 0} : what->content);
    if (what->thinking.size > 0) {
        tp_buffer_append_text(out, ",\"thinking\":");
        tp_json_append_str(out, what->thinking);
    }
    if (what->has_calls) {
        write_calls(choice, out);
    }
    tp_buffer_append_text(out, is_chat ? "}" : "");
}

static void write_end(const llm_choice *choice, tp_buffer *out)
{
    const tp_generation_event *end = &choice->end;
    tp_buffer_printf(out,
                     ",\"done\":true,\"done_reason\":\"%s\",\"total_duration\":%llu,"
                     "\"load_duration\":0,\"prompt_eval_count\":%u,\"prompt_eval_duration\":%llu,"
                     "\"eval_count\":%u,\"eval_duration\":%llu}",
                     end->finish == TP_FINISH_LENGTH ? "length" : "stop",
                     (unsigned long long)(tp_clock_monotonic_ns() - choice->answer->begin_ns),
                     end->prompt_count, (unsigned long long)end->prefill_ns, end->generated_count,
                     (unsigned long long)end->decode_ns);
}

static void write_line(llm_choice *choice, const said *what, tp_buffer *out)
{
    line_begin(choice->answer, out);
    write_said(choice, what, out);
    write_logprobs(choice, out);
    tp_buffer_append_text(out, ",\"done\":false}\n");
}

// Calls are told at once, when they are whole.
static void on_delta(llm_choice *choice, const tp_tool_delta *delta, tp_buffer *out)
{
    const said what = {.content = delta->kind == TP_DELTA_CONTENT ? delta->text : TP_STR(""),
                       .thinking = delta->kind == TP_DELTA_REASONING ? delta->text : TP_STR("")};
    if (delta->kind == TP_DELTA_CONTENT || delta->kind == TP_DELTA_REASONING) {
        write_line(choice, &what, out);
    }
}

static void on_choice_end(llm_choice *choice, tp_buffer *out)
{
    if (choice->call_count > 0) {
        write_line(choice, &(said){.has_calls = true}, out);
    }
}

static void on_end(llm_answer *answer, tp_buffer *out)
{
    llm_choice *choice = &answer->choices[0];
    line_begin(answer, out);
    write_said(choice, &(said){{NULL, 0}, {NULL, 0}, false}, out);
    write_logprobs(choice, out);
    write_end(choice, out);
    tp_buffer_append_char(out, '\n');
}

static void on_failure(llm_answer *answer, const tapeout_error *error, tp_buffer *out)
{
    (void)answer;
    tp_buffer_append_text(out, "{\"error\":");
    tp_json_append_str(out, tp_str_from(error->message));
    tp_buffer_append_text(out, "}\n");
}

static void on_whole(llm_answer *answer, tp_buffer *out)
{
    llm_choice *choice = &answer->choices[0];
    const said what = {tp_buffer_view(&choice->content), tp_buffer_view(&choice->reasoning),
                       choice->call_count > 0};
    line_begin(answer, out);
    write_said(choice, &what, out);
    write_logprobs(choice, out);
    write_end(choice, out);
}

const llm_dialect tp_ollama_chat_dialect = {.stream_type = "application/x-ndjson",
                                            .delta = on_delta,
                                            .logprob = tp_openai_logprob,
                                            .choice_end = on_choice_end,
                                            .end = on_end,
                                            .failure = on_failure,
                                            .whole = on_whole};
const llm_dialect tp_ollama_generate_dialect = {.stream_type = "application/x-ndjson",
                                                .delta = on_delta,
                                                .logprob = tp_openai_logprob,
                                                .choice_end = on_choice_end,
                                                .end = on_end,
                                                .failure = on_failure,
                                                .whole = on_whole};

// -- requests ------------------------------------------------------------------------------------
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

static tapeout_status start(serve_exchange *exchange, yyjson_val *body, const llm_dialect *dialect,
                            const llm_ask *ask, tapeout_error *err)
{
    tp_str name = tp_json_get_str(body, "model");
    name = name.size == 0 ? exchange->model->name : name;
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
    yyjson_val *keep_alive = yyjson_obj_get(body, "keep_alive");
    const bool unloads = yyjson_is_num(keep_alive) && yyjson_get_num(keep_alive) == 0;
    tp_buffer *json = &exchange->reply.body;
    if (unloads) {
        TP_TRY(tp_ollama_unload(exchange, err));
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
