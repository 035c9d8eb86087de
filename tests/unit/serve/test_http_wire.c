// SPDX-License-Identifier: Apache-2.0
//
// HTTP/1.1 on the wire, case by case (robustness W1-W3, W5): what is sent, the status that comes
// back, whether the connection stays, and how many requests were handed out. A request smuggled
// behind a bad one must never be. Every case runs twice, fed at once and byte by byte; the answers
// are the same.
#include "http_cases.h"

#include <string.h>

#define HOST "Host: a\r\n"
#define NEXT "GET /next HTTP/1.1\r\nHost: a\r\n\r\n"

typedef struct wire_case {
    const char *name;
    const char *bytes;
    int status; // of the first reply; 0: none yet
    bool stays; // the connection goes on
    int handled;
} wire_case;

static const wire_case wire_cases[] = {
    // What is right.
    {"plain", "GET / HTTP/1.1\r\n" HOST "\r\n", 200, true, 1},
    {"head", "HEAD / HTTP/1.1\r\n" HOST "\r\n", 200, true, 1},
    {"two pipelined", "GET / HTTP/1.1\r\n" HOST "\r\n" NEXT, 200, true, 2},
    {"leading empty line", "\r\nGET / HTTP/1.1\r\n" HOST "\r\n", 200, true, 1},
    {"body by length", "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc" NEXT, 200, true,
     2},
    {"body of zero", "POST / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n" NEXT, 200, true, 2},
    {"body in chunks",
     "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" NEXT, 200,
     true, 2},
    {"chunked in capitals",
     "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: CHUNKED\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 200,
     true, 1},
    {"chunk extension",
     "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\n\r\n", 200,
     true, 1},
    {"trailers are dropped",
     "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\nX-A: b\r\n\r\n" NEXT, 200,
     true, 2},
    {"empty chunked body", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     200, true, 1},
    {"body on delete", "DELETE / HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n{}" NEXT, 200, true,
     2},
    {"body on patch", "PATCH / HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n{}" NEXT, 200, true, 2},
    {"body on get", "GET / HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n{}" NEXT, 200, true, 2},
    {"absolute form", "GET http://a/x HTTP/1.1\r\n" HOST "\r\n", 200, true, 1},
    {"options star", "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 200, true, 1},
    {"1.0 without host", "GET / HTTP/1.0\r\n\r\n", 200, false, 1},
    {"1.0 keep-alive", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, true, 1},
    {"close", "GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", 200, false, 1},
    {"what follows a close is dropped", "GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n" NEXT,
     200, false, 1},
    {"host with port", "GET / HTTP/1.1\r\nHost: a.b:80\r\n\r\n", 200, true, 1},
    {"host of six", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 200, true, 1},
    {"upgrade is ignored",
     "GET / HTTP/1.1\r\n" HOST "Connection: upgrade\r\nUpgrade: h2c\r\n\r\n" NEXT, 200, true, 2},
    {"query", "GET /a?b=c/../d;e HTTP/1.1\r\n" HOST "\r\n", 200, true, 1},
    {"slash as data", "GET /a/b%2Fc HTTP/1.1\r\n" HOST "\r\n", 200, true, 1},
    {"incomplete", "GET / HTTP/1.1\r\nHost: a\r\n", 0, true, 0},
    {"incomplete body", "POST / HTTP/1.1\r\n" HOST "Content-Length: 4\r\n\r\nabc", 0, true, 0},
    // Host.
    {"no host", "GET / HTTP/1.1\r\n\r\n" NEXT, 400, false, 0},
    {"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n" NEXT, 400, false, 0},
    {"empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n" NEXT, 400, false, 0},
    {"host with path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n" NEXT, 400, false, 0},
    {"host with user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n" NEXT, 400, false, 0},
    {"host with space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n" NEXT, 400, false, 0},
    {"host with list", "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n" NEXT, 400, false, 0},
    {"host with bad port", "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n" NEXT, 400, false, 0},
    {"host of six without end", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n" NEXT, 400, false, 0},
    {"other authority", "GET http://b/ HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, false, 0},
    // Lengths and codings: two readings of one message.
    {"length and coding",
     "POST / HTTP/1.1\r\n" HOST
     "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" NEXT,
     400, false, 0},
    {"coding and length",
     "POST / HTTP/1.1\r\n" HOST
     "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n" NEXT,
     400, false, 0},
    {"two lengths",
     "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd" NEXT, 400,
     false, 0},
    {"two equal lengths",
     "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc" NEXT, 400,
     false, 0},
    {"length list", "POST / HTTP/1.1\r\n" HOST "Content-Length: 3, 3\r\n\r\nabc" NEXT, 400, false,
     0},
    {"length plus", "POST / HTTP/1.1\r\n" HOST "Content-Length: +3\r\n\r\nabc" NEXT, 400, false, 0},
    {"length minus", "POST / HTTP/1.1\r\n" HOST "Content-Length: -3\r\n\r\nabc" NEXT, 400, false,
     0},
    {"length hex", "POST / HTTP/1.1\r\n" HOST "Content-Length: 0x3\r\n\r\nabc" NEXT, 400, false, 0},
    {"length with space", "POST / HTTP/1.1\r\n" HOST "Content-Length: 3 3\r\n\r\nabc" NEXT, 400,
     false, 0},
    {"length with fraction", "POST / HTTP/1.1\r\n" HOST "Content-Length: 3.0\r\n\r\nabc" NEXT, 400,
     false, 0},
    {"length empty", "POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\nabc" NEXT, 400, false, 0},
    {"length 2^64", "POST / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551616\r\n\r\na" NEXT,
     400, false, 0},
    {"length 2^64+3",
     "POST / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551619\r\n\r\nabc" NEXT, 400, false,
     0},
    {"length 2^63", "POST / HTTP/1.1\r\n" HOST "Content-Length: 9223372036854775808\r\n\r\na", 413,
     false, 0},
    {"length 2^64-1", "POST / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551615\r\n\r\na",
     413, false, 0},
    {"coding in 1.0", "POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" NEXT,
     400, false, 0},
    {"unknown coding",
     "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" NEXT, 400, false, 0},
    {"identity coding", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n" NEXT, 400,
     false, 0},
    {"gzip coding",
     "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" NEXT, 501,
     false, 0},
    {"chunked not last",
     "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n" NEXT, 400,
     false, 0},
    {"chunked twice",
     "POST / HTTP/1.1\r\n" HOST
     "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" NEXT,
     400, false, 0},
    {"chunked in a list twice",
     "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" NEXT, 400,
     false, 0},
    {"coding with tab inside",
     "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chun\tked\r\n\r\n0\r\n\r\n" NEXT, 400, false,
     0},
    {"space before colon",
     "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" NEXT, 400, false, 0},
    {"folded header", "GET / HTTP/1.1\r\n" HOST "X-A: b\r\n c\r\n\r\n" NEXT, 400, false, 0},
    {"folded coding",
     "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" NEXT, 400, false,
     0},
    // Chunks.
    {"chunk size 2^64",
     "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\na", 400,
     false, 0},
    {"chunk size 2^64-1",
     "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\na", 413,
     false, 0},
    {"chunk size hex prefix",
     "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n" NEXT,
     400, false, 0},
    {"chunk size negative",
     "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n" NEXT, 400, false, 0},
    {"chunk size empty",
     "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n\r\nabc\r\n0\r\n\r\n" NEXT, 400,
     false, 0},
    {"chunk size with space",
     "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n" NEXT,
     400, false, 0},
    {"chunk size underscore",
     "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1_0\r\nabc\r\n0\r\n\r\n" NEXT,
     400, false, 0},
    {"chunk with bare line feed",
     "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n" NEXT, 400,
     false, 0},
    {"chunk without its line end",
     "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc0\r\n\r\n" NEXT, 400,
     false, 0},
    {"chunk longer than said",
     "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n" NEXT,
     400, false, 0},
    // Lines.
    {"bare line feed", "GET / HTTP/1.1\nHost: a\n\n" NEXT, 400, false, 0},
    {"bare line feed in headers", "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n" NEXT, 400, false, 0},
    {"bare carriage return", "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n" NEXT, 400, false, 0},
    {"header without colon", "GET / HTTP/1.1\r\n" HOST "abc\r\n\r\n" NEXT, 400, false, 0},
    {"header without name", "GET / HTTP/1.1\r\n" HOST ": abc\r\n\r\n" NEXT, 400, false, 0},
    {"header with a bad name", "GET / HTTP/1.1\r\n" HOST "a(b): c\r\n\r\n" NEXT, 400, false, 0},
    {"header begins with space", "GET / HTTP/1.1\r\n Host: a\r\n\r\n" NEXT, 400, false, 0},
    {"control byte in a value",
     "GET / HTTP/1.1\r\n" HOST "X: a\x01"
     "b\r\n\r\n" NEXT,
     400, false, 0},
    // The request line.
    {"version 0.9", "GET /\r\n\r\n" NEXT, 505, false, 0},
    {"version 1.2", "GET / HTTP/1.2\r\n" HOST "\r\n" NEXT, 505, false, 0},
    {"version 2.0", "GET / HTTP/2.0\r\n" HOST "\r\n" NEXT, 505, false, 0},
    {"version 9.9", "GET / HTTP/9.9\r\n" HOST "\r\n" NEXT, 505, false, 0},
    {"version in small letters", "GET / http/1.1\r\n" HOST "\r\n" NEXT, 400, false, 0},
    {"version cut", "GET / HTTP/1\r\n" HOST "\r\n" NEXT, 400, false, 0},
    {"version with space", "GET / HTTP/ 1.1\r\n" HOST "\r\n" NEXT, 400, false, 0},
    {"http/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, false, 0},
    {"unknown method", "FROB / HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, false, 0},
    {"small method", "get / HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, false, 0},
    {"connect", "CONNECT a:80 HTTP/1.1\r\n" HOST "\r\n" NEXT, 501, false, 0},
    {"no target", "GET HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, false, 0},
    {"two spaces", "GET  / HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, false, 0},
    {"tab for space", "GET\t/ HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, false, 0},
    {"space in target", "GET /a b HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, false, 0},
    {"star for get", "GET * HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, false, 0},
    {"target without slash", "GET a HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, false, 0},
    {"fragment", "GET /a#b HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, false, 0},
    {"other scheme", "GET ftp://a/ HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, false, 0},
    // Paths: W5.
    {"dot dot", "GET /a/../b HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, false, 0},
    {"encoded dot dot", "GET /a/%2e%2e/b HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, false, 0},
    {"encoded slash and dots", "GET /v2/models/..%2f..%2fetc HTTP/1.1\r\n" HOST "\r\n" NEXT, 400,
     false, 0},
    {"doubly encoded is data", "GET /v2/models/..%252f HTTP/1.1\r\n" HOST "\r\n" NEXT, 200, true,
     2},
    {"dot", "GET /./a HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, false, 0},
    {"semicolon", "GET /a;b HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, false, 0},
    {"encoded semicolon", "GET /a%3bb HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, false, 0},
    {"backslash", "GET /a\\b HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, false, 0},
    {"encoded backslash", "GET /a%5cb HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, false, 0},
    {"double slash", "GET /a//b HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, false, 0},
    {"slash at the end", "GET /a/ HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, false, 0},
    {"encoded NUL", "GET /a%00b HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, false, 0},
    {"encoded line feed", "GET /a%0ab HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, false, 0},
    {"overlong", "GET /a%c0%afb HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, false, 0},
    {"lone surrogate", "GET /a%ed%a0%80 HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, false, 0},
    {"utf-8 is fine", "GET /a%c3%a4 HTTP/1.1\r\n" HOST "\r\n" NEXT, 200, true, 2},
    {"percent cut", "GET /a%2 HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, false, 0},
    {"percent wrong", "GET /a%zz HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, false, 0},
    {"bytes above ASCII", "GET /a\xc3\xa4 HTTP/1.1\r\n" HOST "\r\n" NEXT, 400, false, 0},
    // Others.
    {"expects something else",
     "POST / HTTP/1.1\r\n" HOST "Expect: coffee\r\nContent-Length: 2\r\n\r\n{}" NEXT, 417, false,
     0},
    {"unknown content coding",
     "POST / HTTP/1.1\r\n" HOST "Content-Encoding: br\r\nContent-Length: 2\r\n\r\n{}" NEXT, 415,
     false, 0},
    {"two content codings",
     "POST / HTTP/1.1\r\n" HOST
     "Content-Encoding: gzip\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}" NEXT,
     415, false, 0},
};

static bool check_case(const wire_case *wire, bool one_by_one)
{
    http_probe probe;
    http_probe_init(&probe);
    http_probe_feed(&probe, wire->bytes, strlen(wire->bytes), one_by_one);
    const bool stays = probe.connection.state != TP_HTTP_CLOSING;
    const bool is_right = http_probe_status(&probe, 0) == wire->status && stays == wire->stays &&
                          probe.handled == wire->handled;
    if (!is_right) {
        printf("%s%s: status %d, want %d; %s; %d handled, want %d\n", wire->name,
               one_by_one ? " (byte by byte)" : "", http_probe_status(&probe, 0), wire->status,
               stays ? "stays" : "closes", probe.handled, wire->handled);
    }
    if (wire->status >= 400) {
        ASSERT_EQ_INT(probe.refused_status, wire->status);
        ASSERT(http_probe_sent(&probe, "connection: close\r\n"));
        ASSERT(http_probe_sent(&probe, "{\"error\":\""));
    }
    http_probe_deinit(&probe);
    return is_right;
}

static void check_cases(bool one_by_one)
{
    int wrong = 0;
    for (size_t i = 0; i < sizeof(wire_cases) / sizeof(wire_cases[0]); i++) {
        wrong += !check_case(&wire_cases[i], one_by_one);
    }
    ASSERT_EQ_INT(wrong, 0);
}

static void test_wire_cases(void)
{
    check_cases(false);
}

static void test_wire_cases_byte_by_byte(void)
{
    check_cases(true);
}

// NUL can't stand in the table.
static void test_nul_in_header_is_refused(void)
{
    static const char bytes[] = "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n" NEXT;
    http_probe probe;
    http_probe_init(&probe);
    http_probe_feed(&probe, bytes, sizeof(bytes) - 1, false);
    ASSERT_EQ_INT(http_probe_status(&probe, 0), 400);
    ASSERT_EQ_INT(probe.handled, 0);
    http_probe_deinit(&probe);
}

TEST_MAIN(TEST(test_wire_cases), TEST(test_wire_cases_byte_by_byte),
          TEST(test_nul_in_header_is_refused))
