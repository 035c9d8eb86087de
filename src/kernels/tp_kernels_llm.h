// SPDX-License-Identifier: Apache-2.0
//
// The hot loops of language models: matrices of weights times activations.
//
// Lanes hold outputs. Sixteen rows lie interleaved, so that one vector of a matrix has the same two
// inputs of eight rows; activations are 16-bit integers with a scale for each block of 32. Inside a
// block products add up in int32, exactly: a code has at most 8 bits and a value 15 and a sign, so
// 32 products stay below 32 · 2^7 · (2^15 - 1) < 2^27. Over blocks each output is one ordered sum
// of floats. Both together make the result the same for one token and for many, for any cut of
// tokens or rows, and in every variant.
//
// The order, for a row and a token: acc = 0; then for each block, or for each half of 16 inputs in
// kinds that have a scale for each half,
//     acc = acc + (float)sum(code · q) · (scale · activation_scale)
//     acc = acc + min · activation_sum                               where the kind has minima.
// Matrices of floats take the activations as floats: for each input, acc = acc + weight · x.
#ifndef TP_KERNELS_LLM_H
#define TP_KERNELS_LLM_H

#include <stddef.h>
#include <stdint.h>

enum {
    TP_MATRIX_GROUP = 16, // rows that lie interleaved
    TP_MATRIX_BLOCK = 32, // inputs with one activation scale
};

// How weights lie in a packed matrix, byte by byte in docs/formats/llm_weights.md. The numbers
// stand in bundles.
typedef enum tp_matrix_kind {
    TP_MATRIX_F32 = 0,
    TP_MATRIX_F16 = 1,
    TP_MATRIX_BF16 = 2,
    TP_MATRIX_Q4_0 = 3,  // 4 bits, less 8; f16 scale
    TP_MATRIX_Q4_1 = 4,  // 4 bits; f16 scale and min
    TP_MATRIX_Q5_0 = 5,  // 5 bits, less 16; f16 scale
    TP_MATRIX_Q5_1 = 6,  // 5 bits; f16 scale and min
    TP_MATRIX_Q8_0 = 7,  // 8 bits, signed; f16 scale
    TP_MATRIX_Q4_K = 8,  // 4 bits; 256 inputs share f16 scale and min, 32 their 6-bit factors
    TP_MATRIX_Q5_K = 9,  // the same with 5 bits
    TP_MATRIX_Q6_K = 10, // 6 bits, less 32; 256 inputs share an f16 scale, 16 its 8-bit factor
    TP_MATRIX_WIDE = 11, // 8 bits, signed; f32 scale and min for 16 inputs: holds any other type
    TP_MATRIX_KIND_COUNT = 12
} tp_matrix_kind;

// A view of a packed matrix [rows, cols]. Groups of 16 rows follow each other, the last padded with
// zeros; in each the blocks of inputs follow each other.
typedef struct tp_matrix {
    tp_matrix_kind kind;
    uint32_t rows;
    uint32_t cols; // a multiple of the kind's block
    const uint8_t *data;
    size_t size; // bytes
} tp_matrix;

typedef struct tp_matrix_layout {
    const char *name;
    uint32_t block_inputs; // 1, 32 or 256
    uint32_t block_bytes;  // of a group of 16 rows
} tp_matrix_layout;

// Of a kind below TP_MATRIX_KIND_COUNT.
const tp_matrix_layout *tp_matrix_layout_of(tp_matrix_kind kind);

// 32 activations of one token: x = scale · q to 16 bits. The scale is the greatest magnitude /
// 32767; q is x / scale to nearest, ties to even. A block whose greatest magnitude is below 2^-100
// counts as zero; one with an infinity or a NaN has NaN as its scale and zeros in q.
typedef struct tp_q16_block {
    int16_t q[TP_MATRIX_BLOCK];
    int32_t sums[2]; // of q, over each 16
    float scale;
    float scaled_sum; // scale · (float)(sums[0] + sums[1])
} tp_q16_block;

// y[i · y_stride + r] = row r times the i-th token, for the rows of a range. A matrix of floats
// reads `floats`, another `blocks`.
typedef struct tp_matrix_product {
    const tp_matrix *matrix;
    const tp_q16_block *blocks; // [tokens, block_stride]
    size_t block_stride;
    const float *floats; // [tokens, float_stride]
    size_t float_stride;
    const uint32_t *tokens; // [token_count] which of them; NULL: from first_token on
    uint32_t first_token;
    uint32_t token_count;
    uint32_t row_begin; // a multiple of 16
    uint32_t row_end;   // a multiple of 16, or the matrix's last row
    float *y;
    size_t y_stride;
} tp_matrix_product;

typedef struct tp_kernels_llm {
    // x [block_count · 32] to 16 bits.
    void (*quantize)(const float *x, size_t block_count, tp_q16_block *ret_blocks);
    void (*multiply)(const tp_matrix_product *product);
} tp_kernels_llm;

// `flags` as of tp_cpu_flags(): the plain forms first, then the best that the flags allow.
void tp_kernels_llm_init(tp_kernels_llm *ret_kernels, uint32_t flags);

// One row as floats, scale · code + min: the values that the packed tensor had.
void tp_matrix_row_f32(const tp_matrix *matrix, uint32_t row, float *ret_values);

#endif
