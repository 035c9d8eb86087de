// SPDX-License-Identifier: Apache-2.0
//
// Many requests, one model. A scheduler has a thread of its own that runs forward passes over
// whatever is to be computed (step_plan.h), samples, and tells each request what has come. A
// request has the same text alone or among others, with its prompt cached or not.
//
// @thread A scheduler is `synchronized`: requests come from any thread. What a request is told, it
// is told on the scheduler's thread, which waits meanwhile.
#ifndef TP_SCHEDULER_H
#define TP_SCHEDULER_H

#include "llm/grammar/tp_grammar.h"
#include "llm/model/tp_llm.h"
#include "llm/schedule/tp_sampler.h"
#include "llm/tokenizer/tp_tokenizer.h"

typedef struct tp_scheduler tp_scheduler;

typedef struct tp_scheduler_options {
    uint32_t thread_count;   // of a forward pass; 0: as many as there are processors
    uint64_t kv_bytes;       // of the key/value cache; 0: room for two whole contexts
    bool kv_is_q8;           // eight bits a value instead of sixteen
    uint32_t context_length; // 0: the model's, at most TP_DEFAULT_LLM_CONTEXT
    uint32_t running_max;    // sequences computed together; 0: 16
    uint32_t queue_max;      // requests that wait; 0: 256
    uint32_t step_tokens;    // of one forward pass; 0: 512
} tp_scheduler_options;

// What a scheduler with these options would be and take; of an outline (tp_llm.h) as well. The same
// checks as of tp_scheduler_new.
typedef struct tp_scheduler_memory {
    uint32_t context_length; // the options, with defaults in place
    uint32_t running_max;
    uint32_t queue_max;
    uint32_t step_tokens;
    uint32_t page_count; // of the cache
    uint64_t page_bytes; // for TP_KV_PAGE_POSITIONS tokens
    uint64_t cache_bytes;
    uint64_t workspace_bytes; // the rest: of forward passes, logits, sampling
} tp_scheduler_memory;
tapeout_status tp_scheduler_measure(const tp_llm *llm, const tp_scheduler_options *options,
                                    tp_scheduler_memory *ret_memory, tapeout_error *err);

// `llm` is borrowed. Loads nothing, but allocates the cache. E_LIMIT where `kv_bytes` does not hold
// a page.
tapeout_status tp_scheduler_new(const tp_env *env, const tp_llm *llm,
                                const tp_scheduler_options *options, tp_scheduler **ret_scheduler,
                                tapeout_error *err);
// Ends every request (TP_FINISH_CANCELLED), then the thread.
void tp_scheduler_free(tp_scheduler *scheduler); // accepts NULL

uint32_t tp_scheduler_context(const tp_scheduler *scheduler); // longest sequence, in tokens
bool tp_scheduler_kv_is_q8(const tp_scheduler *scheduler);

typedef enum tp_finish {
    TP_FINISH_NONE, // it goes on
    TP_FINISH_STOP, // end of generation, a stop string, or a grammar that is complete
    TP_FINISH_LENGTH,
    TP_FINISH_CANCELLED,
    TP_FINISH_TIMEOUT,
    TP_FINISH_FAILED
} tp_finish;

// What a choice is told after each token, and once at its end.
typedef struct tp_generation_event {
    uint32_t choice;
    bool has_token;
    bool is_prompt; // the token is the prompt's (log-probabilities of the prompt were asked for)
    uint32_t id;
    tp_str text;                 // what has become certain of the text; maybe nothing
    double logprob;              // of the token; 0 where not asked for
    const tp_token_logprob *top; // [top_count] likeliest at its place
    uint32_t top_count;
    tp_finish finish;           // other than NONE: the last event of this choice
    int32_t stop_index;         // of the stop string that ended it, or -1
    const tapeout_error *error; // of TP_FINISH_FAILED
    // At the end.
    uint32_t prompt_count;
    uint32_t cached_count; // tokens of the prompt that were in the cache
    uint32_t generated_count;
    uint64_t queue_ns;   // until its prompt was begun
    uint64_t prefill_ns; // from there to the first token
    uint64_t decode_ns;  // from there to the end
} tp_generation_event;

typedef struct tp_generation_request {
    const uint32_t *prompt; // [prompt_count], at least one
    uint32_t prompt_count;
    tp_sampling sampling;
    uint32_t max_tokens;   // 0: to the end of the context
    uint32_t choice_count; // 0 is 1; choice k draws from stream k
    const tp_str *stops;   // [stop_count]
    uint32_t stop_count;   // at most TP_MAX_LLM_STOPS
    tp_grammar *grammar;   // NULL: free text
    tp_str trigger;        // the grammar holds behind this text, each time; empty: from the start
    bool triggers_once;    // and the answer ends where the grammar does
    bool ignores_eog;      // goes on behind an end-of-generation token
    bool shows_special;    // text has control tokens as they are written
    bool wants_logprobs;   // of each generated token
    bool wants_prompt;     // and of the prompt's, from the second on
    uint32_t top_logprobs; // how many likeliest beside them, at most TP_MAX_LLM_TOP_LOGPROBS
    uint64_t deadline_ns;  // of the monotonic clock; 0: none
    uint64_t tenant;       // whose prompts may share the cache
    uint64_t key;          // who shares the machine fairly with others
    // Called on the scheduler's thread; must not wait, nor call the scheduler.
    void (*on_event)(void *user, const tp_generation_event *event);
    // Everything has been told; `user` is not used again.
    void (*on_done)(void *user);
    void *user;
} tp_generation_request;

typedef struct tp_generation tp_generation;

// Everything in `request` is copied, the grammar referenced. E_INVALID for a parameter out of range
// or a prompt that leaves no room in the context; E_BUSY when the queue is full; then no callback
// is called. The handle is given back with tp_generation_unref.
tapeout_status tp_scheduler_submit(tp_scheduler *scheduler, const tp_generation_request *request,
                                   tp_generation **ret_generation, tapeout_error *err);
// From any thread: ends within one step, with TP_FINISH_CANCELLED for what has not ended.
void tp_generation_cancel(tp_generation *generation);
void tp_generation_unref(tp_generation *generation); // accepts NULL; does not cancel

// A vector for each text of an embedding model. Runs on the scheduler's thread between steps;
// waits for it. `ret_vectors` is [text_count, width]; `counts` [text_count] ids each, one after
// another in `ids`.
typedef struct tp_embedding_request {
    const uint32_t *ids;
    const uint32_t *counts; // [text_count]
    uint32_t text_count;
} tp_embedding_request;
uint32_t tp_scheduler_embed_max(const tp_scheduler *scheduler); // tokens of one text
tapeout_status tp_scheduler_embed(tp_scheduler *scheduler, const tp_embedding_request *request,
                                  float *ret_vectors, tapeout_error *err);

typedef struct tp_scheduler_stats {
    uint32_t running;
    uint32_t waiting;
    uint32_t pages_used;
    uint32_t page_count;
    uint64_t step_count;
    uint64_t prompt_tokens; // computed or taken from the cache
    uint64_t cached_tokens; // of them, from the cache
    uint64_t generated_tokens;
    uint64_t preempted_count;
    uint64_t finished_count[TP_FINISH_FAILED + 1];
    uint64_t prefill_ns; // of steps that read prompts
    uint64_t decode_ns;  // of steps that only generate
} tp_scheduler_stats;
tp_scheduler_stats tp_scheduler_stats_read(tp_scheduler *scheduler);

#endif
