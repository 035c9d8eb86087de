// SPDX-License-Identifier: Apache-2.0
//
// The boosting loop: gradients at the margins so far, a tree for each output, its values added to
// the margins. Margins are the base plus one value a tree, added in the order of the trees, as
// prediction adds them: what training saw is what prediction says, to the last bit, and training
// that goes on where another stopped gives the trees that one long training gives.
#include "learn/gbt/gbt_train_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_clock.h"
#include "base/tp_cpu.h"
#include "base/tp_error.h"

#include <math.h>
#include <string.h>

static void trainer_deinit(tp_gbt_trainer *trainer)
{
    const tapeout_allocator *alloc = trainer->env->alloc;
    if (trainer->is_grower_ready) {
        tp_gbt_grower_deinit(&trainer->grower);
    }
    tp_gbt_gradients_deinit(trainer);
    tp_free_array(alloc, trainer->score, trainer->cell_count, sizeof(double));
    tp_free_array(alloc, trainer->valid_score, trainer->valid_cell_count, sizeof(double));
    tp_gbt_matrix_deinit(&trainer->matrix);
    tp_gbt_matrix_deinit(&trainer->valid_matrix);
    tp_gbt_bins_deinit(&trainer->bins);
    tp_gbt_free(trainer->gbt);
}

// -- starting ------------------------------------------------------------------------------------

// Margins of the initial model, block by block over the raw values.
static tapeout_status start_from_model(const tp_gbt_trainer *trainer, const tp_learn_data *data,
                                       double *score, tapeout_error *err)
{
    const tp_gbt *model = trainer->options->init_model;
    const tapeout_allocator *alloc = trainer->env->alloc;
    const uint32_t block = data->block_rows < 1024 ? data->block_rows : 1024;
    const size_t features = data->feature_count;
    const uint32_t outputs = trainer->loss.output_count;
    const size_t scratch_size = tp_gbt_scratch_size(model, block);
    double *values = tp_alloc_array(alloc, features * block, sizeof(double));
    const double **columns = tp_alloc_array(alloc, features, sizeof(double *));
    double *margins = tp_alloc_array(alloc, (size_t)outputs * block, sizeof(double));
    void *scratch = tp_alloc_aligned(alloc, scratch_size);
    tapeout_status status = TAPEOUT_OK;
    if (values == NULL || columns == NULL || margins == NULL || scratch == NULL) {
        status = tp_fail_nomem(err);
    }
    for (uint64_t begin = 0; status == TAPEOUT_OK && begin < data->row_count; begin += block) {
        const uint64_t left = data->row_count - begin;
        const uint32_t count = left < block ? (uint32_t)left : block;
        for (uint32_t f = 0; status == TAPEOUT_OK && f < features; f++) {
            columns[f] = values + (size_t)f * block;
            const tp_learn_slice slice = {0, f, count, begin};
            status = data->read(data->user, &slice, values + (size_t)f * block, err);
        }
        if (status == TAPEOUT_OK) {
            tp_gbt_margins(model, columns, count, scratch, margins);
            for (uint32_t k = 0; k < outputs; k++) {
                memcpy(score + k * data->row_count + begin, margins + (size_t)k * count,
                       count * sizeof(double));
            }
        }
    }
    tp_free_array(alloc, values, features * block, sizeof(double));
    tp_free_array(alloc, columns, features, sizeof(double *));
    tp_free_array(alloc, margins, (size_t)outputs * block, sizeof(double));
    if (scratch != NULL) {
        tp_free_aligned(alloc, scratch, scratch_size);
    }
    return status;
}

static tapeout_status start_scores(const tp_gbt_trainer *trainer, const tp_learn_data *data,
                                   double *score, tapeout_error *err)
{
    if (trainer->options->init_model != NULL) {
        return start_from_model(trainer, data, score, err);
    }
    for (uint32_t k = 0; k < trainer->loss.output_count; k++) {
        for (uint64_t row = 0; row < data->row_count; row++) {
            score[k * data->row_count + row] = trainer->gbt->base[k];
        }
    }
    return TAPEOUT_OK;
}

// The forest that grows: empty, or with copies of the initial model's trees.
static tapeout_status start_forest(tp_gbt_trainer *trainer, tapeout_error *err)
{
    const tp_gbt *model = trainer->options->init_model;
    const uint32_t outputs = trainer->loss.output_count;
    const uint32_t features = trainer->data->feature_count;
    const uint64_t first = model != NULL ? model->tree_count : 0;
    const uint64_t capacity = first + (uint64_t)trainer->options->trees * outputs;
    if (capacity > TP_MAX_GBT_TREES) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "gbt: %llu trees: at most %u",
                       (unsigned long long)capacity, TP_MAX_GBT_TREES);
    }
    if (model != NULL &&
        (model->trees_per_iteration != outputs || model->feature_count != features)) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "gbt: the model to continue has %u outputs and %u features, the data %u "
                       "and %u",
                       model->trees_per_iteration, model->feature_count, outputs, features);
    }
    if (model != NULL && model->flags != 0) {
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                       "gbt: the model to continue is another program's, which adds or asks in its "
                       "own way");
    }
    TP_TRY(
        tp_gbt_new(trainer->env->alloc, features, outputs, (uint32_t)capacity, &trainer->gbt, err));
    if (model == NULL) {
        return trainer->options->boost_from_average
                   ? tp_gbt_loss_base(&trainer->loss, trainer->env->alloc, trainer->gbt->base, err)
                   : TAPEOUT_OK;
    }
    memcpy(trainer->gbt->base, model->base, outputs * sizeof(double));
    for (uint32_t t = 0; t < model->tree_count; t++) {
        TP_TRY(
            tp_gbt_tree_copy(trainer->env->alloc, &model->trees[t], &trainer->gbt->trees[t], err));
        trainer->gbt->tree_count++;
    }
    trainer->first_iteration = model->tree_count / outputs;
    return TAPEOUT_OK;
}

static tapeout_status start_valid(tp_gbt_trainer *trainer, tapeout_error *err)
{
    const tp_learn_data *valid = trainer->valid;
    if (valid == NULL || valid->row_count == 0) {
        trainer->valid = NULL;
        return TAPEOUT_OK;
    }
    tp_gbt_loss_init(&trainer->valid_loss, trainer->options, valid);
    TP_TRY(tp_gbt_loss_check(&trainer->valid_loss, "validation", err));
    TP_TRY(tp_gbt_matrix_fill(trainer->env, valid, &trainer->bins, &trainer->valid_matrix, err));
    trainer->valid_cell_count = (size_t)valid->row_count * trainer->loss.output_count;
    trainer->valid_score =
        tp_alloc_array(trainer->env->alloc, trainer->valid_cell_count, sizeof(double));
    if (trainer->valid_score == NULL) {
        trainer->valid_cell_count = 0;
        return tp_fail_nomem(err);
    }
    return start_scores(trainer, valid, trainer->valid_score, err);
}

static tapeout_status trainer_start(tp_gbt_trainer *trainer, tapeout_error *err)
{
    const tp_learn_data *data = trainer->data;
    tp_gbt_loss_init(&trainer->loss, trainer->options, data);
    TP_TRY(tp_gbt_loss_check(&trainer->loss, "training", err));
    TP_TRY(tp_gbt_bins_fit(trainer->env, data, trainer->options, &trainer->bins, err));
    trainer->matrix.column_count = data->feature_count;
    TP_TRY(tp_gbt_matrix_fill(trainer->env, data, &trainer->bins, &trainer->matrix, err));
    TP_TRY(start_forest(trainer, err));
    const size_t cells = (size_t)data->row_count * trainer->loss.output_count;
    trainer->score = tp_alloc_array(trainer->env->alloc, cells, sizeof(double));
    if (trainer->score == NULL) {
        return tp_fail_nomem(err);
    }
    trainer->cell_count = cells;
    tp_advise_large_pages(trainer->score, cells * sizeof(double));
    TP_TRY(start_scores(trainer, data, trainer->score, err));
    TP_TRY(start_valid(trainer, err));
    trainer->grower = (tp_gbt_grower){.env = trainer->env,
                                      .options = trainer->options,
                                      .bins = &trainer->bins,
                                      .matrix = &trainer->matrix,
                                      .loss = &trainer->loss};
    tp_kernels_gbt_init(&trainer->grower.kernels, tp_cpu_flags());
    trainer->is_grower_ready = true;
    TP_TRY(tp_gbt_grower_init(&trainer->grower, err));
    return tp_gbt_gradients_init(trainer, err);
}

// -- margins of rows that took no part -----------------------------------------------------------

typedef struct walk_job {
    tp_gbt_trainer *trainer;
    const tp_gbt_walk *walk;
    const tp_gbt_matrix *matrix;
    double *score; // of one output
    bool only_out_of_bag;
} walk_job;

static tapeout_status walk_task(void *user, size_t index, size_t worker, tapeout_error *err)
{
    (void)worker;
    (void)err;
    const walk_job *job = user;
    const uint64_t begin = (uint64_t)index * TP_GBT_CHUNK_ROWS;
    const uint64_t left = job->matrix->row_count - begin;
    const uint64_t end = begin + (left < TP_GBT_CHUNK_ROWS ? left : TP_GBT_CHUNK_ROWS);
    for (uint64_t row = begin; row < end; row++) {
        if (!job->only_out_of_bag || !tp_gbt_row_in_bag(job->trainer, row)) {
            job->score[row] +=
                tp_gbt_walk_value(job->walk, job->matrix->cells + row * job->matrix->stride);
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status walk_others(tp_gbt_trainer *trainer, const tp_tree *tree, uint32_t k,
                                  tapeout_error *err)
{
    const bool is_bagged = trainer->options->row_fraction < 1;
    if (!is_bagged && trainer->valid == NULL) {
        return TAPEOUT_OK;
    }
    tp_gbt_walk walk;
    TP_TRY(tp_gbt_walk_init(&walk, &trainer->grower, tree, err));
    tapeout_status status = TAPEOUT_OK;
    for (int part = 0; part < 2 && status == TAPEOUT_OK; part++) {
        const bool is_valid = part == 1;
        const tp_gbt_matrix *matrix = is_valid ? &trainer->valid_matrix : &trainer->matrix;
        if (is_valid ? trainer->valid == NULL : !is_bagged) {
            continue;
        }
        double *score = is_valid ? trainer->valid_score : trainer->score;
        walk_job job = {.trainer = trainer,
                        .walk = &walk,
                        .matrix = matrix,
                        .score = score + k * matrix->row_count,
                        .only_out_of_bag = !is_valid};
        const size_t chunks =
            (size_t)((matrix->row_count + TP_GBT_CHUNK_ROWS - 1) / TP_GBT_CHUNK_ROWS);
        status = tp_pool_for(trainer->env->pool, chunks, walk_task, &job, err);
    }
    tp_gbt_walk_deinit(&walk);
    return status;
}

// -- boosting ------------------------------------------------------------------------------------

// Grows the trees of one iteration; `ret_any` tells whether one of them has a split.
static tapeout_status boost_once(tp_gbt_trainer *trainer, uint32_t iteration, bool *ret_any,
                                 tapeout_error *err)
{
    tp_gbt *gbt = trainer->gbt;
    *ret_any = false;
    TP_TRY(tp_gbt_gradients_update(trainer, iteration, err));
    for (uint32_t k = 0; k < trainer->loss.output_count; k++) {
        double *score = trainer->score + k * trainer->data->row_count;
        TP_TRY(tp_env_check(trainer->env, err));
        TP_TRY(tp_gbt_gradients_enter(trainer, iteration, k, err));
        TP_TRY(tp_gbt_grow(&trainer->grower, err));
        tp_tree *tree = &gbt->trees[gbt->tree_count];
        TP_TRY(tp_gbt_tree_build(&trainer->grower, score, tree, err));
        gbt->tree_count++;
        if (tree->leaf_count == 1) {
            tree->leaf_value[0] = 0; // nothing learned
            continue;
        }
        *ret_any = true;
        TP_TRY(tp_gbt_tree_add(&trainer->grower, tree, score, err));
        TP_TRY(walk_others(trainer, tree, k, err));
    }
    return TAPEOUT_OK;
}

static double loss_mean(const tp_gbt_loss *loss, const double *score)
{
    double sum = 0;
    for (uint64_t begin = 0; begin < loss->row_count; begin += TP_GBT_CHUNK_ROWS) {
        const uint64_t left = loss->row_count - begin;
        const tp_gbt_run run = {begin,
                                left < TP_GBT_CHUNK_ROWS ? (uint32_t)left : TP_GBT_CHUNK_ROWS};
        sum += tp_gbt_loss_sum(loss, score, run);
    }
    return sum / tp_gbt_loss_weight(loss);
}

// Drops the trees from `tree_count` on.
static void forest_cut(tp_gbt *gbt, uint32_t tree_count)
{
    while (gbt->tree_count > tree_count) {
        gbt->tree_count--;
        tp_gbt_tree_deinit(gbt->alloc, &gbt->trees[gbt->tree_count]);
    }
}

static tapeout_status boost(tp_gbt_trainer *trainer, tp_gbt_report *report, tapeout_error *err)
{
    const tp_gbt_options *options = trainer->options;
    const uint32_t outputs = trainer->loss.output_count;
    const uint32_t first_trees = trainer->gbt->tree_count;
    const bool is_sampled = options->row_fraction < 1 || options->column_fraction < 1;
    uint32_t best = 0; // iterations that gave the best loss
    for (uint32_t i = 0; i < options->trees; i++) {
        bool any;
        TP_TRY(boost_once(trainer, trainer->first_iteration + i, &any, err));
        if (!any && !is_sampled) {
            forest_cut(trainer->gbt, first_trees + i * outputs);
            break; // every further iteration would be the same
        }
        tp_env_progress(trainer->env, "train", (double)(i + 1) / options->trees);
        if (trainer->valid == NULL) {
            continue;
        }
        const double loss = loss_mean(&trainer->valid_loss, trainer->valid_score);
        if (isnan(report->valid_loss) || loss < report->valid_loss) {
            report->valid_loss = loss;
            best = i + 1;
        }
        if (options->early_stopping > 0 && i + 1 - best >= options->early_stopping) {
            break;
        }
    }
    report->train_loss = loss_mean(&trainer->loss, trainer->score);
    if (trainer->valid != NULL && options->early_stopping > 0) {
        forest_cut(trainer->gbt, first_trees + best * outputs);
    }
    report->iterations = (trainer->gbt->tree_count - first_trees) / outputs;
    return TAPEOUT_OK;
}

static double seconds_since(uint64_t start_ns)
{
    return (double)(tp_clock_monotonic_ns() - start_ns) * 1e-9;
}

tapeout_status tp_gbt_train(const tp_env *env, const tp_learn_data *train,
                            const tp_learn_data *valid, const tp_gbt_options *options,
                            tp_gbt **ret_gbt, tp_gbt_report *ret_report, tapeout_error *err)
{
    if (train->row_count == 0) {
        return tp_fail(err, TAPEOUT_E_DATA, "gbt: no training rows");
    }
    TP_TRY(tp_gbt_options_check(options, train, err));
    tp_gbt_trainer trainer = {.env = env, .options = options, .data = train, .valid = valid};
    tp_gbt_report report = {.valid_loss = NAN};
    const uint64_t start_ns = tp_clock_monotonic_ns();
    tapeout_status status = trainer_start(&trainer, err);
    report.seconds_bin = seconds_since(start_ns);
    const uint64_t boost_ns = tp_clock_monotonic_ns();
    if (status == TAPEOUT_OK) {
        status = boost(&trainer, &report, err);
    }
    report.seconds_boost = seconds_since(boost_ns);
    if (status == TAPEOUT_OK) {
        status = tp_gbt_fast_make(trainer.gbt, err);
    }
    if (status == TAPEOUT_OK) {
        *ret_gbt = trainer.gbt;
        trainer.gbt = NULL;
        if (ret_report != NULL) {
            *ret_report = report;
        }
    }
    trainer_deinit(&trainer);
    return status;
}
