// SPDX-License-Identifier: Apache-2.0
//
// What the next forward pass computes: one token of every sequence that is generating, and a piece
// of the prompts that are not read yet (continuous batching, chunked prefill). Sequences wait until
// the cache has room for their prompt. When it runs full, the sequence that was let in last gives
// its pages back and waits again; since every position has the same bits whoever computes it, and
// in whatever company, its text goes on as if nothing had happened.
//
// Between waiting sequences the key decides that has been given the fewest tokens, so that a client
// with a hundred requests does not starve one with a single one.
//
// Pure bookkeeping: no thread, no model, no clock. @thread confined
#ifndef STEP_PLAN_H
#define STEP_PLAN_H

#include "llm/model/tp_forward.h"
#include "llm/schedule/kv_pages.h"

typedef struct step_sequence {
    // The owner's, set before the sequence is added. `ids` may move and grow between steps.
    const uint32_t *ids; // [count] prompt and what was generated
    uint32_t count;
    uint32_t *pages; // [page_capacity] enough for the longest this sequence may become
    uint64_t tenant; // shares prefixes with its own only
    uint64_t key;    // whom its tokens are counted for
    bool wants_all;  // logits at every position, so nothing is taken from the cache
    // The plan's.
    uint32_t page_count;
    uint32_t computed;     // positions whose keys and values are in the pages
    uint32_t cached_count; // of the prompt, taken from the cache when it was last let in
    uint32_t step_count;   // tokens of it in the step under way
    uint32_t logits_row;   // of the step's logits, the first that is its own
    uint32_t logits_count; // rows of the step that are its own
    uint64_t order;        // of arrival
    bool is_running;
    struct step_sequence *next;
    struct step_sequence *previous;
} step_sequence;

typedef struct step_list {
    step_sequence *first;
    step_sequence *last;
    uint32_t count;
} step_list;

typedef struct step_key {
    uint64_t key;
    uint64_t token_count; // given to it, from the least of the others when it came
    uint32_t sequence_count;
    uint32_t running_count;
} step_key;

typedef struct step_limits {
    uint32_t step_tokens;    // of one forward pass, at least max_running
    uint32_t prefill_tokens; // of prompts, in a pass that others generate in
    uint32_t running;        // sequences at once
    uint32_t all_rows;       // of logits for sequences that want them all, at least 1
} step_limits;

typedef struct step_plan {
    const tapeout_allocator *alloc;
    kv_pages *pages;
    step_limits limits;
    step_list waiting;
    step_list running; // by when they were let in
    step_key *keys;    // [key_count] of all sequences
    uint32_t key_count;
    uint32_t key_capacity;
    uint64_t next_order;
    uint64_t preempted_count;
    // The step under way.
    tp_llm_step step;
    tp_llm_token *tokens;         // [step_tokens]
    tp_llm_sequence *page_tables; // [running]
    step_sequence **members;      // [running] whose tokens these are
    uint32_t logits_count;        // at most running + all_rows
} step_plan;

tapeout_status tp_step_plan_init(step_plan *plan, const tapeout_allocator *alloc, kv_pages *pages,
                                 const step_limits *limits, tapeout_error *err);
void tp_step_plan_deinit(step_plan *plan); // no sequence may be left

// Pages that a sequence of `count` ids takes.
uint32_t tp_step_pages_for(uint32_t count);

tapeout_status tp_step_plan_add(step_plan *plan, step_sequence *sequence, tapeout_error *err);
// Takes a sequence out, wherever it is, and gives its pages back. Not while a step is under way.
void tp_step_plan_remove(step_plan *plan, step_sequence *sequence);

// Fills `step` and `members`; false when there is nothing to compute.
bool tp_step_plan_next(step_plan *plan);
// The step has been computed: its pages are published, its sequences are further on.
void tp_step_plan_done(step_plan *plan);

#endif
