// SPDX-License-Identifier: Apache-2.0
//
// Linux's words on memory: /proc/meminfo, and the files of the control group that the process is in
// (version 2, or the memory controller of version 1). Within a container the group's own folder is
// mounted at the root, so that is looked at where the full path is not there.
#include "base/tp_machine.h"

#include "base/limits.h"
#include "base/tp_str.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { LINE_BYTES = 512 };

// The number behind `key` at the beginning of a line ("" for the first line); false where there is
// none ("max" is none).
static bool read_number(const char *path, const char *key, uint64_t *ret_number)
{
    FILE *file = fopen(path, "re");
    char line[LINE_BYTES];
    bool found = false;
    if (file == NULL) {
        return false;
    }
    while (!found && fgets(line, sizeof(line), file) != NULL) {
        const size_t key_size = strlen(key);
        if (strncmp(line, key, key_size) == 0) {
            const char *digits = line + key_size + strspn(line + key_size, " ");
            found = tp_str_to_uint64((tp_str){digits, strspn(digits, "0123456789")}, ret_number);
        }
    }
    (void)fclose(file); // it was only read
    return found;
}

typedef struct group_files {
    const char *line;  // of /proc/self/cgroup: what stands in front of the path, after the number
    const char *root;  // where such groups are mounted
    const char *limit; // names of files
    const char *usage;
    const char *files_key; // of memory.stat: files that are kept and could go
} group_files;

static const group_files versions[] = {
    {"::", "/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file "},
    {":memory:", "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
     "total_inactive_file "},
};

// The path of the process's group, "" where there is none.
static void read_group(const char *line_key, char ret_path[TP_MAX_PATH_BYTES])
{
    FILE *file = fopen("/proc/self/cgroup", "re");
    char line[TP_MAX_PATH_BYTES];
    ret_path[0] = '\0';
    if (file == NULL) {
        return;
    }
    while (fgets(line, sizeof(line), file) != NULL) {
        const char *colon = strchr(line, ':');
        if (colon != NULL && strncmp(colon, line_key, strlen(line_key)) == 0) {
            const char *path = colon + strlen(line_key);
            (void)snprintf(ret_path, TP_MAX_PATH_BYTES, "%.*s", (int)strcspn(path, "\n"), path);
        }
    }
    (void)fclose(file);
}

static bool read_in_group(const group_files *files, const char *group, const char *name,
                          const char *key, uint64_t *ret_number)
{
    char path[TP_MAX_PATH_BYTES * 2];
    (void)snprintf(path, sizeof(path), "%s%s/%s", files->root, group, name);
    return read_number(path, key, ret_number);
}

static void narrow(const group_files *files, tp_machine_memory *memory)
{
    char group[TP_MAX_PATH_BYTES];
    uint64_t limit = 0;
    uint64_t usage = 0;
    uint64_t kept = 0;
    read_group(files->line, group);
    if (!read_in_group(files, group, files->limit, "", &limit)) {
        group[0] = '\0';
        if (!read_in_group(files, group, files->limit, "", &limit)) {
            return;
        }
    }
    (void)read_in_group(files, group, files->usage, "", &usage); // else nothing is in use
    (void)read_in_group(files, group, "memory.stat", files->files_key, &kept);
    usage -= kept < usage ? kept : usage;
    const uint64_t left = usage < limit ? limit - usage : 0;
    if (limit < memory->total_bytes) {
        memory->total_bytes = limit;
    }
    if (left < memory->available_bytes) {
        memory->available_bytes = left;
    }
}

tp_machine_memory tp_machine_memory_read(void)
{
    tp_machine_memory memory = {0};
    if (read_number("/proc/meminfo", "MemTotal:", &memory.total_bytes) &&
        read_number("/proc/meminfo", "MemAvailable:", &memory.available_bytes)) {
        memory.total_bytes *= 1024; // it speaks in KiB
        memory.available_bytes *= 1024;
    }
    for (uint32_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
        narrow(&versions[i], &memory);
    }
    return memory;
}
