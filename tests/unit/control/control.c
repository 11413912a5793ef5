/* SPDX-License-Identifier: MIT */
#include "control/control.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"

#include <cmocka.h>

/*
 * The server's turn is called by hand, on the same thread as its clients, so that every step is
 * where the test wants it and time is what the test says.
 */

enum { TOPIC_ONE, TOPIC_TWO, BIG_BYTES = 1 << 20 };

static struct control *control;
static char folder[] = "/tmp/emberd-control-XXXXXX", path[64];
static unsigned asked; /* requests that reached a verb */
static pid_t asked_by;
static uint64_t next_number;

static void run_echo(void *context, struct control_request *request) {
        struct text said = request->word_count > 1 ? request->words[1] : TEXT("");

        assert_ptr_equal(context, &control);
        asked++;
        asked_by = request->pid;
        assert_int_equal(request->uid, getuid());
        control_answer(request, 0, said);
}

static void run_fail(void *context, struct control_request *request) {
        asked++;
        control_answer(request, 78, TEXT("one\ntwo\n"));
}

static void run_wait(void *context, struct control_request *request) {
        asked++;
        control_wait(request, TOPIC_ONE, next_number);
}

static void run_big(void *context, struct control_request *request) {
        char *data = malloc(BIG_BYTES);

        assert_non_null(data);
        memset(data, 'x', BIG_BYTES);
        asked++;
        control_answer(request, 0, (struct text){ data, BIG_BYTES });
        free(data);
}

static const struct control_verb verbs[] = {
        { "echo", 1, run_echo },
        { "fail", 0, run_fail },
        { "wait", 0, run_wait },
        { "big", 0, run_big },
        {},
};

static int begin(void **state) {
        strcpy(folder + sizeof(folder) - 7, "XXXXXX");
        if (!mkdtemp(folder))
                return -1;
        snprintf(path, sizeof(path), "%s/control.sock", folder);
        asked = 0;
        next_number = 1;
        return control_open(path, verbs, &control, &control);
}

static int end(void **state) {
        control = control_close(control);
        return rmdir(folder); /* fails if the socket is left */
}

/* As long as there is something to do at once. */
static void turn(void) {
        for (unsigned i = 0; i < 1000; i++) {
                struct pollfd fds[CONTROL_POLL_MAX];

                control_poll(control, fds);
                if (poll(fds, CONTROL_POLL_MAX, 0) <= 0)
                        return;
                control_take(control, fds);
        }
        fail_msg("the server turns and turns");
}

static int client(void) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        assert_true(fd >= 0);
        strcpy(address.sun_path, path);
        assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        return fd;
}

static int client_saying(const char *line) {
        int fd = client();

        assert_int_equal(send(fd, line, strlen(line), MSG_NOSIGNAL), strlen(line));
        return fd;
}

/* Until the end of file; -1: there is none yet, -2: the connection was cut. */
static ssize_t receive(int fd, char *to, size_t size) {
        size_t got = 0;

        for (;;) {
                ssize_t n = recv(fd, to + got, size - got - 1, 0);

                to[got += n > 0 ? (size_t)n : 0] = '\0';
                if (n == 0)
                        return (ssize_t)got;
                if (n < 0)
                        return errno == EAGAIN ? -1 : -2;
        }
}

static void expect(int fd, const char *answer) {
        char got[1024];

        assert_true(receive(fd, got, sizeof(got)) >= 0);
        assert_string_equal(got, answer);
        close(fd);
}

static void expect_nothing_yet(int fd) {
        char got[64];

        assert_int_equal(receive(fd, got, sizeof(got)), -1);
        assert_string_equal(got, "");
}

/* The whole of the protocol as an honest client sees it. */
static void answers(void **state) {
        int ok = client_saying("echo hello\n"), empty = client_saying("echo\n"),
            failed = client_saying("fail\n");

        turn();
        expect(ok, "0\nhello\n");
        expect(empty, "0\n");
        expect(failed, "78\none\ntwo\n");
        assert_int_equal(asked, 3);
        assert_int_equal(asked_by, getpid());
}

/* Who mistypes is told what can be asked; too many arguments are not swallowed. */
static void wrong_requests(void **state) {
        int unknown = client_saying("ehco\n"), many = client_saying("fail hard\n"),
            byte = client_saying("echo\001\n"), blank = client_saying(" \n");

        turn();
        expect(unknown, "64\n'ehco' is not known here; known are: echo fail wait big\n");
        expect(many, "64\ntoo many arguments\n");
        expect(byte, "64\na request has no control bytes in it\n");
        expect(blank, "64\na request names a verb\n");
        assert_int_equal(asked, 0);
}

/* The request may come in pieces, and with more behind it. */
static void slow_request(void **state) {
        const char *line = "echo hello\nwhatever";
        int fd = client();

        for (size_t i = 0; i < 11; i++) {
                turn();
                expect_nothing_yet(fd);
                assert_int_equal(send(fd, line + i, i == 10 ? strlen(line + i) : 1, 0),
                                 i == 10 ? strlen(line + i) : 1);
        }
        turn();
        expect(fd, "0\nhello\n");
}

/* Half a line is no request, neither when its time is over nor when its sender is gone. */
static void half_a_line(void **state) {
        int stays = client_saying("ech"), goes = client_saying("fai");
        uint64_t now = clock_monotonic_usec(), next;
        char got[16];

        turn();
        close(goes);
        turn();
        next = control_step(control, now);
        assert_in_range(next, now + 9 * USEC_PER_SEC, now + 11 * USEC_PER_SEC);
        assert_int_equal(control_step(control, next), USEC_INFINITY);
        assert_int_equal(receive(stays, got, sizeof(got)), 0);
        close(stays);
        assert_int_equal(asked, 0);
}

/* A line without an end costs its 4 KiB and not more, and the refusal arrives. */
static void huge_line(void **state) {
        static char line[65536];
        int fd = client();
        ssize_t sent;
        char got[64];

        memset(line, 'x', sizeof(line));
        sent = send(fd, line, sizeof(line), MSG_NOSIGNAL);
        assert_true(sent > CONTROL_LINE_BYTES_MAX);
        turn();
        assert_true(receive(fd, got, sizeof(got)) > 0);
        assert_string_equal(got, "64\na request is a line of at most 4096 bytes\n");
        close(fd);
}

/* As turn(), over the time that those who say nothing have. */
static void turn_until_room(void) {
        uint64_t now = clock_monotonic_usec(), next = control_step(control, now);

        turn();
        if (next < now + USEC_PER_SEC) /* when the first of them has to give way */
                usleep((useconds_t)(next - now) + 1000);
        turn();
}

/* Connections that say nothing keep nobody out, but for the time that an honest one may need. */
static void crowd(void **state) {
        int fds[3 * CONTROL_CLIENTS_MAX], last;
        unsigned open = 0;
        char got[16];

        for (size_t i = 0; i < ELEMENTS(fds); i++)
                fds[i] = client();
        last = client_saying("echo in\n");
        for (unsigned i = 0; i < 4; i++) {
                uint64_t now = clock_monotonic_usec();

                turn();
                assert_true(control_step(control, now) > now); /* it sleeps meanwhile */
                turn_until_room();
        }
        expect(last, "0\nin\n");
        for (size_t i = 0; i < ELEMENTS(fds); i++) {
                open += receive(fds[i], got, sizeof(got)) == -1;
                close(fds[i]);
        }
        assert_int_equal(open, CONTROL_CLIENTS_MAX - 1); /* those who came last, but one */
        turn();
}

/* Who has just come and not yet sent its line is not thrown out by the next one. */
static void honest_crowd(void **state) {
        int fds[5 * CONTROL_CLIENTS_MAX];

        for (size_t i = 0; i < ELEMENTS(fds); i++) {
                fds[i] = client();
                turn();
        }
        for (size_t i = 0; i < ELEMENTS(fds); i++)
                assert_int_equal(send(fds[i], "echo me\n", 8, MSG_NOSIGNAL), 8);
        turn();
        for (size_t i = 0; i < ELEMENTS(fds); i++)
                expect(fds[i], "0\nme\n");
}

/* Where all places are taken by requests, the next one waits in the queue, and does not spin. */
static void all_wait(void **state) {
        int fds[CONTROL_CLIENTS_MAX], late;

        for (size_t i = 0; i < ELEMENTS(fds); i++)
                fds[i] = client_saying("wait\n");
        turn();
        late = client_saying("echo late\n");
        turn();
        assert_int_equal(asked, CONTROL_CLIENTS_MAX);
        expect_nothing_yet(late);
        assert_int_equal(control_step(control, clock_monotonic_usec() + USEC_PER_SEC * 3600),
                         USEC_INFINITY);
        control_answer_waiting(control, TOPIC_ONE, 1, 0, TEXT("done"));
        for (size_t i = 0; i < ELEMENTS(fds); i++)
                expect(fds[i], "0\ndone\n");
        turn();
        expect(late, "0\nlate\n");
}

/* Who waits is answered for its own number and topic, not for another's. */
static void waiting(void **state) {
        int first = client_saying("wait\n"), second;

        turn();
        next_number = 2;
        second = client_saying("wait\n");
        turn();
        control_answer_waiting(control, TOPIC_TWO, UINT64_MAX, 0, TEXT("wrong"));
        control_answer_waiting(control, TOPIC_ONE, 0, 0, TEXT("wrong"));
        expect_nothing_yet(first);
        control_answer_waiting(control, TOPIC_ONE, 1, 78, TEXT("faulty"));
        expect(first, "78\nfaulty\n");
        expect_nothing_yet(second);
        control_answer_waiting(control, TOPIC_ONE, 2, 0, TEXT(""));
        expect(second, "0\n");
}

/* A place is free again when the one who waits goes away, or only stops sending. */
static void gone_while_waiting(void **state) {
        int gone = client_saying("wait\n"), half = client_saying("wait\n");

        turn();
        close(gone);
        shutdown(half, SHUT_WR);
        turn();
        control_answer_waiting(control, TOPIC_ONE, 1, 0, TEXT("done"));
        expect(half, "0\ndone\n");
        turn();
        assert_int_equal(control_step(control, clock_monotonic_usec()), USEC_INFINITY);
}

/* A reader who takes nothing holds its place for ten seconds; the others go on meanwhile. */
static void slow_reader(void **state) {
        int slow = client_saying("big\n"), other;
        uint64_t now = clock_monotonic_usec(), next;
        static char got[2 * CONTROL_ANSWER_BYTES_MAX];
        ssize_t n;

        turn();
        other = client_saying("echo quick\n");
        turn();
        expect(other, "0\nquick\n");
        next = control_step(control, now);
        assert_in_range(next, now + 9 * USEC_PER_SEC, now + 11 * USEC_PER_SEC);
        assert_int_equal(control_step(control, next), USEC_INFINITY);
        n = receive(slow, got, sizeof(got));
        assert_in_range(n, 1, CONTROL_ANSWER_BYTES_MAX - 1); /* cut, and at its end */
        close(slow);
}

/* One who takes its time gets all of it, up to the limit. */
static void patient_reader(void **state) {
        int fd = client_saying("big\n");
        static char got[2 * CONTROL_ANSWER_BYTES_MAX];
        size_t have = 0;
        ssize_t n = 0;

        for (unsigned i = 0; i < 100000 && (n = recv(fd, got + have, 1000, 0)) != 0; i++) {
                have += n > 0 ? (size_t)n : 0;
                turn();
        }
        assert_int_equal(n, 0);
        assert_int_equal(have, 2 + CONTROL_ANSWER_BYTES_MAX + 1);
        assert_memory_equal(got, "0\nx", 3);
        assert_int_equal(got[have - 1], '\n');
        close(fd);
}

/* Who goes away in the midst of its answer disturbs nobody (SIGPIPE would end the process). */
static void gone_while_answered(void **state) {
        int fd = client_saying("big\n");

        turn();
        close(fd);
        turn();
        fd = client_saying("echo on\n");
        turn();
        expect(fd, "0\non\n");
}

/* The mode is the guard, so it must not depend on the umask. */
static void mode(void **state) {
        struct stat st;
        mode_t before = umask(0);

        control = control_close(control);
        assert_int_equal(control_open(path, verbs, &control, &control), 0);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0660);
        control = control_close(control);
        umask(0777);
        assert_int_equal(control_open(path, verbs, &control, &control), 0);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0660);
        umask(before);
}

/* What a killed process left is taken away; a living one, a file or a link stays as it is. */
static void what_is_there(void **state) {
        struct control *second = NULL;
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        struct stat st;
        int fd;

        assert_int_equal(control_open(path, verbs, NULL, &second), -EADDRINUSE);
        control = control_close(control);
        assert_int_equal(access(path, F_OK), -1);

        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        strcpy(address.sun_path, path);
        assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        close(fd);
        assert_int_equal(control_open(path, verbs, &control, &control), 0);
        control = control_close(control);

        fd = open(path, O_CREAT | O_WRONLY, 0600);
        close(fd);
        assert_int_equal(control_open(path, verbs, NULL, &second), -ENOTSOCK);
        unlink(path);
        assert_int_equal(symlink("/nonexistent/a", path), 0);
        assert_int_equal(control_open(path, verbs, NULL, &second), -ENOTSOCK);
        assert_int_equal(lstat(path, &st), 0);
        unlink(path);
        assert_int_equal(control_open("/nonexistent/control.sock", verbs, NULL, &second), -ENOENT);
}

/* At its end a process must not take away the socket of the one that came after it. */
static void not_ours_any_more(void **state) {
        struct control *second = NULL;

        unlink(path);
        assert_int_equal(control_open(path, verbs, NULL, &second), 0);
        control = control_close(control);
        assert_int_equal(access(path, F_OK), 0);
        control_close(second);
}

/* Most processes have none; the callers need not know. */
static void without_one(void **state) {
        struct pollfd fds[CONTROL_POLL_MAX];

        control_poll(NULL, fds);
        for (size_t i = 0; i < CONTROL_POLL_MAX; i++)
                assert_int_equal(fds[i].fd, -1);
        control_take(NULL, fds);
        assert_int_equal(control_step(NULL, 1), USEC_INFINITY);
        control_answer_waiting(NULL, TOPIC_ONE, 1, 0, TEXT("x"));
        assert_null(control_close(NULL));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(answers),
                TEST(wrong_requests),
                TEST(slow_request),
                TEST(half_a_line),
                TEST(huge_line),
                TEST(crowd),
                TEST(honest_crowd),
                TEST(all_wait),
                TEST(waiting),
                TEST(gone_while_waiting),
                TEST(slow_reader),
                TEST(patient_reader),
                TEST(gone_while_answered),
                TEST(mode),
                TEST(what_is_there),
                TEST(not_ours_any_more),
                TEST(without_one),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
