// SPDX-License-Identifier: Apache-2.0
//
// Linear and logistic regression with elastic net, by coordinate descent on standardised features
// (Friedman, Hastie and Tibshirani, 2010). Missing values take the training mean; categories become
// one coefficient each.
#ifndef TP_LINEAR_H
#define TP_LINEAR_H

#include "learn/tp_learn.h"

typedef struct tp_linear_options {
    tp_objective objective; // BINARY, MULTICLASS, SQUARED, POISSON
    uint32_t class_count;
    double alpha;            // strength of the penalty; 1e-4
    double l1_ratio;         // 0 ridge … 1 lasso; 0.15
    uint32_t max_iterations; // 1000
    double tolerance;        // 1e-6
} tp_linear_options;

void tp_linear_options_init(tp_linear_options *options, tp_objective objective);

tapeout_status tp_linear_train(const tp_env *env, const tp_learn_data *train,
                               const tp_linear_options *options, tp_linear **ret_linear,
                               tapeout_error *err);
void tp_linear_free(tp_linear *linear);
void tp_linear_write(const tp_linear *linear, tp_buffer *ret_bytes);
tapeout_status tp_linear_read(const tp_env *env, tp_str bytes, const tp_learn_feature *features,
                              uint32_t feature_count, tp_linear **ret_linear, tapeout_error *err);

// A linear model of another program, which adds in float32: a sum for every `run` features, begun
// with 0, each product fused into it; to the intercept these sums are added in order, and a number
// that is missing makes the margin missing. With a run of 0 each product is rounded and added to
// the intercept in order, and what is missing is left out. Numbers are taken as they are.
typedef struct tp_linear_foreign {
    uint32_t output_count;  // K
    uint32_t feature_count; // F
    uint32_t run;
    const double *coefficients; // [K][F], float32 numbers
    const double *intercepts;   // [K], likewise
} tp_linear_foreign;
tapeout_status tp_linear_from(const tapeout_allocator *alloc, const tp_linear_foreign *from,
                              tp_linear **ret_linear, tapeout_error *err);

uint32_t tp_linear_output_count(const tp_linear *linear);
uint32_t tp_linear_feature_count(const tp_linear *linear);

// Margins [K][row_count].
void tp_linear_margins(const tp_linear *linear, const double *const *columns, uint32_t row_count,
                       double *ret_margin);

typedef struct tp_linear_values {
    uint32_t feature;
    uint32_t row_count;
    const double *values; // [row_count]
} tp_linear_values;

// The two parts that explanations need: output k's margin is the sum of base and contributions, and
// a contribution averages to 0 over the training rows. `values` [row_count] are those of `feature`.
double tp_linear_base(const tp_linear *linear, uint32_t output);
void tp_linear_contributions(const tp_linear *linear, uint32_t output,
                             const tp_linear_values *values, double *ret_contributions);

#endif
