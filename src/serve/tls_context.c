// SPDX-License-Identifier: Apache-2.0
//
// What a server shows and whom it trusts: an SSL_CTX made of files. A reload makes a new one and
// swaps it in; connections keep the one that they began with, which OpenSSL counts. A file is
// known to have changed by its place, size and time, all of which a rename or a symbolic link that
// is pointed elsewhere (as mounted secrets are replaced) changes.
#include "serve/tls_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_clock.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "base/tp_hex.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

enum { FILE_COUNT = 3 };

typedef struct file_mark {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
} file_mark;

struct tp_tls {
    const tapeout_allocator *alloc;
    tp_tls_options options;
    BIO_METHOD *wire;
    file_mark marks[FILE_COUNT]; // of what was read last; whoever reloads owns them
    pthread_mutex_t lock;        // guards what follows; a leaf
    SSL_CTX *context;
    tp_tls_facts facts;
};

const char *tp_tls_words(void)
{
    const unsigned long code = ERR_peek_last_error();
    const char *words = ERR_reason_error_string(code);
    ERR_clear_error();
    return words == NULL ? "no reason given" : words;
}

// -- files ---------------------------------------------------------------------------------------
static void mark_read(const tp_tls_options *options, file_mark *ret_marks)
{
    const char *paths[FILE_COUNT] = {options->cert, options->key, options->client_ca};
    memset(ret_marks, 0, FILE_COUNT * sizeof(*ret_marks));
    for (int i = 0; i < FILE_COUNT; i++) {
        struct stat about;
        if (paths[i] != NULL && stat(paths[i], &about) == 0) {
            ret_marks[i].device = about.st_dev;
            ret_marks[i].inode = about.st_ino;
            ret_marks[i].size = about.st_size;
            ret_marks[i].changed = about.st_mtim;
        }
    }
}

bool tp_tls_has_changed(const tp_tls *tls)
{
    file_mark now[FILE_COUNT];
    mark_read(&tls->options, now);
    return memcmp(now, tls->marks, sizeof(now)) != 0;
}

tapeout_status tp_tls_file_open(const tapeout_allocator *alloc, const char *what, const char *path,
                                tp_str *ret_text, BIO **ret_bio, tapeout_error *err)
{
    const tapeout_status status = tp_file_read(alloc, path, TP_MAX_TLS_FILE_BYTES, ret_text, err);
    if (status != TAPEOUT_OK) {
        tp_error_prefix(err, "tls: %s", what);
        return status;
    }
    *ret_bio = BIO_new_mem_buf(ret_text->data, (int)ret_text->size);
    if (*ret_bio == NULL) {
        tp_free(alloc, (char *)(uintptr_t)ret_text->data, ret_text->size + 1);
        return tp_fail_nomem(err);
    }
    return TAPEOUT_OK;
}

static void file_close(const tapeout_allocator *alloc, tp_str text, BIO *bio)
{
    (void)BIO_free(bio); // fails for NULL alone
    OPENSSL_cleanse((char *)(uintptr_t)text.data, text.size);
    tp_free(alloc, (char *)(uintptr_t)text.data, text.size + 1);
}

// Whether reading stopped at the end of the file and not at something broken in it.
static bool is_at_end(void)
{
    const unsigned long code = ERR_peek_last_error();
    const bool is_end = code == 0 || (ERR_GET_LIB(code) == ERR_LIB_PEM &&
                                      ERR_GET_REASON(code) == PEM_R_NO_START_LINE);
    if (is_end) {
        ERR_clear_error();
    }
    return is_end;
}

// A key that wants a passphrase is refused rather than asked for at the terminal.
static int no_passphrase(char *buffer, int size, int is_writing, void *user)
{
    (void)buffer, (void)size, (void)is_writing;
    *(bool *)user = true;
    return -1;
}

// -- the parts of a context ----------------------------------------------------------------------
static tapeout_status use_certificates(SSL_CTX *context, BIO *bio, const char *path,
                                       tapeout_error *err)
{
    bool is_first = true;
    X509 *certificate = NULL;
    while ((certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        // The first is copied by reference, the others are taken over.
        const bool is_good = is_first ? SSL_CTX_use_certificate(context, certificate) == 1
                                      : SSL_CTX_add0_chain_cert(context, certificate) == 1;
        if (is_first || !is_good) {
            X509_free(certificate);
        }
        if (!is_good) {
            return tp_fail(err, TAPEOUT_E_INVALID, "tls: certificate %s cannot be used: %s", path,
                           tp_tls_words());
        }
        is_first = false;
    }
    if (!is_at_end() || is_first) {
        return tp_fail(err, TAPEOUT_E_CORRUPT,
                       "tls: certificate %s holds no certificate in PEM, or a broken one", path);
    }
    return TAPEOUT_OK;
}

static tapeout_status use_key(SSL_CTX *context, BIO *bio, const char *path, tapeout_error *err)
{
    bool is_locked = false;
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &is_locked);
    if (key == NULL) {
        ERR_clear_error();
        return is_locked
                   ? tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                             "tls: key %s has a passphrase, which nobody can type into a "
                             "server; give one without",
                             path)
                   : tp_fail(err, TAPEOUT_E_CORRUPT,
                             "tls: key %s holds no private key in PEM, or a broken one", path);
    }
    const bool is_good = SSL_CTX_use_PrivateKey(context, key) == 1;
    EVP_PKEY_free(key);
    if (!is_good || SSL_CTX_check_private_key(context) != 1) {
        return tp_fail(err, TAPEOUT_E_INVALID, "tls: key %s does not fit the certificate: %s", path,
                       tp_tls_words());
    }
    return TAPEOUT_OK;
}

static tapeout_status trust_clients(SSL_CTX *context, BIO *bio, const char *path,
                                    tapeout_error *err)
{
    X509_STORE *store = SSL_CTX_get_cert_store(context);
    uint32_t count = 0;
    X509 *certificate = NULL;
    while ((certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        // Its name goes to clients, which choose among their certificates by it.
        const bool is_good = X509_STORE_add_cert(store, certificate) == 1 &&
                             SSL_CTX_add_client_CA(context, certificate) == 1;
        X509_free(certificate);
        if (!is_good || ++count > TP_MAX_TLS_CLIENT_CAS) {
            return tp_fail(err, TAPEOUT_E_LIMIT,
                           "tls: client_ca %s cannot be used, or holds more than %u certificates",
                           path, TP_MAX_TLS_CLIENT_CAS);
        }
    }
    if (!is_at_end() || count == 0) {
        return tp_fail(err, TAPEOUT_E_CORRUPT,
                       "tls: client_ca %s holds no certificate in PEM, or a broken one", path);
    }
    return TAPEOUT_OK;
}

typedef tapeout_status use_fn(SSL_CTX *context, BIO *bio, const char *path, tapeout_error *err);

static tapeout_status use_file(const tp_tls *tls, SSL_CTX *context, const char *path, use_fn *use,
                               tapeout_error *err)
{
    tp_str text;
    BIO *bio = NULL;
    ERR_clear_error();
    TP_TRY(tp_tls_file_open(tls->alloc, use == use_key ? "key" : "certificate", path, &text, &bio,
                            err));
    const tapeout_status status = use(context, bio, path, err);
    file_close(tls->alloc, text, bio);
    return status;
}

// HTTP/1.1 is chosen where the client offers it; one that offers other protocols alone is refused,
// as RFC 7301 asks.
static int choose_protocol(SSL *ssl, const unsigned char **ret_name, unsigned char *ret_size,
                           const unsigned char *offered, unsigned offered_size, void *user)
{
    (void)ssl, (void)user;
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char *chosen = NULL;
    if (SSL_select_next_proto(&chosen, ret_size, ours, sizeof(ours) - 1, offered, offered_size) !=
        OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *ret_name = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static bool set_rules(SSL_CTX *context, const tp_tls_options *options)
{
    static const char ciphers_1_2[] = "ECDHE+AESGCM:ECDHE+CHACHA20";
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                     SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
    SSL_CTX_set_verify_depth(context, TP_MAX_TLS_CHAIN);
    SSL_CTX_set_max_cert_list(context, TP_MAX_TLS_CHAIN_BYTES);
    if (options->client_ca != NULL) {
        SSL_CTX_set_verify(context,
                           SSL_VERIFY_PEER |
                               (options->client_optional ? 0 : SSL_VERIFY_FAIL_IF_NO_PEER_CERT),
                           NULL);
    }
    const int lowest = options->min_version == TP_TLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;
    return SSL_CTX_set_min_proto_version(context, lowest) == 1 &&
           SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) == 1 &&
           SSL_CTX_set_cipher_list(context, ciphers_1_2) == 1 &&
           SSL_CTX_set_num_tickets(context, 0) == 1;
}

// What the certificate says about itself; one whose time is over, or has not come, is refused.
static tapeout_status read_facts(SSL_CTX *context, const char *path, tp_tls_facts *ret_facts,
                                 tapeout_error *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    const X509 *certificate = SSL_CTX_get0_certificate(context);
    const ASN1_TIME *end = X509_get0_notAfter(certificate);
    int days = 0;
    int seconds = 0;
    if (X509_digest(certificate, EVP_sha256(), digest, &size) != 1 || size != 32 ||
        ASN1_TIME_diff(&days, &seconds, NULL, end) != 1) {
        return tp_fail(err, TAPEOUT_E_CORRUPT, "tls: certificate %s has no valid time", path);
    }
    if (X509_cmp_current_time(end) < 0 ||
        X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "tls: certificate %s is not valid now; clients would refuse it", path);
    }
    tp_hex_write(digest, size, ret_facts->sha256);
    ret_facts->expires_unix_s = tp_clock_unix_us() / 1000000 + days * INT64_C(86400) + seconds;
    return TAPEOUT_OK;
}

static tapeout_status fill(const tp_tls *tls, SSL_CTX *context, tp_tls_facts *ret_facts,
                           tapeout_error *err)
{
    const tp_tls_options *options = &tls->options;
    if (!set_rules(context, options)) {
        return tp_fail(err, TAPEOUT_E_INTERNAL, "tls: OpenSSL refuses the settings: %s",
                       tp_tls_words());
    }
    TP_TRY(use_file(tls, context, options->cert, use_certificates, err));
    TP_TRY(use_file(tls, context, options->key, use_key, err));
    if (options->client_ca != NULL) {
        TP_TRY(use_file(tls, context, options->client_ca, trust_clients, err));
    }
    return read_facts(context, options->cert, ret_facts, err);
}

// -- life ----------------------------------------------------------------------------------------
tapeout_status tp_tls_reload(tp_tls *tls, tapeout_error *err)
{
    tp_tls_facts facts;
    mark_read(&tls->options, tls->marks);
    SSL_CTX *fresh = SSL_CTX_new(TLS_server_method());
    if (fresh == NULL) {
        return tp_fail_nomem(err);
    }
    const tapeout_status status = fill(tls, fresh, &facts, err);
    if (status != TAPEOUT_OK) {
        SSL_CTX_free(fresh);
        return status;
    }
    (void)pthread_mutex_lock(&tls->lock);
    SSL_CTX *old = tls->context;
    tls->context = fresh;
    tls->facts = facts;
    (void)pthread_mutex_unlock(&tls->lock);
    SSL_CTX_free(old);
    return TAPEOUT_OK;
}

tapeout_status tp_tls_new(const tapeout_allocator *alloc, const tp_tls_options *options,
                          tp_tls **ret_tls, tapeout_error *err)
{
    tp_tls *tls = tp_alloc_zero(alloc, sizeof(*tls));
    if (tls == NULL) {
        return tp_fail_nomem(err);
    }
    tls->alloc = alloc;
    tls->options = *options;
    (void)pthread_mutex_init(&tls->lock, NULL); // cannot fail with default attributes
    tls->wire = tp_tls_wire_new();
    const tapeout_status status = tls->wire == NULL ? tp_fail_nomem(err) : tp_tls_reload(tls, err);
    if (status != TAPEOUT_OK) {
        tp_tls_free(tls);
        return status;
    }
    *ret_tls = tls;
    return TAPEOUT_OK;
}

void tp_tls_free(tp_tls *tls)
{
    if (tls != NULL) {
        SSL_CTX_free(tls->context);
        BIO_meth_free(tls->wire);
        (void)pthread_mutex_destroy(&tls->lock);
        tp_free(tls->alloc, tls, sizeof(*tls));
    }
}

tp_tls_facts tp_tls_facts_read(tp_tls *tls)
{
    (void)pthread_mutex_lock(&tls->lock);
    const tp_tls_facts facts = tls->facts;
    (void)pthread_mutex_unlock(&tls->lock);
    return facts;
}

SSL *tp_tls_ssl_new(tp_tls *tls, BIO **ret_bio)
{
    (void)pthread_mutex_lock(&tls->lock);
    SSL *ssl = SSL_new(tls->context);
    (void)pthread_mutex_unlock(&tls->lock);
    BIO *bio = ssl == NULL ? NULL : BIO_new(tls->wire);
    if (bio == NULL) {
        SSL_free(ssl);
        return NULL;
    }
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio); // takes the one reference for both
    SSL_set_accept_state(ssl);
    *ret_bio = bio;
    return ssl;
}
