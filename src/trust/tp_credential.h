// SPDX-License-Identifier: Apache-2.0
//
// What proves who asks: API keys and passwords, and how they are kept so that nobody who reads the
// registry can use them.
//
// An API key is `tpk_<prefix>_<secret>`: 10 and 32 characters of an alphabet of 32, so 160 random
// bits of secret. The prefix finds the row and is no secret; kept is BLAKE2b of the whole under the
// server's secret, a file of the home. With so many bits no slow hash is needed. A password is a
// person's and has few, so it is kept as Argon2id.
//
// Compared is in constant time, and hashes only.
#ifndef TP_CREDENTIAL_H
#define TP_CREDENTIAL_H

#include "base/tp_str.h"

#include <tapeout/context.h>

enum {
    TP_API_KEY_PREFIX_SIZE = 10,
    TP_API_KEY_SECRET_SIZE = 32,
    TP_API_KEY_SIZE = 4 + TP_API_KEY_PREFIX_SIZE + 1 + TP_API_KEY_SECRET_SIZE,
    TP_CREDENTIAL_HASH_SIZE = 32,
    TP_PASSWORD_HASH_TEXT_SIZE = 128 // with the NUL
};

// Readies libsodium; whoever makes or checks credentials calls it once before. E_INTERNAL where the
// system has no random bytes.
tapeout_status tp_credentials_begin(tapeout_error *err);

typedef struct tp_server_secret {
    uint8_t bytes[32];
} tp_server_secret;

// The secret in `home`/access.secret, made on first use (0600, synced). E_DENIED where others may
// read the file, E_CORRUPT for another size, or as the system says.
tapeout_status tp_server_secret_open(const tapeout_allocator *alloc, const char *home,
                                     tp_server_secret *ret_secret, tapeout_error *err);
// A number by which two secrets are told apart, 16 hexadecimal digits and a NUL. It says nothing of
// the secret.
void tp_server_secret_mark(const tp_server_secret *secret, char ret_mark[17]);

// A new key, with a NUL behind it.
void tp_api_key_make(char ret_key[TP_API_KEY_SIZE + 1]);
// Whether the text has the form of a key; `ret_prefix` is a view into it.
bool tp_api_key_split(tp_str key, tp_str *ret_prefix);
void tp_api_key_hash(const tp_server_secret *secret, tp_str key,
                     uint8_t ret_hash[TP_CREDENTIAL_HASH_SIZE]);
bool tp_credential_equal(const uint8_t a[TP_CREDENTIAL_HASH_SIZE],
                         const uint8_t b[TP_CREDENTIAL_HASH_SIZE]);

// Takes tens of milliseconds and 19 MiB, as it should. E_NOMEM, E_LIMIT for a password that is too
// long, E_INVALID for one that is too short to be one.
tapeout_status tp_password_hash(tp_str password, char ret_text[TP_PASSWORD_HASH_TEXT_SIZE],
                                tapeout_error *err);
// Whether `password` is the one that `hash` was made of. Takes as long for a NULL hash, that of
// nobody, which is no password's.
bool tp_password_check(const char *hash, tp_str password);

// Replaces what looks like an API key in `text` by "tpk_..." in place; returns the new size. For
// whatever is written to a log.
size_t tp_api_key_mask(char *text, size_t size);
// Whether there is one.
bool tp_api_key_is_within(tp_str text);

#endif
