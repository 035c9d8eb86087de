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

extern const llm_form tp_llm_forms[TP_MATRIX_KIND_COUNT];

void tp_quantize_q16_ref(const float *x, size_t block_count, tp_q16_block *ret_blocks);

void tp_kernels_llm_init_ref(tp_kernels_llm *kernels);

#endif
