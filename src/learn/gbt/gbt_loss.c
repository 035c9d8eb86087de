// SPDX-License-Identifier: Apache-2.0
//
// Objectives: gradients and Hessians with respect to the margin, the loss itself, and the constant
// that minimises it. Formulas and defaults are LightGBM's, so that results can be compared: the
// Hessian of the softmax is scaled by K / (K - 1), that of Poisson uses exp(margin + 0.7),
// absolute, Huber and quantile take 1. Each row is computed by itself with the project's own exp
// and log.
#include "learn/gbt/gbt_priv.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "kernels/tp_math.h"

#include <math.h>

static const double MEAN_MIN = 1e-15; // probabilities and rates are kept this far from zero

void tp_gbt_loss_init(tp_gbt_loss *loss, const tp_gbt_options *options, const tp_learn_data *data)
{
    const tp_objective objective = options->objective;
    const bool is_unit = objective == TP_OBJECTIVE_SQUARED || objective == TP_OBJECTIVE_ABSOLUTE ||
                         objective == TP_OBJECTIVE_HUBER || objective == TP_OBJECTIVE_QUANTILE;
    *loss = (tp_gbt_loss){
        .options = options,
        .row_count = data->row_count,
        .output_count = objective == TP_OBJECTIVE_MULTICLASS ? options->class_count : 1,
        .target = data->target,
        .weight = data->weight,
        .is_constant_hessian = is_unit && data->weight == NULL,
        .is_renewed = objective == TP_OBJECTIVE_ABSOLUTE || objective == TP_OBJECTIVE_QUANTILE,
        .renewal_quantile = objective == TP_OBJECTIVE_QUANTILE ? options->quantile : 0.5,
    };
}

// What is wrong with a target, or NULL.
static const char *target_fault(const tp_gbt_loss *loss, double target)
{
    if (!isfinite(target)) {
        return "the target must be a finite number";
    }
    switch (loss->options->objective) {
    case TP_OBJECTIVE_BINARY:
        return target == 0 || target == 1 ? NULL : "the target must be 0 or 1";
    case TP_OBJECTIVE_MULTICLASS:
        return target >= 0 && target < loss->output_count && target == floor(target)
                   ? NULL
                   : "the target must be the index of a class";
    case TP_OBJECTIVE_POISSON:
    case TP_OBJECTIVE_TWEEDIE:
        return target >= 0 ? NULL : "the target must not be negative";
    case TP_OBJECTIVE_SQUARED:
    case TP_OBJECTIVE_ABSOLUTE:
    case TP_OBJECTIVE_HUBER:
    case TP_OBJECTIVE_QUANTILE:
        return NULL;
    }
    return NULL;
}

tapeout_status tp_gbt_loss_check(const tp_gbt_loss *loss, const char *what, tapeout_error *err)
{
    double weights = 0;
    for (uint64_t row = 0; row < loss->row_count; row++) {
        const char *fault = target_fault(loss, loss->target[row]);
        if (fault != NULL) {
            return tp_fail_at(err, TAPEOUT_E_DATA, row, "gbt: %s row %llu: target %g: %s", what,
                              (unsigned long long)row, loss->target[row], fault);
        }
        const double weight = loss->weight != NULL ? loss->weight[row] : 1;
        if (!(weight >= 0 && weight <= 1e300)) {
            return tp_fail_at(err, TAPEOUT_E_DATA, row,
                              "gbt: %s row %llu: weight %g: must be finite and not negative", what,
                              (unsigned long long)row, weight);
        }
        weights += weight;
    }
    if (!(weights > 0)) {
        return tp_fail(err, TAPEOUT_E_DATA, "gbt: %s: no rows with a weight above zero", what);
    }
    return TAPEOUT_OK;
}

static double row_weight(const tp_gbt_loss *loss, uint64_t row)
{
    const double weight = loss->weight != NULL ? loss->weight[row] : 1;
    const bool is_positive =
        loss->options->objective == TP_OBJECTIVE_BINARY && loss->target[row] == 1;
    return is_positive ? weight * loss->options->positive_weight : weight;
}

static double clamp(double value, double low, double high)
{
    return value < low ? low : value > high ? high : value;
}

// The constant margin of output `k` for the objectives that go by a mean.
static double base_from_mean(const tp_gbt_loss *loss, uint32_t k)
{
    const tp_objective objective = loss->options->objective;
    double sum = 0;
    double weights = 0;
    for (uint64_t row = 0; row < loss->row_count; row++) {
        const double weight = row_weight(loss, row);
        const double target = loss->target[row];
        sum += weight * (objective == TP_OBJECTIVE_MULTICLASS ? target == k : target);
        weights += weight;
    }
    const double mean = sum / weights;
    if (objective == TP_OBJECTIVE_BINARY) {
        const double p = clamp(mean, MEAN_MIN, 1 - MEAN_MIN);
        return tp_log(p / (1 - p));
    }
    if (objective == TP_OBJECTIVE_SQUARED || objective == TP_OBJECTIVE_HUBER) {
        return mean;
    }
    return tp_log(mean > MEAN_MIN ? mean : MEAN_MIN);
}

tapeout_status tp_gbt_loss_base(const tp_gbt_loss *loss, const tapeout_allocator *alloc,
                                double *ret_base, tapeout_error *err)
{
    if (!loss->is_renewed) {
        for (uint32_t k = 0; k < loss->output_count; k++) {
            ret_base[k] = base_from_mean(loss, k);
        }
        return TAPEOUT_OK;
    }
    tp_gbt_weighted *items = tp_alloc_array(alloc, loss->row_count, sizeof(*items));
    if (items == NULL) {
        return tp_fail_nomem(err);
    }
    for (uint64_t row = 0; row < loss->row_count; row++) {
        items[row] = (tp_gbt_weighted){loss->target[row], row_weight(loss, row)};
    }
    ret_base[0] = tp_gbt_quantile(items, loss->row_count, loss->renewal_quantile);
    tp_free_array(alloc, items, loss->row_count, sizeof(*items));
    return TAPEOUT_OK;
}

// -- gradients -----------------------------------------------------------------------------------

static void binary_gradients(const tp_gbt_loss *loss, const double *score, tp_gbt_run run,
                             double *ret_g, double *ret_h)
{
    tp_logistic_array(score + run.begin, ret_g, run.count);
    for (uint32_t i = 0; i < run.count; i++) {
        const double p = ret_g[i];
        ret_g[i] = p - loss->target[run.begin + i];
        ret_h[i] = p * (1 - p);
    }
}

static void multiclass_gradients(const tp_gbt_loss *loss, const double *score, tp_gbt_run run,
                                 double *ret_g, double *ret_h)
{
    const uint32_t classes = loss->output_count;
    const double factor = (double)classes / (classes - 1);
    for (uint32_t k = 0; k < classes; k++) {
        double *out = ret_g + (size_t)k * run.count;
        for (uint32_t i = 0; i < run.count; i++) {
            double most = score[run.begin + i];
            for (uint32_t other = 1; other < classes; other++) {
                const double margin = score[other * loss->row_count + run.begin + i];
                most = margin > most ? margin : most;
            }
            out[i] = score[k * loss->row_count + run.begin + i] - most;
        }
        tp_exp_array(out, out, run.count);
    }
    for (uint32_t i = 0; i < run.count; i++) {
        double sum = 0;
        for (uint32_t k = 0; k < classes; k++) {
            sum += ret_g[(size_t)k * run.count + i];
        }
        for (uint32_t k = 0; k < classes; k++) {
            const size_t at = (size_t)k * run.count + i;
            const double p = ret_g[at] / sum;
            ret_g[at] = p - (loss->target[run.begin + i] == k ? 1 : 0);
            ret_h[at] = factor * p * (1 - p);
        }
    }
}

static void residual_gradients(const tp_gbt_loss *loss, const double *score, tp_gbt_run run,
                               double *ret_g, double *ret_h)
{
    const tp_gbt_options *options = loss->options;
    for (uint32_t i = 0; i < run.count; i++) {
        const double residual = score[run.begin + i] - loss->target[run.begin + i];
        double gradient = residual;
        if (options->objective == TP_OBJECTIVE_ABSOLUTE) {
            gradient = residual > 0 ? 1 : residual < 0 ? -1 : 0;
        } else if (options->objective == TP_OBJECTIVE_HUBER) {
            gradient = clamp(residual, -options->huber_delta, options->huber_delta);
        } else if (options->objective == TP_OBJECTIVE_QUANTILE) {
            gradient = residual >= 0 ? 1 - options->quantile : -options->quantile;
        }
        ret_g[i] = gradient;
        ret_h[i] = 1;
    }
}

static void count_gradients(const tp_gbt_loss *loss, const double *score, tp_gbt_run run,
                            double *ret_g, double *ret_h)
{
    const tp_gbt_options *options = loss->options;
    const bool is_poisson = options->objective == TP_OBJECTIVE_POISSON;
    const double extra = is_poisson ? tp_exp(options->max_delta_step) : 0;
    const double rho = options->tweedie_power;
    for (uint32_t i = 0; i < run.count; i++) {
        const double margin = score[run.begin + i];
        const double target = loss->target[run.begin + i];
        if (is_poisson) {
            const double rate = tp_exp(margin);
            ret_g[i] = rate - target;
            ret_h[i] = rate * extra;
        } else {
            const double low = target * tp_exp((1 - rho) * margin);
            const double high = tp_exp((2 - rho) * margin);
            ret_g[i] = high - low;
            ret_h[i] = (2 - rho) * high - (1 - rho) * low;
        }
    }
}

void tp_gbt_loss_gradients(const tp_gbt_loss *loss, const double *score, tp_gbt_run run,
                           double *ret_g, double *ret_h)
{
    switch (loss->options->objective) {
    case TP_OBJECTIVE_BINARY:
        binary_gradients(loss, score, run, ret_g, ret_h);
        break;
    case TP_OBJECTIVE_MULTICLASS:
        multiclass_gradients(loss, score, run, ret_g, ret_h);
        break;
    case TP_OBJECTIVE_POISSON:
    case TP_OBJECTIVE_TWEEDIE:
        count_gradients(loss, score, run, ret_g, ret_h);
        break;
    case TP_OBJECTIVE_SQUARED:
    case TP_OBJECTIVE_ABSOLUTE:
    case TP_OBJECTIVE_HUBER:
    case TP_OBJECTIVE_QUANTILE:
        residual_gradients(loss, score, run, ret_g, ret_h);
        break;
    }
    if (loss->weight == NULL && loss->options->positive_weight == 1) {
        return;
    }
    for (uint32_t k = 0; k < loss->output_count; k++) {
        for (uint32_t i = 0; i < run.count; i++) {
            const double weight = row_weight(loss, run.begin + i);
            ret_g[(size_t)k * run.count + i] *= weight;
            ret_h[(size_t)k * run.count + i] *= weight;
        }
    }
}

// -- loss ----------------------------------------------------------------------------------------

static double multiclass_loss(const tp_gbt_loss *loss, const double *score, uint64_t row)
{
    double most = score[row];
    for (uint32_t k = 1; k < loss->output_count; k++) {
        const double margin = score[k * loss->row_count + row];
        most = margin > most ? margin : most;
    }
    double sum = 0;
    for (uint32_t k = 0; k < loss->output_count; k++) {
        sum += tp_exp(score[k * loss->row_count + row] - most);
    }
    const uint32_t target = (uint32_t)loss->target[row];
    return tp_log(sum) + most - score[target * loss->row_count + row];
}

static double row_loss(const tp_gbt_loss *loss, const double *score, uint64_t row)
{
    const tp_gbt_options *options = loss->options;
    const double margin = score[row];
    const double target = loss->target[row];
    const double error = fabs(margin - target);
    const double rho = options->tweedie_power;
    switch (options->objective) {
    case TP_OBJECTIVE_BINARY: {
        const double wrong = target == 1 ? -margin : margin;
        return (wrong > 0 ? wrong : 0) + tp_log1p(tp_exp(-fabs(wrong)));
    }
    case TP_OBJECTIVE_MULTICLASS:
        return multiclass_loss(loss, score, row);
    case TP_OBJECTIVE_SQUARED:
        return error * error;
    case TP_OBJECTIVE_ABSOLUTE:
        return error;
    case TP_OBJECTIVE_HUBER:
        return error <= options->huber_delta
                   ? error * error / 2
                   : options->huber_delta * (error - options->huber_delta / 2);
    case TP_OBJECTIVE_QUANTILE:
        return error * (margin > target ? 1 - options->quantile : options->quantile);
    case TP_OBJECTIVE_POISSON:
        return tp_exp(margin) - target * margin;
    case TP_OBJECTIVE_TWEEDIE:
        return tp_exp((2 - rho) * margin) / (2 - rho) -
               target * tp_exp((1 - rho) * margin) / (1 - rho);
    }
    return 0;
}

double tp_gbt_loss_sum(const tp_gbt_loss *loss, const double *score, tp_gbt_run run)
{
    double sum = 0;
    for (uint64_t row = run.begin; row < run.begin + run.count; row++) {
        sum += row_weight(loss, row) * row_loss(loss, score, row);
    }
    return sum;
}

double tp_gbt_loss_weight(const tp_gbt_loss *loss)
{
    double sum = 0;
    for (uint64_t row = 0; row < loss->row_count; row++) {
        sum += row_weight(loss, row);
    }
    return sum;
}
