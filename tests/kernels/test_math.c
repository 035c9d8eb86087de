// SPDX-License-Identifier: Apache-2.0
//
// exp, log and their kin: the variants against `ref` to the last bit, `ref` against the C library's
// long double functions, and the values at the edges.
//
// Accuracy is measured in units of the last place of the true value, over a million seeded numbers
// a function; the bounds below are promises, the comments say what was seen.
#include "kernels/tp_math.h"

#include "base/tp_cpu.h"
#include "base/tp_random.h"
#include "kernels/tp_kernels_math.h"
#include "test.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { SAMPLES = 1000000 };

// -- accuracy ------------------------------------------------------------------------------------

// The distance of `got` from `want` in units of the last place of `want` as a double.
static double ulps(double got, long double want)
{
    if (isnan((double)want) || isinf((double)want) || want == 0) {
        return memcmp(&got, &(double){(double)want}, sizeof(got)) == 0 || (got != got) ? 0
                                                                                       : INFINITY;
    }
    int exponent = 0;
    (void)frexpl(want, &exponent);
    exponent = exponent < DBL_MIN_EXP ? DBL_MIN_EXP : exponent;
    return (double)fabsl(((long double)got - want) / ldexpl(1, exponent - DBL_MANT_DIG));
}

typedef struct range {
    double low;
    double high;
} range;

// A number of `within`, evenly spread, or evenly over the exponents where both ends are positive.
static double sample(range within, uint64_t i)
{
    const double u = tp_random_f64(1, 2, i);
    if (within.low > 0 && within.high / within.low > 1000) {
        return exp(log(within.low) + u * (log(within.high) - log(within.low)));
    }
    return within.low + u * (within.high - within.low);
}

static void check_accuracy(double (*fn)(double), long double (*truth)(long double), range within,
                           double bound)
{
    double worst = 0;
    double worst_x = 0;
    for (uint64_t i = 0; i < SAMPLES; i++) {
        const double x = sample(within, i);
        const double distance = ulps(fn(x), truth((long double)x));
        if (!(distance <= worst)) {
            worst = distance;
            worst_x = x;
        }
    }
    (void)printf("# [%g, %g]: %.3f ulp at %a\n", within.low, within.high, worst, worst_x);
    if (!(worst <= bound)) {
        test_fail(__FILE__, __LINE__, "%.3f ulp at %.17g (%a), at most %g promised", worst, worst_x,
                  worst_x, bound);
    }
}

static void test_exp_accuracy(void)
{
    check_accuracy(tp_exp, expl, (range){-745, 709.7}, 1);
    check_accuracy(tp_exp, expl, (range){-1, 1}, 1);
    check_accuracy(tp_exp, expl, (range){1e-300, 1}, 1);
}

static void test_expm1_accuracy(void)
{
    check_accuracy(tp_expm1, expm1l, (range){-50, 709.7}, 1);
    check_accuracy(tp_expm1, expm1l, (range){-2, 2}, 1);
    check_accuracy(tp_expm1, expm1l, (range){1e-300, 1}, 1);
}

static void test_log_accuracy(void)
{
    check_accuracy(tp_log, logl, (range){DBL_MIN, DBL_MAX}, 1);
    check_accuracy(tp_log, logl, (range){0x1p-1074, DBL_MIN}, 1);
    check_accuracy(tp_log, logl, (range){0.5, 2}, 1);
    check_accuracy(tp_log, logl, (range){0.999, 1.001}, 1);
}

static void test_log1p_accuracy(void)
{
    check_accuracy(tp_log1p, log1pl, (range){-0.99999, 3}, 1);
    check_accuracy(tp_log1p, log1pl, (range){-1e-3, 1e-3}, 1);
    check_accuracy(tp_log1p, log1pl, (range){1e-300, DBL_MAX}, 1);
}

static void test_log2_accuracy(void)
{
    check_accuracy(tp_log2, log2l, (range){0x1p-1074, DBL_MAX}, 1);
    check_accuracy(tp_log2, log2l, (range){0.5, 2}, 1);
    check_accuracy(tp_log2, log2l, (range){0.999, 1.001}, 1);
}

static long double logistic_truth(long double x)
{
    return 1 / (1 + expl(-x));
}

static void test_logistic_accuracy(void)
{
    check_accuracy(tp_logistic, logistic_truth, (range){-40, 40}, 2.5);
    check_accuracy(tp_logistic, logistic_truth, (range){-708, 0}, 2.5);
    check_accuracy(tp_logistic, logistic_truth, (range){-2, 2}, 2.5);
}

static void test_tanh_accuracy(void)
{
    check_accuracy(tp_tanh, tanhl, (range){-22, 22}, 1);
    check_accuracy(tp_tanh, tanhl, (range){-1, 1}, 1);
    check_accuracy(tp_tanh, tanhl, (range){1e-300, 1}, 1);
}

static void test_erf_accuracy(void)
{
    check_accuracy(tp_erf, erfl, (range){-6.5, 6.5}, 2);
    check_accuracy(tp_erf, erfl, (range){-1, 1}, 2);
    check_accuracy(tp_erf, erfl, (range){1e-300, 1}, 2);
}

static void test_lgamma_accuracy(void)
{
    check_accuracy(tp_lgamma, lgammal, (range){1e-300, 0.5}, 4);
    check_accuracy(tp_lgamma, lgammal, (range){0.5, 20}, 8);
    check_accuracy(tp_lgamma, lgammal, (range){20, 1e300}, 4);
}

static double pow_base; // of the case below; one thread

static double pow_of_exponent(double y)
{
    return tp_pow(pow_base, y);
}

static long double powl_of_exponent(long double y)
{
    return powl((long double)pow_base, y);
}

static void test_pow_accuracy(void)
{
    const double bases[] = {2, 10, 0.1, 1.0000001, 0.9999, 3e-310, 1.7e308, 1.41421356, 0.7071};
    for (size_t i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
        pow_base = bases[i];
        const double most = 708 / fabs(log(bases[i]));
        check_accuracy(pow_of_exponent, powl_of_exponent, (range){-most, most}, 1);
    }
}

// -- edges ---------------------------------------------------------------------------------------

static bool is_nan(double x)
{
    return x != x;
}

static void test_exp_edges(void)
{
    ASSERT_EQ_F64(tp_exp(0.0), 1);
    ASSERT_EQ_F64(tp_exp(-0.0), 1);
    ASSERT_EQ_F64(tp_exp(INFINITY), INFINITY);
    ASSERT_EQ_F64(tp_exp(-INFINITY), 0.0);
    ASSERT_EQ_F64(tp_exp(0x1.62e42fefa39efp+9), 0x1.fffffffffff2ap+1023);
    ASSERT_EQ_F64(tp_exp(0x1.62e42fefa39f0p+9), INFINITY);
    ASSERT_EQ_F64(tp_exp(-745.1332191019411), 0x1p-1074);
    ASSERT_EQ_F64(tp_exp(-745.1332191019412), 0.0);
    ASSERT(is_nan(tp_exp(NAN)));
    ASSERT_EQ_F64(tp_expm1(-0.0), -0.0);
    ASSERT_EQ_F64(tp_expm1(0x1p-1074), 0x1p-1074);
    ASSERT_EQ_F64(tp_expm1(INFINITY), INFINITY);
    ASSERT_EQ_F64(tp_expm1(-INFINITY), -1);
    ASSERT(is_nan(tp_expm1(NAN)));
}

static void test_log_edges(void)
{
    ASSERT_EQ_F64(tp_log(1), 0.0);
    ASSERT_EQ_F64(tp_log(0.0), -INFINITY);
    ASSERT_EQ_F64(tp_log(-0.0), -INFINITY);
    ASSERT_EQ_F64(tp_log(INFINITY), INFINITY);
    ASSERT(is_nan(tp_log(-1)) && is_nan(tp_log(-INFINITY)) && is_nan(tp_log(NAN)));
    ASSERT(is_nan(tp_log(-0x1p-1074)));
    ASSERT_EQ_F64(tp_log1p(-1), -INFINITY);
    ASSERT_EQ_F64(tp_log1p(-0.0), -0.0);
    ASSERT_EQ_F64(tp_log1p(0x1p-1074), 0x1p-1074);
    ASSERT_EQ_F64(tp_log1p(INFINITY), INFINITY);
    ASSERT(is_nan(tp_log1p(-1.5)) && is_nan(tp_log1p(-INFINITY)) && is_nan(tp_log1p(NAN)));
    for (int k = -1074; k < 1024; k++) {
        ASSERT_EQ_F64(tp_log2(ldexp(1, k)), k);
    }
    ASSERT_EQ_F64(tp_log2(0.0), -INFINITY);
    ASSERT(is_nan(tp_log2(-2)));
}

static void test_other_edges(void)
{
    ASSERT_EQ_F64(tp_logistic(0), 0.5);
    ASSERT_EQ_F64(tp_logistic(INFINITY), 1);
    ASSERT_EQ_F64(tp_logistic(-INFINITY), 0.0);
    ASSERT_EQ_F64(tp_logistic(-800), 0.0);
    ASSERT(is_nan(tp_logistic(NAN)));
    ASSERT_EQ_F64(tp_tanh(-0.0), -0.0);
    ASSERT_EQ_F64(tp_tanh(-INFINITY), -1);
    ASSERT(is_nan(tp_tanh(NAN)));
    ASSERT_EQ_F64(tp_erf(-0.0), -0.0);
    ASSERT_EQ_F64(tp_erf(-INFINITY), -1);
    ASSERT(is_nan(tp_erf(NAN)));
    ASSERT_EQ_F64(tp_lgamma(1), 0.0);
    ASSERT_EQ_F64(tp_lgamma(2), 0.0);
    ASSERT_EQ_F64(tp_lgamma(INFINITY), INFINITY);
    ASSERT(is_nan(tp_lgamma(-1)) && is_nan(tp_lgamma(NAN)));
    ASSERT_EQ_F64(tp_sqrt(2), 0x1.6a09e667f3bcdp+0);
    ASSERT(is_nan(tp_sqrt(-1)));
}

// Annex F of the C standard, by comparison with the C library over all pairs.
static void test_pow_edges(void)
{
    const double odd[] = {0.0, -0.0, 1,        -1,        0.5, -0.5,   2,      -2,    3,
                          -3,  2.5,  INFINITY, -INFINITY, NAN, 0x1p53, -1e300, 1e300, 0x1p-1074};
    const size_t count = sizeof(odd) / sizeof(odd[0]);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j++) {
            const double want = pow(odd[i], odd[j]);
            const double got = tp_pow(odd[i], odd[j]);
            ASSERT(is_nan(got) == is_nan(want));
            if (!is_nan(want) && ulps(got, (long double)want) > 1) {
                test_fail(__FILE__, __LINE__, "pow(%g, %g): got %a, want %a", odd[i], odd[j], got,
                          want);
            }
            ASSERT(is_nan(want) || signbit(got) == signbit(want));
        }
    }
}

// -- variants ------------------------------------------------------------------------------------

enum { LENGTH_MAX = 4 * 2 + 3, OFFSET_MAX = 4, OPERATIONS = 4 };

static const double extremes[] = {0.0,
                                  -0.0,
                                  INFINITY,
                                  -INFINITY,
                                  NAN,
                                  -NAN,
                                  0x1p-1074,
                                  -0x1p-1074,
                                  DBL_MIN,
                                  -DBL_MIN,
                                  DBL_MAX,
                                  -DBL_MAX,
                                  1,
                                  -1,
                                  708,
                                  -708,
                                  708.0001,
                                  -708.0001,
                                  709.8,
                                  -745.2,
                                  746,
                                  -746,
                                  1e300,
                                  -1e300,
                                  0x1p-54,
                                  -0x1p-54,
                                  0x1p-55,
                                  0.70710678118654746,
                                  0.70710678118654757,
                                  1.4142135623730949,
                                  1.4142135623730951,
                                  0.5,
                                  2,
                                  4,
                                  -0.9999999999999999,
                                  0x1.fffffffffffffp-1};

// Mostly ordinary numbers, with an extreme among them now and then; any pattern of bits at times.
static double mixed(uint64_t i)
{
    const uint64_t pick = tp_random_below(3, 0, i, 16);
    if (pick == 0) {
        return extremes[tp_random_below(3, 1, i, sizeof(extremes) / sizeof(extremes[0]))];
    }
    if (pick == 1) {
        const uint64_t bits = tp_random_u64(3, 2, i);
        double x = 0;
        memcpy(&x, &bits, sizeof(x));
        return x;
    }
    const double u = tp_random_f64(3, 3, i);
    return pick < 4 ? u * 1400 - 700 : pick < 8 ? u * 20 - 10 : pick < 12 ? u * 2 : u * 1e-3;
}

static tp_math_array_fn operation(const tp_kernels_math *kernels, size_t index)
{
    const tp_math_array_fn all[OPERATIONS] = {kernels->exp_array, kernels->log_array,
                                              kernels->log1p_array, kernels->logistic_array};
    return all[index];
}

static void same_bits(const double *got, const double *want, const double *in, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (memcmp(&got[i], &want[i], sizeof(double)) != 0) {
            test_fail(__FILE__, __LINE__, "lane %zu of %zu, x = %a: got %a, ref %a", i, count,
                      in[i], got[i], want[i]);
        }
    }
}

static void check_variant(uint32_t flags)
{
    tp_kernels_math ref;
    tp_kernels_math variant;
    tp_kernels_math_init(&ref, 0);
    tp_kernels_math_init(&variant, flags);
    // Both end at an unreadable page.
    double *in = test_guarded((LENGTH_MAX + OFFSET_MAX) * sizeof(double));
    double *out = test_guarded((LENGTH_MAX + OFFSET_MAX) * sizeof(double));
    double want[LENGTH_MAX];
    uint64_t position = 0;
    for (size_t op = 0; op < OPERATIONS; op++) {
        for (size_t round = 0; round < 2000; round++) {
            const size_t count = round % (LENGTH_MAX + 1);
            const size_t offset = LENGTH_MAX + OFFSET_MAX - count - (round % (OFFSET_MAX + 1));
            for (size_t i = 0; i < count; i++) {
                in[offset + i] = mixed(position++);
            }
            const double canary = 0x1.badc0ffee0ddfp+7;
            for (size_t i = 0; i < LENGTH_MAX + OFFSET_MAX; i++) {
                out[i] = canary;
            }
            operation(&ref, op)(in + offset, want, count);
            operation(&variant, op)(in + offset, out + offset, count);
            same_bits(out + offset, want, in + offset, count);
            for (size_t i = 0; i < LENGTH_MAX + OFFSET_MAX; i++) {
                ASSERT(i - offset < count || out[i] == canary);
            }
        }
    }
}

// In place, and long enough that every vector in the middle is ordinary.
static void check_long_in_place(uint32_t flags)
{
    enum { COUNT = 100003 };
    static double in[COUNT];
    static double want[COUNT];
    static double got[COUNT];
    tp_kernels_math ref;
    tp_kernels_math variant;
    tp_kernels_math_init(&ref, 0);
    tp_kernels_math_init(&variant, flags);
    for (size_t op = 0; op < OPERATIONS; op++) {
        const bool positive = operation(&ref, op) == ref.log_array;
        for (size_t i = 0; i < COUNT; i++) {
            const double u = tp_random_f64(5, op, i);
            in[i] = positive || op == 2 ? exp(u * 80 - 40) : u * 1400 - 700;
        }
        memcpy(got, in, sizeof(in));
        operation(&ref, op)(in, want, COUNT);
        operation(&variant, op)(got, got, COUNT);
        same_bits(got, want, in, COUNT);
    }
}

static void test_avx2_is_ref(void)
{
    if ((tp_cpu_flags() & TP_CPU_AVX2) == 0) {
        test_skip("no AVX2, or narrowed by TAPEOUT_CPU");
    }
    check_variant(TP_CPU_AVX2);
    check_long_in_place(TP_CPU_AVX2);
}

// What callers use: arrays have the bits of the scalar functions, whatever is chosen.
static void test_arrays_are_scalars(void)
{
    double in[37];
    double out[37];
    for (size_t i = 0; i < 37; i++) {
        in[i] = mixed(i);
    }
    tp_exp_array(in, out, 37);
    for (size_t i = 0; i < 37; i++) {
        ASSERT_EQ_F64(out[i], tp_exp(in[i]));
    }
    tp_log_array(in, out, 37);
    for (size_t i = 0; i < 37; i++) {
        ASSERT_EQ_F64(out[i], tp_log(in[i]));
    }
    tp_log1p_array(in, out, 37);
    for (size_t i = 0; i < 37; i++) {
        ASSERT_EQ_F64(out[i], tp_log1p(in[i]));
    }
    tp_logistic_array(in, out, 37);
    for (size_t i = 0; i < 37; i++) {
        ASSERT_EQ_F64(out[i], tp_logistic(in[i]));
    }
}

TEST_MAIN(TEST(test_exp_accuracy), TEST(test_expm1_accuracy), TEST(test_log_accuracy),
          TEST(test_log1p_accuracy), TEST(test_log2_accuracy), TEST(test_logistic_accuracy),
          TEST(test_tanh_accuracy), TEST(test_erf_accuracy), TEST(test_lgamma_accuracy),
          TEST(test_pow_accuracy), TEST(test_exp_edges), TEST(test_log_edges),
          TEST(test_other_edges), TEST(test_pow_edges), TEST(test_avx2_is_ref),
          TEST(test_arrays_are_scalars))
