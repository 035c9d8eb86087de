// SPDX-License-Identifier: Apache-2.0
//
// The calls of <tapeout/access.h>: what is given is checked as it will be when a request comes, so
// that no identity is stored that could not be used. Each call opens the database for itself.
#include <tapeout/access.h>

#include "base/limits.h"
#include "base/tp_clock.h"
#include "base/tp_context.h"
#include "base/tp_error.h"
#include "registry/tp_identity_store.h"
#include "table/tp_json.h"

#include <sodium.h>
#include <string.h>
#include <time.h>

static const tp_str key_kind = {"key", 3};
static const tp_str user_kind = {"user", 4};

void tapeout_access_spec_init(tapeout_access_spec *spec)
{
    memset(spec, 0, sizeof(*spec));
    spec->struct_size = sizeof(*spec);
}

// -- JSON ----------------------------------------------------------------------------------------
static void write_time(tp_buffer *json, const char *key, int64_t unix_us)
{
    struct tm parts = {0};
    const time_t seconds = (time_t)(unix_us / 1000000);
    tp_json_append_key(json, key);
    if (unix_us == 0 || gmtime_r(&seconds, &parts) == NULL) {
        tp_buffer_append_text(json, "null");
        return;
    }
    tp_buffer_printf(json, "\"%04d-%02d-%02dT%02d:%02d:%02dZ\"", parts.tm_year + 1900,
                     parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

static void write_text(tp_buffer *json, const char *key, tp_str text)
{
    tp_json_append_key(json, key);
    tp_json_append_str(json, text);
}

// Without braces.
static void write_row(tp_buffer *json, const tp_identity_row *row)
{
    const bool is_key = tp_str_equal(row->kind, key_kind);
    write_text(json, "kind", row->kind);
    write_text(json, "name", row->name);
    if (is_key) {
        write_text(json, "prefix", row->handle);
    }
    write_text(json, "tenant", row->tenant);
    write_text(json, "roles", row->grants);
    write_text(json, "limits", row->rates);
    write_time(json, "created", row->created_us);
    write_time(json, "expires", row->expires_us);
    write_time(json, "revoked", row->revoked_us);
}

typedef struct listing {
    tp_buffer *json;
    tp_str handle; // of the newest one that is wanted alone; empty: all are
    size_t size;   // of the JSON before the first
} listing;

static tapeout_status list_row(void *user, const tp_identity_row *row, tapeout_error *err)
{
    listing *self = user;
    tp_buffer *json = self->json;
    if (self->handle.size > 0 && !tp_str_equal(self->handle, row->handle)) {
        return TAPEOUT_OK;
    }
    if (self->handle.size > 0) {
        json->size = self->size; // an older one of that name goes
    } else if (json->size > self->size) {
        tp_buffer_append_char(json, ',');
    }
    tp_buffer_append_text(json, self->handle.size > 0 ? "" : "{");
    write_row(json, row);
    tp_buffer_append_text(json, self->handle.size > 0 ? "" : "}");
    return tp_buffer_check(json, "list of identities", err);
}

// -- what the calls share ------------------------------------------------------------------------
// The JSON of one identity, found again by its handle; for a new key with the key before it.
static tapeout_status show_one(tp_identity_store *store, tp_str kind, tp_str handle,
                               const char *new_key, char **ret_json, tapeout_error *err)
{
    tp_buffer json;
    tp_buffer_init(&json, tp_identity_store_allocator(store), TP_MAX_REGISTRY_LIST_BYTES);
    tp_buffer_append_char(&json, '{');
    if (new_key != NULL) {
        write_text(&json, "key", tp_str_from(new_key));
    }
    listing self = {&json, handle, json.size};
    const tapeout_status status = tp_identity_store_each(store, kind, list_row, &self, err);
    tp_buffer_append_char(&json, '}');
    if (status != TAPEOUT_OK) {
        tp_buffer_deinit(&json);
        return status;
    }
    return tp_text_from_buffer(&json, "identity", ret_json, err);
}

// {"kind", "name", "revoked"} of what was ended.
static tapeout_status show_end(const tapeout_context *context, const tp_identity_end *what,
                               char **ret_json, tapeout_error *err)
{
    tp_buffer json;
    tp_buffer_init(&json, tp_context_env(context)->alloc, TP_MAX_REGISTRY_FACT_BYTES);
    tp_buffer_append_char(&json, '{');
    write_text(&json, "kind", what->kind);
    write_text(&json, "name", what->name);
    write_time(&json, "revoked", what->when_us);
    tp_buffer_append_char(&json, '}');
    return tp_text_from_buffer(&json, "identity", ret_json, err);
}

// A point in time so many seconds from now; 0 stays none.
static tapeout_status after(int64_t now_us, uint64_t seconds, int64_t *ret_us, tapeout_error *err)
{
    if (seconds > TP_MAX_IDENTITY_SECONDS) {
        return tp_fail(err, TAPEOUT_E_INVALID, "%llu seconds; at most %llu were expected",
                       (unsigned long long)seconds, (unsigned long long)TP_MAX_IDENTITY_SECONDS);
    }
    *ret_us = now_us + (int64_t)seconds * 1000000;
    return TAPEOUT_OK;
}

// What a request will make of it, made once to see that it can be.
static tapeout_status check_row(const tapeout_context *context, const tp_identity_row *row,
                                tapeout_error *err)
{
    tp_principal *principal = NULL;
    const tp_principal_spec spec = {
        .name = row->name, .tenant = row->tenant, .grants = row->grants, .rates = row->rates};
    if (!tp_identity_name_is_valid(row->name)) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "name \"%.*s\": letters, digits and ._@- were expected, at most %u",
                       TP_STR_ARGS(row->name), TP_MAX_IDENTITY_NAME_BYTES);
    }
    if (row->grants.size > TP_MAX_GRANTS_BYTES) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "roles of %zu bytes, at most %u", row->grants.size,
                       TP_MAX_GRANTS_BYTES);
    }
    TP_TRY(tp_principal_new(tp_context_env(context)->alloc, &spec, &principal, err));
    tp_principal_unref(principal);
    return TAPEOUT_OK;
}

static tp_str text_or(const char *text, const char *otherwise)
{
    return tp_str_from(text == NULL ? otherwise : text);
}

// -- the calls -----------------------------------------------------------------------------------
static tapeout_status add_key(tp_identity_store *store, tp_identity_row *row, char **ret_json,
                              tapeout_error *err)
{
    tp_identity_key key;
    tp_identity_store_key(store, &key);
    row->handle = key.prefix;
    row->verifier = tp_str_from(key.verifier);
    tapeout_status status = tp_identity_store_add(store, row, err);
    if (status == TAPEOUT_OK) {
        status = show_one(store, key_kind, key.prefix, key.key, ret_json, err);
    }
    sodium_memzero(&key, sizeof(key));
    return status;
}

static tapeout_status add_user(tp_identity_store *store, tp_identity_row *row,
                               const tapeout_access_spec *spec, char **ret_json, tapeout_error *err)
{
    char hash[TP_PASSWORD_HASH_TEXT_SIZE];
    TP_TRY(tp_password_hash(text_or(spec->password, ""), hash, err));
    row->handle = row->name;
    row->verifier = tp_str_from(hash);
    TP_TRY(tp_identity_store_add(store, row, err));
    return show_one(store, user_kind, row->name, NULL, ret_json, err);
}

tapeout_status tapeout_access_new(tapeout_context *context, const tapeout_access_spec *spec,
                                  char **ret_json, tapeout_error *err)
{
    if (context == NULL || spec == NULL || ret_json == NULL || spec->struct_size != sizeof(*spec)) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "tapeout_access_new: fill the spec with tapeout_access_spec_init");
    }
    const bool is_key = spec->kind == TAPEOUT_ACCESS_KEY;
    tp_identity_row row = {.kind = is_key ? key_kind : user_kind,
                           .name = text_or(spec->name, ""),
                           .tenant = text_or(spec->tenant, TP_TENANT_OPERATOR),
                           .grants = text_or(spec->roles, ""),
                           .rates = text_or(spec->limits, ""),
                           .created_us = tp_clock_unix_us()};
    if (spec->valid_s > 0) {
        TP_TRY(after(row.created_us, spec->valid_s, &row.expires_us, err));
    }
    TP_TRY(check_row(context, &row, err));
    tp_identity_store *store = NULL;
    TP_TRY(tp_identity_store_open(context, &store, err));
    const tapeout_status status =
        is_key ? add_key(store, &row, ret_json, err) : add_user(store, &row, spec, ret_json, err);
    tp_identity_store_close(&store);
    return status;
}

tapeout_status tapeout_access_rotate(tapeout_context *context, const char *key, uint64_t overlap_s,
                                     char **ret_json, tapeout_error *err)
{
    tp_identity_store *store = NULL;
    tp_identity_key fresh;
    tp_identity_end old = {.kind = key_kind, .name = tp_str_from(key)};
    old.now_us = tp_clock_unix_us();
    TP_TRY(after(old.now_us, overlap_s, &old.when_us, err));
    TP_TRY(tp_identity_store_open(context, &store, err));
    tp_identity_store_key(store, &fresh);
    const tp_identity_row row = {.handle = fresh.prefix, .verifier = tp_str_from(fresh.verifier)};
    tapeout_status status = tp_identity_store_rotate(store, &old, &row, err);
    if (status == TAPEOUT_OK) {
        status = show_one(store, key_kind, fresh.prefix, fresh.key, ret_json, err);
    }
    sodium_memzero(&fresh, sizeof(fresh));
    tp_identity_store_close(&store);
    return status;
}

tapeout_status tapeout_access_password(tapeout_context *context, const char *user,
                                       const char *password, char **ret_json, tapeout_error *err)
{
    tp_identity_store *store = NULL;
    char hash[TP_PASSWORD_HASH_TEXT_SIZE];
    TP_TRY(tp_identity_store_open(context, &store, err));
    tapeout_status status = tp_password_hash(text_or(password, ""), hash, err);
    if (status == TAPEOUT_OK) {
        status = tp_identity_store_verifier(store, tp_str_from(user), tp_str_from(hash), err);
    }
    if (status == TAPEOUT_OK) {
        status = show_one(store, user_kind, tp_str_from(user), NULL, ret_json, err);
    }
    tp_identity_store_close(&store);
    return status;
}

tapeout_status tapeout_access_revoke(tapeout_context *context, tapeout_access_kind kind,
                                     const char *name, char **ret_json, tapeout_error *err)
{
    tp_identity_store *store = NULL;
    tp_identity_end what = {.kind = kind == TAPEOUT_ACCESS_KEY ? key_kind : user_kind,
                            .name = tp_str_from(name)};
    what.now_us = what.when_us = tp_clock_unix_us();
    TP_TRY(tp_identity_store_open(context, &store, err));
    tapeout_status status = tp_identity_store_end(store, &what, err);
    tp_identity_store_close(&store);
    return status == TAPEOUT_OK ? show_end(context, &what, ret_json, err) : status;
}

tapeout_status tapeout_access_list(tapeout_context *context, tapeout_access_kind kind,
                                   char **ret_json, tapeout_error *err)
{
    tp_identity_store *store = NULL;
    tp_buffer json;
    TP_TRY(tp_identity_store_open(context, &store, err));
    tp_buffer_init(&json, tp_context_env(context)->alloc, TP_MAX_REGISTRY_LIST_BYTES);
    tp_buffer_append_text(&json, "{\"identities\":[");
    listing self = {&json, {NULL, 0}, json.size};
    const tapeout_status status = tp_identity_store_each(
        store, kind == TAPEOUT_ACCESS_KEY ? key_kind : user_kind, list_row, &self, err);
    tp_identity_store_close(&store);
    tp_buffer_append_text(&json, "]}");
    if (status != TAPEOUT_OK) {
        tp_buffer_deinit(&json);
        return status;
    }
    return tp_text_from_buffer(&json, "list of identities", ret_json, err);
}
