// SPDX-License-Identifier: Apache-2.0
//
// The small struct that internal calls get: checks for cancellation, passes progress on.
#include "base/tp_env.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"

tp_env tp_env_plain(void)
{
    return (tp_env){.alloc = tp_allocator_default()};
}

tapeout_status tp_env_check(const tp_env *env, tapeout_error *err)
{
    // Relaxed: a flag that carries no data with it, and a check late by one is a check in time.
    if (env->cancelled != NULL && atomic_load_explicit(env->cancelled, memory_order_relaxed)) {
        return tp_fail(err, TAPEOUT_E_CANCELLED, "cancelled");
    }
    return TAPEOUT_OK;
}

void tp_env_progress(const tp_env *env, const char *phase, double fraction)
{
    if (env->progress != NULL) {
        env->progress(env->progress_user, phase, fraction);
    }
}
