// SPDX-License-Identifier: Apache-2.0
//
// The team: every chunk once and in its phase, phases without chunks, runs one after another, and
// threads that sleep between them. Meant to run under the thread sanitizer as well.
#include "base/tp_team.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "test.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

enum { PHASES = 200, CHUNKS_MAX = 64 };

typedef struct tally {
    uint32_t workers;
    uint32_t asked;                    // phases begun
    uint32_t runs[PHASES][CHUNKS_MAX]; // plain memory: each written by one chunk
    uint32_t sums[PHASES];             // of the phase before, as every chunk saw it
    atomic_int busy[TP_MAX_THREADS];   // chunks that a worker has in hand
    atomic_uint wrong;
} tally;

static uint32_t chunks_of(uint32_t phase)
{
    return phase % 7 == 3 ? 0 : phase % 5 == 0 ? 1 : phase * 13 % CHUNKS_MAX + 1;
}

static uint32_t count_chunks(void *user, uint32_t phase)
{
    tally *counts = user;
    counts->wrong += counts->asked != phase;
    counts->asked++;
    return chunks_of(phase);
}

static void run_chunk(void *user, uint32_t phase, uint32_t chunk, uint32_t worker)
{
    tally *counts = user;
    counts->wrong += worker >= counts->workers;
    counts->wrong += atomic_fetch_add(&counts->busy[worker], 1) != 0;
    counts->wrong += chunk >= chunks_of(phase);
    counts->runs[phase][chunk]++;
    // All of the phase before is done and seen.
    for (uint32_t i = 0; phase > 0 && i < chunks_of(phase - 1); i++) {
        counts->wrong += counts->runs[phase - 1][i] != counts->runs[0][0];
    }
    atomic_fetch_sub(&counts->busy[worker], 1);
}

static tp_team *make_team(uint32_t threads)
{
    tp_team *team = NULL;
    ASSERT_OK(tp_team_new(tp_allocator_default(), threads, &team, &test_err));
    return team;
}

static void sleep_ms(long ms)
{
    const struct timespec time = {.tv_nsec = ms * 1000000};
    (void)nanosleep(&time, NULL);
}

static void check_team(uint32_t threads)
{
    static tally counts;
    memset(&counts, 0, sizeof(counts));
    tp_team *team = make_team(threads);
    ASSERT_EQ_UINT(tp_team_worker_count(team), threads);
    counts.workers = threads;
    const tp_team_program program = {PHASES, count_chunks, run_chunk, &counts};
    for (uint32_t run = 1; run <= 50; run++) {
        counts.asked = 0;
        tp_team_run(team, &program);
        ASSERT_EQ_UINT(counts.asked, PHASES);
        ASSERT_EQ_UINT(counts.wrong, 0);
        for (uint32_t phase = 0; phase < PHASES; phase++) {
            for (uint32_t i = 0; i < CHUNKS_MAX; i++) {
                ASSERT_EQ_UINT(counts.runs[phase][i], i < chunks_of(phase) ? run : 0);
            }
        }
        if (run % 10 == 0) {
            sleep_ms(2); // long enough for everyone to fall asleep
        }
    }
    tp_team_free(team);
}

static void test_every_chunk_once_and_in_order(void)
{
    const uint32_t threads[] = {1, 2, 3, 7};
    for (size_t i = 0; i < sizeof(threads) / sizeof(threads[0]); i++) {
        check_team(threads[i]);
    }
}

static uint32_t count_none(void *user, uint32_t phase)
{
    (void)phase;
    ++*(uint32_t *)user;
    return 0;
}

static void run_none(void *user, uint32_t phase, uint32_t chunk, uint32_t worker)
{
    (void)user, (void)phase, (void)chunk, (void)worker;
    test_fail(__FILE__, __LINE__, "a chunk where there is none");
}

static void test_a_program_of_nothing_ends(void)
{
    tp_team *team = make_team(3);
    uint32_t asked = 0;
    const tp_team_program phases = {1000, count_none, run_none, &asked};
    tp_team_run(team, &phases);
    ASSERT_EQ_UINT(asked, 1000);
    const tp_team_program empty = {0, count_none, run_none, &asked};
    tp_team_run(team, &empty);
    ASSERT_EQ_UINT(asked, 1000);
    tp_team_free(team);
}

static void test_life(void)
{
    tp_team *team = NULL;
    ASSERT_FAILS(tp_team_new(tp_allocator_default(), TP_MAX_THREADS + 1, &team, &test_err),
                 TAPEOUT_E_LIMIT, "257");
    ASSERT(team == NULL);
    tp_team_free(NULL);
    for (int i = 0; i < 50; i++) {
        tp_team_free(make_team(4)); // threads that have not come to wait yet
    }
    team = make_team(0);
    ASSERT(tp_team_worker_count(team) >= 1);
    tp_team_free(team);
}

TEST_MAIN(TEST_SLOW(test_every_chunk_once_and_in_order, 300), TEST(test_a_program_of_nothing_ends),
          TEST(test_life))
