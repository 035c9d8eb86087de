// SPDX-License-Identifier: Apache-2.0
//
// From the grown nodes to a tree: its inner nodes in the order of their splits, and the values of
// its leaves. Values come from 64-bit sums of the fine gradients, not from those that the
// histograms were built of; for absolute and quantile loss they are quantiles of the residuals in
// the leaf.
#include "learn/gbt/gbt_grow_priv.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"

#include <string.h>

// A part of the rows of a leaf.
typedef struct leaf_run {
    uint32_t leaf;
    uint64_t begin;
    uint64_t count;
    tp_gbt_sum sum;
} leaf_run;

typedef struct leaf_job {
    tp_gbt_grower *grower;
    const tp_tree *tree;
    const double *residual_score; // margins before the tree
    double *score;                // margins to be added to
    double *values;               // [leaf_count] renewed, without learning rate
    leaf_run *runs;
    size_t run_count;
} leaf_job;

static const tp_gbt_node *leaf_node(const tp_gbt_grower *grower, uint32_t leaf)
{
    return &grower->nodes[grower->frontier[leaf]];
}

static tapeout_status runs_new(leaf_job *job, tapeout_error *err)
{
    const tp_gbt_grower *grower = job->grower;
    size_t count = 0;
    for (uint32_t leaf = 0; leaf < grower->frontier_count; leaf++) {
        count += (size_t)(leaf_node(grower, leaf)->count / TP_GBT_CHUNK_ROWS) + 1;
    }
    job->runs = tp_alloc_array(grower->env->alloc, count, sizeof(leaf_run));
    if (job->runs == NULL) {
        return tp_fail_nomem(err);
    }
    job->run_count = count;
    size_t at = 0;
    for (uint32_t leaf = 0; leaf < grower->frontier_count; leaf++) {
        const tp_gbt_node *node = leaf_node(grower, leaf);
        const uint64_t parts = node->count / TP_GBT_CHUNK_ROWS + 1;
        for (uint64_t part = 0; part < parts; part++) {
            const uint64_t begin = node->count * part / parts;
            const uint64_t end = node->count * (part + 1) / parts;
            job->runs[at++] =
                (leaf_run){.leaf = leaf, .begin = node->begin + begin, .count = end - begin};
        }
    }
    return TAPEOUT_OK;
}

static void runs_free(leaf_job *job)
{
    tp_free_array(job->grower->env->alloc, job->runs, job->run_count, sizeof(leaf_run));
}

static tapeout_status sum_task(void *user, size_t index, size_t worker, tapeout_error *err)
{
    (void)worker;
    (void)err;
    const leaf_job *job = user;
    leaf_run *run = &job->runs[index];
    const tp_gbt_grower *grower = job->grower;
    tp_gbt_sum sum = {0};
    for (uint64_t i = run->begin; i < run->begin + run->count; i++) {
        const tp_gbt_gradient gradient = grower->fine[grower->entries[i] & UINT32_MAX];
        sum.g += gradient.g;
        sum.h += gradient.h;
    }
    run->sum = sum;
    return TAPEOUT_OK;
}

static tapeout_status add_task(void *user, size_t index, size_t worker, tapeout_error *err)
{
    (void)worker;
    (void)err;
    const leaf_job *job = user;
    const leaf_run *run = &job->runs[index];
    const double value = job->tree->leaf_value[run->leaf];
    for (uint64_t i = run->begin; i < run->begin + run->count; i++) {
        job->score[job->grower->entries[i] & UINT32_MAX] += value;
    }
    return TAPEOUT_OK;
}

// One leaf: the quantile of its residuals.
static tapeout_status renew_task(void *user, size_t index, size_t worker, tapeout_error *err)
{
    const leaf_job *job = user;
    tp_gbt_grower *grower = job->grower;
    tp_gbt_scratch *scratch = &grower->scratch[worker];
    const tp_gbt_node *node = leaf_node(grower, (uint32_t)index);
    if (scratch->items_capacity < node->count) {
        const tapeout_allocator *alloc = grower->env->alloc;
        tp_free_array(alloc, scratch->items, scratch->items_capacity, sizeof(tp_gbt_weighted));
        scratch->items_capacity = 0;
        scratch->items = tp_alloc_array(alloc, node->count, sizeof(tp_gbt_weighted));
        if (scratch->items == NULL) {
            return tp_fail_nomem(err);
        }
        scratch->items_capacity = node->count;
    }
    const tp_gbt_loss *loss = grower->loss;
    for (uint64_t i = 0; i < node->count; i++) {
        const size_t row = grower->entries[node->begin + i] & UINT32_MAX;
        scratch->items[i] =
            (tp_gbt_weighted){.value = loss->target[row] - job->residual_score[row],
                              .weight = loss->weight != NULL ? loss->weight[row] : 1};
    }
    const double value = tp_gbt_quantile(scratch->items, node->count, loss->renewal_quantile);
    job->values[index] = value < node->lower   ? node->lower
                         : value > node->upper ? node->upper
                                               : value;
    return TAPEOUT_OK;
}

// -- structure -----------------------------------------------------------------------------------

static uint32_t set_words(const tp_gbt_column *column, const tp_gbt_split *split)
{
    uint32_t words = 0;
    for (uint32_t bin = 1; bin < column->bin_count; bin++) {
        const bool is_left = split->set[bin / 32] >> (bin % 32) & 1;
        const uint32_t needed = column->bin_categories[bin] / 32 + 1;
        words = is_left && needed > words ? needed : words;
    }
    return words;
}

static void set_fill(const tp_gbt_column *column, const tp_gbt_split *split, uint32_t *words)
{
    for (uint32_t bin = 1; bin < column->bin_count; bin++) {
        if (split->set[bin / 32] >> (bin % 32) & 1) {
            const uint32_t code = column->bin_categories[bin];
            words[code / 32] |= 1u << (code % 32);
        }
    }
}

// Inner nodes by their place, and places of the leaves, as `by_inner` [leaf_count] and
// `leaf_of` [node_count].
static void number_nodes(const tp_gbt_grower *grower, uint32_t *by_inner, uint32_t *leaf_of)
{
    for (uint32_t i = 0; i < grower->node_count; i++) {
        if (grower->nodes[i].inner >= 0) {
            by_inner[grower->nodes[i].inner] = i;
        }
    }
    for (uint32_t leaf = 0; leaf < grower->frontier_count; leaf++) {
        leaf_of[grower->frontier[leaf]] = leaf;
    }
}

static int32_t child_number(const tp_gbt_grower *grower, uint32_t node, const uint32_t *leaf_of)
{
    const int32_t inner = grower->nodes[node].inner;
    return inner >= 0 ? inner : ~(int32_t)leaf_of[node];
}

static void fill_inner(const tp_gbt_grower *grower, const uint32_t *by_inner,
                       const uint32_t *leaf_of, tp_tree *tree)
{
    uint32_t words = 0;
    for (uint32_t i = 0; i + 1 < tree->leaf_count; i++) {
        const tp_gbt_node *node = &grower->nodes[by_inner[i]];
        const tp_gbt_split *split = &node->split;
        const tp_gbt_column *column = &grower->bins->columns[split->feature];
        tree->feature[i] = split->feature;
        tree->left[i] = child_number(grower, node->child, leaf_of);
        tree->right[i] = child_number(grower, node->child + 1, leaf_of);
        tree->flags[i] = (uint8_t)((split->is_category ? TP_TREE_CATEGORICAL : 0) |
                                   (split->missing_left ? TP_TREE_MISSING_LEFT : 0));
        tree->gain[i] = split->gain;
        tree->inner_cover[i] = (double)node->count;
        tree->category_begin[i] = words;
        if (split->is_category) {
            set_fill(column, split, tree->category_words + words);
            words += set_words(column, split);
        } else {
            tree->threshold[i] = column->bounds[split->bin];
        }
    }
    tree->category_begin[tree->leaf_count - 1] = words;
}

static tapeout_status make_structure(const tp_gbt_grower *grower, tp_tree *ret_tree,
                                     tapeout_error *err)
{
    const tapeout_allocator *alloc = grower->env->alloc;
    const uint32_t leaves = grower->frontier_count;
    uint32_t words = 0;
    for (uint32_t i = 0; i < grower->node_count; i++) {
        const tp_gbt_node *node = &grower->nodes[i];
        if (node->inner >= 0 && node->split.is_category) {
            words += set_words(&grower->bins->columns[node->split.feature], &node->split);
        }
    }
    TP_TRY(tp_gbt_tree_init(alloc, leaves, words, ret_tree, err));
    uint32_t *by_inner = tp_alloc_array(alloc, leaves, sizeof(uint32_t));
    uint32_t *leaf_of = tp_alloc_array(alloc, grower->node_count, sizeof(uint32_t));
    const bool is_ready = by_inner != NULL && leaf_of != NULL;
    if (is_ready) {
        number_nodes(grower, by_inner, leaf_of);
        fill_inner(grower, by_inner, leaf_of, ret_tree);
    }
    tp_free_array(alloc, by_inner, leaves, sizeof(uint32_t));
    tp_free_array(alloc, leaf_of, grower->node_count, sizeof(uint32_t));
    return is_ready ? TAPEOUT_OK : tp_fail_nomem(err);
}

// -- values --------------------------------------------------------------------------------------

static void values_from_sums(const leaf_job *job, tp_tree *tree)
{
    const tp_gbt_grower *grower = job->grower;
    size_t run = 0;
    for (uint32_t leaf = 0; leaf < tree->leaf_count; leaf++) {
        const tp_gbt_node *node = leaf_node(grower, leaf);
        tp_gbt_sum sum = {0};
        for (; run < job->run_count && job->runs[run].leaf == leaf; run++) {
            sum.g += job->runs[run].sum.g;
            sum.h += job->runs[run].sum.h;
        }
        const tp_gbt_side side = {(double)sum.g * grower->fine_unit_g,
                                  (double)sum.h * grower->fine_unit_h};
        tree->leaf_value[leaf] = tp_gbt_side_value(grower, node, side, node->l2);
        tree->leaf_cover[leaf] = (double)node->count;
    }
}

tapeout_status tp_gbt_tree_build(tp_gbt_grower *grower, const double *score, tp_tree *ret_tree,
                                 tapeout_error *err)
{
    TP_TRY(make_structure(grower, ret_tree, err));
    leaf_job job = {.grower = grower,
                    .tree = ret_tree,
                    .residual_score = score,
                    .values = ret_tree->leaf_value};
    TP_TRY(runs_new(&job, err));
    tapeout_status status = tp_pool_for(grower->env->pool, job.run_count, sum_task, &job, err);
    if (status == TAPEOUT_OK) {
        values_from_sums(&job, ret_tree);
    }
    runs_free(&job);
    TP_TRY(status);
    if (grower->loss->is_renewed) {
        TP_TRY(tp_pool_for(grower->env->pool, ret_tree->leaf_count, renew_task, &job, err));
    }
    for (uint32_t leaf = 0; leaf < ret_tree->leaf_count; leaf++) {
        ret_tree->leaf_value[leaf] *= grower->options->learning_rate;
    }
    return TAPEOUT_OK;
}

tapeout_status tp_gbt_tree_add(tp_gbt_grower *grower, const tp_tree *tree, double *score,
                               tapeout_error *err)
{
    leaf_job job = {.grower = grower, .tree = tree, .score = score};
    TP_TRY(runs_new(&job, err));
    const tapeout_status status =
        tp_pool_for(grower->env->pool, job.run_count, add_task, &job, err);
    runs_free(&job);
    return status;
}
