#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes src/kernels/ref/libm_tables.c: powers of two that glibc's exp and expf are made of.

    tools/make_libm_tables.py     with Python's decimals to 60 digits, nothing else
"""
import pathlib
import struct
from decimal import Decimal, getcontext

getcontext().prec = 60
OUT = pathlib.Path(__file__).resolve().parent.parent / "src/kernels/ref/libm_tables.c"
LN2 = Decimal(2).ln()

HEAD = """// SPDX-License-Identifier: Apache-2.0
//
// Tables of glibc's exponentials, made by tools/make_libm_tables.py; not edited by hand.
// clang-format off
#include "kernels/math_priv.h"
"""


def bits(x):
    return struct.unpack("<Q", struct.pack("<d", x))[0]


def row(k, n):
    """2^(k/n): the bits of the nearest double less k/n of an exponent, and what that lacks."""
    exact = (LN2 * k / n).exp()
    near = float(exact)
    return bits(near) - ((k << 52) // n), float((exact - Decimal(near)) / Decimal(near))


def main():
    out = [HEAD, "// 2^(k/128)", "const tp_libm_power tp_libm_exp_table[MATH_LIBM_EXP_COUNT] = {"]
    for k in range(128):
        near, tail = row(k, 128)
        out.append(f"    {{0x{near:016x}u, {tail.hex()}}},")
    out += ["};", "", "// 2^(k/32)", "const uint64_t tp_libm_expf_table[MATH_LIBM_EXPF_COUNT] = {"]
    out += [f"    0x{row(k, 32)[0]:016x}u," for k in range(32)]
    out += ["};", ""]
    OUT.write_text("\n".join(out))


if __name__ == "__main__":
    main()
