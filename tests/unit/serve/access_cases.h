// SPDX-License-Identifier: Apache-2.0
//
// Callers for tests: API keys that were never stored, and a roster of them beside a served model.
#ifndef ACCESS_CASES_H
#define ACCESS_CASES_H

#include "serve/serve_access.h"
#include "serve_cases.h"

enum { ACCESS_CASE_KEYS = 64 };

typedef struct access_case {
    serve_case serve;
    tp_server_secret secret;
    serve_access_config config;
    tp_roster *roster; // that is being filled
    char keys[ACCESS_CASE_KEYS][TP_API_KEY_SIZE + 1];
    uint32_t key_count;
} access_case;

typedef struct access_key {
    const char *tenant; // NULL: the operator's
    const char *roles;
    const char *limits; // NULL: none
    int64_t expires_us;
} access_key;

// With a model "toy" of the operator's and the same as "theirs" of tenant acme.
void access_case_init(access_case *self);
void access_case_deinit(access_case *self);
// A key of the roster that comes next, until the case ends.
const char *access_case_key(access_case *self, const access_key *key);
void access_case_user(access_case *self, const char *name, const char *password, const char *roles);
// The roster from now on; the next begins empty.
void access_case_install(access_case *self);
// The status of a request with that key (NULL: none).
int access_case_ask(access_case *self, const char *method, const char *path, const char *key);
// The same with whole header lines.
int access_case_send(access_case *self, const char *method, const char *path, const char *headers);
bool access_case_has_header(const access_case *self, const char *part);

#endif
