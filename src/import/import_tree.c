// SPDX-License-Identifier: Apache-2.0
//
// The shape of a tree from outside, found by one walk with a stack of its own: a tree may be a
// million levels deep and costs no more than its nodes.
#include "import/import_priv.h"

#include "base/limits.h"
#include "base/tp_error.h"

static tapeout_status corrupt(const import_tree *tree, uint32_t node, const char *what,
                              tapeout_error *err)
{
    return tp_fail_at(err, TAPEOUT_E_CORRUPT, tree->number, "%s: tree %u, node %u: %s",
                      tree->source, tree->number, node, what);
}

tapeout_status tp_import_shape(const import_tree *tree, int32_t *place, uint32_t *stack,
                               import_shape *ret_shape, tapeout_error *err)
{
    uint32_t inner = 0;
    uint32_t leaves = 0;
    uint32_t waiting = 0;
    for (uint32_t i = 0; i < tree->node_count; i++) {
        place[i] = INT32_MIN;
    }
    if (tree->node_count == 0) {
        return corrupt(tree, 0, "the tree has no nodes", err);
    }
    place[0] = 0; // met; its place comes when it is taken
    stack[waiting++] = 0;
    while (waiting > 0) {
        const uint32_t node = stack[--waiting];
        if (tree->left[node] < 0) {
            place[node] = ~(int32_t)leaves++;
            continue;
        }
        place[node] = (int32_t)inner++;
        const int64_t children[2] = {tree->right[node], tree->left[node]};
        for (int side = 0; side < 2; side++) {
            if (children[side] < 0 || children[side] >= (int64_t)tree->node_count) {
                return corrupt(tree, node, "a child is out of range", err);
            }
            if (place[children[side]] != INT32_MIN) {
                return corrupt(tree, node, "a child has two parents, or is above itself", err);
            }
            place[children[side]] = 0;
            stack[waiting++] = (uint32_t)children[side];
        }
    }
    if (leaves > TP_MAX_GBT_LEAVES) {
        return tp_fail_at(err, TAPEOUT_E_LIMIT, tree->number,
                          "%s: tree %u has %u leaves; at most %u are taken", tree->source,
                          tree->number, leaves, TP_MAX_GBT_LEAVES);
    }
    *ret_shape = (import_shape){.leaf_count = leaves, .place = place};
    return TAPEOUT_OK;
}
