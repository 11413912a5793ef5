/* SPDX-License-Identifier: MIT */
#include "server/snapshot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "http/http1-parser.h"

/* Which route answers which request, from settings as they are written. */

static struct snapshot *make(char **options) {
        _cleanup_(buffer_finish)
        struct buffer faults = {};
        _cleanup_(settings_unrefp)
        struct settings *settings = NULL;
        struct settings_sources sources = { .options = options };
        struct snapshot *s = NULL;

        assert_int_equal(settings_load(&sources, &faults, &settings), 0);
        assert_int_equal(snapshot_new(settings, 2, NULL, &faults, &s), 0);
        return s;
}

/* The text that the route for this host and path returns; NULL: no route. */
static const char *answer(const struct snapshot *s, const char *host, const char *path) {
        static struct http_request request;
        struct http1_parser parser = {};
        const struct handler_route *route;
        char head[512];
        int n = snprintf(head, sizeof(head), "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, host);

        assert_int_equal(http1_parse_head(&parser, head, (size_t)n, 4096, &request), HTTP1_DONE);
        route = snapshot_route(s, &request);
        return route ? route->settings->target : NULL;
}

static char *sites[] = {
        (char *)"Site example.org.Aliases=WWW.example.org *.example.org",
        (char *)"Route example.org /.Return=200 org",
        (char *)"Site deep.example.org.Aliases=*.deep.example.org",
        (char *)"Route deep.example.org /.Return=200 deep",
        (char *)"Site other.net.Default=yes",
        (char *)"Route other.net /.Return=200 other",
        (char *)"Route other.net /api/.Return=200 api",
        (char *)"Route other.net /api/v2.Return=200 v2",
        NULL,
};

/*
 * Hosts are names: case, a final dot and a port do not make another one; the longest wildcard wins.
 */
static void hosts_find_their_site(void **state) {
        struct snapshot *s = make(sites);

        assert_string_equal(answer(s, "example.org", "/"), "org");
        assert_string_equal(answer(s, "EXAMPLE.org", "/"), "org");
        assert_string_equal(answer(s, "example.org.", "/"), "org");
        assert_string_equal(answer(s, "example.org:8080", "/"), "org");
        assert_string_equal(answer(s, "www.example.org", "/"), "org");
        assert_string_equal(answer(s, "a.b.example.org", "/"), "org");
        assert_string_equal(answer(s, "deep.example.org", "/"), "deep");
        assert_string_equal(answer(s, "x.y.deep.example.org", "/"), "deep");
        assert_string_equal(answer(s, "notexample.org", "/"), "other");
        assert_string_equal(answer(s, "127.0.0.1", "/"), "other");
        assert_string_equal(answer(s, "[::1]:80", "/"), "other");
        snapshot_free(s);
}

/* A path must not slip past its route by being written otherwise. */
static void paths_find_the_longest_route(void **state) {
        struct snapshot *s = make(sites);

        assert_string_equal(answer(s, "x", "/api/"), "api");
        assert_string_equal(answer(s, "x", "/api"), "api");
        assert_string_equal(answer(s, "x", "/api/v1"), "api");
        assert_string_equal(answer(s, "x", "/api/v2"), "v2");
        assert_string_equal(answer(s, "x", "/api/v2/x?q=/"), "v2");
        assert_string_equal(answer(s, "x", "/api/v20"), "api");
        assert_string_equal(answer(s, "x", "/apis"), "other");
        assert_string_equal(answer(s, "x", "/%61pi/v1"), "api");
        assert_string_equal(answer(s, "x", "/./api//v2"), "v2");
        assert_string_equal(answer(s, "x", "/y/../api/v1"), "api");
        assert_string_equal(answer(s, "x", "/api/../"), "other");
        snapshot_free(s);
}

/* Hosts that no site names get no site unless one says that it is for them. */
static void unknown_hosts_need_a_default(void **state) {
        char *two[] = { (char *)"Route a.org /.Return=200 a", (char *)"Site a.org.Default=no",
                        (char *)"Route b.org /.Return=200 b", (char *)"Site b.org.Default=no",
                        NULL };
        char *one[] = { (char *)"Site a.org.Aliases=c.org", (char *)"Route a.org /.Return=200 a",
                        NULL };
        struct snapshot *s = make(two);

        assert_string_equal(answer(s, "b.org", "/"), "b");
        assert_null(answer(s, "c.org", "/"));
        snapshot_free(s);
        s = make(one);
        assert_string_equal(answer(s, "whatever", "/"), "a");
        snapshot_free(s);
}

/* Settings that cannot be used still answer, so that the port tells what is wrong. */
static void unusable_settings_answer_503(void **state) {
        _cleanup_(buffer_finish)
        struct buffer faults = {};
        _cleanup_(settings_unrefp)
        struct settings *settings = NULL;
        struct settings_sources sources = {};
        struct snapshot *s = NULL;
        static struct http_request request;

        assert_int_equal(settings_load(&sources, &faults, &settings), 0);
        assert_int_equal(snapshot_new_unusable(settings, 1, &s), 0);
        assert_int_equal(snapshot_route(s, &request)->settings->status, 503);
        snapshot_free(s);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(hosts_find_their_site),
                cmocka_unit_test(paths_find_the_longest_route),
                cmocka_unit_test(unknown_hosts_need_a_default),
                cmocka_unit_test(unusable_settings_answer_503),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
