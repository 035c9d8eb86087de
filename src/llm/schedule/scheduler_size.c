// SPDX-License-Identifier: Apache-2.0
//
// How large a scheduler is: its options with the defaults in place, and the memory that follows
// from them. The scheduler is made by this, so what is told before is what is asked for.
#include "llm/schedule/scheduler_priv.h"

#include "base/limits.h"
#include "base/tp_error.h"
#include "llm/model/tp_forward.h"

enum { DEFAULT_RUNNING = 16, DEFAULT_QUEUE = 256, DEFAULT_STEP_TOKENS = 512 };

static uint32_t or_default(uint32_t value, uint32_t fallback)
{
    return value == 0 ? fallback : value;
}

static tapeout_status settle_counts(const tp_llm *llm, const tp_scheduler_options *options,
                                    tp_scheduler_memory *memory, tapeout_error *err)
{
    const uint32_t most = tp_llm_facts_of(llm)->context_length;
    memory->context_length = or_default(
        options->context_length, most < TP_DEFAULT_LLM_CONTEXT ? most : TP_DEFAULT_LLM_CONTEXT);
    if (memory->context_length > most) {
        return tp_fail(err, TAPEOUT_E_INVALID, "a context of %u tokens; the model has %u",
                       memory->context_length, most);
    }
    memory->running_max = or_default(options->running_max, DEFAULT_RUNNING);
    memory->queue_max = or_default(options->queue_max, DEFAULT_QUEUE);
    memory->step_tokens = or_default(options->step_tokens, DEFAULT_STEP_TOKENS);
    if (memory->running_max > TP_MAX_LLM_RUNNING || memory->step_tokens > TP_MAX_LLM_STEP_TOKENS ||
        memory->step_tokens < memory->running_max) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "%u sequences at once, %u tokens a step; at most %u, and from as many as "
                       "there are sequences to %u",
                       memory->running_max, memory->step_tokens, TP_MAX_LLM_RUNNING,
                       TP_MAX_LLM_STEP_TOKENS);
    }
    return TAPEOUT_OK;
}

static tapeout_status settle_pages(const tp_llm *llm, const tp_scheduler_options *options,
                                   tp_scheduler_memory *memory, tapeout_error *err)
{
    const tp_kv_type type = options->kv_is_q8 ? TP_KV_Q8_0 : TP_KV_F16;
    if (!tp_llm_facts_of(llm)->is_encoder) { // whose cache is its run's own
        TP_TRY(tp_kv_type_check(llm, type, err));
    }
    memory->page_bytes = tp_kv_page_bytes(llm, type);
    const uint64_t pages =
        options->kv_bytes == 0
            ? (uint64_t)tp_step_pages_for(memory->context_length) * 2
            : options->kv_bytes / (memory->page_bytes == 0 ? 1 : memory->page_bytes);
    if (pages == 0 || pages >= KV_NO_PAGE) {
        return tp_fail(
            err, TAPEOUT_E_LIMIT, "a key/value cache of %llu bytes; a page of it takes %llu",
            (unsigned long long)options->kv_bytes, (unsigned long long)memory->page_bytes);
    }
    memory->page_count = (uint32_t)pages;
    memory->cache_bytes = pages * memory->page_bytes;
    return TAPEOUT_OK;
}

tapeout_status tp_scheduler_measure(const tp_llm *llm, const tp_scheduler_options *options,
                                    tp_scheduler_memory *ret_memory, tapeout_error *err)
{
    const tp_llm_facts *facts = tp_llm_facts_of(llm);
    tp_scheduler_memory memory = {0};
    TP_TRY(settle_counts(llm, options, &memory, err));
    TP_TRY(settle_pages(llm, options, &memory, err));
    if (facts->is_encoder) {
        memory.cache_bytes = 0;
        memory.page_count = 0;
        memory.workspace_bytes =
            tp_llm_run_bytes(llm, 0, options->thread_count, memory.step_tokens);
    } else {
        const uint64_t rows = (uint64_t)memory.running_max + SCHEDULER_ALL_ROWS;
        memory.workspace_bytes =
            tp_llm_run_bytes(llm, memory.page_count, options->thread_count, memory.step_tokens) +
            rows * facts->vocab_count * sizeof(float) + tp_sampler_bytes(facts->vocab_count) +
            tp_kv_pages_bytes(memory.page_count);
    }
    *ret_memory = memory;
    return TAPEOUT_OK;
}
