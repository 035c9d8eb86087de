// SPDX-License-Identifier: Apache-2.0
//
// exp, log, log1p and logistic over arrays with AVX2: four lanes, each the operations of ref/math.c
// in their order, without fused multiply-add, so that every lane has the bits of `ref`. Four
// numbers among which one is odd (infinite, NaN, denormal, out of range) go to `ref` one by one,
// and so do the last few of an array.
#include "kernels/tp_kernels_math.h"

#include "kernels/math_priv.h"
#include "kernels/tp_math.h"

#include <immintrin.h>
#include <math.h>
#include <stdbool.h>

enum { LANES = 4 };

static __m256d splat(double x)
{
    return _mm256_set1_pd(x);
}

static __m256d add(__m256d a, __m256d b)
{
    return _mm256_add_pd(a, b);
}

static __m256d sub(__m256d a, __m256d b)
{
    return _mm256_sub_pd(a, b);
}

static __m256d mul(__m256d a, __m256d b)
{
    return _mm256_mul_pd(a, b);
}

// a + b x
static __m256d line(double a, double b, __m256d x)
{
    return add(splat(a), mul(splat(b), x));
}

static __m256d absolute(__m256d x)
{
    return _mm256_andnot_pd(splat(-0.0), x);
}

static bool all(__m256d mask)
{
    return _mm256_movemask_pd(mask) == (1 << LANES) - 1;
}

// -- exp -----------------------------------------------------------------------------------------

static bool exp_is_ordinary(__m256d x)
{
    return all(_mm256_cmp_pd(absolute(x), splat(MATH_EXP_ORDINARY), _CMP_LE_OQ));
}

static __m256d exp_ordinary(__m256d x)
{
    const __m256d shifted = add(mul(x, splat(MATH_LN2_INVERSE)), splat(MATH_ROUND));
    const __m256d k = sub(shifted, splat(MATH_ROUND));
    const __m256d high = sub(x, mul(k, splat(MATH_LN2_HIGH)));
    const __m256d low = mul(k, splat(MATH_LN2_LOW));
    const __m256d r = sub(high, low);
    const __m256d c = sub(sub(high, r), low);
    const __m256d r2 = mul(r, r);
    const __m256d r4 = mul(r2, r2);
    const __m256d r8 = mul(r4, r4);
    const __m256d b0 =
        add(line(MATH_EXP_C2, MATH_EXP_C3, r), mul(line(MATH_EXP_C4, MATH_EXP_C5, r), r2));
    const __m256d b1 =
        add(line(MATH_EXP_C6, MATH_EXP_C7, r), mul(line(MATH_EXP_C8, MATH_EXP_C9, r), r2));
    const __m256d b2 =
        add(line(MATH_EXP_C10, MATH_EXP_C11, r), mul(line(MATH_EXP_C12, MATH_EXP_C13, r), r2));
    const __m256d p = add(add(b0, mul(b1, r4)), mul(b2, r8));
    const __m256d q = add(mul(r2, p), add(c, mul(c, r)));
    const __m256d y = add(splat(1), add(r, q));
    // k stands in the low bits of `shifted`; the shift drops the others.
    const __m256i exponent = _mm256_slli_epi64(_mm256_castpd_si256(shifted), 52);
    return _mm256_castsi256_pd(_mm256_add_epi64(_mm256_castpd_si256(y), exponent));
}

void tp_exp_f64_avx2(const double *in, double *out, size_t count)
{
    size_t i = 0;
    for (; count - i >= LANES; i += LANES) {
        const __m256d x = _mm256_loadu_pd(in + i);
        if (exp_is_ordinary(x)) {
            _mm256_storeu_pd(out + i, exp_ordinary(x));
        } else {
            tp_exp_f64_ref(in + i, out + i, LANES);
        }
    }
    tp_exp_f64_ref(in + i, out + i, count - i);
}

void tp_logistic_f64_avx2(const double *in, double *out, size_t count)
{
    size_t i = 0;
    for (; count - i >= LANES; i += LANES) {
        const __m256d x = _mm256_loadu_pd(in + i);
        if (exp_is_ordinary(x)) {
            const __m256d e = exp_ordinary(_mm256_or_pd(x, splat(-0.0)));
            const __m256d is_negative = _mm256_cmp_pd(x, _mm256_setzero_pd(), _CMP_LT_OQ);
            const __m256d above = _mm256_blendv_pd(splat(1), e, is_negative);
            _mm256_storeu_pd(out + i, _mm256_div_pd(above, add(splat(1), e)));
        } else {
            tp_logistic_f64_ref(in + i, out + i, LANES);
        }
    }
    tp_logistic_f64_ref(in + i, out + i, count - i);
}

// -- log -----------------------------------------------------------------------------------------

static __m256d log_split(__m256d x, __m256d *ret_k)
{
    const __m256i one = _mm256_set1_epi64x((long long)MATH_ONE_BITS);
    const __m256i root = _mm256_set1_epi64x((long long)MATH_SQRT_HALF_BITS);
    const __m256i bits = _mm256_castpd_si256(x);
    const __m256i biased = _mm256_add_epi64(_mm256_sub_epi64(bits, root), one);
    const __m256i exponent = _mm256_srli_epi64(biased, 52);
    // An integer below 2^52 set into the low bits of 2^52 is 2^52 and that integer.
    const __m256d magic = splat(0x1p52);
    const __m256d number = _mm256_or_pd(_mm256_castsi256_pd(exponent), magic);
    *ret_k = sub(sub(number, magic), splat(1023));
    const __m256i shift = _mm256_sub_epi64(_mm256_slli_epi64(exponent, 52), one);
    return sub(_mm256_castsi256_pd(_mm256_sub_epi64(bits, shift)), splat(1));
}

static __m256d log_sum(__m256d f, __m256d k, __m256d c)
{
    const __m256d s = _mm256_div_pd(f, add(splat(2), f));
    const __m256d z = mul(s, s);
    const __m256d z2 = mul(z, z);
    const __m256d z4 = mul(z2, z2);
    const __m256d z8 = mul(z4, z4);
    const __m256d b0 =
        add(line(MATH_LOG_C1, MATH_LOG_C2, z), mul(line(MATH_LOG_C3, MATH_LOG_C4, z), z2));
    const __m256d b1 =
        add(line(MATH_LOG_C5, MATH_LOG_C6, z), mul(line(MATH_LOG_C7, MATH_LOG_C8, z), z2));
    const __m256d b2 = line(MATH_LOG_C9, MATH_LOG_C10, z);
    const __m256d series = mul(z, add(add(b0, mul(b1, z4)), mul(b2, z8)));
    const __m256d half = mul(mul(splat(0.5), f), f);
    const __m256d rest = add(mul(s, add(half, series)), add(mul(k, splat(MATH_LN2_LOW)), c));
    return sub(mul(k, splat(MATH_LN2_HIGH)), sub(sub(half, rest), f));
}

void tp_log_f64_avx2(const double *in, double *out, size_t count)
{
    size_t i = 0;
    for (; count - i >= LANES; i += LANES) {
        const __m256d x = _mm256_loadu_pd(in + i);
        const __m256d is_ordinary = _mm256_and_pd(_mm256_cmp_pd(x, splat(0x1p-1022), _CMP_GE_OQ),
                                                  _mm256_cmp_pd(x, splat(INFINITY), _CMP_LT_OQ));
        if (all(is_ordinary)) {
            __m256d k;
            const __m256d f = log_split(x, &k);
            _mm256_storeu_pd(out + i, log_sum(f, k, _mm256_setzero_pd()));
        } else {
            tp_log_f64_ref(in + i, out + i, LANES);
        }
    }
    tp_log_f64_ref(in + i, out + i, count - i);
}

static bool log1p_is_ordinary(__m256d x)
{
    const __m256d inside = _mm256_and_pd(_mm256_cmp_pd(x, splat(-1), _CMP_GT_OQ),
                                         _mm256_cmp_pd(x, splat(INFINITY), _CMP_LT_OQ));
    return all(
        _mm256_and_pd(inside, _mm256_cmp_pd(absolute(x), splat(MATH_LOG1P_TINY), _CMP_GE_OQ)));
}

void tp_log1p_f64_avx2(const double *in, double *out, size_t count)
{
    size_t i = 0;
    for (; count - i >= LANES; i += LANES) {
        const __m256d x = _mm256_loadu_pd(in + i);
        if (log1p_is_ordinary(x)) {
            const __m256d one = splat(1);
            const __m256d u = add(one, x);
            const __m256d back = sub(u, one);
            const __m256d lost = add(sub(one, sub(u, back)), sub(x, back));
            __m256d k;
            const __m256d f = log_split(u, &k);
            _mm256_storeu_pd(out + i, log_sum(f, k, _mm256_div_pd(lost, u)));
        } else {
            tp_log1p_f64_ref(in + i, out + i, LANES);
        }
    }
    tp_log1p_f64_ref(in + i, out + i, count - i);
}
