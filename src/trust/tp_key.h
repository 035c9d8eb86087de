// SPDX-License-Identifier: Apache-2.0
//
// Keys: the public part that checks signatures, and signers, which make them. Ed25519 is
// libsodium's and what bundles are signed with; ECDSA over P-256 is OpenSSL's and there for OpenSSF
// Model Signing, which knows no Ed25519. A key has one algorithm from birth to end, so that nothing
// that comes with a signature can choose how it is checked. docs/formats/signature.md has the
// bytes.
#ifndef TP_KEY_H
#define TP_KEY_H

#include "base/limits.h"
#include "base/tp_buffer.h"
#include "bundle/tp_bundle.h"

typedef enum tp_key_algorithm { TP_KEY_ED25519, TP_KEY_P256 } tp_key_algorithm;

enum {
    TP_KEY_SEED_SIZE = 32,   // the secret: Ed25519's seed, P-256's number
    TP_KEY_PUBLIC_SIZE = 65, // at most: 32 for Ed25519, an uncompressed point for P-256
    TP_KEY_SIGNATURE_SIZE = 72,
    TP_KEY_NAME_SIZE = 65,    // with the NUL
    TP_KEY_PERSON_SIZE = 257, // with the NUL
    TP_KEY_SHORT_SIZE = 16    // digits of an id that people read
};

// "ed25519", "ecdsa-p256"; false for any other name.
const char *tp_key_algorithm_name(tp_key_algorithm algorithm);
bool tp_key_algorithm_find(tp_str name, tp_key_algorithm *ret_algorithm);

// -- public keys ---------------------------------------------------------------------------------
typedef struct tp_public_key {
    tp_key_algorithm algorithm;
    size_t size;
    uint8_t bytes[TP_KEY_PUBLIC_SIZE];
    tp_sha256 id; // of the bytes
} tp_public_key;

// E_CORRUPT for a size that is not the algorithm's and for a point that is not on the curve.
tapeout_status tp_public_key_init(tp_key_algorithm algorithm, tp_str bytes, tp_public_key *ret_key,
                                  tapeout_error *err);
bool tp_public_key_verify(const tp_public_key *key, tp_str message, tp_str signature);
// SubjectPublicKeyInfo in PEM, as OpenSSL and its users read it.
tapeout_status tp_public_key_write_pem(const tp_public_key *key, tp_buffer *text,
                                       tapeout_error *err);
tapeout_status tp_public_key_read_pem(tp_str text, tp_public_key *ret_key, tapeout_error *err);

// -- signers -------------------------------------------------------------------------------------
// Whoever can sign: a key in memory here; a token behind PKCS#11 would be another such table.
// @thread confined
typedef struct tp_signer tp_signer;
struct tp_signer {
    tp_public_key key;
    // Writes at most TP_KEY_SIGNATURE_SIZE bytes.
    tapeout_status (*sign)(const tp_signer *self, tp_str message, uint8_t *ret_signature,
                           size_t *ret_size, tapeout_error *err);
    void (*free)(tp_signer *self);
};

// From a secret of TP_KEY_SEED_SIZE bytes, which is copied; the copy is wiped when it is freed.
tapeout_status tp_signer_new(const tapeout_allocator *alloc, tp_key_algorithm algorithm,
                             const uint8_t seed[TP_KEY_SEED_SIZE], tp_signer **ret_signer,
                             tapeout_error *err);
void tp_signer_free(tp_signer **signer); // accepts NULL inside; nulls it

// -- files ---------------------------------------------------------------------------------------
// What stands in a key's file beside the key.
typedef struct tp_key_info {
    tp_public_key key;
    char name[TP_KEY_NAME_SIZE];
    char person[TP_KEY_PERSON_SIZE];
    int64_t created_s; // since 1970
    bool is_secret;    // the file holds the secret too
    bool is_sealed;    // under a passphrase
} tp_key_info;

// The text of a public key's file.
void tp_key_public_write(const tp_key_info *info, tp_buffer *text);
// The text of a secret key's file; the buffer is the caller's to wipe. An empty passphrase: none.
tapeout_status tp_key_secret_write(const tp_key_info *info, const uint8_t seed[TP_KEY_SEED_SIZE],
                                   tp_str passphrase, tp_buffer *text, tapeout_error *err);
// What a file of either kind, or a PEM file with a public key, says without its secret.
tapeout_status tp_key_info_parse(const tapeout_allocator *alloc, tp_str text, tp_key_info *ret_info,
                                 tapeout_error *err);
// E_DENIED for a wrong passphrase or none; E_CORRUPT where secret and public part do not fit.
tapeout_status tp_key_open(const tapeout_allocator *alloc, tp_str text, tp_str passphrase,
                           tp_signer **ret_signer, tapeout_error *err);

// -- the keys of a home --------------------------------------------------------------------------
// HOME/keys/NAME.key (mode 0600) and NAME.pub. [A-Za-z0-9][A-Za-z0-9._-]*, fewer than
// TP_KEY_NAME_SIZE bytes.
bool tp_key_name_is_valid(tp_str name);
// E_EXISTS where the name is taken: a key is never written over.
tapeout_status tp_key_home_make(const tapeout_allocator *alloc, const char *home,
                                const tp_key_info *about, tp_str passphrase, tp_key_info *ret_info,
                                tapeout_error *err);
// `key` is a name in the home, or a file's path where it has a slash or ends in .key, .pub or .pem.
tapeout_status tp_key_home_info(const tapeout_allocator *alloc, const char *home, const char *key,
                                tp_key_info *ret_info, tapeout_error *err);
tapeout_status tp_key_home_open(const tapeout_allocator *alloc, const char *home, const char *key,
                                tp_str passphrase, tp_signer **ret_signer, tapeout_error *err);
// Appends the home's keys as a JSON array, by name.
tapeout_status tp_key_home_list(const tapeout_allocator *alloc, const char *home, tp_buffer *json,
                                tapeout_error *err);
#define TP_KEY_OWN "home"
#define TP_KEY_OWN_PERSON "this home" // and whose it is
// The home's own key, made without passphrase and trusted by this home when it is first asked for.
tapeout_status tp_key_home_own(const tapeout_allocator *alloc, const char *home,
                               tp_signer **ret_signer, tapeout_error *err);
void tp_key_info_append(tp_buffer *json, const tp_key_info *info); // an object

#endif
