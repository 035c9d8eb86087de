// SPDX-License-Identifier: Apache-2.0
//
// The server's own entries of the audit log. Start and end are waited for; models too, on the
// thread that loads them. After a load what is served is compared with what the log was told, so
// that every way of loading is seen.
#include "serve/serve_audit.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_context.h"
#include "base/tp_error.h"
#include "registry/tp_telling.h"
#include "serve/serve_store.h"
#include "table/tp_json.h"
#include "trust/tp_identity.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>

// A model that the log knows to be served.
typedef struct told_model {
    char tenant[TP_MAX_IDENTITY_NAME_BYTES + 1];
    char name[TP_MAX_MODEL_NAME_BYTES + 1];
    char version[TP_MAX_MODEL_NAME_BYTES + 1];
    char sha256[TP_SHA256_HEX_SIZE + 1];
    bool is_served; // of the comparison that is under way
} told_model;

struct server_audit {
    tp_audit *log;
    pthread_mutex_t lock; // of what follows; the log's own and the engine's are taken under it
    told_model models[TP_MAX_SERVED_MODELS];
    size_t model_count;
};

// Appends, or where that fails says so and leaves it to the lane, which tries again.
static void append(struct tapeout_server *server, const tp_audit_event *event)
{
    tapeout_error error = {0};
    if (tp_audit_append(server->audit->log, event, NULL, &error) != TAPEOUT_OK) {
        tp_server_log_event(server, "audit_failed", error.message);
        (void)tp_audit_post(server->audit->log, event, NULL); // counted where it is lost
    }
}

// -- start and end -------------------------------------------------------------------------------
// The hash of the configuration tells whether who may do what is as it was at the last start.
static tapeout_status write_config(const struct tapeout_server *server, tp_buffer *what,
                                   tapeout_error *err)
{
    const tp_serve_config *config = server->config;
    char hex[TP_SHA256_HEX_SIZE + 1] = "";
    tp_sha256 hash;
    if (server->options.config != NULL) {
        TP_TRY(tp_sha256_file(server->options.config, &hash, err));
        tp_sha256_hex(&hash, hex);
    }
    tp_json_append_key(what, "config");
    tp_json_append_str(what, tp_str_from(hex));
    tp_json_append_key(what, "issuers");
    tp_json_append_u64(what, config->access.issuer_count);
    tp_json_append_key(what, "certificates");
    tp_json_append_u64(what, config->access.certificate_count);
    return TAPEOUT_OK;
}

static tapeout_status write_start(const struct tapeout_server *server, tp_buffer *what,
                                  tapeout_error *err)
{
    const tp_serve_config *config = server->config;
    tp_buffer_append_char(what, '{');
    tp_json_append_key(what, "url");
    tp_json_append_str(what, tp_str_from(server->url));
    tp_json_append_key(what, "tapeout");
    tp_json_append_str(what, tp_str_from(tapeout_version()));
    tp_json_append_key(what, "no_auth");
    tp_buffer_append_text(what, server->options.no_auth ? "true" : "false");
    tp_json_append_key(what, "allow_unsigned");
    tp_buffer_append_text(what, config->engine.allow_unsigned ? "true" : "false");
    tp_json_append_key(what, "receipts");
    tp_buffer_append_text(what, config->audit_receipts ? "true" : "false");
    TP_TRY(write_config(server, what, err));
    tp_buffer_append_char(what, '}');
    return tp_buffer_check(what, "audit: an entry", err);
}

static void settle_tenant(struct tapeout_server *server, tp_str tenant, const char *home)
{
    serve_store *store = server->state.store;
    serve_handle *handle = NULL;
    const bool is_operator = tp_str_equal(tenant, TP_STR(TP_TENANT_OPERATOR));
    const tp_teller teller = {.audit = server->audit->log,
                              .who = TP_STR("server"),
                              .tenant = is_operator ? (tp_str){NULL, 0} : tenant};
    if (tp_registry_has_open_change(home) &&
        tp_serve_store_take(store, tenant, &handle, NULL) == TAPEOUT_OK) {
        (void)tp_registry_settle(handle->registry, &teller, NULL);
        tp_serve_store_give(store, handle);
    }
}

// What a process that was killed had told and not done is taken back before anybody asks. Where
// that fails the next change tries again, and says why it can't.
static void settle_changes(struct tapeout_server *server)
{
    char path[TP_MAX_PATH_BYTES];
    const char *home = tp_context_home(server->context);
    settle_tenant(server, TP_STR(TP_TENANT_OPERATOR), home);
    const int size = snprintf(path, sizeof(path), "%s/tenants", home);
    DIR *tenants = size > 0 && (size_t)size < sizeof(path) ? opendir(path) : NULL;
    if (tenants == NULL) {
        return;
    }
    for (const struct dirent *entry = readdir(tenants); entry != NULL; entry = readdir(tenants)) {
        const tp_str name = tp_str_from(entry->d_name);
        if (tp_identity_name_is_valid(name) &&
            (size_t)snprintf(path, sizeof(path), "%s/tenants/%s", home, entry->d_name) <
                sizeof(path)) {
            settle_tenant(server, name, path);
        }
    }
    (void)closedir(tenants);
}

tapeout_status tp_server_audit_open(struct tapeout_server *server, tapeout_error *err)
{
    if (!server->config->audit_log) {
        return server->config->audit_receipts
                   ? tp_fail(err, TAPEOUT_E_INVALID,
                             "receipts are kept in the audit log, which is "
                             "switched off")
                   : TAPEOUT_OK;
    }
    const tapeout_allocator *alloc = server->env.alloc;
    server->audit = tp_alloc_zero(alloc, sizeof(*server->audit));
    if (server->audit == NULL) {
        return tp_fail_nomem(err);
    }
    (void)pthread_mutex_init(&server->audit->lock, NULL); // cannot fail with default attributes
    TP_TRY(tp_audit_open(alloc, tp_context_home(server->context), &server->audit->log, err));
    tp_audit_stop_share(server->audit->log, server->state.is_stopped);
    tp_buffer what;
    tp_buffer_init(&what, alloc, TP_MAX_AUDIT_WHAT_BYTES);
    tapeout_status status = write_start(server, &what, err);
    const tp_audit_event event = {.kind = "server.started", .what = tp_buffer_view(&what)};
    if (status == TAPEOUT_OK) {
        status = tp_audit_append(server->audit->log, &event, NULL, err);
    }
    tp_buffer_deinit(&what);
    if (status != TAPEOUT_OK) {
        tp_error_prefix(err, "cannot begin without the audit log (--no-audit does without)");
        return status;
    }
    TP_TRY(tp_audit_lane_start(server->audit->log, err));
    server->state.audit = server->audit->log;
    settle_changes(server);
    server->state.keeps_receipts = server->config->audit_receipts;
    server->state.receipts_have_rows = server->config->audit_rows;
    return TAPEOUT_OK;
}

void tp_server_audit_close(struct tapeout_server *server)
{
    if (server->audit == NULL) {
        return;
    }
    if (server->state.audit != NULL) {
        const tp_audit_event event = {.kind = "server.stopped"};
        append(server, &event);
    }
    server->state.audit = NULL;
    tp_audit_close(&server->audit->log);
    (void)pthread_mutex_destroy(&server->audit->lock);
    tp_free(server->env.alloc, server->audit, sizeof(*server->audit));
    server->audit = NULL;
}

// -- models --------------------------------------------------------------------------------------
static void copy_text(char *to, size_t capacity, tp_str text)
{
    const size_t size = text.size < capacity ? text.size : capacity - 1;
    memcpy(to, text.data, size);
    to[size] = '\0';
}

static void tell_model(struct tapeout_server *server, const char *kind, tp_str who,
                       const told_model *model)
{
    const tp_audit_field fields[] = {{"tenant", tp_str_from(model->tenant)},
                                     {"model", tp_str_from(model->name)},
                                     {"version", tp_str_from(model->version)},
                                     {"bundle", tp_str_from(model->sha256)}};
    const tp_audit_note note = {kind, who, fields, sizeof(fields) / sizeof(fields[0])};
    tapeout_error error = {0};
    if (tp_audit_tell(server->audit->log, &note, &error) != TAPEOUT_OK) {
        tp_server_log_event(server, "audit_failed", error.message);
    }
}

static told_model *find_told(struct server_audit *audit, const told_model *model)
{
    for (size_t i = 0; i < audit->model_count; i++) {
        told_model *it = &audit->models[i];
        if (strcmp(it->tenant, model->tenant) == 0 && strcmp(it->name, model->name) == 0 &&
            strcmp(it->version, model->version) == 0 && strcmp(it->sha256, model->sha256) == 0) {
            return it;
        }
    }
    return NULL;
}

// Those that are gone make room first, so that the list holds as many as the engine does.
static void forget_gone(struct tapeout_server *server, tp_str who)
{
    struct server_audit *audit = server->audit;
    size_t kept = 0;
    for (size_t i = 0; i < audit->model_count; i++) {
        if (audit->models[i].is_served) {
            audit->models[kept++] = audit->models[i];
        } else {
            tell_model(server, "model.unloaded", who, &audit->models[i]);
        }
    }
    audit->model_count = kept;
}

void tp_server_audit_models(struct tapeout_server *server, tp_str who)
{
    struct server_audit *audit = server->audit;
    tp_served *served[TP_MAX_SERVED_MODELS];
    if (audit == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&audit->lock);
    for (size_t i = 0; i < audit->model_count; i++) {
        audit->models[i].is_served = false;
    }
    size_t count = tp_engine_list(server->state.engine, served, TP_MAX_SERVED_MODELS);
    count = count < TP_MAX_SERVED_MODELS ? count : TP_MAX_SERVED_MODELS;
    for (int pass = 0; pass < 2; pass++) { // first mark those that stay, then tell the new ones
        for (size_t i = 0; i < count; i++) {
            told_model model = {.is_served = true};
            copy_text(model.tenant, sizeof(model.tenant), served[i]->tenant);
            copy_text(model.name, sizeof(model.name), served[i]->name);
            copy_text(model.version, sizeof(model.version), served[i]->version);
            copy_text(model.sha256, sizeof(model.sha256), tp_str_from(served[i]->sha256));
            told_model *told = find_told(audit, &model);
            if (told != NULL) {
                told->is_served = true;
            } else if (pass == 1 && audit->model_count < TP_MAX_SERVED_MODELS) {
                audit->models[audit->model_count++] = model;
                tell_model(server, "model.loaded", who, &model);
            }
        }
        if (pass == 0) {
            forget_gone(server, who);
        }
    }
    for (size_t i = 0; i < count; i++) {
        tp_engine_unref(server->state.engine, served[i]);
    }
    (void)pthread_mutex_unlock(&audit->lock);
}

void tp_server_models_changed(void *user, tp_str who)
{
    tp_server_audit_models(user, who);
}

void tp_serve_models_changed(const serve_exchange *exchange)
{
    if (exchange->state->models_changed != NULL) {
        exchange->state->models_changed(exchange->state->user, exchange->principal == NULL
                                                                   ? TP_STR("anonymous")
                                                                   : exchange->principal->id);
    }
}

// -- who may come in -----------------------------------------------------------------------------
void tp_server_audit_keys(struct tapeout_server *server, const tp_issuer *issuer, tp_str text)
{
    char hex[TP_SHA256_HEX_SIZE + 1];
    const tp_sha256 hash = tp_sha256_of(text.data, text.size);
    const char *from = issuer->jwks_path != NULL ? issuer->jwks_path : issuer->jwks_url.url;
    tapeout_error error = {0};
    tp_sha256_hex(&hash, hex);
    const tp_audit_field fields[] = {
        {"issuer", issuer->issuer}, {"from", tp_str_from(from)}, {"sha256", tp_str_from(hex)}};
    const tp_audit_note note = {"access.keys_changed", TP_STR("server"), fields, 3};
    if (server->state.audit != NULL &&
        tp_audit_tell(server->state.audit, &note, &error) != TAPEOUT_OK) {
        tp_server_log_event(server, "audit_failed", error.message);
    }
}

void tp_serve_audit_refused(const serve_exchange *exchange)
{
    char peer[INET6_ADDRSTRLEN] = "";
    struct in6_addr address;
    if (exchange->state->audit == NULL) {
        return;
    }
    memcpy(&address, exchange->peer, sizeof(address));
    (void)inet_ntop(AF_INET6, &address, peer, sizeof(peer)); // large enough
    const tp_str who = exchange->principal == NULL ? TP_STR("nobody") : exchange->principal->id;
    tp_audit_refused(exchange->state->audit, who, tp_str_from(peer),
                     tp_str_from(exchange->login_why == NULL ? "refused" : exchange->login_why));
}
