// SPDX-License-Identifier: Apache-2.0
//
// exp: x = (k / N) ln 2 + r, a table of 2^(k/N), a short polynomial for the rest; N is 128 for
// float64 and 32 for float32, whose sums are float64. logf: x = 2^k z, a table of 16 values near z
// with their logarithms, and a polynomial. The order of every operation, and which products are
// fused with their sums, is part of the definition: it is what the compiled library does.
#include "kernels/tp_libm.h"

#include "kernels/math_priv.h"

#include <math.h>
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

// -- exp -----------------------------------------------------------------------------------------

// Results outside of the normal numbers: the scale is brought into range and multiplied back.
static double exp_at_the_ends(double rest, uint64_t scale_bits, uint64_t k)
{
    if ((k & 0x80000000u) == 0) {
        const double scale = of_bits(scale_bits - (UINT64_C(1009) << 52));
        return 0x1p1009 * fma(scale, rest, scale);
    }
    const double scale = of_bits(scale_bits + (UINT64_C(1022) << 52));
    const double part = scale * rest; // not fused: it is asked for twice
    double y = scale + part;
    if (y < 1.0) { // a subnormal result is rounded once
        double low = scale - y + part;
        const double high = 1.0 + y;
        low = 1.0 - high + y + low;
        y = (high + low) - 1.0;
        y = y == 0.0 ? 0.0 : y;
    }
    return 0x1p-1022 * y;
}

double tp_libm_exp(double x)
{
    const double magnitude = fabs(x);
    if (!(magnitude >= 0x1p-54)) {
        return x != x ? x : 1.0 + x;
    }
    if (magnitude >= 1024.0) {
        return x < 0 ? 0.0 : (double)INFINITY;
    }
    const double inverse = 0x1.71547652b82fep0 * MATH_LIBM_EXP_COUNT;
    double k = fma(inverse, x, 0x1.8p52);
    const uint64_t steps = bits_of(k);
    k -= 0x1.8p52;
    const double r = fma(k, -0x1.cf79abc9e3b39p-47, fma(k, -0x1.62e42fefa0000p-8, x));
    const tp_libm_power *power = &tp_libm_exp_table[steps % MATH_LIBM_EXP_COUNT];
    const uint64_t scale_bits = power->bits + (steps << (52 - 7));
    const double r2 = r * r;
    const double low = fma(r, 0x1.555555555543cp-3, 0x1.ffffffffffdbdp-2);
    const double high = fma(r, 0x1.1111167a4d017p-7, 0x1.55555cf172b91p-5);
    const double rest = fma(r2 * r2, high, fma(r2, low, power->tail + r));
    if (magnitude >= 512.0) {
        return exp_at_the_ends(rest, scale_bits, steps);
    }
    const double scale = of_bits(scale_bits);
    return fma(scale, rest, scale);
}

// -- float32 -------------------------------------------------------------------------------------

float tp_libm_expf(float x)
{
    if (x != x) {
        return x;
    }
    if (x > 0x1.62e42ep6f) {
        return INFINITY;
    }
    if (x < -0x1.9fe368p6f) {
        return 0.0f;
    }
    const double inverse = 0x1.71547652b82fep+0 * MATH_LIBM_EXPF_COUNT;
    const double n = MATH_LIBM_EXPF_COUNT;
    double k = fma(inverse, (double)x, 0x1.8p52);
    const uint64_t steps = bits_of(k);
    k -= 0x1.8p52;
    const double r = fma(inverse, (double)x, -k);
    const double scale =
        of_bits(tp_libm_expf_table[steps % MATH_LIBM_EXPF_COUNT] + (steps << (52 - 5)));
    const double high = fma(0x1.c6af84b912394p-5 / n / n / n, r, 0x1.ebfce50fac4f3p-3 / n / n);
    const double low = fma(0x1.62e42ff0c52d6p-1 / n, r, 1.0);
    return (float)(fma(high, r * r, low) * scale);
}

float tp_libm_logf(float x)
{
    static const struct {
        double inverse;
        double log;
    } table[16] = {
        {0x1.661ec79f8f3bep+0, -0x1.57bf7808caadep-2},
        {0x1.571ed4aaf883dp+0, -0x1.2bef0a7c06ddbp-2},
        {0x1.49539f0f010bp+0, -0x1.01eae7f513a67p-2},
        {0x1.3c995b0b80385p+0, -0x1.b31d8a68224e9p-3},
        {0x1.30d190c8864a5p+0, -0x1.6574f0ac07758p-3},
        {0x1.25e227b0b8eap+0, -0x1.1aa2bc79c81p-3},
        {0x1.1bb4a4a1a343fp+0, -0x1.a4e76ce8c0e5ep-4},
        {0x1.12358f08ae5bap+0, -0x1.1973c5a611cccp-4},
        {0x1.0953f419900a7p+0, -0x1.252f438e10c1ep-5},
        {0x1p+0, 0x0p+0},
        {0x1.e608cfd9a47acp-1, 0x1.aa5aa5df25984p-5},
        {0x1.ca4b31f026aap-1, 0x1.c5e53aa362eb4p-4},
        {0x1.b2036576afce6p-1, 0x1.526e57720db08p-3},
        {0x1.9c2d163a1aa2dp-1, 0x1.bc2860d22477p-3},
        {0x1.886e6037841edp-1, 0x1.1058bc8a07ee1p-2},
        {0x1.767dcf5534862p-1, 0x1.4043057b6ee09p-2},
    };
    if (x != x || x < 0.0f) {
        return NAN;
    }
    if (x == 0.0f || x == 1.0f || x == (float)INFINITY) {
        return x == 1.0f ? 0.0f : x == 0.0f ? -INFINITY : x;
    }
    uint32_t bits = 0;
    const float normal = x < 0x1p-126f ? x * 0x1p23f : x;
    memcpy(&bits, &normal, sizeof(bits));
    bits -= x < 0x1p-126f ? 23u << 23 : 0;
    const uint32_t above = bits - 0x3f330000u;
    const uint32_t place = (above >> (23 - 4)) % 16;
    const int32_t k = (int32_t)above >> 23;
    const uint32_t near_bits = bits - (above & 0xff800000u);
    float near = 0;
    memcpy(&near, &near_bits, sizeof(near));
    const double r = fma((double)near, table[place].inverse, -1.0);
    const double y0 = fma((double)k, 0x1.62e42fefa39efp-1, table[place].log);
    const double r2 = r * r;
    const double middle = fma(0x1.5575b0be00b6ap-2, r, -0x1.ffffef20a4123p-2);
    return (float)fma(fma(-0x1.00ea348b88334p-2, r2, middle), r2, y0 + r);
}
