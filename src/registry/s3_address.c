// SPDX-License-Identifier: Apache-2.0
//
// Reading an address of blobs in S3. Bucket and prefix are held to letters that no URL, no
// signature and no XML has to escape, so that a key reads the same wherever it stands. An endpoint
// is https, or http on this machine: credentials and models do not travel in the open.
#include "registry/s3_address.h"

#include "base/tp_curl.h"
#include "base/tp_error.h"

#include <stdio.h>
#include <string.h>

static bool is_lower_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_bucket(tp_str text)
{
    if (text.size < 3 || text.size > 63 || !is_lower_or_digit(text.data[0]) ||
        !is_lower_or_digit(text.data[text.size - 1])) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        const char c = text.data[i];
        if (!is_lower_or_digit(c) && c != '-' && (c != '.' || text.data[i - 1] == '.')) {
            return false;
        }
    }
    return true;
}

static bool is_plain(char c)
{
    return is_lower_or_digit(c) || (c >= 'A' && c <= 'Z') || c == '-' || c == '_' || c == '.';
}

static bool is_word(tp_str text, size_t max)
{
    for (size_t i = 0; i < text.size; i++) {
        if (!is_plain(text.data[i])) {
            return false;
        }
    }
    return text.size > 0 && text.size <= max;
}

// Words between single slashes, none of them "." or "..".
static bool is_prefix(tp_str text)
{
    size_t begin = 0;
    for (size_t i = 0; i <= text.size; i++) {
        if (i == text.size || text.data[i] == '/') {
            const tp_str word = {text.data + begin, i - begin};
            if (!is_word(word, 255) || tp_str_equal(word, TP_STR(".")) ||
                tp_str_equal(word, TP_STR(".."))) {
                return false;
            }
            begin = i + 1;
        }
    }
    return text.size < TP_MAX_S3_KEY_BYTES / 2;
}

static tp_str until(tp_str text, char mark, tp_str *ret_rest)
{
    const char *at = memchr(text.data, mark, text.size);
    const size_t size = at == NULL ? text.size : (size_t)(at - text.data);
    *ret_rest =
        at == NULL ? (tp_str){text.data + text.size, 0} : (tp_str){at + 1, text.size - size - 1};
    return (tp_str){text.data, size};
}

// -- parameters ----------------------------------------------------------------------------------
static tapeout_status take_endpoint(tp_str value, s3_address *address, tapeout_error *err)
{
    char url[S3_HOST_SIZE + 16];
    if (value.size > 0 && value.data[value.size - 1] == '/') {
        value.size--;
    }
    const int size = snprintf(url, sizeof(url), "%.*s", TP_STR_ARGS(value));
    if (size < 0 || (size_t)size >= sizeof(url)) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "blobs: an endpoint of %zu bytes, at most %d",
                       value.size, S3_HOST_SIZE);
    }
    TP_TRY(tp_curl_url_check(url, "blobs: endpoint", err));
    const bool is_https = tp_str_has_prefix(value, TP_STR("https://"));
    const size_t scheme = is_https ? 5 : 4;
    tp_str host = {url + scheme + 3, (size_t)size - scheme - 3};
    const tp_str port = is_https ? TP_STR(":443") : TP_STR(":80");
    if (tp_str_has_suffix(host, port)) {
        host.size -= port.size; // as it stands in the Host header, which is signed
    }
    if (host.size == 0 || host.size >= S3_HOST_SIZE - S3_BUCKET_SIZE - 1 ||
        strcspn(url + scheme + 3, "/?#") != (size_t)size - scheme - 3) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "blobs: endpoint \"%.*s\": https://HOST[:PORT] was expected, without a path",
                       TP_STR_ARGS(value));
    }
    (void)snprintf(address->scheme, sizeof(address->scheme), "%s", is_https ? "https" : "http");
    (void)snprintf(address->host, sizeof(address->host), "%.*s", TP_STR_ARGS(host));
    address->has_path_style = true; // what is not Amazon's seldom has names for buckets
    return TAPEOUT_OK;
}

// "name=value", a number of MiB.
typedef struct mib_parameter {
    tp_str name;
    tp_str value;
    uint32_t min;
    uint32_t max;
} mib_parameter;

static tapeout_status take_mib(const mib_parameter *it, uint64_t *ret_bytes, tapeout_error *err)
{
    uint64_t mib = 0;
    if (!tp_str_to_uint64(it->value, &mib) || mib < it->min || mib > it->max) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "blobs: %.*s is a number from %u to %u, not \"%.*s\"", TP_STR_ARGS(it->name),
                       it->min, it->max, TP_STR_ARGS(it->value));
    }
    *ret_bytes = mib << 20;
    return TAPEOUT_OK;
}

static tapeout_status take_style(tp_str value, s3_address *address, tapeout_error *err)
{
    address->has_path_style = tp_str_equal(value, TP_STR("path"));
    return address->has_path_style || tp_str_equal(value, TP_STR("host"))
               ? TAPEOUT_OK
               : tp_fail(err, TAPEOUT_E_INVALID, "blobs: style is path or host, not \"%.*s\"",
                         TP_STR_ARGS(value));
}

static tapeout_status take_region(tp_str value, s3_address *address, tapeout_error *err)
{
    if (!is_word(value, S3_REGION_SIZE - 1)) {
        return tp_fail(err, TAPEOUT_E_INVALID, "blobs: \"%.*s\" is no region", TP_STR_ARGS(value));
    }
    (void)snprintf(address->region, sizeof(address->region), "%.*s", TP_STR_ARGS(value));
    return TAPEOUT_OK;
}

// What stands behind the "?". `style` comes last, since an endpoint sets it.
static tapeout_status take_parameters(tp_str rest, s3_address *address, tapeout_error *err)
{
    tp_str style = {NULL, 0};
    while (rest.size > 0) {
        tp_str value;
        const tp_str item = until(rest, '&', &rest);
        const tp_str name = until(item, '=', &value);
        if (tp_str_equal(name, TP_STR("region"))) {
            TP_TRY(take_region(value, address, err));
        } else if (tp_str_equal(name, TP_STR("endpoint"))) {
            TP_TRY(take_endpoint(value, address, err));
        } else if (tp_str_equal(name, TP_STR("part_mib"))) {
            const mib_parameter part = {name, value, TP_MIN_S3_PART_MIB, TP_MAX_S3_PART_MIB};
            TP_TRY(take_mib(&part, &address->part_bytes, err));
        } else if (tp_str_equal(name, TP_STR("copies_mib"))) {
            const mib_parameter copies = {name, value, 1, TP_MAX_S3_COPIES_MIB};
            TP_TRY(take_mib(&copies, &address->copies_bytes, err));
        } else if (tp_str_equal(name, TP_STR("style"))) {
            style = value;
        } else {
            return tp_fail(err, TAPEOUT_E_INVALID,
                           "blobs: \"%.*s\": the parameters are region, endpoint, style, "
                           "part_mib and copies_mib",
                           TP_STR_ARGS(name));
        }
    }
    return style.data == NULL ? TAPEOUT_OK : take_style(style, address, err);
}

// -- all of it -----------------------------------------------------------------------------------
static void settle_host(s3_address *address)
{
    char host[S3_HOST_SIZE];
    if (address->host[0] == '\0') {
        (void)snprintf(address->host, sizeof(address->host), "s3.%s.amazonaws.com",
                       address->region);
    }
    if (!address->has_path_style) {
        (void)snprintf(host, sizeof(host), "%.63s.%.190s", address->bucket, address->host);
        memcpy(address->host, host, sizeof(host));
    }
}

tapeout_status tp_s3_address_parse(tp_str text, const char *region, s3_address *ret_address,
                                   tapeout_error *err)
{
    s3_address address = {.scheme = "https",
                          .part_bytes = (uint64_t)TP_S3_PART_MIB << 20,
                          .copies_bytes = (uint64_t)TP_S3_COPIES_MIB << 20};
    const tp_str scheme = TP_STR("s3://");
    tp_str parameters;
    tp_str prefix;
    if (!tp_str_has_prefix(text, scheme) || text.size > TP_MAX_S3_ADDRESS_BYTES) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "blobs: \"%.*s\": s3://BUCKET/PREFIX?region=… was expected, of at most %u "
                       "bytes",
                       TP_STR_ARGS(text), TP_MAX_S3_ADDRESS_BYTES);
    }
    const tp_str rest = {text.data + scheme.size, text.size - scheme.size};
    const tp_str place = until(rest, '?', &parameters);
    const tp_str bucket = until(place, '/', &prefix);
    while (prefix.size > 0 && prefix.data[prefix.size - 1] == '/') {
        prefix.size--;
    }
    if (!is_bucket(bucket)) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "blobs: \"%.*s\" is no bucket: 3 to 63 lower-case letters, digits, '-' and "
                       "'.'",
                       TP_STR_ARGS(bucket));
    }
    if (prefix.size > 0 && !is_prefix(prefix)) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "blobs: prefix \"%.*s\": letters, digits, '.', '_' and '-' between single "
                       "slashes",
                       TP_STR_ARGS(prefix));
    }
    (void)snprintf(address.bucket, sizeof(address.bucket), "%.*s", TP_STR_ARGS(bucket));
    (void)snprintf(address.prefix, sizeof(address.prefix), "%.*s", (int)prefix.size, prefix.data);
    // A dot in front of the host would not fit the certificate of Amazon's names.
    address.has_path_style = strchr(address.bucket, '.') != NULL;
    TP_TRY(take_region(tp_str_from(region == NULL ? "us-east-1" : region), &address, err));
    TP_TRY(take_parameters(parameters, &address, err));
    settle_host(&address);
    *ret_address = address;
    return TAPEOUT_OK;
}
