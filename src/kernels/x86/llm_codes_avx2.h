// SPDX-License-Identifier: Apache-2.0
//
// How the codes and scales of packed matrices come apart with AVX2. A vector holds eight rows, and
// of each two inputs as 16-bit lanes. The same code either multiplies what it takes apart at once,
// for a single token, or stores it, for many: `llm_take` decides, a constant at each use.
#ifndef LLM_CODES_AVX2_H
#define LLM_CODES_AVX2_H

#include "kernels/llm_kernels_priv.h"

#include <immintrin.h>
#include <string.h>

#define LLM_INLINE static inline __attribute__((always_inline))

enum { LLM_PAIRS = TP_MATRIX_BLOCK / 2, LLM_PARTS = 8 };

// Where weights go. With `q` they are multiplied and added up, over either half of the block and
// either half of the rows; else they are stored, less the bias.
typedef struct llm_take {
    const int16_t *q;
    __m256i sums[2][2]; // [half of the inputs][half of the rows]
    int16_t *weights;   // [pair][16 rows][2]
    __m256i bias;
} llm_take;

LLM_INLINE __m256i llm_load(const void *data)
{
    return _mm256_loadu_si256((const __m256i *)data);
}

// Both inputs of a pair, for 16 rows.
LLM_INLINE void llm_put(llm_take *take, int pair, __m256i low, __m256i high)
{
    if (take->q == NULL) {
        __m256i *to = (__m256i *)(void *)(take->weights + (size_t)pair * 32);
        _mm256_storeu_si256(to, _mm256_sub_epi16(low, take->bias));
        _mm256_storeu_si256(to + 1, _mm256_sub_epi16(high, take->bias));
        return;
    }
    int32_t both = 0;
    memcpy(&both, take->q + (size_t)pair * 2, sizeof(both));
    const __m256i x = _mm256_set1_epi32(both);
    __m256i *sums = take->sums[pair / 8];
    sums[0] = _mm256_add_epi32(sums[0], _mm256_madd_epi16(low, x));
    sums[1] = _mm256_add_epi32(sums[1], _mm256_madd_epi16(high, x));
}

LLM_INLINE __m256i llm_field(__m256i lanes, int shift, int mask)
{
    const __m256i moved = shift == 0 ? lanes : _mm256_srli_epi16(lanes, shift);
    return mask == 0 ? moved : _mm256_and_si256(moved, _mm256_set1_epi16((int16_t)mask));
}

LLM_INLINE void llm_take_4(const uint8_t *codes, llm_take *take)
{
#pragma GCC unroll 6
    for (int v = 0; v < 4; v++) {
        const __m256i a = llm_load(codes + (size_t)v * 64);
        const __m256i b = llm_load(codes + (size_t)v * 64 + 32);
        llm_put(take, 4 * v, llm_field(a, 0, 15), llm_field(b, 0, 15));
        llm_put(take, 4 * v + 1, llm_field(a, 4, 15), llm_field(b, 4, 15));
        llm_put(take, 4 * v + 2, llm_field(a, 8, 15), llm_field(b, 8, 15));
        llm_put(take, 4 * v + 3, llm_field(a, 12, 0), llm_field(b, 12, 0));
    }
}

// The bits that the last pair has in the others' lanes.
LLM_INLINE __m256i llm_add_bit(__m256i code, __m256i lanes, int v)
{
    const __m256i bit = _mm256_and_si256(lanes, _mm256_set1_epi16(1 << 10));
    return _mm256_or_si256(code, _mm256_srli_epi16(bit, 10 - v));
}

LLM_INLINE void llm_take_5(const uint8_t *codes, llm_take *take)
{
    __m256i last_a = _mm256_setzero_si256();
    __m256i last_b = last_a;
#pragma GCC unroll 6
    for (int v = 0; v < 5; v++) {
        const __m256i a = llm_load(codes + (size_t)v * 64);
        const __m256i b = llm_load(codes + (size_t)v * 64 + 32);
        llm_put(take, 3 * v, llm_field(a, 0, 31), llm_field(b, 0, 31));
        llm_put(take, 3 * v + 1, llm_field(a, 5, 31), llm_field(b, 5, 31));
        llm_put(take, 3 * v + 2, llm_field(a, 11, 0), llm_field(b, 11, 0));
        last_a = llm_add_bit(last_a, a, v);
        last_b = llm_add_bit(last_b, b, v);
    }
    llm_put(take, 15, last_a, last_b);
}

// Codes 12 and on: four bits of `low` and two of `high`, from bit `shift` on.
LLM_INLINE __m256i llm_join_6(__m256i low, __m256i high, int shift)
{
    const __m256i two = _mm256_and_si256(_mm256_srli_epi16(high, shift - 4), _mm256_set1_epi16(48));
    return _mm256_or_si256(llm_field(low, 6, 15), two);
}

LLM_INLINE void llm_take_6(const uint8_t *codes, llm_take *take)
{
#pragma GCC unroll 2
    for (int triple = 0; triple < 2; triple++) {
        __m256i a[3];
        __m256i b[3];
#pragma GCC unroll 3
        for (int i = 0; i < 3; i++) {
            const int v = 3 * triple + i;
            a[i] = llm_load(codes + (size_t)v * 64);
            b[i] = llm_load(codes + (size_t)v * 64 + 32);
            llm_put(take, 2 * v, llm_field(a[i], 0, 63), llm_field(b[i], 0, 63));
            llm_put(take, 2 * v + 1, llm_field(a[i], 10, 0), llm_field(b[i], 10, 0));
        }
#pragma GCC unroll 2
        for (int odd = 0; odd < 2; odd++) {
            llm_put(take, 12 + 2 * triple + odd, llm_join_6(a[odd], a[2], 6 + 2 * odd),
                    llm_join_6(b[odd], b[2], 6 + 2 * odd));
        }
    }
}

LLM_INLINE void llm_take_8(const uint8_t *codes, llm_take *take)
{
#pragma GCC unroll 16
    for (int pair = 0; pair < LLM_PAIRS; pair++) {
        const __m128i *at = (const __m128i *)(const void *)(codes + (size_t)pair * 32);
        llm_put(take, pair, _mm256_cvtepi8_epi16(_mm_loadu_si128(at)),
                _mm256_cvtepi8_epi16(_mm_loadu_si128(at + 1)));
    }
}

LLM_INLINE void llm_take_codes(llm_code_form form, const uint8_t *codes, llm_take *take)
{
    switch (form) {
    case LLM_CODE_4:
        llm_take_4(codes, take);
        break;
    case LLM_CODE_5:
        llm_take_5(codes, take);
        break;
    case LLM_CODE_6:
        llm_take_6(codes, take);
        break;
    case LLM_CODE_8:
        llm_take_8(codes, take);
        break;
    case LLM_CODE_NONE:
        break;
    }
}

// -- scales --------------------------------------------------------------------------------------

// Of a block of 32 inputs and 16 rows. Kinds with one scale for 32 inputs have it in half 0.
typedef struct llm_scales {
    __m256 scales[2][2]; // [half of the inputs][half of the rows]
    __m256 mins[2][2];
} llm_scales;

LLM_INLINE __m256 llm_halves(const uint8_t *data)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)data));
}

LLM_INLINE __m256 llm_unsigned_bytes(const uint8_t *data)
{
    return _mm256_cvtepi32_ps(
        _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)data)));
}

LLM_INLINE __m256 llm_signed_bytes(const uint8_t *data)
{
    return _mm256_cvtepi32_ps(
        _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)data)));
}

LLM_INLINE __m256 llm_floats(const uint8_t *data)
{
    return _mm256_castsi256_ps(llm_load(data));
}

LLM_INLINE __m256 llm_negated(__m256 x)
{
    return _mm256_xor_ps(x, _mm256_set1_ps(-0.0f));
}

// `shared` is of the 256 inputs, where the kind has that.
LLM_INLINE void llm_take_scales(llm_scale_form form, const uint8_t *shared, const uint8_t *scales,
                                llm_scales *ret)
{
#pragma GCC unroll 2
    for (int h = 0; h < 2; h++) {
        const size_t row = (size_t)h * 8;
        switch (form) {
        case LLM_SCALE_HALF_MIN:
            ret->scales[0][h] = llm_halves(scales + row * 2);
            ret->mins[0][h] = llm_halves(scales + 32 + row * 2);
            break;
        case LLM_SCALE_HALF:
            ret->scales[0][h] = llm_halves(scales + row * 2);
            break;
        case LLM_SCALE_SUPER:
            ret->scales[0][h] =
                _mm256_mul_ps(llm_halves(shared + row * 2), llm_unsigned_bytes(scales + row));
            ret->mins[0][h] = llm_negated(_mm256_mul_ps(llm_halves(shared + 32 + row * 2),
                                                        llm_unsigned_bytes(scales + 16 + row)));
            break;
        case LLM_SCALE_SUPER_16:
#pragma GCC unroll 2
            for (int half = 0; half < 2; half++) {
                ret->scales[half][h] =
                    _mm256_mul_ps(llm_halves(shared + row * 2),
                                  llm_signed_bytes(scales + (size_t)half * 16 + row));
            }
            break;
        case LLM_SCALE_FLOAT_16:
#pragma GCC unroll 2
            for (int half = 0; half < 2; half++) {
                ret->scales[half][h] = llm_floats(scales + (size_t)half * 64 + row * 4);
                ret->mins[half][h] = llm_floats(scales + 128 + (size_t)half * 64 + row * 4);
            }
            break;
        case LLM_SCALE_NONE:
            break;
        }
    }
}

#endif
