/* SPDX-License-Identifier: MIT */
#include "hostile.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "io-uring.h"
#include "loop/loop-backend.h"

/*
 * The same by way of io_uring, whose operations no filter of system calls sees: once on the
 * worker's own ring, as a worker that was taken over would, once on a ring made for the purpose.
 *
 * The own ring is the first thing in what the backend keeps. Its completions are taken by the
 * backend, which must not see ours: ours is given the form of one that it takes for the end of a
 * wake-up (see completion_take() in io-uring.c), and as it cannot be taken out of its place, it is
 * left where it is. On that ring a try that were let through would complete in a later turn: so it
 * is waited for, and what else comes meanwhile is left to the backend.
 */
enum {
        FTRUNCATE_OP = 55, /* IORING_OP_FTRUNCATE, younger than the headers */
        RING_WAITS = 50,
        RING_WAIT_MSEC = 10,
};
enum { DATA_EVIL = 0x6576696c, DATA_HARMLESS = 2 };

/* Prepares a submission; -errno where it cannot even be made, EINPROGRESS to submit it. */
typedef int prepare_op(struct io_uring_sqe *sqe);

/* What submissions point to must stay while the kernel may read it. */
static struct open_how how_write = { .flags = O_WRONLY | O_CREAT, .mode = 0600 };
static struct sockaddr_in loopback;
static struct sockaddr_un abstract = { .sun_family = AF_UNIX, .sun_path = "\0emberd-test" };
static struct iovec message_part = { (void *)"x", 1 };
static struct msghdr message = {
        .msg_name = &abstract,
        .msg_namelen = offsetof(struct sockaddr_un, sun_path) + 12,
        .msg_iov = &message_part,
        .msg_iovlen = 1,
};
static int used_fd = -1;

static int op_open_shadow(struct io_uring_sqe *sqe) {
        io_uring_prep_openat(sqe, AT_FDCWD, "/etc/shadow", O_RDONLY, 0);
        return 0;
}

static int op_open_usr(struct io_uring_sqe *sqe) {
        io_uring_prep_openat2(sqe, AT_FDCWD, "/usr/share/emberd/evil-ring", &how_write);
        return 0;
}

static int op_socket(struct io_uring_sqe *sqe) {
        io_uring_prep_rw(IORING_OP_SOCKET, sqe, AF_INET, NULL, IPPROTO_TCP, SOCK_STREAM);
        return 0;
}

static int op_socket_vsock(struct io_uring_sqe *sqe) {
        io_uring_prep_rw(IORING_OP_SOCKET, sqe, AF_VSOCK, NULL, 0, SOCK_STREAM);
        return 0;
}

/* The only socket to be had without one of another family. */
static int op_connect(struct io_uring_sqe *sqe) {
        loopback = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(80) };
        loopback.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        used_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (used_fd < 0)
                return -errno;
        io_uring_prep_connect(sqe, used_fd, (struct sockaddr *)&loopback, sizeof(loopback));
        return 0;
}

static int op_unlink(struct io_uring_sqe *sqe) {
        io_uring_prep_unlinkat(sqe, AT_FDCWD, "/etc/evil-victim", 0);
        return 0;
}

static int op_mkdir(struct io_uring_sqe *sqe) {
        io_uring_prep_mkdirat(sqe, AT_FDCWD, "/usr/share/emberd/evil-folder", 0700);
        return 0;
}

static int op_symlink(struct io_uring_sqe *sqe) {
        io_uring_prep_symlinkat(sqe, "/etc/shadow", AT_FDCWD, "/usr/share/emberd/evil-link");
        return 0;
}

static int op_rename(struct io_uring_sqe *sqe) {
        io_uring_prep_renameat(sqe, AT_FDCWD, "/etc/emberd/victim.conf", AT_FDCWD,
                               "/etc/emberd/victim-renamed.conf", 0);
        return 0;
}

/* NVMe passthrough and its like: on a descriptor that has none, -EOPNOTSUPP says it was let in. */
static int op_command(struct io_uring_sqe *sqe) {
        io_uring_prep_rw(IORING_OP_URING_CMD, sqe, 0, NULL, 0, 0);
        return 0;
}

static int op_send_abstract(struct io_uring_sqe *sqe) {
        used_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (used_fd < 0)
                return -errno;
        io_uring_prep_sendmsg(sqe, used_fd, &message, 0);
        return 0;
}

static int op_xattr(struct io_uring_sqe *sqe) {
        io_uring_prep_rw(IORING_OP_SETXATTR, sqe, 0, "user.evil", 1, (uintptr_t) "x");
        sqe->addr3 = (uintptr_t) "/etc/emberd/victim.conf";
        return 0;
}

/* A file that may be written at all is needed first: one in /tmp. */
static int op_truncate(struct io_uring_sqe *sqe) {
        used_fd = open("/tmp/evil-truncate", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (used_fd < 0)
                return -errno;
        unlink("/tmp/evil-truncate");
        io_uring_prep_rw(FTRUNCATE_OP, sqe, used_fd, NULL, 0, 4096);
        return 0;
}

static int op_write_etc(struct io_uring_sqe *sqe) {
        used_fd = open("/etc/emberd/victim.conf", O_WRONLY | O_APPEND | O_CLOEXEC);
        if (used_fd < 0)
                return -errno;
        io_uring_prep_write(sqe, used_fd, "#", 1, 0);
        return 0;
}

/* ---- the worker's own ring ---- */

/* The result of ours, if it is there; the completion becomes one that does nothing. */
static bool own_take(struct io_uring *uring, int *ret) {
        struct io_uring_cqe *cqe;
        unsigned head;

        io_uring_for_each_cqe(uring, head, cqe) {
                if (cqe->user_data != DATA_EVIL)
                        continue;
                *ret = cqe->res;
                cqe->user_data = DATA_HARMLESS;
                cqe->flags = IORING_CQE_F_MORE;
                return true;
        }
        return false;
}

/* Hand over what is queued; `msec` > 0: then wait for a completion. */
static int own_enter(struct ring *ring, unsigned msec) {
        struct io_uring_sq *sq = &ring->uring.sq;
        struct __kernel_timespec patience = { .tv_nsec = msec * 1000000LL };
        struct io_uring_getevents_arg arg = { .ts = (uintptr_t)&patience };

        io_uring_smp_store_release(sq->ktail, sq->sqe_tail);
        return io_uring_enter2((unsigned)ring->enter_fd,
                               sq->sqe_tail - io_uring_smp_load_acquire(sq->khead), msec > 0,
                               ring->enter_flags, (sigset_t *)&arg, sizeof(arg));
}

static int on_own_ring(struct loop *loop, prepare_op *prepare) {
        struct ring *ring = loop->backend_data; /* struct uring begins with it */
        struct io_uring_sq *sq = &ring->uring.sq;
        struct io_uring_sqe sqe = {};
        int result = -ETIMEDOUT, r;

        if (strcmp(loop->backend->name, "io_uring") != 0)
                return -ENODEV;
        if (sq->sqe_tail - io_uring_smp_load_acquire(sq->khead) == sq->ring_entries)
                return -EBUSY;
        r = prepare(&sqe);
        if (r < 0)
                return r;
        sqe.user_data = DATA_EVIL;
        sq->sqes[sq->sqe_tail++ & sq->ring_mask] = sqe;
        r = own_enter(ring, 0);
        for (int i = 0; i < RING_WAITS && r >= 0 && !own_take(&ring->uring, &result); i++)
                (void)own_enter(ring, RING_WAIT_MSEC);
        return r < 0 ? r : result;
}

/* ---- a ring of its own ---- */

static int on_new_ring(prepare_op *prepare) {
        struct __kernel_timespec patience = { .tv_sec = 2 };
        struct io_uring_cqe *cqe = NULL;
        struct io_uring ring;
        struct io_uring_sqe *sqe;
        int r = io_uring_queue_init(4, &ring, 0);

        if (r < 0)
                return r;
        sqe = io_uring_get_sqe(&ring);
        r = prepare(sqe);
        if (r == 0) {
                r = io_uring_submit(&ring);
                r = r < 0 ? r : io_uring_wait_cqe_timeout(&ring, &cqe, &patience);
                r = r < 0 ? r : cqe->res;
        }
        io_uring_queue_exit(&ring);
        return r;
}

/* What the operation gave is a descriptor, or says that it got past the permission. */
static int finish_op(prepare_op *prepare, int result) {
        if (result >= 0 && (prepare == op_open_shadow || prepare == op_open_usr ||
                            prepare == op_socket || prepare == op_socket_vsock))
                fd_close(result);
        used_fd = fd_close(used_fd);
        unlink("/usr/share/emberd/evil-ring");
        unlink("/usr/share/emberd/evil-link");
        rmdir("/usr/share/emberd/evil-folder");
        rename("/etc/emberd/victim-renamed.conf", "/etc/emberd/victim.conf");
        if (prepare == op_command && result == -EOPNOTSUPP)
                return 0;
        return MIN(result, 0);
}

#define ON_RINGS(name)                                                     \
        TRY(own_##name) {                                                  \
                return finish_op(op_##name, on_own_ring(loop, op_##name)); \
        }                                                                  \
        TRY(new_##name) {                                                  \
                return finish_op(op_##name, on_new_ring(op_##name));       \
        }
#define ROWS(text, name)                     \
        { "own-ring-" text, own_##name }, {  \
                "new-ring-" text, new_##name \
        }

ON_RINGS(open_shadow)
ON_RINGS(open_usr)
ON_RINGS(socket)
ON_RINGS(socket_vsock)
ON_RINGS(connect)
ON_RINGS(unlink)
ON_RINGS(mkdir)
ON_RINGS(symlink)
ON_RINGS(rename)
ON_RINGS(command)
ON_RINGS(send_abstract)
ON_RINGS(xattr)
ON_RINGS(truncate)
ON_RINGS(write_etc)

/* Lifting the restrictions again, which a ring that runs does not allow anybody. */
TRY(own_unrestrict) {
        struct ring *ring = loop->backend_data;
        struct io_uring_restriction all = { .opcode = IORING_RESTRICTION_SQE_OP,
                                            .sqe_op = IORING_OP_OPENAT };

        if (strcmp(loop->backend->name, "io_uring") != 0)
                return -ENODEV;
        return io_uring_register((unsigned)ring->uring.ring_fd, IORING_REGISTER_RESTRICTIONS, &all,
                                 1);
}

const struct misbehaviour hostile_rings[] = {
        ROWS("open-shadow", open_shadow),
        ROWS("open-usr", open_usr),
        ROWS("socket", socket),
        ROWS("socket-vsock", socket_vsock),
        ROWS("connect", connect),
        ROWS("unlink", unlink),
        ROWS("mkdir", mkdir),
        ROWS("symlink", symlink),
        ROWS("rename", rename),
        ROWS("command", command),
        ROWS("send-abstract", send_abstract),
        ROWS("setxattr", xattr),
        ROWS("truncate", truncate),
        ROWS("write-etc", write_etc),
        { "own-ring-unrestrict", own_unrestrict },
        {},
};
