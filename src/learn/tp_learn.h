// SPDX-License-Identifier: Apache-2.0
//
// What every learner shares: the data it sees, the task, and the model as the rest of the program
// uses it. gbt/ and linear/ never include each other; they meet here.
//
// Legend: R rows, F features, K outputs of the raw model (1, or the number of classes), T trees.
#ifndef TP_LEARN_H
#define TP_LEARN_H

#include "base/tp_buffer.h"
#include "base/tp_env.h"

// X(name, value, word in specs and reports)
#define TP_TASK_MAP(X)                                                                             \
    X(BINARY, 0, "binary")                                                                         \
    X(MULTICLASS, 1, "multiclass")                                                                 \
    X(REGRESSION, 2, "regression")                                                                 \
    X(QUANTILE, 3, "quantile")                                                                     \
    X(COUNT, 4, "count")

typedef enum tp_task {
#define TP_TASK_ENUM(name, value, word) TP_TASK_##name = (value),
    TP_TASK_MAP(TP_TASK_ENUM)
#undef TP_TASK_ENUM
} tp_task;

// X(name, value, word). Binary and multiclass follow from the task; regression chooses.
#define TP_OBJECTIVE_MAP(X)                                                                        \
    X(BINARY, 0, "binary")                                                                         \
    X(MULTICLASS, 1, "multiclass")                                                                 \
    X(SQUARED, 2, "squared")                                                                       \
    X(ABSOLUTE, 3, "absolute")                                                                     \
    X(HUBER, 4, "huber")                                                                           \
    X(QUANTILE, 5, "quantile")                                                                     \
    X(POISSON, 6, "poisson")                                                                       \
    X(TWEEDIE, 7, "tweedie")

typedef enum tp_objective {
#define TP_OBJECTIVE_ENUM(name, value, word) TP_OBJECTIVE_##name = (value),
    TP_OBJECTIVE_MAP(TP_OBJECTIVE_ENUM)
#undef TP_OBJECTIVE_ENUM
} tp_objective;

// X(name, value, word): how margins become predictions. OWN is by the objective with our own
// functions; the others are the formulas of the program that trained the model, to the bit
// (docs/formats/model.md).
#define TP_LINK_MAP(X)                                                                             \
    X(OWN, 0, "own")                                                                               \
    X(IDENTITY, 1, "identity")                                                                     \
    X(XGB_LOGISTIC, 2, "xgboost logistic")                                                         \
    X(XGB_EXP, 3, "xgboost exp")                                                                   \
    X(XGB_SOFTMAX, 4, "xgboost softmax")                                                           \
    X(XGB_ARGMAX, 5, "xgboost argmax")                                                             \
    X(XGB_HINGE, 6, "xgboost hinge")                                                               \
    X(LGB_LOGISTIC, 7, "lightgbm logistic")                                                        \
    X(LGB_EXP, 8, "lightgbm exp")                                                                  \
    X(LGB_SOFTMAX, 9, "lightgbm softmax")                                                          \
    X(LGB_LOGISTIC_EACH, 10, "lightgbm one-against-all")                                           \
    X(LGB_SQUARE, 11, "lightgbm square")                                                           \
    X(LGB_LOG1P_EXP, 12, "lightgbm log1p exp")                                                     \
    X(ONNX_LOGISTIC, 13, "onnx logistic")                                                          \
    X(ONNX_SOFTMAX, 14, "onnx softmax")                                                            \
    X(ONNX_SOFTMAX_ZERO, 15, "onnx softmax zero")                                                  \
    X(ONNX_FLOAT32, 16, "onnx float32")                                                            \
    X(ONNX_SIGMOID, 17, "onnx sigmoid")                                                            \
    X(ONNX_SOFTMAX_LANES, 18, "onnx softmax of lanes")

typedef enum tp_link {
#define TP_LINK_ENUM(name, value, word) TP_LINK_##name = (value),
    TP_LINK_MAP(TP_LINK_ENUM)
#undef TP_LINK_ENUM
} tp_link;

typedef struct tp_learn_feature {
    tp_str name;
    bool is_category; // values are codes 0 … category_count-1
    uint32_t category_count;
    int8_t monotone; // -1, 0, +1
} tp_learn_feature;

// A run of one feature's rows, asked for by one worker of the pool.
typedef struct tp_learn_slice {
    size_t worker;
    uint32_t feature;
    uint32_t row_count; // at most block_rows
    uint64_t row_begin;
} tp_learn_slice;

// Training or validation rows. The matrix is never held: `read` gives a run of one feature, NaN for
// missing, on any worker at once (worker indexes are the pool's). `target` is the class index for
// classification.
typedef struct tp_learn_data {
    uint64_t row_count;
    uint32_t feature_count;
    const tp_learn_feature *features; // [F]
    const double *target;             // [R]
    const double *weight;             // [R], >= 0, or NULL for 1
    tapeout_status (*read)(void *user, const tp_learn_slice *slice, double *ret_values,
                           tapeout_error *err);
    void *user;
    uint32_t block_rows; // most rows a single `read` may ask for
} tp_learn_data;

// -- the model as others use it ------------------------------------------------------------------
typedef enum tp_learner_kind { TP_LEARNER_GBT = 0, TP_LEARNER_LINEAR = 1 } tp_learner_kind;

typedef struct tp_gbt tp_gbt;
typedef struct tp_linear tp_linear;

// A fitted model: raw learner, link, calibration, decision. @thread immutable.
typedef struct tp_model tp_model;

// tp_calibration.method; models with classes alone have one.
enum { TP_CALIBRATION_NONE = 0, TP_CALIBRATION_PLATT = 1, TP_CALIBRATION_ISOTONIC = 2 };

// From a margin to a probability.
typedef struct tp_calibration_curve {
    double platt_a; // probability = logistic(a · margin + b)
    double platt_b;
    uint32_t point_count; // isotonic: values[i] from points[i] on, values[0] below it too
    double *points;       // [point_count] margins, ascending
    double *values;       // [point_count] probabilities, ascending
} tp_calibration_curve;

typedef struct tp_calibration {
    uint32_t method;
    uint32_t curve_count;         // 0 without a method; 1 for binary, of the margin; else
    tp_calibration_curve *curves; // one a class, of its log-odds; then divided by their sum
} tp_calibration;

// For a calibration that no model has taken over.
void tp_calibration_deinit(const tapeout_allocator *alloc, tp_calibration *calibration);

// How a model of another program decides, and what is done behind its link.
enum {
    TP_FOREIGN_BY_MARGIN = 1, // the threshold, and the highest, are asked of the margin
    TP_FOREIGN_L1 = 2,        // what the link gives is divided by its sum, in float32
    TP_FOREIGN_MIRRORED = 4   // binary: the link is of two classes with the margins -m and m
};

// Of a model that another program trained; all zero for our own.
typedef struct tp_foreign {
    uint32_t link;  // tp_link
    double scale;   // of the logistic's argument; 1
    double divisor; // of the margins: trees that are averaged; 1
    uint32_t flags; // TP_FOREIGN_...
} tp_foreign;

typedef struct tp_model_parts {
    tp_task task;
    tp_objective objective;
    uint32_t class_count; // 2 for binary, 0 for regression
    tp_learner_kind kind;
    tp_gbt *gbt; // one of the two; taken over
    tp_linear *linear;
    tp_calibration calibration; // curves taken over
    double threshold;           // binary: positive when probability >= threshold
    tp_foreign foreign;
} tp_model_parts;

// Takes everything in `parts` over, also on failure.
tapeout_status tp_model_new(const tp_env *env, const tp_model_parts *parts, tp_model **ret_model,
                            tapeout_error *err);
void tp_model_free(tp_model *model);
// Gives a model that nobody shares yet its calibration (taken over; NULL: as it is) and threshold.
tapeout_status tp_model_set_decision(tp_model *model, tp_calibration *calibration, double threshold,
                                     tapeout_error *err);
const tp_model_parts *tp_model_view(const tp_model *model);

// Serialised form (docs/formats/bundle.md) and the way back, fully validated against the features:
// a child, feature or category out of range is E_CORRUPT.
void tp_model_write(const tp_model *model, tp_buffer *ret_bytes);
tapeout_status tp_model_read(const tp_env *env, tp_str bytes, const tp_learn_feature *features,
                             uint32_t feature_count, tp_model **ret_model, tapeout_error *err);

// Scratch for predicting, one a thread, reused.
typedef struct tp_predictor tp_predictor;
tapeout_status tp_predictor_new(const tp_env *env, const tp_model *model, uint32_t max_rows,
                                tp_predictor **ret_predictor, tapeout_error *err);
void tp_predictor_free(tp_predictor *predictor);

// Results of a block. Any pointer may be NULL. `probability` is [R] for binary (of the positive
// class), [K][R] (class-major) for multiclass, unused otherwise. `prediction` is the class index or
// the value on the target's scale (Poisson and Tweedie: exp of the margin).
typedef struct tp_prediction {
    double *margin;      // [K][R]
    double *probability; // see above
    double *prediction;  // [R]
} tp_prediction;

// `columns` [F] pointers to [row_count] feature values; row_count at most max_rows. Every row is
// computed by itself: the same bits alone or in any batch. No allocation.
void tp_predict(tp_predictor *predictor, const double *const *columns, uint32_t row_count,
                const tp_prediction *ret_prediction);

// Exact Shapley values of the margin with respect to groups of features. `group_sets` [F] lists for
// each feature the groups (raw columns) it depends on: it counts as known when all of them are.
// `values` [K][G][R] plus `base` [K]: base + sum over groups = margin, up to rounding (1e-12 of
// the sum of the absolute values). What an unknown feature of a tree leaves open is averaged by the
// training rows at each split (path-dependent, Lundberg et al., 2020); of a linear model by the
// training mean. E_LIMIT when features of one path share more than TP_MAX_EXPLAIN_SHARED columns.
typedef struct tp_explain_groups {
    uint32_t group_count;                  // G
    const uint32_t *const *feature_groups; // [F] lists
    const uint32_t *feature_group_counts;  // [F]
} tp_explain_groups;

typedef struct tp_shapley {
    double *values; // [K][G][R]
    double *base;   // [K]
} tp_shapley;

tapeout_status tp_model_explain(const tp_env *env, const tp_model *model,
                                const tp_explain_groups *groups, const double *const *columns,
                                uint32_t row_count, const tp_shapley *ret_shapley,
                                tapeout_error *err);

const char *tp_task_name(tp_task task);
const char *tp_objective_name(tp_objective objective);
const char *tp_link_name(tp_link link); // "unknown" for none of the map
bool tp_task_from_name(tp_str name, tp_task *ret_task);
bool tp_objective_from_name(tp_str name, tp_objective *ret_objective);

#endif
