// SPDX-License-Identifier: Apache-2.0
//
// Parquet: a table comes back as it went out, and a damaged file is refused, whatever its damage.
#include "base/tp_alloc.h"
#include "base/tp_env.h"
#include "sql_cases.h"
#include "test.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static tapeout_status read_parquet(const char *library, const char *path, tapeout_table **ret_table,
                                   tapeout_error *err)
{
    const tp_env env = tp_env_plain();
    const tp_read_options options = {library, NULL, NULL};
    return tp_parquet_read(&env, path, &options, ret_table, err);
}

// Every type, with missing values, over more than one of DuckDB's vectors.
static tapeout_table *make_table(uint64_t row_count)
{
    static const tp_field fields[] = {
        {{"b", 1}, TAPEOUT_TYPE_BOOL},          {{"i", 1}, TAPEOUT_TYPE_INT64},
        {{"f \"q\"", 5}, TAPEOUT_TYPE_FLOAT64}, {{"d", 1}, TAPEOUT_TYPE_DATE},
        {{"t", 1}, TAPEOUT_TYPE_TIMESTAMP},     {{"z", 1}, TAPEOUT_TYPE_TIMESTAMP_TZ},
        {{"s", 1}, TAPEOUT_TYPE_STRING},
    };
    const tp_schema schema = {fields, 7};
    tp_table_builder *builder = NULL;
    ASSERT_OK(tp_table_builder_new(tp_allocator_default(), &schema, &builder, &test_err));
    for (uint64_t row = 0; row < row_count; row++) {
        const int64_t value = (int64_t)row * 1000003 - 5000;
        char text[64];
        const int size = snprintf(text, sizeof(text), "%lld is a number", (long long)(value % 777));
        for (uint32_t c = 0; c < 7 && row % 5 == 2; c++) {
            ASSERT_OK(tp_table_builder_null(builder, c));
        }
        if (row % 5 == 2) {
            continue;
        }
        ASSERT_OK(tp_table_builder_bool(builder, 0, row % 3 == 0));
        ASSERT_OK(tp_table_builder_i64(builder, 1, row == 0 ? INT64_MIN : value));
        ASSERT_OK(tp_table_builder_f64(builder, 2, row == 1 ? -0.0 : (double)value / 3));
        ASSERT_OK(tp_table_builder_days(builder, 3, (int32_t)(value % 50000)));
        ASSERT_OK(tp_table_builder_i64(builder, 4, value * 1000));
        ASSERT_OK(tp_table_builder_i64(builder, 5, -value * 1000));
        ASSERT_OK(tp_table_builder_str(builder, 6, (tp_str){text, (size_t)size}));
    }
    tapeout_table *table = NULL;
    ASSERT_OK(tp_table_builder_take(builder, &table, &test_err));
    tp_table_builder_free(builder);
    return table;
}

static void test_round_trip(void)
{
    const char *library = cases_library();
    const tp_env env = tp_env_plain();
    const char *directory = test_temp_dir();
    const uint64_t counts[] = {0, 1, 2048, 5003};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        tapeout_table *want = make_table(counts[i]);
        const char *path = cases_path(directory, "it's.parquet");
        ASSERT_OK(tp_parquet_write(&env, library, path, want, &test_err));
        tapeout_table *got = NULL;
        ASSERT_OK(read_parquet(library, path, &got, &test_err));
        cases_assert_same(got, want);
        tp_table_unref(got);
        tp_table_unref(want);
    }
}

// Nothing else stands beside the file afterwards, and the same rows give the same bytes.
static void test_written_alone_and_alike(void)
{
    const char *library = cases_library();
    const tp_env env = tp_env_plain();
    const char *directory = test_temp_dir();
    tapeout_table *table = make_table(3000);
    ASSERT_OK(
        tp_parquet_write(&env, library, cases_path(directory, "a.parquet"), table, &test_err));
    ASSERT_OK(
        tp_parquet_write(&env, library, cases_path(directory, "b.parquet"), table, &test_err));
    char *a = NULL;
    char *b = NULL;
    size_t a_size = 0;
    size_t b_size = 0;
    cases_read(cases_path(directory, "a.parquet"), &a, &a_size);
    cases_read(cases_path(directory, "b.parquet"), &b, &b_size);
    ASSERT_EQ_BYTES(a, a_size, b, b_size);
    free(a);
    free(b);
    size_t entries = 0;
    DIR *listing = opendir(directory);
    ASSERT(listing != NULL);
    while (readdir(listing) != NULL) {
        entries++;
    }
    ASSERT_EQ_INT(closedir(listing), 0);
    ASSERT_EQ_UINT(entries, 4); // ".", "..", and the two
    ASSERT_FAILS(
        tp_parquet_write(&env, library, cases_path(directory, "no/x.parquet"), table, &test_err),
        TAPEOUT_E_IO, "no/x.parquet");
    tp_table_unref(table);
}

// As with CSV: the columns that a model expects, in its types.
static void test_expected(void)
{
    const char *library = cases_library();
    const tp_env env = tp_env_plain();
    const char *path = cases_path(test_temp_dir(), "a.parquet");
    tapeout_table *table = make_table(10);
    ASSERT_OK(tp_parquet_write(&env, library, path, table, &test_err));
    tp_field fields[] = {
        {{"s", 1}, TAPEOUT_TYPE_STRING},  {{"not there", 9}, TAPEOUT_TYPE_DATE},
        {{"i", 1}, TAPEOUT_TYPE_FLOAT64}, {{"d", 1}, TAPEOUT_TYPE_STRING},
        {{"b", 1}, TAPEOUT_TYPE_INT64},
    };
    const tp_schema expect = {fields, 5};
    tp_csv_options csv;
    tp_csv_options_init(&csv);
    csv.expect = &expect;
    const tp_read_options options = {library, NULL, &csv};
    tapeout_table *got = NULL;
    ASSERT_OK(tp_table_read(&env, path, &options, &got, &test_err));
    ASSERT_EQ_UINT(got->column_count, 5);
    for (uint32_t c = 0; c < 5; c++) {
        ASSERT(tp_str_equal(got->columns[c].name, fields[c].name));
        ASSERT_EQ_INT(got->columns[c].type, fields[c].type);
    }
    ASSERT_EQ_UINT(got->columns[1].null_count, 10);
    ASSERT_EQ_STR(cases_value(got, "s", 1), cases_value(table, "s", 1));
    ASSERT_EQ_STR(cases_value(got, "i", 1), "995003");
    ASSERT_EQ_STR(cases_value(got, "d", 1), cases_value(table, "d", 1));
    ASSERT_EQ_STR(cases_value(got, "b", 0), "1");
    tp_table_unref(got);
    got = NULL;
    fields[0].type = TAPEOUT_TYPE_INT64; // of a text that is none
    ASSERT_FAILS(tp_table_read(&env, path, &options, &got, &test_err), TAPEOUT_E_DATA,
                 "is a number");
    fields[0] = (tp_field){{"f \"q\"", 5}, TAPEOUT_TYPE_INT64}; // of thirds
    ASSERT_FAILS(tp_table_read(&env, path, &options, &got, &test_err), TAPEOUT_E_DATA,
                 "no whole number");
    ASSERT(got == NULL);
    tp_table_unref(table);
}

static void assert_refused(const char *library, const char *path)
{
    tapeout_table *table = NULL;
    tapeout_error err = {0};
    const tapeout_status status = read_parquet(library, path, &table, &err);
    if (status != TAPEOUT_E_CORRUPT && status != TAPEOUT_E_UNSUPPORTED) {
        test_fail(__FILE__, __LINE__, "%s: %s", path,
                  status == TAPEOUT_OK ? "was read" : err.message);
    }
    ASSERT(err.message[0] != '\0');
    ASSERT_EQ_INT(err.status, status);
    ASSERT(table == NULL);
}

// Every prefix in full, a seeded part of them by default.
static void test_prefixes(void)
{
    const char *library = cases_library();
    const tp_env env = tp_env_plain();
    const char *directory = test_temp_dir();
    tapeout_table *table = make_table(20);
    ASSERT_OK(
        tp_parquet_write(&env, library, cases_path(directory, "a.parquet"), table, &test_err));
    tp_table_unref(table);
    char *whole = NULL;
    size_t size = 0;
    cases_read(cases_path(directory, "a.parquet"), &whole, &size);
    const size_t step = getenv("TAPEOUT_TEST_FULL") != NULL ? 1 : size / 40 + 1;
    for (size_t prefix = 0; prefix < size; prefix += prefix + step < size ? step : 1) {
        cases_write_bytes(cases_path(directory, "p.parquet"), whole, prefix);
        assert_refused(library, cases_path(directory, "p.parquet"));
    }
    // A footer that says it is longer than the file.
    memset(whole + size - 8, 0x7f, 4);
    cases_write_bytes(cases_path(directory, "p.parquet"), whole, size);
    assert_refused(library, cases_path(directory, "p.parquet"));
    free(whole);
}

static void test_bad_corpus(void)
{
    const char *shared = test_shared_dir();
    if (shared == NULL) {
        test_skip("no folder shared beside the checkout");
    }
    const char *library = cases_library();
    char directory[4200];
    (void)snprintf(directory, sizeof(directory), "%s/corpora/parquet_bad", shared);
    DIR *listing = opendir(directory);
    if (listing == NULL) {
        test_skip("no corpus parquet_bad");
    }
    size_t count = 0;
    for (struct dirent *entry = readdir(listing); entry != NULL; entry = readdir(listing)) {
        if (strstr(entry->d_name, ".parquet") != NULL) {
            assert_refused(library, cases_path(directory, entry->d_name));
            count++;
        }
    }
    ASSERT_EQ_INT(closedir(listing), 0);
    ASSERT(count >= 8);
}

static void test_not_there(void)
{
    tapeout_table *table = NULL;
    const char *directory = test_temp_dir();
    ASSERT_FAILS(
        read_parquet(cases_library(), cases_path(directory, "x.parquet"), &table, &test_err),
        TAPEOUT_E_NOT_FOUND, "x.parquet");
    cases_write(cases_path(directory, "y.parquet"), "a,b\n1,2\n");
    assert_refused(cases_library(), cases_path(directory, "y.parquet"));
}

TEST_MAIN(TEST(test_round_trip), TEST(test_written_alone_and_alike), TEST(test_expected),
          TEST_SLOW(test_prefixes, 600), TEST(test_bad_corpus), TEST(test_not_there))
