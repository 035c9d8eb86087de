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

// onnxruntime's own (Eigen's rational function), with fused multiply-add.
static double onnx_sigmoid(double margin)
{
    static const float alpha[] = {4.37031012579801e-11f, 1.15627324459942e-07f,
                                  6.08574864600143e-05f, 8.51377133304701e-03f,
                                  2.48287947061529e-01f};
    static const float beta[] = {6.10247389755681e-13f, 5.76102136993427e-09f,
                                 6.29106785017040e-06f, 1.70198817374094e-03f,
                                 1.16817656904453e-01f, 9.93151921023180e-01f};
    const float narrow = (float)margin;
    const float above = narrow < -18.0f ? -18.0f : narrow;
    const float x = above > 18.0f ? 18.0f : above;
    const float square = x * x;
    float p = alpha[0];
    float q = beta[0];
    for (int i = 1; i < 5; i++) {
        p = fmaf(p, square, alpha[i]);
    }
    for (int i = 1; i < 6; i++) {
        q = fmaf(q, square, beta[i]);
    }
    const float value = p * x / q + 0.5f;
    return (double)(value < 0.0f ? 0.0f : value);
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
    case TP_LINK_ONNX_SIGMOID:
        return onnx_sigmoid(margin);
    case TP_LINK_ONNX_FLOAT32:
        return (double)(float)margin;
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

// float32 throughout; with `keep_zero` a margin of 0 has no part, nor one in the sum.
static void onnx_softmax(const link_row *row, bool keep_zero)
{
    const float most = (float)highest(row);
    float total = 0.0f;
    for (uint32_t k = 0; k < row->class_count; k++) {
        const float margin = (float)row->margin[k * row->stride];
        const bool is_kept = keep_zero && fabsf(margin) <= 0.0000001f;
        const float part = is_kept ? margin * tp_libm_expf(-most) : tp_libm_expf(margin - most);
        row->probability[k * row->stride] = (double)part;
        total += is_kept ? 0.0f : part;
    }
    for (uint32_t k = 0; k < row->class_count; k++) {
        double *part = &row->probability[k * row->stride];
        *part = (double)((float)*part / total);
    }
}

// onnxruntime's own exp of x, which is 0 or below, with fused multiply-add.
static float onnx_exp(float x)
{
    static const float factors[] = {0x1.694000p-10f,
                                    0x1.125edcp-7f,
                                    0x1.555b5ap-5f,
                                    0x1.555450p-3f,
                                    0x1.fffff6p-2f,
                                    1.0f,
                                    1.0f};
    static const float rounding = 12582912.0f; // 1.5 · 2^23: the sum has no fraction
    const float least = -88.3762626647949f;
    float rest = least > x ? least : x;
    const float biased = fmaf(rest, 1.44269504088896341f, rounding);
    const float power = biased - rounding;
    rest = fmaf(power, -6.93145752e-1f, rest);
    rest = fmaf(power, -1.42860677e-6f, rest);
    float value = factors[0];
    for (int i = 1; i < 7; i++) {
        value = fmaf(value, rest, factors[i]);
    }
    uint32_t bits = 0;
    float scale = 0.0f;
    memcpy(&bits, &biased, sizeof(bits));
    bits = (bits << 23) + 0x3f800000u; // 2^power
    memcpy(&scale, &bits, sizeof(scale));
    return value * scale;
}

// The same softmax as a vector of eight computes it: class k is added in lane k mod 8, the lanes by
// halves, and each part multiplied by the inverse of the sum.
static void onnx_softmax_lanes(const link_row *row)
{
    const float most = (float)highest(row);
    float lanes[8] = {0.0f};
    for (uint32_t k = 0; k < row->class_count; k++) {
        const float part = onnx_exp((float)row->margin[k * row->stride] + -most);
        row->probability[k * row->stride] = (double)part;
        lanes[k % 8] += part;
    }
    const float low = (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
    const float high = (lanes[4] + lanes[5]) + (lanes[6] + lanes[7]);
    const float scale = 1.0f / (high + low);
    for (uint32_t k = 0; k < row->class_count; k++) {
        double *part = &row->probability[k * row->stride];
        *part = (double)((float)*part * scale);
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
    case TP_LINK_ONNX_SOFTMAX_LANES:
        onnx_softmax_lanes(row);
        return;
    default:
        for (uint32_t k = 0; k < row->class_count; k++) {
            row->probability[k * row->stride] = value_of(foreign, row->margin[k * row->stride]);
        }
        return;
    }
}

// float32: what is left of each part of the sum of all, where that is not 0.
static void divide_by_sum(const link_row *row)
{
    float total = 0.0f;
    for (uint32_t k = 0; k < row->class_count; k++) {
        total += fabsf((float)row->probability[k * row->stride]);
    }
    for (uint32_t k = 0; total != 0.0f && k < row->class_count; k++) {
        double *part = &row->probability[k * row->stride];
        *part = (double)((float)*part / total);
    }
}

static void row_probabilities(const tp_foreign *foreign, const link_row *row)
{
    class_probabilities(foreign, row);
    if (foreign->flags & TP_FOREIGN_L1) {
        divide_by_sum(row);
    }
}

// Of the second of two classes.
static double mirrored_value(const tp_foreign *foreign, double margin)
{
    const double margins[2] = {-margin, margin};
    double parts[2];
    const link_row row = {margins, parts, 1, 2};
    row_probabilities(foreign, &row);
    return parts[1];
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
        row_probabilities(&parts->foreign, &row);
        if (result->prediction != NULL) {
            const bool by_margin = parts->foreign.link == TP_LINK_XGB_ARGMAX ||
                                   (parts->foreign.flags & TP_FOREIGN_BY_MARGIN);
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
        const double margin = result->margin[r];
        const double value = foreign->flags & TP_FOREIGN_MIRRORED ? mirrored_value(foreign, margin)
                                                                  : value_of(foreign, margin);
        if (parts->task == TP_TASK_BINARY) {
            result->probability[r] = value;
        }
        if (result->prediction != NULL) {
            const double asked = foreign->flags & TP_FOREIGN_BY_MARGIN ? margin : value;
            const bool is_positive = asked >= parts->threshold;
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
                            link == TP_LINK_ONNX_SOFTMAX_ZERO || link == TP_LINK_ONNX_SOFTMAX_LANES;
    const uint32_t all = TP_FOREIGN_BY_MARGIN | TP_FOREIGN_L1 | TP_FOREIGN_MIRRORED;
    const bool is_binary = parts->task == TP_TASK_BINARY;
    const bool is_mirrored = is_binary && (foreign->flags & TP_FOREIGN_MIRRORED);
    const bool has_classes = is_binary || parts->task == TP_TASK_MULTICLASS;
    if (foreign->flags > all || (foreign->flags != 0 && !has_classes) ||
        ((foreign->flags & TP_FOREIGN_MIRRORED) && !is_binary) ||
        ((foreign->flags & TP_FOREIGN_L1) && is_binary && !is_mirrored)) {
        return tp_fail(err, breach, "model: flags %u do not go with a %s model", foreign->flags,
                       tp_task_name(parts->task));
    }
    if (!is_known || (is_softmax && parts->task != TP_TASK_MULTICLASS && !is_mirrored)) {
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
