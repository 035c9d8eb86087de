// SPDX-License-Identifier: Apache-2.0
//
// The canonical request, the string to sign, the four keys in a chain: as Amazon's documentation of
// Signature Version 4 for S3 has them. The tests hold Amazon's examples.
#include "registry/s3_sign.h"

#include "bundle/tp_bundle.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { KEY_SIZE = crypto_auth_hmacsha256_BYTES, SCOPE_SIZE = 128 };

static void hmac(const uint8_t *key, size_t key_size, tp_str text, uint8_t ret_key[KEY_SIZE])
{
    crypto_auth_hmacsha256_state state;
    (void)crypto_auth_hmacsha256_init(&state, key, key_size); // these return 0
    (void)crypto_auth_hmacsha256_update(&state, (const uint8_t *)text.data, text.size);
    (void)crypto_auth_hmacsha256_final(&state, ret_key);
    sodium_memzero(&state, sizeof(state));
}

// Of the day, the region and the service: what a leaked one of could sign is little.
static void derive_key(const s3_credentials *credentials, tp_str day, const char *region,
                       uint8_t ret_key[KEY_SIZE])
{
    char first[sizeof(credentials->secret) + 8];
    uint8_t key[KEY_SIZE];
    const int size = snprintf(first, sizeof(first), "AWS4%s", credentials->secret);
    hmac((const uint8_t *)first, (size_t)size, day, ret_key);
    memcpy(key, ret_key, sizeof(key));
    hmac(key, sizeof(key), tp_str_from(region), ret_key);
    memcpy(key, ret_key, sizeof(key));
    hmac(key, sizeof(key), TP_STR("s3"), ret_key);
    memcpy(key, ret_key, sizeof(key));
    hmac(key, sizeof(key), TP_STR("aws4_request"), ret_key);
    sodium_memzero(first, sizeof(first));
    sodium_memzero(key, sizeof(key));
}

typedef crypto_hash_sha256_state hasher;

static void feed(hasher *hash, tp_str text)
{
    (void)crypto_hash_sha256_update(hash, (const uint8_t *)text.data, text.size);
}

static void feed_text(hasher *hash, const char *text)
{
    feed(hash, tp_str_from(text));
}

// The canonical request is hashed as it is put together: nobody needs it whole.
static void hash_request(const s3_signing *signing, const s3_headers *headers,
                         const char *signed_names, char ret_hex[TP_SHA256_HEX_SIZE + 1])
{
    const char *const lines[] = {headers->host, headers->payload_hash, headers->date,
                                 headers->token};
    hasher hash;
    tp_sha256 digest;
    (void)crypto_hash_sha256_init(&hash);
    feed_text(&hash, signing->method);
    feed_text(&hash, "\n");
    feed(&hash, signing->path);
    feed_text(&hash, "\n");
    feed(&hash, signing->query);
    feed_text(&hash, "\n");
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]) && lines[i][0] != '\0'; i++) {
        const char *colon = strchr(lines[i], ':'); // "name: value" is "name:value" there
        feed(&hash, (tp_str){lines[i], (size_t)(colon - lines[i]) + 1});
        feed_text(&hash, colon + 2);
        feed_text(&hash, "\n");
    }
    feed_text(&hash, "\n");
    feed_text(&hash, signed_names);
    feed_text(&hash, "\n");
    feed_text(&hash, signing->payload_hash);
    (void)crypto_hash_sha256_final(&hash, digest.bytes);
    tp_sha256_hex(&digest, ret_hex);
}

void tp_s3_sign(const s3_signing *signing, const s3_credentials *credentials,
                s3_headers *ret_headers)
{
    char date[24] = "";
    char scope[SCOPE_SIZE];
    char request[TP_SHA256_HEX_SIZE + 1];
    char text[64 + SCOPE_SIZE + TP_SHA256_HEX_SIZE];
    uint8_t key[KEY_SIZE];
    tp_sha256 signature;
    char hex[TP_SHA256_HEX_SIZE + 1];
    const time_t now = (time_t)signing->now_s;
    struct tm parts = {0};
    const bool has_token = credentials->token[0] != '\0';
    const char *names = has_token ? "host;x-amz-content-sha256;x-amz-date;x-amz-security-token"
                                  : "host;x-amz-content-sha256;x-amz-date";
    (void)gmtime_r(&now, &parts);
    (void)strftime(date, sizeof(date), "%Y%m%dT%H%M%SZ", &parts);
    (void)snprintf(ret_headers->host, sizeof(ret_headers->host), "host: %s", signing->host);
    (void)snprintf(ret_headers->date, sizeof(ret_headers->date), "x-amz-date: %s", date);
    (void)snprintf(ret_headers->payload_hash, sizeof(ret_headers->payload_hash),
                   "x-amz-content-sha256: %s", signing->payload_hash);
    ret_headers->token[0] = '\0';
    if (has_token) {
        (void)snprintf(ret_headers->token, sizeof(ret_headers->token), "x-amz-security-token: %s",
                       credentials->token);
    }
    hash_request(signing, ret_headers, names, request);
    (void)snprintf(scope, sizeof(scope), "%.8s/%.63s/s3/aws4_request", date, signing->region);
    const int size =
        snprintf(text, sizeof(text), "AWS4-HMAC-SHA256\n%s\n%s\n%s", date, scope, request);
    derive_key(credentials, (tp_str){date, 8}, signing->region, key);
    hmac(key, sizeof(key), (tp_str){text, (size_t)size}, signature.bytes);
    sodium_memzero(key, sizeof(key));
    tp_sha256_hex(&signature, hex);
    (void)snprintf(ret_headers->authorization, sizeof(ret_headers->authorization),
                   "authorization: AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, "
                   "Signature=%s",
                   credentials->key_id, scope, names, hex);
}

void tp_s3_query_add(tp_buffer *query, const char *name, tp_str value)
{
    tp_buffer_append_text(query, query->size == 0 ? "" : "&");
    tp_buffer_append_text(query, name);
    tp_buffer_append_char(query, '=');
    for (size_t i = 0; i < value.size; i++) {
        const char c = value.data[i];
        const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                              (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
                              c == '~';
        if (is_plain) {
            tp_buffer_append_char(query, c);
        } else {
            tp_buffer_printf(query, "%%%02X", (unsigned)(unsigned char)c);
        }
    }
}
