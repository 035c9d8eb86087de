// SPDX-License-Identifier: Apache-2.0
//
// Signers that hold their secret in memory. It is wiped when the signer is freed and never leaves
// this file.
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "trust/key_priv.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/obj_mac.h>
#include <sodium.h>
#include <string.h>

typedef struct memory_signer {
    tp_signer base;
    const tapeout_allocator *alloc;
    uint8_t secret[crypto_sign_SECRETKEYBYTES]; // Ed25519's own form
    EVP_PKEY *p256;
} memory_signer;

static void free_signer(tp_signer *self)
{
    memory_signer *signer = (memory_signer *)self;
    sodium_memzero(signer->secret, sizeof(signer->secret));
    EVP_PKEY_free(signer->p256); // OpenSSL clears it
    tp_free(signer->alloc, signer, sizeof(*signer));
}

static tapeout_status sign_ed25519(const tp_signer *self, tp_str message, uint8_t *ret_signature,
                                   size_t *ret_size, tapeout_error *err)
{
    const memory_signer *signer = (const memory_signer *)self;
    (void)err; // Ed25519 cannot fail
    (void)crypto_sign_detached(ret_signature, NULL, (const unsigned char *)message.data,
                               message.size, signer->secret);
    *ret_size = crypto_sign_BYTES;
    return TAPEOUT_OK;
}

static tapeout_status sign_p256(const tp_signer *self, tp_str message, uint8_t *ret_signature,
                                size_t *ret_size, tapeout_error *err)
{
    const memory_signer *signer = (const memory_signer *)self;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    size_t size = TP_KEY_SIGNATURE_SIZE;
    const bool is_done = context != NULL &&
                         EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, signer->p256) == 1 &&
                         EVP_DigestSign(context, ret_signature, &size,
                                        (const unsigned char *)message.data, message.size) == 1;
    EVP_MD_CTX_free(context);
    *ret_size = size;
    return is_done ? TAPEOUT_OK : tp_fail(err, TAPEOUT_E_INTERNAL, "OpenSSL does not sign");
}

// The point that belongs to a secret number of P-256; false for a number out of range.
static bool p256_from_seed(const uint8_t seed[TP_KEY_SEED_SIZE], memory_signer *signer)
{
    uint8_t point[TP_KEY_PUBLIC_SIZE];
    bool is_good = false;
    EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    BIGNUM *secret = BN_secure_new();
    EC_POINT *product = group == NULL ? NULL : EC_POINT_new(group);
    if (secret != NULL && product != NULL && BN_bin2bn(seed, TP_KEY_SEED_SIZE, secret) != NULL &&
        !BN_is_zero(secret) && BN_cmp(secret, EC_GROUP_get0_order(group)) < 0) {
        BN_set_flags(secret, BN_FLG_CONSTTIME);
        is_good = EC_POINT_mul(group, product, secret, NULL, NULL, NULL) == 1 &&
                  EC_POINT_point2oct(group, product, POINT_CONVERSION_UNCOMPRESSED, point,
                                     sizeof(point), NULL) == sizeof(point);
    }
    if (is_good) {
        signer->p256 = tp_key_p256(point, secret);
        is_good = signer->p256 != NULL &&
                  tp_public_key_init(TP_KEY_P256, (tp_str){(char *)point, sizeof(point)},
                                     &signer->base.key, NULL) == TAPEOUT_OK;
    }
    EC_POINT_free(product);
    BN_clear_free(secret);
    EC_GROUP_free(group);
    return is_good;
}

static bool ed25519_from_seed(const uint8_t seed[TP_KEY_SEED_SIZE], memory_signer *signer)
{
    uint8_t bytes[crypto_sign_PUBLICKEYBYTES];
    return sodium_init() >= 0 && crypto_sign_seed_keypair(bytes, signer->secret, seed) == 0 &&
           tp_public_key_init(TP_KEY_ED25519, (tp_str){(char *)bytes, sizeof(bytes)},
                              &signer->base.key, NULL) == TAPEOUT_OK;
}

tapeout_status tp_signer_new(const tapeout_allocator *alloc, tp_key_algorithm algorithm,
                             const uint8_t seed[TP_KEY_SEED_SIZE], tp_signer **ret_signer,
                             tapeout_error *err)
{
    const bool is_p256 = algorithm == TP_KEY_P256;
    memory_signer *signer = tp_alloc_zero(alloc, sizeof(*signer));
    if (signer == NULL) {
        return tp_fail_nomem(err);
    }
    signer->alloc = alloc;
    signer->base.sign = is_p256 ? sign_p256 : sign_ed25519;
    signer->base.free = free_signer;
    if (is_p256 ? !p256_from_seed(seed, signer) : !ed25519_from_seed(seed, signer)) {
        free_signer(&signer->base);
        return tp_fail(err, TAPEOUT_E_CORRUPT, "secret key: not one of %s",
                       tp_key_algorithm_name(algorithm));
    }
    *ret_signer = &signer->base;
    return TAPEOUT_OK;
}

void tp_signer_free(tp_signer **signer)
{
    if (*signer != NULL) {
        (*signer)->free(*signer);
        *signer = NULL;
    }
}
