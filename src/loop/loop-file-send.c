/* SPDX-License-Identifier: MIT */
#include "loop/loop.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "loop/loop-internal.h"

/*
 * The head goes by send (MSG_MORE), the range by sendfile(2) in quanta, several a turn, with a wait
 * for POLLOUT where the socket is full. sendfile(2) blocks on what is not in the page cache: so
 * before each quantum a byte at its end and one at its start are read with RWF_NOWAIT. Where one of
 * them is not there, a job of the pool reads a piece into memory, which is sent from there; then
 * the next quantum is tried again. Where the file system cannot tell (EOPNOTSUPP) or cannot do
 * sendfile, every piece is read by the pool.
 *
 * The operation is LOOP_SEND_FILE while this file holds it (working, or a job reads), and LOOP_WAIT
 * while a backend does. Between quanta it stands on the ready list with `done` set to
 * loop_file_send_turn(); only at the end the caller's `done` takes that place.
 */

enum {
        QUANTUM_BYTES = 256 * 1024, /* about 50 us of sendfile, IO.md 3.1 */
        QUANTA_PER_TURN = 4,
        COLD_BYTES = 128 * 1024,
};

/* What the pool reads into; kept until the send ends. */
struct loop_cold_read {
        struct loop_job job;
        struct loop_file_send *send;
        ssize_t result; /* bytes in `data`, or -errno */
        size_t taken;   /* of them, by the socket */
        char data[COLD_BYTES];
};

static void send_finish(struct loop_file_send *send, int result) {
        free(send->cold);
        send->cold = NULL;
        send->op.kind = LOOP_SEND_FILE;
        send->op.done = send->done;
        loop_complete(send->op.socket->loop, &send->op, result);
}

static void send_wait(struct loop_file_send *send) {
        struct loop_op *op = &send->op;

        op->kind = LOOP_WAIT;
        op->flags = op->step = 0;
        op->poll.fd = op->socket->fd;
        op->poll.events = POLLOUT;
        op->socket->loop->backend->submit(op->socket->loop, op);
}

/* 0: all of it was taken. Errors: -EAGAIN, -errno. */
static int send_head(struct loop_file_send *send) {
        struct loop_socket *s = send->op.socket;

        while (send->head_count > 0) {
                struct msghdr message = { .msg_iov = send->head, .msg_iovlen = send->head_count };
                size_t left = 0;
                ssize_t n;

                for (unsigned i = 0; i < send->head_count; i++)
                        left += send->head[i].iov_len;
                n = left == 0 ? 0
                              : s->loop->backend->send_now(s, &message,
                                                           send->bytes > 0 ? MSG_MORE : 0);
                if (n < 0)
                        return (int)n;
                send->sent += (uint64_t)n;
                while (send->head_count > 0 && (size_t)n >= send->head->iov_len) {
                        n -= (ssize_t)send->head->iov_len;
                        send->head++, send->head_count--;
                }
                if (send->head_count > 0) {
                        send->head->iov_base = (char *)send->head->iov_base + n;
                        send->head->iov_len -= (size_t)n;
                }
        }
        return 0;
}

/* Is the byte at `offset` in the page cache (or past the end, which costs no reading either)? */
static bool byte_is_cached(struct loop_file_send *send, uint64_t offset) {
        char byte;
        struct iovec iov = { &byte, 1 };

        if (preadv2(send->file, &iov, 1, (off_t)offset, RWF_NOWAIT) >= 0)
                return true;
        if (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL)
                return false;
        send->always_warm = loop_file_is_in_memory(send->file);
        send->always_cold = !send->always_warm;
        return send->always_warm;
}

static bool quantum_is_cached(struct loop_file_send *send, size_t bytes) {
        if (send->always_cold || send->always_warm)
                return send->always_warm;
        if (!byte_is_cached(send, send->offset + bytes - 1))
                return false;
        return bytes == 1 || byte_is_cached(send, send->offset);
}

static void cold_work(struct loop_job *job) {
        struct loop_cold_read *cold = container_of(job, struct loop_cold_read, job);
        struct loop_file_send *send = cold->send;
        ssize_t n;

        do
                n = pread(send->file, cold->data, (size_t)MIN(send->bytes, (uint64_t)COLD_BYTES),
                          (off_t)send->offset);
        while (n < 0 && errno == EINTR);
        cold->result = n < 0 ? -errno : n;
        cold->taken = 0;
}

static void send_go_on(struct loop_file_send *send);

static void cold_done(struct loop_job *job) {
        struct loop_cold_read *cold = container_of(job, struct loop_cold_read, job);
        struct loop_file_send *send = cold->send;
        ssize_t n = cold->result;

        if (send->canceled)
                send_finish(send, -ECANCELED);
        else if (n <= 0)
                send_finish(send, n == 0 ? -ENODATA : (int)n);
        else
                send_go_on(send);
}

/* Read the next piece into memory; nothing more happens here until that is done. */
static int cold_start(struct loop_file_send *send) {
        if (!send->cold) {
                send->cold = malloc(sizeof(*send->cold));
                if (!send->cold)
                        return -ENOMEM;
                *send->cold = (struct loop_cold_read){ .send = send };
        }
        send->cold->result = 0;
        send->op.kind = LOOP_SEND_FILE;
        loop_offload(send->op.socket->loop, &send->cold->job, cold_work, cold_done);
        return 0;
}

/* Send what the pool has read. Gives bytes or -errno. */
static ssize_t cold_send(struct loop_file_send *send) {
        struct loop_socket *s = send->op.socket;
        struct loop_cold_read *cold = send->cold;
        size_t left = (size_t)cold->result - cold->taken;
        struct iovec iov = { cold->data + cold->taken, left };
        struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
        ssize_t n = s->loop->backend->send_now(s, &message, send->bytes > left ? MSG_MORE : 0);

        if (n > 0)
                cold->taken += (size_t)n;
        return n;
}

static bool cold_has_data(const struct loop_file_send *send) {
        return send->cold && send->cold->result > 0 &&
               send->cold->taken < (size_t)send->cold->result;
}

/* Gives bytes, 0 when the pool has been asked to read, or -errno. */
static ssize_t send_quantum(struct loop_file_send *send) {
        struct loop_socket *s = send->op.socket;
        size_t quantum = (size_t)MIN(send->bytes, (uint64_t)QUANTUM_BYTES);
        ssize_t n;

        if (cold_has_data(send))
                return cold_send(send);
        if (!quantum_is_cached(send, quantum))
                return cold_start(send);
        n = s->loop->backend->send_file(s, send->file, send->offset, quantum);
        if (n == -EINVAL || n == -ENOSYS || n == -EOPNOTSUPP) {
                send->always_warm = false;
                send->always_cold = true;
                return cold_start(send);
        }
        return n == 0 ? -ENODATA : n;
}

/* The operation is pending; this leaves it completed, waiting, or with a job. */
static void send_go_on(struct loop_file_send *send) {
        ssize_t n = send_head(send);

        for (unsigned i = 0; n >= 0 && send->bytes > 0 && i < QUANTA_PER_TURN; i++) {
                n = send_quantum(send);
                if (n == 0)
                        return;
                if (n > 0) {
                        send->sent += (uint64_t)n;
                        send->offset += (uint64_t)n;
                        send->bytes -= (uint64_t)n;
                }
        }
        if (n == -EAGAIN)
                send_wait(send);
        else if (n < 0 || send->bytes == 0)
                send_finish(send, n < 0 ? (int)n : 0);
        else
                loop_complete(send->op.socket->loop, &send->op,
                              0); /* to the end of the ready list */
}

static void send_begin(struct loop_socket *socket, struct loop_file_send *send) {
        loop_op_begin(socket->loop, socket, &send->op, LOOP_SEND_FILE, loop_file_send_turn);
        socket->write = &send->op;
}

void loop_file_send_turn(struct loop_op *op) {
        struct loop_file_send *send = container_of(op, struct loop_file_send, op);
        int result = op->result;

        send_begin(op->socket, send);
        if (send->canceled)
                send_finish(send, -ECANCELED);
        else if (result < 0)
                send_finish(send, result);
        else
                send_go_on(send);
}

void loop_send_file(struct loop_socket *socket, struct loop_file_send *send, loop_done *done) {
        assert(!socket->closing && !socket->write);
        send->done = done;
        send->sent = 0;
        send->cold = NULL;
        send->canceled = send->always_cold = send->always_warm = false;
        send_begin(socket, send);
        send_go_on(send);
}
