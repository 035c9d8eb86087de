// SPDX-License-Identifier: Apache-2.0
//
// From the folder of a logged model to a bundle beside the blob store, before it is one of its
// blobs.
#ifndef MLFLOW_IMPORT_H
#define MLFLOW_IMPORT_H

#include "base/limits.h"
#include "base/tp_file.h"
#include "bundle/tp_bundle.h"
#include "registry/tp_mlflow.h"

typedef struct mlflow_bundle {
    bool is_there;
    const tapeout_allocator *alloc;
    char *folder; // of its own, in the home
    char path[TP_MAX_PATH_BYTES];
    tp_map map;
    tp_sha256 hash;
    char message[512]; // for the version: what became of the model
} mlflow_bundle;

// `folder` without a scheme; the bundle is called `name`.
tapeout_status tp_mlflow_import(tp_mlflow *mlflow, tp_str folder, tp_str name,
                                mlflow_bundle *ret_bundle, tapeout_error *err);
void tp_mlflow_import_end(mlflow_bundle *bundle); // takes the file away

#endif
