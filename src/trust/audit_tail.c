// SPDX-License-Identifier: Apache-2.0
//
// The end of the log on disk: one lock for all writers of all processes, the last segment, a write
// and its sync. What another process has appended meanwhile is read first; what one left half when
// it was killed is put aside in a file of its own and cut off. A segment that is full is followed
// by a new one, named after its first entry.
#include "trust/audit_priv.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

// -- names ---------------------------------------------------------------------------------------
tapeout_status tp_audit_path(const char *directory, const char *name,
                             char ret_path[TP_MAX_PATH_BYTES], tapeout_error *err)
{
    const int size = snprintf(ret_path, TP_MAX_PATH_BYTES, "%s/%s", directory, name);
    return size > 0 && (size_t)size < TP_MAX_PATH_BYTES
               ? TAPEOUT_OK
               : tp_fail(err, TAPEOUT_E_LIMIT, "audit: the path of the home directory is too long");
}

tapeout_status tp_audit_segment_path(const char *directory, uint64_t first,
                                     char ret_path[TP_MAX_PATH_BYTES], tapeout_error *err)
{
    char name[AUDIT_NAME_SIZE];
    (void)snprintf(name, sizeof(name), "%020llu.log", (unsigned long long)first);
    return tp_audit_path(directory, name, ret_path, err);
}

// 20 digits and ".log".
static bool is_segment(const char *name, uint64_t *ret_first)
{
    const size_t digits = 20;
    return strlen(name) == digits + strlen(".log") && strcmp(name + digits, ".log") == 0 &&
           name[0] >= '0' && name[0] <= '9' && tp_str_to_uint64((tp_str){name, digits}, ret_first);
}

static tapeout_status add_segment(const tapeout_allocator *alloc, audit_segments *segments,
                                  uint64_t first, tapeout_error *err)
{
    if (segments->count == segments->capacity) {
        const size_t capacity = segments->capacity == 0 ? 16 : segments->capacity * 2;
        uint64_t *firsts =
            tp_resize_array(alloc, segments->firsts, segments->capacity, capacity, sizeof(*firsts));
        if (firsts == NULL) {
            return tp_fail_nomem(err);
        }
        segments->firsts = firsts;
        segments->capacity = capacity;
    }
    segments->firsts[segments->count++] = first;
    return TAPEOUT_OK;
}

static int compare_firsts(const void *a, const void *b)
{
    const uint64_t left = *(const uint64_t *)a;
    const uint64_t right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

tapeout_status tp_audit_segments_list(const tapeout_allocator *alloc, const char *directory,
                                      audit_segments *ret_segments, tapeout_error *err)
{
    audit_segments segments = {.count = 0};
    DIR *folder = opendir(directory);
    if (folder == NULL && errno == ENOENT) {
        *ret_segments = segments;
        return TAPEOUT_OK;
    }
    if (folder == NULL) {
        return tp_fail_errno(err, errno, "audit: cannot read the folder %s", directory);
    }
    tapeout_status status = TAPEOUT_OK;
    errno = 0;
    const struct dirent *entry = readdir(folder);
    while (entry != NULL && status == TAPEOUT_OK) {
        uint64_t first = 0;
        if (is_segment(entry->d_name, &first)) {
            status = add_segment(alloc, &segments, first, err);
        }
        errno = 0;
        entry = status == TAPEOUT_OK ? readdir(folder) : NULL;
    }
    if (status == TAPEOUT_OK && errno != 0) {
        status = tp_fail_errno(err, errno, "audit: cannot read the folder %s", directory);
    }
    (void)closedir(folder);
    if (status != TAPEOUT_OK) {
        tp_audit_segments_free(alloc, &segments);
        return status;
    }
    if (segments.count > 1) {
        qsort(segments.firsts, segments.count, sizeof(*segments.firsts), compare_firsts);
    }
    *ret_segments = segments;
    return TAPEOUT_OK;
}

void tp_audit_segments_free(const tapeout_allocator *alloc, audit_segments *segments)
{
    tp_free_array(alloc, segments->firsts, segments->capacity, sizeof(*segments->firsts));
    *segments = (audit_segments){.count = 0};
}

// -- the lock ------------------------------------------------------------------------------------
// The folder is its owner's alone: receipts may hold what people are scored by.
static tapeout_status open_lock(audit_tail *tail, tapeout_error *err)
{
    char path[TP_MAX_PATH_BYTES];
    TP_TRY(tp_audit_path(tail->directory, "lock", path, err));
    // A folder without a lock may be that of a process that was killed before its name was on disk.
    if (!tp_path_exists(path)) {
        TP_TRY(tp_directory_make_mode(tail->directory, 0700, err));
    }
    tail->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    return tail->lock_fd >= 0 ? TAPEOUT_OK
                              : tp_fail_errno(err, errno, "audit: cannot write here: %s", path);
}

tapeout_status tp_audit_tail_lock(audit_tail *tail, tapeout_error *err)
{
    if (atomic_load_explicit(tail->is_stopped, memory_order_acquire)) {
        return tp_fail(err, TAPEOUT_E_IO,
                       "audit: a sync failed before, so that nothing more is written to %s; look "
                       "after the disk and start anew",
                       tail->directory);
    }
    if (tail->lock_fd < 0) {
        TP_TRY(open_lock(tail, err));
    }
    while (flock(tail->lock_fd, LOCK_EX) != 0) {
        if (errno != EINTR) {
            return tp_fail_errno(err, errno, "audit: cannot lock %s/lock", tail->directory);
        }
    }
    return TAPEOUT_OK;
}

void tp_audit_tail_unlock(audit_tail *tail)
{
    (void)flock(tail->lock_fd, LOCK_UN); // a lock that is held can be given back
}

// -- finding the end -----------------------------------------------------------------------------
static void forget(audit_tail *tail)
{
    if (tail->fd >= 0) {
        (void)close(tail->fd);
        tail->fd = -1;
    }
}

void tp_audit_tail_close(audit_tail *tail)
{
    forget(tail);
    if (tail->lock_fd >= 0) {
        (void)close(tail->lock_fd);
        tail->lock_fd = -1;
    }
}

// Whatever the kernel's word for it: no caller should take it for a disk that was full.
static tapeout_status stop(audit_tail *tail, int error_number, tapeout_error *err)
{
    char words[96];
    atomic_store_explicit(tail->is_stopped, true, memory_order_release);
    forget(tail);
    return tp_fail(err, TAPEOUT_E_IO,
                   "audit: cannot sync %s: %s; nothing more is written there until a new start",
                   tail->directory, strerror_r(error_number, words, sizeof(words)));
}

// A folder that can't be opened is no sync that failed: nothing was tried.
static tapeout_status sync_folder(audit_tail *tail, tapeout_error *err)
{
    const int fd = open(tail->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return tp_fail_errno(err, errno, "audit: cannot open %s, to sync it", tail->directory);
    }
    // EINVAL: a file system that does not sync directories has nothing to lose by it.
    const int error_number = fsync(fd) == 0 || errno == EINVAL ? 0 : errno;
    (void)close(fd);
    return error_number == 0 ? TAPEOUT_OK : stop(tail, error_number, err);
}

// Keeps the bytes after the last good entry in a file beside, then cuts them off.
static tapeout_status cut(audit_tail *tail, tp_str rest, const audit_scan *scan, tapeout_error *err)
{
    char path[TP_MAX_PATH_BYTES];
    char hex[TP_SHA256_HEX_SIZE + 1];
    const tp_sha256 hash = tp_sha256_of(rest.data, rest.size);
    tp_sha256_hex(&hash, hex);
    (void)snprintf(tail->cut_name, sizeof(tail->cut_name), "cut-%020llu-%.16s",
                   (unsigned long long)scan->next, hex);
    TP_TRY(tp_audit_path(tail->directory, tail->cut_name, path, err));
    tp_writer *writer = NULL;
    TP_TRY(tp_writer_open(tail->alloc, path, &writer, err));
    const tapeout_status status = tp_writer_write(writer, rest.data, rest.size, err);
    if (status != TAPEOUT_OK) {
        tp_writer_abort(&writer);
        return status;
    }
    TP_TRY(tp_writer_commit(&writer, err));
    if (ftruncate(tail->fd, (off_t)scan->good_bytes) != 0) {
        return tp_fail_errno(err, errno, "audit: cannot cut what a crash left in %s",
                             tail->directory);
    }
    tail->cut_bytes = rest.size;
    return TAPEOUT_OK;
}

// Maps a segment and reads it; after `good_bytes` nothing but the last one has what a crash left.
static tapeout_status read_segment(audit_tail *tail, const audit_segments *segments, size_t index,
                                   tp_map *ret_map, audit_scan *scan, tapeout_error *err)
{
    char path[TP_MAX_PATH_BYTES];
    const bool is_last = index + 1 == segments->count;
    tp_map map;
    *scan = (audit_scan){.next = segments->firsts[index]};
    TP_TRY(tp_audit_segment_path(tail->directory, segments->firsts[index], path, err));
    TP_TRY(tp_map_open(path, &map, err));
    tp_audit_scan_text(tail->hasher, (tp_str){(const char *)map.data, map.size}, scan);
    tapeout_status status = tp_hasher_check(tail->hasher, err);
    if (status == TAPEOUT_OK && scan->good_bytes < map.size && (scan->is_damaged || !is_last)) {
        status = tp_fail_at(err, TAPEOUT_E_CORRUPT, scan->next,
                            "audit: entry %llu %s (%s, byte %zu), and not by a crash, for later "
                            "ones stand behind it; look into it with tapeout audit verify, then "
                            "move the folder away to begin a new log",
                            (unsigned long long)scan->next, scan->reason, path, scan->good_bytes);
    }
    if (status != TAPEOUT_OK) {
        tp_map_close(&map);
        return status;
    }
    *ret_map = map;
    return TAPEOUT_OK;
}

static tapeout_status open_segment(audit_tail *tail, uint64_t first, int flags, tapeout_error *err)
{
    char path[TP_MAX_PATH_BYTES];
    TP_TRY(tp_audit_segment_path(tail->directory, first, path, err));
    tail->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
    if (tail->fd < 0) {
        return tp_fail_errno(err, errno, "audit: cannot write %s", path);
    }
    return flags == 0 ? TAPEOUT_OK : sync_folder(tail, err);
}

// A last segment without a good entry follows the last entry of the one before.
static tapeout_status follow_before(audit_tail *tail, const audit_segments *segments,
                                    audit_scan *scan, tapeout_error *err)
{
    const size_t last = segments->count - 1;
    tp_map map;
    audit_scan before;
    TP_TRY(read_segment(tail, segments, last - 1, &map, &before, err));
    tp_map_close(&map);
    if (before.next != segments->firsts[last]) {
        return tp_fail_at(err, TAPEOUT_E_CORRUPT, before.next,
                          "audit: entry %llu is missing: the last segment begins with %llu",
                          (unsigned long long)before.next,
                          (unsigned long long)segments->firsts[last]);
    }
    scan->leaf = before.leaf;
    scan->has_leaf = before.has_leaf;
    return TAPEOUT_OK;
}

// The last segment: where the log ends, with what a crash left behind that put aside.
static tapeout_status scan_last(audit_tail *tail, const audit_segments *segments, audit_scan *scan,
                                tapeout_error *err)
{
    const size_t last = segments->count - 1;
    tp_map map;
    TP_TRY(read_segment(tail, segments, last, &map, scan, err));
    tapeout_status status = TAPEOUT_OK;
    // A crash may have left it without any, or with the half of its first.
    if (last > 0 && scan->good_bytes == 0) {
        status = follow_before(tail, segments, scan, err);
    }
    if (status == TAPEOUT_OK && scan->good_bytes < map.size) {
        const tp_str rest = {(const char *)map.data + scan->good_bytes,
                             map.size - scan->good_bytes};
        status = cut(tail, rest, scan, err);
    }
    tp_map_close(&map);
    return status;
}

static tapeout_status load_segments(audit_tail *tail, const audit_segments *segments,
                                    tapeout_error *err)
{
    audit_scan scan;
    TP_TRY(open_segment(tail, segments->firsts[segments->count - 1], 0, err));
    TP_TRY(scan_last(tail, segments, &scan, err));
    // What a process that was killed had written and not synced must be on disk before anything
    // follows it. The folder too: the segment may be as new.
    if (fsync(tail->fd) != 0) {
        return stop(tail, errno, err);
    }
    TP_TRY(sync_folder(tail, err));
    tail->next = scan.next;
    tail->leaf = scan.has_leaf ? scan.leaf : (tp_sha256){{0}};
    tail->size_bytes = scan.good_bytes;
    return TAPEOUT_OK;
}

static tapeout_status load(audit_tail *tail, tapeout_error *err)
{
    audit_segments segments = {.count = 0};
    forget(tail);
    TP_TRY(tp_audit_segments_list(tail->alloc, tail->directory, &segments, err));
    tapeout_status status = TAPEOUT_OK;
    if (segments.count > 0) {
        status = load_segments(tail, &segments, err);
    } else {
        tail->next = 0;
        tail->size_bytes = 0;
        tail->leaf = (tp_sha256){{0}};
        status = open_segment(tail, 0, O_CREAT | O_EXCL, err);
    }
    tp_audit_segments_free(tail->alloc, &segments);
    if (status != TAPEOUT_OK) {
        forget(tail);
    }
    return status;
}

tapeout_status tp_audit_tail_ready(audit_tail *tail, tapeout_error *err)
{
    struct stat about = {.st_size = -1};
    const bool is_known = tail->fd >= 0 && fstat(tail->fd, &about) == 0 && about.st_nlink > 0 &&
                          (uint64_t)about.st_size == tail->size_bytes;
    // Only who fills a segment begins the next, so that a segment with room is the last.
    if (!is_known || tail->size_bytes >= tail->segment_bytes) {
        TP_TRY(load(tail, err));
    }
    if (tail->size_bytes < tail->segment_bytes) {
        return TAPEOUT_OK;
    }
    forget(tail);
    tail->size_bytes = 0;
    const tapeout_status status = open_segment(tail, tail->next, O_CREAT | O_EXCL, err);
    if (status != TAPEOUT_OK) {
        forget(tail);
    }
    return status;
}

// Nobody was told that it is stored, and no other process must build on it. Should that fail too,
// the next append finds a file that is longer than it knows.
static void take_back(audit_tail *tail)
{
    if (ftruncate(tail->fd, (off_t)tail->size_bytes) != 0) {
        forget(tail);
    }
}

tapeout_status tp_audit_tail_write(audit_tail *tail, tp_str lines, tapeout_error *err)
{
    size_t done = 0;
    while (done < lines.size) {
        const ssize_t size = pwrite(tail->fd, lines.data + done, lines.size - done,
                                    (off_t)(tail->size_bytes + done));
        if (size < 0 && errno != EINTR) {
            const int error_number = errno;
            take_back(tail);
            return tp_fail_errno(err, error_number, "audit: cannot write to %s", tail->directory);
        }
        done += size > 0 ? (size_t)size : 0;
    }
    if (fsync(tail->fd) != 0) {
        const int error_number = errno;
        take_back(tail);
        return stop(tail, error_number, err);
    }
    tail->size_bytes += lines.size;
    return TAPEOUT_OK;
}
