// SPDX-License-Identifier: Apache-2.0
//
// Numbers of a schema, read exactly; and those between bounds, and multiples, as automata over
// their digits.
//
// With bounds or a multiple, a number is written without exponent: digits, and up to F decimals. In
// units of 10^-F both bounds are whole and inclusive. For each count of digits before the point,
// one walks from the left and keeps whether all digits so far are those of the lower bound, those
// of the upper, and the remainder so far. Once both bounds are left, only the number of digits to
// come and the remainder count, and those nodes are shared.
#include "llm/grammar/schema_priv.h"

#include "base/tp_alloc.h"

#include <string.h>

enum { MAX_DIGITS = 40, MAX_MULTIPLE = 256 };

// -- the value of a number -----------------------------------------------------------------------
// A JSON number as a multiple of 10^-18, exactly; its shortest decimal form is what is meant.
schema_decimal tp_schema_decimal(schema_compiler *c, yyjson_val *number)
{
    tp_buffer text;
    schema_decimal value = 0;
    int exponent = SCHEMA_DECIMALS;
    bool fits = yyjson_is_num(number);
    tp_buffer_init(&text, c->b->alloc, 64);
    if (yyjson_is_uint(number)) {
        tp_json_append_u64(&text, yyjson_get_uint(number));
    } else if (yyjson_is_sint(number)) {
        tp_json_append_i64(&text, yyjson_get_sint(number));
    } else {
        tp_json_append_f64(&text, yyjson_get_real(number));
    }
    if (text.status != TAPEOUT_OK) {
        tp_grammar_fail_nomem(c->b);
    }
    bool is_fraction = false;
    for (size_t i = 0; i < text.size; i++) {
        const char letter = text.data[i];
        if (letter >= '0' && letter <= '9') {
            value = value * 10 + (letter - '0'); // at most 20 digits
            exponent -= is_fraction ? 1 : 0;
        } else if (letter == '.') {
            is_fraction = true;
        } else if (letter == 'e' || letter == 'E') {
            int64_t power = 0;
            const size_t from = i + (text.data[i + 1] == '+' ? 2 : 1);
            fits = fits && tp_str_to_int64((tp_str){text.data + from, text.size - from}, &power);
            exponent += (int)power;
            break;
        }
    }
    const bool is_negative = text.size > 0 && text.data[0] == '-';
    tp_buffer_deinit(&text);
    for (; exponent < 0 && value % 10 == 0 && value != 0; exponent++) {
        value /= 10;
    }
    const schema_decimal most = (schema_decimal)1000000000000000000 * 1000000000000000000 * 10;
    for (; exponent > 0 && value != 0 && value < most; exponent--) {
        value *= 10;
    }
    if (!fits || (value != 0 && exponent != 0) || value > most) {
        tp_schema_fail(c, yyjson_is_num(number) ? TAPEOUT_E_UNSUPPORTED : TAPEOUT_E_INVALID, number,
                       "a number below 1e19 with at most 18 decimals is expected");
        return 0;
    }
    return is_negative ? -value : value;
}

// -- digits --------------------------------------------------------------------------------------
typedef struct number_walk {
    grammar_builder *b;
    uint32_t decimals; // F
    uint32_t multiple; // of units
    uint32_t next;
    uint32_t length; // digits before the point and behind
    char low[MAX_DIGITS], high[MAX_DIGITS];
    uint32_t *nodes; // by digits to come, bounds met, remainder; 0 not yet
} number_walk;

enum { ON_LOW = 1, ON_HIGH = 2 };

static schema_decimal power_of_ten(uint32_t exponent)
{
    schema_decimal power = 1;
    for (uint32_t i = 0; i < exponent; i++) {
        power *= 10;
    }
    return power;
}

static void print_digits(schema_decimal value, char *digits, uint32_t count)
{
    for (uint32_t i = count; i > 0; i--) {
        digits[i - 1] = (char)(value % 10);
        value /= 10;
    }
}

static bool is_zero(const char *digits, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (digits[i] != 0) {
            return false;
        }
    }
    return true;
}

// True when the number may end with `left` digits not written, which are zeros.
static bool may_end(const number_walk *w, uint32_t left, uint32_t bounds, uint32_t remainder)
{
    if (left > w->decimals ||
        ((bounds & ON_LOW) != 0 && !is_zero(w->low + w->length - left, left))) {
        return false;
    }
    return remainder * (power_of_ten(left) % w->multiple) % w->multiple == 0;
}

static uint32_t walk(number_walk *w, uint32_t left, uint32_t bounds, uint32_t remainder);

// What follows a digit: the end, the point, or the next digit.
static uint32_t after_digit(number_walk *w, uint32_t left, uint32_t bounds, uint32_t remainder)
{
    uint32_t more = left == 0 ? (uint32_t)GRAMMAR_DEAD : walk(w, left, bounds, remainder);
    if (left == w->decimals && left > 0) {
        more = tp_grammar_bytes(w->b, '.', '.', more);
    }
    return may_end(w, left, bounds, remainder) ? tp_grammar_split(w->b, w->next, more) : more;
}

// The node that reads the first of `left` digits.
static uint32_t walk(number_walk *w, uint32_t left, uint32_t bounds, uint32_t remainder)
{
    uint32_t *known = &w->nodes[(left * 4 + bounds) * w->multiple + remainder];
    if (*known != 0 || w->b->status != TAPEOUT_OK) {
        return *known;
    }
    const uint32_t at = w->length - left;
    const int least = (bounds & ON_LOW) != 0 ? w->low[at] : 0;
    const int most = (bounds & ON_HIGH) != 0 ? w->high[at] : 9;
    const uint32_t node = tp_grammar_node(w->b, GRAMMAR_BYTES, 0, 0);
    uint32_t free_target[MAX_MULTIPLE];
    memset(free_target, 0, sizeof(free_target));
    for (int digit = least; digit <= most; digit++) {
        uint32_t kept = (bounds & ON_LOW) != 0 && digit == least ? (uint32_t)ON_LOW : 0;
        kept |= (bounds & ON_HIGH) != 0 && digit == most ? (uint32_t)ON_HIGH : 0;
        const uint32_t rest = (remainder * 10 + (uint32_t)digit) % w->multiple;
        uint32_t target = kept == 0 ? free_target[rest] : 0;
        if (target == 0) {
            target = after_digit(w, left - 1, kept, rest);
        }
        if (kept == 0) {
            free_target[rest] = target;
        }
        tp_grammar_add_bytes(w->b, node,
                             (grammar_edge){.target = target,
                                            .low = (uint8_t)('0' + digit),
                                            .high = (uint8_t)('0' + digit)});
    }
    *known = node;
    return node;
}

// Numbers from low to high, neither below zero, in units; entered where the first digit is read.
static uint32_t not_negative(number_walk *w, schema_decimal low, schema_decimal high)
{
    const uint32_t split = tp_grammar_node(w->b, GRAMMAR_SPLIT, 0, 0);
    const schema_decimal unit = power_of_ten(w->decimals);
    schema_decimal first = 0; // the least with this many digits
    for (uint32_t digits = 1; digits <= SCHEMA_DECIMALS + 1; digits++) {
        const schema_decimal last = power_of_ten(digits) * unit - 1;
        const schema_decimal from = low > first ? low : first;
        const schema_decimal to = high < last ? high : last;
        if (from <= to) {
            w->length = digits + w->decimals;
            print_digits(from, w->low, w->length);
            print_digits(to, w->high, w->length);
            for (uint32_t i = 0; i < MAX_DIGITS; i++) { // all but those that met no bound
                memset(w->nodes + (size_t)(i * 4 + 1) * w->multiple, 0,
                       3 * (size_t)w->multiple * sizeof(*w->nodes));
            }
            tp_grammar_add(w->b, split, walk(w, w->length, ON_LOW | ON_HIGH, 0));
        }
        first = last + 1;
    }
    return split;
}

static uint32_t between(number_walk *w, schema_decimal low, schema_decimal high)
{
    const uint32_t split = tp_grammar_node(w->b, GRAMMAR_SPLIT, 0, 0);
    if (high >= 0) {
        tp_grammar_add(w->b, split, not_negative(w, low > 0 ? low : 0, high));
    }
    if (low < 0) {
        const uint32_t digits = not_negative(w, high < -1 ? -high : 1, -low);
        tp_grammar_add(w->b, split, tp_grammar_bytes(w->b, '-', '-', digits));
    }
    return split;
}

static uint32_t count_decimals(schema_decimal value)
{
    uint32_t count = SCHEMA_DECIMALS;
    while (count > 0 && value % 10 == 0) {
        value /= 10;
        count--;
    }
    return count;
}

static uint32_t count_whole_digits(schema_decimal value)
{
    value = (value < 0 ? -value : value) / power_of_ten(SCHEMA_DECIMALS);
    uint32_t count = 1;
    for (; value >= 10; value /= 10) {
        count++;
    }
    return count;
}

static uint32_t greater(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

// Enough decimals for the bounds; beyond that as many as float64 tells apart near them.
static uint32_t choose_decimals(const schema_facts *facts)
{
    uint32_t least = 0;
    uint32_t whole = 1;
    if ((facts->types & SCHEMA_FRACTION) == 0) {
        return 0;
    }
    if (facts->multiple != 0) {
        return count_decimals(facts->multiple);
    }
    if (facts->has_low) {
        least = greater(least, count_decimals(facts->low));
        whole = greater(whole, count_whole_digits(facts->low));
    }
    if (facts->has_high) {
        least = greater(least, count_decimals(facts->high));
        whole = greater(whole, count_whole_digits(facts->high));
    }
    return greater(least, whole < 15 ? 15 - whole : 0);
}

// floor(value / unit) for either sign.
static schema_decimal floor_units(schema_decimal value, schema_decimal unit)
{
    const schema_decimal whole = value / unit;
    return value % unit < 0 ? whole - 1 : whole;
}

static uint32_t bounded(schema_compiler *c, const schema_facts *facts, uint32_t next)
{
    grammar_builder *b = c->b;
    const uint32_t decimals = choose_decimals(facts);
    const schema_decimal unit = power_of_ten(SCHEMA_DECIMALS - decimals);
    const schema_decimal most = power_of_ten(SCHEMA_DECIMALS + decimals) - 1;
    // Whole multiples of an integer's fraction are multiples of both.
    schema_decimal multiple = facts->multiple == 0 ? 1 : facts->multiple / unit;
    if (facts->multiple != 0 && facts->multiple % unit != 0) {
        tp_grammar_fail(b, TAPEOUT_E_UNSUPPORTED,
                        "schema: multipleOf with decimals for an integer is not supported");
        return GRAMMAR_DEAD;
    }
    if (multiple > MAX_MULTIPLE) {
        tp_grammar_fail(b, TAPEOUT_E_UNSUPPORTED,
                        "schema: multipleOf beyond %d (its last decimal taken as one) is not "
                        "supported",
                        MAX_MULTIPLE);
        return GRAMMAR_DEAD;
    }
    schema_decimal low = facts->has_low ? -floor_units(-facts->low, unit) : -most;
    schema_decimal high = facts->has_high ? floor_units(facts->high, unit) : most;
    low += facts->has_low && facts->is_low_open && low * unit == facts->low ? 1 : 0;
    high -= facts->has_high && facts->is_high_open && high * unit == facts->high ? 1 : 0;
    low = low < -most ? -most : low;
    high = high > most ? most : high;
    number_walk w = {.b = b, .decimals = decimals, .multiple = (uint32_t)multiple, .next = next};
    const size_t node_count = (size_t)MAX_DIGITS * 4 * w.multiple;
    w.nodes = tp_alloc_array_zero(b->alloc, node_count, sizeof(*w.nodes));
    if (w.nodes == NULL) {
        tp_grammar_fail_nomem(b);
        return GRAMMAR_DEAD;
    }
    const uint32_t entry = between(&w, low, high);
    tp_free_array(b->alloc, w.nodes, node_count, sizeof(*w.nodes));
    return entry;
}

bool tp_schema_number_fits(const schema_facts *facts, schema_decimal value)
{
    if (facts->has_low && (value < facts->low || (facts->is_low_open && value == facts->low))) {
        return false;
    }
    if (facts->has_high && (value > facts->high || (facts->is_high_open && value == facts->high))) {
        return false;
    }
    return facts->multiple == 0 || value % facts->multiple == 0;
}

uint32_t tp_schema_number(schema_compiler *c, const schema_facts *facts, uint32_t next)
{
    static const char integer[] = "-?(0|[1-9][0-9]{0,17})";
    static const char number[] = "-?(0|[1-9][0-9]{0,17})(\\.[0-9]{1,17})?([eE][-+]?[0-9]{1,2})?";
    const bool is_integer = (facts->types & SCHEMA_FRACTION) == 0;
    if (facts->has_low || facts->has_high || facts->multiple != 0) {
        return bounded(c, facts, next);
    }
    uint32_t *rule = is_integer ? &c->integer : &c->number;
    if (*rule == UINT32_MAX) {
        *rule = tp_grammar_rule(c->b);
        const uint32_t start = tp_schema_regex(c, is_integer ? integer : number, GRAMMAR_DONE);
        if (c->b->status == TAPEOUT_OK) {
            c->b->rules[*rule] = start;
        }
    }
    return tp_grammar_call(c->b, *rule, next);
}
