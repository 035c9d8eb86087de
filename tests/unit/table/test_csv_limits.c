// SPDX-License-Identifier: Apache-2.0
//
// Texts at and beyond the limits: fields, rows and headers of a hundred megabytes or a million
// columns, quotes that are never closed in a large text. Each works or is refused with a sentence,
// in a time that grows with the text and no faster.
#include "table/tp_table.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_buffer.h"
#include "test.h"

#include <string.h>

static tp_buffer text;

static void start(const char *begin)
{
    tp_buffer_init(&text, tp_allocator_default(), SIZE_MAX);
    tp_buffer_append_text(&text, begin);
}

static void append_many(const char *part, size_t count)
{
    const size_t size = strlen(part);
    for (size_t i = 0; i < count; i++) {
        tp_buffer_append(&text, part, size);
    }
}

static tapeout_status parse(tapeout_table **ret_table)
{
    const tp_env env = tp_env_plain();
    tp_csv_options options;
    tp_csv_options_init(&options);
    options.name = "t.csv";
    options.delimiter = ',';
    return tp_csv_parse(&env, tp_buffer_view(&text), &options, ret_table, &test_err);
}

static void check_fails(tapeout_status want, const char *message)
{
    tapeout_table *table = NULL;
    ASSERT_FAILS(parse(&table), want, message);
    ASSERT(table == NULL);
    tp_buffer_deinit(&text);
}

static void test_refuses_a_field_of_100_mb(void)
{
    start("a,b\n1,2\n3,");
    append_many("xxxxxxxxxxxxxxxx", (100 << 20) / 16);
    tp_buffer_append_text(&text, "\n5,6\n");
    check_fails(TAPEOUT_E_LIMIT, "csv: t.csv:3: column 2 (b): a field of 104857600 bytes");
    start("a,b\n1,2\n3,\"");
    append_many("xxxxxxxxxxxxxxx\n", (100 << 20) / 16);
    tp_buffer_append_text(&text, "\"\n5,6\n");
    check_fails(TAPEOUT_E_LIMIT, "csv: t.csv:3: column 2 (b): a field of 104857602 bytes");
}

static void test_reads_a_field_of_16_mb(void)
{
    start("a,b\n1,\"\"\"");
    append_many("xxxxxxxxxxxxxxx\n", (TP_MAX_CSV_FIELD_BYTES - 64) / 16);
    tp_buffer_append_text(&text, "\"\n2,y\n");
    tapeout_table *table = NULL;
    ASSERT_OK(parse(&table));
    ASSERT_EQ_UINT(table->row_count, 2);
    ASSERT_EQ_UINT(tp_dict_get(table->columns[1].dict, 0).size, TP_MAX_CSV_FIELD_BYTES - 63);
    tp_table_unref(table);
    tp_buffer_deinit(&text);
}

static void test_reads_a_number_of_a_million_digits(void)
{
    start("a\n1.5\n0.");
    append_many("1234567890", 100000);
    tapeout_table *table = NULL;
    ASSERT_OK(parse(&table));
    ASSERT_EQ_F64(table->columns[0].values.f64[1], 0.12345678901234568);
    tp_table_unref(table);
    tp_buffer_deinit(&text);
}

static void test_refuses_a_million_columns(void)
{
    start("a");
    append_many(",a", 1000000);
    tp_buffer_append_text(&text, "\n");
    check_fails(TAPEOUT_E_LIMIT, "csv: t.csv:1: more than 100000 columns");
}

static void test_refuses_a_row_of_a_million_fields(void)
{
    start("a,b\n1,2\n");
    append_many(",", 1000000);
    check_fails(TAPEOUT_E_DATA, "csv: t.csv:3: the row has more fields than the header");
}

static void test_reads_a_hundred_thousand_columns(void)
{
    start("c0");
    for (size_t i = 1; i < TP_MAX_CSV_COLUMNS; i++) {
        tp_buffer_printf(&text, ",c%zu", i);
    }
    for (int row = 0; row < 5; row++) {
        tp_buffer_append_text(&text, "\nx");
        append_many(",7", TP_MAX_CSV_COLUMNS - 1);
    }
    tapeout_table *table = NULL;
    ASSERT_OK(parse(&table));
    ASSERT_EQ_UINT(table->column_count, TP_MAX_CSV_COLUMNS);
    ASSERT_EQ_UINT(table->row_count, 5);
    ASSERT_EQ_INT(table->columns[TP_MAX_CSV_COLUMNS - 1].values.i64[4], 7);
    tp_table_unref(table);
    tp_buffer_deinit(&text);
}

static void test_names_the_line_of_an_open_quote(void)
{
    start("a,b\n");
    append_many("1,\"x\ny\"\n", 100000);
    tp_buffer_append_text(&text, "2,\"open\n");
    append_many("3,4\n", 1000000);
    check_fails(TAPEOUT_E_DATA, "csv: t.csv:200002: the quoted field that begins here is never");
}

static void test_reads_quoted_line_feeds_by_the_million(void)
{
    start("a,b\n1,\"");
    append_many("\n\n\n\n\n\n\n\n", 1 << 18);
    tp_buffer_append_text(&text, "\"\n2,\"");
    append_many("\n\n\n\n\n\n\n\n", 1 << 18);
    tp_buffer_append_text(&text, "\"\n");
    tapeout_table *table = NULL;
    ASSERT_OK(parse(&table));
    ASSERT_EQ_UINT(table->row_count, 2);
    ASSERT_EQ_INT(table->columns[0].values.i64[1], 2);
    ASSERT_EQ_UINT(table->columns[1].dict->count, 1);
    tp_table_unref(table);
    tp_buffer_deinit(&text);
}

static void test_reads_empty_lines_by_the_million(void)
{
    start("a,b\n");
    for (int i = 0; i < 100; i++) {
        append_many("\n", 20000);
        tp_buffer_append_text(&text, "1,2\r\n\r\n");
    }
    tapeout_table *table = NULL;
    ASSERT_OK(parse(&table));
    ASSERT_EQ_UINT(table->row_count, 100);
    tp_table_unref(table);
    tp_buffer_deinit(&text);
}

TEST_MAIN(TEST(test_refuses_a_field_of_100_mb), TEST(test_reads_a_field_of_16_mb),
          TEST(test_reads_a_number_of_a_million_digits), TEST(test_refuses_a_million_columns),
          TEST(test_refuses_a_row_of_a_million_fields), TEST(test_reads_a_hundred_thousand_columns),
          TEST(test_names_the_line_of_an_open_quote),
          TEST(test_reads_quoted_line_feeds_by_the_million),
          TEST(test_reads_empty_lines_by_the_million))
