// SPDX-License-Identifier: Apache-2.0
//
// A tiny language model with a chat template, served without a server, for tests and fuzz targets
// of the readers of requests. There is no stream to be had, so whatever a reader accepts ends in a
// refusal that says so, and nothing is generated.
#ifndef LLM_ASK_H
#define LLM_ASK_H

#include "serve/serve_priv.h"

typedef struct llm_ask_server {
    tp_env env;
    serve_state state;
    char folder[32]; // where the model lies, so that it can be unloaded and loaded again
    char path[64];
} llm_ask_server;

// Writes the model below a folder of its own, which closing removes. Aborts where something fails:
// there is nothing to test then.
void llm_ask_open(llm_ask_server *server, const tapeout_allocator *alloc, const char *source_dir);
void llm_ask_close(llm_ask_server *server);

// Sends a body to a path and returns the status; the reply stands in `exchange`, which is the
// caller's to init and to clear.
int llm_ask_post(serve_exchange *exchange, const char *path, tp_str body);

#endif
