// SPDX-License-Identifier: Apache-2.0
//
// How long one row takes, features and learner. A gate that has no data at hand makes its rows of
// what the bundle remembers of its training columns, quantiles and frequent values.
#include "pipeline/tp_gate.h"

#include "base/tp_clock.h"
#include "base/tp_error.h"
#include "table/tp_json.h"

#include <math.h>
#include <stdlib.h>

enum { ROWS = 21, WARM_UP = 100, RUNS = 1001 };

// -- the median ----------------------------------------------------------------------------------
static int compare_doubles(const void *a, const void *b)
{
    const double left = *(const double *)a;
    const double right = *(const double *)b;
    return (left > right) - (left < right);
}

tapeout_status tp_gate_time_rows(const tp_env *env, const tp_scorer *scorer,
                                 const tapeout_table *table, tp_row_choice rows, double *ret_us,
                                 tapeout_error *err)
{
    const tp_env alone = {.alloc = env->alloc}; // one row needs no pool
    tp_session *session = NULL;
    double times[RUNS];
    TP_TRY(tp_session_new(&alone, scorer, &session, err));
    tapeout_status status = TAPEOUT_OK;
    for (int i = -WARM_UP; i < RUNS && status == TAPEOUT_OK; i++) {
        const tp_row_choice row = {&rows.index[(uint64_t)(i + WARM_UP) % rows.count], 1};
        tp_scores scores;
        const uint64_t start_ns = tp_clock_monotonic_ns();
        status = tp_session_score(session, table, row, &scores, err);
        if (i >= 0) {
            times[i] = (double)(tp_clock_monotonic_ns() - start_ns) * 1e-3;
        }
    }
    tp_session_free(session);
    TP_TRY(status);
    qsort(times, RUNS, sizeof(times[0]), compare_doubles);
    *ret_us = times[RUNS / 2];
    return TAPEOUT_OK;
}

// -- rows of what the bundle remembers -----------------------------------------------------------
static yyjson_val *sketch_of(yyjson_val *columns, tp_str name)
{
    yyjson_arr_iter at = yyjson_arr_iter_with(columns);
    for (yyjson_val *column = NULL; (column = yyjson_arr_iter_next(&at)) != NULL;) {
        if (tp_str_equal(tp_json_get_str(column, "name"), name)) {
            return column;
        }
    }
    return NULL;
}

static tapeout_status put_number(tp_table_builder *builder, uint32_t column, tapeout_type type,
                                 double value)
{
    if (!(fabs(value) < 9e18)) {
        return tp_table_builder_null(builder, column);
    }
    switch (type) {
    case TAPEOUT_TYPE_FLOAT64:
        return tp_table_builder_f64(builder, column, value);
    case TAPEOUT_TYPE_DATE:
        return fabs(value) < 2e9 ? tp_table_builder_days(builder, column, (int32_t)value)
                                 : tp_table_builder_null(builder, column);
    case TAPEOUT_TYPE_BOOL:
        return tp_table_builder_bool(builder, column, value != 0);
    default:
        return tp_table_builder_i64(builder, column, (int64_t)value);
    }
}

// The value that a column has in row `row`.
static tapeout_status put_value(tp_table_builder *builder, uint32_t column, const tp_field *field,
                                yyjson_val *sketch, uint32_t row)
{
    yyjson_val *top = yyjson_obj_get(sketch, "top");
    yyjson_val *number = yyjson_arr_get(yyjson_obj_get(sketch, "quantiles"), row);
    if (field->type != TAPEOUT_TYPE_STRING && yyjson_is_num(number)) {
        return put_number(builder, column, field->type, yyjson_get_num(number));
    }
    if (field->type == TAPEOUT_TYPE_BOOL) {
        return tp_table_builder_bool(builder, column, row % 2 == 1);
    }
    if (field->type == TAPEOUT_TYPE_STRING && yyjson_arr_size(top) > 0) {
        yyjson_val *pair = yyjson_arr_get(top, row % yyjson_arr_size(top));
        return tp_table_builder_str(builder, column, tp_json_str(yyjson_arr_get_first(pair)));
    }
    return tp_table_builder_null(builder, column);
}

static tapeout_status make_rows(const tp_scorer *scorer, yyjson_val *columns,
                                tp_table_builder *builder, tapeout_error *err)
{
    const tp_schema *schema = tp_scorer_schema(scorer);
    for (uint32_t c = 0; c < schema->count; c++) {
        yyjson_val *sketch = sketch_of(columns, schema->fields[c].name);
        for (uint32_t row = 0; row < ROWS; row++) {
            if (put_value(builder, c, &schema->fields[c], sketch, row) != TAPEOUT_OK) {
                return tp_fail_nomem(err);
            }
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status time_scorer(const tp_env *env, const tp_scorer *scorer, double *ret_us,
                                  tapeout_error *err)
{
    const tapeout_table *table = NULL;
    tp_table_builder *builder = NULL;
    yyjson_doc *doc = NULL;
    const tp_str sketch = tp_bundle_section_find(tp_scorer_bundle(scorer), TP_STR("sketch.json"));
    TP_TRY(tp_json_parse(env->alloc, sketch, "sketch of the bundle", &doc, err));
    yyjson_val *columns = yyjson_obj_get(yyjson_doc_get_root(doc), "columns");
    tapeout_status status =
        tp_table_builder_new(env->alloc, tp_scorer_schema(scorer), &builder, err);
    if (status == TAPEOUT_OK) {
        status = make_rows(scorer, columns, builder, err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_table_builder_view(builder, &table, err);
    }
    if (status == TAPEOUT_OK) {
        uint32_t index[ROWS];
        for (uint32_t row = 0; row < ROWS; row++) {
            index[row] = row;
        }
        status = tp_gate_time_rows(env, scorer, table, (tp_row_choice){index, ROWS}, ret_us, err);
    }
    tp_table_builder_free(builder);
    yyjson_doc_free(doc);
    return status;
}

tapeout_status tp_gate_time_row(const tp_env *env, tp_bundle **bundle, double *ret_us,
                                tapeout_error *err)
{
    tp_scorer *scorer = NULL;
    TP_TRY(tp_scorer_from_bundle(env, bundle, &scorer, err));
    const tapeout_status status = time_scorer(env, scorer, ret_us, err);
    tp_scorer_close(&scorer);
    return status;
}
