// SPDX-License-Identifier: Apache-2.0
//
// XGBoost's JSON: a model whose answers are worked out by hand, what a threshold means to the bit,
// and every way of damaging a tree (case M6), each refused by name.
#include "import_cases.h"
#include "xgboost_cases.h"

#include <math.h>

static double predict(const tp_import *import, double x, double y, double c)
{
    return import_predict(import, (double[]){x, y, c}, NULL);
}

static void test_answers_as_worked_out(void)
{
    tp_import *import;
    ASSERT_OK(import_parse(tp_str_from(xgboost_model), &import));
    const double start = 1.5 + 0.125;
    ASSERT_EQ_F64(predict(import, 0, 0, 0), start + 0.25);
    ASSERT_EQ_F64(predict(import, (double)nextafterf(0.5f, 0), 0, 0), start + 0.25);
    ASSERT_EQ_F64(predict(import, 0.5, 0, 0), start - 0.75);
    ASSERT_EQ_F64(predict(import, 0.5, 0, 1), start + 3.5); // in the set: right
    ASSERT_EQ_F64(predict(import, 0.5, 0, 34.9), start + 3.5);
    ASSERT_EQ_F64(predict(import, 0.5, 0, 33), start - 0.75);
    ASSERT_EQ_F64(predict(import, 0.5, 0, 64), start - 0.75); // beyond the set
    ASSERT_EQ_F64(predict(import, 0.5, 0, -0.5), start - 0.75);
    ASSERT_EQ_F64(predict(import, (double)NAN, 0, 0), start + 0.25); // default left
    ASSERT_EQ_F64(predict(import, 0.5, 0, (double)NAN), start + 3.5);
    ASSERT_EQ_F64(predict(import, (double)-INFINITY, 0, 0), start + 0.25);
    ASSERT_EQ_F64(predict(import, (double)INFINITY, 0, 0), start - 0.75);
    const tp_import_facts facts = tp_import_facts_of(import);
    ASSERT_EQ_UINT(facts.columns, 3);
    ASSERT_EQ_UINT(facts.trees, 2);
    ASSERT(tp_str_equal(facts.version, TP_STR("3.2.0")));
    ASSERT(tp_str_equal(tp_import_target(import)->name, TP_STR("target")));
    ASSERT(tp_str_equal(tp_feature_text(tp_import_program(import)),
                        TP_STR("x = float32(x)\ny = float32(y)\nc = float32(c)\n")));
    tp_import_free(import);
}

static void test_a_missing_category_may_go_left(void)
{
    tp_import *import;
    ASSERT_OK(import_parse(
        import_edit(xgboost_model, "\"default_left\":[1,0,0", "\"default_left\":[0,0,1"), &import));
    ASSERT_EQ_F64(predict(import, 0.5, 0, (double)NAN), 1.625 - 0.75);
    ASSERT_EQ_F64(predict(import, (double)NAN, 0, 1), 1.625 + 3.5);
    tp_import_free(import);
}

static void test_sums_are_float32(void)
{
    tp_import *import;
    tp_str text = import_edit(xgboost_model, "[1.5E0]", "1E8");
    ASSERT_OK(import_parse(text, &import));
    ASSERT_EQ_F64(predict(import, 0.5, 0, 1), 1e8); // 3.5 and 0.125 are lost, one by one
    tp_import_free(import);
}

static void test_dart_weights_multiply_leaves(void)
{
    tp_import *import;
    tp_str text = import_edit(xgboost_model, "\"name\":\"gbtree\"",
                              "\"name\":\"dart\",\"weight_drop\":[0.5,2]");
    ASSERT_OK(import_parse(text, &import));
    ASSERT_EQ_F64(predict(import, 0, 0, 0), 1.5 + 0.125 + 0.25);
    ASSERT_EQ_F64(predict(import, 0.5, 0, 1), 1.5 + 1.75 + 0.25);
    tp_import_free(import);
}

static void test_a_line_adds_from_the_bias_on(void)
{
    tp_import *import;
    double p[2];
    ASSERT_OK(import_parse(tp_str_from(xgboost_line), &import));
    // 1.125 + 2 + 1 - 4 and 0.875 - 1 + 0.5 + 8: e to the difference apart
    ASSERT_EQ_F64(import_predict(import, (double[]){1, 2, 1}, p), 1);
    ASSERT(fabs(p[1] / p[0] - exp(8.375 - 0.125)) < 1e-3);
    // What is missing is left out: 1.125 + 2 and 0.875 - 1
    ASSERT_EQ_F64(import_predict(import, (double[]){1, (double)NAN, (double)NAN}, p), 0);
    ASSERT(fabs(p[0] / p[1] - exp(3.125 + 0.125)) < 1e-4);
    tp_import_free(import);
}

static tp_str with_flaw_of_line(const char *from, const char *to)
{
    return import_edit(xgboost_line, from, to);
}

static void test_what_is_wrong_in_a_line_is_refused_by_name(void)
{
    static const import_flaw flaws[] = {
        {"[2,-1,", "[-1,", TAPEOUT_E_CORRUPT, "no list of 8 numbers"},
        {"[2,-1,", "[null,-1,", TAPEOUT_E_CORRUPT, "no list of 8 numbers"},
        {"\"weights\":", "\"weight\":", TAPEOUT_E_CORRUPT, "no list of 8 numbers"},
        {"[2,-1,", "[2,-1e39,", TAPEOUT_E_CORRUPT, "feature 0 for output 1"},
        {"0.125,-0.125]", "1e39,-0.125]", TAPEOUT_E_CORRUPT, "bias of output 0"},
    };
    import_refuse(flaws, sizeof(flaws) / sizeof(flaws[0]), with_flaw_of_line);
}

static tp_str with_flaw(const char *from, const char *to)
{
    return import_edit(xgboost_model, from, to);
}

static void test_what_is_wrong_is_refused_by_name(void)
{
    static const import_flaw flaws[] = {
        {"\"left_children\":[1,", "\"left_children\":[9,", TAPEOUT_E_CORRUPT,
         "tree 0, node 0: a child is out of range"},
        {"\"left_children\":[1,", "\"left_children\":[-7,", TAPEOUT_E_CORRUPT, "out of range"},
        {"\"left_children\":[1,", "\"left_children\":[1.5,", TAPEOUT_E_CORRUPT, "out of range"},
        {"\"left_children\":[1,-1,3", "\"left_children\":[1,-1,0", TAPEOUT_E_CORRUPT,
         "two parents, or is above itself"},
        {"\"left_children\":[1,-1,3", "\"left_children\":[1,-1,4", TAPEOUT_E_CORRUPT,
         "two parents"},
        {"\"left_children\":[1,-1,3", "\"left_children\":[1,-1,-1", TAPEOUT_E_CORRUPT,
         "out of range"},
        {"\"left_children\":[1,-1,3,-1,-1]", "\"left_children\":[]", TAPEOUT_E_CORRUPT,
         "\"left_children\""},
        {"\"right_children\":[2,-1,4,-1,-1]", "\"right_children\":[2,-1,4,-1]", TAPEOUT_E_CORRUPT,
         "\"right_children\" is no list of 5"},
        {"\"split_indices\":[0,0,2", "\"split_indices\":[0,0,3", TAPEOUT_E_CORRUPT,
         "node 2: its feature does not exist"},
        {"\"split_indices\":[0,", "\"split_indices\":[-1,", TAPEOUT_E_CORRUPT, "feature"},
        {"\"split_conditions\":[0.5", "\"split_conditions\":[-1e39", TAPEOUT_E_CORRUPT,
         "threshold"},
        {"0.25,7.5", "1e39,7.5", TAPEOUT_E_CORRUPT, "leaf's value"},
        {"\"sum_hessian\":[9,4", "\"sum_hessian\":[-9,4", TAPEOUT_E_CORRUPT, "sum_hessian"},
        {"\"categories\":[1,34]", "\"categories\":[1,34.5]", TAPEOUT_E_CORRUPT, "a category"},
        {"\"categories\":[1,34]", "\"categories\":[1,-3]", TAPEOUT_E_CORRUPT, "a category"},
        {"\"categories\":[1,34]", "\"categories\":[1,99999999]", TAPEOUT_E_CORRUPT, "a category"},
        {"\"categories\":[1,34]", "\"categories\":[1]", TAPEOUT_E_CORRUPT, "overruns"},
        {"\"categories_nodes\":[2]", "\"categories_nodes\":[5]", TAPEOUT_E_CORRUPT, "no node"},
        {"\"categories_nodes\":[2]", "\"categories_nodes\":[1]", TAPEOUT_E_CORRUPT,
         "no set of them"},
        {"\"categories_sizes\":[2]", "\"categories_sizes\":[4294967295]", TAPEOUT_E_CORRUPT,
         "overruns"},
        {"\"categories_segments\":[0]", "\"categories_segments\":[]", TAPEOUT_E_CORRUPT,
         "no lists of one length"},
        {"\"tree_info\":[0,0]", "\"tree_info\":[0,1]", TAPEOUT_E_CORRUPT, "output 1; there are 1"},
        {"\"tree_info\":[0,0]", "\"tree_info\":[0]", TAPEOUT_E_CORRUPT, "one length"},
        {"reg:squarederror", "reg:mine", TAPEOUT_E_UNSUPPORTED, "\"reg:mine\""},
        {"\"name\":\"gbtree\"", "\"name\":\"gbother\"", TAPEOUT_E_UNSUPPORTED, "\"gbother\""},
        {"\"num_target\":\"1\"", "\"num_target\":\"2\"", TAPEOUT_E_UNSUPPORTED, "2 targets"},
        {"\"num_class\":\"0\"", "\"num_class\":\"3\"", TAPEOUT_E_CORRUPT, "3 classes"},
        {"\"num_feature\":\"3\"", "\"num_feature\":\"9\"", TAPEOUT_E_CORRUPT, "feature_names"},
        {"\"num_feature\":\"3\"", "\"num_feature\":\"99999\"", TAPEOUT_E_LIMIT, "99999 columns"},
        {"\"num_feature\":\"3\"", "\"num_feature\":\"-3\"", TAPEOUT_E_CORRUPT, "no count"},
        {"[\"x\",\"y\"", "[\"x\",\"x\"", TAPEOUT_E_CORRUPT, "two columns are called \"x\""},
        {"[\"x\",\"y\"", "[\"x\",\"\"", TAPEOUT_E_CORRUPT, "name of column 1"},
        {"[\"x\",\"y\"", "[\"x\",5", TAPEOUT_E_CORRUPT, "no text"},
        {"[1.5E0]", "[1,2]", TAPEOUT_E_CORRUPT, "base_score"},
        {"[1.5E0]", "nan", TAPEOUT_E_CORRUPT, "base_score"},
        {"[1.5E0]", "", TAPEOUT_E_CORRUPT, "base_score"},
        {"\"learner_model_param\"", "\"other\"", TAPEOUT_E_CORRUPT, "no model"},
    };
    import_refuse(flaws, sizeof(flaws) / sizeof(flaws[0]), with_flaw);
}

static void test_a_chain_of_a_million_levels_is_only_too_many_leaves(void)
{
    enum { LEVELS = 1000000 };
    tp_buffer text;
    const tp_env env = tp_env_plain();
    tp_import *import = NULL;
    const char *tail = strstr(xgboost_model, "]},\"name\":\"gbtree\"");
    tp_buffer_init(&text, env.alloc, (size_t)1 << 30);
    tp_buffer_append(&text, xgboost_model,
                     (size_t)(strstr(xgboost_model, "\"tree_info\"") - xgboost_model));
    tp_buffer_append_text(&text, "\"tree_info\":[0],\"trees\":[{");
    static const char *const names[] = {"left_children",    "right_children", "split_indices",
                                        "split_conditions", "default_left",   "loss_changes",
                                        "sum_hessian"};
    for (size_t a = 0; a < sizeof(names) / sizeof(names[0]); a++) {
        tp_buffer_printf(&text, "%s\"%s\":[", a > 0 ? "," : "", names[a]);
        for (uint32_t i = 0; i <= 2 * LEVELS; i++) {
            const bool is_leaf = i % 2 == 1 || i == 2 * LEVELS;
            const uint32_t child = i + (a == 0 ? 1 : 2);
            tp_buffer_append_text(&text, i > 0 ? "," : "");
            if (a > 1) {
                tp_buffer_append_char(&text, '0');
            } else {
                tp_buffer_printf(&text, "%d", is_leaf ? -1 : (int)child);
            }
        }
        tp_buffer_append_char(&text, ']');
    }
    tp_buffer_append_char(&text, '}');
    tp_buffer_append_text(&text, tail);
    ASSERT_OK(tp_buffer_check(&text, "model", &test_err));
    ASSERT_FAILS(tp_import_parse(&env, tp_buffer_view(&text), &import, &test_err), TAPEOUT_E_LIMIT,
                 "1000001 leaves");
    tp_buffer_deinit(&text);
}

static void test_what_it_is_says_the_content(void)
{
    static const struct {
        const char *text;
        tp_import_kind want;
    } cases[] = {{"{\"a\":1}", TP_IMPORT_XGBOOST},
                 {"{L", TP_IMPORT_XGBOOST},
                 {" {\n \"a\"", TP_IMPORT_XGBOOST},
                 {"tree\nversion=v4", TP_IMPORT_LIGHTGBM},
                 {"trees\n", TP_IMPORT_UNKNOWN},
                 {"\x80\x05pickle", TP_IMPORT_UNKNOWN},
                 {"\x08\x0a\x3a\x02xx", TP_IMPORT_ONNX},
                 {"\x08\x0a", TP_IMPORT_UNKNOWN},
                 {"\x08\x0a\x3a\x09xx", TP_IMPORT_UNKNOWN},
                 {"", TP_IMPORT_UNKNOWN}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ASSERT_EQ_INT(tp_import_recognise(tp_str_from(cases[i].text)), cases[i].want);
    }
}

static void test_what_is_no_model_of_ours_is_refused(void)
{
    tp_import *import;
    ASSERT_FAILS(import_parse(TP_STR("\x80\x05pickle"), &import), TAPEOUT_E_UNSUPPORTED,
                 "pickles are never opened");
}

TEST_MAIN(TEST(test_answers_as_worked_out), TEST(test_a_missing_category_may_go_left),
          TEST(test_sums_are_float32), TEST(test_dart_weights_multiply_leaves),
          TEST(test_a_line_adds_from_the_bias_on),
          TEST(test_what_is_wrong_in_a_line_is_refused_by_name),
          TEST(test_what_is_wrong_is_refused_by_name),
          TEST(test_a_chain_of_a_million_levels_is_only_too_many_leaves),
          TEST(test_what_it_is_says_the_content), TEST(test_what_is_no_model_of_ours_is_refused))
