// SPDX-License-Identifier: Apache-2.0
//
// A model's insides. An architecture is a row of facts (llm_family); reading a file turns them and
// its metadata into a configuration, and the tensors into layers. The forward pass looks at these
// alone and never at an architecture's name.
#ifndef MODEL_PRIV_H
#define MODEL_PRIV_H

#include "llm/model/tp_llm.h"

#include "base/tp_arena.h"
#include "llm/model/tp_matrix.h"

// How a rotary embedding pairs the numbers of a head.
typedef enum llm_rope_form {
    LLM_ROPE_NONE,
    LLM_ROPE_PAIRS, // 2i with 2i + 1
    LLM_ROPE_HALVES // i with i + pairs
} llm_rope_form;

typedef enum llm_activation { LLM_SILU, LLM_GELU_TANH, LLM_GELU_ERF } llm_activation;

typedef struct llm_family {
    const char *name; // general.architecture
    llm_rope_form rope;
    llm_activation activation;
    bool has_layer_norm;    // with mean and bias; else RMS
    bool has_gate;          // the feed-forward part is act(gate) · up; else act(up)
    bool is_fused;          // one matrix for q, k and v, one for gate and up
    bool has_qkv_bias;      // must have; a bias is taken wherever a file has one
    bool has_qk_norm;       // of each head
    bool has_post_norms;    // of what is added to the residual stream
    bool norms_stream;      // norms come after each addition and stay in the residual stream
    bool has_experts;       // in place of one feed-forward part
    bool scales_embedding;  // by sqrt(D)
    bool has_positions;     // learned, and token types
    bool is_encoder;        // every token sees all, no logits
    uint32_t window_period; // every so-many-th layer sees all; 0: a window is every layer's
    double local_base;      // of rotary embeddings in layers with a window; 0: as elsewhere
    bool is_tested;         // on a real checkpoint
} llm_family;

// NULL where there is none of this name.
const llm_family *tp_llm_family_find(tp_str name);

// Angle = position · frequency; cosine and sine are both multiplied by `magnitude`.
typedef struct llm_rope {
    uint32_t pairs;
    const double *frequencies; // [pairs]
    double magnitude;
} llm_rope;

typedef struct llm_config {
    const llm_family *family;
    uint32_t ffn_width; // of one expert where there are experts
    uint32_t expert_count;
    uint32_t expert_used;
    float epsilon;
    float query_scale;
    float embedding_scale; // 1: none
    float attention_cap;   // scores become cap · tanh(score / cap); 0: they stay
    float final_cap;       // the same of logits
    llm_rope ropes[2];     // of layers that see all, and of those with a window
} llm_config;

typedef struct llm_norm {
    const float *weights; // NULL: there is no such norm
    const float *biases;  // NULL: none
} llm_norm;

// One matrix or several with the same inputs, whose outputs stand side by side.
enum { LLM_GROUP_MATRICES = 3 };
typedef struct llm_group {
    tp_matrix matrices[LLM_GROUP_MATRICES];
    uint32_t count;
    uint32_t rows;       // of all
    const float *biases; // [rows], or NULL
} llm_group;

typedef struct llm_stack {
    tp_matrix first; // the others follow in its memory, first.size bytes apart
    uint32_t count;
} llm_stack;

typedef struct llm_layer {
    bool is_local; // has a window
    llm_norm attention_norm;
    llm_group qkv;
    llm_norm q_norm;
    llm_norm k_norm;
    llm_group attention_out;
    llm_norm post_attention_norm;
    llm_norm ffn_norm;
    llm_group ffn_in; // gate and up, or up
    llm_group ffn_out;
    llm_norm post_ffn_norm;
    llm_group router;
    llm_stack experts[3]; // gate, up, down
} llm_layer;

struct tp_llm {
    const tapeout_allocator *alloc;
    tp_gguf *metadata;
    tp_tokenizer *tokenizer;
    uint8_t *owned_weights; // NULL where they are borrowed
    size_t owned_size;
    tp_str weights;
    void (*release)(void *user); // of what owns borrowed weights; NULL: nobody
    void *release_user;
    tp_arena arena; // layers, vectors, rope frequencies
    tp_llm_facts facts;
    llm_config config;
    llm_layer *layers;
    tp_matrix embedding;
    tp_matrix positions; // with has_positions
    const float *type;   // [D] with has_positions: the row of type 0
    llm_norm final_norm; // of the last layer's output; weights NULL: none
    llm_group output;    // to logits
};

// Reads what the metadata says. `ret_llm` has alloc, arena and metadata.
tapeout_status tp_llm_config_read(tp_llm *llm, tapeout_error *err);
// Finds every tensor, checks its shape, refuses those that nobody asks for.
tapeout_status tp_llm_weights_read(tp_llm *llm, tapeout_error *err);
tapeout_status tp_llm_rope_read(tp_llm *llm, const float *factors, tapeout_error *err);

// Cosines [pairs], then sines [pairs], of a position.
void tp_llm_rope_angles(const llm_rope *rope, uint32_t position, float *ret_angles);
void tp_llm_rope_turn(llm_rope_form form, uint32_t pairs, const float *angles, float *head);

#endif
