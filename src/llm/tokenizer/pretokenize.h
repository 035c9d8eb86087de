// SPDX-License-Identifier: Apache-2.0
//
// The cut into words that byte-level BPE makes first: merges never cross from word to word. Models
// state it as regular expressions over Unicode classes, several of them one after the other, each
// applied to what the one before has left. Here each expression is a hand-written scanner, a stage
// that says where a match that begins at a position ends, in time linear in what it looks at.
#ifndef PRETOKENIZE_H
#define PRETOKENIZE_H

#include "base/tp_str.h"

#include <tapeout/status.h>

typedef enum tp_pre_stage {
    TP_PRE_END,
    TP_PRE_GPT2,         // 's|'t|'re|'ve|'m|'ll|'d| ?L+| ?N+| ?[^s L N]+|\s+(?!\S)|\s+
    TP_PRE_LLAMA3,       // as gpt2, and: any case of 's; one other character before letters;
                         // N{1,3}; line ends after punctuation; \s*[\r\n]+
    TP_PRE_QWEN2,        // llama3 with N alone
    TP_PRE_QWEN35,       // qwen2 with marks as letters
    TP_PRE_PLAIN,        // qwen2 without 's and its like
    TP_PRE_SEED_CODER,   // qwen2 whose punctuation takes no line ends
    TP_PRE_GPT4O,        // words end where case turns to upper; 's belongs to the word
    TP_PRE_TEKKEN,       // the same without 's and with N alone
    TP_PRE_DEEPSEEK3,    // [!-/:-~][A-Za-z]+|[^\r\n L P S]?[L M]+| ?[P S]+[\r\n]*|line ends|space
    TP_PRE_DIGIT,        // N
    TP_PRE_DIGITS3,      // N{1,3}
    TP_PRE_NUMBERS,      // N+
    TP_PRE_ASCII_DIGITS, // [0-9][0-9][0-9]
    TP_PRE_PUNCTUATION,  // [P $+<=>^~|]+
    TP_PRE_PUNCTUATION_FALCON, // the same with `
    TP_PRE_CJK,                // [U+4E00-U+9FA5 U+3040-U+30FF]+
    TP_PRE_CODER_LINE_END,     // [\r\n]
    TP_PRE_CODER_LETTERS,      // \s?L+
    TP_PRE_CODER_PUNCTUATION,  // \s?P+
    TP_PRE_CODER_CJK,          // [U+4E00-U+9FA5 U+0800-U+4E00 U+AC00-U+D7FF]+
    TP_PRE_BLOOM               //  ?[^(\s|.,!?...)]+
} tp_pre_stage;

enum { TP_PRE_STAGES = 6 };

typedef struct tp_pre_recipe {
    const char *name;              // of tokenizer.ggml.pre
    uint8_t stages[TP_PRE_STAGES]; // ended by TP_PRE_END
    bool ignores_merges;           // a word that is a token is that token
    bool adds_bos;                 // unless the metadata says otherwise
} tp_pre_recipe;

// The recipe of that name, or NULL. An empty name is "default".
const tp_pre_recipe *tp_pre_recipe_find(tp_str name);

typedef tapeout_status (*tp_pre_word_fn)(void *user, const uint8_t *word, size_t size);

// Calls `word` for each word of the text in order; together they are the text. Stops at the first
// status that is not OK and returns it.
tapeout_status tp_pre_split(const tp_pre_recipe *recipe, tp_str text, tp_pre_word_fn word,
                            void *user);

#endif
