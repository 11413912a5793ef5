/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "loop/loop.h"

#include "io-uring-faults.h"

/*
 * Cancel and close against completion, in random order, over many sockets: sends to readers that
 * stall, receives of data that may or may not be there. What must hold whatever wins: an operation
 * completes once, a socket closes after its operations, a send that failed took fewer bytes than it
 * had, and the bytes counted as taken are the bytes that arrive. LOOP_RACES_SEED and
 * LOOP_RACES_ROUNDS change the run; the seed is printed.
 */

enum { SOCKETS = 64, ACTIONS = 8, PART_BYTES = 1 << 20 };

struct peer_pair {
        struct loop_socket socket;
        struct loop_op read, write;
        bool reading, writing;
        struct iovec parts[3];
        char into[100];
        size_t total; /* bytes of the send under way */
        int far;      /* the descriptor at the other end */
};

struct race {
        struct loop *loop;
        struct peer_pair pairs[SOCKETS];
        unsigned seed;
        uint64_t taken, arrived, data, canceled, closed;
};

static struct race race;
static char bytes[PART_BYTES];

static unsigned number_of(const char *name, unsigned otherwise) {
        const char *text = getenv(name);

        return text ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

static unsigned any(unsigned below) {
        race.seed = race.seed * 1103515245U + 12345U;
        return (race.seed >> 8) % below;
}

static void on_read(struct loop_op *op) {
        struct peer_pair *p = container_of(op, struct peer_pair, read);

        assert_true(p->reading);
        p->reading = false;
        assert_true(op->result > 0 || op->result == -ECANCELED);
        if (op->result > 0)
                race.data++;
        else
                race.canceled++;
}

static void on_write(struct loop_op *op) {
        struct peer_pair *p = container_of(op, struct peer_pair, write);

        assert_true(p->writing);
        p->writing = false;
        race.taken += op->send.taken;
        if (op->result == 0) {
                assert_int_equal(op->send.taken, p->total);
        } else {
                assert_int_equal(op->result, -ECANCELED);
                assert_true(op->send.taken < p->total);
        }
}

static void on_closed(struct loop_socket *socket) {
        struct peer_pair *p = container_of(socket, struct peer_pair, socket);

        assert_true(!p->reading && !p->writing);
        race.closed++;
}

static void pair_open(struct peer_pair *p) {
        int fds[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
                         0);
        loop_socket_init(race.loop, &p->socket, fds[0]);
        p->far = fds[1];
}

static void pair_read(struct peer_pair *p) {
        if (p->reading)
                return;
        p->reading = true;
        switch (any(3)) {
        case 0: loop_wait(&p->socket, &p->read, POLLIN, on_read); break;
        case 1: loop_recv_into(&p->socket, &p->read, p->into, sizeof(p->into), on_read); break;
        default: loop_recv(&p->socket, &p->read, on_read);
        }
}

/* One part, or three of which the middle one is empty. */
static void pair_write(struct peer_pair *p) {
        size_t total = any(600000) + 1, head = any((unsigned)total + 1);
        bool single = any(2);

        if (p->writing)
                return;
        p->writing = true;
        p->total = total;
        p->parts[0] = (struct iovec){ bytes, single ? total : head };
        p->parts[1] = (struct iovec){ bytes, 0 };
        p->parts[2] = (struct iovec){ bytes, total - head };
        loop_send(&p->socket, &p->write, p->parts, single ? 1 : 3, any(2), on_write);
}

static void far_write(struct peer_pair *p) {
        /* full is as good: there is something to read then */
        (void)!write(p->far, bytes, any(200) + 1);
}

static void far_read(struct peer_pair *p, size_t most) {
        static char sink[65536];

        while (most > 0) {
                ssize_t n = read(p->far, sink, MIN(most, sizeof(sink)));
                if (n <= 0)
                        return;
                race.arrived += (uint64_t)n;
                most -= (size_t)n;
        }
}

static void pair_close(struct peer_pair *p) {
        loop_close(&p->socket, on_closed);
        for (unsigned i = 0; i < 1000 && p->socket.fd >= 0; i++)
                assert_int_equal(loop_turn(race.loop, loop_now_usec(race.loop) + 100000), 0);
        assert_int_equal(p->socket.fd, -1);
        far_read(p, SIZE_MAX);
        close(p->far);
}

static void act(struct peer_pair *p) {
        switch (any(9)) {
        case 0:
        case 1: pair_read(p); break;
        case 2:
        case 3: far_write(p); break;
        case 4: loop_cancel(race.loop, &p->read); break;
        case 5: pair_write(p); break;
        case 6: far_read(p, any(400000)); break;
        case 7: loop_cancel(race.loop, &p->write); break;
        default:
                if (any(20))
                        break;
                pair_close(p);
                pair_open(p);
        }
}

static void race_run(const struct loop_backend *backend, const struct loop_options *options,
                     bool faults) {
        unsigned rounds = number_of("LOOP_RACES_ROUNDS", 3000);
        char reason[LOOP_REASON_BYTES];

        if (loop_backend_check(backend, reason) < 0) {
                print_message("%s: %s\n", loop_backend_title(backend), reason);
                skip();
        }
        memset(&race, 0, sizeof(race));
        race.seed = number_of("LOOP_RACES_SEED", 7);
        print_message("%s, seed %u\n", loop_backend_title(backend), race.seed);
        assert_int_equal(loop_new(backend, options, &race.loop), 0);
        io_uring_faults_set(faults);
        for (unsigned i = 0; i < SOCKETS; i++)
                pair_open(&race.pairs[i]);
        for (unsigned i = 0; i < rounds; i++) {
                for (unsigned k = 0; k < ACTIONS; k++)
                        act(&race.pairs[any(SOCKETS)]);
                assert_int_equal(loop_turn(race.loop, 0), 0);
        }
        for (unsigned i = 0; i < SOCKETS; i++)
                pair_close(&race.pairs[i]);
        assert_int_equal(race.arrived, race.taken);
        assert_true(race.closed >= SOCKETS && race.data > 0 && race.canceled > 0);
        io_uring_faults_set(false);
        race.loop = loop_free(race.loop);
}

static const struct loop_options tiny = {
        .sockets_max = 4,
        .ring_entries = 4,
        .buffer_bytes = 64,
        .buffers_min = 2,
        .buffers_max = 4,
};

static void run_on(const char *name, const struct loop_options *options, bool faults) {
        const struct loop_backend *backend = loop_backend_find(name);

        if (!backend)
                skip();
        race_run(backend, options, faults);
}

/* Completions that are not there yet when the cancellation comes, or just are. */
static void io_uring_races(void **state) {
        run_on("io_uring", NULL, false);
}

/* Submission queue full in every turn, completion queue overflowing, receives without a buffer. */
static void io_uring_races_tiny(void **state) {
        run_on("io_uring", &tiny, false);
}

/* A kernel short of memory takes no submission, or only the first: none may be lost. */
static void io_uring_races_refused(void **state) {
        run_on("io_uring", &tiny, true);
}

/* The same must hold where readiness imitates completion. */
static void epoll_races(void **state) {
        for (enum loop_trigger t = LOOP_TRIGGER_EDGE; t <= LOOP_TRIGGER_ONESHOT; t++) {
                struct loop_options options = tiny;
                options.trigger = t;
                run_on("epoll", &options, false);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(io_uring_races),
                cmocka_unit_test(io_uring_races_tiny),
                cmocka_unit_test(io_uring_races_refused),
                cmocka_unit_test(epoll_races),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
