// SPDX-License-Identifier: Apache-2.0
//
// What MLflow's clients search by: the filter and the order of a search, parsed against what the
// searched thing has, and written as SQL that holds nothing of the caller's text: every key and
// value is a parameter.
//
//   filter  clause [AND clause ...]
//   clause  name op value | name IN (text, ...) | name NOT IN (text, ...) | name IS [NOT] NULL
//   name    [metrics|params|tags|attributes|datasets .] key, the key plain, `quoted` or "quoted"
//   op      = != < <= > >= for numbers; = != LIKE ILIKE for texts, with the wildcards % and _
//   order   name [ASC|DESC]
//
// Words such as AND are of any case. A quote within quotes is written twice.
#ifndef MLFLOW_FILTER_H
#define MLFLOW_FILTER_H

#include "base/tp_arena.h"
#include "base/tp_buffer.h"

typedef enum mlflow_class {
    MLFLOW_ATTRIBUTE,
    MLFLOW_METRIC,
    MLFLOW_PARAM,
    MLFLOW_TAG,
    MLFLOW_DATASET,
    MLFLOW_CLASS_COUNT
} mlflow_class;

typedef enum mlflow_kind { MLFLOW_TEXT, MLFLOW_INTEGER, MLFLOW_REAL } mlflow_kind;

// A column by the name that a search knows it by.
typedef struct mlflow_attribute {
    const char *name;
    const char *column; // as SQL
    mlflow_kind kind;
} mlflow_attribute;

// What can be searched, as the tables have it.
typedef struct mlflow_entity {
    const char *what;                   // "a run", for messages
    const mlflow_attribute *attributes; // ended by a name of NULL
    // The rows of a class that belong to the thing, as the FROM and WHERE of a query whose table is
    // called x and has the columns key and value; NULL: it has none of that class.
    const char *related[MLFLOW_CLASS_COUNT];
    // Whether a tag that is not there differs from every text, as registries have it, or is left
    // out of a search that speaks of it, as runs have it.
    bool absent_tag_differs;
} mlflow_entity;

typedef enum mlflow_op {
    MLFLOW_EQ,
    MLFLOW_NE,
    MLFLOW_LT,
    MLFLOW_LE,
    MLFLOW_GT,
    MLFLOW_GE,
    MLFLOW_LIKE,
    MLFLOW_ILIKE,
    MLFLOW_IN,
    MLFLOW_NOT_IN,
    MLFLOW_IS_NULL,
    MLFLOW_IS_NOT_NULL
} mlflow_op;

typedef struct mlflow_name {
    mlflow_class class;
    tp_str key;                        // of a metric, param or tag
    const mlflow_attribute *attribute; // of an attribute or a dataset
} mlflow_name;

typedef struct mlflow_clause {
    mlflow_name name;
    mlflow_op op;
    double number;   // compared with a metric
    int64_t integer; // with an integer
    tp_str *texts;   // [text_count]: one, or the list of IN
    uint32_t text_count;
} mlflow_clause;

typedef struct mlflow_filter {
    const mlflow_entity *entity;
    mlflow_clause *clauses; // [count]
    uint32_t count;
} mlflow_filter;

typedef struct mlflow_order {
    mlflow_name name;
    bool is_descending;
} mlflow_order;

// E_INVALID says what was found at which character and what was expected; E_LIMIT for more than
// TP_MAX_MLFLOW_FILTER_BYTES, _CLAUSES or _LIST. Views into `text` and memory of `arena`. An empty
// text is a filter of no clauses.
tapeout_status tp_mlflow_filter_parse(tp_arena *arena, const mlflow_entity *entity, tp_str text,
                                      mlflow_filter *ret_filter, tapeout_error *err);
// One "name [ASC|DESC]".
tapeout_status tp_mlflow_order_parse(tp_arena *arena, const mlflow_entity *entity, tp_str text,
                                     mlflow_order *ret_order, tapeout_error *err);

#endif
