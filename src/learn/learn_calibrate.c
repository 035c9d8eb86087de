// SPDX-License-Identifier: Apache-2.0
//
// Calibration of a binary model on margins of rows that it was not trained on: a probability that
// comes true as often as it says.
//
// Platt scaling fits logistic(a · margin + b) to targets drawn in towards the middle by as much as
// the number of cases allows (Platt, 1999), by Newton's method with backtracking (Lin, Lin and
// Weng, 2007). Isotonic regression pools adjacent violators (Ayer et al., 1955) and needs more
// rows, but no shape.
#include "learn/tp_metrics.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "kernels/tp_math.h"
#include "learn/learn_priv.h"

#include <math.h>

// -- applying -----------------------------------------------------------------------------------
void tp_calibration_deinit(const tapeout_allocator *alloc, tp_calibration *calibration)
{
    tp_free_array(alloc, calibration->points, calibration->point_count, sizeof(double));
    tp_free_array(alloc, calibration->values, calibration->point_count, sizeof(double));
    *calibration = (tp_calibration){0};
}

// The last step at or below the margin; the first one below it all. A missing margin (NaN) fails
// every comparison and ends at the first step.
static double isotonic_apply(const tp_calibration *calibration, double margin)
{
    uint32_t low = 0;
    uint32_t count = calibration->point_count;
    while (count > 1) {
        const uint32_t half = count / 2;
        if (calibration->points[low + half] <= margin) {
            low += half;
            count -= half;
        } else {
            count = half;
        }
    }
    return calibration->values[low];
}

double tp_calibration_apply(const tp_calibration *calibration, double margin)
{
    switch (calibration->method) {
    case TP_CALIBRATION_PLATT:
        return tp_logistic(calibration->platt_a * margin + calibration->platt_b);
    case TP_CALIBRATION_ISOTONIC:
        return isotonic_apply(calibration, margin);
    default:
        return tp_logistic(margin);
    }
}

// -- fitting ------------------------------------------------------------------------------------
static double weight_of(const tp_held_out *rows, uint32_t row)
{
    return rows->weight != NULL ? rows->weight[row] : 1.0;
}

// -- Platt ---------------------------------------------------------------------------------------
typedef struct platt_fit {
    const tp_held_out *rows;
    double high; // what a positive aims at
    double low;  // what a negative aims at
} platt_fit;

static double platt_target(const platt_fit *fit, uint32_t row)
{
    return fit->rows->target[row] != 0.0 ? fit->high : fit->low;
}

// Cross entropy of target t at z: log(1 + exp(z)) - t z, written so that nothing overflows.
static double platt_loss(const platt_fit *fit, const double line[2])
{
    double loss = 0.0;
    for (uint32_t r = 0; r < fit->rows->row_count; r++) {
        const double z = line[0] * fit->rows->margin[r] + line[1];
        const double t = platt_target(fit, r);
        const double term =
            z >= 0.0 ? (1.0 - t) * z + tp_log1p(tp_exp(-z)) : tp_log1p(tp_exp(z)) - t * z;
        loss += weight_of(fit->rows, r) * term;
    }
    return loss;
}

typedef struct platt_slope {
    double gradient[2];
    double hessian[3]; // aa, ab, bb
} platt_slope;

static platt_slope platt_slope_at(const platt_fit *fit, const double line[2])
{
    // The little that is added to the diagonal keeps the step defined when all margins are equal.
    platt_slope slope = {{0.0, 0.0}, {1e-12, 0.0, 1e-12}};
    for (uint32_t r = 0; r < fit->rows->row_count; r++) {
        const double margin = fit->rows->margin[r];
        const double p = tp_logistic(line[0] * margin + line[1]);
        const double weight = weight_of(fit->rows, r);
        const double first = weight * (p - platt_target(fit, r));
        const double second = weight * p * (1.0 - p);
        slope.gradient[0] += first * margin;
        slope.gradient[1] += first;
        slope.hessian[0] += second * margin * margin;
        slope.hessian[1] += second * margin;
        slope.hessian[2] += second;
    }
    return slope;
}

// One Newton step, halved until the loss falls; false when it is done.
static bool platt_step(const platt_fit *fit, double line[2], double *loss)
{
    const platt_slope slope = platt_slope_at(fit, line);
    const double *g = slope.gradient;
    const double *h = slope.hessian;
    const double determinant = h[0] * h[2] - h[1] * h[1];
    if (!(determinant > 0.0) || (fabs(g[0]) < 1e-10 && fabs(g[1]) < 1e-10)) {
        return false;
    }
    const double step[2] = {-(h[2] * g[0] - h[1] * g[1]) / determinant,
                            -(h[0] * g[1] - h[1] * g[0]) / determinant};
    const double descent = g[0] * step[0] + g[1] * step[1];
    for (double length = 1.0; length >= 1e-10; length /= 2.0) {
        const double candidate[2] = {line[0] + length * step[0], line[1] + length * step[1]};
        const double next = platt_loss(fit, candidate);
        if (next < *loss + 1e-4 * length * descent) {
            line[0] = candidate[0];
            line[1] = candidate[1];
            *loss = next;
            return true;
        }
    }
    return false;
}

static void fit_platt(const tp_held_out *rows, const double class_weight[2],
                      tp_calibration *ret_calibration)
{
    const platt_fit fit = {.rows = rows,
                           .high = (class_weight[1] + 1.0) / (class_weight[1] + 2.0),
                           .low = 1.0 / (class_weight[0] + 2.0)};
    double line[2] = {0.0, tp_log((class_weight[1] + 1.0) / (class_weight[0] + 1.0))};
    double loss = platt_loss(&fit, line);
    for (uint32_t iteration = 0; iteration < 100 && platt_step(&fit, line, &loss); iteration++) {
    }
    ret_calibration->method = TP_CALIBRATION_PLATT;
    ret_calibration->platt_a = line[0];
    ret_calibration->platt_b = line[1];
}

// -- isotonic ------------------------------------------------------------------------------------
// A run of margins that share one value: the weighted mean of its targets.
typedef struct isotonic_block {
    double first; // smallest margin
    double last;  // largest margin
    double weight;
    double value;
} isotonic_block;

static isotonic_block pool(isotonic_block a, isotonic_block b)
{
    const double weight = a.weight + b.weight;
    return (isotonic_block){a.first, b.last, weight,
                            (a.weight * a.value + b.weight * b.value) / weight};
}

// Rows of equal margin become one block first, then each block that is not above the one before it
// is pooled with it. Returns how many are left.
static uint32_t pool_violators(const tp_held_out *rows, const uint32_t *order,
                               isotonic_block *blocks)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < rows->row_count;) {
        const double margin = rows->margin[order[i]];
        isotonic_block next = {margin, margin, 0.0, 0.0};
        for (; i < rows->row_count && rows->margin[order[i]] == margin; i++) {
            next.weight += weight_of(rows, order[i]);
            next.value += weight_of(rows, order[i]) * rows->target[order[i]];
        }
        if (!(next.weight > 0.0)) {
            continue;
        }
        next.value /= next.weight;
        while (count > 0 && blocks[count - 1].value >= next.value) {
            next = pool(blocks[--count], next);
        }
        blocks[count++] = next;
    }
    return count;
}

// A step lies halfway between two blocks, and never at or below the lower one.
static double step_between(const isotonic_block *low, const isotonic_block *high)
{
    const double middle = low->last + (high->first - low->last) / 2.0;
    return middle > low->last && middle <= high->first ? middle : high->first;
}

static tapeout_status keep_blocks(const tp_env *env, const isotonic_block *blocks, uint32_t count,
                                  tp_calibration *ret_calibration, tapeout_error *err)
{
    if (count > TP_MAX_CALIBRATION_POINTS) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "calibration: %u steps; at most %u: use platt", count,
                       TP_MAX_CALIBRATION_POINTS);
    }
    tp_calibration calibration = {.method = TP_CALIBRATION_ISOTONIC, .point_count = count};
    calibration.points = tp_alloc_array(env->alloc, count, sizeof(double));
    calibration.values = tp_alloc_array(env->alloc, count, sizeof(double));
    if (calibration.points == NULL || calibration.values == NULL) {
        tp_calibration_deinit(env->alloc, &calibration);
        return tp_fail_nomem(err);
    }
    for (uint32_t i = 0; i < count; i++) {
        calibration.points[i] = i == 0 ? blocks[0].first : step_between(&blocks[i - 1], &blocks[i]);
        calibration.values[i] = blocks[i].value < 1.0 ? blocks[i].value : 1.0;
    }
    *ret_calibration = calibration;
    return TAPEOUT_OK;
}

static tapeout_status fit_isotonic(const tp_env *env, const tp_held_out *rows,
                                   tp_calibration *ret_calibration, tapeout_error *err)
{
    uint32_t *order = tp_alloc_array(env->alloc, rows->row_count, sizeof(*order));
    isotonic_block *blocks = tp_alloc_array(env->alloc, rows->row_count, sizeof(*blocks));
    tapeout_status status = TAPEOUT_OK;
    if (order == NULL || blocks == NULL) {
        status = tp_fail_nomem(err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_learn_sort(env->alloc, rows->margin, (uint32_t)rows->row_count, order, err);
    }
    if (status == TAPEOUT_OK) {
        const uint32_t count = pool_violators(rows, order, blocks);
        status = keep_blocks(env, blocks, count, ret_calibration, err);
    }
    tp_free_array(env->alloc, order, rows->row_count, sizeof(*order));
    tp_free_array(env->alloc, blocks, rows->row_count, sizeof(*blocks));
    return status;
}

// -- front ---------------------------------------------------------------------------------------
static tapeout_status weigh_classes(const tp_held_out *rows, double ret_class_weight[2],
                                    tapeout_error *err)
{
    ret_class_weight[0] = 0.0;
    ret_class_weight[1] = 0.0;
    for (uint32_t r = 0; r < rows->row_count; r++) {
        if (!isfinite(rows->margin[r])) {
            return tp_fail_at(err, TAPEOUT_E_INVALID, r,
                              "calibration: the margin of held-out row %u is not finite", r);
        }
        ret_class_weight[rows->target[r] != 0.0] += weight_of(rows, r);
    }
    if (ret_class_weight[0] > 0.0 && ret_class_weight[1] > 0.0) {
        return TAPEOUT_OK;
    }
    return tp_fail(
        err, TAPEOUT_E_DATA,
        "calibration: the %llu held-out rows have one class alone; hold out more rows or "
        "leave calibration out",
        (unsigned long long)rows->row_count);
}

tapeout_status tp_calibration_fit(const tp_env *env, uint32_t method, const tp_held_out *rows,
                                  tp_calibration *ret_calibration, tapeout_error *err)
{
    if (rows->row_count > UINT32_MAX) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "calibration: %llu rows; at most %u",
                       (unsigned long long)rows->row_count, UINT32_MAX);
    }
    double class_weight[2];
    switch (method) {
    case TP_CALIBRATION_NONE:
        *ret_calibration = (tp_calibration){0};
        return TAPEOUT_OK;
    case TP_CALIBRATION_PLATT:
        TP_TRY(weigh_classes(rows, class_weight, err));
        *ret_calibration = (tp_calibration){0};
        fit_platt(rows, class_weight, ret_calibration);
        return TAPEOUT_OK;
    case TP_CALIBRATION_ISOTONIC:
        TP_TRY(weigh_classes(rows, class_weight, err));
        return fit_isotonic(env, rows, ret_calibration, err);
    default:
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "calibration: method %u; expected 0 none, 1 Platt or 2 isotonic", method);
    }
}
