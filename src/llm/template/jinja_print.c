// SPDX-License-Identifier: Apache-2.0
//
// Values as text, to the byte as Python prints them: str() of output and concatenation, repr()
// inside containers, and JSON as transformers' tojson writes it. Punctuation of a container that
// came from a request is as untrusted as what is in it.
#include "llm/template/jinja_priv.h"

#include "base/limits.h"
#include "table/tp_value.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

enum { NUMBER_SIZE = 64 };

// Shortest digits that read back to the same bits, laid out as Python's repr(float): plain from
// 1e-4 up to 1e16, else with an exponent of two digits at least.
static size_t print_float(double value, char *out)
{
    char text[TP_VALUE_TEXT_SIZE];
    char digits[TP_VALUE_TEXT_SIZE];
    size_t digit_count = 0;
    int exponent = 0; // of the first digit
    int point = -1;
    const size_t size = tp_print_f64(value, text);
    if (!isfinite(value)) {
        memcpy(out, text, size);
        return size;
    }
    size_t i = text[0] == '-' ? 1 : 0;
    for (; i < size && text[i] != 'e'; i++) {
        if (text[i] == '.') {
            point = (int)digit_count;
        } else {
            digits[digit_count++] = text[i];
        }
    }
    exponent = (point < 0 ? (int)digit_count : point) - 1;
    if (i < size) {
        int64_t written = 0;
        const size_t sign = text[i + 1] == '+' ? 1 : 0;
        (void)tp_parse_i64((tp_str){text + i + 1 + sign, size - i - 1 - sign}, &written); // is one
        exponent += (int)written;
    }
    size_t zeros = 0;
    while (zeros + 1 < digit_count && digits[zeros] == '0') {
        zeros++;
    }
    exponent -= (int)zeros;
    memmove(digits, digits + zeros, digit_count - zeros);
    digit_count -= zeros;
    while (digit_count > 1 && digits[digit_count - 1] == '0') {
        digit_count--;
    }
    digits[digit_count] = '\0';
    if (value == 0) {
        exponent = 0;
    }
    const char *minus = text[0] == '-' ? "-" : "";
    int written;
    if (exponent < -4 || exponent >= 16) {
        written = snprintf(out, NUMBER_SIZE, "%s%c%s%se%c%02d", minus, digits[0],
                           digit_count > 1 ? "." : "", digits + 1, exponent < 0 ? '-' : '+',
                           exponent < 0 ? -exponent : exponent);
    } else if (exponent < 0) {
        written = snprintf(out, NUMBER_SIZE, "%s0.%.*s%s", minus, -exponent - 1, "0000", digits);
    } else if ((size_t)exponent + 1 >= digit_count) {
        written = snprintf(out, NUMBER_SIZE, "%s%s%.*s.0", minus, digits,
                           exponent + 1 - (int)digit_count, "0000000000000000");
    } else {
        written = snprintf(out, NUMBER_SIZE, "%s%.*s.%s", minus, exponent + 1, digits,
                           digits + exponent + 1);
    }
    return (size_t)written;
}

static bool is_printable(uint32_t code)
{
    switch (utf8proc_category((utf8proc_int32_t)code)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
        return false;
    case UTF8PROC_CATEGORY_ZS:
        return code == ' ';
    default:
        return true;
    }
}

// The escape of a character within quotes, or 0 bytes where it stands as it is.
static size_t escape_python(uint32_t code, char quote, char *out)
{
    if (code == (uint32_t)quote || code == '\\') {
        out[0] = '\\';
        out[1] = (char)code;
        return 2;
    }
    if (code == '\n' || code == '\r' || code == '\t') {
        out[0] = '\\';
        out[1] = code == '\n' ? 'n' : code == '\r' ? 'r' : 't';
        return 2;
    }
    if (is_printable(code)) {
        return 0;
    }
    const char *format = code < 0x100 ? "\\x%02x" : code < 0x10000 ? "\\u%04x" : "\\U%08x";
    return (size_t)snprintf(out, 16, format, code);
}

static size_t escape_json(uint32_t code, bool only_ascii, char *out)
{
    static const char plain[] = "\"\\\n\r\t\b\f";
    static const char meant[] = "\"\\nrtbf";
    const char *found = code != 0 && code < 0x80 ? strchr(plain, (int)code) : NULL;
    if (found != NULL) {
        out[0] = '\\';
        out[1] = meant[found - plain];
        return 2;
    }
    if (code >= 0x20 && (code < 0x7f || !only_ascii)) {
        return 0;
    }
    if (code < 0x10000) {
        return (size_t)snprintf(out, 16, "\\u%04x", code);
    }
    return (size_t)snprintf(out, 16, "\\u%04x\\u%04x", 0xd800 + ((code - 0x10000) >> 10),
                            0xdc00 + ((code - 0x10000) & 0x3ff));
}

// A text within `quote`; `json` NULL: as Python's repr.
static void put_quoted(tp_jinja_out *out, const tp_jinja_text *text, char quote,
                       const tp_jinja_json_style *json)
{
    const tp_str bytes = {text->data, text->size};
    const tp_str quotes = {&quote, 1};
    size_t done = 0;
    tp_jinja_put_like(out, text, 0, quotes);
    for (size_t at = 0; at < text->size;) {
        char escaped[16];
        size_t size;
        const uint32_t code = tp_jinja_char(bytes, at, &size);
        const size_t escape_size = json != NULL ? escape_json(code, json->only_ascii, escaped)
                                                : escape_python(code, quote, escaped);
        if (escape_size > 0) {
            tp_jinja_put_part(out, text, done, at);
            tp_jinja_put_like(out, text, at, (tp_str){escaped, escape_size});
            done = at + size;
        }
        at += size;
    }
    tp_jinja_put_part(out, text, done, text->size);
    tp_jinja_put_like(out, text, text->size > 0 ? text->size - 1 : 0, quotes);
}

static void put_repr_text(tp_jinja_out *out, const tp_jinja_text *text)
{
    const bool has_single = memchr(text->data, '\'', text->size) != NULL;
    const bool has_double = memchr(text->data, '"', text->size) != NULL;
    put_quoted(out, text, has_single && !has_double ? '"' : '\'', NULL);
}

static tapeout_status put_list(tp_jinja_run *run, const tp_jinja_list *list, tp_jinja_out *out)
{
    const bool mark = list->is_untrusted;
    const bool is_tuple = list->flavour == TP_JINJA_TUPLE;
    tp_jinja_put(out, is_tuple ? TP_STR("(") : TP_STR("["), mark);
    for (size_t i = 0; i < list->count; i++) {
        if (i > 0) {
            tp_jinja_put(out, TP_STR(", "), mark);
        }
        TP_TRY(tp_jinja_repr(run, &list->items[i], out));
    }
    if (is_tuple && list->count == 1) {
        tp_jinja_put(out, TP_STR(","), mark);
    }
    tp_jinja_put(out, is_tuple ? TP_STR(")") : TP_STR("]"), mark);
    return TAPEOUT_OK;
}

static void put_range(const tp_jinja_list *list, tp_jinja_out *out)
{
    char text[NUMBER_SIZE];
    const int64_t bounds[] = {list->from, list->to, list->step};
    for (size_t i = 0; i < (list->step == 1 ? 2u : 3u); i++) {
        tp_jinja_put(out, i == 0 ? TP_STR("range(") : TP_STR(", "), list->is_untrusted);
        tp_jinja_put(out, (tp_str){text, tp_print_i64(bounds[i], text)}, list->is_untrusted);
    }
    tp_jinja_put(out, TP_STR(")"), list->is_untrusted);
}

static void put_loop(const tp_jinja_loop *loop, tp_jinja_out *out)
{
    char text[NUMBER_SIZE];
    tp_jinja_put(out, TP_STR("<LoopContext "), false);
    tp_jinja_put(out, (tp_str){text, tp_print_i64((int64_t)loop->index + 1, text)}, false);
    tp_jinja_put(out, TP_STR("/"), false);
    tp_jinja_put(out, (tp_str){text, tp_print_i64((int64_t)loop->list->count, text)}, false);
    tp_jinja_put(out, TP_STR(">"), false);
}

static tapeout_status put_dict(tp_jinja_run *run, const tp_jinja_dict *dict, tp_jinja_out *out)
{
    const bool mark = dict->is_untrusted;
    tp_jinja_put(out, TP_STR("{"), mark);
    for (size_t i = 0; i < dict->count; i++) {
        if (i > 0) {
            tp_jinja_put(out, TP_STR(", "), mark);
        }
        TP_TRY(tp_jinja_repr(run, &dict->entries[i].key, out));
        tp_jinja_put(out, TP_STR(": "), mark);
        TP_TRY(tp_jinja_repr(run, &dict->entries[i].value, out));
    }
    tp_jinja_put(out, TP_STR("}"), mark);
    return TAPEOUT_OK;
}

tapeout_status tp_jinja_print(tp_jinja_run *run, const tp_jinja_value *value, tp_jinja_out *out)
{
    char text[NUMBER_SIZE];
    TP_TRY(tp_jinja_spend(run, 1));
    switch ((tp_jinja_kind)value->kind) {
    case TP_JINJA_UNDEFINED:
        return TAPEOUT_OK;
    case TP_JINJA_NONE:
        tp_jinja_put(out, TP_STR("None"), value->is_untrusted);
        return TAPEOUT_OK;
    case TP_JINJA_BOOL:
        tp_jinja_put(out, value->boolean ? TP_STR("True") : TP_STR("False"), value->is_untrusted);
        return TAPEOUT_OK;
    case TP_JINJA_INT:
        tp_jinja_put(out, (tp_str){text, tp_print_i64(value->integer, text)}, value->is_untrusted);
        return TAPEOUT_OK;
    case TP_JINJA_FLOAT:
        tp_jinja_put(out, (tp_str){text, print_float(value->number, text)}, value->is_untrusted);
        return TAPEOUT_OK;
    case TP_JINJA_TEXT:
        tp_jinja_put_text(out, value->text);
        return tp_jinja_spend(run, value->text->size / 64);
    case TP_JINJA_LOOP:
        put_loop(value->loop, out);
        return TAPEOUT_OK;
    case TP_JINJA_LIST:
    case TP_JINJA_DICT:
        break;
    default:
        return tp_jinja_fail(run, "%s has no text", tp_jinja_type_name(value));
    }
    if (value->kind == TP_JINJA_LIST && value->list->flavour == TP_JINJA_RANGE) {
        put_range(value->list, out);
        return TAPEOUT_OK;
    }
    if (value->kind == TP_JINJA_LIST && value->list->flavour > TP_JINJA_RANGE) {
        return tp_jinja_fail(run, "%s has no text; |list gives it one", tp_jinja_type_name(value));
    }
    TP_TRY(tp_jinja_descend(run));
    if (value->kind == TP_JINJA_LIST) {
        TP_TRY(put_list(run, value->list, out));
    } else {
        TP_TRY(put_dict(run, value->dict, out));
    }
    run->depth--;
    return TAPEOUT_OK;
}

tapeout_status tp_jinja_repr(tp_jinja_run *run, const tp_jinja_value *value, tp_jinja_out *out)
{
    if (value->kind == TP_JINJA_UNDEFINED) {
        tp_jinja_put(out, TP_STR("Undefined"), false);
        return TAPEOUT_OK;
    }
    if (value->kind == TP_JINJA_TEXT) {
        put_repr_text(out, value->text);
        return tp_jinja_spend(run, 1 + value->text->size / 16);
    }
    return tp_jinja_print(run, value, out);
}

static void put_line(tp_jinja_out *out, const tp_jinja_json_style *style, size_t level, bool mark)
{
    if (style->indent.data == NULL) {
        return;
    }
    tp_jinja_put(out, TP_STR("\n"), mark);
    for (size_t i = 0; i < level && !out->has_failed; i++) {
        tp_jinja_put(out, style->indent, mark);
    }
}

static tapeout_status json_at(tp_jinja_run *run, const tp_jinja_value *value,
                              const tp_jinja_json_style *style, size_t level, tp_jinja_out *out);

static tapeout_status json_list(tp_jinja_run *run, const tp_jinja_list *list,
                                const tp_jinja_json_style *style, size_t level, tp_jinja_out *out)
{
    tp_jinja_put(out, TP_STR("["), list->is_untrusted);
    for (size_t i = 0; i < list->count; i++) {
        if (i > 0) {
            tp_jinja_put(out, style->item, list->is_untrusted);
        }
        put_line(out, style, level + 1, list->is_untrusted);
        TP_TRY(json_at(run, &list->items[i], style, level + 1, out));
    }
    if (list->count > 0) {
        put_line(out, style, level, list->is_untrusted);
    }
    tp_jinja_put(out, TP_STR("]"), list->is_untrusted);
    return TAPEOUT_OK;
}

static tapeout_status json_key(tp_jinja_run *run, const tp_jinja_value *key,
                               const tp_jinja_json_style *style, tp_jinja_out *out)
{
    if (key->kind == TP_JINJA_TEXT) {
        put_quoted(out, key->text, '"', style);
        return TAPEOUT_OK;
    }
    tp_jinja_put(out, TP_STR("\""), key->is_untrusted);
    TP_TRY(json_at(run, key, style, 0, out));
    tp_jinja_put(out, TP_STR("\""), key->is_untrusted);
    return TAPEOUT_OK;
}

// The entries in the order of their keys, where the style wants it: insertion into a sorted list,
// since dicts of tools are small; the steps are paid.
static tapeout_status sorted_entries(tp_jinja_run *run, const tp_jinja_dict *dict,
                                     const tp_jinja_entry **ret)
{
    tp_jinja_entry *sorted = tp_arena_array(run->arena, dict->count + 1, sizeof(*sorted));
    if (sorted == NULL) {
        return tp_jinja_fail_memory(run);
    }
    for (size_t i = 0; i < dict->count; i++) {
        size_t at = i;
        for (; at > 0; at--) {
            int order;
            TP_TRY(tp_jinja_compare(run, &sorted[at - 1].key, &dict->entries[i].key, &order));
            if (order <= 0) {
                break;
            }
            sorted[at] = sorted[at - 1];
        }
        sorted[at] = dict->entries[i];
    }
    *ret = sorted;
    return TAPEOUT_OK;
}

static tapeout_status json_dict(tp_jinja_run *run, const tp_jinja_dict *dict,
                                const tp_jinja_json_style *style, size_t level, tp_jinja_out *out)
{
    const tp_jinja_entry *entries = dict->entries;
    if (style->sort_keys) {
        TP_TRY(sorted_entries(run, dict, &entries));
    }
    tp_jinja_put(out, TP_STR("{"), dict->is_untrusted);
    for (size_t i = 0; i < dict->count; i++) {
        if (i > 0) {
            tp_jinja_put(out, style->item, dict->is_untrusted);
        }
        put_line(out, style, level + 1, dict->is_untrusted);
        TP_TRY(json_key(run, &entries[i].key, style, out));
        tp_jinja_put(out, style->colon, dict->is_untrusted);
        TP_TRY(json_at(run, &entries[i].value, style, level + 1, out));
    }
    if (dict->count > 0) {
        put_line(out, style, level, dict->is_untrusted);
    }
    tp_jinja_put(out, TP_STR("}"), dict->is_untrusted);
    return TAPEOUT_OK;
}

static tapeout_status json_scalar(tp_jinja_run *run, const tp_jinja_value *value,
                                  const tp_jinja_json_style *style, tp_jinja_out *out)
{
    switch ((tp_jinja_kind)value->kind) {
    case TP_JINJA_NONE:
        tp_jinja_put(out, TP_STR("null"), value->is_untrusted);
        return TAPEOUT_OK;
    case TP_JINJA_BOOL:
        tp_jinja_put(out, value->boolean ? TP_STR("true") : TP_STR("false"), value->is_untrusted);
        return TAPEOUT_OK;
    case TP_JINJA_TEXT:
        put_quoted(out, value->text, '"', style);
        return tp_jinja_spend(run, value->text->size / 16);
    case TP_JINJA_FLOAT:
        if (!isfinite(value->number)) {
            tp_jinja_put(out,
                         isnan(value->number) ? TP_STR("NaN")
                         : value->number > 0  ? TP_STR("Infinity")
                                              : TP_STR("-Infinity"),
                         value->is_untrusted);
            return TAPEOUT_OK;
        }
        return tp_jinja_print(run, value, out);
    case TP_JINJA_INT:
        return tp_jinja_print(run, value, out);
    default:
        return tp_jinja_fail(run, "tojson: %s is not JSON", tp_jinja_type_name(value));
    }
}

static tapeout_status json_at(tp_jinja_run *run, const tp_jinja_value *value,
                              const tp_jinja_json_style *style, size_t level, tp_jinja_out *out)
{
    TP_TRY(tp_jinja_spend(run, 1));
    TP_TRY(tp_jinja_descend(run));
    if (value->kind == TP_JINJA_DICT) {
        TP_TRY(json_dict(run, value->dict, style, level, out));
    } else if (value->kind == TP_JINJA_LIST && value->list->flavour <= TP_JINJA_TUPLE) {
        TP_TRY(json_list(run, value->list, style, level, out));
    } else {
        TP_TRY(json_scalar(run, value, style, out));
    }
    run->depth--;
    return TAPEOUT_OK;
}

tapeout_status tp_jinja_json(tp_jinja_run *run, const tp_jinja_value *value,
                             const tp_jinja_json_style *style, tp_jinja_out *out)
{
    return json_at(run, value, style, 0, out);
}

tapeout_status tp_jinja_to_text(tp_jinja_run *run, const tp_jinja_value *value,
                                const tp_jinja_text **ret)
{
    tp_jinja_value made = *value;
    if (value->kind != TP_JINJA_TEXT) {
        tp_jinja_out out;
        tp_jinja_out_init(&out, run->arena);
        TP_TRY(tp_jinja_print(run, value, &out));
        TP_TRY(tp_jinja_take(run, &out, &made));
    }
    *ret = made.text;
    return TAPEOUT_OK;
}
