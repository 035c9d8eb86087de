// SPDX-License-Identifier: Apache-2.0
//
// One tree while it grows: rows in the order of its leaves, histograms, candidate splits.
//
// Growth is best first: of all leaves the one whose split gains most is split next. What a round
// does is larger than that: every leaf that would be among the next splits is expanded at once, and
// an expansion counts only when its turn comes (gbt_grow.c). The result is exactly that of one
// split after the other, with a fraction of the barriers between threads.
#ifndef GBT_GROW_PRIV_H
#define GBT_GROW_PRIV_H

#include "learn/gbt/gbt_priv.h"

typedef struct tp_gbt_split {
    double gain; // above that of the leaf itself; not above 0: there is none
    uint32_t feature;
    uint32_t bin; // numeric: the last bin that goes left
    bool is_category;
    bool missing_left;
    uint32_t set[TP_GBT_SET_WORDS]; // category: bins that go left
    int64_t left_g;                 // sums of the left side, histogram units
    int64_t left_h;
    double left_value; // clipped, without learning rate
    double right_value;
    double l2; // that the values of both sides are computed with
} tp_gbt_split;

typedef struct tp_gbt_node {
    uint64_t begin; // of its rows in the order of leaves
    uint64_t count;
    int64_t g; // sums, histogram units
    int64_t h;
    double lower; // bounds of its value, from monotone constraints
    double upper;
    double l2;
    int32_t depth;
    uint32_t child; // its left child in the node array, the right one follows; 0: none reserved
    bool is_expanded;
    bool is_counted;  // its split was chosen by exact counts
    bool is_short;    // its split would leave too few rows on one side
    int32_t inner;    // its place among the inner nodes of the tree; -1 for a leaf
    int32_t solo;     // interactions: the one unlisted feature of its path, or TP_GBT_SOLO_*
    uint64_t groups;  // interactions: groups that hold the whole path
    tp_gbt_sum *hist; // NULL when given up for memory
    tp_gbt_split split;
} tp_gbt_node;

enum { TP_GBT_SOLO_ANY = -1, TP_GBT_SOLO_NONE = -2 };

// Scratch of one worker.
typedef struct tp_gbt_scratch {
    tp_gbt_sum *span; // [SPAN_FEATURES, 256]: packed or wide sums of a chunk; zero between uses
    uint32_t *counts; // [SPAN_FEATURES, 256] rows of a chunk; zero between uses
    double *g;        // [K, CHUNK_ROWS]
    double *h;
    tp_gbt_weighted *items; // [items_capacity] residuals of a leaf
    size_t items_capacity;
} tp_gbt_scratch;

typedef struct tp_gbt_round tp_gbt_round;

typedef struct tp_gbt_grower {
    const tp_env *env;
    const tp_gbt_options *options;
    const tp_gbt_bins *bins;
    const tp_gbt_matrix *matrix;
    const tp_gbt_loss *loss;
    tp_kernels_gbt kernels;
    // The gradients of the tree.
    const tp_gbt_gradient *fine; // [R]
    double fine_unit_g;          // what one unit stands for
    double fine_unit_h;
    double unit_g; // in histograms
    double unit_h;
    bool is_wide;
    bool has_counts; // histograms hold rows as well, since Hessians tell little about them
    // Rows in the order of leaves, as entries (tp_kernels_gbt.h).
    uint64_t *entries;  // [R]
    uint64_t *spare;    // [R]
    uint64_t row_count; // in the bag
    // Features.
    uint8_t *is_enabled;      // [F] by the sample of columns
    uint64_t *feature_groups; // [F] bit set of the interaction groups it stands in
    // Nodes and the histograms that they share.
    tp_gbt_node *nodes; // [node_capacity]
    uint32_t node_count;
    uint32_t node_capacity;
    uint32_t *frontier; // [leaves] nodes that are leaves of the tree so far, best split first
    uint32_t frontier_count;
    tp_gbt_sum **hists; // [hist_capacity] all that were allocated
    uint32_t hist_count;
    uint32_t hist_capacity;
    tp_gbt_sum **hists_free; // [hist_capacity]
    uint32_t hists_free_count;
    uint32_t *counts;        // [hist_size] exact counts of one leaf; made when first needed
    tp_gbt_round *round;     // what a round works on (gbt_round.c)
    tp_gbt_scratch *scratch; // [worker_count]
    size_t worker_count;
} tp_gbt_grower;

// -- gbt_hist.c ----------------------------------------------------------------------------------
// Adds the entries of a run to the sums of features in the span; `add_lock` guards `hist`.
typedef struct tp_gbt_hist_run {
    const uint64_t *entries;
    size_t count;
    uint32_t feature_begin;
    uint32_t feature_end;
    tp_gbt_sum *hist;
    void *lock; // NULL: nobody else adds
} tp_gbt_hist_run;
void tp_gbt_hist_add(const tp_gbt_grower *grower, tp_gbt_scratch *scratch,
                     const tp_gbt_hist_run *run);
// The rows of each entry, which stand behind the sums of a histogram; NULL unless the grower has
// counts.
uint32_t *tp_gbt_hist_counts(const tp_gbt_grower *grower, tp_gbt_sum *hist);
void tp_gbt_hist_clear(const tp_gbt_grower *grower, tp_gbt_sum *hist);
size_t tp_gbt_hist_bytes(const tp_gbt_bins *bins);
// Counts the rows of a run into `counts` [hist_size].
void tp_gbt_hist_count(const tp_gbt_grower *grower, tp_gbt_scratch *scratch,
                       const tp_gbt_hist_run *run, uint32_t *counts);
// larger = larger - smaller, over the entries of a range of features.
void tp_gbt_hist_subtract(const tp_gbt_grower *grower, tp_gbt_node *larger, tp_gbt_node *smaller,
                          uint32_t feature_begin, uint32_t feature_end);

// -- gbt_split.c, gbt_category.c -----------------------------------------------------------------
// A leaf as the search sees it.
typedef struct tp_gbt_search {
    const tp_gbt_grower *grower;
    const tp_gbt_node *node;
    const uint32_t *counts; // rows a histogram entry, or NULL: estimated by the Hessian
    double rows_per_h;      // rows a histogram unit of Hessian
    double gain_min;        // gain of the leaf itself plus the least that a split must add
} tp_gbt_search;

void tp_gbt_search_init(tp_gbt_search *search, const tp_gbt_grower *grower, const tp_gbt_node *node,
                        const uint32_t *counts);
bool tp_gbt_search_may_split(const tp_gbt_search *search);
// Improves `best` by the best split over a range of features; the first one wins among equals.
void tp_gbt_search_features(const tp_gbt_search *search, uint32_t feature_begin,
                            uint32_t feature_end, tp_gbt_split *best);
void tp_gbt_search_category(const tp_gbt_search *search, uint32_t feature, tp_gbt_split *best);

// Sums of one side of a split.
typedef struct tp_gbt_side {
    double g;
    double h;
} tp_gbt_side;
double tp_gbt_side_value(const tp_gbt_grower *grower, const tp_gbt_node *node, tp_gbt_side side,
                         double l2);
double tp_gbt_side_gain(const tp_gbt_grower *grower, const tp_gbt_node *node, tp_gbt_side side,
                        double l2);
// Rows that a sum of Hessians stands for.
uint64_t tp_gbt_search_rows(const tp_gbt_search *search, int64_t h);

// -- gbt_partition.c -----------------------------------------------------------------------------
// left_of[bin] of the node's split.
void tp_gbt_split_table(const tp_gbt_bins *bins, const tp_gbt_split *split,
                        uint8_t ret_left_of[TP_GBT_BIN_SLOTS]);
// Splits a run of entries into `spare`: the left ones from its begin on, the right ones from its
// end back. Returns how many go left.
uint64_t tp_gbt_partition_run(const tp_gbt_grower *grower, uint32_t feature, const uint8_t *left_of,
                              uint64_t begin, uint64_t count);

// -- gbt_pool.c ----------------------------------------------------------------------------------
// Histograms are kept for the leaves that may be split, as many as the budget allows.
tapeout_status tp_gbt_hists_init(tp_gbt_grower *grower, tapeout_error *err);
void tp_gbt_hists_deinit(tp_gbt_grower *grower);
tp_gbt_sum *tp_gbt_hist_take(tp_gbt_grower *grower);             // not cleared; NULL: none left
void tp_gbt_hist_give(tp_gbt_grower *grower, tp_gbt_sum **hist); // accepts NULL; nulls it

// -- gbt_round.c ---------------------------------------------------------------------------------
tapeout_status tp_gbt_round_init(tp_gbt_grower *grower, tapeout_error *err);
void tp_gbt_round_deinit(tp_gbt_grower *grower);
// Most nodes that a round expands.
enum { TP_GBT_BATCH_MAX = 64 };
// Histogram and best split of the root.
tapeout_status tp_gbt_round_root(tp_gbt_grower *grower, uint32_t root, tapeout_error *err);
// Expands nodes: their rows are parted, and their children have histograms and best splits. A node
// whose split leaves too few rows stays as it is but for its split.
tapeout_status tp_gbt_round_expand(tp_gbt_grower *grower, const uint32_t *batch, uint32_t count,
                                   tapeout_error *err);

// -- gbt_grow.c ----------------------------------------------------------------------------------
tapeout_status tp_gbt_grower_init(tp_gbt_grower *grower, tapeout_error *err);
void tp_gbt_grower_deinit(tp_gbt_grower *grower);
// Grows a tree over the entries [0, row_count). Afterwards `frontier` holds its leaves in the order
// of their rows, and inner nodes are numbered in the order of their splits from 0.
tapeout_status tp_gbt_grow(tp_gbt_grower *grower, tapeout_error *err);

// -- gbt_tree.c ----------------------------------------------------------------------------------
// The grown tree with the values of its leaves; leaf i is frontier[i]. `score` [R]: margins before
// it.
tapeout_status tp_gbt_tree_build(tp_gbt_grower *grower, const double *score, tp_tree *ret_tree,
                                 tapeout_error *err);
// Adds to each row of the grown tree the value of its leaf.
tapeout_status tp_gbt_tree_add(tp_gbt_grower *grower, const tp_tree *tree, double *score,
                               tapeout_error *err);

// -- gbt_walk.c ----------------------------------------------------------------------------------
// The grown tree over bins, for rows that did not take part.
typedef struct tp_gbt_walk {
    const tapeout_allocator *alloc;
    const tp_tree *tree;
    uint8_t *left_of; // [inner, 256]
} tp_gbt_walk;
tapeout_status tp_gbt_walk_init(tp_gbt_walk *walk, const tp_gbt_grower *grower, const tp_tree *tree,
                                tapeout_error *err);
void tp_gbt_walk_deinit(tp_gbt_walk *walk);
double tp_gbt_walk_value(const tp_gbt_walk *walk, const uint8_t *cells);

#endif
