// SPDX-License-Identifier: Apache-2.0
//
// The process_* metrics that every Prometheus client library exports, by their usual names, so that
// existing dashboards and alerts find them. From getrusage and Linux's /proc; a system without the
// latter exports those that it can tell.
#include "monitor/tp_monitor.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

static void append(tp_buffer *text, const char *name, const char *kind, const char *help,
                   double value)
{
    tp_buffer_printf(text, "# HELP process_%s %s\n# TYPE process_%s %s\nprocess_%s %.17g\n", name,
                     help, name, kind, name, value);
}

// Virtual and resident pages of /proc/self/statm.
static bool read_pages(uint64_t *ret_virtual, uint64_t *ret_resident)
{
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL) {
        return false;
    }
    char line[128];
    const bool has_line = fgets(line, sizeof(line), file) != NULL;
    (void)fclose(file);
    if (!has_line) {
        return false;
    }
    const tp_str text = tp_str_from(line);
    size_t first = 0;
    while (first < text.size && text.data[first] != ' ') {
        first++;
    }
    size_t second = first < text.size ? first + 1 : first;
    const size_t begin = second;
    while (second < text.size && text.data[second] != ' ') {
        second++;
    }
    return tp_str_to_uint64((tp_str){text.data, first}, ret_virtual) &&
           tp_str_to_uint64((tp_str){text.data + begin, second - begin}, ret_resident);
}

static uint64_t count_entries(const char *path)
{
    DIR *directory = opendir(path);
    if (directory == NULL) {
        return 0;
    }
    uint64_t count = 0;
    for (const struct dirent *entry = readdir(directory); entry != NULL;
         entry = readdir(directory)) {
        count += entry->d_name[0] != '.';
    }
    (void)closedir(directory);
    return count;
}

void tp_monitor_write_process(tp_buffer *ret_text)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        const double seconds = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
        append(ret_text, "cpu_seconds_total", "counter", "User and system CPU time in seconds.",
               seconds);
    }
    uint64_t virtual_pages = 0;
    uint64_t resident_pages = 0;
    if (read_pages(&virtual_pages, &resident_pages)) {
        const double page = (double)sysconf(_SC_PAGESIZE);
        append(ret_text, "virtual_memory_bytes", "gauge", "Virtual memory in bytes.",
               (double)virtual_pages * page);
        append(ret_text, "resident_memory_bytes", "gauge", "Resident memory in bytes.",
               (double)resident_pages * page);
        append(ret_text, "open_fds", "gauge", "Open file descriptors.",
               (double)count_entries("/proc/self/fd"));
        append(ret_text, "threads", "gauge", "Threads of the process.",
               (double)count_entries("/proc/self/task"));
    }
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
        append(ret_text, "max_fds", "gauge", "Most file descriptors that may be open.",
               (double)limit.rlim_cur);
    }
}
