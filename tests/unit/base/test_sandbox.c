// SPDX-License-Identifier: Apache-2.0
//
// The sandbox: honest work comes back, hostile work is ended or refused, whatever it tries, and the
// parent says what happened. Where the kernel offers less, the cases that need it are skipped.
#include "base/tp_sandbox.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "test.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const tp_sandbox_rules closed = {
    .memory_bytes = 64 << 20, .file_bytes = 1 << 20, .cpu_s = 20, .wall_s = 20};

static void need_seccomp(void)
{
    if (!tp_sandbox_probe().has_seccomp) {
        test_skip("the kernel has no seccomp filters");
    }
}

static tapeout_status run(const tp_sandbox_rules *rules, tp_sandbox_fn fn, void *user,
                          tp_buffer *reply, tapeout_error *err)
{
    const tp_env env = tp_env_plain();
    return tp_sandbox_run(&env, rules, fn, user, reply, err);
}

// -- honest work ---------------------------------------------------------------------------------
static tapeout_status sum_task(void *user, size_t task, size_t worker, tapeout_error *err)
{
    (void)worker, (void)err;
    ((uint64_t *)user)[task] = task * task;
    return TAPEOUT_OK;
}

static tapeout_status honest(const tp_env *env, void *user, tp_buffer *reply, tapeout_error *err)
{
    uint64_t squares[100];
    tp_env_progress(env, "work", 0.25);
    TP_TRY(tp_pool_for(env->pool, 100, sum_task, squares, err));
    tp_env_progress(env, "work", 1);
    tp_buffer_printf(reply, "%s %llu", (const char *)user, (unsigned long long)squares[99]);
    return TAPEOUT_OK;
}

typedef struct heard {
    double sum;
    char phase[32];
} heard;

static void on_progress(void *user, const char *phase, double fraction)
{
    heard *self = user;
    self->sum += fraction;
    (void)snprintf(self->phase, sizeof(self->phase), "%s", phase);
}

static void test_work_comes_back(void)
{
    need_seccomp();
    tp_pool *pool = NULL;
    tp_buffer reply;
    heard told = {0};
    ASSERT_OK(tp_pool_new(tp_allocator_default(), 3, &pool, &test_err));
    // A thread that is being made holds locks of a sanitizer's, which the child would inherit.
    (void)nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    const tp_env env = {.alloc = tp_allocator_default(),
                        .pool = pool,
                        .progress = on_progress,
                        .progress_user = &told};
    tp_buffer_init(&reply, tp_allocator_default(), 100);
    ASSERT_OK(tp_sandbox_run(&env, &closed, honest, "given", &reply, &test_err));
    ASSERT_EQ_BYTES(reply.data, reply.size, "given 9801", 10);
    ASSERT_EQ_F64(told.sum, 1.25);
    ASSERT_EQ_STR(told.phase, "work");
    tp_buffer_deinit(&reply);
    tp_pool_free(pool);
}

static tapeout_status failing(const tp_env *env, void *user, tp_buffer *reply, tapeout_error *err)
{
    (void)env, (void)user, (void)reply;
    return tp_fail_at(err, TAPEOUT_E_DATA, 17, "row 17 is odd");
}

static tapeout_status lying(const tp_env *env, void *user, tp_buffer *reply, tapeout_error *err)
{
    (void)env, (void)user, (void)reply;
    (void)snprintf(err->message, sizeof(err->message), "\x1b[2Jgone");
    return (tapeout_status)4711;
}

static tapeout_status wordy(const tp_env *env, void *user, tp_buffer *reply, tapeout_error *err)
{
    (void)env, (void)user, (void)err;
    tp_buffer_append_zeros(reply, 101);
    return TAPEOUT_OK;
}

static void test_failures_come_back(void)
{
    need_seccomp();
    tp_buffer reply;
    tp_buffer_init(&reply, tp_allocator_default(), 100);
    ASSERT_FAILS(run(&closed, failing, NULL, &reply, &test_err), TAPEOUT_E_DATA, "row 17 is odd");
    ASSERT_EQ_UINT(test_err.offset, 17);
    ASSERT_FAILS(run(&closed, lying, NULL, &reply, &test_err), TAPEOUT_E_INTERNAL, "?[2Jgone");
    ASSERT_FAILS(run(&closed, wordy, NULL, &reply, &test_err), TAPEOUT_E_LIMIT, NULL);
    ASSERT_EQ_UINT(reply.size, 0);
    tp_buffer_deinit(&reply);
}

// -- hostile work --------------------------------------------------------------------------------
typedef enum attack {
    ATTACK_OPEN,
    ATTACK_SOCKET,
    ATTACK_FORK,
    ATTACK_THREAD,
    ATTACK_EXEC,
    ATTACK_KILL,
    ATTACK_PTRACE,
    ATTACK_UNLINK,
    ATTACK_MEMFD,
    ATTACK_RING,
    ATTACK_RIGHTS,
    ATTACK_COUNT
} attack;

static int thread_main(void *user)
{
    (void)user;
    return 0;
}

static tapeout_status hostile(const tp_env *env, void *user, tp_buffer *reply, tapeout_error *err)
{
    (void)env, (void)reply;
    static char stack[16384];
    char *const none[] = {NULL};
    switch (*(const attack *)user) {
    case ATTACK_OPEN:
        (void)open("/etc/passwd", O_RDONLY);
        break;
    case ATTACK_SOCKET:
        (void)socket(AF_INET, SOCK_STREAM, 0);
        break;
    case ATTACK_FORK:
        (void)fork();
        break;
    case ATTACK_THREAD:
        (void)clone(thread_main, stack + sizeof(stack),
                    CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD, NULL);
        break;
    case ATTACK_EXEC:
        (void)execve("/bin/true", none, none);
        break;
    case ATTACK_KILL:
        (void)kill(getppid(), 0);
        break;
    case ATTACK_PTRACE:
        (void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        break;
    case ATTACK_UNLINK:
        (void)unlink("/tmp/nothing");
        break;
    case ATTACK_MEMFD:
        (void)syscall(SYS_memfd_create, "x", 0);
        break;
    case ATTACK_RING:
        (void)syscall(425, 1, NULL);
        break;
    case ATTACK_RIGHTS:
        (void)syscall(SYS_setuid, 0);
        break;
    case ATTACK_COUNT:
        break;
    }
    return tp_fail(err, TAPEOUT_E_INTERNAL, "it was let through");
}

static void test_attacks_are_ended(void)
{
    need_seccomp();
    tp_buffer reply;
    tp_buffer_init(&reply, tp_allocator_default(), 100);
    for (attack kind = ATTACK_OPEN; kind < ATTACK_COUNT; kind++) {
        ASSERT_FAILS(run(&closed, hostile, &kind, &reply, &test_err), TAPEOUT_E_DENIED,
                     "may be an attack");
    }
    tp_buffer_deinit(&reply);
}

// Nothing that the parent has open is open in the child, not even what it is told to write to.
static tapeout_status write_to(const tp_env *env, void *user, tp_buffer *reply, tapeout_error *err)
{
    (void)env, (void)reply;
    const int fd = *(const int *)user;
    return write(fd, "x", 1) < 0 && errno == EBADF
               ? TAPEOUT_OK
               : tp_fail(err, TAPEOUT_E_INTERNAL, "descriptor %d is there", fd);
}

static void test_descriptors_are_gone(void)
{
    need_seccomp();
    tp_buffer reply;
    int ends[2];
    ASSERT_EQ_INT(pipe(ends), 0);
    const int high = dup2(ends[1], 200);
    tp_buffer_init(&reply, tp_allocator_default(), 100);
    ASSERT_OK(run(&closed, write_to, (void *)(uintptr_t)&high, &reply, &test_err));
    // 3 is the sandbox's own pipe, so a low one of ours would hide it.
    for (int fd = 4; fd < 20; fd++) {
        ASSERT_OK(run(&closed, write_to, &fd, &reply, &test_err));
    }
    tp_buffer_deinit(&reply);
}

typedef enum burden { BURDEN_MEMORY, BURDEN_CPU, BURDEN_SLEEP, BURDEN_CRASH, BURDEN_EXIT } burden;

static tapeout_status heavy(const tp_env *env, void *user, tp_buffer *reply, tapeout_error *err)
{
    (void)reply;
    switch (*(const burden *)user) {
    case BURDEN_MEMORY: {
        void *block = tp_alloc(env->alloc, (size_t)1 << 30);
        return block == NULL ? tp_fail_nomem(err) : TAPEOUT_OK;
    }
    case BURDEN_CPU:
        for (volatile uint64_t turns = 0;; turns = turns + 1) {
        }
    case BURDEN_SLEEP:
        (void)sleep(60);
        break;
    case BURDEN_CRASH:
        __builtin_trap();
    case BURDEN_EXIT:
        _exit(3);
    }
    return TAPEOUT_OK;
}

static void check_burden(burden kind, tp_sandbox_rules rules, tapeout_status want)
{
    tp_buffer reply;
    tp_buffer_init(&reply, tp_allocator_default(), 100);
    ASSERT_FAILS(run(&rules, heavy, &kind, &reply, &test_err), want, NULL);
    tp_buffer_deinit(&reply);
}

static void test_limits_hold(void)
{
    need_seccomp();
    tp_sandbox_rules rules = closed;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    check_burden(BURDEN_MEMORY, rules, TAPEOUT_E_NOMEM);
    check_burden(BURDEN_CRASH, rules, TAPEOUT_E_CORRUPT);
    check_burden(BURDEN_EXIT, rules, TAPEOUT_E_INTERNAL); // a sanitizer does more at the end
#endif
    rules.wall_s = 1;
    check_burden(BURDEN_SLEEP, rules, TAPEOUT_E_TIMEOUT);
    rules = closed;
    rules.cpu_s = 1;
    check_burden(BURDEN_CPU, rules, TAPEOUT_E_TIMEOUT);
}

// -- files, by Landlock --------------------------------------------------------------------------
static tapeout_status use_files(const tp_env *env, void *user, tp_buffer *reply, tapeout_error *err)
{
    const char *const *paths = user; // readable, writable folder, foreign
    tp_str text;
    char fresh[1100];
    tp_writer *writer = NULL;
    TP_TRY(tp_file_read(env->alloc, paths[0], 100, &text, err));
    tp_buffer_append_str(reply, text);
    (void)snprintf(fresh, sizeof(fresh), "%s/made", paths[1]);
    TP_TRY(tp_writer_open(env->alloc, fresh, &writer, err));
    TP_TRY(tp_writer_write(writer, "made", 4, err));
    TP_TRY(tp_writer_commit(&writer, err));
    if (open(paths[2], O_RDONLY) >= 0 || open("/etc/passwd", O_RDONLY) >= 0 ||
        open(paths[0], O_RDWR) >= 0 || open(paths[2], O_WRONLY | O_CREAT, 0666) >= 0 ||
        unlink(paths[0]) == 0 || rename(fresh, paths[2]) == 0) {
        return tp_fail(err, TAPEOUT_E_INTERNAL, "it was let through");
    }
    return TAPEOUT_OK;
}

static void test_files_are_those_named(void)
{
    need_seccomp();
    if (tp_sandbox_probe().landlock_abi == 0) {
        test_skip("the kernel has no Landlock");
    }
    char *folder = NULL;
    char source[1100];
    char foreign[1100];
    char made[1100];
    tp_buffer reply;
    FILE *file = NULL;
    (void)snprintf(source, sizeof(source), "%s/source", test_temp_dir());
    (void)snprintf(foreign, sizeof(foreign), "%s/foreign", test_temp_dir());
    for (int i = 0; i < 2; i++) {
        file = fopen(i == 0 ? source : foreign, "w");
        ASSERT(file != NULL && fputs("text", file) >= 0);
        ASSERT_EQ_INT(fclose(file), 0);
    }
    ASSERT_OK(tp_sandbox_folder_make(tp_allocator_default(), test_temp_dir(), &folder, &test_err));
    const char *paths[] = {source, folder, foreign};
    tp_sandbox_rules rules = closed;
    rules.readable[0] = source;
    rules.writable = folder;
    tp_buffer_init(&reply, tp_allocator_default(), 100);
    ASSERT_OK(run(&rules, use_files, paths, &reply, &test_err));
    ASSERT_EQ_BYTES(reply.data, reply.size, "text", 4);
    (void)snprintf(made, sizeof(made), "%s/made", folder);
    ASSERT_EQ_UINT(tp_sandbox_size_of(made), 4);
    ASSERT_EQ_UINT(tp_sandbox_size_of(foreign), 4);
    tp_sandbox_folder_remove(tp_allocator_default(), folder);
    ASSERT(!tp_path_exists(made));
    tp_buffer_deinit(&reply);
}

// -- a server that calls nobody ------------------------------------------------------------------
static void test_airgap_holds(void)
{
    need_seccomp();
    for (int i = 0; i < 2; i++) {
        tp_sandbox_tried tried[TP_SANDBOX_TRIES];
        ASSERT_OK(tp_sandbox_airgap_try(i == 1, tried, &test_err));
        for (int k = 0; k < TP_SANDBOX_TRIES; k++) {
            // With connect for Unix sockets, that of others takes Landlock to be refused.
            const bool is_open = i == 1 && strcmp(tried[k].name, "connect") == 0 &&
                                 tp_sandbox_probe().landlock_abi < 4;
            if (!tried[k].is_good && !is_open) {
                test_fail(__FILE__, __LINE__, "%s: %d", tried[k].name, tried[k].code);
            }
        }
    }
}

static void test_another_user(void)
{
    ASSERT_FAILS(tp_sandbox_become("no such user", &test_err), TAPEOUT_E_NOT_FOUND, "no such user");
    ASSERT_FAILS(tp_sandbox_become("root", &test_err), TAPEOUT_E_INVALID, "root");
    if (geteuid() != 0) {
        ASSERT_FAILS(tp_sandbox_become("daemon", &test_err), TAPEOUT_E_DENIED, "root");
        return;
    }
    ASSERT_OK(tp_sandbox_become("nobody", &test_err));
    ASSERT(geteuid() != 0 && getegid() != 0);
    ASSERT(setuid(0) != 0);
    ASSERT(access("/etc/shadow", R_OK) != 0);
    ASSERT_OK(tp_sandbox_become("nobody", &test_err));
}

TEST_MAIN(TEST(test_work_comes_back), TEST(test_failures_come_back), TEST(test_attacks_are_ended),
          TEST(test_descriptors_are_gone), TEST(test_limits_hold), TEST(test_files_are_those_named),
          TEST(test_airgap_holds), TEST(test_another_user))
