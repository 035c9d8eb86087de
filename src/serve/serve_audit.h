// SPDX-License-Identifier: Apache-2.0
//
// What the server writes to the audit log of its home: its start and end, which models it began and
// ceased to serve, logins that were refused, and, where it is asked to, each prediction.
#ifndef SERVE_AUDIT_H
#define SERVE_AUDIT_H

#include "serve/server_priv.h"
#include "trust/tp_audit.h"

// Opens the log and writes the entry of the start: a server that can't does not start. Nothing
// where the configuration wants no log.
tapeout_status tp_server_audit_open(struct tapeout_server *server, tapeout_error *err);
// Writes what has changed of the models since the last call; `who` empty: the server itself. What
// can't be written now waits in the lane, and the log of lines says so.
void tp_server_audit_models(struct tapeout_server *server, tp_str who);
void tp_server_models_changed(void *user, tp_str who); // the same, for serve_state
// The key set of an issuer is now that text.
void tp_server_audit_keys(struct tapeout_server *server, const tp_issuer *issuer, tp_str text);
void tp_server_audit_close(struct tapeout_server *server); // the entry of the end; also half open

// Tells the server that the exchange's request has loaded or unloaded models.
void tp_serve_models_changed(const serve_exchange *exchange);

// Counts a login that was refused.
void tp_serve_audit_refused(const serve_exchange *exchange);

// Puts the prediction that the batch has just made on the record, where that is wanted. It fails
// nothing: what finds no place is counted (tp_audit.h).
void tp_serve_receipt(const serve_batch *batch, const tapeout_table *table);

// The same for what a language model has generated: the written forms of tp_receipt_llm.h.
typedef struct serve_generated {
    uint64_t choice_count;
    tp_str generation;
    tp_str answer;
} serve_generated;
void tp_serve_receipt_generation(const serve_exchange *exchange, const tp_served *model,
                                 const serve_generated *generated);

#endif
