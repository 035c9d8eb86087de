// SPDX-License-Identifier: Apache-2.0
//
// The builder with every allocation failing in turn.
#include "table/tp_table.h"

#include "base/tp_error.h"
#include "test.h"

static tapeout_status fill(tp_table_builder *builder, tapeout_error *err)
{
    for (int64_t row = 0; row < 200; row++) {
        const char text[2] = {(char)('a' + row % 26), (char)('a' + row / 26)};
        if (tp_table_builder_i64(builder, 0, row) != TAPEOUT_OK ||
            tp_table_builder_str(builder, 1, (tp_str){text, 2}) != TAPEOUT_OK) {
            return tp_fail_nomem(err);
        }
    }
    const tapeout_table *view;
    TP_TRY(tp_table_builder_view(builder, &view, err));
    tapeout_table *table;
    TP_TRY(tp_table_builder_take(builder, &table, err));
    tp_table_unref(table);
    return TAPEOUT_OK;
}

static tapeout_status build(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    (void)user;
    static const tp_field fields[] = {{TP_STR("n"), TAPEOUT_TYPE_INT64},
                                      {TP_STR("s"), TAPEOUT_TYPE_STRING}};
    const tp_schema schema = {fields, 2};
    tp_table_builder *builder;
    TP_TRY(tp_table_builder_new(alloc, &schema, &builder, err));
    const tapeout_status status = fill(builder, err);
    tp_table_builder_free(builder);
    return status;
}

static void test_gives_all_back(void)
{
    test_out_of_memory(build, NULL);
}

TEST_MAIN(TEST(test_gives_all_back))
