// SPDX-License-Identifier: Apache-2.0
//
// Who asks, and whether they may. The credentials of a request are looked at on the loop's thread
// before its body is; what takes long, a password that was not seen before, is left for the thread
// that runs the handler. A caller is told only that the credentials are not valid: which part is
// wrong stands in the log.
//
// An address whose credentials are refused too often is told to wait, and its passwords are not
// even looked at meanwhile. Credentials that are right are never slowed by their neighbours'.
#include "serve/serve_access.h"

#include "base/limits.h"
#include "base/tp_clock.h"
#include "base/tp_error.h"
#include "trust/tp_base64.h"

#include <sodium.h>
#include <string.h>

enum { BASIC_SIZE = TP_MAX_IDENTITY_NAME_BYTES + 1 + TP_MAX_PASSWORD_BYTES };

// So many refusals at once, then as many in the interval.
static const tp_rate failure_rate = {TP_COUNT_REQUESTS, TP_SERVE_FAILURES, TP_SERVE_FAILURE_S};

// A user's name and password as a Basic header brought them.
typedef struct basic_login {
    char text[BASIC_SIZE];
    tp_str user;
    tp_str password;
} basic_login;

static serve_login refuse(serve_exchange *exchange, const char *why)
{
    exchange->login_why = why;
    return SERVE_LOGIN_REFUSED;
}

static serve_login know(serve_exchange *exchange, tp_principal *principal)
{
    if (principal->expires_us != 0 && principal->expires_us <= tp_clock_unix_us()) {
        return refuse(exchange, "expired");
    }
    exchange->principal = tp_principal_ref(principal);
    return SERVE_LOGIN_KNOWN;
}

// -- credentials ---------------------------------------------------------------------------------
static serve_login check_key(serve_exchange *exchange, tp_str key)
{
    static const uint8_t nobody[TP_CREDENTIAL_HASH_SIZE];
    const serve_auth *auth = exchange->auth;
    uint8_t hash[TP_CREDENTIAL_HASH_SIZE];
    tp_str prefix = {NULL, 0};
    if (!tp_api_key_split(key, &prefix)) {
        return refuse(exchange, "not an API key");
    }
    const tp_roster_entry *entry =
        auth->roster == NULL ? NULL : tp_roster_key(auth->roster, prefix);
    // Hashed and compared for an unknown prefix too: both take the same time.
    tp_api_key_hash(&auth->access->secret, key, hash);
    const bool is_right = tp_credential_equal(hash, entry == NULL ? nobody : entry->hash);
    if (entry == NULL || !is_right) {
        return refuse(exchange, entry == NULL ? "unknown or revoked key" : "wrong key");
    }
    return know(exchange, entry->principal);
}

// The user and password of "Basic <base64>"; both empty where it is none.
static bool read_basic(tp_str encoded, basic_login *login)
{
    size_t size = 0;
    if (!tp_base64_read(encoded, sodium_base64_VARIANT_ORIGINAL, (uint8_t *)login->text,
                        sizeof(login->text), &size)) {
        return false;
    }
    const char *colon = memchr(login->text, ':', size);
    if (colon == NULL) {
        return false;
    }
    login->user = (tp_str){login->text, (size_t)(colon - login->text)};
    login->password = (tp_str){colon + 1, size - login->user.size - 1};
    return true;
}

static void make_mark(const serve_auth *auth, const basic_login *login,
                      const tp_roster_entry *entry, uint8_t ret_mark[SERVE_LOGIN_MARK_SIZE])
{
    crypto_generichash_state state;
    // Sizes that it takes; the name ends at the colon, of which it has none.
    (void)crypto_generichash_init(&state, auth->mark_key, sizeof(auth->mark_key),
                                  SERVE_LOGIN_MARK_SIZE);
    (void)crypto_generichash_update(&state, (const uint8_t *)entry->password,
                                    sizeof(entry->password));
    (void)crypto_generichash_update(&state, (const uint8_t *)login->text,
                                    login->user.size + 1 + login->password.size);
    (void)crypto_generichash_final(&state, ret_mark, SERVE_LOGIN_MARK_SIZE);
}

static uint8_t *mark_place(serve_auth *auth, const uint8_t mark[SERVE_LOGIN_MARK_SIZE])
{
    return auth->marks[((uint32_t)mark[0] << 8 | mark[1]) % SERVE_LOGIN_SLOTS];
}

static serve_login check_basic(serve_exchange *exchange, tp_str encoded)
{
    serve_auth *auth = exchange->auth;
    uint8_t mark[SERVE_LOGIN_MARK_SIZE];
    basic_login login;
    if (!read_basic(encoded, &login)) {
        return refuse(exchange, "malformed Basic credentials");
    }
    const tp_roster_entry *entry =
        auth->roster == NULL ? NULL : tp_roster_user(auth->roster, login.user);
    serve_login outcome = SERVE_LOGIN_PENDING;
    if (entry != NULL) {
        make_mark(auth, &login, entry, mark);
        if (sodium_memcmp(mark, mark_place(auth, mark), sizeof(mark)) == 0) {
            outcome = know(exchange, entry->principal);
        }
    }
    sodium_memzero(&login, sizeof(login));
    if (outcome == SERVE_LOGIN_PENDING) {
        exchange->login_roster = auth->roster == NULL ? NULL : tp_roster_ref(auth->roster);
    }
    return outcome;
}

// -- tokens and certificates ---------------------------------------------------------------------
static const tp_issuer *find_issuer(const serve_auth *auth, tp_str name, uint32_t *ret_index)
{
    const serve_access_config *config = auth->access->config;
    for (uint32_t i = 0; i < config->issuer_count; i++) {
        if (tp_str_equal(config->issuers[i].issuer, name) && auth->jwks[i] != NULL) {
            *ret_index = i;
            return &config->issuers[i];
        }
    }
    return NULL;
}

static serve_login read_token(serve_exchange *exchange, tp_str token, serve_token *place)
{
    const serve_auth *auth = exchange->auth;
    const tapeout_allocator *alloc = auth->access->env->alloc;
    char name[TP_MAX_PRINCIPAL_ID_BYTES];
    uint32_t index = 0;
    const tp_issuer *issuer =
        find_issuer(auth, tp_jwt_issuer(alloc, token, name, sizeof(name)), &index);
    if (issuer == NULL) {
        return refuse(exchange, "token: no such issuer");
    }
    const tp_jwt_policy policy = {.jwks = auth->jwks[index],
                                  .issuer = issuer->issuer,
                                  .audience = issuer->audience,
                                  .algorithms = issuer->algorithms,
                                  .leeway_s = issuer->leeway_s,
                                  .now_s = tp_clock_unix_us() / 1000000};
    yyjson_doc *claims = NULL;
    int64_t expires_s = 0;
    tp_principal *principal = NULL;
    tapeout_error error = {0};
    tapeout_status status = tp_jwt_check(alloc, &policy, token, &claims, &expires_s, &error);
    if (status == TAPEOUT_OK) {
        status = tp_issuer_principal(issuer, alloc, yyjson_doc_get_root(claims), expires_s,
                                     &principal, &error);
    }
    yyjson_doc_free(claims);
    if (status == TAPEOUT_E_NOT_FOUND) {
        // Its issuer may have a newer set by now; who comes again with it is let in then.
        (void)atomic_fetch_or_explicit(&auth->access->jwks_wanted, 1u << index,
                                       memory_order_relaxed);
    }
    if (status != TAPEOUT_OK) {
        (void)snprintf(exchange->login_text, sizeof(exchange->login_text), "token: %.100s",
                       error.message);
        return refuse(exchange, exchange->login_text);
    }
    tp_principal_unref(place->principal);
    place->principal = principal;
    return know(exchange, principal);
}

// A token is checked once: until it expires, or keys change, its hash says who carries it.
static serve_login check_token(serve_exchange *exchange, tp_str token)
{
    serve_auth *auth = exchange->auth;
    uint8_t mark[SERVE_LOGIN_MARK_SIZE];
    if (!tp_jwt_is_token(token)) {
        return refuse(exchange, "neither an API key nor a token");
    }
    (void)crypto_generichash(mark, sizeof(mark), (const uint8_t *)token.data, token.size,
                             auth->mark_key, sizeof(auth->mark_key)); // sizes that it takes
    serve_token *place = &auth->tokens[((uint32_t)mark[0] << 8 | mark[1]) % SERVE_TOKEN_SLOTS];
    if (place->principal != NULL && place->generation == auth->generation &&
        sodium_memcmp(place->mark, mark, sizeof(mark)) == 0) {
        return know(exchange, place->principal);
    }
    const serve_login outcome = read_token(exchange, token, place);
    if (outcome == SERVE_LOGIN_KNOWN) {
        memcpy(place->mark, mark, sizeof(mark));
        place->generation = auth->generation;
    }
    return outcome;
}

// The client proved its name when the connection was made; here it is only looked up.
static serve_login check_certificate(serve_exchange *exchange)
{
    const serve_access *access = exchange->auth->access;
    const tp_str name = tp_str_from(exchange->request->peer_name);
    for (uint32_t i = 0; i < access->config->certificate_count; i++) {
        const serve_certificate *certificate = &access->config->certificates[i];
        if (!tp_str_equal(certificate->name, name)) {
            continue;
        }
        char id[TP_MAX_PRINCIPAL_ID_BYTES];
        const int size = snprintf(id, sizeof(id), "cert:%.*s", TP_STR_ARGS(name));
        const tp_principal_spec spec = {.id = {id, (size_t)size},
                                        .name = name,
                                        .tenant = certificate->tenant,
                                        .grants = certificate->roles,
                                        .rates = certificate->limits};
        const tapeout_status status =
            tp_principal_new(access->env->alloc, &spec, &exchange->principal, NULL);
        return status == TAPEOUT_OK ? SERVE_LOGIN_KNOWN : refuse(exchange, "out of memory");
    }
    return refuse(exchange, "no roles for this certificate's name");
}

// The text behind a scheme's name; {NULL, 0} where the value has another scheme.
static tp_str behind_scheme(tp_str value, tp_str scheme)
{
    if (value.size <= scheme.size || value.data[scheme.size] != ' ' ||
        !tp_str_equal_ignore_case((tp_str){value.data, scheme.size}, scheme)) {
        return (tp_str){NULL, 0};
    }
    return tp_str_trim((tp_str){value.data + scheme.size, value.size - scheme.size});
}

static serve_login check_credentials(serve_exchange *exchange)
{
    const tp_http_request *request = exchange->request;
    const tp_str value = tp_http_header_find(request, "authorization");
    const tp_str key = tp_http_header_find(request, "x-api-key");
    const uint32_t count =
        tp_http_header_count(request, "authorization") + tp_http_header_count(request, "x-api-key");
    if (count == 0) {
        return request->peer_name == NULL ? SERVE_LOGIN_NOBODY : check_certificate(exchange);
    }
    if (count > 1) {
        return refuse(exchange, "more than one header with credentials");
    }
    if (key.data != NULL) {
        return check_key(exchange, key);
    }
    const tp_str bearer = behind_scheme(value, TP_STR("bearer"));
    const tp_str basic = behind_scheme(value, TP_STR("basic"));
    if (bearer.data != NULL) {
        return tp_str_has_prefix(bearer, TP_STR("tpk_")) ? check_key(exchange, bearer)
                                                         : check_token(exchange, bearer);
    }
    return basic.data != NULL ? check_basic(exchange, basic)
                              : refuse(exchange, "unknown scheme of credentials");
}

// Takes what holds now, where it is another.
static void follow(serve_auth *auth)
{
    serve_access *access = auth->access;
    const uint64_t generation = atomic_load_explicit(&access->generation, memory_order_acquire);
    if (generation == auth->generation) {
        return;
    }
    (void)pthread_mutex_lock(&access->lock);
    tp_roster *old = auth->roster;
    auth->roster = access->roster == NULL ? NULL : tp_roster_ref(access->roster);
    for (uint32_t i = 0; i < TP_MAX_ISSUERS; i++) {
        tp_jwks_unref(auth->jwks[i]);
        auth->jwks[i] = access->jwks[i] == NULL ? NULL : tp_jwks_ref(access->jwks[i]);
    }
    auth->generation = generation;
    (void)pthread_mutex_unlock(&access->lock);
    tp_roster_unref(old);
}

void tp_serve_authenticate(serve_exchange *exchange)
{
    tp_principal *anonymous = exchange->state->anonymous;
    if (exchange->auth == NULL) {
        exchange->principal = anonymous == NULL ? NULL : tp_principal_ref(anonymous);
        exchange->login = anonymous == NULL ? SERVE_LOGIN_NOBODY : SERVE_LOGIN_KNOWN;
        return;
    }
    if (exchange->route == NULL || exchange->route->right == TP_RIGHT_PROBE) {
        exchange->login = SERVE_LOGIN_NOBODY;
        return;
    }
    follow(exchange->auth);
    exchange->login = check_credentials(exchange);
}

// -- admission -----------------------------------------------------------------------------------
static tapeout_status fail_too_many(serve_exchange *exchange, uint64_t retry_ns, const char *why,
                                    tapeout_error *err)
{
    exchange->retry_ns = retry_ns;
    tp_serve_fail_code(exchange, "rate_limit_exceeded");
    (void)tp_fail(err, TAPEOUT_E_BUSY, "%s", why);
    return tp_serve_fail_as(exchange, 429, TAPEOUT_E_BUSY);
}

// Whether the client's address may still try; what it has just failed at counts.
static tapeout_status check_failures(serve_exchange *exchange, bool has_failed, tapeout_error *err)
{
    tp_limiter *failures = exchange->auth->access->failures;
    const uint64_t who =
        tp_identity_number((tp_str){(const char *)exchange->peer, SERVE_PEER_SIZE});
    const tp_limit_ask ask = {who, &failure_rate, 1, TP_COUNT_REQUESTS, 1};
    tp_limit_state state;
    if (!tp_limiter_take(failures, &ask, tp_clock_monotonic_ns(), &state)) {
        return fail_too_many(exchange, state.retry_ns,
                             "too many refused credentials from this address; wait", err);
    }
    if (!has_failed) {
        tp_limiter_give(failures, &ask);
    }
    return TAPEOUT_OK;
}

static tapeout_status fail_login(serve_exchange *exchange, tapeout_error *err)
{
    tp_serve_fail_code(exchange, "invalid_api_key");
    if (exchange->login == SERVE_LOGIN_REFUSED) {
        TP_TRY(check_failures(exchange, true, err));
        (void)tp_fail(err, TAPEOUT_E_DENIED, "the credentials are not valid");
    } else {
        (void)tp_fail(err, TAPEOUT_E_DENIED,
                      "credentials are needed: send \"Authorization: Bearer tpk_...\" with an API "
                      "key (tapeout access key new)");
    }
    return tp_serve_fail_as(exchange, 401, TAPEOUT_E_DENIED);
}

// On any thread. Passwords are few at a time: each takes a core and 19 MiB.
static tapeout_status check_password(serve_exchange *exchange, tapeout_error *err)
{
    serve_access *access = exchange->auth->access;
    basic_login login;
    TP_TRY(check_failures(exchange, false, err));
    if (atomic_fetch_add(&access->password_count, 1) >= TP_SERVE_PASSWORDS) {
        atomic_fetch_sub(&access->password_count, 1);
        return fail_too_many(exchange, 0, "too many passwords to check; come again", err);
    }
    const tp_str value = tp_http_header_find(exchange->request, "authorization");
    const bool is_read = read_basic(behind_scheme(value, TP_STR("basic")), &login);
    const tp_roster_entry *entry = !is_read || exchange->login_roster == NULL
                                       ? NULL
                                       : tp_roster_user(exchange->login_roster, login.user);
    const bool is_right = tp_password_check(entry == NULL ? NULL : entry->password, login.password);
    exchange->login = !is_right
                          ? refuse(exchange, entry == NULL ? "unknown user" : "wrong password")
                          : know(exchange, entry->principal);
    exchange->login_is_new = is_right;
    if (is_right) {
        make_mark(exchange->auth, &login, entry, exchange->login_mark);
    }
    sodium_memzero(&login, sizeof(login));
    atomic_fetch_sub(&access->password_count, 1);
    return TAPEOUT_OK;
}

void tp_serve_auth_settle(serve_exchange *exchange)
{
    if (exchange->login_is_new) {
        memcpy(mark_place(exchange->auth, exchange->login_mark), exchange->login_mark,
               SERVE_LOGIN_MARK_SIZE);
        exchange->login_is_new = false;
    }
}

void tp_serve_auth_clear(serve_exchange *exchange)
{
    tp_principal_unref(exchange->principal);
    tp_roster_unref(exchange->login_roster);
    exchange->principal = NULL;
    exchange->login_roster = NULL;
    exchange->login = SERVE_LOGIN_NOBODY;
    exchange->login_why = NULL;
    exchange->login_is_new = false;
}

tapeout_status tp_serve_admit(serve_exchange *exchange, tapeout_error *err)
{
    const tp_right right = exchange->route->right;
    if (right == TP_RIGHT_PROBE) {
        return TAPEOUT_OK;
    }
    if (exchange->login == SERVE_LOGIN_PENDING) {
        TP_TRY(check_password(exchange, err));
    }
    if (exchange->login != SERVE_LOGIN_KNOWN) {
        return fail_login(exchange, err);
    }
    if (!tp_principal_may_some(exchange->principal, right)) {
        return tp_fail(err, TAPEOUT_E_DENIED, "this needs the right \"%s\", which %.*s has not",
                       tp_right_name(right), TP_STR_ARGS(exchange->principal->name));
    }
    return tp_serve_charge(exchange, TP_COUNT_REQUESTS, 1, err);
}

// -- for handlers --------------------------------------------------------------------------------
tp_str tp_serve_tenant(const serve_exchange *exchange)
{
    return exchange->principal == NULL ? TP_STR(TP_TENANT_OPERATOR) : exchange->principal->tenant;
}

tapeout_status tp_serve_require(const serve_exchange *exchange, tp_right right, tp_str model,
                                tapeout_error *err)
{
    const tp_principal *principal = exchange->principal;
    const tp_str tenant = tp_serve_tenant(exchange);
    if (tp_principal_may(principal, right, tenant, model)) {
        return TAPEOUT_OK;
    }
    if (model.size > 0 && !tp_principal_may(principal, TP_RIGHT_READ, tenant, model)) {
        return tp_fail(err, TAPEOUT_E_NOT_FOUND, "no model \"%.*s\" is served", TP_STR_ARGS(model));
    }
    return tp_fail(err, TAPEOUT_E_DENIED, "this needs the right \"%s\" for %s%.*s",
                   tp_right_name(right), model.size > 0 ? "model " : "all models",
                   TP_STR_ARGS(model));
}
