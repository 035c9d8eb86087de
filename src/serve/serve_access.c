// SPDX-License-Identifier: Apache-2.0
//
// The life of what tells callers apart, and the swap of rosters.
#include "serve/serve_access.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"

#include <sodium.h>

tapeout_status tp_serve_access_new(const tp_env *env, const tp_server_secret *secret,
                                   const serve_access_config *config, serve_access **ret_access,
                                   tapeout_error *err)
{
    serve_access *access = tp_alloc_zero(env->alloc, sizeof(*access));
    if (access == NULL) {
        return tp_fail_nomem(err);
    }
    access->env = env;
    access->secret = *secret;
    access->config = config;
    (void)pthread_mutex_init(&access->lock, NULL); // cannot fail with default attributes
    tapeout_status status = tp_limiter_new(env->alloc, TP_SERVE_LIMIT_SLOTS, &access->limits, err);
    if (status == TAPEOUT_OK) {
        status = tp_limiter_new(env->alloc, TP_SERVE_FAILURE_SLOTS, &access->failures, err);
    }
    if (status != TAPEOUT_OK) {
        tp_serve_access_free(access);
        return status;
    }
    *ret_access = access;
    return TAPEOUT_OK;
}

void tp_serve_access_free(serve_access *access)
{
    if (access != NULL) {
        tp_roster_unref(access->roster);
        for (uint32_t i = 0; i < TP_MAX_ISSUERS; i++) {
            tp_jwks_unref(access->jwks[i]);
        }
        tp_limiter_free(access->limits);
        tp_limiter_free(access->failures);
        (void)pthread_mutex_destroy(&access->lock);
        sodium_memzero(&access->secret, sizeof(access->secret));
        tp_free(access->env->alloc, access, sizeof(*access));
    }
}

void tp_serve_access_install(serve_access *access, tp_roster *roster)
{
    (void)pthread_mutex_lock(&access->lock);
    tp_roster *old = access->roster;
    access->roster = roster;
    // Release: who sees the number finds the roster, or a later one.
    atomic_fetch_add_explicit(&access->generation, 1, memory_order_release);
    (void)pthread_mutex_unlock(&access->lock);
    tp_roster_unref(old);
}

void tp_serve_access_install_keys(serve_access *access, uint32_t issuer, tp_jwks *jwks)
{
    (void)pthread_mutex_lock(&access->lock);
    tp_jwks *old = access->jwks[issuer];
    access->jwks[issuer] = jwks;
    atomic_fetch_add_explicit(&access->generation, 1, memory_order_release); // as above
    (void)pthread_mutex_unlock(&access->lock);
    tp_jwks_unref(old);
}

tapeout_status tp_serve_auth_new(serve_access *access, serve_auth **ret_auth, tapeout_error *err)
{
    serve_auth *auth = tp_alloc_zero(access->env->alloc, sizeof(*auth));
    if (auth == NULL) {
        return tp_fail_nomem(err);
    }
    auth->access = access;
    randombytes_buf(auth->mark_key, sizeof(auth->mark_key));
    *ret_auth = auth;
    return TAPEOUT_OK;
}

void tp_serve_auth_free(serve_auth *auth)
{
    if (auth != NULL) {
        tp_roster_unref(auth->roster);
        for (uint32_t i = 0; i < TP_MAX_ISSUERS; i++) {
            tp_jwks_unref(auth->jwks[i]);
        }
        for (uint32_t i = 0; i < SERVE_TOKEN_SLOTS; i++) {
            tp_principal_unref(auth->tokens[i].principal);
        }
        const tapeout_allocator *alloc = auth->access->env->alloc;
        sodium_memzero(auth, sizeof(*auth));
        tp_free(alloc, auth, sizeof(*auth));
    }
}
