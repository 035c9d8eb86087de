// SPDX-License-Identifier: Apache-2.0
//
// Tokens that somebody else signs (JWT, RFC 7519, by the advice of RFC 8725). Keys come from a JSON
// Web Key Set, and each key has one algorithm, fixed when the set is read: what a token's header
// says is compared with it and decides nothing. A token that brings a key, or says where one is to
// be had, is refused unread.
//
// @thread A key set is `immutable`; its references are counted atomically.
#ifndef TP_JWT_H
#define TP_JWT_H

#include "base/tp_str.h"

#include <tapeout/context.h>
#include <yyjson.h>

typedef enum tp_jwt_algorithm {
    TP_JWT_RS256,
    TP_JWT_PS256,
    TP_JWT_ES256,
    TP_JWT_EDDSA, // Ed25519
    TP_JWT_ALGORITHM_COUNT
} tp_jwt_algorithm;

bool tp_jwt_algorithm_from_name(tp_str name, tp_jwt_algorithm *ret_algorithm);

typedef struct tp_jwks tp_jwks;

// Reads a set. Keys of other kinds and uses are passed over, as the standard wants; of those that
// are left one at least must be there, and no two of one name. An RSA key that names no algorithm
// gets `rsa`. E_CORRUPT, E_LIMIT, E_INVALID where no key is left.
tapeout_status tp_jwks_parse(const tapeout_allocator *alloc, tp_str json, tp_jwt_algorithm rsa,
                             tp_jwks **ret_jwks, tapeout_error *err);
size_t tp_jwks_count(const tp_jwks *jwks);
tp_jwks *tp_jwks_ref(tp_jwks *jwks);
void tp_jwks_unref(tp_jwks *jwks); // accepts NULL

// What a token must be.
typedef struct tp_jwt_policy {
    const tp_jwks *jwks;
    tp_str issuer;
    tp_str audience;
    uint32_t algorithms; // a bit each
    uint32_t leeway_s;   // at most TP_MAX_JWT_LEEWAY_S
    int64_t now_s;       // of the calendar
} tp_jwt_policy;

// Checks signature and claims. E_DENIED with the reason, which is for a log and not for the caller;
// E_NOT_FOUND where the set has no key of that name: it may have a newer one. `*ret_claims` is
// freed with yyjson_doc_free, `*ret_expires_s` is when it ends, leeway included.
tapeout_status tp_jwt_check(const tapeout_allocator *alloc, const tp_jwt_policy *policy,
                            tp_str token, yyjson_doc **ret_claims, int64_t *ret_expires_s,
                            tapeout_error *err);
// The issuer that a token says it is of, before anything is checked: to choose a policy by. Empty
// where it is no token. Copied into `place`.
tp_str tp_jwt_issuer(const tapeout_allocator *alloc, tp_str token, char *place, size_t size);
// Whether the text has the three parts of a token.
bool tp_jwt_is_token(tp_str text);

#endif
