// SPDX-License-Identifier: Apache-2.0
//
// Which form of the table kernels runs: the plain one, then the best that the flags allow.
#include "kernels/tp_kernels_table.h"

#include "base/tp_cpu.h"

void tp_kernels_table_init(tp_kernels_table *ret_kernels, uint32_t flags)
{
    *ret_kernels = (tp_kernels_table){.csv_count = tp_csv_count_ref, .csv_index = tp_csv_index_ref};
#if defined(__x86_64__)
    if ((flags & TP_CPU_AVX2) == 0) {
        return;
    }
    ret_kernels->csv_count = tp_csv_count_avx2;
    ret_kernels->csv_index = tp_csv_index_avx2;
#else
    (void)flags;
#endif
}
