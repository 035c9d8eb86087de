// SPDX-License-Identifier: Apache-2.0
//
// Shared by the variants of the kernels of language models: what the kinds of matrices have in
// common, and who fills the table.
#ifndef LLM_KERNELS_PRIV_H
#define LLM_KERNELS_PRIV_H

#include "kernels/tp_kernels_llm.h"

#include <stdbool.h>

// Below it a block of activations counts as zero, so that its scale is no denormal.
#define LLM_TINY 0x1p-100f
#define LLM_INFINITY_BITS 0x7f800000u

// How the codes of a kind lie: 0 for floats.
typedef enum llm_code_form {
    LLM_CODE_NONE = 0,
    LLM_CODE_4,
    LLM_CODE_5,
    LLM_CODE_6,
    LLM_CODE_8
} llm_code_form;

// How the scales of a kind lie.
typedef enum llm_scale_form {
    LLM_SCALE_NONE = 0,
    LLM_SCALE_HALF,     // f16 scale
    LLM_SCALE_HALF_MIN, // f16 scale, f16 min
    LLM_SCALE_SUPER,    // of 256: f16 scale and min; of 32: 8-bit factors of both, min negative
    LLM_SCALE_SUPER_16, // of 256: f16 scale; of 16: signed 8-bit factor
    LLM_SCALE_FLOAT_16  // of 16: f32 scale, f32 min
} llm_scale_form;

typedef struct llm_form {
    llm_code_form code;
    llm_scale_form scale;
    int32_t bias; // is subtracted from each code
} llm_form;

// Known to the compiler, so that a variant can be made for each kind.
static const llm_form llm_forms[TP_MATRIX_KIND_COUNT] = {
    [TP_MATRIX_Q4_0] = {LLM_CODE_4, LLM_SCALE_HALF, 8},
    [TP_MATRIX_Q4_1] = {LLM_CODE_4, LLM_SCALE_HALF_MIN, 0},
    [TP_MATRIX_Q5_0] = {LLM_CODE_5, LLM_SCALE_HALF, 16},
    [TP_MATRIX_Q5_1] = {LLM_CODE_5, LLM_SCALE_HALF_MIN, 0},
    [TP_MATRIX_Q8_0] = {LLM_CODE_8, LLM_SCALE_HALF, 0},
    [TP_MATRIX_Q4_K] = {LLM_CODE_4, LLM_SCALE_SUPER, 0},
    [TP_MATRIX_Q5_K] = {LLM_CODE_5, LLM_SCALE_SUPER, 0},
    [TP_MATRIX_Q6_K] = {LLM_CODE_6, LLM_SCALE_SUPER_16, 32},
    [TP_MATRIX_WIDE] = {LLM_CODE_8, LLM_SCALE_FLOAT_16, 0},
};

// A block of a group of 16 rows: `shared_bytes`, then `parts` times `scale_bytes` and `code_bytes`,
// 32 inputs each.
typedef struct llm_shape {
    uint32_t parts;
    uint32_t shared_bytes;
    uint32_t scale_bytes;
    uint32_t code_bytes;
} llm_shape;

static const uint32_t llm_code_bytes[] = {
    [LLM_CODE_4] = 256, [LLM_CODE_5] = 320, [LLM_CODE_6] = 384, [LLM_CODE_8] = 512};
static const llm_shape llm_scale_shapes[] = {
    [LLM_SCALE_HALF] = {1, 0, 32, 0},      [LLM_SCALE_HALF_MIN] = {1, 0, 64, 0},
    [LLM_SCALE_SUPER] = {8, 64, 32, 0},    [LLM_SCALE_SUPER_16] = {8, 32, 32, 0},
    [LLM_SCALE_FLOAT_16] = {1, 0, 256, 0},
};

static inline llm_shape llm_shape_of(tp_matrix_kind kind)
{
    llm_shape shape = llm_scale_shapes[llm_forms[kind].scale];
    shape.code_bytes = llm_code_bytes[llm_forms[kind].code];
    return shape;
}

static inline bool llm_has_min(llm_scale_form form)
{
    return form == LLM_SCALE_HALF_MIN || form == LLM_SCALE_SUPER || form == LLM_SCALE_FLOAT_16;
}

// One scale for each 16 inputs.
static inline bool llm_has_halves(llm_scale_form form)
{
    return form == LLM_SCALE_SUPER_16 || form == LLM_SCALE_FLOAT_16;
}

static inline uint32_t llm_token_of(const tp_matrix_product *product, uint32_t index)
{
    return product->tokens != NULL ? product->tokens[index] : product->first_token + index;
}

// Bytes of a group of 16 rows.
size_t tp_matrix_group_bytes(const tp_matrix *matrix);

void tp_quantize_q16_ref(const float *x, size_t block_count, tp_q16_block *ret_blocks);

void tp_multiply_ref(const tp_matrix_product *product);

void tp_quantize_q16_avx2(const float *x, size_t block_count, tp_q16_block *ret_blocks);
void tp_multiply_blocks_avx2(const tp_matrix_product *product);
void tp_multiply_floats_avx2(const tp_matrix_product *product);

#endif
