// SPDX-License-Identifier: Apache-2.0
//
// Callers for tests: see access_cases.h.
#include "access_cases.h"

#include <sodium.h>
#include <string.h>

static void begin_roster(access_case *self)
{
    ASSERT_OK(tp_roster_new(self->serve.env.alloc, &self->roster, &test_err));
}

void access_case_init(access_case *self)
{
    memset(self, 0, sizeof(*self));
    serve_case_init(&self->serve, SERVE_CASE_BINARY);
    ASSERT_OK(tp_credentials_begin(&test_err));
    memset(&self->secret, 7, sizeof(self->secret));
    const char *bundle = serve_case_bundle(SERVE_CASE_BINARY, 1);
    const tp_model_spec specs[] = {
        {.path = bundle},
        {.path = bundle, .name = TP_STR("theirs"), .tenant = TP_STR("acme")},
    };
    ASSERT_OK(tp_engine_install(self->serve.state.engine, specs, 2, NULL, &test_err));
    ASSERT_OK(tp_serve_access_new(&self->serve.env, &self->secret, &self->config,
                                  &self->serve.state.access, &test_err));
    ASSERT_OK(tp_serve_auth_new(self->serve.state.access, &self->serve.exchange.auth, &test_err));
    begin_roster(self);
}

void access_case_deinit(access_case *self)
{
    tp_serve_exchange_clear(&self->serve.exchange);
    tp_serve_auth_free(self->serve.exchange.auth);
    tp_serve_access_free(self->serve.state.access);
    tp_roster_unref(self->roster);
    serve_case_deinit(&self->serve);
}

const char *access_case_key(access_case *self, const access_key *key)
{
    uint8_t hash[TP_CREDENTIAL_HASH_SIZE];
    char hex[2 * TP_CREDENTIAL_HASH_SIZE + 1];
    char *text = self->keys[self->key_count++];
    tp_str prefix;
    ASSERT(self->key_count <= ACCESS_CASE_KEYS);
    tp_api_key_make(text);
    tp_api_key_hash(&self->secret, tp_str_from(text), hash);
    (void)sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
    ASSERT(tp_api_key_split(tp_str_from(text), &prefix));
    const tp_roster_row row = {.handle = prefix,
                               .verifier = tp_str_from(hex),
                               .spec = {.name = prefix,
                                        .tenant = tp_str_from(key->tenant),
                                        .grants = tp_str_from(key->roles),
                                        .rates = tp_str_from(key->limits),
                                        .expires_us = key->expires_us}};
    ASSERT_OK(tp_roster_add(self->roster, &row, &test_err));
    return text;
}

void access_case_user(access_case *self, const char *name, const char *password, const char *roles)
{
    char hash[TP_PASSWORD_HASH_TEXT_SIZE];
    ASSERT_OK(tp_password_hash(tp_str_from(password), hash, &test_err));
    const tp_roster_row row = {.is_user = true,
                               .handle = tp_str_from(name),
                               .verifier = tp_str_from(hash),
                               .spec = {.name = tp_str_from(name), .grants = tp_str_from(roles)}};
    ASSERT_OK(tp_roster_add(self->roster, &row, &test_err));
}

void access_case_install(access_case *self)
{
    tp_serve_access_install(self->serve.state.access, self->roster);
    begin_roster(self);
}

int access_case_send(access_case *self, const char *method, const char *path, const char *headers)
{
    const serve_ask ask = {.method = method,
                           .path = path,
                           .headers = headers,
                           .body = strcmp(method, "GET") == 0 ? NULL : "{}"};
    return serve_case_ask(&self->serve, &ask);
}

int access_case_ask(access_case *self, const char *method, const char *path, const char *key)
{
    char headers[128] = "";
    if (key != NULL) {
        (void)snprintf(headers, sizeof(headers), "authorization: Bearer %s\r\n", key);
    }
    return access_case_send(self, method, path, headers);
}

bool access_case_has_header(const access_case *self, const char *part)
{
    return strstr(self->serve.headers.data, part) != NULL;
}
