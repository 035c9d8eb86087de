// SPDX-License-Identifier: Apache-2.0
//
// A team of threads for work that comes as many short phases in a row, each cut into chunks: all
// chunks of a phase are done before the first of the next begins. Unlike tp_pool_for, which sleeps
// between loops, whoever finds nothing to do spins for a few microseconds first, since the next
// phase is that near.
//
// A phase ends when its chunks are done, not when every thread has come: a thread that the system
// has put aside without a chunk in hand holds nobody up, and one that has a chunk costs its share.
//
// @thread confined: one run at a time, begun by the thread that owns the team.
#ifndef TP_TEAM_H
#define TP_TEAM_H

#include <tapeout/context.h>

typedef struct tp_team tp_team;

// `chunk_count` is asked once a phase, when all phases before it are done; 0 … TP_TEAM_MAX_CHUNKS,
// and a phase of none is passed over. `run` is called for each chunk, by any thread; workers are
// numbered from 0, the caller's thread, and one worker runs one chunk at a time.
typedef struct tp_team_program {
    uint32_t phase_count;
    uint32_t (*chunk_count)(void *user, uint32_t phase);
    void (*run)(void *user, uint32_t phase, uint32_t chunk, uint32_t worker);
    void *user;
} tp_team_program;

enum { TP_TEAM_MAX_CHUNKS = 65535 };

// `thread_count` counts the caller; 0 stands for the machine's processors. E_LIMIT, E_NOMEM, or
// what the system says when it gives no thread.
tapeout_status tp_team_new(const tapeout_allocator *alloc, uint32_t thread_count,
                           tp_team **ret_team, tapeout_error *err);
void tp_team_free(tp_team *team); // accepts NULL
uint32_t tp_team_worker_count(const tp_team *team);

// Runs the program to its end.
void tp_team_run(tp_team *team, const tp_team_program *program);

#endif
