// SPDX-License-Identifier: Apache-2.0
//
// Filters of lists: picking, joining, sorting, summing. What Python leaves to a generator stays one
// here too (batch, reverse): it is true although it may be empty, and has no length until |list.
#include "llm/template/jinja_priv.h"
#include "llm/template/jinja_string_priv.h"

#include "base/limits.h"

#include <string.h>

static bool flag(const tp_jinja_value *value)
{
    return value != NULL && tp_jinja_is_true(value);
}

// The item, or what an attribute path finds in it.
static tapeout_status key_of(tp_jinja_run *run, const tp_jinja_value *item,
                             const tp_jinja_value *attribute, bool keeps_case, tp_jinja_value *ret)
{
    tp_jinja_value key = *item;
    if (attribute != NULL && attribute->kind != TP_JINJA_NONE) {
        TP_TRY(tp_jinja_path(run, item, attribute, &key));
    }
    if (key.kind == TP_JINJA_TEXT && !keeps_case) {
        TP_TRY(tp_jinja_change_case(run, key.text, TP_JINJA_LOWER, &key));
    }
    *ret = key;
    return TAPEOUT_OK;
}

static tapeout_status filter_first(tp_jinja_run *run, const tp_jinja_call *call,
                                   tp_jinja_value *ret)
{
    const tp_jinja_list *list;
    TP_TRY(tp_jinja_iterate(run, &call->self, &list));
    if (list->count == 0) {
        return tp_jinja_undefined(run, TP_STR("the first item of nothing"), ret);
    }
    *ret = list->items[call->builtin->name[0] == 'f' ? 0 : list->count - 1];
    return TAPEOUT_OK;
}

static tapeout_status copy_list(tp_jinja_run *run, const tp_jinja_value *value,
                                tp_jinja_flavour flavour, tp_jinja_value *ret)
{
    const tp_jinja_list *list;
    tp_jinja_value made;
    TP_TRY(tp_jinja_iterate(run, value, &list));
    TP_TRY(tp_jinja_spend(run, list->count));
    TP_TRY(tp_jinja_list_new(run, flavour, list->count, &made));
    made.list->count = list->count;
    made.list->is_untrusted = list->is_untrusted;
    if (list->count > 0) {
        memcpy(made.list->items, list->items, list->count * sizeof(*list->items));
    }
    *ret = made;
    return TAPEOUT_OK;
}

static tapeout_status filter_list(tp_jinja_run *run, const tp_jinja_call *call, tp_jinja_value *ret)
{
    return copy_list(run, &call->self, TP_JINJA_PLAIN, ret);
}

static tapeout_status reverse_text(tp_jinja_run *run, const tp_jinja_text *text,
                                   tp_jinja_value *ret)
{
    tp_jinja_out out;
    tp_jinja_out_init(&out, run->arena);
    TP_TRY(tp_jinja_spend(run, text->size / 8));
    for (size_t end = text->size; end > 0;) {
        const size_t before = tp_jinja_char_before((tp_str){text->data, text->size}, end);
        tp_jinja_put_part(&out, text, before, end);
        end = before;
    }
    return tp_jinja_take(run, &out, ret);
}

static tapeout_status filter_reverse(tp_jinja_run *run, const tp_jinja_call *call,
                                     tp_jinja_value *ret)
{
    tp_jinja_value made;
    if (call->self.kind == TP_JINJA_TEXT) {
        return reverse_text(run, call->self.text, ret);
    }
    TP_TRY(copy_list(run, &call->self, TP_JINJA_GENERATOR, &made));
    for (size_t i = 0; i < made.list->count / 2; i++) {
        const tp_jinja_value other = made.list->items[i];
        made.list->items[i] = made.list->items[made.list->count - 1 - i];
        made.list->items[made.list->count - 1 - i] = other;
    }
    *ret = made;
    return TAPEOUT_OK;
}

static tapeout_status filter_join(tp_jinja_run *run, const tp_jinja_call *call, tp_jinja_value *ret)
{
    static const tp_jinja_text nothing = {.data = ""};
    const tp_jinja_list *list;
    const tp_jinja_text *between = &nothing;
    tp_jinja_value picked;
    TP_TRY(tp_jinja_iterate(run, &call->self, &list));
    if (call->bound[0] != NULL) {
        TP_TRY(tp_jinja_to_text(run, call->bound[0], &between));
    }
    if (call->bound[1] != NULL && call->bound[1]->kind != TP_JINJA_NONE) {
        TP_TRY(tp_jinja_list_new(run, TP_JINJA_PLAIN, list->count, &picked));
        for (size_t i = 0; i < list->count; i++) {
            TP_TRY(tp_jinja_path(run, &list->items[i], call->bound[1], &picked.list->items[i]));
            picked.list->count++;
        }
        list = picked.list;
    }
    return tp_jinja_join(run, list, between, false, ret);
}

static tapeout_status filter_items(tp_jinja_run *run, const tp_jinja_call *call,
                                   tp_jinja_value *ret)
{
    if (call->self.kind == TP_JINJA_UNDEFINED) {
        return tp_jinja_list_new(run, TP_JINJA_GENERATOR, 0, ret);
    }
    if (call->self.kind != TP_JINJA_DICT) {
        return tp_jinja_fail(run, "items: %s is no dict", tp_jinja_type_name(&call->self));
    }
    tp_jinja_call inner = {.self = call->self,
                           .builtin =
                               tp_jinja_find_container_method(TP_JINJA_DICT, TP_STR("items"))};
    TP_TRY(tp_jinja_call_builtin(run, &inner, ret));
    ret->list->flavour = TP_JINJA_GENERATOR;
    return TAPEOUT_OK;
}

typedef struct sort_job {
    tp_jinja_run *run;
    tp_jinja_entry *entries; // key and item
    tp_jinja_entry *spare;
    int sign; // -1: from the greatest
} sort_job;

// Merge sort: stable, and a comparison that fails ends it.
static tapeout_status merge(const sort_job *job, size_t begin, size_t middle, size_t end)
{
    size_t left = begin;
    size_t right = middle;
    for (size_t at = begin; at < end; at++) {
        bool takes_left = right >= end;
        if (!takes_left && left < middle) {
            int order;
            TP_TRY(tp_jinja_compare(job->run, &job->entries[right].key, &job->entries[left].key,
                                    &order));
            takes_left = order * job->sign >= 0;
        }
        job->spare[at] = job->entries[takes_left ? left++ : right++];
    }
    memcpy(job->entries + begin, job->spare + begin, (end - begin) * sizeof(*job->entries));
    return TAPEOUT_OK;
}

static tapeout_status sort_entries(const sort_job *job, size_t count)
{
    for (size_t width = 1; width < count; width *= 2) {
        for (size_t begin = 0; begin + width < count; begin += 2 * width) {
            const size_t end = begin + 2 * width < count ? begin + 2 * width : count;
            TP_TRY(merge(job, begin, begin + width, end));
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status sort_job_new(tp_jinja_run *run, size_t count, bool is_reverse, sort_job *ret)
{
    *ret = (sort_job){.run = run, .sign = is_reverse ? -1 : 1};
    ret->entries = tp_arena_array(run->arena, count + 1, sizeof(*ret->entries));
    ret->spare = tp_arena_array(run->arena, count + 1, sizeof(*ret->spare));
    return ret->entries == NULL || ret->spare == NULL ? tp_jinja_fail_memory(run) : TAPEOUT_OK;
}

static tapeout_status sorted_items(tp_jinja_run *run, const sort_job *job, size_t count,
                                   tp_jinja_value *ret)
{
    tp_jinja_value made;
    TP_TRY(sort_entries(job, count));
    TP_TRY(tp_jinja_list_new(run, TP_JINJA_PLAIN, count, &made));
    for (size_t i = 0; i < count; i++) {
        made.list->items[i] = job->entries[i].value;
    }
    made.list->count = count;
    *ret = made;
    return TAPEOUT_OK;
}

static tapeout_status filter_sort(tp_jinja_run *run, const tp_jinja_call *call, tp_jinja_value *ret)
{
    const tp_jinja_list *list;
    sort_job job;
    TP_TRY(tp_jinja_iterate(run, &call->self, &list));
    TP_TRY(sort_job_new(run, list->count, flag(call->bound[0]), &job));
    for (size_t i = 0; i < list->count; i++) {
        TP_TRY(key_of(run, &list->items[i], call->bound[2], flag(call->bound[1]),
                      &job.entries[i].key));
        job.entries[i].value = list->items[i];
    }
    TP_TRY(sorted_items(run, &job, list->count, ret));
    ret->list->is_untrusted = list->is_untrusted;
    return TAPEOUT_OK;
}

static tapeout_status filter_dictsort(tp_jinja_run *run, const tp_jinja_call *call,
                                      tp_jinja_value *ret)
{
    sort_job job;
    tp_jinja_value pairs;
    if (call->self.kind != TP_JINJA_DICT) {
        return tp_jinja_fail(run, "dictsort: %s is no dict", tp_jinja_type_name(&call->self));
    }
    tp_jinja_call inner = {.self = call->self,
                           .builtin =
                               tp_jinja_find_container_method(TP_JINJA_DICT, TP_STR("items"))};
    TP_TRY(tp_jinja_call_builtin(run, &inner, &pairs));
    const tp_jinja_list *list = pairs.list;
    const bool by_value = call->bound[1] != NULL && call->bound[1]->kind == TP_JINJA_TEXT &&
                          tp_str_equal(tp_jinja_bytes(call->bound[1]), TP_STR("value"));
    TP_TRY(sort_job_new(run, list->count, flag(call->bound[2]), &job));
    for (size_t i = 0; i < list->count; i++) {
        TP_TRY(key_of(run, &list->items[i].list->items[by_value ? 1 : 0], NULL,
                      flag(call->bound[0]), &job.entries[i].key));
        job.entries[i].value = list->items[i];
    }
    TP_TRY(sorted_items(run, &job, list->count, ret));
    ret->list->is_untrusted = list->is_untrusted;
    return TAPEOUT_OK;
}

static tapeout_status filter_unique(tp_jinja_run *run, const tp_jinja_call *call,
                                    tp_jinja_value *ret)
{
    const tp_jinja_list *list;
    tp_jinja_value made;
    tp_jinja_value seen;
    TP_TRY(tp_jinja_iterate(run, &call->self, &list));
    TP_TRY(tp_jinja_list_new(run, TP_JINJA_GENERATOR, 0, &made));
    TP_TRY(tp_jinja_list_new(run, TP_JINJA_PLAIN, 0, &seen));
    for (size_t i = 0; i < list->count; i++) {
        tp_jinja_value key;
        bool is_there;
        TP_TRY(key_of(run, &list->items[i], call->bound[1], flag(call->bound[0]), &key));
        TP_TRY(tp_jinja_check_key(run, &key)); // Jinja2 keeps them in a set
        TP_TRY(tp_jinja_contains(run, &seen, &key, &is_there));
        if (!is_there) {
            TP_TRY(tp_jinja_list_add(run, seen.list, key));
            TP_TRY(tp_jinja_list_add(run, made.list, list->items[i]));
        }
    }
    *ret = made;
    return TAPEOUT_OK;
}

static tapeout_status filter_extreme(tp_jinja_run *run, const tp_jinja_call *call,
                                     tp_jinja_value *ret)
{
    const tp_jinja_list *list;
    tp_jinja_value best_key = tp_jinja_none();
    size_t best = 0;
    const int sign = call->builtin->name[1] == 'i' ? -1 : 1;
    TP_TRY(tp_jinja_iterate(run, &call->self, &list));
    if (list->count == 0) {
        return tp_jinja_undefined(run, TP_STR("the least or greatest of nothing"), ret);
    }
    for (size_t i = 0; i < list->count; i++) {
        tp_jinja_value key;
        int order = sign;
        TP_TRY(key_of(run, &list->items[i], call->bound[1], flag(call->bound[0]), &key));
        if (i > 0) {
            TP_TRY(tp_jinja_compare(run, &key, &best_key, &order));
        }
        if (order * sign > 0) {
            best_key = key;
            best = i;
        }
    }
    *ret = list->items[best];
    return TAPEOUT_OK;
}

static tapeout_status filter_sum(tp_jinja_run *run, const tp_jinja_call *call, tp_jinja_value *ret)
{
    const tp_jinja_list *list;
    tp_jinja_value sum = call->bound[1] != NULL ? *call->bound[1] : tp_jinja_int(0);
    TP_TRY(tp_jinja_iterate(run, &call->self, &list));
    for (size_t i = 0; i < list->count; i++) {
        tp_jinja_value item;
        TP_TRY(tp_jinja_spend(run, 1));
        TP_TRY(key_of(run, &list->items[i], call->bound[0], true, &item));
        TP_TRY(tp_jinja_binary(run, TP_JINJA_T_ADD, &sum, &item, &sum));
    }
    *ret = sum;
    return TAPEOUT_OK;
}

static tapeout_status filter_batch(tp_jinja_run *run, const tp_jinja_call *call,
                                   tp_jinja_value *ret)
{
    const tp_jinja_list *list;
    tp_jinja_value made;
    int64_t size;
    TP_TRY(tp_jinja_iterate(run, &call->self, &list));
    TP_TRY(tp_jinja_need_int(run, call->bound[0], "the size of a batch", &size));
    if (size < 1) {
        return tp_jinja_fail(run, "batch: the size is at least 1");
    }
    TP_TRY(tp_jinja_list_new(run, TP_JINJA_GENERATOR, 0, &made));
    for (size_t i = 0; i < list->count; i += (size_t)size) {
        tp_jinja_value part;
        TP_TRY(tp_jinja_list_new(run, TP_JINJA_PLAIN, 0, &part));
        part.list->is_untrusted = list->is_untrusted;
        const bool fills = call->bound[1] != NULL && call->bound[1]->kind != TP_JINJA_NONE;
        for (size_t k = 0; k < (size_t)size && (i + k < list->count || fills); k++) {
            TP_TRY(tp_jinja_spend(run, 1));
            TP_TRY(tp_jinja_list_add(run, part.list,
                                     i + k < list->count ? list->items[i + k] : *call->bound[1]));
        }
        TP_TRY(tp_jinja_list_add(run, made.list, part));
        if ((size_t)size >= list->count - i) {
            break;
        }
    }
    *ret = made;
    return TAPEOUT_OK;
}

const tp_jinja_builtin *tp_jinja_find_filter_of_lists(tp_str name)
{
    static const tp_jinja_builtin filters[] = {
        {"first", "", 0, filter_first},
        {"last", "", 0, filter_first},
        {"list", "", 0, filter_list},
        {"reverse", "", 0, filter_reverse},
        {"join", "d attribute", 0, filter_join},
        {"items", "", 0, filter_items},
        {"sort", "reverse case_sensitive attribute", 0, filter_sort},
        {"dictsort", "case_sensitive by reverse", 0, filter_dictsort},
        {"unique", "case_sensitive attribute", 0, filter_unique},
        {"min", "case_sensitive attribute", 0, filter_extreme},
        {"max", "case_sensitive attribute", 0, filter_extreme},
        {"sum", "attribute start", 0, filter_sum},
        {"batch", "linecount fill_with", 1, filter_batch},
    };
    return tp_jinja_find(filters, sizeof(filters) / sizeof(filters[0]), name);
}
