// SPDX-License-Identifier: Apache-2.0
//
// The harness itself: a case that fails, crashes or hangs must be said to have failed, or every
// other test is worth nothing. Runs samples.c, one case at a time, and reads what it prints.
#include "test.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char output[65536];

// Runs the samples with `arguments`; returns the exit status.
static int run(const char *arguments)
{
    char command[4096];
    (void)unsetenv("TEST_TIMEOUT_SCALE");
    (void)snprintf(command, sizeof(command), "'%s' %s 2>&1", TEST_SAMPLES, arguments);
    FILE *pipe = popen(command, "r");
    ASSERT(pipe != NULL);
    const size_t size = fread(output, 1, sizeof(output) - 1, pipe);
    output[size] = 0;
    const int status = pclose(pipe);
    ASSERT(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void check(const char *name, int want_status, const char *part, const char *last)
{
    const int status = run(name);
    if (status != want_status || strstr(output, part) == NULL || strstr(output, last) == NULL) {
        test_fail(__FILE__, __LINE__, "%s: status %d, want \"%s\" and \"%s\" in:\n%s", name, status,
                  part, last, output);
    }
}

static const char one_failed[] = "# 0 passed, 1 failed, 0 skipped\n";

static void test_good(void)
{
    check("passes", 0, "ok passes\n", "# 1 passed, 0 failed, 0 skipped\n");
    check("skips", 0, "skip skips: no moon\n", "# 0 passed, 0 failed, 1 skipped\n");
    check("passes skips passes", 0, "ok passes\n", "# 2 passed, 0 failed, 1 skipped\n");
    check("--no-fork passes", 0, "ok passes\n", "# 1 passed, 0 failed, 0 skipped\n");
    check("absent", 2, "no case absent", "");
}

static void test_bad(void)
{
    check("fails", 1, "2 + 2: got 4, want 5\nnot ok fails\n", one_failed);
    check("crashes", 1, "ended by signal 11", one_failed);
    check("hangs", 1, "not done after", one_failed);
    check("exits_early", 1, "not ok exits_early\n", one_failed);
    check("nan_differs_from_zero", 1, "got 0 (0x0p+0), want -0", one_failed);
    check("status_differs", 1, "got E_DATA, want OK; message: \"row 7 is torn\"", one_failed);
    check("message_differs", 1, "\"row 7\" does not contain \"row 8\"", one_failed);
    check("bytes_differ", 1, "byte 2 of 3: got 0x63, want 0x64", one_failed);
    check("passes fails", 1, "not ok fails\n", "# 1 passed, 1 failed, 0 skipped\n");
}

static void test_memory(void)
{
    check("reads_past_the_guard", 1, "ended by signal 11", one_failed);
    check("wrong_size_given_back", 1, "a block of 10 bytes given back as one of 11", one_failed);
    check("leaks_when_out_of_memory", 1, "only allocation 2 fails: 1 blocks leak", one_failed);
    check("wrong_status_when_out_of_memory", 1, "E_IO: something else", one_failed);
}

static void test_temporary_folder_is_removed(void)
{
    check("writes_a_file", 0, "dir ", "# 1 passed");
    char *folder = strstr(output, "dir ") + strlen("dir ");
    *strchr(folder, '\n') = 0;
    ASSERT(access(folder, F_OK) != 0);
}

static void test_all_by_default(void)
{
    ASSERT_EQ_INT(run(""), 1);
    ASSERT(strstr(output, "# 2 passed, 12 failed, 1 skipped\n") != NULL);
}

TEST_MAIN(TEST(test_good), TEST(test_bad), TEST(test_memory),
          TEST(test_temporary_folder_is_removed), TEST(test_all_by_default))
