/* SPDX-License-Identifier: MIT */
#include "io-uring.h"
#include "backends.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "io-uring.h"

/*
 * Completions by io_uring, from the features of kernel 6.1.
 *
 * A submission's user_data is the operation's address and a tag in its low bits. The kernel gets
 * one system call a turn: it submits what the last turn queued and waits for the next completions.
 * No submission is linked, none has a timeout, none runs on a thread of the kernel's.
 *
 * - A receive waits for data first (POLL_FIRST) and takes a buffer from the buffer ring only then;
 *   only where the last completion said that more is there it tries at once. A receive that found
 *   the buffer ring empty (ENOBUFS) joins the starved queue. What a harvest left starved may use
 *   more buffers, if the bound allows, and otherwise waits for buffers to come back, each of which
 *   takes one out. Buffers are lent only while a callback runs, so they come back in the same turn;
 *   nothing is tried again without a buffer, so that shortage cannot become a busy loop.
 * - A send is MSG_WAITALL: the kernel waits for room itself. A short result then means that it was
 *   cancelled or failed on the way; going on gives the error. Only where control data goes along is
 *   MSG_WAITALL left out, for it must not be sent again with the rest.
 * - A shared listener is polled and then accepted from by system call: one-shot ACCEPT leaves a
 *   connection with a ring whose thread is busy.
 * - A cancelled operation completes when both its own completion and the cancellation's are in. So
 *   the latter may still look at it: where the kernel did not find the operation, because it was
 *   on its way between two states, the cancellation is tried again.
 * - Connecting a Unix socket is a plain system call.
 * - The wake-up is an eventfd under a multishot poll; it is never read, each write triggers anew.
 * - When the kernel takes no submissions (EAGAIN, EBUSY: out of memory), operations wait in the
 *   backlog, as do the cancellations of operations that it already has.
 *
 * Everything belongs to the thread that called `open` (the kernel insists: EEXIST).
 */

enum { TAG_OP = 0, TAG_CANCEL = 1, TAG_WAKE = 2, TAG_MASK = 7 };

/* loop_op.flags; loop_op.step counts cancellations that did not find the operation. */
enum {
        OP_POLL_FIRST = 1,   /* the last try gave EAGAIN: wait for readiness before the next */
        OP_STARVED = 2,      /* in the starved queue */
        OP_BACKLOG = 4,      /* in the backlog: to be submitted or, if SUBMITTED, to be cancelled */
        OP_SUBMITTED = 8,    /* the kernel has it */
        OP_CANCEL_SENT = 16, /* the kernel has its cancellation, too */
        OP_ENDED = 32,       /* its result is in; the cancellation's is not */
};

enum {
        RING_COMPLETIONS_MAX = 4096, /* 64 KiB */
        CANCEL_TRIES_MAX = 100,
        REFUSED_WAIT_USEC = 1000, /* when the kernel takes no submissions; not measured */
        SEND_BYTES_MAX = 1 << 30, /* of one submission; the kernel takes 31 bits of length */
};

struct op_queue {
        struct loop_op *first, **last;
        unsigned count;
};

struct uring {
        struct ring ring;
        int wake_fd;
        bool wake_armed;
        uint32_t lent;           /* buffers that callbacks have */
        struct op_queue starved; /* receives without a buffer */
        struct op_queue backlog;
        struct msghdr *messages; /* for each slot of the submission queue; read at submission */
};

static void queue_init(struct op_queue *q) {
        *q = (struct op_queue){ .last = &q->first };
}

static void queue_append(struct op_queue *q, struct loop_op *op) {
        op->next = NULL;
        *q->last = op;
        q->last = &op->next;
        q->count++;
}

static struct loop_op *queue_take(struct op_queue *q) {
        struct loop_op *op = q->first;

        if (!op)
                return NULL;
        q->first = op->next;
        if (!q->first)
                q->last = &q->first;
        q->count--;
        return op;
}

/* Both queues are short, and seldom in use at all. */
static void queue_remove(struct op_queue *q, struct loop_op *op) {
        for (struct loop_op **at = &q->first; *at; at = &(*at)->next) {
                if (*at != op)
                        continue;
                *at = op->next;
                if (!*at)
                        q->last = at;
                q->count--;
                return;
        }
        assert(!"operation is in the queue that its flags name");
}

static int op_fd(const struct loop_op *op) {
        return op->socket ? op->socket->fd : op->poll.fd;
}

/* ---- submissions ---- */

static void prepare_receive(struct loop_op *op, struct io_uring_sqe *sqe) {
        struct loop_socket *socket = op->socket;

        if (op->kind == LOOP_RECV) {
                io_uring_prep_recv(sqe, socket->fd, NULL, 0, 0);
                sqe->flags |= IOSQE_BUFFER_SELECT;
                sqe->buf_group = RING_BUFFER_GROUP;
        } else if (op->kind == LOOP_RECV_INTO) {
                io_uring_prep_recv(sqe, socket->fd, op->recv.data, op->recv.size, 0);
        } else {
                io_uring_prep_recvmsg(sqe, socket->fd, op->message.message, MSG_CMSG_CLOEXEC);
        }
        /* `ready`: the last receive left something behind */
        if (!socket->ready || (op->flags & OP_POLL_FIRST))
                sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
}

static void prepare_send(struct uring *u, struct loop_op *op, struct io_uring_sqe *sqe) {
        unsigned flags = MSG_NOSIGNAL | MSG_WAITALL | (op->send.more ? MSG_MORE : 0);

        if (op->send.count == 1) {
                size_t bytes = MIN(op->send.iov->iov_len, (size_t)SEND_BYTES_MAX);
                io_uring_prep_send(sqe, op->socket->fd, op->send.iov->iov_base, bytes, (int)flags);
        } else {
                struct msghdr *message = &u->messages[ring_slot(&u->ring, sqe)];
                *message = (struct msghdr){ .msg_iov = op->send.iov, .msg_iovlen = op->send.count };
                io_uring_prep_sendmsg(sqe, op->socket->fd, message, flags);
        }
        if (op->flags & OP_POLL_FIRST)
                sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
}

static void prepare_send_message(struct uring *u, struct loop_op *op, struct io_uring_sqe *sqe) {
        struct msghdr *message = &u->messages[ring_slot(&u->ring, sqe)];
        unsigned flags = MSG_NOSIGNAL;

        *message = *op->message.message;
        if (op->message.taken > 0) {
                message->msg_control = NULL;
                message->msg_controllen = 0;
        }
        if (message->msg_controllen == 0)
                flags |= MSG_WAITALL;
        io_uring_prep_sendmsg(sqe, op->socket->fd, message, flags);
        if (op->flags & OP_POLL_FIRST)
                sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
}

/* Queue the operation's submission, or the operation itself where there is no room for it. */
static void op_submit(struct uring *u, struct loop_op *op) {
        struct io_uring_sqe *sqe = ring_sqe(&u->ring);

        if (unlikely(!sqe)) {
                op->flags |= OP_BACKLOG;
                queue_append(&u->backlog, op);
                return;
        }
        switch (op->kind) {
        case LOOP_RECV:
        case LOOP_RECV_INTO:
        case LOOP_RECV_MESSAGE: prepare_receive(op, sqe); break;
        case LOOP_SEND: prepare_send(u, op, sqe); break;
        case LOOP_SEND_MESSAGE: prepare_send_message(u, op, sqe); break;
        case LOOP_CONNECT:
                io_uring_prep_connect(sqe, op->socket->fd, op->connect.address, op->connect.size);
                break;
        case LOOP_WAIT:
        case LOOP_POLL:
        case LOOP_LISTEN: io_uring_prep_poll_add(sqe, op_fd(op), op->poll.events); break;
        default: assert(!"a kind of operation that a backend sees");
        }
        sqe->user_data = (uintptr_t)op | TAG_OP;
        op->flags = (uint8_t)((op->flags & ~OP_POLL_FIRST) | OP_SUBMITTED);
}

static void op_submit_cancel(struct uring *u, struct loop_op *op) {
        struct io_uring_sqe *sqe = ring_sqe(&u->ring);

        if (unlikely(!sqe)) {
                op->flags |= OP_BACKLOG;
                queue_append(&u->backlog, op);
                return;
        }
        io_uring_prep_cancel64(sqe, (uintptr_t)op | TAG_OP, 0);
        sqe->user_data = (uintptr_t)op | TAG_CANCEL;
        op->flags |= OP_CANCEL_SENT;
}

static void backlog_submit(struct uring *u) {
        for (unsigned n = u->backlog.count; n > 0; n--) {
                struct loop_op *op = queue_take(&u->backlog);
                op->flags &= (uint8_t)~OP_BACKLOG;
                if (op->flags & OP_SUBMITTED)
                        op_submit_cancel(u, op);
                else
                        op_submit(u, op);
        }
}

static void wake_arm(struct uring *u) {
        struct io_uring_sqe *sqe = ring_sqe(&u->ring);

        if (!sqe)
                return; /* the next turn tries again */
        io_uring_prep_poll_multishot(sqe, u->wake_fd, POLLIN);
        sqe->user_data = TAG_WAKE;
        u->wake_armed = true;
}

/* ---- lent buffers ---- */

/* Give the kernel the buffers that nobody has had yet. */
static void buffers_lend_new(struct loop *loop) {
        struct uring *u = loop->backend_data;
        struct loop_buffers *b = &loop->buffers;

        while (b->free_count > 0) {
                uint32_t id = b->free_ids[--b->free_count];
                ring_buffer_add(&u->ring, id, loop_buffer_data(b, id), b->buffer_bytes);
        }
}

static void buffer_return(struct loop *loop, uint32_t id) {
        struct uring *u = loop->backend_data;

        ring_buffer_add(&u->ring, id, loop_buffer_data(&loop->buffers, id),
                        loop->buffers.buffer_bytes);
        u->lent--;
}

static void starved_submit_one(struct uring *u) {
        struct loop_op *op = queue_take(&u->starved);

        op->flags &= (uint8_t)~OP_STARVED;
        op_submit(u, op);
}

static void uring_buffer_free(struct loop *loop, uint32_t id) {
        struct uring *u = loop->backend_data;

        buffer_return(loop, id);
        if (u->starved.count > 0)
                starved_submit_one(u);
}

/*
 * At the end of a harvest: as many of the starved as there are buffers try again. Those buffers are
 * really there: a completion that took one stands before the ENOBUFS of the operation that did not
 * get it, so it is counted in `lent` already.
 */
static void starved_submit(struct loop *loop) {
        struct uring *u = loop->backend_data;

        if (likely(u->starved.count == 0))
                return;
        while (loop->buffers.count - u->lent < u->starved.count &&
               loop_buffers_grow(&loop->buffers) >= 0)
                buffers_lend_new(loop);
        for (uint32_t n = MIN(loop->buffers.count - u->lent, u->starved.count); n > 0; n--)
                starved_submit_one(u);
}

/* ---- completions ---- */

static void op_end(struct loop *loop, struct loop_op *op, int result) {
        if (op->flags & OP_CANCEL_SENT) {
                op->flags |= OP_ENDED;
                op->result = result;
                return;
        }
        if (op->flags & OP_BACKLOG) {
                /* its cancellation, which has become needless */
                struct uring *u = loop->backend_data;
                queue_remove(&u->backlog, op);
        }
        loop_complete(loop, op, result);
}

/* What is to be tried again; not if somebody wants it to end. */
static void op_again(struct loop *loop, struct loop_op *op) {
        if (op->state == LOOP_OP_CANCELING)
                op_end(loop, op, -ECANCELED);
        else
                op_submit(loop->backend_data, op);
}

static void receive_done(struct loop *loop, struct loop_op *op, const struct io_uring_cqe *cqe) {
        struct uring *u = loop->backend_data;

        op->socket->ready = cqe->res > 0 && (cqe->flags & IORING_CQE_F_SOCK_NONEMPTY);
        if (cqe->flags & IORING_CQE_F_BUFFER) {
                uint32_t id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
                assert(op->kind == LOOP_RECV && id < loop->buffers.count);
                u->lent++;
                if (cqe->res > 0) {
                        op->recv.id = id;
                        op->recv.data = loop_buffer_data(&loop->buffers, id);
                } else {
                        buffer_return(loop, id); /* some kernels take one for an error as well */
                }
        }
        if (cqe->res != -ENOBUFS || op->kind != LOOP_RECV) {
                op_end(loop, op, cqe->res);
        } else if (op->state == LOOP_OP_CANCELING) {
                op_end(loop, op, -ECANCELED);
        } else {
                counter_add(&loop->counters.starved, 1);
                op->flags |= OP_STARVED;
                queue_append(&u->starved, op);
        }
}

/* Step over what was taken, and over empty parts. Gives how many parts are left. */
static size_t parts_advance(struct iovec **iov, size_t count, size_t taken) {
        while (count > 0 && taken >= (*iov)->iov_len) {
                taken -= (*iov)->iov_len;
                (*iov)++;
                count--;
        }
        if (count > 0) {
                (*iov)->iov_base = (char *)(*iov)->iov_base + taken;
                (*iov)->iov_len -= taken;
        }
        return count;
}

/* Count `taken` bytes more. Gives whether all have gone. */
static bool send_advance(struct loop_op *op, size_t taken) {
        if (op->kind == LOOP_SEND) {
                op->send.taken += taken;
                op->send.count = (uint32_t)parts_advance(&op->send.iov, op->send.count, taken);
                return op->send.count == 0;
        }
        struct msghdr *message = op->message.message;
        op->message.taken += taken;
        message->msg_iovlen = parts_advance(&message->msg_iov, message->msg_iovlen, taken);
        return message->msg_iovlen == 0;
}

static void send_done(struct loop *loop, struct loop_op *op, int result) {
        if (result < 0)
                op_end(loop, op, result);
        else if (send_advance(op, (size_t)result))
                op_end(loop, op, 0);
        else if (result == 0)
                op_end(loop, op, -EIO); /* neither progress nor a reason; do not ask for ever */
        else
                op_again(loop, op);
}

static void op_done(struct loop *loop, struct loop_op *op, const struct io_uring_cqe *cqe) {
        op->flags &= (uint8_t)~OP_SUBMITTED;
        /* older kernels let it through for descriptors with O_NONBLOCK */
        if (unlikely(cqe->res == -EAGAIN || cqe->res == -EINTR) && op->kind != LOOP_CONNECT) {
                op->flags |= OP_POLL_FIRST;
                op_again(loop, op);
                return;
        }
        switch (op->kind) {
        case LOOP_RECV:
        case LOOP_RECV_INTO:
        case LOOP_RECV_MESSAGE: receive_done(loop, op, cqe); break;
        case LOOP_SEND:
        case LOOP_SEND_MESSAGE: send_done(loop, op, cqe->res); break;
        default: op_end(loop, op, cqe->res);
        }
}

static void cancel_done(struct loop *loop, struct loop_op *op, int result) {
        op->flags &= (uint8_t)~OP_CANCEL_SENT;
        if (op->flags & OP_ENDED)
                loop_complete(loop, op, op->result);
        else if (result == -ENOENT && op->step++ < CANCEL_TRIES_MAX)
                op_submit_cancel(loop->backend_data, op);
}

static void completion_take(struct loop *loop, const struct io_uring_cqe *cqe) {
        struct uring *u = loop->backend_data;
        struct loop_op *op = (struct loop_op *)(uintptr_t)(cqe->user_data & ~(uint64_t)TAG_MASK);

        switch (cqe->user_data & TAG_MASK) {
        case TAG_OP: op_done(loop, op, cqe); break;
        case TAG_CANCEL: cancel_done(loop, op, cqe->res); break;
        default: u->wake_armed = cqe->flags & IORING_CQE_F_MORE;
        }
}

static void harvest(struct loop *loop) {
        struct uring *u = loop->backend_data;
        struct io_uring *uring = &u->ring.uring;
        struct io_uring_cqe *cqe;
        unsigned head, taken = 0;

        io_uring_for_each_cqe(uring, head, cqe) {
                if (taken == LOOP_EVENTS_MAX)
                        break;
                completion_take(loop, cqe);
                taken++;
        }
        io_uring_cq_advance(uring, taken);
        starved_submit(loop);
}

/* ---- the table ---- */

static int uring_wait(struct loop *loop, uint64_t deadline_usec) {
        struct uring *u = loop->backend_data;
        uint64_t timeout_usec = deadline_usec;

        if (unlikely(u->backlog.count > 0))
                backlog_submit(u);
        if (unlikely(!u->wake_armed))
                wake_arm(u);
        if (deadline_usec != 0 && deadline_usec != USEC_INFINITY) {
                uint64_t now_usec = clock_monotonic_usec();
                timeout_usec = deadline_usec > now_usec ? deadline_usec - now_usec : 0;
        }
        int n = ring_enter(&u->ring, timeout_usec > 0, timeout_usec);
        if (unlikely(n == -EAGAIN || n == -EBUSY || n == -ENOMEM)) {
                /* nothing was taken: what completes meanwhile may make room */
                n = ring_pause(&u->ring, MIN(timeout_usec, (uint64_t)REFUSED_WAIT_USEC));
        }
        /* a completion that the kernel had to drop (EBADR) means an operation that never ends */
        if (unlikely(n < 0 && n != -ETIME && n != -EINTR && n != -EAGAIN && n != -EBUSY))
                return n;
        harvest(loop);
        return 0;
}

/*
 * A Unix socket connects at once or not at all. With its listener's queue full there is nothing to
 * poll for, and the ring would hand the connect to a thread of the kernel's, to no avail.
 */
static int connect_unix(const struct loop_op *op) {
        return connect(op->socket->fd, op->connect.address, op->connect.size) < 0 ? -errno : 0;
}

static void uring_submit(struct loop *loop, struct loop_op *op) {
        if (op->kind == LOOP_CONNECT && op->connect.address->sa_family == AF_UNIX)
                loop_complete(loop, op, connect_unix(op));
        else
                op_submit(loop->backend_data, op);
}

static void uring_cancel(struct loop *loop, struct loop_op *op) {
        struct uring *u = loop->backend_data;

        if (op->flags & OP_STARVED) {
                queue_remove(&u->starved, op);
                loop_complete(loop, op, -ECANCELED);
        } else if (op->flags & OP_BACKLOG) {
                queue_remove(&u->backlog, op);
                loop_complete(loop, op, -ECANCELED);
        } else {
                op_submit_cancel(u, op);
        }
}

static void uring_close(struct loop *loop, struct loop_socket *socket) {
        socket->fd = fd_close(socket->fd);
}

static void uring_unlisten(struct loop *loop, struct loop_listener *listener) {
        /* a one-shot poll leaves nothing behind */
}

static void uring_wake(struct loop *loop) {
        struct uring *u = loop->backend_data;

        /* cannot fail: the counter would have to run over, which 2^64 wakes take */
        (void)eventfd_write(u->wake_fd, 1);
}

static void uring_finish(struct loop *loop) {
        struct uring *u = loop->backend_data;

        if (!u)
                return;
        assert(u->lent == 0 && u->starved.count == 0 && u->backlog.count == 0);
        ring_close(&u->ring);
        fd_close(u->wake_fd);
        free(u->messages);
        free(u);
        loop->backend_data = NULL;
}

/*
 * How many completions have room until they are harvested: two a socket, two a submission at least.
 * Past the end of the queue the kernel keeps completions in memory of its own and loses none, so a
 * server that allows very many sockets need not pay for them in advance: 4,000 busy connections
 * cost the same CPU with 512 entries as with 8,192.
 */
static unsigned completions_count(const struct loop_options *options, unsigned entries) {
        unsigned wanted = MIN(options->sockets_max, RING_COMPLETIONS_MAX / 2U) * 2;
        unsigned count = 2 * entries;

        while (count < wanted)
                count *= 2;
        return count;
}

static int uring_open(struct loop *loop, const struct loop_options *options) {
        unsigned entries = options->ring_entries;
        const char *step;

        if (loop->buffers.count_max > RING_BUFFERS_MAX)
                return -EINVAL;
        struct uring *u = calloc(1, sizeof(*u));
        if (!u)
                return -ENOMEM;
        queue_init(&u->starved);
        queue_init(&u->backlog);
        u->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        int r = u->wake_fd < 0 ? -errno
                               : ring_open(&u->ring, entries, completions_count(options, entries),
                                           loop->buffers.count_max, &step);
        if (r < 0) {
                fd_close(u->wake_fd);
                free(u);
                return r;
        }
        loop->backend_data = u;
        u->messages = malloc(u->ring.uring.sq.ring_entries * sizeof(*u->messages));
        if (!u->messages) {
                uring_finish(loop);
                return -ENOMEM;
        }
        buffers_lend_new(loop);
        wake_arm(u);
        return 0;
}

const struct loop_backend io_uring_backend = {
        .name = "io_uring",
        .check = ring_check,
        .open = uring_open,
        .finish = uring_finish,
        .wait = uring_wait,
        .submit = uring_submit,
        .cancel = uring_cancel,
        .close = uring_close,
        .unlisten = uring_unlisten,
        .buffer_free = uring_buffer_free,
        .wake = uring_wake,
        .accept = kernel_accept,
        .send_now = kernel_send_now,
        .send_file = kernel_send_file,
        .shutdown = kernel_shutdown,
        .unsent = kernel_unsent,
        .now = kernel_now,
};
