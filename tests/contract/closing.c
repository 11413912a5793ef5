/* SPDX-License-Identifier: MIT */
#include "harness.h"

#include <errno.h>
#include <stdlib.h>

/*
 * Cancelling and closing: each operation still completes once, no byte is lost, no memory is used
 * late.
 */

/* To cancel what is not under way is allowed, so that owners need not know. */
static void cancel_of_an_idle_operation(void **state) {
        struct fixture *f = *state;
        struct tracked_socket s;
        struct peer p;

        tracked_open(f, &s, &p);
        loop_cancel(f->loop, &s.read.op);
        START(loop_recv(&s.socket, &s.read.op, tracked_done));
        START(loop_cancel(f->loop, &s.read.op));
        START(loop_cancel(f->loop, &s.read.op));
        assert_int_equal(s.read.done, 0);
        RUN_UNTIL(f, s.read.done);
        assert_int_equal(s.read.result, -ECANCELED);
        loop_cancel(f->loop, &s.read.op);
        run_for(f, 5 * USEC_PER_MSEC);
        assert_int_equal(s.read.done, 1);
        peer_close(&p);
        tracked_close(f, &s);
}

/*
 * A receive that is cancelled while its bytes arrive gives them or leaves them, and never loses
 * them.
 */
static void cancel_races_with_bytes(void **state) {
        struct fixture *f = *state;
        struct tracked_socket s;
        unsigned kept = 0;
        struct peer p;

        tracked_open(f, &s, &p);
        for (unsigned i = 0; i < 2000; i++) {
                char byte = pattern(i);

                s.read.done = 0;
                START(loop_recv(&s.socket, &s.read.op, tracked_done));
                if (i % 3 == 0)
                        turn(f, 0);
                peer_send_all(f, &p, &byte, 1);
                if (i % 5 == 0)
                        turn(f, 0);
                loop_cancel(f->loop, &s.read.op);
                RUN_UNTIL(f, s.read.done);
                if (s.read.result == -ECANCELED) {
                        kept++;
                        START(loop_recv(&s.socket, &s.read.op, tracked_done));
                        RUN_UNTIL(f, s.read.done == 2);
                }
                assert_int_equal(s.read.result, 1);
                assert_int_equal(s.read.data[0], byte);
        }
        assert_true(kept > 0);
        peer_close(&p);
        tracked_close(f, &s);
}

/* After a cancelled send, `taken` says exactly what the peer will see. */
static void cancelled_send_knows_what_it_sent(void **state) {
        struct fixture *f = *state;
        size_t size = 32 << 20, bytes = 0;
        char *data = malloc(size), in[65536];
        struct iovec iov = { data, size };
        struct tracked_socket s;
        struct peer p;
        ssize_t n;

        assert_non_null(data);
        pattern_fill(data, size, 0);
        tracked_open(f, &s, &p);
        START(loop_send(&s.socket, &s.write.op, &iov, 1, false, tracked_done));
        run_for(f, 20 * USEC_PER_MSEC);
        assert_int_equal(s.write.done, 0);
        START(loop_cancel(f->loop, &s.write.op));
        RUN_UNTIL(f, s.write.done);
        assert_int_equal(s.write.result, -ECANCELED);
        assert_int_equal(loop_shutdown(&s.socket, SHUT_WR), 0);
        for (;;) {
                n = peer_recv(&p, in, sizeof(in));
                if (n == 0)
                        break;
                if (n == -EAGAIN) {
                        turn(f, 1000);
                        continue;
                }
                assert_true(n > 0 && pattern_matches(in, (size_t)n, bytes));
                bytes += (size_t)n;
        }
        assert_int_equal(bytes, s.write.op.send.taken);
        free(data);
        peer_close(&p);
        tracked_close(f, &s);
}

/* Both operations complete before `closed`, which is where their memory may go. */
static void close_ends_both_operations(void **state) {
        struct fixture *f = *state;
        size_t size = 32 << 20;
        char *data = calloc(1, size);
        struct iovec iov = { data, size };
        struct tracked_socket s;
        struct peer p;

        assert_non_null(data);
        tracked_open(f, &s, &p);
        START(loop_recv(&s.socket, &s.read.op, tracked_done));
        START(loop_send(&s.socket, &s.write.op, &iov, 1, false, tracked_done));
        run_for(f, 20 * USEC_PER_MSEC);
        START(loop_close(&s.socket, tracked_closed));
        assert_int_equal(s.closed, 0);
        RUN_UNTIL(f, s.closed);
        assert_int_equal(s.read.done, 1);
        assert_int_equal(s.read.result, -ECANCELED);
        assert_int_equal(s.write.done, 1);
        assert_int_equal(s.write.result, -ECANCELED);
        free(data);
        peer_close(&p);
}

static void close_itself(struct tracked *t) {
        struct tracked_socket *s = t->owner;

        loop_close(&s->socket, tracked_closed);
}

static void freed(struct tracked_socket *s) {
        unsigned *count = s->read.op.socket ? s->write.owner : NULL;

        (*count)++;
        free(s);
}

/* Most connections end in their own completion, and are freed there and then. */
static void close_in_its_own_callback(void **state) {
        struct fixture *f = *state;
        unsigned count = 0;

        for (unsigned i = 1; i <= 20; i++) {
                struct tracked_socket *s = malloc(sizeof(*s));
                struct peer p;

                assert_non_null(s);
                tracked_open(f, s, &p);
                s->read.then = close_itself;
                s->then = freed;
                s->write.owner = &count;
                START(loop_recv(&s->socket, &s->read.op, tracked_done));
                if (i % 2)
                        turn(f, 0);
                peer_send_all(f, &p, "x", 1);
                RUN_UNTIL(f, count == i);
                peer_close(&p);
        }
}

struct pair_of_sockets {
        struct tracked_socket s[2];
        unsigned closes;
};

static void close_the_other(struct tracked *t) {
        struct tracked_socket *s = t->owner;
        struct pair_of_sockets *pair = s->write.owner;
        struct tracked_socket *other = s == &pair->s[0] ? &pair->s[1] : &pair->s[0];

        if (other->socket.closing || s->socket.closing)
                return;
        pair->closes++;
        loop_close(&other->socket, tracked_closed);
}

/* A completion may close a socket whose own completion stands behind it in the same batch. */
static void close_a_sibling_in_the_same_batch(void **state) {
        struct fixture *f = *state;

        for (unsigned i = 0; i < 50; i++) {
                struct pair_of_sockets pair = {};
                struct peer p[2];

                for (unsigned k = 0; k < 2; k++) {
                        tracked_open(f, &pair.s[k], &p[k]);
                        pair.s[k].read.then = close_the_other;
                        pair.s[k].write.owner = &pair;
                        START(loop_recv(&pair.s[k].socket, &pair.s[k].read.op, tracked_done));
                }
                if (i % 2)
                        turn(f, 0);
                peer_send_all(f, &p[i % 2], "x", 1);
                peer_send_all(f, &p[!(i % 2)], "y", 1);
                RUN_UNTIL(f, pair.s[0].closed + pair.s[1].closed == 1);
                assert_int_equal(pair.closes, 1);
                for (unsigned k = 0; k < 2; k++) {
                        RUN_UNTIL(f, pair.s[k].read.done);
                        peer_close(&p[k]);
                        tracked_close(f, &pair.s[k]);
                        assert_int_equal(pair.s[k].read.done, 1);
                        assert_true(pair.s[k].read.result == 1 ||
                                    pair.s[k].read.result == -ECANCELED);
                }
        }
}

/*
 * The kernel gives a closed descriptor's number to the next: nothing of the old may reach the new.
 */
static void descriptor_number_is_used_again(void **state) {
        struct fixture *f = *state;
        int number = -1;
        unsigned same = 0;

        for (unsigned i = 0; i < 200; i++) {
                struct tracked_socket s;
                struct peer p;
                char byte = pattern(i);

                tracked_open(f, &s, &p);
                same += s.socket.fd == number;
                number = s.socket.fd;
                START(loop_recv(&s.socket, &s.read.op, tracked_done));
                if (i % 3)
                        turn(f, 0);
                peer_send_all(f, &p, &byte, 1);
                if (i % 2) {
                        RUN_UNTIL(f, s.read.done);
                        assert_int_equal(s.read.result, 1);
                        assert_int_equal(s.read.data[0], byte);
                        START(loop_recv(&s.socket, &s.read.op, tracked_done));
                }
                /* an event of the old one is under way when it goes */
                peer_send_all(f, &p, "old", 3);
                peer_close(&p);
                tracked_close(f, &s);
        }
        assert_true(same > 0);
}

/* An idle socket has nothing to wait for, and still is not closed from inside the call. */
static void close_of_an_idle_socket(void **state) {
        struct fixture *f = *state;
        struct tracked_socket s;
        struct peer p;
        char byte;
        ssize_t n;

        tracked_open(f, &s, &p);
        START(loop_close(&s.socket, tracked_closed));
        assert_int_equal(s.closed, 0);
        RUN_UNTIL(f, s.closed);
        RUN_UNTIL(f, (n = peer_recv(&p, &byte, 1)) != -EAGAIN);
        assert_int_equal(n, 0);
        peer_close(&p);
}

/* A peer that hangs up or resets while nothing is under way must cost nothing but its close. */
static void peer_goes_while_idle(void **state) {
        struct fixture *f = *state;

        for (unsigned i = 0; i < 4; i++) {
                struct tracked_socket s;
                uint64_t turns;
                struct peer p;

                tracked_open(f, &s, &p);
                if (i & 1) {
                        START(loop_recv(&s.socket, &s.read.op, tracked_done));
                        run_for(f, 2 * USEC_PER_MSEC);
                        peer_send_all(f, &p, "x", 1);
                        RUN_UNTIL(f, s.read.done);
                }
                if (i & 2)
                        peer_reset(&p);
                else
                        peer_close(&p);
                turns = counter_read(&loop_counters(f->loop)->turns);
                run_for(f, 20 * USEC_PER_MSEC);
                if (!f->world) /* no busy loop over what nobody waits for */
                        assert_true(counter_read(&loop_counters(f->loop)->turns) - turns < 20);
                tracked_close(f, &s);
        }
}

int closing_run(void) {
        const struct CMUnitTest tests[] = {
                CASE(cancel_of_an_idle_operation),
                CASE(cancel_races_with_bytes),
                CASE(cancelled_send_knows_what_it_sent),
                CASE(close_ends_both_operations),
                CASE(close_in_its_own_callback),
                CASE(close_a_sibling_in_the_same_batch),
                CASE(descriptor_number_is_used_again),
                CASE(close_of_an_idle_socket),
                CASE(peer_goes_while_idle),
        };

        return cmocka_run_group_tests_name("closing", tests, NULL, NULL);
}
