// SPDX-License-Identifier: Apache-2.0
//
// Tool calls out of generated text. A small automaton: reasoning, content, then calls; a marker
// that may be beginning is held back, and a call is followed by a scanner of JSON. What opens like
// a call and turns out to be none is content, byte for byte, so that a call is told once it is
// whole; only where a grammar holds it to its form are its arguments passed on as they come.
#include "llm/template/tp_tool_calls.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "table/tp_json.h"

#include <string.h>

typedef enum state {
    STATE_REASONING,
    STATE_CONTENT,   // looking for markers
    STATE_CALL,      // a marker and JSON of a call; `held` is what has come of it
    STATE_HEAD,      // the same up to the arguments, where a grammar holds the call to its form
    STATE_ARGUMENTS, // passed on as they come
    STATE_TAIL,      // what closes the object around them, and the list
    STATE_BEHIND,    // a call has ended: what closes it, or opens the next
    STATE_PLAIN,     // the rest is content
} state;

struct tp_tool_parser {
    const tp_env *env;
    tp_tool_format format;
    tp_tool_parser_options options;
    state state;
    bool has_content; // content that is no white space went out
    bool behind_call; // and none did since the last call
    size_t marker;    // bytes of the marker in front of the JSON
    size_t scanned;   // of `held`: the scan goes on where it was
    size_t depth;     // of brackets there
    bool in_string;
    bool is_escaped;
    bool in_list;   // of calls that are told as they come
    uint32_t count; // calls that have begun
    tp_buffer held; // not yet passed on
};

tp_tool_format tp_tool_format_of(tp_str source)
{
    tp_tool_format format = {.family = TP_TOOLS_GENERIC,
                             .takes_tools = tp_str_contains(source, TP_STR("tools")),
                             .has_reasoning = tp_str_contains(source, TP_STR("<think>")) ||
                                              tp_str_contains(source, TP_STR("</think>"))};
    if (tp_str_contains(source, TP_STR("<tool_call>"))) {
        format.family = TP_TOOLS_HERMES;
    } else if (tp_str_contains(source, TP_STR("[TOOL_CALLS]"))) {
        format.family = TP_TOOLS_MISTRAL;
    } else if (tp_str_contains(source, TP_STR("<|python_tag|>")) ||
               (tp_str_contains(source, TP_STR("<|start_header_id|>")) && format.takes_tools)) {
        format.family = TP_TOOLS_LLAMA3;
    }
    return format;
}

const char *tp_tool_family_name(tp_tool_family family)
{
    static const char *const names[] = {"generic", "hermes", "llama3", "mistral"};
    return names[family];
}

tapeout_status tp_tool_parser_new(const tp_env *env, tp_tool_format format,
                                  const tp_tool_parser_options *options,
                                  tp_tool_parser **ret_parser, tapeout_error *err)
{
    tp_tool_parser *parser = tp_alloc_zero(env->alloc, sizeof(*parser));
    if (parser == NULL) {
        return tp_fail_nomem(err);
    }
    parser->env = env;
    parser->format = format;
    parser->options = *options;
    parser->state = options->starts_reasoning ? STATE_REASONING : STATE_CONTENT;
    tp_buffer_init(&parser->held, env->alloc, TP_MAX_TOOL_HELD_BYTES);
    *ret_parser = parser;
    return TAPEOUT_OK;
}

void tp_tool_parser_free(tp_tool_parser *parser)
{
    if (parser != NULL) {
        tp_buffer_deinit(&parser->held);
        tp_free(parser->env->alloc, parser, sizeof(*parser));
    }
}

uint32_t tp_tool_parser_call_count(const tp_tool_parser *parser)
{
    return parser->count;
}

static tp_str trimmed(const tp_tool_parser *parser)
{
    return tp_str_trim(tp_buffer_view(&parser->held));
}

// Forgets the first `size` bytes that are held.
static void drop(tp_tool_parser *parser, size_t size)
{
    parser->held.size -= size;
    memmove(parser->held.data, parser->held.data + size, parser->held.size);
}

// Passes the first `size` held bytes on as text.
static tapeout_status pass(tp_tool_parser *parser, size_t size, tapeout_error *err)
{
    if (size == 0) {
        return TAPEOUT_OK;
    }
    const tp_tool_delta delta = {.kind = parser->state == STATE_REASONING ? TP_DELTA_REASONING
                                                                          : TP_DELTA_CONTENT,
                                 .text = {parser->held.data, size}};
    if (parser->state != STATE_REASONING && tp_str_trim(delta.text).size > 0) {
        parser->has_content = true;
        parser->behind_call = false;
    }
    TP_TRY(parser->options.sink(parser->options.sink_user, &delta, err));
    drop(parser, size);
    return TAPEOUT_OK;
}

// Where `marker` begins in what is held: a whole one, or else the longest beginning of one at the
// end; the size for neither.
static size_t find_marker(const tp_tool_parser *parser, tp_str marker, bool *ret_whole)
{
    const tp_buffer *held = &parser->held;
    const char *found =
        held->size == 0 ? NULL : memmem(held->data, held->size, marker.data, marker.size);
    *ret_whole = found != NULL;
    if (found != NULL) {
        return (size_t)(found - held->data);
    }
    size_t at = held->size > marker.size - 1 ? held->size - (marker.size - 1) : 0;
    while (at < held->size && memcmp(held->data + at, marker.data, held->size - at) != 0) {
        at++;
    }
    return at;
}

static void put_id(const tp_tool_parser *parser, char *out)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    uint64_t x = parser->options.id_seed + (parser->count + 1) * UINT64_C(0x9e3779b97f4a7c15);
    memcpy(out, "call_", 5);
    for (int i = 5; i < 29; i++) {
        x ^= x >> 30;
        x *= UINT64_C(0xbf58476d1ce4e5b9);
        x ^= x >> 27;
        x += UINT64_C(0x94d049bb133111eb);
        out[i] = letters[(x >> 33) % (sizeof(letters) - 1)];
    }
}

static bool is_call(yyjson_val *value)
{
    const tp_str name = tp_json_get_str(value, "name");
    return name.size > 0 && name.size <= TP_MAX_TOOL_NAME_BYTES;
}

static tapeout_status emit_name(tp_tool_parser *parser, tp_str name, tapeout_error *err)
{
    char id[29];
    put_id(parser, id);
    const tp_tool_delta delta = {
        .kind = TP_DELTA_CALL, .index = parser->count++, .id = {id, sizeof(id)}, .name = name};
    return parser->options.sink(parser->options.sink_user, &delta, err);
}

static tapeout_status emit_arguments(const tp_tool_parser *parser, tp_str text, tapeout_error *err)
{
    const tp_tool_delta delta = {
        .kind = TP_DELTA_ARGUMENTS, .index = parser->count - 1, .text = text};
    return parser->options.sink(parser->options.sink_user, &delta, err);
}

static yyjson_val *arguments_of(yyjson_val *call)
{
    yyjson_val *arguments = yyjson_obj_get(call, "arguments");
    return arguments != NULL ? arguments : yyjson_obj_get(call, "parameters");
}

// One call as JSON: name, and arguments or parameters.
static tapeout_status emit_call(tp_tool_parser *parser, yyjson_val *call, tapeout_error *err)
{
    yyjson_val *arguments = arguments_of(call);
    size_t size = 0;
    TP_TRY(emit_name(parser, tp_json_get_str(call, "name"), err));
    if (arguments == NULL || yyjson_is_str(arguments)) {
        return emit_arguments(parser, arguments == NULL ? TP_STR("{}") : tp_json_str(arguments),
                              err);
    }
    yyjson_alc alc = tp_json_allocator(parser->env->alloc);
    char *text = yyjson_val_write_opts(arguments, 0, &alc, &size, NULL);
    if (text == NULL) {
        return tp_fail_nomem(err);
    }
    const tapeout_status status = emit_arguments(parser, (tp_str){text, size}, err);
    alc.free(alc.ctx, text);
    return status;
}

// Where the JSON value behind the marker ends, or the object at depth `opens` in it begins, behind
// its brace; 0 while neither has come. Each byte is looked at once.
static size_t scan(tp_tool_parser *parser, size_t opens)
{
    while (parser->scanned < parser->held.size) {
        const char c = parser->held.data[parser->scanned++];
        if (parser->is_escaped) {
            parser->is_escaped = false;
        } else if (parser->in_string) {
            parser->is_escaped = c == '\\';
            parser->in_string = c != '"';
        } else if (c == '"') {
            parser->in_string = true;
        } else if (c == '{' || c == '[') {
            if (++parser->depth == opens && c == '{') {
                return parser->scanned;
            }
        } else if (c == '}' || c == ']') {
            parser->depth -= parser->depth > 0;
            if (parser->depth == 0) {
                return parser->scanned;
            }
        }
    }
    return 0;
}

// All calls of a whole JSON value: one object, or a list of nothing else.
static tapeout_status emit_calls(tp_tool_parser *parser, tp_str json, bool *ret_is_call,
                                 tapeout_error *err)
{
    yyjson_doc *doc;
    tapeout_error ignored = {0};
    *ret_is_call = false;
    const tapeout_status parsed = tp_json_parse(parser->env->alloc, json, "call", &doc, &ignored);
    if (parsed == TAPEOUT_E_NOMEM) {
        return tp_fail_nomem(err);
    }
    if (parsed != TAPEOUT_OK) {
        return TAPEOUT_OK;
    }
    yyjson_val *root = yyjson_doc_get_root(doc);
    const bool is_list = yyjson_is_arr(root) && yyjson_arr_size(root) > 0;
    const size_t count = is_list ? yyjson_arr_size(root) : 1;
    tapeout_status status = TAPEOUT_OK;
    *ret_is_call = true;
    yyjson_arr_iter items = yyjson_arr_iter_with(root);
    for (size_t i = 0; i < count; i++) {
        *ret_is_call = *ret_is_call && is_call(is_list ? yyjson_arr_iter_next(&items) : root);
    }
    items = yyjson_arr_iter_with(root);
    for (size_t i = 0; i < count && *ret_is_call && status == TAPEOUT_OK; i++) {
        status = emit_call(parser, is_list ? yyjson_arr_iter_next(&items) : root, err);
    }
    yyjson_doc_free(doc);
    return status;
}

static tp_str call_marker(tp_tool_family family)
{
    switch (family) {
    case TP_TOOLS_HERMES:
        return TP_STR("<tool_call>");
    case TP_TOOLS_LLAMA3:
        return TP_STR("<|python_tag|>");
    case TP_TOOLS_MISTRAL:
        return TP_STR("[TOOL_CALLS]");
    case TP_TOOLS_GENERIC:
        break;
    }
    return TP_STR("");
}

tp_str tp_tool_format_marker(tp_tool_format format)
{
    return call_marker(format.family);
}

// What goes on: `is_stuck` until more text comes.
typedef tapeout_status (*step_fn)(tp_tool_parser *parser, bool *is_stuck, tapeout_error *err);

static tapeout_status step_reasoning(tp_tool_parser *parser, bool *is_stuck, tapeout_error *err)
{
    const tp_str marker = TP_STR("</think>");
    bool is_whole;
    TP_TRY(pass(parser, find_marker(parser, marker, &is_whole), err));
    *is_stuck = !is_whole;
    if (is_whole) {
        drop(parser, marker.size);
        parser->state = STATE_CONTENT;
    }
    return TAPEOUT_OK;
}

static void rewind_scan(tp_tool_parser *parser, size_t to)
{
    parser->scanned = to;
    parser->depth = 0;
    parser->in_string = parser->is_escaped = false;
}

static void begin_call(tp_tool_parser *parser, size_t marker)
{
    const bool is_free = parser->options.held_once && parser->count > 0 && !parser->in_list;
    parser->state = parser->options.calls_are_held && !is_free ? STATE_HEAD : STATE_CALL;
    parser->marker = marker;
    rewind_scan(parser, marker);
}

// At the start of an answer: reasoning, or a call without a marker. True where it is decided.
static bool begins_specially(tp_tool_parser *parser, bool *is_stuck)
{
    const tp_str text = trimmed(parser);
    const tp_str think = TP_STR("<think>");
    const tp_tool_family family = parser->format.family;
    const bool bare = family == TP_TOOLS_GENERIC || family == TP_TOOLS_LLAMA3;
    if (parser->has_content || parser->count > 0) {
        return false;
    }
    if (parser->format.has_reasoning && tp_str_has_prefix(text, think)) {
        drop(parser, (size_t)(text.data - parser->held.data) + think.size);
        parser->state = STATE_REASONING;
        return true;
    }
    const bool may_think = parser->format.has_reasoning && tp_str_has_prefix(think, text);
    *is_stuck = text.size == 0 || may_think;
    if (*is_stuck || !parser->options.parse_calls || !bare) {
        return *is_stuck;
    }
    if (text.data[0] == '{' || (text.data[0] == '[' && family == TP_TOOLS_GENERIC)) {
        begin_call(parser, 0);
        return true;
    }
    return false;
}

static tapeout_status step_content(tp_tool_parser *parser, bool *is_stuck, tapeout_error *err)
{
    const tp_str marker = call_marker(parser->format.family);
    bool is_whole = false;
    if (begins_specially(parser, is_stuck)) {
        return TAPEOUT_OK;
    }
    *is_stuck = true;
    if (!parser->options.parse_calls || marker.size == 0) {
        return pass(parser, parser->held.size, err);
    }
    const size_t at = find_marker(parser, marker, &is_whole);
    if (!parser->behind_call || tp_str_trim((tp_str){parser->held.data, at}).size > 0) {
        TP_TRY(pass(parser, at, err));
    } else if (is_whole) {
        drop(parser, at); // blanks between calls are nobody's
    }
    if (is_whole) {
        begin_call(parser, marker.size);
        *is_stuck = false;
    }
    return TAPEOUT_OK;
}

static tapeout_status step_call(tp_tool_parser *parser, bool *is_stuck, tapeout_error *err)
{
    bool are_calls = false;
    const size_t end = scan(parser, SIZE_MAX);
    *is_stuck = end == 0;
    if (end == 0) {
        return TAPEOUT_OK;
    }
    const tp_str json = {parser->held.data + parser->marker, end - parser->marker};
    TP_TRY(emit_calls(parser, tp_str_trim(json), &are_calls, err));
    parser->state = are_calls ? STATE_BEHIND : STATE_PLAIN;
    parser->behind_call = are_calls;
    if (are_calls) {
        drop(parser, end);
    }
    return TAPEOUT_OK;
}

// {"name": "f", "arguments": { with what would close it: a call without arguments, or something
// that has to be seen whole.
static tapeout_status emit_head(tp_tool_parser *parser, tp_str head, bool *ret_is_call,
                                tapeout_error *err)
{
    tp_buffer text;
    yyjson_doc *doc = NULL;
    *ret_is_call = false;
    tp_buffer_init(&text, parser->env->alloc, TP_MAX_TOOL_HELD_BYTES + 2);
    tp_buffer_append_str(&text, head);
    tp_buffer_append_text(&text, "}}");
    tapeout_status status = tp_buffer_check(&text, "tool call", err);
    if (status == TAPEOUT_OK) {
        status = tp_json_parse(parser->env->alloc, tp_buffer_view(&text), "call", &doc, NULL);
        status = status == TAPEOUT_E_NOMEM ? tp_fail_nomem(err) : TAPEOUT_OK;
    }
    yyjson_val *call = yyjson_doc_get_root(doc);
    if (status == TAPEOUT_OK && is_call(call) && yyjson_obj_size(call) == 2 &&
        yyjson_is_obj(arguments_of(call))) {
        *ret_is_call = true;
        status = emit_name(parser, tp_json_get_str(call, "name"), err);
    }
    yyjson_doc_free(doc);
    tp_buffer_deinit(&text);
    return status;
}

static tapeout_status step_head(tp_tool_parser *parser, bool *is_stuck, tapeout_error *err)
{
    const tp_str held = {parser->held.data + parser->marker, parser->held.size - parser->marker};
    const tp_str text = tp_str_trim(held);
    bool are_arguments = false;
    if (text.size > 0 && text.data[0] == '[' && !parser->in_list) {
        drop(parser, (size_t)(text.data - parser->held.data) + 1);
        parser->in_list = true;
        begin_call(parser, 0);
        return TAPEOUT_OK;
    }
    const size_t end = scan(parser, 2);
    *is_stuck = end == 0;
    if (end == 0) {
        return TAPEOUT_OK;
    }
    if (parser->depth == 2) {
        TP_TRY(emit_head(parser, (tp_str){held.data, end - parser->marker}, &are_arguments, err));
    }
    if (are_arguments) {
        drop(parser, end - 1);
    }
    parser->state = are_arguments ? STATE_ARGUMENTS : STATE_CALL;
    rewind_scan(parser, are_arguments ? 0 : parser->marker);
    return TAPEOUT_OK;
}

static tapeout_status step_arguments(tp_tool_parser *parser, bool *is_stuck, tapeout_error *err)
{
    const size_t end = scan(parser, SIZE_MAX);
    const size_t size = end > 0 ? end : parser->held.size;
    *is_stuck = end == 0;
    TP_TRY(emit_arguments(parser, (tp_str){parser->held.data, size}, err));
    drop(parser, size);
    parser->scanned = 0;
    if (end > 0) {
        parser->state = STATE_TAIL;
    }
    return TAPEOUT_OK;
}

// The brace behind the arguments; in a list the next call, or the bracket.
static tapeout_status step_tail(tp_tool_parser *parser, bool *is_stuck, tapeout_error *err)
{
    const tp_str text = trimmed(parser);
    (void)err; // nothing can fail
    *is_stuck = text.size == 0;
    if (text.size == 0) {
        return TAPEOUT_OK;
    }
    const char c = text.data[0];
    drop(parser, (size_t)(text.data - parser->held.data) + 1);
    if (c == ',') {
        begin_call(parser, 0);
    } else if (c == ']' || !parser->in_list) {
        parser->in_list = false;
        parser->behind_call = true;
        parser->state = STATE_BEHIND;
    }
    return TAPEOUT_OK;
}

static tapeout_status step_behind(tp_tool_parser *parser, bool *is_stuck, tapeout_error *err)
{
    const tp_str close = TP_STR("</tool_call>");
    tp_str text = trimmed(parser);
    (void)err; // nothing can fail
    if (text.size > 0 && text.data[0] == ';' && parser->format.family == TP_TOOLS_LLAMA3) {
        text = tp_str_trim((tp_str){text.data + 1, text.size - 1});
    }
    *is_stuck = text.size == 0;
    if (text.size == 0) {
        return TAPEOUT_OK;
    }
    if (parser->format.family == TP_TOOLS_HERMES && tp_str_has_prefix(close, text) &&
        text.size < close.size) {
        *is_stuck = true;
        return TAPEOUT_OK;
    }
    drop(parser, (size_t)(text.data - parser->held.data));
    if (parser->format.family == TP_TOOLS_HERMES &&
        tp_str_has_prefix(tp_buffer_view(&parser->held), close)) {
        drop(parser, close.size);
    }
    if (parser->format.family == TP_TOOLS_LLAMA3 && parser->held.data[0] == '{') {
        begin_call(parser, 0);
    } else {
        parser->state = STATE_CONTENT;
    }
    return TAPEOUT_OK;
}

static tapeout_status step_plain(tp_tool_parser *parser, bool *is_stuck, tapeout_error *err)
{
    *is_stuck = true;
    return pass(parser, parser->held.size, err);
}

tapeout_status tp_tool_parser_push(tp_tool_parser *parser, tp_str text, tapeout_error *err)
{
    static const step_fn steps[] = {step_reasoning, step_content, step_call,   step_head,
                                    step_arguments, step_tail,    step_behind, step_plain};
    tp_buffer_append_str(&parser->held, text);
    TP_TRY(tp_buffer_check(&parser->held, "output held back for a tool call", err));
    for (bool is_stuck = false; !is_stuck && parser->held.size > 0;) {
        TP_TRY(steps[parser->state](parser, &is_stuck, err));
    }
    return TAPEOUT_OK;
}

tapeout_status tp_tool_parser_finish(tp_tool_parser *parser, tapeout_error *err)
{
    if (parser->state == STATE_BEHIND || parser->state == STATE_TAIL ||
        parser->state == STATE_ARGUMENTS ||
        (parser->behind_call && parser->state == STATE_CONTENT && trimmed(parser).size == 0)) {
        return TAPEOUT_OK;
    }
    if (parser->state != STATE_REASONING) {
        parser->state = STATE_PLAIN;
    }
    return pass(parser, parser->held.size, err);
}
