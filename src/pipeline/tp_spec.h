// SPDX-License-Identifier: Apache-2.0
//
// A training spec: the YAML file that says where the data is, what to learn and what must hold.
// docs/spec.md explains every key to users; the tables in spec_parse.c are the definition.
#ifndef TP_SPEC_H
#define TP_SPEC_H

#include "base/tp_arena.h"
#include "learn/gbt/tp_gbt.h"
#include "learn/linear/tp_linear.h"
#include "learn/tp_metrics.h"
#include "pipeline/tp_yaml.h"
#include "table/tp_table.h"

typedef enum tp_split_by {
    TP_SPLIT_RANDOM,
    TP_SPLIT_TIME,
    TP_SPLIT_GROUP,
    TP_SPLIT_FILE
} tp_split_by;

typedef struct tp_spec_data {
    tp_str query;
    tp_str train; // path
    tp_str test;  // path
    tp_yaml_strings missing;
    tp_str delimiter;
    tp_yaml_node types_node;
    tp_field *types; // [type_count]
    size_t type_count;
    struct {
        tp_str by;
        tp_str column;
        double test;
    } split;
    tp_split_by split_by;
} tp_spec_data;

typedef struct tp_spec_target {
    tp_str column;
    tp_str positive; // data NULL: not given
    tp_str task;
} tp_spec_target;

// A value by name, in the order of the file.
typedef struct tp_spec_pair {
    tp_str name;
    double value;
    tp_yaml_node node;
} tp_spec_pair;

typedef struct tp_spec_pairs {
    tp_spec_pair *items;
    size_t count;
} tp_spec_pairs;

typedef struct tp_spec_model {
    tp_str learner;
    tp_str objective;
    tp_str weight;                   // column of row weights
    tp_str init;                     // bundle to continue from
    tp_yaml_node class_weights_node; // "balanced" or {class: weight}
    bool balanced;
    tp_spec_pairs class_weights;
    tp_yaml_node monotone_node;
    tp_spec_pairs monotone;
    tp_yaml_node interactions_node;
    tp_yaml_strings *interactions; // [interaction_count]
    size_t interaction_count;
    double hold_out; // share of the training rows that early stopping and calibration look at
    tp_gbt_options gbt;
    tp_linear_options linear;
} tp_spec_model;

typedef struct tp_spec_gate {
    tp_str name;
    tp_str text; // as written: ">= 0.70"
    bool is_minimum;
    double bound;
} tp_spec_gate;

typedef struct tp_spec {
    tp_arena arena;
    tp_yaml *yaml;
    const char *path;      // as given
    const char *directory; // what paths are relative to
    tp_str text;           // the file's bytes
    tp_str name;
    tp_spec_data data;
    tp_spec_target target;
    tp_str task; // also under target
    tp_yaml_node features_node;
    tp_str features; // the program; "auto" is features_auto
    bool features_auto;
    tp_spec_model model;
    tp_yaml_node threshold_node;
    tp_threshold_rule threshold;
    bool has_threshold;
    struct {
        tp_str method;
    } calibration;
    uint32_t calibration_method; // 0 none, 1 Platt, 2 isotonic
    struct {
        tp_yaml_strings cohorts;
        uint32_t bootstrap; // replicates
        bool permutation;
    } evaluate;
    struct {
        uint32_t folds;
    } cross_validation;
    tp_yaml_node gates_node;
    tp_spec_gate *gates;
    size_t gate_count;
    uint64_t seed;
    tp_str licence; // of the model, for gates and bills of materials; empty: not said
} tp_spec;

// Reads and checks `path`. Everything lives in the spec. E_INVALID with file, line and column.
tapeout_status tp_spec_read(const tapeout_allocator *alloc, const char *path, tp_spec **ret_spec,
                            tapeout_error *err);
void tp_spec_free(tp_spec *spec); // accepts NULL

#endif
