// SPDX-License-Identifier: Apache-2.0
//
// See power_picture.h.
#include "power_picture.h"

#include "base/tp_random.h"
#include "test.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_NODES = 2048, MAX_ENTRIES = 300, NAME_BYTES = 256, SECTOR = 512, PATH_SIZE = 4096 };

typedef struct entry {
    char name[NAME_BYTES];
    int node;
} entry;

// A file or folder as it was last synced. Its descriptor stays open, so that no other gets its
// number.
typedef struct node {
    dev_t device;
    ino_t number;
    int fd;
    bool is_folder;
    char *bytes;
    size_t size;
    entry *entries;
    int entry_count;
} node;

static char root[PATH_SIZE];
static node nodes[MAX_NODES]; // the first is the root
static int node_count;

static int known_node(const struct stat *info)
{
    for (int i = 0; i < node_count; i++) {
        if (nodes[i].number == info->st_ino && nodes[i].device == info->st_dev) {
            return i;
        }
    }
    return -1;
}

static int find_node(int fd)
{
    struct stat info;
    ASSERT_EQ_INT(fstat(fd, &info), 0);
    const int known = known_node(&info);
    if (known >= 0) {
        return known;
    }
    ASSERT(node_count < MAX_NODES);
    nodes[node_count] = (node){.device = info.st_dev,
                               .number = info.st_ino,
                               .fd = dup(fd),
                               .is_folder = S_ISDIR(info.st_mode)};
    ASSERT(nodes[node_count].fd >= 0);
    return node_count++;
}

static char *read_whole(const char *path, size_t *ret_size)
{
    struct stat info;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    ASSERT(fd >= 0);
    ASSERT_EQ_INT(fstat(fd, &info), 0);
    char *bytes = malloc((size_t)info.st_size + 1);
    ASSERT(bytes != NULL);
    ASSERT_EQ_INT(pread(fd, bytes, (size_t)info.st_size, 0), info.st_size);
    ASSERT_EQ_INT(close(fd), 0);
    *ret_size = (size_t)info.st_size;
    return bytes;
}

static void take_bytes(node *it)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", it->fd);
    free(it->bytes);
    it->bytes = read_whole(path, &it->size);
}

static void take_entries(node *it)
{
    const int fd = openat(it->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fdopendir(fd);
    ASSERT(folder != NULL);
    if (it->entries == NULL) {
        it->entries = calloc(MAX_ENTRIES, sizeof(entry));
        ASSERT(it->entries != NULL);
    }
    const int self = (int)(it - nodes);
    nodes[self].entry_count = 0;
    for (struct dirent *next = readdir(folder); next != NULL; next = readdir(folder)) {
        if (strcmp(next->d_name, ".") == 0 || strcmp(next->d_name, "..") == 0) {
            continue;
        }
        const int at = openat(fd, next->d_name, O_RDONLY | O_CLOEXEC);
        if (at < 0) {
            continue; // gone meanwhile
        }
        ASSERT(nodes[self].entry_count < MAX_ENTRIES && strlen(next->d_name) < NAME_BYTES);
        entry *made = &nodes[self].entries[nodes[self].entry_count++];
        (void)snprintf(made->name, sizeof(made->name), "%s", next->d_name);
        made->node = find_node(at);
        (void)close(at);
    }
    ASSERT_EQ_INT(closedir(folder), 0);
}

static void write_whole(const char *path, const char *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    ASSERT(file != NULL);
    ASSERT_EQ_UINT(fwrite(bytes == NULL ? "" : bytes, 1, size, file), size);
    ASSERT_EQ_INT(fclose(file), 0);
}

static void write_out(const node *it, const char *path)
{
    if (!it->is_folder) {
        write_whole(path, it->bytes, it->size);
        return;
    }
    ASSERT_EQ_INT(mkdir(path, 0755), 0);
    for (int i = 0; i < it->entry_count; i++) {
        char below[4096];
        ASSERT((size_t)snprintf(below, sizeof(below), "%s/%s", path, it->entries[i].name) <
               sizeof(below));
        write_out(&nodes[it->entries[i].node], below);
    }
}

// -- a torn picture ------------------------------------------------------------------------------
static uint64_t torn_seed;
static uint64_t torn_draws;

static bool draw(void)
{
    return tp_random_below(torn_seed, 7, torn_draws++, 2) == 0;
}

// Sector by sector what was synced or what was written since; beyond the synced end zeros stand for
// what did not get there, and the new length may not have either.
static void write_torn_file(const node *it, const char *now_path, const char *to)
{
    size_t now_size = 0;
    char *now = read_whole(now_path, &now_size);
    const size_t old_size = it == NULL ? 0 : it->size;
    const size_t size = draw() ? now_size : old_size;
    char *mixed = calloc(1, size + 1);
    ASSERT(mixed != NULL);
    for (size_t begin = 0; begin < size; begin += SECTOR) {
        const bool is_new = draw();
        for (size_t i = begin; i < size && i < begin + SECTOR; i++) {
            mixed[i] = is_new && i < now_size ? now[i] : i < old_size ? it->bytes[i] : 0;
        }
    }
    write_whole(to, mixed, size);
    free(mixed);
    free(now);
}

static const entry *entry_of(const node *folder, const char *name)
{
    for (int i = 0; folder != NULL && i < folder->entry_count; i++) {
        if (strcmp(folder->entries[i].name, name) == 0) {
            return &folder->entries[i];
        }
    }
    return NULL;
}

static void write_torn(const node *it, const char *now_path, const char *to);

// A name as it is now, and as it was synced: where they differ, either.
static void write_torn_entry(const node *folder, const char *name, const char *now_path,
                             const char *to)
{
    struct stat info;
    char now[PATH_SIZE];
    char below[PATH_SIZE];
    ASSERT((size_t)snprintf(now, sizeof(now), "%s/%s", now_path, name) < sizeof(now));
    ASSERT((size_t)snprintf(below, sizeof(below), "%s/%s", to, name) < sizeof(below));
    ASSERT_EQ_INT(stat(now, &info), 0);
    const entry *synced = entry_of(folder, name);
    const int known = known_node(&info);
    if ((synced != NULL && synced->node == known) || draw()) {
        write_torn(known < 0 ? NULL : &nodes[known], now, below);
    } else if (synced != NULL) {
        write_out(&nodes[synced->node], below);
    }
}

static void write_torn(const node *it, const char *now_path, const char *to)
{
    struct stat info;
    ASSERT_EQ_INT(stat(now_path, &info), 0);
    if (!S_ISDIR(info.st_mode)) {
        write_torn_file(it, now_path, to);
        return;
    }
    ASSERT_EQ_INT(mkdir(to, 0755), 0);
    DIR *folder = opendir(now_path);
    ASSERT(folder != NULL);
    for (struct dirent *next = readdir(folder); next != NULL; next = readdir(folder)) {
        if (strcmp(next->d_name, ".") != 0 && strcmp(next->d_name, "..") != 0) {
            write_torn_entry(it, next->d_name, now_path, to);
        }
    }
    ASSERT_EQ_INT(closedir(folder), 0);
    for (int i = 0; it != NULL && i < it->entry_count; i++) { // names that are gone, or not yet
        char path[PATH_SIZE];
        ASSERT((size_t)snprintf(path, sizeof(path), "%s/%s", now_path, it->entries[i].name) <
               sizeof(path));
        if (stat(path, &info) != 0 && draw()) {
            (void)snprintf(path, sizeof(path), "%s/%.255s", to, it->entries[i].name);
            write_out(&nodes[it->entries[i].node], path);
        }
    }
}

// -- the whole -----------------------------------------------------------------------------------
void power_picture_begin(const char *given)
{
    for (int i = 0; i < node_count; i++) {
        (void)close(nodes[i].fd);
        free(nodes[i].bytes);
        free(nodes[i].entries);
        nodes[i] = (node){.fd = -1};
    }
    node_count = 0;
    (void)snprintf(root, sizeof(root), "%s", given);
    const int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ASSERT_EQ_INT(find_node(fd), 0);
    (void)close(fd);
}

void power_picture_take(int fd)
{
    node *it = &nodes[find_node(fd)];
    if (it->is_folder) {
        take_entries(it);
    } else {
        take_bytes(it);
    }
}

void power_picture_write(const char *path)
{
    write_out(&nodes[0], path);
}

void power_picture_write_torn(const char *path, uint64_t seed)
{
    torn_seed = seed;
    torn_draws = 0;
    write_torn(&nodes[0], root, path);
}
