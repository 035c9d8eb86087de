// SPDX-License-Identifier: Apache-2.0
//
// Tokens to text as a client sees it: whole characters, and nothing of a stop string, so what may
// yet become one is held back.
#ifndef ANSWER_TEXT_H
#define ANSWER_TEXT_H

#include "llm/tokenizer/tp_tokenizer.h"

typedef struct answer_text {
    tp_detokenizer detokenizer;
    const tp_str *stops; // [stop_count] none of them empty; borrowed
    uint32_t stop_count;
    tp_buffer held;    // not handed out
    size_t ready_size; // of `held`, from its start: what the last call handed out
} answer_text;

void tp_answer_text_init(answer_text *answer, const tapeout_allocator *alloc,
                         const tp_tokenizer *tokenizer, bool shows_special);
void tp_answer_text_deinit(answer_text *answer);

// Adds a token. `ret_ready` is the text that is certain, valid until the next call; where a stop
// string has come up, `ret_stop` is its index and the text ends before it, else -1.
tapeout_status tp_answer_text_push(answer_text *answer, uint32_t id, tp_str *ret_ready,
                                   int32_t *ret_stop, tapeout_error *err);
// Drops everything behind what was handed out, once it has been taken.
void tp_answer_text_cut(answer_text *answer);
// The end: what was held back, a broken character as U+FFFD.
tapeout_status tp_answer_text_finish(answer_text *answer, tp_str *ret_ready, tapeout_error *err);

#endif
