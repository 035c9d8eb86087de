// SPDX-License-Identifier: Apache-2.0
//
// Batch jobs on a finished model: scoring a table into a table of results, and measuring the model
// on data that has the target.
#ifndef TP_BATCH_H
#define TP_BATCH_H

#include "base/tp_buffer.h"
#include "bundle/tp_scorer.h"

// Reads `path` as the scorer wants it: its columns with its types, its missing markers, and beside
// them the `keep` columns (and the target, where `with_target`). E_INVALID for a kept column that
// the file lacks.
typedef struct tp_batch_input {
    const char *path;
    const char *duckdb_library;
    const tp_str *keep; // [keep_count]
    size_t keep_count;
    bool with_target;
} tp_batch_input;

tapeout_status tp_batch_read(const tp_env *env, const tp_scorer *scorer,
                             const tp_batch_input *input, tapeout_table **ret_table,
                             tapeout_error *err);

// The result: the kept columns, `prediction` (class name, whole number or float64), `probability`
// (binary: of the positive class) or `p_<class>` each, and with `explain` a `why_<column>` for each
// raw column (multiclass: `why_<class>_<column>`).
tapeout_status tp_batch_predict(const tp_env *env, const tp_scorer *scorer,
                                const tapeout_table *table, const tp_batch_input *input,
                                bool explain, tapeout_table **ret_result, tapeout_error *err);

// `{"metrics":{...},"intervals":{...},"rows":n}`.
tapeout_status tp_batch_evaluate(const tp_env *env, const tp_scorer *scorer,
                                 const tapeout_table *table, tp_buffer *ret_json,
                                 tapeout_error *err);

// One row of a table as a JSON object; missing values are null.
void tp_json_append_row(tp_buffer *json, const tapeout_table *table, uint64_t row);

#endif
