// SPDX-License-Identifier: Apache-2.0
//
// Which system calls there are, by seccomp. The list for work is short and closed: what is not on
// it ends the process. The one for a server without a network is open: everything is allowed but
// the ways to somebody else.
//
// A filter sees the numbers that a call is given, never what a pointer leads to, so an address
// can't be judged. Sockets can: by the family that they are made of, which is a number. After the
// server has bound, no socket is made but Unix ones; what it has then are listeners and what they
// accept. These could be disconnected and connected elsewhere, so connect is gone as well, and with
// it the one send that connects (MSG_FASTOPEN). A send with an address is refused where the filter
// can see it; hidden in a message it has no socket left that would take it.
#include "base/sandbox_priv.h"

#include "base/tp_error.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

bool tp_seccomp_is_offered(void)
{
    const unsigned action = SECCOMP_RET_KILL_PROCESS;
    return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

// Puts the filter in force for all threads.
static tapeout_status load(scmp_filter_ctx filter, bool is_built, tapeout_error *err)
{
    const bool is_loaded = is_built && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
                           seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1) == 0 &&
                           seccomp_load(filter) == 0;
    seccomp_release(filter);
    return is_loaded ? TAPEOUT_OK
                     : tp_fail(err, TAPEOUT_E_UNAVAILABLE,
                               "the kernel takes no seccomp filter, so nothing can be locked up");
}

static bool add_all(scmp_filter_ctx filter, uint32_t action, const int *calls, size_t count)
{
    bool is_good = filter != NULL;
    for (size_t i = 0; is_good && i < count; i++) {
        const int code = seccomp_rule_add(filter, action, calls[i], 0);
        is_good = code == 0 || code == -EDOM; // a call that this architecture lacks
    }
    return is_good;
}

// -- work on foreign bytes -----------------------------------------------------------------------
// Reading and writing what is open, memory, threads that are there already, time.
static const int work_calls[] = {
    SCMP_SYS(read), SCMP_SYS(pread64), SCMP_SYS(readv), SCMP_SYS(write), SCMP_SYS(writev),
    SCMP_SYS(lseek), SCMP_SYS(close), SCMP_SYS(fstat), SCMP_SYS(mmap), SCMP_SYS(munmap),
    SCMP_SYS(mremap), SCMP_SYS(mprotect), SCMP_SYS(madvise), SCMP_SYS(brk), SCMP_SYS(futex),
    SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(restart_syscall), SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep), SCMP_SYS(sched_yield), SCMP_SYS(getrandom), SCMP_SYS(gettid),
    SCMP_SYS(getpid), SCMP_SYS(sysinfo), SCMP_SYS(fadvise64), SCMP_SYS(sched_getaffinity),
    // A thread that was made a moment ago may still be on its way into its first function, where
    // sanitizers give it a stack for signals.
    SCMP_SYS(rseq), SCMP_SYS(set_robust_list), SCMP_SYS(sigaltstack),
    // fstat by another name; the names of files that it could ask for give nothing away but sizes.
    SCMP_SYS(newfstatat), SCMP_SYS(fstatat64), SCMP_SYS(membarrier), SCMP_SYS(gettimeofday),
    SCMP_SYS(time)};

// Which files, is Landlock's to say.
static const int open_calls[] = {SCMP_SYS(openat),     SCMP_SYS(stat),       SCMP_SYS(lstat),
                                 SCMP_SYS(statx),      SCMP_SYS(access),     SCMP_SYS(faccessat),
                                 SCMP_SYS(faccessat2), SCMP_SYS(getdents64), SCMP_SYS(fcntl),
                                 SCMP_SYS(readlink)};

static const int write_calls[] = {SCMP_SYS(pwrite64), SCMP_SYS(fsync),     SCMP_SYS(fdatasync),
                                  SCMP_SYS(flock),    SCMP_SYS(ftruncate), SCMP_SYS(fchmod),
                                  SCMP_SYS(unlink),   SCMP_SYS(unlinkat),  SCMP_SYS(rename),
                                  SCMP_SYS(renameat), SCMP_SYS(renameat2)};

tapeout_status tp_seccomp_work(bool opens_files, bool writes_files, tapeout_error *err)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    bool is_built = add_all(filter, SCMP_ACT_ALLOW, work_calls, COUNT(work_calls));
    if (opens_files || writes_files) {
        is_built = is_built && add_all(filter, SCMP_ACT_ALLOW, open_calls, COUNT(open_calls));
    }
    if (writes_files) {
        is_built = is_built && add_all(filter, SCMP_ACT_ALLOW, write_calls, COUNT(write_calls));
    }
    return load(filter, is_built, err);
}

// -- a server that calls nobody ------------------------------------------------------------------
// Further ways to others, or to their descriptors.
static const int others_calls[] = {SCMP_SYS(sendmmsg),
                                   SCMP_SYS(io_uring_setup),
                                   SCMP_SYS(io_uring_enter),
                                   SCMP_SYS(io_uring_register),
                                   SCMP_SYS(ptrace),
                                   SCMP_SYS(process_vm_readv),
                                   SCMP_SYS(process_vm_writev),
                                   SCMP_SYS(bpf),
                                   SCMP_SYS(socketcall),
                                   SCMP_SYS(kexec_load)};

// pidfd_getfd, which the library of Debian 12 may not know by name; one number everywhere.
enum { CALL_PIDFD_GETFD = 438 };

static bool add_network_rules(scmp_filter_ctx filter, bool connects_unix)
{
    const uint32_t refuse = SCMP_ACT_ERRNO(EACCES);
    // The kernel ignores what stands above 32 bits of a family or of flags. Comparing all 64 for
    // "is not AF_UNIX" refuses such numbers; masked, only the bit itself counts.
    return (connects_unix || seccomp_rule_add(filter, refuse, SCMP_SYS(connect), 0) == 0) &&
           seccomp_rule_add(filter, refuse, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_NE, AF_UNIX)) ==
               0 &&
           seccomp_rule_add(filter, refuse, SCMP_SYS(sendto), 1, SCMP_A4(SCMP_CMP_NE, 0)) == 0 &&
           seccomp_rule_add(filter, refuse, SCMP_SYS(sendto), 1,
                            SCMP_A3(SCMP_CMP_MASKED_EQ, MSG_FASTOPEN, MSG_FASTOPEN)) == 0 &&
           seccomp_rule_add(filter, refuse, SCMP_SYS(sendmsg), 1,
                            SCMP_A2(SCMP_CMP_MASKED_EQ, MSG_FASTOPEN, MSG_FASTOPEN)) == 0;
}

tapeout_status tp_seccomp_airgap(bool connects_unix, tapeout_error *err)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    bool is_built = add_all(filter, SCMP_ACT_ERRNO(EACCES), others_calls, COUNT(others_calls)) &&
                    add_network_rules(filter, connects_unix);
    const int code =
        is_built ? seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), CALL_PIDFD_GETFD, 0) : -1;
    return load(filter, is_built && (code == 0 || code == -EDOM), err);
}
