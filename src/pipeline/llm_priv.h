// SPDX-License-Identifier: Apache-2.0
//
// tapeout_llm inside, shared by the files that generate and that score.
#ifndef LLM_PRIV_H
#define LLM_PRIV_H

#include "llm/host/tp_llm_host.h"

#include <tapeout/llm.h>

struct tapeout_llm {
    const tp_env *env;
    tp_llm_host *host;
};

// Waits for one request of a scheduler: what it is told is gathered on the scheduler's thread and
// handed on by the caller's.
typedef struct llm_waiter llm_waiter;

typedef struct llm_waiter_options {
    tapeout_text_fn on_text; // may be NULL
    void *user;
    // Told of every event, on the scheduler's thread; may be NULL.
    void (*on_event)(void *user, const tp_generation_event *event);
    void *event_user;
} llm_waiter_options;

typedef struct llm_outcome {
    tp_buffer text;
    tp_ids ids; // generated
    tp_generation_event end;
} llm_outcome;

// Submits, waits for the end and fills `outcome`, whose buffers the caller has initialised. Ends
// early, as TP_FINISH_CANCELLED, when on_text says so or the env is cancelled.
tapeout_status tp_llm_wait(const tp_env *env, tp_scheduler *scheduler,
                           tp_generation_request *request, const llm_waiter_options *options,
                           llm_outcome *outcome, tapeout_error *err);

#endif
