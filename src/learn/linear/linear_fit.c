// SPDX-License-Identifier: Apache-2.0
//
// The passes over the rows that a fit makes: statistics of the features, first and second
// derivatives of the loss, the margin along a step, the loss itself.
//
// The rows are never held as a matrix: a chunk of the design is read, used and forgotten. Whatever
// is summed is one number of one task, added up over the rows in their order; threads share the
// numbers, never a sum. Hence the same model for any number of threads and any chunk.
#include "learn/linear/linear_fit_priv.h"

#include "base/tp_error.h"
#include "kernels/tp_math.h"

#include <math.h>

static uint32_t least(uint64_t a, uint64_t b)
{
    return (uint32_t)(a < b ? a : b);
}

static double *worker_rows(const linear_fit *fit, size_t worker)
{
    return fit->worker_rows + worker * fit->worker_row_count;
}

// -- statistics ----------------------------------------------------------------------------------
typedef struct column_sums {
    double weight;
    double first;
    double second; // about the mean
} column_sums;

// Consecutive rows of one feature.
typedef struct feature_run {
    uint32_t feature;
    uint32_t row_count;
    uint64_t row_begin;
    const double *values; // [row_count]
} feature_run;

// Adds a run of rows of a number, or of a category's codes into `mean`.
static void describe_rows(linear_fit *fit, const feature_run *run, bool about_mean,
                          column_sums *sums)
{
    const linear_term *term = &fit->linear->terms[run->feature];
    double *frequency = fit->mean + 1 + term->coefficient;
    for (uint32_t r = 0; r < run->row_count; r++) {
        const double weight = linear_row_weight(fit, run->row_begin + r);
        const double value = run->values[r];
        if (term->is_category) {
            frequency[linear_code(term, value)] += weight;
        } else if (value - value == 0.0 && !about_mean) {
            sums->weight += weight;
            sums->first += weight * value;
        } else if (value - value == 0.0) {
            sums->second += weight * (value - term->mean) * (value - term->mean);
        }
    }
}

static tapeout_status describe_pass(linear_fit *fit, uint32_t f, size_t worker, bool about_mean,
                                    column_sums *sums, tapeout_error *err)
{
    const tp_learn_data *data = fit->data;
    double *values = worker_rows(fit, worker);
    for (uint64_t begin = 0; begin < data->row_count; begin += data->block_rows) {
        const uint32_t count = least(data->block_rows, data->row_count - begin);
        const tp_learn_slice slice = {worker, f, count, begin};
        TP_TRY(data->read(data->user, &slice, values, err));
        const feature_run run = {f, count, begin, values};
        describe_rows(fit, &run, about_mean, sums);
    }
    return TAPEOUT_OK;
}

// Missing values count as the mean in the deviation too: as if they had been filled in.
static tapeout_status describe_feature(void *user, size_t f, size_t worker, tapeout_error *err)
{
    linear_fit *fit = user;
    linear_term *term = &fit->linear->terms[f];
    column_sums sums = {0.0, 0.0, 0.0};
    TP_TRY(describe_pass(fit, (uint32_t)f, worker, false, &sums, err));
    if (term->is_category) {
        for (uint32_t c = 0; c < linear_term_width(term); c++) {
            fit->mean[1 + term->coefficient + c] /= fit->total_weight;
        }
        return TAPEOUT_OK;
    }
    term->mean = sums.weight > 0.0 ? sums.first / sums.weight : 0.0;
    TP_TRY(describe_pass(fit, (uint32_t)f, worker, true, &sums, err));
    const double deviation = tp_sqrt(sums.second / fit->total_weight);
    // A constant whose mean was rounded has a deviation of rounding errors, not of values.
    const bool varies = deviation > 1e-14 * fabs(term->mean) && isfinite(1.0 / deviation);
    term->inverse_scale = varies ? 1.0 / deviation : 0.0;
    if (!isfinite(term->mean)) {
        term->mean = 0.0;
        term->inverse_scale = 0.0;
    }
    return TAPEOUT_OK;
}

tapeout_status tp_linear_describe(linear_fit *fit, tapeout_error *err)
{
    const tp_learn_data *data = fit->data;
    fit->total_weight = 0.0;
    for (uint64_t r = 0; r < data->row_count; r++) {
        fit->total_weight += linear_row_weight(fit, r);
    }
    if (!(fit->total_weight > 0.0)) {
        return tp_fail(err, TAPEOUT_E_DATA,
                       "linear: %llu training rows of no weight; there is nothing to learn from",
                       (unsigned long long)data->row_count);
    }
    return tp_pool_for(fit->env->pool, data->feature_count, describe_feature, fit, err);
}

// -- a chunk of the design -----------------------------------------------------------------------
typedef struct chunk {
    linear_fit *fit;
    uint64_t row_begin;
    uint32_t row_count;
    uint32_t block_count;
    double length;
} chunk;

static chunk chunk_at(linear_fit *fit, uint32_t index)
{
    const uint64_t begin = (uint64_t)index * fit->chunk_rows;
    const uint32_t count = least(fit->chunk_rows, fit->data->row_count - begin);
    const uint32_t block = fit->data->block_rows;
    return (chunk){fit, begin, count, (count + block - 1) / block, 0.0};
}

static tapeout_status read_block(void *user, size_t task, size_t worker, tapeout_error *err)
{
    const chunk *part = user;
    const linear_fit *fit = part->fit;
    const uint32_t f = (uint32_t)(task / part->block_count);
    const linear_term *term = &fit->linear->terms[f];
    const uint32_t begin = (uint32_t)(task % part->block_count) * fit->data->block_rows;
    const uint32_t count = least(fit->data->block_rows, part->row_count - begin);
    double *values = fit->design + (size_t)f * fit->chunk_rows + begin;
    const tp_learn_slice slice = {worker, f, count, part->row_begin + begin};
    TP_TRY(fit->data->read(fit->data->user, &slice, values, err));
    for (uint32_t r = 0; r < count; r++) {
        values[r] = term->is_category ? (double)linear_code(term, values[r])
                                      : linear_standardise(term, values[r]);
    }
    return TAPEOUT_OK;
}

static tapeout_status read_chunk(const chunk *part, tapeout_error *err)
{
    const linear_fit *fit = part->fit;
    TP_TRY(tp_env_check(fit->env, err));
    const size_t tasks = (size_t)fit->data->feature_count * part->block_count;
    return tp_pool_for(fit->env->pool, tasks, read_block, (void *)(uintptr_t)part, err);
}

static const double *column_values(const linear_fit *fit, uint32_t t)
{
    return t == 0 ? fit->ones : fit->design + (size_t)(t - 1) * fit->chunk_rows;
}

// -- links ---------------------------------------------------------------------------------------
static double margin_at(const linear_fit *fit, uint32_t output, uint64_t row)
{
    return fit->margin != NULL ? fit->margin[(size_t)output * fit->data->row_count + row] : 0.0;
}

static void link_multiclass(const linear_fit *fit, uint64_t row, double *probability)
{
    const uint32_t outputs = fit->linear->output_count;
    double highest = margin_at(fit, 0, row);
    for (uint32_t k = 1; k < outputs; k++) {
        const double margin = margin_at(fit, k, row);
        highest = margin > highest ? margin : highest;
    }
    double total = 0.0;
    for (uint32_t k = 0; k < outputs; k++) {
        probability[(size_t)k * fit->chunk_rows] = tp_exp(margin_at(fit, k, row) - highest);
        total += probability[(size_t)k * fit->chunk_rows];
    }
    for (uint32_t k = 0; k < outputs; k++) {
        probability[(size_t)k * fit->chunk_rows] /= total;
    }
}

static void link_row(const linear_fit *fit, uint64_t row, double *probability)
{
    switch (fit->options->objective) {
    case TP_OBJECTIVE_MULTICLASS:
        link_multiclass(fit, row, probability);
        return;
    case TP_OBJECTIVE_BINARY:
        *probability = tp_logistic(margin_at(fit, 0, row));
        return;
    case TP_OBJECTIVE_POISSON:
        *probability = tp_exp(margin_at(fit, 0, row));
        return;
    default:
        *probability = margin_at(fit, 0, row);
        return;
    }
}

static tapeout_status link_block(void *user, size_t task, size_t worker, tapeout_error *err)
{
    (void)worker;
    (void)err; // arithmetic alone
    const chunk *part = user;
    const linear_fit *fit = part->fit;
    const uint32_t begin = (uint32_t)task * fit->data->block_rows;
    const uint32_t end = begin + least(fit->data->block_rows, part->row_count - begin);
    const bool is_multiclass = fit->options->objective == TP_OBJECTIVE_MULTICLASS;
    for (uint32_t r = begin; r < end; r++) {
        const uint64_t row = part->row_begin + r;
        const double weight = linear_row_weight(fit, row);
        const double target = fit->data->target[row];
        link_row(fit, row, fit->probability + r);
        for (uint32_t k = 0; k < fit->linear->output_count; k++) {
            const double aim = is_multiclass ? (target == (double)k ? 1.0 : 0.0) : target;
            const size_t at = (size_t)k * fit->chunk_rows + r;
            fit->residual[at] = weight * (fit->probability[at] - aim);
        }
    }
    return TAPEOUT_OK;
}

// -- derivatives ---------------------------------------------------------------------------------
// Adds Σ value · column over the chunk to the unknowns of design column t.
static void add_gradient(const chunk *part, uint32_t output, uint32_t t)
{
    const linear_fit *fit = part->fit;
    const double *residual = fit->residual + (size_t)output * fit->chunk_rows;
    const double *column = column_values(fit, t);
    double *out = fit->gradient + (size_t)output * fit->width + linear_column_begin(fit, t);
    if (linear_column_is_category(fit, t)) {
        for (uint32_t r = 0; r < part->row_count; r++) {
            out[(uint32_t)column[r]] += residual[r];
        }
        return;
    }
    double sum = *out;
    for (uint32_t r = 0; r < part->row_count; r++) {
        sum += residual[r] * column[r];
    }
    *out = sum;
}

// The weight of each row in the second derivative by outputs k and l.
static void curvature(const chunk *part, uint32_t k, uint32_t l, double *ret_curvature)
{
    const linear_fit *fit = part->fit;
    const double *of_k = fit->probability + (size_t)k * fit->chunk_rows;
    const double *of_l = fit->probability + (size_t)l * fit->chunk_rows;
    for (uint32_t r = 0; r < part->row_count; r++) {
        const double weight = linear_row_weight(fit, part->row_begin + r);
        double second = 1.0;
        if (fit->options->objective == TP_OBJECTIVE_POISSON) {
            second = of_k[r];
        } else if (fit->options->objective != TP_OBJECTIVE_SQUARED) {
            second = k == l ? of_k[r] * (1.0 - of_k[r]) : -of_k[r] * of_l[r];
        }
        ret_curvature[r] = weight * second;
    }
}

// Four columns at a time, each sum a lane of its own.
static void add_products(const double *values, const double *const columns[4], uint32_t row_count,
                         double *const sums[4])
{
    double a = *sums[0];
    double b = *sums[1];
    double c = *sums[2];
    double d = *sums[3];
    for (uint32_t r = 0; r < row_count; r++) {
        a += values[r] * columns[0][r];
        b += values[r] * columns[1][r];
        c += values[r] * columns[2][r];
        d += values[r] * columns[3][r];
    }
    *sums[0] = a;
    *sums[1] = b;
    *sums[2] = c;
    *sums[3] = d;
}

// Row t of the Hessian's block where t is a number: `values` are curvature × column t.
static void add_number_row(const chunk *part, uint32_t t, const double *values, double *row)
{
    const linear_fit *fit = part->fit;
    double unused = 0.0;
    const double *columns[4];
    double *sums[4];
    uint32_t held = 0;
    for (uint32_t s = 0; s <= t; s++) {
        const double *column = column_values(fit, s);
        double *out = row + linear_column_begin(fit, s);
        if (linear_column_is_category(fit, s)) {
            for (uint32_t r = 0; r < part->row_count; r++) {
                out[(uint32_t)column[r]] += values[r];
            }
        } else {
            columns[held] = column;
            sums[held++] = out;
        }
        if (held == 4 || (s == t && held > 0)) {
            for (; held < 4; held++) {
                columns[held] = columns[0];
                sums[held] = &unused;
            }
            add_products(values, columns, part->row_count, sums);
            held = 0;
        }
    }
}

// Rows of the block where t is a category: each row of the data touches one.
static void add_category_rows(const chunk *part, uint32_t t, const double *values, double *rows)
{
    const linear_fit *fit = part->fit;
    const double *codes = column_values(fit, t);
    for (uint32_t s = 0; s <= t; s++) {
        const double *column = column_values(fit, s);
        const bool is_category = linear_column_is_category(fit, s);
        double *out = rows + linear_column_begin(fit, s);
        for (uint32_t r = 0; r < part->row_count; r++) {
            double *row = out + (size_t)codes[r] * fit->unknown_count;
            if (is_category) {
                row[(uint32_t)column[r]] += values[r];
            } else {
                row[0] += values[r] * column[r];
            }
        }
    }
}

static void add_hessian(const chunk *part, uint32_t pair, uint32_t t, double *values)
{
    const linear_fit *fit = part->fit;
    uint32_t k = 0;
    while (pair > k) {
        pair -= ++k;
    }
    const size_t first = (size_t)k * fit->width + linear_column_begin(fit, t);
    double *rows = fit->hessian + first * fit->unknown_count + (size_t)pair * fit->width;
    curvature(part, k, pair, values);
    if (linear_column_is_category(fit, t)) {
        add_category_rows(part, t, values, rows);
        return;
    }
    const double *column = column_values(fit, t);
    for (uint32_t r = 0; r < part->row_count; r++) {
        values[r] *= column[r];
    }
    add_number_row(part, t, values, rows);
}

// Tasks: the gradient of (output, column), then the Hessian of (pair of outputs, column).
static tapeout_status derive_task(void *user, size_t task, size_t worker, tapeout_error *err)
{
    (void)err; // arithmetic alone
    const chunk *part = user;
    const linear_fit *fit = part->fit;
    const uint32_t columns = fit->data->feature_count + 1;
    const size_t gradients = (size_t)fit->linear->output_count * columns;
    if (task < gradients) {
        add_gradient(part, (uint32_t)(task / columns), (uint32_t)(task % columns));
        return TAPEOUT_OK;
    }
    task -= gradients;
    add_hessian(part, (uint32_t)(task / columns), (uint32_t)(task % columns),
                worker_rows(fit, worker));
    return TAPEOUT_OK;
}

// The lower triangles of the blocks on and below the diagonal become a whole symmetric matrix of
// means, with the categories centred: (x - m)(y - m') = xy - m·1y - x1·m' + m·11·m'.
static void finish_hessian_block(const linear_fit *fit, uint32_t k, uint32_t l)
{
    const size_t n = fit->unknown_count;
    const uint32_t width = fit->width;
    double *block = fit->hessian + (size_t)k * width * n + (size_t)l * width;
    for (uint32_t i = 0; i < width; i++) {
        for (uint32_t j = 0; j <= i; j++) {
            block[i * n + j] /= fit->total_weight;
        }
    }
    const double *mean = fit->mean;
    for (uint32_t i = width; i-- > 1;) {
        for (uint32_t j = i + 1; j-- > 1;) {
            block[i * n + j] +=
                mean[i] * mean[j] * block[0] - mean[i] * block[j * n] - mean[j] * block[i * n];
        }
    }
    for (uint32_t i = 1; i < width; i++) {
        block[i * n] -= mean[i] * block[0];
    }
    double *mirror = fit->hessian + (size_t)l * width * n + (size_t)k * width;
    for (uint32_t i = 0; i < width; i++) {
        for (uint32_t j = 0; j <= i; j++) {
            const double value = block[i * n + j];
            block[j * n + i] = value;
            mirror[i * n + j] = value;
            mirror[j * n + i] = value;
        }
    }
}

tapeout_status tp_linear_derive(linear_fit *fit, tapeout_error *err)
{
    const size_t n = fit->unknown_count;
    for (size_t i = 0; i < n * n; i++) {
        fit->hessian[i] = 0.0;
    }
    for (size_t i = 0; i < n; i++) {
        fit->gradient[i] = 0.0;
    }
    const uint32_t outputs = fit->linear->output_count;
    const size_t tasks =
        ((size_t)outputs + (size_t)outputs * (outputs + 1) / 2) * (fit->data->feature_count + 1);
    for (uint32_t c = 0; c < fit->chunk_count; c++) {
        chunk part = chunk_at(fit, c);
        TP_TRY(read_chunk(&part, err));
        TP_TRY(tp_pool_for(fit->env->pool, part.block_count, link_block, &part, err));
        TP_TRY(tp_pool_for(fit->env->pool, tasks, derive_task, &part, err));
    }
    for (uint32_t k = 0; k < outputs; k++) {
        for (uint32_t l = 0; l <= k; l++) {
            finish_hessian_block(fit, k, l);
        }
        double *gradient = fit->gradient + (size_t)k * fit->width;
        for (uint32_t i = fit->width; i-- > 0;) {
            gradient[i] =
                (gradient[i] - (i > 0 ? fit->mean[i] * gradient[0] : 0.0)) / fit->total_weight;
        }
    }
    return TAPEOUT_OK;
}

// -- along a step --------------------------------------------------------------------------------
static tapeout_status direct_block(void *user, size_t task, size_t worker, tapeout_error *err)
{
    (void)worker;
    (void)err; // arithmetic alone
    const chunk *part = user;
    const linear_fit *fit = part->fit;
    const uint32_t k = (uint32_t)(task / part->block_count);
    const uint32_t begin = (uint32_t)(task % part->block_count) * fit->data->block_rows;
    const uint32_t end = begin + least(fit->data->block_rows, part->row_count - begin);
    const double *from = fit->beta + (size_t)k * fit->width;
    const double *to = fit->next + (size_t)k * fit->width;
    double *out = fit->direction + (size_t)k * fit->data->row_count + part->row_begin;
    double centred = to[0] - from[0];
    for (uint32_t i = 1; i < fit->width; i++) {
        centred -= fit->mean[i] * (to[i] - from[i]);
    }
    for (uint32_t r = begin; r < end; r++) {
        out[r] = centred;
    }
    for (uint32_t t = 1; t <= fit->data->feature_count; t++) {
        const double *column = column_values(fit, t);
        const uint32_t at = linear_column_begin(fit, t);
        const bool is_category = linear_column_is_category(fit, t);
        for (uint32_t r = begin; r < end; r++) {
            const uint32_t i = is_category ? at + (uint32_t)column[r] : at;
            out[r] += (to[i] - from[i]) * (is_category ? 1.0 : column[r]);
        }
    }
    return TAPEOUT_OK;
}

tapeout_status tp_linear_direct(linear_fit *fit, tapeout_error *err)
{
    for (uint32_t c = 0; c < fit->chunk_count; c++) {
        chunk part = chunk_at(fit, c);
        TP_TRY(read_chunk(&part, err));
        const size_t tasks = (size_t)fit->linear->output_count * part.block_count;
        TP_TRY(tp_pool_for(fit->env->pool, tasks, direct_block, &part, err));
    }
    return TAPEOUT_OK;
}

static double stepped_margin(const linear_fit *fit, uint32_t k, uint64_t row, double length)
{
    const size_t at = (size_t)k * fit->data->row_count + row;
    return fit->margin[at] + length * fit->direction[at];
}

static double row_loss(const linear_fit *fit, uint64_t row, double length)
{
    const double target = fit->data->target[row];
    const double margin = stepped_margin(fit, 0, row, length);
    if (fit->options->objective == TP_OBJECTIVE_BINARY) {
        return tp_log1p(tp_exp(-fabs(margin))) + (margin > 0.0 ? margin : 0.0) - target * margin;
    }
    if (fit->options->objective == TP_OBJECTIVE_POISSON) {
        return tp_exp(margin) - target * margin;
    }
    const uint32_t outputs = fit->linear->output_count;
    double highest = margin;
    for (uint32_t k = 1; k < outputs; k++) {
        const double other = stepped_margin(fit, k, row, length);
        highest = other > highest ? other : highest;
    }
    double total = 0.0;
    for (uint32_t k = 0; k < outputs; k++) {
        total += tp_exp(stepped_margin(fit, k, row, length) - highest);
    }
    return tp_log(total) + highest - stepped_margin(fit, (uint32_t)target, row, length);
}

static tapeout_status loss_of_chunk(void *user, size_t task, size_t worker, tapeout_error *err)
{
    (void)worker;
    (void)err; // arithmetic alone
    const chunk *all = user;
    const chunk part = chunk_at(all->fit, (uint32_t)task);
    double sum = 0.0;
    for (uint32_t r = 0; r < part.row_count; r++) {
        const uint64_t row = part.row_begin + r;
        sum += linear_row_weight(part.fit, row) * row_loss(part.fit, row, all->length);
    }
    part.fit->partial[task] = sum;
    return TAPEOUT_OK;
}

tapeout_status tp_linear_loss(linear_fit *fit, double length, double *ret_loss, tapeout_error *err)
{
    chunk all = {.fit = fit, .length = length};
    TP_TRY(tp_pool_for(fit->env->pool, fit->chunk_count, loss_of_chunk, &all, err));
    double sum = 0.0;
    for (uint32_t c = 0; c < fit->chunk_count; c++) {
        sum += fit->partial[c];
    }
    *ret_loss = sum / fit->total_weight;
    return TAPEOUT_OK;
}
