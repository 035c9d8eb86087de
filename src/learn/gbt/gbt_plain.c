// SPDX-License-Identifier: Apache-2.0
//
// Predicting over the values themselves, for forests that do not fit into codes of a byte, and as
// the definition that the fast form is tested against.
#include "learn/gbt/gbt_fast_priv.h"

#include <math.h>

static bool goes_left(const tp_tree *tree, uint32_t node, double value)
{
    if (tree->flags[node] & TP_TREE_CATEGORICAL) {
        const uint32_t begin = tree->category_begin[node];
        const uint32_t words = tree->category_begin[node + 1] - begin;
        if (!(value >= 0 && value < 32.0 * words)) {
            return isnan(value) && (tree->flags[node] & TP_TREE_MISSING_LEFT);
        }
        const uint32_t code = (uint32_t)value;
        return tree->category_words[begin + code / 32] >> (code % 32) & 1;
    }
    return isnan(value) ? (tree->flags[node] & TP_TREE_MISSING_LEFT) != 0
                        : value <= tree->threshold[node];
}

// What leaf `leaf` answers: its value, or its linear function of the row.
static double leaf_answer(const tp_tree *tree, uint32_t leaf, const double *const *columns,
                          uint32_t row)
{
    if (tree->leaf_constant == NULL) {
        return tree->leaf_value[leaf];
    }
    double sum = tree->leaf_constant[leaf];
    for (uint32_t i = tree->term_begin[leaf]; i < tree->term_begin[leaf + 1]; i++) {
        const double value = columns[tree->term_feature[i]][row];
        if (isnan(value)) {
            return tree->leaf_value[leaf];
        }
        sum += tree->term_coefficient[i] * value;
    }
    return sum;
}

static double leaf_value(const tp_tree *tree, const double *const *columns, uint32_t row)
{
    int32_t at = tree->leaf_count > 1 ? 0 : ~0;
    while (at >= 0) {
        const bool is_left = goes_left(tree, (uint32_t)at, columns[tree->feature[at]][row]);
        at = is_left ? tree->left[at] : tree->right[at];
    }
    return leaf_answer(tree, ~(uint32_t)at, columns, row);
}

void tp_gbt_plain_margins(const tp_gbt *gbt, const double *const *columns, uint32_t row_count,
                          double *ret_margin)
{
    const uint32_t outputs = gbt->trees_per_iteration;
    for (uint32_t k = 0; k < outputs; k++) {
        double *margin = ret_margin + (size_t)k * row_count;
        for (uint32_t row = 0; row < row_count; row++) {
            margin[row] = gbt->base[k];
        }
        for (uint32_t t = k; t < gbt->tree_count; t += outputs) {
            for (uint32_t row = 0; row < row_count; row++) {
                const double sum = margin[row] + leaf_value(&gbt->trees[t], columns, row);
                margin[row] = gbt->flags & TP_GBT_FLOAT32 ? (double)(float)sum : sum;
            }
        }
    }
}
