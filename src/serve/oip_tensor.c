// SPDX-License-Identifier: Apache-2.0
//
// One element at a time: first what the tensor's own type says it is, the same from JSON as from
// bytes (an FP32 of 0.1 is the nearest float in both), then without loss into the column's type.
// NaN, null and, where text is expected, the empty string are missing: bytes have no other way to
// say so.
#include "serve/oip_priv.h"

#include "base/tp_error.h"
#include "kernels/tp_half.h"
#include "table/tp_json.h"

#include <math.h>

static const oip_datatype datatypes[] = {
    {"BOOL", OIP_BOOL, 1},   {"UINT8", OIP_UINT, 1},  {"UINT16", OIP_UINT, 2},
    {"UINT32", OIP_UINT, 4}, {"UINT64", OIP_UINT, 8}, {"INT8", OIP_INT, 1},
    {"INT16", OIP_INT, 2},   {"INT32", OIP_INT, 4},   {"INT64", OIP_INT, 8},
    {"FP16", OIP_FLOAT, 2},  {"FP32", OIP_FLOAT, 4},  {"FP64", OIP_FLOAT, 8},
    {"BF16", OIP_BFLOAT, 2}, {"BYTES", OIP_BYTES, 0},
};

const oip_datatype *tp_oip_datatype_find(tp_str name)
{
    for (size_t i = 0; i < sizeof(datatypes) / sizeof(datatypes[0]); i++) {
        if (tp_str_equal(name, tp_str_from(datatypes[i].name))) {
            return &datatypes[i];
        }
    }
    return NULL;
}

const char *tp_oip_datatype_of_column(tapeout_type type)
{
    switch (type) {
    case TAPEOUT_TYPE_BOOL:
        return "BOOL";
    case TAPEOUT_TYPE_INT64:
        return "INT64";
    case TAPEOUT_TYPE_FLOAT64:
        return "FP64";
    case TAPEOUT_TYPE_DATE:
    case TAPEOUT_TYPE_TIMESTAMP:
    case TAPEOUT_TYPE_TIMESTAMP_TZ:
    case TAPEOUT_TYPE_STRING:
        break;
    }
    return "BYTES";
}

typedef struct element {
    enum { ELEMENT_MISSING, ELEMENT_INT, ELEMENT_UINT, ELEMENT_REAL, ELEMENT_BYTES } kind;
    int64_t i;
    uint64_t u; // above INT64_MAX only
    double real;
    tp_str bytes;
} element;

static element element_of_uint(uint64_t value)
{
    return value <= INT64_MAX ? (element){.kind = ELEMENT_INT, .i = (int64_t)value}
                              : (element){.kind = ELEMENT_UINT, .u = value};
}

static element element_of_real(double value)
{
    return isnan(value) ? (element){.kind = ELEMENT_MISSING}
                        : (element){.kind = ELEMENT_REAL, .real = value};
}

// -- from bytes ----------------------------------------------------------------------------------
static int64_t sign_extend(uint64_t value, uint32_t size)
{
    const uint32_t shift = 64 - 8 * size;
    return (int64_t)(value << shift) >> shift;
}

static uint64_t read_uint(tp_cursor *cursor, uint32_t size)
{
    switch (size) {
    case 1:
        return tp_cursor_u8(cursor);
    case 2:
        return tp_cursor_u16(cursor);
    case 4:
        return tp_cursor_u32(cursor);
    default:
        return tp_cursor_u64(cursor);
    }
}

static double read_real(tp_cursor *cursor, uint32_t size)
{
    switch (size) {
    case 2:
        return (double)tp_half_to_float(tp_cursor_u16(cursor));
    case 4:
        return (double)tp_cursor_f32(cursor);
    default:
        return tp_cursor_f64(cursor);
    }
}

// False where the bytes are none of the type.
static bool element_from_bytes(tp_cursor *cursor, const oip_datatype *datatype,
                               element *ret_element)
{
    switch (datatype->kind) {
    case OIP_BOOL: {
        const uint8_t byte = tp_cursor_u8(cursor);
        *ret_element = (element){.kind = ELEMENT_INT, .i = byte};
        return byte <= 1;
    }
    case OIP_INT:
        *ret_element = (element){
            .kind = ELEMENT_INT,
            .i = sign_extend(read_uint(cursor, datatype->size), datatype->size),
        };
        return true;
    case OIP_UINT:
        *ret_element = element_of_uint(read_uint(cursor, datatype->size));
        return true;
    case OIP_FLOAT:
        *ret_element = element_of_real(read_real(cursor, datatype->size));
        return true;
    case OIP_BFLOAT:
        *ret_element = element_of_real((double)tp_brain_to_float(tp_cursor_u16(cursor)));
        return true;
    case OIP_BYTES: {
        const uint32_t size = tp_cursor_u32(cursor);
        const tp_str bytes = tp_cursor_bytes(cursor, size);
        *ret_element = (element){.kind = ELEMENT_BYTES, .bytes = bytes};
        return !cursor->failed && tp_utf8_check(bytes, NULL);
    }
    }
    return false;
}

// -- from JSON -----------------------------------------------------------------------------------
static bool int_from_json(yyjson_val *value, const oip_datatype *datatype, element *ret_element)
{
    const uint32_t bits = datatype->size * 8;
    if (yyjson_is_uint(value)) {
        const uint64_t number = yyjson_get_uint(value);
        const uint32_t value_bits = datatype->kind == OIP_INT ? bits - 1 : bits;
        *ret_element = element_of_uint(number);
        return value_bits == 64 || number >> value_bits == 0;
    }
    if (yyjson_is_sint(value) && datatype->kind == OIP_INT) {
        *ret_element = (element){.kind = ELEMENT_INT, .i = yyjson_get_sint(value)};
        return bits == 64 || yyjson_get_sint(value) >= -((int64_t)1 << (bits - 1));
    }
    return false;
}

static bool element_from_json(yyjson_val *value, const oip_datatype *datatype, element *ret_element)
{
    if (yyjson_is_null(value)) {
        *ret_element = (element){.kind = ELEMENT_MISSING};
        return true;
    }
    switch (datatype->kind) {
    case OIP_BOOL:
        *ret_element = (element){.kind = ELEMENT_INT,
                                 .i = yyjson_is_bool(value) ? yyjson_get_bool(value)
                                                            : (int64_t)yyjson_get_uint(value)};
        return yyjson_is_bool(value) || (yyjson_is_uint(value) && yyjson_get_uint(value) <= 1);
    case OIP_INT:
    case OIP_UINT:
        return int_from_json(value, datatype, ret_element);
    case OIP_FLOAT: {
        const double number = yyjson_get_num(value);
        const double rounded = datatype->size == 4 ? (double)(float)number : number;
        *ret_element = (element){.kind = ELEMENT_REAL, .real = rounded};
        // Half floats travel as bytes only, says the protocol.
        return yyjson_is_num(value) && isfinite(rounded) && datatype->size >= 4;
    }
    case OIP_BFLOAT:
        return false;
    case OIP_BYTES:
        *ret_element = (element){.kind = ELEMENT_BYTES, .bytes = tp_json_str(value)};
        return yyjson_is_str(value);
    }
    return false;
}

// -- into the column -----------------------------------------------------------------------------
static tapeout_status put_integral(tp_table_builder *builder, uint32_t column, tapeout_type type,
                                   int64_t value)
{
    if (type == TAPEOUT_TYPE_INT64) {
        return tp_table_builder_i64(builder, column, value);
    }
    if (type == TAPEOUT_TYPE_BOOL && (value == 0 || value == 1)) {
        return tp_table_builder_bool(builder, column, value == 1);
    }
    // Exact where the way there and back gives the same; 2^63-1 rounds up and out of range.
    if (type == TAPEOUT_TYPE_FLOAT64 && (double)value < 0x1p63 && (int64_t)(double)value == value) {
        return tp_table_builder_f64(builder, column, (double)value);
    }
    return TAPEOUT_E_DATA;
}

static tapeout_status put_real(tp_table_builder *builder, uint32_t column, tapeout_type type,
                               double value)
{
    if (type == TAPEOUT_TYPE_FLOAT64) {
        return tp_table_builder_f64(builder, column, value);
    }
    const bool is_integral = value >= -0x1p63 && value < 0x1p63 && value == trunc(value);
    return is_integral ? put_integral(builder, column, type, (int64_t)value) : TAPEOUT_E_DATA;
}

// E_DATA without a message where the value does not convert.
static tapeout_status put_element(tp_table_builder *builder, uint32_t column, tapeout_type type,
                                  const element *value)
{
    const bool is_text = tp_oip_datatype_of_column(type)[1] == 'Y'; // BYTES
    if (value->kind == ELEMENT_MISSING ||
        (value->kind == ELEMENT_BYTES && value->bytes.size == 0 && is_text)) {
        return tp_table_builder_null(builder, column);
    }
    if (is_text != (value->kind == ELEMENT_BYTES)) {
        return TAPEOUT_E_DATA;
    }
    switch (value->kind) {
    case ELEMENT_INT:
        return put_integral(builder, column, type, value->i);
    case ELEMENT_UINT:
        return type == TAPEOUT_TYPE_FLOAT64 && (double)value->u < 0x1p64 &&
                       (uint64_t)(double)value->u == value->u
                   ? tp_table_builder_f64(builder, column, (double)value->u)
                   : TAPEOUT_E_DATA;
    case ELEMENT_REAL:
        return put_real(builder, column, type, value->real);
    case ELEMENT_BYTES:
        return type == TAPEOUT_TYPE_STRING
                   ? tp_table_builder_str(builder, column, value->bytes)
                   : tp_table_builder_text(builder, column, value->bytes, NULL);
    case ELEMENT_MISSING:
        break;
    }
    return TAPEOUT_E_DATA;
}

static tapeout_status fail_element(const serve_batch *batch, const oip_input *input, uint64_t index,
                                   tapeout_error *err)
{
    const tp_field *field = &batch->model->schema->fields[input->column];
    return tp_fail(err, TAPEOUT_E_DATA,
                   "input \"%.*s\": element %llu is no %s, or does not fit the column's type %s",
                   TP_STR_ARGS(input->name), (unsigned long long)index, input->datatype->name,
                   tapeout_type_name(field->type));
}

static tapeout_status put(serve_batch *batch, const oip_input *input, const element *value,
                          uint64_t index, tapeout_error *err)
{
    const tapeout_type type = batch->model->schema->fields[input->column].type;
    const tapeout_status status = put_element(batch->kit->builder, input->column, type, value);
    if (status == TAPEOUT_E_DATA) {
        return fail_element(batch, input, index, err);
    }
    return status == TAPEOUT_OK ? status
                                : tp_fail(err, status, "input \"%.*s\": %s",
                                          TP_STR_ARGS(input->name), tapeout_status_text(status));
}

static tapeout_status read_json(serve_batch *batch, const oip_input *input, tapeout_error *err)
{
    if (!yyjson_is_arr(input->data) || yyjson_arr_size(input->data) != input->count) {
        return tp_fail(err, TAPEOUT_E_DATA, "input \"%.*s\": %zu elements for a shape of %llu",
                       TP_STR_ARGS(input->name), yyjson_arr_size(input->data),
                       (unsigned long long)input->count);
    }
    // [n, 1] may come nested, [[v], [v]], or flat; one form throughout.
    const bool is_nested = input->is_matrix && yyjson_is_arr(yyjson_arr_get_first(input->data));
    yyjson_arr_iter iter = yyjson_arr_iter_with(input->data);
    for (uint64_t i = 0; i < input->count; i++) {
        yyjson_val *value = yyjson_arr_iter_next(&iter);
        if (is_nested) {
            value = yyjson_arr_size(value) == 1 ? yyjson_arr_get_first(value) : NULL;
        }
        element one = {0};
        if (value == NULL || !element_from_json(value, input->datatype, &one)) {
            return fail_element(batch, input, i, err);
        }
        TP_TRY(put(batch, input, &one, i, err));
    }
    return TAPEOUT_OK;
}

static tapeout_status read_bytes(serve_batch *batch, const oip_input *input, tapeout_error *err)
{
    const uint32_t size = input->datatype->size;
    // The count is bounded by the rows that a request may have, so the product fits.
    if (size > 0 && input->count * size != input->raw.size) {
        return tp_fail(err, TAPEOUT_E_DATA, "input \"%.*s\": %zu bytes for %llu elements of %s",
                       TP_STR_ARGS(input->name), input->raw.size, (unsigned long long)input->count,
                       input->datatype->name);
    }
    tp_cursor cursor;
    tp_cursor_init(&cursor, input->raw.data, input->raw.size);
    for (uint64_t i = 0; i < input->count; i++) {
        element one = {0};
        if (!element_from_bytes(&cursor, input->datatype, &one)) {
            return fail_element(batch, input, i, err);
        }
        TP_TRY(put(batch, input, &one, i, err));
    }
    if (tp_cursor_left(&cursor) != 0) {
        return tp_fail(err, TAPEOUT_E_DATA, "input \"%.*s\": %zu bytes behind its last element",
                       TP_STR_ARGS(input->name), tp_cursor_left(&cursor));
    }
    return TAPEOUT_OK;
}

tapeout_status tp_oip_input_read(serve_batch *batch, const oip_input *input, tapeout_error *err)
{
    return input->data != NULL ? read_json(batch, input, err) : read_bytes(batch, input, err);
}
