// SPDX-License-Identifier: Apache-2.0
//
// Chooses the variants of the kernels of language models: the plain ones first, then what the
// processor offers.
#include "kernels/llm_kernels_priv.h"

#include "base/tp_cpu.h"

#ifdef __x86_64__
static void multiply_avx2(const tp_matrix_product *product)
{
    if (tp_matrix_layout_of(product->matrix->kind)->block_inputs == 1) {
        tp_multiply_floats_avx2(product);
    } else {
        tp_multiply_blocks_avx2(product);
    }
}
#endif

void tp_kernels_llm_init(tp_kernels_llm *ret_kernels, uint32_t flags)
{
    *ret_kernels = (tp_kernels_llm){.quantize = tp_quantize_q16_ref, .multiply = tp_multiply_ref};
#ifdef __x86_64__
    if ((flags & TP_CPU_AVX2) == 0) {
        return;
    }
    ret_kernels->quantize = tp_quantize_q16_avx2;
    ret_kernels->multiply = multiply_avx2;
#else
    (void)flags;
#endif
}
