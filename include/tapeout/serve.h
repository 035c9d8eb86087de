// SPDX-License-Identifier: Apache-2.0
//
// The server: models behind HTTP, by the protocols that clients already speak (docs/serve.md).
//
// A call of tapeout_serve_run is the life of a server: it binds, loads, answers, and returns when a
// signal or tapeout_serve_stop has drained it. Who wants to hold the server in hand opens it and
// runs it in two calls.
//
// @thread A server is run by one thread, which makes its own; stop, reload and port are
// `synchronized`.
#ifndef TAPEOUT_SERVE_H
#define TAPEOUT_SERVE_H

#include <tapeout/context.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tapeout_server tapeout_server;

// One model to serve: a path, or a name in the registry. `name` NULL: the bundle's own; `version`
// NULL: the registry's, or for a path counted from "1", one more each time the file has changed.
typedef struct tapeout_serve_model {
    const char *model;
    const char *name;
    const char *version;
} tapeout_serve_model;

// Whole lines of JSON, one event each. Called from several threads, one call at a time.
typedef void (*tapeout_serve_log_fn)(void *user, const char *lines, size_t size_bytes);

typedef struct tapeout_serve_options {
    uint32_t struct_size;
    uint32_t thread_count; // event loops; 0: as many as the machine has processors, at most 8
    const char *listen;    // "HOST:PORT"; NULL: 127.0.0.1:8080. Port 0: any that is free
    const char *config;    // YAML file, or NULL; what is set here wins over it
    const tapeout_serve_model *models;
    size_t model_count;  // 0 and none in the file: searched where cloud platforms mount models
    bool registry;       // or, without any, the registry and MLflow's tracking alone are served
    bool no_auth;        // anybody may do everything, on loopback alone
    bool handle_signals; // TERM and INT drain, HUP reloads
    bool quiet_requests; // no line for each request
    bool no_audit;       // keep no audit log in the home
    bool receipts;       // put each prediction of a table's model into it
    // TLS; without either of them HTTP is plain. Files are PEM and read again when they change.
    const char *tls_cert;      // the certificate and those between it and the root
    const char *tls_key;       // its key, without a passphrase
    const char *tls_client_ca; // who may vouch for clients, which then need a certificate; or NULL
    bool tls_self;             // a certificate of the server's own making instead, for trying
    // What the process gives up once it has bound and read its key, for good and for all of it.
    const char *user; // whom it becomes, if it is root's; NULL: it stays who it is
    bool airgap;      // the kernel lets it call nobody: it answers, and that is all
    // Of language models; 0: what the file says, or a default (docs/serve.md).
    uint64_t llm_kv_bytes;     // of each one's key/value cache
    uint32_t llm_context;      // tokens, prompt and answer
    uint64_t llm_memory_bytes; // that all of them may take, by plan (tapeout_doctor_model)
    bool llm_kv_is_q8;         // eight bits a value in the cache instead of sixteen
    tapeout_serve_log_fn log;  // may be NULL
    void *log_user;
    // Called when the home has no identities yet and an administrator's key was made: the only time
    // that it is told. NULL: none is made, and nobody comes in until there are some.
    void (*first_key)(void *user, const char *key, const char *url);
    void *first_key_user;
} tapeout_serve_options;

TAPEOUT_API void tapeout_serve_options_init(tapeout_serve_options *options);

// Serves until drained. Errors: E_INVALID (options, configuration), E_DENIED (an address beyond
// loopback without TLS and authentication, or no_auth not set), E_NOT_FOUND and whatever opening a
// bundle fails with, E_EXISTS or E_IO when the address can't be bound.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_serve_run(tapeout_context *context,
                                                               const tapeout_serve_options *options,
                                                               tapeout_error *err);

// The same in steps: opened, a server is bound; running, it loads and answers.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status
tapeout_server_open(tapeout_context *context, const tapeout_serve_options *options,
                    tapeout_server **ret_server, tapeout_error *err);
TAPEOUT_API uint16_t tapeout_server_port(const tapeout_server *server);
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_server_run(tapeout_server *server,
                                                                tapeout_error *err);
// Begins to drain: not ready at once, then no new connections, an end after the last reply. Safe in
// a signal handler.
TAPEOUT_API void tapeout_server_stop(tapeout_server *server);
// Reads the configuration again and swaps what has changed. Safe in a signal handler.
TAPEOUT_API void tapeout_server_reload(tapeout_server *server);
TAPEOUT_API void tapeout_server_close(tapeout_server **server); // accepts NULL inside; nulls it

#ifdef __cplusplus
}
#endif

#endif
