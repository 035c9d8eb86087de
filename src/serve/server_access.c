// SPDX-License-Identifier: Apache-2.0
//
// How a running server learns who may come in: a thread of its own looks several times a second
// whether identities have changed, builds the new roster and installs it. It has the only handle on
// the database, so no request waits for one, and no long piece of work in libuv's threads delays a
// revocation.
//
// While the database can't be read, what was known holds on: that is logged, once each time.
#include "serve/server_priv.h"

#include "base/tp_alloc.h"
#include "base/tp_clock.h"
#include "base/tp_context.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "registry/tp_identity_store.h"
#include "serve/serve_audit.h"

#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { LOOK_MS = 400 };

struct server_access {
    struct tapeout_server *server;
    tp_identity_store *store;           // of the thread, once it runs
    int64_t generation;                 // that the installed roster is the picture of
    uint64_t stamps[TP_MAX_ISSUERS][4]; // of the files that keys were read from
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock; // of `is_stopping`; a leaf
    pthread_cond_t changed;
    bool is_stopping;
};

static tapeout_status install(struct server_access *access, tapeout_error *err)
{
    tp_roster *roster = NULL;
    int64_t generation = 0;
    TP_TRY(tp_identity_store_roster(access->store, &roster, &generation, err));
    tp_serve_access_install(access->server->state.access, roster);
    access->generation = generation;
    return TAPEOUT_OK;
}

static tapeout_status look(struct server_access *access, tapeout_error *err)
{
    int64_t generation = 0;
    TP_TRY(tp_identity_store_generation(access->store, &generation, err));
    return generation == access->generation ? TAPEOUT_OK : install(access, err);
}

static bool file_stamp(const char *path, uint64_t ret_stamp[4])
{
    struct stat about;
    if (stat(path, &about) != 0) {
        return false;
    }
    ret_stamp[0] = (uint64_t)about.st_ino;
    ret_stamp[1] = (uint64_t)about.st_size;
    ret_stamp[2] = (uint64_t)about.st_mtim.tv_sec;
    ret_stamp[3] = (uint64_t)about.st_mtim.tv_nsec;
    return true;
}

static tapeout_status read_keys_of(struct server_access *access, uint32_t index, tapeout_error *err)
{
    const tapeout_allocator *alloc = access->server->env.alloc;
    const tp_issuer *issuer = &access->server->config->access.issuers[index];
    tp_str text = {NULL, 0};
    tp_jwks *jwks = NULL;
    TP_TRY(tp_file_read(alloc, issuer->jwks_path, TP_MAX_JWKS_BYTES, &text, err));
    const tapeout_status status = tp_jwks_parse(alloc, text, issuer->rsa, &jwks, err);
    if (status == TAPEOUT_OK) {
        tp_server_audit_keys(access->server, issuer, text);
    }
    tp_free(alloc, (char *)(uintptr_t)text.data, text.size + 1);
    if (status != TAPEOUT_OK) {
        tp_error_prefix(err, "%s", issuer->jwks_path);
        return status;
    }
    tp_serve_access_install_keys(access->server->state.access, index, jwks);
    return TAPEOUT_OK;
}

// The keys of each issuer whose file has changed. One that is broken, or gone, keeps those it had.
static tapeout_status read_keys(struct server_access *access, bool is_start, tapeout_error *err)
{
    const serve_access_config *config = &access->server->config->access;
    tapeout_status status = TAPEOUT_OK;
    for (uint32_t i = 0; i < config->issuer_count && status == TAPEOUT_OK; i++) {
        uint64_t stamp[4] = {0};
        if (config->issuers[i].jwks_path == NULL) {
            continue; // server_jwks.c fetches it
        }
        const bool is_there = file_stamp(config->issuers[i].jwks_path, stamp);
        const bool is_new = memcmp(stamp, access->stamps[i], sizeof(stamp)) != 0;
        if (is_start || (is_there && is_new)) {
            memcpy(access->stamps[i], stamp, sizeof(stamp));
            status = read_keys_of(access, i, err);
        }
    }
    return status;
}

// -- the thread ----------------------------------------------------------------------------------
// False once the server ends.
static bool wait_a_while(struct server_access *access)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until); // always there
    until.tv_nsec += LOOK_MS * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    (void)pthread_mutex_lock(&access->lock);
    while (!access->is_stopping &&
           pthread_cond_timedwait(&access->changed, &access->lock, &until) == 0) {
    }
    const bool goes_on = !access->is_stopping;
    (void)pthread_mutex_unlock(&access->lock);
    return goes_on;
}

static void *run(void *user)
{
    struct server_access *access = user;
    bool has_failed = false;
    while (wait_a_while(access)) {
        tapeout_error error = {0};
        const bool is_good =
            look(access, &error) == TAPEOUT_OK && read_keys(access, false, &error) == TAPEOUT_OK;
        if (!is_good && !has_failed) {
            tp_server_log_event(access->server, "access_unreadable", error.message);
        } else if (is_good && has_failed) {
            tp_server_log_event(access->server, "access_readable", NULL);
        }
        has_failed = !is_good;
    }
    return NULL;
}

tapeout_status tp_server_access_start(struct tapeout_server *server, tapeout_error *err)
{
    struct server_access *access = server->access;
    if (access == NULL) {
        return TAPEOUT_OK;
    }
    TP_TRY(tp_server_jwks_start(server, err));
    access->has_thread = pthread_create(&access->thread, NULL, run, access) == 0;
    return access->has_thread
               ? TAPEOUT_OK
               : tp_fail(err, TAPEOUT_E_BUSY, "cannot start the thread that follows identities");
}

void tp_server_access_stop(struct tapeout_server *server)
{
    struct server_access *access = server->access;
    tp_server_jwks_stop(server);
    if (access == NULL || !access->has_thread) {
        return;
    }
    (void)pthread_mutex_lock(&access->lock);
    access->is_stopping = true;
    (void)pthread_cond_signal(&access->changed);
    (void)pthread_mutex_unlock(&access->lock);
    (void)pthread_join(access->thread, NULL);
    access->has_thread = false;
}

// -- opening -------------------------------------------------------------------------------------
// The first start of a home: somebody must be able to come in. Told to a person alone, once.
static tapeout_status make_first_key(struct server_access *access, tapeout_error *err)
{
    const tapeout_serve_options *options = &access->server->options;
    char key[TP_API_KEY_SIZE + 1];
    if (options->first_key == NULL) {
        return TAPEOUT_OK;
    }
    const tapeout_status status = tp_identity_store_first(access->store, key, err);
    if (status == TAPEOUT_OK) {
        options->first_key(options->first_key_user, key, access->server->url);
    }
    memset(key, 0, sizeof(key));
    // Others were made before, perhaps by a server that starts at the same time.
    return status == TAPEOUT_E_EXISTS ? TAPEOUT_OK : status;
}

static tapeout_status open_access(struct tapeout_server *server, tapeout_error *err)
{
    struct server_access *access = tp_alloc_zero(server->env.alloc, sizeof(*access));
    pthread_condattr_t attributes;
    if (access == NULL) {
        return tp_fail_nomem(err);
    }
    server->access = access;
    access->server = server;
    // None of these can fail on Linux with such arguments.
    (void)pthread_mutex_init(&access->lock, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&access->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    TP_TRY(tp_identity_store_open(server->context, &access->store, err));
    if (!server->config->audit_log) {
        tp_identity_store_unlogged(access->store);
    }
    TP_TRY(tp_serve_access_new(&server->env, tp_identity_store_secret(access->store),
                               &server->config->access, &server->state.access, err));
    TP_TRY(read_keys(access, true, err));
    TP_TRY(make_first_key(access, err));
    return install(access, err);
}

tapeout_status tp_server_access_open(struct tapeout_server *server, tapeout_error *err)
{
    if (server->options.no_auth) {
        const tp_principal_spec everybody = {
            .id = TP_STR("anonymous"), .name = TP_STR("anonymous"), .grants = TP_STR("admin")};
        return tp_principal_new(server->env.alloc, &everybody, &server->state.anonymous, err);
    }
    TP_TRY(open_access(server, err));
    for (uint32_t i = 0; i < server->shard_count; i++) {
        TP_TRY(tp_serve_auth_new(server->state.access, &server->shards[i].auth, err));
    }
    return TAPEOUT_OK;
}

void tp_server_access_close(struct tapeout_server *server)
{
    struct server_access *access = server->access;
    for (uint32_t i = 0; i < server->shard_count; i++) {
        tp_serve_auth_free(server->shards[i].auth);
    }
    if (access != NULL) {
        tp_identity_store_close(&access->store);
        (void)pthread_cond_destroy(&access->changed);
        (void)pthread_mutex_destroy(&access->lock);
        tp_free(server->env.alloc, access, sizeof(*access));
    }
    tp_serve_access_free(server->state.access);
    tp_principal_unref(server->state.anonymous);
}
