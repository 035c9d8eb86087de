// SPDX-License-Identifier: Apache-2.0
//
// Messages as clients send them, made into what chat templates expect: a content of text parts
// becomes one text, `developer` is the system, the arguments of a tool call are an object. What a
// template cannot be told, such as an image, is refused and never left out in silence.
#include "serve/llm_answer.h"

#include "base/tp_error.h"
#include "table/tp_json.h"

#include <string.h>

static tapeout_status check_text(tp_str text, size_t index, tapeout_error *err)
{
    if (text.size > 0 && memchr(text.data, '\0', text.size) != NULL) {
        return tp_fail(err, TAPEOUT_E_INVALID, "messages[%zu]: a text holds a NUL character",
                       index);
    }
    return TAPEOUT_OK;
}

// Text parts joined, as one string.
static tapeout_status write_parts(yyjson_val *parts, size_t message, tp_buffer *joined,
                                  tapeout_error *err)
{
    yyjson_val *part = NULL;
    size_t index = 0;
    size_t count = 0;
    yyjson_arr_foreach(parts, index, count, part)
    {
        const tp_str type = tp_json_get_str(part, "type");
        const bool is_text = tp_str_equal(type, TP_STR("text")) ||
                             tp_str_equal(type, TP_STR("input_text")) ||
                             tp_str_equal(type, TP_STR("output_text"));
        if (!is_text || !yyjson_is_str(yyjson_obj_get(part, "text"))) {
            return tp_fail(err, TAPEOUT_E_INVALID,
                           "messages[%zu].content[%zu]: only parts of type \"text\" are "
                           "understood, not \"%.*s\"",
                           message, index, TP_STR_ARGS(type));
        }
        tp_buffer_append_str(joined, tp_json_get_str(part, "text"));
    }
    return TAPEOUT_OK;
}

static tapeout_status write_content(yyjson_val *content, size_t index, tp_buffer *out,
                                    tapeout_error *err)
{
    if (content == NULL || yyjson_is_null(content)) {
        tp_buffer_append_text(out, "\"\"");
        return TAPEOUT_OK;
    }
    if (yyjson_is_str(content)) {
        TP_TRY(check_text(tp_json_str(content), index, err));
        tp_json_append_str(out, tp_json_str(content));
        return TAPEOUT_OK;
    }
    if (!yyjson_is_arr(content)) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "messages[%zu].content: a text or a list of parts is expected", index);
    }
    tp_buffer joined;
    tp_buffer_init(&joined, out->alloc, out->max_size);
    tapeout_status status = write_parts(content, index, &joined, err);
    if (status == TAPEOUT_OK) {
        status = check_text(tp_buffer_view(&joined), index, err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_buffer_check(&joined, "messages", err);
    }
    if (status == TAPEOUT_OK) {
        tp_json_append_str(out, tp_buffer_view(&joined));
    }
    tp_buffer_deinit(&joined);
    return status;
}

// The arguments are JSON in a string; templates want what it says.
static tapeout_status write_arguments(yyjson_val *arguments, size_t index, tp_buffer *out,
                                      tapeout_error *err)
{
    if (!yyjson_is_str(arguments)) {
        tp_json_append_value(out, arguments);
        return TAPEOUT_OK;
    }
    yyjson_doc *doc = NULL;
    const tp_str text = tp_json_str(arguments);
    const tapeout_status status = tp_json_parse(out->alloc, text, "arguments", &doc, NULL);
    if (status == TAPEOUT_E_NOMEM) {
        return tp_fail_nomem(err);
    }
    if (status != TAPEOUT_OK) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "messages[%zu].tool_calls: the arguments \"%.*s\" are no JSON", index,
                       TP_STR_ARGS(text));
    }
    tp_json_append_value(out, yyjson_doc_get_root(doc));
    yyjson_doc_free(doc);
    return TAPEOUT_OK;
}

static tapeout_status write_tool_calls(yyjson_val *calls, size_t index, tp_buffer *out,
                                       tapeout_error *err)
{
    yyjson_val *call = NULL;
    size_t i = 0;
    size_t count = 0;
    tp_buffer_append_text(out, ",\"tool_calls\":[");
    yyjson_arr_foreach(calls, i, count, call)
    {
        yyjson_val *function = yyjson_obj_get(call, "function");
        yyjson_val *name = yyjson_obj_get(function, "name");
        yyjson_val *arguments = yyjson_obj_get(function, "arguments");
        if (!yyjson_is_str(name) || arguments == NULL) {
            return tp_fail(err, TAPEOUT_E_INVALID,
                           "messages[%zu].tool_calls[%zu]: a function with name and arguments is "
                           "expected",
                           index, i);
        }
        tp_buffer_append_text(out, i == 0 ? "{\"id\":" : ",{\"id\":");
        tp_json_append_str(out, tp_json_get_str(call, "id"));
        tp_buffer_append_text(out, ",\"type\":\"function\",\"function\":{\"name\":");
        tp_json_append_str(out, tp_json_str(name));
        tp_buffer_append_text(out, ",\"arguments\":");
        TP_TRY(write_arguments(arguments, index, out, err));
        tp_buffer_append_text(out, "}}");
    }
    tp_buffer_append_char(out, ']');
    return TAPEOUT_OK;
}

static tapeout_status write_message(yyjson_val *message, size_t index, tp_buffer *out,
                                    tapeout_error *err)
{
    static const char *const roles[] = {"system",    "developer", "user",
                                        "assistant", "tool",      "function"};
    const tp_str role = tp_json_get_str(message, "role");
    bool is_known = false;
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
        is_known = is_known || tp_str_equal(role, tp_str_from(roles[i]));
    }
    if (!is_known) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "messages[%zu].role: system, developer, user, assistant or tool is "
                       "expected, not \"%.*s\"",
                       index, TP_STR_ARGS(role));
    }
    tp_buffer_append_text(out, index == 0 ? "{\"role\":" : ",{\"role\":");
    tp_json_append_str(out, tp_str_equal(role, TP_STR("developer")) ? TP_STR("system") : role);
    tp_buffer_append_text(out, ",\"content\":");
    TP_TRY(write_content(yyjson_obj_get(message, "content"), index, out, err));
    static const char *const kept[] = {"name", "tool_call_id", "reasoning_content"};
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        if (yyjson_is_str(yyjson_obj_get(message, kept[i]))) {
            TP_TRY(check_text(tp_json_get_str(message, kept[i]), index, err));
            tp_json_append_key(out, kept[i]);
            tp_json_append_str(out, tp_json_get_str(message, kept[i]));
        }
    }
    yyjson_val *calls = yyjson_obj_get(message, "tool_calls");
    if (yyjson_is_arr(calls) && yyjson_arr_size(calls) > 0) {
        TP_TRY(write_tool_calls(calls, index, out, err));
    }
    tp_buffer_append_char(out, '}');
    return tp_buffer_check(out, "messages", err);
}

tapeout_status tp_llm_messages_write(yyjson_val *messages, tp_buffer *out, tapeout_error *err)
{
    yyjson_val *message = NULL;
    size_t index = 0;
    size_t count = 0;
    if (!yyjson_is_arr(messages) || yyjson_arr_size(messages) == 0 ||
        yyjson_arr_size(messages) > TP_MAX_LLM_MESSAGES) {
        return tp_fail(err, TAPEOUT_E_INVALID, "messages: an array of 1 to %u messages is expected",
                       TP_MAX_LLM_MESSAGES);
    }
    tp_buffer_append_char(out, '[');
    yyjson_arr_foreach(messages, index, count, message)
    {
        TP_TRY(write_message(message, index, out, err));
    }
    tp_buffer_append_char(out, ']');
    return tp_buffer_check(out, "messages", err);
}
