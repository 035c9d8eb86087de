// SPDX-License-Identifier: Apache-2.0
//
// Forward passes: checking a step, running it, and pooled embeddings. A step asks for no memory,
// and can fail only by breaking the rules of tp_forward.h.
#include "llm/model/forward_priv.h"

#include "base/tp_error.h"

#include <math.h>
#include <string.h>

enum { POSITIONS = TP_KV_PAGE_POSITIONS };

// -- a step --------------------------------------------------------------------------------------

static tapeout_status check_token(const tp_llm_run *run, const tp_llm_step *step, uint32_t index,
                                  tapeout_error *err)
{
    const tp_llm_token *token = &step->tokens[index];
    if (token->id >= run->llm->facts.vocab_count || token->position >= run->max_positions ||
        token->sequence >= step->sequence_count) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "llm: token %u of the step has id %u of %u, position %u of %u, sequence %u "
                       "of %u",
                       index, token->id, run->llm->facts.vocab_count, token->position,
                       run->max_positions, token->sequence, step->sequence_count);
    }
    const uint32_t page = step->sequences[token->sequence].pages[token->position / POSITIONS];
    if (page >= tp_kv_page_count(run->kv)) {
        return tp_fail(err, TAPEOUT_E_INVALID, "llm: page %u; the cache has %u", page,
                       tp_kv_page_count(run->kv));
    }
    const tp_llm_token *before = index > 0 ? token - 1 : NULL;
    if (before != NULL && before->sequence == token->sequence &&
        before->position + 1 != token->position) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "llm: tokens %u and %u of the step are of one sequence and have positions "
                       "%u and %u",
                       index - 1, index, before->position, token->position);
    }
    return TAPEOUT_OK;
}

static tapeout_status check_step(const tp_llm_run *run, const tp_llm_step *step, tapeout_error *err)
{
    if (step->token_count == 0 || step->token_count > run->max_tokens) {
        return tp_fail(err, TAPEOUT_E_INVALID, "llm: a step of %u tokens; expected 1 to %u",
                       step->token_count, run->max_tokens);
    }
    for (uint32_t i = 0; i < step->token_count; i++) {
        TP_TRY(check_token(run, step, i, err));
    }
    return TAPEOUT_OK;
}

// Tokens first … end - 1 are one sequence's: cuts them into tiles, and clears a page that they
// begin and do not fill.
static void plan_sequence(tp_llm_run *run, uint32_t first, uint32_t end)
{
    const tp_llm_token *tokens = run->step->tokens;
    const uint32_t group = run->llm->facts.head_count / run->llm->facts.kv_head_count;
    const uint32_t tile = run->tile_rows / group;
    const uint32_t last = tokens[end - 1].position;
    for (uint32_t i = first; i < end; i += tile) {
        run->tiles[run->tile_count++] =
            (forward_tile){.first_token = i,
                           .token_count = end - i < tile ? end - i : tile,
                           .sequence_end = last + 1};
    }
    const uint32_t page_begin = last - last % POSITIONS;
    if (tokens[first].position <= page_begin && last % POSITIONS != POSITIONS - 1) {
        tp_kv_clear(run->kv, run->step->sequences[tokens[first].sequence].pages[last / POSITIONS],
                    0);
    }
}

static void plan(tp_llm_run *run, const tp_llm_step *step, float *logits)
{
    run->step = step;
    run->logits = logits;
    run->tile_count = 0;
    run->wanted_count = 0;
    uint32_t first = 0;
    for (uint32_t i = 0; i < step->token_count; i++) {
        if (step->tokens[i].wants_logits) {
            run->wanted[run->wanted_count++] = i;
        }
        if (i + 1 == step->token_count ||
            step->tokens[i + 1].sequence != step->tokens[i].sequence) {
            plan_sequence(run, first, i + 1);
            first = i + 1;
        }
    }
    const tp_llm_facts *facts = &run->llm->facts;
    const uint32_t group = facts->head_count / facts->kv_head_count;
    // Few pieces: a query head each, so that every thread has some.
    const bool is_short = run->tile_count * facts->kv_head_count < 2 * run->worker_count;
    run->heads_a_task = is_short ? 1 : group;
}

tapeout_status tp_llm_forward(tp_llm_run *run, const tp_llm_step *step, float *ret_logits,
                              tapeout_error *err)
{
    TP_TRY(check_step(run, step, err));
    plan(run, step, ret_logits);
    if (run->wanted_count > 0 && (ret_logits == NULL || run->llm->facts.is_encoder)) {
        return tp_fail(err, TAPEOUT_E_INVALID, "llm: logits are wanted, and %s",
                       ret_logits == NULL ? "there is no room for them"
                                          : "this model makes embeddings alone");
    }
    const tp_team_program program = tp_forward_program(run);
    tp_team_run(run->team, &program);
    return TAPEOUT_OK;
}

// -- embeddings ----------------------------------------------------------------------------------

static void pool(const tp_llm_run *run, uint32_t count, float *ret_vector)
{
    const uint32_t width = run->llm->facts.width;
    const tp_llm_pooling pooling = run->llm->facts.pooling;
    if (pooling != TP_LLM_POOL_MEAN) {
        const uint32_t token = pooling == TP_LLM_POOL_FIRST ? 0 : count - 1;
        memcpy(ret_vector, run->stream + (size_t)token * width, width * sizeof(*ret_vector));
        return;
    }
    for (uint32_t c = 0; c < width; c++) {
        double sum = 0;
        for (uint32_t i = 0; i < count; i++) {
            sum += (double)run->stream[(size_t)i * width + c];
        }
        ret_vector[c] = (float)(sum / count);
    }
}

static void scale_to_one(float *vector, uint32_t width)
{
    double sum = 0;
    for (uint32_t i = 0; i < width; i++) {
        sum += (double)vector[i] * (double)vector[i];
    }
    const double length = sqrt(sum);
    for (uint32_t i = 0; i < width && length > 0; i++) {
        vector[i] = (float)((double)vector[i] / length);
    }
}

tapeout_status tp_llm_embed(tp_llm_run *run, const uint32_t *ids, size_t count, float *ret_vector,
                            tapeout_error *err)
{
    if (run->own_kv == NULL || count == 0 || count > run->max_tokens) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "llm: an embedding of %zu tokens; expected 1 to %u, in a run of its own "
                       "cache",
                       count, run->max_tokens);
    }
    for (size_t i = 0; i < count; i++) {
        run->own_tokens[i] = (tp_llm_token){.id = ids[i], .position = (uint32_t)i};
    }
    const tp_llm_sequence sequence = {run->pages};
    const tp_llm_step step = {run->own_tokens, (uint32_t)count, &sequence, 1};
    TP_TRY(check_step(run, &step, err));
    plan(run, &step, NULL);
    for (; run->wanted_count < count; run->wanted_count++) {
        run->wanted[run->wanted_count] = run->wanted_count;
    }
    const tp_team_program program = tp_forward_program(run);
    tp_team_run(run->team, &program);
    pool(run, (uint32_t)count, ret_vector);
    scale_to_one(ret_vector, run->llm->facts.width);
    return TAPEOUT_OK;
}
