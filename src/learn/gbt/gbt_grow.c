// SPDX-License-Identifier: Apache-2.0
//
// Best-first growth. The frontier holds the leaves of the tree so far, best split first. The first
// one is split: when a round has expanded it already, that costs nothing; else a round expands it
// together with those that are likely to follow, half as many as there are splits left. What was
// expanded but never came first stays a leaf: its rows lie together all the same. So the tree is
// the one that splitting leaf by leaf gives, and the number of rounds grows with the logarithm of
// the number of leaves.
#include "learn/gbt/gbt_grow_priv.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static tapeout_status scratch_init(tp_gbt_grower *grower, tapeout_error *err)
{
    const tapeout_allocator *alloc = grower->env->alloc;
    const size_t counts = (size_t)TP_GBT_SPAN_FEATURES * TP_GBT_BIN_SLOTS;
    const size_t span = counts * sizeof(tp_gbt_sum);
    const size_t run = (size_t)grower->loss->output_count * TP_GBT_CHUNK_ROWS;
    grower->worker_count = tp_pool_worker_count(grower->env->pool);
    grower->scratch = tp_alloc_array_zero(alloc, grower->worker_count, sizeof(tp_gbt_scratch));
    if (grower->scratch == NULL) {
        return tp_fail_nomem(err);
    }
    for (size_t w = 0; w < grower->worker_count; w++) {
        tp_gbt_scratch *scratch = &grower->scratch[w];
        scratch->span = tp_alloc_aligned(alloc, span);
        scratch->counts = tp_alloc_array_zero(alloc, counts, sizeof(uint32_t));
        scratch->g = tp_alloc_array(alloc, run, sizeof(double));
        scratch->h = tp_alloc_array(alloc, run, sizeof(double));
        if (scratch->span == NULL || scratch->counts == NULL || scratch->g == NULL ||
            scratch->h == NULL) {
            return tp_fail_nomem(err);
        }
        memset(scratch->span, 0, span);
    }
    return TAPEOUT_OK;
}

static void scratch_deinit(tp_gbt_grower *grower)
{
    const tapeout_allocator *alloc = grower->env->alloc;
    const size_t counts = (size_t)TP_GBT_SPAN_FEATURES * TP_GBT_BIN_SLOTS;
    const size_t span = counts * sizeof(tp_gbt_sum);
    const size_t run = (size_t)grower->loss->output_count * TP_GBT_CHUNK_ROWS;
    for (size_t w = 0; grower->scratch != NULL && w < grower->worker_count; w++) {
        tp_gbt_scratch *scratch = &grower->scratch[w];
        if (scratch->span != NULL) {
            tp_free_aligned(alloc, scratch->span, span);
        }
        tp_free_array(alloc, scratch->counts, counts, sizeof(uint32_t));
        tp_free_array(alloc, scratch->g, run, sizeof(double));
        tp_free_array(alloc, scratch->h, run, sizeof(double));
        tp_free_array(alloc, scratch->items, scratch->items_capacity, sizeof(tp_gbt_weighted));
    }
    tp_free_array(alloc, grower->scratch, grower->worker_count, sizeof(tp_gbt_scratch));
}

// The groups of each feature as bit sets.
static void groups_init(tp_gbt_grower *grower)
{
    const tp_gbt_options *options = grower->options;
    for (uint32_t group = 0; group < options->interaction_count; group++) {
        for (uint32_t i = 0; i < options->interaction_sizes[group]; i++) {
            grower->feature_groups[options->interactions[group][i]] |= UINT64_C(1) << group;
        }
    }
}

tapeout_status tp_gbt_grower_init(tp_gbt_grower *grower, tapeout_error *err)
{
    const tapeout_allocator *alloc = grower->env->alloc;
    const size_t features = grower->bins->feature_count;
    const size_t rows = (size_t)grower->matrix->row_count;
    // A node reserves its children once; rounds stop looking ahead when this runs low.
    grower->node_capacity = 6 * grower->options->leaves + 4 * TP_GBT_BATCH_MAX;
    grower->entries = tp_alloc_array(alloc, rows, sizeof(uint64_t));
    grower->spare = tp_alloc_array(alloc, rows, sizeof(uint64_t));
    grower->is_enabled = tp_alloc_array_zero(alloc, features, sizeof(uint8_t));
    grower->feature_groups = tp_alloc_array_zero(alloc, features, sizeof(uint64_t));
    grower->nodes = tp_alloc_array(alloc, grower->node_capacity, sizeof(tp_gbt_node));
    grower->frontier = tp_alloc_array(alloc, grower->options->leaves, sizeof(uint32_t));
    if (grower->entries == NULL || grower->spare == NULL || grower->is_enabled == NULL ||
        grower->feature_groups == NULL || grower->nodes == NULL || grower->frontier == NULL) {
        return tp_fail_nomem(err);
    }
    tp_advise_large_pages(grower->entries, rows * sizeof(uint64_t));
    tp_advise_large_pages(grower->spare, rows * sizeof(uint64_t));
    groups_init(grower);
    TP_TRY(scratch_init(grower, err));
    TP_TRY(tp_gbt_hists_init(grower, err));
    return tp_gbt_round_init(grower, err);
}

void tp_gbt_grower_deinit(tp_gbt_grower *grower)
{
    const tapeout_allocator *alloc = grower->env->alloc;
    const size_t features = grower->bins->feature_count;
    const size_t rows = (size_t)grower->matrix->row_count;
    tp_gbt_round_deinit(grower);
    tp_gbt_hists_deinit(grower);
    scratch_deinit(grower);
    tp_free_array(alloc, grower->entries, rows, sizeof(uint64_t));
    tp_free_array(alloc, grower->spare, rows, sizeof(uint64_t));
    tp_free_array(alloc, grower->is_enabled, features, sizeof(uint8_t));
    tp_free_array(alloc, grower->feature_groups, features, sizeof(uint64_t));
    tp_free_array(alloc, grower->nodes, grower->node_capacity, sizeof(tp_gbt_node));
    tp_free_array(alloc, grower->frontier, grower->options->leaves, sizeof(uint32_t));
    if (grower->counts != NULL) {
        tp_free_array(alloc, grower->counts, grower->bins->hist_size, sizeof(uint32_t));
    }
}

// -- frontier ------------------------------------------------------------------------------------

// Whether node `a` is split before node `b`: by gain, then by age.
static bool comes_before(const tp_gbt_grower *grower, uint32_t a, uint32_t b)
{
    const double gain_a = grower->nodes[a].split.gain;
    const double gain_b = grower->nodes[b].split.gain;
    return gain_a != gain_b ? gain_a > gain_b : a < b;
}

static void frontier_insert(tp_gbt_grower *grower, uint32_t node)
{
    uint32_t at = grower->frontier_count++;
    while (at > 0 && comes_before(grower, node, grower->frontier[at - 1])) {
        grower->frontier[at] = grower->frontier[at - 1];
        at--;
    }
    grower->frontier[at] = node;
}

static uint32_t frontier_take_first(tp_gbt_grower *grower)
{
    const uint32_t first = grower->frontier[0];
    grower->frontier_count--;
    memmove(grower->frontier, grower->frontier + 1,
            grower->frontier_count * sizeof(*grower->frontier));
    return first;
}

// Puts nodes whose split changed back in order; few have.
static void frontier_sort(tp_gbt_grower *grower)
{
    const uint32_t count = grower->frontier_count;
    grower->frontier_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        frontier_insert(grower, grower->frontier[i]);
    }
}

// -- expanding -----------------------------------------------------------------------------------

static void node_init(tp_gbt_node *node)
{
    *node = (tp_gbt_node){.lower = -INFINITY,
                          .upper = INFINITY,
                          .inner = -1,
                          .groups = UINT64_MAX,
                          .solo = TP_GBT_SOLO_ANY};
}

// A histogram, if need be that of a leaf which the round does not expand: the least promising of
// the frontier beyond `keep`, or, for the first of a round, any but its own.
static tp_gbt_sum *hist_obtain(tp_gbt_grower *grower, const tp_gbt_node *of, uint32_t keep)
{
    tp_gbt_sum *hist = tp_gbt_hist_take(grower);
    for (uint32_t i = grower->frontier_count; hist == NULL && i > keep; i--) {
        tp_gbt_node *node = &grower->nodes[grower->frontier[i - 1]];
        hist = node->hist;
        node->hist = NULL;
    }
    for (uint32_t i = grower->node_count; hist == NULL && keep == 1 && i > 0; i--) {
        tp_gbt_node *node = &grower->nodes[i - 1];
        if (node != of && i - 1 != of->child && i - 1 != of->child + 1) {
            hist = node->hist;
            node->hist = NULL;
        }
    }
    return hist;
}

// Children and their histograms for a node; false when there are no more.
static bool children_reserve(tp_gbt_grower *grower, tp_gbt_node *node, uint32_t keep)
{
    if (node->child == 0) {
        if (grower->node_capacity - grower->node_count < 2) {
            return false;
        }
        node->child = grower->node_count;
        node_init(&grower->nodes[grower->node_count++]);
        node_init(&grower->nodes[grower->node_count++]);
    }
    tp_gbt_node *left = &grower->nodes[node->child];
    tp_gbt_node *right = &grower->nodes[node->child + 1];
    left->hist = hist_obtain(grower, node, keep);
    right->hist = node->hist == NULL ? hist_obtain(grower, node, keep) : NULL;
    if (left->hist == NULL || (node->hist == NULL && right->hist == NULL)) {
        tp_gbt_hist_give(grower, &left->hist);
        tp_gbt_hist_give(grower, &right->hist);
        return false;
    }
    return true;
}

// Gives back what no search will need again.
static void hists_release(tp_gbt_grower *grower, tp_gbt_node *node)
{
    for (uint32_t side = 0; side < 2; side++) {
        tp_gbt_node *child = &grower->nodes[node->child + side];
        if (!node->is_expanded || !(child->split.gain > 0)) {
            tp_gbt_hist_give(grower, &child->hist);
        }
    }
}

// Expands the first leaf, and with it those that are likely to be split.
static tapeout_status expand(tp_gbt_grower *grower, uint32_t splits_left, tapeout_error *err)
{
    uint32_t batch[TP_GBT_BATCH_MAX];
    uint32_t count = 0;
    const uint32_t spare_nodes = grower->node_capacity - grower->node_count;
    const bool is_low = spare_nodes < 2 * (splits_left + TP_GBT_BATCH_MAX);
    const uint32_t ahead = is_low ? 1 : (splits_left + 1) / 2;
    for (uint32_t i = 0; i < grower->frontier_count && i < ahead && count < TP_GBT_BATCH_MAX; i++) {
        tp_gbt_node *node = &grower->nodes[grower->frontier[i]];
        if (!(node->split.gain > 0)) {
            break;
        }
        if (node->is_expanded) {
            continue;
        }
        if (!children_reserve(grower, node, i + 1)) {
            break;
        }
        batch[count++] = grower->frontier[i];
    }
    if (count == 0) {
        return tp_fail_nomem(err);
    }
    TP_TRY(tp_gbt_round_expand(grower, batch, count, err));
    for (uint32_t i = 0; i < count; i++) {
        hists_release(grower, &grower->nodes[batch[i]]);
    }
    frontier_sort(grower);
    return TAPEOUT_OK;
}

// -- growing -------------------------------------------------------------------------------------

static tapeout_status root_make(tp_gbt_grower *grower, tapeout_error *err)
{
    tp_gbt_node *root = &grower->nodes[0];
    node_init(root);
    root->count = grower->row_count;
    root->l2 = grower->options->l2;
    root->hist = tp_gbt_hist_take(grower);
    if (root->hist == NULL) {
        return tp_fail_nomem(err);
    }
    grower->node_count = 1;
    grower->frontier_count = 1;
    grower->frontier[0] = 0;
    return tp_gbt_round_root(grower, 0, err);
}

static tapeout_status split_leaves(tp_gbt_grower *grower, tapeout_error *err)
{
    const uint32_t splits_most = grower->options->leaves - 1;
    uint32_t splits = 0;
    while (splits < splits_most) {
        tp_gbt_node *first = &grower->nodes[grower->frontier[0]];
        if (!(first->split.gain > 0)) {
            break;
        }
        if (!first->is_expanded) {
            TP_TRY(expand(grower, splits_most - splits, err));
            continue;
        }
        (void)frontier_take_first(grower);
        first->inner = (int32_t)splits++;
        frontier_insert(grower, first->child);
        frontier_insert(grower, first->child + 1);
    }
    return TAPEOUT_OK;
}

// Leaves in the order of their rows: that in which a walk from the left meets them. A leaf holds
// rows, so the spare entries have room for a stack.
static void frontier_sort_by_rows(tp_gbt_grower *grower)
{
    uint32_t *stack = (uint32_t *)(void *)grower->spare;
    uint32_t depth = 1;
    stack[0] = 0;
    grower->frontier_count = 0;
    while (depth > 0) {
        const tp_gbt_node *node = &grower->nodes[stack[--depth]];
        if (node->inner < 0) {
            grower->frontier[grower->frontier_count++] = stack[depth];
        } else {
            stack[depth++] = node->child + 1;
            stack[depth++] = node->child;
        }
    }
}

tapeout_status tp_gbt_grow(tp_gbt_grower *grower, tapeout_error *err)
{
    tapeout_status status = root_make(grower, err);
    if (status == TAPEOUT_OK) {
        status = split_leaves(grower, err);
    }
    for (uint32_t i = 0; i < grower->node_count; i++) {
        tp_gbt_hist_give(grower, &grower->nodes[i].hist);
    }
    if (status == TAPEOUT_OK) {
        frontier_sort_by_rows(grower);
    }
    return status;
}
