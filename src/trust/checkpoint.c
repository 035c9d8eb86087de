// SPDX-License-Identifier: Apache-2.0
//
// Signed notes and the checkpoints in them, by C2SP's signed-note and tlog-checkpoint:
//
//   <origin>\n<size>\n<base64 of the root>\n\n— <name> <base64 of key hash and signature>\n
//
// What is signed is the text up to the empty line, with its last line feed. A key's hash is the
// first four bytes of SHA-256(name ‖ \n ‖ 0x01 ‖ key).
#include "trust/tp_checkpoint.h"

#include "base/limits.h"
#include "base/tp_error.h"
#include "trust/note_priv.h"
#include "trust/tp_base64.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

enum {
    TYPED_SIZE = 1 + TP_NOTE_PUBLIC_SIZE,
    SIGNED_SIZE = TP_NOTE_HASH_SIZE + crypto_sign_BYTES,
    BASE64_ROOM = 128 // more than any of the above needs as text
};

// Starts libsodium, once; fails only where the system has no random numbers.
tapeout_status tp_note_start(tapeout_error *err)
{
    return sodium_init() >= 0 ? TAPEOUT_OK
                              : tp_fail(err, TAPEOUT_E_UNAVAILABLE,
                                        "libsodium finds no random numbers on this machine");
}

// -- lines and base64 ----------------------------------------------------------------------------
// The text up to `mark`, which is taken too.
bool tp_note_take(tp_str *text, char mark, tp_str *ret_part)
{
    const char *end = text->size == 0 ? NULL : memchr(text->data, mark, text->size);
    if (end == NULL) {
        return false;
    }
    *ret_part = (tp_str){text->data, (size_t)(end - text->data)};
    text->data = end + 1;
    text->size -= ret_part->size + 1;
    return true;
}

bool tp_note_base64_read(tp_str text, uint8_t *ret_bytes, size_t size)
{
    return text.size > 0 && tp_base64_decode_exact(text, ret_bytes, size);
}

void tp_note_base64_append(tp_buffer *text, const uint8_t *bytes, size_t size)
{
    char encoded[BASE64_ROOM];
    tp_buffer_append_text(text, sodium_bin2base64(encoded, sizeof(encoded), bytes, size,
                                                  sodium_base64_VARIANT_ORIGINAL));
}

// -- keys ----------------------------------------------------------------------------------------
void tp_note_key_hash(tp_note_key *key)
{
    uint8_t data[TP_NOTE_NAME_SIZE + 2 + TP_NOTE_PUBLIC_SIZE];
    const size_t size = strlen(key->name);
    memcpy(data, key->name, size);
    data[size] = '\n';
    data[size + 1] = NOTE_ED25519;
    memcpy(data + size + 2, key->bytes, TP_NOTE_PUBLIC_SIZE);
    const tp_sha256 hash = tp_sha256_of(data, size + 2 + TP_NOTE_PUBLIC_SIZE);
    memcpy(key->hash, hash.bytes, TP_NOTE_HASH_SIZE);
}

// Printable, without blanks and '+'.
static bool set_name(tp_note_key *key, tp_str name)
{
    if (name.size == 0 || name.size >= TP_NOTE_NAME_SIZE || !tp_utf8_check(name, NULL)) {
        return false;
    }
    for (size_t i = 0; i < name.size; i++) {
        if ((unsigned char)name.data[i] <= ' ' || name.data[i] == '+' || name.data[i] == 0x7f) {
            return false;
        }
    }
    memcpy(key->name, name.data, name.size);
    key->name[name.size] = '\0';
    return true;
}

void tp_note_key_digits(const tp_note_key *key, char ret_digits[NOTE_DIGITS_SIZE])
{
    (void)sodium_bin2hex(ret_digits, NOTE_DIGITS_SIZE, key->hash, TP_NOTE_HASH_SIZE);
}

tapeout_status tp_note_key_read(tp_str text, tp_note_key *ret_key, tapeout_error *err)
{
    tp_note_key key;
    tp_str name;
    tp_str digits;
    uint8_t typed[TYPED_SIZE];
    char hex[NOTE_DIGITS_SIZE];
    text = tp_str_trim(text);
    if (!tp_note_take(&text, '+', &name) || !set_name(&key, name) ||
        !tp_note_take(&text, '+', &digits) || !tp_note_base64_read(text, typed, sizeof(typed)) ||
        typed[0] != NOTE_ED25519) {
        return tp_fail(err, TAPEOUT_E_CORRUPT,
                       "audit: no key of a log: NAME+<8 digits>+<base64> of an Ed25519 key was "
                       "expected");
    }
    memcpy(key.bytes, typed + 1, TP_NOTE_PUBLIC_SIZE);
    tp_note_key_hash(&key);
    tp_note_key_digits(&key, hex);
    if (!tp_str_equal(digits, tp_str_from(hex))) {
        return tp_fail(err, TAPEOUT_E_CORRUPT,
                       "audit: the key of log \"%s\" has the hash %s, not %.*s as it says",
                       key.name, hex, TP_STR_ARGS(digits));
    }
    *ret_key = key;
    return TAPEOUT_OK;
}

void tp_note_key_write(const tp_note_key *key, tp_buffer *text)
{
    char hex[NOTE_DIGITS_SIZE];
    uint8_t typed[TYPED_SIZE] = {NOTE_ED25519};
    memcpy(typed + 1, key->bytes, TP_NOTE_PUBLIC_SIZE);
    tp_note_key_digits(key, hex);
    tp_buffer_append_text(text, key->name);
    tp_buffer_append_char(text, '+');
    tp_buffer_append_text(text, hex);
    tp_buffer_append_char(text, '+');
    tp_note_base64_append(text, typed, sizeof(typed));
    tp_buffer_append_char(text, '\n');
}

// -- checkpoints ---------------------------------------------------------------------------------
tapeout_status tp_checkpoint_write(const tp_note_signer *signer, const tp_checkpoint *checkpoint,
                                   tp_buffer *text, tapeout_error *err)
{
    uint8_t blob[SIGNED_SIZE];
    const size_t begin = text->size;
    TP_TRY(tp_note_start(err));
    tp_buffer_printf(text, "%s\n%llu\n", signer->key.name, (unsigned long long)checkpoint->size);
    tp_note_base64_append(text, checkpoint->root.bytes, TP_SHA256_SIZE);
    tp_buffer_append_char(text, '\n');
    TP_TRY(tp_buffer_check(text, "audit: a checkpoint", err));
    memcpy(blob, signer->key.hash, TP_NOTE_HASH_SIZE);
    (void)crypto_sign_detached(blob + TP_NOTE_HASH_SIZE, NULL, (uint8_t *)text->data + begin,
                               text->size - begin, signer->secret); // always succeeds
    tp_buffer_printf(text, "\n\xe2\x80\x94 %s ", signer->key.name);
    tp_note_base64_append(text, blob, sizeof(blob));
    tp_buffer_append_char(text, '\n');
    return tp_buffer_check(text, "audit: a checkpoint", err);
}

// The note's text without control characters, and the lines of signatures behind its last empty
// line.
static bool split_note(tp_str note, tp_str *ret_text, tp_str *ret_signatures)
{
    if (!tp_utf8_check(note, NULL) || note.size == 0 || note.data[note.size - 1] != '\n') {
        return false;
    }
    size_t cut = 0;
    for (size_t i = 0; i < note.size; i++) {
        if ((unsigned char)note.data[i] < 0x20 && note.data[i] != '\n') {
            return false;
        }
        if (i > 0 && note.data[i] == '\n' && note.data[i - 1] == '\n') {
            cut = i;
        }
    }
    *ret_text = (tp_str){note.data, cut};
    *ret_signatures = (tp_str){note.data + cut + 1, note.size - cut - 1};
    return cut > 0 && ret_signatures->size > 0;
}

typedef enum note_verdict {
    NOTE_IS_SIGNED,
    NOTE_IS_NOT_SIGNED,
    NOTE_IS_FORGED,
    NOTE_IS_BROKEN
} note_verdict;

static note_verdict check_signatures(tp_str text, tp_str lines, const tp_note_key *key)
{
    note_verdict verdict = NOTE_IS_NOT_SIGNED;
    tp_str line;
    for (unsigned count = 0; tp_note_take(&lines, '\n', &line); count++) {
        static const char dash[] = "\xe2\x80\x94 ";
        uint8_t blob[SIGNED_SIZE];
        tp_str name;
        if (count == TP_MAX_NOTE_SIGNATURES || !tp_str_has_prefix(line, TP_STR(dash))) {
            return NOTE_IS_BROKEN;
        }
        tp_str rest = {line.data + sizeof(dash) - 1, line.size - sizeof(dash) + 1};
        if (!tp_note_take(&rest, ' ', &name) || name.size == 0) {
            return NOTE_IS_BROKEN;
        }
        if (!tp_str_equal(name, tp_str_from(key->name)) ||
            !tp_note_base64_read(rest, blob, sizeof(blob)) ||
            memcmp(blob, key->hash, TP_NOTE_HASH_SIZE) != 0) {
            continue; // another's
        }
        if (crypto_sign_verify_detached(blob + TP_NOTE_HASH_SIZE, (const uint8_t *)text.data,
                                        text.size, key->bytes) != 0) {
            return NOTE_IS_FORGED;
        }
        verdict = NOTE_IS_SIGNED;
    }
    return verdict;
}

static bool read_body(tp_str text, tp_str *ret_origin, tp_checkpoint *ret_checkpoint)
{
    tp_str size;
    tp_str root;
    return tp_note_take(&text, '\n', ret_origin) && tp_note_take(&text, '\n', &size) &&
           tp_note_take(&text, '\n', &root) && ret_origin->size > 0 && size.size > 0 &&
           size.data[0] >= '0' && size.data[0] <= '9' && (size.size == 1 || size.data[0] != '0') &&
           tp_str_to_uint64(size, &ret_checkpoint->size) &&
           tp_note_base64_read(root, ret_checkpoint->root.bytes, TP_SHA256_SIZE);
}

tapeout_status tp_checkpoint_read(tp_str text, const tp_note_key *key,
                                  tp_checkpoint *ret_checkpoint, tapeout_error *err)
{
    tp_str body;
    tp_str signatures;
    tp_str origin;
    tp_checkpoint checkpoint;
    TP_TRY(tp_note_start(err));
    if (text.size > TP_MAX_CHECKPOINT_BYTES || !split_note(text, &body, &signatures) ||
        !read_body(body, &origin, &checkpoint)) {
        return tp_fail(err, TAPEOUT_E_CORRUPT,
                       "no checkpoint: name, size and root of a log and a signed line below were "
                       "expected");
    }
    const note_verdict verdict = check_signatures(body, signatures, key);
    if (verdict == NOTE_IS_BROKEN) {
        return tp_fail(err, TAPEOUT_E_CORRUPT, "no checkpoint: a line of signatures is none");
    }
    if (verdict != NOTE_IS_SIGNED) {
        return tp_fail(err, TAPEOUT_E_UNTRUSTED, "the checkpoint of \"%.*s\" %s %s",
                       TP_STR_ARGS(origin),
                       verdict == NOTE_IS_FORGED ? "has a wrong signature of"
                                                 : "is not signed by this log's key",
                       key->name);
    }
    if (!tp_str_equal(origin, tp_str_from(key->name))) {
        return tp_fail(err, TAPEOUT_E_UNTRUSTED, "the checkpoint is of log \"%.*s\", not of %s",
                       TP_STR_ARGS(origin), key->name);
    }
    *ret_checkpoint = checkpoint;
    return TAPEOUT_OK;
}
