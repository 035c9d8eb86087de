// SPDX-License-Identifier: Apache-2.0
//
// Seeded random tables written as CSV and read back: the same values, and the same bytes in every
// buffer for 1, 2 and 7 threads. Texts hold quotes, delimiters and line ends; rows are many enough
// for several segments, so that chunks begin inside quoted fields and dictionaries are merged.
#include "table/tp_table.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_buffer.h"
#include "base/tp_random.h"
#include "table/tp_csv_write.h"
#include "test.h"

#include <string.h>

static const tp_field fields[] = {
    {TP_STR("flag"), TAPEOUT_TYPE_BOOL},    {TP_STR("whole"), TAPEOUT_TYPE_INT64},
    {TP_STR("num"), TAPEOUT_TYPE_FLOAT64},  {TP_STR("day"), TAPEOUT_TYPE_DATE},
    {TP_STR("at"), TAPEOUT_TYPE_TIMESTAMP}, {TP_STR("utc"), TAPEOUT_TYPE_TIMESTAMP_TZ},
    {TP_STR("word"), TAPEOUT_TYPE_STRING},  {TP_STR("text"), TAPEOUT_TYPE_STRING},
};
enum { FIELD_COUNT = 8 };
static const tp_schema schema = {fields, FIELD_COUNT};

static tp_str random_text(uint64_t seed, uint64_t at, char *room, size_t size_max)
{
    static const char letters[] = "ab\",\n\r; \t-0\xc3\xa9";
    size_t size = 0;
    const size_t wanted = tp_random_below(seed, 20, at, size_max);
    while (size < wanted) {
        const uint64_t pick = tp_random_below(seed, 21, at * size_max + size, sizeof letters - 2);
        if (pick >= sizeof letters - 3) {
            memcpy(room + size, "\xc3\xa9", 2);
            size += 2;
        } else {
            room[size++] = letters[pick];
        }
    }
    return (tp_str){room, size};
}

static tapeout_status append_value(tp_table_builder *builder, uint32_t column, uint64_t seed,
                                   uint64_t row)
{
    const uint64_t at = row * FIELD_COUNT + column;
    const uint64_t bits = tp_random_u64(seed, 0, at);
    char room[64];
    double number;
    if (tp_random_below(seed, 1, at, 11) == 0) {
        return tp_table_builder_null(builder, column);
    }
    switch (fields[column].type) {
    case TAPEOUT_TYPE_BOOL:
        return tp_table_builder_bool(builder, column, bits & 1);
    case TAPEOUT_TYPE_INT64:
        return tp_table_builder_i64(builder, column, (int64_t)bits >> (bits & 63));
    case TAPEOUT_TYPE_FLOAT64:
        memcpy(&number, &bits, sizeof number);
        number = bits % 3 == 0 ? number : (double)((int64_t)bits >> 44) / 1000;
        return tp_table_builder_f64(builder, column, number);
    case TAPEOUT_TYPE_DATE:
        return tp_table_builder_days(builder, column, (int32_t)(bits % 40000) - 10000);
    case TAPEOUT_TYPE_TIMESTAMP:
        return tp_table_builder_i64(builder, column, (int64_t)bits >> 8);
    case TAPEOUT_TYPE_TIMESTAMP_TZ:
        return tp_table_builder_i64(builder, column, (int64_t)(bits % 2000000000) * 1000000);
    case TAPEOUT_TYPE_STRING:
        break;
    }
    return tp_table_builder_str(builder, column,
                                random_text(column == 6 ? 7 : seed, column == 6 ? bits % 300 : at,
                                            room, column == 6 ? 12 : 40));
}

static tapeout_table *random_table(uint64_t seed, uint64_t row_count)
{
    tp_table_builder *builder = NULL;
    tapeout_table *table = NULL;
    ASSERT_OK(tp_table_builder_new(tp_allocator_default(), &schema, &builder, &test_err));
    for (uint64_t row = 0; row < row_count; row++) {
        for (uint32_t column = 0; column < FIELD_COUNT; column++) {
            ASSERT_OK(append_value(builder, column, seed, row));
        }
    }
    ASSERT_OK(tp_table_builder_take(builder, &table, &test_err));
    tp_table_builder_free(builder);
    return table;
}

static tapeout_status append(void *user, const char *data, size_t size, tapeout_error *err)
{
    tp_buffer_append(user, data, size);
    return tp_buffer_check(user, "test", err);
}

static size_t width_of(tapeout_type type)
{
    return type == TAPEOUT_TYPE_DATE || type == TAPEOUT_TYPE_STRING ? 4 : 8;
}

static void check_same_column(const tp_column *got, const tp_column *want)
{
    ASSERT_EQ_BYTES(got->name.data, got->name.size, want->name.data, want->name.size);
    ASSERT_EQ_STR(tapeout_type_name(got->type), tapeout_type_name(want->type));
    ASSERT_EQ_UINT(got->row_count, want->row_count);
    ASSERT_EQ_UINT(got->null_count, want->null_count);
    const size_t bitmap = (size_t)((want->row_count + 7) / 8);
    if (want->null_count > 0) {
        ASSERT_EQ_BYTES(got->validity, bitmap, want->validity, bitmap);
    }
    const size_t size =
        want->type == TAPEOUT_TYPE_BOOL ? bitmap : (size_t)want->row_count * width_of(want->type);
    ASSERT_EQ_BYTES(got->values.data, size, want->values.data, size);
    if (want->type != TAPEOUT_TYPE_STRING) {
        return;
    }
    ASSERT_EQ_UINT(got->dict->count, want->dict->count);
    for (uint32_t i = 0; i < want->dict->count; i++) {
        const tp_str a = tp_dict_get(got->dict, i);
        const tp_str b = tp_dict_get(want->dict, i);
        ASSERT_EQ_BYTES(a.data, a.size, b.data, b.size);
    }
}

static void check_same(const tapeout_table *got, const tapeout_table *want)
{
    ASSERT_EQ_UINT(got->column_count, want->column_count);
    ASSERT_EQ_UINT(got->row_count, want->row_count);
    for (uint32_t i = 0; i < want->column_count; i++) {
        check_same_column(&got->columns[i], &want->columns[i]);
    }
}

static tapeout_table *read_with(tp_str text, uint32_t threads, const tp_csv_options *options)
{
    tp_env env = tp_env_plain();
    tapeout_table *table = NULL;
    if (threads > 1) {
        ASSERT_OK(tp_pool_new(env.alloc, threads, &env.pool, &test_err));
    }
    ASSERT_OK(tp_csv_parse(&env, text, options, &table, &test_err));
    tp_pool_free(env.pool);
    return table;
}

static void check_round_trip(uint64_t seed, uint64_t row_count)
{
    const tp_env env = tp_env_plain();
    tapeout_table *table = random_table(seed, row_count);
    tp_buffer text;
    tp_buffer_init(&text, env.alloc, SIZE_MAX);
    ASSERT_OK(tp_csv_write(&env, table, append, &text, &test_err));
    tp_csv_options options;
    tp_csv_options_init(&options);
    options.missing_count = 0;
    options.delimiter = ',';
    const uint32_t threads[] = {1, 2, 7};
    for (size_t i = 0; i < 3; i++) {
        tapeout_table *back = read_with(tp_buffer_view(&text), threads[i], &options);
        check_same(back, table);
        tp_table_unref(back);
    }
    options.expect = &schema;
    tapeout_table *expected = read_with(tp_buffer_view(&text), 2, &options);
    check_same(expected, table);
    tp_table_unref(expected);
    tp_buffer_deinit(&text);
    tp_table_unref(table);
}

static void test_small_tables_come_back(void)
{
    for (uint64_t seed = 0; seed < 60; seed++) {
        check_round_trip(seed, 20 + seed * 3);
    }
}

static void test_large_tables_come_back(void)
{
    check_round_trip(1000, 40000);
    check_round_trip(1001, 25001);
}

// A column that looks like whole numbers until the last row of many.
static void check_late_change(const char *last, tapeout_type want, size_t rows)
{
    tp_buffer text;
    tp_buffer_init(&text, tp_allocator_default(), SIZE_MAX);
    tp_buffer_append_text(&text, "steady,turning,empty\n");
    for (size_t i = 0; i < rows; i++) {
        tp_buffer_printf(&text, "%zu,%zu,\n", i, i % 1000);
    }
    tp_buffer_append_text(&text, "1,");
    tp_buffer_append_text(&text, last);
    tp_buffer_append_text(&text, ",\n");
    tp_csv_options options;
    tp_csv_options_init(&options);
    tapeout_table *one = read_with(tp_buffer_view(&text), 1, &options);
    tapeout_table *many = read_with(tp_buffer_view(&text), 7, &options);
    check_same(many, one);
    ASSERT_EQ_STR(tapeout_type_name(one->columns[0].type), "int64");
    ASSERT_EQ_STR(tapeout_type_name(one->columns[1].type), tapeout_type_name(want));
    ASSERT_EQ_STR(tapeout_type_name(one->columns[2].type), "string");
    ASSERT_EQ_UINT(one->columns[2].null_count, rows + 1);
    tp_table_unref(one);
    tp_table_unref(many);
    tp_buffer_deinit(&text);
}

static void test_types_hang_on_the_last_row(void)
{
    check_late_change("0.5", TAPEOUT_TYPE_FLOAT64, 400000);
    check_late_change("x", TAPEOUT_TYPE_STRING, 400000);
    check_late_change("NA", TAPEOUT_TYPE_INT64, 400000);
    check_late_change("true", TAPEOUT_TYPE_STRING, 3);
}

// Of several broken rows the first is told, whichever thread finds which.
static void test_the_first_failure_is_told(void)
{
    tp_buffer text;
    tp_buffer_init(&text, tp_allocator_default(), SIZE_MAX);
    tp_buffer_append_text(&text, "a,b\n");
    for (size_t i = 0; i < 400000; i++) {
        tp_buffer_append_text(&text, i >= 150000 && i % 50000 == 0 ? "1,2,3\n" : "12,3456\n");
    }
    tp_csv_options options;
    tp_csv_options_init(&options);
    options.name = "t.csv";
    for (uint32_t threads = 1; threads <= 7; threads += 3) {
        tp_env env = tp_env_plain();
        tapeout_table *table = NULL;
        ASSERT_OK(tp_pool_new(env.alloc, threads, &env.pool, &test_err));
        ASSERT_FAILS(tp_csv_parse(&env, tp_buffer_view(&text), &options, &table, &test_err),
                     TAPEOUT_E_DATA, "t.csv:150002: ");
        tp_pool_free(env.pool);
    }
    tp_buffer_deinit(&text);
}

TEST_MAIN(TEST(test_small_tables_come_back), TEST(test_large_tables_come_back),
          TEST(test_types_hang_on_the_last_row), TEST(test_the_first_failure_is_told))
