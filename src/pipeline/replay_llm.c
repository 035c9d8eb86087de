// SPDX-License-Identifier: Apache-2.0
//
// A language model's answer once more: the same bundle, a scheduler of the same context and cache,
// the same request, held to the same grammar, by itself. A request has the same tokens alone or
// among others, so that is enough.
#include "pipeline/tp_receipt_llm.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_context.h"
#include "base/tp_error.h"
#include "pipeline/llm_priv.h"
#include "pipeline/tp_llm_open.h"

typedef struct generating {
    const tp_env *env;
    tp_receipt_generation generation;
    tp_receipt_choice *choices; // [request.choice_count]
    tapeout_status status;
} generating;

// On the scheduler's thread, one call at a time.
static void on_event(void *user, const tp_generation_event *event)
{
    generating *self = user;
    tp_receipt_choice *choice = &self->choices[event->choice];
    if (event->has_token && !event->is_prompt && self->status == TAPEOUT_OK) {
        self->status = tp_ids_append(&choice->ids, event->id, NULL);
    }
    choice->finish = event->finish != TP_FINISH_NONE ? event->finish : choice->finish;
}

static tapeout_status check_input(const tp_receipt_replay *replay, const generating *self,
                                  tapeout_error *err)
{
    char hex[TP_SHA256_HEX_SIZE + 1];
    tp_buffer text;
    tp_buffer_init(&text, self->env->alloc, TP_MAX_RECEIPT_INPUT_FILE_BYTES);
    tp_receipt_generation_write(&self->generation, &text);
    tapeout_status status = tp_buffer_check(&text, "the generation", err);
    if (status == TAPEOUT_OK) {
        const tp_sha256 hash = tp_sha256_of(text.data, text.size);
        tp_sha256_hex(&hash, hex);
        if (!tp_str_equal(replay->input, tp_str_from(hex))) {
            status =
                tp_fail(err, TAPEOUT_E_CORRUPT,
                        "this generation (prompt, sampling, grammar) is not that of the receipt "
                        "(%.*s)",
                        TP_STR_ARGS(replay->input));
        }
    }
    tp_buffer_deinit(&text);
    return status;
}

static tapeout_status open_host(const tp_receipt_replay *replay, const generating *self,
                                tp_llm_host **ret_host, tapeout_error *err)
{
    const tp_scheduler_options options = {.thread_count =
                                              (uint32_t)tp_pool_worker_count(self->env->pool),
                                          .kv_is_q8 = self->generation.kv_is_q8,
                                          .context_length = self->generation.context_length,
                                          .running_max = self->generation.request.choice_count};
    const tp_admission asked = tp_admission_of(replay->context, replay->ref);
    tp_admitted admitted;
    tp_llm *llm = NULL;
    TP_TRY(tp_llm_open_path(self->env, &asked, &llm, &admitted, err));
    return tp_llm_host_new(self->env, llm, &options, ret_host, err);
}

static tapeout_status generate(const tp_receipt_replay *replay, generating *self,
                               tapeout_error *err)
{
    tp_llm_host *host = NULL;
    llm_outcome outcome = {.end = {0}};
    const llm_waiter_options options = {.on_event = on_event, .event_user = self};
    TP_TRY(open_host(replay, self, &host, err));
    tp_buffer_init(&outcome.text, self->env->alloc, TP_MAX_HTTP_REPLY_BYTES);
    tp_ids_init(&outcome.ids, self->env->alloc);
    tapeout_status status = tp_llm_wait(self->env, tp_llm_host_scheduler(host),
                                        &self->generation.request, &options, &outcome, err);
    tp_ids_deinit(&outcome.ids);
    tp_buffer_deinit(&outcome.text);
    tp_llm_host_free(host);
    if (status == TAPEOUT_OK && self->status != TAPEOUT_OK) {
        status = tp_fail_nomem(err);
    }
    return status;
}

static tapeout_status generate_with(const tp_receipt_replay *replay, generating *self,
                                    tp_buffer *output, tapeout_error *err)
{
    const uint32_t count = self->generation.request.choice_count;
    self->choices = tp_alloc_array_zero(self->env->alloc, count, sizeof(*self->choices));
    if (self->choices == NULL) {
        return tp_fail_nomem(err);
    }
    for (uint32_t i = 0; i < count; i++) {
        tp_ids_init(&self->choices[i].ids, self->env->alloc);
    }
    const tapeout_status status = generate(replay, self, err);
    if (status == TAPEOUT_OK) {
        tp_receipt_answer_write(self->choices, count, output);
    }
    for (uint32_t i = 0; i < count; i++) {
        tp_ids_deinit(&self->choices[i].ids);
    }
    tp_free_array(self->env->alloc, self->choices, count, sizeof(*self->choices));
    return status;
}

static tapeout_status make_grammar(generating *self, tapeout_error *err)
{
    tp_receipt_generation *generation = &self->generation;
    if (generation->grammar != NULL) {
        return tp_grammar_from(self->env, generation->grammar, &generation->request.grammar, err);
    }
    return !generation->is_constrained
               ? TAPEOUT_OK
               : tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                         "the answer was held to a grammar (a JSON schema or a tool's arguments), "
                         "which this receipt, of an earlier tapeout, does not have: it cannot be "
                         "run again");
}

tapeout_status tp_receipt_generate(const tp_receipt_replay *replay, tp_buffer *output,
                                   tapeout_error *err)
{
    tp_arena arena;
    generating self = {.env = tp_context_env(replay->context)};
    tp_arena_init(&arena, self.env->alloc, TP_MAX_RECEIPT_INPUT_FILE_BYTES);
    tapeout_status status =
        tp_receipt_generation_read(replay->generation, &arena, &self.generation, err);
    if (status == TAPEOUT_OK) {
        status = check_input(replay, &self, err);
    }
    if (status == TAPEOUT_OK) {
        status = make_grammar(&self, err);
    }
    if (status == TAPEOUT_OK) {
        status = generate_with(replay, &self, output, err);
    }
    tp_grammar_unref(self.generation.request.grammar);
    tp_arena_deinit(&arena);
    return status;
}
