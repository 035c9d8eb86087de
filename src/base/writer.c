// SPDX-License-Identifier: Apache-2.0
//
// A file that is there whole or not at all. The bytes go to ".NAME.partial" in the same directory;
// commit syncs that file, renames it over NAME and syncs the directory.
//
// The temporary name is the same for every writer of a path, so that the next one finds what a
// crash left. It tells a dead writer's file from a live one's by a lock: the lock goes with the
// process, whatever ends it. After a failed sync nothing is tried again, since the kernel may have
// dropped the pages and a second sync would say yes to nothing.
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STAGE_BYTES = 1 << 16, OPEN_TRIES = 16 };

struct tp_writer {
    const tapeout_allocator *alloc;
    char *path;            // [strlen + 1]
    char *temporary;       // [strlen + 1]
    int fd;                // -1 until open
    uint64_t written;      // bytes in the file
    size_t staged;         // bytes in `stage`, which come next
    tapeout_status failed; // the first failure; such a file is never committed
    unsigned char stage[STAGE_BYTES];
};

// "dir/.NAME.partial" for "dir/NAME".
static char *temporary_name(const tapeout_allocator *alloc, const char *path)
{
    const char *slash = strrchr(path, '/');
    const size_t start = slash == NULL ? 0 : (size_t)(slash - path) + 1;
    const size_t size = strlen(path) + strlen(".") + strlen(".partial");
    char *name = tp_alloc(alloc, size + 1);
    if (name != NULL) {
        (void)snprintf(name, size + 1, "%.*s.%s.partial", (int)start, path, path + start);
    }
    return name;
}

static void free_writer(tp_writer *writer)
{
    if (writer->fd >= 0) {
        (void)close(writer->fd);
    }
    if (writer->path != NULL) {
        tp_free(writer->alloc, writer->path, strlen(writer->path) + 1);
    }
    if (writer->temporary != NULL) {
        tp_free(writer->alloc, writer->temporary, strlen(writer->temporary) + 1);
    }
    tp_free(writer->alloc, writer, sizeof(*writer));
}

static bool is_same_file(int fd, const char *path)
{
    struct stat by_fd;
    struct stat by_path;
    return fstat(fd, &by_fd) == 0 && lstat(path, &by_path) == 0 && by_fd.st_ino == by_path.st_ino &&
           by_fd.st_dev == by_path.st_dev;
}

// File systems without locks are used as if each writer were alone.
static bool lock(int fd)
{
    return flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
}

// Removes a temporary file whose writer is gone.
static tapeout_status remove_stale(const tp_writer *writer, tapeout_error *err)
{
    const int fd = open(writer->temporary, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        return errno == ENOENT ? TAPEOUT_OK // its writer has just finished
                               : tp_fail_errno(err, errno, "%s: cannot open", writer->temporary);
    }
    tapeout_status status = TAPEOUT_OK;
    if (!lock(fd)) {
        status =
            tp_fail(err, TAPEOUT_E_BUSY, "%s: another process is writing this file", writer->path);
    } else if (is_same_file(fd, writer->temporary) && unlink(writer->temporary) != 0 &&
               errno != ENOENT) {
        status = tp_fail_errno(err, errno, "%s: cannot remove", writer->temporary);
    }
    (void)close(fd);
    return status;
}

// Makes the temporary file and locks it. Between the two another writer may take it for stale and
// remove it; then the name no longer leads to it, and it is made again.
static tapeout_status open_temporary(tp_writer *writer, mode_t mode, tapeout_error *err)
{
    for (int i = 0; i < OPEN_TRIES; i++) {
        const int fd = open(writer->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (fd >= 0 && lock(fd) && is_same_file(fd, writer->temporary)) {
            writer->fd = fd;
            return TAPEOUT_OK;
        }
        if (fd >= 0) {
            (void)close(fd);
        } else if (errno == EEXIST) {
            TP_TRY(remove_stale(writer, err));
        } else {
            return tp_fail_errno(err, errno, "%s: cannot write here", writer->path);
        }
    }
    return tp_fail(err, TAPEOUT_E_BUSY, "%s: other processes keep writing this file", writer->path);
}

static tapeout_status open_writer(const tapeout_allocator *alloc, const char *path, bool is_private,
                                  tp_writer **ret_writer, tapeout_error *err)
{
    struct stat old;
    const bool replaces = stat(path, &old) == 0;
    if (path[0] == 0 || path[strlen(path) - 1] == '/' || (replaces && !S_ISREG(old.st_mode))) {
        return tp_fail(err, TAPEOUT_E_INVALID, "%s: %s, expected the name of a file to write",
                       path[0] == 0 ? "output" : path,
                       path[0] == 0 ? "an empty path" : "is a directory or a device");
    }
    tp_writer *writer = tp_alloc(alloc, sizeof(*writer));
    if (writer == NULL) {
        return tp_fail_nomem(err);
    }
    *writer = (tp_writer){.alloc = alloc, .fd = -1};
    writer->path = tp_strndup(alloc, path, strlen(path));
    writer->temporary = temporary_name(alloc, path);
    tapeout_status status = writer->path == NULL || writer->temporary == NULL
                                ? tp_fail_nomem(err)
                                : open_temporary(writer, is_private ? 0600 : 0666, err);
    // A file that is replaced hands its permissions on.
    if (status == TAPEOUT_OK && replaces && !is_private &&
        fchmod(writer->fd, old.st_mode & 0777) != 0) {
        status = tp_fail_errno(err, errno, "%s: cannot set permissions", writer->temporary);
        (void)unlink(writer->temporary);
    }
    if (status != TAPEOUT_OK) {
        free_writer(writer);
        return status;
    }
    *ret_writer = writer;
    return TAPEOUT_OK;
}

tapeout_status tp_writer_open(const tapeout_allocator *alloc, const char *path,
                              tp_writer **ret_writer, tapeout_error *err)
{
    return open_writer(alloc, path, false, ret_writer, err);
}

tapeout_status tp_writer_open_private(const tapeout_allocator *alloc, const char *path,
                                      tp_writer **ret_writer, tapeout_error *err)
{
    return open_writer(alloc, path, true, ret_writer, err);
}

// Writes all of it at `offset`.
static tapeout_status write_at(tp_writer *writer, uint64_t offset, const unsigned char *data,
                               size_t size, tapeout_error *err)
{
    while (size > 0) {
        const ssize_t done = pwrite(writer->fd, data, size, (off_t)offset);
        if (done < 0 && errno != EINTR) {
            writer->failed = tp_fail_errno(err, errno, "%s: cannot write", writer->path);
            return writer->failed;
        }
        if (done > 0) {
            data += done;
            size -= (size_t)done;
            offset += (uint64_t)done;
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status flush(tp_writer *writer, tapeout_error *err)
{
    TP_TRY(write_at(writer, writer->written, writer->stage, writer->staged, err));
    writer->written += writer->staged;
    writer->staged = 0;
    return TAPEOUT_OK;
}

static tapeout_status check_failed(const tp_writer *writer, tapeout_error *err)
{
    return writer->failed == TAPEOUT_OK
               ? TAPEOUT_OK
               : tp_fail(err, writer->failed, "%s: an earlier write failed", writer->path);
}

tapeout_status tp_writer_write(tp_writer *writer, const void *data, size_t size, tapeout_error *err)
{
    TP_TRY(check_failed(writer, err));
    if (size > STAGE_BYTES - writer->staged) {
        TP_TRY(flush(writer, err));
    }
    if (size >= STAGE_BYTES) {
        TP_TRY(write_at(writer, writer->written, data, size, err));
        writer->written += size;
    } else if (size > 0) {
        memcpy(writer->stage + writer->staged, data, size);
        writer->staged += size;
    }
    return TAPEOUT_OK;
}

tapeout_status tp_writer_patch(tp_writer *writer, uint64_t offset, const void *data, size_t size,
                               tapeout_error *err)
{
    TP_TRY(check_failed(writer, err));
    const uint64_t end = tp_writer_position(writer);
    if (offset > end || size > end - offset) {
        return tp_fail(err, TAPEOUT_E_INTERNAL, "%s: patch past the end of what is written",
                       writer->path);
    }
    TP_TRY(flush(writer, err));
    return write_at(writer, offset, data, size, err);
}

uint64_t tp_writer_position(const tp_writer *writer)
{
    return writer->written + writer->staged;
}

const char *tp_writer_temporary(const tp_writer *writer)
{
    return writer->temporary;
}

tapeout_status tp_writer_sync(tp_writer *writer, tapeout_error *err)
{
    TP_TRY(check_failed(writer, err));
    TP_TRY(flush(writer, err));
    if (fsync(writer->fd) != 0) {
        writer->failed = tp_fail_sync(err, errno, writer->path);
    }
    return writer->failed;
}

static tapeout_status commit(tp_writer *writer, const char *path, tapeout_error *err)
{
    TP_TRY(tp_writer_sync(writer, err));
    if (rename(writer->temporary, path) != 0) {
        return tp_fail_errno(err, errno, "%s: cannot put the new file in place", path);
    }
    return tp_directory_sync(path, err);
}

tapeout_status tp_writer_commit(tp_writer **writer, tapeout_error *err)
{
    return tp_writer_commit_as(writer, (*writer)->path, err);
}

tapeout_status tp_writer_commit_as(tp_writer **writer, const char *path, tapeout_error *err)
{
    tp_writer *self = *writer;
    *writer = NULL;
    const tapeout_status status = commit(self, path, err);
    // After the rename the temporary name is free, or a newer writer's.
    if (status != TAPEOUT_OK && is_same_file(self->fd, self->temporary)) {
        (void)unlink(self->temporary);
    }
    free_writer(self);
    return status;
}

void tp_writer_abort(tp_writer **writer)
{
    tp_writer *self = *writer;
    *writer = NULL;
    if (self != NULL) {
        if (is_same_file(self->fd, self->temporary)) {
            (void)unlink(self->temporary);
        }
        free_writer(self);
    }
}
