// SPDX-License-Identifier: Apache-2.0
//
// How a table owns its memory: one store a column, written by the builder, the CSV reader and the
// Arrow import, and freed with the table.
#ifndef TABLE_PRIV_H
#define TABLE_PRIV_H

#include "table/tp_table.h"

// Buffers are from tp_alloc_aligned; sizes are what was asked for. All may be NULL.
typedef struct table_store {
    char *name; // name_size + 1 bytes
    size_t name_size;
    void *values;
    size_t values_size;
    uint8_t *validity;
    size_t validity_size;
    bool has_dict; // `dict` is initialised
    tp_dict dict;
} table_store;

// Bytes of a buffer of `row_count` values.
static inline size_t table_bitmap_size(uint64_t row_count)
{
    return (size_t)((row_count + 7) / 8);
}

size_t tp_table_values_size(tapeout_type type, uint64_t row_count);

// Copies `name` and makes the dictionary of a string column. On failure `store` can be deinited.
tapeout_status tp_table_store_init(table_store *store, const tapeout_allocator *alloc, tp_str name,
                                   tapeout_type type, tapeout_error *err);
void tp_table_store_deinit(table_store *store, const tapeout_allocator *alloc);

// A table of `column_count` zeroed stores, with one reference. The caller fills stores and columns;
// tp_table_unref frees whatever of it is there.
tapeout_status tp_table_new(const tapeout_allocator *alloc, uint32_t column_count,
                            tapeout_table **ret_table, tapeout_error *err);

static inline table_store *table_stores(const tapeout_table *table)
{
    return table->owner;
}

// Points column `index` at its store.
void tp_table_column_set(tapeout_table *table, uint32_t index, tapeout_type type,
                         uint64_t null_count);

// -- text of a type (table_text.c) ---------------------------------------------------------------
// One value of `type` in a word of 64 bits: int64 and microseconds as they are, float64 by its
// bits, days and bools widened. Spaces around it do not matter. Not for strings. A NaN is
// `*ret_missing`.
bool tp_table_text_parse(tapeout_type type, tp_str text, int64_t *ret_word, bool *ret_missing);
tp_str tp_table_text_trim(tp_str text); // spaces and tabs
// "a whole number", "a date such as 2013-01-31", ...
const char *tp_table_type_example(tapeout_type type);

#endif
