// SPDX-License-Identifier: Apache-2.0
//
// Attention. First every token's queries and keys get their norms and are turned by position, and
// its keys and values go into the cache; then queries meet the cache, this step's tokens included,
// so a text that comes in pieces is computed as one that comes whole.
//
// A piece of attention is a tile of tokens of one sequence and the query heads of one head of keys:
// scores of all positions that some token of the tile sees, in pages; each query's softmax over
// what it sees itself, the others' weights being zero; then the sum of values by position. Adding
// zero changes no bit, so a query's result does not depend on the tile.
#include "llm/model/forward_priv.h"

#include "base/limits.h"
#include "kernels/tp_math.h"

#include <math.h>
#include <string.h>

enum { POSITIONS = TP_KV_PAGE_POSITIONS, LANES = TP_PAGE_LANES };

// -- before --------------------------------------------------------------------------------------

static void norm_heads(const tp_llm_run *run, const llm_norm *norm, float *heads, uint32_t count)
{
    const uint32_t size = run->llm->facts.key_size;
    for (uint32_t i = 0; norm->weights != NULL && i < count; i++) {
        float *head = heads + (size_t)i * size;
        run->kernels.rms_norm(head, norm->weights, run->llm->config.epsilon, size, head);
    }
}

static void turn_heads(const tp_llm_run *run, const llm_layer *layer, uint32_t token, float *heads,
                       uint32_t count)
{
    const uint32_t which = layer->is_local ? 1 : 0;
    const float *angles = run->angles + (token * 2 + which) * run->angle_stride;
    for (uint32_t i = 0; i < count; i++) {
        tp_llm_rope_turn(run->llm->config.family->rope, run->llm->config.ropes[which].pairs, angles,
                         heads + (size_t)i * run->llm->facts.key_size);
    }
}

void tp_forward_place(tp_llm_run *run, uint32_t layer, uint32_t token)
{
    const tp_llm_facts *facts = &run->llm->facts;
    const llm_layer *at = &run->llm->layers[layer];
    const tp_llm_token *token_at = &run->step->tokens[token];
    float *queries = run->inner + token * run->inner_stride;
    float *keys = queries + (size_t)facts->head_count * facts->key_size;
    float *values = keys + (size_t)facts->kv_head_count * facts->key_size;
    if (at->qkv.biases != NULL) {
        for (uint32_t i = 0; i < at->qkv.rows; i++) {
            queries[i] += at->qkv.biases[i];
        }
    }
    norm_heads(run, &at->q_norm, queries, facts->head_count);
    norm_heads(run, &at->k_norm, keys, facts->kv_head_count);
    turn_heads(run, at, token, queries, facts->head_count);
    turn_heads(run, at, token, keys, facts->kv_head_count);
    for (uint32_t i = 0; i < facts->head_count * facts->key_size; i++) {
        queries[i] *= run->llm->config.query_scale;
    }
    const uint32_t *pages = run->step->sequences[token_at->sequence].pages;
    kv_place place = {.page = pages[token_at->position / POSITIONS], .layer = layer};
    for (; place.head < facts->kv_head_count; place.head++) {
        const float *key_value[2] = {keys + (size_t)place.head * facts->key_size,
                                     values + (size_t)place.head * facts->value_size};
        tp_kv_write(run->kv, &run->kernels, &place, token_at->position % POSITIONS, key_value);
    }
}

// -- attention -----------------------------------------------------------------------------------

// What one chunk computes: rows are token by token, the heads of a token together.
typedef struct attend_task {
    const forward_tile *tile;
    const uint32_t *pages;
    uint32_t layer;
    uint32_t first_head;
    uint32_t head_count;
    uint32_t rows;
    uint32_t first_page; // in the sequence's list
    uint32_t end;        // positions that are read: up to here
} attend_task;

uint32_t tp_forward_attend_count(const tp_llm_run *run)
{
    return run->tile_count * (run->llm->facts.head_count / run->heads_a_task);
}

static uint32_t position_of(const tp_llm_run *run, const attend_task *task, uint32_t row)
{
    return run->step->tokens[task->tile->first_token + row / task->head_count].position;
}

// The positions that a row sees.
static void span_of(const tp_llm_run *run, const attend_task *task, uint32_t row,
                    uint32_t *ret_begin, uint32_t *ret_end)
{
    const uint32_t position = position_of(run, task, row);
    const uint32_t window = run->llm->facts.window;
    const bool is_local = window != 0 && run->llm->layers[task->layer].is_local;
    *ret_begin = is_local && position + 1 > window ? position + 1 - window : 0;
    *ret_end = run->llm->facts.is_encoder ? task->tile->sequence_end : position + 1;
}

static attend_task task_of(const tp_llm_run *run, uint32_t layer, uint32_t chunk)
{
    const uint32_t parts = run->llm->facts.head_count / run->heads_a_task;
    // The last tiles see the most and are begun first.
    const forward_tile *tile = &run->tiles[run->tile_count - 1 - chunk / parts];
    attend_task task = {.tile = tile,
                        .layer = layer,
                        .first_head = chunk % parts * run->heads_a_task,
                        .head_count = run->heads_a_task,
                        .rows = tile->token_count * run->heads_a_task};
    task.pages = run->step->sequences[run->step->tokens[tile->first_token].sequence].pages;
    uint32_t begin = 0;
    uint32_t end = 0;
    span_of(run, &task, 0, &begin, &end);
    task.first_page = begin / POSITIONS;
    span_of(run, &task, task.rows - 1, &begin, &end);
    task.end = end;
    return task;
}

static void copy_queries(const tp_llm_run *run, const attend_task *task, float *ret_queries)
{
    const uint32_t size = run->llm->facts.key_size;
    const size_t count = (size_t)task->head_count * size;
    for (uint32_t i = 0; i < task->tile->token_count; i++) {
        memcpy(ret_queries + i * count,
               run->inner + (task->tile->first_token + i) * run->inner_stride +
                   (size_t)task->first_head * size,
               count * sizeof(float));
    }
}

static uint32_t positions_in(const attend_task *task, uint32_t page)
{
    const uint32_t left = task->end - page * POSITIONS;
    return left < POSITIONS ? left : POSITIONS;
}

static kv_place place_of(const tp_llm_run *run, const attend_task *task, uint32_t page)
{
    const uint32_t group = run->llm->facts.head_count / run->llm->facts.kv_head_count;
    return (kv_place){task->pages[page], task->layer, task->first_head / group};
}

static void score_pages(const tp_llm_run *run, const attend_task *task, forward_scratch *scratch)
{
    const uint32_t size = run->llm->facts.key_size;
    tp_score_job job = {.queries = scratch->queries,
                        .query_stride = size,
                        .rows = task->rows,
                        .size = size,
                        .keys = scratch->keys,
                        .ret_stride = run->score_stride};
    for (uint32_t page = task->first_page; page * POSITIONS < task->end; page++) {
        const kv_place place = place_of(run, task, page);
        job.lanes = (positions_in(task, page) + LANES - 1) / LANES;
        job.ret = scratch->scores + (size_t)(page - task->first_page) * POSITIONS;
        tp_kv_read_keys(run->kv, &run->kernels, &place, job.lanes, scratch->keys);
        run->kernels.score(&job);
    }
}

// Scores of one row to weights that are still to be divided by their sum, which is returned.
static float weigh_row(const tp_llm_run *run, const attend_task *task, uint32_t row, float *scores)
{
    uint32_t begin = 0;
    uint32_t end = 0;
    span_of(run, task, row, &begin, &end);
    const uint32_t base = task->first_page * POSITIONS;
    const uint32_t aligned = begin - begin % LANES - base;
    begin -= base;
    end -= base;
    const double cap = (double)run->llm->config.attention_cap;
    for (uint32_t i = begin; cap > 0 && i < end; i++) {
        scores[i] = (float)(cap * tp_tanh((double)scores[i] / cap));
    }
    for (uint32_t i = 0; i < aligned; i++) {
        scores[i] = 0;
    }
    for (uint32_t i = aligned; i < begin; i++) {
        scores[i] = -INFINITY;
    }
    const float sum = run->kernels.softmax(scores + aligned, end - aligned);
    for (uint32_t i = end; i < task->end - base; i++) {
        scores[i] = 0;
    }
    return sum;
}

static void sum_values(const tp_llm_run *run, const attend_task *task, forward_scratch *scratch)
{
    const uint32_t size = run->llm->facts.value_size;
    tp_weigh_job job = {.weight_stride = run->score_stride,
                        .rows = task->rows,
                        .size = size,
                        .values = scratch->values,
                        .sums = scratch->sums,
                        .sum_stride = size};
    memset(scratch->sums, 0, (size_t)task->rows * size * sizeof(float));
    for (uint32_t page = task->first_page; page * POSITIONS < task->end; page++) {
        const kv_place place = place_of(run, task, page);
        job.positions = positions_in(task, page);
        job.weights = scratch->scores + (size_t)(page - task->first_page) * POSITIONS;
        tp_kv_read_values(run->kv, &run->kernels, &place, job.positions, scratch->values);
        run->kernels.weigh(&job);
    }
}

void tp_forward_attend(tp_llm_run *run, uint32_t layer, uint32_t chunk, uint32_t worker)
{
    const tp_llm_facts *facts = &run->llm->facts;
    const uint32_t size = facts->value_size;
    forward_scratch *scratch = &run->scratch[worker];
    const attend_task task = task_of(run, layer, chunk);
    float totals[TP_MAX_LLM_HEADS];
    copy_queries(run, &task, scratch->queries);
    score_pages(run, &task, scratch);
    for (uint32_t row = 0; row < task.rows; row++) {
        totals[row] = weigh_row(run, &task, row, scratch->scores + row * run->score_stride);
    }
    sum_values(run, &task, scratch);
    for (uint32_t row = 0; row < task.rows; row++) {
        const uint32_t token = task.tile->first_token + row / task.head_count;
        const uint32_t head = task.first_head + row % task.head_count;
        float *out = run->heads + ((size_t)token * facts->head_count + head) * size;
        for (uint32_t i = 0; i < size; i++) {
            out[i] = scratch->sums[(size_t)row * size + i] / totals[row];
        }
    }
}
