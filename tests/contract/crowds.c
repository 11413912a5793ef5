/* SPDX-License-Identifier: MIT */
#include "harness.h"

#include <errno.h>
#include <stdlib.h>

/* Many at once: short of buffers, a thousand sockets, and one that would take all the time. */

struct member {
        struct tracked_socket s;
        struct peer p;
        size_t expected;
};

static void member_drain(struct tracked *t) {
        struct tracked_socket *s = t->owner;

        if (t->result <= 0 || s->socket.closing)
                return;
        assert_true(
                pattern_matches(t->op.recv.data, (size_t)t->result, t->bytes - (size_t)t->result));
        loop_recv(&s->socket, &t->op, tracked_done);
}

static struct member *crowd_open(struct fixture *f, unsigned count) {
        struct member *m = calloc(count, sizeof(*m));

        assert_non_null(m);
        for (unsigned i = 0; i < count; i++) {
                tracked_open(f, &m[i].s, &m[i].p);
                m[i].s.read.then = member_drain;
                START(loop_recv(&m[i].s.socket, &m[i].s.read.op, tracked_done));
        }
        return m;
}

static void crowd_close(struct fixture *f, struct member *m, unsigned count) {
        for (unsigned i = 0; i < count; i++)
                peer_close(&m[i].p);
        for (unsigned i = 0; i < count; i++)
                tracked_close(f, &m[i].s);
        free(m);
}

/*
 * More sockets have bytes than there are buffers: all are served in the end, and the end comes too.
 */
static void more_bytes_than_buffers(void **state) {
        struct fixture *f = *state;
        enum { COUNT = 300, ROUNDS = 5 };
        struct member *m = crowd_open(f, COUNT);

        turn(f, 0);
        for (unsigned round = 0; round < ROUNDS; round++) {
                for (unsigned i = 0; i < COUNT; i++) {
                        char data[200];
                        size_t n = 1 + (i * 7 + round) % sizeof(data);

                        pattern_fill(data, n, m[i].expected);
                        peer_send_all(f, &m[i].p, data, n);
                        m[i].expected += n;
                }
                if (round == ROUNDS - 1)
                        for (unsigned i = 0; i < COUNT; i++)
                                peer_half_close(&m[i].p);
                for (unsigned i = 0; i < COUNT; i++)
                        RUN_UNTIL(f, m[i].s.read.bytes == m[i].expected);
        }
        for (unsigned i = 0; i < COUNT; i++)
                RUN_UNTIL(f, loop_op_is_idle(&m[i].s.read.op));
        for (unsigned i = 0; i < COUNT; i++)
                assert_int_equal(m[i].s.read.result, 0);
        crowd_close(f, m, COUNT);
}

/* Those that wait for a buffer can be cancelled and closed as well as any. */
static void close_while_short_of_buffers(void **state) {
        struct fixture *f = *state;
        enum { COUNT = 200 };

        for (unsigned round = 0; round < 4; round++) {
                struct member *m = crowd_open(f, COUNT);

                for (unsigned i = 0; i < COUNT; i++)
                        peer_send_all(f, &m[i].p, "", 1);
                for (unsigned i = 0; i < round; i++)
                        turn(f, 0);
                for (unsigned i = 0; i < COUNT; i += 2)
                        loop_cancel(f->loop, &m[i].s.read.op);
                crowd_close(f, m, COUNT);
        }
}

/* A thousand sockets with something to do at once, then closed at once. */
static void thousand_sockets(void **state) {
        struct fixture *f = *state;
        enum { COUNT = 1000 };
        struct member *m = crowd_open(f, COUNT);

        for (unsigned round = 0; round < 3; round++) {
                for (unsigned i = 0; i < COUNT; i++) {
                        char data[10];

                        pattern_fill(data, 10, round * 10);
                        peer_send_all(f, &m[i].p, data, 10);
                }
                for (unsigned i = 0; i < COUNT; i++)
                        RUN_UNTIL(f, m[i].s.read.bytes == (round + 1) * 10);
        }
        for (unsigned i = 0; i < COUNT; i++)
                START(loop_close(&m[i].s.socket, tracked_closed));
        for (unsigned i = 0; i < COUNT; i++)
                RUN_UNTIL(f, m[i].s.closed);
        assert_int_equal(f->loop->sockets, 0);
        crowd_close(f, m, COUNT);
}

static void defer_for_ever(struct tracked *t) {
        if (t->owner)
                loop_defer(t->owner, &t->op, tracked_done);
}

/*
 * One that always has something to do keeps neither sockets nor timers nor messages from their
 * turn.
 */
static void busy_one_starves_nobody(void **state) {
        struct fixture *f = *state;
        struct tracked busy = { .then = defer_for_ever, .owner = f->loop };
        struct member *m = crowd_open(f, 4);
        uint64_t start = real_usec();

        START(loop_defer(f->loop, &busy.op, tracked_done));
        for (unsigned i = 0; i < 4; i++) {
                char data[10];

                pattern_fill(data, 10, 0);
                peer_send_all(f, &m[i].p, data, 10);
                RUN_UNTIL(f, m[i].s.read.bytes == 10);
        }
        assert_true(real_usec() - start < 2 * USEC_PER_SEC);
        busy.owner = NULL;
        RUN_UNTIL(f, loop_op_is_idle(&busy.op));
        crowd_close(f, m, 4);
}

struct slow {
        struct tracked t;
        struct fixture *f;
        unsigned number, *next;
};

static void slow_then(struct tracked *t) {
        struct slow *s = container_of(t, struct slow, t);
        uint64_t end = real_usec() + 500;

        assert_int_equal(s->number, (*s->next)++);
        if (s->f->world)
                scripted_advance(s->f->world, 500);
        else
                while (real_usec() < end)
                        ;
}

/* A batch of slow completions is cut, in order, so that the kernel's news is not kept waiting. */
static void long_batch_is_cut(void **state) {
        struct fixture *f = *state;
        enum { COUNT = 300 };
        struct slow *slow = calloc(COUNT, sizeof(*slow));
        struct member *m = crowd_open(f, 1);
        unsigned next = 0;

        assert_non_null(slow);
        turn(f, 0);
        for (unsigned i = 0; i < COUNT; i++) {
                slow[i] = (struct slow){ .t.then = slow_then, .f = f, .number = i, .next = &next };
                START(loop_defer(f->loop, &slow[i].t.op, tracked_done));
        }
        turn(f, 0);
        assert_in_range(next, 1, COUNT / 2);
        pattern_fill(m->s.read.data, 1, 0);
        peer_send_all(f, &m->p, m->s.read.data, 1);
        /* the bytes are seen by the next wait; their completion stands behind what was there */
        RUN_UNTIL(f, m->s.read.bytes == 1);
        assert_int_equal(next, COUNT);
        for (unsigned i = 0; i < COUNT; i++)
                assert_int_equal(slow[i].t.done, 1);
        free(slow);
        crowd_close(f, m, 1);
}

int crowds_run(void) {
        const struct CMUnitTest tests[] = {
                CASE(more_bytes_than_buffers), CASE(close_while_short_of_buffers),
                CASE(thousand_sockets),        CASE(busy_one_starves_nobody),
                CASE(long_batch_is_cut),
        };

        return cmocka_run_group_tests_name("crowds", tests, NULL, NULL);
}
