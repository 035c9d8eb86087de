// SPDX-License-Identifier: Apache-2.0
//
// One connection's TLS: OpenSSL between two BIOs of ours, one that reads from the bytes that have
// just come in, one that appends to `wire`. Nothing is buffered in between and nothing blocks:
// where the input ends OpenSSL says that it wants more, and the rest of a record waits inside it.
#include "serve/tls_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

struct tp_tls_session {
    const tapeout_allocator *alloc;
    SSL *ssl;
    const char *input; // not yet read of what was fed
    size_t input_size;
    tp_buffer wire;
    char *peer; // [strlen + 1], or NULL
    const char *why;
    bool has_begun; // its first byte has come
    bool is_ready;
    bool is_failed;
    bool has_ended; // we have said our last
};

// -- OpenSSL's view of the wire ------------------------------------------------------------------
static int wire_read(BIO *bio, char *ret_data, int size)
{
    tp_tls_session *session = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (session->input_size == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    const size_t taken = session->input_size < (size_t)size ? session->input_size : (size_t)size;
    memcpy(ret_data, session->input, taken);
    session->input += taken;
    session->input_size -= taken;
    return (int)taken;
}

static int wire_write(BIO *bio, const char *data, int size)
{
    tp_tls_session *session = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    tp_buffer_append(&session->wire, data, (size_t)size);
    return session->wire.status == TAPEOUT_OK ? size : -1;
}

static long wire_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH; // all that OpenSSL needs of a BIO
}

BIO_METHOD *tp_tls_wire_new(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "tapeout");
    if (method != NULL &&
        (BIO_meth_set_read(method, wire_read) != 1 || BIO_meth_set_write(method, wire_write) != 1 ||
         BIO_meth_set_ctrl(method, wire_control) != 1)) {
        BIO_meth_free(method);
        return NULL;
    }
    return method;
}

// -- life ----------------------------------------------------------------------------------------
tapeout_status tp_tls_session_new(tp_tls *tls, const tapeout_allocator *alloc,
                                  tp_tls_session **ret_session, tapeout_error *err)
{
    tp_tls_session *session = tp_alloc_zero(alloc, sizeof(*session));
    if (session == NULL) {
        return tp_fail_nomem(err);
    }
    session->alloc = alloc;
    tp_buffer_init(&session->wire, alloc, TP_MAX_TLS_WIRE_BYTES);
    BIO *bio = NULL;
    session->ssl = tp_tls_ssl_new(tls, &bio);
    if (session->ssl == NULL) {
        tp_tls_session_free(session);
        return tp_fail_nomem(err);
    }
    BIO_set_data(bio, session);
    *ret_session = session;
    return TAPEOUT_OK;
}

void tp_tls_session_free(tp_tls_session *session)
{
    if (session == NULL) {
        return;
    }
    SSL_free(session->ssl);
    tp_buffer_deinit(&session->wire);
    if (session->peer != NULL) {
        tp_free(session->alloc, session->peer, strlen(session->peer) + 1);
    }
    tp_free(session->alloc, session, sizeof(*session));
}

static void fail(tp_tls_session *session, const char *why)
{
    session->is_failed = true;
    session->why = why;
    session->input_size = 0;
}

// -- who the client is ---------------------------------------------------------------------------
static tp_str text_of_name(const GENERAL_NAME *name)
{
    const ASN1_STRING *text = name->d.ia5; // of URI, DNS and email alike
    return (tp_str){(const char *)ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text)};
}

// A name with a zero, a space or a control character in it could look like another's.
static bool is_printable(tp_str text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] <= ' ' || text.data[i] > '~') {
            return false;
        }
    }
    return text.size > 0;
}

static bool append_alternative(const GENERAL_NAMES *names, tp_buffer *ret_name)
{
    static const struct {
        int type;
        const char *prefix;
    } kinds[] = {{GEN_URI, "URI:"}, {GEN_DNS, "DNS:"}, {GEN_EMAIL, "email:"}};
    for (size_t kind = 0; kind < sizeof(kinds) / sizeof(kinds[0]); kind++) {
        for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
            const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
            if (name->type == kinds[kind].type && is_printable(text_of_name(name))) {
                tp_buffer_append_text(ret_name, kinds[kind].prefix);
                tp_buffer_append_str(ret_name, text_of_name(name));
                return true;
            }
        }
    }
    return false;
}

static bool append_subject(const X509 *certificate, tp_buffer *ret_name)
{
    char *text = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    if (bio == NULL ||
        X509_NAME_print_ex(bio, X509_get_subject_name(certificate), 0,
                           XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB) < 0) {
        (void)BIO_free(bio);
        return false;
    }
    const long size = BIO_get_mem_data(bio, &text);
    tp_buffer_append(ret_name, text, size > 0 ? (size_t)size : 0);
    (void)BIO_free(bio);
    return size > 0;
}

// False where the client has a certificate that does not say who it is.
static bool read_peer(tp_tls_session *session)
{
    const X509 *certificate = SSL_get0_peer_certificate(session->ssl);
    if (certificate == NULL) {
        return true;
    }
    tp_buffer name;
    tp_buffer_init(&name, session->alloc, TP_MAX_TLS_PEER_BYTES);
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    const bool is_found = append_alternative(names, &name) || append_subject(certificate, &name);
    GENERAL_NAMES_free(names);
    if (is_found && name.status == TAPEOUT_OK) {
        session->peer = tp_strndup(session->alloc, name.data, name.size);
    }
    tp_buffer_deinit(&name);
    return session->peer != NULL;
}

// -- bytes ---------------------------------------------------------------------------------------
// Who speaks HTTP here gets an answer that it understands.
static void refuse_plain(tp_tls_session *session)
{
    static const char reply[] = "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"
                                "content-length: 63\r\nconnection: close\r\n\r\n"
                                "{\"error\":\"this port speaks TLS; ask it with https:// instead\"}"
                                "\n";
    tp_buffer_append(&session->wire, reply, sizeof(reply) - 1);
    fail(session, "plain HTTP was sent to the port of TLS");
}

void tp_tls_session_feed(tp_tls_session *session, const void *data, size_t size)
{
    session->input = data;
    session->input_size = session->is_failed ? 0 : size;
    if (!session->has_begun && size > 0) {
        session->has_begun = true;
        const char first = session->input[0];
        if (first >= 'A' && first <= 'Z') {
            refuse_plain(session);
        }
    }
}

static const char *why_of(const SSL *ssl)
{
    const long verified = SSL_get_verify_result(ssl);
    if (verified != X509_V_OK) {
        ERR_clear_error();
        return X509_verify_cert_error_string(verified);
    }
    return tp_tls_words();
}

// What a call of OpenSSL that gave nothing means.
static tp_tls_event event_of(tp_tls_session *session, int result)
{
    switch (SSL_get_error(session->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return TP_TLS_WAIT;
    case SSL_ERROR_ZERO_RETURN:
        return TP_TLS_END;
    default:
        fail(session, why_of(session->ssl));
        return TP_TLS_FAILED;
    }
}

static tp_tls_event handshake(tp_tls_session *session)
{
    const int result = SSL_accept(session->ssl);
    if (result != 1) {
        return event_of(session, result);
    }
    if (!read_peer(session)) {
        fail(session, "the client's certificate names nobody, or in too many bytes");
        return TP_TLS_FAILED;
    }
    session->is_ready = true;
    return TP_TLS_DATA;
}

tp_tls_event tp_tls_session_read(tp_tls_session *session, void *ret_data, size_t size,
                                 size_t *ret_size)
{
    *ret_size = 0;
    if (session->is_failed) {
        return TP_TLS_FAILED;
    }
    ERR_clear_error();
    if (!session->is_ready) {
        const tp_tls_event event = handshake(session);
        if (event != TP_TLS_DATA) {
            return event;
        }
    }
    const int result = SSL_read_ex(session->ssl, ret_data, size, ret_size);
    return result == 1 ? TP_TLS_DATA : event_of(session, result);
}

bool tp_tls_session_write(tp_tls_session *session, const void *data, size_t size)
{
    size_t written = 0;
    if (session->is_failed || !session->is_ready) {
        return false;
    }
    ERR_clear_error();
    if (size > 0 && SSL_write_ex(session->ssl, data, size, &written) != 1) {
        fail(session, why_of(session->ssl));
        return false;
    }
    return true;
}

void tp_tls_session_end(tp_tls_session *session)
{
    if (session->is_ready && !session->is_failed && !session->has_ended) {
        session->has_ended = true;
        ERR_clear_error();
        (void)SSL_shutdown(session->ssl); // 0: the peer's own end is not waited for
    }
}

// -- what others ask -----------------------------------------------------------------------------
tp_buffer *tp_tls_session_wire(tp_tls_session *session)
{
    return &session->wire;
}

bool tp_tls_session_is_ready(const tp_tls_session *session)
{
    return session->is_ready;
}

const char *tp_tls_session_peer(const tp_tls_session *session)
{
    return session->peer;
}

const char *tp_tls_session_why(const tp_tls_session *session)
{
    return session->why == NULL ? "" : session->why;
}
