// SPDX-License-Identifier: Apache-2.0
//
// JSON Web Key Sets (RFC 7517, 7518, 8037) into OpenSSL's keys. Read are RSA keys of 2048 to 8192
// bits, P-256 and Ed25519; numbers must have their one right length, points must lie on the curve.
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "table/tp_json.h"
#include "trust/jwt_priv.h"
#include "trust/tp_base64.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <sodium.h>
#include <string.h>

enum { P256_SIZE = 32, ED25519_SIZE = 32, RSA_MAX_SIZE = 1024, RSA_MIN_SIZE = 256 };

static const char *const algorithm_names[TP_JWT_ALGORITHM_COUNT] = {"RS256", "PS256", "ES256",
                                                                    "EdDSA"};

bool tp_jwt_algorithm_from_name(tp_str name, tp_jwt_algorithm *ret_algorithm)
{
    for (int i = 0; i < TP_JWT_ALGORITHM_COUNT; i++) {
        if (tp_str_equal(name, tp_str_from(algorithm_names[i]))) {
            *ret_algorithm = (tp_jwt_algorithm)i;
            return true;
        }
    }
    return false;
}

bool tp_base64url_decode(tp_str text, uint8_t *ret_data, size_t size, size_t *ret_size)
{
    return text.size > 0 &&
           tp_base64_read(text, sodium_base64_VARIANT_URLSAFE_NO_PADDING, ret_data, size, ret_size);
}

// -- keys ----------------------------------------------------------------------------------------
static EVP_PKEY *key_from_params(const char *type, OSSL_PARAM_BLD *builder)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (params == NULL || context == NULL || EVP_PKEY_fromdata_init(context) <= 0 ||
        EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params) <= 0) {
        key = NULL;
    }
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(params);
    return key;
}

static bool read_bytes(yyjson_val *object, const char *name, uint8_t *data, size_t size,
                       size_t *ret_size)
{
    return tp_base64url_decode(tp_json_get_str(object, name), data, size, ret_size);
}

static EVP_PKEY *read_rsa(yyjson_val *object)
{
    uint8_t n[RSA_MAX_SIZE];
    uint8_t e[8];
    size_t n_size = 0;
    size_t e_size = 0;
    if (!read_bytes(object, "n", n, sizeof(n), &n_size) ||
        !read_bytes(object, "e", e, sizeof(e), &e_size) || n_size < RSA_MIN_SIZE || n[0] == 0 ||
        e_size == 0 || e[0] == 0 || (n[n_size - 1] & 1) == 0 || (e[e_size - 1] & 1) == 0 ||
        (e_size == 1 && e[0] < 3)) {
        return NULL;
    }
    EVP_PKEY *key = NULL;
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    BIGNUM *modulus = BN_bin2bn(n, (int)n_size, NULL);
    BIGNUM *exponent = BN_bin2bn(e, (int)e_size, NULL);
    if (builder != NULL && modulus != NULL && exponent != NULL &&
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, modulus) == 1 &&
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, exponent) == 1) {
        key = key_from_params("RSA", builder);
    }
    BN_free(modulus);
    BN_free(exponent);
    OSSL_PARAM_BLD_free(builder);
    return key;
}

static EVP_PKEY *read_p256(yyjson_val *object)
{
    uint8_t point[1 + 2 * P256_SIZE] = {4}; // uncompressed
    size_t x_size = 0;
    size_t y_size = 0;
    if (!tp_str_equal(tp_json_get_str(object, "crv"), TP_STR("P-256")) ||
        !read_bytes(object, "x", point + 1, P256_SIZE, &x_size) ||
        !read_bytes(object, "y", point + 1 + P256_SIZE, P256_SIZE, &y_size) ||
        x_size != P256_SIZE || y_size != P256_SIZE) {
        return NULL;
    }
    EVP_PKEY *key = NULL;
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    if (builder != NULL &&
        OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)) ==
            1) {
        key = key_from_params("EC", builder);
    }
    OSSL_PARAM_BLD_free(builder);
    return key;
}

static EVP_PKEY *read_ed25519(yyjson_val *object)
{
    uint8_t point[ED25519_SIZE];
    size_t size = 0;
    if (!tp_str_equal(tp_json_get_str(object, "crv"), TP_STR("Ed25519")) ||
        !read_bytes(object, "x", point, sizeof(point), &size) || size != sizeof(point)) {
        return NULL;
    }
    return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, point, sizeof(point));
}

static bool is_for_signatures(yyjson_val *object)
{
    yyjson_val *use = yyjson_obj_get(object, "use");
    yyjson_val *operations = yyjson_obj_get(object, "key_ops");
    yyjson_val *item = NULL;
    size_t index = 0;
    size_t count = 0;
    if (use != NULL && !tp_str_equal(tp_json_str(use), TP_STR("sig"))) {
        return false;
    }
    bool verifies = operations == NULL;
    yyjson_arr_foreach(operations, index, count, item)
    {
        verifies = verifies || tp_str_equal(tp_json_str(item), TP_STR("verify"));
    }
    return verifies;
}

// The key and its one algorithm; false for one that is passed over.
static bool read_key(yyjson_val *object, tp_jwt_algorithm rsa, jwk *ret_key)
{
    const tp_str kind = tp_json_get_str(object, "kty");
    yyjson_val *said = yyjson_obj_get(object, "alg");
    tp_jwt_algorithm algorithm = rsa;
    if (!is_for_signatures(object) ||
        (said != NULL && !tp_jwt_algorithm_from_name(tp_json_str(said), &algorithm))) {
        return false;
    }
    if (tp_str_equal(kind, TP_STR("RSA"))) {
        ret_key->key = algorithm <= TP_JWT_PS256 ? read_rsa(object) : NULL;
    } else if (tp_str_equal(kind, TP_STR("EC"))) {
        algorithm = said == NULL ? TP_JWT_ES256 : algorithm;
        ret_key->key = algorithm == TP_JWT_ES256 ? read_p256(object) : NULL;
    } else if (tp_str_equal(kind, TP_STR("OKP"))) {
        algorithm = said == NULL ? TP_JWT_EDDSA : algorithm;
        ret_key->key = algorithm == TP_JWT_EDDSA ? read_ed25519(object) : NULL;
    }
    ret_key->algorithm = algorithm;
    return ret_key->key != NULL;
}

static tapeout_status add_key(tp_jwks *jwks, yyjson_val *object, tp_jwt_algorithm rsa,
                              tapeout_error *err)
{
    jwk key = {.key = NULL};
    const tp_str kid = tp_json_get_str(object, "kid");
    if (kid.size >= sizeof(key.kid)) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "jwks: a key's name of %zu bytes, at most %u",
                       kid.size, TP_MAX_JWT_KID_BYTES);
    }
    if (memchr(kid.size == 0 ? "" : kid.data, '\0', kid.size) != NULL ||
        !read_key(object, rsa, &key)) {
        return TAPEOUT_OK;
    }
    memcpy(key.kid, kid.size == 0 ? "" : kid.data, kid.size);
    for (uint32_t i = 0; i < jwks->count; i++) {
        if (strcmp(jwks->keys[i].kid, key.kid) == 0) {
            EVP_PKEY_free(key.key);
            return tp_fail(err, TAPEOUT_E_CORRUPT, "jwks: two keys are named \"%s\"", key.kid);
        }
    }
    jwks->keys[jwks->count++] = key;
    return TAPEOUT_OK;
}

static tapeout_status read_set(tp_jwks *jwks, yyjson_val *root, tp_jwt_algorithm rsa,
                               tapeout_error *err)
{
    yyjson_val *keys = yyjson_obj_get(root, "keys");
    yyjson_val *item = NULL;
    size_t index = 0;
    size_t count = 0;
    if (!yyjson_is_arr(keys)) {
        return tp_fail(err, TAPEOUT_E_CORRUPT, "jwks: {\"keys\": [...]} was expected");
    }
    if (yyjson_arr_size(keys) > TP_MAX_JWKS_KEYS) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "jwks: %zu keys, at most %u", yyjson_arr_size(keys),
                       TP_MAX_JWKS_KEYS);
    }
    yyjson_arr_foreach(keys, index, count, item)
    {
        TP_TRY(add_key(jwks, item, rsa, err));
    }
    return jwks->count > 0 ? TAPEOUT_OK
                           : tp_fail(err, TAPEOUT_E_INVALID,
                                     "jwks: none of %zu keys is one of RSA (2048 bits or more), "
                                     "P-256 or Ed25519 for signatures",
                                     count);
}

tapeout_status tp_jwks_parse(const tapeout_allocator *alloc, tp_str json, tp_jwt_algorithm rsa,
                             tp_jwks **ret_jwks, tapeout_error *err)
{
    yyjson_doc *doc = NULL;
    if (json.size > TP_MAX_JWKS_BYTES) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "jwks: %zu bytes, at most %u", json.size,
                       TP_MAX_JWKS_BYTES);
    }
    TP_TRY(tp_json_parse(alloc, json, "jwks", &doc, err));
    tp_jwks *jwks = tp_alloc_zero(alloc, sizeof(*jwks));
    tapeout_status status = tp_fail_nomem(err);
    if (jwks != NULL) {
        jwks->alloc = alloc;
        atomic_init(&jwks->ref_count, 1);
        status = read_set(jwks, yyjson_doc_get_root(doc), rsa, err);
    }
    yyjson_doc_free(doc);
    if (status != TAPEOUT_OK) {
        tp_jwks_unref(jwks);
        return status;
    }
    *ret_jwks = jwks;
    return TAPEOUT_OK;
}

size_t tp_jwks_count(const tp_jwks *jwks)
{
    return jwks->count;
}

tp_jwks *tp_jwks_ref(tp_jwks *jwks)
{
    atomic_fetch_add_explicit(&jwks->ref_count, 1, memory_order_relaxed);
    return jwks;
}

void tp_jwks_unref(tp_jwks *jwks)
{
    // Release and acquire: whoever frees it has seen the others' last use.
    if (jwks != NULL && atomic_fetch_sub_explicit(&jwks->ref_count, 1, memory_order_acq_rel) == 1) {
        for (uint32_t i = 0; i < jwks->count; i++) {
            EVP_PKEY_free(jwks->keys[i].key);
        }
        tp_free(jwks->alloc, jwks, sizeof(*jwks));
    }
}

// -- signatures ----------------------------------------------------------------------------------
// JWS has r and s one after another, OpenSSL wants them in DER. 0 where that cannot be.
static size_t der_of(const uint8_t *signature, size_t size, uint8_t *ret_der, size_t der_size)
{
    uint8_t *at = ret_der;
    ECDSA_SIG *pair = size == 2 * P256_SIZE ? ECDSA_SIG_new() : NULL;
    BIGNUM *r = pair == NULL ? NULL : BN_bin2bn(signature, P256_SIZE, NULL);
    BIGNUM *s = pair == NULL ? NULL : BN_bin2bn(signature + P256_SIZE, P256_SIZE, NULL);
    int written = 0;
    if (r != NULL && s != NULL && ECDSA_SIG_set0(pair, r, s) == 1) {
        r = s = NULL; // the pair's now
        written = i2d_ECDSA_SIG(pair, NULL) <= (int)der_size ? i2d_ECDSA_SIG(pair, &at) : 0;
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(pair);
    return written > 0 ? (size_t)written : 0;
}

static bool set_pss(EVP_PKEY_CTX *context)
{
    return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) > 0 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) > 0 &&
           EVP_PKEY_CTX_set_rsa_mgf1_md(context, EVP_sha256()) > 0;
}

bool tp_jwk_verify(const jwk *key, tp_str data, const uint8_t *signature, size_t signature_size)
{
    uint8_t der[2 * P256_SIZE + 16];
    if (key->algorithm == TP_JWT_ES256) {
        signature_size = der_of(signature, signature_size, der, sizeof(der));
        signature = der;
    }
    EVP_MD_CTX *context = signature_size == 0 ? NULL : EVP_MD_CTX_new();
    EVP_PKEY_CTX *key_context = NULL; // the other's own
    const EVP_MD *digest = key->algorithm == TP_JWT_EDDSA ? NULL : EVP_sha256();
    const bool is_right =
        context != NULL &&
        EVP_DigestVerifyInit(context, &key_context, digest, NULL, key->key) == 1 &&
        (key->algorithm != TP_JWT_PS256 || set_pss(key_context)) &&
        EVP_DigestVerify(context, signature, signature_size, (const uint8_t *)data.data,
                         data.size) == 1;
    EVP_MD_CTX_free(context);
    return is_right;
}
