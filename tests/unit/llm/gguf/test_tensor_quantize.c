// SPDX-License-Identifier: Apache-2.0
//
// Quantising: on no row worse than llama.cpp (tests/conformance/tensor_types, with the script that
// measured it), exact where the type can be exact, refused where it cannot hold the values.
#include "base/tp_alloc.h"
#include "base/tp_file.h"
#include "base/tp_random.h"
#include "llm/gguf/tp_tensor_type.h"
#include "test.h"

#include <math.h>
#include <string.h>

enum { WEIGHTS = 256, PATH_SIZE = 1024 };

// In the order of quantize.errors.
static const tp_tensor_type types[] = {TP_TENSOR_Q8_0, TP_TENSOR_Q4_0, TP_TENSOR_Q4_K,
                                       TP_TENSOR_Q6_K};
enum { TYPE_COUNT = sizeof(types) / sizeof(types[0]) };

static tp_str read_fixture(const char *name)
{
    char path[PATH_SIZE];
    tp_str data;
    (void)snprintf(path, sizeof(path), "%s/tests/conformance/tensor_types/%s", test_source_dir(),
                   name);
    ASSERT_OK(tp_file_read(tp_allocator_default(), path, 1 << 20, &data, &test_err));
    return data;
}

static double squared_error(tp_tensor_type type, const float *row)
{
    const size_t size = (size_t)tp_tensor_row_bytes(type, WEIGHTS);
    uint8_t *blocks = test_guarded(size);
    float back[WEIGHTS];
    double error = 0;
    ASSERT(tp_tensor_quantize(type, row, WEIGHTS, blocks));
    tp_tensor_dequantize(type, blocks, WEIGHTS, back);
    for (int i = 0; i < WEIGHTS; i++) {
        const double miss = (double)back[i] - (double)row[i];
        error += miss * miss;
    }
    return error;
}

static void test_never_worse_than_the_reference(void)
{
    const tp_str rows = read_fixture("quantize.rows");
    const tp_str errors = read_fixture("quantize.errors");
    const size_t row_count = rows.size / (WEIGHTS * sizeof(float));
    ASSERT_EQ_UINT(errors.size, TYPE_COUNT * row_count * sizeof(double));
    for (size_t t = 0; t < TYPE_COUNT; t++) {
        for (size_t r = 0; r < row_count; r++) {
            float row[WEIGHTS];
            double reference = 0;
            memcpy(row, rows.data + r * sizeof(row), sizeof(row));
            memcpy(&reference, errors.data + (t * row_count + r) * sizeof(double), sizeof(double));
            const double error = squared_error(types[t], row);
            if (!(error <= reference * (1 + 1e-9))) { // sums in another order
                test_fail(__FILE__, __LINE__, "%s, row %zu: squared error %.9g, llama.cpp %.9g",
                          tp_tensor_layout_of(types[t])->name, r, error, reference);
            }
        }
    }
    tp_free(tp_allocator_default(), (char *)(uintptr_t)rows.data, rows.size + 1);
    tp_free(tp_allocator_default(), (char *)(uintptr_t)errors.data, errors.size + 1);
}

// What a type represents exactly comes back exactly.
static void test_what_fits_is_exact(void)
{
    float row[WEIGHTS];
    for (size_t t = 0; t < TYPE_COUNT; t++) {
        for (int i = 0; i < WEIGHTS; i++) {
            row[i] = 0;
        }
        ASSERT_EQ_F64(squared_error(types[t], row), 0);
        for (int i = 0; i < WEIGHTS; i++) {
            row[i] = 0.5f * (float)(i % 15 - 7);
        }
        const double error = squared_error(types[t], row);
        ASSERT(error < (types[t] == TP_TENSOR_Q4_0 ? 1e-30 : 0.3));
    }
    row[0] = 0.1f;
    ASSERT_EQ_F64(squared_error(TP_TENSOR_F32, row), 0);
}

static void test_what_does_not_fit_is_refused(void)
{
    float row[WEIGHTS] = {0};
    uint8_t blocks[WEIGHTS * 4];
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t t = 0; t < TYPE_COUNT; t++) {
        for (size_t i = 0; i < 3; i++) {
            row[200] = bad[i];
            ASSERT(!tp_tensor_quantize(types[t], row, WEIGHTS, blocks));
        }
        row[200] = 3e38f;
        ASSERT(!tp_tensor_quantize(types[t], row, WEIGHTS, blocks));
        row[200] = 0;
        ASSERT(tp_tensor_quantize(types[t], row, WEIGHTS, blocks));
    }
    row[0] = 70000;
    ASSERT(!tp_tensor_quantize(TP_TENSOR_F16, row, WEIGHTS, blocks));
    ASSERT(tp_tensor_quantize(TP_TENSOR_BF16, row, WEIGHTS, blocks));
    ASSERT(!tp_tensor_can_quantize(TP_TENSOR_Q5_0));
    ASSERT(tp_tensor_can_quantize(TP_TENSOR_Q6_K));
}

// Errors stay below what the width of the codes allows, at any scale.
static void test_errors_are_bounded_at_any_scale(void)
{
    static const double allowed[TYPE_COUNT] = {0.0001, 0.02, 0.02, 0.001};
    for (int power = -12; power <= 12; power += 3) {
        float row[WEIGHTS];
        double squares = 0;
        for (int i = 0; i < WEIGHTS; i++) {
            const double uniform = (double)tp_random_u64(3, 0, (uint64_t)i) / 0x1p64;
            row[i] = (float)((uniform - 0.5) * ldexp(1, power));
            squares += (double)row[i] * (double)row[i];
        }
        for (size_t t = 0; t < TYPE_COUNT; t++) {
            ASSERT(squared_error(types[t], row) < allowed[t] * squares);
        }
    }
}

TEST_MAIN(TEST(test_never_worse_than_the_reference), TEST(test_what_fits_is_exact),
          TEST(test_what_does_not_fit_is_refused), TEST(test_errors_are_bounded_at_any_scale))
