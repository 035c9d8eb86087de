// SPDX-License-Identifier: Apache-2.0
//
// From the path that a MODEL argument led to, to an open bundle of a table's model: the one way for
// all who score, be it a bundle or a model file of another program.
#ifndef TP_MODEL_FILE_H
#define TP_MODEL_FILE_H

#include "trust/tp_trust.h"

// A bundle is mapped and admitted. A file of XGBoost, LightGBM or ONNX that the operator named by
// its path is imported first, in the sandbox, into a folder of TMPDIR that is gone again when this
// returns; it is called by the file's name and told to be unsigned. What comes from the registry
// (`asked->sha256`) is a bundle, or refused. E_UNSUPPORTED says what the file is otherwise.
// Errors of both, tp_trust_open's and the importer's. @thread any
tapeout_status tp_model_file_open(const tp_env *env, const tp_admission *asked,
                                  tp_bundle **ret_bundle, tp_admitted *ret_admitted,
                                  tapeout_error *err);

// What a model is called after its file: without folders, the end that says the format and the
// number of a part; other characters become '-'. May be no valid name, and empty.
void tp_model_file_name(const char *path, char ret_name[TP_MAX_MODEL_NAME_BYTES + 1]);

#endif
