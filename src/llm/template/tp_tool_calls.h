// SPDX-License-Identifier: Apache-2.0
//
// Tool calls in a model's output. Every family writes them its own way; which one is told by the
// text of the chat template. From generated text, piece by piece, to what a client streams:
// content, reasoning, and calls, each told once its JSON is whole, or as it comes where a grammar
// sees to that. Text that may yet become a marker is held back. And the other way: what a grammar
// must force so that a call comes out.
#ifndef TP_TOOL_CALLS_H
#define TP_TOOL_CALLS_H

#include "base/tp_buffer.h"
#include "base/tp_env.h"

#include <yyjson.h>

typedef enum tp_tool_family {
    TP_TOOLS_GENERIC, // the whole answer is one JSON object {"name":, "arguments":}, or a list
    TP_TOOLS_HERMES,  // <tool_call>{"name":, "arguments":}</tool_call>, qwen too
    TP_TOOLS_LLAMA3,  // {"name":, "parameters":} from the first byte, or behind <|python_tag|>
    TP_TOOLS_MISTRAL, // [TOOL_CALLS][{"name":, "arguments":}, ...]
} tp_tool_family;

typedef struct tp_tool_format {
    tp_tool_family family;
    bool takes_tools;   // the template speaks of tools at all
    bool has_reasoning; // <think> ... </think> before the answer
} tp_tool_format;

// By what stands in the template's text.
tp_tool_format tp_tool_format_of(tp_str template_source);
const char *tp_tool_family_name(tp_tool_family family);
tp_str tp_tool_format_marker(tp_tool_format format); // that a call begins with; empty: none

typedef enum tp_tool_delta_kind {
    TP_DELTA_CONTENT,   // `text` of the answer
    TP_DELTA_REASONING, // `text` between <think> and </think>
    TP_DELTA_CALL,      // a call begins: `index`, `id`, `name`
    TP_DELTA_ARGUMENTS, // `text` is a fragment of the JSON of call `index`
} tp_tool_delta_kind;

typedef struct tp_tool_delta {
    tp_tool_delta_kind kind;
    uint32_t index;
    tp_str id; // "call_" and 24 characters, from the seed and the index
    tp_str name;
    tp_str text; // valid during the call
} tp_tool_delta;

typedef tapeout_status (*tp_tool_sink)(void *user, const tp_tool_delta *delta, tapeout_error *err);

typedef struct tp_tool_parser_options {
    bool parse_calls;      // false: no tools in the request, everything is content
    bool calls_are_held;   // a grammar holds them to tp_tool_force's form: arguments in fragments
    bool held_once;        // and only the first, or the first list: what follows is free text
    bool starts_reasoning; // the prompt already ended in <think>
    uint64_t id_seed;      // of the ids of calls: the same request, the same ids
    tp_tool_sink sink;
    void *sink_user;
} tp_tool_parser_options;

// @thread confined.
typedef struct tp_tool_parser tp_tool_parser;

tapeout_status tp_tool_parser_new(const tp_env *env, tp_tool_format format,
                                  const tp_tool_parser_options *options,
                                  tp_tool_parser **ret_parser, tapeout_error *err);
void tp_tool_parser_free(tp_tool_parser *parser);

// `text` is what one token added, special tokens shown (they are markers in some families). Bytes
// may end within a character. Fragments of one call's arguments concatenate to one JSON value.
tapeout_status tp_tool_parser_push(tp_tool_parser *parser, tp_str text, tapeout_error *err);
// The end of generation: what was held back comes out; what never became a whole call is content,
// but for one that is held: of it the arguments have come so far.
tapeout_status tp_tool_parser_finish(tp_tool_parser *parser, tapeout_error *err);
uint32_t tp_tool_parser_call_count(const tp_tool_parser *parser);

// What forces a call: the answer is `prefix`, then JSON that is valid for `schema`, then `suffix`.
typedef struct tp_tool_force {
    tp_buffer prefix;
    tp_buffer schema; // JSON Schema text
    tp_buffer suffix;
    tp_buffer trigger; // with "auto": free text until this appears; "" for none
} tp_tool_force;

typedef struct tp_tool_choice {
    yyjson_val *tools; // as in the request: [{"type": "function", "function": {...}}]
    tp_str name;       // the one function, or {NULL, 0} for any
    bool is_parallel;  // more than one call at once, where the family has it
    bool strict_alone; // arguments of a tool that is not `strict` are any object
} tp_tool_choice;

// E_INVALID where `name` is none of the tools or a tool has no name.
tapeout_status tp_tool_force_make(const tp_env *env, tp_tool_format format,
                                  const tp_tool_choice *choice, tp_tool_force *ret_force,
                                  tapeout_error *err);
void tp_tool_force_deinit(tp_tool_force *force);

#endif
