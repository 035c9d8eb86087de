// SPDX-License-Identifier: Apache-2.0
//
// Splits of categories into two sets. Few categories: one against the rest. More: Fisher (1958)
// showed that, once sorted by mean response, the best two sets are a prefix and the rest; sorting
// by G / (H + smoothing) keeps rare categories from the ends. What is rare in the leaf, and what
// the training sample did not know, always goes right.
#include "learn/gbt/gbt_grow_priv.h"

#include <stdlib.h>
#include <string.h>

typedef struct ranked_bin {
    double rank;
    uint32_t bin;
} ranked_bin;

typedef struct category_scan {
    const tp_gbt_search *search;
    const tp_gbt_sum *hist;
    const uint32_t *counts; // NULL: estimated
    uint32_t bin_count;
    double l2;
} category_scan;

static uint64_t bin_rows(const category_scan *s, uint32_t bin)
{
    return s->counts != NULL ? s->counts[bin] : tp_gbt_search_rows(s->search, s->hist[bin].h);
}

static tp_gbt_side side_of(const tp_gbt_grower *grower, int64_t g, int64_t h)
{
    return (tp_gbt_side){(double)g * grower->unit_g, (double)h * grower->unit_h};
}

static double gain_of(const category_scan *s, const tp_gbt_sum *left)
{
    const tp_gbt_grower *grower = s->search->grower;
    const tp_gbt_node *node = s->search->node;
    return tp_gbt_side_gain(grower, node, side_of(grower, left->g, left->h), s->l2) +
           tp_gbt_side_gain(grower, node, side_of(grower, node->g - left->g, node->h - left->h),
                            s->l2);
}

// Both sides have rows and Hessian enough.
static bool is_wide_enough(const category_scan *s, uint64_t rows, const tp_gbt_sum *left)
{
    const tp_gbt_grower *grower = s->search->grower;
    const tp_gbt_node *node = s->search->node;
    const uint64_t min_rows = grower->options->min_rows_in_leaf;
    const double min_h = grower->options->min_hessian_in_leaf;
    return rows >= min_rows && node->count >= rows + min_rows &&
           (double)left->h * grower->unit_h >= min_h &&
           (double)(node->h - left->h) * grower->unit_h >= min_h;
}

static void take(const category_scan *s, uint32_t feature, double gain, const tp_gbt_sum *left,
                 tp_gbt_split *best)
{
    const tp_gbt_grower *grower = s->search->grower;
    const tp_gbt_node *node = s->search->node;
    const tp_gbt_side l = side_of(grower, left->g, left->h);
    const tp_gbt_side r = side_of(grower, node->g - left->g, node->h - left->h);
    *best = (tp_gbt_split){.gain = gain - s->search->gain_min,
                           .feature = feature,
                           .is_category = true,
                           .left_g = left->g,
                           .left_h = left->h,
                           .left_value = tp_gbt_side_value(grower, node, l, s->l2),
                           .right_value = tp_gbt_side_value(grower, node, r, s->l2),
                           .l2 = s->l2};
}

static void search_one(const category_scan *s, uint32_t feature, tp_gbt_split *best)
{
    for (uint32_t bin = 1; bin < s->bin_count; bin++) {
        const tp_gbt_sum *left = &s->hist[bin];
        if (!is_wide_enough(s, bin_rows(s, bin), left)) {
            continue;
        }
        const double gain = gain_of(s, left);
        if (gain - s->search->gain_min > best->gain) {
            take(s, feature, gain, left, best);
            best->set[bin / 32] = 1u << (bin % 32);
        }
    }
}

static int compare_ranked(const void *a, const void *b)
{
    const ranked_bin *x = a;
    const ranked_bin *y = b;
    if (x->rank != y->rank) {
        return x->rank < y->rank ? -1 : 1;
    }
    return x->bin < y->bin ? -1 : x->bin > y->bin;
}

// Prefixes of `ranked` from one end; `step` is 1 or -1.
static void search_prefixes(const category_scan *s, uint32_t feature, const ranked_bin *ranked,
                            uint32_t count, tp_gbt_split *best)
{
    const tp_gbt_options *options = s->search->grower->options;
    const uint64_t total = s->search->node->count;
    const uint32_t half = (count + 1) / 2;
    const uint32_t most =
        half < options->category_max_threshold ? half : options->category_max_threshold;
    tp_gbt_sum left = {0};
    uint64_t rows = 0;
    uint64_t group_rows = 0;
    for (uint32_t i = 0; i < most; i++) {
        const uint32_t bin = ranked[i].bin;
        left.g += s->hist[bin].g;
        left.h += s->hist[bin].h;
        rows += bin_rows(s, bin);
        group_rows += bin_rows(s, bin);
        if (rows > total || total - rows < options->category_min_rows) {
            break;
        }
        if (!is_wide_enough(s, rows, &left) || group_rows < options->category_min_rows) {
            continue;
        }
        group_rows = 0;
        const double gain = gain_of(s, &left);
        if (gain - s->search->gain_min > best->gain) {
            take(s, feature, gain, &left, best);
            for (uint32_t j = 0; j <= i; j++) {
                best->set[ranked[j].bin / 32] |= 1u << (ranked[j].bin % 32);
            }
        }
    }
}

void tp_gbt_search_category(const tp_gbt_search *search, uint32_t feature, tp_gbt_split *best)
{
    const tp_gbt_grower *grower = search->grower;
    const tp_gbt_options *options = grower->options;
    const tp_gbt_column *column = &grower->bins->columns[feature];
    category_scan s = {.search = search,
                       .hist = search->node->hist + column->hist_begin,
                       .bin_count = column->bin_count,
                       .l2 = options->l2};
    s.counts = search->counts != NULL ? search->counts + column->hist_begin : NULL;
    if (column->bin_count - 1 <= options->category_max_onehot) {
        search_one(&s, feature, best);
        return;
    }
    ranked_bin ranked[TP_GBT_BIN_SLOTS];
    uint32_t count = 0;
    for (uint32_t bin = 1; bin < column->bin_count; bin++) {
        const uint64_t rows = bin_rows(&s, bin);
        if (rows > 0 && (double)rows >= options->category_smoothing) {
            const tp_gbt_side side = side_of(grower, s.hist[bin].g, s.hist[bin].h);
            ranked[count++] = (ranked_bin){side.g / (side.h + options->category_smoothing), bin};
        }
    }
    s.l2 += options->category_l2;
    qsort(ranked, count, sizeof(ranked[0]), compare_ranked);
    search_prefixes(&s, feature, ranked, count, best);
    for (uint32_t i = 0; i < count / 2; i++) {
        const ranked_bin first = ranked[i];
        ranked[i] = ranked[count - 1 - i];
        ranked[count - 1 - i] = first;
    }
    search_prefixes(&s, feature, ranked, count, best);
}
