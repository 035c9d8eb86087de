// SPDX-License-Identifier: Apache-2.0
//
// The form that prediction runs on: what each feature's values become, and the trees over that.
#ifndef GBT_FAST_PRIV_H
#define GBT_FAST_PRIV_H

#include "learn/gbt/gbt_priv.h"

// A feature that no node asks for has neither column.
typedef struct tp_gbt_code_feature {
    bool is_category;
    bool has_right;       // a column in which missing values go right; a category has this one
    bool has_left;        // a column in which they go left; comes after the other
    uint8_t missing_code; // of a category that goes left somewhere when missing; else 0
    uint32_t column;      // the first of its columns
    uint32_t first;       // into thresholds, or category_codes
    uint32_t count;       // thresholds, or codes from 0
} tp_gbt_code_feature;

typedef struct tp_gbt_fast {
    tp_kernels_gbt kernels;
    bool is_coded; // false: a byte is too small; nothing below is used
    uint32_t column_count;
    tp_gbt_code_feature *features; // [F]
    double *thresholds;            // [threshold_count] ascending within a feature
    size_t threshold_count;
    uint8_t *category_codes; // [category_code_count]
    size_t category_code_count;
    tp_gbt_code_node *nodes; // [node_count] of all trees
    tp_gbt_code_op *ops;     // [node_count]
    size_t node_count;
    uint8_t *sets; // [set_count, 32]
    size_t set_count;
    tp_gbt_code_tree *trees; // [T]
} tp_gbt_fast;

// One step of a walk; a leaf (below zero) stays where it is.
static inline int32_t tp_gbt_code_step(const tp_gbt_code_tree *tree, int32_t at,
                                       const uint8_t *codes, size_t stride)
{
    const tp_gbt_code_node *node = &tree->nodes[at < 0 ? 0 : at];
    const uint8_t code = codes[node->column * stride];
    bool is_right = code > node->limit;
    if (node->is_category) {
        is_right = !(tree->sets[(size_t)node->set * 32 + code / 8] >> (code % 8) & 1);
    }
    const int32_t next = node->child[is_right]; // an index, not a branch to mispredict
    return at < 0 ? at : next;
}

// The leaf of one row, also of a tree that is one leaf.
static inline uint32_t tp_gbt_code_leaf(const tp_gbt_code_tree *tree, const uint8_t *codes,
                                        size_t stride)
{
    return tree->node_count > 0 ? tp_gbt_walk_codes(tree, codes, stride) : 0;
}

// Over the values themselves; any forest.
void tp_gbt_plain_margins(const tp_gbt *gbt, const double *const *columns, uint32_t row_count,
                          double *ret_margin);

#endif
