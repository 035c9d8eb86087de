// SPDX-License-Identifier: Apache-2.0
//
// AWS Signature Version 4 for S3, in the Authorization header, over the hash of the body.
//
// Our own few lines and not libcurl's CURLOPT_AWS_SIGV4: version 7.88 of Debian 12 signs a query in
// the order in which it is written and not in its canonical one, later ones encode paths and
// queries in ways that changed from release to release, and a signature that we make can be checked
// against Amazon's published examples.
#ifndef S3_SIGN_H
#define S3_SIGN_H

#include "base/limits.h"
#include "base/tp_buffer.h"

typedef struct s3_credentials {
    char key_id[256];
    char secret[256];
    char token[TP_MAX_S3_SECRET_BYTES]; // of a session; empty: none
} s3_credentials;

typedef struct s3_signing {
    const char *method;
    const char *host;
    const char *region;
    tp_str path;              // encoded, with its first slash
    tp_str query;             // canonical, as tp_s3_query_add makes it; may be empty
    const char *payload_hash; // 64 hexadecimal digits
    int64_t now_s;            // since 1970
} s3_signing;

// The headers that go with the request, in the form "name: value".
typedef struct s3_headers {
    char host[320];
    char date[48];
    char payload_hash[96];
    char token[TP_MAX_S3_SECRET_BYTES + 32]; // empty: none
    char authorization[768];
} s3_headers;

void tp_s3_sign(const s3_signing *signing, const s3_credentials *credentials,
                s3_headers *ret_headers);

// Adds "name=value", encoded as S3 wants it signed. Names come in ascending order.
void tp_s3_query_add(tp_buffer *query, const char *name, tp_str value);

#endif
