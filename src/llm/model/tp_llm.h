// SPDX-License-Identifier: Apache-2.0
//
// A language model in memory: what its metadata says, its tokenizer, and its weights as packed
// matrices. How the weights lie is told here as well, since a bundle holds them in the very form
// that is computed with: the tensors of the metadata in their order, each at the next multiple of
// TP_LLM_WEIGHT_ALIGN bytes, matrices in interleaved rows (tp_matrix.h), the slices of a stack of
// experts one after another, vectors as float32.
//
// Whatever is missing in a file, contradicts its other parts or is out of range is refused by the
// name of the key or tensor, before anything is computed.
//
// Dimensions: T tokens, D width, H heads, G heads of keys and values, V vocabulary.
#ifndef TP_LLM_H
#define TP_LLM_H

#include "llm/gguf/tp_gguf.h"

typedef struct tp_tokenizer tp_tokenizer;

// @thread immutable
typedef struct tp_llm tp_llm;

// How one vector is made of a text's.
typedef enum tp_llm_pooling {
    TP_LLM_POOL_MEAN,  // of all tokens
    TP_LLM_POOL_FIRST, // the first token's, [CLS]
    TP_LLM_POOL_LAST   // the last token's
} tp_llm_pooling;

typedef struct tp_llm_facts {
    const char *architecture; // "llama", as the file says
    tp_str name;              // general.name; empty where the file has none
    uint32_t vocab_count;
    uint32_t context_length; // positions that the model was made for
    uint32_t layer_count;
    uint32_t width;
    uint32_t head_count;
    uint32_t kv_head_count;
    uint32_t key_size; // of a head
    uint32_t value_size;
    uint32_t window; // positions that layers with a sliding window see; 0: there are none
    bool is_encoder; // makes embeddings and no text
    tp_llm_pooling pooling;
    bool is_tested; // on a real checkpoint of the architecture, not on random small ones alone
    uint64_t weight_bytes;
} tp_llm_facts;

enum { TP_LLM_WEIGHT_ALIGN = 64 };

// Packs the weights in memory, in parallel on env's pool, and makes the tokenizer. Takes `gguf`,
// also on failure. E_CORRUPT and E_UNSUPPORTED as told above, E_LIMIT, E_NOMEM, E_CANCELLED.
tapeout_status tp_llm_from_gguf(const tp_env *env, tp_gguf *gguf, tp_llm **ret_llm,
                                tapeout_error *err);

// The same over weights that are packed already: `metadata` (taken, also on failure) has tensors
// without data, `weights` (borrowed until tp_llm_free) is a bundle's section. Copies no weight.
tapeout_status tp_llm_from_parts(const tp_env *env, tp_gguf *metadata, tp_str weights,
                                 tp_llm **ret_llm, tapeout_error *err);

// A model without weights, for questions about size alone: facts, shapes and tokenizer are there
// and checked, and nothing can be computed. Of a GGUF file (none of whose tensors is read) or of a
// bundle's metadata. Takes `gguf`, also on failure.
tapeout_status tp_llm_outline(const tp_env *env, tp_gguf *gguf, tp_llm **ret_llm,
                              tapeout_error *err);
void tp_llm_free(tp_llm *llm); // accepts NULL

// Calls `release` with `user` at the end of tp_llm_free: for what owns borrowed weights. Once.
void tp_llm_on_free(tp_llm *llm, void (*release)(void *user), void *user);

const tp_llm_facts *tp_llm_facts_of(const tp_llm *llm);
const tp_tokenizer *tp_llm_tokenizer(const tp_llm *llm);
const tp_gguf *tp_llm_metadata(const tp_llm *llm);

// -- packing -------------------------------------------------------------------------------------
// The bytes of one tensor packed, without padding; E_UNSUPPORTED for a shape or a type that has no
// packed form.
tapeout_status tp_llm_packed_bytes(const tp_gguf_tensor *tensor, uint64_t *ret_bytes,
                                   tapeout_error *err);
// Where the next tensor begins after one of `size` bytes at `offset`.
uint64_t tp_llm_weight_end(uint64_t offset, uint64_t size);
// Packs one tensor, whose data must be there, into `ret_data` of that many bytes; in parallel.
tapeout_status tp_llm_pack(const tp_env *env, const tp_gguf_tensor *tensor, uint8_t *ret_data,
                           tapeout_error *err);

#endif
