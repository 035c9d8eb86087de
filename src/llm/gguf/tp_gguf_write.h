// SPDX-License-Identifier: Apache-2.0
//
// Making a GGUF file (version 3, alignment 32): key-values and tensors are gathered, then written
// in the order in which they came. The same content gives the same bytes. Adding never fails by
// itself: the first failure is remembered and returned by whoever renders or writes.
#ifndef TP_GGUF_WRITE_H
#define TP_GGUF_WRITE_H

#include "llm/gguf/tp_gguf.h"

#include "base/tp_buffer.h"
#include "base/tp_file.h"

typedef struct tp_gguf_builder {
    tp_buffer kvs; // as in the file
    uint64_t kv_count;
    tp_buffer tensors; // tp_gguf_tensor each
} tp_gguf_builder;

void tp_gguf_builder_init(tp_gguf_builder *builder, const tapeout_allocator *alloc);
void tp_gguf_builder_deinit(tp_gguf_builder *builder);

void tp_gguf_builder_u32(tp_gguf_builder *builder, const char *key, uint32_t value);
void tp_gguf_builder_f32(tp_gguf_builder *builder, const char *key, float value);
void tp_gguf_builder_bool(tp_gguf_builder *builder, const char *key, bool value);
void tp_gguf_builder_str(tp_gguf_builder *builder, const char *key, tp_str value);
void tp_gguf_builder_strings(tp_gguf_builder *builder, const char *key, const tp_str *values,
                             size_t count);
void tp_gguf_builder_i32s(tp_gguf_builder *builder, const char *key, const int32_t *values,
                          size_t count);
void tp_gguf_builder_f32s(tp_gguf_builder *builder, const char *key, const float *values,
                          size_t count);
// As it stands in another file.
void tp_gguf_builder_copy(tp_gguf_builder *builder, const tp_gguf_kv *kv);

// Name, type and dims are used, and the data where there is any; name and data are borrowed until
// the file is written. Rows must be whole blocks of the type.
void tp_gguf_builder_tensor(tp_gguf_builder *builder, const tp_gguf_tensor *tensor);

// All tensors of another file, and its key-values but those about the file itself (alignment,
// parts). The file must outlive the builder's use.
void tp_gguf_builder_copy_all(tp_gguf_builder *builder, const tp_gguf *gguf);

// The first failure of adding.
tapeout_status tp_gguf_builder_check(const tp_gguf_builder *builder, tapeout_error *err);

size_t tp_gguf_builder_tensor_count(const tp_gguf_builder *builder);
tp_gguf_tensor tp_gguf_builder_tensor_at(const tp_gguf_builder *builder, size_t index);

// Header, key-values and tensor infos: a file of metadata (tp_gguf_parse_metadata).
tapeout_status tp_gguf_builder_render(const tp_gguf_builder *builder, tp_buffer *ret_bytes,
                                      tapeout_error *err);

// Writes the data of tensor `index`, all of its bytes, by tp_writer_write.
typedef tapeout_status (*tp_gguf_fill_fn)(void *user, size_t index, tp_writer *writer,
                                          tapeout_error *err);

// The whole file, or none. `fill` (may be NULL) is asked, in order, for tensors without data.
tapeout_status tp_gguf_write(const tp_env *env, const char *path, const tp_gguf_builder *builder,
                             tp_gguf_fill_fn fill, void *user, tapeout_error *err);

#endif
