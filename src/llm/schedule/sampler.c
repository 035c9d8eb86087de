// SPDX-License-Identifier: Apache-2.0
//
// Sampling. Candidates are the tokens whose probability is not hopelessly small (e^-32 of the
// likeliest: together less than 1e-8 of the mass); filters that need an order take them from a
// heap, likeliest first, and only as many as the filter keeps, so a large vocabulary is never
// sorted.
#include "llm/schedule/tp_sampler.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_random.h"
#include "kernels/tp_math.h"

#include <float.h>
#include <string.h>

#define FAR_BELOW (-32.0)
#define BAN_BIAS (-100.0F)
#define BANNED_LOGIT (-1e30F) // far below any logit, far above where penalties overflow

typedef struct candidate {
    uint32_t id;
    double order;  // the larger, the earlier
    double weight; // exp((logit - largest) / temperature)
} candidate;

struct tp_sampler {
    const tapeout_allocator *alloc;
    uint32_t vocab_count;
    float *logits;         // [V]
    uint32_t *counts;      // [V] zero between calls
    candidate *candidates; // [V]
    candidate *kept;       // [V]
    double *weights;       // [V]
    uint32_t candidate_count;
};

void tp_sampling_init(tp_sampling *sampling)
{
    *sampling = (tp_sampling){
        .temperature = 1, .top_p = 1, .typical_p = 1, .repeat_penalty = 1, .repeat_window = 64};
}

static tapeout_status range_check(const char *name, double value, double min, double max,
                                  tapeout_error *err)
{
    if (value >= min && value <= max) {
        return TAPEOUT_OK;
    }
    return tp_fail(err, TAPEOUT_E_INVALID, "%s is %g; it must be a number from %g to %g", name,
                   value, min, max);
}

// Nothing would be left to draw from at 0.
static tapeout_status share_check(const char *name, double value, tapeout_error *err)
{
    if (value > 0 && value <= 1) {
        return TAPEOUT_OK;
    }
    return tp_fail(err, TAPEOUT_E_INVALID, "%s is %g; it must be a number above 0, at most 1", name,
                   value);
}

tapeout_status tp_sampling_check(const tp_sampling *sampling, uint32_t vocab_count,
                                 tapeout_error *err)
{
    TP_TRY(range_check("temperature", sampling->temperature, 0, 100, err));
    TP_TRY(share_check("top_p", sampling->top_p, err));
    TP_TRY(range_check("min_p", sampling->min_p, 0, 1, err));
    TP_TRY(share_check("typical_p", sampling->typical_p, err));
    TP_TRY(range_check("repeat_penalty", sampling->repeat_penalty, 0.01, 100, err));
    TP_TRY(range_check("presence_penalty", sampling->presence_penalty, -2, 2, err));
    TP_TRY(range_check("frequency_penalty", sampling->frequency_penalty, -2, 2, err));
    for (uint32_t i = 0; i < sampling->bias_count; i++) {
        const tp_logit_bias *bias = &sampling->biases[i];
        if (bias->id >= vocab_count) {
            return tp_fail(err, TAPEOUT_E_INVALID,
                           "logit_bias names token %u; the vocabulary has %u, counted from 0",
                           bias->id, vocab_count);
        }
        TP_TRY(range_check("logit_bias", (double)bias->bias, -100, 100, err));
    }
    return TAPEOUT_OK;
}

tapeout_status tp_sampler_new(const tapeout_allocator *alloc, uint32_t vocab_count,
                              tp_sampler **ret_sampler, tapeout_error *err)
{
    tp_sampler *sampler = tp_alloc_zero(alloc, sizeof(*sampler));
    if (sampler == NULL) {
        return tp_fail_nomem(err);
    }
    sampler->alloc = alloc;
    sampler->vocab_count = vocab_count;
    sampler->logits = tp_alloc_array(alloc, vocab_count, sizeof(*sampler->logits));
    sampler->counts = tp_alloc_array_zero(alloc, vocab_count, sizeof(*sampler->counts));
    sampler->candidates = tp_alloc_array(alloc, vocab_count, sizeof(*sampler->candidates));
    sampler->kept = tp_alloc_array(alloc, vocab_count, sizeof(*sampler->kept));
    sampler->weights = tp_alloc_array(alloc, vocab_count, sizeof(*sampler->weights));
    if (sampler->logits == NULL || sampler->counts == NULL || sampler->candidates == NULL ||
        sampler->kept == NULL || sampler->weights == NULL) {
        tp_sampler_free(sampler);
        return tp_fail_nomem(err);
    }
    *ret_sampler = sampler;
    return TAPEOUT_OK;
}

uint64_t tp_sampler_bytes(uint32_t vocab_count)
{
    const tp_sampler *sampler = NULL; // for the sizes alone
    return (sizeof(*sampler->logits) + sizeof(*sampler->counts) + sizeof(*sampler->candidates) +
            sizeof(*sampler->kept) + sizeof(*sampler->weights)) *
           (uint64_t)vocab_count;
}

void tp_sampler_free(tp_sampler *sampler)
{
    if (sampler == NULL) {
        return;
    }
    const tapeout_allocator *alloc = sampler->alloc;
    const size_t count = sampler->vocab_count;
    tp_free_array(alloc, sampler->logits, count, sizeof(*sampler->logits));
    tp_free_array(alloc, sampler->counts, count, sizeof(*sampler->counts));
    tp_free_array(alloc, sampler->candidates, count, sizeof(*sampler->candidates));
    tp_free_array(alloc, sampler->kept, count, sizeof(*sampler->kept));
    tp_free_array(alloc, sampler->weights, count, sizeof(*sampler->weights));
    tp_free(alloc, sampler, sizeof(*sampler));
}

// -- the logits that are sampled from ------------------------------------------------------------
static void penalise_repeats(tp_sampler *sampler, const tp_sampling *sampling,
                             const tp_sample_input *input)
{
    const uint32_t window = sampling->repeat_window < input->history_count ? sampling->repeat_window
                                                                           : input->history_count;
    const uint32_t *last = input->history + (input->history_count - window);
    for (uint32_t i = 0; i < window; i++) {
        const uint32_t id = last[i];
        if (sampler->counts[id]++ == 0) {
            const double logit = (double)sampler->logits[id];
            sampler->logits[id] = (float)(logit > 0 ? logit / sampling->repeat_penalty
                                                    : logit * sampling->repeat_penalty);
        }
    }
    for (uint32_t i = 0; i < window; i++) {
        sampler->counts[last[i]] = 0;
    }
}

static void penalise_generated(tp_sampler *sampler, const tp_sampling *sampling,
                               const tp_sample_input *input)
{
    const uint32_t *last = input->history + (input->history_count - input->generated_count);
    for (uint32_t i = 0; i < input->generated_count; i++) {
        sampler->counts[last[i]]++;
    }
    for (uint32_t i = 0; i < input->generated_count; i++) {
        const uint32_t id = last[i];
        if (sampler->counts[id] > 0) {
            const double penalty = sampling->presence_penalty +
                                   sampling->frequency_penalty * (double)sampler->counts[id];
            sampler->logits[id] = (float)((double)sampler->logits[id] - penalty);
            sampler->counts[id] = 0;
        }
    }
}

static bool is_allowed(const tp_sample_input *input, uint32_t id)
{
    return input->allowed == NULL || (input->allowed[id / 32] >> (id % 32) & 1) != 0;
}

// A banned token stays the last resort: where a grammar allows nothing else, the grammar decides.
static void adjust(tp_sampler *sampler, const tp_sampling *sampling, const tp_sample_input *input)
{
    memcpy(sampler->logits, input->logits, sampler->vocab_count * sizeof(*sampler->logits));
    for (uint32_t i = 0; i < sampling->bias_count; i++) {
        const tp_logit_bias *bias = &sampling->biases[i];
        sampler->logits[bias->id] =
            bias->bias <= BAN_BIAS ? BANNED_LOGIT : sampler->logits[bias->id] + bias->bias;
    }
    if (sampling->repeat_penalty != 1) {
        penalise_repeats(sampler, sampling, input);
    }
    if (sampling->presence_penalty != 0 || sampling->frequency_penalty != 0) {
        penalise_generated(sampler, sampling, input);
    }
}

// The likeliest allowed token; E_INVALID where none is.
static tapeout_status find_likeliest(const tp_sampler *sampler, const tp_sample_input *input,
                                     uint32_t *ret_id, tapeout_error *err)
{
    uint32_t best = UINT32_MAX;
    for (uint32_t id = 0; id < sampler->vocab_count; id++) {
        if (is_allowed(input, id) &&
            (best == UINT32_MAX || sampler->logits[id] > sampler->logits[best])) {
            best = id;
        }
    }
    if (best == UINT32_MAX) {
        return tp_fail(err, TAPEOUT_E_INVALID, "the grammar allows no token here");
    }
    if (!(sampler->logits[best] >= -FLT_MAX && sampler->logits[best] <= FLT_MAX)) {
        return tp_fail(err, TAPEOUT_E_INTERNAL, "the model's logits are not numbers");
    }
    *ret_id = best;
    return TAPEOUT_OK;
}

// -- candidates ----------------------------------------------------------------------------------
// Fills the candidates with their weights, by id.
static void gather(tp_sampler *sampler, const tp_sampling *sampling, const tp_sample_input *input,
                   uint32_t likeliest)
{
    const double largest = (double)sampler->logits[likeliest];
    uint32_t count = 0;
    for (uint32_t id = 0; id < sampler->vocab_count; id++) {
        const double depth = ((double)sampler->logits[id] - largest) / sampling->temperature;
        if (depth >= FAR_BELOW && is_allowed(input, id)) {
            sampler->candidates[count].id = id;
            sampler->candidates[count].order = depth;
            sampler->weights[count++] = depth;
        }
    }
    tp_exp_array(sampler->weights, sampler->weights, count);
    for (uint32_t i = 0; i < count; i++) {
        sampler->candidates[i].weight = sampler->weights[i];
    }
    sampler->candidate_count = count;
}

static double total_of(const candidate *candidates, uint32_t count)
{
    double total = 0;
    for (uint32_t i = 0; i < count; i++) {
        total += candidates[i].weight;
    }
    return total;
}

static bool is_before(const candidate *a, const candidate *b)
{
    return a->order > b->order || (a->order == b->order && a->id < b->id);
}

static void sift_down(candidate *heap, uint32_t count, uint32_t at)
{
    for (uint32_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && is_before(&heap[child + 1], &heap[child])) {
            child++;
        }
        if (!is_before(&heap[child], &heap[at])) {
            return;
        }
        const candidate item = heap[at];
        heap[at] = heap[child];
        heap[child] = item;
        at = child;
    }
}

// Keeps the candidates of highest order: at most `max_count`, and no more than it takes to gather
// `share` of their total weight; in order.
static void keep_first(tp_sampler *sampler, uint32_t max_count, double share)
{
    candidate *heap = sampler->candidates;
    uint32_t count = sampler->candidate_count;
    const double total = total_of(heap, count);
    for (uint32_t i = count / 2; i-- > 0;) {
        sift_down(heap, count, i);
    }
    uint32_t kept = 0;
    double gathered = 0;
    while (count > 0 && kept < max_count && (kept == 0 || gathered < share * total)) {
        gathered += heap[0].weight;
        sampler->kept[kept++] = heap[0];
        heap[0] = heap[--count];
        sift_down(heap, count, 0);
    }
    memcpy(sampler->candidates, sampler->kept, kept * sizeof(candidate));
    sampler->candidate_count = kept;
}

// Weights are parts of the likeliest one's, whose weight is 1.
static void keep_above(tp_sampler *sampler, double min_weight)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < sampler->candidate_count; i++) {
        if (sampler->candidates[i].weight >= min_weight) {
            sampler->candidates[kept++] = sampler->candidates[i];
        }
    }
    sampler->candidate_count = kept;
}

// Orders by how far a token's information is from the entropy, nearest first.
static void keep_typical(tp_sampler *sampler, double share)
{
    const uint32_t count = sampler->candidate_count;
    candidate *candidates = sampler->candidates;
    const double log_total = tp_log(total_of(candidates, count));
    double entropy = 0;
    for (uint32_t i = 0; i < count; i++) {
        const double surprise = log_total - candidates[i].order;
        entropy += surprise * tp_exp(-surprise);
    }
    for (uint32_t i = 0; i < count; i++) {
        const double distance = log_total - candidates[i].order - entropy;
        candidates[i].order = distance < 0 ? distance : -distance;
    }
    keep_first(sampler, UINT32_MAX, share);
}

static uint32_t draw(const tp_sampler *sampler, double number)
{
    const uint32_t count = sampler->candidate_count;
    const double aim = number * total_of(sampler->candidates, count);
    double sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        sum += sampler->candidates[i].weight;
        if (sum > aim) {
            return sampler->candidates[i].id;
        }
    }
    return sampler->candidates[count - 1].id;
}

tapeout_status tp_sampler_pick(tp_sampler *sampler, const tp_sampling *sampling,
                               const tp_sample_input *input, uint32_t *ret_id, tapeout_error *err)
{
    uint32_t likeliest = 0;
    adjust(sampler, sampling, input);
    TP_TRY(find_likeliest(sampler, input, &likeliest, err));
    if (sampling->temperature == 0 || sampling->top_k == 1) {
        *ret_id = likeliest;
        return TAPEOUT_OK;
    }
    gather(sampler, sampling, input, likeliest);
    if (sampling->top_k > 0) {
        keep_first(sampler, sampling->top_k, 2); // a share that is never reached
    }
    if (sampling->top_p < 1) {
        keep_first(sampler, UINT32_MAX, sampling->top_p);
    }
    if (sampling->min_p > 0) {
        keep_above(sampler, sampling->min_p);
    }
    if (sampling->typical_p < 1) {
        keep_typical(sampler, sampling->typical_p);
    }
    *ret_id = draw(sampler, tp_random_f64(sampling->seed, input->stream, input->history_count));
    return TAPEOUT_OK;
}
