/* SPDX-License-Identifier: MIT */
#include "server/ports.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "../systemd/units-fixture.h"

/* Settings and units as files, and what is said of them. FILE stands for the settings file. */

enum { SAID_BYTES = 8192 };

static char settings_file[128];

static int make_all(void **state) {
        int r = make_root(state);

        snprintf(settings_file, sizeof(settings_file), "%s/emberd.conf", root);
        return r;
}

static void put_socket(const char *name, const char *text, bool enabled) {
        char path[256], all[512];

        put(USR "emberd.service", "[Service]\nExecStart=/usr/sbin/emberd\n");
        snprintf(path, sizeof(path), USR "%s", name);
        snprintf(all, sizeof(all), "[Socket]\nService=emberd.service\n%s", text);
        put(path, all);
        snprintf(path, sizeof(path), ETC "sockets.target.wants/%s", name);
        if (enabled)
                put_link(path, name);
}

static void put_shipped(bool http, bool https) {
        put_socket("emberd.socket", "ListenStream=80\nFileDescriptorName=http\n", http);
        put_socket("emberd-tls.socket", "ListenStream=443\nFileDescriptorName=https\n", https);
}

/* Gives the number of faults; what is said, without the root in paths, to `said`. */
static unsigned compare(const char *text, bool booted, char said[static SAID_BYTES]) {
        struct settings_sources sources = { .file = settings_file };
        struct socket_query query = { root, settings_file, settings_file };
        _cleanup_(buffer_finish)
        struct buffer faults = {};
        _cleanup_(buffer_finish)
        struct buffer to = {};
        _cleanup_(settings_unrefp)
        struct settings *settings = NULL;
        _cleanup_(socket_units_finish)
        struct socket_units units = {};
        struct ports_query ports = { .units = &units, .settings_file = "FILE", .booted = booted };
        char *end = said;
        unsigned count;

        put("/emberd.conf", text);
        assert_int_equal(settings_load(&sources, &faults, &settings), 0);
        assert_int_equal(socket_units_read(&query, &units), 0);
        ports.settings = settings;
        count = ports_compare(&ports, &to);
        assert_int_equal(buffer_append(&to, "", 1), 0);
        *end = '\0';
        for (const char *at = to.data, *found; *at; at = found) {
                size_t n;

                found = strstr(at, root);
                n = found ? (size_t)(found - at) : strlen(at);
                assert_true(end + n < said + SAID_BYTES);
                end = mempcpy(end, at, n);
                *end = '\0';
                found = found ? found + strlen(root) : at + n;
        }
        return count;
}

static void assert_said(const char *settings, unsigned faults, const char *expected) {
        char said[SAID_BYTES];

        assert_int_equal(compare(settings, true, said), faults);
        assert_string_equal(said, expected);
}

/* What is shipped, and what nobody has asked about, is without a word. */
static void nothing_to_say(void **state) {
        assert_said("[Server]\nListen=80\n[Listener a]\n", 0, "");
        put_shipped(false, false);
        assert_said("[Listener https]\n[Listener a]\nAddress=1\n", 0, "");
        put_shipped(true, false);
        assert_said("", 0, "");
        assert_said("[Server]\nListen=80\n", 0, "");
        assert_said("[Server]\nListen=[::]:80\n", 0, "");
        assert_said("[Listener http]\nAddress=[0:0::0]:80\n", 0, "");
        assert_said("[Listener http]\n", 0, "");
}

static void both_sockets(void **state) {
        put_shipped(true, true);
        assert_said("[Listener https]\nAddress=[::]:443\n", 0, "");
        assert_said("[Listener https]\n", 0, "");
}

/* A port that promises TLS and cannot speak it is told even where no listener is named. */
static void https_without_certificate(void **state) {
        put_shipped(true, true);
        assert_said("", 0,
                    USR "emberd-tls.socket:3: warning: emberd-tls.socket passes a socket for TLS, "
                        "and no Site has a Certificate=: connections to it are closed; add "
                        "Certificate=, or 'systemctl disable --now emberd-tls.socket'\n");
        assert_said("[Site a]\nRoot=/\nCertificate=/a.pem\n", 0, "");
}

static void disabled_socket(void **state) {
        put_shipped(true, false);
        assert_said("[Server]\n\n[Listener https]\n", 1,
                    "/emberd.conf:3: [Listener https] has no socket: emberd-tls.socket is not "
                    "enabled; 'systemctl enable --now emberd-tls.socket'\n");
}

/* What is said to write must be what systemd reads, in its own form of addresses. */
static void no_socket_at_all(void **state) {
        static const char *const forms[][2] = {
                { "8081", "8081" },
                { "unix:/run/x", "/run/x" },
                { "vsock:80", "vsock::80" },
                { "127.0.0.1:81", "127.0.0.1:81" },
        };

        put_shipped(true, false);
        for (size_t i = 0; i < ELEMENTS(forms); i++) {
                char settings[128], expected[1024];

                snprintf(settings, sizeof(settings), "[Listener a+b]\nAddress=%s\n", forms[i][0]);
                snprintf(expected, sizeof(expected),
                         "/emberd.conf:1: [Listener a+b] has no socket: none that is enabled for "
                         "emberd.service has this FileDescriptorName=; write one with 'systemctl "
                         "edit --force --full emberd-a-b.socket', tie the service to it with "
                         "'systemctl edit emberd.service', and 'systemctl enable --now "
                         "emberd-a-b.socket':\n    # emberd-a-b.socket\n    [Socket]\n"
                         "    ListenStream=%s\n    FileDescriptorName=a+b\n"
                         "    Service=emberd.service\n    BindIPv6Only=both\n    [Install]\n"
                         "    WantedBy=sockets.target\n    # emberd.service\n    [Unit]\n"
                         "    PartOf=emberd-a-b.socket\n",
                         forms[i][1]);
                assert_said(settings, 1, expected);
        }
}

/* Without systemd it is emberd that opens an Address=, so its socket is not missed there. */
static void not_booted(void **state) {
        char said[SAID_BYTES];

        put_shipped(true, false);
        assert_int_equal(compare("[Listener a]\nAddress=81\n", false, said), 0);
        assert_non_null(strstr(said, "warning: [Listener a] has no socket"));
        assert_int_equal(compare("[Listener a]\n", false, said), 1);
}

static void another_name(void **state) {
        put_shipped(true, false);
        assert_said("[Listener web]\nAddress=80\n", 1,
                    "/emberd.conf:1: [Listener web] has no socket: emberd.socket listens on 80, "
                    "but its FileDescriptorName= is http; put in by 'systemctl edit "
                    "emberd.socket', and restart it:\n    [Socket]\n"
                    "    FileDescriptorName=web\n");
}

/* A listener that only has a name may mean the socket that nobody uses. */
static void wrong_name(void **state) {
        char said[SAID_BYTES];

        put_shipped(true, false);
        assert_int_equal(compare("[Listener web]\n", true, said), 1);
        assert_non_null(strstr(said, "[Listener web] has no socket"));
        assert_non_null(strstr(said, "emberd.socket:3: warning: emberd.socket passes a socket that "
                                     "no [Listener http] uses; "));
}

static void another_address(void **state) {
        put_shipped(true, true);
        assert_said("[Listener https]\nAddress=8443\n", 0,
                    "/emberd.conf:1: warning: Address=8443 of [Listener https] has no effect: "
                    "emberd-tls.socket listens on 443; change one of them, the socket by "
                    "'systemctl edit emberd-tls.socket':\n    [Socket]\n    ListenStream=\n"
                    "    ListenStream=8443\n");
}

static void listen_without_socket(void **state) {
        put_shipped(true, false);
        assert_said("[Server]\nListen=127.0.0.1:80\n", 0,
                    "/emberd.conf:2: warning: Listen=127.0.0.1:80 has no effect where systemd "
                    "passes sockets, and none that is enabled for emberd.service listens there; "
                    "put in by 'systemctl edit emberd.socket':\n    [Socket]\n"
                    "    ListenStream=127.0.0.1:80\n");
}

/* Where listeners are named at all, a socket with another name is probably forgotten. */
static void unused_socket(void **state) {
        char said[SAID_BYTES];

        put_shipped(true, false);
        put_socket("api.socket", "ListenStream=/run/api\n", true);
        assert_said("", 0, "");
        assert_int_equal(compare("[Listener http]\n", true, said), 0);
        assert_non_null(strstr(said, "api.socket:3: warning: api.socket passes a socket that no "
                                     "[Listener api.socket] uses; "));
        assert_said("[Listener http]\n[Server]\nListen=unix:/run/api\n", 0, "");
}

/* Both ways to write the same address are the same, and nothing else is. */
static void addresses(void **state) {
        static const struct {
                const char *setting, *stream;
                bool same;
        } rows[] = {
                { "80", "[::]:80", true },
                { "[::1]:80", "[0::1]:80", true },
                { "[::1]:80", "[::]:80", false },
                { "0.0.0.0:80", "80", false },
                { "127.0.0.1:80", "127.0.0.1:80", true },
                { "127.0.0.1:80", "127.0.0.1:81", false },
                { "unix:/run/x", "/run/x", true },
                { "unix:/run/x", "@/run/x", false },
                { "vsock:80", "vsock::80", true },
                { "vsock:80", "vsock-stream::80", true },
                { "vsock:80", "vsock:4294967295:80", true },
                { "vsock:80", "vsock:2:80", false },
                { "80", "vsock::80", false },
                { "80", "nonsense", false },
                { "80", "[::]80", false },
                { "80", "[:80", false },
                { "80", ":80", false },
                { "80", "[::]:", false },
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                char settings[128], stream[128], said[SAID_BYTES];

                snprintf(settings, sizeof(settings), "[Server]\nListen=%s\n", rows[i].setting);
                snprintf(stream, sizeof(stream), "ListenStream=%s\n", rows[i].stream);
                put_socket("emberd.socket", stream, i == 0);
                assert_int_equal(compare(settings, true, said), 0);
                assert_int_equal(said[0] == '\0', rows[i].same);
        }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_all, remove_root)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(nothing_to_say),  TEST(both_sockets),     TEST(https_without_certificate),
                TEST(disabled_socket), TEST(no_socket_at_all), TEST(not_booted),
                TEST(another_name),    TEST(wrong_name),       TEST(another_address),
                TEST(listen_without_socket),          TEST(unused_socket),    TEST(addresses),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
