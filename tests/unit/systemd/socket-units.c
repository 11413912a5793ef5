/* SPDX-License-Identifier: MIT */
#include "systemd/socket-units.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "units-fixture.h"

#define DEFAULT_FILE "/nonexistent/emberd.conf"

static void enable(const char *name) {
        char path[512];

        snprintf(path, sizeof(path), ETC "sockets.target.wants/%s", name);
        put_link(path, name);
}

/* As "UNIT>SERVICE:NAME(STREAM …)", with "+" before what is enabled. */
static void assert_sockets(const char *settings_file, const char *expected) {
        struct socket_query query = { root, settings_file, DEFAULT_FILE };
        struct socket_units units;
        char all[4096] = "";
        size_t enabled = 0;

        assert_int_equal(socket_units_read(&query, &units), 0);
        for (size_t i = 0; i < units.count; i++) {
                const struct socket_unit *s = &units.all[i];

                enabled += s->enabled;
                snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s>%s:%s(",
                         s->enabled ? "+" : "", s->unit->name, s->service, s->fd_name);
                for (size_t k = 0; k < s->stream_count; k++)
                        snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", k ? " " : "",
                                 s->streams[k].address);
                strcat(all, ") ");
        }
        assert_int_equal(enabled, units.enabled_count);
        assert_string_equal(all, expected);
        socket_units_finish(&units);
}

static void put_service(void) {
        put(USR "emberd.service", "[Service]\nExecStart=/usr/sbin/emberd\n");
}

/* As shipped: a name by the file, the service by the name. */
static void plain(void **state) {
        put_service();
        put(USR "emberd.socket", "[Socket]\nListenStream=80\nFileDescriptorName=http\n");
        put(USR "other.socket", "[Socket]\nListenStream=81\n");
        put(USR "other.service", "[Service]\nExecStart=/usr/sbin/other\n");
        assert_sockets(DEFAULT_FILE, "emberd.socket>emberd.service:http(80) ");
        enable("emberd.socket");
        enable("other.socket");
        assert_sockets(DEFAULT_FILE, "+emberd.socket>emberd.service:http(80) ");
        assert_sockets("/etc/other.conf", "");
}

static void streams(void **state) {
        put_service();
        put(USR "emberd.socket", "[Socket]\nListenStream=80\nListenDatagram=81\n");
        put(ETC "emberd.socket.d/1.conf", "[Socket]\nListenStream=[::1]:82\nListenStream=%t/x\n");
        enable("emberd.socket");
        /* without a name the descriptor has that of the unit */
        assert_sockets(DEFAULT_FILE,
                       "+emberd.socket>emberd.service:emberd.socket(80 [::1]:82 /run/x) ");
        /* one empty assignment takes back addresses of every kind */
        put(ETC "emberd.socket.d/2.conf", "[Socket]\nListenDatagram=\nListenStream=83\n"
                                          "ListenStream=%q\n");
        assert_sockets(DEFAULT_FILE, "+emberd.socket>emberd.service:emberd.socket(83) ");
}

static void named_services(void **state) {
        put(USR "web.service", "[Service]\nExecStart=-/usr/bin/env X=1 /opt/emberd \\\n"
                               "  --config='/srv/my web.conf' -w 2\n");
        put(ETC "front.socket", "[Socket]\nListenStream=1\nService=web.service\n");
        put(ETC "gone.socket", "[Socket]\nListenStream=2\nService=gone.service\n");
        put(ETC "each.socket", "[Socket]\nListenStream=3\nAccept=yes\nService=web.service\n");
        enable("front.socket");
        enable("gone.socket");
        enable("each.socket");
        assert_sockets("/srv/my web.conf", "+front.socket>web.service:front.socket(1) ");
        assert_sockets(DEFAULT_FILE, "");
}

/* An administrator may give the shipped service other settings; then those are the ones meant. */
static void exec_start_of_a_drop_in(void **state) {
        put_service();
        put(USR "emberd.socket", "[Socket]\nListenStream=80\n");
        put(ETC "emberd.service.d/1.conf",
            "[Service]\nExecStart=\nExecStart=/usr/sbin/emberd -c /srv/x.conf\n");
        assert_sockets(DEFAULT_FILE, "");
        assert_sockets("/srv/x.conf", "emberd.socket>emberd.service:emberd.socket(80) ");
        put(ETC "emberd.service.d/1.conf",
            "[Service]\nExecStart=\nExecStart=/usr/sbin/emberd -c/srv/y.conf\n");
        assert_sockets("/srv/y.conf", "emberd.socket>emberd.service:emberd.socket(80) ");
        put(ETC "emberd.service.d/1.conf", "[Service]\nExecStart=\n");
        assert_sockets(DEFAULT_FILE, "");
}

static void instances(void **state) {
        put(USR "emberd@.service", "[Service]\nExecStart=/usr/sbin/emberd --config /i/%i.conf\n");
        put(USR "emberd@.socket", "[Socket]\nListenStream=%I\nFileDescriptorName=http\n");
        enable("emberd@8080.socket");
        enable("emberd@-run-a.socket");
        assert_sockets("/i/8080.conf", "+emberd@8080.socket>emberd@8080.service:http(8080) ");
        assert_sockets("/i/-run-a.conf",
                       "+emberd@-run-a.socket>emberd@-run-a.service:http(/run/a) ");
}

/* What a specifier brings into a command line is not unescaped there, nor parted at blanks. */
static void escaped_instances(void **state) {
        put(USR "emberd@.service", "[Service]\nExecStart=/usr/sbin/emberd --config /i/%i.conf "
                                   "--option Server.IdleExitSec?=300\n");
        put(USR "emberd@.socket", "[Socket]\nListenStream=%I\nFileDescriptorName=http\n");
        put(USR "own@.service", "[Service]\nExecStart=/usr/sbin/emberd -c %I.conf -w 2\n");
        put(USR "own@.socket", "[Socket]\nListenStream=1\nFileDescriptorName=http\n");
        enable("emberd@\\x5b::1\\x5d:8090.socket");
        enable("emberd@-run-my\\x2dsite.sock.socket");
        enable("own@-a\\x20b.socket");
        assert_sockets("/i/\\x5b::1\\x5d:8090.conf",
                       "+emberd@\\x5b::1\\x5d:8090.socket>emberd@\\x5b::1\\x5d:8090.service:"
                       "http([::1]:8090) ");
        assert_sockets("/i/-run-my\\x2dsite.sock.conf",
                       "+emberd@-run-my\\x2dsite.sock.socket>emberd@-run-my\\x2dsite.sock.service:"
                       "http(/run/my-site.sock) ");
        assert_sockets("/a b.conf", "+own@-a\\x20b.socket>own@-a\\x20b.service:http(1) ");
}

/* Opened with the service is as good as enabled; but only where something starts the service. */
static void asked_for_by_the_service(void **state) {
        put(USR "emberd.service", "[Unit]\nRequires=a.socket\n[Service]\nSockets=b.socket\n"
                                  "ExecStart=/usr/sbin/emberd\n");
        put(USR "a.socket", "[Socket]\nListenStream=1\nService=emberd.service\n");
        assert_sockets(DEFAULT_FILE, "a.socket>emberd.service:a.socket(1) ");
        put(USR "emberd.socket", "[Socket]\nListenStream=2\n");
        enable("emberd.socket");
        {
                struct socket_query query = { root, DEFAULT_FILE, DEFAULT_FILE };
                struct socket_units units;

                assert_int_equal(socket_units_read(&query, &units), 0);
                assert_int_equal(units.count, 2);
                assert_int_equal(units.enabled_count, 2);
                socket_units_finish(&units);
        }
}

/* The same unit by two names is one. */
static void two_names(void **state) {
        put_service();
        put(USR "emberd.socket", "[Socket]\nListenStream=80\nFileDescriptorName=http\n");
        put_link(ETC "http.socket", USR "emberd.socket");
        enable("http.socket");
        assert_sockets(DEFAULT_FILE, "+emberd.socket>emberd.service:http(80) ");
}

static void masked(void **state) {
        put_service();
        put(USR "emberd.socket", "[Socket]\nListenStream=80\n");
        enable("emberd.socket");
        put_link(ETC "emberd.socket", "/dev/null");
        assert_sockets(DEFAULT_FILE, "");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_root, remove_root)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(plain),
                TEST(streams),
                TEST(named_services),
                TEST(exec_start_of_a_drop_in),
                TEST(instances),
                TEST(asked_for_by_the_service),
                TEST(two_names),
                TEST(masked),
                TEST(escaped_instances),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
