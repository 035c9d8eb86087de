// SPDX-License-Identifier: Apache-2.0
//
// Rows of a leaf go to its two children, in order on both sides: chunks are split into spare memory
// first and put together afterwards.
#include "learn/gbt/gbt_grow_priv.h"

#include <string.h>

void tp_gbt_split_table(const tp_gbt_bins *bins, const tp_gbt_split *split,
                        uint8_t ret_left_of[TP_GBT_BIN_SLOTS])
{
    memset(ret_left_of, 0, TP_GBT_BIN_SLOTS);
    if (split->is_category) {
        for (uint32_t bin = 0; bin < TP_GBT_BIN_SLOTS; bin++) {
            ret_left_of[bin] = split->set[bin / 32] >> (bin % 32) & 1;
        }
        return;
    }
    memset(ret_left_of, 1, split->bin + 1);
    ret_left_of[bins->columns[split->feature].bin_count] = split->missing_left;
}

uint64_t tp_gbt_partition_run(const tp_gbt_grower *grower, uint32_t feature, const uint8_t *left_of,
                              uint64_t begin, uint64_t count)
{
    const uint8_t *bins = grower->matrix->columns + feature * grower->matrix->row_count;
    const uint64_t *entries = grower->entries + begin;
    uint64_t *left = grower->spare + begin;
    uint64_t *right = grower->spare + begin + count;
    for (uint64_t i = 0; i < count; i++) {
        // Written on both sides, kept on one: no branch to mispredict.
        const uint64_t entry = entries[i];
        const size_t is_left = left_of[bins[entry & UINT32_MAX]];
        *left = entry;
        right[-1] = entry;
        left += is_left;
        right -= 1 - is_left;
    }
    return (uint64_t)(left - (grower->spare + begin));
}
