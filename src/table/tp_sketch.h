// SPDX-License-Identifier: Apache-2.0
//
// What a column looks like, in few bytes: counts, extremes, moments, quantiles, most frequent
// values, distinct count. Feeds `profile`, the drift baseline in the bundle, and `features: auto`.
// Exact where a table is at hand; deterministic always.
#ifndef TP_SKETCH_H
#define TP_SKETCH_H

#include "base/tp_arena.h"
#include "table/tp_table.h"

enum { TP_SKETCH_QUANTILES = 21, TP_SKETCH_TOP = 20 };

typedef struct tp_sketch_top {
    tp_str text;
    uint64_t count;
} tp_sketch_top;

// Numbers are those of the values as float64 (dates in days, timestamps in microseconds).
typedef struct tp_sketch {
    tp_str name;
    tapeout_type type;
    uint64_t row_count;
    uint64_t missing_count;
    uint64_t distinct_count; // exact
    bool has_numbers;        // false for strings and columns all missing
    double minimum;
    double maximum;
    double mean;
    double deviation;
    double quantiles[TP_SKETCH_QUANTILES]; // at 0, 0.05, … 1, each a value that occurs
    uint32_t top_count;                    // strings, bools and integers: most frequent first
    tp_sketch_top top[TP_SKETCH_TOP];      // ties by first appearance
} tp_sketch;

// Over the rows chosen. Text views in the result borrow from the column's dictionary or, for
// numbers, from `arena`.
tapeout_status tp_sketch_column(const tp_env *env, const tp_column *column, tp_row_choice rows,
                                tp_arena *arena, tp_sketch *ret_sketch, tapeout_error *err);

#endif
