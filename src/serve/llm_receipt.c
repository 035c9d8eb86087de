// SPDX-License-Identifier: Apache-2.0
//
// Receipts of language models: what decides an answer is written down when the request begins, its
// tokens are gathered as they come, and where all choices of a prompt have come to their end the
// two are put on the record. What was cut off, by the client or the clock, leaves none.
#include "serve/llm_answer.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "pipeline/tp_receipt_llm.h"
#include "serve/serve_audit.h"

static bool is_kept(const llm_answer *answer)
{
    return answer->exchange->state->keeps_receipts;
}

static uint32_t each_of(const llm_answer *answer)
{
    return answer->choice_count / answer->part_count;
}

void tp_llm_receipt_begin(llm_answer *answer, const tp_generation_request *request, uint32_t index)
{
    const tp_scheduler *scheduler = tp_llm_host_scheduler(answer->model->llm);
    if (is_kept(answer)) {
        tp_receipt_generation generation = {.request = *request,
                                            .context_length = tp_scheduler_context(scheduler),
                                            .kv_is_q8 = tp_scheduler_kv_is_q8(scheduler),
                                            .is_constrained = request->grammar != NULL};
        tp_grammar_source grammar;
        if (request->grammar != NULL) {
            grammar = tp_grammar_source_of(request->grammar);
            generation.grammar = &grammar;
        }
        tp_receipt_generation_write(&generation, &answer->parts[index].generation_text);
    }
}

// Without memory for it the receipt is lost, and the answer is not.
void tp_llm_receipt_token(llm_choice *choice, uint32_t id)
{
    if (is_kept(choice->answer) && tp_ids_append(&choice->ids, id, NULL) != TAPEOUT_OK) {
        choice->has_lost_ids = true;
    }
}

static void post_part(const llm_answer *answer, const llm_part *part)
{
    tp_receipt_choice choices[TP_MAX_LLM_CHOICES];
    const uint32_t count = each_of(answer);
    bool has_lost = part->generation_text.status != TAPEOUT_OK;
    for (uint32_t i = 0; i < count; i++) {
        const llm_choice *choice = &answer->choices[part->first_choice + i];
        if (choice->end.finish != TP_FINISH_STOP && choice->end.finish != TP_FINISH_LENGTH) {
            return;
        }
        choices[i] = (tp_receipt_choice){choice->ids, choice->end.finish};
        has_lost = has_lost || choice->has_lost_ids;
    }
    tp_buffer text;
    tp_buffer_init(&text, answer->env->alloc, TP_MAX_HTTP_REPLY_BYTES);
    tp_receipt_answer_write(choices, count, &text);
    if (has_lost || text.status != TAPEOUT_OK) {
        tp_audit_lost(answer->exchange->state->audit);
    } else {
        const serve_generated generated = {count, tp_buffer_view(&part->generation_text),
                                           tp_buffer_view(&text)};
        tp_serve_receipt_generation(answer->exchange, answer->model, &generated);
    }
    tp_buffer_deinit(&text);
}

void tp_llm_receipt_end(const llm_answer *answer)
{
    for (uint32_t i = 0; is_kept(answer) && i < answer->part_count; i++) {
        post_part(answer, &answer->parts[i]);
    }
}
