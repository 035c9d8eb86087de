// SPDX-License-Identifier: Apache-2.0
//
// From margins to integers. The scale of an iteration is a power of two, so that numbers that are
// exact in few bits stay exact; the fine form keeps 30 bits of the largest gradient. The narrow
// form is rounded at random, by a hash of seed, tree and row: up and down even out over the rows,
// where rounding to the nearest would erase all that is small.
#include "learn/gbt/gbt_train_priv.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_random.h"

#include <math.h>
#include <string.h>

// Largest fine values: those that narrow ones of 16 bits can be rounded from.
static const double FINE_G_MAX = 32767.0 * (1 << TP_GBT_NARROW_SHIFT);
static const double FINE_H_MAX = 32767.0 * (1 << TP_GBT_NARROW_SHIFT);

// A gradient below so many narrow units is small; when a part of the rows as large as 1/SMALL_PART
// is, the histograms are built from the fine form.
enum { SMALL_UNITS = 4, SMALL_PART = 4 };

// So are those of a table with so few rows: rounding does not even out over a few hundred, and the
// time goes into searching.
enum { SMALL_TABLE_ROWS = 10000 };

tapeout_status tp_gbt_gradients_init(tp_gbt_trainer *trainer, tapeout_error *err)
{
    const tapeout_allocator *alloc = trainer->env->alloc;
    const uint32_t outputs = trainer->loss.output_count;
    const size_t rows = (size_t)trainer->data->row_count;
    trainer->chunk_count = (rows + TP_GBT_CHUNK_ROWS - 1) / TP_GBT_CHUNK_ROWS;
    trainer->fine_count = rows * outputs;
    trainer->fine = tp_alloc_array(alloc, trainer->fine_count, sizeof(tp_gbt_gradient));
    tp_advise_large_pages(trainer->fine, trainer->fine_count * sizeof(tp_gbt_gradient));
    trainer->scales = tp_alloc_array_zero(alloc, outputs, sizeof(tp_gbt_scale));
    trainer->chunk_scales =
        tp_alloc_array_zero(alloc, trainer->chunk_count * outputs, sizeof(tp_gbt_scale));
    trainer->chunk_begins = tp_alloc_array_zero(alloc, trainer->chunk_count, sizeof(uint64_t));
    const bool is_ready = trainer->fine != NULL && trainer->scales != NULL &&
                          trainer->chunk_scales != NULL && trainer->chunk_begins != NULL;
    return is_ready ? TAPEOUT_OK : tp_fail_nomem(err);
}

void tp_gbt_gradients_deinit(tp_gbt_trainer *trainer)
{
    const tapeout_allocator *alloc = trainer->env->alloc;
    const uint32_t outputs = trainer->loss.output_count;
    tp_free_array(alloc, trainer->fine, trainer->fine_count, sizeof(tp_gbt_gradient));
    tp_free_array(alloc, trainer->scales, outputs, sizeof(tp_gbt_scale));
    tp_free_array(alloc, trainer->chunk_scales, trainer->chunk_count * outputs,
                  sizeof(tp_gbt_scale));
    tp_free_array(alloc, trainer->chunk_begins, trainer->chunk_count, sizeof(uint64_t));
}

static tp_gbt_run chunk_run(const tp_gbt_trainer *trainer, size_t chunk)
{
    const uint64_t begin = (uint64_t)chunk * TP_GBT_CHUNK_ROWS;
    const uint64_t left = trainer->data->row_count - begin;
    return (tp_gbt_run){begin, left < TP_GBT_CHUNK_ROWS ? (uint32_t)left : TP_GBT_CHUNK_ROWS};
}

// -- scale ---------------------------------------------------------------------------------------

static tapeout_status measure_task(void *user, size_t chunk, size_t worker, tapeout_error *err)
{
    (void)err;
    tp_gbt_trainer *trainer = user;
    const tp_gbt_scratch *scratch = &trainer->grower.scratch[worker];
    const tp_gbt_run run = chunk_run(trainer, chunk);
    const uint32_t outputs = trainer->loss.output_count;
    tp_gbt_loss_gradients(&trainer->loss, trainer->score, run, scratch->g, scratch->h);
    for (uint32_t k = 0; k < outputs; k++) {
        const double *g = scratch->g + (size_t)k * run.count;
        const double *h = scratch->h + (size_t)k * run.count;
        double max_g = 0;
        double max_h = 0;
        for (uint32_t i = 0; i < run.count; i++) {
            max_g = fabs(g[i]) > max_g ? fabs(g[i]) : max_g;
            max_h = h[i] > max_h ? h[i] : max_h;
        }
        trainer->chunk_scales[chunk * outputs + k] = (tp_gbt_scale){.max_g = max_g, .max_h = max_h};
    }
    return TAPEOUT_OK;
}

// The power of two that brings `most` to at most `limit`, as what one unit stands for.
static double unit_for(double most, double limit)
{
    if (!(most > 0)) {
        return 1;
    }
    int exponent;
    (void)frexp(limit / most, &exponent);
    // 2^(exponent - 1) <= limit / most, but the quotient is rounded.
    exponent--;
    while (ldexp(most, exponent) > limit) {
        exponent--;
    }
    return ldexp(1, -exponent);
}

static void choose_units(const tp_gbt_trainer *trainer, tp_gbt_scale *scale)
{
    scale->unit_g = unit_for(scale->max_g, FINE_G_MAX);
    scale->unit_h = trainer->loss.is_constant_hessian ? 1 : unit_for(scale->max_h, FINE_H_MAX);
    scale->small_count = 0;
}

// -- quantising ----------------------------------------------------------------------------------

static tapeout_status quantise_task(void *user, size_t chunk, size_t worker, tapeout_error *err)
{
    (void)err;
    tp_gbt_trainer *trainer = user;
    const tp_gbt_scratch *scratch = &trainer->grower.scratch[worker];
    const tp_gbt_run run = chunk_run(trainer, chunk);
    const uint32_t outputs = trainer->loss.output_count;
    const int32_t small = SMALL_UNITS << TP_GBT_NARROW_SHIFT;
    const int32_t small_h = trainer->loss.is_constant_hessian ? 0 : small;
    tp_gbt_loss_gradients(&trainer->loss, trainer->score, run, scratch->g, scratch->h);
    for (uint32_t k = 0; k < outputs; k++) {
        const double *g = scratch->g + (size_t)k * run.count;
        const double *h = scratch->h + (size_t)k * run.count;
        const double per_g = 1 / trainer->scales[k].unit_g;
        const double per_h = 1 / trainer->scales[k].unit_h;
        tp_gbt_gradient *fine = trainer->fine + k * trainer->data->row_count + run.begin;
        uint32_t small_count = 0;
        for (uint32_t i = 0; i < run.count; i++) {
            const double scaled = g[i] * per_g;
            const int32_t fine_g = (int32_t)(scaled + (scaled < 0 ? -0.5 : 0.5));
            const int32_t fine_h = (int32_t)(h[i] * per_h + 0.5);
            fine[i] = (tp_gbt_gradient){fine_g, fine_h};
            const bool is_small = (fine_g < small && fine_g > -small && fine_g != 0) ||
                                  (fine_h < small_h && fine_h != 0);
            small_count += is_small;
        }
        trainer->chunk_scales[chunk * outputs + k].small_count = small_count;
    }
    return TAPEOUT_OK;
}

// Bounds that hold whatever the margins are; false where there are none.
static bool known_scale(const tp_gbt_trainer *trainer, tp_gbt_scale *ret_scale)
{
    const tp_gbt_options *options = trainer->options;
    if (trainer->loss.weight != NULL || options->positive_weight != 1) {
        return false;
    }
    const double outputs = trainer->loss.output_count;
    switch (options->objective) {
    case TP_OBJECTIVE_BINARY:
        *ret_scale = (tp_gbt_scale){.max_g = 1, .max_h = 0.25};
        return true;
    case TP_OBJECTIVE_MULTICLASS:
        *ret_scale = (tp_gbt_scale){.max_g = 1, .max_h = 0.25 * outputs / (outputs - 1)};
        return true;
    case TP_OBJECTIVE_ABSOLUTE:
    case TP_OBJECTIVE_QUANTILE:
        *ret_scale = (tp_gbt_scale){.max_g = 1, .max_h = 1};
        return true;
    case TP_OBJECTIVE_HUBER:
        *ret_scale = (tp_gbt_scale){.max_g = options->huber_delta, .max_h = 1};
        return true;
    case TP_OBJECTIVE_SQUARED:
    case TP_OBJECTIVE_POISSON:
    case TP_OBJECTIVE_TWEEDIE:
        return false;
    }
    return false;
}

static tapeout_status find_scales(tp_gbt_trainer *trainer, tapeout_error *err)
{
    const uint32_t outputs = trainer->loss.output_count;
    tp_gbt_scale known = {0};
    const bool is_known = known_scale(trainer, &known);
    for (uint32_t k = 0; k < outputs; k++) {
        trainer->scales[k] = known;
    }
    if (is_known) {
        return TAPEOUT_OK;
    }
    TP_TRY(tp_pool_for(trainer->env->pool, trainer->chunk_count, measure_task, trainer, err));
    for (size_t i = 0; i < trainer->chunk_count * outputs; i++) {
        tp_gbt_scale *scale = &trainer->scales[i % outputs];
        const tp_gbt_scale *found = &trainer->chunk_scales[i];
        scale->max_g = found->max_g > scale->max_g ? found->max_g : scale->max_g;
        scale->max_h = found->max_h > scale->max_h ? found->max_h : scale->max_h;
    }
    for (uint32_t k = 0; k < outputs; k++) {
        if (!isfinite(trainer->scales[k].max_g) || !isfinite(trainer->scales[k].max_h)) {
            return tp_fail(err, TAPEOUT_E_DATA,
                           "gbt: gradients overflow: scale the target or lower learning_rate");
        }
    }
    return TAPEOUT_OK;
}

tapeout_status tp_gbt_gradients_update(tp_gbt_trainer *trainer, uint32_t iteration,
                                       tapeout_error *err)
{
    const tp_gbt_options *options = trainer->options;
    const uint32_t outputs = trainer->loss.output_count;
    trainer->bag_key =
        tp_random_u64(options->seed, TP_GBT_STREAM_BAG, iteration / options->row_every);
    TP_TRY(find_scales(trainer, err));
    for (uint32_t k = 0; k < outputs; k++) {
        choose_units(trainer, &trainer->scales[k]);
    }
    TP_TRY(tp_pool_for(trainer->env->pool, trainer->chunk_count, quantise_task, trainer, err));
    for (size_t i = 0; i < trainer->chunk_count * outputs; i++) {
        trainer->scales[i % outputs].small_count += trainer->chunk_scales[i].small_count;
    }
    return TAPEOUT_OK;
}

// -- entries -------------------------------------------------------------------------------------

// A hash of a key and a row, good enough to round and to sample by: one multiplication each to
// spread and to mix.
static inline uint64_t row_hash(uint64_t key, uint64_t row)
{
    uint64_t x = (row + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ key;
    x ^= x >> 32;
    x *= UINT64_C(0xd6e8feb86659fd93);
    return x ^ x >> 32;
}

bool tp_gbt_row_in_bag(const tp_gbt_trainer *trainer, uint64_t row)
{
    const double fraction = trainer->options->row_fraction;
    return fraction >= 1 || (double)(row_hash(trainer->bag_key, row) >> 11) * 0x1p-53 < fraction;
}

typedef struct enter_job {
    tp_gbt_trainer *trainer;
    const tp_gbt_gradient *fine;
    uint64_t round_key;
} enter_job;

static tapeout_status count_task(void *user, size_t chunk, size_t worker, tapeout_error *err)
{
    (void)worker;
    (void)err;
    tp_gbt_trainer *trainer = user;
    const tp_gbt_run run = chunk_run(trainer, chunk);
    uint64_t count = 0;
    for (uint64_t row = run.begin; row < run.begin + run.count; row++) {
        count += tp_gbt_row_in_bag(trainer, row);
    }
    trainer->chunk_begins[chunk] = count;
    return TAPEOUT_OK;
}

static tapeout_status enter_task(void *user, size_t chunk, size_t worker, tapeout_error *err)
{
    (void)worker;
    (void)err;
    const enter_job *job = user;
    tp_gbt_trainer *trainer = job->trainer;
    const tp_gbt_run run = chunk_run(trainer, chunk);
    const bool is_bagged = trainer->options->row_fraction < 1;
    const bool is_constant = trainer->loss.is_constant_hessian;
    const int32_t mask = (1 << TP_GBT_NARROW_SHIFT) - 1;
    uint64_t *entries = trainer->grower.entries + trainer->chunk_begins[chunk];
    for (uint64_t row = run.begin; row < run.begin + run.count; row++) {
        if (is_bagged && !tp_gbt_row_in_bag(trainer, row)) {
            continue;
        }
        const uint64_t hash = row_hash(job->round_key, row);
        const tp_gbt_gradient fine = job->fine[row];
        const int32_t g = (fine.g + ((int32_t)hash & mask)) >> TP_GBT_NARROW_SHIFT;
        const int32_t rounded = (fine.h + ((int32_t)(hash >> 32) & mask)) >> TP_GBT_NARROW_SHIFT;
        const int32_t h = is_constant ? 1 : rounded;
        *entries++ = row | (uint64_t)(uint16_t)h << 32 | (uint64_t)(uint16_t)g << 48;
    }
    return TAPEOUT_OK;
}

static tapeout_status place_bag(tp_gbt_trainer *trainer, tapeout_error *err)
{
    if (trainer->options->row_fraction >= 1) {
        for (size_t chunk = 0; chunk < trainer->chunk_count; chunk++) {
            trainer->chunk_begins[chunk] = (uint64_t)chunk * TP_GBT_CHUNK_ROWS;
        }
        trainer->grower.row_count = trainer->data->row_count;
        return TAPEOUT_OK;
    }
    TP_TRY(tp_pool_for(trainer->env->pool, trainer->chunk_count, count_task, trainer, err));
    uint64_t begin = 0;
    for (size_t chunk = 0; chunk < trainer->chunk_count; chunk++) {
        const uint64_t count = trainer->chunk_begins[chunk];
        trainer->chunk_begins[chunk] = begin;
        begin += count;
    }
    trainer->grower.row_count = begin;
    return TAPEOUT_OK;
}

// The features of the tree: those with the smallest random numbers.
static void sample_columns(tp_gbt_trainer *trainer, uint64_t tree)
{
    const uint32_t features = trainer->data->feature_count;
    const double wanted = trainer->options->column_fraction * features;
    const uint32_t count = wanted < 1 ? 1 : (uint32_t)(wanted + 0.5);
    uint8_t *is_enabled = trainer->grower.is_enabled;
    memset(is_enabled, count >= features, features);
    const uint64_t key = tp_random_u64(trainer->options->seed, TP_GBT_STREAM_COLUMN, tree);
    for (uint32_t taken = 0; count < features && taken < count; taken++) {
        uint32_t best = features;
        for (uint32_t f = 0; f < features; f++) {
            if (!is_enabled[f] && (best == features || row_hash(key, f) < row_hash(key, best))) {
                best = f;
            }
        }
        is_enabled[best] = 1;
    }
}

tapeout_status tp_gbt_gradients_enter(tp_gbt_trainer *trainer, uint32_t iteration, uint32_t k,
                                      tapeout_error *err)
{
    tp_gbt_grower *grower = &trainer->grower;
    const tp_gbt_scale *scale = &trainer->scales[k];
    const uint64_t tree = (uint64_t)iteration * trainer->loss.output_count + k;
    const double narrow = 1 << TP_GBT_NARROW_SHIFT;
    grower->fine = trainer->fine + k * trainer->data->row_count;
    grower->fine_unit_g = scale->unit_g;
    grower->fine_unit_h = scale->unit_h;
    grower->is_wide = trainer->data->row_count <= SMALL_TABLE_ROWS ||
                      scale->small_count > trainer->data->row_count / SMALL_PART;
    // Where Hessians differ by the row's weight they tell nothing about the number of rows.
    grower->has_counts = !trainer->loss.is_constant_hessian && trainer->loss.weight != NULL;
    const bool is_whole_h = grower->is_wide || trainer->loss.is_constant_hessian;
    grower->unit_g = scale->unit_g * (grower->is_wide ? 1 : narrow);
    grower->unit_h = scale->unit_h * (is_whole_h ? 1 : narrow);
    sample_columns(trainer, tree);
    TP_TRY(place_bag(trainer, err));
    enter_job job = {.trainer = trainer,
                     .fine = grower->fine,
                     .round_key = tp_random_u64(trainer->options->seed, TP_GBT_STREAM_ROUND, tree)};
    return tp_pool_for(trainer->env->pool, trainer->chunk_count, enter_task, &job, err);
}
