#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes src/kernels/ref/math_tables.c: values of erf and of the zeta function with 60 digits.

Needs mpmath. Run it as `tools/make_math_tables.py > src/kernels/ref/math_tables.c`.
"""

import mpmath

HEAD = """// SPDX-License-Identifier: Apache-2.0
//
// Tables of the special functions, made by tools/make_math_tables.py; not edited by hand.
// clang-format off
#include "kernels/math_priv.h"
"""


def pair(value):
    """The value as two doubles, in C."""
    high = float(value)
    low = float(value - mpmath.mpf(high))
    return f"    {{{high.hex()}, {low.hex()}}},"


def main():
    mpmath.mp.dps = 60
    print(HEAD)
    print("// erf(k / 8)")
    print("const tp_math_pair tp_math_erf_table[MATH_ERF_COUNT] = {")
    for k in range(49):
        print(pair(mpmath.erf(mpmath.mpf(k) / 8)))
    print("};\n")
    print("// (zeta(n) - 1) (-1)^n / n for n = 2, 3, ...")
    print("const double tp_math_zeta_table[MATH_ZETA_COUNT] = {")
    for n in range(2, 30):
        print(f"    {float((mpmath.zeta(n) - 1) * (-1) ** n / n).hex()},")
    print("};")


if __name__ == "__main__":
    main()
