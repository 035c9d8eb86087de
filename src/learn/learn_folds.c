// SPDX-License-Identifier: Apache-2.0
//
// Folds for cross-validation: at random with every class spread evenly, by group, or by time.
#include "learn/tp_folds.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_random.h"
#include "learn/learn_priv.h"

#include <math.h>

typedef struct folds_job {
    const tp_folds_options *options;
    uint32_t row_count;
    uint32_t label_count; // at least 1
    uint32_t *rows;       // [R] rows in some order
    uint32_t *begins;     // [label_count + 1] of each label within `rows`
    uint32_t *ret_fold;
} folds_job;

tp_folds_role tp_folds_role_of(tp_folds_by by, uint32_t part, uint32_t fold)
{
    if (by == TP_FOLDS_TIME) {
        if (part > fold + 1) {
            return TP_FOLDS_UNUSED;
        }
        return part == fold + 1 ? TP_FOLDS_TEST : TP_FOLDS_TRAIN;
    }
    return part == fold ? TP_FOLDS_TEST : TP_FOLDS_TRAIN;
}

static uint32_t label_of(const folds_job *job, uint32_t row)
{
    return job->options->label != NULL ? job->options->label[row] : 0;
}

// Rows by label, in their own order within one: a counting sort.
static void sort_by_label(const folds_job *job)
{
    for (uint32_t r = 0; r < job->row_count; r++) {
        job->begins[label_of(job, r) + 1]++;
    }
    for (uint32_t l = 0; l < job->label_count; l++) {
        job->begins[l + 1] += job->begins[l];
    }
    for (uint32_t r = 0; r < job->row_count; r++) {
        job->rows[job->begins[label_of(job, r)]++] = r;
    }
    for (uint32_t l = job->label_count; l > 0; l--) { // each begin has moved to the next one's
        job->begins[l] = job->begins[l - 1];
    }
    job->begins[0] = 0;
}

// Each class is shuffled and dealt out; the next class goes on where the last one stopped.
static void assign_random(const folds_job *job)
{
    uint32_t next = 0;
    sort_by_label(job);
    for (uint32_t l = 0; l < job->label_count; l++) {
        uint32_t *rows = job->rows + job->begins[l];
        const uint32_t count = job->begins[l + 1] - job->begins[l];
        tp_random_shuffle_u32(job->options->seed, l, rows, count);
        for (uint32_t i = 0; i < count; i++) {
            job->ret_fold[rows[i]] = next;
            next = next + 1 < job->options->fold_count ? next + 1 : 0;
        }
    }
}

// The largest group first, into the fold that has fewest rows; groups of one size come in the order
// of the seed.
static tapeout_status deal_groups(const folds_job *job, const uint32_t *shuffled,
                                  const uint32_t *order, tapeout_error *err)
{
    uint64_t sizes[TP_MAX_FOLDS] = {0};
    uint32_t dealt = 0;
    for (uint32_t i = job->label_count; i-- > 0;) {
        const uint32_t group = shuffled[order[i]];
        const uint32_t begin = job->begins[group];
        const uint32_t end = job->begins[group + 1];
        uint32_t smallest = 0;
        for (uint32_t f = 1; f < job->options->fold_count; f++) {
            smallest = sizes[f] < sizes[smallest] ? f : smallest;
        }
        for (uint32_t r = begin; r < end; r++) {
            job->ret_fold[job->rows[r]] = smallest;
        }
        sizes[smallest] += end - begin;
        dealt += end > begin;
    }
    if (dealt < job->options->fold_count) {
        return tp_fail(err, TAPEOUT_E_DATA,
                       "folds: %u groups for %u folds; give fewer folds or another group column",
                       dealt, job->options->fold_count);
    }
    return TAPEOUT_OK;
}

static tapeout_status assign_groups(const tp_env *env, const folds_job *job, tapeout_error *err)
{
    const uint32_t count = job->label_count;
    uint32_t *shuffled = tp_alloc_array(env->alloc, count, sizeof(*shuffled));
    uint32_t *order = tp_alloc_array(env->alloc, count, sizeof(*order));
    double *size = tp_alloc_array(env->alloc, count, sizeof(*size));
    tapeout_status status = TAPEOUT_OK;
    if (shuffled == NULL || order == NULL || size == NULL) {
        status = tp_fail_nomem(err);
    }
    if (status == TAPEOUT_OK) {
        sort_by_label(job);
        for (uint32_t g = 0; g < count; g++) {
            shuffled[g] = g;
        }
        tp_random_shuffle_u32(job->options->seed, 0, shuffled, count);
        for (uint32_t g = 0; g < count; g++) {
            size[g] = (double)(job->begins[shuffled[g] + 1] - job->begins[shuffled[g]]);
        }
        status = tp_learn_sort(env->alloc, size, count, order, err);
    }
    if (status == TAPEOUT_OK) {
        status = deal_groups(job, shuffled, order, err);
    }
    tp_free_array(env->alloc, shuffled, count, sizeof(*shuffled));
    tp_free_array(env->alloc, order, count, sizeof(*order));
    tp_free_array(env->alloc, size, count, sizeof(*size));
    return status;
}

// Stretches of equal size, each lengthened to the end of the time it would cut.
static tapeout_status assign_times(const tp_env *env, const folds_job *job, tapeout_error *err)
{
    const double *time = job->options->time;
    const uint32_t parts = job->options->fold_count + 1;
    for (uint32_t r = 0; r < job->row_count; r++) {
        if (isnan(time[r])) {
            return tp_fail_at(err, TAPEOUT_E_DATA, r,
                              "folds: row %u has no time; drop it or fill the column", r);
        }
    }
    TP_TRY(tp_learn_sort(env->alloc, time, job->row_count, job->rows, err));
    uint32_t part = 0;
    for (uint32_t i = 0; i < job->row_count; i++) {
        const bool is_new = i == 0 || time[job->rows[i]] != time[job->rows[i - 1]];
        const uint64_t due = (uint64_t)i * parts / job->row_count;
        part = is_new && due > part ? part + 1 : part;
        job->ret_fold[job->rows[i]] = part;
    }
    if (part + 1 < parts) {
        return tp_fail(err, TAPEOUT_E_DATA,
                       "folds: the times of %u rows make %u stretches, %u folds want %u; give "
                       "fewer folds",
                       job->row_count, part + 1, job->options->fold_count, parts);
    }
    return TAPEOUT_OK;
}

static tapeout_status check_options(const tp_folds_options *options, uint64_t row_count,
                                    tapeout_error *err)
{
    if (options->fold_count < 2 || options->fold_count > TP_MAX_FOLDS) {
        return tp_fail(err, TAPEOUT_E_INVALID, "folds: %u; expected 2 to %u", options->fold_count,
                       TP_MAX_FOLDS);
    }
    if (row_count > UINT32_MAX) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "folds: %llu rows; at most %u",
                       (unsigned long long)row_count, UINT32_MAX);
    }
    if (row_count < options->fold_count) {
        return tp_fail(err, TAPEOUT_E_DATA, "folds: %llu rows for %u folds; give fewer folds",
                       (unsigned long long)row_count, options->fold_count);
    }
    const bool wants_label = options->by == TP_FOLDS_GROUP;
    if ((wants_label && options->label == NULL) ||
        (options->by == TP_FOLDS_TIME && options->time == NULL)) {
        return tp_fail(err, TAPEOUT_E_INVALID, "folds: by group or time, but without the column");
    }
    for (uint64_t r = 0; options->label != NULL && r < row_count; r++) {
        if (options->label[r] >= options->label_count) {
            return tp_fail_at(err, TAPEOUT_E_INVALID, r, "folds: label %u in row %llu of %u",
                              options->label[r], (unsigned long long)r, options->label_count);
        }
    }
    return TAPEOUT_OK;
}

tapeout_status tp_folds_assign(const tp_env *env, const tp_folds_options *options,
                               uint64_t row_count, uint32_t *ret_fold, tapeout_error *err)
{
    TP_TRY(check_options(options, row_count, err));
    folds_job job = {.options = options,
                     .row_count = (uint32_t)row_count,
                     .label_count = options->label != NULL ? options->label_count : 1,
                     .ret_fold = ret_fold};
    const size_t begin_count = (size_t)job.label_count + 1;
    job.rows = tp_alloc_array(env->alloc, job.row_count, sizeof(*job.rows));
    job.begins = tp_alloc_array_zero(env->alloc, begin_count, sizeof(*job.begins));
    tapeout_status status = TAPEOUT_OK;
    if (job.rows == NULL || job.begins == NULL) {
        status = tp_fail_nomem(err);
    } else if (options->by == TP_FOLDS_TIME) {
        status = assign_times(env, &job, err);
    } else if (options->by == TP_FOLDS_GROUP) {
        status = assign_groups(env, &job, err);
    } else {
        assign_random(&job);
    }
    tp_free_array(env->alloc, job.rows, job.row_count, sizeof(*job.rows));
    tp_free_array(env->alloc, job.begins, begin_count, sizeof(*job.begins));
    return status;
}
