// SPDX-License-Identifier: Apache-2.0
//
// The small parts of which key files, the trust list and signed statements are made: times, names,
// ids, public keys in JSON. Read strictly, since each of them decides who is believed.
#include "base/tp_error.h"
#include "table/tp_value.h"
#include "trust/key_priv.h"
#include "trust/tp_base64.h"

#include <sodium.h>
#include <string.h>

enum { TIME_TEXT_SIZE = 20, US_PER_S = 1000000 };

// "2026-11-25T16:00:00Z"; years have four digits, so that the size never differs.
static size_t print_time(int64_t time_s, char ret_text[TP_VALUE_TEXT_SIZE])
{
    const size_t size = tp_print_timestamp(time_s * US_PER_S, true, ret_text);
    ret_text[10] = 'T';
    return size;
}

void tp_time_append(tp_buffer *json, int64_t time_s)
{
    char text[TP_VALUE_TEXT_SIZE];
    const size_t size = print_time(time_s, text);
    tp_json_append_str(json, (tp_str){text, size});
}

bool tp_time_parse(tp_str text, bool is_loose, int64_t *ret_time_s)
{
    int64_t us = 0;
    int32_t days = 0;
    bool has_zone = false;
    char again[TP_VALUE_TEXT_SIZE];
    if (is_loose && tp_parse_date(text, &days)) {
        us = days * INT64_C(86400) * US_PER_S;
    } else if (!tp_parse_timestamp(text, &us, &has_zone) || !has_zone) {
        return false;
    }
    const int64_t time_s = us / US_PER_S;
    // Between 1970 and the year 9999: what has one form only.
    if (time_s < 0 || time_s > INT64_C(253402300799)) {
        return false;
    }
    *ret_time_s = time_s;
    return is_loose || (print_time(time_s, again) == TIME_TEXT_SIZE &&
                        tp_str_equal(text, (tp_str){again, TIME_TEXT_SIZE}));
}

tapeout_status tp_key_text(yyjson_val *object, const char *key, char *ret_text, size_t size,
                           tapeout_error *err)
{
    const tp_str text = tp_json_get_str(object, key);
    if (text.data == NULL || text.size >= size) {
        return tp_fail(err, TAPEOUT_E_CORRUPT, "\"%s\" is no string of fewer than %zu bytes", key,
                       size);
    }
    for (size_t i = 0; i < text.size; i++) {
        if ((unsigned char)text.data[i] < 0x20 || text.data[i] == 0x7f) {
            return tp_fail(err, TAPEOUT_E_CORRUPT, "\"%s\" holds a control character", key);
        }
    }
    memcpy(ret_text, text.data, text.size);
    ret_text[text.size] = '\0';
    return TAPEOUT_OK;
}

bool tp_key_id_parse(tp_str text, tp_sha256 *ret_id)
{
    tp_sha256 id;
    char again[TP_SHA256_HEX_SIZE + 1];
    size_t size = 0;
    if (text.size != TP_SHA256_HEX_SIZE ||
        sodium_hex2bin(id.bytes, sizeof(id.bytes), text.data, text.size, NULL, &size, NULL) != 0 ||
        size != sizeof(id.bytes)) {
        return false;
    }
    tp_sha256_hex(&id, again); // hexadecimal has two cases, an id has one
    *ret_id = id;
    return memcmp(again, text.data, text.size) == 0;
}

void tp_key_id_append(tp_buffer *json, const tp_sha256 *id)
{
    char hex[TP_SHA256_HEX_SIZE + 1];
    tp_sha256_hex(id, hex);
    tp_json_append_str(json, (tp_str){hex, TP_SHA256_HEX_SIZE});
}

bool tp_key_id_equal(const tp_sha256 *a, const tp_sha256 *b)
{
    return sodium_memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

void tp_key_public_append(tp_buffer *json, const tp_public_key *key)
{
    tp_json_append_key(json, "algorithm");
    tp_json_append_str(json, tp_str_from(tp_key_algorithm_name(key->algorithm)));
    tp_json_append_key(json, "key_id");
    tp_key_id_append(json, &key->id);
    tp_json_append_key(json, "public");
    tp_buffer_append_char(json, '"');
    tp_base64_append(json, (tp_str){(const char *)key->bytes, key->size});
    tp_buffer_append_char(json, '"');
}

tapeout_status tp_key_public_parse(yyjson_val *object, tp_public_key *ret_key, tapeout_error *err)
{
    tp_key_algorithm algorithm = TP_KEY_ED25519;
    tp_public_key key;
    tp_sha256 id;
    uint8_t bytes[TP_KEY_PUBLIC_SIZE];
    if (!tp_key_algorithm_find(tp_json_get_str(object, "algorithm"), &algorithm)) {
        return tp_fail(err, TAPEOUT_E_CORRUPT, "\"algorithm\" is neither ed25519 nor ecdsa-p256");
    }
    const size_t size = algorithm == TP_KEY_P256 ? 65 : 32;
    if (!tp_base64_decode_exact(tp_json_get_str(object, "public"), bytes, size)) {
        return tp_fail(err, TAPEOUT_E_CORRUPT, "\"public\" is no base64 of %zu bytes", size);
    }
    TP_TRY(tp_public_key_init(algorithm, (tp_str){(char *)bytes, size}, &key, err));
    if (!tp_key_id_parse(tp_json_get_str(object, "key_id"), &id) ||
        !tp_key_id_equal(&id, &key.id)) {
        return tp_fail(err, TAPEOUT_E_CORRUPT, "\"key_id\" is not the SHA-256 of \"public\"");
    }
    *ret_key = key;
    return TAPEOUT_OK;
}
