// SPDX-License-Identifier: Apache-2.0
//
// What the tests of feature programs share: a small table of every type, written as lines of text,
// and a program parsed, fitted and run over it.
#ifndef FEATURE_CASES_H
#define FEATURE_CASES_H

#include "feature/tp_feature.h"
#include "test.h"

// The columns: x float64, n int64, b bool, s string, u string, d date, t timestamptz, l timestamp.
extern const tp_schema case_schema;

typedef struct feature_case {
    tp_env env;
    tp_pool *pool;
    tp_table_builder *builder;
    const tapeout_table *table;
    tp_feature_program *program;
    tp_feature_run *run;
    uint64_t row_count;
    uint32_t output_count;
    double **values; // [output_count][row_count]
} feature_case;

// Rows as "x,n,b,s,u,d,t,l", empty for missing, columns left out at the end too. "-" for none.
void case_rows(feature_case *c, const char *const *lines, size_t count);
void case_threads(feature_case *c, uint32_t threads);
// Parses and fits `text` on all rows; `target` may be NULL.
void case_fit(feature_case *c, const char *text, const double *target);
// Runs all outputs over all rows in blocks of at most `block_rows`.
void case_run(feature_case *c, tp_feature_mode mode, uint32_t block_rows);
// Parse, fit and run in serving mode.
void case_eval(feature_case *c, const char *text);
uint32_t case_output(const feature_case *c, const char *name);
double case_value(const feature_case *c, const char *name, uint64_t row);
tp_feature_counts case_counts(const feature_case *c, const char *name);
// The state's bytes; freed with tp_buffer_deinit.
void case_state(const feature_case *c, tp_buffer *ret_state);
void case_free(feature_case *c);
// The message of a program that must not parse.
const char *case_error(const char *text);

#endif
