// SPDX-License-Identifier: Apache-2.0
//
// The definition of exp, log and what is made of them, and of their arrays.
//
// exp: x = k ln 2 + r with ln 2 in two parts (Cody and Waite, Software Manual for the Elementary
// Functions, 1980), |r| <= 0.3466, then the Taylor series to r^13. log: x = 2^k (1 + f), s =
// f/(2+f), log(1 + f) = f - (f²/2 - s (f²/2 + R)) with R = 2/3 s² + 2/5 s⁴ + ... , in which the
// large part f is exact (K.-C. Ng's arrangement in FDLIBM, 1993). The order of every sum is part of
// the definition: the variants do the same operations lane by lane.
//
// tests/kernels/test_math.c prints the largest errors over a million random arguments.
#include "kernels/tp_math.h"

#include "kernels/math_priv.h"
#include "kernels/tp_kernels_math.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static uint64_t bits_of(double x)
{
    uint64_t bits = 0;
    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

static double of_bits(uint64_t bits)
{
    double x = 0;
    memcpy(&x, &bits, sizeof(x));
    return x;
}

// 2^k for an exponent of normal numbers.
static double power_of_two(int k)
{
    return of_bits((uint64_t)(k + 1023) << 52);
}

// -- exp -----------------------------------------------------------------------------------------

// exp(x) = 2^k (1 + (r + q)).
typedef struct exp_parts {
    double r;
    double q;
    int k;
} exp_parts;

// For |x| < 2^20 or so. `tail` is added to x, to more digits than x + tail would have.
static exp_parts exp_reduce(double x, double tail)
{
    const double k = x * MATH_LN2_INVERSE + MATH_ROUND - MATH_ROUND;
    const double high = x - k * MATH_LN2_HIGH; // exact
    const double low = k * MATH_LN2_LOW - tail;
    const double r = high - low;
    const double c = (high - r) - low; // what the rounding of r lost
    const double r2 = r * r;
    const double r4 = r2 * r2;
    const double r8 = r4 * r4;
    const double b0 = (MATH_EXP_C2 + MATH_EXP_C3 * r) + (MATH_EXP_C4 + MATH_EXP_C5 * r) * r2;
    const double b1 = (MATH_EXP_C6 + MATH_EXP_C7 * r) + (MATH_EXP_C8 + MATH_EXP_C9 * r) * r2;
    const double b2 = (MATH_EXP_C10 + MATH_EXP_C11 * r) + (MATH_EXP_C12 + MATH_EXP_C13 * r) * r2;
    const double p = (b0 + b1 * r4) + b2 * r8;
    return (exp_parts){.r = r, .q = r2 * p + (c + c * r), .k = (int)k};
}

// y 2^k in two steps, so that what overflows or is denormal rounds once, at the end.
static double scale(double y, int k)
{
    const int half = k / 2;
    return y * power_of_two(half) * power_of_two(k - half);
}

static double exp_far(double x, double tail)
{
    if (x != x) {
        return x;
    }
    if (x > 710) {
        return INFINITY;
    }
    if (x < -746) {
        return 0;
    }
    const exp_parts parts = exp_reduce(x, tail);
    return scale(1 + (parts.r + parts.q), parts.k);
}

double tp_exp(double x)
{
    if (!(fabs(x) <= MATH_EXP_ORDINARY)) {
        return exp_far(x, 0);
    }
    const exp_parts parts = exp_reduce(x, 0);
    const double y = 1 + (parts.r + parts.q);
    return of_bits(bits_of(y) + ((uint64_t)(int64_t)parts.k << 52));
}

double tp_math_exp_tail(double x, double tail)
{
    return exp_far(x, tail);
}

double tp_logistic(double x)
{
    const double e = tp_exp(-fabs(x));
    return (x < 0 ? e : 1) / (1 + e);
}

// -- log -----------------------------------------------------------------------------------------

// x = 2^k (1 + f), sqrt(1/2) <= 1 + f < sqrt(2), for a normal positive x.
static double log_split(double x, double *ret_k)
{
    const uint64_t biased = bits_of(x) - MATH_SQRT_HALF_BITS + MATH_ONE_BITS;
    const uint64_t exponent = biased >> 52;
    *ret_k = (double)(int64_t)exponent - 1023;
    return of_bits(bits_of(x) - ((exponent - 1023) << 52)) - 1;
}

// R(s²) in log(1 + f) = f - f²/2 + s (f²/2 + R).
static double log_series(double s)
{
    const double z = s * s;
    const double z2 = z * z;
    const double z4 = z2 * z2;
    const double z8 = z4 * z4;
    const double b0 = (MATH_LOG_C1 + MATH_LOG_C2 * z) + (MATH_LOG_C3 + MATH_LOG_C4 * z) * z2;
    const double b1 = (MATH_LOG_C5 + MATH_LOG_C6 * z) + (MATH_LOG_C7 + MATH_LOG_C8 * z) * z2;
    const double b2 = MATH_LOG_C9 + MATH_LOG_C10 * z;
    return z * ((b0 + b1 * z4) + b2 * z8);
}

// k ln 2 + log(1 + f) + c, for a small correction c.
static double log_sum(double f, double k, double c)
{
    const double s = f / (2 + f);
    const double half = 0.5 * f * f;
    const double rest = s * (half + log_series(s)) + (k * MATH_LN2_LOW + c);
    return k * MATH_LN2_HIGH - ((half - rest) - f);
}

static bool is_ordinary(double x)
{
    return x >= 0x1p-1022 && x < INFINITY;
}

// The value where the argument is no normal positive number; denormals are left to the caller.
static double log_of_odd(double x)
{
    if (x == 0) {
        return -INFINITY;
    }
    return x < 0 ? NAN : x;
}

double tp_log(double x)
{
    double k = 0;
    if (!is_ordinary(x)) {
        if (!(x > 0 && x < 1)) {
            return log_of_odd(x);
        }
        const double f = log_split(x * 0x1p54, &k);
        return log_sum(f, k - 54, 0);
    }
    const double f = log_split(x, &k);
    return log_sum(f, k, 0);
}

double tp_log1p(double x)
{
    if (!(x > -1 && x < INFINITY)) {
        return x == -1 ? -INFINITY : x < -1 ? NAN : x;
    }
    if (fabs(x) < MATH_LOG1P_TINY) {
        return x;
    }
    // u + lost = 1 + x exactly (Knuth's two-sum), and log(u + lost) = log(u) + lost / u.
    const double u = 1 + x;
    const double back = u - 1;
    const double lost = (1 - (u - back)) + (x - back);
    double k = 0;
    const double f = log_split(u, &k);
    return log_sum(f, k, lost / u);
}

// The upper half of a number's digits, so that products of two such halves are exact.
static double upper_half(double x)
{
    return of_bits(bits_of(x) & 0xffffffff00000000u);
}

double tp_log2(double x)
{
    double k = 0;
    double shift = 0;
    if (!is_ordinary(x)) {
        if (!(x > 0 && x < 1)) {
            return log_of_odd(x);
        }
        x *= 0x1p54;
        shift = 54;
    }
    const double f = log_split(x, &k);
    k -= shift;
    const double s = f / (2 + f);
    const double half = 0.5 * f * f;
    // log(1 + f) = high + low, times 1 / ln 2 in two parts: powers of two come out as integers.
    const double high = upper_half(f - half);
    const double low = ((f - high) - half) + s * (half + log_series(s));
    const double inverse_high = 0x1.71547652p+0;
    const double inverse_low = 0x1.705fc2eefa2p-33;
    const double y_high = high * inverse_high;
    const double y_low = (low + high) * inverse_low + low * inverse_high;
    const double sum = k + y_high;
    return sum + (y_low + ((k - sum) + y_high));
}

double tp_sqrt(double x)
{
    return sqrt(x);
}

// -- arrays --------------------------------------------------------------------------------------

void tp_exp_f64_ref(const double *in, double *out, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = tp_exp(in[i]);
    }
}

void tp_log_f64_ref(const double *in, double *out, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = tp_log(in[i]);
    }
}

void tp_log1p_f64_ref(const double *in, double *out, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = tp_log1p(in[i]);
    }
}

void tp_logistic_f64_ref(const double *in, double *out, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = tp_logistic(in[i]);
    }
}
