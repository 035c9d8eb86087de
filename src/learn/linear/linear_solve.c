// SPDX-License-Identifier: Apache-2.0
//
// The inner problem of a fit: a quadratic with an elastic net on top, one coordinate after another
// (Friedman, Hastie and Tibshirani, 2010, "covariance updates"). The slope of the quadratic is kept
// up to date, so a coordinate that does not move costs nothing.
#include "learn/linear/linear_fit_priv.h"

#include <math.h>

static double soft_threshold(double value, double amount)
{
    if (value > amount) {
        return value - amount;
    }
    return value < -amount ? value + amount : 0.0;
}

double tp_linear_penalty(const linear_fit *fit, const double *unknowns)
{
    const double l1 = fit->options->alpha * fit->options->l1_ratio;
    const double l2 = fit->options->alpha * (1.0 - fit->options->l1_ratio);
    double penalty = 0.0;
    for (size_t i = 0; i < fit->unknown_count; i++) {
        const double value = i % fit->width == 0 ? 0.0 : unknowns[i];
        penalty += l1 * fabs(value) + 0.5 * l2 * value * value;
    }
    return penalty;
}

// Moves one coordinate to its best; returns by how much.
static double move_coordinate(linear_fit *fit, size_t i)
{
    const bool is_intercept = i % fit->width == 0;
    const double l1 = is_intercept ? 0.0 : fit->options->alpha * fit->options->l1_ratio;
    const double l2 = is_intercept ? 0.0 : fit->options->alpha * (1.0 - fit->options->l1_ratio);
    const double *row = fit->hessian + i * fit->unknown_count;
    const double curvature = row[i] + l2;
    if (!(curvature > 1e-14)) {
        return 0.0;
    }
    const double aim = row[i] * fit->next[i] - fit->slope[i];
    const double change = soft_threshold(aim, l1) / curvature - fit->next[i];
    if (change == 0.0) {
        return 0.0;
    }
    fit->next[i] += change;
    for (size_t j = 0; j < fit->unknown_count; j++) {
        fit->slope[j] += change * row[j];
    }
    return change;
}

void tp_linear_solve(linear_fit *fit)
{
    double largest = 1.0;
    for (size_t i = 0; i < fit->unknown_count; i++) {
        fit->next[i] = fit->beta[i];
        fit->slope[i] = fit->gradient[i];
    }
    // A thousandth of what the fit as a whole is asked for.
    const double tolerance = 1e-3 * fit->options->tolerance;
    for (uint32_t sweep = 0; sweep < fit->options->max_iterations; sweep++) {
        double moved = 0.0;
        for (size_t i = 0; i < fit->unknown_count; i++) {
            const double change = fabs(move_coordinate(fit, i));
            moved = change > moved ? change : moved;
            largest = fabs(fit->next[i]) > largest ? fabs(fit->next[i]) : largest;
        }
        if (moved <= tolerance * largest) {
            return;
        }
    }
}
