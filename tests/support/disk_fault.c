// SPDX-License-Identifier: Apache-2.0
//
// A disk that fails on command, under a program that knows nothing of it: loaded with LD_PRELOAD,
// it stands in front of the calls that write and sync. TAPEOUT_TEST_FAULT names a file; what it
// says decides about files below TAPEOUT_TEST_DISK:
//
//   write 28    each write fails with that number (28: no space, 30: read-only)
//   sync 5      each sync
//
// Empty or gone: the disk is well. Compiled by the tests that use it (tests/e2e/test_disk.py).
#define _GNU_SOURCE
#undef _FORTIFY_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum { PATH_SIZE = 4096 };

static bool is_on_disk(int fd)
{
    char link[64];
    char path[PATH_SIZE];
    const char *disk = getenv("TAPEOUT_TEST_DISK");
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    const ssize_t size = disk == NULL ? -1 : readlink(link, path, sizeof(path));
    return size > 0 && (size_t)size >= strlen(disk) && memcmp(path, disk, strlen(disk)) == 0;
}

// The number with which the call is to fail; 0: it is not.
static int fault_of(const char *call, int fd)
{
    char text[64];
    char name[16] = "";
    int number = 0;
    const char *file = getenv("TAPEOUT_TEST_FAULT");
    const int said =
        file == NULL ? -1 : (int)syscall(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC);
    if (said < 0) {
        return 0;
    }
    const long size = syscall(SYS_read, said, text, sizeof(text) - 1);
    (void)syscall(SYS_close, said);
    text[size > 0 ? size : 0] = '\0';
    return sscanf(text, "%15s %d", name, &number) == 2 && strcmp(name, call) == 0 && is_on_disk(fd)
               ? number
               : 0;
}

static bool fails(const char *call, int fd)
{
    const int number = fault_of(call, fd);
    errno = number != 0 ? number : errno;
    return number != 0;
}

ssize_t write(int fd, const void *data, size_t size)
{
    return fails("write", fd) ? -1 : syscall(SYS_write, fd, data, size);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    return fails("write", fd) ? -1 : syscall(SYS_pwrite64, fd, data, size, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
    return fails("write", fd) ? -1 : syscall(SYS_pwrite64, fd, data, size, offset);
}

int fsync(int fd)
{
    return fails("sync", fd) ? -1 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return fails("sync", fd) ? -1 : (int)syscall(SYS_fdatasync, fd);
}
