// SPDX-License-Identifier: Apache-2.0
//
// The clocks of the operating system.
#include "base/tp_clock.h"

#include <time.h>

uint64_t tp_clock_monotonic_ns(void)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &now); // cannot fail on a system that has the clock
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int64_t tp_clock_unix_us(void)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}
