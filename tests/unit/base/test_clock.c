// SPDX-License-Identifier: Apache-2.0
//
// The clocks: one never goes back, the other agrees with the C library's.
#include "base/tp_clock.h"

#include "test.h"

#include <time.h>

static void test_monotonic(void)
{
    const uint64_t start = tp_clock_monotonic_ns();
    uint64_t last = start;
    for (int i = 0; i < 10000; i++) {
        const uint64_t now = tp_clock_monotonic_ns();
        ASSERT(now >= last);
        last = now;
    }
    const struct timespec pause = {.tv_nsec = 20000000};
    (void)nanosleep(&pause, NULL);
    const uint64_t slept = tp_clock_monotonic_ns() - last;
    ASSERT(slept >= 20000000 && slept < 30000000000);
}

static void test_calendar(void)
{
    const int64_t before = (int64_t)time(NULL);
    const int64_t now = tp_clock_unix_us();
    const int64_t after = (int64_t)time(NULL);
    // time() may read a coarser clock, a tick behind.
    ASSERT(now / 1000000 >= before && now / 1000000 <= after + 1);
}

TEST_MAIN(TEST(test_monotonic), TEST(test_calendar))
