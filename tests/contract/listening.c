/* SPDX-License-Identifier: MIT */
#include "harness.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* Accepting: every connection comes once, and none is lost in a pause or a shortage. */

enum { FDS_MAX = 256 };

struct tracked_listener {
        struct loop_listener listener;
        struct fixture *f;
        int fds[FDS_MAX];
        unsigned count, troubles, stopped;
        unsigned pause_after, stop_after; /* from within `accepted` */
        struct tracked_listener *next;    /* to listen on the same descriptor, when it stops so */
        int error;
};

static void on_stopped(struct loop_listener *listener) {
        struct tracked_listener *t = container_of(listener, struct tracked_listener, listener);

        assert_int_equal(starting, 0);
        assert_true(loop_op_is_idle(&listener->op));
        t->stopped++;
}

static void on_trouble(struct loop_listener *listener, int error);

static void on_accepted(struct loop_listener *listener, int fd, const struct sockaddr *address,
                        socklen_t size) {
        struct tracked_listener *t = container_of(listener, struct tracked_listener, listener);

        assert_int_equal(starting, 0);
        assert_true(t->count < FDS_MAX && !t->stopped);
        assert_true(size >= sizeof(sa_family_t));
        if (!t->f->world)
                assert_int_equal(address->sa_family, AF_INET);
        t->fds[t->count++] = fd;
        if (t->count == t->pause_after)
                loop_listener_pause(listener);
        if (t->count != t->stop_after)
                return;
        loop_listener_stop(listener, on_stopped);
        if (t->next) {
                *t->next = (struct tracked_listener){ .f = t->f };
                loop_listen(t->f->loop, &t->next->listener, listener->fd, listener->shared,
                            on_accepted, on_trouble);
        }
}

static void on_trouble(struct loop_listener *listener, int error) {
        struct tracked_listener *t = container_of(listener, struct tracked_listener, listener);

        assert_int_equal(starting, 0);
        t->troubles++;
        t->error = error;
}

static void listen_on(struct fixture *f, struct tracked_listener *t, int fd, bool shared) {
        *t = (struct tracked_listener){ .f = f };
        START(loop_listen(f->loop, &t->listener, fd, shared, on_accepted, on_trouble));
}

static void stop(struct fixture *f, struct tracked_listener *t) {
        START(loop_listener_stop(&t->listener, on_stopped));
        assert_int_equal(t->stopped, 0);
        RUN_UNTIL(f, t->stopped);
        assert_int_equal(t->stopped, 1);
}

static void close_all(struct fixture *f, struct tracked_listener *t, struct peer *p, unsigned n) {
        for (unsigned i = 0; i < t->count; i++)
                descriptor_close(f, t->fds[i]);
        for (unsigned i = 0; i < n; i++)
                peer_close(&p[i]);
        t->count = 0;
}

/* More than a turn's accepts at once, shared or not. */
static void burst_is_accepted(void **state) {
        struct fixture *f = *state;
        static struct peer p[200];

        for (unsigned shared = 0; shared < 2; shared++) {
                struct tracked_listener t;
                int fd = listener_open(f, 512);

                listen_on(f, &t, fd, shared);
                for (unsigned i = 0; i < 200; i++)
                        peer_connect(f, fd, &p[i]);
                assert_int_equal(t.count, 0);
                RUN_UNTIL(f, t.count == 200);
                assert_int_equal(counter_read(&loop_counters(f->loop)->accepted),
                                 200 * (shared + 1));
                stop(f, &t);
                close_all(f, &t, p, 200);
                listener_close(f, fd);
        }
}

/* One after another: the listener is asked for anew after each batch. */
static void one_by_one(void **state) {
        struct fixture *f = *state;

        for (unsigned shared = 0; shared < 2; shared++) {
                struct tracked_listener t;
                struct peer p[20];
                int fd = listener_open(f, 64);

                listen_on(f, &t, fd, shared);
                for (unsigned i = 0; i < 20; i++) {
                        run_for(f, USEC_PER_MSEC);
                        peer_connect(f, fd, &p[i]);
                        RUN_UNTIL(f, t.count == i + 1);
                }
                stop(f, &t);
                close_all(f, &t, p, 20);
                listener_close(f, fd);
        }
}

/* Accepted sockets are what loop_socket_init() asks for. */
static void accepted_sockets_work(void **state) {
        struct fixture *f = *state;
        struct tracked_socket s = {};
        struct tracked_listener t;
        struct peer p;
        int fd = listener_open(f, 8);

        listen_on(f, &t, fd, true);
        peer_connect(f, fd, &p);
        RUN_UNTIL(f, t.count == 1);
        loop_socket_init(f->loop, &s.socket, t.fds[0]);
        START(loop_recv(&s.socket, &s.read.op, tracked_done));
        peer_send_all(f, &p, "hello", 5);
        RUN_UNTIL(f, s.read.done);
        assert_memory_equal(s.read.data, "hello", 5);
        peer_close(&p);
        tracked_close(f, &s);
        stop(f, &t);
        listener_close(f, fd);
}

/* In a pause connections wait in the kernel's queue, and none is lost. */
static void pause_and_resume(void **state) {
        struct fixture *f = *state;
        struct tracked_listener t;
        struct peer p[30];
        int fd = listener_open(f, 64);

        listen_on(f, &t, fd, true);
        run_for(f, 2 * USEC_PER_MSEC);
        START(loop_listener_pause(&t.listener));
        START(loop_listener_pause(&t.listener));
        run_for(f, 2 * USEC_PER_MSEC);
        for (unsigned i = 0; i < 10; i++)
                peer_connect(f, fd, &p[i]);
        run_for(f, 20 * USEC_PER_MSEC);
        assert_int_equal(t.count, 0);
        START(loop_listener_resume(&t.listener));
        assert_int_equal(t.count, 0);
        RUN_UNTIL(f, t.count == 10);
        /* to and fro without a turn between, in both orders */
        START(loop_listener_pause(&t.listener));
        START(loop_listener_resume(&t.listener));
        for (unsigned i = 10; i < 20; i++)
                peer_connect(f, fd, &p[i]);
        RUN_UNTIL(f, t.count == 20);
        /* from within `accepted`: what stands behind waits */
        t.pause_after = 25;
        for (unsigned i = 20; i < 30; i++)
                peer_connect(f, fd, &p[i]);
        RUN_UNTIL(f, t.count >= 25);
        run_for(f, 20 * USEC_PER_MSEC);
        assert_int_equal(t.count, 25);
        START(loop_listener_resume(&t.listener));
        RUN_UNTIL(f, t.count == 30);
        stop(f, &t);
        close_all(f, &t, p, 30);
        listener_close(f, fd);
}

/* A stopped listener leaves its queue to whoever listens next: a reload loses nothing. */
static void stop_leaves_the_queue(void **state) {
        struct fixture *f = *state;

        for (unsigned from_within = 0; from_within < 2; from_within++) {
                struct tracked_listener t, next;
                struct peer p[12];
                unsigned before = 0;
                int fd = listener_open(f, 64);

                listen_on(f, &t, fd, true);
                run_for(f, 2 * USEC_PER_MSEC);
                if (from_within) {
                        t.stop_after = 2;
                        for (unsigned i = 0; i < 12; i++)
                                peer_connect(f, fd, &p[i]);
                        RUN_UNTIL(f, t.stopped);
                        before = 2;
                        assert_int_equal(t.count, 2);
                } else {
                        stop(f, &t);
                        for (unsigned i = 0; i < 12; i++)
                                peer_connect(f, fd, &p[i]);
                }
                run_for(f, 10 * USEC_PER_MSEC);
                assert_int_equal(t.count, before);
                listen_on(f, &next, fd, false);
                RUN_UNTIL(f, next.count == 12 - before);
                stop(f, &next);
                close_all(f, &t, NULL, 0);
                close_all(f, &next, p, 12);
                listener_close(f, fd);
        }
}

/* A paused listener, one at rest, and one just begun can all be stopped. */
static void stop_in_every_state(void **state) {
        struct fixture *f = *state;
        struct tracked_listener t;
        int fd = listener_open(f, 64);

        listen_on(f, &t, fd, true);
        stop(f, &t);
        listen_on(f, &t, fd, true);
        START(loop_listener_pause(&t.listener));
        stop(f, &t);
        listen_on(f, &t, fd, true);
        START(loop_listener_pause(&t.listener));
        run_for(f, 2 * USEC_PER_MSEC);
        stop(f, &t);
        listener_close(f, fd);
}

/*
 * A reload lets a new listener take over a descriptor while the old one has just been woken: each
 * comes with a connection, and none is lost between them.
 */
static void descriptor_changes_hands(void **state) {
        struct fixture *f = *state;

        for (unsigned shared = 0; shared < 2; shared++) {
                struct tracked_listener t, next = {};
                struct peer p[3];
                int fd = listener_open(f, 64);

                listen_on(f, &t, fd, shared);
                t.stop_after = 1;
                t.next = &next;
                for (unsigned i = 0; i < 3; i++)
                        peer_connect(f, fd, &p[i]);
                RUN_UNTIL(f, t.stopped && next.count == 2);
                assert_int_equal(t.count, 1);
                assert_int_equal(t.troubles + next.troubles, 0);
                stop(f, &next);
                descriptor_close(f, t.fds[0]);
                close_all(f, &next, p, 3);
                listener_close(f, fd);
        }
}

static void descriptors_forbid(struct fixture *f, struct rlimit *ret_before) {
        struct rlimit low;
        int next;

        if (f->world) {
                scripted_descriptors_limit(f->world, scripted_descriptors_open(f->world));
                return;
        }
        getrlimit(RLIMIT_NOFILE, ret_before);
        next = dup(0);
        close(next);
        low = (struct rlimit){ (rlim_t)next, ret_before->rlim_max };
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
}

static void descriptors_allow(struct fixture *f, const struct rlimit *before) {
        if (f->world)
                scripted_descriptors_limit(f->world, UINT32_MAX);
        else
                setrlimit(RLIMIT_NOFILE, before);
}

/* Out of descriptors: told, tried again at leisure and not in a busy loop, and nothing is lost. */
static void out_of_descriptors(void **state) {
        struct fixture *f = *state;
        struct tracked_listener t;
        struct rlimit before;
        uint64_t turns;
        struct peer p[5];
        int fd = listener_open(f, 64);

        listen_on(f, &t, fd, true);
        run_for(f, 2 * USEC_PER_MSEC);
        for (unsigned i = 0; i < 5; i++)
                peer_connect(f, fd, &p[i]);
        descriptors_forbid(f, &before);
        RUN_UNTIL(f, t.troubles);
        assert_int_equal(t.error, -EMFILE);
        assert_int_equal(t.count, 0);
        turns = counter_read(&loop_counters(f->loop)->turns);
        run_for(f, 250 * USEC_PER_MSEC);
        assert_in_range(t.troubles, 2, 4);
        if (!f->world)
                assert_true(counter_read(&loop_counters(f->loop)->turns) - turns < 50);
        descriptors_allow(f, &before);
        RUN_UNTIL(f, t.count == 5);
        close_all(f, &t, p, 5);
        /* stopped while it rests */
        t.troubles = 0;
        peer_connect(f, fd, &p[0]);
        descriptors_forbid(f, &before);
        RUN_UNTIL(f, t.troubles);
        stop(f, &t);
        descriptors_allow(f, &before);
        assert_int_equal(t.count, 0);
        peer_close(&p[0]);
        listener_close(f, fd);
}

/* A descriptor that does not listen is told of once, and then rests. */
static void dead_listener_is_told_once(void **state) {
        struct fixture *f = *state;
        struct tracked_listener t;
        int fd;

        if (f->world)
                return;
        fd = socket_open(f);
        listen_on(f, &t, fd, false);
        RUN_UNTIL(f, t.troubles);
        run_for(f, 150 * USEC_PER_MSEC);
        assert_int_equal(t.troubles, 1);
        assert_int_equal(t.error, -EINVAL);
        stop(f, &t);
        descriptor_close(f, fd);
}

/* Clients that hang up before they are accepted are none of the listener's trouble. */
static void client_is_gone_before_accept(void **state) {
        struct fixture *f = *state;
        struct tracked_listener t;
        struct peer p[4];
        int fd = listener_open(f, 64);

        for (unsigned i = 0; i < 3; i++) {
                peer_connect(f, fd, &p[i]);
                if (i)
                        peer_reset(&p[i]);
                else
                        peer_close(&p[i]);
        }
        peer_connect(f, fd, &p[3]);
        listen_on(f, &t, fd, true);
        RUN_UNTIL(f, t.count > 0);
        run_for(f, 10 * USEC_PER_MSEC);
        assert_int_equal(t.troubles, 0);
        stop(f, &t);
        close_all(f, &t, &p[3], 1);
        listener_close(f, fd);
}

/* Errors of single connections are passed over; an endless row of them cannot be a busy loop. */
static void errors_of_single_connections(void **state) {
        static const int errors[] = { ECONNABORTED, EPROTO, ENETDOWN, EHOSTUNREACH, EPERM };
        struct fixture *f = *state;
        struct tracked_listener t;
        struct peer p[ELEMENTS(errors) + 1];
        int fd;

        if (!f->world)
                return;
        fd = listener_open(f, 64);
        listen_on(f, &t, fd, true);
        for (unsigned i = 0; i < ELEMENTS(errors); i++) {
                scripted_fault(f->world, SCRIPTED_ACCEPT, 1, SCRIPTED_RESULT, -errors[i]);
                peer_connect(f, fd, &p[i]);
                RUN_UNTIL(f, t.count == i + 1);
                assert_int_equal(t.troubles, 0);
        }
        scripted_fault(f->world, SCRIPTED_ACCEPT, 0, SCRIPTED_RESULT, -ECONNABORTED);
        peer_connect(f, fd, &p[ELEMENTS(errors)]);
        RUN_UNTIL(f, t.troubles);
        assert_int_equal(t.error, -ECONNABORTED);
        scripted_faults_clear(f->world);
        RUN_UNTIL(f, t.count == ELEMENTS(errors) + 1);
        stop(f, &t);
        close_all(f, &t, p, ELEMENTS(errors) + 1);
        listener_close(f, fd);
}

int listening_run(void) {
        const struct CMUnitTest tests[] = {
                CASE(burst_is_accepted),
                CASE(one_by_one),
                CASE(accepted_sockets_work),
                CASE(pause_and_resume),
                CASE(stop_leaves_the_queue),
                CASE(stop_in_every_state),
                CASE(descriptor_changes_hands),
                CASE(out_of_descriptors),
                CASE(dead_listener_is_told_once),
                CASE(client_is_gone_before_accept),
                CASE(errors_of_single_connections),
        };

        return cmocka_run_group_tests_name("listening", tests, NULL, NULL);
}
