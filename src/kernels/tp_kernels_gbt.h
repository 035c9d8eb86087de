// SPDX-License-Identifier: Apache-2.0
//
// The hot loops of boosted trees. Everything that is added up here is an integer, so the order does
// not matter and every variant gives the same bits.
//
// An entry stands for one row of a leaf: bits 0-31 the row, 32-47 its narrow Hessian (unsigned),
// 48-63 its narrow gradient (signed). A packed sum holds gradients · 2^32 + Hessians in one 64-bit
// word, Hessians below 2^32: good for 65536 rows between two flushes.
#ifndef TP_KERNELS_GBT_H
#define TP_KERNELS_GBT_H

#include <stddef.h>
#include <stdint.h>

enum { TP_GBT_BIN_SLOTS = 256, TP_GBT_PACKED_ROWS_MAX = 65536 };

typedef struct tp_gbt_gradient {
    int32_t g;
    int32_t h; // >= 0
} tp_gbt_gradient;

typedef struct tp_gbt_sum {
    int64_t g;
    int64_t h;
} tp_gbt_sum;

// Rows whose bins are counted: `cells` points at the first feature of the span in row 0.
typedef struct tp_gbt_rows {
    const uint8_t *cells;
    size_t stride;
    const uint64_t *entries;     // [count]
    const tp_gbt_gradient *fine; // [R], by row; for the wide form alone
    size_t count;
} tp_gbt_rows;

// Values to be put into bins: ret_bins[i · stride] = how many of the ascending bounds lie below
// values[i], or `missing` for NaN.
typedef struct tp_gbt_bin_job {
    const double *bounds; // [bound_count]
    uint32_t bound_count; // at most 255
    uint8_t missing;
    const double *values; // [count]
    size_t count;
    uint8_t *ret_bins;
    size_t stride;
} tp_gbt_bin_job;

// A tree over codes of one byte. A numeric node sends codes up to `limit` left; a node of
// categories those whose bit is set in its 32 bytes of `sets`. Children >= 0 are nodes, < 0 leaf
// ~child.
typedef struct tp_gbt_code_node {
    uint16_t column;
    uint8_t limit;
    uint8_t is_category;
    int16_t child[2]; // left, right
    uint32_t set;     // number of its set
} tp_gbt_code_node;

// The same tree as a program for a stack of rows of bytes: result = code goes left ? left : right.
// An operand below 256 is the number of a leaf, from 256 on a slot; the last result is in slot 0.
enum { TP_GBT_SLOT_BASE = 256, TP_GBT_PROGRAM_SLOTS = 9, TP_GBT_PROGRAM_LEAVES_MAX = 256 };
typedef struct tp_gbt_code_op {
    uint16_t column;
    uint8_t limit;
    uint8_t is_category;
    uint16_t left;
    uint16_t right;
    uint16_t result; // slot, from 0
    uint32_t set;
} tp_gbt_code_op;

typedef struct tp_gbt_code_tree {
    const tp_gbt_code_node *nodes; // [node_count], the root first
    const tp_gbt_code_op *ops;     // [node_count]; NULL with more than 256 leaves
    uint32_t node_count;           // at least 1
    const uint8_t *sets;           // [sets, 32]
} tp_gbt_code_tree;

// Rows in columns of codes. Columns are padded: bytes up to `count` rounded up to 32 may be read.
typedef struct tp_gbt_code_block {
    const uint8_t *codes; // [columns, stride]
    size_t stride;        // a multiple of 32
    size_t count;         // at most stride
    uint8_t *slots;       // [SLOTS, stride] scratch
} tp_gbt_code_block;

typedef struct tp_kernels_gbt {
    // hist[f][bin] += packed gradient of each row. At most 65536 rows between two flushes.
    void (*hist_narrow)(const tp_gbt_rows *rows, uint32_t features, uint64_t *hist);
    // hist[f][bin] += fine gradient of each row.
    void (*hist_wide)(const tp_gbt_rows *rows, uint32_t features, tp_gbt_sum *hist);
    // counts[f][bin] += 1 for each row.
    void (*hist_count)(const tp_gbt_rows *rows, uint32_t features, uint32_t *counts);
    // sums[i] += hist[i] unpacked; hist[i] = 0.
    void (*hist_flush)(uint64_t *hist, size_t count, tp_gbt_sum *sums);
    void (*bin_values)(const tp_gbt_bin_job *job);
    // The leaf of each row, for a tree with a program. `ret_leaves` is padded as the columns are.
    void (*find_leaves)(const tp_gbt_code_tree *tree, const tp_gbt_code_block *block,
                        uint8_t *ret_leaves);
    size_t find_leaves_min; // fewer rows are better walked one by one
} tp_kernels_gbt;

// The leaf of one row, whose code of column c is codes[c · stride].
uint32_t tp_gbt_walk_codes(const tp_gbt_code_tree *tree, const uint8_t *codes, size_t stride);

// `flags` as from tp_cpu_flags().
void tp_kernels_gbt_init(tp_kernels_gbt *kernels, uint32_t flags);

#endif
