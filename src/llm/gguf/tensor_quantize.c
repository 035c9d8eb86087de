// SPDX-License-Identifier: Apache-2.0
//
// Floats to blocks of weights: the types of 32 weights, and the choice of type. Codes are always
// the nearest for the scale as it is stored, in half precision; where a scale is free it is
// searched for the least squared error: candidates around the one that spans the block, each made
// better by least squares over the codes that it gives. Slower than taking the span, and never
// worse.
#include "llm/gguf/quantize_priv.h"

#include "kernels/tp_half.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { BLOCK = 32 };

bool tp_quantize_is_finite(const float *values, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        if (!isfinite(values[i])) {
            return false;
        }
    }
    return true;
}

bool tp_quantize_store_half(float value, uint8_t *ret_bytes, float *ret_stored)
{
    const uint16_t bits = tp_float_to_half(value);
    *ret_stored = tp_half_to_float(bits);
    ret_bytes[0] = (uint8_t)bits;
    ret_bytes[1] = (uint8_t)(bits >> 8);
    return isfinite(*ret_stored);
}

float tp_quantize_extreme(const float *values, int count)
{
    float extreme = 0;
    for (int i = 0; i < count; i++) {
        extreme = fabsf(values[i]) > fabsf(extreme) ? values[i] : extreme;
    }
    return extreme;
}

// -- floats --------------------------------------------------------------------------------------

static void store16(uint16_t bits, uint8_t *ret_bytes)
{
    ret_bytes[0] = (uint8_t)bits;
    ret_bytes[1] = (uint8_t)(bits >> 8);
}

static bool f32_block(const float *values, uint8_t *ret_block)
{
    uint32_t bits = 0;
    memcpy(&bits, values, sizeof(bits));
    store16((uint16_t)bits, ret_block);
    store16((uint16_t)(bits >> 16), ret_block + 2);
    return true;
}

static bool f16_block(const float *values, uint8_t *ret_block)
{
    float stored = 0;
    return tp_quantize_store_half(values[0], ret_block, &stored);
}

static bool bf16_block(const float *values, uint8_t *ret_block)
{
    const uint16_t bits = tp_float_to_brain(values[0]);
    store16(bits, ret_block);
    return isfinite(tp_brain_to_float(bits));
}

// -- Q8_0 ----------------------------------------------------------------------------------------

static bool q8_0_block(const float *values, uint8_t *ret_block)
{
    float scale = 0;
    if (!tp_quantize_store_half(fabsf(tp_quantize_extreme(values, BLOCK)) / 127, ret_block,
                                &scale)) {
        return false;
    }
    for (int i = 0; i < BLOCK; i++) {
        ret_block[2 + i] =
            (uint8_t)(scale == 0 ? 0 : tp_quantize_nearest(values[i] / scale, -127, 127));
    }
    return true;
}

// -- Q4_0 ----------------------------------------------------------------------------------------

typedef struct fit4 {
    double error;
    int codes[BLOCK]; // -8 … 7
    uint8_t scale[2];
} fit4;

// The nearest codes of `scale` once it is stored, kept where they are better than `best`.
static void try_scale(const float *values, float scale, fit4 *best)
{
    fit4 fit = {.error = 0};
    float stored = 0;
    if (!tp_quantize_store_half(scale, fit.scale, &stored)) {
        return;
    }
    for (int i = 0; i < BLOCK; i++) {
        fit.codes[i] = stored == 0 ? 0 : tp_quantize_nearest(values[i] / stored, -8, 7);
        const double miss = (double)values[i] - (double)(stored * (float)fit.codes[i]);
        fit.error += miss * miss;
    }
    if (fit.error < best->error) {
        *best = fit;
    }
}

// The scale that fits the codes of `scale` best, and `scale` itself.
static void try_around(const float *values, float scale, fit4 *best)
{
    double products = 0;
    double squares = 0;
    for (int i = 0; i < BLOCK; i++) {
        const int code = tp_quantize_nearest(values[i] / scale, -8, 7);
        products += (double)values[i] * code;
        squares += (double)code * code;
    }
    try_scale(values, scale, best);
    if (squares > 0) {
        try_scale(values, (float)(products / squares), best);
    }
}

static bool q4_0_block(const float *values, uint8_t *ret_block)
{
    const float extreme = tp_quantize_extreme(values, BLOCK);
    fit4 best = {.error = INFINITY};
    try_scale(values, extreme / -8, &best);
    for (int step = -10; extreme != 0 && step <= 10; step++) {
        try_around(values, extreme / (-8 + 0.15f * (float)step), &best);
        try_around(values, extreme / (7 + 0.15f * (float)step), &best);
    }
    if (isinf(best.error)) {
        return false;
    }
    memcpy(ret_block, best.scale, 2);
    for (int i = 0; i < BLOCK / 2; i++) {
        ret_block[2 + i] = (uint8_t)((best.codes[i] + 8) | (best.codes[i + BLOCK / 2] + 8) << 4);
    }
    return true;
}

// -- rows ----------------------------------------------------------------------------------------

typedef bool (*block_fn)(const float *values, uint8_t *ret_block);

static block_fn block_function(tp_tensor_type type)
{
    static const block_fn blocks[TP_TENSOR_TYPE_END] = {
        [TP_TENSOR_F32] = f32_block,
        [TP_TENSOR_F16] = f16_block,
        [TP_TENSOR_BF16] = bf16_block,
        [TP_TENSOR_Q4_0] = q4_0_block,
        [TP_TENSOR_Q8_0] = q8_0_block,
        [TP_TENSOR_Q4_K] = tp_quantize_q4_k_block,
        [TP_TENSOR_Q6_K] = tp_quantize_q6_k_block,
    };
    return blocks[type];
}

bool tp_tensor_can_quantize(tp_tensor_type type)
{
    return block_function(type) != NULL;
}

bool tp_tensor_quantize(tp_tensor_type type, const float *values, uint64_t count, uint8_t *ret_row)
{
    const block_fn quantize = block_function(type);
    const tp_tensor_layout *layout = tp_tensor_layout_of(type);
    assert(quantize != NULL && count % layout->block_length == 0);
    bool ok = tp_quantize_is_finite(values, count);
    for (uint64_t i = 0; ok && i < count; i += layout->block_length) {
        ok = quantize(values + i, ret_row);
        ret_row += layout->block_bytes;
    }
    return ok;
}
