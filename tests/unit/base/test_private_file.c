// SPDX-License-Identifier: Apache-2.0
//
// Files that are one user's: made once, whole, with the right mode.
#include "base/tp_private_file.h"
#include "test.h"

#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[600];

static const char *place(const char *name)
{
    (void)snprintf(path, sizeof(path), "%s/%s", test_temp_dir(), name);
    return path;
}

static unsigned mode_of(const char *name)
{
    struct stat about;
    ASSERT_EQ_INT(stat(name, &about), 0);
    return (unsigned)about.st_mode & 0777;
}

static void test_made_once(void)
{
    char text[16] = "";
    (void)umask(0);
    ASSERT_OK(tp_private_file_make(place("a/b/secret"), TP_STR("first"), false, &test_err));
    ASSERT_EQ_UINT(mode_of(path), 0600);
    ASSERT_FAILS(tp_private_file_make(path, TP_STR("second"), false, &test_err), TAPEOUT_E_EXISTS,
                 "secret");
    FILE *file = fopen(path, "rb");
    ASSERT(file != NULL && fread(text, 1, sizeof(text), file) == 5);
    ASSERT_EQ_INT(fclose(file), 0);
    ASSERT_EQ_STR(text, "first");
    ASSERT_EQ_UINT(mode_of(place("a/b")), 0700);
    ASSERT_OK(tp_private_file_make(place("list"), TP_STR(""), true, &test_err));
    ASSERT_EQ_UINT(mode_of(path), 0644);
}

static void test_check(void)
{
    ASSERT_FAILS(tp_private_file_check(place("none"), false, &test_err), TAPEOUT_E_NOT_FOUND,
                 "none");
    ASSERT_OK(tp_private_file_make(place("s"), TP_STR("x"), false, &test_err));
    ASSERT_OK(tp_private_file_check(path, false, &test_err));
    ASSERT_EQ_INT(chmod(path, 0604), 0);
    ASSERT_OK(tp_private_file_check(path, true, &test_err));
    ASSERT_FAILS(tp_private_file_check(path, false, &test_err), TAPEOUT_E_DENIED, "may read it");
    ASSERT_EQ_INT(chmod(path, 0620), 0);
    ASSERT_FAILS(tp_private_file_check(path, true, &test_err), TAPEOUT_E_DENIED, "may write it");
}

// -- at once -------------------------------------------------------------------------------------
enum { MAKERS = 16 };

static void *make_one(void *user)
{
    tapeout_status *status = user;
    *status = tp_private_file_make(path, TP_STR("same"), false, NULL);
    return NULL;
}

static void test_one_of_many_makes_it(void)
{
    pthread_t threads[MAKERS];
    tapeout_status statuses[MAKERS];
    int made = 0;
    (void)place("raced/key");
    for (size_t i = 0; i < MAKERS; i++) {
        ASSERT_EQ_INT(pthread_create(&threads[i], NULL, make_one, &statuses[i]), 0);
    }
    for (size_t i = 0; i < MAKERS; i++) {
        ASSERT_EQ_INT(pthread_join(threads[i], NULL), 0);
        ASSERT(statuses[i] == TAPEOUT_OK || statuses[i] == TAPEOUT_E_EXISTS);
        made += statuses[i] == TAPEOUT_OK;
    }
    ASSERT_EQ_INT(made, 1);
}

TEST_MAIN(TEST(test_made_once), TEST(test_check), TEST(test_one_of_many_makes_it))
