// SPDX-License-Identifier: Apache-2.0
//
// What a CSV text becomes: fields, types, missing values, and each way in which a text is refused.
// A table is shown as text, one line a row, so that a case reads like what it expects.
#include "table/tp_table.h"

#include "base/tp_alloc.h"
#include "table/tp_value.h"
#include "test.h"

#include <string.h>

enum { SHOWN_SIZE = 4096 };

static size_t show_value(const tp_column *c, uint64_t row, char *at)
{
    if (!tp_column_is_valid(c, row)) {
        at[0] = '-';
        return 1;
    }
    switch (c->type) {
    case TAPEOUT_TYPE_BOOL:
        at[0] = (c->values.bits[row >> 3] >> (row & 7) & 1) != 0 ? 'T' : 'F';
        return 1;
    case TAPEOUT_TYPE_INT64:
        return tp_print_i64(c->values.i64[row], at);
    case TAPEOUT_TYPE_FLOAT64:
        return tp_print_f64(c->values.f64[row], at);
    case TAPEOUT_TYPE_DATE:
        return tp_print_date(c->values.days[row], at);
    case TAPEOUT_TYPE_TIMESTAMP:
    case TAPEOUT_TYPE_TIMESTAMP_TZ:
        return tp_print_timestamp(c->values.i64[row], c->type == TAPEOUT_TYPE_TIMESTAMP_TZ, at);
    case TAPEOUT_TYPE_STRING:
        break;
    }
    const tp_str text = tp_dict_get(c->dict, (uint32_t)c->values.codes[row]);
    memcpy(at + 1, text.data, text.size);
    at[0] = '<';
    at[text.size + 1] = '>';
    return text.size + 2;
}

// "name:type ..." and a line a row.
static const char *show(const tapeout_table *table)
{
    static char shown[SHOWN_SIZE];
    size_t size = 0;
    for (uint32_t i = 0; i < table->column_count; i++) {
        const tp_column *c = &table->columns[i];
        size += (size_t)snprintf(shown + size, SHOWN_SIZE - size, "%s%.*s:%s", i == 0 ? "" : " ",
                                 TP_STR_ARGS(c->name), tapeout_type_name(c->type));
    }
    for (uint64_t row = 0; row < table->row_count; row++) {
        for (uint32_t i = 0; i < table->column_count; i++) {
            shown[size++] = i == 0 ? '\n' : ' ';
            size += show_value(&table->columns[i], row, shown + size);
        }
    }
    shown[size] = '\0';
    return shown;
}

static tapeout_status parse(tp_str text, const tp_csv_options *options, tapeout_table **ret_table)
{
    const tp_env env = tp_env_plain();
    tp_csv_options named;
    tp_csv_options_init(&named);
    if (options != NULL) {
        named = *options;
    }
    named.name = "t.csv";
    return tp_csv_parse(&env, text, &named, ret_table, &test_err);
}

static void check_text(tp_str text, const tp_csv_options *options, const char *want)
{
    tapeout_table *table = NULL;
    ASSERT_OK(parse(text, options, &table));
    ASSERT_EQ_STR(show(table), want);
    tp_table_unref(table);
}

#define CHECK(text, want) check_text(TP_STR(text), NULL, want)

static void check_fails(tp_str text, const tp_csv_options *options, tapeout_status want,
                        const char *message)
{
    tapeout_table *table = NULL;
    ASSERT_FAILS(parse(text, options, &table), want, message);
    ASSERT(table == NULL);
}

#define FAILS(text, message) check_fails(TP_STR(text), NULL, TAPEOUT_E_DATA, message)

// -- shape ---------------------------------------------------------------------------------------

static void test_reads_rows(void)
{
    CHECK("a,b\n1,x\n2,y\n", "a:int64 b:string\n1 <x>\n2 <y>");
    CHECK("a,b\n1,x\n2,y", "a:int64 b:string\n1 <x>\n2 <y>");
    CHECK("a,b\r\n1,x\r\n2,y\r\n", "a:int64 b:string\n1 <x>\n2 <y>");
    CHECK("a\n1\n", "a:int64\n1");
    CHECK("a,b\n", "a:string b:string");
    CHECK("a,b", "a:string b:string");
    CHECK("\xef\xbb\xbfname,b\n1,2\n", "name:int64 b:int64\n1 2");
    CHECK(" a , b \n1,2\n", "a:int64 b:int64\n1 2");
    CHECK("\" a\",b \n1,2\n", " a:int64 b:int64\n1 2");
}

static void test_reads_quoted_fields(void)
{
    CHECK("a,b\n\"x,y\",\"1\"\n", "a:string b:int64\n<x,y> 1");
    CHECK("a,b\n\"say \"\"hi\"\"\",2\n", "a:string b:int64\n<say \"hi\"> 2");
    CHECK("a,b\n\"two\nlines\",2\n", "a:string b:int64\n<two\nlines> 2");
    CHECK("a,b\n\"two\r\nlines\",2\r\n", "a:string b:int64\n<two\r\nlines> 2");
    CHECK("a,b\n\"\"\"\",2\n", "a:string b:int64\n<\"> 2");
    CHECK("\"a \"\"b\"\"\",\"c\nd\"\n1,2\n", "a \"b\":int64 c\nd:int64\n1 2");
    CHECK("a,b\n1,\"last\"", "a:int64 b:string\n1 <last>");
}

static void test_passes_over_empty_lines(void)
{
    CHECK("a,b\n\n1,x\n\n\n2,y\n\n", "a:int64 b:string\n1 <x>\n2 <y>");
    CHECK("a,b\r\n\r\n1,x\r\n\r\n", "a:int64 b:string\n1 <x>");
    CHECK("a\n1\n\n3\n", "a:int64\n1\n-\n3");
}

static void test_keeps_nul_bytes(void)
{
    tapeout_table *table = NULL;
    ASSERT_OK(parse((tp_str){"a,b\nx\0y,\0\n", 10}, NULL, &table));
    ASSERT_EQ_UINT(table->row_count, 1);
    const tp_str x = tp_dict_get(table->columns[0].dict, 0);
    const tp_str y = tp_dict_get(table->columns[1].dict, 0);
    ASSERT_EQ_BYTES(x.data, x.size, "x\0y", 3);
    ASSERT_EQ_BYTES(y.data, y.size, "\0", 1);
    tp_table_unref(table);
}

static void test_guesses_the_delimiter(void)
{
    CHECK("a;b\n1,5;2\n", "a:string b:int64\n<1,5> 2");
    CHECK("a\tb\n1\t2\n", "a:int64 b:int64\n1 2");
    CHECK("a|b,c\n1|2\n3|4\n", "a:int64 b,c:int64\n1 2\n3 4");
    CHECK("\"a;b\",c\n1,2\n", "a;b:int64 c:int64\n1 2");
    const tp_csv_options colon = {.delimiter = ':'};
    check_text(TP_STR("a:b\n1,2:3\n"), &colon, "a:string b:int64\n<1,2> 3");
    const tp_csv_options bad = {.delimiter = '"'};
    check_fails(TP_STR("a\n"), &bad, TAPEOUT_E_INVALID, "delimiter");
}

// -- types ---------------------------------------------------------------------------------------

static void test_infers_types(void)
{
    CHECK("a\ntrue\nFalse\n", "a:bool\nT\nF");
    CHECK("a\n1\n-2\n+3\n", "a:int64\n1\n-2\n3");
    CHECK("a\n1\n2.5\n1e3\n", "a:float64\n1\n2.5\n1000");
    CHECK("a\n2013-01-31\n", "a:date\n2013-01-31");
    CHECK("a\n2013-01-31 10:30\n2013-02-01\n",
          "a:timestamp\n2013-01-31T10:30:00\n2013-02-01T00:00:00");
    CHECK("a\n2013-01-31T10:30:00+02:00\n", "a:timestamptz\n2013-01-31T08:30:00Z");
    CHECK("a\n9223372036854775808\n1\n", "a:float64\n9223372036854776000\n1");
    CHECK("a\n 1\n2 \n", "a:int64\n1\n2");
    CHECK("a\n12345678901\n-12345678901\n", "a:int64\n12345678901\n-12345678901");
}

static void test_keeps_as_text_what_numbers_would_lose(void)
{
    CHECK("zip\n02134\n90210\n", "zip:string\n<02134>\n<90210>");
    CHECK("a\n-01\n", "a:string\n<-01>");
    CHECK("a\n0\n-0\n0.5\n", "a:float64\n0\n-0\n0.5");
    CHECK("a\n1_000\n", "a:string\n<1_000>");
    CHECK("a\n0x10\n", "a:string\n<0x10>");
    CHECK("a\n1\ntrue\n", "a:string\n<1>\n<true>");
    CHECK("a\n2013-01-31T10:30\n2013-01-31T10:30Z\n",
          "a:string\n<2013-01-31T10:30>\n<2013-01-31T10:30Z>");
    CHECK("a\n1\n2013-01-31\n", "a:string\n<1>\n<2013-01-31>");
}

static void test_takes_given_types(void)
{
    const tp_field types[] = {{TP_STR("zip"), TAPEOUT_TYPE_INT64},
                              {TP_STR("n"), TAPEOUT_TYPE_STRING}};
    const tp_csv_options options = {.types = types, .type_count = 2};
    check_text(TP_STR("zip,n\n02134,1\n7.0,2\n"), &options, "zip:int64 n:string\n2134 <1>\n7 <2>");
    check_fails(TP_STR("zip,n\n1,2\nx,3\n"), &options, TAPEOUT_E_DATA,
                "csv: t.csv:3: column 1 (zip): \"x\" is not int64: expected a whole number");
    check_fails(TP_STR("n\n1\n"), &options, TAPEOUT_E_INVALID, "column \"zip\"");
}

// -- missing -------------------------------------------------------------------------------------

// A column of numbers so far, longer than what is looked at to guess its type, that turns out to
// hold a code: minus and leading zero are no number, in whatever row they stand.
static void test_a_late_code_makes_text(void)
{
    enum { ROWS = 40000 };
    static char text[ROWS * 6 + 16];
    const char *const codes[] = {"-007", "007", "-", "1.5.2", "-.x"};
    for (size_t c = 0; c < sizeof(codes) / sizeof(codes[0]); c++) {
        size_t size = (size_t)sprintf(text, "a\n");
        for (size_t row = 0; row < ROWS; row++) {
            const char *value = row == ROWS / 3 ? codes[c] : row % 2 == 0 ? "-1.5" : "-0.25";
            size += (size_t)sprintf(text + size, "%s\n", value);
        }
        tapeout_table *table = NULL;
        ASSERT_OK(parse((tp_str){text, size}, NULL, &table));
        ASSERT_EQ_INT(table->columns[0].type, TAPEOUT_TYPE_STRING);
        tp_table_unref(table);
    }
}

static void test_marks_missing_values(void)
{
    CHECK("a,b,c\n1,,x\nNA,2.5,\nnull,NaN,NA\n",
          "a:int64 b:float64 c:string\n1 - <x>\n- 2.5 -\n- - -");
    CHECK("a,b\n,\n,\n", "a:string b:string\n- -\n- -");
    CHECK("a,b\ntrue,2013-01-31\nNA,NA\n", "a:bool b:date\nT 2013-01-31\n- -");
    const tp_str markers[] = {TP_STR("-999"), TP_STR("none")};
    const tp_csv_options options = {.missing = markers, .missing_count = 2};
    check_text(TP_STR("a,b\n-999,none\n1,NA\n-5,x\n"), &options,
               "a:int64 b:string\n- -\n1 <NA>\n-5 <x>");
}

static void test_quotes_protect_text_alone(void)
{
    CHECK("a,b\n\"\",\"NA\"\nx,y\n", "a:string b:string\n<> <NA>\n<x> <y>");
    CHECK("a,b\n\"\",\"NA\"\n1,2\n", "a:int64 b:int64\n- -\n1 2");
    CHECK("a,b\n\"\",1\n", "a:string b:int64\n<> 1");
}

static void test_zeroes_what_is_missing(void)
{
    tapeout_table *table = NULL;
    ASSERT_OK(parse(TP_STR("a,b,c\n7,1.5,x\nNA,NA,NA\n"), NULL, &table));
    ASSERT_EQ_INT(table->columns[0].values.i64[1], 0);
    ASSERT_EQ_F64(table->columns[1].values.f64[1], 0.0);
    ASSERT_EQ_INT(table->columns[2].values.codes[1], 0);
    ASSERT_EQ_UINT(table->columns[2].null_count, 1);
    tp_table_unref(table);
}

// -- a schema that is expected -------------------------------------------------------------------

static void test_reads_what_is_expected(void)
{
    const tp_field fields[] = {{TP_STR("c"), TAPEOUT_TYPE_FLOAT64},
                               {TP_STR("gone"), TAPEOUT_TYPE_DATE},
                               {TP_STR("a"), TAPEOUT_TYPE_STRING}};
    const tp_schema schema = {fields, 3};
    tp_csv_options options;
    tp_csv_options_init(&options);
    options.expect = &schema;
    check_text(TP_STR("a,b,c\n1,what,2\nNA,\"e\"\"v\",NA\n"), &options,
               "c:float64 gone:date a:string\n2 - <1>\n- - -");
    check_fails(TP_STR("a,b,c\n1,x,2\n3,y,z\n"), &options, TAPEOUT_E_DATA,
                "t.csv:3: column 3 (c): \"z\" is not float64");
    check_text(TP_STR("b\n1\n"), &options, "c:float64 gone:date a:string\n- - -");
}

// -- refusals ------------------------------------------------------------------------------------

static void test_refuses_broken_rows(void)
{
    FAILS("a,b\n1,2\n3\n", "csv: t.csv:3: column 2 (b): the row ends after 1 of 2 fields");
    FAILS("a,b\n1,2\n3,4,5\n6,7\n", "csv: t.csv:3: the row has more fields than the header");
    FAILS("a,b,c\n1,2\n3,4,5,6\n", "csv: t.csv:2: column 3 (c): the row ends after 2 of 3");
    FAILS("a,b\n1,2\n3", "csv: t.csv:3: column 2 (b)");
    FAILS("a,b\n\"x\ny\",2\n3\n", "csv: t.csv:4: column 2 (b)");
}

static void test_refuses_broken_quotes(void)
{
    FAILS("a,b\n1,2\n\"3,4\n5,6\n", "csv: t.csv:3: the quoted field that begins here is never");
    FAILS("a,b\n1,5\" pipe\n", "csv: t.csv:2: a double quote inside a field that is not quoted");
    FAILS("a,b\n1,5\"x\" pipe\n", "csv: t.csv:2: column 2 (b): a double quote inside a field");
    FAILS("a,b\n\"1\"x,2\n", "csv: t.csv:2: column 1 (a): text after the closing quote");
}

static void test_refuses_bare_returns(void)
{
    FAILS("a,b\r1,2\r3,4\r", "carriage return without line feed");
    FAILS("a,b\n1\r1,2\n", "csv: t.csv:2: column 1 (a): a carriage return without line feed");
}

static void test_refuses_what_is_not_utf8(void)
{
    FAILS("a,b\n1,caf\xe9\n", "csv: t.csv:2: column 2 (b): byte 0xe9 is not UTF-8");
    FAILS("a,\xe9\n1,2\n", "the name of column 2 is not UTF-8");
    FAILS("\xff\xfe"
          "a",
          "UTF-16");
}

static void test_refuses_broken_headers(void)
{
    FAILS("", "the file is empty");
    FAILS("\xef\xbb\xbf", "the file is empty");
    FAILS("a,b,a\n", "csv: t.csv:1: columns 1 and 3 have the same name \"a\"");
    FAILS("a,,c\n", "csv: t.csv:1: column 2 has no name");
    FAILS("\n1,2\n", "column 1 has no name");
    FAILS("a,\"b\n", "never closed");
    FAILS("a,b\"c\n1,2\n", "double quote inside a name");
}

TEST_MAIN(TEST(test_reads_rows), TEST(test_reads_quoted_fields), TEST(test_passes_over_empty_lines),
          TEST(test_keeps_nul_bytes), TEST(test_guesses_the_delimiter), TEST(test_infers_types),
          TEST(test_a_late_code_makes_text), TEST(test_keeps_as_text_what_numbers_would_lose),
          TEST(test_takes_given_types), TEST(test_marks_missing_values),
          TEST(test_quotes_protect_text_alone), TEST(test_zeroes_what_is_missing),
          TEST(test_reads_what_is_expected), TEST(test_refuses_broken_rows),
          TEST(test_refuses_broken_quotes), TEST(test_refuses_bare_returns),
          TEST(test_refuses_what_is_not_utf8), TEST(test_refuses_broken_headers))
