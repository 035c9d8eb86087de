// SPDX-License-Identifier: Apache-2.0
//
// The public face of tables: arguments checked, options turned into the internal ones, the
// context's env passed on. Nothing is decided here.
#include <tapeout/table.h>

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_context.h"
#include "base/tp_error.h"
#include "table/tp_table.h"
#include "table/tp_value.h"

#include <string.h>

void tapeout_read_options_init(tapeout_read_options *options)
{
    *options = (tapeout_read_options){.struct_size = sizeof *options};
}

// "column=type": the last '=' divides, since a name may hold one.
static tapeout_status parse_override(const char *text, tp_field *ret_field, tapeout_error *err)
{
    const char *equals = text == NULL ? NULL : strrchr(text, '=');
    if (equals == NULL || equals == text ||
        !tp_type_from_name(tp_str_from(equals + 1), &ret_field->type)) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "type \"%s\": expected COLUMN=TYPE, where TYPE is bool, int64, float64, "
                       "date, timestamp, timestamptz or string",
                       text == NULL ? "" : text);
    }
    ret_field->name = (tp_str){text, (size_t)(equals - text)};
    return TAPEOUT_OK;
}

// The caller's options with those that an older caller does not know left at their defaults.
static tapeout_read_options complete(const tapeout_read_options *options)
{
    tapeout_read_options known;
    tapeout_read_options_init(&known);
    if (options != NULL) {
        const size_t size =
            options->struct_size < sizeof known ? options->struct_size : sizeof known;
        memcpy(&known, options, size);
    }
    return known;
}

static tapeout_status fill_options(const tapeout_read_options *options, tp_str *markers,
                                   tp_field *types, tp_csv_options *csv, tapeout_error *err)
{
    tp_csv_options_init(csv);
    csv->delimiter = options->delimiter;
    for (size_t i = 0; i < options->missing_count; i++) {
        markers[i] = tp_str_from(options->missing[i]);
    }
    if (options->missing_count != 0) {
        csv->missing = markers;
        csv->missing_count = options->missing_count;
    }
    for (size_t i = 0; i < options->type_count; i++) {
        TP_TRY(parse_override(options->type_names[i], &types[i], err));
    }
    csv->types = types;
    csv->type_count = options->type_count;
    return TAPEOUT_OK;
}

tapeout_status tapeout_table_read(tapeout_context *context, const char *path,
                                  const tapeout_read_options *options, tapeout_table **ret_table,
                                  tapeout_error *err)
{
    if (context == NULL || path == NULL || ret_table == NULL) {
        return tp_fail(err, TAPEOUT_E_INVALID, "tapeout_table_read: an argument is NULL");
    }
    const tapeout_read_options known = complete(options);
    if (known.missing_count > TP_MAX_CSV_MARKERS || known.type_count > TP_MAX_CSV_COLUMNS) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "at most %u missing markers and %u types",
                       TP_MAX_CSV_MARKERS, TP_MAX_CSV_COLUMNS);
    }
    const tp_env *env = tp_context_env(context);
    tp_str *markers = tp_alloc_array(env->alloc, known.missing_count, sizeof *markers);
    tp_field *types = tp_alloc_array(env->alloc, known.type_count, sizeof *types);
    const bool is_starved =
        (markers == NULL && known.missing_count != 0) || (types == NULL && known.type_count != 0);
    tp_csv_options csv;
    tapeout_status status =
        is_starved ? tp_fail_nomem(err) : fill_options(&known, markers, types, &csv, err);
    if (status == TAPEOUT_OK) {
        const tp_read_options read = {.duckdb_library = tp_context_duckdb(context), .csv = &csv};
        status = tp_table_read(env, path, &read, ret_table, err);
    }
    tp_free_array(env->alloc, markers, known.missing_count, sizeof *markers);
    tp_free_array(env->alloc, types, known.type_count, sizeof *types);
    return status;
}

void tapeout_table_free(tapeout_table *table)
{
    tp_table_unref(table);
}

uint64_t tapeout_table_row_count(const tapeout_table *table)
{
    return table == NULL ? 0 : table->row_count;
}

uint32_t tapeout_table_column_count(const tapeout_table *table)
{
    return table == NULL ? 0 : table->column_count;
}

const char *tapeout_table_column_name(const tapeout_table *table, uint32_t column)
{
    return table == NULL || column >= table->column_count ? NULL : table->columns[column].name.data;
}

tapeout_type tapeout_table_column_type(const tapeout_table *table, uint32_t column)
{
    return table == NULL || column >= table->column_count ? TAPEOUT_TYPE_STRING
                                                          : table->columns[column].type;
}
