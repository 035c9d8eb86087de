// SPDX-License-Identifier: Apache-2.0
//
// Random numbers: fixed for ever, in range, fair enough, and a shuffle that is a permutation.
#include "base/tp_random.h"

#include "test.h"

// The pinned values come from a second implementation, in Python.
static void test_values(void)
{
    for (uint64_t stream = 0; stream < 5; stream++) {
        uint64_t first = tp_random_u64(42, stream, 0);
        for (uint64_t i = 1; i < 100; i++) {
            const uint64_t next = tp_random_u64(42, stream, i);
            ASSERT(next != first);
            first = next;
        }
    }
    ASSERT(tp_random_u64(1, 0, 0) != tp_random_u64(0, 1, 0));
    ASSERT(tp_random_u64(0, 1, 0) != tp_random_u64(0, 0, 1));
    // Models that were trained once must be trained alike ever after.
    ASSERT_EQ_UINT(tp_random_u64(0, 0, 0), 0x238275bc38fcbe91);
    ASSERT_EQ_UINT(tp_random_u64(42, 7, 123456789), 0x85a5e2e8e28686d9);
}

static void test_unit_interval(void)
{
    enum { COUNT = 1000000 };
    double sum = 0;
    double squares = 0;
    for (uint64_t i = 0; i < COUNT; i++) {
        const double u = tp_random_f64(3, 1, i);
        ASSERT(u >= 0 && u < 1);
        sum += u;
        squares += u * u;
    }
    // Mean 1/2 and second moment 1/3, five standard deviations of the mean of a million.
    ASSERT(sum / COUNT > 0.4985 && sum / COUNT < 0.5015);
    ASSERT(squares / COUNT > 0.3318 && squares / COUNT < 0.3349);
}

static void test_below(void)
{
    enum { COUNT = 700000, BOUND = 7 };
    int counts[BOUND] = {0};
    for (uint64_t i = 0; i < COUNT; i++) {
        const uint64_t value = tp_random_below(9, 0, i, BOUND);
        ASSERT(value < BOUND);
        counts[value]++;
    }
    for (size_t i = 0; i < BOUND; i++) {
        ASSERT(counts[i] > 98500 && counts[i] < 101500); // 100,000 expected, deviation 293
    }
    ASSERT_EQ_UINT(tp_random_below(1, 1, 1, 0), 0);
    ASSERT_EQ_UINT(tp_random_below(1, 1, 1, 1), 0);
    ASSERT(tp_random_below(1, 1, 1, UINT64_MAX) < UINT64_MAX);
#ifdef __SIZEOF_INT128__
    for (uint64_t i = 0; i < 1000; i++) {
        const uint64_t bound = tp_random_u64(2, 2, i);
        const unsigned __int128 product = (unsigned __int128)tp_random_u64(9, 0, i) * bound;
        ASSERT_EQ_UINT(tp_random_below(9, 0, i, bound), (uint64_t)(product >> 64));
    }
#endif
}

static void test_shuffle(void)
{
    enum { COUNT = 1000 };
    uint32_t items[COUNT];
    bool seen[COUNT] = {false};
    for (uint32_t i = 0; i < COUNT; i++) {
        items[i] = i;
    }
    tp_random_shuffle_u32(5, 6, items, COUNT);
    size_t moved = 0;
    for (uint32_t i = 0; i < COUNT; i++) {
        ASSERT(items[i] < COUNT && !seen[items[i]]);
        seen[items[i]] = true;
        moved += items[i] != i ? 1 : 0;
    }
    ASSERT(moved > 950);
    tp_random_shuffle_u32(5, 6, NULL, 0);
    // Each of the six orders of three about equally often.
    int orders[27] = {0};
    for (uint64_t stream = 0; stream < 60000; stream++) {
        uint32_t three[3] = {0, 1, 2};
        tp_random_shuffle_u32(1, stream, three, 3);
        orders[three[0] * 9 + three[1] * 3 + three[2]]++;
    }
    for (size_t i = 0; i < 27; i++) {
        ASSERT(orders[i] == 0 || (orders[i] > 9500 && orders[i] < 10500));
    }
}

TEST_MAIN(TEST(test_values), TEST(test_unit_interval), TEST(test_below), TEST(test_shuffle))
