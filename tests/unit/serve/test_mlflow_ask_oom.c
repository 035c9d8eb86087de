// SPDX-License-Identifier: Apache-2.0
//
// Every allocation of reading a request by MLflow's API fails in turn: of a query that becomes
// JSON, and of the lists in it. What was lost is told by tp_ask_check, never an empty list.
#include "base/limits.h"
#include "base/tp_error.h"
#include "serve/mlflow_ask.h"
#include "table/tp_json.h"
#include "test.h"

// One who asks by a query, as a search does.
static tapeout_status read_search(mlflow_ask *ask, tapeout_error *err)
{
    const tp_mlflow_search search = tp_ask_search(ask, "view_type");
    TP_TRY(tp_ask_check(ask, err));
    ASSERT_EQ_UINT(search.order.count, 2);
    ASSERT_EQ_UINT(search.experiments.count, 1);
    ASSERT(tp_str_equal(search.order.items[1], TP_STR("metrics.b DESC")));
    ASSERT(tp_str_equal(search.filter, TP_STR("params.a = 'x'")));
    ASSERT_EQ_INT(search.view, TP_MLFLOW_ALL);
    return TAPEOUT_OK;
}

static tapeout_status ask_by_query(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    mlflow_ask ask = {.doc = NULL};
    tp_buffer json;
    (void)user;
    tp_buffer_init(&json, alloc, TP_MAX_HTTP_TARGET_BYTES * 8);
    tp_arena_init(&ask.arena, alloc, TP_MAX_MLFLOW_PARSE_BYTES);
    tapeout_status status = tp_ask_query_json(
        TP_STR("filter=params.a+%3D+'x'&order_by=metrics.a&order_by=metrics.b%20DESC&"
               "experiment_ids=7&view_type=ALL&max_results=10"),
        &json, err);
    status = status == TAPEOUT_OK ? tp_buffer_check(&json, "query", err) : status;
    if (status == TAPEOUT_OK) {
        status = tp_json_parse(alloc, tp_buffer_view(&json), "query", &ask.doc, err);
    }
    if (status == TAPEOUT_OK) {
        ask.root = yyjson_doc_get_root(ask.doc);
        status = read_search(&ask, err);
    }
    yyjson_doc_free(ask.doc);
    tp_arena_deinit(&ask.arena);
    tp_buffer_deinit(&json);
    return status;
}

// One who asks by a body, as what logs does.
static tapeout_status ask_by_body(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    mlflow_ask ask = {.doc = NULL};
    (void)user;
    tp_arena_init(&ask.arena, alloc, TP_MAX_MLFLOW_PARSE_BYTES);
    tapeout_status status =
        tp_json_parse(alloc,
                      TP_STR("{\"run_id\":\"r\",\"tags\":[{\"key\":\"a\",\"value\":\"1\"},"
                             "{\"key\":\"b\",\"value\":\"2\"}],\"run_ids\":[\"r\",\"s\"],"
                             "\"step\":\"12\"}"),
                      "request body", &ask.doc, err);
    if (status == TAPEOUT_OK) {
        ask.root = yyjson_doc_get_root(ask.doc);
        const tp_mlflow_pairs tags = tp_ask_pairs(&ask, "tags", 10);
        const tp_mlflow_texts runs = tp_ask_texts(&ask, "run_ids");
        status = tp_ask_check(&ask, err);
        ASSERT(status != TAPEOUT_OK || (tags.count == 2 && runs.count == 2));
        ASSERT_EQ_INT(tp_ask_integer(&ask, "step", 0), 12);
    }
    yyjson_doc_free(ask.doc);
    tp_arena_deinit(&ask.arena);
    return status;
}

static void test_query(void)
{
    test_out_of_memory(ask_by_query, NULL);
}

static void test_body(void)
{
    test_out_of_memory(ask_by_body, NULL);
}

TEST_MAIN(TEST(test_query), TEST(test_body))
