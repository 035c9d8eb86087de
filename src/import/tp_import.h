// SPDX-License-Identifier: Apache-2.0
//
// Models that XGBoost or LightGBM trained, and models in ONNX's format, into bundles of kind
// "tabular" that answer with the bits of the original's own arithmetic (docs/import.md). What a
// file is, its content says, never its name.
#ifndef TP_IMPORT_H
#define TP_IMPORT_H

#include "bundle/tp_scorer.h"

typedef enum tp_import_kind {
    TP_IMPORT_UNKNOWN,
    TP_IMPORT_XGBOOST,  // UBJSON or JSON
    TP_IMPORT_LIGHTGBM, // text
    TP_IMPORT_ONNX      // protobuf
} tp_import_kind;

// By the first bytes; UNKNOWN for anything else, pickles among it.
tp_import_kind tp_import_recognise(tp_str bytes);
bool tp_import_is_model(const char *path);            // of one of the kinds above
const char *tp_import_kind_name(tp_import_kind kind); // "xgboost"

// A model that was read and checked, not yet a bundle. @thread immutable
typedef struct tp_import tp_import;

// `bytes` are needed during the call alone. E_UNSUPPORTED names what the file has that we do not
// run, E_CORRUPT tree and node of what is wrong in it.
tapeout_status tp_import_parse(const tp_env *env, tp_str bytes, tp_import **ret_import,
                               tapeout_error *err);
void tp_import_free(tp_import *import); // accepts NULL

const tp_model *tp_import_model(const tp_import *import);
const tp_feature_program *tp_import_program(const tp_import *import);
const tp_target *tp_import_target(const tp_import *import);

// What was imported, for people; texts are valid as long as the import.
typedef struct tp_import_facts {
    tp_import_kind kind;
    tp_str version;   // of the program that trained it; empty where the file does not say
    tp_str objective; // in its own words
    uint32_t columns;
    uint32_t trees;
} tp_import_facts;
tp_import_facts tp_import_facts_of(const tp_import *import);

// Writes the bundle, served as `name`. `source` is the hash of the file that was read.
tapeout_status tp_import_write(const tp_env *env, const tp_import *import, tp_str name,
                               const tp_sha256 *source, const char *path, tp_sha256 *ret_hash,
                               tapeout_error *err);

// All of it: reads `path`, recognises and checks it, writes the bundle `out_path`, called `name`.
// Takes the descriptor of nothing but these two files, so it runs in a sandboxed child.
typedef struct tp_import_options {
    tp_str name; // of the bundle: what it is served as
} tp_import_options;
tapeout_status tp_import_file(const tp_env *env, const char *path, const tp_import_options *options,
                              const char *out_path, tp_sha256 *ret_hash, tapeout_error *err);

#endif
