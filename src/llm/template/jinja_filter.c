// SPDX-License-Identifier: Apache-2.0
//
// Filters of single values: texts, numbers, JSON. Those of lists are in jinja_filter_list.c, those
// that apply another filter or test to each item in jinja_choose.c.
#include "llm/template/jinja_priv.h"
#include "llm/template/jinja_string_priv.h"

#include "base/limits.h"
#include "table/tp_value.h"

#include <math.h>
#include <string.h>

static tapeout_status text_of(tp_jinja_run *run, const tp_jinja_value *value,
                              const tp_jinja_text **ret)
{
    return tp_jinja_to_text(run, value, ret);
}

static bool is_given(const tp_jinja_value *value)
{
    return value != NULL && value->kind != TP_JINJA_NONE;
}

static bool flag(const tp_jinja_value *value)
{
    return value != NULL && tp_jinja_is_true(value);
}

static tapeout_status filter_trim(tp_jinja_run *run, const tp_jinja_call *call, tp_jinja_value *ret)
{
    const tp_jinja_text *text;
    TP_TRY(text_of(run, &call->self, &text));
    return tp_jinja_strip(run, text, call->bound[0], TP_JINJA_STRIP_LEFT | TP_JINJA_STRIP_RIGHT,
                          ret);
}

static tapeout_status filter_case(tp_jinja_run *run, const tp_jinja_call *call, tp_jinja_value *ret)
{
    const tp_jinja_text *text;
    const char first = call->builtin->name[0];
    TP_TRY(text_of(run, &call->self, &text));
    return tp_jinja_change_case(run, text,
                                first == 'u'   ? TP_JINJA_UPPER
                                : first == 'l' ? TP_JINJA_LOWER
                                : first == 't' ? TP_JINJA_TITLE_FILTER
                                               : TP_JINJA_CAPITALIZE,
                                ret);
}

static tapeout_status filter_string(tp_jinja_run *run, const tp_jinja_call *call,
                                    tp_jinja_value *ret)
{
    const tp_jinja_text *text;
    TP_TRY(text_of(run, &call->self, &text));
    *ret = (tp_jinja_value){.kind = TP_JINJA_TEXT, .text = text};
    return TAPEOUT_OK;
}

static tapeout_status filter_safe(tp_jinja_run *run, const tp_jinja_call *call, tp_jinja_value *ret)
{
    return filter_string(run, call, ret); // nothing is escaped by itself
}

static tapeout_status filter_escape(tp_jinja_run *run, const tp_jinja_call *call,
                                    tp_jinja_value *ret)
{
    static const char special[] = "&<>'\"";
    static const char *const entities[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    const tp_jinja_text *text;
    size_t done = 0;
    tp_jinja_out out;
    tp_jinja_out_init(&out, run->arena);
    TP_TRY(text_of(run, &call->self, &text));
    for (size_t at = 0; at < text->size; at++) {
        const char *found = memchr(special, text->data[at], sizeof(special) - 1);
        if (found != NULL) {
            tp_jinja_put_part(&out, text, done, at);
            tp_jinja_put_like(&out, text, at, tp_str_from(entities[found - special]));
            done = at + 1;
        }
    }
    tp_jinja_put_part(&out, text, done, text->size);
    return tp_jinja_take(run, &out, ret);
}

static tapeout_status filter_replace(tp_jinja_run *run, const tp_jinja_call *call,
                                     tp_jinja_value *ret)
{
    const tp_jinja_text *text;
    const tp_jinja_text *from_to[2];
    int64_t count = -1;
    TP_TRY(text_of(run, &call->self, &text));
    TP_TRY(text_of(run, call->bound[0], &from_to[0]));
    TP_TRY(text_of(run, call->bound[1], &from_to[1]));
    if (is_given(call->bound[2])) {
        TP_TRY(tp_jinja_need_int(run, call->bound[2], "the count of replace", &count));
    }
    return tp_jinja_replace(run, text, from_to, count, ret);
}

// The indentation: a text, or so many blanks.
static tapeout_status indent_of(tp_jinja_run *run, const tp_jinja_value *width,
                                const tp_jinja_text **ret)
{
    int64_t count = 4;
    if (width != NULL && width->kind == TP_JINJA_TEXT) {
        *ret = width->text;
        return TAPEOUT_OK;
    }
    if (width != NULL) {
        TP_TRY(tp_jinja_need_int(run, width, "the width of an indent", &count));
    }
    if (count > TP_MAX_TEMPLATE_INDENT) {
        return tp_jinja_fail_limit(run, "an indent of more than %u blanks", TP_MAX_TEMPLATE_INDENT);
    }
    tp_jinja_value made;
    tp_jinja_out out;
    tp_jinja_out_init(&out, run->arena);
    for (int64_t i = 0; i < count; i++) {
        tp_jinja_put(&out, TP_STR(" "), false);
    }
    TP_TRY(tp_jinja_take(run, &out, &made));
    *ret = made.text;
    return TAPEOUT_OK;
}

static tapeout_status filter_indent(tp_jinja_run *run, const tp_jinja_call *call,
                                    tp_jinja_value *ret)
{
    const tp_jinja_text *text;
    const tp_jinja_text *indent;
    tp_jinja_out out;
    tp_jinja_out_init(&out, run->arena);
    TP_TRY(tp_jinja_need_text(run, &call->self, "what is indented", &text));
    TP_TRY(indent_of(run, call->bound[0], &indent));
    if (flag(call->bound[1])) {
        tp_jinja_put_text(&out, indent);
    }
    for (size_t begin = 0; begin < text->size;) {
        size_t end = tp_jinja_find_bytes((tp_str){text->data, text->size}, TP_STR("\n"), begin);
        end = end == SIZE_MAX ? text->size : end;
        TP_TRY(tp_jinja_spend(run, 1));
        if (begin > 0 && (end > begin || flag(call->bound[2]))) {
            tp_jinja_put_text(&out, indent);
        }
        tp_jinja_put_part(&out, text, begin, end + (end < text->size ? 1 : 0));
        begin = end + 1;
    }
    if (flag(call->bound[2]) && text->size > 0 && text->data[text->size - 1] == '\n') {
        tp_jinja_put_text(&out, indent);
    }
    return tp_jinja_take(run, &out, ret);
}

static tapeout_status filter_default(tp_jinja_run *run, const tp_jinja_call *call,
                                     tp_jinja_value *ret)
{
    const bool is_missing = call->self.kind == TP_JINJA_UNDEFINED ||
                            (flag(call->bound[1]) && !tp_jinja_is_true(&call->self));
    if (!is_missing) {
        *ret = call->self;
        return TAPEOUT_OK;
    }
    if (call->bound[0] != NULL) {
        *ret = *call->bound[0];
        return TAPEOUT_OK;
    }
    return tp_jinja_text_view(run, TP_STR(""), false, ret);
}

static tapeout_status filter_length(tp_jinja_run *run, const tp_jinja_call *call,
                                    tp_jinja_value *ret)
{
    int64_t length;
    TP_TRY(tp_jinja_length(run, &call->self, &length));
    *ret = tp_jinja_int(length);
    return TAPEOUT_OK;
}

// A text as Python's int() and float() read it: blanks around, "_" between digits.
static bool read_number(const tp_jinja_text *text, tp_jinja_value *ret)
{
    char digits[400];
    size_t size = 0;
    const tp_str bytes = tp_str_trim((tp_str){text->data, text->size});
    for (size_t i = 0; i < bytes.size; i++) {
        const bool is_gap =
            bytes.data[i] == '_' && i > 0 && i + 1 < bytes.size && bytes.data[i - 1] != '_';
        if (size >= sizeof(digits)) {
            return false;
        }
        digits[size] = bytes.data[i];
        size += is_gap ? 0 : 1;
    }
    const tp_str plain = {digits, size};
    const size_t sign = size > 0 && digits[0] == '+' ? 1 : 0;
    if (tp_parse_i64((tp_str){digits + sign, size - sign}, &ret->integer)) {
        ret->kind = TP_JINJA_INT;
        return true;
    }
    double number;
    if (!tp_parse_f64(plain, &number)) {
        return false;
    }
    *ret = tp_jinja_float(number);
    return true;
}

static tapeout_status to_number(tp_jinja_run *run, const tp_jinja_call *call, bool wants_float,
                                tp_jinja_value *ret)
{
    if (call->self.kind == TP_JINJA_UNDEFINED) {
        return tp_jinja_fail(run, "'%.*s' is undefined", TP_STR_ARGS(tp_jinja_bytes(&call->self)));
    }
    tp_jinja_value number = call->self;
    bool is_number = tp_jinja_is_number(&number);
    const bool mark = tp_jinja_is_untrusted(&call->self);
    if (call->self.kind == TP_JINJA_TEXT) {
        is_number = read_number(call->self.text, &number);
    }
    if (is_number && !wants_float && number.kind == TP_JINJA_FLOAT) {
        is_number = fabs(number.number) < 9.2e18; // not NaN either
        number = tp_jinja_int(is_number ? (int64_t)number.number : 0);
    } else if (is_number && !wants_float && number.kind == TP_JINJA_BOOL) {
        number = tp_jinja_int(number.boolean);
    } else if (is_number && wants_float) {
        number = tp_jinja_float(tp_jinja_to_double(&number));
    }
    if (!is_number) {
        *ret = call->bound[0] != NULL ? *call->bound[0]
               : wants_float          ? tp_jinja_float(0)
                                      : tp_jinja_int(0);
        return TAPEOUT_OK;
    }
    number.is_untrusted = mark;
    *ret = number;
    return TAPEOUT_OK;
}

static tapeout_status filter_int(tp_jinja_run *run, const tp_jinja_call *call, tp_jinja_value *ret)
{
    if (is_given(call->bound[1])) {
        return tp_jinja_fail(run, "int: a base is not supported");
    }
    return to_number(run, call, false, ret);
}

static tapeout_status filter_float(tp_jinja_run *run, const tp_jinja_call *call,
                                   tp_jinja_value *ret)
{
    return to_number(run, call, true, ret);
}

static tapeout_status filter_abs(tp_jinja_run *run, const tp_jinja_call *call, tp_jinja_value *ret)
{
    const tp_jinja_value zero = tp_jinja_int(0);
    if (!tp_jinja_is_number(&call->self)) {
        return tp_jinja_fail(run, "abs: %s is no number", tp_jinja_type_name(&call->self));
    }
    if (call->self.kind == TP_JINJA_FLOAT) {
        *ret = tp_jinja_float(fabs(call->self.number));
        return TAPEOUT_OK;
    }
    const bool is_negative = tp_jinja_to_double(&call->self) < 0;
    return tp_jinja_binary(run, is_negative ? TP_JINJA_T_SUB : TP_JINJA_T_ADD, &zero, &call->self,
                           ret);
}

// To the decimal nearest to the exact binary value, a tie to the even one, as Python rounds.
static double round_common(double value, int precision)
{
    double scale = 1;
    for (int i = 0; i < precision; i++) {
        scale *= 10;
    }
    const double scaled = value * scale;
    double whole = floor(scaled);
    const double exact = fma(value, scale, -whole); // the rest without the rounding of `scaled`
    if (exact > 0.5 || (exact == 0.5 && fmod(whole, 2) != 0)) {
        whole += 1;
    }
    return isfinite(scaled) ? whole / scale : value;
}

static tapeout_status filter_round(tp_jinja_run *run, const tp_jinja_call *call,
                                   tp_jinja_value *ret)
{
    int64_t precision = 0;
    const tp_jinja_text *method = NULL;
    if (!tp_jinja_is_number(&call->self)) {
        return tp_jinja_fail(run, "round: %s is no number", tp_jinja_type_name(&call->self));
    }
    if (call->bound[0] != NULL) {
        TP_TRY(tp_jinja_need_int(run, call->bound[0], "the precision of round", &precision));
    }
    if (call->bound[1] != NULL) {
        TP_TRY(tp_jinja_need_text(run, call->bound[1], "the method of round", &method));
    }
    if (precision < 0 || precision > 15) {
        return tp_jinja_fail(run, "round: the precision is from 0 to 15");
    }
    const double value = tp_jinja_to_double(&call->self);
    const double scale = pow(10, (double)precision);
    const tp_str how = method != NULL ? (tp_str){method->data, method->size} : TP_STR("common");
    if (tp_str_equal(how, TP_STR("common"))) {
        *ret = call->self.kind == TP_JINJA_FLOAT
                   ? tp_jinja_float(round_common(value, (int)precision))
                   : tp_jinja_int(call->self.kind == TP_JINJA_INT ? call->self.integer
                                                                  : call->self.boolean);
    } else if (tp_str_equal(how, TP_STR("ceil")) || tp_str_equal(how, TP_STR("floor"))) {
        *ret = tp_jinja_float((how.data[0] == 'c' ? ceil(value * scale) : floor(value * scale)) /
                              scale);
    } else {
        return tp_jinja_fail(run, "round: the method is common, ceil or floor");
    }
    return TAPEOUT_OK;
}

// separators = (",", ":").
static tapeout_status separators_of(tp_jinja_run *run, const tp_jinja_value *value,
                                    tp_jinja_json_style *style)
{
    const tp_jinja_text *item;
    const tp_jinja_text *colon;
    if (value->kind != TP_JINJA_LIST || value->list->count != 2) {
        return tp_jinja_fail(run, "tojson: separators are two texts");
    }
    TP_TRY(tp_jinja_need_text(run, &value->list->items[0], "a separator", &item));
    TP_TRY(tp_jinja_need_text(run, &value->list->items[1], "a separator", &colon));
    style->item = (tp_str){item->data, item->size};
    style->colon = (tp_str){colon->data, colon->size};
    return TAPEOUT_OK;
}

static tapeout_status filter_tojson(tp_jinja_run *run, const tp_jinja_call *call,
                                    tp_jinja_value *ret)
{
    tp_jinja_json_style style = {.item = TP_STR(", "),
                                 .colon = TP_STR(": "),
                                 .only_ascii = flag(call->bound[0]),
                                 .sort_keys = flag(call->bound[3])};
    tp_jinja_out out;
    tp_jinja_out_init(&out, run->arena);
    if (is_given(call->bound[1])) {
        const tp_jinja_text *indent;
        TP_TRY(indent_of(run, call->bound[1], &indent));
        style.indent = (tp_str){indent->data, indent->size};
        style.item = TP_STR(",");
    }
    if (is_given(call->bound[2])) {
        TP_TRY(separators_of(run, call->bound[2], &style));
    }
    TP_TRY(tp_jinja_json(run, &call->self, &style, &out));
    return tp_jinja_take(run, &out, ret);
}

static tapeout_status filter_format(tp_jinja_run *run, const tp_jinja_call *call,
                                    tp_jinja_value *ret)
{
    const tp_jinja_text *format;
    tp_jinja_value values;
    TP_TRY(text_of(run, &call->self, &format));
    TP_TRY(tp_jinja_list_new(run, TP_JINJA_TUPLE, 0, &values));
    for (size_t i = 0; i < call->count; i++) {
        TP_TRY(tp_jinja_list_add(run, values.list, call->positional[i]));
    }
    return tp_jinja_format(run, format, values.list, ret);
}

static tapeout_status filter_attr(tp_jinja_run *run, const tp_jinja_call *call, tp_jinja_value *ret)
{
    const tp_jinja_text *name;
    TP_TRY(tp_jinja_need_text(run, call->bound[0], "the name of an attribute", &name));
    if (call->self.kind == TP_JINJA_DICT) {
        return tp_jinja_undefined(run, (tp_str){name->data, name->size}, ret); // items are none
    }
    return tp_jinja_attribute(run, &call->self, (tp_str){name->data, name->size}, ret);
}

const tp_jinja_builtin *tp_jinja_find_filter(tp_str name)
{
    static const tp_jinja_builtin filters[] = {
        {"trim", "chars", 0, filter_trim},
        {"upper", "", 0, filter_case},
        {"lower", "", 0, filter_case},
        {"title", "", 0, filter_case},
        {"capitalize", "", 0, filter_case},
        {"string", "", 0, filter_string},
        {"safe", "", 0, filter_safe},
        {"escape", "", 0, filter_escape},
        {"e", "", 0, filter_escape},
        {"replace", "old new count", 2, filter_replace},
        {"indent", "width first blank", 0, filter_indent},
        {"default", "default_value boolean", 0, filter_default},
        {"d", "default_value boolean", 0, filter_default},
        {"length", "", 0, filter_length},
        {"count", "", 0, filter_length},
        {"int", "default base", 0, filter_int},
        {"float", "default", 0, filter_float},
        {"abs", "", 0, filter_abs},
        {"round", "precision method", 0, filter_round},
        {"tojson", "ensure_ascii indent separators sort_keys", 0, filter_tojson},
        {"format", "*", 0, filter_format},
        {"attr", "name", 1, filter_attr},
    };
    const tp_jinja_builtin *found =
        tp_jinja_find(filters, sizeof(filters) / sizeof(filters[0]), name);
    found = found != NULL ? found : tp_jinja_find_filter_of_lists(name);
    return found != NULL ? found : tp_jinja_find_filter_of_choice(name);
}
