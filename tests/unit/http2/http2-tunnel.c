/* SPDX-License-Identifier: MIT */
#include "peer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Extended CONNECT (RFC 8441), and the tunnels that come of it: as HTTP/1.1's, many at once. */

#define CONNECT(path) \
        ":method: CONNECT\n:protocol: websocket\n:scheme: http\n:path: " path "\n:authority: a\n"

static const char ones[16000];

/* It is offered where a handler may take it; else it stays refused. */
static void offered_where_it_is_taken(void **state) {
        struct peer *p = peer_new_for_tunnels(true);

        assert_int_equal(p->settings[NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL], 1);
        peer_free(p);
        p = peer_new();
        assert_true(p->settings[NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL] == UINT64_MAX);
        peer_headers(p, 1, CONNECT("/tunnel"), 0);
        peer_go(p);
        assert_int_equal(peer_stream(p, 1)->code, NGHTTP2_PROTOCOL_ERROR);
        peer_free(p);
}

/* The handler sees what it sees by HTTP/1.1, and bytes go both ways until both have ended. */
static void bytes_go_both_ways(void **state) {
        struct peer *p = peer_new_for_tunnels(true);
        struct peer_stream *st = peer_stream(p, 1);

        peer_headers(p, 1, CONNECT("/tunnel"), 0);
        peer_go(p);
        assert_int_equal(st->status, 200);
        assert_string_equal(peer_field(p, 1, "x-tunnel"), "1");
        assert_null(peer_field(p, 1, "content-length"));
        assert_null(peer_field(p, 1, "upgrade"));
        assert_int_equal(p->session->phase, HTTP_PHASE_ANSWER);
        peer_data(p, 1, "abc", 3, false);
        peer_go(p);
        assert_int_equal(st->body.used, 3);
        peer_data(p, 1, "def", 3, true);
        peer_go(p);
        assert_memory_equal(st->body.data, "abcdef", 6);
        assert_true(st->ended);
        assert_false(st->reset);
        assert_string_equal(p->log.data, "GET /tunnel 200 6;");
        assert_string_equal(p->samples.journal.data, "/tunnel error=0;");
        assert_int_equal(p->session->open, 0);
        peer_free(p);
}

/* Other requests go on beside it, and what comes before it is accepted is kept. */
static void early_bytes_are_kept(void **state) {
        static const char *const connects[] = { CONNECT("/tunnel-later"), CONNECT("/tunnel-slow") };

        for (unsigned i = 0; i < ELEMENTS(connects); i++) {
                struct peer *p = peer_new_for_tunnels(true);

                p->hold = true;
                peer_headers(p, 1, connects[i], 0);
                peer_data(p, 1, "abc", 3, false);
                peer_data(p, 1, "def", 3, true);
                peer_get(p, 3, "/now");
                peer_go(p);
                assert_true(peer_stream(p, 3)->ended);
                assert_false(peer_stream(p, 1)->ended);
                p->hold = false;
                peer_run(p);
                assert_memory_equal(peer_stream(p, 1)->body.data, "abcdef", 6);
                assert_true(peer_stream(p, 1)->ended);
                assert_int_equal(p->session->open, 0);
                peer_free(p);
        }
}

/* Windows bound what is held of either direction; the limit for bodies is none here. */
static void windows_bound_a_tunnel(void **state) {
        struct peer *p = peer_new_for_tunnels(true);
        struct peer_stream *st = peer_stream(p, 1);

        p->context.limits.body_bytes_max = 10;
        peer_headers(p, 1, CONNECT("/tunnel"), 0);
        for (unsigned i = 0; i < 6; i++) { /* more than a window */
                peer_data(p, 1, ones, sizeof(ones), false);
                peer_go(p);
        }
        assert_int_equal(st->body.used, 65535);
        assert_int_equal(st->code, 0);
        assert_int_equal(p->session->phase, HTTP_PHASE_WINDOW);
        assert_true(http2_stream_by_id(p->h, 1)->body.used <= HTTP2_STREAM_WINDOW);
        peer_window(p, 1, 1 << 20);
        peer_window(p, 0, 1 << 20);
        peer_go(p);
        assert_int_equal(st->body.used, 6 * sizeof(ones));
        peer_data(p, 1, "", 0, true);
        peer_go(p);
        assert_true(st->ended);
        assert_int_equal(p->session->open, 0);
        peer_free(p);
}

/* Handlers end their side first, and take what still comes. */
static void the_handler_may_end_first(void **state) {
        struct peer *p = peer_new_for_tunnels(true);
        struct peer_stream *st = peer_stream(p, 1);

        p->samples.journal_bodies = true;
        peer_headers(p, 1, CONNECT("/tunnel-ends"), 0);
        peer_go(p);
        assert_memory_equal(st->body.data, "bye", 3);
        assert_true(st->ended);
        assert_int_equal(p->session->open, 1);
        assert_int_equal(p->session->phase, HTTP_PHASE_ANSWER);
        peer_data(p, 1, "ab", 2, false);
        peer_go(p);
        p->session->close_soon = true; /* a drain waits for it */
        peer_run(p);
        peer_data(p, 1, "cd", 2, true);
        peer_go(p);
        assert_false(st->reset);
        assert_string_equal(p->samples.journal.data,
                            "body=ab;body=cd;body= last;/tunnel-ends error=0;");
        assert_int_equal(p->session->open, 0);
        peer_free(p);
}

/* The stream may be closed before the handler has taken all that came by it. */
static void both_may_end_before_all_is_taken(void **state) {
        struct peer *p = peer_new_for_tunnels(true);

        p->hold = p->samples.journal_bodies = true;
        peer_headers(p, 1, CONNECT("/tunnel-ends-slow"), 0);
        peer_data(p, 1, "ab", 2, true);
        peer_go(p);
        assert_true(peer_stream(p, 1)->ended);
        assert_int_equal(p->session->open, 1);
        p->hold = false;
        peer_run(p);
        assert_string_equal(p->samples.journal.data, "body=ab last;/tunnel-ends-slow error=0;");
        assert_int_equal(p->session->open, 0);
        /* and the session may end before that */
        p->hold = true;
        peer_headers(p, 3, CONNECT("/tunnel-ends-slow"), 0);
        peer_data(p, 3, "ab", 2, true);
        peer_go(p);
        assert_int_equal(p->session->open, 1);
        peer_free(p);
}

/* Either side may break it, and the connection goes on. */
static void either_side_may_break_it(void **state) {
        static const char *const connects[] = { CONNECT("/tunnel"), CONNECT("/tunnel-ends") };
        struct peer *p = peer_new_for_tunnels(true);

        peer_headers(p, 1, CONNECT("/tunnel-fails"), 0);
        peer_data(p, 1, "a", 1, false);
        peer_go(p);
        assert_int_equal(peer_stream(p, 1)->code, NGHTTP2_CANCEL); /* RFC 8441, 5 */
        for (unsigned i = 0; i < ELEMENTS(connects); i++) {
                p->samples.journal.used = 0;
                peer_headers(p, 3 + 2 * i, connects[i], 0);
                peer_go(p);
                peer_reset(p, 3 + 2 * i, NGHTTP2_CANCEL);
                peer_go(p);
                assert_non_null(strstr(p->samples.journal.data, " error=-104;"));
        }
        assert_int_equal(p->session->open, 0);
        peer_get(p, 7, "/now");
        peer_go(p);
        assert_int_equal(peer_stream(p, 7)->status, 200);
        /* who ends the connection ends no direction of a tunnel */
        peer_headers(p, 9, CONNECT("/tunnel-slow"), 0);
        peer_go(p);
        peer_end_input(p);
        assert_int_equal(p->session->open, 0);
        assert_int_equal(p->end, PEER_CLOSE);
        peer_free(p);
}

/* Silence is nobody's fault, but who opens no window is waited for no longer than ever. */
static void only_a_window_is_waited_for(void **state) {
        struct peer *p = peer_new_for_tunnels(true);

        peer_headers(p, 1, CONNECT("/tunnel"), 0);
        peer_headers(p, 3, CONNECT("/tunnel-ends"), 0);
        peer_headers(p, 5, CONNECT("/tunnel"), 0);
        for (unsigned i = 0; i < 6; i++) {
                peer_data(p, 5, ones, sizeof(ones), false);
                peer_go(p);
        }
        for (unsigned i = 0; i < 200; i++) {
                p->now_usec += USEC_PER_SEC;
                peer_window(p, 0, 1);
                peer_go(p);
        }
        assert_false(peer_stream(p, 1)->reset);
        assert_false(peer_stream(p, 3)->reset);
        assert_int_equal(peer_stream(p, 5)->code, NGHTTP2_CANCEL);
        assert_int_equal(p->session->open, 2);
        peer_free(p);
}

/* Refusals: by the handler, by there being none, and of what is no such request. */
static void refusals(void **state) {
        static const struct {
                const char *fields;
                unsigned status, code;
        } rows[] = {
                { CONNECT("/tunnel-refused"), 403, NGHTTP2_NO_ERROR },
                { CONNECT("/now"), 501, NGHTTP2_NO_ERROR },
                { CONNECT("/tunnel") "content-length: 3\n", 400, NGHTTP2_NO_ERROR },
                { ":method: CONNECT\n:protocol: a b\n:scheme: http\n:path: /tunnel\n"
                  ":authority: a",
                  501, NGHTTP2_NO_ERROR },
                { ":method: CONNECT\n:protocol: \n:scheme: http\n:path: /tunnel\n:authority: a", 0,
                  NGHTTP2_PROTOCOL_ERROR },
                { ":method: CONNECT\n:protocol: websocket\n:scheme: ftp\n:path: /tunnel\n"
                  ":authority: a",
                  400, NGHTTP2_NO_ERROR },
                { ":method: CONNECT\n:authority: a:80", 501, NGHTTP2_NO_ERROR },
                { ":method: GET\n:protocol: websocket\n:scheme: http\n:path: /tunnel\n"
                  ":authority: a",
                  0, NGHTTP2_PROTOCOL_ERROR },
                { ":method: CONNECT\n:protocol: websocket\n:scheme: http\n:authority: a", 0,
                  NGHTTP2_PROTOCOL_ERROR },
                { ":method: CONNECT\n:protocol: websocket\n:path: /tunnel\n:authority: a", 0,
                  NGHTTP2_PROTOCOL_ERROR },
                { CONNECT("/tunnel") "upgrade: websocket\n", 0, NGHTTP2_PROTOCOL_ERROR },
        };
        struct peer *p = peer_new_for_tunnels(true);

        for (unsigned i = 0; i < ELEMENTS(rows); i++) {
                struct peer_stream *st = peer_stream(p, 2 * i + 1);

                peer_headers(p, 2 * i + 1, rows[i].fields, 0);
                peer_go(p);
                assert_int_equal(st->status, rows[i].status);
                assert_int_equal(st->code, rows[i].code);
                assert_true(st->reset || st->ended);
                if (!st->reset) /* what was no request at all may go on for a while */
                        peer_data(p, 2 * i + 1, "", 0, true);
                peer_go(p);
        }
        assert_int_equal(p->session->open, 0);
        peer_free(p);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(offered_where_it_is_taken),
                cmocka_unit_test(bytes_go_both_ways),
                cmocka_unit_test(early_bytes_are_kept),
                cmocka_unit_test(windows_bound_a_tunnel),
                cmocka_unit_test(the_handler_may_end_first),
                cmocka_unit_test(both_may_end_before_all_is_taken),
                cmocka_unit_test(either_side_may_break_it),
                cmocka_unit_test(only_a_window_is_waited_for),
                cmocka_unit_test(refusals),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
