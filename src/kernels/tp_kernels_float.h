// SPDX-License-Identifier: Apache-2.0
//
// The float side of a language model's forward pass: what happens between its matrices.
//
// Elementwise operations are defined lane by lane. A sum over a vector is eight sums, of elements
// 0, 8, 16, …, of 1, 9, 17, … and so on, in order; they are added as s[i] + s[i + 4] for i < 4,
// then t[i] + t[i + 2] for i < 2, then the two. Attention's products are one ordered sum each.
//
// exp is own (FLOAT_EXP in float_priv.h): within 2 ulp; below -87 it is 0, above 88 infinite.
#ifndef TP_KERNELS_FLOAT_H
#define TP_KERNELS_FLOAT_H

#include <stddef.h>
#include <stdint.h>

enum {
    TP_PAGE_POSITIONS = 32, // keys and values come in pages of so many positions
    TP_PAGE_LANES = 8       // positions that lie interleaved
};

// Queries times the keys of a page. Keys lie as [4][size][8]: eight positions side by side.
// ret[row · ret_stride + position] = sum over i of query[i] · key[i], in order.
typedef struct tp_score_job {
    const float *queries; // [rows, query_stride]
    size_t query_stride;
    uint32_t rows;
    uint32_t size;     // of a query and a key
    const float *keys; // [4][size][8]
    uint32_t lanes;    // groups of eight positions that are wanted: 1 … 4
    float *ret;        // [rows, ret_stride]
    size_t ret_stride;
} tp_score_job;

// sums[row · sum_stride + c] += weights[row · weight_stride + p] · values[p][c] for the page's
// positions p in order.
typedef struct tp_weigh_job {
    const float *weights; // [rows, weight_stride]
    size_t weight_stride;
    uint32_t rows;
    uint32_t size;       // of a value; a multiple of 8
    const float *values; // [32][size]
    uint32_t positions;  // that are wanted: 1 … 32
    float *sums;         // [rows, sum_stride]
    size_t sum_stride;
} tp_weigh_job;

typedef struct tp_kernels_float {
    // ret[i] = x[i] · (1 / sqrt(sum of squares / count + epsilon)) · weights[i]. `ret` may be `x`.
    void (*rms_norm)(const float *x, const float *weights, float epsilon, size_t count, float *ret);
    // ret[i] = (x[i] - mean) · (1 / sqrt(variance + epsilon)) · weights[i] + biases[i].
    void (*layer_norm)(const float *x, const float *weights_biases[2], float epsilon, size_t count,
                       float *ret);
    // ret[i] = gate[i] / (1 + exp(-gate[i])) · up[i]. `ret` may be either.
    void (*silu_multiply)(const float *gate, const float *up, size_t count, float *ret);
    // The tanh form of GELU, as x / (1 + exp(-2u)) with u = sqrt(2/π) · x · (1 + 0.044715 · x²).
    void (*gelu_multiply)(const float *gate, const float *up, size_t count, float *ret);
    // x[i] / 2 · (1 + erf(x[i] / sqrt(2))); erf within 2e-7 (Abramowitz and Stegun, 7.1.26).
    void (*gelu_erf)(const float *x, size_t count, float *ret);
    // x[i] = exp(x[i] - greatest) and their sum. `count` is at least 1; x begins at a multiple of 8
    // in the numbering that the sum's order goes by.
    float (*softmax)(float *x, size_t count);
    void (*half_to_float)(const uint16_t *x, size_t count, float *ret);
    void (*float_to_half)(const float *x, size_t count, uint16_t *ret);
    void (*score)(const tp_score_job *job);
    void (*weigh)(const tp_weigh_job *job);
} tp_kernels_float;

// `flags` as of tp_cpu_flags(): the plain forms first, then the best that the flags allow.
void tp_kernels_float_init(tp_kernels_float *ret_kernels, uint32_t flags);

#endif
