// SPDX-License-Identifier: Apache-2.0
//
// The constants that every variant of the float kernels shares, and who fills the table.
//
// FLOAT_EXP: k = x / ln 2 to the nearest integer, r = x - k ln 2 in two steps, exp(r) as its Taylor
// series to r^7 by Horner's rule, then 2^k by adding to the exponent.
#ifndef FLOAT_PRIV_H
#define FLOAT_PRIV_H

#include "kernels/tp_kernels_float.h"

#define FLOAT_EXP_MIN (-87.0f)
#define FLOAT_EXP_MAX 88.0f
#define FLOAT_LN2_INVERSE 0x1.715476p+0f
#define FLOAT_LN2_HIGH 0x1.62ep-1f // 12 bits: its product with k is exact
#define FLOAT_LN2_LOW 0x1.0bfbe8p-15f
#define FLOAT_ROUND 0x1.8p23f // adding it rounds to an integer, which stands in the low bits
#define FLOAT_EXP_C2 (1.0f / 2)
#define FLOAT_EXP_C3 (1.0f / 6)
#define FLOAT_EXP_C4 (1.0f / 24)
#define FLOAT_EXP_C5 (1.0f / 120)
#define FLOAT_EXP_C6 (1.0f / 720)
#define FLOAT_EXP_C7 (1.0f / 5040)

#define FLOAT_GELU_SLOPE 1.5957691216057308f // 2 sqrt(2/π)
#define FLOAT_GELU_CUBIC 0.044715f

#define FLOAT_SQRT_HALF 0.70710678118654752f
#define FLOAT_ERF_P 0.3275911f
#define FLOAT_ERF_A1 0.254829592f
#define FLOAT_ERF_A2 (-0.284496736f)
#define FLOAT_ERF_A3 1.421413741f
#define FLOAT_ERF_A4 (-1.453152027f)
#define FLOAT_ERF_A5 1.061405429f

enum { FLOAT_LANES = 8 };

float tp_exp_f32_ref(float x);
float tp_softmax_ref(float *x, size_t count);
void tp_rms_norm_ref(const float *x, const float *weights, float epsilon, size_t count, float *ret);
void tp_layer_norm_ref(const float *x, const float *weights_biases[2], float epsilon, size_t count,
                       float *ret);
void tp_silu_multiply_ref(const float *gate, const float *up, size_t count, float *ret);
void tp_gelu_multiply_ref(const float *gate, const float *up, size_t count, float *ret);
void tp_gelu_erf_ref(const float *x, size_t count, float *ret);
void tp_half_to_float_ref(const uint16_t *x, size_t count, float *ret);
void tp_float_to_half_ref(const float *x, size_t count, uint16_t *ret);
void tp_score_ref(const tp_score_job *job);
void tp_weigh_ref(const tp_weigh_job *job);

// Puts its kernels over those that are there.
void tp_kernels_float_init_avx2(tp_kernels_float *kernels);
void tp_kernels_attend_init_avx2(tp_kernels_float *kernels);

#endif
