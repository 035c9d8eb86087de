// SPDX-License-Identifier: Apache-2.0
//
// What keys and checkpoints of signed notes share: their parts as text.
#ifndef NOTE_PRIV_H
#define NOTE_PRIV_H

#include "trust/tp_checkpoint.h"

enum {
    NOTE_ED25519 = 1, // in front of a key, in its text
    NOTE_DIGITS_SIZE = 2 * TP_NOTE_HASH_SIZE + 1
};

// Starts libsodium, once; E_UNAVAILABLE where the system has no random numbers.
tapeout_status tp_note_start(tapeout_error *err);
// The text up to `mark`, which is taken too; false where there is none.
bool tp_note_take(tp_str *text, char mark, tp_str *ret_part);
// Base64 with padding of exactly `size` bytes.
bool tp_note_base64_read(tp_str text, uint8_t *ret_bytes, size_t size);
void tp_note_base64_append(tp_buffer *text, const uint8_t *bytes, size_t size); // at most 72
// Sets the hash by name and key; writes it in hexadecimal.
void tp_note_key_hash(tp_note_key *key);
void tp_note_key_digits(const tp_note_key *key, char ret_digits[NOTE_DIGITS_SIZE]);

#endif
