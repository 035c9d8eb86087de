// SPDX-License-Identifier: Apache-2.0
//
// The forward pass: tokens of any number of sequences in, logits out for those that want them.
//
// A number never depends on company: the logits of a token have the same bits whatever else is in
// the step, however the text before it was cut into steps, whichever pages it lies in, with any
// number of threads and any variant of the kernels.
#ifndef TP_FORWARD_H
#define TP_FORWARD_H

#include "llm/model/tp_kv.h"

typedef struct tp_llm_token {
    uint32_t id;
    uint32_t position;
    uint32_t sequence; // index into the step's sequences
    bool wants_logits;
} tp_llm_token;

typedef struct tp_llm_sequence {
    const uint32_t *pages; // pages[position / TP_KV_PAGE_POSITIONS], for each position of the step
} tp_llm_sequence;

// Tokens of one sequence stand together, by ascending positions without a gap; all positions
// before them are in the sequence's pages.
typedef struct tp_llm_step {
    const tp_llm_token *tokens;
    uint32_t token_count;
    const tp_llm_sequence *sequences;
    uint32_t sequence_count;
} tp_llm_step;

// The workspace of steps and a team of threads.
// @thread confined
typedef struct tp_llm_run tp_llm_run;

// `thread_count` as for tp_pool_new: the caller counts, 0 stands for the machine's processors.
// Steps of at most `max_tokens` tokens. `kv` NULL: the run makes its own for max_tokens positions,
// for tp_llm_embed. Model and kv are borrowed.
tapeout_status tp_llm_run_new(const tp_env *env, const tp_llm *llm, tp_kv *kv,
                              uint32_t thread_count, uint32_t max_tokens, tp_llm_run **ret_run,
                              tapeout_error *err);
void tp_llm_run_free(tp_llm_run *run); // accepts NULL

// The bytes that such a run would take, threads' stacks aside: for a cache of `kv_pages` pages, or
// with 0 for a run with a cache of its own, which is counted too. Of an outline as well.
uint64_t tp_llm_run_bytes(const tp_llm *llm, uint32_t kv_pages, uint32_t thread_count,
                          uint32_t max_tokens);

// Computes a step and writes its keys and values. `ret_logits` is [wanted, V], in the order of the
// tokens; NULL where none is wanted. E_INVALID for a step that breaks the rules above, before
// anything is written; nothing else can fail.
tapeout_status tp_llm_forward(tp_llm_run *run, const tp_llm_step *step, float *ret_logits,
                              tapeout_error *err);

// One vector [D] of a text of 1 … max_tokens ids, pooled and scaled as the facts say. For a run of
// its own kv: it writes pages 0, 1, ….
tapeout_status tp_llm_embed(tp_llm_run *run, const uint32_t *ids, size_t count, float *ret_vector,
                            tapeout_error *err);

#endif
