// SPDX-License-Identifier: Apache-2.0
//
// Fitting functions of texts. The levels of a text are counted by each worker for itself and joined
// by text, so counts do not depend on threads; they are ordered by falling count and then by their
// bytes, so codes depend on neither threads nor the order of rows. target_mean adds the target up
// in the order of rows, five folds apart: a training row gets the mean of the four folds that it is
// not in, which has never seen its own target.
#include "feature/feature_fit.h"

#include <stdlib.h>
#include <string.h>

// -- counting ------------------------------------------------------------------------------------
typedef struct counter {
    tp_feature_memo memo; // entries: code to level; dict: the levels
    uint64_t *counts;
    uint32_t capacity;
} counter;

typedef struct count_pass {
    const tapeout_allocator *alloc;
    uint32_t operand;
    counter *counters; // [worker_count]
    const tp_feature_run *run;
} count_pass;

static uint32_t generation_of(const tp_feature_worker *worker, uint32_t operand)
{
    const tp_feature_instr *instr = &worker->run->program->instrs[operand];
    return instr->memo == TP_FEATURE_NONE || instr->code.op == TP_OP_COLUMN
               ? worker->bind_generation
               : worker->memos[instr->memo].generation;
}

static tapeout_status add_level(const tapeout_allocator *alloc, counter *c, tp_str text,
                                int32_t *ret_level, tapeout_error *err)
{
    uint32_t level = 0;
    const tapeout_status status = tp_dict_add(&c->memo.dict, text, &level);
    if (status != TAPEOUT_OK || c->memo.dict.count > TP_MAX_FEATURE_LEVELS) {
        return tp_fail(err, status == TAPEOUT_E_NOMEM ? status : TAPEOUT_E_LIMIT,
                       "features: more than %u distinct texts, or no memory for them; use "
                       "hash(x, n)",
                       TP_MAX_FEATURE_LEVELS);
    }
    if (level >= c->capacity) {
        const uint32_t capacity = c->capacity == 0 ? 64 : c->capacity * 2;
        uint64_t *counts =
            tp_resize_array(alloc, c->counts, c->capacity, capacity, sizeof(uint64_t));
        if (counts == NULL) {
            return tp_fail_nomem(err);
        }
        memset(counts + c->capacity, 0, (capacity - c->capacity) * sizeof(uint64_t));
        c->counts = counts;
        c->capacity = capacity;
    }
    *ret_level = (int32_t)level;
    return TAPEOUT_OK;
}

static tapeout_status count_block(void *user, size_t task, tp_feature_worker *worker,
                                  tapeout_error *err)
{
    (void)task;
    const count_pass *p = user;
    counter *c = &p->counters[worker - p->run->workers];
    const uint32_t generation = generation_of(worker, p->operand);
    const int32_t *codes = tp_feature_codes(worker, p->operand);
    for (uint32_t i = 0; i < worker->row_count; i++) {
        if (codes[i] < 0) {
            continue;
        }
        if ((uint32_t)codes[i] >= c->memo.entry_count &&
            tp_feature_memo_reserve(p->alloc, &c->memo, (uint32_t)codes[i] + 1) != TAPEOUT_OK) {
            return tp_fail_nomem(err);
        }
        tp_feature_memo_entry *entry = &c->memo.entries[codes[i]];
        if (entry->generation != generation) {
            TP_TRY(add_level(p->alloc, c, tp_feature_text_at(worker, p->operand, codes[i]),
                             &entry->value, err));
            entry->generation = generation;
        }
        c->counts[entry->value]++;
    }
    return TAPEOUT_OK;
}

// -- joining and ordering ------------------------------------------------------------------------
typedef struct level {
    uint64_t count;
    tp_str text;
} level;

static int compare_levels(const void *a, const void *b)
{
    const level *left = a;
    const level *right = b;
    if (left->count != right->count) {
        return left->count > right->count ? -1 : 1;
    }
    return tp_str_compare(left->text, right->text);
}

static tapeout_status join_counters(const tapeout_allocator *alloc, const count_pass *p,
                                    counter *all, tapeout_error *err)
{
    for (size_t w = 0; w < p->run->worker_count; w++) {
        const counter *c = &p->counters[w];
        for (uint32_t i = 0; i < c->memo.dict.count; i++) {
            int32_t index = 0;
            TP_TRY(add_level(alloc, all, tp_dict_get(&c->memo.dict, i), &index, err));
            all->counts[index] += c->counts[i];
        }
    }
    return TAPEOUT_OK;
}

// At most `most` levels of `all`, in their order, as the state.
static tapeout_status order_levels(const tapeout_allocator *alloc, const counter *all,
                                   uint32_t most, tp_feature_fitted *fitted, tapeout_error *err)
{
    const uint32_t count = all->memo.dict.count;
    const uint32_t kept = count < most ? count : most;
    level *levels = tp_alloc_array(alloc, count, sizeof(level));
    fitted->counts = tp_alloc_array(alloc, kept, sizeof(uint64_t));
    fitted->count_count = fitted->counts == NULL ? 0 : kept;
    tapeout_status status = TAPEOUT_OK;
    if (count > 0 && (levels == NULL || fitted->counts == NULL)) {
        status = tp_fail_nomem(err);
    }
    for (uint32_t i = 0; i < count && status == TAPEOUT_OK; i++) {
        levels[i] = (level){all->counts[i], tp_dict_get(&all->memo.dict, i)};
    }
    if (status == TAPEOUT_OK && count > 0) {
        qsort(levels, count, sizeof(level), compare_levels);
    }
    for (uint32_t i = 0; i < kept && status == TAPEOUT_OK; i++) {
        uint32_t index = 0;
        fitted->counts[i] = levels[i].count;
        if (tp_dict_add(&fitted->levels, levels[i].text, &index) != TAPEOUT_OK) {
            status = tp_fail_nomem(err);
        }
    }
    tp_free_array(alloc, levels, count, sizeof(level));
    return status;
}

static void counter_deinit(const tapeout_allocator *alloc, counter *c)
{
    tp_feature_memo_deinit(alloc, &c->memo);
    tp_free_array(alloc, c->counts, c->capacity, sizeof(uint64_t));
}

static tapeout_status fit_counts(tp_feature_fitting *fitting, uint32_t most,
                                 tp_feature_fitted *fitted)
{
    const tapeout_allocator *alloc = fitting->env->alloc;
    const size_t workers = fitting->run->worker_count;
    count_pass p = {.alloc = alloc,
                    .operand = fitting->program->instrs[fitting->instr].code.a,
                    .run = fitting->run};
    counter all = {.capacity = 0};
    p.counters = tp_alloc_array_zero(alloc, workers, sizeof(counter));
    if (p.counters == NULL) {
        return tp_fail_nomem(fitting->err);
    }
    tp_dict_init(&all.memo.dict, alloc);
    for (size_t i = 0; i < workers; i++) {
        tp_dict_init(&p.counters[i].memo.dict, alloc);
    }
    tapeout_status status = tp_feature_fit_pass(fitting, count_block, &p);
    if (status == TAPEOUT_OK) {
        status = join_counters(alloc, &p, &all, fitting->err);
    }
    if (status == TAPEOUT_OK) {
        status = order_levels(alloc, &all, most, fitted, fitting->err);
    }
    for (size_t i = 0; i < workers; i++) {
        counter_deinit(alloc, &p.counters[i]);
    }
    counter_deinit(alloc, &all);
    tp_free_array(alloc, p.counters, workers, sizeof(counter));
    return status;
}

static tapeout_status fit_impute(tp_feature_fitting *fitting, tp_feature_fitted *fitted)
{
    const tp_feature_program *program = fitting->program;
    const tp_feature_instr *instr = &program->instrs[fitting->instr];
    if (instr->code.index == TP_STRATEGY_CONSTANT) {
        const uint32_t constant = program->instrs[instr->code.b].code.index;
        uint32_t index = 0;
        return tp_dict_add(&fitted->levels, tp_dict_get(&program->constants, constant), &index) ==
                       TAPEOUT_OK
                   ? TAPEOUT_OK
                   : tp_fail_nomem(fitting->err);
    }
    TP_TRY(fit_counts(fitting, 1, fitted));
    if (fitted->count_count == 0) {
        return tp_feature_fail_data(fitting->err, instr->place,
                                    "impute finds no text in any of the %llu training rows; use "
                                    "impute(x, constant, \"text\") or leave the column out",
                                    (unsigned long long)fitting->data->rows.count);
    }
    return TAPEOUT_OK;
}

tapeout_status tp_feature_fit_levels(tp_feature_fitting *fitting, tp_feature_fitted *fitted)
{
    if (fitting->program->instrs[fitting->instr].code.op == TP_OP_IMPUTE_TEXT) {
        return fit_impute(fitting, fitted);
    }
    return fit_counts(fitting, TP_MAX_FEATURE_LEVELS, fitted);
}

// -- the target ----------------------------------------------------------------------------------
typedef struct level_pass {
    uint32_t operand;
    int32_t *levels; // [rows] -1 for missing
} level_pass;

static tapeout_status add_levels(void *user, size_t task, tp_feature_worker *worker,
                                 tapeout_error *err)
{
    (void)task;
    (void)err; // nothing here can fail
    const level_pass *p = user;
    const double *levels = tp_feature_register(worker, p->operand);
    for (uint32_t i = 0; i < worker->row_count; i++) {
        p->levels[worker->row_begin + i] = levels[i] >= 0 ? (int32_t)levels[i] : -1;
    }
    return TAPEOUT_OK;
}

// Sums of the target and of the weights, by level and fold; the last row is that of all levels.
typedef struct target_sums {
    double *sums;    // [level_count + 1][FOLDS]
    double *weights; // [level_count + 1][FOLDS]
    uint32_t level_count;
} target_sums;

static void add_targets(const tp_feature_fit_data *data, const int32_t *levels, target_sums *t)
{
    for (uint64_t i = 0; i < data->rows.count; i++) {
        const uint32_t fold = tp_feature_fold(data->seed, i);
        const double weight = data->weight == NULL ? 1 : data->weight[i];
        const double value = data->target[i] * weight;
        const size_t all = (size_t)t->level_count * TP_FEATURE_FOLDS + fold;
        t->sums[all] += value;
        t->weights[all] += weight;
        if (levels[i] >= 0) {
            const size_t at = (size_t)levels[i] * TP_FEATURE_FOLDS + fold;
            t->sums[at] += value;
            t->weights[at] += weight;
        }
    }
}

// The smoothed mean of one level over all folds but `without` (FOLDS: over all).
static double level_mean(const target_sums *t, uint32_t row, uint32_t without, double prior,
                         double smoothing)
{
    double sum = 0;
    double weight = 0;
    for (uint32_t fold = 0; fold < TP_FEATURE_FOLDS; fold++) {
        if (fold != without) {
            sum += t->sums[(size_t)row * TP_FEATURE_FOLDS + fold];
            weight += t->weights[(size_t)row * TP_FEATURE_FOLDS + fold];
        }
    }
    const double pull = smoothing > 0 ? smoothing * prior : 0; // no 0 · NaN
    return weight + smoothing > 0 ? (sum + pull) / (weight + smoothing) : prior;
}

static void fill_means(const target_sums *t, double smoothing, tp_feature_fitted *fitted)
{
    fitted->shift = level_mean(t, t->level_count, TP_FEATURE_FOLDS, 0, 0);
    for (uint32_t i = 0; i < t->level_count; i++) {
        fitted->numbers[i] = level_mean(t, i, TP_FEATURE_FOLDS, fitted->shift, smoothing);
    }
    for (uint32_t fold = 0; fold < TP_FEATURE_FOLDS; fold++) {
        // A prior of no rows is missing: there is nothing to say without the row's own target.
        const double prior = level_mean(t, t->level_count, fold, (double)NAN, 0);
        for (uint32_t i = 0; i < t->level_count; i++) {
            fitted->folds[(size_t)i * TP_FEATURE_FOLDS + fold] =
                level_mean(t, i, fold, prior, smoothing);
        }
        fitted->folds[(size_t)t->level_count * TP_FEATURE_FOLDS + fold] = prior;
    }
}

static tapeout_status sum_targets(tp_feature_fitting *fitting, const int32_t *levels,
                                  uint32_t level_count, tp_feature_fitted *fitted)
{
    const tapeout_allocator *alloc = fitting->env->alloc;
    const size_t cells = ((size_t)level_count + 1) * TP_FEATURE_FOLDS;
    target_sums t = {.level_count = level_count};
    t.sums = tp_alloc_array_zero(alloc, cells, sizeof(double));
    t.weights = tp_alloc_array_zero(alloc, cells, sizeof(double));
    fitted->folds = tp_alloc_array_zero(alloc, cells, sizeof(double));
    fitted->fold_count = fitted->folds == NULL ? 0 : level_count + 1;
    fitted->numbers = tp_alloc_array_zero(alloc, level_count, sizeof(double));
    fitted->number_count = fitted->numbers == NULL ? 0 : level_count;
    tapeout_status status = TAPEOUT_OK;
    if (t.sums == NULL || t.weights == NULL || fitted->folds == NULL ||
        (fitted->numbers == NULL && level_count > 0)) {
        status = tp_fail_nomem(fitting->err);
    } else {
        add_targets(fitting->data, levels, &t);
        fill_means(&t, fitting->program->instrs[fitting->instr].code.number, fitted);
    }
    tp_free_array(alloc, t.sums, cells, sizeof(double));
    tp_free_array(alloc, t.weights, cells, sizeof(double));
    return status;
}

tapeout_status tp_feature_fit_target(tp_feature_fitting *fitting, tp_feature_fitted *fitted)
{
    const tp_feature_program *program = fitting->program;
    const tp_feature_instr *instr = &program->instrs[fitting->instr];
    const size_t rows = (size_t)fitting->data->rows.count;
    if (fitting->data->target == NULL) {
        return tp_feature_fail(fitting->err, instr->place,
                               "target_mean needs a target that is a number or one of two "
                               "classes; use category(x) or count_encode(x)");
    }
    level_pass p = {.operand = instr->code.a};
    p.levels = tp_alloc_array(fitting->env->alloc, rows, sizeof(int32_t));
    if (p.levels == NULL) {
        return tp_fail_nomem(fitting->err);
    }
    tapeout_status status = tp_feature_fit_pass(fitting, add_levels, &p);
    if (status == TAPEOUT_OK) {
        const uint32_t levels = program->instrs[instr->code.a].fitted;
        status = sum_targets(fitting, p.levels, program->fitted[levels].count_count, fitted);
    }
    tp_free_array(fitting->env->alloc, p.levels, rows, sizeof(int32_t));
    return status;
}
