// SPDX-License-Identifier: Apache-2.0
//
// Rows in arrays, as learners read them, and envs with threads.
#ifndef LEARN_SUPPORT_H
#define LEARN_SUPPORT_H

#include "learn/tp_learn.h"
#include "test.h"

#include <string.h>

enum { SUPPORT_BLOCK_ROWS = 64 };

// `user` of tp_learn_data: [F] columns.
static tapeout_status support_read(void *user, const tp_learn_slice *slice, double *ret_values,
                                   tapeout_error *err)
{
    (void)err;
    const double *const *columns = user;
    memcpy(ret_values, columns[slice->feature] + slice->row_begin,
           slice->row_count * sizeof(*ret_values));
    return TAPEOUT_OK;
}

static inline tp_learn_data support_data(const double *const *columns,
                                         const tp_learn_feature *features, uint32_t feature_count,
                                         const double *target, uint64_t row_count)
{
    return (tp_learn_data){.row_count = row_count,
                           .feature_count = feature_count,
                           .features = features,
                           .target = target,
                           .read = support_read,
                           .user = (void *)(uintptr_t)columns,
                           .block_rows = SUPPORT_BLOCK_ROWS};
}

static inline tp_env support_env(uint32_t threads)
{
    tp_env env = tp_env_plain();
    ASSERT_OK(tp_pool_new(env.alloc, threads, &env.pool, &test_err));
    return env;
}

#endif
