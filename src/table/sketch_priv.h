// SPDX-License-Identifier: Apache-2.0
//
// Values as unsigned keys whose order is that of the values: what sketches and profiles sort.
#ifndef SKETCH_PRIV_H
#define SKETCH_PRIV_H

#include "table/tp_sketch.h"

static inline uint64_t sketch_row(tp_row_choice rows, uint64_t i)
{
    return rows.index == NULL ? i : rows.index[i];
}

// Of a valid row, of any type but string. Minus zero is zero.
uint64_t tp_sketch_key(const tp_column *column, uint64_t row);
double tp_sketch_key_number(tapeout_type type, uint64_t key);

// The keys of the valid rows in ascending order, in an array of `rows.count` items that the caller
// frees; `*ret_count` of them are used.
tapeout_status tp_sketch_sorted_keys(const tapeout_allocator *alloc, const tp_column *column,
                                     tp_row_choice rows, uint64_t **ret_keys, size_t *ret_count,
                                     tapeout_error *err);

// Ascending; `spare` has room for as many. O(8 · count), less where bytes are all alike.
void tp_sketch_sort(uint64_t *keys, uint64_t *spare, size_t count);

#endif
