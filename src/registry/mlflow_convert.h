// SPDX-License-Identifier: Apache-2.0
//
// The importer as MLflow's versions need it, apart from the store: the two know different tp_rows.
#ifndef MLFLOW_CONVERT_H
#define MLFLOW_CONVERT_H

#include "bundle/tp_bundle.h"
#include "registry/tp_registry.h"

// Whether the bytes are a model of XGBoost, LightGBM or ONNX.
bool tp_mlflow_is_model(tp_str bytes);
typedef struct mlflow_conversion {
    tp_str bytes;          // of the model
    tp_str name;           // of the bundle
    tp_registry *registry; // whose home signs
    const char *path;      // of the bundle, in `folder`
    const char *folder;    // of tp_sandbox_folder_make
} mlflow_conversion;

// Reads and checks the model in a sandbox, writes it as a bundle, and signs that with the home's
// own key: this home vouches for having made it from what was logged.
tapeout_status tp_mlflow_convert(const tapeout_allocator *alloc, const mlflow_conversion *what,
                                 tp_sha256 *ret_hash, tapeout_error *err);

#endif
