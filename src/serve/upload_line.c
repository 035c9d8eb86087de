// SPDX-License-Identifier: Apache-2.0
//
// Uploads share libuv's few threads with all other work that a loop hands on, and one of their
// steps may take long: a sync, or a blob on its way to S3. So only some of those threads are ever
// theirs, over all loops, and whoever came first is next. What has run goes to the end, so that of
// many uploads each gets on.
#include "serve/upload_line.h"

#include <assert.h>
#include <stddef.h>

void tp_upload_line_init(upload_line *line, uint32_t most)
{
    *line = (upload_line){.most = most};
    (void)pthread_mutex_init(&line->lock, NULL); // cannot fail for a plain mutex
}

void tp_upload_line_deinit(upload_line *line)
{
    assert(line->first == NULL && line->running == 0);
    (void)pthread_mutex_destroy(&line->lock);
}

static void append(upload_turn **list, upload_turn *turn)
{
    while (*list != NULL) {
        list = &(*list)->next;
    }
    turn->next = NULL;
    *list = turn;
}

static void take_out(upload_turn **list, upload_turn *turn)
{
    while (*list != turn) {
        list = &(*list)->next;
    }
    *list = turn->next;
    turn->next = NULL;
}

bool tp_upload_line_enter(upload_gate *gate, upload_turn *turn)
{
    upload_line *line = gate->line;
    (void)pthread_mutex_lock(&line->lock);
    assert(turn->state == UPLOAD_TURN_OUT);
    const bool is_free = line->running < line->most;
    turn->gate = gate;
    if (is_free) {
        line->running++;
        turn->state = UPLOAD_TURN_RUNS;
    } else {
        turn->state = UPLOAD_TURN_WAITS;
        append(&line->first, turn);
    }
    (void)pthread_mutex_unlock(&line->lock);
    return is_free;
}

upload_turn *tp_upload_line_next(upload_gate *gate)
{
    (void)pthread_mutex_lock(&gate->line->lock);
    upload_turn *turn = gate->ready;
    if (turn != NULL) {
        take_out(&gate->ready, turn);
        turn->state = UPLOAD_TURN_RUNS;
    }
    (void)pthread_mutex_unlock(&gate->line->lock);
    return turn;
}

// The place of one that has left goes to the first that waits.
static void pass_on(upload_line *line)
{
    upload_turn *turn = line->first;
    if (turn == NULL) {
        line->running--;
        return;
    }
    upload_gate *gate = turn->gate;
    take_out(&line->first, turn);
    turn->state = UPLOAD_TURN_READY;
    append(&gate->ready, turn);
    gate->wake(gate->user); // under the lock: whoever is woken already has yet to take it
}

void tp_upload_line_leave(upload_turn *turn)
{
    if (turn->gate == NULL) {
        return; // it never was in a line
    }
    upload_line *line = turn->gate->line;
    (void)pthread_mutex_lock(&line->lock);
    const upload_turn_state state = turn->state;
    turn->state = UPLOAD_TURN_OUT;
    if (state == UPLOAD_TURN_WAITS) {
        take_out(&line->first, turn);
    }
    if (state == UPLOAD_TURN_READY) {
        take_out(&turn->gate->ready, turn);
    }
    if (state == UPLOAD_TURN_READY || state == UPLOAD_TURN_RUNS) {
        pass_on(line);
    }
    (void)pthread_mutex_unlock(&line->lock);
}
