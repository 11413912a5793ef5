/* SPDX-License-Identifier: MIT */
#include "harness.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Readiness without transfer, connecting, and descriptors that are no sockets of the loop's. */

/*
 * While an application works on a request, only the client's going is of interest, not its bytes.
 */
static void peer_that_has_gone_is_noticed(void **state) {
        struct fixture *f = *state;

        for (unsigned i = 0; i < 3; i++) {
                struct tracked_socket s;
                struct peer p;

                tracked_open(f, &s, &p);
                START(loop_wait(&s.socket, &s.read.op, POLLRDHUP, tracked_done));
                run_for(f, 5 * USEC_PER_MSEC);
                peer_send_all(f, &p, "pipelined", 9);
                run_for(f, 10 * USEC_PER_MSEC);
                assert_int_equal(s.read.done, 0);
                if (i == 0)
                        peer_close(&p);
                else if (i == 1)
                        peer_half_close(&p);
                else
                        peer_reset(&p);
                RUN_UNTIL(f, s.read.done);
                assert_true(s.read.result > 0);
                assert_true(s.read.result & (POLLRDHUP | POLLHUP | POLLERR));
                if (i < 2)
                        assert_true(s.read.result & POLLRDHUP);
                /* asked again, it says so again; and the bytes are still there */
                START(loop_wait(&s.socket, &s.read.op, POLLRDHUP, tracked_done));
                RUN_UNTIL(f, s.read.done == 2);
                START(loop_recv(&s.socket, &s.read.op, tracked_done));
                RUN_UNTIL(f, s.read.done == 3);
                if (i < 2)
                        assert_int_equal(s.read.result, 9);
                peer_close(&p);
                tracked_close(f, &s);
        }
}

/* A library that reads for itself (TLS) waits when it found nothing: no false alarm, no sleep. */
static void wait_for_input_after_foreign_reads(void **state) {
        struct fixture *f = *state;
        struct tracked_socket s;
        struct peer p;
        char data[16];

        if (f->world)
                return;
        tracked_open(f, &s, &p);
        for (unsigned i = 1; i <= 5; i++) {
                START(loop_wait(&s.socket, &s.read.op, POLLIN, tracked_done));
                run_for(f, 3 * USEC_PER_MSEC);
                assert_int_equal(s.read.done, i - 1);
                peer_send_all(f, &p, "abc", 3);
                RUN_UNTIL(f, s.read.done == i);
                assert_true(s.read.result & POLLIN);
                assert_int_equal(recv(s.socket.fd, data, sizeof(data), MSG_DONTWAIT), 3);
        }
        /* what is there already completes as well, but not from inside the call */
        peer_send_all(f, &p, "abc", 3);
        run_for(f, 3 * USEC_PER_MSEC);
        START(loop_wait(&s.socket, &s.read.op, POLLIN, tracked_done));
        RUN_UNTIL(f, s.read.done == 6);
        START(loop_recv(&s.socket, &s.read.op, tracked_done));
        RUN_UNTIL(f, s.read.done == 7);
        assert_int_equal(s.read.result, 3);
        peer_close(&p);
        tracked_close(f, &s);
}

/* Room to write: there at first, gone when the reader stalls, back when it reads. */
static void wait_for_room(void **state) {
        struct fixture *f = *state;
        static char data[1 << 20];
        struct tracked_socket s;
        struct peer p;

        if (f->world)
                return;
        tracked_open(f, &s, &p);
        for (unsigned i = 0; i < 3; i++) {
                unsigned done = s.write.done;

                START(loop_wait(&s.socket, &s.write.op, POLLOUT, tracked_done));
                RUN_UNTIL(f, s.write.done == done + 1);
                assert_true(s.write.result & POLLOUT);
                /* full is what stays full: a late acknowledgement, 40 ms and more, makes room */
                for (unsigned full = 0; full < 10; full++) {
                        if (send(s.socket.fd, data, sizeof(data), MSG_DONTWAIT) > 0)
                                full = 0;
                        run_for(f, 10 * USEC_PER_MSEC);
                }
                START(loop_wait(&s.socket, &s.write.op, POLLOUT, tracked_done));
                run_for(f, 10 * USEC_PER_MSEC);
                assert_int_equal(s.write.done, done + 1);
                RUN_UNTIL_WITH(f, s.write.done == done + 2,
                               (void)peer_recv(&p, data, sizeof(data)));
                while (peer_recv(&p, data, sizeof(data)) > 0)
                        ;
        }
        peer_close(&p);
        tracked_close(f, &s);
}

/* A wait ends by cancel as everything else does. */
static void wait_is_cancelled(void **state) {
        struct fixture *f = *state;
        struct tracked_socket s;
        struct peer p;

        tracked_open(f, &s, &p);
        START(loop_wait(&s.socket, &s.read.op, POLLRDHUP, tracked_done));
        run_for(f, 2 * USEC_PER_MSEC);
        START(loop_cancel(f->loop, &s.read.op));
        RUN_UNTIL(f, s.read.done);
        assert_int_equal(s.read.result, -ECANCELED);
        START(loop_wait(&s.socket, &s.read.op, POLLIN, tracked_done));
        tracked_close(f, &s);
        assert_int_equal(s.read.result, -ECANCELED);
        peer_close(&p);
}

/* Upstreams: a connection that works in both directions. */
static void connect_and_talk(void **state) {
        struct fixture *f = *state;
        int fd = listener_open(f, 8);
        struct iovec iov = { (char *)"ping", 4 };
        struct tracked_socket s = {};
        struct sockaddr_storage address;
        socklen_t size;
        struct peer p;
        char data[8];
        ssize_t n;

        address = listener_address(f, fd, &size);
        loop_socket_init(f->loop, &s.socket, socket_open(f));
        START(loop_connect(&s.socket, &s.write.op, (struct sockaddr *)&address, size,
                           tracked_done));
        assert_int_equal(s.write.done, 0);
        RUN_UNTIL(f, s.write.done);
        assert_int_equal(s.write.result, 0);
        peer_accept(f, fd, &p);
        START(loop_recv(&s.socket, &s.read.op, tracked_done));
        START(loop_send(&s.socket, &s.write.op, &iov, 1, false, tracked_done));
        RUN_UNTIL(f, (n = peer_recv(&p, data, sizeof(data))) != -EAGAIN);
        assert_int_equal(n, 4);
        peer_send_all(f, &p, "pong", 4);
        RUN_UNTIL(f, s.read.done && s.write.done == 2);
        assert_memory_equal(s.read.data, "pong", 4);
        peer_close(&p);
        tracked_close(f, &s);
        listener_close(f, fd);
}

/* An upstream that is down is an error with its name. */
static void connect_refused(void **state) {
        struct fixture *f = *state;
        int fd = listener_open(f, 8);
        struct tracked_socket s = {};
        struct sockaddr_storage address;
        socklen_t size;

        address = listener_address(f, fd, &size);
        listener_close(f, fd);
        loop_socket_init(f->loop, &s.socket, socket_open(f));
        START(loop_connect(&s.socket, &s.write.op, (struct sockaddr *)&address, size,
                           tracked_done));
        RUN_UNTIL(f, s.write.done);
        assert_int_equal(s.write.result, -ECONNREFUSED);
        tracked_close(f, &s);
}

/* A host that does not answer: the connect waits, and ends by cancel. */
static void connect_is_cancelled(void **state) {
        struct fixture *f = *state;
        struct tracked_socket s = {};
        struct sockaddr_storage address;
        struct peer filler[8];
        int fd, accepted = 0;
        socklen_t size;

        if (f->world)
                return;
        /* a full queue of a listener on the loopback answers no further SYN */
        fd = listener_open(f, 1);
        for (unsigned i = 0; i < ELEMENTS(filler); i++)
                peer_connect(f, fd, &filler[i]);
        run_for(f, 5 * USEC_PER_MSEC);
        address = listener_address(f, fd, &size);
        loop_socket_init(f->loop, &s.socket, socket_open(f));
        START(loop_connect(&s.socket, &s.write.op, (struct sockaddr *)&address, size,
                           tracked_done));
        run_for(f, 10 * USEC_PER_MSEC);
        accepted = (int)s.write.done;
        START(loop_cancel(f->loop, &s.write.op));
        RUN_UNTIL(f, s.write.done);
        if (!accepted)
                assert_int_equal(s.write.result, -ECANCELED);
        tracked_close(f, &s);
        for (unsigned i = 0; i < ELEMENTS(filler); i++)
                peer_close(&filler[i]);
        listener_close(f, fd);
}

/* A unix listener whose queue is full is busy; the answer must not be "try again" for ever. */
static void connect_to_a_full_unix_queue(void **state) {
        struct fixture *f = *state;
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        struct tracked_socket s[4] = {};
        socklen_t size = offsetof(struct sockaddr_un, sun_path) + 1 + 20;
        unsigned busy = 0;
        int fd;

        if (f->world)
                return;
        snprintf(address.sun_path + 1, 21, "emberd-%013d", getpid());
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
        assert_int_equal(listen(fd, 1), 0);
        for (unsigned i = 0; i < 4; i++) {
                int c = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

                loop_socket_init(f->loop, &s[i].socket, c);
                START(loop_connect(&s[i].socket, &s[i].write.op, (struct sockaddr *)&address, size,
                                   tracked_done));
                RUN_UNTIL(f, s[i].write.done);
                assert_true(s[i].write.result == 0 || s[i].write.result == -EBUSY);
                busy += s[i].write.result == -EBUSY;
        }
        assert_in_range(busy, 1, 3);
        for (unsigned i = 0; i < 4; i++)
                tracked_close(f, &s[i]);
        close(fd);
}

/* signalfd, eventfd, inotify: once for each start, as often as it is started. */
static void poll_of_an_eventfd(void **state) {
        struct fixture *f = *state;
        int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        struct tracked t = {};
        uint64_t value = 1;

        if (f->world)
                scripted_patience(f->world, 2000);
        for (unsigned i = 1; i <= 3; i++) {
                START(loop_poll(f->loop, &t.op, fd, POLLIN, tracked_done));
                run_for(f, 3 * USEC_PER_MSEC);
                assert_int_equal(t.done, i - 1);
                assert_int_equal(write(fd, &value, 8), 8);
                RUN_UNTIL(f, t.done == i);
                assert_int_equal(t.result, POLLIN);
                run_for(f, 2 * USEC_PER_MSEC);
                assert_int_equal(t.done, i);
                assert_int_equal(read(fd, &value, 8), 8);
                value = 1;
        }
        /* ready before it is asked for */
        START(loop_poll(f->loop, &t.op, fd, POLLOUT, tracked_done));
        RUN_UNTIL(f, t.done == 4);
        assert_int_equal(t.result, POLLOUT);
        START(loop_poll(f->loop, &t.op, fd, POLLIN, tracked_done));
        turn(f, 0);
        START(loop_cancel(f->loop, &t.op));
        RUN_UNTIL(f, t.done == 5);
        assert_int_equal(t.result, -ECANCELED);
        close(fd);
}

/* A pipe whose other end is gone hangs up: told, though nobody asked for POLLHUP. */
static void poll_tells_of_a_hangup(void **state) {
        struct fixture *f = *state;
        struct tracked t = {};
        int fds[2];

        if (f->world)
                scripted_patience(f->world, 2000);
        assert_int_equal(pipe(fds), 0);
        START(loop_poll(f->loop, &t.op, fds[0], POLLIN, tracked_done));
        turn(f, 0);
        close(fds[1]);
        RUN_UNTIL(f, t.done);
        assert_true(t.result & POLLHUP);
        close(fds[0]);
}

int waiting_run(void) {
        const struct CMUnitTest tests[] = {
                CASE(peer_that_has_gone_is_noticed),
                CASE(wait_for_input_after_foreign_reads),
                CASE(wait_for_room),
                CASE(wait_is_cancelled),
                CASE(connect_and_talk),
                CASE(connect_refused),
                CASE(connect_is_cancelled),
                CASE(connect_to_a_full_unix_queue),
                CASE(poll_of_an_eventfd),
                CASE(poll_tells_of_a_hangup),
        };

        return cmocka_run_group_tests_name("waiting", tests, NULL, NULL);
}
