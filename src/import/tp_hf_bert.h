// SPDX-License-Identifier: Apache-2.0
//
// A folder as Hugging Face has it, with a BERT sentence model: config.json, tokenizer.json (or
// vocab.txt), model.safetensors, and 1_Pooling/config.json where there is one. It becomes the
// key-values and tensors of a GGUF file of architecture "bert", under llama.cpp's names.
//
// @thread confined
#ifndef TP_HF_BERT_H
#define TP_HF_BERT_H

#include "llm/gguf/tp_gguf_write.h"

typedef struct tp_hf_bert tp_hf_bert;

// E_UNSUPPORTED for another kind of model, E_CORRUPT naming the file and key or tensor that is
// missing or wrong.
tapeout_status tp_hf_bert_open(const tp_env *env, const char *folder, tp_hf_bert **ret_model,
                               tapeout_error *err);
void tp_hf_bert_close(tp_hf_bert **model); // accepts NULL inside; nulls it

// Everything, with data; valid until tp_hf_bert_close.
const tp_gguf_builder *tp_hf_bert_builder(const tp_hf_bert *model);

#endif
