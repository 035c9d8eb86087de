// SPDX-License-Identifier: Apache-2.0
//
// Mapping and reading files, folders, paths.
#include "base/tp_file.h"

#include "base/tp_alloc.h"
#include "test.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *put(const char *name, const char *data, size_t size)
{
    static char path[2048];
    (void)snprintf(path, sizeof(path), "%s/%s", test_temp_dir(), name);
    FILE *file = fopen(path, "wb");
    ASSERT(file != NULL);
    ASSERT(fwrite(data, 1, size, file) == size);
    ASSERT(fclose(file) == 0);
    return path;
}

static void test_map(void)
{
    tp_map map = {.fd = -1};
    const char *path = put("a", "hello\0there", 11);
    ASSERT_OK(tp_map_open(path, &map, &test_err));
    ASSERT(unlink(path) == 0); // the map lives on
    tp_map_advise_sequential(&map);
    ASSERT_EQ_BYTES(map.data, map.size, "hello\0there", 11);
    tp_map_close(&map);
    tp_map_close(&map); // once more does no harm
    ASSERT_EQ_INT(map.fd, -1);
    ASSERT_OK(tp_map_open(put("empty", "", 0), &map, &test_err));
    ASSERT(map.data != NULL && map.size == 0);
    tp_map_advise_sequential(&map);
    tp_map_release(&map, 0, 10);
    tp_map_close(&map);
}

static void test_map_release(void)
{
    static char data[100000];
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (char)(i % 101);
    }
    tp_map map;
    ASSERT_OK(tp_map_open(put("big", data, sizeof(data)), &map, &test_err));
    for (size_t offset = 0; offset < sizeof(data) + 5000; offset += 3333) {
        tp_map_release(&map, offset, 20000);
        tp_map_release(&map, offset, SIZE_MAX);
        ASSERT_EQ_BYTES(map.data, map.size, data, sizeof(data));
    }
    tp_map_close(&map);
}

static void test_map_refusals(void)
{
    char path[2048];
    tp_map map = {.size = 4711};
    (void)snprintf(path, sizeof(path), "%s/absent", test_temp_dir());
    ASSERT_FAILS(tp_map_open(path, &map, &test_err), TAPEOUT_E_NOT_FOUND, path);
    ASSERT_FAILS(tp_map_open(test_temp_dir(), &map, &test_err), TAPEOUT_E_INVALID,
                 "is a directory, expected a regular file");
    // M2
    ASSERT_FAILS(tp_map_open("/dev/null", &map, &test_err), TAPEOUT_E_INVALID, "device or pipe");
    (void)snprintf(path, sizeof(path), "%s/fifo", test_temp_dir());
    ASSERT(mkfifo(path, 0600) == 0);
    ASSERT_FAILS(tp_map_open(path, &map, &test_err), TAPEOUT_E_INVALID, "device or pipe");
    ASSERT_EQ_UINT(map.size, 4711);
}

static void check_read(const char *path, size_t max_size, const char *want, size_t want_size)
{
    test_allocator allocator;
    test_allocator_init(&allocator);
    tp_str text = {0};
    ASSERT_OK(tp_file_read(&allocator.base, path, max_size, &text, &test_err));
    ASSERT_EQ_BYTES(text.data, text.size + 1, want, want_size + 1);
    tp_free(&allocator.base, (void *)(uintptr_t)text.data, text.size + 1);
    ASSERT_EQ_UINT(allocator.live, 0);
}

static void test_read(void)
{
    const char *path = put("a", "one\ntwo\n", 8);
    check_read(path, 100, "one\ntwo\n", 8);
    check_read(path, 8, "one\ntwo\n", 8);
    check_read(path, SIZE_MAX, "one\ntwo\n", 8);
    test_allocator allocator;
    test_allocator_init(&allocator);
    tp_str text = {0};
    ASSERT_FAILS(tp_file_read(&allocator.base, path, 7, &text, &test_err), TAPEOUT_E_LIMIT,
                 "larger than the 7 bytes allowed");
    ASSERT_EQ_UINT(allocator.live, 0);
    ASSERT(text.data == NULL);
    check_read(put("empty", "", 0), 0, "", 0);
    // A file whose size is not known before it is read.
    ASSERT_OK(tp_file_read(&allocator.base, "/proc/self/status", 1 << 20, &text, &test_err));
    ASSERT(text.size > 100 && strstr(text.data, "Name:") != NULL);
    tp_free(&allocator.base, (void *)(uintptr_t)text.data, text.size + 1);
    ASSERT_EQ_UINT(allocator.live, 0);
}

static void read_through_stdin(const char *path)
{
    const int fd = open(path, O_RDONLY);
    ASSERT(fd >= 0 && dup2(fd, STDIN_FILENO) == STDIN_FILENO);
}

static void test_read_stdin(void)
{
    static char data[300000];
    memset(data, 'q', sizeof(data) - 1);
    const char *path = put("large", data, sizeof(data) - 1);
    read_through_stdin(path);
    check_read("-", sizeof(data), data, sizeof(data) - 1);
    read_through_stdin(path);
    tp_str text = {0};
    ASSERT_FAILS(tp_file_read(tp_allocator_default(), "-", 1000, &text, &test_err), TAPEOUT_E_LIMIT,
                 "standard input: larger than the 1000 bytes");
}

static void test_directories(void)
{
    char path[2048];
    (void)snprintf(path, sizeof(path), "%s/x//y/z/", test_temp_dir());
    ASSERT(!tp_path_exists(path));
    ASSERT_OK(tp_directory_make(path, &test_err));
    ASSERT_OK(tp_directory_make(path, &test_err));
    ASSERT(tp_path_exists(path));
    put("file", "", 0);
    (void)snprintf(path, sizeof(path), "%s/file/below", test_temp_dir());
    ASSERT(tp_directory_make(path, &test_err) != TAPEOUT_OK);
    ASSERT_FAILS(tp_directory_make("", &test_err), TAPEOUT_E_INVALID, "0 bytes");
    static char longer[5000];
    memset(longer, 'a', sizeof(longer) - 1);
    ASSERT_FAILS(tp_directory_make(longer, &test_err), TAPEOUT_E_INVALID, "4999 bytes");
}

static void check_join(const char *directory, const char *name, const char *want)
{
    const tapeout_allocator *alloc = tp_allocator_default();
    char *path = tp_path_join(alloc, directory, name);
    ASSERT_EQ_STR(path, want);
    tp_free(alloc, path, strlen(path) + 1);
}

static void check_directory(const char *path, const char *want)
{
    const tapeout_allocator *alloc = tp_allocator_default();
    char *directory = tp_path_directory(alloc, path);
    ASSERT_EQ_STR(directory, want);
    tp_free(alloc, directory, strlen(directory) + 1);
}

static void test_paths(void)
{
    check_join("a", "b", "a/b");
    check_join("a/", "b", "a/b");
    check_join("/", "b", "/b");
    check_join("", "b", "b");
    check_join("a", "/b", "/b");
    check_directory("a", ".");
    check_directory("a/b", "a");
    check_directory("/b", "/");
    check_directory("a/b/c", "a/b");
}

TEST_MAIN(TEST(test_map), TEST(test_map_release), TEST(test_map_refusals), TEST(test_read),
          TEST(test_read_stdin), TEST(test_directories), TEST(test_paths))
