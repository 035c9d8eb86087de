// SPDX-License-Identifier: Apache-2.0
//
// The words of a query, as DuckDB would part them, and the calls among them that no query may make.
#include "base/tp_env.h"
#include "table/sql_priv.h"
#include "test.h"

#include <string.h>

static void test_tokens(void)
{
    static const char text[] = "select -- 'no.csv'\n 'it''s' /* 'a' /* 'b' */ 'c' */ \"q\"\"r\",x1";
    static const struct {
        sql_token_kind kind;
        const char *text;
        const char *value;
    } want[] = {
        {SQL_TOKEN_WORD, "select", "select"}, {SQL_TOKEN_LITERAL, "it''s", "it's"},
        {SQL_TOKEN_NAME, "q\"\"r", "q\"r"},   {SQL_TOKEN_MARK, ",", ","},
        {SQL_TOKEN_WORD, "x1", "x1"},
    };
    const tp_env env = tp_env_plain();
    tp_buffer value;
    tp_buffer_init(&value, env.alloc, 100);
    size_t offset = 0;
    sql_token token;
    for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
        ASSERT(tp_sql_token_next(TP_STR(text), &offset, &token));
        ASSERT_EQ_INT(token.kind, want[i].kind);
        ASSERT_EQ_BYTES(token.text.data, token.text.size, want[i].text, strlen(want[i].text));
        tp_sql_token_value(&token, &value);
        ASSERT_EQ_BYTES(value.data, value.size, want[i].value, strlen(want[i].value));
    }
    ASSERT(!tp_sql_token_next(TP_STR(text), &offset, &token));
    tp_buffer_deinit(&value);
}

// A carriage return ends a comment of one line too, as it does for DuckDB.
static void test_comment_ends(void)
{
    size_t offset = 0;
    sql_token token;
    ASSERT(tp_sql_token_next(TP_STR("-- a\r'b'"), &offset, &token));
    ASSERT_EQ_INT(token.kind, SQL_TOKEN_LITERAL);
}

// Every prefix of a nasty text, at the end of readable memory.
static void test_tokens_end_anywhere(void)
{
    static const char text[] = "'a''b' \"c\"\"d\" /* x /* y */ z */ -- e\n$1 'f";
    for (size_t size = 0; size < sizeof(text); size++) {
        char *guarded = test_guarded(size == 0 ? 1 : size);
        memcpy(guarded, text, size);
        const tp_str query = {guarded, size};
        size_t offset = 0;
        size_t last = 0;
        sql_token token;
        while (tp_sql_token_next(query, &offset, &token)) {
            ASSERT(offset > last);
            last = offset;
        }
        ASSERT_EQ_UINT(offset, size);
    }
}

static void test_forbidden_calls(void)
{
    static const char *const bad[] = {
        "select * from query('x')", "FROM QUERY ('x')",       "FROM system.main.\"query\"('x')",
        "FROM query\xc2\xa0('x')",  "FROM query -- x\n('x')", "FROM query/**/('x')",
        "enable_logging(",          "'enable_logging(''",     "\xc2\xa0sleep_ms(1)",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ASSERT(tp_sql_forbidden_call(tp_str_from(bad[i])) != NULL);
    }
    static const char *const good[] = {
        "SELECT query, checkpoint FROM t",
        "SELECT my_query(1)",
        "SELECT queryx (1)",
        "SELECT query_id(1)",
        "SELECT 'query'",
        "FROM t query",
        "SELECT query + (1)",
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        ASSERT(tp_sql_forbidden_call(tp_str_from(good[i])) == NULL);
    }
}

TEST_MAIN(TEST(test_tokens), TEST(test_comment_ends), TEST(test_tokens_end_anywhere),
          TEST(test_forbidden_calls))
