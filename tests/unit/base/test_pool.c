// SPDX-License-Identifier: Apache-2.0
//
// The pool: every task once, which failure wins, nesting, several callers, and no waiting for
// sleepers. Meant to run under the thread sanitizer as well.
#include "base/tp_pool.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_thread.h"
#include "test.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

enum { TASKS_MAX = 2000 };

typedef struct tally {
    atomic_int runs[TASKS_MAX];
    atomic_int busy[TP_MAX_THREADS]; // tasks that a worker runs now
    size_t worker_count;
    size_t results[TASKS_MAX]; // plain memory: written by tasks, read by the caller afterwards
} tally;

static tapeout_status count_task(void *user, size_t task_index, size_t worker_index,
                                 tapeout_error *err)
{
    tally *counts = user;
    if (worker_index >= counts->worker_count) {
        return tp_fail(err, TAPEOUT_E_INTERNAL, "worker %zu", worker_index);
    }
    if (atomic_fetch_add(&counts->busy[worker_index], 1) != 0) {
        return tp_fail(err, TAPEOUT_E_INTERNAL, "worker %zu runs two tasks", worker_index);
    }
    atomic_fetch_add(&counts->runs[task_index], 1);
    counts->results[task_index] = task_index * 3;
    atomic_fetch_sub(&counts->busy[worker_index], 1);
    return TAPEOUT_OK;
}

static tp_pool *make_pool(uint32_t threads)
{
    tp_pool *pool = NULL;
    ASSERT_OK(tp_pool_new(tp_allocator_default(), threads, &pool, &test_err));
    return pool;
}

static void test_every_task_once(void)
{
    static tally counts;
    for (uint32_t threads = 1; threads <= 7; threads++) {
        tp_pool *pool = make_pool(threads);
        ASSERT_EQ_UINT(tp_pool_worker_count(pool), threads);
        counts.worker_count = threads;
        for (size_t tasks = 0; tasks < 300; tasks = tasks * 2 + 1) {
            for (size_t i = 0; i < TASKS_MAX; i++) {
                counts.runs[i] = 0;
                counts.results[i] = 1;
            }
            ASSERT_OK(tp_pool_for(pool, tasks, count_task, &counts, &test_err));
            for (size_t i = 0; i < TASKS_MAX; i++) {
                ASSERT_EQ_INT(counts.runs[i], i < tasks ? 1 : 0);
                ASSERT_EQ_UINT(counts.results[i], i < tasks ? i * 3 : 1);
            }
        }
        tp_pool_free(pool);
    }
}

static void test_without_pool(void)
{
    static tally counts;
    counts.worker_count = 1;
    ASSERT_OK(tp_pool_for(NULL, 50, count_task, &counts, &test_err));
    ASSERT_EQ_INT(counts.runs[49], 1);
    ASSERT_EQ_UINT(tp_pool_worker_count(NULL), 1);
    tp_pool_free(NULL);
}

// Many short loops: a lost wake-up would hang one of them.
static void test_many_short_loops(void)
{
    static tally counts;
    tp_pool *pool = make_pool(4);
    counts.worker_count = 4;
    for (int i = 0; i < 20000; i++) {
        ASSERT_OK(tp_pool_for(pool, (size_t)i % 9, count_task, &counts, &test_err));
    }
    tp_pool_free(pool);
}

typedef struct failing {
    size_t first; // the lowest task that fails; others above it do as well
    atomic_int begun;
} failing;

static tapeout_status fail_some(void *user, size_t task_index, size_t worker_index,
                                tapeout_error *err)
{
    failing *plan = user;
    (void)worker_index;
    atomic_fetch_add(&plan->begun, 1);
    if (task_index == plan->first) {
        (void)usleep(200); // later failures come first
    }
    if (task_index >= plan->first && (task_index - plan->first) % 3 == 0) {
        return tp_fail_at(err, TAPEOUT_E_DATA, task_index, "task %zu", task_index);
    }
    return TAPEOUT_OK;
}

static void test_lowest_failure_wins(void)
{
    for (uint32_t threads = 1; threads <= 5; threads++) {
        tp_pool *pool = make_pool(threads);
        for (size_t first = 0; first < 60; first++) {
            failing plan = {.first = first};
            ASSERT_FAILS(tp_pool_for(pool, 1000, fail_some, &plan, &test_err), TAPEOUT_E_DATA,
                         "task");
            ASSERT_EQ_UINT(test_err.offset, first);
            ASSERT(plan.begun > (int)first && plan.begun < 1000); // the rest was left out
            ASSERT(tp_pool_for(pool, 1000, fail_some, &plan, NULL) == TAPEOUT_E_DATA);
        }
        tp_pool_free(pool);
    }
}

typedef struct nest {
    tp_pool *pool;
    atomic_int inner;
} nest;

static tapeout_status inner_task(void *user, size_t task_index, size_t worker_index,
                                 tapeout_error *err)
{
    nest *nested = user;
    (void)task_index;
    atomic_fetch_add(&nested->inner, 1);
    return worker_index == 0 ? TAPEOUT_OK : tp_fail(err, TAPEOUT_E_INTERNAL, "not inline");
}

static tapeout_status outer_task(void *user, size_t task_index, size_t worker_index,
                                 tapeout_error *err)
{
    nest *nested = user;
    (void)task_index;
    (void)worker_index;
    return tp_pool_for(nested->pool, 10, inner_task, nested, err);
}

static void test_inner_loop_runs_inline(void)
{
    nest nested = {.pool = make_pool(3)};
    ASSERT_OK(tp_pool_for(nested.pool, 100, outer_task, &nested, &test_err));
    ASSERT_EQ_INT(nested.inner, 1000);
    tp_pool_free(nested.pool);
}

static tapeout_status count_inner(void *user, size_t task_index, size_t worker_index,
                                  tapeout_error *err)
{
    nest *nested = user;
    (void)task_index;
    (void)worker_index;
    (void)err;
    atomic_fetch_add(&nested->inner, 1);
    return TAPEOUT_OK;
}

// Whose outer loop found the pool taken may get it for an inner one.
static tapeout_status outer_of_many(void *user, size_t task_index, size_t worker_index,
                                    tapeout_error *err)
{
    nest *nested = user;
    (void)task_index;
    (void)worker_index;
    return tp_pool_for(nested->pool, 10, count_inner, nested, err);
}

static void *call_many(void *argument)
{
    nest *nested = argument;
    for (int i = 0; i < 500; i++) {
        tapeout_error err = {0};
        if (tp_pool_for(nested->pool, 20, outer_of_many, nested, &err) != TAPEOUT_OK) {
            return argument;
        }
    }
    return NULL;
}

static void test_several_callers(void)
{
    nest nested = {.pool = make_pool(3)};
    pthread_t callers[3];
    for (size_t i = 0; i < 3; i++) {
        ASSERT(pthread_create(&callers[i], NULL, call_many, &nested) == 0);
    }
    for (size_t i = 0; i < 3; i++) {
        void *failed = NULL;
        ASSERT(pthread_join(callers[i], &failed) == 0);
        ASSERT(failed == NULL);
    }
    ASSERT_EQ_INT(nested.inner, 3 * 500 * 20 * 10);
    tp_pool_free(nested.pool);
}

// Two tasks that wait for each other end only if two threads run them.
static tapeout_status meet(void *user, size_t task_index, size_t worker_index, tapeout_error *err)
{
    atomic_int *present = user;
    (void)task_index;
    (void)worker_index;
    atomic_fetch_add(present, 1);
    for (int i = 0; i < 20000 && atomic_load(present) < 2; i++) {
        (void)usleep(1000);
    }
    return atomic_load(present) >= 2 ? TAPEOUT_OK : tp_fail(err, TAPEOUT_E_TIMEOUT, "alone");
}

static void test_workers_do_work(void)
{
    tp_pool *pool = make_pool(2);
    atomic_int present = 0;
    ASSERT_OK(tp_pool_for(pool, 2, meet, &present, &test_err));
    tp_pool_free(pool);
}

// Threads that wait use no processor time: what an idle pool burns shows in the process's clock.
static void test_idle_workers_sleep(void)
{
    tp_pool *pool = make_pool(8);
    static tally counts;
    counts.worker_count = 8;
    ASSERT_OK(tp_pool_for(pool, 100, count_task, &counts, &test_err));
    (void)usleep(20000); // the last of them goes to sleep
    struct timespec before;
    struct timespec after;
    ASSERT(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before) == 0);
    (void)usleep(300000);
    ASSERT(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after) == 0);
    const int64_t used_ns =
        (after.tv_sec - before.tv_sec) * INT64_C(1000000000) + (after.tv_nsec - before.tv_nsec);
    ASSERT(used_ns < 20000000);
    tp_pool_free(pool);
}

static void test_limits(void)
{
    tp_pool *pool = NULL;
    ASSERT_FAILS(tp_pool_new(tp_allocator_default(), TP_MAX_THREADS + 1, &pool, &test_err),
                 TAPEOUT_E_LIMIT, "at most 256");
    ASSERT(pool == NULL);
    pool = make_pool(0);
    ASSERT_EQ_UINT(tp_pool_worker_count(pool), tp_processor_count());
    tp_pool_free(pool);
}

static void test_processor_count_follows_affinity(void)
{
    const uint32_t before = tp_processor_count();
    ASSERT(before >= 1);
    cpu_set_t set;
    ASSERT(sched_getaffinity(0, sizeof(set), &set) == 0);
    size_t first = 0;
    while (!CPU_ISSET(first, &set)) {
        first++;
    }
    CPU_ZERO(&set);
    CPU_SET(first, &set);
    ASSERT(sched_setaffinity(0, sizeof(set), &set) == 0);
    ASSERT_EQ_UINT(tp_processor_count(), 1);
    // On one processor, with more threads than that, everything still ends.
    static tally counts;
    counts.worker_count = 4;
    tp_pool *pool = make_pool(4);
    for (int i = 0; i < 200; i++) {
        ASSERT_OK(tp_pool_for(pool, 50, count_task, &counts, &test_err));
    }
    tp_pool_free(pool);
}

TEST_MAIN(TEST(test_every_task_once), TEST(test_without_pool), TEST(test_many_short_loops),
          TEST(test_lowest_failure_wins), TEST(test_inner_loop_runs_inline),
          TEST(test_several_callers), TEST(test_workers_do_work), TEST(test_idle_workers_sleep),
          TEST(test_limits), TEST(test_processor_count_follows_affinity))
