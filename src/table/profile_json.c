// SPDX-License-Identifier: Apache-2.0
//
// A profile as the JSON that `tapeout profile` prints: {rows, columns: [{name, type, missing,
// distinct, min, max, mean, sd, quantiles, top, notes, target_score}]}. Numbers where the column is
// one, text as it would stand in a file where it is a date or a time; what does not apply is left
// out.
#include <tapeout/table.h>

#include "base/tp_alloc.h"
#include "base/tp_context.h"
#include "base/tp_error.h"
#include "table/tp_json.h"
#include "table/tp_profile.h"
#include "table/tp_value.h"

#include <math.h>
#include <string.h>

static const size_t json_bytes_max = (size_t)1 << 30;

static bool is_moment(tapeout_type type)
{
    return type == TAPEOUT_TYPE_DATE || type == TAPEOUT_TYPE_TIMESTAMP ||
           type == TAPEOUT_TYPE_TIMESTAMP_TZ;
}

static void append_value(tp_buffer *json, tapeout_type type, double value)
{
    if (!is_moment(type)) {
        tp_json_append_f64(json, value);
        return;
    }
    char text[TP_VALUE_TEXT_SIZE];
    const size_t size =
        type == TAPEOUT_TYPE_DATE
            ? tp_print_date((int32_t)value, text)
            : tp_print_timestamp((int64_t)value, type == TAPEOUT_TYPE_TIMESTAMP_TZ, text);
    tp_json_append_str(json, (tp_str){text, size});
}

static void append_numbers(tp_buffer *json, const tp_sketch *sketch)
{
    tp_json_append_key(json, "min");
    append_value(json, sketch->type, sketch->minimum);
    tp_json_append_key(json, "max");
    append_value(json, sketch->type, sketch->maximum);
    if (!is_moment(sketch->type)) {
        tp_json_append_key(json, "mean");
        tp_json_append_f64(json, sketch->mean);
        tp_json_append_key(json, "sd");
        tp_json_append_f64(json, sketch->deviation);
    }
    if (sketch->type == TAPEOUT_TYPE_BOOL) {
        return;
    }
    tp_json_append_key(json, "quantiles");
    for (size_t i = 0; i < TP_SKETCH_QUANTILES; i++) {
        tp_buffer_append_char(json, i == 0 ? '[' : ',');
        append_value(json, sketch->type, sketch->quantiles[i]);
    }
    tp_buffer_append_char(json, ']');
}

static void append_top(tp_buffer *json, const tp_sketch *sketch)
{
    tp_json_append_key(json, "top");
    tp_buffer_append_char(json, '[');
    for (uint32_t i = 0; i < sketch->top_count; i++) {
        tp_buffer_append_text(json, i == 0 ? "[" : ",[");
        tp_json_append_str(json, sketch->top[i].text);
        tp_buffer_append_char(json, ',');
        tp_json_append_u64(json, sketch->top[i].count);
        tp_buffer_append_char(json, ']');
    }
    tp_buffer_append_char(json, ']');
}

static void append_notes(tp_buffer *json, uint32_t notes)
{
    static const struct {
        uint32_t bit;
        const char *word;
    } words[] = {
#define NOTE_WORD(name, bit, word) {UINT32_C(1) << (bit), word},
        TP_PROFILE_NOTE_MAP(NOTE_WORD)
#undef NOTE_WORD
    };
    tp_json_append_key(json, "notes");
    tp_buffer_append_char(json, '[');
    bool is_first = true;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if ((notes & words[i].bit) != 0) {
            tp_buffer_append_text(json, is_first ? "" : ",");
            tp_json_append_str(json, tp_str_from(words[i].word));
            is_first = false;
        }
    }
    tp_buffer_append_char(json, ']');
}

static void append_column(tp_buffer *json, const tp_profile_column *column)
{
    const tp_sketch *sketch = &column->sketch;
    tp_buffer_append_char(json, '{');
    tp_json_append_key(json, "name");
    tp_json_append_str(json, sketch->name);
    tp_json_append_key(json, "type");
    tp_json_append_str(json, tp_str_from(tapeout_type_name(sketch->type)));
    tp_json_append_key(json, "missing");
    tp_json_append_u64(json, sketch->missing_count);
    tp_json_append_key(json, "distinct");
    tp_json_append_u64(json, sketch->distinct_count);
    if (sketch->has_numbers) {
        append_numbers(json, sketch);
    }
    if (sketch->top_count > 0) {
        append_top(json, sketch);
    }
    if (!isnan(column->leak_score)) {
        tp_json_append_key(json, "target_score");
        tp_json_append_f64(json, column->leak_score);
    }
    append_notes(json, column->notes);
    tp_buffer_append_char(json, '}');
}

static void append_profile(tp_buffer *json, const tapeout_table *table, const tp_profile *profile,
                           const char *target)
{
    tp_buffer_append_char(json, '{');
    tp_json_append_key(json, "rows");
    tp_json_append_u64(json, table->row_count);
    if (target != NULL) {
        tp_json_append_key(json, "target");
        tp_json_append_str(json, tp_str_from(target));
    }
    tp_json_append_key(json, "columns");
    tp_buffer_append_char(json, '[');
    for (uint32_t i = 0; i < table->column_count; i++) {
        tp_buffer_append_text(json, i == 0 ? "" : ",");
        append_column(json, &tp_profile_columns(profile)[i]);
    }
    tp_buffer_append_text(json, "]}");
}

static tapeout_status find_target(const tp_env *env, const tapeout_table *table, const char *target,
                                  uint32_t *ret_index, tapeout_error *err)
{
    *ret_index = tp_profile_no_target;
    if (target == NULL) {
        return TAPEOUT_OK;
    }
    const tp_column *column = tp_table_find(table, tp_str_from(target));
    if (column != NULL) {
        *ret_index = (uint32_t)(column - table->columns);
        return TAPEOUT_OK;
    }
    tp_str *names = tp_alloc_array(env->alloc, table->column_count, sizeof *names);
    if (names == NULL && table->column_count != 0) {
        return tp_fail_nomem(err);
    }
    for (uint32_t i = 0; i < table->column_count; i++) {
        names[i] = table->columns[i].name;
    }
    const int near = tp_str_nearest(tp_str_from(target), names, table->column_count);
    const tp_str hint = near < 0 ? TP_STR("") : names[near];
    tp_free_array(env->alloc, names, table->column_count, sizeof *names);
    return tp_fail(err, TAPEOUT_E_NOT_FOUND, "no column \"%s\"%s%.*s%s", target,
                   near < 0 ? "" : "; did you mean \"", TP_STR_ARGS(hint), near < 0 ? "" : "\"?");
}

tapeout_status tapeout_table_profile(tapeout_context *context, const tapeout_table *table,
                                     const char *target, char **ret_json, tapeout_error *err)
{
    if (context == NULL || table == NULL || ret_json == NULL) {
        return tp_fail(err, TAPEOUT_E_INVALID, "tapeout_table_profile: an argument is NULL");
    }
    const tp_env *env = tp_context_env(context);
    uint32_t index;
    TP_TRY(find_target(env, table, target, &index, err));
    tp_profile *profile;
    TP_TRY(
        tp_profile_new(env, table, (tp_row_choice){NULL, table->row_count}, index, &profile, err));
    tp_buffer json;
    tp_buffer_init(&json, env->alloc, json_bytes_max);
    append_profile(&json, table, profile, target);
    tp_profile_free(profile);
    return tp_text_from_buffer(&json, "profile", ret_json, err);
}
