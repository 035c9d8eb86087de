// SPDX-License-Identifier: Apache-2.0
//
// Constrained output: which tokens may come next so that the whole text follows a JSON Schema, a
// grammar or a regular expression.
//
// A tp_grammar is compiled once from its source. A tp_vocab_index is made once a model. A
// tp_constraint is one generation's place in the grammar: ask for the mask, sample, accept. The
// mask is exact: a token is allowed if and only if its bytes continue what was accepted to a prefix
// of some text of the grammar, an end-of-generation token if and only if the text is complete.
// There are no dead ends, as long as the vocabulary has a piece for every byte.
#ifndef TP_GRAMMAR_H
#define TP_GRAMMAR_H

#include "base/tp_env.h"
#include "base/tp_str.h"

// @thread immutable (its cache of masks is synchronized); counted references.
typedef struct tp_grammar tp_grammar;
// @thread immutable.
typedef struct tp_vocab_index tp_vocab_index;
// @thread confined.
typedef struct tp_constraint tp_constraint;

// NULL stands for all zeros.
typedef struct tp_grammar_options {
    tp_str prefix;   // literal text before what the source describes: "<tool_call>\n"
    tp_str suffix;   // and after it
    bool is_compact; // JSON without whitespace; else up to one space, or two line ends and 20
                     // blanks, wherever JSON allows some
} tp_grammar_options;

typedef enum tp_grammar_kind {
    TP_GRAMMAR_JSON_SCHEMA,
    TP_GRAMMAR_JSON_OBJECT, // has no text
    TP_GRAMMAR_GBNF,
    TP_GRAMMAR_REGEX
} tp_grammar_kind;

// What a grammar is made from: the same source gives the same masks.
typedef struct tp_grammar_source {
    tp_grammar_kind kind;
    tp_str text;
    tp_grammar_options options;
} tp_grammar_source;

// Each returns a grammar with one reference. E_INVALID: malformed, or no text can follow it;
// E_UNSUPPORTED: a keyword or construct that is refused, by its name; E_LIMIT: beyond a limit of
// base/limits.h. docs/constrained.md says what is taken.
tapeout_status tp_grammar_from_json_schema(const tp_env *env, tp_str schema,
                                           const tp_grammar_options *options, tp_grammar **ret,
                                           tapeout_error *err);
// Any JSON object ("JSON mode").
tapeout_status tp_grammar_from_json_object(const tp_env *env, const tp_grammar_options *options,
                                           tp_grammar **ret, tapeout_error *err);
// llama.cpp's notation; the rule `root` is the start.
tapeout_status tp_grammar_from_gbnf(const tp_env *env, tp_str text,
                                    const tp_grammar_options *options, tp_grammar **ret,
                                    tapeout_error *err);
// The whole text matches; anchors are allowed and change nothing at the ends.
tapeout_status tp_grammar_from_regex(const tp_env *env, tp_str pattern,
                                     const tp_grammar_options *options, tp_grammar **ret,
                                     tapeout_error *err);
// Any of them.
tapeout_status tp_grammar_from(const tp_env *env, const tp_grammar_source *source, tp_grammar **ret,
                               tapeout_error *err);
// What it was made from, kept by the grammar as long as it lives.
tp_grammar_source tp_grammar_source_of(const tp_grammar *grammar);
tp_grammar *tp_grammar_ref(tp_grammar *grammar);
void tp_grammar_unref(tp_grammar *grammar); // NULL is fine

// `pieces` [count]: the bytes of each token as they appear in text; empty for control tokens, which
// are never allowed. `eog_ids` end a generation. The bytes are copied. O(bytes · log count).
tapeout_status tp_vocab_index_new(const tp_env *env, const tp_str *pieces, uint32_t count,
                                  const uint32_t *eog_ids, uint32_t eog_count, tp_vocab_index **ret,
                                  tapeout_error *err);
void tp_vocab_index_free(tp_vocab_index *index);
uint32_t tp_vocab_index_count(const tp_vocab_index *index);

// At the start of the grammar, to which it holds a reference; `index` is borrowed and outlives it
// and the grammar's last constraint.
tapeout_status tp_constraint_new(const tp_env *env, tp_grammar *grammar,
                                 const tp_vocab_index *index, tp_constraint **ret,
                                 tapeout_error *err);
// A second one at the same place, for another continuation of the same text.
tapeout_status tp_constraint_fork(const tp_constraint *constraint, tp_constraint **ret,
                                  tapeout_error *err);
void tp_constraint_free(tp_constraint *constraint);

// Bit id % 32 of word id / 32 is set where token `id` may come next; [(count + 31) / 32] words,
// unused bits zero, valid until the next call with this constraint. E_DATA when the vocabulary has
// no token that goes on, E_LIMIT when the grammar is too ambiguous here.
tapeout_status tp_constraint_mask(tp_constraint *constraint, const uint32_t **ret_bits,
                                  tapeout_error *err);
// Goes on by one token. E_INVALID for one that the mask excludes, E_LIMIT when the grammar is too
// ambiguous behind it; the place is then unchanged.
tapeout_status tp_constraint_accept(tp_constraint *constraint, uint32_t id, tapeout_error *err);
// The same for text that no token of this constraint stands for, such as what a token holds behind
// the text that began it.
tapeout_status tp_constraint_accept_bytes(tp_constraint *constraint, tp_str bytes,
                                          tapeout_error *err);
// True when what was accepted is a whole text of the grammar.
bool tp_constraint_is_complete(const tp_constraint *constraint);
// True when nothing but an end-of-generation token can follow.
bool tp_constraint_is_finished(const tp_constraint *constraint);
// The bytes that must come next, whatever is chosen: up to `capacity`, 0 where there is a choice.
// Text that was found so is still accepted token by token.
tapeout_status tp_constraint_forced(tp_constraint *constraint, char *bytes, size_t capacity,
                                    size_t *ret_size, tapeout_error *err);

#endif
