// SPDX-License-Identifier: Apache-2.0
//
// Export and import with every allocation failing in turn: nothing is left, and what was handed
// over is released even so.
#include "table/arrow_abi.h"

#include "base/tp_error.h"
#include "table/tp_table.h"
#include "test.h"

static tapeout_status there_and_back(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    (void)user;
    tapeout_context_options options;
    tapeout_context_options_init(&options);
    options.thread_count = 1;
    options.allocator = alloc;
    tapeout_context *context;
    TP_TRY(tapeout_context_new(&options, &context, err));
    tp_env env = tp_env_plain();
    env.alloc = alloc;
    tp_csv_options csv;
    tp_csv_options_init(&csv);
    tapeout_table *table = NULL;
    tapeout_table *back = NULL;
    struct ArrowSchema schema = {0};
    struct ArrowArray array = {0};
    tapeout_status status =
        tp_csv_parse(&env, TP_STR("a,b,c\n1,x,true\n2,y,NA\n"), &csv, &table, err);
    if (status == TAPEOUT_OK) {
        status = tapeout_table_export_arrow(table, &schema, &array, err);
    }
    tapeout_table_free(table);
    if (status == TAPEOUT_OK) {
        status = tapeout_table_import_arrow(context, &schema, &array, &back, err);
    }
    tapeout_table_free(back);
    tapeout_context_free(context);
    return status;
}

static void test_gives_all_back(void)
{
    test_out_of_memory(there_and_back, NULL);
}

TEST_MAIN(TEST(test_gives_all_back))
