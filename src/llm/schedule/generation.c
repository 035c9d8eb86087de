// SPDX-License-Identifier: Apache-2.0
//
// One request: its copy of everything that the caller gave, its choices, and what they are told.
// After each token the order is: sample, note, follow the grammar, tell; then see whether it ends.
#include "llm/schedule/scheduler_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_clock.h"
#include "base/tp_error.h"

#include <string.h>

// -- a request -----------------------------------------------------------------------------------
static tapeout_status request_check(const tp_scheduler *scheduler,
                                    const tp_generation_request *request, tapeout_error *err)
{
    const uint32_t context = scheduler->options.context_length;
    if (tp_llm_facts_of(scheduler->llm)->is_encoder) {
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED, "%s makes embeddings and no text",
                       tp_llm_facts_of(scheduler->llm)->architecture);
    }
    if (request->prompt_count == 0) {
        return tp_fail(err, TAPEOUT_E_INVALID, "the prompt has no token");
    }
    if (request->prompt_count >= context) {
        return tp_fail(err, TAPEOUT_E_LIMIT,
                       "the prompt has %u tokens; the context holds %u, an answer included",
                       request->prompt_count, context);
    }
    for (uint32_t i = 0; i < request->prompt_count; i++) {
        if (request->prompt[i] >= scheduler->vocab_count) {
            return tp_fail(err, TAPEOUT_E_INVALID,
                           "prompt: token %u is %u; the vocabulary has %u, counted from 0", i,
                           request->prompt[i], scheduler->vocab_count);
        }
    }
    if (request->choice_count > TP_MAX_LLM_CHOICES) {
        return tp_fail(err, TAPEOUT_E_INVALID, "%u choices; at most %u", request->choice_count,
                       TP_MAX_LLM_CHOICES);
    }
    const uint32_t most_top = scheduler->vocab_count < TP_MAX_LLM_TOP_LOGPROBS
                                  ? scheduler->vocab_count
                                  : TP_MAX_LLM_TOP_LOGPROBS;
    if (request->top_logprobs > most_top) {
        return tp_fail(err, TAPEOUT_E_INVALID, "top_logprobs is %u; at most %u",
                       request->top_logprobs, most_top);
    }
    if (request->stop_count > TP_MAX_LLM_STOPS) {
        return tp_fail(err, TAPEOUT_E_INVALID, "%u stop strings; at most %u", request->stop_count,
                       TP_MAX_LLM_STOPS);
    }
    for (uint32_t i = 0; i < request->stop_count; i++) {
        if (request->stops[i].size == 0 || request->stops[i].size > TP_MAX_LLM_STOP_BYTES) {
            return tp_fail(err, TAPEOUT_E_INVALID,
                           "stop string %u has %zu bytes; it must have 1 to %u", i,
                           request->stops[i].size, TP_MAX_LLM_STOP_BYTES);
        }
    }
    if (request->trigger.size > TP_MAX_LLM_TRIGGER_BYTES) {
        return tp_fail(err, TAPEOUT_E_INVALID, "a trigger of %zu bytes; at most %u",
                       request->trigger.size, TP_MAX_LLM_TRIGGER_BYTES);
    }
    return tp_sampling_check(&request->sampling, scheduler->vocab_count, err);
}

// How long the sequences of this request may become.
static uint32_t longest(const tp_scheduler *scheduler, const tp_generation_request *request)
{
    const uint32_t left = scheduler->options.context_length - request->prompt_count;
    const uint32_t most = request->max_tokens == 0 ? left : request->max_tokens;
    return request->prompt_count + (most < left ? most : left);
}

// Copies into the generation's arena, which remembers a failure.
static void *copy(tp_generation *generation, const void *data, size_t count, size_t item_size)
{
    void *made = count == 0 ? NULL : tp_arena_array(&generation->arena, count, item_size);
    if (made != NULL) {
        memcpy(made, data, count * item_size);
    }
    return made;
}

static tapeout_status request_copy(tp_generation *generation, const tp_generation_request *from,
                                   tapeout_error *err)
{
    tp_generation_request *to = &generation->request;
    *to = *from;
    to->choice_count = from->choice_count == 0 ? 1 : from->choice_count;
    to->grammar = NULL;
    to->prompt = copy(generation, from->prompt, from->prompt_count, sizeof(*from->prompt));
    to->sampling.biases = copy(generation, from->sampling.biases, from->sampling.bias_count,
                               sizeof(*from->sampling.biases));
    tp_str *stops = copy(generation, from->stops, from->stop_count, sizeof(*from->stops));
    for (uint32_t i = 0; stops != NULL && i < from->stop_count; i++) {
        stops[i] = tp_arena_str(&generation->arena, from->stops[i]);
    }
    to->stops = stops;
    to->trigger = tp_arena_str(&generation->arena, from->trigger);
    TP_TRY(tp_arena_check(&generation->arena, "a request", err));
    if (from->grammar != NULL) {
        to->grammar = tp_grammar_ref(from->grammar);
    }
    return TAPEOUT_OK;
}

static tapeout_status choice_init(tp_scheduler *scheduler, tp_generation *generation,
                                  uint32_t number, tapeout_error *err)
{
    const tp_generation_request *request = &generation->request;
    generation_choice *choice = &generation->choices[number];
    choice->generation = generation;
    choice->number = number;
    choice->told_count = 1; // nothing is known of the first
    tp_ids_init(&choice->ids, generation->alloc);
    tp_answer_text_init(&choice->text, generation->alloc, scheduler->tokenizer,
                        request->shows_special);
    choice->text.stops = request->stops;
    choice->text.stop_count = request->stop_count;
    for (uint32_t i = 0; i < request->prompt_count; i++) {
        TP_TRY(tp_ids_append(&choice->ids, request->prompt[i], err));
    }
    choice->page_capacity = tp_step_pages_for(longest(scheduler, request));
    choice->sequence = (step_sequence){.tenant = request->tenant,
                                       .key = request->key,
                                       .wants_all = request->wants_prompt && number == 0};
    choice->sequence.pages =
        tp_alloc_array(generation->alloc, choice->page_capacity, sizeof(uint32_t));
    if (choice->sequence.pages == NULL) {
        return tp_fail_nomem(err);
    }
    if (request->grammar == NULL) {
        return TAPEOUT_OK;
    }
    const tp_vocab_index *index = NULL;
    TP_TRY(tp_scheduler_vocab_index(scheduler, &index, err));
    if (request->trigger.size > 0) {
        return TAPEOUT_OK; // it begins when the text has come to it
    }
    return tp_constraint_new(&scheduler->env, request->grammar, index, &choice->constraint, err);
}

static void choice_deinit(generation_choice *choice)
{
    if (choice->generation == NULL) {
        return; // never begun
    }
    const tapeout_allocator *alloc = choice->generation->alloc;
    tp_ids_deinit(&choice->ids);
    tp_answer_text_deinit(&choice->text);
    tp_constraint_free(choice->constraint);
    tp_free_array(alloc, choice->sequence.pages, choice->page_capacity, sizeof(uint32_t));
}

static void generation_free(tp_generation *generation)
{
    const tapeout_allocator *alloc = generation->alloc;
    const uint32_t count = generation->request.choice_count;
    for (uint32_t i = 0; generation->choices != NULL && i < count; i++) {
        choice_deinit(&generation->choices[i]);
    }
    tp_free_array(alloc, generation->choices, count, sizeof(*generation->choices));
    tp_grammar_unref(generation->request.grammar);
    tp_arena_deinit(&generation->arena);
    tp_free(alloc, generation, sizeof(*generation));
}

void tp_generation_unref(tp_generation *generation)
{
    // Acquire and release: whoever frees sees what the other has written.
    if (generation != NULL &&
        atomic_fetch_sub_explicit(&generation->ref_count, 1, memory_order_acq_rel) == 1) {
        generation_free(generation);
    }
}

void tp_generation_cancel(tp_generation *generation)
{
    atomic_store_explicit(&generation->is_cancelled, true, memory_order_relaxed);
}

tapeout_status tp_generation_new(tp_scheduler *scheduler, const tp_generation_request *request,
                                 tp_generation **ret_generation, tapeout_error *err)
{
    const tapeout_allocator *alloc = scheduler->env.alloc;
    TP_TRY(request_check(scheduler, request, err));
    if (tp_step_pages_for(longest(scheduler, request)) > scheduler->page_count) {
        return tp_fail(err, TAPEOUT_E_LIMIT,
                       "a prompt of %u tokens and an answer of %u do not fit the cache of %u",
                       request->prompt_count, longest(scheduler, request) - request->prompt_count,
                       scheduler->page_count * TP_KV_PAGE_POSITIONS);
    }
    tp_generation *generation = tp_alloc_zero(alloc, sizeof(*generation));
    if (generation == NULL) {
        return tp_fail_nomem(err);
    }
    generation->alloc = alloc;
    atomic_init(&generation->ref_count, 2);
    tp_arena_init(&generation->arena, alloc, TP_MAX_LLM_REQUEST_BYTES);
    tapeout_status status = request_copy(generation, request, err);
    const uint32_t choice_count = generation->request.choice_count;
    if (status == TAPEOUT_OK) {
        generation->choices =
            tp_alloc_array_zero(alloc, choice_count, sizeof(*generation->choices));
        status = generation->choices == NULL ? tp_fail_nomem(err) : TAPEOUT_OK;
    }
    for (uint32_t i = 0; status == TAPEOUT_OK && i < choice_count; i++) {
        status = choice_init(scheduler, generation, i, err);
    }
    if (status != TAPEOUT_OK) {
        generation_free(generation);
        return status;
    }
    generation->open_count = choice_count;
    generation->submit_ns = tp_clock_monotonic_ns();
    *ret_generation = generation;
    return TAPEOUT_OK;
}

// -- planning ------------------------------------------------------------------------------------
static void update_sequence(generation_choice *choice)
{
    choice->sequence.ids = choice->ids.data;
    choice->sequence.count = (uint32_t)choice->ids.count;
}

static void plan_choice(tp_scheduler *scheduler, generation_choice *choice)
{
    tapeout_error error = {0};
    update_sequence(choice);
    if (tp_step_plan_add(&scheduler->plan, &choice->sequence, &error) == TAPEOUT_OK) {
        choice->is_planned = true;
    } else {
        tp_generation_end(scheduler, choice, TP_FINISH_FAILED, &error);
    }
}

void tp_generation_plan(tp_scheduler *scheduler, tp_generation *generation)
{
    generation_choice *first = &generation->choices[0];
    if (!first->is_planned && !first->is_ended) {
        plan_choice(scheduler, first);
    }
    const bool has_read = first->is_ended || first->generated_count > 0;
    for (uint32_t i = 1; has_read && i < generation->request.choice_count; i++) {
        generation_choice *choice = &generation->choices[i];
        if (!choice->is_planned && !choice->is_ended) {
            plan_choice(scheduler, choice);
        }
    }
}

// -- telling -------------------------------------------------------------------------------------
static void tell(const generation_choice *choice, tp_generation_event *event)
{
    const tp_generation_request *request = &choice->generation->request;
    event->choice = choice->number;
    request->on_event(request->user, event);
}

void tp_generation_end(tp_scheduler *scheduler, generation_choice *choice, tp_finish finish,
                       const tapeout_error *error)
{
    const tp_generation *generation = choice->generation;
    const uint64_t now = tp_clock_monotonic_ns();
    const uint64_t begin = choice->begin_ns == 0 ? now : choice->begin_ns;
    const uint64_t first = choice->first_ns == 0 ? now : choice->first_ns;
    tp_generation_event event = {.finish = finish,
                                 .stop_index = -1,
                                 .error = error,
                                 .prompt_count = generation->request.prompt_count,
                                 .cached_count = choice->cached_count,
                                 .generated_count = choice->generated_count,
                                 .queue_ns = begin - generation->submit_ns,
                                 .prefill_ns = first - begin,
                                 .decode_ns = now - first};
    if (choice->is_planned) {
        tp_step_plan_remove(&scheduler->plan, &choice->sequence);
        choice->is_planned = false;
    }
    choice->is_ended = true;
    choice->generation->open_count--;
    // Without memory for the last characters the answer ends without them, and says so.
    tapeout_error held_error = {0};
    if (tp_answer_text_finish(&choice->text, &event.text, &held_error) != TAPEOUT_OK) {
        event.finish = TP_FINISH_FAILED;
        event.error = &held_error;
        event.text = (tp_str){NULL, 0};
    }
    choice->finish = event.finish;
    tell(choice, &event);
}

// The log-probability of `id` after the given logits, and the likeliest beside it.
static void fill_logprobs(const tp_scheduler *scheduler, const tp_generation_request *request,
                          const float *logits, tp_generation_event *event)
{
    const double sum = tp_log_sum_exp(logits, scheduler->vocab_count);
    event->logprob = (double)logits[event->id] - sum;
    event->top = scheduler->top;
    event->top_count = request->top_logprobs;
    tp_top_logprobs(logits, scheduler->vocab_count, sum, event->top_count, scheduler->top);
}

// Rows of the step that stand before a token of the prompt.
static void tell_prompt(tp_scheduler *scheduler, generation_choice *choice)
{
    const tp_generation_request *request = &choice->generation->request;
    const step_sequence *sequence = &choice->sequence;
    const uint32_t row_begin = sequence->computed - sequence->logits_count;
    for (uint32_t i = 0; i < sequence->logits_count; i++) {
        const uint32_t position = row_begin + i + 1; // of the token that the row speaks of
        // A preempted sequence computes again what has been told.
        if (position >= request->prompt_count || position < choice->told_count) {
            continue;
        }
        tp_generation_event event = {.has_token = true,
                                     .is_prompt = true,
                                     .id = request->prompt[position],
                                     .stop_index = -1};
        const float *logits =
            scheduler->logits + (size_t)(sequence->logits_row + i) * scheduler->vocab_count;
        fill_logprobs(scheduler, request, logits, &event);
        choice->told_count = position + 1;
        tell(choice, &event);
    }
}

// -- a grammar that waits for its trigger --------------------------------------------------------
// Keeps what may yet become the trigger.
static void keep_tail(generation_choice *choice, tp_str text)
{
    const size_t most = choice->generation->request.trigger.size - 1;
    const size_t size = text.size < most ? text.size : most;
    memcpy(choice->tail, text.data + (text.size - size), size);
    choice->tail_size = size;
}

// Whether the text goes on with `id`. Where that completes the trigger, the grammar holds from
// there on, so what the token has behind it must follow the grammar already.
static tapeout_status go_on(tp_scheduler *scheduler, generation_choice *choice, uint32_t id,
                            bool *ret_fits, tapeout_error *err)
{
    const tp_generation_request *request = &choice->generation->request;
    const tp_str piece = tp_tokenizer_special_text(scheduler->tokenizer, id);
    char joined[TP_MAX_LLM_TRIGGER_BYTES + TP_MAX_TOKEN_BYTES];
    const size_t size = choice->tail_size + piece.size;
    memcpy(joined, choice->tail, choice->tail_size);
    if (piece.size > 0) {
        memcpy(joined + choice->tail_size, piece.data, piece.size);
    }
    const char *found = memmem(joined, size, request->trigger.data, request->trigger.size);
    *ret_fits = true;
    if (found == NULL) {
        keep_tail(choice, (tp_str){joined, size});
        return TAPEOUT_OK;
    }
    const size_t end = (size_t)(found - joined) + request->trigger.size;
    const tp_vocab_index *index = NULL;
    tp_constraint *constraint = NULL;
    tapeout_error unfit = {0};
    TP_TRY(tp_scheduler_vocab_index(scheduler, &index, err));
    TP_TRY(tp_constraint_new(&scheduler->env, request->grammar, index, &constraint, err));
    const tapeout_status status =
        tp_constraint_accept_bytes(constraint, (tp_str){joined + end, size - end}, &unfit);
    if (status == TAPEOUT_OK) {
        choice->constraint = constraint;
        choice->tail_size = 0;
        return TAPEOUT_OK;
    }
    tp_constraint_free(constraint);
    *ret_fits = false;
    if (status != TAPEOUT_E_INVALID && err != NULL) {
        *err = unfit;
    }
    return status == TAPEOUT_E_INVALID ? TAPEOUT_OK : status;
}

// Tokens that do not fit are taken back until one does.
static tapeout_status pick_waiting(tp_scheduler *scheduler, generation_choice *choice,
                                   tp_sample_input *input, uint32_t *ret_id, tapeout_error *err)
{
    const tp_sampling *sampling = &choice->generation->request.sampling;
    bool fits = false;
    TP_TRY(tp_sampler_pick(scheduler->sampler, sampling, input, ret_id, err));
    TP_TRY(go_on(scheduler, choice, *ret_id, &fits, err));
    if (!fits) {
        memset(scheduler->allowed, 0xff, (scheduler->vocab_count + 31u) / 32 * sizeof(uint32_t));
        input->allowed = scheduler->allowed;
    }
    while (!fits) {
        scheduler->allowed[*ret_id / 32] &= ~(UINT32_C(1) << (*ret_id % 32));
        TP_TRY(tp_sampler_pick(scheduler->sampler, sampling, input, ret_id, err));
        TP_TRY(go_on(scheduler, choice, *ret_id, &fits, err));
    }
    return TAPEOUT_OK;
}

static tapeout_status pick(tp_scheduler *scheduler, generation_choice *choice, const float *logits,
                           uint32_t *ret_id, tapeout_error *err)
{
    tp_sample_input input = {.logits = logits,
                             .history = choice->ids.data,
                             .history_count = (uint32_t)choice->ids.count,
                             .generated_count = choice->generated_count,
                             .stream = choice->number};
    if (choice->constraint != NULL) {
        TP_TRY(tp_constraint_mask(choice->constraint, &input.allowed, err));
    } else if (choice->generation->request.trigger.size > 0) {
        return pick_waiting(scheduler, choice, &input, ret_id, err);
    }
    return tp_sampler_pick(scheduler->sampler, &choice->generation->request.sampling, &input,
                           ret_id, err);
}

// Whether nothing can follow; behind a grammar that was triggered the text is free again.
static bool is_done_with_grammar(generation_choice *choice)
{
    const tp_generation_request *request = &choice->generation->request;
    if (choice->constraint == NULL || !tp_constraint_is_finished(choice->constraint)) {
        return false;
    }
    if (request->trigger.size == 0 || request->triggers_once) {
        return true;
    }
    tp_constraint_free(choice->constraint);
    choice->constraint = NULL;
    return false;
}

// Notes and tells the token; whether that was the end, and why.
static tapeout_status take_token(tp_scheduler *scheduler, generation_choice *choice,
                                 const float *logits, tp_finish *ret_finish, tapeout_error *err)
{
    const tp_generation_request *request = &choice->generation->request;
    tp_generation_event event = {.has_token = true, .stop_index = -1};
    const bool was_held = choice->constraint != NULL;
    TP_TRY(pick(scheduler, choice, logits, &event.id, err));
    const bool is_end =
        !request->ignores_eog && tp_tokenizer_is_eog(scheduler->tokenizer, event.id);
    TP_TRY(tp_ids_append(&choice->ids, event.id, err));
    choice->generated_count++;
    if (!is_end) {
        if (was_held) {
            TP_TRY(tp_constraint_accept(choice->constraint, event.id, err));
        }
        TP_TRY(tp_answer_text_push(&choice->text, event.id, &event.text, &event.stop_index, err));
    }
    if (request->wants_logprobs) {
        fill_logprobs(scheduler, request, logits, &event);
    }
    if (choice->first_ns == 0) {
        choice->first_ns = tp_clock_monotonic_ns();
    }
    const bool is_full = choice->ids.count >= longest(scheduler, request);
    if (is_end || event.stop_index >= 0 || is_done_with_grammar(choice)) {
        *ret_finish = TP_FINISH_STOP;
    } else {
        *ret_finish = is_full ? TP_FINISH_LENGTH : TP_FINISH_NONE;
    }
    if (event.stop_index >= 0) {
        tp_answer_text_cut(&choice->text); // what stands behind is no part of the answer
    }
    tell(choice, &event);
    return TAPEOUT_OK;
}

void tp_generation_step(tp_scheduler *scheduler, generation_choice *choice)
{
    const step_sequence *sequence = &choice->sequence;
    if (sequence->logits_count == 0) {
        return;
    }
    if (sequence->wants_all) {
        tell_prompt(scheduler, choice);
    }
    if (sequence->computed < sequence->count) {
        return; // the prompt goes on
    }
    tapeout_error error = {0};
    tp_finish finish = TP_FINISH_NONE;
    const uint32_t row = sequence->logits_row + sequence->logits_count - 1;
    const float *logits = scheduler->logits + (size_t)row * scheduler->vocab_count;
    if (take_token(scheduler, choice, logits, &finish, &error) != TAPEOUT_OK) {
        finish = TP_FINISH_FAILED;
    }
    update_sequence(choice);
    if (finish != TP_FINISH_NONE) {
        tp_generation_end(scheduler, choice, finish, &error);
    }
}
