// SPDX-License-Identifier: Apache-2.0
//
// Files that are one user's, on POSIX. A new one is written under a name of its own, synced, and
// given its place by a hard link, which fails where the place is taken: no two processes can both
// make a key of one name, and none is ever written over.
#include "base/tp_private_file.h"

#include "base/limits.h"
#include "base/tp_error.h"
#include "base/tp_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static tapeout_status make_folder(const char *path, unsigned mode, tapeout_error *err)
{
    char folder[TP_MAX_PATH_BYTES];
    const char *slash = strrchr(path, '/');
    if (slash == NULL || slash == path) {
        return TAPEOUT_OK;
    }
    (void)snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path), path);
    return tp_directory_make_mode(folder, mode, err);
}

static tapeout_status write_all(int fd, const char *path, tp_str data, tapeout_error *err)
{
    while (data.size > 0) {
        const ssize_t done = write(fd, data.data, data.size);
        if (done < 0 && errno != EINTR) {
            return tp_fail_errno(err, errno, "%s: cannot write", path);
        }
        data.data += done > 0 ? done : 0;
        data.size -= done > 0 ? (size_t)done : 0;
    }
    return fsync(fd) == 0 ? TAPEOUT_OK : tp_fail_sync(err, errno, path);
}

tapeout_status tp_private_file_make(const char *path, tp_str data, bool may_be_read,
                                    tapeout_error *err)
{
    const mode_t mode = may_be_read ? 0644 : 0600;
    static atomic_uint count; // tells apart the threads of one process
    char temporary[TP_MAX_PATH_BYTES];
    const int size = snprintf(temporary, sizeof(temporary), "%s.%ld-%u.partial", path,
                              (long)getpid(), atomic_fetch_add(&count, 1));
    if (size < 0 || (size_t)size >= sizeof(temporary)) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "%s: the path is too long", path);
    }
    TP_TRY(make_folder(path, may_be_read ? 0755 : 0700, err));
    (void)unlink(temporary); // of a process that had this number and died
    const int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0) {
        return tp_fail_errno(err, errno, "%s: cannot write here", path);
    }
    tapeout_status status = write_all(fd, path, data, err);
    (void)close(fd);
    if (status == TAPEOUT_OK && link(temporary, path) != 0) {
        status = tp_fail_errno(err, errno, "%s: cannot be put in place", path);
    }
    (void)unlink(temporary);
    return status == TAPEOUT_OK ? tp_directory_sync(path, err) : status;
}

tapeout_status tp_private_file_check(const char *path, bool may_be_read, tapeout_error *err)
{
    struct stat about;
    if (stat(path, &about) != 0) {
        return tp_fail_errno(err, errno, "%s: cannot examine", path);
    }
    const mode_t wrong = may_be_read ? (mode_t)(S_IWGRP | S_IWOTH) : (mode_t)(S_IRWXG | S_IRWXO);
    return (about.st_mode & wrong) == 0
               ? TAPEOUT_OK
               : tp_fail(err, TAPEOUT_E_DENIED,
                         "%s: others than its owner may %s it (mode %o); chmod go-%s it", path,
                         may_be_read ? "write" : "read", (unsigned)about.st_mode & 0777,
                         may_be_read ? "w" : "rwx");
}
