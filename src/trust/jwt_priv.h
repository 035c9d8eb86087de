// SPDX-License-Identifier: Apache-2.0
//
// Keys of a set and what they check.
#ifndef JWT_PRIV_H
#define JWT_PRIV_H

#include "base/limits.h"
#include "trust/tp_jwt.h"

#include <openssl/evp.h>
#include <stdatomic.h>

typedef struct jwk {
    char kid[TP_MAX_JWT_KID_BYTES + 1];
    tp_jwt_algorithm algorithm;
    EVP_PKEY *key;
} jwk;

struct tp_jwks {
    const tapeout_allocator *alloc;
    atomic_uint ref_count;
    uint32_t count;
    jwk keys[TP_MAX_JWKS_KEYS];
};

// Strict base64url without padding; false for anything else or more than `size` bytes.
bool tp_base64url_decode(tp_str text, uint8_t *ret_data, size_t size, size_t *ret_size);

// Whether `signature` is the key's over `data`.
bool tp_jwk_verify(const jwk *key, tp_str data, const uint8_t *signature, size_t signature_size);

#endif
