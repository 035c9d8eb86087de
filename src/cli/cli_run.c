// SPDX-License-Identifier: Apache-2.0
//
// Runs a process, reads its stdout, ends it when its time is up. No shell is involved, so that
// paths need no quoting.
#include "cli/cli_run.h"

#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static double now_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); // fails for an unknown clock alone
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static bool start(cli_run *run, int *ret_fd, pid_t *ret_pid)
{
    int ends[2];
    posix_spawn_file_actions_t actions;
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return false;
    }
    bool is_ready = posix_spawn_file_actions_init(&actions) == 0;
    is_ready = is_ready && posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO) == 0;
    // posix_spawn takes the arguments without const and does not change them.
    is_ready = is_ready && posix_spawnp(ret_pid, run->arguments[0], &actions, NULL,
                                        (char *const *)(const void *)run->arguments, environ) == 0;
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)close(ends[1]);
    if (!is_ready) {
        (void)close(ends[0]);
    }
    *ret_fd = ends[0];
    return is_ready;
}

// Until the other end closes or the time is up.
static void read_output(cli_run *run, int fd)
{
    size_t used = 0;
    const double end_s = now_s() + run->seconds_max;
    for (;;) {
        struct pollfd waits = {.fd = fd, .events = POLLIN};
        const double left_s = end_s - now_s();
        if (left_s <= 0 || poll(&waits, 1, (int)(left_s * 1000) + 1) == 0) {
            run->is_late = true;
            break;
        }
        char spill[256];
        const bool has_room = used + 1 < sizeof(run->output);
        const ssize_t got = has_room ? read(fd, run->output + used, sizeof(run->output) - 1 - used)
                                     : read(fd, spill, sizeof(spill));
        if (got <= 0) {
            break;
        }
        used += has_room ? (size_t)got : 0;
    }
    run->output[used] = '\0';
}

bool cli_run_wait(cli_run *run)
{
    int fd = -1;
    int status = 0;
    pid_t pid = 0;
    run->is_late = false;
    if (!start(run, &fd, &pid)) {
        return false;
    }
    read_output(run, fd);
    (void)close(fd);
    if (run->is_late) {
        (void)kill(pid, SIGKILL);
    }
    return waitpid(pid, &status, 0) == pid && !run->is_late && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

bool cli_folder_make(char *ret_path, size_t size)
{
    const char *parent = getenv("TMPDIR");
    const int used = snprintf(ret_path, size, "%s/tapeout-bench-XXXXXX",
                              parent == NULL || parent[0] == '\0' ? "/tmp" : parent);
    return used > 0 && (size_t)used < size && mkdtemp(ret_path) != NULL;
}

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *place)
{
    (void)about;
    (void)kind;
    (void)place;
    (void)remove(path); // what cannot be removed stays in a folder for temporary files
    return 0;
}

void cli_folder_remove(const char *path)
{
    (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
