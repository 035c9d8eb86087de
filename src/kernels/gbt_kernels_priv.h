// SPDX-License-Identifier: Apache-2.0
//
// Shared by the variants of the tree kernels: how an entry unpacks, and who fills the table.
#ifndef GBT_KERNELS_PRIV_H
#define GBT_KERNELS_PRIV_H

#include "kernels/tp_kernels_gbt.h"

static inline uint64_t tp_gbt_entry_packed(uint64_t entry)
{
    return ((uint64_t)((int64_t)entry >> 48) << 32) + ((entry >> 32) & 0xffff);
}

void tp_gbt_bin_values_ref(const tp_gbt_bin_job *job);

void tp_kernels_gbt_init_ref(tp_kernels_gbt *kernels);
void tp_kernels_gbt_init_avx2(tp_kernels_gbt *kernels);

#endif
