// SPDX-License-Identifier: Apache-2.0
//
// The builder: what goes in comes out, missing values are zero underneath, and a second record of
// the same shape costs no allocation.
#include "table/tp_table.h"

#include "base/tp_alloc.h"
#include "test.h"

#include <math.h>

static const tp_field fields[] = {
    {TP_STR("flag"), TAPEOUT_TYPE_BOOL},       {TP_STR("count"), TAPEOUT_TYPE_INT64},
    {TP_STR("size"), TAPEOUT_TYPE_FLOAT64},    {TP_STR("day"), TAPEOUT_TYPE_DATE},
    {TP_STR("at"), TAPEOUT_TYPE_TIMESTAMP_TZ}, {TP_STR("name"), TAPEOUT_TYPE_STRING},
};
static const tp_schema schema = {fields, 6};

static tp_table_builder *new_builder(const tapeout_allocator *alloc)
{
    tp_table_builder *builder = NULL;
    ASSERT_OK(tp_table_builder_new(alloc, &schema, &builder, &test_err));
    return builder;
}

static void append_row(tp_table_builder *builder, int64_t row)
{
    const tp_str name = row % 2 == 0 ? TP_STR("even") : TP_STR("odd");
    ASSERT_OK(tp_table_builder_bool(builder, 0, row % 3 == 0));
    ASSERT_OK(tp_table_builder_i64(builder, 1, row));
    ASSERT_OK(row % 5 == 0 ? tp_table_builder_null(builder, 2)
                           : tp_table_builder_f64(builder, 2, (double)row / 2));
    ASSERT_OK(tp_table_builder_days(builder, 3, (int32_t)row));
    ASSERT_OK(tp_table_builder_i64(builder, 4, -row));
    ASSERT_OK(tp_table_builder_str(builder, 5, name));
}

static void check_rows(const tapeout_table *table, uint64_t row_count)
{
    ASSERT_EQ_UINT(table->row_count, row_count);
    ASSERT_EQ_UINT(table->column_count, 6);
    const tp_column *c = table->columns;
    for (uint64_t row = 0; row < row_count; row++) {
        const bool is_missing = row % 5 == 0;
        ASSERT_EQ_INT(c[0].values.bits[row / 8] >> (row % 8) & 1, row % 3 == 0);
        ASSERT_EQ_INT(c[1].values.i64[row], row);
        ASSERT_EQ_INT(tp_column_is_valid(&c[2], row), !is_missing);
        ASSERT_EQ_F64(c[2].values.f64[row], is_missing ? 0.0 : (double)row / 2);
        ASSERT_EQ_INT(c[3].values.days[row], row);
        ASSERT_EQ_INT(c[4].values.i64[row], -(int64_t)row);
        ASSERT_EQ_INT(c[5].values.codes[row], row % 2);
    }
    ASSERT_EQ_UINT(c[2].null_count, (row_count + 4) / 5);
    ASSERT(c[1].validity == NULL);
    ASSERT(tp_table_find(table, TP_STR("size")) == &c[2]);
    ASSERT(tp_table_find(table, TP_STR("nothing")) == NULL);
}

static void test_holds_what_was_appended(void)
{
    tp_table_builder *builder = new_builder(tp_allocator_default());
    for (int64_t row = 0; row < 1000; row++) {
        append_row(builder, row);
    }
    const tapeout_table *view = NULL;
    ASSERT_OK(tp_table_builder_view(builder, &view, &test_err));
    check_rows(view, 1000);
    tapeout_table *table = NULL;
    ASSERT_OK(tp_table_builder_take(builder, &table, &test_err));
    ASSERT_OK(tp_table_builder_view(builder, &view, &test_err));
    ASSERT_EQ_UINT(view->row_count, 0);
    append_row(builder, 0);
    ASSERT_OK(tp_table_builder_view(builder, &view, &test_err));
    check_rows(view, 1);
    tp_table_builder_free(builder);
    check_rows(table, 1000);
    tp_table_unref(table);
}

static void test_second_record_allocates_nothing(void)
{
    test_allocator allocator;
    test_allocator_init(&allocator);
    tp_table_builder *builder = new_builder(&allocator.base);
    append_row(builder, 0);
    const size_t count = allocator.count;
    for (int64_t i = 0; i < 1000; i++) {
        tp_table_builder_clear(builder);
        append_row(builder, 0);
        const tapeout_table *view = NULL;
        ASSERT_OK(tp_table_builder_view(builder, &view, &test_err));
        check_rows(view, 1);
    }
    ASSERT_EQ_UINT(allocator.count, count);
    tp_table_builder_free(builder);
    ASSERT_EQ_UINT(allocator.live, 0);
}

static void test_reads_text_by_the_columns_type(void)
{
    tp_table_builder *builder = new_builder(tp_allocator_default());
    ASSERT_OK(tp_table_builder_text(builder, 0, TP_STR("TRUE"), &test_err));
    ASSERT_OK(tp_table_builder_text(builder, 1, TP_STR(" 7.0 "), &test_err));
    ASSERT_OK(tp_table_builder_text(builder, 2, TP_STR("1e3"), &test_err));
    ASSERT_OK(tp_table_builder_text(builder, 3, TP_STR("1970-01-03"), &test_err));
    ASSERT_OK(tp_table_builder_text(builder, 4, TP_STR("1970-01-01T00:00:01Z"), &test_err));
    ASSERT_OK(tp_table_builder_text(builder, 5, TP_STR(" as it is "), &test_err));
    const tapeout_table *view = NULL;
    ASSERT_OK(tp_table_builder_view(builder, &view, &test_err));
    ASSERT_EQ_INT(view->columns[1].values.i64[0], 7);
    ASSERT_EQ_F64(view->columns[2].values.f64[0], 1000.0);
    ASSERT_EQ_INT(view->columns[3].values.days[0], 2);
    ASSERT_EQ_INT(view->columns[4].values.i64[0], 1000000);
    const tp_str name = tp_dict_get(view->columns[5].dict, 0);
    ASSERT_EQ_BYTES(name.data, name.size, " as it is ", 10);
    ASSERT_FAILS(tp_table_builder_text(builder, 1, TP_STR("7.5"), &test_err), TAPEOUT_E_DATA,
                 "column count: \"7.5\" is not int64");
    ASSERT_FAILS(tp_table_builder_text(builder, 4, TP_STR("1970-01-01T00:00"), &test_err),
                 TAPEOUT_E_DATA, "time with zone");
    tp_table_builder_free(builder);
}

static void test_takes_nan_as_missing(void)
{
    tp_table_builder *builder = new_builder(tp_allocator_default());
    append_row(builder, 1);
    ASSERT_OK(tp_table_builder_f64(builder, 2, NAN));
    ASSERT_OK(tp_table_builder_text(builder, 2, TP_STR("nan"), &test_err));
    for (uint32_t i = 0; i < 6; i++) {
        if (i != 2) {
            ASSERT_OK(tp_table_builder_null(builder, i));
            ASSERT_OK(tp_table_builder_null(builder, i));
        }
    }
    const tapeout_table *view = NULL;
    ASSERT_OK(tp_table_builder_view(builder, &view, &test_err));
    ASSERT_EQ_UINT(view->columns[2].null_count, 2);
    ASSERT_EQ_F64(view->columns[2].values.f64[1], 0.0);
    tp_table_builder_free(builder);
}

static void test_refuses_wrong_types_and_lengths(void)
{
    tp_table_builder *builder = new_builder(tp_allocator_default());
    ASSERT_EQ_INT(tp_table_builder_i64(builder, 0, 1), TAPEOUT_E_INVALID);
    ASSERT_EQ_INT(tp_table_builder_f64(builder, 1, 1.0), TAPEOUT_E_INVALID);
    ASSERT_EQ_INT(tp_table_builder_str(builder, 3, TP_STR("x")), TAPEOUT_E_INVALID);
    ASSERT_EQ_INT(tp_table_builder_bool(builder, 6, true), TAPEOUT_E_INVALID);
    ASSERT_EQ_INT(tp_table_builder_null(builder, 6), TAPEOUT_E_INVALID);
    ASSERT_OK(tp_table_builder_i64(builder, 1, 1));
    const tapeout_table *view = NULL;
    ASSERT_FAILS(tp_table_builder_view(builder, &view, &test_err), TAPEOUT_E_INVALID,
                 "column 1 has 1 rows");
    ASSERT(view == NULL);
    tp_table_builder_free(builder);
}

TEST_MAIN(TEST(test_holds_what_was_appended), TEST(test_second_record_allocates_nothing),
          TEST(test_reads_text_by_the_columns_type), TEST(test_takes_nan_as_missing),
          TEST(test_refuses_wrong_types_and_lengths))
