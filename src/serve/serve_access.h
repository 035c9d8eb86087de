// SPDX-License-Identifier: Apache-2.0
//
// Who may come in. `serve_access` is what all threads share: the roster that holds now, and the
// limits. `serve_auth` is a thread's own: the roster it works with, and what it remembers of
// passwords that were right. On the way of a request there is no lock and no database: a thread
// sees by one number that there is another roster, and takes its reference then.
#ifndef SERVE_ACCESS_H
#define SERVE_ACCESS_H

#include "serve/serve_access_config.h"
#include "serve/serve_priv.h"

#include <pthread.h>

typedef struct serve_access {
    const tp_env *env;
    tp_server_secret secret;
    pthread_mutex_t lock;          // of `roster`; a leaf
    tp_roster *roster;             // a reference, or NULL: nobody is known
    tp_jwks *jwks[TP_MAX_ISSUERS]; // of each issuer, under the same lock; NULL: none yet
    const serve_access_config *config;
    atomic_uint jwks_wanted;         // a bit an issuer: a token names a key that its set has not
    atomic_uint_fast64_t generation; // one more with each roster
    tp_limiter *limits;              // of principals
    tp_limiter *failures;            // of addresses whose credentials were refused
    atomic_uint password_count;      // that are being checked now
} serve_access;

// `config` is borrowed.
tapeout_status tp_serve_access_new(const tp_env *env, const tp_server_secret *secret,
                                   const serve_access_config *config, serve_access **ret_access,
                                   tapeout_error *err);
void tp_serve_access_free(serve_access *access); // accepts NULL
// The roster from now on; takes over the caller's reference.
void tp_serve_access_install(serve_access *access, tp_roster *roster);
// The same for the keys of an issuer.
void tp_serve_access_install_keys(serve_access *access, uint32_t issuer, tp_jwks *jwks);

enum { SERVE_LOGIN_SLOTS = 1024, SERVE_TOKEN_SLOTS = 1024 };

// A token that was checked, and who carries it.
typedef struct serve_token {
    uint8_t mark[SERVE_LOGIN_MARK_SIZE];
    uint64_t generation; // of the keys that it was checked with
    tp_principal *principal;
} serve_token;

// @thread confined to the thread of a loop.
typedef struct serve_auth {
    serve_access *access;
    uint64_t generation;
    tp_roster *roster; // a reference
    tp_jwks *jwks[TP_MAX_ISSUERS];
    serve_token tokens[SERVE_TOKEN_SLOTS];
    // Marks of user, password and the hash that it was checked against. Of a password that was
    // changed there is another hash, so no mark outlives it.
    uint8_t marks[SERVE_LOGIN_SLOTS][SERVE_LOGIN_MARK_SIZE];
    uint8_t mark_key[32];
} serve_auth;

tapeout_status tp_serve_auth_new(serve_access *access, serve_auth **ret_auth, tapeout_error *err);
void tp_serve_auth_free(serve_auth *auth); // accepts NULL

#endif
