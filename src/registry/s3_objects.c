// SPDX-License-Identifier: Apache-2.0
//
// Single objects: put, find, fetch, remove. What is fetched is hashed while it comes and gets its
// name only when it is what its name says.
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "registry/s3_priv.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

tapeout_status tp_s3_put(tp_s3 *s3, tp_str hex, tp_str data, tapeout_error *err)
{
    char key[TP_MAX_S3_KEY_BYTES];
    char body_hex[TP_SHA256_HEX_SIZE + 1];
    TP_TRY(tp_s3_key(s3, hex, key, err));
    if (data.size > s3->address.part_bytes) {
        return tp_s3_put_parts(s3, key, data, err);
    }
    // The address is the hash of the body: S3 itself refuses bytes that are others.
    memcpy(body_hex, hex.data, hex.size);
    body_hex[hex.size] = '\0';
    const s3_request request = {.method = "PUT", .key = key, .body = data, .body_hex = body_hex};
    return tp_s3_ask(s3, &request, err);
}

tapeout_status tp_s3_find(tp_s3 *s3, tp_str hex, bool *ret_is_there, uint64_t *ret_size,
                          tapeout_error *err)
{
    char key[TP_MAX_S3_KEY_BYTES];
    TP_TRY(tp_s3_key(s3, hex, key, err));
    const s3_request request = {.method = "HEAD", .key = key};
    const tapeout_status status = tp_s3_ask(s3, &request, err);
    if (status == TAPEOUT_E_NOT_FOUND) { // an answer to HEAD does not say whether the bucket is
        *ret_is_there = false;
        *ret_size = 0;
        return TAPEOUT_OK;
    }
    TP_TRY(status);
    const tp_str length = tp_curl_answer_header(&s3->answer, TP_STR("content-length"));
    if (!tp_str_to_uint64(length, ret_size)) {
        return tp_fail(err, TAPEOUT_E_CORRUPT, "blobs: %s: a HEAD without a length", s3->place);
    }
    *ret_is_there = true;
    return TAPEOUT_OK;
}

tapeout_status tp_s3_remove(tp_s3 *s3, tp_str hex, tapeout_error *err)
{
    char key[TP_MAX_S3_KEY_BYTES];
    TP_TRY(tp_s3_key(s3, hex, key, err));
    const s3_request request = {.method = "DELETE", .key = key};
    return tp_s3_ask(s3, &request, err);
}

// -- whose they are ------------------------------------------------------------------------------
static void owner_key(const tp_s3 *s3, char ret_key[TP_MAX_S3_KEY_BYTES])
{
    (void)snprintf(ret_key, TP_MAX_S3_KEY_BYTES, "%.512sregistry-id", s3->root);
}

tapeout_status tp_s3_owner_read(tp_s3 *s3, tp_buffer *ret_text, tapeout_error *err)
{
    char key[TP_MAX_S3_KEY_BYTES];
    owner_key(s3, key);
    const s3_request request = {.method = "GET", .key = key};
    const tapeout_status status = tp_s3_ask(s3, &request, err);
    tp_buffer_clear(ret_text);
    if (status == TAPEOUT_OK) {
        tp_buffer_append_str(ret_text, tp_buffer_view(&s3->answer.body));
        return tp_buffer_check(ret_text, "blobs: registry-id", err);
    }
    return status == TAPEOUT_E_NOT_FOUND ? TAPEOUT_OK : status;
}

tapeout_status tp_s3_owner_write(tp_s3 *s3, tp_str text, tapeout_error *err)
{
    char key[TP_MAX_S3_KEY_BYTES];
    owner_key(s3, key);
    const s3_request request = {.method = "PUT", .key = key, .body = text, .is_first = true};
    return tp_s3_ask(s3, &request, err);
}

// -- fetching ------------------------------------------------------------------------------------
typedef struct fetching {
    const tp_s3 *s3;
    const char *path;
    tp_writer *writer;
    crypto_hash_sha256_state hash;
    uint64_t size;
} fetching;

static tapeout_status begin_fetch(void *user, tapeout_error *err)
{
    fetching *it = user;
    tp_writer_abort(&it->writer);
    it->size = 0;
    (void)crypto_hash_sha256_init(&it->hash);
    return tp_writer_open(it->s3->alloc, it->path, &it->writer, err);
}

static tapeout_status take_bytes(void *user, const void *data, size_t size, tapeout_error *err)
{
    fetching *it = user;
    it->size += size;
    if (it->size > TP_MAX_S3_OBJECT_BYTES) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "an object of more than %llu bytes",
                       (unsigned long long)TP_MAX_S3_OBJECT_BYTES);
    }
    (void)crypto_hash_sha256_update(&it->hash, data, size);
    return tp_writer_write(it->writer, data, size, err);
}

static tapeout_status check_bytes(fetching *it, tp_str hex, const char *key, tapeout_error *err)
{
    tp_sha256 hash;
    char found[TP_SHA256_HEX_SIZE + 1];
    (void)crypto_hash_sha256_final(&it->hash, hash.bytes);
    tp_sha256_hex(&hash, found);
    return tp_str_equal(tp_str_from(found), hex)
               ? TAPEOUT_OK
               : tp_fail(err, TAPEOUT_E_CORRUPT,
                         "blobs: s3://%s/%s is damaged: its %llu bytes have SHA-256 %s",
                         it->s3->address.bucket, key, (unsigned long long)it->size, found);
}

tapeout_status tp_s3_fetch(tp_s3 *s3, tp_str hex, const char *path, tapeout_error *err)
{
    char key[TP_MAX_S3_KEY_BYTES];
    TP_TRY(tp_s3_key(s3, hex, key, err));
    fetching it = {.s3 = s3, .path = path};
    const s3_request request = {
        .method = "GET", .key = key, .sink = take_bytes, .user = &it, .begin = begin_fetch};
    tapeout_status status = tp_s3_ask(s3, &request, err);
    if (status == TAPEOUT_OK) {
        status = check_bytes(&it, hex, key, err);
    }
    if (status != TAPEOUT_OK) {
        tp_writer_abort(&it.writer);
        return status;
    }
    return tp_writer_commit(&it.writer, err);
}
