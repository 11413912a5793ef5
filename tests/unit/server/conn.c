/* SPDX-License-Identifier: MIT */
#include "server/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/invariant.h"

/*
 * Connections on the first backend that can run here, over socket pairs, with handlers of our own.
 */

struct world {
        struct loop *loop;
        struct http_context http;
        struct conn_set set;
        counter shown;
        unsigned gone, broken, full_changes;
        char broken_peer[CONN_PEER_BYTES];
};

static struct world *world_of(struct conn_set *set) {
        return container_of(set, struct world, set);
}

static void on_gone(struct conn_set *set) {
        world_of(set)->gone++;
}

static void on_full_changed(struct conn_set *set) {
        world_of(set)->full_changes++;
}

static void on_broken(struct conn_set *set, const char *peer) {
        world_of(set)->broken++;
        snprintf(world_of(set)->broken_peer, CONN_PEER_BYTES, "%s", peer);
}

static void good_start(struct exchange *x) {
        exchange_answer(x, 200, (struct text){}, 2);
}

static int good_pull(struct exchange *x, uint64_t room_bytes, struct exchange_piece *ret) {
        *ret = (struct exchange_piece){ .data = "ok", .file = -1, .bytes = 2, .last = true };
        return 0;
}

static const struct exchange_handler good_handler = {
        .name = "good",
        .start = good_start,
        .pull = good_pull,
};

static void twice_start(struct exchange *x) {
        exchange_answer(x, 200, (struct text){}, 2);
        exchange_answer(x, 200, (struct text){}, 2);
}

/* Answers twice, which no handler may. */
static const struct exchange_handler twice_handler = {
        .name = "twice",
        .start = twice_start,
        .pull = good_pull,
};

static void route(struct http_session *s, struct exchange *x) {
        struct text path = http_span_text(&x->request, x->request.path);

        x->handler = text_equal(path, TEXT("/twice")) ? &twice_handler : &good_handler;
}

static void finished(struct http_session *s, struct exchange *x) {}

static int setup(void **state) {
        struct world *w = calloc(1, sizeof(*w));
        char reason[LOOP_REASON_BYTES];

        assert_non_null(w);
        for (size_t i = 0; loop_backends[i] && !w->loop; i++)
                if (loop_backend_check(loop_backends[i], reason) == 0)
                        assert_int_equal(loop_new(loop_backends[i], NULL, &w->loop), 0);
        assert_non_null(w->loop);
        http_context_init(&w->http, loop_clock(w->loop));
        w->http.limits = (struct http_limits){ 16384, 1 << 20 };
        w->http.route = route;
        w->http.finished = finished;
        conn_set_init(&w->set, w->loop, &w->http);
        w->set.limits = (struct conn_limits){
                .head_timeout_usec = 200 * USEC_PER_MSEC,
                .body_timeout_usec = USEC_PER_SEC,
                .keep_alive_usec = USEC_PER_SEC,
                .send_timeout_usec = 200 * USEC_PER_MSEC,
                .conns_max = 4,
        };
        w->set.count_shown = &w->shown;
        w->set.gone = on_gone;
        w->set.full_changed = on_full_changed;
        w->set.broken = on_broken;
        *state = w;
        return 0;
}

static void turn_until(struct world *w, const unsigned *count, unsigned wanted) {
        uint64_t end = clock_monotonic_usec() + 5 * USEC_PER_SEC;

        while (*count < wanted && clock_monotonic_usec() < end)
                assert_int_equal(loop_turn(w->loop, end), 0);
        assert_int_equal(*count, wanted);
}

static int teardown(void **state) {
        struct world *w = *state;

        conn_set_abort(&w->set);
        while (w->set.count)
                assert_int_equal(loop_turn(w->loop, USEC_INFINITY), 0);
        conn_set_finish(&w->set);
        http_context_finish(&w->http);
        loop_free(w->loop);
        free(w);
        return 0;
}

/* A peer of a new connection; blocking, with a time limit on reads. */
static int dial(struct world *w) {
        struct timeval limit = { .tv_sec = 5 };
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(fcntl(pair[0], F_SETFL, O_NONBLOCK), 0);
        assert_int_equal(setsockopt(pair[1], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
        assert_int_equal(conn_accept(&w->set, pair[0], NULL, 0, false), 0);
        return pair[1];
}

static void ask(int fd, const char *path) {
        char request[128];
        int n = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);

        assert_int_equal(write(fd, request, (size_t)n), n);
}

/* Turn until the peer has bytes or the end of the stream; gives what read(2) gave. */
static ssize_t hear(struct world *w, int fd, char *buffer, size_t size) {
        uint64_t end = clock_monotonic_usec() + 5 * USEC_PER_SEC;
        ssize_t n = -1;

        while (clock_monotonic_usec() < end) {
                n = recv(fd, buffer, size, MSG_DONTWAIT);
                if (n >= 0 || errno != EAGAIN)
                        break;
                assert_int_equal(loop_turn(w->loop, clock_monotonic_usec() + 10000), 0);
        }
        return n;
}

/* A bug in one exchange must cost its own connection and nothing else (DESIGN). */
static void broken_invariant_ends_one_connection(void **state) {
        struct world *w = *state;
        char buffer[4096];
        int bad = dial(w), good = dial(w);

        invariant_set_fatal(false);
        ask(bad, "/twice");
        turn_until(w, &w->gone, 1);
        assert_int_equal(w->broken, 1);
        assert_string_equal(w->broken_peer, "unix");
        assert_non_null(strstr(invariant_broken_at(), "exchange.c"));
        ask(good, "/");
        assert_true(hear(w, good, buffer, sizeof(buffer)) > 0);
        assert_memory_equal(buffer, "HTTP/1.1 200 OK\r\n", 17);
        close(bad);
        close(good);
}

/* In a test build the same bug must not pass unseen. */
static void broken_invariant_aborts_a_test_build(void **state) {
        struct world *w = *state;
        int status;
        pid_t pid;

        /* in the child, only the check itself: a ring does not survive fork(2) */
        pid = fork();
        if (pid == 0) {
                signal(SIGABRT, SIG_DFL);
                invariant_set_fatal(true);
                (void)!freopen("/dev/null", "w", stderr);
                invariant_failed("a test's", __FILE__, __LINE__);
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
        assert_int_equal(w->broken, 0);
}

/* Connections that send nothing must not stay for ever. */
static void silent_connection_is_ended_in_time(void **state) {
        struct world *w = *state;
        uint64_t start = clock_monotonic_usec();
        int fd = dial(w);
        char byte;

        turn_until(w, &w->gone, 1);
        assert_in_range(clock_monotonic_usec() - start, 200000, 1000000);
        assert_int_equal(recv(fd, &byte, 1, 0), 0); /* without a word */
        close(fd);
}

/*
 * A byte now and then must not prolong the time that a head has; who hears that it is over and goes
 * on sending is not heard for ever either.
 */
static void trickled_head_is_ended_in_time(void **state) {
        struct world *w = *state;
        uint64_t start = clock_monotonic_usec(), told_usec = 0;
        int fd = dial(w);
        char buffer[4096];

        while (!w->gone && clock_monotonic_usec() - start < 6 * USEC_PER_SEC) {
                uint64_t next = clock_monotonic_usec() + 20000;

                (void)!send(fd, "G", 1, MSG_NOSIGNAL);
                while (clock_monotonic_usec() < next)
                        assert_int_equal(loop_turn(w->loop, next), 0);
                if (!told_usec && recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT) > 0)
                        told_usec = clock_monotonic_usec() - start;
        }
        assert_int_equal(w->gone, 1);
        assert_in_range(told_usec, 200000, 1000000);
        assert_memory_equal(buffer, "HTTP/1.1 408 ", 13);
        assert_in_range(clock_monotonic_usec() - start, 2200000, 4000000);
        close(fd);
}

/* Who does not even take the 408 is not waited for. */
static void last_word_is_not_waited_for(void **state) {
        struct world *w = *state;
        uint64_t start = clock_monotonic_usec();
        int pair[2];

        w->set.limits.send_timeout_usec = 60 * USEC_PER_SEC;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(fcntl(pair[0], F_SETFL, O_NONBLOCK), 0);
        while (send(pair[0], "full", 4, MSG_DONTWAIT) > 0)
                ; /* as answers before would that the peer did not read */
        assert_int_equal(conn_accept(&w->set, pair[0], NULL, 0, false), 0);
        assert_int_equal(write(pair[1], "GET", 3), 3);
        turn_until(w, &w->gone, 1);
        assert_in_range(clock_monotonic_usec() - start, 1200000, 3000000);
        close(pair[1]);
}

/* Past the limit the longest idle connection goes, and not one that is in use. */
static void longest_idle_connection_goes_first(void **state) {
        struct world *w = *state;
        char buffer[4096];
        int fds[5];

        for (int i = 0; i < 4; i++)
                fds[i] = dial(w);
        for (int i = 3; i >= 0; i--) {
                ask(fds[i], "/");
                assert_true(hear(w, fds[i], buffer, sizeof(buffer)) > 0);
        }
        fds[4] = dial(w);
        turn_until(w, &w->gone, 1);
        assert_int_equal(hear(w, fds[3], buffer, sizeof(buffer)), 0);
        ask(fds[0], "/");
        assert_true(hear(w, fds[0], buffer, sizeof(buffer)) > 0);
        for (int i = 0; i < 5; i++)
                close(fds[i]);
}

/*
 * Connections with a request under way cannot be ended for others, so where there are only such,
 * none may be accepted: each one that has just come is idle, and would hide for ever that the limit
 * is long passed. And one that becomes idle makes room again, though nobody went.
 */
static void full_when_none_is_idle(void **state) {
        struct world *w = *state;
        char buffer[4096];
        int fds[4];

        w->set.limits.head_timeout_usec = 5 * USEC_PER_SEC;
        for (int i = 0; i < 4; i++) {
                assert_false(w->set.full);
                fds[i] = dial(w);
                assert_int_equal(write(fds[i], "GET / HTTP/1.1\r\n", 16), 16);
        }
        turn_until(w, &w->full_changes, 1);
        assert_true(w->set.full);
        assert_int_equal(write(fds[0], "Host: a\r\n\r\n", 11), 11);
        assert_true(hear(w, fds[0], buffer, sizeof(buffer)) > 0);
        turn_until(w, &w->full_changes, 2);
        assert_false(w->set.full);
        assert_int_equal(w->gone, 0);
        assert_int_equal(write(fds[0], "G", 1), 1);
        turn_until(w, &w->full_changes, 3);
        assert_true(w->set.full);
        close(fds[1]);
        turn_until(w, &w->full_changes, 4);
        assert_int_equal(w->gone, 1);
        for (int i = 0; i < 4; i++)
                if (i != 1)
                        close(fds[i]);
}

/* A body that nobody wants must not keep a connection by coming a byte at a time. */
static void trickled_unwanted_body_is_ended_in_time(void **state) {
        struct world *w = *state;
        uint64_t start = clock_monotonic_usec();
        char buffer[4096];
        int fd = dial(w);

        w->set.limits.body_timeout_usec = 200 * USEC_PER_MSEC;
        assert_true(dprintf(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\n") > 0);
        assert_true(hear(w, fd, buffer, sizeof(buffer)) > 0);
        while (!w->gone && clock_monotonic_usec() - start < 6 * USEC_PER_SEC) {
                uint64_t next = clock_monotonic_usec() + 20000;

                (void)!send(fd, "x", 1, MSG_NOSIGNAL);
                while (clock_monotonic_usec() < next)
                        assert_int_equal(loop_turn(w->loop, next), 0);
        }
        assert_int_equal(w->gone, 1);
        assert_in_range(clock_monotonic_usec() - start, 200000, 2000000);
        close(fd);
}

/* A request that arrives as the drain begins is answered, as the last of its connection. */
static void drain_answers_what_has_come(void **state) {
        struct world *w = *state;
        char buffer[4096];
        int asked = dial(w), silent = dial(w), fresh = dial(w);
        ssize_t n;

        ask(asked, "/");
        assert_true(hear(w, asked, buffer, sizeof(buffer)) > 0);
        ask(silent, "/");
        assert_true(hear(w, silent, buffer, sizeof(buffer)) > 0);
        ask(asked, "/");
        conn_set_drain(&w->set);
        n = hear(w, asked, buffer, sizeof(buffer) - 1);
        assert_true(n > 0);
        buffer[n] = '\0';
        assert_non_null(strstr(buffer, "Connection: close\r\n"));
        assert_int_equal(hear(w, silent, buffer, sizeof(buffer)), 0);
        ask(fresh, "/");
        n = hear(w, fresh, buffer, sizeof(buffer) - 1);
        assert_true(n > 0);
        buffer[n] = '\0';
        assert_non_null(strstr(buffer, "Connection: close\r\n"));
        turn_until(w, &w->gone, 3);
        close(asked);
        close(silent);
        close(fresh);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(broken_invariant_ends_one_connection),
                TEST(broken_invariant_aborts_a_test_build),
                TEST(silent_connection_is_ended_in_time),
                TEST(trickled_head_is_ended_in_time),
                TEST(last_word_is_not_waited_for),
                TEST(longest_idle_connection_goes_first),
                TEST(full_when_none_is_idle),
                TEST(trickled_unwanted_body_is_ended_in_time),
                TEST(drain_answers_what_has_come),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
