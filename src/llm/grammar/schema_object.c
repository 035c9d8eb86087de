// SPDX-License-Identifier: Apache-2.0
//
// Objects and arrays. Properties come in the order of the schema, optional ones may be left out,
// and others, where they are allowed, follow; so an object is a chain with skips, linear in its
// schema. A name that is not of the schema is kept from being one by a tree of those that are.
#include "llm/grammar/schema_priv.h"

#include "base/tp_alloc.h"

#include <stdlib.h>
#include <string.h>

static uint32_t build_blank(schema_compiler *c)
{
    const uint32_t rule = tp_grammar_rule(c->b);
    const uint32_t level = c->b->level;
    c->b->level = 0;
    const uint32_t start = tp_schema_regex(c, "( |\\n\\n?[ \\t]{0,20})?", GRAMMAR_DONE);
    c->b->level = level;
    if (c->b->status == TAPEOUT_OK) {
        c->b->rules[rule] = start;
    }
    return rule;
}

uint32_t tp_schema_blank(schema_compiler *c, uint32_t next)
{
    if (c->style.is_compact) {
        return next;
    }
    if (c->blank == UINT32_MAX) {
        c->blank = build_blank(c);
    }
    return tp_grammar_call(c->b, c->blank, next);
}

static uint32_t call(schema_compiler *c, const schema_list *list, uint32_t next)
{
    return tp_grammar_call(c->b, tp_schema_rule(c, list), next);
}

// A literal string in JSON, quotes and all.
static uint32_t quoted(schema_compiler *c, tp_str text, uint32_t next)
{
    tp_buffer json;
    tp_buffer_init(&json, c->b->alloc, TP_MAX_GRAMMAR_TEXT_BYTES * 8);
    tp_json_append_str(&json, text);
    if (json.status != TAPEOUT_OK) {
        tp_grammar_fail_nomem(c->b);
    }
    next = tp_grammar_literal(c->b, tp_buffer_view(&json), next);
    tp_buffer_deinit(&json);
    return next;
}

// -- names that the schema does not have ---------------------------------------------------------
typedef struct name_tree {
    schema_compiler *c;
    tp_str *names; // sorted
    uint32_t next; // behind the closing quote
} name_tree;

static int compare_names(const void *a, const void *b)
{
    const tp_str *left = a;
    const tp_str *right = b;
    const size_t size = left->size < right->size ? left->size : right->size;
    const int order = size == 0 ? 0 : memcmp(left->data, right->data, size);
    return order != 0 ? order : left->size < right->size ? -1 : left->size > right->size;
}

// What may follow when the names [begin, end) all begin with the `size` bytes read so far.
static uint32_t other_name(const name_tree *t, uint32_t begin, uint32_t end, size_t size)
{
    grammar_builder *b = t->c->b;
    const uint32_t split = tp_grammar_node(b, GRAMMAR_SPLIT, 0, 0);
    grammar_range *taken = tp_arena_array(&b->arena, end - begin, sizeof(*taken));
    uint32_t count = 0;
    if (taken == NULL) {
        tp_grammar_fail_nomem(b);
        return GRAMMAR_DEAD;
    }
    if (begin < end && t->names[begin].size == size) {
        begin++; // this very name: it must not end here
    } else {
        tp_grammar_add(b, split, tp_grammar_bytes(b, '"', '"', t->next));
    }
    while (begin < end && b->status == TAPEOUT_OK) {
        size_t position = size;
        const uint32_t code = tp_grammar_take_utf8(t->names[begin], &position);
        uint32_t last = begin;
        for (size_t other = size; last < end; last++, other = size) {
            if (tp_grammar_take_utf8(t->names[last], &other) != code) {
                break;
            }
        }
        grammar_range one = {code, code};
        taken[count++] = one;
        const uint32_t more = other_name(t, begin, last, position);
        tp_grammar_add(
            b, split,
            tp_grammar_set_char(b, tp_grammar_set(b, &one, 1, false), GRAMMAR_JSON, more));
        begin = last;
    }
    const uint32_t others = tp_grammar_set(b, taken, count, true);
    tp_grammar_add(b, split,
                   tp_grammar_set_char(b, others, GRAMMAR_JSON, tp_schema_text_end(t->c, t->next)));
    return split;
}

// A property of any other name, from its opening quote to its value.
static uint32_t other_property(schema_compiler *c, const schema_facts *facts, uint32_t next)
{
    grammar_builder *b = c->b;
    name_tree tree = {.c = c};
    tree.names = tp_arena_array(&b->arena, facts->property_count, sizeof(*tree.names));
    if (tree.names == NULL) {
        tp_grammar_fail_nomem(b);
        return GRAMMAR_DEAD;
    }
    for (uint32_t i = 0; i < facts->property_count; i++) {
        tree.names[i] = facts->properties[i].name;
        if (tree.names[i].size > TP_MAX_SCHEMA_NAME_BYTES) {
            tp_grammar_fail(b, TAPEOUT_E_LIMIT,
                            "schema: a property's name of %zu bytes beside additionalProperties, "
                            "at most %u",
                            tree.names[i].size, TP_MAX_SCHEMA_NAME_BYTES);
        }
    }
    if (facts->property_count > 1) {
        qsort(tree.names, facts->property_count, sizeof(*tree.names), compare_names);
    }
    const uint32_t value = tp_schema_blank(c, call(c, &facts->additional, next));
    tree.next = tp_grammar_bytes(b, ':', ':', value);
    if (b->status != TAPEOUT_OK) {
        return GRAMMAR_DEAD;
    }
    return tp_grammar_bytes(b, '"', '"', other_name(&tree, 0, facts->property_count, 0));
}

// -- objects -------------------------------------------------------------------------------------
static uint32_t comma(schema_compiler *c, uint32_t next)
{
    return tp_grammar_bytes(c->b, ',', ',', tp_schema_blank(c, next));
}

uint32_t tp_schema_object(schema_compiler *c, const schema_facts *facts, uint32_t next)
{
    grammar_builder *b = c->b;
    // Without a word on others, an object with properties has those alone.
    const bool has_others =
        !facts->is_closed && (facts->has_additional || facts->property_count == 0);
    const uint32_t close = tp_grammar_bytes(b, '}', '}', next);
    // What follows with no property written so far, and with one.
    uint32_t first = close;
    uint32_t later = tp_schema_blank(c, close);
    if (has_others) {
        const uint32_t more = tp_grammar_split(b, later, GRAMMAR_DEAD);
        const uint32_t other = other_property(c, facts, more);
        tp_grammar_add(b, more, comma(c, other));
        first = tp_grammar_split(b, close, other);
        later = more;
    }
    for (uint32_t i = facts->property_count; i > 0 && b->status == TAPEOUT_OK; i--) {
        const schema_property *property = &facts->properties[i - 1];
        const uint32_t value = call(c, &property->value, later);
        const uint32_t colon = tp_grammar_bytes(b, ':', ':', tp_schema_blank(c, value));
        const uint32_t pair = quoted(c, property->name, colon);
        const uint32_t after = comma(c, pair);
        first = property->is_required ? pair : tp_grammar_split(b, pair, first);
        later = property->is_required ? after : tp_grammar_split(b, after, later);
    }
    return tp_grammar_bytes(b, '{', '{', tp_schema_blank(c, first));
}

// -- arrays --------------------------------------------------------------------------------------
// Between min and max further items, each with its comma.
static uint32_t more_items(schema_compiler *c, const schema_list *items, uint32_t min, uint32_t max,
                           uint32_t next)
{
    grammar_builder *b = c->b;
    if (max == 0) {
        return next;
    }
    if (max == GRAMMAR_NO_MAX && min == 0) {
        const uint32_t loop = tp_grammar_split(b, next, GRAMMAR_DEAD);
        tp_grammar_add(b, loop, comma(c, call(c, items, loop)));
        return loop;
    }
    const grammar_count count = tp_grammar_count_open(b, min, max, next);
    const uint32_t body = comma(c, call(c, items, count.loop));
    return tp_grammar_count_close(b, &count, body);
}

static uint32_t less(uint32_t count, uint32_t by)
{
    return count == GRAMMAR_NO_MAX ? count : count > by ? count - by : 0;
}

uint32_t tp_schema_array(schema_compiler *c, const schema_facts *facts, uint32_t next)
{
    grammar_builder *b = c->b;
    const size_t prefix = facts->prefix_items == NULL ? 0 : yyjson_arr_size(facts->prefix_items);
    const uint32_t min = facts->min_items;
    const uint32_t max = facts->max_items;
    if (max < min) {
        return GRAMMAR_DEAD;
    }
    const uint32_t close = tp_grammar_bytes(b, ']', ']', next);
    const uint32_t end = tp_schema_blank(c, close);
    if (prefix > TP_MAX_SCHEMA_PROPERTIES) {
        tp_schema_fail(c, TAPEOUT_E_LIMIT, facts->prefix_items, "too many prefixItems");
        return GRAMMAR_DEAD;
    }
    const uint32_t known = (uint32_t)prefix;
    // Behind all that have a place of their own, and at least one item.
    const uint32_t by = known > 0 ? known : 1;
    uint32_t later = more_items(c, &facts->items, less(min, by), less(max, by), end);
    uint32_t first = known > 0 || max == 0 ? (uint32_t)GRAMMAR_DEAD : call(c, &facts->items, later);
    for (uint32_t i = known; i > 0 && b->status == TAPEOUT_OK; i--) {
        schema_list list = {0};
        tp_schema_join(c, &list, yyjson_arr_get(facts->prefix_items, i - 1));
        first = max < i ? (uint32_t)GRAMMAR_DEAD : call(c, &list, later);
        const uint32_t again = comma(c, first);
        // With i - 1 items the array may end where that is enough.
        later = i - 1 >= min ? tp_grammar_split(b, end, again) : again;
    }
    first = min == 0 ? tp_grammar_split(b, close, first) : first;
    return tp_grammar_bytes(b, '[', '[', tp_schema_blank(c, first));
}
