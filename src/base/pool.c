// SPDX-License-Identifier: Apache-2.0
//
// The thread pool. A loop is posted with a number of seats; sleeping workers are woken, one for
// each seat, and take tasks from a shared counter until there are none. The caller does the same
// and so never waits for a worker that has not woken yet: when it finds no more tasks it withdraws
// the free seats and sleeps until the workers that sit are done. On a machine whose processors are
// busy with other programs a loop therefore costs what its tasks cost, whoever runs them.
//
// Tasks are taken in ascending order and a task that was taken is run. So the task of lowest index
// that fails always runs, and which failure is reported does not depend on the threads.
//
// One loop at a time: a second caller, or a task that calls in turn, finds the pool taken and runs
// its loop inline, as worker 0 of its own.
#include "base/tp_pool.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_thread.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct loop {
    tp_task_fn fn;
    void *user;
    size_t task_count;
    atomic_size_t next_task;
    atomic_bool failed; // no more tasks are taken
    // Under the pool's lock, once `failed` is set:
    tapeout_status status;
    size_t failed_task;
    tapeout_error error;
} loop;

typedef struct worker {
    tp_pool *pool;
    size_t index;
    pthread_t thread;
} worker;

struct tp_pool {
    const tapeout_allocator *alloc;
    size_t worker_count; // with the caller
    size_t thread_count; // threads that run: workers[1 ... thread_count]
    worker *workers;     // [worker_count]; the caller's is not used

    // The only lock; tasks run outside it.
    pthread_mutex_t lock;
    pthread_cond_t wake; // workers: a seat is free, or the end
    pthread_cond_t done; // the caller: nobody sits any more
    loop *current;       // NULL while idle
    size_t free_seats;
    size_t taken_seats;
    bool ending;
};

static void record_failure(tp_pool *pool, loop *work, size_t task_index, tapeout_status status,
                           const tapeout_error *error)
{
    (void)pthread_mutex_lock(&pool->lock);
    if (work->status == TAPEOUT_OK || task_index < work->failed_task) {
        work->status = status;
        work->failed_task = task_index;
        work->error = *error;
    }
    (void)pthread_mutex_unlock(&pool->lock);
    atomic_store_explicit(&work->failed, true, memory_order_relaxed);
}

// Runs tasks until none is left. Relaxed counters suffice: the lock that seats are taken and left
// under orders what tasks wrote before what the caller reads.
static void run_tasks(tp_pool *pool, loop *work, size_t worker_index)
{
    // Looked at before a task is taken, never after: see the head of the file.
    while (!atomic_load_explicit(&work->failed, memory_order_relaxed)) {
        const size_t task = atomic_fetch_add_explicit(&work->next_task, 1, memory_order_relaxed);
        if (task >= work->task_count) {
            return;
        }
        tapeout_error error = {0};
        const tapeout_status status = work->fn(work->user, task, worker_index, &error);
        if (status != TAPEOUT_OK) {
            record_failure(pool, work, task, status, &error);
        }
    }
}

static void *worker_main(void *argument)
{
    const worker *self = argument;
    tp_pool *pool = self->pool;
    (void)pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (pool->free_seats == 0 && !pool->ending) {
            (void)pthread_cond_wait(&pool->wake, &pool->lock);
        }
        if (pool->ending) {
            break;
        }
        loop *work = pool->current;
        pool->free_seats--;
        pool->taken_seats++;
        (void)pthread_mutex_unlock(&pool->lock);
        run_tasks(pool, work, self->index);
        (void)pthread_mutex_lock(&pool->lock);
        if (--pool->taken_seats == 0) {
            (void)pthread_cond_signal(&pool->done);
        }
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static tapeout_status start_threads(tp_pool *pool, tapeout_error *err)
{
    while (pool->thread_count + 1 < pool->worker_count) {
        worker *next = &pool->workers[pool->thread_count + 1];
        *next = (worker){.pool = pool, .index = pool->thread_count + 1};
        const int failure = tp_thread_start(&next->thread, worker_main, next);
        if (failure != 0) {
            return tp_fail_errno(err, failure, "cannot start thread %zu of %zu",
                                 pool->thread_count + 1, pool->worker_count);
        }
        pool->thread_count++;
    }
    return TAPEOUT_OK;
}

tapeout_status tp_pool_new(const tapeout_allocator *alloc, uint32_t thread_count,
                           tp_pool **ret_pool, tapeout_error *err)
{
    TP_TRY(tp_thread_count_settle(&thread_count, err));
    tp_pool *pool = tp_alloc_zero(alloc, sizeof(*pool));
    worker *workers = tp_alloc_array_zero(alloc, thread_count, sizeof(*workers));
    if (pool == NULL || workers == NULL) {
        tp_free(alloc, pool, sizeof(*pool));
        tp_free_array(alloc, workers, thread_count, sizeof(*workers));
        return tp_fail_nomem(err);
    }
    pool->alloc = alloc;
    pool->worker_count = thread_count;
    pool->workers = workers;
    // With default attributes these cannot fail on Linux.
    (void)pthread_mutex_init(&pool->lock, NULL);
    (void)pthread_cond_init(&pool->wake, NULL);
    (void)pthread_cond_init(&pool->done, NULL);
    const tapeout_status status = start_threads(pool, err);
    if (status != TAPEOUT_OK) {
        tp_pool_free(pool);
        return status;
    }
    *ret_pool = pool;
    return TAPEOUT_OK;
}

void tp_pool_free(tp_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&pool->lock);
    pool->ending = true;
    (void)pthread_cond_broadcast(&pool->wake);
    (void)pthread_mutex_unlock(&pool->lock);
    for (size_t i = 1; i <= pool->thread_count; i++) {
        (void)pthread_join(pool->workers[i].thread, NULL);
    }
    (void)pthread_mutex_destroy(&pool->lock);
    (void)pthread_cond_destroy(&pool->wake);
    (void)pthread_cond_destroy(&pool->done);
    tp_free_array(pool->alloc, pool->workers, pool->worker_count, sizeof(*pool->workers));
    tp_free(pool->alloc, pool, sizeof(*pool));
}

size_t tp_pool_worker_count(const tp_pool *pool)
{
    return pool == NULL ? 1 : pool->worker_count;
}

static tapeout_status run_inline(size_t task_count, tp_task_fn fn, void *user, tapeout_error *err)
{
    for (size_t i = 0; i < task_count; i++) {
        TP_TRY(fn(user, i, 0, err));
    }
    return TAPEOUT_OK;
}

// Posts the loop and wakes a worker for each seat; false where another loop has the pool.
static bool post(tp_pool *pool, loop *work)
{
    (void)pthread_mutex_lock(&pool->lock);
    const bool posted = pool->current == NULL;
    if (posted) {
        const size_t others = work->task_count - 1;
        pool->current = work;
        pool->free_seats = others < pool->thread_count ? others : pool->thread_count;
        for (size_t i = 0; i < pool->free_seats; i++) {
            (void)pthread_cond_signal(&pool->wake);
        }
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return posted;
}

// Withdraws the seats that nobody took and waits for those that are taken.
static void finish(tp_pool *pool)
{
    (void)pthread_mutex_lock(&pool->lock);
    pool->free_seats = 0;
    while (pool->taken_seats > 0) {
        (void)pthread_cond_wait(&pool->done, &pool->lock);
    }
    pool->current = NULL;
    (void)pthread_mutex_unlock(&pool->lock);
}

tapeout_status tp_pool_for(tp_pool *pool, size_t task_count, tp_task_fn fn, void *user,
                           tapeout_error *err)
{
    if (pool == NULL || pool->thread_count == 0 || task_count <= 1) {
        return run_inline(task_count, fn, user, err);
    }
    loop work = {.fn = fn, .user = user, .task_count = task_count};
    if (!post(pool, &work)) {
        return run_inline(task_count, fn, user, err);
    }
    run_tasks(pool, &work, 0);
    finish(pool);
    if (work.status != TAPEOUT_OK && err != NULL) {
        *err = work.error;
    }
    return work.status;
}
