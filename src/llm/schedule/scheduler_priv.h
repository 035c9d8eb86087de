// SPDX-License-Identifier: Apache-2.0
//
// A scheduler inside: requests and their choices (generation.c), and the thread that computes them
// (scheduler.c).
#ifndef SCHEDULER_PRIV_H
#define SCHEDULER_PRIV_H

#include "base/limits.h"
#include "base/tp_arena.h"
#include "llm/schedule/answer_text.h"
#include "llm/schedule/step_plan.h"
#include "llm/schedule/tp_scheduler.h"

#include <pthread.h>
#include <stdatomic.h>

// Rows of logits for prompts whose every position is asked for; a row is a vocabulary long.
enum { SCHEDULER_ALL_ROWS = 16 };

typedef struct generation_choice {
    step_sequence sequence; // first: the plan hands it back
    tp_generation *generation;
    uint32_t number;
    tp_ids ids; // prompt, then what was generated
    uint32_t page_capacity;
    uint32_t generated_count;
    uint32_t cached_count; // of the prompt, when it was begun; preempted, it finds its own pages
    uint32_t told_count;   // of the prompt's log-probabilities, by position
    tp_constraint *constraint;           // NULL: none holds now
    char tail[TP_MAX_LLM_TRIGGER_BYTES]; // of the text, which may yet become the trigger
    size_t tail_size;
    answer_text text;
    bool is_planned; // the plan has it
    bool is_ended;
    tp_finish finish;  // once it has ended
    uint64_t begin_ns; // its prompt was begun; 0: not yet
    uint64_t first_ns; // its first token came
} generation_choice;

struct tp_generation {
    const tapeout_allocator *alloc;
    atomic_uint ref_count; // the caller's and the scheduler's
    atomic_bool is_cancelled;
    tp_arena arena;                // what `request` points to
    tp_generation_request request; // the copy
    generation_choice *choices;    // [request.choice_count]
    uint32_t open_count;           // choices that have not ended
    uint64_t submit_ns;
    tp_generation *next; // among those that came in, then among the open ones
    tp_generation *previous;
};

// A call that waits for its vectors.
typedef struct embed_job {
    const tp_embedding_request *request;
    float *vectors;
    tapeout_error *err;
    tapeout_status status;
    bool is_done;
    struct embed_job *next;
} embed_job;

struct tp_scheduler {
    tp_env env;
    const tp_llm *llm;
    const tp_tokenizer *tokenizer;
    pthread_mutex_t index_lock;  // of the next; a leaf
    tp_vocab_index *vocab_index; // NULL until an answer is constrained
    tp_scheduler_options options;
    uint32_t vocab_count;
    uint32_t page_count;
    // The thread's own.
    tp_kv *kv;
    kv_pages *pages;
    step_plan plan;
    tp_llm_run *run;
    tp_llm_run *embed_run; // NULL until a text is to be embedded
    tp_sampler *sampler;
    float *logits;     // [running_max + all_rows, V]
    uint32_t *allowed; // [(V + 31) / 32] where a token had to be taken back
    size_t logits_count;
    tp_token_logprob *top; // [TP_MAX_LLM_TOP_LOGPROBS]
    tp_generation *open;   // that have been taken in and have not ended
    pthread_t thread;
    bool has_thread;
    // Under the lock, a leaf.
    pthread_mutex_t lock;
    pthread_cond_t wake;     // the thread: something came in, or the end
    pthread_cond_t embedded; // callers of embed
    tp_generation *incoming; // newest first
    embed_job *embed_jobs;
    uint32_t generation_count; // incoming and open
    bool is_ending;
    tp_scheduler_stats stats;
};

// The index of the vocabulary, made when it is first asked for; from any thread.
tapeout_status tp_scheduler_vocab_index(tp_scheduler *scheduler, const tp_vocab_index **ret_index,
                                        tapeout_error *err);

// -- generation.c --------------------------------------------------------------------------------
tapeout_status tp_generation_new(tp_scheduler *scheduler, const tp_generation_request *request,
                                 tp_generation **ret_generation, tapeout_error *err);
// Hands the choices that can begin to the plan. Choices beyond the first wait until the first has
// read the prompt, and then find it in the cache.
void tp_generation_plan(tp_scheduler *scheduler, tp_generation *generation);
// Samples for a choice whose logits have come, and tells of it.
void tp_generation_step(tp_scheduler *scheduler, generation_choice *choice);
// Tells of the end and takes the choice out of the plan.
void tp_generation_end(tp_scheduler *scheduler, generation_choice *choice, tp_finish finish,
                       const tapeout_error *error);

#endif
