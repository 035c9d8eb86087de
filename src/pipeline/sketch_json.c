// SPDX-License-Identifier: Apache-2.0
//
// Sketches as JSON: what each raw column and the prediction looked like in training, the baseline
// that live data is held against later.
#include "pipeline/pipeline_priv.h"

#include "base/tp_error.h"
#include "table/tp_json.h"

static void append_numbers(tp_buffer *json, const tp_sketch *sketch)
{
    tp_json_append_key(json, "min");
    tp_json_append_f64(json, sketch->minimum);
    tp_json_append_key(json, "max");
    tp_json_append_f64(json, sketch->maximum);
    tp_json_append_key(json, "mean");
    tp_json_append_f64(json, sketch->mean);
    tp_json_append_key(json, "deviation");
    tp_json_append_f64(json, sketch->deviation);
    tp_json_append_key(json, "quantiles");
    for (int i = 0; i < TP_SKETCH_QUANTILES; i++) {
        tp_buffer_append_char(json, i == 0 ? '[' : ',');
        tp_json_append_f64(json, sketch->quantiles[i]);
    }
    tp_buffer_append_char(json, ']');
}

void tp_pipeline_sketch_append(tp_buffer *json, const tp_sketch *sketch)
{
    tp_buffer_append_char(json, '{');
    tp_json_append_key(json, "name");
    tp_json_append_str(json, sketch->name);
    tp_json_append_key(json, "type");
    tp_json_append_str(json, tp_str_from(tapeout_type_name(sketch->type)));
    tp_json_append_key(json, "rows");
    tp_json_append_u64(json, sketch->row_count);
    tp_json_append_key(json, "missing");
    tp_json_append_u64(json, sketch->missing_count);
    tp_json_append_key(json, "distinct");
    tp_json_append_u64(json, sketch->distinct_count);
    if (sketch->has_numbers) {
        append_numbers(json, sketch);
    }
    if (sketch->top_count > 0) {
        tp_json_append_key(json, "top");
        for (uint32_t i = 0; i < sketch->top_count; i++) {
            tp_buffer_append_char(json, i == 0 ? '[' : ',');
            tp_buffer_append_char(json, '[');
            tp_json_append_str(json, sketch->top[i].text);
            tp_buffer_append_char(json, ',');
            tp_json_append_u64(json, sketch->top[i].count);
            tp_buffer_append_char(json, ']');
        }
        tp_buffer_append_char(json, ']');
    }
    tp_buffer_append_char(json, '}');
}

tapeout_status tp_pipeline_sketch_columns(const tp_env *env, const tp_schema *schema,
                                          const pipeline_rows *rows, tp_buffer *ret_json,
                                          tapeout_error *err)
{
    tp_buffer_append_char(ret_json, '[');
    for (uint32_t c = 0; c < schema->count; c++) {
        const tp_column *column = tp_table_find(rows->table, schema->fields[c].name);
        tp_arena arena;
        tp_sketch sketch;
        tp_arena_init(&arena, env->alloc, SIZE_MAX);
        const tapeout_status status = tp_sketch_column(
            env, column, (tp_row_choice){rows->index, rows->count}, &arena, &sketch, err);
        if (status == TAPEOUT_OK) {
            if (c > 0) {
                tp_buffer_append_char(ret_json, ',');
            }
            tp_pipeline_sketch_append(ret_json, &sketch);
        }
        tp_arena_deinit(&arena);
        TP_TRY(status);
    }
    tp_buffer_append_char(ret_json, ']');
    return tp_buffer_check(ret_json, "bundle sketch", err);
}
