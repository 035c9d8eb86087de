// SPDX-License-Identifier: Apache-2.0
//
// tapeout_llm_*: opening a language model and asking it for an answer.
#include "pipeline/llm_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_context.h"
#include "base/tp_error.h"
#include "pipeline/tp_llm_open.h"
#include "table/tp_json.h"

#include <string.h>
#include <tapeout/registry.h>

void tapeout_llm_options_init(tapeout_llm_options *options)
{
    memset(options, 0, sizeof(*options));
    options->struct_size = sizeof(*options);
}

tapeout_status tapeout_llm_open(tapeout_context *context, const char *model,
                                const tapeout_llm_options *options, tapeout_llm **ret_llm,
                                tapeout_error *err)
{
    const tp_env *env = tp_context_env(context);
    tapeout_model_ref ref;
    tp_admitted admitted;
    tp_llm *llm = NULL;
    const tp_scheduler_options scheduler_options = {.thread_count =
                                                        (uint32_t)tp_pool_worker_count(env->pool),
                                                    .kv_bytes = options->kv_bytes,
                                                    .kv_is_q8 = options->kv_is_q8,
                                                    .context_length = options->context_length,
                                                    .running_max = 16};
    TP_TRY(tapeout_registry_resolve(context, model, &ref, err));
    const tp_admission asked = tp_admission_of(context, &ref);
    TP_TRY(tp_llm_open_path(env, &asked, &llm, &admitted, err));
    tapeout_llm *made = tp_alloc_zero(env->alloc, sizeof(*made));
    if (made == NULL) {
        tp_llm_free(llm);
        return tp_fail_nomem(err);
    }
    made->env = env;
    const tapeout_status status = tp_llm_host_new(env, llm, &scheduler_options, &made->host, err);
    if (status != TAPEOUT_OK) {
        tapeout_llm_close(made);
        return status;
    }
    *ret_llm = made;
    return TAPEOUT_OK;
}

void tapeout_llm_close(tapeout_llm *llm)
{
    if (llm == NULL) {
        return;
    }
    tp_llm_host_free(llm->host);
    tp_free(llm->env->alloc, llm, sizeof(*llm));
}

// -- the prompt ----------------------------------------------------------------------------------
void tapeout_generate_options_init(tapeout_generate_options *options)
{
    memset(options, 0, sizeof(*options));
    options->struct_size = sizeof(*options);
    options->top_p = options->typical_p = options->repeat_penalty = 1;
}

// {"role": "system"}, {"role": "user"} as the text of an array of messages.
static void write_messages(const tapeout_generate_options *options, tp_buffer *json)
{
    tp_buffer_append_char(json, '[');
    if (options->system != NULL) {
        tp_buffer_append_text(json, "{\"role\":\"system\",\"content\":");
        tp_json_append_str(json, tp_str_from(options->system));
        tp_buffer_append_text(json, "},");
    }
    tp_buffer_append_text(json, "{\"role\":\"user\",\"content\":");
    tp_json_append_str(json, (tp_str){options->prompt, options->prompt_size});
    tp_buffer_append_text(json, "}]");
}

static tapeout_status chat_ids(const tapeout_llm *llm, tp_str messages, tp_ids *ids,
                               tapeout_error *err)
{
    yyjson_doc *doc = NULL;
    TP_TRY(tp_json_parse(llm->env->alloc, messages, "messages", &doc, err));
    const tp_chat_input input = {.messages = yyjson_doc_get_root(doc)};
    tapeout_status status = TAPEOUT_OK;
    if (yyjson_is_arr(input.messages) && yyjson_arr_size(input.messages) > 0) {
        status = tp_llm_host_chat_ids(llm->host, &input, ids, NULL, err);
    } else {
        status = tp_fail(err, TAPEOUT_E_INVALID,
                         "messages: an array of {\"role\", \"content\"} is expected");
    }
    yyjson_doc_free(doc);
    return status;
}

static tapeout_status prompt_ids(const tapeout_llm *llm, const tapeout_generate_options *options,
                                 tp_ids *ids, tapeout_error *err)
{
    const tp_tokenizer *tokenizer = tp_llm_tokenizer(tp_llm_host_model(llm->host));
    if (options->messages_json != NULL) {
        return chat_ids(llm, tp_str_from(options->messages_json), ids, err);
    }
    const tp_str prompt = {options->prompt, options->prompt_size};
    size_t bad = 0;
    if (!tp_utf8_check(prompt, &bad)) {
        return tp_fail_at(err, TAPEOUT_E_INVALID, bad, "prompt: byte %zu is not UTF-8", bad);
    }
    if (options->is_raw) {
        return tp_tokenizer_encode(tokenizer, prompt, TP_TOKENIZE_ADD | TP_TOKENIZE_SPECIAL, ids,
                                   err);
    }
    tp_buffer messages;
    tp_buffer_init(&messages, llm->env->alloc, TP_MAX_LLM_REQUEST_BYTES);
    write_messages(options, &messages);
    tapeout_status status = tp_buffer_check(&messages, "prompt", err);
    if (status == TAPEOUT_OK) {
        status = chat_ids(llm, tp_buffer_view(&messages), ids, err);
    }
    tp_buffer_deinit(&messages);
    return status;
}

// -- the answer ----------------------------------------------------------------------------------
static tapeout_status make_grammar(const tapeout_llm *llm, const tapeout_generate_options *options,
                                   tp_grammar **ret_grammar, tapeout_error *err)
{
    const int given = (options->json_schema != NULL) + (options->grammar != NULL) +
                      (options->regex != NULL) + options->json;
    if (given > 1) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "a JSON schema, a grammar, a regular expression or any JSON: one of them");
    }
    if (options->json_schema != NULL) {
        return tp_grammar_from_json_schema(llm->env, tp_str_from(options->json_schema), NULL,
                                           ret_grammar, err);
    }
    if (options->grammar != NULL) {
        return tp_grammar_from_gbnf(llm->env, tp_str_from(options->grammar), NULL, ret_grammar,
                                    err);
    }
    if (options->regex != NULL) {
        return tp_grammar_from_regex(llm->env, tp_str_from(options->regex), NULL, ret_grammar, err);
    }
    return options->json ? tp_grammar_from_json_object(llm->env, NULL, ret_grammar, err)
                         : TAPEOUT_OK;
}

static const char *finish_name(tp_finish finish)
{
    switch (finish) {
    case TP_FINISH_LENGTH:
        return "length";
    case TP_FINISH_CANCELLED:
        return "cancelled";
    case TP_FINISH_TIMEOUT:
        return "timeout";
    case TP_FINISH_NONE:
    case TP_FINISH_STOP:
    case TP_FINISH_FAILED:
        break;
    }
    return "stop";
}

static void append_ms(tp_buffer *json, const char *key, uint64_t ns)
{
    tp_json_append_key(json, key);
    tp_json_append_f64(json, (double)(ns / 1000) / 1000);
}

static void write_outcome(const llm_outcome *outcome, tp_buffer *json)
{
    const tp_generation_event *end = &outcome->end;
    tp_buffer_append_char(json, '{');
    tp_json_append_key(json, "text");
    tp_json_append_str(json, tp_buffer_view(&outcome->text));
    tp_json_append_key(json, "ids");
    tp_buffer_append_char(json, '[');
    for (size_t i = 0; i < outcome->ids.count; i++) {
        tp_buffer_printf(json, i == 0 ? "%u" : ",%u", outcome->ids.data[i]);
    }
    tp_buffer_append_char(json, ']');
    tp_json_append_key(json, "finish_reason");
    tp_buffer_printf(json, "\"%s\"", finish_name(end->finish));
    tp_json_append_key(json, "usage");
    tp_buffer_printf(json,
                     "{\"prompt_tokens\":%u,\"completion_tokens\":%u,\"total_tokens\":%u,"
                     "\"cached_tokens\":%u}",
                     end->prompt_count, end->generated_count,
                     end->prompt_count + end->generated_count, end->cached_count);
    tp_json_append_key(json, "timings");
    tp_buffer_append_char(json, '{');
    append_ms(json, "queue_ms", end->queue_ns);
    append_ms(json, "prefill_ms", end->prefill_ns);
    append_ms(json, "decode_ms", end->decode_ns);
    tp_buffer_append_text(json, "}}");
}

static tp_sampling sampling_of(const tapeout_generate_options *options)
{
    tp_sampling sampling;
    tp_sampling_init(&sampling);
    sampling.temperature = options->temperature;
    sampling.top_k = options->top_k;
    sampling.top_p = options->top_p;
    sampling.min_p = options->min_p;
    sampling.typical_p = options->typical_p;
    sampling.repeat_penalty = options->repeat_penalty;
    sampling.presence_penalty = options->presence_penalty;
    sampling.frequency_penalty = options->frequency_penalty;
    sampling.seed = options->seed;
    return sampling;
}

static tapeout_status answer(tapeout_llm *llm, const tapeout_generate_options *options,
                             const tp_ids *prompt, tp_grammar *grammar, char **ret_json,
                             tapeout_error *err)
{
    tp_str stops[TP_MAX_LLM_STOPS];
    if (options->stop_count > TP_MAX_LLM_STOPS) {
        return tp_fail(err, TAPEOUT_E_INVALID, "%zu stop strings; at most %u", options->stop_count,
                       TP_MAX_LLM_STOPS);
    }
    for (size_t i = 0; i < options->stop_count; i++) {
        stops[i] = tp_str_from(options->stops[i]);
    }
    tp_generation_request request = {.prompt = prompt->data,
                                     .prompt_count = (uint32_t)prompt->count,
                                     .sampling = sampling_of(options),
                                     .max_tokens = options->max_tokens,
                                     .stops = stops,
                                     .stop_count = (uint32_t)options->stop_count,
                                     .grammar = grammar};
    const llm_waiter_options waiter = {.on_text = options->on_text, .user = options->user};
    llm_outcome outcome = {0};
    tp_buffer json;
    tp_buffer_init(&outcome.text, llm->env->alloc, TP_MAX_LLM_REQUEST_BYTES);
    tp_buffer_init(&json, llm->env->alloc, (size_t)TP_MAX_LLM_REQUEST_BYTES * 8);
    tp_ids_init(&outcome.ids, llm->env->alloc);
    tapeout_status status =
        tp_llm_wait(llm->env, tp_llm_host_scheduler(llm->host), &request, &waiter, &outcome, err);
    if (status == TAPEOUT_OK) {
        write_outcome(&outcome, &json);
        status = tp_text_from_buffer(&json, "answer", ret_json, err);
    }
    tp_buffer_deinit(&json);
    tp_buffer_deinit(&outcome.text);
    tp_ids_deinit(&outcome.ids);
    return status;
}

tapeout_status tapeout_llm_generate(tapeout_context *context, tapeout_llm *llm,
                                    const tapeout_generate_options *options, char **ret_json,
                                    tapeout_error *err)
{
    (void)context; // whose env `llm` has
    tp_ids prompt;
    tp_grammar *grammar = NULL;
    tp_ids_init(&prompt, llm->env->alloc);
    tapeout_status status = make_grammar(llm, options, &grammar, err);
    if (status == TAPEOUT_OK) {
        status = prompt_ids(llm, options, &prompt, err);
    }
    if (status == TAPEOUT_OK) {
        status = answer(llm, options, &prompt, grammar, ret_json, err);
    }
    tp_grammar_unref(grammar);
    tp_ids_deinit(&prompt);
    return status;
}
