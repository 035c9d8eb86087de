// SPDX-License-Identifier: Apache-2.0
//
// An ensemble of ONNX as its node has it: all trees in lists that are as long as there are nodes,
// and a list of weights that name the leaf and the class that they are of.
#ifndef ONNX_TREE_PRIV_H
#define ONNX_TREE_PRIV_H

#include "import/onnx_priv.h"

typedef enum onnx_mode {
    ONNX_LEAF,
    ONNX_LEQ,
    ONNX_LT,
    ONNX_GTE,
    ONNX_GT,
    ONNX_EQ,
    ONNX_NEQ
} onnx_mode;

// What a leaf gives to a class.
typedef struct onnx_score {
    uint32_t class_index;
    double value;
} onnx_score;

// Where a node lies in the lists.
typedef struct onnx_place {
    int64_t tree;
    int64_t node;
    uint32_t at;
} onnx_place;

// Whether a column is equal to a number: a feature of its own, behind those of the columns, since
// our trees ask what lies below.
typedef struct onnx_equal {
    int64_t column;
    double value;
} onnx_equal;

typedef struct onnx_ensemble {
    onnx_reader *reader;
    const onnx_node *node;
    bool is_classifier;
    bool is_double;      // thresholds and sums; else float32
    uint32_t node_count; // N, of all trees
    const int64_t *tree_ids;
    const int64_t *node_ids;
    const int64_t *features;
    const int64_t *true_ids;
    const int64_t *false_ids;
    const int64_t *missing; // 1: missing goes to the true child; NULL: never
    const double *values;
    const uint8_t *modes;  // onnx_mode
    uint32_t weight_count; // W
    const int64_t *weight_trees;
    const int64_t *weight_nodes;
    const int64_t *weight_classes;
    const double *weights;
    const double *base; // values added to the sums
    uint32_t base_count;
    const onnx_value *input; // the columns that the trees may ask
    uint32_t class_count;    // of the lists; 1 for a regression
    // Found by tp_onnx_ensemble_index.
    onnx_place *places;    // [N] by tree and node
    uint32_t *score_begin; // [N + 1] into scores, of the node at each place of the lists
    onnx_score *scores;    // [W] by node, then by class
    uint32_t tree_count;
    onnx_equal *equals; // [equal_count] ascending
    uint32_t equal_count;
} onnx_ensemble;

// The lists of the node, each as long as it must be.
tapeout_status tp_onnx_ensemble_read(onnx_ensemble *e);
// Puts nodes and weights where they belong; every tree is one run of the lists, named once.
tapeout_status tp_onnx_ensemble_index(onnx_ensemble *e);
// Where a node lies; UINT32_MAX where there is none.
uint32_t tp_onnx_node_at(const onnx_ensemble *e, int64_t tree, int64_t node);
// The features of the modes EQ and NEQ, also into the program.
tapeout_status tp_onnx_equals(onnx_ensemble *e);
// The feature of such a node.
uint32_t tp_onnx_equal_feature(const onnx_ensemble *e, uint32_t at);

// The trees of classes [first, first + outputs) of the lists as a forest, and a tree more for each
// whose base is not 0, for ONNX adds the base last.
typedef struct onnx_forest {
    uint32_t first_class;
    uint32_t output_count; // K
    const double *base;    // [K] or NULL
} onnx_forest;
tapeout_status tp_onnx_forest(onnx_ensemble *e, const onnx_forest *what);

#endif
