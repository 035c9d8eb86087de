// SPDX-License-Identifier: Apache-2.0
//
// Limits by a clock that the test moves: never more than the limit in any interval, nothing lost,
// all or none of several limits, what is given back, memory that stays as it is under a flood of
// names, and threads that take from one bucket.
#include "trust/tp_limiter.h"

#include "base/tp_alloc.h"
#include "base/tp_random.h"
#include "test.h"

#include <pthread.h>

#define SECOND UINT64_C(1000000000)

static tp_limiter *make(uint32_t slots)
{
    tp_limiter *limiter = NULL;
    ASSERT_OK(tp_limiter_new(tp_allocator_default(), slots, &limiter, &test_err));
    return limiter;
}

static tp_limit_ask ask_for(const tp_rate *rates, uint32_t count, uint64_t cost)
{
    return (tp_limit_ask){7, rates, count, TP_COUNT_REQUESTS, cost};
}

static void test_bucket(void)
{
    static const tp_rate rate = {TP_COUNT_REQUESTS, 10, 60};
    tp_limiter *limiter = make(64);
    tp_limit_ask ask = ask_for(&rate, 1, 1);
    tp_limit_state state;
    uint64_t now = 1000 * SECOND;
    for (uint64_t i = 0; i < 10; i++) {
        ASSERT(tp_limiter_take(limiter, &ask, now, &state));
        ASSERT(state.is_limited);
        ASSERT_EQ_UINT(state.limit, 10);
        ASSERT_EQ_UINT(state.remaining, 9 - i);
        ASSERT_EQ_UINT(state.reset_ns, (i + 1) * 6 * SECOND);
    }
    ASSERT(!tp_limiter_take(limiter, &ask, now, &state));
    ASSERT_EQ_UINT(state.remaining, 0);
    ASSERT_EQ_UINT(state.retry_ns, 6 * SECOND);
    ASSERT(!state.is_too_large);
    // A refusal costs nothing, and the time that it names is exact.
    ASSERT(!tp_limiter_take(limiter, &ask, now + 6 * SECOND - 1, &state));
    ASSERT_EQ_UINT(state.retry_ns, 1);
    ASSERT(tp_limiter_take(limiter, &ask, now + 6 * SECOND, &state));
    ASSERT(!tp_limiter_take(limiter, &ask, now + 6 * SECOND, &state));
    // Full again after all of the interval; not more than full after a day.
    now += 86400 * SECOND;
    for (int i = 0; i < 10; i++) {
        ASSERT(tp_limiter_take(limiter, &ask, now, NULL));
    }
    ASSERT(!tp_limiter_take(limiter, &ask, now, NULL));
    tp_limiter_free(limiter);
}

static void test_looking_costs_nothing(void)
{
    static const tp_rate rate = {TP_COUNT_REQUESTS, 3, 60};
    tp_limiter *limiter = make(64);
    const tp_limit_ask look = ask_for(&rate, 1, 0);
    const tp_limit_ask all = ask_for(&rate, 1, 3);
    tp_limit_state state;
    for (int i = 0; i < 10; i++) {
        ASSERT(tp_limiter_take(limiter, &look, SECOND, &state));
        ASSERT_EQ_UINT(state.remaining, 3);
    }
    ASSERT(tp_limiter_take(limiter, &all, SECOND, &state));
    ASSERT(tp_limiter_take(limiter, &look, SECOND, &state));
    ASSERT_EQ_UINT(state.remaining, 0);
    tp_limiter_free(limiter);
}

static void test_too_large(void)
{
    static const tp_rate rate = {TP_COUNT_REQUESTS, 100, 60};
    tp_limiter *limiter = make(64);
    tp_limit_state state;
    tp_limit_ask ask = ask_for(&rate, 1, 101);
    ASSERT(!tp_limiter_take(limiter, &ask, SECOND, &state));
    ASSERT(state.is_too_large);
    ASSERT_EQ_UINT(state.remaining, 100);
    ask.cost = UINT64_MAX;
    ASSERT(!tp_limiter_take(limiter, &ask, SECOND, &state));
    ASSERT(state.is_too_large);
    ask.cost = 100;
    ASSERT(tp_limiter_take(limiter, &ask, SECOND, &state));
    tp_limiter_free(limiter);
}

// A rate and a quota: what the second refuses is not taken from the first.
static void test_all_or_none(void)
{
    static const tp_rate rates[] = {
        {TP_COUNT_REQUESTS, 5, 1}, {TP_COUNT_TOKENS, 1, 1}, {TP_COUNT_REQUESTS, 7, 3600}};
    tp_limiter *limiter = make(64);
    tp_limit_state state;
    tp_limit_ask ask = ask_for(rates, 3, 5);
    ASSERT(tp_limiter_take(limiter, &ask, SECOND, &state));
    ASSERT_EQ_UINT(state.remaining, 0);
    ASSERT_EQ_UINT(state.limit, 5);
    ask.cost = 3;
    ASSERT(!tp_limiter_take(limiter, &ask, 2 * SECOND, &state));
    ASSERT_EQ_UINT(state.limit, 7);
    ASSERT_EQ_UINT(state.remaining, 2);
    ask.cost = 2;
    ASSERT(tp_limiter_take(limiter, &ask, 2 * SECOND, &state));
    // Of the first, 5 a second, 3 are left: the refusal took none.
    ask.cost = 0;
    ASSERT(tp_limiter_take(limiter, &(tp_limit_ask){7, rates, 1, TP_COUNT_REQUESTS, 0}, 2 * SECOND,
                           &state));
    ASSERT_EQ_UINT(state.remaining, 3);
    // Tokens are another kind, and nobody's rows are limited.
    ask = (tp_limit_ask){7, rates, 3, TP_COUNT_TOKENS, 1};
    ASSERT(tp_limiter_take(limiter, &ask, 2 * SECOND, &state));
    ask.countable = TP_COUNT_ROWS;
    ask.cost = UINT64_MAX;
    ASSERT(tp_limiter_take(limiter, &ask, 2 * SECOND, &state));
    ASSERT(!state.is_limited);
    tp_limiter_free(limiter);
}

static void test_given_back(void)
{
    static const tp_rate rate = {TP_COUNT_REQUESTS, 1000, 60};
    tp_limiter *limiter = make(64);
    tp_limit_state state;
    tp_limit_ask ask = ask_for(&rate, 1, 1000);
    ASSERT(tp_limiter_take(limiter, &ask, SECOND, NULL));
    ask.cost = 900;
    tp_limiter_give(limiter, &ask);
    ask.cost = 0;
    ASSERT(tp_limiter_take(limiter, &ask, SECOND, &state));
    ASSERT_EQ_UINT(state.remaining, 900);
    // More than there was to give back fills it and no more; to a stranger nothing is given.
    ask.cost = 1000;
    tp_limiter_give(limiter, &ask);
    tp_limiter_give(limiter, &ask);
    ask.who = 8;
    tp_limiter_give(limiter, &ask);
    ask.cost = 0;
    ASSERT(tp_limiter_take(limiter, &ask, SECOND, &state));
    ASSERT_EQ_UINT(state.remaining, 1000);
    tp_limiter_free(limiter);
}

// In no interval of the limit's length is more let through than twice the limit (a whole bucket and
// what fills it), over a long time not more than the rate.
static void test_never_more(void)
{
    static const tp_rate rate = {TP_COUNT_REQUESTS, 50, 10};
    tp_limiter *limiter = make(64);
    uint64_t now = SECOND;
    uint64_t taken = 0;
    for (uint64_t i = 0; i < 200000; i++) {
        now += tp_random_below(1, 0, i, SECOND / 50);
        const tp_limit_ask ask = ask_for(&rate, 1, 1 + tp_random_below(1, 1, i, 3));
        taken += tp_limiter_take(limiter, &ask, now, NULL) ? ask.cost : 0;
        ASSERT(taken <= 50 + 50 * (now - SECOND) / (10 * SECOND) + 1);
    }
    ASSERT(taken > 49 * (now - SECOND) / (10 * SECOND)); // and nearly all of it
    tp_limiter_free(limiter);
}

// R6: a clock that stands still or goes back (which the monotonic one does not) opens nothing.
static void test_clock_goes_back(void)
{
    static const tp_rate rate = {TP_COUNT_REQUESTS, 2, 60};
    tp_limiter *limiter = make(64);
    const tp_limit_ask ask = ask_for(&rate, 1, 1);
    ASSERT(tp_limiter_take(limiter, &ask, 86400 * SECOND, NULL));
    ASSERT(tp_limiter_take(limiter, &ask, 86400 * SECOND, NULL));
    ASSERT(!tp_limiter_take(limiter, &ask, SECOND, NULL));
    ASSERT(tp_limiter_take(limiter, &ask, 2 * 31622400 * SECOND, NULL));
    tp_limiter_free(limiter);
}

// P1: a million names in a table of 1024; who is there first is still held to the limit.
static void test_flood_of_names(void)
{
    static const tp_rate rate = {TP_COUNT_REQUESTS, 5, 60};
    tp_limiter *limiter = make(1024);
    tp_limit_ask ask = ask_for(&rate, 1, 1);
    for (int i = 0; i < 5; i++) {
        ASSERT(tp_limiter_take(limiter, &ask, SECOND, NULL));
    }
    for (uint64_t i = 0; i < 1000000; i++) {
        ask.who = tp_random_u64(3, 0, i);
        (void)tp_limiter_take(limiter, &ask, SECOND, NULL);
    }
    ask.who = 7;
    ASSERT(!tp_limiter_take(limiter, &ask, SECOND, NULL));
    // Buckets that are full again make room.
    ask.who = 123456;
    ASSERT(tp_limiter_take(limiter, &ask, 4000 * SECOND, NULL));
    tp_limiter_free(limiter);
}

enum { THREADS = 4, TRIES = 100000 };

static atomic_uint taken_by_all;

static void *take_many(void *user)
{
    static const tp_rate rate = {TP_COUNT_REQUESTS, 100000, 3600};
    const tp_limit_ask ask = ask_for(&rate, 1, 1);
    for (int i = 0; i < TRIES; i++) {
        atomic_fetch_add(&taken_by_all, tp_limiter_take(user, &ask, SECOND, NULL));
    }
    return NULL;
}

static void test_threads(void)
{
    tp_limiter *limiter = make(64);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        ASSERT(pthread_create(&threads[i], NULL, take_many, limiter) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        ASSERT(pthread_join(threads[i], NULL) == 0);
    }
    ASSERT_EQ_UINT(atomic_load(&taken_by_all), 100000);
    tp_limiter_free(limiter);
}

static tapeout_status scenario(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    (void)user;
    tp_limiter *limiter = NULL;
    const tapeout_status status = tp_limiter_new(alloc, 64, &limiter, err);
    tp_limiter_free(limiter);
    return status;
}

static void test_without_memory(void)
{
    test_out_of_memory(scenario, NULL);
}

TEST_MAIN(TEST(test_bucket), TEST(test_looking_costs_nothing), TEST(test_too_large),
          TEST(test_all_or_none), TEST(test_given_back), TEST(test_never_more),
          TEST(test_clock_goes_back), TEST(test_flood_of_names), TEST(test_threads),
          TEST(test_without_memory))
