// SPDX-License-Identifier: Apache-2.0
//
// Pages and plans, without a model: a made-up forward pass writes into each page what a real one
// would (which ids stand at and before it), and every step checks that the pages that a sequence
// reads hold its own history, whoever wrote them. So sharing, eviction and preemption are shown to
// change nothing.
#include "llm/schedule/step_plan.h"

#include "base/tp_alloc.h"
#include "base/tp_random.h"

#include "test.h"

#include <string.h>

enum { PAGE = TP_KV_PAGE_POSITIONS, MAX_IDS = 400, MAX_PAGES = 64 };

// The history of ids up to a position, as a number.
static uint64_t history_of(uint64_t before, uint32_t id)
{
    return (before ^ id) * 0x9e3779b97f4a7c15u + 1;
}

typedef struct fixture {
    kv_pages *pages;
    step_plan plan;
    uint64_t content[MAX_PAGES][PAGE]; // history at each position
} fixture;

static void start(fixture *self, uint32_t page_count, step_limits limits)
{
    memset(self, 0, sizeof(*self));
    ASSERT_OK(tp_kv_pages_new(tp_allocator_default(), page_count, &self->pages, &test_err));
    ASSERT_OK(
        tp_step_plan_init(&self->plan, tp_allocator_default(), self->pages, &limits, &test_err));
}

static void stop(fixture *self)
{
    ASSERT_EQ_UINT(self->plan.waiting.count + self->plan.running.count, 0);
    ASSERT_EQ_UINT(tp_kv_pages_used(self->pages), 0);
    tp_step_plan_deinit(&self->plan);
    tp_kv_pages_free(self->pages);
}

static void check_past(const fixture *self, const step_sequence *sequence)
{
    uint64_t history = sequence->tenant;
    for (uint32_t i = 0; i < sequence->computed; i++) {
        history = history_of(history, sequence->ids[i]);
        ASSERT_EQ_UINT(self->content[sequence->pages[i / PAGE]][i % PAGE], history);
    }
}

// "Computes" the step: each token's place gets its history.
static void forward(fixture *self)
{
    const tp_llm_step *step = &self->plan.step;
    uint32_t logits = 0;
    ASSERT(step->token_count <= self->plan.limits.step_tokens);
    ASSERT(step->sequence_count <= self->plan.limits.running);
    for (uint32_t i = 0; i < step->sequence_count; i++) {
        check_past(self, self->plan.members[i]);
    }
    for (uint32_t t = 0; t < step->token_count; t++) {
        const tp_llm_token token = step->tokens[t];
        const step_sequence *member = self->plan.members[token.sequence];
        uint64_t history = member->tenant;
        for (uint32_t i = 0; i <= token.position; i++) {
            history = history_of(history, member->ids[i]);
        }
        ASSERT_EQ_UINT(member->ids[token.position], token.id);
        const uint32_t page = step->sequences[token.sequence].pages[token.position / PAGE];
        self->content[page][token.position % PAGE] = history;
        logits += token.wants_logits;
    }
    ASSERT_EQ_UINT(self->plan.logits_count, logits);
    tp_step_plan_done(&self->plan);
}

typedef struct request {
    step_sequence sequence;
    uint32_t ids[MAX_IDS];
    uint32_t pages[MAX_IDS / PAGE + 1];
    uint32_t final_count; // ends when it has so many
} request;

static void request_add(fixture *self, request *made, uint32_t prompt_count, uint32_t final_count)
{
    made->sequence.ids = made->ids;
    made->sequence.count = prompt_count;
    made->sequence.pages = made->pages;
    made->final_count = final_count;
    ASSERT_OK(tp_step_plan_add(&self->plan, &made->sequence, &test_err));
}

static void ids_fill(request *made, uint64_t seed, uint32_t begin, uint32_t end)
{
    for (uint32_t i = begin; i < end; i++) {
        made->ids[i] = (uint32_t)tp_random_below(seed, 0, i, 1000);
    }
}

// Appends a token to whoever has logits for it; removes who is done. Returns how many are left.
static uint32_t advance(fixture *self)
{
    for (uint32_t i = 0; i < self->plan.step.sequence_count; i++) {
        request *made = (request *)self->plan.members[i];
        step_sequence *sequence = &made->sequence;
        if (sequence->logits_count == 0 || sequence->computed < sequence->count) {
            continue;
        }
        if (sequence->count == made->final_count) {
            tp_step_plan_remove(&self->plan, sequence);
            continue;
        }
        made->ids[sequence->count] = (uint32_t)sequence->computed % 7; // depends on itself alone
        sequence->count++;
    }
    return self->plan.running.count + self->plan.waiting.count;
}

static uint32_t run_all(fixture *self)
{
    uint32_t steps = 0;
    while (tp_step_plan_next(&self->plan)) {
        forward(self);
        (void)advance(self);
        ASSERT(++steps < 100000);
    }
    ASSERT_EQ_UINT(self->plan.running.count + self->plan.waiting.count, 0);
    return steps;
}

static const step_limits usual = {
    .step_tokens = 64, .prefill_tokens = 24, .running = 4, .all_rows = 5};

static void test_chunks_of_a_prompt(void)
{
    static fixture self;
    static request one;
    start(&self, 20, usual);
    ids_fill(&one, 1, 0, 150);
    request_add(&self, &one, 150, 160);
    ASSERT(tp_step_plan_next(&self.plan));
    ASSERT_EQ_UINT(self.plan.step.token_count, 64); // alone: the whole step
    ASSERT_EQ_UINT(self.plan.logits_count, 0);
    forward(&self);
    (void)advance(&self);
    // 64, 64, 22 and one for each of 10 tokens.
    ASSERT_EQ_UINT(run_all(&self), 2 + 10);
    stop(&self);
}

static void test_generating_goes_first(void)
{
    static fixture self;
    static request one;
    static request two;
    start(&self, 20, usual);
    ids_fill(&one, 1, 0, 10);
    ids_fill(&two, 2, 0, 100);
    request_add(&self, &one, 10, 50);
    ASSERT(tp_step_plan_next(&self.plan));
    forward(&self);
    (void)advance(&self);
    request_add(&self, &two, 100, 110);
    ASSERT(tp_step_plan_next(&self.plan));
    ASSERT_EQ_UINT(self.plan.step.token_count, 1 + 24); // the prompt takes no more than its piece
    forward(&self);
    (void)advance(&self);
    (void)run_all(&self);
    stop(&self);
}

static void test_prefix_is_shared(void)
{
    static fixture self;
    static request first;
    static request second;
    static request other;
    start(&self, 30, usual);
    ids_fill(&first, 1, 0, 200);
    ids_fill(&second, 1, 0, 200);
    ids_fill(&other, 1, 0, 200);
    second.ids[100] = 999999; // the fourth page differs
    request_add(&self, &first, 128, 140);
    (void)run_all(&self);
    ASSERT_EQ_UINT(first.sequence.cached_count, 0);
    request_add(&self, &second, 128, 129);
    (void)run_all(&self);
    ASSERT_EQ_UINT(second.sequence.cached_count, 3 * PAGE);
    // All of the prompt is known; its last page is computed again, for the logits.
    request_add(&self, &second, 128, 129);
    (void)run_all(&self);
    ASSERT_EQ_UINT(second.sequence.cached_count, 3 * PAGE);
    second.sequence.count = 129;
    request_add(&self, &second, 129, 130);
    (void)run_all(&self);
    ASSERT_EQ_UINT(second.sequence.cached_count, 4 * PAGE);
    other.sequence.tenant = 7; // sees nothing of it
    request_add(&self, &other, 128, 129);
    (void)run_all(&self);
    ASSERT_EQ_UINT(other.sequence.cached_count, 0);
    stop(&self);
}

// Two that compute the same prompt at the same time end up with one copy.
static void test_twins_meet(void)
{
    static fixture self;
    static request one;
    static request two;
    start(&self, 30, usual);
    ids_fill(&one, 3, 0, 100);
    ids_fill(&two, 3, 0, 100);
    request_add(&self, &one, 96, 99);
    request_add(&self, &two, 96, 99);
    while (one.sequence.computed < 96 || two.sequence.computed < 96) {
        ASSERT(tp_step_plan_next(&self.plan));
        forward(&self);
    }
    for (uint32_t i = 0; i < 3; i++) {
        ASSERT_EQ_UINT(one.pages[i], two.pages[i]);
    }
    ASSERT_EQ_UINT(tp_kv_pages_used(self.pages), 3);
    tp_step_plan_remove(&self.plan, &one.sequence);
    tp_step_plan_remove(&self.plan, &two.sequence);
    stop(&self);
}

static void test_full_cache_preempts(void)
{
    static fixture self;
    static request requests[4];
    start(&self, 10, usual); // 320 positions for four of up to 150
    for (uint32_t i = 0; i < 4; i++) {
        ids_fill(&requests[i], 10 + i, 0, 30);
        requests[i].sequence.key = i;
        request_add(&self, &requests[i], 30, 150);
    }
    (void)run_all(&self);
    ASSERT(self.plan.preempted_count > 0);
    // What came out is what comes out alone.
    static uint32_t together[4][MAX_IDS];
    for (uint32_t i = 0; i < 4; i++) {
        memcpy(together[i], requests[i].ids, sizeof(together[i]));
        request_add(&self, &requests[i], 30, 150);
        (void)run_all(&self);
        ASSERT_EQ_BYTES(requests[i].ids, sizeof(together[i]), together[i], sizeof(together[i]));
    }
    stop(&self);
}

static void test_keys_are_served_alike(void)
{
    static fixture self;
    static request crowd[12];
    static request lone;
    start(&self, 60, usual);
    for (uint32_t i = 0; i < 12; i++) {
        ids_fill(&crowd[i], 20 + i, 0, 40);
        crowd[i].sequence.key = 1;
        request_add(&self, &crowd[i], 40, 80);
    }
    ASSERT(tp_step_plan_next(&self.plan));
    ASSERT_EQ_UINT(self.plan.running.count, 3); // the last quarter stays free for others
    forward(&self);
    (void)advance(&self);
    ids_fill(&lone, 99, 0, 20);
    lone.sequence.key = 2;
    request_add(&self, &lone, 20, 40);
    ASSERT(tp_step_plan_next(&self.plan));
    ASSERT(lone.sequence.is_running);
    forward(&self);
    (void)advance(&self);
    (void)run_all(&self);
    stop(&self);
}

static void test_logits_at_every_position(void)
{
    static fixture self;
    static request one;
    static request two;
    uint32_t seen = 0;
    start(&self, 20, usual);
    ids_fill(&one, 5, 0, 100);
    ids_fill(&two, 5, 0, 100);
    request_add(&self, &two, 100, 101);
    (void)run_all(&self);
    one.sequence.wants_all = true;
    request_add(&self, &one, 100, 101);
    while (seen < 100) {
        ASSERT(tp_step_plan_next(&self.plan));
        ASSERT(one.sequence.logits_count <= 5);
        ASSERT_EQ_UINT(one.sequence.computed, seen); // nothing from the cache
        seen += one.sequence.logits_count;
        forward(&self);
    }
    ASSERT_EQ_UINT(seen, 100);
    tp_step_plan_remove(&self.plan, &one.sequence);
    stop(&self);
}

// Random arrivals, lengths, tenants and departures over a cache that is far too small.
static void test_anything(void)
{
    static fixture self;
    static request requests[40];
    for (uint64_t seed = 0; seed < 30; seed++) {
        memset(requests, 0, sizeof(requests));
        start(&self, 12,
              (step_limits){.step_tokens = 40, .prefill_tokens = 9, .running = 6, .all_rows = 3});
        uint32_t added = 0;
        for (uint32_t turn = 0; turn < 4000; turn++) {
            if (added < 40 && tp_random_below(seed, 1, turn, 4) == 0) {
                request *made = &requests[added++];
                const uint32_t shared = (uint32_t)tp_random_below(seed, 2, turn, 90);
                const uint32_t prompt = shared + 1 + (uint32_t)tp_random_below(seed, 3, turn, 60);
                ids_fill(made, 1, 0, shared);
                ids_fill(made, seed * 100 + added, shared, prompt);
                made->sequence.tenant = tp_random_below(seed, 4, turn, 2);
                made->sequence.key = tp_random_below(seed, 5, turn, 3);
                made->sequence.wants_all = tp_random_below(seed, 6, turn, 6) == 0;
                request_add(&self, made, prompt,
                            prompt + (uint32_t)tp_random_below(seed, 7, turn, 200));
            }
            if (!tp_step_plan_next(&self.plan)) {
                continue;
            }
            forward(&self);
            (void)advance(&self);
            step_sequence *some = self.plan.running.last;
            if (some != NULL && tp_random_below(seed, 8, turn, 50) == 0) {
                tp_step_plan_remove(&self.plan, some); // somebody has left
            }
        }
        (void)run_all(&self);
        stop(&self);
    }
}

static void test_oldest_page_goes_first(void)
{
    kv_pages *pages = NULL;
    uint32_t ids[4][PAGE];
    uint32_t taken[4];
    ASSERT_OK(tp_kv_pages_new(tp_allocator_default(), 4, &pages, &test_err));
    for (uint32_t i = 0; i < 4; i++) {
        for (uint32_t j = 0; j < PAGE; j++) {
            ids[i][j] = i;
        }
        const kv_prefix prefix = {0, i == 3 ? taken[2] : KV_NO_PAGE};
        taken[i] = tp_kv_pages_publish(pages, prefix, tp_kv_pages_take(pages), ids[i]);
    }
    ASSERT_EQ_UINT(tp_kv_pages_take(pages), KV_NO_PAGE);
    tp_kv_pages_release(pages, taken[2]); // has a page behind it, which is in use
    ASSERT_EQ_UINT(tp_kv_pages_available(pages), 1);
    tp_kv_pages_release(pages, taken[3]);
    tp_kv_pages_release(pages, taken[1]);
    tp_kv_pages_release(pages, taken[0]);
    ASSERT_EQ_UINT(tp_kv_pages_take(pages), taken[3]);
    ASSERT_EQ_UINT(tp_kv_pages_take(pages), taken[2]); // goes with what was behind it
    ASSERT_EQ_UINT(tp_kv_pages_find(pages, (kv_prefix){0, KV_NO_PAGE}, ids[1]), taken[1]);
    ASSERT_EQ_UINT(tp_kv_pages_take(pages), taken[0]);
    ASSERT_EQ_UINT(tp_kv_pages_take(pages), KV_NO_PAGE);
    ASSERT_EQ_UINT(tp_kv_pages_find(pages, (kv_prefix){0, KV_NO_PAGE}, ids[0]), KV_NO_PAGE);
    tp_kv_pages_free(pages);
}

static tapeout_status make_plan(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    (void)user;
    kv_pages *pages = NULL;
    step_plan plan = {0};
    static request one;
    tapeout_status status = tp_kv_pages_new(alloc, 8, &pages, err);
    if (status == TAPEOUT_OK) {
        status = tp_step_plan_init(&plan, alloc, pages, &usual, err);
    }
    if (status == TAPEOUT_OK) {
        one.sequence.pages = one.pages;
        status = tp_step_plan_add(&plan, &one.sequence, err);
        if (status == TAPEOUT_OK) {
            tp_step_plan_remove(&plan, &one.sequence);
        }
        tp_step_plan_deinit(&plan);
    }
    tp_kv_pages_free(pages);
    return status;
}

static void test_memory(void)
{
    test_out_of_memory(make_plan, NULL);
}

TEST_MAIN(TEST(test_chunks_of_a_prompt), TEST(test_generating_goes_first),
          TEST(test_prefix_is_shared), TEST(test_twins_meet), TEST(test_full_cache_preempts),
          TEST(test_keys_are_served_alike), TEST(test_logits_at_every_position),
          TEST(test_anything), TEST(test_oldest_page_goes_first), TEST(test_memory))
