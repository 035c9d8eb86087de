// SPDX-License-Identifier: Apache-2.0
//
// Methods of texts, dicts and lists, by Python's names. A list or dict of the request is never
// changed; append and pop work on lists that the template made itself.
#include "llm/template/jinja_priv.h"
#include "llm/template/jinja_string_priv.h"

#include "base/limits.h"

#include <string.h>
#include <utf8proc.h>

static tp_str self_bytes(const tp_jinja_call *call)
{
    return tp_jinja_bytes(&call->self);
}

static tapeout_status call_strip(tp_jinja_run *run, const tp_jinja_call *call, tp_jinja_value *ret)
{
    const char first = call->builtin->name[0];
    const int sides = first == 'l'   ? TP_JINJA_STRIP_LEFT
                      : first == 'r' ? TP_JINJA_STRIP_RIGHT
                                     : TP_JINJA_STRIP_LEFT | TP_JINJA_STRIP_RIGHT;
    return tp_jinja_strip(run, call->self.text, call->bound[0], sides, ret);
}

static tapeout_status call_case(tp_jinja_run *run, const tp_jinja_call *call, tp_jinja_value *ret)
{
    const char first = call->builtin->name[0];
    return tp_jinja_change_case(run, call->self.text,
                                first == 'u'   ? TP_JINJA_UPPER
                                : first == 'l' ? TP_JINJA_LOWER
                                : first == 't' ? TP_JINJA_TITLE
                                               : TP_JINJA_CAPITALIZE,
                                ret);
}

static tapeout_status add_part(tp_jinja_run *run, const tp_jinja_text *text, size_t begin,
                               size_t end, tp_jinja_list *list)
{
    tp_jinja_value part;
    TP_TRY(tp_jinja_spend(run, 1));
    TP_TRY(tp_jinja_text_part(run, text, begin, end, &part));
    return tp_jinja_list_add(run, list, part);
}

// Between runs of white space.
static tapeout_status split_blank(tp_jinja_run *run, const tp_jinja_text *text, int64_t most,
                                  tp_jinja_list *list)
{
    const tp_str bytes = {text->data, text->size};
    size_t at = 0;
    for (;;) {
        size_t size;
        while (at < text->size && tp_jinja_is_space(tp_jinja_char(bytes, at, &size))) {
            at += size;
        }
        if (at >= text->size) {
            return TAPEOUT_OK;
        }
        size_t end = at;
        if (most >= 0 && (int64_t)list->count >= most) {
            return add_part(run, text, at, text->size, list);
        }
        while (end < text->size && !tp_jinja_is_space(tp_jinja_char(bytes, end, &size))) {
            end += size;
        }
        TP_TRY(add_part(run, text, at, end, list));
        at = end;
    }
}

static tapeout_status call_split(tp_jinja_run *run, const tp_jinja_call *call, tp_jinja_value *ret)
{
    const tp_jinja_text *text = call->self.text;
    const tp_jinja_text *between = NULL;
    int64_t most = -1;
    size_t at = 0;
    tp_jinja_value made;
    if (call->bound[1] != NULL) {
        TP_TRY(tp_jinja_need_int(run, call->bound[1], "the most splits", &most));
    }
    TP_TRY(tp_jinja_spend(run, text->size / 32));
    TP_TRY(tp_jinja_list_new(run, TP_JINJA_PLAIN, 0, &made));
    *ret = made;
    if (call->bound[0] == NULL || call->bound[0]->kind == TP_JINJA_NONE) {
        return split_blank(run, text, most, made.list);
    }
    TP_TRY(tp_jinja_need_text(run, call->bound[0], "what split looks for", &between));
    if (between->size == 0) {
        return tp_jinja_fail(run, "split: an empty separator");
    }
    for (int64_t i = 0; most < 0 || i < most; i++) {
        const size_t found =
            tp_jinja_find_bytes(self_bytes(call), (tp_str){between->data, between->size}, at);
        if (found == SIZE_MAX) {
            break;
        }
        TP_TRY(add_part(run, text, at, found, made.list));
        at = found + between->size;
    }
    return add_part(run, text, at, text->size, made.list);
}

static size_t rfind_bytes(tp_str text, tp_str part)
{
    size_t found = SIZE_MAX;
    for (size_t at = text.size >= part.size ? text.size - part.size + 1 : 0; at > 0; at--) {
        if (memcmp(text.data + at - 1, part.data, part.size) == 0) {
            found = at - 1;
            break;
        }
    }
    return found;
}

// From the right: pieces are gathered backwards, then turned round.
static tapeout_status call_rsplit(tp_jinja_run *run, const tp_jinja_call *call, tp_jinja_value *ret)
{
    const tp_jinja_text *text = call->self.text;
    const tp_jinja_text *between;
    int64_t most = -1;
    tp_jinja_value made;
    if (call->bound[1] != NULL) {
        TP_TRY(tp_jinja_need_int(run, call->bound[1], "the most splits", &most));
    }
    TP_TRY(tp_jinja_need_text(run, call->bound[0], "what rsplit looks for", &between));
    if (between->size == 0) {
        return tp_jinja_fail(run, "rsplit: an empty separator");
    }
    TP_TRY(tp_jinja_list_new(run, TP_JINJA_PLAIN, 0, &made));
    size_t end = text->size;
    for (int64_t i = 0; most < 0 || i < most; i++) {
        const size_t found =
            rfind_bytes((tp_str){text->data, end}, (tp_str){between->data, between->size});
        TP_TRY(tp_jinja_spend(run, 1 + (end - (found == SIZE_MAX ? 0 : found)) / 4));
        if (found == SIZE_MAX) {
            break;
        }
        TP_TRY(add_part(run, text, found + between->size, end, made.list));
        end = found;
    }
    TP_TRY(add_part(run, text, 0, end, made.list));
    for (size_t i = 0; i < made.list->count / 2; i++) {
        const tp_jinja_value other = made.list->items[i];
        made.list->items[i] = made.list->items[made.list->count - 1 - i];
        made.list->items[made.list->count - 1 - i] = other;
    }
    *ret = made;
    return TAPEOUT_OK;
}

static tapeout_status call_splitlines(tp_jinja_run *run, const tp_jinja_call *call,
                                      tp_jinja_value *ret)
{
    const tp_jinja_text *text = call->self.text;
    tp_jinja_value made;
    size_t begin = 0;
    TP_TRY(tp_jinja_list_new(run, TP_JINJA_PLAIN, 0, &made));
    for (size_t at = 0; at < text->size; at++) {
        if (text->data[at] != '\n' && text->data[at] != '\r') {
            continue;
        }
        TP_TRY(add_part(run, text, begin, at, made.list));
        at += text->data[at] == '\r' && at + 1 < text->size && text->data[at + 1] == '\n' ? 1 : 0;
        begin = at + 1;
    }
    if (begin < text->size) {
        TP_TRY(add_part(run, text, begin, text->size, made.list));
    }
    *ret = made;
    return TAPEOUT_OK;
}

static tapeout_status is_affix(tp_jinja_run *run, const tp_jinja_call *call,
                               const tp_jinja_value *part, bool *ret)
{
    const tp_jinja_text *text;
    TP_TRY(tp_jinja_need_text(run, part, "what a text begins or ends with", &text));
    TP_TRY(tp_jinja_spend(run, 1 + text->size / 64));
    const tp_str bytes = {text->data, text->size};
    *ret = call->builtin->name[0] == 's' ? tp_str_has_prefix(self_bytes(call), bytes)
                                         : tp_str_has_suffix(self_bytes(call), bytes);
    return TAPEOUT_OK;
}

static tapeout_status call_affix(tp_jinja_run *run, const tp_jinja_call *call, tp_jinja_value *ret)
{
    const tp_jinja_value *part = call->bound[0];
    bool holds = false;
    if (part->kind != TP_JINJA_LIST || part->list->flavour != TP_JINJA_TUPLE) {
        TP_TRY(is_affix(run, call, part, &holds));
    } else {
        for (size_t i = 0; i < part->list->count && !holds; i++) {
            TP_TRY(is_affix(run, call, &part->list->items[i], &holds));
        }
    }
    *ret = tp_jinja_bool(holds);
    return TAPEOUT_OK;
}

static tapeout_status call_remove_affix(tp_jinja_run *run, const tp_jinja_call *call,
                                        tp_jinja_value *ret)
{
    const tp_jinja_text *part;
    const tp_jinja_text *text = call->self.text;
    TP_TRY(tp_jinja_need_text(run, call->bound[0], "what is removed", &part));
    const tp_str bytes = {part->data, part->size};
    const bool is_prefix = strcmp(call->builtin->name, "removeprefix") == 0;
    const bool holds = is_prefix ? tp_str_has_prefix(self_bytes(call), bytes)
                                 : tp_str_has_suffix(self_bytes(call), bytes);
    const size_t cut = holds ? part->size : 0;
    return tp_jinja_text_part(run, text, is_prefix ? cut : 0, text->size - (is_prefix ? 0 : cut),
                              ret);
}

static tapeout_status call_replace(tp_jinja_run *run, const tp_jinja_call *call,
                                   tp_jinja_value *ret)
{
    const tp_jinja_text *from_to[2];
    int64_t count = -1;
    TP_TRY(tp_jinja_need_text(run, call->bound[0], "what replace looks for", &from_to[0]));
    TP_TRY(tp_jinja_need_text(run, call->bound[1], "what replace puts", &from_to[1]));
    if (call->bound[2] != NULL) {
        TP_TRY(tp_jinja_need_int(run, call->bound[2], "the count of replace", &count));
    }
    return tp_jinja_replace(run, call->self.text, from_to, count, ret);
}

static tapeout_status call_find(tp_jinja_run *run, const tp_jinja_call *call, tp_jinja_value *ret)
{
    const tp_jinja_text *part;
    const tp_str bytes = self_bytes(call);
    TP_TRY(tp_jinja_need_text(run, call->bound[0], "what find looks for", &part));
    TP_TRY(tp_jinja_spend(run, bytes.size / 4));
    const tp_str wanted = {part->data, part->size};
    const size_t found = call->builtin->name[0] == 'r' ? rfind_bytes(bytes, wanted)
                                                       : tp_jinja_find_bytes(bytes, wanted, 0);
    if (found == SIZE_MAX && call->builtin->name[0] == 'i') {
        return tp_jinja_fail(run, "index: the text is not there");
    }
    *ret = tp_jinja_int(
        found == SIZE_MAX ? -1 : (int64_t)tp_jinja_char_count((tp_str){bytes.data, found}));
    return TAPEOUT_OK;
}

static tapeout_status call_count(tp_jinja_run *run, const tp_jinja_call *call, tp_jinja_value *ret)
{
    const tp_jinja_text *part;
    int64_t count = 0;
    TP_TRY(tp_jinja_need_text(run, call->bound[0], "what count looks for", &part));
    TP_TRY(tp_jinja_spend(run, call->self.text->size / 16));
    if (part->size == 0) {
        *ret = tp_jinja_int((int64_t)call->self.text->length + 1);
        return TAPEOUT_OK;
    }
    for (size_t at = 0;; count++) {
        const size_t found =
            tp_jinja_find_bytes(self_bytes(call), (tp_str){part->data, part->size}, at);
        if (found == SIZE_MAX) {
            break;
        }
        at = found + part->size;
    }
    *ret = tp_jinja_int(count);
    return TAPEOUT_OK;
}

static tapeout_status call_join(tp_jinja_run *run, const tp_jinja_call *call, tp_jinja_value *ret)
{
    const tp_jinja_list *list;
    TP_TRY(tp_jinja_iterate(run, call->bound[0], &list));
    return tp_jinja_join(run, list, call->self.text, true, ret);
}

// isdigit, isalpha, isalnum, isspace, isupper, islower: true of every character, of one at least.
static tapeout_status call_is(tp_jinja_run *run, const tp_jinja_call *call, tp_jinja_value *ret)
{
    const char *what = call->builtin->name + 2;
    const tp_str bytes = self_bytes(call);
    const bool by_case = strcmp(what, "upper") == 0 || strcmp(what, "lower") == 0;
    bool all = true;
    bool some = !by_case && bytes.size > 0;
    TP_TRY(tp_jinja_spend(run, bytes.size / 8));
    for (size_t at = 0; at < bytes.size && all;) {
        size_t size;
        const uint32_t code = tp_jinja_char(bytes, at, &size);
        const utf8proc_category_t kind = utf8proc_category((utf8proc_int32_t)code);
        const bool is_letter = kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_LO;
        const bool is_number = kind == UTF8PROC_CATEGORY_ND;
        const bool is_upper = kind == UTF8PROC_CATEGORY_LU || kind == UTF8PROC_CATEGORY_LT;
        if (by_case) {
            const bool is_lower = kind == UTF8PROC_CATEGORY_LL;
            all = !(what[0] == 'u' ? is_lower : is_upper);
            some = some || (what[0] == 'u' ? is_upper : is_lower);
        } else {
            all = what[0] == 'd'   ? is_number
                  : what[0] == 's' ? tp_jinja_is_space(code)
                                   : is_letter || (what[2] == 'n' && is_number);
        }
        at += size;
    }
    *ret = tp_jinja_bool(all && some);
    return TAPEOUT_OK;
}

// "{} and {0} and {name}".format(...): plain fields, without formats of their own.
static tapeout_status put_field(tp_jinja_run *run, const tp_jinja_call *call, tp_str name,
                                size_t *used, tp_jinja_out *out)
{
    int64_t index = -1;
    if (name.size == 0) {
        index = (int64_t)(*used)++;
    } else if (!tp_str_to_int64(name, &index)) {
        for (size_t i = 0; i < call->keyword_count; i++) {
            if (tp_str_equal(call->keywords[i].name, name)) {
                return tp_jinja_print(run, &call->keywords[i].value, out);
            }
        }
    }
    if (index < 0 || (size_t)index >= call->count) {
        return tp_jinja_fail(run, "format: no value for the field '{%.*s}'", TP_STR_ARGS(name));
    }
    return tp_jinja_print(run, &call->positional[index], out);
}

static tapeout_status call_format(tp_jinja_run *run, const tp_jinja_call *call, tp_jinja_value *ret)
{
    const tp_jinja_text *text = call->self.text;
    const tp_str bytes = self_bytes(call);
    size_t used = 0;
    tp_jinja_out out;
    tp_jinja_out_init(&out, run->arena);
    for (size_t at = 0; at < text->size; at++) {
        const char c = text->data[at];
        const bool is_double = at + 1 < text->size && text->data[at + 1] == c;
        if (c != '{' && c != '}') {
            tp_jinja_put_part(&out, text, at, at + 1);
            continue;
        }
        if (is_double) {
            tp_jinja_put_part(&out, text, at, at + 1);
            at++;
            continue;
        }
        const size_t end = tp_jinja_find_bytes(bytes, TP_STR("}"), at);
        if (c == '}' || end == SIZE_MAX) {
            return tp_jinja_fail(run, "format: a single '%c'", c);
        }
        TP_TRY(put_field(run, call, (tp_str){text->data + at + 1, end - at - 1}, &used, &out));
        at = end;
    }
    return tp_jinja_take(run, &out, ret);
}

const tp_jinja_builtin *tp_jinja_find_text_method(tp_str name)
{
    static const tp_jinja_builtin methods[] = {
        {"strip", "chars", 0, call_strip},
        {"lstrip", "chars", 0, call_strip},
        {"rstrip", "chars", 0, call_strip},
        {"split", "sep maxsplit", 0, call_split},
        {"rsplit", "sep maxsplit", 1, call_rsplit},
        {"splitlines", "", 0, call_splitlines},
        {"startswith", "prefix", 1, call_affix},
        {"endswith", "suffix", 1, call_affix},
        {"removeprefix", "prefix", 1, call_remove_affix},
        {"removesuffix", "suffix", 1, call_remove_affix},
        {"replace", "old new count", 2, call_replace},
        {"upper", "", 0, call_case},
        {"lower", "", 0, call_case},
        {"title", "", 0, call_case},
        {"capitalize", "", 0, call_case},
        {"join", "items", 1, call_join},
        {"find", "part", 1, call_find},
        {"rfind", "part", 1, call_find},
        {"index", "part", 1, call_find},
        {"count", "part", 1, call_count},
        {"isdigit", "", 0, call_is},
        {"isalpha", "", 0, call_is},
        {"isalnum", "", 0, call_is},
        {"isspace", "", 0, call_is},
        {"isupper", "", 0, call_is},
        {"islower", "", 0, call_is},
        {"format", "*", 0, call_format},
    };
    return tp_jinja_find(methods, sizeof(methods) / sizeof(methods[0]), name);
}

// items, keys, values.
static tapeout_status call_view(tp_jinja_run *run, const tp_jinja_call *call, tp_jinja_value *ret)
{
    const tp_jinja_dict *dict = call->self.dict;
    const char first = call->builtin->name[0];
    tp_jinja_value made;
    TP_TRY(tp_jinja_spend(run, dict->count));
    TP_TRY(tp_jinja_list_new(run, TP_JINJA_VIEW, dict->count, &made));
    made.list->is_untrusted = dict->is_untrusted;
    for (size_t i = 0; i < dict->count; i++) {
        tp_jinja_value item = first == 'k' ? dict->entries[i].key : dict->entries[i].value;
        if (first == 'i') {
            TP_TRY(tp_jinja_list_new(run, TP_JINJA_TUPLE, 2, &item));
            item.list->is_untrusted = dict->is_untrusted;
            item.list->items[0] = dict->entries[i].key;
            item.list->items[1] = dict->entries[i].value;
            item.list->count = 2;
        }
        made.list->items[made.list->count++] = item;
    }
    *ret = made;
    return TAPEOUT_OK;
}

static tapeout_status call_get(tp_jinja_run *run, const tp_jinja_call *call, tp_jinja_value *ret)
{
    TP_TRY(tp_jinja_check_key(run, call->bound[0]));
    const tp_jinja_value *found = tp_jinja_dict_get(run, call->self.dict, *call->bound[0]);
    *ret = found != NULL ? *found : call->bound[1] != NULL ? *call->bound[1] : tp_jinja_none();
    return TAPEOUT_OK;
}

static tapeout_status need_own_list(tp_jinja_run *run, const tp_jinja_call *call)
{
    const tp_jinja_list *list = call->self.list;
    if (list->flavour != TP_JINJA_PLAIN || list->is_untrusted) {
        return tp_jinja_fail(run, "%s: only a list that the template made can be changed",
                             call->builtin->name);
    }
    return TAPEOUT_OK;
}

static tapeout_status call_append(tp_jinja_run *run, const tp_jinja_call *call, tp_jinja_value *ret)
{
    TP_TRY(need_own_list(run, call));
    TP_TRY(tp_jinja_list_add(run, call->self.list, *call->bound[0]));
    *ret = tp_jinja_none();
    return TAPEOUT_OK;
}

static tapeout_status call_pop(tp_jinja_run *run, const tp_jinja_call *call, tp_jinja_value *ret)
{
    tp_jinja_list *list = call->self.list;
    int64_t index = -1;
    TP_TRY(need_own_list(run, call));
    if (call->bound[0] != NULL) {
        TP_TRY(tp_jinja_need_int(run, call->bound[0], "the place of pop", &index));
    }
    index = index < 0 ? index + (int64_t)list->count : index;
    if (index < 0 || (size_t)index >= list->count) {
        return tp_jinja_fail(run, "pop: no such item");
    }
    TP_TRY(tp_jinja_spend(run, list->count / 8));
    *ret = list->items[index];
    list->count--;
    memmove(list->items + index, list->items + index + 1,
            (list->count - (size_t)index) * sizeof(*list->items));
    return TAPEOUT_OK;
}

const tp_jinja_builtin *tp_jinja_find_container_method(tp_jinja_kind kind, tp_str name)
{
    static const tp_jinja_builtin of_dict[] = {
        {"items", "", 0, call_view},
        {"keys", "", 0, call_view},
        {"values", "", 0, call_view},
        {"get", "key default", 1, call_get},
    };
    static const tp_jinja_builtin of_list[] = {
        {"append", "item", 1, call_append},
        {"pop", "index", 0, call_pop},
    };
    if (kind == TP_JINJA_DICT) {
        return tp_jinja_find(of_dict, sizeof(of_dict) / sizeof(of_dict[0]), name);
    }
    if (kind == TP_JINJA_LIST) {
        return tp_jinja_find(of_list, sizeof(of_list) / sizeof(of_list[0]), name);
    }
    return NULL;
}
