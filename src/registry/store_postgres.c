// SPDX-License-Identifier: Apache-2.0
//
// A store in PostgreSQL 15 or later, for many servers. A world is a schema of the database. Every
// connection is to a server that takes writes, so that nothing is decided by what a standby does
// not know yet, and every commit waits for the disk whatever the database's own setting is.
//
// A connection that is lost is made anew when the next transaction begins. Lost within one, nothing
// of it has happened and it is done again; lost while the answer to COMMIT is awaited, the server
// is asked what became of it (postgres_settle.c). Values travel in PostgreSQL's binary form, which
// knows no rounding.
#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "registry/postgres_priv.h"

#include <stdio.h>
#include <string.h>

static postgres_store *self_of(const tp_store *store)
{
    return (postgres_store *)(uintptr_t)store;
}

// -- errors --------------------------------------------------------------------------------------
typedef struct state_status {
    const char *prefix; // of the SQLSTATE; the first that fits
    tapeout_status status;
} state_status;

static const state_status statuses[] = {
    {"23505", TAPEOUT_E_EXISTS},
    {"23503", TAPEOUT_E_BUSY},
    {"23", TAPEOUT_E_INVALID},
    {"22", TAPEOUT_E_INVALID},
    {"25006", TAPEOUT_E_UNAVAILABLE},
    {"28", TAPEOUT_E_DENIED},
    {"3D", TAPEOUT_E_NOT_FOUND},
    {"40", TAPEOUT_E_BUSY},
    {"42501", TAPEOUT_E_DENIED},
    {"53100", TAPEOUT_E_FULL},
    {"53200", TAPEOUT_E_NOMEM},
    {"53", TAPEOUT_E_BUSY},
    {"54", TAPEOUT_E_LIMIT},
    {"55", TAPEOUT_E_BUSY},
    {"57014", TAPEOUT_E_TIMEOUT},
    {"57", TAPEOUT_E_UNAVAILABLE},
    {"58", TAPEOUT_E_IO},
    {"XX001", TAPEOUT_E_CORRUPT},
    {"XX002", TAPEOUT_E_CORRUPT},
    {"08", TAPEOUT_E_UNAVAILABLE},
};

static tapeout_status status_of(const char *state)
{
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        if (strncmp(state, statuses[i].prefix, strlen(statuses[i].prefix)) == 0) {
            return statuses[i].status;
        }
    }
    return TAPEOUT_E_INTERNAL;
}

// libpq's words without the line's end.
static tapeout_status fail_lost(postgres_store *self, tapeout_status status, const char *what,
                                tapeout_error *err)
{
    const char *words = self->conn == NULL ? "no memory" : self->pq.errorMessage(self->conn);
    size_t size = strcspn(words, "\n");
    size = size > 300 ? 300 : size;
    return tp_fail(err, status, "registry: %s: %s: %.*s", self->base.where, what, (int)size, words);
}

tapeout_status tp_postgres_fail(postgres_store *self, PGresult *result, tapeout_error *err)
{
    const char *state = result == NULL ? NULL : self->pq.resultErrorField(result, PG_DIAG_SQLSTATE);
    tapeout_status status = TAPEOUT_E_UNAVAILABLE;
    if (!tp_postgres_is_connected(self) || state == NULL) {
        status = fail_lost(self, status, "the connection was lost", err);
        self->base.wants_retry = self->base.is_open_transaction;
    } else {
        const char *message = self->pq.resultErrorField(result, PG_DIAG_MESSAGE);
        status = tp_fail(err, status_of(state), "registry: %s: %.300s (SQLSTATE %s)",
                         self->base.where, message == NULL ? "" : message, state);
        self->base.wants_retry = strcmp(state, "40001") == 0 || strcmp(state, "40P01") == 0;
        if (strcmp(state, "25006") == 0) {
            // The server became a standby: the next transaction looks for the one that took over.
            self->pq.finish(self->conn);
            self->conn = NULL;
            self->base.wants_retry = true;
        }
    }
    self->pq.clear(result);
    return status;
}

bool tp_postgres_is_done(const postgres_store *self, const PGresult *result)
{
    const int status = result == NULL ? -1 : self->pq.resultStatus(result);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

static tapeout_status run_script(tp_store *store, const char *sql, tapeout_error *err)
{
    postgres_store *self = self_of(store);
    PGresult *result = self->pq.exec(self->conn, sql);
    if (!tp_postgres_is_done(self, result)) {
        return tp_postgres_fail(self, result, err);
    }
    self->pq.clear(result);
    return TAPEOUT_OK;
}

// -- connecting ----------------------------------------------------------------------------------
static void ignore_notice(void *user, const char *message)
{
    (void)user;
    (void)message; // libpq would print it
}

static tapeout_status check_server(postgres_store *self, tapeout_error *err)
{
    const int version = self->pq.serverVersion(self->conn);
    if (version < 150000) {
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                       "registry: %s: PostgreSQL %d; 15 or later is needed", self->base.where,
                       version / 10000);
    }
    char sql[512];
    (void)snprintf(sql, sizeof(sql),
                   "SET search_path TO \"%s\"; SET lock_timeout TO %d;"
                   "SET idle_in_transaction_session_timeout TO %d;"
                   "SELECT set_config('synchronous_commit', 'on', false) "
                   "WHERE current_setting('synchronous_commit') IN ('off', 'local');",
                   self->schema, TP_REGISTRY_BUSY_MS, 2 * TP_REGISTRY_BUSY_MS);
    return run_script(&self->base, sql, err);
}

tapeout_status tp_postgres_connect(postgres_store *self, tapeout_error *err)
{
    // What stands before the URL can be said otherwise in it, what stands behind cannot.
    static const char *const keywords[] = {"connect_timeout",
                                           "tcp_user_timeout",
                                           "application_name",
                                           "dbname",
                                           "client_encoding",
                                           "target_session_attrs",
                                           NULL};
    const char *const values[] = {"10", "30000", "tapeout", self->url, "UTF8", "read-write", NULL};
    self->pq.finish(self->conn);
    self->conn = self->pq.connectdbParams(keywords, values, 1);
    if (!tp_postgres_is_connected(self)) {
        return fail_lost(self, TAPEOUT_E_UNAVAILABLE, "cannot connect", err);
    }
    (void)self->pq.setNoticeProcessor(self->conn, ignore_notice, NULL);
    return check_server(self, err);
}

static tapeout_status ensure_connected(postgres_store *self, tapeout_error *err)
{
    return tp_postgres_is_connected(self) ? TAPEOUT_OK : tp_postgres_connect(self, err);
}

// -- transactions --------------------------------------------------------------------------------
static void rollback(tp_store *store)
{
    postgres_store *self = self_of(store);
    if (tp_postgres_is_connected(self)) {
        // Nothing to be done about a failure here: what was not committed does not count.
        self->pq.clear(self->pq.exec(self->conn, "ROLLBACK"));
    }
}

static tapeout_status begin(tp_store *store, tp_store_kind kind, tapeout_error *err)
{
    postgres_store *self = self_of(store);
    TP_TRY(ensure_connected(self, err));
    store->is_open_transaction = true; // what fails from here on may be done again
    tapeout_status status =
        run_script(store,
                   kind == TP_STORE_SNAPSHOT ? "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
                                             : "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
                   err);
    if (status == TAPEOUT_OK && kind == TP_STORE_ALONE) {
        char sql[256];
        (void)snprintf(sql, sizeof(sql),
                       "SELECT pg_advisory_xact_lock(hashtextextended('%s', 7481))", self->schema);
        status = run_script(store, sql, err);
    }
    if (status != TAPEOUT_OK) {
        rollback(store);
        store->is_open_transaction = false;
    }
    return status;
}

// An answer that ends the connection says nothing about the transaction: a server that is shut down
// while it waits for its standbys has committed already.
static tapeout_status commit(tp_store *store, tapeout_error *err)
{
    postgres_store *self = self_of(store);
    postgres_mark mark;
    const tapeout_status marked = tp_postgres_mark_read(self, &mark, err);
    if (marked != TAPEOUT_OK) {
        rollback(store);
        return marked;
    }
    PGresult *result = self->pq.exec(self->conn, "COMMIT");
    if (!tp_postgres_is_connected(self)) {
        self->pq.clear(result);
        return tp_postgres_settle(self, &mark, err);
    }
    if (!tp_postgres_is_done(self, result)) {
        const tapeout_status status = tp_postgres_fail(self, result, err);
        rollback(store);
        return status;
    }
    const bool is_committed = strcmp(self->pq.cmdStatus(result), "COMMIT") == 0;
    self->pq.clear(result);
    return is_committed
               ? TAPEOUT_OK
               : tp_fail(err, TAPEOUT_E_INTERNAL,
                         "registry: %s: a transaction was rolled back instead of committed",
                         store->where);
}

// -- statements ----------------------------------------------------------------------------------
typedef struct parameters {
    Oid types[TP_MAX_STORE_VALUES];
    const char *values[TP_MAX_STORE_VALUES];
    int lengths[TP_MAX_STORE_VALUES];
    int formats[TP_MAX_STORE_VALUES];
    unsigned char numbers[TP_MAX_STORE_VALUES][8];
} parameters;

static void put_number(unsigned char bytes[8], uint64_t bits)
{
    for (int i = 0; i < 8; i++) {
        bytes[i] = (unsigned char)(bits >> (56 - 8 * i));
    }
}

static uint64_t get_number(const char *bytes, int size)
{
    uint64_t bits = 0;
    for (int i = 0; i < size; i++) {
        bits = bits << 8 | (unsigned char)bytes[i];
    }
    return bits;
}

static void set_parameter(parameters *all, size_t i, const tp_sql_value *value)
{
    uint64_t bits = (uint64_t)value->integer;
    all->formats[i] = 1;
    all->lengths[i] = 8;
    all->values[i] = (const char *)all->numbers[i];
    switch (value->kind) {
    case TP_SQL_NULL:
        all->types[i] = 0;
        all->values[i] = NULL;
        all->lengths[i] = 0;
        break;
    case TP_SQL_INT:
        all->types[i] = PG_INT8;
        put_number(all->numbers[i], bits);
        break;
    case TP_SQL_DOUBLE:
        all->types[i] = PG_FLOAT8;
        memcpy(&bits, &value->number, sizeof(bits));
        put_number(all->numbers[i], bits);
        break;
    case TP_SQL_TEXT:
    case TP_SQL_BLOB:
        all->types[i] = value->kind == TP_SQL_TEXT ? PG_TEXT : PG_BYTEA;
        all->values[i] = value->bytes.data == NULL ? "" : value->bytes.data;
        all->lengths[i] = (int)value->bytes.size;
        break;
    }
}

static bool is_readable(Oid type)
{
    static const Oid types[] = {PG_BOOL, PG_BYTEA,  PG_NAME,   PG_INT8,    PG_INT2, PG_INT4,
                                PG_TEXT, PG_FLOAT4, PG_FLOAT8, PG_VARCHAR, PG_VOID};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (types[i] == type) {
            return true;
        }
    }
    return false;
}

static tapeout_status check_columns(tp_rows *rows, const char *sql, tapeout_error *err)
{
    postgres_store *self = self_of(rows->store);
    rows->count = self->pq.ntuples(rows->state);
    rows->columns = self->pq.nfields(rows->state);
    for (int i = 0; i < rows->columns; i++) {
        if (!is_readable(self->pq.ftype(rows->state, i))) {
            return tp_fail(err, TAPEOUT_E_INTERNAL,
                           "registry: column %d of \"%.200s\" has type %u: cast it", i, sql,
                           self->pq.ftype(rows->state, i));
        }
    }
    return TAPEOUT_OK;
}

// Outside a transaction a statement is one by itself, so that a lost answer is that of a commit.
static tapeout_status fail_statement(tp_rows *rows, PGresult *result, const char *sql,
                                     tapeout_error *err)
{
    postgres_store *self = self_of(rows->store);
    if (!tp_postgres_is_connected(self) && !rows->store->is_open_transaction &&
        strncmp(sql, "SELECT", strlen("SELECT")) != 0) {
        self->pq.clear(result);
        return fail_lost(self, TAPEOUT_E_UNKNOWN,
                         "the connection was lost before the answer: the change may have happened "
                         "or not",
                         err);
    }
    return tp_postgres_fail(self, result, err);
}

static tapeout_status query(tp_rows *rows, const char *sql, tp_sql_values values,
                            tapeout_error *err)
{
    postgres_store *self = self_of(rows->store);
    parameters all;
    for (size_t i = 0; i < values.count; i++) {
        if (values.items[i].bytes.size > TP_MAX_STORE_VALUE_BYTES) {
            return tp_fail(err, TAPEOUT_E_LIMIT, "registry: a value of %zu bytes, at most %u",
                           values.items[i].bytes.size, TP_MAX_STORE_VALUE_BYTES);
        }
        set_parameter(&all, i, &values.items[i]);
    }
    if (!rows->store->is_open_transaction) {
        TP_TRY(ensure_connected(self, err));
    }
    PGresult *result = self->pq.execParams(self->conn, sql, (int)values.count, all.types,
                                           all.values, all.lengths, all.formats, 1);
    if (!tp_postgres_is_done(self, result)) {
        return fail_statement(rows, result, sql, err);
    }
    rows->state = result;
    return check_columns(rows, sql, err);
}

static tapeout_status next(tp_rows *rows, bool *ret_has_row, tapeout_error *err)
{
    (void)err; // all rows are here already
    *ret_has_row = rows->row < rows->count;
    return TAPEOUT_OK;
}

static tp_sql_value value_at(const tp_rows *rows, int column)
{
    const pg_api *pq = &self_of(rows->store)->pq;
    const int row = (int)rows->row;
    if (pq->getisnull(rows->state, row, column) != 0) {
        return tp_sql_null();
    }
    const char *bytes = pq->getvalue(rows->state, row, column);
    const int size = pq->getlength(rows->state, row, column);
    const uint64_t bits = size <= 8 ? get_number(bytes, size) : 0;
    const uint32_t short_bits = (uint32_t)bits;
    double number = 0;
    float short_number = 0;
    switch (pq->ftype(rows->state, column)) {
    case PG_INT8:
    case PG_BOOL:
        return tp_sql_int((int64_t)bits);
    case PG_INT4:
        return tp_sql_int((int32_t)bits);
    case PG_INT2:
        return tp_sql_int((int16_t)bits);
    case PG_FLOAT8:
        memcpy(&number, &bits, sizeof(number));
        return tp_sql_double(number);
    case PG_FLOAT4:
        memcpy(&short_number, &short_bits, sizeof(short_number));
        return tp_sql_double((double)short_number);
    case PG_BYTEA:
        return tp_sql_blob((tp_str){bytes, (size_t)size});
    default:
        return tp_sql_text((tp_str){bytes, (size_t)size});
    }
}

static int64_t changed(const tp_rows *rows)
{
    const char *text = self_of(rows->store)->pq.cmdTuples(rows->state);
    int64_t count = 0;
    return tp_str_to_int64(tp_str_from(text), &count) && rows->columns == 0 ? count : rows->count;
}

static void finish(tp_rows *rows)
{
    self_of(rows->store)->pq.clear(rows->state); // accepts NULL
}

// -- schema --------------------------------------------------------------------------------------
static tapeout_status has_versions(tp_store *store, bool *ret_has, tapeout_error *err)
{
    tp_rows rows;
    tp_store_query(store, &rows,
                   "SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = $1 "
                   "AND tablename = 'schema_parts'",
                   TP_SQL(tp_sql_word(self_of(store)->schema)));
    const bool has = tp_rows_next(&rows);
    TP_TRY(tp_rows_close(&rows, err));
    *ret_has = has;
    return TAPEOUT_OK;
}

static tapeout_status make_versions(tp_store *store, tapeout_error *err)
{
    char make_schema[128];
    (void)snprintf(make_schema, sizeof(make_schema), "CREATE SCHEMA IF NOT EXISTS \"%s\"",
                   self_of(store)->schema);
    TP_TRY(run_script(store, make_schema, err));
    tp_buffer sql;
    TP_TRY(tp_store_translate(store, TP_STORE_VERSIONS, &sql, err));
    const tapeout_status status = run_script(store, sql.data, err);
    tp_buffer_deinit(&sql);
    return status;
}

// -- opening -------------------------------------------------------------------------------------
// "tapeout", or "tapeout_WORLD": letters, digits and '_', so that it needs no escapes.
static tapeout_status name_schema(postgres_store *self, const char *world, tapeout_error *err)
{
    const char *name = world == NULL ? "" : world;
    const size_t size = strlen(name);
    bool is_valid = size + sizeof("tapeout_") <= sizeof(self->schema);
    for (size_t i = 0; i < size; i++) {
        const char c = name[i];
        is_valid = is_valid && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                                (c >= '0' && c <= '9') || c == '_');
    }
    if (!is_valid) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "registry: \"%s\" cannot be a schema: letters, digits and '_', at most %zu",
                       name, sizeof(self->schema) - sizeof("tapeout_"));
    }
    (void)snprintf(self->schema, sizeof(self->schema), "tapeout%s%s", size > 0 ? "_" : "", name);
    return TAPEOUT_OK;
}

// Where messages say it happened: without user and password.
static tapeout_status name_place(postgres_store *self, tapeout_error *err)
{
    const char *at = strrchr(self->url, '@');
    const char *start = at != NULL ? at + 1 : strstr(self->url, "://") + strlen("://");
    char text[256];
    const int size =
        snprintf(text, sizeof(text), "postgresql://%.*s", (int)strcspn(start, "?"), start);
    if (size < 0) {
        return tp_fail(err, TAPEOUT_E_INVALID, "registry: the store's address cannot be read");
    }
    self->base.where = tp_strndup(self->base.alloc, text, strlen(text));
    return self->base.where == NULL ? tp_fail_nomem(err) : TAPEOUT_OK;
}

static tapeout_status open_store(tp_store *store, const tp_store_options *options,
                                 tapeout_error *err)
{
    postgres_store *self = self_of(store);
    self->url = tp_strndup(store->alloc, options->where, strlen(options->where));
    if (self->url == NULL) {
        return tp_fail_nomem(err);
    }
    TP_TRY(name_place(self, err));
    TP_TRY(name_schema(self, options->world, err));
    TP_TRY(tp_postgres_load(&self->pq, err));
    TP_TRY(tp_postgres_connect(self, err));
    bool has = true;
    if (options->mode == TP_STORE_READ) {
        TP_TRY(has_versions(store, &has, err));
    }
    return has ? TAPEOUT_OK
               : tp_fail(err, TAPEOUT_E_NOT_FOUND, "registry: nothing is stored in %s",
                         store->where);
}

static void close_store(tp_store *store)
{
    postgres_store *self = self_of(store);
    if (self->conn != NULL) {
        self->pq.finish(self->conn);
    }
    if (self->url != NULL) {
        tp_free(store->alloc, self->url, strlen(self->url) + 1);
    }
}

const tp_store_driver tp_store_postgres = {
    .size = sizeof(postgres_store),
    .may_lose_answers = true,
    .words = {"BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY", "BIGINT", "DOUBLE PRECISION",
              "TEXT COLLATE \"C\"", "BYTEA", "", ""},
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
