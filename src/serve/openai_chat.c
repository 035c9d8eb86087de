// SPDX-License-Identifier: Apache-2.0
//
// POST /v1/chat/completions: OpenAI's chat, whole or as server-sent events.
#include "serve/llm_answer.h"
#include "serve/serve_handlers.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "table/tp_json.h"

// -- log-probabilities ---------------------------------------------------------------------------
static void write_logprob(const llm_answer *answer, tp_token_logprob token, tp_buffer *out)
{
    tp_buffer_append_text(out, "{\"token\":");
    tp_llm_token_write(answer, token.id, out);
    tp_buffer_append_text(out, ",\"logprob\":");
    tp_json_append_f64(out, token.logprob);
    tp_buffer_append_text(out, ",\"bytes\":");
    tp_llm_token_bytes_write(answer, token.id, out);
}

// The token that ends an answer is no part of its content.
void tp_openai_logprob(llm_choice *choice, const tp_generation_event *event)
{
    const llm_answer *answer = choice->answer;
    tp_buffer *out = &choice->logprobs;
    if (tp_llm_token_is_end(answer, event->id)) {
        return;
    }
    if (out->size > 0) {
        tp_buffer_append_char(out, ',');
    }
    write_logprob(answer, (tp_token_logprob){event->id, event->logprob}, out);
    tp_buffer_append_text(out, ",\"top_logprobs\":[");
    for (uint32_t i = 0; i < event->top_count; i++) {
        tp_buffer_append_text(out, i == 0 ? "" : ",");
        write_logprob(answer, event->top[i], out);
        tp_buffer_append_char(out, '}');
    }
    tp_buffer_append_text(out, "]}");
}

static void write_logprobs(llm_choice *choice, tp_buffer *out)
{
    if (!choice->answer->wants_logprobs) {
        tp_buffer_append_text(out, ",\"logprobs\":null");
        return;
    }
    tp_buffer_append_text(out, ",\"logprobs\":{\"content\":[");
    tp_buffer_append_str(out, tp_buffer_view(&choice->logprobs));
    tp_buffer_append_text(out, "],\"refusal\":null}");
    tp_buffer_clear(&choice->logprobs);
}

// -- pieces --------------------------------------------------------------------------------------
static void chunk_begin(llm_choice *choice, tp_buffer *out)
{
    tp_buffer_append_text(out, "data: {");
    tp_llm_head_write(choice->answer, "chat.completion.chunk", out);
    tp_buffer_printf(out, ",\"choices\":[{\"index\":%u,\"delta\":{", choice->index);
}

static void chunk_end(llm_choice *choice, const char *finish, tp_buffer *out)
{
    tp_buffer_append_char(out, '}');
    write_logprobs(choice, out);
    tp_openai_piece_end(choice->answer, finish, out);
}

static void on_begin(llm_answer *answer, tp_buffer *out)
{
    for (uint32_t i = 0; i < answer->choice_count; i++) {
        chunk_begin(&answer->choices[i], out);
        tp_buffer_append_text(out, "\"role\":\"assistant\",\"content\":\"\"");
        chunk_end(&answer->choices[i], NULL, out);
    }
}

static void on_delta(llm_choice *choice, const tp_tool_delta *delta, tp_buffer *out)
{
    chunk_begin(choice, out);
    switch (delta->kind) {
    case TP_DELTA_CONTENT:
        tp_buffer_append_text(out, "\"content\":");
        tp_json_append_str(out, delta->text);
        break;
    case TP_DELTA_REASONING:
        tp_buffer_append_text(out, "\"reasoning_content\":");
        tp_json_append_str(out, delta->text);
        break;
    case TP_DELTA_CALL:
        tp_buffer_printf(out, "\"tool_calls\":[{\"index\":%u,\"id\":", delta->index);
        tp_json_append_str(out, delta->id);
        tp_buffer_append_text(out, ",\"type\":\"function\",\"function\":{\"name\":");
        tp_json_append_str(out, delta->name);
        tp_buffer_append_text(out, ",\"arguments\":\"\"}}]");
        break;
    case TP_DELTA_ARGUMENTS:
        tp_buffer_printf(
            out, "\"tool_calls\":[{\"index\":%u,\"function\":{\"arguments\":", delta->index);
        tp_json_append_str(out, delta->text);
        tp_buffer_append_text(out, "}}]");
        break;
    }
    chunk_end(choice, NULL, out);
}

static void on_choice_end(llm_choice *choice, tp_buffer *out)
{
    chunk_begin(choice, out);
    chunk_end(choice, tp_llm_finish_name(choice), out);
}

static void on_end(llm_answer *answer, tp_buffer *out)
{
    tp_openai_stream_end(answer, "chat.completion.chunk", out);
}

// -- the whole -----------------------------------------------------------------------------------
static void write_calls(const llm_choice *choice, tp_buffer *out)
{
    tp_buffer_append_text(out, ",\"tool_calls\":[");
    for (uint32_t i = 0; i < choice->call_count; i++) {
        const llm_call *call = &choice->calls[i];
        tp_buffer_append_text(out, i == 0 ? "{\"id\":" : ",{\"id\":");
        tp_json_append_str(out, tp_buffer_view(&call->id));
        tp_buffer_append_text(out, ",\"type\":\"function\",\"function\":{\"name\":");
        tp_json_append_str(out, tp_buffer_view(&call->name));
        tp_buffer_append_text(out, ",\"arguments\":");
        tp_json_append_str(out, tp_buffer_view(&call->arguments));
        tp_buffer_append_text(out, "}}");
    }
    tp_buffer_append_char(out, ']');
}

static void write_message(const llm_choice *choice, tp_buffer *out)
{
    tp_buffer_append_text(out, "{\"role\":\"assistant\",\"content\":");
    if (choice->content.size == 0 && choice->call_count > 0) {
        tp_buffer_append_text(out, "null");
    } else {
        tp_json_append_str(out, tp_buffer_view(&choice->content));
    }
    tp_buffer_append_text(out, ",\"refusal\":null");
    if (choice->reasoning.size > 0) {
        tp_buffer_append_text(out, ",\"reasoning_content\":");
        tp_json_append_str(out, tp_buffer_view(&choice->reasoning));
    }
    if (choice->call_count > 0) {
        write_calls(choice, out);
    }
    tp_buffer_append_char(out, '}');
}

static void write_choice(llm_choice *choice, tp_buffer *out)
{
    tp_buffer_append_text(out, ",\"message\":");
    write_message(choice, out);
    write_logprobs(choice, out);
}

static void on_whole(llm_answer *answer, tp_buffer *out)
{
    tp_openai_whole(answer, "chat.completion", write_choice, out);
}

static const llm_dialect chat_dialect = {.stream_type = "text/event-stream",
                                         .begin = on_begin,
                                         .delta = on_delta,
                                         .logprob = tp_openai_logprob,
                                         .choice_end = on_choice_end,
                                         .end = on_end,
                                         .failure = tp_openai_stream_failure,
                                         .whole = on_whole};

// -- the request ---------------------------------------------------------------------------------
static tapeout_status read_logprobs(yyjson_val *body, tp_generation_request *request,
                                    tapeout_error *err)
{
    TP_TRY(tp_llm_flag(body, "logprobs", &request->wants_logprobs, err));
    TP_TRY(tp_llm_count(body, "top_logprobs", (llm_range){0, 20}, &request->top_logprobs, err));
    if (request->top_logprobs > 0 && !request->wants_logprobs) {
        return tp_fail(err, TAPEOUT_E_INVALID, "top_logprobs needs logprobs: true");
    }
    return TAPEOUT_OK;
}

static tapeout_status ask_chat(serve_exchange *exchange, yyjson_val *body, llm_params *params,
                               llm_ask *ask, tapeout_error *err)
{
    llm_chat chat = {.is_parallel = true, .extra = yyjson_obj_get(body, "chat_template_kwargs")};
    tp_buffer messages;
    TP_TRY(tp_llm_params_read(exchange, body, params, ask, err));
    TP_TRY(read_logprobs(body, &ask->generation, err));
    TP_TRY(tp_llm_tools_read(yyjson_obj_get(body, "tools"), yyjson_obj_get(body, "tool_choice"),
                             &chat, err));
    TP_TRY(tp_llm_flag(body, "parallel_tool_calls", &chat.is_parallel, err));
    TP_TRY(tp_llm_format_read(exchange, yyjson_obj_get(body, "response_format"),
                              &ask->generation.grammar, err));
    tp_buffer_init(&messages, exchange->state->env->alloc, (size_t)TP_MAX_HTTP_BODY_BYTES * 2);
    tapeout_status status = tp_llm_messages_write(yyjson_obj_get(body, "messages"), &messages, err);
    if (status == TAPEOUT_OK) {
        chat.messages = tp_buffer_view(&messages);
        status = tp_llm_chat_prepare(exchange, &chat, ask, err);
    }
    tp_buffer_deinit(&messages);
    return status == TAPEOUT_OK ? tp_llm_answer_start(exchange, &chat_dialect, "chatcmpl-", ask,
                                                      (tp_str){NULL, 0}, err)
                                : status;
}

tapeout_status tp_serve_chat_completions(serve_exchange *exchange, tapeout_error *err)
{
    return tp_llm_ask_with(exchange, ask_chat, err);
}
