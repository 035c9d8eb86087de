// SPDX-License-Identifier: Apache-2.0
//
// The best split of a leaf. Sums are integers until the gain is computed, and every gain is
// computed by the same few operations in the same order, so that equal histograms give equal trees.
//
// A side with sums G and H of gradients and Hessians takes the value -G / (H + l2), G shrunk by l1;
// its gain is G² / (H + l2), or, where the value had to be clipped to w, -(2 G w + (H + l2) w²).
#include "learn/gbt/gbt_grow_priv.h"

#include <math.h>
#include <string.h>

static double shrink(double g, double l1)
{
    if (l1 == 0) {
        return g;
    }
    const double size = fabs(g) - l1;
    return size > 0 ? copysign(size, g) : 0;
}

// The most that a value may be; 0: no such limit. Poisson uses the option for its Hessian.
static double value_limit(const tp_gbt_options *options)
{
    return options->objective == TP_OBJECTIVE_POISSON ? 0 : options->max_delta_step;
}

static bool is_clipped(const tp_gbt_grower *grower, const tp_gbt_node *node)
{
    return value_limit(grower->options) > 0 || node->lower > -INFINITY || node->upper < INFINITY;
}

double tp_gbt_side_value(const tp_gbt_grower *grower, const tp_gbt_node *node, tp_gbt_side side,
                         double l2)
{
    const double limit = value_limit(grower->options);
    const double weight = side.h + l2;
    double value = weight > 0 ? -shrink(side.g, grower->options->l1) / weight : 0;
    if (limit > 0 && fabs(value) > limit) {
        value = copysign(limit, value);
    }
    value = value < node->lower ? node->lower : value;
    return value > node->upper ? node->upper : value;
}

double tp_gbt_side_gain(const tp_gbt_grower *grower, const tp_gbt_node *node, tp_gbt_side side,
                        double l2)
{
    const double g = shrink(side.g, grower->options->l1);
    const double weight = side.h + l2;
    if (!is_clipped(grower, node)) {
        return weight > 0 ? g * g / weight : 0;
    }
    const double value = tp_gbt_side_value(grower, node, side, l2);
    return -(2 * g * value + weight * value * value);
}

uint64_t tp_gbt_search_rows(const tp_gbt_search *search, int64_t h)
{
    return (uint64_t)((double)h * search->rows_per_h + 0.5);
}

void tp_gbt_search_init(tp_gbt_search *search, const tp_gbt_grower *grower, const tp_gbt_node *node,
                        const uint32_t *counts)
{
    const tp_gbt_side whole = {(double)node->g * grower->unit_g, (double)node->h * grower->unit_h};
    *search = (tp_gbt_search){.grower = grower, .node = node, .counts = counts};
    search->rows_per_h = node->h > 0 ? (double)node->count / (double)node->h : 0;
    const double limit = value_limit(grower->options);
    const tp_gbt_node free = {.lower = -INFINITY, .upper = INFINITY};
    search->gain_min =
        tp_gbt_side_gain(grower, limit > 0 ? node : &free, whole, grower->options->l2) +
        grower->options->min_gain;
}

bool tp_gbt_search_may_split(const tp_gbt_search *search)
{
    const tp_gbt_options *options = search->grower->options;
    const tp_gbt_node *node = search->node;
    const bool is_deep = options->depth >= 0 && node->depth >= options->depth;
    return !is_deep && node->count >= 2 * (uint64_t)options->min_rows_in_leaf && node->count >= 2;
}

static bool is_allowed(const tp_gbt_search *search, uint32_t feature)
{
    const tp_gbt_grower *grower = search->grower;
    const tp_gbt_node *node = search->node;
    if (!grower->is_enabled[feature]) {
        return false;
    }
    if (grower->options->interaction_count == 0) {
        return true;
    }
    const uint64_t groups = grower->feature_groups[feature];
    if (groups != 0) {
        return (groups & node->groups) != 0;
    }
    return node->solo == TP_GBT_SOLO_ANY || node->solo == (int32_t)feature;
}

// A scan over the bins of one feature in one direction of missing values.
typedef struct scan {
    const tp_gbt_search *search;
    const tp_gbt_column *column;
    const tp_gbt_sum *hist;
    const uint32_t *counts;
    uint32_t feature;
    bool missing_left;
} scan;

// The gain of a split at `left`, or a negative number where constraints forbid it.
static double split_gain(const scan *s, const tp_gbt_sum *left, tp_gbt_split *ret_split)
{
    const tp_gbt_grower *grower = s->search->grower;
    const tp_gbt_node *node = s->search->node;
    const double l2 = grower->options->l2;
    const tp_gbt_side l = {(double)left->g * grower->unit_g, (double)left->h * grower->unit_h};
    const tp_gbt_side r = {(double)(node->g - left->g) * grower->unit_g,
                           (double)(node->h - left->h) * grower->unit_h};
    if (s->column->monotone != 0) {
        const double rise =
            tp_gbt_side_value(grower, node, r, l2) - tp_gbt_side_value(grower, node, l, l2);
        if (s->column->monotone > 0 ? rise < 0 : rise > 0) {
            return -1;
        }
    }
    if (ret_split != NULL) {
        ret_split->left_value = tp_gbt_side_value(grower, node, l, l2);
        ret_split->right_value = tp_gbt_side_value(grower, node, r, l2);
    }
    return tp_gbt_side_gain(grower, node, l, l2) + tp_gbt_side_gain(grower, node, r, l2);
}

// The gain where nothing is clipped or constrained; the same operations as split_gain.
static double plain_gain(const scan *s, const tp_gbt_sum *left)
{
    const tp_gbt_grower *grower = s->search->grower;
    const tp_gbt_node *node = s->search->node;
    const double l1 = grower->options->l1;
    const double l2 = grower->options->l2;
    const double lg = shrink((double)left->g * grower->unit_g, l1);
    const double lh = (double)left->h * grower->unit_h + l2;
    const double rg = shrink((double)(node->g - left->g) * grower->unit_g, l1);
    const double rh = (double)(node->h - left->h) * grower->unit_h + l2;
    return (lh > 0 ? lg * lg / lh : 0) + (rh > 0 ? rg * rg / rh : 0);
}

static void take(const scan *s, double gain, uint32_t bin, const tp_gbt_sum *left,
                 tp_gbt_split *best)
{
    tp_gbt_split split = {.gain = gain - s->search->gain_min,
                          .feature = s->feature,
                          .bin = bin,
                          .missing_left = s->missing_left,
                          .left_g = left->g,
                          .left_h = left->h,
                          .l2 = s->search->grower->options->l2};
    (void)split_gain(s, left, &split);
    *best = split;
}

// Splits after bin 0 … last; the first best wins.
static void scan_bins(const scan *s, uint32_t last, tp_gbt_split *best)
{
    const tp_gbt_search *search = s->search;
    const tp_gbt_grower *grower = search->grower;
    const tp_gbt_node *node = search->node;
    const uint64_t min_rows = grower->options->min_rows_in_leaf;
    const double min_h = grower->options->min_hessian_in_leaf;
    const bool is_plain = s->column->monotone == 0 && !is_clipped(grower, node);
    const uint32_t missing = s->column->bin_count;
    tp_gbt_sum left = s->missing_left ? s->hist[missing] : (tp_gbt_sum){0};
    uint64_t counted = s->missing_left && s->counts != NULL ? s->counts[missing] : 0;
    tp_gbt_sum best_left = {0};
    uint32_t best_bin = 0;
    double best_gain = best->gain + search->gain_min;
    bool found = false;
    for (uint32_t bin = 0; bin <= last; bin++) {
        left.g += s->hist[bin].g;
        left.h += s->hist[bin].h;
        counted += s->counts != NULL ? s->counts[bin] : 0;
        const uint64_t rows = s->counts != NULL ? counted : tp_gbt_search_rows(search, left.h);
        if (rows < min_rows || (double)left.h * grower->unit_h < min_h) {
            continue;
        }
        if (node->count < rows + min_rows || (double)(node->h - left.h) * grower->unit_h < min_h) {
            break;
        }
        const double gain = is_plain ? plain_gain(s, &left) : split_gain(s, &left, NULL);
        if (gain > best_gain) {
            best_gain = gain;
            best_left = left;
            best_bin = bin;
            found = true;
        }
    }
    if (found) {
        take(s, best_gain, best_bin, &best_left, best);
    }
}

static void search_numeric(const tp_gbt_search *search, uint32_t feature, tp_gbt_split *best)
{
    const tp_gbt_column *column = &search->grower->bins->columns[feature];
    const tp_gbt_sum *hist = search->node->hist + column->hist_begin;
    scan s = {.search = search, .column = column, .hist = hist, .feature = feature};
    s.counts = search->counts != NULL ? search->counts + column->hist_begin : NULL;
    const tp_gbt_sum *missing = &hist[column->bin_count];
    const bool has_missing = missing->g != 0 || missing->h != 0;
    const double before = best->gain;
    // With missing values on the right, the last bin leaves them alone on their side.
    if (has_missing || column->bin_count > 1) {
        scan_bins(&s, has_missing ? column->bin_count - 1 : column->bin_count - 2, best);
    }
    if (has_missing && column->bin_count > 1) {
        s.missing_left = true;
        scan_bins(&s, column->bin_count - 2, best);
    }
    if (!has_missing && best->gain > before) {
        // None seen: they follow the larger side.
        best->missing_left = best->left_h >= search->node->h - best->left_h;
    }
}

void tp_gbt_search_features(const tp_gbt_search *search, uint32_t feature_begin,
                            uint32_t feature_end, tp_gbt_split *best)
{
    for (uint32_t f = feature_begin; f < feature_end; f++) {
        if (!is_allowed(search, f)) {
            continue;
        }
        if (search->grower->bins->columns[f].is_category) {
            tp_gbt_search_category(search, f, best);
        } else {
            search_numeric(search, f, best);
        }
    }
}
