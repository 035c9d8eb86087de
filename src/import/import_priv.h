// SPDX-License-Identifier: Apache-2.0
//
// What the readers of model files share: the model as it grows, and its trees.
#ifndef IMPORT_PRIV_H
#define IMPORT_PRIV_H

#include "base/tp_arena.h"
#include "import/tp_import.h"
#include "learn/gbt/tp_gbt.h"

// The categories of a column in the order of their codes, as its model was trained with them.
typedef struct import_levels {
    uint32_t count;
    const tp_str *texts;   // [count]; NULL: numbers, or truth values in a column of type BOOL
    const double *numbers; // [count]
} import_levels;

// A raw column and, where the reader writes no program of its own, the feature made of it: `call`
// of the column, "float32" for example.
typedef struct import_column {
    tp_str name;
    tapeout_type type; // FLOAT64 unless the reader says otherwise
    const char *call;
    const import_levels *levels; // where `call` is "category"; else NULL
} import_column;

struct tp_import {
    const tapeout_allocator *alloc;
    tp_arena arena; // texts and arrays of what follows
    tp_import_facts facts;
    import_column *columns; // [facts.columns]
    tp_target target;
    tp_buffer program_text; // written by the reader, or made of the columns where it is empty
    tp_model_parts parts;   // until the model takes them over
    tp_feature_program *program;
    tp_model *model;
};

// Each fills columns, target, parts and the facts.
tapeout_status tp_xgboost_read(const tp_env *env, tp_str bytes, tp_import *import,
                               tapeout_error *err);
tapeout_status tp_lightgbm_read(const tp_env *env, tp_str bytes, tp_import *import,
                                tapeout_error *err);
tapeout_status tp_onnx_read(const tp_env *env, tp_str bytes, tp_import *import, tapeout_error *err);

// Room for so many columns, all called `call`, named by the caller (or f0, f1, … later).
tapeout_status tp_import_columns_new(tp_import *import, uint64_t count, const char *call,
                                     tapeout_error *err);
// A text or printed one that lives as long as the import; {NULL, 0} without memory.
tp_str tp_import_print(tp_import *import, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
// Fits the program, whose columns' levels are all that there is to learn.
tapeout_status tp_import_fit(const tp_env *env, tp_import *import, tapeout_error *err);
// The target of a task: classes are called 0, 1, … A target called as a column gets another name.
tapeout_status tp_import_target_set(tp_import *import, tp_task task, uint32_t class_count,
                                    tapeout_error *err);

// -- trees ---------------------------------------------------------------------------------------
// A tree as its file has it: nodes by number, inner and leaves alike, the root first. The shaper
// walks it once from the root, which finds every child out of range, cycle and shared child by the
// file's own numbers, and lays it out as ours: the inner nodes and the leaves in order of the walk.
typedef struct import_tree {
    const char *source; // for messages: "xgboost"
    uint32_t number;    // of the tree in its file
    uint32_t node_count;
    const int64_t *left;  // [node_count] child; below 0: the node is a leaf
    const int64_t *right; // [node_count]
} import_tree;

typedef struct import_shape {
    uint32_t leaf_count;
    int32_t *place; // [node_count] >= 0: inner node; < 0: leaf ~place; INT32_MIN: not reached
} import_shape;

// `place` and `stack` [node_count] are the caller's.
tapeout_status tp_import_shape(const import_tree *tree, int32_t *place, uint32_t *stack,
                               import_shape *ret_shape, tapeout_error *err);

#endif
