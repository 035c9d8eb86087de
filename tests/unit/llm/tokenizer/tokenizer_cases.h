// SPDX-License-Identifier: Apache-2.0
//
// What the tests of the tokenizer share: small vocabularies, and the real ones where they are.
#ifndef TOKENIZER_CASES_H
#define TOKENIZER_CASES_H

#include "llm/tokenizer/tp_tokenizer.h"
#include "test.h"

// The tokenizer of a model file found in the folder TAPEOUT_TEST_MODELS or in .deps/models of the
// checkout; ends the case as skipped where there is none. Freed with tp_tokenizer_free.
tp_tokenizer *cases_model(const char *file_name);

// A byte-level vocabulary of all 256 bytes and a few merges ("he", "ll", "hell", "hello", " w",
// ...) with control tokens <|begin|> 0, <|im_end|> 1, and user-defined ones: two newlines 2,
// <tool_call> 3.
void cases_bpe_spec(tp_tokenizer_spec *ret_spec);
// A SentencePiece one with byte tokens: <unk> 0, <s> 1, </s> 2, bytes from 3 on, then pieces.
void cases_spm_spec(tp_tokenizer_spec *ret_spec);
// A WordPiece one.
void cases_wordpiece_spec(tp_tokenizer_spec *ret_spec);

tp_tokenizer *cases_new(const tp_tokenizer_spec *spec);

// The ids of a text as "1 2 3", until the next call.
const char *cases_encode(const tp_tokenizer *tokenizer, tp_str text, uint32_t flags);
// The tokens of a text as the vocabulary writes them, with "|" between them.
const char *cases_pieces(const tp_tokenizer *tokenizer, const char *text, uint32_t flags);
// The text of the ids, until the next call.
tp_str cases_decode(const tp_tokenizer *tokenizer, const uint32_t *ids, size_t count,
                    bool show_special);

#endif
