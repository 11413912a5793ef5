/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "loop/loop.h"

#include "deny-filter.h"

/*
 * The check of the io_uring backend, in children that live under the filters and limits which
 * people meet. Skips where io_uring cannot be had to begin with.
 */

struct outcome {
        int result;
        char reason[LOOP_REASON_BYTES];
};

static const struct loop_backend *io_uring(void) {
        const struct loop_backend *backend = loop_backend_find("io_uring");

        assert_non_null(backend);
        return backend;
}

/* Under `prepare` (0, or an errno as the child's result), what does the check say? */
static struct outcome check_under(int (*prepare)(const char *), const char *argument) {
        struct outcome outcome;
        int pipe_fds[2], status;

        assert_int_equal(pipe(pipe_fds), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                memset(&outcome, 0, sizeof(outcome));
                outcome.result = prepare(argument);
                if (outcome.result == 0)
                        outcome.result = loop_backend_check(io_uring(), outcome.reason);
                _exit(write(pipe_fds[1], &outcome, sizeof(outcome)) != sizeof(outcome));
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        assert_int_equal(read(pipe_fds[0], &outcome, sizeof(outcome)), sizeof(outcome));
        close(pipe_fds[0]);
        close(pipe_fds[1]);
        return outcome;
}

static void assert_says(const struct outcome *outcome, const char *text) {
        if (!strstr(outcome->reason, text))
                fail_msg("\"%s\" does not say \"%s\"", outcome->reason, text);
}

static void skip_without_io_uring(void) {
        char reason[LOOP_REASON_BYTES];

        if (loop_backend_check(io_uring(), reason) < 0) {
                print_message("io_uring cannot be had here: %s\n", reason);
                skip();
        }
}

/* Containers forbid setting up; the reason has to name the call and what to do about it. */
static void setup_forbidden(void **state) {
        struct outcome outcome = check_under(deny_system_calls, "io_uring_setup");

        assert_int_equal(outcome.result, -EPERM);
        assert_says(&outcome, "io_uring_setup: Operation not permitted");
        assert_says(&outcome, "Backend=epoll");
}

/* Older filters answer as if the kernel had no such call. */
static void setup_unknown(void **state) {
        struct outcome outcome = check_under(deny_system_calls, "io_uring_setup:ENOSYS");

        assert_int_equal(outcome.result, -ENOSYS);
        assert_says(&outcome, "io_uring_setup: Function not implemented");
        assert_says(&outcome, "Backend=epoll");
}

/* Setting up may be allowed where entering is not: only a check that enters finds out. */
static void enter_forbidden(void **state) {
        skip_without_io_uring();
        struct outcome outcome = check_under(deny_system_calls, "io_uring_enter");

        assert_int_equal(outcome.result, -EPERM);
        assert_says(&outcome, "io_uring_enter: Operation not permitted");
}

/* Without registering there are neither lent buffers nor restrictions. */
static void register_forbidden(void **state) {
        skip_without_io_uring();
        struct outcome outcome = check_under(deny_system_calls, "io_uring_register:EACCES");

        assert_int_equal(outcome.result, -EACCES);
        assert_says(&outcome, "io_uring_register");
        assert_says(&outcome, "Backend=epoll");
}

/* A kernel older than 6.1 refuses the flags of setting up. */
static void kernel_too_old(void **state) {
        struct outcome outcome = check_under(deny_system_calls, "io_uring_setup:EINVAL");

        assert_int_equal(outcome.result, -EINVAL);
        assert_says(&outcome, "6.1");
        assert_says(&outcome, "io_uring_setup");
}

static int without_locked_memory(const char *argument) {
        struct rlimit none = { 0, 0 };

        if (setrlimit(RLIMIT_MEMLOCK, &none) < 0 || (geteuid() == 0 && setuid(65534) < 0))
                return -errno;
        return 0;
}

/* Rings count as locked memory, of which users other than root may have little. */
static void locked_memory_short(void **state) {
        skip_without_io_uring();
        struct outcome outcome = check_under(without_locked_memory, NULL);

        if (outcome.result == 0)
                skip(); /* a kernel that does not count rings */
        assert_int_equal(outcome.result, -ENOMEM);
        assert_says(&outcome, "RLIMIT_MEMLOCK is 0 KiB");
}

static int without_descriptors(const char *argument) {
        struct rlimit few = { 5, 5 };

        return setrlimit(RLIMIT_NOFILE, &few) < 0 ? -errno : 0;
}

/* No reason to fall back, because epoll needs descriptors as well: it must be told apart. */
static void descriptors_short(void **state) {
        struct outcome outcome = check_under(without_descriptors, NULL);

        assert_int_equal(outcome.result, -EMFILE);
        assert_says(&outcome, "LimitNOFILE");
}

/* The check is run in a process that goes on: it must leave nothing behind. */
static void nothing_left_open(void **state) {
        char reason[LOOP_REASON_BYTES];
        int before = dup(0);

        assert_true(before >= 0);
        close(before);
        (void)loop_backend_check(io_uring(), reason);
        int after = dup(0);
        close(after);
        assert_int_equal(after, before);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(setup_forbidden),   cmocka_unit_test(setup_unknown),
                cmocka_unit_test(enter_forbidden),   cmocka_unit_test(register_forbidden),
                cmocka_unit_test(kernel_too_old),    cmocka_unit_test(locked_memory_short),
                cmocka_unit_test(descriptors_short), cmocka_unit_test(nothing_left_open),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
