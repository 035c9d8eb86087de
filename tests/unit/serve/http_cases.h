// SPDX-License-Identifier: Apache-2.0
//
// A connection without sockets for tests: a handler that answers every whole request with what it
// understood, and counts. Bytes are fed at once or one by one.
#ifndef HTTP_CASES_H
#define HTTP_CASES_H

#include "serve/tp_http.h"
#include "test.h"

typedef struct http_probe {
    tp_http_shared shared;
    tp_http_connection connection;
    test_allocator allocator;
    int handled;        // whole requests
    int refused_status; // of the last refusal; 0: none
    bool is_slow;       // the handler does not answer by itself
    bool echoes;        // the reply is the request's body
} http_probe;

void http_probe_init(http_probe *probe);
void http_probe_deinit(http_probe *probe); // asserts that nothing is left
void http_probe_feed(http_probe *probe, const char *bytes, size_t size, bool one_by_one);
void http_probe_answer(http_probe *probe);
// The status of the n-th reply (from 0) in what was sent; 0 where there is none.
int http_probe_status(const http_probe *probe, int index);
bool http_probe_sent(const http_probe *probe, const char *part);

#endif
