// SPDX-License-Identifier: Apache-2.0
//
// Explanations against the definition: the Shapley value as a sum over all subsets of columns, of a
// game written down independently of the code under test. Forests are trained on random rows;
// which columns a feature depends on is made up, singly, in disjoint sets and overlapping.
#include "learn/tp_learn.h"

#include "base/tp_alloc.h"
#include "base/tp_random.h"
#include "learn/explain_priv.h"
#include "learn/linear/tp_linear.h"
#include "learn_support.h"

#include <math.h>

enum { ROWS = 400, FEATURES = 8, MAX_GROUPS = 10, SHOWN = 6, CLASSES = 3 };

// -- data ----------------------------------------------------------------------------------------
typedef struct fixture {
    double values[FEATURES][ROWS];
    double target[ROWS];
    const double *columns[FEATURES];
    tp_learn_feature features[FEATURES];
} fixture;

static fixture data;

static void make_data(uint64_t seed)
{
    for (uint32_t f = 0; f < FEATURES; f++) {
        data.columns[f] = data.values[f];
        data.features[f] = (tp_learn_feature){.name = {"f", 1}};
        for (uint32_t r = 0; r < ROWS; r++) {
            const double value = tp_random_f64(seed, f, r);
            data.values[f][r] = tp_random_below(seed, f + 100, r, 12) == 0 ? (double)NAN : value;
        }
    }
    data.features[FEATURES - 1].is_category = true;
    data.features[FEATURES - 1].category_count = 40;
    for (uint32_t r = 0; r < ROWS; r++) {
        data.values[FEATURES - 1][r] = (double)tp_random_below(seed, 50, r, 40);
    }
    for (uint32_t r = 0; r < ROWS; r++) {
        double sum = tp_random_f64(seed, 60, r);
        for (uint32_t f = 0; f < FEATURES; f++) {
            const double value = data.values[f][r];
            sum += isnan(value) ? 0.3 : value * (f % 2 == 0 ? 1.0 : -1.0) * (value > 0.5 ? 2 : 1);
        }
        data.target[r] = sum;
    }
}

static tp_model *train_forest(tp_task task, uint32_t leaves)
{
    const tp_env env = tp_env_plain();
    tp_gbt_options options;
    const bool is_multiclass = task == TP_TASK_MULTICLASS;
    tp_gbt_options_init(&options, is_multiclass ? TP_OBJECTIVE_MULTICLASS : TP_OBJECTIVE_SQUARED);
    options.class_count = is_multiclass ? CLASSES : 0;
    options.trees = 4;
    options.leaves = leaves;
    options.min_rows_in_leaf = 2;
    options.category_min_rows = 2;
    for (uint32_t r = 0; is_multiclass && r < ROWS; r++) {
        data.target[r] = data.target[r] < 0.0 ? 0.0 : data.target[r] < 1.5 ? 1.0 : 2.0;
    }
    const tp_learn_data rows =
        support_data(data.columns, data.features, FEATURES, data.target, ROWS);
    tp_gbt_report report;
    tp_model_parts parts = {.task = task,
                            .objective = options.objective,
                            .class_count = options.class_count,
                            .kind = TP_LEARNER_GBT};
    tp_model *model = NULL;
    ASSERT_OK(tp_gbt_train(&env, &rows, NULL, &options, &parts.gbt, &report, &test_err));
    ASSERT_OK(tp_model_new(&env, &parts, &model, &test_err));
    return model;
}

// -- the definition ------------------------------------------------------------------------------
static bool is_known(const tp_explain_groups *groups, uint32_t feature, uint32_t subset)
{
    for (uint32_t i = 0; i < groups->feature_group_counts[feature]; i++) {
        if ((subset >> groups->feature_groups[feature][i] & 1) == 0) {
            return false;
        }
    }
    return true;
}

static double cover(const tp_tree *tree, int32_t child)
{
    return child < 0 ? tree->leaf_cover[~child] : tree->inner_cover[child];
}

static bool is_left(const tp_tree *tree, int32_t node, double value)
{
    if (tree->flags[node] & TP_TREE_CATEGORICAL) {
        const uint32_t begin = tree->category_begin[node];
        const uint32_t word = (uint32_t)value / 32;
        return word < tree->category_begin[node + 1] - begin &&
               (tree->category_words[begin + word] >> ((uint32_t)value % 32) & 1);
    }
    return isnan(value) ? tree->flags[node] & TP_TREE_MISSING_LEFT : value <= tree->threshold[node];
}

static double worth(const tp_tree *tree, int32_t node, const tp_explain_groups *groups,
                    uint32_t subset, uint32_t row)
{
    if (node < 0) {
        return tree->leaf_value[~node];
    }
    const int32_t left = tree->left[node];
    const int32_t right = tree->right[node];
    const uint32_t feature = tree->feature[node];
    if (is_known(groups, feature, subset)) {
        return worth(tree, is_left(tree, node, data.values[feature][row]) ? left : right, groups,
                     subset, row);
    }
    const double total = cover(tree, left) + cover(tree, right);
    return cover(tree, left) / total * worth(tree, left, groups, subset, row) +
           cover(tree, right) / total * worth(tree, right, groups, subset, row);
}

static double forest_worth(const tp_gbt *gbt, uint32_t output, const tp_explain_groups *groups,
                           uint32_t subset, uint32_t row)
{
    double sum = gbt->base[output];
    for (uint32_t t = output; t < gbt->tree_count; t += gbt->trees_per_iteration) {
        const tp_tree *tree = &gbt->trees[t];
        sum += worth(tree, tree->leaf_count > 1 ? 0 : ~0, groups, subset, row);
    }
    return sum;
}

static double shapley(const double *worths, uint32_t group, uint32_t group_count)
{
    double factorial[MAX_GROUPS + 1] = {1.0};
    for (uint32_t i = 1; i <= group_count; i++) {
        factorial[i] = factorial[i - 1] * i;
    }
    double sum = 0.0;
    for (uint32_t subset = 0; subset < 1u << group_count; subset++) {
        if (subset >> group & 1) {
            continue;
        }
        const uint32_t size = (uint32_t)__builtin_popcount(subset);
        sum += factorial[size] * factorial[group_count - size - 1] / factorial[group_count] *
               (worths[subset | 1u << group] - worths[subset]);
    }
    return sum;
}

static void check_row(const tp_gbt *gbt, const tp_explain_groups *groups, const double *values,
                      const double *base, uint32_t row)
{
    static double worths[1u << MAX_GROUPS];
    for (uint32_t k = 0; k < gbt->trees_per_iteration; k++) {
        for (uint32_t subset = 0; subset < 1u << groups->group_count; subset++) {
            worths[subset] = forest_worth(gbt, k, groups, subset, row);
        }
        ASSERT(fabs(base[k] - worths[0]) < 1e-12);
        for (uint32_t g = 0; g < groups->group_count; g++) {
            const double got = values[((size_t)k * groups->group_count + g) * SHOWN + row];
            const double want = shapley(worths, g, groups->group_count);
            if (!(fabs(got - want) < 1e-12)) {
                test_fail(__FILE__, __LINE__, "row %u, output %u, column %u: %.17g, want %.17g",
                          row, k, g, got, want);
            }
        }
    }
}

static void check_forest(tp_task task, const tp_explain_groups *groups, uint64_t seed)
{
    make_data(seed);
    tp_model *model = train_forest(task, 24);
    const tp_gbt *gbt = tp_model_view(model)->gbt;
    static double values[CLASSES * MAX_GROUPS * SHOWN];
    double base[CLASSES];
    const tp_env env = tp_env_plain();
    ASSERT_OK(tp_model_explain(&env, model, groups, data.columns, SHOWN,
                               &(tp_shapley){values, base}, &test_err));
    for (uint32_t row = 0; row < SHOWN; row++) {
        check_row(gbt, groups, values, base, row);
    }
    tp_model_free(model);
}

// -- groups --------------------------------------------------------------------------------------
static const uint32_t singles[FEATURES][1] = {{0}, {1}, {2}, {3}, {4}, {5}, {6}, {7}};

static void test_single_columns(void)
{
    const uint32_t *lists[FEATURES];
    uint32_t counts[FEATURES];
    for (uint32_t f = 0; f < FEATURES; f++) {
        lists[f] = singles[f];
        counts[f] = 1;
    }
    const tp_explain_groups groups = {FEATURES, lists, counts};
    for (uint64_t seed = 1; seed <= 4; seed++) {
        check_forest(TP_TASK_REGRESSION, &groups, seed);
    }
    check_forest(TP_TASK_MULTICLASS, &groups, 5);
}

// Several features of one column, and one of three columns that no other has.
static void test_disjoint_sets(void)
{
    static const uint32_t triple[] = {4, 2, 3};
    const uint32_t *lists[FEATURES] = {singles[0], singles[0], singles[1], singles[1],
                                       triple,     triple,     singles[5], singles[6]};
    const uint32_t counts[FEATURES] = {1, 1, 1, 1, 3, 3, 1, 1};
    const tp_explain_groups groups = {7, lists, counts};
    for (uint64_t seed = 11; seed <= 14; seed++) {
        check_forest(TP_TASK_REGRESSION, &groups, seed);
    }
}

// Sets that overlap in chains, contain each other, and cover all columns.
static void test_overlapping_sets(void)
{
    static const uint32_t a[] = {0, 1};
    static const uint32_t b[] = {1, 2};
    static const uint32_t c[] = {2, 3, 4};
    static const uint32_t d[] = {0, 1, 2, 3, 4, 5};
    static const uint32_t e[] = {6, 5};
    const uint32_t *lists[FEATURES] = {a, b, c, d, e, singles[0], singles[6], singles[7]};
    const uint32_t counts[FEATURES] = {2, 2, 3, 6, 2, 1, 1, 1};
    const tp_explain_groups groups = {8, lists, counts};
    for (uint64_t seed = 21; seed <= 26; seed++) {
        check_forest(TP_TASK_REGRESSION, &groups, seed);
    }
    check_forest(TP_TASK_MULTICLASS, &groups, 27);
}

static void test_random_sets(void)
{
    for (uint64_t seed = 31; seed <= 42; seed++) {
        uint32_t members[FEATURES][MAX_GROUPS];
        const uint32_t *lists[FEATURES];
        uint32_t counts[FEATURES];
        for (uint32_t f = 0; f < FEATURES; f++) {
            lists[f] = members[f];
            counts[f] = 0;
            const uint32_t wanted = 1 + (uint32_t)tp_random_below(seed, 7, f, 4);
            for (uint32_t i = 0; i < wanted; i++) { // a column may come twice
                members[f][counts[f]++] =
                    (uint32_t)tp_random_below(seed, 8, (uint64_t)f * 10 + i, MAX_GROUPS);
            }
        }
        const tp_explain_groups groups = {MAX_GROUPS, lists, counts};
        check_forest(TP_TASK_REGRESSION, &groups, seed);
    }
}

// -- properties ----------------------------------------------------------------------------------
static void test_adds_up_for_any_threads(void)
{
    make_data(3);
    tp_model *model = train_forest(TP_TASK_REGRESSION, 63);
    const uint32_t *lists[FEATURES];
    uint32_t counts[FEATURES];
    for (uint32_t f = 0; f < FEATURES; f++) {
        lists[f] = singles[f];
        counts[f] = 1;
    }
    const tp_explain_groups groups = {FEATURES, lists, counts};
    static double first[FEATURES * ROWS];
    static double values[FEATURES * ROWS];
    double base;
    for (uint32_t threads = 1; threads <= 7; threads += 3) {
        tp_env env = support_env(threads);
        ASSERT_OK(tp_model_explain(&env, model, &groups, data.columns, ROWS,
                                   &(tp_shapley){values, &base}, &test_err));
        if (threads == 1) {
            memcpy(first, values, sizeof(first));
        }
        ASSERT_EQ_BYTES(values, sizeof(values), first, sizeof(first));
        tp_pool_free(env.pool);
    }
    const tp_env env = tp_env_plain();
    static double margin[ROWS];
    tp_predictor *predictor = NULL;
    ASSERT_OK(tp_predictor_new(&env, model, ROWS, &predictor, &test_err));
    tp_predict(predictor, data.columns, ROWS, &(tp_prediction){.margin = margin});
    for (uint32_t r = 0; r < ROWS; r++) {
        double sum = base;
        for (uint32_t g = 0; g < FEATURES; g++) {
            sum += values[g * ROWS + r];
        }
        ASSERT(fabs(sum - margin[r]) < 1e-12);
    }
    tp_predictor_free(predictor);
    tp_model_free(model);
}

static void test_linear_terms_are_shared_out(void)
{
    make_data(4);
    const tp_env env = tp_env_plain();
    const tp_learn_data rows =
        support_data(data.columns, data.features, FEATURES, data.target, ROWS);
    tp_linear_options options;
    tp_linear_options_init(&options, TP_OBJECTIVE_SQUARED);
    tp_model_parts parts = {
        .task = TP_TASK_REGRESSION, .objective = TP_OBJECTIVE_SQUARED, .kind = TP_LEARNER_LINEAR};
    ASSERT_OK(tp_linear_train(&env, &rows, &options, &parts.linear, &test_err));
    tp_model *model = NULL;
    ASSERT_OK(tp_model_new(&env, &parts, &model, &test_err));
    static const uint32_t pair[] = {0, 1};
    const uint32_t *lists[FEATURES] = {pair,       singles[1], singles[2], singles[3],
                                       singles[4], singles[5], singles[6], singles[7]};
    const uint32_t counts[FEATURES] = {2, 1, 1, 1, 1, 1, 1, 1};
    const tp_explain_groups groups = {FEATURES, lists, counts};
    static double values[FEATURES * ROWS];
    static double margin[ROWS];
    static double term[2][ROWS];
    double base;
    ASSERT_OK(tp_model_explain(&env, model, &groups, data.columns, ROWS,
                               &(tp_shapley){values, &base}, &test_err));
    tp_linear_margins(tp_model_view(model)->linear, data.columns, ROWS, margin);
    for (uint32_t f = 0; f < 2; f++) {
        const tp_linear_values of = {f, ROWS, data.columns[f]};
        tp_linear_contributions(tp_model_view(model)->linear, 0, &of, term[f]);
    }
    for (uint32_t r = 0; r < ROWS; r++) {
        double sum = base;
        for (uint32_t g = 0; g < FEATURES; g++) {
            sum += values[g * ROWS + r];
        }
        ASSERT(fabs(sum - margin[r]) < 1e-12);
        ASSERT_EQ_F64(values[r], term[0][r] / 2.0);
        ASSERT_EQ_F64(values[ROWS + r], term[0][r] / 2.0 + term[1][r]);
    }
    tp_model_free(model);
}

static void test_limits_say_so(void)
{
    make_data(5);
    tp_model *model = train_forest(TP_TASK_REGRESSION, 63);
    uint32_t members[FEATURES][20];
    const uint32_t *lists[FEATURES];
    uint32_t counts[FEATURES];
    for (uint32_t f = 0; f < FEATURES; f++) {
        lists[f] = members[f];
        counts[f] = 20;
        for (uint32_t i = 0; i < 20; i++) {
            members[f][i] = f + i; // any two overlap, all differ
        }
    }
    const tp_explain_groups groups = {FEATURES + 20, lists, counts};
    static double values[(FEATURES + 20) * SHOWN];
    double base = 42.0;
    const tp_env env = tp_env_plain();
    ASSERT_FAILS(tp_model_explain(&env, model, &groups, data.columns, SHOWN,
                                  &(tp_shapley){values, &base}, &test_err),
                 TAPEOUT_E_LIMIT, "shared by several features");
    ASSERT_EQ_F64(base, 42.0);
    for (uint32_t f = 0; f < FEATURES; f++) {
        counts[f] = 0;
    }
    ASSERT_FAILS(tp_model_explain(&env, model, &groups, data.columns, SHOWN,
                                  &(tp_shapley){values, &base}, &test_err),
                 TAPEOUT_E_INVALID, "no column");
    tp_model_free(model);
}

// x^d integrates to 1 / (d + 1) for every degree up to 2n - 1.
static void test_rules_are_exact(void)
{
    for (uint32_t n = 1; n <= 40; n++) {
        tp_arena arena;
        tp_arena_init(&arena, tp_allocator_default(), 1 << 20);
        const explain_rule *rule = tp_explain_rule_new(&arena, n, 2);
        ASSERT(rule != NULL);
        for (uint32_t degree = 0; degree < 2 * n; degree++) {
            double sum = 0.0;
            for (uint32_t q = 0; q < rule->point_count; q++) {
                double power = 1.0;
                for (uint32_t i = 0; i < degree; i++) {
                    power *= rule->in[q];
                }
                sum += rule->weight[q] * power;
            }
            ASSERT(fabs(sum * (degree + 1) - 1.0) < 1e-13 * (degree + 1));
        }
        tp_arena_deinit(&arena);
    }
}

static tapeout_status scenario(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    const tp_model *model = user;
    const uint32_t *lists[FEATURES];
    uint32_t counts[FEATURES];
    for (uint32_t f = 0; f < FEATURES; f++) {
        lists[f] = singles[f];
        counts[f] = 1;
    }
    const tp_explain_groups groups = {FEATURES, lists, counts};
    double values[FEATURES * SHOWN];
    double base;
    tp_env env = tp_env_plain();
    env.alloc = alloc;
    return tp_model_explain(&env, model, &groups, data.columns, SHOWN, &(tp_shapley){values, &base},
                            err);
}

static void test_out_of_memory_leaves_nothing(void)
{
    make_data(6);
    tp_model *model = train_forest(TP_TASK_REGRESSION, 8);
    test_out_of_memory(scenario, model);
    tp_model_free(model);
}

TEST_MAIN(TEST(test_single_columns), TEST(test_disjoint_sets), TEST(test_overlapping_sets),
          TEST(test_random_sets), TEST(test_adds_up_for_any_threads),
          TEST(test_linear_terms_are_shared_out), TEST(test_limits_say_so),
          TEST(test_rules_are_exact), TEST(test_out_of_memory_leaves_nothing))
