// SPDX-License-Identifier: Apache-2.0
//
// A linear model in memory. Legend: K outputs, F features, P coefficients an output.
#ifndef LINEAR_PRIV_H
#define LINEAR_PRIV_H

#include "learn/linear/tp_linear.h"

// A number has one coefficient, on (x - mean) · inverse_scale, and a missing one counts as the
// mean. A category has one for each code and a last one for whatever is missing or unknown.
typedef struct linear_term {
    bool is_category;
    uint32_t category_count;
    uint32_t coefficient; // where its own begin within the P
    double mean;
    double inverse_scale; // 0 for a constant
} linear_term;

// How a model adds up (docs/formats/model.md): our own, or as tp_linear_foreign says.
typedef enum linear_form { LINEAR_OWN, LINEAR_RUNS, LINEAR_STEPS } linear_form;

struct tp_linear {
    const tapeout_allocator *alloc;
    uint32_t output_count;      // K
    uint32_t feature_count;     // F
    uint32_t coefficient_count; // P
    linear_form form;
    uint32_t run;         // of LINEAR_RUNS, else 0
    linear_term *terms;   // [F]
    double *intercept;    // [K]
    double *coefficients; // [K][P]
    double *center;       // [K][F] mean contribution over the training rows
};

typedef struct linear_shape {
    const tp_learn_feature *features; // [feature_count]
    uint32_t feature_count;
    uint32_t output_count;
} linear_shape;

// A model with the features laid out and every number zero.
tapeout_status tp_linear_new(const tapeout_allocator *alloc, const linear_shape *shape,
                             tp_linear **ret_linear, tapeout_error *err);

static inline uint32_t linear_term_width(const linear_term *term)
{
    return term->is_category ? term->category_count + 1 : 1;
}

// The coefficient of a category's value among its own.
static inline uint32_t linear_code(const linear_term *term, double value)
{
    return value >= 0.0 && value < (double)term->category_count ? (uint32_t)value
                                                                : term->category_count;
}

// (x - mean) · inverse_scale; 0 for what is missing or infinite.
static inline double linear_standardise(const linear_term *term, double value)
{
    const double scaled = (value - term->mean) * term->inverse_scale;
    return scaled - scaled == 0.0 ? scaled : 0.0;
}

#endif
