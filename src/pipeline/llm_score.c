// SPDX-License-Identifier: Apache-2.0
//
// tapeout_llm_score and tapeout_llm_embed: what a model thinks of given tokens, and vectors of
// texts. Scoring goes the way of every request, so its figures are those that serving has.
#include "pipeline/llm_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_context.h"
#include "base/tp_error.h"
#include "table/tp_json.h"

#include <string.h>

void tapeout_score_options_init(tapeout_score_options *options)
{
    memset(options, 0, sizeof(*options));
    options->struct_size = sizeof(*options);
}

typedef struct score_lines {
    uint32_t position;
    uint32_t prompt_count;
    tp_buffer text;
} score_lines;

static void append_top(tp_buffer *text, const tp_generation_event *event)
{
    tp_json_append_key(text, "top");
    tp_buffer_append_char(text, '[');
    for (uint32_t i = 0; i < event->top_count; i++) {
        tp_buffer_printf(text, i == 0 ? "[%u," : ",[%u,", event->top[i].id);
        tp_json_append_f64(text, event->top[i].logprob);
        tp_buffer_append_char(text, ']');
    }
    tp_buffer_append_text(text, "]}\n");
}

// The prompt's tokens come in order; the one generated token says what is likely behind them.
static void on_event(void *user, const tp_generation_event *event)
{
    score_lines *lines = user;
    if (!event->has_token) {
        return;
    }
    tp_buffer_printf(&lines->text, "{\"pos\":%u,", ++lines->position);
    if (event->is_prompt) {
        tp_buffer_printf(&lines->text, "\"id\":%u,\"logprob\":", event->id);
        tp_json_append_f64(&lines->text, event->logprob);
    } else {
        tp_buffer_append_text(&lines->text, "\"id\":null,\"logprob\":null");
    }
    append_top(&lines->text, event);
}

tapeout_status tapeout_llm_score(tapeout_context *context, tapeout_llm *llm,
                                 const tapeout_score_options *options, tapeout_error *err)
{
    (void)context; // whose env `llm` has
    if (options->id_count > UINT32_MAX || options->top_count > TP_MAX_LLM_TOP_LOGPROBS) {
        return tp_fail(err, TAPEOUT_E_INVALID, "the likeliest %u of a place; at most %u",
                       options->top_count, TP_MAX_LLM_TOP_LOGPROBS);
    }
    const uint32_t vocab_count = tp_llm_facts_of(tp_llm_host_model(llm->host))->vocab_count;
    score_lines lines = {.prompt_count = (uint32_t)options->id_count};
    llm_outcome outcome = {0};
    tp_generation_request request = {
        .prompt = options->ids,
        .prompt_count = (uint32_t)options->id_count,
        .max_tokens = 1,
        .ignores_eog = true,
        .wants_logprobs = true,
        .wants_prompt = true,
        .top_logprobs = options->top_count < vocab_count ? options->top_count : vocab_count};
    tp_sampling_init(&request.sampling);
    request.sampling.temperature = 0;
    const llm_waiter_options waiter = {.on_event = on_event, .event_user = &lines};
    tp_buffer_init(&lines.text, llm->env->alloc, TP_MAX_LLM_SCORE_BYTES);
    tp_buffer_init(&outcome.text, llm->env->alloc, TP_MAX_LLM_REQUEST_BYTES);
    tp_ids_init(&outcome.ids, llm->env->alloc);
    tapeout_status status =
        tp_llm_wait(llm->env, tp_llm_host_scheduler(llm->host), &request, &waiter, &outcome, err);
    if (status == TAPEOUT_OK) {
        status = tp_buffer_check(&lines.text, "scores", err);
    }
    if (status == TAPEOUT_OK) {
        status = options->write(options->write_user, lines.text.data, lines.text.size, err);
    }
    tp_buffer_deinit(&lines.text);
    tp_buffer_deinit(&outcome.text);
    tp_ids_deinit(&outcome.ids);
    return status;
}

// -- embeddings ----------------------------------------------------------------------------------
static tapeout_status embed_ids(const tapeout_llm *llm, const char *const *texts, size_t count,
                                tp_ids *ids, uint32_t *ret_counts, tapeout_error *err)
{
    const tp_tokenizer *tokenizer = tp_llm_tokenizer(tp_llm_host_model(llm->host));
    for (size_t i = 0; i < count; i++) {
        const size_t before = ids->count;
        TP_TRY(tp_tokenizer_encode(tokenizer, tp_str_from(texts[i]), TP_TOKENIZE_ADD, ids, err));
        ret_counts[i] = (uint32_t)(ids->count - before);
    }
    return TAPEOUT_OK;
}

static void write_vectors(tp_buffer *json, const float *vectors, size_t count, uint32_t width)
{
    tp_buffer_append_text(json, "{\"embeddings\":[");
    for (size_t i = 0; i < count; i++) {
        tp_buffer_append_text(json, i == 0 ? "[" : ",[");
        for (uint32_t k = 0; k < width; k++) {
            if (k > 0) {
                tp_buffer_append_char(json, ',');
            }
            tp_json_append_f64(json, (double)vectors[i * width + k]);
        }
        tp_buffer_append_char(json, ']');
    }
    tp_buffer_append_char(json, ']');
}

tapeout_status tapeout_llm_embed(tapeout_context *context, tapeout_llm *llm,
                                 const char *const *texts, size_t count, char **ret_json,
                                 tapeout_error *err)
{
    (void)context; // whose env `llm` has
    const tapeout_allocator *alloc = llm->env->alloc;
    const uint32_t width = tp_llm_facts_of(tp_llm_host_model(llm->host))->width;
    if (count > TP_MAX_LLM_EMBED_TEXTS) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "%zu texts in one call; at most %u", count,
                       TP_MAX_LLM_EMBED_TEXTS);
    }
    tp_ids ids;
    tp_buffer json;
    tp_ids_init(&ids, alloc);
    tp_buffer_init(&json, alloc, TP_MAX_LLM_SCORE_BYTES);
    uint32_t *counts = tp_alloc_array_zero(alloc, count, sizeof(*counts));
    float *vectors = tp_alloc_array(alloc, count * width, sizeof(*vectors));
    tapeout_status status = counts == NULL || vectors == NULL ? tp_fail_nomem(err) : TAPEOUT_OK;
    if (status == TAPEOUT_OK) {
        status = embed_ids(llm, texts, count, &ids, counts, err);
    }
    if (status == TAPEOUT_OK) {
        const tp_embedding_request request = {ids.data, counts, (uint32_t)count};
        status = tp_scheduler_embed(tp_llm_host_scheduler(llm->host), &request, vectors, err);
    }
    if (status == TAPEOUT_OK) {
        write_vectors(&json, vectors, count, width);
        tp_buffer_printf(&json, ",\"width\":%u,\"tokens\":%zu}", width, ids.count);
        status = tp_text_from_buffer(&json, "embeddings", ret_json, err);
    }
    tp_free_array(alloc, vectors, count * width, sizeof(*vectors));
    tp_free_array(alloc, counts, count, sizeof(*counts));
    tp_buffer_deinit(&json);
    tp_ids_deinit(&ids);
    return status;
}
