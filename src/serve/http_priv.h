// SPDX-License-Identifier: Apache-2.0
//
// A connection inside: requests and their heads (http_connection.c), bodies (http_body.c), and
// bodies that are handed out in pieces (http_upload.c).
#ifndef HTTP_PRIV_H
#define HTTP_PRIV_H

#include "serve/tp_http.h"

// -- http_body.c ---------------------------------------------------------------------------------
// Stops the parser from inside a callback; the caller of llhttp_execute answers with `status`.
int tp_http_stop(tp_http_connection *connection, int status, const char *why);
// Tells the budget what the connection holds now. False when it grew beyond what is left.
bool tp_http_budget_update(tp_http_connection *connection);
bool tp_http_budget_is_spent(const tp_http_connection *connection);
// llhttp's callbacks.
int tp_http_on_body(llhttp_t *parser, const char *data, size_t size);
int tp_http_on_chunk_header(llhttp_t *parser);
int tp_http_on_chunk_extension(llhttp_t *parser, const char *data, size_t size);
int tp_http_on_trailer(tp_http_connection *connection, size_t size);

// -- http_upload.c -------------------------------------------------------------------------------
// Whether the body of the request whose head is there is to be handed out in pieces; then it
// begins.
bool tp_http_upload_begin(tp_http_connection *connection, bool expects_continue);
// Of `size` bytes those that may be parsed at once, so that a piece does not become too large.
size_t tp_http_upload_room(const tp_http_connection *connection, size_t size);
bool tp_http_upload_is_full(const tp_http_connection *connection); // a piece is to be handed out
void tp_http_upload_hand_out(tp_http_connection *connection);      // what is there
void tp_http_upload_complete(tp_http_connection *connection);      // the body is there to its end
// Whether some of the body may still be to come.
bool tp_http_upload_is_under_way(const tp_http_connection *connection);
// The request ends without a reply to its whole: its owner hears of it, once.
void tp_http_upload_gone(tp_http_connection *connection, bool is_refused);

#endif
