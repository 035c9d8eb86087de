// SPDX-License-Identifier: Apache-2.0
//
// The model as others see it: links and decisions, one row as in a block, bytes there and back and
// every way of damaging them, permutation importance.
#include "learn/tp_learn.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_random.h"
#include "kernels/tp_math.h"
#include "learn/gbt/tp_gbt.h"
#include "learn/learn_priv.h"
#include "learn/linear/tp_linear.h"
#include "learn/tp_importance.h"
#include "learn/tp_metrics.h"
#include "learn_support.h"

#include <math.h>

enum { ROWS = 600, FEATURES = 4, CLASSES = 4 };

static double values[FEATURES][ROWS];
static double target[ROWS];
static const double *const columns[FEATURES] = {values[0], values[1], values[2], values[3]};
static const tp_learn_feature features[FEATURES] = {
    {.name = {"a", 1}},
    {.name = {"b", 1}},
    {.name = {"c", 1}, .is_category = true, .category_count = 6},
    {.name = {"noise", 5}}};

static tp_objective objective_of(tp_task task)
{
    return task == TP_TASK_BINARY       ? TP_OBJECTIVE_BINARY
           : task == TP_TASK_MULTICLASS ? TP_OBJECTIVE_MULTICLASS
           : task == TP_TASK_COUNT      ? TP_OBJECTIVE_POISSON
                                        : TP_OBJECTIVE_SQUARED;
}

static void make_rows(tp_task task)
{
    for (uint32_t r = 0; r < ROWS; r++) {
        values[0][r] = tp_random_f64(1, 0, r);
        values[1][r] = r % 11 == 0 ? (double)NAN : tp_random_f64(1, 1, r) * 100.0;
        values[2][r] = (double)tp_random_below(1, 2, r, 6);
        values[3][r] = tp_random_f64(1, 3, r);
        const double signal = values[0][r] * 3.0 + (values[2][r] > 2.0 ? 1.0 : 0.0) +
                              (isnan(values[1][r]) ? 0.0 : values[1][r] / 100.0);
        target[r] = task == TP_TASK_REGRESSION ? signal : floor(signal);
        if (task == TP_TASK_BINARY) {
            target[r] = signal > 2.2 ? 1.0 : 0.0;
        } else if (task == TP_TASK_MULTICLASS) {
            target[r] = target[r] < CLASSES ? target[r] : CLASSES - 1;
        }
    }
}

static tp_model *train(const tp_env *env, tp_task task, tp_learner_kind kind)
{
    make_rows(task);
    tp_model_parts parts = {.task = task,
                            .objective = objective_of(task),
                            .class_count = task == TP_TASK_BINARY       ? 2
                                           : task == TP_TASK_MULTICLASS ? CLASSES
                                                                        : 0,
                            .kind = kind,
                            .threshold = 0.5};
    const tp_learn_data data = support_data(columns, features, FEATURES, target, ROWS);
    if (kind == TP_LEARNER_GBT) {
        tp_gbt_options options;
        tp_gbt_options_init(&options, parts.objective);
        options.class_count = parts.class_count;
        options.trees = 10;
        options.leaves = 8;
        tp_gbt_report report;
        ASSERT_OK(tp_gbt_train(env, &data, NULL, &options, &parts.gbt, &report, &test_err));
    } else {
        tp_linear_options options;
        tp_linear_options_init(&options, parts.objective);
        options.class_count = parts.class_count;
        ASSERT_OK(tp_linear_train(env, &data, &options, &parts.linear, &test_err));
    }
    tp_model *model = NULL;
    ASSERT_OK(tp_model_new(env, &parts, &model, &test_err));
    return model;
}

typedef struct results {
    double margin[CLASSES * ROWS];
    double probability[CLASSES * ROWS];
    double prediction[ROWS];
} results;

static void predict(const tp_model *model, uint32_t begin, uint32_t count, results *ret_results)
{
    const tp_env env = tp_env_plain();
    const double *from[FEATURES];
    for (uint32_t f = 0; f < FEATURES; f++) {
        from[f] = columns[f] + begin;
    }
    tp_predictor *predictor = NULL;
    ASSERT_OK(tp_predictor_new(&env, model, count, &predictor, &test_err));
    const tp_prediction out = {ret_results->margin, ret_results->probability,
                               ret_results->prediction};
    tp_predict(predictor, from, count, &out);
    tp_predictor_free(predictor);
}

static const tp_task tasks[] = {TP_TASK_BINARY, TP_TASK_MULTICLASS, TP_TASK_REGRESSION,
                                TP_TASK_COUNT};

static uint32_t output_count(const tp_model *model)
{
    return tp_model_view(model)->task == TP_TASK_MULTICLASS ? CLASSES : 1;
}

static void test_links(void)
{
    static results got;
    const tp_env env = tp_env_plain();
    for (uint32_t t = 0; t < 4; t++) {
        tp_model *model = train(&env, tasks[t], TP_LEARNER_GBT);
        predict(model, 0, ROWS, &got);
        for (uint32_t r = 0; r < ROWS; r++) {
            const double margin = got.margin[r];
            if (tasks[t] == TP_TASK_BINARY) {
                ASSERT_EQ_F64(got.probability[r], tp_logistic(margin));
                ASSERT_EQ_F64(got.prediction[r], margin >= 0.0 ? 1.0 : 0.0);
            } else if (tasks[t] == TP_TASK_REGRESSION) {
                ASSERT_EQ_F64(got.prediction[r], margin);
            } else if (tasks[t] == TP_TASK_COUNT) {
                ASSERT_EQ_F64(got.prediction[r], tp_exp(margin));
            } else {
                double sum = 0.0;
                const double *of_row = got.probability + r;
                for (uint32_t k = 0; k < CLASSES; k++) {
                    sum += of_row[(size_t)k * ROWS];
                    const uint32_t choice = (uint32_t)got.prediction[r];
                    ASSERT(of_row[(size_t)k * ROWS] <= of_row[(size_t)choice * ROWS]);
                }
                ASSERT(fabs(sum - 1.0) < 1e-15 * CLASSES);
            }
        }
        tp_model_free(model);
    }
}

static void test_one_row_as_in_a_block(void)
{
    static results all;
    static results one;
    const tp_env env = tp_env_plain();
    for (uint32_t t = 0; t < 8; t++) {
        tp_model *model =
            train(&env, tasks[t / 2], t % 2 == 0 ? TP_LEARNER_GBT : TP_LEARNER_LINEAR);
        const uint32_t outputs = output_count(model);
        predict(model, 0, ROWS, &all);
        for (uint32_t begin = 0, count = 1; begin + count <= ROWS; begin += count, count += 7) {
            predict(model, begin, count, &one);
            for (uint32_t r = 0; r < count; r++) {
                ASSERT_EQ_F64(one.prediction[r], all.prediction[begin + r]);
                for (uint32_t k = 0; k < outputs; k++) {
                    ASSERT_EQ_F64(one.margin[k * count + r], all.margin[k * ROWS + begin + r]);
                    if (outputs > 1) {
                        ASSERT_EQ_F64(one.probability[k * count + r],
                                      all.probability[k * ROWS + begin + r]);
                    }
                }
            }
        }
        tp_model_free(model);
    }
}

static void test_results_that_nobody_wants(void)
{
    static results all;
    static double probability[CLASSES * ROWS];
    const tp_env env = tp_env_plain();
    for (uint32_t t = 0; t < 2; t++) {
        tp_model *model = train(&env, tasks[t], TP_LEARNER_GBT);
        predict(model, 0, ROWS, &all);
        tp_predictor *predictor = NULL;
        ASSERT_OK(tp_predictor_new(&env, model, ROWS, &predictor, &test_err));
        tp_predict(predictor, columns, ROWS, &(tp_prediction){.probability = probability});
        const size_t size = output_count(model) * sizeof(double) * ROWS;
        ASSERT_EQ_BYTES(probability, size, all.probability, size);
        tp_predictor_free(predictor);
        tp_model_free(model);
    }
}

// A curve of two steps for each output.
static tp_calibration two_steps(const tapeout_allocator *alloc, uint32_t curve_count)
{
    tp_calibration calibration;
    ASSERT_OK(
        tp_calibration_init(alloc, TP_CALIBRATION_ISOTONIC, curve_count, &calibration, &test_err));
    for (uint32_t k = 0; k < curve_count; k++) {
        tp_calibration_curve *curve = &calibration.curves[k];
        ASSERT_OK(tp_calibration_curve_init(alloc, 2, curve, &test_err));
        curve->points[0] = -1.0;
        curve->points[1] = 0.5;
        curve->values[0] = 0.25 / (k + 1);
        curve->values[1] = 0.75;
    }
    return calibration;
}

static void test_decision(void)
{
    static results got;
    const tp_env env = tp_env_plain();
    tp_model *model = train(&env, TP_TASK_BINARY, TP_LEARNER_GBT);
    tp_calibration calibration = two_steps(env.alloc, 1);
    ASSERT_OK(tp_model_set_decision(model, &calibration, 0.75, &test_err));
    ASSERT(calibration.curves == NULL);
    predict(model, 0, ROWS, &got);
    for (uint32_t r = 0; r < ROWS; r++) {
        ASSERT_EQ_F64(got.probability[r], got.margin[r] >= 0.5 ? 0.75 : 0.25);
        ASSERT_EQ_F64(got.prediction[r], got.margin[r] >= 0.5 ? 1.0 : 0.0);
    }
    calibration = two_steps(env.alloc, 1);
    calibration.curves[0].points[1] = -2.0; // does not ascend
    ASSERT_FAILS(tp_model_set_decision(model, &calibration, 0.5, &test_err), TAPEOUT_E_INVALID,
                 "ascend");
    ASSERT_EQ_F64(tp_model_view(model)->threshold, 0.75);
    ASSERT_FAILS(tp_model_set_decision(model, NULL, (double)NAN, &test_err), TAPEOUT_E_INVALID,
                 "threshold");
    tp_model_free(model);
}

// Several classes: probabilities are by the curves, their sum is one, the prediction is theirs, and
// equals are told apart by the margin.
static void test_decision_of_classes(void)
{
    static results plain;
    static results got;
    const tp_env env = tp_env_plain();
    tp_model *model = train(&env, TP_TASK_MULTICLASS, TP_LEARNER_GBT);
    const uint32_t classes = output_count(model);
    predict(model, 0, ROWS, &plain);
    tp_calibration calibration = two_steps(env.alloc, classes);
    const tp_calibration kept = calibration;
    ASSERT_OK(tp_model_set_decision(model, &calibration, 0.5, &test_err));
    predict(model, 0, ROWS, &got);
    bool differs = false;
    for (uint32_t r = 0; r < ROWS; r++) {
        double curve[TP_MAX_CLASSES];
        double sum = 0.0;
        uint32_t best = 0;
        for (uint32_t k = 0; k < classes; k++) {
            const double odds = tp_calibration_log_odds(plain.probability[k * ROWS + r]);
            curve[k] = tp_calibration_apply(&kept, k, odds);
            sum += curve[k];
            const bool is_more = curve[k] > curve[best] ||
                                 (curve[k] == curve[best] &&
                                  plain.margin[k * ROWS + r] > plain.margin[best * ROWS + r]);
            best = is_more ? k : best;
        }
        for (uint32_t k = 0; k < classes; k++) {
            ASSERT_EQ_F64(got.probability[k * ROWS + r], curve[k] / sum);
        }
        ASSERT_EQ_F64(got.prediction[r], (double)best);
        differs |= got.prediction[r] != plain.prediction[r];
    }
    ASSERT(differs);
    calibration = two_steps(env.alloc, classes - 1);
    ASSERT_FAILS(tp_model_set_decision(model, &calibration, 0.5, &test_err), TAPEOUT_E_INVALID,
                 "not sound");
    tp_model_free(model);
}

// -- bytes ---------------------------------------------------------------------------------------
static void write_model(const tp_model *model, tp_buffer *ret_bytes)
{
    tp_buffer_init(ret_bytes, tp_allocator_default(), 1 << 22);
    tp_model_write(model, ret_bytes);
    ASSERT_OK(tp_buffer_check(ret_bytes, "model", &test_err));
}

static void test_bytes_there_and_back(void)
{
    const tp_env env = tp_env_plain();
    for (uint32_t t = 0; t < 8; t++) {
        tp_model *model =
            train(&env, tasks[t / 2], t % 2 == 0 ? TP_LEARNER_GBT : TP_LEARNER_LINEAR);
        if (tp_model_view(model)->class_count > 0) {
            tp_calibration calibration = two_steps(env.alloc, output_count(model));
            ASSERT_OK(tp_model_set_decision(model, &calibration, 0.3, &test_err));
        }
        tp_buffer bytes;
        tp_buffer again;
        tp_model *back = NULL;
        write_model(model, &bytes);
        ASSERT_OK(
            tp_model_read(&env, tp_buffer_view(&bytes), features, FEATURES, &back, &test_err));
        write_model(back, &again);
        ASSERT_EQ_BYTES(again.data, again.size, bytes.data, bytes.size);
        static results want;
        static results got;
        predict(model, 0, ROWS, &want);
        predict(back, 0, ROWS, &got);
        ASSERT_EQ_BYTES(got.prediction, sizeof(got.prediction), want.prediction,
                        sizeof(want.prediction));
        if (tp_model_view(model)->class_count > 0) {
            const size_t size = output_count(model) * sizeof(double) * ROWS;
            ASSERT_EQ_BYTES(got.probability, size, want.probability, size);
        }
        tp_buffer_deinit(&bytes);
        tp_buffer_deinit(&again);
        tp_model_free(model);
        tp_model_free(back);
    }
}

static void test_cut_bytes_are_refused(void)
{
    const tp_env env = tp_env_plain();
    for (uint32_t t = 0; t < 3; t++) {
        tp_model *model = train(&env, t < 2 ? TP_TASK_BINARY : TP_TASK_MULTICLASS,
                                t == 0 ? TP_LEARNER_GBT : TP_LEARNER_LINEAR);
        tp_calibration calibration = two_steps(env.alloc, output_count(model));
        ASSERT_OK(tp_model_set_decision(model, &calibration, 0.3, &test_err));
        tp_buffer bytes;
        write_model(model, &bytes);
        tp_model *back = NULL;
        for (size_t size = 0; size < bytes.size; size++) {
            const tp_str cut = {bytes.data, size};
            ASSERT_FAILS(tp_model_read(&env, cut, features, FEATURES, &back, &test_err),
                         TAPEOUT_E_CORRUPT, NULL);
        }
        ASSERT(back == NULL);
        tp_buffer_deinit(&bytes);
        tp_model_free(model);
    }
}

typedef struct damage {
    size_t offset;
    uint32_t value;
    tapeout_status status;
    const char *part;
} damage;

static void test_damaged_heads_are_refused(void)
{
    static const damage damages[] = {
        {0, 7, TAPEOUT_E_CORRUPT, "no model"},
        {4, 99, TAPEOUT_E_UNSUPPORTED, "version 99"},
        {8, 77, TAPEOUT_E_CORRUPT, "task 77"},
        {12, TP_OBJECTIVE_SQUARED, TAPEOUT_E_CORRUPT, "objective"},
        {16, 3, TAPEOUT_E_CORRUPT, "3 classes"},
        {20, 9, TAPEOUT_E_CORRUPT, "learner 9"},
        {24, 5, TAPEOUT_E_CORRUPT, "calibration 5"},
        {28, UINT32_MAX, TAPEOUT_E_CORRUPT, "points"},
        {36, 0x7ff00000, TAPEOUT_E_CORRUPT, "threshold"},  // upper half: infinity
        {60, 0x7ff80000, TAPEOUT_E_CORRUPT, "calibration"} // first point: not a number
    };
    const tp_env env = tp_env_plain();
    tp_model *model = train(&env, TP_TASK_BINARY, TP_LEARNER_LINEAR);
    tp_calibration calibration = two_steps(env.alloc, 1);
    ASSERT_OK(tp_model_set_decision(model, &calibration, 0.3, &test_err));
    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        tp_buffer bytes;
        write_model(model, &bytes);
        memcpy(bytes.data + damages[i].offset, &damages[i].value, sizeof(uint32_t));
        tp_model *back = NULL;
        ASSERT_FAILS(
            tp_model_read(&env, tp_buffer_view(&bytes), features, FEATURES, &back, &test_err),
            damages[i].status, damages[i].part);
        tp_buffer_deinit(&bytes);
    }
    tp_model_free(model);
}

static void test_learner_must_fit_the_task(void)
{
    const tp_env env = tp_env_plain();
    tp_model *donor = train(&env, TP_TASK_MULTICLASS, TP_LEARNER_LINEAR);
    tp_buffer bytes;
    tp_buffer_init(&bytes, env.alloc, 1 << 20);
    tp_linear_write(tp_model_view(donor)->linear, &bytes);
    tp_model_parts parts = {.task = TP_TASK_BINARY,
                            .objective = TP_OBJECTIVE_BINARY,
                            .class_count = 2,
                            .kind = TP_LEARNER_LINEAR};
    ASSERT_OK(
        tp_linear_read(&env, tp_buffer_view(&bytes), features, FEATURES, &parts.linear, &test_err));
    tp_model *model = NULL;
    ASSERT_FAILS(tp_model_new(&env, &parts, &model, &test_err), TAPEOUT_E_INVALID, "4 outputs");
    ASSERT(model == NULL);
    tp_buffer_deinit(&bytes);
    tp_model_free(donor);
}

// -- importance ----------------------------------------------------------------------------------
static void test_importance(void)
{
    const tp_env one = tp_env_plain();
    tp_model *model = train(&one, TP_TASK_BINARY, TP_LEARNER_GBT);
    const tp_learn_data data = support_data(columns, features, FEATURES, target, ROWS);
    const tp_importance_options options = {.metric = TP_METRIC_AUC, .repeats = 3, .seed = 5};
    double got[FEATURES];
    double first[FEATURES];
    for (uint32_t threads = 1; threads <= 7; threads += 3) {
        tp_env env = support_env(threads);
        ASSERT_OK(tp_importance_permutation(&env, model, &data, &options, got, &test_err));
        if (threads == 1) {
            memcpy(first, got, sizeof(first));
        }
        ASSERT_EQ_BYTES(got, sizeof(got), first, sizeof(first));
        tp_pool_free(env.pool);
    }
    ASSERT(got[0] > 0.1 && got[0] > got[1] && got[1] > got[3] && got[2] > got[3]);
    tp_importance_options loss = options;
    loss.metric = TP_METRIC_LOG_LOSS; // smaller is better: the sign is turned
    ASSERT_OK(tp_importance_permutation(&one, model, &data, &loss, got, &test_err));
    ASSERT(got[0] > 0.1);
    loss.metric = TP_METRIC_RMSE;
    ASSERT_FAILS(tp_importance_permutation(&one, model, &data, &loss, got, &test_err),
                 TAPEOUT_E_INVALID, "rmse is not defined");
    loss.repeats = 0;
    ASSERT_FAILS(tp_importance_permutation(&one, model, &data, &loss, got, &test_err),
                 TAPEOUT_E_INVALID, "0 repeats");
    tp_model_free(model);
}

static void test_unused_features_have_none(void)
{
    const tp_env env = tp_env_plain();
    make_rows(TP_TASK_BINARY);
    const tp_learn_data data = support_data(columns, features, FEATURES, target, ROWS);
    tp_gbt_options options;
    tp_gbt_report report;
    tp_gbt_options_init(&options, TP_OBJECTIVE_BINARY);
    options.trees = 1;
    options.leaves = 2;
    tp_model_parts parts = {.task = TP_TASK_BINARY,
                            .objective = TP_OBJECTIVE_BINARY,
                            .class_count = 2,
                            .threshold = 0.5};
    ASSERT_OK(tp_gbt_train(&env, &data, NULL, &options, &parts.gbt, &report, &test_err));
    tp_model *model = NULL;
    ASSERT_OK(tp_model_new(&env, &parts, &model, &test_err));
    const tp_importance_options how = {.metric = TP_METRIC_BRIER, .repeats = 1};
    double got[FEATURES];
    ASSERT_OK(tp_importance_permutation(&env, model, &data, &how, got, &test_err));
    ASSERT(got[0] > 0.0);
    for (uint32_t f = 1; f < FEATURES; f++) {
        ASSERT_EQ_F64(got[f], 0.0);
    }
    tp_model_free(model);
}

// -- memory --------------------------------------------------------------------------------------
static tapeout_status scenario(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    const tp_buffer *bytes = user;
    tp_env env = tp_env_plain();
    env.alloc = alloc;
    tp_model *model = NULL;
    tp_predictor *predictor = NULL;
    double importance[FEATURES];
    const tp_learn_data data = support_data(columns, features, FEATURES, target, ROWS);
    const tp_importance_options options = {.metric = TP_METRIC_BRIER, .repeats = 1};
    tapeout_status status =
        tp_model_read(&env, tp_buffer_view(bytes), features, FEATURES, &model, err);
    ASSERT(status == TAPEOUT_OK || model == NULL);
    if (status == TAPEOUT_OK) {
        status = tp_predictor_new(&env, model, 16, &predictor, err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_importance_permutation(&env, model, &data, &options, importance, err);
    }
    tp_predictor_free(predictor);
    tp_model_free(model);
    return status;
}

static void test_out_of_memory_leaves_nothing(void)
{
    const tp_env env = tp_env_plain();
    for (uint32_t i = 0; i < 4; i++) {
        tp_model *model =
            train(&env, i < 2 ? TP_TASK_BINARY : TP_TASK_MULTICLASS, (tp_learner_kind)(i % 2));
        tp_calibration calibration = two_steps(env.alloc, output_count(model));
        ASSERT_OK(tp_model_set_decision(model, &calibration, 0.3, &test_err));
        tp_buffer bytes;
        write_model(model, &bytes);
        test_out_of_memory(scenario, &bytes);
        tp_buffer_deinit(&bytes);
        tp_model_free(model);
    }
}

static void test_words(void)
{
    tp_task task;
    tp_objective objective;
    ASSERT(tp_task_from_name(TP_STR("quantile"), &task) && task == TP_TASK_QUANTILE);
    ASSERT(!tp_task_from_name(TP_STR("binar"), &task));
    ASSERT(tp_objective_from_name(TP_STR("tweedie"), &objective));
    ASSERT_EQ_STR(tp_objective_name(objective), "tweedie");
    ASSERT_EQ_STR(tp_task_name(TP_TASK_COUNT), "count");
}

TEST_MAIN(TEST(test_links), TEST(test_one_row_as_in_a_block), TEST(test_results_that_nobody_wants),
          TEST(test_decision), TEST(test_decision_of_classes), TEST(test_bytes_there_and_back),
          TEST(test_cut_bytes_are_refused), TEST(test_damaged_heads_are_refused),
          TEST(test_learner_must_fit_the_task), TEST(test_importance),
          TEST(test_unused_features_have_none), TEST(test_out_of_memory_leaves_nothing),
          TEST(test_words))
