// SPDX-License-Identifier: Apache-2.0
//
// Deriving the fast form of a forest: the distinct thresholds of each feature, the categories that
// its nodes name, and each tree as nodes and as a program over the codes.
#include "learn/gbt/gbt_fast_priv.h"

#include "base/tp_alloc.h"
#include "base/tp_cpu.h"
#include "base/tp_error.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CODES_MAX = 254, CATEGORY_CODES_MAX = 255 };

// -- features ------------------------------------------------------------------------------------

typedef struct node_ref {
    uint32_t feature;
    double threshold;
} node_ref;

static int compare_refs(const void *a, const void *b)
{
    const node_ref *x = a;
    const node_ref *y = b;
    if (x->feature != y->feature) {
        return x->feature < y->feature ? -1 : 1;
    }
    return x->threshold < y->threshold ? -1 : x->threshold > y->threshold;
}

// What kind each feature is, which columns it needs and how many codes of a category are named.
static void survey(const tp_gbt *gbt, tp_gbt_fast *fast)
{
    for (uint32_t t = 0; t < gbt->tree_count; t++) {
        const tp_tree *tree = &gbt->trees[t];
        for (uint32_t i = 0; i + 1 < tree->leaf_count; i++) {
            tp_gbt_code_feature *feature = &fast->features[tree->feature[i]];
            const bool is_category = tree->flags[i] & TP_TREE_CATEGORICAL;
            const bool is_left = tree->flags[i] & TP_TREE_MISSING_LEFT;
            const uint32_t words = tree->category_begin[i + 1] - tree->category_begin[i];
            // Both kinds on one feature would need both codes.
            const bool is_seen = feature->has_left || feature->has_right;
            fast->is_coded = fast->is_coded && (!is_seen || feature->is_category == is_category);
            feature->is_category = is_category;
            feature->has_right = feature->has_right || is_category || !is_left;
            feature->has_left = feature->has_left || (is_left && !is_category);
            feature->missing_code = feature->missing_code || (is_left && is_category);
            if (is_category && words * 32 > feature->count) {
                feature->count = words * 32;
            }
            fast->node_count++;
            fast->set_count += is_category;
        }
    }
}

// Finite thresholds of all numeric features, ascending and distinct.
static tapeout_status collect_thresholds(const tp_gbt *gbt, tp_gbt_fast *fast, tapeout_error *err)
{
    const size_t most = fast->node_count > 0 ? fast->node_count : 1;
    node_ref *refs = tp_alloc_array(gbt->alloc, most, sizeof(node_ref));
    fast->thresholds = tp_alloc_array(gbt->alloc, most, sizeof(double));
    fast->threshold_count = most;
    if (refs == NULL || fast->thresholds == NULL) {
        tp_free_array(gbt->alloc, refs, most, sizeof(node_ref));
        return tp_fail_nomem(err);
    }
    size_t count = 0;
    for (uint32_t t = 0; t < gbt->tree_count; t++) {
        const tp_tree *tree = &gbt->trees[t];
        for (uint32_t i = 0; i + 1 < tree->leaf_count; i++) {
            if (!(tree->flags[i] & TP_TREE_CATEGORICAL) && tree->threshold[i] < INFINITY) {
                refs[count++] = (node_ref){tree->feature[i], tree->threshold[i]};
            }
        }
    }
    qsort(refs, count, sizeof(node_ref), compare_refs);
    size_t out = 0;
    for (size_t i = 0; i < count; i++) {
        tp_gbt_code_feature *feature = &fast->features[refs[i].feature];
        if (feature->count > 0 && fast->thresholds[out - 1] == refs[i].threshold) {
            continue;
        }
        feature->first = feature->count == 0 ? (uint32_t)out : feature->first;
        feature->count++;
        fast->thresholds[out++] = refs[i].threshold;
        fast->is_coded = fast->is_coded && feature->count <= CODES_MAX;
    }
    tp_free_array(gbt->alloc, refs, most, sizeof(node_ref));
    return TAPEOUT_OK;
}

// Numbers the categories that some node names, from 1.
static tapeout_status collect_categories(const tp_gbt *gbt, tp_gbt_fast *fast, tapeout_error *err)
{
    size_t total = 0;
    for (uint32_t f = 0; f < gbt->feature_count; f++) {
        tp_gbt_code_feature *feature = &fast->features[f];
        if (feature->is_category) {
            feature->first = (uint32_t)total;
            total += feature->count;
        }
    }
    fast->category_code_count = total > 0 ? total : 1;
    fast->category_codes = tp_alloc_array_zero(gbt->alloc, fast->category_code_count, 1);
    uint32_t *named = tp_alloc_array_zero(gbt->alloc, gbt->feature_count, sizeof(uint32_t));
    if (fast->category_codes == NULL || named == NULL) {
        tp_free_array(gbt->alloc, named, gbt->feature_count, sizeof(uint32_t));
        return tp_fail_nomem(err);
    }
    for (uint32_t t = 0; t < gbt->tree_count; t++) {
        const tp_tree *tree = &gbt->trees[t];
        for (uint32_t i = 0; i + 1 < tree->leaf_count; i++) {
            const uint32_t begin = tree->category_begin[i];
            const uint32_t words = tree->category_begin[i + 1] - begin;
            uint8_t *codes = fast->category_codes + fast->features[tree->feature[i]].first;
            for (uint32_t code = 0; code < words * 32; code++) {
                const bool is_named = tree->category_words[begin + code / 32] >> (code % 32) & 1;
                if (is_named && codes[code] == 0) {
                    codes[code] = (uint8_t)++named[tree->feature[i]];
                    fast->is_coded =
                        fast->is_coded && named[tree->feature[i]] <= CATEGORY_CODES_MAX;
                }
            }
        }
    }
    for (uint32_t f = 0; f < gbt->feature_count; f++) {
        tp_gbt_code_feature *feature = &fast->features[f];
        if (feature->missing_code != 0) {
            fast->is_coded = fast->is_coded && named[f] < CATEGORY_CODES_MAX;
            feature->missing_code = (uint8_t)(named[f] + 1);
        }
    }
    tp_free_array(gbt->alloc, named, gbt->feature_count, sizeof(uint32_t));
    return TAPEOUT_OK;
}

static void place_columns(const tp_gbt *gbt, tp_gbt_fast *fast)
{
    for (uint32_t f = 0; f < gbt->feature_count; f++) {
        fast->features[f].column = fast->column_count;
        fast->column_count += (uint32_t)fast->features[f].has_right + fast->features[f].has_left;
    }
    fast->is_coded = fast->is_coded && fast->column_count <= UINT16_MAX;
}

// -- trees ---------------------------------------------------------------------------------------

// The last code that goes left. Every value goes left of an infinite threshold.
static uint8_t limit_of(const tp_gbt_fast *fast, const tp_gbt_code_feature *feature,
                        double threshold)
{
    if (threshold == INFINITY) {
        return CODES_MAX;
    }
    const double *thresholds = fast->thresholds + feature->first;
    uint32_t low = 0;
    uint32_t high = feature->count;
    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        if (thresholds[middle] <= threshold) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return (uint8_t)low;
}

static void fill_set(const tp_gbt_fast *fast, const tp_tree *tree, uint32_t node, uint8_t *set)
{
    const tp_gbt_code_feature *feature = &fast->features[tree->feature[node]];
    const uint32_t begin = tree->category_begin[node];
    const uint32_t words = tree->category_begin[node + 1] - begin;
    const uint8_t missing = tree->flags[node] & TP_TREE_MISSING_LEFT ? feature->missing_code : 0;
    memset(set, 0, 32);
    set[missing / 8] = missing > 0 ? (uint8_t)(1u << (missing % 8)) : 0;
    for (uint32_t code = 0; code < words * 32; code++) {
        if (tree->category_words[begin + code / 32] >> (code % 32) & 1) {
            const uint8_t number = fast->category_codes[feature->first + code];
            set[number / 8] = (uint8_t)(set[number / 8] | 1u << (number % 8));
        }
    }
}

static void fill_nodes(const tp_gbt_fast *fast, const tp_tree *tree, tp_gbt_code_node *nodes,
                       uint32_t *set_count)
{
    for (uint32_t i = 0; i + 1 < tree->leaf_count; i++) {
        const tp_gbt_code_feature *feature = &fast->features[tree->feature[i]];
        const bool is_left = tree->flags[i] & TP_TREE_MISSING_LEFT;
        tp_gbt_code_node *node = &nodes[i];
        *node = (tp_gbt_code_node){
            .column = (uint16_t)(feature->column +
                                 (is_left && feature->has_right && !feature->is_category)),
            .is_category = feature->is_category,
            .child = {(int16_t)tree->left[i], (int16_t)tree->right[i]},
        };
        if (feature->is_category) {
            node->set = (*set_count)++;
            fill_set(fast, tree, i, fast->sets + (size_t)node->set * 32);
        } else {
            node->limit = limit_of(fast, feature, tree->threshold[i]);
        }
    }
}

// Writes the operations of a subtree, deepest need first, into slots from `slot` on, and returns
// how many slots it took. Recursion is as deep as the tree, whose leaves are at most 256.
typedef struct program {
    const tp_gbt_code_node *nodes;
    tp_gbt_code_op *ops;
    uint32_t count;
    uint8_t needs[TP_GBT_PROGRAM_LEAVES_MAX]; // slots of each node
} program;

static uint8_t count_slots(program *p, int16_t node)
{
    if (node < 0) {
        return 0;
    }
    const uint8_t left = count_slots(p, p->nodes[node].child[0]);
    const uint8_t right = count_slots(p, p->nodes[node].child[1]);
    const uint8_t most = left > right ? left : right;
    // Equal needs take one slot more, for the result that waits.
    p->needs[node] = (uint8_t)(most == 0 ? 1 : left == right ? most + 1 : most);
    return p->needs[node];
}

static void write_ops(program *p, int16_t node, uint16_t slot)
{
    assert(slot < TP_GBT_PROGRAM_SLOTS); // 256 leaves need 8
    const tp_gbt_code_node *from = &p->nodes[node];
    const uint8_t left_needs = from->child[0] < 0 ? 0 : p->needs[from->child[0]];
    const uint8_t right_needs = from->child[1] < 0 ? 0 : p->needs[from->child[1]];
    const bool is_left_first = left_needs >= right_needs;
    const uint16_t left_slot = (uint16_t)(slot + (!is_left_first && right_needs > 0));
    const uint16_t right_slot = (uint16_t)(slot + (is_left_first && left_needs > 0));
    for (int turn = 0; turn < 2; turn++) {
        const bool is_left = (turn == 0) == is_left_first;
        const int16_t child = is_left ? from->child[0] : from->child[1];
        if (child >= 0) {
            write_ops(p, child, is_left ? left_slot : right_slot);
        }
    }
    p->ops[p->count++] = (tp_gbt_code_op){
        .column = from->column,
        .limit = from->limit,
        .is_category = from->is_category,
        .left = (uint16_t)(from->child[0] < 0 ? ~from->child[0] : TP_GBT_SLOT_BASE + left_slot),
        .right = (uint16_t)(from->child[1] < 0 ? ~from->child[1] : TP_GBT_SLOT_BASE + right_slot),
        .result = slot,
        .set = from->set,
    };
}

static tapeout_status make_trees(const tp_gbt *gbt, tp_gbt_fast *fast, tapeout_error *err)
{
    const tapeout_allocator *alloc = gbt->alloc;
    fast->node_count = fast->node_count > 0 ? fast->node_count : 1;
    fast->set_count = fast->set_count > 0 ? fast->set_count : 1;
    fast->nodes = tp_alloc_array(alloc, fast->node_count, sizeof(tp_gbt_code_node));
    fast->ops = tp_alloc_array(alloc, fast->node_count, sizeof(tp_gbt_code_op));
    fast->sets = tp_alloc_array_zero(alloc, fast->set_count, 32);
    if (fast->nodes == NULL || fast->ops == NULL || fast->sets == NULL) {
        return tp_fail_nomem(err);
    }
    size_t at = 0;
    uint32_t set_count = 0;
    for (uint32_t t = 0; t < gbt->tree_count; t++) {
        const tp_tree *tree = &gbt->trees[t];
        const uint32_t inner = tree->leaf_count - 1;
        const bool is_small = tree->leaf_count <= TP_GBT_PROGRAM_LEAVES_MAX;
        fill_nodes(fast, tree, fast->nodes + at, &set_count);
        fast->trees[t] =
            (tp_gbt_code_tree){.nodes = fast->nodes + at, .node_count = inner, .sets = fast->sets};
        if (is_small && inner > 0) {
            program p = {.nodes = fast->nodes + at, .ops = fast->ops + at};
            (void)count_slots(&p, 0);
            write_ops(&p, 0, 0);
            fast->trees[t].ops = p.ops;
        }
        at += inner;
    }
    return TAPEOUT_OK;
}

// -- all of it -----------------------------------------------------------------------------------

static tapeout_status derive(const tp_gbt *gbt, tp_gbt_fast *fast, tapeout_error *err)
{
    fast->features =
        tp_alloc_array_zero(gbt->alloc, gbt->feature_count, sizeof(tp_gbt_code_feature));
    fast->trees = tp_alloc_array_zero(gbt->alloc, gbt->tree_count, sizeof(tp_gbt_code_tree));
    if (fast->features == NULL || (fast->trees == NULL && gbt->tree_count > 0)) {
        return tp_fail_nomem(err);
    }
    for (uint32_t t = 0; t < gbt->tree_count; t++) {
        // Children have 16 bits in a code node.
        fast->is_coded = fast->is_coded && gbt->trees[t].leaf_count <= INT16_MAX;
    }
    survey(gbt, fast);
    if (!fast->is_coded) {
        return TAPEOUT_OK; // and a feature may be of both kinds, which what follows can't number
    }
    TP_TRY(collect_thresholds(gbt, fast, err));
    TP_TRY(collect_categories(gbt, fast, err));
    place_columns(gbt, fast);
    return fast->is_coded ? make_trees(gbt, fast, err) : TAPEOUT_OK;
}

tapeout_status tp_gbt_fast_make(tp_gbt *gbt, tapeout_error *err)
{
    tp_gbt_fast_free(gbt);
    tp_gbt_fast *fast = tp_alloc_zero(gbt->alloc, sizeof(*fast));
    if (fast == NULL) {
        return tp_fail_nomem(err);
    }
    gbt->fast = fast;
    fast->is_coded = (gbt->flags & TP_GBT_LINEAR) == 0; // leaves look at the values
    tp_kernels_gbt_init(&fast->kernels, tp_cpu_flags());
    return derive(gbt, fast, err);
}
