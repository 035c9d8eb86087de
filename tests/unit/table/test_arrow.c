// SPDX-License-Identifier: Apache-2.0
//
// The Arrow C Data Interface: a table leaves and comes back the same, children live on when they
// are moved out, and what other producers hand over (slices, narrow types, dictionaries, time
// units) is read or refused by name.
#include "table/arrow_abi.h"

#include "table/tp_table.h"
#include "test.h"

#include <math.h>
#include <string.h>

static tapeout_context *context;

static void start(const tapeout_allocator *allocator)
{
    tapeout_context_options options;
    tapeout_context_options_init(&options);
    options.thread_count = 1;
    options.allocator = allocator;
    ASSERT_OK(tapeout_context_new(&options, &context, &test_err));
}

static const char text[] =
    "b,i,f,d,t,z,s\n"
    "true,1,1.5,2013-01-01,2013-01-01T00:00,2013-01-01T00:00Z,x\n"
    "NA,NA,NA,NA,NA,NA,NA\n"
    "false,-7,1e300,1969-01-01,1969-01-01T00:00:00.5,1970-01-01T00:00Z,\"\"\n"
    "true,3,0,2000-02-29,2000-02-29T12:00,2000-02-29T12:00Z,x\n";

static tapeout_table *read_table(void)
{
    const tp_env env = tp_env_plain();
    tp_csv_options options;
    tp_csv_options_init(&options);
    tapeout_table *table = NULL;
    ASSERT_OK(tp_csv_parse(&env, (tp_str){text, sizeof text - 1}, &options, &table, &test_err));
    return table;
}

static void check_same(const tapeout_table *got, const tapeout_table *want)
{
    ASSERT_EQ_UINT(got->row_count, want->row_count);
    ASSERT_EQ_UINT(got->column_count, want->column_count);
    for (uint32_t i = 0; i < want->column_count; i++) {
        const tp_column *a = &got->columns[i];
        const tp_column *b = &want->columns[i];
        ASSERT_EQ_STR(a->name.data, b->name.data);
        ASSERT_EQ_STR(tapeout_type_name(a->type), tapeout_type_name(b->type));
        ASSERT_EQ_UINT(a->null_count, b->null_count);
        for (uint64_t row = 0; row < want->row_count; row++) {
            ASSERT_EQ_INT(tp_column_is_valid(a, row), tp_column_is_valid(b, row));
        }
        const size_t sizes[] = {1, 32, 32, 16, 32, 32, 16};
        ASSERT_EQ_BYTES(a->values.data, sizes[i], b->values.data, sizes[i]);
    }
    const tp_dict *texts = got->columns[6].dict;
    ASSERT_EQ_UINT(texts->count, 2);
    ASSERT_EQ_UINT(tp_dict_get(texts, 1).size, 0);
}

static void test_comes_back_the_same(void)
{
    start(NULL);
    tapeout_table *table = read_table();
    struct ArrowSchema schema = {0};
    struct ArrowArray array = {0};
    ASSERT_OK(tapeout_table_export_arrow(table, &schema, &array, &test_err));
    ASSERT_EQ_STR(schema.format, "+s");
    ASSERT_EQ_STR(schema.children[0]->format, "b");
    ASSERT_EQ_STR(schema.children[5]->format, "tsu:UTC");
    ASSERT_EQ_STR(schema.children[6]->format, "i");
    ASSERT_EQ_STR(schema.children[6]->dictionary->format, "u");
    ASSERT_EQ_INT(array.length, 4);
    ASSERT_EQ_INT(array.children[1]->null_count, 1);
    tapeout_table *back = NULL;
    ASSERT_OK(tapeout_table_import_arrow(context, &schema, &array, &back, &test_err));
    ASSERT(schema.release == NULL && array.release == NULL);
    check_same(back, table);
    tapeout_table_free(table);
    tapeout_table_free(back);
    tapeout_context_free(context);
}

static void test_moved_children_live_on(void)
{
    tapeout_table *table = read_table();
    struct ArrowSchema schema = {0};
    struct ArrowArray array = {0};
    ASSERT_OK(tapeout_table_export_arrow(table, &schema, &array, &test_err));
    tapeout_table_free(table);
    struct ArrowArray child = *array.children[1];
    array.children[1]->release = NULL;
    struct ArrowSchema field = *schema.children[6];
    schema.children[6]->release = NULL;
    array.release(&array);
    schema.release(&schema);
    ASSERT(array.release == NULL && schema.release == NULL);
    ASSERT_EQ_INT(((const int64_t *)child.buffers[1])[2], -7);
    ASSERT_EQ_STR(field.name, "s");
    ASSERT_EQ_STR(field.dictionary->format, "u");
    child.release(&child);
    field.release(&field);
}

// -- what others make ----------------------------------------------------------------------------

static int released;

static void release_array(struct ArrowArray *array)
{
    array->release = NULL;
    released++;
}

static void release_schema(struct ArrowSchema *schema)
{
    schema->release = NULL;
    released++;
}

// One column named "x" in a record batch of `rows` from `offset` on.
static tapeout_status import_column(struct ArrowSchema *field, struct ArrowArray *column,
                                    int64_t rows, int64_t offset, tapeout_table **ret_table)
{
    struct ArrowSchema *fields[] = {field};
    struct ArrowArray *columns[] = {column};
    const void *none[] = {NULL};
    field->name = field->name == NULL ? "x" : field->name;
    struct ArrowSchema schema = {
        .format = "+s", .n_children = 1, .children = fields, .release = release_schema};
    struct ArrowArray array = {.length = rows,
                               .offset = offset,
                               .n_buffers = 1,
                               .buffers = none,
                               .n_children = 1,
                               .children = columns,
                               .release = release_array};
    released = 0;
    const tapeout_status status =
        tapeout_table_import_arrow(context, &schema, &array, ret_table, &test_err);
    ASSERT_EQ_INT(released, 2);
    return status;
}

static tapeout_table *import_good(const char *format, const void *values, int64_t length)
{
    const void *buffers[] = {NULL, values};
    struct ArrowSchema field = {.format = format};
    struct ArrowArray column = {.length = length, .n_buffers = 2, .buffers = buffers};
    tapeout_table *table = NULL;
    ASSERT_OK(import_column(&field, &column, length, 0, &table));
    return table;
}

static void test_reads_narrow_numbers(void)
{
    start(NULL);
    const int8_t bytes[] = {-1, 127};
    tapeout_table *table = import_good("c", bytes, 2);
    ASSERT_EQ_INT(table->columns[0].values.i64[0], -1);
    tapeout_table_free(table);
    const uint16_t shorts[] = {65535, 1};
    table = import_good("S", shorts, 2);
    ASSERT_EQ_INT(table->columns[0].values.i64[0], 65535);
    tapeout_table_free(table);
    const float floats[] = {0.5f, NAN};
    table = import_good("f", floats, 2);
    ASSERT_EQ_F64(table->columns[0].values.f64[0], 0.5);
    ASSERT_EQ_UINT(table->columns[0].null_count, 1);
    tapeout_table_free(table);
    tapeout_context_free(context);
}

static void test_reads_times_of_every_unit(void)
{
    start(NULL);
    const int64_t times[] = {-1, 1500};
    static const struct {
        const char *format;
        int64_t first;
        int64_t second;
        tapeout_type type;
    } cases[] = {{"tss:", -1000000, 1500000000, TAPEOUT_TYPE_TIMESTAMP},
                 {"tsm:", -1000, 1500000, TAPEOUT_TYPE_TIMESTAMP},
                 {"tsu:Europe/Berlin", -1, 1500, TAPEOUT_TYPE_TIMESTAMP_TZ},
                 {"tsn:UTC", -1, 1, TAPEOUT_TYPE_TIMESTAMP_TZ}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tapeout_table *table = import_good(cases[i].format, times, 2);
        ASSERT_EQ_INT(table->columns[0].type, cases[i].type);
        ASSERT_EQ_INT(table->columns[0].values.i64[0], cases[i].first);
        ASSERT_EQ_INT(table->columns[0].values.i64[1], cases[i].second);
        tapeout_table_free(table);
    }
    tapeout_context_free(context);
}

static void test_follows_slices(void)
{
    start(NULL);
    const int32_t offsets[] = {0, 1, 3, 3, 6};
    const uint8_t validity[] = {0x0b};
    const void *buffers[] = {validity, offsets, "abbccc"};
    struct ArrowSchema field = {.format = "u"};
    struct ArrowArray column = {
        .length = 3, .offset = 1, .null_count = 1, .n_buffers = 3, .buffers = buffers};
    tapeout_table *table = NULL;
    ASSERT_OK(import_column(&field, &column, 2, 1, &table));
    ASSERT_EQ_UINT(table->row_count, 2);
    ASSERT(!tp_column_is_valid(&table->columns[0], 0));
    const tp_str last = tp_dict_get(table->columns[0].dict, 0);
    ASSERT_EQ_BYTES(last.data, last.size, "ccc", 3);
    tapeout_table_free(table);
    tapeout_context_free(context);
}

static void test_reads_dictionaries(void)
{
    start(NULL);
    const int64_t offsets[] = {0, 1, 2};
    const void *text_buffers[] = {NULL, offsets, "pq"};
    const uint8_t codes[] = {1, 0, 1, 2};
    const void *buffers[] = {NULL, codes};
    struct ArrowSchema texts = {.format = "U"};
    struct ArrowSchema field = {.format = "C", .dictionary = &texts};
    struct ArrowArray values = {.length = 2, .n_buffers = 3, .buffers = text_buffers};
    struct ArrowArray column = {
        .length = 4, .n_buffers = 2, .buffers = buffers, .dictionary = &values};
    tapeout_table *table = NULL;
    ASSERT_OK(import_column(&field, &column, 3, 0, &table));
    const int32_t want[] = {0, 1, 0};
    ASSERT_EQ_BYTES(table->columns[0].values.codes, sizeof want, want, sizeof want);
    ASSERT_EQ_BYTES(tp_dict_get(table->columns[0].dict, 0).data, 1, "q", 1);
    tapeout_table_free(table);
    table = NULL;
    ASSERT_FAILS(import_column(&field, &column, 4, 0, &table), TAPEOUT_E_DATA,
                 "column x: row 3: the index lies outside the dictionary");
    ASSERT(table == NULL);
    tapeout_context_free(context);
}

static void check_refused(const char *format, tapeout_status want, const char *message)
{
    const uint64_t values[] = {UINT64_MAX, UINT64_MAX};
    const void *buffers[] = {NULL, values, NULL};
    struct ArrowSchema field = {.format = format};
    struct ArrowArray column = {.length = 1, .n_buffers = 2, .buffers = buffers};
    tapeout_table *table = NULL;
    ASSERT_FAILS(import_column(&field, &column, 1, 0, &table), want, message);
    ASSERT(table == NULL);
}

static void test_refuses_by_name(void)
{
    start(NULL);
    check_refused("w:16", TAPEOUT_E_UNSUPPORTED, "column x has the type \"w:16\"");
    check_refused("+l", TAPEOUT_E_UNSUPPORTED, "column x has the type \"+l\"");
    check_refused("tDs", TAPEOUT_E_UNSUPPORTED, "cast it");
    check_refused("", TAPEOUT_E_UNSUPPORTED, "column x");
    check_refused("L", TAPEOUT_E_DATA, "row 0: the number is beyond int64");
    check_refused("u", TAPEOUT_E_INVALID, "buffers do not fit");
    struct ArrowArray column = {.length = 1};
    struct ArrowSchema field = {.format = "n"};
    tapeout_table *table = NULL;
    ASSERT_FAILS(import_column(&field, &column, 2, 0, &table), TAPEOUT_E_INVALID, "lengths");
    ASSERT_OK(import_column(&field, &column, 1, 0, &table));
    ASSERT_EQ_UINT(table->columns[0].null_count, 1);
    tapeout_table_free(table);
    tapeout_context_free(context);
}

TEST_MAIN(TEST(test_comes_back_the_same), TEST(test_moved_children_live_on),
          TEST(test_reads_narrow_numbers), TEST(test_reads_times_of_every_unit),
          TEST(test_follows_slices), TEST(test_reads_dictionaries), TEST(test_refuses_by_name))
