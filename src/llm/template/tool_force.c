// SPDX-License-Identifier: Apache-2.0
//
// What forces a tool call out of a model: literal text, JSON that is valid for a schema made of the
// tools' own, literal text. A grammar is compiled from it elsewhere.
#include "llm/template/tp_tool_calls.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "table/tp_json.h"

#include <string.h>

static tapeout_status append_json(const tp_env *env, tp_buffer *out, yyjson_val *value,
                                  tapeout_error *err)
{
    size_t size;
    yyjson_alc alc = tp_json_allocator(env->alloc);
    char *text = yyjson_val_write_opts(value, 0, &alc, &size, NULL);
    if (text == NULL) {
        return tp_fail_nomem(err);
    }
    tp_buffer_append(out, text, size);
    alc.free(alc.ctx, text);
    return TAPEOUT_OK;
}

// The schema of one call of `function`.
static tapeout_status append_call(const tp_env *env, tp_buffer *out, yyjson_val *function,
                                  const char *arguments, bool strict_alone, tapeout_error *err)
{
    const bool is_held = !strict_alone || yyjson_get_bool(yyjson_obj_get(function, "strict"));
    yyjson_val *parameters = is_held ? yyjson_obj_get(function, "parameters") : NULL;
    tp_buffer_append_text(out, "{\"type\":\"object\",\"properties\":{\"name\":{\"const\":");
    tp_json_append_str(out, tp_json_get_str(function, "name"));
    tp_buffer_printf(out, "},\"%s\":", arguments);
    if (yyjson_is_obj(parameters)) {
        TP_TRY(append_json(env, out, parameters, err));
    } else {
        tp_buffer_append_text(out, "{\"type\":\"object\"}");
    }
    tp_buffer_printf(out, "},\"required\":[\"name\",\"%s\"],\"additionalProperties\":false}",
                     arguments);
    return TAPEOUT_OK;
}

// One call of any of the tools, or of the one that is named.
static tapeout_status append_choice(const tp_env *env, tp_buffer *out, const tp_tool_choice *choice,
                                    const char *arguments, tapeout_error *err)
{
    size_t count = 0;
    yyjson_arr_iter it = yyjson_arr_iter_with(choice->tools);
    tp_buffer_append_text(out, "{\"anyOf\":[");
    for (yyjson_val *tool; (tool = yyjson_arr_iter_next(&it)) != NULL;) {
        yyjson_val *inner = yyjson_obj_get(tool, "function");
        yyjson_val *function = inner != NULL ? inner : tool;
        const tp_str name = tp_json_get_str(function, "name");
        if (name.size == 0 || name.size > TP_MAX_TOOL_NAME_BYTES) {
            return tp_fail(err, TAPEOUT_E_INVALID, "tools: tool %zu has no name of 1 to %u bytes",
                           it.idx - 1, TP_MAX_TOOL_NAME_BYTES);
        }
        if (choice->name.data != NULL && !tp_str_equal(name, choice->name)) {
            continue;
        }
        tp_buffer_append_text(out, count++ > 0 ? "," : "");
        TP_TRY(append_call(env, out, function, arguments, choice->strict_alone, err));
    }
    tp_buffer_append_text(out, "]}");
    if (count == 0) {
        return tp_fail(err, TAPEOUT_E_INVALID, "tool_choice: no tool is named '%.*s'",
                       TP_STR_ARGS(choice->name.data != NULL ? choice->name : TP_STR("")));
    }
    return TAPEOUT_OK;
}

static tapeout_status make(const tp_env *env, tp_tool_format format, const tp_tool_choice *choice,
                           tp_tool_force *force, tapeout_error *err)
{
    const bool is_list = format.family == TP_TOOLS_MISTRAL;
    const char *arguments = format.family == TP_TOOLS_LLAMA3 ? "parameters" : "arguments";
    if (format.family == TP_TOOLS_HERMES) {
        tp_buffer_append_text(&force->prefix, "<tool_call>\n");
        tp_buffer_append_text(&force->suffix, "\n</tool_call>");
        tp_buffer_append_text(&force->trigger, "<tool_call>");
    } else if (is_list) {
        tp_buffer_append_text(&force->prefix, "[TOOL_CALLS]");
        tp_buffer_append_text(&force->trigger, "[TOOL_CALLS]");
    }
    tp_buffer_append_text(&force->schema, is_list ? "{\"type\":\"array\",\"minItems\":1," : "");
    tp_buffer_append_text(&force->schema, is_list && !choice->is_parallel ? "\"maxItems\":1," : "");
    tp_buffer_append_text(&force->schema, is_list ? "\"items\":" : "");
    TP_TRY(append_choice(env, &force->schema, choice, arguments, err));
    tp_buffer_append_text(&force->schema, is_list ? "}" : "");
    TP_TRY(tp_buffer_check(&force->prefix, "tools", err));
    TP_TRY(tp_buffer_check(&force->suffix, "tools", err));
    TP_TRY(tp_buffer_check(&force->trigger, "tools", err));
    return tp_buffer_check(&force->schema, "tools", err);
}

tapeout_status tp_tool_force_make(const tp_env *env, tp_tool_format format,
                                  const tp_tool_choice *choice, tp_tool_force *ret_force,
                                  tapeout_error *err)
{
    tp_tool_force force;
    if (!yyjson_is_arr(choice->tools) || yyjson_arr_size(choice->tools) > TP_MAX_TOOLS) {
        return tp_fail(err, TAPEOUT_E_INVALID, "tools: a list of at most %u tools", TP_MAX_TOOLS);
    }
    tp_buffer_init(&force.prefix, env->alloc, TP_MAX_TOOL_FORCE_BYTES);
    tp_buffer_init(&force.schema, env->alloc, TP_MAX_TOOL_FORCE_BYTES);
    tp_buffer_init(&force.suffix, env->alloc, TP_MAX_TOOL_FORCE_BYTES);
    tp_buffer_init(&force.trigger, env->alloc, TP_MAX_TOOL_FORCE_BYTES);
    const tapeout_status status = make(env, format, choice, &force, err);
    if (status != TAPEOUT_OK) {
        tp_tool_force_deinit(&force);
        return status;
    }
    *ret_force = force;
    return TAPEOUT_OK;
}

void tp_tool_force_deinit(tp_tool_force *force)
{
    tp_buffer_deinit(&force->prefix);
    tp_buffer_deinit(&force->schema);
    tp_buffer_deinit(&force->suffix);
    tp_buffer_deinit(&force->trigger);
}
