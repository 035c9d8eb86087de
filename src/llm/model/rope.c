// SPDX-License-Identifier: Apache-2.0
//
// Rotary embeddings: each pair of a head's numbers is turned by position · frequency. The
// frequencies are base^(-2i/n), changed by what the file says: none, linear (all slower), yarn
// (slow ones slower, fast ones as they are, by a ramp between; Peng et al., 2023), or a divisor for
// each frequency in a tensor (llama3 and longrope). Angles are computed in double with our own sine
// and cosine, once a token and step.
#include "llm/model/model_priv.h"

#include "base/limits.h"
#include "base/tp_error.h"
#include "kernels/tp_math.h"

#include <math.h>
#include <stdio.h>

#define TWO_PI 6.283185307179586

typedef enum rope_scaling { SCALING_NONE, SCALING_LINEAR, SCALING_YARN, SCALING_LONG } rope_scaling;

typedef struct rope_facts {
    uint32_t dims;
    double base;
    double local_base;
    rope_scaling scaling;
    double factor;
    double original_context;
    double magnitude; // the file's own
    double beta_fast;
    double beta_slow;
} rope_facts;

static void key_of(const tp_llm *llm, const char *name, char ret_key[96])
{
    (void)snprintf(ret_key, 96, "%s.%s", llm->config.family->name, name);
}

// A number of `min` to `max`; absent, it stays.
static tapeout_status read_number(const tp_llm *llm, const char *name, const double range[2],
                                  double *ret_value, tapeout_error *err)
{
    char key[96];
    key_of(llm, name, key);
    if (!tp_gguf_has(llm->metadata, key)) {
        return TAPEOUT_OK;
    }
    double value = 0;
    TP_TRY(tp_gguf_get_f64(llm->metadata, key, &value, err));
    if (!(value >= range[0] && value <= range[1])) {
        return tp_fail(err, TAPEOUT_E_CORRUPT, "gguf: %s is %g; expected %g to %g", key, value,
                       range[0], range[1]);
    }
    *ret_value = value;
    return TAPEOUT_OK;
}

static tapeout_status read_integer(const tp_llm *llm, const char *name, uint64_t max,
                                   uint64_t *ret_value, tapeout_error *err)
{
    char key[96];
    key_of(llm, name, key);
    return tp_gguf_has(llm->metadata, key)
               ? tp_gguf_get_u64(llm->metadata, key, 1, max, ret_value, err)
               : TAPEOUT_OK;
}

static tapeout_status read_scaling(const tp_llm *llm, rope_facts *facts, tapeout_error *err)
{
    static const char *const names[] = {"none", "linear", "yarn", "longrope"};
    char key[96];
    key_of(llm, "rope.scaling.type", key);
    if (tp_gguf_has(llm->metadata, key)) {
        tp_str name = {0};
        TP_TRY(tp_gguf_get_str(llm->metadata, key, &name, err));
        size_t found = 0;
        while (found < 4 && !tp_str_equal(name, tp_str_from(names[found]))) {
            found++;
        }
        if (found == 4) {
            return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                           "gguf: %s is %.*s; this tapeout knows none, linear, yarn and longrope",
                           key, TP_STR_ARGS(name));
        }
        facts->scaling = (rope_scaling)found;
    }
    const double factor_range[2] = {1e-3, 1e6};
    TP_TRY(read_number(llm, "rope.scaling.factor", factor_range, &facts->factor, err));
    uint64_t original = llm->facts.context_length;
    TP_TRY(read_integer(llm, "rope.scaling.original_context_length", TP_MAX_LLM_CONTEXT, &original,
                        err));
    facts->original_context = (double)original;
    TP_TRY(read_number(llm, "rope.scaling.attn_factor", factor_range, &facts->magnitude, err));
    TP_TRY(read_number(llm, "rope.scaling.yarn_beta_fast", factor_range, &facts->beta_fast, err));
    TP_TRY(read_number(llm, "rope.scaling.yarn_beta_slow", factor_range, &facts->beta_slow, err));
    return TAPEOUT_OK;
}

static tapeout_status read_facts(const tp_llm *llm, rope_facts *facts, tapeout_error *err)
{
    const double base_range[2] = {1, 1e12};
    *facts =
        (rope_facts){.base = 10000, .factor = 1, .magnitude = 1, .beta_fast = 32, .beta_slow = 1};
    TP_TRY(read_number(llm, "rope.freq_base", base_range, &facts->base, err));
    facts->local_base =
        llm->config.family->local_base != 0 ? llm->config.family->local_base : facts->base;
    TP_TRY(read_number(llm, "rope.freq_base_swa", base_range, &facts->local_base, err));
    uint64_t dims = llm->facts.key_size;
    TP_TRY(read_integer(llm, "rope.dimension_count", llm->facts.key_size, &dims, err));
    if (dims % 2 != 0) {
        return tp_fail(err, TAPEOUT_E_CORRUPT,
                       "gguf: %s.rope.dimension_count is %llu; expected an even number",
                       llm->config.family->name, (unsigned long long)dims);
    }
    facts->dims = (uint32_t)dims;
    return read_scaling(llm, facts, err);
}

// The pair whose turns over the original context are `turns`.
static double pair_of_turns(const rope_facts *facts, double turns)
{
    return facts->dims * tp_log(facts->original_context / (turns * TWO_PI)) /
           (2 * tp_log(facts->base));
}

static double clamp(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

// How much of the slowed frequency pair `i` takes: 0 for fast pairs, 1 for slow ones.
static double yarn_share(const rope_facts *facts, uint32_t i)
{
    const double last = facts->dims - 1.0;
    const double low = clamp(floor(pair_of_turns(facts, facts->beta_fast)), 0, last);
    const double high = clamp(ceil(pair_of_turns(facts, facts->beta_slow)), 0, last);
    const double span = high - low > 0.001 ? high - low : 0.001;
    return clamp((i - low) / span, 0, 1);
}

static double scaled(const rope_facts *facts, uint32_t i, double frequency)
{
    switch (facts->scaling) {
    case SCALING_LINEAR:
        return frequency / facts->factor;
    case SCALING_YARN: {
        const double share = yarn_share(facts, i);
        return frequency / facts->factor * share + frequency * (1 - share);
    }
    case SCALING_NONE:
    case SCALING_LONG:
        break;
    }
    return frequency;
}

static tapeout_status fill(tp_llm *llm, const rope_facts *facts, const float *factors,
                           llm_rope *rope, tapeout_error *err)
{
    const uint32_t pairs = facts->dims / 2;
    double *frequencies = tp_arena_array(&llm->arena, pairs, sizeof(*frequencies));
    if (frequencies == NULL) {
        return tp_arena_check(&llm->arena, "the model's tables", err);
    }
    for (uint32_t i = 0; i < pairs; i++) {
        double frequency = tp_pow(facts->base, -2.0 * i / facts->dims);
        if (factors != NULL) {
            if (!(factors[i] > 0)) {
                return tp_fail(err, TAPEOUT_E_CORRUPT,
                               "gguf: factor %u of the rotary embedding is %g; expected more than "
                               "0",
                               i, (double)factors[i]);
            }
            frequency /= (double)factors[i];
        }
        frequencies[i] = scaled(facts, i, frequency);
    }
    const bool grows = facts->scaling == SCALING_YARN && facts->factor > 1;
    *rope =
        (llm_rope){.pairs = pairs,
                   .frequencies = frequencies,
                   .magnitude = facts->magnitude * (grows ? 1 + 0.1 * tp_log(facts->factor) : 1)};
    return TAPEOUT_OK;
}

tapeout_status tp_llm_rope_read(tp_llm *llm, const float *factors, tapeout_error *err)
{
    if (llm->config.family->rope == LLM_ROPE_NONE) {
        return TAPEOUT_OK;
    }
    rope_facts facts;
    TP_TRY(read_facts(llm, &facts, err));
    TP_TRY(fill(llm, &facts, factors, &llm->config.ropes[0], err));
    if (llm->config.family->local_base != 0) {
        // Layers with a window have a base of their own, and no scaling.
        facts.base = facts.local_base;
        facts.scaling = SCALING_NONE;
        facts.magnitude = 1;
        return fill(llm, &facts, NULL, &llm->config.ropes[1], err);
    }
    llm->config.ropes[1] = llm->config.ropes[0];
    return TAPEOUT_OK;
}

void tp_llm_rope_angles(const llm_rope *rope, uint32_t position, float *ret_angles)
{
    for (uint32_t i = 0; i < rope->pairs; i++) {
        const double angle = position * rope->frequencies[i];
        ret_angles[i] = (float)(tp_cos(angle) * rope->magnitude);
        ret_angles[rope->pairs + i] = (float)(tp_sin(angle) * rope->magnitude);
    }
}

void tp_llm_rope_turn(llm_rope_form form, uint32_t pairs, const float *angles, float *head)
{
    const uint32_t step = form == LLM_ROPE_PAIRS ? 2 : 1;
    const uint32_t other = form == LLM_ROPE_PAIRS ? 1 : pairs;
    for (uint32_t i = 0; i < pairs; i++) {
        float *at = head + (size_t)i * step;
        const float a = at[0];
        const float b = at[other];
        at[0] = a * angles[i] - b * angles[pairs + i];
        at[other] = a * angles[pairs + i] + b * angles[i];
    }
}
