// SPDX-License-Identifier: Apache-2.0
//
// What almost every internal call needs, in one small struct passed first: memory, threads,
// cancellation and progress. It is borrowed by whatever is made with it and outlives it.
#ifndef TP_ENV_H
#define TP_ENV_H

#include "base/tp_pool.h"

#include <stdatomic.h>
#include <tapeout/context.h>

typedef struct tp_env {
    const tapeout_allocator *alloc;
    tp_pool *pool;                // NULL: everything inline
    atomic_bool *cancelled;       // NULL: cannot be cancelled
    tapeout_progress_fn progress; // may be NULL
    void *progress_user;
} tp_env;

// An env of the default allocator without threads, for tests and small tools.
tp_env tp_env_plain(void);

// E_CANCELLED once tapeout_context_cancel has been called.
tapeout_status tp_env_check(const tp_env *env, tapeout_error *err);

void tp_env_progress(const tp_env *env, const char *phase, double fraction);

#endif
