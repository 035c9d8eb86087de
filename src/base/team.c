// SPDX-License-Identifier: Apache-2.0
//
// The team. One 64-bit word says which phase runs, how many chunks it has and which comes next;
// a chunk is claimed by exchanging that word, so that nobody can hold a chunk of a phase that is
// over. Chunks done are counted; whoever does a phase's last one begins the next. The owner of the
// team returns when there is no next.
//
// Waiting: a few microseconds of spinning on the word, then sleep on a futex. Whoever begins a
// phase wakes as many sleepers as it has chunks besides the one that is taken at once, and none for
// a phase of one chunk.
#include "base/tp_team.h"

#include "base/tp_alloc.h"
#include "base/tp_clock.h"
#include "base/tp_error.h"
#include "base/tp_thread.h"

#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    SPIN_NS = 4000,          // then sleep: a wake costs the waker about as much
    SPINS_BETWEEN_LOOKS = 32 // at the clock
};

typedef struct member {
    tp_team *team;
    uint32_t index;
    pthread_t thread;
} member;

struct tp_team {
    const tapeout_allocator *alloc;
    uint32_t worker_count; // with the owner
    uint32_t thread_count; // threads that run: members[1 ... thread_count]
    member *members;       // [worker_count]; the owner's is not used

    // Written by whoever begins a phase, before `claim` is; constant while a chunk is in hand.
    tp_team_program program;
    uint32_t phase;

    _Alignas(64) _Atomic uint64_t claim; // number of the phase << 32 | chunks << 16 | next chunk
    _Alignas(64) atomic_uint done_count; // chunks of this phase
    _Alignas(64) atomic_uint bell;       // what sleepers wait on: counts phases and the end
    atomic_uint sleeper_count;
    atomic_bool is_done; // the run; for the owner
    atomic_bool is_ending;
};

static uint32_t chunks_of(uint64_t claim)
{
    return (uint32_t)(claim >> 16) & 0xffffu;
}

static uint32_t next_of(uint64_t claim)
{
    return (uint32_t)claim & 0xffffu;
}

static bool has_work(uint64_t claim)
{
    return next_of(claim) < chunks_of(claim);
}

// Takes a chunk of whatever phase runs; false where there is none. Acquire: what the phases before
// wrote is seen.
static bool take(tp_team *team, uint32_t *ret_chunk, uint32_t *ret_count)
{
    uint64_t claim = atomic_load_explicit(&team->claim, memory_order_acquire);
    while (has_work(claim)) {
        if (atomic_compare_exchange_weak_explicit(&team->claim, &claim, claim + 1,
                                                  memory_order_acq_rel, memory_order_acquire)) {
            *ret_chunk = next_of(claim);
            *ret_count = chunks_of(claim);
            return true;
        }
    }
    return false;
}

static void futex_wait(atomic_uint *word, unsigned value)
{
    (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void ring(tp_team *team, unsigned sleepers)
{
    // Sequentially consistent, as is what a sleeper does: either it sees the new number or it is
    // seen here.
    (void)atomic_fetch_add(&team->bell, 1);
    if (sleepers > 0 && atomic_load(&team->sleeper_count) > 0) {
        (void)syscall(SYS_futex, &team->bell, FUTEX_WAKE_PRIVATE, sleepers, NULL, NULL, 0);
    }
}

// Begins the next phase that has chunks, from `phase` on, or ends the run.
static void begin(tp_team *team, uint32_t phase)
{
    const tp_team_program *program = &team->program;
    uint32_t chunks = 0;
    while (phase < program->phase_count &&
           (chunks = program->chunk_count(program->user, phase)) == 0) {
        phase++;
    }
    if (phase >= program->phase_count) {
        atomic_store_explicit(&team->is_done, true, memory_order_release);
        ring(team, team->worker_count);
        return;
    }
    team->phase = phase;
    atomic_store_explicit(&team->done_count, 0, memory_order_relaxed);
    const uint64_t number = (atomic_load_explicit(&team->claim, memory_order_relaxed) >> 32) + 1;
    atomic_store_explicit(&team->claim, number << 32 | (uint64_t)chunks << 16,
                          memory_order_release);
    ring(team, chunks - 1);
}

// Works as long as there are chunks.
static void work(tp_team *team, uint32_t worker)
{
    uint32_t chunk = 0;
    uint32_t count = 0;
    while (take(team, &chunk, &count)) {
        const uint32_t phase = team->phase;
        team->program.run(team->program.user, phase, chunk, worker);
        // Acquire and release: the last one sees what all others wrote.
        if (atomic_fetch_add_explicit(&team->done_count, 1, memory_order_acq_rel) + 1 == count) {
            begin(team, phase + 1);
        }
    }
}

static void pause_briefly(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static bool should_stop(const tp_team *team, const atomic_bool *stop)
{
    return atomic_load_explicit(stop, memory_order_acquire) ||
           has_work(atomic_load_explicit(&team->claim, memory_order_acquire));
}

// Until there is a chunk or `stop` is set; may return for neither.
static void wait_for_work(tp_team *team, const atomic_bool *stop)
{
    const uint64_t begin_ns = tp_clock_monotonic_ns();
    do {
        for (int i = 0; i < SPINS_BETWEEN_LOOKS; i++) {
            if (should_stop(team, stop)) {
                return;
            }
            pause_briefly();
        }
    } while (tp_clock_monotonic_ns() - begin_ns < SPIN_NS);
    const unsigned heard = atomic_load(&team->bell);
    (void)atomic_fetch_add(&team->sleeper_count, 1);
    if (!should_stop(team, stop)) {
        futex_wait(&team->bell, heard);
    }
    (void)atomic_fetch_sub(&team->sleeper_count, 1);
}

static void *member_main(void *argument)
{
    const member *self = argument;
    tp_team *team = self->team;
    while (!atomic_load_explicit(&team->is_ending, memory_order_acquire)) {
        work(team, self->index);
        wait_for_work(team, &team->is_ending);
    }
    return NULL;
}

void tp_team_run(tp_team *team, const tp_team_program *program)
{
    team->program = *program;
    atomic_store_explicit(&team->is_done, false, memory_order_relaxed);
    begin(team, 0);
    while (!atomic_load_explicit(&team->is_done, memory_order_acquire)) {
        work(team, 0);
        if (!atomic_load_explicit(&team->is_done, memory_order_acquire)) {
            wait_for_work(team, &team->is_done);
        }
    }
}

// -- life ----------------------------------------------------------------------------------------

static tapeout_status start_threads(tp_team *team, tapeout_error *err)
{
    while (team->thread_count + 1 < team->worker_count) {
        member *next = &team->members[team->thread_count + 1];
        *next = (member){.team = team, .index = team->thread_count + 1};
        const int failure = tp_thread_start(&next->thread, member_main, next);
        if (failure != 0) {
            return tp_fail_errno(err, failure, "cannot start thread %u of %u",
                                 team->thread_count + 1, team->worker_count);
        }
        team->thread_count++;
    }
    return TAPEOUT_OK;
}

tapeout_status tp_team_new(const tapeout_allocator *alloc, uint32_t thread_count,
                           tp_team **ret_team, tapeout_error *err)
{
    TP_TRY(tp_thread_count_settle(&thread_count, err));
    tp_team *team = tp_alloc_aligned(alloc, sizeof(*team));
    if (team == NULL) {
        return tp_fail_nomem(err);
    }
    memset(team, 0, sizeof(*team));
    team->alloc = alloc;
    team->worker_count = thread_count;
    team->members = tp_alloc_array_zero(alloc, thread_count, sizeof(*team->members));
    const tapeout_status status =
        team->members == NULL ? tp_fail_nomem(err) : start_threads(team, err);
    if (status != TAPEOUT_OK) {
        tp_team_free(team);
        return status;
    }
    *ret_team = team;
    return TAPEOUT_OK;
}

void tp_team_free(tp_team *team)
{
    if (team == NULL) {
        return;
    }
    atomic_store_explicit(&team->is_ending, true, memory_order_release);
    ring(team, team->worker_count);
    for (uint32_t i = 1; i <= team->thread_count; i++) {
        (void)pthread_join(team->members[i].thread, NULL);
    }
    tp_free_array(team->alloc, team->members, team->worker_count, sizeof(*team->members));
    tp_free_aligned(team->alloc, team, sizeof(*team));
}

uint32_t tp_team_worker_count(const tp_team *team)
{
    return team->worker_count;
}
