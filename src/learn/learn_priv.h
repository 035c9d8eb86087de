// SPDX-License-Identifier: Apache-2.0
//
// What the files of learn/ share among themselves.
#ifndef LEARN_PRIV_H
#define LEARN_PRIV_H

#include "learn/tp_learn.h"

struct tp_model {
    const tapeout_allocator *alloc;
    tp_model_parts parts;
};

// K: raw outputs of a model of this task.
uint32_t tp_model_output_count(const tp_model_parts *parts);

// Predictions of an imported model. `result->margin` is divided in place; `result->probability` is
// given where the task has classes.
void tp_foreign_predict(const tp_model_parts *parts, const tp_prediction *result,
                        uint32_t row_count);
// `breach` where the link does not fit the task, or a number is none that it can be.
tapeout_status tp_foreign_check(const tp_model_parts *parts, tapeout_status breach,
                                tapeout_error *err);

// The probability of one margin of a binary model.
double tp_calibration_apply(const tp_calibration *calibration, double margin);

// The order of `values` [count] ascending, -0 before 0, ties by index; NaN must not occur.
// `ret_order` [count] is the caller's.
tapeout_status tp_learn_sort(const tapeout_allocator *alloc, const double *values, uint32_t count,
                             uint32_t *ret_order, tapeout_error *err);

#endif
