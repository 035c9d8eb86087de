#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes src/table/value_tables.c: the 128 leading bits of the powers of ten, rounded down.

10^q has the same leading bits as 5^q, so one table serves both reading (Eisel and Lemire) and
printing (Schubfach). An entry is floor(10^q * 2^s) with s such that bit 127 is set.
"""

LOWEST = -342
HIGHEST = 324

print("""// SPDX-License-Identifier: Apache-2.0
//
// Made by tools/gen_power_tables.py; do not edit. The 128 leading bits of 10^q, rounded down, high
// half first, for q from TP_POWER_LOWEST to TP_POWER_HIGHEST. Exact for q from 0 to 55.
#include "table/value_priv.h"

const uint64_t tp_power_bits[TP_POWER_HIGHEST - TP_POWER_LOWEST + 1][2] = {""")
for q in range(LOWEST, HIGHEST + 1):
    if q >= 0:
        value = 5 ** q
        bits = value << 128 >> value.bit_length() if value.bit_length() <= 128 else \
            value >> (value.bit_length() - 128)
    else:
        power = 5 ** -q
        shift = 128 + power.bit_length()
        bits = (1 << shift) // power
        bits >>= bits.bit_length() - 128
    assert bits.bit_length() == 128
    print(f"    {{0x{bits >> 64:016x}, 0x{bits & (2**64 - 1):016x}}}, // {q}")
print("};")
