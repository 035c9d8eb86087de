// SPDX-License-Identifier: Apache-2.0
//
// Text to numbers and booleans.
//
// Floating point is correctly rounded (to nearest, ties to even) on every machine, without the C
// library and its locale. Three ways, the quickest that is sure: up to 2^53 times a power of ten up
// to 10^22 is one exact multiplication or division (Clinger, 1990); up to 19 digits is a product
// with the 128 leading bits of the power of ten (Lemire, "Number parsing at a gigabyte per second",
// 2021, and Mushtak and Lemire, "Fast number parsing without fallback", 2023, who prove that those
// bits suffice); longer numbers take that for the first 19 digits rounded down and up, and where
// the two differ, value_exact.c compares big integers.
#include "table/tp_value.h"

#include "table/value_priv.h"

#include <math.h>
#include <string.h>

enum { DIGITS_IN_U64 = 19 };

// Powers beyond these are zero or infinite whatever the digits are.
static const int64_t exponent_bound = INT64_C(1) << 40;

typedef struct number {
    bool is_negative;
    bool is_truncated; // there are nonzero digits beyond the first 19
    uint64_t mantissa; // the first 19 significant digits
    int64_t exponent;  // of ten, for `mantissa`
    tp_decimal decimal;
} number;

static bool is_digit(char c)
{
    return (unsigned)(c - '0') < 10u;
}

// -- floating point ------------------------------------------------------------------------------

// Digits from `*at` on into `n->mantissa` while they fit; returns how many digits were passed.
static size_t scan_digits(tp_str text, size_t *at, number *n, size_t *taken, size_t *dropped)
{
    const size_t begin = *at;
    size_t i = begin;
    for (; i < text.size && is_digit(text.data[i]); i++) {
        const unsigned digit = (unsigned)(text.data[i] - '0');
        if (*taken < DIGITS_IN_U64) {
            n->mantissa = n->mantissa * 10 + digit;
            *taken += n->mantissa != 0;
        } else {
            n->is_truncated |= digit != 0;
            *dropped += 1;
        }
    }
    *at = i;
    return i - begin;
}

static bool scan_exponent(tp_str text, size_t *at, int64_t *ret_exponent)
{
    size_t i = *at + 1;
    const bool is_negative = i < text.size && text.data[i] == '-';
    if (i < text.size && (text.data[i] == '-' || text.data[i] == '+')) {
        i++;
    }
    if (i >= text.size) {
        return false;
    }
    int64_t value = 0;
    for (; i < text.size && is_digit(text.data[i]); i++) {
        value = value < exponent_bound ? value * 10 + (text.data[i] - '0') : value;
    }
    *ret_exponent = is_negative ? -value : value;
    *at = i;
    return is_digit(text.data[i - 1]);
}

static bool scan_number(tp_str text, number *ret_number)
{
    number n = {0};
    size_t at = 0;
    if (at < text.size && (text.data[at] == '-' || text.data[at] == '+')) {
        n.is_negative = text.data[at] == '-';
        at++;
    }
    const size_t begin = at;
    size_t taken = 0;
    size_t dropped = 0;
    size_t digit_count = scan_digits(text, &at, &n, &taken, &dropped);
    size_t fraction_count = 0;
    size_t dropped_whole = dropped;
    if (at < text.size && text.data[at] == '.') {
        at++;
        fraction_count = scan_digits(text, &at, &n, &taken, &dropped);
        digit_count += fraction_count;
    }
    if (digit_count == 0) {
        return false;
    }
    n.decimal.digits = (tp_str){text.data + begin, at - begin};
    int64_t exponent = 0;
    if (at < text.size && (text.data[at] | 0x20) == 'e' && !scan_exponent(text, &at, &exponent)) {
        return false;
    }
    if (at != text.size) {
        return false;
    }
    const size_t dropped_fraction = dropped - dropped_whole;
    n.decimal.exponent = exponent - (int64_t)fraction_count;
    n.exponent = exponent + (int64_t)dropped_whole - (int64_t)(fraction_count - dropped_fraction);
    *ret_number = n;
    return true;
}

static double double_from_bits(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

// The 128 leading bits of 10^q, rounded as the proof asks: up where 10^-q divides no power of two
// but the quotient may be exact to 64 bits (-27 … -1), down elsewhere.
static tp_u128 power_of_ten(int64_t q)
{
    const uint64_t *bits = tp_power_bits[q - TP_POWER_LOWEST];
    const tp_u128 power = {bits[0], bits[1]};
    if (q < -27 || q >= 0) {
        return power;
    }
    return (tp_u128){power.high + (power.low == UINT64_MAX), power.low + 1};
}

// mantissa × 10^q, correctly rounded.
static double scale(uint64_t mantissa, int64_t q)
{
    if (mantissa == 0 || q < TP_POWER_LOWEST) {
        return 0.0;
    }
    if (q > 308) {
        return INFINITY;
    }
    const int zeros = __builtin_clzll(mantissa);
    const uint64_t w = mantissa << zeros;
    const tp_u128 power = power_of_ten(q);
    tp_u128 product = tp_multiply_u64(w, power.high);
    if ((product.high & 0x1ff) == 0x1ff) {
        const tp_u128 low = tp_multiply_u64(w, power.low);
        product.low += low.high;
        product.high += product.low < low.high;
    }
    const int upper = (int)(product.high >> 63);
    const int shift = upper + 64 - 52 - 3;
    uint64_t bits = product.high >> shift; // 54 bits: the significand and one to round by
    int64_t biased = ((217706 * q) >> 16) + 63 + upper - zeros + 1023;
    if (biased <= 0) {
        if (biased <= -63) {
            return 0.0;
        }
        bits >>= 1 - biased;
        bits = (bits + (bits & 1)) >> 1;
        return double_from_bits(bits); // a carry into bit 52 makes the smallest normal number
    }
    const bool is_tie =
        product.low <= 1 && q >= -4 && q <= 23 && (bits & 3) == 1 && bits << shift == product.high;
    if (is_tie) {
        bits &= ~UINT64_C(1);
    }
    bits = (bits + (bits & 1)) >> 1;
    if (bits == UINT64_C(1) << 53) {
        bits >>= 1;
        biased++;
    }
    if (biased >= 2047) {
        return INFINITY;
    }
    return double_from_bits((bits & ~(UINT64_C(1) << 52)) | (uint64_t)biased << 52);
}

// Those that a double holds exactly.
static const double exact_powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                      1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                      1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static double number_value(const number *n)
{
    if (n->mantissa <= UINT64_C(1) << 53 && n->exponent >= -22 && n->exponent <= 22 &&
        !n->is_truncated) {
        const double digits = (double)n->mantissa;
        return n->exponent < 0 ? digits / exact_powers[-n->exponent]
                               : digits * exact_powers[n->exponent];
    }
    const double below = scale(n->mantissa, n->exponent);
    if (!n->is_truncated || below == scale(n->mantissa + 1, n->exponent)) {
        return below;
    }
    return tp_decimal_settle(n->decimal, below);
}

// Digits with or without a point among them, few enough for one exact division: most of what stands
// in files. False for all else, right or wrong.
static bool parse_plain(tp_str text, double *ret_value)
{
    enum { PLAIN_MAX = 18 }; // bytes; the digits fit 64 bits
    const bool is_negative = text.size > 0 && text.data[0] == '-';
    const size_t begin = is_negative;
    size_t point = text.size;
    uint64_t digits = 0;
    if (text.size > PLAIN_MAX || text.size == begin || !is_digit(text.data[begin])) {
        return false;
    }
    for (size_t i = begin; i < text.size; i++) {
        if (is_digit(text.data[i])) {
            digits = digits * 10 + (unsigned)(text.data[i] - '0');
        } else if (text.data[i] == '.' && point == text.size) {
            point = i;
        } else {
            return false;
        }
    }
    if (digits > UINT64_C(1) << 53) {
        return false;
    }
    const size_t fraction = point == text.size ? 0 : text.size - point - 1;
    const double value = (double)digits / exact_powers[fraction];
    *ret_value = is_negative ? -value : value;
    return true;
}

static bool parse_word(tp_str text, double *ret_value)
{
    double sign = 1.0;
    if (text.size > 0 && (text.data[0] == '-' || text.data[0] == '+')) {
        sign = text.data[0] == '-' ? -1.0 : 1.0;
        text.data++;
        text.size--;
    }
    if (tp_str_equal_ignore_case(text, TP_STR("inf")) ||
        tp_str_equal_ignore_case(text, TP_STR("infinity"))) {
        *ret_value = sign * INFINITY;
        return true;
    }
    if (tp_str_equal_ignore_case(text, TP_STR("nan"))) {
        *ret_value = NAN;
        return true;
    }
    return false;
}

bool tp_parse_f64(tp_str text, double *ret_value)
{
    number n;
    if (parse_plain(text, ret_value)) {
        return true;
    }
    if (!scan_number(text, &n)) {
        return parse_word(text, ret_value);
    }
    const double value = number_value(&n);
    *ret_value = n.is_negative ? -value : value;
    return true;
}

// -- integers and booleans -----------------------------------------------------------------------

bool tp_parse_i64(tp_str text, int64_t *ret_value)
{
    size_t at = 0;
    const bool is_negative = text.size > 0 && text.data[0] == '-';
    if (text.size > 0 && (text.data[0] == '-' || text.data[0] == '+')) {
        at = 1;
    }
    if (at == text.size) {
        return false;
    }
    uint64_t magnitude = 0;
    for (; at < text.size; at++) {
        if (!is_digit(text.data[at]) || __builtin_mul_overflow(magnitude, 10u, &magnitude) ||
            __builtin_add_overflow(magnitude, (unsigned)(text.data[at] - '0'), &magnitude)) {
            return false;
        }
    }
    const uint64_t bound = (uint64_t)INT64_MAX + is_negative;
    if (magnitude > bound) {
        return false;
    }
    *ret_value = is_negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return true;
}

bool tp_parse_bool(tp_str text, bool *ret_value)
{
    const bool is_true = tp_str_equal_ignore_case(text, TP_STR("true"));
    if (!is_true && !tp_str_equal_ignore_case(text, TP_STR("false"))) {
        return false;
    }
    *ret_value = is_true;
    return true;
}
