// SPDX-License-Identifier: Apache-2.0
//
// Opening GGUF files: one alone, or a model split over several by llama.cpp's convention. Part i of
// n is named NAME-0000i-of-0000n.gguf (from 1); its keys split.no (from 0), split.count and
// split.tensors.count say the same and must agree with the name and with each other. The facts are
// those of the first part; the tensors are those of all.
#include "llm/gguf/gguf_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"

#include <stdio.h>
#include <string.h>

void tp_gguf_close(tp_gguf **gguf)
{
    tp_gguf *self = *gguf;
    *gguf = NULL;
    if (self == NULL) {
        return;
    }
    for (size_t i = 0; self->kvs != NULL && i < self->kv_count; i++) {
        const tp_gguf_value *value = &self->kvs[i].value;
        if (value->kind == TP_GGUF_ARRAY && value->array.offsets != NULL) {
            tp_free_array(self->alloc, (void *)(uintptr_t)value->array.offsets,
                          (size_t)value->array.count, sizeof(*value->array.offsets));
        }
    }
    tp_free_array(self->alloc, self->kvs, self->kv_capacity, sizeof(*self->kvs));
    tp_free_array(self->alloc, self->tensors, self->tensor_capacity, sizeof(*self->tensors));
    tp_dict_deinit(&self->keys);
    tp_dict_deinit(&self->names);
    for (size_t i = 0; i < self->map_count; i++) {
        tp_map_close(&self->maps[i]);
    }
    tp_free_array(self->alloc, self->maps, self->map_count, sizeof(*self->maps));
    tp_free(self->alloc, self, sizeof(*self));
}

// -- split models --------------------------------------------------------------------------------

enum { SUFFIX_SIZE = 64 };

typedef struct split {
    uint64_t number; // of this part, from 0
    uint64_t count;  // of parts; 1: not split
    uint64_t tensor_count;
} split;

static tapeout_status read_split(const tp_gguf *gguf, split *ret_split, tapeout_error *err)
{
    split found = {.count = 1};
    if (tp_gguf_has(gguf, "split.count")) {
        TP_TRY(tp_gguf_get_u64(gguf, "split.count", 0, TP_MAX_GGUF_SPLITS, &found.count, err));
    }
    if (found.count > 1) {
        TP_TRY(tp_gguf_get_u64(gguf, "split.no", 0, found.count - 1, &found.number, err));
        TP_TRY(tp_gguf_get_u64(gguf, "split.tensors.count", 1, TP_MAX_GGUF_TENSORS,
                               &found.tensor_count, err));
    }
    *ret_split = found;
    return TAPEOUT_OK;
}

// The end that part `number` has in its name.
static void split_suffix(uint64_t number, uint64_t count, char ret_suffix[SUFFIX_SIZE])
{
    (void)snprintf(ret_suffix, SUFFIX_SIZE, "-%05llu-of-%05llu.gguf",
                   (unsigned long long)(number + 1), (unsigned long long)count);
}

// Maps `path` and parses it; the file owns the mapping.
static tapeout_status open_one(const tp_env *env, const char *path, tp_gguf **ret_gguf,
                               tapeout_error *err)
{
    tp_map *map = tp_alloc_zero(env->alloc, sizeof(*map));
    if (map == NULL) {
        return tp_fail_nomem(err);
    }
    tp_gguf *gguf = NULL;
    tapeout_status status = tp_map_open(path, map, err);
    if (status == TAPEOUT_OK) {
        status = tp_gguf_read(env, (tp_str){(const char *)map->data, map->size}, true, &gguf, err);
        if (status != TAPEOUT_OK) {
            tp_map_close(map);
            tp_error_prefix(err, "%s", path);
        }
    }
    if (status != TAPEOUT_OK) {
        tp_free(env->alloc, map, sizeof(*map));
        return status;
    }
    gguf->maps = map;
    gguf->map_count = 1;
    *ret_gguf = gguf;
    return TAPEOUT_OK;
}

// Moves the tensors and the mapping of `part` over to `gguf`.
static tapeout_status append_part(tp_gguf *gguf, tp_gguf *part, tapeout_error *err)
{
    const size_t count = gguf->tensor_count + part->tensor_count;
    tp_gguf_tensor *tensors =
        tp_resize_array(gguf->alloc, gguf->tensors, gguf->tensor_capacity, count, sizeof(*tensors));
    if (tensors == NULL) {
        return tp_fail_nomem(err);
    }
    gguf->tensors = tensors;
    gguf->tensor_capacity = count;
    for (size_t i = 0; i < part->tensor_count; i++) {
        uint32_t index = 0;
        const tp_gguf_tensor *tensor = &part->tensors[i];
        if (tp_dict_add(&gguf->names, tensor->name, &index) != TAPEOUT_OK) {
            return tp_fail_nomem(err);
        }
        if (index != gguf->tensor_count) {
            return tp_fail(err, TAPEOUT_E_CORRUPT,
                           "gguf: tensor \"%.*s\" stands in two parts of the model",
                           TP_STR_ARGS(tensor->name));
        }
        tensors[gguf->tensor_count++] = *tensor;
    }
    tp_map *maps = tp_resize_array(gguf->alloc, gguf->maps, gguf->map_count, gguf->map_count + 1,
                                   sizeof(*maps));
    if (maps == NULL) {
        return tp_fail_nomem(err);
    }
    gguf->maps = maps;
    gguf->maps[gguf->map_count++] = part->maps[0];
    part->maps[0] = (tp_map){.fd = -1};
    return TAPEOUT_OK;
}

static tapeout_status add_part(const tp_env *env, tp_gguf *gguf, const char *path,
                               const split *want, tapeout_error *err)
{
    tp_gguf *part = NULL;
    split got;
    TP_TRY(open_one(env, path, &part, err));
    tapeout_status status = read_split(part, &got, err);
    if (status == TAPEOUT_OK && (got.count != want->count || got.number != want->number ||
                                 got.tensor_count != want->tensor_count)) {
        status = tp_fail(err, TAPEOUT_E_CORRUPT,
                         "gguf: says it is part %llu of %llu with %llu tensors in all, expected "
                         "part %llu of %llu with %llu",
                         (unsigned long long)got.number + 1, (unsigned long long)got.count,
                         (unsigned long long)got.tensor_count, (unsigned long long)want->number + 1,
                         (unsigned long long)want->count, (unsigned long long)want->tensor_count);
    }
    if (status == TAPEOUT_OK) {
        status = append_part(gguf, part, err);
    }
    tp_gguf_close(&part);
    if (status != TAPEOUT_OK) {
        tp_error_prefix(err, "%s", path);
    }
    return status;
}

// `path` is that of the first part; the others lie beside it.
static tapeout_status add_parts(const tp_env *env, tp_gguf *gguf, const char *path, split first,
                                tapeout_error *err)
{
    char suffix[SUFFIX_SIZE];
    split_suffix(first.number, first.count, suffix);
    if (!tp_str_has_suffix(tp_str_from(path), tp_str_from(suffix))) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "%s: is part %llu of a model split over %llu files, and its name should end "
                       "in %s",
                       path, (unsigned long long)first.number + 1, (unsigned long long)first.count,
                       suffix);
    }
    if (first.number != 0) {
        split_suffix(0, first.count, suffix);
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "%s: is part %llu of a split model; name the first part, which ends in %s",
                       path, (unsigned long long)first.number + 1, suffix);
    }
    const size_t size = strlen(path) + 1;
    char *name = tp_strndup(env->alloc, path, size - 1);
    if (name == NULL) {
        return tp_fail_nomem(err);
    }
    tapeout_status status = TAPEOUT_OK;
    for (split want = first; status == TAPEOUT_OK && ++want.number < want.count;) {
        split_suffix(want.number, want.count, suffix);
        memcpy(name + size - 1 - strlen(suffix), suffix, strlen(suffix));
        status = add_part(env, gguf, name, &want, err);
    }
    tp_free(env->alloc, name, size);
    if (status == TAPEOUT_OK && gguf->tensor_count != first.tensor_count) {
        status = tp_fail(err, TAPEOUT_E_CORRUPT,
                         "%s: gguf: split.tensors.count is %llu, but the parts have %zu tensors",
                         path, (unsigned long long)first.tensor_count, gguf->tensor_count);
    }
    return status;
}

// -- opening -------------------------------------------------------------------------------------

tapeout_status tp_gguf_open(const tp_env *env, const char *path, tp_gguf **ret_gguf,
                            tapeout_error *err)
{
    tp_gguf *gguf = NULL;
    split first;
    TP_TRY(open_one(env, path, &gguf, err));
    tapeout_status status = read_split(gguf, &first, err);
    if (status != TAPEOUT_OK) {
        tp_error_prefix(err, "%s", path);
    } else if (first.count > 1) {
        status = add_parts(env, gguf, path, first, err);
    }
    if (status != TAPEOUT_OK) {
        tp_gguf_close(&gguf);
        return status;
    }
    *ret_gguf = gguf;
    return TAPEOUT_OK;
}

static tapeout_status parse_alone(const tp_env *env, tp_str bytes, bool has_data,
                                  tp_gguf **ret_gguf, tapeout_error *err)
{
    tp_gguf *gguf = NULL;
    split found;
    TP_TRY(tp_gguf_read(env, bytes, has_data, &gguf, err));
    tapeout_status status = read_split(gguf, &found, err);
    if (status == TAPEOUT_OK && found.count > 1) {
        status = tp_fail(err, TAPEOUT_E_INVALID, "gguf: part %llu of a model split over %llu files",
                         (unsigned long long)found.number + 1, (unsigned long long)found.count);
    }
    if (status != TAPEOUT_OK) {
        tp_gguf_close(&gguf);
        return status;
    }
    *ret_gguf = gguf;
    return TAPEOUT_OK;
}

tapeout_status tp_gguf_parse(const tp_env *env, tp_str bytes, tp_gguf **ret_gguf,
                             tapeout_error *err)
{
    return parse_alone(env, bytes, true, ret_gguf, err);
}

tapeout_status tp_gguf_parse_metadata(const tp_env *env, tp_str bytes, tp_gguf **ret_gguf,
                                      tapeout_error *err)
{
    return parse_alone(env, bytes, false, ret_gguf, err);
}

void tp_gguf_tensor_release(const tp_gguf *gguf, const tp_gguf_tensor *tensor)
{
    const uintptr_t begin = (uintptr_t)tensor->data.data;
    for (size_t i = 0; tensor->data.data != NULL && i < gguf->map_count; i++) {
        const uintptr_t map_begin = (uintptr_t)gguf->maps[i].data;
        if (begin >= map_begin && begin - map_begin < gguf->maps[i].size) {
            tp_map_release(&gguf->maps[i], begin - map_begin, tensor->data.size);
        }
    }
}
