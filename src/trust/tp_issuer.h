// SPDX-License-Identifier: Apache-2.0
//
// An issuer of tokens that the configuration trusts, and what its tokens say of who carries them:
// which claim has the roles, which of its values are which roles here, and in which tenant. Only
// what is listed counts; a value that is not listed gives nothing.
#ifndef TP_ISSUER_H
#define TP_ISSUER_H

#include "trust/tp_identity.h"
#include "trust/tp_jwt.h"

typedef struct tp_issuer_role {
    tp_str value;  // of the claim
    tp_str grants; // "viewer,scorer:flights"
} tp_issuer_role;

// The texts are the configuration's.
typedef struct tp_issuer {
    tp_str issuer;
    tp_str audience;
    tp_jwt_algorithm rsa; // of RSA keys that name none
    uint32_t algorithms;  // a bit each
    uint32_t leeway_s;
    const char *jwks_path;
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
