// SPDX-License-Identifier: Apache-2.0
//
// The forest as a thing: made, freed, asked which features mattered.
#include "learn/gbt/gbt_priv.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"

#include <string.h>

// Blocks of no bytes may be NULL, which would look like a failure: each array has room for one.
static size_t at_least_one(size_t count)
{
    return count > 0 ? count : 1;
}

tapeout_status tp_gbt_tree_init(const tapeout_allocator *alloc, uint32_t leaf_count,
                                uint32_t word_count, tp_tree *ret_tree, tapeout_error *err)
{
    const size_t inner = at_least_one(leaf_count - 1);
    tp_tree *tree = ret_tree;
    *tree = (tp_tree){.leaf_count = leaf_count, .word_count = word_count};
    tree->feature = tp_alloc_array_zero(alloc, inner, sizeof(uint32_t));
    tree->threshold = tp_alloc_array_zero(alloc, inner, sizeof(double));
    tree->flags = tp_alloc_array_zero(alloc, inner, sizeof(uint8_t));
    tree->left = tp_alloc_array_zero(alloc, inner, sizeof(int32_t));
    tree->right = tp_alloc_array_zero(alloc, inner, sizeof(int32_t));
    tree->category_begin = tp_alloc_array_zero(alloc, (size_t)leaf_count, sizeof(uint32_t));
    tree->category_words = tp_alloc_array_zero(alloc, at_least_one(word_count), sizeof(uint32_t));
    tree->gain = tp_alloc_array_zero(alloc, inner, sizeof(double));
    tree->inner_cover = tp_alloc_array_zero(alloc, inner, sizeof(double));
    tree->leaf_cover = tp_alloc_array_zero(alloc, leaf_count, sizeof(double));
    tree->leaf_value = tp_alloc_array_zero(alloc, leaf_count, sizeof(double));
    const bool is_ready = tree->feature != NULL && tree->threshold != NULL && tree->flags != NULL &&
                          tree->left != NULL && tree->right != NULL &&
                          tree->category_begin != NULL && tree->category_words != NULL &&
                          tree->gain != NULL && tree->inner_cover != NULL &&
                          tree->leaf_cover != NULL && tree->leaf_value != NULL;
    return is_ready ? TAPEOUT_OK : tp_fail_nomem(err);
}

tapeout_status tp_gbt_tree_linear_init(const tapeout_allocator *alloc, uint32_t term_count,
                                       tp_tree *tree, tapeout_error *err)
{
    const size_t terms = at_least_one(term_count);
    tree->term_count = term_count; // as freed, even where one is NULL
    tree->leaf_constant = tp_alloc_array_zero(alloc, tree->leaf_count, sizeof(double));
    tree->term_begin = tp_alloc_array_zero(alloc, (size_t)tree->leaf_count + 1, sizeof(uint32_t));
    tree->term_feature = tp_alloc_array_zero(alloc, terms, sizeof(uint32_t));
    tree->term_coefficient = tp_alloc_array_zero(alloc, terms, sizeof(double));
    const bool is_ready = tree->leaf_constant != NULL && tree->term_begin != NULL &&
                          tree->term_feature != NULL && tree->term_coefficient != NULL;
    return is_ready ? TAPEOUT_OK : tp_fail_nomem(err);
}

static void free_array(const tapeout_allocator *alloc, void *block, size_t count, size_t size)
{
    if (block != NULL) {
        tp_free_array(alloc, block, count, size);
    }
}

void tp_gbt_tree_deinit(const tapeout_allocator *alloc, tp_tree *tree)
{
    if (tree->leaf_count == 0) {
        return;
    }
    const size_t inner = at_least_one(tree->leaf_count - 1);
    free_array(alloc, tree->feature, inner, sizeof(uint32_t));
    free_array(alloc, tree->threshold, inner, sizeof(double));
    free_array(alloc, tree->flags, inner, sizeof(uint8_t));
    free_array(alloc, tree->left, inner, sizeof(int32_t));
    free_array(alloc, tree->right, inner, sizeof(int32_t));
    free_array(alloc, tree->category_begin, tree->leaf_count, sizeof(uint32_t));
    free_array(alloc, tree->category_words, at_least_one(tree->word_count), sizeof(uint32_t));
    free_array(alloc, tree->gain, inner, sizeof(double));
    free_array(alloc, tree->inner_cover, inner, sizeof(double));
    free_array(alloc, tree->leaf_cover, tree->leaf_count, sizeof(double));
    free_array(alloc, tree->leaf_value, tree->leaf_count, sizeof(double));
    const size_t terms = at_least_one(tree->term_count);
    free_array(alloc, tree->leaf_constant, tree->leaf_count, sizeof(double));
    free_array(alloc, tree->term_begin, (size_t)tree->leaf_count + 1, sizeof(uint32_t));
    free_array(alloc, tree->term_feature, terms, sizeof(uint32_t));
    free_array(alloc, tree->term_coefficient, terms, sizeof(double));
    *tree = (tp_tree){0};
}

tapeout_status tp_gbt_tree_copy(const tapeout_allocator *alloc, const tp_tree *tree,
                                tp_tree *ret_tree, tapeout_error *err)
{
    TP_TRY(tp_gbt_tree_init(alloc, tree->leaf_count, tree->word_count, ret_tree, err));
    const size_t inner = tree->leaf_count - 1;
    memcpy(ret_tree->feature, tree->feature, inner * sizeof(uint32_t));
    memcpy(ret_tree->threshold, tree->threshold, inner * sizeof(double));
    memcpy(ret_tree->flags, tree->flags, inner * sizeof(uint8_t));
    memcpy(ret_tree->left, tree->left, inner * sizeof(int32_t));
    memcpy(ret_tree->right, tree->right, inner * sizeof(int32_t));
    memcpy(ret_tree->category_begin, tree->category_begin, (inner + 1) * sizeof(uint32_t));
    memcpy(ret_tree->category_words, tree->category_words, tree->word_count * sizeof(uint32_t));
    memcpy(ret_tree->gain, tree->gain, inner * sizeof(double));
    memcpy(ret_tree->inner_cover, tree->inner_cover, inner * sizeof(double));
    memcpy(ret_tree->leaf_cover, tree->leaf_cover, (inner + 1) * sizeof(double));
    memcpy(ret_tree->leaf_value, tree->leaf_value, (inner + 1) * sizeof(double));
    return TAPEOUT_OK;
}

tapeout_status tp_gbt_new(const tapeout_allocator *alloc, uint32_t feature_count,
                          uint32_t trees_per_iteration, uint32_t tree_capacity, tp_gbt **ret_gbt,
                          tapeout_error *err)
{
    tp_gbt *gbt = tp_alloc_zero(alloc, sizeof(*gbt));
    if (gbt == NULL) {
        return tp_fail_nomem(err);
    }
    gbt->alloc = alloc;
    gbt->feature_count = feature_count;
    gbt->trees_per_iteration = trees_per_iteration;
    gbt->tree_capacity = tree_capacity;
    gbt->base = tp_alloc_array_zero(alloc, trees_per_iteration, sizeof(double));
    gbt->trees = tp_alloc_array_zero(alloc, at_least_one(tree_capacity), sizeof(tp_tree));
    if (gbt->base == NULL || gbt->trees == NULL) {
        tp_gbt_free(gbt);
        return tp_fail_nomem(err);
    }
    *ret_gbt = gbt;
    return TAPEOUT_OK;
}

tapeout_status tp_gbt_finish(tp_gbt *gbt, const tp_learn_feature *features, tapeout_error *err)
{
    TP_TRY(tp_gbt_check(gbt, features, err));
    return tp_gbt_fast_make(gbt, err);
}

void tp_gbt_free(tp_gbt *gbt)
{
    if (gbt == NULL) {
        return;
    }
    tp_gbt_fast_free(gbt);
    for (uint32_t t = 0; gbt->trees != NULL && t < gbt->tree_capacity; t++) {
        tp_gbt_tree_deinit(gbt->alloc, &gbt->trees[t]);
    }
    free_array(gbt->alloc, gbt->trees, at_least_one(gbt->tree_capacity), sizeof(tp_tree));
    free_array(gbt->alloc, gbt->base, gbt->trees_per_iteration, sizeof(double));
    tp_free(gbt->alloc, gbt, sizeof(*gbt));
}

void tp_gbt_importance(const tp_gbt *gbt, double *ret_gain, uint64_t *ret_splits)
{
    for (uint32_t f = 0; f < gbt->feature_count; f++) {
        ret_gain[f] = 0;
        ret_splits[f] = 0;
    }
    for (uint32_t t = 0; t < gbt->tree_count; t++) {
        const tp_tree *tree = &gbt->trees[t];
        for (uint32_t i = 0; i + 1 < tree->leaf_count; i++) {
            ret_gain[tree->feature[i]] += tree->gain[i];
            ret_splits[tree->feature[i]]++;
        }
    }
}
