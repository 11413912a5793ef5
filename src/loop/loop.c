/* SPDX-License-Identifier: MIT */
#include "loop/loop.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "loop/loop-internal.h"

/*
 * A turn is: wait (the backend turns events into completed operations, which only puts them on the
 * ready list), posted messages, timers, then the ready list. A round runs what stood on the list
 * when it began, then the `closed` callbacks; what a round adds is run by the next one, at most
 * LOOP_ROUNDS_MAX rounds and LOOP_TURN_USEC a turn. What is left then waits for the next turn,
 * whose wait does not sleep: so a socket that always has something to do cannot keep the kernel's
 * news from the others.
 *
 * An operation goes IDLE -> PENDING [-> CANCELING] -> READY -> IDLE, and is IDLE again before
 * `done` is called. A socket that is closing goes on the list of closed ones when its last
 * operation has run, and its descriptor is closed at the end of that round: everything that still
 * names it, in this process or in the batch under way, has been dealt with by then.
 */

/* How many operations run between two looks at the clock. */
enum { OPS_PER_CLOCK = 16 };

/* ---- operations ---- */

void loop_op_begin(struct loop *loop, struct loop_socket *socket, struct loop_op *op,
                   enum loop_op_kind kind, loop_done *done) {
        assert(op->state == LOOP_OP_IDLE);
        assert(pthread_equal(loop->thread, pthread_self()));
        op->next = NULL;
        op->done = done;
        op->socket = socket;
        op->result = 0;
        op->kind = kind;
        op->state = LOOP_OP_PENDING;
        op->flags = op->step = 0;
        loop->pending++;
}

void loop_complete(struct loop *loop, struct loop_op *op, int result) {
        assert(op->state == LOOP_OP_PENDING || op->state == LOOP_OP_CANCELING);
        if (op->kind == LOOP_CONNECT && result == -EAGAIN)
                result = -EBUSY;
        op->result = result;
        op->state = LOOP_OP_READY;
        op->next = NULL;
        *loop->ready_last = op;
        loop->ready_last = &op->next;
}

static void read_begin(struct loop_socket *s, struct loop_op *op, enum loop_op_kind kind,
                       loop_done *done) {
        assert(!s->closing && !s->read);
        loop_op_begin(s->loop, s, op, kind, done);
        s->read = op;
}

static void write_begin(struct loop_socket *s, struct loop_op *op, enum loop_op_kind kind,
                        loop_done *done) {
        assert(!s->closing && !s->write);
        loop_op_begin(s->loop, s, op, kind, done);
        s->write = op;
}

static void submit(struct loop *loop, struct loop_op *op) {
        loop->backend->submit(loop, op);
}

void loop_recv(struct loop_socket *socket, struct loop_op *op, loop_done *done) {
        read_begin(socket, op, LOOP_RECV, done);
        op->recv.data = NULL;
        op->recv.size = socket->loop->buffers.buffer_bytes;
        op->recv.id = UINT32_MAX;
        submit(socket->loop, op);
}

void loop_recv_into(struct loop_socket *socket, struct loop_op *op, void *data, size_t size,
                    loop_done *done) {
        assert(size > 0);
        read_begin(socket, op, LOOP_RECV_INTO, done);
        op->recv.data = data;
        op->recv.size = (uint32_t)MIN(size, (size_t)INT32_MAX);
        op->recv.id = UINT32_MAX;
        submit(socket->loop, op);
}

void loop_recv_message(struct loop_socket *socket, struct loop_op *op, struct msghdr *message,
                       loop_done *done) {
        read_begin(socket, op, LOOP_RECV_MESSAGE, done);
        op->message.message = message;
        op->message.taken = 0;
        submit(socket->loop, op);
}

void loop_send(struct loop_socket *socket, struct loop_op *op, struct iovec *iov, unsigned count,
               bool more, loop_done *done) {
        assert(count <= 64);
        write_begin(socket, op, LOOP_SEND, done);
        while (count > 0 && iov->iov_len == 0)
                iov++, count--;
        op->send.iov = iov;
        op->send.count = count;
        op->send.more = more;
        op->send.taken = 0;
        if (count == 0)
                loop_complete(socket->loop, op, 0);
        else
                submit(socket->loop, op);
}

void loop_send_message(struct loop_socket *socket, struct loop_op *op, struct msghdr *message,
                       loop_done *done) {
        write_begin(socket, op, LOOP_SEND_MESSAGE, done);
        op->message.message = message;
        op->message.taken = 0;
        submit(socket->loop, op);
}

void loop_wait(struct loop_socket *socket, struct loop_op *op, uint32_t events, loop_done *done) {
        bool out = events & POLLOUT;

        assert(events && !(events & ~(uint32_t)(POLLIN | POLLOUT | POLLRDHUP)));
        assert(!out || events == POLLOUT);
        if (out)
                write_begin(socket, op, LOOP_WAIT, done);
        else
                read_begin(socket, op, LOOP_WAIT, done);
        op->poll.fd = socket->fd;
        op->poll.events = events;
        submit(socket->loop, op);
}

void loop_connect(struct loop_socket *socket, struct loop_op *op, const struct sockaddr *address,
                  socklen_t size, loop_done *done) {
        write_begin(socket, op, LOOP_CONNECT, done);
        op->connect.address = address;
        op->connect.size = size;
        submit(socket->loop, op);
}

void loop_poll(struct loop *loop, struct loop_op *op, int fd, uint32_t events, loop_done *done) {
        loop_op_begin(loop, NULL, op, LOOP_POLL, done);
        op->poll.fd = fd;
        op->poll.events = events;
        submit(loop, op);
}

void loop_defer(struct loop *loop, struct loop_op *op, loop_done *done) {
        loop_op_begin(loop, NULL, op, LOOP_DEFER, done);
        loop_complete(loop, op, 0);
}

void loop_cancel(struct loop *loop, struct loop_op *op) {
        assert(pthread_equal(loop->thread, pthread_self()));
        if (op->state == LOOP_OP_IDLE)
                return;
        /* between its quanta a file send stands on the ready list, but is not at its end */
        if (op->done == loop_file_send_turn)
                container_of(op, struct loop_file_send, op)->canceled = true;
        if (op->state != LOOP_OP_PENDING || op->kind == LOOP_SEND_FILE)
                return;
        op->state = LOOP_OP_CANCELING;
        loop->backend->cancel(loop, op);
}

/* ---- sockets ---- */

void loop_socket_init(struct loop *loop, struct loop_socket *socket, int fd) {
        assert(fd >= 0);
        *socket = (struct loop_socket){ .loop = loop, .fd = fd };
        loop->sockets++;
}

/* Put a closing socket on the list of closed ones if nothing of it is under way. */
static void socket_settle(struct loop *loop, struct loop_socket *s) {
        if (s->read || s->write)
                return;
        s->next = NULL;
        *loop->closed_last = s;
        loop->closed_last = &s->next;
}

void loop_close(struct loop_socket *socket, void (*closed)(struct loop_socket *socket)) {
        struct loop *loop = socket->loop;

        assert(!socket->closing && closed);
        socket->closing = 1;
        socket->closed = closed;
        if (socket->read)
                loop_cancel(loop, socket->read);
        if (socket->write)
                loop_cancel(loop, socket->write);
        socket_settle(loop, socket);
}

int loop_shutdown(struct loop_socket *socket, int how) {
        assert(!socket->closing);
        return socket->loop->backend->shutdown(socket, how);
}

int64_t loop_socket_unsent(struct loop_socket *socket) {
        assert(!socket->closing);
        return socket->loop->backend->unsent(socket);
}

/* ---- turns ---- */

static void op_run(struct loop *loop, struct loop_op *op) {
        struct loop_socket *s = op->socket;
        bool lent = op->kind == LOOP_RECV && op->result > 0;
        uint32_t id = lent ? op->recv.id : 0; /* `done` may start the operation again */

        op->state = LOOP_OP_IDLE;
        loop->pending--;
        if (s && s->read == op)
                s->read = NULL;
        else if (s && s->write == op)
                s->write = NULL;
        counter_add(&loop->counters.ops, 1);
        /*
         * a socket that was closing before still lives after `done`: `closed` runs at the end of
         * the round
         */
        bool was_closing = s && s->closing;

        op->done(op);
        if (lent && loop->backend->buffer_free)
                loop->backend->buffer_free(loop, id);
        else if (lent)
                loop_buffers_give(&loop->buffers, id);
        if (was_closing)
                socket_settle(loop, s);
}

/* Gives false when the turn's time is up. */
static bool ready_run(struct loop *loop, uint64_t end_usec) {
        struct loop_op *op = loop->ready_first;
        struct loop_op **last = loop->ready_last;
        unsigned n = 0;

        loop->ready_first = NULL;
        loop->ready_last = &loop->ready_first;
        while (op) {
                struct loop_op *next = op->next;

                op_run(loop, op);
                op = next;
                if (++n % OPS_PER_CLOCK || loop->backend->now(loop) < end_usec)
                        continue;
                /* what is left goes before what was added */
                if (op) {
                        *last = loop->ready_first;
                        if (!loop->ready_first)
                                loop->ready_last = last;
                        loop->ready_first = op;
                }
                return false;
        }
        return true;
}

static void closed_run(struct loop *loop) {
        struct loop_socket *s = loop->closed_first;

        loop->closed_first = NULL;
        loop->closed_last = &loop->closed_first;
        while (s) {
                struct loop_socket *next = s->next;

                loop->backend->close(loop, s);
                s->fd = -1;
                loop->sockets--;
                s->closed(s);
                s = next;
        }
}

static bool loop_has_work(const struct loop *loop) {
        return loop->ready_first || loop->closed_first || loop->messages;
}

int loop_turn(struct loop *loop, uint64_t deadline_usec) {
        uint64_t end_usec;
        int r;

        assert(pthread_equal(loop->thread, pthread_self()));
        /* a wake may have been used up by a turn that still had older messages to run */
        if (loop_has_work(loop) || atomic_load(&loop->wake_sent))
                deadline_usec = 0;
        else
                deadline_usec = MIN(deadline_usec, loop_wheel_next_usec(&loop->wheel));
        counter_set(&loop->turning_since_usec, 0);
        r = loop->backend->wait(loop, deadline_usec);
        if (r < 0 && r != -EINTR && r != -ETIME)
                return r;
        loop->now_usec = loop->backend->now(loop);
        counter_set(&loop->turning_since_usec, loop->now_usec);
        end_usec = loop->now_usec + LOOP_TURN_USEC;
        counter_add(&loop->counters.turns, 1);
        loop_messages_run(loop);
        loop_wheel_run(&loop->wheel, loop->now_usec);
        for (unsigned round = 0; round < LOOP_ROUNDS_MAX; round++) {
                bool go_on = ready_run(loop, end_usec);

                closed_run(loop);
                if (!go_on || (!loop->ready_first && !loop->closed_first))
                        break;
        }
        return 0;
}

int loop_run(struct loop *loop) {
        while (!atomic_exchange(&loop->stop, false)) {
                int r = loop_turn(loop, USEC_INFINITY);

                if (r < 0)
                        return r;
        }
        return 0;
}

uint64_t loop_now_usec(const struct loop *loop) {
        return loop->now_usec;
}

const uint64_t *loop_clock(const struct loop *loop) {
        return &loop->now_usec;
}

uint64_t loop_turning_since_usec(const struct loop *loop) {
        return counter_read(&loop->turning_since_usec);
}

bool loop_is_quiet(const struct loop *loop) {
        return !loop_has_work(loop) && !atomic_load(&loop->posted) && loop->sockets == 0 &&
               loop->listeners == 0 && loop->pending == 0 && loop->jobs == 0;
}

struct loop_counters *loop_counters(struct loop *loop) {
        return &loop->counters;
}

/* ---- its life ---- */

int loop_new(const struct loop_backend *backend, const struct loop_options *options,
             struct loop **ret) {
        struct loop_options filled = options ? *options : (struct loop_options){};
        struct loop *loop = calloc(1, sizeof(*loop));
        int r;

        if (!loop)
                return -ENOMEM;
        filled.sockets_max = filled.sockets_max ?: 1024;
        filled.ring_entries = filled.ring_entries ?: 256;
        filled.buffer_bytes = filled.buffer_bytes ?: 4096;
        filled.buffers_min = filled.buffers_min ?: 32;
        filled.buffers_max = MAX(filled.buffers_max ?: 1024, filled.buffers_min);
        loop->backend = backend;
        loop->pool = filled.pool;
        loop->thread = pthread_self();
        loop->ready_last = &loop->ready_first;
        loop->closed_last = &loop->closed_first;
        r = loop_buffers_init(&loop->buffers, &filled);
        if (r < 0)
                goto fail;
        r = backend->open(loop, &filled);
        if (r < 0)
                goto fail;
        loop->now_usec = backend->now(loop);
        loop_wheel_init(&loop->wheel, loop->now_usec);
        *ret = loop;
        return 0;
fail:
        loop_buffers_finish(&loop->buffers);
        free(loop);
        return r;
}

struct loop *loop_free(struct loop *loop) {
        if (!loop)
                return NULL;
        assert(pthread_equal(loop->thread, pthread_self()));
        assert(!loop_has_work(loop) && !atomic_load(&loop->posted));
        assert(loop->sockets == 0 && loop->listeners == 0);
        assert(loop->pending == 0 && loop->jobs == 0);
        /* a thread whose message has already been run may still be about to wake us */
        while (atomic_load(&loop->posting) > 0)
                sched_yield();
        loop->backend->finish(loop);
        loop_buffers_finish(&loop->buffers);
        free(loop);
        return NULL;
}
