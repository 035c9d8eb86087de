// SPDX-License-Identifier: Apache-2.0
//
// Reaching into values: a.b (a method or attribute first, then an item), a[b] (an item first, then
// an attribute), slices, dotted paths of filters. What is not there is undefined, except that
// reaching into undefined itself is an error, as in Jinja.
#include "llm/template/jinja_priv.h"

// A method of a value, or NULL. Names that begin with "_" are nobody's.
static const tp_jinja_builtin *find_method(const tp_jinja_value *value, tp_str name)
{
    if (name.size > 0 && name.data[0] == '_') {
        return NULL;
    }
    return value->kind == TP_JINJA_TEXT
               ? tp_jinja_find_text_method(name)
               : tp_jinja_find_container_method((tp_jinja_kind)value->kind, name);
}

static tapeout_status bind_method(tp_jinja_run *run, const tp_jinja_value *self,
                                  const tp_jinja_builtin *builtin, tp_jinja_value *ret)
{
    tp_jinja_method *method = tp_arena_alloc(run->arena, sizeof(*method));
    if (method == NULL) {
        return tp_jinja_fail_memory(run);
    }
    *method = (tp_jinja_method){*self, builtin};
    *ret = (tp_jinja_value){.kind = TP_JINJA_METHOD, .method = method};
    return TAPEOUT_OK;
}

static tapeout_status fail_undefined(tp_jinja_run *run, const tp_jinja_value *value, tp_str name)
{
    return tp_jinja_fail(run, "'%.*s' is undefined and has no '%.*s'",
                         TP_STR_ARGS(tp_jinja_bytes(value)), TP_STR_ARGS(name));
}

tapeout_status tp_jinja_attribute(tp_jinja_run *run, const tp_jinja_value *value, tp_str name,
                                  tp_jinja_value *ret)
{
    if (value->kind == TP_JINJA_UNDEFINED) {
        return fail_undefined(run, value, name);
    }
    if (value->kind == TP_JINJA_LOOP) {
        return tp_jinja_loop_attribute(run, value->loop, name, ret);
    }
    const tp_jinja_builtin *method = find_method(value, name);
    if (method != NULL) {
        return bind_method(run, value, method, ret);
    }
    if (value->kind == TP_JINJA_DICT || value->kind == TP_JINJA_NAMESPACE) {
        const tp_jinja_value *found = tp_jinja_dict_get_str(run, value->dict, name);
        if (found != NULL) {
            *ret = *found;
            return TAPEOUT_OK;
        }
    }
    if (value->kind == TP_JINJA_MACRO && tp_str_equal(name, TP_STR("name"))) {
        return tp_jinja_text_view(run, value->macro->node->name, false, ret);
    }
    return tp_jinja_undefined(run, name, ret);
}

static tapeout_status item_of_text(tp_jinja_run *run, const tp_jinja_text *text, int64_t index,
                                   tp_jinja_value *ret)
{
    TP_TRY(tp_jinja_spend(run, text->length == text->size ? 0 : text->size / 64));
    const size_t at = tp_jinja_char_offset(text, (size_t)index);
    size_t size;
    (void)tp_jinja_char((tp_str){text->data, text->size}, at, &size); // for its size
    return tp_jinja_text_part(run, text, at, at + size, ret);
}

tapeout_status tp_jinja_item(tp_jinja_run *run, const tp_jinja_value *value,
                             const tp_jinja_value *key, tp_jinja_value *ret)
{
    if (value->kind == TP_JINJA_UNDEFINED) {
        return fail_undefined(run, value, TP_STR("item"));
    }
    if (value->kind == TP_JINJA_DICT) {
        const tp_jinja_value *found = tp_jinja_dict_get(run, value->dict, *key);
        if (found != NULL) {
            *ret = *found;
            return TAPEOUT_OK;
        }
    } else if ((key->kind == TP_JINJA_INT || key->kind == TP_JINJA_BOOL) &&
               (value->kind == TP_JINJA_TEXT ||
                (value->kind == TP_JINJA_LIST && value->list->flavour <= TP_JINJA_RANGE))) {
        int64_t length;
        TP_TRY(tp_jinja_length(run, value, &length));
        int64_t index = key->kind == TP_JINJA_INT ? key->integer : key->boolean;
        index = index < 0 ? index + length : index;
        if (index < 0 || index >= length) {
            return tp_jinja_undefined(run, TP_STR("an item beyond the end"), ret);
        }
        if (value->kind == TP_JINJA_TEXT) {
            return item_of_text(run, value->text, index, ret);
        }
        *ret = value->list->items[index];
        return TAPEOUT_OK;
    }
    if (key->kind == TP_JINJA_TEXT) {
        return tp_jinja_attribute(run, value, tp_jinja_bytes(key), ret);
    }
    return tp_jinja_undefined(run, TP_STR("an item"), ret);
}

// Python's rules for the bounds of a slice over `length` items.
typedef struct slice {
    int64_t from;
    int64_t to;
    int64_t step;
} slice;

static int64_t clamp(int64_t index, int64_t length, int64_t step)
{
    const int64_t low = step < 0 ? -1 : 0;
    const int64_t high = step < 0 ? length - 1 : length;
    index = index < 0 ? (index < -length ? low : index + length) : index;
    return index < low ? low : index > high ? high : index;
}

static tapeout_status settle_slice(tp_jinja_run *run, const tp_jinja_value *bounds, int64_t length,
                                   slice *ret)
{
    slice s = {.step = 1};
    if (bounds[2].kind != TP_JINJA_NONE) {
        TP_TRY(tp_jinja_need_int(run, &bounds[2], "the step of a slice", &s.step));
        if (s.step == 0) {
            return tp_jinja_fail(run, "the step of a slice is 0");
        }
        s.step = s.step < -length - 1 ? -length - 1 : s.step > length + 1 ? length + 1 : s.step;
    }
    s.from = s.step < 0 ? length - 1 : 0;
    s.to = s.step < 0 ? -1 : length;
    if (bounds[0].kind != TP_JINJA_NONE) {
        TP_TRY(tp_jinja_need_int(run, &bounds[0], "the start of a slice", &s.from));
        s.from = clamp(s.from, length, s.step);
    }
    if (bounds[1].kind != TP_JINJA_NONE) {
        TP_TRY(tp_jinja_need_int(run, &bounds[1], "the end of a slice", &s.to));
        s.to = clamp(s.to, length, s.step);
    }
    *ret = s;
    return TAPEOUT_OK;
}

static tapeout_status slice_text(tp_jinja_run *run, const tp_jinja_text *text, slice s,
                                 tp_jinja_value *ret)
{
    if (s.step == 1) {
        const size_t begin = tp_jinja_char_offset(text, (size_t)s.from);
        const size_t end = s.to > s.from ? tp_jinja_char_offset(text, (size_t)s.to) : begin;
        TP_TRY(tp_jinja_spend(run, text->length == text->size ? 0 : text->size / 32));
        return tp_jinja_text_part(run, text, begin, end, ret);
    }
    // Where each character begins, once, so that any step is linear.
    size_t *starts = tp_arena_array(run->arena, text->length + 1, sizeof(*starts));
    if (starts == NULL) {
        return tp_jinja_fail_memory(run);
    }
    TP_TRY(tp_jinja_spend(run, text->length / 4));
    size_t count = 0;
    for (size_t i = 0; i < text->size; i++) {
        if (((uint8_t)text->data[i] & 0xc0) != 0x80) {
            starts[count++] = i;
        }
    }
    starts[count] = text->size;
    tp_jinja_out out;
    tp_jinja_out_init(&out, run->arena);
    for (int64_t i = s.from; s.step > 0 ? i < s.to : i > s.to; i += s.step) {
        tp_jinja_put_part(&out, text, starts[i], starts[i + 1]);
    }
    return tp_jinja_take(run, &out, ret);
}

// The bounds that Python gives a slice of a range; unsigned, so that nothing overflows.
static void slice_range(const tp_jinja_list *all, slice s, const tp_jinja_value *step,
                        tp_jinja_list *made)
{
    const uint64_t stride = (uint64_t)all->step;
    const int64_t written = step->kind == TP_JINJA_INT ? step->integer : s.step;
    made->from = (int64_t)((uint64_t)all->from + (uint64_t)s.from * stride);
    made->to = (int64_t)((uint64_t)all->from + (uint64_t)s.to * stride);
    made->step = (int64_t)((uint64_t)written * stride);
}

tapeout_status tp_jinja_slice(tp_jinja_run *run, const tp_jinja_value *value,
                              const tp_jinja_value *bounds, tp_jinja_value *ret)
{
    slice s = {.step = 1};
    int64_t length;
    if (value->kind != TP_JINJA_TEXT &&
        !(value->kind == TP_JINJA_LIST && value->list->flavour <= TP_JINJA_RANGE)) {
        if (value->kind == TP_JINJA_UNDEFINED) {
            return fail_undefined(run, value, TP_STR("slice"));
        }
        return tp_jinja_fail(run, "%s has no slices", tp_jinja_type_name(value));
    }
    TP_TRY(tp_jinja_length(run, value, &length));
    TP_TRY(settle_slice(run, bounds, length, &s));
    if (value->kind == TP_JINJA_TEXT) {
        return slice_text(run, value->text, s, ret);
    }
    tp_jinja_value made;
    TP_TRY(tp_jinja_list_new(run, value->list->flavour, 0, &made));
    made.list->is_untrusted = value->list->is_untrusted;
    if (value->list->flavour == TP_JINJA_RANGE) {
        slice_range(value->list, s, &bounds[2], made.list);
    }
    for (int64_t i = s.from; s.step > 0 ? i < s.to : i > s.to; i += s.step) {
        TP_TRY(tp_jinja_spend(run, 1));
        TP_TRY(tp_jinja_list_add(run, made.list, value->list->items[i]));
    }
    *ret = made;
    return TAPEOUT_OK;
}

tapeout_status tp_jinja_path(tp_jinja_run *run, const tp_jinja_value *value,
                             const tp_jinja_value *path, tp_jinja_value *ret)
{
    tp_jinja_value at = *value;
    if (path->kind != TP_JINJA_TEXT) {
        return tp_jinja_item(run, &at, path, ret);
    }
    tp_str rest = tp_jinja_bytes(path);
    for (bool is_last = false; !is_last;) {
        const size_t dot = tp_jinja_find_bytes(rest, TP_STR("."), 0);
        is_last = dot == SIZE_MAX;
        const tp_str name = {rest.data, is_last ? rest.size : dot};
        int64_t index;
        tp_jinja_value key = tp_jinja_int(0);
        if (tp_str_to_int64(name, &index)) {
            key.integer = index;
        } else {
            TP_TRY(tp_jinja_text_view(run, name, false, &key));
        }
        TP_TRY(tp_jinja_item(run, &at, &key, &at));
        rest = is_last ? rest : (tp_str){rest.data + dot + 1, rest.size - dot - 1};
    }
    *ret = at;
    return TAPEOUT_OK;
}
