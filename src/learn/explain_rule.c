// SPDX-License-Identifier: Apache-2.0
//
// Gauss-Legendre quadrature, which makes the integral over a polynomial an exact finite sum of
// positive terms (Gauss, 1814). The points are roots of Legendre polynomials, found by bisection
// between the roots of the one before, which interlace: plain arithmetic, the same bits everywhere.
#include "learn/explain_priv.h"

#include "base/tp_arena.h"

#include <math.h>

// P_n(x) and P_{n-1}(x) by the three-term recurrence.
static double legendre(uint32_t n, double x, double *ret_previous)
{
    double previous = 0.0;
    double value = 1.0;
    for (uint32_t k = 1; k <= n; k++) {
        const double next =
            ((2.0 * k - 1.0) * x * value - ((double)k - 1.0) * previous) / (double)k;
        previous = value;
        value = next;
    }
    *ret_previous = previous;
    return value;
}

// The one root of P_n between low and high, to the last bit that bisection can tell.
static double root_between(uint32_t n, double low, double high)
{
    double unused;
    const bool rises = legendre(n, high, &unused) > 0.0;
    for (;;) {
        const double middle = low + (high - low) / 2.0;
        if (!(middle > low && middle < high)) {
            return middle;
        }
        const double value = legendre(n, middle, &unused);
        if (value == 0.0) {
            return middle;
        }
        if ((value > 0.0) == rises) {
            high = middle;
        } else {
            low = middle;
        }
    }
}

// Roots of P_1, then of P_2 between them, and so on up to P_n; ascending.
static void find_roots(uint32_t n, double *roots)
{
    for (uint32_t degree = 1; degree <= n; degree++) {
        double low = -1.0;
        for (uint32_t i = 0; i < degree; i++) {
            const double high = i + 1 < degree ? roots[i] : 1.0;
            roots[i] = root_between(degree, low, high);
            low = high;
        }
    }
}

const explain_rule *tp_explain_rule_new(tp_arena *arena, uint32_t points, uint32_t max_power)
{
    const uint32_t padded = (points + EXPLAIN_LANES - 1) / EXPLAIN_LANES * EXPLAIN_LANES;
    explain_rule *rule = tp_arena_alloc(arena, sizeof(*rule));
    double *numbers = tp_arena_array(arena, ((size_t)max_power + 4) * padded, sizeof(double));
    if (rule == NULL || numbers == NULL) {
        return NULL;
    }
    *rule = (explain_rule){.point_count = padded,
                           .weight = numbers,
                           .in = numbers + padded,
                           .out = numbers + 2 * (size_t)padded,
                           .in_power = numbers + 3 * (size_t)padded};
    find_roots(points, rule->in);
    for (uint32_t q = 0; q < padded; q++) {
        if (q < points) {
            const double x = rule->in[q];
            double previous;
            (void)legendre(points, x, &previous); // 0 at its root
            const double slope = (double)points * previous;
            rule->weight[q] = (1.0 - x) * (1.0 + x) / (slope * slope);
            rule->in[q] = (1.0 + x) / 2.0;
        } else {
            rule->weight[q] = 0.0;
            rule->in[q] = 0.5;
        }
        rule->out[q] = 1.0 - rule->in[q];
        double power = 1.0;
        for (uint32_t p = 0; p <= max_power; p++) {
            rule->in_power[(size_t)p * padded + q] = power;
            power *= rule->in[q];
        }
    }
    return rule;
}
