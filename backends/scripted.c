/* SPDX-License-Identifier: MIT */
/*
 * The backend's table over a world. Operations wait in one array in the order in which they were
 * submitted; each wait goes through it and ends those that can end. When none can, the clock jumps
 * to what comes first: an event of the test's, a delayed completion, the deadline. What the loop
 * promises its backends is asserted here, as strictly as the words in loop-backend.h allow, so that
 * a breach is found by the run that commits it and not by the kernel that happens to mind.
 *
 * The kernel is asked in two cases alone: an operation that polls one of its descriptors, and a
 * wait in which the world has nothing to do, which sleeps until another thread wakes it.
 */
#include "scripted.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "backends.h"
#include "scripted-world.h"

enum {
        POLLED_MAX = 32,
        IDLE_MSEC_MAX =
                10000, /* a wait for nothing is a deadlock of the test's: it ends by an error */
};

struct pending {
        struct loop_op *op;
        struct scripted_fate fate;
        uint64_t ready_usec; /* when it may end; 0: it could not yet */
        bool canceled;
};

struct scripted_loop {
        struct scripted_world *world;
        struct pending *pending;
        unsigned count, size;
        int wake_fd;
};

static struct scripted_loop *scripted_of(struct loop *loop) {
        return loop->backend_data;
}

static int scripted_check(char reason[static LOOP_REASON_BYTES]) {
        if (scripted_world_current())
                return 0;
        snprintf(reason, LOOP_REASON_BYTES, "no world was made on this thread");
        return -ENODEV;
}

static int scripted_open(struct loop *loop, const struct loop_options *options) {
        struct scripted_loop *s;

        if (!scripted_world_current())
                return -ENODEV;
        s = calloc(1, sizeof(*s));
        assert(s);
        s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (s->wake_fd < 0) {
                free(s);
                return -errno;
        }
        s->world = scripted_world_current();
        s->world->loops++;
        loop->backend_data = s;
        return 0;
}

static void scripted_finish(struct loop *loop) {
        struct scripted_loop *s = scripted_of(loop);

        assert(s->count == 0);
        s->world->loops--;
        close(s->wake_fd);
        free(s->pending);
        free(s);
}

static bool op_is_read(const struct loop_op *op) {
        switch (op->kind) {
        case LOOP_RECV:
        case LOOP_RECV_INTO:
        case LOOP_RECV_MESSAGE: return true;
        case LOOP_WAIT: return !(op->poll.events & POLLOUT);
        default: return false;
        }
}

static const char *op_title(const struct loop_op *op) {
        static const char *const titles[] = {
                [LOOP_RECV] = "recv",
                [LOOP_RECV_INTO] = "recv-into",
                [LOOP_RECV_MESSAGE] = "recv-message",
                [LOOP_SEND] = "send",
                [LOOP_SEND_MESSAGE] = "send-message",
                [LOOP_WAIT] = "wait",
                [LOOP_CONNECT] = "connect",
                [LOOP_POLL] = "poll",
                [LOOP_LISTEN] = "listen",
        };

        assert(op->kind < ELEMENTS(titles) && titles[op->kind]); /* no backend knows this kind */
        return titles[op->kind];
}

static void submit_is_right(struct scripted_loop *s, const struct loop_op *op) {
        assert(op->state == LOOP_OP_PENDING && op->result == 0);
        assert(op->flags == 0 && op->step == 0);
        for (unsigned i = 0; i < s->count; i++) {
                const struct loop_op *other = s->pending[i].op;

                assert(other != op); /* submitted twice */
                assert(!op->socket || other->socket != op->socket ||
                       op_is_read(other) != op_is_read(op)); /* two of one direction */
                assert(op->kind != LOOP_LISTEN || other->kind != LOOP_LISTEN ||
                       other->poll.fd != op->poll.fd);
        }
        if (op->kind == LOOP_LISTEN)
                assert(scripted_listening_of(s->world, op->poll.fd));
        if (!op->socket)
                return;
        assert(!op->socket->closing);
        assert(op == (op_is_read(op) ? op->socket->read : op->socket->write));
        assert(scripted_end_of(s->world, op->socket->fd));
}

static void scripted_submit(struct loop *loop, struct loop_op *op) {
        struct scripted_loop *s = scripted_of(loop);
        struct pending *p;

        (void)op_title(op);
        submit_is_right(s, op);
        if (s->count == s->size) {
                s->size = MAX(32, 2 * s->size);
                s->pending = reallocarray(s->pending, s->size, sizeof(*s->pending));
                assert(s->pending);
        }
        p = &s->pending[s->count++];
        *p = (struct pending){ .op = op, .fate = scripted_fate(s->world, op->kind) };
        if (p->fate.reset && op->socket)
                scripted_end_break(scripted_end_of(s->world, op->socket->fd));
}

static void scripted_cancel(struct loop *loop, struct loop_op *op) {
        struct scripted_loop *s = scripted_of(loop);
        unsigned i = 0;

        assert(op->state == LOOP_OP_CANCELING);
        while (i < s->count && s->pending[i].op != op)
                i++;
        assert(i < s->count);
        s->pending[i].canceled = true;
}

/* ---- completing ---- */

static void touch(const void *data, size_t size) {
        const volatile char *bytes = data;

        for (size_t i = 0; i < size; i++)
                (void)bytes[i];
}

/*
 * All memory that an operation names is the loop's until it ends, whichever way it ends: a kernel
 * may still read it. So it is read here, for the address sanitizer to see whether it is there.
 */
static void touch_memory_of(const struct loop_op *op) {
        const struct iovec *iov = NULL;
        size_t count = 0;

        switch (op->kind) {
        case LOOP_SEND:
                iov = op->send.iov;
                count = op->send.count;
                break;
        case LOOP_SEND_MESSAGE:
        case LOOP_RECV_MESSAGE:
                iov = op->message.message->msg_iov;
                count = op->message.message->msg_iovlen;
                break;
        case LOOP_RECV_INTO: touch(op->recv.data, op->recv.size); break;
        case LOOP_CONNECT: touch(op->connect.address, op->connect.size); break;
        default: break;
        }
        for (size_t i = 0; i < count; i++)
                touch(iov[i].iov_base, iov[i].iov_len);
}

static void complete_at(struct loop *loop, unsigned at, int result) {
        struct scripted_loop *s = scripted_of(loop);
        struct loop_op *op = s->pending[at].op;

        touch_memory_of(op);
        memmove(s->pending + at, s->pending + at + 1, (--s->count - at) * sizeof(*s->pending));
        scripted_trace(s->world, op_title(op), op->socket ? op->socket->fd : op->poll.fd, result);
        loop_complete(loop, op, result);
}

/* May it end now? Sets out the delay when it first could. */
static bool pending_is_due(struct scripted_world *world, struct pending *p) {
        if (p->ready_usec == 0) {
                if (!p->fate.forced && !scripted_can_perform(world, p->op))
                        return false;
                p->ready_usec = world->now_usec + p->fate.delay_usec;
        }
        return p->ready_usec <= world->now_usec;
}

static enum scripted_outcome pending_try(struct loop *loop, unsigned at) {
        struct scripted_loop *s = scripted_of(loop);
        struct pending *p = &s->pending[at];
        enum scripted_outcome outcome;
        int result = -ECANCELED;

        if (p->canceled && !(scripted_chance(s->world, s->world->odds.cancel_late) &&
                             scripted_can_perform(s->world, p->op))) {
                complete_at(loop, at, -ECANCELED);
                return SCRIPTED_DONE;
        }
        if (!p->canceled && !pending_is_due(s->world, p))
                return SCRIPTED_BLOCKED;
        if (p->fate.forced) {
                if (p->op->kind == LOOP_RECV)
                        p->op->recv.data = NULL;
                complete_at(loop, at, p->fate.result);
                return SCRIPTED_DONE;
        }
        if (p->fate.starved) {
                counter_add(&loop->counters.starved, 1);
                p->fate.starved = false;
        }
        outcome = scripted_perform(loop, s->world, p->op, p->fate.clamp, &result);
        if (outcome == SCRIPTED_BLOCKED && p->canceled) {
                result = -ECANCELED;
                outcome = SCRIPTED_DONE;
        }
        if (outcome == SCRIPTED_BLOCKED)
                p->ready_usec = 0;
        if (outcome == SCRIPTED_DONE)
                complete_at(loop, at, result);
        return outcome;
}

/* One pass over what is pending. Gives how many ended; `*ret_moved`: a send took a part. */
static unsigned complete_some(struct loop *loop, bool *ret_moved) {
        struct scripted_loop *s = scripted_of(loop);
        bool shuffle = scripted_chance(s->world, s->world->odds.shuffle);
        unsigned done = 0, at = 0, left = s->count;

        for (; left > 0 && done < LOOP_EVENTS_MAX; left--) {
                enum scripted_outcome outcome;

                if (shuffle) { /* what was tried stands before `at`, or is gone */
                        unsigned pick = at + scripted_below(s->world, left);
                        struct pending swap = s->pending[at];

                        s->pending[at] = s->pending[pick];
                        s->pending[pick] = swap;
                }
                outcome = pending_try(loop, at);
                if (outcome == SCRIPTED_DONE)
                        done++;
                else
                        at++;
                *ret_moved |= outcome == SCRIPTED_MOVED;
        }
        return done;
}

/* ---- waiting ---- */

/* Sleep in real time for a wake or a descriptor of the kernel's. True when there is one. */
static bool sleep_real(struct scripted_loop *s, uint64_t usec) {
        struct timespec timeout = { (time_t)(usec / USEC_PER_SEC),
                                    (long)(usec % USEC_PER_SEC * 1000) };
        struct pollfd polled[POLLED_MAX] = { { .fd = s->wake_fd, .events = POLLIN } };
        unsigned count = 1;

        for (unsigned i = 0; i < s->count && count < POLLED_MAX; i++) {
                const struct loop_op *op = s->pending[i].op;

                if (op->kind == LOOP_POLL && op->poll.fd < SCRIPTED_FD_FIRST)
                        polled[count++] = (struct pollfd){ op->poll.fd, (short)op->poll.events, 0 };
        }
        return ppoll(polled, count, &timeout, NULL) > 0;
}

static bool was_woken(struct scripted_loop *s) {
        uint64_t ignored;

        return read(s->wake_fd, &ignored, sizeof(ignored)) > 0;
}

/* When something can end next; USEC_INFINITY: not by itself. */
static uint64_t next_usec(struct scripted_loop *s) {
        uint64_t next = scripted_event_next_usec(s->world);

        for (unsigned i = 0; i < s->count; i++) {
                if (s->pending[i].ready_usec > s->world->now_usec)
                        next = MIN(next, s->pending[i].ready_usec);
        }
        return next;
}

static int scripted_wait(struct loop *loop, uint64_t deadline_usec) {
        struct scripted_loop *s = scripted_of(loop);
        struct scripted_world *world = s->world;
        bool ran = false;

        world->now_usec++;
        for (;;) {
                bool moved = false, woken = was_woken(s);
                uint64_t next;

                ran |= scripted_events_run(world);
                if (complete_some(loop, &moved) > 0 || loop->ready_first || woken ||
                    deadline_usec <= world->now_usec)
                        return 0;
                if (moved)
                        continue;
                next = MIN(deadline_usec, next_usec(s));
                if (next == USEC_INFINITY && ran)
                        return 0; /* it may have brought what the test waits for */
                if (next == USEC_INFINITY) {
                        if (!sleep_real(s, IDLE_MSEC_MAX * USEC_PER_MSEC))
                                return -EDEADLK;
                        continue;
                }
                if (world->patience_usec > 0 && sleep_real(s, world->patience_usec))
                        continue;
                world->now_usec = MAX(world->now_usec, next);
        }
}

static void scripted_wake(struct loop *loop) {
        uint64_t one = 1;

        /* it fails only where the counter is full, and then the wait is awake in any case */
        if (write(scripted_of(loop)->wake_fd, &one, sizeof(one)) < 0)
                return;
}

/* ---- descriptors and what is done at once ---- */

static void scripted_socket_close(struct loop *loop, struct loop_socket *socket) {
        struct scripted_loop *s = scripted_of(loop);
        struct scripted_peer *end = scripted_end_of(s->world, socket->fd);

        assert(end); /* closed twice */
        assert(!socket->read && !socket->write);
        for (unsigned i = 0; i < s->count; i++)
                assert(s->pending[i].op->socket != socket);
        scripted_trace(s->world, "close", socket->fd, 0);
        scripted_end_close(end, false);
}

static void scripted_unlisten(struct loop *loop, struct loop_listener *listener) {
        struct scripted_loop *s = scripted_of(loop);

        for (unsigned i = 0; i < s->count; i++)
                assert(s->pending[i].op != &listener->op);
}

static int scripted_accept(struct loop *loop, int listener_fd, struct sockaddr_storage *ret_address,
                           socklen_t *ret_size) {
        struct scripted_world *world = scripted_of(loop)->world;
        struct scripted_listening *l = scripted_listening_of(world, listener_fd);
        struct scripted_fate fate = scripted_fate(world, SCRIPTED_ACCEPT);
        struct scripted_peer *end;
        int fd;

        if (!l)
                return -EBADF;
        if (fate.forced && !list_is_empty(&l->queue)) {
                scripted_trace(world, "accept", listener_fd, fate.result);
                return fate.result;
        }
        if (!list_is_empty(&l->queue) && world->descriptors_open >= world->descriptors_max)
                return -EMFILE; /* the connection stays in the queue */
        end = scripted_listening_take(l);
        if (!end)
                return -EAGAIN;
        fd = end->fd = scripted_fd_take(world, end, NULL);
        memset(ret_address, 0, sizeof(*ret_address));
        if (end->other)
                memcpy(ret_address, &end->other->address, sizeof(end->other->address));
        *ret_size = sizeof(end->address);
        scripted_trace(world, "accept", fd, 0);
        if (fate.reset)
                scripted_end_break(end);
        return fd;
}

static ssize_t scripted_send_now(struct loop_socket *socket, const struct msghdr *message,
                                 int flags) {
        struct scripted_world *world = scripted_of(socket->loop)->world;
        struct scripted_peer *end = scripted_end_of(world, socket->fd);
        struct scripted_fate fate = scripted_fate(world, SCRIPTED_SEND_NOW);
        ssize_t n;

        assert(end && !socket->closing);
        if (fate.reset)
                scripted_end_break(end);
        if (scripted_chance(world, world->odds.short_send))
                fate.clamp = 1 + scripted_below(world, 4096);
        n = fate.forced ? fate.result : scripted_end_send(end, message, fate.clamp);
        scripted_trace(world, "send-now", socket->fd, n);
        return n;
}

static ssize_t scripted_send_file(struct loop_socket *socket, int file, uint64_t offset,
                                  size_t bytes) {
        struct scripted_world *world = scripted_of(socket->loop)->world;
        struct scripted_peer *end = scripted_end_of(world, socket->fd);
        struct scripted_fate fate = scripted_fate(world, SCRIPTED_SEND_FILE);
        char data[16384];
        struct iovec iov = { .iov_base = data };
        struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
        ssize_t n;

        assert(end && !socket->closing);
        if (fate.reset)
                scripted_end_break(end);
        if (scripted_chance(world, world->odds.short_send))
                fate.clamp = 1 + scripted_below(world, 4096);
        if (fate.forced)
                return fate.result;
        bytes = MIN(bytes, fate.clamp);
        n = pread(file, data, MIN(bytes, sizeof(data)), (off_t)offset);
        if (n < 0)
                return -errno;
        if (n == 0)
                return 0;
        iov.iov_len = (size_t)n;
        n = scripted_end_send(end, &message, (size_t)n);
        scripted_trace(world, "send-file", socket->fd, n);
        return n;
}

static int scripted_shutdown(struct loop_socket *socket, int how) {
        struct scripted_peer *end = scripted_end_of(scripted_of(socket->loop)->world, socket->fd);

        assert(end);
        if (!end->connected || end->reset)
                return -ENOTCONN;
        scripted_end_shutdown(end, how);
        return 0;
}

static int64_t scripted_unsent(struct loop_socket *socket) {
        struct scripted_peer *end = scripted_end_of(scripted_of(socket->loop)->world, socket->fd);

        assert(end);
        return end->other ? (int64_t)end->other->input.used : 0;
}

static uint64_t scripted_now(struct loop *loop) {
        return scripted_of(loop)->world->now_usec;
}

const struct loop_backend scripted_backend = {
        .name = "scripted",
        .check = scripted_check,
        .open = scripted_open,
        .finish = scripted_finish,
        .wait = scripted_wait,
        .submit = scripted_submit,
        .cancel = scripted_cancel,
        .close = scripted_socket_close,
        .unlisten = scripted_unlisten,
        .wake = scripted_wake,
        .accept = scripted_accept,
        .send_now = scripted_send_now,
        .send_file = scripted_send_file,
        .shutdown = scripted_shutdown,
        .unsent = scripted_unsent,
        .now = scripted_now,
};
