// SPDX-License-Identifier: Apache-2.0
//
// The text of key files. A secret lies under a passphrase: Argon2id makes a key of it, under which
// XChaCha20-Poly1305 seals the seed, bound to the public key and to what Argon2id was asked for.
// Or it lies open, where the maker said so. Every buffer that held a secret is wiped, the parser's
// copy included.
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "trust/key_priv.h"
#include "trust/tp_base64.h"

#include <sodium.h>
#include <string.h>

enum { KEY_VERSION = 1, KDF_PASSES = 3, KDF_MEMORY = 64 << 20 };
enum { SALT_SIZE = crypto_pwhash_SALTBYTES };
enum { NONCE_SIZE = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES };
enum { BOX_SIZE = TP_KEY_SEED_SIZE + crypto_aead_xchacha20poly1305_ietf_ABYTES };
enum { SEAL_KEY_SIZE = crypto_aead_xchacha20poly1305_ietf_KEYBYTES };

typedef struct key_seal {
    uint64_t passes;
    uint64_t memory_bytes;
    uint8_t salt[SALT_SIZE];
    uint8_t nonce[NONCE_SIZE];
    uint8_t box[BOX_SIZE];
} key_seal;

// -- sealing -------------------------------------------------------------------------------------
static tapeout_status derive(tp_str passphrase, const key_seal *seal,
                             uint8_t ret_key[SEAL_KEY_SIZE], tapeout_error *err)
{
    return crypto_pwhash(ret_key, SEAL_KEY_SIZE, passphrase.data, passphrase.size, seal->salt,
                         seal->passes, (size_t)seal->memory_bytes,
                         crypto_pwhash_ALG_ARGON2ID13) == 0
               ? TAPEOUT_OK
               : tp_fail(err, TAPEOUT_E_NOMEM,
                         "the key's passphrase needs %llu MiB of memory to be tried",
                         (unsigned long long)(seal->memory_bytes >> 20));
}

// What the seal is bound to beside the passphrase.
static size_t bound_data(const tp_public_key *key, const key_seal *seal, uint8_t ret_data[128])
{
    static const char title[] = "tapeout-secret-key 1\n";
    size_t size = sizeof(title) - 1;
    memcpy(ret_data, title, size);
    ret_data[size++] = (uint8_t)key->algorithm;
    for (size_t i = 0; i < 8; i++) {
        ret_data[size++] = (uint8_t)(seal->passes >> (8 * i));
    }
    for (size_t i = 0; i < 8; i++) {
        ret_data[size++] = (uint8_t)(seal->memory_bytes >> (8 * i));
    }
    memcpy(ret_data + size, key->bytes, key->size);
    return size + key->size;
}

static tapeout_status seal_seed(const tp_public_key *key, const uint8_t seed[TP_KEY_SEED_SIZE],
                                tp_str passphrase, key_seal *seal, tapeout_error *err)
{
    uint8_t seal_key[SEAL_KEY_SIZE];
    uint8_t bound[128];
    randombytes_buf(seal->salt, sizeof(seal->salt));
    randombytes_buf(seal->nonce, sizeof(seal->nonce));
    TP_TRY(derive(passphrase, seal, seal_key, err));
    const size_t bound_size = bound_data(key, seal, bound);
    (void)crypto_aead_xchacha20poly1305_ietf_encrypt(seal->box, NULL, seed, TP_KEY_SEED_SIZE, bound,
                                                     bound_size, NULL, seal->nonce, seal_key);
    sodium_memzero(seal_key, sizeof(seal_key));
    return TAPEOUT_OK;
}

static tapeout_status unseal_seed(const tp_public_key *key, const key_seal *seal, tp_str passphrase,
                                  uint8_t ret_seed[TP_KEY_SEED_SIZE], tapeout_error *err)
{
    uint8_t seal_key[SEAL_KEY_SIZE];
    uint8_t bound[128];
    TP_TRY(derive(passphrase, seal, seal_key, err));
    const size_t bound_size = bound_data(key, seal, bound);
    const int code = crypto_aead_xchacha20poly1305_ietf_decrypt(ret_seed, NULL, NULL, seal->box,
                                                                sizeof(seal->box), bound,
                                                                bound_size, seal->nonce, seal_key);
    sodium_memzero(seal_key, sizeof(seal_key));
    return code == 0
               ? TAPEOUT_OK
               : tp_fail(err, TAPEOUT_E_DENIED, "wrong passphrase, or the key's file was changed");
}

// -- writing -------------------------------------------------------------------------------------
static void append_base64(tp_buffer *text, const char *key, const uint8_t *bytes, size_t size)
{
    tp_json_append_key(text, key);
    tp_buffer_append_char(text, '"');
    tp_base64_append(text, (tp_str){(const char *)bytes, size});
    tp_buffer_append_char(text, '"');
}

static void append_info(tp_buffer *text, const tp_key_info *info, const char *format)
{
    tp_buffer_append_char(text, '{');
    tp_key_public_append(text, &info->key);
    tp_json_append_key(text, "created");
    tp_time_append(text, info->created_s);
    tp_json_append_key(text, "format");
    tp_json_append_str(text, tp_str_from(format));
    tp_json_append_key(text, "name");
    tp_json_append_str(text, tp_str_from(info->name));
    tp_json_append_key(text, "person");
    tp_json_append_str(text, tp_str_from(info->person));
    tp_json_append_key(text, "version");
    tp_json_append_u64(text, KEY_VERSION);
}

void tp_key_public_write(const tp_key_info *info, tp_buffer *text)
{
    append_info(text, info, "tapeout-public-key");
    tp_buffer_append_text(text, "}\n");
}

tapeout_status tp_key_secret_write(const tp_key_info *info, const uint8_t seed[TP_KEY_SEED_SIZE],
                                   tp_str passphrase, tp_buffer *text, tapeout_error *err)
{
    // Grown at once, so that no copy of the secret is left in a block that was given back.
    if (tp_buffer_reserve(text, TP_MAX_KEY_FILE_BYTES) == NULL) {
        return tp_buffer_check(text, "secret key", err);
    }
    key_seal seal = {.passes = KDF_PASSES, .memory_bytes = KDF_MEMORY};
    append_info(text, info, "tapeout-secret-key");
    tp_json_append_key(text, "secret");
    tp_buffer_append_char(text, '{');
    if (passphrase.size == 0) {
        append_base64(text, "seed", seed, TP_KEY_SEED_SIZE);
    } else {
        TP_TRY(seal_seed(&info->key, seed, passphrase, &seal, err));
        append_base64(text, "box", seal.box, sizeof(seal.box));
        tp_json_append_key(text, "kdf");
        tp_json_append_str(text, TP_STR("argon2id13"));
        tp_json_append_key(text, "memory_bytes");
        tp_json_append_u64(text, seal.memory_bytes);
        append_base64(text, "nonce", seal.nonce, sizeof(seal.nonce));
        tp_json_append_key(text, "passes");
        tp_json_append_u64(text, seal.passes);
        append_base64(text, "salt", seal.salt, sizeof(seal.salt));
    }
    tp_buffer_append_text(text, "}}\n");
    return tp_buffer_check(text, "secret key", err);
}

// -- reading -------------------------------------------------------------------------------------
static tapeout_status damaged(tapeout_error *err, const char *what)
{
    return tp_fail(err, TAPEOUT_E_CORRUPT, "key file: %s", what);
}

static tapeout_status parse_seal(yyjson_val *secret, key_seal *ret_seal, tapeout_error *err)
{
    key_seal seal = {.passes = yyjson_get_uint(yyjson_obj_get(secret, "passes")),
                     .memory_bytes = yyjson_get_uint(yyjson_obj_get(secret, "memory_bytes"))};
    if (yyjson_obj_size(secret) != 6 ||
        !tp_str_equal(tp_json_get_str(secret, "kdf"), TP_STR("argon2id13")) ||
        !tp_base64_decode_exact(tp_json_get_str(secret, "salt"), seal.salt, sizeof(seal.salt)) ||
        !tp_base64_decode_exact(tp_json_get_str(secret, "nonce"), seal.nonce, sizeof(seal.nonce)) ||
        !tp_base64_decode_exact(tp_json_get_str(secret, "box"), seal.box, sizeof(seal.box))) {
        return damaged(err, "\"secret\" is not sealed as this tapeout seals it");
    }
    if (seal.passes < crypto_pwhash_OPSLIMIT_MIN || seal.passes > TP_MAX_KEY_PASSES ||
        seal.memory_bytes < crypto_pwhash_MEMLIMIT_MIN ||
        seal.memory_bytes > TP_MAX_KEY_MEMORY_BYTES) {
        return tp_fail(
            err, TAPEOUT_E_LIMIT,
            "key file: its passphrase wants %llu passes over %llu bytes; at most %u over "
            "%u are made",
            (unsigned long long)seal.passes, (unsigned long long)seal.memory_bytes,
            TP_MAX_KEY_PASSES, TP_MAX_KEY_MEMORY_BYTES);
    }
    *ret_seal = seal;
    return TAPEOUT_OK;
}

static tapeout_status parse_info(yyjson_val *root, tp_key_info *ret_info, tapeout_error *err)
{
    tp_key_info info = {.is_secret = yyjson_obj_get(root, "secret") != NULL};
    yyjson_val *secret = yyjson_obj_get(root, "secret");
    const tp_str format =
        info.is_secret ? TP_STR("tapeout-secret-key") : TP_STR("tapeout-public-key");
    if (!tp_str_equal(tp_json_get_str(root, "format"), format) ||
        yyjson_obj_size(root) != (info.is_secret ? 9u : 8u) ||
        (info.is_secret && !yyjson_is_obj(secret))) {
        return damaged(err, "not a key that tapeout wrote");
    }
    if (yyjson_get_uint(yyjson_obj_get(root, "version")) != KEY_VERSION) {
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED, "key file: this tapeout reads version %d",
                       KEY_VERSION);
    }
    TP_TRY(tp_key_public_parse(root, &info.key, err));
    TP_TRY(tp_key_text(root, "name", info.name, sizeof(info.name), err));
    TP_TRY(tp_key_text(root, "person", info.person, sizeof(info.person), err));
    if (!tp_key_name_is_valid(tp_str_from(info.name))) {
        return damaged(err, "\"name\" is no name of a key");
    }
    if (!tp_time_parse(tp_json_get_str(root, "created"), false, &info.created_s)) {
        return damaged(err, "\"created\" is no time such as 2026-11-25T16:00:00Z");
    }
    info.is_sealed = info.is_secret && yyjson_obj_get(secret, "seed") == NULL;
    key_seal seal;
    if (info.is_sealed) {
        TP_TRY(parse_seal(secret, &seal, err));
    }
    *ret_info = info;
    return TAPEOUT_OK;
}

// The parser's copy of an open seed is wiped before its memory is given back.
static void free_doc(yyjson_doc *doc)
{
    yyjson_val *secret = yyjson_obj_get(yyjson_doc_get_root(doc), "secret");
    const tp_str seed = tp_json_get_str(secret, "seed");
    if (seed.data != NULL) {
        sodium_memzero((char *)(uintptr_t)seed.data, seed.size);
    }
    yyjson_doc_free(doc);
}

tapeout_status tp_key_info_parse(const tapeout_allocator *alloc, tp_str text, tp_key_info *ret_info,
                                 tapeout_error *err)
{
    yyjson_doc *doc = NULL;
    if (tp_str_has_prefix(text, TP_STR("-----BEGIN PUBLIC KEY-----"))) {
        tp_key_info info = {.created_s = 0};
        TP_TRY(tp_public_key_read_pem(text, &info.key, err));
        *ret_info = info;
        return TAPEOUT_OK;
    }
    if (text.size > TP_MAX_KEY_FILE_BYTES) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "key file: %zu bytes, at most %u", text.size,
                       TP_MAX_KEY_FILE_BYTES);
    }
    TP_TRY(tp_json_parse(alloc, text, "key file", &doc, err));
    const tapeout_status status = parse_info(yyjson_doc_get_root(doc), ret_info, err);
    free_doc(doc);
    return status;
}

static tapeout_status read_seed(yyjson_val *secret, const tp_key_info *info, tp_str passphrase,
                                uint8_t ret_seed[TP_KEY_SEED_SIZE], tapeout_error *err)
{
    key_seal seal;
    if (!info->is_sealed) {
        return yyjson_obj_size(secret) == 1 &&
                       tp_base64_decode_exact(tp_json_get_str(secret, "seed"), ret_seed,
                                              TP_KEY_SEED_SIZE)
                   ? TAPEOUT_OK
                   : damaged(err, "\"seed\" is no base64 of 32 bytes");
    }
    if (passphrase.size == 0) {
        return tp_fail(err, TAPEOUT_E_DENIED, "key \"%s\" has a passphrase, and none was given",
                       info->name);
    }
    TP_TRY(parse_seal(secret, &seal, err));
    return unseal_seed(&info->key, &seal, passphrase, ret_seed, err);
}

static tapeout_status open_secret(const tapeout_allocator *alloc, yyjson_val *root,
                                  tp_str passphrase, tp_signer **ret_signer, tapeout_error *err)
{
    tp_key_info info;
    uint8_t seed[TP_KEY_SEED_SIZE] = {0};
    tp_signer *signer = NULL;
    TP_TRY(parse_info(root, &info, err));
    if (!info.is_secret) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "key \"%s\": this is its public part, which cannot sign", info.name);
    }
    tapeout_status status = read_seed(yyjson_obj_get(root, "secret"), &info, passphrase, seed, err);
    if (status == TAPEOUT_OK) {
        status = tp_signer_new(alloc, info.key.algorithm, seed, &signer, err);
    }
    sodium_memzero(seed, sizeof(seed));
    if (status == TAPEOUT_OK && !tp_key_id_equal(&signer->key.id, &info.key.id)) {
        status = damaged(err, "secret and public part do not belong together");
        tp_signer_free(&signer);
    }
    if (status == TAPEOUT_OK) {
        *ret_signer = signer;
    }
    return status;
}

tapeout_status tp_key_open(const tapeout_allocator *alloc, tp_str text, tp_str passphrase,
                           tp_signer **ret_signer, tapeout_error *err)
{
    yyjson_doc *doc = NULL;
    if (text.size > TP_MAX_KEY_FILE_BYTES || sodium_init() < 0) {
        return damaged(err, "too large to be one");
    }
    TP_TRY(tp_json_parse(alloc, text, "key file", &doc, err));
    const tapeout_status status =
        open_secret(alloc, yyjson_doc_get_root(doc), passphrase, ret_signer, err);
    free_doc(doc);
    return status;
}
