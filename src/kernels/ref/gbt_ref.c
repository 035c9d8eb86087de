// SPDX-License-Identifier: Apache-2.0
//
// The hot loops of boosted trees in plain C: the definition that every other variant is held to.
#include "kernels/gbt_kernels_priv.h"

#include <stdbool.h>

static void hist_narrow_ref(const tp_gbt_rows *rows, uint32_t features, uint64_t *hist)
{
    for (size_t i = 0; i < rows->count; i++) {
        const uint64_t entry = rows->entries[i];
        const uint8_t *cells = rows->cells + (entry & UINT32_MAX) * rows->stride;
        const uint64_t packed = tp_gbt_entry_packed(entry);
        for (uint32_t f = 0; f < features; f++) {
            hist[(size_t)f * TP_GBT_BIN_SLOTS + cells[f]] += packed;
        }
    }
}

static void hist_wide_ref(const tp_gbt_rows *rows, uint32_t features, tp_gbt_sum *hist)
{
    for (size_t i = 0; i < rows->count; i++) {
        const size_t row = rows->entries[i] & UINT32_MAX;
        const uint8_t *cells = rows->cells + row * rows->stride;
        const tp_gbt_gradient gradient = rows->fine[row];
        for (uint32_t f = 0; f < features; f++) {
            tp_gbt_sum *sum = &hist[(size_t)f * TP_GBT_BIN_SLOTS + cells[f]];
            sum->g += gradient.g;
            sum->h += gradient.h;
        }
    }
}

static void hist_count_ref(const tp_gbt_rows *rows, uint32_t features, uint32_t *counts)
{
    for (size_t i = 0; i < rows->count; i++) {
        const uint8_t *cells = rows->cells + (rows->entries[i] & UINT32_MAX) * rows->stride;
        for (uint32_t f = 0; f < features; f++) {
            counts[(size_t)f * TP_GBT_BIN_SLOTS + cells[f]]++;
        }
    }
}

static void hist_flush_ref(uint64_t *hist, size_t count, tp_gbt_sum *sums)
{
    for (size_t i = 0; i < count; i++) {
        const uint64_t packed = hist[i];
        sums[i].g += (int64_t)packed >> 32;
        sums[i].h += (int64_t)(packed & UINT32_MAX);
        hist[i] = 0;
    }
}

void tp_gbt_bin_values_ref(const tp_gbt_bin_job *job)
{
    for (size_t i = 0; i < job->count; i++) {
        const double value = job->values[i];
        // The number of bounds below the value, by halving a range without a branch.
        const double *base = job->bounds;
        uint32_t left = job->bound_count;
        while (left > 0) {
            const uint32_t half = (left + 1) / 2;
            base += base[half - 1] < value ? half : 0;
            left -= half;
        }
        const uint8_t bin = (uint8_t)(base - job->bounds);
        job->ret_bins[i * job->stride] = value != value ? job->missing : bin;
    }
}

static void find_leaves_ref(const tp_gbt_code_tree *tree, const tp_gbt_code_block *block,
                            uint8_t *ret_leaves)
{
    for (size_t i = 0; i < block->count; i++) {
        ret_leaves[i] = (uint8_t)tp_gbt_walk_codes(tree, block->codes + i, block->stride);
    }
}

uint32_t tp_gbt_walk_codes(const tp_gbt_code_tree *tree, const uint8_t *codes, size_t stride)
{
    int32_t at = 0;
    while (at >= 0) {
        const tp_gbt_code_node *node = &tree->nodes[at];
        const uint8_t code = codes[node->column * stride];
        bool is_right = code > node->limit;
        if (node->is_category) {
            is_right = !(tree->sets[(size_t)node->set * 32 + code / 8] >> (code % 8) & 1);
        }
        at = node->child[is_right];
    }
    return (uint32_t)~at;
}

void tp_kernels_gbt_init_ref(tp_kernels_gbt *kernels)
{
    kernels->hist_narrow = hist_narrow_ref;
    kernels->hist_wide = hist_wide_ref;
    kernels->hist_count = hist_count_ref;
    kernels->hist_flush = hist_flush_ref;
    kernels->bin_values = tp_gbt_bin_values_ref;
    kernels->find_leaves = find_leaves_ref;
    kernels->find_leaves_min = SIZE_MAX;
}
