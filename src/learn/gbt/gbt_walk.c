// SPDX-License-Identifier: Apache-2.0
//
// A grown tree walked over bins: for rows outside the bag and for validation rows, whose values are
// no longer at hand. Each inner node has a table from bin to side, numeric or not.
#include "learn/gbt/gbt_grow_priv.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"

tapeout_status tp_gbt_walk_init(tp_gbt_walk *walk, const tp_gbt_grower *grower, const tp_tree *tree,
                                tapeout_error *err)
{
    *walk = (tp_gbt_walk){.alloc = grower->env->alloc, .tree = tree};
    walk->left_of = tp_alloc_array(walk->alloc, tree->leaf_count, TP_GBT_BIN_SLOTS);
    if (walk->left_of == NULL) {
        return tp_fail_nomem(err);
    }
    for (uint32_t i = 0; i < grower->node_count; i++) {
        const tp_gbt_node *node = &grower->nodes[i];
        if (node->inner >= 0) {
            tp_gbt_split_table(grower->bins, &node->split,
                               walk->left_of + (size_t)node->inner * TP_GBT_BIN_SLOTS);
        }
    }
    return TAPEOUT_OK;
}

void tp_gbt_walk_deinit(tp_gbt_walk *walk)
{
    if (walk->left_of != NULL) {
        tp_free_array(walk->alloc, walk->left_of, walk->tree->leaf_count, TP_GBT_BIN_SLOTS);
    }
    walk->left_of = NULL;
}

double tp_gbt_walk_value(const tp_gbt_walk *walk, const uint8_t *cells)
{
    const tp_tree *tree = walk->tree;
    int32_t at = tree->leaf_count > 1 ? 0 : ~0;
    while (at >= 0) {
        const uint8_t *left_of = walk->left_of + (size_t)at * TP_GBT_BIN_SLOTS;
        at = left_of[cells[tree->feature[at]]] ? tree->left[at] : tree->right[at];
    }
    return tree->leaf_value[~at];
}
