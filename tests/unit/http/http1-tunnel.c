/* SPDX-License-Identifier: MIT */
#include "http/session.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "wire.h"

/* Upgrades of HTTP/1.1 (RFC 9110, 7.8), and the tunnels that come of them. */

#define GET(path)     "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define UPGRADE(path) "GET " path " HTTP/1.1\r\nHost: a\r\n" WANTED "\r\n"
#define WANTED        "Connection: Upgrade\r\nUpgrade: websocket\r\n"
#define SWITCHED(fields)                            \
        "HTTP/1.1 101 Switching Protocols\r\n$HEAD" \
        "Connection: upgrade\r\nUpgrade: websocket\r\n" fields "\r\n"
#define HELLO "$OKContent-Length: 5\r\nEtag: \"1\"\r\n\r\nhello"

/* Bytes go through both ways, as they are, until both sides have ended. */
static void bytes_go_both_ways(void **state) {
        struct wire w;

        wire_open(&w);
        wire_feed(&w, text_of(UPGRADE("/tunnel")));
        wire_expect(&w, SWITCHED("X-Tunnel: 1\r\n"));
        wire_feed(&w, text_of("abc"));
        wire_expect(&w, "abc");
        wire_feed(&w, text_of(GET("/now")));
        wire_expect(&w, GET("/now"));
        assert_int_equal(w.http.session.phase, HTTP_PHASE_ANSWER);
        assert_true(w.http.session.wants_input);
        assert_int_equal(w.end, WIRE_OPEN);
        wire_feed_end(&w);
        assert_int_equal(w.end, WIRE_CLOSE);
        assert_false(w.shut);
        assert_string_equal(w.samples.journal.data, "/tunnel error=0;");
        assert_int_equal(w.http.session.requests, 1);
        wire_close(&w);
}

/* What the client sent behind its request in the same breath is the tunnel's, once it is one. */
static void early_bytes_are_the_tunnels(void **state) {
        static const char *const paths[] = { "/tunnel-slow", "/tunnel-later" };

        for (unsigned i = 0; i < ELEMENTS(paths); i++) {
                char request[200];
                struct wire w;

                wire_open(&w);
                snprintf(request, sizeof(request),
                         GET("/now") "GET %s HTTP/1.1\r\nHost: a\r\n" WANTED "\r\nabcdef",
                         paths[i]);
                wire_feed(&w, text_of(request));
                wire_expect(&w, HELLO SWITCHED("") "abcdef");
                wire_feed(&w, text_of("ghi"));
                wire_feed_end(&w);
                wire_expect(&w, "ghi");
                assert_int_equal(w.end, WIRE_CLOSE);
                wire_close(&w);
        }
}

/* However it is cut, and however late the handler is, it is the same. */
static void a_tunnel_may_be_cut_anywhere(void **state) {
        static const char in[] = UPGRADE("/tunnel-slow") "abcdef";

        for (size_t cut = 1; cut < sizeof(in) - 1; cut++) {
                struct wire w;

                wire_open(&w);
                w.hold = true;
                w.at_once = cut % 2;
                wire_feed(&w, (struct text){ in, cut });
                wire_feed(&w, (struct text){ in + cut, sizeof(in) - 1 - cut });
                w.hold = false;
                wire_run(&w);
                wire_feed_end(&w);
                wire_expect(&w, SWITCHED("") "abcdef");
                assert_int_equal(w.end, WIRE_CLOSE);
                wire_close(&w);
        }
}

/* A handler that asks for nothing is given nothing, and no more is read than what was under way. */
static void a_slow_handler_is_waited_for(void **state) {
        struct wire w;

        wire_open(&w);
        w.hold = w.samples.journal_bodies = true;
        wire_feed(&w, text_of(UPGRADE("/tunnel-slow")));
        assert_false(w.http.session.wants_input);
        wire_feed_only(&w, text_of("abc"));
        wire_run(&w);
        assert_null(w.samples.journal.data);
        assert_false(w.http.session.wants_input);
        w.hold = false;
        wire_run(&w);
        assert_string_equal(w.samples.journal.data, "body=abc;");
        wire_close(&w);
}

/* Neither direction waits for the other: what was kept is given out while something is sent. */
static void kept_bytes_do_not_wait_for_sending(void **state) {
        struct wire w;

        wire_open(&w);
        w.hold = w.hold_sent = w.samples.journal_bodies = true;
        wire_feed(&w, text_of(UPGRADE("/tunnel-slow")));
        assert_true(w.unsent); /* the 101 */
        wire_sent(&w);
        wire_feed_only(&w, text_of("abc"));
        w.hold_sent = true;
        w.hold = false;
        wire_run(&w);
        assert_true(w.unsent); /* "abc" */
        wire_feed_only(&w, text_of("def"));
        assert_string_equal(w.samples.journal.data, "body=abc;");
        assert_true(samples_go_on(&w.samples));
        assert_string_equal(w.samples.journal.data, "body=abc;body=def;");
        wire_expect(&w, SWITCHED("") "abc");
        wire_sent(&w);
        wire_expect(&w, "def");
        wire_feed_end(&w);
        assert_int_equal(w.end, WIRE_CLOSE);
        wire_close(&w);
}

/* Handlers end their side first: the client is told, and what it still says is taken. */
static void the_handler_may_end_first(void **state) {
        struct wire w;

        wire_open(&w);
        w.samples.journal_bodies = true;
        wire_feed(&w, text_of(UPGRADE("/tunnel-ends") "ab"));
        wire_expect(&w, SWITCHED("") "bye");
        assert_true(w.shut);
        assert_int_equal(w.end, WIRE_OPEN);
        wire_feed(&w, text_of("cd"));
        assert_string_equal(w.samples.journal.data, "body=ab;body=cd;");
        wire_feed_end(&w);
        assert_string_equal(w.samples.journal.data,
                            "body=ab;body=cd;body= last;/tunnel-ends error=0;");
        assert_int_equal(w.end, WIRE_CLOSE);
        wire_close(&w);
}

/* The same with a client that has ended before the handler has asked for the rest. */
static void both_may_end_at_once(void **state) {
        struct wire w;

        wire_open(&w);
        w.hold = w.samples.journal_bodies = true;
        wire_feed(&w, text_of(UPGRADE("/tunnel-ends-slow") "ab"));
        wire_feed_end(&w);
        assert_true(w.shut);
        assert_int_equal(w.end, WIRE_OPEN);
        assert_false(w.http.session.wants_input);
        w.hold = false;
        wire_run(&w);
        assert_string_equal(w.samples.journal.data, "body=ab last;/tunnel-ends-slow error=0;");
        assert_int_equal(w.end, WIRE_CLOSE);
        wire_close(&w);
}

/* What breaks a tunnel breaks it visibly: its end is the connection's. */
static void a_tunnel_breaks_with_its_connection(void **state) {
        struct wire w;

        wire_open(&w);
        wire_feed(&w, text_of(UPGRADE("/tunnel-fails") "ab"));
        wire_expect(&w, SWITCHED(""));
        assert_int_equal(w.end, WIRE_BROKEN);
        assert_int_equal(w.error, -ECONNRESET);
        assert_true(w.http.session.ends_by_close);
        wire_close(&w);
        wire_open(&w);
        wire_feed(&w, text_of(UPGRADE("/tunnel") "ab"));
        wire_close(&w);
}

/* A limit for bodies is none for tunnels, and time is the handler's. */
static void tunnels_have_no_limit(void **state) {
        static const char many[1000];
        struct wire w;

        wire_open(&w);
        w.context.limits.body_bytes_max = 10;
        wire_feed(&w, text_of(UPGRADE("/tunnel")));
        w.out.used = 0;
        for (unsigned i = 0; i < 100; i++)
                wire_feed(&w, (struct text){ many, sizeof(many) });
        assert_int_equal(w.out.used, 100 * sizeof(many));
        assert_int_equal(w.end, WIRE_OPEN);
        wire_close(&w);
}

/* Without a handler that takes it the field is as if it was not there (RFC 9110, 7.8). */
static void what_is_not_taken_is_ignored(void **state) {
        static const char *const requests[] = {
                UPGRADE("/now"),
                "GET /tunnel-refused HTTP/1.0\r\n" WANTED "\r\n",
                "GET /tunnel-refused HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
                "GET /tunnel-refused HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n\r\n",
                "POST /tunnel-refused HTTP/1.1\r\nHost: a\r\n" WANTED "\r\n",
                "GET /tunnel-refused HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n" WANTED "\r\na",
                UPGRADE("/tunnel-refused"),
        };

        for (unsigned i = 0; i < ELEMENTS(requests); i++) {
                struct wire w;

                wire_open(&w);
                wire_feed(&w, text_of(requests[i]));
                buffer_append(&w.out, "", 1);
                if (i == 0)
                        assert_non_null(strstr(w.out.data, " 200 OK\r\n"));
                else
                        assert_non_null(strstr(w.out.data, " 403 Forbidden\r\n"));
                assert_null(strstr(w.out.data, "Upgrade:"));
                w.out.used = 0;
                if (i == 1)
                        assert_int_equal(w.end, WIRE_CLOSE);
                else
                        assert_int_equal(w.end, WIRE_OPEN);
                wire_feed(&w, text_of(GET("/now")));
                if (i != 1)
                        wire_expect(&w, HELLO);
                wire_close(&w);
        }
}

/* A drain does not end what is under way, but the head still says what is spoken behind it. */
static void a_drain_lets_tunnels_go_on(void **state) {
        struct wire w;

        wire_open(&w);
        w.http.session.close_soon = true;
        wire_feed(&w, text_of(UPGRADE("/tunnel")));
        wire_expect(&w, SWITCHED("X-Tunnel: 1\r\n"));
        wire_feed(&w, text_of("abc"));
        wire_expect(&w, "abc");
        wire_feed_end(&w);
        assert_int_equal(w.end, WIRE_CLOSE);
        wire_close(&w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(bytes_go_both_ways),
                cmocka_unit_test(early_bytes_are_the_tunnels),
                cmocka_unit_test(a_tunnel_may_be_cut_anywhere),
                cmocka_unit_test(a_slow_handler_is_waited_for),
                cmocka_unit_test(kept_bytes_do_not_wait_for_sending),
                cmocka_unit_test(the_handler_may_end_first),
                cmocka_unit_test(both_may_end_at_once),
                cmocka_unit_test(a_tunnel_breaks_with_its_connection),
                cmocka_unit_test(tunnels_have_no_limit),
                cmocka_unit_test(what_is_not_taken_is_ignored),
                cmocka_unit_test(a_drain_lets_tunnels_go_on),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
