// SPDX-License-Identifier: Apache-2.0
//
// Operations on texts that filters and methods share: case, stripping, replacing, joining, printf
// formats. Each copies parts through tp_jinja_put_part, so marks go along.
#include "llm/template/jinja_string_priv.h"

#include "base/limits.h"
#include "table/tp_value.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

static bool is_cased(uint32_t code)
{
    const utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)code);
    return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL ||
           category == UTF8PROC_CATEGORY_LT;
}

// Whether the character behind `code` begins a word.
static bool begins_word(uint32_t code, tp_jinja_case how)
{
    return how == TP_JINJA_TITLE ? !is_cased(code)
                                 : how == TP_JINJA_TITLE_FILTER &&
                                       (tp_jinja_is_space(code) || code == '-' || code == '(' ||
                                        code == '{' || code == '[' || code == '<');
}

tapeout_status tp_jinja_change_case(tp_jinja_run *run, const tp_jinja_text *text, tp_jinja_case how,
                                    tp_jinja_value *ret)
{
    const tp_str bytes = {text->data, text->size};
    bool is_first = how != TP_JINJA_LOWER;
    tp_jinja_out out;
    tp_jinja_out_init(&out, run->arena);
    TP_TRY(tp_jinja_spend(run, text->size / 8));
    for (size_t at = 0; at < text->size && !out.has_failed;) {
        size_t size;
        char changed[4];
        const uint32_t code = tp_jinja_char(bytes, at, &size);
        const utf8proc_int32_t other = is_first ? utf8proc_toupper((utf8proc_int32_t)code)
                                                : utf8proc_tolower((utf8proc_int32_t)code);
        const size_t changed_size = tp_jinja_char_put(changed, (uint32_t)other);
        tp_jinja_put_like(&out, text, at, (tp_str){changed, changed_size});
        is_first = how == TP_JINJA_UPPER || begins_word(code, how);
        at += size;
    }
    return tp_jinja_take(run, &out, ret);
}

// Whether the character goes: white space, or one of `chars`.
static bool is_stripped(tp_str text, size_t at, size_t size, const tp_jinja_text *chars)
{
    if (chars == NULL) {
        size_t same;
        return tp_jinja_is_space(tp_jinja_char(text, at, &same));
    }
    return tp_jinja_find_bytes((tp_str){chars->data, chars->size}, (tp_str){text.data + at, size},
                               0) != SIZE_MAX;
}

tapeout_status tp_jinja_strip(tp_jinja_run *run, const tp_jinja_text *text,
                              const tp_jinja_value *chars, int sides, tp_jinja_value *ret)
{
    const tp_str bytes = {text->data, text->size};
    const tp_jinja_text *set = NULL;
    size_t begin = 0;
    size_t end = text->size;
    if (chars != NULL && chars->kind != TP_JINJA_NONE) {
        TP_TRY(tp_jinja_need_text(run, chars, "what is stripped", &set));
    }
    while ((sides & TP_JINJA_STRIP_LEFT) != 0 && begin < end) {
        size_t size;
        (void)tp_jinja_char(bytes, begin, &size); // for its size
        if (!is_stripped(bytes, begin, size, set)) {
            break;
        }
        begin += size;
    }
    while ((sides & TP_JINJA_STRIP_RIGHT) != 0 && begin < end) {
        const size_t before = tp_jinja_char_before(bytes, end);
        if (before < begin || !is_stripped(bytes, before, end - before, set)) {
            break;
        }
        end = before;
    }
    TP_TRY(tp_jinja_spend(run, (text->size - (end - begin)) *
                                   (1 + (set != NULL ? set->size / 16 : 0)) / 8));
    return tp_jinja_text_part(run, text, begin, end, ret);
}

// The empty text is found before each character and at the end.
static size_t next_match(const tp_jinja_text *text, const tp_jinja_text *from, size_t at,
                         bool is_first)
{
    const tp_str bytes = {text->data, text->size};
    if (from->size > 0 || is_first) {
        return tp_jinja_find_bytes(bytes, (tp_str){from->data, from->size}, at);
    }
    size_t size;
    if (at >= text->size) {
        return SIZE_MAX;
    }
    (void)tp_jinja_char(bytes, at, &size); // for its size
    return at + size;
}

tapeout_status tp_jinja_replace(tp_jinja_run *run, const tp_jinja_text *text,
                                const tp_jinja_text *const from_to[2], int64_t count,
                                tp_jinja_value *ret)
{
    size_t done = 0;
    tp_jinja_out out;
    tp_jinja_out_init(&out, run->arena);
    TP_TRY(tp_jinja_spend(run, text->size / 32));
    for (int64_t i = 0; count < 0 || i < count; i++) {
        const size_t found = next_match(text, from_to[0], done, i == 0);
        if (found == SIZE_MAX || out.has_failed) {
            break;
        }
        tp_jinja_put_part(&out, text, done, found);
        tp_jinja_put_text(&out, from_to[1]);
        done = found + from_to[0]->size;
        TP_TRY(tp_jinja_spend(run, 1));
    }
    tp_jinja_put_part(&out, text, done, text->size);
    return tp_jinja_take(run, &out, ret);
}

tapeout_status tp_jinja_join(tp_jinja_run *run, const tp_jinja_list *list,
                             const tp_jinja_text *between, bool needs_text, tp_jinja_value *ret)
{
    tp_jinja_out out;
    tp_jinja_out_init(&out, run->arena);
    for (size_t i = 0; i < list->count; i++) {
        if (needs_text && list->items[i].kind != TP_JINJA_TEXT) {
            return tp_jinja_fail(run, "join: item %zu is %s, not a text", i,
                                 tp_jinja_type_name(&list->items[i]));
        }
        if (i > 0) {
            tp_jinja_put_text(&out, between);
        }
        TP_TRY(tp_jinja_print(run, &list->items[i], &out));
    }
    return tp_jinja_take(run, &out, ret);
}

// A number as "%5.2f", "%03d" ask: `spec` is what stands between "%" and the letter.
static tapeout_status put_number(tp_jinja_run *run, tp_str spec, char letter,
                                 const tp_jinja_value *value, tp_jinja_out *out)
{
    char format[24];
    char text[400];
    int64_t width = 0;
    for (size_t i = 0; i < spec.size; i++) {
        const bool is_digit = spec.data[i] >= '0' && spec.data[i] <= '9';
        width = is_digit ? width * 10 + (spec.data[i] - '0') : 0;
        if (spec.size > 8 || width > 64 || (!is_digit && strchr("-+ .#", spec.data[i]) == NULL)) {
            return tp_jinja_fail(run, "the format %%%.*s%c is not known", TP_STR_ARGS(spec),
                                 letter);
        }
    }
    if (!tp_jinja_is_number(value)) {
        return tp_jinja_fail(run, "%%%c wants a number, not %s", letter, tp_jinja_type_name(value));
    }
    const bool is_integer = letter == 'd' || letter == 'i' || letter == 'x';
    int written;
    if (is_integer) {
        const double number = tp_jinja_to_double(value);
        if (value->kind == TP_JINJA_FLOAT && !(fabs(number) < 9e18)) {
            return tp_jinja_fail(run, "a number that does not fit 64 bits");
        }
        const int64_t whole = value->kind == TP_JINJA_INT ? value->integer : (int64_t)number;
        (void)snprintf(format, sizeof(format), "%%%.*sll%c", TP_STR_ARGS(spec), letter);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" // checked above, digit by digit
        written = snprintf(text, sizeof(text), format, (long long)whole);
    } else {
        (void)snprintf(format, sizeof(format), "%%%.*s%c", TP_STR_ARGS(spec), letter);
        written = snprintf(text, sizeof(text), format, tp_jinja_to_double(value));
#pragma GCC diagnostic pop
    }
    tp_jinja_put(out, (tp_str){text, (size_t)written}, value->is_untrusted);
    return TAPEOUT_OK;
}

static tapeout_status put_formatted(tp_jinja_run *run, tp_str spec, char letter,
                                    const tp_jinja_value *value, tp_jinja_out *out)
{
    if (letter == 's' && spec.size == 0) {
        return tp_jinja_print(run, value, out);
    }
    if (letter == 'r' && spec.size == 0) {
        return tp_jinja_repr(run, value, out);
    }
    if (letter == '\0' || strchr("dixfeg", letter) == NULL) {
        return tp_jinja_fail(run, "the format %%%.*s%c is not known", TP_STR_ARGS(spec), letter);
    }
    return put_number(run, spec, letter, value, out);
}

tapeout_status tp_jinja_format(tp_jinja_run *run, const tp_jinja_text *format,
                               const tp_jinja_list *values, tp_jinja_value *ret)
{
    size_t used = 0;
    size_t done = 0;
    tp_jinja_out out;
    tp_jinja_out_init(&out, run->arena);
    for (size_t at = 0; at < format->size; at++) {
        if (format->data[at] != '%') {
            continue;
        }
        tp_jinja_put_part(&out, format, done, at);
        const size_t begin = ++at;
        while (at < format->size && format->data[at] != '\0' &&
               strchr("0123456789.+- #", format->data[at]) != NULL) {
            at++;
        }
        const char letter = at < format->size ? format->data[at] : '\0';
        done = at < format->size ? at + 1 : at;
        if (letter == '%') {
            tp_jinja_put_part(&out, format, at, at + 1);
            continue;
        }
        if (used >= values->count) {
            return tp_jinja_fail(run, "more formats than values");
        }
        TP_TRY(put_formatted(run, (tp_str){format->data + begin, at - begin}, letter,
                             &values->items[used++], &out));
    }
    if (used < values->count) {
        return tp_jinja_fail(run, "more values than formats");
    }
    tp_jinja_put_part(&out, format, done, format->size);
    return tp_jinja_take(run, &out, ret);
}
