// SPDX-License-Identifier: Apache-2.0
//
// The forward pass as a program of phases. A phase treats tokens one by one (norms, activations),
// or multiplies inputs with matrices, cut into rows and tokens, or computes pieces of attention.
// Each number is computed whole by one chunk, in an order that the cut does not enter, so the bits
// are the same for every cut, every company and every number of threads.
#include "llm/model/forward_priv.h"

#include "kernels/tp_math.h"

#include <assert.h>
#include <string.h>

enum {
    CHUNK_BYTES = 48 << 10, // weights of a chunk, where tokens are few
    CHUNK_TOKENS = 64       // whose inputs stay in the second cache
};

static uint32_t ceil_div(uint32_t a, uint32_t b)
{
    return (a + b - 1) / b;
}

static uint32_t token_chunks(uint32_t tokens)
{
    return ceil_div(tokens, FORWARD_TOKENS_A_CHUNK);
}

// -- products ------------------------------------------------------------------------------------

uint32_t tp_forward_row_chunks(const forward_cut *cut, uint32_t rows)
{
    return ceil_div(rows, cut->chunk_rows);
}

forward_cut tp_forward_cut(const tp_matrix *matrix, uint32_t tokens)
{
    const size_t row_bytes = matrix->size / matrix->rows + 1;
    const size_t rows = CHUNK_BYTES / row_bytes;
    forward_cut cut = {.chunk_tokens = CHUNK_TOKENS};
    cut.chunk_rows =
        rows < TP_MATRIX_GROUP ? TP_MATRIX_GROUP : (uint32_t)(rows - rows % TP_MATRIX_GROUP);
    cut.token_chunks = ceil_div(tokens, cut.chunk_tokens);
    return cut;
}

static uint32_t row_chunks_of(const forward_cut *cut, const llm_group *group)
{
    uint32_t chunks = 0;
    for (uint32_t i = 0; i < group->count; i++) {
        chunks += tp_forward_row_chunks(cut, group->matrices[i].rows);
    }
    return chunks;
}

// Cuts a group for `tokens` tokens; how many chunks.
static uint32_t cut_group(tp_llm_run *run, const llm_group *group, uint32_t tokens)
{
    if (tokens == 0 || group->count == 0) {
        return 0;
    }
    run->cut = tp_forward_cut(&group->matrices[0], tokens);
    forward_cut *cut = &run->cut;
    while ((cut->chunk_count = row_chunks_of(cut, group) * cut->token_chunks) >
           TP_TEAM_MAX_CHUNKS) {
        cut->chunk_rows *= 2;
    }
    return cut->chunk_count;
}

typedef struct product_target {
    float *y;
    size_t y_stride;
    uint32_t tokens;
} product_target;

// The rows and tokens of a chunk, written to where they belong.
typedef struct product_piece {
    uint32_t row_begin; // in the group
    uint32_t row_count;
    uint32_t first_token;
    uint32_t token_count;
} product_piece;

static product_piece multiply_chunk(const tp_llm_run *run, const llm_group *group, uint32_t chunk,
                                    const product_target *target)
{
    const forward_cut *cut = &run->cut;
    const uint32_t row_chunks = cut->chunk_count / cut->token_chunks;
    uint32_t row_chunk = chunk % row_chunks;
    uint32_t begin = 0; // of the matrix's rows in the group
    const tp_matrix *matrix = group->matrices;
    for (;; matrix++) {
        const uint32_t count = tp_forward_row_chunks(cut, matrix->rows);
        if (row_chunk < count) {
            break;
        }
        row_chunk -= count;
        begin += matrix->rows;
    }
    tp_matrix_part part = {.first_token = chunk / row_chunks * cut->chunk_tokens,
                           .row_begin = row_chunk * cut->chunk_rows};
    const uint32_t tokens_left = target->tokens - part.first_token;
    const uint32_t rows_left = matrix->rows - part.row_begin;
    part.token_count = tokens_left < cut->chunk_tokens ? tokens_left : cut->chunk_tokens;
    part.row_end = part.row_begin + (rows_left < cut->chunk_rows ? rows_left : cut->chunk_rows);
    part.y = target->y + part.first_token * target->y_stride + begin;
    part.y_stride = target->y_stride;
    tp_matrix_multiply(&run->matrix_kernels, matrix, &run->x, &part);
    return (product_piece){begin + part.row_begin, part.row_end - part.row_begin, part.first_token,
                           part.token_count};
}

// -- tokens --------------------------------------------------------------------------------------

static void add(float *x, const float *y, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        x[i] += y[i];
    }
}

static void apply_norm(const tp_llm_run *run, const llm_norm *norm, const float *x, float *ret)
{
    const llm_config *config = &run->llm->config;
    const uint32_t width = run->llm->facts.width;
    if (config->family->has_layer_norm) {
        const float *weights_biases[2] = {norm->weights, norm->biases};
        run->kernels.layer_norm(x, weights_biases, config->epsilon, width, ret);
    } else {
        run->kernels.rms_norm(x, norm->weights, config->epsilon, width, ret);
    }
}

static void embed(tp_llm_run *run, uint32_t token)
{
    const tp_llm *llm = run->llm;
    const tp_llm_token *at = &run->step->tokens[token];
    const uint32_t width = llm->facts.width;
    float *x = run->stream + (size_t)token * width;
    tp_matrix_row(&llm->embedding, at->id, x);
    if (llm->config.embedding_scale != 1) {
        for (uint32_t i = 0; i < width; i++) {
            x[i] *= llm->config.embedding_scale;
        }
    }
    if (llm->config.family->has_positions) {
        float *place = run->added + (size_t)token * width; // not in use yet
        tp_matrix_row(&llm->positions, at->position, place);
        add(x, llm->type, width);
        add(x, place, width);
    }
    for (uint32_t i = 0; i < 2; i++) {
        const llm_rope *rope = &llm->config.ropes[i];
        tp_llm_rope_angles(rope, at->position, run->angles + (token * 2 + i) * run->angle_stride);
    }
}

// What a part of a layer gave is added to the stream.
static void join(tp_llm_run *run, uint32_t token, const float *biases, const llm_norm *post_norm)
{
    const uint32_t width = run->llm->facts.width;
    float *added = run->added + (size_t)token * width;
    if (biases != NULL) {
        add(added, biases, width);
    }
    if (post_norm->weights != NULL) {
        apply_norm(run, post_norm, added, added);
    }
    add(run->stream + (size_t)token * width, added, width);
}

// The stream's norm as inputs number `input` of what follows.
static void norm_into(tp_llm_run *run, uint32_t token, const llm_norm *norm, uint32_t input,
                      float *row)
{
    const uint32_t width = run->llm->facts.width;
    float *x = run->stream + (size_t)token * width;
    if (run->llm->config.family->norms_stream) {
        row = x;
    }
    apply_norm(run, norm, x, row);
    tp_activations_set(&run->x, &run->matrix_kernels, input, row, width);
}

static void join_attention(tp_llm_run *run, uint32_t layer, uint32_t token, float *row)
{
    const llm_layer *layers = run->llm->layers;
    if (layer == 0) {
        embed(run, token);
    } else {
        join(run, token, layers[layer - 1].ffn_out.biases, &layers[layer - 1].post_ffn_norm);
    }
    norm_into(run, token, &layers[layer].attention_norm, token, row);
}

static void join_ffn(tp_llm_run *run, uint32_t layer, uint32_t token, float *row)
{
    const llm_layer *at = &run->llm->layers[layer];
    join(run, token, at->attention_out.biases, &at->post_attention_norm);
    norm_into(run, token, &at->ffn_norm, token, row);
}

static void activate(tp_llm_run *run, uint32_t layer, uint32_t token, float *row)
{
    const llm_config *config = &run->llm->config;
    const llm_layer *at = &run->llm->layers[layer];
    float *inner = run->inner + token * run->inner_stride;
    const uint32_t width = config->ffn_width;
    if (at->ffn_in.biases != NULL) {
        add(inner, at->ffn_in.biases, at->ffn_in.rows);
    }
    if (!config->family->has_gate) {
        assert(config->family->activation == LLM_GELU_ERF);
        run->kernels.gelu_erf(inner, width, row);
    } else if (config->family->activation == LLM_SILU) {
        run->kernels.silu_multiply(inner, inner + width, width, row);
    } else {
        run->kernels.gelu_multiply(inner, inner + width, width, row);
    }
    tp_activations_set(&run->x, &run->matrix_kernels, token, row, width);
}

// The last layer's output of a token. For logits its norm goes on as inputs number `input`; for an
// embedding it takes the stream's place.
static void finish(tp_llm_run *run, uint32_t token, uint32_t input, float *row)
{
    const tp_llm *llm = run->llm;
    const llm_layer *last = &llm->layers[llm->facts.layer_count - 1];
    join(run, token, last->ffn_out.biases, &last->post_ffn_norm);
    if (run->logits != NULL) {
        norm_into(run, token, &llm->final_norm, input, row);
        return;
    }
    float *x = run->stream + (size_t)token * llm->facts.width;
    apply_norm(run, &llm->final_norm, x, x);
}

static void run_tokens(tp_llm_run *run, uint32_t layer, uint32_t phase, uint32_t chunk,
                       uint32_t worker)
{
    const uint32_t begin = chunk * FORWARD_TOKENS_A_CHUNK;
    const uint32_t left = run->step->token_count - begin;
    const uint32_t end = begin + (left < FORWARD_TOKENS_A_CHUNK ? left : FORWARD_TOKENS_A_CHUNK);
    const uint32_t heads = run->llm->facts.head_count * run->llm->facts.value_size;
    float *row = run->scratch[worker].row;
    for (uint32_t token = begin; token < end; token++) {
        switch (phase) {
        case FORWARD_JOIN_ATTENTION:
            join_attention(run, layer, token, row);
            break;
        case FORWARD_PLACE:
            tp_forward_place(run, layer, token);
            break;
        case FORWARD_GATHER:
            tp_activations_set(&run->x, &run->matrix_kernels, token,
                               run->heads + (size_t)token * heads, heads);
            break;
        case FORWARD_JOIN_FFN:
            join_ffn(run, layer, token, row);
            break;
        default:
            activate(run, layer, token, row);
            break;
        }
    }
}

// -- the program ---------------------------------------------------------------------------------

static uint32_t count_at_end(tp_llm_run *run, uint32_t phase)
{
    const bool is_embedding = run->logits == NULL;
    if (phase == FORWARD_FINAL) {
        return token_chunks(run->wanted_count);
    }
    return is_embedding ? 0 : cut_group(run, &run->llm->output, run->wanted_count);
}

static uint32_t count_chunks(void *user, uint32_t number)
{
    tp_llm_run *run = user;
    const uint32_t layer = number / FORWARD_PHASES_A_LAYER;
    const uint32_t phase = number % FORWARD_PHASES_A_LAYER;
    const uint32_t tokens = run->step->token_count;
    if (layer == run->llm->facts.layer_count) {
        return count_at_end(run, phase);
    }
    const llm_layer *at = &run->llm->layers[layer];
    const bool has_experts = run->llm->config.family->has_experts;
    switch (phase) {
    case FORWARD_JOIN_ATTENTION:
    case FORWARD_PLACE:
    case FORWARD_GATHER:
    case FORWARD_JOIN_FFN:
        return token_chunks(tokens);
    case FORWARD_ACTIVATE:
        return has_experts ? 0 : token_chunks(tokens);
    case FORWARD_QKV:
        return cut_group(run, &at->qkv, tokens);
    case FORWARD_ATTEND:
        return tp_forward_attend_count(run);
    case FORWARD_ATTENTION_OUT:
        return cut_group(run, &at->attention_out, tokens);
    case FORWARD_FFN_IN:
        return cut_group(run, &at->ffn_in, tokens);
    case FORWARD_FFN_OUT:
        return cut_group(run, &at->ffn_out, tokens);
    case FORWARD_ROUTER:
        return cut_group(run, &at->router, tokens);
    default:
        return has_experts ? tp_forward_experts_count(run, layer, phase) : 0;
    }
}

static void multiply_logits(tp_llm_run *run, uint32_t chunk)
{
    const tp_llm *llm = run->llm;
    const uint32_t vocab_count = llm->facts.vocab_count;
    const product_target target = {run->logits, vocab_count, run->wanted_count};
    const product_piece piece = multiply_chunk(run, &llm->output, chunk, &target);
    const double cap = (double)llm->config.final_cap;
    for (uint32_t i = 0; i < piece.token_count; i++) {
        float *y = run->logits + (size_t)(piece.first_token + i) * vocab_count + piece.row_begin;
        if (llm->output.biases != NULL) {
            add(y, llm->output.biases + piece.row_begin, piece.row_count);
        }
        for (uint32_t r = 0; cap > 0 && r < piece.row_count; r++) {
            y[r] = (float)(cap * tp_tanh((double)y[r] / cap));
        }
    }
}

static void run_at_end(tp_llm_run *run, uint32_t phase, uint32_t chunk, uint32_t worker)
{
    if (phase == FORWARD_LOGITS) {
        multiply_logits(run, chunk);
        return;
    }
    const uint32_t begin = chunk * FORWARD_TOKENS_A_CHUNK;
    for (uint32_t i = begin; i < begin + FORWARD_TOKENS_A_CHUNK && i < run->wanted_count; i++) {
        finish(run, run->wanted[i], i, run->scratch[worker].row);
    }
}

static void run_chunk(void *user, uint32_t number, uint32_t chunk, uint32_t worker)
{
    tp_llm_run *run = user;
    const uint32_t layer = number / FORWARD_PHASES_A_LAYER;
    const uint32_t phase = number % FORWARD_PHASES_A_LAYER;
    if (layer == run->llm->facts.layer_count) {
        run_at_end(run, phase, chunk, worker);
        return;
    }
    const llm_layer *at = &run->llm->layers[layer];
    const uint32_t tokens = run->step->token_count;
    const product_target inner = {run->inner, run->inner_stride, tokens};
    const product_target added = {run->added, run->llm->facts.width, tokens};
    switch (phase) {
    case FORWARD_QKV:
        (void)multiply_chunk(run, &at->qkv, chunk, &inner);
        break;
    case FORWARD_ATTEND:
        tp_forward_attend(run, layer, chunk, worker);
        break;
    case FORWARD_ATTENTION_OUT:
        (void)multiply_chunk(run, &at->attention_out, chunk, &added);
        break;
    case FORWARD_FFN_IN:
        (void)multiply_chunk(run, &at->ffn_in, chunk, &inner);
        break;
    case FORWARD_FFN_OUT:
        (void)multiply_chunk(run, &at->ffn_out, chunk, &added);
        break;
    case FORWARD_ROUTER: {
        const product_target scores = {run->route.logits, run->llm->config.expert_count, tokens};
        (void)multiply_chunk(run, &at->router, chunk, &scores);
        break;
    }
    case FORWARD_ROUTE:
    case FORWARD_EXPERTS_IN:
    case FORWARD_EXPERTS_ACTIVATE:
    case FORWARD_EXPERTS_OUT:
    case FORWARD_COMBINE:
        tp_forward_experts_run(run, layer, phase, chunk);
        break;
    default:
        run_tokens(run, layer, phase, chunk, worker);
        break;
    }
}

tp_team_program tp_forward_program(tp_llm_run *run)
{
    return (tp_team_program){.phase_count = run->llm->facts.layer_count * FORWARD_PHASES_A_LAYER +
                                            FORWARD_PHASES_AT_END,
                             .chunk_count = count_chunks,
                             .run = run_chunk,
                             .user = run};
}
