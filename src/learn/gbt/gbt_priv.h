// SPDX-License-Identifier: Apache-2.0
//
// What the files of gbt/ share: bins, the row-major matrix of bins, quantised gradients, the
// growing tree, objectives.
//
// Gradients live in two integer forms. The fine form has 31 bits and a scale of its own for each
// iteration and output; leaf values come from its 64-bit sums. The narrow form is the fine one
// rounded to 16 bits; histograms are built from it, two sums in one 64-bit addition. Where rounding
// to 16 bits would erase a good part of the rows (an outlier, weights over many orders of
// magnitude), the histograms of that tree are built from the fine form instead.
//
// Legend: R rows, F features, K trees an iteration, L leaves.
#ifndef GBT_PRIV_H
#define GBT_PRIV_H

#include "kernels/tp_kernels_gbt.h"
#include "learn/gbt/tp_gbt.h"

enum {
    TP_GBT_CHUNK_ROWS = 16384,   // work is cut into chunks of this many rows
    TP_GBT_SPAN_FEATURES = 64,   // and of this many features
    TP_GBT_SAMPLE_ROWS = 200000, // rows that bounds are chosen from
    TP_GBT_MIN_ROWS_IN_BIN = 3,  // of the sample
    TP_GBT_NARROW_SHIFT = 15,    // fine units in one narrow unit: 2^15
    TP_GBT_SET_WORDS = 8         // a set of bins as 8 words of 32 bits
};

// Streams of random numbers; the position says which.
enum { TP_GBT_STREAM_SAMPLE = 1, TP_GBT_STREAM_ROUND, TP_GBT_STREAM_BAG, TP_GBT_STREAM_COLUMN };

// -- bins ----------------------------------------------------------------------------------------
// A numeric value belongs to the first bin whose bound is not below it; missing values have the bin
// after the last. Of a category, the most frequent codes have bins from 1 up; bin 0 is for the rest
// and for what is missing, and never goes left.
typedef struct tp_gbt_column {
    bool is_category;
    int8_t monotone;
    uint32_t bin_count;  // numeric: without that of missing values
    uint32_t hist_begin; // first entry in a histogram
    uint32_t hist_count; // entries, that of missing values included
    double *bounds;      // numeric [bin_count], the last is +infinity
    uint32_t category_count;
    uint8_t *category_bins;   // category [category_count]
    uint32_t *bin_categories; // category [bin_count]; entry 0 unused
} tp_gbt_column;

typedef struct tp_gbt_bins {
    const tapeout_allocator *alloc;
    uint32_t feature_count;
    uint32_t hist_size;     // entries over all features
    tp_gbt_column *columns; // [F]
} tp_gbt_bins;

// Chooses bounds from a seeded sample of the rows. `ret_bins` can be freed also after a failure.
tapeout_status tp_gbt_bins_fit(const tp_env *env, const tp_learn_data *data,
                               const tp_gbt_options *options, tp_gbt_bins *ret_bins,
                               tapeout_error *err);
void tp_gbt_bins_deinit(tp_gbt_bins *bins);

// Bounds of numeric bins for `count` sorted values without NaN, which are packed to the distinct
// ones with their `counts` [count]; returns how many bounds, the last +infinity.
uint32_t tp_gbt_bounds_choose(double *sorted, uint32_t *counts, size_t count, uint32_t max_bins,
                              double *ret_bounds);
// Ascending; -0 becomes 0; no NaN. `spare` [2 · count].
void tp_gbt_sort_doubles(double *values, uint64_t *spare, size_t count);

// Every bin twice: row by row for histograms, the stride being F rounded up to 8, and, of training
// rows, column by column for parting the rows of a leaf, which asks one feature of each.
typedef struct tp_gbt_matrix {
    const tapeout_allocator *alloc;
    uint64_t row_count;
    size_t stride;
    uint32_t column_count; // 0: rows alone
    uint8_t *cells;        // [R, stride]
    uint8_t *columns;      // [column_count, R]
} tp_gbt_matrix;

// `ret_matrix->column_count` says whether columns are wanted: F, or 0.
tapeout_status tp_gbt_matrix_fill(const tp_env *env, const tp_learn_data *data,
                                  const tp_gbt_bins *bins, tp_gbt_matrix *ret_matrix,
                                  tapeout_error *err);
void tp_gbt_matrix_deinit(tp_gbt_matrix *matrix);

// -- objectives ----------------------------------------------------------------------------------
typedef struct tp_gbt_loss {
    const tp_gbt_options *options;
    uint64_t row_count;
    uint32_t output_count;    // K
    const double *target;     // [R]
    const double *weight;     // [R] or NULL
    bool is_constant_hessian; // every Hessian is 1
    bool is_renewed;          // leaf values are quantiles of residuals
    double renewal_quantile;
} tp_gbt_loss;

void tp_gbt_loss_init(tp_gbt_loss *loss, const tp_gbt_options *options, const tp_learn_data *data);

// Targets that the objective cannot take are E_DATA with the row.
tapeout_status tp_gbt_loss_check(const tp_gbt_loss *loss, const char *what, tapeout_error *err);

// The best constant margins [K].
tapeout_status tp_gbt_loss_base(const tp_gbt_loss *loss, const tapeout_allocator *alloc,
                                double *ret_base, tapeout_error *err);

// A run of rows.
typedef struct tp_gbt_run {
    uint64_t begin;
    uint32_t count;
} tp_gbt_run;

// Gradients and Hessians of a run at margins `score` [K][R]; outputs [K][count].
void tp_gbt_loss_gradients(const tp_gbt_loss *loss, const double *score, tp_gbt_run run,
                           double *ret_g, double *ret_h);

// The value at which the weights of the smaller values reach a part `quantile` of the whole;
// halfway to the next where they reach it exactly. Reorders `items`. O(count) expected.
typedef struct tp_gbt_weighted {
    double value;
    double weight;
} tp_gbt_weighted;
double tp_gbt_quantile(tp_gbt_weighted *items, size_t count, double quantile);

// Sum over the run of weight times loss.
double tp_gbt_loss_sum(const tp_gbt_loss *loss, const double *score, tp_gbt_run run);
// Sum of the weights of all rows.
double tp_gbt_loss_weight(const tp_gbt_loss *loss);

// -- the forest ----------------------------------------------------------------------------------
tapeout_status tp_gbt_tree_copy(const tapeout_allocator *alloc, const tp_tree *tree,
                                tp_tree *ret_tree, tapeout_error *err);
void tp_gbt_tree_deinit(const tapeout_allocator *alloc, tp_tree *tree);

// E_CORRUPT unless every tree is one and stays within the features (gbt_check.c). `features` may be
// NULL: their kinds are not compared.
tapeout_status tp_gbt_check(const tp_gbt *gbt, const tp_learn_feature *features,
                            tapeout_error *err);

// The form that prediction runs on (gbt_fast.c), derived once the trees are complete.
tapeout_status tp_gbt_fast_make(tp_gbt *gbt, tapeout_error *err);
void tp_gbt_fast_free(tp_gbt *gbt);

tapeout_status tp_gbt_options_check(const tp_gbt_options *options, const tp_learn_data *data,
                                    tapeout_error *err);

#endif
