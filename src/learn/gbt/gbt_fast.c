// SPDX-License-Identifier: Apache-2.0
//
// Predicting: every row walks every tree.
#include "learn/gbt/gbt_priv.h"

#include "base/tp_error.h"

#include <math.h>

tapeout_status tp_gbt_fast_make(tp_gbt *gbt, tapeout_error *err)
{
    (void)gbt;
    (void)err;
    return TAPEOUT_OK;
}

void tp_gbt_fast_free(tp_gbt *gbt)
{
    gbt->fast = NULL;
}

size_t tp_gbt_scratch_size(const tp_gbt *gbt, uint32_t max_rows)
{
    (void)gbt;
    return (size_t)max_rows * sizeof(double);
}

static bool goes_left(const tp_tree *tree, uint32_t node, double value)
{
    if (tree->flags[node] & TP_TREE_CATEGORICAL) {
        const uint32_t begin = tree->category_begin[node];
        const uint32_t words = tree->category_begin[node + 1] - begin;
        if (!(value >= 0 && value < 32.0 * words)) {
            return false;
        }
        const uint32_t code = (uint32_t)value;
        return tree->category_words[begin + code / 32] >> (code % 32) & 1;
    }
    return isnan(value) ? (tree->flags[node] & TP_TREE_MISSING_LEFT) != 0
                        : value <= tree->threshold[node];
}

void tp_gbt_margins(const tp_gbt *gbt, const double *const *columns, uint32_t row_count,
                    void *scratch, double *ret_margin)
{
    (void)scratch;
    for (uint32_t k = 0; k < gbt->trees_per_iteration; k++) {
        for (uint32_t row = 0; row < row_count; row++) {
            double margin = gbt->base[k];
            for (uint32_t t = k; t < gbt->tree_count; t += gbt->trees_per_iteration) {
                const tp_tree *tree = &gbt->trees[t];
                int32_t at = tree->leaf_count > 1 ? 0 : ~0;
                while (at >= 0) {
                    at = goes_left(tree, (uint32_t)at, columns[tree->feature[at]][row])
                             ? tree->left[at]
                             : tree->right[at];
                }
                margin += tree->leaf_value[~at];
            }
            ret_margin[(size_t)k * row_count + row] = margin;
        }
    }
}
