// SPDX-License-Identifier: Apache-2.0
//
// How trees grow, as properties of the forests: limits that are kept, constraints that hold for
// every input, categories, missing values, and rounds that change nothing about the order of
// splits.
#include "gbt_cases.h"
#include "test.h"

#include <math.h>
#include <string.h>

static tp_gbt_options options_of(tp_objective objective, uint32_t leaves)
{
    tp_gbt_options options;
    tp_gbt_options_init(&options, objective);
    options.trees = 20;
    options.leaves = leaves;
    return options;
}

static gbt_case *noisy_case(uint64_t rows)
{
    gbt_case *c = case_new(rows, 4);
    for (uint64_t row = 0; row < rows; row++) {
        c->target[row] = sin(8 * c->columns[0][row]) + c->columns[1][row] * c->columns[2][row] +
                         case_random(30, row);
    }
    return c;
}

static int32_t depth_of(const tp_tree *tree, int32_t node)
{
    if (node < 0) {
        return 0;
    }
    const int32_t left = depth_of(tree, tree->left[node]);
    const int32_t right = depth_of(tree, tree->right[node]);
    return 1 + (left > right ? left : right);
}

// -- limits --------------------------------------------------------------------------------------

static void test_limits_are_kept(void)
{
    gbt_case *c = noisy_case(3000);
    tp_gbt_options options = options_of(TP_OBJECTIVE_SQUARED, 20);
    options.depth = 5;
    options.min_rows_in_leaf = 50;
    const tp_gbt *gbt = case_train(c, &options);
    for (uint32_t t = 0; t < gbt->tree_count; t++) {
        const tp_tree *tree = &gbt->trees[t];
        double rows = 0;
        ASSERT(tree->leaf_count <= 20 && depth_of(tree, 0) <= 5);
        for (uint32_t i = 0; i < tree->leaf_count; i++) {
            ASSERT(tree->leaf_cover[i] >= 50);
            rows += tree->leaf_cover[i];
        }
        ASSERT_EQ_F64(rows, 3000);
        ASSERT_EQ_F64(tree->inner_cover[0], 3000);
    }
}

// Hessians that differ make the number of rows on a side an estimate; what is kept is exact.
static void test_least_rows_are_exact(void)
{
    gbt_case *c = noisy_case(4000);
    for (uint64_t row = 0; row < c->rows; row++) {
        c->target[row] = c->target[row] + 4 * (c->columns[3][row] > 0.97) > 1.9;
    }
    tp_gbt_options options = options_of(TP_OBJECTIVE_BINARY, 63);
    options.trees = 60;
    options.learning_rate = 0.3;
    for (int weighted = 0; weighted < 2; weighted++) {
        c->is_weighted = weighted;
        for (uint64_t row = 0; row < c->rows; row++) {
            c->weight[row] = row % 3 == 0 ? 0.1 : 2;
        }
        const tp_gbt *gbt = case_train(c, &options);
        for (uint32_t t = 0; t < gbt->tree_count; t++) {
            for (uint32_t i = 0; i < gbt->trees[t].leaf_count; i++) {
                ASSERT(gbt->trees[t].leaf_cover[i] >= 20);
            }
        }
    }
}

static void test_gain_and_shrinkage_options(void)
{
    gbt_case *c = noisy_case(2000);
    tp_gbt_options options = options_of(TP_OBJECTIVE_SQUARED, 31);
    options.trees = 5;
    options.min_gain = 5;
    const tp_gbt *gbt = case_train(c, &options);
    for (uint32_t t = 0; t < gbt->tree_count; t++) {
        for (uint32_t i = 0; i + 1 < gbt->trees[t].leaf_count; i++) {
            ASSERT(gbt->trees[t].gain[i] > 0);
        }
        ASSERT(gbt->trees[t].leaf_count < 31);
    }
    options.min_gain = 0;
    options.l1 = 1e9;
    ASSERT_EQ_UINT(case_train(c, &options)->tree_count, 0);
    options.l1 = 0;
    options.max_delta_step = 0.01;
    gbt = case_train(c, &options);
    for (uint32_t i = 0; i < gbt->trees[0].leaf_count; i++) {
        ASSERT(fabs(gbt->trees[0].leaf_value[i]) <= 0.01 * 0.1 * 1.0000001);
    }
}

// A leaf with l2 has the value -G / (H + l2).
static void test_l2_by_hand(void)
{
    gbt_case *c = case_new(60, 1);
    for (uint64_t row = 0; row < 60; row++) {
        c->columns[0][row] = row < 30;
        c->target[row] = row < 30 ? -1 : 1;
    }
    tp_gbt_options options = options_of(TP_OBJECTIVE_SQUARED, 2);
    options.trees = 1;
    options.learning_rate = 1;
    options.l2 = 30;
    const tp_gbt *gbt = case_train(c, &options);
    ASSERT_EQ_F64(case_margin_of(gbt, (double[]){0}), 0.5);
    ASSERT_EQ_F64(case_margin_of(gbt, (double[]){1}), -0.5);
}

// -- rounds --------------------------------------------------------------------------------------

// The gain of each split that is made is the largest among the leaves there are: rebuilt from the
// finished tree, in which a node's number is its turn. A node's child can only come after it.
static void test_splits_come_best_first(void)
{
    gbt_case *c = noisy_case(30000);
    tp_gbt_options options = options_of(TP_OBJECTIVE_SQUARED, 63);
    options.trees = 3;
    const tp_gbt *gbt = case_train(c, &options);
    for (uint32_t t = 0; t < gbt->tree_count; t++) {
        const tp_tree *tree = &gbt->trees[t];
        bool is_open[64] = {true};
        for (uint32_t turn = 0; turn + 1 < tree->leaf_count; turn++) {
            ASSERT(is_open[turn]);
            for (uint32_t other = 0; other + 1 < tree->leaf_count; other++) {
                ASSERT(!is_open[other] || tree->gain[other] <= tree->gain[turn]);
            }
            is_open[turn] = false;
            for (int side = 0; side < 2; side++) {
                const int32_t child = side == 0 ? tree->left[turn] : tree->right[turn];
                if (child >= 0) {
                    is_open[child] = true;
                }
            }
        }
    }
}

// Few leaves are the first splits of many leaves.
static void test_smaller_trees_are_prefixes(void)
{
    gbt_case *c = noisy_case(30000);
    tp_gbt_options options = options_of(TP_OBJECTIVE_SQUARED, 63);
    options.trees = 1;
    const tp_gbt *large = case_train(c, &options);
    for (uint32_t leaves = 2; leaves < 60; leaves += 7) {
        options.leaves = leaves;
        const tp_gbt *small = case_train(c, &options);
        const size_t inner = leaves - 1;
        ASSERT_EQ_BYTES(small->trees[0].threshold, inner * sizeof(double),
                        large->trees[0].threshold, inner * sizeof(double));
        ASSERT_EQ_BYTES(small->trees[0].feature, inner * sizeof(uint32_t), large->trees[0].feature,
                        inner * sizeof(uint32_t));
    }
}

// More features than a span, more histograms than the budget holds: the first splits are those of a
// small tree, for which it is large enough, and threads change nothing.
static void test_many_features(void)
{
    gbt_case *c = case_new(20000, 150);
    for (uint64_t row = 0; row < c->rows; row++) {
        c->target[row] = sin(8 * c->columns[0][row]) + 2 * c->columns[149][row] +
                         c->columns[70][row] * c->columns[63][row] + case_random(300, row);
    }
    tp_gbt_options options = options_of(TP_OBJECTIVE_SQUARED, 130);
    options.trees = 1;
    const tp_gbt *large = case_train(c, &options);
    const tp_buffer one = case_bytes(large);
    const tp_buffer three = case_bytes(case_train_threads(c, &options, 3));
    ASSERT_EQ_BYTES(three.data, three.size, one.data, one.size);
    double gain[150];
    uint64_t splits[150];
    tp_gbt_importance(large, gain, splits);
    ASSERT(gain[0] > 20 * gain[100] && gain[149] > 20 * gain[100]);
    ASSERT_EQ_UINT(large->trees[0].leaf_count, 130);
    options.leaves = 25;
    const tp_gbt *small = case_train(c, &options);
    ASSERT_EQ_BYTES(small->trees[0].threshold, 24 * sizeof(double), large->trees[0].threshold,
                    24 * sizeof(double));
    ASSERT_EQ_BYTES(small->trees[0].gain, 24 * sizeof(double), large->trees[0].gain,
                    24 * sizeof(double));
}

// -- constraints ---------------------------------------------------------------------------------

static void test_monotone_holds_everywhere(void)
{
    gbt_case *c = noisy_case(4000);
    c->about[0].monotone = 1; // against the sine
    c->about[1].monotone = -1;
    const tp_objective objectives[] = {TP_OBJECTIVE_SQUARED, TP_OBJECTIVE_ABSOLUTE};
    for (int i = 0; i < 2; i++) {
        tp_gbt_options options = options_of(objectives[i], 31);
        options.trees = 50;
        const tp_gbt *gbt = case_train(c, &options);
        for (uint64_t probe = 0; probe < 300; probe++) {
            double x[4];
            for (uint64_t f = 0; f < 4; f++) {
                x[f] = case_random(40 + f, probe);
            }
            double rising = -INFINITY;
            double falling = INFINITY;
            for (int step = 0; step <= 50; step++) {
                double moved[4];
                memcpy(moved, x, sizeof(x));
                moved[0] = step / 50.0;
                const double up = case_margin_of(gbt, moved);
                ASSERT(up >= rising - 1e-12);
                rising = up;
                memcpy(moved, x, sizeof(x));
                moved[1] = step / 50.0;
                const double down = case_margin_of(gbt, moved);
                ASSERT(down <= falling + 1e-12);
                falling = down;
            }
        }
    }
}

// A constraint that the data keeps costs little.
static void test_monotone_learns_what_rises(void)
{
    gbt_case *c = case_new(4000, 2);
    for (uint64_t row = 0; row < c->rows; row++) {
        c->target[row] = 3 * c->columns[0][row] - 2 * c->columns[1][row];
    }
    tp_gbt_options options = options_of(TP_OBJECTIVE_SQUARED, 31);
    options.trees = 50;
    c->about[0].monotone = 1;
    c->about[1].monotone = -1;
    tp_gbt_report bound;
    (void)case_train_valid(c, NULL, &options, &bound);
    ASSERT(bound.train_loss < 0.004); // 0.0005 without constraints; LightGBM: 0.0029 with them
}

// Features on each path from the root to a leaf.
static void check_paths(const tp_tree *tree, int32_t node, uint32_t features)
{
    if (node < 0) {
        // {0, 1}, {1, 2}, and 3 by itself.
        ASSERT((features & ~3u) == 0 || (features & ~6u) == 0 || features == 8);
        return;
    }
    const uint32_t with = features | 1u << tree->feature[node];
    check_paths(tree, tree->left[node], with);
    check_paths(tree, tree->right[node], with);
}

static void test_interactions_stay_in_groups(void)
{
    gbt_case *c = noisy_case(4000);
    for (uint64_t row = 0; row < c->rows; row++) {
        c->target[row] += 2 * c->columns[3][row] * c->columns[0][row];
    }
    const uint32_t first[] = {0, 1};
    const uint32_t second[] = {1, 2};
    const uint32_t *groups[] = {first, second};
    const uint32_t sizes[] = {2, 2};
    tp_gbt_options options = options_of(TP_OBJECTIVE_SQUARED, 15);
    options.interactions = groups;
    options.interaction_sizes = sizes;
    options.interaction_count = 2;
    const tp_gbt *gbt = case_train(c, &options);
    double gain[4];
    uint64_t splits[4];
    tp_gbt_importance(gbt, gain, splits);
    ASSERT(splits[0] > 0 && splits[1] > 0 && splits[3] > 0);
    for (uint32_t t = 0; t < gbt->tree_count; t++) {
        check_paths(&gbt->trees[t], 0, 0);
    }
}

// -- missing values and categories ---------------------------------------------------------------

static void test_missing_goes_where_it_belongs(void)
{
    for (int side = 0; side < 2; side++) {
        gbt_case *c = case_new(1000, 2);
        for (uint64_t row = 0; row < c->rows; row++) {
            c->columns[0][row] = floor(c->columns[0][row] * 10) / 10;
            c->target[row] = c->columns[0][row] > 0.45;
            if (row % 4 == 0) {
                c->columns[0][row] = NAN;
                c->target[row] = side;
            }
        }
        tp_gbt_options options = options_of(TP_OBJECTIVE_SQUARED, 2);
        options.trees = 1;
        options.learning_rate = 1;
        const tp_gbt *gbt = case_train(c, &options);
        ASSERT(fabs(case_margin_of(gbt, (double[]){NAN, 0}) - side) < 1e-8);
        ASSERT(fabs(case_margin_of(gbt, (double[]){0.1, 0})) < 1e-8);
        ASSERT(fabs(case_margin_of(gbt, (double[]){0.9, 0}) - 1) < 1e-8);
    }
}

// Only that a value is missing tells anything.
static void test_missing_against_the_rest(void)
{
    gbt_case *c = case_new(1000, 1);
    for (uint64_t row = 0; row < c->rows; row += 2) {
        c->columns[0][row] = NAN;
        c->target[row] = 3;
    }
    tp_gbt_options options = options_of(TP_OBJECTIVE_SQUARED, 2);
    options.trees = 1;
    options.learning_rate = 1;
    const tp_gbt *gbt = case_train(c, &options);
    ASSERT_EQ_F64(case_margin_of(gbt, (double[]){NAN}), 3);
    ASSERT_EQ_F64(case_margin_of(gbt, (double[]){0.01}), 0);
    ASSERT_EQ_F64(case_margin_of(gbt, (double[]){INFINITY}), 0);
}

// A set of categories that no order of the codes separates, in one split.
static void test_category_sets(void)
{
    gbt_case *c = case_new(20000, 1);
    c->about[0] = (tp_learn_feature){.is_category = true, .category_count = 40};
    for (uint64_t row = 0; row < c->rows; row++) {
        const uint64_t code = row % 40;
        c->columns[0][row] = (double)code;
        c->target[row] = code * 17 % 40 < 15 ? 1 : -1;
    }
    tp_gbt_options options = options_of(TP_OBJECTIVE_SQUARED, 2);
    options.trees = 1;
    options.learning_rate = 1;
    options.category_l2 = 0;
    const tp_gbt *gbt = case_train(c, &options);
    for (uint64_t code = 0; code < 40; code++) {
        const double x = (double)code;
        ASSERT(fabs(case_margin_of(gbt, &x) - (code * 17 % 40 < 15 ? 1 : -1)) < 1e-6);
    }
    // What was never seen goes right, with what is not in the set.
    const double unseen = case_margin_of(gbt, (double[]){40});
    ASSERT_EQ_F64(case_margin_of(gbt, (double[]){NAN}), unseen);
    ASSERT_EQ_F64(case_margin_of(gbt, (double[]){-1}), unseen);
}

static void test_few_categories_one_by_one(void)
{
    gbt_case *c = case_new(900, 1);
    c->about[0] = (tp_learn_feature){.is_category = true, .category_count = 3};
    for (uint64_t row = 0; row < c->rows; row++) {
        c->columns[0][row] = (double)(row % 3);
        c->target[row] = row % 3 == 1 ? 6 : 0;
    }
    tp_gbt_options options = options_of(TP_OBJECTIVE_SQUARED, 2);
    options.trees = 1;
    options.learning_rate = 1;
    const tp_gbt *gbt = case_train(c, &options);
    ASSERT_EQ_UINT(gbt->trees[0].category_words[0], 2);
    ASSERT_EQ_F64(case_margin_of(gbt, (double[]){1}), 6);
    ASSERT_EQ_F64(case_margin_of(gbt, (double[]){2}), 0);
}

// -- samples -------------------------------------------------------------------------------------

static void test_samples(void)
{
    gbt_case *c = noisy_case(10000);
    tp_gbt_options options = options_of(TP_OBJECTIVE_SQUARED, 15);
    options.row_fraction = 0.3;
    options.row_every = 5;
    options.column_fraction = 0.5;
    const tp_gbt *gbt = case_train(c, &options);
    bool differ = false;
    for (uint32_t t = 0; t < gbt->tree_count; t++) {
        const tp_tree *tree = &gbt->trees[t];
        uint32_t features = 0;
        for (uint32_t i = 0; i + 1 < tree->leaf_count; i++) {
            features |= 1u << tree->feature[i];
        }
        ASSERT(__builtin_popcount(features) <= 2);
        ASSERT(fabs(tree->inner_cover[0] - 3000) < 200);
        // A sample is kept for five trees.
        const double before = gbt->trees[t - t % 5].inner_cover[0];
        ASSERT_EQ_F64(tree->inner_cover[0], before);
        differ = differ || before != gbt->trees[0].inner_cover[0];
    }
    ASSERT(differ);
}

static void test_importance_names_the_feature(void)
{
    gbt_case *c = case_new(3000, 6);
    for (uint64_t row = 0; row < c->rows; row++) {
        c->target[row] = 5 * (c->columns[4][row] > 0.4) + 0.01 * case_random(31, row);
    }
    const tp_gbt_options options = options_of(TP_OBJECTIVE_SQUARED, 4);
    double gain[6];
    uint64_t splits[6];
    const tp_gbt *gbt = case_train(c, &options);
    tp_gbt_importance(gbt, gain, splits);
    for (int f = 0; f < 6; f++) {
        ASSERT(f == 4 || gain[f] < gain[4] / 100);
    }
    ASSERT_EQ_UINT(splits[0] + splits[1] + splits[2] + splits[3] + splits[4] + splits[5], 20 * 3);
}

TEST_MAIN(TEST(test_limits_are_kept), TEST(test_least_rows_are_exact),
          TEST(test_gain_and_shrinkage_options), TEST(test_l2_by_hand),
          TEST(test_splits_come_best_first), TEST(test_smaller_trees_are_prefixes),
          TEST(test_many_features), TEST(test_monotone_holds_everywhere),
          TEST(test_monotone_learns_what_rises), TEST(test_interactions_stay_in_groups),
          TEST(test_missing_goes_where_it_belongs), TEST(test_missing_against_the_rest),
          TEST(test_category_sets), TEST(test_few_categories_one_by_one), TEST(test_samples),
          TEST(test_importance_names_the_feature))
