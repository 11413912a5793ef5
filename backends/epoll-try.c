/* SPDX-License-Identifier: MIT */
#include "epoll.h"

#include <errno.h>
#include <poll.h>

/*
 * The non-blocking call of each operation. What it gives is the operation's result, but for EAGAIN,
 * which waits for an event, and for what is put off to the next wait: a receive for which no buffer
 * is free, and a send whose reader is so fast that it would hold up the others.
 */

/* How many calls one try of a send makes. */
enum { SENDS_PER_TRY = 4 };

/* ---- receiving ---- */

/* After a call that asked for `size` bytes and gave `n`. */
static void note_read(struct loop_socket *s, ssize_t n, size_t size, bool stream) {
        if (n == -EAGAIN)
                s->ready &= ~READY_IN;
        else if (n > 0 && (size_t)n < size && stream && !s->eof)
                s->ready &= ~READY_IN;
        else
                s->ready |= READY_IN;
}

/* The call itself; -EAGAIN leaves nothing behind. */
static ssize_t read_call(struct loop_socket *s, struct loop_op *op) {
        struct loop_buffers *buffers = &s->loop->buffers;
        bool message = op->kind == LOOP_RECV_MESSAGE;
        ssize_t n;

        if (op->kind == LOOP_RECV)
                op->recv.data = loop_buffer_data(buffers, op->recv.id);
        do
                n = message ? recvmsg(s->fd, op->message.message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC)
                            : recv(s->fd, op->recv.data, op->recv.size, MSG_DONTWAIT);
        while (n < 0 && errno == EINTR);
        n = n < 0 ? -errno : n;
        note_read(s, n, message ? 0 : op->recv.size, !message);
        return n;
}

static void try_read(struct loop *loop, struct loop_socket *s, struct loop_op *op) {
        bool lent = op->kind == LOOP_RECV;
        ssize_t n;

        s->registered |= TRIED;
        if (lent && loop_buffers_take(&loop->buffers, &op->recv.id) < 0) {
                if (!op->step++)
                        counter_add(&loop->counters.starved, 1);
                epoll_try_later(loop, op);
                return;
        }
        n = read_call(s, op);
        if (lent && n <= 0)
                loop_buffers_give(&loop->buffers, op->recv.id);
        if (n == -EAGAIN)
                epoll_watch(loop, op);
        else
                loop_complete(loop, op, (int)n);
}

/* ---- sending ---- */

/* Drop the first `n` bytes of `iov`. */
static void iov_consume(struct iovec **iov, size_t *count, size_t n) {
        while (*count > 0 && n >= (*iov)->iov_len) {
                n -= (*iov)->iov_len;
                (*iov)++, (*count)--;
        }
        if (*count > 0) {
                (*iov)->iov_base = (char *)(*iov)->iov_base + n;
                (*iov)->iov_len -= n;
        }
}

ssize_t epoll_send_now(struct loop_socket *s, const struct msghdr *message, int flags) {
        ssize_t n = kernel_send_now(s, message, flags);

        if (n == -EAGAIN)
                s->ready &= ~READY_OUT;
        return n;
}

/* One call of a send. Gives 0 when all has been taken, 1 when there is more, or -errno. */
static int send_call(struct loop_socket *s, struct loop_op *op) {
        struct msghdr message = {}, *m = &message;
        size_t count;
        ssize_t n;

        if (op->kind == LOOP_SEND) {
                m->msg_iov = op->send.iov;
                m->msg_iovlen = op->send.count;
        } else {
                m = op->message.message;
        }
        n = epoll_send_now(s, m, op->kind == LOOP_SEND && op->send.more ? MSG_MORE : 0);
        if (n < 0)
                return (int)n;
        count = m->msg_iovlen;
        iov_consume(&m->msg_iov, &count, (size_t)n);
        m->msg_iovlen = count;
        if (op->kind == LOOP_SEND) {
                op->send.iov = m->msg_iov;
                op->send.count = (uint32_t)count;
                op->send.taken += (size_t)n;
        } else {
                /* the control data has gone with the first bytes */
                m->msg_control = NULL;
                m->msg_controllen = 0;
                op->message.taken += (size_t)n;
        }
        return count > 0;
}

static void try_send(struct loop *loop, struct loop_socket *s, struct loop_op *op) {
        int r = 1;

        for (unsigned i = 0; r > 0 && i < SENDS_PER_TRY; i++)
                r = send_call(s, op);
        if (r > 0)
                epoll_try_later(loop, op);
        else if (r == -EAGAIN)
                epoll_watch(loop, op);
        else
                loop_complete(loop, op, r);
}

/* ---- connecting, waiting ---- */

/* After an event: is the connection made, refused, or (an event of before) still under way? */
static void try_connected(struct loop *loop, struct loop_socket *s, struct loop_op *op) {
        struct sockaddr_storage peer;
        socklen_t size = sizeof(peer);
        int error = 0;
        socklen_t error_size = sizeof(error);

        if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &error_size) < 0)
                error = errno;
        if (error == 0 && getpeername(s->fd, (struct sockaddr *)&peer, &size) < 0 &&
            errno == ENOTCONN)
                epoll_watch(loop, op);
        else
                loop_complete(loop, op, -error);
}

static void start_connect(struct loop *loop, struct loop_socket *s, struct loop_op *op) {
        s->registered |= TRIED; /* nothing comes before the connection is made */
        if (connect(s->fd, op->connect.address, op->connect.size) == 0)
                loop_complete(loop, op, 0);
        else if (errno == EINPROGRESS || errno == EINTR)
                epoll_watch(loop, op);
        else
                loop_complete(loop, op, -errno);
}

/*
 * A wait asks the kernel how things stand, because a caller that waits has made calls of its own
 * that `ready` knows nothing of. What the caller found exhausted brings a new event.
 */
static void try_wait(struct loop *loop, struct loop_socket *s, struct loop_op *op) {
        struct pollfd p = { .fd = s->fd, .events = (short)op->poll.events };
        int n = poll(&p, 1, 0);

        if (n > 0)
                loop_complete(loop, op, p.revents);
        else
                epoll_watch(loop, op);
}

static void start_wait(struct loop *loop, struct loop_socket *s, struct loop_op *op) {
        bool known = op->poll.events & POLLOUT  ? s->ready & READY_OUT
                     : op->poll.events & POLLIN ? s->ready & READY_IN
                                                : s->eof;

        /* not registered, or not for this: the kernel says how things stand by an event */
        if (known && (s->registered & epoll_watched_for(op)) == epoll_watched_for(op))
                try_wait(loop, s, op);
        else
                epoll_watch(loop, op);
}

void epoll_try(struct loop *loop, struct loop_op *op) {
        struct loop_socket *s = op->socket;

        switch (op->kind) {
        case LOOP_RECV:
        case LOOP_RECV_INTO:
        case LOOP_RECV_MESSAGE: try_read(loop, s, op); break;
        case LOOP_SEND:
        case LOOP_SEND_MESSAGE: try_send(loop, s, op); break;
        case LOOP_CONNECT: try_connected(loop, s, op); break;
        case LOOP_WAIT: try_wait(loop, s, op); break;
        default: assert(false);
        }
}

void epoll_start(struct loop *loop, struct loop_op *op) {
        struct loop_socket *s = op->socket;

        switch (op->kind) {
        case LOOP_RECV:
        case LOOP_RECV_INTO:
        case LOOP_RECV_MESSAGE:
                if (s->ready & READY_IN || !(s->registered & TRIED))
                        try_read(loop, s, op);
                else
                        epoll_watch(loop, op);
                break;
        case LOOP_SEND:
        case LOOP_SEND_MESSAGE: try_send(loop, s, op); break;
        case LOOP_CONNECT: start_connect(loop, s, op); break;
        case LOOP_WAIT: start_wait(loop, s, op); break;
        default: assert(false);
        }
}

ssize_t epoll_send_file(struct loop_socket *socket, int file, uint64_t offset, size_t bytes) {
        ssize_t n = kernel_send_file(socket, file, offset, bytes);

        if (n == -EAGAIN)
                socket->ready &= ~READY_OUT;
        return n;
}
