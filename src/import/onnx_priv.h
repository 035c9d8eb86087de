// SPDX-License-Identifier: Apache-2.0
//
// What the files that read ONNX's models share: the messages of a file, and the graph as it is
// walked.
#ifndef ONNX_PRIV_H
#define ONNX_PRIV_H

#include "import/import_priv.h"

// -- the file ------------------------------------------------------------------------------------
// ONNX's own numbers for types of elements.
typedef enum onnx_type {
    ONNX_UNDEFINED = 0,
    ONNX_FLOAT = 1,
    ONNX_INT32 = 6,
    ONNX_INT64 = 7,
    ONNX_STRING = 8,
    ONNX_BOOL = 9,
    ONNX_DOUBLE = 11
} onnx_type;

// A list of an attribute or a tensor. One of the three pointers is set, by the type: FLOAT and
// DOUBLE are numbers, INT64 (BOOL and INT32 among it) ints, STRING texts.
typedef struct onnx_list {
    onnx_type type; // UNDEFINED where there is no list
    uint32_t count;
    const double *numbers;
    const int64_t *ints;
    const tp_str *texts;
} onnx_list;

typedef struct onnx_tensor {
    tp_str name;
    uint32_t rank;
    onnx_list list;
} onnx_tensor;

typedef struct onnx_attribute {
    tp_str name;
    onnx_list list; // of one item where it is a single value
} onnx_attribute;

typedef struct onnx_node {
    uint32_t index;
    tp_str op;
    tp_str domain;
    const tp_str *inputs;
    uint32_t input_count;
    const tp_str *outputs;
    uint32_t output_count;
    const onnx_attribute *attributes;
    uint32_t attribute_count;
} onnx_node;

// An input or output of the graph.
typedef struct onnx_port {
    tp_str name;
    onnx_type type;  // UNDEFINED where it is no tensor
    uint32_t rank;   // of its shape
    int64_t columns; // the second dimension; 0 where it is not said
} onnx_port;

typedef struct onnx_model {
    tp_str producer;
    tp_str producer_version;
    const onnx_node *nodes;
    uint32_t node_count;
    const onnx_tensor *tensors;
    uint32_t tensor_count;
    const onnx_port *inputs;
    uint32_t input_count;
    const onnx_port *outputs;
    uint32_t output_count;
} onnx_model;

// Every list is in `arena`, every text a view into the bytes. E_CORRUPT for what is malformed,
// E_UNSUPPORTED for an operator set, function or tensor that is not read.
tapeout_status tp_onnx_parse(tp_str bytes, tp_arena *arena, onnx_model *ret_model,
                             tapeout_error *err);

// -- the graph -----------------------------------------------------------------------------------
// What a name of the graph stands for.
typedef enum onnx_kind {
    ONNX_COLUMNS,  // numbers or texts a row, computed from raw columns
    ONNX_CONSTANT, // an initializer
    ONNX_LABEL,    // the class that the model says
    ONNX_SCORES,   // a score a class
    ONNX_VALUE     // a regression's
} onnx_kind;

// A column of a value: an expression of the feature language (docs/features.md).
typedef struct onnx_column {
    tp_str text;
    uint32_t raw;   // the raw column that it is, whatever its type; UINT32_MAX: computed
    bool is_closed; // an infinite result stays one: the text is a call of float32 or its kin
} onnx_column;

typedef struct onnx_value {
    tp_str name;
    onnx_kind kind;
    onnx_type type;
    bool is_block; // of rank 3 with a middle of 1, as OneHotEncoder makes it
    uint32_t step; // of scores and values: how often they were changed since the model
    uint32_t count;
    const onnx_column *columns;
    const onnx_tensor *tensor;
} onnx_value;

typedef struct onnx_reader {
    const tp_env *env;
    tp_import *import;
    tp_arena arena; // of what lives as long as the reading
    onnx_model model;
    onnx_value *values; // in the order in which they came to be
    uint32_t value_count;
    uint32_t value_capacity;
    tp_dict names;  // of the values, by number
    bool has_model; // a learner has been met
    uint32_t step;  // of its newest scores or values
    tapeout_error *err;
} onnx_reader;

// "onnx: node 3 (Scaler): …"
tapeout_status tp_onnx_fail(onnx_reader *reader, const onnx_node *node, tapeout_status status,
                            const char *format, ...) __attribute__((format(printf, 4, 5)));
// The failure of whoever got no memory, or no text that is short enough.
tapeout_status tp_onnx_nomem(onnx_reader *reader);

// An attribute's list; of type UNDEFINED and count 0 where there is none.
onnx_list tp_onnx_list(const onnx_node *node, const char *name);
// A single number or text; the fallback where there is none, E_CORRUPT where it is another thing.
tapeout_status tp_onnx_int(onnx_reader *reader, const onnx_node *node, const char *name,
                           int64_t *ret_value);
tapeout_status tp_onnx_text(onnx_reader *reader, const onnx_node *node, const char *name,
                            tp_str *ret_text);
// The list `name`, or the tensor `name`_as_tensor, of real numbers.
tapeout_status tp_onnx_reals(onnx_reader *reader, const onnx_node *node, const char *name,
                             onnx_list *ret_list);

// Input `index` of a node: it must be there, and of `kind`.
tapeout_status tp_onnx_input(onnx_reader *reader, const onnx_node *node, uint32_t index,
                             const onnx_value **ret_value);
tapeout_status tp_onnx_input_of(onnx_reader *reader, const onnx_node *node, uint32_t index,
                                onnx_kind kind, const onnx_value **ret_value);
// What output `index` of a node stands for from now on; an output that has no name is none.
tapeout_status tp_onnx_set(onnx_reader *reader, const onnx_node *node, uint32_t index,
                           onnx_value value);

// Room for so many columns.
tapeout_status tp_onnx_columns_new(onnx_reader *reader, const onnx_node *node, uint64_t count,
                                   onnx_column **ret_columns);
// A printed text that lives as long as the reading; {NULL, 0} without memory, and where it is
// longer than a feature program may be: operators that write their operand twice double it.
tp_str tp_onnx_print(onnx_reader *reader, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// -- operators -----------------------------------------------------------------------------------
// What a node does with its first input. A table ends with a name that is NULL.
typedef struct onnx_operator {
    const char *op;
    bool is_ml; // of ai.onnx.ml
    tapeout_status (*apply)(onnx_reader *reader, const onnx_node *node, const onnx_value *from);
} onnx_operator;

// Those that make columns of columns (Scaler, Concat, …).
extern const onnx_operator tp_onnx_column_operators[];
// Those behind the model, which change no number (ZipMap, Identity, …), and Normalizer.
extern const onnx_operator tp_onnx_score_operators[];
// TreeEnsembleClassifier and TreeEnsembleRegressor, LinearClassifier and LinearRegressor.
tapeout_status tp_onnx_tree_node(onnx_reader *reader, const onnx_node *node, bool is_classifier);
tapeout_status tp_onnx_linear_node(onnx_reader *reader, const onnx_node *node, bool is_classifier);

// What learners share: the columns that they ask, the program of these, the classes of a
// classifier and what its two outputs, or a regressor's one, stand for.
tapeout_status tp_onnx_features(onnx_reader *reader, const onnx_node *node, onnx_type wanted,
                                const onnx_value **ret_value);
// One more line of it, a feature called by its number.
tapeout_status tp_onnx_feature_add(onnx_reader *reader, uint32_t number, tp_str text);
tapeout_status tp_onnx_classes(onnx_reader *reader, const onnx_node *node, const char *ints,
                               const char *texts, onnx_list *ret_labels);
// `labels` of type UNDEFINED: a regression.
tapeout_status tp_onnx_target(onnx_reader *reader, const onnx_node *node, tp_task task,
                              const onnx_list *labels);

#endif
