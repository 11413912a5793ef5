/* SPDX-License-Identifier: MIT */
#include "config/settings.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "settings-fixture.h"

/* The whole text of the faults, line by line. */
static void assert_faults(const char *file, const char *expected) {
        struct buffer faults;
        struct settings *s;

        assert_int_equal(load(text_of(file), NULL, &faults, &s), -EBADMSG);
        assert_null(s);
        assert_string_equal(faults.data, expected);
        buffer_finish(&faults);
}

static void assert_list(char *const *list, const char *expected) {
        char joined[256] = "";

        for (size_t i = 0; list[i]; i++)
                snprintf(joined + strlen(joined), sizeof(joined) - strlen(joined), "%s ", list[i]);
        assert_string_equal(joined, expected);
}

/* DESIGN's figures hold for everyone who has no settings at all. */
static void defaults(void **state) {
        struct settings *s = load_good("");

        assert_string_equal(s->backend, "auto");
        assert_int_equal(s->trigger, LOOP_TRIGGER_EDGE);
        assert_int_equal(s->workers, 0);
        assert_null(s->user);
        assert_true(s->idle_exit_usec == 0);
        assert_true(s->drain_usec == 30 * USEC_PER_SEC);
        assert_int_equal(s->access_log, ACCESS_LOG_AUTO);
        assert_true(s->head_bytes_max == 16384);
        assert_true(s->head_timeout_usec == 15 * USEC_PER_SEC);
        assert_true(s->body_bytes_max == 1 << 20);
        assert_true(s->body_timeout_usec == 60 * USEC_PER_SEC);
        assert_true(s->keep_alive_usec == 75 * USEC_PER_SEC);
        assert_true(s->send_timeout_usec == 60 * USEC_PER_SEC);
        assert_int_equal(s->connections_max, 0);
        assert_int_equal(s->listener_count, 0);
        assert_int_equal(s->site_count, 0);
        settings_unref(s);
}

/* Every key of [Server] reaches its field. */
static void server_settings(void **state) {
        struct settings *s =
                load_good("[Server]\nBackend=io_uring\nEpollTrigger=oneshot\nWorkers=3\n"
                          "Listen=80 [::1]:81\nUser=www-data\nIdleExitSec=5min\n"
                          "DrainSec=500ms\nAccessLog=/var/log//x\nHeadBytesMax=8K\n"
                          "HeadTimeoutSec=1\nBodyBytesMax=2G\nBodyTimeoutSec=2\n"
                          "KeepAliveSec=3\nSendTimeoutSec=4\nConnectionsMax=99\n");

        assert_string_equal(s->backend, "io_uring");
        assert_int_equal(s->trigger, LOOP_TRIGGER_ONESHOT);
        assert_int_equal(s->workers, 3);
        assert_string_equal(s->user, "www-data");
        assert_true(s->idle_exit_usec == 300 * USEC_PER_SEC);
        assert_true(s->drain_usec == 500 * USEC_PER_MSEC);
        assert_int_equal(s->access_log, ACCESS_LOG_FILE);
        assert_string_equal(s->access_log_path, "/var/log/x");
        assert_true(s->head_bytes_max == 8192);
        assert_true(s->head_timeout_usec == 1 * USEC_PER_SEC);
        assert_true(s->body_bytes_max == UINT64_C(2) << 30);
        assert_true(s->body_timeout_usec == 2 * USEC_PER_SEC);
        assert_true(s->keep_alive_usec == 3 * USEC_PER_SEC);
        assert_true(s->send_timeout_usec == 4 * USEC_PER_SEC);
        assert_int_equal(s->connections_max, 99);
        assert_int_equal(s->listener_count, 2);
        assert_string_equal(s->listeners[1].address, "[::1]:81");
        assert_string_equal(s->listeners[1].name, "[::1]:81");
        assert_string_equal(s->listeners[1].origin.file, "f");
        assert_int_equal(s->listeners[1].origin.line, 5);
        settings_unref(s);
}

/* Sections of one name merge, the last word counts, and an empty one takes all back. */
static void later_wins_and_empty_resets(void **state) {
        struct settings *s = load_good("[Server]\nWorkers=3\nListen=80\nAccessLog=/x\nDrainSec=1\n"
                                       "[Site a.org]\nRoot=/a\nAliases=b.org\nIndex=x y\n"
                                       "[Server]\nWorkers=4\nListen=\nListen=81\nListen=82\n"
                                       "AccessLog=off\nDrainSec=\n"
                                       "[Site A.org]\nRoot=/b\nAliases=\nAliases=c.org d.org\n"
                                       "Index=z\n");

        assert_int_equal(s->workers, 4);
        assert_int_equal(s->listener_count, 2);
        assert_string_equal(s->listeners[0].address, "81");
        assert_int_equal(s->access_log, ACCESS_LOG_OFF);
        assert_null(s->access_log_path);
        assert_true(s->drain_usec == 30 * USEC_PER_SEC);
        assert_int_equal(s->site_count, 1);
        assert_list(s->sites[0].aliases, "c.org d.org ");
        assert_string_equal(s->sites[0].routes[0].root, "/b");
        assert_list(s->sites[0].routes[0].index, "x y z ");
        settings_unref(s);
}

/* A Site's own keys are its route "/"; a Route takes over what it does not say itself. */
static void routes_of_a_site(void **state) {
        struct settings *s = load_good("[Site example.org]\nRoot=/srv\nIndex=home.html\n"
                                       "[Route example.org /a/]\nReturn=503 We are down\n"
                                       "[Route example.org /longer/]\nRoot=/l\n"
                                       "[Route EXAMPLE.org /b/]\nRedirect=301 https://x.org/\n"
                                       "[Route example.org /index/]\nRoot=/i\nIndex=\n");
        struct settings_site *site = &s->sites[0];

        assert_int_equal(site->route_count, 5);
        assert_string_equal(site->routes[0].prefix, "/longer/");
        assert_string_equal(site->routes[0].root, "/l");
        assert_list(site->routes[0].index, "home.html ");
        assert_int_equal(site->routes[0].origin.line, 7);
        assert_string_equal(site->routes[1].prefix, "/index/");
        assert_string_equal(site->routes[1].root, "/i");
        assert_list(site->routes[1].index, "");
        assert_int_equal(site->routes[2].handler, HANDLER_RETURN);
        assert_int_equal(site->routes[2].status, 503);
        assert_string_equal(site->routes[2].target, "We are down");
        assert_int_equal(site->routes[3].handler, HANDLER_REDIRECT);
        assert_int_equal(site->routes[3].status, 301);
        assert_string_equal(site->routes[3].target, "https://x.org/");
        assert_list(site->routes[3].index, "");
        assert_string_equal(site->routes[4].prefix, "/");
        assert_int_equal(site->routes[4].handler, HANDLER_FILES);
        settings_unref(s);
}

/* A drop-in that puts "down for maintenance" over a Site needs to touch nothing else. */
static void a_route_of_the_root_takes_over(void **state) {
        struct settings *s = load_good("[Site a.org]\nRoot=/srv\n[Route a.org /]\nReturn=503\n");

        assert_int_equal(s->sites[0].route_count, 1);
        assert_int_equal(s->sites[0].routes[0].handler, HANDLER_RETURN);
        assert_null(s->sites[0].routes[0].target);
        settings_unref(s);
}

/* One Site alone answers for all hosts; of several only the one that says so. */
static void the_default_site(void **state) {
        struct settings *s = load_good("[Site a.org]\nRoot=/a\n");

        assert_true(s->sites[0].is_default);
        settings_unref(s);
        s = load_good("[Site a.org]\nRoot=/a\nDefault=no\n");
        assert_false(s->sites[0].is_default);
        settings_unref(s);
        s = load_good("[Site a.org]\nRoot=/a\n[Site b.org]\nRoot=/b\nDefault=yes\n");
        assert_false(s->sites[0].is_default);
        assert_true(s->sites[1].is_default);
        settings_unref(s);
        s = load_good("[Site a.org]\nRoot=/a\n[Site b.org]\nRoot=/b\n");
        assert_false(s->sites[0].is_default || s->sites[1].is_default);
        settings_unref(s);
}

/* A Listener may only name a socket that systemd passes. */
static void listeners_with_and_without_address(void **state) {
        struct settings *s = load_good("[Listener http]\n[Listener admin]\nAddress=unix:/run/a\n"
                                       "[Server]\nListen=8080\n");

        assert_int_equal(s->listener_count, 3);
        assert_string_equal(s->listeners[0].address, "8080");
        assert_string_equal(s->listeners[1].name, "http");
        assert_null(s->listeners[1].address);
        assert_string_equal(s->listeners[2].address, "unix:/run/a");
        settings_unref(s);
}

/* All faults at once, each with its place and its cure: nobody wants to hear of them one by one. */
static void every_fault_is_told_with_its_place(void **state) {
        assert_faults("key=1\n[Server]\nWorkrs=2\nRoot=/x\nSomethingElse=\nno equals sign\n"
                      "IdleExitSec=soon\nHeadBytesMax=1\nListen=80 http\nBackend=kqueue\n",
                      "f:1: a key before any section; write [Server] above it\n"
                      "f:3: unknown key 'Workrs' in [Server]; did you mean 'Workers'?\n"
                      "f:4: key 'Root' is not for [Server]; it belongs in [Site] or [Route]\n"
                      "f:5: unknown key 'SomethingElse' in [Server]; see emberd.conf(5)\n"
                      "f:6: a line without '='; write Key=Value, or '#' before a comment\n"
                      "f:7: IdleExitSec=soon is no time; write seconds, or such as 500ms, 5min, "
                      "1h 30s\n"
                      "f:8: HeadBytesMax=1 is out of range; write 1K to 1M\n"
                      "f:9: Listen=http is no address; write PORT, IPV4:PORT, [IPV6]:PORT, "
                      "unix:PATH or vsock:PORT\n"
                      "f:10: Backend=kqueue is unknown; write auto | io_uring | epoll\n");
}

/* A typo in a section must not make its keys vanish in silence. */
static void sections_are_checked(void **state) {
        assert_faults("[Sever]\nx=1\n[Kaboom]\n[Site]\n[Site a b]\n[Server x]\n[Route a.org]\n"
                      "[Site *.a.org]\n[server]\n",
                      "f:1: unknown section [Sever]; did you mean [Server]?\n"
                      "f:3: unknown section [Kaboom]; there are [Server], [Listener NAME], "
                      "[Site HOST] and [Route SITE PREFIX]\n"
                      "f:4: section [Site] has too few words; write [Site HOST]\n"
                      "f:5: section [Site a b] has too many words; write [Site HOST]\n"
                      "f:6: section [Server x] has too many words; write [Server]\n"
                      "f:7: section [Route a.org] has too few words; write [Route SITE PREFIX]\n"
                      "f:8: '*.a.org' in [Site] names a Site by a wildcard; name it by a host, and "
                      "put the wildcard into its Aliases=\n"
                      "f:9: unknown section [server]; did you mean [Server]?\n");
}

/* What each line may say for itself, but not together with the others. */
static void sections_must_agree(void **state) {
        assert_faults("[Site a.org]\n[Site b.org]\nRoot=/b\nAliases=a.org c.org\nDefault=yes\n"
                      "[Site c.org]\nRoot=/c\nDefault=yes\nAliases=d.org\n[Route e.org /]\n"
                      "[Route d.org /x]\n[Route b.org /x]\n[Route b.org /y]\nRoot=/y\nReturn=404\n"
                      "[Route b.org /z]\nReturn=404\nIndex=x\n"
                      "[Listener x]\nAddress=80\n[Listener y]\nAddress=80\n",
                      "f:8: [Site b.org] is the default already (f:5); say Default=yes once\n"
                      "f:22: Address=80 is taken by 'x'; remove one of them\n"
                      "f:4: 'a.org' is a name of [Site a.org] (f:1) already; remove one of them\n"
                      "f:4: 'c.org' is a name of [Site c.org] (f:6) already; remove one of them\n"
                      "f:10: [Route e.org /] is of a Site that is not there; add [Site e.org]\n"
                      "f:11: 'd.org' is an alias; write [Route c.org /x]\n"
                      "f:1: [Site a.org] does nothing; give it Root=, or a [Route a.org /]\n"
                      "f:12: [Route b.org /x] does nothing; give it Root=, Redirect= or Return=\n"
                      "f:13: [Route b.org /y] says more than one of Root=, Redirect= and Return=; "
                      "leave one\n"
                      "f:18: Index= without files to serve; remove it from [Route b.org /z]\n");
}

/* Nothing is served by such a Site: either it is unfinished, or its name has a typo. */
static void a_site_that_does_nothing(void **state) {
        assert_faults("[Site a.org]\nIndex=x\n",
                      "f:1: [Site a.org] does nothing; give it Root=, or a [Route a.org /]\n");
}

/* Redirects and answers that no client could follow. */
static void answers_are_checked(void **state) {
        assert_faults("[Site a.org]\nRoot=/\n[Route a.org /a]\nRedirect=https://x.org\n"
                      "Redirect=200 /x\nRedirect=301\nReturn=99\nReturn=301\nReturn=204 x\n"
                      "Return=600\nReturn=404\n",
                      "f:4: Redirect=https://x.org has no status code of a redirect; write 301, "
                      "302, 303, 307 or 308 and a URL\n"
                      "f:5: Redirect=200 /x has no status code of a redirect; write 301, "
                      "302, 303, 307 or 308 and a URL\n"
                      "f:6: Redirect=301 has no URL to go to; write STATUS https://… or STATUS "
                      "/path\n"
                      "f:7: Return=99 has no status code; write 200 to 599, and a text if you "
                      "like\n"
                      "f:8: Return=301 sends the client nowhere; use Redirect=STATUS URL\n"
                      "f:9: Return=204 x has a text, which an answer with this status cannot; "
                      "remove it\n"
                      "f:10: Return=600 has no status code; write 200 to 599, and a text if you "
                      "like\n");
}

/* What is harmless is told, and does not keep the server from starting. */
static void warnings_do_not_fail(void **state) {
        struct buffer faults;
        struct settings *s;

        assert_int_equal(load(TEXT("[Server]\nListen=80\nListen=80\n[Site a.org]\nRoot=/\n"
                                   "Aliases=a.org\n"),
                              NULL, &faults, &s),
                         0);
        assert_string_equal(faults.data,
                            "f:3: warning: Listen=80 is given twice; remove one\n"
                            "f:6: warning: alias 'a.org' is given already; remove one\n");
        assert_int_equal(s->listener_count, 1);
        buffer_finish(&faults);
        settings_unref(s);
}

/* Drop-ins come in order of name, and only those that end in .conf. */
static void drop_ins_in_order_of_name(void **state) {
        struct settings *s;

        assert_int_equal(mkdir("f.d", 0700), 0);
        write_file("f.d/20-b.conf", TEXT("[Server]\nWorkers=20\n"));
        write_file("f.d/10-a.conf", TEXT("[Server]\nWorkers=10\nDrainSec=10\n"));
        write_file("f.d/30.conf.bak", TEXT("[Server]\nWorkers=30\n"));
        write_file("f.d/.40.conf", TEXT("[Server]\nWorkers=40\n"));
        s = load_good("[Server]\nWorkers=5\nDrainSec=5\n");
        assert_int_equal(s->workers, 20);
        assert_true(s->drain_usec == 10 * USEC_PER_SEC);
        settings_unref(s);
        assert_int_equal(unlink("f.d/20-b.conf") | unlink("f.d/10-a.conf") |
                                 unlink("f.d/30.conf.bak") | unlink("f.d/.40.conf") | rmdir("f.d"),
                         0);
}

/* The command line has the last word, and its faults have a place too. */
static void options_come_last(void **state) {
        char *good[] = { "Server.Workers=7", "Site example.org.Root=/s=r.v",
                         "Route example.org /v1.0/.Return=404 a.b=c", "Server.Listen=81", NULL };
        char *bad[] = { "Server.Workers=x",
                        "Workers=1",
                        "Server.Workers",
                        "Sever.X=1",
                        "Server.User=a\nb",
                        "Site x.org.Root=/x\\",
                        NULL };
        struct buffer faults;
        struct settings *s;

        assert_int_equal(load(TEXT("[Server]\nWorkers=5\nListen=80\n"), good, &faults, &s), 0);
        assert_int_equal(s->workers, 7);
        assert_int_equal(s->listener_count, 2);
        assert_string_equal(s->listeners[1].origin.file, "command line");
        assert_string_equal(s->sites[0].routes[0].prefix, "/v1.0/");
        assert_string_equal(s->sites[0].routes[0].target, "a.b=c");
        assert_string_equal(s->sites[0].routes[1].root, "/s=r.v");
        buffer_finish(&faults);
        settings_unref(s);
        assert_int_equal(load(TEXT(""), bad, &faults, &s), -EBADMSG);
        assert_string_equal(
                faults.data,
                "command line: Workers=x is no number; write auto or a number\n"
                "command line: -o Workers=1: not of the form SECTION.KEY=VALUE; write -o "
                "Server.Workers=2\n"
                "command line: -o Server.Workers: not of the form SECTION.KEY=VALUE; write -o "
                "Server.Workers=2\n"
                "command line: unknown section [Sever]; did you mean [Server]?\n"
                "command line: -o: a control character; remove it\n"
                "command line: -o: a backslash at its end; leave it out\n");
        buffer_finish(&faults);
}

/* "?" is for what a unit sets for files that do not say it: everything else goes before it. */
static void defaults_of_the_command_line(void **state) {
        char *options[] = { "Server.DrainSec=9", "Server.IdleExitSec?=300", "Server.DrainSec?=8",
                            NULL };
        char *bad[] = { "Server.Idle?=3", "Server.Workers?=x", NULL };
        struct buffer faults;
        struct settings *s;

        assert_int_equal(load(TEXT(""), options, &faults, &s), 0);
        assert_true(s->idle_exit_usec == 300 * USEC_PER_SEC);
        assert_true(s->drain_usec == 9 * USEC_PER_SEC);
        buffer_finish(&faults);
        settings_unref(s);
        assert_int_equal(load(TEXT("[Server]\nIdleExitSec=7\n"), options, &faults, &s), 0);
        assert_true(s->idle_exit_usec == 7 * USEC_PER_SEC);
        buffer_finish(&faults);
        settings_unref(s);
        assert_int_equal(load(TEXT("[Server]\nIdleExitSec=7\nIdleExitSec=\n"), options, &faults,
                              &s),
                         0);
        assert_true(s->idle_exit_usec == 300 * USEC_PER_SEC);
        buffer_finish(&faults);
        settings_unref(s);
        assert_int_equal(load(TEXT(""), bad, &faults, &s), -EBADMSG);
        assert_non_null(strstr(faults.data, "command line: unknown"));
        assert_non_null(strstr(faults.data, "command line: Workers=x is no number"));
        buffer_finish(&faults);
}

/* `emberd .` is a Site of its own, the default one whatever else a file says. */
static void a_directory_is_the_default_site(void **state) {
        struct settings_sources sources = { .file = "f", .directory = "./www/" };
        struct buffer faults = {};
        struct settings *s = NULL;
        char expected[64];

        write_file("f", TEXT("[Site a.org]\nRoot=/a\nDefault=yes\n"));
        assert_int_equal(settings_load(&sources, &faults, &s), 0);
        snprintf(expected, sizeof(expected), "%s/www", folder);
        assert_int_equal(s->site_count, 2);
        assert_false(s->sites[0].is_default);
        assert_string_equal(s->sites[1].name, "localhost");
        assert_true(s->sites[1].is_default);
        assert_string_equal(s->sites[1].routes[0].root, expected);
        assert_int_equal(faults.used, 0);
        settings_unref(s);
}

/* A settings file that is named must be there; the default one need not. */
static void files_that_cannot_be_read(void **state) {
        struct settings_sources sources = { .file = "not-there" };
        struct buffer faults = {};
        struct settings *s = NULL;

        assert_int_equal(settings_load(&sources, &faults, &s), -EBADMSG);
        assert_int_equal(buffer_append(&faults, "", 1), 0);
        assert_string_equal(faults.data, "not-there: cannot be read: No such file or directory; "
                                         "name a file that can\n");
        buffer_finish(&faults);
        sources.file_is_optional = true;
        assert_int_equal(settings_load(&sources, &faults, &s), 0);
        settings_unref(s);
        sources.file = "/";
        assert_int_equal(settings_load(&sources, &faults, &s), -EBADMSG);
        buffer_finish(&faults);
        sources.file = "/dev/zero";
        assert_int_equal(settings_load(&sources, &faults, &s), -EBADMSG);
        buffer_finish(&faults);
}

/* A log that was named by mistake must not fill the journal. */
static void faults_are_bounded(void **state) {
        struct buffer b = {}, faults;
        struct settings *s;
        size_t lines = 0;

        for (int i = 0; i < 5000; i++)
                buffer_printf(&b, "nothing\n");
        assert_int_equal(load(buffer_text(&b), NULL, &faults, &s), -EBADMSG);
        for (size_t i = 0; i < faults.used; i++)
                lines += faults.data[i] == '\n';
        assert_int_equal(lines, 101);
        assert_non_null(strstr(faults.data, "f:100: "));
        assert_non_null(strstr(faults.data, "there is more"));
        buffer_finish(&b);
        buffer_finish(&faults);
}

/* A snapshot lives as long as one of those who use it. */
static void the_last_reference_frees(void **state) {
        struct settings *s = load_good("");

        assert_ptr_equal(settings_ref(s), s);
        assert_null(settings_unref(s));
        assert_string_equal(s->backend, "auto");
        assert_null(settings_unref(s));
        assert_null(settings_unref(NULL));
}

/* Thousands of Sites are read in a moment, and all are there. */
static void many_sites(void **state) {
        struct buffer b = {};
        struct settings *s;

        for (int i = 0; i < 10000; i++)
                buffer_printf(&b, "[Site s%d.example]\nRoot=/srv/%d\nAliases=w%d.example\n", i, i,
                              i);
        assert_int_equal(buffer_append(&b, "", 1), 0);
        s = load_good(b.data);
        assert_int_equal(s->site_count, 10000);
        assert_string_equal(s->sites[9999].name, "s9999.example");
        settings_unref(s);
        buffer_finish(&b);
}

/* Bytes of any kind end in settings or in faults, and in nothing else (the sanitizers watch). */
static void garbage_is_survived(void **state) {
        static const char *const pieces[] = {
                "[",
                "]",
                "Site ",
                "Route ",
                "Server",
                "a.org",
                " /x",
                "=",
                "\n",
                "\n",
                "Root",
                "/y",
                "Index",
                "Listen",
                "80 ",
                "\\\n",
                "[Site a.org]\n",
                "[Route a.org /x]\n",
                "[Server]\n",
                "Redirect=301 /\n",
                "Return=404 x\n",
                "Aliases=*.b.org c\n",
                "Default=yes\n",
                "Workers=",
                "1h 2",
                "\xc3",
                "\xc3\xa9",
                " ",
                "\t",
                "9999999999999999999999",
                "[Listener x]\n",
                "Address=[::]:80\n",
        };
        unsigned random = 1;

        for (int round = 0; round < 1500; round++) {
                struct buffer b = {}, faults;
                struct settings *s;
                int r;

                for (int i = 0; i < round % 61; i++) {
                        random = random * 1103515245 + 12345;
                        buffer_printf(&b, "%s", pieces[(random >> 16) % ELEMENTS(pieces)]);
                }
                r = load(buffer_text(&b), NULL, &faults, &s);
                assert_true(r == 0 || (r == -EBADMSG && faults.used > 1));
                settings_unref(s);
                buffer_finish(&b);
                buffer_finish(&faults);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(defaults),
                cmocka_unit_test(server_settings),
                cmocka_unit_test(later_wins_and_empty_resets),
                cmocka_unit_test(routes_of_a_site),
                cmocka_unit_test(a_route_of_the_root_takes_over),
                cmocka_unit_test(the_default_site),
                cmocka_unit_test(listeners_with_and_without_address),
                cmocka_unit_test(every_fault_is_told_with_its_place),
                cmocka_unit_test(sections_are_checked),
                cmocka_unit_test(sections_must_agree),
                cmocka_unit_test(a_site_that_does_nothing),
                cmocka_unit_test(answers_are_checked),
                cmocka_unit_test(warnings_do_not_fail),
                cmocka_unit_test(drop_ins_in_order_of_name),
                cmocka_unit_test(options_come_last),
                cmocka_unit_test(defaults_of_the_command_line),
                cmocka_unit_test(a_directory_is_the_default_site),
                cmocka_unit_test(files_that_cannot_be_read),
                cmocka_unit_test(faults_are_bounded),
                cmocka_unit_test(the_last_reference_frees),
                cmocka_unit_test(many_sites),
                cmocka_unit_test(garbage_is_survived),
        };

        return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
