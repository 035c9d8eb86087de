// SPDX-License-Identifier: Apache-2.0
//
// LightGBM's text: a model whose answers are worked out by hand, what each missing type does, and
// every way of damaging head, blocks and trees, each refused by name.
#include "import_cases.h"
#include "lightgbm_cases.h"

#include <math.h>

// What the cases put in place of the second tree and the end.
static const char *second_tree = LIGHTGBM_TREE1;
static const char *tail = LIGHTGBM_TAIL;

// The model with `from` replaced by `to`; sizes are those of the blocks, plus `error` of the first.
static tp_str model_text(const char *from, const char *to, int error)
{
    static char whole[8192];
    char tree0[2048];
    char tree1[2048];
    char head[2048];
    char end[2048];
    const struct {
        const char *text;
        char *into;
    } parts[] = {{LIGHTGBM_HEAD, head}, {LIGHTGBM_TREE0, tree0}, {second_tree, tree1}, {tail, end}};
    for (size_t i = 0; i < 4; i++) {
        const bool is_here = from != NULL && strstr(parts[i].text, from) != NULL;
        const tp_str edited =
            is_here ? import_edit(parts[i].text, from, to) : tp_str_from(parts[i].text);
        (void)snprintf(parts[i].into, 2048, "%.*s", (int)edited.size, edited.data);
        from = is_here ? NULL : from;
    }
    const int size = snprintf(whole, sizeof(whole), "%stree_sizes=%d %zu\n\n%s%s%s", head,
                              (int)strlen(tree0) + error, strlen(tree1), tree0, tree1, end);
    return (tp_str){whole, (size_t)size};
}

static double predict(const tp_import *import, double a, double b, double c)
{
    return import_predict(import, (double[]){a, b, c}, NULL);
}

static void test_answers_as_worked_out(void)
{
    tp_import *import;
    ASSERT_OK(import_parse(model_text(NULL, NULL, 0), &import));
    ASSERT_EQ_F64(predict(import, 1.5, 1, 0), 200.25);
    ASSERT_EQ_F64(predict(import, 1.5, -2, 0), 100.25);
    ASSERT_EQ_F64(predict(import, nextafter(1.5, 2), 1, 1), 200 - 0.75);
    ASSERT_EQ_F64(predict(import, 2, 1, 3), 200 - 0.75);
    ASSERT_EQ_F64(predict(import, 2, 1, 34), 200 - 0.75);
    ASSERT_EQ_F64(predict(import, 2, 1, 2), 203.5);
    ASSERT_EQ_F64(predict(import, 2, 1, 64), 203.5);
    ASSERT_EQ_F64(predict(import, 2, 1, -1), 203.5);
    ASSERT_EQ_F64(predict(import, 2, 1, (double)NAN), 203.5);
    ASSERT_EQ_F64(predict(import, (double)NAN, 1, 1), 200.25); // missing: default left
    ASSERT_EQ_F64(predict(import, (double)INFINITY, 1, 1), 200 - 0.75);
    ASSERT_EQ_F64(predict(import, 0, (double)NAN, 1), 100.25); // the feature makes zeros missing
    ASSERT(tp_str_equal(tp_feature_text(tp_import_program(import)),
                        TP_STR("a = lightgbm(a)\nb = lightgbm_zero(b)\nc = lightgbm_code(c)\n")));
    const tp_import_facts facts = tp_import_facts_of(import);
    ASSERT(tp_str_equal(facts.version, TP_STR("v4")));
    ASSERT_EQ_UINT(facts.trees, 2);
    tp_import_free(import);
}

static void test_missing_type_none_is_zero(void)
{
    tp_import *import;
    ASSERT_OK(import_parse(model_text("decision_type=10", "decision_type=0", 0), &import));
    ASSERT_EQ_F64(predict(import, (double)NAN, 1, 1), 200.25); // 0 <= 1.5
    tp_import_free(import);
    ASSERT_OK(import_parse(model_text("decision_type=6", "decision_type=2", 0), &import));
    ASSERT_EQ_F64(predict(import, 0, (double)NAN, 1), 200.25); // 0 > -2, whatever the default
    tp_import_free(import);
}

static void test_objectives(void)
{
    tp_import *import;
    double p = 0;
    ASSERT_OK(import_parse(model_text("=regression", "=binary sigmoid:0.01", 0), &import));
    ASSERT_EQ_F64(import_predict(import, (double[]){0, -2, 0}, &p), 1);
    ASSERT(fabs(p - 1 / (1 + exp(-1.0025))) < 1e-15);
    tp_import_free(import);
    ASSERT_OK(import_parse(model_text("=regression", "=regression sqrt", 0), &import));
    ASSERT_EQ_F64(predict(import, 0, -2, 0), 100.25 * 100.25);
    tp_import_free(import);
    ASSERT_OK(import_parse(model_text("objective=regression\n", "average_output\n", 0), &import));
    ASSERT_EQ_F64(predict(import, 0, -2, 0), 100.25 / 2);
    tp_import_free(import);
}

static tp_str with_flaw(const char *from, const char *to)
{
    return model_text(from, to, 0);
}

static void test_what_is_wrong_is_refused_by_name(void)
{
    static const import_flaw flaws[] = {
        {"left_child=-1 -2", "left_child=5 -2", TAPEOUT_E_CORRUPT,
         "tree 0, node 0: a child is out of range"},
        {"left_child=-1 -2", "left_child=-9 -2", TAPEOUT_E_CORRUPT, "out of range"},
        {"left_child=-1 -2", "left_child=0 -2", TAPEOUT_E_CORRUPT, "two parents"},
        {"left_child=-1 -2", "left_child=-3 -2", TAPEOUT_E_CORRUPT, "two parents"},
        {"left_child=-1 -2", "left_child=-1 -2 -3", TAPEOUT_E_CORRUPT, "list of 2"},
        {"left_child=-1 -2", "left_child=-1", TAPEOUT_E_CORRUPT, "\"left_child\""},
        {"right_child=1 -3", "right_child=x -3", TAPEOUT_E_CORRUPT, "\"right_child\""},
        {"right_child=1 -3", "right_child=-2147483649 -3", TAPEOUT_E_CORRUPT, "\"right_child\""},
        {"split_feature=0 2", "split_feature=0 3", TAPEOUT_E_CORRUPT, "node 1: its feature"},
        {"split_feature=0 2", "split_feature=-1 2", TAPEOUT_E_CORRUPT, "node 0: its feature"},
        {"threshold=1.5 0", "threshold=nan 0", TAPEOUT_E_CORRUPT, "its threshold"},
        {"threshold=1.5 0", "threshold=1.5 1", TAPEOUT_E_CORRUPT, "set of categories"},
        {"threshold=1.5 0", "threshold=1.5 nan", TAPEOUT_E_CORRUPT, "set of categories"},
        {"threshold=1.5 0", "threshold=1.5", TAPEOUT_E_CORRUPT, "\"threshold\""},
        {"leaf_value=0.25", "leaf_value=inf", TAPEOUT_E_CORRUPT, "leaf's value"},
        {"leaf_value=0.25", "leaf_value=", TAPEOUT_E_CORRUPT, "\"leaf_value\""},
        {"leaf_count=4", "leaf_count=-4", TAPEOUT_E_CORRUPT, "cover"},
        {"decision_type=10 1", "decision_type=12 1", TAPEOUT_E_CORRUPT, "\"decision_type\""},
        {"decision_type=10 1", "decision_type=10 -1", TAPEOUT_E_CORRUPT, "\"decision_type\""},
        {"decision_type=10 1", "decision_type=10 10", TAPEOUT_E_CORRUPT, "belongs to no node"},
        {"cat_boundaries=0 2", "cat_boundaries=0 3", TAPEOUT_E_CORRUPT, "\"cat_threshold\""},
        {"cat_boundaries=0 2", "cat_boundaries=1 2", TAPEOUT_E_CORRUPT, "ascend"},
        {"cat_boundaries=0 2", "cat_boundaries=0 4294967295", TAPEOUT_E_CORRUPT, "ascend"},
        {"cat_threshold=10 4", "cat_threshold=10 4294967296", TAPEOUT_E_CORRUPT, "cat_threshold"},
        {"num_leaves=3", "num_leaves=0", TAPEOUT_E_CORRUPT, "numbers of its leaves"},
        {"num_leaves=3", "num_leaves=99999999", TAPEOUT_E_LIMIT, "num_leaves"},
        {"num_leaves=3\n", "", TAPEOUT_E_CORRUPT, "num_leaves"},
        {"num_cat=1", "num_cat=3", TAPEOUT_E_CORRUPT, "sets of categories do not fit"},
        {"is_linear=0", "is_linear=2", TAPEOUT_E_LIMIT, "is_linear"},
        {"is_linear=0", "is_linear=1", TAPEOUT_E_CORRUPT, "num_features"},
        {"Tree=1", "Tree=2", TAPEOUT_E_CORRUPT, "\"Tree=1\" does not stand"},
        {"max_feature_idx=2", "max_feature_idx=1", TAPEOUT_E_CORRUPT, "more names"},
        {"max_feature_idx=2", "max_feature_idx=3", TAPEOUT_E_CORRUPT, "fewer names"},
        {"max_feature_idx=2", "max_feature_idx=99999999", TAPEOUT_E_LIMIT, "columns"},
        {"num_class=1", "num_class=0x1", TAPEOUT_E_CORRUPT, "num_class"},
        {"num_tree_per_iteration=1", "num_tree_per_iteration=2", TAPEOUT_E_UNSUPPORTED,
         "do not go"},
        {"num_tree_per_iteration=1", "num_tree_per_iteration=0", TAPEOUT_E_CORRUPT, "iteration"},
        {"=regression", "=mine", TAPEOUT_E_UNSUPPORTED, "\"mine\""},
        {"=regression", "=binary sigmoid:x", TAPEOUT_E_CORRUPT, "sigmoid"},
        {"split_feature=1", "split_feature=0", TAPEOUT_E_UNSUPPORTED, "in another way"},
        {"split_feature=1", "split_feature=2", TAPEOUT_E_UNSUPPORTED, "in another way"},
    };
    import_refuse(flaws, sizeof(flaws) / sizeof(flaws[0]), with_flaw);
}

static void test_sizes_must_be_right(void)
{
    tp_import *import;
    ASSERT_FAILS(import_parse(model_text(NULL, NULL, 1), &import), TAPEOUT_E_CORRUPT, "Tree=1");
    ASSERT_FAILS(import_parse(model_text(NULL, NULL, -1), &import), TAPEOUT_E_CORRUPT, "Tree=1");
    ASSERT_FAILS(import_parse(model_text(NULL, NULL, 100000), &import), TAPEOUT_E_CORRUPT,
                 "exceeds the file");
}

static void test_every_prefix_is_refused(void)
{
    const tp_env env = tp_env_plain();
    const tp_str whole = model_text(NULL, NULL, 0);
    const size_t end = (size_t)(strstr(whole.data, "end of trees") - whole.data);
    for (size_t size = 5; size < end + strlen("end of trees"); size++) {
        tp_import *import = NULL;
        ASSERT(tp_import_parse(&env, (tp_str){whole.data, size}, &import, &test_err) != TAPEOUT_OK);
    }
}

// -- linear functions ----------------------------------------------------------------------------

static void test_leaves_with_linear_functions(void)
{
    tp_import *import;
    second_tree = LIGHTGBM_LINEAR;
    ASSERT_OK(import_parse(model_text(NULL, NULL, 0), &import));
    const double sum = (0.1 + 0.3 * -2.5) + 0.6 * 1.5;
    ASSERT_EQ_F64(predict(import, 1.5, -2.5, 0), 0.25 + sum);
    ASSERT(sum != 0.1 + (0.3 * -2.5 + 0.6 * 1.5)); // the order of the sums shows
    ASSERT_EQ_F64(predict(import, 1.5, 1, 0), 7.25);
    ASSERT_EQ_F64(predict(import, (double)NAN, -3, 0), 100.25); // its value where one is missing
    ASSERT_EQ_F64(predict(import, 1.5, (double)NAN, 0), 100.25);
    ASSERT_EQ_F64(predict(import, (double)NAN, 1, 1), 7.25); // no term of that leaf
    tp_import_free(import);
}

static void test_linear_functions_that_are_wrong(void)
{
    static const import_flaw flaws[] = {
        {"leaf_const=0.1 7", "leaf_const=0.1", TAPEOUT_E_CORRUPT, "\"leaf_const\""},
        {"leaf_const=0.1 7", "leaf_const=0.1 inf", TAPEOUT_E_CORRUPT, "linear function"},
        {"num_features=2 0", "num_features=3 0", TAPEOUT_E_CORRUPT, "\"leaf_coeff\""},
        {"num_features=2 0", "num_features=1 0", TAPEOUT_E_CORRUPT, "\"leaf_coeff\""},
        {"num_features=2 0", "num_features=-1 0", TAPEOUT_E_CORRUPT, "\"num_features\""},
        {"num_features=2 0", "num_features=2", TAPEOUT_E_CORRUPT, "\"num_features\""},
        {"num_features=2 0", "num_features=2 4294967295", TAPEOUT_E_CORRUPT, "\"num_features\""},
        {"leaf_features=1 0", "leaf_features=1 3", TAPEOUT_E_CORRUPT, "leaf's feature"},
        {"leaf_features=1 0", "leaf_features=1 2", TAPEOUT_E_UNSUPPORTED, "multiplies column 2"},
        {"leaf_features=1 0", "leaf_features=1", TAPEOUT_E_CORRUPT, "\"leaf_features\""},
        {"leaf_features=1 0", "leaf_features=1 0 0", TAPEOUT_E_CORRUPT, "\"leaf_features\""},
        {"leaf_coeff=0.3 0.6", "leaf_coeff=0.3 nan", TAPEOUT_E_CORRUPT, "a term has no number"},
        {"decision_type=10\nleft_child=-1\n", "decision_type=6\nleft_child=-1\n",
         TAPEOUT_E_UNSUPPORTED, "multiplies column 1"},
    };
    second_tree = LIGHTGBM_LINEAR;
    import_refuse(flaws, sizeof(flaws) / sizeof(flaws[0]), with_flaw);
}

// -- pandas' categories --------------------------------------------------------------------------

static void test_categories_keep_their_codes(void)
{
    static const char *const texts[] = {"red", "blue", "", "a", "b"};
    tp_import *import;
    tail = LIGHTGBM_PANDAS;
    ASSERT_OK(import_parse(model_text(NULL, NULL, 0), &import));
    const tp_feature_program *program = tp_import_program(import);
    const tp_feature_output *output = tp_feature_output_at(program, 2);
    ASSERT(tp_str_equal(tp_feature_text(program),
                        TP_STR("a = lightgbm(a)\nb = lightgbm_zero(b)\nc = category(c)\n")));
    ASSERT(output->is_category);
    ASSERT_EQ_UINT(output->category_count, 35);
    for (uint32_t i = 0; i < 5; i++) {
        ASSERT(tp_str_equal(tp_dict_get(output->categories, i), tp_str_from(texts[i])));
    }
    ASSERT(tp_str_equal(tp_dict_get(output->categories, 34), TP_STR("5")));
    ASSERT_EQ_UINT(tp_feature_schema(program)->fields[2].type, TAPEOUT_TYPE_STRING);
    ASSERT_EQ_F64(predict(import, 2, 1, 34), 200 - 0.75);
    ASSERT_EQ_F64(predict(import, 2, 1, (double)NAN), 203.5); // what no list has
    tp_import_free(import);
}

// Replaces the list of categories.
static tapeout_status parse_with_list(const char *list, tp_import **ret_import)
{
    static char text[2048];
    (void)snprintf(text, sizeof(text), "end of trees\n[categorical_feature: 2]\n%s", list);
    tail = text;
    return import_parse(model_text("cat_threshold=10 4", "cat_threshold=10 0", 0), ret_import);
}

static void test_categories_of_other_types(void)
{
    tp_import *import;
    ASSERT_OK(parse_with_list("pandas_categorical:[[9, 10.5, -3, 1000]]", &import));
    const tp_feature_output *output = tp_feature_output_at(tp_import_program(import), 2);
    ASSERT_EQ_UINT(output->category_count, 4);
    ASSERT(tp_str_equal(tp_dict_get(output->categories, 0), TP_STR("9")));
    ASSERT(tp_str_equal(tp_dict_get(output->categories, 3), TP_STR("1000")));
    ASSERT_EQ_UINT(tp_feature_schema(tp_import_program(import))->fields[2].type,
                   TAPEOUT_TYPE_FLOAT64);
    tp_import_free(import);
    ASSERT_FAILS(parse_with_list("pandas_categorical:[[false, true]]", &import), TAPEOUT_E_CORRUPT,
                 "tree 0, node 1: its set holds a category");
    ASSERT_OK(parse_with_list("pandas_categorical:null\n", &import));
    tp_import_free(import);
    ASSERT_OK(parse_with_list("pandas_categorical:[]\n", &import));
    tp_import_free(import);
}

static void test_categories_that_are_wrong(void)
{
    static const import_flaw flaws[] = {
        {"[categorical_feature: 2]", "[categorical_feature: 1,2]", TAPEOUT_E_UNSUPPORTED,
         "asks one of its columns as a number"},
        {"[categorical_feature: 2]", "[categorical_feature: 2,2]", TAPEOUT_E_UNSUPPORTED,
         "more columns"},
        {"[categorical_feature: 2]", "[categorical_feature: ]", TAPEOUT_E_UNSUPPORTED,
         "can't be told"},
        {"[categorical_feature: 2]", "[categorical_feature: 3]", TAPEOUT_E_UNSUPPORTED,
         "can't be told"},
        {"[categorical_feature: 2]", "", TAPEOUT_E_UNSUPPORTED, "can't be told"},
        {"\"5\"]]", "\"5\"],[\"x\"]]", TAPEOUT_E_UNSUPPORTED, "can't be told"},
        {"\"5\"]]", "\"4\"]]", TAPEOUT_E_UNSUPPORTED, "not told apart"},
        {"\"5\"]]", "5]]", TAPEOUT_E_UNSUPPORTED, "a list of categories"},
        {"\"5\"]]", "null]]", TAPEOUT_E_UNSUPPORTED, "a list of categories"},
        {"\"5\"]]", "\"5\"]", TAPEOUT_E_CORRUPT, "pandas_categorical"},
        {", \"5\"]]", "]]", TAPEOUT_E_CORRUPT, "its set holds a category"},
        {"pandas_categorical:", "pandas_categorical:1 ", TAPEOUT_E_CORRUPT, "pandas_categorical"},
    };
    tail = LIGHTGBM_PANDAS;
    import_refuse(flaws, sizeof(flaws) / sizeof(flaws[0]), with_flaw);
    tp_import *import;
    ASSERT_FAILS(parse_with_list("pandas_categorical:7", &import), TAPEOUT_E_UNSUPPORTED,
                 "it is no list");
    ASSERT_FAILS(parse_with_list("pandas_categorical:[[]]", &import), TAPEOUT_E_UNSUPPORTED,
                 "a list of categories is empty");
}

TEST_MAIN(TEST(test_answers_as_worked_out), TEST(test_missing_type_none_is_zero),
          TEST(test_objectives), TEST(test_what_is_wrong_is_refused_by_name),
          TEST(test_sizes_must_be_right), TEST(test_every_prefix_is_refused),
          TEST(test_leaves_with_linear_functions), TEST(test_linear_functions_that_are_wrong),
          TEST(test_categories_keep_their_codes), TEST(test_categories_of_other_types),
          TEST(test_categories_that_are_wrong))
