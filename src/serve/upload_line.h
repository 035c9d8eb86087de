// SPDX-License-Identifier: Apache-2.0
//
// Who writes next: the steps of all uploads stand in one line, and few of them run at once
// (upload_line.c).
//
// @thread synchronized; a gate is its loop's.
#ifndef UPLOAD_LINE_H
#define UPLOAD_LINE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct upload_turn upload_turn;

typedef struct upload_line {
    pthread_mutex_t lock; // a leaf, but for the wake of a gate
    upload_turn *first;   // that waits; under the lock, as all below and in gates and turns
    uint32_t running;     // or told that they may
    uint32_t most;
} upload_line;

// Where a loop hears that turns of its own have come.
typedef struct upload_gate {
    upload_line *line;
    upload_turn *ready;
    void (*wake)(void *user);
    void *user;
} upload_gate;

typedef enum upload_turn_state {
    UPLOAD_TURN_OUT,
    UPLOAD_TURN_WAITS,
    UPLOAD_TURN_READY, // told, and not fetched yet
    UPLOAD_TURN_RUNS
} upload_turn_state;

struct upload_turn {
    upload_turn *next;
    upload_gate *gate;
    upload_turn_state state;
};

void tp_upload_line_init(upload_line *line, uint32_t most);
void tp_upload_line_deinit(upload_line *line); // nobody is in it
// True where it is `turn`'s turn at once. Else `gate` is woken when it is, and has it.
bool tp_upload_line_enter(upload_gate *gate, upload_turn *turn);
// The next of the gate's turns that has come, or NULL.
upload_turn *tp_upload_line_next(upload_gate *gate);
// Has run, or will not: also one that is not in the line.
void tp_upload_line_leave(upload_turn *turn);

#endif
