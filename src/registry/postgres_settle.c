// SPDX-License-Identifier: Apache-2.0
//
// What became of a transaction whose answer to COMMIT was lost. Before COMMIT is sent the
// transaction is marked by its number; where no answer comes, a new connection asks the server by
// that number, for a while. Only a server of the same timeline can say: one that took over after a
// failure counts on by itself, and may give the number to another transaction. What nobody knows is
// E_UNKNOWN, never a failure.
#include "registry/postgres_priv.h"

#include "base/tp_clock.h"
#include "base/tp_error.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { SETTLE_MS = 5000 }; // how long a lost answer is asked for

// "" where there is none.
static void copy_value(const postgres_store *self, const PGresult *result, int column, char *to,
                       size_t size)
{
    const bool is_null = self->pq.getisnull(result, 0, column) != 0;
    (void)snprintf(to, size, "%s", is_null ? "" : self->pq.getvalue(result, 0, column));
}

tapeout_status tp_postgres_mark_read(postgres_store *self, postgres_mark *ret_mark,
                                     tapeout_error *err)
{
    PGresult *result = self->pq.exec(self->conn, "SELECT pg_current_xact_id_if_assigned()::text, "
                                                 "substr(pg_walfile_name(pg_current_wal_lsn()), "
                                                 "1, 8)");
    if (!tp_postgres_is_done(self, result)) {
        const bool is_lost = !tp_postgres_is_connected(self);
        const tapeout_status status = tp_postgres_fail(self, result, err);
        self->base.wants_retry = self->base.wants_retry || is_lost; // COMMIT was not sent
        return status;
    }
    copy_value(self, result, 0, ret_mark->number, sizeof(ret_mark->number));
    copy_value(self, result, 1, ret_mark->timeline, sizeof(ret_mark->timeline));
    self->pq.clear(result);
    return TAPEOUT_OK;
}

typedef enum transaction_fate {
    FATE_UNKNOWN,
    FATE_OPEN,
    FATE_COMMITTED,
    FATE_ABORTED
} transaction_fate;

static transaction_fate ask_fate(postgres_store *self, const postgres_mark *mark)
{
    char sql[256];
    char words[2][16] = {"", ""};
    (void)snprintf(sql, sizeof(sql),
                   "SELECT pg_xact_status('%s'::xid8), "
                   "substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)",
                   mark->number);
    PGresult *result = self->pq.exec(self->conn, sql);
    if (tp_postgres_is_done(self, result)) {
        copy_value(self, result, 0, words[0], sizeof(words[0]));
        copy_value(self, result, 1, words[1], sizeof(words[1]));
    }
    self->pq.clear(result);
    if (strcmp(words[1], mark->timeline) != 0) {
        return FATE_UNKNOWN;
    }
    return strcmp(words[0], "committed") == 0     ? FATE_COMMITTED
           : strcmp(words[0], "aborted") == 0     ? FATE_ABORTED
           : strcmp(words[0], "in progress") == 0 ? FATE_OPEN
                                                  : FATE_UNKNOWN;
}

// Connects anew and asks, again while the server is away or the transaction is open: whoever served
// it may not have noticed yet that nobody listens.
static transaction_fate find_fate(postgres_store *self, const postgres_mark *mark)
{
    const uint64_t begin_ns = tp_clock_monotonic_ns();
    for (uint64_t pause_ms = 5; tp_clock_monotonic_ns() - begin_ns < SETTLE_MS * UINT64_C(1000000);
         pause_ms = pause_ms < 320 ? 2 * pause_ms : pause_ms) {
        if (tp_postgres_connect(self, NULL) == TAPEOUT_OK) {
            const transaction_fate fate = ask_fate(self, mark);
            if (fate != FATE_OPEN && tp_postgres_is_connected(self)) {
                return fate;
            }
        }
        (void)nanosleep(&(struct timespec){.tv_nsec = (long)pause_ms * 1000000}, NULL);
    }
    return FATE_UNKNOWN;
}

tapeout_status tp_postgres_settle(postgres_store *self, const postgres_mark *mark,
                                  tapeout_error *err)
{
    const transaction_fate fate = mark->number[0] == '\0' ? FATE_COMMITTED : find_fate(self, mark);
    if (fate == FATE_COMMITTED) {
        return TAPEOUT_OK;
    }
    if (fate == FATE_ABORTED) {
        self->base.wants_retry = true;
        return tp_fail(err, TAPEOUT_E_UNAVAILABLE,
                       "registry: %s: the connection was lost before a transaction was committed",
                       self->base.where);
    }
    return tp_fail(err, TAPEOUT_E_UNKNOWN,
                   "registry: %s: the connection was lost while a transaction was committed, which "
                   "may have happened or not",
                   self->base.where);
}
