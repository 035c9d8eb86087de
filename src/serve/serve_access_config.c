// SPDX-License-Identifier: Apache-2.0
//
// `access:` of the configuration. Roles and limits are parsed here once, so that a mistake is told
// at the start and with its place, not when somebody comes.
#include "serve/serve_access_config.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_curl.h"
#include "base/tp_error.h"
#include "base/tp_file.h"

#include <string.h>

enum { DAY_S = 86400, HOUR_S = 3600 };

typedef struct config_access {
    tp_yaml_node issuers;
    tp_yaml_node certificates;
} config_access;

typedef struct config_issuer {
    tp_str issuer;
    tp_str audience;
    tp_str jwks;
    tp_str jwks_ca;
    uint32_t jwks_refresh_s;
    uint32_t jwks_interval_s;
    uint32_t jwks_stale_s;
    tp_yaml_strings jwks_networks;
    tp_yaml_strings algorithms;
    uint32_t leeway_s;
    tp_str tenant;
    tp_str tenant_claim;
    tp_str roles_claim;
    tp_str limits;
    tp_yaml_node roles;
} config_issuer;

#define ISSUER(field) offsetof(config_issuer, field)
#define CERTIFICATE(field) offsetof(serve_certificate, field)
#define TABLE_OF(keys)                                                                             \
    {                                                                                              \
        keys, sizeof(keys) / sizeof((keys)[0])                                                     \
    }

static const tp_yaml_key access_keys[] = {
    {"issuers", TP_YAML_NODE, offsetof(config_access, issuers), 0, 0, NULL},
    {"certificates", TP_YAML_NODE, offsetof(config_access, certificates), 0, 0, NULL},
};
static const tp_yaml_table access_table = TABLE_OF(access_keys);

static const tp_yaml_key issuer_keys[] = {
    {"issuer", TP_YAML_STR, ISSUER(issuer), 0, 0, NULL},
    {"audience", TP_YAML_STR, ISSUER(audience), 0, 0, NULL},
    {"jwks", TP_YAML_STR, ISSUER(jwks), 0, 0, NULL},
    {"jwks_ca", TP_YAML_STR, ISSUER(jwks_ca), 0, 0, NULL},
    {"jwks_refresh", TP_YAML_U32, ISSUER(jwks_refresh_s), 1, DAY_S, NULL},
    {"jwks_interval", TP_YAML_U32, ISSUER(jwks_interval_s), 1, DAY_S, NULL},
    {"jwks_stale", TP_YAML_U32, ISSUER(jwks_stale_s), 1, 7 * DAY_S, NULL},
    {"jwks_networks", TP_YAML_STR_LIST, ISSUER(jwks_networks), 0, 0, NULL},
    {"algorithms", TP_YAML_STR_LIST, ISSUER(algorithms), 0, 0, NULL},
    {"leeway", TP_YAML_U32, ISSUER(leeway_s), 0, TP_MAX_JWT_LEEWAY_S, NULL},
    {"tenant", TP_YAML_STR, ISSUER(tenant), 0, 0, NULL},
    {"tenant_claim", TP_YAML_STR, ISSUER(tenant_claim), 0, 0, NULL},
    {"roles_claim", TP_YAML_STR, ISSUER(roles_claim), 0, 0, NULL},
    {"limits", TP_YAML_STR, ISSUER(limits), 0, 0, NULL},
    {"roles", TP_YAML_NODE, ISSUER(roles), 0, 0, NULL},
};
static const tp_yaml_table issuer_table = TABLE_OF(issuer_keys);

static const tp_yaml_key certificate_keys[] = {
    {"name", TP_YAML_STR, CERTIFICATE(name), 0, 0, NULL},
    {"tenant", TP_YAML_STR, CERTIFICATE(tenant), 0, 0, NULL},
    {"roles", TP_YAML_STR, CERTIFICATE(roles), 0, 0, NULL},
    {"limits", TP_YAML_STR, CERTIFICATE(limits), 0, 0, NULL},
};
static const tp_yaml_table certificate_table = TABLE_OF(certificate_keys);

// What a principal would be made of, made once to see that it can be.
static tapeout_status check_grants(tp_arena *arena, const tp_yaml *yaml, tp_yaml_node node,
                                   const tp_principal_spec *spec, tapeout_error *err)
{
    tp_principal *principal = NULL;
    tapeout_error why = {0};
    const tapeout_status status = tp_principal_new(arena->alloc, spec, &principal, &why);
    tp_principal_unref(principal);
    return status == TAPEOUT_OK        ? TAPEOUT_OK
           : status == TAPEOUT_E_NOMEM ? tp_fail_nomem(err)
                                       : tp_yaml_fail(yaml, node, err, "%s", why.message);
}

// -- issuers -------------------------------------------------------------------------------------
static tapeout_status bind_algorithms(tp_issuer *issuer, const tp_yaml *yaml, tp_yaml_node node,
                                      const tp_yaml_strings *names, tapeout_error *err)
{
    for (size_t i = 0; i < names->count; i++) {
        tp_jwt_algorithm algorithm = TP_JWT_RS256;
        if (!tp_jwt_algorithm_from_name(names->items[i], &algorithm)) {
            return tp_yaml_fail(yaml, node, err,
                                "algorithms are RS256, PS256, ES256 and EdDSA, not \"%.*s\"",
                                TP_STR_ARGS(names->items[i]));
        }
        issuer->algorithms |= 1u << algorithm;
    }
    issuer->algorithms = names->count == 0 ? 1u << TP_JWT_RS256 : issuer->algorithms;
    const bool has_rs256 = (issuer->algorithms >> TP_JWT_RS256 & 1) != 0;
    issuer->rsa = has_rs256 ? TP_JWT_RS256 : TP_JWT_PS256;
    return TAPEOUT_OK;
}

static tapeout_status bind_roles(tp_issuer *issuer, tp_arena *arena, const tp_yaml *yaml,
                                 tp_yaml_node roles, tapeout_error *err)
{
    const size_t count = tp_yaml_is_mapping(yaml, roles) ? tp_yaml_count(yaml, roles) : 0;
    if (count == 0 || count > TP_MAX_ISSUER_ROLES) {
        return tp_yaml_fail(yaml, roles, err,
                            "roles: 1 to %u lines VALUE: ROLES were expected, such as "
                            "ml-team: viewer,scorer",
                            TP_MAX_ISSUER_ROLES);
    }
    for (size_t i = 0; i < count; i++) {
        const tp_yaml_node value = tp_yaml_pair_value(yaml, roles, i);
        tp_issuer_role *role = &issuer->roles[i];
        role->value = tp_arena_str(arena, tp_yaml_text(yaml, tp_yaml_pair_key(yaml, roles, i)));
        role->grants = tp_arena_str(arena, tp_yaml_text(yaml, value));
        TP_TRY(tp_arena_check(arena, "roles", err));
        const tp_principal_spec spec = {
            .tenant = issuer->tenant, .grants = role->grants, .rates = issuer->limits};
        TP_TRY(check_grants(arena, yaml, value, &spec, err));
    }
    issuer->role_count = (uint32_t)count;
    return TAPEOUT_OK;
}

// A path in the file is relative to the file, as in every spec of the project.
static tapeout_status path_of(tp_arena *arena, const char *file, tp_str name, const char **ret_path,
                              tapeout_error *err)
{
    char *directory = tp_path_directory(arena->alloc, file);
    const tp_str terminated = tp_arena_str(arena, name);
    char *joined = directory == NULL || terminated.data == NULL
                       ? NULL
                       : tp_path_join(arena->alloc, directory, terminated.data);
    if (joined != NULL) {
        *ret_path = tp_arena_str(arena, tp_str_from(joined)).data;
        tp_free(arena->alloc, joined, strlen(joined) + 1);
    }
    if (directory != NULL) {
        tp_free(arena->alloc, directory, strlen(directory) + 1);
    }
    return *ret_path == NULL ? tp_fail_nomem(err) : TAPEOUT_OK;
}

// -- key sets that are fetched -------------------------------------------------------------------
static tapeout_status keep_networks(tp_issuer_url *url, const tp_yaml_strings *names,
                                    tapeout_error *err)
{
    if (names->count > TP_ISSUER_NETWORKS) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "jwks_networks: %zu, at most %d", names->count,
                       TP_ISSUER_NETWORKS);
    }
    for (size_t i = 0; i < names->count; i++) {
        if (!tp_net_parse(names->items[i], &url->networks[url->network_count++])) {
            return tp_fail(err, TAPEOUT_E_INVALID,
                           "jwks_networks: \"%.*s\" is neither an address nor a network such as "
                           "10.0.0.0/8",
                           TP_STR_ARGS(names->items[i]));
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status keep_url(tp_issuer_url *url, tp_arena *arena, const config_issuer *said,
                               const char *file, tapeout_error *err)
{
    url->url = tp_arena_str(arena, said->jwks).data;
    url->refresh_s = said->jwks_refresh_s;
    url->interval_s = said->jwks_interval_s;
    url->stale_s = said->jwks_stale_s;
    if (url->url == NULL) {
        return tp_fail_nomem(err);
    }
    TP_TRY(tp_curl_url_check(url->url, "jwks", err));
    TP_TRY(keep_networks(url, &said->jwks_networks, err));
    return said->jwks_ca.size == 0 ? TAPEOUT_OK
                                   : path_of(arena, file, said->jwks_ca, &url->ca_file, err);
}

static tapeout_status keep_issuer(tp_issuer *issuer, tp_arena *arena, const config_issuer *said,
                                  const char *file, tapeout_error *err)
{
    issuer->issuer = tp_arena_str(arena, said->issuer);
    issuer->audience = tp_arena_str(arena, said->audience);
    issuer->leeway_s = said->leeway_s;
    issuer->tenant = tp_arena_str(arena, said->tenant);
    issuer->tenant_claim = tp_arena_str(arena, said->tenant_claim);
    issuer->roles_claim = tp_arena_str(arena, said->roles_claim);
    issuer->limits = tp_arena_str(arena, said->limits);
    TP_TRY(tp_arena_check(arena, "issuer", err));
    return tp_str_contains(said->jwks, TP_STR("://"))
               ? keep_url(&issuer->jwks_url, arena, said, file, err)
               : path_of(arena, file, said->jwks, &issuer->jwks_path, err);
}

static tapeout_status bind_issuer(tp_issuer *issuer, tp_arena *arena, tp_yaml *yaml,
                                  tp_yaml_node node, const char *file, tapeout_error *err)
{
    config_issuer said = {.leeway_s = 30,
                          .roles_claim = TP_STR("roles"),
                          .jwks_refresh_s = HOUR_S,
                          .jwks_interval_s = 30,
                          .jwks_stale_s = DAY_S};
    tapeout_error why = {0};
    TP_TRY(tp_yaml_bind(yaml, node, &issuer_table, &said, err));
    if (said.issuer.size == 0 || said.audience.size == 0 || said.jwks.size == 0 ||
        said.roles == 0) {
        return tp_yaml_fail(yaml, node, err,
                            "an issuer needs issuer, audience, jwks (a file or a URL) and roles");
    }
    if (said.tenant.size > 0 && said.tenant_claim.size > 0) {
        return tp_yaml_fail(yaml, node, err, "either tenant or tenant_claim, not both");
    }
    const tapeout_status kept = keep_issuer(issuer, arena, &said, file, &why);
    if (kept != TAPEOUT_OK) {
        return kept == TAPEOUT_E_NOMEM ? tp_fail_nomem(err)
                                       : tp_yaml_fail(yaml, node, err, "%s", why.message);
    }
    TP_TRY(bind_algorithms(issuer, yaml, node, &said.algorithms, err));
    return bind_roles(issuer, arena, yaml, said.roles, err);
}

static bool is_known(const serve_access_config *config, tp_str name)
{
    for (uint32_t i = 0; i < config->issuer_count; i++) {
        if (tp_str_equal(config->issuers[i].issuer, name)) {
            return true;
        }
    }
    return false;
}

static tapeout_status bind_issuers(serve_access_config *config, tp_arena *arena, tp_yaml *yaml,
                                   tp_yaml_node list, const char *file, tapeout_error *err)
{
    if (!tp_yaml_is_list(yaml, list) || tp_yaml_count(yaml, list) > TP_MAX_ISSUERS) {
        return tp_yaml_fail(yaml, list, err, "issuers must be a list of at most %u",
                            TP_MAX_ISSUERS);
    }
    for (size_t i = 0; i < tp_yaml_count(yaml, list); i++) {
        const tp_yaml_node item = tp_yaml_item(yaml, list, i);
        tp_issuer *issuer = &config->issuers[config->issuer_count];
        TP_TRY(bind_issuer(issuer, arena, yaml, item, file, err));
        if (is_known(config, issuer->issuer)) {
            return tp_yaml_fail(yaml, item, err, "this issuer stands twice");
        }
        config->issuer_count++;
    }
    return TAPEOUT_OK;
}

// -- certificates --------------------------------------------------------------------------------
static tapeout_status bind_certificate(serve_certificate *kept, tp_arena *arena, tp_yaml *yaml,
                                       tp_yaml_node item, tapeout_error *err)
{
    serve_certificate said = {.name = {NULL, 0}};
    TP_TRY(tp_yaml_bind(yaml, item, &certificate_table, &said, err));
    if (said.name.size == 0 || said.roles.size == 0) {
        return tp_yaml_fail(yaml, item, err, "a certificate needs name and roles");
    }
    kept->name = tp_arena_str(arena, said.name);
    kept->tenant = tp_arena_str(arena, said.tenant);
    kept->roles = tp_arena_str(arena, said.roles);
    kept->limits = tp_arena_str(arena, said.limits);
    TP_TRY(tp_arena_check(arena, "certificates", err));
    const tp_principal_spec spec = {
        .tenant = kept->tenant, .grants = kept->roles, .rates = kept->limits};
    return check_grants(arena, yaml, item, &spec, err);
}

static tapeout_status bind_certificates(serve_access_config *config, tp_arena *arena, tp_yaml *yaml,
                                        tp_yaml_node list, tapeout_error *err)
{
    if (!tp_yaml_is_list(yaml, list) || tp_yaml_count(yaml, list) > TP_MAX_CERTIFICATE_NAMES) {
        return tp_yaml_fail(yaml, list, err, "certificates must be a list of at most %u",
                            TP_MAX_CERTIFICATE_NAMES);
    }
    for (size_t i = 0; i < tp_yaml_count(yaml, list); i++) {
        TP_TRY(bind_certificate(&config->certificates[i], arena, yaml, tp_yaml_item(yaml, list, i),
                                err));
        config->certificate_count++;
    }
    return TAPEOUT_OK;
}

tapeout_status tp_serve_access_config_bind(serve_access_config *config, tp_arena *arena,
                                           tp_yaml *yaml, tp_yaml_node node, const char *file,
                                           tapeout_error *err)
{
    config_access said = {.issuers = 0};
    TP_TRY(tp_yaml_bind(yaml, node, &access_table, &said, err));
    if (said.issuers != 0) {
        TP_TRY(bind_issuers(config, arena, yaml, said.issuers, file, err));
    }
    return said.certificates == 0 ? TAPEOUT_OK
                                  : bind_certificates(config, arena, yaml, said.certificates, err);
}
