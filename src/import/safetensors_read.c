// SPDX-License-Identifier: Apache-2.0
//
// Reading safetensors (the format's own README): eight bytes of length, that many bytes of JSON,
// then the buffer. Each tensor's size must be what its dtype and shape say, and in the order of
// their offsets the tensors must tile the buffer: no hole, no overlap, nothing behind the last.
#include "import/tp_safetensors.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_cursor.h"
#include "base/tp_dict.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "table/tp_json.h"

#include <assert.h>
#include <stdlib.h>

struct tp_safetensors {
    const tapeout_allocator *alloc;
    tp_map map;
    yyjson_doc *header; // names are views into it
    tp_safetensors_tensor *tensors;
    size_t count;
    size_t capacity;
    tp_dict names; // numbers are indexes of tensors
};

typedef struct dtype {
    const char *name;
    size_t size;
} dtype;

static const dtype *find_dtype(tp_str name)
{
    static const dtype known[] = {{"F64", 8},  {"F32", 4},     {"F16", 2},    {"BF16", 2},
                                  {"I64", 8},  {"I32", 4},     {"I16", 2},    {"I8", 1},
                                  {"U64", 8},  {"U32", 4},     {"U16", 2},    {"U8", 1},
                                  {"BOOL", 1}, {"F8_E4M3", 1}, {"F8_E5M2", 1}};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (tp_str_equal(name, tp_str_from(known[i].name))) {
            return &known[i];
        }
    }
    return NULL;
}

static tapeout_status bad(tapeout_error *err, tp_str name, const char *what)
{
    return tp_fail(err, TAPEOUT_E_CORRUPT, "safetensors: tensor \"%.*s\": %s", TP_STR_ARGS(name),
                   what);
}

// Dimensions and the number of elements.
static tapeout_status read_shape(yyjson_val *shape, tp_safetensors_tensor *tensor,
                                 uint64_t *ret_elements, tapeout_error *err)
{
    if (!yyjson_is_arr(shape) || yyjson_arr_size(shape) > TP_SAFETENSORS_DIMS) {
        return bad(err, tensor->name, "its shape is no list of at most 8 dimensions");
    }
    tensor->dim_count = (uint32_t)yyjson_arr_size(shape);
    *ret_elements = 1;
    for (uint32_t i = 0; i < TP_SAFETENSORS_DIMS; i++) {
        yyjson_val *dim = yyjson_arr_get(shape, i);
        if (i < tensor->dim_count && !yyjson_is_uint(dim)) {
            return bad(err, tensor->name, "a dimension is no whole number");
        }
        tensor->dims[i] = i < tensor->dim_count ? yyjson_get_uint(dim) : 1;
        if (__builtin_mul_overflow(*ret_elements, tensor->dims[i], ret_elements)) {
            return bad(err, tensor->name, "its dimensions multiply to more than 64 bits");
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status read_tensor(yyjson_val *info, tp_str buffer, tp_safetensors_tensor *tensor,
                                  tapeout_error *err)
{
    yyjson_val *offsets = yyjson_obj_get(info, "data_offsets");
    yyjson_val *begin = yyjson_arr_get(offsets, 0);
    yyjson_val *end = yyjson_arr_get(offsets, 1);
    const tp_str type_name = tp_json_get_str(info, "dtype");
    if (type_name.data == NULL || yyjson_arr_size(offsets) != 2 || !yyjson_is_uint(begin) ||
        !yyjson_is_uint(end)) {
        return bad(err, tensor->name, "needs dtype, shape and data_offsets [begin, end]");
    }
    const dtype *type = find_dtype(type_name);
    if (type == NULL) {
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                       "safetensors: tensor \"%.*s\": dtype \"%.*s\" is not known",
                       TP_STR_ARGS(tensor->name), TP_STR_ARGS(type_name));
    }
    tensor->dtype = type->name;
    uint64_t bytes = 0;
    TP_TRY(read_shape(yyjson_obj_get(info, "shape"), tensor, &bytes, err));
    const uint64_t from = yyjson_get_uint(begin);
    const uint64_t to = yyjson_get_uint(end);
    if (from > to || to > buffer.size) {
        return bad(err, tensor->name, "its data lies outside of the file");
    }
    if (__builtin_mul_overflow(bytes, type->size, &bytes) || bytes != to - from) {
        return bad(err, tensor->name, "dtype and shape need another number of bytes than it has");
    }
    tensor->data = (tp_str){buffer.data + from, (size_t)bytes};
    return TAPEOUT_OK;
}

// By place; empty tensors before what begins where they stand.
static int compare_places(const void *a, const void *b)
{
    const tp_safetensors_tensor *x = a;
    const tp_safetensors_tensor *y = b;
    if (x->data.data != y->data.data) {
        return x->data.data < y->data.data ? -1 : 1;
    }
    if (x->data.size != y->data.size) {
        return x->data.size < y->data.size ? -1 : 1;
    }
    return tp_str_compare(x->name, y->name);
}

static tapeout_status check_tiling(tp_safetensors *file, tp_str buffer, tapeout_error *err)
{
    if (file->count > 0) {
        qsort(file->tensors, file->count, sizeof(*file->tensors), compare_places);
    }
    const char *place = buffer.data;
    for (size_t i = 0; i < file->count; i++) {
        const tp_safetensors_tensor *tensor = &file->tensors[i];
        uint32_t index = 0;
        if (tensor->data.data != place) {
            return bad(err, tensor->name,
                       tensor->data.data < place ? "its data overlaps another tensor's"
                                                 : "there is a hole in front of its data");
        }
        place += tensor->data.size;
        if (tp_dict_add(&file->names, tensor->name, &index) != TAPEOUT_OK || index != i) {
            return tp_fail_nomem(err); // names are distinct: the JSON has no duplicate keys
        }
    }
    if (place != buffer.data + buffer.size) {
        return tp_fail(err, TAPEOUT_E_CORRUPT,
                       "safetensors: %zu bytes behind the last tensor belong to none",
                       (size_t)(buffer.data + buffer.size - place));
    }
    return TAPEOUT_OK;
}

static tapeout_status check_metadata(yyjson_val *metadata, tapeout_error *err)
{
    bool ok = yyjson_is_obj(metadata);
    yyjson_obj_iter iter = yyjson_obj_iter_with(metadata);
    for (yyjson_val *key; ok && (key = yyjson_obj_iter_next(&iter)) != NULL;) {
        ok = yyjson_is_str(yyjson_obj_iter_get_val(key));
    }
    return ok ? TAPEOUT_OK
              : tp_fail(err, TAPEOUT_E_CORRUPT,
                        "safetensors: __metadata__ must map texts to texts");
}

static tapeout_status read_tensors(tp_safetensors *file, tp_str buffer, tapeout_error *err)
{
    yyjson_val *root = yyjson_doc_get_root(file->header);
    if (!yyjson_is_obj(root) || yyjson_obj_size(root) > TP_MAX_SAFETENSORS) {
        return tp_fail(err, TAPEOUT_E_CORRUPT,
                       "safetensors: the header is no JSON object of at most %u tensors",
                       TP_MAX_SAFETENSORS);
    }
    file->capacity = yyjson_obj_size(root);
    file->tensors = tp_alloc_array_zero(file->alloc, file->capacity, sizeof(*file->tensors));
    if (file->tensors == NULL) {
        return tp_fail_nomem(err);
    }
    yyjson_obj_iter iter = yyjson_obj_iter_with(root);
    for (yyjson_val *key; (key = yyjson_obj_iter_next(&iter)) != NULL;) {
        tp_safetensors_tensor *tensor = &file->tensors[file->count];
        tensor->name = tp_json_str(key);
        if (tp_str_equal(tensor->name, TP_STR("__metadata__"))) {
            TP_TRY(check_metadata(yyjson_obj_iter_get_val(key), err));
            continue;
        }
        TP_TRY(read_tensor(yyjson_obj_iter_get_val(key), buffer, tensor, err));
        file->count++;
    }
    return check_tiling(file, buffer, err);
}

static tapeout_status read_file(tp_safetensors *file, tp_str bytes, tapeout_error *err)
{
    tp_cursor cursor;
    tp_cursor_init(&cursor, bytes.data, bytes.size);
    const uint64_t header_size = tp_cursor_u64(&cursor);
    TP_TRY(tp_cursor_check(&cursor, "safetensors: the header's length", err));
    if (header_size > tp_cursor_left(&cursor)) {
        return tp_fail(err, TAPEOUT_E_CORRUPT,
                       "safetensors: a header of %llu bytes exceeds the file (%zu bytes)",
                       (unsigned long long)header_size, bytes.size);
    }
    if (header_size > TP_MAX_SAFETENSORS_HEADER_BYTES) {
        return tp_fail(err, TAPEOUT_E_LIMIT,
                       "safetensors: a header of %llu bytes; at most %u are taken",
                       (unsigned long long)header_size, TP_MAX_SAFETENSORS_HEADER_BYTES);
    }
    const tp_str header = tp_cursor_bytes(&cursor, (size_t)header_size);
    const tp_str buffer = tp_cursor_bytes(&cursor, tp_cursor_left(&cursor));
    TP_TRY(tp_json_parse(file->alloc, header, "safetensors: header", &file->header, err));
    return read_tensors(file, buffer, err);
}

// -- opening -------------------------------------------------------------------------------------

static tp_safetensors *new_file(const tp_env *env)
{
    tp_safetensors *file = tp_alloc_zero(env->alloc, sizeof(*file));
    if (file != NULL) {
        file->alloc = env->alloc;
        file->map.fd = -1;
        tp_dict_init(&file->names, env->alloc);
    }
    return file;
}

tapeout_status tp_safetensors_parse(const tp_env *env, tp_str bytes, tp_safetensors **ret_file,
                                    tapeout_error *err)
{
    tp_safetensors *file = new_file(env);
    if (file == NULL) {
        return tp_fail_nomem(err);
    }
    const tapeout_status status = read_file(file, bytes, err);
    if (status != TAPEOUT_OK) {
        tp_safetensors_close(&file);
        return status;
    }
    *ret_file = file;
    return TAPEOUT_OK;
}

tapeout_status tp_safetensors_open(const tp_env *env, const char *path, tp_safetensors **ret_file,
                                   tapeout_error *err)
{
    tp_safetensors *file = new_file(env);
    if (file == NULL) {
        return tp_fail_nomem(err);
    }
    tapeout_status status = tp_map_open(path, &file->map, err);
    if (status == TAPEOUT_OK) {
        status = read_file(file, (tp_str){(const char *)file->map.data, file->map.size}, err);
        if (status != TAPEOUT_OK) {
            tp_error_prefix(err, "%s", path);
        }
    }
    if (status != TAPEOUT_OK) {
        tp_safetensors_close(&file);
        return status;
    }
    *ret_file = file;
    return TAPEOUT_OK;
}

void tp_safetensors_close(tp_safetensors **file)
{
    tp_safetensors *self = *file;
    *file = NULL;
    if (self == NULL) {
        return;
    }
    tp_free_array(self->alloc, self->tensors, self->capacity, sizeof(*self->tensors));
    tp_dict_deinit(&self->names);
    yyjson_doc_free(self->header);
    tp_map_close(&self->map);
    tp_free(self->alloc, self, sizeof(*self));
}

size_t tp_safetensors_count(const tp_safetensors *file)
{
    return file->count;
}

const tp_safetensors_tensor *tp_safetensors_at(const tp_safetensors *file, size_t index)
{
    assert(index < file->count);
    return &file->tensors[index];
}

const tp_safetensors_tensor *tp_safetensors_find(const tp_safetensors *file, tp_str name)
{
    const int64_t index = tp_dict_find(&file->names, name);
    return index < 0 ? NULL : &file->tensors[index];
}
