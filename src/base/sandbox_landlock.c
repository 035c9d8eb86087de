// SPDX-License-Identifier: Apache-2.0
//
// Landlock by its three system calls; the C library of Debian 12 has no functions for them, and its
// headers know less than the kernels that we may run on. So what we use is written here, and how
// much of it the running kernel understands is asked: an ABI that lacks a right must not be given
// it. ABI 1 (5.13) has files, 2 (5.19) moving between folders, 3 (6.2) truncation, 4 (6.7) TCP.
#include "base/sandbox_priv.h"

#include "base/tp_error.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// The same numbers on every architecture.
enum { CALL_CREATE = 444, CALL_ADD = 445, CALL_RESTRICT = 446, ASK_VERSION = 1, RULE_PATH = 1 };

enum {
    FS_EXECUTE = 1 << 0,
    FS_WRITE_FILE = 1 << 1,
    FS_READ_FILE = 1 << 2,
    FS_READ_DIR = 1 << 3,
    FS_REMOVE_FILE = 1 << 5,
    FS_MAKE_REG = 1 << 8,
    FS_ALL_1 = (1 << 13) - 1,
    FS_REFER = 1 << 13,
    FS_TRUNCATE = 1 << 14,
    NET_CONNECT_TCP = 1 << 1
};

// Only as much of it as the ABI knows is handed over.
typedef struct ruleset {
    uint64_t files;
    uint64_t network;
} ruleset;

typedef struct path_rule {
    uint64_t allowed;
    int32_t fd;
} __attribute__((packed)) path_rule;

uint32_t tp_landlock_abi(void)
{
    const long abi = syscall(CALL_CREATE, NULL, 0, ASK_VERSION);
    return abi > 0 ? (uint32_t)abi : 0;
}

static tapeout_status allow(int set, const char *path, uint64_t rights, tapeout_error *err)
{
    struct stat about;
    const int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0) {
        return tp_fail_errno(err, errno, "%s: cannot be opened for the sandbox", path);
    }
    // Rights over folders can't be given for a file.
    if (fstat(fd, &about) == 0 && !S_ISDIR(about.st_mode)) {
        rights &= FS_READ_FILE | FS_WRITE_FILE | FS_TRUNCATE;
    }
    const path_rule rule = {rights, fd};
    const long added = syscall(CALL_ADD, set, RULE_PATH, &rule, 0);
    const int code = errno;
    (void)close(fd);
    return added == 0 ? TAPEOUT_OK
                      : tp_fail_errno(err, code, "%s: Landlock takes no rule for it", path);
}

// Needs no rights of its own once nothing that is executed can gain any.
static bool enforce(int set)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && syscall(CALL_RESTRICT, set, 0) == 0;
}

tapeout_status tp_landlock_files(const tp_sandbox_rules *rules, tapeout_error *err)
{
    const uint32_t abi = tp_landlock_abi();
    if (abi == 0) {
        return TAPEOUT_OK;
    }
    const uint64_t refer = abi >= 2 ? FS_REFER : 0;
    const uint64_t truncate = abi >= 3 ? FS_TRUNCATE : 0;
    const ruleset all = {.files = FS_ALL_1 | refer | truncate,
                         .network = abi >= 4 ? NET_CONNECT_TCP : 0};
    const int set = (int)syscall(CALL_CREATE, &all, abi >= 4 ? sizeof(all) : sizeof(all.files), 0);
    if (set < 0) {
        return tp_fail_errno(err, errno, "Landlock makes no rules");
    }
    tapeout_status status = TAPEOUT_OK;
    for (int i = 0; status == TAPEOUT_OK && i < TP_SANDBOX_PATHS; i++) {
        if (rules->readable[i] != NULL) {
            status = allow(set, rules->readable[i], FS_READ_FILE | FS_READ_DIR, err);
        }
    }
    if (status == TAPEOUT_OK && rules->writable != NULL) {
        status = allow(set, rules->writable,
                       FS_READ_FILE | FS_READ_DIR | FS_WRITE_FILE | FS_REMOVE_FILE | FS_MAKE_REG |
                           truncate,
                       err);
    }
    if (status == TAPEOUT_OK && !enforce(set)) {
        status = tp_fail_errno(err, errno, "Landlock does not take effect");
    }
    (void)close(set);
    return status;
}

bool tp_landlock_no_connect(void)
{
    if (tp_landlock_abi() < 4) {
        return false;
    }
    const ruleset all = {.network = NET_CONNECT_TCP};
    const int set = (int)syscall(CALL_CREATE, &all, sizeof(all), 0);
    const bool is_done = set >= 0 && enforce(set);
    if (set >= 0) {
        (void)close(set);
    }
    return is_done;
}
