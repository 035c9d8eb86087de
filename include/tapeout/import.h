// SPDX-License-Identifier: Apache-2.0
//
// Models that other programs made: into bundles, and from one tensor type to another.
//
// @thread All calls are `synchronized`.
#ifndef TAPEOUT_IMPORT_H
#define TAPEOUT_IMPORT_H

#include <tapeout/context.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tapeout_import_options {
    uint32_t struct_size;
    const char *name;     // what it is served and registered as; NULL: from the file's name
    const char *out_path; // NULL: the bundle lives in the registry alone
} tapeout_import_options;

TAPEOUT_API void tapeout_import_options_init(tapeout_import_options *options);

// Makes a bundle of `path`, a GGUF file (the first of a split model), the folder of a BERT sentence
// model, or a model of XGBoost, LightGBM or ONNX (docs/import.md), and registers it. What the file
// is, its content says. Weights are packed once; memory of the largest tensor is needed.
// `*ret_json` (freed with tapeout_text_free): name, version, bundle, sha256, kind, architecture,
// seconds. E_UNSUPPORTED for what is none of these, and for models that we do not run; E_CORRUPT
// naming the key, tensor, tree or node. On failure nothing is left behind.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_import(tapeout_context *context,
                                                            const char *path,
                                                            const tapeout_import_options *options,
                                                            char **ret_json, tapeout_error *err);

// What a language model is, as `tapeout inspect --json` prints it, of a bundle of kind "llm" or a
// GGUF file, by a MODEL argument: architecture, parameters, tensor types, tokenizer, licence,
// context length, whether the architecture was tested on a real model, hashes.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_llm_inspect(tapeout_context *context,
                                                                 const char *model, char **ret_json,
                                                                 tapeout_error *err);
// True when the MODEL argument leads to a bundle of kind "llm" or a GGUF file.
TAPEOUT_API bool tapeout_is_llm(tapeout_context *context, const char *model);

typedef struct tapeout_quantize_options {
    uint32_t struct_size;
    const char *type;     // of the matrices: "Q8_0", "Q4_0", "Q4_K", "Q6_K", "F16", "BF16", "F32"
    const char *output;   // of token embedding and output matrix; NULL: Q8_0
    const char *out_path; // a GGUF file
} tapeout_quantize_options;

TAPEOUT_API void tapeout_quantize_options_init(tapeout_quantize_options *options);

// Writes the model of the GGUF file `path` with matrices of another type. Vectors, the tables that
// choose experts, positions and token types become float32. Where rows are no whole blocks of the
// type, the nearest type with blocks of 32 is taken: `fallbacks` in `*ret_json` counts such
// tensors. `*ret_json`: path, size, tensors, fallbacks, types{}. E_UNSUPPORTED for a type that
// cannot be made, E_DATA for weights that are not finite.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status
tapeout_llm_quantize(tapeout_context *context, const char *path,
                     const tapeout_quantize_options *options, char **ret_json, tapeout_error *err);

#ifdef __cplusplus
}
#endif

#endif
