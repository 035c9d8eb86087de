// SPDX-License-Identifier: Apache-2.0
//
// A served model without a server: small models trained from rows made here, and requests that go
// through the real connection, routes and handlers.
#ifndef SERVE_CASES_H
#define SERVE_CASES_H

#include "serve/serve_priv.h"
#include "test.h"

typedef enum serve_model_kind {
    SERVE_CASE_BINARY, // target 0/1; columns age int64, income float64, city string, joined date,
                       // member bool
    SERVE_CASE_COLORS  // target a string of three classes, one with a quote in it
} serve_model_kind;

// Trains into a folder of the case's own; the path lives until the next call. `seed` changes the
// model.
const char *serve_case_bundle(serve_model_kind kind, unsigned seed);

typedef struct serve_case {
    tp_env env;
    serve_state state;
    serve_exchange exchange;
    tp_http_shared shared;
    tp_http_connection connection;
    int status; // of the last reply
    tp_buffer reply;
    tp_buffer headers;
    test_allocator allocator;
} serve_case;

void serve_case_init(serve_case *self, serve_model_kind kind);
void serve_case_deinit(serve_case *self); // asserts that nothing is left

typedef struct serve_ask {
    const char *method; // NULL: POST
    const char *path;
    const char *headers; // whole lines with CRLF; may be NULL
    const void *body;
    size_t body_size; // 0: strlen of `body`
} serve_ask;

// Sends it and returns the status; the body stands in self->reply, with a NUL behind it.
int serve_case_ask(serve_case *self, const serve_ask *ask);
int serve_case_post(serve_case *self, const char *path, const char *body);
// The reply's text; ends the case where the status is another one.
const char *serve_case_expect(serve_case *self, int status, const char *path, const char *body);
bool serve_case_has(const serve_case *self, const char *part); // in the reply's body

#endif
