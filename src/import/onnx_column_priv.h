// SPDX-License-Identifier: Apache-2.0
//
// What the files of operators on columns share.
#ifndef ONNX_COLUMN_PRIV_H
#define ONNX_COLUMN_PRIV_H

#include "import/onnx_priv.h"

// Output 0 of the node; a column without a text is one for which there was no memory.
tapeout_status tp_onnx_column_set(onnx_reader *reader, const onnx_node *node, onnx_value value);

tapeout_status tp_onnx_one_hot(onnx_reader *reader, const onnx_node *node, const onnx_value *from);
tapeout_status tp_onnx_label_encoder(onnx_reader *reader, const onnx_node *node,
                                     const onnx_value *from);

#endif
