// SPDX-License-Identifier: Apache-2.0
//
// MLflow's filters: what they mean as SQL, which never holds what the caller wrote, and the
// sentence that says what is wrong with one.
#include "base/limits.h"
#include "base/tp_alloc.h"
#include "registry/mlflow_entity.h"
#include "registry/mlflow_sql.h"
#include "test.h"

#include <string.h>

typedef struct result {
    tp_arena arena;
    mlflow_filter filter;
    mlflow_sql sql;
    char text[8192];
} result;

static result *parse(const mlflow_entity *entity, const char *text)
{
    static result it;
    tp_arena_init(&it.arena, tp_allocator_default(), TP_MAX_MLFLOW_PARSE_BYTES);
    ASSERT_OK(tp_mlflow_filter_parse(&it.arena, entity, tp_str_from(text), &it.filter, &test_err));
    tp_mlflow_sql_init(&it.sql, tp_allocator_default());
    tp_mlflow_sql_filter(&it.sql, &it.filter);
    ASSERT_OK(tp_mlflow_sql_check(&it.sql, &test_err));
    ASSERT(it.sql.text.size < sizeof(it.text));
    if (it.sql.text.size > 0) {
        memcpy(it.text, it.sql.text.data, it.sql.text.size);
    }
    it.text[it.sql.text.size] = '\0';
    return &it;
}

static void drop(result *it)
{
    tp_mlflow_sql_deinit(&it->sql);
    tp_arena_deinit(&it->arena);
}

// The SQL, and the values as text one after another.
static void check(const mlflow_entity *entity, const char *filter, const char *sql,
                  const char *values)
{
    result *it = parse(entity, filter);
    ASSERT_EQ_STR(it->text, sql);
    char all[4096];
    size_t size = 0;
    for (uint32_t i = 0; i < it->sql.count; i++) {
        const tp_sql_value *value = &it->sql.values[i];
        size_t room = sizeof(all) - size;
        int added = 0;
        if (value->kind == TP_SQL_TEXT) {
            added = snprintf(all + size, room, "<%.*s>", TP_STR_ARGS(value->bytes));
        } else if (value->kind == TP_SQL_INT) {
            added = snprintf(all + size, room, "<%lld>", (long long)value->integer);
        } else {
            added = snprintf(all + size, room, "<%g>", value->number);
        }
        size += (size_t)added;
    }
    all[size] = '\0';
    ASSERT_EQ_STR(all, values);
    drop(it);
}

#define METRIC                                                                                     \
    " AND (EXISTS (SELECT 1 FROM mlflow_latest_metrics x WHERE x.run_id = r.run_id"                \
    " AND x.key = $1 AND x.is_nan = 0 AND x.value "
#define PARAM                                                                                      \
    " AND (EXISTS (SELECT 1 FROM mlflow_params x WHERE x.run_id = r.run_id"                        \
    " AND x.key = $1 AND x.value "
#define TAG "EXISTS (SELECT 1 FROM mlflow_run_tags x WHERE x.run_id = r.run_id AND x.key = "

static void test_numbers(void)
{
    check(&tp_mlflow_runs, "metrics.rmse < 1", METRIC "< $2))", "<rmse><1>");
    check(&tp_mlflow_runs, "metric.a.b.c >= -1.5e3", METRIC ">= $2))", "<a.b.c><-1500>");
    check(&tp_mlflow_runs, "metrics.`val acc`!=.5", METRIC "<> $2))", "<val acc><0.5>");
    check(&tp_mlflow_runs, "metrics.\"val/acc\" = 1e-2", METRIC "= $2))", "<val/acc><0.01>");
    check(&tp_mlflow_runs, "start_time > 12", " AND (r.start_ms > $1)", "<12>");
    check(&tp_mlflow_runs, "attributes.end_time <= 9223372036854775807", " AND (r.end_ms <= $1)",
          "<9223372036854775807>");
    check(&tp_mlflow_runs, "experiment_id = '3'", " AND (r.experiment_id = $1)", "<3>");
}

static void test_texts(void)
{
    check(&tp_mlflow_runs, "params.model = 'CNN'", PARAM "= $2))", "<model><CNN>");
    check(&tp_mlflow_runs, "parameters.model != \"CNN\"", PARAM "<> $2))", "<model><CNN>");
    check(&tp_mlflow_runs, "params.m like 'C%!_'", PARAM "LIKE replace($2, '!', '!!') ESCAPE '!'))",
          "<m><C%!_>");
    check(&tp_mlflow_runs, "run_name ILIKE 'A%'",
          " AND (lower(r.name) LIKE lower(replace($1, '!', '!!')) ESCAPE '!')", "<A%>");
    check(&tp_mlflow_runs, "run.status = 'FINISHED'", " AND (r.status = $1)", "<FINISHED>");
    check(&tp_mlflow_runs, "attr.`Run name` = 'it''s'", " AND (r.name = $1)", "<it's>");
    check(&tp_mlflow_runs, "params.q = ''", PARAM "= $2))", "<q><>");
    check(&tp_mlflow_runs, "datasets.name = 'd'",
          " AND (EXISTS (SELECT 1 FROM mlflow_run_datasets x WHERE x.run_id = r.run_id AND x.name "
          "= $1))",
          "<d>");
    check(&tp_mlflow_runs, "run_id IN ('a','b' , 'c')", " AND (r.run_id IN ($1, $2, $3))",
          "<a><b><c>");
    check(&tp_mlflow_runs, "run_id not in ('a')", " AND (r.run_id NOT IN ($1))", "<a>");
}

static void test_null_and_absent(void)
{
    check(&tp_mlflow_runs, "params.x IS NULL",
          " AND (NOT EXISTS (SELECT 1 FROM mlflow_params x WHERE x.run_id = r.run_id AND x.key = "
          "$1))",
          "<x>");
    check(&tp_mlflow_runs, "tags.x is not null", " AND (" TAG "$1))", "<x>");
    check(&tp_mlflow_runs, "tag.x != 'a'", " AND (" TAG "$1 AND x.value <> $2))", "<x><a>");
    mlflow_entity registry = tp_mlflow_runs;
    registry.absent_tag_differs = true;
    check(&registry, "tag.`mlflow.prompt.is_prompt` != 'true'",
          " AND (NOT " TAG "$1 AND x.value = $2))", "<mlflow.prompt.is_prompt><true>");
}

static void test_several(void)
{
    check(&tp_mlflow_runs, "", "", "");
    check(&tp_mlflow_runs, " \n", "", "");
    check(&tp_mlflow_runs, "run_id = 'a' AND status='b' and tags.and = 'or'",
          " AND (r.run_id = $1) AND (r.status = $2) AND (" TAG "$3 AND x.value = $4))",
          "<a><b><and><or>");
    check(&tp_mlflow_experiments, "name LIKE 'x%' AND creation_time > 0",
          " AND (e.name LIKE replace($1, '!', '!!') ESCAPE '!') AND (e.created_ms > $2)",
          "<x%><0>");
}

// What a caller writes is a value, however it looks.
static void test_no_text_of_the_caller(void)
{
    static const char *const sly[] = {"params.a = ''' OR 1=1 --'", "tags.`a') OR ('1'='1` = 'x'",
                                      "params.\"x\"\"; DROP TABLE mlflow_runs; --\" = '$1'"};
    for (size_t i = 0; i < sizeof(sly) / sizeof(sly[0]); i++) {
        result *it = parse(&tp_mlflow_runs, sly[i]);
        ASSERT(strstr(it->text, "OR") == NULL && strstr(it->text, "DROP") == NULL);
        ASSERT_EQ_UINT(it->sql.count, 2);
        drop(it);
    }
}

static void test_refused(void)
{
    static const struct {
        const char *filter;
        const char *part;
    } cases[] = {
        {"metrics.a > 'x'", "\"'x'\" at character 13 where a number is expected"},
        {"metrics.a LIKE 'x'", "which numbers are compared with"},
        {"metrics.a > nan", "\"nan\" at character 13"},
        {"metrics.a > 1e999", "is no number"},
        {"metrics.a > 1x", "\"1x\" at character 13 is no number"},
        {"metrics.a", "ends at character 10"},
        {"params.a > 'x'", "which texts are compared with"},
        {"params.a = 1", "a text in 'quotes' is expected"},
        {"params.a = b", "a text in 'quotes' is expected"},
        {"params.a = 'b", "the quote at character 12 has no end"},
        {"params.`a = 'b'", "the quote at character 8 has no end"},
        {"params. = 'b'", "a key of 0 bytes"},
        {"params.a = 'b' AND", "ends at character 19 where a name"},
        {"AND params.a = 'b'", "no attribute \"AND\""},
        {"params.a = 'b' OR params.c = 'd'", "\"OR\" at character 16 where AND or the end"},
        {"params.a = 'b' params.c = 'd'", "where AND or the end"},
        {"(params.a = 'b')", "\"(\" at character 1"},
        {"params.a = 'b';", "character 15, ';', means nothing here"},
        {"thing.a = 'b'", "begins with metrics."},
        {"statsu = 'b'", "no attribute \"statsu\" (character 1); did you mean \"status\""},
        {"start_time > 1.5", "a whole number is expected"},
        {"start_time > 9223372036854775808", "a whole number is expected"},
        {"start_time IN ('1')", "IN is for texts"},
        {"run_id IN ()", "a text in 'quotes'"},
        {"run_id IN ('a'", "a comma or a closing bracket"},
        {"run_id IN 'a'", "a list such as"},
        {"run_id NOT 'a'", "where IN is expected"},
        {"run_id IS NULL", "only params and tags"},
        {"params.a IS 'x'", "where NULL is expected"},
        {"datasets.size = 'x'", "no attribute \"size\""},
        {"params.a = '\xff'", "is no text"},
        {"= 'x'", "a name such as metrics.loss"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tp_arena arena;
        mlflow_filter filter;
        tp_arena_init(&arena, tp_allocator_default(), TP_MAX_MLFLOW_PARSE_BYTES);
        ASSERT_FAILS(tp_mlflow_filter_parse(&arena, &tp_mlflow_runs, tp_str_from(cases[i].filter),
                                            &filter, &test_err),
                     TAPEOUT_E_INVALID, cases[i].part);
        tp_arena_deinit(&arena);
    }
    tp_arena arena;
    mlflow_filter filter;
    tp_arena_init(&arena, tp_allocator_default(), TP_MAX_MLFLOW_PARSE_BYTES);
    ASSERT_FAILS(tp_mlflow_filter_parse(&arena, &tp_mlflow_experiments, TP_STR("metrics.a > 1"),
                                        &filter, &test_err),
                 TAPEOUT_E_INVALID, "an experiment can't be searched by \"metrics\"");
    ASSERT_FAILS(
        tp_mlflow_filter_parse(&arena, &tp_mlflow_runs, TP_STR("a = 'b\0c'"), &filter, &test_err),
        TAPEOUT_E_INVALID, "byte 7 is no text");
    tp_arena_deinit(&arena);
}

static void append_many(tp_buffer *text, const char *first, const char *next, size_t count)
{
    tp_buffer_init(text, tp_allocator_default(), 1u << 20);
    tp_buffer_append_text(text, first);
    for (size_t i = 1; i < count; i++) {
        tp_buffer_append_text(text, next);
    }
}

static tapeout_status parse_buffer(tp_buffer *text)
{
    tp_arena arena;
    mlflow_filter filter;
    tp_arena_init(&arena, tp_allocator_default(), TP_MAX_MLFLOW_PARSE_BYTES);
    const tapeout_status status =
        tp_mlflow_filter_parse(&arena, &tp_mlflow_runs, tp_buffer_view(text), &filter, &test_err);
    tp_arena_deinit(&arena);
    tp_buffer_deinit(text);
    return status;
}

static void test_limits(void)
{
    tp_buffer text;
    append_many(&text, "run_id='a'", " AND run_id='a'", TP_MAX_MLFLOW_CLAUSES);
    ASSERT_OK(parse_buffer(&text));
    append_many(&text, "run_id='a'", " AND run_id='a'", TP_MAX_MLFLOW_CLAUSES + 1);
    ASSERT_FAILS(parse_buffer(&text), TAPEOUT_E_LIMIT, "more than 64 clauses");
    append_many(&text, "run_id IN ('a'", ",'a'", TP_MAX_MLFLOW_LIST);
    tp_buffer_append_text(&text, ")");
    ASSERT_OK(parse_buffer(&text));
    append_many(&text, "run_id IN ('a'", ",'a'", TP_MAX_MLFLOW_LIST + 1);
    tp_buffer_append_text(&text, ")");
    ASSERT_FAILS(parse_buffer(&text), TAPEOUT_E_LIMIT, "more than 1000 texts");
    append_many(&text, "run_id='a'", " ", TP_MAX_MLFLOW_FILTER_BYTES - 9);
    ASSERT_OK(parse_buffer(&text));
    append_many(&text, "run_id='a'", " ", TP_MAX_MLFLOW_FILTER_BYTES - 8);
    ASSERT_FAILS(parse_buffer(&text), TAPEOUT_E_LIMIT, "at most 16384");
    append_many(&text, "tags.a", "a", TP_MAX_MLFLOW_KEY_BYTES + 1);
    tp_buffer_append_text(&text, " = 'x'");
    ASSERT_FAILS(parse_buffer(&text), TAPEOUT_E_INVALID, "a key of 251 bytes");
}

static void check_order(const char *text, const char *sql_text)
{
    tp_arena arena;
    mlflow_order order;
    mlflow_sql sql;
    tp_arena_init(&arena, tp_allocator_default(), TP_MAX_MLFLOW_PARSE_BYTES);
    ASSERT_OK(tp_mlflow_order_parse(&arena, &tp_mlflow_runs, tp_str_from(text), &order, &test_err));
    tp_mlflow_sql_init(&sql, tp_allocator_default());
    tp_mlflow_sql_order(&sql, &tp_mlflow_runs, &order);
    ASSERT_EQ_BYTES(sql.text.data, sql.text.size, sql_text, strlen(sql_text));
    tp_mlflow_sql_deinit(&sql);
    tp_arena_deinit(&arena);
}

static void test_orders(void)
{
    check_order("start_time", "(r.start_ms) IS NULL, r.start_ms ASC, ");
    check_order("attributes.start_time desc", "(r.start_ms) IS NULL, r.start_ms DESC, ");
    check_order("metrics.`a b` DESC",
                "((SELECT min(x.value) FROM mlflow_latest_metrics x WHERE x.run_id = r.run_id AND "
                "x.key = $1 AND x.is_nan = 0)) IS NULL, (SELECT min(x.value) FROM "
                "mlflow_latest_metrics x WHERE x.run_id = r.run_id AND x.key = $2 AND x.is_nan = "
                "0) DESC, ");
    static const char *const bad[] = {"",         "start_time up",  "start_time ASC, run_id",
                                      "metrics.", "start_time = 1", "1"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        tp_arena arena;
        mlflow_order order;
        tp_arena_init(&arena, tp_allocator_default(), TP_MAX_MLFLOW_PARSE_BYTES);
        ASSERT_FAILS(
            tp_mlflow_order_parse(&arena, &tp_mlflow_runs, tp_str_from(bad[i]), &order, &test_err),
            TAPEOUT_E_INVALID, NULL);
        tp_arena_deinit(&arena);
    }
}

TEST_MAIN(TEST(test_numbers), TEST(test_texts), TEST(test_null_and_absent), TEST(test_several),
          TEST(test_no_text_of_the_caller), TEST(test_refused), TEST(test_limits),
          TEST(test_orders))
