// SPDX-License-Identifier: Apache-2.0
//
// The constants that every variant of exp and log shares. Polynomials are Taylor series, whose
// coefficients explain themselves; ranges are reduced so far that the first omitted term is below
// 2^-57 of the result, and a minimax fit would save three multiplications.
#ifndef MATH_PRIV_H
#define MATH_PRIV_H

#include <stdint.h>

// ln 2 in two parts: the first has 33 bits, so that its product with an exponent is exact.
#define MATH_LN2_HIGH 0x1.62e42feep-1
#define MATH_LN2_LOW 0x1.a39ef35793c76p-33
#define MATH_LN2_INVERSE 0x1.71547652b82fep+0

// Adding this rounds to an integer, which then stands in the low bits of the sum.
#define MATH_ROUND 0x1.8p52

// exp is ordinary, without overflow or denormal results, up to this size.
#define MATH_EXP_ORDINARY 708.0

// log1p(x) is x below this size, to the last bit.
#define MATH_LOG1P_TINY 0x1p-54

// 1/n! and 2/(2n+1), each correctly rounded by the compiler's division.
#define MATH_EXP_C2 (1.0 / 2)
#define MATH_EXP_C3 (1.0 / 6)
#define MATH_EXP_C4 (1.0 / 24)
#define MATH_EXP_C5 (1.0 / 120)
#define MATH_EXP_C6 (1.0 / 720)
#define MATH_EXP_C7 (1.0 / 5040)
#define MATH_EXP_C8 (1.0 / 40320)
#define MATH_EXP_C9 (1.0 / 362880)
#define MATH_EXP_C10 (1.0 / 3628800)
#define MATH_EXP_C11 (1.0 / 39916800)
#define MATH_EXP_C12 (1.0 / 479001600)
#define MATH_EXP_C13 (1.0 / 6227020800)

#define MATH_LOG_C1 (2.0 / 3)
#define MATH_LOG_C2 (2.0 / 5)
#define MATH_LOG_C3 (2.0 / 7)
#define MATH_LOG_C4 (2.0 / 9)
#define MATH_LOG_C5 (2.0 / 11)
#define MATH_LOG_C6 (2.0 / 13)
#define MATH_LOG_C7 (2.0 / 15)
#define MATH_LOG_C8 (2.0 / 17)
#define MATH_LOG_C9 (2.0 / 19)
#define MATH_LOG_C10 (2.0 / 21)

// The bits of sqrt(1/2): the mantissa of log's argument is brought into [sqrt(1/2), sqrt(2)).
#define MATH_SQRT_HALF_BITS 0x3fe6a09e667f3bcdu
#define MATH_ONE_BITS 0x3ff0000000000000u

// A value in two parts, the second below the last digit of the first.
typedef struct tp_math_pair {
    double high;
    double low;
} tp_math_pair;

// exp(x + tail) for a tail below the last digit of x; far out too.
double tp_math_exp_tail(double x, double tail);

// ref/math_tables.c.
enum { MATH_ERF_COUNT = 49, MATH_ZETA_COUNT = 28 };
extern const tp_math_pair tp_math_erf_table[MATH_ERF_COUNT];
extern const double tp_math_zeta_table[MATH_ZETA_COUNT];

// ref/libm_tables.c. A power 2^(k/n): the nearest double less k/n of an exponent, in bits, and what
// it lacks of the power, as a part of itself.
typedef struct tp_libm_power {
    uint64_t bits;
    double tail;
} tp_libm_power;

enum { MATH_LIBM_EXP_COUNT = 128, MATH_LIBM_EXPF_COUNT = 32 };
extern const tp_libm_power tp_libm_exp_table[MATH_LIBM_EXP_COUNT];
extern const uint64_t tp_libm_expf_table[MATH_LIBM_EXPF_COUNT];

#endif
