// SPDX-License-Identifier: Apache-2.0
//
// Batch jobs on a finished model: scoring a table into a table of results, and measuring the model
// on data that has the target.
#ifndef TP_BATCH_H
#define TP_BATCH_H

#include "base/tp_buffer.h"
#include "bundle/tp_scorer.h"

// One job; all borrowed.
typedef struct tp_batch {
    const tp_env *env;
    const tp_scorer *scorer;
    const char *path;           // of the data; "-" is standard input
    const char *duckdb_library; // may be NULL
    const tp_str *keep;         // [keep_count] columns to carry into the result
    size_t keep_count;
    bool with_target; // read the target too
    bool explain;
    tp_buffer *unseen; // tp_batch_predict appends "city in 3 rows, ..." of what the model did not
                       // learn; NULL: nobody asks
} tp_batch;

// Reads the data as the scorer wants it: its columns with its types and its missing markers, and
// beside them the kept columns and the target. E_INVALID for a kept column that the file lacks.
tapeout_status tp_batch_read(const tp_batch *batch, tapeout_table **ret_table, tapeout_error *err);

// The result: the kept columns, `prediction` (class name, whole number or float64), `probability`
// (binary: of the positive class) or `p_<class>` each, and with `explain` a `why_<column>` for each
// raw column (multiclass: `why_<class>_<column>`).
tapeout_status tp_batch_predict(const tp_batch *batch, const tapeout_table *table,
                                tapeout_table **ret_result, tapeout_error *err);

// `{"metrics":{...},"intervals":{...},"rows":n}`.
tapeout_status tp_batch_evaluate(const tp_batch *batch, const tapeout_table *table,
                                 tp_buffer *ret_json, tapeout_error *err);

// One row of a table as a JSON object; missing values are null.
void tp_json_append_row(tp_buffer *json, const tapeout_table *table, uint64_t row);
// The same with infinite numbers as texts, so that each value reads back to the same bits.
void tp_json_append_row_exact(tp_buffer *json, const tapeout_table *table, uint64_t row);

#endif
