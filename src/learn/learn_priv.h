// SPDX-License-Identifier: Apache-2.0
//
// What the files of learn/ share among themselves.
#ifndef LEARN_PRIV_H
#define LEARN_PRIV_H

#include "base/tp_cursor.h"
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

// -- calibration (learn_calibration.c) -----------------------------------------------------------
// Zeroed curves for the caller to fill; none for TP_CALIBRATION_NONE. What was filled is the
// caller's to deinit, also on failure.
tapeout_status tp_calibration_init(const tapeout_allocator *alloc, uint32_t method,
                                   uint32_t curve_count, tp_calibration *ret_calibration,
                                   tapeout_error *err);
tapeout_status tp_calibration_curve_init(const tapeout_allocator *alloc, uint32_t point_count,
                                         tp_calibration_curve *curve, tapeout_error *err);
// The probability of one margin by the curve of this index.
double tp_calibration_apply(const tp_calibration *calibration, uint32_t index, double margin);
// Probabilities [K][row_count] of several classes, in place; `total` [row_count] is scratch.
void tp_calibration_apply_classes(const tp_calibration *calibration, uint32_t row_count,
                                  double *total, double *probability);
tapeout_status tp_calibration_check(const tp_model_parts *parts, tapeout_status breach,
                                    tapeout_error *err);
// What stands in a model's head of it: the first curve's numbers.
typedef struct tp_calibration_head {
    uint32_t method;
    uint32_t curve_count; // by the model's task
    uint32_t point_count;
    double platt_a;
    double platt_b;
} tp_calibration_head;

// All that stands behind the head (docs/formats/model.md).
void tp_calibration_write(const tp_calibration *calibration, tp_buffer *ret_bytes);
tapeout_status tp_calibration_read(const tp_env *env, tp_cursor *cursor,
                                   const tp_calibration_head *head, tp_calibration *ret_calibration,
                                   tapeout_error *err);

// The order of `values` [count] ascending, -0 before 0, ties by index; NaN must not occur.
// `ret_order` [count] is the caller's.
tapeout_status tp_learn_sort(const tapeout_allocator *alloc, const double *values, uint32_t count,
                             uint32_t *ret_order, tapeout_error *err);

#endif
