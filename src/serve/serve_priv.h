// SPDX-License-Identifier: Apache-2.0
//
// The server inside: an exchange is one request on its way to a reply, a route says who handles it
// and what right that takes, and the handlers of the protocols turn bodies into rows and scores
// into bodies. Nothing here knows a socket.
#ifndef SERVE_PRIV_H
#define SERVE_PRIV_H

#include "base/tp_arena.h"
#include "monitor/tp_monitor.h"
#include "registry/tp_upload.h"
#include "serve/tp_engine.h"
#include "serve/tp_http.h"
#include "trust/tp_limiter.h"
#include "trust/tp_roster.h"

#include <yyjson.h>

typedef struct serve_exchange serve_exchange;
typedef tapeout_status serve_handler(serve_exchange *exchange, tapeout_error *err);

// What one of MLflow's routes does for its one handler (mlflow_ask.h).
struct mlflow_ask;
typedef tapeout_status mlflow_call(struct mlflow_ask *ask, tapeout_error *err);

// Which body an error has.
typedef enum serve_family {
    SERVE_FAMILY_PLAIN,  // {"error":"..."}
    SERVE_FAMILY_MLFLOW, // {"error_code":"...","message":"..."}
    SERVE_FAMILY_OPENAI  // {"error":{"message":"...","type":"...","param":null,"code":null}}
} serve_family;

// When the reply comes.
typedef enum serve_when {
    SERVE_NOW,    // the handler fills it
    SERVE_LONG,   // the same, but not on the loop's thread
    SERVE_UPLOAD, // the same, and the handler is asked twice: first to open exchange.upload with
                  // the head alone, then with the body written to it; with a body in a content
                  // coding, or none, once like SERVE_LONG
    SERVE_LATER,  // the handler may take a stream and have it filled by another thread
    SERVE_SLOW    // the same, and the handler does not run on the loop's thread either
} serve_when;

typedef struct serve_route {
    tp_http_method method;
    const char *pattern; // "/v2/models/{model}/infer"; "{model}" is one segment or the rest of one
    tp_right right;
    serve_family family;
    serve_when when;
    serve_handler *handler;
    const char *summary; // for the OpenAPI document
    mlflow_call *call;   // of tp_serve_mlflow and its like; else NULL
} serve_route;

#define SERVE_RETRY_NEVER UINT64_MAX
enum { SERVE_MAX_PARAMS = 3, SERVE_PEER_SIZE = 16, SERVE_LOGIN_MARK_SIZE = 16 };

// A stream on offer to the handler of a SERVE_LATER route.
typedef struct serve_later serve_later;
struct tp_stream;

// Called on the loop's thread.
typedef struct serve_later_events {
    void (*gone)(void *user); // the client has left; at most once, before done
    void (*done)(void *user); // the stream has ended and nothing is called any more
    void *user;
} serve_later_events;

struct serve_access;
struct serve_auth;

// What became of the credentials of a request, as far as the loop's thread could tell.
typedef enum serve_login {
    SERVE_LOGIN_NOBODY,  // there are none
    SERVE_LOGIN_KNOWN,   // exchange.principal
    SERVE_LOGIN_PENDING, // a password that must be checked, which takes long
    SERVE_LOGIN_REFUSED  // exchange.login_why
} serve_login;

// What all exchanges of a server share.
typedef struct serve_state {
    const tp_env *env;
    struct serve_access *access; // who may come in; NULL: everybody is `anonymous`
    tp_principal *anonymous;     // without identities; NULL: nobody, who may probe
    struct serve_store *store;   // registries to write to; NULL: none
    tp_engine *engine;
    tp_monitor *monitor;
    atomic_bool is_ready;    // models are loaded and no drain has begun
    atomic_bool *is_stopped; // a sync failed: until a new start the server only reads; may be NULL
    size_t max_body_bytes;
    uint64_t max_artifact_bytes;
    uint64_t max_rows;
    uint32_t llm_deadline_ms;                       // of an answer; 0: none
    struct tp_audit *audit;                         // NULL: no log
    bool keeps_receipts, receipts_have_rows;        // of each prediction; or the rows' hash alone
    void (*models_changed)(void *user, tp_str who); // by a request; may be NULL
    // Appends what only the server itself can tell; called when /metrics is asked for.
    void (*refresh_metrics)(void *user);
    void (*alias_moved)(void *user); // what is served may have to change
    void *user;
} serve_state;

// What a language model has done for a request, once it has ended.
typedef struct serve_tokens {
    uint32_t prompt_count;
    uint32_t cached_count;
    uint32_t generated_count; // of all choices
    uint64_t first_ns;        // from the request to its first token
    uint64_t whole_ns;        // and to its last
} serve_tokens;

struct serve_exchange {
    serve_state *state;
    const tp_http_request *request;
    const serve_route *route; // NULL where no route matches
    tp_str params[SERVE_MAX_PARAMS];
    uint32_t allowed_methods; // of the path, a bit each, where no route matches
    bool has_key_in_target;   // an API key: the request is refused, its target never logged
    tp_http_reply reply;
    tapeout_error error;   // of a request that failed; its message is for the log
    int fail_status;       // of the failure that is about to be returned; 0: by its code
    const char *fail_code; // OpenAI's `code` for it, or NULL
    uint64_t retry_ns;     // of a failure that passes: when to come again; 0: a second
    tp_limit_state limits[TP_COUNTABLE_COUNT]; // of the caller, as far as they were asked
    uint64_t charged_tokens;
    // Who asks.
    struct serve_auth *auth; // of the thread that took the request; NULL: nobody is told apart
    serve_login login;
    const char *login_why;   // of a refusal, for the log
    char login_text[128];    // where that needs room
    tp_roster *login_roster; // a reference, while a password waits to be checked
    uint8_t login_mark[SERVE_LOGIN_MARK_SIZE];
    bool login_is_new;             // a password was found right, of which `login_mark` is the mark
    tp_principal *principal;       // a reference, or NULL
    uint8_t peer[SERVE_PEER_SIZE]; // the client's address, an IPv4 one mapped
    serve_later *later;            // NULL: no stream is to be had
    bool is_verbatim;              // the body goes out as it is, never compressed
    bool is_taken;                 // the stream was taken: the reply comes from elsewhere
    bool opens_upload;             // the handler is asked to open `upload`, and nothing else
    tp_upload *upload;             // of a SERVE_UPLOAD route: what its body is written to
    tp_str body;                   // without content coding
    tp_buffer inflated;
    tp_buffer scratch;
    tp_served *model; // a reference, given back when the exchange is cleared
    uint64_t row_count;
    uint64_t compute_ns; // in the model
    uint64_t unseen_count;
    serve_tokens tokens;
    // Of the reply as it went out, for counters and the log.
    int reply_status;
    uint64_t reply_bytes;
};

void tp_serve_exchange_init(serve_exchange *exchange, serve_state *state);
void tp_serve_exchange_clear(serve_exchange *exchange); // for the next request; keeps some memory
void tp_serve_exchange_deinit(serve_exchange *exchange);
// Finds the route.
void tp_serve_exchange_begin(serve_exchange *exchange, const tp_http_request *request);
// Handles, and leaves a reply whatever happens, unless the handler has taken the stream.
void tp_serve_exchange_run(serve_exchange *exchange);
// The same in steps, for an upload. Lets it in, and has the handler open exchange.upload: false
// where it is refused, and there is a reply. Writes a piece, the same way. Has the handler finish.
bool tp_serve_upload_open(serve_exchange *exchange);
bool tp_serve_upload_write(serve_exchange *exchange, tp_str piece);
void tp_serve_upload_finish(serve_exchange *exchange);
// Turns a handler's outcome into the reply.
void tp_serve_exchange_settle(serve_exchange *exchange, tapeout_status status);
// Whether the request is refused before anybody looks at its route; then there is a reply.
bool tp_serve_exchange_is_barred(serve_exchange *exchange);
// Whether the request is so large, or its route takes so long, that the loop should not wait.
bool tp_serve_exchange_is_large(const serve_exchange *exchange);

// -- routes --------------------------------------------------------------------------------------
extern const serve_route tp_serve_routes[];
extern const uint32_t tp_serve_route_count;
// The route for method and path, filling `ret_params`; NULL where there is none, and then
// `ret_allowed` has a bit for each method that the path knows (none: unknown path).
const serve_route *tp_serve_route_find(const tp_http_request *request, tp_str *ret_params,
                                       uint32_t *ret_allowed);
// Whether the path is below the prefixes of MLflow's API, whether there is such a route or not.
bool tp_serve_is_mlflow(const tp_http_request *request);
// Appends the OpenAPI document of the table.
void tp_serve_openapi_write(tp_buffer *ret_json);

// A model in OpenAI's words, without braces.
void tp_openai_model_write(const tp_served *model, tp_buffer *json);

// -- help for handlers ---------------------------------------------------------------------------
// Sets the status that the failure is to have and passes `status` on.
tapeout_status tp_serve_fail_as(serve_exchange *exchange, int http_status, tapeout_status status);
// Sets the code that OpenAI's clients are to see; the other families have codes of their own.
void tp_serve_fail_code(serve_exchange *exchange, const char *code);
// Takes the stream: the handler's return decides nothing any more, and whoever has the stream ends
// it (tp_loop.h). E_UNSUPPORTED where there is none.
tapeout_status tp_serve_later_take(serve_exchange *exchange, const serve_later_events *events,
                                   struct tp_stream **ret_stream, tapeout_error *err);
// The body of a failure as the family writes it, into `reply`.
typedef struct serve_failure {
    int http_status;
    tp_str message;
    const char *code;  // OpenAI's, or NULL
    uint64_t retry_ns; // of 429 and 503; 0: a second; SERVE_RETRY_NEVER: it would fail again
} serve_failure;
void tp_serve_failure_write(tp_http_reply *reply, serve_family family,
                            const serve_failure *failure);
// Whether a sync has failed, so that nothing is stored any more until the server is started anew.
bool tp_serve_is_stopped(const serve_state *state);
// By the status's own meaning.
int tp_serve_http_status(tapeout_status status);
// The model that the path names (params 0 and 1) in the caller's tenant, for which the caller has
// the route's right; E_NOT_FOUND, E_DENIED, or E_BUSY while nothing is loaded yet. Sets
// exchange.model.
tapeout_status tp_serve_model_find(serve_exchange *exchange, tapeout_error *err);
// The first for which the caller has the route's right and `kind` says yes, or NULL.
tp_served *tp_serve_model_first(const serve_exchange *exchange,
                                bool (*kind)(const tp_served *model));
// References to those of which the caller may know, in order; at most TP_MAX_SERVED_MODELS.
size_t tp_serve_models_list(const serve_exchange *exchange, tp_served **ret_models);
// The same where it must be a table's model, and the first of those; else E_UNSUPPORTED.
tapeout_status tp_serve_table_find(serve_exchange *exchange, tapeout_error *err);
tapeout_status tp_serve_table_first(serve_exchange *exchange, tapeout_error *err);
// E_BUSY while nothing is loaded yet, E_NOT_FOUND where nothing is to be.
tapeout_status tp_serve_check_some(const serve_exchange *exchange, tapeout_error *err);
// The body as JSON: E_INVALID, so 400, for whatever is wrong with it. Freed with yyjson_doc_free.
tapeout_status tp_serve_body_json(serve_exchange *exchange, yyjson_doc **ret_doc,
                                  tapeout_error *err);

// -- who asks (serve_auth.c) ----------------------------------------------------------------------
// Looks at the request's credentials, as far as that is quick; on the loop's thread.
void tp_serve_authenticate(serve_exchange *exchange);
// The rest, and whether the caller has the route's right for anything at all. 401, 403, 429.
tapeout_status tp_serve_admit(serve_exchange *exchange, tapeout_error *err);
// Keeps what was found out, for the next request; on the loop's thread.
void tp_serve_auth_settle(serve_exchange *exchange);
void tp_serve_auth_clear(serve_exchange *exchange); // for the next request
tp_str tp_serve_tenant(const serve_exchange *exchange);
// Whether the caller has `right` for `model` of its tenant; an empty name means all models.
// E_NOT_FOUND where it may not even know of it, as for one that is not there; else E_DENIED.
tapeout_status tp_serve_require(const serve_exchange *exchange, tp_right right, tp_str model,
                                tapeout_error *err);

// -- limits (serve_limits.c), on any thread ------------------------------------------------------
// Takes `cost` of what the caller may have; 429 where it has not so much left.
tapeout_status tp_serve_charge(serve_exchange *exchange, tp_countable countable, uint64_t cost,
                               tapeout_error *err);
void tp_serve_give_back(serve_exchange *exchange, tp_countable countable, uint64_t cost);
void tp_serve_limits_write(const serve_exchange *exchange, tp_buffer *headers); // what is left

// -- rows ----------------------------------------------------------------------------------------
// Rows on their way into a model: the kit's builder, and what was noticed.
typedef struct serve_batch {
    serve_exchange *exchange;
    tp_served *model;
    tp_kit *kit;
    uint64_t row_count;
    uint64_t max_row_count; // over all clears
    tp_dict ignored;        // keys of records that are no column, each once, the first few
    tp_scores scores;
} serve_batch;

tapeout_status tp_serve_batch_begin(serve_batch *batch, serve_exchange *exchange,
                                    tapeout_error *err);
void tp_serve_batch_end(serve_batch *batch);
// Forgets the rows.
void tp_serve_batch_clear(serve_batch *batch);
// One value for a column, by the column's type: see docs/serve.md.
tapeout_status tp_serve_batch_value(serve_batch *batch, uint32_t column, yyjson_val *value,
                                    tapeout_error *err);
tapeout_status tp_serve_batch_record(serve_batch *batch, yyjson_val *object, tapeout_error *err);
// Values by position: `columns` [column_count] of the schema, or NULL for its own order.
tapeout_status tp_serve_batch_list(serve_batch *batch, yyjson_val *list, const uint32_t *columns,
                                   uint32_t column_count, tapeout_error *err);
void tp_serve_batch_note_ignored(serve_batch *batch, tp_str name);
// Scores the rows gathered so far.
tapeout_status tp_serve_batch_score(serve_batch *batch, tapeout_error *err);
// Scores a table that came from elsewhere, such as CSV.
tapeout_status tp_serve_batch_score_table(serve_batch *batch, const tapeout_table *table,
                                          tapeout_error *err);
// `"prediction":...,"probability":...` of one row, without braces.
void tp_serve_batch_write_row(const serve_batch *batch, uint64_t row, tp_buffer *json);
// `{"predictions":[{...},...]}` of all rows, with lists of what was noticed where there is
// anything: "unseen" features, "missing" columns, "ignored" keys.
void tp_serve_batch_write_all(const serve_batch *batch, tp_buffer *json);
// The three lists as `"unseen":[...],"missing":[...],"ignored":[...]`; without `all` only those
// that are not empty, each with a comma before it.
void tp_serve_batch_write_notes(const serve_batch *batch, bool all, tp_buffer *json);
// Reads the body by one of MLflow's four forms and scores it.
tapeout_status tp_serve_batch_score_form(serve_batch *batch, yyjson_val *root, tapeout_error *err);
// Whether the object is one of those forms rather than a record of the model.
bool tp_serve_is_form(const tp_served *model, yyjson_val *root);
// The class that row `row` was given, or an empty view for a regression.
tp_str tp_serve_batch_label(const serve_batch *batch, uint64_t row);

#endif
