// SPDX-License-Identifier: Apache-2.0
//
// What tls_cases.h promises, on OpenSSL itself.
#include "tls_cases.h"

#include "base/tp_alloc.h"
#include "test.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

static void add(X509 *certificate, X509 *issuer, int name, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, name, value);
    ASSERT(extension != NULL);
    ASSERT_EQ_INT(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static void save(const tls_case_pair *pair)
{
    FILE *cert = fopen(pair->cert, "w");
    FILE *key = fopen(pair->key, "w");
    ASSERT(cert != NULL && key != NULL);
    ASSERT_EQ_INT(PEM_write_X509(cert, pair->x509), 1);
    ASSERT_EQ_INT(PEM_write_PrivateKey(key, pair->pkey, NULL, NULL, 0, NULL, NULL), 1);
    ASSERT_EQ_INT(fclose(cert), 0);
    ASSERT_EQ_INT(fclose(key), 0);
}

void tls_case_make(tls_case_pair *pair, const char *name, const char *names,
                   const tls_case_pair *issuer, int days)
{
    static long serial = 1;
    (void)snprintf(pair->cert, sizeof(pair->cert), "%s/%s.crt", test_temp_dir(), name);
    (void)snprintf(pair->key, sizeof(pair->key), "%s/%s.key", test_temp_dir(), name);
    pair->pkey = EVP_EC_gen("P-256");
    pair->x509 = X509_new();
    X509 *x509 = pair->x509;
    X509_NAME *subject = X509_get_subject_name(x509);
    ASSERT_EQ_INT(X509_set_version(x509, X509_VERSION_3), 1);
    ASSERT_EQ_INT(ASN1_INTEGER_set(X509_get_serialNumber(x509), serial++), 1);
    ASSERT(X509_gmtime_adj(X509_getm_notBefore(x509), days < 0 ? 2 * 86400L * days : -60) != NULL);
    ASSERT(X509_gmtime_adj(X509_getm_notAfter(x509), 86400L * days) != NULL);
    ASSERT_EQ_INT(X509_set_pubkey(x509, pair->pkey), 1);
    ASSERT_EQ_INT(X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_ASC,
                                             (const unsigned char *)"Tests", -1, -1, 0),
                  1);
    ASSERT_EQ_INT(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                                             (const unsigned char *)name, -1, -1, 0),
                  1);
    X509 *above = issuer == NULL ? x509 : issuer->x509;
    ASSERT_EQ_INT(X509_set_issuer_name(x509, X509_get_subject_name(above)), 1);
    add(x509, above, NID_basic_constraints, issuer == NULL ? "critical,CA:TRUE" : "CA:FALSE");
    if (names != NULL) {
        add(x509, above, NID_subject_alt_name, names);
    }
    ASSERT(X509_sign(x509, issuer == NULL ? pair->pkey : issuer->pkey, EVP_sha256()) > 0);
    save(pair);
}

void tls_case_free(tls_case_pair *pair)
{
    X509_free(pair->x509);
    EVP_PKEY_free(pair->pkey);
}

SSL_CTX *tls_case_client_new(const tls_case_pair *trusted)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    ASSERT(context != NULL);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    ASSERT_EQ_INT(X509_STORE_add_cert(SSL_CTX_get_cert_store(context), trusted->x509), 1);
    return context;
}

void tls_case_link_open(tls_case_link *link, tp_tls *tls, SSL_CTX *client)
{
    memset(link, 0, sizeof(*link));
    link->client = SSL_new(client);
    link->to_client = BIO_new(BIO_s_mem());
    link->from_client = BIO_new(BIO_s_mem());
    SSL_set_bio(link->client, link->to_client, link->from_client);
    SSL_set_connect_state(link->client);
    ASSERT_OK(tp_tls_session_new(tls, tp_allocator_default(), &link->session, &test_err));
}

static bool feed(tls_case_link *link)
{
    char bytes[4096];
    const size_t most = link->step == 0 ? sizeof(bytes) : link->step;
    const int size = BIO_read(link->from_client, bytes, (int)most);
    if (size <= 0) {
        return false;
    }
    size_t got = 0;
    tp_tls_session_feed(link->session, bytes, (size_t)size);
    do {
        link->last_event = tp_tls_session_read(link->session, link->got + link->got_size,
                                               sizeof(link->got) - link->got_size, &got);
        link->got_size += got;
    } while (link->last_event == TP_TLS_DATA && link->got_size < sizeof(link->got));
    return true;
}

bool tls_case_link_run(tls_case_link *link)
{
    bool is_done = false;
    for (bool moved = true; moved;) {
        is_done = SSL_do_handshake(link->client) == 1;
        ERR_clear_error();
        moved = feed(link);
        tp_buffer *wire = tp_tls_session_wire(link->session);
        if (wire->size > 0) {
            ASSERT_EQ_INT(BIO_write(link->to_client, wire->data, (int)wire->size), wire->size);
            tp_buffer_clear(wire);
            moved = true;
        }
    }
    return is_done;
}

void tls_case_link_close(tls_case_link *link)
{
    SSL_free(link->client);
    tp_tls_session_free(link->session);
}
