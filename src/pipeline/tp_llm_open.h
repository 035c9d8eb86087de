// SPDX-License-Identifier: Apache-2.0
//
// From a MODEL argument's path to a language model: what it is told by its first bytes.
#ifndef TP_LLM_OPEN_H
#define TP_LLM_OPEN_H

#include "llm/model/tp_llm.h"
#include "trust/tp_trust.h"

#include <tapeout/context.h>

// True when the file begins as a GGUF file does, or is a bundle of a language model.
bool tp_llm_path_is_model(const char *path);

// A GGUF file (packed in memory) or a bundle of kind "llm" (mapped), once it is admitted.
// E_UNSUPPORTED for anything else, saying what it is; E_UNTRUSTED.
tapeout_status tp_llm_open_path(const tp_env *env, const tp_admission *asked, tp_llm **ret_llm,
                                tp_admitted *ret_admitted, tapeout_error *err);

struct tapeout_model_ref;
// What the signature of a MODEL argument is asked for, all of it borrowed.
tp_admission tp_admission_of(const tapeout_context *context, const struct tapeout_model_ref *ref);

#endif
