// SPDX-License-Identifier: Apache-2.0
//
// What the steps of a training run hand to each other: spec → dataset → fitted parts → evaluation →
// bundle. Each step owns what it makes and frees it in the order of the run backwards.
#ifndef PIPELINE_PRIV_H
#define PIPELINE_PRIV_H

#include "bundle/tp_scorer.h"
#include "learn/tp_metrics.h"
#include "pipeline/tp_pipeline.h"
#include "pipeline/tp_spec.h"
#include "table/tp_sketch.h"

// -- dataset -------------------------------------------------------------------------------------
// Chosen rows of a table with what they are to be learned to.
typedef struct pipeline_rows {
    const tapeout_table *table;
    uint32_t *index; // [count] ascending
    uint64_t count;
    double *target;   // [count] class index or value
    double *weight;   // [count] or NULL
    bool is_training; // fitted on: target_mean is then out of fold
} pipeline_rows;

void tp_pipeline_rows_deinit(const tapeout_allocator *alloc, pipeline_rows *rows);

typedef struct pipeline_dataset {
    const tapeout_allocator *alloc;
    tapeout_table *table;      // training rows, and the test rows unless they have a file
    tapeout_table *test_table; // NULL without a test file
    tp_arena arena;            // target names, schema
    tp_target target;
    double *class_weight;   // [class_count] or NULL
    tp_schema schema;       // raw columns without the target
    pipeline_rows train;    // what features and learner are fitted on
    pipeline_rows hold_out; // what early stopping, threshold and calibration look at; may be none
    pipeline_rows test;
    uint64_t dropped_count; // rows without a target
} pipeline_dataset;

tapeout_status tp_pipeline_dataset_read(const tp_env *env, const tp_spec *spec,
                                        const char *duckdb_library, pipeline_dataset *ret_dataset,
                                        tapeout_error *err);
// The column of that name; E_INVALID with the nearest one where there is none.
tapeout_status tp_pipeline_find_column(const tp_env *env, const tapeout_table *table, tp_str name,
                                       const tp_column **ret_column, tapeout_error *err);
void tp_pipeline_dataset_deinit(pipeline_dataset *dataset);

// Splits the rows of `dataset->table` that have a target (`rows`, ascending) into train, hold_out
// and test. The seed alone decides, and the values of the split's column.
tapeout_status tp_pipeline_split(const tp_env *env, const tp_spec *spec, pipeline_dataset *dataset,
                                 tp_row_choice rows, tapeout_error *err);

// What rows are cut by: a number for times (missing ones first), equal numbers for equal groups.
double tp_pipeline_time_key(const tp_column *column, uint32_t row);
uint64_t tp_pipeline_group_key(const tp_column *column, uint32_t row);

// Target values of chosen rows: class indexes by `dataset->target`, or numbers.
tapeout_status tp_pipeline_target_values(const pipeline_dataset *dataset, const tp_spec *spec,
                                         pipeline_rows *rows, tapeout_error *err);

// Finds out the task and the classes from the spec and the target column over `rows`.
tapeout_status tp_pipeline_target_infer(const tp_spec *spec, pipeline_dataset *dataset,
                                        tp_row_choice rows, tapeout_error *err);

// -- fitting -------------------------------------------------------------------------------------
typedef struct pipeline_fitted {
    tp_feature_program *program;
    tp_model *model;
    tp_buffer notes;  // features: auto said so
    double best_loss; // on the held-out rows; NaN without
    uint32_t iterations;
    double seconds_prepare;
    double seconds_train;
} pipeline_fitted;

tapeout_status tp_pipeline_fit(const tp_env *env, const tp_spec *spec,
                               const pipeline_dataset *dataset, pipeline_fitted *ret_fitted,
                               tapeout_error *err);
void tp_pipeline_fitted_deinit(pipeline_fitted *fitted);

// What a program puts out, as learners see it. The list lives in the arena.
typedef struct pipeline_view {
    const tp_feature_program *program;
    tp_learn_feature *features; // [feature_count]
    uint32_t feature_count;
} pipeline_view;

tapeout_status tp_pipeline_view(const tp_feature_program *program, tp_arena *arena,
                                pipeline_view *ret_view, tapeout_error *err);

// Rows as learners read them, computed when asked for; borrows all until tp_pipeline_unbind.
tapeout_status tp_pipeline_bind(const tp_env *env, const pipeline_view *view,
                                const pipeline_rows *rows, tp_learn_data *ret_data,
                                tapeout_error *err);
void tp_pipeline_unbind(tp_learn_data *data);

// -- evaluating ----------------------------------------------------------------------------------
typedef struct pipeline_learned {
    const tp_feature_program *program;
    const tp_model *model;
} pipeline_learned;

// Scores of chosen rows by a fitted program and model, as served.
typedef struct pipeline_scores {
    double *prediction;  // [R]
    double *probability; // [R] or [K][R]; NULL for regression
    double *margin;      // [K][R]
    uint64_t row_count;
    uint32_t output_count; // K
    uint32_t class_stride; // probabilities a row: 0, 1 or K
} pipeline_scores;

tapeout_status tp_pipeline_score(const tp_env *env, pipeline_learned learned,
                                 const pipeline_rows *rows, pipeline_scores *ret_scores,
                                 tapeout_error *err);
void tp_pipeline_scores_deinit(const tapeout_allocator *alloc, pipeline_scores *scores);

// The metric input for scored rows; `options` NULL: quantile 0.5, Tweedie power 1.5.
tp_metric_data tp_pipeline_metric_data(const tp_target *target, const tp_model *model,
                                       const pipeline_rows *rows, const pipeline_scores *scores,
                                       const tp_gbt_options *options);

// `{"auc":0.73,...}` of the figures that are numbers; `which` 0 value, 1 both ends of the interval.
void tp_pipeline_metrics_append(tp_buffer *json, const tp_metric_values *values, bool intervals);

// One column's sketch as a JSON object: the drift baseline.
void tp_pipeline_sketch_append(tp_buffer *json, const tp_sketch *sketch);

// The sketches of the schema's columns over the training rows, as a JSON list.
tapeout_status tp_pipeline_sketch_columns(const tp_env *env, const tp_schema *schema,
                                          const pipeline_rows *rows, tp_buffer *ret_json,
                                          tapeout_error *err);

// The identity of the sources that this program was built from, in hexadecimal; made by the build
// (tools/source_hash.py).
extern const char tp_pipeline_source_sha256[];

// The identity of a table's content.
tapeout_status tp_pipeline_table_hash(const tp_env *env, const tapeout_table *table,
                                      tp_sha256 *ret_hash, tapeout_error *err);

typedef struct pipeline_evaluation {
    tp_metric_values metrics;
    tp_buffer metrics_json;
    tp_buffer intervals_json;
    tp_buffer cohorts_json;
    tp_buffer confusion_json; // empty for regression
    tp_buffer importance_json;
    tp_buffer prediction_json; // sketch of the predictions on the test rows
    tp_buffer cross_json;      // empty without cross-validation
} pipeline_evaluation;

// What an evaluation looks at.
typedef struct pipeline_subject {
    const tp_env *env;
    const tp_spec *spec;
    const pipeline_dataset *dataset;
    const pipeline_fitted *fitted;
} pipeline_subject;

// `[{"feature","gain","splits","permutation"?}]`.
tapeout_status tp_pipeline_importance(const pipeline_subject *subject, tp_buffer *ret_json,
                                      tapeout_error *err);

// `{"mean":{...},"deviation":{...},"folds":[...]}`; nothing where the spec asks for no folds.
tapeout_status tp_pipeline_cross_validate(const pipeline_subject *subject, tp_buffer *ret_json,
                                          tapeout_error *err);

tapeout_status tp_pipeline_evaluate(const pipeline_subject *subject,
                                    pipeline_evaluation *ret_evaluation, tapeout_error *err);
void tp_pipeline_evaluation_deinit(pipeline_evaluation *evaluation);

#endif
