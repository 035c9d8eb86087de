// SPDX-License-Identifier: Apache-2.0
//
// What the files of the tokenizer share: the vocabulary in memory and the work of one encode.
//
// A token's bytes are kept as they appear in text: "Ġthe" of a byte-level vocabulary and "▁the" of
// a SentencePiece one are both " the". So merging runs on the text itself, without an escaped copy.
// V is the number of tokens, M the number of merges.
#ifndef TOKENIZER_PRIV_H
#define TOKENIZER_PRIV_H

#include "llm/tokenizer/pretokenize.h"
#include "llm/tokenizer/tp_tokenizer.h"

#include <string.h>

#define TP_NO_TOKEN UINT32_MAX

typedef enum tp_tokenizer_kind {
    TP_TOKENIZER_BPE,      // model "gpt2"
    TP_TOKENIZER_SPM,      // model "llama"
    TP_TOKENIZER_WORDPIECE // model "bert"
} tp_tokenizer_kind;

typedef enum tp_token_kind {
    TP_KIND_NORMAL,
    TP_KIND_BYTE,    // normal in a byte-level vocabulary; elsewhere only reached as a fallback
    TP_KIND_UNUSED,  // adds nothing to a text, but takes part in merging
    TP_KIND_USER,    // matched in any text before the rest is cut into words
    TP_KIND_MARKER,  // the same, but only in trusted text
    TP_KIND_UNKNOWN, // matched like a control token
    TP_KIND_CONTROL
} tp_token_kind;

// Pairs that merge. Open addressing; a slot without `id` (TP_NO_TOKEN) is free.
typedef struct tp_merge_slot {
    uint32_t left, right, rank, id;
} tp_merge_slot;

static inline uint32_t tp_pair_hash(uint32_t left, uint32_t right)
{
    const uint64_t mixed = ((uint64_t)left << 32 | right) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(mixed >> 32);
}

// Bytes to token, for tokens that ordinary text can become. Open addressing.
typedef struct tp_piece_slot {
    uint32_t hash;
    uint32_t id; // TP_NO_TOKEN: free
} tp_piece_slot;

struct tp_tokenizer {
    const tapeout_allocator *alloc;
    tp_tokenizer_kind kind;
    uint32_t count;      // V
    uint8_t *kinds;      // [V] tp_token_kind
    char *bytes;         // of all tokens, one behind the other
    uint32_t *offsets;   // [V + 1]
    uint32_t bytes_size; // allocated
    uint32_t longest;    // bytes of the longest token in `pieces`
    tp_piece_slot *pieces;
    uint32_t piece_slots;     // a power of two
    uint32_t byte_ids[256];   // the token of a single byte, or TP_NO_TOKEN
    tp_merge_slot *merges;    // BPE
    uint32_t merge_slots;     // a power of two
    uint32_t *ranks;          // SPM: [V] scores as ranks, the best one lowest
    bool crosses_space[256];  // SPM: some token has this byte in front of an inner space
    const tp_pre_recipe *pre; // BPE
    uint32_t *specials;       // ids of control, unknown, user-defined tokens by their bytes
    uint32_t special_count;
    uint32_t special_first[257]; // where those with a first byte begin in `specials`
    uint32_t *eog;               // ascending
    uint32_t eog_count;
    int64_t roles[TP_TOKEN_ROLE_COUNT];
    bool adds_bos, adds_eos;
    bool has_space_prefix;
    bool strips_after_special; // Phi-3: space behind a control token is not tokenised
    bool lowercases, strips_accents;
};

// The bytes of a token whatever its kind; `id` < V.
static inline tp_str tp_token_bytes(const tp_tokenizer *t, uint32_t id)
{
    return (tp_str){t->bytes + t->offsets[id], t->offsets[id + 1] - t->offsets[id]};
}

// -- tokenizer_vocab.c
// ----------------------------------------------------------------------------- First the kinds,
// which names may still change, then the bytes.
tapeout_status tp_vocab_read_kinds(tp_tokenizer *t, const tp_tokenizer_spec *spec,
                                   tapeout_error *err);
tapeout_status tp_vocab_read_tokens(tp_tokenizer *t, const tp_tokenizer_spec *spec,
                                    tapeout_error *err);
// The token that has these bytes among those that text can become, or TP_NO_TOKEN.
uint32_t tp_vocab_find(const tp_tokenizer *t, const uint8_t *bytes, size_t size);
// The same by how the vocabulary writes it, "Ġthe".
uint32_t tp_vocab_find_spelled(const tp_tokenizer *t, tp_str text);
// The bytes that a text of a byte-level vocabulary stands for, written to `ret_bytes`, which has
// room for text.size; false where a character is none of the 256.
bool tp_byte_level_decode(tp_str text, char *ret_bytes, size_t *ret_size);

// -- tokenizer_special.c
// ---------------------------------------------------------------------------
const char *tp_token_role_key(tp_token_role role); // "bos" of tokenizer.ggml.bos_token_id
// Roles, ends of generation, and which kinds names change; between the kinds and the bytes.
tapeout_status tp_specials_read(tp_tokenizer *t, const tp_tokenizer_spec *spec, tapeout_error *err);
// The sorted list of what is matched as a whole; behind the bytes.
tapeout_status tp_specials_index(tp_tokenizer *t, tapeout_error *err);
// The longest special token at text[at]; those that need trust only up to `trusted_end`, control
// and unknown ones only where `with_control`. TP_NO_TOKEN: none.
uint32_t tp_specials_match(const tp_tokenizer *t, tp_str text, size_t at, size_t trusted_end,
                           bool with_control);
// The special token that is written like this, or TP_NO_TOKEN.
uint32_t tp_specials_find(const tp_tokenizer *t, tp_str text);

// -- bpe_load.c
// ------------------------------------------------------------------------------------
tapeout_status tp_merges_read(tp_tokenizer *t, const tp_tokenizer_spec *spec, tapeout_error *err);
tapeout_status tp_scores_read(tp_tokenizer *t, const tp_tokenizer_spec *spec, tapeout_error *err);

// -- merge.c
// --------------------------------------------------------------------------------------- A stretch
// of text that becomes one token.
typedef struct tp_symbol {
    uint32_t begin, size;
    uint32_t id;         // TP_NO_TOKEN: no token has these bytes
    uint32_t prev, next; // indexes; UINT32_MAX: none
} tp_symbol;

typedef struct tp_merge_entry {
    uint64_t order; // rank, then position: the lowest first
    uint32_t right; // the pair is (order's low half, right)
    uint32_t size;  // of both together when they were found
    uint32_t id;
} tp_merge_entry;

// The memory of one encode, grown as its words ask for.
typedef struct tp_merge_work {
    const tp_tokenizer *tokenizer;
    tp_ids *ids;
    tapeout_error *err;
    tp_symbol *symbols;
    size_t symbol_capacity;
    tp_merge_entry *heap;
    size_t heap_capacity;
    size_t heap_count;
} tp_merge_work;

// Appends the ids of one word, within which everything may merge with everything.
tapeout_status tp_merge_word(tp_merge_work *work, const uint8_t *word, size_t size);
void tp_merge_work_deinit(tp_merge_work *work);

// -- wordpiece.c
// -----------------------------------------------------------------------------------
tapeout_status tp_wordpiece_encode(const tp_tokenizer *t, tp_str text, tp_ids *ids,
                                   tapeout_error *err);

#endif
