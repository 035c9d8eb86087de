// SPDX-License-Identifier: Apache-2.0
//
// Threads that the library makes for itself: how many, and how one begins.
#ifndef TP_THREAD_H
#define TP_THREAD_H

#include <pthread.h>
#include <tapeout/context.h>

// How many processors this process may use, at least 1.
uint32_t tp_processor_count(void);

// `*count` as asked for: 0 becomes the number of processors, more than TP_MAX_THREADS is E_LIMIT.
tapeout_status tp_thread_count_settle(uint32_t *count, tapeout_error *err);

// 0, or the error's number. The thread gets no signals: those are for the threads that the program
// made itself.
int tp_thread_start(pthread_t *ret_thread, void *(*run)(void *), void *argument);

#endif
