// SPDX-License-Identifier: Apache-2.0
//
// POST /v1/responses, the request: its items become the messages of a chat, its flat tools those of
// one. Nothing is stored here: what refers to a former response is refused, and a conversation is
// sent whole. Reasoning that comes back is left out, as templates leave out that of former turns.
#include "serve/llm_answer.h"
#include "serve/serve_handlers.h"

#include "base/limits.h"
#include "base/tp_error.h"
#include "table/tp_json.h"

// -- items ---------------------------------------------------------------------------------------
// Writes {"messages": [...], "tools": [...]} in the form of chats.
typedef struct chat_text {
    tp_buffer *out;
    bool has_message;
    bool is_calling; // a message with tool_calls is open
} chat_text;

static void calls_close(chat_text *chat)
{
    if (chat->is_calling) {
        tp_buffer_append_text(chat->out, "]}");
        chat->is_calling = false;
    }
}

static void message_begin(chat_text *chat, tp_str role)
{
    calls_close(chat);
    tp_buffer_append_text(chat->out, chat->has_message ? ",{\"role\":" : "{\"role\":");
    tp_json_append_str(chat->out, role);
    chat->has_message = true;
}

static void write_message(chat_text *chat, tp_str role, yyjson_val *content)
{
    message_begin(chat, role);
    tp_buffer_append_text(chat->out, ",\"content\":");
    tp_json_append_value(chat->out, content);
    tp_buffer_append_char(chat->out, '}');
}

// Calls that stand one after another are those of one message.
static tapeout_status write_call(chat_text *chat, yyjson_val *item, size_t index,
                                 tapeout_error *err)
{
    static const char *const keys[] = {"call_id", "name", "arguments"};
    for (size_t i = 0; i < 3; i++) {
        if (!yyjson_is_str(yyjson_obj_get(item, keys[i]))) {
            return tp_fail(err, TAPEOUT_E_INVALID, "input[%zu].%s: a text is expected", index,
                           keys[i]);
        }
    }
    if (chat->is_calling) {
        tp_buffer_append_char(chat->out, ',');
    } else {
        message_begin(chat, TP_STR("assistant"));
        tp_buffer_append_text(chat->out, ",\"content\":null,\"tool_calls\":[");
        chat->is_calling = true;
    }
    tp_buffer_append_text(chat->out, "{\"type\":\"function\",\"id\":");
    tp_json_append_str(chat->out, tp_json_get_str(item, "call_id"));
    tp_buffer_append_text(chat->out, ",\"function\":{\"name\":");
    tp_json_append_str(chat->out, tp_json_get_str(item, "name"));
    tp_buffer_append_text(chat->out, ",\"arguments\":");
    tp_json_append_str(chat->out, tp_json_get_str(item, "arguments"));
    tp_buffer_append_text(chat->out, "}}");
    return TAPEOUT_OK;
}

static tapeout_status write_output(chat_text *chat, yyjson_val *item, size_t index,
                                   tapeout_error *err)
{
    yyjson_val *output = yyjson_obj_get(item, "output");
    if (!yyjson_is_str(yyjson_obj_get(item, "call_id")) || output == NULL) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "input[%zu]: a function_call_output has call_id and output", index);
    }
    message_begin(chat, TP_STR("tool"));
    tp_buffer_append_text(chat->out, ",\"tool_call_id\":");
    tp_json_append_str(chat->out, tp_json_get_str(item, "call_id"));
    tp_buffer_append_text(chat->out, ",\"content\":");
    tp_json_append_value(chat->out, output);
    tp_buffer_append_char(chat->out, '}');
    return TAPEOUT_OK;
}

static tapeout_status write_item(chat_text *chat, yyjson_val *item, size_t index,
                                 tapeout_error *err)
{
    const tp_str type = tp_json_get_str(item, "type");
    if (tp_str_equal(type, TP_STR("function_call"))) {
        return write_call(chat, item, index, err);
    }
    if (tp_str_equal(type, TP_STR("function_call_output"))) {
        return write_output(chat, item, index, err);
    }
    if (tp_str_equal(type, TP_STR("reasoning"))) {
        return TAPEOUT_OK;
    }
    yyjson_val *content = yyjson_obj_get(item, "content");
    if ((type.size > 0 && !tp_str_equal(type, TP_STR("message"))) || content == NULL) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "input[%zu]: a message with role and content, a function_call or its "
                       "output is expected, not \"%.*s\"",
                       index, TP_STR_ARGS(type));
    }
    write_message(chat, tp_json_get_str(item, "role"), content);
    return TAPEOUT_OK;
}

static tapeout_status write_input(chat_text *chat, yyjson_val *body, tapeout_error *err)
{
    yyjson_val *instructions = yyjson_obj_get(body, "instructions");
    yyjson_val *input = yyjson_obj_get(body, "input");
    yyjson_val *item = NULL;
    size_t index = 0;
    size_t count = 0;
    if (instructions != NULL && !yyjson_is_null(instructions)) {
        write_message(chat, TP_STR("system"), instructions);
    }
    if (yyjson_is_str(input)) {
        write_message(chat, TP_STR("user"), input);
        return TAPEOUT_OK;
    }
    if (!yyjson_is_arr(input) || yyjson_arr_size(input) > TP_MAX_LLM_MESSAGES) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "input: a text or a list of at most %u items is expected",
                       TP_MAX_LLM_MESSAGES);
    }
    yyjson_arr_foreach(input, index, count, item)
    {
        TP_TRY(write_item(chat, item, index, err));
    }
    calls_close(chat);
    return TAPEOUT_OK;
}

// -- tools ---------------------------------------------------------------------------------------
static tapeout_status write_tool(yyjson_val *tool, size_t index, tp_buffer *out, tapeout_error *err)
{
    static const char *const keys[] = {"name", "description", "parameters", "strict"};
    const tp_str type = tp_json_get_str(tool, "type");
    if (!tp_str_equal(type, TP_STR("function"))) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "tools[%zu]: only tools of type \"function\" are understood, not \"%.*s\"",
                       index, TP_STR_ARGS(type));
    }
    tp_buffer_append_text(out, index == 0 ? "{" : ",{");
    tp_buffer_append_text(out, "\"type\":\"function\",\"function\":{");
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        yyjson_val *value = yyjson_obj_get(tool, keys[i]);
        if (value != NULL && !yyjson_is_null(value)) {
            tp_json_append_key(out, keys[i]);
            tp_json_append_value(out, value);
        }
    }
    tp_buffer_append_text(out, "}}");
    return TAPEOUT_OK;
}

static tapeout_status write_tools(yyjson_val *tools, tp_buffer *out, tapeout_error *err)
{
    yyjson_val *tool = NULL;
    size_t index = 0;
    size_t count = 0;
    if (tools == NULL || yyjson_is_null(tools)) {
        tp_buffer_append_text(out, "null");
        return TAPEOUT_OK;
    }
    if (!yyjson_is_arr(tools) || yyjson_arr_size(tools) > TP_MAX_LLM_TOOLS) {
        return tp_fail(err, TAPEOUT_E_INVALID, "tools: a list of at most %u is expected",
                       TP_MAX_LLM_TOOLS);
    }
    tp_buffer_append_char(out, '[');
    yyjson_arr_foreach(tools, index, count, tool)
    {
        TP_TRY(write_tool(tool, index, out, err));
    }
    tp_buffer_append_char(out, ']');
    return TAPEOUT_OK;
}

static tapeout_status write_chat(yyjson_val *body, tp_buffer *out, tapeout_error *err)
{
    chat_text chat = {.out = out};
    tp_buffer_append_text(out, "{\"messages\":[");
    TP_TRY(write_input(&chat, body, err));
    tp_buffer_append_text(out, "],\"tools\":");
    TP_TRY(write_tools(yyjson_obj_get(body, "tools"), out, err));
    tp_buffer_append_char(out, '}');
    return tp_buffer_check(out, "input", err);
}

// -- the whole -----------------------------------------------------------------------------------
// What the reply says again of the request, or what held in its place.
static void write_echo(yyjson_val *body, tp_buffer *out)
{
    static const struct {
        const char *key;
        const char *absent;
    } keys[] = {{"instructions", "null"},
                {"max_output_tokens", "null"},
                {"metadata", "{}"},
                {"parallel_tool_calls", "true"},
                {"temperature", "1.0"},
                {"text", "{\"format\":{\"type\":\"text\"}}"},
                {"tool_choice", "\"auto\""},
                {"tools", "[]"},
                {"top_p", "1.0"},
                {"truncation", "\"disabled\""},
                {"previous_response_id", "null"}};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        yyjson_val *value = yyjson_obj_get(body, keys[i].key);
        tp_json_append_key(out, keys[i].key);
        if (value == NULL || yyjson_is_null(value)) {
            tp_buffer_append_text(out, keys[i].absent);
        } else {
            tp_json_append_value(out, value);
        }
    }
    tp_buffer_append_text(out, ",\"store\":false,\"background\":false");
}

static tapeout_status refuse_state(yyjson_val *body, tapeout_error *err)
{
    static const char *const keys[] = {"previous_response_id", "conversation", "prompt"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        yyjson_val *value = yyjson_obj_get(body, keys[i]);
        if (value != NULL && !yyjson_is_null(value)) {
            return tp_fail(err, TAPEOUT_E_INVALID,
                           "%s: responses are not stored here; send the conversation whole, in "
                           "input",
                           keys[i]);
        }
    }
    bool is_background = false;
    TP_TRY(tp_llm_flag(body, "background", &is_background, err));
    return is_background ? tp_fail(err, TAPEOUT_E_INVALID, "background: not understood here")
                         : TAPEOUT_OK;
}

static tapeout_status prepare(const serve_exchange *exchange, yyjson_val *body, yyjson_val *chat,
                              llm_ask *ask, tapeout_error *err)
{
    const tapeout_allocator *alloc = exchange->state->env->alloc;
    llm_chat use = {.is_parallel = true, .extra = yyjson_obj_get(body, "chat_template_kwargs")};
    tp_buffer messages;
    TP_TRY(tp_llm_tools_read(yyjson_obj_get(chat, "tools"), yyjson_obj_get(body, "tool_choice"),
                             &use, err));
    TP_TRY(tp_llm_flag(body, "parallel_tool_calls", &use.is_parallel, err));
    tp_buffer_init(&messages, alloc, (size_t)TP_MAX_HTTP_BODY_BYTES * 2);
    tapeout_status status = tp_llm_messages_write(yyjson_obj_get(chat, "messages"), &messages, err);
    if (status == TAPEOUT_OK) {
        use.messages = tp_buffer_view(&messages);
        status = tp_llm_chat_prepare(exchange, &use, ask, err);
    }
    tp_buffer_deinit(&messages);
    return status;
}

static tapeout_status convert(const serve_exchange *exchange, yyjson_val *body, llm_ask *ask,
                              tapeout_error *err)
{
    const tapeout_allocator *alloc = exchange->state->env->alloc;
    yyjson_doc *chat = NULL;
    tp_buffer text;
    tp_buffer_init(&text, alloc, (size_t)TP_MAX_HTTP_BODY_BYTES * 2);
    tapeout_status status = write_chat(body, &text, err);
    if (status == TAPEOUT_OK) {
        status = tp_json_parse(alloc, tp_buffer_view(&text), "input", &chat, err);
    }
    if (status == TAPEOUT_OK) {
        status = prepare(exchange, body, yyjson_doc_get_root(chat), ask, err);
    }
    yyjson_doc_free(chat);
    tp_buffer_deinit(&text);
    return status;
}

static tapeout_status ask_response(serve_exchange *exchange, yyjson_val *body, llm_params *params,
                                   llm_ask *ask, tapeout_error *err)
{
    tp_buffer echo;
    TP_TRY(refuse_state(body, err));
    TP_TRY(tp_llm_params_read(exchange, body, params, ask, err));
    TP_TRY(tp_llm_count(body, "max_output_tokens", (llm_range){1, 4294967295.0},
                        &ask->generation.max_tokens, err));
    ask->generation.choice_count = 1;
    TP_TRY(tp_llm_format_read(exchange, yyjson_obj_get(yyjson_obj_get(body, "text"), "format"),
                              &ask->generation.grammar, err));
    TP_TRY(convert(exchange, body, ask, err));
    tp_buffer_init(&echo, exchange->state->env->alloc, TP_MAX_HTTP_REPLY_BYTES);
    write_echo(body, &echo);
    tapeout_status status = tp_buffer_check(&echo, "reply", err);
    if (status == TAPEOUT_OK) {
        status = tp_llm_answer_start(exchange, &tp_openai_responses_dialect, "resp_", ask,
                                     tp_buffer_view(&echo), err);
    }
    tp_buffer_deinit(&echo);
    return status;
}

tapeout_status tp_serve_responses(serve_exchange *exchange, tapeout_error *err)
{
    return tp_llm_ask_with(exchange, ask_response, err);
}
