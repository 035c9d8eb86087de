// SPDX-License-Identifier: Apache-2.0
//
// The SQL of identities, written once for both databases. Every change and the number of changes
// are one transaction, so who sees the number sees the change; a roster is read at one moment with
// the number that it is the picture of. A change and its entry in the home's audit log are one
// (tp_telling.h).
#include "registry/tp_identity_store.h"

#include "base/tp_clock.h"
#include "base/tp_error.h"
#include "registry/identity_store_priv.h"
#include "registry/tp_telling.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

// -- reading -------------------------------------------------------------------------------------
tapeout_status tp_identity_store_generation(tp_identity_store *store, int64_t *ret_generation,
                                            tapeout_error *err)
{
    tp_rows rows;
    int64_t generation = 0;
    tp_store_query(store->db, &rows, "SELECT changes FROM identity_state WHERE one = 1",
                   TP_SQL_NONE);
    if (tp_rows_next(&rows)) {
        generation = tp_rows_int(&rows, 0);
    }
    TP_TRY(tp_rows_close(&rows, err));
    *ret_generation = generation;
    return TAPEOUT_OK;
}

static tp_identity_row row_of(const tp_rows *rows)
{
    return (tp_identity_row){.kind = tp_rows_text(rows, 0),
                             .handle = tp_rows_text(rows, 1),
                             .verifier = tp_rows_text(rows, 2),
                             .name = tp_rows_text(rows, 3),
                             .tenant = tp_rows_text(rows, 4),
                             .grants = tp_rows_text(rows, 5),
                             .rates = tp_rows_text(rows, 6),
                             .created_us = tp_rows_int(rows, 7),
                             .expires_us = tp_rows_int(rows, 8),
                             .revoked_us = tp_rows_int(rows, 9)};
}

static tapeout_status each(tp_identity_store *store, const char *sql, tp_sql_values values,
                           tp_identity_fn *tell, void *user, tapeout_error *err)
{
    tp_rows rows;
    tapeout_error told = {0};
    tapeout_status status = TAPEOUT_OK;
    tp_store_query(store->db, &rows, sql, values);
    while (status == TAPEOUT_OK && tp_rows_next(&rows)) {
        const tp_identity_row row = row_of(&rows);
        status = tell(user, &row, &told);
    }
    if (status == TAPEOUT_OK) {
        return tp_rows_close(&rows, err);
    }
    (void)tp_rows_close(&rows, NULL); // what was told first is what matters
    return tp_fail(err, status, "%s", told.message);
}

tapeout_status tp_identity_store_each(tp_identity_store *store, tp_str kind, tp_identity_fn *tell,
                                      void *user, tapeout_error *err)
{
    return each(store, "SELECT " IDENTITY_COLUMNS " FROM identities WHERE kind = $1 ORDER BY id",
                TP_SQL(tp_sql_text(kind)), tell, user, err);
}

static tapeout_status add_to_roster(void *user, const tp_identity_row *row, tapeout_error *err)
{
    const tp_roster_row entry = {.is_user = tp_str_equal(row->kind, TP_STR("user")),
                                 .handle = row->handle,
                                 .verifier = row->verifier,
                                 .spec = {.name = row->name,
                                          .tenant = row->tenant,
                                          .grants = row->grants,
                                          .rates = row->rates,
                                          .expires_us = row->expires_us}};
    return tp_roster_add(user, &entry, err);
}

static tapeout_status fill_roster(tp_identity_store *store, tp_roster *roster,
                                  int64_t *ret_generation, tapeout_error *err)
{
    TP_TRY(tp_store_begin(store->db, TP_STORE_SNAPSHOT, err));
    tapeout_status status = tp_identity_store_generation(store, ret_generation, err);
    if (status == TAPEOUT_OK) {
        // What has expired stays, so that it is refused as such.
        status = each(
            store, "SELECT " IDENTITY_COLUMNS " FROM identities WHERE revoked_us = 0 ORDER BY id",
            TP_SQL_NONE, add_to_roster, roster, err);
    }
    tp_store_rollback(store->db); // nothing was written
    return status;
}

tapeout_status tp_identity_store_roster(tp_identity_store *store, tp_roster **ret_roster,
                                        int64_t *ret_generation, tapeout_error *err)
{
    tp_roster *roster = NULL;
    TP_TRY(tp_roster_new(store->alloc, &roster, err));
    const tapeout_status status = fill_roster(store, roster, ret_generation, err);
    if (status != TAPEOUT_OK) {
        tp_roster_unref(roster);
        return status;
    }
    *ret_roster = roster;
    return TAPEOUT_OK;
}

// -- changing ------------------------------------------------------------------------------------
typedef struct identity_change {
    const tp_identity_store *store;
    const tp_identity_row *row;
    const tp_identity_end *end;
    tp_str user;
    tp_str verifier;
    int64_t now_us;
    tp_telling telling;
    char when[24]; // in the entry
} identity_change;

// What the log says of a change: of whom, and what that one may.
typedef struct identity_entry {
    tp_str name;
    const tp_identity_row *row; // NULL: the name says all
    int64_t when_us;            // from when on; 0: at once
} identity_entry;

static bool is_user(tp_str kind)
{
    return tp_str_equal(kind, TP_STR("user"));
}

static void tell(identity_change *change, const identity_entry *entry)
{
    tp_telling *telling = &change->telling;
    const tp_identity_row *row = entry->row;
    tp_telling_add(telling, "name", entry->name);
    if (row != NULL && !is_user(row->kind)) {
        tp_telling_add(telling, "prefix", row->handle);
    }
    if (row != NULL && row->grants.size > 0) {
        tp_telling_add(telling, "tenant", row->tenant);
        tp_telling_add(telling, "roles", row->grants);
        tp_telling_add(telling, "limits", row->rates);
    }
    if (entry->when_us != 0) {
        (void)snprintf(change->when, sizeof(change->when), "%lld", (long long)entry->when_us);
        tp_telling_add(telling, "ends_us", tp_str_from(change->when));
    }
}

static tapeout_status transact(identity_change *change, tp_store_kind kind, tp_store_body body,
                               tapeout_error *err)
{
    const tp_identity_store *store = change->store;
    tp_told_place place = {.alloc = store->alloc, .home = store->home, .store = store->db};
    tp_audit *audit = NULL;
    if (store->keeps_log) {
        TP_TRY(tp_audit_open(store->alloc, store->home, &audit, err));
        place.teller.audit = audit;
    }
    const tapeout_status status =
        tp_told_transact(&place, kind, body, change, &change->telling, err);
    tp_audit_close(&audit);
    return status;
}

static tapeout_status count_change(tp_store *db, tapeout_error *err)
{
    return tp_store_run(db, "UPDATE identity_state SET changes = changes + 1 WHERE one = 1",
                        TP_SQL_NONE, NULL, err);
}

tapeout_status tp_identity_insert(tp_store *db, const tp_identity_row *row, tapeout_error *err)
{
    return tp_store_run(db,
                        "INSERT INTO identities(" IDENTITY_COLUMNS
                        ") VALUES($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
                        TP_SQL(tp_sql_text(row->kind), tp_sql_text(row->handle),
                               tp_sql_text(row->verifier), tp_sql_text(row->name),
                               tp_sql_text(row->tenant), tp_sql_text(row->grants),
                               tp_sql_text(row->rates), tp_sql_int(row->created_us),
                               tp_sql_int(row->expires_us), tp_sql_int(row->revoked_us)),
                        NULL, err);
}

static const char *kind_made(const tp_identity_row *row)
{
    return is_user(row->kind) ? "user.made" : "key.made";
}

static void tell_made(identity_change *change)
{
    const tp_identity_row *row = change->row;
    tell(change, &(identity_entry){.name = row->name, .row = row, .when_us = row->expires_us});
}

// Whether the query, which selects something, finds a row.
static tapeout_status finds(tp_store *db, const char *sql, tp_sql_values values, bool *ret_found,
                            tapeout_error *err)
{
    tp_rows rows;
    tp_store_query(db, &rows, sql, values);
    *ret_found = tp_rows_next(&rows);
    return tp_rows_close(&rows, err);
}

static tapeout_status add(tp_store *db, void *user, tapeout_error *err)
{
    identity_change *change = user;
    const tp_identity_row *row = change->row;
    bool is_taken = false;
    TP_TRY(finds(db,
                 "SELECT 1 FROM identities WHERE kind = $1 AND revoked_us = 0 AND (handle = $2 OR "
                 "(name = $3 AND (expires_us = 0 OR expires_us > $4)))",
                 TP_SQL(tp_sql_text(row->kind), tp_sql_text(row->handle), tp_sql_text(row->name),
                        tp_sql_int(row->created_us)),
                 &is_taken, err));
    if (is_taken) {
        return tp_fail(
            err, TAPEOUT_E_EXISTS,
            "%.*s \"%.*s\" is there already; rotate or revoke it, or choose another name",
            TP_STR_ARGS(row->kind), TP_STR_ARGS(row->name));
    }
    TP_TRY(tp_identity_insert(db, row, err));
    tell_made(change);
    return count_change(db, err);
}

tapeout_status tp_identity_store_add(tp_identity_store *store, const tp_identity_row *row,
                                     tapeout_error *err)
{
    identity_change change = {.store = store, .row = row, .telling.kind = kind_made(row)};
    return transact(&change, TP_STORE_ALONE, add, err);
}

static tapeout_status add_first(tp_store *db, void *user, tapeout_error *err)
{
    identity_change *change = user;
    bool is_any = false;
    TP_TRY(finds(db, "SELECT 1 FROM identities LIMIT 1", TP_SQL_NONE, &is_any, err));
    if (is_any) {
        return tp_fail(err, TAPEOUT_E_EXISTS, "there are identities already");
    }
    TP_TRY(tp_identity_insert(db, change->row, err));
    tell_made(change);
    return count_change(db, err);
}

void tp_identity_store_key(const tp_identity_store *store, tp_identity_key *ret_key)
{
    uint8_t hash[TP_CREDENTIAL_HASH_SIZE];
    tp_api_key_make(ret_key->key);
    tp_api_key_hash(&store->secret, tp_str_from(ret_key->key), hash);
    (void)sodium_bin2hex(ret_key->verifier, sizeof(ret_key->verifier), hash, sizeof(hash));
    (void)tp_api_key_split(tp_str_from(ret_key->key), &ret_key->prefix); // it is one
}

tapeout_status tp_identity_store_first(tp_identity_store *store, char ret_key[TP_API_KEY_SIZE + 1],
                                       tapeout_error *err)
{
    tp_identity_key key;
    tp_identity_store_key(store, &key);
    const tp_identity_row row = {.kind = TP_STR("key"),
                                 .handle = key.prefix,
                                 .verifier = tp_str_from(key.verifier),
                                 .name = TP_STR("admin"),
                                 .tenant = TP_STR(TP_TENANT_OPERATOR),
                                 .grants = TP_STR("admin"),
                                 .rates = TP_STR(""),
                                 .created_us = tp_clock_unix_us()};
    identity_change change = {.store = store, .row = &row, .telling.kind = kind_made(&row)};
    const tapeout_status status = transact(&change, TP_STORE_ALONE, add_first, err);
    if (status == TAPEOUT_OK) {
        memcpy(ret_key, key.key, sizeof(key.key));
    }
    sodium_memzero(&key, sizeof(key));
    return status;
}

#define WHAT_HOLDS                                                                                 \
    "kind = $1 AND (handle = $2 OR name = $2) AND revoked_us = 0 AND "                             \
    "(expires_us = 0 OR expires_us > $3)"

static tapeout_status fail_unknown(tp_str kind, tp_str name, tapeout_error *err)
{
    return tp_fail(err, TAPEOUT_E_NOT_FOUND, "no %.*s \"%.*s\" holds; see tapeout access %.*s list",
                   TP_STR_ARGS(kind), TP_STR_ARGS(name), TP_STR_ARGS(kind));
}

static tapeout_status end(tp_store *db, void *user, tapeout_error *err)
{
    identity_change *change = user;
    const tp_identity_end *what = change->end;
    int64_t changed = 0;
    TP_TRY(tp_store_run(db, "UPDATE identities SET revoked_us = $4 WHERE " WHAT_HOLDS,
                        TP_SQL(tp_sql_text(what->kind), tp_sql_text(what->name),
                               tp_sql_int(what->now_us), tp_sql_int(what->when_us)),
                        &changed, err));
    if (changed == 0) {
        return fail_unknown(what->kind, what->name, err);
    }
    tell(change, &(identity_entry){.name = what->name});
    return count_change(db, err);
}

tapeout_status tp_identity_store_end(tp_identity_store *store, const tp_identity_end *what,
                                     tapeout_error *err)
{
    identity_change change = {.store = store,
                              .end = what,
                              .telling.kind = is_user(what->kind) ? "user.revoked" : "key.revoked"};
    return transact(&change, TP_STORE_ROWS, end, err);
}

static tapeout_status set_verifier(tp_store *db, void *user, tapeout_error *err)
{
    identity_change *change = user;
    int64_t changed = 0;
    TP_TRY(tp_store_run(db, "UPDATE identities SET verifier = $4 WHERE " WHAT_HOLDS,
                        TP_SQL(tp_sql_word("user"), tp_sql_text(change->user),
                               tp_sql_int(change->now_us), tp_sql_text(change->verifier)),
                        &changed, err));
    if (changed == 0) {
        return fail_unknown(TP_STR("user"), change->user, err);
    }
    tell(change, &(identity_entry){.name = change->user});
    return count_change(db, err);
}

tapeout_status tp_identity_store_verifier(tp_identity_store *store, tp_str user, tp_str verifier,
                                          tapeout_error *err)
{
    identity_change change = {.store = store,
                              .user = user,
                              .verifier = verifier,
                              .now_us = tp_clock_unix_us(),
                              .telling.kind = "user.password"};
    return transact(&change, TP_STORE_ROWS, set_verifier, err);
}

// The new key is made of the newest that holds; then those that held before it end.
static tapeout_status rotate(tp_store *db, void *user, tapeout_error *err)
{
    identity_change *change = user;
    const tp_identity_end *old = change->end;
    const tp_identity_row *row = change->row;
    int64_t added = 0;
    TP_TRY(tp_store_run(
        db,
        "INSERT INTO identities(" IDENTITY_COLUMNS
        ") SELECT kind, $4, $5, name, tenant, grants, rates, $3, "
        "expires_us, 0 FROM identities WHERE id = (SELECT max(id) FROM identities WHERE " WHAT_HOLDS
        ")",
        TP_SQL(tp_sql_text(old->kind), tp_sql_text(old->name), tp_sql_int(old->now_us),
               tp_sql_text(row->handle), tp_sql_text(row->verifier)),
        &added, err));
    if (added == 0) {
        return fail_unknown(old->kind, old->name, err);
    }
    TP_TRY(tp_store_run(
        db,
        "UPDATE identities SET expires_us = $2 WHERE kind = $1 AND handle <> $3 AND revoked_us = 0 "
        "AND name = (SELECT name FROM identities WHERE kind = $1 AND handle = $3) "
        "AND (expires_us = 0 OR expires_us > $2)",
        TP_SQL(tp_sql_text(old->kind), tp_sql_int(old->when_us), tp_sql_text(row->handle)), NULL,
        err));
    tell(change, &(identity_entry){.name = old->name, .row = row, .when_us = old->when_us});
    return count_change(db, err);
}

tapeout_status tp_identity_store_rotate(tp_identity_store *store, const tp_identity_end *old,
                                        const tp_identity_row *row, tapeout_error *err)
{
    identity_change change = {
        .store = store, .end = old, .row = row, .telling.kind = "key.rotated"};
    return transact(&change, TP_STORE_ALONE, rotate, err);
}
