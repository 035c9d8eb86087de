// SPDX-License-Identifier: Apache-2.0
//
// Our own look at a Parquet file before DuckDB sees it. parquet_thrift.c reads the compact form of
// Thrift, parquet_check.c the footer, parquet_pages.c the headers of the pages; nothing is decoded
// beyond them.
#ifndef PARQUET_PRIV_H
#define PARQUET_PRIV_H

#include "base/tp_cursor.h"

#include <tapeout/context.h>

// -- Thrift, compact: what fails sets the cursor's `failed` --------------------------------------
typedef enum thrift_type {
    THRIFT_STOP,
    THRIFT_TRUE,
    THRIFT_FALSE,
    THRIFT_I8,
    THRIFT_I16,
    THRIFT_I32,
    THRIFT_I64,
    THRIFT_DOUBLE,
    THRIFT_BINARY,
    THRIFT_LIST,
    THRIFT_SET,
    THRIFT_MAP,
    THRIFT_STRUCT
} thrift_type;

// The place within a struct; starts as zero.
typedef struct thrift_field {
    thrift_type type;
    int32_t id;
} thrift_field;

// Moves to the next field of a struct, whose value is then read or skipped; false at its end and
// after a failure.
bool tp_thrift_next(tp_cursor *cursor, thrift_field *field);
// The integer of a field of 16 to 64 bits, or its boolean; another type fails.
int64_t tp_thrift_number(tp_cursor *cursor, const thrift_field *field);
tp_str tp_thrift_text(tp_cursor *cursor, const thrift_field *field);
// How many elements follow, each at least a byte that is there; all are of the type `type`.
uint32_t tp_thrift_list(tp_cursor *cursor, const thrift_field *field, thrift_type type);
void tp_thrift_skip(tp_cursor *cursor, const thrift_field *field);

// -- a file --------------------------------------------------------------------------------------
enum { PARQUET_UNKNOWN = -1 }; // a number that the file does not give

// A column with values, at a leaf of the schema.
typedef struct parquet_leaf {
    tp_str name; // in the footer
    int64_t type;
    int64_t type_size; // of a fixed-length byte array
    uint32_t max_def;  // levels of "may be missing" above a value; 0: every value is there
    uint32_t max_rep;  // levels of lists
} parquet_leaf;

// Its values in one group of rows.
typedef struct parquet_chunk {
    int64_t type;
    int64_t codec;
    int64_t value_count;
    int64_t stored_size; // of all its pages with their headers
    int64_t data_offset;
    int64_t dictionary_offset;
    int64_t null_count;
    bool is_elsewhere; // in another file
    bool is_encrypted;
} parquet_chunk;

typedef struct parquet_file {
    const tapeout_allocator *alloc;
    const uint8_t *data;
    size_t size;
    size_t data_end;       // where the footer begins
    parquet_leaf *leaves;  // [leaf_capacity]
    parquet_chunk *chunks; // [leaf_capacity], of the group that is being read
    uint32_t leaf_count;
    uint32_t leaf_capacity;
    int64_t row_count;
    int64_t rows_seen;
    uint32_t group; // the number of that group
} parquet_file;

// Walks the pages of column `c` of the current group.
tapeout_status tp_parquet_pages_check(const parquet_file *file, uint32_t c, tapeout_error *err);

// Whether footer and page headers of the file at `data` agree with each other and with its size.
// OK says nothing about the values: those DuckDB decodes, and refuses, by itself. E_CORRUPT with
// the column, group and byte; E_UNSUPPORTED for encryption and for columns in other files. Cost
// O(footer + pages).
tapeout_status tp_parquet_check(const tapeout_allocator *alloc, const void *data, size_t size,
                                tapeout_error *err);

#endif
