// SPDX-License-Identifier: Apache-2.0
//
// Reading schema objects: what a conjunction asks for is gathered. Every keyword is looked at: one
// that only describes is passed over, one that constrains and is not known is refused by its name
// and place, never ignored.
#include "llm/grammar/schema_priv.h"

#include "base/tp_alloc.h"

#include <math.h>
#include <string.h>

// -- values of keywords --------------------------------------------------------------------------
static uint32_t type_bits(tp_str name)
{
    static const struct {
        const char *name;
        uint32_t bits;
    } types[] = {{"null", SCHEMA_NULL},       {"boolean", SCHEMA_BOOLEAN},
                 {"integer", SCHEMA_INTEGER}, {"number", SCHEMA_NUMBER},
                 {"string", SCHEMA_STRING},   {"array", SCHEMA_ARRAY},
                 {"object", SCHEMA_OBJECT}};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (tp_str_equal(name, tp_str_from(types[i].name))) {
            return types[i].bits;
        }
    }
    return 0;
}

static uint32_t read_types(schema_compiler *c, yyjson_val *value)
{
    uint32_t bits = yyjson_is_str(value) ? type_bits(tp_json_str(value)) : 0;
    yyjson_arr_iter iter = yyjson_arr_iter_with(value);
    for (yyjson_val *name = yyjson_arr_iter_next(&iter); name != NULL;
         name = yyjson_arr_iter_next(&iter)) {
        const uint32_t one = type_bits(tp_json_str(name));
        bits |= one;
        if (one == 0) {
            bits = 0;
            break;
        }
    }
    if (bits == 0) {
        tp_schema_fail(c, TAPEOUT_E_INVALID, value,
                       "type must be null, boolean, integer, number, string, array, object or an "
                       "array of these");
    }
    return bits;
}

// A count; what is greater than can be counted to is the greatest that can.
static uint32_t read_count(schema_compiler *c, yyjson_val *value)
{
    const double number = yyjson_get_num(value);
    if (!yyjson_is_num(value) || !(number >= 0) || floor(number) < number) {
        tp_schema_fail(c, TAPEOUT_E_INVALID, value, "a whole number of at least 0 is expected");
        return 0;
    }
    return number > TP_MAX_GRAMMAR_REPEAT ? TP_MAX_GRAMMAR_REPEAT : (uint32_t)number;
}

static void at_least(schema_compiler *c, yyjson_val *value, uint32_t *bound)
{
    const uint32_t count = read_count(c, value);
    if (count == TP_MAX_GRAMMAR_REPEAT) {
        tp_schema_fail(c, TAPEOUT_E_LIMIT, value, "more than can be counted to");
    }
    *bound = count > *bound ? count : *bound;
}

static void at_most(schema_compiler *c, yyjson_val *value, uint32_t *bound)
{
    const uint32_t count = read_count(c, value);
    *bound = count < *bound ? count : *bound;
}

static void read_low(schema_compiler *c, yyjson_val *value, bool is_open, schema_facts *facts)
{
    const schema_decimal low = tp_schema_decimal(c, value);
    if (!facts->has_low || low > facts->low || (low == facts->low && is_open)) {
        facts->low = low;
        facts->is_low_open = is_open;
        facts->has_low = true;
    }
    facts->hinted_types |= SCHEMA_NUMBER;
}

static void read_high(schema_compiler *c, yyjson_val *value, bool is_open, schema_facts *facts)
{
    const schema_decimal high = tp_schema_decimal(c, value);
    if (!facts->has_high || high < facts->high || (high == facts->high && is_open)) {
        facts->high = high;
        facts->is_high_open = is_open;
        facts->has_high = true;
    }
    facts->hinted_types |= SCHEMA_NUMBER;
}

static void read_multiple(schema_compiler *c, yyjson_val *value, schema_facts *facts)
{
    const schema_decimal multiple = tp_schema_decimal(c, value);
    if (multiple <= 0) {
        tp_schema_fail(c, TAPEOUT_E_INVALID, value, "multipleOf must be greater than 0");
    } else if (facts->multiple == 0 || multiple % facts->multiple == 0) {
        facts->multiple = multiple;
    } else if (facts->multiple % multiple != 0) {
        tp_schema_fail(c, TAPEOUT_E_UNSUPPORTED, value,
                       "two multipleOf of which neither is a multiple of the other");
    }
    facts->hinted_types |= SCHEMA_NUMBER;
}

static schema_property *get_property(schema_compiler *c, schema_facts *facts, tp_str name)
{
    for (uint32_t i = 0; i < facts->property_count; i++) {
        if (tp_str_equal(facts->properties[i].name, name)) {
            return &facts->properties[i];
        }
    }
    if (facts->property_count == TP_MAX_SCHEMA_PROPERTIES) {
        tp_grammar_fail(c->b, TAPEOUT_E_LIMIT, "schema: an object of more than %u properties",
                        TP_MAX_SCHEMA_PROPERTIES);
        return NULL;
    }
    if (facts->property_count == facts->property_capacity) {
        const uint32_t capacity = facts->property_capacity == 0 ? 8 : facts->property_capacity * 2;
        schema_property *all = tp_arena_array(&c->b->arena, capacity, sizeof(*all));
        if (all == NULL) {
            tp_grammar_fail_nomem(c->b);
            return NULL;
        }
        if (facts->property_count > 0) {
            memcpy(all, facts->properties, facts->property_count * sizeof(*all));
        }
        facts->properties = all;
        facts->property_capacity = capacity;
    }
    facts->properties[facts->property_count] = (schema_property){.name = name};
    return &facts->properties[facts->property_count++];
}

static void read_properties(schema_compiler *c, yyjson_val *value, schema_facts *facts)
{
    if (!yyjson_is_obj(value)) {
        tp_schema_fail(c, TAPEOUT_E_INVALID, value, "properties must be an object");
        return;
    }
    yyjson_obj_iter iter = yyjson_obj_iter_with(value);
    for (yyjson_val *key = yyjson_obj_iter_next(&iter); key != NULL;
         key = yyjson_obj_iter_next(&iter)) {
        schema_property *property = get_property(c, facts, tp_json_str(key));
        if (property == NULL) {
            return;
        }
        tp_schema_join(c, &property->value, yyjson_obj_iter_get_val(key));
    }
    facts->hinted_types |= SCHEMA_OBJECT;
}

static void read_required(schema_compiler *c, yyjson_val *value, schema_facts *facts)
{
    yyjson_arr_iter iter = yyjson_arr_iter_with(value);
    for (yyjson_val *name = yyjson_arr_iter_next(&iter); name != NULL;
         name = yyjson_arr_iter_next(&iter)) {
        schema_property *property =
            yyjson_is_str(name) ? get_property(c, facts, tp_json_str(name)) : NULL;
        if (property == NULL) {
            break;
        }
        property->is_required = true;
    }
    if (!yyjson_is_arr(value) ||
        !(yyjson_arr_size(value) == 0 || yyjson_is_str(yyjson_arr_get_last(value)))) {
        tp_schema_fail(c, TAPEOUT_E_INVALID, value, "required must be an array of names");
    }
    facts->hinted_types |= SCHEMA_OBJECT;
}

static void read_enum(schema_compiler *c, yyjson_val *value, schema_facts *facts)
{
    if (facts->enum_count == sizeof(facts->enums) / sizeof(facts->enums[0])) {
        tp_schema_fail(c, TAPEOUT_E_LIMIT, value, "too many enum and const for one value");
        return;
    }
    facts->enums[facts->enum_count++] = value;
}

static void read_choice(schema_compiler *c, yyjson_val *value, schema_item *item, uint64_t bit,
                        schema_facts *facts)
{
    if (!yyjson_is_arr(value) || yyjson_arr_size(value) == 0) {
        tp_schema_fail(c, TAPEOUT_E_INVALID, value, "anyOf and oneOf must be arrays of schemas");
    }
    if ((item->chosen & bit) == 0 && facts->choice == NULL) {
        facts->choice = item;
        facts->alternatives = value;
        facts->choice_bit = bit;
    }
}

static void read_text(schema_compiler *c, yyjson_val *value, yyjson_val **slot, schema_facts *facts)
{
    if (!yyjson_is_str(value)) {
        tp_schema_fail(c, TAPEOUT_E_INVALID, value, "pattern and format must be strings");
    } else if (*slot != NULL && !yyjson_equals(*slot, value)) {
        tp_schema_fail(c, TAPEOUT_E_UNSUPPORTED, value,
                       "two patterns, or two formats, for one value");
    }
    *slot = value;
    facts->hinted_types |= SCHEMA_STRING;
}

static void read_array_keyword(schema_compiler *c, tp_str key, yyjson_val *value,
                               schema_facts *facts)
{
    facts->hinted_types |= SCHEMA_ARRAY;
    if (tp_str_equal(key, TP_STR("items"))) {
        if (yyjson_is_arr(value)) {
            tp_schema_fail(c, TAPEOUT_E_UNSUPPORTED, value,
                           "items as an array; write it as prefixItems");
        } else {
            tp_schema_join(c, &facts->items, value);
        }
    } else if (tp_str_equal(key, TP_STR("prefixItems"))) {
        if (!yyjson_is_arr(value) || facts->prefix_items != NULL) {
            tp_schema_fail(c,
                           facts->prefix_items == NULL ? TAPEOUT_E_INVALID : TAPEOUT_E_UNSUPPORTED,
                           value, "prefixItems must be one array of schemas");
        }
        facts->prefix_items = value;
    } else if (tp_str_equal(key, TP_STR("minItems"))) {
        at_least(c, value, &facts->min_items);
    } else {
        at_most(c, value, &facts->max_items);
    }
}

// -- keywords ------------------------------------------------------------------------------------
// The keywords that say nothing in one form and are refused in the other.
static bool is_harmless(tp_str key, yyjson_val *value)
{
    if (tp_str_equal(key, TP_STR("uniqueItems"))) {
        return yyjson_is_false(value);
    }
    if (tp_str_equal(key, TP_STR("minProperties"))) {
        return yyjson_is_num(value) && yyjson_get_num(value) <= 0;
    }
    return tp_str_equal(key, TP_STR("patternProperties")) && yyjson_is_obj(value) &&
           yyjson_obj_size(value) == 0;
}

enum keyword {
    KEY_TYPE,
    KEY_ENUM,
    KEY_CONST,
    KEY_PROPERTIES,
    KEY_REQUIRED,
    KEY_ADDITIONAL,
    KEY_ARRAY,
    KEY_ANY_OF,
    KEY_ONE_OF,
    KEY_MINIMUM,
    KEY_MAXIMUM,
    KEY_OPEN_MINIMUM,
    KEY_OPEN_MAXIMUM,
    KEY_MULTIPLE,
    KEY_MIN_LENGTH,
    KEY_MAX_LENGTH,
    KEY_PATTERN,
    KEY_FORMAT,
    KEY_NULLABLE,
    KEY_NONE,
};

static enum keyword find_keyword(tp_str key)
{
    static const struct {
        const char *name;
        enum keyword keyword;
    } table[] = {
        {"type", KEY_TYPE},
        {"enum", KEY_ENUM},
        {"const", KEY_CONST},
        {"properties", KEY_PROPERTIES},
        {"required", KEY_REQUIRED},
        {"additionalProperties", KEY_ADDITIONAL},
        {"items", KEY_ARRAY},
        {"prefixItems", KEY_ARRAY},
        {"minItems", KEY_ARRAY},
        {"maxItems", KEY_ARRAY},
        {"anyOf", KEY_ANY_OF},
        {"oneOf", KEY_ONE_OF},
        {"minimum", KEY_MINIMUM},
        {"maximum", KEY_MAXIMUM},
        {"exclusiveMinimum", KEY_OPEN_MINIMUM},
        {"exclusiveMaximum", KEY_OPEN_MAXIMUM},
        {"multipleOf", KEY_MULTIPLE},
        {"minLength", KEY_MIN_LENGTH},
        {"maxLength", KEY_MAX_LENGTH},
        {"pattern", KEY_PATTERN},
        {"format", KEY_FORMAT},
        {"nullable", KEY_NULLABLE},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (tp_str_equal(key, tp_str_from(table[i].name))) {
            return table[i].keyword;
        }
    }
    return KEY_NONE;
}

// "nullable" adds null to the types that stand beside it.
static void read_type(schema_compiler *c, yyjson_val *schema, yyjson_val *value,
                      schema_facts *facts)
{
    const bool is_nullable = yyjson_is_true(yyjson_obj_get(schema, "nullable"));
    facts->types &= read_types(c, value) | (is_nullable ? SCHEMA_NULL : 0);
    facts->has_type = true;
}

static void read_additional(schema_compiler *c, yyjson_val *value, schema_facts *facts)
{
    facts->has_additional = true;
    facts->hinted_types |= SCHEMA_OBJECT;
    if (yyjson_is_false(value)) {
        facts->is_closed = true;
    } else {
        tp_schema_join(c, &facts->additional, value);
    }
}

static void read_value_keyword(schema_compiler *c, enum keyword keyword, yyjson_val *value,
                               schema_facts *facts)
{
    switch (keyword) {
    case KEY_MINIMUM:
        read_low(c, value, false, facts);
        break;
    case KEY_MAXIMUM:
        read_high(c, value, false, facts);
        break;
    case KEY_OPEN_MINIMUM:
        read_low(c, value, true, facts);
        break;
    case KEY_OPEN_MAXIMUM:
        read_high(c, value, true, facts);
        break;
    case KEY_MULTIPLE:
        read_multiple(c, value, facts);
        break;
    case KEY_MIN_LENGTH:
        facts->hinted_types |= SCHEMA_STRING;
        at_least(c, value, &facts->min_length);
        break;
    case KEY_MAX_LENGTH:
        facts->hinted_types |= SCHEMA_STRING;
        at_most(c, value, &facts->max_length);
        break;
    case KEY_PATTERN:
        read_text(c, value, &facts->pattern, facts);
        break;
    case KEY_FORMAT:
        read_text(c, value, &facts->format, facts);
        break;
    default:
        break;
    }
}

static void read_keyword(schema_compiler *c, schema_item *item, yyjson_val *key,
                         schema_facts *facts)
{
    yyjson_val *value = yyjson_obj_iter_get_val(key);
    const tp_str name = tp_json_str(key);
    const enum keyword keyword = find_keyword(name);
    switch (keyword) {
    case KEY_TYPE:
        read_type(c, item->schema, value, facts);
        break;
    case KEY_ENUM:
        if (!yyjson_is_arr(value)) {
            tp_schema_fail(c, TAPEOUT_E_INVALID, value, "enum must be an array");
        }
        read_enum(c, value, facts);
        break;
    case KEY_CONST:
        read_enum(c, key, facts); // the key stands for its one value
        break;
    case KEY_PROPERTIES:
        read_properties(c, value, facts);
        break;
    case KEY_REQUIRED:
        read_required(c, value, facts);
        break;
    case KEY_ADDITIONAL:
        read_additional(c, value, facts);
        break;
    case KEY_ARRAY:
        read_array_keyword(c, name, value, facts);
        break;
    case KEY_ANY_OF:
        read_choice(c, value, item, SCHEMA_ANY_OF, facts);
        break;
    case KEY_ONE_OF:
        read_choice(c, value, item, SCHEMA_ONE_OF, facts);
        break;
    case KEY_NULLABLE:
        break; // read with the type
    case KEY_NONE:
        if (!tp_schema_is_annotation(name) && !is_harmless(name, value)) {
            tp_schema_fail_name(
                c, TAPEOUT_E_UNSUPPORTED, value, name,
                "the keyword \"%.*s\" is not supported; docs/constrained.md lists what is");
        }
        break;
    default:
        read_value_keyword(c, keyword, value, facts);
        break;
    }
}

// A closed object beside properties that another part of an allOf names: what is closed counts only
// its own, so those others cannot be, and saying so is better than guessing.
static void check_closed(schema_compiler *c, const schema_list *list, const schema_facts *facts)
{
    for (uint32_t i = 0; i < list->count; i++) {
        yyjson_val *schema = list->items[i].schema;
        yyjson_val *own = yyjson_obj_get(schema, "properties");
        yyjson_val *other = yyjson_obj_get(schema, "additionalProperties");
        if (other == NULL || yyjson_is_true(other)) {
            continue;
        }
        for (uint32_t k = 0; k < facts->property_count; k++) {
            const tp_str name = facts->properties[k].name;
            if (yyjson_obj_getn(own, name.data, name.size) == NULL) {
                tp_schema_fail_name(
                    c, TAPEOUT_E_UNSUPPORTED, other, name,
                    "additionalProperties beside the property \"%.*s\", which is named "
                    "elsewhere or only required");
            }
        }
    }
}

void tp_schema_read(schema_compiler *c, const schema_list *list, schema_facts *facts)
{
    *facts = (schema_facts){
        .types = SCHEMA_ALL, .max_length = GRAMMAR_NO_MAX, .max_items = GRAMMAR_NO_MAX};
    for (uint32_t i = 0; i < list->count; i++) {
        yyjson_obj_iter iter = yyjson_obj_iter_with(list->items[i].schema);
        for (yyjson_val *key = yyjson_obj_iter_next(&iter);
             key != NULL && c->b->status == TAPEOUT_OK; key = yyjson_obj_iter_next(&iter)) {
            read_keyword(c, &list->items[i], key, facts);
        }
    }
    if (facts->has_additional) {
        check_closed(c, list, facts);
    }
    // Keywords of one type say what is meant where no type does; lists and choices of their own do.
    if (!facts->has_type && facts->hinted_types != 0 && facts->enum_count == 0) {
        facts->types &= facts->hinted_types;
    }
}
