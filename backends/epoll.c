/* SPDX-License-Identifier: MIT */
#include "epoll.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"

/*
 * Completions imitated by readiness. Each operation has one try: the non-blocking system call. A
 * send is tried when it starts, a receive when its socket is known to be readable; a try that gives
 * EAGAIN waits for an event, which tries again. No user's code runs inside wait(), so what an event
 * points to is alive while the batch is worked off; and a socket leaves the epoll before it is
 * closed, so that a duplicate of its descriptor elsewhere cannot bring events for memory that is
 * gone.
 *
 * What each event does to a socket:
 * - EPOLLIN     it is readable: remembered, and a waiting receive is tried;
 * - EPOLLOUT    it is writable: remembered, and a waiting send or connect is tried;
 * - EPOLLRDHUP  the peer sends no more: readable from here on, because the end can always be read,
 *   and
 *               remembered for a wait for POLLRDHUP;
 * - EPOLLHUP    both ways are shut: as EPOLLRDHUP and EPOLLOUT, since every call gives its end or
 *   error;
 * - EPOLLERR    as EPOLLHUP: each waiting operation is tried and takes its error from its own call;
 * - EPOLLPRI    is never asked for: urgent data wakes nobody. A loop_poll() may ask for it, and
 *   gets
 *               this and every other event as its result.
 *
 * The triggers differ only in epoll_watch() and unwatch():
 * - edge: one EPOLL_CTL_ADD for all events, never touched again. `ready` remembers what an event
 *   said
 *   until a call proves otherwise: EAGAIN, or fewer bytes than were asked for, after which the next
 *   byte brings a new event. Not so once the peer has ended (its event has come already), nor with
 *   control data (a message of descriptors ends a read early).
 * - level: an EPOLL_CTL_MOD when a wait wants what was not asked for, and one when an event comes
 *   that
 *   nobody waits for. EPOLLHUP and EPOLLERR cannot be masked: then the socket is taken out.
 * - oneshot: an EPOLL_CTL_MOD for each wait.
 *
 * A socket is registered when it first has to wait, and its first receive is tried without an
 * event: a connection whose request has come with it costs no epoll_ctl at all.
 *
 * A shared listener is EPOLLEXCLUSIVE, and taken out and put back at the end of the queue each time
 * the loop asks for it anew, or all connections went to one loop (IO.md 4.1).
 */

enum { IN = EPOLLIN, OUT = EPOLLOUT, END = EPOLLRDHUP };

/* What event.data points to, in its lowest bits; all of it is at least 8-aligned. */
enum { TO_SOCKET, TO_OP, TO_WAKE, TO_MASK = 7 };

void epoll_try_later(struct loop *loop, struct loop_op *op) {
        struct epoll *e = epoll_of(loop);

        op->flags |= ON_AGAIN;
        op->next = NULL;
        *e->again_last = op;
        e->again_last = &op->next;
}

static int control(struct epoll *e, int how, int fd, uint32_t events, void *ptr, unsigned tag) {
        struct epoll_event event = { .events = events, .data.u64 = (uintptr_t)ptr | tag };

        return epoll_ctl(e->fd, how, fd, &event) < 0 ? -errno : 0;
}

/* ---- what is asked of the kernel ---- */

unsigned epoll_watched_for(const struct loop_op *op) {
        switch (op->kind) {
        case LOOP_WAIT:
                return (op->poll.events & POLLIN ? WATCHED_IN : 0) |
                       (op->poll.events & POLLRDHUP ? WATCHED_END : 0) |
                       (op->poll.events & POLLOUT ? WATCHED_OUT : 0);
        case LOOP_RECV:
        case LOOP_RECV_INTO:
        case LOOP_RECV_MESSAGE: return WATCHED_IN | WATCHED_END;
        default: return WATCHED_OUT;
        }
}

/* Does `op` wait for an event? Not if it is to be tried anyway, or a file is read for it. */
static bool waits(const struct loop_op *op) {
        return op && op->state == LOOP_OP_PENDING && !(op->flags & ON_AGAIN) &&
               op->kind != LOOP_SEND_FILE;
}

static unsigned wanted(const struct loop_socket *s) {
        return (waits(s->read) ? epoll_watched_for(s->read) : 0) |
               (waits(s->write) ? epoll_watched_for(s->write) : 0);
}

static uint32_t events_of(unsigned watched) {
        return (watched & WATCHED_IN ? IN : 0) | (watched & WATCHED_OUT ? OUT : 0) |
               (watched & WATCHED_END ? END : 0);
}

void epoll_watch(struct loop *loop, struct loop_op *op) {
        static const unsigned all = WATCHED_IN | WATCHED_OUT | WATCHED_END;
        struct epoll *e = epoll_of(loop);
        struct loop_socket *s = op->socket;
        bool oneshot = e->trigger == LOOP_TRIGGER_ONESHOT;
        bool edge = e->trigger == LOOP_TRIGGER_EDGE;
        unsigned want = epoll_watched_for(op);
        int r;

        if ((s->registered & want) == want)
                return;
        want = edge ? all : want | (s->registered & all);
        r = control(e, s->registered & ADDED ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, s->fd,
                    events_of(want) | (edge ? EPOLLET : 0) | (oneshot ? EPOLLONESHOT : 0), s,
                    TO_SOCKET);
        if (r < 0)
                loop_complete(loop, op, r);
        else
                s->registered |= ADDED | want;
}

/* Level: an event came that nobody waits for, and would come for ever. */
static void unwatch(struct epoll *e, struct loop_socket *s, uint32_t events) {
        unsigned want = wanted(s);

        if (!want && events & (EPOLLHUP | EPOLLERR)) {
                control(e, EPOLL_CTL_DEL, s->fd, 0, NULL, 0);
                s->registered &= TRIED;
        } else if (events & (IN | OUT | END) & ~events_of(want)) {
                if (control(e, EPOLL_CTL_MOD, s->fd, events_of(want), s, TO_SOCKET) == 0)
                        s->registered = ADDED | (s->registered & TRIED) | want;
        }
}

/* ---- operations ---- */

static void start_listen(struct loop *loop, struct loop_op *op) {
        struct loop_listener *l = container_of(op, struct loop_listener, op);
        struct epoll *e = epoll_of(loop);
        int r;

        if (l->registered && !l->shared)
                return;
        if (l->registered)
                control(e, EPOLL_CTL_DEL, l->fd, 0, NULL, 0);
        r = control(e, EPOLL_CTL_ADD, l->fd, EPOLLIN | (l->shared ? EPOLLEXCLUSIVE : 0), op, TO_OP);
        l->registered = r == 0;
        if (r < 0)
                loop_complete(loop, op, r);
}

static void listener_forget(struct epoll *e, struct loop_listener *l) {
        if (l->registered)
                control(e, EPOLL_CTL_DEL, l->fd, 0, NULL, 0);
        l->registered = 0;
}

static void epoll_submit(struct loop *loop, struct loop_op *op) {
        int r;

        switch (op->kind) {
        case LOOP_LISTEN: start_listen(loop, op); break;
        case LOOP_POLL:
                r = control(epoll_of(loop), EPOLL_CTL_ADD, op->poll.fd,
                            op->poll.events | EPOLLONESHOT, op, TO_OP);
                if (r < 0)
                        loop_complete(loop, op, r);
                break;
        default: epoll_start(loop, op);
        }
}

static void epoll_cancel(struct loop *loop, struct loop_op *op) {
        struct epoll *e = epoll_of(loop);

        if (op->flags & ON_AGAIN) {
                struct loop_op **at = &e->again_first;

                while (*at != op)
                        at = &(*at)->next;
                *at = op->next;
                if (!op->next)
                        e->again_last = at;
                op->flags &= ~ON_AGAIN;
        }
        if (op->kind == LOOP_POLL)
                control(e, EPOLL_CTL_DEL, op->poll.fd, 0, NULL, 0);
        else if (op->kind == LOOP_LISTEN)
                listener_forget(e, container_of(op, struct loop_listener, op));
        loop_complete(loop, op, -ECANCELED);
}

/* ---- events ---- */

static uint32_t poll_events(uint32_t events) {
        /* the same bits, by the kernel's own definition */
        static_assert(EPOLLIN == POLLIN && EPOLLOUT == POLLOUT && EPOLLRDHUP == POLLRDHUP &&
                              EPOLLPRI == POLLPRI && EPOLLERR == POLLERR && EPOLLHUP == POLLHUP,
                      "epoll_ctl(2) and poll(2) share their bits");
        return events & (POLLIN | POLLOUT | POLLRDHUP | POLLPRI | POLLERR | POLLHUP);
}

/*
 * An end or error concerns every operation that waits; each takes what it means from its own call.
 */
static void on_event_for(struct loop *loop, struct loop_op *op, uint32_t events) {
        if (!waits(op))
                return;
        events &= events_of(epoll_watched_for(op)) | EPOLLHUP | EPOLLERR;
        if (!events)
                return;
        if (op->kind == LOOP_WAIT)
                loop_complete(loop, op, (int)poll_events(events));
        else
                epoll_try(loop, op);
}

static void on_socket(struct loop *loop, struct loop_socket *s, uint32_t events) {
        struct epoll *e = epoll_of(loop);

        if (events & (END | EPOLLHUP | EPOLLERR))
                s->eof = 1;
        if (events & (IN | END | EPOLLHUP | EPOLLERR))
                s->ready |= READY_IN;
        if (events & (OUT | EPOLLHUP | EPOLLERR))
                s->ready |= READY_OUT;
        if (e->trigger == LOOP_TRIGGER_ONESHOT)
                s->registered &= ADDED | TRIED;
        else if (e->trigger == LOOP_TRIGGER_LEVEL)
                unwatch(e, s, events);
        on_event_for(loop, s->read, events);
        on_event_for(loop, s->write, events);
        if (e->trigger != LOOP_TRIGGER_ONESHOT)
                return;
        /* a descriptor has one registration: the direction that still waits is armed again */
        if (waits(s->read))
                epoll_watch(loop, s->read);
        if (waits(s->write))
                epoll_watch(loop, s->write);
}

static void on_op(struct loop *loop, struct loop_op *op, uint32_t events) {
        struct epoll *e = epoll_of(loop);

        if (op->kind == LOOP_LISTEN && op->state != LOOP_OP_PENDING) {
                listener_forget(e, container_of(op, struct loop_listener, op));
                return;
        }
        if (op->kind == LOOP_POLL)
                control(e, EPOLL_CTL_DEL, op->poll.fd, 0, NULL, 0);
        loop_complete(loop, op, (int)poll_events(events));
}

static void on_event(struct loop *loop, const struct epoll_event *event) {
        void *to = (void *)(uintptr_t)(event->data.u64 & ~(uint64_t)TO_MASK);

        switch (event->data.u64 & TO_MASK) {
        case TO_SOCKET: on_socket(loop, to, event->events); break;
        case TO_OP: on_op(loop, to, event->events); break;
        default: break; /* the wake: to have woken is all it does */
        }
}

/* What was put off for want of a buffer or for the sake of others. */
static void run_again(struct loop *loop) {
        struct epoll *e = epoll_of(loop);
        struct loop_op *op = e->again_first;

        e->again_first = NULL;
        e->again_last = &e->again_first;
        while (op) {
                struct loop_op *next = op->next;

                op->flags &= ~ON_AGAIN;
                epoll_try(loop, op);
                op = next;
        }
}

static int wait_until(struct epoll *e, uint64_t deadline_usec) {
        uint64_t now = deadline_usec && deadline_usec != USEC_INFINITY ? clock_monotonic_usec() : 0;
        uint64_t left = deadline_usec > now ? deadline_usec - now : 0;
        int n;

        if (deadline_usec == USEC_INFINITY || left == 0) {
                n = epoll_wait(e->fd, e->events, LOOP_EVENTS_MAX, left ? -1 : 0);
                return n < 0 ? -errno : n;
        }
        if (!e->no_pwait2) {
                struct timespec t = { (time_t)(left / USEC_PER_SEC),
                                      (long)(left % USEC_PER_SEC * 1000) };

                n = epoll_pwait2(e->fd, e->events, LOOP_EVENTS_MAX, &t, NULL);
                if (n >= 0 || (errno != ENOSYS && errno != EPERM))
                        return n < 0 ? -errno : n;
                e->no_pwait2 = true;
        }
        /* rounded up, or the last millisecond would be spent in a busy loop */
        left = MIN(left / USEC_PER_MSEC + 1, (uint64_t)INT32_MAX);
        n = epoll_wait(e->fd, e->events, LOOP_EVENTS_MAX, (int)left);
        return n < 0 ? -errno : n;
}

static int epoll_wait_turn(struct loop *loop, uint64_t deadline_usec) {
        struct epoll *e = epoll_of(loop);
        int n;

        run_again(loop);
        n = wait_until(e, loop->ready_first || e->again_first ? 0 : deadline_usec);
        for (int i = 0; i < n; i++)
                on_event(loop, &e->events[i]);
        return MIN(n, 0);
}

/* ---- the rest of the table ---- */

static void epoll_close(struct loop *loop, struct loop_socket *socket) {
        if (socket->registered & ADDED)
                control(epoll_of(loop), EPOLL_CTL_DEL, socket->fd, 0, NULL, 0);
        close(socket->fd);
}

static void epoll_unlisten(struct loop *loop, struct loop_listener *listener) {
        listener_forget(epoll_of(loop), listener);
}

static void epoll_wake(struct loop *loop) {
        uint64_t one = 1;
        ssize_t n;

        /* never read, so it could fill up in half a million years */
        do
                n = write(epoll_of(loop)->wake_fd, &one, sizeof(one));
        while (n < 0 && errno == EINTR);
}

static void epoll_finish(struct loop *loop) {
        struct epoll *e = epoll_of(loop);

        fd_close(e->wake_fd);
        fd_close(e->fd);
        free(e);
        loop->backend_data = NULL;
}

static int epoll_open(struct loop *loop, const struct loop_options *options) {
        struct epoll *e = calloc(1, sizeof(*e));
        int r;

        if (!e)
                return -ENOMEM;
        e->trigger = options->trigger;
        e->again_last = &e->again_first;
        e->fd = epoll_create1(EPOLL_CLOEXEC);
        e->wake_fd = e->fd < 0 ? -1 : eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        loop->backend_data = e;
        r = e->wake_fd < 0
                    ? -errno
                    : control(e, EPOLL_CTL_ADD, e->wake_fd, EPOLLIN | EPOLLET, NULL, TO_WAKE);
        if (r < 0)
                epoll_finish(loop);
        return r;
}

static int epoll_check(char reason[static LOOP_REASON_BYTES]) {
        int fd = epoll_create1(EPOLL_CLOEXEC), r = fd < 0 ? -errno : 0;

        if (r < 0)
                snprintf(reason, LOOP_REASON_BYTES, "epoll_create1: %s", strerror(-r));
        fd_close(fd);
        return r;
}

const struct loop_backend epoll_backend = {
        .name = "epoll",
        .check = epoll_check,
        .open = epoll_open,
        .finish = epoll_finish,
        .wait = epoll_wait_turn,
        .submit = epoll_submit,
        .cancel = epoll_cancel,
        .close = epoll_close,
        .unlisten = epoll_unlisten,
        .wake = epoll_wake,
        .accept = kernel_accept,
        .send_now = epoll_send_now,
        .send_file = epoll_send_file,
        .shutdown = kernel_shutdown,
        .unsent = kernel_unsent,
        .now = kernel_now,
};
