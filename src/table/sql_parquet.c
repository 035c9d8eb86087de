// SPDX-License-Identifier: Apache-2.0
//
// Parquet in and out through the session of sql.c. A file that somebody typed or sent is read with
// the same confinement as a query's: DuckDB opens that one path, once parquet_check.c has found the
// file to agree with itself. Writing goes to a file beside the
// target, whose bytes then become the target whole or not at all.
#include "table/parquet_priv.h"
#include "table/sql_priv.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// What stands behind the words of the error that our own SELECT raises.
#define NOT_WHOLE "is no whole number, where one is expected"

// -- the SELECT that reads it --------------------------------------------------------------------
static int64_t find_column(sql_session *session, duck_result *header, tp_str name)
{
    const duck_index count = session->api.column_count(header);
    for (duck_index c = 0; c < count; c++) {
        if (tp_str_equal(tp_str_from(session->api.column_name(header, c)), name)) {
            return (int64_t)c;
        }
    }
    return -1;
}

static bool has_fractions(sql_session *session, duck_result *header, int64_t column)
{
    duck_logical_type logical = session->api.column_logical_type(header, (duck_index)column);
    const duck_type type = session->api.get_type_id(logical);
    session->api.destroy_logical_type(&logical);
    return type == DUCK_FLOAT || type == DUCK_DOUBLE || type == DUCK_DECIMAL;
}

// The query, and which of the expected columns the file lacks.
typedef struct parquet_select {
    tp_buffer text;
    bool *is_absent; // [expected columns]
} parquet_select;

// One expected column: as it is in the file but in the type expected, or missing throughout. SQL
// would round a fraction to an integer in silence.
static bool append_expected(sql_session *session, duck_result *header, const tp_field *field,
                            tp_buffer *text)
{
    const char *type = tp_duck_type_name(tp_duck_type_of(field->type));
    const int64_t found = find_column(session, header, field->name);
    if (found < 0) {
        tp_buffer_append_text(text, "NULL");
    } else if (field->type == TAPEOUT_TYPE_INT64 && has_fractions(session, header, found)) {
        tp_buffer_append_text(text, "CASE WHEN trunc(");
        tp_sql_append_quoted(text, '"', field->name);
        tp_buffer_append_text(text, ") <> ");
        tp_sql_append_quoted(text, '"', field->name);
        tp_buffer_append_text(text, " THEN error('a value of column ' || ");
        tp_sql_append_quoted(text, '\'', field->name);
        tp_buffer_append_text(text, " || ' " NOT_WHOLE "') ELSE ");
        tp_sql_append_quoted(text, '"', field->name);
        tp_buffer_append_text(text, " END");
    } else {
        tp_sql_append_quoted(text, '"', field->name);
    }
    tp_buffer_printf(text, "::%s AS ", type);
    tp_sql_append_quoted(text, '"', field->name);
    return found >= 0;
}

static tapeout_status append_columns(sql_session *session, const char *path,
                                     const tp_schema *expect, parquet_select *select,
                                     tapeout_error *err)
{
    tp_buffer look;
    tp_buffer_init(&look, session->env->alloc, 2 * TP_MAX_PATH_BYTES + 64);
    tp_buffer_append_text(&look, "FROM parquet_scan(");
    tp_sql_append_quoted(&look, '\'', tp_str_from(path));
    tp_buffer_append_text(&look, ") LIMIT 0");
    tp_buffer_append_char(&look, '\0');
    tapeout_status status = tp_buffer_check(&look, "parquet: the file name", err);
    duck_result header;
    if (status == TAPEOUT_OK) {
        status = tp_sql_session_select(session, look.data, &header, err);
    }
    tp_buffer_deinit(&look);
    TP_TRY(status);
    for (uint32_t i = 0; i < expect->count; i++) {
        tp_buffer_append_text(&select->text, i == 0 ? "" : ", ");
        select->is_absent[i] =
            !append_expected(session, &header, &expect->fields[i], &select->text);
    }
    session->api.destroy_result(&header);
    return TAPEOUT_OK;
}

static tapeout_status write_select(sql_session *session, const char *path, const tp_schema *expect,
                                   parquet_select *select, tapeout_error *err)
{
    tp_buffer *text = &select->text;
    tp_buffer_append_text(text, "SELECT ");
    if (expect == NULL || expect->count == 0) {
        tp_buffer_append_char(text, '*');
    } else {
        TP_TRY(append_columns(session, path, expect, select, err));
    }
    tp_buffer_append_text(text, " FROM parquet_scan(");
    tp_sql_append_quoted(text, '\'', tp_str_from(path));
    tp_buffer_append_text(text, ")");
    tp_buffer_append_char(text, '\0');
    return tp_buffer_check(text, "parquet: the list of columns", err);
}

// -- reading -------------------------------------------------------------------------------------
static tapeout_status read_confined(sql_session *session, const char *path, const tp_schema *expect,
                                    tapeout_table **ret_table, tapeout_error *err)
{
    const tp_str allowed = tp_str_from(path);
    TP_TRY(tp_sql_session_confine(session, &allowed, 1, err));
    TP_TRY(tp_sql_session_lock(session, err));
    const size_t count = expect == NULL ? 0 : expect->count;
    parquet_select select = {.is_absent =
                                 tp_alloc_array_zero(session->env->alloc, count + 1, sizeof(bool))};
    if (select.is_absent == NULL) {
        return tp_fail_nomem(err);
    }
    tp_buffer_init(&select.text, session->env->alloc, TP_MAX_SQL_COLUMNS_BYTES);
    tapeout_status status = write_select(session, path, expect, &select, err);
    duck_result result;
    if (status == TAPEOUT_OK) {
        status = tp_sql_session_select(session, select.text.data, &result, err);
    }
    tp_buffer_deinit(&select.text);
    if (status == TAPEOUT_OK) {
        status = tp_sql_result_table(session, &result, ret_table, err);
        session->api.destroy_result(&result);
    }
    for (size_t i = 0; i < count && status == TAPEOUT_OK; i++) {
        (*ret_table)->columns[i].is_absent = select.is_absent[i];
    }
    tp_free_array(session->env->alloc, select.is_absent, count + 1, sizeof(bool));
    return status;
}

// DuckDB has several words for a file that is not what it should be; a value that does not fit the
// type expected is not among them.
static bool is_damage(const tapeout_error *err)
{
    switch ((int)err->status) {
    case TAPEOUT_E_INVALID:
    case TAPEOUT_E_DATA:
    case TAPEOUT_E_IO:
    case TAPEOUT_E_INTERNAL:
        return strstr(err->message, "Conversion Error") == NULL &&
               strstr(err->message, NOT_WHOLE) == NULL;
    default:
        return false;
    }
}

tapeout_status tp_parquet_file_check(const tapeout_allocator *alloc, const char *path,
                                     tapeout_error *err)
{
    tp_map map;
    TP_TRY(tp_map_open(path, &map, err));
    const tapeout_status status = tp_parquet_check(alloc, map.data, map.size, err);
    tp_map_close(&map);
    return status;
}

// As a person is told: DuckDB's words and ours for damage get the same beginning.
static void explain(tapeout_error *err, const char *path)
{
    if (is_damage(err)) {
        err->status = TAPEOUT_E_CORRUPT;
    }
    tp_error_prefix(err,
                    err->status == TAPEOUT_E_CORRUPT ? "parquet: %s is not a sound Parquet file"
                                                     : "parquet: %s",
                    path);
}

tapeout_status tp_parquet_read(const tp_env *env, const char *path, const tp_read_options *options,
                               tapeout_table **ret_table, tapeout_error *err)
{
    char resolved[TP_MAX_PATH_BYTES];
    if (realpath(path, resolved) == NULL) {
        return tp_fail_errno(err, errno, "parquet: %s", path);
    }
    sql_session session;
    TP_TRY(tp_sql_session_open(&session, env, options->duckdb_library, err));
    tapeout_error local = {0};
    const tp_schema *expect = options->csv == NULL ? NULL : options->csv->expect;
    tapeout_status status = tp_parquet_file_check(env->alloc, resolved, &local);
    if (status == TAPEOUT_OK) {
        status = read_confined(&session, resolved, expect, ret_table, &local);
    }
    tp_sql_session_close(&session);
    if (status == TAPEOUT_OK) {
        return TAPEOUT_OK;
    }
    explain(&local, path);
    if (err != NULL) {
        *err = local;
    }
    return local.status;
}

// -- writing -------------------------------------------------------------------------------------
// Moves the file at `from` into `path` by way of a writer, which syncs and renames.
static tapeout_status publish(const tp_env *env, const char *from, const char *path,
                              tapeout_error *err)
{
    tp_map map;
    TP_TRY(tp_map_open(from, &map, err));
    tp_writer *writer = NULL;
    tapeout_status status = tp_writer_open(env->alloc, path, &writer, err);
    if (status == TAPEOUT_OK) {
        status = tp_writer_write(writer, map.data, map.size, err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_writer_commit(&writer, err);
    } else {
        tp_writer_abort(&writer);
    }
    tp_map_close(&map);
    return status;
}

static tapeout_status copy_out(sql_session *session, const tapeout_table *table, const char *path,
                               tapeout_error *err)
{
    TP_TRY(tp_sql_scan_add(session, TP_STR("rows"), table, err));
    tp_buffer text;
    tp_buffer_init(&text, session->env->alloc, 2 * TP_MAX_PATH_BYTES + 64);
    tp_buffer_append_text(&text, "COPY \"rows\" TO ");
    tp_sql_append_quoted(&text, '\'', tp_str_from(path));
    tp_buffer_append_text(&text, " (FORMAT parquet)");
    tp_buffer_append_char(&text, '\0');
    tapeout_status status = tp_buffer_check(&text, "parquet: the file name", err);
    if (status == TAPEOUT_OK) {
        status = tp_sql_session_run(session, text.data, err);
    }
    tp_buffer_deinit(&text);
    return status;
}

tapeout_status tp_parquet_write(const tp_env *env, const char *library_path, const char *path,
                                const tapeout_table *table, tapeout_error *err)
{
    tp_buffer beside;
    tp_buffer_init(&beside, env->alloc, TP_MAX_PATH_BYTES);
    tp_buffer_printf(&beside, "%s.%ld.rows", path, (long)getpid());
    tp_buffer_append_char(&beside, '\0');
    tapeout_status status = tp_buffer_check(&beside, "parquet: the file name", err);
    sql_session session;
    if (status == TAPEOUT_OK) {
        status = tp_sql_session_open(&session, env, library_path, err);
    }
    if (status != TAPEOUT_OK) {
        tp_buffer_deinit(&beside);
        return status;
    }
    status = copy_out(&session, table, beside.data, err);
    tp_sql_session_close(&session);
    if (status == TAPEOUT_OK) {
        status = publish(env, beside.data, path, err);
    } else {
        tp_error_prefix(err, "parquet: cannot write %s", path);
    }
    (void)unlink(beside.data); // not there when DuckDB could not make it
    tp_buffer_deinit(&beside);
    return status;
}
