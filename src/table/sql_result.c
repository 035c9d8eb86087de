// SPDX-License-Identifier: Apache-2.0
//
// DuckDB's answer as a table of ours. Whatever is a number, a truth, a day, an instant or a text
// comes across; a column of another type (a list, a struct, a time of day, bytes) is refused by
// name, since a model could not use it.
//
// Rows are made by DuckDB as they are fetched, and copied at once: they never stand in memory
// twice.
//
// Integers of any width become int64. A 64-bit unsigned or 128-bit column (sum() of integers is
// one) stays int64 while all its values fit, and is float64 when one does not, just as a CSV column
// would be. Decimals become the nearest float64. Time below a microsecond is cut off.
#include "table/sql_priv.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "table/tp_value.h"

#include <limits.h>
#include <string.h>

// How one column comes across.
typedef struct result_column {
    duck_type type;    // what the values are stored as: for ENUM and DECIMAL the integer behind it
    duck_type written; // what the query made
    uint8_t scale;     // DECIMAL: digits behind the point
    tapeout_type out;
    duck_logical_type logical;
    tp_dict words; // ENUM: its values in order
} result_column;

typedef struct result_reader {
    sql_session *session;
    result_column *columns; // [column_count]
    tp_field *fields;       // [column_count] names borrowed from the result
    size_t column_count;
    duck_chunk *chunks; // [chunk_capacity]
    size_t chunk_count;
    size_t chunk_capacity;
    uint64_t row_count;
} result_reader;

// -- types ---------------------------------------------------------------------------------------
static bool type_from_duck(duck_type type, tapeout_type *ret_type)
{
    switch (type) {
    case DUCK_BOOLEAN:
        *ret_type = TAPEOUT_TYPE_BOOL;
        return true;
    case DUCK_TINYINT:
    case DUCK_SMALLINT:
    case DUCK_INTEGER:
    case DUCK_BIGINT:
    case DUCK_UTINYINT:
    case DUCK_USMALLINT:
    case DUCK_UINTEGER:
    case DUCK_UBIGINT:
    case DUCK_HUGEINT:
    case DUCK_UHUGEINT:
        *ret_type = TAPEOUT_TYPE_INT64;
        return true;
    case DUCK_FLOAT:
    case DUCK_DOUBLE:
    case DUCK_DECIMAL:
    case DUCK_SQLNULL:
        *ret_type = TAPEOUT_TYPE_FLOAT64;
        return true;
    case DUCK_DATE:
        *ret_type = TAPEOUT_TYPE_DATE;
        return true;
    case DUCK_TIMESTAMP:
    case DUCK_TIMESTAMP_S:
    case DUCK_TIMESTAMP_MS:
    case DUCK_TIMESTAMP_NS:
        *ret_type = TAPEOUT_TYPE_TIMESTAMP;
        return true;
    case DUCK_TIMESTAMP_TZ:
        *ret_type = TAPEOUT_TYPE_TIMESTAMP_TZ;
        return true;
    case DUCK_VARCHAR:
    case DUCK_ENUM:
        *ret_type = TAPEOUT_TYPE_STRING;
        return true;
    case DUCK_TIME:
    case DUCK_INTERVAL:
    case DUCK_BLOB:
    case DUCK_LIST:
    case DUCK_STRUCT:
    case DUCK_MAP:
    case DUCK_UUID:
    case DUCK_UNION:
    case DUCK_BIT:
    case DUCK_TIME_TZ:
    case DUCK_ARRAY:
    case DUCK_BIGNUM:
        return false;
    }
    return false; // a type newer than this list
}

static tapeout_status read_words(const duck_api *api, result_column *column, tapeout_error *err)
{
    const uint32_t count = api->enum_dictionary_size(column->logical);
    for (uint32_t i = 0; i < count; i++) {
        char *word = api->enum_dictionary_value(column->logical, i);
        if (word == NULL) {
            return tp_fail_nomem(err);
        }
        uint32_t index = 0;
        const tapeout_status status = tp_dict_add(&column->words, tp_str_from(word), &index);
        api->free(word);
        if (status != TAPEOUT_OK) {
            return tp_fail(err, status, "sql: an ENUM is too large");
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status describe_column(result_reader *reader, duck_result *result, size_t index,
                                      tapeout_error *err)
{
    const duck_api *api = &reader->session->api;
    result_column *column = &reader->columns[index];
    tp_field *field = &reader->fields[index];
    field->name = tp_str_from(api->column_name(result, index));
    for (size_t i = 0; i < index; i++) {
        if (tp_str_equal(reader->fields[i].name, field->name)) {
            return tp_fail(err, TAPEOUT_E_INVALID,
                           "sql: two columns of the result are named \"%.*s\"; rename one with AS, "
                           "or leave it out with EXCLUDE",
                           TP_STR_ARGS(field->name));
        }
    }
    column->logical = api->column_logical_type(result, index);
    column->written = api->get_type_id(column->logical);
    column->type = column->written;
    if (!type_from_duck(column->written, &column->out)) {
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                       "sql: column \"%.*s\" is of type %s; a table holds truths, numbers, dates, "
                       "timestamps and text: cast it, or leave it out",
                       TP_STR_ARGS(field->name), tp_duck_type_name(column->written));
    }
    if (column->written == DUCK_DECIMAL) {
        column->type = api->decimal_internal_type(column->logical);
        column->scale = api->decimal_scale(column->logical);
    } else if (column->written == DUCK_ENUM) {
        column->type = api->enum_internal_type(column->logical);
        TP_TRY(read_words(api, column, err));
    }
    field->type = column->out;
    return TAPEOUT_OK;
}

// -- single values -------------------------------------------------------------------------------
static bool is_valid(const uint64_t *validity, uint64_t row)
{
    return validity == NULL || (validity[row / 64] >> (row % 64) & 1) != 0;
}

// False when the value does not fit an int64.
static bool read_i64(duck_type type, const void *data, uint64_t row, int64_t *ret_value)
{
    switch ((int)type) {
    case DUCK_TINYINT:
        *ret_value = ((const int8_t *)data)[row];
        return true;
    case DUCK_SMALLINT:
        *ret_value = ((const int16_t *)data)[row];
        return true;
    case DUCK_INTEGER:
        *ret_value = ((const int32_t *)data)[row];
        return true;
    case DUCK_UTINYINT:
        *ret_value = ((const uint8_t *)data)[row];
        return true;
    case DUCK_USMALLINT:
        *ret_value = ((const uint16_t *)data)[row];
        return true;
    case DUCK_UINTEGER:
        *ret_value = ((const uint32_t *)data)[row];
        return true;
    case DUCK_UBIGINT:
        *ret_value = (int64_t)((const uint64_t *)data)[row];
        return *ret_value >= 0;
    case DUCK_HUGEINT: {
        const duck_hugeint value = ((const duck_hugeint *)data)[row];
        *ret_value = (int64_t)value.lower;
        return value.upper == (*ret_value < 0 ? -1 : 0);
    }
    case DUCK_UHUGEINT: {
        const duck_uhugeint value = ((const duck_uhugeint *)data)[row];
        *ret_value = (int64_t)value.lower;
        return value.upper == 0 && *ret_value >= 0;
    }
    default:
        *ret_value = ((const int64_t *)data)[row];
        return true;
    }
}

__extension__ typedef unsigned __int128 u128;

static u128 read_magnitude(duck_type type, const void *data, uint64_t row, bool *ret_negative)
{
    u128 value;
    *ret_negative = false;
    if (type == DUCK_HUGEINT) {
        const duck_hugeint huge = ((const duck_hugeint *)data)[row];
        *ret_negative = huge.upper < 0;
        value = (u128)(uint64_t)huge.upper << 64 | huge.lower;
    } else if (type == DUCK_UHUGEINT) {
        const duck_uhugeint huge = ((const duck_uhugeint *)data)[row];
        value = (u128)huge.upper << 64 | huge.lower;
    } else if (type == DUCK_UBIGINT) {
        value = ((const uint64_t *)data)[row];
    } else {
        int64_t small = 0;
        (void)read_i64(type, data, row, &small); // every other type fits
        *ret_negative = small < 0;
        value = (u128)small; // sign extended, as the negation below expects
    }
    return *ret_negative ? -value : value;
}

// The float64 nearest to an integer of up to 128 bits over a power of ten: written as text and read
// by the one parser that rounds correctly.
static double read_scaled(const result_column *column, const void *data, uint64_t row)
{
    bool negative = false;
    u128 value = read_magnitude(column->type, data, row, &negative);
    char text[64];
    size_t at = sizeof(text);
    text[--at] = (char)('0' + column->scale % 10);
    text[--at] = (char)('0' + column->scale / 10);
    text[--at] = '-';
    text[--at] = 'e';
    do {
        text[--at] = (char)('0' + (int)(value % 10));
        value /= 10;
    } while (value != 0);
    if (negative) {
        text[--at] = '-';
    }
    double number = 0;
    (void)tp_parse_f64((tp_str){text + at, sizeof(text) - at}, &number); // well-formed by making
    return number;
}

static double read_f64(const result_column *column, const void *data, uint64_t row)
{
    switch ((int)column->written) {
    case DUCK_DOUBLE:
        return ((const double *)data)[row];
    case DUCK_FLOAT:
        return (double)((const float *)data)[row];
    default:
        return read_scaled(column, data, row);
    }
}

static tp_str read_string(const void *data, uint64_t row)
{
    const duck_string *text = &((const duck_string *)data)[row];
    if (text->inside.size <= DUCK_STRING_INSIDE) {
        return (tp_str){text->inside.bytes, text->inside.size};
    }
    return (tp_str){text->outside.data, text->outside.size};
}

// Microseconds; false for an infinite instant or one beyond what int64 holds.
static bool read_instant(duck_type type, const void *data, uint64_t row, int64_t *ret_us)
{
    const int64_t value = ((const int64_t *)data)[row];
    if (value == INT64_MAX || value == -INT64_MAX) {
        return false;
    }
    switch ((int)type) {
    case DUCK_TIMESTAMP_S:
        return !__builtin_mul_overflow(value, INT64_C(1000000), ret_us);
    case DUCK_TIMESTAMP_MS:
        return !__builtin_mul_overflow(value, INT64_C(1000), ret_us);
    case DUCK_TIMESTAMP_NS:
        *ret_us = value / 1000 - (value % 1000 < 0);
        return true;
    default:
        *ret_us = value;
        return true;
    }
}

// -- columns -------------------------------------------------------------------------------------
// Integers of which some do not fit an int64.
static bool is_wide(duck_type type)
{
    return type == DUCK_UBIGINT || type == DUCK_HUGEINT || type == DUCK_UHUGEINT;
}

// True when every value of the column fits an int64.
static bool fits_i64(const result_reader *reader, size_t column)
{
    const duck_api *api = &reader->session->api;
    const duck_type type = reader->columns[column].type;
    if (!is_wide(reader->columns[column].written)) {
        return true;
    }
    for (size_t i = 0; i < reader->chunk_count; i++) {
        const duck_vector vector = api->data_chunk_get_vector(reader->chunks[i], column);
        const uint64_t *validity = api->vector_get_validity(vector);
        const void *data = api->vector_get_data(vector);
        const uint64_t count = api->data_chunk_get_size(reader->chunks[i]);
        for (uint64_t row = 0; row < count; row++) {
            int64_t value = 0;
            if (is_valid(validity, row) && !read_i64(type, data, row, &value)) {
                return false;
            }
        }
    }
    return true;
}

static tapeout_status fail_infinite(const result_reader *reader, size_t column, uint64_t row,
                                    tapeout_error *err)
{
    return tp_fail_at(err, TAPEOUT_E_DATA, row,
                      "sql: column \"%.*s\", row %llu: an infinite date or timestamp; make it NULL",
                      TP_STR_ARGS(reader->fields[column].name), (unsigned long long)row + 1);
}

static tapeout_status append_value(const result_reader *reader, tp_table_builder *builder,
                                   uint32_t index, const void *data, uint64_t row)
{
    const result_column *column = &reader->columns[index];
    int64_t integer = 0;
    switch (reader->fields[index].type) {
    case TAPEOUT_TYPE_BOOL:
        return tp_table_builder_bool(builder, index, ((const uint8_t *)data)[row] != 0);
    case TAPEOUT_TYPE_INT64:
        (void)read_i64(column->type, data, row, &integer); // fits, see fits_i64
        return tp_table_builder_i64(builder, index, integer);
    case TAPEOUT_TYPE_FLOAT64:
        return tp_table_builder_f64(builder, index, read_f64(column, data, row));
    case TAPEOUT_TYPE_DATE: {
        const int32_t days = ((const int32_t *)data)[row];
        return days == INT32_MAX || days == -INT32_MAX
                   ? TAPEOUT_E_DATA
                   : tp_table_builder_days(builder, index, days);
    }
    case TAPEOUT_TYPE_TIMESTAMP:
    case TAPEOUT_TYPE_TIMESTAMP_TZ:
        return read_instant(column->type, data, row, &integer)
                   ? tp_table_builder_i64(builder, index, integer)
                   : TAPEOUT_E_DATA;
    case TAPEOUT_TYPE_STRING:
        if (column->written == DUCK_ENUM) {
            (void)read_i64(column->type, data, row, &integer);
            return tp_table_builder_str(builder, index,
                                        tp_dict_get(&column->words, (uint32_t)integer));
        }
        return tp_table_builder_str(builder, index, read_string(data, row));
    }
    return TAPEOUT_E_INTERNAL;
}

static tapeout_status append_chunk(const result_reader *reader, duck_chunk chunk,
                                   uint64_t first_row, tp_table_builder *builder,
                                   tapeout_error *err)
{
    const duck_api *api = &reader->session->api;
    const uint64_t count = api->data_chunk_get_size(chunk);
    for (uint32_t c = 0; c < reader->column_count; c++) {
        const duck_vector vector = api->data_chunk_get_vector(chunk, c);
        const uint64_t *validity = api->vector_get_validity(vector);
        const void *data = api->vector_get_data(vector);
        for (uint64_t row = 0; row < count; row++) {
            const tapeout_status status = is_valid(validity, row)
                                              ? append_value(reader, builder, c, data, row)
                                              : tp_table_builder_null(builder, c);
            if (status == TAPEOUT_E_DATA) {
                return fail_infinite(reader, c, first_row + row, err);
            }
            if (status != TAPEOUT_OK) {
                return tp_fail(err, status, "sql: column \"%.*s\" of the result is too large",
                               TP_STR_ARGS(reader->fields[c].name));
            }
        }
    }
    return TAPEOUT_OK;
}

// -- the whole -----------------------------------------------------------------------------------
// NULL at the end of the rows.
static tapeout_status fetch_chunk(result_reader *reader, duck_result *result, duck_chunk *ret_chunk,
                                  tapeout_error *err)
{
    const duck_api *api = &reader->session->api;
    TP_TRY(tp_env_check(reader->session->env, err));
    duck_chunk chunk = api->fetch_chunk(*result);
    if (chunk == NULL) {
        const char *why = api->result_error(result);
        if (why != NULL && why[0] != '\0') {
            return tp_sql_fail(why, err);
        }
    } else {
        reader->row_count += api->data_chunk_get_size(chunk);
    }
    if (reader->row_count > TP_MAX_TABLE_ROWS) {
        api->destroy_data_chunk(&chunk);
        return tp_fail(err, TAPEOUT_E_LIMIT, "sql: the result has more than %u rows",
                       TP_MAX_TABLE_ROWS);
    }
    *ret_chunk = chunk;
    return TAPEOUT_OK;
}

static tapeout_status keep_chunk(result_reader *reader, duck_chunk chunk, tapeout_error *err)
{
    if (reader->chunk_count == reader->chunk_capacity) {
        const size_t capacity = reader->chunk_capacity == 0 ? 64 : reader->chunk_capacity * 2;
        duck_chunk *chunks = tp_resize_array(reader->session->env->alloc, reader->chunks,
                                             reader->chunk_capacity, capacity, sizeof(duck_chunk));
        if (chunks == NULL) {
            return tp_fail_nomem(err);
        }
        reader->chunks = chunks;
        reader->chunk_capacity = capacity;
    }
    reader->chunks[reader->chunk_count++] = chunk;
    return TAPEOUT_OK;
}

// All rows first, since the type of a wide column depends on all of its values.
static tapeout_status keep_all(result_reader *reader, duck_result *result, tapeout_error *err)
{
    for (;;) {
        duck_chunk chunk = NULL;
        TP_TRY(fetch_chunk(reader, result, &chunk, err));
        if (chunk == NULL) {
            break;
        }
        const tapeout_status status = keep_chunk(reader, chunk, err);
        if (status != TAPEOUT_OK) {
            reader->session->api.destroy_data_chunk(&chunk);
            return status;
        }
    }
    for (size_t c = 0; c < reader->column_count; c++) {
        if (!fits_i64(reader, c)) {
            reader->fields[c].type = TAPEOUT_TYPE_FLOAT64;
        }
    }
    return TAPEOUT_OK;
}

// Those kept, then those still to come; each is given back as soon as it is copied.
static tapeout_status build(result_reader *reader, duck_result *result, tp_table_builder *builder,
                            tapeout_error *err)
{
    const duck_api *api = &reader->session->api;
    uint64_t first_row = 0;
    for (size_t i = 0;; i++) {
        duck_chunk chunk = NULL;
        if (i < reader->chunk_count) {
            chunk = reader->chunks[i];
            reader->chunks[i] = NULL;
        } else if (reader->chunk_count == 0) {
            TP_TRY(fetch_chunk(reader, result, &chunk, err));
        }
        if (chunk == NULL) {
            return TAPEOUT_OK;
        }
        const tapeout_status status = append_chunk(reader, chunk, first_row, builder, err);
        first_row += api->data_chunk_get_size(chunk);
        api->destroy_data_chunk(&chunk);
        TP_TRY(status);
    }
}

static tapeout_status read_result(result_reader *reader, duck_result *result,
                                  tapeout_table **ret_table, tapeout_error *err)
{
    bool has_wide = false;
    for (size_t c = 0; c < reader->column_count; c++) {
        TP_TRY(describe_column(reader, result, c, err));
        has_wide = has_wide || is_wide(reader->columns[c].written);
    }
    if (has_wide) {
        TP_TRY(keep_all(reader, result, err));
    }
    const tp_schema schema = {reader->fields, (uint32_t)reader->column_count};
    tp_table_builder *builder = NULL;
    TP_TRY(tp_table_builder_new(reader->session->env->alloc, &schema, &builder, err));
    tapeout_status status = build(reader, result, builder, err);
    if (status == TAPEOUT_OK) {
        status = tp_table_builder_take(builder, ret_table, err);
    }
    tp_table_builder_free(builder);
    return status;
}

tapeout_status tp_sql_result_table(sql_session *session, duck_result *result,
                                   tapeout_table **ret_table, tapeout_error *err)
{
    const duck_api *api = &session->api;
    const tapeout_allocator *alloc = session->env->alloc;
    result_reader reader = {.session = session, .column_count = api->column_count(result)};
    reader.columns = tp_alloc_array_zero(alloc, reader.column_count, sizeof(result_column));
    reader.fields = tp_alloc_array_zero(alloc, reader.column_count, sizeof(tp_field));
    tapeout_status status = TAPEOUT_OK;
    if (reader.columns == NULL || reader.fields == NULL) {
        status = tp_fail_nomem(err);
        goto done;
    }
    for (size_t c = 0; c < reader.column_count; c++) {
        tp_dict_init(&reader.columns[c].words, alloc);
    }
    tp_sql_scan_enter(session);
    status = read_result(&reader, result, ret_table, err);
    tp_sql_scan_enter(NULL);
    for (size_t c = 0; c < reader.column_count; c++) {
        if (reader.columns[c].logical != NULL) {
            api->destroy_logical_type(&reader.columns[c].logical);
        }
        tp_dict_deinit(&reader.columns[c].words);
    }

done:
    for (size_t i = 0; i < reader.chunk_count; i++) {
        if (reader.chunks[i] != NULL) {
            api->destroy_data_chunk(&reader.chunks[i]);
        }
    }
    tp_free_array(alloc, reader.chunks, reader.chunk_capacity, sizeof(duck_chunk));
    tp_free_array(alloc, reader.columns, reader.column_count, sizeof(result_column));
    tp_free_array(alloc, reader.fields, reader.column_count, sizeof(tp_field));
    return status;
}
