// SPDX-License-Identifier: Apache-2.0
//
// Training, writing and reading with each allocation failing in turn: E_NOMEM or, where a histogram
// could be done without, success; nothing leaks either way.
#include "gbt_cases.h"
#include "test.h"

#include "base/tp_alloc.h"

#include <math.h>

static tapeout_status train_and_predict(const tapeout_allocator *alloc, void *user,
                                        tapeout_error *err)
{
    gbt_case *c = user;
    const tp_env env = {.alloc = alloc};
    const tp_learn_data data = case_data(c);
    tp_gbt_options options;
    tp_gbt_options_init(&options, TP_OBJECTIVE_ABSOLUTE);
    options.trees = 2;
    options.leaves = 6;
    options.row_fraction = 0.9;
    tp_gbt *gbt = NULL;
    const tapeout_status status = tp_gbt_train(&env, &data, &data, &options, &gbt, NULL, err);
    ASSERT((gbt != NULL) == (status == TAPEOUT_OK));
    tp_gbt_free(gbt);
    return status;
}

static tapeout_status read_forest(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    const tp_buffer *bytes = user;
    const tp_env env = {.alloc = alloc};
    tp_gbt *gbt = NULL;
    const tapeout_status status = tp_gbt_read(&env, tp_buffer_view(bytes), NULL, 2, &gbt, err);
    ASSERT((gbt != NULL) == (status == TAPEOUT_OK));
    tp_gbt_free(gbt);
    return status;
}

static gbt_case *oom_case(void)
{
    gbt_case *c = case_new(400, 2);
    c->about[1] = (tp_learn_feature){.is_category = true, .category_count = 6};
    for (uint64_t row = 0; row < c->rows; row++) {
        c->columns[1][row] = floor(c->columns[1][row] * 6);
        c->target[row] = c->columns[0][row] + (c->columns[1][row] == 3);
    }
    return c;
}

static void test_training(void)
{
    test_out_of_memory(train_and_predict, oom_case());
}

static void test_reading(void)
{
    tp_gbt_options options;
    tp_gbt_options_init(&options, TP_OBJECTIVE_SQUARED);
    options.trees = 2;
    tp_buffer bytes = case_bytes(case_train(oom_case(), &options));
    test_out_of_memory(read_forest, &bytes);
}

TEST_MAIN(TEST_SLOW(test_training, 300), TEST(test_reading))
