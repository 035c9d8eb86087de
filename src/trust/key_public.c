// SPDX-License-Identifier: Apache-2.0
//
// Public keys. A key is what its algorithm says and nothing that a signature says; the point of a
// P-256 key is checked once, when the key is read. libsodium refuses keys of small order and
// encodings that are not the canonical one; OpenSSL refuses signatures that are not DER.
#include "trust/key_priv.h"

#include "base/tp_error.h"

#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sodium.h>
#include <string.h>

enum { ED25519_SIZE = 32, P256_SIZE = 65, MAX_PEM_BYTES = 4096 };

const char *tp_key_algorithm_name(tp_key_algorithm algorithm)
{
    return algorithm == TP_KEY_P256 ? "ecdsa-p256" : "ed25519";
}

bool tp_key_algorithm_find(tp_str name, tp_key_algorithm *ret_algorithm)
{
    const bool is_p256 = tp_str_equal(name, TP_STR("ecdsa-p256"));
    *ret_algorithm = is_p256 ? TP_KEY_P256 : TP_KEY_ED25519;
    return is_p256 || tp_str_equal(name, TP_STR("ed25519"));
}

EVP_PKEY *tp_key_p256(const uint8_t point[TP_KEY_PUBLIC_SIZE], const BIGNUM *secret)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = NULL;
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    if (builder != NULL && context != NULL &&
        OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point, P256_SIZE) == 1 &&
        (secret == NULL ||
         OSSL_PARAM_BLD_push_BN_pad(builder, OSSL_PKEY_PARAM_PRIV_KEY, secret, 32) == 1)) {
        params = OSSL_PARAM_BLD_to_param(builder);
    }
    if (params == NULL || EVP_PKEY_fromdata_init(context) != 1 ||
        EVP_PKEY_fromdata(context, &key, secret == NULL ? EVP_PKEY_PUBLIC_KEY : EVP_PKEY_KEYPAIR,
                          params) != 1) {
        key = NULL;
    }
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(builder);
    EVP_PKEY_CTX_free(context);
    return key;
}

static bool is_on_curve(const uint8_t *point)
{
    EVP_PKEY *key = point[0] == 4 ? tp_key_p256(point, NULL) : NULL;
    EVP_PKEY_CTX *context = key == NULL ? NULL : EVP_PKEY_CTX_new(key, NULL);
    const bool is_good = context != NULL && EVP_PKEY_public_check(context) == 1;
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(key);
    return is_good;
}

tapeout_status tp_public_key_init(tp_key_algorithm algorithm, tp_str bytes, tp_public_key *ret_key,
                                  tapeout_error *err)
{
    const size_t size = algorithm == TP_KEY_P256 ? P256_SIZE : ED25519_SIZE;
    tp_public_key key = {.algorithm = algorithm, .size = size};
    if (bytes.size != size) {
        return tp_fail(err, TAPEOUT_E_CORRUPT, "public key: %zu bytes, %s has %zu", bytes.size,
                       tp_key_algorithm_name(algorithm), size);
    }
    memcpy(key.bytes, bytes.data, size);
    if (algorithm == TP_KEY_P256 && !is_on_curve(key.bytes)) {
        return tp_fail(err, TAPEOUT_E_CORRUPT, "public key: no point of the curve P-256");
    }
    key.id = tp_sha256_of(key.bytes, size);
    *ret_key = key;
    return TAPEOUT_OK;
}

static bool verify_p256(const tp_public_key *key, tp_str message, tp_str signature)
{
    EVP_PKEY *pkey = tp_key_p256(key->bytes, NULL);
    EVP_MD_CTX *context = pkey == NULL ? NULL : EVP_MD_CTX_new();
    const bool is_good =
        context != NULL && EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, pkey) == 1 &&
        EVP_DigestVerify(context, (const unsigned char *)signature.data, signature.size,
                         (const unsigned char *)message.data, message.size) == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(pkey);
    return is_good;
}

bool tp_public_key_verify(const tp_public_key *key, tp_str message, tp_str signature)
{
    if (key->algorithm == TP_KEY_P256) {
        return verify_p256(key, message, signature);
    }
    return sodium_init() >= 0 && signature.size == crypto_sign_BYTES &&
           crypto_sign_verify_detached((const unsigned char *)signature.data,
                                       (const unsigned char *)message.data, message.size,
                                       key->bytes) == 0;
}

// -- PEM -----------------------------------------------------------------------------------------
tapeout_status tp_public_key_write_pem(const tp_public_key *key, tp_buffer *text,
                                       tapeout_error *err)
{
    EVP_PKEY *pkey =
        key->algorithm == TP_KEY_P256
            ? tp_key_p256(key->bytes, NULL)
            : EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key->bytes, key->size);
    BIO *out = pkey == NULL ? NULL : BIO_new(BIO_s_mem());
    char *data = NULL;
    const bool is_written = out != NULL && PEM_write_bio_PUBKEY(out, pkey) == 1;
    const long size = is_written ? BIO_get_mem_data(out, &data) : 0;
    if (size > 0) {
        tp_buffer_append(text, data, (size_t)size);
    }
    BIO_free(out);
    EVP_PKEY_free(pkey);
    return size > 0 ? TAPEOUT_OK : tp_fail_nomem(err);
}

static tapeout_status from_pkey(EVP_PKEY *pkey, tp_public_key *ret_key, tapeout_error *err)
{
    uint8_t bytes[TP_KEY_PUBLIC_SIZE];
    char group[32] = "";
    size_t size = sizeof(bytes);
    if (EVP_PKEY_get_id(pkey) == EVP_PKEY_ED25519 &&
        EVP_PKEY_get_raw_public_key(pkey, bytes, &size) == 1) {
        return tp_public_key_init(TP_KEY_ED25519, (tp_str){(char *)bytes, size}, ret_key, err);
    }
    if (EVP_PKEY_get_id(pkey) == EVP_PKEY_EC &&
        EVP_PKEY_get_utf8_string_param(pkey, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group),
                                       NULL) == 1 &&
        strcmp(group, "prime256v1") == 0 &&
        EVP_PKEY_set_utf8_string_param(pkey, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
                                       "uncompressed") == 1 &&
        EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_PUB_KEY, bytes, sizeof(bytes),
                                        &size) == 1) {
        return tp_public_key_init(TP_KEY_P256, (tp_str){(char *)bytes, size}, ret_key, err);
    }
    return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                   "public key: neither Ed25519 nor ECDSA over P-256; make one of these");
}

tapeout_status tp_public_key_read_pem(tp_str text, tp_public_key *ret_key, tapeout_error *err)
{
    BIO *in = text.size > MAX_PEM_BYTES ? NULL : BIO_new_mem_buf(text.data, (int)text.size);
    EVP_PKEY *pkey = in == NULL ? NULL : PEM_read_bio_PUBKEY(in, NULL, NULL, NULL);
    const tapeout_status status =
        pkey == NULL ? tp_fail(err, TAPEOUT_E_CORRUPT, "public key: not readable as PEM")
                     : from_pkey(pkey, ret_key, err);
    EVP_PKEY_free(pkey);
    BIO_free(in);
    return status;
}
