// SPDX-License-Identifier: Apache-2.0
//
// kill -9 at any moment under appends of several threads and two processes: every entry that was
// acknowledged is there, once, with its number and what it said; the log verifies and goes on. 20
// kills, 1,000 in the full run.
#include "audit_cases.h"
#include "base/tp_random.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <tapeout/audit.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 3, PROCESSES = 2, TOLD_MAX = 1 << 20 };

// As the appending thread has it from the log.
typedef struct told {
    uint64_t sequence;
    uint64_t number; // which nobody else uses
} told;

typedef struct appender {
    tp_audit *audit;
    int out;
    uint64_t base;
} appender;

static void *append_for_ever(void *user)
{
    const appender *self = user;
    for (uint64_t i = 0;; i++) {
        const told it = {audit_case_append(self->audit, self->base + i), self->base + i};
        if (write(self->out, &it, sizeof(it)) != (ssize_t)sizeof(it)) {
            _exit(3);
        }
    }
    return NULL;
}

_Noreturn static void run_appenders(const char *home, int out, uint64_t base)
{
    tp_audit *audit = audit_case_open(home);
    static appender appenders[THREADS];
    pthread_t thread;
    for (uint64_t i = 0; i < THREADS; i++) {
        appenders[i] = (appender){audit, out, base + (i << 32)};
        if (pthread_create(&thread, NULL, append_for_ever, &appenders[i]) != 0) {
            _exit(4);
        }
    }
    for (;;) {
        (void)pause();
    }
}

static void sleep_us(uint64_t us)
{
    (void)nanosleep(&(struct timespec){.tv_sec = (time_t)(us / 1000000),
                                       .tv_nsec = (long)(us % 1000000) * 1000},
                    NULL);
}

// What the log says: by sequence, the number plus one.
static uint64_t *in_log;
static uint64_t in_log_count;

static tapeout_status note_entry(void *user, const char *line, size_t size, tapeout_error *err)
{
    const char *number = strstr(line, "{\"n\":");
    (void)user;
    (void)size;
    (void)err;
    ASSERT(in_log_count < TOLD_MAX);
    in_log[in_log_count++] = number == NULL ? 0 : strtoull(number + 5, NULL, 10) + 1;
    return TAPEOUT_OK;
}

static void read_log(const char *home)
{
    tapeout_context_options options;
    tapeout_context_options_init(&options);
    options.home = home;
    tapeout_context *context = NULL;
    ASSERT_OK(tapeout_context_new(&options, &context, &test_err));
    tapeout_audit_verify_options verify;
    tapeout_audit_verify_options_init(&verify);
    char *json = NULL;
    ASSERT_OK(tapeout_audit_verify(context, &verify, &json, &test_err)); // before anybody heals it
    tapeout_text_free(context, json);
    tapeout_audit_list_options list;
    tapeout_audit_list_options_init(&list);
    in_log_count = 0;
    ASSERT_OK(tapeout_audit_list(context, &list, note_entry, NULL, &test_err));
    tapeout_context_free(context);
}

static size_t kill_once(const char *home, uint64_t round, told *acks, size_t count)
{
    int ends[2];
    pid_t children[PROCESSES];
    ASSERT_EQ_INT(pipe(ends), 0);
    for (uint64_t i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        ASSERT(children[i] >= 0);
        if (children[i] == 0) {
            (void)close(ends[0]);
            run_appenders(home, ends[1], round << 40 | i << 36);
        }
    }
    (void)close(ends[1]);
    sleep_us(2000 + tp_random_below(9, 0, round, 60000));
    for (int i = 0; i < PROCESSES; i++) {
        int how = 0;
        ASSERT_EQ_INT(kill(children[i], SIGKILL), 0);
        ASSERT_EQ_INT(waitpid(children[i], &how, 0), children[i]);
        ASSERT(WIFSIGNALED(how)); // it did not fail by itself
    }
    while (count < TOLD_MAX &&
           read(ends[0], &acks[count], sizeof(acks[0])) == (ssize_t)sizeof(acks[0])) {
        count++;
    }
    (void)close(ends[0]);
    return count;
}

static void test_kills(void)
{
    char home[AUDIT_CASES_PATH];
    (void)snprintf(home, sizeof(home), "%s", audit_case_home());
    told *acks = calloc(TOLD_MAX, sizeof(*acks));
    in_log = calloc(TOLD_MAX, sizeof(*in_log));
    ASSERT(acks != NULL && in_log != NULL);
    const uint64_t rounds = getenv("TAPEOUT_TEST_FULL") != NULL ? 1000 : 20;
    audit_case_fill(home, 1);
    size_t count = 0;
    size_t checked = 0;
    for (uint64_t round = 1; round <= rounds; round++) {
        count = kill_once(home, round, acks, count);
        read_log(home);
        for (; checked < count; checked++) {
            ASSERT(acks[checked].sequence < in_log_count);
            ASSERT_EQ_UINT(in_log[acks[checked].sequence], acks[checked].number + 1);
        }
    }
    // And all of the earlier ones still.
    for (size_t i = 0; i < count; i++) {
        ASSERT_EQ_UINT(in_log[acks[i].sequence], acks[i].number + 1);
    }
    ASSERT(count > rounds);
    (void)printf("# %zu acknowledged entries over %llu kills, %llu in the log\n", count,
                 (unsigned long long)rounds, (unsigned long long)in_log_count);
    free(acks);
    free(in_log);
}

TEST_MAIN(TEST_SLOW(test_kills, 3000))
