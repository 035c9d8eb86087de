// SPDX-License-Identifier: Apache-2.0
//
// The kernels of language models: each variant against `ref`, to the bit, over all kinds, shapes
// and numbers of tokens, with numbers at the ends of their ranges; inputs end at a page that cannot
// be read, and nothing is written beside the outputs.
#include "kernels/tp_kernels_llm.h"

#include "base/tp_cpu.h"
#include "base/tp_random.h"
#include "test.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENS_MAX = 137, CANARY = 0x5a };

static tp_kernels_llm ref;
static tp_kernels_llm best;

static void init(void)
{
    tp_kernels_llm_init(&ref, 0);
    tp_kernels_llm_init(&best, tp_cpu_flags());
    if (best.multiply == ref.multiply) {
        test_skip("no variant but ref may be used here");
    }
}

// -- activations ---------------------------------------------------------------------------------

static float bits(uint32_t value)
{
    float number = 0;
    memcpy(&number, &value, sizeof(number));
    return number;
}

// Block `index` of what activations may look like.
static void fill_block(uint32_t index, float *x)
{
    const float odd[] = {NAN,       INFINITY,         -INFINITY, 0,        -0.0f,
                         0x1p-100f, 0x1p-101f,        FLT_MAX,   -FLT_MAX, 0x1p-149f,
                         0x1p-126f, 0x1.fffffep-101f, 32767.5f,  -1};
    const uint32_t odd_count = sizeof(odd) / sizeof(odd[0]);
    for (uint32_t i = 0; i < TP_MATRIX_BLOCK; i++) {
        const uint64_t random = tp_random_u64(3, index, i);
        x[i] = index % 4 == 0   ? (float)(int32_t)random * 0x1p-31f
               : index % 4 == 1 ? (float)(int32_t)(random % 65536) - 32767.5f
               : index % 4 == 2 ? bits((uint32_t)random & 0xbfffffffu) // any size up to 2
                                : 0;
    }
    if (index % 3 == 0) {
        x[index % TP_MATRIX_BLOCK] = odd[index / 3 % odd_count];
    }
}

static void test_quantize(void)
{
    init();
    enum { BLOCKS = 252 };
    for (uint32_t count = 1; count <= BLOCKS; count += count < 5 ? 1 : 247) {
        float *x = test_guarded(count * TP_MATRIX_BLOCK * sizeof(float));
        static tp_q16_block want[BLOCKS + 1];
        static tp_q16_block got[BLOCKS + 1];
        for (uint32_t i = 0; i < count; i++) {
            fill_block(i, x + (size_t)i * TP_MATRIX_BLOCK);
        }
        memset(want, CANARY, sizeof(want));
        memset(got, CANARY, sizeof(got));
        ref.quantize(x, count, want);
        best.quantize(x, count, got);
        ASSERT_EQ_BYTES(got, sizeof(got), want, sizeof(want));
    }
}

// What the header promises of a block.
static void test_quantized_values(void)
{
    tp_kernels_llm_init(&ref, 0);
    float x[TP_MATRIX_BLOCK] = {0};
    tp_q16_block block;
    x[3] = -2;
    x[4] = 1;
    x[20] = 1.0f / 32767 * 3; // a tie: 1.5 steps
    ref.quantize(x, 1, &block);
    ASSERT_EQ_F64(block.scale, 2.0f / 32767.0f);
    ASSERT_EQ_INT(block.q[3], -32767);
    ASSERT_EQ_INT(block.q[4], 16384); // 16383.5, to even
    ASSERT_EQ_INT(block.q[20], 2);
    ASSERT_EQ_INT(block.sums[0], -32767 + 16384);
    ASSERT_EQ_INT(block.sums[1], 2);
    ASSERT_EQ_F64(block.scaled_sum, block.scale * -16381.0f);
    x[31] = NAN;
    ref.quantize(x, 1, &block);
    ASSERT(isnan(block.scale) && isnan(block.scaled_sum) && block.q[3] == 0);
    memset(x, 0, sizeof(x));
    x[0] = 0x1.8p-101f;
    ref.quantize(x, 1, &block);
    ASSERT_EQ_F64(block.scale, 0);
    ASSERT_EQ_INT(block.q[0], 0);
}

// -- products ------------------------------------------------------------------------------------

typedef enum filling { RANDOM, LOWEST, HIGHEST, FILLINGS } filling;

// Packed weights. Where scales lie, half floats and floats of any bits but NaN; codes of any bits.
static tp_matrix matrix_make(tp_matrix_kind kind, uint32_t rows, uint32_t cols, filling how)
{
    const tp_matrix_layout *layout = tp_matrix_layout_of(kind);
    const size_t groups = (rows + TP_MATRIX_GROUP - 1) / TP_MATRIX_GROUP;
    const size_t size = groups * (cols / layout->block_inputs) * layout->block_bytes;
    uint8_t *data = test_guarded(size);
    for (size_t i = 0; i < size; i++) {
        data[i] = how == LOWEST ? 0 : how == HIGHEST ? 0xff : (uint8_t)tp_random_u64(5, kind, i);
    }
    for (size_t i = 0; i < size; i += layout->block_bytes) {
        const uint32_t halves = layout->block_inputs == 1 ? layout->block_bytes / 2
                                : kind == TP_MATRIX_WIDE  ? 128
                                                          : 32;
        for (uint32_t h = 0; h < halves; h++) { // exponents below the greatest
            data[i + 2 * h + 1] &= how == RANDOM ? 0xbb : 0xbf;
        }
    }
    return (tp_matrix){kind, rows, cols, data, size};
}

typedef struct product_case {
    tp_matrix matrix;
    tp_q16_block *blocks;
    float *floats;
    uint32_t tokens;
    const uint32_t *list;
} product_case;

static product_case case_make(const tp_matrix *matrix, uint32_t tokens, filling how)
{
    const uint32_t block_count = matrix->cols / TP_MATRIX_BLOCK;
    product_case c = {.matrix = *matrix, .tokens = tokens};
    c.floats = test_guarded((size_t)tokens * matrix->cols * sizeof(float));
    for (size_t i = 0; i < (size_t)tokens * matrix->cols; i++) {
        c.floats[i] = how == RANDOM   ? (float)(int32_t)tp_random_u64(6, tokens, i) * 0x1p-31f
                      : how == LOWEST ? -3.0e4f
                                      : 3.0e4f;
    }
    if (matrix->cols % TP_MATRIX_BLOCK == 0) {
        c.blocks = test_guarded((size_t)tokens * block_count * sizeof(tp_q16_block));
        ref.quantize(c.floats, (size_t)tokens * block_count, c.blocks);
    }
    return c;
}

static void product_run(const tp_kernels_llm *kernels, const product_case *c, uint32_t row_begin,
                        uint32_t row_end, float *y)
{
    const tp_matrix_product product = {.matrix = &c->matrix,
                                       .blocks = c->blocks,
                                       .block_stride = c->matrix.cols / TP_MATRIX_BLOCK,
                                       .floats = c->floats,
                                       .float_stride = c->matrix.cols,
                                       .tokens = c->list,
                                       .token_count = c->tokens,
                                       .row_begin = row_begin,
                                       .row_end = row_end,
                                       .y = y,
                                       .y_stride = c->matrix.rows + 1};
    kernels->multiply(&product);
}

static void check_product(const product_case *c, uint32_t row_begin, uint32_t row_end)
{
    const size_t size = (size_t)c->tokens * (c->matrix.rows + 1) * sizeof(float);
    float *want = test_guarded(size);
    float *got = test_guarded(size);
    memset(want, CANARY, size);
    memset(got, CANARY, size);
    product_run(&ref, c, row_begin, row_end, want);
    product_run(&best, c, row_begin, row_end, got);
    ASSERT_EQ_BYTES(got, size, want, size);
}

static uint32_t cols_of(tp_matrix_kind kind, uint32_t blocks)
{
    const uint32_t inputs = tp_matrix_layout_of(kind)->block_inputs;
    return inputs == 1 ? blocks * 13 : blocks * inputs;
}

static void test_products(void)
{
    init();
    for (int kind = 0; kind < TP_MATRIX_KIND_COUNT; kind++) {
        for (int how = 0; how < FILLINGS; how++) {
            for (uint32_t blocks = 1; blocks <= 43; blocks += blocks < 3 ? 1 : 20) {
                const uint32_t rows = 1 + (uint32_t)(blocks * 7 + (uint32_t)kind) % 40;
                const uint32_t cols = cols_of((tp_matrix_kind)kind, blocks);
                const tp_matrix matrix =
                    matrix_make((tp_matrix_kind)kind, rows, cols, (filling)how);
                for (uint32_t tokens = 1; tokens <= 9; tokens++) {
                    const product_case c = case_make(&matrix, tokens, (filling)how);
                    check_product(&c, 0, rows);
                }
            }
        }
    }
}

// More tokens than one run has, a list of them, and rows of the middle alone.
static void test_lists_and_runs(void)
{
    init();
    static uint32_t list[TOKENS_MAX];
    for (uint32_t i = 0; i < TOKENS_MAX; i++) {
        list[i] = (i * 59 + 7) % TOKENS_MAX;
    }
    for (int kind = 0; kind < TP_MATRIX_KIND_COUNT; kind++) {
        const uint32_t cols = cols_of((tp_matrix_kind)kind, 2);
        const tp_matrix matrix = matrix_make((tp_matrix_kind)kind, 70, cols, RANDOM);
        product_case c = case_make(&matrix, TOKENS_MAX, RANDOM);
        check_product(&c, 16, 48);
        c.list = list;
        check_product(&c, 48, 70);
    }
}

TEST_MAIN(TEST(test_quantize), TEST(test_quantized_values), TEST(test_products),
          TEST(test_lists_and_runs))
