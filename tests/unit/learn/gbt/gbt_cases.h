// SPDX-License-Identifier: Apache-2.0
//
// Made-up tables in memory for the tests of boosted trees, and what most of them do with one.
#ifndef GBT_CASES_H
#define GBT_CASES_H

#include "learn/gbt/gbt_priv.h"

enum { CASE_ROWS_MAX = 40000, CASE_FEATURES_MAX = 150 };

typedef struct gbt_case {
    uint64_t rows;
    uint32_t features;
    double *columns[CASE_FEATURES_MAX];
    double *target;
    double *weight; // used when `is_weighted`
    bool is_weighted;
    tp_learn_feature about[CASE_FEATURES_MAX];
} gbt_case;

// Keeps `memory` in sight until the process ends, which frees it: so a leak checker reports what
// the library loses and nothing else. Returns it.
void *case_keep(void *memory);

// Columns of numbers in [0, 1) and a target of zeros; freed by the end of the process.
gbt_case *case_new(uint64_t rows, uint32_t features);
// The n-th random number of the case, in [0, 1).
double case_random(uint64_t stream, uint64_t at);
tp_learn_data case_data(gbt_case *c);

// Trains or ends the test. The plain environment, or one with threads.
tp_gbt *case_train(gbt_case *c, const tp_gbt_options *options);
tp_gbt *case_train_threads(gbt_case *c, const tp_gbt_options *options, uint32_t threads);
tp_gbt *case_train_valid(gbt_case *c, gbt_case *valid, const tp_gbt_options *options,
                         tp_gbt_report *ret_report);

// Margins of all rows [K][rows], freed by the end of the process.
double *case_margins(const tp_gbt *gbt, gbt_case *c);
double case_margin_of(const tp_gbt *gbt, const double *values);
// The serialised forest.
tp_buffer case_bytes(const tp_gbt *gbt);

#endif
