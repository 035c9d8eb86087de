// SPDX-License-Identifier: Apache-2.0
//
// Models that are given up after a time without use. One thread, made when the first such wish
// comes, sleeps until the next one is due; whoever gives a model back wakes it.
#include "serve/engine_priv.h"

#include "base/tp_clock.h"
#include "base/tp_error.h"

#include <time.h>

enum { NS_PER_S = 1000000000 };

void tp_engine_keep_init(tp_engine *engine)
{
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes); // none of these can fail on Linux
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&engine->wake, &attributes);
    (void)pthread_condattr_destroy(&attributes);
}

static int64_t keep_of(const tp_served *model)
{
    return atomic_load_explicit(&model->keep_ns, memory_order_relaxed);
}

// The model that is due, or else NULL and when the next one will be (UINT64_MAX: none).
static tp_served *find_due(const tp_engine *engine, uint64_t now_ns, uint64_t *ret_next_ns)
{
    *ret_next_ns = UINT64_MAX;
    for (size_t i = 0; i < engine->count; i++) {
        tp_served *model = engine->models[i];
        if (model->ref_count > 1 || keep_of(model) < 0) {
            continue; // who gives it back wakes us
        }
        const uint64_t due_ns =
            atomic_load_explicit(&model->used_ns, memory_order_relaxed) + (uint64_t)keep_of(model);
        if (due_ns <= now_ns) {
            return model;
        }
        *ret_next_ns = due_ns < *ret_next_ns ? due_ns : *ret_next_ns;
    }
    return NULL;
}

static void *keeper_main(void *user)
{
    tp_engine *engine = user;
    (void)pthread_mutex_lock(&engine->lock);
    while (!engine->is_ending) {
        uint64_t next_ns = 0;
        const tp_served *due = find_due(engine, tp_clock_monotonic_ns(), &next_ns);
        if (due != NULL) {
            (void)pthread_mutex_unlock(&engine->lock);
            tp_engine_unload_unused(engine, due);
            (void)pthread_mutex_lock(&engine->lock);
        } else if (next_ns == UINT64_MAX) {
            (void)pthread_cond_wait(&engine->wake, &engine->lock);
        } else {
            const struct timespec until = {.tv_sec = (time_t)(next_ns / NS_PER_S),
                                           .tv_nsec = (long)(next_ns % NS_PER_S)};
            (void)pthread_cond_timedwait(&engine->wake, &engine->lock, &until);
        }
    }
    (void)pthread_mutex_unlock(&engine->lock);
    return NULL;
}

void tp_engine_keep_note(tp_engine *engine, const tp_served *model)
{
    if (keep_of(model) >= 0) {
        (void)pthread_cond_signal(&engine->wake);
    }
}

tapeout_status tp_engine_keep(tp_engine *engine, tp_served *model, int64_t keep_ns,
                              tapeout_error *err)
{
    (void)pthread_mutex_lock(&engine->lock);
    if (keep_ns >= 0 && !engine->has_keeper) {
        engine->has_keeper = pthread_create(&engine->keeper, NULL, keeper_main, engine) == 0;
    }
    const bool can_keep = keep_ns < 0 || engine->has_keeper;
    if (can_keep) {
        atomic_store_explicit(&model->keep_ns, keep_ns, memory_order_relaxed);
        (void)pthread_cond_signal(&engine->wake);
    }
    (void)pthread_mutex_unlock(&engine->lock);
    return can_keep ? TAPEOUT_OK
                    : tp_fail(err, TAPEOUT_E_BUSY, "the system gives no thread to unload models");
}

void tp_engine_keep_deinit(tp_engine *engine)
{
    (void)pthread_mutex_lock(&engine->lock);
    engine->is_ending = true;
    (void)pthread_cond_signal(&engine->wake);
    (void)pthread_mutex_unlock(&engine->lock);
    if (engine->has_keeper) {
        (void)pthread_join(engine->keeper, NULL);
    }
    (void)pthread_cond_destroy(&engine->wake);
}
