// SPDX-License-Identifier: Apache-2.0
//
// Columns and tables as other modules see them.
//
// A column is Arrow's: a validity bitmap (bit set: there is a value; NULL: no value is missing) and
// one buffer of values. Strings are dictionary-encoded always: `codes` index a dictionary of the
// column's distinct values in order of first appearance, so whatever works on a string is done once
// a distinct value. Buffers are 64-byte aligned and padded by 64 readable bytes. A value under a
// cleared validity bit is zero (code 0 for strings), never garbage. A FLOAT64 column holds no NaN:
// whoever fills one makes a NaN missing, so "missing" is said in one place only.
//
// Legend: R rows, C columns.
#ifndef TP_TABLE_H
#define TP_TABLE_H

#include "base/tp_dict.h"
#include "base/tp_env.h"
#include "base/tp_str.h"

#include <tapeout/table.h>

typedef struct tp_column {
    tp_str name;
    tapeout_type type;
    uint64_t row_count; // at most 2^32-1
    uint64_t null_count;
    bool is_absent; // expected by the reader, but the file has no such column; all missing
    const uint8_t
        *validity; // [(R + 7) / 8], least significant bit first; NULL when null_count is 0
    union {
        const void *data;
        const uint8_t *bits;  // BOOL: bitmap as `validity`
        const int64_t *i64;   // INT64, TIMESTAMP, TIMESTAMP_TZ (microseconds)
        const double *f64;    // FLOAT64
        const int32_t *days;  // DATE
        const int32_t *codes; // STRING: index into `dict`
    } values;
    const tp_dict *dict; // STRING only; may hold entries that no row uses
} tp_column;

struct tapeout_table {
    const tapeout_allocator *alloc;
    uint64_t row_count;
    uint32_t column_count;
    tp_column *columns; // [C]
    void *owner;        // what keeps the buffers alive; opaque outside table/
    int64_t ref_count;  // only through tp_table_ref and tp_table_unref
};

static inline bool tp_column_is_valid(const tp_column *column, uint64_t row)
{
    return column->validity == NULL || (column->validity[row >> 3] >> (row & 7) & 1) != 0;
}

// A choice of rows of a table. `index` NULL: the rows 0 … count-1 in order.
typedef struct tp_row_choice {
    const uint32_t
        *index; // [count], each below the table's row count; order matters, repeats are fine
    uint64_t count;
} tp_row_choice;

// The column of that name, or NULL.
const tp_column *tp_table_find(const tapeout_table *table, tp_str name);

void tp_table_ref(tapeout_table *table);   // atomic
void tp_table_unref(tapeout_table *table); // frees with the last; accepts NULL

// -- schema --------------------------------------------------------------------------------------
// Names and types without rows: what a bundle remembers of the columns it wants.
typedef struct tp_field {
    tp_str name;
    tapeout_type type;
} tp_field;

typedef struct tp_schema {
    const tp_field *fields; // [count], names unique
    uint32_t count;
} tp_schema;

int64_t tp_schema_find(const tp_schema *schema, tp_str name); // -1 where there is none

// -- building ------------------------------------------------------------------------------------
// Rows by appending to columns in any order; every column must end with the same length. Used for
// records that arrive over the network, for imports and for tests. `clear` keeps all memory, so a
// server builds one-row tables without allocating.
typedef struct tp_table_builder tp_table_builder;

tapeout_status tp_table_builder_new(const tapeout_allocator *alloc, const tp_schema *schema,
                                    tp_table_builder **ret_builder, tapeout_error *err);
void tp_table_builder_free(tp_table_builder *builder);
void tp_table_builder_clear(tp_table_builder *builder);
tapeout_status tp_table_builder_null(tp_table_builder *builder, uint32_t column);
tapeout_status tp_table_builder_bool(tp_table_builder *builder, uint32_t column, bool value);
// For INT64, TIMESTAMP, TIMESTAMP_TZ and, converted, FLOAT64.
tapeout_status tp_table_builder_i64(tp_table_builder *builder, uint32_t column, int64_t value);
// NaN is missing.
tapeout_status tp_table_builder_f64(tp_table_builder *builder, uint32_t column, double value);
tapeout_status tp_table_builder_days(tp_table_builder *builder, uint32_t column, int32_t value);
// UTF-8 that the caller has checked.
tapeout_status tp_table_builder_str(tp_table_builder *builder, uint32_t column, tp_str value);
// Parses text by the column's type (see tp_value.h); E_DATA where it is none.
tapeout_status tp_table_builder_text(tp_table_builder *builder, uint32_t column, tp_str value,
                                     tapeout_error *err);
// A table over the builder's own memory, valid until the builder's next clear, append or free; its
// columns are in schema order. E_INVALID when columns differ in length.
tapeout_status tp_table_builder_view(tp_table_builder *builder, const tapeout_table **ret_table,
                                     tapeout_error *err);
// Moves the rows out into a table of its own.
tapeout_status tp_table_builder_take(tp_table_builder *builder, tapeout_table **ret_table,
                                     tapeout_error *err);

// -- readers -------------------------------------------------------------------------------------
typedef struct tp_csv_options {
    char delimiter;        // 0: guessed from the first lines among , ; tab |
    const tp_str *missing; // [missing_count] the empty field is always missing, unless quoted
    size_t missing_count;
    const tp_field *types; // [type_count] overrides by name
    size_t type_count;
    bool types_are_for_some; // a type for a column that the file lacks is meant for another file
    const char *name;        // of the text, for messages; NULL: the path, or "text"
    const tp_schema *expect; // when not NULL: only these columns, with these types; others skipped;
                             // a column that the file lacks is all missing
} tp_csv_options;

void tp_csv_options_init(tp_csv_options *options);

// RFC 4180 CSV with a header line. Types are inferred over the whole file. The same table for any
// number of threads. `name` stands in messages: "csv: flights.csv:17: column 3 (day): ...".
tapeout_status tp_csv_read(const tp_env *env, const char *path, const tp_csv_options *options,
                           tapeout_table **ret_table, tapeout_error *err);
tapeout_status tp_csv_parse(const tp_env *env, tp_str text, const tp_csv_options *options,
                            tapeout_table **ret_table, tapeout_error *err);

// How files are read. `duckdb_library` NULL: TAPEOUT_DUCKDB, else the usual places.
typedef struct tp_read_options {
    const char *duckdb_library;
    const char *directory;     // of queries: what they name is relative to it and lies below it
    const tp_csv_options *csv; // for every CSV file
} tp_read_options;

// One SELECT over files below `options->directory`, run by DuckDB (see sql.c for how it is locked
// down); CSV files named in it follow `options->csv`. E_UNAVAILABLE without DuckDB.
tapeout_status tp_sql_query(const tp_env *env, tp_str query, const tp_read_options *options,
                            tapeout_table **ret_table, tapeout_error *err);
// Follows `options->csv->expect` as CSV does: the columns asked for, in their types, all missing
// where the file lacks one; a value that its type cannot hold is E_DATA. `options->csv` may be
// NULL.
tapeout_status tp_parquet_read(const tp_env *env, const char *path, const tp_read_options *options,
                               tapeout_table **ret_table, tapeout_error *err);
tapeout_status tp_parquet_write(const tp_env *env, const char *library_path, const char *path,
                                const tapeout_table *table, tapeout_error *err);
// The version string of the DuckDB that would be used, for `doctor`; E_UNAVAILABLE with what to
// install where there is none.
tapeout_status tp_sql_probe(const tapeout_allocator *alloc, const char *library_path,
                            char *ret_version, size_t version_size, tapeout_error *err);

// CSV or Parquet by the end of the name; "-" is CSV on standard input.
tapeout_status tp_table_read(const tp_env *env, const char *path, const tp_read_options *options,
                             tapeout_table **ret_table, tapeout_error *err);

#endif
