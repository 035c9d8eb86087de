// SPDX-License-Identifier: Apache-2.0
//
// Activations to 16 bits with AVX2: a block is four vectors. Blocks that are tiny or not finite go
// to `ref`.
#include "kernels/llm_kernels_priv.h"

#include <immintrin.h>

enum { INPUTS = TP_MATRIX_BLOCK, VECTORS = INPUTS / 8 };

static inline uint32_t greatest(__m256i bits)
{
    __m128i most = _mm_max_epi32(_mm256_castsi256_si128(bits), _mm256_extracti128_si256(bits, 1));
    most = _mm_max_epi32(most, _mm_shuffle_epi32(most, 0x4e));
    most = _mm_max_epi32(most, _mm_shuffle_epi32(most, 0xb1));
    return (uint32_t)_mm_cvtsi128_si32(most);
}

static inline int32_t sum_of(__m256i values)
{
    __m128i sum =
        _mm_add_epi32(_mm256_castsi256_si128(values), _mm256_extracti128_si256(values, 1));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1));
    return _mm_cvtsi128_si32(sum);
}

static inline void store_block(const __m256 *x, float magnitude, tp_q16_block *ret)
{
    const float scale = magnitude / 32767.0f;
    const __m256 divisor = _mm256_set1_ps(scale);
    for (int half = 0; half < 2; half++) {
        const __m256i a = _mm256_cvtps_epi32(_mm256_div_ps(x[2 * half], divisor));
        const __m256i b = _mm256_cvtps_epi32(_mm256_div_ps(x[2 * half + 1], divisor));
        const __m256i packed = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
        _mm256_storeu_si256((__m256i *)(void *)(ret->q + half * 16), packed);
        ret->sums[half] = sum_of(_mm256_add_epi32(a, b));
    }
    ret->scale = scale;
    ret->scaled_sum = scale * (float)(ret->sums[0] + ret->sums[1]);
}

void tp_quantize_q16_avx2(const float *x, size_t block_count, tp_q16_block *ret_blocks)
{
    const __m256i magnitude_bits = _mm256_set1_epi32(INT32_MAX);
    for (size_t i = 0; i < block_count; i++) {
        __m256 values[VECTORS];
        __m256i most = _mm256_setzero_si256();
        for (int v = 0; v < VECTORS; v++) {
            values[v] = _mm256_loadu_ps(x + i * INPUTS + (size_t)v * 8);
            const __m256i bits = _mm256_and_si256(_mm256_castps_si256(values[v]), magnitude_bits);
            most = _mm256_max_epi32(most, bits);
        }
        const uint32_t bits = greatest(most);
        const float magnitude = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128((int)bits)));
        if (bits >= LLM_INFINITY_BITS || magnitude < LLM_TINY) {
            tp_quantize_q16_ref(x + i * INPUTS, 1, ret_blocks + i);
        } else {
            store_block(values, magnitude, ret_blocks + i);
        }
    }
}
