// SPDX-License-Identifier: Apache-2.0
//
// What the value files share: the table of powers of ten and the exact comparison that settles the
// last digit of long decimal numbers.
#ifndef VALUE_PRIV_H
#define VALUE_PRIV_H

#include "base/tp_str.h"

enum { TP_POWER_LOWEST = -342, TP_POWER_HIGHEST = 324 };

extern const uint64_t tp_power_bits[TP_POWER_HIGHEST - TP_POWER_LOWEST + 1][2];

typedef struct tp_u128 {
    uint64_t high;
    uint64_t low;
} tp_u128;

static inline tp_u128 tp_multiply_u64(uint64_t a, uint64_t b)
{
    const unsigned __int128 product = (unsigned __int128)a * b;
    return (tp_u128){(uint64_t)(product >> 64), (uint64_t)product};
}

// A decimal number as it stands in a text: the digits (a point among them is skipped), times
// 10^exponent when they are read as one integer.
typedef struct tp_decimal {
    tp_str digits;
    int64_t exponent;
} tp_decimal;

// The double next to `decimal`, ties to even. `near` is a finite non-negative double at most a few
// steps away. O(digits).
double tp_decimal_settle(tp_decimal decimal, double near);

#endif
