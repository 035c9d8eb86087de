// SPDX-License-Identifier: Apache-2.0
//
// Models out of arbitrary bytes. What loads must predict and explain inside its arrays, add up, and
// be written again as the same bytes. The first byte decides which features are said to exist.
#include "learn/tp_learn.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FEATURES = 4, ROWS = 5, MOST_OUTPUTS = 16 };

static const tp_learn_feature features[FEATURES] = {
    {.name = {"a", 1}},
    {.name = {"b", 1}},
    {.name = {"c", 1}, .is_category = true, .category_count = 6},
    {.name = {"noise", 5}}};

static const double values[FEATURES][ROWS] = {{0.5, -1e300, (double)NAN, (double)INFINITY, 0.0},
                                              {1.0, 2.0, 3.0, (double)NAN, -0.0},
                                              {0.0, 5.0, (double)NAN, 1e9, -1.0},
                                              {(double)NAN, 1.0, 0.1, 0.2, 1e-300}};
static const double *const columns[FEATURES] = {values[0], values[1], values[2], values[3]};

static void check(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void predict(const tp_env *env, const tp_model *model, double *ret_margin)
{
    double probability[MOST_OUTPUTS * ROWS];
    double prediction[ROWS];
    tp_predictor *predictor = NULL;
    check(tp_predictor_new(env, model, ROWS, &predictor, NULL) == TAPEOUT_OK);
    tp_predict(predictor, columns, ROWS, &(tp_prediction){ret_margin, probability, prediction});
    tp_predictor_free(predictor);
}

static void explain(const tp_env *env, const tp_model *model, uint32_t outputs,
                    const double *margin)
{
    static const uint32_t pair[] = {0, 1};
    static const uint32_t chain[] = {1, 2};
    static const uint32_t third[] = {2};
    const uint32_t *lists[FEATURES] = {pair, chain, third, pair};
    const uint32_t counts[FEATURES] = {2, 2, 1, 2};
    const tp_explain_groups groups = {3, lists, counts};
    double shapley[MOST_OUTPUTS * 3 * ROWS];
    double base[MOST_OUTPUTS];
    const tapeout_status status =
        tp_model_explain(env, model, &groups, columns, ROWS, &(tp_shapley){shapley, base}, NULL);
    // Linear functions in leaves are not explained.
    check(status == TAPEOUT_OK || status == TAPEOUT_E_LIMIT || status == TAPEOUT_E_UNSUPPORTED);
    for (uint32_t i = 0; status == TAPEOUT_OK && i < outputs * ROWS; i++) {
        const uint32_t k = i / ROWS;
        double sum = base[k];
        double size = fabs(sum) + fabs(margin[i]) + 1e-300;
        for (uint32_t g = 0; g < 3; g++) {
            const double value = shapley[(k * 3 + g) * ROWS + i % ROWS];
            sum += value;
            size += fabs(value);
        }
        // Leaves of very different size cancel: then only the larger ones' digits are left.
        check(!isfinite(size) || size > 1e100 || fabs(sum - margin[i]) <= 1e-6 * size + 1e-6);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const tp_env env = tp_env_plain();
    tp_model *model = NULL;
    if (size == 0) {
        return 0;
    }
    const uint32_t feature_count = data[0] % (FEATURES + 1);
    const tp_str bytes = {(const char *)data + 1, size - 1};
    const tapeout_status status = tp_model_read(&env, bytes, features, feature_count, &model, NULL);
    if (status != TAPEOUT_OK) {
        check(status == TAPEOUT_E_CORRUPT || status == TAPEOUT_E_UNSUPPORTED ||
              status == TAPEOUT_E_LIMIT);
        check(model == NULL);
        return 0;
    }
    tp_buffer again;
    tp_buffer_init(&again, env.alloc, 1u << 30);
    tp_model_write(model, &again);
    check(again.size == bytes.size && memcmp(again.data, bytes.data, bytes.size) == 0);
    tp_buffer_deinit(&again);
    const uint32_t classes = tp_model_view(model)->class_count;
    const uint32_t outputs = tp_model_view(model)->task == TP_TASK_MULTICLASS ? classes : 1;
    if (outputs <= MOST_OUTPUTS) {
        double margin[MOST_OUTPUTS * ROWS];
        predict(&env, model, margin);
        explain(&env, model, outputs, margin);
    }
    tp_model_free(model);
    return 0;
}
