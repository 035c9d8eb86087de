// SPDX-License-Identifier: Apache-2.0
//
// ONNX: graphs small enough to be worked out by hand, every way of damaging one, each refused by
// name, and what is not imported. tests/conformance/onnx has the models of real converters.
#include "import_cases.h"
#include "onnx_cases.h"

#include <math.h>

// What a model says of one row, its fields parted by commas; an empty one is missing.
static double predict(const tp_import *import, const char *row, double *ret_probability)
{
    const tp_env env = tp_env_plain();
    const tp_feature_program *program = tp_import_program(import);
    const tp_schema *schema = tp_feature_schema(program);
    const uint32_t count = tp_feature_output_count(program);
    const tapeout_table *table = NULL;
    tp_table_builder *builder = NULL;
    tp_feature_run *run = NULL;
    double features[32];
    double *outputs[32];
    ASSERT(count <= 32);
    ASSERT_OK(tp_table_builder_new(env.alloc, schema, &builder, &test_err));
    for (uint32_t i = 0; i < schema->count; i++) {
        const tp_str cell = {row, strcspn(row, ",")};
        if (cell.size == 0) {
            ASSERT_OK(tp_table_builder_null(builder, i));
        } else if (schema->fields[i].type == TAPEOUT_TYPE_STRING) {
            ASSERT_OK(tp_table_builder_str(builder, i, cell));
        } else {
            ASSERT_OK(tp_table_builder_text(builder, i, cell, &test_err));
        }
        row += cell.size + (row[cell.size] == ',' ? 1 : 0);
    }
    for (uint32_t i = 0; i < count; i++) {
        outputs[i] = &features[i];
    }
    ASSERT_OK(tp_table_builder_view(builder, &table, &test_err));
    ASSERT_OK(tp_feature_run_new(&env, program, 1, &run, &test_err));
    ASSERT_OK(
        tp_feature_run_bind(run, table, (tp_row_choice){NULL, 1}, TP_FEATURE_SERVE, &test_err));
    const tp_feature_block block = {.row_count = 1, .output_count = count, .values = outputs};
    ASSERT_OK(tp_feature_run_block(run, 0, &block, &test_err));
    tp_predictor *predictor = NULL;
    double prediction = 0;
    ASSERT_OK(tp_predictor_new(&env, tp_import_model(import), 1, &predictor, &test_err));
    tp_predict(predictor, (const double *const *)outputs, 1,
               &(tp_prediction){.probability = ret_probability, .prediction = &prediction});
    tp_predictor_free(predictor);
    tp_feature_run_free(run);
    tp_table_builder_free(builder);
    return prediction;
}

static tp_import *open_text(const char *text)
{
    tp_import *import;
    ASSERT_OK(import_parse(onnx_file(text), &import));
    return import;
}

static double ask(const char *text, const char *row)
{
    tp_import *import = open_text(text);
    const double value = predict(import, row, NULL);
    tp_import_free(import);
    return value;
}

// The model with one thing changed.
static const char *edit(const char *text, const char *from, const char *to)
{
    return import_edit(text, from, to).data;
}

// -- answers -------------------------------------------------------------------------------------

static void test_trees_as_worked_out(void)
{
    tp_import *import = open_text(ONNX_TREE);
    ASSERT_EQ_F64(predict(import, "0.25,9,9", NULL), 1.25);
    ASSERT_EQ_F64(predict(import, "0.5,9,2.5", NULL), 2.25);
    ASSERT_EQ_F64(predict(import, "0.5,9,2", NULL), 4.25);
    ASSERT_EQ_F64(predict(import, ",9,", NULL), 1.25);  // missing tracks true
    ASSERT_EQ_F64(predict(import, "1,9,", NULL), 4.25); // and elsewhere goes to the false child
    ASSERT_EQ_F64(predict(import, "0.50000000001,,3", NULL), 2.25);
    ASSERT_EQ_F64(predict(import, "0.49999999999,,3", NULL), 2.25); // 0.5 as float32
    ASSERT(tp_str_equal(tp_feature_text(tp_import_program(import)),
                        TP_STR("x_0 = float32(x_0)\nx_1 = float32(x_1)\nc = float32(c)\n")));
    const tp_import_facts facts = tp_import_facts_of(import);
    ASSERT_EQ_UINT(facts.kind, TP_IMPORT_ONNX);
    ASSERT_EQ_UINT(facts.trees, 1);
    ASSERT_EQ_UINT(facts.columns, 3);
    ASSERT(tp_str_has_prefix(facts.version, TP_STR("by hand")));
    tp_import_free(import);
}

static void test_every_mode(void)
{
    static const struct {
        const char *mode;
        double below;
        double equal;
        double above;
        double missing;
    } cases[] = {{"BRANCH_LEQ", 2.25, 2.25, 4.25, 4.25}, {"BRANCH_LT", 2.25, 4.25, 4.25, 4.25},
                 {"BRANCH_GTE", 4.25, 2.25, 2.25, 4.25}, {"BRANCH_GT", 4.25, 4.25, 2.25, 4.25},
                 {"BRANCH_EQ", 4.25, 2.25, 4.25, 4.25},  {"BRANCH_NEQ", 2.25, 4.25, 2.25, 2.25}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *text = edit(ONNX_TREE, "BRANCH_GT", cases[i].mode);
        ASSERT_EQ_F64(ask(text, "1,9,1.9999999"), cases[i].below);
        ASSERT_EQ_F64(ask(text, "1,9,2"), cases[i].equal);
        ASSERT_EQ_F64(ask(text, "1,9,2.0000002"), cases[i].above);
        ASSERT_EQ_F64(ask(text, "1,9,"), cases[i].missing);
    }
}

static void test_averages_and_doubles(void)
{
    const char *average =
        edit(edit(ONNX_TREE, "F base_values 0.25", "s aggregate_function AVERAGE"),
             "target_weights 4 1 2", "target_weights 4 1 2.5");
    ASSERT_EQ_F64(ask(average, "1,9,3"), 2.5);
    const char *wide = edit(edit(ONNX_TREE, "x float 2", "x double 2"), "c float 1", "c double 1");
    wide = edit(wide, "F nodes_values 0.5 0 2 0 0", "T nodes_values_as_tensor 0.1 0 2 0 0");
    ASSERT_EQ_F64(ask(wide, "0.09999999999999999,9,9"), 1.25);
    ASSERT_EQ_F64(ask(wide, "0.1,9,9"), 2.25); // as float32 it would be above
}

#define CLASSES(weights)                                                                           \
    "opset ai.onnx.ml 3\ninput x float 1\noutput label\noutput p\n"                                \
    "node TreeEnsembleClassifier ai.onnx.ml x label,p\nI classlabels_int64s 0 1\n"                 \
    "I nodes_treeids 0 0 0\nI nodes_nodeids 0 1 2\nI nodes_featureids 0 0 0\n"                     \
    "S nodes_modes BRANCH_LEQ LEAF LEAF\nF nodes_values 1 0 0\n"                                   \
    "I nodes_truenodeids 1 0 0\nI nodes_falsenodeids 2 0 0\n" weights

static void check_two(const char *text, double label, double probability)
{
    tp_import *import = open_text(text);
    double got = 0;
    ASSERT_EQ_F64(predict(import, "0", &got), label);
    ASSERT_EQ_F64(got, probability);
    tp_import_free(import);
}

#define ONE_CLASS "I class_treeids 0 0\nI class_nodeids 1 2\nI class_ids 0 0\n"
#define OTHER_CLASS "I class_treeids 0 0\nI class_nodeids 1 2\nI class_ids 1 1\n"
#define BOTH_CLASSES "I class_treeids 0 0 0 0\nI class_nodeids 1 2 2 1\nI class_ids 1 0 1 0\n"

static void test_two_classes(void)
{
    const double logistic = (double)(1.0f / (1.0f + expf(-0.25f)));
    check_two(CLASSES(ONE_CLASS "F class_weights 0.5 0.75\n"), 0, 0.5);
    check_two(CLASSES(ONE_CLASS "F class_weights 0.75 0.5\ns post_transform LOGISTIC\n"), 1, 0.75);
    check_two(CLASSES(ONE_CLASS "F class_weights 0.25 -1\n"), 1, 0.25);
    check_two(CLASSES(ONE_CLASS "F class_weights 0 -1\n"), 0, 0);
    check_two(CLASSES(ONE_CLASS "F class_weights 0.5 -1\nF base_values -0.25\n"
                                "s post_transform LOGISTIC\n"),
              1, logistic);
    check_two(CLASSES(OTHER_CLASS "F class_weights 0.25 1\ns post_transform LOGISTIC\n"), 0,
              logistic);
    check_two(CLASSES(BOTH_CLASSES "F class_weights 0.25 1 2 3\n"), 1, 0.25);
}

// What converters put behind a model and changes nothing.
static void test_behind_a_model(void)
{
    const char *text = edit(ONNX_TREE, "output y", "output z");
    text = edit(text, "input x float 2",
                "input x float 2\ntensor one float - : 1\ntensor shape int64 2 : -1 1");
    char whole[4096];
    (void)snprintf(whole, sizeof(whole),
                   "%snode Mul - y,one a\nnode Reshape - a,shape b\nnode Cast - b z\ni to 11\n",
                   text);
    ASSERT_EQ_F64(ask(whole, "1,9,3"), 2.25);
}

static void test_more_classes(void)
{
    const char *two = CLASSES("I class_treeids 0 0 0 0 0 0\nI class_nodeids 1 1 1 2 2 2\n"
                              "I class_ids 2 1 0 0 1 2\nF class_weights 3 2 1 4 5 6\n"
                              "F base_values 0.5 0 -2.5\n");
    const char *three = edit(two, "int64s 0 1", "int64s 7 8 9");
    tp_import *import = open_text(three);
    double scores[3];
    ASSERT_EQ_F64(predict(import, "0", scores), 1);
    ASSERT_EQ_F64(scores[0], 1.5);
    ASSERT_EQ_F64(scores[1], 2);
    ASSERT_EQ_F64(scores[2], 0.5);
    ASSERT(tp_str_equal(tp_import_target(import)->class_names[1], TP_STR("8")));
    tp_import_free(import);
}

static void test_columns_and_a_line(void)
{
    tp_import *import = open_text(ONNX_LINE);
    double p = 0;
    // Ghent: 1 and 0; (3 - 1) / 2 = 1; 1 · 1 + 0.5 · 1 + 0.125
    ASSERT_EQ_F64(predict(import, "Ghent,3", &p), 1);
    ASSERT(fabs(p - 1 / (1 + exp(-1.625))) < 1e-6);
    ASSERT_EQ_F64(predict(import, "Oslo,3", &p), 0); // -2 + 0.5 + 0.125
    ASSERT(fabs(p - 1 / (1 + exp(1.375))) < 1e-6);
    ASSERT_EQ_F64(predict(import, "Lima,1", &p), 1); // 0.125
    ASSERT_EQ_F64(predict(import, ",1", &p), 1);     // a missing text is no category
    ASSERT(isnan(predict(import, "Lima,", &p)) || isnan(p));
    const tp_target *target = tp_import_target(import);
    ASSERT(tp_str_equal(target->class_names[1], TP_STR("yes")));
    ASSERT(!target->classes_are_int);
    tp_import_free(import);
}

// One column that an operator makes, told apart by a tree that answers it.
#define COLUMN(type, node)                                                                         \
    "opset - 15\nopset ai.onnx.ml 3\ninput x " type " 2\noutput y\n"                               \
    "tensor two float 2 : 2 -4\ntensor first int64 1 : 0\n" node                                   \
    "node LinearRegressor ai.onnx.ml z y\nF coefficients 1 1000\nF intercepts 0\n"

static void test_operators(void)
{
    static const struct {
        const char *text;
        const char *row;
        double want;
    } cases[] = {
        {COLUMN("float", "node Identity - x z\n"), "3,5", 5003},
        {COLUMN("float", "node Add - x,two z\n"), "3,5", 1005},
        {COLUMN("float", "node Sub - x,two z\n"), "3,5", 9001},
        {COLUMN("float", "node Mul - x,two z\n"), "3,5", -19994},
        {COLUMN("float", "node Div - x,two z\n"), "3,8", -1998.5},
        {COLUMN("float", "node Cast - x whole\ni to 7\nnode Cast - whole z\ni to 1\n"), "-3.7,5.2",
         4997},
        {COLUMN("double", "node Cast - x z\ni to 1\n"), "3,5", 5003},
        {COLUMN("double", "node Scaler ai.onnx.ml x z\nF offset 1 1\nF scale 2 2\n"), "3,5", 8004},
        {COLUMN("int64", "node Cast - x z\ni to 11\n"), "3,5", 5003},
        {COLUMN("bool", "node Cast - x z\ni to 1\n"), "true,false", 1},
        {COLUMN("float", "node Imputer ai.onnx.ml x z\nf replaced_value_float nan\n"
                         "F imputed_value_floats 7 8\n"),
         ",5", 5007},
        {COLUMN("float", "node Imputer ai.onnx.ml x z\nf replaced_value_float -1\n"
                         "F imputed_value_floats 7\n"),
         "-1,5", 5007},
        {COLUMN("float", "node Gather - x,first a\ni axis 1\nnode Concat - a,x b\ni axis 1\n"
                         "tensor ends int64 2 : 0 -1\n"
                         "node ArrayFeatureExtractor ai.onnx.ml b,ends z\n"),
         "3,5", 5003},
        {COLUMN("string", "node LabelEncoder ai.onnx.ml x codes\nS keys_strings b a~~\" c d\n"
                          "I values_int64s 20 10 30 40\ni default_int64 -5\n"
                          "node Cast - codes z\ni to 1\n"),
         "c,e", 30 - 5000},
        {COLUMN("float", "node LabelEncoder ai.onnx.ml x z\nF keys_floats 3 1 2\n"
                         "F values_floats 30 10 20\n"),
         "2,", 20},
        {COLUMN("float", "node Gather - x,first a\ni axis 1\n"
                         "node OneHotEncoder ai.onnx.ml a hot\nI cats_int64s -3 4\n"
                         "tensor shape int64 2 : -1 2\nnode Reshape - hot,shape z\n"),
         "-3.9,0", 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ASSERT_EQ_F64(ask(cases[i].text, cases[i].row), cases[i].want);
    }
}

// -- what is refused -----------------------------------------------------------------------------

typedef struct refusal {
    const char *from;
    const char *to;
    tapeout_status want;
    const char *part;
} refusal;

static void check_refusals(const char *text, const refusal *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        tp_import *import;
        ASSERT_FAILS(import_parse(onnx_file(edit(text, cases[i].from, cases[i].to)), &import),
                     cases[i].want, cases[i].part);
        ASSERT(import == NULL);
    }
}

static void test_trees_that_are_none(void)
{
    static const refusal cases[] = {
        {"truenodeids 1 0 3", "truenodeids 9 0 3", TAPEOUT_E_CORRUPT, "a child does not exist"},
        {"truenodeids 1 0 3", "truenodeids 0 0 3", TAPEOUT_E_CORRUPT, "above itself"},
        {"truenodeids 1 0 3", "truenodeids 2 0 3", TAPEOUT_E_CORRUPT, "two parents"},
        {"falsenodeids 2 0 4", "falsenodeids 2 0 0", TAPEOUT_E_CORRUPT, "above itself"},
        {"BRANCH_GT", "LEAF", TAPEOUT_E_CORRUPT, "hangs on no other node"},
        {"BRANCH_GT", "BRANCH_MEMBER", TAPEOUT_E_UNSUPPORTED, "BRANCH_MEMBER"},
        {"featureids 0 0 2", "featureids 0 0 3", TAPEOUT_E_CORRUPT, "its feature does not exist"},
        {"nodes_values 0.5", "nodes_values nan", TAPEOUT_E_CORRUPT, "its threshold"},
        {"nodes_values 0.5", "nodes_values -inf", TAPEOUT_E_CORRUPT, "its threshold"},
        {"nodes_values 0.5 0", "nodes_values 0.5", TAPEOUT_E_CORRUPT, "nodes_values"},
        {"S nodes_modes BRANCH_LT", "S nodes_modes", TAPEOUT_E_CORRUPT, "nodes_modes"},
        {"nodeids 0 1 2 3 4", "nodeids 0 1 2 3 3", TAPEOUT_E_CORRUPT, "node 3 twice"},
        {"treeids 7 7 7 7 7", "treeids 7 7 5 7 7", TAPEOUT_E_CORRUPT, "do not lie together"},
        {"I nodes_treeids 7 7 7 7 7", "", TAPEOUT_E_CORRUPT, "no tree"},
        {"target_nodeids 4 1", "target_nodeids 2 1", TAPEOUT_E_CORRUPT, "which is no leaf"},
        {"target_nodeids 4 1", "target_nodeids 3 1", TAPEOUT_E_UNSUPPORTED, "scores no class"},
        {"target_treeids 7", "target_treeids 6", TAPEOUT_E_CORRUPT, "which is no leaf"},
        {"target_ids 0 0 0", "target_ids 0 0 1", TAPEOUT_E_CORRUPT, "of class 1"},
        {"target_ids 0 0 0", "target_ids 0 0", TAPEOUT_E_CORRUPT, "target_ids"},
        {"target_weights 4 1", "target_weights inf 1", TAPEOUT_E_CORRUPT, "leaf's value"},
        {"i n_targets 1", "i n_targets 2", TAPEOUT_E_UNSUPPORTED, "more than one target"},
        {"i n_targets 1", "s n_targets 1", TAPEOUT_E_CORRUPT, "n_targets"},
        {"F base_values 0.25", "F base_values 1 2", TAPEOUT_E_UNSUPPORTED, "base_values"},
        {"F base_values 0.25", "s aggregate_function MAX", TAPEOUT_E_UNSUPPORTED, "aggregate"},
        {"F base_values 0.25", "s post_transform PROBIT", TAPEOUT_E_UNSUPPORTED, "post_transform"},
        {"F base_values 0.25", "T base_values_as_tensor 1", TAPEOUT_E_CORRUPT, "is float64"},
        {"F base_values 0.25", "F base_values 1\nT base_values_as_tensor 1", TAPEOUT_E_CORRUPT,
         "and its tensor"},
        {"F base_values 0.25", "i n_targets 1", TAPEOUT_E_CORRUPT, "\"n_targets\" twice"},
    };
    check_refusals(ONNX_TREE, cases, sizeof(cases) / sizeof(cases[0]));
}

static void test_classes_that_are_none(void)
{
    static const refusal cases[] = {
        {"I classlabels_int64s 0 1", "", TAPEOUT_E_CORRUPT, "names no classes"},
        {"I classlabels_int64s 0 1", "S classlabels_strings a a", TAPEOUT_E_CORRUPT,
         "two classes have one name"},
        {"int64s 0 1", "int64s 0", TAPEOUT_E_UNSUPPORTED, "1 classes"},
        {"int64s 0 1", "int64s 5 6", TAPEOUT_E_UNSUPPORTED, "not called 0 and 1"},
        {"int64s 0 1", "int64s 0 1 2", TAPEOUT_E_UNSUPPORTED, "a class that no tree scores"},
        {"int64s 0 1", "int64s 0 1 2\nF base_values 1 2", TAPEOUT_E_UNSUPPORTED, "one a class"},
        {"class_ids 1 0 1 0", "class_ids 1 0 1 1", TAPEOUT_E_UNSUPPORTED, "scores no class"},
        {"I classlabels_int64s 0 1", "S classlabels_strings a\x01 b", TAPEOUT_E_UNSUPPORTED,
         "control characters"},
        {"I nodes_treeids", "F base_values 1 2\nI nodes_treeids", TAPEOUT_E_UNSUPPORTED,
         "no agreed meaning"},
        {"I nodes_treeids", "s post_transform SOFTMAX\nI nodes_treeids", TAPEOUT_E_UNSUPPORTED,
         "a softmax of two"},
    };
    check_refusals(CLASSES(BOTH_CLASSES "F class_weights 0.25 1 2 3\n"), cases,
                   sizeof(cases) / sizeof(cases[0]));
}

static void test_graphs_that_are_none(void)
{
    static const refusal cases[] = {
        {"opset ai.onnx.ml 3", "opset ai.onnx.ml 99", TAPEOUT_E_UNSUPPORTED,
         "operator set 99 of \"ai.onnx.ml\""},
        {"opset - 15", "opset - 0", TAPEOUT_E_UNSUPPORTED, "operator set 0"},
        {"node Normalizer ai.onnx.ml", "node Normalizer ai.other", TAPEOUT_E_UNSUPPORTED,
         "Normalizer of \"ai.other\""},
        {"node Scaler", "node Squash", TAPEOUT_E_UNSUPPORTED, "node 1 is a Squash"},
        {"node Identity - said label", "node Mul - said,shape label", TAPEOUT_E_UNSUPPORTED,
         "other numbers than 1"},
        {"node Identity - said label", "node Sigmoid - said label", TAPEOUT_E_UNSUPPORTED,
         "behind a model"},
        {"Normalizer ai.onnx.ml raw sums", "Normalizer ai.onnx.ml row sums", TAPEOUT_E_CORRUPT,
         "made by no node before it"},
        {"node Scaler ai.onnx.ml n scaled", "node Scaler ai.onnx.ml n hot", TAPEOUT_E_CORRUPT,
         "two values are called \"hot\""},
        {"output p", "output q", TAPEOUT_E_CORRUPT, "no node makes the output \"q\""},
        {"output p", "output raw", TAPEOUT_E_UNSUPPORTED, "not what a model answers last"},
        {"output p", "output hot", TAPEOUT_E_UNSUPPORTED, "not what a model answers last"},
        {"s norm L1", "s norm L2", TAPEOUT_E_UNSUPPORTED, "another norm"},
        {"ZipMap ai.onnx.ml sums p\nS classlabels_strings no yes",
         "ZipMap ai.onnx.ml sums p\nS classlabels_strings no maybe yes", TAPEOUT_E_UNSUPPORTED,
         "no scores of 3"},
        {"node LinearClassifier ai.onnx.ml all said,raw", "node Concat - all,all said\ni axis 1",
         TAPEOUT_E_CORRUPT, "made by no node before it"},
        {"F coefficients -1 2", "F coefficients -1", TAPEOUT_E_CORRUPT, "coefficients"},
        {"F intercepts -0.125 0.125", "F intercepts 1", TAPEOUT_E_CORRUPT, "intercepts"},
        {"F intercepts -0.125", "F intercepts inf", TAPEOUT_E_CORRUPT, "intercepts"},
        {"s post_transform LOGISTIC", "s post_transform PROBIT", TAPEOUT_E_UNSUPPORTED, "PROBIT"},
        {"s post_transform LOGISTIC", "F post_transform 1", TAPEOUT_E_CORRUPT, "post_transform"},
        {"F offset 1", "F offset 1 2", TAPEOUT_E_UNSUPPORTED, "offset: not 1 or 1 finite"},
        {"F offset 1", "F offset nan", TAPEOUT_E_UNSUPPORTED, "finite"},
        {"node Normalizer ai.onnx.ml raw sums",
         "node ArrayFeatureExtractor ai.onnx.ml raw,zero sums", TAPEOUT_E_UNSUPPORTED,
         "the second of two"},
        {"node Normalizer ai.onnx.ml raw sums",
         "node ArrayFeatureExtractor ai.onnx.ml raw,one o\nnode Normalizer ai.onnx.ml o sums",
         TAPEOUT_E_UNSUPPORTED, "no scores of a model"},
        {"S cats_strings Ghent Oslo", "S cats_strings Ghent Ghent", TAPEOUT_E_UNSUPPORTED,
         "two keys are equal"},
        {"S cats_strings Ghent Oslo", "I cats_int64s 1 2", TAPEOUT_E_UNSUPPORTED, "no categories"},
        {"two int64 2 : -1 2", "two int64 2 : -1 3", TAPEOUT_E_UNSUPPORTED, "another shape"},
        {"two int64 2 : -1 2", "two int64 3 : -1 2", TAPEOUT_E_CORRUPT, "its shape says"},
        {"two int64 2 : -1 2", "two int8 2 : -1 2", TAPEOUT_E_UNSUPPORTED, "elements of type 3"},
        {"two int64 2 : -1 2", "two int64 1,-2 : -1 2", TAPEOUT_E_CORRUPT, "a dimension"},
        {"i axis -1", "i axis 0", TAPEOUT_E_UNSUPPORTED, "along axis 0"},
        {"Concat - flat,scaled all", "Concat - hot,scaled all", TAPEOUT_E_UNSUPPORTED,
         "several types or shapes"},
        {"Concat - flat,scaled all", "Concat - flat,two all", TAPEOUT_E_UNSUPPORTED, "input 1"},
        {"town string 1", "town half 1", TAPEOUT_E_UNSUPPORTED, "input \"town\""},
        {"town string 1", "town string -", TAPEOUT_E_UNSUPPORTED, "input \"town\""},
        {"town string 1", "town string 99999", TAPEOUT_E_UNSUPPORTED, "input \"town\""},
        {"town string 1", "town string 2", TAPEOUT_E_UNSUPPORTED, "more than one column"},
        {"ai.onnx.ml all said,raw", "ai.onnx.ml hots said,raw", TAPEOUT_E_UNSUPPORTED,
         "a block of columns"},
    };
    check_refusals(ONNX_LINE, cases, sizeof(cases) / sizeof(cases[0]));
}

// Each of these writes its operand twice.
static void test_texts_do_not_grow_without_end(void)
{
    char text[8192];
    size_t size = (size_t)snprintf(text, sizeof(text), "opset ai.onnx.ml 3\ninput x0 float 1\n");
    for (int i = 0; i < 40; i++) {
        size += (size_t)snprintf(text + size, sizeof(text) - size,
                                 "node Imputer ai.onnx.ml x%d x%d\nf replaced_value_float 1\n"
                                 "F imputed_value_floats 2\n",
                                 i, i + 1);
    }
    tp_import *import;
    ASSERT_FAILS(import_parse(onnx_file(text), &import), TAPEOUT_E_LIMIT, "an expression of more");
}

static void check_column_name(const char *name, tapeout_status want, const char *part)
{
    char input[64];
    char inputs[64];
    tp_import *import;
    (void)snprintf(input, sizeof(input), "input %s float 1", name);
    (void)snprintf(inputs, sizeof(inputs), "x,%s all", name);
    const char *text = edit(edit(ONNX_TREE, "input c float 1", input), "x,c all", inputs);
    ASSERT_FAILS(import_parse(onnx_file(text), &import), want, part);
}

static void test_names_are_checked(void)
{
    check_column_name("x_1", TAPEOUT_E_CORRUPT, "two columns are called \"x_1\"");
    check_column_name("a\x02", TAPEOUT_E_UNSUPPORTED, "control character");
    check_column_name("a\xff", TAPEOUT_E_CORRUPT, "not UTF-8");
}

static void test_what_has_no_model(void)
{
    tp_import *import;
    const char *none = "opset - 15\ninput x float 1\noutput z\nnode Identity - x z\n";
    ASSERT_FAILS(import_parse(onnx_file(none), &import), TAPEOUT_E_UNSUPPORTED, "a graph without");
    ASSERT_FAILS(import_parse(onnx_file("opset - 15\noutput z\n"), &import), TAPEOUT_E_LIMIT,
                 "0 columns");
    ASSERT_FAILS(import_parse(onnx_file("input x float 1\n"), &import), TAPEOUT_E_CORRUPT,
                 "operator sets");
    ASSERT_FAILS(
        import_parse(onnx_file("opset - 15\ninput x float 1\nnode Constant - - z\n"), &import),
        TAPEOUT_E_CORRUPT, "made by no node");
}

// Names of raw columns that a feature cannot have, or that another would like to have.
static void test_features_have_names_of_their_own(void)
{
    const char *text =
        COLUMN("float", "node Concat - x,x wide\ni axis 1\ntensor ends int64 2 : 0 2\n"
                        "node ArrayFeatureExtractor ai.onnx.ml wide,ends z\n");
    tp_import *import = open_text(edit(text, "input x float 2", "input x float 2"));
    ASSERT(tp_str_equal(tp_feature_text(tp_import_program(import)),
                        TP_STR("x_0 = float32(x_0)\nfeature1 = float32(x_0)\n")));
    tp_import_free(import);
    const char *hidden =
        edit(edit(ONNX_TREE, "input c float 1", "input _c float 1"), "x,c all", "x,_c all");
    import = open_text(hidden);
    ASSERT_EQ_UINT(tp_feature_output_count(tp_import_program(import)), 3);
    tp_import_free(import);
}

static void test_every_prefix_is_refused(void)
{
    const tp_env env = tp_env_plain();
    const tp_str whole = onnx_file(ONNX_LINE);
    for (size_t size = 1; size < whole.size; size++) {
        tp_import *import = NULL;
        ASSERT(tp_import_parse(&env, (tp_str){whole.data, size}, &import, &test_err) != TAPEOUT_OK);
    }
}

static void test_recognised_by_content(void)
{
    ASSERT_EQ_UINT(tp_import_recognise(onnx_file(ONNX_LINE)), TP_IMPORT_ONNX);
    ASSERT_EQ_UINT(tp_import_recognise(TP_STR("\x08\x08")), TP_IMPORT_UNKNOWN);
    ASSERT_EQ_UINT(tp_import_recognise(TP_STR("\x08\x08\x3b")), TP_IMPORT_UNKNOWN); // a group
    ASSERT_EQ_UINT(tp_import_recognise(TP_STR("\x80\x05\x95pickle")), TP_IMPORT_UNKNOWN);
}

TEST_MAIN(TEST(test_trees_as_worked_out), TEST(test_every_mode), TEST(test_averages_and_doubles),
          TEST(test_two_classes), TEST(test_behind_a_model), TEST(test_more_classes),
          TEST(test_columns_and_a_line), TEST(test_operators), TEST(test_trees_that_are_none),
          TEST(test_classes_that_are_none), TEST(test_graphs_that_are_none),
          TEST(test_texts_do_not_grow_without_end), TEST(test_names_are_checked),
          TEST(test_what_has_no_model), TEST(test_features_have_names_of_their_own),
          TEST(test_every_prefix_is_refused), TEST(test_recognised_by_content))
