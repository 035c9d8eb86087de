// SPDX-License-Identifier: Apache-2.0
//
// Which rows are trained on and which are tested on, in each fold of a cross-validation. The seed
// and the data alone decide.
#ifndef TP_FOLDS_H
#define TP_FOLDS_H

#include "base/tp_env.h"

typedef enum tp_folds_by {
    TP_FOLDS_RANDOM, // every class spread evenly over the folds
    TP_FOLDS_GROUP,  // a group is never cut; folds of about equal size
    TP_FOLDS_TIME    // test on what comes after all that was trained on
} tp_folds_by;

typedef struct tp_folds_options {
    tp_folds_by by;
    uint32_t fold_count; // 2 … TP_MAX_FOLDS
    uint64_t seed;
    const uint32_t *label; // [R] RANDOM: class to spread, or NULL; GROUP: group of the row
    uint32_t label_count;  // labels are below it
    const double *time;    // [R] TIME: no NaN
} tp_folds_options;

// `ret_fold` [row_count] gets the part that a row belongs to: folds 0 … fold_count-1, or by time
// the stretches 0 … fold_count, of which the first is never tested on. Rows of one time are never
// cut. E_DATA where there are too few rows, groups or times for every part to have one.
tapeout_status tp_folds_assign(const tp_env *env, const tp_folds_options *options,
                               uint64_t row_count, uint32_t *ret_fold, tapeout_error *err);

typedef enum tp_folds_role { TP_FOLDS_TRAIN, TP_FOLDS_TEST, TP_FOLDS_UNUSED } tp_folds_role;

// What a row of part `part` is for in fold `fold`.
tp_folds_role tp_folds_role_of(tp_folds_by by, uint32_t part, uint32_t fold);

#endif
