// SPDX-License-Identifier: Apache-2.0
//
// Tests, and the filters that apply a test or a filter to each item: map, select, reject,
// selectattr, rejectattr. A test says yes or no and never fails on a value of another kind unless
// Python's comparison would.
#include "llm/template/jinja_priv.h"

#include <math.h>
#include <string.h>

static tapeout_status test_defined(tp_jinja_run *run, const tp_jinja_call *call,
                                   tp_jinja_value *ret)
{
    (void)run; // nothing can fail
    const bool is_undefined = call->self.kind == TP_JINJA_UNDEFINED;
    *ret = tp_jinja_bool(is_undefined == (call->builtin->name[0] == 'u'));
    return TAPEOUT_OK;
}

static bool is_kind(const tp_jinja_value *value, const char *name)
{
    const uint8_t kind = value->kind;
    const bool is_list = kind == TP_JINJA_LIST;
    static const struct {
        const char *name;
        uint32_t kinds; // bits
    } plain[] = {
        {"none", 1u << TP_JINJA_NONE},
        {"string", 1u << TP_JINJA_TEXT},
        {"number", 1u << TP_JINJA_BOOL | 1u << TP_JINJA_INT | 1u << TP_JINJA_FLOAT},
        {"integer", 1u << TP_JINJA_INT},
        {"float", 1u << TP_JINJA_FLOAT},
        {"boolean", 1u << TP_JINJA_BOOL},
        {"mapping", 1u << TP_JINJA_DICT},
        {"iterable", 1u << TP_JINJA_UNDEFINED | 1u << TP_JINJA_TEXT | 1u << TP_JINJA_LIST |
                         1u << TP_JINJA_DICT | 1u << TP_JINJA_LOOP},
        {"callable", 1u << TP_JINJA_FUNCTION | 1u << TP_JINJA_METHOD | 1u << TP_JINJA_MACRO |
                         1u << TP_JINJA_LOOP | 1u << TP_JINJA_UNDEFINED},
    };
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        if (strcmp(name, plain[i].name) == 0) {
            return (plain[i].kinds >> kind & 1u) != 0;
        }
    }
    if (strcmp(name, "sequence") == 0) {
        return kind == TP_JINJA_UNDEFINED || kind == TP_JINJA_TEXT || kind == TP_JINJA_DICT ||
               (is_list && value->list->flavour <= TP_JINJA_RANGE);
    }
    return kind == TP_JINJA_BOOL && value->boolean == (name[0] == 't'); // true, false
}

static tapeout_status test_kind(tp_jinja_run *run, const tp_jinja_call *call, tp_jinja_value *ret)
{
    (void)run; // nothing can fail
    *ret = tp_jinja_bool(is_kind(&call->self, call->builtin->name));
    return TAPEOUT_OK;
}

static tapeout_status test_compare(tp_jinja_run *run, const tp_jinja_call *call,
                                   tp_jinja_value *ret)
{
    static const struct {
        const char *name;
        tp_jinja_token_kind op;
    } ops[] = {
        {"eq", TP_JINJA_T_EQ},       {"equalto", TP_JINJA_T_EQ},     {"==", TP_JINJA_T_EQ},
        {"ne", TP_JINJA_T_NE},       {"!=", TP_JINJA_T_NE},          {"gt", TP_JINJA_T_GT},
        {">", TP_JINJA_T_GT},        {"greaterthan", TP_JINJA_T_GT}, {"ge", TP_JINJA_T_GE},
        {">=", TP_JINJA_T_GE},       {"lt", TP_JINJA_T_LT},          {"<", TP_JINJA_T_LT},
        {"lessthan", TP_JINJA_T_LT}, {"le", TP_JINJA_T_LE},          {"<=", TP_JINJA_T_LE},
        {"in", TP_JINJA_T_IN},
    };
    tp_jinja_token_kind op = TP_JINJA_T_EQ;
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        op = strcmp(ops[i].name, call->builtin->name) == 0 ? ops[i].op : op;
    }
    return tp_jinja_binary(run, op, &call->self, call->bound[0], ret);
}

// The very same thing: Python's `is`, which templates use with true, false and none.
static tapeout_status test_sameas(tp_jinja_run *run, const tp_jinja_call *call, tp_jinja_value *ret)
{
    bool same = call->self.kind == call->bound[0]->kind;
    if (same && (call->self.kind == TP_JINJA_LIST || call->self.kind == TP_JINJA_DICT)) {
        same = call->self.list == call->bound[0]->list;
    } else if (same) {
        TP_TRY(tp_jinja_equal(run, &call->self, call->bound[0], &same));
    }
    *ret = tp_jinja_bool(same);
    return TAPEOUT_OK;
}

static tapeout_status test_divisible(tp_jinja_run *run, const tp_jinja_call *call,
                                     tp_jinja_value *ret)
{
    const char first = call->builtin->name[0];
    const tp_jinja_value two = tp_jinja_int(2);
    tp_jinja_value rest;
    if (!tp_jinja_is_number(&call->self)) {
        return tp_jinja_fail(run, "%s: %s is no number", call->builtin->name,
                             tp_jinja_type_name(&call->self));
    }
    TP_TRY(tp_jinja_binary(run, TP_JINJA_T_MOD, &call->self, first == 'd' ? call->bound[0] : &two,
                           &rest));
    *ret = tp_jinja_bool((tp_jinja_to_double(&rest) == 0) == (first != 'o'));
    return TAPEOUT_OK;
}

static tapeout_status test_case(tp_jinja_run *run, const tp_jinja_call *call, tp_jinja_value *ret)
{
    const tp_jinja_text *text;
    TP_TRY(tp_jinja_to_text(run, &call->self, &text));
    tp_jinja_call inner = {.self = {.kind = TP_JINJA_TEXT, .text = text},
                           .builtin = tp_jinja_find_text_method(call->builtin->name[0] == 'u'
                                                                    ? TP_STR("isupper")
                                                                    : TP_STR("islower"))};
    return tp_jinja_call_builtin(run, &inner, ret);
}

const tp_jinja_builtin *tp_jinja_find_test(tp_str name)
{
    static const tp_jinja_builtin tests[] = {
        {"defined", "", 0, test_defined},
        {"undefined", "", 0, test_defined},
        {"none", "", 0, test_kind},
        {"string", "", 0, test_kind},
        {"number", "", 0, test_kind},
        {"integer", "", 0, test_kind},
        {"float", "", 0, test_kind},
        {"boolean", "", 0, test_kind},
        {"true", "", 0, test_kind},
        {"false", "", 0, test_kind},
        {"mapping", "", 0, test_kind},
        {"sequence", "", 0, test_kind},
        {"iterable", "", 0, test_kind},
        {"callable", "", 0, test_kind},
        {"eq", "other", 1, test_compare},
        {"equalto", "other", 1, test_compare},
        {"==", "other", 1, test_compare},
        {"ne", "other", 1, test_compare},
        {"!=", "other", 1, test_compare},
        {"gt", "other", 1, test_compare},
        {"greaterthan", "other", 1, test_compare},
        {">", "other", 1, test_compare},
        {"ge", "other", 1, test_compare},
        {">=", "other", 1, test_compare},
        {"lt", "other", 1, test_compare},
        {"lessthan", "other", 1, test_compare},
        {"<", "other", 1, test_compare},
        {"le", "other", 1, test_compare},
        {"<=", "other", 1, test_compare},
        {"in", "seq", 1, test_compare},
        {"sameas", "other", 1, test_sameas},
        {"divisibleby", "num", 1, test_divisible},
        {"even", "", 0, test_divisible},
        {"odd", "", 0, test_divisible},
        {"upper", "", 0, test_case},
        {"lower", "", 0, test_case},
    };
    return tp_jinja_find(tests, sizeof(tests) / sizeof(tests[0]), name);
}

// A filter or test by the name that a template passes as text.
static tapeout_status find_by_value(tp_jinja_run *run, const tp_jinja_value *name, bool is_test,
                                    const tp_jinja_builtin **ret)
{
    const tp_jinja_text *text;
    TP_TRY(tp_jinja_need_text(run, name, "the name of a filter or test", &text));
    const tp_str bytes = {text->data, text->size};
    *ret = is_test ? tp_jinja_find_test(bytes) : tp_jinja_find_filter(bytes);
    if (*ret == NULL) {
        return tp_jinja_fail(run, "there is no %s '%.*s'", is_test ? "test" : "filter",
                             TP_STR_ARGS(bytes));
    }
    return TAPEOUT_OK;
}

// One item through filter or test `builtin` with the arguments behind the first `used`.
static tapeout_status apply(tp_jinja_run *run, const tp_jinja_call *call, size_t used,
                            const tp_jinja_builtin *builtin, tp_jinja_value *inout)
{
    tp_jinja_call inner = {.self = *inout,
                           .builtin = builtin,
                           .positional = call->positional + used,
                           .count = call->count - used,
                           .keywords = call->keywords,
                           .keyword_count = call->keyword_count};
    TP_TRY(tp_jinja_spend(run, 1));
    TP_TRY(tp_jinja_descend(run));
    TP_TRY(tp_jinja_call_builtin(run, &inner, inout));
    run->depth--;
    return TAPEOUT_OK;
}

// Jinja2 asks these filters' input whether it is true before it goes over it: none, false and 0 are
// as good as an empty list, 1 is a mistake.
static tapeout_status items_of(tp_jinja_run *run, const tp_jinja_value *value,
                               const tp_jinja_list **ret)
{
    static const tp_jinja_list nothing = {.flavour = TP_JINJA_PLAIN};
    if (!tp_jinja_is_true(value)) {
        *ret = &nothing;
        return TAPEOUT_OK;
    }
    return tp_jinja_iterate(run, value, ret);
}

static tapeout_status filter_select(tp_jinja_run *run, const tp_jinja_call *call,
                                    tp_jinja_value *ret)
{
    const char *name = call->builtin->name;
    const bool wants = name[0] == 's';
    const size_t attribute = strlen(name) > 6 ? 1 : 0; // selectattr, rejectattr
    const tp_jinja_builtin *test = NULL;
    const tp_jinja_list *list;
    tp_jinja_value made;
    TP_TRY(items_of(run, &call->self, &list));
    if (call->count > attribute) {
        TP_TRY(find_by_value(run, &call->positional[attribute], true, &test));
    }
    TP_TRY(tp_jinja_list_new(run, TP_JINJA_GENERATOR, 0, &made));
    made.list->is_untrusted = list->is_untrusted;
    for (size_t i = 0; i < list->count; i++) {
        tp_jinja_value value = list->items[i];
        TP_TRY(tp_jinja_spend(run, 1));
        if (attribute > 0) {
            TP_TRY(tp_jinja_path(run, &list->items[i], &call->positional[0], &value));
        }
        if (test != NULL) {
            TP_TRY(apply(run, call, attribute + 1, test, &value));
        }
        if (tp_jinja_is_true(&value) == wants) {
            TP_TRY(tp_jinja_list_add(run, made.list, list->items[i]));
        }
    }
    *ret = made;
    return TAPEOUT_OK;
}

// map(attribute = "a.b", default = x).
static tapeout_status map_attribute(tp_jinja_run *run, const tp_jinja_call *call,
                                    const tp_jinja_list *list, tp_jinja_list *made)
{
    const tp_jinja_value *attribute = NULL;
    const tp_jinja_value *other = NULL;
    for (size_t i = 0; i < call->keyword_count; i++) {
        const tp_jinja_keyword *keyword = &call->keywords[i];
        attribute = tp_str_equal(keyword->name, TP_STR("attribute")) ? &keyword->value : attribute;
        other = tp_str_equal(keyword->name, TP_STR("default")) ? &keyword->value : other;
    }
    if (attribute == NULL) {
        return tp_jinja_fail(run, "map: needs the name of a filter, or attribute = ...");
    }
    for (size_t i = 0; i < list->count; i++) {
        tp_jinja_value value;
        TP_TRY(tp_jinja_spend(run, 1));
        TP_TRY(tp_jinja_path(run, &list->items[i], attribute, &value));
        TP_TRY(tp_jinja_list_add(
            run, made, value.kind == TP_JINJA_UNDEFINED && other != NULL ? *other : value));
    }
    return TAPEOUT_OK;
}

static tapeout_status filter_map(tp_jinja_run *run, const tp_jinja_call *call, tp_jinja_value *ret)
{
    const tp_jinja_list *list;
    const tp_jinja_builtin *filter = NULL;
    tp_jinja_value made;
    TP_TRY(items_of(run, &call->self, &list));
    TP_TRY(tp_jinja_list_new(run, TP_JINJA_GENERATOR, 0, &made));
    made.list->is_untrusted = list->is_untrusted;
    *ret = made;
    if (call->count == 0) {
        return map_attribute(run, call, list, made.list);
    }
    TP_TRY(find_by_value(run, &call->positional[0], false, &filter));
    for (size_t i = 0; i < list->count; i++) {
        tp_jinja_value value = list->items[i];
        TP_TRY(apply(run, call, 1, filter, &value));
        TP_TRY(tp_jinja_list_add(run, made.list, value));
    }
    return TAPEOUT_OK;
}

const tp_jinja_builtin *tp_jinja_find_filter_of_choice(tp_str name)
{
    static const tp_jinja_builtin filters[] = {
        {"map", "*", 0, filter_map},           {"select", "*", 0, filter_select},
        {"reject", "*", 0, filter_select},     {"selectattr", "*", 1, filter_select},
        {"rejectattr", "*", 1, filter_select},
    };
    return tp_jinja_find(filters, sizeof(filters) / sizeof(filters[0]), name);
}
