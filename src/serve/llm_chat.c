// SPDX-License-Identifier: Apache-2.0
//
// What every chat protocol asks for, once its messages are in one form: the conversation's tokens,
// the tools, what constrains the answer.
#include "serve/llm_answer.h"

#include "base/limits.h"
#include "base/tp_error.h"
#include "table/tp_json.h"

static bool ends_in_think(tp_str tail)
{
    return tp_str_has_suffix(tp_str_trim(tail), TP_STR("<think>"));
}

static tapeout_status render(const serve_exchange *exchange, const llm_chat *chat, llm_ask *ask,
                             tapeout_error *err)
{
    const tapeout_allocator *alloc = exchange->state->env->alloc;
    yyjson_doc *doc = NULL;
    tp_buffer tail;
    TP_TRY(tp_json_parse(alloc, chat->messages, "messages", &doc, err));
    tp_buffer_init(&tail, alloc, TP_MAX_HTTP_REPLY_BYTES);
    const tp_chat_input input = {.messages = yyjson_doc_get_root(doc),
                                 .tools = chat->choice == LLM_TOOLS_NONE ? NULL : chat->tools,
                                 .extra = chat->extra};
    const tapeout_status status =
        tp_llm_host_chat_ids(exchange->model->llm, &input, &ask->prompt, &tail, err);
    ask->starts_thinking = ends_in_think(tp_buffer_view(&tail));
    tp_buffer_deinit(&tail);
    yyjson_doc_free(doc);
    return status;
}

// -- tools ---------------------------------------------------------------------------------------
static tapeout_status check_tools(yyjson_val *tools, tapeout_error *err)
{
    yyjson_val *tool = NULL;
    size_t index = 0;
    size_t count = 0;
    yyjson_arr_foreach(tools, index, count, tool)
    {
        if (!tp_str_equal(tp_json_get_str(tool, "type"), TP_STR("function")) ||
            tp_json_get_str(yyjson_obj_get(tool, "function"), "name").size == 0) {
            return tp_fail(err, TAPEOUT_E_INVALID,
                           "tools[%zu]: {\"type\": \"function\", \"function\": {\"name\": ...}} "
                           "is expected",
                           index);
        }
    }
    return TAPEOUT_OK;
}

tapeout_status tp_llm_tools_read(yyjson_val *tools, yyjson_val *choice, llm_chat *chat,
                                 tapeout_error *err)
{
    chat->choice = LLM_TOOLS_NONE;
    if (tools == NULL || yyjson_is_null(tools)) {
        return TAPEOUT_OK;
    }
    if (!yyjson_is_arr(tools) || yyjson_arr_size(tools) > TP_MAX_LLM_TOOLS) {
        return tp_fail(err, TAPEOUT_E_INVALID, "tools: an array of at most %u is expected",
                       TP_MAX_LLM_TOOLS);
    }
    if (yyjson_arr_size(tools) == 0) {
        return TAPEOUT_OK;
    }
    TP_TRY(check_tools(tools, err));
    const tp_str word = tp_json_str(choice);
    chat->tools = tools;
    chat->choice = LLM_TOOLS_AUTO;
    if (tp_str_equal(word, TP_STR("none"))) {
        chat->choice = LLM_TOOLS_NONE;
    } else if (tp_str_equal(word, TP_STR("required"))) {
        chat->choice = LLM_TOOLS_FORCED;
    } else if (yyjson_is_obj(choice)) {
        yyjson_val *function = yyjson_obj_get(choice, "function");
        chat->choice = LLM_TOOLS_FORCED;
        // Responses have the name without the object around it.
        chat->tool_name = tp_json_get_str(function == NULL ? choice : function, "name");
        if (chat->tool_name.size == 0) {
            return tp_fail(err, TAPEOUT_E_INVALID, "tool_choice: a function's name is expected");
        }
    } else if (choice != NULL && !yyjson_is_null(choice) && !tp_str_equal(word, TP_STR("auto"))) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "tool_choice: none, auto, required or a function is expected");
    }
    return TAPEOUT_OK;
}

static bool has_strict(yyjson_val *tools)
{
    yyjson_val *tool = NULL;
    size_t index = 0;
    size_t count = 0;
    bool found = false;
    yyjson_arr_foreach(tools, index, count, tool)
    {
        yyjson_val *function = yyjson_obj_get(tool, "function");
        found = found || yyjson_get_bool(yyjson_obj_get(function, "strict"));
    }
    return found;
}

// A call that the model begins by itself is held to the tools' schemas, where the family has a
// marker that it begins with.
static tapeout_status hold_tools(const serve_exchange *exchange, const llm_chat *chat, llm_ask *ask,
                                 tapeout_error *err)
{
    const tp_env *env = exchange->state->env;
    const tp_tool_format format = tp_llm_host_tool_format(exchange->model->llm);
    const tp_tool_choice choice = {
        .tools = chat->tools, .is_parallel = chat->is_parallel, .strict_alone = true};
    const tp_str marker = tp_tool_format_marker(format);
    tp_tool_force force = {0};
    TP_TRY(tp_tool_force_make(env, format, &choice, &force, err));
    tapeout_status status = TAPEOUT_OK;
    if (force.trigger.size > 0) {
        const tp_grammar_options options = {
            .prefix = {force.prefix.data + marker.size, force.prefix.size - marker.size},
            .suffix = tp_buffer_view(&force.suffix)};
        ask->holds_calls = true;
        ask->generation.trigger = marker;
        ask->generation.triggers_once = !chat->is_parallel;
        status = tp_grammar_from_json_schema(env, tp_buffer_view(&force.schema), &options,
                                             &ask->generation.grammar, err);
    }
    tp_tool_force_deinit(&force);
    return status;
}

static tapeout_status force_tool(const serve_exchange *exchange, const llm_chat *chat,
                                 tp_grammar **ret_grammar, tapeout_error *err)
{
    const tp_env *env = exchange->state->env;
    const tp_tool_choice choice = {
        .tools = chat->tools, .name = chat->tool_name, .is_parallel = chat->is_parallel};
    tp_tool_force force = {0};
    TP_TRY(tp_tool_force_make(env, tp_llm_host_tool_format(exchange->model->llm), &choice, &force,
                              err));
    const tp_grammar_options options = {.prefix = tp_buffer_view(&force.prefix),
                                        .suffix = tp_buffer_view(&force.suffix)};
    const tapeout_status status =
        tp_grammar_from_json_schema(env, tp_buffer_view(&force.schema), &options, ret_grammar, err);
    tp_tool_force_deinit(&force);
    return status;
}

// -- formats -------------------------------------------------------------------------------------
tapeout_status tp_llm_schema_read(const serve_exchange *exchange, yyjson_val *schema,
                                  tp_grammar **ret_grammar, tapeout_error *err)
{
    const tp_env *env = exchange->state->env;
    tp_buffer text;
    if (schema == NULL) {
        return tp_fail(err, TAPEOUT_E_INVALID, "response_format: json_schema has no schema");
    }
    tp_buffer_init(&text, env->alloc, TP_MAX_HTTP_BODY_BYTES);
    tp_json_append_value(&text, schema);
    tapeout_status status = tp_buffer_check(&text, "schema", err);
    if (status == TAPEOUT_OK) {
        status = tp_grammar_from_json_schema(env, tp_buffer_view(&text), NULL, ret_grammar, err);
    }
    tp_buffer_deinit(&text);
    return status;
}

tapeout_status tp_llm_format_read(const serve_exchange *exchange, yyjson_val *format,
                                  tp_grammar **ret_grammar, tapeout_error *err)
{
    if (format == NULL || yyjson_is_null(format)) {
        return TAPEOUT_OK;
    }
    const tp_str type = tp_json_get_str(format, "type");
    yyjson_val *schema = yyjson_obj_get(format, "schema");
    if (tp_str_equal(type, TP_STR("text"))) {
        return TAPEOUT_OK;
    }
    if (tp_str_equal(type, TP_STR("json_schema"))) {
        yyjson_val *inner = yyjson_obj_get(format, "json_schema");
        return tp_llm_schema_read(
            exchange, inner == NULL ? schema : yyjson_obj_get(inner, "schema"), ret_grammar, err);
    }
    if (tp_str_equal(type, TP_STR("json_object"))) {
        return schema != NULL
                   ? tp_llm_schema_read(exchange, schema, ret_grammar, err)
                   : tp_grammar_from_json_object(exchange->state->env, NULL, ret_grammar, err);
    }
    return tp_fail(err, TAPEOUT_E_INVALID,
                   "response_format.type: text, json_object or json_schema is expected, not "
                   "\"%.*s\"",
                   TP_STR_ARGS(type));
}

tapeout_status tp_llm_chat_prepare(const serve_exchange *exchange, const llm_chat *chat,
                                   llm_ask *ask, tapeout_error *err)
{
    const tp_tool_format format = tp_llm_host_tool_format(exchange->model->llm);
    const bool uses_tools = chat->choice != LLM_TOOLS_NONE;
    if (chat->choice == LLM_TOOLS_FORCED) {
        if (ask->generation.grammar != NULL) {
            return tp_fail(err, TAPEOUT_E_INVALID,
                           "a forced tool and a response_format exclude each other");
        }
        TP_TRY(force_tool(exchange, chat, &ask->generation.grammar, err));
        ask->holds_calls = true;
    } else if (uses_tools && ask->generation.grammar == NULL && has_strict(chat->tools)) {
        TP_TRY(hold_tools(exchange, chat, ask, err));
    }
    ask->parts_text = uses_tools || format.has_reasoning;
    ask->parses_calls = uses_tools;
    ask->generation.shows_special = ask->parts_text;
    // Who sends much does not hold up who sends little.
    ask->generation.key = tp_str_hash(tp_http_header_find(exchange->request, "authorization"));
    return render(exchange, chat, ask, err);
}
