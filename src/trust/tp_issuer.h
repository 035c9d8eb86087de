// SPDX-License-Identifier: Apache-2.0
//
// An issuer of tokens that the configuration trusts, and what its tokens say of who carries them:
// which claim has the roles, which of its values are which roles here, and in which tenant. Only
// what is listed counts; a value that is not listed gives nothing.
#ifndef TP_ISSUER_H
#define TP_ISSUER_H

#include "base/tp_net.h"
#include "trust/tp_identity.h"
#include "trust/tp_jwt.h"

typedef struct tp_issuer_role {
    tp_str value;  // of the claim
    tp_str grants; // "viewer,scorer:flights"
} tp_issuer_role;

enum { TP_ISSUER_NETWORKS = 8 };

// Where a key set is fetched from.
typedef struct tp_issuer_url {
    const char *url;     // NULL: it is in a file
    const char *ca_file; // who vouches for the server; NULL: the system's authorities
    uint32_t refresh_s;  // after which the set is fetched again
    uint32_t interval_s; // between two tries, whatever asks for one
    uint32_t stale_s;    // how long a set is used that could not be fetched anew
    // Addresses outside of the public internet that it may lead to.
    tp_net networks[TP_ISSUER_NETWORKS];
    uint32_t network_count;
} tp_issuer_url;

// The texts are the configuration's.
typedef struct tp_issuer {
    tp_str issuer;
    tp_str audience;
    tp_jwt_algorithm rsa; // of RSA keys that name none
    uint32_t algorithms;  // a bit each
    uint32_t leeway_s;
    const char *jwks_path; // NULL: see the next
    tp_issuer_url jwks_url;
    tp_str tenant;       // of all its tokens; empty: by the claim, or the operator's
    tp_str tenant_claim; // empty: none
    tp_str roles_claim;  // "roles", "realm_access.roles"; its value is a text or a list of texts
    tp_str limits;       // of each that comes by it; may be empty
    tp_issuer_role roles[TP_MAX_ISSUER_ROLES];
    uint32_t role_count;
} tp_issuer;

// Who carries a token whose claims were checked. E_DENIED where the claims give no role or no
// tenant.
tapeout_status tp_issuer_principal(const tp_issuer *issuer, const tapeout_allocator *alloc,
                                   yyjson_val *claims, int64_t expires_s,
                                   tp_principal **ret_principal, tapeout_error *err);

#endif
