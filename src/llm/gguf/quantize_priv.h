// SPDX-License-Identifier: Apache-2.0
//
// What the quantisers of the tensor types share. A block function returns false where a scale does
// not fit into half precision; its values are finite.
#ifndef QUANTIZE_PRIV_H
#define QUANTIZE_PRIV_H

#include "llm/gguf/tp_tensor_type.h"

#include <math.h>

bool tp_quantize_is_finite(const float *values, uint64_t count);

// `value` as a half in `ret_bytes`, and what a reader will make of it; false for an infinity.
bool tp_quantize_store_half(float value, uint8_t *ret_bytes, float *ret_stored);

// The value of the largest magnitude, with its sign; the first of equals.
float tp_quantize_extreme(const float *values, int count);

// The whole number nearest to `value`, within [low, high].
static inline int tp_quantize_nearest(float value, int low, int high)
{
    const float bounded = fminf(fmaxf(value, (float)low), (float)high); // NaN becomes a bound
    return (int)lrintf(bounded);
}

bool tp_quantize_q4_k_block(const float *values, uint8_t *ret_block);
bool tp_quantize_q6_k_block(const float *values, uint8_t *ret_block);

#endif
