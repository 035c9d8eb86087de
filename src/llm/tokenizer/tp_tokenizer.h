// SPDX-License-Identifier: Apache-2.0
//
// Text to token ids and back, as the model's own file says: byte-level BPE, SentencePiece-style BPE
// on scores, WordPiece. What a tokenizer is made of is a tp_tokenizer_spec; tp_tokenizer_new reads
// one from a GGUF file's metadata. A vocabulary whose parts contradict each other is refused by the
// name of the key.
//
// A control token (<|im_end|>, <bos>, ...) steers the model. It comes out of text only where the
// caller vouches for that text: by TP_TOKENIZE_SPECIAL, or run by run with
// tp_tokenizer_encode_runs.
#ifndef TP_TOKENIZER_H
#define TP_TOKENIZER_H

#include "base/tp_buffer.h"
#include "base/tp_env.h"

typedef struct tp_gguf tp_gguf;

// @thread immutable
typedef struct tp_tokenizer tp_tokenizer;

// Tokens with a task, by the metadata's keys tokenizer.ggml.<name>_token_id.
typedef enum tp_token_role {
    TP_TOKEN_BOS,
    TP_TOKEN_EOS,
    TP_TOKEN_EOT, // end of turn
    TP_TOKEN_EOM, // end of message: a tool is to answer
    TP_TOKEN_UNKNOWN,
    TP_TOKEN_SEPARATOR,
    TP_TOKEN_PADDING,
    TP_TOKEN_MASK,
    TP_TOKEN_FIM_PREFIX,
    TP_TOKEN_FIM_SUFFIX,
    TP_TOKEN_FIM_MIDDLE,
    TP_TOKEN_FIM_PADDING,
    TP_TOKEN_FIM_REPOSITORY,
    TP_TOKEN_FIM_SEPARATOR,
    TP_TOKEN_ROLE_COUNT
} tp_token_role;

// Numbers of tokenizer.ggml.token_type.
typedef enum tp_token_type {
    TP_TOKEN_TYPE_NORMAL = 1,
    TP_TOKEN_TYPE_UNKNOWN = 2,
    TP_TOKEN_TYPE_CONTROL = 3,
    TP_TOKEN_TYPE_USER = 4, // matched in the text before anything else, longest first
    TP_TOKEN_TYPE_UNUSED = 5,
    TP_TOKEN_TYPE_BYTE = 6
} tp_token_type;

typedef enum tp_maybe { TP_ABSENT = -1, TP_NO = 0, TP_YES = 1 } tp_maybe;

// What the metadata says, read and not yet judged. Borrowed by tp_tokenizer_from_spec during the
// call only.
typedef struct tp_tokenizer_spec {
    tp_str model; // "gpt2", "llama", "bert"
    tp_str pre;   // of gpt2: which pre-tokenizer; empty: the default one
    tp_str name;  // general.name, by which Phi-3 is known; may be empty
    const tp_str *tokens;
    uint32_t token_count;
    const float *scores; // [token_count], or NULL
    uint32_t score_count;
    const int32_t *types; // [token_count], or NULL: all normal
    uint32_t type_count;
    const tp_str *merges; // "left right", by rank
    uint32_t merge_count;
    int64_t ids[TP_TOKEN_ROLE_COUNT]; // -1: absent
    tp_maybe add_bos;
    tp_maybe add_eos;
    tp_maybe add_sep;
    tp_maybe add_space_prefix;
    tp_maybe lowercase;     // of bert
    tp_maybe strip_accents; // of bert; absent: as lowercase
} tp_tokenizer_spec;

// All absent, all NULL.
void tp_tokenizer_spec_init(tp_tokenizer_spec *spec);

// E_CORRUPT where keys are missing, out of range or contradict each other, E_UNSUPPORTED for a
// model or pre-tokenizer that is unknown, E_LIMIT. Copies what it needs. O(bytes of the
// vocabulary).
tapeout_status tp_tokenizer_from_spec(const tp_env *env, const tp_tokenizer_spec *spec,
                                      tp_tokenizer **ret_tokenizer, tapeout_error *err);
tapeout_status tp_tokenizer_new(const tp_env *env, const tp_gguf *metadata,
                                tp_tokenizer **ret_tokenizer, tapeout_error *err);
void tp_tokenizer_free(tp_tokenizer *tokenizer); // accepts NULL

// A growable list of ids.
typedef struct tp_ids {
    uint32_t *data;
    size_t count;
    size_t capacity;
    const tapeout_allocator *alloc;
} tp_ids;

void tp_ids_init(tp_ids *ids, const tapeout_allocator *alloc);
void tp_ids_deinit(tp_ids *ids);
tapeout_status tp_ids_append(tp_ids *ids, uint32_t id, tapeout_error *err);

enum {
    TP_TOKENIZE_SPECIAL = 1, // control tokens written in the text are recognised
    TP_TOKENIZE_ADD = 2      // BOS, EOS or SEP around it as the model wants
};

// A piece of text and whether control tokens may come out of it.
typedef struct tp_text_run {
    tp_str text;
    bool is_trusted;
} tp_text_run;

// Appends the ids of `text` to `ids`, whose allocator also lends the working memory; on failure
// `ids` is as before. The text's bytes are taken as they are, UTF-8 or not. O(n log n) at most,
// O(n) where the pre-tokenizer finds words.
tapeout_status tp_tokenizer_encode(const tp_tokenizer *tokenizer, tp_str text, uint32_t flags,
                                   tp_ids *ids, tapeout_error *err);

// The same for the runs as one text: merges cross from run to run as they do in a text that was
// written in one go. With TP_TOKENIZE_SPECIAL, a control token is recognised only where all of it
// lies in trusted runs. A user-defined token that is a marker by its form (<tool_call>, [INST],
// <|...|>) needs trust as well; others (runs of newlines, HTML tags) do not.
tapeout_status tp_tokenizer_encode_runs(const tp_tokenizer *tokenizer, const tp_text_run *runs,
                                        size_t run_count, uint32_t flags, tp_ids *ids,
                                        tapeout_error *err);

uint32_t tp_tokenizer_vocab_count(const tp_tokenizer *tokenizer);

// The bytes that a token adds to the text; empty for control, unknown and unused ones, and for an
// id beyond the vocabulary. Valid as long as the tokenizer.
tp_str tp_tokenizer_piece(const tp_tokenizer *tokenizer, uint32_t id);
// A control token as it is written, "<|im_end|>"; for others the piece.
tp_str tp_tokenizer_special_text(const tp_tokenizer *tokenizer, uint32_t id);
bool tp_tokenizer_is_control(const tp_tokenizer *tokenizer, uint32_t id); // or unknown
// Generation ends at it, by llama.cpp's rules: end of sequence, turn and message, and known names.
bool tp_tokenizer_is_eog(const tp_tokenizer *tokenizer, uint32_t id);
const uint32_t *tp_tokenizer_eog_ids(const tp_tokenizer *tokenizer, uint32_t *ret_count);

int64_t tp_tokenizer_role(const tp_tokenizer *tokenizer, tp_token_role role); // -1: none
int64_t tp_tokenizer_bos(const tp_tokenizer *tokenizer);
int64_t tp_tokenizer_eos(const tp_tokenizer *tokenizer);
bool tp_tokenizer_adds_bos(const tp_tokenizer *tokenizer); // with TP_TOKENIZE_ADD
bool tp_tokenizer_adds_eos(const tp_tokenizer *tokenizer);
// The token that is written like this in the vocabulary ("<|im_end|>", "Ġthe"), or -1.
int64_t tp_tokenizer_find(const tp_tokenizer *tokenizer, tp_str text);

// Appends the text of the ids, control tokens as they are written where `show_special`. Where the
// model puts a space in front of a text, it is taken away again. E_INVALID for an id beyond the
// vocabulary; `text` may then have grown.
tapeout_status tp_tokenizer_decode(const tp_tokenizer *tokenizer, const uint32_t *ids, size_t count,
                                   bool show_special, tp_buffer *text, tapeout_error *err);

// Text as it is generated, never a part of a character: a token may end inside one, whose bytes
// then wait for the next token. Bytes that no continuation can make a character come out as
// U+FFFD, once per maximal broken part, as WHATWG's decoder does. @thread confined
typedef struct tp_detokenizer {
    const tp_tokenizer *tokenizer;
    bool shows_special;
    bool strips_space; // the next piece may begin with the space that the model puts in front
    uint8_t pending_count;
    char pending[4]; // begin of a character, at most three bytes
} tp_detokenizer;

void tp_detokenizer_init(tp_detokenizer *detokenizer, const tp_tokenizer *tokenizer,
                         bool shows_special);
// Goes on behind a prompt: the next piece keeps its leading space.
void tp_detokenizer_continue(tp_detokenizer *detokenizer);
// Appends the complete characters. E_INVALID for an id beyond the vocabulary.
tapeout_status tp_detokenizer_push(tp_detokenizer *detokenizer, uint32_t id, tp_buffer *text,
                                   tapeout_error *err);
// The end: what waits is U+FFFD.
void tp_detokenizer_flush(tp_detokenizer *detokenizer, tp_buffer *text);

#endif
