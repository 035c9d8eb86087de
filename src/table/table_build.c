// SPDX-License-Identifier: Apache-2.0
//
// Rows by appending to columns: for records from the network, imports and tests.
//
// The builder is a table that is not finished: it keeps one, whose stores have room for more rows
// than there are, and `view` only writes counts and pointers into its columns. So a server that
// clears, appends a record and views makes no allocation once the first record has been through.
// Bitmaps are zeroed byte by byte as rows reach them, so clearing costs nothing either.
#include "table/tp_table.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "table/table_priv.h"
#include "table/tp_value.h"

#include <math.h>
#include <string.h>

enum { FIRST_CAPACITY = 64 };

typedef struct build_column {
    tapeout_type type;
    uint64_t row_count;
    uint64_t null_count;
    uint64_t capacity; // rows that the store's buffers hold
} build_column;

struct tp_table_builder {
    const tapeout_allocator *alloc;
    uint32_t column_count;
    build_column *columns;
    tapeout_table *table; // its stores hold the rows
};

// -- life ----------------------------------------------------------------------------------------

tapeout_status tp_table_builder_new(const tapeout_allocator *alloc, const tp_schema *schema,
                                    tp_table_builder **ret_builder, tapeout_error *err)
{
    tp_table_builder *builder = tp_alloc_zero(alloc, sizeof *builder);
    if (builder == NULL) {
        return tp_fail_nomem(err);
    }
    builder->alloc = alloc;
    builder->column_count = schema->count;
    builder->columns = tp_alloc_array_zero(alloc, schema->count, sizeof *builder->columns);
    tapeout_status status =
        builder->columns == NULL && schema->count != 0 ? tp_fail_nomem(err) : TAPEOUT_OK;
    if (status == TAPEOUT_OK) {
        status = tp_table_new(alloc, schema->count, &builder->table, err);
    }
    for (uint32_t i = 0; status == TAPEOUT_OK && i < schema->count; i++) {
        builder->columns[i].type = schema->fields[i].type;
        status = tp_table_store_init(&table_stores(builder->table)[i], alloc,
                                     schema->fields[i].name, schema->fields[i].type, err);
    }
    if (status != TAPEOUT_OK) {
        tp_table_builder_free(builder);
        return status;
    }
    *ret_builder = builder;
    return TAPEOUT_OK;
}

void tp_table_builder_free(tp_table_builder *builder)
{
    if (builder == NULL) {
        return;
    }
    tp_table_unref(builder->table);
    tp_free_array(builder->alloc, builder->columns, builder->column_count,
                  sizeof *builder->columns);
    tp_free(builder->alloc, builder, sizeof *builder);
}

void tp_table_builder_clear(tp_table_builder *builder)
{
    for (uint32_t i = 0; i < builder->column_count; i++) {
        build_column *column = &builder->columns[i];
        column->row_count = 0;
        column->null_count = 0;
        if (column->type == TAPEOUT_TYPE_STRING) {
            tp_dict_clear(&table_stores(builder->table)[i].dict);
        }
    }
}

// -- appending -----------------------------------------------------------------------------------

static tapeout_status regrow(const tapeout_allocator *alloc, void **block, size_t *size,
                             size_t new_size)
{
    void *grown = tp_alloc_aligned(alloc, new_size);
    if (grown == NULL) {
        return TAPEOUT_E_NOMEM;
    }
    if (*size != 0) {
        memcpy(grown, *block, *size);
    }
    tp_free_aligned(alloc, *block, *size);
    *block = grown;
    *size = new_size;
    return TAPEOUT_OK;
}

static tapeout_status make_room(tp_table_builder *builder, uint32_t index)
{
    build_column *column = &builder->columns[index];
    table_store *store = &table_stores(builder->table)[index];
    if (column->row_count == TP_MAX_TABLE_ROWS) {
        return TAPEOUT_E_LIMIT;
    }
    const uint64_t capacity = column->capacity == 0 ? FIRST_CAPACITY : column->capacity * 2;
    const size_t values_size = tp_table_values_size(column->type, capacity);
    void *validity = store->validity;
    TP_TRY(regrow(builder->alloc, &store->values, &store->values_size, values_size));
    TP_TRY(regrow(builder->alloc, &validity, &store->validity_size, table_bitmap_size(capacity)));
    store->validity = validity;
    column->capacity = capacity;
    return TAPEOUT_OK;
}

static void bitmap_append(uint8_t *bits, uint64_t row, bool value)
{
    const uint8_t bit = (uint8_t)((unsigned)value << (row & 7));
    bits[row >> 3] = (row & 7) == 0 ? bit : (uint8_t)(bits[row >> 3] | bit);
}

// One value as a word: int64, the bits of a double, days, a code, a bool; zero where missing.
static tapeout_status append(tp_table_builder *builder, uint32_t index, int64_t word, bool is_valid)
{
    build_column *column = &builder->columns[index];
    if (column->row_count == column->capacity) {
        TP_TRY(make_room(builder, index));
    }
    table_store *store = &table_stores(builder->table)[index];
    const uint64_t row = column->row_count;
    switch (column->type) {
    case TAPEOUT_TYPE_BOOL:
        bitmap_append(store->values, row, word != 0);
        break;
    case TAPEOUT_TYPE_DATE:
    case TAPEOUT_TYPE_STRING:
        ((int32_t *)store->values)[row] = (int32_t)word;
        break;
    case TAPEOUT_TYPE_INT64:
    case TAPEOUT_TYPE_FLOAT64:
    case TAPEOUT_TYPE_TIMESTAMP:
    case TAPEOUT_TYPE_TIMESTAMP_TZ:
        ((int64_t *)store->values)[row] = word;
        break;
    }
    bitmap_append(store->validity, row, is_valid);
    column->null_count += !is_valid;
    column->row_count++;
    return TAPEOUT_OK;
}

static bool is_column_of(const tp_table_builder *builder, uint32_t column, tapeout_type type)
{
    return column < builder->column_count && builder->columns[column].type == type;
}

tapeout_status tp_table_builder_null(tp_table_builder *builder, uint32_t column)
{
    return column < builder->column_count ? append(builder, column, 0, false) : TAPEOUT_E_INVALID;
}

tapeout_status tp_table_builder_bool(tp_table_builder *builder, uint32_t column, bool value)
{
    return is_column_of(builder, column, TAPEOUT_TYPE_BOOL) ? append(builder, column, value, true)
                                                            : TAPEOUT_E_INVALID;
}

tapeout_status tp_table_builder_i64(tp_table_builder *builder, uint32_t column, int64_t value)
{
    if (is_column_of(builder, column, TAPEOUT_TYPE_FLOAT64)) {
        return tp_table_builder_f64(builder, column, (double)value);
    }
    const bool is_good = is_column_of(builder, column, TAPEOUT_TYPE_INT64) ||
                         is_column_of(builder, column, TAPEOUT_TYPE_TIMESTAMP) ||
                         is_column_of(builder, column, TAPEOUT_TYPE_TIMESTAMP_TZ);
    return is_good ? append(builder, column, value, true) : TAPEOUT_E_INVALID;
}

tapeout_status tp_table_builder_f64(tp_table_builder *builder, uint32_t column, double value)
{
    if (!is_column_of(builder, column, TAPEOUT_TYPE_FLOAT64)) {
        return TAPEOUT_E_INVALID;
    }
    if (isnan(value)) {
        return append(builder, column, 0, false);
    }
    int64_t word;
    memcpy(&word, &value, sizeof word);
    return append(builder, column, word, true);
}

tapeout_status tp_table_builder_days(tp_table_builder *builder, uint32_t column, int32_t value)
{
    return is_column_of(builder, column, TAPEOUT_TYPE_DATE) ? append(builder, column, value, true)
                                                            : TAPEOUT_E_INVALID;
}

tapeout_status tp_table_builder_str(tp_table_builder *builder, uint32_t column, tp_str value)
{
    if (!is_column_of(builder, column, TAPEOUT_TYPE_STRING)) {
        return TAPEOUT_E_INVALID;
    }
    uint32_t code;
    TP_TRY(tp_dict_add(&table_stores(builder->table)[column].dict, value, &code));
    return append(builder, column, code, true);
}

tapeout_status tp_table_builder_text(tp_table_builder *builder, uint32_t column, tp_str value,
                                     tapeout_error *err)
{
    if (column >= builder->column_count) {
        return tp_fail(err, TAPEOUT_E_INVALID, "table: no column %u", column);
    }
    const tapeout_type type = builder->columns[column].type;
    tapeout_status status;
    if (type == TAPEOUT_TYPE_STRING) {
        status = tp_table_builder_str(builder, column, value);
    } else {
        int64_t word;
        bool is_missing;
        if (!tp_table_text_parse(type, value, &word, &is_missing)) {
            const table_store *store = &table_stores(builder->table)[column];
            return tp_fail(err, TAPEOUT_E_DATA, "column %.*s: \"%.*s\" is not %s: expected %s",
                           (int)store->name_size, store->name, TP_STR_ARGS(value),
                           tapeout_type_name(type), tp_table_type_example(type));
        }
        status = append(builder, column, word, !is_missing);
    }
    if (status == TAPEOUT_E_LIMIT) {
        return tp_fail(err, status, "table: a column is over the limit of %u rows or 2 GiB of text",
                       TP_MAX_TABLE_ROWS);
    }
    return status == TAPEOUT_OK ? status : tp_fail_nomem(err);
}

// -- out -----------------------------------------------------------------------------------------

static tapeout_status check_lengths(const tp_table_builder *builder, tapeout_error *err)
{
    for (uint32_t i = 1; i < builder->column_count; i++) {
        if (builder->columns[i].row_count != builder->columns[0].row_count) {
            return tp_fail(err, TAPEOUT_E_INVALID,
                           "table: column %u has %llu rows where the first has %llu", i,
                           (unsigned long long)builder->columns[i].row_count,
                           (unsigned long long)builder->columns[0].row_count);
        }
    }
    return TAPEOUT_OK;
}

tapeout_status tp_table_builder_view(tp_table_builder *builder, const tapeout_table **ret_table,
                                     tapeout_error *err)
{
    TP_TRY(check_lengths(builder, err));
    tapeout_table *table = builder->table;
    table->row_count = builder->column_count == 0 ? 0 : builder->columns[0].row_count;
    for (uint32_t i = 0; i < builder->column_count; i++) {
        tp_table_column_set(table, i, builder->columns[i].type, builder->columns[i].null_count);
    }
    *ret_table = table;
    return TAPEOUT_OK;
}

// A table like the builder's own: the same columns, no rows.
static tapeout_status make_successor(const tp_table_builder *builder, tapeout_table **ret_table,
                                     tapeout_error *err)
{
    tapeout_table *table;
    TP_TRY(tp_table_new(builder->alloc, builder->column_count, &table, err));
    for (uint32_t i = 0; i < builder->column_count; i++) {
        const table_store *store = &table_stores(builder->table)[i];
        const tapeout_status status = tp_table_store_init(&table_stores(table)[i], builder->alloc,
                                                          (tp_str){store->name, store->name_size},
                                                          builder->columns[i].type, err);
        if (status != TAPEOUT_OK) {
            tp_table_unref(table);
            return status;
        }
    }
    *ret_table = table;
    return TAPEOUT_OK;
}

tapeout_status tp_table_builder_take(tp_table_builder *builder, tapeout_table **ret_table,
                                     tapeout_error *err)
{
    const tapeout_table *view;
    TP_TRY(tp_table_builder_view(builder, &view, err));
    tapeout_table *successor;
    TP_TRY(make_successor(builder, &successor, err));
    *ret_table = builder->table;
    builder->table = successor;
    for (uint32_t i = 0; i < builder->column_count; i++) {
        builder->columns[i] = (build_column){.type = builder->columns[i].type};
    }
    return TAPEOUT_OK;
}
