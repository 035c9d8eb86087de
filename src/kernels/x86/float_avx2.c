// SPDX-License-Identifier: Apache-2.0
//
// Norms, activations and softmax with AVX2: eight lanes, each the operations of ref/float_ref.c in
// their order, without fused multiply-add. The eight sums of a vector are one register's lanes.
// What is left behind the last whole vector goes through a padded one.
#include "kernels/float_priv.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

enum { LANES = FLOAT_LANES };

static __m256 splat(float x)
{
    return _mm256_set1_ps(x);
}

static __m256 add(__m256 a, __m256 b)
{
    return _mm256_add_ps(a, b);
}

static __m256 mul(__m256 a, __m256 b)
{
    return _mm256_mul_ps(a, b);
}

// The first `count` (below 8) elements, zeros behind them.
static __m256 load_some(const float *x, size_t count)
{
    float padded[LANES] = {0};
    memcpy(padded, x, count * sizeof(*x));
    return _mm256_loadu_ps(padded);
}

static void store_some(float *ret, __m256 x, size_t count)
{
    float padded[LANES];
    _mm256_storeu_ps(padded, x);
    memcpy(ret, padded, count * sizeof(*ret));
}

static float add_lanes(__m256 sums)
{
    const __m128 t = _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps(sums, 1));
    const __m128 u = _mm_add_ps(t, _mm_movehl_ps(t, t));
    return _mm_cvtss_f32(_mm_add_ss(u, _mm_shuffle_ps(u, u, 1)));
}

static __m256 exp_of(__m256 x)
{
    const __m256 low = _mm256_cmp_ps(x, splat(FLOAT_EXP_MIN), _CMP_LT_OQ);
    const __m256 high = _mm256_cmp_ps(x, splat(FLOAT_EXP_MAX), _CMP_GT_OQ);
    const __m256 odd = _mm256_cmp_ps(x, x, _CMP_UNORD_Q);
    const __m256 shifted = add(mul(x, splat(FLOAT_LN2_INVERSE)), splat(FLOAT_ROUND));
    const __m256 k = _mm256_sub_ps(shifted, splat(FLOAT_ROUND));
    const __m256 r = _mm256_sub_ps(_mm256_sub_ps(x, mul(k, splat(FLOAT_LN2_HIGH))),
                                   mul(k, splat(FLOAT_LN2_LOW)));
    __m256 y = splat(FLOAT_EXP_C7);
    y = add(mul(y, r), splat(FLOAT_EXP_C6));
    y = add(mul(y, r), splat(FLOAT_EXP_C5));
    y = add(mul(y, r), splat(FLOAT_EXP_C4));
    y = add(mul(y, r), splat(FLOAT_EXP_C3));
    y = add(mul(y, r), splat(FLOAT_EXP_C2));
    y = add(mul(y, r), splat(1));
    y = add(mul(y, r), splat(1));
    const __m256i exponent = _mm256_slli_epi32(_mm256_castps_si256(shifted), 23);
    y = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(y), exponent));
    y = _mm256_andnot_ps(low, y);
    y = _mm256_blendv_ps(y, splat(INFINITY), high);
    return _mm256_blendv_ps(y, x, odd);
}

static __m256 negative(__m256 x)
{
    return _mm256_xor_ps(x, splat(-0.0f));
}

// -- norms ---------------------------------------------------------------------------------------

static void rms_norm(const float *x, const float *weights, float epsilon, size_t count, float *ret)
{
    const size_t whole = count - count % LANES;
    __m256 sums = _mm256_setzero_ps();
    for (size_t i = 0; i < whole; i += LANES) {
        const __m256 v = _mm256_loadu_ps(x + i);
        sums = add(sums, mul(v, v));
    }
    if (whole < count) {
        const __m256 v = load_some(x + whole, count - whole);
        sums = add(sums, mul(v, v));
    }
    const float scale = 1.0f / sqrtf(add_lanes(sums) / (float)count + epsilon);
    for (size_t i = 0; i < whole; i += LANES) {
        const __m256 v = mul(_mm256_loadu_ps(x + i), splat(scale));
        _mm256_storeu_ps(ret + i, mul(v, _mm256_loadu_ps(weights + i)));
    }
    for (size_t i = whole; i < count; i++) {
        ret[i] = x[i] * scale * weights[i];
    }
}

// -- activations ---------------------------------------------------------------------------------

static __m256 silu_of(__m256 gate, __m256 up)
{
    return mul(_mm256_div_ps(gate, add(splat(1), exp_of(negative(gate)))), up);
}

static __m256 gelu_of(__m256 x, __m256 up)
{
    const __m256 cubic = add(splat(1), mul(mul(splat(FLOAT_GELU_CUBIC), x), x));
    const __m256 u = mul(mul(splat(FLOAT_GELU_SLOPE), x), cubic);
    return mul(_mm256_div_ps(x, add(splat(1), exp_of(negative(u)))), up);
}

static void silu_multiply(const float *gate, const float *up, size_t count, float *ret)
{
    size_t i = 0;
    for (; count - i >= LANES; i += LANES) {
        _mm256_storeu_ps(ret + i, silu_of(_mm256_loadu_ps(gate + i), _mm256_loadu_ps(up + i)));
    }
    const size_t left = count - i;
    store_some(ret + i, silu_of(load_some(gate + i, left), load_some(up + i, left)), left);
}

static void gelu_multiply(const float *gate, const float *up, size_t count, float *ret)
{
    size_t i = 0;
    for (; count - i >= LANES; i += LANES) {
        _mm256_storeu_ps(ret + i, gelu_of(_mm256_loadu_ps(gate + i), _mm256_loadu_ps(up + i)));
    }
    const size_t left = count - i;
    store_some(ret + i, gelu_of(load_some(gate + i, left), load_some(up + i, left)), left);
}

static __m256 gelu_erf_of(__m256 x)
{
    const __m256 z = mul(_mm256_andnot_ps(splat(-0.0f), x), splat(FLOAT_SQRT_HALF));
    const __m256 t = _mm256_div_ps(splat(1), add(splat(1), mul(splat(FLOAT_ERF_P), z)));
    __m256 y = splat(FLOAT_ERF_A5);
    y = add(mul(y, t), splat(FLOAT_ERF_A4));
    y = add(mul(y, t), splat(FLOAT_ERF_A3));
    y = add(mul(y, t), splat(FLOAT_ERF_A2));
    y = add(mul(y, t), splat(FLOAT_ERF_A1));
    const __m256 tail = mul(mul(y, t), exp_of(negative(mul(z, z))));
    const __m256 below = _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_LT_OQ);
    const __m256 part = _mm256_blendv_ps(_mm256_sub_ps(splat(2), tail), tail, below);
    return mul(mul(x, splat(0.5f)), part);
}

static void gelu_erf(const float *x, size_t count, float *ret)
{
    size_t i = 0;
    for (; count - i >= LANES; i += LANES) {
        _mm256_storeu_ps(ret + i, gelu_erf_of(_mm256_loadu_ps(x + i)));
    }
    store_some(ret + i, gelu_erf_of(load_some(x + i, count - i)), count - i);
}

// -- softmax -------------------------------------------------------------------------------------

static float greatest_of(const float *x, size_t count)
{
    if (count < LANES) {
        float greatest = x[0];
        for (size_t i = 1; i < count; i++) {
            greatest = x[i] > greatest ? x[i] : greatest;
        }
        return greatest;
    }
    // As `ref`: a later value wins where it is greater. Only a NaN among the values tells the
    // orders apart, and then every result is NaN; the last vector may overlap the one before.
    __m256 most = _mm256_loadu_ps(x);
    for (size_t i = LANES; i + LANES <= count; i += LANES) {
        most = _mm256_max_ps(_mm256_loadu_ps(x + i), most);
    }
    most = _mm256_max_ps(_mm256_loadu_ps(x + count - LANES), most);
    float lanes[LANES];
    _mm256_storeu_ps(lanes, most);
    float greatest = lanes[0];
    for (size_t i = 1; i < LANES; i++) {
        greatest = lanes[i] > greatest ? lanes[i] : greatest;
    }
    return greatest;
}

static float softmax(float *x, size_t count)
{
    const __m256 greatest = splat(greatest_of(x, count));
    __m256 sums = _mm256_setzero_ps();
    size_t i = 0;
    for (; count - i >= LANES; i += LANES) {
        const __m256 y = exp_of(_mm256_sub_ps(_mm256_loadu_ps(x + i), greatest));
        _mm256_storeu_ps(x + i, y);
        sums = add(sums, y);
    }
    if (i < count) {
        const __m256 y = exp_of(_mm256_sub_ps(load_some(x + i, count - i), greatest));
        store_some(x + i, y, count - i);
        sums = add(sums, load_some(x + i, count - i));
    }
    return add_lanes(sums);
}

static void half_to_float(const uint16_t *x, size_t count, float *ret)
{
    size_t i = 0;
    for (; count - i >= LANES; i += LANES) {
        const __m128i half = _mm_loadu_si128((const __m128i *)(const void *)(x + i));
        _mm256_storeu_ps(ret + i, _mm256_cvtph_ps(half));
    }
    tp_half_to_float_ref(x + i, count - i, ret + i);
}

static void float_to_half(const float *x, size_t count, uint16_t *ret)
{
    size_t i = 0;
    for (; count - i >= LANES; i += LANES) {
        const __m128i half = _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT);
        _mm_storeu_si128((__m128i *)(void *)(ret + i), half);
    }
    tp_float_to_half_ref(x + i, count - i, ret + i);
}

void tp_kernels_float_init_avx2(tp_kernels_float *kernels)
{
    kernels->rms_norm = rms_norm;
    kernels->silu_multiply = silu_multiply;
    kernels->gelu_multiply = gelu_multiply;
    kernels->gelu_erf = gelu_erf;
    kernels->softmax = softmax;
    kernels->half_to_float = half_to_float;
    kernels->float_to_half = float_to_half;
    tp_kernels_attend_init_avx2(kernels);
}
