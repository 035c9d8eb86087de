// SPDX-License-Identifier: Apache-2.0
//
// How many threads, and how one begins: what pool and team share.
#include "base/tp_thread.h"

#include "base/limits.h"
#include "base/tp_error.h"

#include <sched.h>
#include <signal.h>
#include <unistd.h>

uint32_t tp_processor_count(void)
{
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0) {
        return (uint32_t)CPU_COUNT(&allowed);
    }
    const long count = sysconf(_SC_NPROCESSORS_ONLN); // more processors than the set can hold
    return count < 1 ? 1 : (uint32_t)count;
}

tapeout_status tp_thread_count_settle(uint32_t *count, tapeout_error *err)
{
    if (*count > TP_MAX_THREADS) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "threads: %u asked for, at most %u are possible",
                       *count, TP_MAX_THREADS);
    }
    if (*count == 0) {
        const uint32_t processors = tp_processor_count();
        *count = processors > TP_MAX_THREADS ? TP_MAX_THREADS : processors;
    }
    return TAPEOUT_OK;
}

int tp_thread_start(pthread_t *ret_thread, void *(*run)(void *), void *argument)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failure = pthread_create(ret_thread, NULL, run, argument);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failure;
}
