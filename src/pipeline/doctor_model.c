// SPDX-License-Identifier: Apache-2.0
//
// tapeout_doctor_model: what a language model takes and whether that fits, before it is loaded. The
// longest context and the number of streams are searched for by asking for the size of each.
#include "base/limits.h"
#include "base/tp_context.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "base/tp_machine.h"
#include "llm/model/tp_kv.h"
#include "pipeline/tp_llm_open.h"
#include "pipeline/tp_llm_size.h"
#include "table/tp_json.h"

#include <string.h>
#include <tapeout/doctor.h>
#include <tapeout/registry.h>

typedef struct model_plan {
    tp_llm_size size;
    tp_scheduler_options options;
    tp_scheduler_memory run;
    uint64_t total_bytes; // with the process
    tp_machine_memory machine;
    uint64_t limit_bytes;
} model_plan;

void tapeout_plan_options_init(tapeout_plan_options *options)
{
    memset(options, 0, sizeof(*options));
    options->struct_size = sizeof(*options);
}

// -- what fits -----------------------------------------------------------------------------------
// `streams` whole contexts of `context` tokens.
static tp_scheduler_options options_for(const model_plan *plan, bool is_q8, uint32_t context,
                                        uint32_t streams)
{
    const uint64_t pages =
        ((uint64_t)context + TP_KV_PAGE_POSITIONS - 1) / TP_KV_PAGE_POSITIONS * streams;
    tp_scheduler_options options = plan->options;
    options.kv_is_q8 = is_q8;
    options.context_length = context;
    options.kv_bytes = pages * tp_kv_page_bytes(plan->size.outline, is_q8 ? TP_KV_Q8_0 : TP_KV_F16);
    options.running_max = streams > plan->run.running_max ? streams : plan->run.running_max;
    return options;
}

static bool fits(const model_plan *plan, bool is_q8, uint32_t context, uint32_t streams)
{
    const tp_scheduler_options options = options_for(plan, is_q8, context, streams);
    uint64_t bytes = 0;
    return tp_llm_size_total(&plan->size, &options, NULL, &bytes, NULL) == TAPEOUT_OK &&
           bytes + TP_LLM_PROCESS_BYTES <= plan->limit_bytes;
}

// The longest context of one stream, or the most streams of the plan's context; 0: none. Each takes
// more than the one before, so halving finds it.
static uint32_t search(const model_plan *plan, bool is_q8, bool for_context)
{
    uint32_t low = 0;
    uint32_t high = for_context ? tp_llm_facts_of(plan->size.outline)->context_length
                                : (uint32_t)TP_MAX_LLM_RUNNING;
    while (low < high) {
        const uint32_t middle = low + (high - low + 1) / 2;
        const bool is_good = for_context ? fits(plan, is_q8, middle, 1)
                                         : fits(plan, is_q8, plan->run.context_length, middle);
        if (is_good) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low;
}

static void append_cache(tp_buffer *json, const model_plan *plan, bool is_q8)
{
    if (tp_kv_type_check(plan->size.outline, is_q8 ? TP_KV_Q8_0 : TP_KV_F16, NULL) != TAPEOUT_OK) {
        return;
    }
    tp_buffer_append_text(json, is_q8 ? ",{\"type\":\"q8_0\"" : "{\"type\":\"f16\"");
    tp_json_put_u64(json, "token_bytes",
                    tp_kv_page_bytes(plan->size.outline, is_q8 ? TP_KV_Q8_0 : TP_KV_F16) /
                        TP_KV_PAGE_POSITIONS);
    tp_json_put_u64(json, "context_max", search(plan, is_q8, true));
    tp_json_put_u64(json, "streams", search(plan, is_q8, false));
    tp_buffer_append_char(json, '}');
}

static void append_plan(tp_buffer *json, const model_plan *plan, const tp_env *env)
{
    tp_buffer_append_text(json, ",\"plan\":{");
    tp_json_put_u64(json, "weights_bytes", plan->size.weights_bytes);
    tp_json_append_key(json, "weights_mapped");
    tp_buffer_append_text(json, plan->size.is_mapped ? "true" : "false");
    tp_json_put_u64(json, "tables_bytes", plan->size.tables_bytes);
    tp_json_put_u64(json, "workspace_bytes", plan->run.workspace_bytes);
    tp_json_put_u64(json, "cache_bytes", plan->run.cache_bytes);
    tp_json_put_u64(json, "process_bytes", TP_LLM_PROCESS_BYTES);
    tp_json_put_u64(json, "total_bytes", plan->total_bytes);
    tp_json_put_u64(json, "context", plan->run.context_length);
    tp_json_put_u64(json, "running", plan->run.running_max);
    tp_json_put_u64(json, "threads", tp_pool_worker_count(env->pool));
    tp_json_put_u64(json, "cache_tokens", (uint64_t)plan->run.page_count * TP_KV_PAGE_POSITIONS);
    tp_buffer_append_char(json, '}');
}

static void append_words(tp_buffer *json, const model_plan *plan)
{
    enum { MIB = 20 };
    char words[400];
    const bool is_small = plan->total_bytes <= plan->limit_bytes;
    const uint64_t fixed = plan->total_bytes - plan->size.weights_bytes - plan->run.cache_bytes;
    const int size = snprintf(
        words, sizeof(words),
        is_small ? "fits: %llu MiB of %llu MiB"
                 : "does not fit: %llu MiB are needed and there are %llu MiB (weights %llu, cache "
                   "%llu, workspace and the rest %llu MiB)",
        (unsigned long long)(plan->total_bytes >> MIB),
        (unsigned long long)(plan->limit_bytes >> MIB),
        (unsigned long long)(plan->size.weights_bytes >> MIB),
        (unsigned long long)(plan->run.cache_bytes >> MIB), (unsigned long long)(fixed >> MIB));
    tp_json_append_key(json, "fits");
    tp_buffer_append_text(json, is_small ? "true" : "false");
    tp_json_put_str(json, "words", (tp_str){words, (size_t)size});
}

static void append_all(tp_buffer *json, const model_plan *plan, const char *path, const tp_env *env)
{
    const tp_llm_facts *facts = tp_llm_facts_of(plan->size.outline);
    tp_buffer_append_char(json, '{');
    tp_json_put_str(json, "model", tp_str_from(path));
    tp_json_put_str(json, "architecture", tp_str_from(facts->architecture));
    tp_buffer_append_text(json, ",\"memory\":{");
    tp_json_put_u64(json, "total_bytes", plan->machine.total_bytes);
    tp_json_put_u64(json, "available_bytes", plan->machine.available_bytes);
    tp_json_put_u64(json, "limit_bytes", plan->limit_bytes);
    tp_buffer_append_char(json, '}');
    append_plan(json, plan, env);
    tp_buffer_append_text(json, ",\"caches\":[");
    if (!facts->is_encoder) {
        append_cache(json, plan, false);
        append_cache(json, plan, true);
    }
    tp_buffer_append_char(json, ']');
    append_words(json, plan);
    tp_buffer_append_char(json, '}');
}

// ------------------------------------------------------------------------------------------------

static tapeout_status make(model_plan *plan, const char *path, const tp_env *env,
                           const tapeout_plan_options *options, tapeout_error *err)
{
    plan->options =
        (tp_scheduler_options){.thread_count = (uint32_t)tp_pool_worker_count(env->pool),
                               .kv_bytes = options->kv_bytes,
                               .kv_is_q8 = options->kv_is_q8,
                               .context_length = options->context_length,
                               .running_max = options->running};
    plan->machine = tp_machine_memory_read(); // once: it changes from moment to moment
    plan->limit_bytes =
        options->memory_bytes != 0 ? options->memory_bytes : plan->machine.available_bytes;
    TP_TRY(tp_llm_size_open(env, path, &plan->size, err));
    TP_TRY(tp_llm_size_total(&plan->size, &plan->options, &plan->run, &plan->total_bytes, err));
    plan->total_bytes += TP_LLM_PROCESS_BYTES;
    return TAPEOUT_OK;
}

tapeout_status tapeout_doctor_model(tapeout_context *context, const char *model,
                                    const tapeout_plan_options *options, char **ret_json,
                                    tapeout_error *err)
{
    const tp_env *env = tp_context_env(context);
    model_plan plan = {0};
    tapeout_model_ref ref;
    tp_buffer json;
    TP_TRY(tapeout_registry_resolve(context, model, &ref, err));
    tp_map map;
    TP_TRY(tp_map_open(ref.path, &map, err)); // whether it can be read at all
    tp_map_close(&map);
    if (!tp_llm_path_is_model(ref.path)) {
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                       "%s is no language model; only those are planned", ref.path);
    }
    tapeout_status status = make(&plan, ref.path, env, options, err);
    if (status == TAPEOUT_OK) {
        tp_buffer_init(&json, env->alloc, TP_MAX_BUNDLE_SCHEMA_BYTES);
        append_all(&json, &plan, ref.path, env);
        status = tp_text_from_buffer(&json, "doctor", ret_json, err);
    }
    tp_llm_size_close(&plan.size);
    return status;
}
