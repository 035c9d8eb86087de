// SPDX-License-Identifier: Apache-2.0
//
// What each way of making folds promises: every row in one part, classes spread, groups whole, no
// row tested on that is older than one trained on.
#include "learn/tp_folds.h"

#include "base/tp_random.h"
#include "test.h"

#include <math.h>
#include <string.h>

enum { ROWS = 1000, FOLDS = 5 };

static uint32_t part[ROWS];
static uint32_t label[ROWS];
static double moment[ROWS];

static void assign(const tp_folds_options *options)
{
    const tp_env env = tp_env_plain();
    ASSERT_OK(tp_folds_assign(&env, options, ROWS, part, &test_err));
}

static void test_random_spreads_classes(void)
{
    for (uint32_t r = 0; r < ROWS; r++) {
        label[r] = r % 50 == 0 ? 2 : r % 3 == 0; // 20 rows of the rarest
    }
    const tp_folds_options options = {
        .by = TP_FOLDS_RANDOM, .fold_count = FOLDS, .seed = 1, .label = label, .label_count = 3};
    assign(&options);
    uint32_t counts[3][FOLDS] = {{0}};
    uint32_t sizes[FOLDS] = {0};
    for (uint32_t r = 0; r < ROWS; r++) {
        ASSERT(part[r] < FOLDS);
        counts[label[r]][part[r]]++;
        sizes[part[r]]++;
    }
    for (uint32_t f = 0; f < FOLDS; f++) {
        ASSERT_EQ_UINT(sizes[f], ROWS / FOLDS);
        ASSERT_EQ_UINT(counts[2][f], 4);
        ASSERT(counts[1][f] <= counts[1][0] + 1 && counts[1][0] <= counts[1][f] + 1);
    }
}

static void test_seed_decides(void)
{
    tp_folds_options options = {.by = TP_FOLDS_RANDOM, .fold_count = FOLDS, .seed = 1};
    uint32_t first[ROWS];
    assign(&options);
    memcpy(first, part, sizeof(first));
    assign(&options);
    ASSERT_EQ_BYTES(part, sizeof(part), first, sizeof(first));
    options.seed = 2;
    assign(&options);
    ASSERT(memcmp(part, first, sizeof(first)) != 0);
}

static void test_groups_stay_whole(void)
{
    for (uint32_t r = 0; r < ROWS; r++) {
        label[r] = (uint32_t)tp_random_below(3, 0, r, 40);
        label[r] = label[r] < 3 ? 0 : label[r]; // one large group
    }
    const tp_folds_options options = {.by = TP_FOLDS_GROUP,
                                      .fold_count = FOLDS,
                                      .seed = 9,
                                      .label = label,
                                      .label_count = 60}; // 20 of them empty
    assign(&options);
    uint32_t sizes[FOLDS] = {0};
    for (uint32_t r = 0; r < ROWS; r++) {
        sizes[part[r]]++;
        for (uint32_t s = 0; s < r; s++) {
            ASSERT(label[s] != label[r] || part[s] == part[r]);
        }
    }
    for (uint32_t f = 0; f < FOLDS; f++) {
        ASSERT(sizes[f] > ROWS / FOLDS - 30 && sizes[f] < ROWS / FOLDS + 30);
    }
}

static void test_time_goes_one_way(void)
{
    for (uint32_t r = 0; r < ROWS; r++) {
        moment[r] = (double)tp_random_below(4, 0, r, 100);
    }
    const tp_folds_options options = {.by = TP_FOLDS_TIME, .fold_count = FOLDS, .time = moment};
    assign(&options);
    for (uint32_t fold = 0; fold < FOLDS; fold++) {
        double last_trained = -1.0;
        double first_tested = 1e9;
        uint32_t tested = 0;
        for (uint32_t r = 0; r < ROWS; r++) {
            const tp_folds_role role = tp_folds_role_of(TP_FOLDS_TIME, part[r], fold);
            if (role == TP_FOLDS_TRAIN) {
                last_trained = fmax(last_trained, moment[r]);
            } else if (role == TP_FOLDS_TEST) {
                first_tested = fmin(first_tested, moment[r]);
                tested++;
            }
        }
        ASSERT(last_trained < first_tested);
        ASSERT(tested > 120 && tested < 210);
    }
}

static void test_roles(void)
{
    ASSERT_EQ_INT(tp_folds_role_of(TP_FOLDS_RANDOM, 2, 2), TP_FOLDS_TEST);
    ASSERT_EQ_INT(tp_folds_role_of(TP_FOLDS_GROUP, 3, 2), TP_FOLDS_TRAIN);
    ASSERT_EQ_INT(tp_folds_role_of(TP_FOLDS_TIME, 0, 0), TP_FOLDS_TRAIN);
    ASSERT_EQ_INT(tp_folds_role_of(TP_FOLDS_TIME, 1, 0), TP_FOLDS_TEST);
    ASSERT_EQ_INT(tp_folds_role_of(TP_FOLDS_TIME, 2, 0), TP_FOLDS_UNUSED);
}

static void test_refusals(void)
{
    const tp_env env = tp_env_plain();
    tp_folds_options options = {.by = TP_FOLDS_RANDOM, .fold_count = 1};
    ASSERT_FAILS(tp_folds_assign(&env, &options, ROWS, part, &test_err), TAPEOUT_E_INVALID,
                 "expected 2");
    options.fold_count = 10;
    ASSERT_FAILS(tp_folds_assign(&env, &options, 9, part, &test_err), TAPEOUT_E_DATA,
                 "fewer folds");
    memset(label, 0, sizeof(label));
    options =
        (tp_folds_options){.by = TP_FOLDS_GROUP, .fold_count = 2, .label = label, .label_count = 5};
    ASSERT_FAILS(tp_folds_assign(&env, &options, ROWS, part, &test_err), TAPEOUT_E_DATA,
                 "1 groups");
    label[7] = 5;
    ASSERT_FAILS(tp_folds_assign(&env, &options, ROWS, part, &test_err), TAPEOUT_E_INVALID,
                 "row 7");
    for (uint32_t r = 0; r < ROWS; r++) {
        moment[r] = r < 900 ? 1.0 : 2.0;
    }
    options = (tp_folds_options){.by = TP_FOLDS_TIME, .fold_count = 2, .time = moment};
    ASSERT_FAILS(tp_folds_assign(&env, &options, ROWS, part, &test_err), TAPEOUT_E_DATA,
                 "2 stretches");
    moment[3] = (double)NAN;
    ASSERT_FAILS(tp_folds_assign(&env, &options, ROWS, part, &test_err), TAPEOUT_E_DATA,
                 "row 3 has no time");
}

static tapeout_status scenario(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    tp_env env = tp_env_plain();
    env.alloc = alloc;
    return tp_folds_assign(&env, user, ROWS, part, err);
}

static void test_out_of_memory_leaves_nothing(void)
{
    for (uint32_t r = 0; r < ROWS; r++) {
        label[r] = r % 7;
    }
    tp_folds_options options = {
        .by = TP_FOLDS_GROUP, .fold_count = 3, .label = label, .label_count = 7};
    test_out_of_memory(scenario, &options);
}

TEST_MAIN(TEST(test_random_spreads_classes), TEST(test_seed_decides), TEST(test_groups_stay_whole),
          TEST(test_time_goes_one_way), TEST(test_roles), TEST(test_refusals),
          TEST(test_out_of_memory_leaves_nothing))
