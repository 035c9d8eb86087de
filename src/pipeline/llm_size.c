// SPDX-License-Identifier: Apache-2.0
//
// Outlines and what they take. Tables are counted rather than computed: the outline lives on an
// allocator that counts.
#include "pipeline/tp_llm_size.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "bundle/tp_llm_bundle.h"
#include "llm/host/tp_gguf_check.h"

#include <stdatomic.h>

typedef struct tp_llm_count {
    const tapeout_allocator *under;
    tapeout_allocator alloc;
    tp_env env; // of that allocator
    atomic_uint_fast64_t live_bytes;
} counter;

static void *counted_alloc(void *user, size_t size_bytes)
{
    counter *self = user;
    void *block = self->under->alloc(self->under->user, size_bytes);
    if (block != NULL) {
        atomic_fetch_add_explicit(&self->live_bytes, size_bytes, memory_order_relaxed);
    }
    return block;
}

static void *counted_resize(void *user, void *block, size_t old_size_bytes, size_t new_size_bytes)
{
    counter *self = user;
    void *moved = self->under->resize(self->under->user, block, old_size_bytes, new_size_bytes);
    if (moved != NULL) {
        atomic_fetch_add_explicit(&self->live_bytes, new_size_bytes - old_size_bytes,
                                  memory_order_relaxed); // wraps where it shrinks
    }
    return moved;
}

static void counted_free(void *user, void *block, size_t size_bytes)
{
    counter *self = user;
    if (block != NULL) {
        atomic_fetch_sub_explicit(&self->live_bytes, size_bytes, memory_order_relaxed);
    }
    self->under->free(self->under->user, block, size_bytes);
}

static tapeout_status outline(const tp_env *env, const char *path, tp_llm **ret_llm,
                              tapeout_error *err)
{
    tp_gguf *gguf = NULL;
    if (tp_bundle_probe(path)) {
        return tp_llm_bundle_outline(env, path, ret_llm, err);
    }
    TP_TRY(tp_gguf_open_checked(env, path, TP_GGUF_FOR_SHAPES, &gguf, err));
    return tp_llm_outline(env, gguf, ret_llm, err);
}

// Key-values are read where they are mapped.
static uint64_t metadata_bytes(const tp_gguf *metadata)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < tp_gguf_kv_count(metadata); i++) {
        const tp_gguf_kv *kv = tp_gguf_kv_at(metadata, i);
        bytes += kv->key.size + kv->value.bytes.size;
    }
    return bytes;
}

tapeout_status tp_llm_size_open(const tp_env *env, const char *path, tp_llm_size *ret_size,
                                tapeout_error *err)
{
    tp_llm_size size = {.is_mapped = tp_bundle_probe(path)};
    counter *count = tp_alloc_zero(env->alloc, sizeof(*count));
    if (count == NULL) {
        return tp_fail_nomem(err);
    }
    size.count = count;
    count->under = env->alloc;
    count->alloc = (tapeout_allocator){counted_alloc, counted_resize, counted_free, count};
    count->env = *env;
    count->env.alloc = &count->alloc;
    const tapeout_status status = outline(&count->env, path, &size.outline, err);
    if (status != TAPEOUT_OK) {
        tp_llm_size_close(&size);
        return status;
    }
    size.tables_bytes = atomic_load_explicit(&count->live_bytes, memory_order_relaxed) +
                        metadata_bytes(tp_llm_metadata(size.outline));
    size.weights_bytes = tp_llm_facts_of(size.outline)->weight_bytes;
    *ret_size = size;
    return TAPEOUT_OK;
}

void tp_llm_size_close(tp_llm_size *size)
{
    tp_llm_free(size->outline);
    if (size->count != NULL) {
        tp_free(size->count->under, size->count, sizeof(*size->count));
    }
    size->outline = NULL;
    size->count = NULL;
}

tapeout_status tp_llm_size_total(const tp_llm_size *size, const tp_scheduler_options *options,
                                 tp_scheduler_memory *ret_run, uint64_t *ret_bytes,
                                 tapeout_error *err)
{
    tp_scheduler_memory run;
    TP_TRY(tp_scheduler_measure(size->outline, options, &run, err));
    *ret_bytes = size->weights_bytes + size->tables_bytes + run.cache_bytes + run.workspace_bytes;
    if (ret_run != NULL) {
        *ret_run = run;
    }
    return TAPEOUT_OK;
}
