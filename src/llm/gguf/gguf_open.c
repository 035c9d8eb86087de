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
    tp_gguf_files_close(&self->files);
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

// Writes the name of part `number` of `count` over that of another.
static void name_part(char *path, uint64_t number, uint64_t count)
{
    char suffix[SUFFIX_SIZE];
    split_suffix(number, count, suffix);
    memcpy(path + strlen(path) - strlen(suffix), suffix, strlen(suffix));
}

// Moves the tensors of `part` over to `gguf`.
static tapeout_status append_part(tp_gguf *gguf, const tp_gguf *part, tapeout_error *err)
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
    return TAPEOUT_OK;
}

// Reads one of the mappings, and says which where it is refused.
static tapeout_status read_one(const tp_env *env, const tp_map *map, const char *path,
                               tp_gguf **ret_gguf, tapeout_error *err)
{
    const tp_str bytes = {(const char *)map->data, map->size};
    const tapeout_status status = tp_gguf_read(env, bytes, true, ret_gguf, err);
    if (status != TAPEOUT_OK) {
        tp_error_prefix(err, "%s", path);
    }
    return status;
}

static tapeout_status add_part(const tp_env *env, tp_gguf *gguf, const tp_gguf_files *files,
                               const split *want, tapeout_error *err)
{
    tp_gguf *part = NULL;
    split got;
    TP_TRY(read_one(env, &files->maps[want->number], files->path, &part, err));
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
        tp_error_prefix(err, "%s", files->path);
    }
    return status;
}

static tapeout_status check_name(const char *path, const split *first, tapeout_error *err)
{
    char suffix[SUFFIX_SIZE];
    split_suffix(first->number, first->count, suffix);
    if (!tp_str_has_suffix(tp_str_from(path), tp_str_from(suffix))) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "%s: is part %llu of a model split over %llu files, and its name should end "
                       "in %s",
                       path, (unsigned long long)first->number + 1,
                       (unsigned long long)first->count, suffix);
    }
    if (first->number != 0) {
        split_suffix(0, first->count, suffix);
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "%s: is part %llu of a split model; name the first part, which ends in %s",
                       path, (unsigned long long)first->number + 1, suffix);
    }
    return TAPEOUT_OK;
}

// Of the first part the facts, of all the tensors.
static tapeout_status add_parts(const tp_env *env, tp_gguf *gguf, const tp_gguf_files *files,
                                split first, tapeout_error *err)
{
    char *path = files->path; // in which the parts' names are written
    TP_TRY(check_name(path, &first, err));
    for (split want = first; ++want.number < want.count;) {
        if (want.number == files->count) {
            return tp_fail(err, files->missing.status, "%s", files->missing.message);
        }
        name_part(path, want.number, want.count);
        TP_TRY(add_part(env, gguf, files, &want, err));
    }
    name_part(path, 0, first.count);
    if (gguf->tensor_count != first.tensor_count) {
        return tp_fail(err, TAPEOUT_E_CORRUPT,
                       "%s: gguf: split.tensors.count is %llu, but the parts have %zu tensors",
                       path, (unsigned long long)first.tensor_count, gguf->tensor_count);
    }
    return TAPEOUT_OK;
}

// -- opening -------------------------------------------------------------------------------------

// How many files the name speaks of: more than one where it is that of the first of a set.
static uint64_t count_in_name(const char *path)
{
    const tp_str begin = TP_STR("-00001-of-");
    const tp_str end = TP_STR(".gguf");
    const tp_str text = tp_str_from(path);
    const size_t size = begin.size + 5 + end.size;
    uint64_t count = 1;
    if (text.size < size || !tp_str_has_suffix(text, end)) {
        return 1;
    }
    const tp_str tail = {text.data + text.size - size, size};
    const tp_str digits = {tail.data + begin.size, 5};
    return tp_str_has_prefix(tail, begin) && tp_str_to_uint64(digits, &count) &&
                   count <= TP_MAX_GGUF_SPLITS && count > 0
               ? count
               : 1;
}

// The first can be opened or the model can't; what keeps one of the others from it matters only if
// the first turns out to be split.
static tapeout_status map_all(tp_gguf_files *files, tapeout_error *err)
{
    TP_TRY(tp_map_open(files->path, &files->maps[0], err));
    for (files->count = 1; files->count < files->capacity; files->count++) {
        name_part(files->path, files->count, files->capacity);
        if (tp_map_open(files->path, &files->maps[files->count], &files->missing) != TAPEOUT_OK) {
            break;
        }
    }
    if (files->capacity > 1) {
        name_part(files->path, 0, files->capacity);
    }
    return TAPEOUT_OK;
}

tapeout_status tp_gguf_files_open(const tapeout_allocator *alloc, const char *path,
                                  tp_gguf_files *ret_files, tapeout_error *err)
{
    tp_gguf_files files = {.alloc = alloc, .capacity = count_in_name(path)};
    files.path = tp_strndup(alloc, path, strlen(path));
    files.maps = tp_alloc_array(alloc, files.capacity, sizeof(*files.maps));
    const tapeout_status status =
        files.path == NULL || files.maps == NULL ? tp_fail_nomem(err) : map_all(&files, err);
    if (status != TAPEOUT_OK) {
        tp_gguf_files_close(&files);
        return status;
    }
    *ret_files = files;
    return TAPEOUT_OK;
}

void tp_gguf_files_close(tp_gguf_files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        tp_map_close(&files->maps[i]);
    }
    if (files->maps != NULL) {
        tp_free_array(files->alloc, files->maps, files->capacity, sizeof(*files->maps));
    }
    if (files->path != NULL) {
        tp_free(files->alloc, files->path, strlen(files->path) + 1);
    }
    *files = (tp_gguf_files){0};
}

static tapeout_status read_all(const tp_env *env, tp_gguf_files *files, tp_gguf **ret_gguf,
                               tapeout_error *err)
{
    tp_gguf *gguf = NULL;
    split first;
    TP_TRY(read_one(env, &files->maps[0], files->path, &gguf, err));
    tapeout_status status = read_split(gguf, &first, err);
    if (status != TAPEOUT_OK) {
        tp_error_prefix(err, "%s", files->path);
    } else if (first.count > 1) {
        status = add_parts(env, gguf, files, first, err);
    }
    if (status != TAPEOUT_OK) {
        tp_gguf_close(&gguf);
        return status;
    }
    *ret_gguf = gguf;
    return TAPEOUT_OK;
}

tapeout_status tp_gguf_from_files(const tp_env *env, tp_gguf_files *files, tp_gguf **ret_gguf,
                                  tapeout_error *err)
{
    const tapeout_status status = read_all(env, files, ret_gguf, err);
    if (status == TAPEOUT_OK) {
        (*ret_gguf)->files = *files;
        *files = (tp_gguf_files){0};
    }
    tp_gguf_files_close(files);
    return status;
}

tapeout_status tp_gguf_open(const tp_env *env, const char *path, tp_gguf **ret_gguf,
                            tapeout_error *err)
{
    tp_gguf_files files;
    TP_TRY(tp_gguf_files_open(env->alloc, path, &files, err));
    return tp_gguf_from_files(env, &files, ret_gguf, err);
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
    for (size_t i = 0; tensor->data.data != NULL && i < gguf->files.count; i++) {
        const tp_map *map = &gguf->files.maps[i];
        const uintptr_t map_begin = (uintptr_t)map->data;
        if (begin >= map_begin && begin - map_begin < map->size) {
            tp_map_release(map, begin - map_begin, tensor->data.size);
        }
    }
}
