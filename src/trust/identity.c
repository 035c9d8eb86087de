// SPDX-License-Identifier: Apache-2.0
//
// Roles, rights and the decision. The table of roles is the whole of what a role is: each line says
// what it has, nothing is inherited in code. Grants and rates come as text (from the command line,
// the registry, a configuration) and are parsed strictly once, when the principal is made; a
// decision only compares.
#include "trust/tp_identity.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "trust/identity_priv.h"
#include "trust/tp_credential.h"

#include <pthread.h>
#include <sodium.h>
#include <string.h>

#define BIT(right) (1u << TP_RIGHT_##right)

// An approver does not publish and a publisher does not approve: what runs has passed two people.
static const struct {
    const char *name;
    uint32_t rights;
} roles[TP_ROLE_COUNT] = {
    [TP_ROLE_VIEWER] = {"viewer", BIT(READ) | BIT(WATCH)},
    [TP_ROLE_SCORER] = {"scorer", BIT(READ) | BIT(SCORE)},
    [TP_ROLE_PUBLISHER] = {"publisher", BIT(READ) | BIT(SCORE) | BIT(PUBLISH)},
    [TP_ROLE_APPROVER] = {"approver", BIT(READ) | BIT(APPROVE) | BIT(ROLLBACK)},
    [TP_ROLE_ADMIN] = {"admin", BIT(READ) | BIT(SCORE) | BIT(PUBLISH) | BIT(APPROVE) |
                                    BIT(ROLLBACK) | BIT(ADMIN) | BIT(WATCH)},
};

static const char *const countables[TP_COUNTABLE_COUNT] = {"requests", "rows", "tokens"};

const char *tp_role_name(tp_role role)
{
    return role < TP_ROLE_COUNT ? roles[role].name : "none";
}

const char *tp_right_name(tp_right right)
{
    static const char *const names[TP_RIGHT_COUNT] = {
        "none", "probe", "read", "score", "publish", "approve", "rollback", "admin", "watch"};
    return right < TP_RIGHT_COUNT ? names[right] : names[0];
}

const char *tp_countable_name(tp_countable countable)
{
    return countable < TP_COUNTABLE_COUNT ? countables[countable] : "none";
}

bool tp_role_from_name(tp_str name, tp_role *ret_role)
{
    for (int i = 0; i < TP_ROLE_COUNT; i++) {
        if (tp_str_equal(name, tp_str_from(roles[i].name))) {
            *ret_role = (tp_role)i;
            return true;
        }
    }
    return false;
}

bool tp_role_has(tp_role role, tp_right right)
{
    return role < TP_ROLE_COUNT && (roles[role].rights >> right & 1) != 0;
}

bool tp_principal_may(const tp_principal *principal, tp_right right, tp_str tenant, tp_str model)
{
    if (right == TP_RIGHT_PROBE) {
        return true;
    }
    if (principal == NULL || !tp_str_equal(principal->tenant, tenant)) {
        return false;
    }
    for (uint32_t i = 0; i < principal->grant_count; i++) {
        const tp_grant *grant = &principal->grants[i];
        if (tp_role_has(grant->role, right) &&
            (grant->model.size == 0 || tp_str_equal(grant->model, model))) {
            return true;
        }
    }
    return false;
}

bool tp_principal_may_some(const tp_principal *principal, tp_right right)
{
    // The server as a whole is nobody's model.
    if (right == TP_RIGHT_WATCH) {
        return tp_principal_may(principal, right, TP_STR(TP_TENANT_OPERATOR), (tp_str){NULL, 0});
    }
    bool may = right == TP_RIGHT_PROBE;
    for (uint32_t i = 0; principal != NULL && !may && i < principal->grant_count; i++) {
        may = tp_role_has(principal->grants[i].role, right);
    }
    return may;
}

// -- texts ---------------------------------------------------------------------------------------
bool tp_identity_name_is_valid(tp_str name)
{
    if (name.size == 0 || name.size > TP_MAX_IDENTITY_NAME_BYTES) {
        return false;
    }
    for (size_t i = 0; i < name.size; i++) {
        const char c = name.data[i];
        const bool is_word =
            (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!is_word && (i == 0 || (c != '.' && c != '_' && c != '-' && c != '@'))) {
            return false;
        }
    }
    return true;
}

// Cuts the text before the first `mark` off `rest`; false once nothing is left.
static bool next_item(tp_str *rest, char mark, tp_str *ret_item)
{
    if (rest->data == NULL) {
        return false;
    }
    const char *end = rest->size == 0 ? NULL : memchr(rest->data, mark, rest->size);
    *ret_item = (tp_str){rest->data, end == NULL ? rest->size : (size_t)(end - rest->data)};
    *rest = end == NULL ? (tp_str){NULL, 0} : (tp_str){end + 1, rest->size - ret_item->size - 1};
    return true;
}

tapeout_status tp_grants_parse(tp_str text, tp_grant *ret_grants, uint32_t *ret_count,
                               tapeout_error *err)
{
    tp_str rest = text;
    tp_str item;
    *ret_count = 0;
    while (next_item(&rest, ',', &item)) {
        if (*ret_count == TP_MAX_GRANTS) {
            return tp_fail(err, TAPEOUT_E_LIMIT, "more than %u roles for one identity",
                           TP_MAX_GRANTS);
        }
        tp_grant *grant = &ret_grants[*ret_count];
        tp_str name = {NULL, 0};
        grant->model = item;
        (void)next_item(&grant->model, ':', &name); // an item always has a first part
        if (!tp_role_from_name(name, &grant->role)) {
            return tp_fail(err, TAPEOUT_E_INVALID,
                           "role \"%.*s\": viewer, scorer, publisher, approver or admin was "
                           "expected, alone or as ROLE:MODEL",
                           TP_STR_ARGS(name));
        }
        if (grant->model.data != NULL && !tp_identity_name_is_valid(grant->model)) {
            return tp_fail(err, TAPEOUT_E_INVALID, "role \"%.*s\": \"%.*s\" is no name of a model",
                           TP_STR_ARGS(item), TP_STR_ARGS(grant->model));
        }
        (*ret_count)++;
    }
    return *ret_count > 0 ? TAPEOUT_OK
                          : tp_fail(err, TAPEOUT_E_INVALID, "an identity needs a role");
}

tapeout_status tp_rates_parse(tp_str text, tp_rate *ret_rates, uint32_t *ret_count,
                              tapeout_error *err)
{
    tp_str rest = text.size == 0 ? (tp_str){NULL, 0} : text;
    tp_str item;
    *ret_count = 0;
    while (next_item(&rest, ',', &item)) {
        if (*ret_count == TP_MAX_RATES) {
            return tp_fail(err, TAPEOUT_E_LIMIT, "more than %u limits for one identity",
                           TP_MAX_RATES);
        }
        tp_rate *rate = &ret_rates[*ret_count];
        tp_str seconds_text = item;
        tp_str name = {NULL, 0};
        tp_str count_text = {NULL, 0};
        uint64_t seconds = 0;
        (void)next_item(&seconds_text, '=', &name); // what is absent is no number below
        (void)next_item(&seconds_text, '/', &count_text);
        uint32_t kind = 0;
        while (kind < TP_COUNTABLE_COUNT && !tp_str_equal(name, tp_str_from(countables[kind]))) {
            kind++;
        }
        if (kind == TP_COUNTABLE_COUNT || !tp_str_to_uint64(count_text, &rate->count) ||
            !tp_str_to_uint64(seconds_text, &seconds) || rate->count == 0 ||
            rate->count > TP_MAX_RATE_COUNT || seconds == 0 || seconds > TP_MAX_RATE_SECONDS) {
            return tp_fail(err, TAPEOUT_E_INVALID,
                           "limit \"%.*s\": requests, rows or tokens in seconds were expected, "
                           "such as requests=600/60",
                           TP_STR_ARGS(item));
        }
        rate->countable = (tp_countable)kind;
        rate->seconds = (uint32_t)seconds;
        (*ret_count)++;
    }
    return TAPEOUT_OK;
}

// -- principals ----------------------------------------------------------------------------------
static pthread_once_t number_once = PTHREAD_ONCE_INIT;
static uint8_t number_key[crypto_shorthash_KEYBYTES];

static void make_number_key(void)
{
    if (tp_credentials_begin(NULL) != TAPEOUT_OK) {
        return; // Linux always has random bytes; numbers would be those of another key
    }
    randombytes_buf(number_key, sizeof(number_key));
}

uint64_t tp_identity_number(tp_str text)
{
    uint8_t hash[crypto_shorthash_BYTES];
    uint64_t number = 0;
    (void)pthread_once(&number_once, make_number_key);
    (void)crypto_shorthash(hash, (const uint8_t *)text.data, text.size, number_key);
    memcpy(&number, hash, sizeof(number));
    return number;
}

static tp_str place_text(char **at, tp_str text)
{
    const tp_str placed = {*at, text.size};
    if (text.size > 0) {
        memcpy(*at, text.data, text.size);
    }
    *at += text.size;
    return placed;
}

tapeout_status tp_principal_new(const tapeout_allocator *alloc, const tp_principal_spec *spec,
                                tp_principal **ret_principal, tapeout_error *err)
{
    const tp_str tenant = spec->tenant.size == 0 ? TP_STR(TP_TENANT_OPERATOR) : spec->tenant;
    tp_principal fields = {.alloc = alloc, .expires_us = spec->expires_us};
    if (!tp_identity_name_is_valid(tenant)) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "tenant \"%.*s\": letters, digits and ._@- were expected, at most %u",
                       TP_STR_ARGS(tenant), TP_MAX_IDENTITY_NAME_BYTES);
    }
    const size_t longest = spec->id.size > spec->name.size ? spec->id.size : spec->name.size;
    if (longest > TP_MAX_PRINCIPAL_ID_BYTES) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "an identity's name of %zu bytes, at most %u", longest,
                       TP_MAX_PRINCIPAL_ID_BYTES);
    }
    TP_TRY(tp_grants_parse(spec->grants, fields.grants, &fields.grant_count, err));
    TP_TRY(tp_rates_parse(spec->rates, fields.rates, &fields.rate_count, err));
    const size_t size =
        sizeof(tp_principal) + spec->id.size + spec->name.size + tenant.size + spec->grants.size;
    tp_principal *principal = tp_alloc(alloc, size);
    if (principal == NULL) {
        return tp_fail_nomem(err);
    }
    char *at = (char *)(principal + 1);
    fields.size_bytes = size;
    fields.id = place_text(&at, spec->id);
    fields.name = place_text(&at, spec->name);
    fields.tenant = place_text(&at, tenant);
    const tp_str grants = place_text(&at, spec->grants);
    for (uint32_t i = 0; i < fields.grant_count; i++) {
        if (fields.grants[i].model.size > 0) {
            fields.grants[i].model.data =
                grants.data + (fields.grants[i].model.data - spec->grants.data);
        }
    }
    fields.number = tp_identity_number(spec->account.size > 0 ? spec->account : spec->id);
    fields.tenant_number =
        tp_str_equal(tenant, TP_STR(TP_TENANT_OPERATOR)) ? 0 : tp_identity_number(tenant);
    memcpy(principal, &fields, sizeof(fields));
    atomic_init(&principal->ref_count, 1);
    *ret_principal = principal;
    return TAPEOUT_OK;
}

tp_principal *tp_principal_ref(tp_principal *principal)
{
    // Whoever has one reference may make another; nothing is read through it before.
    atomic_fetch_add_explicit(&principal->ref_count, 1, memory_order_relaxed);
    return principal;
}

void tp_principal_unref(tp_principal *principal)
{
    // Release and acquire: whoever frees it has seen the others' last use.
    if (principal != NULL &&
        atomic_fetch_sub_explicit(&principal->ref_count, 1, memory_order_acq_rel) == 1) {
        tp_free(principal->alloc, principal, principal->size_bytes);
    }
}
