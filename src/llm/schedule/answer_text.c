// SPDX-License-Identifier: Apache-2.0
//
// Stop strings over a stream. What was not handed out is searched whole; it is at most a stop
// string and a token long, so the search costs what the token and the stop strings are long.
#include "llm/schedule/answer_text.h"

#include "base/limits.h"

#include <string.h>

void tp_answer_text_init(answer_text *answer, const tapeout_allocator *alloc,
                         const tp_tokenizer *tokenizer, bool shows_special)
{
    memset(answer, 0, sizeof(*answer));
    tp_detokenizer_init(&answer->detokenizer, tokenizer, shows_special);
    tp_detokenizer_continue(&answer->detokenizer); // it goes on behind a prompt
    tp_buffer_init(&answer->held, alloc, TP_MAX_LLM_HELD_BYTES);
}

void tp_answer_text_deinit(answer_text *answer)
{
    tp_buffer_deinit(&answer->held);
}

static void drop_ready(answer_text *answer)
{
    tp_buffer *held = &answer->held;
    if (answer->ready_size > 0) {
        memmove(held->data, held->data + answer->ready_size, held->size - answer->ready_size);
        held->size -= answer->ready_size;
        answer->ready_size = 0;
    }
}

// Where `stop` begins in `text`, at its end perhaps only in part; text.size where it does not.
static size_t find_begin(tp_str text, tp_str stop)
{
    size_t at = 0;
    while (at < text.size) {
        const char *first = memchr(text.data + at, stop.data[0], text.size - at);
        if (first == NULL) {
            return text.size;
        }
        at = (size_t)(first - text.data);
        const size_t left = text.size - at;
        if (memcmp(first, stop.data, left < stop.size ? left : stop.size) == 0) {
            return at;
        }
        at++;
    }
    return at;
}

// The first place where a stop string stands or, if none does, may come to stand. A whole one ends
// the answer even where a longer one might still come.
static size_t find_stop(const answer_text *answer, int32_t *ret_stop)
{
    const tp_str text = tp_buffer_view(&answer->held);
    size_t whole = text.size;
    size_t part = text.size;
    *ret_stop = -1;
    for (uint32_t i = 0; i < answer->stop_count; i++) {
        const size_t at = find_begin(text, answer->stops[i]);
        if (at < whole && text.size - at >= answer->stops[i].size) {
            whole = at;
            *ret_stop = (int32_t)i;
        } else if (at < part) {
            part = at;
        }
    }
    return *ret_stop >= 0 ? whole : part;
}

tapeout_status tp_answer_text_push(answer_text *answer, uint32_t id, tp_str *ret_ready,
                                   int32_t *ret_stop, tapeout_error *err)
{
    drop_ready(answer);
    const tapeout_status status = tp_detokenizer_push(&answer->detokenizer, id, &answer->held, err);
    if (status != TAPEOUT_OK) {
        return status;
    }
    answer->ready_size = find_stop(answer, ret_stop);
    *ret_ready = (tp_str){answer->held.data, answer->ready_size};
    return tp_buffer_check(&answer->held, "generated text", err);
}

void tp_answer_text_cut(answer_text *answer)
{
    answer->held.size = answer->ready_size;
    answer->detokenizer.pending_count = 0;
}

tapeout_status tp_answer_text_finish(answer_text *answer, tp_str *ret_ready, tapeout_error *err)
{
    drop_ready(answer);
    tp_detokenizer_flush(&answer->detokenizer, &answer->held);
    answer->ready_size = answer->held.size;
    *ret_ready = tp_buffer_view(&answer->held);
    return tp_buffer_check(&answer->held, "generated text", err);
}
