// SPDX-License-Identifier: Apache-2.0
//
// A calibration as part of a model: applied, checked, written and read. Fitting one is a matter of
// its own (learn_calibrate.c).
//
// A binary model has one curve, from its margin to a probability. A model of several classes has a
// curve for each, from the log-odds of the class against all others; what the curves give is
// divided by its sum (Zadrozny and Elkan, 2002).
#include "learn/tp_learn.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "kernels/tp_math.h"
#include "learn/learn_priv.h"
#include "learn/tp_metrics.h"

#include <math.h>

static void curve_deinit(const tapeout_allocator *alloc, tp_calibration_curve *curve)
{
    tp_free_array(alloc, curve->points, curve->point_count, sizeof(double));
    tp_free_array(alloc, curve->values, curve->point_count, sizeof(double));
}

void tp_calibration_deinit(const tapeout_allocator *alloc, tp_calibration *calibration)
{
    for (uint32_t k = 0; k < calibration->curve_count; k++) {
        curve_deinit(alloc, &calibration->curves[k]);
    }
    tp_free_array(alloc, calibration->curves, calibration->curve_count,
                  sizeof(*calibration->curves));
    *calibration = (tp_calibration){0};
}

tapeout_status tp_calibration_init(const tapeout_allocator *alloc, uint32_t method,
                                   uint32_t curve_count, tp_calibration *ret_calibration,
                                   tapeout_error *err)
{
    *ret_calibration = (tp_calibration){.method = method};
    if (method == TP_CALIBRATION_NONE) {
        return TAPEOUT_OK;
    }
    ret_calibration->curves =
        tp_alloc_array_zero(alloc, curve_count, sizeof(*ret_calibration->curves));
    if (ret_calibration->curves == NULL) {
        return tp_fail_nomem(err);
    }
    ret_calibration->curve_count = curve_count;
    return TAPEOUT_OK;
}

tapeout_status tp_calibration_curve_init(const tapeout_allocator *alloc, uint32_t point_count,
                                         tp_calibration_curve *curve, tapeout_error *err)
{
    curve->point_count = point_count;
    curve->points = tp_alloc_array(alloc, point_count, sizeof(double));
    curve->values = tp_alloc_array(alloc, point_count, sizeof(double));
    return curve->points != NULL && curve->values != NULL ? TAPEOUT_OK : tp_fail_nomem(err);
}

// -- applying ------------------------------------------------------------------------------------
// The last step at or below the margin; the first one below it all. A missing margin (NaN) fails
// every comparison and ends at the first step.
static double isotonic_apply(const tp_calibration_curve *curve, double margin)
{
    uint32_t low = 0;
    uint32_t count = curve->point_count;
    while (count > 1) {
        const uint32_t half = count / 2;
        if (curve->points[low + half] <= margin) {
            low += half;
            count -= half;
        } else {
            count = half;
        }
    }
    return curve->values[low];
}

double tp_calibration_apply(const tp_calibration *calibration, uint32_t index, double margin)
{
    const tp_calibration_curve *curve = &calibration->curves[index];
    return calibration->method == TP_CALIBRATION_PLATT
               ? tp_logistic(curve->platt_a * margin + curve->platt_b)
               : isotonic_apply(curve, margin);
}

double tp_calibration_log_odds(double probability)
{
    static const double least = 0x1p-52; // certainty would be infinite
    const double p = probability < least         ? least
                     : probability > 1.0 - least ? 1.0 - least
                                                 : probability;
    return tp_log(p / (1.0 - p));
}

void tp_calibration_apply_classes(const tp_calibration *calibration, uint32_t row_count,
                                  double *total, double *probability)
{
    const uint32_t classes = calibration->curve_count;
    for (uint32_t r = 0; r < row_count; r++) {
        total[r] = 0.0;
    }
    for (uint32_t k = 0; k < classes; k++) {
        double *of_class = probability + (size_t)k * row_count;
        for (uint32_t r = 0; r < row_count; r++) {
            of_class[r] =
                tp_calibration_apply(calibration, k, tp_calibration_log_odds(of_class[r]));
            total[r] += of_class[r];
        }
    }
    for (uint32_t k = 0; k < classes; k++) {
        double *of_class = probability + (size_t)k * row_count;
        for (uint32_t r = 0; r < row_count; r++) {
            // Where every curve says never, none of them says more than another.
            of_class[r] = total[r] > 0.0 ? of_class[r] / total[r] : 1.0 / classes;
        }
    }
}

// -- checking ------------------------------------------------------------------------------------
static bool is_curve_sound(uint32_t method, const tp_calibration_curve *curve)
{
    const uint32_t count = curve->point_count;
    if (method == TP_CALIBRATION_PLATT) {
        return count == 0 && isfinite(curve->platt_a) && isfinite(curve->platt_b);
    }
    if (count == 0 || count > TP_MAX_CALIBRATION_POINTS) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        const bool in_range = curve->values[i] >= 0.0 && curve->values[i] <= 1.0;
        const bool ascends = i == 0 || (curve->points[i] > curve->points[i - 1] &&
                                        curve->values[i] >= curve->values[i - 1]);
        if (!isfinite(curve->points[i]) || !in_range || !ascends) {
            return false;
        }
    }
    return true;
}

tapeout_status tp_calibration_check(const tp_model_parts *parts, tapeout_status breach,
                                    tapeout_error *err)
{
    const tp_calibration *calibration = &parts->calibration;
    const uint32_t method = calibration->method;
    if (method == TP_CALIBRATION_NONE && calibration->curve_count == 0) {
        return TAPEOUT_OK;
    }
    if (parts->class_count == 0) {
        return tp_fail(err, breach, "model: a calibration on a %s model; only classes have one",
                       tp_task_name(parts->task));
    }
    bool is_sound = (method == TP_CALIBRATION_PLATT || method == TP_CALIBRATION_ISOTONIC) &&
                    calibration->curve_count == tp_model_output_count(parts);
    for (uint32_t k = 0; is_sound && k < calibration->curve_count; k++) {
        is_sound = is_curve_sound(method, &calibration->curves[k]);
    }
    return is_sound ? TAPEOUT_OK
                    : tp_fail(err, breach,
                              "model: calibration %u is not sound; points must be finite and "
                              "ascend, values must ascend within 0 and 1",
                              method);
}

// -- bytes ---------------------------------------------------------------------------------------
static void write_points(const tp_calibration_curve *curve, tp_buffer *ret_bytes)
{
    for (uint32_t i = 0; i < curve->point_count; i++) {
        tp_buffer_append_f64le(ret_bytes, curve->points[i]);
    }
    for (uint32_t i = 0; i < curve->point_count; i++) {
        tp_buffer_append_f64le(ret_bytes, curve->values[i]);
    }
}

void tp_calibration_write(const tp_calibration *calibration, tp_buffer *ret_bytes)
{
    for (uint32_t k = 0; k < calibration->curve_count; k++) {
        const tp_calibration_curve *curve = &calibration->curves[k];
        if (k > 0) { // the first one's numbers stand in the model's head
            tp_buffer_append_u32le(ret_bytes, curve->point_count);
            tp_buffer_append_f64le(ret_bytes, curve->platt_a);
            tp_buffer_append_f64le(ret_bytes, curve->platt_b);
        }
        write_points(curve, ret_bytes);
    }
}

static tapeout_status read_points(const tp_env *env, tp_cursor *cursor, uint32_t count,
                                  tp_calibration_curve *curve, tapeout_error *err)
{
    if (count == 0) {
        return TAPEOUT_OK;
    }
    if (count > TP_MAX_CALIBRATION_POINTS || !tp_cursor_has(cursor, (size_t)count * 16)) {
        return tp_fail_at(err, TAPEOUT_E_CORRUPT, cursor->position,
                          "model: %u calibration points at byte %zu; at most %u, within the file",
                          count, cursor->position, TP_MAX_CALIBRATION_POINTS);
    }
    TP_TRY(tp_calibration_curve_init(env->alloc, count, curve, err));
    for (uint32_t i = 0; i < count; i++) {
        curve->points[i] = tp_cursor_f64(cursor);
    }
    for (uint32_t i = 0; i < count; i++) {
        curve->values[i] = tp_cursor_f64(cursor);
    }
    return TAPEOUT_OK;
}

tapeout_status tp_calibration_read(const tp_env *env, tp_cursor *cursor,
                                   const tp_calibration_head *head, tp_calibration *ret_calibration,
                                   tapeout_error *err)
{
    TP_TRY(tp_calibration_init(env->alloc, head->method, head->curve_count, ret_calibration, err));
    const bool is_used = head->point_count != 0 || head->platt_a != 0 || signbit(head->platt_a) ||
                         head->platt_b != 0 || signbit(head->platt_b);
    if (ret_calibration->curve_count == 0 && is_used) {
        return tp_fail(err, TAPEOUT_E_CORRUPT,
                       "model: numbers of a calibration that it does not have");
    }
    for (uint32_t k = 0; k < ret_calibration->curve_count; k++) {
        tp_calibration_curve *curve = &ret_calibration->curves[k];
        const uint32_t count = k == 0 ? head->point_count : tp_cursor_u32(cursor);
        curve->platt_a = k == 0 ? head->platt_a : tp_cursor_f64(cursor);
        curve->platt_b = k == 0 ? head->platt_b : tp_cursor_f64(cursor);
        TP_TRY(tp_cursor_check(cursor, "model", err));
        TP_TRY(read_points(env, cursor, count, curve, err));
    }
    return TAPEOUT_OK;
}
