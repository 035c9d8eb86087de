// SPDX-License-Identifier: Apache-2.0
//
// Key sets of issuers that lie at a URL: a thread of its own fetches them at the start, after a
// while, and when a token names a key that the set does not have, but never sooner than the
// interval after the last try, whatever comes. So an issuer that is away or slow, and strangers
// with made-up tokens, delay nobody and cause no more than one request an interval.
//
// A set that can't be fetched anew is used on for `stale_s` and then no longer. What is called is
// an address of the public internet, or one that the configuration names: the address of each
// connection is looked at, not only the name (case W6). Redirects are not followed.
#include "serve/server_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_clock.h"
#include "base/tp_curl.h"
#include "base/tp_error.h"
#include "base/tp_thread.h"
#include "serve/serve_audit.h"

#include <string.h>
#include <time.h>

enum { LOOK_MS = 100, ASK_MS = 5000 };

typedef struct key_set {
    uint64_t tried_ns;   // when it was last asked for
    uint64_t fetched_ns; // when it last came
    tp_sha256 hash;      // of the text in use
    bool was_tried;
    bool is_in_use;
    bool is_failing;
} key_set;

struct server_jwks {
    struct tapeout_server *server;
    key_set sets[TP_MAX_ISSUERS]; // of the thread
    pthread_t thread;
    atomic_bool is_stopping;
};

static const serve_access_config *access_of(const struct tapeout_server *server)
{
    return &server->config->access;
}

// -- one request ---------------------------------------------------------------------------------
static tapeout_status accept_address(void *user, const struct sockaddr *socket, tapeout_error *err)
{
    const tp_issuer_url *url = user;
    uint8_t address[TP_NET_ADDRESS_SIZE];
    char text[TP_NET_TEXT_SIZE];
    if (!tp_net_address(socket, address)) {
        return tp_fail(err, TAPEOUT_E_DENIED, "jwks: %s leads to no address of IP", url->url);
    }
    bool is_good = tp_net_is_public(address);
    for (uint32_t i = 0; i < url->network_count; i++) {
        is_good = is_good || tp_net_has(&url->networks[i], address);
    }
    // Without TLS only this machine can be who it says.
    const bool is_open = tp_str_has_prefix(tp_str_from(url->url), TP_STR("http://"));
    if (is_good && (!is_open || tp_net_is_loopback(address))) {
        return TAPEOUT_OK;
    }
    tp_net_print(address, text);
    return tp_fail(err, TAPEOUT_E_DENIED,
                   "jwks: %s leads to %s, which is not of the public internet; name it in "
                   "jwks_networks if that is meant",
                   url->url, text);
}

static tapeout_status ask(tp_curl *curl, const tp_issuer_url *url, tp_curl_answer *answer,
                          tapeout_error *err)
{
    static const char *const headers[] = {"Accept: application/json"};
    const tp_curl_request request = {.method = "GET",
                                     .url = url->url,
                                     .headers = headers,
                                     .header_count = 1,
                                     .ca_file = url->ca_file,
                                     .timeout_ms = ASK_MS,
                                     .max_body_bytes = TP_MAX_JWKS_BYTES,
                                     .accept = accept_address,
                                     .accept_user = (void *)(uintptr_t)url};
    TP_TRY(tp_curl_ask(curl, &request, answer, err));
    return answer->status == 200
               ? TAPEOUT_OK
               : tp_fail(err, TAPEOUT_E_UNAVAILABLE,
                         "jwks: %s answered %u, and 200 was expected; redirects are not followed",
                         url->url, answer->status);
}

// -- one set -------------------------------------------------------------------------------------
// The text is the issuer's set from now on; one that is as before disturbs nobody.
static tapeout_status take(struct server_jwks *self, uint32_t index, tp_str text,
                           tapeout_error *err)
{
    struct tapeout_server *server = self->server;
    const tp_issuer *issuer = &access_of(server)->issuers[index];
    key_set *set = &self->sets[index];
    const tp_sha256 hash = tp_sha256_of(text.data, text.size);
    tp_jwks *jwks = NULL;
    if (set->is_in_use && memcmp(&hash, &set->hash, sizeof(hash)) == 0) {
        return TAPEOUT_OK;
    }
    TP_TRY(tp_jwks_parse(server->env.alloc, text, issuer->rsa, &jwks, err));
    tp_server_audit_keys(server, issuer, text);
    tp_serve_access_install_keys(server->state.access, index, jwks);
    set->hash = hash;
    set->is_in_use = true;
    return TAPEOUT_OK;
}

static tapeout_status fetch(struct server_jwks *self, uint32_t index, tapeout_error *err)
{
    const tapeout_allocator *alloc = self->server->env.alloc;
    tp_curl *curl = NULL; // another each time: its name is looked up anew
    tp_curl_answer answer;
    TP_TRY(tp_curl_open(alloc, &curl, err));
    tp_curl_answer_init(&answer, alloc);
    tapeout_status status =
        ask(curl, &access_of(self->server)->issuers[index].jwks_url, &answer, err);
    if (status == TAPEOUT_OK) {
        status = take(self, index, tp_buffer_view(&answer.body), err);
    }
    tp_curl_answer_deinit(&answer);
    tp_curl_close(&curl);
    return status;
}

static void try_set(struct server_jwks *self, uint32_t index)
{
    key_set *set = &self->sets[index];
    tapeout_error error = {0};
    // Who asks from now on may mean what comes after this try.
    (void)atomic_fetch_and_explicit(&self->server->state.access->jwks_wanted, ~(1u << index),
                                    memory_order_relaxed);
    set->was_tried = true;
    set->tried_ns = tp_clock_monotonic_ns();
    if (fetch(self, index, &error) == TAPEOUT_OK) {
        set->fetched_ns = set->tried_ns;
        tp_server_log_event(self->server, set->is_failing ? "jwks_fetched_again" : "jwks_fetched",
                            NULL);
        set->is_failing = false;
        return;
    }
    if (!set->is_failing) {
        tp_server_log_event(self->server, "jwks_failed", error.message);
    }
    set->is_failing = true;
}

static bool is_due(const struct server_jwks *self, uint32_t index)
{
    const key_set *set = &self->sets[index];
    const tp_issuer_url *url = &access_of(self->server)->issuers[index].jwks_url;
    const uint64_t since_s = (tp_clock_monotonic_ns() - set->tried_ns) / 1000000000;
    if (url->url == NULL || (set->was_tried && since_s < url->interval_s)) {
        return false;
    }
    const unsigned wanted =
        atomic_load_explicit(&self->server->state.access->jwks_wanted, memory_order_relaxed);
    return !set->was_tried || set->is_failing || since_s >= url->refresh_s ||
           (wanted >> index & 1) != 0;
}

static void drop_stale(struct server_jwks *self, uint32_t index)
{
    key_set *set = &self->sets[index];
    const tp_issuer *issuer = &access_of(self->server)->issuers[index];
    const uint64_t age_s = (tp_clock_monotonic_ns() - set->fetched_ns) / 1000000000;
    if (set->is_in_use && set->is_failing && age_s >= issuer->jwks_url.stale_s) {
        tp_serve_access_install_keys(self->server->state.access, index, NULL);
        set->is_in_use = false;
        tp_server_log_event(self->server, "jwks_stale", issuer->jwks_url.url);
    }
}

// -- the thread ----------------------------------------------------------------------------------
static void *run(void *user)
{
    struct server_jwks *self = user;
    while (!atomic_load_explicit(&self->is_stopping, memory_order_relaxed)) {
        for (uint32_t i = 0; i < access_of(self->server)->issuer_count; i++) {
            if (is_due(self, i)) {
                try_set(self, i);
            }
            drop_stale(self, i);
        }
        (void)nanosleep(&(struct timespec){.tv_nsec = LOOK_MS * 1000000}, NULL);
    }
    return NULL;
}

static const tp_issuer *first_fetched(const struct tapeout_server *server)
{
    for (uint32_t i = 0; i < access_of(server)->issuer_count; i++) {
        if (access_of(server)->issuers[i].jwks_url.url != NULL) {
            return &access_of(server)->issuers[i];
        }
    }
    return NULL;
}

tapeout_status tp_server_jwks_check(const struct tapeout_server *server, tapeout_error *err)
{
    const tp_issuer *issuer = first_fetched(server);
    return issuer == NULL || !server->config->is_airgapped
               ? TAPEOUT_OK
               : tp_fail(err, TAPEOUT_E_INVALID,
                         "serve: --airgap lets the server call nobody, and the keys of %.*s are at "
                         "%s; put them into a file, or leave one of the two out",
                         TP_STR_ARGS(issuer->issuer), issuer->jwks_url.url);
}

tapeout_status tp_server_jwks_start(struct tapeout_server *server, tapeout_error *err)
{
    if (first_fetched(server) == NULL) {
        return TAPEOUT_OK;
    }
    struct server_jwks *self = tp_alloc_zero(server->env.alloc, sizeof(*self));
    if (self == NULL) {
        return tp_fail_nomem(err);
    }
    self->server = server;
    if (tp_thread_start(&self->thread, run, self) != 0) {
        tp_free(server->env.alloc, self, sizeof(*self));
        return tp_fail(err, TAPEOUT_E_BUSY, "cannot start the thread that fetches key sets");
    }
    server->jwks = self;
    return TAPEOUT_OK;
}

void tp_server_jwks_stop(struct tapeout_server *server)
{
    struct server_jwks *self = server->jwks;
    server->jwks = NULL;
    if (self != NULL) {
        atomic_store_explicit(&self->is_stopping, true, memory_order_relaxed);
        (void)pthread_join(self->thread, NULL); // at most the time of a request
        tp_free(server->env.alloc, self, sizeof(*self));
    }
}
