// SPDX-License-Identifier: Apache-2.0
//
// tp_sql_query: one SELECT over files. Every quoted word of the query that names a data file below
// the spec's folder is made readable under that word before the query runs: a CSV file by our own
// reader, as a table; Parquet and JSON as a view over DuckDB's reader, opened by the path that the
// name resolved to. Nothing else can be opened: DuckDB is told these paths and no more, so "..",
// absolute paths, links that leave the folder, URLs and names computed in SQL all fail.
//
// read_csv('f.csv'), read_parquet('f.parquet') and read_json('f.json') with one file name and no
// options are macros here that mean FROM 'f.csv' and so on: one reader a format, whichever way the
// query says it.
#include "table/sql_priv.h"

#include "base/tp_arena.h"
#include "base/tp_error.h"
#include "base/tp_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef enum file_kind { FILE_NONE, FILE_CSV, FILE_PARQUET, FILE_JSON, FILE_PACKED_CSV } file_kind;

typedef struct query_file {
    tp_str name; // as the query writes it
    tp_str path; // resolved
    file_kind kind;
    tapeout_table *table; // CSV: its rows, once read
} query_file;

typedef struct query_files {
    tp_arena arena;
    const char *directory; // resolved
    query_file items[TP_MAX_SQL_FILES];
    size_t count;
} query_files;

static file_kind kind_of(tp_str name)
{
    static const struct {
        const char *suffix;
        file_kind kind;
    } kinds[] = {
        {".csv", FILE_CSV},           {".tsv", FILE_CSV},           {".parquet", FILE_PARQUET},
        {".json", FILE_JSON},         {".jsonl", FILE_JSON},        {".ndjson", FILE_JSON},
        {".json.gz", FILE_JSON},      {".jsonl.gz", FILE_JSON},     {".ndjson.gz", FILE_JSON},
        {".csv.gz", FILE_PACKED_CSV}, {".tsv.gz", FILE_PACKED_CSV},
    };
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        const tp_str suffix = tp_str_from(kinds[i].suffix);
        if (name.size > suffix.size &&
            tp_str_equal_ignore_case((tp_str){name.data + name.size - suffix.size, suffix.size},
                                     suffix)) {
            return kinds[i].kind;
        }
    }
    return FILE_NONE;
}

// -- where a name leads --------------------------------------------------------------------------
// The real path of `name` below `directory` (itself real). A link that stays inside is fine.
static tapeout_status resolve_below(const char *directory, tp_str name,
                                    char ret_path[TP_MAX_PATH_BYTES], tapeout_error *err)
{
    char joined[TP_MAX_PATH_BYTES];
    const size_t root_size = strlen(directory);
    const bool absolute = name.size > 0 && name.data[0] == '/';
    const size_t prefix = absolute ? 0 : root_size + 1;
    if (prefix + name.size >= sizeof(joined)) {
        return tp_fail(err, TAPEOUT_E_NOT_FOUND, "sql: a file name of %zu bytes", name.size);
    }
    if (!absolute) {
        memcpy(joined, directory, root_size);
        joined[root_size] = '/';
    }
    memcpy(joined + prefix, name.data, name.size);
    joined[prefix + name.size] = '\0';
    if (realpath(joined, ret_path) == NULL) {
        return tp_fail(err, TAPEOUT_E_NOT_FOUND, "sql: no file \"%.*s\" in %s", TP_STR_ARGS(name),
                       directory);
    }
    const bool is_root = root_size == 1;
    if (!is_root && (strncmp(ret_path, directory, root_size) != 0 || ret_path[root_size] != '/')) {
        return tp_fail(err, TAPEOUT_E_DENIED,
                       "sql: \"%.*s\" lies outside %s; a query reads files below its spec's folder",
                       TP_STR_ARGS(name), directory);
    }
    struct stat info;
    if (stat(ret_path, &info) != 0 || !S_ISREG(info.st_mode)) {
        return tp_fail(err, TAPEOUT_E_INVALID, "sql: \"%.*s\" is not a regular file",
                       TP_STR_ARGS(name));
    }
    return TAPEOUT_OK;
}

static bool is_known(const query_files *files, tp_str name)
{
    for (size_t i = 0; i < files->count; i++) {
        if (tp_str_equal(files->items[i].name, name)) {
            return true;
        }
    }
    return false;
}

static void free_files(query_files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        tp_table_unref(files->items[i].table);
    }
    tp_arena_deinit(&files->arena);
}

// Notes a quoted word that names a file. One that does not is no error here: it may be any text.
static tapeout_status note_file(query_files *files, tp_str name, tapeout_error *err)
{
    char path[TP_MAX_PATH_BYTES];
    const file_kind kind = kind_of(name);
    if (kind == FILE_NONE || is_known(files, name) ||
        resolve_below(files->directory, name, path, NULL) != TAPEOUT_OK) {
        return TAPEOUT_OK;
    }
    if (files->count == TP_MAX_SQL_FILES) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "sql: the query names more than %u files",
                       TP_MAX_SQL_FILES);
    }
    query_file *item = &files->items[files->count];
    item->kind = kind;
    item->name = tp_arena_str(&files->arena, name);
    item->path = tp_arena_str(&files->arena, tp_str_from(path));
    if (item->name.data == NULL || item->path.data == NULL) {
        return tp_fail_nomem(err);
    }
    files->count++;
    return TAPEOUT_OK;
}

static tapeout_status find_files(query_files *files, const tapeout_allocator *alloc, tp_str query,
                                 tapeout_error *err)
{
    tp_buffer name;
    tp_buffer_init(&name, alloc, TP_MAX_SQL_BYTES);
    tapeout_status status = TAPEOUT_OK;
    sql_token token;
    size_t offset = 0;
    while (status == TAPEOUT_OK && tp_sql_token_next(query, &offset, &token)) {
        if (token.kind == SQL_TOKEN_LITERAL || token.kind == SQL_TOKEN_NAME) {
            tp_sql_token_value(&token, &name);
            status = tp_buffer_check(&name, "sql: a quoted word", err);
            if (status == TAPEOUT_OK) {
                status = note_file(files, tp_buffer_view(&name), err);
            }
        }
    }
    tp_buffer_deinit(&name);
    return status;
}

// -- making them readable ------------------------------------------------------------------------
static tapeout_status add_csv(sql_session *session, query_file *file, const tp_csv_options *csv,
                              tapeout_error *err)
{
    tp_csv_options one = *csv;
    one.types_are_for_some = true; // see check_types
    TP_TRY(tp_csv_read(session->env, file->path.data, &one, &file->table, err));
    return tp_sql_scan_add(session, file->name, file->table, err);
}

static tapeout_status add_view(sql_session *session, const query_file *file, tapeout_error *err)
{
    tp_buffer text;
    tp_buffer_init(&text, session->env->alloc, 4 * TP_MAX_PATH_BYTES + 128);
    tp_buffer_append_text(&text, "CREATE VIEW ");
    tp_sql_append_quoted(&text, '"', file->name);
    tp_buffer_append_text(&text, file->kind == FILE_PARQUET
                                     ? " AS FROM system.main.parquet_scan("
                                     : " AS FROM system.main.read_json_auto(");
    tp_sql_append_quoted(&text, '\'', file->path);
    tp_buffer_append_text(&text, ")");
    tp_buffer_append_char(&text, '\0');
    tapeout_status status = tp_buffer_check(&text, "sql: a file name", err);
    if (status == TAPEOUT_OK) {
        status = tp_sql_session_run(session, text.data, err);
    }
    tp_buffer_deinit(&text);
    return status;
}

static tapeout_status add_file(sql_session *session, query_file *file, const tp_csv_options *csv,
                               tapeout_error *err)
{
    tapeout_status status = TAPEOUT_OK;
    switch (file->kind) {
    case FILE_CSV:
        return add_csv(session, file, csv, err); // names the file itself
    case FILE_PARQUET:
        status = tp_parquet_file_check(session->env->alloc, file->path.data, err);
        if (status == TAPEOUT_OK) {
            status = add_view(session, file, err);
        }
        break;
    case FILE_JSON:
        status = add_view(session, file, err);
        break;
    case FILE_PACKED_CSV:
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED, "sql: \"%.*s\" is compressed; unpack it first",
                       TP_STR_ARGS(file->name));
    case FILE_NONE:
        break;
    }
    if (status != TAPEOUT_OK) {
        tp_error_prefix(err, "%.*s", TP_STR_ARGS(file->name));
    }
    return status;
}

// Without the list of names, a file that is not there would go round in circles: DuckDB itself
// turns FROM 'x.csv' into read_csv_auto('x.csv'), which is a macro here.
static void append_macro(tp_buffer *text, const char *function, const query_files *files)
{
    tp_buffer_printf(
        text, "CREATE TEMP MACRO %s(file) AS TABLE FROM query(CASE WHEN list_contains([", function);
    for (size_t i = 0; i < files->count; i++) {
        tp_buffer_append_text(text, i == 0 ? "" : ", ");
        tp_sql_append_quoted(text, '\'', files->items[i].name);
    }
    tp_buffer_append_text(text, "]::VARCHAR[], file) "
                                "THEN 'FROM \"' || replace(file, '\"', '\"\"') || '\"' "
                                "ELSE 'FROM system.main.read_text(''' || "
                                "replace(file, '''', '''''') || ''')' END)");
    tp_buffer_append_char(text, '\0');
}

static tapeout_status add_macros(sql_session *session, const query_files *files, tapeout_error *err)
{
    static const char *const names[] = {"read_csv",  "read_csv_auto",  "read_parquet",
                                        "read_json", "read_json_auto", "read_ndjson"};
    tp_buffer text;
    tp_buffer_init(&text, session->env->alloc, 4 * TP_MAX_SQL_BYTES);
    tapeout_status status = TAPEOUT_OK;
    for (size_t i = 0; status == TAPEOUT_OK && i < sizeof(names) / sizeof(names[0]); i++) {
        tp_buffer_clear(&text);
        append_macro(&text, names[i], files);
        status = tp_buffer_check(&text, "sql: a macro", err);
        if (status == TAPEOUT_OK) {
            status = tp_sql_session_run(session, text.data, err);
        }
    }
    tp_buffer_deinit(&text);
    return status;
}

// A type is for every CSV file that has such a column, and one of them must.
static tapeout_status check_types(const query_files *files, const tp_csv_options *csv,
                                  tapeout_error *err)
{
    for (size_t i = 0; i < csv->type_count; i++) {
        bool found = false;
        for (size_t f = 0; f < files->count && !found; f++) {
            const tapeout_table *table = files->items[f].table;
            found = table != NULL && tp_table_find(table, csv->types[i].name) != NULL;
        }
        if (!found) {
            return tp_fail(err, TAPEOUT_E_INVALID,
                           "sql: a type is given for column \"%.*s\", which no CSV file of the "
                           "query has",
                           TP_STR_ARGS(csv->types[i].name));
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status prepare_session(sql_session *session, query_files *files,
                                      const tp_csv_options *csv, tapeout_error *err)
{
    tp_str allowed[TP_MAX_SQL_FILES];
    size_t allowed_count = 0;
    for (size_t i = 0; i < files->count; i++) {
        if (files->items[i].kind == FILE_PARQUET || files->items[i].kind == FILE_JSON) {
            allowed[allowed_count++] = files->items[i].path;
        }
    }
    TP_TRY(tp_sql_session_confine(session, allowed, allowed_count, err));
    for (size_t i = 0; i < files->count; i++) {
        TP_TRY(add_file(session, &files->items[i], csv, err));
    }
    TP_TRY(check_types(files, csv, err));
    TP_TRY(add_macros(session, files, err));
    return tp_sql_session_lock(session, err);
}

// -- the query -----------------------------------------------------------------------------------
static tapeout_status check_query(tp_str query, tapeout_error *err)
{
    if (query.size > TP_MAX_SQL_BYTES) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "sql: the query has %zu bytes, more than %u",
                       query.size, TP_MAX_SQL_BYTES);
    }
    size_t offset = 0;
    if (memchr(query.data, '\0', query.size) != NULL || !tp_utf8_check(query, &offset)) {
        return tp_fail(err, TAPEOUT_E_INVALID, "sql: the query is not UTF-8 text");
    }
    const char *forbidden = tp_sql_forbidden_call(query);
    if (forbidden != NULL) {
        return tp_fail(
            err, TAPEOUT_E_DENIED,
            "sql: a query may not call %s(); give a column or table of that name another "
            "one with AS",
            forbidden);
    }
    offset = 0;
    sql_token token;
    bool found = false;
    do {
        found = tp_sql_token_next(query, &offset, &token);
    } while (found && tp_str_equal(token.text, TP_STR("(")));
    if (!found) {
        return tp_fail(err, TAPEOUT_E_INVALID, "sql: the query is empty");
    }
    static const char *const openings[] = {"select", "with", "from"};
    for (size_t i = 0; i < sizeof(openings) / sizeof(openings[0]); i++) {
        if (tp_str_equal_ignore_case(token.text, tp_str_from(openings[i]))) {
            return TAPEOUT_OK;
        }
    }
    return tp_fail(err, TAPEOUT_E_DENIED,
                   "sql: the query must be one SELECT; this one begins with \"%.*s\"",
                   TP_STR_ARGS(token.text));
}

// DuckDB says of every file that it was not told of that access is disabled; a person wants to know
// whether it is missing, lies elsewhere or is of a kind that is not read.
static tapeout_status explain_denied(const char *directory, tapeout_error *err)
{
    static const char opening[] = "Cannot access file \"";
    const char *name = err == NULL ? NULL : strstr(err->message, opening);
    if (name == NULL) {
        return TAPEOUT_E_DENIED;
    }
    name += sizeof(opening) - 1;
    const char *end = strchr(name, '"');
    char copy[sizeof(err->message)];
    const size_t size = end == NULL ? strlen(name) : (size_t)(end - name);
    memcpy(copy, name, size);
    const tp_str file = {copy, size};
    if (tp_str_contains(file, TP_STR("://")) || tp_str_contains(file, TP_STR("*"))) {
        return tp_fail(err, TAPEOUT_E_DENIED,
                       "sql: a query reads single files below its spec's folder, and \"%.*s\" is "
                       "none",
                       TP_STR_ARGS(file));
    }
    char path[TP_MAX_PATH_BYTES];
    TP_TRY(resolve_below(directory, file, path, err));
    return tp_fail(err, TAPEOUT_E_DENIED,
                   "sql: cannot read \"%.*s\" in this way; write FROM 'FILE' with a name that ends "
                   "in .csv, .tsv, .parquet, .json, .jsonl or .ndjson",
                   TP_STR_ARGS(file));
}

static tapeout_status run_query(sql_session *session, tp_str query, tapeout_table **ret_table,
                                tapeout_error *err)
{
    tp_buffer text;
    tp_buffer_init(&text, session->env->alloc, TP_MAX_SQL_BYTES + 1);
    tp_buffer_append_str(&text, query);
    tp_buffer_append_char(&text, '\0');
    tapeout_status status = tp_buffer_check(&text, "sql: the query", err);
    duck_result result;
    if (status == TAPEOUT_OK) {
        status = tp_sql_session_select(session, text.data, &result, err);
    }
    tp_buffer_deinit(&text);
    TP_TRY(status);
    status = tp_sql_result_table(session, &result, ret_table, err);
    session->api.destroy_result(&result);
    return status;
}

tapeout_status tp_sql_query(const tp_env *env, tp_str query, const tp_read_options *options,
                            tapeout_table **ret_table, tapeout_error *err)
{
    TP_TRY(check_query(query, err));
    char root[TP_MAX_PATH_BYTES];
    if (realpath(options->directory, root) == NULL) {
        return tp_fail_errno(err, errno, "sql: folder %s", options->directory);
    }
    query_files files = {.directory = root};
    tp_arena_init(&files.arena, env->alloc, TP_MAX_SQL_FILES * 4 * TP_MAX_PATH_BYTES);
    tapeout_error local = {0};
    sql_session session;
    tapeout_status status = tp_sql_session_open(&session, env, options->duckdb_library, err);
    if (status != TAPEOUT_OK) {
        free_files(&files);
        return status;
    }
    status = find_files(&files, env->alloc, query, &local);
    if (status == TAPEOUT_OK) {
        status = prepare_session(&session, &files, options->csv, &local);
    }
    if (status == TAPEOUT_OK) {
        status = run_query(&session, query, ret_table, &local);
    }
    if (status == TAPEOUT_E_DENIED) {
        status = explain_denied(root, &local);
    }
    tp_sql_session_close(&session);
    free_files(&files);
    if (status != TAPEOUT_OK && err != NULL) {
        *err = local;
    }
    return status;
}

tapeout_status tp_sql_probe(const tapeout_allocator *alloc, const char *library_path,
                            char *ret_version, size_t version_size, tapeout_error *err)
{
    (void)alloc; // asking costs no memory of ours
    duck_api api;
    TP_TRY(tp_duckdb_load(library_path, &api, err));
    const tp_str version = tp_str_from(api.library_version());
    if (version_size == 0) {
        return TAPEOUT_OK;
    }
    const size_t size = version.size < version_size ? version.size : version_size - 1;
    memcpy(ret_version, version.data, size);
    ret_version[size] = '\0';
    return TAPEOUT_OK;
}
