/* SPDX-License-Identifier: MIT */
#include "ctl/ctl-ask.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

#include <cmocka.h>

static char folder[] = "/tmp/emberctl-XXXXXX", path[64];
static char *words[] = { (char *)"reload", (char *)"x" };
static const struct ctl_options options = { .words = words, .word_count = 2 };

struct server {
        pthread_t thread;
        int fd;
        const char *answer; /* NULL: none, and the connection stays open until the client goes */
        char line[64];
};

static void *serve(void *argument) {
        struct server *s = argument;
        int fd = accept(s->fd, NULL, NULL);
        char byte;

        s->line[recv(fd, s->line, sizeof(s->line) - 1, 0)] = '\0';
        if (s->answer)
                send(fd, s->answer, strlen(s->answer), MSG_NOSIGNAL);
        else
                (void)!recv(fd, &byte, 1, 0);
        close(fd);
        return NULL;
}

static int ask(const char *answer, struct server *s, uint64_t timeout_usec, struct buffer *text,
               int *status) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int r;

        *s = (struct server){ .fd = socket(AF_UNIX, SOCK_STREAM, 0), .answer = answer };
        strcpy(address.sun_path, path);
        assert_int_equal(bind(s->fd, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(listen(s->fd, 1), 0);
        assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
        r = ctl_ask(path, &options, timeout_usec, text, status);
        pthread_join(s->thread, NULL);
        close(s->fd);
        unlink(path);
        return r;
}

/* What is asked is one line; what is answered is a status and a text. */
static void asked_and_answered(void **state) {
        struct buffer text = {};
        struct server s;
        int status = -1;

        assert_int_equal(ask("78\na:1: b\nc\n", &s, USEC_PER_SEC * 10, &text, &status), 0);
        assert_string_equal(s.line, "reload x\n");
        assert_int_equal(status, 78);
        assert_true(text_equal(buffer_text(&text), TEXT("a:1: b\nc\n")));
        buffer_finish(&text);
        assert_int_equal(ask("0\n", &s, USEC_PER_SEC * 10, &text, &status), 0);
        assert_int_equal(status, 0);
        assert_int_equal(text.used, 0);
        buffer_finish(&text);
}

static int ask_for(const char *answer) {
        struct buffer text = {};
        struct server s;
        int status = -1, r = ask(answer, &s, USEC_PER_SEC * 10, &text, &status);

        buffer_finish(&text);
        assert_int_equal(status, -1);
        return r;
}

/* Neither silence nor nonsense may look like success. */
static void no_answers(void **state) {
        assert_int_equal(ask_for(""), -ECONNRESET);
        assert_int_equal(ask_for("0"), -EBADMSG);
        assert_int_equal(ask_for("\n"), -EBADMSG);
        assert_int_equal(ask_for("-1\n"), -EBADMSG);
        assert_int_equal(ask_for("256\n"), -EBADMSG);
        assert_int_equal(ask_for("HTTP/1.1 400 Bad Request\r\n"), -EBADMSG);
}

/* A server that is stuck is waited for no longer than was said. */
static void stuck(void **state) {
        struct buffer text = {};
        struct server s;
        uint64_t begun = clock_monotonic_usec();
        int status = -1;

        assert_int_equal(ask(NULL, &s, USEC_PER_SEC / 5, &text, &status), -ETIMEDOUT);
        assert_in_range(clock_monotonic_usec() - begun, USEC_PER_SEC / 6, USEC_PER_SEC * 5);
        buffer_finish(&text);
}

/* So is one that does not even accept, with its queue full. */
static void full_queue(void **state) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        struct buffer text = {};
        int listener = socket(AF_UNIX, SOCK_STREAM, 0), fd = 0, fds[16], count = 0, status;

        strcpy(address.sun_path, path);
        assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(listen(listener, 0), 0);
        while (count < 16) {
                fd = fds[count++] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
                if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                        break;
        }
        assert_true(count < 16);
        assert_int_equal(ctl_ask(path, &options, USEC_PER_SEC / 5, &text, &status), -ETIMEDOUT);
        while (count)
                close(fds[--count]);
        close(listener);
        assert_int_equal(ctl_ask(path, &options, USEC_PER_SEC, &text, &status), -ECONNREFUSED);
        unlink(path);
        assert_int_equal(ctl_ask(path, &options, USEC_PER_SEC, &text, &status), -ENOENT);
        buffer_finish(&text);
}

/* --socket, then --instance, then the environment, then the service of the package. */
static void where(void **state) {
        struct ctl_options o = {};
        char to[CONTROL_PATH_BYTES], long_name[200];

        unsetenv("RUNTIME_DIRECTORY");
        assert_int_equal(ctl_socket_path(&o, to), 0);
        assert_string_equal(to, "/run/emberd/control.sock");
        setenv("RUNTIME_DIRECTORY", "/run/one:/run/two", 1);
        assert_int_equal(ctl_socket_path(&o, to), 0);
        assert_string_equal(to, "/run/one/control.sock");
        o.instance = "8080";
        assert_int_equal(ctl_socket_path(&o, to), 0);
        assert_string_equal(to, "/run/emberd@8080/control.sock");
        /* as an address, and as in the name of the unit */
        o.instance = "[::1]:8090";
        assert_int_equal(ctl_socket_path(&o, to), 0);
        assert_string_equal(to, "/run/emberd@[::1]:8090/control.sock");
        o.instance = "\\x5b::1\\x5d:8090";
        assert_int_equal(ctl_socket_path(&o, to), 0);
        assert_string_equal(to, "/run/emberd@[::1]:8090/control.sock");
        o.instance = "/run/my-site.sock";
        assert_int_equal(ctl_socket_path(&o, to), 0);
        assert_string_equal(to, "/run/emberd@/run/my-site.sock/control.sock");
        o.instance = "-run-my\\x2dsite.sock";
        assert_int_equal(ctl_socket_path(&o, to), 0);
        assert_string_equal(to, "/run/emberd@/run/my-site.sock/control.sock");
        o.instance = "a\\xzz";
        assert_int_equal(ctl_socket_path(&o, to), 0);
        assert_string_equal(to, "/run/emberd@a\\xzz/control.sock");
        o = (struct ctl_options){ .socket = "s" };
        assert_int_equal(ctl_socket_path(&o, to), 0);
        assert_string_equal(to, "s");
        memset(long_name, 'x', sizeof(long_name) - 1);
        long_name[sizeof(long_name) - 1] = '\0';
        o.socket = long_name;
        assert_int_equal(ctl_socket_path(&o, to), -ENAMETOOLONG);
        o = (struct ctl_options){ .instance = long_name };
        assert_int_equal(ctl_socket_path(&o, to), -ENAMETOOLONG);
}

static int begin(void **state) {
        if (!mkdtemp(folder))
                return -1;
        snprintf(path, sizeof(path), "%s/s", folder);
        return 0;
}

static int end(void **state) {
        return rmdir(folder);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(asked_and_answered),
                cmocka_unit_test(no_answers),
                cmocka_unit_test(stuck),
                cmocka_unit_test(full_queue),
                cmocka_unit_test(where),
        };

        return cmocka_run_group_tests(tests, begin, end);
}
