// SPDX-License-Identifier: Apache-2.0
//
// Writing GGUF: the key-values are kept as the bytes that they become, the tensors as infos whose
// places follow from their order. What has been rendered is parsed by our own reader before it is
// used, so that a file we write is a file we read, and there is one list of what is allowed.
#include "llm/gguf/tp_gguf_write.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"

#include <assert.h>
#include <string.h>

enum { ALIGNMENT = 32, VERSION = 3 };

void tp_gguf_builder_init(tp_gguf_builder *builder, const tapeout_allocator *alloc)
{
    *builder = (tp_gguf_builder){0};
    tp_buffer_init(&builder->kvs, alloc, TP_MAX_GGUF_METADATA_BYTES);
    tp_buffer_init(&builder->tensors, alloc, TP_MAX_GGUF_TENSORS * sizeof(tp_gguf_tensor));
}

void tp_gguf_builder_deinit(tp_gguf_builder *builder)
{
    tp_buffer_deinit(&builder->kvs);
    tp_buffer_deinit(&builder->tensors);
}

// -- key-values ----------------------------------------------------------------------------------

static void append_string(tp_buffer *out, tp_str text)
{
    tp_buffer_append_u64le(out, text.size);
    tp_buffer_append_str(out, text);
}

static void begin_kv(tp_gguf_builder *builder, tp_str key, tp_gguf_kind kind)
{
    append_string(&builder->kvs, key);
    tp_buffer_append_u32le(&builder->kvs, (uint32_t)kind);
    builder->kv_count++;
}

static void begin_array(tp_gguf_builder *builder, const char *key, tp_gguf_kind kind, size_t count)
{
    begin_kv(builder, tp_str_from(key), TP_GGUF_ARRAY);
    tp_buffer_append_u32le(&builder->kvs, (uint32_t)kind);
    tp_buffer_append_u64le(&builder->kvs, count);
}

static uint32_t float_bits(float value)
{
    uint32_t bits = 0;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

void tp_gguf_builder_u32(tp_gguf_builder *builder, const char *key, uint32_t value)
{
    begin_kv(builder, tp_str_from(key), TP_GGUF_U32);
    tp_buffer_append_u32le(&builder->kvs, value);
}

void tp_gguf_builder_f32(tp_gguf_builder *builder, const char *key, float value)
{
    begin_kv(builder, tp_str_from(key), TP_GGUF_F32);
    tp_buffer_append_u32le(&builder->kvs, float_bits(value));
}

void tp_gguf_builder_bool(tp_gguf_builder *builder, const char *key, bool value)
{
    begin_kv(builder, tp_str_from(key), TP_GGUF_BOOL);
    tp_buffer_append_char(&builder->kvs, value ? 1 : 0);
}

void tp_gguf_builder_str(tp_gguf_builder *builder, const char *key, tp_str value)
{
    begin_kv(builder, tp_str_from(key), TP_GGUF_STRING);
    append_string(&builder->kvs, value);
}

void tp_gguf_builder_strings(tp_gguf_builder *builder, const char *key, const tp_str *values,
                             size_t count)
{
    begin_array(builder, key, TP_GGUF_STRING, count);
    for (size_t i = 0; i < count; i++) {
        append_string(&builder->kvs, values[i]);
    }
}

void tp_gguf_builder_i32s(tp_gguf_builder *builder, const char *key, const int32_t *values,
                          size_t count)
{
    begin_array(builder, key, TP_GGUF_I32, count);
    for (size_t i = 0; i < count; i++) {
        tp_buffer_append_u32le(&builder->kvs, (uint32_t)values[i]);
    }
}

void tp_gguf_builder_f32s(tp_gguf_builder *builder, const char *key, const float *values,
                          size_t count)
{
    begin_array(builder, key, TP_GGUF_F32, count);
    for (size_t i = 0; i < count; i++) {
        tp_buffer_append_u32le(&builder->kvs, float_bits(values[i]));
    }
}

void tp_gguf_builder_copy(tp_gguf_builder *builder, const tp_gguf_kv *kv)
{
    begin_kv(builder, kv->key, kv->value.kind);
    tp_buffer_append_str(&builder->kvs, kv->value.bytes);
}

// -- tensors -------------------------------------------------------------------------------------

void tp_gguf_builder_tensor(tp_gguf_builder *builder, const tp_gguf_tensor *tensor)
{
    tp_gguf_tensor added = *tensor;
    uint64_t rows = 1;
    for (uint32_t d = 0; d < TP_GGUF_DIMS; d++) {
        added.dims[d] = d < tensor->dim_count ? tensor->dims[d] : 1;
        rows *= d > 0 ? added.dims[d] : 1; // dims of a parsed or made tensor: their product fits
    }
    added.size_bytes = tp_tensor_row_bytes(added.type, added.dims[0]) * rows;
    assert(added.data.data == NULL || added.data.size == added.size_bytes);
    tp_buffer_append(&builder->tensors, &added, sizeof(added));
}

size_t tp_gguf_builder_tensor_count(const tp_gguf_builder *builder)
{
    return builder->tensors.size / sizeof(tp_gguf_tensor);
}

tp_gguf_tensor tp_gguf_builder_tensor_at(const tp_gguf_builder *builder, size_t index)
{
    tp_gguf_tensor tensor;
    memcpy(&tensor, builder->tensors.data + index * sizeof(tensor), sizeof(tensor));
    return tensor;
}

void tp_gguf_builder_copy_all(tp_gguf_builder *builder, const tp_gguf *gguf)
{
    for (size_t i = 0; i < tp_gguf_kv_count(gguf); i++) {
        const tp_gguf_kv *kv = tp_gguf_kv_at(gguf, i);
        if (!tp_str_equal(kv->key, TP_STR("general.alignment")) &&
            !tp_str_has_prefix(kv->key, TP_STR("split."))) {
            tp_gguf_builder_copy(builder, kv);
        }
    }
    for (size_t i = 0; i < tp_gguf_tensor_count(gguf); i++) {
        tp_gguf_builder_tensor(builder, tp_gguf_tensor_at(gguf, i));
    }
}

static uint64_t align_up(uint64_t value)
{
    return (value + ALIGNMENT - 1) & ~(uint64_t)(ALIGNMENT - 1);
}

tapeout_status tp_gguf_builder_check(const tp_gguf_builder *builder, tapeout_error *err)
{
    TP_TRY(tp_buffer_check(&builder->kvs, "gguf: key-values", err));
    return tp_buffer_check(&builder->tensors, "gguf: tensors", err);
}

tapeout_status tp_gguf_builder_render(const tp_gguf_builder *builder, tp_buffer *ret_bytes,
                                      tapeout_error *err)
{
    TP_TRY(tp_gguf_builder_check(builder, err));
    const size_t count = tp_gguf_builder_tensor_count(builder);
    tp_buffer_append_text(ret_bytes, "GGUF");
    tp_buffer_append_u32le(ret_bytes, VERSION);
    tp_buffer_append_u64le(ret_bytes, count);
    tp_buffer_append_u64le(ret_bytes, builder->kv_count);
    tp_buffer_append_str(ret_bytes, tp_buffer_view(&builder->kvs));
    uint64_t place = 0;
    for (size_t i = 0; i < count; i++) {
        const tp_gguf_tensor tensor = tp_gguf_builder_tensor_at(builder, i);
        append_string(ret_bytes, tensor.name);
        tp_buffer_append_u32le(ret_bytes, tensor.dim_count);
        for (uint32_t d = 0; d < tensor.dim_count; d++) {
            tp_buffer_append_u64le(ret_bytes, tensor.dims[d]);
        }
        tp_buffer_append_u32le(ret_bytes, (uint32_t)tensor.type);
        tp_buffer_append_u64le(ret_bytes, place);
        place = align_up(place + tensor.size_bytes);
    }
    TP_TRY(tp_buffer_check(ret_bytes, "gguf: metadata", err));
    tp_gguf *read_back = NULL;
    tp_env env = tp_env_plain();
    env.alloc = ret_bytes->alloc;
    TP_TRY(tp_gguf_parse_metadata(&env, tp_buffer_view(ret_bytes), &read_back, err));
    tp_gguf_close(&read_back);
    return TAPEOUT_OK;
}

// -- the file ------------------------------------------------------------------------------------

static tapeout_status pad(tp_writer *writer, tapeout_error *err)
{
    static const char zeros[ALIGNMENT];
    const uint64_t end = tp_writer_position(writer);
    return tp_writer_write(writer, zeros, (size_t)(align_up(end) - end), err);
}

typedef struct fill_job {
    tp_gguf_fill_fn fill;
    void *user;
} fill_job;

static tapeout_status write_data(tp_writer *writer, const tp_gguf_builder *builder, fill_job job,
                                 tapeout_error *err)
{
    for (size_t i = 0; i < tp_gguf_builder_tensor_count(builder); i++) {
        const tp_gguf_tensor tensor = tp_gguf_builder_tensor_at(builder, i);
        const uint64_t begin = tp_writer_position(writer);
        if (tensor.data.data != NULL) {
            TP_TRY(tp_writer_write(writer, tensor.data.data, tensor.data.size, err));
        } else if (job.fill != NULL) {
            TP_TRY(job.fill(job.user, i, writer, err));
        }
        if (tp_writer_position(writer) - begin != tensor.size_bytes) {
            return tp_fail(err, TAPEOUT_E_INTERNAL,
                           "gguf: tensor \"%.*s\" was written with %llu bytes, not %llu",
                           TP_STR_ARGS(tensor.name),
                           (unsigned long long)(tp_writer_position(writer) - begin),
                           (unsigned long long)tensor.size_bytes);
        }
        TP_TRY(pad(writer, err));
    }
    return TAPEOUT_OK;
}

tapeout_status tp_gguf_write(const tp_env *env, const char *path, const tp_gguf_builder *builder,
                             tp_gguf_fill_fn fill, void *user, tapeout_error *err)
{
    tp_writer *writer = NULL;
    tp_buffer metadata;
    tp_buffer_init(&metadata, env->alloc, TP_MAX_GGUF_METADATA_BYTES);
    tapeout_status status = tp_gguf_builder_render(builder, &metadata, err);
    if (status == TAPEOUT_OK) {
        status = tp_writer_open(env->alloc, path, &writer, err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_writer_write(writer, metadata.data, metadata.size, err);
    }
    if (status == TAPEOUT_OK) {
        status = pad(writer, err);
    }
    if (status == TAPEOUT_OK) {
        status = write_data(writer, builder, (fill_job){fill, user}, err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_writer_commit(&writer, err);
    }
    tp_writer_abort(&writer);
    tp_buffer_deinit(&metadata);
    return status;
}
