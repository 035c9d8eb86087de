// SPDX-License-Identifier: Apache-2.0
//
// The part of DuckDB's C API that tapeout uses, as its documentation describes it, declared here so
// that building needs no DuckDB: the library is looked for when a query runs (duckdb_load.c). Types
// keep DuckDB's names without its prefix; handles are opaque pointers of their own kinds, so that
// one cannot be passed for another.
//
// Layouts that the two sides share are few: the result struct, the 16-byte string, the hugeint and
// the progress struct. They are part of DuckDB's stable C interface.
#ifndef DUCKDB_API_H
#define DUCKDB_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tapeout/status.h>

typedef struct duck_database_object *duck_database;
typedef struct duck_connection_object *duck_connection;
typedef struct duck_config_object *duck_config;
typedef struct duck_extracted_object *duck_extracted;
typedef struct duck_prepared_object *duck_prepared;
typedef struct duck_pending_object *duck_pending;
typedef struct duck_chunk_object *duck_chunk;
typedef struct duck_vector_object *duck_vector;
typedef struct duck_logical_type_object *duck_logical_type;
typedef struct duck_value_object *duck_value;
typedef struct duck_table_function_object *duck_table_function;
typedef struct duck_bind_info_object *duck_bind_info;
typedef struct duck_init_info_object *duck_init_info;
typedef struct duck_function_info_object *duck_function_info;

typedef uint64_t duck_index;

enum { DUCK_SUCCESS = 0, DUCK_STATEMENT_SELECT = 1 };

typedef enum duck_pending_state {
    DUCK_PENDING_RESULT_READY = 0,
    DUCK_PENDING_NOT_READY = 1,
    DUCK_PENDING_ERROR = 2,
    DUCK_PENDING_NO_TASKS = 3
} duck_pending_state;

// X(name, value, SQL's word)
#define DUCK_TYPE_MAP(X)                                                                           \
    X(BOOLEAN, 1, "BOOLEAN")                                                                       \
    X(TINYINT, 2, "TINYINT")                                                                       \
    X(SMALLINT, 3, "SMALLINT")                                                                     \
    X(INTEGER, 4, "INTEGER")                                                                       \
    X(BIGINT, 5, "BIGINT")                                                                         \
    X(UTINYINT, 6, "UTINYINT")                                                                     \
    X(USMALLINT, 7, "USMALLINT")                                                                   \
    X(UINTEGER, 8, "UINTEGER")                                                                     \
    X(UBIGINT, 9, "UBIGINT")                                                                       \
    X(FLOAT, 10, "FLOAT")                                                                          \
    X(DOUBLE, 11, "DOUBLE")                                                                        \
    X(TIMESTAMP, 12, "TIMESTAMP")                                                                  \
    X(DATE, 13, "DATE")                                                                            \
    X(TIME, 14, "TIME")                                                                            \
    X(INTERVAL, 15, "INTERVAL")                                                                    \
    X(HUGEINT, 16, "HUGEINT")                                                                      \
    X(VARCHAR, 17, "VARCHAR")                                                                      \
    X(BLOB, 18, "BLOB")                                                                            \
    X(DECIMAL, 19, "DECIMAL")                                                                      \
    X(TIMESTAMP_S, 20, "TIMESTAMP_S")                                                              \
    X(TIMESTAMP_MS, 21, "TIMESTAMP_MS")                                                            \
    X(TIMESTAMP_NS, 22, "TIMESTAMP_NS")                                                            \
    X(ENUM, 23, "ENUM")                                                                            \
    X(LIST, 24, "LIST")                                                                            \
    X(STRUCT, 25, "STRUCT")                                                                        \
    X(MAP, 26, "MAP")                                                                              \
    X(UUID, 27, "UUID")                                                                            \
    X(UNION, 28, "UNION")                                                                          \
    X(BIT, 29, "BIT")                                                                              \
    X(TIME_TZ, 30, "TIMETZ")                                                                       \
    X(TIMESTAMP_TZ, 31, "TIMESTAMPTZ")                                                             \
    X(UHUGEINT, 32, "UHUGEINT")                                                                    \
    X(ARRAY, 33, "ARRAY")                                                                          \
    X(BIGNUM, 35, "BIGNUM")                                                                        \
    X(SQLNULL, 36, "NULL")

typedef enum duck_type {
#define DUCK_TYPE_ENUM(name, value, word) DUCK_##name = (value),
    DUCK_TYPE_MAP(DUCK_TYPE_ENUM)
#undef DUCK_TYPE_ENUM
} duck_type;

typedef struct duck_result {
    uint64_t unused_counts[3];
    void *unused_columns;
    char *unused_message;
    void *internal;
} duck_result;

typedef struct duck_progress {
    double percentage; // negative while unknown
    uint64_t rows_done;
    uint64_t rows_total;
} duck_progress;

// Up to 12 bytes stand inside; a longer text has its first 4 there and a pointer behind them.
typedef union duck_string {
    struct {
        uint32_t size;
        char bytes[12];
    } inside;
    struct {
        uint32_t size;
        char prefix[4];
        const char *data;
    } outside;
} duck_string;

enum { DUCK_STRING_INSIDE = 12 };

typedef struct duck_hugeint {
    uint64_t lower;
    int64_t upper;
} duck_hugeint;

typedef struct duck_uhugeint {
    uint64_t lower;
    uint64_t upper;
} duck_uhugeint;

typedef void (*duck_delete_fn)(void *data);
typedef void (*duck_bind_fn)(duck_bind_info info);
typedef void (*duck_init_fn)(duck_init_info info);
typedef void (*duck_scan_fn)(duck_function_info info, duck_chunk output);

// X(name, result, parameters); each is the library's duckdb_<name>.
#define DUCK_FUNCTION_MAP(X)                                                                       \
    X(library_version, const char *, (void))                                                       \
    X(create_config, int, (duck_config * config))                                                  \
    X(set_config, int, (duck_config config, const char *name, const char *value))                  \
    X(destroy_config, void, (duck_config * config))                                                \
    X(open_ext, int, (const char *path, duck_database *database, duck_config config, char **text)) \
    X(close, void, (duck_database * database))                                                     \
    X(connect, int, (duck_database database, duck_connection * connection))                        \
    X(disconnect, void, (duck_connection * connection))                                            \
    X(free, void, (void *block))                                                                   \
    X(query, int, (duck_connection connection, const char *text, duck_result *result))             \
    X(interrupt, void, (duck_connection connection))                                               \
    X(query_progress, duck_progress, (duck_connection connection))                                 \
    X(destroy_result, void, (duck_result * result))                                                \
    X(result_error, const char *, (duck_result * result))                                          \
    X(column_count, duck_index, (duck_result * result))                                            \
    X(column_name, const char *, (duck_result * result, duck_index column))                        \
    X(column_logical_type, duck_logical_type, (duck_result * result, duck_index column))           \
    X(fetch_chunk, duck_chunk, (duck_result result))                                               \
    X(extract_statements, duck_index,                                                              \
      (duck_connection connection, const char *text, duck_extracted *extracted))                   \
    X(extract_statements_error, const char *, (duck_extracted extracted))                          \
    X(prepare_extracted_statement, int,                                                            \
      (duck_connection connection, duck_extracted extracted, duck_index index,                     \
       duck_prepared * prepared))                                                                  \
    X(destroy_extracted, void, (duck_extracted * extracted))                                       \
    X(prepare_error, const char *, (duck_prepared prepared))                                       \
    X(prepared_statement_type, int, (duck_prepared prepared))                                      \
    X(nparams, duck_index, (duck_prepared prepared))                                               \
    X(destroy_prepare, void, (duck_prepared * prepared))                                           \
    X(pending_prepared, int, (duck_prepared prepared, duck_pending * pending))                     \
    X(pending_execute_task, duck_pending_state, (duck_pending pending))                            \
    X(pending_execution_is_finished, bool, (duck_pending_state state))                             \
    X(pending_error, const char *, (duck_pending pending))                                         \
    X(execute_pending, int, (duck_pending pending, duck_result * result))                          \
    X(destroy_pending, void, (duck_pending * pending))                                             \
    X(destroy_data_chunk, void, (duck_chunk * chunk))                                              \
    X(data_chunk_get_size, duck_index, (duck_chunk chunk))                                         \
    X(data_chunk_set_size, void, (duck_chunk chunk, duck_index size))                              \
    X(data_chunk_get_vector, duck_vector, (duck_chunk chunk, duck_index column))                   \
    X(vector_size, duck_index, (void))                                                             \
    X(vector_get_data, void *, (duck_vector vector))                                               \
    X(vector_get_validity, uint64_t *, (duck_vector vector))                                       \
    X(vector_ensure_validity_writable, void, (duck_vector vector))                                 \
    X(vector_assign_string_element_len, void,                                                      \
      (duck_vector vector, duck_index row, const char *text, duck_index size))                     \
    X(create_logical_type, duck_logical_type, (duck_type type))                                    \
    X(destroy_logical_type, void, (duck_logical_type * type))                                      \
    X(get_type_id, duck_type, (duck_logical_type type))                                            \
    X(decimal_internal_type, duck_type, (duck_logical_type type))                                  \
    X(decimal_scale, uint8_t, (duck_logical_type type))                                            \
    X(enum_internal_type, duck_type, (duck_logical_type type))                                     \
    X(enum_dictionary_size, uint32_t, (duck_logical_type type))                                    \
    X(enum_dictionary_value, char *, (duck_logical_type type, duck_index index))                   \
    X(get_int64, int64_t, (duck_value value))                                                      \
    X(destroy_value, void, (duck_value * value))                                                   \
    X(create_table_function, duck_table_function, (void))                                          \
    X(destroy_table_function, void, (duck_table_function * function))                              \
    X(table_function_set_name, void, (duck_table_function function, const char *name))             \
    X(table_function_add_parameter, void, (duck_table_function function, duck_logical_type type))  \
    X(table_function_set_bind, void, (duck_table_function function, duck_bind_fn bind))            \
    X(table_function_set_init, void, (duck_table_function function, duck_init_fn init))            \
    X(table_function_set_function, void, (duck_table_function function, duck_scan_fn scan))        \
    X(table_function_supports_projection_pushdown, void,                                           \
      (duck_table_function function, bool supports))                                               \
    X(register_table_function, int, (duck_connection connection, duck_table_function function))    \
    X(bind_get_parameter, duck_value, (duck_bind_info info, duck_index index))                     \
    X(bind_add_result_column, void,                                                                \
      (duck_bind_info info, const char *name, duck_logical_type type))                             \
    X(bind_set_bind_data, void, (duck_bind_info info, void *data, duck_delete_fn destroy))         \
    X(bind_set_cardinality, void, (duck_bind_info info, duck_index count, bool is_exact))          \
    X(bind_set_error, void, (duck_bind_info info, const char *text))                               \
    X(init_get_column_count, duck_index, (duck_init_info info))                                    \
    X(init_get_column_index, duck_index, (duck_init_info info, duck_index index))                  \
    X(init_set_init_data, void, (duck_init_info info, void *data, duck_delete_fn destroy))         \
    X(init_set_error, void, (duck_init_info info, const char *text))                               \
    X(function_get_bind_data, void *, (duck_function_info info))                                   \
    X(function_get_init_data, void *, (duck_function_info info))

// What an older or newer library may lack; NULL then. The first gives rows as they are made instead
// of keeping all of them.
#define DUCK_OPTIONAL_FUNCTION_MAP(X)                                                              \
    X(pending_prepared_streaming, int, (duck_prepared prepared, duck_pending * pending))

// The functions of one loaded library. The library stays loaded until the process ends: DuckDB does
// not promise that it can be unloaded.
typedef struct duck_api {
#define DUCK_FUNCTION_POINTER(name, result, parameters) result(*name) parameters;
    DUCK_FUNCTION_MAP(DUCK_FUNCTION_POINTER)
    DUCK_OPTIONAL_FUNCTION_MAP(DUCK_FUNCTION_POINTER)
#undef DUCK_FUNCTION_POINTER
} duck_api;

// Finds and loads libduckdb: at `library_path` alone where it is given, else at $TAPEOUT_DUCKDB
// alone where that is set, else beside the executable (../lib/tapeout, then ../.deps/duckdb of a
// checkout), else the system's. E_UNAVAILABLE names what was tried and what to do.
tapeout_status tp_duckdb_load(const char *library_path, duck_api *ret_api, tapeout_error *err);

#endif
