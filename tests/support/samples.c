// SPDX-License-Identifier: Apache-2.0
//
// Cases that end in every way a case can end. test_harness.c runs this program and looks at what it
// says; it is no test by itself.
#include "test.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void passes(void)
{
    ASSERT_EQ_INT(2 + 2, 4);
}

static void fails(void)
{
    ASSERT_EQ_INT(2 + 2, 5);
}

static void skips(void)
{
    test_skip("no moon");
}

static void crashes(void)
{
    (void)signal(SIGSEGV, SIG_DFL); // a sanitizer would make it an exit status
    (void)raise(SIGSEGV);
}

static void hangs(void)
{
    for (;;) {
        (void)pause();
    }
}

static void exits_early(void)
{
    exit(3);
}

static void nan_differs_from_zero(void)
{
    ASSERT_EQ_F64(0.0, -0.0);
}

static void status_differs(void)
{
    ASSERT_OK(tp_fail(&test_err, TAPEOUT_E_DATA, "row 7 is torn"));
}

static void message_differs(void)
{
    ASSERT_FAILS(tp_fail(&test_err, TAPEOUT_E_DATA, "row 7"), TAPEOUT_E_DATA, "row 8");
}

static void bytes_differ(void)
{
    ASSERT_EQ_BYTES("abc", 3, "abd", 3);
}

static void reads_past_the_guard(void)
{
    (void)signal(SIGSEGV, SIG_DFL);
    const volatile char *text = test_guarded(5);
    (void)text[5];
}

static void wrong_size_given_back(void)
{
    test_allocator allocator;
    test_allocator_init(&allocator);
    tp_free(&allocator.base, tp_alloc(&allocator.base, 10), 11);
}

static tapeout_status leaks(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    (void)user;
    void *first = tp_alloc(alloc, 1);
    void *second = tp_alloc(alloc, 1);
    if (second == NULL) {
        return tp_fail_nomem(err); // and forgets the first
    }
    tp_free(alloc, first, 1);
    tp_free(alloc, second, 1);
    return TAPEOUT_OK;
}

static void leaks_when_out_of_memory(void)
{
    test_out_of_memory(leaks, NULL);
}

static tapeout_status wrong_status(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    (void)user;
    void *block = tp_alloc(alloc, 1);
    if (block == NULL) {
        return tp_fail(err, TAPEOUT_E_IO, "something else");
    }
    tp_free(alloc, block, 1);
    return TAPEOUT_OK;
}

static void wrong_status_when_out_of_memory(void)
{
    test_out_of_memory(wrong_status, NULL);
}

static void writes_a_file(void)
{
    char path[2048];
    (void)snprintf(path, sizeof(path), "%s/sub", test_temp_dir());
    FILE *file = fopen(path, "w");
    ASSERT(file != NULL);
    (void)fclose(file);
    (void)printf("dir %s\n", test_temp_dir());
}

TEST_MAIN(TEST(passes), TEST(fails), TEST(skips), TEST(crashes), TEST_SLOW(hangs, 1),
          TEST(exits_early), TEST(nan_differs_from_zero), TEST(status_differs),
          TEST(message_differs), TEST(bytes_differ), TEST(reads_past_the_guard),
          TEST(wrong_size_given_back), TEST(leaks_when_out_of_memory),
          TEST(wrong_status_when_out_of_memory), TEST(writes_a_file))
