// SPDX-License-Identifier: Apache-2.0
//
// The log at one moment. Writers are kept out only while the sizes of the files are looked at: what
// was written by then never changes again, so it can be read at leisure while they go on. Files are
// read rather than mapped, since a writer may cut off what a crash left behind them.
#include "trust/audit_walk.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static tapeout_status measure(const char *directory, audit_snapshot *snapshot, tapeout_error *err)
{
    for (size_t i = 0; i < snapshot->segments.count; i++) {
        char path[TP_MAX_PATH_BYTES];
        struct stat about;
        TP_TRY(tp_audit_segment_path(directory, snapshot->segments.firsts[i], path, err));
        if (stat(path, &about) != 0) {
            return tp_fail_errno(err, errno, "audit: cannot examine %s", path);
        }
        if (!S_ISREG(about.st_mode) || about.st_size < 0 ||
            (uint64_t)about.st_size > TP_MAX_AUDIT_SEGMENT_BYTES) {
            return tp_fail(err, TAPEOUT_E_LIMIT, "audit: %s: no file of at most %u bytes", path,
                           TP_MAX_AUDIT_SEGMENT_BYTES);
        }
        snapshot->sizes[i] = (uint64_t)about.st_size;
    }
    return TAPEOUT_OK;
}

static tapeout_status take_locked(const tapeout_allocator *alloc, const char *directory,
                                  audit_snapshot *snapshot, tapeout_error *err)
{
    TP_TRY(tp_audit_segments_list(alloc, directory, &snapshot->segments, err));
    snapshot->sizes = tp_alloc_array(alloc, snapshot->segments.count + 1, sizeof(uint64_t));
    return snapshot->sizes == NULL ? tp_fail_nomem(err) : measure(directory, snapshot, err);
}

tapeout_status tp_audit_snapshot_take(const tapeout_allocator *alloc, const char *directory,
                                      audit_snapshot *ret_snapshot, tapeout_error *err)
{
    char path[TP_MAX_PATH_BYTES];
    audit_snapshot snapshot = {.sizes = NULL};
    TP_TRY(tp_audit_path(directory, "lock", path, err));
    // A copy of a log may have no such file, and then nobody writes to it.
    const int lock = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    while (lock >= 0 && flock(lock, LOCK_SH) != 0 && errno == EINTR) {
    }
    const tapeout_status status = take_locked(alloc, directory, &snapshot, err);
    if (lock >= 0) {
        (void)close(lock);
    }
    if (status != TAPEOUT_OK) {
        tp_audit_snapshot_free(alloc, &snapshot);
        return status;
    }
    *ret_snapshot = snapshot;
    return TAPEOUT_OK;
}

void tp_audit_snapshot_free(const tapeout_allocator *alloc, audit_snapshot *snapshot)
{
    tp_free_array(alloc, snapshot->sizes, snapshot->segments.count + 1, sizeof(uint64_t));
    tp_audit_segments_free(alloc, &snapshot->segments);
    snapshot->sizes = NULL;
}

tapeout_status tp_audit_snapshot_read(const tapeout_allocator *alloc, const char *directory,
                                      const audit_snapshot *snapshot, size_t index,
                                      tp_str *ret_text, tapeout_error *err)
{
    char path[TP_MAX_PATH_BYTES];
    const size_t size = (size_t)snapshot->sizes[index]; // at most TP_MAX_AUDIT_SEGMENT_BYTES
    TP_TRY(tp_audit_segment_path(directory, snapshot->segments.firsts[index], path, err));
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return tp_fail_errno(err, errno, "audit: cannot read %s", path);
    }
    char *data = tp_alloc(alloc, size + 1);
    tapeout_status status = data == NULL ? tp_fail_nomem(err) : TAPEOUT_OK;
    size_t done = 0;
    while (status == TAPEOUT_OK && done < size) {
        const ssize_t got = read(fd, data + done, size - done);
        if (got < 0 && errno != EINTR) {
            status = tp_fail_errno(err, errno, "audit: cannot read %s", path);
        } else if (got == 0) { // a writer has cut off what a crash left
            memset(data + done, 0, size - done);
            done = size;
        }
        done += got > 0 ? (size_t)got : 0;
    }
    (void)close(fd);
    if (status != TAPEOUT_OK) {
        tp_free(alloc, data, size + 1);
        return status;
    }
    data[size] = '\0';
    *ret_text = (tp_str){data, size};
    return TAPEOUT_OK;
}

void tp_audit_text_free(const tapeout_allocator *alloc, tp_str text)
{
    tp_free(alloc, (char *)(uintptr_t)text.data, text.size + 1);
}
