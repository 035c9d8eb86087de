// SPDX-License-Identifier: Apache-2.0
//
// kill -9 at any moment: what a registering process was told is stored is there afterwards, with
// its bytes, once, and the numbers have no gap but for at most the one registration that was under
// way and committed without its answer getting out.
#include "base/tp_alloc.h"
#include "base/tp_random.h"
#include "registry_cases.h"
#include "test.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// One answer as the registering process had it.
typedef struct receipt {
    uint64_t version;
    char sha256[TAPEOUT_SHA256_TEXT_SIZE];
} receipt;

// Registers one bundle after another and says so on `out`, until it is killed.
_Noreturn static void register_for_ever(const char *home, int out, int round)
{
    tp_registry *registry = NULL;
    if (cases_try_open(home, TP_REGISTRY_WRITE, &registry, NULL) != TAPEOUT_OK) {
        _exit(1);
    }
    for (int i = 0;; i++) {
        char name[64];
        char text[64];
        (void)snprintf(name, sizeof(name), "bundle-%d", round % 2);
        (void)snprintf(text, sizeof(text), "round %d, bundle %d", round, i);
        const tapeout_registration what = cases_registration("m", cases_file(home, name, text));
        tapeout_model_ref ref;
        if (tp_registry_register(registry, &what, &ref, NULL) != TAPEOUT_OK) {
            _exit(2);
        }
        receipt told = {.version = ref.version};
        memcpy(told.sha256, ref.sha256, sizeof(told.sha256));
        if (write(out, &told, sizeof(told)) != (ssize_t)sizeof(told)) {
            _exit(3);
        }
    }
}

static void sleep_us(uint64_t us)
{
    (void)nanosleep(&(struct timespec){.tv_sec = (time_t)(us / 1000000),
                                       .tv_nsec = (long)(us % 1000000) * 1000},
                    NULL);
}

// Every receipt has its row and its blob; returns the highest version that is registered.
static int64_t check_receipts(const char *home, const receipt *told, size_t count)
{
    tp_registry *registry = cases_open(home);
    for (size_t i = 0; i < count; i++) {
        char model[64];
        (void)snprintf(model, sizeof(model), "m:%llu", (unsigned long long)told[i].version);
        tapeout_model_ref ref;
        ASSERT_OK(tp_registry_resolve(registry, tp_str_from(model), &ref, &test_err));
        ASSERT_EQ_STR(ref.sha256, told[i].sha256);
        tp_sha256 hash;
        char hex[TP_SHA256_HEX_SIZE + 1];
        ASSERT_OK(tp_sha256_file(ref.path, &hash, &test_err));
        tp_sha256_hex(&hash, hex);
        ASSERT_EQ_STR(hex, told[i].sha256);
    }
    const int64_t highest =
        cases_number(registry, "SELECT coalesce(max(version), 0) FROM versions");
    ASSERT_EQ_INT(cases_number(registry, "SELECT count(*) FROM versions"), highest);
    tp_registry_close(&registry);
    return highest;
}

static size_t read_receipts(int in, receipt *told, size_t capacity)
{
    size_t count = 0;
    while (count < capacity &&
           read(in, &told[count], sizeof(told[0])) == (ssize_t)sizeof(told[0])) {
        count++;
    }
    return count;
}

static void test_kills(void)
{
    enum { CAPACITY = 4096 };
    static receipt told[CAPACITY];
    char home[4200];
    (void)snprintf(home, sizeof(home), "%s", test_temp_dir());
    const int rounds = getenv("TAPEOUT_TEST_FULL") != NULL ? 1000 : 50;
    int64_t before = 0;
    size_t acknowledged = 0;
    // The kill comes somewhere within the time of a few registrations, however slow the machine is.
    uint64_t span_us = 60000;
    for (int round = 0; round < rounds; round++) {
        int ends[2];
        ASSERT_EQ_INT(pipe(ends), 0);
        const pid_t child = fork();
        ASSERT(child >= 0);
        if (child == 0) {
            (void)close(ends[0]);
            register_for_ever(home, ends[1], round);
        }
        (void)close(ends[1]);
        sleep_us(1000 + tp_random_below(1, 0, (uint64_t)round, span_us));
        ASSERT_EQ_INT(kill(child, SIGKILL), 0);
        int how = 0;
        ASSERT_EQ_INT(waitpid(child, &how, 0), child);
        ASSERT(WIFSIGNALED(how)); // it did not fail by itself
        const size_t count = read_receipts(ends[0], told, CAPACITY);
        (void)close(ends[0]);
        ASSERT(count < CAPACITY);
        const int64_t after = check_receipts(home, told, count);
        const int64_t unanswered = after - before - (int64_t)count;
        ASSERT(unanswered == 0 || unanswered == 1);
        before = after;
        acknowledged += count;
        if (count == 0 && span_us < 2000000) {
            span_us *= 2;
        } else if (count > 10) {
            span_us /= 2;
        }
    }
    ASSERT(acknowledged > (size_t)rounds / 10);
    (void)printf("# %d kills, %zu acknowledged: none lost, halved or doubled\n", rounds,
                 acknowledged);
}

TEST_MAIN(TEST_SLOW(test_kills, 900))
