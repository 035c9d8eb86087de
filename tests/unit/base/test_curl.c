// SPDX-License-Identifier: Apache-2.0
//
// Requests through libcurl to a server of the test's own, which answers with given bytes and keeps
// what it was sent; and the URLs that are not asked.
#include "base/tp_alloc.h"
#include "base/tp_curl.h"
#include "base/tp_error.h"
#include "test.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// -- a server ------------------------------------------------------------------------------------
typedef struct peer {
    int fd;
    char url[64];
    const char *const *answers; // [count], one a connection
    int count;
    char got[16384]; // all that was received, of all connections
    size_t got_size;
    pthread_t thread;
} peer;

// Until head and body have come.
static void receive(peer *it, int fd)
{
    const size_t begin = it->got_size;
    for (;;) {
        const ssize_t size = read(fd, it->got + it->got_size, sizeof(it->got) - it->got_size - 1);
        if (size <= 0) {
            return;
        }
        it->got_size += (size_t)size;
        it->got[it->got_size] = '\0';
        const char *end = strstr(it->got + begin, "\r\n\r\n");
        const char *length = strstr(it->got + begin, "Content-Length: ");
        size_t body = 0;
        if (length != NULL) {
            for (const char *digit = length + 16; *digit >= '0' && *digit <= '9'; digit++) {
                body = body * 10 + (size_t)(*digit - '0');
            }
        }
        if (end != NULL && (size_t)(it->got + it->got_size - (end + 4)) >= body) {
            return;
        }
    }
}

static void *run_peer(void *user)
{
    peer *it = user;
    for (int i = 0; i < it->count; i++) {
        const int fd = accept(it->fd, NULL, NULL);
        receive(it, fd);
        const char *answer = it->answers[i];
        ASSERT(write(fd, answer, strlen(answer)) == (ssize_t)strlen(answer));
        (void)close(fd);
    }
    return NULL;
}

static void peer_start(peer *it, const char *const *answers, int count)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(address);
    *it = (peer){.fd = socket(AF_INET, SOCK_STREAM, 0), .answers = answers, .count = count};
    ASSERT(bind(it->fd, (struct sockaddr *)&address, size) == 0 && listen(it->fd, 8) == 0);
    ASSERT(getsockname(it->fd, (struct sockaddr *)&address, &size) == 0);
    (void)snprintf(it->url, sizeof(it->url), "http://127.0.0.1:%u/a?b=c", ntohs(address.sin_port));
    ASSERT(pthread_create(&it->thread, NULL, run_peer, it) == 0);
}

static void peer_stop(peer *it)
{
    ASSERT(pthread_join(it->thread, NULL) == 0);
    (void)close(it->fd);
}

static tp_curl *open_curl(void)
{
    tp_curl *curl = NULL;
    tapeout_error err = {0};
    if (tp_curl_open(tp_allocator_default(), &curl, &err) == TAPEOUT_E_UNAVAILABLE) {
        test_skip(err.message);
    }
    ASSERT(curl != NULL);
    return curl;
}

// -- asking --------------------------------------------------------------------------------------
static void test_get(void)
{
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nETag:  \"e\" \r\nX: y\r\nContent-Length: 5\r\n\r\nhello"};
    peer server;
    peer_start(&server, answers, 1);
    tp_curl *curl = open_curl();
    tp_curl_answer answer;
    tp_curl_answer_init(&answer, tp_allocator_default());
    const char *const headers[] = {"X-Own: 1"};
    const tp_curl_request request = {.method = "GET",
                                     .url = server.url,
                                     .headers = headers,
                                     .header_count = 1,
                                     .max_body_bytes = 5};
    ASSERT_OK(tp_curl_ask(curl, &request, &answer, &test_err));
    peer_stop(&server);
    ASSERT_EQ_UINT(answer.status, 200);
    ASSERT_EQ_BYTES(answer.body.data, answer.body.size, "hello", 5);
    const tp_str etag = tp_curl_answer_header(&answer, TP_STR("etag"));
    ASSERT_EQ_BYTES(etag.data, etag.size, "\"e\"", 3);
    ASSERT_EQ_UINT(tp_curl_answer_header(&answer, TP_STR("eta")).size, 0);
    ASSERT(strncmp(server.got, "GET /a?b=c HTTP/1.1\r\n", 21) == 0);
    ASSERT(strstr(server.got, "X-Own: 1\r\n") != NULL);
    ASSERT(strstr(server.got, "User-Agent: tapeout/") != NULL);
    tp_curl_answer_deinit(&answer);
    tp_curl_close(&curl);
    ASSERT(curl == NULL);
}

static void test_put_then_head(void)
{
    static const char *const answers[] = {"HTTP/1.1 500 no\r\nContent-Length: 3\r\n\r\nwhy",
                                          "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"};
    peer server;
    peer_start(&server, answers, 2);
    tp_curl *curl = open_curl();
    tp_curl_answer answer;
    tp_curl_answer_init(&answer, tp_allocator_default());
    tp_curl_request request = {
        .method = "PUT", .url = server.url, .body = TP_STR("0123456789"), .max_body_bytes = 100};
    ASSERT_OK(tp_curl_ask(curl, &request, &answer, &test_err));
    ASSERT_EQ_UINT(answer.status, 500);
    ASSERT_EQ_BYTES(answer.body.data, answer.body.size, "why", 3);
    ASSERT(strstr(server.got, "Content-Length: 10\r\n") != NULL);
    ASSERT(strstr(server.got, "Expect") == NULL);
    ASSERT(strcmp(server.got + server.got_size - 10, "0123456789") == 0);
    request = (tp_curl_request){.method = "HEAD", .url = server.url};
    ASSERT_OK(tp_curl_ask(curl, &request, &answer, &test_err));
    peer_stop(&server);
    ASSERT_EQ_UINT(answer.status, 200);
    ASSERT_EQ_UINT(answer.body.size, 0);
    ASSERT(strstr(server.got, "HEAD /a?b=c") != NULL);
    tp_curl_answer_deinit(&answer);
    tp_curl_close(&curl);
}

// One answer, and what comes of it.
static tapeout_status ask_once(const char *text, tp_curl_request request, uint32_t *ret_status,
                               tapeout_error *err)
{
    const char *const answers[] = {text};
    peer server;
    peer_start(&server, answers, 1);
    tp_curl *curl = open_curl();
    tp_curl_answer answer;
    tp_curl_answer_init(&answer, tp_allocator_default());
    request.method = "GET";
    request.url = server.url;
    const tapeout_status status = tp_curl_ask(curl, &request, &answer, err);
    peer_stop(&server);
    *ret_status = answer.status;
    tp_curl_answer_deinit(&answer);
    tp_curl_close(&curl);
    return status;
}

static tapeout_status refuse(void *user, const void *data, size_t size, tapeout_error *err)
{
    size_t *seen = user;
    (void)data;
    *seen += size;
    return tp_fail(err, TAPEOUT_E_CORRUPT, "no such bytes");
}

static void test_bounds(void)
{
    const tp_curl_request small = {.max_body_bytes = 4};
    const tp_curl_request enough = {.max_body_bytes = 1000};
    uint32_t status = 0;
    ASSERT_FAILS(
        ask_once("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", small, &status, &test_err),
        TAPEOUT_E_LIMIT, "the body of the answer");
    ASSERT_FAILS(
        ask_once("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", enough, &status, &test_err),
        TAPEOUT_E_UNAVAILABLE, "GET http://127.0.0.1:");
    ASSERT_FAILS(ask_once("", enough, &status, &test_err), TAPEOUT_E_UNAVAILABLE, NULL);
    size_t seen = 0;
    const tp_curl_request sunk = {.sink = refuse, .user = &seen, .max_body_bytes = 100};
    ASSERT_FAILS(
        ask_once("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", sunk, &status, &test_err),
        TAPEOUT_E_CORRUPT, "no such bytes");
    ASSERT_EQ_UINT(seen, 5);
    // A refusal's words are kept, not taken for the content.
    ASSERT_OK(
        ask_once("HTTP/1.1 404 no\r\nContent-Length: 5\r\n\r\nhello", sunk, &status, &test_err));
    ASSERT_EQ_UINT(status, 404);
    ASSERT_EQ_UINT(seen, 5);
}

static void test_redirect_is_an_answer(void)
{
    const tp_curl_request request = {.max_body_bytes = 100};
    uint32_t status = 0;
    ASSERT_OK(ask_once("HTTP/1.1 302 there\r\nLocation: http://127.0.0.1:1/\r\n"
                       "Content-Length: 0\r\n\r\n",
                       request, &status, &test_err));
    ASSERT_EQ_UINT(status, 302);
}

static void test_nobody_there(void)
{
    tp_curl *curl = open_curl();
    tp_curl_answer answer;
    tp_curl_answer_init(&answer, tp_allocator_default());
    const tp_curl_request request = {.method = "GET", .url = "http://127.0.0.1:1/x?secret"};
    ASSERT_FAILS(tp_curl_ask(curl, &request, &answer, &test_err), TAPEOUT_E_UNAVAILABLE,
                 "GET http://127.0.0.1:1/x: ");
    tp_curl_answer_deinit(&answer);
    tp_curl_close(&curl);
}

static void test_urls(void)
{
    static const char *const good[] = {"https://example.org", "https://example.org:1/a?b#c",
                                       "http://127.0.0.1:8/x", "http://localhost",
                                       "http://[::1]:9/"};
    static const char *const bad[] = {"ftp://127.0.0.1/",
                                      "file:///etc/passwd",
                                      "http://example.org/",
                                      "http://127.0.0.1.example.org/",
                                      "https://",
                                      "http://127.0.0.1:80@example.org/",
                                      "https://a:b@c/",
                                      "https://a/ b",
                                      "https://a\\@b/",
                                      "https://\xc3\xa4/",
                                      "http://localhostess/x",
                                      "https://a/\n",
                                      "HTTPS://example.org",
                                      ""};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        ASSERT_OK(tp_curl_url_check(good[i], "test", &test_err));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ASSERT_FAILS(tp_curl_url_check(bad[i], "test", &test_err), TAPEOUT_E_INVALID, "test: ");
    }
}

static void test_about(void)
{
    char version[64];
    char path[4096];
    if (!tp_curl_about(version, sizeof(version), path, sizeof(path))) {
        test_skip("no libcurl here");
    }
    ASSERT(version[0] >= '7' && version[0] <= '9' && strchr(version, ' ') == NULL);
    ASSERT(strstr(path, "libcurl") != NULL);
}

// -- addresses -----------------------------------------------------------------------------------
typedef struct gate {
    bool is_open;
    int asked; // how often
} gate;

static tapeout_status accept_loopback(void *user, const struct sockaddr *address,
                                      tapeout_error *err)
{
    gate *self = user;
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)address;
    ASSERT_EQ_INT(address->sa_family, AF_INET);
    ASSERT_EQ_UINT(ntohl(v4->sin_addr.s_addr), INADDR_LOOPBACK);
    self->asked++;
    return self->is_open ? TAPEOUT_OK : tp_fail(err, TAPEOUT_E_DENIED, "not this one");
}

// The address of the connection itself is asked for, and no proxy is between.
static void test_addresses_are_asked_for(void)
{
    gate it = {.is_open = false};
    tp_curl *curl = open_curl();
    tp_curl_answer answer;
    uint32_t status = 0;
    const tp_curl_request closed = {.method = "GET",
                                    .url = "http://localhost:9/",
                                    .max_body_bytes = 10,
                                    .accept = accept_loopback,
                                    .accept_user = &it};
    tp_curl_request there = closed;
    there.url = "http://127.0.0.1:9/";
    tp_curl_answer_init(&answer, tp_allocator_default());
    ASSERT_EQ_INT(setenv("http_proxy", "http://192.0.2.1:1", 1), 0);
    ASSERT_FAILS(tp_curl_ask(curl, &there, &answer, &test_err), TAPEOUT_E_DENIED, "not this one");
    ASSERT_EQ_INT(it.asked, 1);
    it.is_open = true;
    ASSERT_OK(
        ask_once("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", closed, &status, &test_err));
    ASSERT_EQ_UINT(status, 200);
    ASSERT_EQ_INT(it.asked, 2);
    tp_curl_answer_deinit(&answer);
    tp_curl_close(&curl);
}

TEST_MAIN(TEST(test_get), TEST(test_put_then_head), TEST(test_bounds),
          TEST(test_redirect_is_an_answer), TEST(test_nobody_there), TEST(test_urls),
          TEST(test_about), TEST(test_addresses_are_asked_for))
