// SPDX-License-Identifier: Apache-2.0
//
// The database behind the registry, hidden by one small table of functions: SQLite in a file of the
// home directory, or PostgreSQL for many servers. Every statement is written once, in the dialect
// that SQLite 3.40 and PostgreSQL 15 share; docs/internals/registry.md lists what it leaves out.
//
//     tp_rows rows;
//     tp_store_query(store, &rows, "SELECT id, name FROM models WHERE name = $1",
//                    TP_SQL(tp_sql_text(name)));
//     while (tp_rows_next(&rows)) {
//         use(tp_rows_int(&rows, 0), tp_rows_text(&rows, 1));
//     }
//     return tp_rows_close(&rows, err); // tells what went wrong on the way
//
// Inside a transaction a statement that failed leaves nothing to do but to roll back, on both: what
// may fail is asked so that it does not (ON CONFLICT DO NOTHING).
//
// @thread A store is `confined`; any number of stores, in any number of processes, may be open.
#ifndef TP_STORE_H
#define TP_STORE_H

#include "base/tp_str.h"

#include <stdatomic.h>
#include <tapeout/context.h>

typedef struct tp_store tp_store;

// -- opening -------------------------------------------------------------------------------------
typedef enum tp_store_mode {
    TP_STORE_READ, // E_NOT_FOUND where nothing was ever stored
    TP_STORE_WRITE // makes what is missing
} tp_store_mode;

typedef struct tp_store_options {
    // "postgresql://…", else the path of SQLite's file. Its folder must be there already.
    const char *where;
    // A tenant's own world within one database: a schema of PostgreSQL. Letters, digits and '_';
    // NULL: the common one. SQLite has a file for each instead.
    const char *world;
    tp_store_mode mode;
    // Set once a sync has failed, and asked before each write; shared by all stores of one process
    // that lie on the same disk. Borrowed. NULL: the store's own.
    atomic_bool *is_stopped;
} tp_store_options;

// E_CORRUPT for a damaged file, E_DENIED, E_FULL, E_IO and E_BUSY as the system says, E_UNAVAILABLE
// where the server cannot be reached or libpq is missing.
tapeout_status tp_store_open(const tapeout_allocator *alloc, const tp_store_options *options,
                             tp_store **ret_store, tapeout_error *err);
void tp_store_close(tp_store **store); // rolls back what is open; accepts NULL inside; nulls it

// True once a sync has failed: from then on nothing is written, E_IO.
bool tp_store_is_stopped(const tp_store *store);
// True where a commit can be done and its answer lost (E_UNKNOWN), as over a network.
bool tp_store_may_lose_answers(const tp_store *store);
void tp_store_stop(tp_store *store); // for whoever saw a sync fail beside the database

// The version ("15.14") and the file of PostgreSQL's client library, for lists of what runs; false
// where there is none.
bool tp_postgres_about(char *ret_version, size_t version_size, char *ret_path, size_t path_size);

// -- values --------------------------------------------------------------------------------------
typedef enum tp_sql_kind {
    TP_SQL_NULL,
    TP_SQL_INT,
    TP_SQL_DOUBLE,
    TP_SQL_TEXT,
    TP_SQL_BLOB
} tp_sql_kind;

typedef struct tp_sql_value {
    tp_sql_kind kind;
    int64_t integer;
    double number; // never NaN: SQLite would store NULL
    tp_str bytes;  // of a text (UTF-8 without NUL, E_INVALID otherwise) or a blob
} tp_sql_value;

typedef struct tp_sql_values {
    const tp_sql_value *items;
    size_t count;
} tp_sql_values;

tp_sql_value tp_sql_null(void);
tp_sql_value tp_sql_int(int64_t value);
tp_sql_value tp_sql_double(double value);
tp_sql_value tp_sql_text(tp_str text);
tp_sql_value tp_sql_word(const char *terminated); // a text, or NULL for NULL
tp_sql_value tp_sql_blob(tp_str bytes);

// The values of $1, $2, … in order: TP_SQL(tp_sql_int(1), tp_sql_text(name)).
#define TP_SQL(...)                                                                                \
    ((tp_sql_values){(const tp_sql_value[]){__VA_ARGS__},                                          \
                     sizeof((const tp_sql_value[]){__VA_ARGS__}) / sizeof(tp_sql_value)})
#define TP_SQL_NONE ((tp_sql_values){NULL, 0})

// -- statements ----------------------------------------------------------------------------------
// The rows of one query. The members are the drivers' own. Closed before the store is, and before
// the transaction ends.
typedef struct tp_rows {
    tp_store *store;
    void *state;
    int64_t row;   // of the current one
    int64_t count; // of all, where the driver knows it
    int columns;
    tapeout_error failure; // `status` OK: none so far
} tp_rows;

// One statement. Values are borrowed until the rows are closed. Failing shows in the two below.
void tp_store_query(tp_store *store, tp_rows *rows, const char *sql, tp_sql_values values);
// Goes to the next row; false at the end and after a failure.
bool tp_rows_next(tp_rows *rows);
// Ends the query and tells its first failure. E_EXISTS where a row with that key is there already,
// E_BUSY where another row refers to it (or is missing that it refers to) and where another writer
// was in the way, E_INVALID for what a CHECK or NOT NULL forbids, E_FULL, E_IO, E_DENIED,
// E_CORRUPT.
tapeout_status tp_rows_close(tp_rows *rows, tapeout_error *err);

// Columns of the current row. Views end with the next row. NULL reads as 0 and "".
bool tp_rows_is_null(const tp_rows *rows, int column);
int64_t tp_rows_int(const tp_rows *rows, int column);
double tp_rows_double(const tp_rows *rows, int column);
tp_str tp_rows_text(const tp_rows *rows, int column); // of a blob as well

// One statement without rows. `*ret_changed` (may be NULL) is how many rows it changed.
tapeout_status tp_store_run(tp_store *store, const char *sql, tp_sql_values values,
                            int64_t *ret_changed, tapeout_error *err);

// -- transactions --------------------------------------------------------------------------------
typedef enum tp_store_kind {
    TP_STORE_SNAPSHOT, // reading: every statement sees the same moment
    TP_STORE_ROWS,     // writing: rows that are changed are locked (SQLite: the writers' lock)
    TP_STORE_ALONE     // writing, and no other is in one of these: for what spans rows and blobs
} tp_store_kind;

// What is begun is ended by one of the other two. A commit that fails leaves nothing of the
// transaction, with one exception: E_UNKNOWN where the connection was lost before the answer came.
tapeout_status tp_store_begin(tp_store *store, tp_store_kind kind, tapeout_error *err);
tapeout_status tp_store_commit(tp_store *store, tapeout_error *err);
void tp_store_rollback(tp_store *store); // without a transaction it does nothing

// Begins, calls `body`, commits; rolls back when one of them fails. Where PostgreSQL asks for it
// (40001, 40P01) all of it is done again, with pauses, at most TP_MAX_STORE_TRIES times, so that
// `body` starts from the beginning each time.
typedef tapeout_status (*tp_store_body)(tp_store *store, void *user, tapeout_error *err);
tapeout_status tp_store_transact(tp_store *store, tp_store_kind kind, tp_store_body body,
                                 void *user, tapeout_error *err);

// -- schema --------------------------------------------------------------------------------------
// Tables of one part of the program. steps[v] leads from version v to v + 1 and holds one or more
// statements, each ended by ';', in the shared dialect with these words:
//
//     {id}      a key that the database counts up: INSERT … RETURNING id
//     {int} {real} {text} {blob}   types; text is compared and ordered by its bytes
//     {table}   behind the closing parenthesis of a table
//     {keyed}   the same for a table that is looked up by a PRIMARY KEY of its own, without {id}
//
// What was released is never edited; a new version of a schema is a new step.
typedef struct tp_store_schema {
    const char *part; // "registry", "mlflow", …
    const char *const *steps;
    size_t step_count;
} tp_store_schema;

// The version that the part's tables have; 0 where there are none.
tapeout_status tp_store_schema_version(tp_store *store, const char *part, int64_t *ret_version,
                                       tapeout_error *err);

// Brings the part's tables to the newest version, once over all processes. E_UNSUPPORTED where a
// later tapeout was here.
tapeout_status tp_store_migrate(tp_store *store, const tp_store_schema *schema, tapeout_error *err);

#endif
