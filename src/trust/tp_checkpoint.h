// SPDX-License-Identifier: Apache-2.0
//
// Checkpoints of the audit log in the forms of C2SP (tlog-checkpoint and signed-note): a text of
// the log's name, size and root with signatures below, which any such tool can read. The key is the
// log's own, Ed25519, in HOME/audit/key; the text of the public one is in HOME/audit/key.pub and is
// kept elsewhere by who wants to check the log without believing its machine.
#ifndef TP_CHECKPOINT_H
#define TP_CHECKPOINT_H

#include "base/tp_buffer.h"
#include "bundle/tp_bundle.h"

enum {
    TP_NOTE_NAME_SIZE = 128, // with the NUL
    TP_NOTE_PUBLIC_SIZE = 32,
    TP_NOTE_SECRET_SIZE = 64,
    TP_NOTE_HASH_SIZE = 4
};

// A key that checks: "NAME+<8 digits>+<base64 of 0x01 and the key>".
typedef struct tp_note_key {
    char name[TP_NOTE_NAME_SIZE];
    uint8_t hash[TP_NOTE_HASH_SIZE];
    uint8_t bytes[TP_NOTE_PUBLIC_SIZE];
} tp_note_key;

typedef struct tp_note_signer {
    tp_note_key key;
    uint8_t secret[TP_NOTE_SECRET_SIZE]; // to be wiped by tp_note_signer_deinit
} tp_note_signer;

// A line feed behind it is fine. E_CORRUPT for what is no key.
tapeout_status tp_note_key_read(tp_str text, tp_note_key *ret_key, tapeout_error *err);
void tp_note_key_write(const tp_note_key *key, tp_buffer *text);

// The log's own, made when it is first asked for. E_DENIED where others may read the file.
tapeout_status tp_note_signer_open(const tapeout_allocator *alloc, const char *home,
                                   tp_note_signer *ret_signer, tapeout_error *err);
void tp_note_signer_deinit(tp_note_signer *signer);
// The log's own public key. E_NOT_FOUND where none was ever made.
tapeout_status tp_note_key_open(const tapeout_allocator *alloc, const char *home,
                                tp_note_key *ret_key, tapeout_error *err);

typedef struct tp_checkpoint {
    uint64_t size; // entries 0 … size-1
    tp_sha256 root;
} tp_checkpoint;

// Appends the text of a checkpoint, its origin being the key's name.
tapeout_status tp_checkpoint_write(const tp_note_signer *signer, const tp_checkpoint *checkpoint,
                                   tp_buffer *text, tapeout_error *err);
// E_CORRUPT for what is none; E_UNTRUSTED where `key` has not signed it, or not for this log.
// Signatures of others, such as witnesses, are let be.
tapeout_status tp_checkpoint_read(tp_str text, const tp_note_key *key,
                                  tp_checkpoint *ret_checkpoint, tapeout_error *err);

#endif
