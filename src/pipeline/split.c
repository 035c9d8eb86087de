// SPDX-License-Identifier: Apache-2.0
//
// Splitting rows: into train and test, and what is held out of train for early stopping, threshold
// and calibration. One rule for both cuts:
//   random  a seeded shuffle
//   time    the rows with the latest values of a column; equal values stay together
//   group   whole groups of equal values, in a seeded order, until the share is reached
// The held-out rows of a split by file are random. Results are in ascending row order.
#include "pipeline/pipeline_priv.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { STREAM_TEST = 101, STREAM_HOLD_OUT = 102 };

typedef struct split_item {
    double key;
    uint32_t row;
} split_item;

// The items to cut: sorted so that the second part is the tail.
typedef struct split_job {
    const tp_env *env;
    const tp_spec *spec;
    split_item *items; // [count]
    uint64_t count;
    const tapeout_table *table;
    double share; // of the tail
    uint64_t stream;
} split_job;

static int compare_items(const void *a, const void *b)
{
    const split_item *left = a;
    const split_item *right = b;
    if (left->key != right->key) {
        return left->key < right->key ? -1 : 1;
    }
    return (left->row > right->row) - (left->row < right->row);
}

static int compare_rows(const void *a, const void *b)
{
    const uint32_t left = *(const uint32_t *)a;
    const uint32_t right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

// Missing times are the earliest, so that they are learned from and not tested on.
double tp_pipeline_time_key(const tp_column *column, uint32_t row)
{
    if (!tp_column_is_valid(column, row)) {
        return -INFINITY;
    }
    switch (column->type) {
    case TAPEOUT_TYPE_DATE:
        return column->values.days[row];
    case TAPEOUT_TYPE_FLOAT64:
        return column->values.f64[row];
    case TAPEOUT_TYPE_INT64:
    case TAPEOUT_TYPE_TIMESTAMP:
    case TAPEOUT_TYPE_TIMESTAMP_TZ:
        return (double)column->values.i64[row];
    case TAPEOUT_TYPE_BOOL:
    case TAPEOUT_TYPE_STRING:
        break;
    }
    return -INFINITY;
}

// A number that is equal for equal values; rows without a value are one group.
uint64_t tp_pipeline_group_key(const tp_column *column, uint32_t row)
{
    uint64_t bits = 0;
    if (!tp_column_is_valid(column, row)) {
        return UINT64_MAX;
    }
    if (column->type == TAPEOUT_TYPE_STRING) {
        return tp_str_hash(tp_dict_get(column->dict, (uint32_t)column->values.codes[row]));
    }
    if (column->type == TAPEOUT_TYPE_BOOL) {
        return column->values.bits[row >> 3] >> (row & 7) & 1;
    }
    if (column->type == TAPEOUT_TYPE_DATE) {
        return (uint64_t)column->values.days[row];
    }
    memcpy(&bits, &column->values.i64[row], sizeof(bits));
    return bits;
}

static tapeout_status find_column(const tp_env *env, const tp_spec *spec,
                                  const tapeout_table *table, const tp_column **ret_column,
                                  tapeout_error *err)
{
    const tp_str name = spec->data.split.column;
    const tapeout_status status = tp_pipeline_find_column(env, table, name, ret_column, err);
    if (status != TAPEOUT_OK) {
        tp_error_prefix(err, "%s: data.split", spec->path);
        return status;
    }
    const tapeout_type type = (*ret_column)->type;
    if (spec->data.split_by == TP_SPLIT_TIME &&
        (type == TAPEOUT_TYPE_STRING || type == TAPEOUT_TYPE_BOOL)) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "%s: split by time: column \"%.*s\" is of type %s, not a date, timestamp or "
                       "number",
                       spec->path, TP_STR_ARGS(name), tapeout_type_name(type));
    }
    return TAPEOUT_OK;
}

static tapeout_status fill_keys(const split_job *job, const uint32_t *rows, tapeout_error *err)
{
    const tp_split_by by = job->spec->data.split_by;
    const uint64_t seed = job->spec->seed;
    const tp_column *column = NULL;
    if (by == TP_SPLIT_TIME || by == TP_SPLIT_GROUP) {
        TP_TRY(find_column(job->env, job->spec, job->table, &column, err));
    }
    for (uint64_t i = 0; i < job->count; i++) {
        split_item *item = &job->items[i];
        item->row = rows[i];
        if (by == TP_SPLIT_TIME) {
            item->key = tp_pipeline_time_key(column, rows[i]);
        } else if (by == TP_SPLIT_GROUP) {
            item->key = tp_random_f64(seed, job->stream, tp_pipeline_group_key(column, rows[i]));
        } else {
            item->key = tp_random_f64(seed, job->stream, rows[i]);
        }
    }
    return TAPEOUT_OK;
}

// Where the tail begins: at its share, moved to the nearest place where equal keys are not parted.
static uint64_t find_cut(const split_job *job)
{
    const split_item *items = job->items;
    const uint64_t want = (uint64_t)llround((double)job->count * (1.0 - job->share));
    uint64_t low = want;
    uint64_t high = want;
    while (low > 0 && low < job->count && items[low].key == items[low - 1].key) {
        low--;
    }
    while (high > 0 && high < job->count && items[high].key == items[high - 1].key) {
        high++;
    }
    return low > 0 && (want - low <= high - want || high == job->count) ? low : high;
}

static tapeout_status take(const tapeout_allocator *alloc, const tapeout_table *table,
                           const split_item *items, uint64_t count, pipeline_rows *ret_rows)
{
    ret_rows->table = table;
    ret_rows->index = tp_alloc_array(alloc, count, sizeof(*ret_rows->index));
    if (ret_rows->index == NULL && count > 0) {
        return TAPEOUT_E_NOMEM;
    }
    ret_rows->count = count;
    for (uint64_t i = 0; i < count; i++) {
        ret_rows->index[i] = items[i].row;
    }
    if (count > 0) {
        qsort(ret_rows->index, count, sizeof(*ret_rows->index), compare_rows);
    }
    return TAPEOUT_OK;
}

static tapeout_status cut(const tp_env *env, split_job *job, const uint32_t *rows,
                          pipeline_rows *ret_parts, tapeout_error *err)
{
    job->items = tp_alloc_array(env->alloc, job->count, sizeof(*job->items));
    if (job->items == NULL) {
        return tp_fail_nomem(err);
    }
    tapeout_status status = fill_keys(job, rows, err);
    if (status == TAPEOUT_OK) {
        qsort(job->items, job->count, sizeof(*job->items), compare_items);
        const uint64_t at = find_cut(job);
        if (take(env->alloc, job->table, job->items, at, &ret_parts[0]) != TAPEOUT_OK ||
            take(env->alloc, job->table, job->items + at, job->count - at, &ret_parts[1]) !=
                TAPEOUT_OK) {
            status = tp_fail_nomem(err);
        }
    }
    tp_free_array(env->alloc, job->items, job->count, sizeof(*job->items));
    return status;
}

static tapeout_status all_rows(const tp_env *env, const tapeout_table *table, tp_row_choice rows,
                               pipeline_rows *ret_rows)
{
    ret_rows->table = table;
    ret_rows->index = tp_alloc_array(env->alloc, rows.count, sizeof(*ret_rows->index));
    if (ret_rows->index == NULL) {
        return TAPEOUT_E_NOMEM;
    }
    memcpy(ret_rows->index, rows.index, rows.count * sizeof(*rows.index));
    ret_rows->count = rows.count;
    return TAPEOUT_OK;
}

static tapeout_status split_test(const tp_env *env, const tp_spec *spec, pipeline_dataset *dataset,
                                 tp_row_choice rows, tapeout_error *err)
{
    if (spec->data.split_by == TP_SPLIT_FILE) {
        return all_rows(env, dataset->table, rows, &dataset->train) == TAPEOUT_OK
                   ? TAPEOUT_OK
                   : tp_fail_nomem(err);
    }
    split_job job = {.env = env,
                     .spec = spec,
                     .table = dataset->table,
                     .count = rows.count,
                     .share = spec->data.split.test,
                     .stream = STREAM_TEST};
    pipeline_rows parts[2] = {{0}, {0}};
    const tapeout_status status = cut(env, &job, rows.index, parts, err);
    dataset->train = parts[0];
    dataset->test = parts[1];
    TP_TRY(status);
    if (parts[0].count == 0 || parts[1].count == 0) {
        return tp_fail(
            err, TAPEOUT_E_DATA,
            "%s: the split leaves %llu training and %llu test rows of %llu; choose another "
            "share or another column",
            spec->path, (unsigned long long)parts[0].count, (unsigned long long)parts[1].count,
            (unsigned long long)rows.count);
    }
    return TAPEOUT_OK;
}

tapeout_status tp_pipeline_split(const tp_env *env, const tp_spec *spec, pipeline_dataset *dataset,
                                 tp_row_choice rows, tapeout_error *err)
{
    TP_TRY(split_test(env, spec, dataset, rows, err));
    const bool is_gbt = tp_str_equal(spec->model.learner, TP_STR("gbt"));
    const bool needed = (is_gbt && spec->model.gbt.early_stopping > 0) ||
                        spec->calibration_method != 0 || spec->threshold.kind != TP_THRESHOLD_FIXED;
    if (!needed) {
        return TAPEOUT_OK;
    }
    pipeline_rows whole = dataset->train;
    split_job job = {.env = env,
                     .spec = spec,
                     .table = dataset->table,
                     .count = whole.count,
                     .share = spec->model.hold_out,
                     .stream = STREAM_HOLD_OUT};
    pipeline_rows parts[2] = {{0}, {0}};
    const tapeout_status status = cut(env, &job, whole.index, parts, err);
    dataset->train = parts[0];
    dataset->hold_out = parts[1];
    tp_free_array(env->alloc, whole.index, whole.count, sizeof(*whole.index));
    TP_TRY(status);
    if (parts[0].count == 0 || parts[1].count == 0) {
        return tp_fail(err, TAPEOUT_E_DATA,
                       "%s: nothing is left to hold out of %llu training rows for early stopping, "
                       "threshold or calibration; leave them out or bring more rows",
                       spec->path, (unsigned long long)whole.count);
    }
    return TAPEOUT_OK;
}
