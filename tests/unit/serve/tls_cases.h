// SPDX-License-Identifier: Apache-2.0
//
// For tests of TLS: certificates made on the spot, and a client that talks to a session of ours
// through memory, as many bytes at a time as a test likes.
#ifndef TLS_CASES_H
#define TLS_CASES_H

#include "serve/tp_tls.h"

#include <openssl/ssl.h>

// A certificate and its key, as files in PEM.
typedef struct tls_case_pair {
    char cert[512];
    char key[512];
    X509 *x509;
    EVP_PKEY *pkey;
} tls_case_pair;

// `issuer` NULL: signed by itself, and an authority. `names` as in OpenSSL's subjectAltName, or
// NULL for none. Days count from today; negative: over.
void tls_case_make(tls_case_pair *pair, const char *name, const char *names,
                   const tls_case_pair *issuer, int days);
void tls_case_free(tls_case_pair *pair);

// A client on one side, a session on the other.
typedef struct tls_case_link {
    SSL *client;
    BIO *to_client;
    BIO *from_client;
    tp_tls_session *session;
    size_t step;             // bytes at a time; 0: all
    tp_tls_event last_event; // of the session
    char got[1 << 16];       // plain bytes that the session read
    size_t got_size;
} tls_case_link;

SSL_CTX *tls_case_client_new(const tls_case_pair *trusted);
void tls_case_link_open(tls_case_link *link, tp_tls *tls, SSL_CTX *client);
// Moves bytes both ways until nobody has any. True once the client's handshake is done.
bool tls_case_link_run(tls_case_link *link);
void tls_case_link_close(tls_case_link *link);

#endif
