// SPDX-License-Identifier: Apache-2.0
//
// Boosted trees: training on histograms of quantised gradients, the forest, predicting with it.
//
// Training: Friedman (2001) with second-order steps (Chen and Guestrin, 2016), leaf-wise growth
// (Shi, 2007; Ke et al., 2017), histograms of quantised gradients (Shi et al., 2022). Sums are
// integers, so the forest does not depend on threads or instruction set.
//
// Legend: R rows, F features, K trees an iteration (1, or the number of classes), T trees.
#ifndef TP_GBT_H
#define TP_GBT_H

#include "learn/tp_learn.h"

typedef struct tp_gbt_options {
    tp_objective objective;
    uint32_t class_count;            // multiclass
    uint32_t trees;                  // iterations; 100
    uint32_t leaves;                 // 31
    int32_t depth;                   // most levels; -1 unlimited
    double learning_rate;            // 0.1
    uint32_t bins;                   // 2 … 255; 255
    uint32_t min_rows_in_leaf;       // 20
    double min_hessian_in_leaf;      // 1e-3
    double min_gain;                 // 0
    double l1;                       // 0
    double l2;                       // 0
    double category_l2;              // 10
    double category_smoothing;       // 10
    uint32_t category_max_threshold; // 32: most categories on the smaller side
    uint32_t category_max_onehot;    // 4: one-against-rest up to this many
    uint32_t category_min_rows;      // 100 rows a category group, as LightGBM
    double row_fraction;             // 1: bagging, a new sample each `row_every` iterations
    uint32_t row_every;              // 1 when row_fraction < 1
    double column_fraction;          // 1: a sample of features a tree
    double max_delta_step;           // 0: none (Poisson 0.7)
    double huber_delta;              // 0.9 (as LightGBM's alpha)
    double quantile;                 // 0.5
    double tweedie_power;            // 1.5
    double positive_weight;  // 1: weight of the positive class (class weights come as row weights)
    bool boost_from_average; // true
    uint32_t early_stopping; // 0: none, else rounds without improvement on `valid`
    uint64_t seed;
    const uint32_t *const *interactions; // [interaction_count] groups of features that may meet
    const uint32_t *interaction_sizes;
    uint32_t interaction_count;
    const tp_gbt *init_model; // continued training: starts from it, its trees come first; NULL
} tp_gbt_options;

void tp_gbt_options_init(tp_gbt_options *options, tp_objective objective);

typedef struct tp_gbt_report {
    uint32_t iterations; // kept
    double train_loss;   // of the objective, mean over rows
    double valid_loss;   // best; NaN without validation rows
    double seconds_bin;  // binning of the features
    double seconds_boost;
} tp_gbt_report;

// `valid` may be NULL. E_DATA when there is nothing to split on purpose-built grounds (no rows); a
// data set smaller than a leaf gives constant trees and a report that says so.
tapeout_status tp_gbt_train(const tp_env *env, const tp_learn_data *train,
                            const tp_learn_data *valid, const tp_gbt_options *options,
                            tp_gbt **ret_gbt, tp_gbt_report *ret_report, tapeout_error *err);
void tp_gbt_free(tp_gbt *gbt);

// -- the forest ----------------------------------------------------------------------------------
// A tree as arrays over its inner nodes; children >= 0 are inner nodes, < 0 are leaf ~child. A
// numeric node sends value <= threshold left; NaN goes by `missing_left`. A categorical node sends
// the codes of its bit set left; codes beyond go right, and so does NaN, unless the forest has
// TP_GBT_CODES_ARE_NUMBERS and the node TP_TREE_MISSING_LEFT.
enum { TP_TREE_CATEGORICAL = 1, TP_TREE_MISSING_LEFT = 2 };

typedef struct tp_tree {
    uint32_t leaf_count;      // inner nodes: leaf_count - 1
    uint32_t word_count;      // of category_words
    uint32_t *feature;        // [inner]
    double *threshold;        // [inner] numeric
    uint8_t *flags;           // [inner] TP_TREE_CATEGORICAL, TP_TREE_MISSING_LEFT
    int32_t *left;            // [inner]
    int32_t *right;           // [inner]
    uint32_t *category_begin; // [inner + 1] into category_words; empty for numeric nodes
    uint32_t *category_words; // bit sets, 32 codes a word
    double *gain;             // [inner]
    double *inner_cover;      // [inner] training weight (Hessian or rows: rows) that passed
    double *leaf_cover;       // [leaf_count] training rows
    double *leaf_value;       // [leaf_count] learning rate applied
    // Of a forest with TP_GBT_LINEAR alone; else NULL.
    double *leaf_constant;    // [leaf_count]
    uint32_t *term_begin;     // [leaf_count + 1] into the two below
    uint32_t *term_feature;   // [term_count]
    double *term_coefficient; // [term_count]
    uint32_t term_count;
} tp_tree;

// How a forest that another program grew adds and asks (docs/formats/gbt.md); 0 for our own.
enum {
    TP_GBT_FLOAT32 = 1,           // each sum is rounded to float32
    TP_GBT_CODES_ARE_NUMBERS = 2, // a set may be asked of a number, whose whole part is the code
    // A leaf answers its constant plus its coefficients times the values of its features, added in
    // order; its value only where one of these is missing.
    TP_GBT_LINEAR = 4
};

struct tp_gbt {
    const tapeout_allocator *alloc;
    uint32_t flags; // TP_GBT_...
    uint32_t feature_count;
    uint32_t trees_per_iteration; // K
    uint32_t tree_count;          // T, a multiple of K; tree t belongs to output t % K
    uint32_t tree_capacity;       // of `trees`; those from tree_count on are empty
    double *base;                 // [K] margin before any tree
    tp_tree *trees;               // [T]
    void *fast;                   // the form that prediction runs on, derived at load
};

// A forest from elsewhere: made empty, its trees from tp_gbt_tree_init on, then finished, which
// checks it as a file's is (E_CORRUPT) and derives what prediction runs on. `features` may be NULL:
// their kinds are not compared. What was made is freed by tp_gbt_free also after a failure.
tapeout_status tp_gbt_new(const tapeout_allocator *alloc, uint32_t feature_count,
                          uint32_t trees_per_iteration, uint32_t tree_capacity, tp_gbt **ret_gbt,
                          tapeout_error *err);
// Arrays for `leaf_count` leaves and so many words of bit sets, zeroed.
tapeout_status tp_gbt_tree_init(const tapeout_allocator *alloc, uint32_t leaf_count,
                                uint32_t word_count, tp_tree *ret_tree, tapeout_error *err);
// Room for the linear functions of the leaves, zeroed: `term_count` terms in all. After `_init`.
tapeout_status tp_gbt_tree_linear_init(const tapeout_allocator *alloc, uint32_t term_count,
                                       tp_tree *tree, tapeout_error *err);
tapeout_status tp_gbt_finish(tp_gbt *gbt, const tp_learn_feature *features, tapeout_error *err);

void tp_gbt_write(const tp_gbt *gbt, tp_buffer *ret_bytes);
tapeout_status tp_gbt_read(const tp_env *env, tp_str bytes, const tp_learn_feature *features,
                           uint32_t feature_count, tp_gbt **ret_gbt, tapeout_error *err);

// Scratch of one thread for blocks of at most `max_rows` rows.
size_t tp_gbt_scratch_size(const tp_gbt *gbt, uint32_t max_rows);

// Margins [K][row_count]: base plus each tree's leaf in tree order. `columns` [F] → [row_count].
void tp_gbt_margins(const tp_gbt *gbt, const double *const *columns, uint32_t row_count,
                    void *scratch, double *ret_margin);

// Importance by feature [F]: total gain, and number of splits.
void tp_gbt_importance(const tp_gbt *gbt, double *ret_gain, uint64_t *ret_splits);

#endif
