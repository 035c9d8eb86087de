// SPDX-License-Identifier: Apache-2.0
//
// The log's own key: made at first use, read by its owner alone. Of two processes that make one at
// once both end up with the same, since none is ever written over.
#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "base/tp_private_file.h"
#include "trust/note_priv.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

static void signer_from_seed(const uint8_t seed[crypto_sign_SEEDBYTES], tp_note_signer *signer)
{
    char hex[TP_SHA256_HEX_SIZE + 1];
    (void)crypto_sign_seed_keypair(signer->key.bytes, signer->secret, seed); // always succeeds
    const tp_sha256 hash = tp_sha256_of(signer->key.bytes, TP_NOTE_PUBLIC_SIZE);
    tp_sha256_hex(&hash, hex);
    (void)snprintf(signer->key.name, sizeof(signer->key.name), "tapeout-audit-%.16s", hex);
    tp_note_key_hash(&signer->key);
}

// "PRIVATE+KEY+<name>+<8 digits>+<base64 of 0x01 and the seed>", as the tools of signed notes have
// it.
static void write_secret(const tp_note_key *key, const uint8_t seed[crypto_sign_SEEDBYTES],
                         tp_buffer *text)
{
    char hex[NOTE_DIGITS_SIZE];
    uint8_t typed[1 + crypto_sign_SEEDBYTES] = {NOTE_ED25519};
    memcpy(typed + 1, seed, crypto_sign_SEEDBYTES);
    tp_note_key_digits(key, hex);
    tp_buffer_printf(text, "PRIVATE+KEY+%s+%s+", key->name, hex);
    tp_note_base64_append(text, typed, sizeof(typed));
    tp_buffer_append_char(text, '\n');
    sodium_memzero(typed, sizeof(typed));
}

static tapeout_status read_secret(tp_str text, tp_note_signer *ret_signer, tapeout_error *err)
{
    tp_str part = {NULL, 0};
    uint8_t typed[1 + crypto_sign_SEEDBYTES];
    bool is_good = true;
    text = tp_str_trim(text);
    for (int i = 0; i < 4; i++) { // PRIVATE, KEY, the name, the hash: all follow from the seed
        is_good = is_good && tp_note_take(&text, '+', &part);
    }
    is_good =
        is_good && tp_note_base64_read(text, typed, sizeof(typed)) && typed[0] == NOTE_ED25519;
    if (is_good) {
        signer_from_seed(typed + 1, ret_signer);
    }
    sodium_memzero(typed, sizeof(typed));
    return is_good ? TAPEOUT_OK
                   : tp_fail(err, TAPEOUT_E_CORRUPT,
                             "audit: the file of the log's key is damaged; take it from a backup, "
                             "or move it away for a new one");
}

// Another process may be first: its key is then the one.
static tapeout_status make_key(const tapeout_allocator *alloc, const char *path, tapeout_error *err)
{
    uint8_t seed[crypto_sign_SEEDBYTES];
    char public_path[TP_MAX_PATH_BYTES];
    tp_note_signer signer;
    tp_buffer text;
    if (snprintf(public_path, sizeof(public_path), "%s.pub", path) >= (int)sizeof(public_path)) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "audit: the path of the home directory is too long");
    }
    randombytes_buf(seed, sizeof(seed));
    signer_from_seed(seed, &signer);
    tp_buffer_init(&text, alloc, TP_MAX_CHECKPOINT_BYTES);
    (void)tp_buffer_reserve(&text, 512); // so that no copy of the secret is left behind by growing
    write_secret(&signer.key, seed, &text);
    tapeout_status status = tp_buffer_check(&text, "audit: the log's key", err);
    if (status == TAPEOUT_OK) {
        status = tp_private_file_make(path, tp_buffer_view(&text), false, err);
        sodium_memzero(text.data, text.size);
    }
    if (status == TAPEOUT_OK) {
        tp_buffer_clear(&text);
        tp_note_key_write(&signer.key, &text);
        status = tp_buffer_check(&text, "audit: the log's key", err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_private_file_make(public_path, tp_buffer_view(&text), true, err);
    }
    tp_buffer_deinit(&text);
    sodium_memzero(seed, sizeof(seed));
    tp_note_signer_deinit(&signer);
    return status == TAPEOUT_E_EXISTS ? TAPEOUT_OK : status;
}

static tapeout_status key_path(const char *home, const char *name, char ret_path[TP_MAX_PATH_BYTES],
                               tapeout_error *err)
{
    const int size = snprintf(ret_path, TP_MAX_PATH_BYTES, "%s/audit/%s", home, name);
    return size > 0 && size < (int)TP_MAX_PATH_BYTES
               ? TAPEOUT_OK
               : tp_fail(err, TAPEOUT_E_LIMIT, "audit: the path of the home directory is too long");
}

tapeout_status tp_note_signer_open(const tapeout_allocator *alloc, const char *home,
                                   tp_note_signer *ret_signer, tapeout_error *err)
{
    char path[TP_MAX_PATH_BYTES];
    tp_note_signer signer;
    tp_str text = {NULL, 0};
    TP_TRY(tp_note_start(err));
    TP_TRY(key_path(home, "key", path, err));
    if (!tp_path_exists(path)) {
        TP_TRY(make_key(alloc, path, err));
    }
    TP_TRY(tp_private_file_check(path, false, err));
    TP_TRY(tp_file_read(alloc, path, TP_MAX_CHECKPOINT_BYTES, &text, err));
    const tapeout_status status = read_secret(text, &signer, err);
    sodium_memzero((char *)(uintptr_t)text.data, text.size);
    tp_free(alloc, (char *)(uintptr_t)text.data, text.size + 1);
    if (status == TAPEOUT_OK) {
        *ret_signer = signer;
    }
    return status;
}

void tp_note_signer_deinit(tp_note_signer *signer)
{
    sodium_memzero(signer, sizeof(*signer));
}

tapeout_status tp_note_key_open(const tapeout_allocator *alloc, const char *home,
                                tp_note_key *ret_key, tapeout_error *err)
{
    char path[TP_MAX_PATH_BYTES];
    tp_str text = {NULL, 0};
    TP_TRY(key_path(home, "key.pub", path, err));
    TP_TRY(tp_file_read(alloc, path, TP_MAX_CHECKPOINT_BYTES, &text, err));
    const tapeout_status status = tp_note_key_read(text, ret_key, err);
    tp_free(alloc, (char *)(uintptr_t)text.data, text.size + 1);
    return status;
}
