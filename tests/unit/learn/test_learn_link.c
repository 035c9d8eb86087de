// SPDX-License-Identifier: Apache-2.0
//
// Links of imported models: each formula against figures of its own width, what goes with which
// task, and the bytes of such a model there and back.
#include "learn/tp_learn.h"

#include "base/tp_alloc.h"
#include "kernels/tp_libm.h"
#include "learn/gbt/tp_gbt.h"
#include "learn/linear/tp_linear.h"
#include "test.h"

#include <math.h>

// A forest without trees: its margins are `base`.
static tapeout_status new_model(tp_task task, tp_foreign foreign, const double *base,
                                tp_model **ret_model)
{
    const tp_env env = tp_env_plain();
    const uint32_t outputs = task == TP_TASK_MULTICLASS ? 3 : 1;
    tp_model_parts parts = {.task = task,
                            .objective = task == TP_TASK_BINARY       ? TP_OBJECTIVE_BINARY
                                         : task == TP_TASK_MULTICLASS ? TP_OBJECTIVE_MULTICLASS
                                                                      : TP_OBJECTIVE_SQUARED,
                            .class_count = task == TP_TASK_BINARY ? 2
                                           : outputs == 3         ? 3
                                                                  : 0,
                            .threshold = 0.5,
                            .foreign = foreign};
    ASSERT_OK(tp_gbt_new(env.alloc, 1, outputs, 0, &parts.gbt, &test_err));
    for (uint32_t k = 0; k < outputs; k++) {
        parts.gbt->base[k] = base[k];
    }
    ASSERT_OK(tp_gbt_finish(parts.gbt, NULL, &test_err));
    *ret_model = NULL;
    return tp_model_new(&env, &parts, ret_model, &test_err);
}

static double predict_at(tp_model *model, const double *const *columns, double *ret_probability)
{
    const tp_env env = tp_env_plain();
    double prediction = 0;
    tp_predictor *predictor = NULL;
    ASSERT_OK(tp_predictor_new(&env, model, 1, &predictor, &test_err));
    tp_predict(predictor, columns, 1,
               &(tp_prediction){.probability = ret_probability, .prediction = &prediction});
    tp_predictor_free(predictor);
    return prediction;
}

static double predict(tp_model *model, double *ret_probability)
{
    const double value = 0;
    const double *const columns[1] = {&value};
    return predict_at(model, columns, ret_probability);
}

static double value_of(tp_link link, double scale, double divisor, double margin)
{
    tp_model *model;
    ASSERT_OK(
        new_model(TP_TASK_REGRESSION, (tp_foreign){link, scale, divisor, 0}, &margin, &model));
    const double value = predict(model, NULL);
    tp_model_free(model);
    return value;
}

static void test_values(void)
{
    const double e = tp_libm_exp(-1.5);
    ASSERT_EQ_F64(value_of(TP_LINK_IDENTITY, 1, 1, 1.5), 1.5);
    ASSERT_EQ_F64(value_of(TP_LINK_IDENTITY, 1, 4, 1.5), 0.375);
    ASSERT_EQ_F64(value_of(TP_LINK_XGB_LOGISTIC, 1, 1, 1.5),
                  (double)(1.0f / (tp_libm_expf(-1.5f) + 1.0f)));
    ASSERT_EQ_F64(value_of(TP_LINK_XGB_LOGISTIC, 1, 1, -200), (double)(1.0f / tp_libm_expf(88.7f)));
    ASSERT_EQ_F64(value_of(TP_LINK_XGB_EXP, 1, 1, 1.5), (double)tp_libm_expf(1.5f));
    ASSERT_EQ_F64(value_of(TP_LINK_XGB_HINGE, 1, 1, 0.1), 1);
    ASSERT_EQ_F64(value_of(TP_LINK_XGB_HINGE, 1, 1, 0), 0);
    ASSERT_EQ_F64(value_of(TP_LINK_LGB_LOGISTIC, 1, 1, 1.5), 1 / (1 + e));
    ASSERT_EQ_F64(value_of(TP_LINK_LGB_LOGISTIC, 0.5, 1, 3), 1 / (1 + e));
    ASSERT_EQ_F64(value_of(TP_LINK_LGB_EXP, 1, 1, -1.5), e);
    ASSERT_EQ_F64(value_of(TP_LINK_LGB_SQUARE, 1, 1, -3), -9);
    ASSERT_EQ_F64(value_of(TP_LINK_ONNX_LOGISTIC, 1, 1, -1.5),
                  (double)(1.0f - 1.0f / (1.0f + tp_libm_expf(-1.5f))));
}

static void test_classes(void)
{
    static const tp_link links[] = {TP_LINK_XGB_SOFTMAX, TP_LINK_LGB_SOFTMAX, TP_LINK_ONNX_SOFTMAX};
    const double base[3] = {0.5, 2.5, -1};
    for (size_t i = 0; i < 3; i++) {
        tp_model *model;
        double p[3];
        ASSERT_OK(new_model(TP_TASK_MULTICLASS, (tp_foreign){links[i], 1, 1, 0}, base, &model));
        ASSERT_EQ_F64(predict(model, p), 1);
        ASSERT(fabs(p[0] + p[1] + p[2] - 1) < 1e-6);
        ASSERT(fabs(p[0] / p[1] - exp(-2)) < 1e-6);
        ASSERT(((double)(float)p[0] == p[0]) == (links[i] != TP_LINK_LGB_SOFTMAX));
        tp_model_free(model);
    }
    tp_model *model;
    double p[3];
    ASSERT_OK(new_model(TP_TASK_MULTICLASS, (tp_foreign){TP_LINK_LGB_LOGISTIC_EACH, 1, 1, 0}, base,
                        &model));
    ASSERT_EQ_F64(predict(model, p), 1);
    ASSERT_EQ_F64(p[2], 1 / (1 + tp_libm_exp(1)));
    tp_model_free(model);
}

// What onnxruntime 1.32 gave for these margins.
static void test_onnx_links(void)
{
    ASSERT_EQ_F64(value_of(TP_LINK_ONNX_FLOAT32, 1, 3, 1), (double)(1.0f / 3.0f));
    ASSERT_EQ_F64(value_of(TP_LINK_ONNX_SIGMOID, 1, 1, 0), 0.5);
    ASSERT(fabs(value_of(TP_LINK_ONNX_SIGMOID, 1, 1, 1.5) - 1 / (1 + exp(-1.5))) < 1e-7);
    ASSERT_EQ_F64(value_of(TP_LINK_ONNX_SIGMOID, 1, 1, 40),
                  value_of(TP_LINK_ONNX_SIGMOID, 1, 1, 18));
    ASSERT(value_of(TP_LINK_ONNX_SIGMOID, 1, 1, -40) >= 0);
    ASSERT(isnan(value_of(TP_LINK_ONNX_SIGMOID, 1, 1, (double)NAN)));
    const double margins[3] = {1, 0, 2};
    tp_model *model;
    double p[3];
    ASSERT_OK(new_model(TP_TASK_MULTICLASS, (tp_foreign){TP_LINK_ONNX_SOFTMAX_ZERO, 1, 1, 0},
                        margins, &model));
    ASSERT_EQ_F64(predict(model, p), 2);
    ASSERT_EQ_F64(p[0], 0.2689414322376251);
    ASSERT_EQ_F64(p[1], 0);
    ASSERT_EQ_F64(p[2], 0.7310585975646973);
    tp_model_free(model);
    ASSERT_OK(new_model(TP_TASK_MULTICLASS, (tp_foreign){TP_LINK_ONNX_SOFTMAX_LANES, 1, 1, 0},
                        margins, &model));
    ASSERT_EQ_F64(predict(model, p), 2);
    for (int k = 0; k < 3; k++) {
        const double total = exp(1) + 1 + exp(2);
        ASSERT(fabs(p[k] - exp(margins[k]) / total) < 1e-7);
        ASSERT_EQ_F64((double)(float)p[k], p[k]);
    }
    tp_model_free(model);
}

static double two_classes(uint32_t link, uint32_t flags, double threshold, double margin,
                          double *ret_probability)
{
    tp_model *model;
    ASSERT_OK(new_model(TP_TASK_BINARY, (tp_foreign){link, 1, 1, flags}, &margin, &model));
    ASSERT_OK(tp_model_set_decision(model, NULL, threshold, &test_err));
    const double label = predict(model, ret_probability);
    tp_model_free(model);
    return label;
}

static void test_flags(void)
{
    double p = 0;
    ASSERT_EQ_F64(two_classes(TP_LINK_ONNX_LOGISTIC, 0, 0.5, 1e-30, &p), 1);
    ASSERT_EQ_F64(p, 0.5); // so the margin must be asked whether it is above 0
    ASSERT_EQ_F64(two_classes(TP_LINK_ONNX_LOGISTIC, TP_FOREIGN_BY_MARGIN, 0x1p-1074, 0, &p), 0);
    ASSERT_EQ_F64(two_classes(TP_LINK_ONNX_LOGISTIC, TP_FOREIGN_BY_MARGIN, 0x1p-1074, 1e-30, &p),
                  1);
    const uint32_t mirrored = TP_FOREIGN_MIRRORED | TP_FOREIGN_BY_MARGIN;
    ASSERT_EQ_F64(two_classes(TP_LINK_ONNX_SOFTMAX, mirrored, 0x1p-1074, -1, &p), 0);
    const float e = tp_libm_expf(-2.0f);
    ASSERT_EQ_F64(p, (double)(e / (1.0f + e)));
    ASSERT_EQ_F64(two_classes(TP_LINK_ONNX_FLOAT32, mirrored | TP_FOREIGN_L1, 0x1p-1074, 3, &p), 1);
    ASSERT_EQ_F64(p, 0.5); // of |-3| + |3|
    ASSERT_EQ_F64(two_classes(TP_LINK_ONNX_FLOAT32, mirrored | TP_FOREIGN_L1, 0x1p-1074, 0, &p), 0);
    ASSERT_EQ_F64(p, 0); // a sum of 0 divides nothing
    const double margins[3] = {1, 3, 4};
    tp_model *model;
    double parts[3];
    ASSERT_OK(new_model(TP_TASK_MULTICLASS, (tp_foreign){TP_LINK_ONNX_FLOAT32, 1, 1, TP_FOREIGN_L1},
                        margins, &model));
    ASSERT_EQ_F64(predict(model, parts), 2);
    ASSERT_EQ_F64(parts[1], 0.375);
    tp_model_free(model);
}

static void test_what_does_not_fit_is_refused(void)
{
    const double base[3] = {0, 0, 0};
    static const struct {
        tp_task task;
        tp_foreign foreign;
        const char *part;
    } cases[] = {
        {TP_TASK_BINARY, {TP_LINK_XGB_SOFTMAX, 1, 1, 0}, "does not go with a binary model"},
        {TP_TASK_REGRESSION, {99, 1, 1, 0}, "link 99"},
        {TP_TASK_BINARY, {TP_LINK_XGB_LOGISTIC, (double)NAN, 1, 0}, "finite scale"},
        {TP_TASK_BINARY, {TP_LINK_XGB_LOGISTIC, 1, 0, 0}, "divisor"},
        {TP_TASK_BINARY, {TP_LINK_ONNX_SIGMOID, 1, 1, 8}, "flags 8"},
        {TP_TASK_BINARY, {TP_LINK_ONNX_SIGMOID, 1, 1, TP_FOREIGN_L1}, "flags 2"},
        {TP_TASK_REGRESSION, {TP_LINK_ONNX_FLOAT32, 1, 1, TP_FOREIGN_BY_MARGIN}, "flags 1"},
        {TP_TASK_MULTICLASS, {TP_LINK_ONNX_SOFTMAX, 1, 1, TP_FOREIGN_MIRRORED}, "flags 4"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tp_model *model;
        ASSERT_FAILS(new_model(cases[i].task, cases[i].foreign, base, &model), TAPEOUT_E_INVALID,
                     cases[i].part);
    }
}

static void test_there_and_back(void)
{
    const tp_env env = tp_env_plain();
    const double base = 0.25;
    const tp_learn_feature feature = {.name = {"x", 1}};
    tp_model *model;
    tp_model *again = NULL;
    tp_buffer bytes;
    ASSERT_OK(
        new_model(TP_TASK_BINARY, (tp_foreign){TP_LINK_LGB_LOGISTIC, 0.5, 3, 0}, &base, &model));
    tp_buffer_init(&bytes, env.alloc, 1 << 20);
    tp_model_write(model, &bytes);
    ASSERT_EQ_INT(bytes.data[4], 2);
    ASSERT_OK(tp_model_read(&env, tp_buffer_view(&bytes), &feature, 1, &again, &test_err));
    double p = 0;
    double q = 0;
    ASSERT_EQ_F64(predict(again, &p), predict(model, &q));
    ASSERT_EQ_F64(p, q);
    tp_model_free(again);
    bytes.data[56] = 0; // no link: that would be version 1
    ASSERT_FAILS(tp_model_read(&env, tp_buffer_view(&bytes), &feature, 1, &again, &test_err),
                 TAPEOUT_E_CORRUPT, "without a link");
    bytes.data[60] = 9;
    bytes.data[56] = 7;
    ASSERT_FAILS(tp_model_read(&env, tp_buffer_view(&bytes), &feature, 1, &again, &test_err),
                 TAPEOUT_E_CORRUPT, "flags 9");
    bytes.data[60] = 0;
    bytes.data[56] = 77;
    ASSERT_FAILS(tp_model_read(&env, tp_buffer_view(&bytes), &feature, 1, &again, &test_err),
                 TAPEOUT_E_CORRUPT, "link 77");
    tp_buffer_deinit(&bytes);
    tp_model_free(model);
}

// What a mean of trees is explained by adds up to the mean, not to the sum.
static void test_explanations_are_divided_too(void)
{
    const tp_env env = tp_env_plain();
    const tp_linear_foreign from = {1, 1, 0, (double[]){3}, (double[]){1}};
    tp_model_parts parts = {.task = TP_TASK_REGRESSION,
                            .objective = TP_OBJECTIVE_SQUARED,
                            .kind = TP_LEARNER_LINEAR,
                            .foreign = {TP_LINK_IDENTITY, 1, 4, 0}};
    const double value = 2;
    const double *const columns[1] = {&value};
    const uint32_t *const lists[1] = {(uint32_t[]){0}};
    const tp_explain_groups groups = {1, lists, (uint32_t[]){1}};
    double base = 0;
    double why = 0;
    tp_model *model = NULL;
    ASSERT_OK(tp_linear_from(env.alloc, &from, &parts.linear, &test_err));
    ASSERT_OK(tp_model_new(&env, &parts, &model, &test_err));
    ASSERT_EQ_F64(predict_at(model, columns, NULL), 7.0 / 4);
    ASSERT_OK(
        tp_model_explain(&env, model, &groups, columns, 1, &(tp_shapley){&why, &base}, &test_err));
    ASSERT_EQ_F64(base, 1.0 / 4);
    ASSERT_EQ_F64(why, 6.0 / 4);
    tp_model_free(model);
}

TEST_MAIN(TEST(test_explanations_are_divided_too), TEST(test_values), TEST(test_classes),
          TEST(test_onnx_links), TEST(test_flags), TEST(test_what_does_not_fit_is_refused),
          TEST(test_there_and_back))
