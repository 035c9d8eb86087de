// SPDX-License-Identifier: Apache-2.0
//
// HOME/registry.sqlite: opening, its schema with migrations, its transactions and its errors.
//
// WAL with synchronous=FULL: a commit that returned is on disk. Every change happens under the one
// writers' lock (BEGIN IMMEDIATE), the blob's copy included, so that numbers have no gaps and
// nobody removes a blob that another is about to name. A sync that failed stops the handle: the
// kernel may have dropped the pages, and the next sync would call them safe.
#include "registry/registry_priv.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

// migrations[v] leads from version v to v + 1. What was once released is never edited.
static const char *const migrations[] = {
    "CREATE TABLE models("
    "  id INTEGER PRIMARY KEY,"
    "  name TEXT NOT NULL UNIQUE,"
    "  created_us INTEGER NOT NULL,"
    "  last_version INTEGER NOT NULL DEFAULT 0) STRICT;"
    "CREATE TABLE versions("
    "  model_id INTEGER NOT NULL REFERENCES models(id),"
    "  version INTEGER NOT NULL CHECK(version > 0),"
    "  sha256 TEXT NOT NULL CHECK(length(sha256) = 64),"
    "  size INTEGER NOT NULL,"
    "  created_us INTEGER NOT NULL,"
    "  refused INTEGER NOT NULL CHECK(refused IN (0, 1)),"
    "  reason TEXT NOT NULL,"
    "  gates TEXT NOT NULL,"
    "  timings TEXT NOT NULL,"
    "  facts TEXT NOT NULL,"
    "  PRIMARY KEY(model_id, version)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX versions_by_hash ON versions(sha256);"
    "CREATE TABLE aliases("
    "  model_id INTEGER NOT NULL,"
    "  alias TEXT NOT NULL,"
    "  version INTEGER NOT NULL,"
    "  PRIMARY KEY(model_id, alias),"
    "  FOREIGN KEY(model_id, version) REFERENCES versions(model_id, version))"
    "  STRICT, WITHOUT ROWID;"
    "CREATE INDEX aliases_by_version ON aliases(model_id, version);"
    "PRAGMA application_id = 1953525620;", // "tpot", told apart by file(1)
};

enum { SCHEMA_VERSION = sizeof(migrations) / sizeof(migrations[0]) };

// -- errors --------------------------------------------------------------------------------------
static bool is_failed_sync(int code)
{
    return code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_DIR_FSYNC;
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
        return TAPEOUT_E_INVALID;
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
    case TAPEOUT_E_BUSY:
        return "; another process holds it: try again";
    case TAPEOUT_E_DENIED:
        return "; this user may not write there: use another --home";
    default:
        return "";
    }
}

tapeout_status tp_registry_fail(tp_registry *registry, const char *what, tapeout_error *err)
{
    if (registry->db == NULL) {
        return tp_fail_nomem(err);
    }
    const int code = sqlite3_extended_errcode(registry->db);
    if (is_failed_sync(code)) {
        registry->is_stopped = true;
    }
    const tapeout_status status = status_of(code);
    return tp_fail(err, status, "registry: %s/registry.sqlite: %s: %s%s", registry->home, what,
                   sqlite3_errmsg(registry->db), advice(status));
}

tapeout_status tp_registry_run(tp_registry *registry, const char *sql, tapeout_error *err)
{
    if (sqlite3_exec(registry->db, sql, NULL, NULL, NULL) != SQLITE_OK) {
        return tp_registry_fail(registry, "cannot be used", err);
    }
    return TAPEOUT_OK;
}

tapeout_status tp_registry_prepare(tp_registry *registry, const char *sql,
                                   sqlite3_stmt **ret_statement, tapeout_error *err)
{
    if (sqlite3_prepare_v2(registry->db, sql, -1, ret_statement, NULL) != SQLITE_OK) {
        return tp_registry_fail(registry, "cannot be read", err);
    }
    return TAPEOUT_OK;
}

tp_str tp_registry_text(sqlite3_stmt *statement, int column)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);
    const int size = sqlite3_column_bytes(statement, column);
    return text == NULL ? (tp_str){"", 0} : (tp_str){text, (size_t)size};
}

// -- transactions --------------------------------------------------------------------------------
tapeout_status tp_registry_begin(tp_registry *registry, tapeout_error *err)
{
    if (registry->is_stopped) {
        return tp_fail(err, TAPEOUT_E_IO,
                       "registry: %s: a sync failed before, so nothing more is written; look after "
                       "the disk, then start again",
                       registry->home);
    }
    return tp_registry_run(registry, "BEGIN IMMEDIATE", err);
}

tapeout_status tp_registry_commit(tp_registry *registry, tapeout_error *err)
{
    const tapeout_status status = tp_registry_run(registry, "COMMIT", err);
    if (status != TAPEOUT_OK) {
        tp_registry_rollback(registry);
    }
    return status;
}

void tp_registry_rollback(tp_registry *registry)
{
    if (sqlite3_get_autocommit(registry->db) == 0) {
        // Nothing to be done about a failure here: what was not committed does not count.
        (void)sqlite3_exec(registry->db, "ROLLBACK", NULL, NULL, NULL);
    }
}

// -- opening -------------------------------------------------------------------------------------
static tapeout_status read_number(tp_registry *registry, const char *sql, int64_t *ret_number,
                                  tapeout_error *err)
{
    sqlite3_stmt *statement = NULL;
    TP_TRY(tp_registry_prepare(registry, sql, &statement, err));
    tapeout_status status = TAPEOUT_OK;
    if (sqlite3_step(statement) == SQLITE_ROW) {
        *ret_number = sqlite3_column_int64(statement, 0);
    } else {
        status = tp_registry_fail(registry, "cannot be read", err);
    }
    (void)sqlite3_finalize(statement); // says again what step said
    return status;
}

static tapeout_status check_version(const tp_registry *registry, int64_t version,
                                    tapeout_error *err)
{
    if (version > SCHEMA_VERSION) {
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                       "registry: %s was written by a later tapeout (schema %lld, this one knows "
                       "%d): use that version",
                       registry->home, (long long)version, SCHEMA_VERSION);
    }
    return TAPEOUT_OK;
}

static tapeout_status migrate_locked(tp_registry *registry, tapeout_error *err)
{
    int64_t version = 0;
    TP_TRY(read_number(registry, "PRAGMA user_version", &version,
                       err)); // another may have been quicker
    for (; version < SCHEMA_VERSION; version++) {
        TP_TRY(tp_registry_run(registry, migrations[version], err));
        char statement[64];
        (void)snprintf(statement, sizeof(statement), "PRAGMA user_version = %lld",
                       (long long)version + 1);
        TP_TRY(tp_registry_run(registry, statement, err));
    }
    return TAPEOUT_OK;
}

static tapeout_status migrate(tp_registry *registry, tapeout_error *err)
{
    int64_t version = 0;
    TP_TRY(read_number(registry, "PRAGMA user_version", &version, err));
    TP_TRY(check_version(registry, version, err));
    if (version == SCHEMA_VERSION) {
        return TAPEOUT_OK;
    }
    TP_TRY(tp_registry_begin(registry, err));
    const tapeout_status status = migrate_locked(registry, err);
    if (status != TAPEOUT_OK) {
        tp_registry_rollback(registry);
        return status;
    }
    return tp_registry_commit(registry, err);
}

// Changing to WAL wants the file for itself and does not wait for it, so we do.
static tapeout_status enter_wal(tp_registry *registry, tapeout_error *err)
{
    for (int waited_ms = 0;; waited_ms += 5) {
        const tapeout_status status = tp_registry_run(registry, "PRAGMA journal_mode = WAL", err);
        if (status != TAPEOUT_E_BUSY || waited_ms >= TP_REGISTRY_BUSY_MS) {
            return status;
        }
        (void)nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
}

static tapeout_status open_file(tp_registry *registry, const char *name, int flags,
                                tapeout_error *err)
{
    if (sqlite3_open_v2(name, &registry->db, flags | SQLITE_OPEN_EXRESCODE, NULL) != SQLITE_OK) {
        return tp_registry_fail(registry, "cannot be opened", err);
    }
    (void)sqlite3_busy_timeout(registry->db, TP_REGISTRY_BUSY_MS);
    (void)sqlite3_db_config(registry->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    return tp_registry_run(registry,
                           "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
                           "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON",
                           err);
}

static tapeout_status open_to_write(tp_registry *registry, const char *path, tapeout_error *err)
{
    const bool is_new = !tp_path_exists(path);
    if (is_new) {
        TP_TRY(tp_directory_make(registry->home, err));
    }
    TP_TRY(open_file(registry, path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, err));
    TP_TRY(enter_wal(registry, err));
    TP_TRY(migrate(registry, err));
    return is_new ? tp_directory_sync(path, err) : TAPEOUT_OK;
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
static tapeout_status open_immutable(tp_registry *registry, const char *path, tapeout_error *err)
{
    (void)sqlite3_close(registry->db);
    registry->db = NULL;
    tp_buffer uri;
    tp_buffer_init(&uri, registry->alloc, 4 * TP_MAX_PATH_BYTES);
    append_uri(&uri, path);
    tapeout_status status = tp_buffer_check(&uri, "registry: the path", err);
    if (status == TAPEOUT_OK) {
        status = open_file(registry, uri.data, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, err);
    }
    tp_buffer_deinit(&uri);
    return status;
}

static tapeout_status open_to_read(tp_registry *registry, const char *path, tapeout_error *err)
{
    int64_t version = 0;
    tapeout_status status = TAPEOUT_E_NOT_FOUND;
    if (tp_path_exists(path)) {
        status = open_file(registry, path, SQLITE_OPEN_READWRITE, err);
        if (status == TAPEOUT_OK) {
            status = read_number(registry, "PRAGMA user_version", &version, err);
        }
        char log[TP_MAX_PATH_BYTES + 8];
        (void)snprintf(log, sizeof(log), "%s-wal", path);
        if ((status == TAPEOUT_E_IO || status == TAPEOUT_E_DENIED) && registry->db != NULL &&
            !has_bytes(log)) {
            TP_TRY(open_immutable(registry, path, err));
            status = read_number(registry, "PRAGMA user_version", &version, err);
        }
    }
    if (status == TAPEOUT_E_NOT_FOUND || (status == TAPEOUT_OK && version == 0)) {
        return tp_fail(err, TAPEOUT_E_NOT_FOUND, "registry: nothing is registered in %s",
                       registry->home);
    }
    TP_TRY(status);
    return check_version(registry, version, err);
}

tapeout_status tp_registry_open(const tapeout_allocator *alloc, const char *home,
                                tp_registry_mode mode, tp_registry **ret_registry,
                                tapeout_error *err)
{
    char path[TP_MAX_PATH_BYTES];
    const int size = snprintf(path, sizeof(path), "%s/registry.sqlite", home);
    if (size < 0 || (size_t)size >= sizeof(path)) {
        return tp_fail(err, TAPEOUT_E_LIMIT,
                       "registry: the path of the home directory is too long");
    }
    tp_registry *registry = tp_alloc_zero(alloc, sizeof(*registry));
    if (registry == NULL) {
        return tp_fail_nomem(err);
    }
    registry->alloc = alloc;
    registry->mode = mode;
    registry->home = tp_strndup(alloc, home, strlen(home));
    tapeout_status status = TAPEOUT_E_NOMEM;
    if (registry->home == NULL) {
        status = tp_fail_nomem(err);
    } else if (mode == TP_REGISTRY_WRITE) {
        status = open_to_write(registry, path, err);
    } else {
        status = open_to_read(registry, path, err);
    }
    if (status != TAPEOUT_OK) {
        tp_registry_close(&registry);
        return status;
    }
    *ret_registry = registry;
    return TAPEOUT_OK;
}

void tp_registry_close(tp_registry **registry)
{
    tp_registry *it = *registry;
    if (it == NULL) {
        return;
    }
    // Every statement is finalised by now, so that closing cannot fail; what it could not write
    // back stays in the log.
    (void)sqlite3_close(it->db);
    if (it->home != NULL) {
        tp_free(it->alloc, it->home, strlen(it->home) + 1);
    }
    tp_free(it->alloc, it, sizeof(*it));
    *registry = NULL;
}
