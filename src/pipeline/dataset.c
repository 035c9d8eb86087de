// SPDX-License-Identifier: Apache-2.0
//
// From a spec's data section to rows with targets: read, drop the rows whose target is missing (and
// count them), find out the task, split, look the targets up.
#include "pipeline/pipeline_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_file.h"

#include <string.h>

static void csv_options(const tp_spec *spec, tp_csv_options *options)
{
    tp_csv_options_init(options);
    options->delimiter = spec->data.delimiter.data == NULL ? 0 : spec->data.delimiter.data[0];
    options->missing = spec->data.missing.items;
    options->missing_count = spec->data.missing.count;
    options->types = spec->data.types;
    options->type_count = spec->data.type_count;
}

static tapeout_status read_file(const tp_env *env, tp_str name, const tp_read_options *options,
                                tapeout_table **ret_table, tapeout_error *err)
{
    char *path = tp_path_join(env->alloc, options->directory, name.data);
    if (path == NULL) {
        return tp_fail_nomem(err);
    }
    const tapeout_status status = tp_table_read(env, path, options, ret_table, err);
    tp_free(env->alloc, path, strlen(path) + 1);
    return status;
}

// The test file gets the training file's types, so that one odd value cannot turn a column to text.
static tapeout_status read_test(const tp_env *env, const tp_spec *spec, const char *duckdb_library,
                                pipeline_dataset *dataset, tapeout_error *err)
{
    const tapeout_table *train = dataset->table;
    tp_field *fields = tp_arena_array(&dataset->arena, train->column_count, sizeof(*fields));
    if (fields == NULL) {
        return tp_fail_nomem(err);
    }
    for (uint32_t c = 0; c < train->column_count; c++) {
        fields[c] = (tp_field){train->columns[c].name, train->columns[c].type};
    }
    const tp_schema expect = {fields, train->column_count};
    tp_csv_options csv;
    csv_options(spec, &csv);
    csv.expect = &expect;
    const tp_read_options options = {duckdb_library, spec->directory, &csv};
    return read_file(env, spec->data.test, &options, &dataset->test_table, err);
}

static tapeout_status read_tables(const tp_env *env, const tp_spec *spec,
                                  const char *duckdb_library, pipeline_dataset *dataset,
                                  tapeout_error *err)
{
    tp_csv_options csv;
    csv_options(spec, &csv);
    const tp_read_options options = {duckdb_library, spec->directory, &csv};
    if (spec->data.query.data != NULL) {
        TP_TRY(tp_sql_query(env, spec->data.query, &options, &dataset->table, err));
    } else {
        TP_TRY(read_file(env, spec->data.train, &options, &dataset->table, err));
    }
    if (dataset->table->row_count > UINT32_MAX) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "%s: more than 2^32-1 rows", spec->path);
    }
    return spec->data.test.data == NULL ? TAPEOUT_OK
                                        : read_test(env, spec, duckdb_library, dataset, err);
}

tapeout_status tp_pipeline_find_column(const tp_env *env, const tapeout_table *table, tp_str name,
                                       const tp_column **ret_column, tapeout_error *err)
{
    *ret_column = tp_table_find(table, name);
    if (*ret_column != NULL) {
        return TAPEOUT_OK;
    }
    tp_str *names = tp_alloc_array(env->alloc, table->column_count, sizeof(*names));
    if (names == NULL) {
        return tp_fail_nomem(err);
    }
    for (uint32_t c = 0; c < table->column_count; c++) {
        names[c] = table->columns[c].name;
    }
    const int nearest = tp_str_nearest(name, names, table->column_count);
    const tp_str near = nearest < 0 ? TP_STR("") : names[nearest];
    tp_free_array(env->alloc, names, table->column_count, sizeof(*names));
    return tp_fail(err, TAPEOUT_E_INVALID, "the data has no column \"%.*s\"%s%.*s%s",
                   TP_STR_ARGS(name), nearest < 0 ? "" : "; did you mean \"", TP_STR_ARGS(near),
                   nearest < 0 ? "" : "\"?");
}

static tapeout_status find_target(const tp_env *env, const tp_spec *spec,
                                  const tapeout_table *table, const tp_column **ret_column,
                                  tapeout_error *err)
{
    const tapeout_status status =
        tp_pipeline_find_column(env, table, spec->target.column, ret_column, err);
    if (status == TAPEOUT_E_INVALID) {
        tp_error_prefix(err, "%s: target", spec->path);
    }
    return status;
}

// Rows that have a target, ascending. `*ret_rows` has room for all rows of the column.
static tapeout_status rows_with_target(const tapeout_allocator *alloc, const tp_column *column,
                                       uint32_t **ret_rows, uint64_t *ret_count, tapeout_error *err)
{
    uint32_t *rows = tp_alloc_array(alloc, column->row_count, sizeof(*rows));
    if (rows == NULL && column->row_count > 0) {
        return tp_fail_nomem(err);
    }
    uint64_t count = 0;
    for (uint64_t row = 0; row < column->row_count; row++) {
        rows[count] = (uint32_t)row;
        count += tp_column_is_valid(column, row);
    }
    *ret_rows = rows;
    *ret_count = count;
    return TAPEOUT_OK;
}

static tapeout_status make_schema(pipeline_dataset *dataset, const tp_spec *spec,
                                  tapeout_error *err)
{
    const tapeout_table *table = dataset->table;
    tp_field *fields = tp_arena_array(&dataset->arena, table->column_count, sizeof(*fields));
    if (fields == NULL) {
        return tp_fail_nomem(err);
    }
    uint32_t count = 0;
    for (uint32_t c = 0; c < table->column_count; c++) {
        if (!tp_str_equal(table->columns[c].name, spec->target.column)) {
            fields[count++] = (tp_field){table->columns[c].name, table->columns[c].type};
        }
    }
    dataset->schema = (tp_schema){fields, count};
    return TAPEOUT_OK;
}

static tapeout_status take_test_file(const tp_env *env, const tp_spec *spec,
                                     pipeline_dataset *dataset, tapeout_error *err)
{
    const tp_column *column = NULL;
    TP_TRY(find_target(env, spec, dataset->test_table, &column, err));
    dataset->test.table = dataset->test_table;
    TP_TRY(rows_with_target(env->alloc, column, &dataset->test.index, &dataset->test.count, err));
    // The array keeps room for every row of the file; give the rest back.
    uint32_t *fit = tp_resize_array(env->alloc, dataset->test.index, column->row_count,
                                    dataset->test.count, sizeof(*fit));
    if (fit == NULL && dataset->test.count > 0) {
        tp_free_array(env->alloc, dataset->test.index, column->row_count, sizeof(*fit));
        dataset->test = (pipeline_rows){0};
        return tp_fail_nomem(err);
    }
    dataset->test.index = fit;
    return dataset->test.count > 0
               ? TAPEOUT_OK
               : tp_fail(err, TAPEOUT_E_DATA, "%s: the test file has no rows with a target",
                         spec->path);
}

static tapeout_status look_up_targets(const tp_spec *spec, pipeline_dataset *dataset,
                                      tapeout_error *err)
{
    TP_TRY(tp_pipeline_target_values(dataset, spec, &dataset->train, err));
    TP_TRY(tp_pipeline_target_values(dataset, spec, &dataset->hold_out, err));
    return tp_pipeline_target_values(dataset, NULL, &dataset->test, err);
}

static tapeout_status prepare_rows(const tp_env *env, const tp_spec *spec,
                                   pipeline_dataset *dataset, tapeout_error *err)
{
    const tp_column *column = NULL;
    uint32_t *rows = NULL;
    uint64_t count = 0;
    TP_TRY(find_target(env, spec, dataset->table, &column, err));
    TP_TRY(make_schema(dataset, spec, err));
    TP_TRY(rows_with_target(env->alloc, column, &rows, &count, err));
    dataset->dropped_count = column->row_count - count;
    tapeout_status status = TAPEOUT_OK;
    if (count == 0) {
        status =
            tp_fail(err, TAPEOUT_E_DATA,
                    "%s: no row has a value in the target \"%.*s\" (%llu rows read); check the "
                    "column, the query and the missing markers",
                    spec->path, TP_STR_ARGS(column->name), (unsigned long long)column->row_count);
    }
    if (status == TAPEOUT_OK) {
        status = tp_pipeline_target_infer(spec, dataset, (tp_row_choice){rows, count}, err);
    }
    if (status == TAPEOUT_OK && dataset->test_table != NULL) {
        status = take_test_file(env, spec, dataset, err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_pipeline_split(env, spec, dataset, (tp_row_choice){rows, count}, err);
    }
    tp_free_array(env->alloc, rows, column->row_count, sizeof(*rows));
    TP_TRY(status);
    dataset->train.is_training = true;
    return look_up_targets(spec, dataset, err);
}

tapeout_status tp_pipeline_dataset_read(const tp_env *env, const tp_spec *spec,
                                        const char *duckdb_library, pipeline_dataset *ret_dataset,
                                        tapeout_error *err)
{
    memset(ret_dataset, 0, sizeof(*ret_dataset));
    ret_dataset->alloc = env->alloc;
    tp_arena_init(&ret_dataset->arena, env->alloc, TP_MAX_BUNDLE_SCHEMA_BYTES);
    tapeout_status status = read_tables(env, spec, duckdb_library, ret_dataset, err);
    if (status == TAPEOUT_OK) {
        status = prepare_rows(env, spec, ret_dataset, err);
    }
    if (status != TAPEOUT_OK) {
        tp_pipeline_dataset_deinit(ret_dataset);
    }
    return status;
}

void tp_pipeline_rows_deinit(const tapeout_allocator *alloc, pipeline_rows *rows)
{
    tp_free_array(alloc, rows->index, rows->count, sizeof(*rows->index));
    tp_free_array(alloc, rows->target, rows->count, sizeof(*rows->target));
    tp_free_array(alloc, rows->weight, rows->count, sizeof(*rows->weight));
}

void tp_pipeline_dataset_deinit(pipeline_dataset *dataset)
{
    tp_pipeline_rows_deinit(dataset->alloc, &dataset->train);
    tp_pipeline_rows_deinit(dataset->alloc, &dataset->hold_out);
    tp_pipeline_rows_deinit(dataset->alloc, &dataset->test);
    tp_table_unref(dataset->table);
    tp_table_unref(dataset->test_table);
    tp_arena_deinit(&dataset->arena);
    const tapeout_allocator *alloc = dataset->alloc;
    memset(dataset, 0, sizeof(*dataset));
    dataset->alloc = alloc;
}
