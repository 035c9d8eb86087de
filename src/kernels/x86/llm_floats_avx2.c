// SPDX-License-Identifier: Apache-2.0
//
// Matrices of floats times activations with AVX2, a group of 16 rows and up to four tokens at a
// time: eight sums in registers, and for each input two vectors of weights and one activation.
#include "kernels/llm_kernels_priv.h"

#include <immintrin.h>
#include <string.h>

#define LLM_INLINE static inline __attribute__((always_inline))

enum {
    ROWS = TP_MATRIX_GROUP,
    TILE = 4,            // tokens
    PANEL_INPUTS = 256,  // 16 KiB of weights
    RUN_TOKENS_MAX = 128 // whose sums are kept
};

// Some inputs of a group of rows times up to TILE tokens.
typedef struct tile {
    const uint8_t *weights;
    uint32_t inputs;
    const float *x[TILE];
    float (*sums)[ROWS]; // [tokens], added to
} tile;

// Eight rows of one input.
LLM_INLINE __m256 load_weights(tp_matrix_kind kind, const uint8_t *group, size_t index)
{
    if (kind == TP_MATRIX_F32) {
        return _mm256_castsi256_ps(
            _mm256_loadu_si256((const __m256i *)(const void *)(group + index * 4)));
    }
    const __m128i halves = _mm_loadu_si128((const __m128i *)(const void *)(group + index * 2));
    return kind == TP_MATRIX_F16
               ? _mm256_cvtph_ps(halves)
               : _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}

LLM_INLINE void multiply_tile(tp_matrix_kind kind, const tile *job, int tokens)
{
    __m256 acc[TILE][2];
#pragma GCC unroll 4
    for (int t = 0; t < tokens; t++) {
        acc[t][0] = _mm256_loadu_ps(job->sums[t]);
        acc[t][1] = _mm256_loadu_ps(job->sums[t] + 8);
    }
    for (size_t i = 0; i < job->inputs; i++) {
        const __m256 low = load_weights(kind, job->weights, i * ROWS);
        const __m256 high = load_weights(kind, job->weights, i * ROWS + 8);
#pragma GCC unroll 4
        for (int t = 0; t < tokens; t++) {
            const __m256 value = _mm256_broadcast_ss(job->x[t] + i);
            acc[t][0] = _mm256_add_ps(acc[t][0], _mm256_mul_ps(low, value));
            acc[t][1] = _mm256_add_ps(acc[t][1], _mm256_mul_ps(high, value));
        }
    }
#pragma GCC unroll 4
    for (int t = 0; t < tokens; t++) {
        _mm256_storeu_ps(job->sums[t], acc[t][0]);
        _mm256_storeu_ps(job->sums[t] + 8, acc[t][1]);
    }
}

LLM_INLINE void multiply_tokens(tp_matrix_kind kind, const tile *job, uint32_t tokens)
{
    switch (tokens) {
    case 1:
        multiply_tile(kind, job, 1);
        break;
    case 2:
        multiply_tile(kind, job, 2);
        break;
    case 3:
        multiply_tile(kind, job, 3);
        break;
    default:
        multiply_tile(kind, job, TILE);
        break;
    }
}

// Tokens `begin` and on, for which `sums` has room.
typedef struct token_run {
    const tp_matrix_product *product;
    uint32_t begin;
    uint32_t count;
} token_run;

LLM_INLINE void multiply_group(tp_matrix_kind kind, const uint8_t *group, const token_run *run,
                               float (*ret)[ROWS])
{
    const tp_matrix_product *product = run->product;
    const uint32_t cols = product->matrix->cols;
    const uint32_t input_bytes = tp_matrix_layout_of(kind)->block_bytes;
    memset(ret, 0, sizeof(*ret) * run->count);
    for (uint32_t input = 0; input < cols; input += PANEL_INPUTS) {
        tile job = {.weights = group + (size_t)input * input_bytes,
                    .inputs = cols - input < PANEL_INPUTS ? cols - input : PANEL_INPUTS};
        for (uint32_t i = 0; i < run->count; i += TILE) {
            const uint32_t tokens = run->count - i < TILE ? run->count - i : TILE;
            for (uint32_t t = 0; t < tokens; t++) {
                const size_t token = llm_token_of(product, run->begin + i + t);
                job.x[t] = product->floats + token * product->float_stride + input;
            }
            job.sums = ret + i;
            multiply_tokens(kind, &job, tokens);
        }
    }
}

LLM_INLINE void multiply_rows(tp_matrix_kind kind, const token_run *run)
{
    const tp_matrix_product *product = run->product;
    const size_t group_bytes = tp_matrix_group_bytes(product->matrix);
    _Alignas(64) float sums[RUN_TOKENS_MAX][ROWS];
    for (uint32_t row = product->row_begin; row < product->row_end; row += ROWS) {
        const uint32_t rows = product->row_end - row < ROWS ? product->row_end - row : ROWS;
        multiply_group(kind, product->matrix->data + row / ROWS * group_bytes, run, sums);
        float *y = product->y + run->begin * product->y_stride + row;
        for (uint32_t t = 0; t < run->count; t++) {
            memcpy(y + t * product->y_stride, sums[t], rows * sizeof(float));
        }
    }
}

void tp_multiply_floats_avx2(const tp_matrix_product *product)
{
    for (uint32_t token = 0; token < product->token_count; token += RUN_TOKENS_MAX) {
        const uint32_t left = product->token_count - token;
        const token_run run = {product, token, left < RUN_TOKENS_MAX ? left : RUN_TOKENS_MAX};
        switch ((int)product->matrix->kind) {
        case TP_MATRIX_F32:
            multiply_rows(TP_MATRIX_F32, &run);
            break;
        case TP_MATRIX_F16:
            multiply_rows(TP_MATRIX_F16, &run);
            break;
        default:
            multiply_rows(TP_MATRIX_BF16, &run);
            break;
        }
    }
}
