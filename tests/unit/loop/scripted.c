/* SPDX-License-Identifier: MIT */
#include "scripted.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "backends.h"
#include "base/clock.h"

/*
 * What the other tests stand on must itself be right: the scripted backend against the real loop.
 */

enum { GOT_MAX = 4096 };

/* A connection that notes all it receives, and sends it back if told to. */
struct stream {
        struct loop_socket socket;
        struct loop_op receive, send;
        struct iovec part;
        char got[GOT_MAX];
        size_t got_bytes, echoed_bytes;
        unsigned receives;
        int receive_result, send_result; /* of the last that ended; INT_MAX: none */
        bool echoes, closed;
};

struct fixture {
        struct scripted_world *world;
        struct loop *loop;
};

static void setup_with(struct fixture *f, uint64_t seed, const struct loop_options *options) {
        f->world = scripted_world_new(seed);
        assert_int_equal(loop_new(&scripted_backend, options, &f->loop), 0);
}

static void setup(struct fixture *f) {
        setup_with(f, 1, NULL);
}

static void teardown(struct fixture *f) {
        assert_int_equal(scripted_descriptors_open(f->world), 0);
        f->loop = loop_free(f->loop);
        f->world = scripted_world_free(f->world);
}

static void turn(struct fixture *f, unsigned times) {
        for (unsigned i = 0; i < times; i++)
                assert_int_equal(loop_turn(f->loop, loop_now_usec(f->loop) + 1000), 0);
}

static void stream_closed(struct loop_socket *socket) {
        container_of(socket, struct stream, socket)->closed = true;
}

static void stream_received(struct loop_op *op);

static void stream_sent(struct loop_op *op) {
        struct stream *s = container_of(op, struct stream, send);

        s->send_result = op->result;
        if (!s->echoes || s->socket.closing)
                return;
        if (op->result < 0)
                loop_close(&s->socket, stream_closed);
        else
                loop_recv(&s->socket, &s->receive, stream_received);
}

static void stream_received(struct loop_op *op) {
        struct stream *s = container_of(op, struct stream, receive);

        s->receive_result = op->result;
        if (op->result > 0) {
                s->receives++;
                memcpy(s->got + s->got_bytes, op->recv.data, (size_t)op->result);
                s->got_bytes += (size_t)op->result;
        }
        if (s->socket.closing)
                return;
        if (s->echoes && op->result > 0) {
                s->part = (struct iovec){ s->got + s->got_bytes - op->result, (size_t)op->result };
                loop_send(&s->socket, &s->send, &s->part, 1, false, stream_sent);
        } else if (op->result > 0)
                loop_recv(&s->socket, &s->receive, stream_received);
        else if (s->echoes)
                loop_close(&s->socket, stream_closed);
}

static void stream_begin(struct fixture *f, struct stream *s, int fd) {
        *s = (struct stream){ .receive_result = INT_MAX, .send_result = INT_MAX };
        loop_socket_init(f->loop, &s->socket, fd);
}

static void stream_end(struct fixture *f, struct stream *s) {
        loop_close(&s->socket, stream_closed);
        for (unsigned i = 0; i < 10 && !s->closed; i++)
                turn(f, 1);
        assert_true(s->closed);
}

/* A parser that works only when a request comes in one piece must meet one that comes in many. */
static void receives_can_be_cut_into_single_bytes(void **state) {
        struct fixture f;
        struct stream s;
        struct scripted_peer *peer;

        setup(&f);
        stream_begin(&f, &s, scripted_pair(f.world, &peer));
        scripted_fault(f.world, LOOP_RECV, 0, SCRIPTED_CLAMP, 1);
        loop_recv(&s.socket, &s.receive, stream_received);
        assert_int_equal(scripted_peer_send(peer, "twelve bytes", 12), 12);
        scripted_peer_half_close(peer);
        turn(&f, 40);
        assert_int_equal(s.receives, 12);
        assert_memory_equal(s.got, "twelve bytes", 12);
        assert_int_equal(s.receive_result, 0);
        stream_end(&f, &s);
        scripted_peer_close(peer);
        teardown(&f);
}

/* What a caller sees as one send may need many in the kernel, with waits for room between them. */
static void a_send_waits_for_the_window(void **state) {
        struct fixture f;
        struct stream s;
        struct scripted_peer *peer;
        char data[100], got[100];
        size_t have = 0;

        setup(&f);
        stream_begin(&f, &s, scripted_pair(f.world, &peer));
        scripted_peer_window(peer, 7);
        for (unsigned i = 0; i < sizeof(data); i++)
                data[i] = (char)i;
        s.part = (struct iovec){ data, sizeof(data) };
        loop_send(&s.socket, &s.send, &s.part, 1, false, stream_sent);
        for (unsigned i = 0; i < 40 && have < sizeof(got); i++) {
                ssize_t n;

                assert_int_equal(s.send_result, INT_MAX);
                turn(&f, 2);
                assert_int_equal(scripted_peer_waiting(peer), MIN(7, sizeof(data) - have));
                n = scripted_peer_recv(peer, got + have, sizeof(got) - have);
                assert_true(n > 0);
                have += (size_t)n;
        }
        assert_int_equal(have, sizeof(data));
        assert_memory_equal(got, data, sizeof(data));
        assert_int_equal(s.send_result, 0);
        stream_end(&f, &s);
        assert_int_equal(scripted_peer_recv(peer, got, 1), 0);
        scripted_peer_close(peer);
        teardown(&f);
}

/* One echo with a reset after so many bytes each way; the loop's side must end by itself. */
static void echo_with_break_at(uint64_t to_peer, uint64_t from_peer) {
        struct fixture f;
        struct stream s;
        struct scripted_peer *peer;
        char got[16];
        ssize_t n = 0, sum = 0, expected;

        setup(&f);
        stream_begin(&f, &s, scripted_pair(f.world, &peer));
        s.echoes = true;
        scripted_fault(f.world, LOOP_SEND, 0, SCRIPTED_CLAMP, 3);
        loop_recv(&s.socket, &s.receive, stream_received);
        scripted_peer_break_at(peer, to_peer, from_peer);
        expected = to_peer <= 10 || from_peer <= 10 ? -ECONNRESET : 0;
        if (scripted_peer_send(peer, "0123456789", 10) == -ECONNRESET)
                expected = 0; /* it has been told */
        scripted_peer_half_close(peer);
        turn(&f, 10);
        assert_true(s.closed);
        for (unsigned i = 0; i < 20 && n >= 0 && (i == 0 || n > 0); i++) {
                n = scripted_peer_recv(peer, got, sizeof(got));
                sum += MAX(n, 0);
        }
        assert_int_equal(n, expected);
        assert_true((uint64_t)sum <= to_peer && (uint64_t)sum <= from_peer);
        scripted_peer_close(peer);
        teardown(&f);
}

/* A connection may be reset at any byte; none of those may leave anything behind. */
static void a_reset_can_come_at_every_byte(void **state) {
        for (uint64_t at = 0; at <= 11; at++) {
                echo_with_break_at(at, UINT64_MAX);
                echo_with_break_at(UINT64_MAX, at);
                echo_with_break_at(at, at);
        }
}

/* The kernel reports a reset once; later calls see the end, or EPIPE. */
static void an_error_is_reported_once(void **state) {
        struct fixture f;
        struct stream s;
        struct scripted_peer *peer;

        setup(&f);
        stream_begin(&f, &s, scripted_pair(f.world, &peer));
        assert_int_equal(scripted_peer_send(peer, "late", 4), 4);
        scripted_peer_reset(peer);
        loop_recv(&s.socket, &s.receive, stream_received);
        turn(&f, 3);
        assert_int_equal(s.got_bytes, 4);
        assert_int_equal(s.receive_result, -ECONNRESET);
        loop_recv(&s.socket, &s.receive, stream_received);
        s.part = (struct iovec){ "x", 1 };
        loop_send(&s.socket, &s.send, &s.part, 1, false, stream_sent);
        turn(&f, 2);
        assert_int_equal(s.receive_result, 0);
        assert_int_equal(s.send_result, -EPIPE);
        stream_end(&f, &s);
        teardown(&f);
}

/* The trap that a lingering close avoids: unread bytes turn a close into a reset. */
static void a_close_with_unread_bytes_resets(void **state) {
        struct fixture f;
        struct stream s;
        struct scripted_peer *peer;
        char got[4];

        setup(&f);
        stream_begin(&f, &s, scripted_pair(f.world, &peer));
        assert_int_equal(scripted_peer_send(peer, "unread", 6), 6);
        stream_end(&f, &s);
        assert_int_equal(scripted_peer_recv(peer, got, sizeof(got)), -ECONNRESET);
        assert_int_equal(scripted_peer_send(peer, "x", 1), -EPIPE);
        scripted_peer_close(peer);
        teardown(&f);
}

/* A cut answer must be seen as cut: the server asks for a reset by SO_LINGER. */
static void a_close_can_be_made_a_reset(void **state) {
        struct fixture f;
        struct stream s;
        struct scripted_peer *peer;
        char got[4];

        setup(&f);
        stream_begin(&f, &s, scripted_pair(f.world, &peer));
        scripted_close_resets(f.world, s.socket.fd);
        stream_end(&f, &s);
        assert_int_equal(scripted_peer_recv(peer, got, sizeof(got)), -ECONNRESET);
        scripted_peer_close(peer);
        teardown(&f);
}

static void run_event(struct scripted_event *event) {
        event->run = NULL;
}

/* An event may be all that a test waits for; a wait without end would hide it. */
static void a_wait_returns_after_the_last_event(void **state) {
        struct fixture f;
        struct scripted_event event = { .run = run_event };

        setup(&f);
        scripted_event_set(f.world, &event, scripted_now_usec(f.world) + USEC_PER_SEC);
        assert_int_equal(loop_turn(f.loop, USEC_INFINITY), 0);
        assert_null(event.run);
        teardown(&f);
}

static struct {
        int fds[8];
        unsigned count, troubles;
        int error;
        bool stopped;
} heard;

static void heard_accepted(struct loop_listener *listener, int fd, const struct sockaddr *address,
                           socklen_t size) {
        assert_int_equal(address->sa_family, AF_INET);
        heard.fds[heard.count++] = fd;
}

static void heard_trouble(struct loop_listener *listener, int error) {
        heard.troubles++;
        heard.error = error;
}

static void heard_stopped(struct loop_listener *listener) {
        heard.stopped = true;
}

/* Running out of descriptors must neither spin nor lose the connection that was in the queue. */
static void emfile_is_tried_again_later(void **state) {
        struct fixture f;
        struct loop_listener listener;
        struct scripted_peer *peers[3];
        uint64_t before;
        int fd;

        setup(&f);
        memset(&heard, 0, sizeof(heard));
        fd = scripted_listener(f.world, 2);
        loop_listen(f.loop, &listener, fd, false, heard_accepted, heard_trouble);
        scripted_fault(f.world, SCRIPTED_ACCEPT, 2, SCRIPTED_RESULT, -EMFILE);
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(scripted_peer_connect(f.world, fd, &peers[i]),
                                 i < 2 ? 0 : -EAGAIN);
        before = scripted_now_usec(f.world);
        turn(&f, 2);
        assert_int_equal(heard.count, 1);
        assert_int_equal(heard.troubles, 1);
        assert_int_equal(heard.error, -EMFILE);
        for (unsigned i = 0; i < 10 && heard.count < 2; i++)
                assert_int_equal(loop_turn(f.loop, USEC_INFINITY), 0);
        assert_int_equal(heard.count, 2);
        assert_true(scripted_now_usec(f.world) - before >= 100 * USEC_PER_MSEC);
        assert_true(scripted_now_usec(f.world) - before < 120 * USEC_PER_MSEC);
        loop_listener_stop(&listener, heard_stopped);
        turn(&f, 2);
        assert_true(heard.stopped);
        for (unsigned i = 0; i < 2; i++) {
                scripted_close(f.world, heard.fds[i]);
                scripted_peer_close(peers[i]);
        }
        scripted_listener_close(f.world, fd);
        teardown(&f);
}

static uint64_t fired_usec;

static void note_fired(struct loop_timer *timer) {
        fired_usec = 1;
}

/* KeepAliveSec is 75 by default; a test of it must not take 75 seconds. */
static void time_is_virtual(void **state) {
        struct fixture f;
        struct loop_timer timer = { .fired = note_fired };
        uint64_t real = clock_monotonic_usec(), begun;

        setup(&f);
        begun = scripted_now_usec(f.world);
        fired_usec = 0;
        loop_timer_set(f.loop, &timer, begun + 75 * USEC_PER_SEC);
        for (unsigned i = 0; i < 100 && !fired_usec; i++)
                assert_int_equal(loop_turn(f.loop, USEC_INFINITY), 0);
        assert_true(fired_usec);
        assert_true(scripted_now_usec(f.world) - begun >= 75 * USEC_PER_SEC);
        assert_true(scripted_now_usec(f.world) - begun < 75 * USEC_PER_SEC + 16 * USEC_PER_MSEC);
        assert_true(clock_monotonic_usec() - real < 5 * USEC_PER_SEC);
        teardown(&f);
}

/* More receivers than buffers in one wait: the ones that got none must get theirs later. */
static void a_starved_receive_completes_in_the_end(void **state) {
        struct fixture f;
        struct stream s[3];
        struct scripted_peer *peers[3];

        setup_with(&f, 1, &(struct loop_options){ .buffers_min = 1, .buffers_max = 1 });
        for (unsigned i = 0; i < 3; i++) {
                stream_begin(&f, &s[i], scripted_pair(f.world, &peers[i]));
                loop_recv(&s[i].socket, &s[i].receive, stream_received);
                assert_int_equal(scripted_peer_send(peers[i], "abc", 3), 3);
        }
        turn(&f, 1);
        assert_int_equal(s[0].got_bytes + s[1].got_bytes + s[2].got_bytes, 3);
        turn(&f, 10);
        assert_int_equal(s[0].got_bytes + s[1].got_bytes + s[2].got_bytes, 9);
        assert_true(counter_read(&loop_counters(f.loop)->starved) >= 2);
        for (unsigned i = 0; i < 3; i++) {
                stream_end(&f, &s[i]);
                scripted_peer_close(peers[i]);
        }
        teardown(&f);
}

struct file_stream {
        struct loop_socket socket;
        struct loop_file_send send;
        int result;
        bool closed;
};

static void file_sent(struct loop_op *op) {
        struct loop_file_send *send = container_of(op, struct loop_file_send, op);

        container_of(send, struct file_stream, send)->result = op->result;
}

static void file_closed(struct loop_socket *socket) {
        container_of(socket, struct file_stream, socket)->closed = true;
}

/* Files are real, sockets are not: what goes from one to the other must be the range asked for. */
static void a_file_goes_out_in_pieces(void **state) {
        struct fixture f;
        struct file_stream s = { .result = INT_MAX };
        struct scripted_peer *peer;
        char data[3000], got[4000];
        struct iovec head = { "head ", 5 };
        size_t have = 0;

        setup(&f);
        for (unsigned i = 0; i < sizeof(data); i++)
                data[i] = (char)(i * 7);
        s.send.file = memfd_create("body", MFD_CLOEXEC);
        assert_int_equal(pwrite(s.send.file, data, sizeof(data), 0), sizeof(data));
        loop_socket_init(f.loop, &s.socket, scripted_pair(f.world, &peer));
        scripted_peer_window(peer, 999);
        s.send.head = &head;
        s.send.head_count = 1;
        s.send.offset = 1000;
        s.send.bytes = 2500; /* 500 more than there is */
        loop_send_file(&s.socket, &s.send, file_sent);
        for (unsigned i = 0; i < 30; i++) {
                ssize_t n = scripted_peer_recv(peer, got + have, sizeof(got) - have);

                have += (size_t)MAX(n, 0);
                turn(&f, 1);
        }
        assert_int_equal(s.result, -ENODATA);
        assert_int_equal(have, 2005);
        assert_memory_equal(got, "head ", 5);
        assert_memory_equal(got + 5, data + 1000, 2000);
        loop_close(&s.socket, file_closed);
        turn(&f, 2);
        assert_true(s.closed);
        close(s.send.file);
        scripted_peer_close(peer);
        teardown(&f);
}

static void note_connected(struct loop_op *op) {
        container_of(op, struct stream, send)->send_result = op->result;
}

/* Proxying will connect: to a listener of the test's, and to none. */
static void connects_reach_the_listener(void **state) {
        struct fixture f;
        struct stream s;
        struct scripted_peer *peer;
        struct sockaddr_storage address;
        socklen_t size;
        int fd;

        setup(&f);
        fd = scripted_listener(f.world, 1);
        address = scripted_address(f.world, fd, &size);
        stream_begin(&f, &s, scripted_socket(f.world));
        loop_connect(&s.socket, &s.send, (struct sockaddr *)&address, size, note_connected);
        turn(&f, 1);
        assert_int_equal(s.send_result, 0);
        peer = scripted_peer_accept(f.world, fd);
        assert_non_null(peer);
        loop_recv(&s.socket, &s.receive, stream_received);
        assert_int_equal(scripted_peer_send(peer, "up", 2), 2);
        turn(&f, 2);
        assert_int_equal(s.got_bytes, 2);
        stream_end(&f, &s);
        scripted_peer_close(peer);
        scripted_listener_close(f.world, fd);

        stream_begin(&f, &s, scripted_socket(f.world));
        loop_connect(&s.socket, &s.send, (struct sockaddr *)&address, size, note_connected);
        turn(&f, 1);
        assert_int_equal(s.send_result, -ECONNREFUSED);
        stream_end(&f, &s);
        teardown(&f);
}

/* A cancel races with the completion; callers must be shown both ends of that race. */
static void a_cancel_may_come_too_late(void **state) {
        for (unsigned late = 0; late <= 1; late++) {
                struct fixture f;
                struct stream s;
                struct scripted_peer *peer;

                setup(&f);
                scripted_odds_set(f.world, &(struct scripted_odds){ .cancel_late = late * 1000 });
                stream_begin(&f, &s, scripted_pair(f.world, &peer));
                loop_recv(&s.socket, &s.receive, stream_received);
                assert_int_equal(scripted_peer_send(peer, "abc", 3), 3);
                loop_close(&s.socket, stream_closed);
                turn(&f, 2);
                assert_true(s.closed);
                assert_int_equal(s.receive_result, late ? 3 : -ECANCELED);
                scripted_peer_close(peer);
                teardown(&f);
        }
}

static void note_message(struct loop_op *op) {
        container_of(op, struct stream, receive)->receive_result = op->result;
}

/* Control data stands at one byte of the stream, and descriptors must not leak on the way. */
static void descriptors_travel_with_their_byte(void **state) {
        struct fixture f;
        struct stream s;
        struct scripted_peer *peer;
        int pipes[2], received = -1;
        _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
        char data[8];
        struct iovec sent = { "two", 3 }, got = { data, sizeof(data) };
        struct msghdr message = { .msg_iov = &sent,
                                  .msg_iovlen = 1,
                                  .msg_control = control,
                                  .msg_controllen = sizeof(control) };

        setup(&f);
        assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
        *CMSG_FIRSTHDR(&message) = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)),
                                                     .cmsg_level = SOL_SOCKET,
                                                     .cmsg_type = SCM_RIGHTS };
        memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), &pipes[1], sizeof(int));
        stream_begin(&f, &s, scripted_pair(f.world, &peer));
        assert_int_equal(scripted_peer_send(peer, "one", 3), 3);
        assert_int_equal(scripted_peer_send_message(peer, &message), 3);
        memset(control, 0, sizeof(control));
        for (unsigned i = 0; i < 2; i++) {
                message.msg_iov = &got;
                message.msg_controllen = sizeof(control);
                loop_recv_message(&s.socket, &s.receive, &message, note_message);
                turn(&f, 1);
                assert_int_equal(s.receive_result, 3);
                assert_memory_equal(data, i == 0 ? "one" : "two", 3);
                assert_int_equal(message.msg_controllen, i == 0 ? 0 : sizeof(control));
        }
        memcpy(&received, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(received));
        assert_int_equal(write(received, "!", 1), 1);
        assert_int_equal(read(pipes[0], data, 1), 1);
        close(received);
        close(pipes[0]);
        close(pipes[1]);
        stream_end(&f, &s);
        scripted_peer_close(peer);
        teardown(&f);
}

static uint64_t hash_of_run(uint64_t seed) {
        const struct scripted_odds odds = { .short_recv = 300,
                                            .short_send = 300,
                                            .delay = 300,
                                            .shuffle = 500,
                                            .reset = 20,
                                            .starve = 100,
                                            .cancel_late = 500,
                                            .delay_usec_max = 5000 };
        struct fixture f;
        struct stream s[5];
        struct scripted_peer *peers[5];
        uint64_t hash;

        setup_with(&f, seed, NULL);
        scripted_odds_set(f.world, &odds);
        for (unsigned i = 0; i < 5; i++) {
                stream_begin(&f, &s[i], scripted_pair(f.world, &peers[i]));
                s[i].echoes = true;
                loop_recv(&s[i].socket, &s[i].receive, stream_received);
        }
        for (unsigned i = 0; i < 100; i++) {
                (void)scripted_peer_send(peers[i % 5], "some bytes", 10);
                turn(&f, 1);
        }
        for (unsigned i = 0; i < 5; i++)
                scripted_peer_close(peers[i]);
        turn(&f, 200);
        for (unsigned i = 0; i < 5; i++)
                assert_true(s[i].closed);
        hash = scripted_trace_hash(f.world);
        teardown(&f);
        return hash;
}

/* A failure that cannot be had again cannot be mended. */
static void equal_seeds_give_equal_runs(void **state) {
        assert_true(hash_of_run(7) == hash_of_run(7));
        assert_true(hash_of_run(8) == hash_of_run(8));
        assert_true(hash_of_run(7) != hash_of_run(8));
}

static void note_poll(struct loop_op *op) {
        fired_usec = (uint64_t)op->result;
}

/* Signals and notifications come by descriptors of the kernel's, in tests of the server too. */
static void descriptors_of_the_kernel_can_be_polled(void **state) {
        struct fixture f;
        struct loop_op op = {};
        int pipes[2];

        setup(&f);
        fired_usec = 0;
        assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
        loop_poll(f.loop, &op, pipes[0], POLLIN, note_poll);
        turn(&f, 3);
        assert_int_equal(fired_usec, 0);
        assert_int_equal(write(pipes[1], "x", 1), 1);
        assert_int_equal(loop_turn(f.loop, USEC_INFINITY), 0);
        assert_int_equal(fired_usec, POLLIN);
        close(pipes[0]);
        close(pipes[1]);
        teardown(&f);
}

/* A breach of the contract must end the run that commits it. */
static void a_close_with_an_operation_under_way_is_noticed(void **state) {
        struct fixture f;
        struct stream s;
        struct scripted_peer *peer;
        int status = 0;
        pid_t child;

        setup(&f);
        stream_begin(&f, &s, scripted_pair(f.world, &peer));
        loop_recv(&s.socket, &s.receive, stream_received);
        child = fork();
        if (child == 0) {
                const struct rlimit none = { 0, 0 };

                setrlimit(RLIMIT_CORE, &none);
                signal(SIGABRT, SIG_DFL);
                freopen("/dev/null", "w", stderr);
                s.socket.read = NULL;
                scripted_backend.close(f.loop, &s.socket);
                _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
        stream_end(&f, &s);
        scripted_peer_close(peer);
        teardown(&f);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(receives_can_be_cut_into_single_bytes),
                cmocka_unit_test(a_send_waits_for_the_window),
                cmocka_unit_test(a_reset_can_come_at_every_byte),
                cmocka_unit_test(an_error_is_reported_once),
                cmocka_unit_test(a_close_with_unread_bytes_resets),
                cmocka_unit_test(a_close_can_be_made_a_reset),
                cmocka_unit_test(a_wait_returns_after_the_last_event),
                cmocka_unit_test(emfile_is_tried_again_later),
                cmocka_unit_test(time_is_virtual),
                cmocka_unit_test(a_starved_receive_completes_in_the_end),
                cmocka_unit_test(a_file_goes_out_in_pieces),
                cmocka_unit_test(connects_reach_the_listener),
                cmocka_unit_test(a_cancel_may_come_too_late),
                cmocka_unit_test(descriptors_travel_with_their_byte),
                cmocka_unit_test(equal_seeds_give_equal_runs),
                cmocka_unit_test(descriptors_of_the_kernel_can_be_polled),
                cmocka_unit_test(a_close_with_an_operation_under_way_is_noticed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
