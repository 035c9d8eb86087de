// SPDX-License-Identifier: Apache-2.0
//
// Facts out of an opened GGUF file. The parser has checked the form; here the one who asks says
// what a value must be, and the error names the key, so that no consumer writes such sentences
// itself. Integers are taken in any width and sign, as files in the wild differ.
#include "llm/gguf/gguf_priv.h"

#include "base/tp_error.h"

#include <assert.h>
#include <math.h>
#include <string.h>

typedef enum family { FAMILY_INT, FAMILY_FLOAT, FAMILY_BOOL, FAMILY_STRING, FAMILY_ARRAY } family;

static family family_of(tp_gguf_kind kind)
{
    switch (kind) {
    case TP_GGUF_F32:
    case TP_GGUF_F64:
        return FAMILY_FLOAT;
    case TP_GGUF_BOOL:
        return FAMILY_BOOL;
    case TP_GGUF_STRING:
        return FAMILY_STRING;
    case TP_GGUF_ARRAY:
        return FAMILY_ARRAY;
    case TP_GGUF_U8:
    case TP_GGUF_I8:
    case TP_GGUF_U16:
    case TP_GGUF_I16:
    case TP_GGUF_U32:
    case TP_GGUF_I32:
    case TP_GGUF_U64:
    case TP_GGUF_I64:
        break;
    }
    return FAMILY_INT;
}

static const char *family_name(family kind)
{
    static const char *const names[] = {"an integer", "a float", "a bool", "a string", "an array"};
    return names[kind];
}

const char *tp_gguf_kind_name(tp_gguf_kind kind)
{
    static const char *const names[GGUF_KIND_END] = {"u8",  "i8",  "u16",  "i16",    "u32",
                                                     "i32", "f32", "bool", "string", "array",
                                                     "u64", "i64", "f64"};
    return names[kind];
}

static bool is_signed(tp_gguf_kind kind)
{
    return kind == TP_GGUF_I8 || kind == TP_GGUF_I16 || kind == TP_GGUF_I32 || kind == TP_GGUF_I64;
}

// -- one value -----------------------------------------------------------------------------------

const tp_gguf_kv *tp_gguf_kv_find(const tp_gguf *gguf, tp_str key)
{
    const int64_t index = tp_dict_find(&gguf->keys, key);
    return index < 0 ? NULL : &gguf->kvs[index];
}

bool tp_gguf_has(const tp_gguf *gguf, const char *key)
{
    return tp_gguf_kv_find(gguf, tp_str_from(key)) != NULL;
}

static tapeout_status find(const tp_gguf *gguf, const char *key, family want,
                           const tp_gguf_value **ret_value, tapeout_error *err)
{
    const tp_gguf_kv *kv = tp_gguf_kv_find(gguf, tp_str_from(key));
    if (kv == NULL) {
        return tp_fail(err, TAPEOUT_E_CORRUPT, "gguf: the file lacks the key %s", key);
    }
    if (family_of(kv->value.kind) != want) {
        return tp_fail(err, TAPEOUT_E_CORRUPT, "gguf: %s is of kind %s, expected %s", key,
                       tp_gguf_kind_name(kv->value.kind), family_name(want));
    }
    *ret_value = &kv->value;
    return TAPEOUT_OK;
}

tapeout_status tp_gguf_get_u64(const tp_gguf *gguf, const char *key, uint64_t min, uint64_t max,
                               uint64_t *ret_value, tapeout_error *err)
{
    const tp_gguf_value *value = NULL;
    TP_TRY(find(gguf, key, FAMILY_INT, &value, err));
    if (is_signed(value->kind) && value->i64 < 0) {
        return tp_fail(err, TAPEOUT_E_CORRUPT, "gguf: %s is %lld, expected %llu to %llu", key,
                       (long long)value->i64, (unsigned long long)min, (unsigned long long)max);
    }
    if (value->u64 < min || value->u64 > max) {
        return tp_fail(err, TAPEOUT_E_CORRUPT, "gguf: %s is %llu, expected %llu to %llu", key,
                       (unsigned long long)value->u64, (unsigned long long)min,
                       (unsigned long long)max);
    }
    *ret_value = value->u64;
    return TAPEOUT_OK;
}

tapeout_status tp_gguf_get_f64(const tp_gguf *gguf, const char *key, double *ret_value,
                               tapeout_error *err)
{
    const tp_gguf_value *value = NULL;
    TP_TRY(find(gguf, key, FAMILY_FLOAT, &value, err));
    if (!isfinite(value->f64)) {
        return tp_fail(err, TAPEOUT_E_CORRUPT, "gguf: %s is not a finite number", key);
    }
    *ret_value = value->f64;
    return TAPEOUT_OK;
}

tapeout_status tp_gguf_get_bool(const tp_gguf *gguf, const char *key, bool *ret_value,
                                tapeout_error *err)
{
    const tp_gguf_value *value = NULL;
    TP_TRY(find(gguf, key, FAMILY_BOOL, &value, err));
    *ret_value = value->boolean;
    return TAPEOUT_OK;
}

tapeout_status tp_gguf_get_str(const tp_gguf *gguf, const char *key, tp_str *ret_value,
                               tapeout_error *err)
{
    const tp_gguf_value *value = NULL;
    TP_TRY(find(gguf, key, FAMILY_STRING, &value, err));
    *ret_value = value->string;
    return TAPEOUT_OK;
}

tapeout_status tp_gguf_get_array(const tp_gguf *gguf, const char *key, tp_gguf_kind kind,
                                 tp_gguf_array *ret_array, tapeout_error *err)
{
    const tp_gguf_value *value = NULL;
    TP_TRY(find(gguf, key, FAMILY_ARRAY, &value, err));
    if (family_of(value->array.kind) != family_of(kind)) {
        return tp_fail(err, TAPEOUT_E_CORRUPT, "gguf: %s is an array of kind %s, expected %s each",
                       key, tp_gguf_kind_name(value->array.kind), family_name(family_of(kind)));
    }
    *ret_array = value->array;
    return TAPEOUT_OK;
}

// -- items of arrays -----------------------------------------------------------------------------

static uint64_t load_le(const uint8_t *data, size_t size)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) {
        value |= (uint64_t)data[i] << (8 * i);
    }
    return value;
}

tp_str tp_gguf_array_str(const tp_gguf_array *array, uint64_t index)
{
    assert(array->kind == TP_GGUF_STRING && index < array->count);
    const uint8_t *data = array->data + array->offsets[index];
    return (tp_str){(const char *)data + 8, (size_t)load_le(data, 8)};
}

int64_t tp_gguf_array_i64(const tp_gguf_array *array, uint64_t index)
{
    assert(family_of(array->kind) == FAMILY_INT && index < array->count);
    const size_t size = tp_gguf_kind_size(array->kind);
    uint64_t value = load_le(array->data + index * size, size);
    if (is_signed(array->kind) && size < 8) {
        const uint64_t sign = (uint64_t)1 << (8 * size - 1);
        value = (value ^ sign) - sign;
    }
    return (int64_t)value;
}

uint64_t tp_gguf_array_u64(const tp_gguf_array *array, uint64_t index)
{
    return (uint64_t)tp_gguf_array_i64(array, index);
}

double tp_gguf_array_f64(const tp_gguf_array *array, uint64_t index)
{
    assert(family_of(array->kind) == FAMILY_FLOAT && index < array->count);
    if (array->kind == TP_GGUF_F64) {
        const uint64_t bits = load_le(array->data + index * 8, 8);
        double value = 0;
        memcpy(&value, &bits, sizeof(value));
        return value;
    }
    const uint32_t bits = (uint32_t)load_le(array->data + index * 4, 4);
    float value = 0;
    memcpy(&value, &bits, sizeof(value));
    return (double)value;
}

bool tp_gguf_array_bool(const tp_gguf_array *array, uint64_t index)
{
    assert(array->kind == TP_GGUF_BOOL && index < array->count);
    return array->data[index] != 0;
}

// -- all of them ---------------------------------------------------------------------------------

size_t tp_gguf_kv_count(const tp_gguf *gguf)
{
    return gguf->kv_count;
}

const tp_gguf_kv *tp_gguf_kv_at(const tp_gguf *gguf, size_t index)
{
    assert(index < gguf->kv_count);
    return &gguf->kvs[index];
}

size_t tp_gguf_tensor_count(const tp_gguf *gguf)
{
    return gguf->tensor_count;
}

const tp_gguf_tensor *tp_gguf_tensor_at(const tp_gguf *gguf, size_t index)
{
    assert(index < gguf->tensor_count);
    return &gguf->tensors[index];
}

const tp_gguf_tensor *tp_gguf_tensor_find(const tp_gguf *gguf, tp_str name)
{
    const int64_t index = tp_dict_find(&gguf->names, name);
    return index < 0 ? NULL : &gguf->tensors[index];
}
