// SPDX-License-Identifier: Apache-2.0
//
// Tables as such: their life, their columns by name, and the words for types. Who fills a table is
// told in table_build.c (rows from anywhere), csv_read.c and arrow_import.c.
#include "table/tp_table.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "table/table_priv.h"
#include "table/tp_value.h"

#include <assert.h>
#include <string.h>

// -- types ---------------------------------------------------------------------------------------

const char *tapeout_type_name(tapeout_type type)
{
    switch (type) {
#define TYPE_NAME(name, value, word)                                                               \
    case TAPEOUT_TYPE_##name:                                                                      \
        return word;
        TAPEOUT_TYPE_MAP(TYPE_NAME)
#undef TYPE_NAME
    }
    return NULL;
}

bool tp_type_from_name(tp_str name, tapeout_type *ret_type)
{
#define TYPE_MATCH(type_name, value, word)                                                         \
    if (tp_str_equal(name, TP_STR(word))) {                                                        \
        *ret_type = TAPEOUT_TYPE_##type_name;                                                      \
        return true;                                                                               \
    }
    TAPEOUT_TYPE_MAP(TYPE_MATCH)
#undef TYPE_MATCH
    return false;
}

size_t tp_table_values_size(tapeout_type type, uint64_t row_count)
{
    switch (type) {
    case TAPEOUT_TYPE_BOOL:
        return table_bitmap_size(row_count);
    case TAPEOUT_TYPE_INT64:
    case TAPEOUT_TYPE_FLOAT64:
    case TAPEOUT_TYPE_TIMESTAMP:
    case TAPEOUT_TYPE_TIMESTAMP_TZ:
        return (size_t)row_count * sizeof(int64_t);
    case TAPEOUT_TYPE_DATE:
    case TAPEOUT_TYPE_STRING:
        return (size_t)row_count * sizeof(int32_t);
    }
    assert(false);
    return 0;
}

// -- life ----------------------------------------------------------------------------------------

tapeout_status tp_table_store_init(table_store *store, const tapeout_allocator *alloc, tp_str name,
                                   tapeout_type type, tapeout_error *err)
{
    store->name = tp_strndup(alloc, name.data, name.size);
    if (store->name == NULL) {
        return tp_fail_nomem(err);
    }
    store->name_size = name.size;
    if (type == TAPEOUT_TYPE_STRING) {
        tp_dict_init(&store->dict, alloc);
        store->has_dict = true;
    }
    return TAPEOUT_OK;
}

void tp_table_store_deinit(table_store *store, const tapeout_allocator *alloc)
{
    tp_free(alloc, store->name, store->name_size + 1);
    tp_free_aligned(alloc, store->values, store->values_size);
    tp_free_aligned(alloc, store->validity, store->validity_size);
    if (store->has_dict) {
        tp_dict_deinit(&store->dict);
    }
    *store = (table_store){0};
}

tapeout_status tp_table_new(const tapeout_allocator *alloc, uint32_t column_count,
                            tapeout_table **ret_table, tapeout_error *err)
{
    tapeout_table *table = tp_alloc_zero(alloc, sizeof *table);
    if (table == NULL) {
        return tp_fail_nomem(err);
    }
    table->alloc = alloc;
    table->column_count = column_count;
    table->ref_count = 1;
    table->columns = tp_alloc_array_zero(alloc, column_count, sizeof *table->columns);
    table->owner = tp_alloc_array_zero(alloc, column_count, sizeof(table_store));
    if (column_count != 0 && (table->columns == NULL || table->owner == NULL)) {
        tp_table_unref(table);
        return tp_fail_nomem(err);
    }
    *ret_table = table;
    return TAPEOUT_OK;
}

void tp_table_column_set(tapeout_table *table, uint32_t index, tapeout_type type,
                         uint64_t null_count)
{
    const table_store *store = &table_stores(table)[index];
    table->columns[index] = (tp_column){
        .name = {store->name, store->name_size},
        .type = type,
        .row_count = table->row_count,
        .null_count = null_count,
        .validity = null_count == 0 ? NULL : store->validity,
        .values.data = store->values,
        .dict = store->has_dict ? &store->dict : NULL,
    };
}

void tp_table_ref(tapeout_table *table)
{
    (void)__atomic_add_fetch(&table->ref_count, 1, __ATOMIC_RELAXED);
}

void tp_table_unref(tapeout_table *table)
{
    // Acquire and release: whoever frees sees all that others did with the table before.
    if (table == NULL || __atomic_sub_fetch(&table->ref_count, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    table_store *stores = table_stores(table);
    for (uint32_t i = 0; stores != NULL && i < table->column_count; i++) {
        tp_table_store_deinit(&stores[i], table->alloc);
    }
    tp_free_array(table->alloc, stores, table->column_count, sizeof *stores);
    tp_free_array(table->alloc, table->columns, table->column_count, sizeof *table->columns);
    tp_free(table->alloc, table, sizeof *table);
}

// -- finding -------------------------------------------------------------------------------------

const tp_column *tp_table_find(const tapeout_table *table, tp_str name)
{
    for (uint32_t i = 0; i < table->column_count; i++) {
        if (tp_str_equal(table->columns[i].name, name)) {
            return &table->columns[i];
        }
    }
    return NULL;
}

int64_t tp_schema_find(const tp_schema *schema, tp_str name)
{
    for (uint32_t i = 0; i < schema->count; i++) {
        if (tp_str_equal(schema->fields[i].name, name)) {
            return i;
        }
    }
    return -1;
}
