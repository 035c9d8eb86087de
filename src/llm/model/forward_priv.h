// SPDX-License-Identifier: Apache-2.0
//
// The workspace of a forward pass, and its parts: phases over tokens, over rows of matrices, and
// over pieces of attention. Every buffer is written by one phase and read by later ones; a worker's
// scratch is its own.
#ifndef FORWARD_PRIV_H
#define FORWARD_PRIV_H

#include "llm/model/tp_forward.h"

#include "base/tp_team.h"
#include "kernels/tp_kernels_float.h"
#include "llm/model/kv_priv.h"
#include "llm/model/model_priv.h"

enum {
    FORWARD_TILE_ROWS = 32,    // queries that read a page of keys together
    FORWARD_TOKENS_A_CHUNK = 8 // in phases that treat tokens one by one
};

// The phases of a layer, in order. A model without experts passes over theirs, one with them over
// the dense part's.
typedef enum forward_phase {
    FORWARD_JOIN_ATTENTION, // adds what the layer before gave; norms
    FORWARD_QKV,
    FORWARD_PLACE, // norms and turns queries and keys; writes keys and values
    FORWARD_ATTEND,
    FORWARD_GATHER, // heads' outputs into the next matrix's inputs
    FORWARD_ATTENTION_OUT,
    FORWARD_JOIN_FFN,
    FORWARD_FFN_IN,
    FORWARD_ACTIVATE,
    FORWARD_FFN_OUT,
    FORWARD_ROUTER,
    FORWARD_ROUTE,
    FORWARD_EXPERTS_IN,
    FORWARD_EXPERTS_ACTIVATE,
    FORWARD_EXPERTS_OUT,
    FORWARD_COMBINE,
    FORWARD_PHASES_A_LAYER,
    // After the last layer; numbered on from layer_count · FORWARD_PHASES_A_LAYER.
    FORWARD_FINAL = 0,
    FORWARD_LOGITS = 1,
    FORWARD_PHASES_AT_END = 2
} forward_phase;

// Tokens of one sequence that meet its keys together.
typedef struct forward_tile {
    uint32_t first_token;
    uint32_t token_count;
    uint32_t sequence_end; // positions that the last token of the sequence makes
} forward_tile;

// How a product is cut into chunks: rows of one matrix, and tokens.
typedef struct forward_cut {
    uint32_t chunk_rows;
    uint32_t chunk_tokens;
    uint32_t token_chunks;
    uint32_t chunk_count;
} forward_cut;

typedef struct forward_scratch {
    float *queries; // [rows, key_size]
    float *keys;    // [4][key_size][8]
    float *values;  // [32][value_size]
    float *scores;  // [rows, score_stride]
    float *sums;    // [rows, value_size]
    float *row;     // [max_cols]
} forward_scratch;

// Which expert computes which token, and where.
typedef struct forward_route {
    float *logits;     // [tokens, experts]
    uint32_t *experts; // [tokens, used]
    float *weights;    // [tokens, used]
    uint32_t *slots;   // [tokens, used] where an expert's output for a token is
    uint32_t *tokens;  // [slots] whose input a slot takes
    uint32_t *begins;  // [experts + 1] slots of an expert
    float *inner;      // [slots, 2 F]
    float *outputs;    // [slots, D]
    uint32_t *busy;    // [experts] experts that have slots, in order
    uint32_t busy_count;
    tp_activations x; // [slots]
} forward_route;

struct tp_llm_run {
    const tapeout_allocator *alloc;
    const tp_llm *llm;
    tp_kv *kv;
    tp_kv *own_kv; // NULL where the caller brought one
    tp_team *team;
    tp_kernels_llm matrix_kernels;
    tp_kernels_float kernels;
    uint32_t max_tokens;
    uint32_t max_positions; // of one sequence
    uint32_t max_cols;
    uint32_t tile_rows;
    size_t inner_stride;
    size_t score_stride;

    float *stream; // [tokens, D] the residual stream
    float *inner;  // [tokens, inner_stride] outputs of qkv, of gate and up
    float *added;  // [tokens, D] outputs that are added to the stream
    float *heads;  // [tokens, H · value_size]
    float *angles; // [tokens, 2, 2 · pairs]
    size_t angle_stride;
    tp_activations x;
    forward_route route;
    forward_scratch *scratch; // [workers]
    uint32_t worker_count;
    uint32_t *pages;          // [own pages] 0, 1, …
    tp_llm_token *own_tokens; // [tokens] of an embedding

    // The step under way.
    const tp_llm_step *step;
    forward_tile *tiles; // [tokens]
    uint32_t tile_count;
    uint32_t heads_a_task; // query heads that one piece of attention computes
    uint32_t *wanted;      // [tokens] that want logits
    uint32_t wanted_count;
    forward_cut cut; // of the phase under way, where it multiplies
    float *logits;
};

// -- forward_attention.c -------------------------------------------------------------------------
void tp_forward_place(tp_llm_run *run, uint32_t layer, uint32_t token);
uint32_t tp_forward_attend_count(const tp_llm_run *run);
void tp_forward_attend(tp_llm_run *run, uint32_t layer, uint32_t chunk, uint32_t worker);

// -- forward_experts.c ---------------------------------------------------------------------------
uint32_t tp_forward_experts_count(tp_llm_run *run, uint32_t layer, uint32_t phase);
void tp_forward_experts_run(tp_llm_run *run, uint32_t layer, uint32_t phase, uint32_t chunk);

// -- forward.c -----------------------------------------------------------------------------------
// Chunks of `rows` rows of `matrix` bytes each times `tokens` tokens.
forward_cut tp_forward_cut(const tp_matrix *matrix, uint32_t tokens);
uint32_t tp_forward_row_chunks(const forward_cut *cut, uint32_t rows);

// -- forward_run.c -------------------------------------------------------------------------------
tp_team_program tp_forward_program(tp_llm_run *run); // in forward.c

#endif
