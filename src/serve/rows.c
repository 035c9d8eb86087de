// SPDX-License-Identifier: Apache-2.0
//
// From JSON values to rows of a model's raw columns. A value converts to the column's type without
// loss or is an error that names the column: 3.0 is an integer, 3.5 is not; "3" is a number, since
// protobuf and CSV people write numbers as text; a date is text by ISO 8601. null, NaN and an
// absent key are missing. A string column takes strings alone: 1 and "1" might be two categories.
//
// Keys are usually in the columns' order or in one order of the client's, so the column that
// follows the last one is tried before the dictionary is asked.
#include "serve/serve_priv.h"

#include "base/tp_error.h"
#include "table/tp_json.h"

#include <math.h>
#include <string.h>

static void forget_rows(serve_batch *batch)
{
    tp_table_builder_clear(batch->kit->builder);
    memset(batch->kit->missing, 0, batch->model->schema->count * sizeof(*batch->kit->missing));
    tp_dict_clear(&batch->ignored);
    batch->row_count = 0;
}

tapeout_status tp_serve_batch_begin(serve_batch *batch, serve_exchange *exchange,
                                    tapeout_error *err)
{
    *batch = (serve_batch){.exchange = exchange, .model = exchange->model};
    tp_dict_init(&batch->ignored, exchange->state->env->alloc);
    TP_TRY(tp_served_kit_take(batch->model, &batch->kit, err));
    forget_rows(batch);
    return TAPEOUT_OK;
}

void tp_serve_batch_end(serve_batch *batch)
{
    tp_dict_deinit(&batch->ignored);
    if (batch->kit != NULL) {
        tp_served_kit_give(batch->model, batch->kit, batch->max_row_count);
        batch->kit = NULL;
    }
}

void tp_serve_batch_clear(serve_batch *batch)
{
    forget_rows(batch);
}

static const char *type_word(yyjson_val *value)
{
    return yyjson_is_obj(value)    ? "an object"
           : yyjson_is_arr(value)  ? "a list"
           : yyjson_is_str(value)  ? "a string"
           : yyjson_is_bool(value) ? "a boolean"
                                   : "a number";
}

static tapeout_status fail_type(const tp_field *field, yyjson_val *value, const char *want,
                                tapeout_error *err)
{
    return tp_fail(err, TAPEOUT_E_DATA, "column \"%.*s\" (%s): %s was expected, not %s",
                   TP_STR_ARGS(field->name), tapeout_type_name(field->type), want,
                   type_word(value));
}

static tapeout_status put_text(tp_table_builder *builder, uint32_t column, const tp_field *field,
                               tp_str text, tapeout_error *err)
{
    tapeout_error inner = {0};
    const tapeout_status status = tp_table_builder_text(builder, column, text, &inner);
    if (status != TAPEOUT_E_DATA) {
        return status == TAPEOUT_OK ? status : tp_fail(err, status, "%s", inner.message);
    }
    return tp_fail(err, TAPEOUT_E_DATA, "column \"%.*s\" (%s): \"%.60s\" is none",
                   TP_STR_ARGS(field->name), tapeout_type_name(field->type), text.data);
}

// Whether a JSON number with a fraction, an exponent or too many digits is surely an integer: above
// 2^53 it may be the rounding of another one.
static bool is_exact_integer(double value)
{
    return value >= -0x1p53 && value <= 0x1p53 && value == trunc(value);
}

static tapeout_status put_number(serve_batch *batch, uint32_t column, yyjson_val *value,
                                 tapeout_error *err)
{
    tp_table_builder *builder = batch->kit->builder;
    const tp_field *field = &batch->model->schema->fields[column];
    switch (field->type) {
    case TAPEOUT_TYPE_FLOAT64:
        return tp_table_builder_f64(builder, column, yyjson_get_num(value));
    case TAPEOUT_TYPE_INT64:
        if (yyjson_is_sint(value) ||
            (yyjson_is_uint(value) && yyjson_get_uint(value) <= INT64_MAX)) {
            return tp_table_builder_i64(builder, column, yyjson_get_sint(value));
        }
        if (yyjson_is_real(value) && is_exact_integer(yyjson_get_real(value))) {
            return tp_table_builder_i64(builder, column, (int64_t)yyjson_get_real(value));
        }
        return tp_fail(err, TAPEOUT_E_DATA, "column \"%.*s\" (int64): %.17g is no 64-bit integer",
                       TP_STR_ARGS(field->name), yyjson_get_num(value));
    case TAPEOUT_TYPE_BOOL:
        if (yyjson_is_uint(value) && yyjson_get_uint(value) <= 1) {
            return tp_table_builder_bool(builder, column, yyjson_get_uint(value) == 1);
        }
        return fail_type(field, value, "true, false, 0 or 1", err);
    case TAPEOUT_TYPE_DATE:
    case TAPEOUT_TYPE_TIMESTAMP:
    case TAPEOUT_TYPE_TIMESTAMP_TZ:
        return fail_type(field, value, "text by ISO 8601", err);
    case TAPEOUT_TYPE_STRING:
        return fail_type(field, value, "a string", err);
    }
    return tp_fail(err, TAPEOUT_E_INTERNAL, "a column has no type");
}

static tapeout_status put_bool(serve_batch *batch, uint32_t column, yyjson_val *value,
                               tapeout_error *err)
{
    const tp_field *field = &batch->model->schema->fields[column];
    const bool truth = yyjson_get_bool(value);
    if (field->type == TAPEOUT_TYPE_BOOL) {
        return tp_table_builder_bool(batch->kit->builder, column, truth);
    }
    if (field->type == TAPEOUT_TYPE_INT64 || field->type == TAPEOUT_TYPE_FLOAT64) {
        return tp_table_builder_i64(batch->kit->builder, column, truth);
    }
    return fail_type(field, value, "text", err);
}

tapeout_status tp_serve_batch_value(serve_batch *batch, uint32_t column, yyjson_val *value,
                                    tapeout_error *err)
{
    tp_table_builder *builder = batch->kit->builder;
    const tp_field *field = &batch->model->schema->fields[column];
    tapeout_status status = TAPEOUT_OK;
    if (value == NULL || yyjson_is_null(value)) {
        batch->kit->missing[column]++;
        status = tp_table_builder_null(builder, column);
    } else if (yyjson_is_str(value)) {
        // Parsed JSON is well-formed UTF-8.
        status = field->type == TAPEOUT_TYPE_STRING
                     ? tp_table_builder_str(builder, column, tp_json_str(value))
                     : put_text(builder, column, field, tp_json_str(value), err);
    } else if (yyjson_is_num(value)) {
        status = put_number(batch, column, value, err);
    } else if (yyjson_is_bool(value)) {
        status = put_bool(batch, column, value, err);
    } else {
        return fail_type(field, value, "one value", err);
    }
    return status == TAPEOUT_E_NOMEM ? tp_fail_nomem(err) : status;
}

// Notes are for people: the first few suffice, and without memory there are fewer.
void tp_serve_batch_note_ignored(serve_batch *batch, tp_str name)
{
    uint32_t code = 0;
    if (batch->ignored.count < TP_MAX_NOTED_KEYS) {
        (void)tp_dict_add(&batch->ignored, name, &code);
    }
}

static int64_t find_column(const tp_served *model, tp_str key, int64_t guess)
{
    if (guess < (int64_t)model->schema->count &&
        tp_str_equal(model->schema->fields[guess].name, key)) {
        return guess;
    }
    return tp_dict_find(&model->columns, key);
}

tapeout_status tp_serve_batch_record(serve_batch *batch, yyjson_val *object, tapeout_error *err)
{
    if (!yyjson_is_obj(object)) {
        return tp_fail(err, TAPEOUT_E_DATA, "a record must be an object, not %s",
                       type_word(object));
    }
    const tp_schema *schema = batch->model->schema;
    tp_kit *kit = batch->kit;
    const uint64_t stamp = ++kit->stamp;
    int64_t column = -1;
    yyjson_obj_iter iter = yyjson_obj_iter_with(object);
    for (yyjson_val *key = yyjson_obj_iter_next(&iter); key != NULL;
         key = yyjson_obj_iter_next(&iter)) {
        const tp_str name = tp_json_str(key);
        const int64_t found = find_column(batch->model, name, column + 1);
        if (found < 0) {
            tp_serve_batch_note_ignored(batch, name);
            continue;
        }
        column = found;
        TP_TRY(tp_serve_batch_value(batch, (uint32_t)column, yyjson_obj_iter_get_val(key), err));
        kit->stamps[column] = stamp;
    }
    for (uint32_t c = 0; c < schema->count; c++) {
        if (kit->stamps[c] != stamp) {
            TP_TRY(tp_serve_batch_value(batch, c, NULL, err));
        }
    }
    batch->row_count++;
    return TAPEOUT_OK;
}

tapeout_status tp_serve_batch_list(serve_batch *batch, yyjson_val *list, const uint32_t *columns,
                                   uint32_t column_count, tapeout_error *err)
{
    if (!yyjson_is_arr(list)) {
        return tp_fail(err, TAPEOUT_E_DATA, "row %llu: a list of values was expected, not %s",
                       (unsigned long long)batch->row_count + 1, type_word(list));
    }
    if (yyjson_arr_size(list) != column_count) {
        return tp_fail(err, TAPEOUT_E_DATA, "row %llu has %zu values for %u columns",
                       (unsigned long long)batch->row_count + 1, yyjson_arr_size(list),
                       column_count);
    }
    const tp_schema *schema = batch->model->schema;
    tp_kit *kit = batch->kit;
    const uint64_t stamp = ++kit->stamp;
    yyjson_arr_iter iter = yyjson_arr_iter_with(list);
    for (uint32_t i = 0; i < column_count; i++) {
        yyjson_val *value = yyjson_arr_iter_next(&iter);
        const uint32_t column = columns == NULL ? i : columns[i];
        if (column < schema->count) { // else a column that the model does not know
            TP_TRY(tp_serve_batch_value(batch, column, value, err));
            kit->stamps[column] = stamp;
        }
    }
    for (uint32_t c = 0; c < schema->count; c++) {
        if (kit->stamps[c] != stamp) {
            TP_TRY(tp_serve_batch_value(batch, c, NULL, err));
        }
    }
    batch->row_count++;
    return TAPEOUT_OK;
}
