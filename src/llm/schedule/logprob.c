// SPDX-License-Identifier: Apache-2.0
//
// Log-probabilities of a row of logits. The sum runs over four strided lanes in index order and
// ends in one fixed tree, in double precision: the same bits wherever it is asked for.
#include "llm/schedule/tp_sampler.h"

#include "kernels/tp_math.h"

#include <stdbool.h>

enum { BLOCK = 512, LANES = 4 };

double tp_log_sum_exp(const float *logits, uint32_t vocab_count)
{
    float max = logits[0];
    for (uint32_t i = 1; i < vocab_count; i++) {
        max = logits[i] > max ? logits[i] : max;
    }
    double sums[LANES] = {0};
    double block[BLOCK];
    for (uint32_t begin = 0; begin < vocab_count; begin += BLOCK) {
        const uint32_t count = vocab_count - begin < BLOCK ? vocab_count - begin : BLOCK;
        for (uint32_t i = 0; i < count; i++) {
            block[i] = (double)logits[begin + i] - (double)max;
        }
        tp_exp_array(block, block, count);
        for (uint32_t i = 0; i < count; i++) {
            sums[i % LANES] += block[i];
        }
    }
    return (double)max + tp_log((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

// Whether a stands behind b: less likely, or of equal logit and larger id.
static bool is_behind(tp_token_logprob a, tp_token_logprob b)
{
    return a.logprob < b.logprob || (a.logprob == b.logprob && a.id > b.id);
}

// Restores the heap below `at`; the root is the one that stands behind all others.
static void sift_down(tp_token_logprob *heap, uint32_t count, uint32_t at)
{
    for (;;) {
        const uint32_t left = 2 * at + 1;
        if (left >= count) {
            return;
        }
        const bool right_is_behind = left + 1 < count && is_behind(heap[left + 1], heap[left]);
        const uint32_t child = right_is_behind ? left + 1 : left;
        if (!is_behind(heap[child], heap[at])) {
            return;
        }
        const tp_token_logprob item = heap[at];
        heap[at] = heap[child];
        heap[child] = item;
        at = child;
    }
}

void tp_top_logprobs(const float *logits, uint32_t vocab_count, double log_sum_exp, uint32_t count,
                     tp_token_logprob *ret_top)
{
    if (count == 0) {
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        ret_top[i] = (tp_token_logprob){i, (double)logits[i]};
    }
    for (uint32_t i = count / 2; i-- > 0;) {
        sift_down(ret_top, count, i);
    }
    for (uint32_t i = count; i < vocab_count; i++) {
        const tp_token_logprob item = {i, (double)logits[i]};
        if (is_behind(ret_top[0], item)) {
            ret_top[0] = item;
            sift_down(ret_top, count, 0);
        }
    }
    for (uint32_t left = count; left > 1; left--) {
        const tp_token_logprob last = ret_top[0];
        ret_top[0] = ret_top[left - 1];
        ret_top[left - 1] = last;
        sift_down(ret_top, left - 1, 0);
    }
    for (uint32_t i = 0; i < count; i++) {
        ret_top[i].logprob -= log_sum_exp;
    }
}
