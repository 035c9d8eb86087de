// SPDX-License-Identifier: Apache-2.0
//
// The insides of an opened GGUF file, shared by the files that parse one, gather a split set and
// answer questions about it.
#ifndef GGUF_PRIV_H
#define GGUF_PRIV_H

#include "llm/gguf/tp_gguf.h"

#include "base/tp_dict.h"

enum { GGUF_DEFAULT_ALIGNMENT = 32, GGUF_KIND_END = 13 };

struct tp_gguf {
    const tapeout_allocator *alloc;
    tp_gguf_files files; // all zeros for a model in memory
    tp_gguf_kv *kvs;     // [kv_count]
    size_t kv_count;
    size_t kv_capacity;
    tp_dict keys; // numbers are indexes of kvs
    tp_gguf_tensor *tensors;
    size_t tensor_count;
    size_t tensor_capacity;
    tp_dict names; // numbers are indexes of tensors
};

// The whole of one file, split or not. On failure nothing is left. `has_data`: see
// tp_gguf_parse_metadata.
tapeout_status tp_gguf_read(const tp_env *env, tp_str bytes, bool has_data, tp_gguf **ret_gguf,
                            tapeout_error *err);

// Bytes of one item of `kind`; 0 for strings, arrays and numbers that are no kind.
size_t tp_gguf_kind_size(uint32_t kind);

#endif
