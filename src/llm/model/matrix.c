// SPDX-License-Identifier: Apache-2.0
//
// Packed matrices and activations as the forward pass sees them: sizes, views, and the call of the
// kernel. Which kind holds which type of a file is decided here, once.
#include "llm/model/tp_matrix.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"

#include <assert.h>
#include <string.h>

tp_matrix_kind tp_matrix_kind_of(tp_tensor_type type)
{
    switch (type) {
    case TP_TENSOR_F32:
        return TP_MATRIX_F32;
    case TP_TENSOR_F16:
        return TP_MATRIX_F16;
    case TP_TENSOR_BF16:
        return TP_MATRIX_BF16;
    case TP_TENSOR_Q4_0:
        return TP_MATRIX_Q4_0;
    case TP_TENSOR_Q4_1:
        return TP_MATRIX_Q4_1;
    case TP_TENSOR_Q5_0:
        return TP_MATRIX_Q5_0;
    case TP_TENSOR_Q5_1:
        return TP_MATRIX_Q5_1;
    case TP_TENSOR_Q8_0:
        return TP_MATRIX_Q8_0;
    case TP_TENSOR_Q4_K:
        return TP_MATRIX_Q4_K;
    case TP_TENSOR_Q5_K:
        return TP_MATRIX_Q5_K;
    case TP_TENSOR_Q6_K:
        return TP_MATRIX_Q6_K;
    case TP_TENSOR_Q2_K:
    case TP_TENSOR_Q3_K:
    case TP_TENSOR_IQ4_NL:
    case TP_TENSOR_IQ4_XS:
    case TP_TENSOR_MXFP4:
        break;
    }
    return TP_MATRIX_WIDE;
}

size_t tp_matrix_size(tp_matrix_kind kind, uint32_t rows, uint32_t cols)
{
    const tp_matrix_layout *layout = tp_matrix_layout_of(kind);
    const size_t groups = ((size_t)rows + TP_MATRIX_GROUP - 1) / TP_MATRIX_GROUP;
    const size_t blocks = cols / layout->block_inputs;
    size_t size = 0;
    if (cols % layout->block_inputs != 0 || __builtin_mul_overflow(groups, blocks, &size) ||
        __builtin_mul_overflow(size, (size_t)layout->block_bytes, &size)) {
        return 0;
    }
    return size;
}

tapeout_status tp_matrix_view(tp_matrix_kind kind, uint32_t rows, uint32_t cols, tp_str bytes,
                              tp_matrix *ret_matrix, tapeout_error *err)
{
    const size_t size = tp_matrix_size(kind, rows, cols);
    if (size == 0 || size != bytes.size) {
        return tp_fail(err, TAPEOUT_E_CORRUPT,
                       "matrix %s [%u, %u]: %zu bytes of weights, and it needs %zu",
                       tp_matrix_layout_of(kind)->name, rows, cols, bytes.size, size);
    }
    *ret_matrix = (tp_matrix){kind, rows, cols, (const uint8_t *)bytes.data, size};
    return TAPEOUT_OK;
}

void tp_matrix_row(const tp_matrix *matrix, uint32_t row, float *ret_values)
{
    assert(row < matrix->rows);
    tp_matrix_row_f32(matrix, row, ret_values);
}

uint32_t tp_matrix_reads(tp_matrix_kind kind)
{
    return tp_matrix_layout_of(kind)->block_inputs == 1 ? TP_ACTIVATIONS_FLOATS
                                                        : TP_ACTIVATIONS_BLOCKS;
}

// -- activations ---------------------------------------------------------------------------------

tapeout_status tp_activations_init(tp_activations *ret, const tp_env *env, uint32_t forms,
                                   uint32_t max_tokens, uint32_t max_cols, tapeout_error *err)
{
    tp_activations x = {.alloc = env->alloc,
                        .forms = forms,
                        .max_tokens = max_tokens,
                        .max_cols = max_cols,
                        .block_stride = max_cols / TP_MATRIX_BLOCK,
                        .float_stride = max_cols};
    size_t block_count = 0;
    size_t float_count = 0;
    if (__builtin_mul_overflow(max_tokens, x.block_stride * sizeof(*x.blocks), &block_count) ||
        __builtin_mul_overflow(max_tokens, x.float_stride * sizeof(*x.floats), &float_count)) {
        return tp_fail_nomem(err);
    }
    if ((forms & TP_ACTIVATIONS_BLOCKS) != 0) {
        x.blocks = tp_alloc_aligned(x.alloc, block_count);
    }
    if ((forms & TP_ACTIVATIONS_FLOATS) != 0) {
        x.floats = tp_alloc_aligned(x.alloc, float_count);
    }
    if (((forms & TP_ACTIVATIONS_BLOCKS) != 0 && x.blocks == NULL) ||
        ((forms & TP_ACTIVATIONS_FLOATS) != 0 && x.floats == NULL)) {
        tp_activations_deinit(&x);
        return tp_fail_nomem(err);
    }
    *ret = x;
    return TAPEOUT_OK;
}

uint64_t tp_activations_bytes(uint32_t forms, uint64_t max_tokens, uint32_t max_cols)
{
    const uint64_t blocks = max_cols / TP_MATRIX_BLOCK * sizeof(tp_q16_block);
    const uint64_t floats = max_cols * sizeof(float);
    return max_tokens * (((forms & TP_ACTIVATIONS_BLOCKS) != 0 ? blocks : 0) +
                         ((forms & TP_ACTIVATIONS_FLOATS) != 0 ? floats : 0));
}

void tp_activations_deinit(tp_activations *x)
{
    if (x == NULL || x->alloc == NULL) {
        return;
    }
    tp_free_aligned(x->alloc, x->blocks, x->max_tokens * x->block_stride * sizeof(*x->blocks));
    tp_free_aligned(x->alloc, x->floats, x->max_tokens * x->float_stride * sizeof(*x->floats));
    *x = (tp_activations){0};
}

void tp_activations_set(tp_activations *x, const tp_kernels_llm *kernels, uint32_t token,
                        const float *row, uint32_t cols)
{
    assert(token < x->max_tokens && cols <= x->max_cols);
    if (x->blocks != NULL && cols % TP_MATRIX_BLOCK == 0) {
        kernels->quantize(row, cols / TP_MATRIX_BLOCK, x->blocks + token * x->block_stride);
    }
    if (x->floats != NULL) {
        memcpy(x->floats + token * x->float_stride, row, cols * sizeof(float));
    }
}

void tp_matrix_multiply(const tp_kernels_llm *kernels, const tp_matrix *matrix,
                        const tp_activations *x, const tp_matrix_part *part)
{
    assert((x->forms & tp_matrix_reads(matrix->kind)) != 0 && matrix->cols <= x->max_cols);
    assert(part->row_begin % TP_MATRIX_GROUP == 0 && part->row_end <= matrix->rows);
    assert(part->row_end % TP_MATRIX_GROUP == 0 || part->row_end == matrix->rows);
    const tp_matrix_product product = {.matrix = matrix,
                                       .blocks = x->blocks,
                                       .block_stride = x->block_stride,
                                       .floats = x->floats,
                                       .float_stride = x->float_stride,
                                       .tokens = part->tokens,
                                       .first_token = part->first_token,
                                       .token_count = part->token_count,
                                       .row_begin = part->row_begin,
                                       .row_end = part->row_end,
                                       .y = part->y,
                                       .y_stride = part->y_stride};
    kernels->multiply(&product);
}
