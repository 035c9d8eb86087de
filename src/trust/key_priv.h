// SPDX-License-Identifier: Apache-2.0
//
// What the files about keys share: OpenSSL's form of a P-256 key, and the names and times that
// stand in key files and in the trust list.
#ifndef KEY_PRIV_H
#define KEY_PRIV_H

#include "trust/tp_key.h"

#include <openssl/evp.h>

#include "table/tp_json.h"

// A key of P-256; without `secret` its public part. NULL where the point is none or without memory.
EVP_PKEY *tp_key_p256(const uint8_t point[TP_KEY_PUBLIC_SIZE], const BIGNUM *secret);

// Times in files: "2026-11-25T16:00:00Z", whole seconds, UTC.
void tp_time_append(tp_buffer *json, int64_t time_s); // with quotes
// Exactly that form; `is_loose` also takes a date and what tables take for a time with a zone.
bool tp_time_parse(tp_str text, bool is_loose, int64_t *ret_time_s);

// A string of `object` into `ret_text` of `size` bytes with a NUL; E_CORRUPT where it is absent,
// too long or holds control characters.
tapeout_status tp_key_text(yyjson_val *object, const char *key, char *ret_text, size_t size,
                           tapeout_error *err);
// "algorithm", "key_id" and "public" of `object`; E_CORRUPT where they do not fit together.
tapeout_status tp_key_public_parse(yyjson_val *object, tp_public_key *ret_key, tapeout_error *err);
void tp_key_public_append(tp_buffer *json, const tp_public_key *key); // those three, keys sorted
// 64 lower-case digits.
bool tp_key_id_parse(tp_str text, tp_sha256 *ret_id);
void tp_key_id_append(tp_buffer *json, const tp_sha256 *id); // with quotes
bool tp_key_id_equal(const tp_sha256 *a, const tp_sha256 *b);

#endif
