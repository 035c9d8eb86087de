// SPDX-License-Identifier: Apache-2.0
//
// Chooses the variants of the kernels of language models: the plain ones first, then what the
// processor offers.
#include "kernels/llm_kernels_priv.h"

void tp_kernels_llm_init(tp_kernels_llm *ret_kernels, uint32_t flags)
{
    (void)flags;
    tp_kernels_llm_init_ref(ret_kernels);
}
