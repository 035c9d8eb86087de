// SPDX-License-Identifier: Apache-2.0
//
// Tables in memory, training and predicting in one call each.
#include "gbt_cases.h"

#include "base/tp_alloc.h"
#include "base/tp_random.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

// Pointers that may be kept in one process.
enum { KEPT_MAX = 1 << 16 };

double case_random(uint64_t stream, uint64_t at)
{
    return tp_random_f64(20131, stream, at);
}

void *case_keep(void *memory)
{
    static void *kept[KEPT_MAX];
    static size_t count = 0;
    ASSERT(memory != NULL && count < KEPT_MAX);
    kept[count] = memory;
    return kept[count++];
}

static void *keep_zeros(size_t count, size_t size)
{
    return case_keep(calloc(count, size));
}

gbt_case *case_new(uint64_t rows, uint32_t features)
{
    gbt_case *c = keep_zeros(1, sizeof(*c));
    ASSERT(rows <= CASE_ROWS_MAX && features <= CASE_FEATURES_MAX);
    c->rows = rows;
    c->features = features;
    c->target = keep_zeros(rows, sizeof(double));
    c->weight = keep_zeros(rows, sizeof(double));
    for (uint32_t f = 0; f < features; f++) {
        c->columns[f] = keep_zeros(rows, sizeof(double));
        c->about[f].name = TP_STR("x");
        for (uint64_t row = 0; row < rows; row++) {
            c->columns[f][row] = case_random(f, row);
        }
    }
    for (uint64_t row = 0; row < rows; row++) {
        c->weight[row] = 1;
    }
    return c;
}

static tapeout_status case_read(void *user, const tp_learn_slice *slice, double *ret_values,
                                tapeout_error *err)
{
    (void)err;
    const gbt_case *c = user;
    ASSERT(slice->feature < c->features && slice->row_count <= 1000 &&
           slice->row_begin + slice->row_count <= c->rows);
    memcpy(ret_values, c->columns[slice->feature] + slice->row_begin,
           slice->row_count * sizeof(double));
    return TAPEOUT_OK;
}

tp_learn_data case_data(gbt_case *c)
{
    return (tp_learn_data){.row_count = c->rows,
                           .feature_count = c->features,
                           .features = c->about,
                           .target = c->target,
                           .weight = c->is_weighted ? c->weight : NULL,
                           .read = case_read,
                           .user = c,
                           .block_rows = 1000};
}

tp_gbt *case_train_threads(gbt_case *c, const tp_gbt_options *options, uint32_t threads)
{
    tp_env env = tp_env_plain();
    const tp_learn_data data = case_data(c);
    tp_gbt *gbt = NULL;
    ASSERT_OK(tp_pool_new(env.alloc, threads, &env.pool, &test_err));
    ASSERT_OK(tp_gbt_train(&env, &data, NULL, options, &gbt, NULL, &test_err));
    tp_pool_free(env.pool);
    return case_keep(gbt);
}

tp_gbt *case_train(gbt_case *c, const tp_gbt_options *options)
{
    return case_train_threads(c, options, 1);
}

tp_gbt *case_train_valid(gbt_case *c, gbt_case *valid, const tp_gbt_options *options,
                         tp_gbt_report *ret_report)
{
    const tp_env env = tp_env_plain();
    const tp_learn_data data = case_data(c);
    const tp_learn_data held = valid != NULL ? case_data(valid) : (tp_learn_data){0};
    tp_gbt *gbt = NULL;
    ASSERT_OK(tp_gbt_train(&env, &data, valid != NULL ? &held : NULL, options, &gbt, ret_report,
                           &test_err));
    return case_keep(gbt);
}

double *case_margins(const tp_gbt *gbt, gbt_case *c)
{
    const uint32_t outputs = gbt->trees_per_iteration;
    double *margins = keep_zeros(outputs * c->rows, sizeof(double));
    double *block = calloc((size_t)outputs * 1000, sizeof(double));
    void *scratch = tp_alloc_aligned(tp_allocator_default(), tp_gbt_scratch_size(gbt, 1000));
    ASSERT(block != NULL && scratch != NULL);
    for (uint64_t begin = 0; begin < c->rows; begin += 1000) {
        const uint32_t count = c->rows - begin < 1000 ? (uint32_t)(c->rows - begin) : 1000;
        const double *columns[CASE_FEATURES_MAX];
        for (uint32_t f = 0; f < c->features; f++) {
            columns[f] = c->columns[f] + begin;
        }
        tp_gbt_margins(gbt, columns, count, scratch, block);
        for (uint32_t k = 0; k < outputs; k++) {
            memcpy(margins + k * c->rows + begin, block + (size_t)k * count,
                   count * sizeof(double));
        }
    }
    tp_free_aligned(tp_allocator_default(), scratch, tp_gbt_scratch_size(gbt, 1000));
    free(block);
    return margins;
}

double case_margin_of(const tp_gbt *gbt, const double *values)
{
    const double *columns[CASE_FEATURES_MAX];
    for (uint32_t f = 0; f < gbt->feature_count; f++) {
        columns[f] = values + f;
    }
    double margin[16];
    void *scratch = tp_alloc_aligned(tp_allocator_default(), tp_gbt_scratch_size(gbt, 1));
    ASSERT(scratch != NULL && gbt->trees_per_iteration <= 16);
    tp_gbt_margins(gbt, columns, 1, scratch, margin);
    tp_free_aligned(tp_allocator_default(), scratch, tp_gbt_scratch_size(gbt, 1));
    return margin[0];
}

tp_buffer case_bytes(const tp_gbt *gbt)
{
    tp_buffer bytes;
    tp_buffer_init(&bytes, tp_allocator_default(), (size_t)1 << 30);
    tp_gbt_write(gbt, &bytes);
    ASSERT_EQ_INT(bytes.status, TAPEOUT_OK);
    (void)case_keep(bytes.data);
    return bytes;
}
