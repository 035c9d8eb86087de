// SPDX-License-Identifier: Apache-2.0
//
// Keys and tokens for tests: see jwt_cases.h. Signing is OpenSSL's, which checks too; that RSA and
// the others are what the standards mean is shown by the vectors of RFC 7515 and 8037.
#include "jwt_cases.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <sodium.h>
#include <string.h>

enum { TEXT_SIZE = 24576 };

static char *next_text(void)
{
    static char texts[8][TEXT_SIZE];
    static unsigned at;
    return texts[at++ % 8];
}

const char *jwt_case_base64(const void *data, size_t size)
{
    char *text = next_text();
    ASSERT(sodium_base64_ENCODED_LEN(size, sodium_base64_VARIANT_URLSAFE_NO_PADDING) <= TEXT_SIZE);
    return sodium_bin2base64(text, TEXT_SIZE, data, size, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

void jwt_case_key_make(jwt_case_key *key, tp_jwt_algorithm algorithm)
{
    key->algorithm = algorithm;
    key->key = algorithm == TP_JWT_ES256   ? EVP_EC_gen("P-256")
               : algorithm == TP_JWT_EDDSA ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
                                           : EVP_RSA_gen(2048);
    ASSERT(key->key != NULL);
}

void jwt_case_key_free(jwt_case_key *key)
{
    EVP_PKEY_free(key->key);
}

static const char *number_of(const jwt_case_key *key, const char *name, size_t size)
{
    BIGNUM *number = NULL;
    uint8_t bytes[512];
    ASSERT(EVP_PKEY_get_bn_param(key->key, name, &number) == 1);
    const int used = size == 0 ? BN_bn2bin(number, bytes) : BN_bn2binpad(number, bytes, (int)size);
    BN_free(number);
    return jwt_case_base64(bytes, (size_t)used);
}

const char *jwt_case_jwk(const jwt_case_key *key, const char *kid, const char *more)
{
    char body[2048];
    uint8_t point[32];
    size_t size = sizeof(point);
    switch (key->algorithm) {
    case TP_JWT_ES256:
        (void)snprintf(body, sizeof(body),
                       "\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%s\",\"y\":\"%s\"",
                       number_of(key, OSSL_PKEY_PARAM_EC_PUB_X, 32),
                       number_of(key, OSSL_PKEY_PARAM_EC_PUB_Y, 32));
        break;
    case TP_JWT_EDDSA:
        ASSERT(EVP_PKEY_get_raw_public_key(key->key, point, &size) == 1);
        (void)snprintf(body, sizeof(body), "\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\"",
                       jwt_case_base64(point, size));
        break;
    case TP_JWT_RS256:
    case TP_JWT_PS256:
    case TP_JWT_ALGORITHM_COUNT:
        (void)snprintf(body, sizeof(body), "\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"%s\"",
                       number_of(key, OSSL_PKEY_PARAM_RSA_N, 0),
                       number_of(key, OSSL_PKEY_PARAM_RSA_E, 0));
        break;
    }
    char *text = next_text();
    (void)snprintf(text, TEXT_SIZE, "{%s,\"kid\":\"%s\"%s}", body, kid, more);
    return text;
}

static const char *signed_text(const char *header, const char *payload)
{
    char *text = next_text();
    (void)snprintf(text, TEXT_SIZE, "%s.%s", jwt_case_base64(header, strlen(header)),
                   jwt_case_base64(payload, strlen(payload)));
    return text;
}

// JWS has the two numbers of ECDSA one after another.
static size_t raw_of_der(uint8_t *signature, size_t size)
{
    const uint8_t *at = signature;
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &at, (long)size);
    ASSERT(pair != NULL);
    ASSERT(BN_bn2binpad(ECDSA_SIG_get0_r(pair), signature, 32) == 32);
    ASSERT(BN_bn2binpad(ECDSA_SIG_get0_s(pair), signature + 32, 32) == 32);
    ECDSA_SIG_free(pair);
    return 64;
}

static const char *join(const char *text, const uint8_t *signature, size_t size)
{
    char *token = next_text();
    (void)snprintf(token, TEXT_SIZE, "%s.%s", text, jwt_case_base64(signature, size));
    return token;
}

const char *jwt_case_token(const jwt_case_key *key, const char *header, const char *payload)
{
    const char *text = signed_text(header, payload);
    uint8_t signature[1024];
    size_t size = sizeof(signature);
    EVP_PKEY_CTX *key_context = NULL;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    const EVP_MD *digest = key->algorithm == TP_JWT_EDDSA ? NULL : EVP_sha256();
    ASSERT(EVP_DigestSignInit(context, &key_context, digest, NULL, key->key) == 1);
    if (key->algorithm == TP_JWT_PS256) {
        ASSERT(EVP_PKEY_CTX_set_rsa_padding(key_context, RSA_PKCS1_PSS_PADDING) > 0);
        ASSERT(EVP_PKEY_CTX_set_rsa_pss_saltlen(key_context, RSA_PSS_SALTLEN_DIGEST) > 0);
    }
    ASSERT(EVP_DigestSign(context, signature, &size, (const uint8_t *)text, strlen(text)) == 1);
    EVP_MD_CTX_free(context);
    size = key->algorithm == TP_JWT_ES256 ? raw_of_der(signature, size) : size;
    return join(text, signature, size);
}

const char *jwt_case_hmac_token(const void *secret, size_t size, const char *header,
                                const char *payload)
{
    const char *text = signed_text(header, payload);
    uint8_t signature[EVP_MAX_MD_SIZE];
    unsigned used = 0;
    ASSERT(HMAC(EVP_sha256(), secret, (int)size, (const uint8_t *)text, strlen(text), signature,
                &used) != NULL);
    return join(text, signature, used);
}
