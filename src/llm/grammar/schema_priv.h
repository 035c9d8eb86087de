// SPDX-License-Identifier: Apache-2.0
//
// A JSON Schema on its way to rules. A place in a schema is a conjunction: the list of schema
// objects that a value must satisfy all at once, with references followed and allOf taken apart.
// Each distinct conjunction becomes one rule, which is what makes recursion finite and allOf cheap.
#ifndef SCHEMA_PRIV_H
#define SCHEMA_PRIV_H

#include "llm/grammar/grammar_priv.h"
#include "table/tp_json.h"

// One schema object of a conjunction; `chosen` has a bit for each choice already made in it.
enum { SCHEMA_ANY_OF = 1, SCHEMA_ONE_OF = 2 };
typedef struct schema_item {
    yyjson_val *schema;
    uint64_t chosen;
} schema_item;

typedef struct schema_list {
    schema_item *items; // in the arena, ascending by address
    uint32_t count, capacity;
    bool is_never; // `false` is among them
} schema_list;

enum {
    SCHEMA_NULL = 1,
    SCHEMA_BOOLEAN = 2,
    SCHEMA_INTEGER = 4,
    SCHEMA_FRACTION = 8, // numbers that are no integers
    SCHEMA_STRING = 16,
    SCHEMA_ARRAY = 32,
    SCHEMA_OBJECT = 64,
    SCHEMA_NUMBER = SCHEMA_INTEGER | SCHEMA_FRACTION,
    SCHEMA_ALL = 127,
};

// Decimal numbers are exact, in units of 10^-18.
typedef __int128 schema_decimal;
enum { SCHEMA_DECIMALS = 18 };

typedef struct schema_property {
    tp_str name;
    schema_list value;
    bool is_required;
} schema_property;

// What a conjunction asks for.
typedef struct schema_facts {
    uint32_t types;
    uint32_t hinted_types; // of keywords that speak of one type
    bool has_type;
    bool has_bounds;
    bool has_low, has_high;
    schema_decimal low, high; // inclusive, or exclusive
    bool is_low_open, is_high_open;
    schema_decimal multiple; // 0: none
    uint32_t min_length, max_length;
    uint32_t min_items, max_items;
    yyjson_val *pattern;
    yyjson_val *format;
    yyjson_val *enums[8]; // arrays; and constants, as they stand
    uint32_t enum_count;
    schema_property *properties; // in the arena
    uint32_t property_count, property_capacity;
    schema_list additional; // what other properties must satisfy
    bool is_closed;         // there are none
    bool has_additional;    // something was said of them
    yyjson_val *prefix_items;
    schema_list items;
    schema_item *choice;      // the first with a choice that is not made
    yyjson_val *alternatives; // of that choice
    uint64_t choice_bit;
} schema_facts;

typedef struct schema_compiler {
    grammar_builder *b;
    yyjson_val *root;
    grammar_json_style style;
    tp_dict keys; // of conjunctions; a worklist too
    schema_list *lists;
    uint32_t list_capacity;
    uint32_t *numbers; // [keys] rules
    uint32_t number_capacity;
    uint32_t visits; // of schema objects while one conjunction is taken apart
    // Rules that many share; UINT32_MAX until they are wanted.
    uint32_t blank, character, text, integer, number;
} schema_compiler;

// -- schema_join.c -------------------------------------------------------------------------------
// Fails with the schema's own path to `at`, and `what`, in which "%.*s" is `name` for the second.
void tp_schema_fail(schema_compiler *c, tapeout_status status, yyjson_val *at, const char *what);
void tp_schema_fail_name(schema_compiler *c, tapeout_status status, yyjson_val *at, tp_str name,
                         const char *what);
bool tp_schema_is_annotation(tp_str key); // or a reference: it constrains nothing of its own
// `schema` and all that it refers to joins the list.
void tp_schema_join(schema_compiler *c, schema_list *list, yyjson_val *schema);
void tp_schema_join_item(schema_compiler *c, schema_list *list, schema_item item);

// -- schema_read.c -------------------------------------------------------------------------------
void tp_schema_read(schema_compiler *c, const schema_list *list, schema_facts *facts);

// -- schema_number.c -----------------------------------------------------------------------------
// A JSON number, exactly; failed where it does not fit.
schema_decimal tp_schema_decimal(schema_compiler *c, yyjson_val *number);
uint32_t tp_schema_number(schema_compiler *c, const schema_facts *facts, uint32_t next);
bool tp_schema_number_fits(const schema_facts *facts, schema_decimal value);

// -- schema_object.c -----------------------------------------------------------------------------
uint32_t tp_schema_rule(schema_compiler *c, const schema_list *list);
uint32_t tp_schema_blank(schema_compiler *c, uint32_t next);
uint32_t tp_schema_object(schema_compiler *c, const schema_facts *facts, uint32_t next);
uint32_t tp_schema_array(schema_compiler *c, const schema_facts *facts, uint32_t next);

// -- schema_string.c -----------------------------------------------------------------------------
uint32_t tp_schema_string(schema_compiler *c, const schema_facts *facts, uint32_t next);
uint32_t tp_schema_text_end(schema_compiler *c, uint32_t next); // behind the opening quote
uint32_t tp_schema_regex(schema_compiler *c, const char *pattern, uint32_t next);

#endif
