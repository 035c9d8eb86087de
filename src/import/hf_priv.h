// SPDX-License-Identifier: Apache-2.0
//
// What the readers of a Hugging Face folder share: its JSON files and numbers out of them.
#ifndef HF_PRIV_H
#define HF_PRIV_H

#include "base/tp_arena.h"
#include "llm/gguf/tp_gguf_write.h"
#include "table/tp_json.h"

// A JSON file of the folder, kept until `hf_json_free`. With `is_optional` an absent file gives
// NULL.
typedef struct hf_json {
    tp_str text;
    yyjson_doc *doc; // NULL: absent
} hf_json;

tapeout_status tp_hf_json_read(const tp_env *env, const char *folder, const char *name,
                               bool is_optional, hf_json *ret_json, tapeout_error *err);
void tp_hf_json_free(const tp_env *env, hf_json *json);
yyjson_val *tp_hf_json_root(const hf_json *json); // NULL where the file is absent

// A whole number of at most `max`; E_CORRUPT names file and key.
tapeout_status tp_hf_json_count(const hf_json *json, const char *file, const char *key,
                                uint64_t max, uint32_t *ret_value, tapeout_error *err);

// The WordPiece vocabulary of a folder as tokenizer.ggml.* keys; `*ret_count` is its size.
tapeout_status tp_hf_wordpiece(const tp_env *env, const char *folder, tp_gguf_builder *builder,
                               uint32_t *ret_count, tapeout_error *err);

#endif
