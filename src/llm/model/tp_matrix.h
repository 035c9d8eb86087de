// SPDX-License-Identifier: Apache-2.0
//
// Matrices of weights, packed once into interleaved rows, and activations in the form that they are
// multiplied with. Packing keeps every weight exactly: tp_matrix_row gives the floats that
// tp_tensor_dequantize gives of the tensor. What a product's bits are is written in
// kernels/tp_kernels_llm.h; they do not depend on the cut of rows and tokens.
#ifndef TP_MATRIX_H
#define TP_MATRIX_H

#include "base/tp_env.h"
#include "kernels/tp_kernels_llm.h"
#include "llm/gguf/tp_tensor_type.h"

#include <tapeout/status.h>

// The kind that holds a tensor type. Each type has one.
tp_matrix_kind tp_matrix_kind_of(tp_tensor_type type);

// Bytes of a packed matrix; 0 where `cols` is no multiple of the kind's block or the product does
// not fit.
size_t tp_matrix_size(tp_matrix_kind kind, uint32_t rows, uint32_t cols);

// A tensor [rows, cols] as it lies in a file.
typedef struct tp_matrix_source {
    tp_tensor_type type;
    const uint8_t *data; // rows · tp_tensor_row_bytes(type, cols)
    uint32_t rows;
    uint32_t cols; // a multiple of the type's block
} tp_matrix_source;

// Writes tp_matrix_size bytes, in parallel over groups of rows. E_INVALID for cols that the type
// does not allow, E_CANCELLED.
tapeout_status tp_matrix_pack(const tp_env *env, const tp_matrix_source *source, uint8_t *ret_data,
                              tapeout_error *err);

// A view over packed bytes, which stay the caller's. E_CORRUPT where `size` is not what kind, rows
// and cols need.
tapeout_status tp_matrix_view(tp_matrix_kind kind, uint32_t rows, uint32_t cols, tp_str bytes,
                              tp_matrix *ret_matrix, tapeout_error *err);

// Row `row` (< rows) as floats [cols].
void tp_matrix_row(const tp_matrix *matrix, uint32_t row, float *ret_values);

// What a tp_activations has room for: matrices of floats read floats, all others 16-bit blocks.
enum { TP_ACTIVATIONS_BLOCKS = 1, TP_ACTIVATIONS_FLOATS = 2 };

// The forms that a matrix of this kind reads.
uint32_t tp_matrix_reads(tp_matrix_kind kind);

// Inputs of up to max_tokens tokens. @thread confined, but different tokens may be set by different
// threads, and what is set may be read by any number.
typedef struct tp_activations {
    const tapeout_allocator *alloc;
    uint32_t forms;
    uint32_t max_tokens;
    uint32_t max_cols;
    size_t block_stride; // of `blocks`, in blocks
    size_t float_stride;
    tp_q16_block *blocks;
    float *floats;
} tp_activations;

tapeout_status tp_activations_init(tp_activations *ret, const tp_env *env, uint32_t forms,
                                   uint32_t max_tokens, uint32_t max_cols, tapeout_error *err);
void tp_activations_deinit(tp_activations *x);
// What tp_activations_init would ask for.
uint64_t tp_activations_bytes(uint32_t forms, uint64_t max_tokens, uint32_t max_cols);

// The inputs of one token, row [cols], in every form that there is room for (16-bit blocks only
// where cols is a multiple of 32).
void tp_activations_set(tp_activations *x, const tp_kernels_llm *kernels, uint32_t token,
                        const float *row, uint32_t cols);

// Which tokens times which rows go where: y[i · y_stride + r] for the i-th token and row r.
typedef struct tp_matrix_part {
    const uint32_t *tokens; // [token_count] indexes into the activations; NULL: from first_token on
    uint32_t first_token;
    uint32_t token_count;
    uint32_t row_begin; // a multiple of TP_MATRIX_GROUP
    uint32_t row_end;   // a multiple of TP_MATRIX_GROUP, or the matrix's rows
    float *y;
    size_t y_stride;
} tp_matrix_part;

void tp_matrix_multiply(const tp_kernels_llm *kernels, const tp_matrix *matrix,
                        const tp_activations *x, const tp_matrix_part *part);

#endif
