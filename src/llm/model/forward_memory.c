// SPDX-License-Identifier: Apache-2.0
//
// The memory of forward passes: all of it is asked for here, once; a step asks for none. What a
// workspace takes is told before there is one, from the same list of buffers.
#include "llm/model/forward_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_cpu.h"
#include "base/tp_error.h"
#include "base/tp_thread.h"

#include <string.h>

enum { POSITIONS = TP_KV_PAGE_POSITIONS };

// A buffer of floats: where it is kept, and its shape.
typedef struct float_buffer {
    float **place;
    size_t rows;
    size_t row_size;
} float_buffer;

enum { RUN_BUFFERS = 9, DENSE_BUFFERS = 5, SCRATCH_BUFFERS = 6 };

static uint32_t at_least(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static uint32_t pages_for(uint32_t positions)
{
    return (positions + POSITIONS - 1) / POSITIONS;
}

// Aligned for vectors; not cleared, so that memory nobody uses is never touched.
static bool new_floats(const tapeout_allocator *alloc, const float_buffer *buffers, uint32_t count)
{
    bool done = true;
    for (uint32_t i = 0; done && i < count; i++) {
        size_t items = 0;
        size_t size = 0;
        done = !__builtin_mul_overflow(buffers[i].rows, buffers[i].row_size, &items) &&
               !__builtin_mul_overflow(items, sizeof(float), &size) &&
               (*buffers[i].place = tp_alloc_aligned(alloc, size)) != NULL;
    }
    return done;
}

static void free_floats(const tapeout_allocator *alloc, const float_buffer *buffers, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        tp_free_aligned(alloc, *buffers[i].place,
                        buffers[i].rows * buffers[i].row_size * sizeof(float));
    }
}

static uint64_t count_floats(const float_buffer *buffers, uint32_t count)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        bytes += (uint64_t)buffers[i].rows * buffers[i].row_size * sizeof(float);
    }
    return bytes;
}

// With a cache of `kv_pages` pages.
static void set_sizes(tp_llm_run *run, uint32_t kv_pages)
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
    const uint64_t held = (uint64_t)kv_pages * POSITIONS;
    run->max_positions = held < facts->context_length ? (uint32_t)held : facts->context_length;
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

static void list_scratch(const tp_llm_run *run, forward_scratch *scratch,
                         float_buffer ret_buffers[SCRATCH_BUFFERS])
{
    const tp_llm_facts *facts = &run->llm->facts;
    const float_buffer buffers[SCRATCH_BUFFERS] = {
        {&scratch->queries, run->tile_rows, facts->key_size},
        {&scratch->keys, POSITIONS, facts->key_size},
        {&scratch->values, POSITIONS, facts->value_size},
        {&scratch->scores, run->tile_rows, run->score_stride},
        {&scratch->sums, run->tile_rows, facts->value_size},
        {&scratch->row, 1, run->max_cols},
    };
    memcpy(ret_buffers, buffers, sizeof(buffers));
}

// How many the model has: the last ones are of experts.
static uint32_t list_buffers(tp_llm_run *run, float_buffer ret_buffers[RUN_BUFFERS])
{
    const tp_llm_facts *facts = &run->llm->facts;
    const llm_config *config = &run->llm->config;
    const size_t tokens = run->max_tokens;
    const size_t pairs = tokens * config->expert_used;
    const float_buffer buffers[RUN_BUFFERS] = {
        {&run->stream, tokens, facts->width},
        {&run->added, tokens, facts->width},
        {&run->inner, tokens, run->inner_stride},
        {&run->heads, tokens, (size_t)facts->head_count * facts->value_size},
        {&run->angles, tokens * 2, run->angle_stride},
        {&run->route.logits, tokens, config->expert_count},
        {&run->route.weights, tokens, config->expert_used},
        {&run->route.inner, pairs, 2 * (size_t)config->ffn_width},
        {&run->route.outputs, pairs, facts->width},
    };
    memcpy(ret_buffers, buffers, sizeof(buffers));
    return config->family->has_experts ? RUN_BUFFERS : DENSE_BUFFERS;
}

static bool new_scratch(tp_llm_run *run)
{
    run->scratch = tp_alloc_array_zero(run->alloc, run->worker_count, sizeof(*run->scratch));
    bool done = run->scratch != NULL;
    for (uint32_t i = 0; done && i < run->worker_count; i++) {
        float_buffer buffers[SCRATCH_BUFFERS];
        list_scratch(run, &run->scratch[i], buffers);
        done = new_floats(run->alloc, buffers, SCRATCH_BUFFERS);
    }
    return done;
}

static void free_scratch(tp_llm_run *run)
{
    for (uint32_t i = 0; run->scratch != NULL && i < run->worker_count; i++) {
        float_buffer buffers[SCRATCH_BUFFERS];
        list_scratch(run, &run->scratch[i], buffers);
        free_floats(run->alloc, buffers, SCRATCH_BUFFERS);
    }
    tp_free_array(run->alloc, run->scratch, run->worker_count, sizeof(*run->scratch));
}

static tapeout_status new_route(const tp_env *env, tp_llm_run *run, tapeout_error *err)
{
    const llm_config *config = &run->llm->config;
    forward_route *route = &run->route;
    const size_t tokens = run->max_tokens;
    const size_t pairs = tokens * config->expert_used;
    route->experts = tp_alloc_array(run->alloc, pairs, sizeof(uint32_t));
    route->slots = tp_alloc_array(run->alloc, pairs, sizeof(uint32_t));
    route->tokens = tp_alloc_array(run->alloc, pairs, sizeof(uint32_t));
    route->begins = tp_alloc_array(run->alloc, config->expert_count + 1, sizeof(uint32_t));
    route->busy = tp_alloc_array(run->alloc, config->expert_count, sizeof(uint32_t));
    if (route->experts == NULL || route->slots == NULL || route->tokens == NULL ||
        route->begins == NULL || route->busy == NULL) {
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
    tp_free_array(run->alloc, route->experts, pairs, sizeof(uint32_t));
    tp_free_array(run->alloc, route->slots, pairs, sizeof(uint32_t));
    tp_free_array(run->alloc, route->tokens, pairs, sizeof(uint32_t));
    tp_free_array(run->alloc, route->begins, config->expert_count + 1, sizeof(uint32_t));
    tp_free_array(run->alloc, route->busy, config->expert_count, sizeof(uint32_t));
}

static tapeout_status new_buffers(const tp_env *env, tp_llm_run *run, tapeout_error *err)
{
    float_buffer buffers[RUN_BUFFERS];
    const uint32_t count = list_buffers(run, buffers);
    const size_t tokens = run->max_tokens;
    run->tiles = tp_alloc_array(run->alloc, tokens, sizeof(*run->tiles));
    run->wanted = tp_alloc_array(run->alloc, tokens, sizeof(*run->wanted));
    if (run->tiles == NULL || run->wanted == NULL || !new_floats(run->alloc, buffers, count) ||
        !new_scratch(run)) {
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
    set_sizes(run, tp_kv_page_count(run->kv));
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
    float_buffer buffers[RUN_BUFFERS];
    const uint32_t count = list_buffers(run, buffers);
    const size_t tokens = run->max_tokens;
    tp_team_free(run->team);
    tp_activations_deinit(&run->x);
    free_route(run);
    free_scratch(run);
    free_floats(run->alloc, buffers, count);
    tp_free_array(run->alloc, run->tiles, tokens, sizeof(*run->tiles));
    tp_free_array(run->alloc, run->wanted, tokens, sizeof(*run->wanted));
    tp_free_array(run->alloc, run->pages, pages_for(run->max_tokens), sizeof(*run->pages));
    tp_free_array(run->alloc, run->own_tokens, tokens, sizeof(*run->own_tokens));
    tp_kv_free(run->own_kv);
    tp_free(run->alloc, run, sizeof(*run));
}

uint64_t tp_llm_run_bytes(const tp_llm *llm, uint32_t kv_pages, uint32_t thread_count,
                          uint32_t max_tokens)
{
    tp_llm_run run = {.llm = llm, .max_tokens = max_tokens};
    float_buffer buffers[RUN_BUFFERS];
    const uint32_t own_pages = kv_pages == 0 ? pages_for(max_tokens) : 0;
    set_sizes(&run, kv_pages + own_pages);
    const uint32_t workers = thread_count == 0 ? tp_processor_count() : thread_count;
    const uint32_t forms = input_forms(llm);
    const uint64_t pairs = (uint64_t)max_tokens * llm->config.expert_used;
    uint64_t bytes = count_floats(buffers, list_buffers(&run, buffers));
    forward_scratch scratch;
    list_scratch(&run, &scratch, buffers);
    bytes += workers * count_floats(buffers, SCRATCH_BUFFERS);
    bytes += tp_activations_bytes(forms, max_tokens, run.max_cols);
    bytes += tp_activations_bytes(forms, pairs, llm->config.ffn_width);
    bytes += 3 * sizeof(uint32_t) * pairs;
    bytes += (sizeof(*run.tiles) + sizeof(*run.wanted)) * (uint64_t)max_tokens;
    return bytes + own_pages * tp_kv_page_bytes(llm, TP_KV_F16);
}
