// SPDX-License-Identifier: Apache-2.0
//
// A safetensors file: a JSON header that names tensors, and a buffer that they tile without a hole.
// Views into a read-only mapping; all of it is checked while it is opened.
//
// @thread immutable
#ifndef TP_SAFETENSORS_H
#define TP_SAFETENSORS_H

#include "base/tp_env.h"
#include "base/tp_str.h"

typedef struct tp_safetensors tp_safetensors;

enum { TP_SAFETENSORS_DIMS = 8 };

typedef struct tp_safetensors_tensor {
    tp_str name;
    const char *dtype; // "F32", "BF16", "I64", …
    uint32_t dim_count;
    uint64_t dims[TP_SAFETENSORS_DIMS]; // slowest first; 1 beyond dim_count
    tp_str data;
} tp_safetensors_tensor;

// E_CORRUPT for what breaks the format, naming the tensor; E_UNSUPPORTED for a dtype that is not
// known; E_LIMIT for a header beyond 100 MB.
tapeout_status tp_safetensors_open(const tp_env *env, const char *path, tp_safetensors **ret_file,
                                   tapeout_error *err);
// From memory, which is borrowed until it is closed.
tapeout_status tp_safetensors_parse(const tp_env *env, tp_str bytes, tp_safetensors **ret_file,
                                    tapeout_error *err);
void tp_safetensors_close(tp_safetensors **file); // accepts NULL inside; nulls it

size_t tp_safetensors_count(const tp_safetensors *file);
// In the order of their data.
const tp_safetensors_tensor *tp_safetensors_at(const tp_safetensors *file, size_t index);
const tp_safetensors_tensor *tp_safetensors_find(const tp_safetensors *file, tp_str name);

#endif
