// SPDX-License-Identifier: Apache-2.0
//
// Packed matrices: every type keeps every weight, to the bit; products are those of the weights and
// the rounded activations; cuts of rows and tokens, order and number of threads do not show.
#include "llm/model/tp_matrix.h"

#include "base/tp_alloc.h"
#include "base/tp_cpu.h"
#include "base/tp_random.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const tp_tensor_type types[] = {
    TP_TENSOR_F32,  TP_TENSOR_F16,    TP_TENSOR_BF16,   TP_TENSOR_Q4_0,
    TP_TENSOR_Q4_1, TP_TENSOR_Q5_0,   TP_TENSOR_Q5_1,   TP_TENSOR_Q8_0,
    TP_TENSOR_Q2_K, TP_TENSOR_Q3_K,   TP_TENSOR_Q4_K,   TP_TENSOR_Q5_K,
    TP_TENSOR_Q6_K, TP_TENSOR_IQ4_NL, TP_TENSOR_IQ4_XS, TP_TENSOR_MXFP4,
};
enum { TYPE_COUNT = sizeof(types) / sizeof(types[0]) };

static tp_kernels_llm kernels;

// Where a block has its half floats: their exponents are kept in range, so that no weight is NaN.
typedef struct halves {
    tp_tensor_type type;
    int offsets[2]; // -1: none
} halves;

static void tame(tp_tensor_type type, uint8_t *block)
{
    static const halves places[] = {
        {TP_TENSOR_F16, {0, -1}},    {TP_TENSOR_Q4_0, {0, -1}},   {TP_TENSOR_Q4_1, {0, 2}},
        {TP_TENSOR_Q5_0, {0, -1}},   {TP_TENSOR_Q5_1, {0, 2}},    {TP_TENSOR_Q8_0, {0, -1}},
        {TP_TENSOR_Q2_K, {80, 82}},  {TP_TENSOR_Q3_K, {108, -1}}, {TP_TENSOR_Q4_K, {0, 2}},
        {TP_TENSOR_Q5_K, {0, 2}},    {TP_TENSOR_Q6_K, {208, -1}}, {TP_TENSOR_IQ4_NL, {0, -1}},
        {TP_TENSOR_IQ4_XS, {0, -1}},
    };
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        for (int j = 0; j < 2 && places[i].type == type; j++) {
            if (places[i].offsets[j] >= 0) {
                uint8_t *top = block + places[i].offsets[j] + 1;
                *top = (uint8_t)((*top & 0x83) | 0x20 | (*top & 0x0c)); // 2^-7 … 2^-4
            }
        }
    }
    if (type == TP_TENSOR_MXFP4) {
        block[0] = (uint8_t)(120 + block[0] % 8);
    }
    if (type == TP_TENSOR_F32) {
        block[3] = (uint8_t)((block[3] & 0x80) | 0x3e);
    }
    if (type == TP_TENSOR_BF16) {
        block[1] = (uint8_t)((block[1] & 0x80) | 0x3e);
    }
}

static tp_matrix_source source_make(tp_tensor_type type, uint32_t rows, uint32_t cols)
{
    const tp_tensor_layout *layout = tp_tensor_layout_of(type);
    const size_t size = rows * (size_t)tp_tensor_row_bytes(type, cols);
    uint8_t *data = test_guarded(size);
    for (size_t i = 0; i < size; i++) {
        data[i] = (uint8_t)tp_random_u64(11, (uint64_t)type, i);
    }
    for (size_t i = 0; i < size; i += layout->block_bytes) {
        tame(type, data + i);
    }
    return (tp_matrix_source){type, data, rows, cols};
}

static tp_matrix pack(const tp_env *env, const tp_matrix_source *source)
{
    const tp_matrix_kind kind = tp_matrix_kind_of(source->type);
    const size_t size = tp_matrix_size(kind, source->rows, source->cols);
    uint8_t *data = test_guarded(size);
    ASSERT_OK(tp_matrix_pack(env, source, data, &test_err));
    tp_matrix matrix;
    ASSERT_OK(tp_matrix_view(kind, source->rows, source->cols, (tp_str){(const char *)data, size},
                             &matrix, &test_err));
    return matrix;
}

static uint32_t cols_of(tp_tensor_type type, uint32_t blocks)
{
    const uint32_t length = tp_tensor_layout_of(type)->block_length;
    return length == 1 ? blocks * 32 + 5 : length * blocks;
}

static void test_rows_are_exact(void)
{
    const tp_env env = tp_env_plain();
    for (size_t t = 0; t < TYPE_COUNT; t++) {
        for (uint32_t rows = 1; rows <= 35; rows += 17) {
            const uint32_t cols = cols_of(types[t], 2);
            const tp_matrix_source source = source_make(types[t], rows, cols);
            const tp_matrix matrix = pack(&env, &source);
            const size_t row_bytes = (size_t)tp_tensor_row_bytes(types[t], cols);
            for (uint32_t row = 0; row < rows; row++) {
                float want[1024];
                float got[1024];
                tp_tensor_dequantize(types[t], source.data + row * row_bytes, cols, want);
                tp_matrix_row(&matrix, row, got);
                ASSERT_EQ_BYTES(got, cols * sizeof(float), want, cols * sizeof(float));
            }
        }
    }
}

// -- products ------------------------------------------------------------------------------------

enum { TOKENS = 11 };

static void fill(tp_activations *x, const tp_kernels_llm *with, uint32_t cols)
{
    float *row = calloc(cols, sizeof(float));
    ASSERT(row != NULL);
    for (uint32_t token = 0; token < TOKENS; token++) {
        for (uint32_t i = 0; i < cols; i++) {
            row[i] = (float)(tp_random_f64(5, token, i) - 0.5) * (i % 37 == 0 ? 90.0f : 1.0f);
        }
        tp_activations_set(x, with, token, row, cols);
    }
    free(row);
}

// What the product should be, in double precision, and how far floats may be from it.
static double product_of(const float *weights, const tp_activations *x, uint32_t token,
                         uint32_t cols, double *ret_size)
{
    double sum = 0;
    *ret_size = 0;
    for (uint32_t i = 0; i < cols; i++) {
        const tp_q16_block *block = x->blocks + token * x->block_stride + i / 32;
        const double value = cols % 32 == 0 ? (double)block->q[i % 32] * (double)block->scale
                                            : (double)x->floats[token * x->float_stride + i];
        sum += (double)weights[i] * value;
        *ret_size += fabs((double)weights[i] * value);
    }
    return sum;
}

static void check_products(const tp_matrix *matrix, const tp_activations *x, const float *y)
{
    float *weights = calloc(matrix->cols, sizeof(float));
    ASSERT(weights != NULL);
    for (uint32_t row = 0; row < matrix->rows; row++) {
        tp_matrix_row(matrix, row, weights);
        for (uint32_t token = 0; token < TOKENS; token++) {
            double size = 0;
            const double want = product_of(weights, x, token, matrix->cols, &size);
            ASSERT(fabs((double)y[token * matrix->rows + row] - want) <= size * 0x1p-18);
        }
    }
    free(weights);
}

static void multiply(const tp_matrix *matrix, const tp_activations *x, tp_matrix_part part,
                     float *y)
{
    part.y = y;
    part.y_stride = matrix->rows;
    tp_matrix_multiply(&kernels, matrix, x, &part);
}

// Row groups one by one, tokens in lists backwards: the same bits.
static void check_cuts(const tp_matrix *matrix, const tp_activations *x, const float *want)
{
    float *got = calloc((size_t)TOKENS * matrix->rows, sizeof(float));
    ASSERT(got != NULL);
    for (uint32_t row = 0; row < matrix->rows; row += TP_MATRIX_GROUP) {
        const uint32_t end =
            row + TP_MATRIX_GROUP < matrix->rows ? row + TP_MATRIX_GROUP : matrix->rows;
        for (uint32_t count = 1, first = 0; first < TOKENS; first += count, count = count % 3 + 1) {
            uint32_t list[3];
            const uint32_t left = TOKENS - first < count ? TOKENS - first : count;
            for (uint32_t i = 0; i < left; i++) {
                list[i] = TOKENS - 1 - (first + i);
            }
            multiply(matrix, x,
                     (tp_matrix_part){
                         .tokens = list, .token_count = left, .row_begin = row, .row_end = end},
                     got + (size_t)first * matrix->rows);
        }
    }
    for (uint32_t token = 0; token < TOKENS; token++) {
        ASSERT_EQ_BYTES(got + (size_t)token * matrix->rows, matrix->rows * sizeof(float),
                        want + (size_t)(TOKENS - 1 - token) * matrix->rows,
                        matrix->rows * sizeof(float));
    }
    free(got);
}

static void check_type(const tp_env *env, tp_tensor_type type)
{
    const uint32_t cols = cols_of(type, type < TP_TENSOR_Q2_K ? 11 : 3);
    const tp_matrix_source source = source_make(type, 41, cols);
    const tp_matrix matrix = pack(env, &source);
    tp_activations x;
    ASSERT_OK(tp_activations_init(&x, env, TP_ACTIVATIONS_BLOCKS | TP_ACTIVATIONS_FLOATS, TOKENS,
                                  cols, &test_err));
    fill(&x, &kernels, cols);
    float *y = test_guarded((size_t)TOKENS * matrix.rows * sizeof(float));
    multiply(&matrix, &x, (tp_matrix_part){.token_count = TOKENS, .row_end = matrix.rows}, y);
    check_products(&matrix, &x, y);
    check_cuts(&matrix, &x, y);
    tp_activations_deinit(&x);
}

static void test_products(void)
{
    const tp_env env = tp_env_plain();
    for (int variant = 0; variant < 2; variant++) {
        tp_kernels_llm_init(&kernels, variant == 0 ? 0 : tp_cpu_flags());
        for (size_t t = 0; t < TYPE_COUNT; t++) {
            check_type(&env, types[t]);
        }
    }
}

// -- the rest ------------------------------------------------------------------------------------

static void test_packing_does_not_depend_on_threads(void)
{
    tp_env env = tp_env_plain();
    const tp_matrix_source source = source_make(TP_TENSOR_Q4_K, 100, 512);
    const tp_matrix alone = pack(&env, &source);
    ASSERT_OK(tp_pool_new(env.alloc, 3, &env.pool, &test_err));
    const tp_matrix together = pack(&env, &source);
    ASSERT_EQ_BYTES(together.data, together.size, alone.data, alone.size);
    tp_pool_free(env.pool);
}

static void test_wrong_shapes_are_refused(void)
{
    const tp_env env = tp_env_plain();
    uint8_t data[4096] = {0};
    const tp_matrix_source source = {TP_TENSOR_Q4_K, data, 1, 288};
    ASSERT_FAILS(tp_matrix_pack(&env, &source, data, &test_err), TAPEOUT_E_INVALID,
                 "matrix [1, 288] of Q4_K: the inputs of a row must be a multiple of 256");
    ASSERT_EQ_UINT(tp_matrix_size(TP_MATRIX_Q4_K, 16, 288), 0);
    ASSERT_EQ_UINT(tp_matrix_size(TP_MATRIX_Q4_1, 17, 64), 2 * 2 * 320);
    tp_matrix matrix;
    ASSERT_FAILS(tp_matrix_view(TP_MATRIX_Q4_1, 16, 32, (tp_str){(const char *)data, 319}, &matrix,
                                &test_err),
                 TAPEOUT_E_CORRUPT, "matrix Q4_1 [16, 32]: 319 bytes of weights, and it needs 320");
}

static tapeout_status activations(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    (void)user;
    tp_env env = tp_env_plain();
    env.alloc = alloc;
    tp_activations x = {0};
    const tapeout_status status =
        tp_activations_init(&x, &env, TP_ACTIVATIONS_BLOCKS | TP_ACTIVATIONS_FLOATS, 7, 96, err);
    tp_activations_deinit(&x);
    return status;
}

static void test_activations_without_memory(void)
{
    test_out_of_memory(activations, NULL);
}

TEST_MAIN(TEST(test_rows_are_exact), TEST(test_products),
          TEST(test_packing_does_not_depend_on_threads), TEST(test_wrong_shapes_are_refused),
          TEST(test_activations_without_memory))
