// SPDX-License-Identifier: Apache-2.0
//
// The line of uploads: no more at once than there may be, in the order in which they came, also
// where some leave it before their turn, and with several loops at once.
#include "serve/upload_line.h"
#include "test.h"

#include <sched.h>
#include <stdatomic.h>

enum { MOST = 2, THREADS = 4, TURNS = 20000 };

static void count_wake(void *user)
{
    (*(int *)user)++;
}

static void test_order(void)
{
    upload_line line;
    upload_turn turns[5] = {{0}};
    int wakes[2] = {0};
    tp_upload_line_init(&line, MOST);
    upload_gate gates[2] = {{.line = &line, .wake = count_wake, .user = &wakes[0]},
                            {.line = &line, .wake = count_wake, .user = &wakes[1]}};
    ASSERT(tp_upload_line_enter(&gates[0], &turns[0]));
    ASSERT(tp_upload_line_enter(&gates[1], &turns[1]));
    for (int i = 2; i < 5; i++) {
        ASSERT(!tp_upload_line_enter(&gates[i % 2], &turns[i]));
    }
    ASSERT(tp_upload_line_next(&gates[0]) == NULL);
    tp_upload_line_leave(&turns[1]); // one of the other loop's is the first that waits
    ASSERT(wakes[0] == 1 && wakes[1] == 0);
    ASSERT(tp_upload_line_next(&gates[1]) == NULL);
    ASSERT(tp_upload_line_next(&gates[0]) == &turns[2]);
    ASSERT(tp_upload_line_next(&gates[0]) == NULL);
    ASSERT(!tp_upload_line_enter(&gates[1], &turns[1])); // what has run stands at the end
    tp_upload_line_leave(&turns[0]);
    tp_upload_line_leave(&turns[2]);
    ASSERT(tp_upload_line_next(&gates[1]) == &turns[3]);
    ASSERT(tp_upload_line_next(&gates[0]) == &turns[4]);
    tp_upload_line_leave(&turns[3]);
    ASSERT(tp_upload_line_next(&gates[1]) == &turns[1]);
    tp_upload_line_leave(&turns[1]);
    tp_upload_line_leave(&turns[4]);
    ASSERT_EQ_UINT(line.running, 0);
    tp_upload_line_deinit(&line);
}

static void test_who_leaves(void)
{
    upload_line line;
    upload_turn turns[4] = {{0}};
    int wakes = 0;
    tp_upload_line_init(&line, 1);
    upload_gate gate = {.line = &line, .wake = count_wake, .user = &wakes};
    tp_upload_line_leave(&turns[0]); // was never in it
    ASSERT(tp_upload_line_enter(&gate, &turns[0]));
    for (int i = 1; i < 4; i++) {
        ASSERT(!tp_upload_line_enter(&gate, &turns[i]));
    }
    tp_upload_line_leave(&turns[1]); // while it waits
    tp_upload_line_leave(&turns[1]); // and once more
    tp_upload_line_leave(&turns[0]);
    ASSERT_EQ_INT(wakes, 1);
    tp_upload_line_leave(&turns[2]); // told, but gone before it began: the next is told
    ASSERT_EQ_INT(wakes, 2);
    ASSERT(tp_upload_line_next(&gate) == &turns[3]);
    ASSERT(tp_upload_line_next(&gate) == NULL);
    ASSERT_EQ_UINT(line.running, 1);
    tp_upload_line_leave(&turns[3]);
    ASSERT_EQ_UINT(line.running, 0);
    ASSERT(tp_upload_line_enter(&gate, &turns[0]));
    tp_upload_line_leave(&turns[0]);
    tp_upload_line_deinit(&line);
}

// -- several loops -------------------------------------------------------------------------------
typedef struct looper {
    upload_gate gate;
    pthread_mutex_t lock;
    pthread_cond_t woken;
    bool is_woken;
} looper;

static atomic_int running;
static atomic_int most_seen;

static void wake_looper(void *user)
{
    looper *it = user;
    (void)pthread_mutex_lock(&it->lock);
    it->is_woken = true;
    (void)pthread_cond_signal(&it->woken);
    (void)pthread_mutex_unlock(&it->lock);
}

static void run_turn(upload_turn *turn)
{
    const int now = atomic_fetch_add(&running, 1) + 1;
    int most = atomic_load(&most_seen);
    while (now > most && !atomic_compare_exchange_weak(&most_seen, &most, now)) {
    }
    (void)sched_yield(); // so that others come while this one runs
    atomic_fetch_sub(&running, 1);
    tp_upload_line_leave(turn);
}

static void *take_turns(void *argument)
{
    looper *it = argument;
    upload_turn turn = {0};
    for (int i = 0; i < TURNS; i++) {
        upload_turn *mine = tp_upload_line_enter(&it->gate, &turn) ? &turn : NULL;
        while (mine == NULL) {
            (void)pthread_mutex_lock(&it->lock);
            while (!it->is_woken) {
                (void)pthread_cond_wait(&it->woken, &it->lock);
            }
            it->is_woken = false;
            (void)pthread_mutex_unlock(&it->lock);
            mine = tp_upload_line_next(&it->gate);
        }
        run_turn(mine);
    }
    return NULL;
}

// No turn is lost, and never are there more than may be.
static void test_loops(void)
{
    upload_line line;
    looper loops[THREADS];
    pthread_t threads[THREADS];
    tp_upload_line_init(&line, MOST);
    for (int i = 0; i < THREADS; i++) {
        loops[i] = (looper){.gate = {.line = &line, .wake = wake_looper, .user = &loops[i]}};
        (void)pthread_mutex_init(&loops[i].lock, NULL);
        (void)pthread_cond_init(&loops[i].woken, NULL);
        ASSERT_EQ_INT(pthread_create(&threads[i], NULL, take_turns, &loops[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        ASSERT_EQ_INT(pthread_join(threads[i], NULL), 0);
    }
    ASSERT(atomic_load(&most_seen) >= 1 && atomic_load(&most_seen) <= MOST);
    ASSERT_EQ_UINT(line.running, 0);
    tp_upload_line_deinit(&line);
}

TEST_MAIN(TEST(test_order), TEST(test_who_leaves), TEST(test_loops))
