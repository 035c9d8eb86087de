// SPDX-License-Identifier: Apache-2.0
//
// A scheduler over a tiny model for tests, and what its requests were told.
#ifndef SCHEDULE_SAMPLE_H
#define SCHEDULE_SAMPLE_H

#include "llm/schedule/tp_scheduler.h"

#include <pthread.h>

enum { TOLD_CHOICES = 4, TOLD_TOKENS = 256 };

typedef struct told_choice {
    uint32_t ids[TOLD_TOKENS];    // generated
    double logprobs[TOLD_TOKENS]; // where asked for
    uint32_t count;
    double prompt_logprobs[TOLD_TOKENS]; // from the second token on
    uint32_t prompt_count;
    char text[1024];
    size_t text_size;
    tp_finish finish;
    uint32_t finish_count; // must become 1
    uint32_t cached_count;
} told_choice;

// What one request was told; written on the scheduler's thread, read once it is done.
typedef struct told {
    told_choice choices[TOLD_CHOICES];
    tapeout_status status; // of a failed one
    uint32_t done_rank;    // 1: the first of all to be done
    bool is_done;
    bool holds; // waits in its first event until told_go_on
    tp_generation *generation;
} told;

// Opens a committed model (tests/conformance/llm_tiny) and begins a scheduler over it.
tp_scheduler *schedule_begin(const char *model, const tp_scheduler_options *options);
void schedule_end(tp_scheduler *scheduler);
const tp_llm *schedule_model(void); // of the last begin

// Ids that are no control tokens, another text for each seed.
void schedule_ids(uint32_t *ret_ids, uint32_t count, uint64_t seed);

tapeout_status told_submit(tp_scheduler *scheduler, tp_generation_request request, told *what,
                           tapeout_error *err);
void told_wait(told *what);
void told_hold(void);  // whoever holds waits from now on
void told_held(void);  // waits until somebody is holding
void told_go_on(void); // and lets all go on

#endif
