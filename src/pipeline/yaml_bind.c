// SPDX-License-Identifier: Apache-2.0
//
// Binding YAML to structs. Everything that a user can get wrong is said here with file, line and
// column: an unknown key with its nearest neighbour, a key given twice, a value of the wrong kind
// or out of its range.
#include "pipeline/tp_yaml.h"

#include "base/limits.h"
#include "base/tp_error.h"
#include "table/tp_value.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

struct tp_yaml {
    tp_arena *arena;
    const char *name;
    yaml_document_t document;
};

tapeout_status tp_yaml_parse(tp_arena *arena, tp_str text, const char *name, tp_yaml **ret_yaml,
                             tapeout_error *err)
{
    tp_yaml *yaml = tp_arena_alloc(arena, sizeof(*yaml));
    yaml_parser_t parser;
    if (yaml == NULL || yaml_parser_initialize(&parser) == 0) {
        return tp_fail_nomem(err);
    }
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.data, text.size);
    if (yaml_parser_load(&parser, &yaml->document) == 0) {
        const tapeout_status status = tp_fail(
            err, TAPEOUT_E_INVALID, "%s:%zu:%zu: not YAML: %s", name, parser.problem_mark.line + 1,
            parser.problem_mark.column + 1, parser.problem == NULL ? "no memory" : parser.problem);
        yaml_parser_delete(&parser);
        return status;
    }
    yaml_parser_delete(&parser);
    yaml->arena = arena;
    yaml->name = name;
    *ret_yaml = yaml;
    return TAPEOUT_OK;
}

void tp_yaml_free(tp_yaml *yaml)
{
    if (yaml != NULL) {
        yaml_document_delete(&yaml->document);
    }
}

static const yaml_node_t *get_node(const tp_yaml *yaml, tp_yaml_node node)
{
    const yaml_node_t *nodes = yaml->document.nodes.start;
    const ptrdiff_t count = yaml->document.nodes.top - nodes;
    return node > 0 && node <= count ? nodes + node - 1 : NULL;
}

tp_yaml_node tp_yaml_root(const tp_yaml *yaml)
{
    return yaml->document.nodes.top > yaml->document.nodes.start ? 1 : 0;
}

static bool has_kind(const tp_yaml *yaml, tp_yaml_node index, yaml_node_type_t kind)
{
    const yaml_node_t *node = get_node(yaml, index);
    return node != NULL && node->type == kind;
}

bool tp_yaml_is_scalar(const tp_yaml *yaml, tp_yaml_node node)
{
    return has_kind(yaml, node, YAML_SCALAR_NODE);
}

bool tp_yaml_is_mapping(const tp_yaml *yaml, tp_yaml_node node)
{
    return has_kind(yaml, node, YAML_MAPPING_NODE);
}

bool tp_yaml_is_list(const tp_yaml *yaml, tp_yaml_node node)
{
    return has_kind(yaml, node, YAML_SEQUENCE_NODE);
}

tp_str tp_yaml_text(const tp_yaml *yaml, tp_yaml_node index)
{
    const yaml_node_t *node = get_node(yaml, index);
    if (node == NULL || node->type != YAML_SCALAR_NODE) {
        return (tp_str){NULL, 0};
    }
    return (tp_str){(const char *)node->data.scalar.value, node->data.scalar.length};
}

size_t tp_yaml_count(const tp_yaml *yaml, tp_yaml_node index)
{
    const yaml_node_t *node = get_node(yaml, index);
    if (node == NULL || node->type == YAML_SCALAR_NODE) {
        return 0;
    }
    return node->type == YAML_MAPPING_NODE
               ? (size_t)(node->data.mapping.pairs.top - node->data.mapping.pairs.start)
               : (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
}

tp_yaml_node tp_yaml_item(const tp_yaml *yaml, tp_yaml_node list, size_t index)
{
    return get_node(yaml, list)->data.sequence.items.start[index];
}

tp_yaml_node tp_yaml_pair_key(const tp_yaml *yaml, tp_yaml_node mapping, size_t index)
{
    return get_node(yaml, mapping)->data.mapping.pairs.start[index].key;
}

tp_yaml_node tp_yaml_pair_value(const tp_yaml *yaml, tp_yaml_node mapping, size_t index)
{
    return get_node(yaml, mapping)->data.mapping.pairs.start[index].value;
}

size_t tp_yaml_block_line(const tp_yaml *yaml, tp_yaml_node index)
{
    const yaml_node_t *node = get_node(yaml, index);
    const bool is_block = node != NULL && node->type == YAML_SCALAR_NODE &&
                          node->data.scalar.style == YAML_LITERAL_SCALAR_STYLE;
    return is_block ? node->start_mark.line + 2 : 0;
}

tapeout_status tp_yaml_fail(const tp_yaml *yaml, tp_yaml_node index, tapeout_error *err,
                            const char *format, ...)
{
    char message[TAPEOUT_ERROR_MESSAGE_SIZE];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    const yaml_node_t *node = get_node(yaml, index);
    const size_t line = node == NULL ? 1 : node->start_mark.line + 1;
    const size_t column = node == NULL ? 1 : node->start_mark.column + 1;
    return tp_fail_at(err, TAPEOUT_E_INVALID, line, "%s:%zu:%zu: %s", yaml->name, line, column,
                      message);
}

tapeout_status tp_yaml_f64(const tp_yaml *yaml, tp_yaml_node node, double *ret_value,
                           tapeout_error *err)
{
    const tp_str text = tp_yaml_text(yaml, node);
    double value = 0;
    if (text.data == NULL || !tp_parse_f64(text, &value) || value != value) {
        return tp_yaml_fail(yaml, node, err, "a number is expected here");
    }
    *ret_value = value;
    return TAPEOUT_OK;
}

static tapeout_status check_range(const tp_yaml *yaml, tp_yaml_node node, const tp_yaml_key *key,
                                  double value, tapeout_error *err)
{
    const bool ranged = key->minimum != 0 || key->maximum != 0;
    if (ranged && !(value >= key->minimum && value <= key->maximum)) {
        return tp_yaml_fail(yaml, node, err, "%s must lie between %g and %g", key->name,
                            key->minimum, key->maximum);
    }
    return TAPEOUT_OK;
}

static tapeout_status bind_integer(const tp_yaml *yaml, tp_yaml_node node, const tp_yaml_key *key,
                                   void *place, tapeout_error *err)
{
    int64_t value = 0;
    uint64_t wide = 0;
    const tp_str text = tp_yaml_text(yaml, node);
    if (key->kind == TP_YAML_U64) {
        if (text.data == NULL || !tp_str_to_uint64(text, &wide)) {
            return tp_yaml_fail(yaml, node, err, "%s must be a whole number of at least 0",
                                key->name);
        }
        memcpy(place, &wide, sizeof(wide));
        return TAPEOUT_OK;
    }
    const int64_t low = key->kind == TP_YAML_U32 ? 0 : INT32_MIN;
    const int64_t high = key->kind == TP_YAML_U32 ? UINT32_MAX : INT32_MAX;
    if (text.data == NULL || !tp_str_to_int64(text, &value) || value < low || value > high) {
        return tp_yaml_fail(yaml, node, err, "%s must be a whole number%s", key->name,
                            low == 0 ? " of at least 0" : "");
    }
    TP_TRY(check_range(yaml, node, key, (double)value, err));
    const uint32_t bits = (uint32_t)value;
    memcpy(place, &bits, sizeof(bits));
    return TAPEOUT_OK;
}

static tapeout_status bind_bool(const tp_yaml *yaml, tp_yaml_node node, const tp_yaml_key *key,
                                bool *place, tapeout_error *err)
{
    if (!tp_parse_bool(tp_yaml_text(yaml, node), place)) {
        return tp_yaml_fail(yaml, node, err, "%s must be true or false", key->name);
    }
    return TAPEOUT_OK;
}

static tapeout_status bind_str(const tp_yaml *yaml, tp_yaml_node node, const char *name,
                               tp_str *place, tapeout_error *err)
{
    const tp_str text = tp_yaml_text(yaml, node);
    if (text.data == NULL) {
        return tp_yaml_fail(yaml, node, err, "%s must be a single value, not a list or mapping",
                            name);
    }
    *place = tp_arena_str(yaml->arena, text);
    return place->data == NULL ? tp_fail_nomem(err) : TAPEOUT_OK;
}

static tapeout_status bind_strings(const tp_yaml *yaml, tp_yaml_node node, const tp_yaml_key *key,
                                   tp_yaml_strings *place, tapeout_error *err)
{
    const bool is_list = tp_yaml_is_list(yaml, node);
    const size_t count = is_list ? tp_yaml_count(yaml, node) : 1;
    tp_str *items = tp_arena_array(yaml->arena, count, sizeof(*items));
    if (items == NULL) {
        return tp_fail_nomem(err);
    }
    for (size_t i = 0; i < count; i++) {
        const tp_yaml_node item = is_list ? tp_yaml_item(yaml, node, i) : node;
        TP_TRY(bind_str(yaml, item, key->name, &items[i], err));
    }
    *place = (tp_yaml_strings){items, count};
    return TAPEOUT_OK;
}

static tapeout_status bind_value(tp_yaml *yaml, tp_yaml_node node, const tp_yaml_key *key,
                                 void *place, tapeout_error *err)
{
    switch (key->kind) {
    case TP_YAML_STR:
        return bind_str(yaml, node, key->name, place, err);
    case TP_YAML_BOOL:
        return bind_bool(yaml, node, key, place, err);
    case TP_YAML_U32:
    case TP_YAML_I32:
    case TP_YAML_U64:
        return bind_integer(yaml, node, key, place, err);
    case TP_YAML_F64:
        TP_TRY(tp_yaml_f64(yaml, node, place, err));
        return check_range(yaml, node, key, *(double *)place, err);
    case TP_YAML_STR_LIST:
        return bind_strings(yaml, node, key, place, err);
    case TP_YAML_MAP:
        return tp_yaml_bind(yaml, node, key->table, place, err);
    case TP_YAML_NODE:
        *(tp_yaml_node *)place = node;
        return TAPEOUT_OK;
    }
    return TAPEOUT_E_INTERNAL;
}

static tapeout_status unknown_key(const tp_yaml *yaml, tp_yaml_node node,
                                  const tp_yaml_table *table, tapeout_error *err)
{
    const tp_str text = tp_yaml_text(yaml, node);
    tp_str *names = tp_arena_array(yaml->arena, table->key_count, sizeof(*names));
    if (names == NULL) {
        return tp_fail_nomem(err);
    }
    for (size_t i = 0; i < table->key_count; i++) {
        names[i] = tp_str_from(table->keys[i].name);
    }
    const int nearest = tp_str_nearest(text, names, table->key_count);
    if (nearest >= 0) {
        return tp_yaml_fail(yaml, node, err, "unknown key \"%.*s\"; did you mean \"%s\"?",
                            TP_STR_ARGS(text), table->keys[nearest].name);
    }
    char known[256] = "";
    for (size_t i = 0, used = 0; i < table->key_count && used < sizeof(known) - 40; i++) {
        used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s", i > 0 ? ", " : "",
                                 table->keys[i].name);
    }
    return tp_yaml_fail(yaml, node, err, "unknown key \"%.*s\"; known here: %s", TP_STR_ARGS(text),
                        known);
}

// `seen` lists the keys given so far, NULL behind them; `key` is added.
static tapeout_status check_repeated(const tp_yaml *yaml, tp_yaml_node node, const tp_yaml_key *key,
                                     const tp_yaml_key **seen, tapeout_error *err)
{
    for (; *seen != NULL; seen++) {
        // A nested table is its own place, wherever its struct begins.
        const bool nested = (*seen)->kind == TP_YAML_MAP || key->kind == TP_YAML_MAP;
        if (*seen == key || (!nested && (*seen)->offset == key->offset)) {
            return *seen == key
                       ? tp_yaml_fail(yaml, node, err, "key \"%s\" stands twice", key->name)
                       : tp_yaml_fail(yaml, node, err,
                                      "\"%s\" and \"%s\" are two names for one thing; keep one",
                                      (*seen)->name, key->name);
        }
    }
    *seen = key;
    return TAPEOUT_OK;
}

tapeout_status tp_yaml_bind(tp_yaml *yaml, tp_yaml_node mapping, const tp_yaml_table *table,
                            void *object, tapeout_error *err)
{
    if (!tp_yaml_is_mapping(yaml, mapping)) {
        return tp_yaml_fail(yaml, mapping, err, "a mapping (key: value) is expected here");
    }
    const tp_yaml_key **seen = tp_arena_array(yaml->arena, table->key_count + 1, sizeof(*seen));
    if (seen == NULL) {
        return tp_fail_nomem(err);
    }
    const size_t count = tp_yaml_count(yaml, mapping);
    for (size_t i = 0; i < count; i++) {
        const tp_yaml_node name_node = tp_yaml_pair_key(yaml, mapping, i);
        const tp_str name = tp_yaml_text(yaml, name_node);
        size_t k = 0;
        while (k < table->key_count && !tp_str_equal(name, tp_str_from(table->keys[k].name))) {
            k++;
        }
        if (k == table->key_count) {
            return unknown_key(yaml, name_node, table, err);
        }
        TP_TRY(check_repeated(yaml, name_node, &table->keys[k], seen, err));
        TP_TRY(bind_value(yaml, tp_yaml_pair_value(yaml, mapping, i), &table->keys[k],
                          (char *)object + table->keys[k].offset, err));
    }
    return TAPEOUT_OK;
}
