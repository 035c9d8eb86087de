// SPDX-License-Identifier: Apache-2.0
//
// The server's settings: from a YAML file, then from the options of the call, which win. Unknown
// keys are errors that name the nearest known one.
#ifndef TP_SERVE_CONFIG_H
#define TP_SERVE_CONFIG_H

#include "base/tp_arena.h"
#include "serve/serve_access_config.h"
#include "serve/tp_engine.h"
#include "serve/tp_loop.h"

#include <tapeout/serve.h>

typedef struct tp_serve_config {
    tp_arena arena; // of all text below
    const char *listen;
    uint32_t thread_count;
    bool logs_requests;
    bool audit_log;      // keep one
    bool audit_receipts; // with every prediction
    bool audit_rows;     // and its rows
    const char *store;   // the database of the registry; NULL: as the context has it
    bool allow_unsigned; // registered bundles without a trusted signature may be served
    uint64_t max_body_bytes;
    uint64_t max_artifact_bytes; // of a file that is uploaded, and never held in memory
    uint64_t max_bodies_bytes;   // of all connections together
    uint64_t max_rows;
    uint32_t max_connections;
    tp_loop_timeouts timeouts;
    bool has_tls;
    bool tls_self;      // with a certificate that the server makes for itself
    tp_tls_options tls; // cert and key are NULL with tls_self
    uint32_t hsts_s;
    const char *user;  // whom the process becomes; NULL: nobody else
    bool is_airgapped; // it calls nobody
    const char *blobs; // where the registry's bytes are; NULL: as the context says
    bool metrics_vllm; // further names in /metrics
    bool metrics_llamacpp;
    serve_access_config access;
    uint32_t llm_deadline_ms;                   // of an answer; 0: none
    tp_engine_options engine;                   // how language models are run
    uint32_t drain_ms;                          // at most this long until the last request is done
    tp_model_spec models[TP_MAX_SERVED_MODELS]; // `path` is what was written: a path or a name
    size_t model_count;
} tp_serve_config;

// Defaults only.
void tp_serve_config_init(tp_serve_config *config, const tapeout_allocator *alloc);
void tp_serve_config_deinit(tp_serve_config *config);
// Adds what a file of that text says. `name` stands in messages; paths of models are relative to
// its directory.
tapeout_status tp_serve_config_parse(tp_serve_config *config, tp_str text, const char *name,
                                     tapeout_error *err);
// The whole: the file that the options name, the options themselves, and where neither names a
// model the one that a cloud platform has mounted.
tapeout_status tp_serve_config_load(tp_serve_config *config, const tapeout_serve_options *options,
                                    tapeout_error *err);

// "127.0.0.1:8080", "[::1]:0" or "localhost:80"; E_INVALID for what is no address.
tapeout_status tp_serve_address_parse(const char *listen, struct sockaddr_storage *ret_address,
                                      tapeout_error *err);
bool tp_serve_address_is_loopback(const struct sockaddr_storage *address);

// Searches `directories` [count], each with what is below it, for the one bundle in the first that
// has any; appends its path to `ret_path`. E_NOT_FOUND where there is none, E_INVALID where there
// are two.
tapeout_status tp_serve_model_search(const char *const *directories, size_t count,
                                     tp_buffer *ret_path, tapeout_error *err);

#endif
