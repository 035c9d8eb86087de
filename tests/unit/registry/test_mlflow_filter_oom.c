// SPDX-License-Identifier: Apache-2.0
//
// A filter and its SQL without memory.
#include "base/limits.h"
#include "registry/mlflow_entity.h"
#include "registry/mlflow_sql.h"
#include "test.h"

static tapeout_status scenario(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    (void)user;
    tp_arena arena;
    mlflow_filter filter;
    mlflow_order order;
    mlflow_sql sql;
    tp_arena_init(&arena, alloc, TP_MAX_MLFLOW_PARSE_BYTES);
    tp_mlflow_sql_init(&sql, alloc);
    tapeout_status status = tp_mlflow_filter_parse(
        &arena, &tp_mlflow_runs,
        TP_STR("metrics.`a` > 1 AND run_id IN ('a', 'b') AND tags.x IS NULL AND params.y = 'z'"),
        &filter, err);
    if (status == TAPEOUT_OK) {
        status =
            tp_mlflow_order_parse(&arena, &tp_mlflow_runs, TP_STR("metrics.`b` DESC"), &order, err);
    }
    if (status == TAPEOUT_OK) {
        tp_mlflow_sql_filter(&sql, &filter);
        tp_mlflow_sql_order(&sql, &tp_mlflow_runs, &order);
        status = tp_mlflow_sql_check(&sql, err);
    }
    tp_mlflow_sql_deinit(&sql);
    tp_arena_deinit(&arena);
    return status;
}

static void test_filter(void)
{
    test_out_of_memory(scenario, NULL);
}

TEST_MAIN(TEST(test_filter))
