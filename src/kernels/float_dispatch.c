// SPDX-License-Identifier: Apache-2.0
//
// Fills the table of float kernels: `ref` first, then up the ladder as far as the flags go.
#include "kernels/tp_kernels_float.h"

#include "base/tp_cpu.h"
#include "kernels/float_priv.h"

void tp_kernels_float_init(tp_kernels_float *ret_kernels, uint32_t flags)
{
    *ret_kernels = (tp_kernels_float){
        .rms_norm = tp_rms_norm_ref,
        .layer_norm = tp_layer_norm_ref,
        .silu_multiply = tp_silu_multiply_ref,
        .gelu_multiply = tp_gelu_multiply_ref,
        .gelu_erf = tp_gelu_erf_ref,
        .softmax = tp_softmax_ref,
        .half_to_float = tp_half_to_float_ref,
        .float_to_half = tp_float_to_half_ref,
        .score = tp_score_ref,
        .weigh = tp_weigh_ref,
    };
#ifdef __x86_64__
    if ((flags & TP_CPU_AVX2) != 0) {
        tp_kernels_float_init_avx2(ret_kernels);
    }
#else
    (void)flags;
#endif
}
