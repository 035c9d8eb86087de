// SPDX-License-Identifier: Apache-2.0
//
// Prediction: the fast form against a walk over the values, rows alone against rows in blocks, and
// forests that a byte is too small for. All to the last bit.
#include "gbt_cases.h"
#include "learn/gbt/gbt_fast_priv.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// Numbers with gaps in both directions, few and many categories, three classes.
static gbt_case *mixed_case(uint64_t rows)
{
    gbt_case *c = case_new(rows, 5);
    c->about[2] = (tp_learn_feature){.is_category = true, .category_count = 3};
    c->about[3] = (tp_learn_feature){.is_category = true, .category_count = 300};
    for (uint64_t row = 0; row < rows; row++) {
        c->columns[2][row] = floor(c->columns[2][row] * 3);
        c->columns[3][row] = floor(c->columns[3][row] * c->columns[3][row] * 300);
        const double x = c->columns[0][row];
        const uint64_t group = (uint64_t)c->columns[3][row] * 7 % 5;
        const double score = sin(9 * x) + (double)group / 3 + (c->columns[2][row] == 1) +
                             c->columns[1][row] + case_random(50, row);
        if (row % 5 == 0) {
            c->columns[0][row] = NAN;
        }
        if (row % 7 == 0) {
            c->columns[1][row] = NAN;
        }
        if (row % 11 == 0) {
            c->columns[3][row] = NAN;
        }
        c->target[row] = score < 1 ? 0 : score < 2 ? 1 : 2;
    }
    return c;
}

// Goes on from `init`, which may be NULL. 22 trees: several are added in one pass, and some are
// left.
static tp_gbt *mixed_forest_after(gbt_case *c, uint32_t leaves, const tp_gbt *init)
{
    tp_gbt_options options;
    tp_gbt_options_init(&options, TP_OBJECTIVE_MULTICLASS);
    options.class_count = 3;
    options.trees = 22;
    options.leaves = leaves;
    options.category_min_rows = 20;
    options.min_rows_in_leaf = 5;
    options.init_model = init;
    return case_train(c, &options);
}

static tp_gbt *mixed_forest(gbt_case *c, uint32_t leaves)
{
    return mixed_forest_after(c, leaves, NULL);
}

static void assert_like_plain(const tp_gbt *gbt, gbt_case *c)
{
    const uint32_t outputs = gbt->trees_per_iteration;
    const double *fast = case_margins(gbt, c);
    double *plain = case_keep(calloc(outputs * c->rows, sizeof(double)));
    tp_gbt_plain_margins(gbt, (const double *const *)c->columns, (uint32_t)c->rows, plain);
    ASSERT_EQ_BYTES(fast, outputs * c->rows * sizeof(double), plain,
                    outputs * c->rows * sizeof(double));
    for (uint64_t row = 0; row < 50; row++) {
        double values[CASE_FEATURES_MAX];
        for (uint32_t f = 0; f < c->features; f++) {
            values[f] = c->columns[f][row];
        }
        ASSERT_EQ_F64(case_margin_of(gbt, values), plain[row]);
    }
}

// A node asks for each kind of feature, and missing values go both ways.
static void test_fast_is_like_plain(void)
{
    gbt_case *c = mixed_case(6007);
    const tp_gbt *gbt = mixed_forest(c, 63);
    const tp_gbt_fast *fast = gbt->fast;
    ASSERT(fast->is_coded && fast->trees[0].ops != NULL);
    ASSERT(fast->features[0].has_left && fast->features[0].has_right);
    ASSERT(fast->features[2].is_category && fast->features[3].is_category);
    assert_like_plain(gbt, c);
}

static void test_values_at_the_edges(void)
{
    gbt_case *c = mixed_case(3000);
    const tp_gbt *gbt = mixed_forest(c, 31);
    const double odd[] = {NAN, INFINITY, -INFINITY, -0.0, 0.0, 1e300, -1, 299, 300, 1e18, 0.5};
    const size_t odd_count = sizeof(odd) / sizeof(odd[0]);
    for (uint64_t row = 0; row < c->rows; row++) {
        const uint32_t f = (uint32_t)(row % c->features);
        c->columns[f][row] = odd[row / c->features % odd_count];
    }
    // Values equal to thresholds: left, as in training.
    for (uint32_t i = 0; i + 1 < gbt->trees[0].leaf_count; i++) {
        if (!(gbt->trees[0].flags[i] & TP_TREE_CATEGORICAL)) {
            c->columns[gbt->trees[0].feature[i]][i] = gbt->trees[0].threshold[i];
        }
    }
    assert_like_plain(gbt, c);
}

static void test_trees_of_many_leaves(void)
{
    gbt_case *c = mixed_case(6000);
    const tp_gbt *gbt = mixed_forest(c, 500);
    const tp_gbt_fast *fast = gbt->fast;
    ASSERT(fast->is_coded && fast->trees[0].ops == NULL);
    assert_like_plain(gbt, c);
}

// Trees with and without a program, and one that is a single leaf, follow one another.
static void test_trees_of_all_sizes(void)
{
    gbt_case *c = mixed_case(6000);
    tp_gbt *gbt = mixed_forest_after(c, 500, mixed_forest(c, 15));
    const tp_gbt_fast *fast = gbt->fast;
    ASSERT(fast->is_coded && fast->trees[0].ops != NULL);
    ASSERT(fast->trees[gbt->tree_count - 1].ops == NULL);
    gbt->trees[4].leaf_count = 1;
    gbt->trees[4].leaf_value[0] = 0.25;
    ASSERT(tp_gbt_fast_make(gbt, NULL) == TAPEOUT_OK);
    assert_like_plain(gbt, c);
}

// More than 254 thresholds on one feature: walked over the values.
static void test_too_many_thresholds(void)
{
    gbt_case *c = mixed_case(3000);
    tp_gbt *gbt = mixed_forest(c, 63);
    double next = 0.001;
    for (uint32_t t = 0; t < gbt->tree_count; t++) {
        for (uint32_t i = 0; i + 1 < gbt->trees[t].leaf_count; i++) {
            if (gbt->trees[t].feature[i] < 2) {
                gbt->trees[t].threshold[i] = next;
                next += 0.0007;
            }
        }
    }
    ASSERT_OK(tp_gbt_fast_make(gbt, &test_err));
    ASSERT(!((const tp_gbt_fast *)gbt->fast)->is_coded);
    assert_like_plain(gbt, c);
}

// One chain of 256 leaves, the deepest that a program has to take.
static void test_a_chain(void)
{
    tp_gbt *gbt = NULL;
    ASSERT_OK(tp_gbt_new(tp_env_plain().alloc, 1, 1, 1, &gbt, &test_err));
    (void)case_keep(gbt);
    ASSERT_OK(tp_gbt_tree_init(gbt->alloc, 256, 0, &gbt->trees[0], &test_err));
    gbt->tree_count = 1;
    tp_tree *tree = &gbt->trees[0];
    for (int32_t i = 0; i < 255; i++) {
        tree->threshold[i] = i % 254;
        tree->left[i] = ~i;
        tree->right[i] = i < 254 ? i + 1 : ~255;
    }
    for (int32_t i = 0; i < 256; i++) {
        tree->leaf_value[i] = i;
    }
    ASSERT_OK(tp_gbt_check(gbt, NULL, &test_err));
    ASSERT_OK(tp_gbt_fast_make(gbt, &test_err));
    gbt_case *c = case_new(1000, 1);
    for (uint64_t row = 0; row < 1000; row++) {
        c->columns[0][row] = (double)row / 4 + 0.5;
    }
    assert_like_plain(gbt, c);
    ASSERT_EQ_F64(case_margin_of(gbt, (double[]){77}), 77);
    tp_gbt_free(gbt);
}

// A chain whose links each hang a split to the left: taken in the wrong order its program would
// need a slot a link.
static void test_a_chain_of_splits(void)
{
    enum { LINKS = 80 };
    tp_gbt *gbt = NULL;
    ASSERT_OK(tp_gbt_new(tp_env_plain().alloc, 2, 1, 1, &gbt, &test_err));
    (void)case_keep(gbt);
    ASSERT_OK(tp_gbt_tree_init(gbt->alloc, 2 * LINKS + 1, 0, &gbt->trees[0], &test_err));
    gbt->tree_count = 1;
    tp_tree *tree = &gbt->trees[0];
    for (int32_t i = 0; i < LINKS; i++) {
        tree->threshold[i] = i;
        tree->left[i] = LINKS + i;
        tree->right[i] = i + 1 < LINKS ? i + 1 : ~(2 * LINKS);
        tree->feature[LINKS + i] = 1;
        tree->threshold[LINKS + i] = 0.5;
        tree->left[LINKS + i] = ~(2 * i);
        tree->right[LINKS + i] = ~(2 * i + 1);
    }
    for (int32_t i = 0; i <= 2 * LINKS; i++) {
        tree->leaf_value[i] = i;
    }
    ASSERT_OK(tp_gbt_check(gbt, NULL, &test_err));
    ASSERT_OK(tp_gbt_fast_make(gbt, &test_err));
    gbt_case *c = case_new(1000, 2);
    for (uint64_t row = 0; row < 1000; row++) {
        c->columns[0][row] = (double)row / 10 - 1;
    }
    assert_like_plain(gbt, c);
    tp_gbt_free(gbt);
}

// Another program may ask a number for its code in one tree and for its size in the next. A byte
// can't stand for both, in whichever order they come.
static void test_one_feature_of_both_kinds(void)
{
    const tp_env env = tp_env_plain();
    for (uint32_t first = 0; first < 2; first++) {
        tp_gbt *gbt = NULL;
        ASSERT_OK(tp_gbt_new(env.alloc, 1, 1, 2, &gbt, &test_err));
        gbt->flags = TP_GBT_CODES_ARE_NUMBERS;
        tp_tree *tree = &gbt->trees[first];
        ASSERT_OK(tp_gbt_tree_init(env.alloc, 2, 1, tree, &test_err));
        tree->flags[0] = TP_TREE_CATEGORICAL;
        tree->category_begin[1] = 1;
        tree->category_words[0] = 1u << 31;
        memcpy(tree->leaf_value, (double[]){1, 2}, 2 * sizeof(double));
        tree = &gbt->trees[1 - first];
        ASSERT_OK(tp_gbt_tree_init(env.alloc, 2, 0, tree, &test_err));
        tree->threshold[0] = 31.5;
        memcpy(tree->leaf_value, (double[]){10, 20}, 2 * sizeof(double));
        for (uint32_t t = 0; t < 2; t++) {
            gbt->trees[t].left[0] = ~0;
            gbt->trees[t].right[0] = ~1;
        }
        gbt->tree_count = 2;
        case_keep(gbt);
        ASSERT_OK(tp_gbt_finish(gbt, NULL, &test_err));
        ASSERT_EQ_F64(case_margin_of(gbt, (double[]){31}), 11);
        ASSERT_EQ_F64(case_margin_of(gbt, (double[]){30}), 12);
        ASSERT_EQ_F64(case_margin_of(gbt, (double[]){32}), 22);
        tp_gbt_free(gbt);
    }
}

TEST_MAIN(TEST(test_one_feature_of_both_kinds), TEST(test_fast_is_like_plain),
          TEST(test_values_at_the_edges), TEST(test_trees_of_many_leaves),
          TEST(test_trees_of_all_sizes), TEST(test_too_many_thresholds), TEST(test_a_chain),
          TEST(test_a_chain_of_splits))
