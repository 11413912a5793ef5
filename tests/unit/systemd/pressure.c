/* SPDX-License-Identifier: MIT */
#include "systemd/pressure.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#include "units-fixture.h"

static void offer(const char *path, const char *threshold) {
        setenv("MEMORY_PRESSURE_WATCH", path, 1);
        if (threshold)
                setenv("MEMORY_PRESSURE_WRITE", threshold, 1);
        else
                unsetenv("MEMORY_PRESSURE_WRITE");
}

static short poll_now(const struct pressure *p) {
        struct pollfd fd = { .fd = p->fd, .events = p->events };

        return poll(&fd, 1, 0) > 0 ? fd.revents : 0;
}

/* Most systems have no such thing; then nothing is watched, and that is no fault. */
static void not_offered(void **state) {
        struct pressure p;

        unsetenv("MEMORY_PRESSURE_WATCH");
        assert_int_equal(pressure_open(&p), 0);
        assert_int_equal(p.fd, -1);
        offer("/dev/null", NULL);
        assert_int_equal(pressure_open(&p), 0);
        assert_int_equal(p.fd, -1);
        assert_false(pressure_take(&p, POLLIN));
        pressure_close(&p);
}

static void faulty(void **state) {
        struct pressure p;

        offer("relative", NULL);
        assert_int_equal(pressure_open(&p), -EINVAL);
        offer(in_root("/nothing"), NULL);
        assert_int_equal(pressure_open(&p), -ENOENT);
        offer(root, NULL); /* a folder */
        assert_int_equal(pressure_open(&p), -EINVAL);
        offer("/dev/zero", NULL);
        assert_int_equal(pressure_open(&p), -EINVAL);
        assert_int_equal(p.fd, -1);
}

/* The kernel takes the threshold as systemd gives it, its NUL included, in one write. */
static void regular_file(void **state) {
        static const struct {
                const char *base64, *bytes;
                size_t size;
        } rows[] = {
                { "c29tZSAxNTAwMDAgMjAwMDAwMAA=", "some 150000 2000000", 20 },
                { "c29tZQ==", "some", 4 },
                { "c29t", "som", 3 },
                { "+/8=", "\xfb\xff", 2 },
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                char path[64], *data;
                struct pressure p;
                size_t n;

                snprintf(path, sizeof(path), "/psi%zu", i);
                put(path, "");
                offer(in_root(path), rows[i].base64);
                assert_int_equal(pressure_open(&p), 0);
                assert_int_equal(p.events, POLLPRI);
                assert_true(fd_read_file(in_root(path), 100, &data, &n) == 0);
                assert_int_equal(n, rows[i].size);
                assert_memory_equal(data, rows[i].bytes, n);
                free(data);
                assert_true(pressure_take(&p, POLLPRI));
                assert_true(p.fd >= 0);
                /* the cgroup is gone */
                assert_true(pressure_take(&p, POLLPRI | POLLERR));
                assert_int_equal(p.fd, -1);
        }
}

static void faulty_threshold(void **state) {
        static const char *const rows[] = { "c29tZQ=", "c29tZQ",   "====",
                                            "c2=t",    "c29tZ!==", "c29t ZQ==" };
        char longest[8193];
        struct pressure p;

        put("/psi", "");
        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                offer(in_root("/psi"), rows[i]);
                assert_int_equal(pressure_open(&p), -EINVAL);
                assert_int_equal(p.fd, -1);
        }
        memset(longest, 'A', sizeof(longest) - 1);
        longest[sizeof(longest) - 1] = '\0';
        offer(in_root("/psi"), longest);
        assert_int_equal(pressure_open(&p), -EINVAL);
}

/* Each write is one event, however much it is; and a writer who goes is not one. */
static void fifo(void **state) {
        static const char much[10000];
        struct pressure p;
        int writer;

        assert_int_equal(mkfifo(in_root("/fifo"), 0600), 0);
        offer(in_root("/fifo"), "c29tZQ==");
        assert_int_equal(pressure_open(&p), 0);
        assert_int_equal(poll_now(&p), 0); /* its own bytes are no pressure */
        writer = open(in_root("/fifo"), O_WRONLY | O_CLOEXEC);
        assert_int_equal(fd_write_all(writer, much, sizeof(much)), 0);
        assert_int_equal(poll_now(&p), POLLIN);
        assert_true(pressure_take(&p, POLLIN));
        assert_int_equal(poll_now(&p), 0);
        close(writer);
        assert_int_equal(poll_now(&p), 0);
        pressure_close(&p);
        assert_int_equal(p.fd, -1);
}

/* When the other end is closed there is nothing to watch any more. */
static void socket_in_the_file_system(void **state) {
        int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), peer;
        struct sockaddr_un a = { .sun_family = AF_UNIX };
        struct pressure p;
        char got[16];

        snprintf(a.sun_path, sizeof(a.sun_path), "%s/socket", root);
        assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
        assert_int_equal(listen(listener, 1), 0);
        offer(a.sun_path, "c29tZQ==");
        assert_int_equal(pressure_open(&p), 0);
        peer = accept(listener, NULL, NULL);
        assert_int_equal(read(peer, got, sizeof(got)), 4);
        assert_int_equal(poll_now(&p), 0);
        assert_int_equal(write(peer, "x", 1), 1);
        assert_true(pressure_take(&p, poll_now(&p)));
        close(peer);
        (void)pressure_take(&p, poll_now(&p));
        assert_int_equal(p.fd, -1);
        close(listener);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_root, remove_root)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(not_offered),      TEST(faulty), TEST(regular_file),
                TEST(faulty_threshold), TEST(fifo),   TEST(socket_in_the_file_system),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
