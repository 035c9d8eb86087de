// SPDX-License-Identifier: Apache-2.0
//
// How much somebody may have in how long. A limit of N in T seconds is a bucket that holds N and
// fills evenly in T: a whole N at once, then N / T a second. It is kept as one number, the time at
// which the bucket will be full again (the generic cell rate algorithm), so a bucket that is full
// is nothing to remember: its place goes to another, memory is bounded, and nothing is forgotten
// that matters.
//
// Times are of the monotonic clock: a calendar that jumps lets nobody in or out.
//
// @thread A limiter is `synchronized`, without locks.
#ifndef TP_LIMITER_H
#define TP_LIMITER_H

#include "trust/tp_identity.h"

typedef struct tp_limiter tp_limiter;

// `slot_count`: how many buckets can be less than full at once; a power of two. Beyond that some
// share one.
tapeout_status tp_limiter_new(const tapeout_allocator *alloc, uint32_t slot_count,
                              tp_limiter **ret_limiter, tapeout_error *err);
void tp_limiter_free(tp_limiter *limiter); // accepts NULL

typedef struct tp_limit_ask {
    uint64_t who;
    const tp_rate *rates; // [rate_count], of which those of `countable` hold
    uint32_t rate_count;
    tp_countable countable;
    uint64_t cost;
} tp_limit_ask;

// Of the limit that is nearest to its end.
typedef struct tp_limit_state {
    bool is_limited; // false: no limit of this kind, and nothing below says anything
    uint64_t limit;
    uint64_t remaining;
    uint64_t reset_ns; // until all of it is there again
    uint64_t retry_ns; // of a refusal: until the same would be let through
    bool is_too_large; // of a refusal: it never would be
} tp_limit_state;

// Takes `cost` from all of the limits, or from none; false where one has not that much left. A cost
// of 0 looks. `ret_state` may be NULL.
bool tp_limiter_take(tp_limiter *limiter, const tp_limit_ask *ask, uint64_t now_ns,
                     tp_limit_state *ret_state);
// Gives back `cost` that was taken and not used.
void tp_limiter_give(tp_limiter *limiter, const tp_limit_ask *ask);

#endif
