// SPDX-License-Identifier: Apache-2.0
//
// The notes of a profile. Each rule is one line of docs/csv.md:
//
//   constant          one value, never missing
//   all_missing       no value at all
//   identifier        texts of which at least 95 % are different, or whole numbers that are all
//                     different, over at least 50 rows
//   high_cardinality  texts of more than 1,000 different values that name no rows
//   leak              profile_leak.c
//
// Columns are profiled in parallel, each on its own.
#include "table/tp_profile.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_pool.h"
#include "table/profile_priv.h"

#include <math.h>
#include <string.h>

enum { IDENTIFIER_ROWS_MIN = 50, LEVELS_MANY = 1000 };

struct tp_profile {
    const tapeout_allocator *alloc;
    uint32_t column_count;
    tp_profile_column *columns; // [C]
    tp_arena *arenas;           // [C] for the texts of numbers
};

typedef struct profile_job {
    const tp_env *env;
    const tapeout_table *table;
    tp_row_choice rows;
    uint32_t target_index;
    profile_target target;
    tp_profile *profile;
} profile_job;

static uint32_t notes_of(const tp_sketch *sketch)
{
    const uint64_t valid = sketch->row_count - sketch->missing_count;
    if (valid == 0) {
        return TP_PROFILE_ALL_MISSING;
    }
    if (sketch->distinct_count == 1 && sketch->missing_count == 0) {
        return TP_PROFILE_CONSTANT;
    }
    const bool is_text = sketch->type == TAPEOUT_TYPE_STRING;
    const bool is_naming_text = is_text && sketch->distinct_count >= valid - valid / 20;
    const bool is_naming_number =
        sketch->type == TAPEOUT_TYPE_INT64 && sketch->distinct_count == valid;
    if (valid >= IDENTIFIER_ROWS_MIN && (is_naming_text || is_naming_number)) {
        return TP_PROFILE_IDENTIFIER;
    }
    return is_text && sketch->distinct_count > LEVELS_MANY ? TP_PROFILE_HIGH_CARDINALITY : 0;
}

static tapeout_status profile_task(void *user, size_t task, size_t worker, tapeout_error *err)
{
    (void)worker;
    const profile_job *job = user;
    tp_profile_column *column = &job->profile->columns[task];
    const tp_column *source = &job->table->columns[task];
    TP_TRY(tp_env_check(job->env, err));
    TP_TRY(tp_sketch_column(job->env, source, job->rows, &job->profile->arenas[task],
                            &column->sketch, err));
    column->leak_score = NAN;
    column->notes = notes_of(&column->sketch);
    if (task == job->target_index) {
        column->notes &= ~(uint32_t)(TP_PROFILE_IDENTIFIER | TP_PROFILE_HIGH_CARDINALITY);
        return TAPEOUT_OK;
    }
    const uint32_t settled = TP_PROFILE_CONSTANT | TP_PROFILE_ALL_MISSING | TP_PROFILE_IDENTIFIER;
    // A number that never repeats may name rows, or be a number that gives the target away.
    const bool is_text = source->type == TAPEOUT_TYPE_STRING;
    if (job->target_index == tp_profile_no_target ||
        ((column->notes & settled) != 0 && (is_text || source->type != TAPEOUT_TYPE_INT64))) {
        return TAPEOUT_OK;
    }
    bool is_leak;
    TP_TRY(tp_profile_leak(&job->target, source, &column->leak_score, &is_leak, err));
    column->notes |= is_leak ? TP_PROFILE_LEAK : 0u;
    return TAPEOUT_OK;
}

static tapeout_status make_profile(const tp_env *env, uint32_t column_count,
                                   tp_profile **ret_profile, tapeout_error *err)
{
    tp_profile *profile = tp_alloc_zero(env->alloc, sizeof *profile);
    if (profile == NULL) {
        return tp_fail_nomem(err);
    }
    profile->alloc = env->alloc;
    profile->column_count = column_count;
    profile->columns = tp_alloc_array_zero(env->alloc, column_count, sizeof *profile->columns);
    profile->arenas = tp_alloc_array_zero(env->alloc, column_count, sizeof *profile->arenas);
    if (column_count != 0 && (profile->columns == NULL || profile->arenas == NULL)) {
        tp_profile_free(profile);
        return tp_fail_nomem(err);
    }
    for (uint32_t i = 0; i < column_count; i++) {
        tp_arena_init(&profile->arenas[i], env->alloc, SIZE_MAX);
    }
    *ret_profile = profile;
    return TAPEOUT_OK;
}

void tp_profile_free(tp_profile *profile)
{
    if (profile == NULL) {
        return;
    }
    for (uint32_t i = 0; profile->arenas != NULL && i < profile->column_count; i++) {
        if (profile->arenas[i].alloc != NULL) {
            tp_arena_deinit(&profile->arenas[i]);
        }
    }
    tp_free_array(profile->alloc, profile->arenas, profile->column_count, sizeof *profile->arenas);
    tp_free_array(profile->alloc, profile->columns, profile->column_count,
                  sizeof *profile->columns);
    tp_free(profile->alloc, profile, sizeof *profile);
}

const tp_profile_column *tp_profile_columns(const tp_profile *profile)
{
    return profile->columns;
}

tapeout_status tp_profile_new(const tp_env *env, const tapeout_table *table, tp_row_choice rows,
                              uint32_t target, tp_profile **ret_profile, tapeout_error *err)
{
    profile_job job = {.env = env, .table = table, .rows = rows, .target_index = target};
    TP_TRY(make_profile(env, table->column_count, &job.profile, err));
    tapeout_status status = TAPEOUT_OK;
    if (target != tp_profile_no_target) {
        status =
            tp_profile_target_init(&job.target, env->alloc, &table->columns[target], rows, err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_pool_for(env->pool, table->column_count, profile_task, &job, err);
    }
    if (target != tp_profile_no_target) {
        tp_profile_target_deinit(&job.target);
    }
    if (status != TAPEOUT_OK) {
        tp_profile_free(job.profile);
        return status;
    }
    *ret_profile = job.profile;
    return TAPEOUT_OK;
}

tapeout_status tp_profile_notes(const tp_env *env, const tapeout_table *table,
                                const tp_row_choice *rows, uint32_t target, uint32_t *ret_notes,
                                tapeout_error *err)
{
    const tp_row_choice all = {NULL, table->row_count};
    tp_profile *profile;
    TP_TRY(tp_profile_new(env, table, rows == NULL ? all : *rows, target, &profile, err));
    for (uint32_t i = 0; i < table->column_count; i++) {
        ret_notes[i] = profile->columns[i].notes;
    }
    tp_profile_free(profile);
    return TAPEOUT_OK;
}
