// SPDX-License-Identifier: Apache-2.0
//
// See disk_shim.h. The calls themselves are made by number, so that nothing here calls itself.
#undef _FORTIFY_SOURCE
#include "disk_shim.h"

#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MAX_FILES = 256, MAX_ENTRIES = 64, MAX_OPEN = 256, PATH_SIZE = 4300, SECTOR = 512 };

// -- failing -------------------------------------------------------------------------------------
static struct {
    uint64_t count;
    uint64_t n;
    int error_number;
    bool for_ever;
} faults[DISK_CALL_COUNT];

void disk_fail(disk_call call, uint64_t n, int error_number, bool for_ever)
{
    faults[call].count = 0;
    faults[call].n = n;
    faults[call].error_number = error_number;
    faults[call].for_ever = for_ever;
}

uint64_t disk_calls(disk_call call)
{
    return faults[call].count;
}

static bool fails(disk_call call)
{
    const uint64_t number = ++faults[call].count;
    const uint64_t n = faults[call].n;
    if (n == 0 || number < n || (number > n && !faults[call].for_ever)) {
        return false;
    }
    errno = faults[call].error_number;
    return true;
}

// -- what the disk knows -------------------------------------------------------------------------
typedef struct disk_entry {
    char name[128];
    ino_t number;
    bool is_folder;
} disk_entry;

// A file or folder as it was at its last sync.
typedef struct disk_file {
    ino_t number;
    bool is_folder;
    char *data;
    size_t size;
    disk_entry entries[MAX_ENTRIES];
    size_t entry_count;
} disk_file;

static disk_plan plan;
static bool is_on;
static disk_file *files[MAX_FILES];
static size_t file_count;
static uint64_t sync_count;
static uint64_t sites[DISK_MAX_SITES];
static size_t site_count;
static char open_paths[MAX_OPEN][8]; // [fd][0] != 0: below the root
static bool is_ours(const char *path)
{
    return is_on && strncmp(path, plan.root, strlen(plan.root)) == 0;
}

static disk_file *file_of(ino_t number, bool is_folder)
{
    for (size_t i = 0; i < file_count; i++) {
        if (files[i]->number == number) {
            return files[i];
        }
    }
    ASSERT(file_count < MAX_FILES);
    disk_file *file = calloc(1, sizeof(*file));
    ASSERT(file != NULL);
    file->number = number;
    file->is_folder = is_folder;
    files[file_count++] = file;
    return file;
}

static size_t read_entries(const char *path, disk_entry *entries)
{
    size_t count = 0;
    DIR *folder = opendir(path);
    ASSERT(folder != NULL);
    for (const struct dirent *it = readdir(folder); it != NULL; it = readdir(folder)) {
        if (strcmp(it->d_name, ".") != 0 && strcmp(it->d_name, "..") != 0) {
            ASSERT(count < MAX_ENTRIES && strlen(it->d_name) < sizeof(entries[0].name));
            memcpy(entries[count].name, it->d_name, strlen(it->d_name) + 1);
            entries[count].number = it->d_ino;
            entries[count].is_folder = it->d_type == DT_DIR;
            count++;
        }
    }
    (void)closedir(folder);
    return count;
}

static char *read_data(const char *path, size_t *ret_size)
{
    struct stat about;
    const int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    ASSERT(fd >= 0 && fstat(fd, &about) == 0);
    char *data = malloc((size_t)about.st_size + 1);
    ASSERT(data != NULL);
    ASSERT_EQ_INT(read(fd, data, (size_t)about.st_size), about.st_size);
    (void)close(fd);
    *ret_size = (size_t)about.st_size;
    return data;
}

// Whether the descriptor's file lies below the root; its path.
static bool is_our_file(int fd, char ret_path[PATH_SIZE])
{
    char link_path[64];
    (void)snprintf(link_path, sizeof(link_path), "/proc/self/fd/%d", fd);
    const ssize_t size = readlink(link_path, ret_path, PATH_SIZE - 1);
    ASSERT(size > 0);
    ret_path[size] = '\0';
    return is_ours(ret_path);
}

// The file is on disk from now on as it is.
static void remember(int fd, const char *path)
{
    struct stat about;
    ASSERT_EQ_INT(fstat(fd, &about), 0);
    disk_file *file = file_of(about.st_ino, S_ISDIR(about.st_mode));
    if (file->is_folder) {
        file->entry_count = read_entries(path, file->entries);
    } else {
        free(file->data);
        file->data = read_data(path, &file->size);
    }
}

// -- the cut -------------------------------------------------------------------------------------
static void write_image_file(const char *to, const disk_file *known, const char *now)
{
    size_t size = known->size;
    char *data = known->data;
    if (now != NULL && plan.rest != DISK_REST_NOTHING && plan.rest != DISK_REST_NAMES) {
        size_t now_size = 0;
        char *now_data = read_data(now, &now_size);
        for (size_t i = 0; plan.rest == DISK_REST_HALF && i < now_size; i++) {
            const bool is_old = i < known->size && known->data[i] == now_data[i];
            if (!is_old && i / SECTOR % 2 == 1) {
                now_data[i] = 0;
            }
        }
        data = now_data;
        size = now_size;
    }
    const int fd = (int)syscall(SYS_openat, AT_FDCWD, to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ASSERT(fd >= 0);
    ASSERT_EQ_INT(syscall(SYS_write, fd, data, size), (int64_t)size);
    (void)close(fd);
}

// `now`: the folder as it is, or NULL where its name is gone.
static void write_image(ino_t number, const char *now, const char *to)
{
    disk_entry entries[MAX_ENTRIES];
    const disk_file *folder = file_of(number, true);
    size_t count = folder->entry_count;
    memcpy(entries, folder->entries, sizeof(entries));
    if (now != NULL && (plan.rest == DISK_REST_ALL || plan.rest == DISK_REST_NAMES)) {
        count = read_entries(now, entries);
    }
    ASSERT(syscall(SYS_mkdir, to, 0700) == 0 || errno == EEXIST);
    for (size_t i = 0; i < count; i++) {
        char inner_to[PATH_SIZE];
        char inner_now[PATH_SIZE];
        struct stat about;
        (void)snprintf(inner_to, sizeof(inner_to), "%.4100s/%.127s", to, entries[i].name);
        (void)snprintf(inner_now, sizeof(inner_now), "%.4100s/%.127s", now == NULL ? "" : now,
                       entries[i].name);
        const bool is_there =
            now != NULL && stat(inner_now, &about) == 0 && about.st_ino == entries[i].number;
        if (entries[i].is_folder) {
            write_image(entries[i].number, is_there ? inner_now : NULL, inner_to);
        } else {
            write_image_file(inner_to, file_of(entries[i].number, false),
                             is_there ? inner_now : NULL);
        }
    }
}

_Noreturn void disk_cut(void)
{
    struct stat about;
    ASSERT_EQ_INT(stat(plan.root, &about), 0);
    is_on = false;
    write_image(about.st_ino, plan.root, plan.image);
    _exit(DISK_CUT_STATUS);
}

void disk_begin(const disk_plan *given)
{
    plan = *given;
    is_on = true;
    sync_count = 0;
}

uint64_t disk_syncs(void)
{
    return sync_count;
}

size_t disk_sites(uint64_t ret_sites[DISK_MAX_SITES])
{
    memcpy(ret_sites, sites, sizeof(sites));
    return site_count;
}

void disk_close_all(void)
{
    for (int fd = 0; fd < MAX_OPEN; fd++) {
        if (open_paths[fd][0] != '\0') {
            open_paths[fd][0] = '\0';
            (void)syscall(SYS_close, fd);
        }
    }
}

// Who wants the sync, three calls up: a helper that syncs folders is called from many places.
static uint64_t site_of_caller(void)
{
    void *frames[6];
    const int count = backtrace(frames, 6);
    uint64_t site = 0;
    for (int i = 2; i < count && i < 5; i++) {
        site = site * 1000003 + (uint64_t)(uintptr_t)frames[i];
    }
    size_t i = 0;
    while (i < site_count && sites[i] != site) {
        i++;
    }
    if (i == site_count) {
        ASSERT(site_count < DISK_MAX_SITES);
        sites[site_count++] = site;
    }
    return site;
}

// -- the calls -----------------------------------------------------------------------------------
int fsync(int fd)
{
    if (fails(DISK_SYNC)) {
        return -1;
    }
    char path[PATH_SIZE];
    if (!is_on || !is_our_file(fd, path)) {
        return 0; // nothing here outlives the test
    }
    sync_count++;
    const uint64_t site = site_of_caller();
    if (sync_count == plan.leave_at ||
        (plan.leave_again > 0 && sync_count == plan.leave_at + plan.leave_again)) {
        plan.leave();
    }
    if (sync_count == plan.cut_at) {
        disk_cut();
    }
    if (site != plan.skipped) {
        remember(fd, path);
    }
    return 0;
}

int open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    const unsigned mode = (flags & O_CREAT) != 0 ? va_arg(args, unsigned) : 0;
    va_end(args);
    if (fails(DISK_OPEN)) {
        return -1;
    }
    const int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    if (fd >= 0 && fd < MAX_OPEN) {
        open_paths[fd][0] = is_ours(path) ? 'y' : '\0';
    }
    return fd;
}

int close(int fd)
{
    if (fd >= 0 && fd < MAX_OPEN) {
        open_paths[fd][0] = '\0';
    }
    return (int)syscall(SYS_close, fd);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    // A disk that is full takes a part first.
    if (fails(DISK_WRITE)) {
        const int error_number = errno;
        (void)syscall(SYS_pwrite64, fd, data, size / 2, offset);
        errno = error_number;
        return -1;
    }
    return syscall(SYS_pwrite64, fd, data, size, offset);
}

int ftruncate(int fd, off_t size)
{
    return fails(DISK_TRUNCATE) ? -1 : (int)syscall(SYS_ftruncate, fd, size);
}

int rename(const char *from, const char *to)
{
    return fails(DISK_RENAME) ? -1 : (int)syscall(SYS_rename, from, to);
}

int mkdir(const char *path, mode_t mode)
{
    return fails(DISK_MKDIR) ? -1 : (int)syscall(SYS_mkdir, path, mode);
}

int flock(int fd, int operation)
{
    return fails(DISK_LOCK) ? -1 : (int)syscall(SYS_flock, fd, operation);
}
