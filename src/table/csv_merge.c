// SPDX-License-Identifier: Apache-2.0
//
// What the segments found in each column, put together in their order: null counts, and the
// dictionaries of text columns. Codes of a segment count within that segment; merging the
// dictionaries from the first segment to the last numbers the texts by their first appearance in
// the file, whichever thread read which segment.
#include "base/tp_alloc.h"
#include "base/tp_pool.h"
#include "table/csv_priv.h"

#include <string.h>

typedef struct merge {
    csv_job *job;
    uint64_t *null_counts; // [C]
} merge;

// Codes of the segment's rows through `map`; missing rows keep their zero.
static void renumber(const csv_column *column, const csv_segment *segment, const uint32_t *map,
                     bool has_nulls)
{
    int32_t *codes = column->values;
    const uint64_t end = segment->first_row + segment->row_count;
    for (uint64_t row = segment->first_row; row < end; row++) {
        if (!has_nulls || (column->validity[row >> 3] >> (row & 7) & 1) != 0) {
            codes[row] = (int32_t)map[codes[row]];
        }
    }
}

static tapeout_status merge_dict(const csv_job *job, uint32_t index, size_t segment,
                                 tapeout_error *err)
{
    const csv_column *column = &job->columns[index];
    csv_cell *cell = csv_cell_at(job, segment, index);
    tp_dict *whole = &table_stores(job->table)[column->target].dict;
    const uint32_t count = cell->dict == NULL ? 0 : cell->dict->count;
    uint32_t *map = tp_alloc_array(job->env->alloc, count, sizeof *map);
    if (map == NULL && count != 0) {
        return tp_fail_nomem(err);
    }
    bool is_same = true;
    tapeout_status status = TAPEOUT_OK;
    for (uint32_t i = 0; status == TAPEOUT_OK && i < count; i++) {
        status = tp_dict_add(whole, tp_dict_get(cell->dict, i), &map[i]);
        is_same &= map[i] == i;
    }
    if (status == TAPEOUT_OK && !is_same) {
        renumber(column, &job->segments[segment], map, cell->null_count != 0);
    }
    tp_free_array(job->env->alloc, map, count, sizeof *map);
    tp_csv_dict_drop(job, cell);
    if (status == TAPEOUT_E_LIMIT) {
        return tp_fail(err, status,
                       "csv: %s: column %u (%.*s): more than 2 GiB of different texts in one "
                       "column, or texts made to collide",
                       job->name, index + 1, TP_STR_ARGS(column->name));
    }
    return status == TAPEOUT_OK ? status : tp_fail_nomem(err);
}

// The first segment's dictionary is the beginning of the whole one as it stands.
static void adopt_dict(const csv_job *job, uint32_t index)
{
    table_store *store = &table_stores(job->table)[job->columns[index].target];
    csv_cell *cell = csv_cell_at(job, 0, index);
    if (cell->dict != NULL) {
        const tp_dict spare = store->dict;
        store->dict = *cell->dict;
        *cell->dict = spare;
        tp_csv_dict_drop(job, cell);
    }
}

static tapeout_status merge_task(void *user, size_t task, size_t worker, tapeout_error *err)
{
    (void)worker;
    const merge *m = user;
    const csv_job *job = m->job;
    const uint32_t index = (uint32_t)task;
    const csv_column *column = &job->columns[index];
    if (!column->is_wanted) {
        return TAPEOUT_OK;
    }
    TP_TRY(tp_env_check(job->env, err));
    for (size_t i = 0; i < job->segment_count; i++) {
        m->null_counts[index] += csv_cell_at(job, i, index)->null_count;
    }
    if (column->type != TAPEOUT_TYPE_STRING || job->segment_count == 0) {
        return TAPEOUT_OK;
    }
    adopt_dict(job, index);
    for (size_t i = 1; i < job->segment_count; i++) {
        TP_TRY(merge_dict(job, index, i, err));
    }
    return TAPEOUT_OK;
}

tapeout_status tp_csv_merge(csv_job *job, tapeout_error *err)
{
    merge m = {.job = job};
    m.null_counts = tp_alloc_array_zero(job->env->alloc, job->column_count, sizeof *m.null_counts);
    if (m.null_counts == NULL) {
        return tp_fail_nomem(err);
    }
    const tapeout_status status =
        tp_pool_for(job->env->pool, job->column_count, merge_task, &m, err);
    for (uint32_t i = 0; status == TAPEOUT_OK && i < job->column_count; i++) {
        const csv_column *column = &job->columns[i];
        if (column->is_wanted) {
            tp_table_column_set(job->table, column->target, column->type, m.null_counts[i]);
        }
    }
    tp_free_array(job->env->alloc, m.null_counts, job->column_count, sizeof *m.null_counts);
    return status;
}
