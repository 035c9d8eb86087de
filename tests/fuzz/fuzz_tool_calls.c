// SPDX-License-Identifier: Apache-2.0
//
// Text of a model, read for tool calls. Byte 0 says how: bits 0 and 1 the family, 2 whether the
// model reasons, 3 whether calls are looked for, 4 whether it starts reasoning, 5 that the rest is
// a JSON list of tools from which a call is forced, 6 that the first of them is asked for, 7 in
// parallel; without 5, 6 that calls are told as they come, 7 that only the first one is. Byte 1
// cuts the text: whole or in pieces, the same content, reasoning and calls come out, and without
// calls nothing gets lost.
#include "base/tp_alloc.h"
#include "llm/template/tp_tool_calls.h"
#include "table/tp_json.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_OUT = 1 << 26 };

static void check(bool holds)
{
    if (!holds) {
        abort();
    }
}

typedef struct output {
    tp_buffer content;
    tp_buffer reasoning;
    tp_buffer calls; // names, ids and arguments, one behind the other
    uint32_t count;
} output;

static tapeout_status take(void *user, const tp_tool_delta *delta, tapeout_error *err)
{
    output *out = user;
    (void)err;
    switch (delta->kind) {
    case TP_DELTA_CONTENT:
        tp_buffer_append_str(&out->content, delta->text);
        break;
    case TP_DELTA_REASONING:
        tp_buffer_append_str(&out->reasoning, delta->text);
        break;
    case TP_DELTA_CALL:
        check(delta->index == out->count && delta->name.size > 0 && delta->id.size == 29);
        out->count++;
        tp_buffer_append_str(&out->calls, delta->name);
        tp_buffer_append_str(&out->calls, delta->id);
        break;
    case TP_DELTA_ARGUMENTS:
        check(delta->index + 1 == out->count);
        tp_buffer_append_str(&out->calls, delta->text);
        break;
    }
    return TAPEOUT_OK;
}

// The text in pieces of 1 … `most` bytes.
static void parse(const tp_env *env, uint8_t how, tp_str text, size_t most, output *out)
{
    const tp_tool_format format = {.family = (tp_tool_family)(how & 3),
                                   .has_reasoning = (how & 4) != 0};
    const tp_tool_parser_options options = {.parse_calls = (how & 8) != 0,
                                            .starts_reasoning = (how & 16) != 0,
                                            .calls_are_held = (how & 64) != 0,
                                            .held_once = (how & 128) != 0,
                                            .id_seed = how,
                                            .sink = take,
                                            .sink_user = out};
    tp_tool_parser *parser = NULL;
    tp_buffer_init(&out->content, env->alloc, MAX_OUT);
    tp_buffer_init(&out->reasoning, env->alloc, MAX_OUT);
    tp_buffer_init(&out->calls, env->alloc, MAX_OUT);
    out->count = 0;
    check(tp_tool_parser_new(env, format, &options, &parser, NULL) == TAPEOUT_OK);
    for (size_t at = 0, piece = 0; at < text.size; at += piece) {
        piece = 1 + (at * 7 + most) % most;
        piece = piece < text.size - at ? piece : text.size - at;
        check(tp_tool_parser_push(parser, (tp_str){text.data + at, piece}, NULL) == TAPEOUT_OK);
    }
    check(tp_tool_parser_finish(parser, NULL) == TAPEOUT_OK);
    check(tp_tool_parser_call_count(parser) == out->count);
    tp_tool_parser_free(parser);
}

static void output_deinit(output *out)
{
    tp_buffer_deinit(&out->content);
    tp_buffer_deinit(&out->reasoning);
    tp_buffer_deinit(&out->calls);
}

static void check_same(const tp_buffer *a, const tp_buffer *b)
{
    check(tp_str_equal(tp_buffer_view(a), tp_buffer_view(b)));
}

static void check_calls(const tp_env *env, uint8_t how, tp_str text, size_t most)
{
    output whole;
    output pieces;
    parse(env, how, text, text.size > 0 ? text.size : 1, &whole);
    parse(env, how, text, most, &pieces);
    check_same(&whole.content, &pieces.content);
    check_same(&whole.reasoning, &pieces.reasoning);
    check_same(&whole.calls, &pieces.calls);
    check(whole.count == pieces.count);
    if ((how & (4 | 8 | 16)) == 0) {
        check(tp_str_equal(tp_buffer_view(&whole.content), text));
    }
    output_deinit(&whole);
    output_deinit(&pieces);
}

// What forces a call is JSON, or refused with a reason.
static void check_force(const tp_env *env, uint8_t how, tp_str text)
{
    yyjson_doc *tools = NULL;
    yyjson_doc *schema = NULL;
    tp_tool_force force;
    tapeout_error err = {0};
    const tp_tool_format format = {.family = (tp_tool_family)(how & 3)};
    if (tp_json_parse(env->alloc, text, "tools", &tools, NULL) != TAPEOUT_OK) {
        return;
    }
    yyjson_val *root = yyjson_doc_get_root(tools);
    tp_tool_choice choice = {.tools = root, .is_parallel = (how & 128) != 0};
    if ((how & 64) != 0) {
        yyjson_val *first = yyjson_arr_get_first(root);
        choice.name = tp_json_get_str(yyjson_obj_get(first, "function"), "name");
    }
    if (tp_tool_force_make(env, format, &choice, &force, &err) == TAPEOUT_OK) {
        const tp_str made = tp_buffer_view(&force.schema);
        check(tp_json_parse(env->alloc, made, "schema", &schema, NULL) == TAPEOUT_OK);
        yyjson_doc_free(schema);
        tp_tool_force_deinit(&force);
    } else {
        check(strlen(err.message) > 10);
    }
    yyjson_doc_free(tools);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const tp_env env = tp_env_plain();
    if (size < 2) {
        return 0;
    }
    const tp_str text = {(const char *)data + 2, size - 2};
    check(tp_tool_family_name(tp_tool_format_of(text).family)[0] != '\0');
    if ((data[0] & 32) != 0) {
        check_force(&env, data[0], text);
    } else {
        check_calls(&env, data[0], text, 1 + (size_t)(data[1] & 15));
    }
    return 0;
}
