// SPDX-License-Identifier: Apache-2.0
//
// What other modules may see of a context: the env that their calls take, and where things lie.
// Everything is borrowed and lives as long as the context.
#ifndef TP_CONTEXT_H
#define TP_CONTEXT_H

#include "base/tp_buffer.h"
#include "base/tp_env.h"

const tp_env *tp_context_env(const tapeout_context *context);

// The home directory, which need not exist yet; never NULL. By the options, else TAPEOUT_HOME, else
// tapeout in XDG_DATA_HOME, else .local/share/tapeout in HOME, else .tapeout where the process
// runs.
const char *tp_context_home(const tapeout_context *context);

// The database of the registry where the options or TAPEOUT_STORE name one; NULL: in the home.
const char *tp_context_store(const tapeout_context *context);
// The one that a configuration names; NULL, and where there is one already, changes nothing. Before
// others use the context.
tapeout_status tp_context_store_set(tapeout_context *context, const char *store,
                                    tapeout_error *err);

// Where the registry's bytes are, by the options or TAPEOUT_BLOBS; NULL: in the home.
const char *tp_context_blobs(const tapeout_context *context);
// Says so where neither did; NULL says nothing. Before anything is done with the registry.
tapeout_status tp_context_blobs_set(tapeout_context *context, const char *blobs,
                                    tapeout_error *err);

// Set once a sync has failed: nothing in this process writes to the home any more.
atomic_bool *tp_context_stop(const tapeout_context *context);

// The path of DuckDB's library where the options or TAPEOUT_DUCKDB name one; NULL: the usual
// places.
const char *tp_context_duckdb(const tapeout_context *context);

// Whether the operator lets registered models be used without a trusted signature.
bool tp_context_allows_unsigned(const tapeout_context *context);

// Moves a buffer's bytes out as a text for tapeout_text_free, or reports the buffer's first failure
// with `what` in the message. The buffer is empty afterwards either way.
tapeout_status tp_text_from_buffer(tp_buffer *buffer, const char *what, char **ret_text,
                                   tapeout_error *err);

#endif
