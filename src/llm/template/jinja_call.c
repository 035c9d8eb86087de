// SPDX-License-Identifier: Apache-2.0
//
// Calls: arguments are told, then a builtin (filter, test, method, function) or a macro runs. A
// builtin names its parameters in one string; too many, unknown or missing ones are refused in one
// place. Here too the functions that every template sees: range, namespace, dict, raise_exception,
// strftime_now.
#include "llm/template/jinja_priv.h"

#include "base/limits.h"
#include "table/tp_value.h"

#include <stdio.h>
#include <string.h>

const tp_jinja_builtin *tp_jinja_find(const tp_jinja_builtin *table, size_t count, tp_str name)
{
    for (size_t i = 0; i < count; i++) {
        if (tp_str_equal(name, tp_str_from(table[i].name))) {
            return &table[i];
        }
    }
    return NULL;
}

// The `index`-th word of "old new count", empty behind the last.
static tp_str parameter_at(const char *parameters, size_t index)
{
    tp_str rest = tp_str_from(parameters);
    for (;; index--) {
        const char *space = memchr(rest.data, ' ', rest.size);
        const tp_str word = {rest.data, space != NULL ? (size_t)(space - rest.data) : rest.size};
        if (index == 0 || word.size == 0) {
            return word;
        }
        rest = space != NULL ? (tp_str){space + 1, rest.size - word.size - 1} : (tp_str){"", 0};
    }
}

static tapeout_status bind_keyword(tp_jinja_run *run, tp_jinja_call *call,
                                   const tp_jinja_keyword *keyword)
{
    for (size_t i = 0; i < TP_JINJA_MAX_PARAMETERS; i++) {
        const tp_str name = parameter_at(call->builtin->parameters, i);
        if (name.size > 0 && tp_str_equal(name, keyword->name) && call->bound[i] == NULL) {
            call->bound[i] = &keyword->value;
            return TAPEOUT_OK;
        }
    }
    return tp_jinja_fail(run, "%s takes no argument '%.*s' here", call->builtin->name,
                         TP_STR_ARGS(keyword->name));
}

tapeout_status tp_jinja_call_builtin(tp_jinja_run *run, tp_jinja_call *call, tp_jinja_value *ret)
{
    const tp_jinja_builtin *builtin = call->builtin;
    if (builtin->parameters[0] != '*') {
        for (size_t i = 0; i < call->count; i++) {
            if (i >= TP_JINJA_MAX_PARAMETERS || parameter_at(builtin->parameters, i).size == 0) {
                return tp_jinja_fail(run, "%s takes at most %zu arguments", builtin->name, i);
            }
            call->bound[i] = &call->positional[i];
        }
        for (size_t i = 0; i < call->keyword_count; i++) {
            TP_TRY(bind_keyword(run, call, &call->keywords[i]));
        }
    }
    for (size_t i = 0; i < builtin->required; i++) {
        const bool is_there =
            builtin->parameters[0] == '*' ? i < call->count : call->bound[i] != NULL;
        if (!is_there) {
            return tp_jinja_fail(run, "%s needs %zu arguments", builtin->name, builtin->required);
        }
    }
    return builtin->call(run, call, ret);
}

// The arguments of a call node; `caller` is one more keyword where it is given.
static tapeout_status eval_arguments(tp_jinja_run *run, const tp_jinja_node *items,
                                     const tp_jinja_value *caller, tp_jinja_call *call)
{
    size_t count = 1;
    for (const tp_jinja_node *item = items; item != NULL; item = item->next) {
        count++;
    }
    tp_jinja_value *positional = tp_arena_array(run->arena, count, sizeof(*positional));
    tp_jinja_keyword *keywords = tp_arena_array(run->arena, count, sizeof(*keywords));
    if (positional == NULL || keywords == NULL) {
        return tp_jinja_fail_memory(run);
    }
    for (const tp_jinja_node *item = items; item != NULL; item = item->next) {
        if (item->kind == TP_JINJA_N_KEYWORD) {
            keywords[call->keyword_count].name = item->name;
            TP_TRY(tp_jinja_eval(run, item->a, &keywords[call->keyword_count++].value));
        } else {
            TP_TRY(tp_jinja_eval(run, item, &positional[call->count++]));
        }
    }
    if (caller != NULL) {
        keywords[call->keyword_count++] = (tp_jinja_keyword){TP_STR("caller"), *caller};
    }
    call->positional = positional;
    call->keywords = keywords;
    return TAPEOUT_OK;
}

tapeout_status tp_jinja_call_node(tp_jinja_run *run, const tp_jinja_node *node,
                                  const tp_jinja_value *caller, tp_jinja_value *ret)
{
    tp_jinja_value callee;
    tp_jinja_call call = {0};
    TP_TRY(tp_jinja_eval(run, node->a, &callee));
    TP_TRY(eval_arguments(run, node->items, caller, &call));
    run->at = node;
    switch ((int)callee.kind) {
    case TP_JINJA_FUNCTION:
        call.builtin = callee.function;
        return tp_jinja_call_builtin(run, &call, ret);
    case TP_JINJA_METHOD:
        call.self = callee.method->self;
        call.builtin = callee.method->builtin;
        return tp_jinja_call_builtin(run, &call, ret);
    case TP_JINJA_MACRO:
        return tp_jinja_call_macro(run, callee.macro, &call, ret);
    case TP_JINJA_UNDEFINED:
        return tp_jinja_fail(run, "'%.*s' is undefined and cannot be called",
                             TP_STR_ARGS(tp_jinja_bytes(&callee)));
    default:
        return tp_jinja_fail(run, "%s cannot be called", tp_jinja_type_name(&callee));
    }
}

tapeout_status tp_jinja_filter_node(tp_jinja_run *run, const tp_jinja_node *node,
                                    const tp_jinja_value *text, tp_jinja_value *ret)
{
    tp_jinja_call call = {.builtin = node->builtin};
    if (node->a == NULL) {
        call.self = *text;
    } else if (node->a->kind == TP_JINJA_N_FILTER && text != NULL) {
        TP_TRY(tp_jinja_descend(run));
        TP_TRY(tp_jinja_filter_node(run, node->a, text, &call.self));
        run->depth--;
    } else {
        TP_TRY(tp_jinja_eval(run, node->a, &call.self));
    }
    TP_TRY(eval_arguments(run, node->items, NULL, &call));
    run->at = node;
    return tp_jinja_call_builtin(run, &call, ret);
}

tapeout_status tp_jinja_need_text(tp_jinja_run *run, const tp_jinja_value *value, const char *what,
                                  const tp_jinja_text **ret)
{
    if (value->kind == TP_JINJA_UNDEFINED) {
        return tp_jinja_fail(run, "'%.*s' is undefined where %s is wanted",
                             TP_STR_ARGS(tp_jinja_bytes(value)), what);
    }
    if (value->kind != TP_JINJA_TEXT) {
        return tp_jinja_fail(run, "%s is a text, not %s", what, tp_jinja_type_name(value));
    }
    *ret = value->text;
    return TAPEOUT_OK;
}

tapeout_status tp_jinja_need_int(tp_jinja_run *run, const tp_jinja_value *value, const char *what,
                                 int64_t *ret)
{
    if (value->kind != TP_JINJA_INT && value->kind != TP_JINJA_BOOL) {
        return tp_jinja_fail(run, "%s is an integer, not %s", what, tp_jinja_type_name(value));
    }
    *ret = value->kind == TP_JINJA_INT ? value->integer : value->boolean;
    return TAPEOUT_OK;
}

static tapeout_status call_range(tp_jinja_run *run, const tp_jinja_call *call, tp_jinja_value *ret)
{
    int64_t bounds[3] = {0, 0, 1};
    for (size_t i = 0; i < 3 && call->bound[i] != NULL; i++) {
        TP_TRY(tp_jinja_need_int(run, call->bound[i], "a bound of range", &bounds[i]));
    }
    const int64_t from = call->bound[1] != NULL ? bounds[0] : 0;
    const int64_t to = call->bound[1] != NULL ? bounds[1] : bounds[0];
    const int64_t step = bounds[2];
    if (step == 0) {
        return tp_jinja_fail(run, "range: the step is 0");
    }
    // Unsigned, so that no difference overflows.
    const uint64_t span = step > 0 ? (to > from ? (uint64_t)to - (uint64_t)from : 0)
                                   : (from > to ? (uint64_t)from - (uint64_t)to : 0);
    const uint64_t stride = step > 0 ? (uint64_t)step : 0 - (uint64_t)step;
    const uint64_t count = span == 0 ? 0 : (span - 1) / stride + 1;
    if (count > TP_MAX_TEMPLATE_RANGE) {
        return tp_jinja_fail_limit(run, "range: more than %u numbers", TP_MAX_TEMPLATE_RANGE);
    }
    tp_jinja_value made;
    TP_TRY(tp_jinja_spend(run, count));
    TP_TRY(tp_jinja_list_new(run, TP_JINJA_RANGE, (size_t)count, &made));
    for (uint64_t i = 0; i < count; i++) {
        made.list->items[i] = tp_jinja_int((int64_t)((uint64_t)from + i * (uint64_t)step));
    }
    made.list->count = (size_t)count;
    made.list->from = from;
    made.list->to = to;
    made.list->step = step;
    *ret = made;
    return TAPEOUT_OK;
}

// dict(a=1), namespace(a=1), each also over another dict.
static tapeout_status make_dict(tp_jinja_run *run, const tp_jinja_call *call, tp_jinja_kind kind,
                                tp_jinja_value *ret)
{
    tp_jinja_value made;
    TP_TRY(tp_jinja_dict_new(run, kind, &made));
    if (call->count > 1 || (call->count == 1 && call->positional[0].kind != TP_JINJA_DICT)) {
        return tp_jinja_fail(run, "%s takes a dict and name = value", call->builtin->name);
    }
    for (size_t i = 0; call->count == 1 && i < call->positional[0].dict->count; i++) {
        const tp_jinja_entry *entry = &call->positional[0].dict->entries[i];
        TP_TRY(tp_jinja_dict_set(run, made.dict, entry->key, entry->value));
    }
    for (size_t i = 0; i < call->keyword_count; i++) {
        tp_jinja_value key;
        TP_TRY(tp_jinja_text_view(run, call->keywords[i].name, false, &key));
        TP_TRY(tp_jinja_dict_set(run, made.dict, key, call->keywords[i].value));
    }
    *ret = made;
    return TAPEOUT_OK;
}

static tapeout_status call_dict(tp_jinja_run *run, const tp_jinja_call *call, tp_jinja_value *ret)
{
    return make_dict(run, call, TP_JINJA_DICT, ret);
}

static tapeout_status call_namespace(tp_jinja_run *run, const tp_jinja_call *call,
                                     tp_jinja_value *ret)
{
    return make_dict(run, call, TP_JINJA_NAMESPACE, ret);
}

static tapeout_status call_raise(tp_jinja_run *run, const tp_jinja_call *call, tp_jinja_value *ret)
{
    const tp_jinja_text *message;
    (void)ret; // there is none
    TP_TRY(tp_jinja_to_text(run, call->bound[0], &message));
    return tp_jinja_fail(run, "the template refuses the messages: %.*s",
                         TP_STR_ARGS(((tp_str){message->data, message->size})));
}

typedef struct clock_parts {
    tp_date_parts date;
    int hour;
    int minute;
    int second;
} clock_parts;

// One directive of strftime in the C locale, UTC; false for an unknown one.
static bool put_directive(tp_jinja_out *out, char directive, const clock_parts *at)
{
    static const char *const days[] = {"Monday", "Tuesday",  "Wednesday", "Thursday",
                                       "Friday", "Saturday", "Sunday"};
    static const char *const months[] = {"January",   "February", "March",    "April",
                                         "May",       "June",     "July",     "August",
                                         "September", "October",  "November", "December"};
    const char *day = days[at->date.weekday];
    const char *month = months[at->date.month - 1];
    const int hour12 = at->hour % 12 == 0 ? 12 : at->hour % 12;
    const struct {
        char directive;
        const char *format;
        int number;
    } numbers[] = {
        {'d', "%02d", at->date.day},
        {'m', "%02d", at->date.month},
        {'y', "%02d", at->date.year % 100},
        {'Y', "%d", at->date.year},
        {'H', "%02d", at->hour},
        {'I', "%02d", hour12},
        {'M', "%02d", at->minute},
        {'S', "%02d", at->second},
        {'j', "%03d", at->date.day_of_year},
        {'e', "%2d", at->date.day},
    };
    char text[40];
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (numbers[i].directive == directive) {
            (void)snprintf(text, sizeof(text), numbers[i].format, numbers[i].number);
            tp_jinja_put(out, tp_str_from(text), false);
            return true;
        }
    }
    switch (directive) {
    case 'A':
    case 'a':
        tp_jinja_put(out, (tp_str){day, directive == 'A' ? strlen(day) : 3}, false);
        return true;
    case 'B':
    case 'b':
        tp_jinja_put(out, (tp_str){month, directive == 'B' ? strlen(month) : 3}, false);
        return true;
    case 'p':
        tp_jinja_put(out, at->hour < 12 ? TP_STR("AM") : TP_STR("PM"), false);
        return true;
    case '%':
        tp_jinja_put(out, TP_STR("%"), false);
        return true;
    default:
        return false;
    }
}

static tapeout_status call_strftime(tp_jinja_run *run, const tp_jinja_call *call,
                                    tp_jinja_value *ret)
{
    const tp_jinja_text *format;
    tp_jinja_out out;
    const int64_t day_s = 86400;
    const int64_t second = ((run->now_s % day_s) + day_s) % day_s;
    const clock_parts at = {.date = tp_date_split((run->now_s - second) / day_s),
                            .hour = (int)(second / 3600),
                            .minute = (int)(second / 60 % 60),
                            .second = (int)(second % 60)};
    TP_TRY(tp_jinja_need_text(run, call->bound[0], "the format of strftime_now", &format));
    tp_jinja_out_init(&out, run->arena);
    for (size_t i = 0; i < format->size; i++) {
        if (format->data[i] != '%') {
            tp_jinja_put_part(&out, format, i, i + 1);
        } else if (++i >= format->size || !put_directive(&out, format->data[i], &at)) {
            return tp_jinja_fail(run, "strftime_now: %%%c is not known",
                                 i < format->size ? format->data[i] : ' ');
        }
    }
    return tp_jinja_take(run, &out, ret);
}

const tp_jinja_builtin *tp_jinja_find_function(tp_str name)
{
    static const tp_jinja_builtin functions[] = {
        {"range", "start stop step", 1, call_range},  {"dict", "*", 0, call_dict},
        {"namespace", "*", 0, call_namespace},        {"raise_exception", "message", 1, call_raise},
        {"strftime_now", "format", 1, call_strftime},
    };
    return tp_jinja_find(functions, sizeof(functions) / sizeof(functions[0]), name);
}
