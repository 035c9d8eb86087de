// SPDX-License-Identifier: Apache-2.0
//
// The fitted part of an imported program: which code each category has. `category` orders levels by
// falling count and then by bytes, so a table is made in which each category stands as often as it
// takes for the file's order to come out: once, and once more than the next where bytes alone would
// order the two otherwise. What was fitted is then compared with the file's list.
#include "import/import_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "table/tp_value.h"

#include <string.h>

typedef struct fitting {
    const tp_env *env;
    tp_import *import;
    uint32_t column_count; // with levels
    uint64_t row_count;
    tapeout_error *err;
} fitting;

// A level as the language makes a text of it; a number's stands in `buffer`.
static tp_str level_text(const import_column *column, uint32_t level,
                         char buffer[TP_VALUE_TEXT_SIZE])
{
    const import_levels *levels = column->levels;
    if (levels->texts != NULL) {
        return levels->texts[level];
    }
    if (column->type == TAPEOUT_TYPE_BOOL) {
        return levels->numbers[level] != 0 ? TP_STR("true") : TP_STR("false");
    }
    return (tp_str){buffer, tp_print_f64(levels->numbers[level], buffer)};
}

static bool is_before(const import_column *column, uint32_t level)
{
    char buffers[2][TP_VALUE_TEXT_SIZE];
    return tp_str_compare(level_text(column, level, buffers[0]),
                          level_text(column, level + 1, buffers[1])) < 0;
}

// How often the first level stands in the table.
static uint32_t first_repeats(const import_column *column)
{
    uint32_t repeats = 1;
    for (uint32_t i = 0; i + 1 < column->levels->count; i++) {
        repeats += is_before(column, i) ? 0 : 1;
    }
    return repeats;
}

// How often the level behind `level` does, which itself does `repeats` times.
static uint32_t repeats_behind(const import_column *column, uint32_t level, uint32_t repeats)
{
    return repeats - (level + 1 < column->levels->count && !is_before(column, level) ? 1 : 0);
}

// The rows that the longest column takes.
static tapeout_status measure(fitting *f)
{
    for (uint32_t c = 0; c < f->import->facts.columns; c++) {
        const import_column *column = &f->import->columns[c];
        uint64_t rows = 0;
        if (column->levels == NULL) {
            continue;
        }
        uint32_t repeats = first_repeats(column);
        for (uint32_t i = 0; i < column->levels->count; i++) {
            rows += repeats;
            repeats = repeats_behind(column, i, repeats);
        }
        f->column_count++;
        f->row_count = rows > f->row_count ? rows : f->row_count;
    }
    if (f->row_count * f->column_count > TP_MAX_FEATURE_LEVELS) {
        return tp_fail(f->err, TAPEOUT_E_LIMIT,
                       "%s: the lists of categories are too long in an order of their own: %llu "
                       "rows of %u columns would give it; at most %u cells are taken",
                       tp_import_kind_name(f->import->facts.kind), (unsigned long long)f->row_count,
                       f->column_count, TP_MAX_FEATURE_LEVELS);
    }
    return TAPEOUT_OK;
}

static tapeout_status append_level(const import_column *column, uint32_t level,
                                   tp_table_builder *builder, uint32_t at)
{
    const import_levels *levels = column->levels;
    if (levels->texts != NULL) {
        return tp_table_builder_str(builder, at, levels->texts[level]);
    }
    return column->type == TAPEOUT_TYPE_BOOL
               ? tp_table_builder_bool(builder, at, levels->numbers[level] != 0)
               : tp_table_builder_f64(builder, at, levels->numbers[level]);
}

static tapeout_status append_column(const fitting *f, const import_column *column,
                                    tp_table_builder *builder, uint32_t at)
{
    uint64_t rows = 0;
    uint32_t repeats = first_repeats(column);
    for (uint32_t i = 0; i < column->levels->count; i++) {
        for (uint32_t n = 0; n < repeats; n++, rows++) {
            if (append_level(column, i, builder, at) != TAPEOUT_OK) {
                return tp_fail_nomem(f->err);
            }
        }
        repeats = repeats_behind(column, i, repeats);
    }
    for (; rows < f->row_count; rows++) {
        if (tp_table_builder_null(builder, at) != TAPEOUT_OK) {
            return tp_fail_nomem(f->err);
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status fit_on(const fitting *f, const tapeout_table *table)
{
    const tp_feature_fit_data data = {.table = table, .rows = {.count = table->row_count}};
    return tp_feature_fit(f->env, f->import->program, &data, f->err);
}

static tapeout_status fit_levels(const fitting *f)
{
    const tp_import *import = f->import;
    tp_table_builder *builder = NULL;
    const tapeout_table *table = NULL;
    uint32_t at = 0;
    tp_field *fields = tp_alloc_array(f->env->alloc, f->column_count, sizeof(*fields));
    if (fields == NULL) {
        return tp_fail_nomem(f->err);
    }
    for (uint32_t c = 0; c < import->facts.columns; c++) {
        if (import->columns[c].levels != NULL) {
            fields[at++] = (tp_field){import->columns[c].name, import->columns[c].type};
        }
    }
    const tp_schema schema = {fields, f->column_count};
    tapeout_status status = tp_table_builder_new(f->env->alloc, &schema, &builder, f->err);
    at = 0;
    for (uint32_t c = 0; status == TAPEOUT_OK && c < import->facts.columns; c++) {
        if (import->columns[c].levels != NULL) {
            status = append_column(f, &import->columns[c], builder, at++);
        }
    }
    if (status == TAPEOUT_OK) {
        status = tp_table_builder_view(builder, &table, f->err);
    }
    if (status == TAPEOUT_OK) {
        status = fit_on(f, table);
    }
    tp_table_builder_free(builder);
    tp_free_array(f->env->alloc, fields, f->column_count, sizeof(*fields));
    return status;
}

// Whether each category has got the code that it had.
static tapeout_status compare_levels(const fitting *f, uint32_t c)
{
    const import_column *column = &f->import->columns[c];
    const tp_feature_output *output = tp_feature_output_at(f->import->program, c);
    bool is_same = output->is_category && output->category_count == column->levels->count;
    for (uint32_t i = 0; is_same && i < column->levels->count; i++) {
        char buffer[TP_VALUE_TEXT_SIZE];
        is_same = tp_str_equal(level_text(column, i, buffer), tp_dict_get(output->categories, i));
    }
    return is_same ? TAPEOUT_OK
                   : tp_fail(f->err, TAPEOUT_E_UNSUPPORTED,
                             "%s: the categories of column \"%.*s\" are not told apart by their "
                             "texts",
                             tp_import_kind_name(f->import->facts.kind), TP_STR_ARGS(column->name));
}

tapeout_status tp_import_fit(const tp_env *env, tp_import *import, tapeout_error *err)
{
    fitting f = {.env = env, .import = import, .row_count = 1, .err = err};
    TP_TRY(measure(&f));
    if (f.column_count == 0) {
        const tapeout_table unknown = {.row_count = 1}; // no function of the program is fitted
        return fit_on(&f, &unknown);
    }
    TP_TRY(fit_levels(&f));
    for (uint32_t c = 0; c < import->facts.columns; c++) {
        if (import->columns[c].levels != NULL) {
            TP_TRY(compare_levels(&f, c));
        }
    }
    return TAPEOUT_OK;
}
