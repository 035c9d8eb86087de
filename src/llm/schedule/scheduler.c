// SPDX-License-Identifier: Apache-2.0
//
// The thread: take in what came, end what was cancelled or is late, plan a step, compute it, sample
// and tell. It sleeps when there is nothing to do and never otherwise.
#include "llm/schedule/scheduler_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_clock.h"
#include "base/tp_error.h"

#include <string.h>

// Tokens of prompts in a step that others generate in: their next token waits for it.
enum { PREFILL_TOKENS_BESIDE = 128 };

// -- telling what came in ------------------------------------------------------------------------
static void open_add(tp_scheduler *scheduler, tp_generation *generation)
{
    generation->previous = NULL;
    generation->next = scheduler->open;
    if (generation->next != NULL) {
        generation->next->previous = generation;
    }
    scheduler->open = generation;
}

static void open_remove(tp_scheduler *scheduler, tp_generation *generation)
{
    *(generation->previous == NULL ? &scheduler->open : &generation->previous->next) =
        generation->next;
    if (generation->next != NULL) {
        generation->next->previous = generation->previous;
    }
}

// The list has the newest first; requests are served by when they came.
static void take_in(tp_scheduler *scheduler, tp_generation *incoming)
{
    tp_generation *oldest_first = NULL;
    while (incoming != NULL) {
        tp_generation *next = incoming->next;
        incoming->next = oldest_first;
        oldest_first = incoming;
        incoming = next;
    }
    while (oldest_first != NULL) {
        tp_generation *next = oldest_first->next;
        open_add(scheduler, oldest_first);
        tp_generation_plan(scheduler, oldest_first);
        oldest_first = next;
    }
}

static void end_all_choices(tp_scheduler *scheduler, tp_generation *generation, tp_finish finish)
{
    for (uint32_t i = 0; i < generation->request.choice_count; i++) {
        if (!generation->choices[i].is_ended) {
            tp_generation_end(scheduler, &generation->choices[i], finish, NULL);
        }
    }
}

static void count_end(tp_scheduler *scheduler, const tp_generation *generation)
{
    (void)pthread_mutex_lock(&scheduler->lock);
    scheduler->generation_count--;
    scheduler->stats.prompt_tokens += generation->request.prompt_count;
    for (uint32_t i = 0; i < generation->request.choice_count; i++) {
        scheduler->stats.cached_tokens += generation->choices[i].cached_count;
        scheduler->stats.generated_tokens += generation->choices[i].generated_count;
        scheduler->stats.finished_count[generation->choices[i].finish]++;
    }
    (void)pthread_mutex_unlock(&scheduler->lock);
}

// After a request has ended there may be no step that would tell it.
static void note_places(tp_scheduler *scheduler)
{
    const step_plan *plan = &scheduler->plan;
    (void)pthread_mutex_lock(&scheduler->lock);
    tp_scheduler_stats *stats = &scheduler->stats;
    stats->running = plan->running.count;
    stats->waiting = plan->waiting.count;
    stats->pages_used = scheduler->pages == NULL ? 0 : tp_kv_pages_used(scheduler->pages);
    stats->preempted_count = plan->preempted_count;
    (void)pthread_mutex_unlock(&scheduler->lock);
}

// Ends what is not wanted any more, plans what can begin, forgets what has ended.
static void tend(tp_scheduler *scheduler, bool is_ending)
{
    const uint64_t now = tp_clock_monotonic_ns();
    for (tp_generation *at = scheduler->open, *next = NULL; at != NULL; at = next) {
        next = at->next;
        const uint64_t deadline = at->request.deadline_ns;
        if (is_ending || atomic_load_explicit(&at->is_cancelled, memory_order_relaxed)) {
            end_all_choices(scheduler, at, TP_FINISH_CANCELLED);
        } else if (deadline != 0 && now >= deadline) {
            end_all_choices(scheduler, at, TP_FINISH_TIMEOUT);
        } else if (at->open_count > 0) {
            tp_generation_plan(scheduler, at);
        }
        if (at->open_count == 0) {
            open_remove(scheduler, at);
            count_end(scheduler, at);
            at->request.on_done(at->request.user);
            tp_generation_unref(at);
        }
    }
    note_places(scheduler);
}

// -- a step --------------------------------------------------------------------------------------
static bool reads_prompts(const step_plan *plan)
{
    return plan->step.token_count > plan->step.sequence_count;
}

static void note_step(tp_scheduler *scheduler, uint64_t took_ns)
{
    const step_plan *plan = &scheduler->plan;
    (void)pthread_mutex_lock(&scheduler->lock);
    tp_scheduler_stats *stats = &scheduler->stats;
    stats->step_count++;
    *(reads_prompts(plan) ? &stats->prefill_ns : &stats->decode_ns) += took_ns;
    (void)pthread_mutex_unlock(&scheduler->lock);
}

static void run_step(tp_scheduler *scheduler)
{
    step_plan *plan = &scheduler->plan;
    tapeout_error error = {0};
    const uint64_t begin_ns = tp_clock_monotonic_ns();
    const uint32_t member_count = plan->step.sequence_count;
    for (uint32_t i = 0; i < member_count; i++) {
        generation_choice *choice = (generation_choice *)plan->members[i];
        if (choice->begin_ns == 0) {
            choice->begin_ns = begin_ns;
            choice->cached_count = choice->sequence.cached_count;
        }
    }
    const tapeout_status status =
        tp_llm_forward(scheduler->run, &plan->step, scheduler->logits, &error);
    if (status == TAPEOUT_OK) {
        tp_step_plan_done(plan);
    }
    note_step(scheduler, tp_clock_monotonic_ns() - begin_ns);
    for (uint32_t i = 0; i < member_count; i++) {
        generation_choice *choice = (generation_choice *)plan->members[i];
        if (status == TAPEOUT_OK) {
            tp_generation_step(scheduler, choice);
        } else {
            tp_generation_end(scheduler, choice, TP_FINISH_FAILED, &error);
        }
    }
}

// -- embeddings ----------------------------------------------------------------------------------
// A run of its own, made when the first text comes: pages of generations are not touched.
static tapeout_status embed(tp_scheduler *scheduler, const embed_job *job, tapeout_error *err)
{
    const uint32_t width = tp_llm_facts_of(scheduler->llm)->width;
    if (scheduler->embed_run == NULL) {
        TP_TRY(tp_llm_run_new(&scheduler->env, scheduler->llm, NULL,
                              scheduler->options.thread_count, scheduler->options.step_tokens,
                              &scheduler->embed_run, err));
    }
    const uint32_t *ids = job->request->ids;
    for (uint32_t i = 0; i < job->request->text_count; i++) {
        TP_TRY(tp_llm_embed(scheduler->embed_run, ids, job->request->counts[i],
                            job->vectors + (size_t)i * width, err));
        ids += job->request->counts[i];
    }
    return TAPEOUT_OK;
}

static void run_embed_jobs(tp_scheduler *scheduler, embed_job *jobs, bool is_ending)
{
    while (jobs != NULL) {
        embed_job *next = jobs->next; // its caller takes it away once it is done
        const tapeout_status status =
            is_ending ? tp_fail(jobs->err, TAPEOUT_E_CANCELLED, "the model is being unloaded")
                      : embed(scheduler, jobs, jobs->err);
        (void)pthread_mutex_lock(&scheduler->lock);
        jobs->status = status;
        jobs->is_done = true;
        (void)pthread_cond_broadcast(&scheduler->embedded);
        (void)pthread_mutex_unlock(&scheduler->lock);
        jobs = next;
    }
}

tapeout_status tp_scheduler_embed(tp_scheduler *scheduler, const tp_embedding_request *request,
                                  float *ret_vectors, tapeout_error *err)
{
    embed_job job = {.request = request, .vectors = ret_vectors, .err = err};
    (void)pthread_mutex_lock(&scheduler->lock);
    job.next = scheduler->embed_jobs;
    scheduler->embed_jobs = &job;
    (void)pthread_cond_signal(&scheduler->wake);
    while (!job.is_done) {
        (void)pthread_cond_wait(&scheduler->embedded, &scheduler->lock);
    }
    (void)pthread_mutex_unlock(&scheduler->lock);
    return job.status;
}

// -- the thread ----------------------------------------------------------------------------------
static void *scheduler_main(void *argument)
{
    tp_scheduler *scheduler = argument;
    for (;;) {
        (void)pthread_mutex_lock(&scheduler->lock);
        while (!scheduler->is_ending && scheduler->incoming == NULL &&
               scheduler->embed_jobs == NULL && scheduler->open == NULL) {
            (void)pthread_cond_wait(&scheduler->wake, &scheduler->lock);
        }
        tp_generation *incoming = scheduler->incoming;
        embed_job *jobs = scheduler->embed_jobs;
        const bool is_ending = scheduler->is_ending;
        scheduler->incoming = NULL;
        scheduler->embed_jobs = NULL;
        (void)pthread_mutex_unlock(&scheduler->lock);
        take_in(scheduler, incoming);
        run_embed_jobs(scheduler, jobs, is_ending);
        tend(scheduler, is_ending);
        if (is_ending) {
            return NULL;
        }
        if (tp_step_plan_next(&scheduler->plan)) {
            run_step(scheduler);
        }
    }
}

tapeout_status tp_scheduler_submit(tp_scheduler *scheduler, const tp_generation_request *request,
                                   tp_generation **ret_generation, tapeout_error *err)
{
    tp_generation *generation = NULL;
    TP_TRY(tp_generation_new(scheduler, request, &generation, err));
    (void)pthread_mutex_lock(&scheduler->lock);
    const uint32_t most = scheduler->options.running_max + scheduler->options.queue_max;
    const bool is_refused = scheduler->is_ending || scheduler->generation_count >= most;
    if (!is_refused) {
        scheduler->generation_count++;
        generation->next = scheduler->incoming;
        scheduler->incoming = generation;
        (void)pthread_cond_signal(&scheduler->wake);
    }
    (void)pthread_mutex_unlock(&scheduler->lock);
    if (is_refused) {
        tp_generation_unref(generation);
        tp_generation_unref(generation);
        return tp_fail(err, TAPEOUT_E_BUSY, "%u requests are waiting or running; try again later",
                       most);
    }
    *ret_generation = generation;
    return TAPEOUT_OK;
}

tp_scheduler_stats tp_scheduler_stats_read(tp_scheduler *scheduler)
{
    (void)pthread_mutex_lock(&scheduler->lock);
    const tp_scheduler_stats stats = scheduler->stats;
    (void)pthread_mutex_unlock(&scheduler->lock);
    return stats;
}

uint32_t tp_scheduler_embed_max(const tp_scheduler *scheduler)
{
    const uint32_t positions = tp_llm_facts_of(scheduler->llm)->context_length;
    const uint32_t tokens = scheduler->options.step_tokens;
    return tokens < positions ? tokens : positions;
}

uint32_t tp_scheduler_context(const tp_scheduler *scheduler)
{
    return scheduler->options.context_length;
}

bool tp_scheduler_kv_is_q8(const tp_scheduler *scheduler)
{
    return scheduler->options.kv_is_q8;
}

// Sorting a vocabulary takes longer than a first token may: only who constrains an answer waits.
static tapeout_status vocab_index_make(tp_scheduler *scheduler, tapeout_error *err)
{
    const uint32_t count = scheduler->vocab_count;
    uint32_t eog_count = 0;
    const uint32_t *eog_ids = tp_tokenizer_eog_ids(scheduler->tokenizer, &eog_count);
    tp_str *pieces = tp_alloc_array(scheduler->env.alloc, count, sizeof(*pieces));
    if (pieces == NULL) {
        return tp_fail_nomem(err);
    }
    for (uint32_t id = 0; id < count; id++) {
        pieces[id] = tp_tokenizer_piece(scheduler->tokenizer, id);
    }
    const tapeout_status status = tp_vocab_index_new(&scheduler->env, pieces, count, eog_ids,
                                                     eog_count, &scheduler->vocab_index, err);
    tp_free_array(scheduler->env.alloc, pieces, count, sizeof(*pieces));
    return status;
}

tapeout_status tp_scheduler_vocab_index(tp_scheduler *scheduler, const tp_vocab_index **ret_index,
                                        tapeout_error *err)
{
    (void)pthread_mutex_lock(&scheduler->index_lock);
    const tapeout_status status =
        scheduler->vocab_index == NULL ? vocab_index_make(scheduler, err) : TAPEOUT_OK;
    *ret_index = scheduler->vocab_index;
    (void)pthread_mutex_unlock(&scheduler->index_lock);
    return status;
}

// -- life ----------------------------------------------------------------------------------------
static tapeout_status settle(tp_scheduler *scheduler, tapeout_error *err)
{
    tp_scheduler_memory memory;
    TP_TRY(tp_scheduler_measure(scheduler->llm, &scheduler->options, &memory, err));
    scheduler->options.context_length = memory.context_length;
    scheduler->options.running_max = memory.running_max;
    scheduler->options.queue_max = memory.queue_max;
    scheduler->options.step_tokens = memory.step_tokens;
    scheduler->page_count = memory.page_count;
    scheduler->stats.page_count = memory.page_count;
    return TAPEOUT_OK;
}

// What a model that generates needs; one that embeds has neither cache nor logits.
static tapeout_status generator_make(tp_scheduler *scheduler, tapeout_error *err)
{
    const tapeout_allocator *alloc = scheduler->env.alloc;
    const tp_scheduler_options *options = &scheduler->options;
    const step_limits limits = {.step_tokens = options->step_tokens,
                                .prefill_tokens = PREFILL_TOKENS_BESIDE,
                                .running = options->running_max,
                                .all_rows = SCHEDULER_ALL_ROWS};
    TP_TRY(tp_kv_new(&scheduler->env, scheduler->llm, options->kv_is_q8 ? TP_KV_Q8_0 : TP_KV_F16,
                     scheduler->page_count, &scheduler->kv, err));
    TP_TRY(tp_kv_pages_new(alloc, scheduler->page_count, &scheduler->pages, err));
    TP_TRY(tp_step_plan_init(&scheduler->plan, alloc, scheduler->pages, &limits, err));
    TP_TRY(tp_sampler_new(alloc, scheduler->vocab_count, &scheduler->sampler, err));
    scheduler->logits_count =
        (size_t)(limits.running + SCHEDULER_ALL_ROWS) * scheduler->vocab_count;
    scheduler->logits = tp_alloc_array(alloc, scheduler->logits_count, sizeof(float));
    scheduler->top = tp_alloc_array(alloc, TP_MAX_LLM_TOP_LOGPROBS, sizeof(*scheduler->top));
    scheduler->allowed =
        tp_alloc_array(alloc, (scheduler->vocab_count + 31u) / 32, sizeof(uint32_t));
    if (scheduler->logits == NULL || scheduler->top == NULL || scheduler->allowed == NULL) {
        return tp_fail_nomem(err);
    }
    return tp_llm_run_new(&scheduler->env, scheduler->llm, scheduler->kv, options->thread_count,
                          options->step_tokens, &scheduler->run, err);
}

tapeout_status tp_scheduler_new(const tp_env *env, const tp_llm *llm,
                                const tp_scheduler_options *options, tp_scheduler **ret_scheduler,
                                tapeout_error *err)
{
    tp_scheduler *scheduler = tp_alloc_zero(env->alloc, sizeof(*scheduler));
    if (scheduler == NULL) {
        return tp_fail_nomem(err);
    }
    scheduler->env = *env;
    scheduler->env.pool = NULL; // the thread has a team of its own
    scheduler->llm = llm;
    scheduler->tokenizer = tp_llm_tokenizer(llm);
    scheduler->options = *options;
    scheduler->vocab_count = tp_llm_facts_of(llm)->vocab_count;
    (void)pthread_mutex_init(&scheduler->lock, NULL); // plain ones cannot fail
    (void)pthread_mutex_init(&scheduler->index_lock, NULL);
    (void)pthread_cond_init(&scheduler->wake, NULL);
    (void)pthread_cond_init(&scheduler->embedded, NULL);
    tapeout_status status = settle(scheduler, err);
    if (status == TAPEOUT_OK && !tp_llm_facts_of(llm)->is_encoder) {
        status = generator_make(scheduler, err);
    }
    if (status == TAPEOUT_OK) {
        scheduler->has_thread =
            pthread_create(&scheduler->thread, NULL, scheduler_main, scheduler) == 0;
        status = scheduler->has_thread
                     ? TAPEOUT_OK
                     : tp_fail(err, TAPEOUT_E_BUSY, "the system gives no thread for the model");
    }
    if (status != TAPEOUT_OK) {
        tp_scheduler_free(scheduler);
        return status;
    }
    *ret_scheduler = scheduler;
    return TAPEOUT_OK;
}

void tp_scheduler_free(tp_scheduler *scheduler)
{
    if (scheduler == NULL) {
        return;
    }
    const tapeout_allocator *alloc = scheduler->env.alloc;
    if (scheduler->has_thread) {
        (void)pthread_mutex_lock(&scheduler->lock);
        scheduler->is_ending = true;
        (void)pthread_cond_signal(&scheduler->wake);
        (void)pthread_mutex_unlock(&scheduler->lock);
        (void)pthread_join(scheduler->thread, NULL);
    }
    tp_llm_run_free(scheduler->run);
    tp_llm_run_free(scheduler->embed_run);
    if (scheduler->pages != NULL) {
        tp_step_plan_deinit(&scheduler->plan);
    }
    tp_kv_pages_free(scheduler->pages);
    tp_kv_free(scheduler->kv);
    tp_sampler_free(scheduler->sampler);
    tp_vocab_index_free(scheduler->vocab_index);
    tp_free_array(alloc, scheduler->logits, scheduler->logits_count, sizeof(float));
    tp_free_array(alloc, scheduler->allowed, (scheduler->vocab_count + 31u) / 32, sizeof(uint32_t));
    tp_free_array(alloc, scheduler->top, TP_MAX_LLM_TOP_LOGPROBS, sizeof(*scheduler->top));
    (void)pthread_cond_destroy(&scheduler->wake);
    (void)pthread_cond_destroy(&scheduler->embedded);
    (void)pthread_mutex_destroy(&scheduler->lock);
    (void)pthread_mutex_destroy(&scheduler->index_lock);
    tp_free(alloc, scheduler, sizeof(*scheduler));
}
