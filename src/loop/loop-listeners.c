/* SPDX-License-Identifier: MIT */
#include "loop/loop.h"

#include <errno.h>
#include <poll.h>

#include "loop/loop-internal.h"

/*
 * The backend tells that a connection may be waiting (LOOP_LISTEN, once), this file accepts until
 * the queue is empty, at most LOOP_ACCEPTS_MAX, and asks to be told again. Asking anew after each
 * batch is what lets connections go round the loops that share a listener.
 *
 * A loop that was woken for a connection must take it even if its listener has been paused or
 * stopped since: a shared listener wakes one loop a connection, so that one left in the queue would
 * lie there until the next one comes.
 *
 * When descriptors or memory run out the connection stays in the queue, and the listener would be
 * ready for ever: so it rests for a while.
 */

#define RETRY_USEC (100 * USEC_PER_MSEC)

enum accept_outcome { ACCEPT_MORE, ACCEPT_EMPTY, ACCEPT_REST, ACCEPT_DEAD };

static void listener_ready(struct loop_op *op);

static enum accept_outcome outcome_of(int error) {
        switch (-error) {
        case EAGAIN: return ACCEPT_EMPTY;
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM: return ACCEPT_REST;
        /* errors of the one connection, not of the listener: accept(2), "Error handling" */
        case EINTR:
        case ECONNABORTED:
        case ECONNRESET:
        case EPROTO:
        case EPERM:
        case ENETDOWN:
        case ENOPROTOOPT:
        case EHOSTDOWN:
        case ENONET:
        case EHOSTUNREACH:
        case EOPNOTSUPP:
        case ENETUNREACH:
        case ETIMEDOUT: return ACCEPT_MORE;
        default: return ACCEPT_DEAD;
        }
}

static void listener_arm(struct loop_listener *l) {
        if (l->op.state != LOOP_OP_IDLE || l->paused || l->stopping || loop_timer_is_set(&l->retry))
                return;
        loop_op_begin(l->loop, NULL, &l->op, LOOP_LISTEN, listener_ready);
        l->op.poll.fd = l->fd;
        l->op.poll.events = POLLIN;
        l->loop->backend->submit(l->loop, &l->op);
}

static void listener_retry(struct loop_timer *timer) {
        listener_arm(container_of(timer, struct loop_listener, retry));
}

static void listener_rest(struct loop_listener *l, int error) {
        counter_add(&l->loop->counters.accept_failures, 1);
        loop_timer_set(l->loop, &l->retry, l->loop->now_usec + RETRY_USEC);
        l->trouble(l, error);
}

static void listener_died(struct loop_listener *l, int error) {
        counter_add(&l->loop->counters.accept_failures, 1);
        l->paused = true;
        l->trouble(l, error);
}

/* Accept at most `most`, or fewer once the listener is paused or stopped by what it brings. */
static void listener_accept(struct loop_listener *l, unsigned most) {
        struct loop *loop = l->loop;
        unsigned taken = 0;
        int fd = -EAGAIN;

        for (unsigned i = 0; i < most; i++) {
                struct sockaddr_storage address;
                socklen_t size = sizeof(address);

                fd = loop->backend->accept(loop, l->fd, &address, &size);
                if (fd >= 0) {
                        taken++;
                        counter_add(&loop->counters.accepted, 1);
                        l->accepted(l, fd, (struct sockaddr *)&address, size);
                        if (l->paused || l->stopping)
                                return;
                        continue;
                }
                switch (outcome_of(fd)) {
                case ACCEPT_MORE: continue;
                case ACCEPT_EMPTY: return;
                case ACCEPT_REST: listener_rest(l, fd); return;
                case ACCEPT_DEAD: listener_died(l, fd); return;
                }
        }
        /* nothing but errors, and no end of them: not all of them can be a connection's */
        if (most > 1 && taken == 0)
                listener_rest(l, fd);
}

static void listener_ready(struct loop_op *op) {
        struct loop_listener *l = container_of(op, struct loop_listener, op);
        bool off = l->paused || l->stopping;

        if (op->kind == LOOP_LISTEN && op->result > 0)
                listener_accept(l, off ? 1 : LOOP_ACCEPTS_MAX);
        else if (op->result < 0 && op->result != -ECANCELED && !off)
                listener_died(l, op->result);
        if (!l->stopping) {
                listener_arm(l);
                /* what rests must not be woken in the place of another loop */
                if (op->state == LOOP_OP_IDLE)
                        l->loop->backend->unlisten(l->loop, l);
                return;
        }
        if (op->state != LOOP_OP_IDLE)
                return; /* stopped by what it accepted: the rest has been deferred */
        l->loop->backend->unlisten(l->loop, l);
        l->loop->listeners--;
        l->stopped(l);
}

void loop_listen(struct loop *loop, struct loop_listener *listener, int fd, bool shared,
                 loop_accepted *accepted, loop_accept_trouble *trouble) {
        *listener = (struct loop_listener){
                .loop = loop,
                .fd = fd,
                .shared = shared,
                .accepted = accepted,
                .trouble = trouble,
                .retry = { .fired = listener_retry },
        };
        loop->listeners++;
        listener_arm(listener);
}

void loop_listener_pause(struct loop_listener *listener) {
        listener->paused = true;
        loop_cancel(listener->loop, &listener->op);
}

void loop_listener_resume(struct loop_listener *listener) {
        assert(!listener->stopping);
        listener->paused = false;
        listener_arm(listener);
}

void loop_listener_stop(struct loop_listener *listener,
                        void (*stopped)(struct loop_listener *listener)) {
        assert(!listener->stopping);
        listener->stopping = true;
        listener->stopped = stopped;
        loop_timer_clear(&listener->retry);
        /* at once: the same descriptor may be listened on anew, before `stopped` */
        if (listener->op.state == LOOP_OP_IDLE || listener->op.state == LOOP_OP_READY)
                listener->loop->backend->unlisten(listener->loop, listener);
        if (listener->op.state == LOOP_OP_IDLE)
                loop_defer(listener->loop, &listener->op, listener_ready);
        else
                loop_cancel(listener->loop, &listener->op);
}
