// SPDX-License-Identifier: Apache-2.0
//
// A bundle of kind "llm": metadata as a GGUF file without data, and the weights in the packed form
// that is computed with, so that loading is a memory map. docs/formats/bundle.md names the
// sections.
#ifndef TP_LLM_BUNDLE_H
#define TP_LLM_BUNDLE_H

#include "bundle/tp_bundle.h"
#include "llm/gguf/tp_gguf_write.h"
#include "llm/model/tp_llm.h"

// The pieces from which an llm bundle is written. All borrowed during the call.
typedef struct tp_llm_content {
    tp_str name;
    const tp_gguf_builder *model; // its tensors have data
    tp_str licence;               // text; empty where nothing is known
    tp_str lineage_json;
} tp_llm_content;

// Packs tensor by tensor while it writes: the memory of the largest packed tensor, whatever the
// model's size.
tapeout_status tp_llm_bundle_write(const tp_env *env, const char *path,
                                   const tp_llm_content *content, tp_sha256 *ret_hash,
                                   tapeout_error *err);

// Maps the file, checks all of it, and makes a model over it that owns the mapping. E_UNSUPPORTED
// for a bundle of another kind.
tapeout_status tp_llm_bundle_open(const tp_env *env, const char *path, tp_llm **ret_llm,
                                  tapeout_error *err);
// The same over a bundle that is open and checked, which becomes the model's on success and on
// failure alike; `*bundle` is nulled.
tapeout_status tp_llm_from_bundle(const tp_env *env, tp_bundle **bundle, tp_llm **ret_llm,
                                  tapeout_error *err);
// The same checks, and an outline of the model (tp_llm_outline).
tapeout_status tp_llm_bundle_outline(const tp_env *env, const char *path, tp_llm **ret_llm,
                                     tapeout_error *err);

#endif
