// SPDX-License-Identifier: Apache-2.0
//
// Two clocks: one that never goes back, for durations and timeouts, and the calendar's, for
// records.
#ifndef TP_CLOCK_H
#define TP_CLOCK_H

#include <stdint.h>

uint64_t tp_clock_monotonic_ns(void);
int64_t tp_clock_unix_us(void);

#endif
