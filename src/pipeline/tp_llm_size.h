// SPDX-License-Identifier: Apache-2.0
//
// What a language model will take before it is loaded: an outline of it is opened, without weights,
// and asked. The figures are those of full use; a process that answers little touches less.
#ifndef TP_LLM_SIZE_H
#define TP_LLM_SIZE_H

#include "llm/schedule/tp_scheduler.h"

// An outline (tp_llm.h) of a GGUF file or a bundle, and what is known without options.
typedef struct tp_llm_size {
    tp_llm *outline;
    struct tp_llm_count *count;
    bool is_mapped;         // the weights are a bundle's: pages of the file, which processes share
    uint64_t weights_bytes; // packed
    uint64_t tables_bytes;  // tokenizer, metadata, vectors
} tp_llm_size;

tapeout_status tp_llm_size_open(const tp_env *env, const char *path, tp_llm_size *ret_size,
                                tapeout_error *err);
void tp_llm_size_close(tp_llm_size *size); // accepts one that is all zeros

// All of it together with a scheduler of these options, of which `ret_run` (may be NULL) tells
// more.
tapeout_status tp_llm_size_total(const tp_llm_size *size, const tp_scheduler_options *options,
                                 tp_scheduler_memory *ret_run, uint64_t *ret_bytes,
                                 tapeout_error *err);

#endif
