// SPDX-License-Identifier: Apache-2.0
//
// Feature programs: a small typed language, one `name = expression` a line, that turns raw columns
// into the numbers a learner sees. Parsed and checked against a schema before anything runs, fitted
// on the training rows alone, then immutable. One interpreter runs a million rows or one: it works
// on blocks of at most TP_FEATURE_BLOCK_ROWS rows and computes only the outputs that are asked for,
// so training never holds a matrix of floats.
//
// An output is a number or a category code, both handed over as float64; NaN is a missing value. A
// name that begins with "_" is an intermediate and no output. `onehot` makes several outputs,
// called "name=value".
#ifndef TP_FEATURE_H
#define TP_FEATURE_H

#include "base/tp_buffer.h"
#include "table/tp_table.h"

enum { TP_FEATURE_BLOCK_ROWS = 1024 };

// @thread confined until fitted, then immutable
typedef struct tp_feature_program tp_feature_program;
// @thread one worker index, one thread at a time
typedef struct tp_feature_run tp_feature_run;

typedef struct tp_feature_output {
    tp_str name;
    bool is_category;          // codes 0 … category_count-1, NaN for missing
    uint32_t category_count;   // known after fitting
    const tp_dict *categories; // text of each code; NULL where codes have none (hash)
    const uint32_t *columns;   // raw columns it depends on: indexes into the program's schema
    uint32_t column_count;
} tp_feature_output;

// Parses `text` and checks it against `schema` (the raw columns, without the target). Both are
// copied. Errors are E_INVALID with line, column and, for an unknown name, the nearest known one.
tapeout_status tp_feature_parse(const tp_env *env, tp_str text, const tp_schema *schema,
                                tp_feature_program **ret_program, tapeout_error *err);
void tp_feature_program_free(tp_feature_program *program); // accepts NULL

// What fitting may look at. `target` [rows.count]: 0/1 for binary, the value for regression; NULL
// where there is none (target_mean is then an error, as it is for more than two classes).
typedef struct tp_feature_fit_data {
    const tapeout_table *table;
    tp_row_choice rows;
    const double *target;
    const double *weight; // [rows.count] or NULL
    uint64_t seed;        // of the folds of target_mean
} tp_feature_fit_data;

tapeout_status tp_feature_fit(const tp_env *env, tp_feature_program *program,
                              const tp_feature_fit_data *data, tapeout_error *err);

// The fitted state as bytes (docs/formats/bundle.md), and the way back; everything is validated.
void tp_feature_state_write(const tp_feature_program *program, tp_buffer *ret_state);
tapeout_status tp_feature_load(const tp_env *env, tp_str text, const tp_schema *schema,
                               tp_str state, tp_feature_program **ret_program, tapeout_error *err);

uint32_t tp_feature_output_count(const tp_feature_program *program);
const tp_feature_output *tp_feature_output_at(const tp_feature_program *program, uint32_t index);
const tp_schema *tp_feature_schema(const tp_feature_program *program); // as parsed
tp_str tp_feature_text(const tp_feature_program *program);
// Whether any output reads raw column `column` of the schema.
bool tp_feature_uses_column(const tp_feature_program *program, uint32_t column);

// -- running -------------------------------------------------------------------------------------
typedef enum tp_feature_mode {
    TP_FEATURE_SERVE, // what a record gets
    TP_FEATURE_TRAIN  // target_mean out of fold; rows must be those of the fit
} tp_feature_mode;

// Scratch memory of one interpreter for `worker_count` workers; reused over any number of binds.
tapeout_status tp_feature_run_new(const tp_env *env, const tp_feature_program *program,
                                  size_t worker_count, tp_feature_run **ret_run,
                                  tapeout_error *err);
void tp_feature_run_free(tp_feature_run *run);

// Points the run at a table, whose columns are matched by name; a column that it lacks is all
// missing, one of another type is E_DATA. What depends on a dictionary alone is computed here, once
// a distinct value. Borrows table and rows until the next bind. No allocation for small tables once
// warm.
tapeout_status tp_feature_run_bind(tp_feature_run *run, const tapeout_table *table,
                                   tp_row_choice rows, tp_feature_mode mode, tapeout_error *err);

typedef struct tp_feature_block {
    uint64_t row_begin;      // position within the bound rows
    uint32_t row_count;      // at most TP_FEATURE_BLOCK_ROWS
    const uint32_t *outputs; // [output_count] indexes; NULL: all in order
    uint32_t output_count;
    double *const *values; // [output_count] pointers to [row_count] results
} tp_feature_block;

tapeout_status tp_feature_run_block(tp_feature_run *run, size_t worker,
                                    const tp_feature_block *block, tapeout_error *err);

// Since the last bind, over all workers, for the outputs that were computed.
typedef struct tp_feature_counts {
    uint64_t missing; // rows whose result is missing
    uint64_t unseen;  // rows with a category that fitting did not know
    uint64_t invalid; // rows where a division by zero, a logarithm of a negative … became missing
} tp_feature_counts;

tp_feature_counts tp_feature_run_counts(const tp_feature_run *run, uint32_t output);

// Appends a name as the language reads it back, in back quotes where it must be.
void tp_feature_append_name(tp_buffer *buffer, tp_str name);

// -- features: auto ------------------------------------------------------------------------------
typedef struct tp_feature_auto_data {
    const tapeout_table *table;
    tp_row_choice rows; // training rows
    tp_str target;      // column to leave out
    bool target_is_class;
    const double *values; // [rows.count] class index or value
} tp_feature_auto_data;

// Writes a program that a user can read and keep, with a comment a line that says why; `ret_notes`
// gets one line for each column dropped and why (key, leak of the target, constant, all missing).
tapeout_status tp_feature_auto(const tp_env *env, const tp_feature_auto_data *data,
                               tp_buffer *ret_text, tp_buffer *ret_notes, tapeout_error *err);

#endif
