// SPDX-License-Identifier: Apache-2.0
//
// Parquet in and out through the session of sql.c. A file that somebody typed or sent is read with
// the same confinement as a query's: DuckDB opens that one path. Writing goes to a file beside the
// target, whose bytes then become the target whole or not at all.
#include "table/sql_priv.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static tapeout_status read_confined(sql_session *session, const char *path,
                                    tapeout_table **ret_table, tapeout_error *err)
{
    const tp_str allowed = tp_str_from(path);
    TP_TRY(tp_sql_session_confine(session, &allowed, 1, err));
    TP_TRY(tp_sql_session_lock(session, err));
    tp_buffer text;
    tp_buffer_init(&text, session->env->alloc, 2 * TP_MAX_PATH_BYTES + 64);
    tp_buffer_append_text(&text, "FROM parquet_scan(");
    tp_sql_append_quoted(&text, '\'', allowed);
    tp_buffer_append_text(&text, ")");
    tp_buffer_append_char(&text, '\0');
    tapeout_status status = tp_buffer_check(&text, "parquet: the file name", err);
    duck_result result;
    if (status == TAPEOUT_OK) {
        status = tp_sql_session_select(session, text.data, &result, err);
    }
    tp_buffer_deinit(&text);
    TP_TRY(status);
    status = tp_sql_result_table(session, &result, ret_table, err);
    session->api.destroy_result(&result);
    return status;
}

tapeout_status tp_parquet_read(const tp_env *env, const char *library_path, const char *path,
                               tapeout_table **ret_table, tapeout_error *err)
{
    char resolved[TP_MAX_PATH_BYTES];
    if (realpath(path, resolved) == NULL) {
        return tp_fail_errno(err, errno, "parquet: %s", path);
    }
    sql_session session;
    TP_TRY(tp_sql_session_open(&session, env, library_path, err));
    tapeout_status status = read_confined(&session, resolved, ret_table, err);
    tp_sql_session_close(&session);
    switch ((int)status) {
    case TAPEOUT_OK:
        break;
    case TAPEOUT_E_INVALID: // DuckDB has several words for a file that is not what it should be
    case TAPEOUT_E_DATA:
    case TAPEOUT_E_IO:
    case TAPEOUT_E_INTERNAL:
        status = TAPEOUT_E_CORRUPT;
        if (err != NULL) {
            err->status = status;
        }
        tp_error_prefix(err, "parquet: %s is not a sound Parquet file", path);
        break;
    default:
        tp_error_prefix(err, "parquet: %s", path);
        break;
    }
    return status;
}

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
