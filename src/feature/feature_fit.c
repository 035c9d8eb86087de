// SPDX-License-Identifier: Apache-2.0
//
// Fitting: every fitted instruction in the order of the program, each by running what it reads over
// the training rows alone. Rows are cut into tasks by count, never by threads; each task leaves a
// partial result, and partial results are joined in the order of rows, so the state has the same
// bits for any number of threads. One instruction is fitted at a time, which bounds the memory that
// fitting needs: at most 24 bytes a row, for exact quantiles.
#include "feature/feature_fit.h"

#include "base/tp_random.h"

enum { FOLD_STREAM = 0x666f6c64 }; // "fold": apart from other uses of the seed

uint32_t tp_feature_fold(uint64_t seed, uint64_t position)
{
    return (uint32_t)tp_random_below(seed, FOLD_STREAM, position, TP_FEATURE_FOLDS);
}

size_t tp_feature_fit_task_count(const tp_feature_fitting *fitting)
{
    return (size_t)((fitting->data->rows.count + TP_FEATURE_FIT_ROWS - 1) / TP_FEATURE_FIT_ROWS);
}

typedef struct pass {
    tp_feature_fitting *fitting;
    tp_feature_fit_fn fn;
    void *user;
} pass;

static tapeout_status run_task(void *user, size_t task, size_t worker_index, tapeout_error *err)
{
    const pass *p = user;
    const tp_feature_fitting *fitting = p->fitting;
    tp_feature_worker *worker = &fitting->run->workers[worker_index];
    const uint64_t rows = fitting->data->rows.count;
    const uint64_t begin = (uint64_t)task * TP_FEATURE_FIT_ROWS;
    const uint64_t end = rows - begin < TP_FEATURE_FIT_ROWS ? rows : begin + TP_FEATURE_FIT_ROWS;
    TP_TRY(tp_env_check(fitting->env, err));
    for (uint64_t at = begin; at < end; at += TP_FEATURE_BLOCK_ROWS) {
        const uint64_t left = end - at;
        worker->row_begin = at;
        worker->row_count =
            left < TP_FEATURE_BLOCK_ROWS ? (uint32_t)left : (uint32_t)TP_FEATURE_BLOCK_ROWS;
        tp_feature_memos_trim(worker);
        TP_TRY(tp_feature_run_steps(worker, fitting->steps, err));
        TP_TRY(p->fn(p->user, task, worker, err));
    }
    return TAPEOUT_OK;
}

tapeout_status tp_feature_fit_pass(tp_feature_fitting *fitting, tp_feature_fit_fn fn, void *user)
{
    pass p = {fitting, fn, user};
    return tp_pool_for(fitting->env->pool, tp_feature_fit_task_count(fitting), run_task, &p,
                       fitting->err);
}

// -- levels that nobody needs --------------------------------------------------------------------
static bool needs_all_levels(const tp_feature_program *program, uint32_t levels)
{
    for (uint32_t i = 0; i < program->instr_count; i++) {
        const tp_feature_code *code = &program->instrs[i].code;
        if (code->a == levels && code->op != TP_OP_CATEGORY && code->op != TP_OP_ONEHOT) {
            return true;
        }
    }
    return false;
}

// How many levels a category or onehot of `levels` keeps at most.
static uint32_t most_kept(const tp_feature_program *program, const tp_feature_fitted *levels)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < program->instr_count; i++) {
        const tp_feature_code *code = &program->instrs[i].code;
        uint32_t kept = 0;
        while (code->a == levels->instr && code->op != TP_OP_LEVELS && kept < levels->count_count &&
               (double)levels->counts[kept] >= code->number) {
            kept++;
        }
        most = kept > most ? kept : most;
    }
    return most;
}

// Rare levels are remembered so that they are not taken for unseen ones, but only so many.
static tapeout_status trim_levels(tp_feature_program *program, tp_feature_fitted *levels,
                                  tapeout_error *err)
{
    const uint32_t keep = most_kept(program, levels) + TP_MAX_FEATURE_RARE_LEVELS;
    if (levels->count_count <= keep || needs_all_levels(program, levels->instr)) {
        return TAPEOUT_OK;
    }
    tp_dict fewer;
    tp_dict_init(&fewer, program->alloc);
    uint64_t *counts = tp_alloc_array(program->alloc, keep, sizeof(uint64_t));
    bool failed = counts == NULL;
    for (uint32_t i = 0; i < keep && !failed; i++) {
        uint32_t index = 0;
        counts[i] = levels->counts[i];
        failed = tp_dict_add(&fewer, tp_dict_get(&levels->levels, i), &index) != TAPEOUT_OK;
    }
    if (failed) {
        tp_dict_deinit(&fewer);
        tp_free_array(program->alloc, counts, keep, sizeof(uint64_t));
        return tp_fail_nomem(err);
    }
    tp_feature_fitted_clear(program->alloc, levels);
    levels->levels = fewer;
    levels->counts = counts;
    levels->count_count = keep;
    return TAPEOUT_OK;
}

// -- all of it -----------------------------------------------------------------------------------
static tapeout_status fit_instr(tp_feature_fitting *fitting, tp_arena *arena)
{
    tp_feature_program *program = fitting->program;
    const tp_feature_instr *instr = &program->instrs[fitting->instr];
    if (instr->code.op == TP_OP_LAG) {
        return tp_feature_lag_fill(fitting->run, fitting->instr, fitting->err);
    }
    if (instr->fitted == TP_FEATURE_NONE) {
        return TAPEOUT_OK;
    }
    tp_feature_fitted *fitted = &program->fitted[instr->fitted];
    tp_arena_clear(arena);
    TP_TRY(tp_feature_steps_before(program, fitting->instr, arena, &fitting->steps, fitting->err));
    switch (instr->code.op) {
    case TP_OP_IMPUTE:
    case TP_OP_SCALE:
    case TP_OP_BIN:
        return tp_feature_fit_numbers(fitting, fitted);
    case TP_OP_IMPUTE_TEXT:
    case TP_OP_LEVELS:
        return tp_feature_fit_levels(fitting, fitted);
    case TP_OP_TARGET_MEAN:
        return tp_feature_fit_target(fitting, fitted);
    default: // CATEGORY and ONEHOT follow from their levels
        return TAPEOUT_OK;
    }
}

static tapeout_status fit_all(tp_feature_fitting *fitting)
{
    tp_arena arena;
    tp_arena_init(&arena, fitting->env->alloc, TP_MAX_FEATURE_ARENA);
    tapeout_status status = tp_feature_bind_columns(
        fitting->run, fitting->data->table, fitting->data->rows, TP_FEATURE_TRAIN, fitting->err);
    for (uint32_t i = 0; i < fitting->program->instr_count && status == TAPEOUT_OK; i++) {
        fitting->instr = i;
        status = fit_instr(fitting, &arena);
    }
    tp_arena_deinit(&arena);
    return status;
}

static tapeout_status finish(tp_feature_program *program, tapeout_error *err)
{
    for (uint32_t i = 0; i < program->fitted_count; i++) {
        if (program->instrs[program->fitted[i].instr].code.op == TP_OP_LEVELS) {
            TP_TRY(trim_levels(program, &program->fitted[i], err));
        }
    }
    TP_TRY(tp_feature_derive(program, err));
    program->is_fitted = true;
    program->is_trainable = true;
    return tp_feature_layout(program, err);
}

static void forget(tp_feature_program *program)
{
    program->is_fitted = false;
    program->is_trainable = false;
    for (uint32_t i = 0; i < program->fitted_count; i++) {
        tp_feature_fitted_clear(program->alloc, &program->fitted[i]);
    }
}

tapeout_status tp_feature_fit(const tp_env *env, tp_feature_program *program,
                              const tp_feature_fit_data *data, tapeout_error *err)
{
    if (data->rows.count == 0 || data->rows.count > UINT32_MAX) {
        return tp_fail(err, TAPEOUT_E_DATA, "features: %llu rows to fit on; give at least one",
                       (unsigned long long)data->rows.count);
    }
    forget(program);
    TP_TRY(tp_feature_layout(program, err));
    program->fit_row_count = data->rows.count;
    program->fit_seed = data->seed;
    tp_feature_fitting fitting = {.env = env, .program = program, .data = data, .err = err};
    TP_TRY(tp_feature_run_new(env, program, tp_pool_worker_count(env->pool), &fitting.run, err));
    tapeout_status status = fit_all(&fitting);
    tp_feature_run_free(fitting.run); // before the layout changes
    if (status == TAPEOUT_OK) {
        status = finish(program, err);
    }
    if (status != TAPEOUT_OK) {
        forget(program);
    }
    return status;
}
