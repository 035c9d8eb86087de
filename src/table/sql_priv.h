// SPDX-License-Identifier: Apache-2.0
//
// What the files behind tp_sql_query share. sql.c tells the story; sql_text.c finds file names in a
// query, sql_session.c opens DuckDB and locks it, parquet_*.c look at a Parquet file first,
// sql_result.c turns its answer into a table, sql_parquet.c reads and writes Parquet with the same
// session.
#ifndef SQL_PRIV_H
#define SQL_PRIV_H

#include "base/limits.h"
#include "base/tp_buffer.h"
#include "base/tp_env.h"
#include "table/duckdb_api.h"
#include "table/tp_table.h"

// -- words of a query ----------------------------------------------------------------------------
typedef enum sql_token_kind {
    SQL_TOKEN_WORD,    // a keyword, name or number
    SQL_TOKEN_LITERAL, // '...'
    SQL_TOKEN_NAME,    // "..."
    SQL_TOKEN_MARK     // one other character
} sql_token_kind;

typedef struct sql_token {
    sql_token_kind kind;
    tp_str text; // without the outer quotes; a doubled quote inside is still two
} sql_token;

// Moves `*offset` past the next token, comments and space skipped; false at the end of the query.
// An unterminated quote runs to the end: DuckDB, which reads the query after us, says what is
// wrong.
bool tp_sql_token_next(tp_str query, size_t *offset, sql_token *ret_token);

// The token's text with doubled quotes made single, in `text` (cleared first).
void tp_sql_token_value(const sql_token *token, tp_buffer *text);

// Appends `value` between quotes of the kind `quote`, those inside doubled.
void tp_sql_append_quoted(tp_buffer *text, char quote, tp_str value);

// The name of a function that a query may not call and this one might, or NULL.
const char *tp_sql_forbidden_call(tp_str query);

// -- session -------------------------------------------------------------------------------------
// One database in memory with one connection. Confined to the
// calling thread, and DuckDB makes no other.
typedef struct sql_session {
    const tp_env *env;
    duck_api api;
    duck_database database;
    duck_connection connection;
    const tapeout_table *tables[TP_MAX_SQL_FILES]; // borrowed, see tp_sql_scan_add
    size_t table_count;
} sql_session;

// Loads DuckDB and opens a database: one thread, UTC, no extension loaded by itself, nothing
// written to disk. On failure there is nothing to close.
tapeout_status tp_sql_session_open(sql_session *session, const tp_env *env,
                                   const char *library_path, tapeout_error *err);
void tp_sql_session_close(sql_session *session);

// Runs one statement of ours, whose result does not matter.
tapeout_status tp_sql_session_run(sql_session *session, const char *statement, tapeout_error *err);

// From here on DuckDB opens only the files of `allowed` (absolute paths, resolved), and
// from tp_sql_session_lock on no setting can be changed.
tapeout_status tp_sql_session_confine(sql_session *session, const tp_str *allowed,
                                      size_t allowed_count, tapeout_error *err);
tapeout_status tp_sql_session_lock(sql_session *session, tapeout_error *err);

// Runs `query`, which must be one SELECT, step by step, so that it can be cancelled. The rows may
// be made while they are fetched, by tp_sql_result_table alone. `ret_result` is destroyed by the
// caller.
tapeout_status tp_sql_session_select(sql_session *session, const char *query,
                                     duck_result *ret_result, tapeout_error *err);

// A failure with DuckDB's message: its first line, the status by its kind, the line of the query.
tapeout_status tp_sql_fail(const char *message, tapeout_error *err);

// -- both directions -----------------------------------------------------------------------------
// Registers the table function that shows our tables. While a session is in a call of DuckDB, it is
// the one that this thread has entered; NULL leaves it.
tapeout_status tp_sql_scan_register(sql_session *session, tapeout_error *err);
void tp_sql_scan_enter(const sql_session *session);

// Makes `table` readable under `name`; it must outlive the session.
tapeout_status tp_sql_scan_add(sql_session *session, tp_str name, const tapeout_table *table,
                               tapeout_error *err);

// The rows of `result`, which is used up by it.
tapeout_status tp_sql_result_table(sql_session *session, duck_result *result,
                                   tapeout_table **ret_table, tapeout_error *err);

// tp_parquet_check of the file at `path`.
tapeout_status tp_parquet_file_check(const tapeout_allocator *alloc, const char *path,
                                     tapeout_error *err);

// The word for one of DuckDB's types, such as "STRUCT"; "a type that tapeout does not know" else.
const char *tp_duck_type_name(duck_type type);
duck_type tp_duck_type_of(tapeout_type type);

#endif
