// SPDX-License-Identifier: Apache-2.0
//
// The rules that both drivers of a store share, and values and rows. A driver is called only in the
// order that store_priv.h promises it, with values that both databases take alike.
#include "registry/store_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_clock.h"
#include "base/tp_error.h"
#include "base/tp_random.h"

#include <math.h>
#include <string.h>
#include <time.h>

// -- opening -------------------------------------------------------------------------------------
static bool is_postgres(tp_str where)
{
    return tp_str_has_prefix(where, TP_STR("postgresql://")) ||
           tp_str_has_prefix(where, TP_STR("postgres://"));
}

tapeout_status tp_store_open(const tapeout_allocator *alloc, const tp_store_options *options,
                             tp_store **ret_store, tapeout_error *err)
{
    const tp_store_driver *driver =
        is_postgres(tp_str_from(options->where)) ? &tp_store_postgres : &tp_store_sqlite;
    tp_store *store = tp_alloc_zero(alloc, driver->size);
    if (store == NULL) {
        return tp_fail_nomem(err);
    }
    *store = (tp_store){.driver = driver, .alloc = alloc, .mode = options->mode};
    store->is_stopped = options->is_stopped != NULL ? options->is_stopped : &store->own_stop;
    const tapeout_status status = driver->open(store, options, err);
    if (status != TAPEOUT_OK) {
        tp_store_close(&store);
        return status;
    }
    *ret_store = store;
    return TAPEOUT_OK;
}

void tp_store_close(tp_store **store)
{
    tp_store *self = *store;
    if (self == NULL) {
        return;
    }
    tp_store_rollback(self);
    self->driver->close(self);
    if (self->where != NULL) {
        tp_free(self->alloc, self->where, strlen(self->where) + 1);
    }
    tp_free(self->alloc, self, self->driver->size);
    *store = NULL;
}

bool tp_store_is_stopped(const tp_store *store)
{
    return atomic_load_explicit(store->is_stopped, memory_order_acquire);
}

bool tp_store_may_lose_answers(const tp_store *store)
{
    return store->driver->may_lose_answers;
}

void tp_store_stop(tp_store *store)
{
    atomic_store_explicit(store->is_stopped, true, memory_order_release);
}

tapeout_status tp_store_check_stopped(const tp_store *store, tapeout_error *err)
{
    return !tp_store_is_stopped(store)
               ? TAPEOUT_OK
               : tp_fail(err, TAPEOUT_E_IO,
                         "registry: %s: a sync failed before, so nothing more is written; look "
                         "after the disk, then start again",
                         store->where);
}

// -- values --------------------------------------------------------------------------------------
tp_sql_value tp_sql_null(void)
{
    return (tp_sql_value){.kind = TP_SQL_NULL};
}

tp_sql_value tp_sql_int(int64_t value)
{
    return (tp_sql_value){.kind = TP_SQL_INT, .integer = value};
}

tp_sql_value tp_sql_double(double value)
{
    return (tp_sql_value){.kind = TP_SQL_DOUBLE, .number = value};
}

tp_sql_value tp_sql_text(tp_str text)
{
    return (tp_sql_value){.kind = TP_SQL_TEXT, .bytes = text};
}

tp_sql_value tp_sql_word(const char *terminated)
{
    return terminated == NULL ? tp_sql_null() : tp_sql_text(tp_str_from(terminated));
}

tp_sql_value tp_sql_blob(tp_str bytes)
{
    return (tp_sql_value){.kind = TP_SQL_BLOB, .bytes = bytes};
}

// What one of the databases would not take, or would take differently.
static tapeout_status check_values(tp_sql_values values, tapeout_error *err)
{
    if (values.count > TP_MAX_STORE_VALUES) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "registry: %zu values in one statement, at most %u",
                       values.count, TP_MAX_STORE_VALUES);
    }
    for (size_t i = 0; i < values.count; i++) {
        const tp_sql_value *value = &values.items[i];
        if (value->kind == TP_SQL_TEXT &&
            (!tp_utf8_check(value->bytes, NULL) ||
             (value->bytes.size > 0 && memchr(value->bytes.data, 0, value->bytes.size) != NULL))) {
            return tp_fail(err, TAPEOUT_E_INVALID,
                           "registry: a text must be UTF-8 without a byte of value zero");
        }
        if (value->kind == TP_SQL_DOUBLE && isnan(value->number)) {
            return tp_fail(err, TAPEOUT_E_INVALID, "registry: a number must not be NaN");
        }
    }
    return TAPEOUT_OK;
}

// -- statements ----------------------------------------------------------------------------------
static void note_failure(tp_rows *rows, tapeout_status status)
{
    rows->failure.status = status;
    if (status != TAPEOUT_OK && rows->store->is_open_transaction) {
        rows->store->is_failed_transaction = true;
    }
}

static tapeout_status start(tp_rows *rows, const char *sql, tp_sql_values values,
                            tapeout_error *err)
{
    if (rows->store->is_failed_transaction) {
        return tp_fail(err, TAPEOUT_E_INTERNAL,
                       "registry: a statement after one that failed in the same transaction");
    }
    TP_TRY(check_values(values, err));
    return rows->store->driver->query(rows, sql, values, err);
}

void tp_store_query(tp_store *store, tp_rows *rows, const char *sql, tp_sql_values values)
{
    *rows = (tp_rows){.store = store, .row = -1};
    store->wants_retry = false;
    note_failure(rows, start(rows, sql, values, &rows->failure));
}

bool tp_rows_next(tp_rows *rows)
{
    if (rows->failure.status != TAPEOUT_OK) {
        return false;
    }
    bool has_row = false;
    rows->row++;
    note_failure(rows, rows->store->driver->next(rows, &has_row, &rows->failure));
    return has_row && rows->failure.status == TAPEOUT_OK;
}

tapeout_status tp_rows_close(tp_rows *rows, tapeout_error *err)
{
    rows->store->driver->finish(rows);
    rows->state = NULL;
    if (rows->failure.status != TAPEOUT_OK && err != NULL) {
        *err = rows->failure;
    }
    return rows->failure.status;
}

bool tp_rows_is_null(const tp_rows *rows, int column)
{
    return rows->store->driver->value(rows, column).kind == TP_SQL_NULL;
}

int64_t tp_rows_int(const tp_rows *rows, int column)
{
    const tp_sql_value value = rows->store->driver->value(rows, column);
    return value.kind == TP_SQL_INT ? value.integer : 0;
}

double tp_rows_double(const tp_rows *rows, int column)
{
    const tp_sql_value value = rows->store->driver->value(rows, column);
    return value.kind == TP_SQL_INT      ? (double)value.integer
           : value.kind == TP_SQL_DOUBLE ? value.number
                                         : 0;
}

tp_str tp_rows_text(const tp_rows *rows, int column)
{
    const tp_sql_value value = rows->store->driver->value(rows, column);
    const bool has_bytes = value.kind == TP_SQL_TEXT || value.kind == TP_SQL_BLOB;
    return has_bytes && value.bytes.data != NULL ? value.bytes : (tp_str){"", 0};
}

tapeout_status tp_store_run(tp_store *store, const char *sql, tp_sql_values values,
                            int64_t *ret_changed, tapeout_error *err)
{
    tp_rows rows;
    tp_store_query(store, &rows, sql, values);
    while (tp_rows_next(&rows)) {
    }
    const int64_t changed = rows.failure.status == TAPEOUT_OK ? store->driver->changed(&rows) : 0;
    TP_TRY(tp_rows_close(&rows, err));
    if (ret_changed != NULL) {
        *ret_changed = changed;
    }
    return TAPEOUT_OK;
}

// -- transactions --------------------------------------------------------------------------------
tapeout_status tp_store_begin(tp_store *store, tp_store_kind kind, tapeout_error *err)
{
    if (store->is_open_transaction) {
        return tp_fail(err, TAPEOUT_E_INTERNAL, "registry: a transaction within a transaction");
    }
    if (kind != TP_STORE_SNAPSHOT) {
        TP_TRY(tp_store_check_stopped(store, err));
    }
    store->wants_retry = false;
    TP_TRY(store->driver->begin(store, kind, err));
    store->is_open_transaction = true;
    return TAPEOUT_OK;
}

tapeout_status tp_store_commit(tp_store *store, tapeout_error *err)
{
    if (!store->is_open_transaction || store->is_failed_transaction) {
        tp_store_rollback(store);
        return tp_fail(err, TAPEOUT_E_INTERNAL, "registry: nothing that could be committed");
    }
    store->is_open_transaction = false;
    store->wants_retry = false;
    return store->driver->commit(store, err);
}

void tp_store_rollback(tp_store *store)
{
    if (store->is_open_transaction) {
        store->driver->rollback(store);
    }
    store->is_open_transaction = false;
    store->is_failed_transaction = false;
}

static tapeout_status try_transaction(tp_store *store, tp_store_kind kind, tp_store_body body,
                                      void *user, tapeout_error *err)
{
    TP_TRY(tp_store_begin(store, kind, err));
    const tapeout_status status = body(store, user, err);
    if (status != TAPEOUT_OK) {
        const bool wants_retry = store->wants_retry;
        tp_store_rollback(store);
        store->wants_retry = wants_retry;
        return status;
    }
    return tp_store_commit(store, err);
}

// 1, 2, 4 … ms, each somewhere between the half and the whole, so that two that were in each
// other's way do not meet again.
static void pause_before(unsigned attempt)
{
    const uint64_t most_us = UINT64_C(1000) << (attempt < 8 ? attempt : 8);
    const uint64_t us =
        most_us / 2 + tp_random_below(tp_clock_monotonic_ns(), 0, attempt, most_us / 2);
    (void)nanosleep(&(struct timespec){.tv_nsec = (long)us * 1000}, NULL);
}

tapeout_status tp_store_transact(tp_store *store, tp_store_kind kind, tp_store_body body,
                                 void *user, tapeout_error *err)
{
    tapeout_status status = TAPEOUT_OK;
    for (unsigned attempt = 0; attempt < TP_MAX_STORE_TRIES; attempt++) {
        if (attempt > 0) {
            pause_before(attempt - 1);
        }
        status = try_transaction(store, kind, body, user, err);
        if (status == TAPEOUT_OK || !store->wants_retry) {
            return status;
        }
    }
    return status;
}
