// SPDX-License-Identifier: Apache-2.0
//
// What happens between a model's matrices, plainly: the definition. Every operation is one of
// float's, in the order that is written; nothing is fused.
#include "kernels/float_priv.h"
#include "kernels/tp_half.h"

#include <math.h>
#include <string.h>

enum { LANES = FLOAT_LANES };

float tp_exp_f32_ref(float x)
{
    if (isnan(x)) {
        return x;
    }
    if (x < FLOAT_EXP_MIN) {
        return 0;
    }
    if (x > FLOAT_EXP_MAX) {
        return INFINITY;
    }
    const float shifted = x * FLOAT_LN2_INVERSE + FLOAT_ROUND;
    const float k = shifted - FLOAT_ROUND;
    const float r = (x - k * FLOAT_LN2_HIGH) - k * FLOAT_LN2_LOW;
    float y = FLOAT_EXP_C7;
    y = y * r + FLOAT_EXP_C6;
    y = y * r + FLOAT_EXP_C5;
    y = y * r + FLOAT_EXP_C4;
    y = y * r + FLOAT_EXP_C3;
    y = y * r + FLOAT_EXP_C2;
    y = y * r + 1.0f;
    y = y * r + 1.0f;
    uint32_t bits = 0;
    uint32_t exponent = 0;
    memcpy(&bits, &y, sizeof(bits));
    memcpy(&exponent, &shifted, sizeof(exponent));
    bits += exponent << 23; // the shift drops all but k's low bits
    memcpy(&y, &bits, sizeof(y));
    return y;
}

static float add_lanes(const float *sums)
{
    const float t0 = (sums[0] + sums[4]) + (sums[2] + sums[6]);
    const float t1 = (sums[1] + sums[5]) + (sums[3] + sums[7]);
    return t0 + t1;
}

// -- norms ---------------------------------------------------------------------------------------

void tp_rms_norm_ref(const float *x, const float *weights, float epsilon, size_t count, float *ret)
{
    float sums[LANES] = {0};
    for (size_t i = 0; i < count; i++) {
        sums[i % LANES] += x[i] * x[i];
    }
    const float scale = 1.0f / sqrtf(add_lanes(sums) / (float)count + epsilon);
    for (size_t i = 0; i < count; i++) {
        ret[i] = x[i] * scale * weights[i];
    }
}

void tp_layer_norm_ref(const float *x, const float *weights_biases[2], float epsilon, size_t count,
                       float *ret)
{
    float sums[LANES] = {0};
    for (size_t i = 0; i < count; i++) {
        sums[i % LANES] += x[i];
    }
    const float mean = add_lanes(sums) / (float)count;
    memset(sums, 0, sizeof(sums));
    for (size_t i = 0; i < count; i++) {
        sums[i % LANES] += (x[i] - mean) * (x[i] - mean);
    }
    const float scale = 1.0f / sqrtf(add_lanes(sums) / (float)count + epsilon);
    for (size_t i = 0; i < count; i++) {
        ret[i] = (x[i] - mean) * scale * weights_biases[0][i] + weights_biases[1][i];
    }
}

// -- activations ---------------------------------------------------------------------------------

void tp_silu_multiply_ref(const float *gate, const float *up, size_t count, float *ret)
{
    for (size_t i = 0; i < count; i++) {
        ret[i] = gate[i] / (1.0f + tp_exp_f32_ref(-gate[i])) * up[i];
    }
}

void tp_gelu_multiply_ref(const float *gate, const float *up, size_t count, float *ret)
{
    for (size_t i = 0; i < count; i++) {
        const float x = gate[i];
        const float u = FLOAT_GELU_SLOPE * x * (1.0f + FLOAT_GELU_CUBIC * x * x);
        ret[i] = x / (1.0f + tp_exp_f32_ref(-u)) * up[i];
    }
}

void tp_gelu_erf_ref(const float *x, size_t count, float *ret)
{
    for (size_t i = 0; i < count; i++) {
        const float z = fabsf(x[i]) * FLOAT_SQRT_HALF;
        const float t = 1.0f / (1.0f + FLOAT_ERF_P * z);
        float y = FLOAT_ERF_A5;
        y = y * t + FLOAT_ERF_A4;
        y = y * t + FLOAT_ERF_A3;
        y = y * t + FLOAT_ERF_A2;
        y = y * t + FLOAT_ERF_A1;
        // 1 - erf(z), of which x takes one half at its negative end and the rest of 2 at the other.
        const float tail = y * t * tp_exp_f32_ref(-(z * z));
        ret[i] = x[i] * 0.5f * (x[i] < 0 ? tail : 2.0f - tail);
    }
}

// -- attention -----------------------------------------------------------------------------------

float tp_softmax_ref(float *x, size_t count)
{
    float greatest = x[0];
    for (size_t i = 1; i < count; i++) {
        greatest = x[i] > greatest ? x[i] : greatest;
    }
    float sums[LANES] = {0};
    for (size_t i = 0; i < count; i++) {
        x[i] = tp_exp_f32_ref(x[i] - greatest);
        sums[i % LANES] += x[i];
    }
    return add_lanes(sums);
}

void tp_half_to_float_ref(const uint16_t *x, size_t count, float *ret)
{
    for (size_t i = 0; i < count; i++) {
        ret[i] = tp_half_to_float(x[i]);
    }
}

void tp_float_to_half_ref(const float *x, size_t count, uint16_t *ret)
{
    for (size_t i = 0; i < count; i++) {
        ret[i] = tp_float_to_half(x[i]);
    }
}

void tp_score_ref(const tp_score_job *job)
{
    for (uint32_t row = 0; row < job->rows; row++) {
        const float *query = job->queries + row * job->query_stride;
        for (uint32_t p = 0; p < job->lanes * TP_PAGE_LANES; p++) {
            const float *key = job->keys + (size_t)(p / TP_PAGE_LANES) * job->size * TP_PAGE_LANES +
                               p % TP_PAGE_LANES;
            float sum = 0;
            for (uint32_t i = 0; i < job->size; i++) {
                sum += query[i] * key[(size_t)i * TP_PAGE_LANES];
            }
            job->ret[row * job->ret_stride + p] = sum;
        }
    }
}

void tp_weigh_ref(const tp_weigh_job *job)
{
    for (uint32_t row = 0; row < job->rows; row++) {
        float *sums = job->sums + row * job->sum_stride;
        for (uint32_t p = 0; p < job->positions; p++) {
            const float weight = job->weights[row * job->weight_stride + p];
            for (uint32_t c = 0; c < job->size; c++) {
                sums[c] += weight * job->values[(size_t)p * job->size + c];
            }
        }
    }
}
