// SPDX-License-Identifier: Apache-2.0
//
// The writer: whole or not at all, whatever ends it; stale files, two writers, a full disk.
#include "base/tp_file.h"

#include "base/tp_alloc.h"
#include "test.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char path[2048];

static const char *name_path(const char *name)
{
    (void)snprintf(path, sizeof(path), "%s/%s", test_temp_dir(), name);
    return path;
}

static tp_writer *open_writer(const char *name)
{
    tp_writer *writer = NULL;
    ASSERT_OK(tp_writer_open(tp_allocator_default(), name_path(name), &writer, &test_err));
    return writer;
}

static void check_content(const char *name, const void *want, size_t size)
{
    tp_map map;
    ASSERT_OK(tp_map_open(name_path(name), &map, &test_err));
    ASSERT_EQ_BYTES(map.data, map.size, want, size);
    tp_map_close(&map);
}

// How many files the temporary folder holds.
static size_t count_files(void)
{
    DIR *folder = opendir(test_temp_dir());
    ASSERT(folder != NULL);
    size_t count = 0;
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 ? 1 : 0;
    }
    (void)closedir(folder);
    return count;
}

static void test_commit(void)
{
    tp_writer *writer = open_writer("model");
    ASSERT_OK(tp_writer_write(writer, "hello ", 6, &test_err));
    ASSERT_OK(tp_writer_write(writer, "", 0, &test_err));
    ASSERT_OK(tp_writer_write(writer, "world", 5, &test_err));
    ASSERT_EQ_UINT(tp_writer_position(writer), 11);
    ASSERT(!tp_path_exists(name_path("model"))); // not before it is whole
    ASSERT_OK(tp_writer_patch(writer, 0, "J", 1, &test_err));
    ASSERT_OK(tp_writer_write(writer, "!", 1, &test_err));
    ASSERT_OK(tp_writer_patch(writer, 11, "?", 1, &test_err));
    ASSERT_FAILS(tp_writer_patch(writer, 12, "x", 1, &test_err), TAPEOUT_E_INTERNAL,
                 "past the end");
    ASSERT_FAILS(tp_writer_patch(writer, UINT64_MAX, "x", 1, &test_err), TAPEOUT_E_INTERNAL, NULL);
    ASSERT_OK(tp_writer_commit(&writer, &test_err));
    ASSERT(writer == NULL);
    check_content("model", "Jello world?", 12);
    ASSERT_EQ_UINT(count_files(), 1);
}

// Pieces below, at and above the size of the stage.
static void test_many_sizes(void)
{
    enum { TOTAL = 1 << 20 };
    static unsigned char data[TOTAL];
    for (size_t i = 0; i < TOTAL; i++) {
        data[i] = (unsigned char)(i * 7 + i / 251);
    }
    tp_writer *writer = open_writer("big");
    size_t at = 0;
    for (size_t piece = 1; at < TOTAL; piece = piece * 3 % 200003) {
        const size_t size = piece < TOTAL - at ? piece : TOTAL - at;
        ASSERT_OK(tp_writer_write(writer, data + at, size, &test_err));
        at += size;
        ASSERT_EQ_UINT(tp_writer_position(writer), at);
    }
    ASSERT_OK(tp_writer_commit(&writer, &test_err));
    check_content("big", data, TOTAL);
}

static void test_abort_leaves_the_old_file(void)
{
    tp_writer *writer = open_writer("model");
    ASSERT_OK(tp_writer_write(writer, "old", 3, &test_err));
    ASSERT_OK(tp_writer_commit(&writer, &test_err));
    ASSERT(chmod(name_path("model"), 0640) == 0);
    writer = open_writer("model");
    ASSERT_OK(tp_writer_write(writer, "new", 3, &test_err));
    tp_writer_abort(&writer);
    ASSERT(writer == NULL);
    tp_writer_abort(&writer);
    check_content("model", "old", 3);
    ASSERT_EQ_UINT(count_files(), 1);
    writer = open_writer("model");
    ASSERT_OK(tp_writer_write(writer, "newer", 5, &test_err));
    ASSERT_OK(tp_writer_commit(&writer, &test_err));
    check_content("model", "newer", 5);
    struct stat info;
    ASSERT(stat(name_path("model"), &info) == 0);
    ASSERT_EQ_INT(info.st_mode & 0777, 0640); // permissions are handed on
}

// Killed at any moment, the old file is there whole; what is left behind goes with the next writer.
static void test_kill_leaves_the_old_file(void)
{
    tp_writer *writer = open_writer("model");
    ASSERT_OK(tp_writer_write(writer, "old", 3, &test_err));
    ASSERT_OK(tp_writer_commit(&writer, &test_err));
    for (int round = 0; round < 5; round++) {
        const pid_t child = fork();
        if (child == 0) {
            static const char block[100000];
            writer = open_writer("model");
            ASSERT_OK(tp_writer_write(writer, block, sizeof(block), &test_err));
            (void)raise(SIGKILL);
        }
        int status = 0;
        ASSERT(waitpid(child, &status, 0) == child);
        ASSERT(WIFSIGNALED(status));
        check_content("model", "old", 3);
        ASSERT_EQ_UINT(count_files(), 2); // the stale one, never more
    }
    writer = open_writer("model");
    ASSERT_OK(tp_writer_write(writer, "new", 3, &test_err));
    ASSERT_OK(tp_writer_commit(&writer, &test_err));
    check_content("model", "new", 3);
    ASSERT_EQ_UINT(count_files(), 1);
}

static void test_second_writer_is_refused(void)
{
    tp_writer *first = open_writer("model");
    tp_writer *second = NULL;
    ASSERT_FAILS(tp_writer_open(tp_allocator_default(), name_path("model"), &second, &test_err),
                 TAPEOUT_E_BUSY, "another process is writing this file");
    ASSERT(second == NULL);
    ASSERT_OK(tp_writer_write(first, "first", 5, &test_err));
    ASSERT_OK(tp_writer_commit(&first, &test_err));
    check_content("model", "first", 5);
}

static void test_full_disk(void)
{
    // A limit on file size stands in for a full disk: the same path, another errno.
    (void)signal(SIGXFSZ, SIG_IGN);
    const struct rlimit limit = {100000, 100000};
    tp_writer *writer = open_writer("model");
    ASSERT(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    static const char block[200000];
    ASSERT_FAILS(tp_writer_write(writer, block, sizeof(block), &test_err), TAPEOUT_E_LIMIT,
                 "model: cannot write");
    // After a failure nothing is written and nothing is put in place.
    ASSERT_FAILS(tp_writer_write(writer, "x", 1, &test_err), TAPEOUT_E_LIMIT,
                 "earlier write failed");
    ASSERT_FAILS(tp_writer_commit(&writer, &test_err), TAPEOUT_E_LIMIT, "earlier write failed");
    ASSERT(writer == NULL && !tp_path_exists(name_path("model")));
    ASSERT_EQ_UINT(count_files(), 0);
}

// Somebody else's link under the temporary name is neither written through nor removed.
static void test_link_is_not_followed(void)
{
    tp_writer *writer = NULL;
    (void)snprintf(path, sizeof(path), "%s/.model.partial", test_temp_dir());
    ASSERT(symlink("/dev/null", path) == 0);
    ASSERT_FAILS(tp_writer_open(tp_allocator_default(), name_path("model"), &writer, &test_err),
                 TAPEOUT_E_INVALID, ".model.partial: cannot open");
    ASSERT(writer == NULL);
    ASSERT(unlink(name_path(".model.partial")) == 0);
}

static void check_refused(const char *where, tapeout_status want, const char *part)
{
    tp_writer *writer = NULL;
    ASSERT_FAILS(tp_writer_open(tp_allocator_default(), where, &writer, &test_err), want, part);
    ASSERT(writer == NULL);
}

static void test_refusals(void)
{
    check_refused("", TAPEOUT_E_INVALID, "an empty path");
    check_refused(test_temp_dir(), TAPEOUT_E_INVALID, "is a directory or a device");
    check_refused("/dev/null", TAPEOUT_E_INVALID, "is a directory or a device");
    check_refused(name_path("new/"), TAPEOUT_E_INVALID, "expected the name of a file");
    check_refused(name_path("absent/model"), TAPEOUT_E_NOT_FOUND,
                  "absent/model: cannot write here");
}

static void test_relative_path(void)
{
    ASSERT(chdir(test_temp_dir()) == 0);
    tp_writer *writer = NULL;
    ASSERT_OK(tp_writer_open(tp_allocator_default(), "plain", &writer, &test_err));
    ASSERT(access(".plain.partial", F_OK) == 0);
    ASSERT_OK(tp_writer_commit(&writer, &test_err));
    check_content("plain", "", 0);
    ASSERT_EQ_UINT(count_files(), 1);
}

// A name that is known last; until then what was synced can be read by the temporary one.
static void test_commit_as(void)
{
    char last[2048];
    tp_map map;
    tp_writer *writer = open_writer("0");
    ASSERT_OK(tp_writer_write(writer, "hello ", 6, &test_err));
    ASSERT_OK(tp_writer_sync(writer, &test_err));
    ASSERT_OK(tp_map_open(tp_writer_temporary(writer), &map, &test_err));
    ASSERT_EQ_BYTES(map.data, map.size, "hello ", 6);
    tp_map_close(&map);
    ASSERT_OK(tp_writer_write(writer, "world", 5, &test_err)); // and goes on
    (void)snprintf(last, sizeof(last), "%s", name_path("last"));
    ASSERT_OK(tp_writer_commit_as(&writer, last, &test_err));
    ASSERT(writer == NULL);
    check_content("last", "hello world", 11);
    ASSERT_EQ_UINT(count_files(), 1);
    // A place that is not there leaves nothing.
    writer = open_writer("0");
    (void)snprintf(last, sizeof(last), "%s", name_path("none/last"));
    ASSERT_FAILS(tp_writer_commit_as(&writer, last, &test_err), TAPEOUT_E_NOT_FOUND, "none/last");
    ASSERT_EQ_UINT(count_files(), 1);
}

TEST_MAIN(TEST(test_commit), TEST(test_commit_as), TEST(test_many_sizes),
          TEST(test_abort_leaves_the_old_file), TEST(test_kill_leaves_the_old_file),
          TEST(test_second_writer_is_refused), TEST(test_full_disk),
          TEST(test_link_is_not_followed), TEST(test_refusals), TEST(test_relative_path))
