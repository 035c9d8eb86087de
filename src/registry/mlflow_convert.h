// SPDX-License-Identifier: Apache-2.0
//
// The importer as MLflow's versions need it, apart from the store: the two know different tp_rows.
#ifndef MLFLOW_CONVERT_H
#define MLFLOW_CONVERT_H

#include "bundle/tp_bundle.h"

// Whether the bytes are a model of XGBoost, LightGBM or ONNX.
bool tp_mlflow_is_model(tp_str bytes);
// Reads and checks the model, and writes it as the bundle `path`, called `name`.
tapeout_status tp_mlflow_convert(const tapeout_allocator *alloc, tp_str bytes, tp_str name,
                                 const char *path, tp_sha256 *ret_hash, tapeout_error *err);

#endif
