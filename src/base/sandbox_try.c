// SPDX-License-Identifier: Apache-2.0
//
// Whether a server without a network is one, by trying: a child listens as a server does, is locked
// up as a server is, and then does what somebody would do who wants out. Nothing leaves the machine
// even where a try succeeds: all that it aims at is the child's own listener on loopback.
#include "base/sandbox_priv.h"

#include "base/tp_error.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// What a try has at hand, all made before the lock.
typedef struct gear {
    struct sockaddr_in address; // of the listener
    int listener;
    int accepted; // a connection to the listener, the server's end
    int client;   // the other end
} gear;

// errno of what was refused; 0: it was let through.
typedef int (*try_fn)(gear *self);

static int outcome(long result)
{
    const int code = errno;
    if (result < 0) {
        return code;
    }
    (void)close((int)result);
    return 0;
}

static int try_tcp(gear *self)
{
    (void)self;
    return outcome(socket(AF_INET, SOCK_STREAM, 0));
}

static int try_tcp6(gear *self)
{
    (void)self;
    return outcome(socket(AF_INET6, SOCK_STREAM, 0));
}

static int try_udp(gear *self)
{
    (void)self;
    return outcome(socket(AF_INET, SOCK_DGRAM, 0));
}

static int try_netlink(gear *self)
{
    (void)self;
    return outcome(socket(AF_NETLINK, SOCK_RAW, 0));
}

// A family with a bit above the 32 that the kernel looks at.
static int try_wide_family(gear *self)
{
    (void)self;
    return outcome(syscall(SYS_socket, (1ul << 32) | AF_INET, SOCK_STREAM, 0));
}

static int try_connect(gear *self)
{
    const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    (void)connect(self->accepted, &nobody, sizeof(nobody)); // lets go of its peer, if it may
    return connect(self->accepted, (const struct sockaddr *)&self->address,
                   sizeof(self->address)) == 0
               ? 0
               : errno;
}

static int try_send_to(gear *self)
{
    return sendto(self->client, "x", 1, MSG_NOSIGNAL, (const struct sockaddr *)&self->address,
                  sizeof(self->address)) < 0
               ? errno
               : 0;
}

static int try_fast_open(gear *self)
{
    struct iovec bytes = {.iov_base = (char[]){"x"}, .iov_len = 1};
    const struct msghdr message = {.msg_name = &self->address,
                                   .msg_namelen = sizeof(self->address),
                                   .msg_iov = &bytes,
                                   .msg_iovlen = 1};
    return sendmsg(self->accepted, &message, MSG_FASTOPEN | MSG_NOSIGNAL) < 0 ? errno : 0;
}

static int try_many(gear *self)
{
    struct mmsghdr messages[1] = {0};
    return sendmmsg(self->accepted, messages, 1, MSG_NOSIGNAL) < 0 ? errno : 0;
}

static int try_ring(gear *self)
{
    (void)self;
    unsigned char parameters[120] = {0};
    return outcome(syscall(425, 1, parameters)); // io_uring_setup
}

// -- what must go on -----------------------------------------------------------------------------
static int try_answer(gear *self)
{
    char byte = 0;
    return send(self->client, "x", 1, MSG_NOSIGNAL) == 1 &&
                   recv(self->accepted, &byte, 1, 0) == 1 &&
                   send(self->accepted, "y", 1, MSG_NOSIGNAL) == 1
               ? 0
               : errno;
}

static int try_unix(gear *self)
{
    (void)self;
    return outcome(socket(AF_UNIX, SOCK_STREAM, 0));
}

static const struct {
    const char *name;
    try_fn run;
    bool must_work;
} tries[TP_SANDBOX_TRIES] = {
    {"answer", try_answer, true},
    {"unix_socket", try_unix, true},
    {"tcp_socket", try_tcp, false},
    {"tcp6_socket", try_tcp6, false},
    {"udp_socket", try_udp, false},
    {"netlink_socket", try_netlink, false},
    {"wide_family", try_wide_family, false},
    {"send_to", try_send_to, false},
    {"fast_open", try_fast_open, false},
    {"send_many", try_many, false},
    {"io_uring", try_ring, false},
    {"connect", try_connect, false},
};

static bool prepare(gear *self)
{
    socklen_t size = sizeof(self->address);
    self->address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    self->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    self->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr *address = (struct sockaddr *)&self->address;
    if (self->listener < 0 || self->client < 0 || bind(self->listener, address, size) != 0 ||
        listen(self->listener, 2) != 0 || getsockname(self->listener, address, &size) != 0 ||
        connect(self->client, address, size) != 0) {
        return false;
    }
    self->accepted = accept4(self->listener, NULL, NULL, SOCK_CLOEXEC);
    return self->accepted >= 0;
}

static _Noreturn void run_tries(int fd, bool connects_unix)
{
    int32_t codes[TP_SANDBOX_TRIES];
    gear made;
    if (!prepare(&made) || tp_sandbox_airgap(connects_unix, NULL) != TAPEOUT_OK) {
        _exit(1);
    }
    for (int i = 0; i < TP_SANDBOX_TRIES; i++) {
        codes[i] = tries[i].run(&made);
    }
    _exit(write(fd, codes, sizeof(codes)) == (ssize_t)sizeof(codes) ? 0 : 1);
}

tapeout_status tp_sandbox_airgap_try(bool connects_unix, tp_sandbox_tried *ret_tried,
                                     tapeout_error *err)
{
    int32_t codes[TP_SANDBOX_TRIES];
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return tp_fail_errno(err, errno, "no pipe for a try");
    }
    const pid_t pid = fork();
    if (pid == 0) {
        run_tries(ends[1], connects_unix);
    }
    (void)close(ends[1]);
    const ssize_t size = pid < 0 ? -1 : read(ends[0], codes, sizeof(codes));
    (void)close(ends[0]);
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
    if (size != (ssize_t)sizeof(codes)) {
        return tp_fail(
            err, TAPEOUT_E_UNAVAILABLE,
            "the kernel locks nothing up here: it has no seccomp filters, or no loopback");
    }
    for (int i = 0; i < TP_SANDBOX_TRIES; i++) {
        ret_tried[i] = (tp_sandbox_tried){.name = tries[i].name,
                                          .must_work = tries[i].must_work,
                                          .code = codes[i],
                                          .is_good = (codes[i] == 0) == tries[i].must_work};
    }
    return TAPEOUT_OK;
}
