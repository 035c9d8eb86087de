// SPDX-License-Identifier: Apache-2.0
//
// Requests to others over HTTP/1.1, through libcurl where the system has it (it is looked for at
// the first request, never linked). For the few places that the operator lets call out: a blob
// store, the keys of an issuer.
//
// TLS 1.2 or later with the server's name checked; plain http to this machine alone. Redirects are
// not followed, bodies are bounded, a connection that stalls is given up, no cookies, no .netrc.
// The proxies of the environment (https_proxy, no_proxy) hold for https.
//
// @thread A handle is `confined`; it keeps its connection for the next request.
#ifndef TP_CURL_H
#define TP_CURL_H

#include "base/tp_buffer.h"

typedef struct tp_curl tp_curl;

// Takes the next bytes of an answer; what it fails with is what tp_curl_ask fails with.
typedef tapeout_status tp_curl_sink(void *user, const void *data, size_t size, tapeout_error *err);

// Whether the address that a connection is about to be made to may be called. It is the address
// itself that is asked for, so that a name can't lead elsewhere afterwards. What it fails with is
// what tp_curl_ask fails with, unless another address of the name will do.
struct sockaddr;
typedef tapeout_status tp_curl_accept(void *user, const struct sockaddr *address,
                                      tapeout_error *err);

typedef struct tp_curl_request {
    const char *method; // "GET", "HEAD", "PUT", "POST" or "DELETE"
    const char *url;
    const char *const *headers; // [header_count] "Name: value"
    size_t header_count;
    tp_str body;            // sent with PUT and POST, from where it lies
    const char *ca_file;    // certificates of those who are believed; NULL: the system's
    uint32_t timeout_ms;    // for all of it; 0: as long as bytes come
    tp_curl_sink *sink;     // takes the body of an answer 200 to 299; NULL: it is kept as well
    void *user;             // of the sink
    size_t max_body_bytes;  // of a body that is kept; a longer one is E_LIMIT
    tp_curl_accept *accept; // NULL: every address; else there is no proxy either
    void *accept_user;
} tp_curl_request;

typedef struct tp_curl_answer {
    uint32_t status;   // of HTTP
    tp_buffer headers; // as they came, line by line
    tp_buffer body;    // where no sink took it
} tp_curl_answer;

void tp_curl_answer_init(tp_curl_answer *answer, const tapeout_allocator *alloc);
void tp_curl_answer_deinit(tp_curl_answer *answer);
// The value of a header; empty where there is none.
tp_str tp_curl_answer_header(const tp_curl_answer *answer, tp_str name);

// Whether the text is a URL that tp_curl_ask takes: https, or http to 127.0.0.1, [::1] or
// localhost; nobody's name and password in it. E_INVALID with `what` in front.
tapeout_status tp_curl_url_check(const char *url, const char *what, tapeout_error *err);

// E_UNAVAILABLE where the system has no libcurl.
tapeout_status tp_curl_open(const tapeout_allocator *alloc, tp_curl **ret_curl, tapeout_error *err);
void tp_curl_close(tp_curl **curl); // accepts NULL inside; nulls it

// One request, one answer; OK whatever its status is. `answer` is cleared first. E_UNAVAILABLE
// where nobody answers or the answer breaks off, E_TIMEOUT, E_DENIED for a certificate that is not
// believed, E_LIMIT for a body or headers that are too long, E_INVALID for the URL, or the sink's.
tapeout_status tp_curl_ask(tp_curl *curl, const tp_curl_request *request, tp_curl_answer *answer,
                           tapeout_error *err);

// The version ("7.88.1") and the file of the library, for lists of what runs; false where there is
// none.
bool tp_curl_about(char *ret_version, size_t version_size, char *ret_path, size_t path_size);

#endif
