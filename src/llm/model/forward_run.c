// SPDX-License-Identifier: Apache-2.0
//
// The workspace of forward passes: making it, checking a step, and pooled embeddings. All memory is
// asked for here; a step asks for none, and can fail only by breaking the rules of tp_forward.h.
#include "llm/model/forward_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_cpu.h"
#include "base/tp_error.h"

#include <math.h>
#include <string.h>

enum { POSITIONS = TP_KV_PAGE_POSITIONS };

static uint32_t at_least(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static uint32_t pages_for(uint32_t positions)
{
    return (positions + POSITIONS - 1) / POSITIONS;
}

// -- memory --------------------------------------------------------------------------------------

// Floats, aligned for vectors; not cleared, so that memory nobody uses is never touched.
static float *new_floats(const tapeout_allocator *alloc, size_t rows, size_t row_size)
{
    size_t count = 0;
    size_t size = 0;
    if (__builtin_mul_overflow(rows, row_size, &count) ||
        __builtin_mul_overflow(count, sizeof(float), &size)) {
        return NULL;
    }
    return tp_alloc_aligned(alloc, size);
}

static void free_floats(const tapeout_allocator *alloc, float *floats, size_t rows, size_t row_size)
{
    tp_free_aligned(alloc, floats, rows * row_size * sizeof(float));
}

static void set_sizes(tp_llm_run *run)
{
    const tp_llm_facts *facts = &run->llm->facts;
    const llm_config *config = &run->llm->config;
    const llm_layer *layer = &run->llm->layers[0];
    run->max_cols = at_least(facts->width, facts->head_count * facts->value_size);
    run->inner_stride = layer->qkv.rows;
    if (!config->family->has_experts) {
        run->max_cols = at_least(run->max_cols, config->ffn_width);
        run->inner_stride = at_least(layer->qkv.rows, layer->ffn_in.rows);
    }
    const uint32_t group = facts->head_count / facts->kv_head_count;
    run->tile_rows = at_least(FORWARD_TILE_ROWS / group, 1) * group;
    const uint32_t held = tp_kv_page_count(run->kv) * POSITIONS;
    run->max_positions = held < facts->context_length ? held : facts->context_length;
    run->score_stride = (size_t)pages_for(run->max_positions) * POSITIONS;
    run->angle_stride = 2 * (size_t)at_least(config->ropes[0].pairs, config->ropes[1].pairs);
}

static uint32_t forms_of(const llm_group *group)
{
    uint32_t forms = 0;
    for (uint32_t i = 0; i < group->count; i++) {
        forms |= tp_matrix_reads(group->matrices[i].kind);
    }
    return forms;
}

// The forms of inputs that the model's matrices read.
static uint32_t input_forms(const tp_llm *llm)
{
    uint32_t forms = forms_of(&llm->output);
    for (uint32_t i = 0; i < llm->facts.layer_count; i++) {
        const llm_layer *layer = &llm->layers[i];
        forms |= forms_of(&layer->qkv) | forms_of(&layer->attention_out) |
                 forms_of(&layer->ffn_in) | forms_of(&layer->ffn_out) | forms_of(&layer->router);
        for (uint32_t e = 0; e < 3 && layer->experts[e].count > 0; e++) {
            forms |= tp_matrix_reads(layer->experts[e].first.kind);
        }
    }
    return forms;
}

static bool new_scratch(tp_llm_run *run)
{
    const tp_llm_facts *facts = &run->llm->facts;
    run->scratch = tp_alloc_array_zero(run->alloc, run->worker_count, sizeof(*run->scratch));
    bool done = run->scratch != NULL;
    for (uint32_t i = 0; done && i < run->worker_count; i++) {
        forward_scratch *scratch = &run->scratch[i];
        scratch->queries = new_floats(run->alloc, run->tile_rows, facts->key_size);
        scratch->keys = new_floats(run->alloc, POSITIONS, facts->key_size);
        scratch->values = new_floats(run->alloc, POSITIONS, facts->value_size);
        scratch->scores = new_floats(run->alloc, run->tile_rows, run->score_stride);
        scratch->sums = new_floats(run->alloc, run->tile_rows, facts->value_size);
        scratch->row = new_floats(run->alloc, 1, run->max_cols);
        done = scratch->queries != NULL && scratch->keys != NULL && scratch->values != NULL &&
               scratch->scores != NULL && scratch->sums != NULL && scratch->row != NULL;
    }
    return done;
}

static void free_scratch(tp_llm_run *run)
{
    const tp_llm_facts *facts = &run->llm->facts;
    for (uint32_t i = 0; run->scratch != NULL && i < run->worker_count; i++) {
        forward_scratch *scratch = &run->scratch[i];
        free_floats(run->alloc, scratch->queries, run->tile_rows, facts->key_size);
        free_floats(run->alloc, scratch->keys, POSITIONS, facts->key_size);
        free_floats(run->alloc, scratch->values, POSITIONS, facts->value_size);
        free_floats(run->alloc, scratch->scores, run->tile_rows, run->score_stride);
        free_floats(run->alloc, scratch->sums, run->tile_rows, facts->value_size);
        free_floats(run->alloc, scratch->row, 1, run->max_cols);
    }
    tp_free_array(run->alloc, run->scratch, run->worker_count, sizeof(*run->scratch));
}

static tapeout_status new_route(const tp_env *env, tp_llm_run *run, tapeout_error *err)
{
    const llm_config *config = &run->llm->config;
    forward_route *route = &run->route;
    const size_t tokens = run->max_tokens;
    const size_t pairs = tokens * config->expert_used;
    route->logits = new_floats(run->alloc, tokens, config->expert_count);
    route->weights = new_floats(run->alloc, tokens, config->expert_used);
    route->inner = new_floats(run->alloc, pairs, 2 * (size_t)config->ffn_width);
    route->outputs = new_floats(run->alloc, pairs, run->llm->facts.width);
    route->experts = tp_alloc_array(run->alloc, pairs, sizeof(uint32_t));
    route->slots = tp_alloc_array(run->alloc, pairs, sizeof(uint32_t));
    route->tokens = tp_alloc_array(run->alloc, pairs, sizeof(uint32_t));
    route->begins = tp_alloc_array(run->alloc, config->expert_count + 1, sizeof(uint32_t));
    route->busy = tp_alloc_array(run->alloc, config->expert_count, sizeof(uint32_t));
    if (route->logits == NULL || route->weights == NULL || route->inner == NULL ||
        route->outputs == NULL || route->experts == NULL || route->slots == NULL ||
        route->tokens == NULL || route->begins == NULL || route->busy == NULL) {
        return tp_fail_nomem(err);
    }
    return tp_activations_init(&route->x, env, input_forms(run->llm), (uint32_t)pairs,
                               config->ffn_width, err);
}

static void free_route(tp_llm_run *run)
{
    const llm_config *config = &run->llm->config;
    forward_route *route = &run->route;
    const size_t tokens = run->max_tokens;
    const size_t pairs = tokens * config->expert_used;
    tp_activations_deinit(&route->x);
    free_floats(run->alloc, route->logits, tokens, config->expert_count);
    free_floats(run->alloc, route->weights, tokens, config->expert_used);
    free_floats(run->alloc, route->inner, pairs, 2 * (size_t)config->ffn_width);
    free_floats(run->alloc, route->outputs, pairs, run->llm->facts.width);
    tp_free_array(run->alloc, route->experts, pairs, sizeof(uint32_t));
    tp_free_array(run->alloc, route->slots, pairs, sizeof(uint32_t));
    tp_free_array(run->alloc, route->tokens, pairs, sizeof(uint32_t));
    tp_free_array(run->alloc, route->begins, config->expert_count + 1, sizeof(uint32_t));
    tp_free_array(run->alloc, route->busy, config->expert_count, sizeof(uint32_t));
}

static tapeout_status new_buffers(const tp_env *env, tp_llm_run *run, tapeout_error *err)
{
    const tp_llm_facts *facts = &run->llm->facts;
    const size_t tokens = run->max_tokens;
    run->stream = new_floats(run->alloc, tokens, facts->width);
    run->added = new_floats(run->alloc, tokens, facts->width);
    run->inner = new_floats(run->alloc, tokens, run->inner_stride);
    run->heads = new_floats(run->alloc, tokens, (size_t)facts->head_count * facts->value_size);
    run->angles = new_floats(run->alloc, tokens * 2, run->angle_stride);
    run->tiles = tp_alloc_array(run->alloc, tokens, sizeof(*run->tiles));
    run->wanted = tp_alloc_array(run->alloc, tokens, sizeof(*run->wanted));
    if (run->stream == NULL || run->added == NULL || run->inner == NULL || run->heads == NULL ||
        run->angles == NULL || run->tiles == NULL || run->wanted == NULL || !new_scratch(run)) {
        return tp_fail_nomem(err);
    }
    TP_TRY(tp_activations_init(&run->x, env, input_forms(run->llm), run->max_tokens, run->max_cols,
                               err));
    return run->llm->config.family->has_experts ? new_route(env, run, err) : TAPEOUT_OK;
}

static tapeout_status new_own_kv(const tp_env *env, tp_llm_run *run, tapeout_error *err)
{
    const uint32_t pages = pages_for(run->max_tokens);
    run->pages = tp_alloc_array(run->alloc, pages, sizeof(*run->pages));
    run->own_tokens = tp_alloc_array(run->alloc, run->max_tokens, sizeof(*run->own_tokens));
    if (run->pages == NULL || run->own_tokens == NULL) {
        return tp_fail_nomem(err);
    }
    for (uint32_t i = 0; i < pages; i++) {
        run->pages[i] = i;
    }
    TP_TRY(tp_kv_new(env, run->llm, TP_KV_F16, pages, &run->own_kv, err));
    run->kv = run->own_kv;
    return TAPEOUT_OK;
}

static tapeout_status fill(const tp_env *env, tp_llm_run *run, uint32_t thread_count,
                           tapeout_error *err)
{
    TP_TRY(tp_team_new(run->alloc, thread_count, &run->team, err));
    run->worker_count = tp_team_worker_count(run->team);
    if (run->kv == NULL) {
        TP_TRY(new_own_kv(env, run, err));
    }
    set_sizes(run);
    return new_buffers(env, run, err);
}

tapeout_status tp_llm_run_new(const tp_env *env, const tp_llm *llm, tp_kv *kv,
                              uint32_t thread_count, uint32_t max_tokens, tp_llm_run **ret_run,
                              tapeout_error *err)
{
    if (max_tokens == 0 || max_tokens > TP_MAX_LLM_STEP_TOKENS) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "llm: steps of %u tokens; expected 1 to %u",
                       max_tokens, TP_MAX_LLM_STEP_TOKENS);
    }
    tp_llm_run *run = tp_alloc_zero(env->alloc, sizeof(*run));
    if (run == NULL) {
        return tp_fail_nomem(err);
    }
    run->alloc = env->alloc;
    run->llm = llm;
    run->kv = kv;
    run->max_tokens = max_tokens;
    tp_kernels_llm_init(&run->matrix_kernels, tp_cpu_flags());
    tp_kernels_float_init(&run->kernels, tp_cpu_flags());
    const tapeout_status status = fill(env, run, thread_count, err);
    if (status != TAPEOUT_OK) {
        tp_llm_run_free(run);
        return status;
    }
    *ret_run = run;
    return TAPEOUT_OK;
}

void tp_llm_run_free(tp_llm_run *run)
{
    if (run == NULL) {
        return;
    }
    const tp_llm_facts *facts = &run->llm->facts;
    const size_t tokens = run->max_tokens;
    tp_team_free(run->team);
    tp_activations_deinit(&run->x);
    free_route(run);
    free_scratch(run);
    free_floats(run->alloc, run->stream, tokens, facts->width);
    free_floats(run->alloc, run->added, tokens, facts->width);
    free_floats(run->alloc, run->inner, tokens, run->inner_stride);
    free_floats(run->alloc, run->heads, tokens, (size_t)facts->head_count * facts->value_size);
    free_floats(run->alloc, run->angles, tokens * 2, run->angle_stride);
    tp_free_array(run->alloc, run->tiles, tokens, sizeof(*run->tiles));
    tp_free_array(run->alloc, run->wanted, tokens, sizeof(*run->wanted));
    tp_free_array(run->alloc, run->pages, pages_for(run->max_tokens), sizeof(*run->pages));
    tp_free_array(run->alloc, run->own_tokens, tokens, sizeof(*run->own_tokens));
    tp_kv_free(run->own_kv);
    tp_free(run->alloc, run, sizeof(*run));
}

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
