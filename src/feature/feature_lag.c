// SPDX-License-Identifier: Apache-2.0
//
// lag(x, n, group, order): the value of x in the row that stands n places before this one among the
// rows of the same group, by `order` and then by position. It looks only inside the rows that are
// bound: a table is its own history, and a single record has none, so its lag is missing. Worked
// out once a bind, on one thread, since every row may need any other.
#include "feature/feature_exec.h"

#include <stdlib.h>
#include <string.h>

typedef struct place {
    uint32_t group;
    uint32_t position;
    double order;
} place;

typedef struct lag_scratch {
    double *values; // [rows] of x
    place *places;  // [rows] those with a group and an order
    size_t row_count;
    size_t count;
    tp_dict groups;
} lag_scratch;

static int compare_places(const void *a, const void *b)
{
    const place *left = a;
    const place *right = b;
    if (left->group != right->group) {
        return left->group < right->group ? -1 : 1;
    }
    if (left->order != right->order) {
        return left->order < right->order ? -1 : 1;
    }
    return (left->position > right->position) - (left->position < right->position);
}

static tapeout_status take_block(tp_feature_worker *worker, const tp_feature_code *code,
                                 lag_scratch *scratch, tapeout_error *err)
{
    const double *values = tp_feature_register(worker, code->a);
    const double *orders = tp_feature_register(worker, code->c);
    const int32_t *groups = tp_feature_codes(worker, code->b);
    memcpy(scratch->values + worker->row_begin, values, worker->row_count * sizeof(double));
    for (uint32_t i = 0; i < worker->row_count; i++) {
        if (groups[i] < 0 || orders[i] != orders[i]) {
            continue;
        }
        place *at = &scratch->places[scratch->count++];
        at->position = (uint32_t)worker->row_begin + i;
        at->order = orders[i];
        if (tp_dict_add(&scratch->groups, tp_feature_text_at(worker, code->b, groups[i]),
                        &at->group) != TAPEOUT_OK) {
            return tp_fail_nomem(err);
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status take_rows(tp_feature_run *run, uint32_t instr, lag_scratch *scratch,
                                tapeout_error *err)
{
    const tp_feature_program *program = run->program;
    tp_feature_worker *worker = &run->workers[0];
    tp_arena arena;
    tp_feature_steps steps = {NULL, 0};
    tp_arena_init(&arena, run->env.alloc, TP_MAX_FEATURE_ARENA);
    tapeout_status status = tp_feature_steps_before(program, instr, &arena, &steps, err);
    for (uint64_t at = 0; at < run->rows.count && status == TAPEOUT_OK;
         at += TP_FEATURE_BLOCK_ROWS) {
        const uint64_t left = run->rows.count - at;
        worker->row_begin = at;
        worker->row_count =
            left < TP_FEATURE_BLOCK_ROWS ? (uint32_t)left : (uint32_t)TP_FEATURE_BLOCK_ROWS;
        tp_feature_memos_trim(worker);
        status = tp_feature_run_steps(worker, steps, err);
        if (status == TAPEOUT_OK) {
            status = take_block(worker, &program->instrs[instr].code, scratch, err);
        }
    }
    tp_arena_deinit(&arena);
    return status;
}

static tapeout_status reserve(tp_feature_run *run, tapeout_error *err)
{
    const uint64_t wanted = run->rows.count;
    if (wanted <= run->lag_row_count) {
        return TAPEOUT_OK;
    }
    for (uint32_t i = 0; i < run->program->lag_count; i++) { // values of another bind: let go
        tp_free_array(run->env.alloc, run->lags[i], run->lag_row_count, sizeof(double));
        run->lags[i] = NULL;
    }
    run->lag_row_count = wanted;
    for (uint32_t i = 0; i < run->program->lag_count; i++) {
        run->lags[i] = tp_alloc_array(run->env.alloc, wanted, sizeof(double));
        if (run->lags[i] == NULL) {
            return tp_fail_nomem(err);
        }
    }
    return TAPEOUT_OK;
}

static void place_values(const lag_scratch *scratch, uint32_t back, double *out)
{
    for (size_t i = back; i < scratch->count; i++) {
        const place *here = &scratch->places[i];
        const place *there = &scratch->places[i - back];
        if (here->group == there->group) {
            out[here->position] = scratch->values[there->position];
        }
    }
}

tapeout_status tp_feature_lag_fill(tp_feature_run *run, uint32_t instr, tapeout_error *err)
{
    const tp_feature_instr *lag = &run->program->instrs[instr];
    const size_t rows = (size_t)run->rows.count;
    TP_TRY(reserve(run, err));
    double *out = run->lags[lag->lag];
    for (size_t i = 0; i < rows; i++) {
        out[i] = NAN;
    }
    if (rows <= lag->code.index) {
        return TAPEOUT_OK; // a record alone: no history, no memory needed
    }
    const tapeout_allocator *alloc = run->env.alloc;
    lag_scratch scratch = {.row_count = rows};
    tp_dict_init(&scratch.groups, alloc);
    scratch.values = tp_alloc_array(alloc, rows, sizeof(double));
    scratch.places = tp_alloc_array(alloc, rows, sizeof(place));
    tapeout_status status = TAPEOUT_OK;
    if (scratch.values == NULL || scratch.places == NULL) {
        status = tp_fail_nomem(err);
    } else {
        status = take_rows(run, instr, &scratch, err);
    }
    if (status == TAPEOUT_OK) {
        qsort(scratch.places, scratch.count, sizeof(place), compare_places);
        place_values(&scratch, lag->code.index, out);
    }
    tp_free_array(alloc, scratch.values, rows, sizeof(double));
    tp_free_array(alloc, scratch.places, rows, sizeof(place));
    tp_dict_deinit(&scratch.groups);
    return status;
}
