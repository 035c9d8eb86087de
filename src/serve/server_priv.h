// SPDX-License-Identifier: Apache-2.0
//
// The running server: how it is opened and closed (server_open.c), what it loads (server_load.c),
// its life (server.c), what happens to each request and how it is counted and logged
// (server_request.c).
#ifndef SERVER_PRIV_H
#define SERVER_PRIV_H

#include "serve/serve_access.h"
#include "serve/tp_loop.h"
#include "serve/tp_serve_config.h"
#include "serve/upload_line.h"

#include <pthread.h>

// The metrics, in the order of tp_server_families.
typedef enum server_metric {
    METRIC_REQUESTS,
    METRIC_REQUEST_SECONDS,
    METRIC_CONNECTIONS,
    METRIC_CONNECTIONS_TOTAL,
    METRIC_CONNECTIONS_REFUSED,
    METRIC_RECEIVED,
    METRIC_SENT,
    METRIC_MODEL_REQUESTS,
    METRIC_MODEL_ROWS,
    METRIC_MODEL_UNSEEN,
    METRIC_MODEL_SECONDS,
    METRIC_MODEL_INFO,
    METRIC_READY,
    METRIC_READ_ONLY,
    METRIC_AUDIT_ENTRIES,
    METRIC_AUDIT_LOST,
    METRIC_AUDIT_WAITING,
    METRIC_AUDIT_FAILING,
    METRIC_BUILD,
    METRIC_LOG_DROPPED,
    METRIC_TLS_FAILED,
    METRIC_TLS_EXPIRES,
    METRIC_LLM_REQUESTS,
    METRIC_LLM_PROMPT_TOKENS,
    METRIC_LLM_CACHED_TOKENS,
    METRIC_LLM_GENERATED_TOKENS,
    METRIC_LLM_PREEMPTED,
    METRIC_LLM_RUNNING,
    METRIC_LLM_WAITING,
    METRIC_LLM_PAGES,
    METRIC_LLM_PAGES_USED,
    METRIC_LLM_FIRST,
    METRIC_LLM_BETWEEN,
    METRIC_LLM_WHOLE,
    METRIC_VLLM_RUNNING,
    METRIC_VLLM_WAITING,
    METRIC_VLLM_USAGE,
    METRIC_VLLM_PROMPT,
    METRIC_VLLM_GENERATED,
    METRIC_VLLM_SUCCESS,
    METRIC_VLLM_PREEMPTED,
    METRIC_VLLM_QUERIES,
    METRIC_VLLM_HITS,
    METRIC_VLLM_FIRST,
    METRIC_VLLM_BETWEEN,
    METRIC_VLLM_WHOLE,
    METRIC_LLAMACPP_PROMPT,
    METRIC_LLAMACPP_PROMPT_SECONDS,
    METRIC_LLAMACPP_GENERATED,
    METRIC_LLAMACPP_GENERATED_SECONDS,
    METRIC_LLAMACPP_DECODES,
    METRIC_LLAMACPP_PROCESSING,
    METRIC_LLAMACPP_DEFERRED,
    METRIC_COUNT
} server_metric;

enum {
    SERVER_STATUS_SLOTS = 24,
    SERVER_MAX_ROUTES = 256,
    SERVER_UPLOAD_JOBS = 2 // at once, of the four threads that libuv has
};

typedef struct server_shard {
    struct tapeout_server *server;
    uint32_t index;
    tp_loop *loop;
    pthread_t thread;
    bool has_thread;
    serve_exchange exchange; // of requests answered on the loop itself, one after another
    serve_auth *auth;        // NULL: nobody is told apart
    tp_buffer log;           // lines of this turn
    upload_gate uploads;     // whose next step may begin
} server_shard;

struct tapeout_server {
    tapeout_context *context;
    tapeout_serve_options options; // its texts are the caller's, who runs the server
    tp_env env;                    // without a pool: scoring stays on the thread that asks
    tp_serve_config *config;
    tp_arena models_arena; // of the texts in config->models, once they were read again
    serve_state state;
    struct server_audit *audit; // NULL: no log
    server_shard *shards;       // [shard_count]
    uint32_t shard_count;
    tp_http_budget bodies;             // that the loops share
    upload_line uploads;               // the same
    tp_tls *tls;                       // NULL: plain HTTP
    char self_cert[TP_MAX_PATH_BYTES]; // where the certificate of our own making lies
    char self_key[TP_MAX_PATH_BYTES];
    struct server_jwks *jwks;     // NULL: nothing is fetched
    struct server_access *access; // NULL: nobody is told apart
    int listen_fd;
    uint16_t port;
    char url[96];
    pthread_mutex_t log_lock; // one call of the log function at a time; a leaf
    // Numbers of series by route (the last for none), method and status, plus one; 0: not yet
    // asked.
    atomic_uint series[SERVER_MAX_ROUTES + 1][TP_HTTP_METHOD_COUNT][SERVER_STATUS_SLOTS];
    atomic_uint route_series[SERVER_MAX_ROUTES + 1];
    // On loop 0:
    uv_async_t wake;
    uv_signal_t signals[3];
    uv_timer_t timer;
    uv_timer_t tls_timer;
    uv_timer_t watch_timer; // server_watch.c
    uv_work_t watch;
    bool is_watching;
    uint64_t watch_leads; // where the aliases led that are served: a number for all of them
    uint64_t watch_found; // and where they lead now
    uint64_t load_leads;  // and where they led when they were loaded
    uv_work_t load;
    bool is_loading;
    bool is_announced;
    bool is_draining;
    bool load_again;
    bool has_loaded; // once
    tapeout_status run_status;
    uint32_t loaded_count;
    tapeout_status load_status;
    tapeout_error load_error;
    atomic_uint stop_count;
    atomic_bool reload_wanted;
    atomic_uint ended_count; // of the loops with threads of their own
};

extern const tp_metric_family tp_server_families[METRIC_COUNT];

// -- server.c, on loop 0 unless said otherwise ----------------------------------------------------
void tp_server_on_wake(uv_async_t *async);
void tp_server_on_signal(uv_signal_t *handle, int number);
void tp_server_announce(struct tapeout_server *server); // "listening", once
void tp_server_drain(struct tapeout_server *server, bool is_urgent);
void tp_server_log_event(struct tapeout_server *server, const char *event,
                         const char *message /* or NULL */);
void tp_server_log_models(struct tapeout_server *server, tp_buffer *log); // a line each

// -- server_load.c -------------------------------------------------------------------------------
// Finds what is to be served and, with `install`, loads it. On any thread, one at a time.
tapeout_status tp_server_load_models(struct tapeout_server *server, bool install,
                                     tapeout_error *err);
void tp_server_load_start(struct tapeout_server *server); // on loop 0: load, or load again

// -- server_tls.c --------------------------------------------------------------------------------
// Opens what the configuration says of TLS, before anything is bound.
tapeout_status tp_server_tls_open(struct tapeout_server *server,
                                  const struct sockaddr_storage *address, tapeout_error *err);
// Says what is in use, and from now on watches the files; on loop 0.
void tp_server_tls_start(struct tapeout_server *server);
void tp_server_tls_failed(void *user, tp_client *client, const char *why);

// -- server_access.c, by who opens and runs the server --------------------------------------------
// Who may come in: everybody with no_auth; else the registry is read, and on the first start of a
// home an admin's key is made and told.
tapeout_status tp_server_access_open(struct tapeout_server *server, tapeout_error *err);
// Follows changes between these two.
tapeout_status tp_server_access_start(struct tapeout_server *server, tapeout_error *err);
void tp_server_access_stop(struct tapeout_server *server);
void tp_server_access_close(struct tapeout_server *server); // of one opened half way too

// -- server_jwks.c, as server_access.c ------------------------------------------------------------
// E_INVALID where key sets are to be fetched by a server that calls nobody.
tapeout_status tp_server_jwks_check(const struct tapeout_server *server, tapeout_error *err);
// Fetches key sets between these two; nothing where none is to be fetched.
tapeout_status tp_server_jwks_start(struct tapeout_server *server, tapeout_error *err);
void tp_server_jwks_stop(struct tapeout_server *server);

// -- server_watch.c ------------------------------------------------------------------------------
// Whether the model is written as "name@alias".
bool tp_server_is_alias(const tp_model_spec *spec);
// The number for where aliases lead, with one more.
uint64_t tp_server_lead_on(uint64_t leads, uint64_t version);
void tp_server_watch_start(struct tapeout_server *server); // on loop 0, after the first load began

// -- server_request.c ----------------------------------------------------------------------------
void tp_server_handle(void *user, tp_client *client);
// Ends a line of the shard's log; `size_before` is where it began.
void tp_server_log_settle(server_shard *shard, size_t size_before);
// Counts and logs a request that has been answered; on the loop's thread.
void tp_server_account(server_shard *shard, const serve_exchange *exchange);
void tp_server_refused(void *user, tp_client *client, int status, const char *why);
void tp_server_turned(void *user); // hands the lines of this turn on
// Hands lines to the log function; a NULL function drops them.
void tp_server_log(struct tapeout_server *server, const tp_buffer *lines);

// -- server_metrics.c ----------------------------------------------------------------------------
void tp_server_refresh_metrics(void *user);
// The times of an answer that has ended; on the loop's thread.
void tp_server_account_tokens(server_shard *shard, const serve_exchange *exchange);

// -- server_job.c --------------------------------------------------------------------------------
// Takes over the request of `client`: it is large, or its reply comes later. False without memory
// or threads; then nothing has happened.
bool tp_server_job_start(server_shard *shard, tp_client *client, bool is_later);

// -- server_upload.c -----------------------------------------------------------------------------
bool tp_server_is_upload(void *user, const tp_http_request *request);
// Does what the connection's upload_step says, on another thread.
void tp_server_upload_step(server_shard *shard, tp_client *client);
void tp_server_uploads_start(server_shard *shard); // those that waited for it; once a turn
void tp_server_upload_gone(void *user, tp_client *client, bool is_refused);

#endif
