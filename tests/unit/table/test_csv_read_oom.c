// SPDX-License-Identifier: Apache-2.0
//
// Reading and profiling a CSV text with every allocation failing in turn: quoted names and fields,
// every type, a column that widens, a schema that is expected.
#include "table/tp_table.h"

#include "base/tp_error.h"
#include "table/tp_profile.h"
#include "test.h"

static const char text[] = "\"a \"\"q\"\"\",b,c,d,e,f\n"
                           "x,1,2.5,2013-01-01,true,2013-01-01T00:00Z\n"
                           "\"y \"\"z\"\"\",2,,NA,false,\n"
                           "x,3,1e5,2013-01-02,NA,\n";

static tapeout_status read_and_profile(const tapeout_allocator *alloc, void *user,
                                       tapeout_error *err)
{
    tp_env env = tp_env_plain();
    env.alloc = alloc;
    tp_csv_options options;
    tp_csv_options_init(&options);
    options.expect = user;
    tapeout_table *table;
    TP_TRY(tp_csv_parse(&env, (tp_str){text, sizeof text - 1}, &options, &table, err));
    tp_profile *profile;
    const tapeout_status status =
        tp_profile_new(&env, table, (tp_row_choice){NULL, table->row_count}, 0, &profile, err);
    if (status == TAPEOUT_OK) {
        tp_profile_free(profile);
    }
    tp_table_unref(table);
    return status;
}

static void test_inferring_gives_all_back(void)
{
    test_out_of_memory(read_and_profile, NULL);
}

static void test_expecting_gives_all_back(void)
{
    static const tp_field fields[] = {{TP_STR("b"), TAPEOUT_TYPE_FLOAT64},
                                      {TP_STR("gone"), TAPEOUT_TYPE_STRING},
                                      {TP_STR("a \"q\""), TAPEOUT_TYPE_STRING}};
    static tp_schema schema = {fields, 3};
    test_out_of_memory(read_and_profile, &schema);
}

// Types guessed from the first rows of a text that turns out otherwise.
static tapeout_status widen(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    static char rows[40000];
    if (rows[0] == '\0') {
        size_t size = 0;
        while (size < sizeof rows - 16) {
            size += (size_t)snprintf(rows + size, 16, size == 0 ? "n\n" : "%zu\n", size);
        }
        (void)snprintf(rows + size, 16, "text\n");
    }
    (void)user;
    tp_env env = tp_env_plain();
    env.alloc = alloc;
    tp_csv_options options;
    tp_csv_options_init(&options);
    tapeout_table *table;
    TP_TRY(tp_csv_parse(&env, tp_str_from(rows), &options, &table, err));
    const bool is_text = table->columns[0].type == TAPEOUT_TYPE_STRING;
    tp_table_unref(table);
    return is_text ? TAPEOUT_OK : tp_fail(err, TAPEOUT_E_INTERNAL, "not widened");
}

static void test_widening_gives_all_back(void)
{
    test_out_of_memory(widen, NULL);
}

TEST_MAIN(TEST(test_inferring_gives_all_back), TEST(test_expecting_gives_all_back),
          TEST(test_widening_gives_all_back))
