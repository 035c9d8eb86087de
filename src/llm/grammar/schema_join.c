// SPDX-License-Identifier: Apache-2.0
//
// Conjunctions of schema objects: references are followed and allOf is taken apart, until there is
// a list of objects that a value must satisfy all at once. And how a schema's mistakes are told:
// by the place where they stand.
#include "llm/grammar/schema_priv.h"

#include <string.h>

// -- messages ------------------------------------------------------------------------------------
// Where a value stands: yyjson keeps values in document order, so its container is the one whose
// extent it falls into.
static void append_path(tp_buffer *path, yyjson_val *root, yyjson_val *at)
{
    tp_buffer_append_char(path, '#');
    for (yyjson_val *from = root; from != at && yyjson_is_ctn(from);) {
        yyjson_val *child = unsafe_yyjson_get_first(from);
        const size_t count = unsafe_yyjson_get_len(from);
        const bool is_object = yyjson_is_obj(from);
        yyjson_val *found = NULL;
        for (size_t i = 0; i < count && found == NULL; i++) {
            yyjson_val *value = is_object ? child + 1 : child;
            yyjson_val *end = unsafe_yyjson_get_next(value);
            if (at < end) {
                found = value;
                tp_buffer_append_char(path, '/');
                if (is_object) {
                    tp_buffer_append_str(path, tp_json_str(child));
                } else {
                    tp_buffer_printf(path, "%zu", i);
                }
            }
            child = end;
        }
        if (found == NULL || at < found) {
            return; // a key
        }
        from = found;
    }
}

void tp_schema_fail(schema_compiler *c, tapeout_status status, yyjson_val *at, const char *what)
{
    tp_buffer path;
    tp_buffer_init(&path, c->b->alloc, 4096);
    append_path(&path, c->root, at);
    tp_grammar_fail(c->b, status, "schema: %.*s: %s", (int)(path.size > 200 ? 200 : path.size),
                    path.data == NULL ? "" : path.data, what);
    tp_buffer_deinit(&path);
}

void tp_schema_fail_name(schema_compiler *c, tapeout_status status, yyjson_val *at, tp_str name,
                         const char *what)
{
    char text[256];
    (void)snprintf(text, sizeof(text), what, name.size > 100 ? 100 : (int)name.size, name.data);
    tp_schema_fail(c, status, at, text);
}

// -- conjunctions --------------------------------------------------------------------------------
void tp_schema_join_item(schema_compiler *c, schema_list *list, schema_item item)
{
    uint32_t at = 0;
    while (at < list->count && list->items[at].schema < item.schema) {
        at++;
    }
    if (at < list->count && list->items[at].schema == item.schema) {
        list->items[at].chosen |= item.chosen;
        return;
    }
    if (list->count == list->capacity) {
        const uint32_t capacity = list->capacity == 0 ? 4 : list->capacity * 2;
        schema_item *items = tp_arena_array(&c->b->arena, capacity, sizeof(*items));
        if (items == NULL) {
            tp_grammar_fail_nomem(c->b);
            return;
        }
        if (list->count > 0) {
            memcpy(items, list->items, list->count * sizeof(*items));
        }
        list->items = items;
        list->capacity = capacity;
    }
    memmove(list->items + at + 1, list->items + at, (list->count - at) * sizeof(item));
    list->items[at] = item;
    list->count++;
}

// The schema that "#/a/b" or "#" names, with ~0, ~1 and %XX undone by yyjson and here.
static yyjson_val *resolve(schema_compiler *c, yyjson_val *reference)
{
    const tp_str text = tp_json_str(reference);
    if (text.size == 0 || text.data[0] != '#') {
        tp_schema_fail(c, TAPEOUT_E_UNSUPPORTED, reference,
                       "$ref to another document; only '#' and '#/...' are followed");
        return NULL;
    }
    if (memchr(text.data, '%', text.size) != NULL || (text.size > 1 && text.data[1] != '/')) {
        tp_schema_fail(c, TAPEOUT_E_UNSUPPORTED, reference,
                       "$ref by an anchor or with %-escapes; write it as '#/...'");
        return NULL;
    }
    yyjson_val *target =
        text.size == 1 ? c->root : yyjson_ptr_getn(c->root, text.data + 1, text.size - 1);
    if (target == NULL) {
        tp_schema_fail(c, TAPEOUT_E_INVALID, reference, "$ref to a place that is not there");
    }
    return target;
}

bool tp_schema_is_annotation(tp_str key)
{
    static const char *const names[] = {
        "title",    "description", "default", "examples", "example",       "$schema",
        "$id",      "$comment",    "$defs",   "$anchor",  "definitions",   "deprecated",
        "readOnly", "writeOnly",   "$ref",    "allOf",    "discriminator", "$vocabulary",
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (tp_str_equal(key, tp_str_from(names[i]))) {
            return true;
        }
    }
    return false;
}

// True when the object says more than references and descriptions.
static bool constrains(yyjson_val *schema)
{
    yyjson_obj_iter iter = yyjson_obj_iter_with(schema);
    for (yyjson_val *key = yyjson_obj_iter_next(&iter); key != NULL;
         key = yyjson_obj_iter_next(&iter)) {
        if (!tp_schema_is_annotation(tp_json_str(key))) {
            return true;
        }
    }
    return false;
}

static void join(schema_compiler *c, schema_list *list, yyjson_val *schema, uint32_t depth)
{
    if (c->b->status != TAPEOUT_OK) {
        return;
    }
    if (yyjson_is_bool(schema)) {
        list->is_never |= !yyjson_get_bool(schema);
        return;
    }
    if (!yyjson_is_obj(schema)) {
        tp_schema_fail(c, TAPEOUT_E_INVALID, schema, "a schema must be an object, true or false");
        return;
    }
    if (depth > TP_MAX_SCHEMA_REFERENCES || ++c->visits > TP_MAX_SCHEMA_VISITS) {
        tp_schema_fail(c, TAPEOUT_E_LIMIT, schema,
                       "$ref and allOf lead through too many schemas, or back to themselves");
        return;
    }
    yyjson_val *reference = yyjson_obj_get(schema, "$ref");
    if (reference != NULL) {
        yyjson_val *target = resolve(c, reference);
        if (target != NULL) {
            join(c, list, target, depth + 1);
        }
    }
    yyjson_val *all = yyjson_obj_get(schema, "allOf");
    if (all != NULL && !yyjson_is_arr(all)) {
        tp_schema_fail(c, TAPEOUT_E_INVALID, all, "allOf must be an array");
        return;
    }
    yyjson_arr_iter iter = yyjson_arr_iter_with(all);
    for (yyjson_val *part = yyjson_arr_iter_next(&iter); part != NULL;
         part = yyjson_arr_iter_next(&iter)) {
        join(c, list, part, depth + 1);
    }
    if (constrains(schema)) {
        tp_schema_join_item(c, list, (schema_item){schema, 0});
    }
}

void tp_schema_join(schema_compiler *c, schema_list *list, yyjson_val *schema)
{
    c->visits = 0;
    join(c, list, schema, 0);
}
