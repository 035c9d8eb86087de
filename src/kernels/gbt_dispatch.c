// SPDX-License-Identifier: Apache-2.0
//
// Chooses the variants of the tree kernels: the plain ones first, then what the processor offers.
#include "kernels/gbt_kernels_priv.h"

#include "base/tp_cpu.h"

void tp_kernels_gbt_init(tp_kernels_gbt *kernels, uint32_t flags)
{
    tp_kernels_gbt_init_ref(kernels);
#ifdef __x86_64__
    if ((flags & TP_CPU_AVX2) == 0) {
        return;
    }
    tp_kernels_gbt_init_avx2(kernels);
#else
    (void)flags;
#endif
}
