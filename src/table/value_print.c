// SPDX-License-Identifier: Apache-2.0
//
// Numbers to text: the shortest decimal that reads back to the same bits, and of those the one
// nearest to the value.
//
// The digits come from Schubfach (Giulietti, "The Schubfach way to render doubles", 2020): the
// interval of decimals that round to the value is scaled by one 128-bit power of ten, with the bits
// cut off kept as a sticky one, and the shortest candidate inside is picked. The layout is that of
// ECMAScript's Number::toString (plain from 1e-6 up to below 1e21, else with an exponent), but for
// the zero with a sign, which stays "-0" so that the bits come back.
#include "table/tp_value.h"

#include "table/value_priv.h"

#include <math.h>
#include <string.h>

enum { DIGITS_MAX = 20 };

typedef struct decimal_digits {
    uint64_t significand;
    int32_t exponent; // of ten
} decimal_digits;

// The 128 leading bits of 10^k, rounded up.
static tp_u128 power_rounded_up(int32_t k)
{
    const uint64_t *bits = tp_power_bits[k - TP_POWER_LOWEST];
    const bool is_exact = k >= 0 && k <= 55;
    const uint64_t low = bits[1] + !is_exact;
    return (tp_u128){bits[0] + (!is_exact && low == 0), low};
}

// factor × power / 2^128, its last bit set where anything was cut off.
static uint64_t round_to_odd(tp_u128 power, uint64_t factor)
{
    const tp_u128 low = tp_multiply_u64(power.low, factor);
    tp_u128 high = tp_multiply_u64(power.high, factor);
    high.low += low.high;
    high.high += high.low < low.high;
    return high.high | (high.low > 1);
}

// The bounds of what rounds to the value, and the value, all times 4 × 10^-k.
typedef struct scaled_interval {
    uint64_t lower;
    uint64_t value;
    uint64_t upper;
} scaled_interval;

static decimal_digits pick_shortest(scaled_interval v, int32_t k)
{
    const uint64_t s = v.value / 4;
    if (s >= 10) {
        const uint64_t tens = s / 10;
        const bool is_down_inside = v.lower <= 40 * tens;
        const bool is_up_inside = 40 * tens + 40 <= v.upper;
        if (is_down_inside != is_up_inside) {
            return (decimal_digits){tens + is_up_inside, k + 1};
        }
    }
    const bool is_down_inside = v.lower <= 4 * s;
    const bool is_up_inside = 4 * s + 4 <= v.upper;
    if (is_down_inside != is_up_inside) {
        return (decimal_digits){s + is_up_inside, k};
    }
    const uint64_t middle = 4 * s + 2;
    const bool is_rounded_up = v.value > middle || (v.value == middle && (s & 1) != 0);
    return (decimal_digits){s + is_rounded_up, k};
}

// `bits` of a finite double above zero.
static decimal_digits shortest_digits(uint64_t bits)
{
    const uint64_t fraction = bits & ((UINT64_C(1) << 52) - 1);
    const int32_t biased = (int32_t)(bits >> 52);
    const uint64_t c = biased == 0 ? fraction : fraction | UINT64_C(1) << 52;
    const int32_t q = (biased == 0 ? 1 : biased) - 1075;
    if (q <= 0 && q > -53 && (c & ((UINT64_C(1) << -q) - 1)) == 0) {
        return (decimal_digits){c >> -q, 0};
    }
    const bool is_lower_closer = fraction == 0 && biased > 1;
    const bool is_open = (c & 1) != 0; // the bounds round to the even neighbour
    const int32_t k = (q * 1262611 - (is_lower_closer ? 524031 : 0)) >> 22;
    const int32_t shift = q + ((-k * 1741647) >> 19) + 1;
    const tp_u128 power = power_rounded_up(-k);
    const scaled_interval interval = {
        .lower = round_to_odd(power, (4 * c - 2 + is_lower_closer) << shift) + is_open,
        .value = round_to_odd(power, (4 * c) << shift),
        .upper = round_to_odd(power, (4 * c + 2) << shift) - is_open,
    };
    return pick_shortest(interval, k);
}

static size_t print_u64(uint64_t value, char *ret_text)
{
    char reversed[DIGITS_MAX];
    size_t count = 0;
    do {
        reversed[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    for (size_t i = 0; i < count; i++) {
        ret_text[i] = reversed[count - 1 - i];
    }
    return count;
}

// `point` digits stand before the point; it may lie outside the digits.
static size_t print_plain(const char *digits, size_t count, int32_t point, char *ret_text)
{
    size_t size = 0;
    if (point <= 0) {
        ret_text[size++] = '0';
        ret_text[size++] = '.';
        memset(ret_text + size, '0', (size_t)-point);
        size += (size_t)-point;
        memcpy(ret_text + size, digits, count);
        return size + count;
    }
    const size_t whole = (size_t)point;
    if (whole >= count) {
        memcpy(ret_text, digits, count);
        memset(ret_text + count, '0', whole - count);
        return whole;
    }
    memcpy(ret_text, digits, whole);
    ret_text[whole] = '.';
    memcpy(ret_text + whole + 1, digits + whole, count - whole);
    return count + 1;
}

static size_t print_scientific(const char *digits, size_t count, int32_t point, char *ret_text)
{
    size_t size = 0;
    ret_text[size++] = digits[0];
    if (count > 1) {
        ret_text[size++] = '.';
        memcpy(ret_text + size, digits + 1, count - 1);
        size += count - 1;
    }
    const int32_t exponent = point - 1;
    ret_text[size++] = 'e';
    ret_text[size++] = exponent < 0 ? '-' : '+';
    return size + print_u64((uint64_t)(exponent < 0 ? -exponent : exponent), ret_text + size);
}

size_t tp_print_f64(double value, char *ret_text)
{
    if (isnan(value)) {
        memcpy(ret_text, "nan", 3);
        return 3;
    }
    size_t sign = 0;
    if (signbit(value)) {
        ret_text[sign++] = '-';
        value = -value;
    }
    if (isinf(value)) {
        memcpy(ret_text + sign, "inf", 3);
        return sign + 3;
    }
    if (value == 0.0) {
        ret_text[sign] = '0';
        return sign + 1;
    }
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    const decimal_digits shortest = shortest_digits(bits);
    char digits[DIGITS_MAX];
    size_t count = print_u64(shortest.significand, digits);
    const int32_t point = (int32_t)count + shortest.exponent;
    while (digits[count - 1] == '0') {
        count--;
    }
    const bool is_plain = point > -6 && point <= 21;
    return sign + (is_plain ? print_plain(digits, count, point, ret_text + sign)
                            : print_scientific(digits, count, point, ret_text + sign));
}

size_t tp_print_i64(int64_t value, char *ret_text)
{
    if (value >= 0) {
        return print_u64((uint64_t)value, ret_text);
    }
    ret_text[0] = '-';
    return 1 + print_u64(0 - (uint64_t)value, ret_text + 1);
}
