// SPDX-License-Identifier: Apache-2.0
//
// Our columns as DuckDB sees them: the table function tapeout_table(index). It copies what a query
// asks for, one vector at a time, straight from a table's buffers; a CSV file is so read by our
// reader alone, with the spec's missing markers and our types, whatever the query does with it, and
// stands in memory once.
//
// DuckDB calls back with a handle that means nothing without the library's functions, and nothing
// to find those by. They are found through the one thread-local of the project: the session that
// this thread is in a call of (DuckDB has no other thread, see sql_session.c).
#include "table/sql_priv.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"

#include <string.h>

static _Thread_local const sql_session *current;

typedef struct scan_state {
    const tapeout_allocator *alloc;
    uint64_t next_row;
    duck_index column_count; // asked for, in the order of the output
    duck_index columns[];    // [column_count]
} scan_state;

static size_t state_size(duck_index column_count)
{
    return sizeof(scan_state) + (size_t)column_count * sizeof(duck_index);
}

static void free_state(void *data)
{
    scan_state *state = data;
    tp_free(state->alloc, state, state_size(state->column_count));
}

static void free_nothing(void *data)
{
    (void)data; // tables are the session's to borrow
}

duck_type tp_duck_type_of(tapeout_type type)
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

// -- bind: which table, which columns ------------------------------------------------------------
static bool add_column(duck_bind_info info, const tp_column *column)
{
    const duck_api *api = &current->api;
    char *name = tp_strndup(current->env->alloc, column->name.data, column->name.size);
    if (name == NULL) {
        return false;
    }
    duck_logical_type type = api->create_logical_type(tp_duck_type_of(column->type));
    api->bind_add_result_column(info, name, type);
    api->destroy_logical_type(&type);
    tp_free(current->env->alloc, name, column->name.size + 1);
    return true;
}

static void bind_scan(duck_bind_info info)
{
    const duck_api *api = &current->api;
    duck_value value = api->bind_get_parameter(info, 0);
    const int64_t index = api->get_int64(value);
    api->destroy_value(&value);
    if (index < 0 || (uint64_t)index >= current->table_count) {
        api->bind_set_error(info, "tapeout_table: no such table");
        return;
    }
    const tapeout_table *table = current->tables[index];
    for (uint32_t c = 0; c < table->column_count; c++) {
        if (!add_column(info, &table->columns[c])) {
            api->bind_set_error(info, "Out of Memory Error: no memory for a column's name");
            return;
        }
    }
    api->bind_set_cardinality(info, table->row_count, true);
    // DuckDB wants a pointer that it may write through; scan() gets it back and does not.
    api->bind_set_bind_data(info, (void *)(uintptr_t)table, free_nothing);
}

// -- init: one pass over it ----------------------------------------------------------------------
static void init_scan(duck_init_info info)
{
    const duck_api *api = &current->api;
    const duck_index count = api->init_get_column_count(info);
    scan_state *state = tp_alloc_zero(current->env->alloc, state_size(count));
    if (state == NULL) {
        api->init_set_error(info, "Out of Memory Error: no memory for a scan");
        return;
    }
    state->alloc = current->env->alloc;
    state->column_count = count;
    for (duck_index i = 0; i < count; i++) {
        state->columns[i] = api->init_get_column_index(info, i);
    }
    api->init_set_init_data(info, state, free_state);
}

// -- scan: the next rows -------------------------------------------------------------------------
static void copy_bits(const uint8_t *bits, uint64_t first, uint64_t count, uint8_t *ret_bytes)
{
    for (uint64_t i = 0; i < count; i++) {
        const uint64_t row = first + i;
        ret_bytes[i] = bits[row >> 3] >> (row & 7) & 1;
    }
}

static void copy_strings(const tp_column *column, uint64_t first, uint64_t count,
                         duck_vector vector)
{
    for (uint64_t i = 0; i < count; i++) {
        if (tp_column_is_valid(column, first + i)) {
            const tp_str text =
                tp_dict_get(column->dict, (uint32_t)column->values.codes[first + i]);
            current->api.vector_assign_string_element_len(
                vector, i, text.size == 0 ? "" : text.data, text.size);
        }
    }
}

// Rows [first, first + count) of one column; `first` is a multiple of 8.
static void copy_column(const tp_column *column, uint64_t first, uint64_t count, duck_vector vector)
{
    const duck_api *api = &current->api;
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
        copy_strings(column, first, count, vector);
        break;
    }
}

static void scan(duck_function_info info, duck_chunk output)
{
    const duck_api *api = &current->api;
    const tapeout_table *table = api->function_get_bind_data(info);
    scan_state *state = api->function_get_init_data(info);
    const uint64_t step = api->vector_size();
    const uint64_t left = table->row_count - state->next_row;
    const uint64_t count = left < step ? left : step;
    for (duck_index i = 0; count > 0 && i < state->column_count; i++) {
        // Beyond the last column stands what DuckDB asks for when it wants no column but rows.
        if (state->columns[i] < table->column_count) {
            copy_column(&table->columns[state->columns[i]], state->next_row, count,
                        api->data_chunk_get_vector(output, i));
        }
    }
    state->next_row += count;
    api->data_chunk_set_size(output, count);
}

// -- the session's side --------------------------------------------------------------------------
void tp_sql_scan_enter(const sql_session *session)
{
    current = session;
}

tapeout_status tp_sql_scan_register(sql_session *session, tapeout_error *err)
{
    const duck_api *api = &session->api;
    if (api->vector_size() == 0 || api->vector_size() % 64 != 0) {
        return tp_fail(err, TAPEOUT_E_UNAVAILABLE,
                       "duckdb: vectors of %llu rows; a build with a multiple of 64 is needed",
                       (unsigned long long)api->vector_size());
    }
    duck_table_function function = api->create_table_function();
    duck_logical_type index = api->create_logical_type(DUCK_BIGINT);
    api->table_function_set_name(function, "tapeout_table");
    api->table_function_add_parameter(function, index);
    api->table_function_set_bind(function, bind_scan);
    api->table_function_set_init(function, init_scan);
    api->table_function_set_function(function, scan);
    api->table_function_supports_projection_pushdown(function, true);
    const int state = api->register_table_function(session->connection, function);
    api->destroy_logical_type(&index);
    api->destroy_table_function(&function);
    return state == DUCK_SUCCESS ? TAPEOUT_OK
                                 : tp_fail(err, TAPEOUT_E_UNAVAILABLE,
                                           "duckdb: version %s takes no table function of ours",
                                           api->library_version());
}

tapeout_status tp_sql_scan_add(sql_session *session, tp_str name, const tapeout_table *table,
                               tapeout_error *err)
{
    if (session->table_count == TP_MAX_SQL_FILES) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "sql: more than %u tables", TP_MAX_SQL_FILES);
    }
    const size_t index = session->table_count;
    session->tables[session->table_count++] = table;
    tp_buffer text;
    tp_buffer_init(&text, session->env->alloc, 4 * TP_MAX_PATH_BYTES);
    tp_buffer_append_text(&text, "CREATE VIEW ");
    tp_sql_append_quoted(&text, '"', name);
    tp_buffer_printf(&text, " AS FROM tapeout_table(%zu)", index);
    tp_buffer_append_char(&text, '\0');
    tapeout_status status = tp_buffer_check(&text, "sql: a name", err);
    if (status == TAPEOUT_OK) {
        status = tp_sql_session_run(session, text.data, err);
    }
    tp_buffer_deinit(&text);
    return status;
}
