// SPDX-License-Identifier: Apache-2.0
//
// Rows of a table as JSON objects, a line each.
#include "pipeline/tp_batch.h"

#include "table/tp_json.h"
#include "table/tp_value.h"

#include <math.h>

static void append_text(tp_buffer *json, const char *text, size_t size)
{
    tp_json_append_str(json, (tp_str){text, size});
}

static void append_value(tp_buffer *json, const tp_column *column, uint64_t row, bool is_exact)
{
    char text[TP_VALUE_TEXT_SIZE];
    if (!tp_column_is_valid(column, row)) {
        tp_buffer_append_text(json, "null");
        return;
    }
    switch (column->type) {
    case TAPEOUT_TYPE_BOOL:
        tp_buffer_append_text(json,
                              column->values.bits[row >> 3] >> (row & 7) & 1 ? "true" : "false");
        return;
    case TAPEOUT_TYPE_INT64:
        tp_json_append_i64(json, column->values.i64[row]);
        return;
    case TAPEOUT_TYPE_FLOAT64:
        if (is_exact && isinf(column->values.f64[row])) {
            append_text(json, text, tp_print_f64(column->values.f64[row], text));
        } else {
            tp_json_append_f64(json, column->values.f64[row]);
        }
        return;
    case TAPEOUT_TYPE_DATE:
        append_text(json, text, tp_print_date(column->values.days[row], text));
        return;
    case TAPEOUT_TYPE_TIMESTAMP:
    case TAPEOUT_TYPE_TIMESTAMP_TZ:
        append_text(json, text,
                    tp_print_timestamp(column->values.i64[row],
                                       column->type == TAPEOUT_TYPE_TIMESTAMP_TZ, text));
        return;
    case TAPEOUT_TYPE_STRING:
        tp_json_append_str(json, tp_dict_get(column->dict, (uint32_t)column->values.codes[row]));
        return;
    }
}

static void append_row(tp_buffer *json, const tapeout_table *table, uint64_t row, bool is_exact)
{
    tp_buffer_append_char(json, '{');
    for (uint32_t c = 0; c < table->column_count; c++) {
        tp_json_append_key_str(json, table->columns[c].name);
        append_value(json, &table->columns[c], row, is_exact);
    }
    tp_buffer_append_char(json, '}');
}

void tp_json_append_row(tp_buffer *json, const tapeout_table *table, uint64_t row)
{
    append_row(json, table, row, false);
}

void tp_json_append_row_exact(tp_buffer *json, const tapeout_table *table, uint64_t row)
{
    append_row(json, table, row, true);
}
