// SPDX-License-Identifier: Apache-2.0
//
// A request from the outside of a scheduler, for callers that wait. The scheduler's thread must not
// be kept, so it only notes what came; text is handed on by the waiting thread, which also looks
// every 50 ms whether it was cancelled.
#include "pipeline/llm_priv.h"

#include "base/tp_error.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

enum { POLL_MS = 50, PIECE_BYTES = 512 };

struct llm_waiter {
    const llm_waiter_options *options;
    llm_outcome *outcome;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    // Under the lock.
    size_t taken_size; // of the text
    bool is_stopped;   // on_text wants no more
    bool is_done;
    tapeout_status status;
    tapeout_error error;
};

static void note_failure(llm_waiter *waiter, tapeout_status status, const tapeout_error *error)
{
    if (waiter->status == TAPEOUT_OK) {
        waiter->status = status;
        waiter->error = *error;
    }
}

static void on_event(void *user, const tp_generation_event *event)
{
    llm_waiter *waiter = user;
    llm_outcome *outcome = waiter->outcome;
    tapeout_error error = {0};
    (void)pthread_mutex_lock(&waiter->lock);
    if (waiter->options->on_event != NULL) {
        waiter->options->on_event(waiter->options->event_user, event);
    }
    tp_buffer_append_str(&outcome->text, event->text);
    tapeout_status status = tp_buffer_check(&outcome->text, "generated text", &error);
    if (status == TAPEOUT_OK && event->has_token && !event->is_prompt) {
        status = tp_ids_append(&outcome->ids, event->id, &error);
    }
    if (status != TAPEOUT_OK) {
        note_failure(waiter, status, &error);
    }
    if (event->finish != TP_FINISH_NONE) {
        outcome->end = *event;
        if (event->finish == TP_FINISH_FAILED) {
            note_failure(waiter, event->error->status, event->error);
        }
    }
    (void)pthread_cond_signal(&waiter->wake);
    (void)pthread_mutex_unlock(&waiter->lock);
}

static void on_done(void *user)
{
    llm_waiter *waiter = user;
    (void)pthread_mutex_lock(&waiter->lock);
    waiter->is_done = true;
    (void)pthread_cond_signal(&waiter->wake);
    (void)pthread_mutex_unlock(&waiter->lock);
}

// How much of `text`, from its start, goes into a piece: whole characters.
static size_t piece_size(tp_str text)
{
    if (text.size <= PIECE_BYTES) {
        return text.size;
    }
    size_t size = PIECE_BYTES;
    while (size > 1 && ((unsigned char)text.data[size] & 0xc0) == 0x80) {
        size--;
    }
    return size;
}

// Hands on what is new, outside the lock, from a copy: the buffer may move meanwhile. Whoever has
// said no is not asked again.
static void hand_on(llm_waiter *waiter)
{
    const llm_waiter_options *options = waiter->options;
    char piece[PIECE_BYTES];
    while (!waiter->is_stopped && options->on_text != NULL &&
           waiter->taken_size < waiter->outcome->text.size) {
        const tp_str text = tp_buffer_view(&waiter->outcome->text);
        const tp_str left = {text.data + waiter->taken_size, text.size - waiter->taken_size};
        const size_t size = piece_size(left);
        memcpy(piece, left.data, size);
        waiter->taken_size += size;
        (void)pthread_mutex_unlock(&waiter->lock);
        const bool goes_on = options->on_text(options->user, piece, size);
        (void)pthread_mutex_lock(&waiter->lock);
        waiter->is_stopped = !goes_on;
    }
}

static void wait_a_little(llm_waiter *waiter)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until); // fails for an unknown clock alone
    until.tv_nsec += (long)POLL_MS * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    (void)pthread_cond_timedwait(&waiter->wake, &waiter->lock, &until);
}

static void wait_for_end(const tp_env *env, llm_waiter *waiter, tp_generation *generation)
{
    (void)pthread_mutex_lock(&waiter->lock);
    for (;;) {
        hand_on(waiter); // up to the end of the text, unless it was stopped
        const bool goes_on = !waiter->is_stopped && waiter->status == TAPEOUT_OK;
        if (waiter->is_done) {
            break;
        }
        if (!goes_on || tp_env_check(env, NULL) != TAPEOUT_OK) {
            tp_generation_cancel(generation);
        }
        wait_a_little(waiter);
    }
    (void)pthread_mutex_unlock(&waiter->lock);
}

tapeout_status tp_llm_wait(const tp_env *env, tp_scheduler *scheduler,
                           tp_generation_request *request, const llm_waiter_options *options,
                           llm_outcome *outcome, tapeout_error *err)
{
    llm_waiter waiter = {.options = options, .outcome = outcome};
    pthread_condattr_t attributes;
    tp_generation *generation = NULL;
    (void)pthread_mutex_init(&waiter.lock, NULL); // plain ones cannot fail
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&waiter.wake, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    request->on_event = on_event;
    request->on_done = on_done;
    request->user = &waiter;
    tapeout_status status = tp_scheduler_submit(scheduler, request, &generation, err);
    if (status == TAPEOUT_OK) {
        wait_for_end(env, &waiter, generation);
        tp_generation_unref(generation);
        status = waiter.status;
        if (status != TAPEOUT_OK && err != NULL) {
            *err = waiter.error;
        }
        if (status == TAPEOUT_OK) {
            status = tp_env_check(env, err);
        }
    }
    (void)pthread_cond_destroy(&waiter.wake);
    (void)pthread_mutex_destroy(&waiter.lock);
    return status;
}
