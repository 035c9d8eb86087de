// SPDX-License-Identifier: Apache-2.0
//
// What the request line and the headers say together: the rules of RFC 9112 that llhttp leaves to
// its user. Two readings of one message are how requests are smuggled past a proxy, so whatever
// could be read twice is refused: two Hosts, a length beside a coding, a coding in HTTP/1.0, a
// coding that is not exactly `chunked`.
#include "serve/tp_http.h"

#include <string.h>

const char *tp_http_method_name(tp_http_method method)
{
    static const char *const names[TP_HTTP_METHOD_COUNT] = {"OTHER", "GET",   "HEAD",   "POST",
                                                            "PUT",   "PATCH", "DELETE", "OPTIONS"};
    return method < TP_HTTP_METHOD_COUNT ? names[method] : names[TP_HTTP_OTHER];
}

tp_str tp_http_header_find(const tp_http_request *request, const char *name)
{
    const size_t size = strlen(name);
    for (uint32_t i = 0; i < request->header_count; i++) {
        const tp_http_header *header = &request->headers[i];
        if (header->name.size == size && memcmp(header->name.data, name, size) == 0) {
            return header->value;
        }
    }
    return (tp_str){NULL, 0};
}

uint32_t tp_http_header_count(const tp_http_request *request, const char *name)
{
    const tp_str wanted = tp_str_from(name);
    uint32_t count = 0;
    for (uint32_t i = 0; i < request->header_count; i++) {
        count += tp_str_equal(request->headers[i].name, wanted);
    }
    return count;
}

static bool is_host_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static bool is_ip_literal_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == ':' ||
           c == '.';
}

// uri-host [":" port], narrower than the grammar: no percent-encoding, no sub-delims, no user.
static bool is_host(tp_str text)
{
    size_t i = 0;
    if (text.size > 0 && text.data[0] == '[') {
        for (i = 1; i < text.size && is_ip_literal_char(text.data[i]); i++) {
        }
        if (i < 3 || i >= text.size || text.data[i] != ']') {
            return false;
        }
        i++;
    } else {
        for (; i < text.size && is_host_char(text.data[i]); i++) {
        }
        if (i == 0) {
            return false;
        }
    }
    if (i == text.size) {
        return true;
    }
    if (text.data[i] != ':' || text.size - i > 6) {
        return false;
    }
    for (i++; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
    }
    return true;
}

static int check_host(const tp_http_request *request, const char **ret_why)
{
    const uint32_t count = tp_http_header_count(request, "host");
    if (count == 0 && request->version_minor == 0) {
        return 0;
    }
    if (count != 1) {
        *ret_why = count == 0 ? "no Host header" : "more than one Host header";
        return 400;
    }
    const tp_str host = tp_http_header_find(request, "host");
    if (!is_host(host)) {
        *ret_why = "malformed Host header";
        return 400;
    }
    // A target that names its authority must name the same one.
    static const char scheme[] = "http://";
    tp_str target = request->target;
    if (target.size > 7 && tp_str_equal_ignore_case((tp_str){target.data, 7}, TP_STR(scheme))) {
        size_t end = 7;
        while (end < target.size && target.data[end] != '/' && target.data[end] != '?') {
            end++;
        }
        if (!tp_str_equal_ignore_case((tp_str){target.data + 7, end - 7}, host)) {
            *ret_why = "the request target and the Host header differ";
            return 400;
        }
    }
    return 0;
}

static int check_length(tp_http_request *request, const llhttp_t *parser, const char **ret_why)
{
    const uint32_t coding_count = tp_http_header_count(request, "transfer-encoding");
    const uint32_t length_count = tp_http_header_count(request, "content-length");
    if (length_count > 1 || (length_count > 0 && coding_count > 0)) {
        *ret_why = "more than one length for one body";
        return 400;
    }
    if (coding_count > 0) {
        const tp_str coding = tp_http_header_find(request, "transfer-encoding");
        if (request->version_minor == 0 || coding_count > 1) {
            *ret_why = "Transfer-Encoding is not allowed here";
            return 400;
        }
        if (!tp_str_equal_ignore_case(coding, TP_STR("chunked"))) {
            *ret_why = "transfer coding other than chunked";
            return tp_str_has_suffix(coding, TP_STR(", chunked")) ? 501 : 400;
        }
        return 0;
    }
    if (length_count > 0) {
        const tp_str length = tp_http_header_find(request, "content-length");
        uint64_t value = 0;
        if (length.size == 0 || length.data[0] < '0' || length.data[0] > '9' ||
            !tp_str_to_uint64(length, &value)) {
            *ret_why = "malformed Content-Length";
            return 400;
        }
        request->content_length = value < parser->content_length ? parser->content_length : value;
    }
    return 0;
}

int tp_http_length_check(const tp_http_request *request, size_t max_body_bytes,
                         const char **ret_why)
{
    if (request->content_length > max_body_bytes) {
        *ret_why = "request body too large";
        return 413;
    }
    return 0;
}

static int check_expect(const tp_http_request *request, const llhttp_t *parser,
                        bool *ret_expects_continue, const char **ret_why)
{
    const tp_str expect = tp_http_header_find(request, "expect");
    *ret_expects_continue = false;
    if (expect.data == NULL) {
        return 0;
    }
    if (!tp_str_equal_ignore_case(expect, TP_STR("100-continue"))) {
        *ret_why = "only 100-continue can be expected";
        return 417;
    }
    const bool has_body = (parser->flags & F_CHUNKED) != 0 || parser->content_length > 0;
    *ret_expects_continue = has_body && request->version_minor > 0;
    return 0;
}

int tp_http_head_check(tp_http_request *request, const llhttp_t *parser, bool *ret_expects_continue,
                       const char **ret_why)
{
    if (parser->http_major != 1 || parser->http_minor > 1) {
        *ret_why = "HTTP version not supported";
        return 505;
    }
    if (parser->method == HTTP_CONNECT) {
        *ret_why = "CONNECT is not supported";
        return 501;
    }
    int status = check_host(request, ret_why);
    if (status == 0) {
        status = check_length(request, parser, ret_why);
    }
    if (status == 0) {
        status = check_expect(request, parser, ret_expects_continue, ret_why);
    }
    if (status != 0) {
        return status;
    }
    const uint32_t coding_count = tp_http_header_count(request, "content-encoding");
    request->content_coding =
        coding_count == 0
            ? TP_HTTP_IDENTITY
            : tp_http_coding_from_name(tp_http_header_find(request, "content-encoding"));
    if (coding_count > 1 || request->content_coding == TP_HTTP_UNKNOWN_CODING) {
        *ret_why = "content coding other than gzip and deflate";
        return 415;
    }
    return 0;
}
