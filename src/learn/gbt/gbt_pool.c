// SPDX-License-Identifier: Apache-2.0
//
// The histograms of a tree, taken and given back by the thread that leads. Their number is bounded
// by a budget of bytes: with many features the least promising leaves go without, and their
// children are counted from their rows when it comes to that.
#include "learn/gbt/gbt_grow_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"

enum { HISTS_MIN = 4 };

tapeout_status tp_gbt_hists_init(tp_gbt_grower *grower, tapeout_error *err)
{
    const size_t hist_bytes = tp_gbt_hist_bytes(grower->bins);
    const size_t affordable = TP_MAX_GBT_HIST_BYTES / (hist_bytes > 0 ? hist_bytes : 1);
    const size_t useful = (size_t)grower->options->leaves + TP_GBT_BATCH_MAX + 1;
    const size_t capacity = affordable < useful ? affordable : useful;
    grower->hist_capacity = (uint32_t)(capacity < HISTS_MIN ? HISTS_MIN : capacity);
    const tapeout_allocator *alloc = grower->env->alloc;
    grower->hists = tp_alloc_array_zero(alloc, grower->hist_capacity, sizeof(*grower->hists));
    grower->hists_free =
        tp_alloc_array_zero(alloc, grower->hist_capacity, sizeof(*grower->hists_free));
    return grower->hists == NULL || grower->hists_free == NULL ? tp_fail_nomem(err) : TAPEOUT_OK;
}

void tp_gbt_hists_deinit(tp_gbt_grower *grower)
{
    const tapeout_allocator *alloc = grower->env->alloc;
    for (uint32_t i = 0; i < grower->hist_count; i++) {
        tp_free_aligned(alloc, grower->hists[i], tp_gbt_hist_bytes(grower->bins));
    }
    tp_free_array(alloc, grower->hists, grower->hist_capacity, sizeof(*grower->hists));
    tp_free_array(alloc, grower->hists_free, grower->hist_capacity, sizeof(*grower->hists_free));
}

tp_gbt_sum *tp_gbt_hist_take(tp_gbt_grower *grower)
{
    if (grower->hists_free_count > 0) {
        return grower->hists_free[--grower->hists_free_count];
    }
    if (grower->hist_count == grower->hist_capacity) {
        return NULL;
    }
    tp_gbt_sum *hist = tp_alloc_aligned(grower->env->alloc, tp_gbt_hist_bytes(grower->bins));
    if (hist != NULL) {
        grower->hists[grower->hist_count++] = hist;
    }
    return hist;
}

void tp_gbt_hist_give(tp_gbt_grower *grower, tp_gbt_sum **hist)
{
    if (*hist != NULL) {
        grower->hists_free[grower->hists_free_count++] = *hist;
        *hist = NULL;
    }
}
