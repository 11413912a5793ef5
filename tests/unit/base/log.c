/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* Standard error is a pipe, which JOURNAL_STREAM says is the journal, or does not. */

static int pipe_ends[2], real_stderr, send_result;
static char sent[256];

static int send(enum log_event event, enum log_level level, struct text line) {
        snprintf(sent, sizeof(sent), "%d %d %.*s", event, level, TEXT_ARGS(line));
        errno = EXDEV;
        return send_result;
}

static void begin(bool is_journal) {
        char stream[64];
        struct stat st;

        sent[0] = '\0';
        send_result = 0;
        real_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
        assert_int_equal(pipe2(pipe_ends, O_NONBLOCK | O_CLOEXEC), 0);
        assert_true(dup2(pipe_ends[1], STDERR_FILENO) >= 0);
        assert_int_equal(fstat(STDERR_FILENO, &st), 0);
        snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
                 (unsigned long long)st.st_ino + !is_journal);
        setenv("JOURNAL_STREAM", stream, 1);
        log_init();
        log_set_journal(send);
}

/* Gives what was written to standard error since begin(). */
static const char *end(void) {
        static char got[512];
        ssize_t n = read(pipe_ends[0], got, sizeof(got) - 1);

        got[MAX(n, 0)] = '\0';
        dup2(real_stderr, STDERR_FILENO);
        close(real_stderr);
        close(pipe_ends[0]);
        close(pipe_ends[1]);
        return got;
}

/* An event goes to the journal with its fields, once, and only it does. */
static void events_to_the_journal(void **state) {
        begin(true);
        errno = EILSEQ;
        log_event(LOG_EVENT_BUG, LOG_LEVEL_ERROR, "line %d\n", 1);
        log_warning("plain");
        assert_int_equal(errno, EILSEQ); /* callers log in between, and look at it later */
        assert_string_equal(end(), "<4>plain\n");
        snprintf(sent + strlen(sent), 2, ";");
        assert_string_equal(sent, "7 3 line 1\\x0a;");
}

/* Where the journal's socket cannot be reached the message is not lost. */
static void journal_out_of_reach(void **state) {
        begin(true);
        send_result = -ENOENT;
        log_event(LOG_EVENT_BUG, LOG_LEVEL_ERROR, "line");
        assert_string_equal(end(), "<3>line\n");
}

/* By hand, and in a container, messages are where one looks for them. */
static void no_journal(void **state) {
        begin(false);
        log_event(LOG_EVENT_BUG, LOG_LEVEL_ERROR, "line");
        assert_string_equal(end(), "emberd: line\n");
        assert_string_equal(sent, "");
}

static void levels(void **state) {
        begin(true);
        log_set_level(LOG_LEVEL_ERROR);
        log_event(LOG_EVENT_FILES_SCARCE, LOG_LEVEL_WARNING, "line");
        log_set_level(LOG_LEVEL_INFO);
        assert_string_equal(end(), "");
        assert_string_equal(sent, "");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(events_to_the_journal),
                cmocka_unit_test(journal_out_of_reach),
                cmocka_unit_test(no_journal),
                cmocka_unit_test(levels),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
