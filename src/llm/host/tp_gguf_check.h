// SPDX-License-Identifier: Apache-2.0
//
// Opening a GGUF file that somebody else has made: read in a sandbox first, then here.
#ifndef TP_GGUF_CHECK_H
#define TP_GGUF_CHECK_H

#include "llm/gguf/tp_gguf.h"

// What a file is opened for says how much of it is tried in the sandbox.
typedef enum tp_gguf_use {
    TP_GGUF_FOR_TENSORS,   // keys and tensors
    TP_GGUF_FOR_TOKENS,    // and the tokenizer
    TP_GGUF_FOR_SHAPES,    // and the facts, and which weights there are
    TP_GGUF_FOR_ANSWERING, // and the chat template
} tp_gguf_use;

// As tp_gguf_open. What the sandbox refuses is refused with its status and its sentence; a file
// that crashes it is E_CORRUPT, that it has not read in time E_TIMEOUT. E_UNAVAILABLE where the
// kernel locks nothing up.
tapeout_status tp_gguf_open_checked(const tp_env *env, const char *path, tp_gguf_use use,
                                    tp_gguf **ret_gguf, tapeout_error *err);

#endif
