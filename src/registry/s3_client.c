// SPDX-License-Identifier: Apache-2.0
//
// Opening the client, and one request: signed anew for each try, since a signature holds for
// minutes; answered, or told in a sentence that has S3's own code and words.
#include "registry/s3_client.h"

#include "base/tp_alloc.h"
#include "base/tp_clock.h"
#include "base/tp_error.h"
#include "registry/s3_priv.h"
#include "registry/s3_xml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// -- opening -------------------------------------------------------------------------------------
static tapeout_status take_secret(const char *name, bool is_needed, size_t size, char *ret_value,
                                  tapeout_error *err)
{
    const char *value = getenv(name);
    const size_t length = value == NULL ? 0 : strlen(value);
    if (length == 0 && is_needed) {
        return tp_fail(err, TAPEOUT_E_DENIED,
                       "blobs: S3 needs credentials: set AWS_ACCESS_KEY_ID and "
                       "AWS_SECRET_ACCESS_KEY (%s is missing)",
                       name);
    }
    for (size_t i = 0; i < length; i++) {
        if (value[i] <= ' ' || value[i] > '~') {
            return tp_fail(err, TAPEOUT_E_INVALID, "blobs: %s has a byte that no header may have",
                           name);
        }
    }
    if (length >= size) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "blobs: %s has %zu bytes, at most %zu", name, length,
                       size - 1);
    }
    memcpy(ret_value, length == 0 ? "" : value, length + 1);
    return TAPEOUT_OK;
}

static tapeout_status take_environment(tp_s3 *s3, tapeout_error *err)
{
    s3_credentials *own = &s3->credentials;
    TP_TRY(take_secret("AWS_ACCESS_KEY_ID", true, sizeof(own->key_id), own->key_id, err));
    TP_TRY(take_secret("AWS_SECRET_ACCESS_KEY", true, sizeof(own->secret), own->secret, err));
    TP_TRY(take_secret("AWS_SESSION_TOKEN", false, sizeof(own->token), own->token, err));
    return take_secret("AWS_CA_BUNDLE", false, sizeof(s3->ca_file), s3->ca_file, err);
}

static tapeout_status settle(tp_s3 *s3, const char *address, const char *world, tapeout_error *err)
{
    const char *region = getenv("AWS_REGION");
    region = region == NULL || region[0] == '\0' ? getenv("AWS_DEFAULT_REGION") : region;
    region = region == NULL || region[0] == '\0' ? NULL : region;
    TP_TRY(tp_s3_address_parse(tp_str_from(address), region, &s3->address, err));
    const char *prefix = s3->address.prefix;
    const int size = snprintf(s3->root, sizeof(s3->root), "%s%s%s%s%s", prefix,
                              prefix[0] == '\0' ? "" : "/", world == NULL ? "" : "tenants/",
                              world == NULL ? "" : world, world == NULL ? "" : "/");
    if (size < 0 || (size_t)size >= sizeof(s3->root) / 2) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "blobs: the prefix is too long");
    }
    (void)snprintf(s3->place, sizeof(s3->place), "s3://%s/%.*s", s3->address.bucket,
                   size > 0 ? size - 1 : 0, s3->root);
    TP_TRY(take_environment(s3, err));
    return tp_curl_open(s3->alloc, &s3->curl, err);
}

tapeout_status tp_s3_open(const tapeout_allocator *alloc, const char *address, const char *world,
                          tp_s3 **ret_s3, tapeout_error *err)
{
    tp_s3 *s3 = tp_alloc_zero(alloc, sizeof(*s3));
    if (s3 == NULL) {
        return tp_fail_nomem(err);
    }
    s3->alloc = alloc;
    tp_curl_answer_init(&s3->answer, alloc);
    const tapeout_status status = settle(s3, address, world, err);
    if (status != TAPEOUT_OK) {
        tp_s3_close(&s3);
        return status;
    }
    *ret_s3 = s3;
    return TAPEOUT_OK;
}

void tp_s3_close(tp_s3 **s3)
{
    tp_s3 *it = *s3;
    if (it == NULL) {
        return;
    }
    tp_curl_close(&it->curl);
    tp_curl_answer_deinit(&it->answer);
    tp_free(it->alloc, it, sizeof(*it));
    *s3 = NULL;
}

uint64_t tp_s3_copies_bytes(const tp_s3 *s3)
{
    return s3->address.copies_bytes;
}

const char *tp_s3_place(const tp_s3 *s3)
{
    return s3->place;
}

tapeout_status tp_s3_key(const tp_s3 *s3, tp_str hex, char ret_key[TP_MAX_S3_KEY_BYTES],
                         tapeout_error *err)
{
    for (size_t i = 0; i < hex.size; i++) {
        const char c = hex.data[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
            hex.size = 0;
        }
    }
    if (hex.size != TP_SHA256_HEX_SIZE) {
        return tp_fail(err, TAPEOUT_E_INVALID, "blobs: no SHA-256: 64 digits of 0-9 and a-f");
    }
    (void)snprintf(ret_key, TP_MAX_S3_KEY_BYTES, "%.512ssha256/%.2s/%.62s", s3->root, hex.data,
                   hex.data + 2);
    return TAPEOUT_OK;
}

// -- what an answer says -------------------------------------------------------------------------
typedef struct finding {
    tp_str name;
    tp_buffer *text;
} finding;

static tapeout_status take_named(void *user, const s3_xml_element *element, tapeout_error *err)
{
    const finding *it = user;
    (void)err;
    if (element->depth == 1 && tp_str_equal(element->name, it->name)) {
        tp_buffer_clear(it->text);
        tp_buffer_append_str(it->text, element->text);
    }
    return TAPEOUT_OK;
}

tapeout_status tp_s3_answer_text(tp_s3 *s3, const char *name, tp_buffer *ret_text,
                                 tapeout_error *err)
{
    finding it = {tp_str_from(name), ret_text};
    tp_buffer_clear(ret_text);
    TP_TRY(tp_s3_xml_read(s3->alloc, tp_buffer_view(&s3->answer.body), take_named, &it, err));
    return tp_buffer_check(ret_text, "S3's answer", err);
}

static tapeout_status status_of_answer(const s3_request *request, uint32_t status)
{
    // Another's write of the same object is under way, or has been done.
    if (request->is_first && (status == 409 || status == 412)) {
        return TAPEOUT_E_EXISTS;
    }
    switch (status) {
    case 401:
    case 403:
        return TAPEOUT_E_DENIED;
    case 404:
        return TAPEOUT_E_NOT_FOUND;
    default:
        return status >= 500 || status == 429 ? TAPEOUT_E_UNAVAILABLE : TAPEOUT_E_INVALID;
    }
}

// "blobs: PUT s3://b/p: 403 SignatureDoesNotMatch: …". A body that is no XML has no words for us.
static tapeout_status fail_answer(tp_s3 *s3, const s3_request *request, tapeout_error *err)
{
    tp_buffer code;
    tp_buffer words;
    const uint32_t status = s3->answer.status;
    const tp_str region = tp_curl_answer_header(&s3->answer, TP_STR("x-amz-bucket-region"));
    tp_buffer_init(&code, s3->alloc, TP_MAX_S3_ANSWER_BYTES);
    tp_buffer_init(&words, s3->alloc, TP_MAX_S3_ANSWER_BYTES);
    if (tp_s3_answer_text(s3, "Code", &code, NULL) != TAPEOUT_OK ||
        tp_s3_answer_text(s3, "Message", &words, NULL) != TAPEOUT_OK) {
        tp_buffer_clear(&code);
        tp_buffer_clear(&words);
    }
    const bool is_elsewhere =
        region.size > 0 && !tp_str_equal(region, tp_str_from(s3->address.region));
    const tapeout_status failed =
        tp_fail(err, status_of_answer(request, status), "blobs: %s %s: %u %.*s%s%.*s%s%.*s",
                request->method, s3->place, status, TP_STR_ARGS(tp_buffer_view(&code)),
                words.size > 0 ? ": " : "", TP_STR_ARGS(tp_buffer_view(&words)),
                is_elsewhere ? "; the bucket is in region " : "",
                is_elsewhere ? (int)region.size : 0, region.data);
    tp_buffer_deinit(&code);
    tp_buffer_deinit(&words);
    return failed;
}

// -- one request ---------------------------------------------------------------------------------
static tapeout_status make_url(const tp_s3 *s3, const s3_request *request, tp_str path,
                               tp_buffer *url, tapeout_error *err)
{
    tp_buffer_printf(url, "%s://%s", s3->address.scheme, s3->address.host);
    tp_buffer_append_str(url, path);
    tp_buffer_append_text(url, request->query.size > 0 ? "?" : "");
    tp_buffer_append_str(url, request->query);
    tp_buffer_append_char(url, '\0');
    return tp_buffer_check(url, "blobs: URL", err);
}

static tapeout_status ask_signed(tp_s3 *s3, const s3_request *request, const char *url,
                                 tapeout_error *err)
{
    const s3_headers *own = &s3->headers;
    const char *headers[6] = {own->host, own->date, own->payload_hash, own->authorization};
    size_t header_count = 4;
    if (own->token[0] != '\0') {
        headers[header_count++] = own->token;
    }
    if (request->is_first) {
        headers[header_count++] = "if-none-match: *"; // only x-amz- headers need be signed
    }
    const bool moves_blob = request->sink != NULL || strcmp(request->method, "PUT") == 0;
    const tp_curl_request call = {.method = request->method,
                                  .url = url,
                                  .headers = headers,
                                  .header_count = header_count,
                                  .body = request->body,
                                  .ca_file = s3->ca_file[0] == '\0' ? NULL : s3->ca_file,
                                  .timeout_ms = moves_blob ? 0 : TP_S3_ANSWER_MS,
                                  .sink = request->sink,
                                  .user = request->user,
                                  .max_body_bytes = TP_MAX_S3_ANSWER_BYTES};
    const tapeout_status status = tp_curl_ask(s3->curl, &call, &s3->answer, err);
    if (status != TAPEOUT_OK) {
        tp_error_prefix(err, "blobs: %s", s3->place);
        return status;
    }
    return s3->answer.status >= 200 && s3->answer.status <= 299 ? TAPEOUT_OK
                                                                : fail_answer(s3, request, err);
}

static tapeout_status try_once(tp_s3 *s3, const s3_request *request, const char *body_hex,
                               tapeout_error *err)
{
    char path[S3_BUCKET_SIZE + TP_MAX_S3_KEY_BYTES + 2];
    tp_buffer url;
    const int size = snprintf(path, sizeof(path), "/%s%s%s",
                              s3->address.has_path_style ? s3->address.bucket : "",
                              s3->address.has_path_style && request->key != NULL ? "/" : "",
                              request->key == NULL ? "" : request->key);
    const s3_signing signing = {.method = request->method,
                                .host = s3->address.host,
                                .region = s3->address.region,
                                .path = {path, (size_t)size},
                                .query = request->query,
                                .payload_hash = body_hex,
                                .now_s = tp_clock_unix_us() / 1000000};
    tp_s3_sign(&signing, &s3->credentials, &s3->headers);
    tp_buffer_init(&url, s3->alloc, TP_MAX_URL_BYTES + 1);
    tapeout_status status = make_url(s3, request, signing.path, &url, err);
    if (status == TAPEOUT_OK) {
        status = ask_signed(s3, request, url.data, err);
    }
    tp_buffer_deinit(&url);
    return status;
}

// Twice as long each time, so that a server that has too much to do is left alone.
static void pause_before(unsigned attempt)
{
    const uint64_t ms = (uint64_t)TP_S3_PAUSE_MS << (attempt - 1);
    const struct timespec time = {.tv_sec = (time_t)(ms / 1000),
                                  .tv_nsec = (long)(ms % 1000) * 1000000};
    (void)nanosleep(&time, NULL);
}

tapeout_status tp_s3_ask(tp_s3 *s3, const s3_request *request, tapeout_error *err)
{
    char hex[TP_SHA256_HEX_SIZE + 1];
    const char *body_hex = request->body_hex;
    tapeout_status status = TAPEOUT_OK;
    if (body_hex == NULL) {
        const tp_sha256 hash = tp_sha256_of(request->body.data, request->body.size);
        tp_sha256_hex(&hash, hex);
        body_hex = hex;
    }
    for (unsigned attempt = 0; attempt < TP_MAX_S3_TRIES; attempt++) {
        if (attempt > 0) {
            pause_before(attempt);
        }
        if (request->begin != NULL) {
            TP_TRY(request->begin(request->user, err));
        }
        status = try_once(s3, request, body_hex, err);
        if (status != TAPEOUT_E_UNAVAILABLE && status != TAPEOUT_E_TIMEOUT) {
            return status;
        }
    }
    return status;
}
