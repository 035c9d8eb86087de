// SPDX-License-Identifier: Apache-2.0
//
// Attention's products with AVX2: a lane is a position where queries meet keys and a channel where
// weights meet values. Up to four rows share what is loaded; that changes no sum's order.
#include "kernels/float_priv.h"

#include <immintrin.h>

enum { LANES = FLOAT_LANES, ROWS = 4 };

static __m256 multiply_add(float a, __m256 b, __m256 sum)
{
    return _mm256_add_ps(sum, _mm256_mul_ps(_mm256_set1_ps(a), b));
}

// `rows` queries times `vectors` groups of eight positions. Both are constants where it is called,
// so that the sums stay in registers.
static inline __attribute__((always_inline)) void
score_tile(const tp_score_job *job, uint32_t row, uint32_t rows, uint32_t lane, uint32_t vectors)
{
    const float *query = job->queries + row * job->query_stride;
    const size_t group = (size_t)job->size * LANES;
    const float *keys = job->keys + lane * group;
    __m256 sums[ROWS][2];
    for (uint32_t r = 0; r < rows; r++) {
        for (uint32_t v = 0; v < vectors; v++) {
            sums[r][v] = _mm256_setzero_ps();
        }
    }
    for (uint32_t i = 0; i < job->size; i++) {
        for (uint32_t v = 0; v < vectors; v++) {
            const __m256 key = _mm256_loadu_ps(keys + v * group + (size_t)i * LANES);
            for (uint32_t r = 0; r < rows; r++) {
                sums[r][v] = multiply_add(query[r * job->query_stride + i], key, sums[r][v]);
            }
        }
    }
    for (uint32_t r = 0; r < rows; r++) {
        for (uint32_t v = 0; v < vectors; v++) {
            _mm256_storeu_ps(job->ret + (row + r) * job->ret_stride + (lane + v) * LANES,
                             sums[r][v]);
        }
    }
}

static inline __attribute__((always_inline)) void score_rows(const tp_score_job *job, uint32_t row,
                                                             uint32_t rows)
{
    uint32_t lane = 0;
    for (; lane + 2 <= job->lanes; lane += 2) {
        score_tile(job, row, rows, lane, 2);
    }
    if (lane < job->lanes) {
        score_tile(job, row, rows, lane, 1);
    }
}

static void score(const tp_score_job *job)
{
    uint32_t row = 0;
    for (; row + ROWS <= job->rows; row += ROWS) {
        score_rows(job, row, ROWS);
    }
    switch (job->rows - row) {
    case 3:
        score_rows(job, row, 3);
        break;
    case 2:
        score_rows(job, row, 2);
        break;
    case 1:
        score_rows(job, row, 1);
        break;
    default:
        break;
    }
}

static inline __attribute__((always_inline)) void
weigh_tile(const tp_weigh_job *job, uint32_t row, uint32_t rows, uint32_t channel, uint32_t vectors)
{
    const float *weights = job->weights + row * job->weight_stride;
    float *out = job->sums + row * job->sum_stride + channel;
    __m256 sums[ROWS][2];
    for (uint32_t r = 0; r < rows; r++) {
        for (uint32_t v = 0; v < vectors; v++) {
            sums[r][v] = _mm256_loadu_ps(out + r * job->sum_stride + (size_t)v * LANES);
        }
    }
    for (uint32_t p = 0; p < job->positions; p++) {
        const float *values = job->values + (size_t)p * job->size + channel;
        for (uint32_t v = 0; v < vectors; v++) {
            const __m256 value = _mm256_loadu_ps(values + (size_t)v * LANES);
            for (uint32_t r = 0; r < rows; r++) {
                sums[r][v] = multiply_add(weights[r * job->weight_stride + p], value, sums[r][v]);
            }
        }
    }
    for (uint32_t r = 0; r < rows; r++) {
        for (uint32_t v = 0; v < vectors; v++) {
            _mm256_storeu_ps(out + r * job->sum_stride + (size_t)v * LANES, sums[r][v]);
        }
    }
}

static inline __attribute__((always_inline)) void weigh_rows(const tp_weigh_job *job, uint32_t row,
                                                             uint32_t rows)
{
    uint32_t channel = 0;
    for (; channel + 2 * LANES <= job->size; channel += 2 * LANES) {
        weigh_tile(job, row, rows, channel, 2);
    }
    if (channel < job->size) {
        weigh_tile(job, row, rows, channel, 1);
    }
}

static void weigh(const tp_weigh_job *job)
{
    uint32_t row = 0;
    for (; row + ROWS <= job->rows; row += ROWS) {
        weigh_rows(job, row, ROWS);
    }
    switch (job->rows - row) {
    case 3:
        weigh_rows(job, row, 3);
        break;
    case 2:
        weigh_rows(job, row, 2);
        break;
    case 1:
        weigh_rows(job, row, 1);
        break;
    default:
        break;
    }
}

void tp_kernels_attend_init_avx2(tp_kernels_float *kernels)
{
    kernels->score = score;
    kernels->weigh = weigh;
}
