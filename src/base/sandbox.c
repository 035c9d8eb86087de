// SPDX-License-Identifier: Apache-2.0
//
// A child for one piece of work. It is forked, gives up every descriptor but a pipe, bounds its
// memory, time and files, makes its threads, locks itself up, and only then looks at foreign bytes.
// What it has to say goes through the pipe in frames: how far it is, and at the end its status, its
// sentence and its reply. The parent believes none of that: sizes are bounded, sentences cleaned.
//
// The child is a copy of the parent's memory, so it must be given nothing to send it with: it has
// no socket, no file of the parent's, and can make none. It never returns from here.
#include "base/sandbox_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_clock.h"
#include "base/tp_cursor.h"
#include "base/tp_error.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PIPE_FD = 3, CALL_CLOSE_RANGE = 436, LOOK_MS = 100, FRAME_HEAD = 5, DESCRIPTORS = 256 };

// A frame: kind, size as 32 bits little-endian, and so many bytes.
typedef enum frame_kind { FRAME_PROGRESS = 'p', FRAME_RESULT = 'r' } frame_kind;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { BOUNDS_MEMORY = 0 }; // sanitizers reserve terabytes of addresses
#else
enum { BOUNDS_MEMORY = 1 };
#endif

tp_sandbox_offer tp_sandbox_probe(void)
{
    return (tp_sandbox_offer){.has_seccomp = tp_seccomp_is_offered(),
                              .landlock_abi = tp_landlock_abi()};
}

tapeout_status tp_sandbox_airgap(bool connects_unix, tapeout_error *err)
{
    // Threads that there are already keep what they may; the filter holds for them as well.
    (void)tp_landlock_no_connect();
    return tp_seccomp_airgap(connects_unix, err);
}

// -- the child -----------------------------------------------------------------------------------
static void send_all(const char *data, size_t size)
{
    while (size > 0) {
        const ssize_t done = write(PIPE_FD, data, size);
        if (done < 0 && errno != EINTR) {
            _exit(1); // nobody listens any more
        }
        if (done > 0) {
            data += done;
            size -= (size_t)done;
        }
    }
}

static void send_frame(frame_kind kind, tp_str body)
{
    char head[FRAME_HEAD] = {(char)kind};
    for (int i = 0; i < 4; i++) {
        head[1 + i] = (char)(body.size >> (8 * i) & 255);
    }
    send_all(head, sizeof(head));
    send_all(body.data, body.size);
}

static void on_progress(void *user, const char *phase, double fraction)
{
    (void)user;
    char text[64];
    const int size = snprintf(text, sizeof(text), "%.6f %s", fraction, phase);
    if (size > 0 && (size_t)size < sizeof(text)) {
        send_frame(FRAME_PROGRESS, (tp_str){text, (size_t)size});
    }
}

static void send_result(const tapeout_allocator *alloc, tapeout_status status,
                        const tapeout_error *error, const tp_buffer *reply)
{
    tp_buffer frame;
    tp_buffer_init(&frame, alloc, TP_MAX_SANDBOX_REPLY_BYTES + sizeof(*error));
    const size_t size = status == TAPEOUT_OK ? 0 : strlen(error->message);
    tp_buffer_append_u32le(&frame, (uint32_t)status);
    tp_buffer_append_u64le(&frame, error->offset);
    tp_buffer_append_u32le(&frame, (uint32_t)size);
    tp_buffer_append(&frame, error->message, size);
    tp_buffer_append_str(&frame, tp_buffer_view(reply));
    if (frame.status != TAPEOUT_OK) {
        _exit(1);
    }
    send_frame(FRAME_RESULT, tp_buffer_view(&frame));
}

static bool set_limit(int what, uint64_t value)
{
    const struct rlimit limit = {.rlim_cur = value, .rlim_max = value};
    return setrlimit((__rlimit_resource_t)what, &limit) == 0;
}

// Pages of the process's address space so far, which the limit counts too.
static uint64_t address_space(void)
{
    char text[64] = "";
    const int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    const ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0) {
        (void)close(fd);
    }
    size_t digits = 0;
    while (size > 0 && digits < (size_t)size && text[digits] >= '0' && text[digits] <= '9') {
        digits++;
    }
    uint64_t pages = 0;
    (void)tp_str_to_uint64((tp_str){text, digits}, &pages);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static bool set_limits(const tp_sandbox_rules *rules)
{
    const uint64_t memory = address_space() + rules->memory_bytes;
    return set_limit(RLIMIT_CORE, 0) && set_limit(RLIMIT_FSIZE, rules->file_bytes) &&
           set_limit(RLIMIT_CPU, rules->cpu_s) && set_limit(RLIMIT_NOFILE, DESCRIPTORS) &&
           (!BOUNDS_MEMORY || rules->memory_bytes == 0 || set_limit(RLIMIT_AS, memory));
}

// Nothing of the parent's stays open but the end of the pipe; the usual three lead nowhere.
static bool drop_descriptors(int pipe_fd)
{
    const int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    bool is_good = nowhere >= 0;
    for (int fd = 0; is_good && fd < PIPE_FD; fd++) {
        is_good = dup2(nowhere, fd) == fd;
    }
    is_good = is_good && dup2(pipe_fd, PIPE_FD) == PIPE_FD;
    if (!is_good || syscall(CALL_CLOSE_RANGE, PIPE_FD + 1, ~0u, 0) == 0) {
        return is_good;
    }
    const long most = sysconf(_SC_OPEN_MAX);
    for (int fd = PIPE_FD + 1; fd < most; fd++) {
        (void)close(fd); // most of them are not open
    }
    return true;
}

static void own_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGCHLD};
    sigset_t none;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        (void)signal(numbers[i], SIG_DFL);
    }
    (void)sigemptyset(&none);
    (void)pthread_sigmask(SIG_SETMASK, &none, NULL);
}

// Threads come after Landlock, which they inherit, and before seccomp, which lets none be made.
static tapeout_status lock_up(const tp_sandbox_rules *rules, uint32_t thread_count, tp_env *env,
                              tapeout_error *err)
{
    bool opens = false;
    for (int i = 0; i < TP_SANDBOX_PATHS; i++) {
        opens = opens || rules->readable[i] != NULL;
    }
    if (!set_limits(rules)) {
        return tp_fail_errno(err, errno, "the sandbox's limits cannot be set");
    }
    TP_TRY(tp_landlock_files(rules, err));
    TP_TRY(tp_pool_new(env->alloc, thread_count, &env->pool, err));
    return tp_seccomp_work(opens, rules->writable != NULL, err);
}

typedef struct child_work {
    const tp_sandbox_rules *rules;
    tp_sandbox_fn fn;
    void *user;
    size_t max_reply_bytes;
} child_work;

static _Noreturn void run_child(const tp_env *parent, const child_work *work, int pipe_fd)
{
    tapeout_error error = {0};
    tp_env env = {.alloc = parent->alloc, .progress = on_progress};
    tp_buffer reply;
    own_signals();
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || prctl(PR_SET_DUMPABLE, 0) != 0 ||
        !drop_descriptors(pipe_fd)) {
        _exit(1);
    }
    tp_buffer_init(&reply, env.alloc, work->max_reply_bytes);
    tapeout_status status =
        lock_up(work->rules, (uint32_t)tp_pool_worker_count(parent->pool), &env, &error);
    if (status == TAPEOUT_OK) {
        status = work->fn(&env, work->user, &reply, &error);
    }
    if (status == TAPEOUT_OK) {
        status = tp_buffer_check(&reply, "reply", &error);
    }
    send_result(env.alloc, status, &error, &reply);
    _exit(0);
}

// -- the parent ----------------------------------------------------------------------------------
typedef struct watch {
    const tp_env *env;
    const tp_sandbox_rules *rules;
    pid_t pid;
    int fd;
    uint64_t deadline_ns;
    tp_buffer received;
    bool has_result;
    bool is_killed; // by us
} watch;

static void kill_child(watch *self)
{
    self->is_killed = true;
    (void)kill(self->pid, SIGKILL); // it may have ended by itself
}

static void tell_progress(const watch *self, tp_str text)
{
    char phase[64];
    size_t space = 0;
    while (space < text.size && text.data[space] != ' ') {
        space++;
    }
    // "0.123456 words": six digits behind the point, as on_progress writes them.
    uint64_t millionths = 0;
    if (space < 9 && space >= 8 && text.size - space < sizeof(phase) &&
        tp_str_to_uint64((tp_str){text.data + 2, space - 2}, &millionths)) {
        (void)snprintf(phase, sizeof(phase), "%.*s", (int)(text.size - space - 1),
                       text.data + space + 1);
        const double whole = text.data[0] == '1' ? 1 : 0;
        tp_env_progress(self->env, phase, whole + (double)millionths * 1e-6);
    }
}

// Takes whole frames off the front; a result is the last and stays. False for what is no frame.
static bool take_frames(watch *self)
{
    tp_buffer *received = &self->received;
    while (received->size >= FRAME_HEAD) {
        const unsigned char *head = (const unsigned char *)received->data;
        const uint32_t size =
            head[1] | (uint32_t)head[2] << 8 | (uint32_t)head[3] << 16 | (uint32_t)head[4] << 24;
        const bool is_result = head[0] == FRAME_RESULT;
        if ((!is_result && (head[0] != FRAME_PROGRESS || size > 64)) ||
            size > TP_MAX_SANDBOX_REPLY_BYTES + sizeof(tapeout_error)) {
            return false;
        }
        if (received->size - FRAME_HEAD < size) {
            return true;
        }
        if (is_result) {
            self->has_result = received->size - FRAME_HEAD == size;
            return self->has_result;
        }
        tell_progress(self, (tp_str){received->data + FRAME_HEAD, size});
        received->size -= FRAME_HEAD + size;
        memmove(received->data, received->data + FRAME_HEAD + size, received->size);
    }
    return true;
}

// Reads until the child has said all, until it is silent for ever, or until its time is over.
static tapeout_status listen_to(watch *self, tapeout_error *err)
{
    char bytes[65536];
    while (!self->has_result) {
        struct pollfd place = {.fd = self->fd, .events = POLLIN};
        TP_TRY(tp_env_check(self->env, err));
        if (tp_clock_monotonic_ns() > self->deadline_ns) {
            return tp_fail(err, TAPEOUT_E_TIMEOUT,
                           "the work took more than the %u seconds that it may take in its sandbox",
                           self->rules->wall_s);
        }
        if (poll(&place, 1, LOOK_MS) <= 0) {
            continue;
        }
        const ssize_t size = read(self->fd, bytes, sizeof(bytes));
        if (size == 0) {
            return TAPEOUT_OK;
        }
        if (size > 0) {
            tp_buffer_append(&self->received, bytes, (size_t)size);
            TP_TRY(tp_buffer_check(&self->received, "what the sandbox says", err));
            if (!take_frames(self)) {
                return tp_fail(err, TAPEOUT_E_CORRUPT, "the sandbox said what makes no sense");
            }
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status explain_end(const watch *self, int state, tapeout_error *err)
{
    if (!WIFSIGNALED(state)) {
        return tp_fail(err, TAPEOUT_E_INTERNAL, "the sandbox ended with %d and no answer",
                       WEXITSTATUS(state));
    }
    switch (WTERMSIG(state)) {
    case SIGSYS:
        return tp_fail(err, TAPEOUT_E_DENIED,
                       "the work asked the system for what its sandbox does not allow and was "
                       "ended; the file may be an attack");
    case SIGXCPU:
    case SIGKILL: // the hard limit of processor time; or the system was out of memory
        return tp_fail(err, TAPEOUT_E_TIMEOUT,
                       "the work was ended by the system: more than %u seconds of processor time, "
                       "or no memory left",
                       self->rules->cpu_s);
    case SIGXFSZ:
        return tp_fail(err, TAPEOUT_E_LIMIT, "the work wrote a file of more than %llu bytes",
                       (unsigned long long)self->rules->file_bytes);
    default:
        return tp_fail(err, TAPEOUT_E_CORRUPT,
                       "the work crashed in its sandbox (signal %d); the file is damaged or an "
                       "attack",
                       WTERMSIG(state));
    }
}

// The status, sentence and reply of the result.
static tapeout_status read_result(const watch *self, tp_buffer *ret_reply, tapeout_error *err)
{
    tp_cursor cursor;
    tp_cursor_init(&cursor, self->received.data + FRAME_HEAD, self->received.size - FRAME_HEAD);
    const uint32_t status = tp_cursor_u32(&cursor);
    const uint64_t offset = tp_cursor_u64(&cursor);
    const uint32_t size = tp_cursor_u32(&cursor);
    const tp_str message = tp_cursor_bytes(&cursor, size);
    if (cursor.failed || size >= TAPEOUT_ERROR_MESSAGE_SIZE) {
        return tp_fail(err, TAPEOUT_E_CORRUPT, "the sandbox said what makes no sense");
    }
    if (status != TAPEOUT_OK) {
        // A number that is no status has a name all the same: that of a fault of ours.
        const bool is_known = strcmp(tapeout_status_name((tapeout_status)status),
                                     tapeout_status_name(TAPEOUT_E_INTERNAL)) != 0;
        return tp_fail_at(err, is_known ? (tapeout_status)status : TAPEOUT_E_INTERNAL, offset,
                          "%.*s", (int)size, message.data);
    }
    tp_buffer_append_str(ret_reply, tp_cursor_bytes(&cursor, tp_cursor_left(&cursor)));
    return tp_buffer_check(ret_reply, "reply of the sandbox", err);
}

static tapeout_status settle(watch *self, tapeout_status heard, tp_buffer *ret_reply,
                             tapeout_error *err)
{
    int state = 0;
    if (heard != TAPEOUT_OK) {
        kill_child(self);
    }
    while (waitpid(self->pid, &state, 0) < 0 && errno == EINTR) {
    }
    if (heard != TAPEOUT_OK) {
        return heard;
    }
    return self->has_result ? read_result(self, ret_reply, err) : explain_end(self, state, err);
}

tapeout_status tp_sandbox_run(const tp_env *env, const tp_sandbox_rules *rules, tp_sandbox_fn fn,
                              void *user, tp_buffer *ret_reply, tapeout_error *err)
{
    int ends[2];
    if (!tp_seccomp_is_offered()) {
        return tp_fail(err, TAPEOUT_E_UNAVAILABLE, "the kernel has no seccomp filters");
    }
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return tp_fail_errno(err, errno, "no pipe for a sandbox");
    }
    const child_work work = {rules, fn, user, ret_reply->max_size};
    const pid_t pid = fork();
    if (pid == 0) {
        run_child(env, &work, ends[1]);
    }
    const int fork_code = errno;
    (void)close(ends[1]);
    if (pid < 0) {
        (void)close(ends[0]);
        return tp_fail_errno(err, fork_code, "no process for a sandbox");
    }
    watch self = {.env = env,
                  .rules = rules,
                  .pid = pid,
                  .fd = ends[0],
                  .deadline_ns = tp_clock_monotonic_ns() + rules->wall_s * UINT64_C(1000000000)};
    tp_buffer_init(&self.received, env->alloc,
                   TP_MAX_SANDBOX_REPLY_BYTES + sizeof(tapeout_error) + sizeof(char[65536]));
    const tapeout_status heard = listen_to(&self, err);
    const tapeout_status status = settle(&self, heard, ret_reply, err);
    tp_buffer_deinit(&self.received);
    (void)close(ends[0]);
    return status;
}
