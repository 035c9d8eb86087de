// SPDX-License-Identifier: Apache-2.0
//
// Parsing one GGUF file: header, key-values, tensor infos, places of the data. Layout as in the
// GGUF specification (ggml, docs/gguf.md), versions 2 and 3, little-endian. Everything is read
// through the cursor; a count is compared with its limit and with what the bytes that are left
// could hold before memory is asked for. What it refuses beyond what the format forbids: arrays in
// arrays, tensors that are not laid one behind the other in the order of their infos, names that
// stand twice.
#include "llm/gguf/gguf_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_cursor.h"
#include "base/tp_error.h"

#include <stdio.h>
#include <string.h>

enum {
    MIN_KV_BYTES = 8 + 1 + 4 + 1,             // length, key, kind, value
    MIN_TENSOR_BYTES = 8 + 1 + 4 + 8 + 4 + 8, // length, name, count, one dimension, type, offset
    MIN_ALIGNMENT = 8
};

typedef struct reader {
    tp_cursor cursor;
    tp_gguf *gguf;
    char subject[112]; // what is being read, for messages
} reader;

static unsigned long long at(const reader *in)
{
    return (unsigned long long)in->cursor.position;
}

// "key 3 (general.name)"
static void set_subject(reader *in, const char *what, size_t index, tp_str name)
{
    const int size = name.size > 64 ? 64 : (int)name.size;
    (void)snprintf(in->subject, sizeof(in->subject), size > 0 ? "%s %zu (%.*s)" : "%s %zu", what,
                   index, size, name.data); // a cut message is still one
}

static tapeout_status cut_short(const reader *in, const char *what, tapeout_error *err)
{
    return tp_fail_at(err, TAPEOUT_E_CORRUPT, in->cursor.position,
                      "gguf: %s: the file ends in its %s, at byte %llu of %zu", in->subject, what,
                      at(in), in->cursor.size);
}

static tapeout_status read_string(reader *in, const char *what, uint64_t max_size, tp_str *ret_text,
                                  tapeout_error *err)
{
    const unsigned long long start = at(in);
    const uint64_t size = tp_cursor_u64(&in->cursor);
    if (in->cursor.failed) {
        return cut_short(in, what, err);
    }
    if (size > tp_cursor_left(&in->cursor)) {
        return tp_fail_at(err, TAPEOUT_E_CORRUPT, start,
                          "gguf: %s: %s of %llu bytes at byte %llu exceeds the file (%zu bytes)",
                          in->subject, what, (unsigned long long)size, start, in->cursor.size);
    }
    if (size > max_size) {
        return tp_fail_at(err, TAPEOUT_E_LIMIT, start,
                          "gguf: %s: %s of %llu bytes at byte %llu; at most %llu are taken",
                          in->subject, what, (unsigned long long)size, start,
                          (unsigned long long)max_size);
    }
    *ret_text = tp_cursor_bytes(&in->cursor, (size_t)size);
    return TAPEOUT_OK;
}

// Names go into messages, paths of other programs and C strings: no control characters, none empty.
static tapeout_status check_name(const reader *in, const char *what, tp_str name,
                                 tapeout_error *err)
{
    if (name.size == 0) {
        return tp_fail_at(err, TAPEOUT_E_CORRUPT, in->cursor.position, "gguf: %s: the %s is empty",
                          in->subject, what);
    }
    for (size_t i = 0; i < name.size; i++) {
        if ((unsigned char)name.data[i] < 0x20 || name.data[i] == 0x7f) {
            return tp_fail_at(err, TAPEOUT_E_CORRUPT, in->cursor.position,
                              "gguf: %s: the %s has byte 0x%02x, a control character", in->subject,
                              what, (unsigned char)name.data[i]);
        }
    }
    return TAPEOUT_OK;
}

// Numbers `name` in `dict`, where it must be new.
static tapeout_status add_name(const reader *in, const char *what, tp_dict *dict, tp_str name,
                               tapeout_error *err)
{
    const uint32_t expected = dict->count;
    uint32_t index = 0;
    const tapeout_status status = tp_dict_add(dict, name, &index);
    if (status != TAPEOUT_OK) {
        return status == TAPEOUT_E_NOMEM
                   ? tp_fail_nomem(err)
                   : tp_fail(err, status, "gguf: %s: the %ss of this file are too many or collide",
                             in->subject, what);
    }
    if (index != expected) {
        return tp_fail_at(err, TAPEOUT_E_CORRUPT, in->cursor.position,
                          "gguf: %s: the %s \"%.*s\" stands twice", in->subject, what,
                          TP_STR_ARGS(name));
    }
    return TAPEOUT_OK;
}

// -- key-values ----------------------------------------------------------------------------------

size_t tp_gguf_kind_size(uint32_t kind)
{
    static const uint8_t sizes[GGUF_KIND_END] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return kind < GGUF_KIND_END ? sizes[kind] : 0;
}

static tapeout_status check_bools(const reader *in, const uint8_t *data, uint64_t count,
                                  tapeout_error *err)
{
    for (uint64_t i = 0; i < count; i++) {
        if (data[i] > 1) {
            return tp_fail(err, TAPEOUT_E_CORRUPT, "gguf: %s: a bool has the value %u, not 0 or 1",
                           in->subject, data[i]);
        }
    }
    return TAPEOUT_OK;
}

// Remembers where each string begins, so that a vocabulary is read by index.
static tapeout_status read_strings(reader *in, tp_gguf_array *array, tapeout_error *err)
{
    if (array->count > tp_cursor_left(&in->cursor) / 8) {
        return cut_short(in, "array of strings", err);
    }
    const size_t begin = in->cursor.position;
    uint32_t *offsets = tp_alloc_array(in->gguf->alloc, (size_t)array->count, sizeof(*offsets));
    if (offsets == NULL) {
        return tp_fail_nomem(err);
    }
    array->data = in->cursor.data + begin;
    array->offsets = offsets; // freed with the file from here on
    for (uint64_t i = 0; i < array->count; i++) {
        tp_str text;
        if (in->cursor.position - begin > UINT32_MAX) {
            return tp_fail(err, TAPEOUT_E_LIMIT, "gguf: %s: an array of more than 4 GiB",
                           in->subject);
        }
        offsets[i] = (uint32_t)(in->cursor.position - begin);
        TP_TRY(read_string(in, "string", TP_MAX_GGUF_STRING_BYTES, &text, err));
    }
    return TAPEOUT_OK;
}

static tapeout_status read_array(reader *in, tp_gguf_array *array, tapeout_error *err)
{
    const uint32_t kind = tp_cursor_u32(&in->cursor);
    const uint64_t count = tp_cursor_u64(&in->cursor);
    if (in->cursor.failed) {
        return cut_short(in, "array", err);
    }
    if (kind == TP_GGUF_ARRAY || kind >= GGUF_KIND_END) {
        return tp_fail_at(err, TAPEOUT_E_CORRUPT, in->cursor.position,
                          "gguf: %s: an array of kind %u; arrays hold numbers, bools or strings",
                          in->subject, kind);
    }
    if (count > TP_MAX_GGUF_ARRAY_ITEMS) {
        return tp_fail_at(err, TAPEOUT_E_LIMIT, in->cursor.position,
                          "gguf: %s: an array of %llu items; at most %u are taken", in->subject,
                          (unsigned long long)count, TP_MAX_GGUF_ARRAY_ITEMS);
    }
    array->kind = (tp_gguf_kind)kind;
    array->count = count;
    if (kind == TP_GGUF_STRING) {
        return read_strings(in, array, err);
    }
    array->data = tp_cursor_array(&in->cursor, count, tp_gguf_kind_size(kind));
    if (array->data == NULL) {
        return cut_short(in, "array", err);
    }
    return kind == TP_GGUF_BOOL ? check_bools(in, array->data, count, err) : TAPEOUT_OK;
}

static tapeout_status read_number(reader *in, tp_gguf_value *value, tapeout_error *err)
{
    tp_cursor *cursor = &in->cursor;
    switch (value->kind) {
    case TP_GGUF_U8:
    case TP_GGUF_BOOL:
        value->u64 = tp_cursor_u8(cursor);
        break;
    case TP_GGUF_I8:
        value->i64 = (int8_t)tp_cursor_u8(cursor);
        break;
    case TP_GGUF_U16:
        value->u64 = tp_cursor_u16(cursor);
        break;
    case TP_GGUF_I16:
        value->i64 = (int16_t)tp_cursor_u16(cursor);
        break;
    case TP_GGUF_U32:
        value->u64 = tp_cursor_u32(cursor);
        break;
    case TP_GGUF_I32:
        value->i64 = tp_cursor_i32(cursor);
        break;
    case TP_GGUF_F32:
        value->f64 = (double)tp_cursor_f32(cursor);
        break;
    case TP_GGUF_U64:
        value->u64 = tp_cursor_u64(cursor);
        break;
    case TP_GGUF_I64:
        value->i64 = tp_cursor_i64(cursor);
        break;
    case TP_GGUF_F64:
        value->f64 = tp_cursor_f64(cursor);
        break;
    case TP_GGUF_STRING:
    case TP_GGUF_ARRAY:
        break; // not numbers
    }
    if (cursor->failed) {
        return cut_short(in, "value", err);
    }
    if (value->kind == TP_GGUF_BOOL) {
        const uint8_t byte = (uint8_t)value->u64;
        TP_TRY(check_bools(in, &byte, 1, err));
        value->boolean = byte == 1;
    }
    return TAPEOUT_OK;
}

static tapeout_status read_value(reader *in, tp_gguf_value *value, tapeout_error *err)
{
    const uint32_t kind = tp_cursor_u32(&in->cursor);
    if (in->cursor.failed) {
        return cut_short(in, "kind", err);
    }
    if (kind >= GGUF_KIND_END) {
        return tp_fail_at(err, TAPEOUT_E_CORRUPT, in->cursor.position,
                          "gguf: %s: kind %u does not exist (0 to 12 do)", in->subject, kind);
    }
    const size_t begin = in->cursor.position;
    value->kind = (tp_gguf_kind)kind;
    if (kind == TP_GGUF_STRING) {
        TP_TRY(read_string(in, "string", TP_MAX_GGUF_STRING_BYTES, &value->string, err));
    } else if (kind == TP_GGUF_ARRAY) {
        TP_TRY(read_array(in, &value->array, err));
    } else {
        TP_TRY(read_number(in, value, err));
    }
    value->bytes = (tp_str){(const char *)in->cursor.data + begin, in->cursor.position - begin};
    return TAPEOUT_OK;
}

static tapeout_status read_kvs(reader *in, size_t count, tapeout_error *err)
{
    tp_gguf *gguf = in->gguf;
    for (size_t i = 0; i < count; i++) {
        tp_gguf_kv *kv = &gguf->kvs[i];
        set_subject(in, "key", i, (tp_str){NULL, 0});
        TP_TRY(read_string(in, "key", TP_MAX_GGUF_KEY_BYTES, &kv->key, err));
        TP_TRY(check_name(in, "key", kv->key, err));
        set_subject(in, "key", i, kv->key);
        TP_TRY(add_name(in, "key", &gguf->keys, kv->key, err));
        gguf->kv_count = i + 1; // an array of a value that fails is freed too
        TP_TRY(read_value(in, &kv->value, err));
    }
    return TAPEOUT_OK;
}

// -- tensors -------------------------------------------------------------------------------------

static tapeout_status read_dims(reader *in, tp_gguf_tensor *tensor, tapeout_error *err)
{
    tensor->dim_count = tp_cursor_u32(&in->cursor);
    if (in->cursor.failed) {
        return cut_short(in, "number of dimensions", err);
    }
    if (tensor->dim_count < 1 || tensor->dim_count > TP_GGUF_DIMS) {
        return tp_fail_at(err, TAPEOUT_E_CORRUPT, in->cursor.position,
                          "gguf: %s: %u dimensions; 1 to %d are possible", in->subject,
                          tensor->dim_count, TP_GGUF_DIMS);
    }
    uint64_t total = 1;
    for (uint32_t d = 0; d < TP_GGUF_DIMS; d++) {
        tensor->dims[d] = d < tensor->dim_count ? tp_cursor_u64(&in->cursor) : 1;
        if (in->cursor.failed) {
            return cut_short(in, "dimensions", err);
        }
        if (tensor->dims[d] == 0 || __builtin_mul_overflow(total, tensor->dims[d], &total) ||
            total > TP_MAX_GGUF_WEIGHTS) {
            return tp_fail_at(err, TAPEOUT_E_CORRUPT, in->cursor.position,
                              "gguf: %s: dimension %u is %llu; each must be at least 1, their "
                              "product at most %llu",
                              in->subject, d, (unsigned long long)tensor->dims[d],
                              (unsigned long long)TP_MAX_GGUF_WEIGHTS);
        }
    }
    tensor->size_bytes = total; // in weights until the type is known
    return TAPEOUT_OK;
}

static tapeout_status read_type(reader *in, tp_gguf_tensor *tensor, tapeout_error *err)
{
    const uint32_t type = tp_cursor_u32(&in->cursor);
    if (in->cursor.failed) {
        return cut_short(in, "type", err);
    }
    const tp_tensor_layout *layout = tp_tensor_layout_of(type);
    if (layout->name == NULL) {
        return tp_fail_at(err, TAPEOUT_E_CORRUPT, in->cursor.position,
                          "gguf: %s: tensor type %u does not exist or was retired", in->subject,
                          type);
    }
    if (layout->block_length == 0) {
        return tp_fail_at(
            err, TAPEOUT_E_UNSUPPORTED, in->cursor.position,
            "gguf: %s: tensors of type %s are not taken; convert the model to another "
            "type, such as Q4_K or Q8_0",
            in->subject, layout->name);
    }
    if (tensor->dims[0] % layout->block_length != 0) {
        return tp_fail_at(err, TAPEOUT_E_CORRUPT, in->cursor.position,
                          "gguf: %s: rows of %llu weights are not whole blocks of %u (type %s)",
                          in->subject, (unsigned long long)tensor->dims[0], layout->block_length,
                          layout->name);
    }
    tensor->type = (tp_tensor_type)type;
    tensor->size_bytes = tp_tensor_row_bytes(tensor->type, tensor->size_bytes);
    return TAPEOUT_OK;
}

// `*place` is where the next tensor must begin, from the start of the data.
static tapeout_status read_tensor(reader *in, size_t index, uint64_t alignment, uint64_t *place,
                                  tapeout_error *err)
{
    tp_gguf_tensor *tensor = &in->gguf->tensors[index];
    set_subject(in, "tensor", index, (tp_str){NULL, 0});
    TP_TRY(read_string(in, "name", TP_MAX_GGUF_NAME_BYTES, &tensor->name, err));
    TP_TRY(check_name(in, "name", tensor->name, err));
    set_subject(in, "tensor", index, tensor->name);
    TP_TRY(add_name(in, "name", &in->gguf->names, tensor->name, err));
    TP_TRY(read_dims(in, tensor, err));
    TP_TRY(read_type(in, tensor, err));
    const uint64_t offset = tp_cursor_u64(&in->cursor);
    if (in->cursor.failed) {
        return cut_short(in, "offset", err);
    }
    if (offset != *place) {
        return tp_fail_at(err, TAPEOUT_E_CORRUPT, in->cursor.position,
                          "gguf: %s: offset %llu; behind the tensor before it, aligned to %llu, "
                          "would be %llu",
                          in->subject, (unsigned long long)offset, (unsigned long long)alignment,
                          (unsigned long long)*place);
    }
    if (__builtin_add_overflow(offset, tensor->size_bytes, place) ||
        *place > (uint64_t)INT64_MAX - alignment) {
        return tp_fail_at(err, TAPEOUT_E_CORRUPT, in->cursor.position,
                          "gguf: %s: its data of %llu bytes ends beyond any file", in->subject,
                          (unsigned long long)tensor->size_bytes);
    }
    *place = (*place + alignment - 1) & ~(alignment - 1);
    in->gguf->tensor_count = index + 1;
    return TAPEOUT_OK;
}

static tapeout_status place_data(reader *in, uint64_t alignment, tapeout_error *err)
{
    if (in->gguf->tensor_count > 0 && !tp_cursor_align(&in->cursor, (size_t)alignment)) {
        return cut_short(in, "padding", err);
    }
    for (size_t i = 0; i < in->gguf->tensor_count; i++) {
        tp_gguf_tensor *tensor = &in->gguf->tensors[i];
        const size_t begin = in->cursor.position;
        set_subject(in, "tensor", i, tensor->name);
        if (tensor->size_bytes > tp_cursor_left(&in->cursor)) {
            return tp_fail_at(err, TAPEOUT_E_CORRUPT, begin,
                              "gguf: %s: its data, %llu bytes from byte %zu, exceeds the file "
                              "(%zu bytes)",
                              in->subject, (unsigned long long)tensor->size_bytes, begin,
                              in->cursor.size);
        }
        tensor->data = tp_cursor_bytes(&in->cursor, (size_t)tensor->size_bytes);
        // The padding of the last tensor may be missing.
        if (i + 1 < in->gguf->tensor_count && !tp_cursor_align(&in->cursor, (size_t)alignment)) {
            return cut_short(in, "padding", err);
        }
    }
    return TAPEOUT_OK;
}

// -- the file ------------------------------------------------------------------------------------

static tapeout_status read_header(reader *in, size_t *ret_tensors, size_t *ret_kvs,
                                  tapeout_error *err)
{
    const tp_str magic = tp_cursor_bytes(&in->cursor, 4);
    if (in->cursor.failed || memcmp(magic.data, "GGUF", 4) != 0) {
        return tp_fail_at(err, TAPEOUT_E_CORRUPT, 0,
                          "gguf: the file does not begin with \"GGUF\"; it is of another kind or "
                          "damaged");
    }
    const uint32_t version = tp_cursor_u32(&in->cursor);
    if (!in->cursor.failed && version != 0 && (version & 0xffff) == 0) {
        return tp_fail_at(err, TAPEOUT_E_UNSUPPORTED, 4,
                          "gguf: the file is big-endian; convert it to little-endian first");
    }
    if (!in->cursor.failed && version != 2 && version != 3) {
        return tp_fail_at(err, TAPEOUT_E_UNSUPPORTED, 4,
                          "gguf: version %u; versions 2 and 3 are read", version);
    }
    const uint64_t tensors = tp_cursor_u64(&in->cursor);
    const uint64_t kvs = tp_cursor_u64(&in->cursor);
    if (in->cursor.failed) {
        return cut_short(in, "counts", err);
    }
    const size_t left = tp_cursor_left(&in->cursor);
    if (kvs > TP_MAX_GGUF_KEYS || kvs > left / MIN_KV_BYTES) {
        return tp_fail_at(err, TAPEOUT_E_CORRUPT, 16,
                          "gguf: %llu keys are announced; the file's %zu bytes have no room for "
                          "them, or they are more than %u",
                          (unsigned long long)kvs, in->cursor.size, TP_MAX_GGUF_KEYS);
    }
    if (tensors > TP_MAX_GGUF_TENSORS || tensors > left / MIN_TENSOR_BYTES) {
        return tp_fail_at(err, TAPEOUT_E_CORRUPT, 8,
                          "gguf: %llu tensors are announced; the file's %zu bytes have no room for "
                          "them, or they are more than %u",
                          (unsigned long long)tensors, in->cursor.size, TP_MAX_GGUF_TENSORS);
    }
    *ret_tensors = (size_t)tensors;
    *ret_kvs = (size_t)kvs;
    return TAPEOUT_OK;
}

static tapeout_status read_alignment(const tp_gguf *gguf, uint64_t *ret_alignment,
                                     tapeout_error *err)
{
    uint64_t alignment = GGUF_DEFAULT_ALIGNMENT;
    if (tp_gguf_has(gguf, "general.alignment")) {
        TP_TRY(tp_gguf_get_u64(gguf, "general.alignment", MIN_ALIGNMENT, TP_MAX_GGUF_ALIGNMENT,
                               &alignment, err));
    }
    if ((alignment & (alignment - 1)) != 0) {
        return tp_fail(err, TAPEOUT_E_CORRUPT,
                       "gguf: general.alignment is %llu, which is no power of two",
                       (unsigned long long)alignment);
    }
    *ret_alignment = alignment;
    return TAPEOUT_OK;
}

static tapeout_status read_file(reader *in, bool has_data, tapeout_error *err)
{
    tp_gguf *gguf = in->gguf;
    TP_TRY(read_header(in, &gguf->tensor_capacity, &gguf->kv_capacity, err));
    gguf->kvs = tp_alloc_array_zero(gguf->alloc, gguf->kv_capacity, sizeof(*gguf->kvs));
    gguf->tensors = tp_alloc_array_zero(gguf->alloc, gguf->tensor_capacity, sizeof(*gguf->tensors));
    if (gguf->kvs == NULL || gguf->tensors == NULL) {
        return tp_fail_nomem(err);
    }
    TP_TRY(read_kvs(in, gguf->kv_capacity, err));
    uint64_t alignment = 0;
    uint64_t place = 0;
    TP_TRY(read_alignment(gguf, &alignment, err));
    for (size_t i = 0; i < gguf->tensor_capacity; i++) {
        TP_TRY(read_tensor(in, i, alignment, &place, err));
    }
    return has_data ? place_data(in, alignment, err) : TAPEOUT_OK;
}

tapeout_status tp_gguf_read(const tp_env *env, tp_str bytes, bool has_data, tp_gguf **ret_gguf,
                            tapeout_error *err)
{
    tp_gguf *gguf = tp_alloc_zero(env->alloc, sizeof(*gguf));
    if (gguf == NULL) {
        return tp_fail_nomem(err);
    }
    gguf->alloc = env->alloc;
    tp_dict_init(&gguf->keys, env->alloc);
    tp_dict_init(&gguf->names, env->alloc);
    reader in = {.gguf = gguf, .subject = "header"};
    tp_cursor_init(&in.cursor, bytes.data, bytes.size);
    const tapeout_status status = read_file(&in, has_data, err);
    if (status != TAPEOUT_OK) {
        tp_gguf_close(&gguf);
        return status;
    }
    *ret_gguf = gguf;
    return TAPEOUT_OK;
}
