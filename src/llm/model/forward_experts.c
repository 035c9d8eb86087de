// SPDX-License-Identifier: Apache-2.0
//
// A layer of experts in place of one feed-forward part. The router's scores choose for each token
// the experts of the greatest probability (the first of equals), whose shares of the chosen ones'
// sum are their weights. Each pair of token and chosen expert takes a slot; an expert's slots stand
// together, so it multiplies all its tokens at once. A token's result is the sum over its experts
// in the order of choice, whatever else runs.
#include "llm/model/forward_priv.h"

#include <string.h>

static uint32_t ceil_div(uint32_t a, uint32_t b)
{
    return (a + b - 1) / b;
}

// -- choosing ------------------------------------------------------------------------------------

static void choose(tp_llm_run *run, uint32_t token)
{
    const uint32_t count = run->llm->config.expert_count;
    const uint32_t used = run->llm->config.expert_used;
    float *shares = run->route.logits + (size_t)token * count;
    uint32_t *experts = run->route.experts + (size_t)token * used;
    float *weights = run->route.weights + (size_t)token * used;
    (void)run->kernels.softmax(shares, count);
    float sum = 0;
    for (uint32_t i = 0; i < used; i++) {
        uint32_t best = 0;
        for (uint32_t e = 1; e < count; e++) {
            // A chosen one is marked by -1; NaN never wins, and the first expert then stands in.
            best = shares[e] > shares[best] ? e : best;
        }
        experts[i] = best;
        weights[i] = shares[best];
        sum += weights[i];
        shares[best] = -1;
    }
    for (uint32_t i = 0; i < used; i++) {
        weights[i] /= sum;
    }
}

// Gives out the slots: counts, begins, then each pair in the order of tokens.
static void route(tp_llm_run *run)
{
    forward_route *at = &run->route;
    const uint32_t count = run->llm->config.expert_count;
    const uint32_t used = run->llm->config.expert_used;
    const uint32_t pairs = run->step->token_count * used;
    for (uint32_t token = 0; token < run->step->token_count; token++) {
        choose(run, token);
    }
    memset(at->begins, 0, (count + 1) * sizeof(*at->begins));
    for (uint32_t i = 0; i < pairs; i++) {
        at->begins[at->experts[i] + 1]++;
    }
    at->busy_count = 0;
    for (uint32_t e = 0; e < count; e++) {
        if (at->begins[e + 1] > 0) {
            at->busy[at->busy_count++] = e;
        }
        at->begins[e + 1] += at->begins[e];
    }
    // begins[e] runs ahead while slots are given and is moved back after.
    for (uint32_t i = 0; i < pairs; i++) {
        at->slots[i] = at->begins[at->experts[i]]++;
        at->tokens[at->slots[i]] = i / used;
    }
    memmove(at->begins + 1, at->begins, count * sizeof(*at->begins));
    at->begins[0] = 0;
}

// -- multiplying ---------------------------------------------------------------------------------

// Chunks of every busy expert: `stacks` matrices of it, in rows.
static uint32_t count_products(tp_llm_run *run, const llm_stack *stack, uint32_t stacks)
{
    run->cut = tp_forward_cut(&stack->first, 1);
    forward_cut *cut = &run->cut;
    while ((cut->chunk_count =
                run->route.busy_count * stacks * tp_forward_row_chunks(cut, stack->first.rows)) >
           TP_TEAM_MAX_CHUNKS) {
        cut->chunk_rows *= 2;
    }
    return cut->chunk_count;
}

static tp_matrix expert_of(const llm_stack *stack, uint32_t expert)
{
    tp_matrix matrix = stack->first;
    matrix.data += expert * matrix.size;
    return matrix;
}

// One chunk of `stacks` matrices side by side, for the slots of one expert.
static void multiply(tp_llm_run *run, const llm_stack *stack, uint32_t stacks, uint32_t chunk)
{
    const forward_route *at = &run->route;
    const uint32_t row_chunks = tp_forward_row_chunks(&run->cut, stack->first.rows);
    const uint32_t expert = at->busy[chunk / (row_chunks * stacks)];
    const uint32_t which = chunk / row_chunks % stacks;
    const tp_matrix matrix = expert_of(&stack[which], expert);
    const uint32_t begin = chunk % row_chunks * run->cut.chunk_rows;
    const uint32_t left = matrix.rows - begin;
    const uint32_t slot = at->begins[expert];
    const bool is_inner = stacks == 2;
    tp_matrix_part part = {.tokens = is_inner ? at->tokens + slot : NULL,
                           .first_token = slot,
                           .token_count = at->begins[expert + 1] - slot,
                           .row_begin = begin,
                           .row_end =
                               begin + (left < run->cut.chunk_rows ? left : run->cut.chunk_rows)};
    part.y_stride = is_inner ? 2 * (size_t)matrix.rows : matrix.rows;
    part.y =
        (is_inner ? at->inner : at->outputs) + slot * part.y_stride + (size_t)which * matrix.rows;
    tp_matrix_multiply(&run->matrix_kernels, &matrix, is_inner ? &run->x : &at->x, &part);
}

static void activate(tp_llm_run *run, uint32_t slot)
{
    const uint32_t width = run->llm->config.ffn_width;
    float *inner = run->route.inner + (size_t)slot * 2 * width;
    run->kernels.silu_multiply(inner, inner + width, width, inner);
    tp_activations_set(&run->route.x, &run->matrix_kernels, slot, inner, width);
}

static void combine(tp_llm_run *run, uint32_t token)
{
    const uint32_t used = run->llm->config.expert_used;
    const uint32_t width = run->llm->facts.width;
    float *added = run->added + (size_t)token * width;
    memset(added, 0, width * sizeof(*added));
    for (uint32_t i = 0; i < used; i++) {
        const uint32_t pair = token * used + i;
        const float weight = run->route.weights[pair];
        const float *output = run->route.outputs + (size_t)run->route.slots[pair] * width;
        for (uint32_t c = 0; c < width; c++) {
            added[c] += weight * output[c];
        }
    }
}

// -- phases --------------------------------------------------------------------------------------

uint32_t tp_forward_experts_count(tp_llm_run *run, uint32_t layer, uint32_t phase)
{
    const llm_layer *at = &run->llm->layers[layer];
    const uint32_t tokens = run->step->token_count;
    switch (phase) {
    case FORWARD_ROUTE:
        return 1;
    case FORWARD_EXPERTS_IN:
        return count_products(run, &at->experts[0], 2);
    case FORWARD_EXPERTS_ACTIVATE:
        return ceil_div(tokens * run->llm->config.expert_used, FORWARD_TOKENS_A_CHUNK);
    case FORWARD_EXPERTS_OUT:
        return count_products(run, &at->experts[2], 1);
    case FORWARD_COMBINE:
        return ceil_div(tokens, FORWARD_TOKENS_A_CHUNK);
    default:
        return 0;
    }
}

void tp_forward_experts_run(tp_llm_run *run, uint32_t layer, uint32_t phase, uint32_t chunk)
{
    const llm_layer *at = &run->llm->layers[layer];
    const bool of_slots = phase == FORWARD_EXPERTS_ACTIVATE;
    const uint32_t count = run->step->token_count * (of_slots ? run->llm->config.expert_used : 1);
    const uint32_t begin = chunk * FORWARD_TOKENS_A_CHUNK;
    switch (phase) {
    case FORWARD_ROUTE:
        route(run);
        break;
    case FORWARD_EXPERTS_IN:
        multiply(run, &at->experts[0], 2, chunk);
        break;
    case FORWARD_EXPERTS_OUT:
        multiply(run, &at->experts[2], 1, chunk);
        break;
    default:
        for (uint32_t i = begin; i < begin + FORWARD_TOKENS_A_CHUNK && i < count; i++) {
            if (of_slots) {
                activate(run, i);
            } else {
                combine(run, i);
            }
        }
        break;
    }
}
