// SPDX-License-Identifier: Apache-2.0
//
// Activations to 16 bits, plainly: the definition. The greatest magnitude is found by comparing
// bits as integers, for which a NaN is above every number. x / scale is at most 32767 · (1 +
// 2^-23), so it rounds to 32767 at most.
#include "kernels/llm_kernels_priv.h"

#include <math.h>
#include <string.h>

enum { INPUTS = TP_MATRIX_BLOCK };

static void quantize_block(const float *x, tp_q16_block *ret)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < INPUTS; i++) {
        uint32_t bits = 0;
        memcpy(&bits, &x[i], sizeof(bits));
        bits &= 0x7fffffffu;
        most = bits > most ? bits : most;
    }
    float magnitude = 0;
    memcpy(&magnitude, &most, sizeof(magnitude));
    memset(ret, 0, sizeof(*ret));
    if (most >= LLM_INFINITY_BITS) {
        ret->scale = NAN;
        ret->scaled_sum = NAN;
        return;
    }
    if (magnitude < LLM_TINY) {
        return;
    }
    ret->scale = magnitude / 32767.0f;
    for (uint32_t i = 0; i < INPUTS; i++) {
        ret->q[i] = (int16_t)rintf(x[i] / ret->scale);
        ret->sums[i / 16] += ret->q[i];
    }
    ret->scaled_sum = ret->scale * (float)(ret->sums[0] + ret->sums[1]);
}

void tp_quantize_q16_ref(const float *x, size_t block_count, tp_q16_block *ret_blocks)
{
    for (size_t i = 0; i < block_count; i++) {
        quantize_block(x + i * INPUTS, ret_blocks + i);
    }
}
