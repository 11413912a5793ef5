/* SPDX-License-Identifier: MIT */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* What goes out: no caller sees a short send, whatever the reader does. */

/* Read what is there and check it; for use between turns. */
struct reader {
        struct peer *peer;
        size_t bytes;
        ssize_t last;
};

static void reader_run(struct reader *r, size_t most) {
        static char data[256 * 1024];

        while (most > 0) {
                r->last = peer_recv(r->peer, data, MIN(most, sizeof(data)));
                if (r->last <= 0)
                        return;
                assert_true(pattern_matches(data, (size_t)r->last, r->bytes));
                r->bytes += (size_t)r->last;
                most -= (size_t)r->last;
        }
}

/* An answer is a head and a body, and either may be empty. */
static void parts_arrive_in_order(void **state) {
        struct fixture *f = *state;
        struct iovec iov[] = { { NULL, 0 },
                               { (char *)"head", 4 },
                               { (char *)"", 0 },
                               { (char *)"body", 4 },
                               { NULL, 0 } };
        struct tracked_socket s;
        size_t used = 0;
        struct peer p;
        char data[16];

        tracked_open(f, &s, &p);
        START(loop_send(&s.socket, &s.write.op, iov, 5, false, tracked_done));
        assert_int_equal(s.write.done, 0);
        RUN_UNTIL(f, s.write.done);
        assert_int_equal(s.write.result, 0);
        assert_int_equal(s.write.op.send.taken, 8);
        while (used < 8) {
                ssize_t n = peer_recv(&p, data + used, sizeof(data) - used);

                used += n > 0 ? (size_t)n : 0;
        }
        assert_memory_equal(data, "headbody", 8);
        peer_close(&p);
        tracked_close(f, &s);
}

/* Nothing to send is sent at once, but not from inside the call. */
static void nothing_completes_as_well(void **state) {
        struct fixture *f = *state;
        struct iovec iov[] = { { NULL, 0 }, { NULL, 0 } };
        struct tracked_socket s;
        struct peer p;

        tracked_open(f, &s, &p);
        for (unsigned i = 1; i <= 3; i++) {
                START(loop_send(&s.socket, &s.write.op, iov, i - 1, false, tracked_done));
                assert_int_equal(s.write.done, i - 1);
                RUN_UNTIL(f, s.write.done == i);
                assert_int_equal(s.write.result, 0);
        }
        peer_close(&p);
        tracked_close(f, &s);
}

/* A head sent with `more` must come even if what follows takes its time. */
static void more_holds_nothing_back_for_ever(void **state) {
        struct fixture *f = *state;
        char head[100], body[100];
        struct iovec first = { head, 100 }, second = { body, 100 };
        struct reader r = {};
        struct tracked_socket s;
        struct peer p;

        pattern_fill(head, 100, 0);
        pattern_fill(body, 100, 100);
        tracked_open(f, &s, &p);
        r.peer = &p;
        START(loop_send(&s.socket, &s.write.op, &first, 1, true, tracked_done));
        RUN_UNTIL(f, s.write.done);
        START(loop_send(&s.socket, &s.write.op, &second, 1, false, tracked_done));
        RUN_UNTIL(f, s.write.done == 2);
        RUN_UNTIL_WITH(f, r.bytes == 200, reader_run(&r, 200));
        peer_close(&p);
        tracked_close(f, &s);
}

/* A reader that stalls holds up its own answer and nobody else's. */
static void big_send_to_a_stalled_reader(void **state) {
        struct fixture *f = *state;
        size_t size = f->world ? 8 << 20 : 64 << 20;
        struct tracked_socket s, other;
        struct peer p, other_peer;
        struct reader r = { .peer = &p };
        char *data = malloc(size);
        struct iovec iov[3];

        assert_non_null(data);
        pattern_fill(data, size, 0);
        iov[0] = (struct iovec){ data, 1000 };
        iov[1] = (struct iovec){ data + 1000, size / 2 };
        iov[2] = (struct iovec){ data + 1000 + size / 2, size / 2 - 1000 };
        tracked_open(f, &s, &p);
        tracked_open(f, &other, &other_peer);
        START(loop_send(&s.socket, &s.write.op, iov, 3, false, tracked_done));
        START(loop_recv(&s.socket, &s.read.op, tracked_done));
        run_for(f, 50 * USEC_PER_MSEC);
        assert_int_equal(s.write.done, 0);
        if (!f->world)
                assert_true(loop_socket_unsent(&s.socket) > 0);
        /* another socket, and the other way of the same, work on */
        START(loop_recv(&other.socket, &other.read.op, tracked_done));
        peer_send_all(f, &other_peer, "still here", 10);
        RUN_UNTIL(f, other.read.done);
        peer_send_all(f, &p, "me too", 6);
        RUN_UNTIL(f, s.read.done);
        assert_int_equal(s.read.result, 6);
        reader_run(&r, 1 << 20);
        run_for(f, 20 * USEC_PER_MSEC);
        assert_int_equal(s.write.done, 0);
        RUN_UNTIL_WITH(f, s.write.done, reader_run(&r, 4 << 20));
        assert_int_equal(s.write.result, 0);
        assert_int_equal(s.write.op.send.taken, size);
        RUN_UNTIL_WITH(f, r.bytes == size, reader_run(&r, size));
        assert_int_equal(s.write.done, 1);
        free(data);
        peer_close(&p);
        peer_close(&other_peer);
        tracked_close(f, &other);
        tracked_close(f, &s);
}

/* A client that goes away in the middle is an error to the send, and no signal to the process. */
static void reader_goes_away(void **state) {
        struct fixture *f = *state;
        size_t size = 32 << 20;
        char *data = calloc(1, size);

        assert_non_null(data);
        for (unsigned reset = 0; reset < 2; reset++) {
                struct iovec iov = { data, size };
                struct tracked_socket s;
                struct peer p;

                tracked_open(f, &s, &p);
                START(loop_send(&s.socket, &s.write.op, &iov, 1, false, tracked_done));
                run_for(f, 20 * USEC_PER_MSEC);
                assert_int_equal(s.write.done, 0);
                if (reset)
                        peer_reset(&p);
                else
                        peer_close(&p);
                RUN_UNTIL(f, s.write.done);
                assert_true(s.write.result == -ECONNRESET || s.write.result == -EPIPE);
                assert_true(s.write.op.send.taken > 0 && s.write.op.send.taken < size);
                /* and again: there is nobody any more */
                iov = (struct iovec){ data, 10 };
                START(loop_send(&s.socket, &s.write.op, &iov, 1, false, tracked_done));
                RUN_UNTIL(f, s.write.done == 2);
                assert_true(s.write.result == -ECONNRESET || s.write.result == -EPIPE);
                tracked_close(f, &s);
        }
        free(data);
}

struct echo {
        struct tracked_socket s;
        struct iovec iov;
        char data[4096];
};

static void echo_sent(struct tracked *t) {
        struct tracked_socket *s = t->owner;

        assert_int_equal(t->result, 0);
        loop_recv(&s->socket, &s->read.op, tracked_done);
}

static void echo_received(struct tracked *t) {
        struct tracked_socket *s = t->owner;
        struct echo *e = container_of(s, struct echo, s);

        if (t->result <= 0)
                return;
        memcpy(e->data, t->op.recv.data, (size_t)t->result);
        e->iov = (struct iovec){ e->data, (size_t)t->result };
        loop_send(&s->socket, &s->write.op, &e->iov, 1, false, tracked_done);
}

/* Receive and send by turns, from completion to completion, with both queues filling up. */
static void echo_of_a_stream(void **state) {
        struct fixture *f = *state;
        size_t total = 1 << 20, sent = 0;
        struct echo e = {};
        struct peer p;
        struct reader r = { .peer = &p };
        uint64_t end = real_usec() + RUN_SEC_MAX * USEC_PER_SEC;

        tracked_open(f, &e.s, &p);
        e.s.read.then = echo_received;
        e.s.write.then = echo_sent;
        START(loop_recv(&e.s.socket, &e.s.read.op, tracked_done));
        while (r.bytes < total && real_usec() < end) {
                char data[3000];
                size_t size = MIN(sizeof(data), total - sent);
                ssize_t n;

                pattern_fill(data, size, sent);
                n = size > 0 ? peer_send(&p, data, size) : 0;
                sent += n > 0 ? (size_t)n : 0;
                turn(f, n > 0 ? 0 : 1000);
                reader_run(&r, 1 << 20);
        }
        assert_int_equal(r.bytes, total);
        peer_close(&p);
        RUN_UNTIL(f, e.s.read.result == 0);
        tracked_close(f, &e.s);
}

/*
 * A receive and a send that both wait share one registration, and each must hear of its own event.
 */
static void both_ways_wait_at_once(void **state) {
        struct fixture *f = *state;
        size_t size = 16 << 20;
        char *data = malloc(size);

        assert_non_null(data);
        pattern_fill(data, size, 0);
        for (unsigned first = 0; first < 2; first++) {
                struct iovec iov = { data, size };
                struct tracked_socket s;
                struct peer p;
                struct reader r = { .peer = &p };

                tracked_open(f, &s, &p);
                if (first == 0)
                        START(loop_recv(&s.socket, &s.read.op, tracked_done));
                START(loop_send(&s.socket, &s.write.op, &iov, 1, false, tracked_done));
                if (first == 1)
                        START(loop_recv(&s.socket, &s.read.op, tracked_done));
                run_for(f, 20 * USEC_PER_MSEC);
                assert_int_equal(s.read.done + s.write.done, 0);
                /* several events of one way while the other waits on */
                for (unsigned i = 1; i <= 3; i++) {
                        peer_send_all(f, &p, "abc", 3);
                        RUN_UNTIL(f, s.read.done == i);
                        assert_int_equal(s.write.done, 0);
                        START(loop_recv(&s.socket, &s.read.op, tracked_done));
                }
                RUN_UNTIL_WITH(f, s.write.done, reader_run(&r, 1 << 20));
                assert_int_equal(s.write.result, 0);
                assert_int_equal(s.read.done, 3);
                peer_send_all(f, &p, "end", 3);
                RUN_UNTIL(f, s.read.done == 4);
                RUN_UNTIL_WITH(f, r.bytes == size, reader_run(&r, size));
                peer_close(&p);
                tracked_close(f, &s);
        }
        free(data);
}

/* Passing descriptors: they go once, with the first bytes, however many pieces the rest takes. */
static void descriptor_goes_once_with_a_message(void **state) {
        struct fixture *f = *state;
        char control[CMSG_SPACE(sizeof(int))] = {};
        size_t size = 3 << 20, bytes = 0;
        char *data = malloc(size);
        struct iovec iov = { data, size };
        struct msghdr m = { .msg_iov = &iov,
                            .msg_iovlen = 1,
                            .msg_control = control,
                            .msg_controllen = sizeof(control) };
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        int null = open("/dev/null", O_RDONLY | O_CLOEXEC), got = 0;
        struct tracked_socket s = {};
        struct peer p;

        assert_non_null(data);
        pattern_fill(data, size, 0);
        *c = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
                               .cmsg_type = SCM_RIGHTS,
                               .cmsg_len = CMSG_LEN(sizeof(int)) };
        memcpy(CMSG_DATA(c), &null, sizeof(int));
        loop_socket_init(f->loop, &s.socket, pair_open_unix(f, &p));
        START(loop_send_message(&s.socket, &s.write.op, &m, tracked_done));
        while (bytes < size) {
                char piece[65536], space[CMSG_SPACE(4 * sizeof(int))];
                struct iovec part = { piece, sizeof(piece) };
                struct msghdr in = { .msg_iov = &part,
                                     .msg_iovlen = 1,
                                     .msg_control = space,
                                     .msg_controllen = sizeof(space) };
                ssize_t n = peer_recv_message(&p, &in);
                struct cmsghdr *h;

                if (n == -EAGAIN) {
                        turn(f, 1000);
                        continue;
                }
                assert_true(n > 0 && pattern_matches(piece, (size_t)n, bytes));
                bytes += (size_t)n;
                h = CMSG_FIRSTHDR(&in);
                if (h) {
                        int fd;

                        memcpy(&fd, CMSG_DATA(h), sizeof(int));
                        close(fd);
                        got++;
                }
        }
        RUN_UNTIL(f, s.write.done);
        assert_int_equal(s.write.result, 0);
        assert_int_equal(s.write.op.message.taken, size);
        assert_int_equal(got, 1);
        close(null);
        free(data);
        peer_close(&p);
        tracked_close(f, &s);
}

int sending_run(void) {
        const struct CMUnitTest tests[] = {
                CASE(parts_arrive_in_order),
                CASE(nothing_completes_as_well),
                CASE(more_holds_nothing_back_for_ever),
                CASE(big_send_to_a_stalled_reader),
                CASE(reader_goes_away),
                CASE(echo_of_a_stream),
                CASE(both_ways_wait_at_once),
                CASE(descriptor_goes_once_with_a_message),
        };

        return cmocka_run_group_tests_name("sending", tests, NULL, NULL);
}
