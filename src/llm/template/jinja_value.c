// SPDX-License-Identifier: Apache-2.0
//
// What values mean: truth, equality, order, membership, iteration, length, all as Python has them,
// and containers that grow in the arena. Work on containers is paid for in steps.
#include "llm/template/jinja_value_priv.h"

#include "base/limits.h"
#include "llm/template/jinja_priv.h"

#include <math.h>
#include <string.h>

// Room for one more item; what is outgrown stays in the arena.
static void *grow(tp_jinja_run *run, void *items, size_t count, size_t *capacity, size_t item_size)
{
    if (count < *capacity) {
        return items;
    }
    const size_t wanted = *capacity == 0 ? 4 : *capacity * 2;
    void *more = tp_arena_array(run->arena, wanted, item_size);
    if (more != NULL) {
        if (count > 0) {
            memcpy(more, items, count * item_size);
        }
        *capacity = wanted;
    }
    return more;
}

tapeout_status tp_jinja_list_new(tp_jinja_run *run, tp_jinja_flavour flavour, size_t capacity,
                                 tp_jinja_value *ret)
{
    tp_jinja_list *list = tp_arena_alloc(run->arena, sizeof(*list));
    if (list == NULL) {
        return tp_jinja_fail_memory(run);
    }
    list->flavour = flavour;
    if (capacity > 0) {
        list->items = tp_arena_array(run->arena, capacity, sizeof(*list->items));
        list->capacity = capacity;
        if (list->items == NULL) {
            return tp_jinja_fail_memory(run);
        }
    }
    *ret = (tp_jinja_value){.kind = TP_JINJA_LIST, .list = list};
    return TAPEOUT_OK;
}

tapeout_status tp_jinja_list_add(tp_jinja_run *run, tp_jinja_list *list, tp_jinja_value item)
{
    tp_jinja_value *items =
        grow(run, list->items, list->count, &list->capacity, sizeof(*list->items));
    if (items == NULL) {
        return tp_jinja_fail_memory(run);
    }
    list->items = items;
    list->items[list->count++] = item;
    return TAPEOUT_OK;
}

tapeout_status tp_jinja_dict_new(tp_jinja_run *run, tp_jinja_kind kind, tp_jinja_value *ret)
{
    tp_jinja_dict *dict = tp_arena_alloc(run->arena, sizeof(*dict));
    if (dict == NULL) {
        return tp_jinja_fail_memory(run);
    }
    *ret = (tp_jinja_value){.kind = (uint8_t)kind, .dict = dict};
    return TAPEOUT_OK;
}

static tapeout_status dict_add(tp_jinja_run *run, tp_jinja_dict *dict, tp_jinja_value key,
                               tp_jinja_value value)
{
    tp_jinja_entry *entries =
        grow(run, dict->entries, dict->count, &dict->capacity, sizeof(*dict->entries));
    if (entries == NULL) {
        return tp_jinja_fail_memory(run);
    }
    dict->entries = entries;
    dict->entries[dict->count++] = (tp_jinja_entry){key, value};
    return TAPEOUT_OK;
}

// Keys are texts or plain values: no error can come of comparing them.
static bool is_same_key(const tp_jinja_value *a, const tp_jinja_value *b)
{
    if (a->kind == TP_JINJA_TEXT && b->kind == TP_JINJA_TEXT) {
        return tp_str_equal(tp_jinja_bytes(a), tp_jinja_bytes(b));
    }
    if (tp_jinja_is_number(a) && tp_jinja_is_number(b)) {
        return tp_jinja_to_double(a) == tp_jinja_to_double(b);
    }
    return a->kind == TP_JINJA_NONE && b->kind == TP_JINJA_NONE;
}

const tp_jinja_value *tp_jinja_dict_get(tp_jinja_run *run, const tp_jinja_dict *dict,
                                        tp_jinja_value key)
{
    run->steps += dict->count / 8; // looked at by whoever spends next
    for (size_t i = 0; i < dict->count; i++) {
        if (is_same_key(&dict->entries[i].key, &key)) {
            return &dict->entries[i].value;
        }
    }
    return NULL;
}

const tp_jinja_value *tp_jinja_dict_get_str(tp_jinja_run *run, const tp_jinja_dict *dict,
                                            tp_str key)
{
    const tp_jinja_text text = {.data = key.data, .size = key.size};
    return tp_jinja_dict_get(run, dict, (tp_jinja_value){.kind = TP_JINJA_TEXT, .text = &text});
}

tapeout_status tp_jinja_check_key(tp_jinja_run *run, const tp_jinja_value *key)
{
    const bool is_list = key->kind == TP_JINJA_LIST;
    if (key->kind == TP_JINJA_DICT || (is_list && (key->list->flavour == TP_JINJA_PLAIN ||
                                                   key->list->flavour == TP_JINJA_VIEW))) {
        return tp_jinja_fail(run, "a %s cannot be a key", tp_jinja_type_name(key));
    }
    if (is_list && key->list->flavour == TP_JINJA_TUPLE) {
        TP_TRY(tp_jinja_descend(run));
        TP_TRY(tp_jinja_spend(run, key->list->count));
        for (size_t i = 0; i < key->list->count; i++) {
            TP_TRY(tp_jinja_check_key(run, &key->list->items[i]));
        }
        run->depth--;
    }
    return TAPEOUT_OK;
}

tapeout_status tp_jinja_dict_set(tp_jinja_run *run, tp_jinja_dict *dict, tp_jinja_value key,
                                 tp_jinja_value value)
{
    TP_TRY(tp_jinja_check_key(run, &key));
    if (key.kind != TP_JINJA_TEXT && key.kind != TP_JINJA_NONE && !tp_jinja_is_number(&key)) {
        return tp_jinja_fail(run, "a %s cannot be a key", tp_jinja_type_name(&key));
    }
    const tp_jinja_value *there = tp_jinja_dict_get(run, dict, key);
    TP_TRY(tp_jinja_spend(run, 0));
    if (there == NULL) {
        return dict_add(run, dict, key, value);
    }
    for (size_t i = 0; i < dict->count; i++) {
        if (&dict->entries[i].value == there) {
            dict->entries[i].value = value;
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status from_array(tp_jinja_run *run, yyjson_val *json, tp_jinja_value *ret)
{
    yyjson_arr_iter it = yyjson_arr_iter_with(json);
    tp_jinja_value made;
    TP_TRY(tp_jinja_list_new(run, TP_JINJA_PLAIN, yyjson_arr_size(json), &made));
    made.list->is_untrusted = true;
    for (yyjson_val *item; (item = yyjson_arr_iter_next(&it)) != NULL;) {
        TP_TRY(tp_jinja_from_json(run, item, &made.list->items[made.list->count]));
        made.list->count++;
    }
    *ret = made;
    return TAPEOUT_OK;
}

static tapeout_status from_object(tp_jinja_run *run, yyjson_val *json, tp_jinja_value *ret)
{
    yyjson_obj_iter it = yyjson_obj_iter_with(json);
    tp_jinja_value made;
    TP_TRY(tp_jinja_dict_new(run, TP_JINJA_DICT, &made));
    made.dict->is_untrusted = true;
    for (yyjson_val *key; (key = yyjson_obj_iter_next(&it)) != NULL;) {
        tp_jinja_value name;
        tp_jinja_value value;
        TP_TRY(tp_jinja_from_json(run, key, &name));
        TP_TRY(tp_jinja_from_json(run, yyjson_obj_iter_get_val(key), &value));
        TP_TRY(dict_add(run, made.dict, name, value)); // the parser has refused duplicates
    }
    *ret = made;
    return TAPEOUT_OK;
}

tapeout_status tp_jinja_from_json(tp_jinja_run *run, yyjson_val *json, tp_jinja_value *ret)
{
    TP_TRY(tp_jinja_descend(run));
    tp_jinja_value made = tp_jinja_none();
    if (yyjson_is_arr(json)) {
        TP_TRY(from_array(run, json, &made));
    } else if (yyjson_is_obj(json)) {
        TP_TRY(from_object(run, json, &made));
    } else if (yyjson_is_str(json)) {
        const tp_str text = {yyjson_get_str(json), yyjson_get_len(json)};
        TP_TRY(tp_jinja_text_view(run, text, true, &made));
    } else if (yyjson_is_bool(json)) {
        made = tp_jinja_bool(yyjson_get_bool(json));
    } else if (yyjson_is_real(json) ||
               (yyjson_is_uint(json) && yyjson_get_uint(json) > (uint64_t)INT64_MAX)) {
        made = tp_jinja_float(yyjson_get_num(json));
    } else if (yyjson_is_int(json)) {
        made = tp_jinja_int(yyjson_get_sint(json));
    }
    made.is_untrusted = true;
    run->depth--;
    *ret = made;
    return TAPEOUT_OK;
}

const char *tp_jinja_type_name(const tp_jinja_value *value)
{
    static const char *const flavours[] = {"list", "tuple", "range", "view", "generator"};
    switch ((tp_jinja_kind)value->kind) {
    case TP_JINJA_UNDEFINED:
        return "undefined value";
    case TP_JINJA_NONE:
        return "none";
    case TP_JINJA_BOOL:
        return "bool";
    case TP_JINJA_INT:
        return "int";
    case TP_JINJA_FLOAT:
        return "float";
    case TP_JINJA_TEXT:
        return "str";
    case TP_JINJA_LIST:
        return flavours[value->list->flavour];
    case TP_JINJA_DICT:
        return "dict";
    case TP_JINJA_NAMESPACE:
        return "namespace";
    case TP_JINJA_FUNCTION:
        return "function";
    case TP_JINJA_METHOD:
        return "method";
    case TP_JINJA_MACRO:
        return "macro";
    case TP_JINJA_LOOP:
        return "loop";
    }
    return "value";
}

bool tp_jinja_is_number(const tp_jinja_value *value)
{
    return value->kind == TP_JINJA_BOOL || value->kind == TP_JINJA_INT ||
           value->kind == TP_JINJA_FLOAT;
}

double tp_jinja_to_double(const tp_jinja_value *value)
{
    return value->kind == TP_JINJA_FLOAT ? value->number
           : value->kind == TP_JINJA_INT ? (double)value->integer
                                         : (double)value->boolean;
}

bool tp_jinja_is_true(const tp_jinja_value *value)
{
    switch ((tp_jinja_kind)value->kind) {
    case TP_JINJA_UNDEFINED:
    case TP_JINJA_NONE:
        return false;
    case TP_JINJA_BOOL:
    case TP_JINJA_INT:
    case TP_JINJA_FLOAT:
        return tp_jinja_to_double(value) != 0;
    case TP_JINJA_TEXT:
        return value->text->size > 0;
    case TP_JINJA_LIST:
        return value->list->count > 0 || value->list->flavour == TP_JINJA_GENERATOR;
    case TP_JINJA_DICT:
        return value->dict->count > 0;
    default:
        return true;
    }
}

bool tp_jinja_is_untrusted(const tp_jinja_value *value)
{
    return value->kind == TP_JINJA_TEXT   ? value->text->is_untrusted
           : value->kind == TP_JINJA_LIST ? value->list->is_untrusted
           : value->kind == TP_JINJA_DICT ? value->dict->is_untrusted
                                          : value->is_untrusted;
}

static tapeout_status equal_lists(tp_jinja_run *run, const tp_jinja_list *a, const tp_jinja_list *b,
                                  bool *ret)
{
    bool same = a->count == b->count && a->flavour == b->flavour;
    for (size_t i = 0; same && i < a->count; i++) {
        TP_TRY(tp_jinja_equal(run, &a->items[i], &b->items[i], &same));
    }
    *ret = same;
    return TAPEOUT_OK;
}

static tapeout_status equal_dicts(tp_jinja_run *run, const tp_jinja_dict *a, const tp_jinja_dict *b,
                                  bool *ret)
{
    bool same = a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++) {
        const tp_jinja_value *other = tp_jinja_dict_get(run, b, a->entries[i].key);
        same = other != NULL;
        if (same) {
            TP_TRY(tp_jinja_equal(run, &a->entries[i].value, other, &same));
        }
    }
    *ret = same;
    return TAPEOUT_OK;
}

tapeout_status tp_jinja_equal(tp_jinja_run *run, const tp_jinja_value *a, const tp_jinja_value *b,
                              bool *ret)
{
    bool same = false;
    TP_TRY(tp_jinja_spend(run, 1));
    if (tp_jinja_is_number(a) && tp_jinja_is_number(b)) {
        same = a->kind == TP_JINJA_INT && b->kind == TP_JINJA_INT
                   ? a->integer == b->integer
                   : tp_jinja_to_double(a) == tp_jinja_to_double(b);
    } else if (a->kind == b->kind) {
        TP_TRY(tp_jinja_descend(run));
        switch ((tp_jinja_kind)a->kind) {
        case TP_JINJA_TEXT:
            TP_TRY(tp_jinja_spend(run, a->text->size / 64));
            same = tp_str_equal(tp_jinja_bytes(a), tp_jinja_bytes(b));
            break;
        case TP_JINJA_LIST:
            TP_TRY(equal_lists(run, a->list, b->list, &same));
            break;
        case TP_JINJA_DICT:
            TP_TRY(equal_dicts(run, a->dict, b->dict, &same));
            break;
        default:
            same = a->kind == TP_JINJA_UNDEFINED || a->kind == TP_JINJA_NONE ||
                   a->function == b->function;
        }
        run->depth--;
    }
    *ret = same;
    return TAPEOUT_OK;
}

tapeout_status tp_jinja_compare(tp_jinja_run *run, const tp_jinja_value *a, const tp_jinja_value *b,
                                int *ret)
{
    TP_TRY(tp_jinja_spend(run, 1));
    if (a->kind == TP_JINJA_INT && b->kind == TP_JINJA_INT) {
        *ret = (a->integer > b->integer) - (a->integer < b->integer);
        return TAPEOUT_OK;
    }
    if (tp_jinja_is_number(a) && tp_jinja_is_number(b)) {
        const double x = tp_jinja_to_double(a);
        const double y = tp_jinja_to_double(b);
        *ret = (x > y) - (x < y);
        return TAPEOUT_OK;
    }
    if (a->kind == TP_JINJA_TEXT && b->kind == TP_JINJA_TEXT) {
        TP_TRY(tp_jinja_spend(run, a->text->size / 64));
        *ret = tp_str_compare(tp_jinja_bytes(a), tp_jinja_bytes(b));
        return TAPEOUT_OK;
    }
    if (a->kind == TP_JINJA_LIST && b->kind == TP_JINJA_LIST &&
        a->list->flavour == b->list->flavour && a->list->flavour <= TP_JINJA_TUPLE) {
        const tp_jinja_list *x = a->list;
        const tp_jinja_list *y = b->list;
        for (size_t i = 0; i < x->count && i < y->count; i++) {
            bool same;
            TP_TRY(tp_jinja_equal(run, &x->items[i], &y->items[i], &same));
            if (!same) {
                TP_TRY(tp_jinja_descend(run));
                TP_TRY(tp_jinja_compare(run, &x->items[i], &y->items[i], ret));
                run->depth--;
                return TAPEOUT_OK;
            }
        }
        *ret = (x->count > y->count) - (x->count < y->count);
        return TAPEOUT_OK;
    }
    return tp_jinja_fail(run, "%s and %s have no order", tp_jinja_type_name(a),
                         tp_jinja_type_name(b));
}

tapeout_status tp_jinja_contains(tp_jinja_run *run, const tp_jinja_value *all,
                                 const tp_jinja_value *item, bool *ret)
{
    if (all->kind == TP_JINJA_TEXT) {
        if (item->kind != TP_JINJA_TEXT) {
            return tp_jinja_fail(run, "'in' a text wants a text on its left, not %s",
                                 tp_jinja_type_name(item));
        }
        TP_TRY(tp_jinja_spend(run, all->text->size / 64));
        *ret = tp_jinja_find_bytes(tp_jinja_bytes(all), tp_jinja_bytes(item), 0) != SIZE_MAX;
        return TAPEOUT_OK;
    }
    if (all->kind == TP_JINJA_DICT) {
        TP_TRY(tp_jinja_check_key(run, item));
        *ret = tp_jinja_dict_get(run, all->dict, *item) != NULL;
        return TAPEOUT_OK;
    }
    const tp_jinja_list *list;
    bool found = false;
    TP_TRY(tp_jinja_iterate(run, all, &list));
    for (size_t i = 0; i < list->count && !found; i++) {
        TP_TRY(tp_jinja_equal(run, &list->items[i], item, &found));
    }
    *ret = found;
    return TAPEOUT_OK;
}

static tapeout_status characters(tp_jinja_run *run, const tp_jinja_text *text, tp_jinja_list *list)
{
    for (size_t at = 0; at < text->size;) {
        size_t size;
        tp_jinja_value one;
        (void)tp_jinja_char((tp_str){text->data, text->size}, at, &size); // for its size
        TP_TRY(tp_jinja_spend(run, 1));
        TP_TRY(tp_jinja_text_part(run, text, at, at + size, &one));
        TP_TRY(tp_jinja_list_add(run, list, one));
        at += size;
    }
    return TAPEOUT_OK;
}

tapeout_status tp_jinja_iterate(tp_jinja_run *run, const tp_jinja_value *value,
                                const tp_jinja_list **ret)
{
    if (value->kind == TP_JINJA_LIST && value->list->flavour != TP_JINJA_GENERATOR) {
        *ret = value->list;
        return TAPEOUT_OK;
    }
    tp_jinja_value made = {0};
    TP_TRY(tp_jinja_list_new(run, TP_JINJA_PLAIN, 0, &made));
    if (value->kind == TP_JINJA_LIST) {
        *made.list = *value->list;
        made.list->flavour = TP_JINJA_PLAIN;
        value->list->count = 0;
        value->list->capacity = 0;
        value->list->items = NULL;
    } else if (value->kind == TP_JINJA_TEXT) {
        TP_TRY(characters(run, value->text, made.list));
    } else if (value->kind == TP_JINJA_DICT) {
        TP_TRY(tp_jinja_spend(run, value->dict->count));
        for (size_t i = 0; i < value->dict->count; i++) {
            TP_TRY(tp_jinja_list_add(run, made.list, value->dict->entries[i].key));
        }
    } else if (value->kind != TP_JINJA_UNDEFINED) {
        return tp_jinja_fail(run, "cannot go over the items of %s", tp_jinja_type_name(value));
    }
    *ret = made.list;
    return TAPEOUT_OK;
}

tapeout_status tp_jinja_length(tp_jinja_run *run, const tp_jinja_value *value, int64_t *ret)
{
    if (value->kind == TP_JINJA_TEXT) {
        *ret = (int64_t)value->text->length;
    } else if (value->kind == TP_JINJA_LIST && value->list->flavour != TP_JINJA_GENERATOR) {
        *ret = (int64_t)value->list->count;
    } else if (value->kind == TP_JINJA_DICT) {
        *ret = (int64_t)value->dict->count;
    } else if (value->kind == TP_JINJA_UNDEFINED) {
        *ret = 0;
    } else if (value->kind == TP_JINJA_LOOP) {
        *ret = (int64_t)value->loop->list->count;
    } else {
        return tp_jinja_fail(run, "%s has no length%s", tp_jinja_type_name(value),
                             value->kind == TP_JINJA_LIST ? "; |list gives it one" : "");
    }
    return TAPEOUT_OK;
}
