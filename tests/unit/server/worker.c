/* SPDX-License-Identifier: MIT */
#include "server/worker.h"

#include <arpa/inet.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/listeners.h"

/* Four workers that share a listener, on each backend that can run here. */

enum { WORKERS = 4, CONNECTIONS = 400 };

struct team {
        struct snapshot *snapshot;
        struct listener_set *listeners;
        struct offload_pool *pool;
        struct worker *workers;
        struct sockaddr_in address;
        atomic_bool poke_on_activity;
        int poke_fd;
        struct worker_gate gate; /* if shut they have the listeners to begin with */
};

static void tell(struct worker *w, const struct worker_command *command) {
        struct worker_command *copy = malloc(sizeof(*copy));

        assert_non_null(copy);
        *copy = *command;
        copy->sequence = 1;
        assert_true(worker_send(w, copy));
}

static void team_start(struct team *t, const struct loop_backend *backend) {
        char *options[] = { (char *)"Server.Listen=127.0.0.1:0",
                            (char *)"Site a.Index=", (char *)"Route a /.Return=200 here", NULL };
        _cleanup_(buffer_finish)
        struct buffer faults = {};
        _cleanup_(settings_unrefp)
        struct settings *settings = NULL;
        struct settings_sources sources = { .options = options + 1 };
        struct settings_listener where = { .name = (char *)"test",
                                           .address = (char *)"127.0.0.1:0" };
        char reason[LISTENER_REASON_BYTES];
        socklen_t size = sizeof(t->address);

        assert_int_equal(settings_load(&sources, &faults, &settings), 0);
        assert_int_equal(snapshot_new(settings, WORKERS, NULL, &faults, &t->snapshot), 0);
        assert_int_equal(
                listener_set_open(&(struct settings){ .listeners = &where, .listener_count = 1 },
                                  NULL, reason, &t->listeners),
                0);
        assert_int_equal(
                getsockname(t->listeners->listeners[0]->fd, (struct sockaddr *)&t->address, &size),
                0);
        t->poke_fd = eventfd(0, EFD_CLOEXEC);
        assert_int_equal(offload_pool_new(2, &t->pool), 0);
        t->workers = aligned_alloc(64, (WORKERS * sizeof(*t->workers) + 63) / 64 * 64);
        assert_non_null(t->workers);
        for (unsigned i = 0; i < WORKERS; i++) {
                t->workers[i] = (struct worker){
                        .index = i,
                        .all = t->workers,
                        .all_count = WORKERS,
                        .backend = backend,
                        .options = { .sockets_max = 1000, .pool = t->pool },
                        .poke_fd = t->poke_fd,
                        .poke_on_activity = &t->poke_on_activity,
                        .snapshot = t->snapshot,
                        .gate = &t->gate,
                        .first_listeners = t->gate.shut ? t->listeners : NULL,
                };
                pthread_mutex_init(&t->workers[i].lock, NULL);
        }
        t->listeners->held.by = WORKERS;
        for (unsigned i = 0; i < WORKERS; i++) {
                assert_int_equal(worker_start(&t->workers[i]), 0);
                while (!atomic_load(&t->workers[i].started))
                        usleep(1000);
        }
        for (unsigned i = 0; i < WORKERS && !t->gate.shut; i++)
                tell(&t->workers[i], &(struct worker_command){ .kind = WORKER_TAKE_LISTENERS,
                                                               .listeners = t->listeners });
}

static void team_stop(struct team *t) {
        for (unsigned i = 0; i < WORKERS; i++)
                tell(&t->workers[i], &(struct worker_command){ .kind = WORKER_ABORT });
        for (unsigned i = 0; i < WORKERS; i++) {
                pthread_join(t->workers[i].thread, NULL);
                assert_int_equal(t->workers[i].result, 0);
        }
        assert_int_equal(t->listeners->held.by, 0);
        free(t->workers);
        offload_pool_free(t->pool);
        listener_set_free(t->listeners);
        snapshot_free(t->snapshot);
        close(t->poke_fd);
}

static int ask(const struct team *t) {
        static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_int_equal(connect(fd, (const struct sockaddr *)&t->address, sizeof(t->address)), 0);
        assert_int_equal(write(fd, request, sizeof(request) - 1), sizeof(request) - 1);
        return fd;
}

static bool is_answered(int fd, int msec) {
        struct pollfd p = { .fd = fd, .events = POLLIN };

        return poll(&p, 1, msec) == 1;
}

/* A connection that has had an answer, so that some worker surely has it. */
static int visit(const struct team *t) {
        int fd = ask(t);
        char answer[512];

        assert_true(is_answered(fd, 20000));
        assert_true(read(fd, answer, sizeof(answer)) > 0);
        assert_memory_equal(answer, "HTTP/1.1 200 OK\r\n", 17);
        return fd;
}

/* No worker has more than 1.3 times the mean, however the loops race for what comes. */
static void connections_spread_over_workers(void **state) {
        char reason[LOOP_REASON_BYTES];

        for (size_t b = 0; loop_backends[b]; b++) {
                struct team t = {};
                int fds[CONNECTIONS];
                uint64_t sum = 0, most = 0;

                if (loop_backend_check(loop_backends[b], reason) < 0)
                        continue;
                team_start(&t, loop_backends[b]);
                for (unsigned i = 0; i < CONNECTIONS; i++)
                        fds[i] = visit(&t);
                for (unsigned i = 0; i < WORKERS; i++) {
                        uint64_t n = counter_read(&t.workers[i].figures.connections);

                        sum += n;
                        most = MAX(most, n);
                }
                print_message("%s: %lu of %lu\n", loop_backend_title(loop_backends[b]),
                              (unsigned long)most, (unsigned long)sum);
                assert_int_equal(sum, CONNECTIONS);
                assert_true(most * 10 <= CONNECTIONS / WORKERS * 13);
                team_stop(&t);
                for (unsigned i = 0; i < CONNECTIONS; i++)
                        close(fds[i]);
        }
}

/* Before all of the process is sealed no byte of a visitor's may reach it. */
static void nobody_is_served_before_the_gate_opens(void **state) {
        char reason[LOOP_REASON_BYTES];

        for (size_t b = 0; loop_backends[b]; b++) {
                struct team t = { .gate.lock = PTHREAD_MUTEX_INITIALIZER };
                int fd;

                if (loop_backend_check(loop_backends[b], reason) < 0)
                        continue;
                worker_gate_close(&t.gate, true);
                team_start(&t, loop_backends[b]);
                fd = ask(&t);
                assert_false(is_answered(fd, 100));
                worker_gate_open(&t.gate, true);
                assert_true(is_answered(fd, 20000));
                team_stop(&t);
                close(fd);

                t = (struct team){ .gate.lock = PTHREAD_MUTEX_INITIALIZER };
                worker_gate_close(&t.gate, true);
                team_start(&t, loop_backends[b]);
                fd = ask(&t);
                worker_gate_open(&t.gate, false); /* another one could not start */
                assert_false(is_answered(fd, 100));
                t.listeners->held.by = 0; /* they never took them */
                team_stop(&t);
                close(fd);
        }
}

/*
 * While all leave, one may have freed its loop already when another still takes a connection: it
 * must not be looked at any more, though it has not ended yet.
 */
static void nothing_is_passed_to_one_that_leaves(void **state) {
        struct worker workers[2] = {};
        struct sockaddr_in address = { .sin_family = AF_INET };
        char reason[LOOP_REASON_BYTES];

        for (unsigned i = 0; i < 2; i++) {
                workers[i].all = workers;
                workers[i].all_count = 2;
                pthread_mutex_init(&workers[i].lock, NULL);
                atomic_store(&workers[i].started, true);
        }
        for (size_t b = 0; loop_backends[b] && !workers[0].loop; b++)
                if (loop_backend_check(loop_backends[b], reason) == 0)
                        assert_int_equal(loop_new(loop_backends[b], NULL, &workers[0].loop), 0);
        assert_non_null(workers[0].loop);
        counter_set(&workers[0].figures.connections, 100);
        workers[1].closing = true;
        assert_false(worker_pass_on(&workers[0], 0, (const struct sockaddr *)&address,
                                    sizeof(address), false));
        loop_free(workers[0].loop);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(connections_spread_over_workers),
                cmocka_unit_test(nobody_is_served_before_the_gate_opens),
                cmocka_unit_test(nothing_is_passed_to_one_that_leaves),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
