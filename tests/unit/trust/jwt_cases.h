// SPDX-License-Identifier: Apache-2.0
//
// Keys that are made for a case, their set as JSON, and tokens that they sign.
#ifndef JWT_CASES_H
#define JWT_CASES_H

#include "test.h"
#include "trust/tp_jwt.h"

#include <openssl/evp.h>

typedef struct jwt_case_key {
    tp_jwt_algorithm algorithm;
    EVP_PKEY *key;
} jwt_case_key;

void jwt_case_key_make(jwt_case_key *key, tp_jwt_algorithm algorithm);
void jwt_case_key_free(jwt_case_key *key);
// Its public half as a JWK of that name, without braces around the set; `more` is appended inside.
const char *jwt_case_jwk(const jwt_case_key *key, const char *kid, const char *more);
// header.payload.signature, until a few more are made.
const char *jwt_case_token(const jwt_case_key *key, const char *header, const char *payload);
// The same, signed by HMAC-SHA256 with these bytes for a key.
const char *jwt_case_hmac_token(const void *secret, size_t size, const char *header,
                                const char *payload);
// Base64url of bytes, for as long.
const char *jwt_case_base64(const void *data, size_t size);

#endif
