// SPDX-License-Identifier: Apache-2.0
//
// The budget of memory: language models take their part, by plan, before they are loaded, and give
// it back when they are freed, so that what was unloaded counts until its last request is answered.
#include "serve/engine_priv.h"

#include "base/limits.h"
#include "base/tp_clock.h"
#include "base/tp_error.h"
#include "pipeline/tp_llm_open.h"
#include "pipeline/tp_llm_size.h"

enum { MIB = 20 };

tapeout_status tp_engine_measure(const tp_engine *engine, const char *path, uint64_t *ret_bytes,
                                 tapeout_error *err)
{
    tp_llm_size size = {0};
    *ret_bytes = 0;
    if (engine->options.memory_bytes == 0 || !tp_llm_path_is_model(path)) {
        return TAPEOUT_OK;
    }
    TP_TRY(tp_llm_size_open(engine->env, path, &size, err));
    const tapeout_status status =
        tp_llm_size_total(&size, &engine->options.llm, NULL, ret_bytes, err);
    tp_llm_size_close(&size);
    return status;
}

// For models: the process has its part too.
static uint64_t budget(const tp_engine *engine)
{
    const uint64_t all = engine->options.memory_bytes;
    return all > TP_LLM_PROCESS_BYTES ? all - TP_LLM_PROCESS_BYTES : 0;
}

bool tp_engine_memory_holds(const tp_engine *engine, uint64_t bytes)
{
    return bytes <= budget(engine);
}

bool tp_engine_memory_take(tp_engine *engine, uint64_t bytes)
{
    (void)pthread_mutex_lock(&engine->lock);
    const uint64_t left =
        engine->memory_used < budget(engine) ? budget(engine) - engine->memory_used : 0;
    const bool fits = bytes == 0 || bytes <= left;
    engine->memory_used += fits ? bytes : 0;
    (void)pthread_mutex_unlock(&engine->lock);
    return fits;
}

void tp_engine_memory_give(tp_engine *engine, uint64_t bytes)
{
    (void)pthread_mutex_lock(&engine->lock);
    engine->memory_used -= bytes;
    (void)pthread_mutex_unlock(&engine->lock);
}

tapeout_status tp_engine_memory_refuse(tp_engine *engine, const char *path, uint64_t bytes,
                                       tapeout_error *err)
{
    uint64_t all = 0;
    const uint64_t used = tp_engine_memory(engine, &all);
    return tp_fail(err, TAPEOUT_E_FULL,
                   "%s takes %llu MiB of memory, and of a budget of %llu MiB %llu are in use; see "
                   "tapeout doctor %s, and lower the context or the cache, or raise the budget",
                   path, (unsigned long long)(bytes >> MIB), (unsigned long long)(all >> MIB),
                   (unsigned long long)(used >> MIB), path);
}

uint64_t tp_engine_memory(tp_engine *engine, uint64_t *ret_max_bytes)
{
    *ret_max_bytes = engine->options.memory_bytes;
    if (engine->options.memory_bytes == 0) {
        return 0;
    }
    (void)pthread_mutex_lock(&engine->lock);
    const uint64_t used = engine->memory_used + TP_LLM_PROCESS_BYTES;
    (void)pthread_mutex_unlock(&engine->lock);
    return used;
}

void tp_served_touch(tp_served *model)
{
    // Relaxed: it only orders models by age.
    atomic_store_explicit(&model->used_ns, tp_clock_monotonic_ns(), memory_order_relaxed);
}

static uint64_t last_used(const tp_served *model)
{
    return atomic_load_explicit(&model->used_ns, memory_order_relaxed);
}

tp_served *tp_engine_oldest_unused(tp_engine *engine)
{
    tp_served *oldest = NULL;
    (void)pthread_mutex_lock(&engine->lock);
    for (size_t i = 0; i < engine->count; i++) {
        tp_served *model = engine->models[i];
        const bool is_unused = model->llm != NULL && model->ref_count == 1;
        if (is_unused && (oldest == NULL || last_used(model) < last_used(oldest))) {
            oldest = model;
        }
    }
    (void)pthread_mutex_unlock(&engine->lock);
    return oldest;
}
