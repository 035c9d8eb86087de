// SPDX-License-Identifier: Apache-2.0
//
// What the files of the S3 client share: the open client and one request of it.
#ifndef S3_PRIV_H
#define S3_PRIV_H

#include "base/tp_curl.h"
#include "registry/s3_address.h"
#include "registry/s3_client.h"
#include "registry/s3_sign.h"

struct tp_s3 {
    const tapeout_allocator *alloc;
    tp_curl *curl;
    tp_curl_answer answer; // of the last request
    s3_address address;
    s3_credentials credentials;
    s3_headers headers;              // of the request that is made
    char root[TP_MAX_S3_KEY_BYTES];  // of the keys: prefix and world, with a slash behind; or empty
    char place[TP_MAX_S3_KEY_BYTES]; // for messages
    char ca_file[TP_MAX_PATH_BYTES]; // empty: the system's
};

typedef struct s3_request {
    const char *method;
    const char *key;      // of the object; NULL: the bucket itself
    tp_str query;         // canonical
    tp_str body;          // of PUT and POST
    bool is_first;        // a PUT only where nothing is there yet; E_EXISTS
    const char *body_hex; // its SHA-256; NULL: it is found out
    tp_curl_sink *sink;   // takes the answer of a GET; NULL: it is kept in s3->answer
    void *user;
    // Before each try, for a sink that begins anew; NULL: nothing.
    tapeout_status (*begin)(void *user, tapeout_error *err);
} s3_request;

// Makes the request until it is answered with less than 500. OK for 200 to 299; 404 is E_NOT_FOUND.
tapeout_status tp_s3_ask(tp_s3 *s3, const s3_request *request, tapeout_error *err);

// "PREFIX/sha256/ab/cdef…"; E_INVALID unless `hex` is 64 lower-case digits.
tapeout_status tp_s3_key(const tp_s3 *s3, tp_str hex, char ret_key[TP_MAX_S3_KEY_BYTES],
                         tapeout_error *err);

// A large blob in parts (s3_parts.c).
tapeout_status tp_s3_put_parts(tp_s3 *s3, const char *key, tp_str data, tapeout_error *err);

// The text of the last element `name` below the outermost one of s3->answer, into `ret_text`; empty
// where there is none.
tapeout_status tp_s3_answer_text(tp_s3 *s3, const char *name, tp_buffer *ret_text,
                                 tapeout_error *err);

#endif
