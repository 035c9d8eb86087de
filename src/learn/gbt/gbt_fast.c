// SPDX-License-Identifier: Apache-2.0
//
// Predicting with codes. What a numeric feature tells a forest is between which of the forest's
// thresholds its value lies: a number below 255. So a block of rows becomes columns of bytes first,
// and the trees then compare bytes (tp_kernels_gbt.h). Where missing values go left at some nodes
// and right at others, a feature has two columns: missing is 255, above every limit, in one and 0,
// below every limit, in the other. A category becomes its place among the codes that some node
// names; all others are 0. The leaf of a row is an exact thing and values are added in the order of
// the trees, so alone or in a block a row has the same margin to the last bit.
//
// A forest that needs more than a byte (thousands of thresholds a feature, as other trainers may
// give) is walked over the values themselves (gbt_plain.c).
#include "learn/gbt/gbt_fast_priv.h"

#include "base/tp_alloc.h"
#include "base/tp_cpu.h"
#include "base/tp_error.h"

#include <math.h>
#include <string.h>

enum { BLOCK_ROWS = 1024, MISSING_CODE = 255, WALKS = 8, ADDED = 4 };

void tp_gbt_fast_free(tp_gbt *gbt)
{
    tp_gbt_fast *fast = gbt->fast;
    if (fast == NULL) {
        return;
    }
    const tapeout_allocator *alloc = gbt->alloc;
    tp_free_array(alloc, fast->features, gbt->feature_count, sizeof(tp_gbt_code_feature));
    tp_free_array(alloc, fast->thresholds, fast->threshold_count, sizeof(double));
    tp_free_array(alloc, fast->category_codes, fast->category_code_count, 1);
    tp_free_array(alloc, fast->nodes, fast->node_count, sizeof(tp_gbt_code_node));
    tp_free_array(alloc, fast->ops, fast->node_count, sizeof(tp_gbt_code_op));
    tp_free_array(alloc, fast->sets, fast->set_count, 32);
    tp_free_array(alloc, fast->trees, gbt->tree_count, sizeof(tp_gbt_code_tree));
    tp_free(alloc, fast, sizeof(*fast));
    gbt->fast = NULL;
}

static size_t padded(size_t rows)
{
    const size_t most = rows < BLOCK_ROWS ? rows : BLOCK_ROWS;
    return (most + 31) / 32 * 32;
}

size_t tp_gbt_scratch_size(const tp_gbt *gbt, uint32_t max_rows)
{
    const tp_gbt_fast *fast = gbt->fast;
    // Columns, slots, and the leaves.
    return ((size_t)fast->column_count + TP_GBT_PROGRAM_SLOTS + ADDED) * padded(max_rows);
}

// -- codes ---------------------------------------------------------------------------------------

static void code_category(const tp_gbt_fast *fast, const tp_gbt_code_feature *feature,
                          const double *values, size_t count, uint8_t *ret_codes)
{
    const uint8_t *codes = fast->category_codes + feature->first;
    for (size_t i = 0; i < count; i++) {
        const double value = values[i];
        const uint8_t other = value != value ? feature->missing_code : 0;
        ret_codes[i] = value >= 0 && value < feature->count ? codes[(uint32_t)value] : other;
    }
}

static void code_feature(const tp_gbt_fast *fast, const tp_gbt_code_feature *feature,
                         const double *values, const tp_gbt_code_block *block)
{
    uint8_t *codes = (uint8_t *)block->codes + feature->column * block->stride;
    if (feature->is_category) {
        code_category(fast, feature, values, block->count, codes);
        return;
    }
    const tp_gbt_bin_job job = {
        .bounds = fast->thresholds + feature->first,
        .bound_count = feature->count,
        .missing = feature->has_right ? MISSING_CODE : 0,
        .values = values,
        .count = block->count,
        .ret_bins = codes,
        .stride = 1,
    };
    fast->kernels.bin_values(&job);
    if (feature->has_right && feature->has_left) {
        uint8_t *second = codes + block->stride;
        for (size_t i = 0; i < block->count; i++) {
            second[i] = codes[i] == MISSING_CODE ? 0 : codes[i];
        }
    }
}

// -- margins -------------------------------------------------------------------------------------

// Whether a tree's leaves are found by its program; one that is a single leaf needs none.
static bool is_small(const tp_gbt_code_tree *tree)
{
    return tree->ops != NULL || tree->node_count == 0;
}

// One tree's leaves, each sum rounded to float32. Of two float32 numbers the float64 sum rounds to
// the very sum that float32 arithmetic gives.
static void add_leaves_float32(const double *values, const uint8_t *leaves, size_t count,
                               double *margin)
{
    for (size_t i = 0; i < count; i++) {
        margin[i] = (double)(float)(margin[i] + values[leaves[i]]);
    }
}

static void add_leaves(const double *const *values, const uint8_t *leaves,
                       const tp_gbt_code_block *block, double *margin)
{
    const double *const v0 = values[0];
    const double *const v1 = values[1];
    const double *const v2 = values[2];
    const double *const v3 = values[3];
    const size_t stride = block->stride;
    for (size_t i = 0; i < block->count; i++) {
        double sum = margin[i];
        sum += v0[leaves[i]];
        sum += v1[leaves[stride + i]];
        sum += v2[leaves[2 * stride + i]];
        sum += v3[leaves[3 * stride + i]];
        margin[i] = sum;
    }
}

// The leaves of one tree over a block.
static void find_leaves(const tp_gbt_fast *fast, const tp_gbt_code_tree *tree,
                        const tp_gbt_code_block *block, uint8_t *ret_leaves)
{
    if (tree->node_count == 0) {
        memset(ret_leaves, 0, block->count);
    } else {
        fast->kernels.find_leaves(tree, block, ret_leaves);
    }
}

// Trees of one output over a block, all rows at a time; several trees are added in one pass over
// the margins, in their order.
static void add_blockwise(const tp_gbt *gbt, uint32_t k, const tp_gbt_code_block *block,
                          uint8_t *leaves, double *margin)
{
    const tp_gbt_fast *fast = gbt->fast;
    const uint32_t step = gbt->trees_per_iteration;
    const bool is_float32 = gbt->flags & TP_GBT_FLOAT32;
    for (uint32_t t = k; t < gbt->tree_count;) {
        const double *values[ADDED];
        uint32_t count = 0;
        for (; count < ADDED && t < gbt->tree_count && is_small(&fast->trees[t]); t += step) {
            find_leaves(fast, &fast->trees[t], block, leaves + count * block->stride);
            values[count++] = gbt->trees[t].leaf_value;
        }
        for (uint32_t c = 0; is_float32 && c < count; c++) {
            add_leaves_float32(values[c], leaves + c * block->stride, block->count, margin);
        }
        if (count == ADDED && !is_float32) {
            add_leaves(values, leaves, block, margin);
        }
        for (uint32_t c = 0; count < ADDED && !is_float32 && c < count; c++) {
            for (size_t i = 0; i < block->count; i++) {
                margin[i] += values[c][leaves[c * block->stride + i]];
            }
        }
        if (count == 0) {
            for (size_t i = 0; i < block->count; i++) {
                const double sum =
                    margin[i] + gbt->trees[t].leaf_value[tp_gbt_walk_codes(
                                    &fast->trees[t], block->codes + i, block->stride)];
                margin[i] = is_float32 ? (double)(float)sum : sum;
            }
            t += step;
        }
    }
}

// One row: several trees are walked side by side, so that their loads overlap.
static double add_row(const tp_gbt *gbt, uint32_t k, const uint8_t *codes, size_t stride)
{
    const tp_gbt_fast *fast = gbt->fast;
    const uint32_t step = gbt->trees_per_iteration;
    const bool is_float32 = gbt->flags & TP_GBT_FLOAT32;
    double margin = gbt->base[k];
    uint32_t t = k;
    for (; t + (WALKS - 1) * step < gbt->tree_count; t += WALKS * step) {
        int32_t at[WALKS];
        uint32_t left = 0;
        for (uint32_t w = 0; w < WALKS; w++) {
            at[w] = fast->trees[t + w * step].node_count > 0 ? 0 : ~0;
            left += at[w] >= 0;
        }
        while (left > 0) {
            left = 0;
            for (uint32_t w = 0; w < WALKS; w++) {
                at[w] = tp_gbt_code_step(&fast->trees[t + w * step], at[w], codes, stride);
                left += at[w] >= 0;
            }
        }
        for (uint32_t w = 0; w < WALKS; w++) {
            margin += gbt->trees[t + w * step].leaf_value[~at[w]];
            margin = is_float32 ? (double)(float)margin : margin;
        }
    }
    for (; t < gbt->tree_count; t += step) {
        margin += gbt->trees[t].leaf_value[tp_gbt_code_leaf(&fast->trees[t], codes, stride)];
        margin = is_float32 ? (double)(float)margin : margin;
    }
    return margin;
}

void tp_gbt_margins(const tp_gbt *gbt, const double *const *columns, uint32_t row_count,
                    void *scratch, double *ret_margin)
{
    const tp_gbt_fast *fast = gbt->fast;
    if (!fast->is_coded) {
        tp_gbt_plain_margins(gbt, columns, row_count, ret_margin);
        return;
    }
    tp_gbt_code_block block = {.codes = scratch, .stride = padded(row_count)};
    block.slots = (uint8_t *)scratch + fast->column_count * block.stride;
    uint8_t *leaves = block.slots + TP_GBT_PROGRAM_SLOTS * block.stride;
    for (uint32_t begin = 0; begin < row_count; begin += BLOCK_ROWS) {
        block.count = row_count - begin < BLOCK_ROWS ? row_count - begin : BLOCK_ROWS;
        for (uint32_t f = 0; f < gbt->feature_count; f++) {
            if (fast->features[f].has_left || fast->features[f].has_right) {
                code_feature(fast, &fast->features[f], columns[f] + begin, &block);
            }
        }
        for (uint32_t k = 0; k < gbt->trees_per_iteration; k++) {
            double *margin = ret_margin + (size_t)k * row_count + begin;
            const bool is_block = block.count >= fast->kernels.find_leaves_min;
            for (size_t i = 0; i < block.count; i++) {
                margin[i] =
                    is_block ? gbt->base[k] : add_row(gbt, k, block.codes + i, block.stride);
            }
            if (is_block) {
                add_blockwise(gbt, k, &block, leaves, margin);
            }
        }
    }
}
