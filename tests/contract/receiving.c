/* SPDX-License-Identifier: MIT */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

/* What comes in: every byte once, in order, and the end told from a reset. */

/* Data may be there before anyone asks, or come later; nobody may have to know which. */
static void bytes_come_before_or_after_the_start(void **state) {
        struct fixture *f = *state;
        struct tracked_socket s;
        struct peer p;

        tracked_open(f, &s, &p);
        START(loop_recv(&s.socket, &s.read.op, tracked_done));
        run_for(f, 10 * USEC_PER_MSEC);
        assert_int_equal(s.read.done, 0);
        peer_send_all(f, &p, "late", 4);
        RUN_UNTIL(f, s.read.done);
        assert_int_equal(s.read.result, 4);
        assert_memory_equal(s.read.data, "late", 4);

        peer_send_all(f, &p, "early", 5);
        run_for(f, 10 * USEC_PER_MSEC);
        assert_int_equal(s.read.done, 1);
        START(loop_recv(&s.socket, &s.read.op, tracked_done));
        assert_int_equal(s.read.done, 1);
        RUN_UNTIL(f, s.read.done == 2);
        assert_int_equal(s.read.result, 5);
        assert_memory_equal(s.read.data, "early", 5);
        run_for(f, 10 * USEC_PER_MSEC);
        assert_int_equal(s.read.done, 2);
        peer_close(&p);
        tracked_close(f, &s);
}

/* A socket that is served at once is received from before anything was registered. */
static void first_bytes_are_there_already(void **state) {
        struct fixture *f = *state;
        struct tracked_socket s;
        struct peer p;

        tracked_open(f, &s, &p);
        peer_send_all(f, &p, "first", 5);
        run_for(f, 5 * USEC_PER_MSEC);
        START(loop_recv(&s.socket, &s.read.op, tracked_done));
        RUN_UNTIL(f, s.read.done);
        assert_memory_equal(s.read.data, "first", 5);
        /* and what comes between two receives is not missed by the registration */
        peer_send_all(f, &p, "second", 6);
        run_for(f, 5 * USEC_PER_MSEC);
        START(loop_recv(&s.socket, &s.read.op, tracked_done));
        RUN_UNTIL(f, s.read.done == 2);
        assert_memory_equal(s.read.data, "second", 6);
        peer_close(&p);
        tracked_close(f, &s);
}

/* Starts itself anew until the end; counts and checks the stream. */
static void drain(struct tracked *t) {
        struct tracked_socket *s = t->owner;

        if (t->result <= 0 || s->socket.closing)
                return;
        assert_true((size_t)t->result <= s->socket.loop->buffers.buffer_bytes);
        assert_true(
                pattern_matches(t->op.recv.data, (size_t)t->result, t->bytes - (size_t)t->result));
        loop_recv(&s->socket, &t->op, tracked_done);
}

/*
 * Readiness is remembered after a full buffer and forgotten after a short one: neither may stall.
 */
static void sizes_around_the_buffer(void **state) {
        struct fixture *f = *state;
        unsigned b = f->loop->buffers.buffer_bytes;
        const unsigned sizes[] = { 1, b - 1, b, 1, b, b, b + 1, 2 * b, 3 * b - 1, 3 * b, 1 };
        struct tracked_socket s;
        size_t sent = 0;
        struct peer p;
        char *data = malloc(3 * (size_t)b);

        assert_non_null(data);
        tracked_open(f, &s, &p);
        s.read.then = drain;
        START(loop_recv(&s.socket, &s.read.op, tracked_done));
        for (size_t i = 0; i < ELEMENTS(sizes); i++) {
                pattern_fill(data, sizes[i], sent);
                sent += sizes[i];
                peer_send_all(f, &p, data, sizes[i]);
                RUN_UNTIL(f, s.read.bytes == sent);
        }
        peer_close(&p);
        RUN_UNTIL(f, loop_op_is_idle(&s.read.op));
        assert_int_equal(s.read.result, 0);
        assert_int_equal(s.read.bytes, sent);
        free(data);
        tracked_close(f, &s);
}

/* A receive started again from its own completion must not lose its place in a long stream. */
static void long_stream_arrives_whole(void **state) {
        struct fixture *f = *state;
        size_t total = 1 << 20, sent = 0;
        struct tracked_socket s;
        struct peer p;

        tracked_open(f, &s, &p);
        s.read.then = drain;
        START(loop_recv(&s.socket, &s.read.op, tracked_done));
        while (sent < total) {
                char data[5000];
                size_t n = MIN(sizeof(data), total - sent);

                pattern_fill(data, n, sent);
                peer_send_all(f, &p, data, n);
                sent += n;
        }
        peer_close(&p);
        RUN_UNTIL(f, loop_op_is_idle(&s.read.op));
        assert_int_equal(s.read.result, 0);
        assert_int_equal(s.read.bytes, total);
        tracked_close(f, &s);
}

/* The end comes after all bytes, and comes again to whoever asks again. */
static void end_comes_after_the_bytes(void **state) {
        struct fixture *f = *state;
        struct tracked_socket s;
        struct peer p;

        tracked_open(f, &s, &p);
        peer_send_all(f, &p, "bye", 3);
        peer_close(&p);
        for (unsigned i = 1; i <= 3; i++) {
                START(loop_recv(&s.socket, &s.read.op, tracked_done));
                RUN_UNTIL(f, s.read.done == i);
                assert_int_equal(s.read.result, i == 1 ? 3 : 0);
        }
        tracked_close(f, &s);
}

/* A waiting receive must hear of the end even if no byte ever comes. */
static void end_comes_to_a_waiting_receive(void **state) {
        struct fixture *f = *state;
        struct tracked_socket s;
        struct peer p;

        tracked_open(f, &s, &p);
        START(loop_recv(&s.socket, &s.read.op, tracked_done));
        run_for(f, 5 * USEC_PER_MSEC);
        peer_close(&p);
        RUN_UNTIL(f, s.read.done);
        assert_int_equal(s.read.result, 0);
        tracked_close(f, &s);
}

/* A client that shuts down its side still wants its answer. */
static void half_close_leaves_the_other_way_open(void **state) {
        struct fixture *f = *state;
        struct iovec iov = { (char *)"answer", 6 };
        struct tracked_socket s;
        struct peer p;
        char data[16];
        ssize_t n;

        tracked_open(f, &s, &p);
        peer_send_all(f, &p, "question", 8);
        peer_half_close(&p);
        START(loop_recv(&s.socket, &s.read.op, tracked_done));
        RUN_UNTIL(f, s.read.done == 1);
        assert_int_equal(s.read.result, 8);
        START(loop_recv(&s.socket, &s.read.op, tracked_done));
        RUN_UNTIL(f, s.read.done == 2);
        assert_int_equal(s.read.result, 0);
        START(loop_send(&s.socket, &s.write.op, &iov, 1, false, tracked_done));
        RUN_UNTIL(f, s.write.done);
        assert_int_equal(s.write.result, 0);
        RUN_UNTIL(f, (n = peer_recv(&p, data, sizeof(data))) != -EAGAIN);
        assert_int_equal(n, 6);
        assert_int_equal(loop_shutdown(&s.socket, SHUT_WR), 0);
        RUN_UNTIL(f, (n = peer_recv(&p, data, sizeof(data))) != -EAGAIN);
        assert_int_equal(n, 0);
        peer_close(&p);
        tracked_close(f, &s);
}

/* A reset is an error, never an end that looks as if all had come. */
static void reset_is_not_an_end(void **state) {
        struct fixture *f = *state;

        for (unsigned waiting = 0; waiting < 2; waiting++) {
                struct tracked_socket s;
                struct peer p;

                tracked_open(f, &s, &p);
                if (waiting) {
                        START(loop_recv(&s.socket, &s.read.op, tracked_done));
                        run_for(f, 5 * USEC_PER_MSEC);
                }
                peer_send_all(f, &p, "part", 4);
                peer_reset(&p);
                if (!waiting) {
                        run_for(f, 5 * USEC_PER_MSEC);
                        START(loop_recv(&s.socket, &s.read.op, tracked_done));
                }
                RUN_UNTIL(f, s.read.done == 1);
                if (s.read.result > 0) {
                        assert_memory_equal(s.read.data, "part", 4);
                        START(loop_recv(&s.socket, &s.read.op, tracked_done));
                        RUN_UNTIL(f, s.read.done == 2);
                }
                assert_int_equal(s.read.result, -ECONNRESET);
                tracked_close(f, &s);
        }
}

struct upload {
        struct tracked_socket s;
        char *data;
        size_t size, used;
};

static void upload_then(struct tracked *t) {
        struct upload *u = container_of((struct tracked_socket *)t->owner, struct upload, s);

        if (t->result <= 0)
                return;
        u->used += (size_t)t->result;
        if (u->used < u->size)
                loop_recv_into(&u->s.socket, &t->op, u->data + u->used, u->size - u->used,
                               tracked_done);
}

/* Uploads go straight into the caller's memory. */
static void receive_into_the_callers_memory(void **state) {
        struct fixture *f = *state;
        struct upload u = { .size = 700001 };
        size_t sent = 0;
        struct peer p;

        u.data = malloc(u.size);
        assert_non_null(u.data);
        tracked_open(f, &u.s, &p);
        u.s.read.then = upload_then;
        START(loop_recv_into(&u.s.socket, &u.s.read.op, u.data, u.size, tracked_done));
        while (sent < u.size) {
                char data[8192];
                size_t n = MIN(sizeof(data), u.size - sent);

                pattern_fill(data, n, sent);
                peer_send_all(f, &p, data, n);
                sent += n;
        }
        RUN_UNTIL(f, u.used == u.size);
        assert_true(pattern_matches(u.data, u.size, 0));
        START(loop_recv_into(&u.s.socket, &u.s.read.op, u.data, 1, tracked_done));
        peer_close(&p);
        RUN_UNTIL(f, u.s.read.result == 0);
        free(u.data);
        tracked_close(f, &u.s);
}

/* Reload passes descriptors: they come with their byte, close-on-exec, and none is lost. */
static void descriptors_come_with_a_message(void **state) {
        struct fixture *f = *state;
        struct tracked_socket s = {};
        struct peer p;

        s.read.owner = &s;
        loop_socket_init(f->loop, &s.socket, pair_open_unix(f, &p));
        /* two messages are there before the first is received: the second must not be forgotten */
        for (unsigned i = 0; i < 2; i++) {
                char control[CMSG_SPACE(sizeof(int))] = {};
                struct iovec iov = { (char *)"x", 1 };
                struct msghdr m = { .msg_iov = &iov,
                                    .msg_iovlen = 1,
                                    .msg_control = control,
                                    .msg_controllen = sizeof(control) };
                struct cmsghdr *c = CMSG_FIRSTHDR(&m);
                int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

                *c = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
                                       .cmsg_type = SCM_RIGHTS,
                                       .cmsg_len = CMSG_LEN(sizeof(int)) };
                memcpy(CMSG_DATA(c), &null, sizeof(int));
                assert_int_equal(peer_send_message(&p, &m), 1);
                close(null);
        }
        for (unsigned i = 1; i <= 2; i++) {
                char control[CMSG_SPACE(sizeof(int))] = {}, data[16];
                struct iovec iov = { data, sizeof(data) };
                struct msghdr m = { .msg_iov = &iov,
                                    .msg_iovlen = 1,
                                    .msg_control = control,
                                    .msg_controllen = sizeof(control) };
                struct cmsghdr *c;
                int fd;

                START(loop_recv_message(&s.socket, &s.read.op, &m, tracked_done));
                RUN_UNTIL(f, s.read.done == i);
                assert_int_equal(s.read.result, 1);
                c = CMSG_FIRSTHDR(&m);
                assert_non_null(c);
                assert_int_equal(c->cmsg_type, SCM_RIGHTS);
                memcpy(&fd, CMSG_DATA(c), sizeof(int));
                assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
                close(fd);
        }
        peer_close(&p);
        tracked_close(f, &s);
}

/* Urgent data (EPOLLPRI) wakes nobody, and what is sent in the ordinary way still comes. */
static void urgent_data_is_no_event(void **state) {
        struct fixture *f = *state;
        struct tracked_socket s;
        struct peer p;

        if (f->world)
                return;
        tracked_open(f, &s, &p);
        START(loop_recv(&s.socket, &s.read.op, tracked_done));
        run_for(f, 5 * USEC_PER_MSEC);
        assert_int_equal(send(p.fd, "!", 1, MSG_OOB), 1);
        run_for(f, 10 * USEC_PER_MSEC);
        assert_int_equal(s.read.done, 0);
        peer_send_all(f, &p, "text", 4);
        RUN_UNTIL(f, s.read.done);
        assert_memory_equal(s.read.data, "text", 4);
        peer_close(&p);
        tracked_close(f, &s);
}

int receiving_run(void) {
        const struct CMUnitTest tests[] = {
                CASE(bytes_come_before_or_after_the_start),
                CASE(first_bytes_are_there_already),
                CASE(sizes_around_the_buffer),
                CASE(long_stream_arrives_whole),
                CASE(end_comes_after_the_bytes),
                CASE(end_comes_to_a_waiting_receive),
                CASE(half_close_leaves_the_other_way_open),
                CASE(reset_is_not_an_end),
                CASE(receive_into_the_callers_memory),
                CASE(descriptors_come_with_a_message),
                CASE(urgent_data_is_no_event),
        };

        return cmocka_run_group_tests_name("receiving", tests, NULL, NULL);
}
