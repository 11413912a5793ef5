/* SPDX-License-Identifier: MIT */
#include "peer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* How a connection ends: no request is lost, nobody waits for ever. */

static void close_soon(struct peer *p) {
        p->session->close_soon = true;
        peer_run(p);
}

/* Told in two steps: what was sent before the client knew is served. */
static void drain_loses_no_request(void **state) {
        struct peer *p = peer_new();

        p->hold = true;
        peer_get(p, 1, "/later");
        peer_go(p);
        close_soon(p);
        assert_int_equal(peer_last(p, NGHTTP2_GOAWAY)->last, INT32_MAX);
        assert_int_equal(peer_last(p, NGHTTP2_GOAWAY)->code, NGHTTP2_NO_ERROR);
        peer_get(p, 3, "/later"); /* was on its way */
        peer_ping(p, (const char *)p->last_ping, true);
        peer_go(p);
        assert_int_equal(peer_last(p, NGHTTP2_GOAWAY)->last, 3);
        assert_int_equal(p->end, PEER_OPEN);
        peer_get(p, 5, "/now"); /* the client has been told */
        peer_go(p);
        p->hold = false;
        peer_run(p);
        assert_true(peer_stream(p, 1)->ended);
        assert_true(peer_stream(p, 3)->ended);
        assert_int_equal(peer_stream(p, 5)->status, 0);
        assert_int_equal(p->end, PEER_LINGER);
        assert_int_equal(peer_count(p, NGHTTP2_GOAWAY), 2);
        peer_free(p);
}

/* Where nothing is under way, the connection ends as soon as the client has said that it knows. */
static void drain_of_an_idle_connection(void **state) {
        struct peer *p = peer_new();

        close_soon(p);
        assert_int_equal(p->end, PEER_OPEN);
        assert_int_equal(p->session->phase, HTTP_PHASE_IDLE);
        peer_ping(p, (const char *)p->last_ping, true);
        peer_go(p);
        assert_int_equal(p->end, PEER_LINGER);
        assert_int_equal(peer_last(p, NGHTTP2_GOAWAY)->last, 0);
        peer_free(p);

        p = peer_new(); /* or when time is up */
        close_soon(p);
        assert_int_equal(p->session->protocol->time_out(p->session), HTTP_TIME_OUT_ANSWERED);
        peer_run(p);
        assert_int_equal(p->end, PEER_LINGER);
        peer_free(p);
}

/* A client that does not answer the PING delays the end by a second, not more. */
static void drain_of_a_silent_client(void **state) {
        struct peer *p = peer_new();

        p->hold = true;
        peer_get(p, 1, "/later");
        peer_go(p);
        close_soon(p);
        peer_ping(p, "notthis!", true);
        peer_go(p);
        assert_int_equal(peer_last(p, NGHTTP2_GOAWAY)->last, INT32_MAX);
        p->now_usec += 2 * USEC_PER_SEC;
        p->hold = false;
        peer_run(p);
        assert_true(peer_stream(p, 1)->ended);
        assert_int_equal(peer_last(p, NGHTTP2_GOAWAY)->last, 1);
        assert_int_equal(p->end, PEER_LINGER);
        peer_free(p);
}

/* A connection that is accepted while all leave still serves what it brings. */
static void drain_before_the_preface(void **state) {
        struct peer *p = peer_new_silent();

        p->session->close_soon = true;
        peer_preface(p);
        peer_frame(p, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
        peer_get(p, 1, "/now");
        peer_go(p);
        assert_true(peer_stream(p, 1)->ended);
        peer_ping(p, (const char *)p->last_ping, true);
        peer_go(p);
        assert_int_equal(p->end, PEER_LINGER);
        peer_free(p);
}

/* A client that says that it leaves is let go when it has all. */
static void client_leaves(void **state) {
        struct peer *p = peer_new();

        p->hold = true;
        peer_get(p, 1, "/later");
        peer_frame(p, NGHTTP2_GOAWAY, 0, 0, "\0\0\0\0\0\0\0\0", 8);
        peer_go(p);
        assert_int_equal(p->end, PEER_OPEN);
        p->hold = false;
        peer_run(p);
        assert_true(peer_stream(p, 1)->ended);
        assert_int_equal(p->end, PEER_LINGER);
        peer_free(p);
}

/* Between two requests nobody waits for more than KeepAliveSec, and is told so. */
static void idle_time_out(void **state) {
        struct peer *p = peer_new();

        peer_get(p, 1, "/now");
        peer_go(p);
        assert_int_equal(p->session->protocol->time_out(p->session), HTTP_TIME_OUT_ANSWERED);
        assert_false(p->session->wants_input);
        peer_run(p);
        assert_true(peer_was_hung_up_on(p, NGHTTP2_NO_ERROR));
        assert_int_equal(peer_last(p, NGHTTP2_GOAWAY)->last, 1);
        assert_int_equal(p->session->protocol->time_out(p->session), HTTP_TIME_OUT_CLOSE);
        peer_free(p);
}

/* What breaks the rules for all ends all: nothing that was under way looks whole. */
static void broken_frames(void **state) {
        static const struct {
                uint8_t type, flags;
                uint32_t id;
                const char *data;
                size_t size;
                uint32_t code;
        } all[] = {
                { NGHTTP2_DATA, 0, 0, "a", 1, NGHTTP2_PROTOCOL_ERROR },
                { NGHTTP2_DATA, 0, 99, "a", 1, NGHTTP2_PROTOCOL_ERROR },
                { NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 1, "\xff", 1, NGHTTP2_PROTOCOL_ERROR },
                { NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 0, "\x82", 1, NGHTTP2_PROTOCOL_ERROR },
                { NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 2, "\x82", 1, NGHTTP2_PROTOCOL_ERROR },
                { NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 7, "\xff\xff\xff\xff\xff", 5,
                  NGHTTP2_COMPRESSION_ERROR },
                { NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 7, "\x3f\xff\xff\x7f", 4,
                  NGHTTP2_COMPRESSION_ERROR },
                { NGHTTP2_HEADERS, NGHTTP2_FLAG_PRIORITY, 7, "\0", 1, NGHTTP2_FRAME_SIZE_ERROR },
                { NGHTTP2_RST_STREAM, 0, 0, "\0\0\0\0", 4, NGHTTP2_PROTOCOL_ERROR },
                { NGHTTP2_RST_STREAM, 0, 99, "\0\0\0\0", 4, NGHTTP2_PROTOCOL_ERROR },
                { NGHTTP2_RST_STREAM, 0, 1, "\0\0\0", 3, NGHTTP2_FRAME_SIZE_ERROR },
                { NGHTTP2_SETTINGS, 0, 1, "", 0, NGHTTP2_PROTOCOL_ERROR },
                { NGHTTP2_SETTINGS, 0, 0, "abc", 3, NGHTTP2_FRAME_SIZE_ERROR },
                { NGHTTP2_SETTINGS, 1, 0, "abcdef", 6, NGHTTP2_FRAME_SIZE_ERROR },
                { NGHTTP2_SETTINGS, 0, 0, "\0\4\xff\xff\xff\xff", 6, NGHTTP2_FLOW_CONTROL_ERROR },
                { NGHTTP2_SETTINGS, 0, 0, "\0\5\0\0\0\0", 6, NGHTTP2_PROTOCOL_ERROR },
                { NGHTTP2_SETTINGS, 0, 0, "\0\2\0\0\0\2", 6, NGHTTP2_PROTOCOL_ERROR },
                { NGHTTP2_PUSH_PROMISE, 4, 1, "\0\0\0\2\x82", 5, NGHTTP2_PROTOCOL_ERROR },
                { NGHTTP2_PING, 0, 1, "12345678", 8, NGHTTP2_PROTOCOL_ERROR },
                { NGHTTP2_PING, 0, 0, "1234567", 7, NGHTTP2_FRAME_SIZE_ERROR },
                { NGHTTP2_GOAWAY, 0, 1, "\0\0\0\0\0\0\0\0", 8, NGHTTP2_PROTOCOL_ERROR },
                { NGHTTP2_GOAWAY, 0, 0, "\0\0\0\0", 4, NGHTTP2_FRAME_SIZE_ERROR },
                { NGHTTP2_WINDOW_UPDATE, 0, 0, "\0\0\0\0", 4, NGHTTP2_PROTOCOL_ERROR },
                { NGHTTP2_WINDOW_UPDATE, 0, 0, "\0\0\0", 3, NGHTTP2_FRAME_SIZE_ERROR },
                { NGHTTP2_WINDOW_UPDATE, 0, 99, "\0\0\0\1", 4, NGHTTP2_PROTOCOL_ERROR },
                { NGHTTP2_CONTINUATION, 4, 1, "\x82", 1, NGHTTP2_PROTOCOL_ERROR },
                { 0x10, 0, 0, "\0", 1, NGHTTP2_FRAME_SIZE_ERROR },
                { 0x10, 0, 1, "\0\0\0\1u=1", 7, NGHTTP2_PROTOCOL_ERROR },
                { 0x10, 0, 0, "\0\0\0\2u=1", 7, NGHTTP2_PROTOCOL_ERROR },
        };

        for (unsigned i = 0; i < ELEMENTS(all); i++) {
                struct peer *p = peer_new();
                struct peer_frame none = {};

                p->hold = true;
                peer_headers(p, 1, "POST /later", 0);
                peer_frame(p, all[i].type, all[i].flags, all[i].id, all[i].data, all[i].size);
                /* what follows must not be looked at */
                peer_frame(p, all[i].type, all[i].flags, all[i].id, all[i].data, all[i].size);
                peer_get(p, 9, "/now");
                peer_go(p);
                if (!peer_was_hung_up_on(p, all[i].code)) {
                        const struct peer_frame *f = peer_last(p, NGHTTP2_GOAWAY);

                        print_error("%u: end %d, code %d\n", i, p->end, (int)(f ? f : &none)->code);
                }
                assert_true(peer_was_hung_up_on(p, all[i].code));
                assert_int_equal(peer_stream(p, 9)->status, 0);
                assert_false(peer_stream(p, 1)->ended);
                assert_false(p->session->wants_input);
                peer_free(p);
        }
}

/* A frame longer than we allow is not waited for. */
static void frame_too_long(void **state) {
        struct peer *p = peer_new();

        peer_feed(p, (struct text){ "\x00\x40\x01\x00\x00\x00\x00\x00\x01", 9 });
        peer_run(p);
        assert_true(peer_was_hung_up_on(p, NGHTTP2_FRAME_SIZE_ERROR));
        peer_free(p);
}

/* Frames for streams that are gone may have been on their way: they are nobody's fault. */
static void frames_for_streams_that_are_gone(void **state) {
        struct peer *p = peer_new();

        peer_headers(p, 1, "POST /now\nexpect: 100-continue", 0);
        peer_go(p); /* answered, and reset */
        assert_true(peer_stream(p, 1)->reset);
        peer_data(p, 1, "abc", 3, false);
        peer_window(p, 1, 100);
        peer_headers(p, 1, "x-trailer: 1", NGHTTP2_FLAG_END_STREAM);
        peer_reset(p, 1, NGHTTP2_CANCEL);
        peer_frame(p, NGHTTP2_PRIORITY, 0, 1, "\0\0\0\0\1", 5);
        peer_get(p, 3, "/now");
        peer_go(p);
        assert_int_equal(p->end, PEER_OPEN);
        assert_true(peer_stream(p, 3)->ended);
        peer_free(p);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(drain_loses_no_request),
                cmocka_unit_test(drain_of_an_idle_connection),
                cmocka_unit_test(drain_of_a_silent_client),
                cmocka_unit_test(drain_before_the_preface),
                cmocka_unit_test(client_leaves),
                cmocka_unit_test(idle_time_out),
                cmocka_unit_test(broken_frames),
                cmocka_unit_test(frame_too_long),
                cmocka_unit_test(frames_for_streams_that_are_gone),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
