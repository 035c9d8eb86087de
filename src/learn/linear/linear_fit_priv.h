// SPDX-License-Identifier: Apache-2.0
//
// One fit of a linear model on its way. The unknowns are K outputs of D = P + 1 numbers each, the
// intercept first; category indicators are centred, so that the intercept is nearly independent of
// them. Legend: R rows, F features, T = F + 1 columns of the design (column 0 is the constant 1).
#ifndef LINEAR_FIT_PRIV_H
#define LINEAR_FIT_PRIV_H

#include "learn/linear/linear_priv.h"

typedef struct linear_fit {
    const tp_env *env;
    const tp_learn_data *data;
    const tp_linear_options *options;
    tp_linear *linear;
    uint32_t width;       // D
    size_t unknown_count; // n = K D
    uint32_t chunk_rows;  // rows of the design held at once; depends on F alone
    double total_weight;
    double *mean;        // [D] what is taken off each column: frequencies of categories
    double *ones;        // [chunk_rows]
    double *design;      // [F][chunk_rows] standardised numbers, codes of categories
    double *probability; // [K][chunk_rows] what the margin says of each row
    double *residual;    // [K][chunk_rows] weight × first derivative of the loss
    double *worker_rows; // [workers][max(chunk_rows, block_rows)]
    size_t worker_row_count;
    double *margin;    // [K][R]; NULL while all are zero (squared loss)
    double *direction; // [K][R] change of the margin along a step
    double *partial;   // [chunks] sums of the line search
    uint32_t chunk_count;
    double *beta;     // [n]
    double *next;     // [n] where the step leads
    double *gradient; // [n] of the mean loss at beta
    double *slope;    // [n] scratch of the solver
    double *hessian;  // [n][n]
} linear_fit;

// Fills mean, inverse_scale and the weights of codes; E_DATA without rows or weight.
tapeout_status tp_linear_describe(linear_fit *fit, tapeout_error *err);

// Gradient and Hessian of the mean loss at beta.
tapeout_status tp_linear_derive(linear_fit *fit, tapeout_error *err);

// direction = design × (next - beta).
tapeout_status tp_linear_direct(linear_fit *fit, tapeout_error *err);

// Mean loss at margin + length × direction.
tapeout_status tp_linear_loss(linear_fit *fit, double length, double *ret_loss, tapeout_error *err);

// Minimises gradient · d + ½ d · hessian · d + penalty(beta + d) into `next` by coordinate descent.
void tp_linear_solve(linear_fit *fit);

// The penalty of given unknowns.
double tp_linear_penalty(const linear_fit *fit, const double *unknowns);

// Where the unknowns of design column t begin within an output's D.
static inline uint32_t linear_column_begin(const linear_fit *fit, uint32_t t)
{
    return t == 0 ? 0 : 1 + fit->linear->terms[t - 1].coefficient;
}

static inline bool linear_column_is_category(const linear_fit *fit, uint32_t t)
{
    return t > 0 && fit->linear->terms[t - 1].is_category;
}

static inline double linear_row_weight(const linear_fit *fit, uint64_t row)
{
    return fit->data->weight != NULL ? fit->data->weight[row] : 1.0;
}

#endif
