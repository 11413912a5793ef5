/* SPDX-License-Identifier: MIT */
#include "server/check.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "../systemd/units-fixture.h"

/* Settings with `what` in line 2, checked; what is said without the settings file's path. */
static unsigned check(const char *what, char said[static 4096]) {
        char file[128];
        struct settings_sources sources = { .file = file };
        struct check_query query = { .root = root, .settings_file = file };
        _cleanup_(buffer_finish)
        struct buffer faults = {};
        _cleanup_(settings_unrefp)
        struct settings *settings = NULL;
        unsigned count = 99;
        char text[512];

        snprintf(file, sizeof(file), "%s/f", root);
        snprintf(text, sizeof(text), "[Server]\n%s\n", what);
        put("/f", text);
        assert_int_equal(settings_load(&sources, &faults, &settings), 0);
        query.settings = settings;
        assert_int_equal(check_machine(&query, &faults, &count), 0);
        assert_int_equal(buffer_append(&faults, "", 1), 0);
        snprintf(said, 4096, "%s", faults.used > 1 ? faults.data + strlen(file) : "");
        return count;
}

static void assert_good(const char *what) {
        char said[4096];

        assert_int_equal(check(what, said), 0);
        assert_string_equal(said, "");
}

static void assert_log(const char *below_root, const char *why) {
        char what[512], said[4096], expected[1024];

        snprintf(what, sizeof(what), "AccessLog=%s%s", root, below_root);
        if (!why) {
                assert_good(what);
                return;
        }
        assert_int_equal(check(what, said), 1);
        snprintf(expected, sizeof(expected), ":2: %s %s\n", what, why);
        assert_string_equal(said, expected);
}

/* A service that becomes nobody, or somebody else, must not be found out at the next boot. */
static void user(void **state) {
        char said[4096];

        assert_good("User=root");
        assert_int_equal(check("User=no-such-user-here", said), 1);
        assert_string_equal(said, ":2: User=no-such-user-here is no user of this machine; create "
                                  "it or name another\n");
}

static void access_log(void **state) {
        put("/logs/old", "");
        assert_log("/logs/old", NULL);
        assert_log("/logs/new", NULL);
        assert_int_equal(access(in_root("/logs/new"), F_OK), -1); /* it only looks */
        assert_log("/logs", "is a folder; name a file");
        assert_log("/logs/old/x", "is below something that is no folder");
        assert_log("/logs/old/x/y", "is below something that is no folder");
        assert_log("/gone/x",
                   "is in a folder that does not exist; create the folder, or name another file");
        assert_good("AccessLog=off");
        assert_good("AccessLog=/emberd-test");
}

/* Else the next start would be the one to find out. Who may have no ring is in the scenarios. */
static void backend(void **state) {
        const struct loop_backend *ring = loop_backend_find("io_uring");
        char said[4096], reason[LOOP_REASON_BYTES];

        assert_good("Backend=auto");
        assert_good("Backend=epoll");
        if (ring && loop_backend_check(ring, reason) == 0) {
                assert_good("Backend=io_uring");
                return;
        }
        assert_int_equal(check("Backend=io_uring", said), 1);
        assert_non_null(strstr(said, ":2: Backend=io_uring cannot be had: "));
}

/* With LogsDirectory=, as in the shipped example, the folder is there when emberd is. */
static void folder_of_the_service(void **state) {
        char said[4096], service[512];

        assert_int_equal(check("AccessLog=/var/log/emberd-test/a", said), 1);
        snprintf(service, sizeof(service),
                 "[Service]\nExecStart=/usr/sbin/emberd -c %s/f\nLogsDirectory=x emberd-test:y\n",
                 root);
        put(USR "emberd.service", service);
        put(USR "emberd.socket", "[Socket]\nListenStream=80\n");
        assert_good("AccessLog=/var/log/emberd-test/a");
        assert_int_equal(check("AccessLog=/var/log/emberd-test/a/b", said), 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_root, remove_root)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(user),
                TEST(backend),
                TEST(access_log),
                TEST(folder_of_the_service),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
