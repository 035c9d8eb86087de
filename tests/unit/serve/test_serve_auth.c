// SPDX-License-Identifier: Apache-2.0
//
// Credentials of requests: which are taken and which are not, what a caller is told and what the
// log, keys that expire and are revoked (J5), passwords, a throttle for who guesses, limits.
#include "../trust/jwt_cases.h"
#include "access_cases.h"

#include "base/tp_clock.h"

#include <string.h>

static void test_credentials(void)
{
    access_case self;
    access_case_init(&self);
    const char *key = access_case_key(&self, &(access_key){.roles = "viewer"});
    access_case_install(&self);
    char headers[256];
    ASSERT_EQ_INT(access_case_ask(&self, "GET", "/v2/models", key), 200);
    (void)snprintf(headers, sizeof(headers), "x-api-key: %s\r\n", key);
    ASSERT_EQ_INT(access_case_send(&self, "GET", "/v2/models", headers), 200);
    (void)snprintf(headers, sizeof(headers), "Authorization: bearer   %s\r\n", key);
    ASSERT_EQ_INT(access_case_send(&self, "GET", "/v2/models", headers), 200);
    static const char *const wrong[] = {
        "authorization: %s\r\n",
        "authorization: Basic %s\r\n",
        "authorization: Token %s\r\n",
        "authorization: Bearer%s\r\n",
        "authorization: Bearer %s x\r\n",
        "x-api-key: Bearer %s\r\n",
        "x-api-key: x%s\r\n",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        (void)snprintf(headers, sizeof(headers), wrong[i], key);
        ASSERT_EQ_INT(access_case_send(&self, "GET", "/v2/models", headers), 401);
        ASSERT(serve_case_has(&self.serve, "the credentials are not valid"));
    }
    // Two are none: who sends them may be seen as either.
    (void)snprintf(headers, sizeof(headers), "authorization: Bearer %s\r\nx-api-key: %s\r\n", key,
                   key);
    ASSERT_EQ_INT(access_case_send(&self, "GET", "/v2/models", headers), 401);
    access_case_deinit(&self);
}

// Who has none is told what to do, in the words of the route's family.
static void test_bodies(void)
{
    access_case self;
    access_case_init(&self);
    ASSERT_EQ_INT(access_case_ask(&self, "GET", "/v2/models", NULL), 401);
    ASSERT(strncmp(self.serve.reply.data, "{\"error\":\"credentials are needed", 31) == 0);
    ASSERT(access_case_has_header(&self, "www-authenticate: Bearer realm=\"tapeout\"\r\n"));
    ASSERT_EQ_INT(access_case_ask(&self, "GET", "/v1/models", NULL), 401);
    ASSERT(serve_case_has(&self.serve, "\"type\":\"authentication_error\""));
    ASSERT(serve_case_has(&self.serve, "\"code\":\"invalid_api_key\""));
    ASSERT_EQ_INT(access_case_ask(&self, "POST", "/invocations", NULL), 401);
    ASSERT(serve_case_has(&self.serve, "{\"error_code\":\"UNAUTHENTICATED\""));
    ASSERT(access_case_has_header(&self, "www-authenticate: Basic realm=\"mlflow\"\r\n"));
    const char *key = access_case_key(&self, &(access_key){.roles = "viewer"});
    access_case_install(&self);
    ASSERT_EQ_INT(access_case_ask(&self, "POST", "/invocations", key), 403);
    ASSERT(serve_case_has(&self.serve, "{\"error_code\":\"PERMISSION_DENIED\""));
    ASSERT_EQ_INT(access_case_ask(&self, "POST", "/v1/completions", key), 403);
    ASSERT(serve_case_has(&self.serve, "\"type\":\"permission_error\""));
    ASSERT_EQ_INT(access_case_ask(&self, "POST", "/score", key), 403);
    ASSERT(serve_case_has(&self.serve, "the right \\\"score\\\""));
    access_case_deinit(&self);
}

// J5: an unknown prefix, a known one with another secret, and a key that was revoked are told
// alike; the log knows which.
static void test_keys_that_do_not_hold(void)
{
    access_case self;
    access_case_init(&self);
    const char *key = access_case_key(&self, &(access_key){.roles = "viewer"});
    const char *late = access_case_key(
        &self, &(access_key){.roles = "viewer", .expires_us = tp_clock_unix_us() - 1});
    const char *soon = access_case_key(
        &self, &(access_key){.roles = "viewer", .expires_us = tp_clock_unix_us() + 60000000});
    access_case_install(&self);
    char forged[TP_API_KEY_SIZE + 1];
    char first_reply[256];
    tp_api_key_make(forged);
    ASSERT_EQ_INT(access_case_ask(&self, "GET", "/v2/models", forged), 401);
    (void)snprintf(first_reply, sizeof(first_reply), "%s", self.serve.reply.data);
    memcpy(forged, key, 15);
    ASSERT_EQ_INT(access_case_ask(&self, "GET", "/v2/models", forged), 401);
    ASSERT_EQ_STR(self.serve.reply.data, first_reply);
    ASSERT_EQ_INT(access_case_ask(&self, "GET", "/v2/models", late), 401);
    ASSERT_EQ_STR(self.serve.reply.data, first_reply);
    ASSERT_EQ_INT(access_case_ask(&self, "GET", "/v2/models", soon), 200);
    ASSERT_EQ_INT(access_case_ask(&self, "GET", "/v2/models", key), 200);
    access_case_install(&self); // empty: all were revoked
    ASSERT_EQ_INT(access_case_ask(&self, "GET", "/v2/models", key), 401);
    ASSERT_EQ_STR(self.serve.reply.data, first_reply);
    access_case_deinit(&self);
}

static void test_passwords(void)
{
    access_case self;
    access_case_init(&self);
    access_case_user(&self, "ann", "correct horse", "viewer");
    access_case_install(&self);
    // ann:correct horse, ann:correct horsf, bob:correct horse, "ann" and ":" alone
    const char *right = "authorization: Basic YW5uOmNvcnJlY3QgaG9yc2U=\r\n";
    ASSERT_EQ_INT(access_case_send(&self, "GET", "/v2/models", right), 200);
    static const char *const wrong[] = {
        "YW5uOmNvcnJlY3QgaG9yc2Y=", "Ym9iOmNvcnJlY3QgaG9yc2U=",  "YW5u", "Og==", "",
        "YW5uOmNvcnJlY3QgaG9yc2U",  "YW5uOmNvcnJlY3QgaG9yc2U=x", "%%%%"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char headers[128];
        (void)snprintf(headers, sizeof(headers), "authorization: Basic %s\r\n", wrong[i]);
        ASSERT_EQ_INT(access_case_send(&self, "GET", "/v2/models", headers), 401);
    }
    // What was right once is not hashed again: it comes in while no password can be checked...
    atomic_uint *checked = &self.serve.state.access->password_count;
    atomic_store(checked, TP_SERVE_PASSWORDS);
    ASSERT_EQ_INT(access_case_send(&self, "GET", "/v2/models", right), 200);
    ASSERT_EQ_INT(access_case_send(&self, "GET", "/v2/models",
                                   "authorization: Basic YW5uOmNvcnJlY3QgaG9yc2Y=\r\n"),
                  429);
    atomic_store(checked, 0);
    // ...until the password is another.
    access_case_user(&self, "ann", "another horse", "viewer");
    access_case_install(&self);
    ASSERT_EQ_INT(access_case_send(&self, "GET", "/v2/models", right), 401);
    access_case_deinit(&self);
}

// An address that guesses waits; its right key works on, its passwords are not looked at.
static void test_throttle(void)
{
    access_case self;
    access_case_init(&self);
    const char *key = access_case_key(&self, &(access_key){.roles = "viewer"});
    access_case_user(&self, "ann", "correct horse", "viewer");
    access_case_install(&self);
    char forged[TP_API_KEY_SIZE + 1];
    tp_api_key_make(forged);
    for (uint32_t i = 0; i < TP_SERVE_FAILURES; i++) {
        ASSERT_EQ_INT(access_case_ask(&self, "GET", "/v2/models", forged), 401);
    }
    ASSERT_EQ_INT(access_case_ask(&self, "GET", "/v2/models", forged), 429);
    ASSERT(access_case_has_header(&self, "retry-after: "));
    ASSERT_EQ_INT(access_case_ask(&self, "GET", "/v2/models", key), 200);
    const char *right = "authorization: Basic YW5uOmNvcnJlY3QgaG9yc2U=\r\n";
    ASSERT_EQ_INT(access_case_send(&self, "GET", "/v2/models", right), 429);
    // Another address is another's.
    self.serve.exchange.peer[15] = 1;
    ASSERT_EQ_INT(access_case_send(&self, "GET", "/v2/models", right), 200);
    ASSERT_EQ_INT(access_case_ask(&self, "GET", "/v2/models", forged), 401);
    access_case_deinit(&self);
}

static void install_keys(access_case *self, const jwt_case_key *key)
{
    char text[1024];
    tp_jwks *jwks = NULL;
    (void)snprintf(text, sizeof(text), "{\"keys\":[%s]}", jwt_case_jwk(key, "k", ""));
    ASSERT_OK(
        tp_jwks_parse(self->serve.env.alloc, tp_str_from(text), TP_JWT_RS256, &jwks, &test_err));
    tp_serve_access_install_keys(self->serve.state.access, 0, jwks);
}

static void test_request_limits(void)
{
    access_case self;
    access_case_init(&self);
    const char *key = access_case_key(
        &self, &(access_key){.roles = "scorer", .limits = "requests=3/60,rows=5/60"});
    const char *free_key = access_case_key(&self, &(access_key){.roles = "scorer"});
    access_case_install(&self);
    ASSERT_EQ_INT(access_case_ask(&self, "GET", "/v1/models", key), 200);
    ASSERT(access_case_has_header(&self, "x-ratelimit-limit-requests: 3\r\n"));
    ASSERT(access_case_has_header(&self, "x-ratelimit-remaining-requests: 2\r\n"));
    ASSERT(access_case_has_header(&self, "x-ratelimit-reset-requests: 20.000s\r\n"));
    ASSERT_EQ_INT(access_case_ask(&self, "GET", "/v1/models", key), 200);
    ASSERT_EQ_INT(access_case_ask(&self, "GET", "/v1/models", key), 200);
    ASSERT_EQ_INT(access_case_ask(&self, "GET", "/v1/models", key), 429);
    ASSERT(serve_case_has(&self.serve, "\"type\":\"rate_limit_error\""));
    ASSERT(serve_case_has(&self.serve, "\"code\":\"rate_limit_exceeded\""));
    ASSERT(access_case_has_header(&self, "retry-after: 20\r\n"));
    ASSERT(access_case_has_header(&self, "x-ratelimit-remaining-requests: 0\r\n"));
    ASSERT_EQ_INT(access_case_ask(&self, "GET", "/v1/models", free_key), 200);
    ASSERT(!access_case_has_header(&self, "x-ratelimit"));
    access_case_deinit(&self);
}

static int score_rows(access_case *self, const char *key, int count)
{
    char body[512] = "{\"instances\":[";
    char headers[128];
    size_t size = strlen(body);
    for (int i = 0; i < count; i++) {
        size += (size_t)snprintf(body + size, sizeof(body) - size, i == 0 ? "{}" : ",{}");
    }
    (void)snprintf(body + size, sizeof(body) - size, "]}");
    (void)snprintf(headers, sizeof(headers), "authorization: Bearer %s\r\n", key);
    const serve_ask ask = {.path = "/v1/models/toy:predict", .headers = headers, .body = body};
    return serve_case_ask(&self->serve, &ask);
}

static void test_row_limits(void)
{
    access_case self;
    access_case_init(&self);
    const char *key =
        access_case_key(&self, &(access_key){.roles = "scorer", .limits = "rows=5/60"});
    access_case_install(&self);
    ASSERT_EQ_INT(score_rows(&self, key, 3), 200);
    ASSERT(access_case_has_header(&self, "x-ratelimit-remaining-rows: 2\r\n"));
    ASSERT_EQ_INT(score_rows(&self, key, 3), 429);
    ASSERT(access_case_has_header(&self, "retry-after: 12\r\n"));
    ASSERT_EQ_INT(score_rows(&self, key, 2), 200);
    ASSERT_EQ_INT(score_rows(&self, key, 6), 429);
    ASSERT(access_case_has_header(&self, "x-should-retry: false\r\n"));
    ASSERT(!access_case_has_header(&self, "retry-after"));
    access_case_deinit(&self);
}

// No key: nothing but probes; and a state that nobody set up lets nobody in.
static void test_closed_by_default(void)
{
    access_case self;
    access_case_init(&self);
    ASSERT_EQ_INT(access_case_ask(&self, "GET", "/livez", NULL), 200);
    serve_auth *auth = self.serve.exchange.auth;
    tp_principal *anonymous = self.serve.state.anonymous;
    self.serve.exchange.auth = NULL;
    self.serve.state.anonymous = NULL;
    ASSERT_EQ_INT(access_case_ask(&self, "GET", "/livez", NULL), 200);
    ASSERT_EQ_INT(access_case_ask(&self, "GET", "/v2/models", NULL), 401);
    self.serve.exchange.auth = auth;
    self.serve.state.anonymous = anonymous;
    access_case_deinit(&self);
}

// Tokens: who an issuer says it is, in the roles and the tenant that the configuration gives; a set
// of keys that is replaced ends those of the old one.
static void test_tokens(void)
{
    static const char claims[] =
        "{\"iss\":\"https://idp\",\"aud\":\"tapeout\",\"sub\":\"ann\",\"exp\":%lld,"
        "\"realm\":{\"roles\":%s},\"org\":%s}";
    static const struct {
        const char *roles;
        const char *tenant;
        const char *path;
        int status;
    } cases[] = {
        {"[\"other\",\"team\"]", "\"acme\"", "/v2/models/theirs", 200},
        {"\"team\"", "\"acme\"", "/v2/models/theirs", 200},
        {"[\"team\"]", "\"acme\"", "/v2/models/toy", 404},
        {"[\"team\"]", "\"default\"", "/v2/models/toy", 200},
        {"[\"team\"]", "\"../x\"", "/v2/models/toy", 401},
        {"[\"team\"]", "null", "/v2/models/toy", 401},
        {"[\"other\"]", "\"acme\"", "/v2/models/theirs", 401},
        {"[]", "\"acme\"", "/v2/models/theirs", 401},
        {"{\"team\":1}", "\"acme\"", "/v2/models/theirs", 401},
    };
    access_case self;
    jwt_case_key key;
    jwt_case_key other;
    access_case_init(&self);
    jwt_case_key_make(&key, TP_JWT_EDDSA);
    jwt_case_key_make(&other, TP_JWT_EDDSA);
    self.config.issuers[0] = (tp_issuer){.issuer = TP_STR("https://idp"),
                                         .audience = TP_STR("tapeout"),
                                         .algorithms = 1u << TP_JWT_EDDSA,
                                         .leeway_s = 30,
                                         .tenant_claim = TP_STR("org"),
                                         .roles_claim = TP_STR("realm.roles"),
                                         .roles = {{TP_STR("team"), TP_STR("viewer")}},
                                         .role_count = 1};
    self.config.issuer_count = 1;
    char headers[4096];
    char body[1024];
    const long long soon = tp_clock_unix_us() / 1000000 + 60;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (i == 0) {
            install_keys(&self, &key);
        }
        (void)snprintf(body, sizeof(body), claims, soon, cases[i].roles, cases[i].tenant);
        (void)snprintf(headers, sizeof(headers), "authorization: Bearer %s\r\n",
                       jwt_case_token(&key, "{\"alg\":\"EdDSA\",\"kid\":\"k\"}", body));
        ASSERT_EQ_INT(access_case_send(&self, "GET", cases[i].path, headers), cases[i].status);
        // Again: by what is remembered.
        ASSERT_EQ_INT(access_case_send(&self, "GET", cases[i].path, headers), cases[i].status);
        self.serve.exchange.peer[15]++; // another address, lest it be told to wait
    }
    (void)snprintf(body, sizeof(body), claims, soon, "[\"team\"]", "\"acme\"");
    (void)snprintf(headers, sizeof(headers), "authorization: Bearer %s\r\n",
                   jwt_case_token(&key, "{\"alg\":\"EdDSA\",\"kid\":\"k\"}", body));
    ASSERT_EQ_INT(access_case_send(&self, "GET", "/v2/models/theirs", headers), 200);
    install_keys(&self, &other);
    ASSERT_EQ_INT(access_case_send(&self, "GET", "/v2/models/theirs", headers), 401);
    jwt_case_key_free(&key);
    jwt_case_key_free(&other);
    access_case_deinit(&self);
}

TEST_MAIN(TEST(test_credentials), TEST(test_bodies), TEST(test_keys_that_do_not_hold),
          TEST(test_passwords), TEST(test_tokens), TEST(test_throttle), TEST(test_request_limits),
          TEST(test_row_limits), TEST(test_closed_by_default))
