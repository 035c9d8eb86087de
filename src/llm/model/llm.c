// SPDX-License-Identifier: Apache-2.0
//
// A model's life: from a GGUF file, whose weights are packed here, or from the parts of a bundle,
// whose weights are packed already and stay where they are mapped. Either way the same reader looks
// at metadata and tensors.
#include "llm/model/tp_llm.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "llm/model/model_priv.h"
#include "llm/tokenizer/tp_tokenizer.h"

#include <string.h>

uint64_t tp_llm_weight_end(uint64_t offset, uint64_t size)
{
    return (offset + size + TP_LLM_WEIGHT_ALIGN - 1) / TP_LLM_WEIGHT_ALIGN * TP_LLM_WEIGHT_ALIGN;
}

static tapeout_status total_bytes(const tp_gguf *gguf, uint64_t *ret_bytes, tapeout_error *err)
{
    uint64_t end = 0;
    for (size_t i = 0; i < tp_gguf_tensor_count(gguf); i++) {
        uint64_t size = 0;
        TP_TRY(tp_llm_packed_bytes(tp_gguf_tensor_at(gguf, i), &size, err));
        end = tp_llm_weight_end(end, size);
    }
    *ret_bytes = end;
    return TAPEOUT_OK;
}

static tapeout_status pack_all(const tp_env *env, tp_llm *llm, tapeout_error *err)
{
    uint64_t total = 0;
    TP_TRY(total_bytes(llm->metadata, &total, err));
    llm->owned_weights = tp_alloc_aligned(llm->alloc, (size_t)total);
    if (llm->owned_weights == NULL) {
        return tp_fail_nomem(err);
    }
    // A step reads every weight: with large pages the addresses cost no more walks than reading.
    tp_advise_large_pages(llm->owned_weights, (size_t)total);
    llm->owned_size = (size_t)total;
    llm->weights = (tp_str){(const char *)llm->owned_weights, (size_t)total};
    uint64_t offset = 0;
    for (size_t i = 0; i < tp_gguf_tensor_count(llm->metadata); i++) {
        const tp_gguf_tensor *tensor = tp_gguf_tensor_at(llm->metadata, i);
        uint64_t size = 0;
        TP_TRY(tp_env_check(env, err));
        TP_TRY(tp_llm_packed_bytes(tensor, &size, err));
        TP_TRY(tp_llm_pack(env, tensor, llm->owned_weights + offset, err));
        tp_gguf_tensor_release(llm->metadata, tensor); // packed: the file need not stay in memory
        const uint64_t end = tp_llm_weight_end(offset, size);
        memset(llm->owned_weights + offset + size, 0, (size_t)(end - offset - size));
        offset = end;
        tp_env_progress(env, "packing weights", (double)offset / (double)total);
    }
    return TAPEOUT_OK;
}

// What does not need the weights, so that a file that is refused is refused at once.
static tapeout_status read_facts(const tp_env *env, tp_llm *llm, tapeout_error *err)
{
    TP_TRY(tp_llm_config_read(llm, err));
    return tp_tokenizer_new(env, llm->metadata, &llm->tokenizer, err);
}

static tp_llm *make(const tp_env *env, tp_gguf *metadata)
{
    tp_llm *llm = tp_alloc_zero(env->alloc, sizeof(*llm));
    if (llm == NULL) {
        tp_gguf_close(&metadata);
        return NULL;
    }
    llm->alloc = env->alloc;
    llm->metadata = metadata;
    tp_arena_init(&llm->arena, env->alloc, TP_MAX_LLM_ARENA_BYTES);
    return llm;
}

static tapeout_status finish(tp_llm *llm, tapeout_status status, tp_llm **ret_llm)
{
    if (status != TAPEOUT_OK) {
        tp_llm_free(llm);
        return status;
    }
    *ret_llm = llm;
    return TAPEOUT_OK;
}

tapeout_status tp_llm_from_gguf(const tp_env *env, tp_gguf *gguf, tp_llm **ret_llm,
                                tapeout_error *err)
{
    tp_llm *llm = make(env, gguf);
    if (llm == NULL) {
        return tp_fail_nomem(err);
    }
    tapeout_status status = read_facts(env, llm, err);
    if (status == TAPEOUT_OK) {
        status = pack_all(env, llm, err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_llm_weights_read(llm, err);
    }
    return finish(llm, status, ret_llm);
}

tapeout_status tp_llm_from_parts(const tp_env *env, tp_gguf *metadata, tp_str weights,
                                 tp_llm **ret_llm, tapeout_error *err)
{
    tp_llm *llm = make(env, metadata);
    if (llm == NULL) {
        return tp_fail_nomem(err);
    }
    llm->weights = weights;
    tapeout_status status = read_facts(env, llm, err);
    if (status == TAPEOUT_OK) {
        status = tp_llm_weights_read(llm, err);
    }
    return finish(llm, status, ret_llm);
}

tapeout_status tp_llm_outline(const tp_env *env, tp_gguf *gguf, tp_llm **ret_llm,
                              tapeout_error *err)
{
    tp_llm *llm = make(env, gguf);
    uint64_t total = 0;
    if (llm == NULL) {
        return tp_fail_nomem(err);
    }
    tapeout_status status = read_facts(env, llm, err);
    if (status == TAPEOUT_OK) {
        status = total_bytes(llm->metadata, &total, err);
    }
    if (status == TAPEOUT_OK) {
        llm->weights = (tp_str){NULL, (size_t)total};
        status = tp_llm_weights_read(llm, err);
    }
    return finish(llm, status, ret_llm);
}

void tp_llm_free(tp_llm *llm)
{
    if (llm == NULL) {
        return;
    }
    tp_tokenizer_free(llm->tokenizer);
    tp_gguf_close(&llm->metadata);
    tp_arena_deinit(&llm->arena);
    if (llm->owned_weights != NULL) {
        tp_free_aligned(llm->alloc, llm->owned_weights, llm->owned_size);
    }
    if (llm->release != NULL) {
        llm->release(llm->release_user);
    }
    tp_free(llm->alloc, llm, sizeof(*llm));
}

void tp_llm_on_free(tp_llm *llm, void (*release)(void *user), void *user)
{
    llm->release = release;
    llm->release_user = user;
}

const tp_llm_facts *tp_llm_facts_of(const tp_llm *llm)
{
    return &llm->facts;
}

const tp_tokenizer *tp_llm_tokenizer(const tp_llm *llm)
{
    return llm->tokenizer;
}

const tp_gguf *tp_llm_metadata(const tp_llm *llm)
{
    return llm->metadata;
}
