// SPDX-License-Identifier: Apache-2.0
//
// Rows and scores as texts, and rows back from theirs.
#include "pipeline/tp_receipt.h"

#include "base/tp_error.h"
#include "pipeline/tp_batch.h"
#include "table/tp_json.h"

// -- writing -------------------------------------------------------------------------------------
void tp_receipt_rows_write(const tapeout_table *table, tp_buffer *json)
{
    tp_buffer_append_char(json, '[');
    for (uint64_t row = 0; row < table->row_count && json->status == TAPEOUT_OK; row++) {
        tp_buffer_append_text(json, row == 0 ? "" : ",");
        tp_json_append_row_exact(json, table, row);
    }
    tp_buffer_append_char(json, ']');
}

static void append_numbers(tp_buffer *json, const char *key, const double *values, uint64_t count)
{
    tp_json_append_key(json, key);
    tp_buffer_append_char(json, '[');
    for (uint64_t i = 0; i < count && json->status == TAPEOUT_OK; i++) {
        tp_buffer_append_text(json, i == 0 ? "" : ",");
        tp_json_append_f64(json, values[i]);
    }
    tp_buffer_append_char(json, ']');
}

void tp_receipt_output_write(const tp_scores *scores, uint32_t class_count, tp_buffer *json)
{
    tp_buffer_append_char(json, '{');
    append_numbers(json, "prediction", scores->prediction, scores->row_count);
    if (scores->probability != NULL) {
        const uint64_t classes = class_count == 2 ? 1 : class_count;
        append_numbers(json, "probability", scores->probability, classes * scores->row_count);
    }
    tp_buffer_append_char(json, '}');
}

// -- reading -------------------------------------------------------------------------------------
static tapeout_status fail_value(const tp_field *field, uint64_t row, tapeout_error *err)
{
    return tp_fail(err, TAPEOUT_E_DATA, "row %llu: column \"%.*s\" (%s): the value is none",
                   (unsigned long long)row + 1, TP_STR_ARGS(field->name),
                   tapeout_type_name(field->type));
}

// One value of a column; `value` NULL: missing.
static tapeout_status put_value(tp_table_builder *builder, uint32_t column, const tp_field *field,
                                yyjson_val *value, tapeout_error *err)
{
    if (value == NULL || yyjson_is_null(value)) {
        return tp_table_builder_null(builder, column);
    }
    if (yyjson_is_str(value)) {
        return field->type == TAPEOUT_TYPE_STRING
                   ? tp_table_builder_str(builder, column, tp_json_str(value))
                   : tp_table_builder_text(builder, column, tp_json_str(value), err);
    }
    if (yyjson_is_bool(value) && field->type == TAPEOUT_TYPE_BOOL) {
        return tp_table_builder_bool(builder, column, yyjson_get_bool(value));
    }
    if (yyjson_is_num(value) && field->type == TAPEOUT_TYPE_FLOAT64) {
        return tp_table_builder_f64(builder, column, yyjson_get_num(value));
    }
    if (yyjson_is_int(value) && field->type == TAPEOUT_TYPE_INT64 &&
        (yyjson_is_sint(value) || yyjson_get_uint(value) <= INT64_MAX)) {
        return tp_table_builder_i64(builder, column, yyjson_get_sint(value));
    }
    return TAPEOUT_E_DATA;
}

tapeout_status tp_receipt_rows_read(yyjson_val *rows, const tp_schema *schema,
                                    tp_table_builder *builder, tapeout_error *err)
{
    yyjson_arr_iter iter = yyjson_arr_iter_with(rows);
    if (!yyjson_is_arr(rows)) {
        return tp_fail(err, TAPEOUT_E_DATA, "a list of rows was expected");
    }
    for (uint64_t row = 0; yyjson_arr_iter_has_next(&iter); row++) {
        yyjson_val *object = yyjson_arr_iter_next(&iter);
        if (!yyjson_is_obj(object)) {
            return tp_fail(err, TAPEOUT_E_DATA, "row %llu is no object", (unsigned long long)row);
        }
        for (uint32_t c = 0; c < schema->count; c++) {
            const tp_field *field = &schema->fields[c];
            yyjson_val *value = yyjson_obj_getn(object, field->name.data, field->name.size);
            const tapeout_status status = put_value(builder, c, field, value, err);
            if (status == TAPEOUT_E_NOMEM) {
                return tp_fail_nomem(err);
            }
            if (status != TAPEOUT_OK) {
                return fail_value(field, row, err);
            }
        }
    }
    return TAPEOUT_OK;
}
