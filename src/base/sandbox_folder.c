// SPDX-License-Identifier: Apache-2.0
//
// A folder for what a sandboxed child writes: its own, empty, gone afterwards with all that is in
// it. And how much there is to read, by which the child's limits are set.
#include "base/tp_sandbox.h"

#include "base/tp_alloc.h"
#include "base/tp_clock.h"
#include "base/tp_error.h"
#include "base/tp_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

tapeout_status tp_sandbox_folder_make(const tapeout_allocator *alloc, const char *place,
                                      char **ret_folder, tapeout_error *err)
{
    char name[64];
    (void)snprintf(name, sizeof(name), ".sandbox.%llu.%llu", (unsigned long long)getpid(),
                   (unsigned long long)tp_clock_monotonic_ns());
    char *folder = tp_path_join(alloc, place, name);
    if (folder == NULL) {
        return tp_fail_nomem(err);
    }
    if (mkdir(folder, 0700) != 0) {
        const tapeout_status status =
            tp_fail_errno(err, errno, "%s: no folder can be made to work in", place);
        tp_free(alloc, folder, strlen(folder) + 1);
        return status;
    }
    *ret_folder = folder;
    return TAPEOUT_OK;
}

void tp_sandbox_folder_remove(const tapeout_allocator *alloc, char *folder)
{
    if (folder == NULL) {
        return;
    }
    DIR *directory = opendir(folder);
    // Only files: the sandbox lets no folders be made.
    for (const struct dirent *entry = directory == NULL ? NULL : readdir(directory); entry != NULL;
         entry = readdir(directory)) {
        (void)unlinkat(dirfd(directory), entry->d_name, 0); // "." and ".." stay
    }
    if (directory != NULL) {
        (void)closedir(directory);
    }
    (void)rmdir(folder);
    tp_free(alloc, folder, strlen(folder) + 1);
}

// The size of a file, or of the files of a folder and one level below; a guess is enough.
static uint64_t size_of(int at, const char *path, int depth)
{
    struct stat about;
    uint64_t sum = 0;
    if (fstatat(at, path, &about, 0) != 0) {
        return 0;
    }
    if (!S_ISDIR(about.st_mode) || depth == 0) {
        return S_ISREG(about.st_mode) ? (uint64_t)about.st_size : 0;
    }
    const int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (directory == NULL) {
        if (fd >= 0) {
            (void)close(fd);
        }
        return 0;
    }
    for (const struct dirent *entry = readdir(directory); entry != NULL;
         entry = readdir(directory)) {
        if (entry->d_name[0] != '.') {
            sum += size_of(dirfd(directory), entry->d_name, depth - 1);
        }
    }
    (void)closedir(directory);
    return sum;
}

uint64_t tp_sandbox_size_of(const char *path)
{
    return size_of(AT_FDCWD, path, 2);
}

char *tp_sandbox_home_of(const tapeout_allocator *alloc, const char *path)
{
    char resolved[PATH_MAX];
    return realpath(path, resolved) == NULL ? NULL : tp_path_directory(alloc, resolved);
}
