// SPDX-License-Identifier: Apache-2.0
//
// Sampling: each filter keeps the set that its definition names, draws follow the probabilities,
// and a draw depends on seed, stream and position alone.
#include "llm/schedule/tp_sampler.h"

#include "base/tp_alloc.h"

#include "test.h"

#include <math.h>
#include <string.h>

enum { V = 8, DRAWS = 4000 };

// Probabilities 1/2, 1/4, ... of ids 3, 0, 5, 1, 7, 2, 6, 4.
static const uint32_t order[V] = {3, 0, 5, 1, 7, 2, 6, 4};

static void halving_logits(float *ret_logits)
{
    for (uint32_t rank = 0; rank < V; rank++) {
        ret_logits[order[rank]] = -0.69314718F * (float)rank;
    }
}

static tp_sampler *new_sampler(uint32_t vocab_count)
{
    tp_sampler *sampler = NULL;
    ASSERT_OK(tp_sampler_new(tp_allocator_default(), vocab_count, &sampler, &test_err));
    return sampler;
}

// How often each id is drawn over DRAWS seeds.
static void count_draws(tp_sampling sampling, const tp_sample_input *input, uint32_t *ret_counts)
{
    tp_sampler *sampler = new_sampler(V);
    memset(ret_counts, 0, V * sizeof(*ret_counts));
    for (uint64_t seed = 0; seed < DRAWS; seed++) {
        uint32_t id = UINT32_MAX;
        sampling.seed = seed;
        ASSERT_OK(tp_sampler_pick(sampler, &sampling, input, &id, &test_err));
        ASSERT(id < V);
        ret_counts[id]++;
    }
    tp_sampler_free(sampler);
}

// Asserts that exactly the first `kept` in order are drawn, each by its share (5 deviations).
static void assert_draws_first(tp_sampling sampling, uint32_t kept)
{
    float logits[V];
    uint32_t counts[V];
    halving_logits(logits);
    count_draws(sampling, &(tp_sample_input){.logits = logits}, counts);
    double total = 0;
    for (uint32_t rank = 0; rank < kept; rank++) {
        total += ldexp(1, -(int)rank);
    }
    for (uint32_t rank = 0; rank < V; rank++) {
        const double share = rank < kept ? ldexp(1, -(int)rank) / total : 0;
        const double deviation = sqrt(DRAWS * share * (1 - share));
        ASSERT(fabs((double)counts[order[rank]] - DRAWS * share) <= 5 * deviation + 1e-9);
    }
}

static void test_plain(void)
{
    tp_sampling sampling;
    tp_sampling_init(&sampling);
    assert_draws_first(sampling, V);
}

static void test_top_k(void)
{
    tp_sampling sampling;
    tp_sampling_init(&sampling);
    for (uint32_t k = 1; k <= V; k++) {
        sampling.top_k = k;
        assert_draws_first(sampling, k);
    }
    sampling.top_k = 1000;
    assert_draws_first(sampling, V);
}

static void test_top_p(void)
{
    tp_sampling sampling;
    tp_sampling_init(&sampling);
    sampling.top_p = 0.4;
    assert_draws_first(sampling, 1);
    sampling.top_p = 0.7; // a half and a quarter of 255/256
    assert_draws_first(sampling, 2);
    sampling.top_p = 0.8;
    assert_draws_first(sampling, 3);
    sampling.top_p = 0.9999;
    assert_draws_first(sampling, V);
}

static void test_min_p(void)
{
    tp_sampling sampling;
    tp_sampling_init(&sampling);
    sampling.min_p = 0.2;
    assert_draws_first(sampling, 3);
    sampling.min_p = 1;
    assert_draws_first(sampling, 1);
}

static void test_filters_together(void)
{
    tp_sampling sampling;
    tp_sampling_init(&sampling);
    sampling.top_k = 4;   // 8, 4, 2, 1 of 15
    sampling.top_p = 0.9; // 14/15 is enough, 12/15 is not
    assert_draws_first(sampling, 3);
    sampling.min_p = 0.4;
    assert_draws_first(sampling, 2);
}

// The entropy of the halving law is near 2 bits, so rank 2 (2 bits) is the most typical.
static void test_typical(void)
{
    float logits[V];
    uint32_t counts[V];
    tp_sampling sampling;
    tp_sampling_init(&sampling);
    halving_logits(logits);
    sampling.typical_p = 0.05;
    count_draws(sampling, &(tp_sample_input){.logits = logits}, counts);
    ASSERT_EQ_UINT(counts[order[1]], DRAWS);
}

static void test_temperature(void)
{
    float logits[V];
    uint32_t counts[V];
    tp_sampling sampling;
    tp_sampling_init(&sampling);
    halving_logits(logits);
    sampling.temperature = 0.5; // squares the odds: quarters
    count_draws(sampling, &(tp_sample_input){.logits = logits}, counts);
    ASSERT(fabs((double)counts[order[0]] / DRAWS - 0.75) < 0.05);
    sampling.temperature = 0;
    count_draws(sampling, &(tp_sample_input){.logits = logits}, counts);
    ASSERT_EQ_UINT(counts[order[0]], DRAWS);
    // The lowest id among equals.
    memset(logits, 0, sizeof(logits));
    count_draws(sampling, &(tp_sample_input){.logits = logits}, counts);
    ASSERT_EQ_UINT(counts[0], DRAWS);
}

static uint32_t greedy(const tp_sampling *from, const tp_sample_input *input)
{
    uint32_t id = UINT32_MAX;
    tp_sampler *sampler = new_sampler(V);
    tp_sampling sampling = *from;
    sampling.temperature = 0;
    ASSERT_OK(tp_sampler_pick(sampler, &sampling, input, &id, &test_err));
    // Scratch is as it was: the same again.
    uint32_t again = UINT32_MAX;
    ASSERT_OK(tp_sampler_pick(sampler, &sampling, input, &again, &test_err));
    ASSERT_EQ_UINT(again, id);
    tp_sampler_free(sampler);
    return id;
}

static void test_penalties(void)
{
    float logits[V] = {1, 2, 3, 4, 3.5F, 0, 0, 0};
    const uint32_t history[] = {4, 3, 3, 2};
    tp_sample_input input = {
        .logits = logits, .history = history, .history_count = 4, .generated_count = 2};
    tp_sampling sampling;
    tp_sampling_init(&sampling);
    ASSERT_EQ_UINT(greedy(&sampling, &input), 3);
    sampling.presence_penalty = 0.6; // 3 and 2 were generated, 4 was in the prompt
    ASSERT_EQ_UINT(greedy(&sampling, &input), 4);
    input.generated_count = 3;
    sampling.presence_penalty = 0;
    sampling.frequency_penalty = 0.2; // 3 twice: 3.6 is still the most
    ASSERT_EQ_UINT(greedy(&sampling, &input), 3);
    sampling.frequency_penalty = 0.3;
    ASSERT_EQ_UINT(greedy(&sampling, &input), 4);
    sampling.frequency_penalty = 0;
    sampling.repeat_penalty = 1.5; // 4 → 2.67, 3.5 → 2.33, 3 → 2: the window decides
    ASSERT_EQ_UINT(greedy(&sampling, &input), 3);
    sampling.repeat_window = 3; // leaves 4 out
    ASSERT_EQ_UINT(greedy(&sampling, &input), 4);
    // A negative logit is pushed down too.
    float below[V] = {-1, -1.2F, -9, -9, -9, -9, -9, -9};
    const uint32_t said[] = {0};
    input = (tp_sample_input){.logits = below, .history = said, .history_count = 1};
    ASSERT_EQ_UINT(greedy(&sampling, &input), 1);
}

static void test_bias_and_mask(void)
{
    float logits[V];
    halving_logits(logits);
    const tp_logit_bias biases[] = {{3, -100}, {4, 3.5F}};
    tp_sampling sampling;
    tp_sampling_init(&sampling);
    sampling.biases = biases;
    sampling.bias_count = 1;
    tp_sample_input input = {.logits = logits};
    ASSERT_EQ_UINT(greedy(&sampling, &input), 0);
    sampling.bias_count = 2; // -4.85 + 3.5 = -1.35 beats nothing but ranks 2 and up
    ASSERT_EQ_UINT(greedy(&sampling, &input), 0);
    uint32_t allowed[1] = {1u << 4 | 1u << 5};
    input.allowed = allowed;
    ASSERT_EQ_UINT(greedy(&sampling, &input), 4);
    allowed[0] = 1u << 3; // banned, and the only one that is allowed
    ASSERT_EQ_UINT(greedy(&sampling, &input), 3);
    allowed[0] = 1u << 6 | 1u << 2;
    uint32_t counts[V];
    count_draws(sampling, &input, counts);
    ASSERT_EQ_UINT(counts[6] + counts[2], DRAWS);
    allowed[0] = 0;
    tp_sampler *sampler = new_sampler(V);
    uint32_t id = 77;
    ASSERT_FAILS(tp_sampler_pick(sampler, &sampling, &input, &id, &test_err), TAPEOUT_E_INVALID,
                 "no token");
    ASSERT_EQ_UINT(id, 77);
    logits[3] = NAN;
    allowed[0] = 1u << 3;
    sampling.bias_count = 0;
    ASSERT_FAILS(tp_sampler_pick(sampler, &sampling, &input, &id, &test_err), TAPEOUT_E_INTERNAL,
                 "not numbers");
    tp_sampler_free(sampler);
}

// Stream and position change the draw; nothing else that could differ between runs does.
static void test_draws_are_named(void)
{
    float logits[V] = {0};
    uint32_t history[64] = {0};
    tp_sampling sampling;
    tp_sampling_init(&sampling);
    sampling.seed = 11;
    tp_sampler *one = new_sampler(V);
    tp_sampler *other = new_sampler(V);
    uint32_t differs_by_stream = 0;
    uint32_t seen = 0;
    for (uint32_t position = 0; position < 64; position++) {
        uint32_t a = 0;
        uint32_t b = 0;
        tp_sample_input input = {.logits = logits, .history = history, .history_count = position};
        ASSERT_OK(tp_sampler_pick(one, &sampling, &input, &a, &test_err));
        input.generated_count = position;
        ASSERT_OK(tp_sampler_pick(other, &sampling, &input, &b, &test_err));
        ASSERT_EQ_UINT(a, b);
        seen |= 1u << a;
        input.stream = 1;
        ASSERT_OK(tp_sampler_pick(other, &sampling, &input, &b, &test_err));
        differs_by_stream += a != b;
    }
    ASSERT_EQ_UINT(seen, 0xff);
    ASSERT(differs_by_stream > 40);
    tp_sampler_free(one);
    tp_sampler_free(other);
}

static void test_ranges(void)
{
    tp_sampling sampling;
    tp_sampling_init(&sampling);
    ASSERT_OK(tp_sampling_check(&sampling, V, &test_err));
    sampling.temperature = (double)NAN;
    ASSERT_FAILS(tp_sampling_check(&sampling, V, &test_err), TAPEOUT_E_INVALID, "temperature");
    sampling.temperature = -1;
    ASSERT_FAILS(tp_sampling_check(&sampling, V, &test_err), TAPEOUT_E_INVALID, "temperature");
    tp_sampling_init(&sampling);
    sampling.top_p = 0;
    ASSERT_FAILS(tp_sampling_check(&sampling, V, &test_err), TAPEOUT_E_INVALID, "top_p");
    tp_sampling_init(&sampling);
    const tp_logit_bias beyond = {V, 1};
    sampling.biases = &beyond;
    sampling.bias_count = 1;
    ASSERT_FAILS(tp_sampling_check(&sampling, V, &test_err), TAPEOUT_E_INVALID, "token 8");
    const tp_logit_bias large = {1, 101};
    sampling.biases = &large;
    ASSERT_FAILS(tp_sampling_check(&sampling, V, &test_err), TAPEOUT_E_INVALID, "logit_bias");
}

static void test_log_sum_exp(void)
{
    enum { MANY = 3001 };
    static float logits[MANY];
    long double sum = 0;
    for (uint32_t i = 0; i < MANY; i++) {
        logits[i] = (float)((i * 2654435761u >> 8) % 20000) / 1000.0F - 5;
        sum += expl((long double)logits[i]);
    }
    const double got = tp_log_sum_exp(logits, MANY);
    ASSERT(fabsl((long double)got - logl(sum)) < 1e-12L);
    // Far from zero, where exp alone would overflow.
    for (uint32_t i = 0; i < MANY; i++) {
        logits[i] += 5000;
    }
    ASSERT(fabs(tp_log_sum_exp(logits, MANY) - got - 5000) < 1e-3);
}

static void test_top_logprobs(void)
{
    enum { MANY = 500, TOP = 40 };
    static float logits[MANY];
    tp_token_logprob top[MANY];
    for (uint32_t i = 0; i < MANY; i++) {
        logits[i] = (float)(i * 7919 % 101); // many ties
    }
    const double sum = tp_log_sum_exp(logits, MANY);
    tp_top_logprobs(logits, MANY, sum, TOP, top);
    for (uint32_t i = 0; i < TOP; i++) {
        uint32_t rank = 0;
        for (uint32_t id = 0; id < MANY; id++) {
            rank += logits[id] > logits[top[i].id] ||
                    (logits[id] == logits[top[i].id] && id < top[i].id);
        }
        ASSERT_EQ_UINT(rank, i);
        ASSERT_EQ_F64(top[i].logprob, (double)logits[top[i].id] - sum);
    }
    tp_top_logprobs(logits, MANY, sum, MANY, top);
    double total = 0;
    for (uint32_t i = 0; i < MANY; i++) {
        total += exp(top[i].logprob);
    }
    ASSERT(fabs(total - 1) < 1e-12);
}

static tapeout_status make_sampler(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    (void)user;
    tp_sampler *sampler = NULL;
    const tapeout_status status = tp_sampler_new(alloc, V, &sampler, err);
    tp_sampler_free(sampler);
    return status;
}

static void test_memory(void)
{
    test_out_of_memory(make_sampler, NULL);
}

TEST_MAIN(TEST(test_plain), TEST(test_top_k), TEST(test_top_p), TEST(test_min_p),
          TEST(test_filters_together), TEST(test_typical), TEST(test_temperature),
          TEST(test_penalties), TEST(test_bias_and_mask), TEST(test_draws_are_named),
          TEST(test_ranges), TEST(test_log_sum_exp), TEST(test_top_logprobs), TEST(test_memory))
