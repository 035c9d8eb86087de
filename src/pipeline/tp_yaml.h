// SPDX-License-Identifier: Apache-2.0
//
// YAML files bound to structs by tables: a key's name, kind, place and range stand in one row, so a
// spec's keys can be read at a glance, an unknown key is told with the nearest known one, and a
// wrong value with its line and column. libyaml parses; anchors and aliases cost nothing since a
// document is a graph of nodes that is only walked where a table leads.
#ifndef TP_YAML_H
#define TP_YAML_H

#include "base/tp_arena.h"

#include <tapeout/status.h>

typedef struct tp_yaml tp_yaml;
typedef int tp_yaml_node; // index of a node in the document; 0 is none

typedef enum tp_yaml_kind {
    TP_YAML_STR,      // tp_str, any scalar as written
    TP_YAML_BOOL,     // bool
    TP_YAML_U32,      // uint32_t
    TP_YAML_I32,      // int32_t
    TP_YAML_U64,      // uint64_t
    TP_YAML_F64,      // double
    TP_YAML_STR_LIST, // tp_yaml_strings; a scalar is a list of one
    TP_YAML_MAP,      // nested: `table` bound to the struct at `offset`
    TP_YAML_NODE      // tp_yaml_node, for what a table cannot say
} tp_yaml_kind;

typedef struct tp_yaml_strings {
    const tp_str *items;
    size_t count;
} tp_yaml_strings;

typedef struct tp_yaml_key {
    const char *name;
    tp_yaml_kind kind;
    size_t offset;  // in the struct bound to
    double minimum; // numbers; both zero: any
    double maximum;
    const struct tp_yaml_table *table; // TP_YAML_MAP
} tp_yaml_key;

typedef struct tp_yaml_table {
    const tp_yaml_key *keys;
    size_t key_count;
} tp_yaml_table;

// Parses `text`; `name` stands in messages ("spec.yaml:3:5: ..."). Strings live in `arena`.
tapeout_status tp_yaml_parse(tp_arena *arena, tp_str text, const char *name, tp_yaml **ret_yaml,
                             tapeout_error *err);
void tp_yaml_free(tp_yaml *yaml); // accepts NULL

tp_yaml_node tp_yaml_root(const tp_yaml *yaml); // 0 for an empty document

// Binds a mapping. What is absent keeps its value. Two keys with one offset are two names for one
// thing: giving both is an error, as is giving one twice.
tapeout_status tp_yaml_bind(tp_yaml *yaml, tp_yaml_node mapping, const tp_yaml_table *table,
                            void *object, tapeout_error *err);

// Fails with E_INVALID and the node's place: "spec.yaml:3:5: <message>".
tapeout_status tp_yaml_fail(const tp_yaml *yaml, tp_yaml_node node, tapeout_error *err,
                            const char *format, ...) __attribute__((format(printf, 4, 5)));

// The line of the file, from 1, on which the text of a literal block (`key: |`) begins; 0 for a
// node that is none.
size_t tp_yaml_block_line(const tp_yaml *yaml, tp_yaml_node node);

// For what a table cannot say.
bool tp_yaml_is_scalar(const tp_yaml *yaml, tp_yaml_node node);
bool tp_yaml_is_mapping(const tp_yaml *yaml, tp_yaml_node node);
bool tp_yaml_is_list(const tp_yaml *yaml, tp_yaml_node node);
tp_str tp_yaml_text(const tp_yaml *yaml, tp_yaml_node node);  // of a scalar
size_t tp_yaml_count(const tp_yaml *yaml, tp_yaml_node node); // pairs or items
tp_yaml_node tp_yaml_item(const tp_yaml *yaml, tp_yaml_node list, size_t index);
tp_yaml_node tp_yaml_pair_key(const tp_yaml *yaml, tp_yaml_node mapping, size_t index);
tp_yaml_node tp_yaml_pair_value(const tp_yaml *yaml, tp_yaml_node mapping, size_t index);
tapeout_status tp_yaml_f64(const tp_yaml *yaml, tp_yaml_node node, double *ret_value,
                           tapeout_error *err);

#endif
