// SPDX-License-Identifier: Apache-2.0
//
// A certificate that a server signs for itself, so that TLS can be tried before anybody has been
// asked for one. Clients are to compare its fingerprint or to be given the file; it vouches for
// nothing else (CA:FALSE), so that whoever trusts it trusts this one server.
#include "serve/tls_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_file.h"

#include <arpa/inet.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

enum { LIFE_S = 365 * 86400, SPARE_S = 30 * 86400, SKEW_S = 300 };

static bool is_address(const char *host)
{
    unsigned char bytes[16];
    return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

static bool serves(X509 *certificate, const char *host)
{
    if (host == NULL) {
        return true;
    }
    return is_address(host) ? X509_check_ip_asc(certificate, host, 0) == 1
                            : X509_check_host(certificate, host, 0, 0, NULL) == 1;
}

// Whether the certificate is there and good for a while; the key is looked at when it is used.
static bool is_good(const tapeout_allocator *alloc, const char *cert, const char *host)
{
    tp_str text;
    BIO *bio = NULL;
    if (tp_tls_file_open(alloc, "certificate", cert, &text, &bio, NULL) != TAPEOUT_OK) {
        return false;
    }
    X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    time_t soon = time(NULL) + SPARE_S;
    const bool good = certificate != NULL &&
                      X509_cmp_time(X509_get0_notAfter(certificate), &soon) > 0 &&
                      serves(certificate, host);
    X509_free(certificate);
    (void)BIO_free(bio);
    tp_free(alloc, (char *)(uintptr_t)text.data, text.size + 1);
    ERR_clear_error();
    return good;
}

// -- making one ----------------------------------------------------------------------------------
static bool add_extension(X509 *certificate, int name, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, name, value);
    const bool is_added = extension != NULL && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return is_added;
}

// A host that is neither an address nor a plain name is left out: it could bring commas with it.
static bool is_plain_name(const char *host)
{
    return host[0] != '\0' && strlen(host) < 254 &&
           strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") ==
               strlen(host);
}

static bool add_names(X509 *certificate, const char *host)
{
    char names[512] = "DNS:localhost,IP:127.0.0.1,IP:::1";
    const size_t used = strlen(names);
    if (host != NULL && (is_address(host) || is_plain_name(host))) {
        (void)snprintf(names + used, sizeof(names) - used, ",%s:%s",
                       is_address(host) ? "IP" : "DNS", host);
    }
    return add_extension(certificate, NID_subject_alt_name, names);
}

static bool fill(X509 *certificate, EVP_PKEY *key, const char *host)
{
    static const unsigned char common_name[] = "tapeout";
    unsigned char serial[16];
    X509_NAME *name = X509_get_subject_name(certificate);
    if (RAND_bytes(serial, sizeof(serial)) != 1) {
        return false;
    }
    serial[0] = (serial[0] & 0x7f) | 0x40; // positive and of full length
    BIGNUM *number = BN_bin2bn(serial, sizeof(serial), NULL);
    const bool has_serial =
        number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL;
    BN_free(number);
    return has_serial && X509_set_version(certificate, X509_VERSION_3) == 1 &&
           X509_gmtime_adj(X509_getm_notBefore(certificate), -SKEW_S) != NULL &&
           X509_gmtime_adj(X509_getm_notAfter(certificate), LIFE_S) != NULL &&
           X509_set_pubkey(certificate, key) == 1 &&
           X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8, common_name, -1, -1,
                                      0) == 1 &&
           X509_set_issuer_name(certificate, name) == 1 &&
           add_extension(certificate, NID_basic_constraints, "critical,CA:FALSE") &&
           add_extension(certificate, NID_key_usage, "critical,digitalSignature") &&
           add_extension(certificate, NID_ext_key_usage, "serverAuth") &&
           add_names(certificate, host) && X509_sign(certificate, key, EVP_sha256()) > 0;
}

// Writes what `bio` holds; the key is its owner's alone.
static tapeout_status save(const tapeout_allocator *alloc, BIO *bio, const char *path,
                           bool is_secret, tapeout_error *err)
{
    char *text = NULL;
    const long size = BIO_get_mem_data(bio, &text);
    tp_writer *writer = NULL;
    TP_TRY(is_secret ? tp_writer_open_private(alloc, path, &writer, err)
                     : tp_writer_open(alloc, path, &writer, err));
    const tapeout_status status = tp_writer_write(writer, text, (size_t)size, err);
    if (status != TAPEOUT_OK) {
        tp_writer_abort(&writer);
        return status;
    }
    return tp_writer_commit(&writer, err);
}

static tapeout_status save_both(const tapeout_allocator *alloc, X509 *certificate, EVP_PKEY *key,
                                const char *const *paths, tapeout_error *err)
{
    BIO *cert_text = BIO_new(BIO_s_mem());
    BIO *key_text = BIO_new(BIO_s_secmem());
    tapeout_status status = TAPEOUT_OK;
    if (cert_text == NULL || key_text == NULL || PEM_write_bio_X509(cert_text, certificate) != 1 ||
        PEM_write_bio_PrivateKey(key_text, key, NULL, NULL, 0, NULL, NULL) != 1) {
        status = tp_fail_nomem(err);
    }
    if (status == TAPEOUT_OK) {
        status = save(alloc, key_text, paths[1], true, err);
    }
    if (status == TAPEOUT_OK) {
        status = save(alloc, cert_text, paths[0], false, err);
    }
    (void)BIO_free(cert_text);
    (void)BIO_free(key_text);
    return status;
}

tapeout_status tp_tls_self_make(const tapeout_allocator *alloc, const char *home, const char *host,
                                char *ret_cert, char *ret_key, tapeout_error *err)
{
    char folder[TP_MAX_PATH_BYTES];
    const int size = snprintf(folder, sizeof(folder), "%s/tls", home);
    if (size < 0 || (size_t)size > sizeof(folder) - sizeof("/self.crt")) {
        return tp_fail(err, TAPEOUT_E_INVALID, "tls: the home's path is too long");
    }
    (void)snprintf(ret_cert, TP_MAX_PATH_BYTES, "%.*s/self.crt", size, folder);
    (void)snprintf(ret_key, TP_MAX_PATH_BYTES, "%.*s/self.key", size, folder);
    if (tp_path_exists(ret_key) && is_good(alloc, ret_cert, host)) {
        return TAPEOUT_OK;
    }
    TP_TRY(tp_directory_make(folder, err));
    const char *const paths[2] = {ret_cert, ret_key};
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    const tapeout_status status =
        key != NULL && certificate != NULL && fill(certificate, key, host)
            ? save_both(alloc, certificate, key, paths, err)
            : tp_fail(err, TAPEOUT_E_INTERNAL, "tls: cannot make a certificate: %s",
                      tp_tls_words());
    X509_free(certificate);
    EVP_PKEY_free(key);
    return status;
}
