// SPDX-License-Identifier: Apache-2.0
//
// Our columns into DuckDB: a table is created under the name that the query uses and filled vector
// by vector through the appender. A CSV file is so read by our reader alone, with the spec's
// missing markers and our types, whatever the query does with it. (A table function over our
// buffers would save the copy, but its callbacks get nothing to find the library's functions by,
// and would need a global.)
#include "table/sql_priv.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"

#include <string.h>

static duck_type type_to_duck(tapeout_type type)
{
    switch (type) {
    case TAPEOUT_TYPE_BOOL:
        return DUCK_BOOLEAN;
    case TAPEOUT_TYPE_INT64:
        return DUCK_BIGINT;
    case TAPEOUT_TYPE_FLOAT64:
        return DUCK_DOUBLE;
    case TAPEOUT_TYPE_DATE:
        return DUCK_DATE;
    case TAPEOUT_TYPE_TIMESTAMP:
        return DUCK_TIMESTAMP;
    case TAPEOUT_TYPE_TIMESTAMP_TZ:
        return DUCK_TIMESTAMP_TZ;
    case TAPEOUT_TYPE_STRING:
        return DUCK_VARCHAR;
    }
    return DUCK_SQLNULL;
}

static tapeout_status create_table(sql_session *session, tp_str name, const tapeout_table *table,
                                   tapeout_error *err)
{
    tp_buffer text;
    tp_buffer_init(&text, session->env->alloc, TP_MAX_SQL_SCHEMA_BYTES);
    tp_buffer_append_text(&text, "CREATE TABLE ");
    tp_sql_append_quoted(&text, '"', name);
    tp_buffer_append_text(&text, " (");
    for (uint32_t c = 0; c < table->column_count; c++) {
        tp_buffer_append_text(&text, c == 0 ? "" : ", ");
        tp_sql_append_quoted(&text, '"', table->columns[c].name);
        tp_buffer_append_char(&text, ' ');
        tp_buffer_append_text(&text, tp_duck_type_name(type_to_duck(table->columns[c].type)));
    }
    tp_buffer_append_text(&text, ")");
    tp_buffer_append_char(&text, '\0');
    tapeout_status status = tp_buffer_check(&text, "sql: the list of columns", err);
    if (status == TAPEOUT_OK) {
        status = tp_sql_session_run(session, text.data, err);
    }
    tp_buffer_deinit(&text);
    return status;
}

static void copy_bits(const uint8_t *bits, uint64_t first, uint64_t count, uint8_t *ret_bytes)
{
    for (uint64_t i = 0; i < count; i++) {
        const uint64_t row = first + i;
        ret_bytes[i] = bits[row >> 3] >> (row & 7) & 1;
    }
}

static void copy_strings(const duck_api *api, const tp_column *column, uint64_t first,
                         uint64_t count, duck_vector vector)
{
    for (uint64_t i = 0; i < count; i++) {
        if (tp_column_is_valid(column, first + i)) {
            const tp_str text =
                tp_dict_get(column->dict, (uint32_t)column->values.codes[first + i]);
            api->vector_assign_string_element_len(vector, i, text.data == NULL ? "" : text.data,
                                                  text.size);
        }
    }
}

// Rows [first, first + count) of one column; `first` is a multiple of 8.
static void copy_column(const duck_api *api, const tp_column *column, uint64_t first,
                        uint64_t count, duck_vector vector)
{
    if (column->validity != NULL) {
        api->vector_ensure_validity_writable(vector);
        memcpy(api->vector_get_validity(vector), column->validity + first / 8, (count + 7) / 8);
    }
    void *data = api->vector_get_data(vector);
    switch (column->type) {
    case TAPEOUT_TYPE_BOOL:
        copy_bits(column->values.bits, first, count, data);
        break;
    case TAPEOUT_TYPE_INT64:
    case TAPEOUT_TYPE_TIMESTAMP:
    case TAPEOUT_TYPE_TIMESTAMP_TZ:
        memcpy(data, column->values.i64 + first, count * sizeof(int64_t));
        break;
    case TAPEOUT_TYPE_FLOAT64:
        memcpy(data, column->values.f64 + first, count * sizeof(double));
        break;
    case TAPEOUT_TYPE_DATE:
        memcpy(data, column->values.days + first, count * sizeof(int32_t));
        break;
    case TAPEOUT_TYPE_STRING:
        copy_strings(api, column, first, count, vector);
        break;
    }
}

static tapeout_status append_rows(sql_session *session, const tapeout_table *table,
                                  duck_appender appender, duck_chunk chunk, tapeout_error *err)
{
    const duck_api *api = &session->api;
    const uint64_t step = api->vector_size();
    if (step == 0 || step % 8 != 0) {
        return tp_fail(err, TAPEOUT_E_UNAVAILABLE,
                       "duckdb: vectors of %llu rows; a build with a multiple of 8 is needed",
                       (unsigned long long)step);
    }
    for (uint64_t first = 0; first < table->row_count; first += step) {
        TP_TRY(tp_env_check(session->env, err));
        const uint64_t left = table->row_count - first;
        const uint64_t count = left < step ? left : step;
        api->data_chunk_reset(chunk);
        for (uint32_t c = 0; c < table->column_count; c++) {
            copy_column(api, &table->columns[c], first, count,
                        api->data_chunk_get_vector(chunk, c));
        }
        api->data_chunk_set_size(chunk, count);
        if (api->append_data_chunk(appender, chunk) != DUCK_SUCCESS) {
            return tp_sql_fail(api->appender_error(appender), err);
        }
    }
    if (api->appender_close(appender) != DUCK_SUCCESS) {
        return tp_sql_fail(api->appender_error(appender), err);
    }
    return TAPEOUT_OK;
}

static tapeout_status new_chunk(sql_session *session, const tapeout_table *table,
                                duck_chunk *ret_chunk, tapeout_error *err)
{
    const duck_api *api = &session->api;
    const tapeout_allocator *alloc = session->env->alloc;
    const size_t count = table->column_count;
    duck_logical_type *types = tp_alloc_array_zero(alloc, count, sizeof(duck_logical_type));
    if (types == NULL && count > 0) {
        return tp_fail_nomem(err);
    }
    for (size_t c = 0; c < count; c++) {
        types[c] = api->create_logical_type(type_to_duck(table->columns[c].type));
    }
    *ret_chunk = api->create_data_chunk(types, count);
    for (size_t c = 0; c < count; c++) {
        api->destroy_logical_type(&types[c]);
    }
    tp_free_array(alloc, types, count, sizeof(duck_logical_type));
    return *ret_chunk == NULL ? tp_fail_nomem(err) : TAPEOUT_OK;
}

tapeout_status tp_sql_append_table(sql_session *session, tp_str name, const tapeout_table *table,
                                   tapeout_error *err)
{
    const duck_api *api = &session->api;
    TP_TRY(create_table(session, name, table, err));
    duck_chunk chunk = NULL;
    TP_TRY(new_chunk(session, table, &chunk, err));
    tapeout_status status = TAPEOUT_OK;
    duck_appender appender = NULL;
    char *terminated = tp_strndup(session->env->alloc, name.data, name.size);
    if (terminated == NULL) {
        status = tp_fail_nomem(err);
        goto done;
    }
    if (api->appender_create(session->connection, NULL, terminated, &appender) != DUCK_SUCCESS) {
        status = tp_sql_fail(api->appender_error(appender), err);
        goto done;
    }
    status = append_rows(session, table, appender, chunk, err);

done:
    if (appender != NULL) {
        (void)api->appender_destroy(&appender); // closed already, or its rows are of no use
    }
    if (terminated != NULL) {
        tp_free(session->env->alloc, terminated, name.size + 1);
    }
    api->destroy_data_chunk(&chunk);
    return status;
}
