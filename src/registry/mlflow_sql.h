// SPDX-License-Identifier: Apache-2.0
//
// A statement in the making: SQL of constant pieces, and the values that its $1, $2 … stand for.
// Nothing that a caller sent is ever a piece.
#ifndef MLFLOW_SQL_H
#define MLFLOW_SQL_H

#include "base/limits.h"
#include "registry/mlflow_filter.h"
#include "registry/tp_mlflow.h"
#include "registry/tp_store.h"

typedef struct mlflow_sql {
    tp_buffer text;
    tp_sql_value values[TP_MAX_MLFLOW_VALUES];
    uint32_t count;
    tp_arena arena; // of a filter's texts
    int64_t limit;  // of the rows of a page, and how many come before it
    int64_t offset;
} mlflow_sql;

void tp_mlflow_sql_init(mlflow_sql *sql, const tapeout_allocator *alloc);
void tp_mlflow_sql_deinit(mlflow_sql *sql);

void tp_mlflow_sql_add(mlflow_sql *sql, const char *piece);
// "$n", and its value. Beyond TP_MAX_MLFLOW_VALUES the statement fails its check.
void tp_mlflow_sql_text(mlflow_sql *sql, tp_str value);
void tp_mlflow_sql_integer(mlflow_sql *sql, int64_t value);
void tp_mlflow_sql_real(mlflow_sql *sql, double value);
// OK, or the first failure.
tapeout_status tp_mlflow_sql_check(const mlflow_sql *sql, tapeout_error *err);

// " AND column IN (…)" of experiments by id; nothing for an empty list, and nothing is found by ids
// that can be none.
void tp_mlflow_sql_experiments(mlflow_sql *sql, const char *column, const tp_mlflow_texts *ids);
// " AND (…)" for each clause.
void tp_mlflow_sql_filter(mlflow_sql *sql, const mlflow_filter *filter);
// "expression ASC, " for one key, what is missing last.
void tp_mlflow_sql_order(mlflow_sql *sql, const mlflow_entity *entity, const mlflow_order *order);

#endif
