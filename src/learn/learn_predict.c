// SPDX-License-Identifier: Apache-2.0
//
// From columns to margin, probability and decision: the only way a prediction is made, whether for
// a million rows of a file or for one record of a request.
//
// Every step works element by element over the rows of a block (the softmax class by class, in
// order), so the bits of a row's result do not depend on what else is in the block.
#include "learn/tp_learn.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "kernels/tp_math.h"
#include "learn/gbt/tp_gbt.h"
#include "learn/learn_priv.h"
#include "learn/linear/tp_linear.h"

#include <assert.h>

struct tp_predictor {
    const tapeout_allocator *alloc;
    const tp_model *model;
    uint32_t max_rows;
    uint32_t output_count; // K
    double *margin;        // [K][max_rows], where the caller wants none
    double *probability;   // [K][max_rows], likewise
    double *row;           // [max_rows] the softmax's maximum
    double *total;         // [max_rows] and its denominator
    void *scratch;         // of the trees
    size_t scratch_bytes;
};

static size_t matrix_count(const tp_predictor *predictor)
{
    return (size_t)predictor->output_count * predictor->max_rows;
}

static bool predictor_alloc(tp_predictor *predictor)
{
    const tp_model_parts *parts = &predictor->model->parts;
    const size_t count = matrix_count(predictor);
    predictor->margin = tp_alloc_array(predictor->alloc, count, sizeof(double));
    predictor->probability = tp_alloc_array(predictor->alloc, count, sizeof(double));
    predictor->row = tp_alloc_array(predictor->alloc, predictor->max_rows, sizeof(double));
    predictor->total = tp_alloc_array(predictor->alloc, predictor->max_rows, sizeof(double));
    if (parts->kind == TP_LEARNER_GBT) {
        predictor->scratch_bytes = tp_gbt_scratch_size(parts->gbt, predictor->max_rows);
    }
    if (predictor->scratch_bytes > 0) {
        predictor->scratch = tp_alloc_aligned(predictor->alloc, predictor->scratch_bytes);
    }
    return predictor->margin != NULL && predictor->probability != NULL && predictor->row != NULL &&
           predictor->total != NULL &&
           (predictor->scratch != NULL || predictor->scratch_bytes == 0);
}

tapeout_status tp_predictor_new(const tp_env *env, const tp_model *model, uint32_t max_rows,
                                tp_predictor **ret_predictor, tapeout_error *err)
{
    if (max_rows == 0) {
        return tp_fail(err, TAPEOUT_E_INVALID, "predictor: blocks of 0 rows; expected at least 1");
    }
    tp_predictor *predictor = tp_alloc_zero(env->alloc, sizeof(*predictor));
    if (predictor == NULL) {
        return tp_fail_nomem(err);
    }
    predictor->alloc = env->alloc;
    predictor->model = model;
    predictor->max_rows = max_rows;
    predictor->output_count = tp_model_output_count(&model->parts);
    if (!predictor_alloc(predictor)) {
        tp_predictor_free(predictor);
        return tp_fail_nomem(err);
    }
    *ret_predictor = predictor;
    return TAPEOUT_OK;
}

void tp_predictor_free(tp_predictor *predictor)
{
    if (predictor == NULL) {
        return;
    }
    const tapeout_allocator *alloc = predictor->alloc;
    const size_t count = matrix_count(predictor);
    tp_free_array(alloc, predictor->margin, count, sizeof(double));
    tp_free_array(alloc, predictor->probability, count, sizeof(double));
    tp_free_array(alloc, predictor->row, predictor->max_rows, sizeof(double));
    tp_free_array(alloc, predictor->total, predictor->max_rows, sizeof(double));
    if (predictor->scratch != NULL) {
        tp_free_aligned(alloc, predictor->scratch, predictor->scratch_bytes);
    }
    tp_free(alloc, predictor, sizeof(*predictor));
}

// -- binary --------------------------------------------------------------------------------------
static void predict_binary(const tp_model_parts *parts, const double *margin, uint32_t row_count,
                           double *ret_probability, double *ret_prediction)
{
    if (parts->calibration.method == TP_CALIBRATION_NONE) {
        tp_logistic_array(margin, ret_probability, row_count);
    } else {
        for (uint32_t r = 0; r < row_count; r++) {
            ret_probability[r] = tp_calibration_apply(&parts->calibration, 0, margin[r]);
        }
    }
    if (ret_prediction != NULL) {
        for (uint32_t r = 0; r < row_count; r++) {
            ret_prediction[r] = ret_probability[r] >= parts->threshold ? 1.0 : 0.0;
        }
    }
}

// -- multiclass ----------------------------------------------------------------------------------
// exp(m - max) over its sum, classes in order; margins and probabilities are [K][row_count].
static void softmax(tp_predictor *predictor, const double *margin, uint32_t row_count,
                    double *ret_probability)
{
    const uint32_t classes = predictor->output_count;
    double *highest = predictor->row;
    double *total = predictor->total;
    for (uint32_t r = 0; r < row_count; r++) {
        highest[r] = margin[r];
        total[r] = 0.0;
    }
    for (uint32_t k = 1; k < classes; k++) {
        const double *of_class = margin + (size_t)k * row_count;
        for (uint32_t r = 0; r < row_count; r++) {
            highest[r] = of_class[r] > highest[r] ? of_class[r] : highest[r];
        }
    }
    for (uint32_t k = 0; k < classes; k++) {
        const double *of_class = margin + (size_t)k * row_count;
        double *out = ret_probability + (size_t)k * row_count;
        for (uint32_t r = 0; r < row_count; r++) {
            out[r] = of_class[r] - highest[r];
        }
        tp_exp_array(out, out, row_count);
        for (uint32_t r = 0; r < row_count; r++) {
            total[r] += out[r];
        }
    }
    for (uint32_t k = 0; k < classes; k++) {
        double *out = ret_probability + (size_t)k * row_count;
        for (uint32_t r = 0; r < row_count; r++) {
            out[r] /= total[r];
        }
    }
}

// The class of the largest score; of equals the one with the larger margin, of those the first.
static void predict_class(const tp_prediction *result, const double *score, uint32_t class_count,
                          uint32_t row_count)
{
    for (uint32_t r = 0; r < row_count; r++) {
        size_t best = r;
        uint32_t best_class = 0;
        for (uint32_t k = 1; k < class_count; k++) {
            const size_t at = (size_t)k * row_count + r;
            if (score[at] > score[best] ||
                (score[at] == score[best] && result->margin[at] > result->margin[best])) {
                best = at;
                best_class = k;
            }
        }
        result->prediction[r] = (double)best_class;
    }
}

static void predict_classes(tp_predictor *predictor, const tp_prediction *result,
                            bool wants_probability, uint32_t row_count)
{
    const tp_model_parts *parts = &predictor->model->parts;
    const bool is_calibrated = parts->calibration.curve_count > 0;
    if (wants_probability || is_calibrated) {
        softmax(predictor, result->margin, row_count, result->probability);
    }
    if (is_calibrated) {
        tp_calibration_apply_classes(&parts->calibration, row_count, predictor->total,
                                     result->probability);
    }
    if (result->prediction != NULL) {
        predict_class(result, is_calibrated ? result->probability : result->margin,
                      parts->class_count, row_count);
    }
}

// -- values --------------------------------------------------------------------------------------
static void predict_value(tp_objective objective, const double *margin, uint32_t row_count,
                          double *ret_prediction)
{
    if (objective == TP_OBJECTIVE_POISSON || objective == TP_OBJECTIVE_TWEEDIE) {
        tp_exp_array(margin, ret_prediction, row_count);
        return;
    }
    for (uint32_t r = 0; r < row_count; r++) {
        ret_prediction[r] = margin[r];
    }
}

void tp_predict(tp_predictor *predictor, const double *const *columns, uint32_t row_count,
                const tp_prediction *ret_prediction)
{
    assert(row_count <= predictor->max_rows);
    const tp_model_parts *parts = &predictor->model->parts;
    double *margin = ret_prediction->margin != NULL ? ret_prediction->margin : predictor->margin;
    double *probability =
        ret_prediction->probability != NULL ? ret_prediction->probability : predictor->probability;
    if (parts->kind == TP_LEARNER_GBT) {
        tp_gbt_margins(parts->gbt, columns, row_count, predictor->scratch, margin);
    } else {
        tp_linear_margins(parts->linear, columns, row_count, margin);
    }
    const tp_prediction result = {margin, probability, ret_prediction->prediction};
    if (parts->foreign.link != TP_LINK_OWN) {
        tp_foreign_predict(parts, &result, row_count);
        return;
    }
    if (parts->task == TP_TASK_BINARY) {
        predict_binary(parts, margin, row_count, probability, ret_prediction->prediction);
        return;
    }
    if (parts->task == TP_TASK_MULTICLASS) {
        predict_classes(predictor, &result, ret_prediction->probability != NULL, row_count);
        return;
    }
    if (ret_prediction->prediction != NULL) {
        predict_value(parts->objective, margin, row_count, ret_prediction->prediction);
    }
}
