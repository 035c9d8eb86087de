// SPDX-License-Identifier: Apache-2.0
//
// Two ONNX models that are small enough to be worked out by hand.
#ifndef ONNX_CASES_H
#define ONNX_CASES_H

#include "onnx_builder.h"

// A tree over three columns of two inputs: a < 0.5 goes to the leaf 1, else b > 2 to 2, else to 4,
// and the base 0.25.
#define ONNX_TREE                                                                                  \
    "opset - 15\nopset ai.onnx.ml 3\n"                                                             \
    "input x float 2\ninput c float 1\noutput y\n"                                                 \
    "node Concat - x,c all\ni axis 1\n"                                                            \
    "node TreeEnsembleRegressor ai.onnx.ml all y\n"                                                \
    "i n_targets 1\nF base_values 0.25\n"                                                          \
    "I nodes_treeids 7 7 7 7 7\nI nodes_nodeids 0 1 2 3 4\nP nodes_featureids 0 0 2 0 0\n"         \
    "S nodes_modes BRANCH_LT LEAF BRANCH_GT LEAF LEAF\nF nodes_values 0.5 0 2 0 0\n"               \
    "I nodes_truenodeids 1 0 3 0 0\nI nodes_falsenodeids 2 0 4 0 0\n"                              \
    "I nodes_missing_value_tracks_true 1 0 0 0 0\n"                                                \
    "I target_treeids 7 7 7\nI target_nodeids 4 1 3\nI target_ids 0 0 0\n"                         \
    "F target_weights 4 1 2\n"

// Two texts and a number: a column each of the known towns, the number scaled, and a line.
#define ONNX_LINE                                                                                  \
    "opset - 15\nopset ai.onnx.ml 3\n"                                                             \
    "input town string 1\ninput n int64 1\noutput label\noutput p\n"                               \
    "tensor shape int64 2 : -1 3\ntensor zero int64 1 : 0\ntensor one int64 - : 1\n"               \
    "node OneHotEncoder ai.onnx.ml town hot\nS cats_strings Ghent Oslo\ni zeros 1\n"               \
    "node Scaler ai.onnx.ml n scaled\nF offset 1\nF scale 0.5\n"                                   \
    "node Concat - hot hots\ni axis -1\n"                                                          \
    "tensor two int64 2 : -1 2\n"                                                                  \
    "node Reshape - hots,two flat\n"                                                               \
    "node Concat - flat,scaled all\ni axis 1\n"                                                    \
    "node LinearClassifier ai.onnx.ml all said,raw\n"                                              \
    "F coefficients -1 2 -0.5 1 -2 0.5\nF intercepts -0.125 0.125\n"                               \
    "S classlabels_strings no yes\ns post_transform LOGISTIC\n"                                    \
    "node Normalizer ai.onnx.ml raw sums\ns norm L1\n"                                             \
    "node Identity - said label\n"                                                                 \
    "node ZipMap ai.onnx.ml sums p\nS classlabels_strings no yes\n"

#endif
