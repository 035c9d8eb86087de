// SPDX-License-Identifier: Apache-2.0
//
// The matrix of bins: one byte a cell, the bins of a row together. It is filled block of rows by
// block of rows, so that no two workers write to the same cache line and the values are never held.
#include "learn/gbt/gbt_priv.h"

#include "base/tp_alloc.h"
#include "base/tp_cpu.h"
#include "base/tp_error.h"

#include <math.h>
#include <string.h>

enum { FILL_ROWS = 4096 };

typedef struct fill_job {
    const tp_env *env;
    const tp_learn_data *data;
    const tp_gbt_bins *bins;
    const tp_gbt_matrix *matrix;
    tp_kernels_gbt kernels;
    uint32_t block_rows;
    double *values; // [workers, block_rows]
} fill_job;

static void fill_category(const tp_gbt_column *column, const tp_gbt_bin_job *cells)
{
    for (size_t i = 0; i < cells->count; i++) {
        const double value = cells->values[i];
        const bool is_known = value >= 0 && value < column->category_count;
        cells->ret_bins[i * cells->stride] = is_known ? column->category_bins[(uint32_t)value] : 0;
    }
}

static tapeout_status fill_task(void *user, size_t task, size_t worker, tapeout_error *err)
{
    const fill_job *job = user;
    const tp_gbt_matrix *matrix = job->matrix;
    TP_TRY(tp_env_check(job->env, err));
    const uint64_t begin = (uint64_t)task * job->block_rows;
    const uint64_t left = matrix->row_count - begin;
    const uint32_t count = left < job->block_rows ? (uint32_t)left : job->block_rows;
    double *values = job->values + worker * job->block_rows;
    for (uint32_t f = 0; f < job->bins->feature_count; f++) {
        const tp_gbt_column *column = &job->bins->columns[f];
        const tp_learn_slice slice = {worker, f, count, begin};
        TP_TRY(job->data->read(job->data->user, &slice, values, err));
        // Into the column, if there is one, and from there to the rows.
        const bool has_column = matrix->column_count > 0;
        uint8_t *rows = matrix->cells + begin * matrix->stride + f;
        uint8_t *run = has_column ? matrix->columns + f * matrix->row_count + begin : rows;
        const tp_gbt_bin_job cells = {.bounds = column->bounds,
                                      .bound_count = column->bin_count - 1,
                                      .missing = (uint8_t)column->bin_count,
                                      .values = values,
                                      .count = count,
                                      .ret_bins = run,
                                      .stride = has_column ? 1 : matrix->stride};
        if (column->is_category) {
            fill_category(column, &cells);
        } else {
            job->kernels.bin_values(&cells);
        }
        for (uint32_t i = 0; has_column && i < count; i++) {
            rows[i * matrix->stride] = run[i];
        }
    }
    return TAPEOUT_OK;
}

tapeout_status tp_gbt_matrix_fill(const tp_env *env, const tp_learn_data *data,
                                  const tp_gbt_bins *bins, tp_gbt_matrix *ret_matrix,
                                  tapeout_error *err)
{
    const size_t stride = ((size_t)bins->feature_count + 7) / 8 * 8;
    const size_t rows = (size_t)data->row_count;
    ret_matrix->alloc = env->alloc;
    ret_matrix->row_count = data->row_count;
    ret_matrix->stride = stride;
    ret_matrix->cells = tp_alloc_aligned(env->alloc, rows * stride);
    ret_matrix->columns = tp_alloc_aligned(env->alloc, rows * ret_matrix->column_count);
    tp_advise_large_pages(ret_matrix->cells, rows * stride);
    tp_advise_large_pages(ret_matrix->columns, rows * ret_matrix->column_count);
    const size_t workers = tp_pool_worker_count(env->pool);
    fill_job job = {.env = env, .data = data, .bins = bins, .matrix = ret_matrix};
    job.block_rows = data->block_rows < FILL_ROWS ? data->block_rows : FILL_ROWS;
    job.values = tp_alloc_array(env->alloc, workers * job.block_rows, sizeof(double));
    tapeout_status status = TAPEOUT_OK;
    if (ret_matrix->cells == NULL || ret_matrix->columns == NULL || job.values == NULL) {
        status = tp_fail_nomem(err);
    } else {
        tp_kernels_gbt_init(&job.kernels, tp_cpu_flags());
        const size_t blocks = (size_t)((data->row_count + job.block_rows - 1) / job.block_rows);
        status = tp_pool_for(env->pool, blocks, fill_task, &job, err);
    }
    tp_free_array(env->alloc, job.values, workers * job.block_rows, sizeof(double));
    return status;
}

void tp_gbt_matrix_deinit(tp_gbt_matrix *matrix)
{
    if (matrix->cells != NULL) {
        tp_free_aligned(matrix->alloc, matrix->cells, (size_t)matrix->row_count * matrix->stride);
    }
    if (matrix->columns != NULL) {
        tp_free_aligned(matrix->alloc, matrix->columns,
                        (size_t)matrix->row_count * matrix->column_count);
    }
    *matrix = (tp_gbt_matrix){0};
}
