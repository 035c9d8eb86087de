// SPDX-License-Identifier: Apache-2.0
//
// Between the profile and its search for leaks.
#ifndef PROFILE_PRIV_H
#define PROFILE_PRIV_H

#include "table/tp_profile.h"

// The target as the search sees it: classes or numbers, and the fold of each row.
typedef struct profile_target {
    const tapeout_allocator *alloc;
    tp_row_choice rows;
    uint32_t class_count; // 0: a number
    int32_t *classes;     // [rows] -1 where missing; NULL for numbers
    double *numbers;      // [rows] standardised; NULL for classes
    uint8_t *folds;       // [rows]
    bool is_judged;       // false: too few rows, one value only or too many classes to say anything
} profile_target;

tapeout_status tp_profile_target_init(profile_target *target, const tapeout_allocator *alloc,
                                      const tp_column *column, tp_row_choice rows,
                                      tapeout_error *err);
void tp_profile_target_deinit(profile_target *target);

// How much of the target the column tells by itself, and whether that is too good to be true.
tapeout_status tp_profile_leak(const profile_target *target, const tp_column *column,
                               double *ret_score, bool *ret_leak, tapeout_error *err);

#endif
