/* SPDX-License-Identifier: MIT */
#include "peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* Which bytes go first: priorities (RFC 9218), windows, and how much is prepared ahead. */

static void open_windows(struct peer *p) {
        peer_setting(p, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 30);
        peer_window(p, 0, 1 << 30);
        peer_go(p);
}

static void get_with(struct peer *p, uint32_t id, const char *path, const char *priority) {
        char fields[200];

        snprintf(fields, sizeof(fields), "GET %s\n%s%s", path, priority ? "priority: " : "",
                 priority ? priority : "");
        peer_headers(p, id, fields, NGHTTP2_FLAG_END_STREAM);
}

/* The streams' ids in the order in which they had their last byte. */
static void ends_in_order(struct peer *p, const uint32_t *ids, unsigned count) {
        unsigned at = 0;

        for (unsigned i = 0; i < p->frame_count; i++)
                if (p->frames[i].type == NGHTTP2_DATA &&
                    p->frames[i].flags & NGHTTP2_FLAG_END_STREAM) {
                        assert_true(at < count);
                        assert_int_equal(p->frames[i].id, ids[at++]);
                }
        assert_int_equal(at, count);
}

/* How often two DATA frames in a row are of different streams. */
static unsigned changes_of_stream(struct peer *p) {
        unsigned changes = 0;
        uint32_t last = 0;

        for (unsigned i = 0; i < p->frame_count; i++)
                if (p->frames[i].type == NGHTTP2_DATA) {
                        changes += last && p->frames[i].id != last;
                        last = p->frames[i].id;
                }
        return changes;
}

/* What is more urgent is whole before what is less. */
static void urgent_streams_go_first(void **state) {
        struct peer *p = peer_new();

        open_windows(p);
        get_with(p, 1, "/big", "u=7");
        get_with(p, 3, "/big", "u=5");
        get_with(p, 5, "/big", NULL); /* 3 */
        get_with(p, 7, "/big", "u=0");
        get_with(p, 9, "/file", "u=1");
        peer_go(p);
        ends_in_order(p, (const uint32_t[]){ 7, 9, 5, 3, 1 }, 5);
        assert_int_equal(changes_of_stream(p), 4);
        peer_free(p);
}

/* One that comes late has not to wait for more than what was prepared. */
static void urgent_stream_overtakes(void **state) {
        struct peer *p = peer_new();

        open_windows(p);
        p->hold_sent = true;
        get_with(p, 1, "/big", "u=5");
        get_with(p, 3, "/big", "u=5");
        peer_go(p);
        assert_true(peer_stream(p, 1)->body.used <= HTTP2_OUTPUT_BYTES);
        get_with(p, 5, "/now", "u=0");
        peer_go(p); /* while the first output is under way */
        peer_sent(p);
        ends_in_order(p, (const uint32_t[]){ 5, 1, 3 }, 3);
        peer_free(p);
}

/* Without `incremental` one after the other, with it side by side. */
static void incremental_streams_interleave(void **state) {
        for (int incremental = 0; incremental <= 1; incremental++) {
                struct peer *p = peer_new();

                open_windows(p);
                for (uint32_t id = 1; id < 8; id += 2)
                        get_with(p, id, "/big", incremental ? "u=3, i" : "u=3");
                peer_go(p);
                if (incremental)
                        assert_true(changes_of_stream(p) > 15);
                else
                        assert_int_equal(changes_of_stream(p), 3);
                peer_free(p);
        }
}

/* A stream that waits lets the others go on. */
static void waiting_streams_hold_nobody_up(void **state) {
        struct peer *p = peer_new();

        open_windows(p);
        p->hold = true;
        get_with(p, 1, "/stream", "u=0");
        get_with(p, 3, "/big", "u=7");
        peer_go(p);
        assert_true(peer_stream(p, 3)->ended);
        assert_false(peer_stream(p, 1)->ended);
        p->hold = false;
        peer_run(p);
        assert_true(peer_stream(p, 1)->ended);
        peer_free(p);
}

/* PRIORITY_UPDATE, before and after the request; what is malformed in it changes nothing. */
static void priority_updates(void **state) {
        struct peer *p = peer_new();

        open_windows(p);
        p->hold_sent = true;
        peer_frame(p, 0x10, 0, 0, "\0\0\0\5u=0", 7);
        get_with(p, 1, "/big", "u=4");
        get_with(p, 3, "/big", "u=4");
        get_with(p, 5, "/big", NULL); /* as it was told before: 0 */
        peer_frame(p, 0x10, 0, 0, "\0\0\0\3u=1", 7);
        peer_frame(p, 0x10, 0, 0, "\0\0\0\1u=!", 7);
        peer_go(p);
        p->hold_sent = false;
        if (p->unsent)
                peer_sent(p);
        ends_in_order(p, (const uint32_t[]){ 5, 3, 1 }, 3);
        peer_free(p);
}

/* Priorities of RFC 7540 are gone: their frames say nothing. */
static void old_priorities_say_nothing(void **state) {
        struct peer *p = peer_new();

        open_windows(p);
        get_with(p, 1, "/big", NULL);
        get_with(p, 3, "/big", NULL);
        peer_frame(p, NGHTTP2_PRIORITY, 0, 1, "\0\0\0\3\0", 5);
        peer_frame(p, NGHTTP2_PRIORITY, 0, 3, "\0\0\0\0\xff", 5);
        peer_go(p);
        ends_in_order(p, (const uint32_t[]){ 1, 3 }, 2);
        peer_free(p);
}

/* The windows are kept, the stream's and the connection's, and what is opened is used. */
static void windows_are_kept(void **state) {
        struct peer *p = peer_new();

        peer_setting(p, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 10);
        peer_go(p);
        peer_get(p, 1, "/big");
        peer_get(p, 3, "/file");
        peer_go(p);
        assert_int_equal(peer_stream(p, 1)->body.used, 10);
        assert_int_equal(peer_stream(p, 3)->body.used, 10);
        assert_int_equal(p->session->phase, HTTP_PHASE_WINDOW);
        peer_window(p, 1, 1);
        peer_go(p);
        assert_int_equal(peer_stream(p, 1)->body.used, 11);
        peer_setting(p, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 30);
        peer_go(p);
        assert_int_equal(peer_stream(p, 1)->body.used + peer_stream(p, 3)->body.used, 65535);
        peer_window(p, 0, 1 << 30);
        peer_go(p);
        assert_true(peer_stream(p, 1)->ended);
        assert_true(peer_stream(p, 3)->ended);
        assert_memory_equal(peer_stream(p, 1)->body.data, p->samples.big, SAMPLE_BIG_BYTES);
        assert_memory_equal(peer_stream(p, 3)->body.data, p->samples.big, SAMPLE_FILE_BYTES);
        peer_free(p);
}

/* A window that shrinks below nothing opens again only past it (RFC 9113, 6.9.2). */
static void window_below_nothing(void **state) {
        struct peer *p = peer_new();

        peer_setting(p, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1000);
        peer_get(p, 1, "/big");
        peer_go(p);
        assert_int_equal(peer_stream(p, 1)->body.used, 1000);
        peer_setting(p, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0);
        peer_window(p, 1, 999);
        peer_go(p);
        assert_int_equal(peer_stream(p, 1)->body.used, 1000);
        peer_window(p, 1, 2);
        peer_go(p);
        assert_int_equal(peer_stream(p, 1)->body.used, 1001);
        peer_free(p);
}

/* A window past 2^31-1 is an error of its stream, or of all (RFC 9113, 6.9.1). */
static void windows_too_large(void **state) {
        struct peer *p = peer_new();

        p->hold = true;
        peer_get(p, 1, "/later");
        peer_window(p, 1, INT32_MAX);
        peer_go(p);
        assert_int_equal(peer_stream(p, 1)->code, NGHTTP2_FLOW_CONTROL_ERROR);
        assert_int_equal(p->session->open, 0);
        peer_window(p, 0, INT32_MAX);
        peer_go(p);
        assert_true(peer_was_hung_up_on(p, NGHTTP2_FLOW_CONTROL_ERROR));
        peer_free(p);
}

/* Who never opens the window of a stream has it reset; others are not touched. */
static void windows_time_out(void **state) {
        struct peer *p = peer_new();

        peer_setting(p, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0);
        peer_get(p, 1, "/big");
        peer_get(p, 3, "/big");
        peer_go(p);
        assert_int_equal(p->session->phase, HTTP_PHASE_WINDOW);
        for (unsigned i = 0; i < 3; i++) {
                p->now_usec += 25 * USEC_PER_SEC;
                peer_window(p, 3, 100);
                peer_go(p);
        }
        assert_true(peer_stream(p, 1)->reset);
        assert_int_equal(peer_stream(p, 1)->code, NGHTTP2_CANCEL);
        assert_int_equal(peer_stream(p, 3)->body.used, 300);
        p->now_usec += 61 * USEC_PER_SEC;
        assert_int_equal(p->session->protocol->time_out(p->session), HTTP_TIME_OUT_GO_ON);
        peer_run(p);
        assert_true(peer_stream(p, 3)->reset);
        assert_int_equal(p->session->open, 0);
        peer_free(p);
}

/* The connection's window: nobody is given up while anybody gets on, all when nobody does. */
static void connection_window_times_out(void **state) {
        struct peer *p = peer_new();

        peer_setting(p, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 20);
        get_with(p, 1, "/big", "u=1");
        get_with(p, 3, "/big", "u=7");
        peer_go(p);
        assert_int_equal(peer_stream(p, 1)->body.used, 65535);
        for (unsigned i = 0; i < 4; i++) {
                p->now_usec += 40 * USEC_PER_SEC;
                peer_window(p, 0, 100);
                peer_go(p);
        }
        assert_int_equal(peer_stream(p, 1)->body.used, 65935);
        assert_int_equal(p->session->open, 2);
        p->now_usec += 61 * USEC_PER_SEC;
        assert_int_equal(p->session->protocol->time_out(p->session), HTTP_TIME_OUT_GO_ON);
        peer_run(p);
        assert_int_equal(p->session->open, 0);
        peer_free(p);
}

/* What a client takes out of its own process is not hurried: a handler that waits has no window. */
static void slow_handlers_do_not_time_out(void **state) {
        struct peer *p = peer_new();

        p->hold = true;
        peer_get(p, 1, "/pieces");
        peer_get(p, 3, "/mute");
        peer_go(p);
        assert_int_equal(p->session->phase, HTTP_PHASE_ANSWER);
        p->now_usec += 1000 * USEC_PER_SEC;
        peer_ping(p, "12345678", false);
        peer_go(p);
        assert_int_equal(p->session->open, 2);
        p->hold = false;
        peer_run(p);
        assert_true(peer_stream(p, 1)->ended);
        peer_free(p);
}

/* An output stays small, and never waits for its end: priorities would be worth nothing. */
static void outputs_are_small(void **state) {
        struct peer *p = peer_new();
        size_t before = 0;

        open_windows(p);
        p->hold_sent = true;
        for (uint32_t id = 1; id < 60; id += 2)
                get_with(p, id, id % 4 == 1 ? "/big" : "/copied", "i");
        peer_go(p);
        while (p->unsent) {
                size_t sum = 0;

                for (uint32_t id = 1; id < 60; id += 2)
                        sum += peer_stream(p, id)->body.used;
                assert_true(sum - before <= HTTP2_OUTPUT_BYTES + HTTP2_FRAME_BYTES_MAX);
                before = sum;
                peer_sent(p);
                p->hold_sent = true;
                peer_run(p);
        }
        for (uint32_t id = 1; id < 60; id += 2)
                assert_true(peer_stream(p, id)->ended);
        peer_free(p);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(urgent_streams_go_first),
                cmocka_unit_test(urgent_stream_overtakes),
                cmocka_unit_test(incremental_streams_interleave),
                cmocka_unit_test(waiting_streams_hold_nobody_up),
                cmocka_unit_test(priority_updates),
                cmocka_unit_test(old_priorities_say_nothing),
                cmocka_unit_test(windows_are_kept),
                cmocka_unit_test(window_below_nothing),
                cmocka_unit_test(windows_too_large),
                cmocka_unit_test(windows_time_out),
                cmocka_unit_test(connection_window_times_out),
                cmocka_unit_test(slow_handlers_do_not_time_out),
                cmocka_unit_test(outputs_are_small),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
