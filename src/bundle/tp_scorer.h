// SPDX-License-Identifier: Apache-2.0
//
// A bundle of kind "tabular", ready to answer: raw rows in, predictions out. The one predict of
// CLI, server and SDK; a row has the same bits alone, in any batch and on any thread count.
//
// Legend: R rows, K classes, C raw columns, F features.
#ifndef TP_SCORER_H
#define TP_SCORER_H

#include "bundle/tp_bundle.h"
#include "feature/tp_feature.h"
#include "learn/tp_learn.h"

// -- what a tabular bundle holds -----------------------------------------------------------------
typedef struct tp_target {
    tp_str name;
    tapeout_type type;
    tp_task task;
    const tp_str *class_names; // [class_count]; for binary the positive class is 1
    uint32_t class_count;      // 0 for regression
    bool classes_are_int;      // the target was an integer or bool column: print names bare in JSON
} tp_target;

// The pieces from which a tabular bundle is written. All borrowed during the call.
typedef struct tp_tabular {
    tp_str name;
    const tp_target *target;
    const tp_feature_program *program;
    const tp_model *model;
    tp_str report_json;    // metrics, cohorts, importances: docs/formats/bundle.md
    tp_str sketch_json;    // drift baseline
    tp_str lineage_json;   // hashes of data, spec and code, seed, versions
    tp_str spec_text;      // as the user wrote it
    const tp_str *missing; // [missing_count] markers that the data was read with
    size_t missing_count;
} tp_tabular;

tapeout_status tp_tabular_write(const tp_env *env, const char *path, const tp_tabular *tabular,
                                tp_sha256 *ret_hash, tapeout_error *err);

// -- scoring -------------------------------------------------------------------------------------
typedef struct tp_scorer tp_scorer; // @thread immutable

// Opens, checks and validates everything in the bundle.
tapeout_status tp_scorer_open(const tp_env *env, const char *path, tp_scorer **ret_scorer,
                              tapeout_error *err);
// The same of a bundle that is open and checked, which becomes the scorer's on success and on
// failure alike; `*bundle` is nulled.
tapeout_status tp_scorer_from_bundle(const tp_env *env, tp_bundle **bundle, tp_scorer **ret_scorer,
                                     tapeout_error *err);
void tp_scorer_close(tp_scorer **scorer); // nulls it

const tp_bundle *tp_scorer_bundle(const tp_scorer *scorer);
const tp_target *tp_scorer_target(const tp_scorer *scorer);
const tp_schema *tp_scorer_schema(const tp_scorer *scorer); // raw columns that features read
const tp_feature_program *tp_scorer_program(const tp_scorer *scorer);
const tp_model *tp_scorer_model(const tp_scorer *scorer);
double tp_scorer_threshold(const tp_scorer *scorer);
// The missing markers that the training data was read with: files to score follow them.
const tp_str *tp_scorer_missing(const tp_scorer *scorer, size_t *ret_count);

// What one caller at a time needs to score: interpreter, scratch, results. @thread confined
typedef struct tp_session tp_session;

// With a pool in `env`, large tables are scored in parallel; without, inline.
tapeout_status tp_session_new(const tp_env *env, const tp_scorer *scorer, tp_session **ret_session,
                              tapeout_error *err);
void tp_session_free(tp_session *session);

typedef struct tp_scores {
    uint64_t row_count;
    const double *prediction;  // [R] class index, or value
    const double *probability; // binary [R], multiclass [K][R] (class-major), NULL for regression
} tp_scores;

// Scores rows of a table whose columns are found by name (a column that is absent is missing in
// every row; one of another type is E_DATA). The result belongs to the session and is valid until
// its next call. Small tables need no allocation once warm.
tapeout_status tp_session_score(tp_session *session, const tapeout_table *table, tp_row_choice rows,
                                tp_scores *ret_scores, tapeout_error *err);

// What the features of the last call did not know: see tp_feature_counts.
tp_feature_counts tp_session_counts(const tp_session *session, uint32_t feature);

// Shapley values of the margin by raw column for the same rows: [K'][C][R] and base [K'], K' = 1
// for binary and regression. Borrowed as above.
typedef struct tp_explanation {
    uint64_t row_count;
    uint32_t output_count; // K'
    uint32_t column_count; // C
    const double *values;
    const double *base;
} tp_explanation;

tapeout_status tp_session_explain(tp_session *session, const tapeout_table *table,
                                  tp_row_choice rows, tp_explanation *ret_explanation,
                                  tapeout_error *err);

#endif
