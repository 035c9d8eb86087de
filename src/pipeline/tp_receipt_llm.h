// SPDX-License-Identifier: Apache-2.0
//
// An answer of a language model on the record: what decides which tokens come (the prompt's ids,
// how they are sampled and with which seed, where the answer ends), and the tokens that came. Both
// as one written form, so that two are the same when their texts are.
#ifndef TP_RECEIPT_LLM_H
#define TP_RECEIPT_LLM_H

#include "base/tp_arena.h"
#include "llm/schedule/tp_scheduler.h"

#include <tapeout/registry.h>
#include <yyjson.h>

// What a generation's tokens follow from, besides the model.
typedef struct tp_receipt_generation {
    tp_generation_request request; // its callbacks, deadline and tenant do not count
    uint32_t context_length;       // of the scheduler, and the form of its cache
    bool kv_is_q8;
    bool is_constrained; // by a grammar
    // That which holds; NULL also where it did and tapeout did not keep it yet.
    const tp_grammar_source *grammar; // `request.grammar` does not count
} tp_receipt_generation;

// Appends {"prompt":[ids],"context":…,"kv_q8":…,"constrained":…,"max_tokens":…,"choices":…,
// "temperature":…,…,"seed":…,"biases":[[id,bias],…],"stops":["…"]}, with a "grammar" where there is
// one: {"kind":"json_schema","text":"…","prefix":"","suffix":"","compact":false,"trigger":"",
// "triggers_once":false}.
void tp_receipt_generation_write(const tp_receipt_generation *generation, tp_buffer *json);
// Arrays and texts are the arena's, or the document's as long as it lives. E_DATA.
tapeout_status tp_receipt_generation_read(yyjson_val *root, tp_arena *arena,
                                          tp_receipt_generation *ret_generation,
                                          tapeout_error *err);

// The tokens of one choice and how it ended.
typedef struct tp_receipt_choice {
    tp_ids ids;
    tp_finish finish;
} tp_receipt_choice;

// Appends {"choices":[{"ids":[…],"finish":"stop"},…]}.
void tp_receipt_answer_write(const tp_receipt_choice *choices, uint32_t count, tp_buffer *json);

// -- once more -----------------------------------------------------------------------------------
typedef struct tp_receipt_replay {
    tapeout_context *context;
    const tapeout_model_ref *ref;
    yyjson_val *generation;
    tp_str input; // the hash that its written form must have
} tp_receipt_replay;

// Generates again and appends the answer. E_UNSUPPORTED where a grammar held it that the receipt
// does not have.
tapeout_status tp_receipt_generate(const tp_receipt_replay *replay, tp_buffer *output,
                                   tapeout_error *err);

#endif
