// SPDX-License-Identifier: Apache-2.0
//
// The text of API keys, their keyed hash, passwords, and keeping keys out of logs. The alphabet has
// no letters that look alike and no marks, so that a double click takes the whole key.
#include "base/limits.h"
#include "base/tp_error.h"
#include "trust/tp_credential.h"

#include <sodium.h>
#include <string.h>

static const char alphabet[] = "abcdefghijkmnpqrstuvwxyz23456789";
static const char mark[] = "tpk_";

enum { MARK_SIZE = sizeof(mark) - 1, MASKED_SIZE = sizeof("tpk_...") - 1 };

// OWASP's choice for Argon2id: 19 MiB, two passes, one lane.
enum { PASSWORD_PASSES = 2, PASSWORD_BYTES = 19456 * 1024 };

_Static_assert(sizeof(alphabet) == 33, "five bits a character");
_Static_assert((int)TP_PASSWORD_HASH_TEXT_SIZE >= (int)crypto_pwhash_STRBYTES, "room for the text");

tapeout_status tp_credentials_begin(tapeout_error *err)
{
    return sodium_init() >= 0
               ? TAPEOUT_OK
               : tp_fail(err, TAPEOUT_E_INTERNAL, "the system gives no random bytes");
}

static bool is_key_char(char c)
{
    return c != '\0' && memchr(alphabet, c, sizeof(alphabet) - 1) != NULL;
}

static void fill_random(char *text, size_t size)
{
    uint8_t bytes[TP_API_KEY_SECRET_SIZE];
    randombytes_buf(bytes, size);
    for (size_t i = 0; i < size; i++) {
        text[i] = alphabet[bytes[i] & 31];
    }
    sodium_memzero(bytes, sizeof(bytes));
}

void tp_api_key_make(char ret_key[TP_API_KEY_SIZE + 1])
{
    char *prefix = ret_key + MARK_SIZE;
    memcpy(ret_key, mark, MARK_SIZE);
    fill_random(prefix, TP_API_KEY_PREFIX_SIZE);
    prefix[TP_API_KEY_PREFIX_SIZE] = '_';
    fill_random(prefix + TP_API_KEY_PREFIX_SIZE + 1, TP_API_KEY_SECRET_SIZE);
    ret_key[TP_API_KEY_SIZE] = '\0';
}

bool tp_api_key_split(tp_str key, tp_str *ret_prefix)
{
    if (key.size != TP_API_KEY_SIZE || !tp_str_has_prefix(key, TP_STR("tpk_")) ||
        key.data[MARK_SIZE + TP_API_KEY_PREFIX_SIZE] != '_') {
        return false;
    }
    for (size_t i = MARK_SIZE; i < key.size; i++) {
        if (i != MARK_SIZE + TP_API_KEY_PREFIX_SIZE && !is_key_char(key.data[i])) {
            return false;
        }
    }
    *ret_prefix = (tp_str){key.data + MARK_SIZE, TP_API_KEY_PREFIX_SIZE};
    return true;
}

void tp_api_key_hash(const tp_server_secret *secret, tp_str key,
                     uint8_t ret_hash[TP_CREDENTIAL_HASH_SIZE])
{
    // Fails only for sizes that it does not take.
    (void)crypto_generichash(ret_hash, TP_CREDENTIAL_HASH_SIZE, (const uint8_t *)key.data, key.size,
                             secret->bytes, sizeof(secret->bytes));
}

void tp_server_secret_mark(const tp_server_secret *secret, char ret_mark[17])
{
    static const uint8_t label[] = "tapeout: which server secret";
    uint8_t hash[crypto_generichash_BYTES_MIN];
    (void)crypto_generichash(hash, sizeof(hash), label, sizeof(label), secret->bytes,
                             sizeof(secret->bytes));
    (void)sodium_bin2hex(ret_mark, 17, hash, 8);
}

bool tp_credential_equal(const uint8_t a[TP_CREDENTIAL_HASH_SIZE],
                         const uint8_t b[TP_CREDENTIAL_HASH_SIZE])
{
    return sodium_memcmp(a, b, TP_CREDENTIAL_HASH_SIZE) == 0;
}

// -- passwords -----------------------------------------------------------------------------------
tapeout_status tp_password_hash(tp_str password, char ret_text[TP_PASSWORD_HASH_TEXT_SIZE],
                                tapeout_error *err)
{
    if (password.size < TP_MIN_PASSWORD_BYTES || password.size > TP_MAX_PASSWORD_BYTES) {
        return tp_fail(err, TAPEOUT_E_INVALID, "a password of %zu bytes; %u to %u were expected",
                       password.size, TP_MIN_PASSWORD_BYTES, TP_MAX_PASSWORD_BYTES);
    }
    return crypto_pwhash_str_alg(ret_text, password.data, password.size, PASSWORD_PASSES,
                                 PASSWORD_BYTES, crypto_pwhash_ALG_ARGON2ID13) == 0
               ? TAPEOUT_OK
               : tp_fail_nomem(err);
}

bool tp_password_check(const char *hash, tp_str password)
{
    // A salt and a digest that no password has been found for: the work is the same.
    static const char nobody[] = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$"
                                 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    if (password.size > TP_MAX_PASSWORD_BYTES) {
        return false;
    }
    const bool is_right =
        crypto_pwhash_str_verify(hash == NULL ? nobody : hash,
                                 password.size == 0 ? "" : password.data, password.size) == 0;
    return is_right && hash != NULL;
}

// -- logs ----------------------------------------------------------------------------------------
static size_t find_mark(const char *text, size_t size, size_t from)
{
    const char *found = from < size ? memmem(text + from, size - from, mark, MARK_SIZE) : NULL;
    return found == NULL ? size : (size_t)(found - text);
}

bool tp_api_key_is_within(tp_str text)
{
    return text.size > 0 && find_mark(text.data, text.size, 0) < text.size;
}

size_t tp_api_key_mask(char *text, size_t size)
{
    size_t end = 0;
    for (size_t at = 0; at < size;) {
        const size_t found = find_mark(text, size, at);
        memmove(text + end, text + at, found - at);
        end += found - at;
        at = found + MARK_SIZE;
        if (found == size) {
            break;
        }
        while (at < size && (is_key_char(text[at]) || text[at] == '_')) {
            at++;
        }
        // Never longer than what it stands for, so that the place suffices.
        const size_t room = at - found < MASKED_SIZE ? at - found : MASKED_SIZE;
        memcpy(text + end, "tpk_...", room);
        end += room;
    }
    return end;
}
