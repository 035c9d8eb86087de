// SPDX-License-Identifier: Apache-2.0
//
// What the tests of keys and signatures share: keys that are the same in every run, a small bundle,
// and one signature over it.
#ifndef TRUST_CASES_H
#define TRUST_CASES_H

#include "test.h"
#include "trust/tp_trust.h"

// Seconds since 1970 of 2026-11-25T16:00:00Z, at which the cases take place.
#define TRUST_NOW INT64_C(1795622400)

// A signer whose seed is `number`, again and again.
tp_signer *trust_signer(tp_key_algorithm algorithm, uint8_t number);
// A list with the keys of these Ed25519 numbers, named "key1", "key2", …, valid since 1970.
tp_trust_list trust_list(const uint8_t *numbers, size_t count);

// Writes a small bundle named `name` at `path`.
void trust_bundle(const char *path, const char *name);
// The lines of a signature file: an envelope by key `number` over the bundle at `path`.
void trust_sign(const char *path, uint8_t number, int64_t signed_s, tp_buffer *lines);
// The verdict on `lines` over the bundle at `path`; freed with the arena.
tp_verdict trust_verdict(tp_arena *arena, const char *path, tp_str lines,
                         const tp_trust_list *list);
tp_arena trust_arena(void);

#endif
