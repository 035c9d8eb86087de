// SPDX-License-Identifier: Apache-2.0
//
// A rule for each conjunction of schemas, by need: asking for one gives its number at once and puts
// it on a list, which is worked off until nothing new is asked for. So recursion in the schema is
// recursion in the rules, and none in this program.
#include "llm/grammar/schema_priv.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"

#include <math.h>
#include <string.h>

uint32_t tp_schema_rule(schema_compiler *c, const schema_list *list)
{
    static const schema_item never = {NULL, 1};
    grammar_builder *b = c->b;
    uint32_t index = 0;
    const tp_str key = list->is_never
                           ? (tp_str){(const char *)&never, sizeof(never)}
                           : (tp_str){(const char *)list->items, list->count * sizeof(never)};
    const int64_t found = tp_dict_find(&c->keys, key);
    if (found >= 0) {
        return c->numbers[found];
    }
    void *lists = c->lists;
    void *numbers = c->numbers;
    const grammar_list one = {&lists, &c->list_capacity, c->keys.count, sizeof(*c->lists)};
    const grammar_list other = {&numbers, &c->number_capacity, c->keys.count, sizeof(*c->numbers)};
    const bool has_room = tp_grammar_reserve(b, one, TP_MAX_GRAMMAR_RULES, "schemas") &&
                          tp_grammar_reserve(b, other, TP_MAX_GRAMMAR_RULES, "schemas");
    c->lists = lists;
    c->numbers = numbers;
    if (!has_room) {
        return 0;
    }
    if (tp_dict_add(&c->keys, key, &index) != TAPEOUT_OK) {
        tp_grammar_fail_nomem(b);
        return 0;
    }
    c->lists[index] = *list;
    c->numbers[index] = tp_grammar_rule(b);
    return c->numbers[index];
}

// -- literal values ------------------------------------------------------------------------------
static uint32_t type_of(yyjson_val *value)
{
    switch (yyjson_get_type(value)) {
    case YYJSON_TYPE_NULL:
        return SCHEMA_NULL;
    case YYJSON_TYPE_BOOL:
        return SCHEMA_BOOLEAN;
    case YYJSON_TYPE_STR:
        return SCHEMA_STRING;
    case YYJSON_TYPE_ARR:
        return SCHEMA_ARRAY;
    case YYJSON_TYPE_OBJ:
        return SCHEMA_OBJECT;
    default:
        break;
    }
    const double number = yyjson_get_num(value); // of any size: no integer type holds them all
    return number == trunc(number) ? SCHEMA_INTEGER : SCHEMA_FRACTION;
}

static uint32_t count_characters(tp_str text)
{
    uint32_t count = 0;
    for (size_t i = 0; i < text.size; i++) {
        count += (text.data[i] & 0xc0) != 0x80;
    }
    return count;
}

// Whether one value of an enum satisfies what stands beside it.
static bool fits(schema_compiler *c, const schema_facts *facts, yyjson_val *value)
{
    const uint32_t type = type_of(value);
    if ((facts->types & type) == 0) {
        return false;
    }
    if ((type & SCHEMA_NUMBER) != 0 &&
        (facts->has_low || facts->has_high || facts->multiple != 0)) {
        return tp_schema_number_fits(facts, tp_schema_decimal(c, value));
    }
    if (type == SCHEMA_STRING) {
        const uint32_t length = count_characters(tp_json_str(value));
        if (facts->pattern != NULL || facts->format != NULL) {
            tp_schema_fail(c, TAPEOUT_E_UNSUPPORTED, value,
                           "enum or const beside pattern or format");
        }
        return length >= facts->min_length && length <= facts->max_length;
    }
    if ((type == SCHEMA_OBJECT || type == SCHEMA_ARRAY) &&
        (facts->hinted_types & (SCHEMA_OBJECT | SCHEMA_ARRAY)) != 0) {
        tp_schema_fail(c, TAPEOUT_E_UNSUPPORTED, value,
                       "an object or array in enum or const beside keywords for its parts");
    }
    return true;
}

// `place` is an enum's array, or a key whose value is a constant.
static bool is_in(yyjson_val *place, yyjson_val *value)
{
    if (!yyjson_is_arr(place)) {
        return yyjson_equals(yyjson_obj_iter_get_val(place), value);
    }
    yyjson_arr_iter iter = yyjson_arr_iter_with(place);
    for (yyjson_val *one = yyjson_arr_iter_next(&iter); one != NULL;
         one = yyjson_arr_iter_next(&iter)) {
        if (yyjson_equals(one, value)) {
            return true;
        }
    }
    return false;
}

static void add_literal(schema_compiler *c, const schema_facts *facts, yyjson_val *value,
                        uint32_t split)
{
    grammar_builder *b = c->b;
    const yyjson_alc alc = tp_json_allocator(b->alloc);
    size_t size = 0;
    bool is_wanted = fits(c, facts, value);
    for (uint32_t i = 1; i < facts->enum_count; i++) {
        is_wanted = is_wanted && is_in(facts->enums[i], value);
    }
    if (!is_wanted || b->status != TAPEOUT_OK) {
        return;
    }
    char *json = yyjson_val_write_opts(value, YYJSON_WRITE_NOFLAG, &alc, &size, NULL);
    if (json == NULL) {
        tp_grammar_fail_nomem(b);
        return;
    }
    tp_grammar_add(b, split, tp_grammar_literal(b, (tp_str){json, size}, GRAMMAR_DONE));
    alc.free(alc.ctx, json);
}

static uint32_t build_literals(schema_compiler *c, const schema_facts *facts)
{
    yyjson_val *place = facts->enums[0];
    const uint32_t split = tp_grammar_node(c->b, GRAMMAR_SPLIT, 0, 0);
    if (!yyjson_is_arr(place)) {
        add_literal(c, facts, yyjson_obj_iter_get_val(place), split);
        return split;
    }
    yyjson_arr_iter iter = yyjson_arr_iter_with(place);
    for (yyjson_val *value = yyjson_arr_iter_next(&iter);
         value != NULL && c->b->status == TAPEOUT_OK; value = yyjson_arr_iter_next(&iter)) {
        add_literal(c, facts, value, split);
    }
    return split;
}

// -- rules ---------------------------------------------------------------------------------------
// One rule for each alternative, with the choice marked as made in it.
static uint32_t build_choice(schema_compiler *c, const schema_list *list, const schema_facts *facts)
{
    const uint32_t split = tp_grammar_node(c->b, GRAMMAR_SPLIT, 0, 0);
    yyjson_arr_iter iter = yyjson_arr_iter_with(facts->alternatives);
    for (yyjson_val *one = yyjson_arr_iter_next(&iter); one != NULL && c->b->status == TAPEOUT_OK;
         one = yyjson_arr_iter_next(&iter)) {
        schema_list both = {0};
        for (uint32_t i = 0; i < list->count; i++) {
            schema_item item = list->items[i];
            item.chosen |= item.schema == facts->choice->schema ? facts->choice_bit : 0;
            tp_schema_join_item(c, &both, item);
        }
        tp_schema_join(c, &both, one);
        tp_grammar_add(c->b, split, tp_grammar_call(c->b, tp_schema_rule(c, &both), GRAMMAR_DONE));
    }
    return split;
}

static uint32_t build_value(schema_compiler *c, const schema_facts *facts)
{
    grammar_builder *b = c->b;
    const uint32_t split = tp_grammar_node(b, GRAMMAR_SPLIT, 0, 0);
    if ((facts->types & SCHEMA_OBJECT) != 0) {
        tp_grammar_add(b, split, tp_schema_object(c, facts, GRAMMAR_DONE));
    }
    if ((facts->types & SCHEMA_ARRAY) != 0) {
        tp_grammar_add(b, split, tp_schema_array(c, facts, GRAMMAR_DONE));
    }
    if ((facts->types & SCHEMA_STRING) != 0) {
        tp_grammar_add(b, split, tp_schema_string(c, facts, GRAMMAR_DONE));
    }
    if ((facts->types & SCHEMA_NUMBER) != 0) {
        tp_grammar_add(b, split, tp_schema_number(c, facts, GRAMMAR_DONE));
    }
    if ((facts->types & SCHEMA_BOOLEAN) != 0) {
        tp_grammar_add(b, split, tp_grammar_literal(b, TP_STR("true"), GRAMMAR_DONE));
        tp_grammar_add(b, split, tp_grammar_literal(b, TP_STR("false"), GRAMMAR_DONE));
    }
    if ((facts->types & SCHEMA_NULL) != 0) {
        tp_grammar_add(b, split, tp_grammar_literal(b, TP_STR("null"), GRAMMAR_DONE));
    }
    return split;
}

static uint32_t build_rule(schema_compiler *c, const schema_list *list)
{
    schema_facts facts;
    if (list->is_never) {
        return GRAMMAR_DEAD;
    }
    tp_schema_read(c, list, &facts);
    if (c->b->status != TAPEOUT_OK) {
        return GRAMMAR_DEAD;
    }
    if (facts.choice != NULL) {
        return build_choice(c, list, &facts);
    }
    return facts.enum_count > 0 ? build_literals(c, &facts) : build_value(c, &facts);
}

static uint32_t build_all(schema_compiler *c, const schema_list *root)
{
    const uint32_t start = tp_schema_rule(c, root);
    for (uint32_t i = 0; i < c->keys.count && c->b->status == TAPEOUT_OK; i++) {
        const schema_list list = c->lists[i];
        const uint32_t node = build_rule(c, &list);
        if (c->b->status == TAPEOUT_OK) {
            c->b->rules[c->numbers[i]] = node;
        }
    }
    return start;
}

static void compiler_init(schema_compiler *c, grammar_builder *b, grammar_json_style style)
{
    *c = (schema_compiler){.b = b,
                           .style = style,
                           .blank = UINT32_MAX,
                           .character = UINT32_MAX,
                           .text = UINT32_MAX,
                           .integer = UINT32_MAX,
                           .number = UINT32_MAX};
    tp_dict_init(&c->keys, b->alloc);
}

static void compiler_deinit(schema_compiler *c)
{
    tp_dict_deinit(&c->keys);
    tp_free_array(c->b->alloc, c->lists, c->list_capacity, sizeof(*c->lists));
    tp_free_array(c->b->alloc, c->numbers, c->number_capacity, sizeof(*c->numbers));
}

uint32_t tp_schema_build(grammar_builder *b, tp_str text, grammar_json_style style)
{
    schema_compiler c;
    schema_list root = {0};
    yyjson_doc *doc = NULL;
    uint32_t start = 0;
    tapeout_error err = {0};
    const tapeout_status status = tp_json_parse(b->alloc, text, "schema", &doc, &err);
    if (status != TAPEOUT_OK) {
        // What a client sends is an argument, not a file.
        tp_grammar_fail(b, status == TAPEOUT_E_CORRUPT ? TAPEOUT_E_INVALID : status, "%s",
                        err.message);
        return 0;
    }
    compiler_init(&c, b, style);
    c.root = yyjson_doc_get_root(doc);
    tp_schema_join(&c, &root, c.root);
    if (b->status == TAPEOUT_OK) {
        start = build_all(&c, &root);
    }
    compiler_deinit(&c);
    yyjson_doc_free(doc);
    return start;
}

uint32_t tp_json_object_build(grammar_builder *b, grammar_json_style style)
{
    return tp_schema_build(b, TP_STR("{\"type\":\"object\"}"), style);
}
