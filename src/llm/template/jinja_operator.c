// SPDX-License-Identifier: Apache-2.0
//
// Operators of two values. Integers are 64 bits wide where Python's have no bound: what would pass
// them is refused and never wraps. Division is true division, // and % round down as Python's.
#include "llm/template/jinja_priv.h"
#include "llm/template/jinja_string_priv.h"

#include "base/limits.h"

#include <math.h>

static tapeout_status fail_kinds(tp_jinja_run *run, const char *sign, const tp_jinja_value *a,
                                 const tp_jinja_value *b)
{
    const tp_jinja_value *undefined = a->kind == TP_JINJA_UNDEFINED   ? a
                                      : b->kind == TP_JINJA_UNDEFINED ? b
                                                                      : NULL;
    if (undefined != NULL) {
        return tp_jinja_fail(run, "'%.*s' is undefined", TP_STR_ARGS(tp_jinja_bytes(undefined)));
    }
    return tp_jinja_fail(run, "%s %s %s has no meaning", tp_jinja_type_name(a), sign,
                         tp_jinja_type_name(b));
}

static int64_t to_int(const tp_jinja_value *value)
{
    return value->kind == TP_JINJA_INT ? value->integer : value->boolean;
}

static bool power_int(int64_t base, int64_t exponent, int64_t *ret)
{
    int64_t result = 1;
    bool overflow = false;
    while (exponent > 0 && !overflow) {
        if ((exponent & 1) != 0) {
            overflow = __builtin_mul_overflow(result, base, &result);
        }
        exponent >>= 1;
        if (exponent > 0) {
            overflow = overflow || __builtin_mul_overflow(base, base, &base);
        }
    }
    *ret = result;
    return !overflow;
}

// Both integers, an integer result.
static tapeout_status integers(tp_jinja_run *run, tp_jinja_token_kind op, int64_t a, int64_t b,
                               tp_jinja_value *ret)
{
    int64_t result = 0;
    bool overflow = false;
    switch ((int)op) {
    case TP_JINJA_T_ADD:
        overflow = __builtin_add_overflow(a, b, &result);
        break;
    case TP_JINJA_T_SUB:
        overflow = __builtin_sub_overflow(a, b, &result);
        break;
    case TP_JINJA_T_MUL:
        overflow = __builtin_mul_overflow(a, b, &result);
        break;
    case TP_JINJA_T_POW:
        overflow = !power_int(a, b, &result);
        break;
    default:
        if (b == 0) {
            return tp_jinja_fail(run, "division by zero");
        }
        overflow = b == -1 && a == INT64_MIN;
        if (!overflow) {
            const int64_t rest = a % b;
            const bool is_below = rest != 0 && (rest < 0) != (b < 0);
            result = op == TP_JINJA_T_MOD ? rest + (is_below ? b : 0) : a / b - is_below;
        }
    }
    if (overflow) {
        return tp_jinja_fail(run, "an integer that does not fit 64 bits");
    }
    *ret = tp_jinja_int(result);
    return TAPEOUT_OK;
}

static tapeout_status floats(tp_jinja_run *run, tp_jinja_token_kind op, double a, double b,
                             tp_jinja_value *ret)
{
    double result = 0;
    if (b == 0 && op >= TP_JINJA_T_DIV && op <= TP_JINJA_T_MOD) {
        return tp_jinja_fail(run, "division by zero");
    }
    switch ((int)op) {
    case TP_JINJA_T_ADD:
        result = a + b;
        break;
    case TP_JINJA_T_SUB:
        result = a - b;
        break;
    case TP_JINJA_T_MUL:
        result = a * b;
        break;
    case TP_JINJA_T_DIV:
        result = a / b;
        break;
    case TP_JINJA_T_POW:
        result = pow(a, b);
        break;
    default: {
        double rest = fmod(a, b);
        const double whole = (a - rest) / b;
        const bool is_below = rest != 0 && (rest < 0) != (b < 0);
        rest += is_below ? b : 0;
        result = op == TP_JINJA_T_MOD ? rest : floor(whole + 0.5) - is_below;
    }
    }
    *ret = tp_jinja_float(result);
    return TAPEOUT_OK;
}

static tapeout_status numbers(tp_jinja_run *run, tp_jinja_token_kind op, const tp_jinja_value *a,
                              const tp_jinja_value *b, tp_jinja_value *ret)
{
    const bool is_exact = a->kind != TP_JINJA_FLOAT && b->kind != TP_JINJA_FLOAT &&
                          op != TP_JINJA_T_DIV && !(op == TP_JINJA_T_POW && to_int(b) < 0);
    const bool mark = a->is_untrusted || b->is_untrusted;
    if (is_exact) {
        TP_TRY(integers(run, op, to_int(a), to_int(b), ret));
    } else {
        TP_TRY(floats(run, op, tp_jinja_to_double(a), tp_jinja_to_double(b), ret));
    }
    ret->is_untrusted = mark;
    return TAPEOUT_OK;
}

static tapeout_status add_texts(tp_jinja_run *run, const tp_jinja_text *a, const tp_jinja_text *b,
                                tp_jinja_value *ret)
{
    tp_jinja_out out;
    tp_jinja_out_init(&out, run->arena);
    tp_jinja_put_text(&out, a);
    tp_jinja_put_text(&out, b);
    return tp_jinja_take(run, &out, ret);
}

static tapeout_status add_lists(tp_jinja_run *run, const tp_jinja_list *a, const tp_jinja_list *b,
                                tp_jinja_value *ret)
{
    tp_jinja_value made;
    TP_TRY(tp_jinja_spend(run, a->count + b->count));
    TP_TRY(tp_jinja_list_new(run, a->flavour, a->count + b->count, &made));
    for (size_t i = 0; i < a->count + b->count; i++) {
        made.list->items[i] = i < a->count ? a->items[i] : b->items[i - a->count];
    }
    made.list->count = a->count + b->count;
    made.list->is_untrusted = a->is_untrusted || b->is_untrusted;
    *ret = made;
    return TAPEOUT_OK;
}

// "ab" * 3, [1] * 3.
static tapeout_status repeat(tp_jinja_run *run, const tp_jinja_value *value, int64_t count,
                             tp_jinja_value *ret)
{
    tp_jinja_out out;
    tp_jinja_out_init(&out, run->arena);
    if (value->kind == TP_JINJA_TEXT) {
        for (int64_t i = 0; i < count && value->text->size > 0 && !out.has_failed; i++) {
            TP_TRY(tp_jinja_spend(run, 1));
            tp_jinja_put_text(&out, value->text);
        }
        return tp_jinja_take(run, &out, ret);
    }
    tp_jinja_value made;
    TP_TRY(tp_jinja_list_new(run, value->list->flavour, 0, &made));
    made.list->is_untrusted = value->list->is_untrusted;
    for (int64_t i = 0; i < count && value->list->count > 0; i++) {
        for (size_t k = 0; k < value->list->count; k++) {
            TP_TRY(tp_jinja_spend(run, 1));
            TP_TRY(tp_jinja_list_add(run, made.list, value->list->items[k]));
        }
    }
    *ret = made;
    return TAPEOUT_OK;
}

static bool is_sequence(const tp_jinja_value *value)
{
    return value->kind == TP_JINJA_TEXT ||
           (value->kind == TP_JINJA_LIST && value->list->flavour <= TP_JINJA_TUPLE);
}

static bool is_whole(const tp_jinja_value *value)
{
    return value->kind == TP_JINJA_INT || value->kind == TP_JINJA_BOOL;
}

static tapeout_status compare(tp_jinja_run *run, tp_jinja_token_kind op, const tp_jinja_value *a,
                              const tp_jinja_value *b, tp_jinja_value *ret)
{
    bool holds = false;
    if (op == TP_JINJA_T_EQ || op == TP_JINJA_T_NE) {
        TP_TRY(tp_jinja_equal(run, a, b, &holds));
        holds = holds == (op == TP_JINJA_T_EQ);
    } else if (op == TP_JINJA_T_IN || op == TP_JINJA_T_NOT_IN) {
        TP_TRY(tp_jinja_contains(run, b, a, &holds));
        holds = holds == (op == TP_JINJA_T_IN);
    } else {
        int order;
        if (a->kind == TP_JINJA_UNDEFINED || b->kind == TP_JINJA_UNDEFINED) {
            return fail_kinds(run, "<", a, b);
        }
        TP_TRY(tp_jinja_compare(run, a, b, &order));
        const bool has_nan = (a->kind == TP_JINJA_FLOAT && isnan(a->number)) ||
                             (b->kind == TP_JINJA_FLOAT && isnan(b->number));
        holds = !has_nan && (op == TP_JINJA_T_GT   ? order > 0
                             : op == TP_JINJA_T_GE ? order >= 0
                             : op == TP_JINJA_T_LT ? order < 0
                                                   : order <= 0);
    }
    *ret = tp_jinja_bool(holds);
    return TAPEOUT_OK;
}

static tapeout_status format_by(tp_jinja_run *run, const tp_jinja_value *format,
                                const tp_jinja_value *value, tp_jinja_value *ret)
{
    tp_jinja_list one = {.flavour = TP_JINJA_TUPLE, .count = 1, .items = NULL};
    tp_jinja_value item = *value;
    one.items = &item;
    const bool is_tuple = value->kind == TP_JINJA_LIST && value->list->flavour == TP_JINJA_TUPLE;
    const bool is_container = value->kind == TP_JINJA_LIST || value->kind == TP_JINJA_DICT;
    if (is_container && !is_tuple &&
        tp_jinja_find_bytes(tp_jinja_bytes(format), TP_STR("%"), 0) == SIZE_MAX) {
        *ret = *format; // Python lets a container go unused, for it might be looked up by name
        return TAPEOUT_OK;
    }
    return tp_jinja_format(run, format->text, is_tuple ? value->list : &one, ret);
}

tapeout_status tp_jinja_binary(tp_jinja_run *run, tp_jinja_token_kind op, const tp_jinja_value *a,
                               const tp_jinja_value *b, tp_jinja_value *ret)
{
    static const char *const signs[] = {"+", "-", "*", "/", "//", "%", "**"};
    if (op >= TP_JINJA_T_EQ) {
        return compare(run, op, a, b, ret);
    }
    if (tp_jinja_is_number(a) && tp_jinja_is_number(b)) {
        return numbers(run, op, a, b, ret);
    }
    if (op == TP_JINJA_T_ADD && a->kind == TP_JINJA_TEXT && b->kind == TP_JINJA_TEXT) {
        return add_texts(run, a->text, b->text, ret);
    }
    if (op == TP_JINJA_T_ADD && a->kind == TP_JINJA_LIST && b->kind == TP_JINJA_LIST &&
        is_sequence(a) && a->list->flavour == b->list->flavour) {
        return add_lists(run, a->list, b->list, ret);
    }
    if (op == TP_JINJA_T_MUL && is_sequence(a) && is_whole(b)) {
        return repeat(run, a, to_int(b), ret);
    }
    if (op == TP_JINJA_T_MUL && is_sequence(b) && is_whole(a)) {
        return repeat(run, b, to_int(a), ret);
    }
    if (op == TP_JINJA_T_MOD && a->kind == TP_JINJA_TEXT) {
        return format_by(run, a, b, ret);
    }
    return fail_kinds(run, signs[op - TP_JINJA_T_ADD], a, b);
}
