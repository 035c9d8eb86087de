// SPDX-License-Identifier: Apache-2.0
//
// A store in a file of SQLite.
//
// WAL with synchronous=FULL: a commit that returned is on disk. Every change happens under the one
// writers' lock (BEGIN IMMEDIATE). A sync that failed stops the store: the kernel may have dropped
// the pages, and the next sync would call them safe. Where the medium is read-only and the log is
// empty, the file is opened as one that does not change.
//
// `user_version` is 0 before there are tables, 1 for those of tapeout 0.1, whose only schema was
// the registry's, and 2 since the table schema_parts has the numbers.
#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "registry/store_priv.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

enum { FORMAT_ONE_SCHEMA = 1, FORMAT_PARTS = 2, CHECKPOINT_PAGES = 1000 };

typedef struct sqlite_store {
    tp_store base;
    sqlite3 *db;
    int64_t format; // user_version when it was opened
} sqlite_store;

static sqlite_store *self_of(const tp_store *store)
{
    return (sqlite_store *)(uintptr_t)store;
}

// -- errors --------------------------------------------------------------------------------------
static tapeout_status status_of_constraint(int code)
{
    switch (code) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID:
        return TAPEOUT_E_EXISTS;
    case SQLITE_CONSTRAINT_FOREIGNKEY:
        return TAPEOUT_E_BUSY;
    default:
        return TAPEOUT_E_INVALID;
    }
}

static tapeout_status status_of(int code)
{
    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return TAPEOUT_E_BUSY;
    case SQLITE_NOMEM:
        return TAPEOUT_E_NOMEM;
    case SQLITE_FULL:
        return TAPEOUT_E_FULL;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return TAPEOUT_E_CORRUPT;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return TAPEOUT_E_DENIED;
    case SQLITE_CONSTRAINT:
        return status_of_constraint(code);
    case SQLITE_TOOBIG:
        return TAPEOUT_E_LIMIT;
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR:
        return TAPEOUT_E_IO;
    default:
        return TAPEOUT_E_INTERNAL;
    }
}

static const char *advice(tapeout_status status)
{
    switch ((int)status) {
    case TAPEOUT_E_CORRUPT:
        return "; the file is damaged: restore it from a backup";
    case TAPEOUT_E_DENIED:
        return "; this user may not write there: use another --home";
    default:
        return "";
    }
}

static bool is_sync(int code)
{
    return code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_DIR_FSYNC;
}

// The system's number of the last call that failed, on the log or else the file.
static int last_errno(sqlite3 *db)
{
    sqlite3_file *log = NULL;
    int number = 0;
    if (sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) == SQLITE_OK &&
        log != NULL && log->pMethods != NULL) {
        (void)log->pMethods->xFileControl(log, SQLITE_FCNTL_LAST_ERRNO, &number);
    }
    if (number == 0) {
        (void)sqlite3_file_control(db, "main", SQLITE_FCNTL_LAST_ERRNO, &number);
    }
    return number;
}

// SQLite has a code of its own for a disk that is full, not for one that is read-only or a quota.
static bool takes_nothing(const sqlite_store *self, int code)
{
    struct statvfs about;
    if (code == SQLITE_IOERR_WRITE || code == SQLITE_IOERR_TRUNCATE) {
        const int error_number = last_errno(self->db);
        return error_number == ENOSPC || error_number == EDQUOT || error_number == EFBIG ||
               error_number == EROFS;
    }
    return ((code & 0xff) == SQLITE_READONLY || (code & 0xff) == SQLITE_CANTOPEN) &&
           statvfs(self->base.where, &about) == 0 && (about.f_flag & ST_RDONLY) != 0;
}

// "registry: FILE: SQLite's words", with the status that fits.
static tapeout_status fail(sqlite_store *self, tapeout_error *err)
{
    if (self->db == NULL) {
        return tp_fail_nomem(err);
    }
    const int code = sqlite3_extended_errcode(self->db);
    if (is_sync(code)) {
        tp_store_stop(&self->base);
    }
    if ((code & 0xff) == SQLITE_BUSY || (code & 0xff) == SQLITE_LOCKED) {
        return tp_fail(err, TAPEOUT_E_BUSY, "registry: %s: another process holds it: try again",
                       self->base.where);
    }
    if (takes_nothing(self, code)) {
        return tp_fail(err, TAPEOUT_E_FULL, "registry: %s: the disk takes no more: %s",
                       self->base.where, sqlite3_errmsg(self->db));
    }
    const tapeout_status status = status_of(code);
    return tp_fail(err, status, "registry: %s: %s%s", self->base.where, sqlite3_errmsg(self->db),
                   advice(status));
}

static tapeout_status run_script(tp_store *store, const char *sql, tapeout_error *err)
{
    sqlite_store *self = self_of(store);
    return sqlite3_exec(self->db, sql, NULL, NULL, NULL) == SQLITE_OK ? TAPEOUT_OK
                                                                      : fail(self, err);
}

// -- transactions --------------------------------------------------------------------------------
static tapeout_status begin(tp_store *store, tp_store_kind kind, tapeout_error *err)
{
    return run_script(store, kind == TP_STORE_SNAPSHOT ? "BEGIN" : "BEGIN IMMEDIATE", err);
}

static void rollback(tp_store *store)
{
    sqlite_store *self = self_of(store);
    if (sqlite3_get_autocommit(self->db) == 0) {
        // Nothing to be done about a failure here: what was not committed does not count.
        (void)sqlite3_exec(self->db, "ROLLBACK", NULL, NULL, NULL);
    }
}

static tapeout_status commit(tp_store *store, tapeout_error *err)
{
    const tapeout_status status = run_script(store, "COMMIT", err);
    if (status != TAPEOUT_OK) {
        rollback(store);
    }
    return status;
}

// -- statements ----------------------------------------------------------------------------------
static int bind(sqlite3_stmt *statement, int index, const tp_sql_value *value)
{
    const char *bytes = value->bytes.data == NULL ? "" : value->bytes.data;
    switch (value->kind) {
    case TP_SQL_NULL:
        return sqlite3_bind_null(statement, index);
    case TP_SQL_INT:
        return sqlite3_bind_int64(statement, index, value->integer);
    case TP_SQL_DOUBLE:
        return sqlite3_bind_double(statement, index, value->number);
    case TP_SQL_TEXT:
        return sqlite3_bind_text64(statement, index, bytes, value->bytes.size, SQLITE_STATIC,
                                   SQLITE_UTF8);
    case TP_SQL_BLOB:
        return sqlite3_bind_blob64(statement, index, bytes, value->bytes.size, SQLITE_STATIC);
    }
    return SQLITE_MISUSE;
}

// SQLite numbers parameters by their first appearance; $1 is a name to it.
static tapeout_status bind_all(sqlite_store *self, sqlite3_stmt *statement, tp_sql_values values,
                               tapeout_error *err)
{
    if ((size_t)sqlite3_bind_parameter_count(statement) != values.count) {
        return tp_fail(err, TAPEOUT_E_INTERNAL, "registry: %zu values for %d places in \"%.200s\"",
                       values.count, sqlite3_bind_parameter_count(statement),
                       sqlite3_sql(statement));
    }
    for (size_t i = 0; i < values.count; i++) {
        char name[24];
        (void)snprintf(name, sizeof(name), "$%zu", i + 1);
        const int index = sqlite3_bind_parameter_index(statement, name);
        if (bind(statement, index, &values.items[i]) != SQLITE_OK) {
            return fail(self, err);
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status query(tp_rows *rows, const char *sql, tp_sql_values values,
                            tapeout_error *err)
{
    sqlite_store *self = self_of(rows->store);
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(self->db, sql, -1, &statement, NULL) != SQLITE_OK) {
        return fail(self, err);
    }
    rows->state = statement;
    rows->columns = sqlite3_column_count(statement);
    if (sqlite3_stmt_readonly(statement) == 0) {
        TP_TRY(tp_store_check_stopped(&self->base, err));
    }
    return bind_all(self, statement, values, err);
}

static tapeout_status next(tp_rows *rows, bool *ret_has_row, tapeout_error *err)
{
    const int code = sqlite3_step(rows->state);
    *ret_has_row = code == SQLITE_ROW;
    return code == SQLITE_ROW || code == SQLITE_DONE ? TAPEOUT_OK : fail(self_of(rows->store), err);
}

static tp_sql_value value_at(const tp_rows *rows, int column)
{
    sqlite3_stmt *statement = rows->state;
    switch (sqlite3_column_type(statement, column)) {
    case SQLITE_INTEGER:
        return tp_sql_int(sqlite3_column_int64(statement, column));
    case SQLITE_FLOAT:
        return tp_sql_double(sqlite3_column_double(statement, column));
    case SQLITE_TEXT: {
        const char *text = (const char *)sqlite3_column_text(statement, column);
        return tp_sql_text((tp_str){text, (size_t)sqlite3_column_bytes(statement, column)});
    }
    case SQLITE_BLOB: {
        const char *blob = sqlite3_column_blob(statement, column);
        return tp_sql_blob((tp_str){blob, (size_t)sqlite3_column_bytes(statement, column)});
    }
    default:
        return tp_sql_null();
    }
}

static int64_t changed(const tp_rows *rows)
{
    return sqlite3_stmt_readonly(rows->state) != 0 ? 0
                                                   : sqlite3_changes64(self_of(rows->store)->db);
}

static void finish(tp_rows *rows)
{
    (void)sqlite3_finalize(rows->state); // says again what step said
}

// -- opening -------------------------------------------------------------------------------------
static tapeout_status read_format(sqlite_store *self, tapeout_error *err)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(self->db, "PRAGMA user_version", -1, &statement, NULL) != SQLITE_OK) {
        return fail(self, err);
    }
    tapeout_status status = TAPEOUT_OK;
    if (sqlite3_step(statement) == SQLITE_ROW) {
        self->format = sqlite3_column_int64(statement, 0);
    } else {
        status = fail(self, err);
    }
    (void)sqlite3_finalize(statement); // says again what step said
    if (status == TAPEOUT_OK && self->format > FORMAT_PARTS) {
        status = tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                         "registry: %s was written by a later tapeout (format %lld, this one knows "
                         "%d): use that version",
                         self->base.where, (long long)self->format, FORMAT_PARTS);
    }
    return status;
}

static tapeout_status has_versions(tp_store *store, bool *ret_has, tapeout_error *err)
{
    sqlite_store *self = self_of(store);
    TP_TRY(read_format(self, err)); // another may have been quicker
    *ret_has = self->format == FORMAT_PARTS;
    return TAPEOUT_OK;
}

static tapeout_status make_versions(tp_store *store, tapeout_error *err)
{
    tp_buffer sql;
    TP_TRY(tp_store_translate(store, TP_STORE_VERSIONS, &sql, err));
    tapeout_status status = run_script(store, sql.data, err);
    tp_buffer_deinit(&sql);
    if (status == TAPEOUT_OK && self_of(store)->format == FORMAT_ONE_SCHEMA) {
        status = run_script(store, "INSERT INTO schema_parts VALUES('registry', 1);", err);
    }
    if (status == TAPEOUT_OK) { // the application is "tpot", told apart by file(1)
        status = run_script(store,
                            "PRAGMA application_id = 1953525620;"
                            "PRAGMA user_version = 2;",
                            err);
    }
    return status;
}

// Changing to WAL wants the file for itself and does not wait for it, so we do.
static tapeout_status enter_wal(sqlite_store *self, tapeout_error *err)
{
    for (int waited_ms = 0;; waited_ms += 5) {
        const tapeout_status status = run_script(&self->base, "PRAGMA journal_mode = WAL", err);
        if (status != TAPEOUT_E_BUSY || waited_ms >= TP_REGISTRY_BUSY_MS) {
            return status;
        }
        (void)nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
}

// Carries a long log over into the file, as SQLite does by itself where nobody else does; but it
// would keep to itself that the file's sync failed. The commit has happened either way.
static int after_commit(void *user, sqlite3 *db, const char *name, int page_count)
{
    sqlite_store *self = user;
    if (page_count >= CHECKPOINT_PAGES &&
        is_sync(sqlite3_wal_checkpoint_v2(db, name, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL))) {
        tp_store_stop(&self->base);
    }
    return SQLITE_OK;
}

static tapeout_status open_file(sqlite_store *self, const char *name, int flags, tapeout_error *err)
{
    if (sqlite3_open_v2(name, &self->db, flags | SQLITE_OPEN_EXRESCODE, NULL) != SQLITE_OK) {
        return fail(self, err);
    }
    (void)sqlite3_busy_timeout(self->db, TP_REGISTRY_BUSY_MS);
    (void)sqlite3_wal_hook(self->db, after_commit, self);
    (void)sqlite3_db_config(self->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    // LIKE tells capitals apart, as in PostgreSQL.
    return run_script(&self->base,
                      "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
                      "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;"
                      "PRAGMA case_sensitive_like = ON",
                      err);
}

// Whoever is the first to open reads a commit from the log that a process wrote and was killed
// before it synced it. What is answered from it, to a request that is made again, must not be lost.
static tapeout_status sync_log(sqlite_store *self, tapeout_error *err)
{
    char path[TP_MAX_PATH_BYTES];
    const int size = snprintf(path, sizeof(path), "%s-wal", self->base.where);
    if (size < 0 || (size_t)size >= sizeof(path)) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "registry: the path of the log is too long");
    }
    const tapeout_status status = tp_file_sync(path, err);
    if (status == TAPEOUT_E_IO) {
        tp_store_stop(&self->base);
    }
    return status == TAPEOUT_E_NOT_FOUND ? TAPEOUT_OK : status; // nothing was written yet
}

// The entries of file and log in their folder are synced by SQLite with the first commit of each
// connection, whoever made them.
static tapeout_status open_to_write(sqlite_store *self, tapeout_error *err)
{
    const char *path = self->base.where;
    TP_TRY(open_file(self, path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, err));
    TP_TRY(enter_wal(self, err));
    TP_TRY(read_format(self, err));
    return sync_log(self, err);
}

static bool has_bytes(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && info.st_size > 0;
}

// "file:PATH?immutable=1" with the bytes that mean something in a URI written as %XX.
static void append_uri(tp_buffer *uri, const char *path)
{
    tp_buffer_append_text(uri, "file:");
    for (const char *c = path; *c != '\0'; c++) {
        if (*c == '%' || *c == '?' || *c == '#') {
            tp_buffer_printf(uri, "%%%02X", (unsigned)*c);
        } else {
            tp_buffer_append_char(uri, *c);
        }
    }
    tp_buffer_append_text(uri, "?immutable=1");
    tp_buffer_append_char(uri, '\0');
}

// On a medium that cannot be written, SQLite has nowhere to put the index of its log. If the log is
// empty the file is all there is, and it does not change.
static tapeout_status open_immutable(sqlite_store *self, tapeout_error *err)
{
    (void)sqlite3_close(self->db);
    self->db = NULL;
    tp_buffer uri;
    tp_buffer_init(&uri, self->base.alloc, 4 * TP_MAX_PATH_BYTES);
    append_uri(&uri, self->base.where);
    tapeout_status status = tp_buffer_check(&uri, "registry: the path", err);
    if (status == TAPEOUT_OK) {
        status = open_file(self, uri.data, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, err);
    }
    tp_buffer_deinit(&uri);
    return status;
}

static tapeout_status open_to_read(sqlite_store *self, tapeout_error *err)
{
    const char *path = self->base.where;
    tapeout_status status = TAPEOUT_E_NOT_FOUND;
    if (tp_path_exists(path)) {
        status = open_file(self, path, SQLITE_OPEN_READWRITE, err);
        if (status == TAPEOUT_OK) {
            status = read_format(self, err);
        }
        char log[TP_MAX_PATH_BYTES + 8];
        (void)snprintf(log, sizeof(log), "%s-wal", path);
        if ((status == TAPEOUT_E_IO || status == TAPEOUT_E_DENIED || status == TAPEOUT_E_FULL) &&
            self->db != NULL && !has_bytes(log)) {
            TP_TRY(open_immutable(self, err));
            status = read_format(self, err);
        }
    }
    if (status == TAPEOUT_E_NOT_FOUND || (status == TAPEOUT_OK && self->format == 0)) {
        return tp_fail(err, TAPEOUT_E_NOT_FOUND, "registry: nothing is stored in %s", path);
    }
    return status;
}

static tapeout_status open_store(tp_store *store, const tp_store_options *options,
                                 tapeout_error *err)
{
    store->where = tp_strndup(store->alloc, options->where, strlen(options->where));
    if (store->where == NULL) {
        return tp_fail_nomem(err);
    }
    return options->mode == TP_STORE_WRITE ? open_to_write(self_of(store), err)
                                           : open_to_read(self_of(store), err);
}

static void close_store(tp_store *store)
{
    // Every statement is finalised by now, so that closing cannot fail; what it could not write
    // back stays in the log.
    (void)sqlite3_close(self_of(store)->db);
}

const tp_store_driver tp_store_sqlite = {
    .size = sizeof(sqlite_store),
    .words = {"INTEGER PRIMARY KEY", "INTEGER", "REAL", "TEXT", "BLOB", " STRICT",
              " STRICT, WITHOUT ROWID"},
    .open = open_store,
    .close = close_store,
    .begin = begin,
    .commit = commit,
    .rollback = rollback,
    .query = query,
    .next = next,
    .value = value_at,
    .changed = changed,
    .finish = finish,
    .script = run_script,
    .has_versions = has_versions,
    .make_versions = make_versions,
};
