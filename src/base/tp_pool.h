// SPDX-License-Identifier: Apache-2.0
//
// A fixed set of threads that share a loop. Work is cut by the size of the data, never by the
// number of threads, and whoever reduces does so in index order: the result does not depend on how
// many threads there are. Nobody spins: an idle worker sleeps on a condition variable, so a busy
// neighbour costs its share and no more. The caller works too.
//
// @thread `synchronized`; loops may not nest on one pool (an inner call runs inline).
#ifndef TP_POOL_H
#define TP_POOL_H

#include <tapeout/context.h>

typedef struct tp_pool tp_pool;

// `thread_count` counts the caller: 1 makes no thread at all; 0 stands for the machine's
// processors.
tapeout_status tp_pool_new(const tapeout_allocator *alloc, uint32_t thread_count,
                           tp_pool **ret_pool, tapeout_error *err);
void tp_pool_free(tp_pool *pool);

// 1 for NULL. Worker indexes are below this; the caller is worker 0.
size_t tp_pool_worker_count(const tp_pool *pool);

// One task. Tasks run in any order and on any worker; one worker runs one task at a time.
typedef tapeout_status (*tp_task_fn)(void *user, size_t task_index, size_t worker_index,
                                     tapeout_error *err);

// Runs tasks 0 … task_count-1 and returns when all are done. When some fail, the failure with the
// lowest index is returned, and tasks not yet begun may be left out. `pool` may be NULL: inline.
tapeout_status tp_pool_for(tp_pool *pool, size_t task_count, tp_task_fn fn, void *user,
                           tapeout_error *err);

#endif
