/* SPDX-License-Identifier: MIT */
#include "server/supervisor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "systemd/activation.h"

/*
 * The last look before leaving, with one worker that has no thread: it has paused, and takes no
 * commands, so that the supervisor closes what it accepts.
 */

enum { VISITORS = 100 };

static struct worker worker;
static struct settings settings;
static struct supervisor supervisor;
static int listening;
static struct sockaddr_in address;

static int begin(void **state) {
        socklen_t size = sizeof(address);
        struct activation_socket passed = { .name = (char *)"http" };

        address = (struct sockaddr_in){ .sin_family = AF_INET,
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (bind(listening, (struct sockaddr *)&address, size) < 0 ||
            listen(listening, VISITORS) < 0 ||
            getsockname(listening, (struct sockaddr *)&address, &size) < 0)
                return -1;
        memset(&worker, 0, sizeof(worker));
        pthread_mutex_init(&worker.lock, NULL);
        settings = (struct settings){ .idle_exit_usec = USEC_PER_SEC };
        supervisor = (struct supervisor){
                .state = SUPERVISOR_PAUSING,
                .settings = &settings,
                .workers = &worker,
                .worker_count = 1,
                .sockets_were_passed = true,
        };
        passed.fd = listening;
        return listener_set_new_passed(&passed, 1, &supervisor.listeners);
}

static int end(void **state) {
        held_by_none(supervisor.old_listeners);
        supervisor_let_go(&supervisor);
        supervisor.listeners = listener_set_free(supervisor.listeners);
        return 0;
}

/* What the other tests are compared with: when nobody has come it leaves. */
static void leaves_when_idle(void **state) {
        supervisor_idle_step(&supervisor, clock_monotonic_usec());
        assert_int_equal(supervisor.state, SUPERVISOR_DRAINING);
}

/* A reload that arrived between the pause and the decision says that it is to stay. */
static void stays_when_told_meanwhile(void **state) {
        settings.idle_exit_usec = 0;
        supervisor_idle_step(&supervisor, clock_monotonic_usec());
        assert_int_equal(supervisor.state, SUPERVISOR_RUNNING);
}

/* However many come, this thread does not accept for ever: it feeds the watchdog. */
static void last_look_has_an_end(void **state) {
        int visitors[VISITORS], fd;
        unsigned left = 0;

        for (unsigned i = 0; i < VISITORS; i++) {
                visitors[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
                assert_int_equal(connect(visitors[i], (struct sockaddr *)&address, sizeof(address)),
                                 0);
        }
        supervisor_idle_step(&supervisor, clock_monotonic_usec());
        assert_int_equal(supervisor.state, SUPERVISOR_RUNNING);
        while ((fd = accept(listening, NULL, NULL)) >= 0) {
                left++;
                close(fd);
        }
        assert_in_range(left, 1, VISITORS - 1);
        for (unsigned i = 0; i < VISITORS; i++)
                close(visitors[i]);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(leaves_when_idle),
                TEST(stays_when_told_meanwhile),
                TEST(last_look_has_an_end),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
