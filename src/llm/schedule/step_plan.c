// SPDX-License-Identifier: Apache-2.0
//
// The plan of a step: let in, make room, collect tokens.
#include "llm/schedule/step_plan.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"

#include <string.h>

enum { MIN_KEYS = 16 };

uint32_t tp_step_pages_for(uint32_t count)
{
    return count / TP_KV_PAGE_POSITIONS + (count % TP_KV_PAGE_POSITIONS != 0);
}

tapeout_status tp_step_plan_init(step_plan *plan, const tapeout_allocator *alloc, kv_pages *pages,
                                 const step_limits *limits, tapeout_error *err)
{
    memset(plan, 0, sizeof(*plan));
    plan->alloc = alloc;
    plan->pages = pages;
    plan->limits = *limits;
    plan->tokens = tp_alloc_array(alloc, limits->step_tokens, sizeof(*plan->tokens));
    plan->page_tables = tp_alloc_array(alloc, limits->running, sizeof(*plan->page_tables));
    plan->members = tp_alloc_array(alloc, limits->running, sizeof(*plan->members));
    if (plan->tokens == NULL || plan->page_tables == NULL || plan->members == NULL) {
        tp_step_plan_deinit(plan);
        return tp_fail_nomem(err);
    }
    return TAPEOUT_OK;
}

void tp_step_plan_deinit(step_plan *plan)
{
    tp_free_array(plan->alloc, plan->tokens, plan->limits.step_tokens, sizeof(*plan->tokens));
    tp_free_array(plan->alloc, plan->page_tables, plan->limits.running, sizeof(*plan->page_tables));
    tp_free_array(plan->alloc, plan->members, plan->limits.running, sizeof(*plan->members));
    tp_free_array(plan->alloc, plan->keys, plan->key_capacity, sizeof(*plan->keys));
    memset(plan, 0, sizeof(*plan));
}

// -- lists ---------------------------------------------------------------------------------------
static void list_insert_before(step_list *list, step_sequence *sequence, step_sequence *next)
{
    sequence->next = next;
    sequence->previous = next == NULL ? list->last : next->previous;
    *(sequence->previous == NULL ? &list->first : &sequence->previous->next) = sequence;
    *(next == NULL ? &list->last : &next->previous) = sequence;
    list->count++;
}

static void list_remove(step_list *list, step_sequence *sequence)
{
    *(sequence->previous == NULL ? &list->first : &sequence->previous->next) = sequence->next;
    *(sequence->next == NULL ? &list->last : &sequence->next->previous) = sequence->previous;
    list->count--;
}

// -- keys ----------------------------------------------------------------------------------------
static step_key *key_find(const step_plan *plan, uint64_t key)
{
    for (uint32_t i = 0; i < plan->key_count; i++) {
        if (plan->keys[i].key == key) {
            return &plan->keys[i];
        }
    }
    return NULL;
}

// A key that is new begins where the least served one stands: absence saves nothing up.
static tapeout_status key_add(step_plan *plan, uint64_t key, tapeout_error *err)
{
    step_key *found = key_find(plan, key);
    if (found != NULL) {
        found->sequence_count++;
        return TAPEOUT_OK;
    }
    if (plan->key_count == plan->key_capacity) {
        const uint32_t capacity = plan->key_capacity == 0 ? MIN_KEYS : plan->key_capacity * 2;
        step_key *keys = tp_resize_array(plan->alloc, plan->keys, plan->key_capacity, capacity,
                                         sizeof(*plan->keys));
        if (keys == NULL) {
            return tp_fail_nomem(err);
        }
        plan->keys = keys;
        plan->key_capacity = capacity;
    }
    uint64_t least = plan->key_count == 0 ? 0 : UINT64_MAX;
    for (uint32_t i = 0; i < plan->key_count; i++) {
        least = plan->keys[i].token_count < least ? plan->keys[i].token_count : least;
    }
    plan->keys[plan->key_count++] =
        (step_key){.key = key, .token_count = least, .sequence_count = 1};
    return TAPEOUT_OK;
}

static void key_remove(step_plan *plan, uint64_t key)
{
    step_key *found = key_find(plan, key);
    if (--found->sequence_count == 0) {
        *found = plan->keys[--plan->key_count];
    }
}

// -- sequences -----------------------------------------------------------------------------------
tapeout_status tp_step_plan_add(step_plan *plan, step_sequence *sequence, tapeout_error *err)
{
    TP_TRY(key_add(plan, sequence->key, err));
    sequence->page_count = sequence->computed = sequence->cached_count = sequence->step_count = 0;
    sequence->logits_row = sequence->logits_count = 0;
    sequence->is_running = false;
    sequence->order = plan->next_order++;
    list_insert_before(&plan->waiting, sequence, NULL);
    return TAPEOUT_OK;
}

// From the end, so that of an abandoned prompt the beginning stays in the cache for longest.
static void stop_running(step_plan *plan, step_sequence *sequence)
{
    while (sequence->page_count > 0) {
        tp_kv_pages_release(plan->pages, sequence->pages[--sequence->page_count]);
    }
    sequence->computed = 0;
    sequence->step_count = 0;
    sequence->is_running = false;
    list_remove(&plan->running, sequence);
    key_find(plan, sequence->key)->running_count--;
}

void tp_step_plan_remove(step_plan *plan, step_sequence *sequence)
{
    if (sequence->is_running) {
        stop_running(plan, sequence);
    } else {
        list_remove(&plan->waiting, sequence);
    }
    key_remove(plan, sequence->key);
}

static void preempt(step_plan *plan, step_sequence *sequence)
{
    stop_running(plan, sequence);
    plan->preempted_count++;
    step_sequence *next = plan->waiting.first;
    while (next != NULL && next->order < sequence->order) {
        next = next->next;
    }
    list_insert_before(&plan->waiting, sequence, next);
}

// -- letting in ----------------------------------------------------------------------------------
// No key takes the last quarter of the places while it has the others.
static bool may_run(const step_plan *plan, const step_key *key)
{
    const uint32_t most = plan->limits.running - plan->limits.running / 4;
    return key->running_count < most;
}

static step_sequence *next_waiting(const step_plan *plan)
{
    step_sequence *best = NULL;
    uint64_t best_tokens = 0;
    for (step_sequence *at = plan->waiting.first; at != NULL; at = at->next) {
        const step_key *key = key_find(plan, at->key);
        if (may_run(plan, key) && (best == NULL || key->token_count < best_tokens)) {
            best = at;
            best_tokens = key->token_count;
        }
    }
    return best;
}

static kv_prefix prefix_of(const step_sequence *sequence, uint32_t page_index)
{
    return (kv_prefix){sequence->tenant,
                       page_index == 0 ? KV_NO_PAGE : sequence->pages[page_index - 1]};
}

// Takes the pages that the cache has of the beginning. The last token is always computed, for its
// logits.
static void take_cached(step_plan *plan, step_sequence *sequence)
{
    while (!sequence->wants_all &&
           (sequence->page_count + 1) * TP_KV_PAGE_POSITIONS < sequence->count) {
        const uint32_t at = sequence->page_count;
        const uint32_t page = tp_kv_pages_find(plan->pages, prefix_of(sequence, at),
                                               sequence->ids + (size_t)at * TP_KV_PAGE_POSITIONS);
        if (page == KV_NO_PAGE) {
            break;
        }
        sequence->pages[sequence->page_count++] = page;
    }
    sequence->computed = sequence->cached_count = sequence->page_count * TP_KV_PAGE_POSITIONS;
}

// Room for all of the prompt and a page more for each that is running: enough to begin with.
static bool let_in(step_plan *plan, step_sequence *sequence)
{
    list_remove(&plan->waiting, sequence);
    list_insert_before(&plan->running, sequence, NULL);
    sequence->is_running = true;
    key_find(plan, sequence->key)->running_count++;
    take_cached(plan, sequence);
    const uint32_t wanted = tp_step_pages_for(sequence->count) - sequence->page_count;
    const bool is_alone = plan->running.count == 1;
    const uint32_t spare = is_alone ? 0 : plan->running.count;
    if ((uint64_t)wanted + spare <= tp_kv_pages_available(plan->pages)) {
        return true;
    }
    preempt(plan, sequence);
    plan->preempted_count--; // it had not begun
    return false;
}

// -- the step ------------------------------------------------------------------------------------
// The page for the next position of `sequence`; others that came later give theirs for it. False
// when the sequence itself had to give way.
static bool ensure_page(step_plan *plan, step_sequence *sequence, uint32_t page_count)
{
    while (sequence->page_count < page_count) {
        const uint32_t page = tp_kv_pages_take(plan->pages);
        if (page != KV_NO_PAGE) {
            sequence->pages[sequence->page_count++] = page;
            continue;
        }
        step_sequence *last = plan->running.last;
        preempt(plan, last);
        if (last == sequence) {
            return false;
        }
    }
    return true;
}

// What a step may still take on.
typedef struct step_budget {
    uint32_t prefill_tokens;
    uint32_t all_rows;
} step_budget;

// How many tokens of `sequence` come into the step. One that generates has one token left to
// compute, one that reads its prompt usually more.
static uint32_t share_of(const step_sequence *sequence, step_budget *budget)
{
    const uint32_t left = sequence->count - sequence->computed;
    uint32_t count = left;
    if (sequence->wants_all) {
        count = count < budget->all_rows ? count : budget->all_rows;
    }
    if (left > 1) {
        count = count < budget->prefill_tokens ? count : budget->prefill_tokens;
        budget->prefill_tokens -= count;
    }
    if (sequence->wants_all) {
        budget->all_rows -= count;
    }
    return count;
}

static step_budget budget_of(const step_plan *plan)
{
    uint32_t generating = 0;
    for (const step_sequence *at = plan->running.first; at != NULL; at = at->next) {
        generating += at->count - at->computed == 1;
    }
    uint32_t prefill_tokens = plan->limits.step_tokens - generating;
    if (generating > 0 && prefill_tokens > plan->limits.prefill_tokens) {
        prefill_tokens = plan->limits.prefill_tokens;
    }
    return (step_budget){prefill_tokens, plan->limits.all_rows};
}

// Makes room for every token that will be collected, oldest first; what is preempted on the way is
// behind in the list and so not visited any more.
static void make_room(step_plan *plan, step_budget budget)
{
    for (step_sequence *at = plan->running.first; at != NULL; at = at->next) {
        const uint32_t count = share_of(at, &budget);
        if (count > 0 && !ensure_page(plan, at, tp_step_pages_for(at->computed + count))) {
            return;
        }
    }
}

static void collect(step_plan *plan, step_sequence *sequence, uint32_t count)
{
    tp_llm_step *step = &plan->step;
    const uint32_t end = sequence->computed + count;
    sequence->logits_row = plan->logits_count;
    for (uint32_t position = sequence->computed; position < end; position++) {
        const bool wants_logits = sequence->wants_all || position + 1 == sequence->count;
        plan->tokens[step->token_count++] = (tp_llm_token){.id = sequence->ids[position],
                                                           .position = position,
                                                           .sequence = step->sequence_count,
                                                           .wants_logits = wants_logits};
        plan->logits_count += wants_logits;
    }
    sequence->logits_count = plan->logits_count - sequence->logits_row;
    sequence->step_count = count;
    plan->members[step->sequence_count] = sequence;
    plan->page_tables[step->sequence_count++].pages = sequence->pages;
    key_find(plan, sequence->key)->token_count += count;
}

bool tp_step_plan_next(step_plan *plan)
{
    while (plan->running.count < plan->limits.running) {
        step_sequence *sequence = next_waiting(plan);
        if (sequence == NULL || !let_in(plan, sequence)) {
            break;
        }
    }
    step_budget budget = budget_of(plan);
    make_room(plan, budget);
    plan->step = (tp_llm_step){.tokens = plan->tokens, .sequences = plan->page_tables};
    plan->logits_count = 0;
    for (step_sequence *at = plan->running.first; at != NULL; at = at->next) {
        const uint32_t count = share_of(at, &budget);
        if (count > 0) {
            collect(plan, at, count);
        }
    }
    return plan->step.token_count > 0;
}

static void publish(step_plan *plan, step_sequence *sequence, uint32_t computed_before)
{
    const uint32_t end = sequence->computed / TP_KV_PAGE_POSITIONS;
    for (uint32_t i = computed_before / TP_KV_PAGE_POSITIONS; i < end; i++) {
        sequence->pages[i] =
            tp_kv_pages_publish(plan->pages, prefix_of(sequence, i), sequence->pages[i],
                                sequence->ids + (size_t)i * TP_KV_PAGE_POSITIONS);
    }
}

void tp_step_plan_done(step_plan *plan)
{
    for (uint32_t i = 0; i < plan->step.sequence_count; i++) {
        step_sequence *member = plan->members[i];
        const uint32_t before = member->computed;
        member->computed += member->step_count;
        publish(plan, member, before);
    }
}
