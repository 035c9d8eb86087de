// SPDX-License-Identifier: Apache-2.0
//
// What the two drivers of a store have to do. store.c keeps the rules that they share: which calls
// may follow which, what a text is, that nothing is written after a sync has failed.
#ifndef STORE_PRIV_H
#define STORE_PRIV_H

#include "base/tp_buffer.h"
#include "registry/tp_store.h"

// The words of a migration, in the order of `words` below.
enum { TP_STORE_WORDS = 7 };

typedef struct tp_store_driver {
    size_t size; // of the driver's own struct, which begins with a tp_store and as zeros
    bool may_lose_answers;
    const char *words[TP_STORE_WORDS]; // for {id} {int} {real} {text} {blob} {table} {keyed}

    // Names the store's place and opens it; `close` follows whether it succeeds or fails.
    tapeout_status (*open)(tp_store *store, const tp_store_options *options, tapeout_error *err);
    void (*close)(tp_store *store); // gives back what is the driver's own
    tapeout_status (*begin)(tp_store *store, tp_store_kind kind, tapeout_error *err);
    // Whether it succeeds or fails, no transaction is open afterwards.
    tapeout_status (*commit)(tp_store *store, tapeout_error *err);
    void (*rollback)(tp_store *store);

    // Starts a statement. `rows->state` is the driver's; `finish` follows whether it fails or not.
    tapeout_status (*query)(tp_rows *rows, const char *sql, tp_sql_values values,
                            tapeout_error *err);
    tapeout_status (*next)(tp_rows *rows, bool *ret_has_row, tapeout_error *err);
    tp_sql_value (*value)(const tp_rows *rows, int column);
    int64_t (*changed)(const tp_rows *rows); // after `next` has said that there is no row
    void (*finish)(tp_rows *rows);

    // Statements without values, each ended by ';'.
    tapeout_status (*script)(tp_store *store, const char *sql, tapeout_error *err);
    // Whether the table of schema versions is there.
    tapeout_status (*has_versions)(tp_store *store, bool *ret_has, tapeout_error *err);
    // Makes it, under the lock of all writers; not called where it is there.
    tapeout_status (*make_versions)(tp_store *store, tapeout_error *err);
} tp_store_driver;

// The first member of a driver's own struct.
struct tp_store {
    const tp_store_driver *driver;
    const tapeout_allocator *alloc;
    char *where; // [strlen + 1], for messages: without a password
    tp_store_mode mode;
    atomic_bool own_stop;
    atomic_bool *is_stopped;
    bool is_open_transaction;
    bool is_failed_transaction; // a statement of it failed: it can only be rolled back
    bool wants_retry;           // the last failure asks for the transaction to be done again
};

extern const tp_store_driver tp_store_sqlite;
extern const tp_store_driver tp_store_postgres;

// E_IO once a sync has failed.
tapeout_status tp_store_check_stopped(const tp_store *store, tapeout_error *err);

// The table that holds the version of each part's schema.
#define TP_STORE_VERSIONS                                                                          \
    "CREATE TABLE schema_parts(part {text} NOT NULL PRIMARY KEY, version {int} NOT NULL){keyed};"

// `step` with its words replaced by the driver's, behind a NUL. Freed with tp_buffer_deinit.
tapeout_status tp_store_translate(const tp_store *store, const char *step, tp_buffer *ret_sql,
                                  tapeout_error *err);

#endif
