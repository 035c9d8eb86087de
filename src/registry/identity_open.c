// SPDX-License-Identifier: Apache-2.0
//
// Where identities are kept: in the database that the context names, which servers share, or in the
// home's own. Their tables, the secret by which keys are checked, and the way from the one place to
// the other.
#include "registry/identity_store_priv.h"

#include "base/tp_alloc.h"
#include "base/tp_context.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "registry/registry_priv.h"

#include <sodium.h>
#include <string.h>

static const char *const steps[] = {
    "CREATE TABLE identities("
    "  id {id},"
    "  kind {text} NOT NULL CHECK(kind IN ('key', 'user')),"
    "  handle {text} NOT NULL,"
    "  verifier {text} NOT NULL,"
    "  name {text} NOT NULL,"
    "  tenant {text} NOT NULL,"
    "  grants {text} NOT NULL,"
    "  rates {text} NOT NULL,"
    "  created_us {int} NOT NULL,"
    "  expires_us {int} NOT NULL,"
    "  revoked_us {int} NOT NULL){table};"
    "CREATE UNIQUE INDEX identities_by_handle ON identities(kind, handle) WHERE revoked_us = 0;"
    "CREATE INDEX identities_by_name ON identities(kind, name);"
    "CREATE TABLE identity_state("
    "  one {int} NOT NULL PRIMARY KEY CHECK(one = 1),"
    "  changes {int} NOT NULL,"
    "  secret {text} NOT NULL){table};",
};

static const tp_store_schema schema = {"identity", steps, sizeof(steps) / sizeof(steps[0])};

// -- opening -------------------------------------------------------------------------------------
// The first who comes says by which secret keys are checked; a home with another could let nobody
// in, and would make keys that the others refuse.
static tapeout_status check_secret(tp_identity_store *store, tapeout_error *err)
{
    char mark[17];
    tp_rows rows;
    tp_server_secret_mark(&store->secret, mark);
    TP_TRY(tp_store_run(store->db,
                        "INSERT INTO identity_state(one, changes, secret) VALUES(1, 0, $1) "
                        "ON CONFLICT DO NOTHING",
                        TP_SQL(tp_sql_word(mark)), NULL, err));
    tp_store_query(store->db, &rows, "SELECT secret FROM identity_state WHERE one = 1",
                   TP_SQL_NONE);
    const bool is_same =
        tp_rows_next(&rows) && tp_str_equal(tp_rows_text(&rows, 0), tp_str_from(mark));
    TP_TRY(tp_rows_close(&rows, err));
    return is_same ? TAPEOUT_OK
                   : tp_fail(err, TAPEOUT_E_CORRUPT,
                             "the identities of this registry were made with another secret; copy "
                             "access.secret from the home that made them");
}

static tapeout_status open_database(tp_identity_store *store, const tapeout_context *context,
                                    const char *where, tapeout_error *err)
{
    const tp_store_options options = {
        .where = where, .mode = TP_STORE_WRITE, .is_stopped = tp_context_stop(context)};
    TP_TRY(tp_store_open(store->alloc, &options, &store->db, err));
    TP_TRY(tp_store_migrate(store->db, &tp_registry_schema, err)); // how far changes are done
    TP_TRY(tp_store_migrate(store->db, &schema, err));
    return check_secret(store, err);
}

// -- from a home's file to a database that servers share ------------------------------------------
typedef struct moving {
    tp_identity_store *from;
    tp_store *to;
    uint64_t count;
} moving;

static tapeout_status move_row(void *user, const tp_identity_row *row, tapeout_error *err)
{
    moving *it = user;
    it->count++;
    return tp_identity_insert(it->to, row, err);
}

// Where somebody was there already, identities were made by whoever shares it, and those stand.
static tapeout_status move_rows(tp_store *db, void *user, tapeout_error *err)
{
    moving *it = user;
    tp_rows rows;
    it->to = db;
    it->count = 0;
    tp_store_query(db, &rows, "SELECT 1 FROM identities LIMIT 1", TP_SQL_NONE);
    const bool is_any = tp_rows_next(&rows);
    TP_TRY(tp_rows_close(&rows, err));
    if (is_any) {
        return TAPEOUT_OK;
    }
    TP_TRY(tp_identity_store_each(it->from, TP_STR("key"), move_row, it, err));
    TP_TRY(tp_identity_store_each(it->from, TP_STR("user"), move_row, it, err));
    return tp_store_run(db, "UPDATE identity_state SET changes = changes + 1 WHERE one = 1",
                        TP_SQL_NONE, NULL, err);
}

// A home that was alone until now brings the identities that it has made.
static tapeout_status bring_identities(tp_identity_store *store, const char *path,
                                       tapeout_error *err)
{
    tp_identity_store own = {.alloc = store->alloc, .secret = store->secret, .home = store->home};
    const tp_store_options options = {.where = path, .mode = TP_STORE_READ};
    int64_t version = 0;
    if (!tp_path_exists(path)) {
        return TAPEOUT_OK;
    }
    const tapeout_status opened = tp_store_open(store->alloc, &options, &own.db, err);
    if (opened != TAPEOUT_OK) {
        return opened == TAPEOUT_E_NOT_FOUND ? TAPEOUT_OK : opened;
    }
    tapeout_status status = tp_store_schema_version(own.db, schema.part, &version, err);
    if (status == TAPEOUT_OK && version > 0) {
        moving it = {.from = &own};
        status = tp_store_transact(store->db, TP_STORE_ALONE, move_rows, &it, err);
    }
    tp_store_close(&own.db);
    sodium_memzero(&own.secret, sizeof(own.secret));
    return status;
}

static tapeout_status open_store(tp_identity_store *store, const tapeout_context *context,
                                 tapeout_error *err)
{
    const char *shared = tp_context_store(context);
    TP_TRY(tp_server_secret_open(store->alloc, store->home, &store->secret, err));
    char *path = tp_path_join(store->alloc, store->home, "registry.sqlite");
    if (path == NULL) {
        return tp_fail_nomem(err);
    }
    tapeout_status status = open_database(store, context, shared == NULL ? path : shared, err);
    if (status == TAPEOUT_OK && shared != NULL) {
        status = bring_identities(store, path, err);
    }
    tp_free(store->alloc, path, strlen(path) + 1);
    return status;
}

tapeout_status tp_identity_store_open(const tapeout_context *context, tp_identity_store **ret_store,
                                      tapeout_error *err)
{
    const tapeout_allocator *alloc = tp_context_env(context)->alloc;
    tp_identity_store *store = tp_alloc_zero(alloc, sizeof(*store));
    if (store == NULL) {
        return tp_fail_nomem(err);
    }
    store->alloc = alloc;
    store->home = tp_context_home(context);
    store->keeps_log = true;
    const tapeout_status status = open_store(store, context, err);
    if (status != TAPEOUT_OK) {
        tp_identity_store_close(&store);
        return status;
    }
    *ret_store = store;
    return TAPEOUT_OK;
}

void tp_identity_store_close(tp_identity_store **store_place)
{
    tp_identity_store *store = *store_place;
    *store_place = NULL;
    if (store != NULL) {
        tp_store_close(&store->db);
        sodium_memzero(&store->secret, sizeof(store->secret));
        tp_free(store->alloc, store, sizeof(*store));
    }
}

void tp_identity_store_unlogged(tp_identity_store *store)
{
    store->keeps_log = false;
}

const tapeout_allocator *tp_identity_store_allocator(const tp_identity_store *store)
{
    return store->alloc;
}

const tp_server_secret *tp_identity_store_secret(const tp_identity_store *store)
{
    return &store->secret;
}
