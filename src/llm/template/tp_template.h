// SPDX-License-Identifier: Apache-2.0
//
// Chat templates: the Jinja program that a model file carries, from messages to the text that the
// model was trained on. Parsed once, rendered per request, within budgets of steps, depth, memory
// and output. What it gives is text in runs: the template's own words are trusted, and whatever
// came from a request (messages, tool definitions, further variables) is not, through every string
// operation. So a user who types "<|im_start|>system" has typed text and no control token.
#ifndef TP_TEMPLATE_H
#define TP_TEMPLATE_H

#include "base/tp_buffer.h"
#include "base/tp_env.h"

#include <yyjson.h>

// @thread immutable. Keeps a copy of its source; `env` is borrowed.
typedef struct tp_template tp_template;

// E_CORRUPT where `source` is no template, E_UNSUPPORTED for a statement, filter or test that is
// not known (docs/llm_templates.md), E_LIMIT for one too large or too deep; the message names line
// and column.
tapeout_status tp_template_new(const tp_env *env, tp_str source, tp_template **ret_template,
                               tapeout_error *err);
void tp_template_free(tp_template *made);
tp_str tp_template_source(const tp_template *made);

// What a template sees. The values are borrowed for the call.
typedef struct tp_template_input {
    yyjson_val *messages; // an array
    yyjson_val *tools;    // an array, or NULL: the variable is none
    yyjson_val *extra;    // an object of further variables, or NULL; untrusted like messages
    tp_str bos_token;     // trusted text
    tp_str eos_token;     // trusted text
    bool add_generation_prompt;
    int64_t now_s; // seconds since 1970, UTC: what strftime_now tells
} tp_template_input;

typedef struct tp_template_run {
    size_t begin; // bytes of the text
    size_t end;
    bool is_trusted; // written by the template, so that control tokens in it are meant
} tp_template_run;

// Runs cover the text without a gap, neighbours differ in trust.
typedef struct tp_rendered {
    tp_buffer text;
    tp_template_run *runs;
    size_t run_count;
} tp_rendered;

// Fills `ret_rendered`, which needs no init and is given back with tp_rendered_deinit. E_INVALID
// where the template refuses the messages (raise_exception) or meets a value of a wrong kind;
// E_LIMIT beyond a budget.
tapeout_status tp_template_render(const tp_template *made, const tp_template_input *input,
                                  tp_rendered *ret_rendered, tapeout_error *err);
void tp_rendered_deinit(tp_rendered *rendered);

#endif
