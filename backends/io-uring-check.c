/* SPDX-License-Identifier: MIT */
#include "io-uring.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/fd.h"

/*
 * Whether io_uring can be had here and now: not by version numbers, which say little about patched
 * kernels and nothing about seccomp filters, but by doing in small what io-uring.c does in earnest.
 * Setting up may be allowed where entering is not, and registering may be forbidden by itself; so
 * all three are tried. What does not work is named, with the cure, for the person who wonders why
 * the program runs on epoll.
 */

enum { CHECK_ENTRIES = 8, CHECK_BUFFER_BYTES = 64, CHECK_WAIT_USEC = 1000000 };
enum { DATA_RECV = 1, DATA_CANCELED, DATA_CANCEL, DATA_POLL, DATA_NOP };

struct check {
        struct ring ring;
        int sockets[2], event_fd;
        char buffer[CHECK_BUFFER_BYTES];
};

/* As ring_enter(); a signal, or a kernel short of memory for a moment, is no reason to give up. */
static int check_enter(struct check *c, unsigned wait, uint64_t timeout_usec) {
        int r = -EINTR;

        for (int tries = 0; tries < 10; tries++) {
                r = ring_enter(&c->ring, wait, timeout_usec);
                if (r != -EINTR && r != -EAGAIN && r != -EBUSY)
                        break;
        }
        return r;
}

/* Wait for one completion, which must be that of `data` (-EBADMSG). */
static int check_expect(struct check *c, uint64_t data, int *ret_result, unsigned *ret_flags) {
        struct io_uring *uring = &c->ring.uring;
        struct io_uring_cqe *cqe = NULL;
        unsigned head;

        if (io_uring_cq_ready(uring) == 0) {
                int r = check_enter(c, 1, CHECK_WAIT_USEC);
                if (r < 0)
                        return r;
        }
        io_uring_for_each_cqe(uring, head, cqe) {
                break;
        }
        if (!cqe || cqe->user_data != data)
                return -EBADMSG;
        *ret_result = cqe->res;
        *ret_flags = cqe->flags;
        io_uring_cq_advance(uring, 1);
        return 0;
}

static void check_submit_recv(struct check *c, uint64_t data) {
        struct io_uring_sqe *sqe = ring_sqe(&c->ring);

        assert(sqe); /* the queue holds more than all checks submit at once */
        io_uring_prep_recv(sqe, c->sockets[0], NULL, 0, 0);
        sqe->flags |= IOSQE_BUFFER_SELECT;
        sqe->buf_group = RING_BUFFER_GROUP;
        sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
        sqe->user_data = data;
}

/* A receive that waits for data first and takes its buffer from the ring. */
static int check_recv(struct check *c) {
        int result;
        unsigned flags;

        ring_buffer_add(&c->ring, 1, c->buffer, sizeof(c->buffer));
        check_submit_recv(c, DATA_RECV);
        int r = check_enter(c, 0, 0);
        if (r < 0)
                return r;
        if (io_uring_cq_ready(&c->ring.uring) > 0)
                return -EBADMSG;
        if (send(c->sockets[1], "x", 1, MSG_NOSIGNAL) != 1)
                return -errno;
        r = check_expect(c, DATA_RECV, &result, &flags);
        if (r < 0)
                return r;
        return result == 1 && c->buffer[0] == 'x' && (flags & IORING_CQE_F_BUFFER) &&
                               flags >> IORING_CQE_BUFFER_SHIFT == 1
                       ? 0
                       : -EBADMSG;
}

/* Both the receive and its cancellation complete. Their order is nobody's promise. */
static int check_cancel(struct check *c) {
        int result;
        unsigned flags, seen = 0;

        ring_buffer_add(&c->ring, 1, c->buffer, sizeof(c->buffer));
        check_submit_recv(c, DATA_CANCELED);
        struct io_uring_sqe *sqe = ring_sqe(&c->ring);
        assert(sqe);
        io_uring_prep_cancel64(sqe, DATA_CANCELED, 0);
        sqe->user_data = DATA_CANCEL;
        for (int i = 0; i < 2; i++) {
                int r = check_expect(c, DATA_CANCELED, &result, &flags);
                if (r == 0) {
                        seen += result == -ECANCELED;
                        continue;
                }
                if (r == -EBADMSG)
                        r = check_expect(c, DATA_CANCEL, &result, &flags);
                if (r < 0)
                        return r;
                seen += result == 0 ? 2 : 0;
        }
        return seen == 3 ? 0 : -EBADMSG;
}

/* A poll that goes on after its first completion, and triggers without the eventfd being read. */
static int check_poll(struct check *c) {
        struct io_uring_sqe *sqe = ring_sqe(&c->ring);
        int result;
        unsigned flags;

        assert(sqe);
        io_uring_prep_poll_multishot(sqe, c->event_fd, POLLIN);
        sqe->user_data = DATA_POLL;
        for (int i = 0; i < 2; i++) {
                if (eventfd_write(c->event_fd, 1) < 0)
                        return -errno;
                int r = check_expect(c, DATA_POLL, &result, &flags);
                if (r < 0)
                        return r;
                if (result != POLLIN || !(flags & IORING_CQE_F_MORE))
                        return -EBADMSG;
        }
        return 0;
}

/* The restrictions hold: what is harmless but not on the list is refused. */
static int check_restricted(struct check *c) {
        struct io_uring_sqe *sqe = ring_sqe(&c->ring);
        int result;
        unsigned flags;

        assert(sqe);
        io_uring_prep_nop(sqe);
        sqe->user_data = DATA_NOP;
        int r = check_expect(c, DATA_NOP, &result, &flags);
        return r < 0 ? r : result == -EACCES ? 0 : -EBADMSG;
}

static int check_timeout(struct check *c) {
        int r = check_enter(c, 1, 1);

        return r == -ETIME ? 0 : r < 0 ? r : -EBADMSG;
}

static const struct {
        const char *what;
        int (*run)(struct check *c);
} check_steps[] = {
        { "receiving into a ring of buffers", check_recv },
        { "cancelling a receive", check_cancel },
        { "polling an eventfd", check_poll },
        { "restricting the ring", check_restricted },
        { "waiting with a timeout", check_timeout },
};

/* ---- the reason, for a person ---- */

/* `kernel.io_uring_disabled`; 0 where it cannot be known. */
static int check_sysctl(void) {
        _cleanup_(fd_closep)
        int fd = open("/proc/sys/kernel/io_uring_disabled", O_RDONLY | O_CLOEXEC | O_NOCTTY);
        char digit = '0';

        if (fd < 0 || read(fd, &digit, 1) != 1)
                return 0;
        return digit - '0';
}

static void explain_forbidden(char reason[static LOOP_REASON_BYTES], const char *step, int error) {
        int disabled = check_sysctl();

        if (disabled > 0 && !strcmp(step, "io_uring_setup"))
                snprintf(
                        reason, LOOP_REASON_BYTES,
                        "%s: %s; kernel.io_uring_disabled is %d: set it to 0, or use Backend=epoll",
                        step, strerrordesc_np(-error), disabled);
        else
                snprintf(reason, LOOP_REASON_BYTES,
                         "%s: %s; allow the io_uring system calls (%s) or use Backend=epoll", step,
                         strerrordesc_np(-error),
                         error == -ENOSYS ? "a seccomp filter hides them, or the kernel has none"
                                          : "a seccomp filter, or kernel.io_uring_disabled");
}

static void explain_memory(char reason[static LOOP_REASON_BYTES], const char *step, int error) {
        struct rlimit limit = { .rlim_cur = RLIM_INFINITY };

        (void)getrlimit(RLIMIT_MEMLOCK, &limit); /* cannot fail for this one */
        if (limit.rlim_cur == RLIM_INFINITY)
                snprintf(reason, LOOP_REASON_BYTES, "%s: %s; not enough memory for a ring", step,
                         strerrordesc_np(-error));
        else
                snprintf(reason, LOOP_REASON_BYTES,
                         "%s: %s; not enough locked memory (RLIMIT_MEMLOCK is %llu KiB: raise "
                         "LimitMEMLOCK=) or use Backend=epoll",
                         step, strerrordesc_np(-error), (unsigned long long)limit.rlim_cur / 1024);
}

/* Says why in `reason` and gives `error` back. */
static int explain(char reason[static LOOP_REASON_BYTES], const char *step, int error) {
        struct utsname system;

        switch (error) {
        case -EPERM:
        case -EACCES:
        case -ENOSYS: explain_forbidden(reason, step, error); break;
        case -ENOMEM: explain_memory(reason, step, error); break;
        case -EMFILE:
        case -ENFILE:
                snprintf(reason, LOOP_REASON_BYTES, "%s: %s; raise LimitNOFILE=", step,
                         strerrordesc_np(-error));
                break;
        default:
                snprintf(reason, LOOP_REASON_BYTES,
                         "kernel %s lacks what io_uring is used for (%s: %s): it needs 6.1, or use "
                         "Backend=epoll",
                         uname(&system) < 0 ? "here" : system.release, step,
                         error == -EBADMSG ? "behaves differently" : strerrordesc_np(-error));
        }
        return error;
}

static int check_open(struct check *c, const char **ret_step) {
        *ret_step = "socketpair";
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, c->sockets) < 0)
                return -errno;
        *ret_step = "eventfd";
        c->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (c->event_fd < 0)
                return -errno;
        return ring_open(&c->ring, CHECK_ENTRIES, 2 * CHECK_ENTRIES, 1, ret_step);
}

static void check_close(struct check *c) {
        ring_close(&c->ring);
        fd_close(c->event_fd);
        fd_close(c->sockets[0]);
        fd_close(c->sockets[1]);
}

/*
 * The operations need no probe of their own: they are all older than the flags that ring_open()
 * asks for (SINGLE_ISSUER and DEFER_TASKRUN), and those are refused by kernels that lack them.
 */
int ring_check(char reason[static LOOP_REASON_BYTES]) {
        struct check c = { .ring.uring.ring_fd = -1, .sockets = { -1, -1 }, .event_fd = -1 };
        const char *step;
        int r = check_open(&c, &step);

        for (size_t i = 0; r >= 0 && i < ELEMENTS(check_steps); i++) {
                step = check_steps[i].what;
                r = check_steps[i].run(&c);
                if (r == -EPERM || r == -EACCES || r == -ENOSYS)
                        step = "io_uring_enter";
        }
        check_close(&c);
        if (r < 0)
                return explain(reason, step, r);
        reason[0] = '\0';
        return 0;
}
