// SPDX-License-Identifier: Apache-2.0
//
// The last resort of reading a decimal number: its exact comparison with the point half way between
// two neighbouring doubles, in integers of up to 4,096 bits on the stack.
//
// A half-way point between doubles has at most 767 significant digits, so of a longer text the
// first 768 count and a digit 1 behind them stands for all others that are not zero.
#include "table/value_priv.h"

#include <assert.h>
#include <string.h>

enum { BIG_LIMBS = 64, DIGITS_KEPT = 768 };

typedef struct big {
    uint64_t limbs[BIG_LIMBS]; // least significant first
    size_t count;
} big;

static void big_multiply_add(big *value, uint64_t factor, uint64_t addend)
{
    uint64_t carry = addend;
    for (size_t i = 0; i < value->count; i++) {
        const unsigned __int128 sum = (unsigned __int128)value->limbs[i] * factor + carry;
        value->limbs[i] = (uint64_t)sum;
        carry = (uint64_t)(sum >> 64);
    }
    if (carry != 0) {
        assert(value->count < BIG_LIMBS);
        value->limbs[value->count++] = carry;
    }
}

static void big_multiply_power5(big *value, int64_t exponent)
{
    const uint64_t power27 = UINT64_C(7450580596923828125); // 5^27, the largest in 64 bits
    for (; exponent >= 27; exponent -= 27) {
        big_multiply_add(value, power27, 0);
    }
    for (; exponent > 0; exponent--) {
        big_multiply_add(value, 5, 0);
    }
}

static void big_shift_left(big *value, size_t bits)
{
    const size_t limbs = bits / 64;
    if (bits % 64 != 0) {
        big_multiply_add(value, UINT64_C(1) << (bits % 64), 0);
    }
    assert(value->count + limbs <= BIG_LIMBS);
    memmove(value->limbs + limbs, value->limbs, value->count * sizeof value->limbs[0]);
    memset(value->limbs, 0, limbs * sizeof value->limbs[0]);
    value->count += limbs;
}

static int big_compare(const big *a, const big *b)
{
    if (a->count != b->count) {
        return a->count < b->count ? -1 : 1;
    }
    for (size_t i = a->count; i-- > 0;) {
        if (a->limbs[i] != b->limbs[i]) {
            return a->limbs[i] < b->limbs[i] ? -1 : 1;
        }
    }
    return 0;
}

// Reads the kept digits; `*exponent` becomes that of the integer which results.
static void big_from_decimal(big *ret_value, tp_decimal decimal, int64_t *ret_exponent)
{
    ret_value->count = 0;
    int64_t exponent = decimal.exponent;
    size_t kept = 0;
    bool is_sticky = false;
    for (size_t i = 0; i < decimal.digits.size; i++) {
        const char c = decimal.digits.data[i];
        if (c == '.' || (kept == 0 && c == '0')) {
            continue;
        }
        if (kept < DIGITS_KEPT) {
            big_multiply_add(ret_value, 10, (uint64_t)(c - '0'));
            kept++;
        } else {
            is_sticky |= c != '0';
            exponent++;
        }
    }
    if (is_sticky) {
        big_multiply_add(ret_value, 10, 1);
        exponent--;
    }
    *ret_exponent = exponent;
}

// decimal − half × 2^power, its sign.
static int compare_half(const big *digits, int64_t exponent, uint64_t half, int64_t power)
{
    big left = *digits;
    big right = {.limbs = {half}, .count = 1};
    if (exponent >= 0) {
        big_multiply_power5(&left, exponent);
    } else {
        big_multiply_power5(&right, -exponent);
    }
    if (exponent > power) {
        big_shift_left(&left, (size_t)(exponent - power));
    } else {
        big_shift_left(&right, (size_t)(power - exponent));
    }
    return big_compare(&left, &right);
}

// The point half way between the double of these bits and the next is half × 2^power.
static void half_above(uint64_t bits, uint64_t *ret_half, int64_t *ret_power)
{
    const uint64_t fraction = bits & ((UINT64_C(1) << 52) - 1);
    const int64_t biased = (int64_t)(bits >> 52);
    const uint64_t significand = biased == 0 ? fraction : fraction | UINT64_C(1) << 52;
    *ret_half = 2 * significand + 1;
    *ret_power = (biased == 0 ? 1 : biased) - 1075 - 1;
}

double tp_decimal_settle(tp_decimal decimal, double near)
{
    big digits;
    int64_t exponent;
    big_from_decimal(&digits, decimal, &exponent);
    uint64_t bits; // of a positive double, so that the next double is bits + 1
    memcpy(&bits, &near, sizeof bits);
    const uint64_t infinity = UINT64_C(0x7ff) << 52;
    if (bits == infinity) {
        bits--;
    }
    for (;;) {
        uint64_t half;
        int64_t power;
        half_above(bits, &half, &power);
        const int above = compare_half(&digits, exponent, half, power);
        if (above > 0 || (above == 0 && (bits & 1) != 0)) {
            bits++;
            if (bits == infinity) {
                break;
            }
            continue;
        }
        if (bits == 0) {
            break;
        }
        half_above(bits - 1, &half, &power);
        const int below = compare_half(&digits, exponent, half, power);
        if (below < 0 || (below == 0 && (bits & 1) != 0)) {
            bits--;
            continue;
        }
        break;
    }
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
