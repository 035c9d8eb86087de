// SPDX-License-Identifier: Apache-2.0
//
// Keys, whom to trust, and signatures of bundles. A signature is a DSSE envelope around an in-toto
// statement that names the bundle's bytes and what they were made of; it lies beside the bundle,
// or, for a registered one, in the registry. Nothing here asks a server but
// the registry's own database.
//
// @thread All calls are `synchronized`, over processes too.
#ifndef TAPEOUT_TRUST_H
#define TAPEOUT_TRUST_H

#include <tapeout/context.h>

#ifdef __cplusplus
extern "C" {
#endif

// -- keys: HOME/keys/NAME.key, which its owner alone may read, and NAME.pub ----------------------
typedef struct tapeout_key_options {
    uint32_t struct_size;
    const char *name;       // [A-Za-z0-9][A-Za-z0-9._-]*, at most 64 bytes
    const char *person;     // whose key it is; NULL: nobody said
    const char *passphrase; // NULL: the secret lies open in its file
    bool is_p256;           // ECDSA over P-256, for OpenSSF Model Signing, instead of Ed25519
} tapeout_key_options;

TAPEOUT_API void tapeout_key_options_init(tapeout_key_options *options);

// Makes a key. `*ret_json` (freed with tapeout_text_free): name, person, algorithm, key_id, public,
// created, sealed. E_EXISTS: a key is never written over.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_key_new(tapeout_context *context,
                                                             const tapeout_key_options *options,
                                                             char **ret_json, tapeout_error *err);
// {"keys": [...]}, by name.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_key_list(tapeout_context *context,
                                                              char **ret_json, tapeout_error *err);
// One key, by its name or its file's path.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_key_show(tapeout_context *context,
                                                              const char *key, char **ret_json,
                                                              tapeout_error *err);
// The public part as the text of a file: our own, or PEM (SubjectPublicKeyInfo).
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_key_export(tapeout_context *context,
                                                                const char *key, bool as_pem,
                                                                char **ret_text,
                                                                tapeout_error *err);

// -- trust: HOME/trust.json ----------------------------------------------------------------------
typedef struct tapeout_trust_options {
    uint32_t struct_size;
    const char *key;    // a name in the home, or the path of a public key's file or a PEM file
    const char *name;   // under which it is known here; NULL: the file's
    const char *person; // NULL: the file's
    const char *from;   // "2026-11-25" or a time with a zone; NULL: when the key was made
    const char *until;  // NULL: without end
} tapeout_trust_options;

TAPEOUT_API void tapeout_trust_options_init(tapeout_trust_options *options);

// Trusts a key, or sets name, person and validity of one anew. E_DENIED for a revoked one.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_trust_add(tapeout_context *context,
                                                               const tapeout_trust_options *options,
                                                               char **ret_json, tapeout_error *err);
// The trust list as its file has it.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_trust_show(tapeout_context *context,
                                                                char **ret_json,
                                                                tapeout_error *err);
// Takes a key's trust back for good, by name, id or the first eight or more digits of it. Whatever
// it signed, whenever, is refused from then on.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_trust_revoke(tapeout_context *context,
                                                                  const char *key,
                                                                  const char *reason,
                                                                  char **ret_json,
                                                                  tapeout_error *err);

// -- signatures ----------------------------------------------------------------------------------
typedef struct tapeout_sign_options {
    uint32_t struct_size;
    const char *key;        // a name in the home, or the path of a secret key's file
    const char *passphrase; // of the key; NULL: none
    const char *out_path; // NULL: beside the bundle's path, or in the registry for a registered one
    bool is_oms;          // an OpenSSF Model Signing v1.0 bundle, by a P-256 key, instead
} tapeout_sign_options;

TAPEOUT_API void tapeout_sign_options_init(tapeout_sign_options *options);

// Signs a bundle; signatures by other keys stay. `*ret_json`: name, sha256, key_id, signature (a
// path, or "registry"). E_DENIED for a passphrase that is wrong or lacking.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_sign(tapeout_context *context,
                                                          const char *model,
                                                          const tapeout_sign_options *options,
                                                          char **ret_json, tapeout_error *err);

typedef struct tapeout_verify_options {
    uint32_t struct_size;
    const char *key;       // trust this public key alone; a name or a file's path
    const char *trust;     // the path of a trust list instead of the home's
    const char *signature; // a path; NULL: where tapeout_sign puts it
    bool is_oms;           // an OpenSSF Model Signing v1.0 bundle
} tapeout_verify_options;

TAPEOUT_API void tapeout_verify_options_init(tapeout_verify_options *options);

// Checks every byte of a bundle and its signatures. `*ret_json`: verified, name, sha256, signature,
// signatures[{state, key_id, name, person, signed, why}]; it is filled for E_UNTRUSTED too. Other
// failures: what opening a bundle fails with.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_verify(tapeout_context *context,
                                                            const char *model,
                                                            const tapeout_verify_options *options,
                                                            char **ret_json, tapeout_error *err);

#ifdef __cplusplus
}
#endif

#endif
