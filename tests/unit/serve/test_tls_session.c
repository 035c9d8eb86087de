// SPDX-License-Identifier: Apache-2.0
//
// A connection's TLS without sockets: handshakes in pieces, who is let in and by what name, what is
// refused, both ends of the conversation, and bytes that are no TLS at all.
#include "serve/tp_tls.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_random.h"
#include "test.h"
#include "tls_cases.h"

#include <openssl/err.h>
#include <string.h>

typedef struct fixture {
    tls_case_pair authority;
    tls_case_pair server;
    tp_tls_options options;
    tp_tls *tls;
    SSL_CTX *client;
} fixture;

static void open_tls(fixture *self)
{
    ASSERT_OK(tp_tls_new(tp_allocator_default(), &self->options, &self->tls, &test_err));
    self->client = tls_case_client_new(&self->authority);
}

static void start(fixture *self)
{
    memset(self, 0, sizeof(*self));
    tls_case_make(&self->authority, "authority", NULL, NULL, 10);
    tls_case_make(&self->server, "server", "DNS:localhost", &self->authority, 5);
    self->options = (tp_tls_options){.cert = self->server.cert, .key = self->server.key};
}

static void stop(fixture *self)
{
    SSL_CTX_free(self->client);
    tp_tls_free(self->tls);
    tls_case_free(&self->authority);
    tls_case_free(&self->server);
}

static void show(fixture *self, const tls_case_pair *pair)
{
    ASSERT_EQ_INT(SSL_CTX_use_certificate(self->client, pair->x509), 1);
    ASSERT_EQ_INT(SSL_CTX_use_PrivateKey(self->client, pair->pkey), 1);
}

static void check_talk(tls_case_link *link)
{
    static char large[100000];
    static char back[sizeof(large)];
    memset(large, 'x', sizeof(large));
    ASSERT(tls_case_link_run(link));
    ASSERT(tp_tls_session_is_ready(link->session));
    ASSERT_EQ_INT(SSL_write(link->client, "ping", 4), 4);
    (void)tls_case_link_run(link);
    ASSERT_EQ_BYTES(link->got, link->got_size, "ping", 4);
    ASSERT_EQ_INT(link->last_event, TP_TLS_WAIT);
    ASSERT(tp_tls_session_write(link->session, large, sizeof(large)));
    (void)tls_case_link_run(link);
    size_t used = 0;
    size_t got = 0;
    while (used < sizeof(back) &&
           SSL_read_ex(link->client, back + used, sizeof(back) - used, &got) == 1) {
        used += got;
    }
    ASSERT_EQ_BYTES(back, used, large, sizeof(large));
}

static void test_talks(void)
{
    static fixture self;
    static tls_case_link link;
    const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    const size_t steps[] = {0, 1, 7};
    start(&self);
    open_tls(&self);
    for (size_t i = 0; i < 6; i++) {
        ASSERT_EQ_INT(SSL_CTX_set_max_proto_version(self.client, versions[i % 2]), 1);
        tls_case_link_open(&link, self.tls, self.client);
        link.step = steps[i / 2];
        check_talk(&link);
        ASSERT_EQ_INT(SSL_version(link.client), versions[i % 2]);
        ASSERT(tp_tls_session_peer(link.session) == NULL);
        tls_case_link_close(&link);
    }
    stop(&self);
}

static void test_the_end_is_said(void)
{
    static fixture self;
    static tls_case_link link;
    start(&self);
    open_tls(&self);
    tls_case_link_open(&link, self.tls, self.client);
    check_talk(&link);
    (void)SSL_shutdown(link.client);
    (void)tls_case_link_run(&link);
    ASSERT_EQ_INT(link.last_event, TP_TLS_END);
    // The other direction goes on until we say so ourselves.
    ASSERT(tp_tls_session_write(link.session, "late", 4));
    tp_tls_session_end(link.session);
    (void)tls_case_link_run(&link);
    char back[16];
    ASSERT_EQ_INT(SSL_read(link.client, back, sizeof(back)), 4);
    ASSERT_EQ_INT(SSL_read(link.client, back, sizeof(back)), 0);
    ASSERT_EQ_INT(SSL_get_error(link.client, 0), SSL_ERROR_ZERO_RETURN);
    tls_case_link_close(&link);
    stop(&self);
}

// A handshake that must not succeed; `why` stands in what the session says of it.
static void check_refused(fixture *self, const char *why)
{
    static tls_case_link link;
    tls_case_link_open(&link, self->tls, self->client);
    (void)tls_case_link_run(&link);
    ASSERT_EQ_INT(link.last_event, TP_TLS_FAILED);
    if (strstr(tp_tls_session_why(link.session), why) == NULL) {
        ASSERT_EQ_STR(tp_tls_session_why(link.session), why);
    }
    ASSERT(!tp_tls_session_write(link.session, "x", 1));
    size_t got = 1;
    char byte;
    ASSERT_EQ_INT(tp_tls_session_read(link.session, &byte, 1, &got), TP_TLS_FAILED);
    ASSERT_EQ_UINT(got, 0);
    tls_case_link_close(&link);
}

static void test_old_ways_are_refused(void)
{
    static fixture self;
    start(&self);
    open_tls(&self);
    SSL_CTX_set_security_level(self.client, 0);
    ASSERT_EQ_INT(SSL_CTX_set_max_proto_version(self.client, TLS1_2_VERSION), 1);
    ASSERT_EQ_INT(SSL_CTX_set_cipher_list(self.client, "ECDHE-ECDSA-AES128-SHA256"), 1);
    check_refused(&self, "no shared cipher");
    ASSERT_EQ_INT(SSL_CTX_set_cipher_list(self.client, "AES128-GCM-SHA256"), 1);
    check_refused(&self, "no shared cipher");
    ASSERT_EQ_INT(SSL_CTX_set_cipher_list(self.client, "ALL"), 1);
    ASSERT_EQ_INT(SSL_CTX_set_min_proto_version(self.client, TLS1_VERSION), 1);
    ASSERT_EQ_INT(SSL_CTX_set_max_proto_version(self.client, TLS1_1_VERSION), 1);
    check_refused(&self, "unsupported protocol");
    stop(&self);
}

static void test_only_1_3_where_asked(void)
{
    static fixture self;
    static tls_case_link link;
    start(&self);
    self.options.min_version = TP_TLS_1_3;
    open_tls(&self);
    tls_case_link_open(&link, self.tls, self.client);
    check_talk(&link);
    tls_case_link_close(&link);
    ASSERT_EQ_INT(SSL_CTX_set_max_proto_version(self.client, TLS1_2_VERSION), 1);
    check_refused(&self, "unsupported protocol");
    stop(&self);
}

static void test_protocols_are_chosen(void)
{
    static fixture self;
    static tls_case_link link;
    const unsigned char *name = NULL;
    unsigned size = 0;
    start(&self);
    open_tls(&self);
    ASSERT_EQ_INT(
        SSL_CTX_set_alpn_protos(self.client, (const unsigned char *)"\x02h2\x08http/1.1", 12), 0);
    tls_case_link_open(&link, self.tls, self.client);
    check_talk(&link);
    SSL_get0_alpn_selected(link.client, &name, &size);
    ASSERT_EQ_BYTES(name, size, "http/1.1", 8);
    tls_case_link_close(&link);
    ASSERT_EQ_INT(SSL_CTX_set_alpn_protos(self.client, (const unsigned char *)"\x02h2", 3), 0);
    check_refused(&self, "application protocol");
    stop(&self);
}

static void test_renegotiation_and_resumption_are_not_had(void)
{
    static fixture self;
    static tls_case_link link;
    start(&self);
    open_tls(&self);
    ASSERT_EQ_INT(SSL_CTX_set_max_proto_version(self.client, TLS1_2_VERSION), 1);
    tls_case_link_open(&link, self.tls, self.client);
    check_talk(&link);
    SSL_SESSION *session = SSL_get1_session(link.client);
    ASSERT_EQ_INT(SSL_renegotiate(link.client), 1);
    ASSERT(!tls_case_link_run(&link));
    tls_case_link_close(&link);
    tls_case_link_open(&link, self.tls, self.client);
    ASSERT_EQ_INT(SSL_set_session(link.client, session), 1);
    check_talk(&link);
    ASSERT_EQ_INT(SSL_session_reused(link.client), 0);
    SSL_SESSION_free(session);
    tls_case_link_close(&link);
    stop(&self);
}

// -- clients with certificates -------------------------------------------------------------------
static void check_peer(fixture *self, const char *names, const char *want)
{
    static tls_case_link link;
    tls_case_pair pair;
    tls_case_make(&pair, "client", names, &self->authority, 5);
    show(self, &pair);
    tls_case_link_open(&link, self->tls, self->client);
    check_talk(&link);
    ASSERT_EQ_STR(tp_tls_session_peer(link.session), want);
    tls_case_link_close(&link);
    tls_case_free(&pair);
}

static void test_clients_are_named(void)
{
    static fixture self;
    start(&self);
    self.options.client_ca = self.authority.cert;
    open_tls(&self);
    check_peer(&self, NULL, "CN=client,O=Tests");
    check_peer(&self, "DNS:a.example,DNS:b.example", "DNS:a.example");
    check_peer(&self, "email:a@example.org", "email:a@example.org");
    check_peer(&self, "DNS:a.example,email:a@example.org,URI:spiffe://x/y", "URI:spiffe://x/y");
    check_peer(&self, "IP:10.0.0.1", "CN=client,O=Tests");
    stop(&self);
}

static void test_other_clients_are_refused(void)
{
    static fixture self;
    tls_case_pair stranger;
    tls_case_pair wrong;
    tls_case_pair late;
    tls_case_pair endless;
    static char names[TP_MAX_TLS_PEER_BYTES + 64] = "URI:https://";
    memset(names + strlen(names), 'a', TP_MAX_TLS_PEER_BYTES);
    start(&self);
    self.options.client_ca = self.authority.cert;
    open_tls(&self);
    check_refused(&self, "peer did not return a certificate");
    tls_case_make(&stranger, "stranger", NULL, NULL, 5);
    tls_case_make(&wrong, "wrong", NULL, &stranger, 5);
    tls_case_make(&late, "late", NULL, &self.authority, -1);
    tls_case_make(&endless, "endless", names, &self.authority, 5);
    show(&self, &wrong);
    check_refused(&self, "unable to get local issuer certificate");
    show(&self, &stranger);
    check_refused(&self, "self-signed");
    show(&self, &late);
    check_refused(&self, "expired");
    show(&self, &endless);
    check_refused(&self, "too many bytes");
    tls_case_free(&stranger);
    tls_case_free(&wrong);
    tls_case_free(&late);
    tls_case_free(&endless);
    stop(&self);
}

static void test_optional_is_not_careless(void)
{
    static fixture self;
    static tls_case_link link;
    tls_case_pair stranger;
    start(&self);
    self.options.client_ca = self.authority.cert;
    self.options.client_optional = true;
    open_tls(&self);
    tls_case_link_open(&link, self.tls, self.client);
    check_talk(&link);
    ASSERT(tp_tls_session_peer(link.session) == NULL);
    tls_case_link_close(&link);
    tls_case_make(&stranger, "stranger", NULL, NULL, 5);
    show(&self, &stranger);
    check_refused(&self, "self-signed");
    tls_case_free(&stranger);
    stop(&self);
}

// -- what is no TLS ------------------------------------------------------------------------------
static void test_plain_http_is_told(void)
{
    static fixture self;
    tp_tls_session *session = NULL;
    char byte;
    size_t got = 0;
    start(&self);
    open_tls(&self);
    ASSERT_OK(tp_tls_session_new(self.tls, tp_allocator_default(), &session, &test_err));
    tp_tls_session_feed(session, "GET / HTTP/1.1\r\n\r\n", 18);
    ASSERT_EQ_INT(tp_tls_session_read(session, &byte, 1, &got), TP_TLS_FAILED);
    tp_buffer *wire = tp_tls_session_wire(session);
    tp_buffer_append_char(wire, '\0');
    ASSERT(strncmp(wire->data, "HTTP/1.1 400 ", 13) == 0);
    const char *body = strstr(wire->data, "\r\n\r\n");
    ASSERT(body != NULL && strstr(body, "https://") != NULL);
    ASSERT(strstr(wire->data, "content-length: 63\r\n") != NULL);
    ASSERT_EQ_UINT(strlen(body + 4), 63);
    tp_tls_session_free(session);
    stop(&self);
}

// A good handshake with one byte changed, or cut, ends in a failure or waits; it never gets through
// and never touches what it must not (the sanitizers watch).
static void test_broken_bytes(void)
{
    static fixture self;
    static tls_case_link link;
    static char hello[4096];
    char plain[256];
    start(&self);
    open_tls(&self);
    tls_case_link_open(&link, self.tls, self.client);
    (void)SSL_do_handshake(link.client);
    const int size = BIO_read(link.from_client, hello, sizeof(hello));
    ASSERT(size > 100);
    tls_case_link_close(&link);
    for (uint64_t i = 0; i < 2000; i++) {
        tp_tls_session *session = NULL;
        size_t got = 0;
        ASSERT_OK(tp_tls_session_new(self.tls, tp_allocator_default(), &session, &test_err));
        const size_t place = tp_random_u64(1, 0, i) % (uint64_t)size;
        const char old = hello[place];
        hello[place] = (char)tp_random_u64(2, 0, i);
        const size_t fed = i % 3 == 0 ? place : (size_t)size;
        tp_tls_session_feed(session, hello, fed);
        ASSERT(tp_tls_session_read(session, plain, sizeof(plain), &got) != TP_TLS_DATA);
        ASSERT(!tp_tls_session_is_ready(session));
        hello[place] = old;
        tp_tls_session_free(session);
    }
    stop(&self);
}

static void test_a_changed_record_fails(void)
{
    static fixture self;
    static tls_case_link link;
    char record[256];
    char plain[256];
    size_t got = 0;
    start(&self);
    open_tls(&self);
    tls_case_link_open(&link, self.tls, self.client);
    check_talk(&link);
    ASSERT_EQ_INT(SSL_write(link.client, "ping", 4), 4);
    const int size = BIO_read(link.from_client, record, sizeof(record));
    record[size - 1] ^= 1;
    tp_tls_session_feed(link.session, record, (size_t)size);
    ASSERT_EQ_INT(tp_tls_session_read(link.session, plain, sizeof(plain), &got), TP_TLS_FAILED);
    ASSERT(tp_tls_session_wire(link.session)->size > 0); // the alert
    tls_case_link_close(&link);
    stop(&self);
}

// -- memory --------------------------------------------------------------------------------------
static tapeout_status open_both(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    const tp_tls_options *options = user;
    tp_tls *tls = NULL;
    tp_tls_session *session = NULL;
    tapeout_status status = tp_tls_new(alloc, options, &tls, err);
    if (status == TAPEOUT_OK) {
        status = tp_tls_session_new(tls, alloc, &session, err);
    }
    tp_tls_session_free(session);
    tp_tls_free(tls);
    return status;
}

static void test_without_memory(void)
{
    static fixture self;
    start(&self);
    self.options.client_ca = self.authority.cert;
    test_out_of_memory(open_both, &self.options);
    stop(&self);
}

TEST_MAIN(TEST(test_talks), TEST(test_the_end_is_said), TEST(test_old_ways_are_refused),
          TEST(test_only_1_3_where_asked), TEST(test_protocols_are_chosen),
          TEST(test_renegotiation_and_resumption_are_not_had), TEST(test_clients_are_named),
          TEST(test_other_clients_are_refused), TEST(test_optional_is_not_careless),
          TEST(test_plain_http_is_told), TEST(test_broken_bytes), TEST(test_a_changed_record_fails),
          TEST(test_without_memory))
