/* SPDX-License-Identifier: MIT */
#include "peer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/invariant.h"

/* Bodies of requests: handlers have them as in HTTP/1, and the windows follow the handlers. */

static char ones[100 * 1000];

/* However it comes, the handler has all of it. */
static void body_is_handed_on(void **state) {
        static const char *const paths[] = { "POST /echo", "POST /echo-late" };
        struct peer *p = peer_new();

        for (unsigned i = 0; i < ELEMENTS(paths); i++) {
                uint32_t id = 6 * i + 1;

                peer_headers(p, id, paths[i], 0);
                peer_data(p, id, "abc", 3, false);
                peer_data(p, id, "def", 3, true);
                peer_headers(p, id + 2, paths[i], 0);
                peer_data(p, id + 2, "abc", 3, false);
                peer_data(p, id + 2, "", 0, true);
                peer_headers(p, id + 4, paths[i], NGHTTP2_FLAG_END_STREAM);
                peer_go(p);
                assert_memory_equal(peer_stream(p, id)->body.data, "ffffff", 6);
                assert_memory_equal(peer_stream(p, id + 2)->body.data, "ccc", 3);
                assert_int_equal(peer_stream(p, id + 4)->status, 200);
                assert_int_equal(peer_stream(p, id + 4)->body.used, 0);
                assert_true(peer_stream(p, id + 4)->ended);
        }
        assert_int_equal(peer_count(p, NGHTTP2_RST_STREAM), 0);
        peer_free(p);
}

/* Padding is no part of a body, and trailers are none of a handler's business. */
static void padding_and_trailers(void **state) {
        struct peer *p = peer_new();

        peer_headers(p, 1, "POST /echo", 0);
        peer_frame(p, NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 1, "\4abc\0\0\0\0", 8);
        peer_headers(p, 1, "x-checksum: 1\n", NGHTTP2_FLAG_END_STREAM);
        peer_go(p);
        assert_memory_equal(peer_stream(p, 1)->body.data, "ccc", 3);
        assert_true(peer_stream(p, 1)->ended);
        /* one that does not end the stream, or holds pseudo-fields, is malformed */
        peer_headers(p, 3, "POST /echo", 0);
        peer_headers(p, 3, "x-checksum: 1\n", 0);
        peer_headers(p, 5, "POST /echo", 0);
        peer_headers(p, 5, ":path: /\n", NGHTTP2_FLAG_END_STREAM);
        peer_go(p);
        assert_int_equal(peer_stream(p, 3)->code, NGHTTP2_PROTOCOL_ERROR);
        assert_int_equal(peer_stream(p, 5)->code, NGHTTP2_PROTOCOL_ERROR);
        assert_int_equal(p->session->open, 0);
        peer_free(p);
}

/* A client may not send more or less than it said. */
static void content_length_must_hold(void **state) {
        struct peer *p = peer_new();

        peer_headers(p, 1, "POST /echo\ncontent-length: 3", 0);
        peer_data(p, 1, "abcd", 4, true);
        peer_headers(p, 3, "POST /echo\ncontent-length: 3", 0);
        peer_data(p, 3, "ab", 2, true);
        peer_go(p);
        for (uint32_t id = 1; id <= 3; id += 2) {
                assert_true(peer_stream(p, id)->reset);
                assert_int_equal(peer_stream(p, id)->code, NGHTTP2_PROTOCOL_ERROR);
        }
        assert_int_equal(p->session->open, 0);
        assert_non_null(strstr(p->samples.journal.data, "/echo error=-104;"));
        peer_free(p);
}

/* The window is opened as the handler takes, so a body may be longer than it. */
static void window_follows_the_handler(void **state) {
        struct peer *p = peer_new();

        p->context.limits.body_bytes_max = 1000 * 1000;
        peer_headers(p, 1, "POST /echo", 0);
        for (unsigned i = 0; i < 20; i++) {
                peer_data(p, 1, ones, 16000, i == 19);
                peer_go(p);
        }
        peer_window(p, 0, 1 << 30);
        peer_window(p, 1, 1 << 30);
        peer_go(p);
        assert_true(peer_count(p, NGHTTP2_WINDOW_UPDATE) > 2);
        assert_int_equal(peer_stream(p, 1)->body.used, 320000);
        peer_free(p);
}

/* A handler that does not take any makes the client wait, and what is kept is bounded. */
static void window_waits_for_the_handler(void **state) {
        struct peer *p = peer_new();
        unsigned updates;

        p->hold = true;
        peer_headers(p, 1, "POST /echo-late", 0);
        for (unsigned i = 0; i < 4; i++)
                peer_data(p, 1, ones, 16383, false);
        peer_data(p, 1, ones, 3, false);
        peer_go(p);
        updates = peer_count(p, NGHTTP2_WINDOW_UPDATE);
        assert_int_equal(updates, 1); /* the connection's, at the start */
        assert_int_equal(http2_stream_by_id(p->h, 1)->body.used, 65535);
        assert_true(http2_stream_by_id(p->h, 1)->body.size <= 131072);
        p->hold = false;
        peer_run(p);
        assert_int_equal(peer_count(p, NGHTTP2_WINDOW_UPDATE), updates + 1);
        peer_data(p, 1, "a", 1, true);
        peer_window(p, 1, 1 << 20);
        peer_window(p, 0, 1 << 20);
        peer_go(p);
        assert_int_equal(peer_stream(p, 1)->body.used, 65536);
        peer_free(p);

        p = peer_new(); /* who goes beyond the window is not heard any more */
        p->hold = true;
        peer_headers(p, 1, "POST /echo-late", 0);
        for (unsigned i = 0; i < 5; i++)
                peer_data(p, 1, ones, 16383, false);
        peer_go(p);
        assert_int_equal(peer_stream(p, 1)->code, NGHTTP2_FLOW_CONTROL_ERROR);
        peer_free(p);
}

/* All streams together hold no more than the connection's window, whatever they are. */
static void connection_window_bounds_all(void **state) {
        struct peer *p = peer_new();
        size_t kept = 0;

        p->hold = true;
        for (uint32_t id = 1; id < 2 * 4; id += 2) {
                peer_headers(p, id, "POST /echo-late", 0);
                for (unsigned i = 0; i < 4; i++)
                        peer_data(p, id, ones, 16383, false);
                peer_go(p);
        }
        for (uint32_t id = 1; id < 2 * 4; id += 2)
                kept += http2_stream_by_id(p->h, id)->body.used;
        assert_int_equal(kept, 4 * 4 * 16383);
        peer_headers(p, 9, "POST /echo-late", 0);
        peer_data(p, 9, ones, 100, false);
        peer_go(p);
        assert_true(peer_was_hung_up_on(p, NGHTTP2_FLOW_CONTROL_ERROR));
        peer_free(p);

        p = peer_new(); /* what went away with its stream is given back */
        p->hold = true;
        for (uint32_t id = 1; id < 2 * 20; id += 2) {
                peer_headers(p, id, "POST /echo-late", 0);
                for (unsigned i = 0; i < 4; i++)
                        peer_data(p, id, ones, 16383, false);
                peer_reset(p, id, NGHTTP2_CANCEL);
                peer_go(p);
                assert_int_equal(p->end, PEER_OPEN);
        }
        peer_free(p);
}

/* Who announces too much is told so at once; who sends too much, when it has. */
static void body_too_large(void **state) {
        struct peer *p = peer_new();

        p->context.limits.body_bytes_max = 1000;
        peer_headers(p, 1, "POST /echo\ncontent-length: 1001", 0);
        peer_headers(p, 3, "POST /echo", 0);
        peer_data(p, 3, ones, 900, false);
        peer_go(p);
        assert_int_equal(peer_stream(p, 1)->status, 413);
        assert_int_equal(peer_stream(p, 3)->status, 0);
        peer_data(p, 3, ones, 101, false);
        peer_go(p);
        for (uint32_t id = 1; id <= 3; id += 2) {
                assert_int_equal(peer_stream(p, id)->status, 413);
                assert_true(peer_stream(p, id)->ended);
                assert_true(peer_stream(p, id)->reset); /* the rest need not come */
                assert_int_equal(peer_stream(p, id)->code, NGHTTP2_NO_ERROR);
        }
        assert_non_null(strstr(p->samples.journal.data, "/echo error=-90;"));
        peer_data(p, 3, ones, 101, true); /* was on its way */
        peer_get(p, 5, "/now");
        peer_go(p);
        assert_int_equal(peer_stream(p, 5)->status, 200);
        peer_free(p);
}

/* An answer may come before the body; then nobody wants that any more. */
static void body_that_nobody_wants(void **state) {
        struct peer *p = peer_new();

        peer_headers(p, 1, "POST /now\ncontent-length: 100", 0);
        peer_data(p, 1, ones, 50, false);
        peer_go(p);
        assert_int_equal(peer_stream(p, 1)->status, 200);
        assert_true(peer_stream(p, 1)->ended);
        assert_int_equal(p->session->phase, HTTP_PHASE_BODY);
        peer_data(p, 1, ones, 50, true); /* it need not look at the answer before it has sent all */
        peer_headers(p, 3, "POST /now\ncontent-length: 50", 0);
        peer_data(p, 3, ones, 50, true);
        peer_go(p);
        assert_true(peer_stream(p, 3)->ended);
        assert_int_equal(peer_count(p, NGHTTP2_RST_STREAM), 0);
        assert_int_equal(p->session->phase, HTTP_PHASE_IDLE);
        peer_free(p);
}

/* The windows are opened for it, but not for ever and not for any number of bytes. */
static void body_that_goes_on_for_nobody(void **state) {
        struct peer *p = peer_new();

        p->context.limits.body_bytes_max = 500 * 1000;
        peer_headers(p, 1, "POST /now", 0);
        peer_headers(p, 3, "POST /now", 0);
        peer_headers(p, 5, "POST /now", 0);
        peer_headers(p, 7, "POST /now\nexpect: 100-continue", 0);
        peer_go(p);
        assert_true(peer_stream(p, 7)->reset); /* it would wait for ever */
        for (unsigned i = 0; i < 32 && !peer_stream(p, 1)->reset; i++) {
                peer_data(p, 1, ones, 16000, false);
                peer_go(p);
        }
        assert_true(peer_stream(p, 1)->reset);
        assert_int_equal(peer_stream(p, 1)->code, NGHTTP2_NO_ERROR);
        assert_int_equal(p->session->open, 2);
        p->now_usec += 50 * USEC_PER_SEC;
        peer_data(p, 3, ones, 16000, false);
        peer_go(p);
        p->now_usec += 11 * USEC_PER_SEC;
        peer_data(p, 3, ones, 16000, false);
        peer_go(p);
        assert_true(peer_stream(p, 3)->reset); /* though it goes on */
        assert_true(peer_stream(p, 5)->reset);
        assert_int_equal(p->session->open, 0);
        peer_headers(p, 9, "POST /now", 0);
        peer_go(p);
        assert_false(peer_stream(p, 9)->reset);
        p->session->close_soon = true;
        peer_run(p);
        assert_true(peer_stream(p, 9)->reset);
        assert_int_equal(p->session->open, 0);
        peer_free(p);
}

/* An answer that begins before the body came may go on while it comes. */
static void answer_before_the_body(void **state) {
        struct peer *p = peer_new();

        peer_headers(p, 1, "POST /early-echo", 0);
        peer_go(p);
        assert_int_equal(peer_stream(p, 1)->status, 200);
        assert_int_equal(p->session->phase, HTTP_PHASE_BODY);
        peer_data(p, 1, "abc", 3, true);
        peer_go(p);
        assert_memory_equal(peer_stream(p, 1)->body.data, "seen", 4);
        assert_false(peer_stream(p, 1)->reset);
        peer_free(p);
}

/* The client is told to go on when the handler wants the body, and only if it still waits. */
static void expect_continue(void **state) {
        struct peer *p = peer_new();

        peer_headers(p, 1, "POST /echo\nexpect: 100-continue", 0);
        peer_headers(p, 3, "POST /now\nexpect: 100-continue", 0);
        peer_headers(p, 5, "POST /echo-late\nexpect: 100-continue", 0);
        peer_data(p, 5, "a", 1, false);
        peer_headers(p, 7, "POST /echo\nexpect: 100-continue", NGHTTP2_FLAG_END_STREAM);
        peer_go(p);
        assert_int_equal(peer_stream(p, 1)->invited, 1);
        assert_int_equal(peer_stream(p, 1)->status, 0);
        assert_int_equal(peer_stream(p, 3)->invited, 0);
        assert_int_equal(peer_stream(p, 3)->status, 200);
        assert_int_equal(peer_stream(p, 5)->invited, 0);
        assert_int_equal(peer_stream(p, 7)->invited, 0);
        assert_int_equal(peer_stream(p, 7)->status, 200);
        peer_data(p, 1, "xy", 2, true);
        peer_data(p, 5, "b", 1, true);
        peer_go(p);
        assert_int_equal(peer_stream(p, 1)->invited, 1);
        assert_memory_equal(peer_stream(p, 1)->body.data, "yy", 2);
        assert_memory_equal(peer_stream(p, 5)->body.data, "bb", 2);
        peer_free(p);
}

/* A body that stalls ends its own exchange, while others go on. */
static void body_times_out(void **state) {
        struct peer *p = peer_new();

        peer_headers(p, 1, "POST /echo", 0);
        peer_headers(p, 3, "POST /early-echo", 0);
        peer_headers(p, 5, "POST /echo", 0);
        peer_go(p);
        assert_int_equal(p->session->phase, HTTP_PHASE_BODY);
        for (unsigned i = 0; i < 3; i++) {
                p->now_usec += 25 * USEC_PER_SEC;
                peer_data(p, 5, "a", 1, false);
                peer_go(p);
        }
        assert_int_equal(peer_stream(p, 1)->status, 408);
        assert_int_equal(peer_stream(p, 1)->code, NGHTTP2_NO_ERROR);
        assert_int_equal(peer_stream(p, 3)->code, NGHTTP2_INTERNAL_ERROR);
        assert_int_equal(p->session->open, 1);
        assert_int_equal(p->session->phase, HTTP_PHASE_BODY);
        p->now_usec += 61 * USEC_PER_SEC; /* and where nothing else happens, when we are called */
        assert_int_equal(p->session->protocol->time_out(p->session), HTTP_TIME_OUT_GO_ON);
        peer_run(p);
        assert_int_equal(peer_stream(p, 5)->status, 408);
        assert_int_equal(p->session->open, 0);
        assert_int_equal(p->end, PEER_OPEN);
        peer_free(p);
}

/* Whose body cannot come, because others hold the connection's window, is not to blame. */
static void no_time_out_without_a_window(void **state) {
        struct peer *p = peer_new();

        p->hold = true;
        for (uint32_t id = 1; id < 2 * 4; id += 2) {
                peer_headers(p, id, "POST /echo-late", 0);
                for (unsigned i = 0; i < 4; i++)
                        peer_data(p, id, ones, i < 3 ? 16384 : 16383, false);
        }
        peer_headers(p, 9, "POST /echo", 0);
        peer_data(p, 9, ones, 4, false); /* the last of the window */
        peer_go(p);
        p->now_usec += 100 * USEC_PER_SEC;
        assert_int_equal(p->session->protocol->time_out(p->session), HTTP_TIME_OUT_GO_ON);
        peer_run(p);
        assert_int_equal(peer_stream(p, 9)->status, 0);
        assert_int_equal(p->session->open, 5);
        peer_free(p);
}

/* The client that ends its side gets what it asked for, as far as it did ask. */
static void input_ends(void **state) {
        struct peer *p = peer_new();

        p->hold = true;
        peer_get(p, 1, "/later");
        peer_headers(p, 3, "POST /echo", 0);
        peer_headers(p, 5, "POST /echo-late", 0);
        peer_data(p, 5, "abc", 3, false);
        peer_go(p);
        p->hold = false;
        peer_end_input(p);
        assert_int_equal(p->end, PEER_CLOSE);
        assert_true(peer_stream(p, 1)->ended);
        assert_int_equal(peer_stream(p, 3)->code, NGHTTP2_INTERNAL_ERROR);
        assert_int_equal(peer_stream(p, 5)->code, NGHTTP2_INTERNAL_ERROR);
        assert_int_equal(p->session->open, 0);
        peer_free(p);

        p = peer_new(); /* a window that nobody can open any more */
        peer_get(p, 1, "/big");
        peer_go(p);
        assert_int_equal(p->session->phase, HTTP_PHASE_WINDOW);
        peer_end_input(p);
        assert_int_equal(p->end, PEER_CLOSE);
        peer_free(p);
}

/* A handler that asks behind the end is a bug of ours, which ends its exchange alone. */
static void asking_behind_the_end(void **state) {
        struct peer *p = peer_new();

        invariant_set_fatal(false);
        peer_headers(p, 1, "POST /wants-twice", 0);
        peer_data(p, 1, "a", 1, true);
        peer_get(p, 3, "/now");
        peer_go(p);
        assert_int_equal(peer_stream(p, 1)->code, NGHTTP2_INTERNAL_ERROR);
        assert_int_equal(peer_stream(p, 3)->status, 200);
        assert_int_equal(p->bugs, 1);
        invariant_set_fatal(true);
        peer_free(p);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(body_is_handed_on),
                cmocka_unit_test(padding_and_trailers),
                cmocka_unit_test(content_length_must_hold),
                cmocka_unit_test(window_follows_the_handler),
                cmocka_unit_test(window_waits_for_the_handler),
                cmocka_unit_test(connection_window_bounds_all),
                cmocka_unit_test(body_too_large),
                cmocka_unit_test(body_that_nobody_wants),
                cmocka_unit_test(body_that_goes_on_for_nobody),
                cmocka_unit_test(answer_before_the_body),
                cmocka_unit_test(expect_continue),
                cmocka_unit_test(body_times_out),
                cmocka_unit_test(no_time_out_without_a_window),
                cmocka_unit_test(input_ends),
                cmocka_unit_test(asking_behind_the_end),
        };

        memset(ones, '1', sizeof(ones));
        return cmocka_run_group_tests(tests, NULL, NULL);
}
