// SPDX-License-Identifier: Apache-2.0
//
// Training: a quadratic model of the loss around where the fit stands, its minimum with the penalty
// on top, a step there that is halved until the objective falls (Lee, Sun and Saunders, 2014,
// proximal Newton). Squared loss is quadratic itself and takes one step.
//
// The objective is the mean loss plus alpha · (l1_ratio · |b| + (1 - l1_ratio) / 2 · b²) over the
// coefficients of standardised numbers and of category indicators; intercepts go free. With several
// classes every class has its coefficients, and the Hessian couples them.
#include "learn/linear/tp_linear.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "kernels/tp_math.h"
#include "learn/linear/linear_fit_priv.h"

#include <math.h>

enum { MAX_STEPS = 100, MAX_HALVINGS = 40, MAX_CHUNK_ROWS = 8192, MIN_CHUNK_ROWS = 256 };

void tp_linear_options_init(tp_linear_options *options, tp_objective objective)
{
    *options = (tp_linear_options){.objective = objective,
                                   .class_count = 0,
                                   .alpha = 1e-4,
                                   .l1_ratio = 0.15,
                                   .max_iterations = 1000,
                                   .tolerance = 1e-6};
}

// -- what is asked for ---------------------------------------------------------------------------
static tapeout_status check_options(const tp_linear_options *options, tapeout_error *err)
{
    switch (options->objective) {
    case TP_OBJECTIVE_BINARY:
    case TP_OBJECTIVE_MULTICLASS:
    case TP_OBJECTIVE_SQUARED:
    case TP_OBJECTIVE_POISSON:
        break;
    default:
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                       "linear: objective %s; this learner has binary, multiclass, squared and "
                       "poisson: use learner: gbt",
                       tp_objective_name(options->objective));
    }
    if (options->objective == TP_OBJECTIVE_MULTICLASS &&
        (options->class_count < 2 || options->class_count > TP_MAX_CLASSES)) {
        return tp_fail(err, TAPEOUT_E_INVALID, "linear: %u classes; expected 2 to %u",
                       options->class_count, TP_MAX_CLASSES);
    }
    if (!(options->alpha >= 0.0) || !isfinite(options->alpha)) {
        return tp_fail(err, TAPEOUT_E_INVALID, "linear: alpha %g; expected 0 or more",
                       options->alpha);
    }
    if (!(options->l1_ratio >= 0.0 && options->l1_ratio <= 1.0)) {
        return tp_fail(err, TAPEOUT_E_INVALID, "linear: l1_ratio %g; expected 0 to 1",
                       options->l1_ratio);
    }
    if (!(options->tolerance > 0.0) || options->max_iterations == 0) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "linear: tolerance %g and max_iterations %u; both must be above 0",
                       options->tolerance, options->max_iterations);
    }
    return TAPEOUT_OK;
}

static tapeout_status check_targets(const tp_learn_data *data, const tp_linear_options *options,
                                    tapeout_error *err)
{
    for (uint64_t r = 0; r < data->row_count; r++) {
        const double target = data->target[r];
        bool is_sound = isfinite(target);
        if (options->objective == TP_OBJECTIVE_POISSON) {
            is_sound = is_sound && target >= 0.0;
        } else if (options->objective != TP_OBJECTIVE_SQUARED) {
            const double classes =
                options->objective == TP_OBJECTIVE_BINARY ? 2.0 : (double)options->class_count;
            is_sound = target >= 0.0 && target < classes && target == (double)(uint32_t)target;
        }
        if (!is_sound) {
            return tp_fail_at(err, TAPEOUT_E_DATA, r,
                              "linear: target %g in training row %llu does not go with %s", target,
                              (unsigned long long)r, tp_objective_name(options->objective));
        }
    }
    return TAPEOUT_OK;
}

// -- memory --------------------------------------------------------------------------------------
// One list for taking and giving back: where each array goes and how many doubles it has.
typedef struct fit_array {
    double **array;
    size_t count;
} fit_array;

enum { FIT_ARRAYS = 14 };

static void list_arrays(linear_fit *fit, fit_array list[FIT_ARRAYS])
{
    const size_t outputs = fit->linear->output_count;
    const size_t n = fit->unknown_count;
    const size_t chunk = fit->chunk_rows;
    const size_t rows =
        fit->options->objective == TP_OBJECTIVE_SQUARED ? 0 : (size_t)fit->data->row_count;
    const size_t workers = tp_pool_worker_count(fit->env->pool);
    const fit_array all[FIT_ARRAYS] = {
        {&fit->mean, fit->width},
        {&fit->ones, chunk},
        {&fit->design, fit->data->feature_count * chunk},
        {&fit->probability, outputs * chunk},
        {&fit->residual, outputs * chunk},
        {&fit->worker_rows, workers * fit->worker_row_count},
        {&fit->margin, outputs * rows},
        {&fit->direction, outputs * rows},
        {&fit->partial, fit->chunk_count},
        {&fit->beta, n},
        {&fit->next, n},
        {&fit->gradient, n},
        {&fit->slope, n},
        {&fit->hessian, n * n},
    };
    for (uint32_t i = 0; i < FIT_ARRAYS; i++) {
        list[i] = all[i];
    }
}

static void fit_deinit(linear_fit *fit)
{
    fit_array list[FIT_ARRAYS];
    list_arrays(fit, list);
    for (uint32_t i = 0; i < FIT_ARRAYS; i++) {
        tp_free_array(fit->env->alloc, *list[i].array, list[i].count, sizeof(double));
    }
}

static tapeout_status fit_alloc(linear_fit *fit, tapeout_error *err)
{
    fit_array list[FIT_ARRAYS];
    list_arrays(fit, list);
    for (uint32_t i = 0; i < FIT_ARRAYS; i++) {
        if (list[i].count == 0) {
            continue;
        }
        *list[i].array = tp_alloc_array_zero(fit->env->alloc, list[i].count, sizeof(double));
        if (*list[i].array == NULL) {
            return tp_fail_nomem(err);
        }
    }
    for (uint32_t r = 0; r < fit->chunk_rows; r++) {
        fit->ones[r] = 1.0;
    }
    return TAPEOUT_OK;
}

static void lay_chunks(linear_fit *fit)
{
    const tp_learn_data *data = fit->data;
    uint32_t rows = (1u << 21) / (data->feature_count + 1);
    rows = rows < MIN_CHUNK_ROWS ? MIN_CHUNK_ROWS : rows;
    rows = rows > MAX_CHUNK_ROWS ? MAX_CHUNK_ROWS : rows;
    rows = rows > data->row_count ? (uint32_t)data->row_count : rows;
    fit->chunk_rows = rows;
    fit->chunk_count = (uint32_t)((data->row_count + rows - 1) / rows);
    fit->worker_row_count = rows > data->block_rows ? rows : data->block_rows;
    fit->width = fit->linear->coefficient_count + 1;
    fit->unknown_count = (size_t)fit->width * fit->linear->output_count;
}

// -- steps ---------------------------------------------------------------------------------------
// How much less the objective is promised to be after the whole step: the line search's yardstick.
static double promised_change(const linear_fit *fit)
{
    double change = tp_linear_penalty(fit, fit->next) - tp_linear_penalty(fit, fit->beta);
    for (size_t i = 0; i < fit->unknown_count; i++) {
        change += fit->gradient[i] * (fit->next[i] - fit->beta[i]);
    }
    return change;
}

// The penalty after a part of the step; `slope` is free between solves.
static double stepped_penalty(linear_fit *fit, double length)
{
    for (size_t i = 0; i < fit->unknown_count; i++) {
        fit->slope[i] = fit->beta[i] + length * (fit->next[i] - fit->beta[i]);
    }
    return tp_linear_penalty(fit, fit->slope);
}

static tapeout_status search_length(linear_fit *fit, double *ret_length, tapeout_error *err)
{
    const double promise = promised_change(fit);
    double loss;
    TP_TRY(tp_linear_loss(fit, 0.0, &loss, err));
    const double before = loss + tp_linear_penalty(fit, fit->beta);
    double length = 1.0;
    for (uint32_t i = 0; i < MAX_HALVINGS; i++) {
        TP_TRY(tp_linear_loss(fit, length, &loss, err));
        if (loss + stepped_penalty(fit, length) <= before + 1e-4 * length * promise) {
            *ret_length = length;
            return TAPEOUT_OK;
        }
        length /= 2.0;
    }
    *ret_length = 0.0; // rounding alone is left
    return TAPEOUT_OK;
}

static void take_step(linear_fit *fit, double length)
{
    for (size_t i = 0; i < fit->unknown_count; i++) {
        fit->beta[i] += length * (fit->next[i] - fit->beta[i]);
    }
    const size_t margins = (size_t)fit->linear->output_count * fit->data->row_count;
    for (size_t i = 0; fit->margin != NULL && i < margins; i++) {
        fit->margin[i] += length * fit->direction[i];
    }
}

static bool is_small_step(const linear_fit *fit)
{
    double largest = 1.0;
    double moved = 0.0;
    for (size_t i = 0; i < fit->unknown_count; i++) {
        const double change = fabs(fit->next[i] - fit->beta[i]);
        moved = change > moved ? change : moved;
        largest = fabs(fit->next[i]) > largest ? fabs(fit->next[i]) : largest;
    }
    return moved <= fit->options->tolerance * largest;
}

// A count begins at its mean: from 0, the first step of a large count would be a long way off.
static void start(linear_fit *fit)
{
    if (fit->options->objective != TP_OBJECTIVE_POISSON) {
        return;
    }
    double sum = 0.0;
    for (uint64_t r = 0; r < fit->data->row_count; r++) {
        sum += linear_row_weight(fit, r) * fit->data->target[r];
    }
    fit->beta[0] = sum > 0.0 ? tp_log(sum / fit->total_weight) : 0.0;
    for (uint64_t r = 0; r < fit->data->row_count; r++) {
        fit->margin[r] = fit->beta[0];
    }
}

static tapeout_status descend(linear_fit *fit, tapeout_error *err)
{
    start(fit);
    for (uint32_t step = 0; step < MAX_STEPS; step++) {
        tp_env_progress(fit->env, "train", -1.0);
        TP_TRY(tp_linear_derive(fit, err));
        tp_linear_solve(fit);
        const bool is_last = fit->options->objective == TP_OBJECTIVE_SQUARED || is_small_step(fit);
        if (is_last) {
            take_step(fit, 1.0);
            return TAPEOUT_OK;
        }
        double length = 0.0;
        TP_TRY(tp_linear_direct(fit, err));
        TP_TRY(search_length(fit, &length, err));
        take_step(fit, length);
        if (length == 0.0) {
            return TAPEOUT_OK;
        }
    }
    return TAPEOUT_OK;
}

// -- the result ----------------------------------------------------------------------------------
// A category that the training rows lack, and a missing one if none was, takes the mean of the
// others: it says nothing.
static void keep_category(const linear_fit *fit, uint32_t output, uint32_t f)
{
    tp_linear *linear = fit->linear;
    const linear_term *term = &linear->terms[f];
    const double *frequency = fit->mean + 1 + term->coefficient;
    double *own =
        linear->coefficients + (size_t)output * linear->coefficient_count + term->coefficient;
    double mean = 0.0;
    for (uint32_t c = 0; c < linear_term_width(term); c++) {
        mean += frequency[c] * own[c];
    }
    for (uint32_t c = 0; c < linear_term_width(term); c++) {
        own[c] = frequency[c] > 0.0 ? own[c] : mean;
    }
    linear->center[(size_t)output * linear->feature_count + f] = mean;
}

static tapeout_status keep(linear_fit *fit, tapeout_error *err)
{
    tp_linear *linear = fit->linear;
    for (uint32_t k = 0; k < linear->output_count; k++) {
        const double *beta = fit->beta + (size_t)k * fit->width;
        double intercept = beta[0];
        for (uint32_t i = 1; i < fit->width; i++) {
            intercept -= fit->mean[i] * beta[i];
            linear->coefficients[(size_t)k * linear->coefficient_count + i - 1] = beta[i];
            if (!isfinite(beta[i])) {
                return tp_fail(err, TAPEOUT_E_DATA,
                               "linear: the fit does not settle; raise alpha or scale the target");
            }
        }
        if (!isfinite(intercept)) {
            return tp_fail(err, TAPEOUT_E_DATA,
                           "linear: the fit does not settle; raise alpha or scale the target");
        }
        linear->intercept[k] = intercept;
        for (uint32_t f = 0; f < linear->feature_count; f++) {
            if (linear->terms[f].is_category) {
                keep_category(fit, k, f);
            }
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status fit_all(linear_fit *fit, tapeout_error *err)
{
    TP_TRY(fit_alloc(fit, err));
    TP_TRY(tp_linear_describe(fit, err));
    TP_TRY(descend(fit, err));
    return keep(fit, err);
}

tapeout_status tp_linear_train(const tp_env *env, const tp_learn_data *train,
                               const tp_linear_options *options, tp_linear **ret_linear,
                               tapeout_error *err)
{
    TP_TRY(check_options(options, err));
    TP_TRY(check_targets(train, options, err));
    if (train->row_count == 0 || train->block_rows == 0) {
        return tp_fail(err, TAPEOUT_E_DATA, "linear: no training rows");
    }
    const bool is_multiclass = options->objective == TP_OBJECTIVE_MULTICLASS;
    const linear_shape shape = {train->features, train->feature_count,
                                is_multiclass ? options->class_count : 1};
    linear_fit fit = {.env = env, .data = train, .options = options};
    TP_TRY(tp_linear_new(env->alloc, &shape, &fit.linear, err));
    lay_chunks(&fit);
    const tapeout_status status = fit_all(&fit, err);
    fit_deinit(&fit);
    if (status == TAPEOUT_OK) {
        *ret_linear = fit.linear;
    } else {
        tp_linear_free(fit.linear);
    }
    return status;
}
