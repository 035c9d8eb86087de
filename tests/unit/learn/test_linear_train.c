// SPDX-License-Identifier: Apache-2.0
//
// Linear models against scikit-learn's predictions at 1e-6, and what they promise by themselves:
// the same bytes for any number of threads, a sentence for what they cannot do.
#include "learn/linear/tp_linear.h"

#include "kernels/tp_math.h"
#include "learn_support.h"
#include "linear_tables.h"

#include <math.h>

enum { FEATURES = 4 };

static const double *const columns[FEATURES] = {linear_number_0, linear_number_1, linear_number_2,
                                                linear_category};
static const tp_learn_feature features[FEATURES] = {
    {.name = {"a", 1}},
    {.name = {"b", 1}},
    {.name = {"c", 1}},
    {.name = {"d", 1}, .is_category = true, .category_count = LINEAR_CATEGORIES}};

static tp_linear *train(const tp_env *env, const tp_linear_options *options, const double *target,
                        const double *weight)
{
    tp_learn_data data = support_data(columns, features, FEATURES, target, LINEAR_ROWS);
    data.weight = weight;
    tp_linear *linear = NULL;
    ASSERT_OK(tp_linear_train(env, &data, options, &linear, &test_err));
    return linear;
}

static tp_linear_options options_of(tp_objective objective, double alpha, double l1_ratio)
{
    tp_linear_options options;
    tp_linear_options_init(&options, objective);
    options.alpha = alpha;
    options.l1_ratio = l1_ratio;
    options.tolerance = 1e-8;
    options.class_count = objective == TP_OBJECTIVE_MULTICLASS ? 3 : 0;
    return options;
}

static void link_values(tp_objective objective, uint32_t outputs, double *values)
{
    for (uint32_t r = 0; r < LINEAR_ROWS; r++) {
        if (objective == TP_OBJECTIVE_BINARY) {
            values[r] = tp_logistic(values[r]);
        } else if (objective == TP_OBJECTIVE_POISSON) {
            values[r] = tp_exp(values[r]);
        } else if (objective == TP_OBJECTIVE_MULTICLASS) {
            double total = 0.0;
            for (uint32_t k = 0; k < outputs; k++) {
                total += tp_exp(values[k * LINEAR_ROWS + r]);
            }
            for (uint32_t k = 0; k < outputs; k++) {
                values[k * LINEAR_ROWS + r] = tp_exp(values[k * LINEAR_ROWS + r]) / total;
            }
        }
    }
}

static void check_against(const tp_linear_options *options, const double *target,
                          const double *weight, const double *want)
{
    const tp_env env = tp_env_plain();
    tp_linear *linear = train(&env, options, target, weight);
    const uint32_t outputs = tp_linear_output_count(linear);
    double got[3 * LINEAR_ROWS];
    tp_linear_margins(linear, columns, LINEAR_ROWS, got);
    link_values(options->objective, outputs, got);
    double worst = 0.0;
    for (uint32_t i = 0; i < outputs * LINEAR_ROWS; i++) {
        const double gap = fabs(got[i] - want[i]) / (1.0 + fabs(want[i]));
        worst = gap > worst ? gap : worst;
    }
    tp_linear_free(linear);
    if (!(worst < 1e-6)) {
        test_fail(__FILE__, __LINE__, "farthest from scikit-learn: %g", worst);
    }
}

static void test_squared(void)
{
    const tp_linear_options options = options_of(TP_OBJECTIVE_SQUARED, 0.05, 0.5);
    check_against(&options, linear_value, NULL, linear_want_value);
    check_against(&options, linear_value, linear_weight, linear_want_value_weighted);
}

static void test_logistic(void)
{
    const tp_linear_options net = options_of(TP_OBJECTIVE_BINARY, 0.01, 0.3);
    const tp_linear_options ridge = options_of(TP_OBJECTIVE_BINARY, 0.001, 0.0);
    check_against(&net, linear_binary, NULL, linear_want_binary);
    check_against(&ridge, linear_binary, linear_weight, linear_want_binary_weighted);
}

static void test_multinomial(void)
{
    const tp_linear_options options = options_of(TP_OBJECTIVE_MULTICLASS, 0.01, 0.4);
    check_against(&options, linear_class, NULL, linear_want_class);
}

static void test_poisson(void)
{
    const tp_linear_options options = options_of(TP_OBJECTIVE_POISSON, 0.02, 0.0);
    check_against(&options, linear_count, NULL, linear_want_count);
}

static void test_same_bytes_for_any_threads(void)
{
    const tp_objective objectives[] = {TP_OBJECTIVE_SQUARED, TP_OBJECTIVE_MULTICLASS};
    const double *const targets[] = {linear_value, linear_class};
    for (uint32_t i = 0; i < 2; i++) {
        const tp_linear_options options = options_of(objectives[i], 0.01, 0.5);
        tp_buffer first;
        for (uint32_t threads = 1; threads <= 7; threads += 3) {
            tp_env env = support_env(threads);
            tp_linear *linear = train(&env, &options, targets[i], NULL);
            tp_buffer bytes;
            tp_buffer_init(&bytes, env.alloc, 1 << 20);
            tp_linear_write(linear, &bytes);
            if (threads == 1) {
                first = bytes;
            } else {
                ASSERT_EQ_BYTES(bytes.data, bytes.size, first.data, first.size);
                tp_buffer_deinit(&bytes);
            }
            tp_linear_free(linear);
            tp_pool_free(env.pool);
        }
        tp_buffer_deinit(&first);
    }
}

// A missing number is at its mean, an unknown category at the mean of the known ones.
static void test_what_is_missing_says_nothing(void)
{
    const tp_env env = tp_env_plain();
    const tp_linear_options options = options_of(TP_OBJECTIVE_SQUARED, 0.01, 0.5);
    tp_linear *linear = train(&env, &options, linear_value, NULL);
    const double nothing[] = {(double)NAN, (double)INFINITY, 99.0};
    const double *const empty[FEATURES] = {nothing, nothing, nothing, nothing};
    double margin[3];
    tp_linear_margins(linear, empty, 3, margin);
    double mean = 0.0;
    for (uint32_t r = 0; r < LINEAR_ROWS; r++) {
        mean += linear_value[r] / LINEAR_ROWS;
    }
    ASSERT(fabs(margin[0] - mean) < 1e-9);
    ASSERT(fabs(margin[0] - tp_linear_base(linear, 0)) < 1e-12);
    ASSERT_EQ_F64(margin[1], margin[0]);
    double contribution[3];
    const tp_linear_values values = {3, 3, nothing};
    tp_linear_contributions(linear, 0, &values, contribution);
    ASSERT(contribution[2] == 0.0);
    tp_linear_free(linear);
}

// Contributions add up to the margin and average to nothing.
static void test_contributions(void)
{
    const tp_env env = tp_env_plain();
    const tp_linear_options options = options_of(TP_OBJECTIVE_BINARY, 0.01, 0.5);
    tp_linear *linear = train(&env, &options, linear_binary, linear_weight);
    double margin[LINEAR_ROWS];
    double sum[LINEAR_ROWS];
    tp_linear_margins(linear, columns, LINEAR_ROWS, margin);
    for (uint32_t r = 0; r < LINEAR_ROWS; r++) {
        sum[r] = tp_linear_base(linear, 0);
    }
    for (uint32_t f = 0; f < FEATURES; f++) {
        double contribution[LINEAR_ROWS];
        double mean = 0.0;
        const tp_linear_values values = {f, LINEAR_ROWS, columns[f]};
        tp_linear_contributions(linear, 0, &values, contribution);
        for (uint32_t r = 0; r < LINEAR_ROWS; r++) {
            sum[r] += contribution[r];
            mean += linear_weight[r] * contribution[r];
        }
        ASSERT(fabs(mean) < 1e-7); // the mean of a column at 1e6 is exact to 1e-10
    }
    for (uint32_t r = 0; r < LINEAR_ROWS; r++) {
        ASSERT(fabs(sum[r] - margin[r]) < 1e-12);
    }
    tp_linear_free(linear);
}

static void test_lasso_drops_what_does_not_help(void)
{
    const tp_env env = tp_env_plain();
    tp_linear_options options = options_of(TP_OBJECTIVE_SQUARED, 1e6, 1.0);
    tp_linear *linear = train(&env, &options, linear_value, NULL);
    double margin[LINEAR_ROWS];
    tp_linear_margins(linear, columns, LINEAR_ROWS, margin);
    for (uint32_t r = 1; r < LINEAR_ROWS; r++) {
        ASSERT_EQ_F64(margin[r], margin[0]);
    }
    tp_linear_free(linear);
}

static void test_bytes_there_and_back(void)
{
    const tp_env env = tp_env_plain();
    const tp_linear_options options = options_of(TP_OBJECTIVE_MULTICLASS, 0.01, 0.5);
    tp_linear *linear = train(&env, &options, linear_class, NULL);
    tp_buffer bytes;
    tp_buffer_init(&bytes, env.alloc, 1 << 20);
    tp_linear_write(linear, &bytes);
    tp_linear *back = NULL;
    ASSERT_OK(tp_linear_read(&env, tp_buffer_view(&bytes), features, FEATURES, &back, &test_err));
    tp_buffer again;
    tp_buffer_init(&again, env.alloc, 1 << 20);
    tp_linear_write(back, &again);
    ASSERT_EQ_BYTES(again.data, again.size, bytes.data, bytes.size);
    tp_linear_free(back);
    back = NULL;
    for (size_t size = 0; size < bytes.size; size++) {
        const tp_str cut = {bytes.data, size};
        ASSERT_FAILS(tp_linear_read(&env, cut, features, FEATURES, &back, &test_err),
                     TAPEOUT_E_CORRUPT, NULL);
        ASSERT(back == NULL);
    }
    ASSERT_FAILS(
        tp_linear_read(&env, tp_buffer_view(&bytes), features, FEATURES - 1, &back, &test_err),
        TAPEOUT_E_CORRUPT, "4 features");
    memset(bytes.data + bytes.size - 8, 0xff, 8); // the last number becomes NaN
    ASSERT_FAILS(tp_linear_read(&env, tp_buffer_view(&bytes), features, FEATURES, &back, &test_err),
                 TAPEOUT_E_CORRUPT, "finite");
    tp_buffer_deinit(&bytes);
    tp_buffer_deinit(&again);
    tp_linear_free(linear);
}

static void test_refusals(void)
{
    const tp_env env = tp_env_plain();
    tp_learn_data data = support_data(columns, features, FEATURES, linear_value, LINEAR_ROWS);
    tp_linear *linear = NULL;
    tp_linear_options options = options_of(TP_OBJECTIVE_HUBER, 0.01, 0.5);
    ASSERT_FAILS(tp_linear_train(&env, &data, &options, &linear, &test_err), TAPEOUT_E_UNSUPPORTED,
                 "use learner: gbt");
    options = options_of(TP_OBJECTIVE_POISSON, 0.01, 0.5);
    ASSERT_FAILS(tp_linear_train(&env, &data, &options, &linear, &test_err), TAPEOUT_E_DATA,
                 "poisson");
    options = options_of(TP_OBJECTIVE_SQUARED, -1.0, 0.5);
    ASSERT_FAILS(tp_linear_train(&env, &data, &options, &linear, &test_err), TAPEOUT_E_INVALID,
                 "alpha");
    options.alpha = 0.1;
    data.row_count = 0;
    ASSERT_FAILS(tp_linear_train(&env, &data, &options, &linear, &test_err), TAPEOUT_E_DATA,
                 "no training rows");
    const tp_learn_feature wide = {.is_category = true, .category_count = 5000};
    data = support_data(columns, &wide, 1, linear_value, LINEAR_ROWS);
    ASSERT_FAILS(tp_linear_train(&env, &data, &options, &linear, &test_err), TAPEOUT_E_LIMIT,
                 "min_count");
    ASSERT(linear == NULL);
}

static void test_constant_and_missing_columns_are_harmless(void)
{
    const tp_env env = tp_env_plain();
    double constant[LINEAR_ROWS];
    double missing[LINEAR_ROWS];
    for (uint32_t r = 0; r < LINEAR_ROWS; r++) {
        constant[r] = 0.1;
        missing[r] = (double)NAN;
    }
    const double *const odd[] = {constant, missing, linear_number_0};
    const tp_learn_feature three[3] = {{.monotone = 0}, {.monotone = 0}, {.monotone = 0}};
    const tp_learn_data data = support_data(odd, three, 3, linear_value, LINEAR_ROWS);
    const tp_linear_options options = options_of(TP_OBJECTIVE_SQUARED, 0.0, 0.5);
    tp_linear *linear = NULL;
    ASSERT_OK(tp_linear_train(&env, &data, &options, &linear, &test_err));
    const double elsewhere[] = {1e9};
    const double *const at[] = {elsewhere, elsewhere, linear_number_0};
    double margin[2];
    tp_linear_margins(linear, odd, 1, &margin[0]);
    tp_linear_margins(linear, at, 1, &margin[1]);
    ASSERT_EQ_F64(margin[0], margin[1]);
    tp_linear_free(linear);
}

static tapeout_status scenario(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    (void)user;
    tp_env env = tp_env_plain();
    env.alloc = alloc;
    const tp_learn_data data = support_data(columns, features, FEATURES, linear_class, LINEAR_ROWS);
    tp_linear_options options = options_of(TP_OBJECTIVE_MULTICLASS, 0.01, 0.5);
    options.tolerance = 1e-2;
    tp_linear *linear = NULL;
    tp_linear *back = NULL;
    tp_buffer bytes;
    tp_buffer_init(&bytes, alloc, 1 << 20);
    tapeout_status status = tp_linear_train(&env, &data, &options, &linear, err);
    if (status == TAPEOUT_OK) {
        tp_linear_write(linear, &bytes);
        status = tp_buffer_check(&bytes, "linear", err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_linear_read(&env, tp_buffer_view(&bytes), features, FEATURES, &back, err);
    }
    tp_buffer_deinit(&bytes);
    tp_linear_free(linear);
    tp_linear_free(back);
    return status;
}

static void test_out_of_memory_leaves_nothing(void)
{
    test_out_of_memory(scenario, NULL);
}

TEST_MAIN(TEST(test_squared), TEST(test_logistic), TEST(test_multinomial), TEST(test_poisson),
          TEST(test_same_bytes_for_any_threads), TEST(test_what_is_missing_says_nothing),
          TEST(test_contributions), TEST(test_lasso_drops_what_does_not_help),
          TEST(test_bytes_there_and_back), TEST(test_refusals),
          TEST(test_constant_and_missing_columns_are_harmless),
          TEST(test_out_of_memory_leaves_nothing))
