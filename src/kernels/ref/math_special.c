// SPDX-License-Identifier: Apache-2.0
//
// expm1, pow, tanh, erf and log-gamma, with numbers in two parts where one would not do (Dekker, A
// Floating-Point Technique for Extending the Available Precision, 1971). Not for inner loops.
//
// pow: log to about 65 bits, times y in two parts, then exp. erf: the Taylor series about the
// nearest multiple of 1/8. log-gamma: the series in zeta values about 2, the recurrence
// G(x + 1) = x G(x) below 8, Stirling's series above (NIST Digital Library of Mathematical
// Functions, 7.6, 5.7.3 and 5.11.1).
#include "kernels/math_priv.h"
#include "kernels/tp_math.h"

#include <math.h>
#include <stdbool.h>

typedef tp_math_pair pair;

static pair two_sum(double a, double b)
{
    const double sum = a + b;
    const double back = sum - a;
    return (pair){sum, (a - (sum - back)) + (b - back)};
}

// The upper 26 bits; what is left has 26 as well, with its sign. For |x| < 2^996.
static double upper(double x)
{
    const double spread = x * 0x1.0000002p27;
    return spread - (spread - x);
}

static pair two_product(double a, double b)
{
    const double product = a * b;
    const double a_high = upper(a);
    const double a_low = a - a_high;
    const double b_high = upper(b);
    const double b_low = b - b_high;
    const double error = ((a_high * b_high - product) + a_high * b_low + a_low * b_high);
    return (pair){product, error + a_low * b_low};
}

static pair pair_sum(pair a, pair b)
{
    const pair sum = two_sum(a.high, b.high);
    return two_sum(sum.high, sum.low + (a.low + b.low));
}

static pair pair_product(pair a, pair b)
{
    const pair product = two_product(a.high, b.high);
    return two_sum(product.high, product.low + (a.high * b.low + a.low * b.high));
}

static pair pair_quotient(pair a, pair b)
{
    const double quotient = a.high / b.high;
    const pair back = two_product(quotient, b.high);
    const double rest = ((a.high - back.high) - back.low) + (a.low - quotient * b.low);
    return two_sum(quotient, rest / b.high);
}

// -- pow -----------------------------------------------------------------------------------------

// log(x) for a positive finite x. As in tp_log with s and s² in two parts; the first coefficient,
// 2/3, too. From 2/5 on, one part is below the last bit that counts.
static pair log_pair(double x)
{
    int exponent = 0;
    double m = frexp(x, &exponent); // exact: bits moved
    if (m < 0x1.6a09e667f3bcdp-1) {
        m *= 2;
        exponent--;
    }
    const double k = exponent;
    const double f = m - 1;
    const pair s = pair_quotient((pair){f, 0}, two_sum(2, f));
    const pair z = pair_product(s, s);
    static const double coefficients[] = {2.0 / 25, 2.0 / 23, 2.0 / 21, 2.0 / 19,
                                          2.0 / 17, 2.0 / 15, 2.0 / 13, 2.0 / 11,
                                          2.0 / 9,  2.0 / 7,  2.0 / 5};
    double tail = 0;
    for (size_t i = 0; i < sizeof(coefficients) / sizeof(coefficients[0]); i++) {
        tail = tail * z.high + coefficients[i];
    }
    const pair two_thirds = {0x1.5555555555555p-1, 0x1.5555555555555p-55};
    const pair series = pair_sum(two_thirds, pair_product(z, (pair){tail, 0}));
    const pair odd = pair_product(pair_product(s, z), series);
    const pair mantissa = pair_sum((pair){2 * s.high, 2 * s.low}, odd);
    const pair low = two_product(k, MATH_LN2_LOW);
    return pair_sum(pair_sum((pair){k * MATH_LN2_HIGH, 0}, mantissa), low);
}

static bool is_integer(double y)
{
    return fabs(y) >= 0x1p53 || y == (double)(long long)y;
}

static bool is_odd(double y)
{
    return fabs(y) < 0x1p53 && is_integer(y) && ((long long)y & 1) != 0;
}

// x is zero or infinite, or y is infinite; neither is NaN, y is not 0 and x is not 1.
static double pow_of_odd(double x, double y)
{
    const double size = fabs(x);
    if (isinf(y)) {
        return size == 1 ? 1 : (size > 1) == (y > 0) ? INFINITY : 0;
    }
    const double value = (size == 0) == (y > 0) ? 0 : INFINITY;
    return signbit(x) && is_odd(y) ? -value : value;
}

double tp_pow(double x, double y)
{
    if (y == 0 || x == 1) {
        return 1;
    }
    if (x != x || y != y) {
        return NAN;
    }
    if (x == 0 || isinf(x) || isinf(y)) {
        return pow_of_odd(x, y);
    }
    if (x < 0 && !is_integer(y)) {
        return NAN;
    }
    const double sign = x < 0 && is_odd(y) ? -1 : 1;
    const pair logarithm = log_pair(fabs(x));
    const double estimate = logarithm.high * y;
    if (!(fabs(estimate) < 800)) {
        return estimate > 0 ? sign * INFINITY : sign * 0.0;
    }
    if (fabs(estimate) < 0x1p-60) {
        return sign;
    }
    const pair product = two_product(logarithm.high, y);
    const pair power = two_sum(product.high, product.low + logarithm.low * y);
    return sign * tp_math_exp_tail(power.high, power.low);
}

// -- expm1, tanh, erf ----------------------------------------------------------------------------

// exp(x) - 1 to more than 60 bits, for -40 <= x <= 600. The reduction is tp_exp's; r + r²/2 is kept
// in two parts, the rest of the series is small.
static pair expm1_pair(double x)
{
    static const double coefficients[] = {MATH_EXP_C13, MATH_EXP_C12, MATH_EXP_C11, MATH_EXP_C10,
                                          MATH_EXP_C9,  MATH_EXP_C8,  MATH_EXP_C7,  MATH_EXP_C6,
                                          MATH_EXP_C5,  MATH_EXP_C4,  MATH_EXP_C3};
    const double k = x * MATH_LN2_INVERSE + MATH_ROUND - MATH_ROUND;
    const pair reduced = two_sum(x - k * MATH_LN2_HIGH, -(k * MATH_LN2_LOW));
    const double r = reduced.high;
    const pair square = two_product(r, r);
    double rest = 0;
    for (size_t i = 0; i < sizeof(coefficients) / sizeof(coefficients[0]); i++) {
        rest = rest * r + coefficients[i];
    }
    rest = rest * r * square.high + (reduced.low + reduced.low * r);
    const pair y = pair_sum((pair){r, rest}, (pair){0.5 * square.high, 0.5 * square.low});
    if (k == 0) {
        return y;
    }
    // 2^k (1 - 2^-k + y)
    const double factor = ldexp(1, (int)k);
    const pair sum = pair_sum(two_sum(1, -1 / factor), y);
    return (pair){sum.high * factor, sum.low * factor};
}

double tp_expm1(double x)
{
    if (!(fabs(x) >= 0x1p-54)) { // NaN too
        return x;
    }
    if (x > 600) {
        return tp_exp(x); // the 1 is far below the last digit
    }
    return x < -40 ? -1 : expm1_pair(x).high;
}

double tp_tanh(double x)
{
    const double size = fabs(x);
    if (!(size >= 0x1p-28)) { // x³/3 is below its last digit; NaN is itself
        return x;
    }
    if (size > 20) {
        return x < 0 ? -1 : 1;
    }
    // (exp(2x) - 1) / (exp(2x) + 1)
    const pair e = expm1_pair(2 * size);
    pair below = two_sum(2, e.high);
    below.low += e.low;
    const pair value = pair_quotient(e, below);
    return x < 0 ? -value.high : value.high;
}

// 2 / sqrt(pi)
static const pair erf_slope = {0x1.20dd750429b6dp+0, 0x1.1ae3a914fed80p-56};

// The integral of exp(-2ct - t²) over t from 0 to h; times exp(-c²) that of exp(-t²) from c to c+h.
static double erf_step(double c, double h)
{
    double before = 0; // the integrand's coefficients, (n+1) a[n+1] = -2c a[n] - 2 a[n-1]
    double a = 1;
    double power = h;
    double sum = 0;
    for (int n = 1; n <= 20; n++) {
        sum += a * power / n;
        power *= h;
        const double next = (-2 * c * a - 2 * before) / n;
        before = a;
        a = next;
    }
    return sum;
}

double tp_erf(double x)
{
    const double size = fabs(x);
    if (x != x) {
        return x;
    }
    if (size >= 6) {
        return x < 0 ? -1 : 1;
    }
    if (size < 0.5) {
        const double z = -x * x;
        double series = 0; // of z^n / (n! (2n + 1)), n = 1 ... 12
        double factor = 1;
        for (int n = 1; n <= 12; n++) {
            factor *= z / n;
            series += factor / (2 * n + 1);
        }
        return x * erf_slope.high + x * (erf_slope.low + erf_slope.high * series);
    }
    const int j = (int)(size * 8 + 0.5);
    const double c = j / 8.0;
    const double rise = erf_slope.high * tp_exp(-c * c) * erf_step(c, size - c);
    const double value = tp_math_erf_table[j].high + (tp_math_erf_table[j].low + rise);
    return x < 0 ? -value : value;
}

// -- log-gamma -----------------------------------------------------------------------------------

// lgamma(2 + z) for |z| <= 1/2.
static double lgamma_near_two(double z)
{
    double sum = 0;
    for (int n = MATH_ZETA_COUNT - 1; n >= 0; n--) {
        sum = (sum + tp_math_zeta_table[n]) * z;
    }
    const double one_minus_euler = 0x1.b0ee6072093cep-2;
    return (sum + one_minus_euler) * z;
}

// x >= 8
static double lgamma_stirling(double x)
{
    static const double coefficients[] = {-3617.0 / 122400, 1.0 / 156,  -691.0 / 360360, 1.0 / 1188,
                                          -1.0 / 1680,      1.0 / 1260, -1.0 / 360,      1.0 / 12};
    const double inverse = 1 / x;
    const double z = inverse * inverse;
    double series = 0;
    for (size_t i = 0; i < sizeof(coefficients) / sizeof(coefficients[0]); i++) {
        series = series * z + coefficients[i];
    }
    const double half_log_2_pi = 0x1.d67f1c864beb5p-1;
    return (x - 0.5) * (tp_log(x) - 1) + ((half_log_2_pi - 0.5) + series * inverse);
}

double tp_lgamma(double x)
{
    if (!(x > 0)) {
        return x == 0 ? INFINITY : NAN;
    }
    if (x >= 8) {
        return isinf(x) ? x : lgamma_stirling(x);
    }
    if (x < 0.5) {
        return (lgamma_near_two(x) - tp_log1p(x)) - tp_log(x);
    }
    if (x < 1.5) {
        return lgamma_near_two(x - 1) - tp_log1p(x - 1);
    }
    double product = 1;
    while (x > 2.5) {
        x -= 1;
        product *= x;
    }
    return lgamma_near_two(x - 2) + tp_log(product);
}
