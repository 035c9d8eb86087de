// SPDX-License-Identifier: Apache-2.0
//
// From a row of logits to the next token. The order is that of Hugging Face transformers: bias and
// penalties, what a grammar allows, temperature, top-k, top-p, min-p, typical; then one draw. The
// random number of a draw is a function of seed, stream and position alone, and every sum has one
// order, so a request gives the same text whatever runs beside it.
#ifndef TP_SAMPLER_H
#define TP_SAMPLER_H

#include <tapeout/context.h>

typedef struct tp_logit_bias {
    uint32_t id;
    float bias; // added to the logit; -100 and below bans the token
} tp_logit_bias;

typedef struct tp_sampling {
    double temperature;       // 0: the likeliest token, the lowest id among equals
    uint32_t top_k;           // 0: all
    double top_p;             // (0, 1]; 1: all
    double min_p;             // [0, 1]; 0: all. A part of the likeliest token's probability
    double typical_p;         // (0, 1]; 1: all. Meister et al., 2023
    double repeat_penalty;    // > 0; 1: none. Keskar et al., 2019
    double presence_penalty;  // [-2, 2], once for each token already generated
    double frequency_penalty; // [-2, 2], for each time it was generated
    uint32_t repeat_window;   // last tokens, prompt included, that repeat_penalty looks at
    uint64_t seed;
    const tp_logit_bias *biases; // [bias_count], borrowed
    uint32_t bias_count;
} tp_sampling;

// Temperature 1, everything else off, seed 0.
void tp_sampling_init(tp_sampling *sampling);

// OK, or E_INVALID naming the parameter, its value and its range.
tapeout_status tp_sampling_check(const tp_sampling *sampling, uint32_t vocab_count,
                                 tapeout_error *err);

typedef struct tp_sample_input {
    const float *logits;     // [V]
    const uint32_t *allowed; // [(V + 31) / 32] a bit each; NULL: all
    const uint32_t *history; // [history_count] prompt and what was generated behind it
    uint32_t history_count;
    uint32_t generated_count; // how many of them, at the end, were generated
    uint64_t stream;          // number of the choice
} tp_sample_input;

// Scratch for one vocabulary. @thread confined
typedef struct tp_sampler tp_sampler;

tapeout_status tp_sampler_new(const tapeout_allocator *alloc, uint32_t vocab_count,
                              tp_sampler **ret_sampler, tapeout_error *err);
void tp_sampler_free(tp_sampler *sampler);       // accepts NULL
uint64_t tp_sampler_bytes(uint32_t vocab_count); // what one takes

// The next token. E_INVALID where nothing is allowed, E_INTERNAL for logits that are not numbers.
tapeout_status tp_sampler_pick(tp_sampler *sampler, const tp_sampling *sampling,
                               const tp_sample_input *input, uint32_t *ret_id, tapeout_error *err);

// -- log-probabilities ---------------------------------------------------------------------------
typedef struct tp_token_logprob {
    uint32_t id;
    double logprob;
} tp_token_logprob;

// log(Σ exp(logits)): the log-probability of a token is its logit minus this. The model's own
// distribution, before temperature, penalties and grammar.
double tp_log_sum_exp(const float *logits, uint32_t vocab_count);

// The `count` likeliest tokens (at most V), likeliest first, ties by id.
void tp_top_logprobs(const float *logits, uint32_t vocab_count, double log_sum_exp, uint32_t count,
                     tp_token_logprob *ret_top);

#endif
