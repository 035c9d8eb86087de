// SPDX-License-Identifier: Apache-2.0
//
// The float kernels: each variant against `ref`, to the bit, over lengths and offsets, with random
// and extreme numbers; and `ref` against the C library in double, within what the header promises.
#include "kernels/tp_kernels_float.h"

#include "base/tp_cpu.h"
#include "base/tp_random.h"
#include "kernels/tp_half.h"
#include "kernels/tp_math.h"
#include "test.h"

#include <math.h>
#include <string.h>

enum { LENGTHS = 70 };

static tp_kernels_float ref;
static tp_kernels_float best;

static void init(void)
{
    tp_kernels_float_init(&ref, 0);
    tp_kernels_float_init(&best, tp_cpu_flags());
}

static float uniform(uint64_t stream, uint64_t at)
{
    return (float)((double)(tp_random_u64(11, stream, at) >> 11) * 0x1p-52 - 1.0); // [-1, 1)
}

// Kinds: 0 around 1; 1 hundreds; 2 tiny; 3 up to 1e5, as Gemma's stream; 4 with odd ones between.
enum { KINDS = 5 };
static float number(int kind, uint64_t stream, uint64_t at)
{
    static const float sizes[KINDS] = {2.0f, 300.0f, 1e-30f, 1e5f, 90.0f};
    static const float odd[] = {0.0f, -0.0f, INFINITY, -INFINITY, 3e38f, -3e38f, 1e-40f};
    const uint64_t pick = tp_random_u64(12, stream, at) % 14;
    if (kind == 4 && pick < sizeof(odd) / sizeof(odd[0])) {
        return odd[pick];
    }
    return sizes[kind] * uniform(stream, at);
}

// `count` numbers that end at a page that cannot be read.
static float *make(int kind, uint64_t stream, size_t count)
{
    float *x = test_guarded(count * sizeof(*x));
    for (size_t i = 0; i < count; i++) {
        x[i] = number(kind, stream, i);
    }
    return x;
}

// Any NaN is as good as another.
static void check_same(const char *what, const float *got, const float *want, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (memcmp(&got[i], &want[i], sizeof(*got)) != 0 && !(isnan(got[i]) && isnan(want[i]))) {
            test_fail(__FILE__, __LINE__, "%s of %zu: [%zu] is %.9g, ref has %.9g", what, count, i,
                      (double)got[i], (double)want[i]);
        }
    }
}

static void test_norms_and_activations(void)
{
    init();
    for (int kind = 0; kind < KINDS; kind++) {
        for (size_t n = 1; n < LENGTHS; n++) {
            const float *x = make(kind, n, n);
            const float *y = make(0, n + 1000, n);
            const float *z = make(0, n + 2000, n);
            const float *weights_biases[2] = {y, z};
            float *a = test_guarded(n * sizeof(*a));
            float *b = test_guarded(n * sizeof(*b));
            best.rms_norm(x, y, 1e-5f, n, a);
            ref.rms_norm(x, y, 1e-5f, n, b);
            check_same("rms_norm", a, b, n);
            best.layer_norm(x, weights_biases, 1e-5f, n, a);
            ref.layer_norm(x, weights_biases, 1e-5f, n, b);
            check_same("layer_norm", a, b, n);
            best.silu_multiply(x, y, n, a);
            ref.silu_multiply(x, y, n, b);
            check_same("silu_multiply", a, b, n);
            best.gelu_multiply(x, y, n, a);
            ref.gelu_multiply(x, y, n, b);
            check_same("gelu_multiply", a, b, n);
            best.gelu_erf(x, n, a);
            ref.gelu_erf(x, n, b);
            check_same("gelu_erf", a, b, n);
        }
    }
}

static void test_softmax(void)
{
    init();
    for (int kind = 0; kind < 4; kind++) {
        for (size_t n = 1; n < 2 * LENGTHS; n++) {
            float *a = make(kind, n, n);
            float *b = make(kind, n, n);
            if (n > 2) {
                a[n / 2] = b[n / 2] = -INFINITY;
            }
            const float sums[2] = {best.softmax(a, n), ref.softmax(b, n)};
            check_same("softmax", a, b, n);
            check_same("softmax's sum", &sums[0], &sums[1], 1);
        }
    }
}

static void test_half_precision(void)
{
    init();
    static uint16_t halves[1 << 16];
    static uint16_t back[2][1 << 16];
    static float values[2][1 << 16];
    for (uint32_t i = 0; i < 1u << 16; i++) {
        halves[i] = (uint16_t)i;
    }
    best.half_to_float(halves, 1 << 16, values[0]);
    ref.half_to_float(halves, 1 << 16, values[1]);
    check_same("half_to_float", values[0], values[1], 1 << 16);
    for (uint32_t i = 0; i < 1u << 16; i++) {
        if (!isnan(values[1][i])) {
            ASSERT_EQ_UINT(tp_float_to_half(values[1][i]), i);
        }
    }
    // Between neighbours: ties and what lies beside them.
    for (uint32_t i = 0; i < 1u << 16; i++) {
        const uint32_t pattern = i << 12 | (i % 3 == 0 ? 0x1000u : i % 3 == 1 ? 0x0fffu : 0x1001u);
        const uint32_t bits = (pattern & 0x0fffffffu) + 0x32000000u + ((i & 1u) << 31);
        memcpy(&values[0][i], &bits, sizeof(bits));
    }
    best.float_to_half(values[0], 1 << 16, back[0]);
    ref.float_to_half(values[0], 1 << 16, back[1]);
    ASSERT_EQ_BYTES(back[0], sizeof(back[0]), back[1], sizeof(back[1]));
    for (size_t n = 1; n < 20; n++) {
        const float *x = make(1, n, n);
        best.float_to_half(x, n, back[0]);
        ref.float_to_half(x, n, back[1]);
        ASSERT_EQ_BYTES(back[0], n * 2, back[1], n * 2);
    }
}

// -- attention -----------------------------------------------------------------------------------

static void check_score(uint32_t rows, uint32_t size, uint32_t lanes)
{
    const float *queries = make(0, 1, (size_t)rows * size);
    const float *keys = make(1, 2, (size_t)lanes * size * TP_PAGE_LANES);
    const size_t stride = TP_PAGE_POSITIONS + 3;
    float out[2][40 * (TP_PAGE_POSITIONS + 3)] = {{0}};
    for (int i = 0; i < 2; i++) {
        const tp_score_job job = {queries, size, rows, size, keys, lanes, out[i], stride};
        (i == 0 ? best : ref).score(&job);
    }
    check_same("score", out[0], out[1], rows * stride);
}

static void check_weigh(uint32_t rows, uint32_t size, uint32_t positions)
{
    const float *weights = make(0, 3, (size_t)rows * TP_PAGE_POSITIONS);
    const float *values = make(1, 4, (size_t)positions * size);
    static float sums[2][40 * 264];
    for (int i = 0; i < 2; i++) {
        for (size_t k = 0; k < (size_t)rows * size; k++) {
            sums[i][k] = number(0, 5, k);
        }
        const tp_weigh_job job = {weights, TP_PAGE_POSITIONS, rows,    size,
                                  values,  positions,         sums[i], size};
        (i == 0 ? best : ref).weigh(&job);
    }
    check_same("weigh", sums[0], sums[1], (size_t)rows * size);
}

static void test_attention(void)
{
    init();
    const uint32_t sizes[] = {8, 16, 24, 64, 96, 256};
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        for (uint32_t rows = 1; rows < 12; rows++) {
            for (uint32_t lanes = 1; lanes <= 4; lanes++) {
                check_score(rows, sizes[s] - (rows % 3), lanes); // keys of any size
            }
            for (uint32_t positions = 1; positions <= TP_PAGE_POSITIONS; positions += 5) {
                check_weigh(rows, sizes[s], positions);
            }
        }
    }
}

// -- against the C library -----------------------------------------------------------------------

static double ulps(double got, double want)
{
    const double spacing = ldexp(1, (int)fmax(ilogb(want), -126) - 23);
    return fabs(got - want) / spacing;
}

// exp as softmax has it: of what lies below the greatest number.
static float exp_below(float x)
{
    float pair[2] = {0, x};
    (void)ref.softmax(pair, 2);
    return pair[1];
}

static void test_exp_is_within_two_ulp(void)
{
    init();
    double worst = 0;
    for (uint64_t i = 0; i < 1000000; i++) {
        const float x = -43.5f + 43.5f * uniform(9, i);
        worst = fmax(worst, ulps((double)exp_below(x), exp((double)x)));
    }
    printf("# exp: worst %.2f ulp\n", worst);
    ASSERT(worst < 2);
    ASSERT(exp_below(-87.1f) == 0);
    ASSERT(exp_below(-INFINITY) == 0);
    ASSERT(isnan(exp_below(NAN)));
    ASSERT(exp_below(0) == 1);
}

static void test_activations_are_what_they_are_called(void)
{
    init();
    for (uint64_t i = 0; i < 100000; i++) {
        const float x = 12.0f * uniform(10, i);
        const float one = 1;
        const double u = (double)x;
        float y = 0;
        ref.silu_multiply(&x, &one, 1, &y);
        ASSERT(fabs((double)y - u / (1 + exp(-u))) < 2e-6);
        ref.gelu_multiply(&x, &one, 1, &y);
        const double t = tanh(0.7978845608028654 * (u + 0.044715 * u * u * u));
        ASSERT(fabs((double)y - 0.5 * u * (1 + t)) < 3e-6);
        ref.gelu_erf(&x, 1, &y);
        ASSERT(fabs((double)y - 0.5 * u * (1 + erf(u / sqrt(2)))) < 3e-6);
    }
}

static void test_sine_and_cosine(void)
{
    double worst = 0;
    for (uint64_t i = 0; i < 1000000; i++) {
        const double x = (i % 2 == 0 ? 1e7 : 10.0) * (double)uniform(13, i);
        worst = fmax(worst, fabs(tp_sin(x) - sin(x)));
        worst = fmax(worst, fabs(tp_cos(x) - cos(x)));
    }
    printf("# sine and cosine: worst %.2g\n", worst);
    ASSERT(worst < 1e-15);
    ASSERT_EQ_F64(tp_cos(0), 1);
    ASSERT(isnan(tp_sin(0x1p25)) && isnan(tp_cos(NAN)));
}

TEST_MAIN(TEST(test_norms_and_activations), TEST(test_softmax), TEST(test_half_precision),
          TEST(test_attention), TEST(test_exp_is_within_two_ulp),
          TEST(test_activations_are_what_they_are_called), TEST(test_sine_and_cosine))
