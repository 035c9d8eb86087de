// SPDX-License-Identifier: Apache-2.0
//
// Tables: columns of one length in Arrow's layout, read from CSV, Parquet or a query, handed to and
// taken from others through the Arrow C Data Interface.
//
// @thread A table is `immutable` once made: any number of threads may read it.
#ifndef TAPEOUT_TABLE_H
#define TAPEOUT_TABLE_H

#include <tapeout/context.h>

#ifdef __cplusplus
extern "C" {
#endif

// X(name, value, the word that users see)
#define TAPEOUT_TYPE_MAP(X)                                                                        \
    X(BOOL, 0, "bool")                                                                             \
    X(INT64, 1, "int64")                                                                           \
    X(FLOAT64, 2, "float64")                                                                       \
    X(DATE, 3, "date")                /* days since 1970-01-01 */                                  \
    X(TIMESTAMP, 4, "timestamp")      /* microseconds, local to nobody */                          \
    X(TIMESTAMP_TZ, 5, "timestamptz") /* microseconds since 1970-01-01T00:00:00Z */                \
    X(STRING, 6, "string")

typedef enum tapeout_type {
#define TAPEOUT_TYPE_ENUM(name, value, word) TAPEOUT_TYPE_##name = (value),
    TAPEOUT_TYPE_MAP(TAPEOUT_TYPE_ENUM)
#undef TAPEOUT_TYPE_ENUM
} tapeout_type;

// The word that users see, such as "int64"; NULL for a value that is none.
TAPEOUT_API const char *tapeout_type_name(tapeout_type type);

typedef struct tapeout_table tapeout_table;

typedef struct tapeout_read_options {
    uint32_t struct_size;
    char delimiter;             // 0: by the file's first lines among , ; tab |
    const char *const *missing; // markers besides the empty field; NULL with count 0: none
    size_t missing_count;
    const char *const *type_names; // "column=type" overrides
    size_t type_count;
} tapeout_read_options;

TAPEOUT_API void tapeout_read_options_init(tapeout_read_options *options);

// Reads `path`: CSV, or Parquet by its name's end; "-" is CSV on standard input.
// Errors: E_NOT_FOUND, E_DATA (message names file, line and column), E_LIMIT, E_UNAVAILABLE
// (Parquet without DuckDB; the message says what to install), E_NOMEM.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_table_read(tapeout_context *context,
                                                                const char *path,
                                                                const tapeout_read_options *options,
                                                                tapeout_table **ret_table,
                                                                tapeout_error *err);

TAPEOUT_API void tapeout_table_free(tapeout_table *table); // accepts NULL
TAPEOUT_API uint64_t tapeout_table_row_count(const tapeout_table *table);
TAPEOUT_API uint32_t tapeout_table_column_count(const tapeout_table *table);
// The name is valid as long as the table; NULL beyond the last column.
TAPEOUT_API const char *tapeout_table_column_name(const tapeout_table *table, uint32_t column);
TAPEOUT_API tapeout_type tapeout_table_column_type(const tapeout_table *table, uint32_t column);

// The Arrow C Data Interface. `ret_schema` and `ret_array` point to the structures that Arrow's
// specification defines (ArrowSchema, ArrowArray), zeroed or released; a record batch is a struct
// array. The export borrows nothing: it keeps the table alive until both are released.
struct ArrowSchema;
struct ArrowArray;
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status
tapeout_table_export_arrow(tapeout_table *table, struct ArrowSchema *ret_schema,
                           struct ArrowArray *ret_array, tapeout_error *err);
// Takes `schema` and `array` over, also on failure: both are released by the library.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_table_import_arrow(tapeout_context *context,
                                                                        struct ArrowSchema *schema,
                                                                        struct ArrowArray *array,
                                                                        tapeout_table **ret_table,
                                                                        tapeout_error *err);

// What `tapeout profile` prints: a JSON object {rows, columns: [{name, type, missing, ...}],
// ...}. `target` may be NULL; with it, columns that give it away are marked. Freed with
// tapeout_text_free.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_table_profile(tapeout_context *context,
                                                                   const tapeout_table *table,
                                                                   const char *target,
                                                                   char **ret_json,
                                                                   tapeout_error *err);

#ifdef __cplusplus
}
#endif

#endif
