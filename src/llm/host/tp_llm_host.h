// SPDX-License-Identifier: Apache-2.0
//
// A language model ready to answer: weights, chat template, and the scheduler that runs requests.
// Command line and server stand on this, so that the same messages give the same tokens in both.
#ifndef TP_LLM_HOST_H
#define TP_LLM_HOST_H

#include "llm/schedule/tp_scheduler.h"
#include "llm/template/tp_template.h"
#include "llm/template/tp_tool_calls.h"

// The chat template that a model file carries; NULL where it has none.
tapeout_status tp_llm_template_of(const tp_env *env, const tp_gguf *metadata,
                                  tp_template **ret_template, tapeout_error *err);

// @thread immutable, but for the scheduler inside, which is synchronized.
typedef struct tp_llm_host tp_llm_host;

// Takes `llm`, on failure too. A model without chat template can be given raw prompts alone.
tapeout_status tp_llm_host_new(const tp_env *env, tp_llm *llm, const tp_scheduler_options *options,
                               tp_llm_host **ret_host, tapeout_error *err);
void tp_llm_host_free(tp_llm_host *host); // accepts NULL; ends its requests

const tp_llm *tp_llm_host_model(const tp_llm_host *host);
tp_scheduler *tp_llm_host_scheduler(const tp_llm_host *host);
bool tp_llm_host_has_template(const tp_llm_host *host);
tp_str tp_llm_host_template_text(const tp_llm_host *host); // {NULL, 0}: none
tp_tool_format tp_llm_host_tool_format(const tp_llm_host *host);

// What a conversation is rendered from. Values are borrowed for the call.
typedef struct tp_chat_input {
    yyjson_val *messages; // an array of {role, content, ...}
    yyjson_val *tools;    // an array, or NULL
    yyjson_val *extra;    // an object of further variables for the template, or NULL
    bool continues_last;  // the last message is the assistant's, to be gone on with
} tp_chat_input;

// Appends the conversation's tokens, up to where the answer begins. Only what the template itself
// writes can become a control token. `ret_tail` (may be NULL) gets the last bytes of the text, at
// most its capacity: whether it opens a <think> is seen there.
tapeout_status tp_llm_host_chat_ids(const tp_llm_host *host, const tp_chat_input *input,
                                    tp_ids *ids, tp_buffer *ret_tail, tapeout_error *err);

#endif
