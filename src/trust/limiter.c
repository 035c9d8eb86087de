// SPDX-License-Identifier: Apache-2.0
//
// A table of slots, each the name of a bucket and the time at which it will be full. A bucket is
// looked for in a window of slots from its hash on; when it is not there it takes one that is free
// or whose bucket is full, and in a window without such a slot it shares one, which can only be too
// strict. Two threads that race for a slot may count a request in the other's bucket: an error of
// one request, once, in exchange for no lock on the way of any.
#include "trust/tp_limiter.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"

enum { WINDOW = 16 };

typedef struct limiter_slot {
    atomic_uint_fast64_t name;    // 0: free
    atomic_uint_fast64_t full_ns; // when the bucket is full
} limiter_slot;

struct tp_limiter {
    const tapeout_allocator *alloc;
    uint32_t slot_count;
    limiter_slot *slots;
};

typedef unsigned __int128 wide;

static const uint64_t second_ns = 1000000000;

tapeout_status tp_limiter_new(const tapeout_allocator *alloc, uint32_t slot_count,
                              tp_limiter **ret_limiter, tapeout_error *err)
{
    tp_limiter *limiter = tp_alloc_zero(alloc, sizeof(*limiter));
    limiter_slot *slots = tp_alloc_array_zero(alloc, slot_count, sizeof(*slots));
    if (limiter == NULL || slots == NULL) {
        tp_free_array(alloc, slots, slot_count, sizeof(*slots));
        tp_free(alloc, limiter, sizeof(*limiter));
        return tp_fail_nomem(err);
    }
    *limiter = (tp_limiter){alloc, slot_count, slots};
    *ret_limiter = limiter;
    return TAPEOUT_OK;
}

void tp_limiter_free(tp_limiter *limiter)
{
    if (limiter != NULL) {
        tp_free_array(limiter->alloc, limiter->slots, limiter->slot_count, sizeof(limiter_slot));
        tp_free(limiter->alloc, limiter, sizeof(*limiter));
    }
}

// A limit that is changed is another bucket: what was taken under the old one says nothing.
static uint64_t bucket_name(uint64_t who, const tp_rate *rate)
{
    uint64_t name = who ^ ((uint64_t)rate->countable + 1) * 0x9e3779b97f4a7c15u;
    name = (name ^ name >> 32) * 0xd6e8feb86659fd93u ^ rate->count;
    name = (name ^ name >> 32) * 0xd6e8feb86659fd93u ^ rate->seconds;
    name = (name ^ name >> 32) * 0xd6e8feb86659fd93u;
    return name | 1;
}

static uint32_t slot_start(const tp_limiter *limiter, uint64_t name)
{
    return (uint32_t)(name >> 32) & (limiter->slot_count - 1);
}

static limiter_slot *slot_find(tp_limiter *limiter, uint64_t name)
{
    const uint32_t mask = limiter->slot_count - 1;
    const uint32_t start = slot_start(limiter, name);
    for (uint32_t i = 0; i < WINDOW; i++) {
        limiter_slot *slot = &limiter->slots[(start + i) & mask];
        if (atomic_load_explicit(&slot->name, memory_order_relaxed) == name) {
            return slot;
        }
    }
    return NULL;
}

static limiter_slot *slot_take(tp_limiter *limiter, uint64_t name, uint64_t now_ns)
{
    const uint32_t mask = limiter->slot_count - 1;
    const uint32_t start = slot_start(limiter, name);
    limiter_slot *found = slot_find(limiter, name);
    if (found != NULL) {
        return found;
    }
    for (uint32_t i = 0; i < WINDOW; i++) {
        limiter_slot *slot = &limiter->slots[(start + i) & mask];
        uint64_t old = atomic_load_explicit(&slot->name, memory_order_relaxed);
        if (atomic_load_explicit(&slot->full_ns, memory_order_relaxed) <= now_ns &&
            atomic_compare_exchange_strong(&slot->name, &old, name)) {
            return slot;
        }
        if (old == name) {
            return slot; // another thread was first
        }
    }
    return &limiter->slots[start];
}

// How long the bucket takes to fill by `cost`, upwards: what is given out never exceeds the limit.
static uint64_t cost_ns(const tp_rate *rate, uint64_t cost)
{
    const wide whole_ns = (wide)rate->seconds * second_ns;
    return (uint64_t)((whole_ns * cost + rate->count - 1) / rate->count);
}

static void tell_state(const tp_rate *rate, uint64_t used_ns, tp_limit_state *state)
{
    const uint64_t whole_ns = rate->seconds * second_ns;
    const uint64_t left_ns = used_ns < whole_ns ? whole_ns - used_ns : 0;
    const uint64_t remaining = (uint64_t)((wide)left_ns * rate->count / whole_ns);
    if (!state->is_limited || remaining < state->remaining) {
        state->is_limited = true;
        state->limit = rate->count;
        state->remaining = remaining;
        state->reset_ns = used_ns;
    }
}

// A refusal speaks of the limit that refused, whatever the others have left.
static bool refuse(const tp_rate *rate, uint64_t used_ns, uint64_t added_ns, tp_limit_state *state)
{
    const uint64_t whole_ns = rate->seconds * second_ns;
    state->is_limited = false;
    tell_state(rate, used_ns, state);
    state->is_too_large = added_ns > whole_ns;
    state->retry_ns = state->is_too_large ? 0 : used_ns + added_ns - whole_ns;
    return false;
}

static bool take_one(tp_limiter *limiter, const tp_limit_ask *ask, const tp_rate *rate,
                     uint64_t now_ns, tp_limit_state *state)
{
    const uint64_t whole_ns = rate->seconds * second_ns;
    limiter_slot *slot = slot_take(limiter, bucket_name(ask->who, rate), now_ns);
    uint64_t full_ns = atomic_load_explicit(&slot->full_ns, memory_order_relaxed);
    for (;;) {
        const uint64_t used_ns = full_ns > now_ns ? full_ns - now_ns : 0;
        if (ask->cost > rate->count) {
            return refuse(rate, used_ns, whole_ns + 1, state);
        }
        const uint64_t added_ns = cost_ns(rate, ask->cost);
        if (added_ns > 0 && used_ns + added_ns > whole_ns) {
            return refuse(rate, used_ns, added_ns, state);
        }
        // Nothing else is published with it, so no order is needed.
        if (added_ns == 0 || atomic_compare_exchange_weak_explicit(
                                 &slot->full_ns, &full_ns, now_ns + used_ns + added_ns,
                                 memory_order_relaxed, memory_order_relaxed)) {
            tell_state(rate, used_ns + added_ns, state);
            return true;
        }
    }
}

static void give_one(tp_limiter *limiter, const tp_limit_ask *ask, const tp_rate *rate)
{
    limiter_slot *slot = slot_find(limiter, bucket_name(ask->who, rate));
    if (slot == NULL) {
        return; // it has filled meanwhile, or is shared: nothing, or not ours alone
    }
    const uint64_t given_ns = cost_ns(rate, ask->cost);
    uint64_t full_ns = atomic_load_explicit(&slot->full_ns, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&slot->full_ns, &full_ns,
                                                  full_ns > given_ns ? full_ns - given_ns : 0,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

bool tp_limiter_take(tp_limiter *limiter, const tp_limit_ask *ask, uint64_t now_ns,
                     tp_limit_state *ret_state)
{
    tp_limit_state state = {0};
    bool is_taken = true;
    uint32_t done = 0;
    for (; done < ask->rate_count && is_taken; done++) {
        const tp_rate *rate = &ask->rates[done];
        is_taken =
            rate->countable != ask->countable || take_one(limiter, ask, rate, now_ns, &state);
    }
    // What the earlier ones gave goes back to them.
    for (uint32_t i = 0; !is_taken && ask->cost > 0 && i + 1 < done; i++) {
        if (ask->rates[i].countable == ask->countable) {
            give_one(limiter, ask, &ask->rates[i]);
        }
    }
    if (ret_state != NULL) {
        *ret_state = state;
    }
    return is_taken;
}

void tp_limiter_give(tp_limiter *limiter, const tp_limit_ask *ask)
{
    for (uint32_t i = 0; ask->cost > 0 && i < ask->rate_count; i++) {
        if (ask->rates[i].countable == ask->countable) {
            give_one(limiter, ask, &ask->rates[i]);
        }
    }
}
