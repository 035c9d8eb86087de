// SPDX-License-Identifier: Apache-2.0
//
// Whether a forest from outside is one: every child in range and met exactly once from the root, so
// that there is no cycle, no shared and no unreachable node; every feature, threshold and bit set
// such that prediction stays inside its arrays. Walks with a counter instead of recursion, so depth
// costs nothing.
#include "learn/gbt/gbt_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"

#include <math.h>

typedef struct tree_check {
    const tp_tree *tree;
    uint32_t number;
    uint32_t feature_count;
    bool are_numbers; // sets may be asked of numbers
    bool is_linear;   // leaves have functions
    const tp_learn_feature *features;
    uint8_t *inner_seen; // [TP_MAX leaves of the forest]
    uint8_t *leaf_seen;
    uint32_t *stack;
} tree_check;

static tapeout_status corrupt(const tree_check *check, uint32_t node, const char *what,
                              tapeout_error *err)
{
    return tp_fail_at(err, TAPEOUT_E_CORRUPT, check->number, "gbt: tree %u, node %u: %s",
                      check->number, node, what);
}

static tapeout_status check_split(const tree_check *check, uint32_t node, tapeout_error *err)
{
    const tp_tree *tree = check->tree;
    const uint32_t feature = tree->feature[node];
    const uint8_t flags = tree->flags[node];
    const uint32_t begin = tree->category_begin[node];
    const uint32_t end = tree->category_begin[node + 1];
    if (feature >= check->feature_count) {
        return corrupt(check, node, "its feature does not exist", err);
    }
    if (flags > (TP_TREE_CATEGORICAL | TP_TREE_MISSING_LEFT)) {
        return corrupt(check, node, "unknown flags", err);
    }
    const bool is_category = flags & TP_TREE_CATEGORICAL;
    if (check->features != NULL && is_category != check->features[feature].is_category &&
        !(is_category && check->are_numbers)) {
        return corrupt(check, node, "its kind is not that of its feature", err);
    }
    if (end < begin || end > tree->word_count || (!is_category && end != begin)) {
        return corrupt(check, node, "its set of categories is out of range", err);
    }
    if (is_category && (flags & TP_TREE_MISSING_LEFT) && !check->are_numbers) {
        return corrupt(check, node, "missing categories cannot go left", err);
    }
    if (isnan(tree->threshold[node]) || isnan(tree->gain[node]) ||
        !(tree->inner_cover[node] >= 0) || isinf(tree->inner_cover[node])) {
        return corrupt(check, node, "its threshold, gain or cover is not a number it can be", err);
    }
    if (is_category && check->features != NULL && check->features[feature].is_category) {
        const uint64_t codes = check->features[feature].category_count;
        for (uint32_t word = begin; word < end; word++) {
            const uint64_t first = (uint64_t)(word - begin) * 32;
            const uint64_t allowed = codes <= first ? 0 : codes - first;
            const uint32_t mask = allowed >= 32 ? UINT32_MAX : (1u << allowed) - 1;
            if (tree->category_words[word] & ~mask) {
                return corrupt(check, node, "its set holds a category that does not exist", err);
            }
        }
    }
    return TAPEOUT_OK;
}

// Marks a child as met; it must be new.
static tapeout_status meet(const tree_check *check, uint32_t node, int32_t child,
                           uint32_t *stack_count, tapeout_error *err)
{
    const uint32_t leaves = check->tree->leaf_count;
    const uint32_t index = child >= 0 ? (uint32_t)child : ~(uint32_t)child;
    uint8_t *seen = child >= 0 ? check->inner_seen : check->leaf_seen;
    if (index >= (child >= 0 ? leaves - 1 : leaves)) {
        return corrupt(check, node, "a child is out of range", err);
    }
    if (seen[index]) {
        return corrupt(check, node, "a child has two parents", err);
    }
    seen[index] = 1;
    if (child >= 0) {
        check->stack[(*stack_count)++] = index;
    }
    return TAPEOUT_OK;
}

static tapeout_status check_terms(const tree_check *check, tapeout_error *err)
{
    const tp_tree *tree = check->tree;
    const uint32_t inner = tree->leaf_count - 1;
    if (tree->leaf_constant == NULL || tree->term_begin[0] != 0 ||
        tree->term_begin[tree->leaf_count] != tree->term_count) {
        return corrupt(check, inner, "linear functions do not fill their terms", err);
    }
    for (uint32_t i = 0; i < tree->leaf_count; i++) {
        if (!isfinite(tree->leaf_constant[i]) || tree->term_begin[i + 1] < tree->term_begin[i]) {
            return corrupt(check, inner + i, "the leaf's linear function is none", err);
        }
    }
    for (uint32_t i = 0; i < tree->term_count; i++) {
        const uint32_t feature = tree->term_feature[i];
        if (feature >= check->feature_count || !isfinite(tree->term_coefficient[i]) ||
            (check->features != NULL && check->features[feature].is_category)) {
            return corrupt(check, inner, "a term has no number for a coefficient or feature", err);
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status check_tree(const tree_check *check, tapeout_error *err)
{
    const tp_tree *tree = check->tree;
    const uint32_t inner = tree->leaf_count - 1;
    for (uint32_t i = 0; i < tree->leaf_count; i++) {
        check->inner_seen[i] = 0;
        check->leaf_seen[i] = 0;
        if (!isfinite(tree->leaf_value[i]) || !isfinite(tree->leaf_cover[i]) ||
            tree->leaf_cover[i] < 0) {
            return corrupt(check, inner + i, "a leaf's value or cover is not a finite number", err);
        }
    }
    if (tree->category_begin[0] != 0 || tree->category_begin[inner] != tree->word_count) {
        return corrupt(check, 0, "sets of categories do not fill their words", err);
    }
    if (check->is_linear) {
        TP_TRY(check_terms(check, err));
    }
    for (uint32_t i = 0; i < inner; i++) {
        TP_TRY(check_split(check, i, err));
    }
    uint32_t stack_count = 0;
    uint32_t met = 0;
    if (inner > 0) {
        check->inner_seen[0] = 1;
        check->stack[stack_count++] = 0;
    }
    while (stack_count > 0) {
        const uint32_t node = check->stack[--stack_count];
        met++;
        TP_TRY(meet(check, node, tree->left[node], &stack_count, err));
        TP_TRY(meet(check, node, tree->right[node], &stack_count, err));
    }
    return met == inner ? TAPEOUT_OK : corrupt(check, 0, "not all nodes hang together", err);
}

tapeout_status tp_gbt_check(const tp_gbt *gbt, const tp_learn_feature *features, tapeout_error *err)
{
    uint32_t leaves = 1;
    for (uint32_t t = 0; t < gbt->tree_count; t++) {
        leaves = gbt->trees[t].leaf_count > leaves ? gbt->trees[t].leaf_count : leaves;
    }
    tree_check check = {.feature_count = gbt->feature_count,
                        .are_numbers = (gbt->flags & TP_GBT_CODES_ARE_NUMBERS) != 0,
                        .is_linear = (gbt->flags & TP_GBT_LINEAR) != 0,
                        .features = features};
    check.inner_seen = tp_alloc_array(gbt->alloc, leaves, 1);
    check.leaf_seen = tp_alloc_array(gbt->alloc, leaves, 1);
    check.stack = tp_alloc_array(gbt->alloc, leaves, sizeof(uint32_t));
    tapeout_status status = TAPEOUT_OK;
    if (check.inner_seen == NULL || check.leaf_seen == NULL || check.stack == NULL) {
        status = tp_fail_nomem(err);
    }
    for (uint32_t t = 0; status == TAPEOUT_OK && t < gbt->tree_count; t++) {
        check.tree = &gbt->trees[t];
        check.number = t;
        status = check_tree(&check, err);
    }
    tp_free_array(gbt->alloc, check.inner_seen, leaves, 1);
    tp_free_array(gbt->alloc, check.leaf_seen, leaves, 1);
    tp_free_array(gbt->alloc, check.stack, leaves, sizeof(uint32_t));
    return status;
}
