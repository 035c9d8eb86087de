// SPDX-License-Identifier: Apache-2.0
//
// The SQL of signatures and of keys that were taken back. What is read here is judged by
// trust_verify.c like the lines of a file; a row proves nothing by being there.
#include "registry/tp_signature_store.h"

#include "base/tp_alloc.h"
#include "base/tp_clock.h"
#include "base/tp_context.h"
#include "base/tp_error.h"
#include "registry/registry_priv.h"
#include "registry/signature_priv.h"
#include "trust/tp_dsse.h"

#include <string.h>

static const char *const steps[] = {
    "CREATE TABLE signatures("
    "  sha256 {text} NOT NULL,"
    "  key_id {text} NOT NULL,"
    "  envelope {text} NOT NULL,"
    "  signed_us {int} NOT NULL,"
    "  PRIMARY KEY(sha256, key_id)){keyed};"
    "CREATE TABLE revoked_keys("
    "  key_id {text} NOT NULL PRIMARY KEY,"
    "  name {text} NOT NULL,"
    "  reason {text} NOT NULL,"
    "  revoked_s {int} NOT NULL){keyed};",
};

const tp_store_schema tp_signature_schema = {"trust", steps, sizeof(steps) / sizeof(steps[0])};

// -- looking -------------------------------------------------------------------------------------
static tapeout_status read_lines(tp_store *store, tp_str sha256, tp_buffer *lines,
                                 tapeout_error *err)
{
    tp_rows rows;
    tp_store_query(store, &rows,
                   "SELECT envelope FROM signatures WHERE sha256 = $1 ORDER BY signed_us, key_id",
                   TP_SQL(tp_sql_text(sha256)));
    while (tp_rows_next(&rows)) {
        tp_buffer_append_str(lines, tp_rows_text(&rows, 0));
        tp_buffer_append_char(lines, '\n');
    }
    TP_TRY(tp_rows_close(&rows, err));
    return tp_buffer_check(lines, "signatures", err);
}

static tapeout_status take_back(tp_store *store, tp_trust_list *list, tapeout_error *err)
{
    tp_rows rows;
    tp_store_query(store, &rows, "SELECT key_id, reason, revoked_s FROM revoked_keys", TP_SQL_NONE);
    while (tp_rows_next(&rows)) {
        tp_trust_list_take_back(list, tp_rows_text(&rows, 0), tp_rows_text(&rows, 1),
                                tp_rows_int(&rows, 2));
    }
    return tp_rows_close(&rows, err);
}

tapeout_status tp_signatures_look_in(void *user, tp_str sha256, tp_buffer *lines,
                                     tp_trust_list *list, tapeout_error *err)
{
    tp_store *store = ((tp_registry *)user)->store;
    int64_t version = 0;
    TP_TRY(tp_store_schema_version(store, tp_signature_schema.part, &version, err));
    if (version == 0) {
        return TAPEOUT_OK; // nothing was ever signed here
    }
    if (lines != NULL) {
        TP_TRY(read_lines(store, sha256, lines, err));
    }
    return take_back(store, list, err);
}

tapeout_status tp_signatures_look(void *user, tp_str sha256, tp_buffer *lines, tp_trust_list *list,
                                  tapeout_error *err)
{
    tp_registry *registry = NULL;
    const tapeout_status opened = tp_registry_open_of(user, TP_REGISTRY_READ, &registry, err);
    if (opened != TAPEOUT_OK) {
        return opened == TAPEOUT_E_NOT_FOUND ? TAPEOUT_OK : opened;
    }
    const tapeout_status status = tp_signatures_look_in(registry, sha256, lines, list, err);
    tp_registry_close(&registry);
    return status;
}

// -- signing -------------------------------------------------------------------------------------
static tapeout_status check_count(tp_store *store, const signature_row *row, tapeout_error *err)
{
    tp_rows rows;
    int64_t count = 0;
    tp_store_query(store, &rows,
                   "SELECT count(*) FROM signatures WHERE sha256 = $1 AND key_id <> $2",
                   TP_SQL(tp_sql_text(row->sha256), tp_sql_word(row->key_id)));
    while (tp_rows_next(&rows)) {
        count = tp_rows_int(&rows, 0);
    }
    TP_TRY(tp_rows_close(&rows, err));
    return count < (int64_t)TP_MAX_SIGNATURES
               ? TAPEOUT_OK
               : tp_fail(err, TAPEOUT_E_LIMIT,
                         "%.*s has %lld signatures, the most that there may be",
                         TP_STR_ARGS(row->sha256), (long long)count);
}

tapeout_status tp_signatures_put(tp_store *store, const signature_row *row, bool is_new,
                                 tapeout_error *err)
{
    TP_TRY(check_count(store, row, err));
    return tp_store_run(store,
                        is_new ? "INSERT INTO signatures(sha256, key_id, envelope, signed_us) "
                                 "VALUES($1, $2, $3, $4) ON CONFLICT(sha256, key_id) DO UPDATE SET "
                                 "envelope = excluded.envelope, signed_us = excluded.signed_us"
                               : "INSERT INTO signatures(sha256, key_id, envelope, signed_us) "
                                 "VALUES($1, $2, $3, $4) ON CONFLICT DO NOTHING",
                        TP_SQL(tp_sql_text(row->sha256), tp_sql_word(row->key_id),
                               tp_sql_text(row->envelope), tp_sql_int(tp_clock_unix_us())),
                        NULL, err);
}

tapeout_status tp_signature_row_of(tp_arena *arena, tp_str sha256, tp_str envelope,
                                   signature_row *ret_row, tapeout_error *err)
{
    tp_envelope parsed;
    TP_TRY(tp_dsse_parse(arena, envelope, &parsed, err));
    ret_row->sha256 = sha256;
    ret_row->envelope = envelope;
    tp_sha256_hex(&parsed.key_id, ret_row->key_id);
    return TAPEOUT_OK;
}

typedef struct new_signature {
    signature_row row;
    tp_str model;
    const tp_key_info *key; // NULL: the home's own, which is not told
    char key_id[TP_SHA256_HEX_SIZE + 1];
    tp_telling telling;
} new_signature;

static tapeout_status put_new(tp_store *store, void *user, tapeout_error *err)
{
    new_signature *it = user;
    if (it->key != NULL) {
        tp_telling_add(&it->telling, "model", it->model);
        tp_telling_add(&it->telling, "bundle", it->row.sha256);
        tp_telling_add(&it->telling, "key", tp_str_from(it->key->name));
        tp_telling_add(&it->telling, "key_id", tp_str_from(it->key_id));
        tp_telling_add(&it->telling, "person", tp_str_from(it->key->person));
    }
    return tp_signatures_put(store, &it->row, true, err);
}

static tapeout_status keep(tp_registry *registry, new_signature *it, tp_str sha256, tp_str envelope,
                           tapeout_error *err)
{
    tp_arena arena;
    tp_arena_init(&arena, registry->alloc, 4 * (size_t)TP_MAX_ENVELOPE_BYTES);
    tapeout_status status = tp_signature_row_of(&arena, sha256, envelope, &it->row, err);
    if (status == TAPEOUT_OK) {
        status =
            it->key == NULL
                ? tp_store_transact(registry->store, TP_STORE_ROWS, put_new, it, err)
                : tp_registry_transact(registry, TP_STORE_ROWS, put_new, it, &it->telling, err);
    }
    tp_arena_deinit(&arena);
    return status;
}

static tapeout_status sign(tp_registry *registry, const tp_signer *signer, const tp_bundle *bundle,
                           const tp_key_info *key, tapeout_error *err)
{
    char hex[TP_SHA256_HEX_SIZE + 1];
    tp_buffer envelope;
    new_signature it = {
        .model = tp_bundle_name(bundle), .key = key, .telling.kind = "model.signed"};
    const tp_sha256 hash = tp_bundle_hash(bundle);
    tp_sha256_hex(&hash, hex);
    if (key != NULL) {
        tp_sha256_hex(&key->key.id, it.key_id);
    }
    TP_TRY(tp_store_migrate(registry->store, &tp_signature_schema, err));
    TP_TRY(tp_signatures_adopt(registry, err));
    tp_buffer_init(&envelope, registry->alloc, TP_MAX_ENVELOPE_BYTES);
    tapeout_status status = tp_trust_envelope(registry->alloc, signer, bundle, &envelope, err);
    if (status == TAPEOUT_OK) {
        status = keep(registry, &it, tp_str_from(hex), tp_buffer_view(&envelope), err);
    }
    tp_buffer_deinit(&envelope);
    return status;
}

tapeout_status tp_signatures_sign(tp_registry *registry, const tp_signer *signer,
                                  const tp_bundle *bundle, tapeout_error *err)
{
    return sign(registry, signer, bundle, NULL, err);
}

tapeout_status tp_signatures_sign_told(const tapeout_context *context, const tp_key_info *key,
                                       const tp_signer *signer, const tp_bundle *bundle,
                                       tapeout_error *err)
{
    told_registry told;
    tapeout_status status = tp_told_registry_open(context, &told, err);
    if (status == TAPEOUT_OK) {
        status = sign(told.registry, signer, bundle, key, err);
    }
    tp_told_registry_close(&told);
    return status;
}

tapeout_status tp_signatures_sign_own(const tp_env *env, tp_registry *registry, const char *path,
                                      tapeout_error *err)
{
    tp_signer *signer = NULL;
    tp_bundle *bundle = NULL;
    TP_TRY(tp_key_home_own(env->alloc, registry->home, &signer, err));
    tapeout_status status = tp_bundle_open(env, path, &bundle, err);
    if (status == TAPEOUT_OK) {
        status = tp_signatures_sign(registry, signer, bundle, err);
    }
    tp_bundle_close(&bundle);
    tp_signer_free(&signer);
    return status;
}

tapeout_status tp_signatures_sign_home(const tapeout_context *context, const char *path,
                                       tapeout_error *err)
{
    tp_registry *registry = NULL;
    TP_TRY(tp_registry_open_of(context, TP_REGISTRY_WRITE, &registry, err));
    const tapeout_status status =
        tp_signatures_sign_own(tp_context_env(context), registry, path, err);
    tp_registry_close(&registry);
    return status;
}

tapeout_status tp_signatures_adopt_home(const tapeout_context *context, tapeout_error *err)
{
    tp_registry *registry = NULL;
    if (!tp_signatures_are_in(tp_context_home(context))) {
        return TAPEOUT_OK;
    }
    TP_TRY(tp_registry_open_of(context, TP_REGISTRY_WRITE, &registry, err));
    const tapeout_status status = tp_signatures_adopt(registry, err);
    tp_registry_close(&registry);
    return status;
}

// -- taking back ---------------------------------------------------------------------------------
static tapeout_status put_revoked(tp_store *store, void *user, tapeout_error *err)
{
    const tp_trusted_key *key = user;
    char id[TP_SHA256_HEX_SIZE + 1];
    tp_sha256_hex(&key->key.id, id);
    return tp_store_run(store,
                        "INSERT INTO revoked_keys(key_id, name, reason, revoked_s) "
                        "VALUES($1, $2, $3, $4) ON CONFLICT DO NOTHING",
                        TP_SQL(tp_sql_word(id), tp_sql_word(key->name), tp_sql_word(key->reason),
                               tp_sql_int(key->revoked_s)),
                        NULL, err);
}

tapeout_status tp_signatures_revoke(tp_registry *registry, const tp_trusted_key *key,
                                    tapeout_error *err)
{
    TP_TRY(tp_store_migrate(registry->store, &tp_signature_schema, err));
    return tp_store_transact(registry->store, TP_STORE_ROWS, put_revoked, (void *)(uintptr_t)key,
                             err);
}
