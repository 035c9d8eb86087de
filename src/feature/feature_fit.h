// SPDX-License-Identifier: Apache-2.0
//
// Fitting: one instruction at a time, by passes of the interpreter over the training rows; and keys
// that order numbers, for exact quantiles.
#ifndef FEATURE_FIT_H
#define FEATURE_FIT_H

#include "feature/feature_exec.h"

// -- fitting -------------------------------------------------------------------------------------
typedef struct tp_feature_fitting {
    const tp_env *env;
    tp_feature_program *program;
    const tp_feature_fit_data *data;
    tp_feature_run *run;
    uint32_t instr;         // being fitted
    tp_feature_steps steps; // of its operands
    tapeout_error *err;
} tp_feature_fitting;

// One task: rows [begin, end) of the fit, by blocks.
typedef tapeout_status (*tp_feature_fit_fn)(void *user, size_t task, tp_feature_worker *worker,
                                            tapeout_error *err);

// Runs the operands of `fitting->instr` over all rows and calls `fn` after every block. Tasks are
// TP_FEATURE_FIT_ROWS rows each, whatever the threads.
tapeout_status tp_feature_fit_pass(tp_feature_fitting *fitting, tp_feature_fit_fn fn, void *user);
size_t tp_feature_fit_task_count(const tp_feature_fitting *fitting);

tapeout_status tp_feature_fit_numbers(tp_feature_fitting *fitting, tp_feature_fitted *fitted);
tapeout_status tp_feature_fit_levels(tp_feature_fitting *fitting, tp_feature_fitted *fitted);
tapeout_status tp_feature_fit_target(tp_feature_fitting *fitting, tp_feature_fitted *fitted);

// The fold of a training row, by its position.
uint32_t tp_feature_fold(uint64_t seed, uint64_t position);

// Values in the order of numbers: a key for each double, and back.
static inline uint64_t tp_feature_key(double value)
{
    uint64_t bits;
    const double positive = value == 0 ? 0.0 : value;
    __builtin_memcpy(&bits, &positive, sizeof(bits));
    return (bits >> 63) != 0 ? ~bits : bits | UINT64_C(1) << 63;
}

static inline double tp_feature_unkey(uint64_t key)
{
    const uint64_t bits = (key >> 63) != 0 ? key & ~(UINT64_C(1) << 63) : ~key;
    double value;
    __builtin_memcpy(&value, &bits, sizeof(value));
    return value;
}

// Sorts keys; `scratch` holds as many.
void tp_feature_sort_keys(uint64_t *keys, uint64_t *scratch, size_t count);

#endif
