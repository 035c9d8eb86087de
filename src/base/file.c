// SPDX-License-Identifier: Apache-2.0
//
// Reading files and handling paths on POSIX: read-only mappings, small files read whole, folders.
// Writing is in writer.c.
#include "base/tp_file.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

// Not blocking, so that a FIFO is refused instead of waited for.
static tapeout_status open_regular(const char *path, int *ret_fd, struct stat *ret_stat,
                                   tapeout_error *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return tp_fail_errno(err, errno, "%s: cannot open", path);
    }
    tapeout_status status = TAPEOUT_OK;
    if (fstat(fd, ret_stat) != 0) {
        status = tp_fail_errno(err, errno, "%s: cannot examine", path);
    } else if (!S_ISREG(ret_stat->st_mode)) {
        status = tp_fail(err, TAPEOUT_E_INVALID, "%s: is %s, expected a regular file", path,
                         S_ISDIR(ret_stat->st_mode) ? "a directory" : "a device or pipe");
    }
    if (status != TAPEOUT_OK) {
        (void)close(fd);
        return status;
    }
    *ret_fd = fd;
    return TAPEOUT_OK;
}

tapeout_status tp_map_open(const char *path, tp_map *ret_map, tapeout_error *err)
{
    static const uint8_t nothing[1];
    int fd = -1;
    struct stat info;
    TP_TRY(open_regular(path, &fd, &info, err));
    if ((uint64_t)info.st_size > SIZE_MAX) {
        (void)close(fd);
        return tp_fail(err, TAPEOUT_E_LIMIT, "%s: too large to map on this machine", path);
    }
    const size_t size = (size_t)info.st_size;
    const uint8_t *data = nothing;
    if (size > 0) {
        void *mapped = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (mapped == MAP_FAILED) {
            const int error_number = errno;
            (void)close(fd);
            return tp_fail_errno(err, error_number, "%s: cannot map %zu bytes", path, size);
        }
        data = mapped;
    }
    *ret_map = (tp_map){.data = data, .size = size, .fd = fd};
    return TAPEOUT_OK;
}

void tp_map_close(tp_map *map)
{
    if (map->data != NULL && map->size > 0) {
        (void)munmap((void *)(uintptr_t)map->data, map->size);
    }
    if (map->data != NULL && map->fd >= 0) {
        (void)close(map->fd);
    }
    *map = (tp_map){.fd = -1};
}

static tapeout_status read_whole(int fd, uint8_t *to, size_t size, tapeout_error *err)
{
    for (size_t at = 0; at < size;) {
        const ssize_t got = pread(fd, to + at, size - at, (off_t)at);
        if (got == 0) {
            return tp_fail(err, TAPEOUT_E_CORRUPT, "the file became shorter while it was read");
        }
        if (got < 0 && errno != EINTR) {
            return tp_fail_errno(err, errno, "cannot read");
        }
        at += got > 0 ? (size_t)got : 0;
    }
    return TAPEOUT_OK;
}

tapeout_status tp_map_take(tp_map *map, tapeout_error *err)
{
    if (map->size == 0) {
        return TAPEOUT_OK;
    }
    void *own = mmap(NULL, map->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (own == MAP_FAILED) {
        return tp_fail_nomem(err);
    }
    const tapeout_status status = read_whole(map->fd, own, map->size, err);
    if (status != TAPEOUT_OK || mprotect(own, map->size, PROT_READ) != 0) {
        (void)munmap(own, map->size);
        return status == TAPEOUT_OK ? tp_fail_nomem(err) : status;
    }
    (void)munmap((void *)(uintptr_t)map->data, map->size);
    map->data = own;
    return TAPEOUT_OK;
}

// Advice: nothing depends on whether the kernel takes it.
void tp_map_advise_sequential(const tp_map *map)
{
    if (map->size > 0) {
        (void)madvise((void *)(uintptr_t)map->data, map->size, MADV_SEQUENTIAL);
    }
}

void tp_map_release(const tp_map *map, size_t offset, size_t size)
{
    if (offset >= map->size) {
        return;
    }
    size = size > map->size - offset ? map->size - offset : size;
    // Whole pages inside the range, since a neighbour may still be reading the others.
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t start = (offset + page - 1) / page * page;
    const size_t end = offset + size == map->size ? map->size : (offset + size) / page * page;
    if (start < end) {
        (void)madvise((void *)(uintptr_t)(map->data + start), end - start, MADV_DONTNEED);
    }
}

// -- reading whole -------------------------------------------------------------------------------

typedef struct growing {
    const tapeout_allocator *alloc;
    char *data;
    size_t size;
    size_t capacity;
} growing;

// Reads until the end of the file or until max_size + 1 bytes are there.
static tapeout_status read_all(int fd, const char *path, size_t max_size, growing *text,
                               tapeout_error *err)
{
    for (;;) {
        if (text->size == text->capacity) {
            const size_t wanted = text->capacity > SIZE_MAX / 2 ? SIZE_MAX : text->capacity * 2;
            const size_t capacity = wanted > max_size ? max_size + 1 : wanted;
            char *data = tp_resize_array(text->alloc, text->data, text->capacity, capacity, 1);
            if (data == NULL) {
                return tp_fail_nomem(err);
            }
            text->data = data;
            text->capacity = capacity;
        }
        const ssize_t got = read(fd, text->data + text->size, text->capacity - text->size);
        if (got < 0 && errno != EINTR) {
            return tp_fail_errno(err, errno, "%s: cannot read", path);
        }
        text->size += got > 0 ? (size_t)got : 0;
        if (text->size > max_size) {
            return tp_fail(err, TAPEOUT_E_LIMIT, "%s: larger than the %zu bytes allowed for it",
                           path, max_size);
        }
        if (got == 0) {
            return TAPEOUT_OK;
        }
    }
}

tapeout_status tp_file_read(const tapeout_allocator *alloc, const char *path, size_t max_size,
                            tp_str *ret_data, tapeout_error *err)
{
    max_size = max_size == SIZE_MAX ? SIZE_MAX - 1 : max_size;
    const bool is_stdin = strcmp(path, "-") == 0;
    const char *name = is_stdin ? "standard input" : path;
    int fd = STDIN_FILENO;
    size_t expected = 65536;
    if (!is_stdin) {
        struct stat info;
        TP_TRY(open_regular(path, &fd, &info, err));
        // A file of the proc file system has size 0 and content all the same.
        expected =
            info.st_size > 0 && (uint64_t)info.st_size < max_size ? (size_t)info.st_size : expected;
    }
    const size_t capacity = expected < max_size ? expected + 1 : max_size + 1;
    growing text = {.alloc = alloc, .data = tp_alloc(alloc, capacity), .capacity = capacity};
    tapeout_status status =
        text.data == NULL ? tp_fail_nomem(err) : read_all(fd, name, max_size, &text, err);
    if (!is_stdin) {
        (void)close(fd);
    }
    if (status == TAPEOUT_OK && text.capacity != text.size + 1) {
        char *fitted = tp_resize_array(alloc, text.data, text.capacity, text.size + 1, 1);
        if (fitted == NULL) {
            status = tp_fail_nomem(err);
        } else {
            text.data = fitted;
            text.capacity = text.size + 1;
        }
    }
    if (status != TAPEOUT_OK) {
        tp_free(alloc, text.data, text.capacity);
        return status;
    }
    text.data[text.size] = 0;
    *ret_data = (tp_str){text.data, text.size};
    return TAPEOUT_OK;
}

// -- folders and paths ---------------------------------------------------------------------------

// Makes one folder and syncs its parent, so that what is later synced inside it is not lost with
// it. Also where it is there: whoever made it may have been killed before he synced it.
static tapeout_status make_one(const char *path, unsigned mode, tapeout_error *err)
{
    const bool is_new = mkdir(path, (mode_t)mode) == 0;
    const int error_number = errno;
    struct stat info;
    if (!is_new && (stat(path, &info) != 0 || !S_ISDIR(info.st_mode))) {
        return tp_fail_errno(err, error_number, "%s: cannot make this directory", path);
    }
    const tapeout_status status = tp_directory_sync(path, err);
    // What stands in a folder that we may not read was not made by us.
    return !is_new && status == TAPEOUT_E_DENIED ? TAPEOUT_OK : status;
}

tapeout_status tp_directory_make_mode(const char *path, unsigned mode, tapeout_error *err)
{
    char prefix[TP_MAX_PATH_BYTES];
    const size_t size = strlen(path);
    if (size == 0 || size >= sizeof(prefix)) {
        return tp_fail(err, TAPEOUT_E_INVALID, "directory: a path of %zu bytes; at most %zu", size,
                       sizeof(prefix) - 1);
    }
    memcpy(prefix, path, size + 1);
    for (size_t i = 1; i < size; i++) {
        if (prefix[i] == '/' && prefix[i - 1] != '/') {
            prefix[i] = 0;
            TP_TRY(make_one(prefix, 0777, err));
            prefix[i] = '/';
        }
    }
    return make_one(prefix, mode, err);
}

tapeout_status tp_directory_make(const char *path, tapeout_error *err)
{
    return tp_directory_make_mode(path, 0777, err);
}

tapeout_status tp_fail_sync(tapeout_error *err, int error_number, const char *path)
{
    char words[96];
    return tp_fail(err, TAPEOUT_E_IO, "%s: cannot sync: %s", path,
                   strerror_r(error_number, words, sizeof(words)));
}

tapeout_status tp_directory_sync(const char *path, tapeout_error *err)
{
    char directory[TP_MAX_PATH_BYTES];
    const char *slash = strrchr(path, '/');
    const size_t size = slash == NULL ? 1 : slash == path ? 1 : (size_t)(slash - path);
    if (size >= sizeof(directory)) {
        return tp_fail(err, TAPEOUT_E_INVALID, "%s: the path is too long", path);
    }
    memcpy(directory, slash == NULL ? "." : path, size);
    directory[size] = 0;
    const int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return tp_fail_errno(err, errno, "%s: cannot open, to sync it", directory);
    }
    // EINVAL: a file system that does not sync directories has nothing to lose by it.
    const int error_number = fsync(fd) == 0 || errno == EINVAL ? 0 : errno;
    (void)close(fd);
    return error_number == 0 ? TAPEOUT_OK : tp_fail_sync(err, error_number, directory);
}

bool tp_path_is_directory(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

tapeout_status tp_file_rename(const char *path, const char *fresh, tapeout_error *err)
{
    if (rename(path, fresh) != 0) {
        return tp_fail_errno(err, errno, "%s: cannot be put there", fresh);
    }
    return tp_directory_sync(fresh, err);
}

tapeout_status tp_file_sync(const char *path, tapeout_error *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return tp_fail_errno(err, errno, "%s: cannot open, to sync it", path);
    }
    const int error_number = fsync(fd) == 0 ? 0 : errno;
    (void)close(fd);
    return error_number == 0 ? tp_directory_sync(path, err) : tp_fail_sync(err, error_number, path);
}

tapeout_status tp_file_remove(const char *path, tapeout_error *err)
{
    if (unlink(path) != 0 && errno != ENOENT) {
        return tp_fail_errno(err, errno, "%s: cannot be removed", path);
    }
    return TAPEOUT_OK;
}

bool tp_path_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

char *tp_path_join(const tapeout_allocator *alloc, const char *directory, const char *name)
{
    size_t directory_size = strlen(directory);
    const size_t name_size = strlen(name);
    if (directory_size == 0 || name[0] == '/') {
        return tp_strndup(alloc, name, name_size);
    }
    directory_size -= directory[directory_size - 1] == '/' ? 1 : 0;
    char *path = tp_alloc(alloc, directory_size + 1 + name_size + 1);
    if (path != NULL) {
        memcpy(path, directory, directory_size);
        path[directory_size] = '/';
        memcpy(path + directory_size + 1, name, name_size + 1);
    }
    return path;
}

char *tp_path_directory(const tapeout_allocator *alloc, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL) {
        return tp_strndup(alloc, ".", 1);
    }
    return tp_strndup(alloc, path, slash == path ? 1 : (size_t)(slash - path));
}
