// SPDX-License-Identifier: Apache-2.0
//
// HTTP/1.1 without sockets: a connection is an object that is fed bytes, hands out whole requests
// and collects the bytes to send. Whatever moves them (a TCP stream of the loop, TLS later, a test,
// a fuzzer) stands outside, so that every case of the protocol runs in a unit test.
//
// llhttp in its strict mode parses; what it leaves to its user is here: Host, transfer codings,
// versions, every limit, paths, `Expect`, pipelining. On any offence against the protocol the
// answer is an error and the end of the connection; what was pipelined behind it is never looked
// at.
//
// @thread A connection is `confined` to its loop. While a request is being handled elsewhere, its
// `request` is read-only for both sides.
#ifndef TP_HTTP_H
#define TP_HTTP_H

#include "base/limits.h"
#include "base/tp_buffer.h"

#include <llhttp.h>
#include <stdatomic.h>
#include <tapeout/context.h>

typedef enum tp_http_method {
    TP_HTTP_OTHER,
    TP_HTTP_GET,
    TP_HTTP_HEAD,
    TP_HTTP_POST,
    TP_HTTP_PUT,
    TP_HTTP_PATCH,
    TP_HTTP_DELETE,
    TP_HTTP_OPTIONS,
    TP_HTTP_METHOD_COUNT
} tp_http_method;

// The method's name, "OTHER" for one that we do not serve.
const char *tp_http_method_name(tp_http_method method);
// The reason phrase of a status that this server sends.
const char *tp_http_status_text(int status);

typedef enum tp_http_coding {
    TP_HTTP_IDENTITY,
    TP_HTTP_GZIP,
    TP_HTTP_DEFLATE, // a zlib stream
    TP_HTTP_UNKNOWN_CODING
} tp_http_coding;

typedef struct tp_http_header {
    tp_str name; // lower case
    tp_str value;
} tp_http_header;

enum { TP_HTTP_ID_SIZE = 64, TP_HTTP_TRACE_SIZE = 32 };

typedef struct tp_http_request {
    tp_http_method method;
    unsigned version_minor; // 0 or 1
    bool keep_alive;
    tp_str target;                         // as sent
    tp_str query;                          // behind the '?', still encoded
    tp_str segments[TP_MAX_HTTP_SEGMENTS]; // of the path, decoded once; a '/' in one was %2F
    uint32_t segment_count;                // 0 for "/"; also for "*"
    tp_http_header headers[TP_MAX_HTTP_HEADERS];
    uint32_t header_count;
    tp_http_coding content_coding; // of the body as received
    tp_buffer head;                // what the views above point into
    tp_buffer decoded_path;
    tp_buffer body;          // chunks joined, the content coding still on; of an upload a piece
    uint64_t content_length; // as announced; 0 where the body comes in chunks
    uint64_t body_bytes;     // of the body, received so far
    uint64_t begin_ns;       // monotonic, when its first byte came
    uint64_t held_up_ns;     // since then, while whoever took an upload's pieces let it wait
    char id[TP_HTTP_ID_SIZE + 1];
    char trace_id[TP_HTTP_TRACE_SIZE + 1]; // of a valid traceparent, else empty
    const char *peer_name; // by the client's certificate (tp_tls.h), as long as the connection; or
                           // NULL
} tp_http_request;

// The header of that lower-case name, or {NULL, 0}. The first where there are several.
tp_str tp_http_header_find(const tp_http_request *request, const char *name);
uint32_t tp_http_header_count(const tp_http_request *request, const char *name);

// A file on its way to a client, which is read in pieces as the client takes them.
typedef struct tp_http_file {
    bool is_open;
    int fd;
    uint64_t offset; // of the next piece
    uint64_t size;   // of all
} tp_http_file;

void tp_http_file_close(tp_http_file *file); // also one that is not open
// The next piece to the end of `out`, where that has room. E_IO in its status where the file can't
// be read, or ends before its size.
void tp_http_file_append(tp_http_file *file, tp_buffer *out);

// What goes back. The body belongs to whoever fills it; it is copied into the connection's output.
// A file takes the body's place, and becomes the connection's own.
typedef struct tp_http_reply {
    int status;
    const char *content_type; // NULL: no body
    tp_buffer headers;        // further "name: value\r\n" lines
    tp_buffer body;
    tp_http_file file;
    bool close;
} tp_http_reply;

void tp_http_reply_init(tp_http_reply *reply, const tapeout_allocator *alloc);
void tp_http_reply_deinit(tp_http_reply *reply);
void tp_http_reply_clear(tp_http_reply *reply);          // keeps the memory
uint64_t tp_http_reply_size(const tp_http_reply *reply); // of its body, or of its file

typedef enum tp_http_state {
    TP_HTTP_IDLE,      // between requests
    TP_HTTP_HEAD_PART, // some of a head is there
    TP_HTTP_BODY_PART,
    TP_HTTP_HANDLING, // a request was handed out and has no reply yet
    TP_HTTP_CLOSING   // nothing more is read; the output is sent, then the end
} tp_http_state;

// How far an upload is, a body that is handed out in pieces (http_upload.c). Handed out, with the
// state `handling`, it says what is there.
typedef enum tp_http_upload_step {
    TP_HTTP_UPLOAD_NONE,  // the body is handed out whole
    TP_HTTP_UPLOAD_HEAD,  // its head alone
    TP_HTTP_UPLOAD_PIECE, // a piece, in request.body
    TP_HTTP_UPLOAD_LAST   // the last piece, perhaps of no bytes, and the end
} tp_http_upload_step;

typedef struct tp_http_connection tp_http_connection;

// The memory that bodies on their way in hold together, over all connections of all loops. Buffers
// that an idle connection may keep do not count, so small requests always find room.
typedef struct tp_http_budget {
    size_t max_bytes;
    atomic_size_t used_bytes;
} tp_http_budget;

// What the connections of one loop share.
typedef struct tp_http_shared {
    const tapeout_allocator *alloc;
    size_t max_body_bytes;
    tp_http_budget *budget; // NULL: none
    bool draining;          // replies announce the end of the connection
    uint32_t hsts_s;        // of Strict-Transport-Security; 0: no such header
    char date[32];          // for the Date header; kept up to date by the loop; may be empty
    uint64_t id_seed;
    uint64_t id_next;
    // A whole request is there, or what upload_step says of one. Answers by
    // tp_http_connection_reply, now or later, or goes on with an upload.
    void (*handle)(void *user, tp_http_connection *connection);
    // Whether the request, of which the head is there, is an upload. Asked where it has a body
    // without a content coding. NULL: none is.
    bool (*is_upload)(void *user, const tp_http_request *request);
    // The connection ends while upload_owner is set: for a refusal, of which `refused` told, or
    // because the client has left. Never while an upload is handled. Its request is still there.
    void (*upload_gone)(void *user, tp_http_connection *connection, bool is_refused);
    // A request was refused by the protocol and has been answered with `status`.
    void (*refused)(void *user, tp_http_connection *connection, int status, const char *why);
    void *user;
} tp_http_shared;

struct tp_http_connection {
    tp_http_shared *shared;
    tp_http_state state;
    llhttp_t parser;
    tp_http_request request;
    tp_buffer out;     // to be sent; the owner takes from the front and clears
    tp_buffer pending; // received while a request was being handled, or while `out` was full
    bool has_ended;    // the peer sends nothing more
    bool closes_after; // the reply in pieces that is under way, or that of `file`
    tp_http_file file; // being sent; its request is still being handled
    tp_http_upload_step upload_step;
    bool upload_expects_continue;
    uint64_t handed_out_ns; // monotonic, when a step of an upload was
    void *upload_owner;     // whoever takes the pieces; set and cleared by it
    const char *chunk;      // what the parser is looking at,
    uint64_t chunk_offset;  // and its place in all that was received
    uint64_t method_end;    // place of the byte behind the method
    // Of the request that is being received:
    uint32_t span_begin; // of the header name or value under way, in `head`
    uint32_t url_size;
    uint32_t chunk_count;
    uint32_t extension_bytes;
    uint32_t trailer_bytes;
    size_t held_bytes; // as the budget has it
    int refuse_status; // set by a callback that stops the parser
    const char *refuse_why;
};

void tp_http_connection_init(tp_http_connection *connection, tp_http_shared *shared);
void tp_http_connection_deinit(tp_http_connection *connection);

// Takes bytes that came in. They are copied where they are needed later.
void tp_http_connection_feed(tp_http_connection *connection, const void *data, size_t size);
// The peer sends nothing more. A request cut short is refused; one being handled is still answered.
void tp_http_connection_end(tp_http_connection *connection);
// Answers the request that was handed out, and readies the connection for the next. What is already
// pending is looked at in tp_http_connection_resume, not here.
void tp_http_connection_reply(tp_http_connection *connection, tp_http_reply *reply);
// Lets an upload in that was handed out by its head, or has done with a piece: more is read from
// now on, after tp_http_connection_resume. Who replies instead ends the connection.
void tp_http_upload_go_on(tp_http_connection *connection);
// Puts the next piece of a file that is being sent into `out` where that has room. Called by
// whoever sends, before each step. A file that can't be read to its end breaks the connection off,
// for its length was told: `out` then has the status E_IO.
void tp_http_connection_refill(tp_http_connection *connection);
// The same for a reply whose body comes in pieces: the head, each piece, the end. In HTTP/1.1 a
// piece is a chunk; for 1.0 the end of the connection is the end of the body. A piece of no bytes
// is none. Between begin and finish the connection is still handling its request.
void tp_http_connection_begin(tp_http_connection *connection, const tp_http_reply *head);
void tp_http_connection_piece(tp_http_connection *connection, tp_str piece);
void tp_http_connection_finish(tp_http_connection *connection);
// Goes on with what is pending, once `out` has been sent.
void tp_http_connection_resume(tp_http_connection *connection);
// Refuses the request under way from outside, such as for a timeout, and closes.
void tp_http_connection_refuse(tp_http_connection *connection, int status, const char *why);
// Whether more bytes are welcome now.
bool tp_http_connection_wants_bytes(const tp_http_connection *connection);
// Gives back what a large request made grow; called when the connection is idle and all is sent.
void tp_http_connection_shrink(tp_http_connection *connection);

// -- parts of it, for tests ----------------------------------------------------------------------
// Splits request.target into segments and query. 0, or the status that refuses it.
int tp_http_target_split(tp_http_request *request, const char **ret_why);
// Checks what the headers say together. 0, or the status that refuses them. `ret_expects_continue`
// is set where the client waits for "100 Continue".
int tp_http_head_check(tp_http_request *request, const llhttp_t *parser, bool *ret_expects_continue,
                       const char **ret_why);
// 0, or 413 where a longer body is announced than that.
int tp_http_length_check(const tp_http_request *request, size_t max_body_bytes,
                         const char **ret_why);
// The reply as bytes, with the headers that every reply has; the head alone of one in pieces.
void tp_http_reply_head_write(tp_buffer *out, const tp_http_connection *connection,
                              const tp_http_reply *head);
void tp_http_reply_write(tp_buffer *out, const tp_http_connection *connection,
                         const tp_http_reply *reply);

// -- content codings -----------------------------------------------------------------------------
// Undoes `coding` of `data` into `ret_body`, which has its own ceiling. E_LIMIT beyond that or for
// a ratio that no honest body has; E_CORRUPT for a broken or trailing stream; E_UNSUPPORTED.
tapeout_status tp_http_inflate(tp_http_coding coding, tp_str data, tp_buffer *ret_body,
                               tapeout_error *err);
// Appends `data` compressed. GZIP or DEFLATE.
tapeout_status tp_http_deflate(tp_http_coding coding, tp_str data, tp_buffer *ret_body,
                               tapeout_error *err);
// The coding that an Accept-Encoding value asks for most, of those that we have.
tp_http_coding tp_http_coding_accepted(tp_str accept_encoding);
tp_http_coding tp_http_coding_from_name(tp_str name);

#endif
