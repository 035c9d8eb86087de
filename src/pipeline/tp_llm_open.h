// SPDX-License-Identifier: Apache-2.0
//
// From a MODEL argument's path to a language model: what it is told by its first bytes.
#ifndef TP_LLM_OPEN_H
#define TP_LLM_OPEN_H

#include "llm/model/tp_llm.h"

#include <tapeout/context.h>

// True when the file begins as a GGUF file does, or is a bundle of a language model.
bool tp_llm_path_is_model(const char *path);

// A GGUF file (packed in memory) or a bundle of kind "llm" (mapped). E_UNSUPPORTED for anything
// else, saying what it is.
tapeout_status tp_llm_open_path(const tp_env *env, const char *path, tp_llm **ret_llm,
                                tapeout_error *err);

#endif
