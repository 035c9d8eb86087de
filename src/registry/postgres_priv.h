// SPDX-License-Identifier: Apache-2.0
//
// What the files of the PostgreSQL store share: a connection, and what settles a lost COMMIT.
#ifndef POSTGRES_PRIV_H
#define POSTGRES_PRIV_H

#include "registry/postgres_api.h"
#include "registry/store_priv.h"

enum { POSTGRES_SCHEMA_BYTES = 64 }; // PostgreSQL cuts longer names

typedef struct postgres_store {
    tp_store base;
    pg_api pq;
    PGconn *conn;
    char *url; // [strlen + 1], with its password
    char schema[POSTGRES_SCHEMA_BYTES];
} postgres_store;

static inline bool tp_postgres_is_connected(const postgres_store *self)
{
    return self->conn != NULL && self->pq.status(self->conn) == PG_CONNECTION_OK;
}

// -- store_postgres.c ----------------------------------------------------------------------------
// Anew; a connection that there is ends.
tapeout_status tp_postgres_connect(postgres_store *self, tapeout_error *err);
bool tp_postgres_is_done(const postgres_store *self, const PGresult *result);
// The status of a result that is none, which is freed, and whether doing it again may help.
tapeout_status tp_postgres_fail(postgres_store *self, PGresult *result, tapeout_error *err);

// -- postgres_settle.c ---------------------------------------------------------------------------
// By what a transaction can be asked for later: its number, and the timeline in which that stands
// for it, since a server that took over after a failure counts on by itself. No number: it has
// changed nothing.
typedef struct postgres_mark {
    char number[32];
    char timeline[16];
} postgres_mark;

// Within the transaction, before COMMIT is sent.
tapeout_status tp_postgres_mark_read(postgres_store *self, postgres_mark *ret_mark,
                                     tapeout_error *err);
// After the answer to COMMIT was lost: OK where it happened, E_UNAVAILABLE where it did not and may
// be done again, E_UNKNOWN.
tapeout_status tp_postgres_settle(postgres_store *self, const postgres_mark *mark,
                                  tapeout_error *err);

#endif
