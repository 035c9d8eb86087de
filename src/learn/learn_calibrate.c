// SPDX-License-Identifier: Apache-2.0
//
// Fitting a calibration on margins of rows that the model was not trained on: a probability that
// comes true as often as it says. Of several classes each is fitted against all others.
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

// One class against all others.
typedef struct one_side {
    const tp_held_out *rows;
    const double *margin; // [row_count] of this class
    double positive;      // its index
    double class_weight[2];
} one_side;

static double weight_of(const one_side *side, uint32_t row)
{
    return side->rows->weight != NULL ? side->rows->weight[row] : 1.0;
}

static bool is_positive(const one_side *side, uint32_t row)
{
    return side->rows->target[row] == side->positive;
}

// -- Platt ---------------------------------------------------------------------------------------
typedef struct platt_fit {
    const one_side *side;
    double high; // what a positive aims at
    double low;  // what a negative aims at
} platt_fit;

static double platt_target(const platt_fit *fit, uint32_t row)
{
    return is_positive(fit->side, row) ? fit->high : fit->low;
}

// Cross entropy of target t at z: log(1 + exp(z)) - t z, written so that nothing overflows.
static double platt_loss(const platt_fit *fit, const double line[2])
{
    double loss = 0.0;
    for (uint32_t r = 0; r < fit->side->rows->row_count; r++) {
        const double z = line[0] * fit->side->margin[r] + line[1];
        const double t = platt_target(fit, r);
        const double term =
            z >= 0.0 ? (1.0 - t) * z + tp_log1p(tp_exp(-z)) : tp_log1p(tp_exp(z)) - t * z;
        loss += weight_of(fit->side, r) * term;
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
    for (uint32_t r = 0; r < fit->side->rows->row_count; r++) {
        const double margin = fit->side->margin[r];
        const double p = tp_logistic(line[0] * margin + line[1]);
        const double weight = weight_of(fit->side, r);
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

static void fit_platt(const one_side *side, tp_calibration_curve *curve)
{
    const double *class_weight = side->class_weight;
    const platt_fit fit = {.side = side,
                           .high = (class_weight[1] + 1.0) / (class_weight[1] + 2.0),
                           .low = 1.0 / (class_weight[0] + 2.0)};
    double line[2] = {0.0, tp_log((class_weight[1] + 1.0) / (class_weight[0] + 1.0))};
    double loss = platt_loss(&fit, line);
    for (uint32_t iteration = 0; iteration < 100 && platt_step(&fit, line, &loss); iteration++) {
    }
    curve->platt_a = line[0];
    curve->platt_b = line[1];
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
static uint32_t pool_violators(const one_side *side, const uint32_t *order, isotonic_block *blocks)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < side->rows->row_count;) {
        const double margin = side->margin[order[i]];
        isotonic_block next = {margin, margin, 0.0, 0.0};
        for (; i < side->rows->row_count && side->margin[order[i]] == margin; i++) {
            next.weight += weight_of(side, order[i]);
            next.value += weight_of(side, order[i]) * is_positive(side, order[i]);
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
                                  tp_calibration_curve *curve, tapeout_error *err)
{
    if (count > TP_MAX_CALIBRATION_POINTS) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "calibration: %u steps; at most %u: use platt", count,
                       TP_MAX_CALIBRATION_POINTS);
    }
    TP_TRY(tp_calibration_curve_init(env->alloc, count, curve, err));
    for (uint32_t i = 0; i < count; i++) {
        curve->points[i] = i == 0 ? blocks[0].first : step_between(&blocks[i - 1], &blocks[i]);
        curve->values[i] = blocks[i].value < 1.0 ? blocks[i].value : 1.0;
    }
    return TAPEOUT_OK;
}

static tapeout_status fit_isotonic(const tp_env *env, const one_side *side,
                                   tp_calibration_curve *curve, tapeout_error *err)
{
    const uint32_t row_count = (uint32_t)side->rows->row_count;
    uint32_t *order = tp_alloc_array(env->alloc, row_count, sizeof(*order));
    isotonic_block *blocks = tp_alloc_array(env->alloc, row_count, sizeof(*blocks));
    tapeout_status status = TAPEOUT_OK;
    if (order == NULL || blocks == NULL) {
        status = tp_fail_nomem(err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_learn_sort(env->alloc, side->margin, row_count, order, err);
    }
    if (status == TAPEOUT_OK) {
        const uint32_t count = pool_violators(side, order, blocks);
        status = keep_blocks(env, blocks, count, curve, err);
    }
    tp_free_array(env->alloc, order, row_count, sizeof(*order));
    tp_free_array(env->alloc, blocks, row_count, sizeof(*blocks));
    return status;
}

// -- front ---------------------------------------------------------------------------------------
static tapeout_status weigh_classes(one_side *side, tapeout_error *err)
{
    for (uint32_t r = 0; r < side->rows->row_count; r++) {
        if (!isfinite(side->margin[r])) {
            return tp_fail_at(err, TAPEOUT_E_INVALID, r,
                              "calibration: the margin of held-out row %u is not finite", r);
        }
        side->class_weight[is_positive(side, r)] += weight_of(side, r);
    }
    if (side->class_weight[0] > 0.0 && side->class_weight[1] > 0.0) {
        return TAPEOUT_OK;
    }
    return tp_fail(err, TAPEOUT_E_DATA,
                   "calibration: the %llu held-out rows have %s; hold out more rows or leave "
                   "calibration out",
                   (unsigned long long)side->rows->row_count,
                   side->rows->curve_count > 1 && !(side->class_weight[1] > 0.0)
                       ? "no row of some class"
                       : "one class alone");
}

static tapeout_status fit_curve(const tp_env *env, const tp_held_out *rows, uint32_t index,
                                tp_calibration *calibration, tapeout_error *err)
{
    // The one curve of a binary model is of its second class.
    one_side side = {.rows = rows,
                     .margin = rows->margin + (size_t)index * rows->row_count,
                     .positive = rows->curve_count == 1 ? 1.0 : (double)index};
    TP_TRY(weigh_classes(&side, err));
    if (calibration->method == TP_CALIBRATION_ISOTONIC) {
        return fit_isotonic(env, &side, &calibration->curves[index], err);
    }
    fit_platt(&side, &calibration->curves[index]);
    return TAPEOUT_OK;
}

tapeout_status tp_calibration_fit(const tp_env *env, uint32_t method, const tp_held_out *rows,
                                  tp_calibration *ret_calibration, tapeout_error *err)
{
    if (rows->row_count > UINT32_MAX) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "calibration: %llu rows; at most %u",
                       (unsigned long long)rows->row_count, UINT32_MAX);
    }
    if (method > TP_CALIBRATION_ISOTONIC) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "calibration: method %u; expected 0 none, 1 Platt or 2 isotonic", method);
    }
    tapeout_status status =
        tp_calibration_init(env->alloc, method, rows->curve_count, ret_calibration, err);
    for (uint32_t k = 0; status == TAPEOUT_OK && k < ret_calibration->curve_count; k++) {
        status = fit_curve(env, rows, k, ret_calibration, err);
    }
    if (status != TAPEOUT_OK) {
        tp_calibration_deinit(env->alloc, ret_calibration);
    }
    return status;
}
