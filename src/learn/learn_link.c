// SPDX-License-Identifier: Apache-2.0
//
// Predictions of models that another program trained: the formula with which that program turns a
// margin into a probability or value, in its width and with the bits of its exponential
// (kernels/tp_libm.h). Each row by itself, classes in order.
#include "base/tp_error.h"
#include "kernels/tp_libm.h"
#include "kernels/tp_math.h"
#include "learn/learn_priv.h"

#include <math.h>
#include <string.h>

typedef struct link_row {
    const double *margin; // those of the row, `stride` apart
    double *probability;
    size_t stride;
    uint32_t class_count;
} link_row;

// -- values of one margin ------------------------------------------------------------------------

static double xgb_logistic(double margin)
{
    const float bounded = fminf(-(float)margin, 88.7f);
    const float below = tp_libm_expf(bounded) + 1.0f + 1e-16f;
    return (double)(1.0f / below);
}

static double lgb_logistic(double margin, double scale)
{
    return 1.0 / (1.0 + tp_libm_exp(-scale * margin));
}

static double onnx_logistic(double margin)
{
    const float x = (float)margin;
    const float value = 1.0f / (1.0f + tp_libm_expf(-fabsf(x)));
    return (double)(x < 0 ? 1.0f - value : value);
}

static double value_of(const tp_foreign *foreign, double margin)
{
    switch (foreign->link) {
    case TP_LINK_XGB_LOGISTIC:
        return xgb_logistic(margin);
    case TP_LINK_XGB_EXP:
        return (double)tp_libm_expf((float)margin);
    case TP_LINK_XGB_HINGE:
        return margin > 0 ? 1.0 : 0.0;
    case TP_LINK_LGB_LOGISTIC:
    case TP_LINK_LGB_LOGISTIC_EACH:
        return lgb_logistic(margin, foreign->scale);
    case TP_LINK_LGB_EXP:
        return tp_libm_exp(margin);
    case TP_LINK_LGB_SQUARE:
        return (margin > 0 ? 1.0 : margin < 0 ? -1.0 : 0.0) * margin * margin;
    case TP_LINK_LGB_LOG1P_EXP:
        return tp_log1p(tp_libm_exp(margin));
    case TP_LINK_ONNX_LOGISTIC:
        return onnx_logistic(margin);
    default: // IDENTITY
        return margin;
    }
}

// -- classes -------------------------------------------------------------------------------------

static double highest(const link_row *row)
{
    double most = row->margin[0];
    for (uint32_t k = 1; k < row->class_count; k++) {
        const double next = row->margin[k * row->stride];
        most = next > most ? next : most;
    }
    return most;
}

// float32, the sum in float64.
static void xgb_softmax(const link_row *row)
{
    const float most = (float)highest(row);
    double total = 0.0;
    for (uint32_t k = 0; k < row->class_count; k++) {
        const float part = tp_libm_expf((float)row->margin[k * row->stride] - most);
        row->probability[k * row->stride] = (double)part;
        total += (double)part;
    }
    for (uint32_t k = 0; k < row->class_count; k++) {
        double *part = &row->probability[k * row->stride];
        *part = (double)((float)*part / (float)total);
    }
}

static void lgb_softmax(const link_row *row)
{
    const double most = highest(row);
    double total = 0.0;
    for (uint32_t k = 0; k < row->class_count; k++) {
        const double part = tp_libm_exp(row->margin[k * row->stride] - most);
        row->probability[k * row->stride] = part;
        total += part;
    }
    for (uint32_t k = 0; k < row->class_count; k++) {
        row->probability[k * row->stride] /= total;
    }
}

// float32 throughout; with `keep_zero` a margin of 0 has no part.
static void onnx_softmax(const link_row *row, bool keep_zero)
{
    const float most = (float)highest(row);
    float total = 0.0f;
    for (uint32_t k = 0; k < row->class_count; k++) {
        const float margin = (float)row->margin[k * row->stride];
        const bool is_kept = keep_zero && fabsf(margin) <= 0.0000001f;
        const float part = is_kept ? margin * tp_libm_expf(-most) : tp_libm_expf(margin - most);
        row->probability[k * row->stride] = (double)part;
        total += part;
    }
    for (uint32_t k = 0; k < row->class_count; k++) {
        double *part = &row->probability[k * row->stride];
        *part = (double)((float)*part / total);
    }
}

static void class_probabilities(const tp_foreign *foreign, const link_row *row)
{
    switch (foreign->link) {
    case TP_LINK_XGB_SOFTMAX:
    case TP_LINK_XGB_ARGMAX:
        xgb_softmax(row);
        return;
    case TP_LINK_LGB_SOFTMAX:
        lgb_softmax(row);
        return;
    case TP_LINK_ONNX_SOFTMAX:
    case TP_LINK_ONNX_SOFTMAX_ZERO:
        onnx_softmax(row, foreign->link == TP_LINK_ONNX_SOFTMAX_ZERO);
        return;
    default:
        for (uint32_t k = 0; k < row->class_count; k++) {
            row->probability[k * row->stride] = value_of(foreign, row->margin[k * row->stride]);
        }
        return;
    }
}

static double first_of_highest(const double *values, size_t stride, uint32_t count)
{
    uint32_t best = 0;
    for (uint32_t k = 1; k < count; k++) {
        best = values[k * stride] > values[best * stride] ? k : best;
    }
    return (double)best;
}

// -- a block -------------------------------------------------------------------------------------

static void apply_classes(const tp_model_parts *parts, const tp_prediction *result,
                          uint32_t row_count)
{
    for (uint32_t r = 0; r < row_count; r++) {
        const link_row row = {.margin = result->margin + r,
                              .probability = result->probability + r,
                              .stride = row_count,
                              .class_count = parts->class_count};
        class_probabilities(&parts->foreign, &row);
        if (result->prediction != NULL) {
            const bool by_margin = parts->foreign.link == TP_LINK_XGB_ARGMAX;
            result->prediction[r] = first_of_highest(by_margin ? row.margin : row.probability,
                                                     row_count, row.class_count);
        }
    }
}

void tp_foreign_predict(const tp_model_parts *parts, const tp_prediction *result,
                        uint32_t row_count)
{
    const tp_foreign *foreign = &parts->foreign;
    const size_t margins = (size_t)row_count * tp_model_output_count(parts);
    for (size_t i = 0; foreign->divisor != 1.0 && i < margins; i++) {
        result->margin[i] /= foreign->divisor;
    }
    if (parts->task == TP_TASK_MULTICLASS) {
        apply_classes(parts, result, row_count);
        return;
    }
    for (uint32_t r = 0; r < row_count; r++) {
        const double value = value_of(foreign, result->margin[r]);
        if (parts->task == TP_TASK_BINARY) {
            result->probability[r] = value;
        }
        if (result->prediction != NULL) {
            const bool is_positive = value >= parts->threshold;
            result->prediction[r] = parts->task != TP_TASK_BINARY ? value : is_positive ? 1.0 : 0.0;
        }
    }
}

// -- what fits -----------------------------------------------------------------------------------

tapeout_status tp_foreign_check(const tp_model_parts *parts, tapeout_status breach,
                                tapeout_error *err)
{
    const tp_foreign *foreign = &parts->foreign;
    const uint32_t link = foreign->link;
    if (link == TP_LINK_OWN) {
        return TAPEOUT_OK;
    }
    const bool is_known = strcmp(tp_link_name((tp_link)link), "unknown") != 0;
    const bool is_softmax = link == TP_LINK_XGB_SOFTMAX || link == TP_LINK_XGB_ARGMAX ||
                            link == TP_LINK_LGB_SOFTMAX || link == TP_LINK_ONNX_SOFTMAX ||
                            link == TP_LINK_ONNX_SOFTMAX_ZERO;
    if (!is_known || (is_softmax && parts->task != TP_TASK_MULTICLASS)) {
        return tp_fail(err, breach, "model: link %u does not go with a %s model", link,
                       tp_task_name(parts->task));
    }
    if (!isfinite(foreign->scale) || !isfinite(foreign->divisor) || foreign->divisor == 0.0 ||
        parts->calibration.method != TP_CALIBRATION_NONE) {
        return tp_fail(
            err, breach,
            "model: an imported one needs a finite scale and divisor and no calibration");
    }
    return TAPEOUT_OK;
}
